"""Formula = interpreter = kernel: the text in NumPy notation, the oracle and the machine code give the same numbers.

And the naive way of the lecture beside them: nudge one weight by ±ε, run the network twice, divide.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from symgrad.codegen.kernel import compile as compile_kernel
from symgrad.expression.node import Expr, leaves
from symgrad.formulas.numpy_code import block, identifier
from symgrad.interpreter import evaluate_all
from symgrad.proof import points

if TYPE_CHECKING:
    from symgrad.training.model import Model

EPSILON = 1e-5


@dataclass(frozen=True)
class Agreement:
    """Largest differences, relative to the largest entry; the naive derivative's error and how much longer it takes."""

    text_error: float
    kernel_error: float
    weight: str
    naive_error: float
    gradient_seconds: float
    naive_seconds: float

    @property
    def times_longer(self) -> float:
        """How many times longer a whole gradient would take by nudging every weight."""
        return self.naive_seconds / self.gradient_seconds

    def __str__(self) -> str:
        return "\n".join(
            [
                f"NumPy text = interpreter    {self.text_error:.0e}",
                f"kernel = interpreter        {self.kernel_error:.0e}",
                f"nudging {self.weight} by ±{EPSILON:g}   {self.naive_error:.0e}",
                f"a whole gradient takes {1e3 * self.gradient_seconds:.2f} ms; by nudging every weight "
                f"{self.naive_seconds:.1f} s, {self.times_longer:,.0f} times longer",
            ]
        )


def run_text(named: Mapping[str, Expr], values: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """The values of a NumPy-notation block, run."""
    inside = leaves(named.values())
    words: dict[str, Any] = {n: np.asarray(v, float if inside[n].kind == "real" else None) for n, v in values.items()}
    exec(compile(block(named), "<formula>", "exec"), words)
    return [np.asarray(words[identifier(title)]) for title in named]


def _error(a: list[np.ndarray], b: list[np.ndarray]) -> float:
    return max(
        float(np.abs(x - y).max() / (1e-300 + np.abs(x).max())) if x.size else 0.0 for x, y in zip(a, b, strict=True)
    )


def _seconds(call: Callable[[], object], repeats: int = 7) -> float:
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return sorted(times)[len(times) // 2]


def agree(model: Model, seed: int = 0) -> Agreement:
    """Compare the three forms of a model's gradients, and the naive way, at one random point."""
    random = np.random.default_rng(seed)
    derived = model.gradients
    titles = {f"∂L/∂{name}": g for name, g in derived.gradients.items()}
    gradients = list(titles.values())
    values = dict(points.point([model.training_loss, *gradients], random))
    expected = evaluate_all(gradients, {n: values[n] for n in leaves(gradients)})
    kernel, loss = compile_kernel(gradients, dtype="float64"), compile_kernel(derived.loss, dtype="float64")
    given = {n: values[n] for n in kernel.inputs}
    text = run_text(titles, given)
    name, parameter = next(iter(model.parameters.items()))
    index = np.unravel_index(int(np.abs(expected[0]).argmax()), parameter.shape)

    def nudged(by: float) -> float:
        moved = np.array(values[name], float)
        moved[index] += by
        return float(loss({n: moved if n == name else values[n] for n in loss.inputs}))

    naive = (nudged(EPSILON) - nudged(-EPSILON)) / (2 * EPSILON)
    true = float(expected[0][index])
    place = f"{name}[{', '.join(map(str, index))}]"
    return Agreement(
        _error(expected, text),
        _error(expected, kernel(given)),
        place,
        abs(naive - true) / abs(true),
        _seconds(lambda: kernel(given)),
        2 * model.parameter_count * _seconds(lambda: nudged(EPSILON)),
    )
