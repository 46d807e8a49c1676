"""Each operation as a Python expression over NumPy, with parentheses by Python's own precedence."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from symgrad.expression import ops
from symgrad.expression.node import Expr
from symgrad.expression.scalars import BOOLEAN, REAL
from symgrad.formulas import numpy_movement
from symgrad.formulas.numpy_products import (
    ADD,
    ATOM,
    COMPARE,
    MULTIPLY,
    POWER,
    UNARY,
    Code,
    Scope,
    axis,
    call,
    contraction,
    operand,
    shape_code,
)

HELPERS: dict[str, tuple[str, ...]] = {
    "softmax": (
        "def softmax(x, axis):",
        "    raised = np.exp(x - np.max(x, axis=axis, keepdims=True, initial=-np.inf))",
        "    return raised / np.sum(raised, axis=axis, keepdims=True)",
    ),
    "logsumexp": (
        "def logsumexp(x, axis, keepdims=False):",
        "    top = np.max(x, axis=axis, keepdims=True, initial=-np.inf)",
        "    shift = np.where(np.isfinite(top), top, 0.0)",
        "    total = np.log(np.sum(np.exp(x - shift), axis=axis, keepdims=True)) + shift",
        "    return total if keepdims else np.squeeze(total, axis=axis)",
    ),
    "scatter": (
        "def scatter(values, indices, size, axis):",
        "    values, indices = np.asarray(values), np.asarray(indices)",
        "    rest = values.shape[axis + indices.ndim:]",
        "    total = np.zeros((*values.shape[:axis], size, *rest), values.dtype)",
        "    axes = tuple(range(axis, axis + indices.ndim))",
        "    first = tuple(range(indices.ndim))",
        "    np.add.at(np.moveaxis(total, axis, 0), indices, np.moveaxis(values, axes, first))",
        "    return total",
    ),
    "log1mexp": (
        "def log1mexp(x):",
        "    return np.where(x < math.log(2), np.log(-np.expm1(-x)), np.log1p(-np.exp(-x)))",
    ),
    "erfc": ("erfc = np.vectorize(math.erfc, otypes=[float])",),
    "logerfc": (
        "def _logerfc(x):",
        "    if x < 0.5:",
        "        return math.log1p(-math.erf(x))",
        "    if not x >= 10:",
        "        return math.log(math.erfc(x)) if x < 10 else x",
        "    if x == math.inf:",
        "        return -x",
        "    term = series = 1.0",
        "    for k in range(1, 11):",
        "        term *= -(2 * k - 1) / (2 * x * x)",
        "        series += term",
        "    return -x * x - math.log(x * math.sqrt(math.pi)) + math.log(series)",
        "",
        "logerfc = np.vectorize(_logerfc, otypes=[float])",
    ),
    **numpy_movement.HELPERS,
    "erf": ("erf = np.vectorize(math.erf, otypes=[float])",),
}
SIGNS = {"add": ("+", ADD), "subtract": ("-", ADD), "multiply": ("*", MULTIPLY), "divide": ("/", MULTIPLY),
         "less": ("<", COMPARE), "less_equal": ("<=", COMPARE), "greater": (">", COMPARE),
         "greater_equal": (">=", COMPARE), "equal": ("==", COMPARE), "not_equal": ("!=", COMPARE)}  # fmt: skip
WRITTEN = {"relu": "np.maximum({}, 0)", "softplus": "np.logaddexp(0, {})", "atan": "np.arctan({})"}


def _elementwise(scope: Scope, node: Expr) -> Code:
    assert isinstance(node.op, ops.Elementwise)
    function = node.op.function
    if function == "where":
        return call("np.where", scope.code(node.args[0]).text, *(operand(scope, a, node).text for a in node.args[1:]))
    parts = [operand(scope, a, node, function) for a in node.args]
    if function in SIGNS:
        sign, level = SIGNS[function]
        shown = [p.at(level + (i > 0 or level == COMPARE)) for i, p in enumerate(parts)]  # exactly in this order
        return Code(f" {sign} ".join(shown), level)
    if function == "negative":
        return Code(f"-{parts[0].at(UNARY)}", UNARY)
    if function == "power":
        return Code(f"{parts[0].at(ATOM)} ** {parts[1].at(POWER)}", POWER)
    if function == "sigmoid":
        return Code(f"np.exp(-np.logaddexp(0, -{parts[0].at(UNARY)}))")
    if function in WRITTEN:
        return Code(WRITTEN[function].format(parts[0].text))
    name = scope.helper(function) if function in HELPERS else f"np.{function}"
    return call(name, *(p.text for p in parts))


def _number(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_number, value))}]"
    if isinstance(value, float) and not math.isfinite(value):
        return "np.nan" if math.isnan(value) else "np.inf" if value > 0 else "-np.inf"
    return repr(value)


def _constant(scope: Scope, node: Expr) -> Code:
    assert isinstance(node.op, ops.Constant)
    text = _number(node.op.array.tolist())
    return call("np.array", text) if node.op.shape else Code(text, UNARY if text.startswith("-") else ATOM)


def _reduce(scope: Scope, node: Expr) -> Code:
    assert isinstance(node.op, ops.Reduce)
    keep = ["keepdims=True"] if node.op.keep else []
    name = "prod" if node.op.function == "product" else node.op.function
    return call(f"np.{name}", scope.code(node.args[0]).text, axis(node.op.axes), *keep)


def _logsumexp(scope: Scope, node: Expr) -> Code:
    assert isinstance(node.op, ops.LogSumExp)
    keep = ["keepdims=True"] if node.op.keep else []
    return call(scope.helper("logsumexp"), scope.code(node.args[0]).text, axis(node.op.axes), *keep)


def _softmax(scope: Scope, node: Expr) -> Code:
    assert isinstance(node.op, ops.Softmax)
    return call(scope.helper("softmax"), scope.code(node.args[0]).text, axis(node.op.axes))


def _cast(scope: Scope, node: Expr) -> Code:
    x, before = scope.code(node.args[0]), node.args[0].kind
    if node.kind == BOOLEAN:
        return Code(f"{x.at(ADD)} != 0", COMPARE)
    if before == BOOLEAN:
        return call("np.where", x.text, *(("1.0", "0.0") if node.kind == REAL else ("1", "0")))
    return call("np.float64" if node.kind == REAL else "np.int64", x.text)


def _take(scope: Scope, node: Expr) -> Code:
    assert isinstance(node.op, ops.Take)
    table, indices = (scope.code(a).text for a in node.args)
    return call("np.take", table, indices, f"axis={node.op.axis}")


def _scatter(scope: Scope, node: Expr) -> Code:
    assert isinstance(node.op, ops.Scatter)
    values, indices = (scope.code(a).text for a in node.args)
    return call(scope.helper("scatter"), values, indices, scope.extent(node.op.size).text, f"axis={node.op.axis}")


def _onehot(scope: Scope, node: Expr) -> Code:
    assert isinstance(node.op, ops.OneHot)
    return Code(f"np.eye({node.op.classes})[{scope.code(node.args[0]).text}]")


def _leaf(scope: Scope, node: Expr) -> Code:
    return scope.code(node)


OPERATIONS: dict[type[ops.Op], Callable[[Scope, Expr], Code]] = {
    **numpy_movement.OPERATIONS,
    ops.Variable: _leaf, ops.Parameter: _leaf, ops.State: _leaf, ops.Noise: _leaf, ops.Constant: _constant,
    ops.Elementwise: _elementwise,
    ops.Extent: lambda scope, node: scope.extent(node.op.size),  # type: ignore[attr-defined]
    ops.Contraction: contraction, ops.Reduce: _reduce, ops.LogSumExp: _logsumexp, ops.Softmax: _softmax,
    ops.ArgMax: lambda scope, node: call("np.argmax", scope.code(node.args[0]).text, f"axis={node.op.axis}"),  # type: ignore[attr-defined]
    ops.Reshape: lambda scope, node: call("np.reshape", scope.code(node.args[0]).text, shape_code(scope, node.shape)),
    ops.Cast: _cast, ops.Take: _take, ops.Scatter: _scatter, ops.OneHot: _onehot,
    ops.Identity: lambda scope, node: call("np.eye", scope.extent(node.shape[0]).text),
}  # fmt: skip
