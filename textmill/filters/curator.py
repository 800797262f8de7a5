"""NeMo Curator's heuristics for English: its ratios, and all 28 filters as one preset.

Read from NVIDIA-NeMo/Curator at 1e2e427, ``heuristic_filter_english_pipeline.yaml``. Shares are of the characters of a
text unless a column says otherwise.

- **Alphanumeric** are only ASCII letters and digits, newline, and ``? ! , .``: a space counts as something else, and so
  does every letter of another script.
- **URL** characters are what its expression matches after ``http://`` or ``https://``: letters, digits, ``$-_@.&+!*(),``
  and ``%`` with two hexadecimal digits. A slash is none of them, so only scheme and host count.
- **Boilerplate** paragraphs (pieces between ``\\n\\n``) hold a phrase of a policy. One ``lorem ipsum`` makes the share 1.
  Three of its long sentences about cookies are known here by their beginnings.
- **Lines** are those that are not blank; a line has an end mark if it ends with one of ``. ? ! " '``.

A text without characters, or without lines, gets the published 1, which every rule here refuses. Longest word: 0 where
there is none (published: one more than the limit; the rule on the number of words refuses the text).
"""

from __future__ import annotations

import functools
import string
from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textmill.filters.base import Preset, Rule, Scorer, named
from textmill.text import Documents, Segmentation, Spans, decode

COLUMNS = pa.schema(
    [
        pa.field("curator_non_alphanumeric_char_frac", pa.float32(), nullable=False),
        pa.field("curator_digit_char_frac", pa.float32(), nullable=False),
        pa.field("curator_url_char_frac", pa.float32(), nullable=False),
        pa.field("curator_space_char_frac", pa.float32(), nullable=False),
        pa.field("curator_parenthesis_char_frac", pa.float32(), nullable=False),
        pa.field("curator_boilerplate_paragraph_frac", pa.float32(), nullable=False),
        pa.field("curator_unpunctuated_line_frac", pa.float32(), nullable=False),
        pa.field("curator_longest_word_chars", pa.int32(), nullable=False),
    ]
)

_SOURCE = "NeMo Curator 1e2e427, heuristic_filter_english_pipeline.yaml"
RULES = (
    Rule("curator_non_alphanumeric", "curator_non_alphanumeric_char_frac", high=0.25, source=_SOURCE),
    Rule("curator_digits", "curator_digit_char_frac", high=0.15, source=_SOURCE),
    Rule("curator_urls", "curator_url_char_frac", high=0.2, source=_SOURCE),
    Rule("curator_spaces", "curator_space_char_frac", high=0.25, source=_SOURCE),
    Rule("curator_parentheses", "curator_parenthesis_char_frac", high=0.1, source=_SOURCE),
    Rule("curator_boilerplate", "curator_boilerplate_paragraph_frac", high=0.4, source=_SOURCE),
    Rule("curator_unpunctuated_lines", "curator_unpunctuated_line_frac", high=0.85, source=_SOURCE),
    Rule("curator_longest_word", "curator_longest_word_chars", high=1000, source=_SOURCE),
)

_LOREM_IPSUM = "lorem ipsum"
_PHRASES = (
    "terms of use",
    "privacy policy",
    "privacy overview",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
    "privacy & cookies policy",
    "privacy and cookies policy",
    "necessary cookies are absolutely essential for",
    "any cookies that may not be particularly necessary",
    "without changing your cookie settings, you agree to",
    _LOREM_IPSUM,
)
_END_MARKS = np.frombuffer(b".?!\"'", np.uint8)
_BY_FREQUENCY = "etaoinshrdlucmfwgypbvkxjqz"  # the letters of English, the most frequent first

_NEWLINE, _COLON, _SLASH, _PERCENT, _H, _T, _P, _S, _A, _Z = map(ord, "\n:/%htpsAZ")
_ANGLE_LEAD, _ANGLES = "⟨".encode()[0], tuple(map(ord, "⟨⟩"))

# What is counted of the bytes of a text: several counters in one number, emptied before one of them can overflow.
_COUNTER_BITS = 12
_STRIDE = (1 << _COUNTER_BITS) - 1
_COUNTERS = ("characters", "alphanumeric", "digits", "spaces", "parentheses")
_URL_BYTE, _HEX_BYTE, _LOOK = (np.uint64(1 << bit) for bit in (61, 62, 63))  # no counters: what a byte may be
_FLAGS = _URL_BYTE | _HEX_BYTE | _LOOK  # the last says that a closer look is needed

# What those looks find, and what they need to know of earlier ones.
_N_FOUND = 8
(
    _URL_CHARS,
    _URL_END,  # of the latest one
    _ANGLE_CHARS,
    _PARAGRAPHS,
    _BOILERPLATE,  # paragraphs
    _IS_BOILERPLATE,  # this paragraph
    _LONE_NEWLINE,  # where the latest newline is that does not end a paragraph yet
    _LOREM,
) = range(_N_FOUND)


@dataclass(frozen=True)
class CuratorRatios(Scorer):
    """Measures what Curator's filters bound, without those that are Gopher's."""

    @property
    def columns(self) -> pa.Schema:
        return COLUMNS

    def score(self, documents: Documents) -> list[pa.Array]:
        """The columns; see `Scorer.score`."""
        pieces = documents.segmentation
        counts, found = _count_documents(pieces.data, pieces.offsets, _bytes(), _phrases())
        n_chars, n_alphanumeric, n_digits, n_spaces, n_parentheses = counts.T
        boilerplate = np.where(found[:, _LOREM], 1, found[:, _BOILERPLATE] / found[:, _PARAGRAPHS])
        values = [
            _share(n_chars - n_alphanumeric, n_chars),
            _share(n_digits, n_chars),
            _share(found[:, _URL_CHARS], n_chars),
            _share(n_spaces, n_chars),
            _share(n_parentheses + found[:, _ANGLE_CHARS], n_chars),
            boilerplate,
            _unpunctuated(pieces),
            _longest_words(pieces.words),
        ]
        return [pa.array(column).cast(field.type) for column, field in zip(values, COLUMNS, strict=True)]


PRESETS = {"heuristics@curator": Preset("heuristics@curator", _SOURCE, (CuratorRatios(),), RULES)}


def passes(text: str, preset: str = "heuristics@curator") -> bool:
    """Whether one text passes all rules of a preset of this family. Errors: `UnknownNameError`."""
    return named(PRESETS, preset).passes(text)


def _share(counts: NDArray[np.int64], n: NDArray[np.int64]) -> NDArray[np.float64]:
    """``counts / n``; 1 where n is 0."""
    return np.where(n == 0, 1, counts / np.maximum(n, 1))


def _unpunctuated(pieces: Segmentation) -> NDArray[np.float64]:
    """The share of lines that do not end with an end mark, [documents]."""
    words, lines = pieces.words, pieces.lines
    solid = ~lines.blank
    last_word = np.searchsorted(words.end, lines.end[solid], side="right") - 1
    ended = np.zeros(len(lines), np.bool_)
    ended[solid] = np.isin(pieces.data[words.end[last_word] - 1], _END_MARKS)
    n_lines = lines.sums(solid)
    return _share(n_lines - lines.sums(ended), n_lines)


def _longest_words(words: Spans) -> NDArray[np.int32]:
    """Characters of the longest word of each document."""
    longest = np.zeros(len(words.counts), np.int32)
    some = words.counts > 0
    if some.any():
        longest[some] = np.maximum.reduceat(words.n_chars, words.offsets[:-1][some])
    return longest


class _Phrases(NamedTuple):
    """Phrases in lower case, in the order of their rarest letters, by which they are found."""

    data: NDArray[np.uint8]  # one after the other
    offsets: NDArray[np.int64]  # [phrases + 1]
    rarest: NDArray[np.int64]  # position in the phrase
    of_letter: NDArray[np.int64]  # the phrases whose rarest letter is x: of_letter[x] to of_letter[x + 1]
    lorem_ipsum: int  # number of this phrase


@functools.cache
def _phrases() -> _Phrases:
    phrases = sorted(_PHRASES, key=_rarest)
    letters = [ord(_rarest(phrase)) for phrase in phrases]
    return _Phrases(
        np.frombuffer("".join(phrases).encode(), np.uint8),
        np.cumsum([0, *map(len, phrases)]),
        np.array([phrase.index(_rarest(phrase)) for phrase in phrases]),
        np.searchsorted(letters, np.arange(257)),
        phrases.index(_LOREM_IPSUM),
    )


def _rarest(phrase: str) -> str:
    return max(filter(str.isalpha, phrase), key=_BY_FREQUENCY.index)


@functools.cache
def _bytes() -> NDArray[np.uint64]:
    """What each byte adds to the counters, and its flags: uint64 [256]."""
    letters, digits = string.ascii_letters.encode(), string.digits.encode()
    counted = {
        "characters": [byte for byte in range(256) if byte & 0xC0 != 0x80],  # not a later byte of a longer character
        "alphanumeric": letters + digits + b"\n?!,.",
        "digits": digits,
        "spaces": b"\t\n\r\b ",
        "parentheses": b"{}[]()",
    }
    table = np.zeros(256, np.uint64)
    for i, name in enumerate(_COUNTERS):
        table[list(counted[name])] |= np.uint64(1 << _COUNTER_BITS * i)
    table[list(letters + digits + b"$-_@.&+!*(),")] |= _URL_BYTE
    table[list(string.hexdigits.encode())] |= _HEX_BYTE
    triggers = {form for phrase in _PHRASES for form in (_rarest(phrase), _rarest(phrase).upper())}
    table[[_NEWLINE, _COLON, _ANGLE_LEAD, *map(ord, triggers)]] |= _LOOK
    return table


@numba.njit(cache=True, nogil=True)
def _count_documents(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], table: NDArray[np.uint64], phrases: _Phrases
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The counters of each document, [documents, counters], and what closer looks found, [documents, `_N_FOUND`]."""
    counts = np.zeros((len(offsets) - 1, len(_COUNTERS)), np.int64)
    all_found = np.zeros((len(offsets) - 1, _N_FOUND), np.int64)
    for document in range(len(counts)):
        text, found = data[offsets[document] : offsets[document + 1]], all_found[document]
        found[_PARAGRAPHS] = 1
        found[_LONE_NEWLINE] = -2
        for begin in range(0, len(text), _STRIDE):
            packed = np.uint64(0)
            for i in range(begin, min(begin + _STRIDE, len(text))):
                entry = table[text[i]]
                packed += entry & ~_FLAGS
                if entry & _LOOK:
                    _look(text, i, table, phrases, found)
            for k in range(len(_COUNTERS)):
                counts[document, k] += packed >> np.uint64(_COUNTER_BITS * k) & np.uint64(_STRIDE)
    return counts, all_found


@numba.njit(cache=True, nogil=True)
def _look(
    text: NDArray[np.uint8], i: int, table: NDArray[np.uint64], phrases: _Phrases, found: NDArray[np.int64]
) -> None:
    """What begins, goes on or ends at byte i."""
    byte = text[i]
    if byte == _NEWLINE:
        _count_paragraph(i, found)
    elif byte == _COLON:
        _count_url(text, i, table, found)
    elif byte == _ANGLE_LEAD:
        found[_ANGLE_CHARS] += decode(text, i)[0] in _ANGLES
    else:
        letter = byte | 0x20
        for k in range(phrases.of_letter[letter], phrases.of_letter[letter + 1]):
            if _is_phrase(text, i - phrases.rarest[k], phrases.data, phrases.offsets[k], phrases.offsets[k + 1]):
                found[_LOREM] |= k == phrases.lorem_ipsum
                found[_BOILERPLATE] += 1 - found[_IS_BOILERPLATE]
                found[_IS_BOILERPLATE] = 1


@numba.njit(cache=True, nogil=True)
def _count_paragraph(i: int, found: NDArray[np.int64]) -> None:
    """Ends a paragraph at every second newline of a run."""
    if found[_LONE_NEWLINE] == i - 1:
        found[_PARAGRAPHS] += 1
        found[_IS_BOILERPLATE] = 0
        found[_LONE_NEWLINE] = -2
    else:
        found[_LONE_NEWLINE] = i


@numba.njit(cache=True, nogil=True)
def _count_url(text: NDArray[np.uint8], colon: int, table: NDArray[np.uint64], found: NDArray[np.int64]) -> None:
    """Counts the characters of a URL whose scheme ends at the colon, if there is one. Two URLs share no character."""
    start = _scheme_start(text, colon)
    if start < found[_URL_END]:
        return
    i = colon + 3
    while i < len(text):
        if table[text[i]] & _URL_BYTE:
            i += 1
        elif text[i] == _PERCENT and i + 2 < len(text) and table[text[i + 1]] & table[text[i + 2]] & _HEX_BYTE:
            i += 3
        else:
            break
    if i > colon + 3:
        found[_URL_CHARS] += i - start
        found[_URL_END] = i


@numba.njit(cache=True, nogil=True)
def _scheme_start(text: NDArray[np.uint8], colon: int) -> int:
    """Where ``http://`` or ``https://`` begins, given its colon; -1 if it is another colon."""
    if colon < 4 or colon + 2 >= len(text) or text[colon + 1] != _SLASH or text[colon + 2] != _SLASH:
        return -1
    start = colon - 4 - (text[colon - 1] == _S)
    if start < 0 or text[start] != _H or text[start + 1] != _T or text[start + 2] != _T or text[start + 3] != _P:
        return -1
    return start


@numba.njit(cache=True, nogil=True)
def _is_phrase(text: NDArray[np.uint8], start: int, phrases: NDArray[np.uint8], first: int, after: int) -> bool:
    """Whether the phrase ``phrases[first:after]`` stands at ``start``, in ASCII letters of any case."""
    if start < 0 or start + after - first > len(text):
        return False
    for k in range(after - first):
        byte = text[start + k]
        if _A <= byte <= _Z:
            byte |= 0x20
        if byte != phrases[first + k]:
            return False
    return True
