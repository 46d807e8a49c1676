"""Models, checkpoints and batches by what a person types: a shipped name, a Python file, a run's folder, a number."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import symgrad.models
from symgrad.errors import ConfigurationError, ModelError, NotFoundError, SymgradError
from symgrad.storage import checkpoint
from symgrad.training.model import Model

RUNS = Path("runs")


def shipped() -> dict[str, str]:
    """The names of the models that ship, with their modules."""
    found = (m.name for m in pkgutil.iter_modules(symgrad.models.__path__))
    return {name.replace("_", "-"): f"symgrad.models.{name}" for name in sorted(found)}


def step_rows(batch_size: str | None, rows: int) -> int | None:
    """The rows of a step out of so many. Raises ConfigurationError."""
    if batch_size is None or batch_size == "full":
        return rows if batch_size else None
    if not (batch_size.isdigit() and int(batch_size) > 0):
        raise ConfigurationError(f"--batch-size is a whole number from 1 on, or full; not {batch_size!r}")
    return int(batch_size)


def _function(name: str) -> tuple[Callable[..., Any], str, str]:
    """The model function, its short name and its file ("" when it ships)."""
    known = shipped()
    if name in known:
        return importlib.import_module(known[name]).model, name, ""
    path = Path(name)
    if path.suffix != ".py" and not path.is_file():
        close = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean {close[0]}" if close else ""
        raise NotFoundError(f"there is no model {name!r}{hint}; there are {', '.join(known)}, or give a Python file")
    if not path.is_file():
        raise NotFoundError(f"there is no file {path}")
    spec = importlib.util.spec_from_file_location(f"_symgrad_model_{path.stem}", path.resolve())
    loader = spec.loader if spec is not None else None
    if spec is None or loader is None:
        raise ModelError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    _guarded(path, lambda: loader.exec_module(module))
    function = getattr(module, "model", None)
    if not callable(function):
        raise ModelError(
            f"{path} defines no function model(); a model file holds: def model(hidden=512): ... return sg.Model(...)"
        )
    return function, path.stem.replace("_", "-"), str(path)


def _guarded(path: Path | str, action: Callable[[], Any]) -> Any:
    """Run a user's model code; its failures become a paragraph with the line in their file."""
    try:
        return action()
    except SymgradError:
        raise
    except SyntaxError as error:
        raise ModelError(f"{path}, line {error.lineno}: {error.msg}") from None
    except Exception as error:
        trace, line = error.__traceback__, 0
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == str(Path(path).resolve()):
                line = trace.tb_lineno
            trace = trace.tb_next
        raise ModelError(f"{path}{f', line {line}' if line else ''}: {type(error).__name__}: {error}") from None


def _value(text: str, default: Any, name: str) -> Any:
    """A parameter's text as the kind its default has."""
    kind = type(default)
    if kind is bool:
        if text.lower() in ("true", "yes", "1", "false", "no", "0"):
            return text.lower() in ("true", "yes", "1")
        raise ConfigurationError(f"{name} is true or false, not {text!r}")
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            raise ConfigurationError(
                f"{name} is {'a whole number' if kind is int else 'a number'}, not {text!r}"
            ) from None
    return text


def find_model(name: str, parameters: Sequence[str], features: int | None = None) -> Model:
    """The model a person means, built; an argument `features` that was not given takes the width of the data.

    Raises NotFoundError, ModelError, ConfigurationError.
    """
    function, short, path = _function(name)
    known = inspect.signature(function).parameters
    arguments: dict[str, Any] = {}
    for text in parameters:
        key, separator, value = text.partition("=")
        if not separator or key not in known:
            raise ConfigurationError(
                f"-p {text}: {name} has the parameters "
                f"{', '.join(f'{k}={p.default}' for k, p in known.items()) or 'none'}"
            )
        arguments[key] = _value(value, known[key].default, key)
    if features is not None and "features" in known and "features" not in arguments:
        arguments["features"] = features
    model = _guarded(path or name, lambda: function(**arguments))
    if not isinstance(model, Model):
        raise ModelError(f"{name}: model() returned {type(model).__name__}, not an sg.Model")
    model.name, model.source = short, path
    model.arguments = {
        k: arguments.get(k, p.default)
        for k, p in known.items()
        if isinstance(arguments.get(k, p.default), int | float | str | bool)
    }
    return model


def find_checkpoint(text: str | None) -> Path:
    """A checkpoint from a file, a run's folder (the newest valid one in it) or nothing (the newest run)."""
    if text is None:
        folders = sorted({f.parent for f in RUNS.glob("*/*.safetensors")}, key=lambda f: f.stat().st_mtime)
        if not folders:
            raise NotFoundError(
                "there is no run in runs/ yet: train one with `symgrad train mnist-mlp`, or name a checkpoint"
            )
        path = folders[-1]
    else:
        path = Path(text)
    if not path.exists():
        raise NotFoundError(f"there is no file or folder {path}")
    if path.is_file():
        return path
    found = checkpoint.newest(path)
    for damaged, reason in found.skipped:
        print(f"skipped {damaged}: {reason}", file=sys.stderr)
    if found.path is None:
        raise NotFoundError(f"the folder {path} holds no valid checkpoint")
    return found.path


ABOUT: dict[str, tuple[type, int, int]] = {
    "data": (str, 1, 4096), "label": (str, 1, 4096), "limit": (int, 1, 1 << 40), "validation": (int, 0, 1 << 40),
    "threads": (int, 1, 256),
}  # fmt: skip - the kind of each fact about a run, and the least and the most that it (or its length) may be


def checked_about(about: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """What a checkpoint says its run was about; it is a stranger's. Raises ModelError."""
    for name, (kind, low, high) in ABOUT.items():
        value = about.get(name)
        if value is None:
            continue
        measure = len(value) if isinstance(value, str) else value
        if type(value) is not kind or not low <= measure <= high or not str(value).isprintable():
            raise ModelError(f"{path}: the fact {name} about its run is damaged; name the data again in a new run")
    return {name: about.get(name) for name in ABOUT}


def new_run(name: str) -> Path:
    """A folder in runs/ that is not there yet, so that nothing saved is ever overwritten."""
    for number in range(1, 100_000):
        path = RUNS / f"{name}-{number:03d}"
        if not path.exists():
            return path
    raise ConfigurationError("runs/ is full; name a folder with --out")
