"""The options and arguments that several commands share, as types."""

from __future__ import annotations

from typing import Annotated

import typer


def _without_cache(value: bool) -> None:
    """Imported only when asked for, so that --help stays immediate."""
    if value:
        from symgrad.codegen import cache

        cache.leave()


NoCache = Annotated[
    bool,
    typer.Option("--no-cache", callback=_without_cache, help="Compile in memory: neither read nor write the cache."),
]
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
Output = Annotated[str | None, typer.Option("-o", "--out", metavar="FILE", help="The file to write.")]
Data = Annotated[str | None, typer.Option(help="An IDX folder, a .npz or a .csv file; MNIST when left out.")]
Label = Annotated[str | None, typer.Option(help="The label column of a .csv file.")]
Checkpoint = Annotated[
    str | None,
    typer.Argument(metavar="[CHECKPOINT]", help="A checkpoint or a run's folder; the newest in runs/ when left out."),
]
OptimizerName = Annotated[str | None, typer.Option(help="One of those that `symgrad optimizers` lists.")]
WeightDecay = Annotated[float | None, typer.Option(help="Pulls weights to 0: L2, or decoupled in adamw and lion.")]
ClipValue = Annotated[float | None, typer.Option(help="The most that an entry of a gradient may be in size.")]
ClipNorm = Annotated[float | None, typer.Option(help="The most that the norm of all gradients together may be.")]
BatchSize = Annotated[
    str | None, typer.Option(help="Rows a step; 1 is stochastic descent, `full` takes all rows.")
]
Dtype = Annotated[str | None, typer.Option(help="float32 or float64.")]
Precision = Annotated[
    str | None,
    typer.Option(help="bfloat16 rounds the factors of matrix products to that; sums and weights stay float32."),
]
Threads = Annotated[int | None, typer.Option(min=1, max=256, help="Threads; all processors when left out.")]
