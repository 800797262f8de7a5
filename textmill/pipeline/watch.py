"""What a guarded child process and its parent have in common: what a record may take, where it is, what is known of it.

The child says where it is through a `Cell` of shared memory, 3 us a record; the parent looks at it now and then. What
became of records that killed a child is a list of `Verdict`s beside the stage's output, so that every later attempt,
on any worker, skips the same records with the same status.
"""

from __future__ import annotations

import functools
import mmap
import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields

from textmill import storage

RESIDENT_S = 0.01  # to look at every record is 1 to 2% of a page; an allocator takes some 20 MB in that time


@dataclass(frozen=True)
class Limits:
    """What one record may take before the process is killed, and how often that may happen."""

    cpu_s: float = 10.0  # budgets leave under 1 s for the slowest page; 2.5 ms are usual
    wall_s: float = 30.0  # for what waits without working, and for a machine that is too busy
    memory_mb: float = 145.0  # beyond what it holds as the record begins (235 to 300); budgets leave 110 for a page
    max_verdicts: int = 20  # after that many in a shard, the records after the last of them are not tried


@dataclass(frozen=True)
class Verdict:
    """A record that ended the process, or for which it was ended."""

    offset: int
    index: int
    status: str
    reason: str  # for people

    @property
    def place(self) -> tuple[int, int]:
        return self.offset, self.index


def load_verdicts(uri: str) -> list[Verdict]:
    """The verdicts at ``uri``; none if there is no such file."""
    try:
        return [Verdict(**value) for value in storage.read_json(uri)]
    except FileNotFoundError:
        return []


def save_verdicts(uri: str, verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Publish verdicts and return all that hold, in the order of the archive; those of another attempt come first."""
    all_of_them = {v.place: v for v in [*verdicts, *load_verdicts(uri)]}
    ordered = [all_of_them[place] for place in sorted(all_of_them)]
    storage.write_json([asdict(verdict) for verdict in ordered], uri)
    return ordered


@dataclass(frozen=True, slots=True)
class Position:
    """Where a child is: in a record if ``sequence`` is odd, getting ready if it is 0, else between records."""

    sequence: int
    offset: int  # of the record that it is in, or was in last; -1 before the first
    index: int
    resident: int  # bytes of memory that it held as it began the record (`RESIDENT_S` before at most), or became ready

    @property
    def is_ready(self) -> bool:
        return self.sequence > 0

    @property
    def in_record(self) -> bool:
        return self.sequence % 2 == 1

    @property
    def where(self) -> str:
        """The place in words."""
        if not self.is_ready:
            return "before it is ready"
        if self.offset < 0:
            return "reading on from the beginning"
        return f"{'in' if self.in_record else 'reading on from'} record {self.index} at byte {self.offset}"


class Cell:
    """A `Position` in shared memory. The sequence is written last: whoever sees it sees the place that it is about."""

    N_BYTES = 8 * len(fields(Position))

    def __init__(self, buffer: mmap.mmap | bytearray) -> None:
        self._words = memoryview(buffer).cast("q")

    def read(self) -> Position:
        return Position(*self._words)

    def write(self, sequence: int, offset: int, index: int, resident: int) -> None:
        """The fields of a `Position`."""
        words = self._words
        words[3] = resident
        words[2] = index
        words[1] = offset
        words[0] = sequence

    def move_on(self, sequence: int) -> None:
        """Another sequence at the same place."""
        self._words[0] = sequence


class Watch:
    """Takes a loop over records past those that are condemned, and says in a cell where it is."""

    def __init__(self, verdicts: list[Verdict], limits: Limits, cell: Cell) -> None:
        self._condemned = {verdict.place: verdict.status for verdict in verdicts}
        self._last_tried = max(self._condemned) if len(self._condemned) >= limits.max_verdicts else None
        self._cell = cell
        self._sequence = 2
        self._status = ""  # of the record that it is at, if that is condemned
        self._resident, self._looked_s = resident_bytes(), time.monotonic()
        cell.write(self._sequence, -1, 0, self._resident)

    def record(self, offset: int, index: int) -> Watch:
        """To be entered to work on the record at this place; or, if that gives the status of a condemned one, not to.

        After an exception the cell goes on naming the record: it may be the end of the process.
        """
        self._status = self._verdict((offset, index))
        self._sequence += 2 if self._status else 1
        self._cell.write(self._sequence, offset, index, self._resident_now())
        return self

    def __enter__(self) -> str:
        return self._status

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        if kind is None and not self._status:
            self._sequence += 1
            self._cell.move_on(self._sequence)

    def _resident_now(self) -> int:
        now = time.monotonic()
        if now > self._looked_s + RESIDENT_S:
            self._resident, self._looked_s = resident_bytes(), now
        return self._resident

    def _verdict(self, place: tuple[int, int]) -> str:
        if self._last_tried is not None and place > self._last_tried:
            return "not_tried"
        return self._condemned.get(place, "")


def resident_bytes(pid: int | None = None) -> int:
    """Memory that a process (None: this one) holds; 0 of one that has ended."""
    if pid is None:  # to keep the file open takes a tenth of the time
        return _resident(os.pread(_own_statm(os.getpid()), 128, 0))
    with open(f"/proc/{pid}/statm", "rb", buffering=0) as statm:  # noqa: PTH123 - four times as fast
        return _resident(statm.read(128))


def _resident(statm: bytes) -> int:
    return int(statm.split()[1]) * mmap.PAGESIZE


@functools.lru_cache(maxsize=1)
def _own_statm(pid: int) -> int:
    return os.open(f"/proc/{pid}/statm", os.O_RDONLY | os.O_CLOEXEC)
