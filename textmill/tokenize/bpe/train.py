"""Training a byte-pair encoding: from text to a vocabulary and its merges.

Pretokens are counted (`textmill.tokenize.pretokens.count`) and then merged (`textmill.tokenize.bpe.merges`, which has
the algorithm and the rules for ties). Both are exact: no pretoken is too rare to count.

Vocabularies are nested: the first merges of a large one are those of a small one. So one training tells for every
smaller size how many tokens the text would have.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from textmill.errors import UnknownNameError, UserError
from textmill.tokenize.bpe.merges import TIE_BREAKS, train_merges
from textmill.tokenize.files.definition import N_BYTES
from textmill.tokenize.pretokens.count import PretokenCounts, count_files
from textmill.tokenize.pretokens.pretokenizer import Pretokenizer

MOST_IDS = 1 << 24
FIRST_CURVE_SIZE = 1 << 10

Vocabulary = dict[int, bytes]
Merges = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Training:
    """What training gives. Merge k makes id 256 + k of the ids ``left[k]`` and ``right[k]``."""

    left: NDArray[np.int32]  # [merges]
    right: NDArray[np.int32]  # [merges]
    n_tokens: NDArray[np.int64]  # [merges], of the text, after each merge
    n_bytes: int  # of the text
    special_tokens: tuple[str, ...]

    @property
    def tokens(self) -> list[bytes]:
        """The bytes, then what each merge makes."""
        tokens = [bytes([byte]) for byte in range(N_BYTES)]
        for left, right in zip(self.left.tolist(), self.right.tolist(), strict=True):
            tokens.append(tokens[left] + tokens[right])
        return tokens

    @property
    def vocab(self) -> Vocabulary:
        """Ids 0 to 255 are the bytes, then come the merges, then the special tokens."""
        return dict(enumerate([*self.tokens, *(token.encode() for token in self.special_tokens)]))

    @property
    def merges(self) -> Merges:
        """In the order in which they were made."""
        tokens = self.tokens
        return [
            (tokens[left], tokens[right]) for left, right in zip(self.left.tolist(), self.right.tolist(), strict=True)
        ]

    def bytes_per_token(self, vocab_size: int) -> float:
        """How far the first ``vocab_size`` ids, special tokens among them, compress the text; 1 when it is empty."""
        n_merges = min(vocab_size - N_BYTES - len(self.special_tokens), len(self.n_tokens))
        n_tokens = int(self.n_tokens[n_merges - 1]) if n_merges > 0 else self.n_bytes
        return self.n_bytes / n_tokens if n_tokens else 1.0

    def curve(self) -> dict[int, float]:
        """Bytes per token for vocabularies of 1,024 ids, twice that, and so on, up to the whole one."""
        whole = N_BYTES + len(self.n_tokens) + len(self.special_tokens)
        n_steps = max(0, (whole - 1) // FIRST_CURVE_SIZE).bit_length()
        sizes = [*(FIRST_CURVE_SIZE << step for step in range(n_steps)), whole]
        return {size: self.bytes_per_token(size) for size in sizes}


def train_bpe(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    vocab_size: int,
    special_tokens: Sequence[str],
    *,
    pattern: str = "gpt2",
    tie_break: str = "bytes",
    on_merge: Callable[[int], None] | None = None,
) -> tuple[Vocabulary, Merges]:
    """Train on the UTF-8 text file ``source``, or on several, each a text by itself; see `train` for the rest.

    Errors: `InputError` for a file that is missing or not UTF-8, `UserError` for the other arguments.
    """
    check(vocab_size, special_tokens, pattern, tie_break)  # better now than after the counting
    paths = [source] if isinstance(source, str | os.PathLike) else source
    counts = count_files(paths, special_tokens, pattern=pattern)
    training = train(counts, vocab_size, special_tokens, tie_break=tie_break, on_merge=on_merge)
    return training.vocab, training.merges


def train_from_counts(
    counts: Mapping[bytes, int],
    vocab_size: int,
    special_tokens: Sequence[str],
    *,
    tie_break: str = "bytes",
    on_merge: Callable[[int], None] | None = None,
) -> tuple[Vocabulary, Merges]:
    """Train on how often each pretoken (UTF-8) occurs, special tokens left out; see `train` for the rest."""
    arena = np.frombuffer(b"".join(counts), np.uint8)
    starts = np.cumsum([0, *map(len, counts)], dtype=np.int64)
    numbers = np.fromiter(counts.values(), np.int64, len(counts))
    found = PretokenCounts(arena, starts, numbers, np.arange(len(counts)))
    training = train(found, vocab_size, special_tokens, tie_break=tie_break, on_merge=on_merge)
    return training.vocab, training.merges


def train(
    counts: PretokenCounts,
    vocab_size: int,
    special_tokens: Sequence[str],
    *,
    tie_break: str = "bytes",
    on_merge: Callable[[int], None] | None = None,
) -> Training:
    """Train on pretokens that are counted.

    There are fewer than ``vocab_size`` ids when no pair is left to merge: look at the length of what comes back.
    ``on_merge`` gets the number of merges made so far, now and then and at the end. Errors: `UserError`,
    `UnknownNameError`.
    """
    check(vocab_size, special_tokens, tie_break=tie_break)
    n_merges = vocab_size - N_BYTES - len(special_tokens)
    if tie_break == "first":
        counts = counts.in_order()
    merged = train_merges(counts.arena, counts.starts, counts.counts, n_merges, tie_break, on_merge)
    return Training(*merged, counts.n_bytes, tuple(special_tokens))


def check(vocab_size: int, special_tokens: Sequence[str], pattern: str = "gpt2", tie_break: str = "bytes") -> None:
    """Whether training can be asked for this. Errors: `UserError`, `UnknownNameError`."""
    Pretokenizer(special_tokens, pattern)
    if tie_break not in TIE_BREAKS:
        raise UnknownNameError("tie-break", tie_break, TIE_BREAKS)
    smallest = N_BYTES + len(special_tokens)
    if not smallest <= vocab_size <= MOST_IDS:
        raise UserError(
            f"vocab_size {vocab_size}: give at least {smallest} ({N_BYTES} bytes and {len(special_tokens)} special "
            f"tokens) and at most {MOST_IDS}"
        )
