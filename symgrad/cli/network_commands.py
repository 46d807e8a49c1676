"""Commands about a network and its data as a user types them: train, evaluate, predict.

A command imports its work when it runs, so that --help is immediate.
"""

from __future__ import annotations

from typing import Annotated

import typer

from symgrad.cli.options import (
    BatchSize,
    Checkpoint,
    ClipNorm,
    ClipValue,
    Data,
    Dtype,
    Json,
    Label,
    ModelArgument,
    NoCache,
    OptimizerName,
    Parameters,
    Precision,
    Threads,
    WeightDecay,
)


def train(
    model: ModelArgument,
    param: Parameters = None,
    epochs: Annotated[int | None, typer.Option(min=0, help="Times through the training data.")] = None,
    batch_size: BatchSize = None,
    optimizer: OptimizerName = None,
    learning_rate: Annotated[float | None, typer.Option(help="The optimizer's learning rate.")] = None,
    weight_decay: WeightDecay = None,
    clip_value: ClipValue = None,
    clip_norm: ClipNorm = None,
    schedule: Annotated[
        str | None,
        typer.Option(
            help="constant, step[:FACTOR:EVERY], exponential[:FACTOR] or cosine; after a warm-up of some epochs as in "
            "warmup:2+cosine, or of steps as in warmup:500steps+cosine."
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Decides starting weights and order of the data.  [default: 0]")
    ] = None,
    threads: Threads = None,
    dtype: Dtype = None,
    precision: Precision = None,
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
    no_cache: NoCache = False,
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
            weight_decay,
            clip_value,
            clip_norm,
            schedule,
            seed,
            threads,
            dtype,
            precision,
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


def evaluate(
    checkpoint: Checkpoint = None,
    data: Data = None,
    label: Label = None,
    limit: Annotated[int | None, typer.Option(min=1)] = None,
    threads: Threads = None,
    no_cache: NoCache = False,
    json: Json = False,
) -> None:
    """Loss, metrics and the confusion matrix of a trained model on the test data."""
    from symgrad.cli.apply import evaluate_command

    evaluate_command(checkpoint, data, label, limit, threads, json)


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
    no_cache: NoCache = False,
    json: Json = False,
) -> None:
    """What a trained model makes of images: probabilities, and the digit drawn in the terminal."""
    from symgrad.cli.apply import predict_command

    predict_command(images or [], checkpoint, test_index or [], data, json)
