"""The optimizers command: what there is to train with, and each update as the formula that is compiled."""

from __future__ import annotations

from typing import Any

from symgrad.cli.inspect import show_json
from symgrad.errors import ConfigurationError
from symgrad.expression.node import leaves
from symgrad.formulas import formula
from symgrad.formulas.names import text as shown
from symgrad.training.optimizers import DECAY, SYMBOLS, row_of, update_formulas
from symgrad.training.update_rules import TABLE, Row

FORMATS = ("text", "latex")


def assignments(name: str, format: str) -> str:
    """The update of an optimizer as assignments; the names in them are explained by equations.

    >>> print(assignments("momentum", "text"))
    v ← μ v + g
    w ← w − η v
    """
    updates = update_formulas(name)
    lines = formula(updates, format=format).split("\n")
    sign, arrow = (" = ", " ← ") if format == "text" else (" &= ", r" &\leftarrow ")
    for place, line in enumerate(lines):
        if line.startswith(("where", r"\text{where}")):
            break
        left, found, right = line.partition(sign)
        lines[place] = f"{left}{arrow}{right}" if found and left.strip() in updates else line
    return "\n".join(lines)


def facts(name: str) -> dict[str, Any]:
    """What there is to say of an optimizer, as data.

    >>> facts("lion")["settings"]
    {'beta1': 0.9, 'beta2': 0.99}
    """
    row = row_of(name)
    return {
        "optimizer": name,
        "learning_rate": row.learning_rate,
        "settings": dict(row.settings),
        DECAY: {"kind": "decoupled" if row.decoupled else "L2", "default": row.decay},
        "states": list(row.states),
        "source": row.source,
        "keras": row.keras,
    }


def _about(name: str, row: Row) -> list[str]:
    """The numbers of an optimizer in words."""
    settings = "".join(f", {shown(SYMBOLS.get(k, k))} = {v:g}" for k, v in row.settings.items())
    decoupled = f", {shown(SYMBOLS[DECAY])} = {row.decay:g} (weight decay)" if row.decoupled else ""
    lines = [f"η = {row.learning_rate:g} (learning rate){settings}{decoupled}"]
    if row.states:
        counted = "; t counts steps from 1" if "t" in leaves(list(update_formulas(name).values())) else ""
        lines.append(f"{', '.join(row.states)} start{'s' * (len(row.states) == 1)} at 0{counted}")
    if not row.decoupled:
        lines.append("with weight decay λ, g ← g + λ w comes first (L2)")
    return [*lines, f"Keras: {row.keras}"] if row.keras else lines


def optimizers_command(name: str | None, format: str, as_json: bool) -> None:
    """All optimizers, or one as formulas. Raises ConfigurationError for a name or a format that there is not."""
    if format not in FORMATS:
        raise ConfigurationError(f"--format is {' or '.join(FORMATS)}, not {format!r}")
    if name is None:
        _list(as_json)
        return
    row = row_of(name)
    if as_json:
        lines = assignments(name, format)
        show_json(facts(name) | {"formulas": lines.splitlines() if format == "text" else lines})
    elif format == "latex":
        print(f"% {name}: {row.source}\n{assignments(name, format)}")
    else:
        print(f"{name}: {row.source}")
        print("\n".join(f"  {line}" for line in assignments(name, format).split("\n")))
        print("\n".join(_about(name, row)))


def _list(as_json: bool) -> None:
    if as_json:
        show_json([facts(name) for name in TABLE])
        return
    rows = [("name", "rate", "settings", "source")]
    for name, row in TABLE.items():
        settings = dict(row.settings) | ({DECAY: row.decay} if row.decay else {})
        rows.append((name, f"{row.learning_rate:g}", " ".join(f"{k}={v:g}" for k, v in settings.items()), row.source))
    widths = [max(len(r[i]) for r in rows) for i in range(3)]
    for r in rows:
        print("  ".join([*(cell.ljust(width) for cell, width in zip(r, widths, strict=False)), r[3]]).rstrip())
