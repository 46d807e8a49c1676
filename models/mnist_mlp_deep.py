"""A deeper network: 784-256-128-64-10, tanh, Adam."""

import symgrad as sg


def model(first: int = 256, second: int = 128, third: int = 64, classes: int = 10) -> sg.Model:
    """Three hidden layers."""
    pixels = sg.variable("pixels", ("N", 784), dtype="uint8")
    y = sg.labels("y", ("N",), classes=classes)
    x = (pixels / 255).named("x")

    h, width = x, 784
    for layer, units in enumerate((first, second, third), 1):
        W, b = sg.parameter(f"W{layer}", (width, units)), sg.parameter(f"b{layer}", (units,))
        net = (h @ W + b).named(f"net{layer}")
        h, width = sg.tanh(net).named(f"h{layer}"), units
    W4, b4 = sg.parameter("W4", (width, classes)), sg.parameter("b4", (classes,))
    z = (h @ W4 + b4).named("z")
    return sg.Model(
        inputs=[pixels],
        targets=[y],
        output=sg.softmax(z),
        loss=sg.softmax_cross_entropy(z, y),
        metrics=[sg.accuracy],
        training=sg.Training(optimizer=sg.adam(1e-3), batch_size=128, epochs=5),
    )
