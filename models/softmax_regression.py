"""Softmax regression: one layer, 7,850 parameters."""

import symgrad as sg


def model(classes: int = 10) -> sg.Model:
    """The scores of each class are linear in the pixels."""
    pixels = sg.variable("pixels", ("N", 784), dtype="uint8")
    y = sg.labels("y", ("N",), classes=classes)
    W, b = sg.parameter("W", (784, classes)), sg.parameter("b", (classes,))

    x = (pixels / 255).named("x")
    z = (x @ W + b).named("z")
    return sg.Model(
        inputs=[pixels],
        targets=[y],
        output=sg.softmax(z),
        loss=sg.softmax_cross_entropy(z, y),
        metrics=[sg.accuracy],
        training=sg.Training(optimizer=sg.adam(1e-3), batch_size=128, epochs=5),
    )
