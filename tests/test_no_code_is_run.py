"""Reading what a stranger sends runs no code: Python's own audit events say so, from a process that reads it all."""

import ast
import gzip
import json
import subprocess
import sys
import time
import xml.etree.ElementTree
from collections import Counter
from pathlib import Path

import auditing
import killing
import numpy as np
import pytest
from test_data_malformed import BAD_CSV, BAD_NPZ, BAD_PICTURES, GOOD_IDX, TRAIN_X, X, Y, idx_folder, npz, png
from test_model_file_attacks import network, put, table
from test_parse import attack_texts
from test_storage_malformed import BAD

import symgrad as sg
from symgrad.codegen import jit, names, runtime
from symgrad.expression import parse
from symgrad.inspection.graph import model_graph
from symgrad.inspection.report import report
from symgrad.storage import checkpoint
from symgrad.training import saved

# Who may be imported while something is read for the first time: the standard library, and what symgrad is made of.
LIBRARIES = {*sys.stdlib_module_names, "symgrad", "numpy", "llvmlite", "sympy", "mpmath", "safetensors", "PIL"}
LIBRARIES |= {"gmpy", "gmpy2", "flint", "org"}  # what SymPy and pickle look for and do without
# Looking things up; and a syntax tree is made of the header of an array and of a formula.
HARMLESS = {"open to read", "os.listdir", "os.scandir", "object.__getattr__", "object.__setattr__", "sys._getframe"}
HARMLESS |= {"array.__new__", "builtins.id"}


@pytest.fixture(scope="module")
def letters(tmp_path_factory):
    """A folder with everything that a stranger may send, good and bad."""
    folder = tmp_path_factory.mktemp("letters")
    history = network().fit(np.ones((20, 4)), np.arange(20) % 3, out=tmp_path_factory.mktemp("run"))
    tensors, document = checkpoint.load(history.checkpoint)
    checkpoint.save(folder / "good.safetensors", tensors, document)
    for number, (_, place, value) in enumerate(table(document)):
        checkpoint.save(folder / f"changed-{number}.safetensors", tensors, put(document, place, value))
    for number, (data, _) in enumerate(BAD.values()):
        (folder / f"bad-{number}.safetensors").write_bytes(data)
    (folder / "good.npz").write_bytes(npz(x_train=X, y_train=Y))
    (folder / "good.csv").write_bytes(b"a,b,label\n1,2,cat\n3,4,dog\n")
    (folder / "good.png").write_bytes(png(np.eye(28, dtype=np.uint8) * 255))
    for kind, rows in ((".npz", BAD_NPZ), (".csv", BAD_CSV)):
        for number, (_, data, _) in enumerate(rows):
            (folder / f"bad-{number}{kind}").write_bytes(data)
    for number, (_, file, data, _) in enumerate(BAD_PICTURES):
        (folder / f"bad-{number}{Path(file).suffix}").write_bytes(data)
    for name in ("plain", "packed"):
        (folder / name).mkdir()
        idx_folder(folder / name)
    (folder / "packed" / f"{TRAIN_X}.gz").write_bytes(gzip.compress(GOOD_IDX[TRAIN_X]))
    (folder / "packed" / TRAIN_X).unlink()
    texts = [*attack_texts(folder / "canary"), "sum((x @ w)**2)", "einsum('ij,jk->ik', x, w)"]
    (folder / "expressions.json").write_text(json.dumps(texts))
    return folder


def overheard(folder, how):
    """What the process that reads the folder did: how each thing ended, and its audit events."""
    words = [sys.executable, "-W", "ignore", auditing.__file__, str(folder), how]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert not (folder / "canary").exists()
    return Counter(found["ended"]), [tuple(event) for event in found["heard"]]


def complaints(events):
    """What no reader may do."""
    return [e for e in events if e[0] not in HARMLESS and e != ("compile", "<unknown>")]


def test_reading_a_strangers_files_raises_no_event_of_running_code(letters):
    ended, events = overheard(letters, "warm")
    assert complaints(events) == []
    assert ended["model read"] == ended["picture read"] == 1 and ended["data read"] == 4 and 2 <= ended["expression read"] <= 4
    assert sum(n for what, n in ended.items() if what.startswith("model ") and not what.endswith("read")) >= 480
    assert ended["data DataError"] >= 50 and ended["expression ExpressionError"] >= 60
    assert {"open to read", "compile"} <= {event for event, _ in events}  # it did listen


def test_reading_for_the_first_time_imports_only_what_symgrad_is_made_of(letters):
    _, events = overheard(letters, "cold")
    imported = {name.split(".")[0] for event, name in events if event == "import"}
    assert "numpy" in imported and {n for n in imported if not n.startswith("_")} <= LIBRARIES
    strange = {e for e, _ in events} & {"pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen"}
    assert strange == set() and not {e for e, _ in events if e.startswith(("socket.", "urllib."))}
    assert not [path for event, path in events if event == "open to write" and "__pycache__" not in path]


def test_the_listener_hears(tmp_path):
    """The same script, where reading does run code: a pickle, an eval, a subprocess, a socket."""
    planted = "import pickle, subprocess, socket, sys; sys.path.insert(0, {folder!r}); import auditing\n"
    planted = planted.format(folder=str(Path(auditing.__file__).parent))
    planted += "data = pickle.dumps(print); sys.addaudithook(auditing.listen)\n"
    planted += "pickle.loads(data); eval('1'); subprocess.run(['true']); socket.socket(); __import__('wave')\n"
    planted += "print({event for event, _ in auditing.HEARD})"
    done = subprocess.run([sys.executable, "-c", planted], capture_output=True, text=True, timeout=60)
    heard = ast.literal_eval(done.stdout)
    assert {"pickle.find_class", "exec", "compile", "subprocess.Popen", "socket.__new__", "import"} <= heard
    assert complaints([(event, "") for event in heard])


ATOMS = ["x", "w", "y", "0", "1", "-1", "2", "1e308", "1e400", "10**9", "9" * 400, "9" * 4000, "True", "(1, 2)", "()", "[]", "(x, x)",
         "(0, 0)", "(-1,)", "(5,)", "'N'", "'ij,jk->ik'", "...", "x.T", "x > 0", "(x > 0)", "1.5", "-0.0", "(10**9, 10**9)", "((0, 1), (1, 0))",
         "99999999999999999999", "None", "-(1, 2)", "'gelu'"]  # fmt: skip


@pytest.mark.parametrize("each", [40, pytest.param(2000, marks=pytest.mark.rigorous)])
def test_every_function_with_any_arguments_gives_an_expression_or_our_error(each):
    known = {"x": sg.variable("x", ("N", 3)), "w": sg.parameter("w", (3, 2)), "y": sg.labels("y", ("N",), 3)}
    chance, ended = np.random.default_rng(0), Counter()
    for function in sorted(parse.FUNCTIONS):
        for _ in range(each):
            given = [str(chance.choice(ATOMS)) for _ in range(chance.integers(0, 4))]
            given += [f"{chance.choice(parse.KEYWORDS)}={chance.choice(ATOMS)}" for _ in range(chance.integers(0, 2))]
            text = f"{function}({', '.join(given)})"
            started = time.process_time()
            try:
                sg.parse(text, known)
            except sg.SymgradError:
                ended["refused"] += 1
            else:
                ended["read"] += 1
            assert time.process_time() - started < 5, text
    assert ended["read"] > 100 and ended.total() == each * len(parse.FUNCTIONS)


CODE = ["__import__('os')", "x; import os", 'a"""b', "a'b", "<script>", r"\input{x}", "${7*7}", "`id`", "a b", "a\nb", "\x1b[2J", "", "1x",
        "for", "lambda", "__class__", "x.y", "x[0]", "x()", "a-b", "x" * 65, "é\u202e", "a#b", "{x}", "%s", "\x00"]  # fmt: skip
FORMULAS = ("x[0]",)
# Identifiers that mean something to Python, to NumPy or to generated source; they are names like any other.
TAKEN = ["eval", "exec", "open", "print", "table", "thread", "threads", "size", "np", "real", "block", "work", "meeting", "rows", "kept_loss",
         "float32_array", "share", "barrier", "inf", "nan", "int64", "training", "step", "first", "spent", "matmul", "exp", "symgrad", "self",
         "flush_denormals", "range", "min", "abs", "numba", "_", "denormals", "v_x"]  # fmt: skip


def test_a_name_that_is_code_is_no_name():
    for name in CODE:
        for declare in (lambda n: sg.variable(n, (2,)), lambda n: sg.parameter(n, (2,)), (sg.variable("x", (2,)) + 1).named):
            with pytest.raises(sg.ExpressionError):
                declare(name)
        if name not in FORMULAS:
            with pytest.raises(sg.SymgradError):
                sg.parse(name, {"x": sg.variable("x", (2,))})


def test_names_with_a_meaning_of_their_own_compute_what_they_stand_for():
    """One kernel in which all of them occur, as inputs and as names of parts."""
    leaves = {name: sg.variable(name, ("N",)) for name in TAKEN}
    total = sum((leaf * (i + 1)).named(f"part_{name}") for i, (name, leaf) in enumerate(leaves.items()))
    values = {name: np.linspace(i, i + 1, 4) for i, name in enumerate(TAKEN)}
    kernel = sg.compile(total, dtype="float64", threads=1)
    want = sum((i + 1) * value for i, value in enumerate(values.values()))
    np.testing.assert_allclose(kernel(values), want, rtol=1e-13)
    np.testing.assert_allclose(sg.evaluate(total, values), want, rtol=1e-13)


def test_every_word_of_generated_source_is_kept_for_it():
    """Else a person's name could take the place of a function that the source calls."""
    words = {*runtime.namespace("float32"), *jit.namespace("float32")}
    assert {w for w in words if not w.endswith("_array")} <= names.RESERVED and len(words) > 30


WEIRD = "</title><script>alert(1)</script>&\"'\\input{x}$%#_^{}~]]>-->"


def test_a_models_name_is_escaped_in_pictures_and_pages():
    model = killing.network(7)
    model.name = WEIRD
    page = report(model, None)
    assert "<script>alert" not in page and "<script" not in page.lower()
    drawn = model_graph(model, "svg", False, True)
    assert "<script" not in drawn
    root = xml.etree.ElementTree.fromstring(drawn)
    assert not [e for e in root.iter() if e.tag.endswith("script")]
    assert model_graph(model, "dot", False, True).splitlines()[0].startswith('digraph "')
    for format in ("html", "latex"):
        shown = sg.formula({WEIRD: model.loss}, format=format)
        assert ("<script" if format == "html" else "\\input{") not in shown


def test_a_loaded_file_computes_what_was_saved(tmp_path):
    """Limits and checks refuse nothing that symgrad itself has written."""
    model = network()
    x = np.random.default_rng(1).normal(size=(20, 4))
    model.fit(x, np.arange(20) % 3, out=tmp_path)
    again, progress, _ = saved.load_progress(checkpoint.newest(tmp_path).path)
    assert (again.predict(x) == model.predict(x)).all() and progress.epoch == 1
