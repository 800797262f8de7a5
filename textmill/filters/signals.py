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
import string
import unicodedata
from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textmill.bits import hash_begin, hash_end, hash_of, hash_step, load
from textmill.filters.base import Preset, Scorer, named
from textmill.text import LETTER, NUMBER, Documents, Spans, character_classes, decode, hash_bytes

# Words of closed classes: articles, pronouns, prepositions, conjunctions, auxiliaries, and what WordPunct leaves of
# contractions ("don", "t").
STOP_WORDS = tuple(
    """
    a about above across after again against all along also although am among an and another any anybody anyone anything
    are around as at away be because been before behind being below beneath beside between beyond both but by can cannot
    could d did do does doing don done down during each either else enough even ever every everybody everyone everything
    few first for from further had has have having he hence her here hers herself him himself his how however i if in
    indeed inside instead into is it its itself just last least less ll m many may me might mine more most much must my
    myself near neither never nevertheless no nobody none nor not nothing now of off often on once one only onto or
    other others otherwise ought our ours ourselves out outside over own per perhaps please quite rather re s same
    several shall she should since so some somebody someone something sometimes somewhere still such t than that the
    their theirs them themselves then there therefore these they this those though through throughout thus till to
    together too toward towards under unless until up upon us ve very via was we well were what whatever when whenever
    where whereas wherever whether which while who whoever whole whom whose why will with within without would yes
    yet you your yours yourself yourselves
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
_TO_LOWER = 4  # shifts `_UPPER` to the bit by which upper and lower case differ in ASCII

_HASH, _DOT, _EXCLAMATION, _QUESTION, _OPEN, _CLOSE, _M, _I = map(ord, "#.!?{}mi")
_ELLIPSIS, _QUOTE = map(ord, "…”")
_BULLETS = tuple(map(ord, "•‣▶◀◦■□▪▫–"))
_LOREM, _IPSUM = (np.uint64(int.from_bytes(word, "little")) for word in (b"lorem", b"ipsum"))

_HALF, _LOW_HALF = np.uint64(32), np.uint64(0xFFFFFFFF)

# One bit in each of eight bytes.
_EIGHT_ONES = np.uint64(0x0101010101010101)
_BITS_5, _BITS_6 = _EIGHT_ONES << np.uint64(5), _EIGHT_ONES << np.uint64(6)
_FIVE_BITS_5 = _BITS_5 & np.uint64(0xFFFFFFFFFF)

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
    _JAVASCRIPTS,
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
        tables = _Tables(*_characters(), _stop_table(self.stop_words), _gains(), _JAVASCRIPT)
        counts = _count_documents(pieces.data, _Words.of(words), _Lines.of(lines), tables, *_memory(words))
        n_chars = lines.sums(lines.n_chars) + lines.counts - 1
        n_lines = lines.counts - (lines.n_chars[lines.offsets[1:] - 1] == 0)
        values = _signals(counts.T, n_chars, n_lines)
        return [pa.array(column).cast(field.type) for column, field in zip(values, COLUMNS, strict=True)]


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
        _ratio(counts[_JAVASCRIPTS], n_lines),
    ]


def _ratio(counts: NDArray[np.float64], n: NDArray) -> NDArray[np.float64]:
    """``counts / n``; where n is 0 the counts are too, and so is the ratio."""
    return np.asarray(counts / np.maximum(n, 1))


class _Words(NamedTuple):
    """What the kernel reads of the words."""

    offsets: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    hash: NDArray[np.uint64]
    n_chars: NDArray[np.int32]
    classes: NDArray[np.uint8]

    @classmethod
    def of(cls, words: Spans) -> _Words:
        return cls(words.offsets, words.start, words.end, words.hash, words.n_chars, words.classes)


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
    normal: NDArray[
        np.uint32
    ]  # [code points]; 0, or where `forms` has its normal form: start << 7 | bytes << 3 | chars
    forms: NDArray[np.uint8]  # normal forms in UTF-8, one after the other
    stop_words: NDArray[np.uint64]  # hashes, at hash modulo size or soon after; 0 is free
    gains: NDArray[np.float64]  # (n + 1) log(n + 1) - n log n
    javascript: np.uint64  # the hash of this word


_JAVASCRIPT = np.uint64(hash_bytes(b"javascript"))
FORM_GROWTH = 3  # no normal form has more bytes than its character, times this


@functools.cache
def _characters() -> tuple[NDArray[np.uint8], NDArray[np.uint32], NDArray[np.uint8]]:
    """Traits and normal forms of all characters; made on first use."""
    traits = np.where(character_classes() & (LETTER | NUMBER), _WORD, np.uint8(0))
    normal = np.zeros(len(traits), np.uint32)
    forms = bytearray()
    for code_point in (*range(0xD800), *range(0xE000, 0x30000)):  # no character beyond has a trait or another form
        character = chr(code_point)
        traits[code_point] |= _traits(character)
        form = unicodedata.normalize("NFD", character.lower())
        if form != character:
            encoded = form.encode()
            normal[code_point] = len(forms) << 7 | len(encoded) << 3 | len(form)
            forms += encoded
    return traits, normal, np.frombuffer(bytes(forms), np.uint8)


def _traits(character: str) -> np.uint8:
    """All but `_WORD`, which follows the category; it is added for the one mark that has it."""
    traits = {
        _UPPER: character.isupper(),
        _OTHER_CASE: character.islower() or (character.istitle() and not character.isupper()),
        _NUMERIC: character.isnumeric(),
        _ASCII_LETTER: character in string.ascii_letters,
        _REMOVED: character in string.punctuation,
        _MARK: character in "#.!?{}…",
        _WORD: character == "_",
    }
    return np.uint8(sum(trait for trait, holds in traits.items() if holds))


@functools.cache
def _stop_table(stop_words: tuple[str, ...]) -> NDArray[np.uint64]:
    """The hashes of the words; at most an eighth of the slots is taken, so one look tells most words apart."""
    slots = np.zeros(1 << (8 * len(stop_words)).bit_length(), np.uint64)
    for word in stop_words:
        value = hash_bytes(word.encode("utf-8", "replace"))
        slot = value % len(slots)
        while slots[slot]:
            slot = (slot + 1) % len(slots)
        slots[slot] = value
    return slots


@functools.cache
def _gains() -> NDArray[np.float64]:
    n = np.arange(4097)
    n_log_n = n * np.log(np.maximum(n, 1))
    return np.diff(n_log_n)


def _memory(words: Spans) -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
    """What the kernel writes to: a table for the words of any one document, at most half full, and room for one
    word, and for what a character that is cut off at its end may reach beyond.

    The table's slots are [slots, (hash, (document + 1) << 32 | count)].
    """
    most_words = int(words.counts.max(initial=0))
    most_bytes = int((words.end - words.start).max(initial=0))
    return np.zeros((1 << (2 * most_words).bit_length(), 2), np.uint64), np.empty(
        FORM_GROWTH * most_bytes + 4, np.uint8
    )


@numba.njit(cache=True, nogil=True)
def _count_documents(
    data: NDArray[np.uint8],
    words: _Words,
    lines: _Lines,
    tables: _Tables,
    seen: NDArray[np.uint64],
    scratch: NDArray[np.uint8],
) -> NDArray[np.float64]:
    """The counts of each document, [documents, quantities]."""
    # Out of their tuples: to pass a tuple on costs more than what is done with a word.
    word_offsets, starts, ends, hashes, n_chars_of, classes_of = words
    line_offsets, line_ends, line_chars = lines
    traits, normal, forms, stop_words, gains, javascript = tables
    counts = np.zeros((len(line_offsets) - 1, _N_COUNTS), np.float64)
    for document in range(len(counts)):
        count = counts[document]
        word, after = word_offsets[document], word_offsets[document + 1]
        stamp, last_slot = np.uint64(document + 1), _last_slot(after - word)
        lorem = False
        for line in range(line_offsets[document], line_offsets[document + 1]):
            first, n_words, n_word_chars = word, count[_WORDS], count[_WORD_CHARS]
            n_upper = n_numeric = 0
            while word < after and starts[word] < line_ends[line]:
                start, end, classes = starts[word], ends[word], classes_of[word]
                if classes & ~(LETTER | NUMBER) == 0 and n_chars_of[word] == end - start:  # ASCII letters and digits
                    n_chars = end - start
                    value, upper, numeric = _count_plain(data, start, end, hashes[word], classes, stop_words, count)
                    is_lorem, is_ipsum = _ends(data, start, end)
                else:
                    n, n_chars, upper, numeric = _count_odd(
                        data, start, end, traits, normal, forms, stop_words, scratch, count
                    )
                    value = hash_of(scratch, 0, n)
                    is_lorem, is_ipsum = _ends(scratch, 0, n)
                if n_chars:
                    _tally(value, stamp, last_slot, seen, gains, count)
                    count[_WORDS] += 1
                    count[_WORD_CHARS] += n_chars
                    count[_JAVASCRIPTS] += value == javascript
                    count[_LOREM_IPSUM] += lorem and is_ipsum
                    lorem = is_lorem
                n_upper += upper
                n_numeric += numeric
                word += 1
            if word > first:
                _count_ends(data, starts[first], starts[word - 1], ends[word - 1], count)
                n_words, n_word_chars = count[_WORDS] - n_words, count[_WORD_CHARS] - n_word_chars
                has_newline = line + 1 < line_offsets[document + 1]
                count[_UPPER_FRAC] += n_upper / (line_chars[line] + has_newline)
                count[_NUMERIC_FRAC] += n_numeric / max(1.0, n_word_chars + n_words - 1)
    return counts


@numba.njit(cache=True, nogil=True, inline="always")
def _count_plain(
    data: NDArray[np.uint8],
    start: int,
    end: int,
    value: np.uint64,
    classes: np.uint8,
    stop_words: NDArray[np.uint64],
    count: NDArray[np.float64],
) -> tuple[np.uint64, int, int]:
    """Counts a word of ASCII letters and digits; returns the hash of its lower case, and how many are upper, digits."""
    n = end - start
    n_upper, n_letters = 0, n
    if classes & NUMBER:
        n_letters = _count_letters(data, start, end, False)
    if _has_upper(data, start, end):
        n_upper = _count_letters(data, start, end, True)
        value = _hash_lower(data, start, end)
        count[_CAPITALS] += n_upper == n_letters
    else:
        count[_STOP] += _is_in(value, stop_words)
    count[_RAW] += 1
    count[_NO_ALPHA] += n_letters == 0
    count[_SENTENCES] += 1 - count[_IN_SENTENCE]
    count[_IN_SENTENCE] = 1
    return value, n_upper, n - n_letters


@numba.njit(cache=True, nogil=True)
def _count_odd(
    data: NDArray[np.uint8],
    start: int,
    end: int,
    traits: NDArray[np.uint8],
    normal: NDArray[np.uint32],
    forms: NDArray[np.uint8],
    stop_words: NDArray[np.uint64],
    scratch: NDArray[np.uint8],
    count: NDArray[np.float64],
) -> tuple[int, int, int, int]:
    """Counts any word, and writes its normalised form to ``scratch``.

    Returns bytes and characters of that form, and how many characters of the word are upper case, and numeric.
    """
    n_bytes = n_chars = n_upper = n_numeric = n_dots = 0
    begin, of_token = start, np.uint8(0)  # the raw word at hand, and the traits of its characters
    i = start
    while i < end:
        code_point, size = np.uint32(data[i]), 1
        if code_point >= 0x80:
            code_point, size = decode(data, i)
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
        if code_point >= 0x80:
            n_bytes, n = _append(scratch, n_bytes, data, i, size, normal[code_point], forms)
            n_chars += n
        elif not trait & _REMOVED:
            scratch[n_bytes] = code_point | (trait & _UPPER) << _TO_LOWER
            n_bytes += 1
            n_chars += 1
        i += size
    _count_token(data, begin, end, of_token, stop_words, count)
    return n_bytes, n_chars, n_upper, n_numeric


@numba.njit(cache=True, nogil=True, inline="always")
def _append(
    scratch: NDArray[np.uint8],
    n_bytes: int,
    data: NDArray[np.uint8],
    i: int,
    size: int,
    form: np.uint32,
    forms: NDArray[np.uint8],
) -> tuple[int, int]:
    """Appends the normal form of the character at byte i; returns the bytes there are now, and its characters."""
    if form == 0:
        for k in range(size):
            scratch[n_bytes + k] = data[i + k]
        return n_bytes + size, 1
    first, size = int(form >> 7), int(form >> 3 & 0xF)
    for k in range(size):
        scratch[n_bytes + k] = forms[first + k]
    return n_bytes + size, int(form & 7)


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
        count[_STOP] += _is_in(hash_of(data, start, end), stop_words)


@numba.njit(cache=True, nogil=True, inline="always")
def _count_mark(mark: np.uint32, n_dots: int, count: NDArray[np.float64]) -> None:
    """Counts a character that is looked for; ``n_dots`` is the length of the run of dots that ends here."""
    count[_SYMBOLS] += mark in (_HASH, _ELLIPSIS) or (n_dots > 0 and n_dots % 3 == 0)
    count[_BRACES] += mark in (_OPEN, _CLOSE)
    if mark in (_DOT, _EXCLAMATION, _QUESTION):
        count[_IN_SENTENCE] = 0


@numba.njit(cache=True, nogil=True)
def _count_ends(data: NDArray[np.uint8], first: int, last: int, end: int, count: NDArray[np.float64]) -> None:
    """Counts how a line begins and ends: its first word begins at ``first``, its last one is ``data[last:end]``."""
    if data[first] >= 0x80:
        count[_BULLETED] += decode(data, first)[0] in _BULLETS
    mark = np.uint32(data[end - 1])
    dots = end - last >= 3 and data[end - 3] == data[end - 2] == mark == _DOT
    if mark >= 0x80 and end - last >= 3:  # those that count have three bytes
        code_point, size = decode(data, end - 3)
        mark = code_point if size == 3 else mark
    count[_ENDED] += mark in (_DOT, _EXCLAMATION, _QUESTION, _QUOTE)
    count[_ELLIPSES] += dots or mark == _ELLIPSIS


@numba.njit(cache=True, nogil=True, inline="always")
def _tally(
    value: np.uint64,
    stamp: np.uint64,
    last_slot: np.uint64,
    seen: NDArray[np.uint64],
    gains: NDArray[np.float64],
    count: NDArray[np.float64],
) -> None:
    """Counts a normalised word among the words of the document, and adds what that changes in their entropy."""
    slot = value & last_slot
    # Neither "and" nor "if": whether a word is new cannot be guessed.
    while (seen[slot, 1] >> _HALF == stamp) & (seen[slot, 0] != value):
        slot = (slot + np.uint64(1)) & last_slot
    is_new = seen[slot, 1] >> _HALF != stamp
    n = np.int64(0 if is_new else seen[slot, 1] & _LOW_HALF)
    seen[slot, 0], seen[slot, 1] = value, stamp << _HALF | np.uint64(n + 1)
    count[_UNIQUE] += is_new
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
    while (slots[slot] != value) & (slots[slot] != 0):
        slot = (slot + np.uint64(1)) & last_slot
    return slots[slot] == value


# -- eight bytes at a time


@numba.njit(cache=True, nogil=True, inline="always")
def _ends(text: NDArray[np.uint8], start: int, end: int) -> tuple[bool, bool]:
    """Whether ``text[start:end]`` ends with "lorem", and whether it begins with "ipsum", in any case."""
    if end - start < 5:
        return False, False
    lorem = text[end - 1] | 0x20 == _M and load(text, end - 5, end) | _FIVE_BITS_5 == _LOREM
    ipsum = text[start] | 0x20 == _I and load(text, start, start + 5) | _FIVE_BITS_5 == _IPSUM
    return lorem, ipsum


@numba.njit(cache=True, nogil=True)
def _upper_case(eight: np.uint64) -> np.uint64:
    """Bit 6 of each ASCII letter in upper case, among bytes that are letters, digits or 0."""
    return eight & ~(eight << np.uint64(1)) & _BITS_6


@numba.njit(cache=True, nogil=True)
def _has_upper(data: NDArray[np.uint8], start: int, end: int) -> bool:
    """Whether a word of ASCII letters and digits has a letter in upper case."""
    upper = _upper_case(load(data, start, end))
    for i in range(start + 8, end, 8):
        upper |= _upper_case(load(data, i, end))
    return upper != 0


@numba.njit(cache=True, nogil=True)
def _count_letters(data: NDArray[np.uint8], start: int, end: int, upper: bool) -> int:
    """How many letters a word of ASCII letters and digits has: all of them, or those in upper case."""
    n = 0
    for i in range(start, end):
        n += data[i] >> 5 == 2 if upper else data[i] >= 0x40
    return n


@numba.njit(cache=True, nogil=True)
def _hash_lower(data: NDArray[np.uint8], start: int, end: int) -> np.uint64:
    """`hash_of` a word of ASCII letters and digits in lower case."""
    value = hash_begin(end - start)
    for i in range(start, end, 8):
        eight = load(data, i, end)
        value = hash_step(value, eight | _upper_case(eight) >> np.uint64(1))
    return hash_end(value)
