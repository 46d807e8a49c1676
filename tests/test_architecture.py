"""Who may import whom, how long a file may be, and that every example in a docstring runs."""

import ast
import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LIMIT = 300  # lines; the house rule is about 250
LONGER = {
    "schedule.py": 360,
    "tensors.py": 330,
    "node.py": 335,
    "ops.py": 335,
    "functions.py": 315,
}  # none may join

# What each area may import at the top of a file; one way, from left to right in the design's picture.
BELOW = {
    "errors": "",
    "expression": "errors",
    "interpreter": "errors expression",
    "calculus": "errors expression",
    "formulas": "errors expression calculus interpreter",
    "codegen": "errors expression",
    "storage": "errors",
    "data": "errors storage",
    "proof": "errors expression calculus formulas interpreter codegen",
    "training": "errors expression calculus formulas interpreter codegen storage data",
    "inspection": "errors expression calculus formulas interpreter codegen storage data proof training",
    "cli": "symgrad errors expression calculus formulas interpreter codegen proof storage data training inspection models",
    "models": "symgrad",
    "__main__": "cli",
    "symgrad": "",
}
# What is imported late, because it is heavy or because only one function needs what stands above it.
LATE = {("codegen", "calculus"), ("expression", "formulas"), ("proof", "training"), ("cli", "symgrad")}
# Stages of a kernel: each sees what stands before it. The loop language sees nothing.
STAGES = {
    "loops": "", "source": "loops", "blocks": "loops", "flatten": "loops", "scalar_text": "", "names": "scalar_text elimination",
    "views": "", "products": "views", "ordering": "products",
    "schedule": "ordering products views", "sharding": "products schedule",
    "looking": "names loops", "lower": "scalar_text names loops schedule looking",
    "reductions": "scalar_text names lower loops schedule stages", "spreading": "names lower loops",
    "matrices": "scalar_text names lower loops", "multiply": "names lower loops products views",
    "stages": "scalar_text names lower loops products schedule reductions spreading matrices multiply views",
    "liveness": "host names sharding",
    "program": "blocks flatten liveness names loops lower schedule sharding stages views",
    "stepping": "blocks names loops schedule sharding program views",
}  # fmt: skip


def modules():
    found = {}
    for folder, package in (("symgrad", "symgrad"), ("codegen", "symgrad.codegen"), ("models", "symgrad.models")):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join((package, *parts)).removesuffix(".__init__")] = path
    return found


MODULES = modules()


def area(module):
    return module.split(".")[1] if "." in module else module


def imports(module):
    """(what is imported, whether at the top of the file) for every import of this project; type checking aside."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    typing = {id(inner) for node in tree.body if isinstance(node, ast.If) for inner in ast.walk(node)}
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [n if n in MODULES else node.module for n in names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            if name.split(".")[0] == "symgrad" and id(node) not in typing:
                yield name, id(node) in top


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_one_way(module):
    own = area(module)
    assert own in BELOW, f"{own} has no place in the order yet"
    for name, top in imports(module):
        if area(name) != own and module != "symgrad":
            fine = area(name) in BELOW[own].split()
            assert fine or (not top and (own, area(name)) in LATE), f"{module} imports {name}"


def test_the_order_has_no_circle():
    seen = set()
    for own, below in BELOW.items():
        if own not in ("cli", "models", "__main__"):
            assert set(below.split()) <= seen, own
        seen.add(own)


def test_stages_of_a_kernel_stand_in_line():
    for stage, before in STAGES.items():
        for name, top in imports(f"symgrad.codegen.{stage}"):
            if area(name) == "codegen" and top:
                assert name.split(".")[2] in before.split(), f"{stage} imports {name}"
    assert list(imports("symgrad.codegen.loops")) == []
    assert {name for name, _ in imports("symgrad.codegen.source")} == {"symgrad.codegen.loops"}


def test_the_oracle_shares_no_code_with_kernels():
    reached, frontier = set(), ["symgrad.interpreter"]
    while frontier:
        module = frontier.pop()
        reached.add(module)
        frontier += [n for n, top in imports(module) if top and n in MODULES and n not in reached]
    assert not any(area(m) in ("codegen", "calculus") for m in reached)
    kernels = {n for m in MODULES if area(m) == "codegen" for n, _ in imports(m)}
    assert "symgrad.interpreter" not in kernels


def test_only_one_module_imports_numba_for_kernels():
    """A kernel from the cache starts without Numba: what runs then must not import it."""
    users = {m for m in MODULES for node in ast.walk(ast.parse(MODULES[m].read_text(encoding="utf-8")))
             if (isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "numba")
             or (isinstance(node, ast.Import) and any(a.name.split(".")[0] == "numba" for a in node.names))}  # fmt: skip
    assert users <= {f"symgrad.codegen.{m}" for m in ("jit", "elementary", "intrinsics")} | {"symgrad.cli.inspect"}


@pytest.mark.parametrize("module", MODULES)
def test_files_fit_in_the_head(module):
    path = MODULES[module]
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= LONGER.get(path.name, LIMIT), f"{path} has {lines} lines: split it"


@pytest.mark.parametrize("module", [m for m in MODULES if ">>>" in MODULES[m].read_text(encoding="utf-8")])
def test_examples_in_docstrings_run(module):
    failed, tried = doctest.testmod(importlib.import_module(module), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert tried and not failed


def test_the_checks_can_fail(monkeypatch, tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text("from symgrad.codegen.kernel import compile\n")
    monkeypatch.setitem(MODULES, "symgrad.interpreter", wrong)
    with pytest.raises(AssertionError, match="imports symgrad.codegen"):
        test_imports_go_one_way("symgrad.interpreter")
    with pytest.raises(AssertionError):
        test_the_oracle_shares_no_code_with_kernels()
