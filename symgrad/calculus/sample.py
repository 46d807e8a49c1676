"""One sample of a batch: an expression with its batch axis taken away, as a lecture writes it.

Takes expressions over rows that do not look at each other and the name of their number; gives them for one row, and a
loss as what is summed over the batch and what stands beside that sum. Where rows meet otherwise, it says so.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from symgrad.calculus.arithmetic import Term, build, sum_of
from symgrad.errors import ExpressionError
from symgrad.expression import ops
from symgrad.expression.node import Expr, make, topological
from symgrad.expression.sizes import Size

Axis = int | None  # where the batch stands in a node's shape


class Sample:
    """Expressions for one row; leaves keep their names. Raises ExpressionError where rows meet."""

    def __init__(self, batch: Size) -> None:
        self.batch = batch
        self.rows: dict[Expr, Expr] = {}
        self.axis: dict[Expr, Axis] = {}

    def of(self, root: Expr) -> Expr:
        """One row of an expression, or the expression where it has no rows."""
        for node in topological([root], stop=self.rows.__contains__):
            if node not in self.rows:
                places = [i for i, s in enumerate(node.shape) if s == self.batch]
                if len(places) > 1:
                    raise ExpressionError(f"{node.label} has the batch twice")
                self.axis[node] = places[0] if places else None
                args = tuple(self.rows[a] for a in node.args)
                self.rows[node] = make(self._op(node), *args)
        return self.rows[root]

    def _op(self, node: Expr) -> ops.Op:
        return WRITERS[type(node.op)](self, node)

    def lost(self, node: Expr, axes: Sequence[int]) -> tuple[int, ...]:
        """The axes of a reduction without the batch; rows meet where it goes over them."""
        place = self.axis[node.args[0]]
        if place in axes:
            raise ExpressionError(f"{node.label} goes over the batch")
        return tuple(a - (place is not None and a > place) for a in axes)


def _without(shape: Sequence[Size], batch: Size) -> tuple[Size, ...]:
    return tuple(s for s in shape if s != batch)


def _leaf(sample: Sample, node: Expr) -> ops.Op:
    assert isinstance(node.op, ops.Leaf)
    return dataclasses.replace(node.op, shape=_without(node.op.shape, sample.batch))


def _contraction(sample: Sample, node: Expr) -> ops.Op:
    op = node.op
    assert isinstance(op, ops.Contraction)
    extent = op.sizes_of(node.args)
    gone = {i for i, s in extent.items() if s == sample.batch}
    if not gone <= set(op.output):
        raise ExpressionError(f"{node.label} goes over the batch")
    return _over_rows(op, gone)


def _over_rows(op: ops.Contraction, gone: set[int]) -> ops.Contraction:

    def kept(indices: Sequence[int]) -> tuple[int, ...]:
        return tuple(i for i in indices if i not in gone)

    new = tuple((i, s) for i, s in op.new if i not in gone)
    return ops.Contraction(tuple(kept(i) for i in op.inputs), kept(op.output), new)


def _reshape(sample: Sample, node: Expr) -> ops.Op:
    assert isinstance(node.op, ops.Reshape)
    if sample.axis[node] is sample.axis[node.args[0]] is None:
        return node.op
    if sample.axis[node] != 0 or sample.axis[node.args[0]] != 0:
        raise ExpressionError(f"{node.label} mixes the batch with other axes")
    return ops.Reshape(_without(node.op.shape, sample.batch))


def _reduction(sample: Sample, node: Expr) -> ops.Op:
    op = node.op
    assert isinstance(op, ops.Reduce | ops.LogSumExp | ops.Softmax)
    return dataclasses.replace(op, axes=sample.lost(node, op.axes))


def _argmax(sample: Sample, node: Expr) -> ops.Op:
    assert isinstance(node.op, ops.ArgMax)
    return ops.ArgMax(sample.lost(node, (node.op.axis,))[0])


def _moved(sample: Sample, node: Expr) -> ops.Op:
    """What moves entries along an axis that is not the batch."""
    axis, place = node.op.axis, sample.axis[node.args[0]]  # type: ignore[attr-defined]
    if place is not None and axis == place:
        raise ExpressionError(f"{node.label} goes over the batch")
    shifted: ops.Op = dataclasses.replace(node.op, axis=axis - (place is not None and axis > place))  # type: ignore[call-arg]
    return shifted


def _joined(sample: Sample, node: Expr) -> ops.Op:
    if len({sample.axis[a] for a in node.args}) > 1:
        raise ExpressionError(f"{node.label} joins what has rows with what has none")
    return _moved(sample, node)


def _matrices(sample: Sample, node: Expr) -> ops.Op:
    places = {sample.axis[a] for a in node.args}
    if len(places) > 1 or any(p is not None and p >= a.ndim - 2 for p, a in zip(places, node.args, strict=False)):
        raise ExpressionError(f"{node.label} takes rows of the batch for those of a matrix")
    return node.op


def _counted(sample: Sample, node: Expr) -> ops.Op:
    if sample.batch in node.shape:
        raise ExpressionError(f"{node.label} counts the rows")
    return node.op


def _as_it_is(sample: Sample, node: Expr) -> ops.Op:
    return node.op


def _refused(sample: Sample, node: Expr) -> ops.Op:
    if any(sample.axis[a] is not None for a in node.args):
        raise ExpressionError(f"{node.label} picks among rows")
    return node.op


WRITERS: dict[type[ops.Op], Callable[[Sample, Expr], ops.Op]] = {
    **dict.fromkeys((ops.Variable, ops.Parameter, ops.State, ops.Noise), _leaf),
    **dict.fromkeys((ops.Slice, ops.Pad, ops.Windows, ops.Overlap), _moved),
    **dict.fromkeys((ops.Inverse, ops.Solve, ops.Determinant, ops.LogDet, ops.Cholesky), _matrices),
    **dict.fromkeys((ops.Elementwise, ops.Cast, ops.OneHot, ops.Named, ops.Constant, ops.Extent), _as_it_is),
    **dict.fromkeys((ops.Identity, ops.Range), _counted),
    ops.Concatenate: _joined,
    ops.Contraction: _contraction,
    ops.Reshape: _reshape,
    ops.Reduce: _reduction,
    ops.LogSumExp: _reduction,
    ops.Softmax: _reduction,
    ops.ArgMax: _argmax,
    ops.Take: _refused,
    ops.Scatter: _refused,
}


def per_sample(loss: Expr, batch: Size) -> tuple[Expr | None, Expr | None]:
    """(ℓ, r) with loss = Σ_batch ℓ + r: the loss of one sample, and what does not depend on samples; None where none.

    Raises ExpressionError where rows meet before they are summed.
    """
    sample, inside, beside = Sample(batch), list[Expr](), list[Expr]()
    for term in sum_of(loss):
        whole = build(term)
        sums = [b for b in term.top if isinstance(b.op, ops.Contraction) and batch in b.op.sizes_of(b.args).values()]
        if not any(batch in n.shape for n in topological([whole])):
            beside.append(whole)
            continue
        if len(sums) != 1 or term.top[sums[0]] != 1 or not isinstance(sums[0].op, ops.Contraction):
            raise ExpressionError(f"{whole.label} is no sum over the batch")
        (total,) = sums
        others = build(Term(term.number, {b: e for b, e in term.top.items() if b is not total}, term.bottom))
        if any(batch in n.shape for n in topological([others])):
            raise ExpressionError(f"{whole.label} goes over the batch twice")
        op = total.op
        assert isinstance(op, ops.Contraction)
        rows = [sample.of(a) for a in total.args]
        gone = {i for i, s in op.sizes_of(total.args).items() if s == batch}
        inside.append(others * make(_over_rows(op, gone), *rows))
    return _added(inside), _added(beside)


def _added(terms: Sequence[Expr]) -> Expr | None:
    if not terms:
        return None
    return terms[0] if len(terms) == 1 else make(ops.Elementwise("add"), *terms)
