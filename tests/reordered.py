"""The same expression with terms and factors written in another order, and differences as sums."""

from symgrad.expression import ops
from symgrad.expression.node import make, topological
from symgrad.expression.ops import Elementwise


def reordered(expressions, rng):
    """Every sum and product turned by chance; a difference sometimes becomes a sum with what is negative first."""
    done = {}
    for node in topological(expressions):
        args = [done[a] for a in node.args]
        function = node.op.function if isinstance(node.op, ops.Elementwise) else ""
        if function in ("add", "multiply") and node.kind != "boolean":
            done[node] = make(node.op, *(args[i] for i in rng.permutation(len(args))))
        elif function == "subtract" and node.kind == "real" and args[1].kind == "real" and rng.random() < 0.5:
            done[node] = make(Elementwise("add"), make(Elementwise("negative"), args[1]), args[0])
        else:
            done[node] = make(node.op, *args)
    return [done[e] for e in expressions]
