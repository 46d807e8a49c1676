"""Formula trees as LaTeX for MathJax, KaTeX and amsmath; every name is escaped, nothing of a name is executed."""

from __future__ import annotations

from collections.abc import Sequence

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

SIGNS = {"+": " + ", "-": " - ", "*": r" \odot ", "·": r" \cdot ", "": r" \, ", "@": r" \, ", "<": " < ", ">": " > ",
         "=": " = ", "<=": r" \le ", ">=": r" \ge ", "!=": r" \ne ", "and": r" \wedge ", "or": r" \vee "}  # fmt: skip
KNOWN = {"exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh", "max", "min"}
SPECIAL = {"\\": r"\backslash{}", "{": r"\{", "}": r"\}", "_": r"\_", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%",
           "^": r"\wedge{}", "~": r"\sim{}"}  # fmt: skip


def escaped(text: str) -> str:
    """Text whose characters stand for themselves."""
    return "".join(SPECIAL.get(character, character) for character in text)


def name(identifier: str) -> str:
    """A name in LaTeX.

    >>> print(name("W1"), name("delta_net"), name("W_1"))
    W_{1} \\delta_{\\mathrm{net}} W_{\\_1}
    """
    parts = names.read(identifier)
    spelt = names.SPELT.get(parts.base)
    base = rf"\{spelt}" if spelt else escaped(parts.base) if not parts.word else rf"\mathrm{{{escaped(parts.base)}}}"
    below = escaped(parts.below) if parts.below[:1] == "_" else name(parts.below) if parts.below else ""
    both = "".join([parts.digits, "," if parts.digits and below else "", below])
    return f"{base}_{{{both}}}" if both else base


def latex(tree: Math) -> str:
    """A formula tree as LaTeX."""
    return _write(parenthesised(tree, stacked=True))


def _letters(indices: Sequence[str]) -> str:
    return "_{" + " ".join(map(escaped, indices)) + "}" if indices else ""


def _raised(power: int) -> str:
    return f"^{{{power}}}" if power > 1 else ""


def _function(function: str) -> str:
    if function == "sigmoid":
        return r"\sigma"
    return rf"\{function}" if function in KNOWN else rf"\operatorname{{{escaped(function)}}}" if function else ""


def _write(tree: Math) -> str:
    match tree:
        case Symbol(symbol, plain):
            return rf"\mathtt{{{escaped(symbol)}}}" if plain else name(symbol)
        case Number(number):
            return number if "e" not in number else number.replace("e", r" \cdot 10^{").replace("+", "") + "}"
        case Words(words):
            return rf"\text{{{escaped(words)}}}"
        case Infix("/", (above, below)):
            return rf"\frac{{{_write(above)}}}{{{_write(below)}}}"
        case Infix(sign, parts):
            return SIGNS[sign].join(map(_write, parts))
        case Negative(part):
            return "-" + _write(part)
        case Call("floor", (part,)):
            return rf"\left\lfloor {_write(part)} \right\rfloor"
        case Call("abs", (part,)):
            return rf"\left|{_write(part)}\right|"
        case Call("sqrt", (part,)):
            return rf"\sqrt{{{_write(part)}}}"
        case Call("logical_not", (part,)):
            return rf"\neg\left({_write(part)}\right)"
        case Call(function, parts):
            return rf"{_function(function)}\left({', '.join(map(_write, parts))}\right)"
        case Power(base, exponent):
            return f"{{{_write(base)}}}^{{{_write(exponent)}}}"
        case Transpose(part):
            return rf"{{{_write(part)}}}^{{\top}}"
        case Over(function, indices, part):
            sign = r"\sum" if function == "sum" else _function(function)
            return f"{sign}{_letters(indices)} {_write(part)}"
        case Bracket(part):
            return rf"\left[{_write(part)}\right]"
        case Indexed(part, places):
            return rf"{_write(part)}\left[{', '.join(map(_write, places))}\right]"
        case Entries(part, letters):
            return rf"\left[{_write(part)}\right]{_letters(letters)}"
        case Derivative(of, by):
            under = r" \, ".join(rf"\partial {_write(part)}" + _raised(power) for part, power in tree.powers)
            return rf"\frac{{\partial{_raised(len(by))} {_write(of)}}}{{{under}}}"
        case Braced(part, label):
            return rf"\underbrace{{{_write(part)}}}_{{\text{{{escaped(label)}}}}}"
        case Parentheses(part):
            return rf"\left({_write(part)}\right)"
    raise AssertionError(tree)


def document(main: Sequence[Definition], where: Sequence[Definition]) -> str:
    """Formulas and the list of their names as one display."""
    if len(main) == 1 and not main[0].name and not where:
        return latex(main[0].math)
    rows = [f"{latex(d.left) if d.name else ''} &{'=' if d.name else ''} {latex(d.math)}" for d in main]
    if where:
        rows += [r"\text{where} &", *(f"{latex(d.left)} &= {latex(d.math)}" for d in where)]
    return "\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}"


def code(block: str) -> str:
    """Lines of code as a display."""
    texts = {**SPECIAL, "\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", " ": r"\ "}
    rows = ["& \\texttt{" + "".join(texts.get(c, c) for c in line) + "}" for line in block.splitlines()]
    return "\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}"
