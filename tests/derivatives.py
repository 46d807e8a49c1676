"""What the tests of operations share: derivatives to order 2 by differences, kernels, formulas, storage."""

import numpy as np
import values
from differences import directions, slope

import symgrad as sg
from symgrad.expression.node import leaves


def sizes_of(expression, arrays):
    """The sizes that an expression's leaves name, as its arrays have them."""
    pairs = [(leaf.shape, np.shape(arrays[name])) for name, leaf in leaves([expression]).items()]
    return {s: n for shape, extents in pairs for s, n in zip(shape, extents, strict=True) if isinstance(s, str)}


def arrays_for(inputs, rows=2):
    """A normal array for each leaf, with so many rows where a size has a name."""
    random = np.random.default_rng(9)
    shapes = {leaf.name: [rows if isinstance(s, str) else s for s in leaf.shape] for leaf in inputs}
    return {name: 0.7 * random.normal(size=shape) for name, shape in shapes.items()}


def loss_of(expression, arrays):
    """A scalar in which every entry of the expression has a weight and a curvature of its own; and arrays for it."""
    shape = values.of(expression, arrays).shape
    weights = sg.variable("weights", expression.shape)
    given = arrays | {"weights": np.random.default_rng(0).uniform(0.5, 1.5, shape)}
    return sg.sum(expression * weights + 0.5 * sg.sin(expression) * expression), given


def agrees(function, derivative, arrays, leaf, tolerance, most=5, step=1e-3):
    """Asserts that a derivative is the scalar function's, by its own shape, by differences, and when simplified."""
    sizes = sizes_of(function, arrays)
    found = values.of(derivative, arrays, **sizes)
    assert found.shape == np.shape(arrays[leaf.name]) and derivative.shape == leaf.shape
    largest = max(1.0, np.abs(found).max())
    simple = values.of(sg.simplify(derivative), arrays, **sizes)
    np.testing.assert_allclose(simple, found, rtol=0, atol=1e-10 * largest, err_msg="simplified")
    needed = {name: arrays[name] for name in leaves([function])}
    largest = max(largest, abs(values.of(function, arrays)))
    for direction in directions(found.shape, np.random.default_rng(2), most):
        (measured,) = slope([function], needed, leaf.name, direction, step)
        assert abs(measured - (found * direction).sum()) <= tolerance * largest, (leaf.name, measured, found)


def to_order_two(expression, arrays, by, first=1e-9, second=1e-6, step=1e-3):
    """Asserts gradients and Hessian-vector products of `loss_of` an expression by each of some leaves."""
    loss, given = loss_of(expression, arrays)
    for leaf in by:
        slopes = sg.gradient(loss, leaf)
        agrees(loss, slopes, given, leaf, first, step=step)
        vector = sg.variable("vector", leaf.shape)
        given["vector"] = np.random.default_rng(1).uniform(-1, 1, np.shape(arrays[leaf.name]))
        product = sg.hessian_vector_product(loss, leaf, vector)
        agrees(sg.sum(slopes * vector), product, given, leaf, second, step=step)


def prints_and_stores(expression, arrays):
    """Asserts that an expression prints in every notation, runs as printed for NumPy, and survives storage."""
    for notation in ("matrix", "index"):
        assert "None" not in sg.formula(expression, notation=notation)
    assert sg.formula(expression, format="latex")
    sizes = sizes_of(expression, arrays)
    wanted = values.of(expression, arrays, **sizes)
    scope = {**arrays, **sizes}
    exec(sg.formula(expression, notation="numpy", names=["result"]), scope)
    np.testing.assert_allclose(scope["result"], wanted, rtol=1e-10, atol=1e-11, err_msg="as printed for NumPy")
    (again,) = sg.expression_from_json(sg.expression_to_json([expression]))
    np.testing.assert_array_equal(values.of(again, arrays, **sizes), wanted)
    assert sg.formula(again) == sg.formula(expression)


def kernel_agrees(every, arrays, threads, dtype="float64", bound=1e-11):
    """Asserts that one kernel has the interpreter's values of some expressions, relative to each one's largest."""
    given = {name: arrays[name] for name in leaves(every)}
    for form, got in zip(every, sg.compile(every, dtype=dtype, threads=threads)(given), strict=True):
        wanted = values.of(form, given, **sizes_of(form, given))
        assert got.shape == wanted.shape
        atol = bound * max(1.0, np.abs(wanted).max(initial=0.0))
        np.testing.assert_allclose(got, wanted, rtol=0, atol=atol, err_msg=str(form)[:200])
