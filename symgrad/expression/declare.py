"""Declarations: inputs, labels and parameters, each with its shape and the place in the user's code that made it."""

from __future__ import annotations

import itertools
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from symgrad.errors import ExpressionError, ShapeError
from symgrad.expression import sizes
from symgrad.expression.node import Expr, check_name, make
from symgrad.expression.ops import Noise, Parameter, State, Variable
from symgrad.expression.scalars import INTEGER, REAL
from symgrad.expression.sizes import Shape, Size

GIVEN = 256  # starting values that may be written in an expression
_serials = itertools.count()
_PACKAGE = str(Path(__file__).parent.parent)
_MODELS = (str(Path(_PACKAGE) / "models"), str(Path(_PACKAGE).parent / "models"))


def _place() -> str:
    """File and line of the user's code that is declaring something."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        name = frame.f_code.co_filename
        if not name.startswith(_PACKAGE) or name.startswith(_MODELS):
            break
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


def _shape(shape: object, name: str) -> Shape:
    if isinstance(shape, int | str) or not isinstance(shape, Sequence):
        raise ShapeError(f"the shape of {name} is a tuple of sizes such as ('N', 784) or (512,), not {shape!r}")
    for size in shape:
        if not sizes.is_size(size):
            raise ShapeError(f"the shape of {name} holds {size!r}; a size is a number from 0 on or a name such as 'N'")
    return tuple(shape)


def variable(name: str, shape: Sequence[Size] = (), dtype: str = "", normalized: bool = False) -> Expr:
    """An input. `dtype` ("uint8", "int64", "bool") makes it integer or boolean and says how it is stored.

    `normalized=True` states that entries along the last axis sum to one (one-hot targets, probabilities), which lets
    a cross-entropy's gradient take its textbook form. Raises ShapeError, ExpressionError.

    >>> variable("x", ("N", 784)).shape
    ('N', 784)
    """
    check_name(name)
    kinds = {"": REAL, "f": REAL, "i": INTEGER, "u": INTEGER, "b": "boolean"}
    kind = kinds.get(np.dtype(dtype).kind if dtype else "")
    if kind is None:
        raise ExpressionError(
            f"{name} cannot be stored as {dtype}: use uint8, int32, int64, bool, or leave it out for real numbers"
        )
    stored = "" if kind == REAL else np.dtype(dtype).name
    return make(Variable(name, _shape(shape, name), next(_serials), _place(), kind, stored, 0, normalized))


def labels(name: str, shape: Sequence[Size], classes: int) -> Expr:
    """Integer class labels from 0 to classes - 1; one-hot targets are a plain variable instead."""
    check_name(name)
    if not isinstance(classes, int) or classes < 1:
        raise ExpressionError(f"labels {name} need the number of classes, at least 1, not {classes!r}")
    return make(Variable(name, _shape(shape, name), next(_serials), _place(), INTEGER, "int64", classes))


def _numbers(name: str, shape: Sequence[Size], init: object) -> str:
    """Given starting values as text, for the expression is data."""
    try:
        array = np.asarray(init, np.float64)
    except (TypeError, ValueError):
        raise ExpressionError(f"the starting values of {name} are not an array of numbers: {init!r}") from None
    if array.shape != tuple(shape):
        raise ShapeError(f"{name} has shape {sizes.text(tuple(shape))}, its starting values have {array.shape}")
    if not np.isfinite(array).all() or array.size > GIVEN:
        raise ExpressionError(
            f"starting values of {name} are finite and at most {GIVEN}; for more, set model.weights[{name!r}]"
        )
    return json.dumps(array.tolist())


def parameter(name: str, shape: Sequence[Size] = (), init: object = None, place: str = "") -> Expr:
    """A tensor that training changes. `init` is an initialiser (sg.glorot_uniform, sg.zeros ...), its name, or numbers.

    Without `init`: glorot_uniform from rank 2 on, zeros below. `place` is where it was declared, for messages; the
    calling line when left out. Raises ShapeError, ExpressionError.
    """
    check_name(name)
    if isinstance(init, int | float | list | tuple | np.ndarray):
        chosen = _numbers(name, shape, init)
    else:
        chosen = str(init) if init is not None else ("glorot_uniform" if len(shape) > 1 else "zeros")
    return make(Parameter(name, _shape(shape, name), next(_serials), place or _place(), chosen))


def state(name: str, shape: Sequence[Size] = (), initial: float = 0.0) -> Expr:
    """A tensor that training writes back without differentiating it, as a running mean; it starts at `initial`.

    Its sizes are numbers. Raises ShapeError, ExpressionError.

    >>> state("running_mean", (32,)).shape
    (32,)
    """
    check_name(name)
    if not isinstance(initial, int | float) or isinstance(initial, bool) or not math.isfinite(initial):
        raise ExpressionError(f"the state {name} starts at a finite number, not {initial!r}")
    checked = _shape(shape, name)
    if not all(isinstance(size, int) for size in checked):
        raise ShapeError(f"a state is kept between batches: the sizes of {name} are numbers, not {sizes.text(checked)}")
    return make(State(name, checked, next(_serials), _place(), repr(float(initial))))


def noise(name: str, shape: Sequence[Size] = ()) -> Expr:
    """Uniform numbers in [0, 1): in training drawn anew for each step from the run's seed, else given like an input.

    Raises ShapeError, ExpressionError.

    >>> noise("u", ("N", 3)).shape
    ('N', 3)
    """
    check_name(name)
    return make(Noise(name, _shape(shape, name), next(_serials), _place()))
