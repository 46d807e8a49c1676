"""Buffers that share memory: never two that are needed at the same time, whatever threads do meanwhile."""

from itertools import combinations

import numpy as np
import pytest

import symgrad as sg
from symgrad.cli.find import find_model
from symgrad.codegen.liveness import Life, arranged
from symgrad.codegen.machine import held

MODELS = ["mnist-mlp", "mnist-mlp-deep", "mnist-cnn", "mnist-rnn", "mnist-attention", "mnist-autoencoder"]


def touches(program):
    """For each buffer, the places of the stages that touch it and the axis of it that belongs to their threads."""
    parts = sorted(program.parts, key=lambda part: part.stage.only_training)
    found = {}
    for place, part in enumerate(parts):
        for buffer in part.writes:
            found.setdefault(buffer, []).append((place, part.split))
        for buffer, axes in part.reads:
            mine = axes.index(part.split) if part.split is not None and part.split in axes else None
            found.setdefault(buffer, []).append((place, mine))
    return parts, found


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("threads", [1, 2])
def test_what_shares_memory_is_not_needed_at_the_same_time(name, threads):
    model = find_model(name, [])
    program, machine = model.steps.machine.assembled, model.steps.machine
    buffers = machine.temporaries({model.batch: 9}, threads)
    buffers = {slot: b if b.ndim == 1 else b[0] for slot, b in buffers.items()}  # of the first thread
    nodes = {s: n for s, n in {**program.temporaries, **program.owned}.items() if s in program.lives}
    parts, found = touches(program)
    together = 0
    for first, second in combinations(nodes, 2):
        if not np.may_share_memory(buffers[first], buffers[second]):
            continue
        x, y = sorted((found[nodes[s]] for s in (first, second)), key=lambda touched: touched[0][0])
        done, begun = x[-1][0], y[0][0]
        assert done < begun, (first, second)
        mine = {first, second} <= set(program.owned)
        rows = all(axis == 0 for _, axis in (*x, *y)) and buffers[first].size == buffers[second].size
        assert mine or rows or any(part.barrier for part in parts[done + 1 : begun + 1]), (first, second)
        together += 1
    assert together > 0


def test_results_that_a_caller_gets_are_never_overwritten():
    x = sg.variable("x", ("N", 40))
    chain, values = x, []
    for i in range(12):
        chain = sg.tanh(chain @ sg.parameter(f"W{i}", (40, 40)))
        values.append(chain)
    random = np.random.default_rng(0)
    data = {"x": random.standard_normal((7, 40))} | {f"W{i}": random.standard_normal((40, 40)) / 6 for i in range(12)}
    kernel = sg.compile(values, dtype="float64", threads=3)
    for i, (got, value) in enumerate(zip(kernel(data), values, strict=True)):
        given = {name: data[name] for name in ("x", *(f"W{j}" for j in range(i + 1)))}
        np.testing.assert_allclose(got, sg.evaluate(value, given), rtol=1e-10)
    one = sg.compile(chain, dtype="float64", threads=2)
    np.testing.assert_allclose(one(data), sg.evaluate(chain, data), rtol=1e-10)
    assert one._frame({"N": 7}).scratch < 4 * 8 * 7 * 40  # of 23 buffers about two at a time


def test_arranged_grows_a_room_rather_than_adding_one():
    times = {"small": Life("", 0, 0), "other": Life("", 0, 5), "large": Life("", 1, 2), "apart": Life("x", 1, 1)}
    places, total = arranged({"small": 64, "other": 64, "large": 640, "apart": 64}, times)
    assert places["large"] == places["small"] and total == 640 + 64 + 64
    assert held([]) == 0
