"""How far rounding may move a value: the interpreter's arithmetic over absolute values, a scale for tests.

`scales(expressions, arrays)` gives, entry by entry, the sum of the absolute values of all terms that went into an
entry: of a product's factors and a sum's terms, carried through every function by the size of its slope (a first-order
running error analysis, in units of the rounding error). It is at least the absolute value of the entry itself.
"""

import numpy as np

from symgrad.expression import ops, sizes
from symgrad.expression.node import leaves, topological
from symgrad.interpreter import SCALARS, TABLE, evaluate_all

STEP = 1e-6


def scales(expressions, arrays):
    """The scale of each entry of each expression; `arrays` by name."""
    order = topological(expressions)
    values = dict(zip(order, evaluate_all(order, arrays), strict=True))
    inputs = leaves(expressions)
    extents = {s: n for name, leaf in inputs.items() for s, n in zip(leaf.shape, np.shape(arrays[name]), strict=True)}
    found = {}
    with np.errstate(all="ignore"):
        for node in order:
            terms = [found[a] for a in node.args]
            inner = [values[a] for a in node.args]
            rule = RULES.get(type(node.op), lambda *given: 0.0)
            scale = rule(node, terms, inner, values[node], extents) if node.kind == "real" else 0.0
            found[node] = np.broadcast_to(np.abs(values[node]) + scale, values[node].shape)
    return [found[e] for e in expressions]


def agree(got, want, scale, tolerance=1e-12):
    """Two values of an entry differ by rounding: `tolerance` of its scale."""
    assert got.shape == want.shape
    assert np.isfinite(want).all()
    worst = (np.abs(got - want) / np.where(scale > 0, scale, 1e-300)).max(initial=0.0)
    assert worst <= tolerance, f"{worst:.1e} of the absolute terms"


def elementwise(node, terms, inner, value, extents):
    """Σ |slope by argument| · its scale; slopes by central differences, none across a condition."""
    function, total = SCALARS[node.op.function], 0.0
    inner = [np.asarray(v, bool if a.kind == "boolean" else float) for a, v in zip(node.args, inner, strict=True)]
    if node.op.function in ("sign", "floor"):
        return 0.0
    for i, scale in enumerate(terms):
        if node.args[i].kind != "real":
            continue
        up, down = ([*inner[:i], inner[i] + d, *inner[i + 1 :]] for d in (STEP, -STEP))
        slope = np.abs(function(*up) - function(*down)) / (2 * STEP)
        total = total + np.where(np.isfinite(slope), slope, 0.0) * scale
    return total


def contraction(node, terms, inner, value, extents):
    """Σ over the products of absolute values, each factor's scale in its place in turn."""
    letters = {index: i for i, index in enumerate(dict.fromkeys(i for indices in node.op.inputs for i in indices))}
    shape = [sizes.bind(s, extents) for s in node.shape]
    total = 0.0
    for i in range(len(terms)):
        factors = [np.abs(v).astype(float) for v in inner]
        factors[i] = terms[i].astype(float)
        operands = []
        for factor, indices in zip(factors, node.op.inputs, strict=True):
            operands += [factor, [letters[k] for k in indices]]
        kept = [letters[k] for k in node.op.output if k in letters]
        result = np.einsum(*operands, kept)
        aligned = [n if k in letters else 1 for k, n in zip(node.op.output, shape, strict=True)]
        total = total + np.broadcast_to(result.reshape(aligned), shape)
    return total


def softmax(node, terms, inner, value, extents):
    return value * (terms[0] + (value * terms[0]).sum(node.op.axes, keepdims=True))


def logsumexp(node, terms, inner, value, extents):
    kept = value if node.op.keep else np.expand_dims(value, node.op.axes)
    total = (np.exp(inner[0] - kept) * terms[0]).sum(node.op.axes, keepdims=True)
    return (total if node.op.keep else total.squeeze(node.op.axes)) + 1.0


def reduce(node, terms, inner, value, extents):
    return terms[0].max(node.op.axes, keepdims=node.op.keep)


def take(node, terms, inner, value, extents):
    return np.take(terms[0], inner[1], node.op.axis)


def scatter(node, terms, inner, value, extents):
    total = np.zeros(value.shape)
    axis, rank = node.op.axis, inner[1].ndim
    np.add.at(np.moveaxis(total, axis, 0), inner[1], np.moveaxis(terms[0], range(axis, axis + rank), range(rank)))
    return total


def moved(node, terms, inner, value, extents):
    """Entries that change places, or are added where they meet: so do their scales."""
    return TABLE[type(node.op)](node.op, node, terms, extents)


def same(node, terms, inner, value, extents):
    return terms[0].reshape(value.shape)


RULES = {
    ops.Elementwise: elementwise, ops.Contraction: contraction, ops.Softmax: softmax, ops.LogSumExp: logsumexp,
    ops.Reduce: reduce, ops.Take: take, ops.Scatter: scatter, ops.Reshape: same, ops.Named: same, ops.Cast: same,
    **dict.fromkeys((ops.Slice, ops.Pad, ops.Concatenate, ops.Windows, ops.Overlap), moved),
}  # fmt: skip
