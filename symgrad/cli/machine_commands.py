"""Commands about what is compiled and what there is: summary, source, profile, models, optimizers, info, cache clear.

A command imports its work when it runs, so that --help is immediate.
"""

from __future__ import annotations

from typing import Annotated

import typer

from symgrad.cli.options import (
    BatchSize,
    ClipNorm,
    ClipValue,
    Data,
    Dtype,
    Json,
    ModelArgument,
    NoCache,
    OptimizerName,
    Parameters,
    Precision,
    Threads,
    WeightDecay,
)


def summary(model: ModelArgument, param: Parameters = None, json: Json = False) -> None:
    """Named nodes, shapes and parameters of a model."""
    from symgrad.cli.inspect import summary_command

    summary_command(model, param or [], json)


def source(
    model: ModelArgument,
    param: Parameters = None,
    dtype: Dtype = None,
    precision: Precision = None,
    optimizer: OptimizerName = None,
    weight_decay: WeightDecay = None,
    clip_value: ClipValue = None,
    clip_norm: ClipNorm = None,
    json: Json = False,
) -> None:
    """The generated Python module that Numba compiles for training."""
    from symgrad.cli.inspect import source_command

    changes = {"weight_decay": weight_decay, "clip_value": clip_value, "clip_norm": clip_norm}
    source_command(model, param or [], json, dtype=dtype, precision=precision, optimizer=optimizer, **changes)


def profile(
    model: ModelArgument,
    param: Parameters = None,
    data: Data = None,
    batch_size: BatchSize = None,
    threads: Threads = None,
    dtype: Dtype = None,
    precision: Precision = None,
    no_cache: NoCache = False,
    json: Json = False,
) -> None:
    """Where the time of a training step goes: microseconds, share, GFLOP/s, of what is possible, bytes of each formula.

    Possible is what threads reach together with multiply-adds between registers and nothing else, in the same run.
    """
    from symgrad.cli.inspect import profile_command

    profile_command(model, param or [], data, batch_size, json, threads=threads, dtype=dtype, precision=precision)


def models(json: Json = False) -> None:
    """The models that ship."""
    from symgrad.cli.inspect import models_command

    models_command(json)


def optimizers(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One of them; all when left out.")] = None,
    format: Annotated[str, typer.Option(help="text or latex.")] = "text",
    json: Json = False,
) -> None:
    """The optimizers there are; one of them as the formula that is compiled, with its numbers and its paper."""
    from symgrad.cli.optimizers import optimizers_command

    optimizers_command(name, format, json)


def info(json: Json = False) -> None:
    """Versions, processor, threads and cache."""
    from symgrad.cli.inspect import info_command

    info_command(json)


def cache_clear(json: Json = False) -> None:
    """Remove every kept kernel."""
    from symgrad.cli.inspect import cache_clear_command

    cache_clear_command(json)
