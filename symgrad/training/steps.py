"""The training step as machine code: forward, backward and optimizer compiled as one module, and its data in memory.

It runs steps over rows picked from whole arrays and returns to Python at least every 100 ms, so that Ctrl-C and a
progress bar work. It knows nothing of epochs, files or the terminal.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from symgrad.calculus.simplify import simplify
from symgrad.codegen.kernel import check_indices
from symgrad.codegen.machine import Machine, default_threads, flat
from symgrad.codegen.program import dtype_of
from symgrad.codegen.stepping import assemble_training
from symgrad.errors import BindingError
from symgrad.expression import functions as f
from symgrad.expression import sizes
from symgrad.expression.binding import check_limits, limits
from symgrad.expression.node import Expr, leaves, topological
from symgrad.expression.ops import Scatter, Take
from symgrad.training.clipping import clipped
from symgrad.training.derived import forget

if TYPE_CHECKING:
    from symgrad.training.model import Model

SLICE = 0.05  # seconds of work between two returns to Python


class Plan:
    """What is compiled for a model: outputs, updates by the optimizer's formulas, and the leaves these need."""

    def __init__(self, model: Model, timed: bool = False) -> None:
        derived = model.gradients
        self.model = model
        self._taken = set(leaves([*derived.outputs.values(), *(new for _, new in derived.states)]))
        self.rate, self.count = f.variable(self._free("learning_rate")), f.variable(self._free("t"))
        self.states: dict[str, Expr] = {}  # state tensors by name
        updates = [*derived.states, *self._updates(derived.gradients)]
        precision = model.training.factors
        stepped = [self.rate, self.count]
        self.program = assemble_training(derived.outputs, updates, model.batch, stepped, precision, "train", timed)
        self.evaluation = None  # a program of its own where training and evaluation differ
        if derived.evaluated is not None:
            self.evaluation = assemble_training(derived.evaluated, [], model.batch, [], precision, "evaluate")

    def _free(self, name: str) -> str:
        """A name that no leaf of the model has."""
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name

    def _updates(self, gradients: Mapping[str, Expr]) -> list[tuple[Expr, Expr]]:
        """Every weight and state tensor with its new value, by the optimizer's formula."""
        training = self.model.training
        optimizer, gradients = training.optimizer, clipped(gradients, training.clip_value, training.clip_norm)
        updates: list[tuple[Expr, Expr]] = []
        numbers: list[tuple[Expr, Expr]] = []  # last, because the loop over a weight reads what a number was before
        for name, parameter in self.model.parameters.items():
            shapes = {s: () if s in optimizer.numbers else parameter.shape for s in optimizer.states}
            state = {s: f.variable(self._free(f"{name}_{s}"), shape) for s, shape in shapes.items()}
            weight, new = optimizer.update(parameter, gradients[name], self.rate, self.count, state)
            tensors = [(state[s], value) for s, value in new.items() if s not in optimizer.numbers]
            numbers += [(state[s], value) for s, value in new.items() if s in optimizer.numbers]
            updates += [*tensors, (parameter, weight)]
            self.states |= {leaf.name: leaf for leaf in state.values()}
        updates += numbers
        values = simplify([value for _, value in updates])
        return [(leaf, value) for (leaf, _), value in zip(updates, values, strict=True)]

    @property
    def title(self) -> str:
        return f"training of {self.model.name}"


class Steps:
    """The compiled steps of one model. `machine` holds the generated source."""

    def __init__(self, model: Model, timed: bool = False) -> None:
        self.model = model
        self.dtype = model.training.dtype
        self.threads = model.threads or default_threads()
        plan = Plan(model, timed)
        forget()
        self.rate, self.count, self.states = plan.rate, plan.count, plan.states
        self.machine = Machine(plan.program, plan.title)
        self.evaluation = self.machine
        if plan.evaluation is not None:
            self.evaluation = Machine(plan.evaluation, f"evaluation of {model.name}")
        self.scalars = list(plan.program.scalars)
        self.noise_key = 0  # what the noise of an epoch is drawn from
        schedule = plan.program.schedule
        computed = topological([*schedule.outputs.values(), *(value for _, value in schedule.updates)])
        self._picked = [n for n in computed if isinstance(n.op, Take | Scatter)]
        self._limits = limits(computed)
        self.spent: np.ndarray | None = None  # cycles by thread and stage, of a timed kernel
        if timed:
            self.spent = np.zeros((self.threads, len(plan.program.parts) + 1), np.int64)
        self._buffers: dict[int, tuple[int, dict[str, np.ndarray]]] = {}

    def prepare(self) -> None:
        """Have the optimizer's state tensors, zero at the start."""
        model = self.model
        for name, leaf in self.states.items():
            if name not in model.state:
                model.state[name] = np.zeros(leaf.shape, self.dtype)

    def tables(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray | int]:
        """The slots that stay the same over many steps: data, weights, state, constants.

        Raises BindingError for positions out of range and for weights or state that the kernel, which takes addresses,
        would run past the end of.
        """
        self.prepare()
        check_indices(self._picked, arrays, {self.model.batch: 1})
        values: dict[str, np.ndarray | int] = {}
        for machine in dict.fromkeys((self.machine, self.evaluation)):
            values |= self._table(machine, arrays)
        return values

    def _table(self, machine: Machine, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray | int]:
        values: dict[str, np.ndarray | int] = {}
        for slot, leaf in machine.assembled.inputs.items():
            name = leaf.name
            if name in arrays:
                values[slot] = flat(arrays[name], dtype_of(leaf, self.dtype))
            elif name in self.model.weights:
                values[slot] = self._in_place(leaf, self.model.weights[name])
            elif name in self.model.state:
                values[slot] = self._in_place(leaf, self.model.state[name])
        return values | machine.constants

    def _in_place(self, leaf: Expr, array: np.ndarray) -> np.ndarray:
        """A tensor that the kernel reads and overwrites where it lies. Raises BindingError unless it is as declared."""
        fits = isinstance(array, np.ndarray) and array.shape == leaf.shape and array.dtype == self.dtype
        if not fits or not array.flags.c_contiguous or not array.flags.writeable:
            found = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
            raise BindingError(
                f"{leaf.name} is trained as a contiguous {self.dtype} array of shape {leaf.shape}, but the model holds "
                f"{found}; change it in place (model.weights[{leaf.name!r}][...] = values), or train from the start"
            )
        return array.reshape(-1)

    def buffers(self, batch_size: int, machine: Machine | None = None) -> dict[str, np.ndarray]:
        """Temporary buffers of a machine, the training one by default, that hold batches of up to a size."""
        machine = machine or self.machine
        held, found = self._buffers.get(id(machine), (0, {}))
        if held < batch_size:
            found = machine.temporaries({self.model.batch: batch_size}, self.threads)
            self._buffers[id(machine)] = (batch_size, found)
        return found

    def run(
        self,
        tables: Mapping[str, Any],
        order: np.ndarray,
        batch_size: int,
        first: int,
        last: int,
        training: bool,
        rates: np.ndarray,
        counts: np.ndarray,
        kept: Mapping[str, np.ndarray],
    ) -> None:
        """Steps `first` to `last` over the rows in `order`; scalars and outputs of each land in `kept`."""
        machine = self.machine if training else self.evaluation
        slot = {leaf: name for name, leaf in machine.assembled.inputs.items()}
        values: dict[str, Any] = dict(tables) | self.buffers(batch_size, machine)
        values |= {
            "first_step": first,
            "last_step": last,
            "batch_size": batch_size,
            "total_rows": len(order),
            "training": int(training),
            "noise_key": self.noise_key,
        }
        values |= {"rows": order} | {f"kept_{name}": array for name, array in kept.items()}
        for leaf, array in ((self.rate, rates), (self.count, counts)):
            if leaf in slot:
                values[slot[leaf]] = array
        if self.spent is not None:
            values["spent"] = self.spent
        machine.run(values, self.threads)

    def sliced(
        self,
        tables: Mapping[str, Any],
        order: np.ndarray,
        batch_size: int,
        first: int,
        training: bool,
        rates: np.ndarray,
        counts: np.ndarray,
        kept: Mapping[str, np.ndarray],
    ) -> Iterator[tuple[int, int]]:
        """Run all steps from `first` on in slices of about 50 ms, giving (from, to) after each.

        Raises BindingError where the formulas want more rows than a batch, or the rest in the last one, has.
        """
        for rows in {min(batch_size, len(order)), len(order) % batch_size} - {0}:
            check_limits(self._limits, {self.model.batch: rows})
        total, width = -(-len(order) // batch_size), 1
        while first < total:
            last = min(total, first + width)
            started = time.perf_counter()
            self.run(tables, order, batch_size, first, last, training, rates, counts, kept)
            spent = time.perf_counter() - started
            yield first, last
            width = max(1, min(4 * width, int(width * SLICE / max(spent, 1e-6))))
            first = last

    def kept(self, rows: int, steps: int) -> dict[str, np.ndarray]:
        """Room for what the kernel keeps: each scalar for each step, the output for each row."""
        program = self.machine.assembled
        found: dict[str, np.ndarray] = {name: np.zeros(max(1, steps), np.float64) for name in program.scalars}
        for name in program.rows:
            node = program.schedule.outputs[name]
            width = int(np.prod([sizes.bind(s, {}) for s in node.shape[1:]], dtype=np.int64))
            found[name] = np.zeros((rows, width), self.dtype)
        return found

    def evaluate(self, arrays: Mapping[str, np.ndarray], batch_size: int) -> tuple[dict[str, float], np.ndarray]:
        """Loss and metrics over all rows, weighted by rows, and the output of each row."""
        first = next(iter(arrays.values()))
        rows = len(first)
        batch_size = min(batch_size, rows)
        steps = -(-rows // batch_size)
        kept = self.kept(rows, steps)
        nothing = np.zeros(max(1, steps), self.dtype)
        for _ in self.sliced(self.tables(arrays), np.arange(rows), batch_size, 0, False, nothing, nothing, kept):
            pass
        weights = np.minimum(batch_size, rows - np.arange(steps) * batch_size)
        return {n: float(kept[n] @ weights / rows) for n in self.scalars}, kept.get("output", np.zeros((rows, 0)))
