"""A model: an expression with its inputs, targets, loss and metrics, and the verbs of the lecture.

`compile, fit, evaluate, predict, summary, save` do what they do in Keras; the loss is in the expression. The command
line is a thin face of the same functions. The loop over epochs stands in `fit`, files in `saved`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from symgrad.errors import BindingError, ConfigurationError, ModelError
from symgrad.expression import binding, sizes
from symgrad.expression.forms import evaluation_form, training_form
from symgrad.expression.node import Expr, leaves
from symgrad.expression.ops import Parameter, State, Variable
from symgrad.training import initializers
from symgrad.training.settings import History, Training, as_metric


class Model:
    """A network as expressions, its weights as arrays.

    `inputs` and `targets` are variables whose first axis is the batch (no targets: the model learns from its inputs
    alone, and takes no notice of a given y); `output` is what predict gives; `loss` is a scalar; `example` is one row
    of each input and target, to follow by hand. Raises ModelError when they do not belong together.
    """

    def __init__(
        self,
        inputs: Sequence[Expr],
        targets: Sequence[Expr],
        output: Expr,
        loss: Expr,
        metrics: Sequence[object] = (),
        training: Training | None = None,
        name: str = "model",
        example: Mapping[str, object] | None = None,
    ) -> None:
        self.inputs, self.targets, self.output, self.loss = list(inputs), list(targets), output, loss
        self.training = training or Training()
        self.name, self.arguments, self.source = name, {}, ""  # type: tuple[str, dict[str, Any], str]
        self.metrics: dict[str, Expr] = {}
        self._set_metrics(metrics)
        self._check()
        self.example = self._row(example or {})
        self.weights: dict[str, np.ndarray] = {}
        self.state: dict[str, np.ndarray] = {}
        self.threads: int | None = None

    def _row(self, example: Mapping[str, object]) -> dict[str, np.ndarray]:
        """One row of every input and target, to follow by hand."""
        given = {leaf.name: leaf for leaf in [*self.inputs, *self.targets]}
        if example and set(example) != set(given):
            raise ModelError(f"an example gives {', '.join(given)}, not {', '.join(map(str, example))}")
        found = {n: binding.as_array(v, given[n]) for n, v in example.items()}
        extents = binding.bind_sizes([given[n] for n in found], found)
        if found and extents.get(self.batch) != 1:
            raise ModelError(f"an example is one row, but {self.batch} is {extents.get(self.batch)} in it")
        return found

    def _set_metrics(self, metrics: Sequence[object]) -> None:
        self.metrics = {}
        for value in metrics:
            function = as_metric(value)
            if not self.targets:
                raise ModelError(f"the metric {value} compares the output with a target, but this model has none")
            self.metrics[getattr(function, "__name__", str(value))] = function(self.output, self.targets[0])

    def _check(self) -> None:
        if self.loss.shape:
            raise ModelError(
                f"the loss of a model is a scalar, but {self.loss.label} has shape "
                f"{sizes.text(self.loss.shape)}: take its mean"
            )
        given = [*self.inputs, *self.targets]
        for leaf in given:
            if not isinstance(leaf.op, Variable):
                raise ModelError(
                    f"inputs and targets are variables (sg.variable, sg.labels), but {leaf.label} is "
                    f"{type(leaf.op).__name__}"
                )
        used = leaves([self.loss, self.output, *self.metrics.values()])
        for leaf in used.values():
            if isinstance(leaf.op, Variable) and leaf not in given:
                raise ModelError(
                    f"the model uses {leaf.name}, declared at {leaf.op.place}, which is neither an "
                    f"input nor a target: list it in inputs="
                )
            if isinstance(leaf.op, Parameter) and not all(isinstance(size, int) for size in leaf.shape):
                raise ModelError(
                    f"{leaf.name} has shape {sizes.text(leaf.shape)}: a trained tensor has numbers as sizes"
                )
        lacking = set(leaves([evaluation_form(self.output)])) & {t.name for t in self.targets}
        if lacking:
            raise ModelError(
                f"the output depends on the target {', '.join(sorted(lacking))}, which is not known when predicting"
            )

    @cached_property
    def parameters(self) -> dict[str, Expr]:
        """The trained leaves by name, in order of use."""
        return {n: leaf for n, leaf in leaves([self.output, self.loss]).items() if isinstance(leaf.op, Parameter)}

    @property
    def classes(self) -> int:
        """How many classes the model tells apart; 0 for one whose first target is no label."""
        op = self.targets[0].op if self.targets else None
        return op.classes if isinstance(op, Variable) else 0

    @cached_property
    def states(self) -> dict[str, Expr]:
        """The leaves by name that a step of training writes back without training them, as running means."""
        return {n: leaf for n, leaf in leaves([self.output, self.loss]).items() if isinstance(leaf.op, State)}

    @cached_property
    def training_loss(self) -> Expr:
        """The loss as it is in training."""
        return training_form(self.loss)

    @property
    def parameter_count(self) -> int:
        """How many numbers are trained."""
        return sum(math.prod(p.shape) for p in self.parameters.values())

    @cached_property
    def batch(self) -> str:
        """The name of the batch axis. Raises ModelError when inputs and targets do not share one."""
        first = self.inputs[0].shape[:1]
        for leaf in [*self.inputs, *self.targets]:
            if not leaf.shape or leaf.shape[:1] != first or not isinstance(leaf.shape[0], str):
                raise ModelError(
                    f"training goes through the rows of a batch, but {leaf.name} has shape "
                    f"{sizes.text(leaf.shape)}: give every input and target "
                    "the same named first axis, as in sg.variable('x', ('N', 784))"
                )
        return str(first[0])

    @cached_property
    def gradients(self) -> Any:
        """The derivation and the simplified gradients of the loss with respect to every parameter."""
        from symgrad.training.derived import derive_model

        return derive_model(self)

    def initialize(self, seed: int = 0, force: bool = False) -> None:
        """Draw the starting weights; what is there already stays unless `force`."""
        if not self.weights or force:
            self.weights = {
                name: initializers.draw(p.op.initializer, p.shape, seed, i).astype(self.training.dtype)
                for i, (name, p) in enumerate(self.parameters.items())
                if isinstance(p.op, Parameter)
            }
            for name, state in self.states.items():
                assert isinstance(state.op, State)
                self.weights[name] = np.full(state.shape, float(state.op.initial), self.training.dtype)
            self.state = {}

    def compile(
        self,
        optimizer: object = None,
        metrics: Sequence[object] | None = None,
        learning_rate: float | None = None,
        schedule: object = None,
        batch_size: int | None = None,
        dtype: str | None = None,
        threads: int | None = None,
        weight_decay: float | None = None,
        clip_value: float | None = None,
        clip_norm: float | None = None,
        precision: str | None = None,
    ) -> None:
        """Choose how to train; None leaves a setting. The loss is in the expression, so it is not an argument here.

        Raises ConfigurationError.
        """
        changed = self.training.changed(
            optimizer, learning_rate, weight_decay, schedule, batch_size=batch_size, dtype=dtype, precision=precision,
            clip_value=clip_value, clip_norm=clip_norm,
        )  # fmt: skip
        if threads is not None and (not isinstance(threads, int) or not 1 <= threads <= 256):
            raise ConfigurationError(f"threads is a number from 1 to 256, not {threads!r}")
        self.training = changed
        self.threads = threads if threads is not None else self.threads
        if metrics is not None:
            self._set_metrics(metrics)
        self.weights = {n: w.astype(self.training.dtype) for n, w in self.weights.items()}
        self.state = {}
        for made in ("steps", "_kernel"):  # for other numbers
            self.__dict__.pop(made, None)

    @cached_property
    def steps(self) -> Any:
        """The compiled training step."""
        from symgrad.training.steps import Steps

        return Steps(self)

    def source_text(self) -> str:
        """The generated source of the training step."""
        from symgrad.codegen.source import source
        from symgrad.training.steps import Plan

        plan = Plan(self)
        return source(plan.program.program, plan.title)

    def fit(
        self,
        x: Any,
        y: Any = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        validation_data: tuple[Any, Any] | None = None,
        **options: Any,
    ) -> History:
        """Train on arrays x (rows, ...) and y, which is None for a model without targets.

        See `symgrad.training.fit.fit` for the options (seed, out, resume ...).
        """
        from symgrad.training.fit import fit

        return fit(self, x, y, epochs, batch_size, validation_data, **options)

    def evaluate(self, x: Any, y: Any = None, batch_size: int = 1000) -> dict[str, float]:
        """The loss and the metrics over arrays, weighted by rows. Raises BindingError."""
        self.initialize()
        values: dict[str, float] = self.steps.evaluate(self.bind(x, y), batch_size)[0]
        return values

    def predict(self, x: Any, batch_size: int = 1000) -> np.ndarray:
        """The output for each row of x. Raises BindingError."""
        self.initialize()
        return self.predictor(dict(zip([i.name for i in self.inputs], _listed(x, len(self.inputs)), strict=True)))

    @cached_property
    def _kernel(self) -> Any:
        from symgrad.codegen.kernel import compile

        return compile(self.output, self.training.dtype, threads=1, precision=self.training.precision)

    def predictor(self, given: dict[str, Any]) -> np.ndarray:
        """The output over bound inputs, by a kernel of its own that computes nothing else."""
        result: np.ndarray = self._kernel(
            {**given, **{n: w for n, w in self.weights.items() if n in self._kernel.inputs}}
        )
        return result

    def bind(self, x: Any, y: Any) -> dict[str, np.ndarray]:
        """Arrays by name, checked against the declarations. Raises BindingError."""
        given = [*self.inputs, *self.targets]
        values = [*_listed(x, len(self.inputs)), *(_listed(y, len(self.targets)) if self.targets else [])]
        arrays = {leaf.name: binding.as_array(v, leaf) for leaf, v in zip(given, values, strict=True)}
        extents = binding.bind_sizes(given, arrays)
        if extents.get(self.batch, 0) == 0:
            raise BindingError("there are no rows: give at least one")
        for leaf in given:
            binding.check_labels(leaf, arrays[leaf.name])
        return arrays

    def summary(self) -> str:
        """Named nodes and parameters with shapes and counts, as text."""
        from symgrad.training.summary import summary

        return summary(self)

    def save(self, path: str | Path) -> Path:
        """Write weights, optimizer state and the expression as data to one safetensors file. Raises OutputError,
        StorageError.
        """
        from symgrad.training.saved import save_model

        self.initialize()
        return save_model(self, Path(path))


def _listed(value: Any, count: int) -> list[Any]:
    """One array, or as many as there are leaves."""
    if count == 1 and not isinstance(value, list | tuple):
        return [value]
    values = list(value)
    if count == 1 and len(values) != 1:
        return [np.asarray(value)]
    if len(values) != count:
        raise BindingError(f"{count} arrays are needed, {len(values)} were given")
    return values


def load(path: str | Path) -> Model:
    """A model from a checkpoint: weights and expression, nothing of it is run. Raises ModelError, NotFoundError."""
    from symgrad.training.saved import load_model

    return load_model(Path(path))
