"""What a person sees of a training run under way. It knows events and their facts, nothing of the training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn


class Screen:
    """What a person sees: a bar for the epoch under way, a line for each that is done."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bar: Progress | None = None
        self.about: Mapping[str, Any] = {}

    def __call__(self, event: str, facts: Mapping[str, Any]) -> None:
        getattr(self, event)(facts)

    def epoch(self, facts: Mapping[str, Any]) -> None:
        self.about = facts
        if self.console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(30),
                MofNCompleteColumn(),
                TextColumn("{task.fields[text]}"),
            )
            self.bar = Progress(*columns, console=self.console, transient=True)
            self.bar.add_task(
                f"epoch {facts['epoch']}/{facts['epochs']}", total=facts["steps"], completed=facts["step"], text=""
            )
            self.bar.start()

    def steps(self, facts: Mapping[str, Any]) -> None:
        if self.bar is not None:
            self.bar.update(
                self.bar.task_ids[0],
                completed=facts["step"],
                text=numbers({k: v for k, v in facts.items() if k != "step"}),
            )

    def done(self, facts: Mapping[str, Any]) -> None:
        self.stop()
        bar = "━" * 20 + " " if self.console.width >= 100 else ""
        values = {k: v for k, v in facts.items() if k not in ("epoch", "seconds")}
        self.console.print(
            f"epoch {facts['epoch']}/{self.about['epochs']} {bar}{facts['seconds']:.2f} s  {numbers(values)}",
            highlight=False,
        )

    def stop(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


def numbers(values: Mapping[str, float]) -> str:
    """Named numbers on one line."""
    return "  ".join(f"{name} {value:.4f}" for name, value in values.items())
