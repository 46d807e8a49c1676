"""Formula trees as HTML with MathML: well-formed, no script, no network, every name escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from symgrad.formulas import names
from symgrad.formulas.document import Definition
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

SIGNS = {
    "-": "−",
    "*": "⊙",
    "·": "·",
    "": "\u2062",
    "@": "\u2062",
    "<=": "≤",
    ">=": "≥",
    "!=": "≠",
    "and": "∧",
    "or": "∨",
}
FUNCTIONS = {"sigmoid": "σ", "logical_not": "¬"}


def html(tree: Math) -> str:
    """A formula tree as one <math> element."""
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML">{_write(parenthesised(tree, stacked=True))}</math>'


def _row(*parts: str) -> str:
    return f"<mrow>{''.join(parts)}</mrow>"


def _sign(text: str) -> str:
    return f"<mo>{escape(text)}</mo>"


def _fence(opening: str, inside: str, closing: str) -> str:
    return _row(f'<mo fence="true">{opening}</mo>', inside, f'<mo fence="true">{closing}</mo>')


def _listed(parts: Sequence[str]) -> str:
    return _row('<mo separator="true">,</mo>'.join(parts))


def name(identifier: str) -> str:
    """A name in MathML.

    >>> name("W1")
    '<msub><mi>W</mi><mn>1</mn></msub>'
    """
    parts = names.read(identifier)
    below = [f"<mn>{parts.digits}</mn>"] if parts.digits else []
    if parts.below:
        below.append(f"<mi>{escape(parts.below)}</mi>" if parts.below[0] == "_" else name(parts.below))
    base = f"<mi>{escape(parts.base)}</mi>"
    return f"<msub>{base}{below[0] if len(below) == 1 else _listed(below)}</msub>" if below else base


def _letters(base: str, indices: Sequence[str]) -> str:
    return f"<msub>{base}{_row(*(f'<mi>{escape(i)}</mi>' for i in indices))}</msub>" if indices else base


def _raised(base: str, power: int) -> str:
    return f"<msup>{base}<mn>{power}</mn></msup>" if power > 1 else base


def _function(function: str) -> str:
    return f"<mi>{escape(FUNCTIONS.get(function, function))}</mi>" if function else ""


def _write(tree: Math) -> str:
    match tree:
        case Symbol(symbol, plain):
            return f'<mi mathvariant="normal">{escape(symbol)}</mi>' if plain else name(symbol)
        case Number(number):
            return f"<mn>{escape(number.replace('-', '−'))}</mn>"
        case Words(words):
            return f"<mtext>{escape(words)}</mtext>"
        case Infix("/", (above, below)):
            return f"<mfrac>{_row(_write(above))}{_row(_write(below))}</mfrac>"
        case Infix(sign, parts):
            return _row(_sign(SIGNS.get(sign, sign)).join(map(_write, parts)))
        case Negative(part):
            return _row(_sign("−"), _write(part))
        case Call("floor", (part,)):
            return _fence("⌊", _write(part), "⌋")
        case Call("abs", (part,)):
            return _fence("|", _write(part), "|")
        case Call("sqrt", (part,)):
            return f"<msqrt>{_write(part)}</msqrt>"
        case Call(function, parts):
            return _row(_function(function), _fence("(", _listed([_write(p) for p in parts]), ")"))
        case Power(base, exponent):
            return f"<msup>{_row(_write(base))}{_row(_write(exponent))}</msup>"
        case Transpose(part):
            return f"<msup>{_row(_write(part))}<mi>⊤</mi></msup>"
        case Over(function, indices, part):
            sign = "<mo>∑</mo>" if function == "sum" else _function(function)
            return _row(_letters(sign, indices), "<mspace width='0.2em'/>", _write(part))
        case Bracket(part):
            return _fence("[", _write(part), "]")
        case Indexed(part, places):
            return _row(_write(part), _fence("[", _listed([_write(p) for p in places]), "]"))
        case Entries(part, letters):
            return _letters(_fence("[", _write(part), "]"), letters)
        case Derivative(of, by):
            taken_by = [_row(_sign("∂"), _raised(_write(x), power)) for x, power in tree.powers]
            return f"<mfrac>{_row(_raised(_sign('∂'), len(by)), _write(of))}{_row(*taken_by)}</mfrac>"
        case Braced(part, label):
            under = f'<munder><mrow>{_write(part)}</mrow><mo stretchy="true">⏟</mo></munder>'
            return f"<munder>{under}<mtext>{escape(label)}</mtext></munder>"
        case Parentheses(part):
            return _fence("(", _write(part), ")")
    raise AssertionError(tree)


def _line(definition: Definition) -> str:
    left = f"{html(definition.left)}</td><td>=" if definition.name else "</td><td>"
    return f'<tr><td style="text-align:right">{left}</td><td style="text-align:left">{html(definition.math)}</td></tr>'


def document(main: Sequence[Definition], where: Sequence[Definition]) -> str:
    """Formulas and the list of their names as a table, a fragment of a page."""
    rows = list(map(_line, main))
    if where:
        rows += ['<tr><td colspan="3" style="text-align:left">where</td></tr>', *map(_line, where)]
    return f'<div style="overflow-x:auto;overflow-y:hidden;padding:.3em 0"><table>{"".join(rows)}</table></div>'


def code(block: str) -> str:
    """Lines of code."""
    return f"<pre><code>{escape(block)}</code></pre>"
