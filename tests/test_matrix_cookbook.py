"""Identities of The Matrix Cookbook: what symgrad derives, against the printed closed forms and differences."""

import matrix_cookbook
import numpy as np
import pytest
import values
from differences import directions, slope

import symgrad as sg
from symgrad.expression.node import leaves

random = np.random.default_rng(7)


def symmetric(size):
    half = random.normal(size=(size, size))
    return half @ half.T + np.eye(size)


GIVEN = {name: random.normal(size=(3, 3)) for name in "ABCDE"}
GIVEN |= {name: random.normal(size=3) for name in "abcdxs"}
GIVEN["X"] = np.eye(3) + 0.4 * random.normal(size=(3, 3))
GIVEN |= {"W": symmetric(3), "V": symmetric(4), "H": symmetric(4), "Q": random.normal(size=(4, 4))}
GIVEN |= {"P": random.normal(size=(4, 3)), "R": random.normal(size=(3, 4)), "L": np.tril(symmetric(3))}
GIVEN |= {"t": np.array(0.3), "u": np.array(0.8), "z": random.normal(size=5)}
DIAGONALS = np.arange(3) - np.arange(3)[:, None] + 2  # which entry of z stands where in a Toeplitz matrix


def power(matrix, exponent):
    return np.linalg.matrix_power(matrix, exponent)


def single_entry(i, j):
    """The matrix that the Cookbook writes Jⁱʲ."""
    unit = np.zeros((3, 3))
    unit[i, j] = 1.0
    return unit


def by_entry(function):
    """∂F/∂X from a function that gives ∂F/∂Xᵢⱼ: the axes of F first."""
    table = np.array([[function(i, j) for j in range(3)] for i in range(3)])
    return np.moveaxis(table, (0, 1), (-2, -1))


CLOSED = {
    "trace": np.trace, "inverse": np.linalg.inv, "determinant": np.linalg.det, "norm": np.linalg.norm, "diag": np.diag,
    "logdet": lambda a: np.linalg.slogdet(a)[1], "adjugate": lambda a: np.linalg.det(a) * np.linalg.inv(a),
    "pseudoinverse": np.linalg.pinv, "outer": np.outer, "kron": np.kron, "diagonal": np.diagonal, "tril": np.tril,
    "einsum": np.einsum, "sin": np.sin, "cos": np.cos, "exp": np.exp, "array": np.array, "I": np.eye(3), "power": power,
    "J": single_entry, "by_entry": by_entry, "mirror": lambda low: np.tril(low) + np.tril(low, -1).T,
    "lower": lambda slope: np.tril(slope + slope.T - np.diag(np.diagonal(slope))),
}  # fmt: skip


def symbols():
    """The names of a function: symgrad's functions, and a parameter for each array."""
    functions = "trace inverse determinant logdet norm kron diag einsum gradient sin exp"
    names = {name: getattr(sg, name) for name in functions.split()}
    names["mirror"] = lambda low: sg.tril(low) + sg.tril(low).T - sg.diag(sg.diagonal(low))
    names["toeplitz"] = lambda entries: sg.take(entries, sg.constant(DIAGONALS))
    return names | {name: sg.parameter(name, array.shape) for name, array in GIVEN.items()}


def derived(identity):
    """The function, the leaf it is differentiated by (None where it holds its gradient), and the derivative."""
    names = symbols()
    function = eval(identity.function, names)
    if not identity.by:
        return function, None, function
    leaf = names[identity.by]
    return function, leaf, (sg.jacobian if function.shape else sg.gradient)(function, leaf)


def verify(identity):
    """Asserts an identity: derivative = closed form, as derived and as simplified, = differences."""
    function, leaf, derivative = derived(identity)
    wanted = np.asarray(eval(identity.closed, CLOSED | GIVEN))
    scale = max(1.0, np.abs(wanted).max())
    for form in (derivative, sg.simplify(derivative)):
        found = values.of(form, GIVEN)
        assert found.shape == wanted.shape, identity
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-10 * scale, err_msg=f"{identity.text}: {form}")
    if leaf is None:
        return
    needed = {name: GIVEN[name] for name in leaves([function])}
    for direction in directions(GIVEN[leaf.name].shape, np.random.default_rng(3), most=4):
        (measured,) = slope([function], needed, leaf.name, direction, 1e-3)
        np.testing.assert_allclose(
            np.tensordot(wanted, direction, direction.ndim), measured, rtol=0, atol=1e-7 * scale, err_msg=identity.text
        )


@pytest.mark.parametrize("identity", matrix_cookbook.IDENTITIES, ids=lambda identity: str(identity.number))
def test_identity(identity):
    verify(identity)


def test_the_table():
    """At least 66, each number once and in the chapter on derivatives, in its order."""
    numbers = [identity.number for identity in matrix_cookbook.IDENTITIES]
    assert len(numbers) >= 66 and numbers == sorted(set(numbers)) and set(numbers) <= {*range(33, 144)}
    used = {name for row in matrix_cookbook.IDENTITIES for name in compile(row.function, "", "eval").co_names}
    assert used - {"T"} == set(symbols()), "every name is needed"


@pytest.mark.parametrize(
    ("number", "wrong"),
    [
        (61, "-inverse(X) @ outer(a, b) @ inverse(X)"),
        (81, "2 * B @ x"),
        (99, "1.0000001 * I"),
        (47, "determinant(X) * X"),
        (60, "-einsum('ki,lj->klij', inverse(X), inverse(X))"),
    ],
)
def test_a_wrong_identity_is_refused(number, wrong):
    (identity,) = (i for i in matrix_cookbook.IDENTITIES if i.number == number)
    with pytest.raises(AssertionError):
        verify(identity._replace(closed=wrong))
