"""Names as mathematics: Greek letters and subscripts from identifiers, the same reading for every format.

W1 is W with subscript 1, delta_z is δ with subscript z, lambda_ is λ; W_1 keeps its underscore, so that it never
looks like W1. Knows names only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

GREEK = {"alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "zeta": "ζ", "eta": "η", "theta": "θ",
         "iota": "ι", "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π", "rho": "ρ", "sigma": "σ",
         "tau": "τ", "upsilon": "υ", "phi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω", "Gamma": "Γ", "Delta": "Δ",
         "Theta": "Θ", "Lambda": "Λ", "Xi": "Ξ", "Pi": "Π", "Sigma": "Σ", "Upsilon": "Υ", "Phi": "Φ", "Psi": "Ψ",
         "Omega": "Ω"}  # fmt: skip
SPELT = {letter: word for word, letter in GREEK.items()}
LOWERED = str.maketrans("0123456789aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ")
RAISED = str.maketrans("0123456789-−", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁻")
LETTERS = "ijklmnoprstuvx"  # those that have a subscript form


@dataclass(frozen=True)
class Name:
    """base, number below it, and a name below that after an underscore; `word` says the base has several letters."""

    base: str
    digits: str = ""
    below: str = ""

    @property
    def word(self) -> bool:
        return len(self.base) > 1


def read(name: str) -> Name:
    """The parts of an identifier.

    >>> read("W1"), read("delta_z")
    (Name(base='W', digits='1', below=''), Name(base='δ', digits='', below='z'))
    """
    head, separator, below = name.partition("_")
    found = re.fullmatch(r"([^\W\d_]+?)([0-9]*)", head)
    if not found or (separator and not below and found[1] not in GREEK):
        return Name(name)
    return Name(GREEK.get(found[1], found[1]), found[2], f"_{below}" if below[:1].isdigit() else below)


def text(name: str) -> str:
    """A name as Unicode text.

    >>> text("W1"), text("delta_net"), text("lambda_"), text("W_1")
    ('W₁', 'δ_net', 'λ', 'W_1')
    """
    parts = read(name)
    below = parts.below if parts.below[:1] == "_" else f"_{text(parts.below)}" if parts.below else ""
    return parts.base + parts.digits.translate(LOWERED) + below


def lowered(index: str) -> str:
    """An index as a subscript."""
    return index.translate(LOWERED) if set(index) <= set("0123456789aehijklmnoprstuvx") else f"_{index}"


def clashing(names: list[str]) -> set[str]:
    """Names that are not restyled, because they would look like another: delta beside δ, W1 beside W₁."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(text(name), []).append(name)
    first = {shown: shown if shown in group else group[0] for shown, group in groups.items()}
    return {name for name in names if name != first[text(name)]}
