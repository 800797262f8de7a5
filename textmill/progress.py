"""How far a run is, on a terminal: a bar for what is at work, and a line for what is done."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from textmill.pipeline.runner import ShardReport
from textmill.pipeline.stage import Stage


class RunProgress:
    """A bar for the stage at work, and one line for each that is done. Implements `textmill.pipeline.runner.Progress`.

    Lines go to standard error, so that standard output stays what a command prints.
    """

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False)
        self.n_executed = 0
        self._bar = _progress_bar(self.console)
        self._task: TaskID | None = None
        self._rows, self._began = 0, 0.0

    def __enter__(self) -> RunProgress:
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def start(self, stage: Stage, n_shards: int, n_done: int) -> None:
        total = n_shards if n_shards > 1 else None  # a single long task has no honest share yet
        self._rows, self._began = 0, time.monotonic()
        if n_done < n_shards:
            self._task = self._bar.add_task(stage.name, total=total, completed=n_done, note="")

    def advance(self, stage: Stage, report: ShardReport) -> None:
        self._rows += int(report.get("rows_in", 0))
        rate = self._rows / max(1e-9, time.monotonic() - self._began)
        if self._task is not None:
            note = f"{self._rows:,} documents, {rate:,.0f}/s" if self._rows else ""
            self._bar.update(self._task, advance=1, note=note)

    def inside(self, stage: Stage, done: int, total: int, note: str) -> None:
        if self._task is not None:
            self._bar.update(self._task, completed=done, total=total, note=note)

    def finish(self, stage: Stage, totals: Mapping[str, int], n_run: int, seconds: float) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None
        self.n_executed += n_run
        took = f"{seconds:6.1f} s" if n_run else " there already"
        self.console.print(f"{stage.name:<14}{took:>14}  {_in_words(totals)}")


@contextlib.contextmanager
def training_progress(n_steps: int, *, shown: bool = True) -> Iterator[Callable[[Any], None]]:
    """A bar for a training by itself; yields what to call with the log of each step."""
    with _progress_bar(Console(stderr=True, highlight=False, quiet=not shown)) as bar:
        task = bar.add_task("training", total=n_steps, note="")
        yield lambda log: bar.update(task, completed=log.step, note=f"loss {log.loss:.3f}")


@contextlib.contextmanager
def share_progress(what: str, total: int) -> Iterator[Callable[[float], None]]:
    """A bar for a single piece of work; yields what to call, from any thread, with how much more of it is done."""
    with _progress_bar(Console(stderr=True, highlight=False)) as bar:
        task = bar.add_task(what, total=total, note="")
        yield lambda more: bar.advance(task, more)


def _progress_bar(on: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<14}"),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=on,
        transient=True,
        disable=on.quiet or not on.is_terminal,
    )


def _in_words(totals: Mapping[str, int]) -> str:
    if "train_n_tokens" in totals:
        held_out = f"{totals['val_n_tokens']:,}" if totals["val_n_tokens"] else "none"
        return f"{totals['rows_out']:,} rows, {totals['train_n_tokens']:,} tokens; {held_out} for validation"
    if "rows_in" in totals:
        removed = totals["rows_in"] - totals["rows_out"]
        return f"{totals['rows_out']:,} rows" + (f", {removed:,} removed" if removed else "")
    shown = {name: n for name, n in totals.items() if not name[-1].isdigit()}  # the others are bars of a histogram
    return ", ".join(f"{n:,} {name.removeprefix('n_').replace('_', ' ')}" for name, n in shown.items())
