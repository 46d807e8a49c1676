"""The commands and their options, and what every failure becomes: one paragraph and an exit code, never a traceback.

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

ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="A model's name (see `symgrad models`) or a Python file.")
]
Parameters = Annotated[
    list[str] | None, typer.Option("-p", "--param", metavar="NAME=VALUE", help="An argument of the model's function.")
]
Wrt = Annotated[
    list[str] | None,
    typer.Option("--wrt", help="With respect to what; may be given often; to everything when left out."),
]
Json = Annotated[bool, typer.Option("--json", help="Data on stdout as JSON, everything else on stderr.")]
Data = Annotated[str | None, typer.Option(help="An IDX folder, a .npz or a .csv file; MNIST when left out.")]
Label = Annotated[str | None, typer.Option(help="The label column of a .csv file.")]
Checkpoint = Annotated[
    str | None,
    typer.Argument(metavar="[CHECKPOINT]", help="A checkpoint or a run's folder; the newest in runs/ when left out."),
]
Threads = Annotated[int | None, typer.Option(min=1, max=256, help="Threads; all processors when left out.")]


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


@app.command()
def train(
    model: ModelArgument,
    param: Parameters = None,
    epochs: Annotated[int | None, typer.Option(min=0, help="Times through the training data.")] = None,
    batch_size: Annotated[
        str | None, typer.Option(help="Rows a step; 1 is stochastic descent, `full` takes all rows.")
    ] = None,
    optimizer: Annotated[str | None, typer.Option(help="sgd, momentum, nesterov, adagrad, rmsprop or adam.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The optimizer's learning rate.")] = None,
    schedule: Annotated[
        str | None, typer.Option(help="constant, step[:FACTOR:EVERY], exponential[:FACTOR] or cosine.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Decides starting weights and order of the data.  [default: 0]")
    ] = None,
    threads: Threads = None,
    dtype: Annotated[str | None, typer.Option(help="float32 or float64.")] = None,
    validation: Annotated[
        int | None, typer.Option(min=0, help="Rows held out from the end of the training data.  [default: 5000]")
    ] = None,
    early_stopping: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many epochs without a better validation loss.")
    ] = None,
    out: Annotated[
        str | None, typer.Option(help="Folder for checkpoints and history; a new one in runs/ when left out.")
    ] = None,
    resume: Annotated[str | None, typer.Option(help="Go on from a checkpoint or a run's folder.")] = None,
    data: Data = None,
    label: Label = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Use only the first rows of the data.")] = None,
    json: Json = False,
) -> None:
    """Derive, compile and train a model; prints the formulas, the progress and the test accuracy."""
    from symgrad.cli.train import Request, train_command

    train_command(
        Request(
            model,
            param or [],
            epochs,
            batch_size,
            optimizer,
            learning_rate,
            schedule,
            seed,
            threads,
            dtype,
            validation,
            early_stopping,
            out,
            resume,
            data,
            label,
            limit,
            json,
        )
    )


@app.command()
def evaluate(
    checkpoint: Checkpoint = None,
    data: Data = None,
    label: Label = None,
    limit: Annotated[int | None, typer.Option(min=1)] = None,
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Loss, metrics and the confusion matrix of a trained model on the test data."""
    from symgrad.cli.apply import evaluate_command

    evaluate_command(checkpoint, data, label, limit, threads, json)


@app.command()
def predict(
    images: Annotated[
        list[str] | None, typer.Argument(metavar="[IMAGE]...", help="PNG or .npy files of digits.")
    ] = None,
    checkpoint: Annotated[
        str | None, typer.Option(help="A checkpoint or a run's folder; the newest in runs/ when left out.")
    ] = None,
    test_index: Annotated[
        list[int] | None, typer.Option("--test-index", "-i", min=0, help="A row of the test data; may be given often.")
    ] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """What a trained model makes of images: probabilities, and the digit drawn in the terminal."""
    from symgrad.cli.apply import predict_command

    predict_command(images or [], checkpoint, test_index or [], data, json)


@app.command()
def gradients(
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="A model's name or a Python file.")] = None,
    param: Parameters = None,
    wrt: Wrt = None,
    expression: Annotated[
        str | None, typer.Option(help='A scalar formula instead of a model: "sum((X @ w - y)**2)".')
    ] = None,
    shape: Annotated[
        list[str] | None, typer.Option(metavar="NAME=SIZES", help="A name of the formula: X=m,n or s= ")
    ] = None,
    notation: Annotated[str, typer.Option(help="matrix, index or numpy.")] = "matrix",
    format: Annotated[str, typer.Option(help="text, latex or html.")] = "text",
    depth: Annotated[int | None, typer.Option(min=0, help="Explain only names that are so many steps away.")] = None,
    json: Json = False,
) -> None:
    """The gradient of a loss with respect to every parameter, as formulas that have been checked."""
    from symgrad.cli.formulas import Wanted, gradients_command

    gradients_command(Wanted(model, param or [], wrt or [], expression, shape or [], notation, format, depth, json))


@app.command()
def derive(
    model: ModelArgument,
    param: Parameters = None,
    wrt: Annotated[
        list[str] | None, typer.Option("--wrt", help="A parameter; may be given often; all when left out.")
    ] = None,
    json: Json = False,
) -> None:
    """How the gradients come about: each rule by name, what came in and what went out, then the simplifications."""
    from symgrad.cli.formulas import derive_command

    derive_command(model, param or [], wrt or [], json)


@app.command()
def check(model: ModelArgument, param: Parameters = None, json: Json = False) -> None:
    """Prove the gradients at length; compare formula, interpreter and kernel, and the naive way of nudging a weight."""
    from symgrad.cli.formulas import check_command

    check_command(model, param or [], json)


@app.command()
def summary(model: ModelArgument, param: Parameters = None, json: Json = False) -> None:
    """Named nodes, shapes and parameters of a model."""
    from symgrad.cli.inspect import summary_command

    summary_command(model, param or [], json)


@app.command()
def source(
    model: ModelArgument,
    param: Parameters = None,
    dtype: Annotated[str | None, typer.Option(help="float32 or float64.")] = None,
    optimizer: Annotated[str | None, typer.Option()] = None,
    json: Json = False,
) -> None:
    """The generated Python module that Numba compiles for training."""
    from symgrad.cli.inspect import source_command

    source_command(model, param or [], dtype, optimizer, json)


@app.command()
def profile(
    model: ModelArgument, param: Parameters = None, data: Data = None, threads: Threads = None, json: Json = False
) -> None:
    """Where the time of a training step goes: microseconds, share, GFLOP/s and bytes of each formula's block."""
    from symgrad.cli.inspect import profile_command

    profile_command(model, param or [], data, threads, json)


@app.command()
def models(json: Json = False) -> None:
    """The models that ship."""
    from symgrad.cli.inspect import models_command

    models_command(json)


@app.command()
def info(json: Json = False) -> None:
    """Versions, processor, threads and cache."""
    from symgrad.cli.inspect import info_command

    info_command(json)


@cache_app.command("clear")
def cache_clear(json: Json = False) -> None:
    """Remove every kept kernel."""
    from symgrad.cli.inspect import cache_clear_command

    cache_clear_command(json)


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
        return result if isinstance(result, int) else 0
    except SymgradError as error:
        complain(str(error))
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        complain("interrupted")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has gone; nothing more to say
        return 0
    except SystemExit as stop:
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
