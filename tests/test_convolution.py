"""Convolutions, pooling and sliding windows: against loops in NumPy, differences to order 2, kernels, PyTorch."""

import itertools

import numpy as np
import pytest
import values
from derivatives import kernel_agrees, prints_and_stores, to_order_two

import symgrad as sg


def pair(value):
    return (value, value) if isinstance(value, int) else value


def padding_of(sizes, window, strides, padding, dilation):
    """Zeros before and after each of two axes; what "same" has left over stands at the end, as in TensorFlow."""
    if padding == "valid":
        return ((0, 0), (0, 0))
    if padding != "same":
        return (pair(padding), pair(padding)) if isinstance(padding, int) else padding
    pads = []
    for size, extent, stride, gap in zip(sizes, window, strides, dilation, strict=True):
        total = max((-(-size // stride) - 1) * stride + (extent - 1) * gap + 1 - size, 0)
        pads.append((total // 2, total - total // 2))
    return tuple(pads)


def patches(x, window, strides, padding, dilation, fill):
    """Every place of the output with the entries under the window there, one array for each entry of the window."""
    strides, dilation = pair(strides), pair(dilation)
    pads = padding_of(x.shape[1:3], window, strides, padding, dilation)
    x = np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=fill)
    counts = [(x.shape[a + 1] - (window[a] - 1) * dilation[a] - 1) // strides[a] + 1 for a in (0, 1)]
    for o, p in itertools.product(*map(range, counts)):
        corner = o * strides[0], p * strides[1]
        yield (o, p), counts, [x[:, corner[0] + u * dilation[0], corner[1] + v * dilation[1]]
                               for u, v in itertools.product(*map(range, window))]  # fmt: skip


def convolved(x, kernel, strides=1, padding="valid", dilation=1):
    *window, _, filters = kernel.shape
    for (o, p), counts, under in patches(x, window, strides, padding, dilation, 0.0):
        if o == p == 0:
            out = np.zeros((len(x), *counts, filters))
        for entry, weights in zip(under, kernel.reshape(-1, *kernel.shape[2:]), strict=True):
            out[:, o, p] += entry @ weights
    return out


def pooled(reduce, x, size=2, strides=None, padding="valid"):
    for (o, p), counts, under in patches(x, pair(size), strides or size, padding, 1, np.nan):
        if o == p == 0:
            out = np.zeros((len(x), *counts, x.shape[3]))
        out[:, o, p] = reduce(np.array(under), axis=0)
    return out


# name: shapes of the input and of the kernel, and the rest of the arguments
CONVOLUTIONS = {
    "plain": ((2, 5, 7, 3), (3, 2, 3, 4), {}),
    "same": ((2, 6, 5, 1), (3, 3, 1, 2), {"padding": "same"}),
    "same, even kernel": ((1, 5, 4, 2), (2, 4, 2, 1), {"padding": "same"}),
    "same, stride 2": ((2, 7, 6, 2), (3, 3, 2, 3), {"strides": 2, "padding": "same"}),
    "same, stride 3, dilated": ((1, 11, 7, 1), (2, 3, 1, 2), {"strides": 3, "padding": "same", "dilation": 2}),
    "same, stride past the kernel": ((1, 7, 8, 1), (1, 2, 1, 1), {"strides": 3, "padding": "same"}),
    "stride 3, entries left out": ((1, 8, 5, 2), (2, 1, 2, 2), {"strides": 3}),
    "dilated": ((1, 7, 7, 2), (3, 2, 2, 1), {"dilation": 3}),
    "padded by a number": ((2, 3, 4, 1), (3, 3, 1, 1), {"padding": 1}),
    "padded by pairs": ((1, 4, 3, 2), (3, 3, 2, 2), {"strides": 2, "padding": ((0, 3), (2, 1))}),
    "two strides, two dilations": ((1, 7, 6, 1), (2, 3, 1, 2), {"strides": (3, 1), "dilation": (1, 2)}),
    "all sizes 1": ((1, 1, 1, 1), (1, 1, 1, 1), {}),
    "kernel as large as the input": ((2, 3, 5, 2), (3, 5, 2, 3), {}),
    "kernel larger, padded": ((1, 2, 1, 1), (3, 3, 1, 1), {"padding": 1}),
}  # fmt: skip
# name: (function, its reduction, shape, arguments)
POOLS = {
    "max": (sg.max_pool2d, np.nanmax, (2, 5, 4, 3), {}),
    "max, overlapping": (sg.max_pool2d, np.nanmax, (1, 5, 7, 2), {"size": 3, "strides": 1}),
    "max, same": (sg.max_pool2d, np.nanmax, (1, 5, 3, 1), {"size": 2, "padding": "same"}),
    "max, same, overlapping": (sg.max_pool2d, np.nanmax, (1, 5, 5, 1), {"size": 3, "strides": 2, "padding": "same"}),
    "max, oblong": (sg.max_pool2d, np.nanmax, (1, 4, 6, 1), {"size": (2, 3)}),
    "average": (sg.average_pool2d, np.nanmean, (2, 4, 7, 2), {"size": 2}),
    "average, stride 3": (sg.average_pool2d, np.nanmean, (1, 7, 5, 1), {"size": 2, "strides": 3}),
    "average, same": (sg.average_pool2d, np.nanmean, (1, 5, 3, 2), {"size": 3, "strides": 2, "padding": "same"}),
    "average of one entry": (sg.average_pool2d, np.nanmean, (1, 1, 1, 1), {"size": 1}),
}


def convolution(name):
    """An expression with a named batch, its arrays, and what it is by loops."""
    shape, window, options = CONVOLUTIONS[name]
    mark = list(CONVOLUTIONS).index(name)
    x, kernel = sg.variable(f"x{mark}", (f"N{mark}", *shape[1:])), sg.parameter(f"k{mark}", window)
    random = np.random.default_rng(mark)
    arrays = {x.name: random.normal(size=shape), kernel.name: random.normal(size=window)}
    return sg.conv2d(x, kernel, **options), arrays, [x, kernel], convolved(*arrays.values(), **options)


def pool(name):
    function, reduce, shape, options = POOLS[name]
    x = sg.variable("x", ("N", *shape[1:]))
    entries = np.random.default_rng(3).permutation(int(np.prod(shape))).reshape(shape) / 10 - 20.0  # below all padding
    return function(x, **options), {"x": entries}, [x], pooled(reduce, entries, **options)


CASES = [pytest.param(convolution, n, id=n) for n in CONVOLUTIONS] + [pytest.param(pool, n, id=n) for n in POOLS]


@pytest.mark.parametrize(("build", "name"), CASES)
def test_values(build, name):
    expression, arrays, _, wanted = build(name)
    assert expression.shape[1:] == wanted.shape[1:] and isinstance(expression.shape[0], str)
    for form in (expression, sg.simplify(expression)):
        np.testing.assert_allclose(values.of(form, arrays), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("build", "name"), CASES)
def test_derivatives_to_order_two_and_formulas(build, name):
    expression, arrays, by, _ = build(name)
    to_order_two(expression, arrays, by)
    for form in (expression, *sg.gradient(sg.sum(expression**2), by)):
        prints_and_stores(form, arrays)


@pytest.mark.parametrize(
    "options", [{}, {"padding": "same"}, {"strides": 3, "dilation": 2}, {"padding": 2, "strides": 2}], ids=str
)
def test_one_dimension_is_two_with_one_row(options):
    random = np.random.default_rng(5)
    x, kernel = sg.variable("x", ("N", 11, 2)), sg.parameter("k", (3, 2, 2))
    arrays = {"x": random.normal(size=(2, 11, 2)), "k": random.normal(size=(3, 2, 2))}
    flat = dict(options, padding=((0, 0), (2, 2))) if options.get("padding") == 2 else options
    wanted = convolved(arrays["x"][:, None], arrays["k"][None], **flat)[:, 0]
    expression = sg.conv1d(x, kernel, **options)
    np.testing.assert_allclose(values.of(expression, arrays), wanted, rtol=1e-12, atol=1e-12)
    to_order_two(expression, arrays, [x, kernel])


@pytest.mark.parametrize("options", [{}, {"size": 3, "strides": 2, "padding": "same"}], ids=str)
def test_pools_of_one_dimension_and_of_everything(options):
    x, image = sg.variable("x", ("N", 7, 2)), sg.variable("image", ("N", 3, 2, 2))
    entries = np.random.default_rng(6).permutation(28).reshape(2, 7, 2) / 10
    for function, reduce in ((sg.max_pool1d, np.nanmax), (sg.average_pool1d, np.nanmean)):
        size = {**options, "size": (1, options.get("size", 2))}
        size |= {"strides": (1, options["strides"])} if "strides" in options else {}
        wanted = pooled(reduce, entries[:, None], **size)[:, 0]
        np.testing.assert_allclose(values.of(function(x, **options), {"x": entries}), wanted, rtol=1e-13)
        to_order_two(function(x, **options), {"x": entries}, [x])
    pixels = np.random.default_rng(7).normal(size=(2, 3, 2, 2))
    found = values.of(sg.global_average_pool2d(image), {"image": pixels})
    np.testing.assert_allclose(found, pixels.mean((1, 2)), rtol=1e-13)
    to_order_two(sg.global_average_pool2d(image), {"image": pixels}, [image])


@pytest.mark.parametrize(
    ("shape", "axis", "size", "stride", "dilation"),
    [((7,), 0, 3, 1, 1), ((2, 7), 1, 2, 3, 1), ((7, 2), -2, 3, 1, 3), ((2, 11, 2), 1, 3, 2, 2), ((3, 1), 1, 1, 1, 1)],
)
def test_windows(shape, axis, size, stride, dilation):
    x, entries = sg.variable("x", shape), np.random.default_rng(8).normal(size=shape)
    front = np.moveaxis(entries, axis, 0)
    starts = range(0, len(front) - (size - 1) * dilation, stride)
    rows = np.array([[front[o + k * dilation] for k in range(size)] for o in starts])
    place = axis % len(shape)
    expression = sg.windows(x, axis, size, stride=stride, dilation=dilation)
    wanted = np.moveaxis(rows, (0, 1), (place, place + 1))
    assert expression.shape == wanted.shape
    np.testing.assert_array_equal(values.of(expression, {"x": entries}), wanted)
    to_order_two(expression, {"x": entries}, [x])


def test_equal_entries_of_a_window_share_one_gradient():
    x = sg.variable("x", (1, 4, 4, 1))
    slope = values.of(sg.gradient(sg.sum(sg.max_pool2d(x)), x), {"x": np.ones((1, 4, 4, 1))})
    np.testing.assert_allclose(slope.reshape(2, 2, 2, 2).sum((1, 3)), 1.0)
    assert (slope >= 0).all()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_kernels_agree_with_the_interpreter(threads):
    """Gradients, which contain the values."""
    cases = [convolution("same, stride 3, dilated"), pool("max, same, overlapping")]
    every = [slope for expression, _, by, _ in cases for slope in sg.gradient(sg.sum(expression**2), by)]
    given = {name: array for _, arrays, _, _ in cases for name, array in arrays.items()}
    kernel_agrees(every, given, threads, bound=1e-12)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_network_of_prime_sizes_in_float32(threads):
    """Larger than a tile in every direction and a multiple of none."""
    pixels, y = sg.variable("pixels", ("N", 13, 11, 5)), sg.labels("y", ("N",), classes=7)
    shapes = {"k1": (3, 3, 5, 19), "b": (19,), "k2": (3, 2, 19, 37), "W": (37 * 3 * 3, 7)}
    k1, b, k2, W = by = [sg.parameter(name, shape) for name, shape in shapes.items()]
    hidden = sg.max_pool2d(sg.relu(sg.conv2d(pixels, k1, padding="same") + b), 2)
    last = sg.average_pool2d(sg.relu(sg.conv2d(hidden, k2, padding=1)), 3, 2, padding="same")
    loss = sg.softmax_cross_entropy(sg.flatten(last) @ W, y)
    random = np.random.default_rng(0)
    given = {name: random.normal(size=shape) / np.sqrt(shape[0] * 9) for name, shape in shapes.items()}
    given |= {"pixels": random.normal(size=(23, 13, 11, 5)), "y": random.integers(0, 7, 23)}
    kernel_agrees([loss, *sg.gradient(loss, by)], given, threads, "float32", 1e-5)


image, short = sg.variable("image", ("N", 5, 6, 3)), sg.variable("short", ("N", 5, 3))
filters = sg.parameter("filters", (3, 3, 3, 4))


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda: sg.conv2d(image, sg.parameter("wide", (3, 3, 2, 4))), ["image", "wide", "3", "2"]),
        (lambda: sg.conv2d(short, filters), ["short", "(N, 5, 3)"]),
        (lambda: sg.conv2d(image, sg.parameter("flat", (3, 3))), ["flat", "(3, 3)"]),
        (lambda: sg.conv2d(image, sg.parameter("tall", (7, 3, 3, 1))), ["tall", "image", "7", "5"]),
        (lambda: sg.conv2d(image, filters, dilation=3), ["filters", "image"]),
        (lambda: sg.conv1d(short, sg.parameter("deep", (2, 4, 1))), ["short", "deep", "3", "4"]),
        (lambda: sg.conv1d(image, filters), ["image"]),
        (lambda: sg.max_pool2d(short), ["short", "(N, 5, 3)"]),
        (lambda: sg.average_pool2d(image, size=7), ["image", "7"]),
        (lambda: sg.max_pool1d(image), ["image"]),
        (lambda: sg.global_average_pool2d(short), ["short"]),
        (lambda: sg.windows(short, 1, 6), ["short", "5", "6"]),
    ],
)
def test_wrong_shapes_are_named(act, words):
    with pytest.raises(sg.ShapeError) as caught:
        act()
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(("option", "value"), [("strides", 0), ("dilation", -1), ("padding", "full"), ("padding", -2)])
def test_wrong_options_are_named(option, value):
    with pytest.raises(sg.ExpressionError, match=str(value)):
        sg.conv2d(image, filters, **{option: value})


@pytest.mark.parametrize("name", ["plain", "dilated", "padded by a number", "stride 3, entries left out"])
def test_against_pytorch(name):
    torch = pytest.importorskip("torch")
    expression, arrays, by, _ = convolution(name)
    x, kernel = (torch.tensor(a, requires_grad=True) for a in arrays.values())
    options = {{"strides": "stride"}.get(key, key): value for key, value in CONVOLUTIONS[name][2].items()}
    theirs = torch.nn.functional.conv2d(x.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1), **options)
    (theirs**2).sum().backward()
    wanted = theirs.detach().permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(values.of(expression, arrays), wanted, rtol=1e-10, atol=1e-12)
    for slope, tensor in zip(sg.gradient(sg.sum(expression**2), by), (x, kernel), strict=True):
        np.testing.assert_allclose(values.of(slope, arrays), tensor.grad.numpy(), rtol=1e-10, atol=1e-11)
