"""The counts of `signals.RedPajamaSignals`, made on UTF-8 bytes, up to 62 at a time.

Of each block of a line, masks say which bytes belong to a letter, to whitespace, to a capital ...: one bit a byte.
Everything but the words themselves is counted by arithmetic on masks. A block ends with a word if it can. Where it
cannot, the word, and the raw word that goes on, are left to the next block: its masks begin with a bit that stands for
all that came before. So bit 0 of a mask is the past, bit k + 1 is byte k of the block.

Of words, `Segmentation` has the hashes already. Two of three are plain, that is ASCII letters in lower case and digits:
their normal form is the word. Only the others are looked at one by one.
"""

from __future__ import annotations

import functools
import string
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from textmill.bits import (
    ALL_ONES,
    as_number,
    as_read_only,
    byte_mask,
    count_ones,
    glue,
    hash_begin,
    hash_end,
    hash_of,
    hash_step,
    highest_one,
    inlined,
    inner,
    leaf,
    load_eight,
    lowest_one,
)
from textmill.characters import everything, plain_letters
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
_BULLET = np.uint32(64)  # begins an item of a list
_FINAL = np.uint32(128)  # ends a line of prose
# Above them, of its normal form: characters, bytes, and where that begins; 0 if the character is its own.
_FORM_CHARS, _FORM_BYTES, _FORM_START = np.uint32(8), np.uint32(11), np.uint32(15)
FORM_GROWTH = 3  # no normal form has more bytes than its character, times this
SCRATCH_BEYOND = 16  # bytes: for what a character that is cut off at the end of its line may become

_DOT, _EXCLAMATION, _QUESTION, _SIGN, _OPEN, _CLOSE, _I, _P = map(ord, ".!?#{}ip")
_ELLIPSIS = ord("…")
_LOREM, _IPSUM = (np.uint64(int.from_bytes(word, "little")) for word in (b"lorem", b"ipsum"))
_JAVASCRIPT = np.uint64(hash_bytes(b"javascript"))

_ONE = np.uint64(1)
_BITS_7 = np.uint64(0x8080808080808080)  # the highest of eight bytes
_FROM_A, _BEHIND_Z = np.uint64(0x3F3F3F3F3F3F3F3F), np.uint64(0x2525252525252525)  # carry into it from A, from behind Z
_FIVE_BYTES = np.uint64(0xFFFFFFFFFF)
_BLOCK = 62
_WHOLE_BLOCK = ALL_ONES >> np.uint64(64 - _BLOCK)
_NO_PAST = (np.uint64(0),) * 6
MIN_SLOTS = 16
MIN_BYTES = 64  # that data must have: what a mask reads


class Words(NamedTuple):
    """The words of `Segmentation`, for kernels; see `Spans`."""

    offsets: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    hash: NDArray[np.uint64]


@functools.cache
def characters() -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    """Traits and places of the normal forms of all characters, and these forms in UTF-8; made on first use."""
    classes = character_classes()
    entries = np.zeros(len(classes), np.uint32)
    entries[classes & (LETTER | NUMBER) != 0] = _WORD
    entries[classes == SPACE] = _SPACE
    characters = everything()[:0x30000]  # none beyond has a trait or another form
    for trait, having in _traits(characters):
        entries[: len(characters)][having] |= trait
    forms = bytearray()
    lower = map(str.lower, characters)
    for code_point, form in enumerate(map(functools.partial(unicodedata.normalize, "NFD"), lower)):
        if form != characters[code_point]:
            encoded = form.encode()
            place = len(forms) << _FORM_START | len(encoded) << _FORM_BYTES | len(form) << _FORM_CHARS
            entries[code_point] |= np.uint32(place)
            forms += encoded
    return entries, np.frombuffer(bytes(forms + bytes(8)), np.uint8)  # eight at a time are read


def _traits(characters: str) -> Iterator[tuple[np.uint32, NDArray]]:
    """Those that do not follow the category, and which characters have them: booleans, or numbers."""
    tests = {_UPPER: str.isupper, _NUMERIC: str.isnumeric, _OTHER_CASE: str.islower}
    has = {trait: np.fromiter(map(test, characters), np.bool_) for trait, test in tests.items()}
    has[_OTHER_CASE] |= np.fromiter(map(str.istitle, characters), np.bool_) & ~has[_UPPER]
    yield from has.items()
    lists = {_REMOVED: string.punctuation, _WORD: "_", _BULLET: "•‣▶◀◦■□▪▫–", _FINAL: ".!?”"}  # "_": a mark, but \w
    yield from ((trait, np.array([*map(ord, listed)])) for trait, listed in lists.items())


@functools.cache
def stop_table(stop_words: tuple[str, ...]) -> NDArray[np.uint64]:
    """The hashes of the words, each in one of its two places (`_is_in`), so that two looks, without a branch, tell all
    words apart (Pagh and Rodler 2004, cuckoo hashing); 0 is free."""
    hashes = {hash_bytes(word.encode("utf-8", "replace")) for word in filter(_may_be_raw, stop_words)}
    n_slots = 1 << (2 * len(hashes)).bit_length()
    while (slots := _two_places(sorted(hashes), n_slots)) is None:
        n_slots *= 2
    return np.array(slots, np.uint64)


def _two_places(hashes: list[int], n_slots: int) -> list[int] | None:
    """The table, if it has room: a hash takes one of its places, and what was there moves to its other one."""
    slots = [0] * n_slots
    for value in hashes:
        slot = value % n_slots
        for _ in range(n_slots):
            slots[slot], value = value, slots[slot]
            if value == 0:
                break
            slot = value % n_slots + (value >> 32) % n_slots - slot
        else:
            return None
    return slots


def _may_be_raw(word: str) -> bool:
    """Whether it is letters, numbers and ``_``, none of them upper case: no other one is ever found."""
    table = characters()[0]
    traits = [table[ord(character)] for character in word]
    return all(trait & _WORD and not trait & _UPPER for trait in traits)


@functools.cache
def gains() -> NDArray[np.float64]:
    """(n + 1) log(n + 1) - n log n."""
    n = np.arange(4097)
    n_log_n = n * np.log(np.maximum(n, 1))
    return np.diff(n_log_n)


@leaf
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
    words: Words,
    scratch: NDArray[np.uint8],
    hashes: NDArray[np.uint64],
    slots: NDArray[np.uint64],
    counts: NDArray[np.int64],
    sums: NDArray[np.float64],
) -> None:
    """Adds to ``counts`` [documents, `N_COUNTS`] and ``sums`` [documents, `N_SUMS`].

    Written to, too: ``scratch`` (the normal form of a word, and seven bytes), ``hashes`` (of the normal forms of the
    words of a document; 0 for a word of which nothing is left), ``slots`` [slots, (hash, count)] (twice as many).
    """
    for document in range(len(counts)):
        count = counts[document]
        n_words, n_empty, pending = np.uint64(0), np.uint64(0), _ONE  # unsigned: see `textmill.whitespace`
        first_word = words.offsets[document]
        n_stop = _copy_hashes(words.hash, first_word, words.offsets[document + 1], stop_words, hashes)
        for line in range(line_offsets[document], line_offsets[document + 1]):
            i, end = starts[line], ends[line]
            first = last = end  # of what is not whitespace
            words_before, n_upper, n_numeric, n_kept = n_words - n_empty, np.int64(0), np.int64(0), np.int64(0)
            dots_before, past, start_of_past = np.uint64(0), _NO_PAST, i
            while i < end:
                blank = _blanks(data, i)
                n = _block_size(data, i, end, blank)
                valid = ALL_ONES >> np.uint64(64 - n)
                space, word, letter, upper, other_case, numeric, kept, high = _ascii(data, i, valid, blank)
                plain = (other_case | numeric) & ~_ip(data, i)  # so words of these bytes only are as they are
                begins, changed = valid, np.uint64(0)
                if high:
                    begins &= ~_continuations(data, i)
                    wide = _wide(data, i, high & begins, valid >> _ONE, characters)
                    space, word, upper = space | wide[0], (word | wide[1]) & valid, upper | wide[2]
                    other_case, numeric = other_case | wide[3], numeric | wide[4]
                    n_kept += wide[5]
                    count[SYMBOLS] += wide[6]
                    changed = wide[7]
                    kept &= ~space
                n_kept += np.int64(count_ones(kept & begins))
                n_upper += np.int64(count_ones(upper))
                n_numeric += np.int64(count_ones(numeric))
                dots, stops, braces, signs = _marks(data, i, valid)
                n_ellipses, dots_before = _ellipses(dots, dots_before, n)
                count[SYMBOLS] += np.int64(count_ones(signs)) + n_ellipses
                count[BRACES] += np.int64(count_ones(braces))
                n_sentences, pending = _sentences(word, stops, pending)
                count[SENTENCES] += n_sentences

                black = ~space
                if black:
                    first = i + np.int64(lowest_one(black)) if first == end else first
                    last = i + np.int64(highest_one(black)) + 1
                letter_by_letter = past[0] if i + _BLOCK + 8 <= len(data) else ALL_ONES  # words, by their first bit
                changed <<= _ONE
                other = (black & ~word) << _ONE | past[2]
                black, kept, word = black << _ONE | past[0], kept << _ONE, word << _ONE | past[1]
                letter, upper, other_case = (
                    letter << _ONE | past[3],
                    upper << _ONE | past[4],
                    other_case << _ONE | past[5],
                )
                rest, start_of_rest = np.uint64(0), start_of_past
                past = _NO_PAST
                if i + n < end and black >> np.uint64(n):
                    rest = _run_until(black, n)
                    black &= ~rest
                    if not rest & _ONE:
                        start_of_rest = i - 1 + np.int64(lowest_one(rest))
                    rest = _run_until(word, n) | _run_until(other, n)
                    past = _past(rest, word, other, letter, upper, other_case)
                    word, other = word & ~rest, other & ~rest
                count[RAW] += _n_runs(word) + _n_runs(other)
                count[NO_ALPHA] += _n_without(word, letter) + _n_runs(other)
                count[CAPITALS] += _n_capitals(word, upper, other_case) + _n_capitals(other, upper, other_case)

                word_starts, word_ends = black & ~(black << _ONE), ~black & black << _ONE
                plain = plain << _ONE & black
                odd_ends = word_ends & ~(plain + (plain & word_starts))  # a carry goes through words that are plain
                while odd_ends:
                    b = lowest_one(odd_ends)
                    odd_ends &= odd_ends - _ONE
                    below = (_ONE << b) - _ONE
                    a = highest_one(~black & below) + _ONE if ~black & below else np.uint64(0)
                    word_number = n_words + count_ones(word_ends & below)
                    of_word = ~(ALL_ONES << (b - a))
                    start, stop = i - 1 + np.int64(a), i - 1 + np.int64(b)
                    if letter_by_letter >> a & _ONE == 0:
                        masks = kept >> a & of_word, word >> a & of_word, upper >> a & of_word, changed >> a & of_word
                        value, eight, n_more = _by_masks(data, start, of_word, *masks, characters, forms, stop_words)
                    else:
                        start = start_of_past if a == 0 else start
                        size, n_more = _normalise(data, start, stop, characters, forms, stop_words, scratch)
                        value = hash_of(as_read_only(scratch), np.int64(0), size) if size else np.uint64(0)
                        eight = load_eight(scratch, 0) if size >= 5 else np.uint64(0)
                    n_stop += n_more
                    n_empty += np.uint64(value == 0)
                    hashes[word_number] = value
                    if eight & _FIVE_BYTES == _IPSUM:
                        start, stop = _word_before(words, first_word, word_number, hashes)
                        size, _ = _normalise(data, start, stop, characters, forms, stop_words, scratch)
                        count[LOREM_IPSUM] += size >= 5 and load_eight(scratch, size - 5) & _FIVE_BYTES == _LOREM
                n_words += count_ones(word_ends)
                i += n
                start_of_past = start_of_rest
            if first < end:
                _count_ends(data, first, last, characters, count)
                has_newline = line + 1 < line_offsets[document + 1]
                sums[document, UPPER_FRAC] += n_upper / (line_chars[line] + has_newline)
                sums[document, NUMERIC_FRAC] += n_numeric / max(
                    np.int64(1), n_kept + np.int64(n_words - n_empty - words_before) - 1
                )
                count[WORD_CHARS] += n_kept
        count[WORDS], count[STOP] = n_words - n_empty, n_stop
        count[UNIQUE], count[JAVASCRIPTS], sums[document, SPREAD] = _tally(hashes, np.int64(n_words), slots, gains)


# -- masks


@inlined
def _blanks(data: NDArray[np.uint8], i: int) -> np.uint64:
    """Which bytes from i on are ASCII whitespace."""
    at = min(i, len(data) - MIN_BYTES)
    return as_number(byte_mask(data, at, 9, 5) | byte_mask(data, at, 28, 5)) >> np.uint64(i - at)


@inlined
def _block_size(data: NDArray[np.uint8], i: int, end: int, blank: np.uint64) -> np.int64:
    """The size of the block of ``data[:end]`` that begins at i: it ends with whitespace, if not with a character."""
    n = np.int64(min(end - i, _BLOCK))
    if i + n == end:
        return n
    space = blank & _WHOLE_BLOCK
    if space:
        return np.int64(highest_one(space)) + 1
    while n > _BLOCK - 3 and data[i + n] & 0xC0 == 0x80:
        n -= 1
    return n


@inlined
def _ascii(
    data: NDArray[np.uint8], i: int, valid: np.uint64, blank: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64, np.uint64, np.uint64, np.uint64, np.uint64]:
    """What is whitespace or not valid, `_WORD`, a letter, `_UPPER`, `_OTHER_CASE`, `_NUMERIC`, not `_REMOVED`, as far
    as it is ASCII; and what is beyond ASCII."""
    at = min(i, len(data) - MIN_BYTES)
    by = np.uint64(i - at)
    space = blank | ~valid
    lower, upper = byte_mask(data, at, 97, 26) >> by & valid, byte_mask(data, at, 65, 26) >> by & valid
    digit = byte_mask(data, at, 48, 10) >> by & valid
    letter = lower | upper
    word = letter | digit | byte_mask(data, at, 95, 1) >> by & valid
    kept = ~(space | byte_mask(data, at, 33, 94) >> by) | letter | digit
    return space, word, letter, upper, lower, digit, kept, byte_mask(data, at, 128, 128) >> by & valid


@inlined
def _marks(data: NDArray[np.uint8], i: int, valid: np.uint64) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Dots, ends of sentences, braces, number signs."""
    at = min(i, len(data) - MIN_BYTES)
    by = np.uint64(i - at)
    dots = byte_mask(data, at, _DOT, 1) >> by & valid
    stops = dots | (byte_mask(data, at, _EXCLAMATION, 1) | byte_mask(data, at, _QUESTION, 1)) >> by & valid
    braces = (byte_mask(data, at, _OPEN, 1) | byte_mask(data, at, _CLOSE, 1)) >> by & valid
    return dots, stops, braces, byte_mask(data, at, _SIGN, 1) >> by & valid


@inlined
def _ip(data: NDArray[np.uint8], i: int) -> np.uint64:
    """Where "ip" begins, as in "ipsum", in this block."""
    at = min(i, len(data) - MIN_BYTES)
    return (byte_mask(data, at, _I, 1) & byte_mask(data, at, _P, 1) >> _ONE) >> np.uint64(i - at)


@inlined
def _continuations(data: NDArray[np.uint8], i: int) -> np.uint64:
    """Which bytes begin no character."""
    at = min(i, len(data) - MIN_BYTES)
    return byte_mask(data, at, 0x80, 0x40) >> np.uint64(i - at)


@inlined
def _ellipses(dots: np.uint64, before: np.uint64, n: int) -> tuple[int, np.uint64]:
    """How often three dots follow one another, none of which counts twice.

    ``before`` are the last two bytes before the block of n; returned, too, are the last two of this one.
    """
    n_ellipses = 0
    dots = dots << np.uint64(2) | before
    threes = dots & dots >> _ONE & dots >> np.uint64(2)
    while threes:
        dots &= ~(np.uint64(7) << lowest_one(threes))
        threes = dots & dots >> _ONE & dots >> np.uint64(2)
        n_ellipses += 1
    return n_ellipses, dots >> np.uint64(n) & np.uint64(3)


@inlined
def _sentences(word: np.uint64, stops: np.uint64, pending: np.uint64) -> tuple[np.int64, np.uint64]:
    """How many sentences begin: the first `_WORD` after a stop is found by a carry through what is neither.

    ``pending`` is 1 if one may begin with the block, or (as returned) after it.
    """
    after = stops << _ONE | pending
    return np.int64(count_ones((~(word | stops) + after) & word)), np.uint64(after > word << _ONE)


@inlined
def _n_runs(runs: np.uint64) -> np.int64:
    """Maximal runs of ones."""
    return np.int64(count_ones(runs & ~(runs << _ONE)))


@inlined
def _n_without(runs: np.uint64, trait: np.uint64) -> np.int64:
    """Maximal runs of ones, none of which has the trait: through those alone does a carry reach the end."""
    bare = runs & ~trait
    return np.int64(count_ones((bare + (bare & ~(runs << _ONE))) & ~runs))


@inlined
def _n_capitals(runs: np.uint64, upper: np.uint64, other_case: np.uint64) -> np.int64:
    """Runs with an upper-case letter and without letters of another case."""
    return _n_without(runs, other_case) - _n_without(runs, other_case | upper)


@inlined
def _is_one_run(ones: np.uint64) -> bool:
    """Whether there is no gap between ones."""
    return ones & (ones + (ones & (~ones + _ONE))) == 0


@inlined
def _run_until(runs: np.uint64, last: int) -> np.uint64:
    """The run whose last one is bit ``last``; 0 if there is none."""
    zeros = ~runs & ALL_ONES >> np.uint64(63 - last)
    return runs & (ALL_ONES << highest_one(zeros) if zeros else ALL_ONES)


@inlined
def _past(
    rest: np.uint64, word: np.uint64, other: np.uint64, letter: np.uint64, upper: np.uint64, other_case: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64, np.uint64, np.uint64]:
    """Bit 0 of the next block's masks, after a raw word that goes on: not whitespace, and what it has of the others."""
    return (
        _ONE,
        np.uint64(rest & word != 0),
        np.uint64(rest & other != 0),
        np.uint64(rest & letter != 0),
        np.uint64(rest & upper != 0),
        np.uint64(rest & other_case != 0),
    )


@inlined
def _wide(
    data: NDArray[np.uint8], i: int, leads: np.uint64, within: np.uint64, characters: NDArray[np.uint32]
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64, np.uint64, np.int64, int, np.uint64]:
    """What the characters are that begin at the leads; the last says which have another normal form. ``within``: the
    bytes that another of the block follows."""
    word = space = upper = other_case = numeric = changed = np.uint64(0)
    if i + 65 <= len(data):
        other_case, caseless = plain_letters(data, i)
        other_case &= within
        letters = other_case | caseless & within
        word = letters | letters << _ONE
        leads &= ~letters
    n_more, n_ellipses = np.int64(0), 0
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
            changed |= whole
        n_ellipses += code_point == _ELLIPSIS
    return space, word, upper, other_case, numeric, n_more, n_ellipses, changed


@inner
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
                n_stop += _is_in(hash_of(data, token, i), stop_words)
            token, seen = i + size, np.uint32(0)
        if code_point >= 0x80:
            n_bytes = _append(scratch, n_bytes, data, i, size, entry, forms)
        else:
            scratch[n_bytes] = code_point + np.uint32(8) * (entry & _UPPER)
            n_bytes += entry & _REMOVED == 0
        i += size
    if end > token > start and not seen & _UPPER:  # one that is the whole word was looked for before
        n_stop += _is_in(hash_of(data, token, end), stop_words)
    return n_bytes, n_stop


@glue
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
    first, end = _form_of(entry)
    for k in range(end - first):
        scratch[n_bytes + k] = forms[first + k]
    return n_bytes + end - first


@inlined
def _copy_hashes(
    hashes: NDArray[np.uint64], first: int, last: int, stop_words: NDArray[np.uint64], out: NDArray[np.uint64]
) -> np.int64:
    """Writes the hashes of the words of a document to ``out``; gives how many are stop words."""
    n_stop = np.int64(0)
    for k in range(np.uint64(last - first)):
        value = hashes[np.uint64(first) + k]
        out[k] = value
        n_stop += _is_in(value, stop_words)
    return n_stop


@inner
def _word_before(words: Words, first: int, number: np.uint64, hashes: NDArray[np.uint64]) -> tuple[int, int]:
    """Where the last word before this one of a document that is not empty starts and ends; (0, 0) if there is none."""
    k = np.int64(number) - 1
    while k >= 0 and hashes[k] == 0:
        k -= 1
    if k < 0 or first + k >= len(words.start):  # the second only if the bytes are no UTF-8
        return 0, 0
    return words.start[first + k], words.end[first + k]


@inlined
def _count_ends(
    data: NDArray[np.uint8], first: int, end: int, characters: NDArray[np.uint32], count: NDArray[np.int64]
) -> None:
    """Counts how a line begins and ends: ``data[first:end]`` is all of it but whitespace around it."""
    count[BULLETED] += characters[decode(data, first)[0]] & _BULLET != 0
    mark = np.uint32(data[end - 1])
    dots = end - first >= 3 and data[end - 3] == data[end - 2] == mark == _DOT
    if mark >= 0x80 and end - first >= 3:  # those that count have three bytes
        code_point, size = decode(data, end - 3)
        mark = code_point if size == 3 else mark
    count[ENDED] += characters[mark] & _FINAL != 0
    count[ELLIPSES] += dots or mark == _ELLIPSIS


@inlined
def _tally(
    hashes: NDArray[np.uint64], n_words: int, slots: NDArray[np.uint64], gains: NDArray[np.float64]
) -> tuple[int, int, float]:
    """Unique words, how many are javascript, and the sum of n log n. Slots are [slots, (hash, count)]."""
    n_slots = MIN_SLOTS
    while 3 * n_slots < 4 * n_words:
        n_slots *= 2
    last_slot = np.uint64(n_slots - 1)
    for slot in range(n_slots):
        slots[slot, 0] = slots[slot, 1] = 0
    n_unique = n_javascript = 0
    spread, n_gains = 0.0, np.uint64(len(gains))
    for k in range(n_words):
        value = hashes[k]
        if value == 0:
            continue
        n_javascript += value == _JAVASCRIPT
        slot = value & last_slot
        while min(slots[slot, 1], slots[slot, 0] ^ value) != 0:  # one branch, where "and" gives two
            slot = (slot + _ONE) & last_slot
        n = slots[slot, 1]
        slots[slot, 0], slots[slot, 1] = value, n + _ONE
        n_unique += n == 0
        spread += gains[n] if n < n_gains else _gain(np.int64(n))
    return n_unique, n_javascript, spread


@inner
def _gain(n: int) -> float:
    return (n + 1) * np.log(n + 1) - n * np.log(n)


@inlined
def _is_in(value: np.uint64, slots: NDArray[np.uint64]) -> bool:
    last_slot = np.uint64(len(slots) - 1)
    return (slots[value & last_slot] == value) | (slots[value >> np.uint64(32) & last_slot] == value)


# -- eight bytes at a time


@inlined
def _hash_lower(data: NDArray[np.uint8], i: int, size: int) -> tuple[np.uint64, np.uint64]:
    """`hash_of` a piece with its ASCII letters in lower case, and its first eight bytes. Eight follow in the data."""
    value = hash_begin(size)
    eight = first = _lower(load_eight(data, i))
    while size > 8:
        value = hash_step(value, eight)
        size -= 8
        i += 8
        eight = _lower(load_eight(data, i))
    valid = ALL_ONES >> np.uint64(64 - 8 * size)
    return hash_end(hash_step(value, eight & valid)), first


@inlined
def _by_masks(
    data: NDArray[np.uint8],
    start: int,
    of_word: np.uint64,
    core: np.uint64,
    raw: np.uint64,
    upper: np.uint64,
    changed: np.uint64,
    characters: NDArray[np.uint32],
    forms: NDArray[np.uint8],
    stop_words: NDArray[np.uint64],
) -> tuple[np.uint64, np.uint64, int]:
    """The hash of the normal form of a word, 0 if nothing is left of it; the first eight bytes of the form; how many
    of its raw words are stop words, but for one that is all of it. The masks begin with the word."""
    if core == raw and _is_one_run(core) and changed == 0:
        if core == 0:
            return np.uint64(0), np.uint64(0), 0
        value, eight = _hash_lower(data, start + np.int64(lowest_one(core)), np.int64(count_ones(core)))
        return value, eight, int(_is_in(value, stop_words) & (upper == 0) & (raw != of_word))
    n_stop = _n_stop_among(data, start, raw, upper, stop_words) if raw != of_word else 0
    if core == 0:
        return np.uint64(0), np.uint64(0), n_stop
    value, eight = _hash_form(data, start, core, changed, characters, forms)
    return value, eight, n_stop


@inlined
def _hash_form(
    data: NDArray[np.uint8],
    start: int,
    ones: np.uint64,
    changed: np.uint64,
    characters: NDArray[np.uint32],
    forms: NDArray[np.uint8],
) -> tuple[np.uint64, np.uint64]:
    """The same of the bytes from ``start`` on that are ones, at least one, as if nothing were between them.

    Characters of changed bytes are put for their normal forms.
    """
    value = hash_begin(np.int64(count_ones(ones)) + _growth(data, start, changed, characters))
    first, eight, shift = np.uint64(0), np.uint64(0), np.uint64(0)  # the last is 8 times the bytes in ``eight``
    form, form_end = np.int64(0), np.int64(0)  # what is left of the last normal form
    is_first = True
    while ones or form < form_end:
        if form < form_end:
            size = min(np.uint64(form_end - form), np.uint64(8))
            more = load_eight(forms, form)
            form += 8
        else:
            at = lowest_one(ones)
            if changed >> at & _ONE:
                code_point, n_bytes = decode(data, start + np.int64(at))
                ones &= ~(((_ONE << np.uint64(n_bytes)) - _ONE) << at)
                form, form_end = _form_of(characters[code_point])
                continue
            size = min(_size_of_run((ones & ~changed) >> at), np.uint64(8))
            ones &= ~((ALL_ONES >> (np.uint64(64) - size)) << at)
            more = _lower(load_eight(data, start + np.int64(at)))
        more &= ALL_ONES >> np.uint64(64) - np.uint64(8) * size
        eight |= more << shift
        shift += np.uint64(8) * size
        if shift >= np.uint64(64):
            value = hash_step(value, eight)
            first, is_first = eight if is_first else first, False
            shift -= np.uint64(64)
            rest = np.uint64(8) * size - shift  # bits of ``more`` that were in
            eight = more >> rest if rest < np.uint64(64) else np.uint64(0)
    if shift:
        value = hash_step(value, eight)
    return hash_end(value), eight if is_first else first


@inlined
def _growth(data: NDArray[np.uint8], start: int, changed: np.uint64, characters: NDArray[np.uint32]) -> np.int64:
    """How many bytes more the normal forms of the characters of changed bytes have."""
    n = np.int64(0)
    while changed:
        at = lowest_one(changed)
        code_point, n_bytes = decode(data, start + np.int64(at))
        changed &= ~(((_ONE << np.uint64(n_bytes)) - _ONE) << at)
        first, end = _form_of(characters[code_point])
        n += end - first - n_bytes
    return n


@inlined
def _form_of(entry: np.uint32) -> tuple[np.int64, np.int64]:
    """Where in the table of normal forms that of a character begins and ends."""
    first = np.int64(entry >> _FORM_START)
    return first, first + np.int64(entry >> _FORM_BYTES & np.uint32(0xF))


@inlined
def _n_stop_among(
    data: NDArray[np.uint8], start: int, runs: np.uint64, upper: np.uint64, stop_words: NDArray[np.uint64]
) -> int:
    """How many runs of ones, from ``start`` on, are stop words; one with a capital is none."""
    n_stop = 0
    while runs:
        at = lowest_one(runs)
        size = _size_of_run(runs >> at)
        run = (ALL_ONES >> (np.uint64(64) - size)) << at
        runs &= ~run
        if upper & run == 0:
            value = _hash_lower(data, start + np.int64(at), np.int64(size))[0]
            n_stop += _is_in(value, stop_words)
    return n_stop


@inlined
def _size_of_run(ones: np.uint64) -> np.uint64:
    """How many ones there are from bit 0 on."""
    return lowest_one(~ones) if ~ones else np.uint64(64)


@inlined
def _lower(eight: np.uint64) -> np.uint64:
    """Eight bytes with ASCII letters in lower case."""
    seven = eight & ~_BITS_7
    capitals = (seven + _FROM_A) & ~(seven + _BEHIND_Z) & ~eight & _BITS_7
    return eight | capitals >> np.uint64(2)
