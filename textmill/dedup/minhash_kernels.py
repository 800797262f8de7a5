"""Kernels of MinHash: from the bytes of a batch of texts to shingles, minima, and band hashes.

    words or characters -> hashes, 64 bits -> shingles, 64 bits -> minima, 32 bits a permutation -> 64 bits a band

What each of these is stands in `textmill.dedup.minhash`. Time is linear in the bytes, whatever they are, and nothing
outside of a text is used, even if it is no UTF-8. Memory: eight bytes a word, or character, of the batch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from textmill.bits import ALL_ONES, byte_mask, hash_end, hash_step, kernel, leaf, load, load_eight, lowest_one
from textmill.dedup.lsh import NO_BAND
from textmill.dedup.normalize import IGNORED, SEPARATOR, STARTS_WORD, WIDE
from textmill.text import decode

SEED = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio
BASE = np.uint64(0xD6E8FEB86659FD93)  # of the polynomials; BASE - 1 is 2 mod 4, which keeps swapped words apart
NO_MINIMUM = np.uint32(0xFFFFFFFF)  # of no shingles, as in datasketch
BLOCK = 1024  # shingles that all permutations see before the next: 8 KB, well within the first cache
LANES = 32  # shingles at a time in `_minimum`: four vectors of eight


class Signed(NamedTuple):
    """What signing a batch gives."""

    signatures: NDArray[np.uint32]  # [n, permutations]; all NO_MINIMUM for a document without shingles
    n_shingles: NDArray[np.int32]  # [n], repeats included
    n_units: NDArray[np.int32]  # [n], words, or characters


class Cutting(NamedTuple):
    """How to cut text into shingles."""

    characters: NDArray[np.uint32]  # `Normalization.characters`
    words: bool  # of words; else of characters
    ngram: int
    short_has_one: bool  # a shingle, of all that there is
    lowercase: bool
    zero_digits: bool
    punctuation_separates: bool
    collapse_whitespace: bool


@kernel
def shingle(data, offsets, cutting):  # type: ignore[no-untyped-def]
    """The shingles of texts: hashes, their offsets (int64 [n + 1]), and how many units each text has (int32 [n])."""
    n = offsets.shape[0] - 1
    hashes, last = np.empty(_room(offsets, cutting.words), dtype=np.uint64), np.empty(64, dtype=np.uint8)
    shingle_offsets, n_units = np.zeros(n + 1, dtype=np.int64), np.empty(n, dtype=np.int32)
    for text in range(n):
        units = hashes[shingle_offsets[text] :]
        if cutting.words:
            n_units[text] = _hash_words(data, offsets[text], offsets[text + 1], cutting, last, units)
        else:
            n_units[text] = _hash_characters(data[: offsets[text + 1]], offsets[text], cutting, units)
        n_shingles = 0
        if n_units[text] >= (1 if cutting.short_has_one else cutting.ngram):
            n_shingles = _units_to_shingles(units, n_units[text], cutting.ngram)
        shingle_offsets[text + 1] = shingle_offsets[text] + n_shingles
    return hashes[: shingle_offsets[n]], shingle_offsets, n_units


@kernel
def _room(offsets, words):  # type: ignore[no-untyped-def]
    """The most units that texts may have: a word takes a byte and a separator, or three bytes."""
    n = 0
    for text in range(offsets.shape[0] - 1):
        n_bytes = offsets[text + 1] - offsets[text]
        n += (n_bytes + 1) // 2 if words else n_bytes
    return n


# --- Words ---

_CASE_BIT, _LETTER_BIT = np.uint64(0x2020202020202020), np.uint64(0x4040404040404040)  # of eight ASCII letters


@leaf
def _hash_words(data, start, stop, cutting, last, words):  # type: ignore[no-untyped-def]
    """Writes the hashes of the words of one text to ``words`` and returns their number.

    Sixty-four bytes at a time, cut where ASCII separates. Between two separators lies a plain word, of ASCII letters
    and digits only, or something *odd*, which is read letter by letter and may turn out to be no word, or several.
    """
    characters, punctuation_separates = cutting.characters, cutting.punctuation_separates
    lower, zero_digits = _CASE_BIT if cutting.lowercase else np.uint64(0), cutting.zero_digits
    n_words, begin = 0, start
    is_open = is_odd = False  # of the word that the last sixty-four bytes left unfinished
    for i in range(start, stop + 1, 64):  # behind the end it is blank, so that no word stays open
        if i + 64 <= stop:
            plain, odd = _kinds(data, i, punctuation_separates)
        else:
            _pad(data, i, stop, last)
            plain, odd = _kinds(last, 0, punctuation_separates)
        letters = plain | odd
        before = letters << np.uint64(1) | np.uint64(is_open)
        starts, ends = letters & ~before, before & ~letters
        while ends:
            if not is_open:
                begin = i + np.int64(lowest_one(starts))
                starts &= starts - np.uint64(1)
            upto_end = (ends & (~ends + np.uint64(1))) - np.uint64(1)
            is_odd |= (odd & upto_end) != 0
            odd &= ~upto_end
            end = i + np.int64(lowest_one(ends))
            ends &= ends - np.uint64(1)
            if is_odd:
                n_words = _hash_odd(data[:end], begin, characters, words, n_words)
            else:
                words[n_words] = _hash_plain(data, begin, end, lower, zero_digits)
                n_words += 1
            is_open = is_odd = False
        if letters >> np.uint64(63):
            if starts:
                begin = i + np.int64(lowest_one(starts))
            is_open = True
            is_odd |= odd != 0
    return n_words


@leaf
def _pad(data, i, stop, last):  # type: ignore[no-untyped-def]
    """Writes the bytes from i on to ``last``, with blanks behind them."""
    for k in range(64):
        last[k] = data[i + k] if i + k < stop else np.uint8(ord(" "))


@leaf
def _kinds(text, i, punctuation_separates):  # type: ignore[no-untyped-def]
    """Which of the sixty-four bytes from i on are ASCII letters or digits, and which are neither these nor separate."""
    plain = byte_mask(text, i, ord("0"), 10) | byte_mask(text, i, ord("A"), 26) | byte_mask(text, i, ord("a"), 26)
    if punctuation_separates:
        controls = byte_mask(text, i, 0, 9) | byte_mask(text, i, 14, 14) | byte_mask(text, i, 127, 1)
        return plain, controls | byte_mask(text, i, 0x80, 0x80)
    return plain, ~(plain | byte_mask(text, i, 9, 5) | byte_mask(text, i, 28, 5))


@leaf
def _hash_plain(data, start, end, lower, zero_digits):  # type: ignore[no-untyped-def]
    """The hash of a word of ASCII letters and digits."""
    value, i = SEED, start
    while i + 8 < end:
        value = hash_step(value, _fold(load_eight(data, i), lower, zero_digits))
        i += 8
    eight = load_eight(data, i) if i + 8 <= len(data) else load(data, i, end)
    eight = _fold(eight, lower, zero_digits) & (ALL_ONES >> np.uint64(64 - 8 * (end - i)))
    return hash_end(hash_step(value, eight) ^ np.uint64(end - start))


@leaf
def _fold(eight, lower, zero_digits):  # type: ignore[no-untyped-def]
    """Eight letters or digits of ASCII, folded. All digits have the case bit, and none the letter bit."""
    eight |= lower
    if zero_digits:
        eight &= ~(((~eight & _LETTER_BIT) >> np.uint64(6)) * np.uint64(0x0F))
    return eight


@leaf
def _hash_odd(text, i, characters, words, n_words):  # type: ignore[no-untyped-def]
    """Appends the hashes of the words from byte i to the end of ``text``; returns how many there are now."""
    value, eight = SEED, np.uint64(0)  # of the open word: what it has given, and the bytes to come
    length = 0
    while i < len(text):
        code_point, size = decode(text, i)
        i += size
        character = characters[code_point]
        if character & IGNORED:
            continue
        if length and character & (SEPARATOR | STARTS_WORD):
            words[n_words] = _close(value, eight, length)
            n_words += 1
            value, eight, length = SEED, np.uint64(0), 0
        if character & SEPARATOR:
            continue
        letter = np.uint64(character & np.uint32(0xFFFFFF))
        filled = length & 7
        size = 3 if character & WIDE else 1
        eight |= letter << np.uint64(8 * filled)
        length += size
        if filled + size >= 8:
            value = hash_step(value, eight)
            eight = letter >> np.uint64(8 * (8 - filled))
    if length:
        words[n_words] = _close(value, eight, length)
        n_words += 1
    return n_words


@leaf
def _close(value, eight, length):  # type: ignore[no-untyped-def]
    """The hash of a word of so many bytes, the last few of which have not been seen."""
    if length & 7:
        value = hash_step(value, eight)
    return hash_end(value ^ np.uint64(length))


# --- Characters ---


@leaf
def _hash_characters(text, i, cutting, units):  # type: ignore[no-untyped-def]
    """Writes the hashes of the characters from byte i to the end of ``text``; returns their number."""
    characters, collapse_whitespace = cutting.characters, cutting.collapse_whitespace
    n_units = 0
    space_waits = False
    while i < len(text):
        code_point, size = decode(text, i)
        i += size
        character = characters[code_point]
        if character & IGNORED:
            continue
        if collapse_whitespace and character & SEPARATOR:
            space_waits = n_units > 0
            continue
        if space_waits:
            units[n_units] = _hash_character(np.uint32(ord(" ")))
            n_units += 1
            space_waits = False
        units[n_units] = _hash_character(character)
        n_units += 1
    return n_units


@leaf
def _hash_character(character):  # type: ignore[no-untyped-def]
    return hash_end(hash_step(SEED, np.uint64(character & np.uint32(0xFFFFFF))))


# --- Shingles ---


@leaf
def _units_to_shingles(units, n_units, ngram):  # type: ignore[no-untyped-def]
    """Replaces the hashes of units by those of the n-grams that begin with them; returns the number of n-grams."""
    if n_units == 0:
        return 0
    value, weight = units[0], np.uint64(1)  # of the first unit of an n-gram: BASE ** (ngram - 1)
    for i in range(1, min(ngram, n_units)):
        value = value * BASE + units[i]
        weight *= BASE
    for first in range(n_units - ngram):
        following = (value - units[first] * weight) * BASE + units[first + ngram]
        units[first] = hash_end(value)
        value = following
    last = max(n_units - ngram, 0)
    units[last] = hash_end(value)
    return last + 1


@kernel
def unique(hashes, offsets):  # type: ignore[no-untyped-def]
    """Moves the hashes of each text together, sorted as they are, without repeats; returns their new offsets."""
    new_offsets = np.zeros_like(offsets)
    end = 0
    for text in range(offsets.shape[0] - 1):
        for i in range(offsets[text], offsets[text + 1]):
            if i == offsets[text] or hashes[i] != hashes[end - 1]:
                hashes[end] = hashes[i]
                end += 1
        new_offsets[text + 1] = end
    return new_offsets


# --- Minima ---


@kernel
def sign(hashes, offsets, multipliers, increments, signatures):  # type: ignore[no-untyped-def]
    """Writes the minimum of every permutation over the shingles of each text."""
    low, high = np.empty(BLOCK, dtype=np.uint32), np.empty(BLOCK, dtype=np.uint32)
    half = multipliers.shape[0] // 2
    for text in range(offsets.shape[0] - 1):
        minima = signatures[text]
        for k in range(minima.shape[0]):
            minima[k] = NO_MINIMUM
        for begin in range(offsets[text], offsets[text + 1], BLOCK):
            size = _split(hashes, begin, min(begin + BLOCK, offsets[text + 1]), low, high)
            for k in range(minima.shape[0]):
                values = low if k < half else high
                minima[k] = min(minima[k], _minimum(values[:size], multipliers[k], increments[k]))


@leaf
def _split(hashes, begin, end, low, high):  # type: ignore[no-untyped-def]
    """Writes the halves of a block of hashes, the last one again until the lanes are full; returns how many."""
    full = (end - begin + LANES - 1) // LANES * LANES
    for i in range(full):
        value = hashes[min(begin + i, end - 1)]
        low[i], high[i] = np.uint32(value), np.uint32(value >> np.uint64(32))
    return full


@leaf
def _minimum(values, multiplier, increment):  # type: ignore[no-untyped-def]
    """One permutation's minimum. Becomes vector code, ten times as fast; ``for value in values`` would not."""
    minimum = NO_MINIMUM
    for i in range(values.shape[0]):
        minimum = min(minimum, np.uint32(values[i] * multiplier + increment))
    return minimum


@kernel
def collapse(signatures, hashes):  # type: ignore[no-untyped-def]
    """One hash a band. Rows of a band lie ``n_bands`` apart, so that both halves of the minima go into each."""
    n_bands, n_minima = hashes.shape[1], signatures.shape[1]
    for document in range(hashes.shape[0]):
        minima = signatures[document]
        is_empty = True
        for k in range(n_minima):
            is_empty &= minima[k] == NO_MINIMUM
        for band in range(n_bands):
            value = SEED
            for row in range(band, n_minima, n_bands):
                value = hash_end(hash_step(value, np.uint64(minima[row])))
            hashes[document, band] = np.uint64(NO_BAND) if is_empty else max(value, np.uint64(NO_BAND + 1))
