"""The network this project grew from: 784-512-10, ReLU, softmax, cross-entropy, RMSprop."""

import symgrad as sg


def model(hidden: int = 512, classes: int = 10) -> sg.Model:
    """One hidden layer of `hidden` units."""
    pixels = sg.variable("pixels", ("N", 784), dtype="uint8")
    y = sg.labels("y", ("N",), classes=classes)
    W1, b1 = sg.parameter("W1", (784, hidden)), sg.parameter("b1", (hidden,))
    W2, b2 = sg.parameter("W2", (hidden, classes)), sg.parameter("b2", (classes,))

    x = (pixels / 255).named("x")
    net = (x @ W1 + b1).named("net")
    h = sg.relu(net).named("h")
    z = (h @ W2 + b2).named("z")
    return sg.Model(
        inputs=[pixels],
        targets=[y],
        output=sg.softmax(z),
        loss=sg.softmax_cross_entropy(z, y),
        metrics=[sg.accuracy],
        training=sg.Training(optimizer=sg.rmsprop(1e-3), batch_size=128, epochs=5, schedule=sg.exponential_decay(0.7)),
    )
