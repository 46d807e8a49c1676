"""Logistic regression over any table whose label is 0 or 1; columns brought to mean 0 and variance 1 first."""

import symgrad as sg


def model(features: int = 8) -> sg.Model:
    """`features` columns, by default as many as the data have."""
    columns = sg.variable("columns", ("N", features))
    y = sg.labels("y", ("N",), classes=2)
    w, b = sg.parameter("w", (features,)), sg.parameter("b")

    x = sg.batch_norm(columns, momentum=0.9, name="column").named("x")
    z = (x @ w + b).named("z")
    return sg.Model(
        inputs=[columns],
        targets=[y],
        output=sg.sigmoid(z),
        loss=sg.binary_cross_entropy(z, y, from_logits=True) + 1e-3 * sg.l2(w),
        metrics=[sg.accuracy],
        training=sg.Training(optimizer=sg.adam(0.05), batch_size=32, epochs=30, schedule=sg.cosine_decay()),
    )
