"""Expressions as scalar text: what the entry of a node at some index is, over buffers, with shared parts computed once.

`Lowering` knows the names and layouts of buffers and turns *light* nodes into assignments; the loops around them are
made by `stages`. Every read of a buffer is recorded, because ownership by threads is decided from them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from symgrad.codegen import looking, scalar_text
from symgrad.codegen.loops import Call, Let, Statement
from symgrad.codegen.names import Index, Names, position, product_text, size_name, size_text
from symgrad.codegen.schedule import Schedule
from symgrad.errors import CompileError
from symgrad.expression import ops, sizes
from symgrad.expression.node import Expr
from symgrad.expression.ops import Constant, Contraction, Elementwise, Leaf
from symgrad.expression.scalars import BOOLEAN, INTEGER, REAL
from symgrad.expression.sizes import Shape

WIDE = 64  # entries of a row from which on it is asked for ahead


class Scope:
    """Statements in the making and the values they have computed; an inner scope sees the outer ones' values."""

    def __init__(self, body: list[Statement], outer: Scope | None = None, index: str = "") -> None:
        self.body = body
        self.outer = outer
        self.index = index  # of the loop whose body this is
        self.rows: dict[str, str] = {}  # picked rows by index, looked up once
        self.known: dict[tuple[Expr, Index], str] = {}

    def find(self, key: tuple[Expr, Index]) -> str | None:
        scope: Scope | None = self
        while scope is not None:
            if key in scope.known:
                return scope.known[key]
            scope = scope.outer
        return None


@dataclass(frozen=True)
class Own:
    """Memory in which a thread has its part of a buffer to itself: the last axis from `first` on, `width` entries."""

    memory: str
    first: str
    width: str

    def within(self, index: str) -> str:
        """A place along the last axis, counted from where the thread's part begins."""
        return "0" if index == self.first else f"{index} - {self.first}"


class Lowering:
    """The entries of nodes as text, for one schedule."""

    def __init__(
        self,
        schedule: Schedule,
        gathered: frozenset[Expr] = frozenset(),
        stepped: frozenset[Expr] = frozenset(),
        drawn: tuple[Expr, ...] = (),
        precision: str = "",
    ) -> None:
        self.schedule = schedule
        self.precision = precision  # what factors of products are rounded to
        self.names = Names()
        self.gathered = gathered  # inputs whose rows are picked by `rows`
        self.stepped = stepped  # scalars that have another value each step
        self.drawn = drawn  # noise that the kernel draws itself
        self.buffers: dict[Expr, str] = {}
        self.own: dict[Expr, Own] = {}  # buffers of which each thread touches its own part only
        self.arrays: list[Expr] = []  # constants that are arrays, in order of use
        self.scratch: dict[Expr, Callable[[Index], str]] = {}  # where a fused product's entries lie
        self.reads: list[tuple[Expr, Index]] = []
        self.fetched: set[Expr] = set()  # leaves whose rows for the next step are asked for
        self.prologue: list[Statement] = []  # scalars of the stage under way, computed once before its loops
        self.scalars: dict[Expr, str] = {}
        self._wide = False  # scalars are computed in float64
        for name in sizes.names(s for n in (*schedule.inputs.values(), *schedule.stored) for s in n.shape):
            self.names.used.add(size_name(name))

    def buffer(self, node: Expr) -> str:
        """The name of the buffer that holds a node."""
        if node not in self.buffers:
            wish = node.op.name if isinstance(node.op, Leaf) else self.schedule.names.get(node, f"t{len(self.buffers)}")
            self.buffers[node] = self.names.fresh(wish)
        return self.buffers[node]

    def memory(self, node: Expr) -> str:
        """The name of the memory where stages find the entries of a buffer."""
        return self.own[node].memory if node in self.own else self.buffer(node)

    def room(self, node: Expr) -> Shape:
        """The shape of that memory."""
        return (*node.shape[:-1], self.own[node].width) if node in self.own else node.shape

    def entry(self, node: Expr, index: Index) -> str:
        """The place of an entry in that memory."""
        if node in self.own:
            index = (*index[:-1], self.own[node].within(index[-1]))
        return position(self.room(node), index)

    def loop_over(self, index: str, scope: Scope | None) -> Scope | None:
        """The body of the loop over an index around a scope, if there is one."""
        while scope is not None and scope.index != index:
            scope = scope.outer
        return scope

    def fetch(self, node: Expr, index: str, scope: Scope | None) -> None:
        """Where rows are read first, the row that the next step reads there is asked for: a core cannot guess where."""
        scope, known = self.loop_over(index, scope), [s for s in node.shape[1:] if isinstance(s, int)]
        width = math.prod(known)
        if scope is None or node in self.fetched or width < WIDE or len(known) < node.ndim - 1:
            return
        self.fetched.add(node)
        row = f"rows[min(first + {index} + batch_size, total_rows - 1)]"
        scope.body.insert(0, Call("fetch", (self.buffer(node), f"{row}*{width}", str(width))))

    def row(self, index: str, scope: Scope | None) -> str:
        """The row that a position of the batch stands for, looked up in the loop over positions, not further inside."""
        scope = self.loop_over(index, scope)
        if scope is None:
            return f"rows[first + {index}]"
        if index not in scope.rows:
            scope.rows[index] = self.names.fresh("row")
            scope.body.insert(0, Let(scope.rows[index], f"rows[first + {index}]"))
        return scope.rows[index]

    def load(self, node: Expr, index: Index, scope: Scope | None = None) -> str:
        """The entry of a buffer."""
        if node in self.drawn:
            return self.draw(node, index)
        self.reads.append((node, index))
        if node in self.stepped:
            return f"{self.buffer(node)}[step]"
        if node in self.gathered:
            self.fetch(node, index[0], scope)
            index = (self.row(index[0], scope), *index[1:])
        text = f"{self.memory(node)}[{self.entry(node, index)}]"
        return f"({text} != 0)" if node.kind == BOOLEAN else text  # stored as bytes

    def draw(self, node: Expr, index: Index) -> str:
        """Uniform noise: a function of the epoch's key, of which noise it is, and of step or row and place in it."""
        key = f"noise_key + {self.drawn.index(node)}"
        if node.shape and isinstance(node.shape[0], str):
            return f"uniform({key}, {position(node.shape, (f'first + {index[0]}', *index[1:]))})"
        count = product_text(["step", *map(size_text, node.shape)])
        return f"uniform({key}, {count} + {position(node.shape, index)})"

    def begin_stage(self) -> None:
        """Forget the scalars of the stage before."""
        self.prologue, self.scalars = [], {}

    def scalar(self, node: Expr) -> str:
        """The name of a real scalar, computed once in the prologue, in float64: a bias correction wants the bits."""
        if node not in self.scalars:
            outside, self._wide = self._wide, True
            known = node in self.schedule.stored or isinstance(node.op, Leaf)
            text = self.load(node, ()) if known else self._compute(node, (), Scope(self.prologue))
            self._wide = outside
            self.scalars[node] = self.names.fresh(self.schedule.names.get(node, "") or f"s{len(self.names.used)}")
            self.prologue.append(Let(self.scalars[node], f"float64({text.replace('real(', 'float64(')})"))
        return self.scalars[node]

    def computed_scalar(self, node: Expr) -> str:
        """The text of a real scalar that this stage is there to compute."""
        self._wide = True
        text = self.load(node, ()) if isinstance(node.op, Leaf) else self._compute(node, (), Scope(self.prologue))
        self._wide = False
        return f"float64({text.replace('real(', 'float64(')})"

    def value(self, node: Expr, index: Index, scope: Scope) -> str:
        """An atom that holds the entry of a node, computed in `scope` if it is not known there yet."""
        if not node.shape and node.kind == REAL and not isinstance(node.op, Constant) and node not in self.scratch:
            return self.scalar(node) if self._wide else f"real({self.scalar(node)})"
        key = (node, index)
        known = scope.find(key)
        if known is not None:
            return known
        if node in self.scratch:
            text = self.scratch[node](index)
        elif node in self.schedule.stored or isinstance(node.op, Leaf):
            text = self.load(node, index, scope)
        else:
            text = self._compute(node, index, scope)
        if not re.fullmatch(r"[\w.]+|real\([^()]*\)", text):
            name = self.names.fresh(self.schedule.names.get(node, "") or f"t{len(self.names.used)}")
            scope.body.append(Let(name, text.replace("real(", "float64(") if self._wide else text))
            text = name
        scope.known[key] = text
        return text

    def _compute(self, node: Expr, index: Index, scope: Scope) -> str:
        handler = _HANDLERS.get(type(node.op))
        if handler is None:
            raise CompileError(f"a kernel cannot compute {type(node.op).__name__} ({node.label}) yet; sg.evaluate can")
        return handler(self, node, index, scope)

    def elementwise(self, node: Expr, index: Index, scope: Scope) -> str:
        assert isinstance(node.op, Elementwise)
        found = over_root(node)
        if found is not None and not self._wide and node.args[1] not in self.schedule.stored:
            parts = [self.value(a, aligned(a, index), scope) for a in found]
            return f"over_root({', '.join(as_kind(t, a, REAL) for t, a in zip(parts, found, strict=True))})"
        function, texts = node.op.function, []
        row_kinds = [a.kind for a in node.args]
        wanted = node.kind if node.kind != BOOLEAN else max(row_kinds, key=ops.RANK.__getitem__)
        for i, argument in enumerate(node.args):
            text = self.value(argument, aligned(argument, index), scope)
            condition = function == "where" and i == 0
            texts.append(text if condition else as_kind(text, argument, wanted))
        return scalar_text.apply(function, wanted, texts, node.args[1] if function == "power" else None)

    def contraction(self, node: Expr, index: Index, scope: Scope) -> str:
        op = node.op
        assert isinstance(op, Contraction)
        at = dict(zip(op.output, index, strict=True))
        factors = [as_kind(self.value(a, tuple(at[i] for i in indices), scope), a, node.kind)
                   for indices, a in zip(op.inputs, node.args, strict=True)]  # fmt: skip
        return "(" + " * ".join(factors) + ")" if len(factors) > 1 else factors[0]

    def take(self, node: Expr, index: Index, scope: Scope) -> str:
        op = node.op
        assert isinstance(op, ops.Take)
        table, indices = node.args
        end = op.axis + indices.ndim
        place = self.value(indices, index[op.axis : end], scope)
        return self.value(table, (*index[: op.axis], place, *index[end:]), scope)

    def one_hot(self, node: Expr, index: Index, scope: Scope) -> str:
        label = self.value(node.args[0], index[:-1], scope)
        return f"(real(1) if {label} == {index[-1]} else real(0))"

    def constant(self, node: Expr, index: Index, scope: Scope) -> str:
        assert isinstance(node.op, Constant)
        if not node.op.shape:
            return scalar_text.number(node)
        if node not in self.arrays:
            self.arrays.append(node)
            self.buffers[node] = self.names.fresh(f"constant{len(self.arrays)}")
        return self.load(node, index)

    def cast(self, node: Expr, index: Index, scope: Scope) -> str:
        source = node.args[0]
        return scalar_text.convert(self.value(source, index, scope), source.kind, node.kind)


def over_root(node: Expr) -> tuple[Expr, Expr, Expr] | None:
    """(x, v, ε) of x / (√v + ε), which has a form of its own; None for anything else."""
    if not isinstance(node.op, Elementwise) or node.op.function != "divide":
        return None
    above, below = node.args
    if not isinstance(below.op, Elementwise) or below.op.function != "add" or len(below.args) != 2:
        return None
    root, small = sorted(below.args, key=lambda a: bool(not a.shape))
    fits = isinstance(root.op, Elementwise) and root.op.function == "sqrt" and not small.shape
    return (above, root.args[0], small) if fits and root.shape and small.kind == REAL else None


def as_kind(text: str, node: Expr, want: str) -> str:
    """Text of a node's entry as another kind; integers compute with 64 bits, however an input stores them."""
    if node.kind == want == INTEGER and not isinstance(node.op, Constant | Elementwise):
        return f"int64({text})"
    return scalar_text.convert(text, node.kind, want)


def aligned(node: Expr, index: Index) -> Index:
    """The index of a broadcast argument: trailing axes, 0 along axes of size 1."""
    tail = index[len(index) - node.ndim :]
    return tuple("0" if isinstance(s, int) and s == 1 else i for s, i in zip(node.shape, tail, strict=True))


def _extent(lowering: Lowering, node: Expr, index: Index, scope: Scope) -> str:
    assert isinstance(node.op, ops.Extent)
    return f"real({size_text(node.op.size)})"


def _identity(lowering: Lowering, node: Expr, index: Index, scope: Scope) -> str:
    return f"(real(1) if {index[0]} == {index[1]} else real(0))"


_HANDLERS: dict[type[ops.Op], Callable[[Lowering, Expr, Index, Scope], str]] = {
    Elementwise: Lowering.elementwise,
    Contraction: Lowering.contraction,
    Constant: Lowering.constant,
    **looking.HANDLERS,
    ops.Take: Lowering.take,
    ops.OneHot: Lowering.one_hot,
    ops.Cast: Lowering.cast,
    ops.Extent: _extent,
    ops.Identity: _identity,
}
