"""A shuffle without a table: a keyed permutation of the numbers below n, any of which can be asked for by itself.

A Feistel network of 4 rounds, which is a strong pseudo-random permutation (Luby and Rackoff 1988), permutes the numbers
of an even count of bits; what falls outside is permuted on until it falls inside (cycle walking, Black and Rogaway
2002). The network permutes less than 4 n numbers as a rule and less than 16 n always, so that takes a few steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from textmill.bits import kernel, leaf

N_ROUNDS = 4


def permute(indices: NDArray[np.int64], n: int, key: Sequence[int]) -> NDArray[np.int64]:
    """Where the shuffle of ``key`` (numbers from 0 on) sends ``indices``, each in 0 to n - 1."""
    half_bits = max(1, ((n - 1).bit_length() + 1) // 2)
    keys = np.random.SeedSequence(list(key)).generate_state(N_ROUNDS, np.uint64)
    if len(indices) and not 0 <= indices.min() <= indices.max() < n:
        raise IndexError(f"indices from {indices.min()} to {indices.max()}, of {n}")
    return np.asarray(_permute(np.ascontiguousarray(indices, np.int64), n, half_bits, keys))


def permute_passes(ranks: NDArray[np.int64], n: int, key: Sequence[int]) -> NDArray[np.int64]:
    """Which of n things come at these places of one shuffled pass over all of them after the other.

    Each pass has the shuffle of ``key`` and its number.
    """
    passes, places = np.divmod(ranks, n)
    things = np.empty_like(places)
    for number in np.unique(passes):
        here = passes == number
        things[here] = permute(places[here], n, [*key, int(number)])
    return things


@kernel
def _permute(indices: NDArray[np.int64], n: int, half_bits: int, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    places = np.empty(len(indices), np.int64)
    for i in range(len(indices)):
        place = _network(np.uint64(indices[i]), np.uint64(half_bits), keys)
        while place >= np.uint64(n):
            place = _network(place, np.uint64(half_bits), keys)
        places[i] = np.int64(place)
    return places


@leaf
def _network(value: np.uint64, half_bits: np.uint64, keys: NDArray[np.uint64]) -> np.uint64:
    """One pass over a number of 2 · half_bits bits."""
    mask = (np.uint64(1) << half_bits) - np.uint64(1)
    left, right = value >> half_bits, value & mask
    for key in keys:
        left, right = right, left ^ (_mix(right ^ key) & mask)
    return (left << half_bits) | right


@leaf
def _mix(value: np.uint64) -> np.uint64:
    """Spreads every bit over all 64: the finisher of SplitMix64 (Steele, Lea and Flood 2014)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
