"""Optimizers, weight decay and clipping: against PyTorch, against NumPy written here, and against the interpreter."""

from __future__ import annotations

import math

import numpy as np
import pytest

import symgrad as sg
from symgrad.expression.node import leaves
from symgrad.expression.ops import Leaf
from symgrad.training import fit as loop
from symgrad.training import optimizers
from symgrad.training.clipping import clipped
from symgrad.training.steps import Plan
from symgrad.training.update_rules import TABLE

STEPS = 100
SHAPES = {"W": (4, 3), "b": (5,), "s": ()}


def linear(optimizer, **settings) -> sg.Model:
    """A loss that is linear in the weights: its gradients are the row of the data that the step takes."""
    x, u, k, y = (sg.variable(n, ("N", *shape)) for n, shape in zip("xuky", [*SHAPES.values(), ()], strict=True))
    W, b, s = (sg.parameter(n, shape, init=sg.ones) for n, shape in SHAPES.items())
    loss = sg.sum(x * W) + sg.sum(u * b) + sg.sum(k * s)
    training = sg.Training(optimizer, 1, 1, dtype="float64", **settings)
    return sg.Model([x, u, k], [y], sg.sum(u * b, axis=1), loss, (), training)


def trained(optimizer, **settings) -> tuple[dict[str, np.ndarray], list[dict[str, np.ndarray]]]:
    """The weights after 100 compiled steps from ones, and the gradient of each step."""
    random = np.random.default_rng(7)
    data = [random.normal(size=(STEPS, *shape)) * random.exponential() for shape in SHAPES.values()]
    model = linear(optimizer, **settings)
    model.threads = 2
    model.fit(data, np.zeros(STEPS))
    order = loop.order_of(0, 0, STEPS)
    return model.weights, [dict(zip(SHAPES, (d[i] for d in data), strict=True)) for i in order]


class Hand:
    """Each optimizer written again in NumPy from its paper, in PyTorch's form."""

    def __init__(self, w, rate, decay=0.0):
        self.w, self.rate, self.decay, self.t = w, rate, decay, 0
        self.a, self.b, self.c, self.product = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w), 1.0

    def step(self, name, g):
        self.t += 1
        if name in ("adamw", "lion"):
            self.w = self.w - self.rate * self.decay * self.w
        else:
            g = g + self.decay * self.w
        self.w = self.w - self.rate * getattr(self, name)(g)

    def sgd(self, g):
        return g

    def momentum(self, g):
        self.a = 0.9 * self.a + g
        return self.a

    def nesterov(self, g):
        return g + 0.9 * self.momentum(g)

    def adagrad(self, g):
        self.a = self.a + g * g
        return g / (np.sqrt(self.a) + 1e-7)

    def rmsprop(self, g):
        self.a = 0.9 * self.a + 0.1 * g * g
        return g / (np.sqrt(self.a) + 1e-7)

    def adadelta(self, g):
        self.a = 0.9 * self.a + 0.1 * g * g
        change = g * np.sqrt((self.b + 1e-6) / (self.a + 1e-6))
        self.b = 0.9 * self.b + 0.1 * change * change
        return change

    def _moments(self, g):
        self.a, self.b = 0.9 * self.a + 0.1 * g, 0.999 * self.b + 0.001 * g * g
        return self.a / (1 - 0.9**self.t), self.b / (1 - 0.999**self.t)

    def adam(self, g, epsilon=1e-7):
        first, second = self._moments(g)
        return first / (np.sqrt(second) + epsilon)

    def adamw(self, g):
        return self.adam(g, 1e-8)

    def amsgrad(self, g):
        first, _ = self._moments(g)
        self.c = np.fmax(self.c, self.b)
        return first / (np.sqrt(self.c / (1 - 0.999**self.t)) + 1e-8)

    def adamax(self, g):
        self.a, self.b = 0.9 * self.a + 0.1 * g, np.where(0.999 * self.b > np.abs(g), 0.999 * self.b, np.abs(g) + 1e-8)
        return self.a / (1 - 0.9**self.t) / self.b

    def nadam(self, g):
        _, second = self._moments(g)
        mu, following = (0.9 * (1 - 0.5 * 0.96 ** (0.004 * t)) for t in (self.t, self.t + 1))
        self.product *= mu
        ahead = following * self.a / (1 - self.product * following) + (1 - mu) * g / (1 - self.product)
        return ahead / (np.sqrt(second) + 1e-8)

    def lion(self, g):
        step = np.sign(0.9 * self.a + 0.1 * g)
        self.a = 0.99 * self.a + 0.01 * g
        return step


def by_hand(name, gradients, rate, decay=0.0):
    runs = {n: Hand(np.ones(shape), rate, decay) for n, shape in SHAPES.items()}
    for step in gradients:
        for n, run in runs.items():
            run.step(name, step[n])
    return {n: run.w for n, run in runs.items()}


def torch_optimizer(torch, name, parameters, rate, decay):
    settings = TABLE[name].settings
    given = {"lr": rate, "weight_decay": decay}
    given |= {"eps": settings["epsilon"]} if "epsilon" in settings else {}
    given |= {"betas": (settings["beta1"], settings["beta2"])} if "beta1" in settings else {}
    given |= {"momentum": settings["mu"], "nesterov": name == "nesterov"} if "mu" in settings else {}
    given |= {{"rmsprop": "alpha"}.get(name, "rho"): settings["rho"]} if "rho" in settings else {}
    given |= {"momentum_decay": settings["psi"]} if "psi" in settings else {}
    given |= {"amsgrad": True} if name == "amsgrad" else {}
    kinds = {"sgd": "SGD", "momentum": "SGD", "nesterov": "SGD", "rmsprop": "RMSprop", "adamw": "AdamW",
             "nadam": "NAdam", "amsgrad": "Adam"}  # fmt: skip
    return getattr(torch.optim, kinds.get(name, name.capitalize()))(parameters, **given)


def by_torch(name, gradients, rate, decay=0.0, clip=lambda torch, parameters: None):
    torch = pytest.importorskip("torch")
    weights = {n: torch.ones(shape, dtype=torch.float64, requires_grad=True) for n, shape in SHAPES.items()}
    optimizer = torch_optimizer(torch, name, list(weights.values()), rate, decay)
    for step in gradients:
        for n, w in weights.items():
            w.grad = torch.tensor(step[n], dtype=torch.float64)
        clip(torch, list(weights.values()))
        optimizer.step()
    return {n: w.detach().numpy() for n, w in weights.items()}


def assert_same(found, expected, tolerance):
    assert set(found) == set(expected)
    for n, w in found.items():
        np.testing.assert_allclose(w, expected[n], rtol=tolerance, atol=tolerance * 1e-3, err_msg=n)


@pytest.mark.parametrize("name", TABLE)
def test_a_hundred_steps_are_numpys(name):
    weights, gradients = trained(optimizers.make(name))
    assert_same(weights, by_hand(name, gradients, TABLE[name].learning_rate, TABLE[name].decay), 1e-9)


@pytest.mark.parametrize("decay", [None, 0.3])
@pytest.mark.parametrize("name", [n for n in TABLE if n != "lion"])  # PyTorch has no Lion
def test_a_hundred_steps_are_pytorchs(name, decay):
    optimizer = optimizers.make(name).changed(weight_decay=decay)
    weights, gradients = trained(optimizer)
    assert_same(
        weights, by_torch(name, gradients, optimizer.learning_rate, dict(optimizer.settings)["weight_decay"]), 1e-6
    )


@pytest.mark.parametrize("name", ["sgd", "nesterov", "adam", "nadam", "adamw", "lion"])
def test_weight_decay(name):
    weights, gradients = trained(optimizers.make(name, 0.02, weight_decay=0.3))
    assert_same(weights, by_hand(name, gradients, 0.02, 0.3), 1e-9)
    without, _ = trained(optimizers.make(name, 0.02, weight_decay=0))
    assert not np.allclose(weights["W"], without["W"], rtol=1e-3)


def test_a_wrong_update_is_noticed():
    weights, gradients = trained(sg.adamw(0.01))
    with pytest.raises(AssertionError):
        assert_same(weights, by_hand("adam", gradients, 0.01, 0.01), 1e-6)


@pytest.mark.parametrize("bound", [0.5, 1e6])
def test_clipping_by_value(bound):
    weights, gradients = trained(sg.momentum(0.01), clip_value=bound)
    expected = by_hand("momentum", [{n: np.clip(g, -bound, bound) for n, g in s.items()} for s in gradients], 0.01)
    assert_same(weights, expected, 1e-9)
    clip = lambda torch, parameters: torch.nn.utils.clip_grad_value_(parameters, bound)  # noqa: E731
    assert_same(weights, by_torch("momentum", gradients, 0.01, clip=clip), 1e-6)


@pytest.mark.parametrize("bound", [0.5, 1e6])
def test_clipping_by_the_norm_of_all_gradients(bound):
    weights, gradients = trained(sg.momentum(0.01), clip_norm=bound)
    norms = [math.sqrt(sum(float((g**2).sum()) for g in step.values())) for step in gradients]
    assert (min(norms) > 0.5) == (max(norms) < 1e6)  # one bound is always felt, the other never
    scales = [min(1.0, bound / (norm + 1e-6)) for norm in norms]
    scaled = [{n: k * g for n, g in step.items()} for k, step in zip(scales, gradients, strict=True)]
    assert_same(weights, by_hand("momentum", scaled, 0.01), 1e-9)
    clip = lambda torch, parameters: torch.nn.utils.clip_grad_norm_(parameters, bound)  # noqa: E731
    assert_same(weights, by_torch("momentum", gradients, 0.01, clip=clip), 1e-6)


def network(hidden: int = 5, **training) -> sg.Model:
    x, y = sg.variable("x", ("N", 4)), sg.labels("y", ("N",), classes=3)
    W1, b1 = sg.parameter("W1", (4, hidden)), sg.parameter("b1", (hidden,))
    W2, k = sg.parameter("W2", (hidden, 3)), sg.parameter("k", (), init=sg.ones)
    z = (sg.tanh(x @ W1 + b1 + k).named("h") @ W2).named("z")
    options = {"batch_size": 20, "epochs": 2, "dtype": "float64"} | training
    return sg.Model([x], [y], sg.softmax(z), sg.softmax_cross_entropy(z, y), [sg.accuracy], sg.Training(**options))


def interpreted(model, x, y):
    """Training by the same formulas in the interpreter."""
    plan, size = Plan(model), model.training.batch_size
    gradients = clipped(model.gradients.gradients, model.training.clip_value, model.training.clip_norm)
    optimizer, weights = model.training.optimizer, {n: w.copy() for n, w in model.weights.items()}
    rate, t = sg.variable("rate"), sg.variable("t")
    state, updates = {}, {}
    for n, parameter in model.parameters.items():
        own = {s: sg.variable(f"{n}_{s}", plan.states[f"{n}_{s}"].shape) for s in optimizer.states}
        state |= {leaf.name: np.zeros(leaf.shape) for leaf in own.values()}
        weight, new = optimizer.update(parameter, gradients[n], rate, t, own)
        updates |= {n: weight} | {own[s].name: value for s, value in new.items()}
    for step in range(model.training.epochs * len(x) // size):
        order = loop.order_of(0, step * size // len(x), len(x))
        rows = order[step * size % len(x) :][:size]
        given = {"x": x[rows], "y": y[rows], "rate": optimizer.learning_rate, "t": step + 1.0} | weights | state
        values = {n: sg.evaluate(e, {k: given[k] for k in leaves([e])}) for n, e in updates.items()}
        weights, state = {n: values[n] for n in weights}, {n: values[n] for n in state}
    return weights


@pytest.mark.parametrize(("name", "clip"), [*((n, {}) for n in TABLE), ("nadam", {"clip_norm": 0.1}),
                                            ("adamw", {"clip_value": 0.01})])  # fmt: skip
def test_a_compiled_network_is_the_interpreted_one(name, clip):
    """Weights of several shapes, a number among them, share the sums and the state of the step."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=(60, 4)), random.integers(0, 3, 60)
    model = network(optimizer=optimizers.make(name, 0.01), **clip)
    model.threads = 2
    model.initialize(0)
    expected = interpreted(model, x, y)
    model.fit(x, y)
    assert_same(model.weights, expected, 1e-9)


@pytest.mark.parametrize("hidden", [1, 16, 64, 70, 130, 1024])
def test_threads_that_work_in_memory_of_their_own(hidden):
    """Parts that are empty, uneven or whole, in slices of a step and of many, and rows too long to be moved."""
    random = np.random.default_rng(hidden)
    x, y = random.normal(size=(60, 4)), random.integers(0, 3, 60)
    model = network(hidden, batch_size=15, optimizer=sg.rmsprop(0.01))
    model.initialize(0)
    start, expected = {n: w.copy() for n, w in model.weights.items()}, interpreted(model, x, y)
    owned = {node.name for node in Plan(model).program.owned.values() if isinstance(node.op, Leaf)}
    assert owned == {1: {"W2_s"}, 1024: set()}.get(hidden, {"W1", "W1_s"})
    for threads in (1, 2, 3, 4, 9):
        model.compile(threads=threads)
        model.weights = {n: w.copy() for n, w in start.items()}
        model.fit(x, y)
        assert_same(model.weights, expected, 1e-9)
        program, buffers = model.steps.machine.assembled, model.steps.buffers(15)
        held = {program.owned[s]: b.size for s, b in buffers.items() if s in program.owned}
        assert all(size >= math.prod(s if s != "N" else 15 for s in n.shape) for n, size in held.items())


def test_clipping_and_decay_stand_in_the_source():
    def text(**changes):
        model = network(optimizer=sg.sgd(0.1))
        model.compile(**changes)
        return model.source_text()

    plain = text()
    assert text(weight_decay=0) == plain and text(clip_value=0.5) != plain and "0.5" in text(clip_value=0.5)
    assert "0.0123" in text(weight_decay=0.0123) and "0.0123" in text(clip_norm=0.0123)
