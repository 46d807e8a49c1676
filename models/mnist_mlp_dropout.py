"""Two hidden layers with dropout: 784-512-512-10, ReLU (Keras' mnist_mlp)."""

import symgrad as sg


def model(hidden: int = 512, rate: float = 0.2, classes: int = 10) -> sg.Model:
    """Two layers of `hidden` units, each followed by dropout."""
    pixels = sg.variable("pixels", ("N", 784), dtype="uint8")
    y = sg.labels("y", ("N",), classes=classes)
    W1, b1 = sg.parameter("W1", (784, hidden)), sg.parameter("b1", (hidden,))
    W2, b2 = sg.parameter("W2", (hidden, hidden)), sg.parameter("b2", (hidden,))
    W3, b3 = sg.parameter("W3", (hidden, classes)), sg.parameter("b3", (classes,))

    x = (pixels / 255).named("x")
    h1 = sg.relu((x @ W1 + b1).named("net1")).named("h1")
    h2 = sg.relu((sg.dropout(h1, rate) @ W2 + b2).named("net2")).named("h2")
    z = (sg.dropout(h2, rate) @ W3 + b3).named("z")
    return sg.Model(
        inputs=[pixels],
        targets=[y],
        output=sg.softmax(z),
        loss=sg.softmax_cross_entropy(z, y),
        metrics=[sg.accuracy],
        training=sg.Training(optimizer=sg.adam(1e-3), batch_size=128, epochs=5, schedule=sg.exponential_decay(0.7)),
    )
