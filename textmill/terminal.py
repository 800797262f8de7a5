"""Tables on a terminal, and text that is safe to print.

Page text is hostile: control characters could move the cursor, change the title or forge a line of log. Everything that
comes from data passes through `safe` before it is printed.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from textmill.schema import show_doc_id

ID_COLUMNS = ("doc_id", "doc_id_a", "doc_id_b", "cluster", "keeper", "known_doc_id")
MAX_CELL = 300


def safe(value: object, max_chars: int = 200) -> str:
    """A value as one line of printable characters, cut to ``max_chars``. Control characters show as escapes."""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    text = text[: max_chars + 1]
    shown = text
    if not text.isprintable():
        shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown if len(shown) <= max_chars else shown[: max_chars - 1] + "…"


def console() -> Console:
    """Standard output, as wide as the terminal (100 columns where it is none)."""
    return Console(highlight=False, soft_wrap=False, width=None if sys.stdout.isatty() else 100)


@contextlib.contextmanager
def counter(what: str, total: int) -> Iterator[Callable[[float], None]]:
    """A bar on standard error while many things are done; yields what to call with how many more are."""
    on = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(bar_width=30), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=on, transient=True, disable=total < 2 or not on.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda n: bar.advance(task, n)


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
