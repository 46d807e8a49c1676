"""Inverses, solutions, determinants and Cholesky factors, batched: values, order 2, kernels, what has no value."""

import numpy as np
import pytest
import values
from derivatives import kernel_agrees, prints_and_stores, to_order_two

import symgrad as sg

N = "N"
random = np.random.default_rng(21)


def matrices(*shape):
    """Matrices well away from singular, of either sign of the determinant."""
    flips = random.choice([-1.0, 1.0], shape[:-1])[..., None]
    return flips * np.eye(shape[-1]) + 0.35 * random.normal(size=shape)


def factors(m):
    """A function that is positive definite whatever m is: cholesky takes no other matrix."""
    if isinstance(m, sg.Expr):
        return m @ sg.swapaxes(m, -1, -2) + sg.identity(m.shape[-1])
    return m @ np.swapaxes(m, -1, -2) + np.eye(m.shape[-1])


A, b, B = sg.parameter("A", (3, 3)), sg.parameter("b", (3,)), sg.parameter("B", (3, 2))
a, t = sg.parameter("a", (1, 1)), sg.parameter("t", (2, 2))
five, many = sg.parameter("five", (5, 5)), sg.variable("many", (N, 3, 3))
grid, right = sg.parameter("grid", (2, 2, 2, 2)), sg.variable("right", (N, 3, 2))
GIVEN = {
    "A": matrices(3, 3), "a": np.array([[-0.7]]), "t": matrices(2, 2), "five": matrices(5, 5),
    "many": matrices(2, 3, 3), "grid": matrices(2, 2, 2, 2), "b": random.normal(size=3),
    "B": random.normal(size=(3, 2)), "right": random.normal(size=(2, 3, 2)), "n": matrices(4, 4),
}  # fmt: skip
n = sg.variable("n", ("K", "K"))
UNARY = {  # function: the same in NumPy
    "inverse": np.linalg.inv,
    "determinant": np.linalg.det,
    "logdet": lambda m: np.linalg.slogdet(m)[1],
    "cholesky": lambda m: np.linalg.cholesky(factors(m)),
}
OPERANDS = {leaf.name: leaf for leaf in (a, t, A, five, many, grid, n)}
SOLVE = {"vector": (A, b), "matrix": (A, B), "batched": (many, right), "itself": (A, A), "one": (a, a)}
SOLVE["one matrix for all of a batch"] = (A, right)
CASES = {f"{function} {name}": (function, (leaf,)) for function in UNARY for name, leaf in OPERANDS.items()}
CASES |= {f"solve {name}": ("solve", operands) for name, operands in SOLVE.items()}
each = pytest.mark.parametrize("name", CASES)


def built(name):
    function, operands = CASES[name]
    arrays = [GIVEN[leaf.name] for leaf in operands]
    if function == "solve":
        return sg.solve(*operands), np.linalg.solve(*arrays)
    argument = factors(operands[0]) if function == "cholesky" else operands[0]
    return getattr(sg, function)(argument), UNARY[function](*arrays)


@each
def test_values(name):
    expression, wanted = built(name)
    assert len(expression.shape) == wanted.ndim
    for form in (expression, sg.simplify(expression)):
        np.testing.assert_allclose(values.of(form, GIVEN, N=2, K=4), wanted, rtol=1e-11, atol=1e-12)


@each
def test_derivatives_to_order_two(name):
    expression, _ = built(name)
    to_order_two(expression, GIVEN, dict.fromkeys(CASES[name][1]), step=5e-4)


@each
def test_formulas_and_storage(name):
    expression, _ = built(name)
    for form in (expression, sg.gradient(sg.sum(expression * expression), CASES[name][1][0])):
        prints_and_stores(form, GIVEN)


def test_compositions_to_order_two():
    """Chains through several of them: a Gaussian's log-likelihood, a Schur complement, a quadratic form."""
    covariance = factors(A)
    likelihood = b @ sg.solve(covariance, b) / 2 + sg.logdet(covariance) / 2
    residual = sg.solve(sg.cholesky(covariance), b)
    np.testing.assert_allclose(
        values.of(likelihood, GIVEN), values.of(residual @ residual / 2 + sg.logdet(covariance) / 2, GIVEN), rtol=1e-12
    )
    schur = sg.determinant(A - sg.outer(b, b) @ sg.inverse(A + 2 * sg.identity(3)) @ A)
    for expression in (likelihood, residual, schur):
        to_order_two(expression, GIVEN, [A, b], step=5e-4)


def test_the_gradient_of_a_cholesky_factor_is_symmetric():
    """∂/∂S for symmetric S: symmetric itself, and right along symmetric directions."""
    S, weights = sg.parameter("S", (3, 3)), sg.variable("weights", (3, 3))
    given = {"S": factors(GIVEN["A"]), "weights": random.normal(size=(3, 3))}
    loss = sg.sum(sg.cholesky(S) * weights)
    slope = values.of(sg.gradient(loss, S), given)
    np.testing.assert_allclose(slope, slope.T, rtol=1e-12)
    direction = random.normal(size=(3, 3))
    direction = direction + direction.T
    ends = [(np.linalg.cholesky(given["S"] + h * direction) * given["weights"]).sum() for h in (1e-5, -1e-5)]
    np.testing.assert_allclose((slope * direction).sum(), (ends[0] - ends[1]) / 2e-5, rtol=1e-7)
    assert not np.triu(values.of(sg.cholesky(S), given), 1).any()


def test_parameters_with_a_structure_have_projected_gradients():
    low, both = sg.gradient(sg.sum(sg.tril(A) ** 3), A), sg.gradient(sg.sum(sg.symmetric(A) * sg.outer(b, b**2)), A)
    np.testing.assert_allclose(values.of(low, GIVEN), 3 * np.tril(GIVEN["A"]) ** 2, rtol=1e-13)
    outer = np.outer(GIVEN["b"], GIVEN["b"] ** 2)
    np.testing.assert_allclose(values.of(both, GIVEN), (outer + outer.T) / 2, rtol=1e-13)
    np.testing.assert_array_equal(values.of(sg.symmetric(A), GIVEN), (GIVEN["A"] + GIVEN["A"].T) / 2)
    to_order_two(sg.logdet(factors(sg.triu(A))), GIVEN, [A])
    with pytest.raises(sg.ShapeError, match="B"):
        sg.symmetric(B)


def test_closed_forms_that_simplify():
    assert str(sg.simplify(sg.gradient(sg.trace(A), A))) == "I"
    inverse, y = np.linalg.inv(GIVEN["A"]), GIVEN["b"]
    for loss, closed in ((sg.logdet(A), inverse.T), (b @ sg.solve(A, b), -np.outer(inverse.T @ y, inverse @ y))):
        found = sg.simplify(sg.gradient(loss, A))
        np.testing.assert_allclose(values.of(found, GIVEN), closed, rtol=1e-11)
        for notation in ("matrix", "index", "numpy"):
            assert sg.formula(found, notation=notation)


@pytest.mark.parametrize("threads", [1, 2])
def test_kernels_agree_with_the_interpreter(threads):
    """Gradients, which contain the values, of every function of one matrix and of a batch, in one kernel."""
    names = [name for name in CASES if name.split(" ", 1)[1] in ("A", "many", "vector", "batched")]
    assert len(names) == 10
    every = [sg.gradient(sg.sum(built(name)[0] * built(name)[0]), CASES[name][1][0]) for name in names]
    kernel_agrees(every, GIVEN, threads, bound=1e-10)


def test_pivots_in_a_kernel():
    """A zero where elimination would begin, and rows of very different size."""
    awkward = np.array([[0.0, 2, 1], [1e-9, 0, 3], [4e5, 1, 0]])
    forms = [sg.inverse(A), sg.determinant(A), sg.logdet(A), sg.solve(A, b)]
    kernel_agrees(forms, {**GIVEN, "A": awkward}, 1)


SINGULAR = np.array([[1.0, 2, 3], [2, 4, 6], [0, 1, 1]])


@pytest.mark.parametrize(
    ("expression", "array", "words"),
    [
        (sg.inverse(A), SINGULAR * 0, ["inverse(A)", "singular"]),
        (sg.solve(A, b), SINGULAR * 0, ["solve(A", "singular"]),
        (sg.cholesky(A), -np.eye(3), ["cholesky(A)", "positive definite"]),
    ],
)
def test_what_has_no_value_says_so(expression, array, words):
    with pytest.raises(sg.BindingError) as caught:
        values.of(expression, {**GIVEN, "A": array})
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_singular_matrices_have_determinants():
    given = {"A": SINGULAR}
    np.testing.assert_allclose(values.of(sg.determinant(A), given), 0, atol=1e-14)
    assert values.of(sg.logdet(A), {"A": np.zeros((3, 3))}) == -np.inf
    found = sg.compile([sg.determinant(A), sg.logdet(A)], dtype="float64")(A=np.zeros((3, 3)))
    assert found[0] == 0 and found[1] == -np.inf


@pytest.mark.parametrize(
    ("act", "words"),
    [
        *[(lambda f=f: getattr(sg, f)(B), [f, "B", "(3, 2)", "square"]) for f in UNARY],
        *[(lambda f=f: getattr(sg, f)(b), [f, "b", "(3,)"]) for f in UNARY],
        (lambda: sg.inverse(sg.variable("q", (N, 3))), ["q", "(N, 3)"]),
        (lambda: sg.solve(B, b), ["B", "(3, 2)"]),
        (lambda: sg.solve(A, sg.variable("y", (4,))), ["A", "(3, 3)", "y", "(4,)"]),
        (lambda: sg.solve(A, sg.variable("y", (2, 3))), ["A", "y", "(2, 3)"]),
        (lambda: sg.solve(many, sg.variable("y", (4, 3, 2))), ["many", "y"]),
        (lambda: sg.solve(A, 1.0), ["A"]),
    ],
)
def test_wrong_shapes_are_named(act, words):
    with pytest.raises(sg.ShapeError) as caught:
        act()
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_against_pytorch():
    torch = pytest.importorskip("torch")
    S, y = torch.tensor(GIVEN["A"], requires_grad=True), torch.tensor(GIVEN["b"])
    forms = [
        (torch.linalg.inv(S).sum(), sg.sum(sg.inverse(A))), (torch.linalg.det(S), sg.determinant(A)),
        (torch.linalg.slogdet(S)[1], sg.logdet(A)), (torch.linalg.solve(S, y).sum(), sg.sum(sg.solve(A, b))),
        (torch.linalg.cholesky(S @ S.T + torch.eye(3)).sum(), sg.sum(sg.cholesky(factors(A)))),
    ]  # fmt: skip
    for theirs, ours in forms:
        (wanted,) = torch.autograd.grad(theirs, S, retain_graph=True)
        np.testing.assert_allclose(values.of(sg.gradient(ours, A), GIVEN), wanted.numpy(), rtol=1e-9, atol=1e-11)
