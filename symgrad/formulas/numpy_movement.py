"""What moves entries, and linear algebra, as Python expressions over NumPy."""

from __future__ import annotations

from collections.abc import Callable

from symgrad.expression import ops, sizes
from symgrad.expression.node import Expr
from symgrad.expression.sizes import Size
from symgrad.formulas.numpy_products import ADD, ATOM, Code, Scope, call

HELPERS: dict[str, tuple[str, ...]] = {
    "placed": (
        "def placed(x, axis, places, size):",
        "    total = np.zeros((*x.shape[:axis], size, *x.shape[axis + 1:]), x.dtype)",
        "    np.moveaxis(total, axis, 0)[places] = np.moveaxis(x, axis, 0)",
        "    return total",
    ),
    "overlapped": (
        "def overlapped(x, axis, places, size):",
        "    total = np.zeros((*x.shape[:axis], size, *x.shape[axis + 2:]), x.dtype)",
        "    np.add.at(np.moveaxis(total, axis, 0), places, np.moveaxis(x, (axis, axis + 1), (0, 1)))",
        "    return total",
    ),
}


def _places(scope: Scope, start: Size, step: int, count: Size) -> str:
    steps = f"np.arange({scope.extent(count).text})"
    scaled = steps if step == 1 else f"-{steps}" if step == -1 else f"{step} * {steps}"
    return scaled if isinstance(start, int) and start == 0 else f"{scope.extent(start).at(ADD)} + {scaled}"


def _window_places(scope: Scope, op: ops.Windows | ops.Overlap, positions: Size, size: Size) -> str:
    first = f"np.arange({scope.extent(positions).text})[:, None]"
    rest = f"np.arange({scope.extent(size).text})"
    first = first if op.stride == 1 else f"{op.stride} * {first}"
    return f"{first} + {rest if op.dilation == 1 else f'{op.dilation} * {rest}'}"


def _slice(scope: Scope, node: Expr) -> Code:
    op = node.op
    assert isinstance(op, ops.Slice)
    x = scope.code(node.args[0])
    if op.step != 1:
        return call("np.take", x.text, _places(scope, op.start, op.step, op.count), f"axis={op.axis}")
    end = scope.extent(sizes.total([op.start, op.count])).text
    whole = [":"] * op.axis
    return Code(f"{x.at(ATOM)}[{', '.join([*whole, f'{scope.extent(op.start).text}:{end}'])}]")


def _pad(scope: Scope, node: Expr) -> Code:
    op = node.op
    assert isinstance(op, ops.Pad)
    places = _places(scope, op.start, op.step, node.args[0].shape[op.axis])
    extent = scope.extent(op.extent).text
    return call(scope.helper("placed"), scope.code(node.args[0]).text, str(op.axis), places, extent)


def _concatenate(scope: Scope, node: Expr) -> Code:
    assert isinstance(node.op, ops.Concatenate)
    parts = ", ".join(scope.code(a).text for a in node.args)
    return call("np.concatenate", f"[{parts}]", f"axis={node.op.axis}")


def _windows(scope: Scope, node: Expr) -> Code:
    op = node.op
    assert isinstance(op, ops.Windows)
    places = _window_places(scope, op, node.shape[op.axis], op.size)
    return call("np.take", scope.code(node.args[0]).text, places, f"axis={op.axis}")


def _overlap(scope: Scope, node: Expr) -> Code:
    op, x = node.op, node.args[0]
    assert isinstance(op, ops.Overlap)
    places = _window_places(scope, op, x.shape[op.axis], x.shape[op.axis + 1])
    extent = scope.extent(op.extent).text
    return call(scope.helper("overlapped"), scope.code(x).text, str(op.axis), places, extent)


def _symmetric_factor(scope: Scope, node: Expr) -> Code:
    x = scope.code(node.args[0])
    return call("np.linalg.cholesky", f"({x.at(ADD)} + np.swapaxes({x.text}, -1, -2)) / 2")


def _linear(name: str) -> Callable[[Scope, Expr], Code]:
    return lambda scope, node: call(f"np.linalg.{name}", *(scope.code(a).text for a in node.args))


def _logdet(scope: Scope, node: Expr) -> Code:
    return Code(f"np.linalg.slogdet({scope.code(node.args[0]).text})[1]")


OPERATIONS: dict[type[ops.Op], Callable[[Scope, Expr], Code]] = {
    ops.Range: lambda scope, node: call("np.arange", scope.extent(node.shape[0]).text),
    ops.Slice: _slice,
    ops.Pad: _pad,
    ops.Concatenate: _concatenate,
    ops.Windows: _windows,
    ops.Overlap: _overlap,
    ops.Inverse: _linear("inv"),
    ops.Solve: _linear("solve"),
    ops.Determinant: _linear("det"),
    ops.LogDet: _logdet,
    ops.Cholesky: _symmetric_factor,
    ops.Mode: lambda scope, node: scope.code(node.args[1]),
    ops.Assign: lambda scope, node: scope.code(node.args[0]),
}
