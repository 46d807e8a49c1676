"""Values of expressions for tests, from a dict of arrays that may hold more than an expression needs."""

import numpy as np

import symgrad as sg
from symgrad.expression.node import leaves
from symgrad.interpreter import evaluate_all


def of(expression, arrays, **extents):
    """The interpreter's value; `arrays` by name or by leaf, `extents` for sizes that no leaf might tell."""
    named = {key.name if isinstance(key, sg.Expr) else key: value for key, value in arrays.items()}
    anchors = [sg.variable(f"anchor_{size}", (size,)) for size in extents]
    named |= {f"anchor_{size}": np.zeros(count) for size, count in extents.items()}
    needed = leaves([expression, *anchors])
    return evaluate_all([expression, *anchors], {name: named[name] for name in needed})[0]
