"""RefinedWeb's edits of texts, as DCLM reproduces them: Penedo et al. 2023 (arXiv 2306.01116), appendix G.2; Li et al.
2024 (arXiv 2406.11794), dclm_baseline_refinedweb.yaml.

`RefinedWebUrls` cuts URLs and IPv4 addresses out of texts, with up to 10 characters of whitespace before each, and
leaves at most 2 newlines in a row (steps 6 and 7). A URL is a scheme (http, https, ftp) or none, a name whose last part
is a top-level domain in lower case, and all URL characters behind it. DCLM looks for URLs only in texts whose first
letters happen to spell a top-level domain ("see ..." yes, "Welcome ..." no): ``guarded``, in the preset only.

`RefinedWebLines` then drops lines (steps 18 to 24), each for the first of these: more than half of the characters in
upper case; all of them digits; a counter ("3 likes", "1.5k views"); less than 2 words. Of lines of at most 10 words it
cuts "items in cart", "read more..." at the end and "sign-in" at the beginning, with one whitespace character, and drops
what is blank then. Empty lines stay. The text loses the whitespace at its ends; DCLM strips it after each step. DCLM
takes any three characters for the dots of "read more..." (``any_dots``, in the preset only).

A document of which more than 5% of the words go is dropped (step 25). Words are those of ``str.split()`` that begin
with a letter or a number, here as in fastText's tokens, but these split at ASCII whitespace only. Letters match in
either ASCII case. A text without words has 0 in every column.

``refinedweb@dclm`` scores Gopher's rules as DCLM has them on the text without URLs, then step 25. Its URL lists and its
language rule are other families.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textmill.bits import (
    ALL_ONES,
    as_number,
    as_read_only,
    byte_mask,
    copy_bytes,
    count_ones,
    glue,
    inlined,
    inner,
    kernel,
    lowest_one,
)
from textmill.characters import N_CODE_POINTS, decode_before, everything
from textmill.filters import gopher
from textmill.filters.base import Editor, Preset, Rule, Scorer, named, numbers, stack
from textmill.filters.line_marks import (
    last_character,
    strip_in_place,
    words_of_lines,
)
from textmill.filters.phrases import begins_with, find_phrases, phrase_table
from textmill.filters.segments import strip_start
from textmill.filters.url_parts import suffix_rules
from textmill.text import BEGINS_ALNUM, FNV_BASIS, FNV_PRIME, SPACE, Documents, character_classes, decode

COUNTERS = "likes shares comments retweets reposts quotes bookmarks upvotes downvotes downloads views followers".split()
MAX_PHRASE_WORDS = 10  # phrases are cut out of lines of at most so many words

LINE_KINDS = ("uppercase_lines", "digit_lines", "counter_lines", "short_lines")
PHRASE_KINDS = ("cart_phrases", "read_more_phrases", "sign_in_phrases")
COLUMNS = pa.schema(
    [
        *(pa.field(f"refinedweb_n_{kind}", pa.int32(), nullable=False) for kind in LINE_KINDS + PHRASE_KINDS),
        pa.field("refinedweb_removed_word_frac", pa.float32(), nullable=False),
    ]
)

_UPPER, _DIGIT, _DECIMAL, _ALNUM = (np.uint8(1 << k) for k in range(4))
_KEPT, _CAPITALS, _DIGITS, _COUNTER, _SHORT = range(5)
_CART, _READ_MORE, _SIGN_IN = range(3)
_PHRASES = ("items in cart", "read more", "sign-in")
_CART_BYTES, _READ_MORE_BYTES, _SIGN_IN_BYTES = (np.frombuffer(phrase.encode(), np.uint8) for phrase in _PHRASES)
_COUNTER_BYTES = np.frombuffer("".join(COUNTERS).encode(), np.uint8)
_COUNTER_OFFSETS = np.cumsum([0, *map(len, COUNTERS)])
_HTTPS, _HTTP, _FTP = (np.frombuffer(scheme, np.uint8) for scheme in (b"https", b"http", b"ftp"))
_DOT, _COMMA, _NEWLINE, _UNDERSCORE, _COLON, _SLASH = map(ord, ".,\n_:/")
_MAX_TLD_BYTES = 24
_MAX_SPACES = 10  # that go with a URL
_LETTERS_AND_DIGITS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_IN_NAME, _IN_URL, _IN_WORD = (np.uint8(1 << k) for k in range(3))


@dataclass(frozen=True)
class _LineRules:
    """Which lines are dropped and edited; shared by the scorer and the editor."""

    max_upper_frac: float = 0.5
    min_words: int = 2
    any_dots: bool = False  # any three characters end "read more..."

    def edited(self, documents: Documents) -> _Edited:
        """The texts afterwards, and what went; made once a batch, for the scorer and the editor."""
        rules = (self.max_upper_frac, self.min_words, self.any_dots)
        return documents.once(("refinedweb lines", rules), lambda: self._edit(documents))

    def _edit(self, documents: Documents) -> _Edited:
        pieces, kinds, classes = documents.segmentation, _character_kinds(), character_classes()
        lines, words = pieces.lines, pieces.words
        marks = find_phrases(pieces.data, lines.start, lines.end, phrase_table(tuple((phrase,) for phrase in _PHRASES)))
        n_words = np.diff(words_of_lines(pieces, "newline"))
        rules = (self.max_upper_frac, self.min_words, self.any_dots)
        fates = _fates(pieces.data, lines.start, lines.end, lines.n_chars, n_words, kinds, classes, *rules[:2])
        counted = words.classes & BEGINS_ALNUM != 0
        arrays = (lines.offsets, lines.start, lines.end, marks, fates, n_words, counted)
        data, offsets, changes, n_removed = _apply(pieces.data, *arrays, kinds, classes, self.any_dots)
        text = pa.Array.from_buffers(
            pa.large_string(), len(documents), [None, pa.py_buffer(offsets), pa.py_buffer(data)]
        )
        return _Edited(text, changes, n_removed / np.maximum(words.sums(counted), 1))


@dataclass(frozen=True)
class _Edited:
    text: pa.LargeStringArray
    changes: NDArray[np.int64]  # [documents, kinds]
    removed: NDArray[np.float64]  # share of the words


@dataclass(frozen=True)
class RefinedWeb(_LineRules, Scorer):
    """Counts what RefinedWeb's edits of lines change."""

    @property
    def columns(self) -> pa.Schema:
        """The same for all fields."""
        return COLUMNS

    def score(self, documents: Documents) -> list[pa.Array]:
        """The columns; see `Scorer.score`."""
        edited = self.edited(documents)
        values = [*edited.changes.T, edited.removed]
        return numbers(values, COLUMNS)


@dataclass(frozen=True)
class RefinedWebLines(_LineRules, Editor):
    """Drops the lines and cuts out the phrases."""

    name: ClassVar[str] = "refinedweb"
    kinds: ClassVar[tuple[str, ...]] = LINE_KINDS + PHRASE_KINDS

    def edit(self, documents: Documents) -> tuple[pa.LargeStringArray, Mapping[str, NDArray[np.int64]]]:
        """See `Editor.edit`."""
        edited = self.edited(documents)
        return edited.text, dict(zip(self.kinds, edited.changes.T, strict=True))


@dataclass(frozen=True)
class RefinedWebUrls(Editor):
    """Cuts URLs and IPv4 addresses out of texts, and newlines beyond a number in a row."""

    name: ClassVar[str] = "refinedweb"
    kinds: ClassVar[tuple[str, ...]] = ("urls", "addresses", "newlines")

    max_newlines: int = 2
    guarded: bool = False  # URLs only in texts that begin with the letters of a top-level domain

    def edit(self, documents: Documents) -> tuple[pa.LargeStringArray, Mapping[str, NDArray[np.int64]]]:
        """See `Editor.edit`."""
        pieces = documents.segmentation
        tables = (_url_characters(), suffix_rules()[0], _character_kinds(), character_classes())
        data, offsets, changes = _cut_urls(pieces.data, pieces.offsets, *tables, self.max_newlines, self.guarded)
        text = pa.Array.from_buffers(
            pa.large_string(), len(documents), [None, pa.py_buffer(offsets), pa.py_buffer(data)]
        )
        return text, dict(zip(self.kinds, changes.T, strict=True))


_SOURCE = "RefinedWeb, DCLM dclm_baseline_refinedweb.yaml"
RULES = (Rule("refinedweb_removed_words", "refinedweb_removed_word_frac", high=0.05, source=f"{_SOURCE}, step 25"),)


def _dclm() -> Preset:
    before = Preset("urls", _SOURCE, (), (), (RefinedWebUrls(guarded=True),))
    lines = Preset("lines", _SOURCE, (RefinedWeb(any_dots=True),), RULES, (RefinedWebLines(any_dots=True),))
    steps = stack([before, gopher.PRESETS["gopher@dclm"], lines])
    return replace(steps, name="refinedweb@dclm", source=_SOURCE)


PRESETS = {"refinedweb@dclm": _dclm()}


def passes(text: str, preset: str = "refinedweb@dclm") -> bool:
    """Whether one text passes the rules of a preset of this family. Errors: `UnknownNameError`."""
    return named(PRESETS, preset).passes(text)


@functools.cache
def _character_kinds() -> NDArray[np.uint8]:
    """What Python says of each code point: upper case, a digit, a decimal digit, letter or number: uint8 [0x110000]."""
    table, characters = np.zeros(N_CODE_POINTS, np.uint8), everything()[:0x40000]  # the rest is neither
    tests = {_UPPER: str.isupper, _DIGIT: str.isdigit, _DECIMAL: str.isdecimal, _ALNUM: str.isalnum}
    for bit, test in tests.items():
        table[: len(characters)] |= bit * np.fromiter(map(test, characters), np.uint8)
    return table


@functools.cache
def _url_characters() -> NDArray[np.uint8]:
    """Where a byte may stand: uint8 [256]."""
    table = np.zeros(256, np.uint8)
    name, rest = f"-@:%._+~#={_LETTERS_AND_DIGITS}", "()?&/"
    table[list((name + rest).encode())] |= _IN_URL
    table[list(name.encode())] |= _IN_NAME
    table[list(f"_{_LETTERS_AND_DIGITS}".encode())] |= _IN_WORD
    return table


# Kernels: lines


@kernel
def _fates(data, start, end, n_chars, n_words, kinds, classes, max_upper_frac, min_words):  # type: ignore[no-untyped-def]
    """What becomes of each line: uint8 [lines]."""
    fates = np.zeros(start.size, np.uint8)
    for k in range(start.size):
        i, stop = start[k], end[k]
        if i == stop:
            continue
        most, is_short = max_upper_frac * n_chars[k], n_words[k] < min_words
        if _may_have_more(data, i, stop, n_chars[k], most) and _count_upper(data, i, stop, kinds) > most:
            fates[k] = _CAPITALS
        elif is_short | (not 97 <= data[i] | 32 <= 122):  # nearly all lines begin with an ASCII letter
            fates[k] = _fate_of_number(data[i:stop], is_short, kinds, classes)
    return fates


@inner
def _fate_of_number(line, is_short, kinds, classes):  # type: ignore[no-untyped-def]
    """What becomes of a line without too many capitals that may be short, or a number."""
    if _all_digits(line, kinds):
        return _DIGITS
    if _is_counter(line, kinds, classes):
        return _COUNTER
    return _SHORT if is_short else _KEPT


@glue
def _may_have_more(data, i, end, n_chars, most):  # type: ignore[no-untyped-def]
    """Whether more than ``most`` characters may be in upper case: rarely, as many are ASCII letters in lower case."""
    n_others = np.int64(n_chars)
    while n_others > most and i < end and i + 64 <= data.size:
        n_others -= np.int64(count_ones(byte_mask(data, i, 97, 26) & ALL_ONES >> np.uint64(64 - min(end - i, 64))))
        i += 64
    return n_others > most


@inlined
def _count_upper(data, start, end, kinds):  # type: ignore[no-untyped-def]
    n_upper = np.uint64(0)
    for i in range(start, end, 64):
        if i + 65 > data.size:
            return n_upper + _count_upper_one_by_one(data, i, end, kinds)
        inside = ALL_ONES >> np.uint64(64 - min(end - i, 64))
        n_upper += count_ones(byte_mask(data, i, 65, 26) & inside)
        wide = byte_mask(data, i, 0xC3, 0x3D) & inside  # where those that are not ASCII begin
        if wide:
            n_upper += _count_wide_upper(data, i, end, wide, kinds)
    return n_upper


@inlined
def _count_wide_upper(data, i, end, wide, kinds):  # type: ignore[no-untyped-def]
    """Those that begin at the places among the 64 bytes from i on. Most are known by two bytes."""
    latin, cyrillic = byte_mask(data, i, 0xC3, 1), byte_mask(data, i, 0xD0, 1)
    upper = latin & byte_mask(data, i + 1, 0x80, 31) & ~byte_mask(data, i + 1, 0x97, 1)  # but ×
    upper |= cyrillic & byte_mask(data, i + 1, 0x80, 0x30)
    greek = byte_mask(data, i, 0xCE, 1)
    upper |= greek & byte_mask(data, i + 1, 0x91, 0x11)
    known = greek & (byte_mask(data, i + 1, 0x91, 0x11) | byte_mask(data, i + 1, 0xAC, 0x14))
    known |= byte_mask(data, i, 0xCF, 1) & byte_mask(data, i + 1, 0x80, 0x0F)
    known |= latin | cyrillic | byte_mask(data, i, 0xD7, 10) | byte_mask(data, i, 0xE3, 7) | byte_mask(data, i, 0xEB, 3)
    known |= byte_mask(data, i, 0xD1, 1) & byte_mask(data, i + 1, 0x80, 0x20)
    known |= byte_mask(data, i, 0xE2, 1) & byte_mask(data, i + 1, 0x80, 1)
    n_upper = count_ones(as_number(upper) & wide)
    places = as_number(~known) & wide
    while places:
        at = i + np.int64(lowest_one(places))
        places &= places - np.uint64(1)
        n_upper += np.uint64(kinds[decode_before(data, at, end)[0]] & _UPPER != 0)
    return n_upper


@inner
def _count_upper_one_by_one(data, i, end, kinds):  # type: ignore[no-untyped-def]
    n_upper = np.uint64(0)
    for at in range(i, end):
        if not 0x80 <= data[at] < 0xC0:
            n_upper += np.uint64(kinds[decode_before(data, at, end)[0]] & _UPPER != 0)
    return n_upper


@inner
def _all_digits(line, kinds):  # type: ignore[no-untyped-def]
    i = np.int64(0)
    while i < line.size:
        code_point, size = decode(line, i)
        if not kinds[code_point] & _DIGIT:
            return False
        i += size
    return True


@inner
def _skip_number(line, i, kinds):  # type: ignore[no-untyped-def]
    """Behind the digits, commas and dots from byte i on."""
    while i < line.size:
        code_point, size = decode(line, i)
        if not kinds[code_point] & _DECIMAL and code_point not in (_COMMA, _DOT):
            break
        i += size
    return i


@inner
def _skip_marks(line, i, kinds):  # type: ignore[no-untyped-def]
    """Behind the characters from byte i on that are no part of a word."""
    while i < line.size:
        code_point, size = decode(line, i)
        if kinds[code_point] & _ALNUM or code_point == _UNDERSCORE:
            break
        i += size
    return i


@inner
def _is_counter(line, kinds, classes):  # type: ignore[no-untyped-def]
    """Whether a line is a number, perhaps with k, m or b, whitespace, and what was counted; marks may be around it."""
    i = _skip_marks(line, np.int64(0), kinds)
    if i == line.size or not kinds[decode(line, i)[0]] & _DECIMAL:
        return False
    i = _skip_number(line, i, kinds)
    if i < line.size and line[i] | 32 in (107, 109, 98):  # k, m, b
        i += 1
    noun = strip_start(line, i, line.size, classes)
    end = noun
    while end < line.size and 97 <= line[end] | 32 <= 122:
        end += 1
    return noun > i and _is_counted(line, noun, end) and _skip_marks(line, end, kinds) == line.size


@inner
def _is_counted(line, start, end):  # type: ignore[no-untyped-def]
    """Whether ``line[start:end]`` is one of `COUNTERS`."""
    for k in range(_COUNTER_OFFSETS.size - 1):
        first, last = _COUNTER_OFFSETS[k], _COUNTER_OFFSETS[k + 1]
        if last - first == end - start and _same(line, start, _COUNTER_BYTES[first:last]):
            return True
    return False


@inner
def _same(text, start, phrase):  # type: ignore[no-untyped-def]
    """Whether the phrase, in lower case, stands at byte ``start``, in either ASCII case."""
    if start < 0 or start + phrase.size > text.size:
        return False
    for k in range(phrase.size):
        byte = text[start + k]
        if (byte + 32 if 65 <= byte <= 90 else byte) != phrase[k]:
            return False
    return True


@inner
def _count_words(text, kinds, classes):  # type: ignore[no-untyped-def]
    """Words that begin with a letter or a number."""
    n_words = i = 0
    was_space = True
    while i < text.size:
        code_point, size = decode(text, i)
        n_words += was_space and (kinds[code_point] & _ALNUM) != 0
        was_space = classes[code_point] == SPACE
        i += size
    return n_words


@kernel
def _apply(data, offsets, start, end, marks, fates, n_words, counted, kinds, classes, any_dots):  # type: ignore[no-untyped-def]
    """The texts: (bytes, offsets [documents + 1], changes [documents, kinds], words removed [documents])."""
    out = np.empty(end[-1] - start[0] if start.size else 0, np.uint8)
    out_offsets = np.zeros(offsets.size, np.int64)
    changes = np.zeros((offsets.size - 1, 7), np.int64)
    n_removed = np.zeros(offsets.size - 1, np.int64)
    n = word = np.int64(0)
    for document in range(offsets.size - 1):
        first, last = offsets[document], offsets[document + 1]
        copied = start[first]
        for k in range(first, last):
            first_word = word
            word += n_words[k]
            if fates[k] == _KEPT and not (marks[k] and n_words[k] <= MAX_PHRASE_WORDS):
                continue
            n = _append(out, n, data, copied, start[k])
            copied = end[k] + (k < last - 1)  # with its newline
            if fates[k] != _KEPT:
                changes[document, fates[k] - 1] += 1
                n_removed[document] += _n_counted(counted, first_word, word)
                continue
            line = out[n : _append(out, n, data, start[k], end[k])]
            before = _count_words(as_read_only(line), kinds, classes)
            size = _cut_phrases(line, marks[k], changes[document, 4:], classes, any_dots)
            n_removed[document] += before - _count_words(as_read_only(line[:size]), kinds, classes)
            if size:
                n = _append(out, n + size, data, end[k], copied)
        n = _append(out, n, data, copied, end[last - 1])
        n = strip_in_place(out, out_offsets[document], n, classes)
        out_offsets[document + 1] = n
    return out[:n], out_offsets, changes, n_removed


@inner
def _n_counted(counted, first, last):  # type: ignore[no-untyped-def]
    """Those among the words from ``first`` up to ``last`` that count."""
    n_words = 0
    for k in range(np.uint64(first), np.uint64(last)):
        n_words += counted[k]
    return n_words


@inner
def _append(out, n, data, start, end):  # type: ignore[no-untyped-def]
    """Writes ``data[start:end]``, which may be in ``out``, to ``out[n:]``; returns where that ends."""
    copy_bytes(out, n, data, start, end - start)
    return n + end - start


@inner
def _cut_phrases(line, marks, changes, classes, any_dots):  # type: ignore[no-untyped-def]
    """Cuts the phrases out of the line, in place; returns its size then, 0 if it is blank."""
    text, zero, size = as_read_only(line), np.int64(0), line.size
    if marks & 1 << _CART:
        size, n_cut = _cut_everywhere(line, _CART_BYTES, classes)
        changes[_CART] += n_cut
        size = 0 if strip_start(text, zero, size, classes) == size else size
    if size and marks & 1 << _READ_MORE:
        shorter = _without_read_more(text, size, classes, any_dots)
        changes[_READ_MORE] += shorter < size
        size = 0 if strip_start(text, zero, shorter, classes) == shorter else shorter
    if size and marks & 1 << _SIGN_IN and _same(text[:size], zero, _SIGN_IN_BYTES):
        begin = _SIGN_IN_BYTES.size
        if begin < size:
            code_point, width = decode_before(text, begin, size)
            begin += width if classes[code_point] == SPACE else 0
        for i in range(begin, size):
            line[i - begin] = line[i]
        changes[_SIGN_IN] += 1
        size -= begin
        size = 0 if strip_start(text, zero, size, classes) == size else size
    return size


@inner
def _cut_everywhere(line, phrase, classes):  # type: ignore[no-untyped-def]
    """Cuts the phrase, with one whitespace character before each, out in place; returns (size, how many)."""
    text = as_read_only(line)
    i = n = n_cut = np.int64(0)
    last_cut = np.int64(0)  # in what is left; whitespace before it went, or stood before another phrase
    while i < line.size:
        if _same(text, i, phrase):
            if n > last_cut:
                code_point, begin = last_character(text, last_cut, n)
                n = begin if classes[code_point] == SPACE else n
            i += phrase.size
            last_cut = n
            n_cut += 1
        else:
            line[n] = line[i]
            n += 1
            i += 1
    return n, n_cut


@inner
def _without_read_more(line, size, classes, any_dots):  # type: ignore[no-untyped-def]
    """The size of the line without "read more..." at its end."""
    i = size
    for _ in range(3):
        if i == 0:
            return size
        code_point, i = last_character(line, np.int64(0), i)
        if not any_dots and code_point != _DOT:
            return size
    i -= _READ_MORE_BYTES.size
    if not _same(line[:size], i, _READ_MORE_BYTES):
        return size
    if i > 0:
        code_point, begin = last_character(line, np.int64(0), i)
        i = begin if classes[code_point] == SPACE else i
    return i


# Kernels: URLs


@inner
def _key(data, start, end):  # type: ignore[no-untyped-def]
    """FNV-1a of ``data[start:end]``, as in `suffix_rules`, whose names of one part are the top-level domains."""
    key = FNV_BASIS
    for i in range(start, end):
        key = (key ^ np.uint64(data[i])) * FNV_PRIME
    return key


@inner
def _among(key, keys):  # type: ignore[no-untyped-def]
    """Whether the key is among these, which are in order."""
    low, high = 0, keys.size
    while low < high:
        middle = (low + high) // 2
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low < keys.size and keys[low] == key


@kernel
def _cut_urls(data, offsets, table, domains, kinds, classes, max_newlines, guarded):  # type: ignore[no-untyped-def]
    """The texts: (bytes, offsets [documents + 1], changes [documents, 3])."""
    out = np.empty(offsets[-1] - offsets[0], np.uint8)
    out_offsets = np.zeros(offsets.size, np.int64)
    changes = np.zeros((offsets.size - 1, 3), np.int64)
    n = 0
    for document in range(offsets.size - 1):
        text = data[offsets[document] : offsets[document + 1]]
        names = not guarded or _begins_with_domain(text, domains)
        block = copied = end = 0
        while block < text.size:
            dots, step = _dot_mask(text, block)
            while dots:
                dot = block + np.int64(lowest_one(dots))
                dots &= dots - np.uint64(1)
                if dot < end:  # in a run of URL characters that was looked at
                    continue
                start, end, n_dots = _run_around(text, dot, table)
                url = _find_name(text, start, end, table, domains, kinds) if names else -1
                address = _find_address(text, start, url if url >= 0 else end, table, kinds) if n_dots >= 3 else -1
                begin = address if address >= 0 else url
                if begin >= 0:
                    changes[document, 0] += url >= 0
                    changes[document, 1] += address >= 0
                    if begin == start:
                        begin = _before_spaces(text, copied, start, classes)
                    n = _append(out, n, text, copied, begin)
                    copied = end
            block += step
        n = _append(out, n, text, copied, text.size)
        squeezed = _squeeze(out, out_offsets[document], n, max_newlines)
        changes[document, 2] = n - squeezed
        n = out_offsets[document + 1] = squeezed
    return out[:n], out_offsets, changes


@inner
def _dot_mask(text, i):  # type: ignore[no-untyped-def]
    """Which of the bytes from byte i on are a dot in the midst of a name or an address, and how many it looked at."""
    if i + 65 > text.size:
        return np.uint64(text[i] == _DOT), 1
    follows = byte_mask(text, i + 1, 97, 26) | byte_mask(text, i + 1, 65, 26) | byte_mask(text, i + 1, 48, 10)
    follows |= byte_mask(text, i + 1, _UNDERSCORE, 1)
    return as_number(byte_mask(text, i, _DOT, 1) & follows), 64


@inner
def _run_around(text, dot, table):  # type: ignore[no-untyped-def]
    """Where the run of URL characters around a dot starts and ends, and how many dots are in it."""
    start, end, n_dots = dot, dot + 1, 1
    while start > 0 and table[text[start - 1]] & _IN_URL:
        start -= 1
        n_dots += text[start] == _DOT
    while end < text.size and table[text[end]] & _IN_URL:
        n_dots += text[end] == _DOT
        end += 1
    return start, end, n_dots


@inner
def _begins_with_domain(text, domains):  # type: ignore[no-untyped-def]
    """Whether the first letters of the text, in lower case, are those of a top-level domain."""
    key = FNV_BASIS
    for byte in text[:_MAX_TLD_BYTES]:
        key = (key ^ np.uint64(byte + 32 if 65 <= byte <= 90 else byte)) * FNV_PRIME
        if _among(key, domains):
            return True
    return False


@inner
def _find_name(text, start, end, table, domains, kinds):  # type: ignore[no-untyped-def]
    """Where the first URL in the run ``text[start:end]`` of URL characters begins; -1 if there is none."""
    name = start
    for i in range(start, end):
        if text[i] == _DOT and i > name:
            stop = i + 1
            while stop < end and stop - i <= _MAX_TLD_BYTES and table[text[stop]] & _IN_WORD:
                stop += 1
            if stop > i + 2 and not _goes_on(text, stop, kinds) and _among(_key(text, i + 1, stop), domains):
                return _scheme_start(text, start, name)
        if not table[text[i]] & _IN_NAME:
            name = i + 1
    return -1


@inner
def _goes_on(text, i, kinds):  # type: ignore[no-untyped-def]
    """Whether the character at byte i is a part of a word."""
    if i >= text.size:
        return False
    code_point = decode(text, i)[0]
    return (kinds[code_point] & _ALNUM) != 0 or code_point == _UNDERSCORE


@inner
def _scheme_start(text, start, name):  # type: ignore[no-untyped-def]
    """Where the scheme before byte ``name`` begins; ``name`` if there is none."""
    i = name - 3
    if i < start or text[i] != _COLON or text[i + 1] != _SLASH or text[i + 2] != _SLASH:
        return name
    for scheme in (_HTTPS, _HTTP, _FTP):
        if i - scheme.size >= start and begins_with(text, i - scheme.size, scheme):
            return i - scheme.size
    return name


@inner
def _find_address(text, start, end, table, kinds):  # type: ignore[no-untyped-def]
    """Where the first IPv4 address in ``text[start:end]`` begins; -1 if there is none."""
    for i in range(start, end):
        if 48 <= text[i] <= 57 and not _follows_word(text, i, kinds) and _is_address(text, i, end):
            begin = _scheme_start(text, start, i)
            return i if _follows_word(text, begin, kinds) else begin
    return -1


@inner
def _follows_word(text, i, kinds):  # type: ignore[no-untyped-def]
    """Whether the character before byte i is a part of a word."""
    if i == 0:
        return False
    code_point = last_character(text, max(i - 4, 0), i)[0]
    return (kinds[code_point] & _ALNUM) != 0 or code_point == _UNDERSCORE


@inner
def _is_address(text, i, end):  # type: ignore[no-untyped-def]
    """Whether four numbers below 300 with dots between them begin at byte i; the last may be the start of a longer."""
    for number in range(4):
        first = i
        while i < end and i - first < 3 and 48 <= text[i] <= 57:
            i += 1
        if i - first == 3 and text[first] > 50:
            i -= 1  # no number of three digits begins with 3
        if i == first:
            return False
        if number < 3:
            if i == end or text[i] != _DOT:
                return False
            i += 1
    return True


@inner
def _before_spaces(text, start, i, classes):  # type: ignore[no-untyped-def]
    """Where the last whitespace characters before byte i begin, `_MAX_SPACES` of them at most."""
    for _ in range(_MAX_SPACES):
        if i == start:
            break
        code_point, begin = last_character(text, start, i)
        if classes[code_point] != SPACE:
            break
        i = begin
    return i


@inner
def _squeeze(out, start, end, max_newlines):  # type: ignore[no-untyped-def]
    """Leaves at most so many newlines in a row, in place; returns the new end."""
    n = copied = block = seen = start
    reach = min(max_newlines, 2)
    while block < end:
        places, step = _newline_mask(out, block, end, reach)
        while places:
            first = block + np.int64(lowest_one(places))
            places &= places - np.uint64(1)
            if first < seen:  # in a run that was looked at
                continue
            seen = first
            while seen < end and out[seen] == _NEWLINE:
                seen += 1
            if seen - first > max_newlines:
                n = _append(out, n, out, copied, first + max_newlines)
                copied = seen
        block += step
    return _append(out, n, out, copied, end) if n < copied else end


@inner
def _newline_mask(text, i, end, reach):  # type: ignore[no-untyped-def]
    """Where from byte i on so many newlines and one more begin, or any one, and how many bytes were looked at."""
    if i + 64 + reach > end:
        return np.uint64(text[i] == _NEWLINE), 1
    places = byte_mask(text, i, _NEWLINE, 1)
    for k in range(1, reach + 1):
        places &= byte_mask(text, i + k, _NEWLINE, 1)
    return as_number(places), 64
