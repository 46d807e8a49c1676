"""Formula trees as Unicode text: subscripts and Greek from names, parentheses where precedence wants them, lines that fit."""

from __future__ import annotations

import re

from symgrad.formula.tree import POWER, PRODUCT, RELATION, SUM, Bracket, Call, Indexed, Infix, Math, Negative, Number, Power, Sum, Symbol, Transpose

GREEK = {"alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "eta": "η", "theta": "θ", "kappa": "κ", "lambda_": "λ",
         "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π", "rho": "ρ", "sigma": "σ", "tau": "τ", "phi": "φ", "chi": "χ", "psi": "ψ",
         "omega": "ω", "Gamma": "Γ", "Delta": "Δ", "Theta": "Θ", "Lambda": "Λ", "Sigma": "Σ", "Phi": "Φ", "Psi": "Ψ", "Omega": "Ω"}  # fmt: skip
DIGITS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
LETTERS = {**{c: s for c, s in zip("aehijklmnoprstuvx", "ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ", strict=True)}, ",": "", " ": ""}
SIGNS = {"+": " + ", "-": " − ", "/": " / ", "*": " ⊙ ", "·": " · ", "": " ", "<=": " ≤ ", ">=": " ≥ ", "!=": " ≠ ", "and": " ∧ ", "or": " ∨ "}
WIDTH = 100


def name(text: str) -> str:
    """A name as mathematics: W1 is W₁, delta_z is δ_z.

    >>> name("W1"), name("delta_z")
    ('W₁', 'δ_z')
    """
    head, separator, tail = text.partition("_")
    match = re.fullmatch(r"([A-Za-z]+?)([0-9]+)", head)
    if match:
        head = GREEK.get(match[1], match[1]) + match[2].translate(DIGITS)
    else:
        head = GREEK.get(head, head)
    return head + (separator + (name(tail) if tail else "") if separator else "")


def text(tree: Math) -> str:
    """One line of text."""
    match tree:
        case Symbol(symbol):
            return name(symbol) if symbol.isidentifier() else symbol
        case Number(number):
            return number.replace("-", "−")
        case Infix(sign, parts, level):
            return _infix(sign, parts, level)
        case Negative(part):
            return "−" + _inside(part, PRODUCT)
        case Call("tensor", (entry, indices)):
            return f"[{text(entry)}]{_lowered(text(indices))}"
        case Call("exp" | "log" | "sin" | "cos" | "tanh" | "sqrt" as function, (part,)):
            return f"√({text(part)})" if function == "sqrt" else f"{function}({text(part)})"
        case Call("abs", (part,)):
            return f"|{text(part)}|"
        case Call("sigmoid", (part,)):
            return f"σ({text(part)})"
        case Call(function, parts):
            return f"{function}({', '.join(map(text, parts))})"
        case Power(base, exponent):
            raised = text(exponent)
            short = re.fullmatch(r"−?\d+", raised)
            return _inside(base, POWER + 1) + (raised.replace("−", "-").translate(RAISED) if short else f"^{_inside(exponent, POWER + 1)}")
        case Transpose(part):
            return _inside(part, POWER + 1) + "ᵀ"
        case Sum(indices, part):
            return "Σ" + "".join(map(_lowered, indices)) + " " + _inside(part, PRODUCT + (isinstance(part, Infix) and part.sign == "/"))
        case Bracket(part):
            return f"[{text(part)}]"
        case Indexed(part, indices):
            return f"{_inside(part, POWER + 1)}[{','.join(indices)}]"
    raise AssertionError(tree)


def _lowered(index: str) -> str:
    return "".join(LETTERS.get(c, "_" + c) for c in index) if index.isascii() else index


def _inside(tree: Math, level: int) -> str:
    """The text of a part, in parentheses when it binds more weakly than its surroundings."""
    written = text(tree)
    return f"({written})" if tree.level < level else written


def _infix(sign: str, parts: tuple[Math, ...], level: int) -> str:
    shown = []
    for position, part in enumerate(parts):
        tight = level + (position > 0 and sign in ("-", "/", "") and part.level == level) + (level == RELATION)
        mixed = isinstance(part, Infix) and part.level == PRODUCT == level and {part.sign, sign} & {"*", "/", ""} and part.sign != sign
        scaled = mixed and sign == "/" and position == 0
        scalar_first = mixed and sign == "" and position == 0 and part.sign != "/"
        if mixed and not scaled and not scalar_first and not (sign == "·"):
            tight = level + 1
        if isinstance(part, Negative | Sum) and (position > 0 or isinstance(part, Sum) and level >= PRODUCT and sign != "/"):
            tight = max(tight, part.level + 1)
        if isinstance(part, Number) and part.level < SUM + 1 and position > 0:
            tight = part.level + 1
        shown.append(_inside(part, tight))
    return SIGNS.get(sign, f" {sign} ").join(shown)


def wrapped(line: str, indent: int, width: int = WIDTH) -> str:
    """A line broken before signs at its outermost level so that no part is longer than `width` columns."""
    if len(line) <= width:
        return line
    depth, breaks = 0, []
    for position, character in enumerate(line):
        depth += (character in "([") - (character in ")]")
        if character == " " and position > indent and line[position + 1 : position + 2] in "+−⊙/=":
            breaks.append((depth, position))
    usable = [p for _, p in breaks if indent < p < width]
    if not usable:
        usable = [p for p, c in enumerate(line[:width]) if c in " ," and p > indent + 4]
    if not usable:
        return line
    shallow = min((d for d, p in breaks if indent < p < width), default=0)
    best = max([p for d, p in breaks if d == shallow and indent < p < width], default=max(usable))
    rest = " " * indent + line[best:].lstrip()
    return line[:best].rstrip() + "\n" + wrapped(rest, indent, width)
