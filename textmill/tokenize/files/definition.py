"""What a byte-pair encoding is, apart from how it is stored and what encodes with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import count
from typing import NamedTuple

END_OF_TEXT = "<|endoftext|>"
N_BYTES = 256
MAX_IDS = 1 << 32  # ids are 0 to 2**32 - 1, what shards can hold


class Definition(NamedTuple):
    """What all formats of files say, each in its way."""

    vocab: dict[int, bytes]
    merges: list[tuple[bytes, bytes]]  # in the order in which they were made
    special_tokens: dict[str, int]
    pattern: str
    whole_tokens: bool = False  # a pretoken that is a token is that token, whatever the merges make of it


def special_ids(vocab: Mapping[int, bytes], special_tokens: Iterable[str]) -> dict[str, int]:
    """The id of each special token: the largest with its bytes, as special tokens come after merges, or a new one."""
    texts = {token.encode(): token for token in special_tokens}
    ids: dict[bytes, int] = {}
    for number, token in vocab.items():
        if token in texts:
            ids[token] = max(number, ids.get(token, number))
    new = count(max(vocab, default=-1) + 1)
    return {text: ids[token] if token in ids else next(new) for token, text in texts.items()}
