"""The graph of expressions as a picture: for any expressions, and for a model with its gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from symgrad.errors import ConfigurationError
from symgrad.expression.node import Expr
from symgrad.formulas import titles
from symgrad.formulas.names import text as shown
from symgrad.inspection.drawing import drawing
from symgrad.inspection.svg import dot, svg

if TYPE_CHECKING:
    from symgrad.training.model import Model

Expressions = Expr | Sequence[Expr] | Mapping[str, Expr]
FORMATS = {"svg": svg, "dot": dot}


def graph(
    expressions: Expressions,
    format: str = "svg",
    operations: bool = False,
    gradients: Expressions = (),
    title: str = "",
) -> str:
    """The graph of one or several expressions as SVG ("svg") or Graphviz DOT ("dot"), with names and shapes.

    A box is an input, a parameter or a named value with its formula; `operations=True` gives every operation a box of
    its own. A mapping gives titles to the expressions. `gradients` are drawn beside, from the loss back; what they
    share with the expressions is shared. Raises ConfigurationError for another format.

    >>> from symgrad.expression.functions import parameter, relu, variable
    >>> h = relu(variable("x", ("N", 3)) @ parameter("W", (3, 2))).named("h")
    >>> print(graph(h, format="dot").count("->"))
    2
    """
    if format not in FORMATS:
        raise ConfigurationError(f"there is no format {format!r} of a graph; there are {', '.join(FORMATS)}")
    picture = drawing(titles(expressions, None), titles(gradients, None), operations)
    return FORMATS[format](picture, title or "expression graph")


def model_graph(model: Model, format: str = "svg", operations: bool = False, gradient: bool = False) -> str:
    """The graph of a model's loss and output; with `gradient` also of the simplified gradients of all parameters."""
    derived = model.gradients if gradient else None
    loss, output = (derived.loss, derived.output) if derived else (model.loss, model.output)
    slopes = {f"∂L/∂{shown(name)}": g for name, g in derived.gradients.items()} if derived else {}
    return graph({"output": output, "L": loss}, format, operations, slopes, model.name)
