"""A network small enough for a blackboard: two inputs, two hidden units, one output, its weights given."""

import symgrad as sg


def model() -> sg.Model:
    """Sigmoid units and half the squared error, as in most lectures on backpropagation."""
    x = sg.variable("x", ("N", 2))
    t = sg.variable("t", ("N",))
    W1, b1 = sg.parameter("W1", (2, 2), init=[[0.15, 0.25], [0.2, 0.3]]), sg.parameter("b1", (2,), init=[0.35, 0.35])
    w2, b2 = sg.parameter("w2", (2,), init=[0.4, 0.45]), sg.parameter("b2", (), init=0.6)

    net = (x @ W1 + b1).named("net")
    h = sg.sigmoid(net).named("h")
    o = sg.sigmoid((h @ w2 + b2).named("s")).named("o")
    return sg.Model(
        inputs=[x],
        targets=[t],
        output=o,
        loss=sg.mean((o - t) ** 2 / 2),
        training=sg.Training(optimizer=sg.sgd(0.5), batch_size=4, epochs=100),
        example={"x": [[0.05, 0.1]], "t": [0.01]},
    )
