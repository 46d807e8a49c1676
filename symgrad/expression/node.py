"""The node of an expression: immutable, interned, equality is identity; and the operators that build it.

Construction builds what the user wrote, one node an operation; shape and kind are worked out once, here. Walks are
iterative: a deep network is a deep graph. Knows the ops and the scalar table, not what is done with them.
"""

from __future__ import annotations

import itertools
import keyword
import operator
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from symgrad.errors import ExpressionError, ShapeError
from symgrad.expression import ops, sizes
from symgrad.expression.ops import Constant, Contraction, Elementwise, Leaf, Named, Op
from symgrad.expression.sizes import Shape

INFIX = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "power": "**", "less": "<", "less_equal": "<=",
         "greater": ">", "greater_equal": ">=", "equal": "==", "not_equal": "!="}  # fmt: skip

_nodes: weakref.WeakValueDictionary[tuple[Op, tuple[int, ...]], Expr] = weakref.WeakValueDictionary()
_serials = itertools.count()
_lock = threading.Lock()


class Expr:
    """A node: what is done (`op`) to what (`args`). Made by `make`, never directly.

    Attributes: `shape` (sizes are ints, names or arithmetic on names), `kind` ("real", "integer" or "boolean"), and
    for leaves and named nodes `name`.
    """

    __slots__ = ("__weakref__", "args", "kind", "op", "serial", "shape")
    __array_ufunc__ = None  # np.float32(2) * x reaches __rmul__

    op: Op
    args: tuple[Expr, ...]
    shape: Shape
    kind: str
    serial: int

    @property
    def name(self) -> str:
        """The name of a leaf or a named node."""
        if isinstance(self.op, Leaf | Named):
            return self.op.name
        raise AttributeError(f"{self.label} has no name; give it one: .named('h')")

    @property
    def label(self) -> str:
        """A short text for messages: the name, or the operation around names."""
        return _label(self, 3)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def named(self, name: str) -> Expr:
        """The same value under a name, at which formulas stop."""
        check_name(name)
        return make(Named(name), self)

    @property
    def T(self) -> Expr:
        """The transpose: the axes in reverse order."""
        axes = tuple(range(self.ndim))
        return make(Contraction((axes,), axes[::-1]), self)

    def __add__(self, other: object) -> Expr:
        return binary("add", self, other)

    def __radd__(self, other: object) -> Expr:
        return binary("add", other, self)

    def __sub__(self, other: object) -> Expr:
        return binary("subtract", self, other)

    def __rsub__(self, other: object) -> Expr:
        return binary("subtract", other, self)

    def __mul__(self, other: object) -> Expr:
        return binary("multiply", self, other)

    def __rmul__(self, other: object) -> Expr:
        return binary("multiply", other, self)

    def __truediv__(self, other: object) -> Expr:
        return binary("divide", self, other)

    def __rtruediv__(self, other: object) -> Expr:
        return binary("divide", other, self)

    def __pow__(self, other: object) -> Expr:
        return binary("power", self, other)

    def __rpow__(self, other: object) -> Expr:
        return binary("power", other, self)

    def __matmul__(self, other: object) -> Expr:
        return matmul(self, other)

    def __rmatmul__(self, other: object) -> Expr:
        return matmul(other, self)

    def __neg__(self) -> Expr:
        return make(Elementwise("negative"), self)

    def __pos__(self) -> Expr:
        return self

    def __abs__(self) -> Expr:
        return make(Elementwise("abs"), self)

    def __lt__(self, other: object) -> Expr:
        return binary("less", self, other)

    def __le__(self, other: object) -> Expr:
        return binary("less_equal", self, other)

    def __gt__(self, other: object) -> Expr:
        return binary("greater", self, other)

    def __ge__(self, other: object) -> Expr:
        return binary("greater_equal", self, other)

    def __bool__(self) -> NoReturn:
        raise ExpressionError(
            f"{self.label} is a formula, it has no truth value; choose between values with sg.where(condition, a, b)"
        )

    def __iter__(self) -> NoReturn:
        raise ExpressionError(f"{self.label} is a formula, it cannot be looped over; use sums, products or sg.einsum")

    def __len__(self) -> NoReturn:
        raise ExpressionError(f"{self.label} is a formula without a len(); its shape is {sizes.text(self.shape)}")

    def __getitem__(self, places: object) -> Expr:
        from symgrad.expression.movement import index  # stands above this module

        return index(self, places)

    def __setattr__(self, attribute: str, value: object) -> NoReturn:
        raise AttributeError("an expression never changes; build a new one")

    def __copy__(self) -> Expr:
        return self

    def __deepcopy__(self, memo: object) -> Expr:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("expressions are not pickled; write them as data with sg.expression_to_json")

    def __repr__(self) -> str:
        return f"<{type(self.op).__name__} {self.label} {sizes.text(self.shape)} {self.kind}>"

    def __str__(self) -> str:
        from symgrad.formulas import formula  # the printer stands above this module; only a person's print needs it

        return formula(self)

    def _repr_latex_(self) -> str:
        from symgrad.formulas import formula

        return f"$\\displaystyle {formula(self, format='latex')}$"

    def _repr_html_(self) -> str:
        from symgrad.formulas import formula

        return formula(self, format="html")

    def _sympy_(self) -> Any:
        from symgrad.expression.componentwise import to_sympy  # imports SymPy, which only its users pay for

        return to_sympy(self)


def make(op: Op, *args: Expr) -> Expr:
    """The one node that does `op` to `args`; raises ShapeError or ExpressionError when the shapes do not fit."""
    key = (op, tuple(id(a) for a in args))
    node = _nodes.get(key)
    if node is not None:
        return node
    shape, kind = op.infer(args)
    with _lock:
        found = _nodes.get(key)
        if found is not None:
            return found
        node = object.__new__(Expr)
        for slot, value in (("op", op), ("args", args), ("shape", shape), ("kind", kind), ("serial", next(_serials))):
            object.__setattr__(node, slot, value)
        _nodes[key] = node
    return node


def constant(value: Any) -> Expr:
    """A number, or an array of numbers, as an expression; type, bits and sign of zero are kept."""
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise ExpressionError(f"a number, an array of numbers or an expression is wanted, not {type(value).__name__}")
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return make(Constant(little.dtype.str, array.shape, little.tobytes()))


def as_expr(value: object) -> Expr:
    """An expression as it is; a number or an array as a constant."""
    return value if isinstance(value, Expr) else constant(value)


def binary(function: str, a: object, b: object) -> Expr:
    """`function` of two values, each an expression, a number or an array."""
    return make(Elementwise(function), as_expr(a), as_expr(b))


def matmul(a: object, b: object) -> Expr:
    """NumPy's @: rows by columns over the last two axes, leading axes are a batch (equal, not broadcast)."""
    left, right = as_expr(a), as_expr(b)
    if not left.shape or not right.shape:
        number, other = (left, right) if not left.shape else (right, left)
        raise ShapeError(
            f"cannot multiply  {left.label} @ {right.label}: {number.label} is a number; write "
            f"{number.label} * {other.label}"
        )
    inner, batch = 0, tuple(range(3, 1 + max(left.ndim, right.ndim)))
    i = batch[len(batch) - max(left.ndim - 2, 0) :] + ((1,) if left.ndim > 1 else ()) + (inner,)
    k = batch[len(batch) - max(right.ndim - 2, 0) :] + (inner,) + ((2,) if right.ndim > 1 else ())
    output = batch + tuple(n for n in (1, 2) if n in i + k)
    return make(Contraction((i, k), output), left, right)


def check_name(name: str) -> None:
    """Names are identifiers, so that a formula in NumPy notation runs and nothing needs quoting."""
    if (
        not isinstance(name, str)
        or not name.isidentifier()
        or keyword.iskeyword(name)
        or name.startswith("__")
        or len(name) > 64
    ):
        raise ExpressionError(
            f"{name!r} is not a name: use letters, digits and underscores, beginning with a letter, "
            f"and no word of Python's own"
        )


def _label(node: Expr, depth: int) -> str:
    op = node.op
    if isinstance(op, Leaf | Named):
        return op.name
    if isinstance(op, Constant):
        return repr(op.value) if not op.shape else f"constant {sizes.text(op.shape)}"
    if depth == 0:
        return "…"
    parts = [_label(a, depth - 1) for a in node.args]
    if isinstance(op, Elementwise) and op.function in INFIX:
        return "(" + f" {INFIX[op.function]} ".join(parts) + ")"
    if isinstance(op, Contraction):
        return " @ ".join(parts) if len(parts) > 1 else f"{parts[0]}.T" if len(op.output) == 2 else f"sum({parts[0]})"
    name = op.function if isinstance(op, Elementwise | ops.Reduce) else type(op).__name__.lower()
    return f"{name}({', '.join(parts)})"


def topological(
    roots: Iterable[Expr],
    stop: Callable[[Expr], bool] | None = None,
    below: Callable[[Expr], Sequence[Expr]] = operator.attrgetter("args"),
) -> list[Expr]:
    """Every node below the roots once, what is `below` it first; nothing under a node for which `stop` holds."""
    order: list[Expr] = []
    seen: set[Expr] = set()
    stack: list[tuple[Expr, bool]] = [(root, False) for root in reversed(list(roots))]
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            if stop is None or not stop(node):
                stack.extend((a, False) for a in reversed(below(node)))
    return order


def leaves(roots: Iterable[Expr]) -> dict[str, Expr]:
    """The leaves below some roots by name, in order of use; two different leaves of one name are an error."""
    found: dict[str, Expr] = {}
    for node in topological(roots):
        if isinstance(node.op, Leaf):
            other = found.setdefault(node.op.name, node)
            if other is not node:
                assert isinstance(other.op, Leaf)
                raise ExpressionError(
                    f"two different leaves are called {node.op.name}: one declared at {other.op.place}, one at "
                    f"{node.op.place}; nothing shares weights silently: rename one, or use the same object twice"
                )
    return found


def rebuild(roots: Sequence[Expr], change: Callable[[Expr], Expr] | Mapping[Expr, Expr]) -> list[Expr]:
    """The roots with every node replaced by `change(node)`, bottom-up, each once."""
    swap = (lambda node: change.get(node, node)) if isinstance(change, Mapping) else change
    done: dict[Expr, Expr] = {}
    for node in topological(roots):
        args = tuple(done[a] for a in node.args)
        done[node] = swap(node if args == node.args else make(node.op, *args))
    return [done[root] for root in roots]


def cut(root: Expr, known: Mapping[Expr, Expr]) -> Expr:
    """The root with some nodes replaced; what stands below those is not looked at."""
    done = dict(known)
    for node in topological([root], stop=known.__contains__):
        if node not in done:
            args = tuple(done[a] for a in node.args)
            done[node] = node if args == node.args else make(node.op, *args)
    return done[root]


def users(order: Sequence[Expr]) -> dict[Expr, list[Expr]]:
    """Who uses each node, in order."""
    found: dict[Expr, list[Expr]] = {node: [] for node in order}
    for node in order:
        for argument in dict.fromkeys(node.args):
            if argument in found:
                found[argument].append(node)
    return found
