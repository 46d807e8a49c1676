"""What random expressions grow by, tensors as wholes: products, sums, reductions, indices, shapes, names."""

import numpy as np
from random_pool import SIZES, TYPICAL
from random_scalars import MORE, SCALARS

import symgrad as sg
from symgrad.expression import node as nodes
from symgrad.expression import ops
from symgrad.expression.node import make


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
    x, _b = g.matrix(1.2)
    y, _c = g.matrix(1.2)
    n, m = x.shape
    v = g.leaf((m,)).expr
    g.used.add(v)
    ways = [
        ("ij,ij->i", (x, x), m),
        ("ij,j->ji", (x, v), 1),
        ("ij,kj->ik", (x, x), m),
        ("ij,ik,k->jk", (x, x, v), n),
        ("ij,ij,j->j", (x, x, v), n),
        ("ij->ji", (x,), 1),
        ("ij,j,ij->", (x, v, x), 400),
        ("ij,kl->ijkl", (x, y), 1),
        ("i,j->ij", (v, v), 1),
        ("ij->j", (x,), n),
    ]
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
    value = [
        sg.einsum("ii->i", square),
        sg.einsum("ii->", square),
        sg.einsum("ij,jj->i", square, square),
        square * sg.identity(n),
    ][way]
    g.add(value, [bound, bound * g.length(n), bound * bound * g.length(n), bound][way])


def delta(g):
    x, b = g.matrix(1.5)
    n, m = x.shape
    way = g.rng.integers(3)
    value = [
        sg.identity(n) @ x,
        x @ (2 * sg.identity(m)),
        sg.einsum("ij,jk,kl->il", x, sg.identity(m), sg.identity(m)),
    ][way]
    g.add(value + x, 3 * b)


def batched(g):
    """A tensor of rank 3 and products over its batch."""
    x, _b = g.matrix(1.0)
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
        g.add(
            sg.sum(x * sg.one_hot(y, x.shape[1]), axis=1) if g.rng.random() < 0.5 else x - sg.one_hot(y, x.shape[1]),
            b + 1,
        )
    else:
        g.add(x.T @ sg.one_hot(g.indices(x.shape[:1], 3), 3), b * g.length(x.shape[0]))


def cross_entropy(g):
    x, _b = g.real(fits=lambda e: e.ndim == 2 and isinstance(e.shape[1], int))
    y = g.indices(x.shape[:1], x.shape[1]) if x.ndim == 2 and isinstance(x.shape[1], int) else None
    if y is None:
        x, y = g.leaf((2, 3)).expr, g.indices((2,), 3)
        g.used.add(x)
    g.add(sg.softmax_cross_entropy(1.5 * x, y) if g.rng.random() < 0.5 else sg.cross_entropy(sg.softmax(x), y), 9)


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


def sliced(g):
    x, b = g.matrix()
    _n, m = x.shape
    v, c = g.real(fits=lambda e: e.ndim == 1)
    way = g.rng.integers(6)
    if way == 0:
        g.add(x[:, ::-1] * x, b * b)
    elif way == 1:
        g.add(x[::-1], b)
    elif way == 2:
        g.add(sg.pad(x, ((1, 0), (0, 2))), b)
    elif way == 3 and isinstance(m, int) and m > 1:
        g.add(x[:, 1:] - x[:, : m - 1], 2 * b)
    elif way == 4 and isinstance(m, int):
        g.add(x[:, m // 2], b)
    elif v.ndim == 1:
        g.add(v[None, ::-1], c)
    else:
        g.add(sg.flip(x, 0), b)
    g.add(sg.flip(x, 1), b)


def joined(g):
    x, b = g.matrix()
    way = g.rng.integers(3)
    if way == 0:
        g.add(sg.concatenate([x, sg.sin(x)], axis=1), max(b, 1))
    elif way == 1:
        g.add(sg.mean(sg.stack([x, x * x, -x], axis=1), axis=2), b + b * b)
    else:
        g.add(sg.concatenate([x[:, ::-1], x], axis=0), b)


def convolved(g):
    """Windows, a convolution, a pooling over small images."""
    size = int(g.rng.integers(4, 7))
    image = g.leaf((int(g.rng.integers(1, 3)), size, 5, 2)).expr
    kernel = g.leaf((int(g.rng.integers(1, 4)), 2, 2, 3)).expr
    g.used |= {image, kernel}
    way = g.rng.integers(4)
    stride, padding = int(g.rng.integers(1, 3)), ("valid", "same")[g.rng.integers(2)]
    found = sg.conv2d(sg.tanh(image), kernel, stride, padding) / 8
    if way == 0:
        found = sg.average_pool2d(found, (1, 2), padding="same")
    elif way == 1:
        found = sg.max_pool2d(sg.sin(image), 2, (2, 1))
    g.add(sg.mean(found, axis=(1, 2)), 3)
    row = g.leaf((size,)).expr
    g.used.add(row)
    g.add(sg.mean(sg.windows(row, 0, 2, stride) ** 2, axis=0), 3)
    overlapping = make(ops.Overlap(0, stride * (size - 1) + 2, stride, 1), sg.outer(row, g.leaf((2,)).expr))
    g.add(overlapping / 2, 3)


def linear_algebra(g):
    n = int(g.rng.integers(1, 4))
    square = 0.3 * g.leaf((n, n)).expr + 2 * sg.identity(n)
    right = g.leaf((n,)).expr
    g.used |= {right}
    way = g.rng.integers(5)
    found = [
        lambda: sg.solve(square, right),
        lambda: sg.sum(sg.inverse(square), axis=1),
        lambda: sg.determinant(square) * right / 20,
        lambda: sg.logdet(square) * right,
        lambda: sg.cholesky(square @ square.T) @ right,
    ]
    for make_one in (found[way], found[(way + 1) % 5], found[(way + 3) % 5]):
        g.add(make_one() / 3, 3)


def counted(g):
    x, b = g.matrix()
    columns = x.shape[1]
    y = sg.arange(columns)
    way = g.rng.integers(4)
    if way == 0:
        g.add(x * sg.cast(y, "real") / TYPICAL, b)
    elif way == 1:
        g.add(sg.tril(x), b)
    elif way == 2:
        g.add(sg.cumsum(x, 1) / TYPICAL, b)
    else:
        g.add(sg.where(sg.equal(y, 1), x, 0.5 * x), b)


def product(g):
    x, b = g.real(1.2, fits=lambda e: e.ndim > 0 and isinstance(e.shape[-1], int) and e.shape[-1] < 4)
    if x.ndim and isinstance(x.shape[-1], int) and x.shape[-1] < 4:
        g.add(sg.prod(x, axis=-1, keepdims=bool(g.rng.integers(2))), max(b, b**3))
    else:
        g.add(sg.prod(g.leaf((2, 3)).expr, axis=1), 3.4)


def noisy(g):
    """Leaves that a step of training gives: as any input here."""
    x, b = g.matrix()
    u, s = sg.noise(g.name("u"), x.shape), sg.state(g.name("s"), (1,))
    g.add(x * u + s, 1.5 * b + 1.5)


def array(g):
    x, b = g.matrix()
    if isinstance(x.shape[1], int):
        g.add(x * np.round(g.rng.uniform(-1, 1, x.shape[1]), 3) + np.float32(0.25), b + 1)
    else:
        g.add(x * np.array([[0.5]]) + np.array(2), b + 2)


def leaf(g):
    g.leaf(tuple(g.dims[a] for a in g.rng.permutation(3)[: g.rng.integers(0, 3)]))


TENSORS = [
    integer_comparison,
    matmul,
    einsum,
    diagonal,
    delta,
    batched,
    repeated,
    summed,
    extent_mean,
    largest("max"),
    largest("min"),
    logsumexp,
    softmax,
    one_hot,
    cross_entropy,
    distribution,
    take,
    scatter,
    reshape,
    sliced,
    joined,
    convolved,
    linear_algebra,
    counted,
    product,
    noisy,
    array,
    leaf,
]
FORCED = [*SCALARS, *TENSORS]
OPERATIONS = [*FORCED, *MORE, matmul]
