"""Newton and Gauss-Newton minimisation, Hessians of tensors of any rank, third derivatives: closed forms and slopes."""

import numpy as np
import pytest
import values
from derivatives import agrees, kernel_agrees

import symgrad as sg

random = np.random.default_rng(31)
x, y = sg.variable("x", ("N", 3)), sg.variable("y", ("N",))
w, b = sg.parameter("w", (3,)), sg.parameter("b")
X = random.normal(size=(40, 3))
TARGET = X @ [1.0, -2.0, 0.5] + 0.3 + 0.1 * random.normal(size=40)
SIGNS = np.where(X @ [2.0, -1.0, 0.5] + random.normal(size=40) > 0, 1.0, -1.0)
AFFINE = np.column_stack([X, np.ones(40)])
LEAST_SQUARES = sg.mean_squared_error(x @ w + b, y)
LOGISTIC = sg.mean(sg.softplus(-y * (x @ w + b))) + 0.05 * sg.sum(w**2)
p = sg.parameter("p", (2,))
ROSENBROCK = sg.sum(sg.stack([10 * (p[1] - p[0] ** 2), 1 - p[0]]) ** 2)
METHODS = pytest.mark.parametrize("method", ["newton", "gauss-newton"])


def gradient_norm(loss, wrt, given):
    return np.sqrt(sum((values.of(slope, given) ** 2).sum() for slope in sg.gradient(loss, wrt)))


def minimised(loss, wrt, data, start, **options):
    """The minimum, after a look at whether it is what it says it is."""
    found = sg.minimize(loss, wrt, data, start, **options)
    given = {**data, **found.values}
    assert set(found.values) == {leaf.name for leaf in wrt}
    assert all(found.values[leaf.name].shape == leaf.shape for leaf in wrt)
    np.testing.assert_allclose(found.loss, values.of(loss, given), rtol=1e-9, atol=1e-20)
    norm = gradient_norm(loss, wrt, given)
    np.testing.assert_allclose(found.gradient_norm, norm, rtol=1e-3, atol=1e-12)
    assert found.loss <= values.of(loss, {**data, **start}) and isinstance(found.steps, int)
    return found


@METHODS
def test_least_squares_in_one_step(method):
    start = {"w": np.zeros(3), "b": np.array(0.0)}
    found = minimised(LEAST_SQUARES, [w, b], {"x": X, "y": TARGET}, start, method=method)
    wanted = np.linalg.lstsq(AFFINE, TARGET, rcond=None)[0]
    np.testing.assert_allclose([*found.values["w"], found.values["b"]], wanted, rtol=1e-8)
    assert found.gradient_norm <= 1e-9 and found.steps <= 3
    assert not start["w"].any(), "the start stays as it was"


def test_logistic_regression():
    found = minimised(LOGISTIC, [w, b], {"x": X, "y": SIGNS}, {"w": np.zeros(3), "b": np.array(0.0)})
    theta, ridge = np.zeros(4), 0.1 * np.diag([1.0, 1, 1, 0])
    for _ in range(20):  # Newton's method by hand
        chance = 1 / (1 + np.exp(SIGNS * (AFFINE @ theta)))
        slope = -AFFINE.T @ (SIGNS * chance) / 40 + ridge @ theta
        bend = AFFINE.T @ (AFFINE * (chance * (1 - chance))[:, None]) / 40 + ridge
        theta = theta - np.linalg.solve(bend, slope)
    np.testing.assert_allclose([*found.values["w"], found.values["b"]], theta, rtol=1e-7, atol=1e-9)
    assert found.gradient_norm <= 1e-9 and found.steps <= 12


@METHODS
def test_rosenbrock(method):
    found = minimised(ROSENBROCK, [p], {}, {"p": np.array([-1.2, 1.0])}, method=method, steps=60)
    np.testing.assert_allclose(found.values["p"], [1, 1], rtol=1e-6)
    assert found.loss < 1e-14 and found.steps < 60


def test_against_scipy():
    optimize = pytest.importorskip("scipy.optimize")
    theirs = optimize.minimize(optimize.rosen, [-1.2, 1.0], jac=optimize.rosen_der, method="BFGS", tol=1e-10)
    found = minimised(ROSENBROCK, [p], {}, {"p": np.array([-1.2, 1.0])}, steps=60)
    np.testing.assert_allclose(found.values["p"], theirs.x, rtol=1e-5)

    def logistic(theta):
        return np.logaddexp(0, -SIGNS * (AFFINE @ theta)).mean() + 0.05 * (theta[:3] ** 2).sum()

    theirs = optimize.minimize(logistic, np.zeros(4), tol=1e-12)
    found = minimised(LOGISTIC, [w, b], {"x": X, "y": SIGNS}, {"w": np.zeros(3), "b": np.array(0.0)})
    np.testing.assert_allclose([*found.values["w"], found.values["b"]], theirs.x, rtol=1e-4, atol=1e-6)


@METHODS
def test_a_small_network_with_softmax(method):
    """Not convex: the loss falls far, and the gradient with it, from a start that is no minimum."""
    label = sg.labels("label", ("N",), classes=3)
    first, second = sg.parameter("first", (3, 4)), sg.parameter("second", (4, 3))
    decay = 0.01 * (sg.sum(first**2) + sg.sum(second**2))
    loss = sg.softmax_cross_entropy(sg.tanh(x @ first) @ second, label) + decay
    data = {"x": X, "label": np.argmax(X @ random.normal(size=(3, 3)), 1)}
    start = {"first": 0.5 * random.normal(size=(3, 4)), "second": 0.5 * random.normal(size=(4, 3))}
    found = minimised(loss, [first, second], data, start, method=method, steps=80, damping=1e-3, tolerance=1e-7)
    assert found.loss < 0.6 * values.of(loss, {**data, **start})
    fallen = found.gradient_norm / gradient_norm(loss, [first, second], {**data, **start})
    assert fallen < (1e-4 if method == "newton" else 1e-2)


def test_steps_and_tolerance_are_kept():
    start = {"p": np.array([-1.2, 1.0])}
    one = minimised(ROSENBROCK, [p], {}, start, steps=1)
    assert one.steps == 1 and one.gradient_norm > 1e-3
    loose = minimised(ROSENBROCK, [p], {}, start, steps=60, tolerance=1e-2)
    tight = minimised(ROSENBROCK, [p], {}, start, steps=60, tolerance=1e-10)
    assert loose.steps < tight.steps and loose.gradient_norm <= 1e-2 and tight.gradient_norm <= 1e-10
    there = minimised(ROSENBROCK, [p], {}, {"p": np.ones(2)})
    assert there.steps == 0 and there.loss == 0


@pytest.mark.parametrize(
    ("act", "word"),
    [
        (lambda: sg.minimize(ROSENBROCK, [p], {}, {"p": np.ones(2)}, method="simplex"), "simplex"),
        (lambda: sg.minimize(p**2, [p], {}, {"p": np.ones(2)}), r"\(2,\)"),
        (lambda: sg.minimize(ROSENBROCK, [w], {}, {"w": np.ones(3), "p": np.ones(2)}), "w"),
        (lambda: sg.minimize(ROSENBROCK, [p], {}, {}), "p"),
        (lambda: sg.minimize(ROSENBROCK, [p], {}, {"p": np.ones(3)}), "p"),
        (lambda: sg.minimize(ROSENBROCK, [p], {}, {"p": np.ones(2)}, steps=-1), "-1"),
        (lambda: sg.minimize(ROSENBROCK, [p], {}, {"p": np.ones(2)}, damping=-0.5), "-0.5"),
    ],
)
def test_what_minimize_refuses(act, word):
    with pytest.raises(sg.SymgradError, match=word):
        act()


s, m, c = sg.parameter("s"), sg.parameter("m", (2, 3)), sg.parameter("c", (2, 1, 2))
d, k = sg.parameter("d", (3, 3)), sg.parameter("k", (2, 2, 1, 2))
picture = sg.variable("picture", (1, 3, 4, 1))
GIVEN = {leaf.name: np.random.default_rng(1).normal(size=leaf.shape) for leaf in (s, m, c, k, picture)}
GIVEN["d"] = np.eye(3) + 0.3 * random.normal(size=(3, 3))
LOSSES = {  # by tensors of rank 0 to 4
    "scalar": (sg.sin(s) * sg.exp(s / 2), s),
    "matrix": (sg.sum(sg.softmax(sg.tanh(m) * 2) ** 3), m),
    "rank 3": (sg.logsumexp(sg.reshape(c, (4,)) ** 2) * sg.prod(c), c),
    "kernel of a convolution": (sg.sum(sg.max_pool2d(sg.tanh(sg.conv2d(picture, k)), 1) ** 2), k),
    "log-determinant": (sg.logdet(d @ d.T + sg.identity(3)), d),
    "inverse": (sg.trace(sg.inverse(d) @ d.T), d),
}


@pytest.mark.parametrize("name", LOSSES)
def test_hessians_of_any_rank(name):
    """Shape twice that of the tensor, symmetric, every row the slope of the gradient's entry."""
    loss, leaf = LOSSES[name]
    hessian = sg.hessian(loss, leaf)
    assert hessian.shape == (*leaf.shape, *leaf.shape)
    bend, count = values.of(hessian, GIVEN), int(np.prod(leaf.shape))
    square = bend.reshape(count, count)
    np.testing.assert_allclose(square, square.T, rtol=1e-10, atol=1e-10 * np.abs(square).max())
    slope = sg.reshape(sg.gradient(loss, leaf), (count,))
    for entry in range(min(count, 4)):
        agrees(slope[entry], sg.reshape(hessian, (count, *leaf.shape))[entry], GIVEN, leaf, 1e-8)
    vector = sg.variable("vector", leaf.shape)
    given = {**GIVEN, "vector": np.random.default_rng(2).normal(size=leaf.shape)}
    product = values.of(sg.hessian_vector_product(loss, leaf, vector), given)
    np.testing.assert_allclose(product.ravel(), square @ given["vector"].ravel(), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", ["scalar", "matrix", "log-determinant"])
def test_third_derivatives(name):
    """∂³ of a scalar is symmetric in its three places and is the slope of the Hessian."""
    loss, leaf = LOSSES[name]
    hessian = sg.hessian(loss, leaf)
    third = sg.jacobian(hessian, leaf)
    assert third.shape == leaf.shape * 3
    count = int(np.prod(leaf.shape))
    cube = values.of(third, GIVEN).reshape((count,) * 3)
    for order in ((1, 0, 2), (2, 1, 0), (1, 2, 0)):
        np.testing.assert_allclose(cube, cube.transpose(order), rtol=1e-9, atol=1e-9 * np.abs(cube).max())
    weights = sg.variable("weights", hessian.shape)
    given = {**GIVEN, "weights": np.random.default_rng(3).normal(size=leaf.shape * 2)}
    projected = sg.sum(hessian * weights)
    agrees(projected, sg.gradient(projected, leaf), given, leaf, 1e-7)
    wanted = np.tensordot(given["weights"].reshape(count, count), cube, 2)
    np.testing.assert_allclose(values.of(sg.gradient(projected, leaf), given).ravel(), wanted, rtol=1e-8, atol=1e-9)


def test_blocks_of_parameters_of_different_rank():
    loss = sg.sum(sg.tanh(m @ d + s) ** 2)
    blocks = sg.hessian(loss, [m, d, s])
    for i, one in enumerate((m, d, s)):
        for j, other in enumerate((m, d, s)):
            assert blocks[i][j].shape == (*one.shape, *other.shape)
            there, back = values.of(blocks[i][j], GIVEN), values.of(blocks[j][i], GIVEN)
            order = (*range(other.ndim, other.ndim + one.ndim), *range(other.ndim))
            np.testing.assert_allclose(there, back.transpose(order), rtol=1e-9, atol=1e-11)
    weights = np.random.default_rng(5).normal(size=(3, 3))
    slope = sg.sum(sg.gradient(loss, d) * weights)
    agrees(slope, sg.einsum("ij,ijkl->kl", weights, blocks[1][0]), GIVEN, m, 1e-8)


def test_kernels_of_hessians():
    """Hessians, and products with them, in one kernel."""
    vector = sg.variable("vector", (3, 3))
    forms = [sg.hessian(LOSSES[n][0], LOSSES[n][1]) for n in ("matrix", "kernel of a convolution", "inverse")]
    forms.append(sg.hessian_vector_product(LOSSES["log-determinant"][0], d, vector))
    given = {**{n: GIVEN[n] for n in ("m", "k", "picture", "d")}, "vector": np.eye(3)}
    kernel_agrees(forms, given, 2)
