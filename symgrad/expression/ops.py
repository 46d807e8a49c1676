"""The closed set of operations: a small frozen dataclass each, with its own parameters and its shape rule.

`infer(args)` gives shape and kind of the result and raises ShapeError in the user's names. What an op means in NumPy,
in calculus, on paper and in a kernel stands in the tables of `evaluate`, `calculus`, `formula` and `codegen`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from symgrad.errors import ExpressionError, ShapeError
from symgrad.expression import sizes
from symgrad.expression.op import RANK as RANK
from symgrad.expression.op import Leaf as Leaf
from symgrad.expression.op import Op as Op
from symgrad.expression.op import Result, reduced
from symgrad.expression.op import broadcast as broadcast
from symgrad.expression.op import disagreement as disagreement
from symgrad.expression.op import one_size as one_size
from symgrad.expression.ops_algebra import Cholesky as Cholesky
from symgrad.expression.ops_algebra import Determinant as Determinant
from symgrad.expression.ops_algebra import Identity as Identity
from symgrad.expression.ops_algebra import Inverse as Inverse
from symgrad.expression.ops_algebra import LogDet as LogDet
from symgrad.expression.ops_algebra import Solve as Solve
from symgrad.expression.ops_movement import Concatenate as Concatenate
from symgrad.expression.ops_movement import OneHot as OneHot
from symgrad.expression.ops_movement import Overlap as Overlap
from symgrad.expression.ops_movement import Pad as Pad
from symgrad.expression.ops_movement import Range as Range
from symgrad.expression.ops_movement import Reshape as Reshape
from symgrad.expression.ops_movement import Scatter as Scatter
from symgrad.expression.ops_movement import Slice as Slice
from symgrad.expression.ops_movement import Take as Take
from symgrad.expression.ops_movement import Windows as Windows
from symgrad.expression.ops_movement import span as span
from symgrad.expression.ops_training import Assign as Assign
from symgrad.expression.ops_training import Mode as Mode
from symgrad.expression.ops_training import Noise as Noise
from symgrad.expression.ops_training import State as State
from symgrad.expression.scalars import BOOLEAN, INTEGER, LOGIC, PROMOTE, REAL, TABLE
from symgrad.expression.sizes import Size

if TYPE_CHECKING:
    from symgrad.expression.node import Expr


@dataclass(frozen=True)
class Variable(Leaf):
    """An input: `dtype` is how integers are stored; `classes` bounds labels; `normalized` says that rows sum to one."""

    kind: str = REAL
    dtype: str = ""
    classes: int = 0
    normalized: bool = False

    def infer(self, args: Sequence[Expr]) -> Result:
        return self.shape, self.kind


@dataclass(frozen=True)
class Parameter(Leaf):
    """A trained tensor; `initializer` names how it starts."""

    initializer: str = ""

    def infer(self, args: Sequence[Expr]) -> Result:
        return self.shape, REAL


@dataclass(frozen=True)
class Constant(Op):
    """A number or an array of them; the key holds type, shape and bits, so 1, 1.0, 0.0 and -0.0 stay four constants."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes

    @property
    def array(self) -> np.ndarray:
        return np.frombuffer(self.data, self.dtype).reshape(self.shape)

    @property
    def value(self) -> Any:
        assert not self.shape
        return self.array.item()

    def infer(self, args: Sequence[Expr]) -> Result:
        return self.shape, {"b": BOOLEAN, "i": INTEGER, "u": INTEGER, "f": REAL}[np.dtype(self.dtype).kind]


@dataclass(frozen=True)
class Extent(Op):
    """The number of entries along a named axis, as a real scalar: the N of a mean."""

    size: Size

    def infer(self, args: Sequence[Expr]) -> Result:
        return (), REAL


@dataclass(frozen=True)
class Elementwise(Op):
    """One scalar function of the table applied to broadcast arguments."""

    function: str

    def infer(self, args: Sequence[Expr]) -> Result:
        row = TABLE[self.function]
        good = len(args) == row.arity if row.arity >= 0 else len(args) >= -row.arity
        if not good:
            raise ExpressionError(f"{self.function} takes {abs(row.arity)} arguments, not {len(args)}")
        conditions = args if self.function in LOGIC else args[:1] if self.function == "where" else ()
        for arg in conditions:
            if arg.kind != BOOLEAN:
                raise ExpressionError(
                    f"{self.function} wants a condition, but {arg.label} is {arg.kind}: write {arg.label} != 0"
                )
        values = args[1:] if self.function == "where" else args
        kind = max((a.kind for a in values), key=RANK.__getitem__) if row.kind == PROMOTE else row.kind
        if row.kind == PROMOTE and kind == BOOLEAN and self.function != "where":
            kind = INTEGER  # true + true is 2
        return broadcast(args, self.function), kind


@dataclass(frozen=True)
class Contraction(Op):
    """Einstein summation over numbered indices: `inputs[i]` are the indices of argument i, `output` of the result.

    An index that the output lacks is summed; one that only the output has repeats the result (`new` gives its size:
    the adjoint of a sum). Products, transposes, sums, diagonals and outer products are all this one operation
    (Laue, Mitterreiter, Giesen 2018). Indices are numbered as they first come, so that equal contractions are equal.
    """

    inputs: tuple[tuple[int, ...], ...]
    output: tuple[int, ...]
    new: tuple[tuple[int, Size], ...] = ()

    def __post_init__(self) -> None:
        order = dict.fromkeys(i for indices in (*self.inputs, self.output) for i in indices)
        number = {index: n for n, index in enumerate(order)}
        object.__setattr__(self, "inputs", tuple(tuple(number[i] for i in indices) for indices in self.inputs))
        object.__setattr__(self, "output", tuple(number[i] for i in self.output))
        object.__setattr__(self, "new", tuple(sorted(((number[i], s) for i, s in self.new), key=lambda pair: pair[0])))

    def infer(self, args: Sequence[Expr]) -> Result:
        assert len(args) == len(self.inputs), (self, args)
        extent: dict[int, Size] = dict(self.new)
        owner: dict[int, Expr] = {}
        for indices, arg in zip(self.inputs, args, strict=True):
            assert len(indices) == len(arg.shape), (self, arg)
            for index, size in zip(indices, arg.shape, strict=True):
                if index in extent and not sizes.same(extent[index], size):
                    reason = f"the inner sizes differ: {extent[index]} and {size}{one_size(extent[index], size)}"
                    raise ShapeError(disagreement("multiply", owner.get(index, arg), arg, reason))
                extent.setdefault(index, size)
                owner.setdefault(index, arg)
        if len(args) == 1 and set(self.inputs[0]) <= set(self.output):
            return tuple(extent[i] for i in self.output), args[0].kind  # only moved
        kind = INTEGER if args and all(a.kind != REAL for a in args) else REAL
        return tuple(extent[i] for i in self.output), kind

    def sizes_of(self, args: Sequence[Expr]) -> dict[int, Size]:
        """The size of every index."""
        found: dict[int, Size] = dict(self.new)
        for indices, arg in zip(self.inputs, args, strict=True):
            found.update(zip(indices, arg.shape, strict=True))
        return found


@dataclass(frozen=True)
class Reduce(Op):
    """The largest ("max") or smallest ("min") entry along axes, ties share the adjoint equally; or the "product"."""

    function: str
    axes: tuple[int, ...]
    keep: bool = False

    def infer(self, args: Sequence[Expr]) -> Result:
        return reduced(args[0].shape, self.axes, self.keep), args[0].kind


@dataclass(frozen=True)
class LogSumExp(Op):
    """log of the sum of exp along axes, shifted by the largest entry: stable by construction."""

    axes: tuple[int, ...]
    keep: bool = False

    def infer(self, args: Sequence[Expr]) -> Result:
        return reduced(args[0].shape, self.axes, self.keep), REAL


@dataclass(frozen=True)
class Softmax(Op):
    """exp(x) / sum(exp(x)) along axes, shifted by the largest entry: stable by construction."""

    axes: tuple[int, ...]

    def infer(self, args: Sequence[Expr]) -> Result:
        return args[0].shape, REAL


@dataclass(frozen=True)
class ArgMax(Op):
    """The position of the largest entry along one axis; the first of equals."""

    axis: int

    def infer(self, args: Sequence[Expr]) -> Result:
        return reduced(args[0].shape, (self.axis,), False), INTEGER


@dataclass(frozen=True)
class Cast(Op):
    """Another kind of number: real, integer (towards zero) or boolean (not zero)."""

    kind: str

    def infer(self, args: Sequence[Expr]) -> Result:
        return args[0].shape, self.kind


@dataclass(frozen=True)
class Named(Op):
    """A person calls this node by a name: formulas stop here, calculus and kernels pass through."""

    name: str
    adjoint: bool = False  # named by the gradient: formulas may fold it into the one place that uses it

    def infer(self, args: Sequence[Expr]) -> Result:
        return args[0].shape, args[0].kind


OPS: tuple[type[Op], ...] = (
    Variable, Parameter, State, Noise, Constant, Extent, Range, Elementwise, Contraction, Reduce, LogSumExp, Softmax,
    ArgMax, Reshape, Slice, Pad, Concatenate, Windows, Overlap, Cast, Take, Scatter, OneHot, Identity, Inverse, Solve,
    Determinant, LogDet, Cholesky, Named, Mode, Assign,
)  # fmt: skip
