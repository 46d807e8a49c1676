"""The chain rule as lecture slides show it: every path from a loss to a parameter, and the local factor of each edge.

Takes a loss and a parameter; gives paths over the nodes that have names, their Jacobians being those of one sample.
The batch, where rows do not meet, is a sum outside. That the factors multiply to the gradient is tried on numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

from symgrad.calculus.gradient import gradient
from symgrad.calculus.jacobian import jacobian
from symgrad.calculus.patterns import through_names
from symgrad.calculus.products import built
from symgrad.calculus.sample import per_sample
from symgrad.calculus.simplify import simplified
from symgrad.errors import ExpressionError
from symgrad.expression import functions as f
from symgrad.expression import ops
from symgrad.expression.node import Expr, cut, leaves, make, rebuild, topological
from symgrad.expression.scalars import REAL
from symgrad.expression.sizes import Size

SHOWN = 8  # paths that are written out
LINEAR = {"add", "subtract", "multiply", "divide", "negative"}


@dataclass(frozen=True)
class Factor:
    """∂of/∂by of one sample; `part` says what it is in the words of a lecture."""

    of: Expr
    by: Expr
    jacobian: Expr
    part: str


@dataclass(frozen=True)
class Paths:
    """A term of the loss, called `title`, and the ways from it to the parameter; `batch` is what it is summed over.

    `count` is the number of all paths, of which SHOWN are in `paths`.
    """

    title: str
    loss: Expr
    batch: Size | None
    paths: tuple[tuple[Factor, ...], ...]
    count: int

    @property
    def factors(self) -> list[Factor]:
        """Every factor once, from the loss down."""
        return list(dict.fromkeys(factor for path in self.paths for factor in path))


@dataclass(frozen=True)
class Chain:
    """∂loss/∂wrt as a sum over paths of products of factors: per sample where rows do not meet, summed outside."""

    loss: Expr
    wrt: Expr
    sums: tuple[Paths, ...]


def product(path: Sequence[Factor]) -> Expr:
    """The factors of a path multiplied: the gradient of one sample along it, in the shape of the parameter."""
    extent: dict[int, Size] = {}

    def fresh(shape: Sequence[Size]) -> tuple[int, ...]:
        first = len(extent)
        extent.update(enumerate(shape, first))
        return tuple(range(first, len(extent)))

    outer, factors = fresh(path[0].of.shape), list[tuple[Expr, tuple[int, ...]]]()
    for factor in path:
        inner = fresh(factor.by.shape)
        factors.append((factor.jacobian, (*outer, *inner)))
        outer = inner
    return built(tuple(factors), outer, extent)


def chain(loss: Expr, wrt: Expr) -> Chain:
    """The chain rule for one parameter. Raises GradientError as `gradient` does.

    >>> x, t, w = f.variable("x", ("N", 2)), f.variable("t", ("N",)), f.parameter("w", (2,))
    >>> o = f.sigmoid((x @ w).named("net")).named("o")
    >>> [factor.part for factor in chain(f.mean((o - t) ** 2), w).sums[0].factors]
    ['gradient of the loss', 'gradient of the non-linearity', 'input to the first layer']
    """
    gradient(loss, wrt)  # raises what it has to say about them
    plain = through_names(loss)
    for batch in _batches(loss, wrt):
        try:
            inside, beside = per_sample(plain, batch)
        except ExpressionError:
            continue  # rows meet: the factors are those of the whole batch
        parts = [("L_n", inside, batch), ("R", beside, None)]
        return Chain(loss, wrt, tuple(_paths_of(t, e, wrt, n) for t, e, n in parts if e is not None and _holds(e, wrt)))
    return Chain(loss, wrt, (_paths_of("L", plain, wrt, None),))


def _holds(value: Expr, leaf: Expr) -> bool:
    return leaf in topological([value])


def _batches(loss: Expr, wrt: Expr) -> list[str]:
    """Names of first axes of inputs, which the parameter does not have: what may be the batch."""
    inputs = [leaf for leaf in leaves([loss]).values() if isinstance(leaf.op, ops.Variable)]
    return list(dict.fromkeys(s for i in inputs for s in i.shape[:1] if isinstance(s, str) and s not in wrt.shape))


def _paths_of(title: str, loss: Expr, wrt: Expr, batch: Size | None) -> Paths:
    loss = _with_names(loss, wrt)
    order = topological([loss])
    leads = _leading(order, wrt)
    stops = {n for n in order if n in leads and (n is wrt or isinstance(n.op, ops.Named))}
    below = {v: _edges(v, stops) for v in order if v in stops or v is loss}
    count = {wrt: 1}
    for node in order:
        if node is not wrt and node in below:
            count[node] = sum(count.get(b, 0) for b in below[node])
    made: dict[tuple[Expr, Expr], Factor] = {}
    paths = []
    for path in islice(_walks(loss, wrt, below), SHOWN):
        edges = list(pairwise(path))
        for of, by in edges:
            if (of, by) not in made:
                made[of, by] = _factor(of, by, below[of], loss, wrt)
        paths.append(tuple(made[edge] for edge in edges))
    return Paths(title, loss, batch, tuple(paths), count[loss])


def _leading(order: Sequence[Expr], wrt: Expr) -> set[Expr]:
    """The nodes that depend on another, itself included."""
    found = {wrt}
    for node in order:
        if any(a in found for a in node.args):
            found.add(node)
    return found


def _edges(vertex: Expr, stops: set[Expr]) -> list[Expr]:
    """The nearest vertices below one, through nodes without names."""
    found, seen, stack = list[Expr](), set[Expr](), list(reversed(vertex.args))
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if node in stops:
            found.append(node)
        else:
            stack.extend(reversed(node.args))
    return found


def _walks(start: Expr, end: Expr, below: dict[Expr, list[Expr]]) -> Iterator[list[Expr]]:
    stack = [[start]]
    while stack:
        path = stack.pop()
        if path[-1] is end:
            yield path
        else:
            stack.extend([*path, b] for b in reversed(below.get(path[-1], [])))


def _with_names(loss: Expr, wrt: Expr) -> Expr:
    """The loss itself when something on the way has a name; else with names where a function bends the values."""
    order = topological([loss])
    leads = _leading(order, wrt)
    if any(isinstance(n.op, ops.Named) and n in leads for n in order):
        return loss
    bends = [n for n in order if n in leads and n is not loss and len(n.args) == 1 and _bends(n)]
    titles: dict[Expr, str] = {}
    for number, node in enumerate(bends, 1):
        end = str(number) if len(bends) > 1 else ""
        if not isinstance(node.args[0].op, ops.Leaf):
            titles.setdefault(node.args[0], f"net{end}")
        titles.setdefault(node, f"h{end}")
    done: dict[Expr, Expr] = {}
    for node in order:
        fresh = make(node.op, *(done[a] for a in node.args))
        done[node] = fresh.named(titles[node]) if node in titles else fresh
    return done[loss]


def _bends(node: Expr) -> bool:
    return isinstance(node.op, ops.Softmax) or (
        isinstance(node.op, ops.Elementwise) and node.op.function not in LINEAR and node.kind == REAL
    )


def _factor(of: Expr, by: Expr, below: Sequence[Expr], loss: Expr, wrt: Expr) -> Factor:
    """The Jacobian of one vertex by the next, what stands beside it being held."""
    body = of.args[0] if isinstance(of.op, ops.Named) else of
    free = {b: f.variable(f"held_{i}", b.shape) for i, b in enumerate(below)}
    held = cut(body, free)
    matrix = jacobian(held, free[by])
    (restored,) = rebuild([matrix], {leaf: b for b, leaf in free.items()})
    (shown,) = simplified([restored], within=[loss]).expressions
    return Factor(of, by, shown, _part(held, free[by], set(free.values()), of is loss, by is wrt))


def _part(body: Expr, by: Expr, computed: set[Expr], first: bool, last: bool) -> str:
    """What a factor is, in the words of a lecture; `computed` leaves stand for what parameters went into."""
    order = topological([body])
    inside = _leading(order, by)
    products = [n for n in order if n in inside and isinstance(n.op, ops.Contraction) and len(n.args) > 1]
    if first:
        return "the loss itself" if last else "gradient of the loss"
    if last and products:
        beside = [a for p in products for a in p.args if a not in inside]
        deep = any(isinstance(n.op, ops.Parameter) or n in computed for n in topological(beside))
        return "input to this layer" if deep else "input to the first layer"
    if last:
        return "enters by itself"
    if any(isinstance(n.op, ops.Softmax) and n in inside for n in order):
        return "gradient of the softmax"
    if products:
        return "from the layer above"
    linear = all(isinstance(n.op, ops.Elementwise) and n.op.function in LINEAR for n in order if n in inside - {by})
    return "passed on" if linear else "gradient of the non-linearity"
