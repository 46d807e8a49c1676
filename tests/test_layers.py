"""Layers that train and evaluate differently, embeddings, attention: against NumPy, differences, kernels, PyTorch."""

import numpy as np
import pytest
import values
from derivatives import arrays_for, kernel_agrees, to_order_two

import symgrad as sg
from symgrad.expression.node import leaves

random = np.random.default_rng(12)
x, gain, bias = sg.variable("x", ("N", 3)), sg.parameter("gain", (3,)), sg.parameter("bias", (3,))
BATCH = {"x": random.normal(size=(5, 3)) - 1.5, "gain": random.normal(size=3), "bias": random.normal(size=3)}
X = BATCH["x"]


def test_dropout_in_training_and_in_evaluation():
    dropped = sg.dropout(x, 0.3)
    training = sg.training_form(dropped)
    (noise,) = set(leaves([training]).values()) - {x}
    assert noise.shape == x.shape and sg.evaluation_form(dropped) is x
    u = np.array([[0.0, 0.3, 0.999], [0.29999, 0.30001, 0.5], [0.1, 0.2, 0.9]])
    given = {"x": X[:3], noise.name: u}
    np.testing.assert_allclose(values.of(training, given), np.where(u >= 0.3, X[:3] / 0.7, 0.0), rtol=1e-15)
    np.testing.assert_array_equal(sg.evaluate(dropped, {x: X}), X)
    np.testing.assert_array_equal(sg.compile(dropped, dtype="float64")(x=X), X)
    slope = sg.gradient(sg.sum(dropped * dropped), x)
    np.testing.assert_allclose(sg.evaluate(slope, {x: X}), 2 * X)
    wanted = np.where(u >= 0.3, 2 * X[:3] / 0.49, 0)
    np.testing.assert_allclose(values.of(sg.training_form(slope), given), wanted, rtol=1e-13)
    to_order_two(training, given, [x])


def test_dropout_keeps_the_mean():
    wide = sg.variable("wide", (40_000,))
    training = sg.training_form(sg.dropout(wide, 0.25))
    (noise,) = set(leaves([training]).values()) - {wide}
    u = np.random.default_rng(0).uniform(size=40_000)
    value = sg.evaluate(training, {"wide": np.ones(40_000), noise.name: u})
    assert set(np.round(np.unique(value), 12)) == {0.0, round(4 / 3, 12)}
    assert abs((value > 0).mean() - 0.75) < 0.01 and abs(value.mean() - 1) < 0.013


def test_each_dropout_of_a_network_has_noise_of_its_own():
    first, second = sg.parameter("first", (3, 4)), sg.parameter("second", (4, 4))
    hidden = sg.dropout(sg.relu(x @ first), 0.5)
    output = sg.dropout(sg.relu(hidden @ second), 0.5)
    assert len(set(leaves([sg.training_form(output)])) - {"x", "first", "second"}) == 2
    assert len(leaves([sg.training_form(hidden * hidden + hidden)])) == 3, "one dropout used twice has one mask"
    assert len(leaves([sg.training_form(sg.dropout(x, 0.5, name="a") + sg.dropout(x, 0.5, name="b"))])) == 3


def test_noise_is_given_like_an_input():
    u = sg.noise("u", (2, 3))
    given = random.uniform(size=(2, 3))
    np.testing.assert_array_equal(sg.evaluate(2 * u, {"u": given}), 2 * given)
    both = sg.in_training(u * 3, u)
    np.testing.assert_array_equal(sg.evaluate(both, {"u": given}), given)
    np.testing.assert_array_equal(sg.evaluate(sg.training_form(both), {"u": given}), given * 3)


@pytest.mark.parametrize("shape", [(5, 3), (2, 4, 5, 3)])
def test_batch_norm(shape):
    given = {**BATCH, "x": random.normal(size=shape) * [1, 2, 3] + 1}
    normed = sg.batch_norm(sg.variable("x", ("N", *shape[1:])), gain, bias)
    axes = tuple(range(len(shape) - 1))
    centred = given["x"] - given["x"].mean(axes)
    wanted = centred / np.sqrt(given["x"].var(axes) + 1e-3) * given["gain"] + given["bias"]
    training = sg.training_form(normed)
    assert set(leaves([training])) == {"x", "gain", "bias"}
    np.testing.assert_allclose(values.of(training, given), wanted, rtol=1e-12, atol=1e-13)
    state = {"bn_mean": random.normal(size=3), "bn_var": random.uniform(0.5, 2, 3)}
    wanted = (given["x"] - state["bn_mean"]) / np.sqrt(state["bn_var"] + 1e-3) * given["gain"] + given["bias"]
    np.testing.assert_allclose(sg.evaluate(normed, given | state), wanted, rtol=1e-12, atol=1e-13)
    assert set(leaves([sg.evaluation_form(normed)])) == {"x", "gain", "bias", "bn_mean", "bn_var"}
    by_x = leaves([normed])["x"]
    slope = sg.gradient(sg.sum(normed**2), by_x)
    for mode, known in ((sg.training_form, given), (sg.evaluation_form, given | state)):
        wanted = values.of(sg.gradient(sg.sum(mode(normed) ** 2), by_x), known)
        np.testing.assert_allclose(values.of(mode(slope), known), wanted, rtol=1e-11)
    if len(shape) == 2:
        to_order_two(training, given, leaves([training]).values())
        to_order_two(sg.evaluation_form(normed), given | state, leaves([training]).values())


def test_running_statistics_after_a_step():
    """Two steps on the same rows with hardly any learning: the output says which statistics were kept."""
    y, w = sg.variable("y", ("N", 3)), sg.parameter("w", (3,))
    output = sg.batch_norm(x, gain, bias, momentum=0.9, name="norm") * w
    net = sg.Model(inputs=[x], targets=[y], output=output, loss=sg.mean_squared_error(output, y))
    net.compile(optimizer="sgd", learning_rate=1e-12, dtype="float64")
    net.initialize()
    weights = {"gain": BATCH["gain"], "bias": BATCH["bias"], "w": np.array([1.0, 2, -1])}
    net.weights |= weights
    net.fit(X, np.zeros((5, 3)), epochs=2, batch_size=5)
    mean, var = 0.0, 1.0
    for _ in range(2):
        mean, var = 0.9 * mean + 0.1 * X.mean(0), 0.9 * var + 0.1 * X.var(0)
    wanted = ((X - mean) / np.sqrt(var + 1e-3) * weights["gain"] + weights["bias"]) * weights["w"]
    np.testing.assert_allclose(net.predict(X), wanted, rtol=1e-9)


def test_noise_is_drawn_anew_for_each_step_by_the_seed():
    """With hardly any learning the loss changes by its noise alone: different each step, the same for a seed."""
    y, w = sg.variable("y", ("N", 3)), sg.parameter("w", (3,))
    output = sg.dropout(x * w, 0.5)
    net = sg.Model(inputs=[x], targets=[y], output=output, loss=sg.mean_squared_error(output, y))
    net.compile(optimizer="sgd", learning_rate=1e-12, dtype="float64")
    losses = []
    for seed in (1, 1, 2):
        net.initialize(force=True)
        net.weights["w"][:] = 1
        losses.append(net.fit(X, np.zeros((5, 3)), epochs=8, batch_size=5, seed=seed)["loss"])
    assert losses[0] == losses[1] != losses[2] and len({round(loss, 9) for loss in losses[0]}) >= 6
    kept = (X**2).mean()  # the loss with all entries kept; one of 0 or 4 times an entry's square in training
    np.testing.assert_allclose(net.evaluate(X, np.zeros((5, 3)))["loss"], kept, rtol=1e-9)
    assert 0.5 * kept < np.mean(losses) < 4 * kept
    np.testing.assert_allclose(net.predict(X), X, rtol=1e-9)


def test_embedding():
    table, words = sg.parameter("table", (6, 2)), sg.variable("words", ("N", 3), dtype="int64")
    given = {"table": random.normal(size=(6, 2)), "words": np.array([[0, 5, 5], [2, 0, 5]])}
    looked_up = sg.embedding(table, words)
    assert looked_up.shape == ("N", 3, 2)
    np.testing.assert_array_equal(values.of(looked_up, given), given["table"][given["words"]])
    to_order_two(looked_up, given, [table])
    counts = values.of(sg.gradient(sg.sum(looked_up), table), given)
    np.testing.assert_array_equal(counts[:, 0], [2, 0, 1, 0, 0, 3])
    for wrong in (-1, 6):
        with pytest.raises(sg.BindingError, match=f"index {wrong} "):
            sg.evaluate(looked_up, {**given, "words": [[0, wrong, 5]]})


def attended(q, k, v, allowed=None):
    scores = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
    scores = scores if allowed is None else np.where(allowed, scores, -np.inf)
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True) @ v


LOWER = np.tril(np.ones((4, 4), bool))
HOLES = np.array([[1, 1, 0, 1], [0, 1, 0, 0], [1, 1, 1, 1], [0, 0, 1, 1]], bool)
ROWS = random.uniform(size=(2, 1, 4, 4)) < 0.5
ATTENTION = {  # leading axes, T and S, mask, causal
    "plain": ((), 4, 4, None, False),
    "causal": ((), 4, 4, None, True),
    "mask": ((), 4, 4, HOLES, False),
    "mask and causal": ((), 4, 4, HOLES | np.eye(4, dtype=bool), True),
    "other length": (("N",), 2, 5, None, False),
    "heads": (("N", 2), 4, 4, None, True),
    "heads, a mask for each row": (("N", 2), 4, 4, ROWS | np.eye(4, dtype=bool), False),
}


def attention(name):
    leading, there, here, allowed, causal = ATTENTION[name]
    widths = (("q", there, 3), ("k", here, 3), ("v", here, 2))
    q, k, v = (sg.variable(name, (*leading, length, width)) for name, length, width in widths)
    given = arrays_for((q, k, v))
    mask = None
    if allowed is not None:
        mask = sg.variable("mask", ("N", *allowed.shape[1:]) if allowed.ndim == 4 else allowed.shape, dtype="bool")
        given["mask"] = allowed
    allowed = LOWER & (True if allowed is None else allowed) if causal else allowed
    wanted = attended(given["q"], given["k"], given["v"], allowed)
    return sg.attention(q, k, v, mask=mask, causal=causal), given, [q, k, v], wanted


@pytest.mark.parametrize("name", ATTENTION)
def test_attention(name):
    expression, given, by, wanted = attention(name)
    np.testing.assert_allclose(values.of(expression, given), wanted, rtol=1e-12, atol=1e-13)
    to_order_two(expression, given, by)


@pytest.mark.parametrize(
    ("act", "words"),
    [
        *[(lambda rate=rate: sg.dropout(x, rate), ["rate", str(rate)]) for rate in (1.0, -0.1, float("nan"), "half")],
        (lambda: sg.batch_norm(x, sg.parameter("g", (4,)), bias), ["g", "x", "4", "3"]),
        (lambda: sg.attention(x, sg.variable("key", (4, 2)), x), ["x", "key", "3", "2"]),
        (lambda: sg.embedding(gain, x), ["x"]),
    ],
)
def test_what_is_refused(act, words):
    with pytest.raises(sg.ExpressionError) as caught:
        act()
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_kernels_agree_with_the_interpreter():
    """Layers in one kernel with their gradients, and those of training forms, noise given like an input."""
    attending, arrays, (q, *_), _ = attention("mask and causal")
    cases = [(attending, q), (sg.training_form(sg.batch_norm(x, gain, bias)), x)]
    cases += [(sg.training_form(sg.dropout(x, 0.5)), x), (sg.evaluation_form(sg.batch_norm(x, gain, bias)), gain)]
    every = [form for value, by in cases for form in (value, sg.gradient(sg.sum(value**2), by))]
    given = {**BATCH, **arrays, "bn_mean": np.ones(3), "bn_var": np.full(3, 0.5)}
    noise = {name: random.uniform(size=X.shape) for name in leaves(every) if name not in given}
    for threads in (1, 2):
        kernel_agrees(every, given | noise, threads)


def test_against_pytorch():
    torch = pytest.importorskip("torch")
    expression, given, _, _ = attention("heads")
    q, k, v = (torch.tensor(given[n]) for n in "qkv")
    theirs = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    np.testing.assert_allclose(values.of(expression, given), theirs.numpy(), rtol=1e-10)
