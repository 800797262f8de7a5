"""Exact substrings: stretches of at least N words (or tokens) that occur elsewhere.

After Lee et al. (arXiv 2107.06499) and RefinedWeb (arXiv 2306.01116, 50 tokens), without a suffix array: no index of
the whole corpus in memory, and any number of files.

**What is found.** A window is N words in a row. A window is a copy if the same words stand at an earlier place, in this
document or in one before it. Its match is the latest such place, so that ``a b a b a b ...`` is one long copy of itself
two words before. With ``keep="none"`` the first of equal windows counts as well; its match is the second. Windows that
follow each other, and whose matches do, make one *span*: it stands at its match word for word. Spans of one document
may overlap where the match changes; their union (`word_spans.merged`) is every word that is in some copied window, in
maximal stretches. None of this depends on how the documents are cut into shards or batches, only on their order.

**How.** Each step reads the documents, or sorts rows of numbers within a fixed memory (`external_sort`).

1. *Samples.* Of every N - w + 1 windows of w = N / 2 words in a row that with the least hash (winnowing: Schleimer,
   Wilkerson, Aiken 2003). Equal windows of N words choose equal samples, so only a window whose sample occurs twice
   can have a copy. One word in (N - w + 2) / 2 begins a sample: 1.2 bytes on disk a word for N = 50, not 16.
2. *Candidates.* The windows whose sample occurs more than once, by the hash of their N words, 16 bytes each.
3. *Matches.* In that order, the window before is the match. Sorted by place again, they are joined to spans.
4. *Verification.* Both sides of every span are read again; a span stays if the BLAKE2b digests of their words agree.
   Of 64-bit hashes of 10**10 windows some three pairs would collide by chance. What is refused is counted.

Memory: ``memory_bytes``, and some 15 MB for batches of up to 1 MB of text; more for larger ones. Documents are read
three times. Costs on one core that others kept busy: 22 MB of text a second (benchmarks/dedup_spans.py).
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textmill.bits import distinct, kernel
from textmill.dedup.external_sort import ExternalSort, Rows
from textmill.dedup.repeats import check_keep
from textmill.dedup.word_spans import NO_WINDOW, Stretches, cut_words, folded, merged, replace_stretches, spread
from textmill.dedup.word_spans import window_hashes as hashes_of_windows
from textmill.errors import InvariantError, UnknownNameError, UserError

SHARD_SHIFT = np.uint64(40)  # a place is a number of a shard, and of a word in it: 2**24 shards of 2**40 words
MEMORY_BYTES = 256 << 20

SPANS = pa.schema(
    [
        pa.field("doc_id", pa.uint64(), nullable=False),
        pa.field("start_bytes", pa.int64(), nullable=False),  # of UTF-8; for token files, tokens
        pa.field("end_bytes", pa.int64(), nullable=False),
        pa.field("n_words", pa.int64(), nullable=False),
        pa.field("match_doc_id", pa.uint64(), nullable=False),
        pa.field("match_start_bytes", pa.int64(), nullable=False),
        pa.field("match_end_bytes", pa.int64(), nullable=False),
    ]
)


class Batch(ABC):
    """Some documents of a shard, as words or tokens."""

    doc_ids: NDArray[np.uint64]  # [documents]
    offsets: NDArray[np.int64]  # [documents + 1], into the words
    hashes: NDArray[np.uint64]  # [words]

    @abstractmethod
    def bounds(self, first: int, last: int) -> tuple[int, int]:
        """Where words ``first`` to ``last`` (exclusive) of one document begin and end in it."""

    @abstractmethod
    def content(self, first: int, last: int) -> bytes:
        """What these words are, for comparing."""


class TextBatch(Batch):
    """Documents of text; places are bytes of UTF-8."""

    def __init__(self, doc_ids: NDArray[np.uint64], text: pa.LargeStringArray) -> None:
        self.doc_ids, self._text = doc_ids, text
        self.offsets, self.hashes, self._start, self._end = cut_words(text)

    def bounds(self, first: int, last: int) -> tuple[int, int]:
        return int(self._start[first]), int(self._end[last - 1])

    def content(self, first: int, last: int) -> bytes:
        row = int(np.searchsorted(self.offsets, first, "right")) - 1
        start, end = self.bounds(first, last)
        return folded(self._text[row].as_buffer()[start:end])


class TokenBatch(Batch):
    """Documents of token ids (uint16 or uint32), one after the other; places are tokens."""

    def __init__(self, doc_ids: NDArray[np.uint64], offsets: NDArray[np.int64], tokens: NDArray) -> None:
        self.doc_ids, self.offsets, self._tokens = doc_ids, offsets, tokens
        self.hashes = _spread_all(tokens.astype(np.uint64))

    def bounds(self, first: int, last: int) -> tuple[int, int]:
        begin = int(self.offsets[np.searchsorted(self.offsets, first, "right") - 1])
        return first - begin, last - begin

    def content(self, first: int, last: int) -> bytes:
        return self._tokens[first:last].astype("<u4").tobytes()


Shard = Callable[[], Iterable[Batch]]  # reads the documents of a shard, the same at every call


@dataclass
class Counts:
    """What a search came across, in words or windows."""

    n_documents: int = 0
    n_words: int = 0
    n_samples: int = 0
    n_candidates: int = 0
    n_spans: int = 0
    n_refused: int = 0  # spans whose words were not equal, although their hashes were


def check(n_words: int, keep: str) -> None:
    """Errors: `UserError` for fewer than 2 words, those of `check_keep`."""
    if n_words < 2:
        raise UserError(f"n_words is {n_words}; a span needs at least 2 words")
    check_keep(keep)


class SubstringSearch:
    """The search over some shards; ``folder`` takes what does not fit into memory. Read `counts` when it is done.

    Errors: those of `check`.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        folder: Path,
        n_words: int = 50,
        keep: str = "first",
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        check(n_words, keep)
        self._shards, self._folder, self._n_words, self._keep = shards, folder, n_words, keep
        self._memory_bytes = memory_bytes // 2  # while one sort is read, another is filled
        self._n_sample_words = n_words // 2
        self.counts = Counts()

    def spans(self) -> Iterator[tuple[int, pa.Table]]:
        """Tables of `SPANS` with the number of their shard, in the order of the documents."""
        requests = self._requests(self._matches(self._candidates(self._samples())))
        yield from self._verified(self._located(requests))

    def _sort(self, n_columns: int) -> ExternalSort:
        return ExternalSort(self._folder, n_columns, self._memory_bytes)

    def _batches(self) -> Iterator[tuple[np.uint64, Batch]]:
        """All batches, with the place of the first word of each."""
        for number, shard in enumerate(self._shards):
            place = np.uint64(number) << SHARD_SHIFT
            for batch in shard():
                yield place, batch
                place += np.uint64(len(batch.hashes))

    # The steps

    def _samples(self) -> ExternalSort:
        """The places of all samples by their hash."""
        found = self._sort(2)
        for place, batch in self._batches():
            self.counts.n_documents += len(batch.doc_ids)
            self.counts.n_words += len(batch.hashes)
            windows, chosen = self._choose(batch)
            places = distinct(chosen[chosen >= 0])
            self.counts.n_samples += len(places)
            found.add(_rows(windows[places], places.astype(np.uint64) + place))
        return found

    def _choose(self, batch: Batch) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Hashes of the short windows, and for each long one which of them is its sample; -1 where there is none."""
        windows = hashes_of_windows(batch.hashes, batch.offsets, self._n_sample_words)
        return windows, _least_of(windows, batch.offsets, self._n_words, self._n_sample_words)

    def _candidates(self, samples: ExternalSort) -> ExternalSort:
        """The places of all windows that may have a copy, by their hash."""
        repeated = self._sort(1)
        for rows in _whole_keys(samples.blocks()):
            equal = rows[1:, 0] == rows[:-1, 0]
            repeated.add(rows[np.append(equal, False) | np.append(False, equal), 1:])
        cursor, found = _Cursor(repeated.blocks(), 1), self._sort(2)
        for place, batch in self._batches():
            places = cursor.below(place + np.uint64(len(batch.hashes)))[:, 0] - place
            if not len(places):
                continue
            _, chosen = self._choose(batch)
            occurs_twice = np.zeros(len(batch.hashes) + 1, np.bool_)  # the last one is for -1
            occurs_twice[places.astype(np.int64)] = True
            windows = hashes_of_windows(batch.hashes, batch.offsets, self._n_words)
            candidates = np.flatnonzero(occurs_twice[chosen])
            self.counts.n_candidates += len(candidates)
            found.add(_rows(windows[candidates], candidates.astype(np.uint64) + place))
        return found

    def _matches(self, candidates: ExternalSort) -> ExternalSort:
        """The match of every copied window, by the place of the window."""
        found = self._sort(2)
        is_copy = np.zeros(1, np.bool_)
        for rows in _whole_keys(candidates.blocks()):
            is_copy = np.append(is_copy[-1], rows[1:, 0] == rows[:-1, 0])  # the first row was in the block before
            copies = np.flatnonzero(is_copy[1:]) + 1
            found.add(_rows(rows[copies, 1], rows[copies - 1, 1]))
            if self._keep == "none":
                firsts = np.flatnonzero(~is_copy[:-1] & is_copy[1:])
                found.add(_rows(rows[firsts, 1], rows[firsts + 1, 1]))
        return found

    def _requests(self, matches: ExternalSort) -> ExternalSort:
        """By the place of its first word, both sides of every span: place, number of words, number of the side.

        Side 2k is that of span k itself, 2k + 1 that of its match.
        """
        found, n_spans = self._sort(3), 0
        for place, match, n_windows in _joined(matches.blocks()):
            numbers = np.arange(n_spans, n_spans + len(place), dtype=np.uint64)
            n_words = n_windows + np.uint64(self._n_words - 1)
            found.add(_rows(place, n_words, 2 * numbers))
            found.add(_rows(match, n_words, 2 * numbers + np.uint64(1)))
            n_spans += len(place)
        return found

    def _located(self, requests: ExternalSort) -> ExternalSort:
        """By number, what each side is: number, shard, document, start, end, words, and two halves of their digest."""
        cursor, found = _Cursor(requests.blocks(), 3), self._sort(8)
        for place, batch in self._batches():
            rows = cursor.below(place + np.uint64(len(batch.hashes)))
            if len(rows):
                sides = [_side(batch, place, row) for row in rows]
                found.add(np.array(sides, np.uint64))
        return found

    def _verified(self, sides: ExternalSort) -> Iterator[tuple[int, pa.Table]]:
        """The spans whose sides are equal, shard by shard."""
        held = np.empty((0, 8), np.uint64)
        for block in sides.blocks():
            rows = np.concatenate([held, block])
            n_paired = len(rows) // 2 * 2
            held = rows[n_paired:]
            own, match = rows[:n_paired:2], rows[1:n_paired:2]
            if (own[:, 0] + np.uint64(1) != match[:, 0]).any():
                raise InvariantError("a span without its match; did the documents change while they were read?")
            equal = (own[:, 6:] == match[:, 6:]).all(axis=1)
            self.counts.n_spans += int(equal.sum())
            self.counts.n_refused += int((~equal).sum())
            yield from _tables(own[equal], match[equal])


def _rows(*columns: NDArray[np.uint64]) -> Rows:
    return np.stack(columns, axis=1)


def _whole_keys(blocks: Iterable[Rows]) -> Iterator[Rows]:
    """Blocks in which the first row is the last of the block before: so that neighbours are seen together.

    The very first block begins with a row that no real one is equal to.
    """
    last = np.array([[NO_WINDOW, 0]], np.uint64)
    for block in blocks:
        yield np.concatenate([last, block])
        last = block[-1:]


def _joined(blocks: Iterable[Rows]) -> Iterator[tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64]]]:
    """Runs of rows of which each is the one before plus one, in both columns: first place, first match, length."""
    held: Rows = np.empty((0, 3), np.uint64)  # the run that may go on
    for block in blocks:
        runs = _runs_of(block)
        if len(held) and (held[0, :2] + held[0, 2] == runs[0, :2]).all():
            runs[0, :2], runs[0, 2] = held[0, :2], runs[0, 2] + held[0, 2]
        else:
            runs = np.concatenate([held, runs])
        yield runs[:-1, 0], runs[:-1, 1], runs[:-1, 2]
        held = runs[-1:]
    if len(held):
        yield held[:, 0], held[:, 1], held[:, 2]


def _runs_of(block: Rows) -> Rows:
    begins = np.append(True, (block[1:] != block[:-1] + np.uint64(1)).any(axis=1))
    first = np.flatnonzero(begins)
    lengths = np.diff(np.append(first, len(block)))
    return np.concatenate([block[first], lengths.astype(np.uint64)[:, None]], axis=1)


class _Cursor:
    """Sorted rows, taken in order up to a key."""

    def __init__(self, blocks: Iterator[Rows], n_columns: int) -> None:
        self._blocks, self._none = blocks, np.empty((0, n_columns), np.uint64)
        self._rows = self._none

    def below(self, bound: np.uint64) -> Rows:
        """The rows not yet taken whose key is below ``bound``."""
        taken = []
        while True:
            n = int(np.searchsorted(self._rows[:, 0], bound))
            taken.append(self._rows[:n])
            self._rows = self._rows[n:]
            if len(self._rows):
                return np.concatenate(taken)
            self._rows = next(self._blocks, self._none)
            if not len(self._rows):
                return np.concatenate(taken)


def _side(batch: Batch, place: np.uint64, request: NDArray[np.uint64]) -> tuple[int, ...]:
    first = int(request[0] - place)
    last = first + int(request[1])
    row = int(np.searchsorted(batch.offsets, first, "right")) - 1
    digest = hashlib.blake2b(batch.content(first, last), digest_size=16).digest()
    halves = int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")
    shard = int(place >> SHARD_SHIFT)
    return int(request[2]), shard, int(batch.doc_ids[row]), *batch.bounds(first, last), last - first, *halves


def _tables(own: Rows, match: Rows) -> Iterator[tuple[int, pa.Table]]:
    """The spans of each shard."""
    for shard in np.unique(own[:, 1]).tolist():
        of_shard = own[:, 1] == shard
        mine, other = own[of_shard], match[of_shard]
        columns = [mine[:, 2], mine[:, 3], mine[:, 4], mine[:, 5], other[:, 2], other[:, 3], other[:, 4]]
        arrays = [
            pa.array(column.astype(kind.to_pandas_dtype())) for column, kind in zip(columns, SPANS.types, strict=True)
        ]
        yield shard, pa.table(arrays, schema=SPANS)


@kernel
def _least_of(windows, offsets, n_words, n_sample_words):  # type: ignore[no-untyped-def]
    """For each window of ``n_words`` the place of the least hash among those of the shorter windows in it, the last one
    of equals; -1 where the document has too few words. A monotone queue: linear whatever the hashes."""
    n_within = n_words - n_sample_words + 1
    least = np.full(len(windows), -1, np.int64)
    queue = np.empty(n_within, np.int64)  # a ring of places with ascending hashes, the least first
    for document in range(len(offsets) - 1):
        first, last = offsets[document], offsets[document + 1] - n_sample_words + 1
        head = size = 0
        for i in range(first, last):
            if size and queue[head] <= i - n_within:
                head = head + 1 if head + 1 < n_within else 0
                size -= 1
            while size and windows[queue[(head + size - 1) % n_within]] >= windows[i]:
                size -= 1
            queue[(head + size) % n_within] = i
            size += 1
            if i - first + 1 >= n_within:
                least[i - n_within + 1] = queue[head]
    return least


@kernel
def _spread_all(values):  # type: ignore[no-untyped-def]
    for i in range(len(values)):
        values[i] = spread(values[i] + np.uint64(1))
    return values


# What is done about spans

POLICIES = ("report", "remove", "mask")


@dataclass(frozen=True)
class Cut:
    """What happens to spans. ``remove`` them, ``mask`` them by a replacement, or only ``report`` them.

    A document that loses something, and of which fewer than ``least_words`` are left, is dropped.
    """

    policy: str = "remove"
    replacement: str = ""
    least_words: int = 0

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise UnknownNameError("policy", self.policy, POLICIES)
        if self.policy == "mask" and not self.replacement:
            raise UserError("to mask spans, a replacement is needed")

    def apply(self, text: pa.LargeStringArray, cuts: Stretches) -> tuple[pa.LargeStringArray, NDArray[np.bool_]]:
        """The texts afterwards, and which of them have too little left."""
        if self.policy == "report" or not len(cuts.row):
            return text, np.zeros(len(text), np.bool_)
        rest = replace_stretches(text, cuts)
        touched = np.zeros(len(text), np.bool_)
        touched[cuts.row] = True
        too_short = touched & (np.diff(cut_words(rest).offsets) < self.least_words)
        return (replace_stretches(text, cuts, self.replacement) if self.policy == "mask" else rest), too_short


def stretches_of(spans: pa.Table, doc_ids: NDArray[np.uint64]) -> Stretches:
    """The union of the spans of these documents, whose ids are distinct."""
    order = np.argsort(doc_ids, kind="stable")
    ids = spans["doc_id"].to_numpy()
    place = np.minimum(np.searchsorted(doc_ids[order], ids), max(len(doc_ids) - 1, 0))
    known = doc_ids[order][place] == ids if len(doc_ids) else np.zeros(len(ids), np.bool_)
    start, end = (spans[name].to_numpy()[known] for name in ("start_bytes", "end_bytes"))
    return merged(order[place[known]], start, end)
