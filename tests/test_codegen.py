"""Kernels: shapes on and off every tile, layouts, kinds of output, free batch size, and what a wrong call says."""

import os
import re
import threading

import numpy as np
import pytest
import unjitted
from error_bound import scales

import symgrad as sg
from symgrad.codegen.flatten import flattened
from symgrad.codegen.loops import Loop, Store, lines
from symgrad.codegen.multiply import BLOCK, FEWER
from symgrad.expression import ops
from symgrad.expression.node import leaves, make
from symgrad.interpreter import evaluate_all

TOLERANCE = {"float32": 2e-6, "float64": 1e-14}
DTYPES = ("float32", "float64")
SIZES = (1, 2, 3, 5, 7, 13, 17, 31, 61, 127)


def random(shape, dtype="float64", seed=0):
    return np.random.default_rng((seed, *shape)).uniform(-1, 1, shape).astype(dtype)


def same(kernel, expressions, arrays, threads=(1, 2, 3)):
    """A kernel's results against the interpreter, relative to the sum of absolute terms, with each count of threads."""
    anchors = list(kernel.inputs.values())
    want = evaluate_all([*expressions, *anchors], arrays)[: len(expressions)]
    scale = scales([*expressions, *anchors], arrays)
    for count in threads:
        kernel.threads = count
        for got, value, size, e in zip(kernel(arrays), want, scale, expressions, strict=False):
            assert got.shape == value.shape and got.dtype.kind in {"real": "f", "integer": "iu", "boolean": "b"}[e.kind]
            assert e.kind != "real" or got.dtype == kernel.dtype
            assert (np.abs(got.astype(float) - value) <= 8 * TOLERANCE[kernel.dtype] * size).all(), e.label


@pytest.fixture(scope="module", params=DTYPES)
def products(request):
    """Products of every layout, in one kernel with named sizes."""
    a, b = sg.variable("a", ("N", "K")), sg.variable("b", ("K", "M"))
    at, bt = sg.variable("at", ("K", "N")), sg.variable("bt", ("M", "K"))
    v, u = sg.variable("v", ("K",)), sg.variable("u", ("N",))
    expressions = [a @ b, at.T @ b, a @ bt.T, at.T @ bt.T, (a @ b).T, sg.tanh(a) @ (b * 2), a @ v, u @ a, v @ v, sg.outer(u, v),
                   sg.relu(at.T @ bt.T + 1), sg.sum(a * a), sg.sum(a, axis=0), sg.sum(a, axis=1), (a @ b) @ b.T, a @ (b @ b.T)]  # fmt: skip
    return sg.compile(expressions, dtype=request.param), expressions


@pytest.mark.parametrize("m", (1, 17, 61))
@pytest.mark.parametrize("k", SIZES)
def test_products_of_every_layout(products, k, m):
    kernel, expressions = products
    for n in SIZES if m == 17 else (2, 31):
        arrays = {
            "a": random((n, k)),
            "b": random((k, m)),
            "at": random((k, n)),
            "bt": random((m, k)),
            "v": random((k,)),
            "u": random((n,)),
        }
        same(kernel, expressions, {name: a.astype(kernel.dtype) for name, a in arrays.items()}, threads=(1, 3))


def test_arrays_of_any_layout_and_dtype(products):
    kernel, expressions = products
    a, b = random((7, 10)), random((5, 10))
    arrays = {
        "a": np.asfortranarray(a),
        "b": b.T,
        "at": a.T,
        "bt": np.ascontiguousarray(b)[:, ::1],
        "v": np.arange(10),
        "u": random((14,))[::2],
    }
    same(kernel, expressions, {n: x.astype(kernel.dtype, order="K") for n, x in arrays.items()})
    lists = {name: x.tolist() for name, x in arrays.items()}
    for one, other in zip(kernel(lists), kernel(arrays), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def network():
    x, y = sg.variable("x", ("N", 20)), sg.labels("y", ("N",), classes=5)
    w1, b1, w2 = sg.parameter("w1", (20, 33)), sg.parameter("b1", (33,)), sg.parameter("w2", (33, 5))
    h = sg.relu(x @ w1 + b1).named("h")
    loss = sg.softmax_cross_entropy(h @ w2, y)
    expressions = [loss, sg.softmax(h @ w2), *sg.gradient(loss, [w1, b1, w2])]
    arrays = {"w1": random((20, 33)), "b1": random((33,)), "w2": random((33, 5))}
    return sg.compile(expressions, dtype="float64"), expressions, arrays


@pytest.mark.parametrize("batch", (1, 2, 13, 56, 57, 112, 128, 300))
def test_the_batch_size_is_free(network, batch):
    kernel, expressions, arrays = network
    same(kernel, expressions, {**arrays, "x": random((batch, 20)), "y": np.arange(batch) % 5})


@pytest.mark.parametrize(("width", "step"), [(33, 168), (256, 168), (257, 56), (300, 56)])
def test_products_that_are_used_block_by_block(width, step):
    """Rows around a block's, results around the widest that have so many; unjitted, every index is checked."""
    a, b, c = sg.variable("a", ("N", 6)), sg.parameter("b", (6, width)), sg.variable("c", ("N", width))
    expression = sg.where(c > 0, a @ b, sg.constant(0.5)) * c
    kernel = sg.compile([expression], dtype="float64")
    assert re.search(rf"range\(\w+, \w+, {step}\)", kernel.source)
    for rows in (1, FEWER - 1, FEWER + 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 3):
        given = {"a": random((rows, 6)), "b": random((6, width)), "c": random((rows, width))}
        same(kernel, [expression], given, threads=(1, 2, 3))
        np.testing.assert_allclose(unjitted.call(kernel, given)[0], sg.evaluate(expression, given), rtol=1e-12, atol=1e-14)


def test_the_same_bits_twice(network):
    kernel, _, arrays = network
    given = {**arrays, "x": random((100, 20)), "y": np.arange(100) % 5}
    for count in (1, 2, 3):
        kernel.threads = count
        first = kernel(given)
        for _ in range(20):
            assert all(np.array_equal(a, b) for a, b in zip(first, kernel(given), strict=True))


def test_unjitted_source_of_a_network(network):
    kernel, expressions, arrays = network
    given = {**arrays, "x": random((60, 20)), "y": np.arange(60) % 5}
    for got, want in zip(unjitted.call(kernel, given), evaluate_all(expressions, given), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)


def test_several_python_threads_share_a_kernel(network):
    kernel, _, arrays = network
    given = [{**arrays, "x": random((50, 20), seed=i), "y": np.arange(50) % 5} for i in range(4)]
    want, wrong = [kernel(g) for g in given], []

    def work(i):
        for _ in range(20):
            wrong.extend(i for a, b in zip(kernel(given[i]), want[i], strict=True) if not np.array_equal(a, b))

    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_computes_the_same(network):
    kernel, _, arrays = network
    given = {**arrays, "x": random((50, 20)), "y": np.arange(50) % 5}
    kernel.threads = 2
    want = kernel(given)
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if all(np.array_equal(a, b) for a, b in zip(kernel(given), want, strict=True)) else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert all(np.array_equal(a, b) for a, b in zip(kernel(given), want, strict=True))


@pytest.mark.parametrize("dtype", DTYPES)
def test_outputs_of_every_kind(dtype):
    """Leaves, transposes, constants, names, scalars, sizes, integers, conditions: alone and beside each other."""
    x, p, y = sg.variable("x", ("N", 3)), sg.parameter("p", (2, 3)), sg.labels("y", ("N",), classes=3)
    k, flag = sg.variable("k", ("N", 2), dtype="uint8"), sg.variable("flag", ("N",), dtype="bool")
    t = (x * 2).named("t")
    tensor = sg.einsum("ni,mj->nimj", x, p)
    expressions = [
        x, x.T, p.named("q"), sg.constant(3.5), sg.constant(np.arange(6.0).reshape(2, 3)), sg.mean(x), sg.sum(x * 0 + 1), y, y + 1, k,
        k.T, flag, sg.logical_not(flag), x > 0, sg.argmax(x), sg.argmax(x, axis=0), sg.cast(flag, "real"), sg.cast(x * 3, "integer"),
        t, t.T, t + 1, sg.exp(t).T, sg.exp(t), sg.identity(3), sg.one_hot(y, 3), sg.reshape(x, (-1,)), sg.reshape(x.T, ("N", 3)),
        sg.take(p, y, axis=1), sg.scatter(x, y, 4), sg.take(x, y), tensor, sg.transpose(tensor, (3, 1, 0, 2)), sg.max(x), sg.min(k, axis=0),
        sg.max(x, axis=(0, 1), keepdims=True), sg.logsumexp(x.T, axis=0), sg.softmax(x, axis=0), sg.sum(k), sg.sum(flag + flag),
        make(ops.Contraction(((0, 1),), (1, 2, 0), ((2, 4),)), x), p * 1, x + 1, sg.maximum(k, 3), abs(-k),
        sg.cast(k, "boolean"), k / 2, k * 0.5, flag * x.T, sg.where(flag, 1, 2), sg.where(flag, y, 0.5), (-1 * y) ** 2,
    ]  # fmt: skip
    given = {"x": random((5, 3), dtype), "p": random((2, 3), dtype), "y": [0, 2, 1, 1, 2], "k": np.arange(10, dtype="uint8").reshape(5, 2),
             "flag": np.array([1, 0, 1, 1, 0], bool)}  # fmt: skip
    given["y"] = np.array(given["y"])
    for simplify in (False, True):
        same(sg.compile(expressions, dtype=dtype, simplify=simplify), expressions, given)


def test_one_expression_gives_one_array_and_a_list_a_list():
    x = sg.variable("x", (2,))
    one, several = sg.compile(2 * x)({"x": [1, 2]}), sg.compile([2 * x])(x=[1, 2])
    assert isinstance(one, np.ndarray) and one.dtype == np.float32 and isinstance(several, list)
    assert sg.compile(sg.sum(x), dtype="float64")({x: [1, 2]}) == 3.0


def test_results_are_the_callers_own():
    x = sg.variable("x", (3,))
    kernel, given = sg.compile([x, x * 2, x.T], dtype="float64"), np.ones(3)
    first = kernel(x=given)
    kept = [a.copy() for a in first]
    first[0][:] = 7
    assert (given == 1).all()
    kernel(x=np.zeros(3))
    assert all(np.array_equal(a, b) for a, b in zip(first[1:], kept[1:], strict=True))


def test_an_input_that_simplification_removed_may_be_given():
    x, z = sg.variable("x", ("N", 3)), sg.variable("z", ("N",))
    value = sg.compile([sg.sum(x) + 0 * sg.sum(z), sg.gradient(sg.mean(sg.sum(x, axis=1)), x)], dtype="float64")
    got = value(x=np.ones((2, 3)), z=np.ones(2))
    assert got[0] == 6 and np.array_equal(got[1], np.full((2, 3), 0.5))
    assert set(value.inputs) == set(leaves([sg.sum(x) + 0 * sg.sum(z)]))


@pytest.mark.parametrize("logit", [1e4, -1e4, 80.0, 1e30])
def test_extreme_logits_stay_finite_in_float32(logit):
    z, y = sg.variable("z", ("N", 4)), sg.labels("y", ("N",), classes=4)
    array = np.array([[logit, -logit, 0, 1], [0, 0, logit, -logit]], np.float32)
    for loss, given in ((sg.softmax_cross_entropy(z, y), array), (sg.cross_entropy(sg.softmax(z), y), array)):
        value, gradient = sg.compile([loss, sg.gradient(loss, z)])(z=given, y=[1, 2])
        assert np.isfinite(value) and np.isfinite(gradient).all() and np.abs(gradient).max() <= 1
    zt = sg.variable("zt", (4, "N"))
    loss = sg.softmax_cross_entropy(zt.T, y)
    value, gradient = sg.compile([loss, sg.gradient(loss, zt)])(zt=array.T, y=[1, 2])
    assert np.isfinite(value) and np.isfinite(gradient).all()


@pytest.mark.parametrize("rows", [1, 31, 32, 33, 70])
def test_what_reads_a_matrix_the_other_way_round_goes_square_by_square(rows):
    A, B = sg.variable("A", ("n", "n")), sg.variable("B", ("n", "n"))
    expression = sg.tanh(A) + A.T * B
    kernel = sg.compile(expression, dtype="float64", threads=2)
    assert "corner" in kernel.source and "corner" not in sg.compile(A + B).source
    rng = np.random.default_rng(rows)
    given = {"A": rng.normal(size=(rows, rows)), "B": rng.normal(size=(rows, rows))}
    np.testing.assert_allclose(kernel(given), sg.evaluate(expression, given), rtol=1e-12)


@pytest.mark.parametrize("place", ["i*10 + j + i", "i*10 + 2*j", "9 - i*10 + j", "i*10 + j*3", "i*100 + j", "(i*3)*10 + j"])
def test_only_whole_entries_make_one_loop_of_rows_and_columns(place):
    nest = [Loop("i", "0", "n", [Loop("j", "0", "10", [Store("c", place, "a[i*10 + j]")])])]
    assert list(lines(flattened(nest))) == list(lines(nest))
