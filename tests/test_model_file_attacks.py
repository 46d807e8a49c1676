"""Model files whose checksum is right and whose document is a stranger's: refused with file and reason, nothing is run.

The header's own faults stand in test_storage_malformed.py; both tables are counted together.
"""

import ast
import copy
import time
from pathlib import Path

import numpy as np
import pytest
from test_storage_malformed import BAD

import symgrad as sg
from symgrad.expression import ops, sizes
from symgrad.expression.node import make
from symgrad.expression.serialize import expression_from_json, expression_to_json
from symgrad.storage import checkpoint
from symgrad.training import saved

WHOLE = [-1, 1.5, "3", None, True, [], 1 << 70]
TEXT = [7, None, [], "two\nlines", "\x1b[2J", "\u202e", "x" * 1001]
NAME = ["", "a b", "__x", "for", "x" * 65, "a;b", "\x1b[2J", 7, None, [], "os.system('true')"]
SIZES = ["N", 5, None, [-1], [1.5], [None], [True], ["a b"], [[1]], [{"product": []}], [{"sum": [1, 2]}]]
AXIS = [9, -1, "0", True, None, [0], 1.5]
AXES = [[9], [-1], ["0"], [True], 0, None, [[0]]]

# Where in the document, and what must not stand there.
FIELDS = {
    "format": [0, 2, None, "1", []],
    "name": TEXT,
    "source": TEXT,
    "arguments": [[], "x", None, {"a b": 1}, {"a": [1]}, {"a": None}, {"a": "\n"}, {"__import__('os')": 1}],
    "metrics": [None, "accuracy", {}, [], ["loss"], ["output"], ["a", "b"], ["x\ny"], ["x = 1; import os"], [7], ["é"], ["x" * 1001]],
    "inputs": [0, 2, 99, *WHOLE],
    "targets": [0, 2, 99, *WHOLE],
    "expression": [None, [], "x", {}, {"nodes": []}, {"roots": []}, {"nodes": {}, "roots": []}, {"nodes": [], "roots": []}],
    "expression.roots": [None, {}, [], [0], [-1] * 5, [1 << 40] * 5, ["0"] * 5, [True] * 5, [None] * 5],
    "training": [None, [], "adam", {}],
    "training.optimizer": ["magic", 7, None, ["adam"], "__import__"],
    "training.learning_rate": [0, -1, "x", None, []],
    "training.settings": [None, [], {"magic": 1}, {"beta1": "x"}, {"beta1": 2}, {"beta1": -1}],
    "training.schedule": ["magic", 7, None, []],
    "training.schedule_settings": [None, [], {"factor": 1}, {"x": "y"}],
    "training.warmup": ["x", -1, True, [1]],
    "training.batch_size": [0, *WHOLE[:-1]],
    "training.epochs": WHOLE[:-1],
    "training.dtype": ["float16", 32, None, "O", "float32\n", "x" * 5000],
    "training.precision": ["half", 16, True, [], {}, "float64", "bfloat16\n", "x" * 5000],
    "training.clip_value": [0, -1, "x", True, []],
    "training.clip_norm": [0, -1, "x", True, []],
    "progress": [None, [], "x", {}],
    **{f"progress.{name}": WHOLE for name in ("seed", "epochs", "rows", "epoch", "step", "waited")},
    "progress.sums": [None, [], {"loss": "x"}, {"other": 1}, {"loss": 1}],
    "progress.records": [None, {}, [1], [{}], [{"epoch": 1}], [{"epoch": 1, "loss": []}], [{"epoch": 2, "loss": 1}], []],
    "progress.best": ["x", [], {}],
    "about": [None, [], "x"],
}  # fmt: skip
# For a node of each kind: its parameters, and what must not stand there.
NODES = {
    "Variable": {"op": ["System", "os.system", "", None, [], "Op", "Leaf", "__class__"], "args": [None, "x", [99], [-1], [True], ["0"], [0]],
                 "name": NAME, "shape": SIZES, "kind": ["float", 7, None], "normalized": [1, "x", None], "place": ["\x1b[2J", 7, "x" * 10_001],
                 "dtype": ["O", "float64", "int64", "object", "x\n    import os", "f4_array(table, 0); import os #"]},
    "Parameter": {"name": NAME, "shape": [*SIZES, ["N", 3], [4, 4]], "initializer": ["\n", 7, None], "extra": [1], "place": ["\n"]},
    "Constant": {"dtype": ["O", "|O", "<c16", "|V8", "<U4", "", 7, None], "shape": [[-1], [1 << 40], "x", [2], ["N"]], "data": ["!!!", "AAA", "", 7, None]},
    "Extent": {"size": [-1, 1.5, "a b", None, [], 3, True]},
    "Elementwise": {"function": ["system", "eval", "", 7, None, "__class__"], "args": [[], [0] * 9, None]},
    "Contraction": {"inputs": [[], [[0]], "x", [[0, 1, 2]] * 2, None], "output": [[99], ["x"], 0, None], "new": [[0], "x", [[0]], [[0, -1, 2]]], "args": [[], [0]]},
    "Reduce": {"function": ["sum", "__class__", "", 7], "axes": AXES, "keep": [1, "x"], "args": [[], [0, 0]]},
    "LogSumExp": {"axes": AXES, "keep": [1, None], "args": [[], [0, 0]]},
    "Softmax": {"axes": AXES, "args": [[], [0, 0]]},
    "Reshape": {"shape": [[13], [-1], [], "x", None, [12, "N"]], "args": [[], [0, 0]]},
    "OneHot": {"classes": [-1, 0, "3", True, None, 1 << 50], "args": [[], [0, 0]]},
    "Identity": {"size": [-1, "a b", 1.5, None, []], "args": [[0]]},
    "Cast": {"kind": ["complex", "", 7, "object"], "args": [[], [0, 0]]},
    "Named": {"name": NAME, "adjoint": [1, "x"], "args": [[], [0, 0]]},
    "State": {"name": NAME, "shape": [*SIZES, ["N"]], "initial": ["nan", "inf", "x", "0.0; import os", "", 0.0, 7, None], "place": ["\n", 7], "args": [[0]]},
    "Noise": {"name": NAME, "shape": SIZES, "place": ["\x1b[2J", None], "args": [[0]]},
    "Mode": {"args": [[], [0], [0, 0, 0], [0, 1], [1, 2]]},
    "Assign": {"args": [[], [0], [0, 0], [0, 0, 0], [0, 1, 2]]},
    "ArgMax": {"axis": [9, -1, "0", True, None, [0]], "args": [[], [0, 0]]},
    "Range": {"size": [-1, "a b", 1.5, None, [], True, {"sum": []}], "args": [[0]]},
    "Take": {"axis": AXIS, "args": [[], [0], [0, 0], [0, 0, 0]]},
    "Scatter": {"axis": AXIS, "size": [-1, "a b", 1.5, None, [], True], "args": [[], [0], [0, 0]]},
    "Slice": {"axis": AXIS, "start": [-1, 4, 99, "a b", None, 1 << 70], "step": [0, 2, -1, 1.5, "1", None, True], "count": [4, 99, -1, "a b", None], "args": [[], [0, 0]]},
    "Pad": {"axis": AXIS, "start": [-1, 3, 99, "a b", None], "step": [0, 2, -1, 1.5, None], "extent": [3, 0, -1, "a b", None, 1 << 70], "args": [[], [0, 0]]},
    "Concatenate": {"axis": AXIS, "args": [[], [0, 1], [0, 2]]},
    "Windows": {"axis": AXIS, "size": [0, -1, 5, 99, 1.5, None, True], "stride": [0, -1, 1.5, None, 1 << 21], "dilation": [0, -1, 9, "1", None], "args": [[], [0, 0]]},
    "Overlap": {"axis": [*AXIS, 1], "extent": [0, 2, 5, -1, "a b", None], "stride": [0, -1, 2, 1.5, None], "dilation": [0, -1, 2, None], "args": [[], [0, 0], [0]]},
    **{kind: {"args": [[], [0], [0, 0], "x"], "extra": [1]} for kind in ("Inverse", "Determinant", "LogDet", "Cholesky")},
    "Solve": {"args": [[], [0], [0, 0], [0, 1, 2]], "extra": [1]},
}  # fmt: skip


def network():
    """A model with a node of every kind."""
    x, y = sg.variable("x", ("N", 4)), sg.labels("y", ("N",), 3)
    W, b = sg.parameter("W", (4, 3)), sg.parameter("b", (3,))
    V, square = sg.parameter("V", (4,)), sg.parameter("S", (3, 3))
    z = sg.batch_norm(sg.dropout(sg.relu(x @ W + b), 0.1)).named("z")
    more = sg.mean(sg.max(x, axis=1)) + sg.sum(sg.reshape(W, (12,))) + sg.sum(sg.logsumexp(W, axis=0))
    more = more + sg.mean(sg.one_hot(y, 3) @ sg.identity(3)) + 2.5 * sg.mean(x) + sg.mean(sg.cast(y, "real"))
    more = more + sg.sum(V[1:] * sg.concatenate((V[:2], V[2:3]))) + sg.mean(sg.take(W, y) * b) + sg.sum(sg.pad(V, (1, 0)))
    more = more + sg.mean(sg.cast(sg.argmax(x, axis=1), "real")) + sg.sum(make(ops.Windows(0, 2, 1, 1), V)) + sg.sum(V * sg.arange(4))
    more = more + sg.sum(make(ops.Overlap(0, 4, 1, 1), make(ops.Windows(0, 2, 1, 1), V))) + sg.sum(make(ops.Scatter(0, 5), x, y))
    definite = square @ square.T + 9 * sg.identity(3)
    more = more + sg.sum(sg.inverse(definite)) + sg.determinant(definite) + sg.logdet(definite) + sg.sum(sg.solve(definite, W.T))
    more = more + sg.sum(sg.cholesky(definite))
    training = sg.Training(sg.adam(0.01), batch_size=10, epochs=1)
    return sg.Model([x], [y], sg.softmax(z), sg.softmax_cross_entropy(z, y) + more, [sg.accuracy], training)


def test_the_table_has_every_operation():
    assert set(NODES) == {op.__name__ for op in ops.OPS}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The contents of a checkpoint that nobody has touched."""
    x = np.random.default_rng(0).normal(size=(20, 4))
    history = network().fit(x, np.arange(20) % 3, out=tmp_path_factory.mktemp("run"))
    return checkpoint.load(history.checkpoint)


def table(document):
    """(name of the case, path into the document, value) for every case."""
    for place, values in FIELDS.items():
        for value in values:
            yield f"{place} = {value!r:.40}", place.split("."), value
    for kind, parameters in NODES.items():
        number = [node["op"] for node in document["expression"]["nodes"]].index(kind)
        for parameter, values in parameters.items():
            for value in values:
                yield f"{kind}.{parameter} = {value!r:.40}", ["expression", "nodes", number, parameter], value


def put(document, path, value):
    changed = copy.deepcopy(document)
    inner = changed
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return changed


def test_every_field_of_a_model_file_is_checked(good, tmp_path):
    tensors, document = good
    saved.model_of(tensors, document, tmp_path)
    cases, accepted, path = list(table(document)), [], tmp_path / "model.safetensors"
    for name, place, value in cases:
        checkpoint.save(path, tensors, put(document, place, value))
        started = time.perf_counter()
        try:
            saved.load_progress(path)
        except sg.ModelError as problem:
            message = str(problem)
            assert str(path) in message and message.isprintable() and len(message) < 900, (name, message)
        else:
            accepted.append(name)
        assert time.perf_counter() - started < 20, name  # no hang
    assert accepted == []
    assert len(cases) >= 400 and len(cases) + len(BAD) >= 480 and len({name for name, *_ in cases}) > 0.95 * len(cases)


NEVER = [  # would run past the end of an axis of N entries whatever N is
    ops.Slice(0, 1, 1, "N"), ops.Slice(0, "N", 1, 1), ops.Slice(0, 0, -1, 2), ops.Slice(0, 0, 2, "N"), ops.Pad(0, 1, 1, "N"),
]  # fmt: skip
SOME = [  # would do so for some N: 2
    ops.Slice(0, 3, 1, 1), ops.Slice(0, 0, 1, 3), ops.Slice(0, 2, -1, 3), ops.Pad(0, 0, 1, 1), ops.Slice(0, sizes.shifted("N", -3), 1, 1),
]  # fmt: skip


@pytest.mark.parametrize("op", NEVER, ids=str)
def test_what_would_run_past_an_axis_of_any_length_is_refused(op):
    """The kernel takes addresses: nothing else stands between a stranger's file and the memory behind an array."""
    document = expression_to_json([make(op, sg.variable("x", ("N",)))])
    with pytest.raises(sg.ModelError, match="out of range"):
        expression_from_json(document)


@pytest.mark.parametrize("op", SOME, ids=str)
def test_what_would_run_past_an_axis_of_this_length_is_refused_when_computed(op):
    (read,) = expression_from_json(expression_to_json([make(op, sg.variable("x", ("N",)))]))
    for compute in (lambda x: sg.evaluate(read, {"x": x}), sg.compile(read, threads=1)):
        with pytest.raises(sg.BindingError, match="past the end of an axis of"):
            compute(x=np.ones(2, "f4")) if isinstance(compute, sg.Kernel) else compute(np.ones(2, "f4"))


def test_a_batch_too_short_for_the_formulas_is_refused_before_training():
    x, t = sg.variable("x", ("N", 2)), sg.variable("t", ("N",))
    w = sg.parameter("w", (2,))
    output = x @ w
    model = sg.Model([x], [t], output, sg.mean((output - t) ** 2) + output[2] ** 2, training=sg.Training(batch_size=4, epochs=1))
    model.fit(np.ones((8, 2)), np.ones(8))
    with pytest.raises(sg.BindingError, match="N is 2: give more"):
        model.fit(np.ones((10, 2)), np.ones(10))


@pytest.mark.parametrize("build", [
    lambda x: x[1:], lambda x: x[:-2], lambda x: x[::-1], lambda x: x[::-1][2:], lambda x: sg.pad(x, (2, 1)), lambda x: x[3:][:-1],
    lambda x: sg.concatenate((x, x))[::-1], lambda x: sg.sum(sg.windows(x, 0, 3)), lambda x: sg.gradient(sg.sum(sg.windows(x, 0, 3) ** 2), x),
    lambda x: sg.gradient(sg.sum(sg.concatenate((x, sg.tanh(x))) ** 3), x),
])  # fmt: skip
def test_what_stays_within_an_axis_of_any_length_is_read(build):
    written = build(sg.variable("x", ("N",)))
    (read,) = expression_from_json(expression_to_json([written]))
    assert sg.formula(read) == sg.formula(written)


HEAVY = {
    "many names": lambda i: {"op": "Extent", "args": [], "size": {"sum": [[i, f"N{i}", "M", "K"], [1, "A", f"B{i}"]]}},
    "long sums": lambda i: {"op": "Extent", "args": [], "size": {"sum": [[j, f"N{j}", f"K{i}"] for j in range(12)]}},
    "too many nodes": lambda i: {"op": "Extent", "args": [], "size": f"N{i}"},
}


@pytest.mark.parametrize("name", HEAVY)
def test_a_document_that_would_take_minutes_to_read_is_refused(good, tmp_path, name):
    tensors, document = good
    nodes = document["expression"]["nodes"]
    heavy = [HEAVY[name](i) for i in range(60_000 if name == "too many nodes" else 20_000)]
    changed = put(document, ["expression", "nodes"], [*nodes, *heavy])
    started = time.process_time()
    with pytest.raises(sg.ModelError, match="sizes with more arithmetic|at most"):
        saved.model_of(tensors, changed, tmp_path)
    assert time.process_time() - started < 15  # without the limit a minute


def test_what_could_not_be_read_back_is_not_written(tmp_path):
    x = sg.variable("x", ("N",))
    deep = x
    for _ in range(50_001):
        deep = deep + 1
    with pytest.raises(sg.ExpressionError, match="at most 50,000 operations"):
        expression_to_json([deep])


TITLES = [
    'a""" ; __import__("os").system("touch canary") ; """', "a' ; open('canary', 'w') ; '", "a\\", 'a"', '"""', "{title}{0}{", "# x",
    "</title><script>alert(1)</script>", "[/b]", "%s%n", "\\N{BULLET}", "\\x22\\x22\\x22",
]  # fmt: skip


@pytest.mark.parametrize("title", TITLES)
def test_what_a_file_calls_its_model_stays_a_text_in_generated_source(good, title):
    tensors, document = good
    model = saved.model_of(tensors, put(document, ["name"], title), Path("m"))
    docstring, *functions = ast.parse(model.source_text()).body
    assert isinstance(docstring, ast.Expr) and isinstance(docstring.value, ast.Constant)
    inside = [node for function in functions for node in ast.walk(function)]
    assert functions and all(isinstance(function, ast.FunctionDef) for function in functions)
    assert not any(isinstance(node, ast.Import) for node in inside)
    assert "__import__" not in {node.id for node in inside if isinstance(node, ast.Name)}


@pytest.mark.parametrize("shape", [(), (1,), (3, 4), (4, 3, 1), (2, 3)])
def test_optimizer_state_of_another_shape_never_reaches_a_kernel(good, shape):
    """The kernel takes addresses: it would read and write past the end of a smaller array."""
    tensors, document = good
    name = next(n for n in tensors if n.startswith("state.W"))
    model = saved.model_of({**tensors, name: np.zeros(shape, "f4")}, document, Path("m"))
    with pytest.raises(sg.BindingError, match="contiguous float32 array of shape"):
        model.fit(np.zeros((20, 4)), np.zeros(20, int))


@pytest.mark.parametrize(
    "weight", [np.zeros((4, 3)), np.zeros((3, 4), "f4").T, np.zeros((4, 4), "f4"), [[0.0] * 3] * 4, np.broadcast_to(np.float32(0), (4, 3))]
)  # fmt: skip
def test_weights_put_in_place_of_the_models_own_are_refused_before_they_are_run_over(good, weight):
    model = saved.model_of(*good, Path("m"))
    model.weights["W"] = weight
    with pytest.raises(sg.BindingError, match="W is trained as"):
        model.fit(np.zeros((20, 4)), np.zeros(20, int))


def test_positions_out_of_range_are_refused_before_training():
    ids, t = sg.variable("ids", ("N",), dtype="int64"), sg.variable("t", ("N",))
    table = sg.parameter("table", (5, 2))
    output = sg.sum(sg.take(table, ids), axis=1)
    model = sg.Model([ids], [t], output, sg.mean((output - t) ** 2), training=sg.Training(batch_size=2, epochs=1))
    model.fit(np.array([0, 4]), np.zeros(2))
    for bad in (5, -1, 1 << 40):
        with pytest.raises(sg.BindingError, match=f"position {bad} of ids is out of range"):
            model.fit(np.array([0, bad]), np.zeros(2))
