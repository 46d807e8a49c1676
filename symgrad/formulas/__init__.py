"""Formulas that people read: three notations, three formats; what is named stays named, and is explained once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from symgrad.errors import ConfigurationError
from symgrad.expression.node import Expr
from symgrad.expression.ops import Leaf, Named
from symgrad.formulas import html, latex, numpy_code
from symgrad.formulas.atoms import fresh
from symgrad.formulas.document import Definition, aligned, definitions
from symgrad.formulas.text import text, wrapped

NOTATIONS, FORMATS = ("matrix", "index", "numpy"), ("text", "latex", "html")


def formula(
    expression: Expr | Sequence[Expr] | Mapping[str, Expr],
    notation: str = "matrix",
    format: str = "text",
    depth: int | None = None,
    names: Sequence[str] | None = None,
) -> str:
    """An expression, or several together, as formulas with a list of what their names stand for.

    `notation` is "matrix" (xᵀ δ, ⊙, Σₙ), "index" (Σₙ x[n,i] δ[n,j]: exact for any rank) or "numpy" (a block that
    runs, its last line assigns the result); `format` is "text", "latex" or "html" (MathML). `depth` explains only
    names that are at most so many steps away. `names` are the left sides, such as "∂L/∂W1"; a mapping gives them too.
    Raises ConfigurationError for another notation or format.

    >>> from symgrad.expression.functions import parameter, variable
    >>> x, w = variable("x", ("N", 3)), parameter("w", (3,))
    >>> print(formula(x @ w + 1))
    x w + 1
    >>> print(formula(x @ w + 1, notation="index"))
    result[n] = Σᵢ x[n,i] w[i] + 1
    """
    if notation not in NOTATIONS:
        raise ConfigurationError(f"there is no notation {notation!r}; there are {', '.join(NOTATIONS)}")
    if format not in FORMATS:
        raise ConfigurationError(f"there is no format {format!r}; there are {', '.join(FORMATS)}")
    named = titles(expression, names)
    if notation == "numpy":
        block = numpy_code.block(named)
        return {"text": block, "latex": latex.code(block), "html": html.code(block)}[format]
    main, where = definitions(named, notation=notation, depth=depth)
    if format == "text":
        return _text(main, where)
    return latex.document(main, where) if format == "latex" else html.document(main, where)


def titles(expression: Expr | Sequence[Expr] | Mapping[str, Expr], names: Sequence[str] | None) -> dict[str, Expr]:
    """Expressions by the left side of their formula: the titles given, else their own names, each once."""
    if isinstance(expression, Mapping):
        return dict(expression)
    if isinstance(expression, Expr):
        return {names[0] if names else "": expression}
    found: dict[str, Expr] = {}
    for i, e in enumerate(expression):
        own = e.op.name if isinstance(e.op, Leaf | Named) else "result"
        found[names[i] if names else fresh(own, found)] = e
    return found


def _text(main: Sequence[Definition], where: Sequence[Definition]) -> str:
    lines = [wrapped(text(main[0].math), 4)] if len(main) == 1 and not main[0].name else aligned(main)
    return "\n".join([*lines, *(["where", *aligned(where, 2)] if where else [])])


__all__ = ["Definition", "aligned", "definitions", "formula"]
