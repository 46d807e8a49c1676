"""Index notation of what moves entries and of linear algebra: x[n, o + p], sums over windows, A⁻¹[i, j]."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from symgrad.expression import ops, sizes
from symgrad.expression.node import Expr
from symgrad.expression.sizes import Size
from symgrad.formulas import scalar
from symgrad.formulas.tree import (
    PRODUCT,
    RELATION,
    SUM,
    Bracket,
    Call,
    Indexed,
    Infix,
    Math,
    Number,
    Over,
    Power,
    Symbol,
)

if TYPE_CHECKING:
    from symgrad.formulas.index import IndexNotation

Writer = Callable[["IndexNotation", Expr, list[Math], list[str]], Math]


def affine(terms: list[tuple[int, Math]], start: Size = 0) -> Math:
    """Σ factor · index + start, as it is written: 2 o + p, n - 1 - i."""
    terms = _put_together(terms)
    number = start if isinstance(start, int) else 0
    parts: list[tuple[int, Math]] = [] if isinstance(start, int) else [(1, scalar.size(start))]
    for factor, index in terms:
        if isinstance(index, Number) and index.text.lstrip("-").isdigit():
            number += factor * int(index.text)
        else:
            parts.append((factor, index))
    total: Math | None = None
    for factor, index in sorted(parts, key=lambda part: part[0] < 0):  # something positive first
        part = index if abs(factor) == 1 else Infix("", (Number(str(abs(factor))), index), PRODUCT)
        if total is None:
            total = part if factor > 0 else Infix("-", (Number(str(number)), part), SUM)
            number = number if factor > 0 else 0
        else:
            total = Infix("+" if factor > 0 else "-", (total, part), SUM)
    if total is None:
        return Number(str(number))
    return total if not number else Infix("+" if number > 0 else "-", (total, Number(str(abs(number)))), SUM)


def _put_together(terms: list[tuple[int, Math]]) -> list[tuple[int, Math]]:
    """s ⌊i/s⌋ + i mod s is i."""
    for factor, window in terms:
        match window:
            case Call("floor", (Infix("/", (i, Number(size))),)) if size == str(factor):
                if (1, Call("mod", (i, Number(size)))) in terms:
                    rest = [t for t in terms if t not in ((factor, window), (1, Call("mod", (i, Number(size)))))]
                    return [(1, i), *rest]
    return terms


def _slice(notation: IndexNotation, node: Expr, at: list[Math], taken: list[str]) -> Math:
    op = node.op
    assert isinstance(op, ops.Slice)
    place = affine([(op.step, at[op.axis])], op.start)
    return notation.entry(node.args[0], [*at[: op.axis], place, *at[op.axis + 1 :]], taken)


def _pad(notation: IndexNotation, node: Expr, at: list[Math], taken: list[str]) -> Math:
    """x[i - start] where that is an entry, else 0."""
    op, x = node.op, node.args[0]
    assert isinstance(op, ops.Pad)
    i, extent = at[op.axis], x.shape[op.axis]
    if op.step == 1 and isinstance(op.start, int):
        value = notation.entry(x, [*at[: op.axis], affine([(1, i)], -op.start), *at[op.axis + 1 :]], taken)
        if isinstance(extent, int) and extent == 1:
            return _where(value, Infix("=", (i, Number(str(op.start))), RELATION))
        last = affine([], sizes.shifted(extent, op.start - 1))
        return _where(value, Infix("<=", (Number(str(op.start)), i, last), RELATION))
    (letter,) = notation.fresh(x, [op.axis], taken)
    value = notation.entry(x, [*at[: op.axis], Symbol(letter), *at[op.axis + 1 :]], [*taken, letter])
    here = Infix("=", (affine([(op.step, Symbol(letter))], op.start), i), RELATION)
    return Over("sum", (letter,), _where(value, here))


def _where(value: Math, condition: Math) -> Math:
    return Infix("", (value, Bracket(condition)), PRODUCT)


def _concatenate(notation: IndexNotation, node: Expr, at: list[Math], taken: list[str]) -> Math:
    op, parts, start = node.op, [], 0
    assert isinstance(op, ops.Concatenate)
    i = at[op.axis]
    for number, x in enumerate(node.args):
        end = sizes.total([start, x.shape[op.axis]])
        place = affine([(1, i)], -start) if isinstance(start, int) else affine([(1, i), (-1, scalar.size(start))])
        value = notation.entry(x, [*at[: op.axis], place, *at[op.axis + 1 :]], taken)
        first, last = affine([], start), affine([], end)
        below = Infix("<", (i, last), RELATION)
        above = Infix("<=", (first, i), RELATION)
        within = Infix("and", (above, below), 0)
        condition = below if number == 0 else above if number == len(node.args) - 1 else within
        parts.append(_where(value, condition))
        start = end
    return Infix("+", tuple(parts), SUM)


def _windows(notation: IndexNotation, node: Expr, at: list[Math], taken: list[str]) -> Math:
    op = node.op
    assert isinstance(op, ops.Windows)
    place = affine([(op.stride, at[op.axis]), (op.dilation, at[op.axis + 1])])
    return notation.entry(node.args[0], [*at[: op.axis], place, *at[op.axis + 2 :]], taken)


def _overlap(notation: IndexNotation, node: Expr, at: list[Math], taken: list[str]) -> Math:
    op, x = node.op, node.args[0]
    assert isinstance(op, ops.Overlap)
    count, size = x.shape[op.axis : op.axis + 2]
    if isinstance(size, int) and op.stride == size and op.dilation == 1:  # windows side by side: one place for each
        i, whole_width = at[op.axis], sizes.same(sizes.times((count, size)), op.extent)
        each = Number(str(size))
        window, place = Call("floor", (Infix("/", (i, each), PRODUCT),)), Call("mod", (i, each))
        value = notation.entry(x, [*at[: op.axis], window, place, *at[op.axis + 1 :]], taken)
        last = affine([], sizes.times((count, size)))
        return value if whole_width else _where(value, Infix("<", (i, last), RELATION))
    letters = notation.fresh(x, [op.axis, op.axis + 1], taken)
    o, k = map(Symbol, letters)
    value = notation.entry(x, [*at[: op.axis], o, k, *at[op.axis + 1 :]], [*taken, *letters])
    here = Infix("=", (affine([(op.stride, o), (op.dilation, k)]), at[op.axis]), RELATION)
    return Over("sum", tuple(letters), _where(value, here))


def whole(notation: IndexNotation, x: Expr, taken: list[str]) -> Math:
    """A tensor as one thing, for operations that take it whole."""
    letters = notation.fresh(x, range(x.ndim), taken)
    inner = notation.entry(x, [Symbol(c) for c in letters], [*taken, *letters])
    return inner.part if isinstance(inner, Indexed) and len(inner.indices) == x.ndim else inner


def _inverse(notation: IndexNotation, node: Expr, at: list[Math], taken: list[str]) -> Math:
    return Indexed(Power(whole(notation, node.args[0], taken), Number("-1")), tuple(at))


def _solve(notation: IndexNotation, node: Expr, at: list[Math], taken: list[str]) -> Math:
    a, b = (whole(notation, x, taken) for x in node.args)
    return Indexed(Call("solve", (a, b)), tuple(at))


def _called(name: str) -> Writer:
    def write(notation: IndexNotation, node: Expr, at: list[Math], taken: list[str]) -> Math:
        result = Call(name, (whole(notation, node.args[0], taken),))
        return Indexed(result, tuple(at)) if at else result

    return write


def _mode(notation: IndexNotation, node: Expr, at: list[Math], taken: list[str]) -> Math:
    return Call("in_training", tuple(notation.entry(a, at, taken) for a in node.args))


WRITERS: dict[type[ops.Op], Writer] = {
    ops.Range: lambda notation, node, at, taken: at[0],
    ops.Slice: _slice,
    ops.Pad: _pad,
    ops.Concatenate: _concatenate,
    ops.Windows: _windows,
    ops.Overlap: _overlap,
    ops.Inverse: _inverse,
    ops.Solve: _solve,
    ops.Determinant: _called("det"),
    ops.LogDet: _called("logdet"),
    ops.Cholesky: _called("cholesky"),
    ops.Mode: _mode,
    ops.Assign: lambda notation, node, at, taken: notation.entry(node.args[0], at, taken),
}
