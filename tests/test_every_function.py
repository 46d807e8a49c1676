"""Every function that a formula may use, on every kind of argument that it takes: its gradient passes its own check."""

import pytest

import symgrad as sg
from symgrad.expression import parse
from symgrad.expression.node import topological

NAMES = {
    "A": sg.parameter("A", (3, 3)), "B": sg.variable("B", ("N", 3)), "v": sg.parameter("v", (3,)), "k": sg.labels("k", ("N",), 3),
    "x": sg.parameter("x", (2, 4, 4, 2)), "K": sg.parameter("K", (3, 3, 2, 2)), "s": sg.parameter("s"),
}  # fmt: skip
ARGUMENTS = [
    "A", "v", "s", "x", "v, A", "A, A", "A, v", "A, B", "B @ A, k", "A, k", "x, K", "x, 2", "A, 2", "A, 0.1", "A, 0, 1", "k, 3", "3",
    "'ij,jk->ik', A, A", "A > 0, A, 2*A", "v, 0, 2", "A, (9,)", "(A, A)", "A, (3, 3)", "A, (1, 0)", "A, A, A", "A, softmax(A)",
    "softmax(B @ A), k", "sigmoid(v), sigmoid(v)", "x[:, :, 0, :], K[:, 0]", "x[:, :, 0, :], 2", "A > 0, A > 1", "A > 0",
]  # fmt: skip


def losses(function):
    """A loss for each kind of arguments that the function takes; None where its values are no real numbers."""
    for given in ARGUMENTS:
        try:
            value = sg.parse(f"{function}({given})", NAMES)
        except sg.SymgradError:
            continue
        yield given, sg.sum(value) if value.kind == "real" else None


@pytest.mark.parametrize("function", sorted(parse.FUNCTIONS))
def test_the_gradient_of_every_function_passes_its_check(function):
    taken = list(losses(function))
    assert taken, f"nothing in ARGUMENTS fits {function}"
    for given, loss in taken:
        wrt = [leaf for leaf in NAMES.values() if loss is not None and leaf.kind == "real" and leaf in topological([loss])]
        if wrt and "> 0" not in given.replace("A > 0, A, 2*A", ""):  # a condition has no derivative
            stamp = sg.check(loss, wrt)
            assert stamp.entries > 0 and stamp.differences < 1e-7, given
            gradients = sg.simplify(sg.gradient(loss, wrt))
            for notation in ("matrix", "index", "numpy"):
                assert sg.formula(gradients, notation=notation)
