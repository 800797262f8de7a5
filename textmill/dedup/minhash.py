"""MinHash: 14 numbers a document, of which documents that are much alike share at least one.

Broder, "On the resemblance and containment of documents" (1997), with 14 bands of 8 rows over word 5-grams as in
FineWeb (arXiv 2406.17557): a pair of Jaccard similarity .8 is found with 92 %, .7 with 56 %, .5 with 5 %.

**Words.** Letters and digits make words. Marks, control and format characters are passed over, everything else
separates. Letters are lower-cased and lose their accents, so that composed and decomposed text agree. In scripts that
are written without spaces (Han, Kana, Thai, Lao, Khmer, Burmese) each letter begins a new word; marks, digits and other
letters after it join it. Unlike FineWeb, digits are kept and there is no list of weekdays and months.

**Shingles.** A shingle is a 64-bit hash of n words in order. A document of fewer than n words has one shingle: all its
words. One without words has none, and is never a candidate. The hashes are quick ones that an adversary could make
collide, which gains him nothing: copying the text would do as well, and pairs are verified.

**Permutations.** ``a * x + b`` modulo 2**32 with random odd ``a``: one multiplication in 32-bit lanes. Half of the
permutations read the upper half of the shingle's hash, half the lower, and each band has rows of both, so that even the
bands of one-shingle documents tell 64 bits apart. Being bijections of uniform hashes, each estimates the Jaccard
similarity without bias, up to collisions of 32 bits (n/2**33 for n shingles). Each band is collapsed to 64 bits; with
32 there would be false candidates by the million in a crawl.

Costs on one core: band hashes of 180 (English reviews) to 220 MB of text a second (many languages), shingle sets of 85
to 115 MB, and half a second once for the table of characters. Memory: 8 bytes a byte of the longest document; for
shingle sets 8 bytes a byte of the batch.
"""

from __future__ import annotations

import functools
import unicodedata
from dataclasses import dataclass

import numba
import numpy as np
import pyarrow as pa
import regex
from numpy.typing import NDArray

from textmill.dedup.lsh import NO_BAND
from textmill.errors import UserError
from textmill.text import LETTER, MARK, NUMBER, OTHER, Segmentation, character_classes, decode, lowercase_table

# What `word_characters` holds for a code point that is no part of a word.
SEPARATOR = np.uint32(0)
IGNORED = np.uint32(1)
STARTS_WORD = np.uint32(1 << 31)  # a flag beside the folded letter

UNSPACED_SCRIPTS = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]")

NO_WORD = np.uint64(0xCBF29CE484222325)  # FNV's offset basis
FACTOR = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio, odd


@dataclass(frozen=True)
class MinHash:
    """The parameters of a signature: words a shingle, bands, rows a band, and the seed of the permutations."""

    ngram: int = 5
    bands: int = 14
    rows: int = 8
    seed: int = 1

    def __post_init__(self) -> None:
        if self.ngram < 1 or self.bands < 1 or self.seed < 0:
            raise UserError(f"{self}: ngram and bands must be at least 1, and seed at least 0")
        if self.rows < 2:
            raise UserError(f"{self}: rows must be at least 2; a band of one row tells only 32 bits apart")

    def band_hashes(self, text: pa.LargeStringArray) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
        """The hash of every band, uint64 [n, bands], and the number of shingles, repeats included, int32 [n].

        A document without words has 0 shingles and `lsh.NO_BAND` in every band; no other document has that.
        """
        hashes = np.empty((len(text), self.bands), dtype=np.uint64)
        n_shingles = np.empty(len(text), dtype=np.int32)
        cut = Segmentation(text)  # for its buffers; nothing is cut before it is asked for
        multipliers, increments = self._permutations()
        _sign(cut.data, cut.offsets, word_characters(), self.ngram, multipliers, increments, hashes, n_shingles)
        return hashes, n_shingles

    def shingle_sets(self, text: pa.LargeStringArray) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """The sets of shingles, for `pair_similarities`: document i has ``hashes[offsets[i]:offsets[i + 1]]``.

        Ascending and each shingle once within a document; ``offsets`` is int64 [n + 1].
        """
        cut = Segmentation(text)
        return _shingle_sets(cut.data, cut.offsets, word_characters(), self.ngram)

    def _permutations(self) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Odd multipliers and increments. PCG64's raw output is the same in every version of numpy."""
        raw = np.random.PCG64(self.seed).random_raw(self.bands * self.rows)
        return raw.astype(np.uint32) | np.uint32(1), (raw >> np.uint64(32)).astype(np.uint32)


@numba.njit(cache=True, nogil=True)
def jaccard(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> float:
    """Shared values / all values of two ascending arrays without repeats; 0 if both are empty."""
    i = j = n_shared = 0
    while i < a.shape[0] and j < b.shape[0]:
        left, right = a[i], b[j]
        n_shared += left == right
        i += left <= right
        j += right <= left
    n_all = a.shape[0] + b.shape[0] - n_shared
    return n_shared / n_all if n_all else 0.0


@numba.njit(cache=True, nogil=True)
def pair_similarities(
    hashes: NDArray[np.uint64], offsets: NDArray[np.int64], left: NDArray[np.int64], right: NDArray[np.int64]
) -> NDArray[np.float32]:
    """The Jaccard similarity of documents ``left[k]`` and ``right[k]``, float32 [m].

    ``hashes`` and ``offsets`` are those of `MinHash.shingle_sets`; ``left`` and ``right`` are rows in them.
    """
    similarities = np.empty(len(left), dtype=np.float32)
    for k in range(len(left)):
        a, b = left[k], right[k]
        similarities[k] = jaccard(hashes[offsets[a] : offsets[a + 1]], hashes[offsets[b] : offsets[b + 1]])
    return similarities


@functools.cache
def word_characters() -> NDArray[np.uint32]:
    """What each code point is to a word, uint32 [0x110000]: SEPARATOR, IGNORED, or the folded letter or digit."""
    classes = character_classes()
    table = np.full(len(classes), SEPARATOR)
    table[(classes & (MARK | OTHER)) != 0] = IGNORED
    for code_point in np.flatnonzero(classes & (LETTER | NUMBER)):
        table[code_point] = _without_accents(chr(lowercase_table()[code_point]))
    for code_point in np.flatnonzero(classes & LETTER):
        if UNSPACED_SCRIPTS.match(chr(code_point)):
            table[code_point] |= STARTS_WORD
    table.flags.writeable = False
    return table


def _without_accents(letter: str) -> int:
    """The code point of the letter alone. Hangul, which decomposes into more letters, stays whole."""
    parts = unicodedata.normalize("NFD", letter)
    is_accented = all(unicodedata.category(part)[0] == "M" for part in parts[1:])
    return ord(parts[0] if is_accented else letter)


@numba.njit(cache=True, nogil=True)
def _sign(data, offsets, characters, ngram, multipliers, increments, hashes, n_shingles):  # type: ignore[no-untyped-def]
    words = _scratch(offsets)
    minima = np.empty(multipliers.shape[0], dtype=np.uint32)
    for document in range(offsets.shape[0] - 1):
        n_words = _hash_words(data[offsets[document] : offsets[document + 1]], characters, words)
        n_shingles[document] = _words_to_shingles(words, n_words, ngram)
        shingles = words[: n_shingles[document]]
        _minima(shingles, multipliers, increments, minima)
        _collapse(minima, shingles.shape[0], hashes[document])


@numba.njit(cache=True, nogil=True)
def _shingle_sets(data, offsets, characters, ngram):  # type: ignore[no-untyped-def]
    words = _scratch(offsets)
    set_offsets = np.zeros(offsets.shape[0], dtype=np.int64)
    sets = np.empty((offsets[-1] - offsets[0]) // 2 + offsets.shape[0], dtype=np.uint64)  # words <= (bytes + 1) / 2
    for document in range(offsets.shape[0] - 1):
        n_words = _hash_words(data[offsets[document] : offsets[document + 1]], characters, words)
        shingles = words[: _words_to_shingles(words, n_words, ngram)]
        shingles.sort()
        end = set_offsets[document]
        for i in range(shingles.shape[0]):
            if i == 0 or shingles[i] != shingles[i - 1]:
                sets[end] = shingles[i]
                end += 1
        set_offsets[document + 1] = end
    return sets[: set_offsets[-1]].copy(), set_offsets


@numba.njit(cache=True, nogil=True)
def _scratch(offsets: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Room for the words of the longest document: a word takes a byte and a separator, or three bytes."""
    longest_bytes = 0
    for document in range(offsets.shape[0] - 1):
        longest_bytes = max(longest_bytes, offsets[document + 1] - offsets[document])
    return np.empty((longest_bytes + 1) // 2, dtype=np.uint64)


@numba.njit(cache=True, nogil=True)
def _hash_words(text, characters, words):  # type: ignore[no-untyped-def]
    """Writes the hashes of the words of one text to ``words`` and returns their number."""
    n_words = i = 0
    word = NO_WORD
    while i < len(text):
        code_point, size = decode(text, i)
        i += size
        character = characters[code_point]
        if character == IGNORED:
            continue
        if word != NO_WORD and (character == SEPARATOR or character & STARTS_WORD):
            words[n_words] = _mix(word)
            n_words += 1
            word = NO_WORD
        if character != SEPARATOR:
            word = (word ^ np.uint64(character)) * FACTOR
    if word != NO_WORD:
        words[n_words] = _mix(word)
        n_words += 1
    return n_words


@numba.njit(cache=True, nogil=True)
def _words_to_shingles(words, n_words, ngram):  # type: ignore[no-untyped-def]
    """Replaces the hashes of words by those of the n-grams that begin with them; returns the number of n-grams."""
    n_shingles = min(n_words, max(1, n_words - ngram + 1))
    for first in range(n_shingles):
        shingle = NO_WORD
        for i in range(first, min(first + ngram, n_words)):
            shingle = (shingle ^ words[i]) * FACTOR
        words[first] = _mix(shingle)
    return n_shingles


@numba.njit(cache=True, nogil=True)
def _minima(shingles, multipliers, increments, minima):  # type: ignore[no-untyped-def]
    """The minimum of each permutation over all shingles."""
    half = minima.shape[0] // 2
    low = shingles.astype(np.uint32)
    high = (shingles >> np.uint64(32)).astype(np.uint32)
    for k in range(minima.shape[0]):
        minima[k] = _minimum(low if k < half else high, multipliers[k], increments[k])


@numba.njit(cache=True, nogil=True)
def _minimum(values, multiplier, increment):  # type: ignore[no-untyped-def]
    """One permutation's minimum. Becomes vector code, ten times as fast; ``for value in values`` would not."""
    minimum = np.uint32(0xFFFFFFFF)
    for i in range(values.shape[0]):
        minimum = min(minimum, np.uint32(values[i] * multiplier + increment))
    return minimum


@numba.njit(cache=True, nogil=True)
def _collapse(minima, n_shingles, hashes):  # type: ignore[no-untyped-def]
    """One hash a band. Rows of a band lie ``n_bands`` apart, so that both halves of the minima go into each."""
    n_bands = hashes.shape[0]
    for band in range(n_bands):
        value = NO_WORD
        for row in range(band, minima.shape[0], n_bands):
            value = _mix(value ^ np.uint64(minima[row]))
        hashes[band] = max(value, np.uint64(NO_BAND + 1)) if n_shingles else np.uint64(NO_BAND)


@numba.njit(cache=True, nogil=True)
def _mix(value):  # type: ignore[no-untyped-def]
    """Spreads every bit over all 64 (the finalizer of MurmurHash3)."""
    value = (value ^ (value >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    value = (value ^ (value >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return value ^ (value >> np.uint64(33))
