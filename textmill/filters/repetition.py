"""Gopher's repetition rules: Rae et al. 2021, "Scaling Language Models" (arXiv 2112.11446), Table A1.

How much of a text repeats itself: among its lines, its paragraphs, its word n-grams. The paper gives thirteen bounds
and leaves open what a line is, which copies of it count, and what the characters are divided by; the public versions
give values up to threefold on the same text. Each of these choices is a field of `Repetition`, and the same kernels
count them all. The defaults are this package's completion of the paper: lines and paragraphs are stripped, blank ones
left out; every copy of what occurs more than once counts; no character counts twice; n-grams are measured in the
characters of their words.

An n-gram is the pair of the (n-1)-grams that it begins and ends with, and occurs again only where both of them do. So
the kernel goes up from pairs of words, told apart by a 64-bit hash, and keeps only the places where something is
repeated; on ordinary text hardly any are left above n = 3. (datatrove joins the words of n-grams of five and more
without a separator, so that ``ab c`` and ``a bc`` are one; here they are two.)

A text with a single line has no duplicate line, and one without words no repeated n-gram: 0 everywhere, but for n-grams
of texts that are too short for them, where Curator says 1 (`too_short`).
"""

from __future__ import annotations

import functools
import secrets
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textmill.bits import hash_of, inner, kernel
from textmill.errors import UnknownNameError
from textmill.filters import segments
from textmill.filters.base import Rule, Scorer, numbers
from textmill.filters.segments import Bounds, Split
from textmill.text import KINDS, Documents, Segmentation, Spans

Copies = Literal[
    "all",  # of a piece that occurs three times, three are duplicates
    "after_first",  # two are
]
Denominator = Literal[
    "text",  # all characters of the text
    "segments",  # those of its lines, or paragraphs
    "words",  # those of its words
]
TopChars = Literal[
    "words",  # those of the n-gram's words, times its count
    "joined",  # the same with a space between words
    "replaced",  # those that vanish when the n-gram's words, joined by single spaces, are replaced in the text by ""
]
Ties = Literal["first", "longest"]  # which of several most frequent n-grams
Duplicates = Literal[
    "covered",  # words in any copy of a repeated n-gram, each once
    "greedy",  # go through the words; at an n-gram seen before count its words and skip them. The first copy is free
    "uncounted",  # words in a copy after the first, each once, with the spaces between them
    "summed",  # every copy of every repeated n-gram, overlaps or not, over all n-grams of the text
]

SOURCE = "Gopher, arXiv 2112.11446, Table A1"
SEGMENT_BOUNDS = {"line": 0.3, "paragraph": 0.3, "line_char": 0.2, "paragraph_char": 0.2}
TOP_BOUNDS = {2: 0.2, 3: 0.18, 4: 0.16}
DUPLICATE_BOUNDS = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.1}

_NAMES = [
    *(f"repetition_duplicate_{kind}" for kind in SEGMENT_BOUNDS),
    *(f"repetition_top_{n}gram_char" for n in TOP_BOUNDS),
    *(f"repetition_duplicate_{n}gram_char" for n in DUPLICATE_BOUNDS),
]
COLUMNS = pa.schema([pa.field(f"{name}_frac", pa.float32(), nullable=False) for name in _NAMES])


def segment_rules(kinds: str = "line paragraph line_char paragraph_char", source: str = SOURCE) -> tuple[Rule, ...]:
    """The paper's rules on duplicates of these kinds, in this order."""
    return tuple(_rule(f"repetition_duplicate_{kind}", SEGMENT_BOUNDS[kind], source) for kind in kinds.split())


def ngram_rules(source: str = SOURCE) -> tuple[Rule, ...]:
    """The paper's rules on n-grams, from n = 2 to 10."""
    top = (_rule(f"repetition_top_{n}gram_char", high, source) for n, high in TOP_BOUNDS.items())
    duplicates = (_rule(f"repetition_duplicate_{n}gram_char", high, source) for n, high in DUPLICATE_BOUNDS.items())
    return *top, *duplicates


def _rule(reason: str, high: float, source: str) -> Rule:
    return Rule(reason, f"{reason}_frac", high=high, source=source)


RULES = (*segment_rules(), *ngram_rules())


@dataclass(frozen=True)
class Repetition(Scorer):
    """Shares of a text that repeat other parts of it. Errors: `UnknownNameError` for a value that no field has."""

    words: str = "whitespace"  # how words are cut, see `Segmentation.cut`
    lines: Split = "stripped"
    paragraphs: Split = "stripped"
    copies: Copies = "all"
    segment_denominator: Denominator = "segments"
    top_chars: TopChars = "words"
    top_ties: Ties = "longest"
    top_once: bool = False  # whether an n-gram that occurs once can be the most frequent one
    duplicates: Duplicates = "covered"
    ngram_denominator: Denominator = "words"  # words, or text
    too_short: float = 0.0  # the value for n-grams of a text with fewer than n words

    choices: ClassVar[dict[str, tuple[str, ...]]] = {
        "words": tuple(KINDS),
        "lines": get_args(Split),
        "paragraphs": tuple(how for how in get_args(Split) if how != "splitlines"),
        "copies": get_args(Copies),
        "segment_denominator": get_args(Denominator),
        "top_chars": get_args(TopChars),
        "top_ties": get_args(Ties),
        "duplicates": get_args(Duplicates),
        "ngram_denominator": ("words", "text"),
    }

    def __post_init__(self) -> None:
        for name, valid in self.choices.items():
            if getattr(self, name) not in valid:
                raise UnknownNameError(name, getattr(self, name), valid)

    @property
    def columns(self) -> pa.Schema:
        """The same thirteen for all fields."""
        return COLUMNS

    def score(self, documents: Documents) -> list[pa.Array]:
        """The columns; see `Scorer.score`."""
        pieces = documents.segmentation
        words = pieces.cut(self.words)
        text_chars = pieces.n_chars
        lines, paragraphs = segments.lines(pieces, self.lines), segments.paragraphs(pieces, self.paragraphs)
        line_frac, line_char_frac = self._duplicates_among(lines, pieces, text_chars, words)
        paragraph_frac, paragraph_char_frac = self._duplicates_among(paragraphs, pieces, text_chars, words)
        ngram_fracs = _ngram_fracs(
            pieces.data,
            words.offsets,
            words.start,
            words.end,
            words.hash,
            words.n_chars,
            text_chars,
            self._semantics(),
            _tables(words.counts),
            _salt(),
        )
        values = [line_frac, paragraph_frac, line_char_frac, paragraph_char_frac, *ngram_fracs]
        return numbers(values, COLUMNS)

    def _duplicates_among(
        self, bounds: Bounds, pieces: Segmentation, text_chars: NDArray[np.int64], words: Spans
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The duplicates' shares of the lines or paragraphs and of the characters, [documents] each."""
        counts = np.diff(bounds[0])
        cut = pieces.lines
        lines = _Lines(cut.offsets, cut.start, cut.end, cut.hash, cut.n_chars)
        tables = _tables(counts)
        n, n_chars, all_chars = _count_duplicates(pieces.data, *bounds, lines, self.copies == "all", tables, _salt())
        chars = text_chars if self.segment_denominator == "text" else all_chars
        if self.segment_denominator == "words":
            chars = words.sums(words.n_chars)
        return n / np.maximum(counts, 1), n_chars / np.maximum(chars, 1)

    def _semantics(self) -> _Semantics:
        return _Semantics(
            top_chars=get_args(TopChars).index(self.top_chars),
            longest=self.top_ties == "longest",
            once=self.top_once,
            duplicates=get_args(Duplicates).index(self.duplicates),
            of_text=self.ngram_denominator == "text",
            too_short=float(self.too_short),
        )


class _Semantics(NamedTuple):
    """The fields of `Repetition` that concern n-grams, for kernels."""

    top_chars: int  # the place in TopChars
    longest: bool
    once: bool
    duplicates: int  # the place in Duplicates
    of_text: bool
    too_short: float


_TOP_JOINED, _TOP_REPLACED = (get_args(TopChars).index(name) for name in ("joined", "replaced"))
_COVERED, _GREEDY, _UNCOUNTED, _SUMMED = (
    get_args(Duplicates).index(name) for name in ("covered", "greedy", "uncounted", "summed")
)


_ONE = np.uint64(1)
_PAIR = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio


class _Lines(NamedTuple):
    """The lines of `Segmentation`, for kernels; see `Spans`."""

    offsets: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    hash: NDArray[np.uint64]
    n_chars: NDArray[np.int32]


class _Tables(NamedTuple):
    """Memory that the kernels use anew for every document."""

    keys: NDArray[np.uint64]  # of n-grams, or of other things to be told apart
    position: NDArray[np.int32]  # where they begin: the numbers of their first words, ascending
    number: NDArray[np.int32]  # which of the different ones each is
    n_copies: NDArray[np.int32]  # how often each of the different ones occurs
    known: NDArray[np.uint64]  # the keys of the different ones
    slots: NDArray[np.int32]  # a hash table of numbers of known keys; 0 is free
    seen: NDArray[np.uint8]  # [2 * slots]; see `_leave_out_most`
    chars_before: NDArray[np.int64]  # characters of all words before this one


def _tables(counts: NDArray[np.int64]) -> _Tables:
    """Tables for documents of so many words or other things."""
    most = int(counts.max(initial=0)) + 1  # keys are numbered from 1
    n_slots = 1 << max(most.bit_length() + 2, 3)  # as `_n_bits` has it
    return _Tables(
        keys=np.empty(most, dtype=np.uint64),
        position=np.empty(most, dtype=np.int32),
        number=np.empty(most, dtype=np.int32),
        n_copies=np.empty(most, dtype=np.int32),
        known=np.empty(most, dtype=np.uint64),
        slots=np.empty(n_slots, dtype=np.int32),
        seen=np.empty(2 * n_slots, dtype=np.uint8),
        chars_before=np.empty(most, dtype=np.int64),
    )


@functools.cache
def _salt() -> np.uint64:
    """An odd number, new in every process: nobody can prepare a text whose words all fall into one slot.

    Numbers are given in the order of the text, whatever slot they are kept in, so no value depends on it.
    """
    return np.uint64(secrets.randbits(64) | 1)


@inner
def _n_bits(n: int) -> int:
    """How many bits a slot's number has in a table that n keys fill to at most a quarter."""
    bits = 3
    while n >> (bits - 2):
        bits += 1
    return bits


@inner
def _slot_of(key: np.uint64, bits: int, salt: np.uint64) -> np.uint64:
    """Multiply-shift hashing (Dietzfelbinger et al. 1997)."""
    return (key * salt) >> np.uint64(64 - bits)


@inner
def _number_of(
    key: np.uint64, n: int, slots: NDArray[np.int32], known: NDArray[np.uint64], bits: int, salt: np.uint64
) -> np.int32:
    """The number of a key, from 1 on, among n known ones; if it is none of them, it becomes the next: n + 1.

    Whether a key is new is hard to guess for a processor, so no branch depends on it.
    """
    slot, last_slot = _slot_of(key, bits, salt), (_ONE << np.uint64(bits)) - _ONE
    number = np.uint32(slots[slot])
    while min(np.uint64(number), known[number] ^ key) != 0:  # one branch, where "and" gives two
        slot = (slot + _ONE) & last_slot
        number = np.uint32(slots[slot])
    number += np.uint32(n + 1) * np.uint32(number == 0)
    slots[slot] = number
    known[number] = key
    return np.int32(number)


@kernel
def _count_duplicates(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    lines: _Lines,
    every_copy: bool,
    tables: _Tables,
    salt: np.uint64,
) -> NDArray[np.int64]:
    """Duplicates among the pieces of each document, their characters, and those of all pieces: [3, documents].

    Most pieces are a line, whose hash and length are known.
    """
    line_offsets, line_start, line_end, line_hash, line_chars = lines
    counts = np.zeros((3, len(offsets) - 1), dtype=np.int64)
    for document in range(len(offsets) - 1):
        first, last = offsets[document], offsets[document + 1]
        bits = _n_bits(last - first)
        tables.slots[: 1 << bits] = 0
        tables.n_copies[: last - first + 1] = 0
        line = line_offsets[document]
        n = np.int64(0)
        for k in range(first, last):
            while line_end[line] < start[k]:
                line += 1
            if line_start[line] == start[k] and line_end[line] == end[k]:
                key, n_chars = line_hash[line], int(line_chars[line])
            else:
                key, n_chars = hash_of(data, start[k], end[k]), _n_chars(data, start[k], end[k])
            counts[2, document] += n_chars
            number = _number_of(key, n, tables.slots, tables.known, bits, salt)
            n += number > n
            tables.n_copies[number] += 1
            if tables.n_copies[number] > 1:
                copies = 2 if every_copy and tables.n_copies[number] == 2 else 1  # the first, too, once there are two
                counts[0, document] += copies
                counts[1, document] += copies * n_chars
    return counts


@inner
def _n_chars(data: NDArray[np.uint8], start: int, end: int) -> int:
    n = 0
    for byte in data[start:end]:
        n += byte & 0xC0 != 0x80
    return n


@kernel
def _ngram_fracs(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    n_chars: NDArray[np.int32],
    text_chars: NDArray[np.int64],
    semantics: _Semantics,
    tables: _Tables,
    salt: np.uint64,
) -> NDArray[np.float64]:
    """The shares of the n-grams in each document, [orders, documents]."""
    fracs = np.zeros((9, len(offsets) - 1))
    for document in range(len(offsets) - 1):
        first, last = offsets[document], offsets[document + 1]
        n_words = last - first
        word_chars = _sum_before(n_chars[first:last], tables.chars_before)
        divisor = max(text_chars[document] if semantics.of_text else word_chars, 1)
        n_repeated = np.int64(0)
        for n in range(2, 11):
            if n_words < n:
                fracs[n - 2, document] = semantics.too_short
                continue
            if n == 2:
                n_repeated = _keep_repeated(_pairs_of_words(hashes[first:last], tables), tables, salt)
            elif n_repeated:
                n_repeated = _keep_repeated(_pairs_of_ngrams(n_repeated, tables), tables, salt)
            if n > 4:
                counted = _duplicate_chars(n, n_repeated, tables, semantics.duplicates)
                of = _chars_of_all_ngrams(n, n_words, tables) if semantics.duplicates == _SUMMED else divisor
                fracs[n - 2, document] = counted / max(of, 1)
            elif n_repeated or semantics.once:
                at, count = _most_frequent(n, n_repeated, tables, semantics.longest)
                counted = count * (tables.chars_before[at + n] - tables.chars_before[at])
                if semantics.top_chars == _TOP_JOINED:
                    counted += count * (n - 1)
                elif semantics.top_chars == _TOP_REPLACED:
                    length = counted // count + n - 1
                    counted = length * _n_replaced(data, start[first:last], end[first:last], hashes[first:last], at, n)
                fracs[n - 2, document] = counted / divisor
    return fracs


@inner
def _sum_before(n_chars: NDArray[np.int32], chars_before: NDArray[np.int64]) -> np.int64:
    """Writes the characters before each word; gives those of all."""
    total = np.int64(0)
    for k in range(len(n_chars)):
        chars_before[k] = total
        total += n_chars[k]
    chars_before[len(n_chars)] = total
    return total


@inner
def _pairs_of_words(hashes: NDArray[np.uint64], tables: _Tables) -> int:
    """Writes key and position of every pair of words; gives how many there are."""
    for k in range(len(hashes) - 1):
        tables.keys[k] = (hashes[k] + _ONE) * _PAIR + hashes[k + 1]
        tables.position[k] = k
    return len(hashes) - 1


@inner
def _pairs_of_ngrams(n: int, tables: _Tables) -> int:
    """Writes key and position of every n-gram whose two (n-1)-grams are among n repeated ones; gives how many."""
    n_pairs = 0
    for k in range(n - 1):
        key = np.uint64(tables.number[k]) << np.uint64(32) | np.uint64(tables.number[k + 1])
        adjacent = tables.position[k + 1] == tables.position[k] + 1
        tables.keys[n_pairs], tables.position[n_pairs] = key, tables.position[k]
        n_pairs += adjacent
    return n_pairs


@inner
def _keep_repeated(n: int, tables: _Tables, salt: np.uint64) -> int:
    """Moves the positions of n keys that occur more than once to the front, and numbers them; gives how many."""
    n = _leave_out_most(n, tables, salt)
    bits = _n_bits(n)
    tables.slots[: 1 << bits] = 0
    tables.n_copies[: n + 1] = 0
    n_known = np.int64(0)
    for k in range(n):
        number = _number_of(tables.keys[k], n_known, tables.slots, tables.known, bits, salt)
        n_known += number > n_known
        tables.n_copies[number] += 1
        tables.number[k] = number
    n_kept = np.uint64(0)
    for k in range(n):
        number = np.uint32(tables.number[k])
        tables.position[n_kept], tables.number[n_kept] = tables.position[k], number
        n_kept += np.uint64(tables.n_copies[number] > 1)
    return int(n_kept)


@inner
def _leave_out_most(n: int, tables: _Tables, salt: np.uint64) -> int:
    """Moves keys that are alone in their slots, so certainly occur once, out of the way; no branch, so it is quick."""
    bits = _n_bits(n) + 1
    tables.seen[: 1 << bits] = 0
    for k in range(n):
        slot = _slot_of(tables.keys[k], bits, salt)
        tables.seen[slot] += tables.seen[slot] < 2
    n_kept = np.uint64(0)
    for k in range(n):
        key = tables.keys[k]
        tables.keys[n_kept], tables.position[n_kept] = key, tables.position[k]
        n_kept += np.uint64(tables.seen[_slot_of(key, bits, salt)] > 1)
    return int(n_kept)


@inner
def _most_frequent(n: int, n_repeated: int, tables: _Tables, longest: bool) -> tuple[np.int64, np.int64]:
    """Where the most frequent n-gram begins first, and how often it occurs; the text's first one if none is repeated.

    Of several it is the one met first, or the longest one.
    """
    best, best_count, best_chars = np.int64(0), np.int64(1), np.int64(0)
    for k in range(n_repeated):
        at, count = tables.position[k], tables.n_copies[tables.number[k]]
        if count < best_count:
            continue
        chars = tables.chars_before[at + n] - tables.chars_before[at]
        if count > best_count or (longest and chars > best_chars):
            best, best_count, best_chars = at, count, chars
    return best, best_count


@inner
def _n_replaced(
    data: NDArray[np.uint8],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    at: int,
    n: int,
) -> int:
    """How often ``text.replace(joined, "")`` would find the n-gram at a place, its words joined by single spaces.

    It is found inside of longer words, too: its first word may end one and its last word begin one. All comparisons of
    a word together cost no more than the word is long.
    """
    first, last = data[start[at] : end[at]], data[start[at + n - 1] : end[at + n - 1]]
    n_found = 0
    free = np.int64(0)  # where the last occurrence ended
    before, after, second = first[-1], last[0], hashes[at + 1]
    for k in range(len(start) - n + 1):
        # Nearly always one of these differs.
        if (data[end[k] - 1] != before) | (data[start[k + n - 1]] != after) | ((n > 2) & (hashes[k + 1] != second)):
            continue
        begin = end[k] - len(first)
        if begin < max(start[k], free):
            continue
        if not _single_spaces(data, start, end, k, n) or not _same_between(hashes, at, k, n):
            continue
        if _begins_with(data[begin : end[k]], first) and _begins_with(data[start[k + n - 1] : end[k + n - 1]], last):
            n_found += 1
            free = start[k + n - 1] + len(last)
    return n_found


@inner
def _single_spaces(data: NDArray[np.uint8], start: NDArray[np.int64], end: NDArray[np.int64], k: int, n: int) -> bool:
    """Whether nothing but single spaces is between n words from k on."""
    last = k + n - 1
    while k < last and start[k + 1] == end[k] + 1 and data[end[k]] == 0x20:
        k += 1
    return k == last


@inner
def _same_between(hashes: NDArray[np.uint64], at: int, k: int, n: int) -> bool:
    """Whether n words from k on are those from ``at`` on, the first and the last one aside."""
    i = 1
    while i < n - 1 and hashes[k + i] == hashes[at + i]:
        i += 1
    return i == n - 1


@inner
def _begins_with(word: NDArray[np.uint8], prefix: NDArray[np.uint8]) -> bool:
    i = 0
    while i < len(prefix) and i < len(word) and word[i] == prefix[i]:
        i += 1
    return i == len(prefix)


@inner
def _duplicate_chars(n: int, n_repeated: int, tables: _Tables, how: int) -> np.int64:
    """The characters that repeated n-grams count for; see `Duplicates`."""
    before, count = tables.chars_before, tables.n_copies
    if how in (_GREEDY, _UNCOUNTED):  # from here on: whether the n-gram was met
        for k in range(n_repeated):
            count[tables.number[k]] = 0
    chars = np.int64(0)
    free = np.int64(0)  # the first word that is not counted
    for k in range(n_repeated):
        at, number = tables.position[k], tables.number[k]
        if how == _SUMMED:
            chars += before[at + n] - before[at]
        elif how == _COVERED:
            chars += before[at + n] - before[max(at, free)]
            free = at + n
        elif how == _GREEDY and at < free:
            continue
        elif count[number] == 0:
            count[number] = 1
        elif how == _GREEDY:
            chars += before[at + n] - before[at]
            free = at + n
        else:
            chars += before[at + n] - before[max(at, free)] + min(at + n - max(at, free), n - 1)  # and their spaces
            free = at + n
    return chars


@inner
def _chars_of_all_ngrams(n: int, n_words: int, tables: _Tables) -> np.int64:
    """The characters of every n-gram of the text, overlaps counted."""
    chars = np.int64(0)
    for k in range(n_words - n + 1):
        chars += tables.chars_before[k + n] - tables.chars_before[k]
    return chars
