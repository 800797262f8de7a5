"""Sorting more rows than memory holds: sorted runs in files, then a merge of many runs at once.

Rows are uint64 and are sorted by their first column; rows of one key stay in the order in which they were added. Keys
may be as unequally distributed as they like: the merge takes blocks, never a whole key. Little stays in memory:
``memory_bytes`` at most, in which sorting and merging find room too. The files are private to a task and gone with it.

Costs on one core that others kept busy: .3 us a row of two columns, through files or not.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from textmill.errors import EnvironmentFault

Rows = NDArray[np.uint64]

LEAST_BLOCK_ROWS = 1024  # of each run while merging: fewer would be many small reads
_COPIES = 3  # a row is held as it came, sorted, and by its place in the order


class ExternalSort:
    """Add rows, then read them all in order, once."""

    def __init__(self, folder: Path, n_columns: int, memory_bytes: int) -> None:
        self._folder, self._n_columns = folder, n_columns
        self.capacity = max(memory_bytes // (8 * n_columns * _COPIES), 2 * LEAST_BLOCK_ROWS)  # in rows
        self._held: list[Rows] = []
        self._n_held = 0
        self._runs: list[_Run] = []

    def add(self, rows: Rows) -> None:
        """Rows [n, columns], in any order."""
        for first in range(0, len(rows), self.capacity):
            piece = rows[first : first + self.capacity]
            if self._n_held + len(piece) > self.capacity:
                self._runs.append(self._write([self._take()]))
            self._held.append(piece)
            self._n_held += len(piece)

    def blocks(self) -> Iterator[Rows]:
        """All rows in order, in blocks; none of them is empty."""
        if self._runs:
            self._runs.append(self._write([self._take()]))
            yield from self._merged()
        elif self._n_held:
            yield self._take()

    def _take(self) -> Rows:
        """What is held, sorted."""
        rows = _sorted(self._held, self._n_columns)
        self._held, self._n_held = [], 0
        return rows

    def _write(self, blocks: Iterator[Rows] | list[Rows]) -> _Run:
        path, n = self._folder / f"{uuid.uuid4().hex}.run", 0
        with path.open("wb") as stream:
            for rows in blocks:
                np.ascontiguousarray(rows).tofile(stream)
                n += len(rows)
        return _Run(path, n)

    def _merged(self) -> Iterator[Rows]:
        fan_in = self.capacity // LEAST_BLOCK_ROWS
        while len(self._runs) > fan_in:  # neighbours first, so that equal keys stay in order
            groups = [self._runs[i : i + fan_in] for i in range(0, len(self._runs), fan_in)]
            self._runs = [self._write(self._merge(group)) for group in groups]
        yield from self._merge(self._runs)

    def _merge(self, runs: list[_Run]) -> Iterator[Rows]:
        readers = [_Reader(run, self._n_columns, self.capacity // len(runs)) for run in runs]
        while readers := [reader for reader in readers if reader.refill()]:
            pieces = _next_pieces(readers)
            yield _sorted(pieces, self._n_columns)
        for run in runs:
            run.path.unlink()


class _Run(NamedTuple):
    path: Path
    n_rows: int


class _Reader:
    """The rows of a run, of which a block is at hand."""

    def __init__(self, run: _Run, n_columns: int, block_rows: int) -> None:
        self._run, self._n_columns, self._block_rows = run, n_columns, block_rows
        self._n_read = 0
        self.rows: Rows = np.empty((0, n_columns), np.uint64)

    @property
    def has_more(self) -> bool:
        """Whether rows are still in the file."""
        return self._n_read < self._run.n_rows

    def refill(self) -> bool:
        """Reads a block if none is at hand; False at the end. Errors: `EnvironmentFault` for a file cut short."""
        if not len(self.rows) and self.has_more:
            n = min(self._block_rows, self._run.n_rows - self._n_read)
            row_bytes = 8 * self._n_columns
            found = np.fromfile(self._run.path, np.uint64, n * self._n_columns, offset=self._n_read * row_bytes)
            if len(found) < n * self._n_columns:
                raise EnvironmentFault(f"{self._run.path}: shorter than it was written; is the disk full or broken?")
            self.rows = found.reshape(n, self._n_columns)
            self._n_read += n
        return len(self.rows) > 0

    def take(self, bound: np.uint64, inclusive: bool) -> Rows:
        """The rows at hand up to a key."""
        n = int(np.searchsorted(self.rows[:, 0], bound, "right" if inclusive else "left"))
        taken, self.rows = self.rows[:n], self.rows[n:]
        return taken


def _next_pieces(readers: list[_Reader]) -> list[Rows]:
    """Rows that come before all that is still in files, of runs in their order.

    That is everything below the least last key at hand. Of that key itself an earlier run may have more in its file:
    then what later runs have of it must wait.
    """
    lasts = [reader.rows[-1, 0] for reader in readers if reader.has_more]
    if not lasts:
        pieces = [reader.rows for reader in readers]
        for reader in readers:
            reader.rows = reader.rows[:0]
        return pieces
    bound, inclusive, pieces = min(lasts), True, []
    for reader in readers:
        goes_on = reader.has_more and reader.rows[-1, 0] == bound
        pieces.append(reader.take(bound, inclusive))
        inclusive &= not goes_on
    return pieces


def _sorted(pieces: list[Rows], n_columns: int) -> Rows:
    rows = np.concatenate([np.empty((0, n_columns), np.uint64), *pieces])
    return rows[np.argsort(rows[:, 0], kind="stable")]
