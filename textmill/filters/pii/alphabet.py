"""Bytes and words as the finders of personal data see them.

A finder looks at ``data[lo:hi]``, a *gap*: text between two spans that were found before, or the ends of the document.
Beyond its ends there is nothing, which reads as NUL, so that a gap reads the same before and after its neighbours are
masked. Everything is ASCII; the bytes of other characters belong to no class.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from textmill.bits import inner
from textmill.text import FNV_BASIS, FNV_PRIME

DIGIT, LOWER, UPPER, HEX = np.uint8(1), np.uint8(2), np.uint8(4), np.uint8(8)
LOCAL = np.uint8(16)  # may stand in the local part of an address
LABEL = np.uint8(32)  # may stand in a label of a domain
BASE64 = np.uint8(64)
LETTER = LOWER | UPPER
ALNUM = LETTER | DIGIT

_MEMBERS = {
    DIGIT: b"0123456789",
    LOWER: b"abcdefghijklmnopqrstuvwxyz",
    UPPER: b"ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    HEX: b"0123456789abcdefABCDEF",
}
_MEMBERS[LABEL] = _MEMBERS[DIGIT] + _MEMBERS[LOWER] + _MEMBERS[UPPER] + b"-"
_MEMBERS[LOCAL] = _MEMBERS[LABEL] + b"._%+"
_MEMBERS[BASE64] = _MEMBERS[DIGIT] + _MEMBERS[LOWER] + _MEMBERS[UPPER] + b"+/="

CLASSES = np.zeros(256, np.uint8)
for _kind, _bytes in _MEMBERS.items():
    CLASSES[list(_bytes)] |= _kind

CASE = np.uint8(0x20)  # the bit that makes an ASCII letter lower-case


@inner
def peek(data: NDArray[np.uint8], i: int, lo: int, hi: int) -> np.uint8:
    """Byte i of the gap; NUL outside of it."""
    return data[i] if lo <= i < hi else np.uint8(0)


@inner
def isa(data: NDArray[np.uint8], i: int, lo: int, hi: int, kinds: np.uint8) -> bool:
    """Whether byte i of the gap belongs to one of these classes."""
    return lo <= i < hi and CLASSES[data[i]] & kinds != 0


@inner
def reads(data: NDArray[np.uint8], i: int, hi: int, word: NDArray[np.uint8]) -> bool:
    """Whether the gap has ``word`` (lower-case letters and punctuation) at i, in any case."""
    if i + len(word) > hi:
        return False
    for k in range(len(word)):
        if data[i + k] | (CASE if CLASSES[data[i + k]] & UPPER else np.uint8(0)) != word[k]:
            return False
    return True


@inner
def word_hash(data: NDArray[np.uint8], start: int, end: int) -> np.uint64:
    """FNV-1a of the bytes, ASCII letters lower-cased."""
    value = FNV_BASIS
    for i in range(start, end):
        byte = data[i]
        if CLASSES[byte] & UPPER:
            byte |= CASE
        value = (value ^ np.uint64(byte)) * FNV_PRIME
    return value


@inner
def is_in(value: np.uint64, words: NDArray[np.uint64]) -> bool:
    """Whether a `word_hash` is one of a `word_set`."""
    first, last = 0, len(words)
    while first < last:
        middle = (first + last) // 2
        if words[middle] < value:
            first = middle + 1
        else:
            last = middle
    return first < len(words) and words[first] == value


def word_set(words: Iterable[str]) -> NDArray[np.uint64]:
    """Words, in lower case, for `is_in`: their hashes in order."""
    hashes = []
    for word in words:
        value = int(FNV_BASIS)
        for byte in word.encode():
            value = (value ^ byte) * int(FNV_PRIME) % 2**64
        hashes.append(value)
    return np.array(sorted(hashes), np.uint64)


def ascii_bytes(text: str) -> NDArray[np.uint8]:
    """A constant for `reads`."""
    return np.frombuffer(text.encode("ascii"), np.uint8)
