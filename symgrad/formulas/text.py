"""Formula trees as Unicode text, and lines that fit."""

from __future__ import annotations

import re

from symgrad.formulas import names
from symgrad.formulas.parentheses import parenthesised
from symgrad.formulas.tree import (
    Braced,
    Bracket,
    Call,
    Derivative,
    Entries,
    Indexed,
    Infix,
    Math,
    Negative,
    Number,
    Over,
    Parentheses,
    Power,
    Symbol,
    Transpose,
    Words,
)

SIGNS = {"+": " + ", "-": " − ", "/": " / ", "*": " ⊙ ", "·": " · ", "": " ", "@": " ", "<=": " ≤ ", ">=": " ≥ ",
         "!=": " ≠ ", "and": " ∧ ", "or": " ∨ "}  # fmt: skip
FUNCTIONS = {"sigmoid": "σ", "logical_not": "¬", "sqrt": "√"}
WIDTH = 100
name = names.text


def text(tree: Math) -> str:
    """One line of text."""
    return write(parenthesised(tree, stacked=False))


def write(tree: Math) -> str:
    """The text of a tree that has its parentheses."""
    match tree:
        case Symbol(symbol, plain):
            return symbol if plain or not symbol.isidentifier() else names.text(symbol)
        case Number(number):
            return number.replace("-", "−")
        case Words(words):
            return words
        case Infix(sign, parts):
            return SIGNS.get(sign, f" {sign} ").join(map(write, parts))
        case Negative(part):
            return "−" + write(part)
        case Call("abs", (part,)):
            return f"|{write(part)}|"
        case Call("floor", (part,)):
            return f"⌊{write(part)}⌋"
        case Call("sqrt", (Number() | Symbol("pi") as part,)):
            return f"√{write(part)}"
        case Call(function, parts):
            return f"{FUNCTIONS.get(function, function)}({', '.join(map(write, parts))})"
        case Power(base, exponent):
            raised = write(exponent)
            short = isinstance(exponent, Number) and re.fullmatch(r"−?\d+", raised)
            return write(base) + (raised.translate(names.RAISED) if short else f"^{raised}")
        case Transpose(part):
            return write(part) + "ᵀ"
        case Over(function, indices, part):
            return ("Σ" if function == "sum" else function) + "".join(map(names.lowered, indices)) + " " + write(part)
        case Bracket(part):
            return f"[{write(part)}]"
        case Indexed(part, places):
            return f"{write(part)}[{','.join(map(write, places))}]"
        case Entries(part, letters):
            return f"[{write(part)}]{''.join(map(names.lowered, letters))}"
        case Derivative(of, by):
            below = "".join(f"∂{write(part)}" + ("²" if power == 2 else "") for part, power in tree.powers)
            return f"∂{'²' if len(by) == 2 else ''}{write(of)}/{below}"
        case Braced(part, label):
            return f"{write(part)} ({label})"
        case Parentheses(part):
            return f"({write(part)})"
    raise AssertionError(tree)


def wrapped(line: str, indent: int, width: int = WIDTH) -> str:
    """A line broken before signs at its outermost level so that no part is longer than `width` columns."""
    pieces = []
    while len(line) > width:
        place = _place(line, indent, width)
        if place is None:
            break
        pieces.append(line[:place].rstrip())
        line = " " * indent + line[place:].lstrip()
    return "\n".join([*pieces, line])


def _place(line: str, indent: int, width: int) -> int | None:
    """Where to break: before a sign, the less deep in brackets the better, then the later; else at any blank."""
    depth, signs, blanks = 0, [], []
    for position, character in enumerate(line[: width + 1]):
        depth += (character in "([") - (character in ")]")
        if character == " " and position > indent + 4:
            blanks.append((-depth, position))
            if line[position + 1 : position + 2] in tuple("+−⊙/=∧∨"):
                signs.append((-depth, position))
    found = max(signs or blanks, default=None)
    return None if found is None else found[1]
