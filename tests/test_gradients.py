"""Derivative rules: every op by differences to order 2, the adjoint identity, what is no gradient."""

import functools
import itertools

import numpy as np
import pytest
import values
from differences import directions, slope

import symgrad as sg
from symgrad.calculus.gradient import derive
from symgrad.expression import ops
from symgrad.expression.node import leaves, make, topological

N = "N"
x, w = sg.variable("x", (N, 3)), sg.parameter("w", (3, 2))
v, b = sg.parameter("v", (3,)), sg.parameter("b", (2,))
q = sg.variable("q", (3, 3))
y, k = sg.labels("y", (N,), classes=3), sg.variable("k", (2, 2), dtype="int64")
s = sg.variable("s")
spread = q + 2 * sg.identity(3)  # far from singular
image, kernel = sg.variable("image", (2, 5, 4, 2)), sg.parameter("kernel", (2, 3, 2, 2))
ARRAYS = {
    "x": np.array([[0.3, -0.7, 1.1], [0.9, 0.4, -1.3], [-0.2, 1.4, 0.6], [1.2, -0.5, 0.1]]),
    "w": np.array([[0.5, -0.8], [1.2, 0.3], [-0.4, 0.7]]),
    "v": np.array([0.8, -0.6, 0.35]),
    "b": np.array([0.15, -0.9]),
    "q": np.array([[0.4, -0.3, 0.8], [1.1, 0.6, -0.9], [-0.7, 0.2, 0.5]]),
    "y": np.array([2, 0, 1, 0]),
    "k": np.array([[0, 2], [2, 1]]),
    "s": np.array(0.7),
    "kept": np.array([0.5, -0.2, 0.9]),
    "noise": np.random.default_rng(1).random((4, 3)),
    "image": np.random.default_rng(2).uniform(-1, 1, (2, 5, 4, 2)),
    "kernel": np.random.default_rng(3).uniform(-1, 1, (2, 3, 2, 2)),
}


def contraction(inputs, output, new, *args):
    return make(ops.Contraction(inputs, output, new), *args)


RESOLVED = {ops.Mode, ops.Assign}  # gone before anything is differentiated, see test_layers
# What is differentiated for each op; several where an op has several cases.
CASES = {
    ops.Variable: [x * 1],
    ops.Parameter: [w * 1],
    ops.Named: [(x * x).named("h")],
    ops.Constant: [x * np.array([1.0, 2, 3])],
    ops.Extent: [sg.mean(x, axis=0), sg.mean(x)],
    ops.Cast: [sg.cast(y, "real") @ x],
    ops.OneHot: [x * sg.one_hot(y, 3)],
    ops.Identity: [sg.identity(3) * q, sg.identity(3) @ w, sg.einsum("ij,jk->ik", x, sg.identity(3))],
    ops.Elementwise: [
        x + v,
        x - v,
        x * v * x,
        v / (2 + q),
        -x,
        (2 + sg.sin(x)) ** v,
        x**3,
        s * x,
        x / (2 + s),
        sg.add(s, s),
    ],
    ops.Contraction: [
        x @ w,
        x.T @ x,
        x @ v,
        v @ w,
        v @ v,
        sg.outer(v, b),
        sg.sum(x),
        sg.sum(x, axis=0),
        sg.sum(x, axis=1, keepdims=True),
        x.T,
        sg.einsum("ii->i", q),
        sg.einsum("ii->", q),
        sg.einsum("ij,jj->i", q, q),
        sg.einsum("ij,jk,k->i", x, w, b),
        sg.einsum("ni,nj,i->j", x, x, v),
        sg.einsum("ni,ni->n", x, x),
        sg.einsum("ij,ji->", q, q),
        sg.einsum("ij,kl->ikl", w, q),
        contraction(((0,),), (0, 1), ((1, 4),), v),
        contraction(((0, 0),), (0, 1), ((1, 2),), q),
        sg.transpose(sg.einsum("i,jk->ijk", b, w), (2, 0, 1)),
        sg.einsum("i,jk->ijk", b, x) @ sg.einsum("i,jk->ijk", b, w),
    ],
    ops.Reduce: [
        sg.max(x),
        sg.min(x, axis=1),
        sg.max(x, axis=0, keepdims=True),
        sg.max(sg.outer(v, v) * q, axis=(0, 1)),
        sg.prod(x),
        sg.prod(x * x, axis=1, keepdims=True),
        sg.prod(sg.where(x > 0.5, 0.0, x), axis=0),
    ],
    ops.LogSumExp: [sg.logsumexp(x), sg.logsumexp(x, axis=0, keepdims=True), sg.logsumexp(q, axis=None)],
    ops.Softmax: [sg.softmax(x), sg.softmax(x, axis=0), sg.softmax(q, axis=(0, 1)), sg.log(sg.softmax(x))],
    ops.ArgMax: [sg.cast(sg.argmax(x), "real") @ x, sg.take(x, sg.argmax(q))],
    ops.Reshape: [sg.reshape(q, (9,)), sg.reshape(x, (-1,)), sg.reshape(w, (1, 6, 1)), sg.reshape(x @ w, (2, N))],
    ops.Take: [sg.take(v, k), sg.take(q, k, axis=1), sg.take(w, y), sg.take(x, k)],
    ops.State: [x * sg.state("kept", (3,), 0.5)],
    ops.Noise: [x * sg.noise("noise", (N, 3))],
    ops.Range: [x * sg.arange(3), sg.tril(q @ q), sg.cumsum(x, 0)],
    ops.Slice: [x[1:], x[:-1] * x[1:], x[::-1, 1], q[::2, ::-1], q[1:, 2], sg.flip(x, 1) * x, x[-1]],
    ops.Pad: [sg.pad(v, 1), sg.pad(x, ((1, 0), (2, 1))), sg.pad(q, 1, 2.0), sg.gradient(sg.sum(q[::2, 1:] ** 3), q)],
    ops.Concatenate: [sg.concatenate([x, x * x], 1), sg.concatenate([q, w.T, q]), sg.stack([v, 2 * v], 1)],
    ops.Windows: [
        sg.windows(x, 1, 2),
        sg.windows(q, 0, 2, 1, 2) * 2,
        sg.conv1d(image[:, 0], kernel[0]),
        sg.conv2d(image, kernel),
        sg.conv2d(image, kernel, 2, "same"),
        sg.conv2d(image, kernel, 1, ((1, 0), (0, 2)), (1, 2)),
        sg.max_pool2d(image),
        sg.max_pool2d(image, 3, 2, "same"),
        sg.average_pool2d(image, 2, 1, "same"),
    ],
    ops.Overlap: [
        sg.gradient(sg.sum(sg.sin(sg.windows(q, 0, 2))), q),
        sg.gradient(sg.sum(sg.conv2d(image, kernel, 2) ** 2), image),
        sg.gradient(sg.sum(sg.average_pool2d(image) ** 3), image),
    ],
    ops.Inverse: [sg.inverse(spread), sg.inverse(sg.einsum("k,ij->kij", 2 + v, spread))],
    ops.Solve: [sg.solve(spread, v), sg.solve(spread, w), sg.solve(spread @ spread, w * w)],
    ops.Determinant: [sg.determinant(q), sg.determinant(sg.stack([q, q @ q]))],
    ops.LogDet: [sg.logdet(q), sg.logdet(sg.stack([q, q @ q]))],
    ops.Cholesky: [sg.cholesky(q @ q.T + 2 * sg.identity(3))],
    ops.Scatter: [sg.scatter(x, y, 3), sg.scatter(q, sg.constant([0, 2, 0]), 4, axis=1), sg.scatter(x, y, N)],
}
value_of = functools.partial(values.of, N=4)
ROWS = [pytest.param(e, id=f"{op.__name__}{i}") for op, group in CASES.items() for i, e in enumerate(group)]
each = pytest.mark.parametrize("expression", ROWS)


def arrays_for(expression, given):
    return {name: given[name] for name in leaves([expression])}


def scalar(expression):
    """A loss of the expression with another weight on each entry, not linear in it; and arrays for it."""
    weights = sg.variable("weights", expression.shape)
    shape = value_of(expression, ARRAYS).shape
    given = ARRAYS | {"weights": np.random.default_rng(0).uniform(0.5, 1.5, shape)}
    return sg.sum(expression * weights + 0.5 * sg.sin(expression) * expression), given


def real_leaves(expression):
    order, reached = topological([expression]), {expression}
    for node in reversed(order):
        reached |= {a for a in node.args if node in reached and a.kind == "real"}
    return [n for n in order if n in reached and isinstance(n.op, ops.Leaf)]


def test_every_op_has_a_case():
    assert set(CASES) | RESOLVED == set(ops.OPS) and not set(CASES) & RESOLVED
    for op, group in CASES.items():
        assert all(any(isinstance(n.op, op) for n in topological([e])) for e in group), op.__name__


@each
def test_order_one(expression):
    loss, given = scalar(expression)
    check(loss, given, real_leaves(expression), 1e-9)


@each
def test_order_two(expression):
    """The gradient of a random projection of the gradient."""
    loss, given = scalar(expression)
    for leaf in real_leaves(expression):
        direction = sg.variable("direction", leaf.shape)
        given["direction"] = np.random.default_rng(1).uniform(-1, 1, ARRAYS[leaf.name].shape)
        projected = sg.sum(sg.gradient(loss, leaf) * direction)
        check(projected, given, [n for n in real_leaves(projected) if n is leaf], 1e-6)


def check(loss, given, wrt, tolerance):
    gradients = sg.gradient(loss, wrt)
    for leaf, gradient, simple in zip(wrt, gradients, sg.simplify(gradients), strict=True):
        assert gradient.shape == simple.shape == leaf.shape
        value = value_of(gradient, given)
        np.testing.assert_allclose(value_of(simple, given), value, rtol=1e-11, atol=1e-11)
        for direction in directions(value.shape, np.random.default_rng(2), most=64):
            (measured,) = slope([loss], arrays_for(loss, given), leaf.name, direction, 1e-3)
            allowed = tolerance * max(1.0, np.abs(value).max(), abs(value_of(loss, given)))
            assert abs(measured - (value * direction).sum()) <= allowed, leaf.name


@each
def test_adjoint_identity(expression):
    """<J d, u> = <d, Jᵀ u>: J d by differentiating <Jᵀ u, d> with respect to u, on which it depends linearly."""
    shape = value_of(expression, ARRAYS).shape
    rng = np.random.default_rng(3)
    u, given = sg.variable("u", expression.shape), ARRAYS | {"u": rng.uniform(-1, 1, shape)}
    for leaf in real_leaves(expression):
        given["d"] = rng.uniform(-1, 1, ARRAYS[leaf.name].shape)
        backward = sg.gradient(sg.sum(expression * u), leaf)
        forward = sg.gradient(sg.sum(backward * sg.variable("d", leaf.shape)), u)
        there = (value_of(forward, given) * given["u"]).sum()
        back = (value_of(backward, given) * given["d"]).sum()
        assert abs(there - back) <= 1e-12 * max(1.0, np.abs(value_of(forward, given) * given["u"]).sum())


def test_the_derivation_is_what_was_computed():
    loss = sg.mean_squared_error(sg.tanh(x @ w) @ b, sg.variable("t", (N,)))
    record = derive(loss, [w, b])
    assert record.gradients == tuple(sg.gradient(loss, [w, b])) and record.wrt == (w, b)
    assert {step.rule for step in record.steps} >= {"tanh", "matrix product, right operand"}
    assert all(step.result.shape == step.node.args[step.position].shape for step in record.steps)


@pytest.mark.parametrize(
    ("loss", "wrt", "words"),
    [
        (x @ w, w, ["scalar", "(N, 2)", "sum or mean"]),
        (sg.sum(x), w, ["does not contain w", "x"]),
        (sg.sum(x @ w), sg.parameter("w", (3, 2)), ["does not contain w", "another leaf called w"]),
        (sg.sum(sg.cast(sg.argmax(x @ w), "real")), w, ["w", "argmax", "no derivative"]),
        (sg.sum(sg.cast(x > 0, "real")), x, ["x", "no derivative"]),
        (sg.sum(sg.argmax(x)), x, ["integer", "no derivative"]),
        (sg.sum(x * sg.cast(sg.reshape(y, (N, 1)), "real")), y, ["y is integer"]),
        (sg.sum(x), "w", ["expressions", "str"]),
    ],
)
def test_errors_name_what_and_why(loss, wrt, words):
    with pytest.raises(sg.GradientError) as caught:
        sg.gradient(loss, wrt if isinstance(wrt, sg.Expr) else [wrt])
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_what_cancels_has_gradient_zero():
    """softmax(a + c) is softmax(a) when c is constant along the rows: no error, no rounding noise."""
    c, shift = sg.parameter("c", (N, 1)), sg.parameter("shift")
    loss = sg.sum(sg.softmax(x + c) * v) + sg.sum(sg.softmax(x + shift) * v)
    given = ARRAYS | {"c": np.ones((4, 1)), "shift": np.array(2.0)}
    for gradient, leaf in zip(sg.gradient(loss, [c, shift]), (c, shift), strict=True):
        assert gradient.shape == leaf.shape and not value_of(gradient, given).any()
        assert not sg.compile([loss, gradient], dtype="float64")({n: given[n] for n in leaves([loss])})[1].any()


def test_a_list_for_a_list_and_one_for_one():
    loss = sg.sum(sg.tanh(x @ w) + b)
    assert isinstance(sg.gradient(loss, w), sg.Expr)
    assert isinstance(sg.gradient(loss, [w]), list) and sg.gradient(loss, []) == []
    one, two = sg.gradient(loss, [b, w])
    assert one.shape == b.shape and two.shape == w.shape


def test_cost_grows_linearly_with_depth():
    def nodes(depth):
        h = v
        for _ in range(depth):
            h = sg.tanh(h * h + v)
        return len(topological(sg.simplify([sg.gradient(sg.sum(h), v)])))

    sizes = [nodes(d) for d in (10, 20, 40)]
    growth = [b - a for a, b in itertools.pairwise(sizes)]
    assert growth[1] <= 2.2 * growth[0], sizes


def test_no_identity_sees_through_what_the_gradient_is_taken_by():
    """log(sigmoid(net)) is -softplus(-net), but the derivative by p = sigmoid(net) is 1/p all the same."""
    net = sg.parameter("net", (3,))
    p = sg.sigmoid(net).named("p")
    loss = sg.sum(sg.log(p))
    by_p, by_net = sg.gradient(loss, [p, net])
    at = {net: [0.3, -2.0, 5.0]}
    value = sg.evaluate(p, at)
    assert np.allclose(sg.evaluate(sg.gradient(loss, p), at), 1 / value)
    assert np.allclose(sg.evaluate(by_p, at), 1 / value) and np.allclose(sg.evaluate(by_net, at), 1 - value)
    assert str(sg.simplify(sg.gradient(loss, net))) == "σ(−net)"
