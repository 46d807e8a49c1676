"""A small attention network over 16 patches of 7 by 7 pixels: one block of a transformer."""

import symgrad as sg


def model(width: int = 64, classes: int = 10) -> sg.Model:
    """Patches become vectors with a learnt position each; attention and a dense layer, both residual; their mean."""
    pixels = sg.variable("pixels", ("N", 784), dtype="uint8")
    y = sg.labels("y", ("N",), classes=classes)
    E, P = sg.parameter("E", (49, width)), sg.parameter("P", (16, width))
    Q, K, V = (sg.parameter(name, (width, width)) for name in "QKV")
    W1, b1 = sg.parameter("W1", (width, 4 * width)), sg.parameter("b1", (4 * width,))
    W2, b2 = sg.parameter("W2", (4 * width, width)), sg.parameter("b2", (width,))
    W3, b3 = sg.parameter("W3", (width, classes)), sg.parameter("b3", (classes,))

    grid = sg.transpose(sg.reshape(pixels / 255, ("N", 4, 7, 4, 7)), (0, 1, 3, 2, 4))
    x = (sg.reshape(grid, ("N", 16, 49)) @ E + P).named("x")
    q, k, v = (x @ Q).named("q"), (x @ K).named("k"), (x @ V).named("v")
    a = (x + sg.attention(q, k, v)).named("a")
    h = (a + sg.relu(sg.layer_norm(a) @ W1 + b1) @ W2 + b2).named("h")
    z = (sg.mean(h, axis=1) @ W3 + b3).named("z")
    return sg.Model(
        inputs=[pixels],
        targets=[y],
        output=sg.softmax(z),
        loss=sg.softmax_cross_entropy(z, y),
        metrics=[sg.accuracy],
        training=sg.Training(optimizer=sg.adam(4e-3), batch_size=128, epochs=5, schedule=sg.exponential_decay(0.6)),
    )
