"""Decontamination: which documents hold items of a benchmark, and where.

An item is a question and an answer. Its n-grams (13 words, as GPT-3 had it: arXiv 2005.14165, appendix C) lie in one
table; a document matches an item if any of them stands in it. Words are compared as `word_spans` cuts them, so case,
accents, punctuation and white space do not count.

**Overlap.** A match is measured by the share of the item's different n-grams that the document holds: of the question,
of the answer, and of both, one after the other. ``overlap_frac`` is the largest of the three, so a question without its
answer has the overlap 1. One shared n-gram of many is rarely more than a saying or a quotation: a threshold decides.

**What cannot be told.** An item of fewer than n words has no n-gram; an n-gram that more than ``max_items`` items share
is a phrase of the benchmark ("answer with a letter from A to D"), and no evidence. Items that are left without any are
named, not silently passed over, and so are those that repeat another one, which stands for them. A paraphrase shares no
n-gram, and is not found.

Costs on one core that others kept busy (benchmarks/dedup_spans.py, gsm8k's 7,477 items): 9 ns a byte of web pages, 6 of
them to cut words. The index of those items takes .7 s and some 40 MB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from textmill.bits import distinct, kernel
from textmill.dedup.word_spans import NO_WINDOW, Stretches, cut_words, merged, replace_stretches, window_hashes
from textmill.errors import InputError, UnknownNameError, UserError

STRETCH = pa.struct([pa.field("start_bytes", pa.int64(), nullable=False), pa.field("end_bytes", pa.int64(), False)])
MATCHES = pa.schema(
    [
        pa.field("doc_id", pa.uint64(), nullable=False),
        pa.field("item", pa.int32(), nullable=False),  # its number among all items
        pa.field("overlap_frac", pa.float32(), nullable=False),
        pa.field("question_frac", pa.float32(), nullable=False),  # 0 where the question has no n-gram
        pa.field("answer_frac", pa.float32(), nullable=False),
        pa.field("n_ngrams", pa.int32(), nullable=False),  # different ones that the document holds
        pa.field("spans", pa.list_(pa.field("item", STRETCH, nullable=False)), nullable=False),
    ]
)
QUESTION, ANSWER, ACROSS = range(3)  # parts of an item that an n-gram can be of
STATUSES = ("ok", "too_short", "too_common", "repeated")
_FILTER_BITS = 16  # an n-gram
ACTIONS = ("report", "drop", "cut")
THRESHOLD = 0.1  # benchmarks/dedup_spans.py: finds 90% of half questions, .2 finds 82%; none of them a false one


@dataclass(frozen=True)
class Item:
    """A question of a benchmark, with its answer; either may be empty. ``name`` says which one it is."""

    name: str
    question: str
    answer: str = ""


@dataclass(frozen=True)
class Ngrams:
    """What counts as overlap: words an n-gram, and how many items may share one for it to count."""

    n: int = 13
    max_items: int = 10

    def __post_init__(self) -> None:
        if self.n < 2 or self.max_items < 1:
            raise UserError(f"{self}: n must be at least 2, and max_items at least 1")


class ItemIndex:
    """The n-grams of items, to look documents up in.

    ``status`` holds for each item the number of one of `STATUSES`. Errors: `InputError` without any item.
    """

    def __init__(self, items: Sequence[Item], ngrams: Ngrams | None = None) -> None:
        if not items:
            raise InputError("no items to look for")
        self.ngrams = ngrams or Ngrams()
        texts = [text.encode(errors="replace") for item in items for text in (item.question, item.answer)]
        words = cut_words(pa.array(texts, pa.large_binary()).cast(pa.large_string()))
        self._hashes, self._offsets = words.hashes, words.offsets[::2]
        windows = window_hashes(words.hashes, self._offsets, self.ngrams.n)
        place = np.flatnonzero(windows != NO_WINDOW)
        item = np.searchsorted(self._offsets, place, "right") - 1
        n_windows = np.bincount(item, minlength=len(items))
        is_new = _first_of_equals(words.hashes, words.offsets)
        place, item = place[is_new[item]], item[is_new[item]]
        _, key = np.unique(windows[place], return_inverse=True)
        # Of an n-gram that an item repeats, the first place stands for all: so a match costs max_items at most.
        first = np.sort(np.unique(item * len(windows) + key, return_index=True)[1])
        n_items = np.bincount(key[first], minlength=1)
        rare = first[n_items[key[first]] <= self.ngrams.max_items]
        self._index(windows[place[rare]], place[rare], item[rare])
        self._count(words.offsets[1::2], n_windows, is_new)

    def _index(self, windows: NDArray[np.uint64], place: NDArray[np.int64], item: NDArray[np.int64]) -> None:
        """The table of n-grams, and for each of them the places where it stands."""
        order = np.argsort(windows, kind="stable")
        keys, counts = np.unique(windows, return_counts=True)
        self._place, self._item = place[order], item[order]
        self._first = np.concatenate([[0], np.cumsum(counts)])
        self._table = np.full(2 * len(keys) + 1, NO_WINDOW)
        self._number = np.full(len(self._table), -1, np.int32)
        bits = max(64, 1 << int(_FILTER_BITS * len(keys)).bit_length())
        self._filter = np.zeros(bits // 64, np.uint64)
        _insert(keys, self._table, self._number, self._filter)

    def _count(self, middles: NDArray[np.int64], n_windows: NDArray[np.int64], is_new: NDArray[np.bool_]) -> None:
        """Of which part each n-gram is, how many of each part an item has, and what becomes of the item."""
        n, middle = self.ngrams.n, middles[self._item]
        self._part = np.where(self._place + n <= middle, QUESTION, np.where(self._place >= middle, ANSWER, ACROSS))
        self._n_ngrams = np.zeros((len(n_windows), 3), np.int64)
        np.add.at(self._n_ngrams, (self._item, self._part), 1)
        is_left = self._n_ngrams.any(axis=1)
        why_not = np.where(n_windows == 0, 1, np.where(is_new, 2, 3))
        self.status = np.where(is_left, 0, why_not).astype(np.uint8)

    @property
    def n_ngrams(self) -> NDArray[np.int64]:
        """How many different n-grams each item has that count, [items]."""
        return self._n_ngrams.sum(axis=1)

    def find(self, doc_ids: NDArray[np.uint64], text: pa.LargeStringArray) -> pa.Table:
        """All matches in these documents, a row of `MATCHES` each, in the order of documents and items."""
        words = cut_words(text)
        windows = window_hashes(words.hashes, words.offsets, self.ngrams.n)
        numbers = _look_up(windows, self._table, self._number, self._filter)
        hits = self._verified(words.hashes, self._expanded(np.flatnonzero(numbers >= 0), numbers))
        row = np.searchsorted(words.offsets, hits.word, "right") - 1
        pair = row * len(self.status) + self._item[hits.entry]
        order = np.argsort(pair, kind="stable")  # within a pair by word, as they were
        row, word, entry = row[order], hits.word[order], hits.entry[order]
        first = np.flatnonzero(np.diff(pair[order], prepend=-1))
        pair_of = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(row))))
        of_words = merged(pair_of, word, word + self.ngrams.n)
        spans = Stretches(of_words.row, words.start[of_words.start], words.end[of_words.end - 1])
        return self._matches(doc_ids[row[first]], self._item[entry[first]], pair_of, entry, spans)

    def _expanded(self, word: NDArray[np.int64], numbers: NDArray[np.int32]) -> _Hits:
        """A hit for each item that has the n-gram."""
        number = numbers[word]
        counts = self._first[number + 1] - self._first[number]
        begin = np.repeat(self._first[number] - np.concatenate([[0], np.cumsum(counts)])[:-1], counts)
        return _Hits(np.repeat(word, counts), begin + np.arange(len(begin)))

    def _verified(self, hashes: NDArray[np.uint64], hits: _Hits) -> _Hits:
        """The hits whose words are equal one by one: the hash of a window alone could collide."""
        equal = _are_equal(hashes, hits.word, self._hashes, self._place[hits.entry], self.ngrams.n)
        return _Hits(hits.word[equal], hits.entry[equal])

    def _matches(
        self,
        doc_ids: NDArray[np.uint64],
        item: NDArray[np.int64],
        pair_of: NDArray[np.int64],
        entry: NDArray[np.int64],
        spans: Stretches,
    ) -> pa.Table:
        found = np.zeros((len(item), 3), np.int64)
        # An n-gram counts once a document.
        pair, of_index = np.divmod(distinct(pair_of * len(self._part) + entry), max(len(self._part), 1))
        np.add.at(found, (pair, self._part[of_index]), 1)
        of_all = self._n_ngrams[item]
        fracs = found[:, :ACROSS] / np.maximum(of_all[:, :ACROSS], 1)
        whole = found.sum(axis=1) / of_all.sum(axis=1)
        offsets = np.searchsorted(spans.row, np.arange(len(item) + 1)).astype(np.int32)
        values = pa.StructArray.from_arrays([pa.array(spans.start), pa.array(spans.end)], fields=list(STRETCH))
        columns = [
            doc_ids,
            item.astype(np.int32),
            np.maximum(whole, fracs.max(axis=1, initial=0)).astype(np.float32),
            fracs[:, QUESTION].astype(np.float32),
            fracs[:, ANSWER].astype(np.float32),
            found.sum(axis=1).astype(np.int32),
        ]
        arrays = [pa.array(column) for column in columns]
        listed = pa.ListArray.from_arrays(pa.array(offsets), values, type=MATCHES.field("spans").type)
        return pa.table([*arrays, listed], schema=MATCHES)


def _first_of_equals(hashes: NDArray[np.uint64], offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which items say what no item before them says: the words of item i are ``hashes[offsets[2i]:offsets[2i + 2]]``,
    those of its question end at ``offsets[2i + 1]``."""
    seen: set[tuple[bytes, int]] = set()
    is_first = np.empty(len(offsets) // 2, np.bool_)
    for i, (begin, middle, end) in enumerate(zip(offsets[:-1:2], offsets[1::2], offsets[2::2], strict=True)):
        words = hashes[begin:end].tobytes(), int(middle - begin)
        is_first[i] = words not in seen
        seen.add(words)
    return is_first


class _Hits(NamedTuple):
    """Where an n-gram of an item stands in a document."""

    word: NDArray[np.int64]  # its first word, in the batch
    entry: NDArray[np.int64]  # which of the index


@kernel
def _are_equal(hashes, first, other_hashes, other_first, n):  # type: ignore[no-untyped-def]
    """Whether the n words from each place on are those from the other."""
    equal = np.ones(len(first), np.bool_)
    for i in range(len(first)):
        for k in range(n):
            if hashes[first[i] + k] != other_hashes[other_first[i] + k]:
                equal[i] = False
                break
    return equal


@kernel
def _slot(table, key):  # type: ignore[no-untyped-def]
    """The slot of this key, or the free one where it belongs."""
    slot = np.int64(((key >> np.uint64(32)) * np.uint64(len(table))) >> np.uint64(32))
    while table[slot] != key and table[slot] != NO_WINDOW:
        slot += 1
        if slot == len(table):
            slot = np.int64(0)
    return slot


@kernel
def _insert(keys, table, number, bits):  # type: ignore[no-untyped-def]
    mask = np.uint64(64 * len(bits) - 1)
    for k in range(len(keys)):
        slot = _slot(table, keys[k])
        table[slot], number[slot] = keys[k], k
        bit = keys[k] & mask
        bits[bit >> np.uint64(6)] |= np.uint64(1) << (bit & np.uint64(63))


@kernel
def _look_up(windows, table, number, bits):  # type: ignore[no-untyped-def]
    """The number of each window in the table, -1 if it is not there. Few windows pass the bits, which fit a cache."""
    found = np.full(len(windows), -1, np.int32)
    mask = np.uint64(64 * len(bits) - 1)
    for i in range(len(windows)):
        bit = windows[i] & mask
        if bits[bit >> np.uint64(6)] >> (bit & np.uint64(63)) & np.uint64(1) and windows[i] != NO_WINDOW:
            found[i] = number[_slot(table, windows[i])]
    return found


# What is done about it


@dataclass(frozen=True)
class Judgement:
    """From which overlap on a document counts as contaminated, and what is done then."""

    threshold: float = THRESHOLD
    action: str = "report"

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise UserError(f"threshold is {self.threshold}; it must be from 0 to 1")
        if self.action not in ACTIONS:
            raise UnknownNameError("action", self.action, ACTIONS)

    def contaminated(self, matches: pa.Table) -> pa.Table:
        """The matches that count."""
        return matches.filter(pc.greater_equal(matches["overlap_frac"], pa.scalar(self.threshold, pa.float32())))

    def apply(
        self, doc_ids: NDArray[np.uint64], text: pa.LargeStringArray, contaminated: pa.Table
    ) -> tuple[pa.LargeStringArray, NDArray[np.bool_]]:
        """The texts as they are to be, and which documents stay. Ids are distinct."""
        cuts = stretches_in(contaminated, doc_ids)
        kept = np.ones(len(text), np.bool_)
        if self.action == "drop":
            kept[cuts.row] = False
        return (replace_stretches(text, cuts) if self.action == "cut" and len(cuts.row) else text), kept


def stretches_in(matches: pa.Table, doc_ids: NDArray[np.uint64]) -> Stretches:
    """The union of the spans of all matches in these documents."""
    rows = matches.filter(pc.is_in(matches["doc_id"], pa.array(doc_ids)))
    spans = pa.chunked_array(rows["spans"].chunks, MATCHES.field("spans").type).combine_chunks()
    place = pc.index_in(rows["doc_id"], pa.array(doc_ids)).to_numpy().astype(np.int64)
    bounds = pc.list_flatten(spans)
    of_row = pc.list_parent_indices(spans).to_numpy().astype(np.int64)
    return merged(place[of_row], *(pc.struct_field(bounds, k).to_numpy() for k in range(2)))
