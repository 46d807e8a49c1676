"""An autoencoder: 784-128-32-128-784; it learns from the images alone."""

import symgrad as sg


def model(hidden: int = 128, code: int = 32) -> sg.Model:
    """Each image through `code` numbers and back; the output is the image again."""
    pixels = sg.variable("pixels", ("N", 784), dtype="uint8")
    x = (pixels / 255).named("x")

    h, width = x, 784
    for layer, units in enumerate((hidden, code, hidden), 1):
        W, b = sg.parameter(f"W{layer}", (width, units)), sg.parameter(f"b{layer}", (units,))
        h, width = sg.relu(h @ W + b).named(f"h{layer}"), units
    W4, b4 = sg.parameter("W4", (width, 784)), sg.parameter("b4", (784,))
    output = sg.sigmoid((h @ W4 + b4).named("z")).named("output")
    return sg.Model(
        inputs=[pixels],
        targets=[],
        output=output,
        loss=sg.mean_squared_error(output, x),
        training=sg.Training(optimizer=sg.adam(2e-3), batch_size=128, epochs=5, schedule=sg.exponential_decay(0.8)),
    )
