"""Text to token ids and back, with a trained byte-pair encoding.

Each pretoken is encoded by itself: its bytes are joined in the order in which the merges were made, leftmost first,
until none applies.

`Tokenizer.encode` honours special tokens; `Tokenizer.encode_ordinary` and `Tokenizer.encode_batch`, for text that
others wrote, do not: a page that says ``<|endoftext|>`` becomes ordinary tokens.

Batches, long texts and streams go through kernels (`textmill.tokenize.encoding.encode_blocks`). A short text is cut by
a regular expression, and a dictionary remembers the ids of its pretokens: that is quicker than to call the kernels.

Costs on one busy core (AMD EPYC), with GPT-2's vocabulary: 26 MB of manual pages 92 MB/s from nothing and 137 when
their pretokens are known; 54 MB in many languages, with 714,000 different pretokens, 52 and 106. Streams 14 to 16 MB/s,
in .6 MB of memory. Decoding 120 MB/s. Loading a file of 50,000 merges takes .14 to .18 s.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from textmill import storage
from textmill.errors import InputError, UserError
from textmill.tokenize.encoding.decode import Decoder
from textmill.tokenize.encoding.encode_blocks import (
    Block,
    BlockEncoder,
    TextEncoder,
    TokenArray,
    encode_strings,
    join_blocks,
)
from textmill.tokenize.encoding.encode_kernels import MergeTables, merge_tables
from textmill.tokenize.files.definition import END_OF_TEXT, MAX_IDS, N_BYTES, Definition, special_ids
from textmill.tokenize.files.formats import (
    no_collection,
    read_gpt2,
    read_tokenizer,
    textmill_content,
    write_tokenizer,
)
from textmill.tokenize.pretokens.blocks import text_buffers
from textmill.tokenize.pretokens.inventory import Inventory
from textmill.tokenize.pretokens.pretokenizer import Pretokenizer, utf8

SHORT_CHARS = 400  # a text as long as this is quicker by kernel
MAX_CACHED_CHARS = 32  # longer pretokens hardly come twice
N_CACHED = 1 << 14
N_KEPT_STREAMING = 1 << 12  # pretokens, for which an inventory need not grow


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    """The smallest type that holds the ids of a vocabulary: uint16 up to 65,536 ids, else uint32; little-endian."""
    return np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")


class Tokenizer:
    """A byte-pair encoding: ``vocab`` maps ids to byte strings, ``merges`` are in the order in which they were made.

    ``special_tokens`` that are not in ``vocab`` get the ids after its largest. Errors: `InputError` for an id that is
    negative or beyond 32 bits, and when ``vocab`` lacks a byte, or a part or result of a merge; `UserError` for the
    special tokens.
    """

    def __init__(
        self,
        vocab: Mapping[int, bytes],
        merges: Sequence[tuple[bytes, bytes]],
        special_tokens: Sequence[str] | None = None,
        *,
        pattern: str = "gpt2",
    ) -> None:
        self.pattern = pattern
        self._pretokenizer = Pretokenizer(special_tokens or (), pattern)
        self.vocab = dict(sorted(vocab.items()))
        if any(not 0 <= number < MAX_IDS for number in vocab):
            raise InputError(
                f"the vocabulary has ids from {min(vocab)} to {max(vocab)}; they must be 0 to {MAX_IDS - 1}"
            )
        self.special_ids = special_ids(self.vocab, special_tokens or ())
        self.vocab |= {number: token.encode() for token, number in self.special_ids.items()}
        self.merges = list(merges)
        self._tables = _merge_tables(self.vocab, self.merges)
        self._texts = TextEncoder(self._tables, pattern, token_dtype(self.vocab_size))
        self._cache = _Cache(self._encode_pretoken, N_CACHED)

    @property
    def vocab_size(self) -> int:
        """One more than the largest id: the rows that an embedding needs."""
        return max(self.vocab) + 1

    @property
    def eot_id(self) -> int:
        """The id of ``<|endoftext|>``, which ends a document. Errors: `UserError` when it is no special token."""
        if END_OF_TEXT not in self.special_ids:
            raise UserError(f"the tokenizer has no special token {END_OF_TEXT!r}; build it with that one")
        return self.special_ids[END_OF_TEXT]

    def encode(self, text: str) -> list[int]:
        """The ids of ``text``; each special token in it is one id."""
        if len(text) >= SHORT_CHARS:
            return self._encode_long(text, self._texts.encode)
        ordinary, special = self._pretokenizer.pieces(text)
        ids = self._encode_short(ordinary[0])
        for token, piece in zip(special, ordinary[1:], strict=True):
            ids.append(self.special_ids[token])
            ids += self._encode_short(piece)
        return ids

    def encode_ordinary(self, text: str) -> list[int]:
        """The ids of ``text``, in which special tokens are ordinary text."""
        if len(text) >= SHORT_CHARS:
            return self._texts.encode(*_utf8_buffers([text])).tokens.tolist()
        return self._encode_short(text)

    def encode_iterable(self, texts: Iterable[str]) -> Iterator[int]:
        """The ids that `encode` would give for all ``texts`` joined (the lines of a file), in well under 1 MB."""
        encoder = BlockEncoder(self._tables, self.pattern, token_dtype(self.vocab_size), N_KEPT_STREAMING)
        for part in self._pretokenizer.parts(texts):
            yield from self._encode_long(part, encoder.encode)

    def encode_batch(
        self, documents: pa.Array | pa.ChunkedArray, *, threads: int = 1
    ) -> tuple[TokenArray, npt.NDArray[np.int64]]:
        """Encode each of n documents as `encode_ordinary` does, in so many threads.

        Returns all ids one after the other, of `token_dtype`, and n + 1 offsets into them. Nothing marks the end of a
        document. Errors: `InvariantError` for a null or a column that is no text.
        """
        chunks = documents.chunks if isinstance(documents, pa.ChunkedArray) else [documents]
        blocks = [self._texts.encode(*text_buffers(chunk), threads) for chunk in chunks]
        tokens, ends = join_blocks(blocks, token_dtype(self.vocab_size))
        return tokens, np.insert(ends, 0, 0)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ``ids``, with U+FFFD where their bytes are not UTF-8. Errors: `InputError` for an unknown id."""
        return self.decode_bytes(ids).decode(errors="replace")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes of ``ids``. Errors: `InputError` for an unknown id."""
        try:
            return b"".join([self.vocab[number] for number in ids])
        except KeyError as error:
            raise InputError(f"token id {error.args[0]}: not in this vocabulary of {self.vocab_size} ids") from None

    def decode_batch(self, tokens: npt.NDArray[Any], offsets: npt.NDArray[Any]) -> pa.LargeStringArray:
        """The texts of n documents, each as `decode` gives it; ``offsets`` are n + 1 places in ``tokens``.

        Errors: `InputError` for an unknown id, or offsets that are no places in ``tokens`` in ascending order.
        """
        return self._decoder.decode(tokens, offsets)

    @functools.cached_property
    def _decoder(self) -> Decoder:
        return Decoder(self.vocab)

    def _encode_short(self, text: str) -> list[int]:
        return list(chain.from_iterable(map(self._cache.__getitem__, self._pretokenizer.ordinary(text))))

    def _encode_long(self, text: str, encode: Callable[..., Block]) -> list[int]:
        ordinary, special = self._pretokenizer.pieces(text)
        tokens, ends = encode(*_utf8_buffers(ordinary))
        if not special:
            return tokens.tolist()
        return np.insert(tokens, ends[:-1], [self.special_ids[token] for token in special]).tolist()

    def _encode_pretoken(self, pretoken: str) -> list[int]:
        data = np.frombuffer(utf8(pretoken), np.uint8)
        return encode_strings(self._tables, data, np.array([0, len(data)]))[0].tolist()

    @property
    def definition(self) -> Definition:
        """What files hold."""
        return Definition(self.vocab, self.merges, self.special_ids, self.pattern)

    @functools.cached_property
    def digest(self) -> str:
        """Sha256, in hexadecimal, of the file that `save` writes: equal for tokenizers that encode alike."""
        return hashlib.sha256(storage.to_json(textmill_content(self.definition)).encode()).hexdigest()

    def save(self, path: str | os.PathLike[str], kind: str = "textmill") -> list[str]:
        """Write everything to one JSON file, or another kind of file; see `textmill.tokenize.files.formats`.

        Returns what was written. Errors: `UnknownNameError`; `InputError` for a tokenizer that the kind cannot express.
        """
        return write_tokenizer(self.definition, os.fspath(path), kind)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, pattern: str | None = None) -> Tokenizer:
        """The tokenizer of a file or folder: textmill's, Hugging Face's, tiktoken's or GPT-2's, at a path or URI.

        Ranks of tiktoken do not say their ``pattern``; those of OpenAI are known. Errors: `InputError` when it is
        missing or nothing that textmill can do, `UserError` for the pattern.
        """
        name = os.fspath(path)
        vocab, merges, special_tokens, pattern, whole_tokens = read_tokenizer(name, pattern)
        try:
            with no_collection():
                tokenizer = cls(vocab, merges, list(special_tokens), pattern=pattern)
            if whole_tokens:
                tokenizer._check_whole_tokens()
        except UserError as error:
            raise InputError(f"{name}: {error}") from None
        if tokenizer.special_ids != special_tokens:
            raise InputError(f"{name}: a special token has the bytes of an ordinary token with a larger id")
        return tokenizer

    def _check_whole_tokens(self) -> None:
        """Errors: `InputError` when a pretoken that equals a token is not made by merges, but has to be that token."""
        special = set(self.special_ids.values())
        ids = {token: number for number, token in reversed(list(self.vocab.items())) if token and number not in special}
        data = np.frombuffer(b"".join(ids), np.uint8)
        tokens, ends = encode_strings(self._tables, data, np.cumsum([0, *map(len, ids)]))
        made = (np.diff(ends, prepend=0) == 1) & (tokens[ends - 1] == np.fromiter(ids.values(), np.uint32))
        if not made.all():
            first = list(ids)[int(np.argmin(made))]
            raise InputError(f"no merges make {np.sum(~made)} of its tokens, the first is {first!r}")

    @classmethod
    def from_files(
        cls,
        vocab_filepath: str | os.PathLike[str],
        merges_filepath: str | os.PathLike[str],
        special_tokens: Sequence[str] | None = None,
    ) -> Tokenizer:
        """A tokenizer in the two files of GPT-2: its vocabulary in JSON, its merges in text. Errors: `InputError`."""
        definition = read_gpt2(os.fspath(vocab_filepath), os.fspath(merges_filepath), special_tokens or ())
        return cls(definition.vocab, definition.merges, special_tokens, pattern=definition.pattern)


class _Cache(dict[str, list[int]]):
    """The ids of pretokens; emptied when it is full."""

    def __init__(self, encode: Callable[[str], list[int]], n_cached: int) -> None:
        self._encode, self._n_cached = encode, n_cached

    def __reduce__(self) -> tuple[type[_Cache], tuple[Callable[[str], list[int]], int]]:
        return type(self), (self._encode, self._n_cached)

    def __missing__(self, pretoken: str) -> list[int]:
        ids = self._encode(pretoken)
        if len(pretoken) <= MAX_CACHED_CHARS:
            if len(self) >= self._n_cached:
                self.clear()
            self[pretoken] = ids
        return ids


def _utf8_buffers(texts: Sequence[str]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The bytes of all texts, and the n + 1 places at which they begin."""
    encoded = [utf8(text) for text in texts]
    return np.frombuffer(b"".join(encoded), np.uint8), np.cumsum([0, *map(len, encoded)], dtype=np.int64)


def _merge_tables(vocab: Mapping[int, bytes], merges: Sequence[tuple[bytes, bytes]]) -> MergeTables:
    """Tables of ids; of two equal tokens the smaller id counts. Tokens are looked up in an inventory, all at once."""
    inventory = Inventory()
    numbers = _number(inventory, [token for token in vocab.values() if token])
    ids = np.empty(len(inventory), np.uint32)
    ids[numbers[::-1]] = [number for number, token in reversed(list(vocab.items())) if token]
    of_bytes = _number(inventory, [bytes([byte]) for byte in range(N_BYTES)])
    if len(inventory) > len(ids):
        missing = np.flatnonzero(of_bytes >= len(ids))
        raise InputError(f"the vocabulary lacks {len(missing)} of the 256 bytes, the first is 0x{missing[0]:02x}")
    tokens = [*chain.from_iterable(merges)]
    _check_merges(merges, tokens)
    parts, merged = _number(inventory, tokens), _number(inventory, tokens, together=2)
    if len(inventory) > len(ids):
        rank = int(np.argmax((parts[::2] >= len(ids)) | (parts[1::2] >= len(ids)) | (merged >= len(ids))))
        left, right = merges[rank]
        lacking = next(token for token in (left, right, left + right) if token not in vocab.values())
        raise InputError(f"merge {rank} {left, right}: the vocabulary lacks {lacking!r}")
    return merge_tables(ids[of_bytes], ids[parts[::2]], ids[parts[1::2]], ids[merged])


def _check_merges(merges: Sequence[tuple[bytes, bytes]], tokens: Sequence[bytes]) -> None:
    if len(tokens) != 2 * len(merges) or not all(tokens):
        rank = next(i for i, merge in enumerate(merges) if len(merge) != 2 or not all(merge))
        raise InputError(f"merge {rank} {merges[rank]}: it must be of two tokens, none of them empty")


def _number(inventory: Inventory, strings: Sequence[bytes], together: int = 1) -> npt.NDArray[np.int32]:
    """The numbers of strings, or of so many ``together``."""
    ends = np.cumsum([*map(len, strings)], dtype=np.int64)[together - 1 :: together]
    return inventory.number(np.frombuffer(b"".join(strings), np.uint8), 0, np.ascontiguousarray(ends))
