"""What the command line shows on a terminal: progress, tables, and text that is safe to print.

Page text is hostile: control characters could move the cursor, change the title or forge a line of log. Everything that
comes from data passes through `safe` before it is printed.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from textmill.pipeline.runner import ShardReport
from textmill.pipeline.stage import Stage
from textmill.schema import show_doc_id

ID_COLUMNS = ("doc_id", "doc_id_a", "doc_id_b", "cluster", "keeper")
MAX_CELL = 300


def safe(value: object, max_chars: int = 200) -> str:
    """A value as one line of printable characters, cut to ``max_chars``. Control characters show as escapes."""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    text = text[: max_chars + 1]
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown if len(shown) <= max_chars else shown[: max_chars - 1] + "…"


def console() -> Console:
    """Standard output, as wide as the terminal (100 columns where it is none)."""
    return Console(highlight=False, soft_wrap=False, width=None if sys.stdout.isatty() else 100)


def table(title: str, header: Sequence[str], rows: Iterable[Sequence[object]], *, max_chars: int = 60) -> Table:
    """A table whose cells are safe to print; numbers stand on the right."""
    made = Table(title=title, title_justify="left", header_style="bold", expand=False)
    body = [list(row) for row in rows]
    for i, name in enumerate(header):
        numeric = bool(body) and all(isinstance(row[i], int | float) or row[i] is None for row in body)
        made.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in body:
        made.add_row(*(Text(_cell(value, max_chars)) for value in row))
    return made


def _cell(value: object, max_chars: int) -> str:
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return safe(value, max_chars)


def size(n_bytes: float) -> str:
    """Bytes as people read them: 1.2 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} {unit}" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} TB"


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
def training_progress(n_steps: int) -> Iterator[Callable[[Any], None]]:
    """A bar for a training by itself; yields what to call with the log of each step."""
    with _progress_bar(Console(stderr=True, highlight=False)) as bar:
        task = bar.add_task("training", total=n_steps, note="")
        yield lambda log: bar.update(task, completed=log.step, note=f"loss {log.loss:.3f}")


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
        disable=not on.is_terminal,
    )


def _in_words(totals: Mapping[str, int]) -> str:
    if "rows_in" in totals:
        removed = totals["rows_in"] - totals["rows_out"]
        return f"{totals['rows_out']:,} rows" + (f", {removed:,} removed" if removed else "")
    return ", ".join(f"{n:,} {name.removeprefix('n_').replace('_', ' ')}" for name, n in totals.items())


def print_rows(rows: Sequence[Mapping[str, Any]], title: str) -> None:
    """Print rows of a table: as a table where they fit the terminal, else one after the other, a line a column."""
    shown = [{name: _shown(name, value) for name, value in row.items()} for row in rows]
    names = list(shown[0]) if shown else []
    widths = [max(len(name), *(len(_cell(row[name], MAX_CELL)) for row in shown)) for name in names]
    to = console()
    if sum(widths) + 3 * len(widths) < to.width:
        to.print(table(title, names, ([row[name] for name in names] for row in shown)))
        return
    to.print(Text(title, style="italic"))
    width = max(map(len, names))
    for row in shown:
        to.print()
        for name in names:
            to.print(Text(f"{name:<{width}}  ", style="bold").append(_cell(row[name], MAX_CELL), style="not bold"))


def _shown(name: str, value: Any) -> Any:
    """Document ids in the form that people can read and give back."""
    return show_doc_id(value) if name in ID_COLUMNS and value is not None else value
