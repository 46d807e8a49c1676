"""How many operations a node takes: the one counting rule, for formulas of cost and for the profile of a kernel alike.

Takes nodes, gives counts over index spaces, whose sizes may be names. Must not know bytes, buffers or kernels.
"""

from __future__ import annotations

from symgrad.expression import ops, sizes
from symgrad.expression.node import Expr
from symgrad.expression.ops import Constant, Contraction, Elementwise, Extent, Identity, Leaf, Named
from symgrad.expression.scalars import TABLE
from symgrad.expression.sizes import Shape, Size

FREE = (Leaf | Constant | Extent | Identity | Named | ops.Reshape | ops.Slice | ops.Windows | ops.Range | ops.Mode
        | ops.Assign)  # fmt: skip
CUBIC = {ops.Inverse: 2, ops.Solve: 1, ops.Determinant: 1, ops.LogDet: 1, ops.Cholesky: 1}  # times n³, about
READING = ops.Reduce | ops.LogSumExp | ops.ArgMax | ops.Scatter | ops.Overlap  # what goes through its argument


def operations(node: Expr) -> tuple[int, Shape]:
    """So many operations for each entry of an index space: (2, ("N", 784, 512)) for x @ W1.

    A term of a contraction takes one multiplication less than it has operands, and one addition where terms are
    summed: 2 for a product of matrices, 1 for a sum, nothing for a transpose. A scalar function counts 1 for each
    entry of its result, a sum or product of k values k - 1; a reduction 1 for each entry that it reads; anything else
    (softmax, one-hot, cast, take) 1 for each entry of its result. Leaves, constants, names, new shapes, slices and
    windows are free; linear algebra counts n³ for each matrix, an inverse 2 n³, about.

    >>> from symgrad.expression.functions import parameter, variable
    >>> operations(variable("x", ("N", 784)) @ parameter("W", (784, 512)))
    (2, ('N', 512, 784))
    """
    op = node.op
    if isinstance(op, FREE):
        return 0, ()
    if isinstance(op, Contraction):
        extent = op.sizes_of(node.args)
        summed = set(extent) - set(op.output)
        return max(0, len(node.args) - 1) + bool(summed), tuple(extent[i] for i in (*op.output, *sorted(summed)))
    if isinstance(op, Elementwise) and TABLE[op.function].arity < 0:
        return len(node.args) - 1, node.shape
    if type(op) in CUBIC:
        return CUBIC[type(op)], (*node.args[0].shape, node.args[0].shape[-1])
    return 1, node.args[0].shape if isinstance(op, READING) else node.shape


def flops(node: Expr) -> Size:
    """The operations of one node.

    >>> from symgrad.expression.functions import relu, variable
    >>> flops(relu(variable("h", (3, 4))))
    12
    """
    each, space = operations(node)
    return sizes.times((each, *space))
