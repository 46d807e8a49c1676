"""What random expressions grow by, entry by entry: an operation takes values from the pool and puts a new one in."""

from random_pool import LARGEST

import symgrad as sg
from symgrad.expression import node as nodes
from symgrad.expression import ops, sizes


def unary(function, limit, bound):
    def operation(g):
        x, b = g.real(limit)
        g.add(getattr(sg, function)(x), bound(b) if callable(bound) else bound)

    operation.__name__ = function
    return operation


UNARY = [
    unary(*row)
    for row in (
        ("exp", 1.4, 4.1),
        ("expm1", 1.2, 2.4),
        ("log1p", 0.6, 1.0),
        ("sin", 3, 1),
        ("cos", 3, 1),
        ("tan", 1, 1.6),
        ("atan", 3, 1.3),
        ("sinh", 1.4, 2),
        ("cosh", 1.4, 2.2),
        ("tanh", 3, 1),
        ("erf", 3, 1),
        ("erfc", 3, 2),
        ("logerfc", 1.4, 3.1),
        ("sigmoid", 3, 1),
        ("softplus", 3, lambda b: b + 0.7),
        ("relu", 3, lambda b: b),
        ("abs", 3, lambda b: b),
        ("sign", 3, 1),
        ("floor", 3, lambda b: b + 1),
    )
]


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
    p, _c = g.positive(x)
    whole = int(g.rng.integers(2, 6))
    choices = [
        (lambda: p**x, 20),
        (lambda: x**whole, b**whole),
        (lambda: p**-1, 4),
        (lambda: p**0.5, 3),
        (lambda: p**-0.5, 2),
        (lambda: 1.5**x, 2),
    ]
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


def truncated(g):
    x, b = g.real()
    g.add(sg.cast(sg.cast(x * 2, "integer"), "real") * 0.25 + x, b * 1.5)


def cast(g):
    condition, x = g.condition()
    g.add(sg.cast(condition, "real") + 0.5 * sg.tanh(x), 1.5)


def flag(g):
    """A boolean input."""
    x, b = g.real()
    f = sg.variable(g.name("f"), x.shape[-1:], dtype="bool")
    g.add(sg.where(f, x, -x) + sg.cast(sg.logical_not(f), "real"), b + 1)


def naive(g):
    """Stable functions as people write them."""
    x, _b = g.real(2.0)
    y, _ = g.partner(x, 2.0)
    rows = x if x.ndim else sg.reshape(x, (1,))
    e = sg.exp(x)
    ways = [
        (lambda: sg.log(1 + e), 2.2),
        (lambda: 1 / (1 + sg.exp(-x)), 1),
        (lambda: e / (1 + e), 1),
        (lambda: sg.log(sg.softmax(rows)), 9),
        (lambda: sg.exp(rows) / sg.sum(sg.exp(rows), axis=-1, keepdims=True), 1),
        (lambda: sg.log(sg.sum(sg.exp(rows), axis=-1)), 5),
        (lambda: sg.log(e + sg.exp(y)), 3),
        (lambda: (e - sg.exp(-x)) / (e + sg.exp(-x)), 1),
        (lambda: 1 - sg.sigmoid(x), 1),
        (lambda: sg.log(sg.sigmoid(x)), 2.2),
        (lambda: e - 1, 6.4),
        (lambda: sg.log(1 + x**2), 1.7),
        (lambda: sg.log(sg.sqrt(x**2 + 1)), 1),
        (lambda: sg.exp(sg.log(x**2 + 0.5)), 4.5),
        (lambda: sg.log(e) + x, 4),
        (lambda: sg.log(1 - sg.exp(-(x**2) - 1)), 1),
        (lambda: sg.softmax(rows - sg.mean(rows, axis=-1, keepdims=True)), 1),
        (lambda: x * sg.log(sg.sigmoid(y)) + (1 - x) * sg.log(1 - sg.sigmoid(y)), 9),
        (lambda: x + x - 3 * x * y + y * x, 20),
        (lambda: (x - y) / 3 - (x + y) / 3, 3),
        (lambda: e * sg.sigmoid(-x), 1),
        (lambda: sg.where(x > y, 3 * x, 0), 6),
    ]
    make, bound = ways[g.rng.integers(len(ways))]
    g.add(make(), bound)


def real_from_integers(g):
    """Integers stand directly in real arithmetic."""
    x, b = g.matrix()
    y = g.indices((x.shape[1],), 3)
    g.add((x + y) / (1 + y), b + 2)


def named(g):
    x, b = g.real()
    g.add((x * 0.9).named(g.name("h")), b)


SCALARS = [
    *UNARY,
    *POSITIVE,
    add,
    subtract,
    multiply,
    negative,
    divide,
    power,
    *BINARY,
    where,
    *COMPARE,
    logic,
    truncated,
    cast,
    flag,
    naive,
    real_from_integers,
    named,
]
MORE = [multiply, add, naive, naive]  # drawn more often
