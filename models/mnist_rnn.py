"""A recurrent network that reads an image row by row: an LSTM, unrolled over the 28 rows."""

import symgrad as sg


def model(hidden: int = 64, classes: int = 10) -> sg.Model:
    """The class is told from the state after the last row."""
    pixels = sg.variable("pixels", ("N", 784), dtype="uint8")
    y = sg.labels("y", ("N",), classes=classes)
    W, b = sg.parameter("W", (28 + hidden, 4 * hidden)), sg.parameter("b", (4 * hidden,))
    V, c = sg.parameter("V", (hidden, classes)), sg.parameter("c", (classes,))

    rows = sg.reshape(pixels / 255, ("N", 28, 28)).named("x")
    start = sg.broadcast_to(0.0, ("N", hidden))
    (h, _), _ = sg.scan(lambda state, row: sg.lstm_cell(row, state[0], state[1], W, b), (start, start), rows)
    z = (h.named("h") @ V + c).named("z")
    return sg.Model(
        inputs=[pixels],
        targets=[y],
        output=sg.softmax(z),
        loss=sg.softmax_cross_entropy(z, y),
        metrics=[sg.accuracy],
        training=sg.Training(optimizer=sg.adam(3e-3), batch_size=128, epochs=5, schedule=sg.exponential_decay(0.7)),
    )
