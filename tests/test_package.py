"""What is installed: the packages and nothing else, every module importable, no call that could run foreign code."""

import ast
import importlib
import importlib.metadata
import importlib.resources
import pkgutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES: list[str] = PROJECT["tool"]["setuptools"]["packages"]
MAPPED: dict[str, str] = PROJECT["tool"]["setuptools"]["package-dir"]

# Functions that run text as code, and the parts of SymPy that do so or that change numbers.
FORBIDDEN_CALLS = {
    "eval", "exec", "__import__", "execfile",
    "sympify", "lambdify", "parse_expr", "pycode", "nsimplify", "together", "ufuncify", "autowrap",
    "os.system", "os.popen",
}  # fmt: skip
FORBIDDEN_IMPORTS = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "codegen", "models", "tests"}
ALLOWED = {("symgrad.codegen.jit", "exec"), ("symgrad.proof.agreement", "exec")}
"""(module, call): generated source, which holds only identifiers of our own, has to become a function somewhere."""


def folder(package: str) -> Path:
    """Where a package's files stand in the checkout."""
    return ROOT / MAPPED.get(package, package.replace(".", "/"))


def sources() -> dict[str, Path]:
    """Every module of the package by name, found by walking the folders."""
    found = {}
    for package in PACKAGES:
        found[package] = folder(package) / "__init__.py"
        for module in pkgutil.iter_modules([str(folder(package))]):
            if not module.ispkg:
                found[f"{package}.{module.name}"] = folder(package) / f"{module.name}.py"
    return found


SOURCES = sources()


def violations(module: str, text: str) -> Iterator[str]:
    """What a module's source must not contain, as "line: what"."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            path = ast.unparse(node.func)
            name = path.rpartition(".")[2]
            if FORBIDDEN_CALLS & {name, path} and (module, name) not in ALLOWED:
                yield f"{node.lineno}: {path}()"
            for keyword in node.keywords:
                if keyword.arg in ("allow_pickle", "shell") and not is_constant(keyword.value, False):
                    yield f"{node.lineno}: {keyword.arg}"
                if keyword.arg == "evaluate" and is_constant(keyword.value, False):
                    yield f"{node.lineno}: evaluate=False"
        elif isinstance(node, ast.Import):
            for top in {alias.name.split(".")[0] for alias in node.names} & FORBIDDEN_IMPORTS:
                yield f"{node.lineno}: import of {top}"
        elif isinstance(node, ast.ImportFrom):
            if node.level == 0 and str(node.module).split(".")[0] in FORBIDDEN_IMPORTS:
                yield f"{node.lineno}: import from {node.module}"
            for alias in node.names:
                if FORBIDDEN_CALLS & {alias.name, f"{node.module}.{alias.name}"}:
                    yield f"{node.lineno}: import of {alias.name}"


def is_constant(node: ast.expr, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def imports(text: str) -> set[str]:
    """The modules of this project that a source imports."""
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            # `from symgrad import x` and `from symgrad.storage import atomic` import modules too
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name for name in names if name.split(".")[0] == "symgrad"}


def test_the_package_list_is_complete() -> None:
    on_disk = {"symgrad." + path.parent.name for path in (ROOT / "symgrad").glob("*/__init__.py")}
    assert set(PACKAGES) == {"symgrad", "symgrad.codegen", "symgrad.models"} | on_disk
    assert MAPPED == {"symgrad": "symgrad", "symgrad.codegen": "codegen", "symgrad.models": "models"}
    assert len(SOURCES) > len(PACKAGES)
    nested = {path.parent for package in PACKAGES for path in folder(package).glob("*/*.py")}
    assert nested <= {folder(package) for package in PACKAGES}


@pytest.mark.parametrize("module", [name for name in SOURCES if not name.endswith("__main__")])
def test_every_module_imports_under_its_one_name(module: str) -> None:
    loaded = importlib.import_module(module)
    assert loaded.__name__ == module and loaded.__doc__, f"{module} has no docstring"


def test_no_module_is_loaded_under_two_names() -> None:
    for module in SOURCES:
        if not module.endswith("__main__"):
            importlib.import_module(module)
    names: dict[str, list[str]] = {}
    for name, loaded in list(sys.modules.items()):
        file = getattr(loaded, "__file__", None)
        if file and Path(file) in SOURCES.values():
            names.setdefault(file, []).append(name)
    assert [found for found in names.values() if len(found) > 1] == []
    assert not {"codegen", "models"} & set(sys.modules)


@pytest.mark.parametrize("module", SOURCES)
def test_nothing_runs_foreign_code(module: str) -> None:
    assert list(violations(module, SOURCES[module].read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "text",
    [
        "eval('1')",
        "def f():\n    exec(compile('1', '', 'exec'))",
        "import pickle",
        "import pickle as p",
        "from pickle import loads",
        "import os\nos.system('ls')",
        "from os import system",
        "from sympy import sympify as s",
        "import sympy\nsympy.lambdify(x, x)",
        "import numpy as np\nnp.load(f, allow_pickle=True)",
        "import numpy as np\nnp.load(f, allow_pickle=flag)",
        "import subprocess\nsubprocess.run('ls', shell=True)",
        "sympy.Add(a, b, evaluate=False)",
        "import codegen.kernel",
        "from models import mnist_mlp",
    ],
)
def test_the_scan_can_fail(text: str) -> None:
    assert list(violations("symgrad.somewhere", text))


def test_the_scan_knows_its_exceptions() -> None:
    assert not list(violations("symgrad.codegen.jit", "exec(code, names)"))
    assert list(violations("symgrad.codegen.kernel", "eval(code, names)"))
    assert not list(violations("symgrad.data.x", "np.load(f, allow_pickle=False)\nplatform.system()"))
    assert not list(violations("symgrad.data.x", "from symgrad import codegen, models"))


@pytest.mark.parametrize("test", sorted(path.name for path in Path(__file__).parent.glob("*.py")))
def test_tests_import_the_installed_names(test: str) -> None:
    tree = ast.parse((Path(__file__).parent / test).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        module = node.module if isinstance(node, ast.ImportFrom) else None
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [module or ""]
        assert not {name.split(".")[0] for name in names} & {"codegen", "models"}


def test_data_and_storage_know_nothing_of_the_rest() -> None:
    allowed = {
        "storage": ("symgrad.storage", "symgrad.errors"),
        "data": ("symgrad.data", "symgrad.storage", "symgrad.errors"),
    }
    for module, path in SOURCES.items():
        part = module.split(".")[1] if "." in module else ""
        for name in imports(path.read_text(encoding="utf-8")) if part in allowed else ():
            assert name.startswith(allowed[part]), f"{module} imports {name}"


def test_models_are_written_as_a_user_would() -> None:
    for module, path in SOURCES.items():
        if module.startswith("symgrad.models."):
            assert imports(path.read_text(encoding="utf-8")) <= {"symgrad"}, module


def test_what_the_distribution_says_and_holds() -> None:
    # An egg-info that a build left in the checkout is no installation; it has no RECORD.
    found = [each for each in importlib.metadata.distributions(name="symgrad") if each.read_text("RECORD")]
    assert found, "symgrad is not installed"
    metadata = found[0].metadata
    assert metadata["License-Expression"] == "MIT AND CC-BY-SA-3.0"
    assert set(metadata.get_all("License-File") or ()) == {"LICENSE", "symgrad/data/mnist/SOURCE.md"}
    assert metadata["Version"] == PROJECT["project"]["version"]
    scripts = importlib.metadata.entry_points(group="console_scripts", name="symgrad")
    assert [script.value for script in scripts] == ["symgrad.cli:main"]
    tops = {file.parts[0] for file in found[0].files or ()}
    assert not {"codegen", "models", "tests", "notebooks"} & tops


def test_package_data() -> None:
    package = importlib.resources.files("symgrad")
    assert package.joinpath("py.typed").is_file()
    names = {entry.name for entry in package.joinpath("data", "mnist").iterdir()}
    assert "SOURCE.md" in names and len([name for name in names if name.endswith(".gz")]) == 4
