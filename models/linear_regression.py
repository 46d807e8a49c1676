"""Linear regression over any table: one weight for each column, columns and target brought to mean 0, variance 1."""

import symgrad as sg


def model(features: int = 8) -> sg.Model:
    """`features` columns, by default as many as the data have."""
    columns = sg.variable("columns", ("N", features))
    y = sg.variable("y", ("N",))
    w, b = sg.parameter("w", (features,)), sg.parameter("b")

    mean, variance = sg.running_moments(sg.expand_dims(y, 1), momentum=0.9, name="target")
    t = ((y - mean) / sg.sqrt(variance + 1e-12)).named("t")
    x = sg.batch_norm(columns, momentum=0.9, name="column").named("x")
    prediction = (x @ w + b).named("prediction")
    return sg.Model(
        inputs=[columns],
        targets=[y],
        output=prediction * sg.sqrt(variance + 1e-12) + mean,
        loss=sg.mean_squared_error(prediction, t),
        metrics=["mean_absolute_error"],
        training=sg.Training(optimizer=sg.adam(0.02), batch_size=32, epochs=60, schedule=sg.cosine_decay()),
    )
