"""The gradcheck table: at least 20 samples of every op, order 1 and 2 and the adjoint identity; its count is asserted.

Samples vary the numbers, the length of the named axis (0, 1 and more) and how arrays lie in memory. Each is judged
along a random direction by five-point differences of the interpreter, relative to the sum of what was added up.
"""

import itertools

import numpy as np
import pytest
from differences import slope
from test_gradients import ARRAYS, CASES, RESOLVED, real_leaves, scalar

import symgrad as sg
from symgrad import interpreter
from symgrad.expression import binding, ops
from symgrad.expression.node import leaves, topological
from symgrad.expression.scalars import TABLE as SCALARS
from symgrad.interpreter import evaluate_all

SAMPLES = 20  # of each op, at least
LAYOUTS = ("plain", "transposed", "every second", "reversed")
FIRST, SECOND, ADJOINT = 1e-9, 1e-6, 1e-12
ANCHOR = sg.variable("anchor_N", ("N",))


def laid_out(array, layout):
    """The same numbers, lying in memory in another way."""
    if layout == "transposed" and array.ndim > 1:
        return np.asfortranarray(array)
    if layout == "every second" and array.ndim:
        wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
        wide[..., ::2] = array
        return wide[..., ::2]
    return array[::-1].copy()[::-1] if layout == "reversed" and array.ndim else array


def sample(expression, rng, length, layout):
    """A loss of an expression, arrays for it, and its real leaves."""
    loss, given = scalar(expression)
    found = {}
    for name, leaf in leaves([loss, ANCHOR]).items():
        if name == "anchor_N":
            array = np.zeros(length)
        else:
            array = np.asarray(given[name], dtype=None)
            cut = tuple(slice(length) if s == "N" else slice(None) for s in leaf.shape)
            array = array[cut]
        if leaf.kind == "real":
            array = array + rng.uniform(-0.04, 0.04, array.shape)
        found[name] = laid_out(array, layout)
    return loss, found, real_leaves(expression)


def values(expressions, arrays):
    """Values where the arrays may hold more than an expression needs, and the anchor tells N."""
    needed = leaves([*expressions, ANCHOR])
    return evaluate_all([*expressions, ANCHOR], {name: arrays[name] for name in needed})[: len(expressions)]


def along(expression, arrays, leaf, direction):
    needed = {name: arrays[name] for name in leaves([expression, ANCHOR])}
    return slope([expression, ANCHOR], needed, leaf.name, direction, 1e-3)[0]


def judge(expression, rng, length, layout):
    """Three judgements of one sample, for one of its leaves."""
    loss, arrays, wrt = sample(expression, rng, length, layout)
    if not wrt:
        return 0
    leaf = wrt[rng.integers(len(wrt))]
    gradient = sg.gradient(loss, leaf)
    (value, height) = values([gradient, loss], arrays)
    assert value.shape == arrays[leaf.name].shape
    if not np.isfinite(value).all() or not value.size:
        return 1  # an empty mean, say
    direction = rng.uniform(-1, 1, value.shape)
    size = max(1.0, np.abs(value).max(), abs(height), np.abs(value * direction).sum())
    assert abs(along(loss, arrays, leaf, direction) - (value * direction).sum()) <= FIRST * size, "order 1"
    arrays |= {"d": direction, "e": rng.uniform(-1, 1, value.shape)}
    d, e = sg.variable("d", leaf.shape), sg.variable("e", leaf.shape)
    steep, other = sg.sum(gradient * d), arrays["e"]
    if leaf in real_leaves(steep):
        (second,) = values([sg.gradient(steep, leaf)], arrays)
        size = max(1.0, np.abs(second).max(), np.abs(second * other).sum())
        assert abs(along(steep, arrays, leaf, other) - (second * other).sum()) <= SECOND * size, "order 2"
        (turned,) = values([sg.gradient(sg.sum(gradient * e), leaf)], arrays)
        there, back = (second * other).sum(), (turned * direction).sum()  # ⟨H d, e⟩ = ⟨d, H e⟩
        size = max(1.0, np.abs(second * other).sum(), np.abs(turned * direction).sum())
        assert abs(there - back) <= ADJOINT * size, "adjoint identity"
    return 1


def drawn(op):
    """The samples of an op: every case of it, again and again with other numbers, lengths and layouts."""
    ways = itertools.cycle(itertools.product((4, 1, 3), LAYOUTS))
    rounds = -(-SAMPLES // len(CASES[op])) + 1
    return [(case, next(ways)) for _ in range(rounds) for case in CASES[op]]


@pytest.mark.parametrize("op", CASES, ids=lambda op: op.__name__)
def test_samples(op):
    rng, count = np.random.default_rng(11), 0
    for case, (length, layout) in drawn(op):
        if needs_four(case) and length != 4:
            length = 4
        count += judge(case, rng, length, layout)
    assert count >= SAMPLES


def needs_four(case):
    """Whether a case has a size that is made of N, or picks along N at positions that only a longer one has."""
    order = topological([case])
    picked = [n.args[0].shape[n.op.axis] for n in order if isinstance(n.op, ops.Take)]
    picked += [n.op.size for n in order if isinstance(n.op, ops.Scatter)]
    made = any(not isinstance(size, int | str) for n in order for size in n.shape)
    return made or "N" in picked or any(isinstance(n.op, ops.Slice) for n in order)


@pytest.mark.parametrize("op", CASES, ids=lambda op: op.__name__)
def test_empty_axes(op):
    """With N = 0 shapes are right; what is finite is right, what is not is what NumPy says of nothing."""
    for case in CASES[op]:
        named = any("N" in leaf.shape for leaf in leaves([case]).values())
        if not named or needs_four(case) or any(isinstance(n.op, ops.Reduce | ops.ArgMax) for n in topological([case])):
            continue
        loss, arrays, wrt = sample(case, np.random.default_rng(0), 0, "plain")
        for leaf, gradient in zip(wrt, sg.gradient(loss, wrt), strict=True):
            assert values([gradient], arrays)[0].shape == arrays[leaf.name].shape


def test_the_count_of_the_table_is_that_of_the_registry():
    assert len(CASES) + len(RESOLVED) == len(ops.OPS) == 32
    assert sum(len(drawn(op)) for op in CASES) >= SAMPLES * len(CASES) and set(ARRAYS)


KINKED = (ops.LogSumExp, ops.Softmax, ops.ArgMax, ops.LogDet, ops.Cholesky, ops.Cast, ops.Range)  # no complex twin
STEP = 1e-40


def analytic(node):
    """Whether a node is a function of complex numbers, as the interpreter computes it."""
    smooth = not isinstance(node.op, ops.Elementwise) or SCALARS[node.op.function].smooth
    kinked = isinstance(node.op, ops.Reduce) and node.op.function != "product"
    return smooth and not kinked and not isinstance(node.op, KINKED)


ANALYTIC = [pytest.param(case, id=f"{op.__name__}{i}") for op, group in CASES.items() for i, case in enumerate(group)
            if all(analytic(n) for n in topological([case]))]  # fmt: skip


@pytest.mark.parametrize("case", ANALYTIC)
def test_complex_step(case, monkeypatch):
    """Im f(x + ih d)/h has no cancellation: 1e-12 (Squire and Trapp 1998). The interpreter computes with complex numbers."""
    rng = np.random.default_rng(4)
    loss, arrays, wrt = sample(case, rng, 4, "plain")
    for leaf in wrt:
        (gradient,) = values([sg.gradient(loss, leaf)], arrays)
        direction = rng.uniform(-1, 1, gradient.shape)
        with monkeypatch.context() as patch:
            patch.setitem(interpreter.DTYPES, "real", np.complex128)
            patch.setattr(binding, "as_array", lambda value, leaf: np.asarray(value))
            (moved,) = values([loss], {**arrays, leaf.name: arrays[leaf.name] + 1j * STEP * direction})
        size = max(1.0, np.abs(gradient * direction).sum())
        assert abs(moved.imag / STEP - (gradient * direction).sum()) <= 1e-12 * size, leaf.name


def test_most_cases_have_a_complex_step():
    assert len(ANALYTIC) >= 60
