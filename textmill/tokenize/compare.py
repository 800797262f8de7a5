"""Comparing tokenizers on a corpus: how far they compress it, what they do not know, what they never use, how fast.

- **Fertility** (Rust et al. 2021, arXiv 2012.15613) is tokens per word, by language. A word is what stands between
  white space; where the scripts of a text know no spaces (Chinese, Japanese, Thai, ...), it is tokens per character.
- **Rare** are entries of a vocabulary that the corpus uses fewer than `RARE` times: a model hardly learns them.
- **The curve** is bytes per token against the size of the vocabulary. Merges are nested: a tokenizer of the first k
  merges does what the whole one does, without what later merges join. So one encoding gives all sizes: a token that
  occurs n times was made n times by its merge, from two tokens that were made n times for it, and so on down.

The text is encoded once by each tokenizer, in one thread, and only that is timed.
"""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textmill.characters import property_table
from textmill.errors import InputError
from textmill.tokenize.baselines import character_offsets, code_points
from textmill.tokenize.encoding.tokenizer import Tokenizer
from textmill.tokenize.files.definition import N_BYTES
from textmill.tokenize.pretokens.blocks import text_buffers
from textmill.whitespace import whitespace_words

RARE = 10
N_CURVE = 64  # points of a curve
_UNSPACED = ("Han", "Hiragana", "Katakana", "Bopomofo", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan")


class TextTokenizer(Protocol):
    """What can be compared. One that has an ``unknown_id`` gives it to what it does not know."""

    @property
    def vocab_size(self) -> int: ...

    def encode_batch(self, documents: pa.LargeStringArray) -> tuple[NDArray[Any], NDArray[np.int64]]: ...


class Batch(NamedTuple):
    """Some documents, and to which group (a language, a file) each belongs."""

    documents: pa.LargeStringArray
    groups: pa.StringArray


@dataclass
class Group:
    """What a group of documents holds."""

    name: str
    n_bytes: int = 0
    n_chars: int = 0
    n_words: int = 0
    n_unspaced: int = 0  # characters of scripts that know no spaces

    @property
    def unit(self) -> str:
        """By what its tokens are counted."""
        return "character" if 2 * self.n_unspaced > self.n_chars else "word"

    @property
    def n_units(self) -> int:
        return self.n_chars if self.unit == "character" else self.n_words


@dataclass
class Measured:
    """What a tokenizer made of a corpus."""

    name: str
    vocab_size: int
    counts: NDArray[np.int64]  # [vocab_size], how often each token occurs
    unknown_id: int | None
    group_tokens: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    curve: list[tuple[int, float]] = field(default_factory=list)  # size of the vocabulary, bytes per token

    @property
    def n_tokens(self) -> int:
        return int(self.counts.sum())

    @property
    def unknown_frac(self) -> float | None:
        """Of the tokens; None for a tokenizer that knows all."""
        return None if self.unknown_id is None else float(self.counts[self.unknown_id]) / max(1, self.n_tokens)

    @property
    def unused_frac(self) -> float:
        """Of the vocabulary."""
        return float(np.mean(self.counts == 0))

    @property
    def rare_frac(self) -> float:
        """Of the vocabulary, with what is not used at all."""
        return float(np.mean(self.counts < RARE))


@dataclass
class Comparison:
    """Tokenizers in the order in which they were given; groups by falling size."""

    tokenizers: list[Measured]
    groups: list[Group]

    @property
    def n_bytes(self) -> int:
        return sum(group.n_bytes for group in self.groups)

    @property
    def n_chars(self) -> int:
        return sum(group.n_chars for group in self.groups)


def compare(
    tokenizers: Mapping[str, TextTokenizer],
    batches: Iterable[Batch],
    on_bytes: Callable[[int], None] | None = None,
) -> Comparison:
    """Encode all documents with each of the tokenizers, which have the names that they are shown by.

    ``on_bytes`` hears how many more bytes are done. Errors: `InputError` if there is no text.
    """
    measured = {name: _begun(name, tokenizer) for name, tokenizer in tokenizers.items()}
    groups: dict[str, Group] = {}
    for documents, names in batches:
        labels = names.dictionary_encode()
        numbers, known = labels.indices.to_numpy(zero_copy_only=False), labels.dictionary.to_pylist()
        _add_texts(groups, documents, numbers, known)
        for name, tokenizer in tokenizers.items():
            _add_tokens(measured[name], tokenizer, documents, numbers, known)
        if on_bytes is not None:
            on_bytes(documents.nbytes)
    by_size = sorted(groups.values(), key=lambda group: -group.n_bytes)
    comparison = Comparison(list(measured.values()), by_size)
    if not comparison.n_bytes:
        raise InputError("no text to compare tokenizers on")
    for name, tokenizer in tokenizers.items():
        if isinstance(tokenizer, Tokenizer):
            measured[name].curve = compression_curve(tokenizer, measured[name].counts)
    return comparison


def _begun(name: str, tokenizer: TextTokenizer) -> Measured:
    tokenizer.encode_batch(pa.array(["What is loaded once is loaded now. " * 99], pa.large_string()))
    counts = np.zeros(tokenizer.vocab_size, np.int64)
    return Measured(name, tokenizer.vocab_size, counts, getattr(tokenizer, "unknown_id", None))


def _add_tokens(
    to: Measured,
    tokenizer: TextTokenizer,
    documents: pa.LargeStringArray,
    numbers: NDArray[np.int32],
    known: list[str],
) -> None:
    began = time.perf_counter()
    tokens, offsets = tokenizer.encode_batch(documents)
    to.seconds += time.perf_counter() - began
    to.counts += np.bincount(tokens, minlength=len(to.counts))
    by_group = np.bincount(numbers, np.diff(offsets), len(known))
    to.group_tokens.update(dict(zip(known, by_group.astype(int).tolist(), strict=True)))


def _add_texts(
    groups: dict[str, Group], documents: pa.LargeStringArray, numbers: NDArray[np.int32], known: list[str]
) -> None:
    """Add what the documents hold to their groups."""
    data, bounds = text_buffers(documents)
    first = character_offsets(data, bounds)
    unspaced = np.concatenate([[0], np.cumsum(_unspaced_table()[code_points(data.tobytes())])])[first]
    words = whitespace_words(data, bounds)[0]
    sums = [np.bincount(numbers, np.diff(ends), len(known)).astype(int) for ends in (bounds, first, words, unspaced)]
    for number, name in enumerate(known):
        group = groups.setdefault(name, Group(name))
        group.n_bytes += int(sums[0][number])
        group.n_chars += int(sums[1][number])
        group.n_words += int(sums[2][number])
        group.n_unspaced += int(sums[3][number])


@functools.cache
def _unspaced_table() -> NDArray[np.uint8]:
    return property_table({f"Script={script}": 1 for script in _UNSPACED})


def compression_curve(tokenizer: Tokenizer, counts: NDArray[np.int64]) -> list[tuple[int, float]]:
    """Bytes per token against the size of the vocabulary: 256 bytes and the first merges.

    ``counts`` says how often each token occurs in a corpus. Exact where a token is made by one merge; where several
    make the same one, all are taken for the first. Empty for merges that are not nested: a part that comes later.
    """
    made = _times_made(tokenizer, counts)
    if made is None or not counts.any():
        return []
    n_bytes = int(sum(len(tokenizer.vocab[number]) * int(counts[number]) for number in np.flatnonzero(counts).tolist()))
    n_tokens = n_bytes - np.concatenate([[0], np.cumsum(made)])
    points = np.unique(np.geomspace(1, len(n_tokens), N_CURVE).round().astype(int)) - 1
    return [(N_BYTES + k, n_bytes / int(n_tokens[k])) for k in points.tolist()]


def _times_made(tokenizer: Tokenizer, counts: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """How often each merge is applied to the corpus; None if merges are not nested."""
    ids = {token: number for number, token in reversed(tokenizer.vocab.items())}
    rank_of: dict[int, int] = {}
    for rank, parts in enumerate(tokenizer.merges):
        rank_of.setdefault(ids[b"".join(parts)], rank)
    total, made = counts.tolist(), np.zeros(len(tokenizer.merges), np.int64)
    for rank in reversed(range(len(tokenizer.merges))):
        parts = tokenizer.merges[rank]
        left, right, token = ids[parts[0]], ids[parts[1]], ids[b"".join(parts)]
        if rank_of[token] != rank:
            continue
        if rank_of.get(left, -1) > rank or rank_of.get(right, -1) > rank:
            return None
        made[rank] = total[token]
        total[left] += total[token]
        total[right] += total[token]
    return made
