"""Files of tiktoken: a line a token, its bytes in base64 and its rank, which is its id too.

There are no merges in them: tiktoken joins the neighbours whose bytes together have the lowest rank, the leftmost
first. For each token that is always the same pair, whatever stands around it. Until the token is made, its bytes go
through what they would go through alone, for no merge that reaches over their ends takes place. So the pair is found
by encoding the bytes of the token with the tokens that are shorter: two must be left. Where more are left, nothing ever
makes the token. tiktoken then still gives it to a pretoken that equals it, which merges cannot; such a file is refused
(none of those that OpenAI published is one).

The regular expression and the special tokens are no part of the file. Those of OpenAI's files are known here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

import numpy as np
from numpy.typing import NDArray

from textmill.bits import kernel
from textmill.errors import InputError, UserError
from textmill.tokenize.encoding.encode_kernels import SHORT, empty_pairs, merge_long, merge_short, put_pair, value_of
from textmill.tokenize.files.definition import END_OF_TEXT, MAX_IDS, N_BYTES, Definition

_FIM = "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"
_END_OF_PROMPT = "<|endofprompt|>"
_CL100K_SPECIAL = dict(zip((END_OF_TEXT, *_FIM), range(100257, 100261), strict=True)) | {_END_OF_PROMPT: 100276}
KNOWN = {  # by their sha256 as tiktoken states it: pattern, special tokens
    "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930": ("gpt2", {END_OF_TEXT: 50256}),  # r50k_base
    "94b5ca7dff4d00767bc256fdd1b27e5b17361d7b8a5f968547f9f23eb70d2069": ("gpt2", {END_OF_TEXT: 50256}),  # p50k_base
    "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7": ("cl100k", _CL100K_SPECIAL),
    "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d": (
        "o200k",
        {END_OF_TEXT: 199999, _END_OF_PROMPT: 200018},
    ),
}


def parse_ranks(data: bytes, name: str, pattern: str | None) -> Definition:
    """The tokenizer in a file with content ``data``. Errors: `InputError`; `UserError` without a pattern."""
    known_pattern, special = KNOWN.get(hashlib.sha256(data).hexdigest(), (None, {}))
    if pattern is None and known_pattern is None:
        raise UserError(f"{name}: ranks of tiktoken do not say which pattern cuts text into pretokens; give it")
    vocab = _parse_lines(data, name)
    merges = merges_of_ranks(vocab, name)
    vocab |= {number: token.encode() for token, number in special.items()}
    return Definition(vocab, merges, special, pattern or known_pattern or "")


def _parse_lines(data: bytes, name: str) -> dict[int, bytes]:
    words = data.split()
    try:
        tokens = [base64.b64decode(word, validate=True) for word in words[::2]]
        vocab = dict(zip(map(int, words[1::2]), tokens, strict=True))
    except (ValueError, binascii.Error) as error:
        raise InputError(f"{name}: not ranks of tiktoken, a token in base64 and a number a line ({error})") from None
    if len(vocab) < len(tokens) or len(set(tokens)) < len(tokens):
        raise InputError(f"{name}: two tokens have one rank, or two ranks one token")
    if vocab and not 0 <= min(vocab) <= max(vocab) < MAX_IDS:
        raise InputError(f"{name}: ranks from {min(vocab)} to {max(vocab)}; they must be 0 to {MAX_IDS - 1}")
    return vocab


def merges_of_ranks(vocab: dict[int, bytes], name: str) -> list[tuple[bytes, bytes]]:
    """The merges by which tiktoken makes the tokens of ``vocab``. Errors: `InputError` for a token that none makes."""
    vocab = dict(sorted(vocab.items()))
    tokens, ids = list(vocab.values()), np.fromiter(vocab, np.uint32)
    starts = np.cumsum([0, *map(len, tokens)])
    arena = np.frombuffer(b"".join(tokens), np.uint8)
    byte_ids = np.zeros(N_BYTES, np.uint32)
    for number, token in vocab.items():
        if len(token) == 1:
            byte_ids[token[0]] = number
    shortest_first = np.argsort(np.diff(starts), kind="stable")
    pairs = np.zeros((len(tokens), 2), np.uint32)
    n_parts = _find_pairs(arena, starts, shortest_first, ids, byte_ids, *empty_pairs(len(tokens)), pairs)
    unmade = np.flatnonzero(n_parts > 2)
    if len(unmade):
        raise InputError(f"{name}: no merges make {len(unmade)} of its tokens, the first is {tokens[unmade[0]]!r}")
    return [(vocab[left], vocab[right]) for left, right in pairs[n_parts == 2].tolist()]


@kernel
def _find_pairs(
    arena: NDArray[np.uint8],
    starts: NDArray[np.int64],
    order: NDArray[np.int64],
    ids: NDArray[np.uint32],
    byte_ids: NDArray[np.uint32],
    tags: NDArray[np.uint8],
    pairs: NDArray[np.uint64],
    found: NDArray[np.uint32],
) -> NDArray[np.int64]:
    """Writes the pair of each token to ``found``; returns into how many parts it falls without its own merge."""
    values = np.empty(SHORT, np.uint64)
    n_parts = np.ones(len(ids), np.int64)
    for k in order:
        start, size = starts[k], starts[k + 1] - starts[k]
        word = byte_ids[arena[start : start + size]]
        if size <= SHORT:
            for i in range(size - 1):
                values[i] = value_of(tags, pairs, word[i], word[i + 1])
            n_parts[k] = merge_short(word, 0, size, values, tags, pairs)
        else:
            n_parts[k] = merge_long(word, tags, pairs)
        if n_parts[k] == 2:
            put_pair(tags, pairs, word[0], word[1], np.int64(ids[k]), ids[k])
            found[k, 0], found[k, 1] = word[0], word[1]
    return n_parts


def format_ranks(definition: Definition, name: str) -> str:
    """The content of a file; special tokens are left out.

    Errors: `InputError` for a tokenizer that ranks cannot express: one whose merges are not those that follow from
    the ids of its tokens.
    """
    special = set(definition.special_tokens.values())
    vocab = {number: token for number, token in sorted(definition.vocab.items()) if number not in special}
    if len(set(vocab.values())) < len(vocab) or merges_of_ranks(vocab, name) != definition.merges:
        raise InputError(f"{name}: ranks of tiktoken cannot express merges that do not follow from the ids of tokens")
    return "".join(f"{base64.b64encode(token).decode()} {number}\n" for number, token in vocab.items())
