"""The pool of values that a random expression grows from, and its leaves and their arrays.

Every value carries a bound of its size, so that arguments stay within the domain of log and sqrt and nothing explodes.
"""

from dataclasses import dataclass

import numpy as np

import symgrad as sg
from symgrad.expression import sizes

SIZES = (1, 2, 3, 17)
LARGEST = 3.0  # bounds above this are brought down
TYPICAL = 17  # what a named size counts as in bounds


@dataclass
class Value:
    expr: sg.Expr
    bound: float


class Grower:
    """The pool of values of one expression, and what its leaves are bound to."""

    def __init__(self, rng, number):
        self.rng, self.number = rng, number
        self.extent = {f"N{number}": int(rng.choice(SIZES))}
        self.dims = [int(s) for s in rng.choice(SIZES, 3)]
        if rng.random() < 0.5:
            self.dims[0] = f"N{number}"
        self.pool, self.used, self.made, self.limits = [], set(), 0, {}
        for shape in (self.dims[:2], self.dims[1:], self.dims[1:2], ()):
            self.leaf(tuple(shape))

    # leaves and their arrays

    def name(self, stem):
        self.made += 1
        return f"{stem}{self.made}_{self.number}"

    def leaf(self, shape):
        """A new real input or parameter."""
        make = sg.parameter if self.rng.random() < 0.6 else sg.variable
        return self.add(make(self.name("p" if make is sg.parameter else "x"), shape), 1.5)

    def indices(self, shape, below):
        """A new integer input with values under a size."""
        if isinstance(below, int) and self.rng.random() < 0.5:
            node = sg.labels(self.name("y"), shape, classes=below)
        else:
            node = sg.variable(self.name("k"), shape, dtype=str(self.rng.choice(["int64", "int32", "uint8"])))
        self.limits[node] = below
        return node

    def array(self, leaf):
        shape = [sizes.bind(s, self.extent) for s in leaf.shape]
        if leaf.kind == "integer":
            return self.rng.integers(0, sizes.bind(self.limits[leaf], self.extent), shape).astype(leaf.op.dtype)
        if leaf.kind == "boolean":
            return self.rng.random(shape) < 0.5
        values = self.rng.uniform(-1.5, 1.5, shape)
        if getattr(leaf.op, "normalized", False):
            values = np.exp(values) / np.exp(values).sum(-1, keepdims=True)
        return values

    # the pool

    def add(self, expr, bound):
        """A new value, brought down when it may be large."""
        if bound > LARGEST:
            expr, bound = self.smaller(expr, bound, 1.0 + self.rng.random())
        value = Value(expr, bound)
        self.pool.append(value)
        return value

    def smaller(self, expr, bound, limit):
        if bound <= limit:
            return expr, bound
        way = self.rng.integers(4)
        if way == 0:
            return limit * sg.tanh(expr), limit
        if way == 1:
            return sg.sin(expr) * limit, limit
        return (expr * (limit / bound) if way == 2 else expr / (bound / limit)), limit

    def pick(self, fits=lambda e: True):
        """A real value from the pool, rather a recent one; None when none fits."""
        found = [v for v in self.pool if fits(v.expr)]
        if not found:
            return None
        value = found[-1] if self.rng.random() < 0.55 else found[self.rng.integers(len(found))]
        self.used.add(value.expr)
        return value

    def real(self, limit=LARGEST, fits=lambda e: True):
        """(expression, bound) with the bound under a limit."""
        value = self.pick(fits) or self.leaf((*self.dims[:2],))
        return self.smaller(value.expr, value.bound, limit)

    def positive(self, like=None):
        """An expression between 0.3 and 6, and its bound."""
        x, _ = self.real(1.5) if like is None else self.partner(like, 1.5)
        way = self.rng.integers(7)
        return [(1.5 + sg.tanh(x), 2.5), (sg.exp(x), 4.5), (x**2 + 0.5, 2.8), (sg.softplus(x) + 0.3, 2.1),
                (sg.sigmoid(x) + 0.2, 1.2), (sg.cosh(x), 2.4), (0.5 + abs(x), 2.0)][way]  # fmt: skip

    def partner(self, x, limit=LARGEST):
        """Another value that broadcasts with x."""

        def fits(e):
            pairs = zip(reversed(e.shape), reversed(x.shape), strict=False)
            return all(1 in (a, b) or sizes.same(a, b) for a, b in pairs)

        return self.real(limit, fits)

    def matrix(self, limit=LARGEST):
        value = self.pick(lambda e: e.ndim == 2) or self.leaf(tuple(self.dims[:2]))
        self.used.add(value.expr)
        return self.smaller(value.expr, value.bound, limit)

    def length(self, size):
        return TYPICAL if not isinstance(size, int) else size

    def condition(self):
        """A boolean expression that broadcasts with the x it is given with."""
        x, _ = self.real()
        y, _ = self.partner(x)
        kinds = [x < y, x <= 0.3, x > y, x >= y, y > 0]
        return kinds[self.rng.integers(len(kinds))], x

    def axes(self, x):
        count = self.rng.integers(1, x.ndim + 1)
        return tuple(int(a) for a in np.sort(self.rng.permutation(x.ndim)[:count]))

    def apply(self, operation):
        before = len(self.pool)
        operation(self)
        assert len(self.pool) > before, operation.__name__

    def loss(self):
        """A scalar of everything that nothing else used."""
        ends = [v for v in self.pool if v.expr not in self.used]
        total = None
        for value in ends:
            x = value.expr
            if x.shape:
                way = self.rng.integers(3)
                x = sg.mean(x) if way == 0 else sg.mean(x * x) if way == 1 else sg.sum(x) / (1 + len(ends))
            x = float(np.round(self.rng.uniform(0.5, 2.0), 2)) * x
            total = x if total is None else total + x if self.rng.random() < 0.7 else total - x
        return total
