"""What the names in a derivation by hand mean, and what is known of the loss when it is repaired.

Takes a loss and what it is differentiated by; knows nothing of points and causes.
"""

from __future__ import annotations

from collections.abc import Mapping

from symgrad.calculus.gradient import gradient
from symgrad.errors import GradientError
from symgrad.expression import functions as f
from symgrad.expression import ops, sizes
from symgrad.expression.node import Expr, as_expr, leaves, rebuild, topological
from symgrad.expression.scalars import REAL, TABLE
from symgrad.proof import drafts
from symgrad.proof.drafts import Draft
from symgrad.proof.repairs import ADJOINT, Activation, Known
from symgrad.proof.worlds import World

READABLE = {  # pullbacks as on paper
    "relu": "g * (a > 0)",
    "sigmoid": "g * y * (1 - y)",
    "softmax": "y * (g - sum(g * y, axis=-1, keepdims=True))",
}
PLAIN = ("add", "subtract", "multiply", "divide", "negative", "power")  # no activations
USUAL = ("relu", "tanh", "sigmoid", "softmax")


def derivative(loss: Expr, wrt: Expr) -> Expr:
    """The gradient, also with respect to a computed node, through which identities must not look: log(sigmoid(a))."""
    if isinstance(wrt.op, ops.Leaf) or wrt not in topological([loss]):
        return gradient(loss, wrt)
    alone = f.variable("alone", wrt.shape)
    return rebuild([gradient(rebuild([loss], {wrt: alone})[0], alone)], {alone: wrt})[0]


def usable(loss: Expr, wrt: Expr, extra: Mapping[str, Expr]) -> dict[str, Expr]:
    """The names that a derivation may use, with what they mean.

    Leaves and named nodes of the loss; labels stand for their one-hot form where the loss uses that; delta_h is the
    derivative of the loss by a named h; sizes such as N are numbers.
    """
    order = topological([loss])
    found = dict(leaves([loss]))
    found |= {node.args[0].name: node for node in order if isinstance(node.op, ops.OneHot) and not node.args[0].args}
    named = [node for node in order if isinstance(node.op, ops.Named)]
    for node in named:
        if [n.name for n in named].count(node.name) == 1:
            found.setdefault(node.name, node)
    found |= {n: as_expr(value) for n, value in extra.items()}
    for size in sizes.names(s for leaf in leaves([loss]).values() for s in leaf.shape):
        found.setdefault(size, f.size(size))
    for node in named:
        if node is not wrt and node.kind == REAL and found.get(node.name) is node:
            try:
                found.setdefault(f"{ADJOINT}{node.name}", derivative(loss, node))
            except GradientError:  # nothing differentiable leads there: it has no adjoint
                continue
    return found


def known(loss: Expr, wrt: Expr, meanings: Mapping[str, Expr], draft: Draft, world: World) -> Known:
    """What repairs of a draft may use. True adjoints only where the person uses some: else they would be no repair."""
    adjoints = ADJOINT in drafts.shown(draft)
    tensors = [n for n, e in meanings.items() if not isinstance(e.op, ops.Extent)]
    tensors = [n for n in tensors if adjoints or not n.startswith(ADJOINT)]
    order, leading = topological([loss]), _leading(loss, wrt)
    bent = [node for node in order if _function(node)]
    activations = [
        Activation(
            _function(node),
            tuple(drafts.of_expression(a, meanings, {}) for a in node.args),
            drafts.of_expression(node, meanings, {}),
            pullback,
        )
        for node in bent
        for pullback in _pullbacks(node, leading)
    ]
    functions = dict.fromkeys([*(_function(node) for node in bent if len(node.args) == 1), *USUAL])
    called = set(meanings.values()) | {e.args[0] for e in meanings.values() if isinstance(e.op, ops.Named)}
    parts = [drafts.of_expression(node, meanings, {}) for node in bent if node not in called]
    return Known(tuple(tensors), tuple(parts), tuple(activations), tuple(functions), world.size_names)


def _leading(loss: Expr, wrt: Expr) -> set[Expr]:
    """The nodes through which the loss depends on something."""
    found = {wrt}
    for node in topological([loss]):
        if any(a in found for a in node.args):
            found.add(node)
    return found


def _function(node: Expr) -> str:
    """The name of an activation, "" for any other operation."""
    if isinstance(node.op, ops.Softmax):
        return "softmax"
    return node.op.function if isinstance(node.op, ops.Elementwise) and node.op.function not in PLAIN else ""


def _pullbacks(node: Expr, leading: set[Expr]) -> list[str]:
    """The adjoints of the arguments through which the loss depends on something, as texts."""
    function = _function(node)
    through = [a in leading for a in node.args]
    if function in READABLE:
        return [READABLE[function]] if any(through) else []
    return [text for text, leads in zip(TABLE[function].pullback, through, strict=True) if text and leads]
