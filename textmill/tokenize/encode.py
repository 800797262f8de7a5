"""Text to token ids and back, with a trained byte-pair encoding.

Each pretoken is encoded by itself: its bytes are joined in the order in which the merges were made, leftmost first,
until none applies.

`Tokenizer.encode` honours special tokens; `Tokenizer.encode_ordinary` and `Tokenizer.encode_batch`, for text that
others wrote, do not: a page that says ``<|endoftext|>`` becomes ordinary tokens.

Long text and batches go through kernels (`textmill.tokenize.encode_blocks`). Short texts, and `encode_iterable` with
its small memory, are cut by a regular expression, and a dictionary remembers the ids of pretokens.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from textmill import storage
from textmill.errors import InputError, InvariantError, UserError
from textmill.tokenize.decode import Decoder
from textmill.tokenize.encode_blocks import Block, TextEncoder, TokenArray, join_blocks
from textmill.tokenize.encode_kernels import MergeTables, encode_pretokens, merge_tables
from textmill.tokenize.pretokenize import Pretokenizer, utf8

FORMAT = "textmill-tokenizer-1"
END_OF_TEXT = "<|endoftext|>"
N_BYTES = 256
MAX_IDS = 1 << 32
SHORT_CHARS = 400  # a text as long as this is quicker by kernel
MAX_CACHED_CHARS = 32  # longer pretokens hardly come twice
N_CACHED = 1 << 14
N_CACHED_STREAMING = 1 << 11  # about 0.5 MB


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
        self.special_ids = self._add_special_tokens(special_tokens or ())
        self.merges = list(merges)
        self._tables = _merge_tables(self.vocab, self.merges)
        self._texts = TextEncoder(self._tables, pattern, token_dtype(self.vocab_size))
        self._cache = _Cache(self._encode_pretoken, N_CACHED)
        self._encode_pretoken(" ")  # loads the kernel, which does not fit in the memory of `encode_iterable`

    def _add_special_tokens(self, special_tokens: Sequence[str]) -> dict[str, int]:
        """The id of each special token: the largest with its bytes, since merges come before special tokens."""
        known = {token: number for number, token in self.vocab.items()}
        ids = {}
        for special in special_tokens:
            token = special.encode()
            ids[special] = known[token] if token in known else max(self.vocab, default=-1) + 1
            self.vocab[ids[special]] = token
        return ids

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
        if len(text) < SHORT_CHARS:
            return list(self._ids(self._pretokenizer.split(text), self._cache))
        ordinary, special = self._pretokenizer.pieces(text)
        tokens, ends = self._encode_long(ordinary)
        ids = np.array([self.special_ids[token] for token in special], tokens.dtype)
        return np.insert(tokens, ends[:-1], ids).tolist()

    def encode_ordinary(self, text: str) -> list[int]:
        """The ids of ``text``, in which special tokens are ordinary text."""
        if len(text) < SHORT_CHARS:
            return list(chain.from_iterable(map(self._cache.__getitem__, self._pretokenizer.ordinary(text))))
        return self._encode_long([text]).tokens.tolist()

    def encode_iterable(self, texts: Iterable[str]) -> Iterator[int]:
        """The ids that `encode` would give for all ``texts`` joined (the lines of a file), in well under 1 MB."""
        return self._ids(self._pretokenizer.stream(texts), _Cache(self._encode_pretoken, N_CACHED_STREAMING))

    def encode_batch(
        self, documents: pa.Array | pa.ChunkedArray, *, threads: int = 1
    ) -> tuple[TokenArray, npt.NDArray[np.int64]]:
        """Encode each of n documents as `encode_ordinary` does, in so many threads.

        Returns all ids one after the other, of `token_dtype`, and n + 1 offsets into them. Nothing marks the end of a
        document. Errors: `InvariantError` for a null or a column that is no text.
        """
        chunks = documents.chunks if isinstance(documents, pa.ChunkedArray) else [documents]
        blocks = [self._texts.encode(*_text_buffers(chunk), threads) for chunk in chunks]
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

    def _ids(self, pretokens: Iterable[str], cache: _Cache) -> Iterator[int]:
        for pretoken in pretokens:
            if pretoken in self.special_ids:
                yield self.special_ids[pretoken]
            else:
                yield from cache[pretoken]

    @functools.cached_property
    def _decoder(self) -> Decoder:
        return Decoder(self.vocab)

    def _encode_long(self, texts: Sequence[str]) -> Block:
        encoded = [utf8(text) for text in texts]
        bounds = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
        return self._texts.encode(np.frombuffer(b"".join(encoded), np.uint8), bounds)

    def _encode_pretoken(self, pretoken: str) -> list[int]:
        arena = np.frombuffer(utf8(pretoken), np.uint8)
        ids = np.empty(len(arena), np.uint32)
        n = encode_pretokens(arena, np.array([0, len(arena)]), 0, *self._tables, np.empty(1, np.uint64), ids, 0)
        return ids[:n].tolist()

    @functools.cached_property
    def digest(self) -> str:
        """Sha256, in hexadecimal, of the file that `save` writes: equal for tokenizers that encode alike."""
        return hashlib.sha256(storage.to_json(self._content()).encode()).hexdigest()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to one JSON file.

        It holds ``format``, the name of the ``pattern``, ``vocab`` (id to token), ``merges`` (pairs of tokens) and
        ``special_tokens`` (the texts). Each character of a token stands for the byte of the same number (Latin-1).
        """
        storage.write_json(self._content(), os.fspath(path))

    def _content(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "pattern": self.pattern,
            "vocab": {str(number): token.decode("latin-1") for number, token in self.vocab.items()},
            "merges": [[left.decode("latin-1"), right.decode("latin-1")] for left, right in self.merges],
            "special_tokens": list(self.special_ids),
        }

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Tokenizer:
        """What `save` wrote, from a path or URI. Errors: `InputError` when it is missing or something else."""
        uri = os.fspath(path)
        try:
            content = storage.read_json(uri)
            if content["format"] != FORMAT:
                raise InputError(f"{uri}: format {content['format']!r}, expected {FORMAT!r}")
            vocab = {int(number): token.encode("latin-1") for number, token in content["vocab"].items()}
            merges = [(left.encode("latin-1"), right.encode("latin-1")) for left, right in content["merges"]]
            return cls(vocab, merges, content["special_tokens"], pattern=content["pattern"])
        except FileNotFoundError as error:
            raise InputError(f"{uri}: no such file; give a tokenizer that textmill saved") from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{uri}: not a tokenizer of textmill; save it again") from error

    @classmethod
    def from_files(
        cls,
        vocab_filepath: str | os.PathLike[str],
        merges_filepath: str | os.PathLike[str],
        special_tokens: Sequence[str] | None = None,
    ) -> Tokenizer:
        """A tokenizer in the two files of GPT-2.

        The first is JSON, token to id; the second text, one merge a line, its parts separated by a space. In both, a
        byte that does not print stands as a character from U+0100 on. Errors: `InputError`.
        """
        try:
            ids = json.loads(Path(vocab_filepath).read_text("utf-8"))
            lines = Path(merges_filepath).read_text("utf-8").split("\n")
            special = set(special_tokens or ())
            vocab = {
                int(number): token.encode() if token in special else _from_printable(token)
                for token, number in ids.items()
            }
            merges = [_read_merge(line) for line in lines if line and not line.startswith("#version")]
        except OSError as error:
            raise InputError(f"{error.filename}: cannot be read ({error.strerror})") from error
        except (AttributeError, TypeError, ValueError) as error:
            raise InputError(f"{vocab_filepath}, {merges_filepath}: not a vocabulary of GPT-2 ({error})") from error
        return cls(vocab, merges, special_tokens)


class _Cache(dict[str, list[int]]):
    """The ids of pretokens; emptied when it is full."""

    def __init__(self, encode: Callable[[str], list[int]], n_cached: int) -> None:
        self._encode, self._n_cached = encode, n_cached

    def __missing__(self, pretoken: str) -> list[int]:
        ids = self._encode(pretoken)
        if len(pretoken) <= MAX_CACHED_CHARS:
            if len(self) >= self._n_cached:
                self.clear()
            self[pretoken] = ids
        return ids


def _text_buffers(documents: pa.Array) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The bytes of all documents, and the n + 1 places at which they begin."""
    if documents.null_count:
        raise InvariantError(f"{documents.null_count} documents without text reached the tokenizer")
    widths = {pa.string(): np.int32, pa.large_string(): np.int64}
    if documents.type not in widths:
        raise InvariantError(f"documents are {documents.type}, expected string or large_string")
    _, offsets, data = documents.buffers()
    if len(documents) == 0 or data is None:
        return np.empty(0, np.uint8), np.zeros(len(documents) + 1, np.int64)
    bounds = np.frombuffer(offsets, widths[documents.type])[documents.offset :][: len(documents) + 1]
    return np.frombuffer(data, np.uint8), bounds.astype(np.int64)


def _merge_tables(vocab: Mapping[int, bytes], merges: Sequence[tuple[bytes, bytes]]) -> MergeTables:
    ids = {token: number for number, token in reversed(list(vocab.items()))}  # the smallest, where two are equal
    missing = [byte for byte in range(N_BYTES) if bytes([byte]) not in ids]
    if missing:
        raise InputError(f"the vocabulary lacks {len(missing)} of the 256 bytes, the first is 0x{missing[0]:02x}")
    try:
        left = [ids[left] for left, _ in merges]
        right = [ids[right] for _, right in merges]
        merged = [ids[left + right] for left, right in merges]
    except KeyError as error:
        (token,) = error.args
        rank, pair = next((i, pair) for i, pair in enumerate(merges) if token in (*pair, b"".join(pair)))
        raise InputError(f"merge {rank} {pair}: the vocabulary lacks {token!r}") from None
    byte_ids = [ids[bytes([byte])] for byte in range(N_BYTES)]
    return merge_tables(*(np.array(column, np.uint32) for column in (byte_ids, left, right, merged)))


@functools.cache
def _printable_bytes() -> dict[str, int]:
    """GPT-2's alphabet: Latin-1 characters that print stand for themselves, the other bytes from U+0100 on."""
    printing = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(N_BYTES) if byte not in printing]
    return {chr(byte): byte for byte in printing} | {chr(N_BYTES + i): byte for i, byte in enumerate(others)}


def _from_printable(token: str) -> bytes:
    """The bytes of a token written in GPT-2's alphabet; a special token that goes beyond it is plain text."""
    alphabet = _printable_bytes()
    return bytes(alphabet[char] for char in token) if all(char in alphabet for char in token) else token.encode()


def _read_merge(line: str) -> tuple[bytes, bytes]:
    left, right = line.split(" ")
    return _from_printable(left), _from_printable(right)
