"""A convolutional network: two convolutions with pooling, then one dense layer (Keras' mnist_convnet)."""

import symgrad as sg


def model(first: int = 32, second: int = 64, classes: int = 10) -> sg.Model:
    """Filters of 3 by 3 pixels, `first` and then `second` of them."""
    pixels = sg.variable("pixels", ("N", 784), dtype="uint8")
    y = sg.labels("y", ("N",), classes=classes)
    K1, b1 = sg.parameter("K1", (3, 3, 1, first)), sg.parameter("b1", (first,))
    K2, b2 = sg.parameter("K2", (3, 3, first, second)), sg.parameter("b2", (second,))
    W3, b3 = sg.parameter("W3", (5 * 5 * second, classes)), sg.parameter("b3", (classes,))

    x = sg.reshape(pixels / 255, ("N", 28, 28, 1)).named("x")
    net1 = (sg.conv2d(x, K1) + b1).named("net1")
    h1 = sg.max_pool2d(sg.relu(net1)).named("h1")
    net2 = (sg.conv2d(h1, K2) + b2).named("net2")
    h2 = sg.max_pool2d(sg.relu(net2)).named("h2")
    z = (sg.flatten(h2) @ W3 + b3).named("z")
    return sg.Model(
        inputs=[pixels],
        targets=[y],
        output=sg.softmax(z),
        loss=sg.softmax_cross_entropy(z, y),
        metrics=[sg.accuracy],
        training=sg.Training(optimizer=sg.adam(2e-3), batch_size=64, epochs=3, schedule=sg.exponential_decay(0.3)),
    )
