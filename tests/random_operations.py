"""What random expressions grow by: each operation takes values from the pool and puts a new one in.

Every value carries a bound of its size, so that arguments stay within the domain of log and sqrt and nothing explodes.
"""

from dataclasses import dataclass

import numpy as np

import symgrad as sg
from symgrad.expression import node as nodes
from symgrad.expression import ops, sizes

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


def unary(function, limit, bound):
    def operation(g):
        x, b = g.real(limit)
        g.add(getattr(sg, function)(x), bound(b) if callable(bound) else bound)

    operation.__name__ = function
    return operation


UNARY = [unary(*row) for row in (
    ("exp", 1.4, 4.1), ("expm1", 1.2, 2.4), ("log1p", 0.6, 1.0), ("sin", 3, 1), ("cos", 3, 1), ("tan", 1, 1.6), ("atan", 3, 1.3),
    ("sinh", 1.4, 2), ("cosh", 1.4, 2.2), ("tanh", 3, 1), ("erf", 3, 1), ("sigmoid", 3, 1), ("softplus", 3, lambda b: b + 0.7),
    ("relu", 3, lambda b: b), ("abs", 3, lambda b: b), ("sign", 3, 1), ("floor", 3, lambda b: b + 1))]  # fmt: skip


def of_positive(function, bound):
    def operation(g):
        x, _ = g.positive()
        g.add(getattr(sg, function)(x), bound)

    operation.__name__ = f"positive_{function}"
    return operation


POSITIVE = [of_positive("log", 1.8), of_positive("sqrt", 2.2), of_positive("log1mexp", 1.4)]


def add(g):
    x, b = g.real()
    y, c = g.partner(x)
    if g.rng.random() < 0.4:
        z, d = g.partner(x + y)
        g.add(nodes.make(ops.Elementwise("add"), x, y, z), b + c + d)
    else:
        g.add(x + y, b + c)


def subtract(g):
    x, b = g.real()
    y, c = g.partner(x)
    g.add(x - y, b + c)


def multiply(g):
    x, b = g.real()
    y, c = g.partner(x)
    if g.rng.random() < 0.4:
        z, d = g.partner(x * y)
        g.add(nodes.make(ops.Elementwise("multiply"), x, y, z), b * c * d)
    else:
        g.add(x * y, b * c)


def negative(g):
    x, b = g.real()
    g.add(-x, b)


def divide(g):
    x, b = g.real()
    y, _ = g.positive(x)
    g.add(x / y, b / 0.3)


def power(g):
    way = g.rng.integers(6)
    x, b = g.real(1.5)
    p, c = g.positive(x)
    whole = int(g.rng.integers(2, 6))
    choices = [(lambda: p**x, 20), (lambda: x**whole, b**whole), (lambda: p**-1, 4), (lambda: p**0.5, 3), (lambda: p**-0.5, 2),
               (lambda: 1.5**x, 2)]  # fmt: skip
    g.add(choices[way][0](), choices[way][1])


def two(function, bound):
    def operation(g):
        x, b = g.real()
        y, c = g.partner(x)
        g.add(getattr(sg, function)(x, y), max(b, c) + bound)

    operation.__name__ = function
    return operation


BINARY = [two("maximum", 0), two("minimum", 0), two("logaddexp", 0.7)]


def where(g):
    condition, x = g.condition()
    a, b = g.partner(sg.where(condition, x, x))
    g.add(sg.where(condition, a, x if g.rng.random() < 0.6 else 0), max(b, LARGEST))


def comparison(relation):
    def operation(g):
        x, b = g.real()
        y, _ = g.partner(x)
        condition = {"less": x < y, "less_equal": x <= y, "greater": x > y, "greater_equal": x >= y}[relation]
        g.add(sg.where(condition, sg.sin(x), sg.cast(condition, "real") * 0.5 + x / 2), max(1.0, b / 2 + 0.5))

    operation.__name__ = relation
    return operation


COMPARE = [comparison(r) for r in ("less", "less_equal", "greater", "greater_equal")]


def logic(g):
    one, x = g.condition()
    two_, y = g.condition()
    if not any(1 in pair or sizes.same(*pair) for pair in zip(reversed(one.shape), reversed(two_.shape), strict=False)):
        two_ = sg.mean(y) > 0.1
    try:
        both = sg.logical_or(sg.logical_and(one, sg.logical_not(two_)), sg.logical_and(two_, sg.logical_not(one)))
        value = sg.where(both, sg.tanh(x), -0.5)
    except sg.ShapeError:
        two_ = sg.sum(y) > 0.2
        both = sg.logical_or(sg.logical_and(one, sg.logical_not(two_)), two_)
        value = sg.where(both, sg.tanh(x), -0.5)
    g.add(value, 1.0)


def integer_comparison(g):
    """Integers from labels and argmax: compared, calculated with, cast."""
    x, _ = g.matrix()
    columns = x.shape[1]
    y = g.indices(x.shape[:1], columns)
    k = sg.argmax(x)
    hit = sg.equal(k, y) if g.rng.random() < 0.5 else sg.not_equal(k + y * 2, y + 1)
    other = sg.logical_or(sg.equal(y, 0), sg.not_equal(y, k))
    row = sg.where(hit, sg.mean(x, axis=1), sg.cast(sg.maximum(y, k) + abs(-k), "real") / 30)
    g.add(sg.where(other, row, row * 0.5), 3.0)


def truncated(g):
    x, b = g.real()
    g.add(sg.cast(sg.cast(x * 2, "integer"), "real") * 0.25 + x, b * 1.5)


def real_from_integers(g):
    """Integers stand directly in real arithmetic."""
    x, b = g.matrix()
    y = g.indices((x.shape[1],), 3)
    g.add((x + y) / (1 + y), b + 2)


def matmul(g):
    x, b = g.matrix(1.5)
    way = g.rng.integers(5)
    n, m = x.shape
    if way == 0:
        g.add(x.T @ x, b * b * g.length(n))
    elif way == 1:
        w = g.leaf((m, int(g.rng.choice(SIZES))))
        g.used.add(w.expr)
        g.add(x @ w.expr, b * 1.5 * g.length(m))
    elif way == 2:
        w = g.leaf((m,))
        g.used.add(w.expr)
        g.add(x @ w.expr, b * 1.5 * g.length(m))
    elif way == 3:
        w = g.leaf((n,))
        g.used.add(w.expr)
        g.add(w.expr @ x, b * 1.5 * g.length(n))
    else:
        w = g.leaf((int(g.rng.choice(SIZES)), m))
        g.used.add(w.expr)
        g.add(w.expr @ x.T, b * 1.5 * g.length(m))


def einsum(g):
    x, b = g.matrix(1.2)
    y, c = g.matrix(1.2)
    n, m = x.shape
    v = g.leaf((m,)).expr
    g.used.add(v)
    ways = [("ij,ij->i", (x, x), m), ("ij,j->ji", (x, v), 1), ("ij,kj->ik", (x, x), m), ("ij,ik,k->jk", (x, x, v), n),
            ("ij,ij,j->j", (x, x, v), n), ("ij->ji", (x,), 1), ("ij,j,ij->", (x, v, x), 400), ("ij,kl->ijkl", (x, y), 1),
            ("i,j->ij", (v, v), 1), ("ij->j", (x,), n)]  # fmt: skip
    subscripts, operands, count = ways[g.rng.integers(len(ways) - (0 if _entries(g, x, y) < 1000 else 3))]
    if subscripts == "ij,kl->ijkl" and _entries(g, x, y) > 1000:
        subscripts, operands, count = "ij,ij->i", (x, x), m
    g.add(sg.einsum(subscripts, *operands), 1.5 ** (len(operands) + 1) * g.length(count))


def _entries(g, *matrices):
    return np.prod([g.length(s) for m in matrices for s in m.shape])


def diagonal(g):
    x, b = g.matrix(1.5)
    square = x.T @ x
    way = g.rng.integers(4)
    n = x.shape[1]
    bound = b * b * g.length(x.shape[0])
    value = [sg.einsum("ii->i", square), sg.einsum("ii->", square), sg.einsum("ij,jj->i", square, square), square * sg.identity(n)][way]
    g.add(value, [bound, bound * g.length(n), bound * bound * g.length(n), bound][way])


def delta(g):
    x, b = g.matrix(1.5)
    n, m = x.shape
    way = g.rng.integers(3)
    value = [sg.identity(n) @ x, x @ (2 * sg.identity(m)), sg.einsum("ij,jk,kl->il", x, sg.identity(m), sg.identity(m))][way]
    g.add(value + x, 3 * b)


def batched(g):
    """A tensor of rank 3 and products over its batch."""
    x, b = g.matrix(1.0)
    v = g.leaf((2,)).expr
    g.used.add(v)
    t = sg.einsum("k,ij->kij", v, x)
    if g.rng.random() < 0.6:
        g.add(sg.tanh(t) @ sg.transpose(t, (0, 2, 1)), 1.5 * g.length(x.shape[1]))
    else:
        g.add(sg.transpose(t, (2, 1, 0)) * v, 2.3)


def repeated(g):
    """The bare contraction that repeats."""
    x, b = g.real(2.0, lambda e: e.ndim == 1)
    if x.ndim != 1:
        x = sg.sum(x, axis=0) / g.length(x.shape[0])
    g.add(nodes.make(ops.Contraction(((0,),), (1, 0), ((1, 3),)), x), b)


def summed(g):
    x, b = g.real(fits=lambda e: e.ndim > 0)
    axes = g.axes(x)
    function = sg.sum if g.rng.random() < 0.4 else sg.mean
    count = np.prod([g.length(x.shape[a]) for a in axes]) if function is sg.sum else 1
    g.add(function(x, axes, keepdims=bool(g.rng.integers(2))), b * count)


def extent_mean(g):
    """A mean over the named size."""
    x = g.leaf((f"N{g.number}", int(g.rng.choice(SIZES)))).expr
    g.used.add(x)
    g.add(sg.mean(x * x, axis=0) + sg.mean(x), 4)


def largest(function):
    def operation(g):
        x, b = g.real(fits=lambda e: e.ndim > 0)
        g.add(getattr(sg, function)(x, g.axes(x), keepdims=bool(g.rng.integers(2))), b)

    operation.__name__ = function
    return operation


def logsumexp(g):
    x, b = g.real(fits=lambda e: e.ndim > 0)
    g.add(sg.logsumexp(x, g.axes(x), keepdims=bool(g.rng.integers(2))), b + 6)


def softmax(g):
    x, _ = g.real(fits=lambda e: e.ndim > 0)
    g.add((sg.softmax if g.rng.random() < 0.7 else sg.log_softmax)(x, g.axes(x)), 9)


def one_hot(g):
    x, b = g.matrix()
    if isinstance(x.shape[1], int):
        y = g.indices(x.shape[:1], x.shape[1])
        g.add(sg.sum(x * sg.one_hot(y, x.shape[1]), axis=1) if g.rng.random() < 0.5 else x - sg.one_hot(y, x.shape[1]), b + 1)
    else:
        g.add(x.T @ sg.one_hot(g.indices(x.shape[:1], 3), 3), b * g.length(x.shape[0]))


def cross_entropy(g):
    x, b = g.real(fits=lambda e: e.ndim == 2 and isinstance(e.shape[1], int))
    y = g.indices(x.shape[:1], x.shape[1]) if x.ndim == 2 and isinstance(x.shape[1], int) else None
    if y is None:
        x, y = g.leaf((2, 3)).expr, g.indices((2,), 3)
        g.used.add(x)
    g.add(sg.softmax_cross_entropy(x, y) if g.rng.random() < 0.5 else sg.cross_entropy(sg.softmax(x), y), 9)


def distribution(g):
    x = g.leaf((g.dims[0], 3)).expr
    y = sg.variable(g.name("q"), x.shape, normalized=True)
    g.used.add(x)
    g.add(sg.cross_entropy(sg.softmax(x), y), 9)


def take(g):
    x, b = g.real(fits=lambda e: e.ndim > 0)
    axis = int(g.rng.integers(x.ndim))
    shape = [(), (3,), (2, 3)][g.rng.integers(3)]
    g.add(sg.take(x, g.indices(shape, x.shape[axis]), axis), b)


def scatter(g):
    x, b = g.real(fits=lambda e: e.ndim > 0)
    axis = int(g.rng.integers(x.ndim))
    size = int(g.rng.choice(SIZES)) if g.rng.random() < 0.7 else g.dims[0]
    g.add(sg.scatter(x, g.indices((x.shape[axis],), size), size, axis), b * g.length(x.shape[axis]))


def reshape(g):
    x, b = g.real(fits=lambda e: e.ndim > 0)
    way = g.rng.integers(4)
    if way == 0:
        g.add(sg.reshape(x, (-1,)), b)
    elif way == 1:
        g.add(sg.reshape(x, (1, *x.shape)), b)
    elif way == 2:
        g.add(sg.reshape(sg.sin(x), (*x.shape[::-1],)), 1)
    else:
        g.add(sg.reshape(sg.reshape(x, (-1,)), x.shape) * x, b * b)


def cast(g):
    condition, x = g.condition()
    g.add(sg.cast(condition, "real") + 0.5 * sg.tanh(x), 1.5)


def flag(g):
    """A boolean input."""
    x, b = g.real()
    f = sg.variable(g.name("f"), x.shape[-1:], dtype="bool")
    g.add(sg.where(f, x, -x) + sg.cast(sg.logical_not(f), "real"), b + 1)


def named(g):
    x, b = g.real()
    g.add((x * 0.9).named(g.name("h")), b)


def array(g):
    x, b = g.matrix()
    if isinstance(x.shape[1], int):
        g.add(x * np.round(g.rng.uniform(-1, 1, x.shape[1]), 3) + np.float32(0.25), b + 1)
    else:
        g.add(x * np.array([[0.5]]) + np.array(2), b + 2)


def naive(g):
    """Stable functions as people write them."""
    x, b = g.real(2.0)
    y, _ = g.partner(x, 2.0)
    rows = x if x.ndim else sg.reshape(x, (1,))
    e = sg.exp(x)
    ways = [(lambda: sg.log(1 + e), 2.2), (lambda: 1 / (1 + sg.exp(-x)), 1), (lambda: e / (1 + e), 1),
            (lambda: sg.log(sg.softmax(rows)), 9), (lambda: sg.exp(rows) / sg.sum(sg.exp(rows), axis=-1, keepdims=True), 1),
            (lambda: sg.log(sg.sum(sg.exp(rows), axis=-1)), 5), (lambda: sg.log(e + sg.exp(y)), 3),
            (lambda: (e - sg.exp(-x)) / (e + sg.exp(-x)), 1), (lambda: 1 - sg.sigmoid(x), 1), (lambda: sg.log(sg.sigmoid(x)), 2.2),
            (lambda: e - 1, 6.4), (lambda: sg.log(1 + x**2), 1.7), (lambda: sg.log(sg.sqrt(x**2 + 1)), 1),
            (lambda: sg.exp(sg.log(x**2 + 0.5)), 4.5), (lambda: sg.log(e) + x, 4), (lambda: sg.log(1 - sg.exp(-(x**2) - 1)), 1),
            (lambda: sg.softmax(rows - sg.mean(rows, axis=-1, keepdims=True)), 1),
            (lambda: x * sg.log(sg.sigmoid(y)) + (1 - x) * sg.log(1 - sg.sigmoid(y)), 9), (lambda: x + x - 3 * x * y + y * x, 20),
            (lambda: (x - y) / 3 - (x + y) / 3, 3), (lambda: e * sg.sigmoid(-x), 1), (lambda: sg.where(x > y, 3 * x, 0), 6)]  # fmt: skip
    make, bound = ways[g.rng.integers(len(ways))]
    g.add(make(), bound)


def leaf(g):
    g.leaf(tuple(g.dims[a] for a in g.rng.permutation(3)[: g.rng.integers(0, 3)]))


OPERATIONS = [*UNARY, *POSITIVE, add, subtract, multiply, negative, divide, power, *BINARY, where, *COMPARE, logic, integer_comparison,
              truncated, real_from_integers, matmul, einsum, diagonal, delta, batched, repeated, summed, extent_mean, largest("max"),
              largest("min"), logsumexp, softmax, one_hot, cross_entropy, distribution, take, scatter, reshape, cast, flag, named, array,
              naive, leaf, matmul, add, multiply, naive, naive]  # fmt: skip
FORCED = list(dict.fromkeys(OPERATIONS))
