"""The document signals of RedPajama-V2 that are plain statistics (Weber et al. 2024, arXiv 2411.12372).

Columns bear the published names, so they break the rule that a name ends in its unit. Signals of lines are means over
the lines of a document. Whoever wants thresholds sets them: none were published (`PRESETS` has no rules).

- **Raw words** are runs of letters, numbers and ``_``, and runs of anything else but whitespace: ``don't`` is three.
- **Normalised words**: lower case, without ASCII punctuation, canonically decomposed (NFD), split by whitespace.
- **Lines** end with their newline, which counts as a character; no line follows the last newline.
- **Sentences** are stretches between ``.``, ``!`` and ``?`` that hold a letter, a number or ``_``.

What deviates: a text that has no words, or no lines, gets 0 where null was published. Case is folded letter by letter
(a final sigma is a sigma). Combining marks stay in the order that they have. Words are told apart by a 64-bit hash.
Stop words are a field; its default is English function words, not the published 570 words, many of which
(``a's``, ``c'mon``) no raw word can equal.
"""

from __future__ import annotations

import functools
import unicodedata
from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textmill.filters.base import Preset, Scorer, named
from textmill.text import LETTER, NUMBER, Documents, Spans, character_classes, decode

# Words of closed classes: articles, pronouns, prepositions, conjunctions, auxiliaries, and what WordPunct leaves of
# contractions ("don", "t").
STOP_WORDS = tuple(
    """
    a about above across after again against all along also although am among an and another any anybody anyone anything
    are around as at away be because been before behind being below beneath beside between beyond both but by can cannot
    could d did do does doing don done down during each either else enough even ever every everybody everyone everything
    few first for from further had has have having he hence her here hers herself him himself his how however i if in
    indeed inside instead into is it its itself just last least less ll m many may me might mine more most much must my
    myself near neither never nevertheless no nobody none nor not nothing now of off often on once one only onto or other
    others otherwise ought our ours ourselves out outside over own per perhaps please quite rather re s same several
    shall she should since so some somebody someone something sometimes somewhere still such t than that the their
    theirs them themselves then there therefore these they this those though through throughout thus till to together
    too toward towards under unless until up upon us ve very via was we well were what whatever when whenever where
    whereas wherever whether which while who whoever whole whom whose why will with within without would yes yet you your
    yours yourself yourselves
    """.split()
)

_SOURCE = "RedPajama-V2, arXiv 2411.12372"

COLUMNS = pa.schema(
    [
        pa.field("rps_doc_word_count", pa.int32(), nullable=False),  # normalised words
        pa.field("rps_doc_mean_word_length", pa.float32(), nullable=False),  # characters of normalised words
        pa.field("rps_doc_frac_unique_words", pa.float32(), nullable=False),  # normalised
        pa.field("rps_doc_unigram_entropy", pa.float32(), nullable=False),  # normalised; natural logarithm
        pa.field("rps_doc_lorem_ipsum", pa.float32(), nullable=False),  # occurrences a normalised character
        pa.field("rps_doc_symbol_to_word_ratio", pa.float32(), nullable=False),  # "#", "...", "…" a raw word
        pa.field("rps_doc_frac_no_alph_words", pa.float32(), nullable=False),  # raw words without an ASCII letter
        pa.field("rps_doc_frac_all_caps_words", pa.float32(), nullable=False),  # raw words in capitals
        pa.field("rps_doc_stop_word_fraction", pa.float32(), nullable=False),  # raw words, lower case only
        pa.field("rps_doc_curly_bracket", pa.float32(), nullable=False),  # "{" and "}" a character
        pa.field("rps_doc_num_sentences", pa.int32(), nullable=False),
        pa.field("rps_doc_frac_lines_end_with_ellipsis", pa.float32(), nullable=False),
        # Means over lines, under the published names of the signals; "punctution" is theirs.
        pa.field("rps_lines_ending_with_terminal_punctution_mark", pa.float32(), nullable=False),
        pa.field("rps_lines_start_with_bulletpoint", pa.float32(), nullable=False),
        pa.field("rps_lines_uppercase_letter_fraction", pa.float32(), nullable=False),  # of the characters of a line
        pa.field("rps_lines_numerical_chars_fraction", pa.float32(), nullable=False),  # of the normalised line
        pa.field("rps_lines_num_words", pa.float32(), nullable=False),  # normalised words
        pa.field("rps_lines_javascript_counts", pa.float32(), nullable=False),  # normalised words
    ]
)

# What a character is to these signals; a byte of flags a code point.
_WORD = np.uint8(1)  # \w of Python's re
_UPPER = np.uint8(2)  # str.isupper()
_OTHER_CASE = np.uint8(4)  # lower case or title case
_NUMERIC = np.uint8(8)  # str.isnumeric()
_ASCII_LETTER = np.uint8(16)
_REMOVED = np.uint8(32)  # ASCII punctuation
_MARK = np.uint8(64)  # is counted, or ends a sentence

_HASH, _DOT, _EXCLAMATION, _QUESTION, _OPEN, _CLOSE = map(ord, "#.!?{}")
_ELLIPSIS, _QUOTE = ord("…"), ord("”")
_BULLETS = tuple(map(ord, "•‣▶◀◦■□▪▫–"))
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_LOREM, _IPSUM = (int.from_bytes(word, "big") for word in (b"lorem", b"ipsum"))
_FIVE_BYTES = np.uint64(0xFFFFFFFFFF)

# What is counted in a document; the last ones are sums over its lines.
_N_COUNTS = 19
(
    _RAW,
    _NO_ALPHA,
    _CAPITALS,
    _STOP,
    _SYMBOLS,
    _BRACES,
    _SENTENCES,
    _IN_SENTENCE,  # 1 while one goes on
    _WORDS,
    _WORD_CHARS,
    _UNIQUE,
    _SPREAD,  # the sum of n log n over the counts of the unique words
    _LOREM_IPSUM,
    _JAVASCRIPT,
    _ENDED,
    _ELLIPSES,
    _BULLETED,
    _UPPER_FRAC,
    _NUMERIC_FRAC,
) = range(_N_COUNTS)


@dataclass(frozen=True)
class RedPajamaSignals(Scorer):
    """Counts what RedPajama-V2's plain signals count.

    Cost beside cutting the text: see the table of `benchmarks/filters.py`.
    """

    stop_words: tuple[str, ...] = STOP_WORDS

    @property
    def columns(self) -> pa.Schema:
        """The same for all stop words."""
        return COLUMNS

    def score(self, documents: Documents) -> list[pa.Array]:
        """The columns; see `Scorer.score`."""
        pieces = documents.segmentation
        words, lines = pieces.words, pieces.lines
        tables = _Tables(*_characters(), _stop_table(self.stop_words), _gains(), _javascript())
        counts = _count_documents(pieces.data, _Words.of(words), _Lines.of(lines), tables, _fit(words))
        n_chars = lines.sums(lines.n_chars) + lines.counts - 1
        n_lines = lines.counts - (lines.n_chars[lines.offsets[1:] - 1] == 0)
        return [pa.array(values).cast(f.type) for values, f in zip(_signals(counts.T, n_chars, n_lines), COLUMNS)]


PRESETS = {"signals@rpv2": Preset("signals@rpv2", _SOURCE, (RedPajamaSignals(),), ())}


def passes(text: str, preset: str = "signals@rpv2") -> bool:
    """Whether one text passes all rules of a preset of this family. Errors: `UnknownNameError`."""
    return named(PRESETS, preset).passes(text)


def _signals(counts: NDArray[np.float64], n_chars: NDArray, n_lines: NDArray) -> list[NDArray]:
    """The columns, of counts [quantities, documents]."""
    n_raw, n_words, n_word_chars = counts[_RAW], counts[_WORDS], counts[_WORD_CHARS]
    entropy = np.log(np.maximum(n_words, 1)) - _ratio(counts[_SPREAD], n_words)
    return [
        n_words,
        _ratio(n_word_chars, n_words),
        _ratio(counts[_UNIQUE], n_words),
        np.maximum(entropy, 0),  # rounding may leave a text of one word below
        _ratio(counts[_LOREM_IPSUM], n_word_chars + n_words - 1),  # a space between two words
        _ratio(counts[_SYMBOLS], n_raw),
        _ratio(counts[_NO_ALPHA], n_raw),
        _ratio(counts[_CAPITALS], n_raw),
        _ratio(counts[_STOP], n_raw),
        _ratio(counts[_BRACES], n_chars),
        counts[_SENTENCES],
        _ratio(counts[_ELLIPSES], n_lines),
        _ratio(counts[_ENDED], n_lines),
        _ratio(counts[_BULLETED], n_lines),
        _ratio(counts[_UPPER_FRAC], n_lines),
        _ratio(counts[_NUMERIC_FRAC], n_lines),
        _ratio(n_words, n_lines),
        _ratio(counts[_JAVASCRIPT], n_lines),
    ]


def _ratio(counts: NDArray[np.float64], n: NDArray) -> NDArray[np.float64]:
    """``counts / n``; where n is 0 the counts are too, and so is the ratio."""
    return counts / np.maximum(n, 1)


class _Words(NamedTuple):
    """What the kernel reads of the words."""

    offsets: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    n_chars: NDArray[np.int32]
    classes: NDArray[np.uint8]

    @classmethod
    def of(cls, words: Spans) -> _Words:
        return cls(words.offsets, words.start, words.end, words.n_chars, words.classes)


class _Lines(NamedTuple):
    """What the kernel reads of the lines."""

    offsets: NDArray[np.int64]
    end: NDArray[np.int64]
    n_chars: NDArray[np.int32]

    @classmethod
    def of(cls, lines: Spans) -> _Lines:
        return cls(lines.offsets, lines.end, lines.n_chars)


class _Tables(NamedTuple):
    """What the kernel looks up."""

    traits: NDArray[np.uint8]  # [code points]
    normal: NDArray[np.uint32]  # [code points], where in `sequences` its normal form lies: 8 * start + length
    sequences: NDArray[np.uint32]  # normal forms, one after the other
    stop_words: NDArray[np.uint64]  # hashes, at hash modulo size or soon after; 0 is free
    gains: NDArray[np.float64]  # (n + 1) log(n + 1) - n log n
    javascript: np.uint64  # the hash of this word


@functools.cache
def _characters() -> tuple[NDArray[np.uint8], NDArray[np.uint32], NDArray[np.uint32]]:
    """Traits and normal forms of all characters; made on first use."""
    traits = np.zeros(len(character_classes()), np.uint8)
    traits[(character_classes() & (LETTER | NUMBER)) != 0] |= _WORD
    normal = np.zeros(len(traits), np.uint32)
    sequences: list[int] = []
    for code_point in (*range(0x20000), *range(0x2F800, 0x2FA20)):  # no character beyond has a case or another form
        character = chr(code_point)
        traits[code_point] |= _UPPER * character.isupper()
        traits[code_point] |= _OTHER_CASE * (character.islower() or character.istitle() and not character.isupper())
        traits[code_point] |= _NUMERIC * character.isnumeric()
        form = unicodedata.normalize("NFD", character.lower()) if not 0xD800 <= code_point < 0xE000 else character
        if form != character:
            normal[code_point] = 8 * len(sequences) + len(form)
            sequences += map(ord, form)
    for code_point in range(0x20000, len(traits)):
        if (character := chr(code_point)).isnumeric():
            traits[code_point] |= _NUMERIC
    for code_point in range(0x21, 0x7F):
        traits[code_point] |= _ASCII_LETTER if chr(code_point).isalpha() else _REMOVED * (not chr(code_point).isalnum())
    traits[ord("_")] |= _WORD
    traits[[_HASH, _DOT, _EXCLAMATION, _QUESTION, _OPEN, _CLOSE, _ELLIPSIS]] |= _MARK
    return traits, normal, np.array(sequences, np.uint32)


@functools.cache
def _stop_table(stop_words: tuple[str, ...]) -> NDArray[np.uint64]:
    """The hashes of the words; at most an eighth of the slots is taken, so one look tells most words apart."""
    slots = np.zeros(1 << (8 * len(stop_words)).bit_length(), np.uint64)
    for word in stop_words:
        value = _hash(np.frombuffer(word.encode("utf-8", "replace"), np.uint8))
        slot = value % len(slots)
        while slots[slot]:
            slot = (slot + 1) % len(slots)
        slots[slot] = value
    return slots


@functools.cache
def _gains() -> NDArray[np.float64]:
    n = np.arange(4097)
    n_log_n = n * np.log(np.maximum(n, 1))
    return n_log_n[1:] - n_log_n[:-1]


@functools.cache
def _javascript() -> np.uint64:
    return np.uint64(_hash(np.frombuffer(b"javascript", np.uint8)))


def _fit(words: Spans) -> NDArray[np.uint64]:
    """A table for the words of any one document, at most half full: [slots, hash and (document + 1) << 32 | count]."""
    longest = int(words.counts.max(initial=0))
    return np.zeros((1 << (2 * longest).bit_length(), 2), np.uint64)


@numba.njit(cache=True, nogil=True)
def _count_documents(
    data: NDArray[np.uint8], words: _Words, lines: _Lines, tables: _Tables, seen: NDArray[np.uint64]
) -> NDArray[np.float64]:
    """The counts of each document, [documents, quantities]."""
    counts = np.zeros((len(lines.offsets) - 1, _N_COUNTS), np.float64)
    traits, normal, sequences, stop_words, gains, javascript = tables
    for document in range(len(counts)):
        count = counts[document]
        first_line, last_line = lines.offsets[document], lines.offsets[document + 1] - 1
        word, after = words.offsets[document], words.offsets[document + 1]
        last_slot = _last_slot(after - word)
        lorem = False
        for line in range(first_line, last_line + 1):
            first = word
            n_upper = n_numeric = 0
            n_words, n_word_chars = count[_WORDS], count[_WORD_CHARS]
            while word < after and words.start[word] < lines.end[line]:
                start, end = words.start[word], words.end[word]
                if words.n_chars[word] == end - start and words.classes[word] & ~(LETTER | NUMBER) == 0:
                    value, tail, n_chars, n_capitals, n_numbers = _count_plain(data, start, end, stop_words, count)
                else:
                    value, tail, n_chars, n_capitals, n_numbers = _count_any(
                        data, start, end, traits, normal, sequences, stop_words, count
                    )
                n_upper += n_capitals
                n_numeric += n_numbers
                if n_chars:
                    _tally(value, document + 1, last_slot, seen, gains, count)
                    count[_WORDS] += 1
                    count[_WORD_CHARS] += n_chars
                    count[_JAVASCRIPT] += value == javascript
                    count[_LOREM_IPSUM] += lorem and _begins_with_ipsum(data[start:end], tables)
                    lorem = tail & _FIVE_BYTES == _LOREM
                word += 1
            if word > first:
                _count_ends(
                    data[words.start[first] : words.end[first]],
                    data[words.start[word - 1] : words.end[word - 1]],
                    count,
                )
                n_words, n_word_chars = count[_WORDS] - n_words, count[_WORD_CHARS] - n_word_chars
                count[_UPPER_FRAC] += n_upper / (lines.n_chars[line] + (line < last_line))
                count[_NUMERIC_FRAC] += n_numeric / max(1.0, n_word_chars + n_words - 1)
    return counts


@numba.njit(cache=True, nogil=True)
def _count_plain(
    data: NDArray[np.uint8], start: int, end: int, stop_words: NDArray[np.uint64], count: NDArray[np.float64]
) -> tuple[np.uint64, np.uint64, int, int, int]:
    """Counts a word of ASCII letters and digits. What it returns is what `_count_any` does."""
    fold, tail = np.uint64(0), np.uint64(0)
    n = end - start
    n_upper = n_digits = 0
    for i in range(start, end):
        byte = data[i]
        kind = byte >> 5  # 1: a digit, 2: upper case, 3: lower case
        n_digits += kind == 1
        n_upper += kind == 2
        fold, tail = _push(fold, tail, i - start + 1, byte | 0x20)  # the bit is set in digits, too
    value = _finish(fold, tail, n)
    count[_RAW] += 1
    count[_NO_ALPHA] += n_digits == n
    count[_CAPITALS] += n_upper > 0 and n_upper + n_digits == n
    if n_upper == 0:
        count[_STOP] += _is_in(value, stop_words)
    count[_SENTENCES] += 1 - count[_IN_SENTENCE]
    count[_IN_SENTENCE] = 1
    return value, tail, n, n_upper, n_digits


@numba.njit(cache=True, nogil=True)
def _count_any(
    data: NDArray[np.uint8],
    start: int,
    end: int,
    traits: NDArray[np.uint8],
    normal: NDArray[np.uint32],
    sequences: NDArray[np.uint32],
    stop_words: NDArray[np.uint64],
    count: NDArray[np.float64],
) -> tuple[np.uint64, np.uint64, int, int, int]:
    """Counts a word.

    Returns, of its normalised form: hash, last 8 bytes, characters (0: nothing is left); and how many of its characters
    are upper case, and numeric.
    """
    fold, tail = np.uint64(0), np.uint64(0)
    n_bytes = n_chars = n_upper = n_numeric = n_dots = 0
    begin, of_token = start, np.uint8(0)  # the raw word at hand, and the traits of its characters
    i = start
    while i < end:
        code_point, size = np.uint32(data[i]), 1
        if code_point >= 0x80:
            code_point, size = decode(data[:end], i)
        trait = traits[code_point]
        if (trait ^ of_token) & _WORD and i > begin:
            _count_token(data, begin, i, of_token, stop_words, count)
            begin, of_token = i, np.uint8(0)
        of_token |= trait
        n_upper += (trait & _UPPER) != 0
        n_numeric += (trait & _NUMERIC) != 0
        n_dots = n_dots + 1 if code_point == _DOT else 0
        if trait & _WORD:
            count[_SENTENCES] += 1 - count[_IN_SENTENCE]
            count[_IN_SENTENCE] = 1
        elif trait & _MARK:
            _count_mark(code_point, n_dots, count)
        if not trait & _REMOVED:
            form = normal[code_point]
            if form == 0:
                fold, tail, n_bytes = _push_character(fold, tail, n_bytes, code_point)
                n_chars += 1
            else:
                first, n = form >> 3, form & 7
                for k in range(first, first + n):
                    fold, tail, n_bytes = _push_character(fold, tail, n_bytes, sequences[k])
                n_chars += n
        i += size
    _count_token(data, begin, end, of_token, stop_words, count)
    return _finish(fold, tail, n_bytes), tail, n_chars, n_upper, n_numeric


@numba.njit(cache=True, nogil=True)
def _count_token(
    data: NDArray[np.uint8],
    start: int,
    end: int,
    traits: np.uint8,
    stop_words: NDArray[np.uint64],
    count: NDArray[np.float64],
) -> None:
    """Counts a raw word, given the traits of its characters."""
    count[_RAW] += 1
    count[_NO_ALPHA] += traits & _ASCII_LETTER == 0
    count[_CAPITALS] += traits & (_UPPER | _OTHER_CASE) == _UPPER
    if traits & _WORD and not traits & _UPPER:
        count[_STOP] += _is_in(_hash(data[start:end]), stop_words)


@numba.njit(cache=True, nogil=True)
def _count_mark(mark: np.uint32, n_dots: int, count: NDArray[np.float64]) -> None:
    """Counts what is no letter and yet looked at; ``n_dots`` is the length of the run of dots that ends here."""
    count[_SYMBOLS] += mark == _HASH or mark == _ELLIPSIS or (n_dots > 0 and n_dots % 3 == 0)
    count[_BRACES] += mark == _OPEN or mark == _CLOSE
    if mark == _DOT or mark == _EXCLAMATION or mark == _QUESTION:
        count[_IN_SENTENCE] = 0


@numba.njit(cache=True, nogil=True)
def _count_ends(first: NDArray[np.uint8], last: NDArray[np.uint8], count: NDArray[np.float64]) -> None:
    """Counts how a line begins and ends, given its first and its last word."""
    mark = decode(first, 0)[0]
    if mark >= 0x80:
        count[_BULLETED] += mark in _BULLETS
    end = np.uint32(last[-1])
    if end >= 0x80 and len(last) >= 3:
        end = decode(last[-3:], 0)[0]
    count[_ENDED] += end == _DOT or end == _EXCLAMATION or end == _QUESTION or end == _QUOTE
    count[_ELLIPSES] += end == _ELLIPSIS or (len(last) >= 3 and last[-1] == last[-2] == last[-3] == _DOT)


@numba.njit(cache=True, nogil=True)
def _begins_with_ipsum(text: NDArray[np.uint8], tables: _Tables) -> bool:
    """Whether the normalised form of a word does."""
    fold, tail = np.uint64(0), np.uint64(0)
    i = n_bytes = 0
    while i < len(text) and n_bytes < 5:
        code_point, size = decode(text, i)
        if not tables.traits[code_point] & _REMOVED:
            fold, tail, n_bytes, _ = _push_normal(fold, tail, n_bytes, code_point, tables)
        i += size
    return tail == _IPSUM


@numba.njit(cache=True, nogil=True)
def _tally(
    value: np.uint64,
    stamp: int,
    last_slot: np.uint64,
    seen: NDArray[np.uint64],
    gains: NDArray[np.float64],
    count: NDArray[np.float64],
) -> None:
    """Counts a normalised word among the words of the document, and adds what that changes in their entropy."""
    slot = value & last_slot
    while seen[slot, 1] >> np.uint64(32) == stamp and seen[slot, 0] != value:
        slot = (slot + np.uint64(1)) & last_slot
    if seen[slot, 1] >> np.uint64(32) != stamp:
        seen[slot, 0], seen[slot, 1] = value, np.uint64(stamp) << np.uint64(32)
        count[_UNIQUE] += 1
    n = np.int64(seen[slot, 1] & np.uint64(0xFFFFFFFF))
    seen[slot, 1] += np.uint64(1)
    count[_SPREAD] += gains[n] if n < len(gains) else (n + 1) * np.log(n + 1) - n * np.log(n)


@numba.njit(cache=True, nogil=True)
def _last_slot(n_words: int) -> np.uint64:
    """The last slot of a table that is at most half full; small ones for short documents stay in the cache."""
    n_slots = 1
    while n_slots < 2 * n_words:
        n_slots *= 2
    return np.uint64(n_slots - 1)


@numba.njit(cache=True, nogil=True)
def _is_in(value: np.uint64, slots: NDArray[np.uint64]) -> bool:
    last_slot = np.uint64(len(slots) - 1)
    slot = value & last_slot
    while slots[slot] != value and slots[slot] != 0:
        slot = (slot + np.uint64(1)) & last_slot
    return slots[slot] == value


# -- a hash that is fed byte by byte


@numba.njit(cache=True, nogil=True)
def _push_normal(
    fold: np.uint64, tail: np.uint64, n_bytes: int, code_point: np.uint32, tables: _Tables
) -> tuple[np.uint64, np.uint64, int, int]:
    """Feeds the normal form of a character; returns the new state, and how many characters the form has."""
    form = np.int64(tables.normal[code_point])
    if form == 0:
        fold, tail, n_bytes = _push_character(fold, tail, n_bytes, code_point)
        return fold, tail, n_bytes, 1
    for k in range(form >> 3, (form >> 3) + (form & 7)):
        fold, tail, n_bytes = _push_character(fold, tail, n_bytes, tables.sequences[k])
    return fold, tail, n_bytes, form & 7


@numba.njit(cache=True, nogil=True)
def _push_character(
    fold: np.uint64, tail: np.uint64, n_bytes: int, code_point: np.uint32
) -> tuple[np.uint64, np.uint64, int]:
    """Feeds ASCII as it is, and any other character as three bytes that are not ASCII."""
    if code_point >= 0x80:
        fold, tail = _push(fold, tail, n_bytes + 1, np.uint8(0x80 | code_point >> 14))
        fold, tail = _push(fold, tail, n_bytes + 2, np.uint8(0x80 | code_point >> 7 & 0x7F))
        n_bytes += 2
        code_point = np.uint32(0x80 | code_point & 0x7F)
    fold, tail = _push(fold, tail, n_bytes + 1, np.uint8(code_point))
    return fold, tail, n_bytes + 1


@numba.njit(cache=True, nogil=True)
def _push(fold: np.uint64, tail: np.uint64, n_bytes: int, byte: np.uint8) -> tuple[np.uint64, np.uint64]:
    """Feeds byte number ``n_bytes``. The last 8 bytes wait in ``tail``; every 8 of them are folded in."""
    tail = tail << np.uint64(8) | np.uint64(byte)
    if n_bytes & 7 == 0:
        fold = _finish(fold, tail, 0)
    return fold, tail


@numba.njit(cache=True, nogil=True)
def _finish(fold: np.uint64, tail: np.uint64, n_bytes: int) -> np.uint64:
    """The hash; never 0."""
    value = (fold ^ tail ^ np.uint64(n_bytes) << np.uint64(56)) * _MULTIPLIER
    value = (value ^ value >> np.uint64(32)) * _MULTIPLIER
    return value ^ value >> np.uint64(29) | np.uint64(1) << np.uint64(63)


@numba.njit(cache=True, nogil=True)
def _hash(text: NDArray[np.uint8]) -> np.uint64:
    """The hash of some bytes, as they are."""
    fold, tail = np.uint64(0), np.uint64(0)
    for i in range(len(text)):
        fold, tail = _push(fold, tail, i + 1, text[i])
    return _finish(fold, tail, len(text))
