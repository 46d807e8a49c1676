"""Products, sums and repetitions as Python expressions over NumPy, and what all such expressions share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from symgrad.expression import functions, ops
from symgrad.expression.node import Expr, make
from symgrad.expression.scalars import BOOLEAN, INTEGER

COMPARE, ADD, MATMUL, MULTIPLY, UNARY, POWER, ATOM = 1, 2, 3, 4, 5, 6, 9  # @ and * never stand side by side


@dataclass(frozen=True)
class Code:
    """A Python expression and how strongly it binds."""

    text: str
    level: int = ATOM

    def at(self, level: int) -> str:
        """The text, in parentheses where something that binds at `level` surrounds it."""
        return self.text if self.level >= level else f"({self.text})"


class Scope(Protocol):
    """What a block offers to the operations in it."""

    def code(self, node: Expr) -> Code: ...
    def helper(self, name: str) -> str: ...
    def extent(self, size: Any) -> Code: ...


def call(name: str, *parts: str) -> Code:
    return Code(f"{name}({', '.join(parts)})")


def operand(scope: Scope, argument: Expr, node: Expr, function: str = "") -> Code:
    """An argument as the kind that the operation computes in: conditions count 0 and 1, powers are of reals."""
    code = scope.code(argument)
    if node.kind != BOOLEAN and argument.kind == BOOLEAN:
        return call("np.where", code.text, "1", "0")
    if function == "power" and argument is node.args[0] and argument.kind == INTEGER:
        return call("np.float64", code.text)
    return code


def axis(axes: Sequence[int]) -> str:
    return f"axis={axes[0]}" if len(axes) == 1 else f"axis={tuple(axes)}"


def contraction(scope: Scope, node: Expr) -> Code:
    op = node.op
    assert isinstance(op, ops.Contraction)
    operands = [operand(scope, a, node) for a in node.args]
    kept = [i for i in op.output if any(i in indices for indices in op.inputs)]
    found = _plain(node, op, operands[0]) if len(operands) == 1 else None
    if found is not None:
        return found
    value = _product(op, kept, operands) if len(operands) == 2 else None
    return _repeated(scope, node, op, kept, value or _einsum(op, kept, operands))


def _repeated(scope: Scope, node: Expr, op: ops.Contraction, kept: Sequence[int], value: Code) -> Code:
    """The value with the axes that only the result has: broadcasting adds leading ones by itself."""
    if len(kept) == len(op.output):
        return value
    leading = len(op.output) - len(kept)
    if list(op.output[leading:]) != list(kept):
        places = ", ".join(":" if i in kept else "None" for i in op.output)
        value = Code(f"{value.at(ATOM)}[{places}]")
        if all(isinstance(s, int) and s == 1 for _, s in op.new):
            return value
    return call("np.broadcast_to", value.text, shape_code(scope, node.shape))


def _plain(node: Expr, op: ops.Contraction, x: Code) -> Code | None:
    """One operand: itself, transposed, or summed."""
    indices = op.inputs[0]
    if op.new and len(set(indices)) == len(indices):
        axes = tuple(i for i, index in enumerate(indices) if index not in op.output)
        if axes and make(functions.sum_op(len(indices), axes, True), *node.args).shape == node.shape:
            rest = [i for i in op.output if i in indices]
            if rest == [i for i in indices if i in op.output] and all(s == 1 for _, s in op.new):
                return call("np.sum", x.text, axis(axes), "keepdims=True")
        return None
    if op.new or len(set(indices)) != len(indices):
        return None
    if sorted(op.output) == sorted(indices):
        if op.output == indices:
            return x
        if op.output == indices[::-1]:
            return Code(f"{x.at(ATOM)}.T")
        return call("np.transpose", x.text, str(tuple(indices.index(i) for i in op.output)))
    if list(op.output) == [i for i in indices if i in op.output]:
        axes = tuple(i for i, index in enumerate(indices) if index not in op.output)
        return call("np.sum", x.text, *([] if len(axes) == len(indices) else [axis(axes)]))
    return None


def _product(op: ops.Contraction, kept: Sequence[int], operands: Sequence[Code]) -> Code | None:
    """a @ b where two matrices or vectors share one index, which is summed."""
    (a, b), (left, right) = op.inputs, operands
    shared = [i for i in a if i in b]
    small = 0 < len(a) <= 2 and 0 < len(b) <= 2 and len(set(a)) == len(a) and len(set(b)) == len(b)
    if not small or len(shared) != 1 or shared[0] in kept or set(kept) != (set(a) | set(b)) - set(shared):
        return None
    if kept and kept[0] not in a:
        (a, left), (b, right) = (b, right), (a, left)
    k = shared[0]
    first = left.at(MATMUL if left.level == MATMUL else UNARY) if a[-1] == k else f"{left.at(ATOM)}.T"
    second = right.at(UNARY) if b[0] == k else f"{right.at(ATOM)}.T"
    return Code(f"{first} @ {second}", MATMUL)


def _einsum(op: ops.Contraction, kept: Sequence[int], operands: Sequence[Code]) -> Code:
    if not any(op.inputs):
        return operands[0] if len(operands) == 1 else Code(" * ".join(o.at(UNARY) for o in operands), MULTIPLY)
    if len(operands) == 1 and list(op.inputs[0]) == list(kept):
        return operands[0]
    number = {index: i for i, index in enumerate(dict.fromkeys(i for indices in op.inputs for i in indices))}

    def letters(indices: Sequence[int]) -> str:
        return "".join("ijklmnopqrstuvwxyzabcdefgh"[number[i]] for i in indices)

    subscripts = f"'{','.join(map(letters, op.inputs))}->{letters(kept)}'"
    faster = ["optimize=True"] if len(operands) > 2 else []
    return call("np.einsum", subscripts, *(o.text for o in operands), *faster)


def shape_code(scope: Scope, shape: Sequence[Any]) -> str:
    return f"({', '.join(scope.extent(s).text for s in shape)}{',' if len(shape) == 1 else ''})"


def size_code(size: Any, name: Callable[[str], str]) -> Code:
    """A size as Python; `name` gives the Python name of a size's name."""
    if isinstance(size, int):
        return Code(str(size))
    if isinstance(size, str):
        return Code(name(size))
    if size.is_Symbol:
        return Code(name(size.name))
    if size.is_Integer:
        return Code(str(int(size)), UNARY if size < 0 else ATOM)
    level, sign = (ADD, " + ") if size.is_Add else (MULTIPLY, " * ") if size.is_Mul else (POWER, " ** ")
    return Code(sign.join(size_code(a, name).at(level + 1) for a in size.args), level)
