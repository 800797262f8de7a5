"""Lists of words and phrases, such as LDNOOBW's of obscene words, and a kernel that finds them in texts.

A list is a text file (UTF-8, packed with gzip or not) with an entry a line; a "#" at the start of a line or after
whitespace begins a comment. A line that is not UTF-8, or has more than `MAX_TOKENS` tokens, is an error.

Text and entries are compared in lower case (one character for one: "ß" is not "ss"), token by token. A token is a
maximal run of letters, marks, numbers and "_"; any other character that is no whitespace is a token of its own, and so
is each character of a script that is written without spaces (Han, kana, Thai, Lao, Khmer, Burmese). So "ass" is not in
"class", a phrase may be broken over lines, and Chinese entries are found anywhere; "g-spot" is neither "g spot" nor
"g - spot". Of several entries that begin at a token the longest counts, and the search goes on behind it.

C4's regular expression ``(?:\\W|^)(...)(?:\\W|$)`` differs: it ends words at combining marks, takes phrases with single
spaces only, misses the second of two hits with one character between them, and drops boundaries for all entries of a
Japanese, Thai or Chinese list, Latin ones too.

Tokens are compared by a 64-bit hash, so that one in 10^15 phrases is taken for another; an adversary can make such
phrases. Time is linear in the text: a token is read at most `MAX_TOKENS` times.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from textmill.bits import kernel
from textmill.errors import InputError
from textmill.filters import list_files
from textmill.filters.list_files import ListFile
from textmill.text import (
    FNV_BASIS,
    FNV_PRIME,
    LETTER,
    MARK,
    NUMBER,
    SPACE,
    Documents,
    character_classes,
    decode,
    lowercase_table,
)

MAX_TOKENS = 64  # of an entry: bounds how often a token of a text is read
# Blocks of scripts that are written without spaces: first and last code point.
_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0x30FF),  # radicals, iteration marks, kana
    (0x3400, 0x9FFF),  # Han
    (0xAA60, 0xAA7F),  # Burmese
    (0xF900, 0xFAFF),  # Han
    (0x20000, 0x3FFFF),  # Han
)
_GAP, _WORD, _SINGLE = np.uint8(0), np.uint8(1), np.uint8(2)  # whitespace; of a run; a token of its own
_COMMENT = re.compile(r"(^|\s)#.*")


@dataclass(frozen=True)
class Lexicon:
    """The entries of lists, as a trie of tokens in one hash table: at hash modulo size, or soon after.

    A key is the hash of the first tokens of an entry, whitespace between them as one space.
    """

    n_entries: int
    keys: NDArray[np.uint64]  # [a power of two]; 0 is free
    entry: NDArray[np.int32]  # number of the entry that ends here, or -1
    goes_on: NDArray[np.bool_]  # whether a longer entry begins like this
    starts: NDArray[np.bool_]  # [256, 256]: whether an entry may begin with these two bytes


def find_lists(paths: Iterable[str]) -> tuple[ListFile, ...]:
    """The lists in these files. Errors: `InputError` for a file that cannot be read, has a bad line or no entry."""
    files = tuple(list_files.identify(Path(path), "word list") for path in paths)
    for file in files:
        if not list(_entries(file)):  # all of them: a bad line raises
            raise InputError(f"{file.path}: a word list without words; give one with an entry a line")
    return files


def count_hits(documents: Documents, files: tuple[ListFile, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Entries that occur, distinct ones and all occurrences: two int64 [documents]; found once a batch.

    Errors: `EnvironmentFault` if a list is gone or has changed.
    """
    return documents.once(("lexicon hits", files), lambda: count_entries(documents, load(files)))


@functools.lru_cache(maxsize=8)
def load(files: tuple[ListFile, ...]) -> Lexicon:
    """All entries of the lists. Read once a process. Errors: `EnvironmentFault` if a list is gone or has changed."""
    return compile_entries(entry for file in files for entry in _entries(file))


def compile_entries(entries: Iterable[str]) -> Lexicon:
    """A lexicon of these words and phrases; those that are the same in lower case count as one. None is blank."""
    kinds, lower = _kinds(), lowercase_table()
    number_of: dict[int, int] = {}
    beginnings: set[int] = set()
    starts = np.zeros((256, 256), np.bool_)
    starts[0x80:] = starts[:, 0x80:] = True  # some of these are ASCII letters in lower case, such as the Kelvin sign
    for entry in entries:
        data = np.frombuffer(entry.encode(), np.uint8)
        *before, whole = _trie_keys(data, kinds, lower).tolist()
        beginnings.update(before)
        number_of.setdefault(whole, len(number_of))
        _mark_start(starts, entry.lower())
    size = 1 << (4 * len(number_of.keys() | beginnings) + 8).bit_length()
    lexicon = Lexicon(
        len(number_of), np.zeros(size, np.uint64), np.full(size, -1, np.int32), np.zeros(size, np.bool_), starts
    )
    for key in number_of.keys() | beginnings:
        slot = _slot(np.uint64(key), lexicon.keys)
        lexicon.keys[slot], lexicon.entry[slot] = key, number_of.get(key, -1)
        lexicon.goes_on[slot] = key in beginnings
    return lexicon


def count_entries(documents: Documents, lexicon: Lexicon) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Like `count_hits`, for a lexicon of one's own."""
    if not lexicon.n_entries:
        return np.zeros(len(documents), np.int64), np.zeros(len(documents), np.int64)
    pieces = documents.segmentation
    parts = (lexicon.keys, lexicon.entry, lexicon.goes_on, lexicon.starts)
    return _count(pieces.data, pieces.offsets, _kinds(), lowercase_table(), lexicon.n_entries, *parts)


def _mark_start(starts: NDArray[np.bool_], entry: str) -> None:
    """Marks the first two bytes that a text with this entry may have, non-ASCII ones aside."""
    first, second = entry[0], entry[1:2]
    both_cases = [ord(c) for c in {first, first.upper()} if c.isascii() and len(c) == 1]
    if second.isascii() and second.isalnum() and first.isalnum():
        for c in {second, second.upper()}:
            starts[both_cases, ord(c)] = True
    else:
        starts[both_cases] = True  # a token of one character: what comes behind it may vary


def _entries(file: ListFile) -> Iterator[str]:
    """The entries of a list, in order, whitespace at their ends removed."""
    for number, line in enumerate(list_files.read(file, "word list").removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        try:
            entry = _COMMENT.sub("", line.decode()).strip()
        except UnicodeDecodeError as error:
            raise InputError(f"{file.path}, line {number}: not UTF-8; save the word list as UTF-8") from error
        if entry:
            data = np.frombuffer(entry.encode(), np.uint8)
            if len(_trie_keys(data, _kinds(), lowercase_table())) > MAX_TOKENS:
                raise InputError(
                    f"{file.path}, line {number}: more than {MAX_TOKENS} words and marks; shorten this entry"
                )
            yield entry


@functools.cache
def _kinds() -> NDArray[np.uint8]:
    """What each code point is to a token: uint8 [0x110000]."""
    classes = character_classes()
    kinds = np.where(classes & (LETTER | MARK | NUMBER), _WORD, _SINGLE)
    kinds[classes == SPACE] = _GAP
    kinds[ord("_")] = _WORD
    for first, last in _UNSPACED:
        block = kinds[first : last + 1]
        block[block == _WORD] = _SINGLE
    return kinds


# Kernels


@kernel
def _count(data, offsets, kinds, lower, n_entries, keys, entry, goes_on, starts):  # type: ignore[no-untyped-def]
    """Distinct entries, and occurrences of entries, in each document."""
    n_distinct = np.zeros(offsets.size - 1, np.int64)
    n_total = np.zeros(offsets.size - 1, np.int64)
    last_seen = np.full(n_entries, -1, np.int64)  # the latest document that has the entry
    for document in range(offsets.size - 1):
        text = data[offsets[document] : offsets[document + 1]]
        i = 0
        while i < text.size:
            number = -1
            if starts[text[i], text[i + 1] if i + 1 < text.size else 0]:
                number, end = _longest(text, i, kinds, lower, keys, entry, goes_on)
            if number >= 0:
                n_total[document] += 1
                n_distinct[document] += last_seen[number] != document
                last_seen[number] = document
                i = end
            else:
                i = _token_end(text, i, kinds)
    return n_distinct, n_total


@kernel
def _longest(text, i, kinds, lower, keys, entry, goes_on):  # type: ignore[no-untyped-def]
    """The longest entry that begins at byte i, which begins a token or is whitespace: (its number or -1, its end)."""
    key, number, end = FNV_BASIS, np.int32(-1), i
    for _ in range(MAX_TOKENS):
        stop = _token_end(text, i, kinds)
        key = _extend(key, text, i, stop, lower)
        slot = _slot(key, keys)
        if entry[slot] >= 0:
            number, end = entry[slot], stop
        if not goes_on[slot]:
            break
        i = _gap_end(text, stop, kinds)
        if i == text.size:
            break
        if i > stop:
            key = (key ^ np.uint64(32)) * FNV_PRIME
    return number, end


@kernel
def _trie_keys(entry, kinds, lower):  # type: ignore[no-untyped-def]
    """The key behind each token of an entry."""
    keys = np.empty(entry.size, np.uint64)
    key, i, n = FNV_BASIS, 0, 0
    while i < entry.size:
        stop = _token_end(entry, i, kinds)
        keys[n] = key = _extend(key, entry, i, stop, lower)
        n += 1
        i = _gap_end(entry, stop, kinds)
        if i > stop:
            key = (key ^ np.uint64(32)) * FNV_PRIME
    return keys[:n]


@kernel
def _token_end(text, i, kinds):  # type: ignore[no-untyped-def]
    """Where the token that begins at byte i ends; behind byte i's character if that is whitespace."""
    code_point, size = decode(text, i)
    i += size
    if kinds[code_point] != _WORD:
        return i
    while i < text.size:
        if text[i] < 0x80:
            if kinds[text[i]] != _WORD:
                break
            i += 1
        else:
            code_point, size = decode(text, i)
            if kinds[code_point] != _WORD:
                break
            i += size
    return i


@kernel
def _gap_end(text, i, kinds):  # type: ignore[no-untyped-def]
    """Where the whitespace from byte i on ends."""
    while i < text.size:
        code_point, size = decode(text, i)
        if kinds[code_point] != _GAP:
            break
        i += size
    return i


@kernel
def _extend(key, text, i, end, lower):  # type: ignore[no-untyped-def]
    """FNV-1a, begun with ``key``, over the code points of ``text[i:end]`` in lower case; never 0."""
    while i < end:
        if text[i] < 0x80:
            key = (key ^ np.uint64(lower[text[i]])) * FNV_PRIME
            i += 1
        else:
            code_point, size = decode(text, i)
            key = (key ^ np.uint64(lower[code_point])) * FNV_PRIME
            i += size
    return key if key else FNV_PRIME


@kernel
def _slot(key, keys):  # type: ignore[no-untyped-def]
    """Where the key is, or the free place where it would be."""
    last = np.uint64(keys.size - 1)
    slot = (key ^ key >> np.uint64(32)) & last
    while keys[slot] != key and keys[slot] != 0:
        slot = (slot + np.uint64(1)) & last
    return slot
