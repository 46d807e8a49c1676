"""What moves entries about: indexing, joining, padding, triangles, running sums, products: NumPy, order 2, kernels."""

import numpy as np
import pytest
import values
from derivatives import agrees, kernel_agrees, loss_of, prints_and_stores, to_order_two

import symgrad as sg
from symgrad.expression.node import leaves

N = "N"
x, v, w = sg.variable("x", (N, 5)), sg.parameter("v", (7,)), sg.parameter("w", (2, 3, 4))
o, q, one = sg.variable("o", (N, 5)), sg.parameter("q", (4, 4)), sg.parameter("one", (1, 3, 1))
row = sg.parameter("row", (5,))
_random = np.random.default_rng(4)
GIVEN = {leaf.name: _random.uniform(0.4, 1.6, [3 if s == N else s for s in leaf.shape]) * _random.choice(
    [-1, 1], [3 if s == N else s for s in leaf.shape]) for leaf in (x, v, w, o, q, one, row)}  # fmt: skip

# name: (leaves, the expression of them, the same of their arrays)
SLICES = (
    "x[0]", "x[-1]", "v[np.int64(2)]", "x[:, 2]", "x[:, -2]", "x[1, 3]", "x[...]", "x[:, 1:4]", "x[:, ::2]",
    "x[:, -3:]", "x[:, ::-1]", "v[5:1:-2]", "v[:-100:-3]", "v[2:100]", "v[None]", "v[::7]", "w[1, ..., 2]", "w[..., 0]",
    "w[:, None, 1]", "w[0][1][2]", "w[::-1, 1:, None, ::3]", "w[:, 0:1]", "x[:, :4] - x[:, 1:]", "x[1:]",
    "x[:-2]", "x[::-1, 4]", "v[-1:2:-1]",
)  # fmt: skip
CASES = {text: ((x, v, w), *(eval(f"lambda x, v, w: {text}") for _ in range(2))) for text in SLICES} | {
    "flip": ((x,), lambda x: sg.flip(x, 1), lambda x: x[:, ::-1]),
    "flip the batch": ((x,), lambda x: sg.flip(x, 0), lambda x: x[::-1]),
    "flip, from the end": ((w,), lambda w: sg.flip(w, -2), lambda w: np.flip(w, -2)),
    "pad": ((w,), lambda w: sg.pad(w, ((1, 0), (0, 2), (1, 1))), lambda w: np.pad(w, ((1, 0), (0, 2), (1, 1)))),
    "pad by a number": ((v,), lambda v: sg.pad(v, 2, value=1.5), lambda v: np.pad(v, 2, constant_values=1.5)),
    "pad by a NumPy integer": ((v,), lambda v: sg.pad(v, np.int64(1)), lambda v: np.pad(v, 1)),
    "pad by a pair": ((q,), lambda q: sg.pad(q, (1, 2)), lambda q: np.pad(q, (1, 2))),
    "pad a batch": ((x,), lambda x: sg.pad(x, ((0, 0), (2, 1))), lambda x: np.pad(x, ((0, 0), (2, 1)))),
    "concatenate": ((x, o), lambda x, o: sg.concatenate([x, o, x], axis=1), lambda x, o: np.concatenate([x, o, x], 1)),
    "concatenate rows": ((x, o), lambda x, o: sg.concatenate([x, o]), lambda x, o: np.concatenate([x, o])),
    "concatenate unequal": ((w,), lambda w: sg.concatenate([w, w[:, :1], w[:, 1:]], axis=-2),
                            lambda w: np.concatenate([w, w[:, :1], w[:, 1:]], 1)),
    "stack": ((x, o), lambda x, o: sg.stack([x, o * x]), lambda x, o: np.stack([x, o * x])),
    "stack last": ((v,), lambda v: sg.stack([v, v, 2 * v], axis=-1), lambda v: np.stack([v, v, 2 * v], -1)),
    "split": ((w,), lambda w: sg.split(w, 2, axis=2)[1], lambda w: np.split(w, 2, 2)[1]),
    "split at": ((v,), lambda v: sg.split(v, [2, 3])[2] * 2, lambda v: np.split(v, [2, 3])[2] * 2),
    "expand_dims": ((x,), lambda x: sg.expand_dims(x, 1), lambda x: np.expand_dims(x, 1)),
    "expand_dims last": ((x,), lambda x: sg.expand_dims(x, -1), lambda x: x[..., None]),
    "squeeze": ((one,), lambda one: sg.squeeze(one), lambda one: one.squeeze()),
    "squeeze one": ((one,), lambda one: sg.squeeze(one, -1), lambda one: one.squeeze(-1)),
    "swapaxes": ((w,), lambda w: sg.swapaxes(w, 0, -1), lambda w: w.swapaxes(0, -1)),
    "swapaxes of a batch": ((x,), lambda x: sg.swapaxes(x, 0, 1), lambda x: x.T),
    "broadcast_to": ((row,), lambda row: sg.broadcast_to(row, (2, 5)), lambda row: np.broadcast_to(row, (2, 5))),
    "broadcast inside": ((one,), lambda one: sg.broadcast_to(one, (2, 3, 4)),
                         lambda one: np.broadcast_to(one, (2, 3, 4))),
    "broadcast to a batch": ((row, x), lambda row, x: sg.broadcast_to(row, (N, 5)) * x, lambda row, x: row * x),
    "arange": ((row,), lambda row: row * sg.arange(5), lambda row: row * np.arange(5)),
    "arange of a batch": ((x,), lambda x: x.T * sg.arange(N), lambda x: x.T * np.arange(len(x))),
    "tril": ((q,), lambda q: sg.tril(q), np.tril), "triu": ((q,), lambda q: sg.triu(q), np.triu),
    "tril of many": ((w,), lambda w: sg.tril(w), np.tril), "triu, oblong": ((x,), lambda x: sg.triu(x), np.triu),
    "cumsum": ((w,), lambda w: sg.cumsum(w, 1), lambda w: w.cumsum(1)),
    "cumsum of a batch": ((x,), lambda x: sg.cumsum(x, 0), lambda x: x.cumsum(0)),
    "cumsum last": ((v,), lambda v: sg.cumsum(v, -1), np.cumsum),
    "prod": ((v,), lambda v: sg.prod(v), np.prod),
    "prod of rows": ((x,), lambda x: sg.prod(x, axis=1), lambda x: x.prod(1)),
    "prod of columns, kept": ((x,), lambda x: sg.prod(x, axis=0, keepdims=True), lambda x: x.prod(0, keepdims=True)),
    "prod over two": ((w,), lambda w: sg.prod(w, axis=(0, 2)), lambda w: w.prod((0, 2))),
}  # fmt: skip
each = pytest.mark.parametrize("name", CASES)


def built(name):
    inputs, expression, reference = CASES[name]
    return expression(*inputs), reference(*(GIVEN[leaf.name] for leaf in inputs))


def first_leaf(name):
    return next(iter(leaves([built(name)[0]]).values()))


@each
def test_values(name):
    expression, wanted = built(name)
    for form in (expression, sg.simplify(expression)):
        found = values.of(form, GIVEN, N=3)
        assert found.shape == wanted.shape and len(form.shape) == wanted.ndim
        np.testing.assert_allclose(found, wanted, rtol=1e-14)


@each
def test_derivatives_to_order_two(name):
    expression, _ = built(name)
    to_order_two(expression, GIVEN, leaves([expression]).values())


@each
def test_formulas_and_storage(name):
    expression, _ = built(name)
    for form in (expression, sg.gradient(sg.sum(expression**2), first_leaf(name))):
        prints_and_stores(form, GIVEN)


@each
def test_jacobians(name):
    """The Jacobian in closed form applied to a direction is the Jacobian-vector product, which is a sweep's."""
    expression, wanted = built(name)
    leaf = first_leaf(name)
    matrix, vector = sg.jacobian(expression, leaf), sg.variable("vector", leaf.shape)
    given = GIVEN | {"vector": np.random.default_rng(6).normal(size=GIVEN[leaf.name].shape)}
    found = values.of(matrix, given, N=3)
    assert found.shape == wanted.shape + given["vector"].shape
    product = values.of(sg.jacobian_vector_product(expression, leaf, vector), given, N=3)
    np.testing.assert_allclose(np.tensordot(found, given["vector"], leaf.ndim), product, rtol=1e-11, atol=1e-12)


# One kernel of these, by their gradients, which contain their values too.
COMPILED = ["x[1, 3]", "x[:, ::-1]", "v[5:1:-2]", "w[::-1, 1:, None, ::3]", "x[:, :4] - x[:, 1:]", "flip the batch",
            "pad by a number", "pad a batch", "concatenate rows", "concatenate unequal", "stack last", "split at",
            "broadcast to a batch", "arange of a batch", "triu, oblong", "cumsum", "prod over two"]  # fmt: skip


@pytest.mark.parametrize("threads", [1, 2])
def test_kernels_agree_with_the_interpreter(threads):
    every = [sg.gradient(sg.sum(built(name)[0] ** 2), first_leaf(name)) for name in COMPILED]
    kernel_agrees(every, GIVEN, threads)


def test_float32_kernels_and_zeros_among_factors():
    factors = np.array([[1.5, 0.0, -2.0, 0.5, 3.0], [0.0, 2.0, 0.0, -1.0, 1.0], [1.0, 2.0, 3.0, 4.0, 0.25]])
    value = sg.prod(x, axis=1)
    slope = sg.gradient(sg.sum(value), x)
    others = [[np.prod(np.delete(factors[n], i)) for i in range(5)] for n in range(3)]
    np.testing.assert_array_equal(values.of(slope, {"x": factors}), others)
    np.testing.assert_array_equal(values.of(sg.simplify(slope), {"x": factors}), others)
    product, found = sg.compile([value, slope], dtype="float32")({"x": factors})
    np.testing.assert_allclose(product, factors.prod(1), rtol=1e-6)
    np.testing.assert_allclose(found, others, rtol=1e-6)
    to_order_two(value, {"x": factors}, [x])
    two_zeros = np.array([0.0, 0, 2, 3, 1, 1, 1])  # only their mixed derivative is left
    second = values.of(sg.hessian(sg.prod(v), v), {"v": two_zeros})
    wanted = np.zeros((7, 7))
    wanted[0, 1] = wanted[1, 0] = 6.0
    np.testing.assert_array_equal(second, wanted)


def test_what_is_not_finite_stays_where_it_is():
    given = {"v": np.array([1.0, 2, np.inf, 3, np.nan, 4, 5]), "q": np.arange(16.0).reshape(4, 4)}
    given["q"][0, 3], given["q"][3, 0] = np.inf, np.nan
    for expression, wanted in (
        (sg.tril(q), np.tril(given["q"])), (sg.triu(q)[:3], np.triu(given["q"])[:3]), (sg.flip(v, 0), given["v"][::-1]),
        (sg.pad(v, 1), np.pad(given["v"], 1)), (sg.concatenate([v, q[1]])[5:], [4, 5, 4, 5, 6, 7]),
        (sg.stack([v[:4], q[2]])[1], given["q"][2]), (sg.cumsum(v, 0), given["v"].cumsum()),
        (sg.gradient(sg.sum(v[::2] ** 2), v)[1::2], np.zeros(3)), (sg.windows(v, 0, 2)[0], [1.0, 2]),
    ):  # fmt: skip
        for form in (expression, sg.simplify(expression)):
            np.testing.assert_array_equal(values.of(form, given), wanted, err_msg=str(expression))


def test_shapes_with_names():
    tall = sg.variable("tall", ("N", "M", 1))
    assert tall[0].shape == ("M", 1) and tall[:, :, 0].shape == ("N", "M")
    assert tall[..., None, :].shape == ("N", "M", 1, 1) and str(tall[2:].shape[0]) == "N - 2"
    assert sg.squeeze(tall, 2).shape == ("N", "M") and sg.swapaxes(tall, 0, 1).shape == ("M", "N", 1)
    assert str(sg.concatenate([x, o]).shape[0]) == "2*N" and str(sg.pad(x, ((1, 0), (0, 0))).shape[0]) == "N + 1"
    assert sg.stack([x, o]).shape == (2, "N", 5) and sg.cumsum(tall, 1).shape == tall.shape
    assert sg.arange("N").shape == ("N",) and sg.arange(3).kind == "integer"
    parts = sg.split(v, [2, 3])
    assert [p.shape for p in parts] == [(2,), (1,), (4,)] and isinstance(parts, list)
    assert sg.broadcast_to(1.0, ("N", 2)).shape == ("N", 2)


def test_integers_and_booleans_are_moved_as_they_are():
    y, yes = sg.labels("y", (N,), classes=9), sg.variable("yes", (N,), dtype="bool")
    given = {"y": np.array([4, 0, 8]), "yes": np.array([True, False, True])}
    for expression, wanted in (
        (y[::-1], [8, 0, 4]), (sg.concatenate([y, y])[1:], [0, 8, 4, 0, 8]), (sg.flip(yes, 0)[:-1], [True, False]),
        (sg.stack([y, sg.arange(N)], axis=1), [[4, 0], [0, 1], [8, 2]]), (sg.cumsum(y, 0), [4, 4, 12]),
        (sg.arange(4), [0, 1, 2, 3]), (sg.expand_dims(yes, 1), [[True], [False], [True]]),
    ):  # fmt: skip
        found = values.of(expression, given, N=3)
        np.testing.assert_array_equal(found, wanted)
        assert found.dtype == np.asarray(wanted).dtype, expression


def test_the_yardstick_sees_a_wrong_gradient():
    convolved = sg.conv1d(w, sg.constant(np.ones((2, 4, 1))))
    for expression, leaf in ((sg.cumsum(v, 0), v), (convolved, w), (sg.inverse(q), q)):
        loss, given = loss_of(expression, GIVEN)
        right = sg.gradient(loss, leaf)
        agrees(loss, right, given, leaf, 1e-9)
        for wrong in (right[::-1], right + 1e-6, 1.00001 * right, -right):
            with pytest.raises(AssertionError):
                agrees(loss, wrong, given, leaf, 1e-9)


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda: v[np.array([True] * 7)], ["v", "sg.where"]),
        (lambda: v[np.array([0, 2])], ["v", "sg.take"]),
        (lambda: v[[0, 2]], ["v", "sg.take"]),
        (lambda: v[7], ["v", "7"]),
        (lambda: v[-8], ["v", "-8"]),
        (lambda: v[0, 0], ["v", "(7,)"]),
        (lambda: v[..., ...], ["v"]),
        (lambda: v[::0], ["v", "0"]),
        (lambda: v["a"], ["v"]),
        (lambda: v[1.0], ["v", "1.0"]),
        (lambda: sg.flip(v, 1), ["flip", "axis 1"]),
        (lambda: sg.pad(q, ((1, 1), (1, 1), (0, 0))), ["pad", "q", "(4, 4)"]),
        (lambda: sg.pad(v, -1), ["pad", "-1"]),
        (lambda: sg.concatenate([x, v]), ["x", "v", "(N, 5)", "(7,)"]),
        (lambda: sg.concatenate([x, q], axis=0), ["x", "q", "5", "4"]),
        (lambda: sg.concatenate([]), ["concatenate"]),
        (lambda: sg.stack([x, q]), ["x", "q"]),
        (lambda: sg.stack([]), ["stack"]),
        (lambda: sg.split(v, 2), ["v", "7", "2"]),
        (lambda: sg.split(v, [5, 2]), ["split", "5", "2"]),
        (lambda: sg.squeeze(q, 0), ["squeeze", "q", "4"]),
        (lambda: sg.expand_dims(q, 4), ["expand_dims", "4"]),
        (lambda: sg.swapaxes(q, 0, 2), ["swapaxes", "axis 2"]),
        (lambda: sg.broadcast_to(q, (4, 5)), ["q", "(4, 4)", "(4, 5)"]),
        (lambda: sg.broadcast_to(x, (5,)), ["x", "(N, 5)", "(5,)"]),
        (lambda: sg.arange(-1), ["arange", "-1"]),
        (lambda: sg.tril(v), ["tril", "v", "(7,)"]),
        (lambda: sg.cumsum(v, 2), ["cumsum", "axis 2"]),
        (lambda: sg.prod(v, axis=(0, 0)), ["prod", "twice"]),
    ],
)  # fmt: skip
def test_what_is_refused(act, words):
    with pytest.raises(sg.ExpressionError) as caught:
        act()
    assert all(word in str(caught.value) for word in words), str(caught.value)
