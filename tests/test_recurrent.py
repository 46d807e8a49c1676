"""Recurrent networks: scan over time with a simple cell, an LSTM's and a GRU's, against loops in NumPy and PyTorch."""

import numpy as np
import pytest
import values
from derivatives import arrays_for, kernel_agrees, to_order_two

import symgrad as sg
from symgrad.expression.node import topological


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def lstm(x, h, c, W, b):
    i, f, g, o = np.split(np.concatenate([x, h], -1) @ W + b, 4, -1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gru(x, h, W, U, b):
    (xz, xr, xn), (hz, hr, hn), (bz, br, bn) = (np.split(m, 3, -1) for m in (x @ W, h @ U, b))
    z, r = sigmoid(xz + hz + bz), sigmoid(xr + hr + br)
    return (1 - z) * np.tanh(xn + r * hn + bn) + z * h


xs, start, memory = sg.variable("xs", ("N", 3, 2)), sg.variable("start", ("N", 3)), sg.variable("memory", ("N", 3))
W, U, b = sg.parameter("W", (2, 3)), sg.parameter("U", (3, 3)), sg.parameter("b", (3,))
LW, Lb = sg.parameter("LW", (5, 12)), sg.parameter("Lb", (12,))
GW, GU, Gb = sg.parameter("GW", (2, 9)), sg.parameter("GU", (3, 9)), sg.parameter("Gb", (9,))
GIVEN = arrays_for((xs, start, memory, W, U, b, LW, Lb, GW, GU, Gb))
# name: (step, initial state, the same step in NumPy, parameters)
CELLS = {
    "simple": (lambda h, x: sg.tanh(x @ W + h @ U + b), start,
               lambda g, h, x: (np.tanh(x @ g["W"] + h @ g["U"] + g["b"]),) * 2, [W, U, b, start, xs]),
    "simple with an output": (lambda h, x: (sg.tanh(x @ W + h @ U), h * 2), start,
                              lambda g, h, x: (np.tanh(x @ g["W"] + h @ g["U"]), h * 2), [W, U]),
    "gru": (lambda h, x: sg.gru_cell(x, h, GW, GU, Gb), start,
            lambda g, h, x: (gru(x, h, g["GW"], g["GU"], g["Gb"]),) * 2, [GU, xs]),
    "lstm": (lambda s, x: ((new := sg.lstm_cell(x, *s, LW, Lb)), new[0]), (start, memory),
             lambda g, s, x: ((new := lstm(x, *s, g["LW"], g["Lb"])), new[0]), [LW, Lb, memory]),
}  # fmt: skip


def scanned(name):
    """Final state and outputs of a cell over all times, as expressions and as arrays."""
    step, initial, reference, by = CELLS[name]
    final, outputs = sg.scan(step, initial, xs)
    state = tuple(GIVEN[s.name] for s in initial) if isinstance(initial, tuple) else GIVEN[initial.name]
    seen = []
    for t in range(3):
        state, output = reference(GIVEN, state, GIVEN["xs"][:, t])
        seen.append(output)
    return final, outputs, state, np.stack(seen, 1), by


@pytest.mark.parametrize("name", CELLS)
def test_scan(name):
    final, outputs, state, seen, by = scanned(name)
    pairs = list(zip(final, state, strict=True)) if isinstance(final, tuple) else [(final, state)]
    for found, wanted in [*pairs, (outputs, seen)]:
        assert found.shape == ("N", *wanted.shape[1:])
        np.testing.assert_allclose(values.of(found, GIVEN), wanted, rtol=1e-12, atol=1e-14)
    to_order_two(sg.concatenate([pairs[-1][0][:, None], outputs], axis=1), GIVEN, by)


def test_scan_along_another_axis():
    final, outputs = sg.scan(lambda h, x: h + x, sg.constant(np.zeros(4)), sg.variable("m", (3, 4)), axis=0)
    rows = np.arange(12.0).reshape(3, 4)
    np.testing.assert_array_equal(sg.evaluate(final, {"m": rows}), rows.sum(0))
    assert outputs.shape == (4, 3), "outputs are stacked along axis 1"
    np.testing.assert_array_equal(sg.evaluate(outputs, {"m": rows}), rows.cumsum(0).T)


def test_kernels_agree_with_the_interpreter():
    outputs = scanned("lstm")[1]
    every = [outputs, sg.gradient(sg.sum(outputs**2), LW), scanned("gru")[0]]
    for threads in (1, 2):
        kernel_agrees(every, GIVEN, threads)


def test_the_graph_grows_with_the_length_as_a_line():
    def count(length):
        final, _ = sg.scan(CELLS["simple"][0], start, sg.variable("xs", ("N", length, 2)))
        return len(topological([sg.gradient(sg.sum(final), W)]))

    four, eight, sixteen = count(4), count(8), count(16)
    assert sixteen - eight <= 2.2 * (eight - four)


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda: sg.scan(lambda h, x: h + x, start, sg.variable("long", (2, "T", 3))), ["long", "T"]),
        (lambda: sg.scan(lambda h, x: h + x, start, sg.variable("none", (2, 0, 3))), ["none", "0"]),
        (lambda: sg.scan(lambda h, x: h + x, start, xs), ["xs", "start"]),
        (lambda: sg.scan(lambda h, x: h @ sg.parameter("R", (3, 4)), start, xs), ["3", "4"]),
        (lambda: sg.lstm_cell(xs[:, 0], start, memory, GW, Gb), ["GW", "(2, 9)"]),
        (lambda: sg.lstm_cell(xs[:, 0], start, memory, LW, Gb), ["Gb", "(9,)", "12"]),
        (lambda: sg.gru_cell(xs[:, 0], start, LW, GU, Gb), ["LW", "(5, 12)"]),
    ],
)
def test_what_is_refused(act, words):
    with pytest.raises(sg.ExpressionError) as caught:
        act()
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_against_pytorch():
    torch = pytest.importorskip("torch")
    cell = torch.nn.LSTMCell(2, 3, dtype=torch.float64)  # its gates stand in the order i, f, g, o as well
    with torch.no_grad():
        cell.weight_ih.copy_(torch.tensor(GIVEN["LW"][:2].T))
        cell.weight_hh.copy_(torch.tensor(GIVEN["LW"][2:].T))
        cell.bias_ih.copy_(torch.tensor(GIVEN["Lb"]))
        cell.bias_hh.zero_()
        wanted = cell(torch.tensor(GIVEN["xs"][:, 0]), (torch.tensor(GIVEN["start"]), torch.tensor(GIVEN["memory"])))
    for found, tensor in zip(sg.lstm_cell(xs[:, 0], start, memory, LW, Lb), wanted, strict=True):
        np.testing.assert_allclose(values.of(found, GIVEN), tensor.numpy(), rtol=1e-10)
