"""The list of commands, and what every failure becomes: one paragraph and an exit code, never a traceback.

Only the standard library and typer are imported here; each command imports its work when it runs.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from typing import Annotated

import typer

from symgrad import __version__
from symgrad.cli import formula_commands, machine_commands, network_commands
from symgrad.errors import SymgradError

app = typer.Typer(
    name="symgrad",
    help="Symbolic differentiation compiler: define a network as an expression, see its gradients as "
    "formulas, train it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
cache_app = typer.Typer(help="The kernels kept on disk.", no_args_is_help=True)
app.add_typer(cache_app, name="cache")


def _version(value: bool) -> None:
    if value:
        print(f"symgrad {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


for command in (
    network_commands.train,
    network_commands.evaluate,
    network_commands.predict,
    formula_commands.gradients,
    formula_commands.derive,
    formula_commands.check,
    formula_commands.graph,
    formula_commands.cost,
    formula_commands.report,
    machine_commands.summary,
    machine_commands.source,
    machine_commands.profile,
    machine_commands.models,
    machine_commands.optimizers,
    machine_commands.info,
):
    app.command()(command)
cache_app.command("clear")(machine_commands.cache_clear)


def _terminate(number: int, frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: what follows saves a checkpoint
    raise SystemExit(143)


def complain(text: str) -> None:
    """A paragraph on stderr."""
    print(f"error: {text}", file=sys.stderr)


def run(arguments: list[str]) -> int:
    """Run a command line; its exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        result = app(arguments, standalone_mode=False)
        sys.stdout.flush()
        if result == 130:  # typer's own answer to Ctrl-C
            complain("interrupted")
        return result if isinstance(result, int) else 0
    except SymgradError as error:
        complain(str(error))
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        complain("interrupted")
        return 130
    except BrokenPipeError:
        return _unheard()
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):  # typer's own answer, where a write failed and not the flush
            return _unheard()
        return stop.code if isinstance(stop.code, int) else 1
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        complain(f"{error.strerror or error}{place}")
        return 74 if error.errno in (errno.ENOSPC, errno.EIO, errno.EDQUOT) else 1
    except MemoryError:
        complain("there is not enough memory; try a smaller --batch-size or --limit")
        return 1
    except Exception as error:
        return _usage(error)


def _unheard() -> int:
    """The reader of our output has gone: there is nothing more to say, and that is no error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _usage(error: Exception) -> int:
    """Usage errors in the parser's own words; anything else is a fault of ours, named with its place."""
    show = getattr(error, "show", None)
    if show is not None:
        show()
        return int(getattr(error, "exit_code", 2))
    trace, place = error.__traceback__, ""
    while trace is not None:
        place = f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}"
        trace = trace.tb_next
    complain(f"internal error, please report it: {type(error).__name__}: {error} (at {place})")
    return 1
