"""Matrix notation: expressions as a person writes them with xᵀ δ, ⊙ and Σ. What it cannot say falls back to indices.

Takes an expression and the nodes that count as atoms (named nodes, shared parts), gives a formula tree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from symgrad.expression import ops
from symgrad.expression.node import Expr
from symgrad.expression.ops import Constant, Contraction, Elementwise, Leaf, Named
from symgrad.formula.tree import ATOM, POWER, PRODUCT, RELATION, SUM, Bracket, Call, Indexed, Infix, Math, Negative, Number, Power, Sum, Symbol, Transpose

SIGNS = {"less": "<", "less_equal": "<=", "greater": ">", "greater_equal": ">=", "equal": "=", "not_equal": "!=",
         "logical_and": "and", "logical_or": "or"}  # fmt: skip
LETTERS = "ijklmpqrstuvw"


def number_text(node: Expr) -> str:
    """A constant as it is written."""
    assert isinstance(node.op, Constant)
    value = node.op.value
    return str(int(value)) if not isinstance(value, bool) and float(value).is_integer() and abs(value) < 1e15 else repr(value)


class Notation:
    """One expression's formula; `atoms` gives the name of every node at which it stops."""

    def __init__(self, atoms: Mapping[Expr, str]) -> None:
        self.atoms = atoms
        self.done: dict[Expr, Math] = {}

    def math(self, node: Expr, top: bool = False) -> Math:
        """The tree of a node; `top` writes out an atom once."""
        if not top and node in self.atoms:
            return Symbol(self.atoms[node])
        if node not in self.done or top:
            result = self._write(node)
            if top:
                return result
            self.done[node] = result
        return self.done[node]

    def _write(self, node: Expr) -> Math:
        op = node.op
        if isinstance(op, Leaf):
            return Symbol(op.name)
        if isinstance(op, Named):
            return self.math(node.args[0])
        if isinstance(op, Constant):
            return Number(number_text(node)) if not op.shape else Call("constant", (Number(str(op.array.tolist())[:40]),))
        if isinstance(op, ops.Extent):
            return Symbol(str(op.size)) if isinstance(op.size, str) else Number(str(op.size))
        if isinstance(op, Elementwise):
            return self.elementwise(node, op.function)
        if isinstance(op, Contraction):
            return self.contraction(node)
        return _OTHERS[type(op)](self, node)

    def elementwise(self, node: Expr, function: str) -> Math:
        parts = tuple(self.math(a) for a in node.args)
        if function in ("add", "subtract"):
            return Infix("+" if function == "add" else "-", parts, SUM)
        if function == "negative":
            return Negative(parts[0])
        if function == "divide":
            return Infix("/", parts, PRODUCT)
        if function == "power":
            return Power(*parts)
        if function == "multiply":
            return self._product(node.args, parts)
        if function in SIGNS:
            return Infix(SIGNS[function], parts, RELATION)
        if function == "where":
            return self._selection(node, parts)
        return Call(function, parts)

    def _product(self, args: tuple[Expr, ...], parts: tuple[Math, ...]) -> Math:
        result = parts[0]
        for before, argument, part in zip(args, args[1:], parts[1:], strict=False):
            entrywise = bool(argument.shape) and bool(before.shape)
            number = isinstance(part, Number)
            result = Infix("*" if entrywise else "·" if number else "", (result, part), PRODUCT)
        return result

    def _selection(self, node: Expr, parts: tuple[Math, ...]) -> Math:
        """where(c, a, 0) is a ⊙ [c]: a selection, whatever a is where c fails."""
        condition, a, b = parts
        if b == Number("0"):
            return Infix("*", (a, Bracket(condition)), PRODUCT)
        return Call("where", parts)

    def contraction(self, node: Expr) -> Math:
        op = node.op
        assert isinstance(op, Contraction)
        found = self._matrix_product(node) if len(op.inputs) == 2 else self._single(node) if len(op.inputs) == 1 else None
        return found if found is not None else self.indexed(node)

    def _single(self, node: Expr) -> Math | None:
        op = node.op
        assert isinstance(op, Contraction)
        (indices,), output, part = op.inputs, op.output, self.math(node.args[0])
        if len(set(indices)) != len(indices):
            return None
        if len(indices) == 2 and output == indices[::-1]:
            return part.part if isinstance(part, Transpose) else Transpose(part)
        kept = [i for i in output if i in indices]
        if kept != [i for i in indices if i in output]:
            return None
        if any(not (isinstance(s, int) and s == 1) for _, s in op.new):
            return None
        summed = [axis for axis, i in enumerate(indices) if i not in output]
        if not summed:
            return part
        names = () if len(summed) == len(indices) > 1 else tuple(self._letter(node.args[0], a) for a in summed)
        return Sum(names, part)

    def _letter(self, x: Expr, axis: int) -> str:
        size = x.shape[axis]
        return size.lower() if isinstance(size, str) and len(size) == 1 else "ijkl"[axis % 4]

    def _matrix_product(self, node: Expr) -> Math | None:
        op = node.op
        assert isinstance(op, Contraction)
        (a, b), output = op.inputs, op.output
        if op.new or len(a) > 2 or len(b) > 2 or len(set(a)) != len(a) or len(set(b)) != len(b):
            return None
        left, right = self.math(node.args[0]), self.math(node.args[1])
        if a == b and len(a) == 2:
            summed = [axis for axis, i in enumerate(a) if i not in output]
            if tuple(i for i in a if i in output) == output and summed:
                names = () if len(summed) == 2 else tuple(self._letter(node.args[0], x) for x in summed)
                return Sum(names, Infix("*", (left, right), PRODUCT))
            return Infix("*", (left, right), PRODUCT) if output == a else None
        shared = [i for i in a if i in b]
        if len(shared) > 1 or any(i in output for i in shared) or (not shared and (len(a), len(b)) != (1, 1)):
            return None
        if not shared:  # outer product
            return _times(left, Transpose(right)) if output == (a[0], b[0]) else _times(right, Transpose(left))
        k = shared[0]
        first = a if len(a) == 2 else b
        if len(output) == 2 and output[0] not in a or (len(output) == 1 and len(b) == 2 and len(a) == 1 and False):
            a, b, left, right = b, a, right, left
        del first
        if len(a) == 1 and len(b) == 2 and len(output) == 1:  # a vector times a matrix: B x or Bᵀ x
            return _times(right if b[1] == k else _transposed(right), left)
        first_factor = left if len(a) == 2 and a[1] == k else _transposed(left)
        second_factor = right if b[0] == k else _transposed(right)
        return _times(first_factor, second_factor)

    def indexed(self, node: Expr) -> Math:
        """Index notation: exact for every rank."""
        op = node.op
        assert isinstance(op, Contraction)
        extent = op.sizes_of(node.args)
        names: dict[int, str] = {}
        for i in dict.fromkeys([*op.output, *(i for indices in op.inputs for i in indices)]):
            size = extent[i]
            wish = size.lower() if isinstance(size, str) and len(size) == 1 else ""
            taken = set(names.values())
            names[i] = wish if wish and wish not in taken else next(c for c in LETTERS if c not in taken)
        parts = [Indexed(self.math(a), tuple(names[i] for i in indices)) if indices else self.math(a)
                 for indices, a in zip(op.inputs, node.args, strict=True)]  # fmt: skip
        body: Math = parts[0]
        for part in parts[1:]:
            body = Infix("", (body, part), PRODUCT)
        summed = tuple(names[i] for i in names if i not in op.output)
        entry = Sum(summed, body) if summed else body
        return Call("tensor", (entry, Symbol(",".join(names[i] for i in op.output)))) if op.output else entry


def _times(a: Math, b: Math) -> Math:
    return Infix("", (a, b), PRODUCT)


def _transposed(x: Math) -> Math:
    return x.part if isinstance(x, Transpose) else Transpose(x)


def _call(name: str) -> Callable[[Notation, Expr], Math]:
    return lambda notation, node: Call(name, tuple(notation.math(a) for a in node.args))


def _axes_call(name: str) -> Callable[[Notation, Expr], Math]:
    def write(notation: Notation, node: Expr) -> Math:
        op, x = node.op, node.args[0]
        axes = op.axes if isinstance(op, ops.Reduce | ops.LogSumExp | ops.Softmax) else (getattr(op, "axis", 0),)
        label = op.function if isinstance(op, ops.Reduce) else name
        usual = axes == (x.ndim - 1,) if label != op.__class__.__name__.lower() or label in ("softmax", "logsumexp", "argmax") else False
        extra = () if usual or len(axes) == x.ndim else (Symbol("axis " + ",".join(map(str, axes))),)
        return Call(label, (notation.math(x), *extra))

    return write


_OTHERS: dict[type[ops.Op], Callable[[Notation, Expr], Math]] = {
    ops.Reduce: _axes_call("reduce"),
    ops.LogSumExp: _axes_call("logsumexp"),
    ops.Softmax: _axes_call("softmax"),
    ops.ArgMax: _axes_call("argmax"),
    ops.Reshape: _call("reshape"),
    ops.Cast: _call("cast"),
    ops.Take: _call("take"),
    ops.Scatter: _call("scatter"),
    ops.OneHot: _call("onehot"),
    ops.Identity: lambda notation, node: Symbol("I"),
}
__all__ = ["ATOM", "POWER", "Notation", "number_text"]
