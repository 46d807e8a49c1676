"""NaN and infinity are traced to where they began, equal seeds give equal bits, denormals cost nothing."""

import re
import time

import killing
import numpy as np
import pytest

import symgrad as sg
from symgrad.cli import find
from symgrad.storage import checkpoint

ROWS, BATCH = 40, 8


def data_for(model):
    """Random arrays that a model can train on."""
    generator, arrays = np.random.default_rng(0), []
    for leaf in [*model.inputs, *model.targets]:
        shape = tuple(ROWS if isinstance(s, str) else s for s in leaf.shape)
        if leaf.op.classes:
            arrays.append(generator.integers(0, leaf.op.classes, shape))
        elif leaf.op.dtype == "uint8":
            arrays.append(generator.integers(0, 256, shape).astype("uint8"))
        else:
            arrays.append(generator.uniform(0.1, 0.9, shape).astype("f4"))
    return arrays[: len(model.inputs)], arrays[len(model.inputs) :]


SMALLER = {  # the others are small, or a number in them is fixed
    "mnist-mlp": ["hidden=32"], "mnist-mlp-dropout": ["hidden=32"], "mnist-cnn": ["first=4", "second=8"], "mnist-rnn": ["hidden=8"],
    "mnist-attention": ["width=8"], "mnist-autoencoder": ["hidden=16", "code=4"],
}  # fmt: skip


@pytest.fixture(scope="module", params=sorted(find.shipped()))
def trained(request):
    """A model that ships, after an epoch on random data."""
    model = find.find_model(request.param, SMALLER.get(request.param, []))
    model.compile(batch_size=BATCH, threads=1)
    model.fit(*data_for(model), epochs=1)
    return model


def complaint(model, arrays=None, **options):
    with pytest.raises(sg.DivergenceError) as caught:
        model.fit(*(arrays or data_for(model)), epochs=1, **options)
    return str(caught.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_number_in_any_tensor_of_any_model_is_named(trained, bad):
    """In every weight, in every tensor of the optimizer's state, in every input and target that can hold one."""
    before = {n: w.copy() for n, w in {**trained.weights, **trained.state}.items()}
    named = 0
    for name in before:
        array = {**trained.weights, **trained.state}[name]
        place = tuple(n // 2 for n in array.shape)
        array[place] = bad
        message = complaint(trained)
        where = f"{list(place)}" if place else ""
        assert f"{name}{where} is {bad} before step 1" in message, (name, message)
        array[...] = before[name]
        named += 1
    assert named == len(trained.weights) + len(trained.state) and named >= 2
    inputs, targets = data_for(trained)
    leaves = [*trained.inputs, *trained.targets]
    for leaf, array in zip(leaves, [*inputs, *targets], strict=True):
        if array.dtype.kind == "f":
            array[13, ...] = bad
            message = complaint(trained, (inputs, targets))
            assert re.search(rf"{leaf.name}\[13[^]]*\] is {bad} \(row 13 of the data\)", message), message
            array[13, ...] = 0.5
        for tensor in (trained.weights, trained.state):
            for name in tensor:
                tensor[name][...] = before[name]


x, t = sg.variable("x", ("N",)), sg.variable("t", ("N",))
VALUES = np.linspace(0.5, 1.5, ROWS).astype("f4")


def scalar(output, weight, start, loss=None, **options):
    """A model of one number, which starts where it goes wrong."""
    settings = {"optimizer": sg.sgd(0.1), "batch_size": BATCH, "dtype": "float32"} | options
    loss = sg.mean((output - t) ** 2) if loss is None else loss
    model = sg.Model([x], [t], output, loss, training=sg.Training(**settings))
    model.compile(threads=1)
    model.weights = {weight.name: np.full((), start, model.training.dtype)}
    return model


a = sg.parameter("a")
CASES = {
    "log of 0": (sg.log(a * x - a * x), 1.0, "log(", "the argument of a logarithm must be positive"),
    "log below 0": (sg.log(a * x), -1.0, "log(", "log"),
    "division by 0": (x / (a - 1), 1.0, "is inf", "the divisor must not be 0"),
    "root below 0": (sg.sqrt(a * x), -2.0, "is nan", "the argument of a root must not be negative"),
    "exp overflows in float32": (sg.exp(a * x), 200.0, "too large for float32", "the argument of exp is too large"),
    "power": (sg.exp(sg.log(x)) * (a - 1) ** -1.0, 1.0, "is inf", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_an_operation_that_leaves_the_numbers_is_named_with_its_formula(name):
    output, start, words, advice = CASES[name]
    message = complaint(scalar(output, a, start), (VALUES, VALUES))
    assert "it began in step 1: " in message and words in message and advice in message, message


def test_a_gradient_that_is_no_number_is_found_though_the_loss_is_one():
    """sqrt has no slope at 0: the loss of the first step is fine, the weight after it is not."""
    model = scalar(sg.sqrt(a * x), a, 0.0)
    message = complaint(model, (VALUES, VALUES))
    assert "in epoch 1, step 2 of 5" in message and "it began in step 1: " in message and "divisor" in message, message
    assert model.weights["a"] == 0.0  # as it was before that step


def test_a_row_of_the_data_is_named_as_the_user_counts():
    bad = VALUES.copy()
    bad[29] = 0.0
    message = complaint(scalar(a / x, a, 1.0), (bad, VALUES))
    assert re.search(r"began in step \d: a / x is inf in row 29 of the data for [\d.]+, 0; the divisor", message), message


def test_growth_advises_a_smaller_learning_rate():
    message = complaint(scalar(a * x * 1e3, a, 1.0, optimizer=sg.sgd(1e6)), (VALUES, VALUES))
    assert "use a smaller learning rate (it is 1e+06)" in message and "clip_norm" in message, message


def test_what_diverged_is_not_saved(tmp_path):
    bad = VALUES.copy()
    model = scalar(a * x, a, 1.0)
    model.fit(VALUES, VALUES, epochs=2, out=tmp_path)
    bad[3] = np.nan
    with pytest.raises(sg.DivergenceError):
        model.fit(bad, VALUES, epochs=1, out=tmp_path / "bad")
    assert not (tmp_path / "bad").exists() or checkpoint.newest(tmp_path / "bad").path is None


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_twenty_runs_give_the_same_bits(threads):
    model, found = killing.network(7, threads), set()
    for _ in range(20):
        model.initialize(seed=3, force=True)
        model.fit(*killing.rows(60), epochs=1, seed=3)
        found.add(b"".join(w.tobytes() for w in model.weights.values()))
    assert len(found) == 1
    model.initialize(seed=4, force=True)
    model.fit(*killing.rows(60), epochs=1, seed=4)
    assert b"".join(w.tobytes() for w in model.weights.values()) not in found  # the comparison can fail


def test_denormal_weights_cost_no_more_than_others():
    """Twice the time is the promise; ten times would be the price of computing with them."""
    z = sg.variable("z", ("N", 256))
    u, v = sg.parameter("u", (256, 256)), sg.parameter("v", (256,))
    kernel = sg.compile(sg.sum(z @ u * v, axis=1), dtype="float32", threads=1)
    rows = np.full((512, 256), 0.5, "f4")
    spent = {"normal": [], "denormal": []}
    for _ in range(7):
        for kind, weight in (("normal", 0.25), ("denormal", 1e-41)):
            given = {"z": rows, "u": np.full((256, 256), weight, "f4"), "v": np.full(256, weight, "f4")}
            started = time.thread_time()
            kernel(given)
            spent[kind].append(time.thread_time() - started)
    assert min(spent["denormal"]) < 3 * min(spent["normal"]), spent
