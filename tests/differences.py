"""Derivatives from values alone: five-point differences by the interpreter, the tests' own yardstick."""

import numpy as np

from symgrad.interpreter import evaluate_all

WEIGHTS = ((-2, 1 / 12), (-1, -8 / 12), (1, 8 / 12), (2, -1 / 12))


def slope(expressions, arrays, name, direction, step):
    """The derivative of each expression when the array of that name moves along a direction; error O(step⁴)."""
    total = None
    for shift, weight in WEIGHTS:
        values = evaluate_all(expressions, {**arrays, name: arrays[name] + shift * step * direction})
        total = [weight * v / step + (0 if total is None else t) for v, t in zip(values, total or values, strict=True)]
    return total


def directions(shape, rng, most=8):
    """Unit directions of single entries, some of them when there are many, and a random one that meets every entry."""
    size = int(np.prod(shape))
    for place in rng.permutation(size)[:most]:
        unit = np.zeros(size)
        unit[place] = 1.0
        yield unit.reshape(shape)
    if size > 1:
        yield rng.uniform(-1, 1, shape) / np.sqrt(size)


def check_first(sample, values, simple_values, rng, rounding):
    """Gradients of a sample, as derived and simplified, against differences; `values` begin with the loss."""
    for place, leaf in enumerate(sample.wrt, 1):
        for gradient in (values[place], simple_values[place]):
            assert gradient.shape == sample.arrays[leaf.name].shape
            allowed = 1e-6 * np.abs(gradient).max() + rounding
            for direction in directions(gradient.shape, rng, most=2):
                (measured,) = slope([sample.loss], sample.arrays, leaf.name, direction, 2e-5)
                assert abs(measured - (gradient * direction).sum()) <= allowed, leaf.name
