"""Matrix notation: expressions as a person writes them with xᵀ δ, ⊙ and Σ. What it cannot say falls back to indices.

Takes an expression and the names at which to stop, gives a formula tree. Vectors are columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from symgrad.expression import ops
from symgrad.expression.node import Expr, make
from symgrad.expression.ops import Contraction
from symgrad.expression.scalars import BOOLEAN
from symgrad.formulas import matrix_movement, scalar
from symgrad.formulas.index import IndexNotation, letters_for
from symgrad.formulas.tree import PRODUCT, Call, Entries, Infix, Math, Over, Symbol, Transpose


class MatrixNotation:
    """One formula after another; `atoms` gives the symbol of every node at which it stops."""

    def __init__(self, atoms: Mapping[Expr, Symbol]) -> None:
        self.atoms = atoms
        self.done: dict[Expr, Math] = {}

    def math(self, node: Expr, top: bool = False) -> Math:
        """The tree of a node; `top` writes out an atom once."""
        if top:
            return self._write(node)
        if node in self.atoms:
            return self.atoms[node]
        if node not in self.done:
            self.done[node] = self._write(node)
        return self.done[node]

    def _write(self, node: Expr) -> Math:
        op = node.op
        if isinstance(op, ops.Elementwise):
            return self._elementwise(node, op.function)
        return WRITERS[type(op)](self, node)

    def _elementwise(self, node: Expr, function: str) -> Math:
        if any(_counts(a) for a in node.args):
            return self.indexed(node)  # places are compared: i ≥ j says it
        args = node.args if function == "where" else [self._scalar(a) for a in node.args]
        parts = [scalar.counted(self.math(a), a, node) for a in args]
        if function == "where":
            return scalar.written(function, parts, ["*" if a.shape and args[0].shape else "" for a in args])
        seen = [any(_spread(b) for b in args[:i]) for i in range(len(args))]
        return scalar.written(function, parts, ["*" if seen[i] and _spread(a) else "" for i, a in enumerate(args)])

    def _scalar(self, x: Expr) -> Expr:
        """The scalar that x repeats, if it does no more: arithmetic repeats it again."""
        op = x.op
        if not isinstance(op, Contraction) or x in self.atoms or not op.new or len(op.new) != len(op.output):
            return x
        return x.args[0] if len(x.args) == 1 and not x.args[0].shape else make(Contraction(op.inputs, ()), *x.args)

    def indexed(self, node: Expr) -> Math:
        """The entries of a node in index notation."""
        notation = IndexNotation(self.atoms)
        letters = notation.letters(node)
        entry = notation.entry(node, [Symbol(c) for c in letters], letters, top=True)
        return Entries(entry, tuple(letters)) if letters else entry


def _counts(x: Expr) -> bool:
    """Whether a condition compares places."""
    below = [a.args[0] if isinstance(a.op, ops.Reshape) else a for a in x.args]
    return isinstance(x.op, ops.Elementwise) and x.kind == BOOLEAN and any(isinstance(a.op, ops.Range) for a in below)


def _spread(x: Expr) -> bool:
    return bool(x.shape)


def _leaf(notation: MatrixNotation, node: Expr) -> Math:
    return notation.atoms.get(node, Symbol(node.name))


def _contraction(notation: MatrixNotation, node: Expr) -> Math:
    op = node.op
    assert isinstance(op, Contraction)
    found = None
    if len(op.inputs) == 1:
        found = _rearranged(notation, node, op)
    elif len(op.inputs) == 2 and not op.new and all(len(set(i)) == len(i) for i in op.inputs):
        found = _entrywise(notation, node, op) if op.inputs[0] == op.inputs[1] else _product(notation, node, op)
    return found if found is not None else notation.indexed(node)


def _rearranged(notation: MatrixNotation, node: Expr, op: Contraction) -> Math | None:
    """A transpose, a sum, or nothing at all."""
    (indices,), output = op.inputs, op.output
    if len(set(indices)) != len(indices):
        return None
    stacked = len(indices) == 3 and output == (indices[0], indices[2], indices[1])
    if stacked or (len(indices) == 2 and output == indices[::-1]):
        return _transposed(notation.math(node.args[0]))
    kept = [i for i in output if i in indices]
    if kept != [i for i in indices if i in output] or not all(isinstance(s, int) and s == 1 for _, s in op.new):
        return None
    summed = [axis for axis, i in enumerate(indices) if i not in output]
    part = notation.math(node.args[0])
    return _sum(node.args[0], summed, part) if summed else part


def _over(x: Expr, axes: list[int] | tuple[int, ...]) -> tuple[str, ...]:
    """The letters of some axes; none when it is all of a matrix's."""
    letters = letters_for(x.shape)
    return () if len(axes) == x.ndim > 1 else tuple(letters[a] for a in axes)


def _sum(x: Expr, axes: list[int], part: Math) -> Math:
    return Over("sum", _over(x, axes), part)


def _entrywise(notation: MatrixNotation, node: Expr, op: Contraction) -> Math | None:
    """Σ a ⊙ b over some axes of two tensors of one shape; aᵀ b for vectors."""
    indices = op.inputs[0]
    if tuple(i for i in indices if i in op.output) != op.output:
        return None
    left, right = (notation.math(a) for a in node.args)
    summed = [axis for axis, i in enumerate(indices) if i not in op.output]
    if len(indices) == 1 and summed:
        return _times(_turned(left), right)
    product = Infix("*" if indices else "", (left, right), PRODUCT)
    return _sum(node.args[0], summed, product) if summed else product


def _product(notation: MatrixNotation, node: Expr, op: Contraction) -> Math | None:
    """A product of matrices and vectors that share at most one index, which is summed."""
    (a, b), output = _without_batch(op)
    shared = [i for i in a if i in b]
    if len(shared) == 1 and set(output) == set(a) | set(b) and {len(a), len(b)} == {1, 2}:
        return _scaled(notation, node, op)
    if len(a) > 2 or len(b) > 2 or len(shared) > 1 or any(i in output for i in shared):
        return None
    if set(output) != (set(a) | set(b)) - set(shared):
        return None
    left, right = (notation.math(x) for x in node.args)
    if not a or not b:
        return _times(left, right, "") if output in (a, b) else None
    first_is_left = not output or output[0] in a
    if not shared:
        if (len(a), len(b)) != (1, 1):
            return None
        return _times(left, _turned(right)) if first_is_left else _times(right, _turned(left))
    (k,) = shared
    if not first_is_left:
        (a, left), (b, right) = (b, right), (a, left)
    return _times(left if a[-1] == k and len(a) == 2 else _turned(left), right if b[0] == k else _turned(right))


def _without_batch(op: Contraction) -> tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]:
    """Indices of a product of stacks of matrices without their first, the batch: x W and q kᵀ are written for each."""
    (a, b), output = op.inputs, op.output
    if len(output) != 3 or {len(a), len(b)} - {2, 3} or (len(a), len(b)) == (2, 2):
        return op.inputs, output
    first = output[0]
    if any(len(i) == 3 and i[0] != first for i in (a, b)) or any(first in i for i in (a, b) if len(i) == 2):
        return op.inputs, output
    return tuple(i[1:] if len(i) == 3 else i for i in (a, b)), output[1:]


def _scaled(notation: MatrixNotation, node: Expr, op: Contraction) -> Math | None:
    """The rows of a matrix times a vector's entries, diag(v) M; or its columns, M diag(v)."""
    at = 0 if len(op.inputs[0]) == 1 else 1
    (index,), indices = op.inputs[at], op.inputs[1 - at]
    diagonal, matrix = Call("diag", (notation.math(node.args[at]),)), node.args[1 - at]
    if isinstance(matrix.op, ops.Identity):
        return diagonal
    shown = notation.math(matrix) if op.output == indices else _turned(notation.math(matrix))
    return _times(diagonal, shown) if op.output[0] == index else _times(shown, diagonal)


def _times(a: Math, b: Math, sign: str = "@") -> Math:
    return Infix(sign, (a, b), PRODUCT)


def _transposed(x: Math) -> Math:
    """A transpose that is there."""
    return x.part if isinstance(x, Transpose) else Transpose(x)


def _turned(x: Math) -> Math:
    """An operand that stands the other way round in a product: (A B)ᵀ is Bᵀ Aᵀ, for nothing is transposed there."""
    if isinstance(x, Infix) and x.sign == "@":
        return replace(x, parts=tuple(_turned(p) for p in reversed(x.parts)))
    diagonal = isinstance(x, Call) and x.name == "diag"
    return x if diagonal else _transposed(x)


def _reduction(notation: MatrixNotation, node: Expr) -> Math:
    op, x = node.op, node.args[0]
    assert isinstance(op, ops.Reduce | ops.LogSumExp | ops.ArgMax)
    if isinstance(x.op, ops.Windows) and x not in notation.atoms:
        return notation.indexed(node)  # the largest entry of a window: its indices say it best
    axes = (op.axis,) if isinstance(op, ops.ArgMax) else op.axes
    name = op.function if isinstance(op, ops.Reduce) else type(op).__name__.lower()
    usual = axes == (x.ndim - 1,) if not isinstance(op, ops.Reduce) else len(axes) == x.ndim
    part = notation.math(x)
    return Call(name, (part,)) if usual else Over(name, _over(x, axes), _argument(part))


def _softmax(notation: MatrixNotation, node: Expr) -> Math:
    op, x = node.op, node.args[0]
    assert isinstance(op, ops.Softmax)
    part = notation.math(x)
    usual = op.axes == (x.ndim - 1,)
    return Call("softmax", (part,)) if usual else Over("softmax", _over(x, op.axes), _argument(part))


def _argument(part: Math) -> Math:
    return part if isinstance(part, Symbol) else Call("", (part,))


def _call(name: str) -> Callable[[MatrixNotation, Expr], Math]:
    return lambda notation, node: Call(name, tuple(notation.math(a) for a in node.args))


def _cast(notation: MatrixNotation, node: Expr) -> Math:
    return scalar.cast(notation.math(node.args[0]), node.args[0].kind, node.kind)


WRITERS: dict[type[ops.Op], Callable[[MatrixNotation, Expr], Math]] = {
    ops.Variable: _leaf,
    ops.Parameter: _leaf,
    ops.State: _leaf,
    ops.Noise: _leaf,
    **matrix_movement.WRITERS,
    ops.Constant: lambda notation, node: scalar.constant(node),
    ops.Extent: lambda notation, node: scalar.extent(node),
    ops.Named: lambda notation, node: notation.math(node.args[0]),
    ops.Contraction: _contraction,
    ops.Reduce: _reduction,
    ops.LogSumExp: _reduction,
    ops.ArgMax: _reduction,
    ops.Softmax: _softmax,
    ops.Cast: _cast,
    ops.Take: lambda notation, node: notation.indexed(node),
    ops.Scatter: lambda notation, node: notation.indexed(node),
    ops.OneHot: _call("onehot"),
    ops.Identity: lambda notation, node: Symbol("I"),
}
