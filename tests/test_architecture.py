"""Which module may know which: the import direction as a table; sizes of files; every docstring's example runs."""

import ast
import doctest
import importlib
import pkgutil
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
LINES = 380  # of a file at most; files are meant to be much shorter

# What a part may import besides itself, anywhere in its modules, inside functions and for types too.
CALCULUS = {"errors", "expression", "calculus"}
MAY_IMPORT = {
    "errors": set(),
    "expression": {"errors"},
    "interpreter": {"errors", "expression"},
    "calculus": {"errors", "expression"},
    "codegen": CALCULUS,  # calculus only inside functions, see below
    "formulas": CALCULUS,
    "proof": CALCULUS | {"interpreter", "formulas"},
    "storage": {"errors"},
    "data": {"errors", "storage"},
    "training": CALCULUS | {"interpreter", "codegen", "formulas", "proof", "storage", "data"},
    "models": {""},  # the public symgrad and nothing else: exactly what a user's own model file may import
    "cli": CALCULUS | {"interpreter", "codegen", "formulas", "proof", "storage", "data", "training", "models", ""},
    "__main__": {"cli"},
}
# (module, imported part or module): why. Each has to exist; one that is gone has to leave this table.
EXCEPTIONS = {
    ("expression.node", "formulas"): "str() of an expression is its formula; imported when a person prints",
    ("proof.agreement", "codegen.kernel"): "compares formula, interpreter and kernel: it has to run all three",
    ("proof.agreement", "training.model"): "the kernels compared are those of a model; for types only",
}
# What single modules must not import although their part may.
FORBIDDEN = {
    "codegen.loops": "expression calculus",  # the loop language never sees an expression
    "codegen.source": "expression calculus",
}
TYPES_ONLY = {("proof.agreement", "training.model")}


def sources():
    """The modules of the package without their `symgrad.`, and their files."""
    found = {}
    for package in PROJECT["packages"]:
        folder = ROOT / PROJECT["package-dir"].get(package, package.replace(".", "/"))
        name = package.removeprefix("symgrad").removeprefix(".")
        found[name] = folder / "__init__.py"
        for module in pkgutil.iter_modules([str(folder)]):
            if not module.ispkg:
                found[f"{name}.{module.name}".removeprefix(".")] = folder / f"{module.name}.py"
    return found


SOURCES = sources()
PARTS = {name for name in SOURCES if name and "." not in name}
each = pytest.mark.parametrize("module", [name for name in SOURCES if name])


def part(module):
    return module.partition(".")[0]


def imported(text, module="x", types=True):
    """(module of this project, whether at module level) for every import of a source; "" is symgrad itself."""
    found = set()

    def visit(node, top):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING") and not types:
            return
        for name in names(node):
            if name.split(".")[0] == "symgrad":
                found.add((name.removeprefix("symgrad").removeprefix("."), top))
        top = top and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            visit(child, top)

    def names(node):
        if isinstance(node, ast.Import):
            return [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]  # from symgrad.expression import ops
            return [i if i.removeprefix("symgrad.") in SOURCES else str(node.module) for i in inner]
        return []

    visit(ast.parse(text), True)
    return found


def read(module):
    return SOURCES[module].read_text(encoding="utf-8")


def allowed(module, other):
    """Whether the tables let a module import another."""
    own = part(module)
    if (module, other) in EXCEPTIONS or (module, part(other)) in EXCEPTIONS:
        return True
    if part(other) in FORBIDDEN.get(module, "").split():
        return False
    return part(other) == own or part(other) in MAY_IMPORT[own]


def test_the_table_names_every_part_and_has_no_cycle():
    assert set(MAY_IMPORT) == PARTS
    order = list(MAY_IMPORT)
    for name, others in MAY_IMPORT.items():
        assert name not in others
        assert all(order.index(other) < order.index(name) for other in others - {""}), name
    assert set(FORBIDDEN) <= set(SOURCES)


@each
def test_imports_follow_the_table(module):
    assert sorted(other for other, _ in imported(read(module), module) if not allowed(module, other)) == []


def test_exceptions_still_exist():
    for module, other in EXCEPTIONS:
        found = {name for name, _ in imported(read(module), module)}
        assert {other} & (found | {part(name) for name in found}), f"{module} no longer imports {other}"


def test_exceptions_are_lazy_or_about_proof():
    """The printer is imported when something is printed, a type when types are checked: neither at start-up."""
    assert ("formulas", True) not in imported(read("expression.node"))
    for module, other in TYPES_ONLY:
        assert other not in {name for name, _ in imported(read(module), types=False)}


@pytest.mark.parametrize("module", [name for name in SOURCES if part(name) == "codegen"])
def test_kernels_load_without_calculus(module):
    """A known kernel comes from the cache without deriving anything: calculus is imported inside functions only."""
    assert [name for name, top in imported(read(module), types=False) if top and part(name) == "calculus"] == []


def test_no_cycle_between_modules():
    """At module level, types aside: the order in which modules are imported is never felt."""
    graph = {m: {n for n, top in imported(read(m), types=False) if top and n in SOURCES} - {m} for m in SOURCES if m}
    done = set()
    while ready := [m for m in graph if m not in done and graph[m] <= done | {""}]:
        done |= set(ready)
    assert set(graph) - done == set()


def test_violations_are_noticed():
    assert not allowed("expression.node", "calculus.rules")
    assert not allowed("codegen.lower", "formulas.text")
    assert not allowed("codegen.source", "expression.node")
    assert not allowed("data.idx", "expression.node")
    assert not allowed("models.mnist_mlp", "expression.functions")
    text = "def f():\n    from symgrad.expression import ops\nimport symgrad.cli.app\nfrom symgrad import evaluate"
    assert imported(text) == {("expression.ops", False), ("cli.app", True), ("", True)}
    typed = "if TYPE_CHECKING:\n    from symgrad.expression.node import Expr"
    assert imported(typed) == {("expression.node", True)} and imported(typed, types=False) == set()


@pytest.mark.parametrize("module", SOURCES)
def test_files_are_short(module):
    assert len(read(module).splitlines()) <= LINES, f"{SOURCES[module]} is two files"


@pytest.mark.parametrize("module", [name for name in SOURCES if name != "__main__"])
def test_examples_in_docstrings_run(module):
    loaded = importlib.import_module(f"symgrad.{module}".removesuffix("."))
    assert doctest.testmod(loaded).failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    modules = [importlib.import_module(f"symgrad.{m}".removesuffix(".")) for m in SOURCES if m != "__main__"]
    assert sum(bool(test.examples) for module in modules for test in finder.find(module)) >= 20
