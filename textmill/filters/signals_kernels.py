"""The counts of `signals.RedPajamaSignals`, made on UTF-8 bytes, up to 62 at a time.

Of each block of a line, masks say which bytes belong to a letter, to whitespace, to a capital ...: one bit a byte.
Everything but the words themselves is counted by arithmetic on masks. A block ends with a word if it can. Where it
cannot, the word, and the raw word that goes on, are left to the next block: its masks begin with a bit that stands for
all that came before. So bit 0 of a mask is the past, bit k + 1 is byte k of the block.
"""

from __future__ import annotations

import functools
import string
import unicodedata

import numba
import numpy as np
from numpy.typing import NDArray

from textmill.bits import (
    ALL_ONES,
    byte_mask,
    count_ones,
    hash_begin,
    hash_end,
    hash_step,
    highest_one,
    load_eight,
    lowest_one,
)
from textmill.text import LETTER, NUMBER, SPACE, character_classes, decode, hash_bytes

# Rows of what is counted.
N_COUNTS = 15
(
    RAW,
    NO_ALPHA,
    CAPITALS,
    STOP,
    SYMBOLS,
    BRACES,
    SENTENCES,
    WORDS,
    WORD_CHARS,
    UNIQUE,
    LOREM_IPSUM,
    JAVASCRIPTS,
    ENDED,
    ELLIPSES,
    BULLETED,
) = range(N_COUNTS)
N_SUMS = 3
UPPER_FRAC, NUMERIC_FRAC, SPREAD = range(N_SUMS)  # of lines; of lines; n log n over the counts n of the unique words

# What a character is to these signals; the low bits of its entry in the table of characters.
_WORD = np.uint32(1)  # \w of Python's re
_SPACE = np.uint32(2)
_UPPER = np.uint32(4)  # str.isupper()
_OTHER_CASE = np.uint32(8)  # lower case or title case
_NUMERIC = np.uint32(16)  # str.isnumeric()
_REMOVED = np.uint32(32)  # ASCII punctuation
# Above them, of its normal form: characters, bytes, and where that begins; 0 if the character is its own.
_FORM_CHARS, _FORM_BYTES, _FORM_START = np.uint32(6), np.uint32(9), np.uint32(13)
FORM_GROWTH = 3  # no normal form has more bytes than its character, times this

_DOT, _M, _I = map(ord, ".mi")
_ENDS, _ELLIPSIS = tuple(map(ord, ".!?”")), ord("…")
_BULLETS = tuple(map(ord, "•‣▶◀◦■□▪▫–"))
_LOREM, _IPSUM = (np.uint64(int.from_bytes(word, "little")) for word in (b"lorem", b"ipsum"))
_JAVASCRIPT = np.uint64(hash_bytes(b"javascript"))

_ONE = np.uint64(1)
_BLOCK = 62
MIN_BYTES = 64  # that data must have: what a mask reads


@functools.cache
def characters() -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    """Traits and places of the normal forms of all characters, and these forms in UTF-8; made on first use."""
    classes = character_classes()
    entries = np.where(classes & (LETTER | NUMBER), _WORD, np.uint32(0)) | np.where(classes == SPACE, _SPACE, 0)
    entries = entries.astype(np.uint32)
    forms = bytearray()
    for code_point in (*range(0xD800), *range(0xE000, 0x30000)):  # no character beyond has a trait or another form
        character = chr(code_point)
        entries[code_point] |= _traits(character)
        form = unicodedata.normalize("NFD", character.lower())
        if form != character:
            encoded = form.encode()
            place = len(forms) << _FORM_START | len(encoded) << _FORM_BYTES | len(form) << _FORM_CHARS
            entries[code_point] |= np.uint32(place)
            forms += encoded
    return entries, np.frombuffer(bytes(forms), np.uint8)


def _traits(character: str) -> np.uint32:
    """Those that do not follow the category; `_WORD` is added for the one mark that has it."""
    traits = {
        _UPPER: character.isupper(),
        _OTHER_CASE: character.islower() or (character.istitle() and not character.isupper()),
        _NUMERIC: character.isnumeric(),
        _REMOVED: character in string.punctuation,
        _WORD: character == "_",
    }
    return np.uint32(sum(trait for trait, holds in traits.items() if holds))


@functools.cache
def stop_table(stop_words: tuple[str, ...]) -> NDArray[np.uint64]:
    """The hashes of the words, at hash modulo size or soon after; 0 is free.

    At most an eighth of the slots is taken, so one look tells most words apart.
    """
    slots = np.zeros(1 << (8 * len(stop_words)).bit_length(), np.uint64)
    for word in stop_words:
        value = hash_bytes(word.encode("utf-8", "replace"))
        slot = value % len(slots)
        while slots[slot]:
            slot = (slot + 1) % len(slots)
        slots[slot] = value
    return slots


@functools.cache
def gains() -> NDArray[np.float64]:
    """(n + 1) log(n + 1) - n log n."""
    n = np.arange(4097)
    n_log_n = n * np.log(np.maximum(n, 1))
    return np.diff(n_log_n)


@numba.njit(cache=True, nogil=True)
def count_documents(
    data: NDArray[np.uint8],
    line_offsets: NDArray[np.int64],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    line_chars: NDArray[np.int32],
    characters: NDArray[np.uint32],
    forms: NDArray[np.uint8],
    stop_words: NDArray[np.uint64],
    gains: NDArray[np.float64],
    scratch: NDArray[np.uint8],
    hashes: NDArray[np.uint64],
    slots: NDArray[np.uint64],
    counts: NDArray[np.int64],
    sums: NDArray[np.float64],
) -> None:
    """Counts [documents, `N_COUNTS`], and sums [documents, `N_SUMS`]."""
    last_stop = np.uint64(len(stop_words) - 1)
    for document in range(len(counts)):
        count = counts[document]
        n_words, pending = np.int64(0), _ONE
        last_begin = last_end = np.int64(0)
        upper_frac = numeric_frac = 0.0
        n_stop = np.int64(0)
        for line in range(line_offsets[document], line_offsets[document + 1]):
            i, end = starts[line], ends[line]
            first = last = end
            words_before, n_upper, n_numeric, n_kept = n_words, np.int64(0), np.int64(0), np.int64(0)
            dots_before = np.uint64(0)
            word_start = i
            in_word = in_other = has_letter = has_upper = has_other_case = np.uint64(0)
            while i < end:
                at = min(i, len(data) - MIN_BYTES)
                beyond = np.uint64(i - at)
                space = (byte_mask(data, at, 9, 5) | byte_mask(data, at, 28, 5)) >> beyond
                n = min(end - i, _BLOCK)
                if i + n < end:
                    space &= _WHOLE
                    if space:
                        n = np.int64(highest_one(space)) + 1
                    else:
                        while n > _BLOCK - 3 and data[i + n] & 0xC0 == 0x80:
                            n -= 1
                valid = ALL_ONES >> np.uint64(64 - n)
                space |= ~valid
                other_case = byte_mask(data, at, 97, 26) >> beyond & valid
                upper = byte_mask(data, at, 65, 26) >> beyond & valid
                numeric = byte_mask(data, at, 48, 10) >> beyond & valid
                letter = other_case | upper
                word = letter | numeric | byte_mask(data, at, 95, 1) >> beyond & valid
                kept = ~(space | byte_mask(data, at, 33, 94) >> beyond) | letter | numeric
                high = byte_mask(data, at, 128, 128) >> beyond & valid
                begins = valid
                if high:
                    begins &= ~(byte_mask(data, at, 128, 64) >> beyond)
                    wide = _wide(data, i, high & begins, characters)
                    word |= wide[0] & valid
                    space |= wide[1]
                    upper |= wide[2]
                    other_case |= wide[3]
                    numeric |= wide[4]
                    n_kept += wide[5]
                    count[SYMBOLS] += wide[6]
                    kept &= ~space
                n_kept += np.int64(count_ones(kept & begins))
                n_upper += np.int64(count_ones(upper))
                n_numeric += np.int64(count_ones(numeric))

                # marks
                dots = byte_mask(data, at, 46, 1) >> beyond & valid
                stops = dots | (byte_mask(data, at, 33, 1) | byte_mask(data, at, 63, 1)) >> beyond & valid
                braces = (byte_mask(data, at, 123, 1) | byte_mask(data, at, 125, 1)) >> beyond & valid
                count[BRACES] += np.int64(count_ones(braces))
                count[SYMBOLS] += np.int64(count_ones(byte_mask(data, at, 35, 1) >> beyond & valid))
                dots = dots << np.uint64(2) | dots_before
                threes = dots & dots >> _ONE & dots >> np.uint64(2)
                while threes:
                    dots &= ~(np.uint64(7) << lowest_one(threes))
                    threes = dots & dots >> _ONE & dots >> np.uint64(2)
                    count[SYMBOLS] += 1
                dots_before = dots >> np.uint64(n) & np.uint64(3)

                # sentences
                after = stops << _ONE | pending
                count[SENTENCES] += np.int64(count_ones((~(word | stops) + after) & word))
                pending = np.uint64(after > word << _ONE)

                black = ~space
                if black:
                    if first == end:
                        first = i + np.int64(lowest_one(black))
                    last = i + np.int64(highest_one(black)) + 1

                # tokens
                past = in_word | in_other
                odd = (high | (word ^ kept)) << _ONE | past
                if i + _BLOCK + 8 > len(data):
                    odd = ALL_ONES
                other = (black & ~word) << _ONE | in_other
                black = black << _ONE | past
                word = word << _ONE | in_word
                letter = letter << _ONE | has_letter
                upper = upper << _ONE | has_upper
                other_case = other_case << _ONE | has_other_case
                goes_on, next_start = np.uint64(0), word_start
                if i + n < end and black >> np.uint64(n) != 0:
                    goes_on = _run_until(word, n) | _run_until(other, n)
                    of_word = _run_until(black, n)
                    if not of_word & _ONE:
                        next_start = i + np.int64(lowest_one(of_word)) - 1
                    black &= ~of_word
                in_word, in_other = np.uint64(word & goes_on != 0), np.uint64(other & goes_on != 0)
                has_letter, has_upper = np.uint64(letter & goes_on != 0), np.uint64(upper & goes_on != 0)
                has_other_case = np.uint64(other_case & goes_on != 0)
                word &= ~goes_on
                other &= ~goes_on
                n_others = _n_runs(other)
                count[RAW] += _n_runs(word) + n_others
                count[NO_ALPHA] += _n_without(word, letter) + n_others
                cased = upper | other_case
                count[CAPITALS] += _n_without(word, other_case) - _n_without(word, cased)
                count[CAPITALS] += _n_without(other, other_case) - _n_without(other, cased)

                # words
                kept <<= _ONE
                begin_bits, end_bits = black & ~(black << _ONE), ~black & (black << _ONE)
                base = i - 1
                while begin_bits:
                    a, b = lowest_one(begin_bits), lowest_one(end_bits)
                    begin_bits &= begin_bits - _ONE
                    end_bits &= end_bits - _ONE
                    ones = ~(ALL_ONES << (b - a))
                    core = kept >> a & ones
                    stop = base + np.int64(b)
                    if (odd >> a & ones) == 0 and core & (core + (core & (~core + _ONE))) == 0:
                        if core == 0:
                            continue
                        word_begin = base + np.int64(a)
                        size = np.int64(count_ones(core))
                        k = word_begin + np.int64(lowest_one(core))
                        value = hash_begin(size)
                        eight = load_eight(data, k)
                        rest = size
                        while rest > 8:
                            eight |= (eight & ~(eight << _ONE) & _BITS_6) >> _ONE
                            value = hash_step(value, eight)
                            rest -= 8
                            k += 8
                            eight = load_eight(data, k)
                        eight &= ALL_ONES >> np.uint64(64 - 8 * rest)
                        eight |= (eight & ~(eight << _ONE) & _BITS_6) >> _ONE
                        value = hash_end(hash_step(value, eight))
                        slot = value & last_stop
                        while (stop_words[slot] != value) & (stop_words[slot] != 0):
                            slot = (slot + _ONE) & last_stop
                        n_stop += (stop_words[slot] == value) & (upper >> a & ones == 0)
                    else:
                        word_begin = base + np.int64(a) if a else word_start
                        size, stops_in = _normalise(data, word_begin, stop, characters, forms, stop_words, scratch)
                        n_stop += stops_in
                        if size == 0:
                            continue
                        value = _hash_of(scratch, 0, size)
                        eight = load_eight(scratch, 0)
                    if eight & _FIVE == _IPSUM:
                        count[LOREM_IPSUM] += n_words > 0 and _ends_lorem(
                            data, last_begin, last_end, characters, forms, stop_words, scratch
                        )
                    last_begin, last_end = word_begin, stop
                    hashes[n_words] = value
                    n_words += 1
                i += n
                word_start = next_start
            if first < end:
                _count_ends(data, starts[line], first, last, count)
                has_newline = line + 1 < line_offsets[document + 1]
                upper_frac += n_upper / (line_chars[line] + has_newline)
                numeric_frac += n_numeric / max(1, n_kept + n_words - words_before - 1)
                count[WORD_CHARS] += n_kept
        count[WORDS] = n_words
        count[STOP] = n_stop
        count[UNIQUE], count[JAVASCRIPTS], spread = _tally(hashes, n_words, slots, gains)
        sums[document, UPPER_FRAC], sums[document, NUMERIC_FRAC], sums[document, SPREAD] = (
            upper_frac,
            numeric_frac,
            spread,
        )


@numba.njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _wide(
    data: NDArray[np.uint8], i: int, leads: np.uint64, characters: NDArray[np.uint32]
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64, np.uint64, int, int]:
    """What the characters are that begin at the leads."""
    word = space = upper = other_case = numeric = np.uint64(0)
    n_more = n_ellipses = 0
    while leads:
        at = lowest_one(leads)
        leads &= leads - _ONE
        code_point, size = decode(data, i + np.int64(at))
        entry = np.uint64(characters[code_point])
        first = _ONE << at
        whole = (first << np.uint64(size)) - first
        word |= whole * (entry & _ONE)
        space |= whole * (entry >> _ONE & _ONE)
        upper |= first * (entry >> np.uint64(2) & _ONE)
        other_case |= first * (entry >> np.uint64(3) & _ONE)
        numeric |= first * (entry >> np.uint64(4) & _ONE)
        if entry >> np.uint64(_FORM_CHARS):
            n_more += np.int64(entry >> np.uint64(_FORM_CHARS) & np.uint64(7)) - 1
        n_ellipses += code_point == _ELLIPSIS
    return word, space, upper, other_case, numeric, n_more, n_ellipses


@numba.njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _n_runs(runs: np.uint64) -> int:
    """Maximal runs of ones."""
    return np.int64(count_ones(runs & ~(runs << _ONE)))


@numba.njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _n_without(runs: np.uint64, trait: np.uint64) -> int:
    """Maximal runs of ones, none of which has the trait: there, one that is added runs through to the end."""
    bare = runs & ~trait
    return np.int64(count_ones((bare + (bare & ~(runs << _ONE))) & ~runs))


@numba.njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _run_until(runs: np.uint64, last: int) -> np.uint64:
    """The run whose last one is bit ``last``; 0 if there is none."""
    zeros = ~runs & ALL_ONES >> np.uint64(63 - last)
    return runs & (ALL_ONES << highest_one(zeros) if zeros else ALL_ONES)


@numba.njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _normalise(
    data: NDArray[np.uint8],
    start: int,
    end: int,
    characters: NDArray[np.uint32],
    forms: NDArray[np.uint8],
    stop_words: NDArray[np.uint64],
    scratch: NDArray[np.uint8],
) -> tuple[int, int]:
    """Writes the normal form of a word to ``scratch``; gives its bytes, and how many raw words are stop words."""
    n_bytes = n_stop = 0
    i = token = start
    seen = np.uint32(0)
    while i < end:
        code_point, size = np.uint32(data[i]), 1
        if code_point >= 0x80:
            code_point, size = decode(data, i)
        entry = characters[code_point]
        if entry & _WORD:
            seen |= entry
        else:
            if i > token and not seen & _UPPER:
                n_stop += _is_in(_hash_of(data, token, i), stop_words)
            token, seen = i + size, np.uint32(0)
        if code_point >= 0x80:
            n_bytes = _append(scratch, n_bytes, data, i, size, entry, forms)
        else:
            scratch[n_bytes] = code_point + np.uint32(8) * (entry & _UPPER)
            n_bytes += entry & _REMOVED == 0
        i += size
    if end > token and not seen & _UPPER:
        n_stop += _is_in(_hash_of(data, token, end), stop_words)
    return n_bytes, n_stop


@numba.njit(cache=True, nogil=True, inline="always")
def _append(
    scratch: NDArray[np.uint8],
    n_bytes: int,
    data: NDArray[np.uint8],
    i: int,
    size: int,
    entry: np.uint32,
    forms: NDArray[np.uint8],
) -> int:
    """Appends the normal form of the character at byte i; returns the bytes there are now."""
    if entry >> _FORM_CHARS == 0:
        for k in range(size):
            scratch[n_bytes + k] = data[i + k]
        return n_bytes + size
    first, size = np.int64(entry >> _FORM_START), np.int64(entry >> _FORM_BYTES & np.uint32(0xF))
    for k in range(size):
        scratch[n_bytes + k] = forms[first + k]
    return n_bytes + size


@numba.njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _count_ends(data: NDArray[np.uint8], start: int, first: int, end: int, count: NDArray[np.int64]) -> None:
    """Counts how a line begins and ends: ``data[first:end]`` is all of it but whitespace at its ends."""
    if data[first] >= 0x80:
        count[BULLETED] += decode(data, first)[0] in _BULLETS
    mark = np.uint32(data[end - 1])
    dots = end - first >= 3 and data[end - 3] == data[end - 2] == mark == _DOT
    if mark >= 0x80 and end - first >= 3:  # those that count have three bytes
        code_point, size = decode(data, end - 3)
        mark = code_point if size == 3 else mark
    count[ENDED] += mark in _ENDS
    count[ELLIPSES] += dots or mark == _ELLIPSIS


@numba.njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _tally(
    hashes: NDArray[np.uint64], n_words: int, slots: NDArray[np.uint64], gains: NDArray[np.float64]
) -> tuple[int, int, float]:
    """Unique words, how many are javascript, and the sum of n log n. Slots are [slots, (hash, count)]."""
    n_slots = 16
    while 3 * n_slots < 4 * n_words:
        n_slots *= 2
    last_slot = np.uint64(n_slots - 1)
    for slot in range(n_slots):
        slots[slot, 0] = slots[slot, 1] = 0
    n_unique = n_javascript = 0
    spread = 0.0
    for k in range(n_words):
        value = hashes[k]
        n_javascript += value == _JAVASCRIPT
        slot = value & last_slot
        while (slots[slot, 1] != 0) & (slots[slot, 0] != value):
            slot = (slot + _ONE) & last_slot
        n = np.int64(slots[slot, 1])
        slots[slot, 0], slots[slot, 1] = value, np.uint64(n + 1)
        n_unique += n == 0
        spread += gains[n] if n < len(gains) else (n + 1) * np.log(n + 1) - n * np.log(n)
    return n_unique, n_javascript, spread


@numba.njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _is_in(value: np.uint64, slots: NDArray[np.uint64]) -> bool:
    last_slot = np.uint64(len(slots) - 1)
    slot = value & last_slot
    while (slots[slot] != value) & (slots[slot] != 0):
        slot = (slot + _ONE) & last_slot
    return slots[slot] == value


# -- eight bytes at a time

_EIGHT_ONES = np.uint64(0x0101010101010101)  # one bit in each of eight bytes
_BITS_5, _BITS_6 = _EIGHT_ONES << np.uint64(5), _EIGHT_ONES << np.uint64(6)
_FIVE = np.uint64(0xFFFFFFFFFF)
_WHOLE = ALL_ONES >> np.uint64(64 - _BLOCK)


@numba.njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _eight(text: NDArray[np.uint8], i: int, end: int) -> np.uint64:
    """The bytes from i to ``end``, at most eight; the text has as many."""
    at = min(i, len(text) - 8)
    return load_eight(text, at) >> np.uint64(8 * (i - at)) & ALL_ONES >> np.uint64(64 - 8 * min(end - i, 8))


@numba.njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _ends_lorem(
    data: NDArray[np.uint8],
    start: int,
    end: int,
    characters: NDArray[np.uint32],
    forms: NDArray[np.uint8],
    stop_words: NDArray[np.uint64],
    scratch: NDArray[np.uint8],
) -> bool:
    """Whether ``text[start:end]`` ends with "lorem" in any case."""
    size, _ = _normalise(data, start, end, characters, forms, stop_words, scratch)
    return size >= 5 and load_eight(scratch, size - 5) & _FIVE == _LOREM


@numba.njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _hash_of(text: NDArray[np.uint8], start: int, end: int) -> np.uint64:
    """`hash_of`."""
    value = hash_begin(end - start)
    for i in range(start, end, 8):
        value = hash_step(value, _eight(text, i, end))
    return hash_end(value)
