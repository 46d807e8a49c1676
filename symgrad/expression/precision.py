"""What kernels compute with: how real numbers are stored, and what factors of matrix products are rounded to."""

from __future__ import annotations

from symgrad.errors import ConfigurationError

# How everything but the factors of products is stored, by what these are rounded to.
STORED = {"float32": "float32", "float64": "float64", "bfloat16": "float32"}
DTYPES = tuple(dict.fromkeys(STORED.values()))


def precision_of(dtype: str, precision: str | None) -> str:
    """What factors of matrix products are rounded to; None is how they are stored. Raises ConfigurationError.

    >>> precision_of("float32", "bfloat16"), precision_of("float64", None)
    ('bfloat16', 'float64')
    """
    chosen = dtype if precision is None else precision
    if chosen not in list(STORED):  # it may be anything: a model file had it
        raise ConfigurationError(f"precision is one of {', '.join(STORED)}, not {precision!r}")
    if STORED[chosen] != dtype:
        raise ConfigurationError(f"precision {chosen} goes with dtype {STORED[chosen]}, not with {dtype}")
    return chosen
