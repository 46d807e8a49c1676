"""Where parentheses go, decided once for every format. Takes a formula tree, gives one with Parentheses in it.

`stacked` formats write fractions and exponents in two dimensions and need fewer. Sums and matrix products are
associative and need none; different signs of one strength always do: a ⊙ (b c) is not (a ⊙ b) c.
"""

from __future__ import annotations

from dataclasses import replace

from symgrad.formulas.tree import (
    ATOM,
    FRACTION,
    LOGIC,
    NEGATIVE,
    PRODUCT,
    RELATION,
    SUM,
    Bracket,
    Call,
    Entries,
    Indexed,
    Infix,
    Math,
    Negative,
    Number,
    Over,
    Parentheses,
    Power,
    Transpose,
)


def parenthesised(tree: Math, stacked: bool) -> Math:
    """The tree with parentheses where reading it without them would give another tree."""

    def inside(part: Math, level: int) -> Math:
        done = parenthesised(part, stacked)
        return Parentheses(done) if _level(part, stacked) < level else done

    match tree:
        case Infix(sign, parts, level):
            shown = (_operand(sign, level, part, i, len(parts), stacked) for i, part in enumerate(parts))
            return replace(tree, parts=tuple(shown))
        case Negative(part):
            return Negative(inside(part, PRODUCT))
        case Call(name, parts):
            return Call(name, tuple(parenthesised(p, stacked) for p in parts))
        case Power(base, exponent):
            plain = stacked or isinstance(exponent, Number)
            return Power(inside(base, ATOM), parenthesised(exponent, stacked) if plain else inside(exponent, ATOM))
        case Transpose(part):
            return Transpose(inside(part, ATOM))
        case Over(name, indices, part):
            divided = isinstance(part, Infix) and part.sign == "/"
            return Over(name, indices, inside(part, FRACTION if divided else PRODUCT))
        case Bracket(part):
            return Bracket(parenthesised(part, stacked))
        case Indexed(part, places):
            return Indexed(inside(part, ATOM), tuple(parenthesised(i, stacked) for i in places))
        case Entries(part, letters):
            return Entries(parenthesised(part, stacked), letters)
        case Parentheses(part):
            return Parentheses(parenthesised(part, stacked))
    return tree


def _level(tree: Math, stacked: bool) -> int:
    if stacked and isinstance(tree, Infix) and tree.sign == "/":
        return FRACTION
    return tree.level


def _operand(sign: str, level: int, part: Math, position: int, count: int, stacked: bool) -> Math:
    done = parenthesised(part, stacked)
    if stacked and sign == "/":
        return done
    return Parentheses(done) if _needed(sign, level, part, position, count, stacked) else done


def _needed(sign: str, level: int, part: Math, position: int, count: int, stacked: bool) -> bool:
    own, last = _level(part, stacked), position == count - 1
    if level == LOGIC:
        return own == LOGIC
    if level == RELATION:
        return own <= RELATION
    if level == SUM:
        first = position == 0
        return own < SUM or (own == NEGATIVE and not first) or (own == SUM and sign == "-" and not first)
    swallows = _open(part) and not last and sign != "/"
    if own == NEGATIVE:
        return position > 0 or swallows
    if own < PRODUCT or swallows:
        return True
    if own > PRODUCT or not isinstance(part, Infix):
        return False
    if sign == "/":
        return position > 0
    scaled = part.sign == "" and position == 0 and isinstance(part.parts[0], Number) and len(part.parts) == 2
    return not _alike(part.sign, sign) and not scaled


def _alike(a: str, b: str) -> bool:
    """Scaling and matrix products are written alike and may be regrouped: 2 (A B) is (2 A) B."""
    return a == b or {a, b} == {"", "@"}


def _open(tree: Math) -> bool:
    """Whether a product ends in a sum, which would take in what follows."""
    if isinstance(tree, Infix):
        return tree.sign != "/" and tree.level == PRODUCT and _open(tree.parts[-1])
    return isinstance(tree, Over) or (isinstance(tree, Negative) and _open(tree.part))
