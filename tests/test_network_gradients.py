"""Gradients of small networks against an independent derivation: explicit scalars that SymPy differentiates."""

import numpy as np
import pytest
import sympy
import values

import symgrad as sg


def matrix(name, rows, columns):
    return sympy.Matrix(rows, columns, lambda i, j: sympy.Symbol(f"{name}_{i}_{j}", real=True))


def network(kind):
    """(loss as an expression, its parameters, loss as scalars, matrices by name, values by name)."""
    n, features, hidden, classes = 2, 2, 2, 3
    rng = np.random.default_rng(5)
    wide = features if kind == "regression" else hidden
    inputs, labels = sg.variable("x", ("N", features)), sg.labels("y", ("N",), classes=classes)
    weights = [sg.parameter("W2", (wide, classes)), sg.parameter("b2", (classes,))]
    cells = {"x": matrix("x", n, features), "W2": matrix("W2", wide, classes), "b2": matrix("b2", 1, classes)}
    h, scalars = inputs, cells["x"]
    if kind != "regression":
        weights = [sg.parameter("W1", (features, hidden)), sg.parameter("b1", (hidden,)), *weights]
        cells |= {"W1": matrix("W1", features, hidden), "b1": matrix("b1", 1, hidden)}
        scalars = scalars * cells["W1"] + sympy.ones(n, 1) * cells["b1"]
        function = {"relu": lambda t: sympy.Piecewise((t, t > 0), (0, True)), "tanh": sympy.tanh}[kind]
        scalars, h = scalars.applyfunc(function), getattr(sg, kind)(h @ weights[0] + weights[1])
    scalars = scalars * cells["W2"] + sympy.ones(n, 1) * cells["b2"]
    chosen = [2, 0]
    rows = [sympy.log(sum(sympy.exp(scalars[i, c]) for c in range(classes))) - scalars[i, chosen[i]] for i in range(n)]
    loss = sg.softmax_cross_entropy(h @ weights[-2] + weights[-1], labels)
    arrays = {name: rng.uniform(-1, 1, cell.shape) for name, cell in cells.items()}
    return loss, weights, sum(rows) / n, cells, arrays, np.array(chosen)


@pytest.mark.parametrize("kind", ["regression", "relu", "tanh"])
def test_networks_against_scalars_differentiated_by_sympy(kind):
    loss, weights, scalars, cells, arrays, chosen = network(kind)
    point = {cells[name][i, j]: arrays[name][i, j] for name in cells for i, j in np.ndindex(*cells[name].shape)}
    given = {name: a.reshape(-1) if name[0] == "b" else a for name, a in arrays.items()} | {"y": chosen}
    gradients = sg.gradient(loss, weights)
    kernel = sg.compile([loss, *gradients], dtype="float64")(given)
    np.testing.assert_allclose(kernel[0], float(scalars.subs(point).evalf(25)), rtol=1e-13)
    for parameter, gradient, computed in zip(weights, gradients, kernel[1:], strict=True):
        cell = cells[parameter.name]
        want = np.array([float(scalars.diff(symbol).subs(point).evalf(25)) for symbol in cell])
        for value in (values.of(gradient, given), values.of(sg.simplify(gradient), given), computed):
            np.testing.assert_allclose(value, want.reshape(value.shape), rtol=1e-12, atol=1e-14)
