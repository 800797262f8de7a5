"""Words between whitespace, what ``str.split()`` gives: cut and measured in one pass, since all who use them need both.

Of 64 bytes at a time, masks say which are whitespace and which begin a letter, a number ...: one bit a byte. Such a
block ends with whitespace, so no word is in two of them; words of 64 bytes and more are cut one by one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from textmill.bits import (
    ALL_ONES,
    as_number,
    byte_mask,
    count_ones,
    enlarged,
    hash_begin,
    hash_end,
    hash_step,
    highest_one,
    inlined,
    inner,
    kernel,
    load_eight,
    lowest_one,
)
from textmill.characters import (
    BEGINS_ALNUM,
    LETTER,
    MARK,
    NUMBER,
    OTHER,
    PUNCTUATION,
    SPACE,
    SYMBOL,
    character_classes,
    decode,
    decode_before,
    letters_of_two_bytes,
)
from textmill.pieces import Measures, classes_of, hash_and_length

_ONE, _NONE = np.uint64(1), np.uint64(0)
_READ = 72  # bytes that are read of a block, and behind its last word
_FEW_BYTES = 5  # a word with the space behind it: manual pages have 7.2


def whitespace_words(
    data: NDArray[np.uint8], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], Measures]:
    """Offsets [documents + 1], where the words start and end [words], and their measures.

    To count the words first would cost an eighth more. There is room for somewhat shorter ones than usual, and more is
    made where they are shorter still.
    """
    sizes, n_documents = np.diff(offsets), len(offsets) - 1
    word_offsets, n_done = np.zeros(len(offsets), np.int64), 0
    room = _Room.empty(int(sizes.sum()) // _FEW_BYTES + int(sizes.max(initial=0)) // 2 + 1)
    while n_done < n_documents:
        n_done = _cut_words(data, offsets, np.int64(n_done), character_classes(), word_offsets, *room)
        if n_done < n_documents:
            room = room.doubled(word_offsets[n_done])
    n = word_offsets[-1]
    measures = Measures(room.hash[:n], room.n_chars[:n], room.classes[:n])
    return word_offsets, room.start[:n], room.end[:n], measures


class _Room(NamedTuple):
    """What is written of words; see `Spans` and `Measures`."""

    start: NDArray[np.int64]
    end: NDArray[np.int64]
    hash: NDArray[np.uint64]
    n_chars: NDArray[np.int32]
    classes: NDArray[np.uint8]

    @classmethod
    def empty(cls, n: int) -> _Room:
        """Room for n words. Most of it is one piece of memory: malloc keeps what is less than twice its largest."""
        start, end, hashes = np.empty((3, n), np.int64)
        return cls(start, end, hashes.view(np.uint64), np.empty(n, np.int32), np.empty(n, np.uint8))

    def doubled(self, n_used: int) -> _Room:
        """Twice the room, the first words those that there are."""
        return _Room._make(enlarged(array, n_used, 2 * len(array)) for array in self)


@kernel
def _cut_words(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    n_done: int,
    classes: NDArray[np.uint8],
    word_offsets: NDArray[np.int64],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    n_chars: NDArray[np.int32],
    found: NDArray[np.uint8],
) -> int:
    """Writes the bounds and measures of the words of the documents from number ``n_done`` on, as long as there is room
    for any words; gives the number of documents done."""
    n = np.uint64(word_offsets[n_done])  # not signed: numba asks of each index that is whether it is negative
    for document in range(n_done, len(offsets) - 1):
        i, stop = offsets[document], offsets[document + 1]
        if np.int64(n) + (stop - i + 1) // 2 > len(start):
            return document
        while i < stop:
            size = 0
            if i + _READ <= len(data):
                size, space, letter, number, mark, punctuation, symbol, other, inner = _masks(data, i, stop, classes)
                black = ~space & ALL_ONES >> np.uint64(64 - min(size, 64)) if size else _NONE
                starts, ends = black & ~(black << _ONE), ~black & (black << _ONE)
                rare = mark | symbol | other
                while starts:
                    first, last = lowest_one(starts), lowest_one(ends) if ends else np.uint64(64)
                    starts &= starts - _ONE
                    ends &= ends - _ONE
                    of_word = (ALL_ONES >> (np.uint64(64) - (last - first))) << first
                    at, size_of_word = i + np.int64(first), np.int64(last - first)
                    start[n], end[n] = at, at + size_of_word
                    hashes[n] = _hash(data, at, size_of_word)
                    n_chars[n] = count_ones(of_word & ~inner)
                    seen = np.uint64(LETTER) * np.uint64(letter & of_word != 0)
                    seen |= np.uint64(BEGINS_ALNUM) * ((letter | number) >> first & _ONE)
                    seen |= np.uint64(NUMBER) * np.uint64(number & of_word != 0)
                    seen |= np.uint64(PUNCTUATION) * np.uint64(punctuation & of_word != 0)
                    if rare & of_word:
                        seen |= np.uint64(MARK) * np.uint64(mark & of_word != 0)
                        seen |= np.uint64(SYMBOL) * np.uint64(symbol & of_word != 0)
                        seen |= np.uint64(OTHER) * np.uint64(other & of_word != 0)
                    found[n] = seen
                    n += _ONE
            if size == 0:
                first, last = _next_word(data, i, stop, classes)
                if first < last:
                    start[n], end[n] = first, last
                    hashes[n], n_chars[n] = hash_and_length(data, first, last)
                    found[n] = classes_of(data, first, last, classes)
                    n += _ONE
                i = last
            i += size
        word_offsets[document + 1] = n
    return len(offsets) - 1


@inlined
def _masks(
    data: NDArray[np.uint8], i: int, stop: int, classes: NDArray[np.uint8]
) -> tuple[int, np.uint64, np.uint64, np.uint64, np.uint64, np.uint64, np.uint64, np.uint64, np.uint64]:
    """The size of the block of ``data[:stop]`` that begins at i, which a word does not go on behind, or 0 if the first
    one does; which bytes are whitespace; where characters of each other class begin; which bytes begin none."""
    within = ALL_ONES >> np.uint64(64 - min(64, stop - i))
    letter = (byte_mask(data, i, 0x61, 26) | byte_mask(data, i, 0x41, 26)) & within
    number, space = byte_mask(data, i, 0x30, 10) & within, _ascii_spaces(data, i)
    inner = as_number(byte_mask(data, i, 0x80, 0x40))
    ascii_ = within & ~byte_mask(data, i, 0x80, 0x80)
    symbol = _ascii_symbols(data, i) & ascii_
    other = (byte_mask(data, i, 0, 32) | byte_mask(data, i, 0x7F, 1)) & within & ~space
    punctuation = ascii_ & ~(letter | number | space | symbol | other)
    mark = _NONE
    size = min(64, stop - i)
    rest = within & ~(ascii_ | inner)
    if rest:
        letters = letters_of_two_bytes(data, i) & within >> _ONE
        letter |= letters
        rest &= ~letters
    while rest:
        at = lowest_one(rest)
        rest &= rest - _ONE
        code_point, n_bytes = decode_before(data, i + np.int64(at), stop)
        found, one = np.uint64(classes[code_point]), _ONE << at
        letter |= one * (found & _ONE)
        if found & _ONE:  # most beyond ASCII are
            continue
        mark |= one * (found >> _ONE & _ONE)
        number |= one * (found >> np.uint64(2) & _ONE)
        punctuation |= one * (found >> np.uint64(3) & _ONE)
        symbol |= one * (found >> np.uint64(4) & _ONE)
        other |= one * (found >> np.uint64(6) & _ONE)
        if found == np.uint64(SPACE):
            space |= (one << np.uint64(n_bytes)) - one
            size = max(size, int(np.int64(at)) + n_bytes)  # it may go on behind the block
    if size == 64 and stop - i > 64:
        size = int(np.int64(highest_one(space))) + 1 if space else 0
    return size, space, letter, number, mark, punctuation, symbol, other, inner


@inner
def _ascii_symbols(data: NDArray[np.uint8], i: int) -> np.uint64:
    """``$ + < = > ^ ` | ~``"""
    found = byte_mask(data, i, 0x24, 1) | byte_mask(data, i, 0x2B, 1) | byte_mask(data, i, 0x3C, 3)
    found |= byte_mask(data, i, 0x5E, 1) | byte_mask(data, i, 0x60, 1)
    return found | byte_mask(data, i, 0x7C, 1) | byte_mask(data, i, 0x7E, 1)


@inlined
def _hash(data: NDArray[np.uint8], i: int, size: int) -> np.uint64:
    """`hash_of` a piece that eight bytes follow in the data."""
    value = hash_begin(size)
    while size > 8:
        value = hash_step(value, load_eight(data, i))
        size -= 8
        i += 8
    return hash_end(hash_step(value, load_eight(data, i) & ALL_ONES >> np.uint64(64 - 8 * size)))


@kernel
def _next_word(data: NDArray[np.uint8], i: int, stop: int, classes: NDArray[np.uint8]) -> tuple[int, int]:
    """Where the next word of ``data[i:stop]`` starts and ends; there may be none."""
    while i < stop:
        code_point, size = decode_before(data, i, stop)
        if classes[code_point] != SPACE:
            break
        i += size
    text, rest = data[i:stop], _NONE
    for k in range(0, len(text), 64):
        space, rest = _spaces(text, k, classes, rest)
        if space:
            return i, i + min(k + int(np.int64(lowest_one(space))), len(text))
    return i, stop


@kernel
def _spaces(
    text: NDArray[np.uint8], i: int, classes: NDArray[np.uint8], rest: np.uint64
) -> tuple[np.uint64, np.uint64]:
    """Which of the 64 bytes from i on are whitespace, and which of the next 64 belong to a character of these.

    ``rest`` is the second from the 64 bytes before. What lies beyond the end is whitespace.
    """
    if i + 64 <= len(text):
        space, leads = as_number(_ascii_spaces(text, i)), as_number(_leads(text, i))
    else:
        space, leads = _last_spaces(text, i)
    space |= rest
    if leads:
        wide, rest = _wide_spaces(text, i, leads, classes)
        return space | wide, rest
    return space, np.uint64(0)


@inner
def _ascii_spaces(text: NDArray[np.uint8], i: int) -> np.uint64:
    return byte_mask(text, i, 9, 5) | byte_mask(text, i, 28, 5)


@inner
def _leads(text: NDArray[np.uint8], i: int) -> np.uint64:
    """Where whitespace that is not ASCII may begin: two bytes tell most other characters apart."""
    leads = byte_mask(text, i, 0xC2, 1) | byte_mask(text, i, 0xE1, 3)
    seconds = byte_mask(text, i, 0x80, 2) | byte_mask(text, i, 0x85, 1)
    seconds |= byte_mask(text, i, 0x9A, 1) | byte_mask(text, i, 0xA0, 1)
    return leads & (seconds >> np.uint64(1) | np.uint64(1) << np.uint64(63))


@inner
def _last_spaces(text: NDArray[np.uint8], i: int) -> tuple[np.uint64, np.uint64]:
    """Both for the last bytes of a text, fewer than 64."""
    space, leads = ALL_ONES << np.uint64(len(text) - i), _NONE
    for k in range(i, len(text)):
        byte, one = text[k], _ONE << np.uint64(k - i)
        space |= one * np.uint64((byte >= 9) & (byte <= 13) | (byte >= 28) & (byte <= 32))
        leads |= one * np.uint64(byte >= 0xC2)
    return space, leads


@inner
def _wide_spaces(
    text: NDArray[np.uint8], i: int, leads: np.uint64, classes: NDArray[np.uint8]
) -> tuple[np.uint64, np.uint64]:
    """The bytes of whitespace that begins at one of the leads: in these 64, and in the next."""
    found = rest = np.uint64(0)
    while leads:
        at = lowest_one(leads)
        leads &= leads - np.uint64(1)
        code_point, size = decode(text, i + np.int64(at))
        if classes[code_point] == SPACE:
            space = (np.uint64(1) << np.uint64(size)) - np.uint64(1)
            found |= space << at
            rest = space >> (np.uint64(64) - at) if at > 60 else np.uint64(0)
    return found, rest
