"""The tokenizers that a byte-pair encoding stands between: bytes, characters and words.

Bytes are a vocabulary of 256 that knows everything and makes long sequences; characters make shorter ones, of a
vocabulary that grows with the scripts; words make the shortest, and there are always more of them. Characters and words
are taken by falling frequency, ties by their first place in the text, until the vocabulary is full; all others are one
token, ``unknown_id``, whose text is U+FFFD.

A word is a pretoken of one of the `PATTERNS`, with the blank before it, so that the words of a text make up the text.

All have the interface of `Tokenizer`: ``vocab_size``, ``encode``, ``decode`` and ``encode_batch``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textmill.characters import N_CODE_POINTS
from textmill.errors import InputError, UserError
from textmill.tokenize.encoding.tokenizer import token_dtype
from textmill.tokenize.pretokens.blocks import blocks, text_buffers
from textmill.tokenize.pretokens.count import PretokenCounts
from textmill.tokenize.pretokens.cut import cut_pretokens
from textmill.tokenize.pretokens.inventory import Inventory
from textmill.tokenize.pretokens.patterns import pattern_number
from textmill.tokenize.pretokens.pretokenizer import utf8

UNKNOWN_ID = 0
UNKNOWN = "\ufffd"
MAX_UNKNOWN = 1 << 20  # words outside of the vocabulary that are remembered, to spare memory

Encoded = tuple[NDArray[Any], NDArray[np.int64]]  # ids of all documents, and documents + 1 offsets into them


class ByteTokenizer:
    """A token a byte of UTF-8. Nothing is unknown."""

    vocab_size = 256

    def encode(self, text: str) -> list[int]:
        return list(utf8(text))

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ``ids``, with U+FFFD where they are not UTF-8. Errors: `InputError` for an id beyond 255."""
        try:
            return bytes(ids).decode(errors="replace")
        except ValueError as error:
            raise InputError("a token id is no byte, 0 to 255") from error

    def encode_batch(self, documents: pa.Array) -> Encoded:
        data, bounds = text_buffers(documents)
        return data.astype(token_dtype(self.vocab_size)), bounds


class CharacterTokenizer:
    """A token a character (code point): ``characters`` have the ids from 1 on."""

    unknown_id = UNKNOWN_ID

    def __init__(self, characters: str) -> None:
        self.characters = characters
        self._ids = np.zeros(N_CODE_POINTS, token_dtype(self.vocab_size))
        self._ids[code_points(utf8(characters))] = np.arange(1, len(characters) + 1)

    @classmethod
    def from_counts(cls, counts: PretokenCounts, vocab_size: int) -> CharacterTokenizer:
        """The most frequent characters of a corpus. Errors: `UserError` for a vocabulary of nothing."""
        counts = counts.in_order()
        found = code_points(counts.arena.tobytes())
        n_chars = np.diff(character_offsets(counts.arena, counts.starts))
        known, first, which = np.unique(found, return_index=True, return_inverse=True)
        n_each = np.bincount(which, np.repeat(counts.counts, n_chars)).astype(np.int64)
        order = np.lexsort((first, -n_each))[: _n_known(vocab_size)]
        return cls("".join(map(chr, known[order])))

    @property
    def vocab_size(self) -> int:
        return len(self.characters) + 1

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._ids[code_points(utf8(text))].tolist()
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ``ids``. Errors: `InputError` for one that is not in the vocabulary."""
        return "".join(_texts_of(ids, UNKNOWN + self.characters))

    def encode_batch(self, documents: pa.Array) -> Encoded:
        data, bounds = text_buffers(documents)
        return self._ids[code_points(data.tobytes())], character_offsets(data, bounds)


class WordTokenizer:
    """A token a word: ``words`` (UTF-8), which are pretokens of ``pattern``, have the ids from 1 on."""

    unknown_id = UNKNOWN_ID

    def __init__(self, words: Sequence[bytes], pattern: str = "gpt2") -> None:
        pattern_number(pattern)  # refuses a name that is unknown
        self.words, self.pattern = list(words), pattern
        self._forget()

    def _forget(self) -> None:
        self._inventory = Inventory()
        ends = np.cumsum([len(word) for word in self.words], dtype=np.int64)
        self._inventory.number(np.frombuffer(b"".join(self.words), np.uint8), 0, ends)

    @classmethod
    def from_counts(cls, counts: PretokenCounts, vocab_size: int, pattern: str = "gpt2") -> WordTokenizer:
        """The most frequent words of a corpus. Errors: `UserError` for a vocabulary of nothing."""
        counts = counts.in_order()
        chosen = counts.chosen(np.argsort(-counts.counts, kind="stable")[: _n_known(vocab_size)])
        data, starts = chosen.arena.tobytes(), chosen.starts.tolist()
        return cls([data[start:end] for start, end in pairwise(starts)], pattern)

    @property
    def vocab_size(self) -> int:
        return len(self.words) + 1

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self.encode_batch(pa.array([utf8(text).decode()], pa.large_string()))[0].tolist()
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ``ids``. Errors: `InputError` for one that is not in the vocabulary."""
        return b"".join(_texts_of(ids, [utf8(UNKNOWN), *self.words])).decode(errors="replace")

    def encode_batch(self, documents: pa.Array) -> Encoded:
        data, bounds = text_buffers(documents)
        all_ids, all_ends = [np.empty(0, np.int32)], [np.empty(0, np.int64)]
        for block in blocks(data, bounds):
            ends = np.empty(int(block[-1] - block[0]), np.int64)
            ends = ends[: cut_pretokens(self.pattern, data, block, ends)].copy()
            numbers = self._inventory.number(data, int(block[0]), ends)
            all_ids.append(np.where(numbers < len(self.words), numbers + 1, UNKNOWN_ID))
            all_ends.append(ends)
            if len(self._inventory) > len(self.words) + MAX_UNKNOWN:
                self._forget()
        ids = np.concatenate(all_ids).astype(token_dtype(self.vocab_size))
        return ids, np.searchsorted(np.concatenate(all_ends), bounds, "right")


def code_points(data: bytes) -> NDArray[np.uint32]:
    """The characters of a text in UTF-8, as numbers."""
    return np.frombuffer(data.decode().encode("utf-32-le"), np.uint32)


def character_offsets(data: NDArray[np.uint8], bounds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places in UTF-8, by the characters before them instead of bytes; the first is 0."""
    before = np.concatenate([[0], np.cumsum(data & 0xC0 != 0x80)])
    return before[bounds].astype(np.int64)


def _n_known(vocab_size: int) -> int:
    if vocab_size < 2:
        raise UserError(f"vocab_size {vocab_size}: give at least 2, for what is unknown and one entry more")
    return vocab_size - 1


def _texts_of(ids: Iterable[int], texts: Sequence[Any]) -> list[Any]:
    chosen = list(ids)
    if wrong := next((number for number in chosen if not 0 <= number < len(texts)), None):
        raise InputError(f"token id {wrong}: not in this vocabulary of {len(texts)} ids")
    return [texts[number] for number in chosen]
