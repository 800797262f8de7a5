"""Stop words: finding them among hashed words."""

from __future__ import annotations

import functools
import itertools
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from textmill.bits import hash_bytes, inlined

Case = Literal[
    "as_given",
    "usual",  # the, The, THE
    "any",  # also tHe; of words of up to eight characters
]
_MAX_MIXED_CHARS = 8


@functools.cache
def hash_table(words: tuple[str, ...], case: Case) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The words, for `find`: hashes and numbers from 1 on, at hash modulo size or soon after.

    A free slot has number 0 and hash 0. At most a thirty-second of the slots is taken, so one look tells nearly all
    words apart.
    """
    forms = [(number, form) for number, word in enumerate(words, 1) for form in sorted(_forms(word, case))]
    size = 1 << (32 * len(forms)).bit_length()
    hashes, numbers = np.zeros((2, size), dtype=np.uint64)
    for number, form in forms:
        value = hash_bytes(form.encode())
        slot = value % size
        while numbers[slot] and hashes[slot] != value:
            slot = (slot + 1) % size
        hashes[slot], numbers[slot] = value, number
    return hashes, numbers


def _forms(word: str, case: Case) -> set[str]:
    usual = {word, word.lower(), word.capitalize(), word.upper()}
    if case == "any" and len(word) <= _MAX_MIXED_CHARS:
        return usual | {"".join(form) for form in itertools.product(*((c.lower(), c.upper()) for c in word))}
    return {word} if case == "as_given" else usual


@inlined
def find(word: np.uint64, hashes: NDArray[np.uint64], numbers: NDArray[np.uint64]) -> np.uint64:
    """The number of a word, given by its hash, in a `hash_table`; 0 if it is not there."""
    last = np.uint64(len(hashes) - 1)
    slot = word & last
    while min(hashes[slot], hashes[slot] ^ word) != 0:  # one branch, where "and" gives two that nobody can guess
        slot = (slot + np.uint64(1)) & last
    return numbers[slot]
