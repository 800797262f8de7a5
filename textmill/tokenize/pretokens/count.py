"""Counting pretokens: of texts in memory and of files, on several threads, in bounded memory, exactly.

Text is read in blocks (`textmill.tokenize.pretokens.blocks`). Each is cut (`textmill.tokenize.pretokens.cut`), its
pretokens are numbered (`textmill.tokenize.pretokens.inventory`) and tallied.

Nothing rare is dropped. When a tally outgrows its share of memory, it is written to files by the hash of the pretoken
and begun anew; at the end each of these parts is added up by itself. What must fit in memory is the distinct pretokens
with their counts, once.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textmill.bits import hash_pieces, kernel, read_only
from textmill.errors import InputError, InvariantError
from textmill.tokenize.pretokens.blocks import BLOCK_BYTES, blocks, text_buffers
from textmill.tokenize.pretokens.cut import cut_pretokens
from textmill.tokenize.pretokens.inventory import Inventory
from textmill.tokenize.pretokens.pretokenizer import Pretokenizer, utf8
from textmill.tokenize.pretokens.special import SpecialTokens, copy_pieces

TALLY_BYTES = 1 << 30  # of memory for the tallies of all threads, before they are written to files
N_PARTS = 16


@dataclass(frozen=True)
class PretokenCounts:
    """The n distinct pretokens of a corpus; pretoken i is ``arena[starts[i]:starts[i + 1]]``, in UTF-8."""

    arena: NDArray[np.uint8]
    starts: NDArray[np.int64]  # [n + 1]
    counts: NDArray[np.int64]  # [n], how often each occurs
    places: NDArray[np.int64]  # [n], a number that is the smaller the earlier in the corpus it comes first

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def n_bytes(self) -> int:
        """Of the text that was counted."""
        return int(self.counts @ np.diff(self.starts))

    def in_order(self) -> PretokenCounts:
        """The same in the order of first appearance, which threads do not keep."""
        return self.chosen(np.argsort(self.places, kind="stable"))

    def chosen(self, numbers: NDArray[np.int64]) -> PretokenCounts:
        """The pretokens with these numbers, in this order."""
        sizes = np.diff(self.starts)[numbers]
        starts = np.concatenate([[0], np.cumsum(sizes)])
        arena = np.empty(int(starts[-1]), np.uint8)
        copy_pieces(read_only(self.arena), self.starts[numbers], sizes, arena)
        return PretokenCounts(arena, starts, self.counts[numbers], self.places[numbers])


def count_texts(
    documents: Iterable[pa.LargeStringArray],
    special_tokens: Sequence[str] = (),
    *,
    pattern: str = "gpt2",
    folder: Path | None = None,
    max_bytes: int | None = None,
) -> PretokenCounts:
    """How often each pretoken occurs in documents that are in memory; special tokens are left out.

    No pretoken crosses from one document to the next, so counts of shards may be added (`add_counts`). A tally that
    outgrows ``max_bytes`` (`TALLY_BYTES` unless given) goes to files in ``folder``, or where the system keeps temporary
    files. Errors: see `Pretokenizer`.
    """
    with ExitStack() as stack:
        counter = _Counter(pattern, special_tokens, max_bytes or TALLY_BYTES, _Parts.within(stack, folder))
        origin = 0
        for array in documents:
            data, bounds = text_buffers(array)
            for block in blocks(data, bounds, may_cut=counter.special.cross_no_cut):
                counter.add(data, block, origin)
            origin += len(data)
        return _total([counter])


def count_files(
    paths: Sequence[str | os.PathLike[str]],
    special_tokens: Sequence[str] = (),
    *,
    pattern: str = "gpt2",
    threads: int | None = None,
    on_bytes: Callable[[int], None] | None = None,
) -> PretokenCounts:
    """How often each pretoken occurs in UTF-8 text files, each a text by itself; special tokens are left out.

    ``threads`` are as many as there are cores unless given; ``on_bytes`` hears how many more bytes are done. Errors:
    `InputError` for a file that is missing or not UTF-8; see `Pretokenizer`.
    """
    n_threads = threads or len(os.sched_getaffinity(0))
    for path in paths:
        _mapped(path)  # better now than after an hour
    with ExitStack() as stack:
        parts = _Parts.within(stack, None)
        counters = [_Counter(pattern, special_tokens, TALLY_BYTES // n_threads, parts) for _ in range(n_threads)]
        shared = _Shared(_file_blocks(paths, counters[0].special.cross_no_cut))
        pool = stack.enter_context(ThreadPoolExecutor(n_threads))
        stack.callback(shared.stop)  # before the threads are waited for, also after Ctrl-C
        jobs = [pool.submit(_count_blocks, counter, shared, on_bytes) for counter in counters]
        for job in jobs:
            job.result()
        return _total(counters)


def count_pretokens(
    texts: Iterable[str], special_tokens: Sequence[str] = (), *, pattern: str = "gpt2"
) -> Counter[bytes]:
    """The same of strings, with a Python object for each pretoken (UTF-8), in order of first appearance."""
    documents = (pa.array([utf8(text).decode()], pa.large_string()) for text in texts)
    counts = count_texts(documents, special_tokens, pattern=pattern).in_order()
    arena, bounds = counts.arena.tobytes(), pairwise(counts.starts.tolist())
    return Counter({arena[start:end]: n for (start, end), n in zip(bounds, counts.counts.tolist(), strict=True)})


def add_counts(parts: Iterable[PretokenCounts]) -> PretokenCounts:
    """The counts of all parts together; of places the smaller stays."""
    tally = Tally()
    for part in parts:
        tally.add_counts(part)
    return tally.counts


class Tally:
    """Counts of distinct strings, as far as they have been added."""

    def __init__(self) -> None:
        self._inventory = Inventory()
        self._counts, self._places = np.zeros((2, 1 << 12), np.int64)

    def add(self, data: NDArray[np.uint8], start: int, ends: NDArray[np.int64], place: int) -> None:
        """Add strings that lie end to end from ``start`` on, whose place is ``place``."""
        n_known = len(self._inventory)
        numbers = self._inventory.number(data, start, ends)
        self._make_room()
        _tally(numbers, start, read_only(ends), place - start, n_known, self._counts, self._places)

    def add_counts(self, other: PretokenCounts) -> None:
        """Add what was counted elsewhere; the smaller place stays."""
        n_known = len(self._inventory)
        numbers = self._inventory.number(other.arena, int(other.starts[0]), other.starts[1:])
        self._make_room()
        _tally_counts(numbers, other.counts, other.places, n_known, self._counts, self._places)

    def _make_room(self) -> None:
        missing = len(self._inventory) - len(self._counts)
        if missing > 0:
            more = np.zeros(max(missing, len(self._counts)), np.int64)
            self._counts, self._places = np.concatenate([self._counts, more]), np.concatenate([self._places, more])

    @property
    def counts(self) -> PretokenCounts:
        n = len(self._inventory)
        return PretokenCounts(self._inventory.arena, self._inventory.starts, self._counts[:n], self._places[:n])

    @property
    def n_bytes(self) -> int:
        """Of memory."""
        return self._inventory.n_bytes + self._counts.nbytes + self._places.nbytes


class _Counter:
    """Counts the pretokens of blocks; for one thread."""

    def __init__(self, pattern: str, special_tokens: Sequence[str], max_bytes: int, parts: _Parts) -> None:
        Pretokenizer(special_tokens, pattern)  # refuses what cannot be
        self.special = SpecialTokens(special_tokens)
        self._pattern, self._max_bytes, self.parts = pattern, max_bytes, parts
        self._ends = np.empty(2 * BLOCK_BYTES, np.int64)
        self.tally = Tally()

    def add(self, data: NDArray[np.uint8], bounds: NDArray[np.int64], origin: int) -> None:
        """Count the texts ``data[bounds[i]:bounds[i + 1]]``; the place of byte i is ``origin + i``."""
        place = origin + int(bounds[0])
        data, bounds = self.special.cut_out(data, bounds)
        n_bytes = int(bounds[-1] - bounds[0])
        if n_bytes > len(self._ends):
            self._ends = np.empty(n_bytes, np.int64)
        n = cut_pretokens(self._pattern, data, bounds, self._ends)
        self.tally.add(data, int(bounds[0]), self._ends[:n], place)
        if self.tally.n_bytes > self._max_bytes:
            self.put_away()

    def put_away(self) -> None:
        """Write what was counted to files, and begin anew."""
        self.parts.write(self.tally.counts)
        self.tally = Tally()


def _total(counters: Sequence[_Counter]) -> PretokenCounts:
    parts = counters[0].parts
    if not parts.n_written:
        largest_first = sorted((counter.tally for counter in counters), key=lambda tally: -len(tally.counts))
        for tally in largest_first[1:]:
            largest_first[0].add_counts(tally.counts)
        return largest_first[0].counts
    for counter in counters:
        counter.put_away()
    return _joined([parts.read(part) for part in range(N_PARTS)])


def _joined(parts: Sequence[PretokenCounts]) -> PretokenCounts:
    """Parts that have no pretoken in common."""
    sizes = np.concatenate([np.diff(part.starts) for part in parts])
    return PretokenCounts(
        np.concatenate([part.arena for part in parts]),
        np.concatenate([[0], np.cumsum(sizes)]),
        np.concatenate([part.counts for part in parts]),
        np.concatenate([part.places for part in parts]),
    )


class _Parts:
    """Files of counts, `N_PARTS` for each tally that was put away."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self.n_written = 0

    @classmethod
    def within(cls, stack: ExitStack, folder: Path | None) -> _Parts:
        """Files that are gone when the stack is left."""
        return cls(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="textmill-", dir=folder))))

    def write(self, counts: PretokenCounts) -> None:
        with self._lock:
            number, self.n_written = self.n_written, self.n_written + 1
        part_of = hash_pieces(read_only(counts.arena), counts.starts) % np.uint64(N_PARTS)
        for part in range(N_PARTS):
            chosen = counts.chosen(np.flatnonzero(part_of == part))
            np.savez(self._folder / f"{part}-{number}.npz", **vars(chosen))

    def read(self, part: int) -> PretokenCounts:
        tally = Tally()
        for path in sorted(self._folder.glob(f"{part}-*.npz")):
            with np.load(path) as file:
                tally.add_counts(PretokenCounts(**file))
            path.unlink()
        return tally.counts


# --- Blocks ---


class _Block(NamedTuple):
    """Whole texts, or a part of one whose edges cut no pretoken: ``data[bounds[i]:bounds[i + 1]]``."""

    data: NDArray[np.uint8]
    bounds: NDArray[np.int64]
    origin: int  # place of the first byte of data
    name: str


class _Shared:
    """An iterator that several threads take from."""

    def __init__(self, blocks: Iterator[_Block]) -> None:
        self._blocks, self._lock, self._stopped = blocks, threading.Lock(), False

    def __iter__(self) -> Iterator[_Block]:
        while True:
            with self._lock:
                block = None if self._stopped else next(self._blocks, None)
            if block is None:
                return
            yield block

    def stop(self) -> None:
        self._stopped = True


def _count_blocks(counter: _Counter, shared: _Shared, on_bytes: Callable[[int], None] | None) -> None:
    try:
        for block in shared:
            _check_utf8(block)
            counter.add(block.data, block.bounds, block.origin)
            if on_bytes:
                on_bytes(int(block.bounds[-1] - block.bounds[0]))
    except BaseException:
        shared.stop()
        raise


def _file_blocks(paths: Sequence[str | os.PathLike[str]], may_cut: bool) -> Iterator[_Block]:
    origin = 0
    for path in paths:
        data = _mapped(path)
        for bounds in blocks(data, np.array([0, len(data)]), may_cut=may_cut):
            yield _Block(data, bounds, origin, os.fspath(path))
        origin += len(data)


def _mapped(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    if Path(path).is_fifo() or Path(path).is_char_device():
        raise InputError(f"{os.fspath(path)}: a pipe cannot be mapped into memory; save it to a file first")
    try:
        with Path(path).open("rb") as stream:
            if not os.fstat(stream.fileno()).st_size:
                return np.empty(0, np.uint8)
            return np.frombuffer(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
    except OSError as error:
        raise InputError(f"{os.fspath(path)}: cannot be read ({error.strerror})") from error


def _check_utf8(block: _Block) -> None:
    start, stop = int(block.bounds[0]), int(block.bounds[-1])
    piece = block.data[start:stop]
    offsets = pa.py_buffer(np.array([0, len(piece)], np.int64))
    try:
        pa.LargeStringArray.from_buffers(1, offsets, pa.py_buffer(piece)).validate(full=True)
    except pa.ArrowInvalid:
        where = _first_wrong(piece.tobytes())
        raise InputError(f"{block.name}: not UTF-8 at byte {start + where}; convert it first") from None


def _first_wrong(piece: bytes) -> int:
    try:
        piece.decode()
    except UnicodeDecodeError as error:
        return error.start
    raise InvariantError("Arrow and Python differ on what is UTF-8")


# --- Kernels ---


@kernel
def _tally(
    numbers: NDArray[np.int32],
    begin: int,
    ends: NDArray[np.int64],
    offset: int,
    n_known: int,
    counts: NDArray[np.int64],
    places: NDArray[np.int64],
) -> None:
    for k in range(len(numbers)):
        number = numbers[k]
        counts[number] += 1
        if number == n_known:
            places[number] = offset + begin
            n_known += 1
        begin = ends[k]


@kernel
def _tally_counts(
    numbers: NDArray[np.int32],
    more: NDArray[np.int64],
    where: NDArray[np.int64],
    n_known: int,
    counts: NDArray[np.int64],
    places: NDArray[np.int64],
) -> None:
    for k in range(len(numbers)):
        number = numbers[k]
        counts[number] += more[k]
        places[number] = where[k] if number >= n_known else min(places[number], where[k])
