"""Index notation: the entry of a tensor at some indices, exact for every rank and operation.

Takes an expression, the letters of its axes and the names at which to stop; gives a formula tree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from symgrad.expression import ops
from symgrad.expression.node import Expr
from symgrad.expression.sizes import Size
from symgrad.formulas import index_movement, scalar
from symgrad.formulas.names import LETTERS
from symgrad.formulas.tree import (
    PRODUCT,
    RELATION,
    Bracket,
    Call,
    Indexed,
    Infix,
    Math,
    Number,
    Over,
    Symbol,
)

Index = Math  # a letter, a number, or an integer entry
ZERO = Number("0")


def letters_for(sizes: Sequence[Size], taken: Sequence[str] = ()) -> list[str]:
    """A letter for each axis, none of them taken: n for an axis of size N, else the first free one."""
    found: list[str] = []
    for size in sizes:
        wish = size.lower() if isinstance(size, str) and len(size) == 1 and size.lower() in LETTERS else ""
        free = (c for c in (wish, *LETTERS) if c and c not in found and c not in taken)
        found.append(next(free, f"i{len(found) + len(taken)}"))
    return found


class IndexNotation:
    """Entries of expressions; `atoms` gives the symbol of every node at which it stops."""

    def __init__(self, atoms: Mapping[Expr, Symbol]) -> None:
        self.atoms = atoms
        self.reserved = [symbol.name for symbol in atoms.values() if len(symbol.name) == 1]

    def letters(self, node: Expr) -> list[str]:
        """A letter for each axis of a node, none of them the name of something."""
        return letters_for(node.shape, self.reserved)

    def entry(self, node: Expr, at: Sequence[Index], taken: Sequence[str], top: bool = False) -> Math:
        """The entry of a node; `taken` letters are in use around it, `top` writes out an atom."""
        if not top and node in self.atoms:
            return _at(self.atoms[node], at)
        op = node.op
        if isinstance(op, ops.Elementwise):
            parts = [scalar.counted(self.entry(a, _trailing(a, at), taken), a, node) for a in node.args]
            return scalar.written(op.function, parts, ["" for _ in parts])
        return WRITERS[type(op)](self, node, list(at), list(taken))

    def fresh(self, node: Expr, axes: Sequence[int], taken: list[str]) -> list[str]:
        """Letters for some axes of a node; those of size 1 are not counted over."""
        return letters_for([node.shape[a] for a in axes], [*self.reserved, *taken])


def _at(symbol: Math, at: Sequence[Index]) -> Math:
    return Indexed(symbol, tuple(at)) if at else symbol


def _one(size: Size) -> bool:
    return isinstance(size, int) and size == 1


def _trailing(argument: Expr, at: Sequence[Index]) -> list[Index]:
    """Broadcasting: the last indices, and 0 along axes of size 1."""
    places = list(at)[len(at) - argument.ndim :]
    return [ZERO if _one(size) else index for size, index in zip(argument.shape, places, strict=True)]


def _contraction(notation: IndexNotation, node: Expr, at: list[Index], taken: list[str]) -> Math:
    op = node.op
    assert isinstance(op, ops.Contraction)
    extent = op.sizes_of(node.args)
    place: dict[int, Index] = dict(zip(op.output, at, strict=True))
    summed = [i for i in dict.fromkeys(i for indices in op.inputs for i in indices) if i not in place]
    counted = [i for i in summed if not _one(extent[i])]
    letters = letters_for([extent[i] for i in counted], [*notation.reserved, *taken])
    place |= dict.fromkeys(summed, ZERO) | {i: Symbol(c) for i, c in zip(counted, letters, strict=True)}
    inner = [*taken, *letters]
    pairs = sorted(zip(node.args, op.inputs, strict=True), key=lambda pair: _first(pair[1], op.output))
    parts = [notation.entry(a, [place[i] for i in indices], inner) for a, indices in pairs]
    body = parts[0] if len(parts) == 1 else Infix("", tuple(parts), PRODUCT)
    return Over("sum", tuple(letters), body) if letters else body


def _first(indices: Sequence[int], output: Sequence[int]) -> int:
    """Where the indices of a factor come in the result: factors are written in that order, x[n,i] δ[n,j]."""
    return min((output.index(i) for i in indices if i in output), default=-1 if not indices else len(output))


def _reduced(node: Expr, axes: Sequence[int], keep: bool, at: list[Index], letters: Sequence[str]) -> list[Index]:
    """The indices of the argument of a reduction: letters along its axes."""
    outer = iter(at)
    places: list[Index] = []
    for axis in range(node.args[0].ndim):
        if axis in axes:
            places.append(Symbol(letters[list(axes).index(axis)]))
            if keep:
                next(outer)
        else:
            places.append(next(outer))
    return places


def _reduction(notation: IndexNotation, node: Expr, at: list[Index], taken: list[str]) -> Math:
    op = node.op
    assert isinstance(op, ops.Reduce | ops.LogSumExp | ops.ArgMax)
    axes, keep = ((op.axis,), False) if isinstance(op, ops.ArgMax) else (op.axes, op.keep)
    name = op.function if isinstance(op, ops.Reduce) else type(op).__name__.lower()
    letters = notation.fresh(node.args[0], axes, taken)
    places = _reduced(node, axes, keep, at, letters)
    return Over(name, tuple(letters), notation.entry(node.args[0], places, [*taken, *letters]))


def _softmax(notation: IndexNotation, node: Expr, at: list[Index], taken: list[str]) -> Math:
    """exp(a[k]) / Σ exp(a[j]); the argument has a name, or is small enough to stand twice."""
    op, x = node.op, node.args[0]
    assert isinstance(op, ops.Softmax)
    letters = notation.fresh(x, op.axes, taken)
    places = [Symbol(letters[op.axes.index(a)]) if a in op.axes else index for a, index in enumerate(at)]
    total = Over("sum", tuple(letters), Call("exp", (notation.entry(x, places, [*taken, *letters]),)))
    return Infix("/", (Call("exp", (notation.entry(x, at, taken),)), total), PRODUCT)


def _reshape(notation: IndexNotation, node: Expr, at: list[Index], taken: list[str]) -> Math:
    x = node.args[0]
    if [s for s in x.shape if not _one(s)] == [s for s in node.shape if not _one(s)]:  # only axes of size 1 differ
        rest = iter([i for s, i in zip(node.shape, at, strict=True) if not _one(s)])
        return notation.entry(x, [ZERO if _one(s) else next(rest) for s in x.shape], taken)
    return _at(Call("reshape", (index_movement.whole(notation, x, taken), scalar.shape(node.shape))), at)


def _cast(notation: IndexNotation, node: Expr, at: list[Index], taken: list[str]) -> Math:
    x = notation.entry(node.args[0], at, taken)
    return scalar.cast(x, node.args[0].kind, node.kind)


def _take(notation: IndexNotation, node: Expr, at: list[Index], taken: list[str]) -> Math:
    op, (table, indices) = node.op, node.args
    assert isinstance(op, ops.Take)
    end = op.axis + indices.ndim
    chosen = notation.entry(indices, at[op.axis : end], taken)
    return notation.entry(table, [*at[: op.axis], chosen, *at[end:]], taken)


def _scatter(notation: IndexNotation, node: Expr, at: list[Index], taken: list[str]) -> Math:
    op, (values, indices) = node.op, node.args
    assert isinstance(op, ops.Scatter)
    letters = notation.fresh(indices, range(indices.ndim), taken)
    inner, places = [*taken, *letters], [Symbol(c) for c in letters]
    here = Infix("=", (notation.entry(indices, places, inner), at[op.axis]), RELATION)
    value = notation.entry(values, [*at[: op.axis], *places, *at[op.axis + 1 :]], inner)
    return Over("sum", tuple(letters), Infix("", (value, Bracket(here)), PRODUCT))


def _onehot(notation: IndexNotation, node: Expr, at: list[Index], taken: list[str]) -> Math:
    return Bracket(Infix("=", (notation.entry(node.args[0], at[:-1], taken), at[-1]), RELATION))


Writer = Callable[[IndexNotation, Expr, list[Index], list[str]], Math]
WRITERS: dict[type[ops.Op], Writer] = {
    ops.Variable: lambda notation, node, at, taken: _at(Symbol(node.name), at),
    ops.Parameter: lambda notation, node, at, taken: _at(Symbol(node.name), at),
    ops.State: lambda notation, node, at, taken: _at(Symbol(node.name), at),
    ops.Noise: lambda notation, node, at, taken: _at(Symbol(node.name), at),
    **index_movement.WRITERS,
    ops.Constant: lambda notation, node, at, taken: _at(scalar.constant(node), at),
    ops.Extent: lambda notation, node, at, taken: scalar.extent(node),
    ops.Contraction: _contraction,
    ops.Reduce: _reduction,
    ops.LogSumExp: _reduction,
    ops.ArgMax: _reduction,
    ops.Softmax: _softmax,
    ops.Reshape: _reshape,
    ops.Cast: _cast,
    ops.Take: _take,
    ops.Scatter: _scatter,
    ops.OneHot: _onehot,
    ops.Identity: lambda notation, node, at, taken: Indexed(Symbol("delta"), tuple(at)),
    ops.Named: lambda notation, node, at, taken: notation.entry(node.args[0], at, taken),
}
__all__ = ["IndexNotation", "letters_for"]
