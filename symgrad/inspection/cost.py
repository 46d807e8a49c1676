"""What expressions cost: operations, bytes moved and memory, as formulas in the named sizes and as numbers.

Takes expressions, counts by the one rule of `expression.counting`. Must not know what a kernel fuses: it moves fewer
bytes than a cost says, never more products.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from symgrad.codegen.program import dtype_of
from symgrad.expression import sizes
from symgrad.expression.counting import flops, operations
from symgrad.expression.node import Expr, topological
from symgrad.expression.ops import Contraction, Extent, Identity, Leaf
from symgrad.expression.sizes import Shape, Size
from symgrad.inspection.polynomials import polynomial, products, scaled

if TYPE_CHECKING:
    from symgrad.training.model import Model

CONVENTIONS = (
    "An operation of a matrix product counts 2 for each term, a sum or a reduction 1 for each entry that it reads, "
    "a scalar function 1 for each entry of its result; names, transposes, reshapes and repeats are free. "
    "Every operation that is not free reads each of its operands once and writes its result once, as if it stood "
    "alone: a compiled kernel fuses operations and moves less. Memory holds every input, parameter and result once. "
    "An entry takes {width} bytes ({dtype}), an integer as it is stored or 8, a condition 1, a computed number 8."
)


@dataclass(frozen=True)
class Cost:
    """Operations, bytes moved and bytes held: ints, or SymPy polynomials in the names of sizes.

    `products` holds the index space of each sum of products among the operations, for reading.
    """

    flops: Any
    bytes: Any
    memory: Any
    products: tuple[Shape, ...] = ()

    def at(self, values: Mapping[str, int]) -> Cost:
        """The numbers for some values of the names.

        >>> from symgrad.expression.functions import parameter, variable
        >>> cost(variable("x", ("N", 3)) @ parameter("w", (3,))).at({"N": 10}).flops
        60
        """
        flops, moved, held = (sizes.bind(total, values) for total in (self.flops, self.bytes, self.memory))
        return Cost(flops, moved, held)

    @property
    def names(self) -> list[str]:
        """The named sizes on which the cost depends, sorted."""
        return sizes.names([self.flops, self.bytes, self.memory])

    @property
    def flops_text(self) -> str:
        """The operations as a formula that shows the sizes of the matrix products."""
        shown = products(self.products)
        rest = sizes.plus([self.flops, *(sizes.times((-2, *space)) for space in self.products)])
        return " + ".join([*shown, *([polynomial(rest)] if rest != 0 or not shown else [])])

    def rows(self, values: Mapping[str, int]) -> list[tuple[str, str, str]]:
        """What is counted, its formula, and its number for some values of the names ("" where those do not suffice)."""
        bound = self.at(values) if set(self.names) <= set(values) else None
        formulas = (self.flops_text, polynomial(self.bytes), polynomial(self.memory))
        numbers = ("", "", "") if bound is None else (
            scaled(bound.flops, "FLOP"), scaled(bound.bytes, "B"), scaled(bound.memory, "B"))  # fmt: skip
        return list(zip(("operations", "bytes moved", "memory"), formulas, numbers, strict=True))

    def __str__(self) -> str:
        return (
            f"{self.flops_text} operations, {polynomial(self.bytes)} bytes moved, "
            f"{polynomial(self.memory)} bytes of memory"
        )


def cost(expressions: Expr | Sequence[Expr], given: Iterable[Expr] = (), dtype: str = "float32") -> Cost:
    """What it costs to compute some expressions together, each node once.

    `given` are expressions that are computed already, with everything below them: the cost of gradients, given the
    loss, is that of the backward pass. The counts are ints, or SymPy expressions where sizes are names. A product
    takes 2 operations a term, a scalar function 1 an entry; every operation reads its operands and writes its result;
    memory holds everything once.

    >>> from symgrad.expression.functions import parameter, relu, variable
    >>> found = cost(relu(variable("x", ("N", 784)) @ parameter("W", (784, 512))))
    >>> found.flops
    803328*N
    >>> print(found)
    2 N·784·512 + 512 N operations, 9,280 N + 1,605,632 bytes moved, 7,232 N + 1,605,632 bytes of memory
    """
    roots = [expressions] if isinstance(expressions, Expr) else list(expressions)
    known = set(topological(given))
    nodes = [node for node in topological(roots) if node not in known]
    working = [node for node in nodes if operations(node)[0]]
    moved = [_held(tensor, dtype) for node in working for tensor in (node, *dict.fromkeys(map(_stored, node.args)))]
    held = [_held(node, dtype) for node in nodes if not node.args or operations(node)[0]]
    spaces = [operations(node)[1] for node in working if isinstance(node.op, Contraction) and operations(node)[0] == 2]
    return Cost(sizes.plus(map(flops, working)), sizes.plus(moved), sizes.plus(held), tuple(spaces))


def _stored(node: Expr) -> Expr:
    """The tensor that an operation reads: below names, reshapes, transposes and repeats, which only look at it."""
    while node.args and not operations(node)[0]:
        node = node.args[0]
    return node


def _held(node: Expr, dtype: str) -> Size:
    """The bytes of a tensor; sizes, identities and constant numbers stand in the code."""
    if isinstance(node.op, Extent | Identity) or not (node.args or node.shape or isinstance(node.op, Leaf)):
        return 0
    return sizes.times((np.dtype(dtype_of(node, dtype)).itemsize, *node.shape))


def model_costs(model: Model) -> dict[str, dict[str, Cost]]:
    """Forward and backward pass of a model's loss and gradients, as written and after simplification.

    `{"as written": {"forward": Cost, "backward": Cost}, "simplified": {...}}`. Raises GradientError.
    """
    derived, dtype = model.gradients, model.training.dtype
    passes = {
        "as written": (model.training_loss, derived.derivation.gradients),
        "simplified": (derived.loss, tuple(derived.gradients.values())),
    }
    return {
        name: {"forward": cost(loss, (), dtype), "backward": cost(gradients, [loss], dtype)}
        for name, (loss, gradients) in passes.items()
    }


def model_sizes(model: Model, costs: Mapping[str, Mapping[str, Cost]], batch: int | None = None) -> dict[str, int]:
    """The value of the batch's name at which numbers are given: `batch`, or the size that the model trains with.

    Raises ModelError when the costs depend on names but inputs and targets share no batch axis.
    """
    named = any(found.names for passes in costs.values() for found in passes.values())
    return {model.batch: batch or model.training.batch_size} if named else {}


def conventions(dtype: str) -> str:
    """How operations, bytes and memory are counted, in sentences."""
    return CONVENTIONS.format(width=np.dtype(dtype).itemsize, dtype=dtype)
