"""Random expressions, larger than those of `test_graph_properties`, and compiled: gradients of order 1 and 2 against
differences, kernels and generated source against the interpreter. 100 of them, half of them compiled, because that is a
quarter of the time of all tests; 500 with `--rigorous`.

The scale of a comparison is the sum of absolute terms (`error_bound`), so that cancellation is not taken for a fault.
"""

import functools
import multiprocessing
import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
import random_expressions
import unjitted
from compiling import compile_into_cache
from differences import check_first, directions, slope
from error_bound import agree, scales

import symgrad as sg
from symgrad.expression import ops
from symgrad.expression.node import topological, users
from symgrad.expression.scalars import TABLE
from symgrad.interpreter import evaluate_all

NUMBERS, COMPILED = range(100), range(50)
ALL = range(500)  # with --rigorous
DRAWN = range(200)  # enough that every op comes often
SMALL = 3000  # entries in all nodes together up to which the unjitted source is quick


def each(usual):
    """All numbers, those that are not usual with --rigorous."""
    more = (pytest.param(number, marks=pytest.mark.rigorous) for number in ALL[len(usual) :])
    return pytest.mark.parametrize("number", [*usual, *more])


@functools.cache
def derived(number):
    """The loss, gradients and a second derivative as derived, the same simplified, both lists' values and scales."""
    sample = random_expressions.make(number)
    written = random_expressions.derivatives(number)
    simple = sg.simplify(written)
    everything = [*written, *simple]
    values, scale = evaluate_all(everything, sample.arrays), scales(everything, sample.arrays)
    half = len(written)
    return written, simple, values[:half], values[half:], scale[:half], scale[half:]


def kernel_of(number, threads=1):
    written, simple, *_ = derived(number)
    sample = random_expressions.make(number)
    kernel = sg.compile(written, dtype="float64", threads=threads)
    assert [e.shape for e in simple] == [e.shape for e in written]
    return kernel, sample.arrays


@pytest.fixture(scope="module")
def compiled(kernel_cache, request):
    """All kernels, compiled by as many processes as there are processors: Numba is what takes the time here."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=spawn) as processes:
        wanted = ALL if request.config.getoption("--rigorous") else COMPILED
        list(processes.map(compile_into_cache, wanted, chunksize=4))


@pytest.fixture(scope="module")
def nodes():
    return [topological([random_expressions.make(number).loss]) for number in DRAWN]


def test_every_op_and_every_function_comes_often(nodes):
    seen = Counter(type(node.op) for order in nodes for node in order)
    resolved = (ops.Mode, ops.Assign)  # gone before anything is computed
    assert {op.__name__: seen[op] for op in ops.OPS if seen[op] < 8 and op not in resolved} == {}
    functions = Counter(n.op.function for order in nodes for n in order if isinstance(n.op, ops.Elementwise))
    assert {name: functions[name] for name in TABLE if functions[name] < 10} == {}


def test_depth_sharing_sizes_and_kinds(nodes):
    for order in nodes:
        assert random_expressions.depth(order) >= 8
        assert sum(len(who) > 1 for node, who in users(order).items() if node.args) >= 3
    found = [n for order in nodes for n in order if isinstance(n.op, ops.Leaf)]
    assert {s for leaf in found for s in leaf.shape if isinstance(s, int)} >= {1, 2, 3, 17}
    assert {leaf.kind for leaf in found} == {"real", "integer", "boolean"}
    assert sum(any(isinstance(s, str) for n in order for s in n.shape) for order in nodes) >= len(DRAWN) // 3


def test_the_same_number_gives_the_same_expression():
    first, again = (random_expressions.make.__wrapped__(7) for _ in range(2))
    assert sg.formula(first.loss) == sg.formula(again.loss)
    assert all(np.array_equal(first.arrays[name], again.arrays[name]) for name in first.arrays)


@each(NUMBERS)
def test_gradients_of_order_one_and_two_against_differences(number):
    sample = random_expressions.make(number)
    _, _, values, simple_values, scale, _ = derived(number)
    rng = np.random.default_rng(number)
    rounding = 1e-9 * float(scale[0])  # of the loss, divided by the step
    check_first(sample, values, simple_values, rng, rounding)
    found = random_expressions.bending(sample)
    if found is not None:  # order 2
        steep, leaf = found
        both = [steep, sample.loss]  # the loss has every leaf and tells every size
        size = scales(both, sample.arrays)[0]
        for second in (values[-1], simple_values[-1]):
            allowed = 1e-5 * np.abs(second).max() + 1e-9 * float(size)
            for direction in directions(second.shape, rng, most=2):
                measured, _ = slope(both, sample.arrays, leaf.name, direction, 2e-5)
                assert abs(measured - (second * direction).sum()) <= allowed, leaf.name


@each(COMPILED)
def test_kernel_against_interpreter(number, compiled):
    _, _, _, values, _, scale = derived(number)
    kernel, arrays = kernel_of(number)
    for threads in (1, 2, 3):
        kernel.threads = threads
        for got, want, size in zip(kernel(arrays), values, scale, strict=True):
            agree(got, want, size)


def work(order, arrays):
    names = {s: n for node in order if isinstance(node.op, ops.Leaf)
             for s, n in zip(node.shape, arrays[node.name].shape, strict=True)}  # fmt: skip
    return sum(int(np.prod([ops.sizes.bind(s, names) for s in node.shape])) for node in order)


@each(COMPILED)
def test_source_unjitted_against_interpreter(number, compiled):
    written, simple, _, values, _, scale = derived(number)
    kernel, arrays = kernel_of(number)
    if work(topological([written[0], *simple]), arrays) > SMALL:
        pytest.skip("too large for plain Python")
    for got, want, size in zip(unjitted.call(kernel, arrays), values, scale, strict=True):
        agree(got, want, size)
