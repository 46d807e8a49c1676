"""The completeness table: every op has a meaning in NumPy and SymPy, a derivative, three notations, a kernel, a file form."""

import numpy as np
import pytest
import unjitted

import symgrad as sg
from symgrad import interpreter
from symgrad.calculus import linear, rules, sample
from symgrad.codegen import lower, stages
from symgrad.expression import componentwise, ops
from symgrad.expression.node import leaves
from symgrad.expression.serialize_checks import ARITY
from symgrad.formulas import index, matrix, numpy_operations

EVERY = set(ops.OPS)
LEAVES = {ops.Variable, ops.Parameter, ops.State, ops.Noise}
RESOLVED = {ops.Mode, ops.Assign}  # a value is one in training or in evaluation before anything is made of it
BY_FUNCTION = {ops.Elementwise}  # these have a row for each scalar function, see test_scalars
NUMBERS = {ops.Constant, ops.Extent, ops.Identity, ops.Range}  # nothing below them to differentiate by
ANY_NUMBER = {ops.Elementwise, ops.Contraction, ops.Concatenate}  # of arguments

# What a table may lack, each for a reason; everything else is in it.
TABLES = {
    "NumPy": (interpreter.TABLE, LEAVES | RESOLVED),
    "derivative": (rules.TABLE, LEAVES | NUMBERS | BY_FUNCTION | RESOLVED),
    "index notation": (index.WRITERS, BY_FUNCTION),
    "matrix notation": (matrix.WRITERS, BY_FUNCTION),
    "NumPy notation": (numpy_operations.OPERATIONS, {ops.Named}),  # the block assigns it
    "SymPy": (componentwise.MEANING, {ops.ArgMax, ops.Take, ops.Scatter}),  # positions are no symbols
    "kernel": (lower._HANDLERS | stages.HEAVY, LEAVES | RESOLVED | {ops.Named}),  # loads; names are gone
    "model file": (ARITY, ANY_NUMBER),
    "one row of a batch": (sample.WRITERS, RESOLVED),
    # Linear in what is differentiated: the adjoint passes through these on its way to a Jacobian.
    "Jacobian": (linear.RULES, LEAVES | NUMBERS | RESOLVED | {
        ops.Reduce, ops.LogSumExp, ops.Softmax, ops.ArgMax, ops.Cast, ops.OneHot, ops.Inverse, ops.Determinant,
        ops.LogDet, ops.Cholesky}),
}  # fmt: skip
NO_DERIVATIVE = {ops.Cast, ops.OneHot, ops.ArgMax}


@pytest.mark.parametrize("name", TABLES)
def test_every_op_has_a_row(name):
    table, lacking = TABLES[name]
    assert set(table) | lacking == EVERY, EVERY - set(table) - lacking
    assert not set(table) & lacking, "what is there needs no excuse"


def test_what_has_no_derivative_says_so():
    silent = {op for op, rule in rules.TABLE.items() if rule.pullback is rules._nothing}
    assert silent == NO_DERIVATIVE
    x = sg.parameter("x", (3,))
    for lost in (sg.cast(sg.argmax(x), "real"), sg.cast(sg.cast(x, "integer"), "real") @ np.ones(3)):
        with pytest.raises(sg.GradientError, match="no derivative"):
            sg.gradient(sg.sum(lost), x)


U8, I32, B, X = (sg.variable("u", (3,), dtype="uint8"), sg.variable("i", (3,), dtype="int32"),
                 sg.variable("b", (3,), dtype="bool"), sg.variable("x", (3,)))  # fmt: skip
GIVEN = {"u": np.array([200, 1, 255], np.uint8), "i": np.array([-3, 2**31 - 1, 5], np.int32),
         "b": np.array([True, False, True]), "x": np.array([0.5, -2.0, 3.25])}  # fmt: skip
# What comes out of kinds of numbers together: integers compute with 64 bits, conditions count as 0 and 1.
KINDS = {
    "integers are wide": (U8 + U8, "integer", [400, 2, 510]),
    "of two widths": (U8 * I32, "integer", [-600, 2147483647, 1275]),
    "below zero": (U8 - I32 - 300, "integer", [-97, -2147483946, -50]),
    "conditions count": (B + B, "integer", [2, 0, 2]),
    "condition and integer": (B * I32, "integer", [-3, 0, 5]),
    "condition and real": (B * X, "real", [0.5, 0.0, 3.25]),
    "integer and real": (I32 + X, "real", [-2.5, 2147483645.0, 8.25]),
    "quotients are real": (U8 / 2, "real", [100.0, 0.5, 127.5]),
    "powers are real": (U8**2, "real", [40000.0, 1.0, 65025.0]),
    "comparisons are conditions": (U8 > 100, "boolean", [True, False, True]),
    "choices promote": (sg.where(B, U8, X), "real", [200.0, -2.0, 255.0]),
    "largest of kinds": (sg.maximum(U8, X), "real", [200.0, 1.0, 255.0]),
    "sums of integers": (sg.sum(U8), "integer", 456),
    "sums of conditions": (sg.sum(sg.cast(B, "integer")), "integer", 2),
    "means are real": (sg.mean(U8), "real", 152.0),
    "to an integer, towards zero": (sg.cast(X, "integer"), "integer", [0, -2, 3]),
    "to a condition": (sg.cast(X - 0.5, "boolean"), "boolean", [False, True, True]),
}


@pytest.fixture(scope="module")
def kernel(kernel_cache):
    return sg.compile([e for e, _, _ in KINDS.values()], dtype="float64", threads=1)


@pytest.mark.parametrize("name", KINDS)
def test_kinds_of_numbers(name, kernel):
    expression, kind, want = KINDS[name]
    given = {name: GIVEN[name] for name in leaves([expression])}
    value = sg.evaluate(expression, given)
    assert expression.kind == kind
    assert value.dtype == {"real": np.float64, "integer": np.int64, "boolean": np.bool_}[kind]
    np.testing.assert_array_equal(value, want)
    for run in (kernel, lambda arrays: unjitted.call(kernel, arrays)):
        got = run(GIVEN)[list(KINDS).index(name)]
        np.testing.assert_array_equal(got, want)
