"""Characters: what each one is, and how it is read from UTF-8.

Tables hold a small number for every code point and are made on first use, in about .1 s each. General categories are
those of Python's `unicodedata`; the properties of UAX #29 are those of the package `regex`.
"""

from __future__ import annotations

import functools
import sys
import unicodedata
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from textmill.bits import byte_mask, glue, inner, leaf

# What a character is, one bit each; every code point has exactly one. All but SPACE follow the general category.
LETTER = np.uint8(1)
MARK = np.uint8(2)
NUMBER = np.uint8(4)
PUNCTUATION = np.uint8(8)
SYMBOL = np.uint8(16)
SPACE = np.uint8(32)  # exactly str.isspace()
OTHER = np.uint8(64)  # control, format, private use, unassigned
# Of a piece of text, beside the classes of its characters: whether the first one is a letter or a number, so
# str.isalnum().
BEGINS_ALNUM = np.uint8(128)

_CLASS_OF_LETTER = {"L": LETTER, "M": MARK, "N": NUMBER, "P": PUNCTUATION, "S": SYMBOL, "Z": SPACE, "C": OTHER}
_CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Cs Co Cn".split()
_CLASS_OF_CATEGORY = {category: _CLASS_OF_LETTER[category[0]] for category in _CATEGORIES}
N_CODE_POINTS = sys.maxunicode + 1
_DOTTED_I, _SIGMA = 0x130, 0x3A3


@functools.cache
def character_classes() -> NDArray[np.uint8]:
    """The class of every code point, uint8 [0x110000]; made on first use."""
    table = np.full(N_CODE_POINTS, OTHER)
    for first, characters in _assigned():
        found = map(_CLASS_OF_CATEGORY.__getitem__, map(unicodedata.category, characters))
        table[first : first + len(characters)] = np.fromiter(found, np.uint8, len(characters))
        table[first : first + len(characters)][np.fromiter(map(str.isspace, characters), np.bool_)] = SPACE
    table.flags.writeable = False
    return table


@functools.cache
def lowercase_table() -> NDArray[np.uint32]:
    """Every code point in lower case, uint32 [0x110000]; made on first use.

    Always one for one: the only letter that Python lower-cases to two, U+0130, becomes a plain i.
    """
    before, after = everything()[:_DOTTED_I], everything()[_DOTTED_I + 1 :]
    lower = f"{before.lower()}i{after.lower()}"  # in one go: letter by letter takes a second
    table = np.frombuffer(lower.encode("utf-32-le", "surrogatepass"), np.uint32).copy()
    table[_SIGMA] = ord("σ")  # which at the end of a word is another letter
    table.flags.writeable = False
    return table


@functools.cache
def everything() -> str:
    """All code points, in order."""
    return np.arange(N_CODE_POINTS, dtype="<u4").tobytes().decode("utf-32-le", "surrogatepass")


def _assigned() -> tuple[tuple[int, str], ...]:
    """Runs of code points with all that have a property, but that of being unassigned or private; and their first."""
    return tuple((first, everything()[first:end]) for first, end in ((0, 0x40000), (0xE0000, 0xE1000)))


def property_table(numbers: Mapping[str, int]) -> NDArray[np.uint8]:
    """A table of code points from properties as `regex` writes them: ``{"WB=Numeric": 1}``; 0 elsewhere."""
    import regex

    table = np.zeros(N_CODE_POINTS, dtype=np.uint8)
    for name, number in numbers.items():
        for first, characters in _assigned():
            for run in regex.finditer(rf"\p{{{name}}}+", characters):
                table[first + run.start() : first + run.end()] = number
    return table


@leaf
def decode(text: NDArray[np.uint8], i: int) -> tuple[np.uint32, int]:
    """The code point that begins at byte i, and its size in bytes. For bytes that are no UTF-8: U+FFFD, 1."""
    return decode_before(text, i, len(text))


@leaf
def decode_before(text: NDArray[np.uint8], i: int, stop: int) -> tuple[np.uint32, int]:
    """The same, of a text that ends at byte ``stop``: for a piece of many, which makes no slice."""
    lead = np.uint32(text[i])
    if lead < 0x80:
        return lead, 1
    size = 2 + int(lead >= 0xE0) + int(lead >= 0xF0)
    if i + size > stop:
        return np.uint32(0xFFFD), 1
    code_point = (lead & np.uint32(0x7F >> size)) << np.uint32(6) | np.uint32(text[i + 1] & 0x3F)
    if size > 2:  # a loop over the bytes takes longer
        code_point = code_point << np.uint32(6) | np.uint32(text[i + 2] & 0x3F)
    if size > 3:
        code_point = code_point << np.uint32(6) | np.uint32(text[i + 3] & 0x3F)
    if code_point >= N_CODE_POINTS:
        return np.uint32(0xFFFD), 1
    return code_point, size


@inner
def plain_letters(data: NDArray[np.uint8], i: int) -> tuple[np.uint64, np.uint64]:
    """Where most letters of Greek and Cyrillic in lower case begin, and of Hebrew and Arabic, which have no case, among
    the 64 bytes from i on: found by masks, as one by one takes longer. 65 bytes are read.

    Each has two bytes and is its own normal form. Not all of the kind are found: accented ones are not.
    """
    greek = _two_bytes(data, i, 0xCE, 0xB1, 0xBF) | _two_bytes(data, i, 0xCF, 0x80, 0x89)
    cyrillic = _two_bytes(data, i, 0xD0, 0xB0, 0xB8) | _two_bytes(data, i, 0xD0, 0xBA, 0xBF)
    cyrillic |= _two_bytes(data, i, 0xD1, 0x80, 0x8F)
    arabic = _two_bytes(data, i, 0xD8, 0xA7, 0xBF) | _two_bytes(data, i, 0xD9, 0x81, 0x8A)
    arabic |= _two_bytes(data, i, 0xDA, 0x80, 0xBF) | _two_bytes(data, i, 0xDB, 0x83, 0x91)
    return greek | cyrillic, arabic | _two_bytes(data, i, 0xD7, 0x90, 0xAA)


@inner
def letters_of_two_bytes(data: NDArray[np.uint8], i: int) -> np.uint64:
    """Where most letters that have two bytes begin among the 64 bytes from i on; 65 are read. Not all are found."""
    latin = byte_mask(data, i, 0xC4, 7) | (byte_mask(data, i, 0xC3, 1) & ~_times_or_divided(data, i))
    greek = _two_bytes(data, i, 0xCE, 0xA3, 0xBF) | _two_bytes(data, i, 0xCF, 0x80, 0xB5)
    cyrillic = byte_mask(data, i, 0xD0, 2) | byte_mask(data, i, 0xD3, 1)
    arabic = _two_bytes(data, i, 0xD8, 0xA0, 0xBF) | _two_bytes(data, i, 0xD9, 0x80, 0x8A)
    arabic |= _two_bytes(data, i, 0xDA, 0x80, 0xBF) | _two_bytes(data, i, 0xDB, 0x80, 0x93)
    return latin | greek | cyrillic | arabic | _two_bytes(data, i, 0xD7, 0x90, 0xAA)


@inner
def _times_or_divided(data: NDArray[np.uint8], i: int) -> np.uint64:
    """Where the second byte of × or ÷ may follow."""
    return byte_mask(data, i + 1, 0x97, 1) | byte_mask(data, i + 1, 0xB7, 1)


@glue  # as a function of its own it would be compiled anew for each of the constants that it is given
def _two_bytes(data: NDArray[np.uint8], i: int, first: int, low: int, high: int) -> np.uint64:
    """Where a first byte stands that one from ``low`` to ``high`` follows, among the 64 bytes from i on."""
    return byte_mask(data, i, first, 1) & byte_mask(data, i + 1, low, high - low + 1)
