"""A language model of word n-grams: what a word is, the file, and the probability of text.

**Words** are normalised much as cc_net does it (Wenzek et al. 2020, arXiv 1911.00359): lower case, without accents,
every digit a 0. Punctuation, symbols and whitespace end a word and are dropped. In scripts that are written without
spaces each character is a word. A sentence is a line that has a word, with one event more for its end.

**Probabilities** are those of an interpolated, modified Kneser-Ney model (Chen and Goodman 1999), as KenLM's lmplz
estimates them; the file holds them in back-off form. `ngrams_train` makes it.

The file is one line of JSON, padded with spaces to 4096 bytes, and a hash table: slots of 16 bytes, little endian, with
the 64-bit hash of an n-gram (0: free), and the natural logarithms of its probability and its back-off weight (float32).
It is mapped into memory, not read: the processes of a machine share it.

An n-gram is known by its hash alone: a word sequence that is not in a model of 10 million n-grams is taken for one that
is with a chance of 10^-12. Cost on one busy core: 20 to 24 MB of English text a second.
"""

from __future__ import annotations

import functools
import hashlib
import json
import unicodedata
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from textmill import storage
from textmill.bits import kernel
from textmill.errors import InputError
from textmill.text import FNV_BASIS, FNV_PRIME, Documents, decode

FORMAT = "textmill n-grams 1"
HEADER_BYTES = 4096
MAX_ORDER = 6

BEGIN = np.uint64(1)  # before the first word of a sentence
END = np.uint64(2)  # after its last
NO_WORD = np.uint64(0)

# Values of `normal_forms` that are no code point, and the bit that makes a character a word of its own
_BREAK, _DROP, _ALONE = np.uint32(0), np.uint32(1), np.uint32(1 << 31)
# Thai and Lao; Burmese; Khmer; kana; Han; and the halves and supplements of these
_WITHOUT_SPACES = (
    (0x0E00, 0x0F00), (0x1000, 0x10A0), (0x1780, 0x1800), (0x3040, 0x3100), (0x31F0, 0x3200),
    (0x3400, 0xA000), (0xF900, 0xFB00), (0xFF66, 0xFFA0), (0x20000, 0x40000),
)  # fmt: skip


@dataclass(frozen=True)
class Header:
    """What the file says of itself. ``head_below`` and ``middle_below`` are perplexities, if it was calibrated."""

    order: int
    unknown: float  # natural logarithm of the probability of a word that the model does not know
    n_ngrams: tuple[int, ...]  # of each order
    n_words: int  # that it was trained on
    sha256: str  # of the table
    head_below: float | None = None
    middle_below: float | None = None
    format: str = FORMAT


@dataclass(frozen=True)
class Model:
    """A model in memory, or mapped into it."""

    header: Header
    table: NDArray[np.uint64]  # [slots, 2]

    @property
    def digest(self) -> str:
        """What identifies the model: sha256 of its header, which holds that of the table."""
        return hashlib.sha256(self._head()).hexdigest()

    def _head(self) -> bytes:
        return json.dumps(asdict(self.header), allow_nan=False).encode().ljust(HEADER_BYTES - 1) + b"\n"

    def perplexities(self, documents: Documents) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The perplexity of each text, and its number of events. Without any, it is that of one unknown word."""
        pieces = documents.segmentation
        lines = pieces.lines
        log_p, n_events = self.log_probabilities(pieces.data, lines.offsets, lines.start, lines.end)
        return np.exp(-np.where(n_events > 0, log_p, self.header.unknown) / np.maximum(n_events, 1)), n_events

    def log_probabilities(
        self, data: NDArray[np.uint8], offsets: NDArray[np.int64], start: NDArray[np.int64], end: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Natural logarithm of the probability of each text, and its events: words, and ends of lines with words.

        Text i has the lines ``data[start[k]:end[k]]`` for k from ``offsets[i]`` to ``offsets[i + 1]``.
        """
        values = self.table.view(np.float32)
        unknown, order = np.float64(self.header.unknown), self.header.order
        return _score(data, offsets, start, end, normal_forms(), self.table, values, unknown, order)

    def save(self, uri: str) -> None:
        """Publishes the file, atomically."""
        with storage.passing_scratch(str(Path(uri).parent) if storage.is_local(uri) else uri) as folder:
            complete = folder / "model"
            with complete.open("wb") as file:
                file.write(self._head())
                self.table.astype("<u8", copy=False).tofile(file)
            storage.publish(complete, uri)


def read_model(path: str) -> Model:
    """The model in a local file, mapped. Errors: `OSError`; `InputError` for what is no model, or a damaged one."""
    with Path(path).open("rb") as file:
        header = _read_header(path, file.read(HEADER_BYTES))
        n_bytes = file.seek(0, 2) - HEADER_BYTES
    if n_bytes <= 0 or n_bytes % 16:
        raise InputError(f"{path}: damaged n-gram model (its length is wrong); make or copy it again")
    table = np.asarray(np.memmap(path, "<u8", "r", HEADER_BYTES, (n_bytes // 16, 2)))
    if table_digest(table) != header.sha256:
        raise InputError(f"{path}: damaged n-gram model (its checksum is wrong); make or copy it again")
    return Model(header, table)


def _read_header(path: str, head: bytes) -> Header:
    try:
        values = json.loads(head)
        header = Header(**{**values, "n_ngrams": tuple(values["n_ngrams"])})
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: not an n-gram model; textmill perplexity train makes one") from error
    if header.format != FORMAT or not 1 <= header.order <= MAX_ORDER:
        raise InputError(
            f"{path}: an n-gram model of another format ({header.format}, order {header.order}); make it again"
        )
    return header


def table_digest(table: NDArray[np.uint64]) -> str:
    """Hex digest of a table's bytes."""
    return hashlib.sha256(table.astype("<u8", copy=False).data).hexdigest()


@functools.cache
def normal_forms() -> NDArray[np.uint32]:
    """What becomes of every code point in a word, uint32 [0x110000]; made on first use, .3 s."""
    table: NDArray[np.uint32] = np.full(0x110000, _BREAK)
    for code_point in (*range(0x40000), *range(0xE0000, 0xE1000)):  # the rest is unassigned or private
        table[code_point] = np.uint32(_normal_form(chr(code_point)))
    for first, last in _WITHOUT_SPACES:
        letters = table[first:last]
        letters[letters > _DROP] |= _ALONE
    table.flags.writeable = False
    return table


def _normal_form(character: str) -> int:
    """`_BREAK`, `_DROP`, or the code point that stands for the character."""
    category = unicodedata.category(character)
    if category in ("Mn", "Me", "Cf"):  # accents; joiners and soft hyphens
        return int(_DROP)
    if category == "Nd":
        return ord("0")
    if category[0] not in "LMN":
        return int(_BREAK)
    parts = unicodedata.normalize("NFD", character.lower())
    accented = all(unicodedata.category(mark) == "Mn" for mark in parts[1:])  # Hangul comes apart into letters
    return ord(parts[0]) if accented else ord(character)


# Kernels


@kernel
def next_word(data, i, end, forms):  # type: ignore[no-untyped-def]
    """The hash of the next word in ``data[i:end]``, `NO_WORD` if there is none, and where it ends."""
    text = data[:end]
    key = FNV_BASIS
    while i < end:
        byte = text[i]
        form, size = (forms[byte], 1) if byte < 0x80 else _form(text, i, forms)
        if form == _BREAK or form & _ALONE:
            if key != FNV_BASIS:
                break
            if form & _ALONE:
                return _spread(key ^ np.uint64(form)), i + size
        elif form != _DROP:
            key = (key ^ np.uint64(form)) * FNV_PRIME
        i += size
    return (_spread(key) if key != FNV_BASIS else NO_WORD), i


@kernel
def _form(text, i, forms):  # type: ignore[no-untyped-def]
    code_point, size = decode(text, i)
    return forms[code_point], size


@kernel
def _spread(key):  # type: ignore[no-untyped-def]
    """Spreads the bits of a hash (the finalizer of MurmurHash3); never one of the reserved values."""
    key = (key ^ (key >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    key = (key ^ (key >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    key = key ^ (key >> np.uint64(33))
    return key if key > END else key + np.uint64(3)


@kernel
def extend_left(key, word):  # type: ignore[no-untyped-def]
    """The hash of an n-gram with one word more before it."""
    key = (key ^ (word * np.uint64(0x9E3779B97F4A7C15))) * np.uint64(0xFF51AFD7ED558CCD)
    key = key ^ (key >> np.uint64(32))
    return key if key > END else key + np.uint64(3)


@kernel
def find_slot(table, key):  # type: ignore[no-untyped-def]
    """The slot of this n-gram, or the free one where it belongs."""
    n_slots = np.uint64(len(table))
    slot = np.int64(((key >> np.uint64(32)) * n_slots) >> np.uint64(32))
    while table[slot, 0] != key and table[slot, 0] != NO_WORD:
        slot = slot + 1 if slot + 1 < len(table) else np.int64(0)
    return slot


@kernel
def _score(data, offsets, start, end, forms, table, values, unknown, order):  # type: ignore[no-untyped-def]
    sums = np.zeros(len(offsets) - 1, np.float64)
    n_events = np.zeros(len(offsets) - 1, np.int64)
    context = np.empty(MAX_ORDER, np.uint64)  # the words before, the latest first
    weights = np.empty(MAX_ORDER, np.float64)  # back-off weights of the contexts of 1, 2, ... words
    found = np.empty(MAX_ORDER, np.float64)
    for text in range(len(offsets) - 1):
        for line in range(offsets[text], offsets[text + 1]):
            word, i = next_word(data, start[line], end[line], forms)
            if word == NO_WORD:
                continue
            context[0], weights[0], n_context = BEGIN, values[find_slot(table, BEGIN), 3], 1
            while True:
                log_p, n_found = _find(word, context, n_context, table, values, unknown, found)
                for k in range(max(n_found, 1) - 1, n_context):  # contexts longer than that of the match
                    log_p += weights[k]
                sums[text] += log_p
                n_events[text] += 1
                if word == END:
                    break
                n_context = min(n_found, order - 1)
                for k in range(n_context - 1, 0, -1):
                    context[k] = context[k - 1]
                context[0] = word
                weights[:n_context] = found[:n_context]
                word, i = next_word(data, i, end[line], forms)
                if word == NO_WORD:
                    word = END
    return sums, n_events


@kernel
def _find(word, context, n_context, table, values, unknown, found):  # type: ignore[no-untyped-def]
    """Log probability of the longest n-gram that ends in ``word``, and its order; ``found``: weights of all of them.

    An n-gram is only there if the one without its first word is. The unknown word has order 0.
    """
    log_p, order, key = unknown, 0, word
    while True:
        slot = find_slot(table, key)
        if table[slot, 0] == NO_WORD:
            return log_p, order
        log_p, found[order] = np.float64(values[slot, 2]), values[slot, 3]
        order += 1
        if order > n_context:
            return log_p, order
        key = extend_left(key, context[order - 1])
