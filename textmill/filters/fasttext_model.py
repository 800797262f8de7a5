"""fastText's classifiers: a reader of their files (.bin, .ftz), and a kernel that predicts whole batches.

fastText: Joulin et al. 2016 (arXiv 1607.01759, 1612.03651). Its file has a header, the words and labels, the index of
the character n-grams that pruning kept, and two matrices, dense or product-quantised. A text is the mean of the rows of
its words, its words' character n-grams and its word n-grams; the second matrix turns that into one probability a label.

Labels and probabilities are those of fastText's own ``predict`` but for the last bits of a float, its habit of adding
1e-5 included, because published thresholds were set with it; a sum above 1 is 1. Kept, too: words end at ASCII
whitespace and NUL alone, an end-of-sentence token comes last, and a word ``</s>`` in the text ends it. Unlike there, a
newline is a space: all published uses put spaces for newlines first. Upper and lower case differ.

A file is checked before anything is made of it: sizes against the file's length, row numbers against the matrices. A
large dense matrix stays in the file, mapped, so a model of gigabytes costs the pages that it touches; a quantised one
becomes dense if that takes less than 64 MiB. Losses and shapes that fastText does not write are refused.

Cost, measured by ``benchmarks/languages.py``: with lid.176.ftz an eighth of fastText's own time.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from textmill import storage
from textmill.bits import add_eight, copy_bytes, count_ones, inner, kernel, prefetch
from textmill.errors import EnvironmentFault, InputError

LABEL_PREFIX = "__label__"

_MAGIC, _VERSIONS = 793_712_314, (11, 12)
_SUPERVISED = 3
_HIERARCHICAL, _NEGATIVE, _SOFTMAX, _ONE_VS_ALL = 1, 2, 3, 4  # losses, as numbered in the file
_MAX_NGRAM = 64  # of characters or words; fastText's defaults are 6 and 1
_MAX_LABELS_BYTES = 1 << 30  # of the second matrix, once it is no longer quantised
_MAX_BUCKETS = 1 << 27  # fastText's default is 2 million
_N_CENTROIDS = 256
_MAPPED_BYTES = 1 << 26  # larger dense matrices stay in the file
_BLOCK_FLOATS = 1 << 22  # of probabilities that are held at a time
_MEMORY_BYTES = 1 << 20  # a larger one leaves the processor's cache
_ROWS_AT_A_TIME = 256  # of n-grams, at least `_MAX_NGRAM`

_BASIS, _PRIME = np.uint32(2166136261), np.uint32(16777619)  # FNV-1a, 32 bit
_WORD_PRIME = np.uint64(116049371)
_BEFORE, _AFTER = map(ord, "<>")
_END = np.frombuffer(b"</s>", dtype=np.uint8)
_PREFIX = np.frombuffer(LABEL_PREFIX.encode(), dtype=np.uint8)
_ONE = np.uint64(1)
_TINY = 1e-5  # what fastText adds to a probability before it takes the logarithm


class Matrix(NamedTuple):
    """The first matrix: either ``rows`` or ``codes``; the other is empty."""

    rows: NDArray[np.float32]  # [rows, dim], words first
    codes: NDArray[np.uint8]  # [rows, parts]: which centroid of each part
    centroids: NDArray[np.float32]  # [parts, 256, dim of a part], the last part padded with zeros
    norms: NDArray[np.float32]  # [rows], a factor to the coded rows


class Words(NamedTuple):
    """Words, then labels, by number and by hash."""

    data: NDArray[np.uint8]  # the file
    start: NDArray[np.int64]  # of word or label i in the file, [words + labels]
    end: NDArray[np.int64]
    slot_number: NDArray[np.int32]  # hash table, a power of two: number, or -1 if free
    slot_hash: NDArray[np.uint32]
    n: int  # words alone


class Ngrams(NamedTuple):
    """From the hash of an n-gram to its row in the first matrix, counted from behind the words."""

    n_buckets: int  # 0 if no n-gram has a row
    inverse: np.uint64  # see `_remainder`
    shift: np.uint64
    kept: NDArray[
        np.uint64
    ]  # [buckets / 64, 2]: a bit for each that pruning left, how many lie before; empty unless pruned
    min_chars: int
    max_chars: int  # 0 if there are none of characters
    max_words: int  # 1 if there are none of words


class Network(NamedTuple):
    """What the kernel reads."""

    matrix: Matrix
    words: Words
    ngrams: Ngrams
    output: NDArray[np.float32]  # [labels, width of `Matrix`, padding included]
    children: NDArray[np.int32]  # [inner nodes, 2] of the tree of labels; empty unless the loss is hierarchical
    loss: int


class Memory(NamedTuple):
    """What words amount to with their character n-grams, of those met last in this batch."""

    start: NDArray[np.int64]  # of the word in the batch; [slots], a power of two
    size: NDArray[np.int64]  # in bytes; 0 if the slot is free
    total: NDArray[np.float32]  # [slots, width]: the sum of its rows
    n_rows: NDArray[np.int64]


@dataclass(frozen=True)
class FastTextModel:
    """A classifier. ``labels`` come without fastText's prefix."""

    labels: tuple[str, ...]
    network: Network

    def probabilities(
        self, data: NDArray[np.uint8], offsets: NDArray[np.int64], start: NDArray[np.int64], end: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """The probability of each label, 0 to 1: [texts, labels]. All 0 for a text in which the model knows nothing.

        Text i is made of the pieces ``data[start[k]:end[k]]``, UTF-8, with k from ``offsets[i]`` to ``offsets[i + 1]``;
        a word never goes over the edge of a piece.
        """
        found = np.empty((len(offsets) - 1, len(self.labels)), dtype=np.float32)
        _predict(_frozen(data), _frozen(offsets), _frozen(start), _frozen(end), self.network, found)
        return found

    def best(
        self, data: NDArray[np.uint8], offsets: NDArray[np.int64], start: NDArray[np.int64], end: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The two most likely labels, as numbers, and their probabilities: [texts, 2] each.

        A label of probability 0 is none: its number is -1. Texts as `probabilities` takes them.
        """
        n = len(offsets) - 1
        numbers, scores = np.full((n, 2), -1, dtype=np.int64), np.zeros((n, 2), dtype=np.float32)
        step = max(1, _BLOCK_FLOATS // len(self.labels))
        for first in range(0, n, step):
            part = slice(first, first + step)
            found = self.probabilities(data, offsets[first : first + step + 1], start, end)
            for rank in range(min(2, len(self.labels))):
                winner = found.argmax(axis=1)[:, None]
                score = np.take_along_axis(found, winner, axis=1)
                scores[part, rank : rank + 1] = score
                numbers[part, rank : rank + 1] = np.where(score > 0, winner, -1)
                np.put_along_axis(found, winner, -1, axis=1)
        return numbers, np.maximum(scores, 0)


def _frozen(array: NDArray) -> NDArray:
    """The same array, read-only: for each mix of writable and read-only arguments numba would compile a kernel."""
    array = np.ascontiguousarray(array).view()
    array.flags.writeable = False
    return array


# Files


@functools.lru_cache(maxsize=4)
def load_same(path: str, digest: str) -> FastTextModel:
    """The model at ``path``, loaded once a process, if it is the one of this sha256.

    Errors: `EnvironmentFault` if the file is not there or another; `InputError` as `load` has it.
    """
    try:
        found = _digest_of(path)
    except OSError as error:
        raise EnvironmentFault(f"{path}: no model here ({error.strerror}); put it on every machine") from error
    if found != digest:
        raise EnvironmentFault(f"{path}: the model has sha256 {found}, not {digest}; put back the right one")
    return load(path)


def load_named(path: str | Path, what: str = "model") -> tuple[FastTextModel, str]:
    """The model at ``path`` and the sha256 to name it by for `load_same`, which will not read it again.

    ``what`` names it to people. Errors: `InputError` if it cannot be opened, and as `load` has it.
    """
    resolved = str(Path(path).resolve())
    try:
        digest = _digest_of(resolved)
        return load_same(resolved, digest), digest
    except OSError as error:
        raise InputError(f"{path}: cannot read this {what} ({error.strerror}); give a fastText file") from error


def _digest_of(path: str) -> str:
    """The sha256 of a file, of gigabytes perhaps: as long as it stays the same, read once a process."""
    status = Path(path).stat()
    return _sha256(path, status.st_ino, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=16)
def _sha256(path: str, *version: int) -> str:
    return storage.sha256(Path(path))


def load(path: str | Path) -> FastTextModel:
    """Reads a model. Errors: `InputError` if it cannot be read, is damaged, or is no classifier."""
    try:
        data = np.memmap(path, dtype=np.uint8, mode="r").view(np.ndarray)
    except OSError as error:
        raise InputError(f"{path}: cannot read this model ({error.strerror})") from error
    except ValueError as error:  # an empty file
        raise InputError(f"{path}: not a fastText model (empty)") from error
    try:
        return _read(_Cursor(data))
    except ValueError as error:
        raise InputError(f"{path}: not a fastText model that can be used ({error})") from error


class _Cursor:
    """Reads a file from front to back; `ValueError` for what lies beyond its end."""

    def __init__(self, data: NDArray[np.uint8]) -> None:
        self.data = data
        self.position = 0

    def array(self, kind: str, *shape: int) -> NDArray:
        """The next numbers, not copied; ``kind`` is numpy's name of the type."""
        n = int(np.prod(shape, dtype=object))
        n_bytes = n * np.dtype(kind).itemsize
        if n < 0 or n_bytes > len(self.data) - self.position:
            raise ValueError("truncated, or a size in it is wrong")
        found = self.data[self.position : self.position + n_bytes].view(kind)
        self.position += n_bytes
        return found.reshape(shape)

    def number(self, kind: str) -> int:
        return int(self.array(kind, 1)[0])


def _read(cursor: _Cursor) -> FastTextModel:
    if len(cursor.data) < 8 or cursor.number("<i4") != _MAGIC:
        raise ValueError("it does not begin as one")
    version = cursor.number("<i4")
    _need(version in _VERSIONS, f"format version {version}, not 11 or 12")
    header = cursor.array("<i4", 12).tolist()
    dim, *_, word_ngram, loss, kind, n_buckets, min_ngram, max_ngram, _ = header
    cursor.number("<i8")  # the threshold for sampling
    _need(kind == _SUPERVISED, "it holds word vectors, not a classifier")
    max_ngram = 0 if version == 11 else max_ngram  # classifiers of old had none
    _need(loss in (_HIERARCHICAL, _NEGATIVE, _SOFTMAX, _ONE_VS_ALL), f"unknown loss {loss}")
    _need(dim > 0 and n_buckets >= 0, "a size in the header is negative")
    _need(max(max_ngram, word_ngram) <= _MAX_NGRAM, f"n-grams of more than {_MAX_NGRAM}")
    has_ngrams = max_ngram > 0 or word_ngram > 1
    _need(n_buckets > 0 or not has_ngrams, "n-grams without buckets")

    n_entries, n_words, n_labels = cursor.array("<i4", 3).tolist()
    cursor.number("<i8")  # words of the training data
    n_pruned = cursor.number("<i8")
    start, end, counts = _read_entries(cursor, n_entries, n_words, n_labels)
    pruned = cursor.array("<i4", max(n_pruned, 0), 2)
    n_rows = n_words + (n_pruned if n_pruned >= 0 else n_buckets if has_ngrams else 0)
    _need(not len(pruned) or pruned[:, 1].min() >= 0, "a negative row")
    _need(not len(pruned) or pruned[:, 1].max() < n_pruned, "a row beyond the matrix")

    is_coded = bool(cursor.number("u1"))
    _need(is_coded or n_pruned < 0, "pruned but not quantised")
    matrix = _read_matrix(cursor, is_coded, n_rows, dim)
    output = _read_output(cursor, is_coded, n_labels, dim)
    width = max(dim, matrix.centroids.shape[0] * matrix.centroids.shape[2])
    slot_number, slot_hash = _hash_words(cursor.data, start, end)
    if n_pruned > 0:
        _need(n_buckets <= _MAX_BUCKETS, f"more than {_MAX_BUCKETS} buckets of n-grams, pruned")
        kept, order = _index(pruned, n_buckets)
        matrix = _reordered(matrix, np.concatenate([np.arange(n_words), n_words + order]))
    else:
        kept = np.empty((0, 2), np.uint64)
    network = Network(
        Matrix(*(_frozen(part) for part in matrix)),
        Words(_frozen(cursor.data), _frozen(start), _frozen(end), _frozen(slot_number), _frozen(slot_hash), n_words),
        Ngrams(n_buckets if n_pruned else 0, *_inverse(n_buckets), _frozen(kept), min_ngram, max_ngram, word_ngram),
        _frozen(np.pad(output, ((0, 0), (0, width - dim)))),
        _frozen(_tree(counts[n_words:]) if loss == _HIERARCHICAL else np.empty((0, 2), dtype=np.int32)),
        loss,
    )
    labels = (bytes(cursor.data[a:b]) for a, b in zip(start[n_words:], end[n_words:], strict=True))
    return FastTextModel(tuple(label.decode(errors="replace").removeprefix(LABEL_PREFIX) for label in labels), network)


def _index(pruned: NDArray[np.int32], n_buckets: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """`Ngrams.kept`, of buckets and their rows, [kept, 2]; and the rows in the order of buckets. Of equal buckets the
    last one counts, as in fastText."""
    pruned = pruned[(pruned[:, 0] >= 0) & (pruned[:, 0] < n_buckets)]
    order = np.argsort(pruned[:, 0], kind="stable")
    buckets = pruned[order, 0]
    is_last = np.append(buckets[1:] != buckets[:-1], True)[: len(buckets)]
    bits = np.zeros(-(-n_buckets // 64) * 64, np.bool_)
    bits[buckets] = True
    counts = bits.reshape(-1, 64).sum(axis=1)
    kept = np.packbits(bits, bitorder="little").view("<u8")
    return np.stack([kept, (np.cumsum(counts) - counts).astype(np.uint64)], axis=1), pruned[order[is_last], 1].astype(
        np.int64
    )


def _reordered(matrix: Matrix, order: NDArray[np.int64]) -> Matrix:
    """A matrix of these rows."""
    rows, codes, centroids, norms = matrix
    return (
        Matrix(rows[order], codes, centroids, norms)
        if len(rows)
        else Matrix(rows, codes[order], centroids, norms[order])
    )


def _inverse(n: int) -> tuple[np.uint64, np.uint64]:
    """What `_remainder` divides by n with: the quotient of 32 bits is right, or one too small."""
    shift = 31 + n.bit_length()
    return np.uint64((1 << shift) // max(n, 1)), np.uint64(shift)


def _need(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)


def _read_entries(
    cursor: _Cursor, n: int, n_words: int, n_labels: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Where words and labels start and end in the file, and how often they were seen: words first, then labels."""
    _need(n_words >= 0 and n_labels > 0 and n_words + n_labels == n, "its numbers of words and labels are wrong")
    _need(10 * n <= len(cursor.data) - cursor.position, "truncated, or a size in it is wrong")
    start, end, counts = np.empty((3, n), dtype=np.int64)
    cursor.position = _scan_entries(cursor.data, cursor.position, n_words, start, end, counts)
    _need(cursor.position >= 0, "truncated, or its words and labels are mixed up")
    return start, end, counts


def _read_matrix(cursor: _Cursor, is_coded: bool, n_rows: int, dim: int) -> Matrix:
    """A matrix of at least ``n_rows`` rows; more do no harm."""
    has_norms = bool(cursor.number("u1")) if is_coded else False
    m, n = cursor.number("<i8"), cursor.number("<i8")
    _need(m >= n_rows and n == dim, "a matrix does not fit the rest")
    if not is_coded:
        no_codes, nothing = np.empty((0, 0), dtype=np.uint8), np.empty((0, 0, 0), dtype=np.float32)
        rows = cursor.array("<f4", m, n)
        # Floats of a file seldom lie where floats should; for those left there numba compiles a kernel of their own.
        return Matrix(rows.copy() if rows.nbytes < _MAPPED_BYTES else rows, no_codes, nothing, nothing.ravel())
    n_codes = cursor.number("<i4")
    n_parts = n_codes // m if m else 0
    _need(n_codes == n_parts * m and n_codes > 0, "a matrix does not fit the rest")
    codes = cursor.array("u1", m, n_parts)
    centroids = _read_centroids(cursor, n_parts, dim)
    norms = np.ones(m, dtype=np.float32)
    if has_norms:
        norm_codes = cursor.array("u1", m)
        norms = _read_centroids(cursor, 1, 1)[0, :, 0][norm_codes]
    if 4 * m * dim < _MAPPED_BYTES:
        no_codes, nothing = np.empty((0, 0), dtype=np.uint8), np.empty((0, 0, 0), dtype=np.float32)
        return Matrix(_dense(codes, centroids, norms)[:, :dim], no_codes, nothing, nothing.ravel())
    return Matrix(np.empty((0, 0), dtype=np.float32), codes, centroids, norms)


def _dense(codes: NDArray[np.uint8], centroids: NDArray[np.float32], norms: NDArray[np.float32]) -> NDArray[np.float32]:
    """The rows that a product quantiser stands for, [rows, width]."""
    parts = [centroid[code] for centroid, code in zip(centroids, codes.T, strict=True)]
    with np.errstate(all="ignore"):  # a damaged model may hold anything
        return np.concatenate(parts, axis=1) * norms[:, None]


def _read_centroids(cursor: _Cursor, n_parts: int, dim: int) -> NDArray[np.float32]:
    """Of a product quantiser: [parts, 256, dim of a part], the last part padded with zeros."""
    its_dim, its_parts, part_dim, last_dim = cursor.array("<i4", 4).tolist()
    _need(part_dim > 0 and its_parts == n_parts == -(-dim // part_dim), "a quantiser does not fit the rest")
    _need(its_dim == dim and last_dim == dim - (n_parts - 1) * part_dim, "a quantiser does not fit the rest")
    flat = cursor.array("<f4", dim * _N_CENTROIDS)
    centroids = np.zeros((n_parts, _N_CENTROIDS, part_dim), dtype=np.float32)
    n_full = (n_parts - 1) * _N_CENTROIDS * part_dim
    centroids[:-1] = flat[:n_full].reshape(n_parts - 1, _N_CENTROIDS, part_dim)
    centroids[-1, :, :last_dim] = flat[n_full:].reshape(_N_CENTROIDS, last_dim)
    return centroids


def _read_output(cursor: _Cursor, is_coded: bool, n_labels: int, dim: int) -> NDArray[np.float32]:
    """The second matrix, [labels, dim]."""
    is_coded &= bool(cursor.number("u1"))
    matrix = _read_matrix(cursor, is_coded, n_labels, dim)
    if len(matrix.rows):
        return matrix.rows[:n_labels].astype(np.float32)
    _need(4 * n_labels * dim <= _MAX_LABELS_BYTES, "too many labels")
    return _dense(matrix.codes[:n_labels], matrix.centroids, matrix.norms[:n_labels])[:, :dim]


def _tree(counts: NDArray[np.int64]) -> NDArray[np.int32]:
    """Huffman's tree of labels, which come the most frequent first: children of node ``labels + i``, [labels - 1, 2].

    Left is "no", right is "yes". The last node is the root; children have smaller numbers than their parents.
    """
    n = len(counts)
    _need(counts.min() >= 0 and sum(counts.tolist()) < 10**15, "impossible counts of labels")
    weights = [*counts.tolist(), *[10**15] * (n - 1)]
    children = np.empty((n - 1, 2), dtype=np.int32)
    leaf, node = n - 1, n
    for i in range(n - 1):
        for side in range(2):
            if leaf >= 0 and weights[leaf] < weights[node]:
                children[i, side], leaf = leaf, leaf - 1
            else:
                children[i, side], node = node, node + 1
        weights[n + i] = weights[children[i, 0]] + weights[children[i, 1]]
    return children


@kernel
def _scan_entries(
    data: NDArray[np.uint8],
    position: int,
    n_words: int,
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> int:
    """Writes where each word is and its count. Returns where the entries end; -1 if they do not, or are out of order.

    An entry is the word, NUL, a count of 8 bytes, and one byte that says what it is: 0 a word, 1 a label.
    """
    for entry in range(len(start)):
        start[entry] = position
        while position < len(data) and data[position]:
            position += 1
        end[entry] = position
        if position + 10 > len(data) or data[position + 9] != (entry >= n_words):
            return -1
        count = np.uint64(0)
        for k in range(8):
            count |= np.uint64(data[position + 1 + k]) << np.uint64(8 * k)
        counts[entry] = np.int64(count)
        position += 10
    return position


@kernel
def _hash_words(
    data: NDArray[np.uint8], start: NDArray[np.int64], end: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.uint32]]:
    """The hash table of words and labels, at most half full. Of equal words the last stays, as in fastText."""
    size = 16
    while size < 2 * len(start):
        size *= 2
    numbers, hashes = np.full(size, -1, dtype=np.int32), np.zeros(size, dtype=np.uint32)
    for i in range(len(start)):
        word = data[start[i] : end[i]]
        value = _hash(word)
        slot = _find(word, value, data, start, end, numbers, hashes)
        numbers[slot], hashes[slot] = i, value
    return numbers, hashes


# The kernel


@kernel
def _predict(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    network: Network,
    found: NDArray[np.float32],
) -> None:
    """Writes the probability of each label for each text; see `FastTextModel.probabilities`."""
    width = network.output.shape[1]
    hidden = np.empty(width, dtype=np.float32)
    chains = np.empty(max(network.ngrams.max_words, 1), dtype=np.uint64)
    chances = np.ones(2 * found.shape[1])  # of the nodes of the tree of labels
    memory, word, rows = _room(offsets, start, end, network)
    for text in range(len(offsets) - 1):
        hidden[:] = 0
        n_rows, n_words, goes_on = 0, 0, True
        for k in range(offsets[text], offsets[text + 1]):
            if goes_on:
                n, n_words, goes_on = _add_words(
                    data, start[k], end[k], network, memory, word, rows, chains, n_words, hidden
                )
                n_rows += n
        n_rows += _add_end(network, chains, n_words, rows, hidden)
        if n_rows:
            for k in range(width):
                hidden[k] *= np.float32(1.0 / n_rows)
            _judge(network, hidden, chances, found[text])
        else:
            found[text] = 0


@kernel
def _room(
    offsets: NDArray[np.int64], start: NDArray[np.int64], end: NDArray[np.int64], network: Network
) -> tuple[Memory, NDArray[np.uint8], NDArray[np.int64]]:
    """A memory of a size that pays, room for the longest word with its marks, and for the rows of one word."""
    longest, n_bytes = 0, 0
    for k in range(offsets[0], offsets[-1]):
        longest = max(longest, end[k] - start[k])
        n_bytes += end[k] - start[k]
    width = network.output.shape[1]
    n_slots = 1
    while n_slots < n_bytes // 4 and n_slots * width * 4 < _MEMORY_BYTES:
        n_slots *= 2
    memory = Memory(
        np.empty(n_slots, dtype=np.int64),
        np.zeros(n_slots, dtype=np.int64),
        np.empty((n_slots, width), dtype=np.float32),
        np.empty(n_slots, dtype=np.int64),
    )
    return memory, np.empty(longest + 2, dtype=np.uint8), np.empty(_ROWS_AT_A_TIME, dtype=np.int64)


@inner
def _add_words(
    data: NDArray[np.uint8],
    i: int,
    end: int,
    network: Network,
    memory: Memory,
    word: NDArray[np.uint8],
    rows: NDArray[np.int64],
    chains: NDArray[np.uint64],
    n_words: int,
    hidden: NDArray[np.float32],
) -> tuple[int, int, bool]:
    """Adds the rows of all words of ``data[i:end]`` to ``hidden``.

    ``chains`` are the hashes of the word n-grams that go on after ``n_words`` words. Returns how many rows were added,
    the new ``n_words``, and whether the text goes on. What is done for a known word touches no tuple: numba would count
    references to each of its arrays.
    """
    known_start, known_size, known_total, known_rows = memory.start, memory.size, memory.total, memory.n_rows
    last_slot, has_word_ngrams = len(known_start) - 1, network.ngrams.max_words > 1
    n_rows = 0
    while i < end:
        first, value = i, _BASIS
        while i < end and not _separates(data[i]):
            value = _hash_on(value, data[i])
            i += 1
        size = i - first
        i += 1
        if size == 0:
            continue
        if size == len(_END) and _equal(data[first : first + size], _END):
            return n_rows, n_words, False
        slot = np.int64(value) & last_slot
        if known_size[slot] != size or not _repeats(data, first, known_start[slot], size):
            known_start[slot], known_size[slot] = first, size
            known_total[slot] = 0
            known_rows[slot] = _add_word(data[first : first + size], value, network, word, rows, known_total[slot])
        if known_rows[slot] < 0:
            continue
        n_rows += known_rows[slot]
        _add_row(known_total, np.uint64(slot), hidden)
        if has_word_ngrams:
            n_rows += _add_word_ngrams(value, network, chains, n_words, rows, hidden)
        n_words += 1
    return n_rows, n_words, True


@inner
def _add_end(
    network: Network, chains: NDArray[np.uint64], n_words: int, rows: NDArray[np.int64], hidden: NDArray[np.float32]
) -> int:
    """Adds the end-of-sentence token, which has no characters. Returns how many rows were added."""
    value, n_rows = _hash(_END), 0
    number = _lookup(_END, value, network.words)
    if 0 <= number < network.words.n:
        rows[0] = number
        _add_rows(network.matrix, rows, 1, hidden)
        n_rows += 1
    return n_rows + _add_word_ngrams(value, network, chains, n_words, rows, hidden)


@inner
def _add_word(
    plain: NDArray[np.uint8],
    value: np.uint32,
    network: Network,
    word: NDArray[np.uint8],
    rows: NDArray[np.int64],
    total: NDArray[np.float32],
) -> int:
    """Adds the rows of a word and of its character n-grams. Returns their number; -1 if it is a label, and no word."""
    number = _lookup(plain, value, network.words)
    if number >= network.words.n or (number < 0 and _is_label(plain)):
        return -1
    n_rows = 0
    if number >= 0:
        rows[0] = number
        _add_rows(network.matrix, rows, 1, total)
        n_rows += 1
    if network.ngrams.max_chars > 0:
        word[0], word[len(plain) + 1] = _BEFORE, _AFTER
        copy_bytes(word, 1, plain, 0, len(plain))
        n_rows += _add_subwords(word, len(plain) + 2, network, rows, total)
    return n_rows


@inner
def _add_subwords(
    word: NDArray[np.uint8], size: int, network: Network, rows: NDArray[np.int64], total: NDArray[np.float32]
) -> np.int64:
    """Adds the character n-grams of a word between its marks; neither mark alone is one. Returns their number.

    Whether an n-gram may have a row cannot be guessed, so no branch depends on it.
    """
    ngrams = network.ngrams
    min_chars, max_chars, n_buckets, n_words = ngrams.min_chars, ngrams.max_chars, ngrams.n_buckets, network.words.n
    inverse, shift, kept = ngrams.inverse, ngrams.shift, ngrams.kept
    matrix_rows, width = network.matrix.rows, network.matrix.rows.shape[1]
    if n_buckets == 0:
        return np.int64(0)
    stop, n_rows, n_waiting = np.uint64(size), np.uint64(0), np.uint64(0)
    for start in range(np.uint64(0), stop):
        first = np.uint64(start)
        if word[first] & 0xC0 == 0x80:
            continue  # inside a character
        value, i = _BASIS, first
        for n in range(1, max_chars + 1):
            if i == stop:
                break
            value = _hash_on(value, word[i])
            i += _ONE
            while i < stop and word[i] & 0xC0 == 0x80:
                value = _hash_on(value, word[i])
                i += _ONE
            if n >= min_chars and not (n == 1 and (first == 0 or i == stop)):
                row, is_kept = _row_of(_remainder(value, np.uint64(n_buckets), inverse, shift), kept)
                rows[n_waiting] = n_words + row
                prefetch(matrix_rows, (n_words + row) * width)
                n_waiting += is_kept
        if n_waiting + np.uint64(max_chars) > np.uint64(len(rows)):
            _add_rows(network.matrix, rows, np.int64(n_waiting), total)
            n_rows, n_waiting = n_rows + n_waiting, np.uint64(0)
    _add_rows(network.matrix, rows, np.int64(n_waiting), total)
    return np.int64(n_rows + n_waiting)


@inner
def _remainder(value: np.uint32, n: np.uint64, inverse: np.uint64, shift: np.uint64) -> np.uint64:
    """``value % n``, at a third of the cost of a division; see `_inverse`."""
    rest = np.uint64(value) - (np.uint64(value) * inverse >> shift) * n
    return min(rest, rest - n)  # which is huge where it would be negative


@inner
def _add_word_ngrams(
    value: np.uint32,
    network: Network,
    chains: NDArray[np.uint64],
    n_words: int,
    rows: NDArray[np.int64],
    hidden: NDArray[np.float32],
) -> int:
    """Adds the word n-grams that end with the word of this hash, after ``n_words`` others. Returns their number."""
    ngrams = network.ngrams
    n_rows = 0
    signed = np.uint64(np.int64(np.int32(value)))  # fastText keeps hashes of words as signed numbers
    for back in range(1, min(ngrams.max_words - 1, n_words) + 1):
        chain = (n_words - back) % len(chains)
        chains[chain] = chains[chain] * _WORD_PRIME + signed
        if ngrams.n_buckets:
            row, is_kept = _row_of(chains[chain] % np.uint64(ngrams.n_buckets), ngrams.kept)
            rows[n_rows] = network.words.n + row
            n_rows += int(is_kept)
    chains[n_words % len(chains)] = signed
    _add_rows(network.matrix, rows, n_rows, hidden)
    return n_rows


@inner
def _row_of(bucket: np.uint64, kept: NDArray[np.uint64]) -> tuple[np.int64, np.uint64]:
    """The row of the n-gram with this number, counted from behind the words, and 1 if it has one. See `Ngrams`."""
    if len(kept) == 0:
        return np.int64(bucket), _ONE
    bits, before = kept[bucket >> np.uint64(6), 0], kept[bucket >> np.uint64(6), 1]
    bit = _ONE << (bucket & np.uint64(63))
    return np.int64(before + count_ones(bits & (bit - _ONE))), np.uint64(bits & bit != 0)


@inner
def _add_rows(matrix: Matrix, numbers: NDArray[np.int64], n: int, total: NDArray[np.float32]) -> None:
    """Adds the first n of these rows of the first matrix."""
    rows, codes, centroids, norms = matrix.rows, matrix.codes, matrix.centroids, matrix.norms
    size = centroids.shape[2]
    for i in range(n):
        if len(codes):
            row = numbers[i]
            for part in range(codes.shape[1]):
                for k in range(size):
                    total[part * size + k] += norms[row] * centroids[part, codes[row, part], k]
        else:
            _add_row(rows, np.uint64(numbers[i]), total)


@inner
def _add_row(rows: NDArray[np.float32], row: np.uint64, total: NDArray[np.float32]) -> None:
    """Adds one row of a matrix."""
    width = np.uint64(rows.shape[1])
    whole = width & ~np.uint64(7)
    for k in range(np.uint64(0), whole, np.uint64(8)):
        add_eight(total, np.int64(k), rows, np.int64(row * width + k))
    for k in range(whole, width):
        total[k] += rows[row, k]


@inner
def _judge(
    network: Network, hidden: NDArray[np.float32], chances: NDArray[np.float64], found: NDArray[np.float32]
) -> None:
    """Writes the probability of each label; all 0 if one is no number, which only a damaged model gives."""
    if network.loss == _HIERARCHICAL:
        _walk_tree(network, hidden, chances, found)
    else:
        for label in range(len(found)):
            found[label] = _dot(network.output[label], hidden)
        if network.loss == _SOFTMAX:
            _softmax(found)
        else:
            for label in range(len(found)):
                found[label] = _sigmoid(found[label])
    total = np.float32(0)
    for label in range(len(found)):
        found[label] += np.float32(0 if network.loss == _HIERARCHICAL else _TINY)
        total += found[label]
        found[label] = min(found[label], np.float32(1))
    if not np.isfinite(total):
        found[:] = 0


@inner
def _softmax(values: NDArray[np.float32]) -> None:
    largest, total = values[0], np.float32(0)
    for value in values:
        largest = max(largest, value)
    for k in range(len(values)):
        values[k] = np.exp(values[k] - largest)
        total += values[k]
    for k in range(len(values)):
        values[k] /= total


@inner
def _walk_tree(
    network: Network, hidden: NDArray[np.float32], at: NDArray[np.float64], found: NDArray[np.float32]
) -> None:
    """Probabilities by hierarchical softmax; what is under 1e-5 is 0, as in fastText's search."""
    n = len(found)
    at[2 * n - 2] = 1
    for node in range(n - 2, -1, -1):
        yes = 1.0 / (1.0 + np.exp(-_dot(network.output[node], hidden)))
        left, right = network.children[node]
        at[left] = at[n + node] * (1.0 - yes + _TINY)
        at[right] = at[n + node] * (yes + _TINY)
    for label in range(n):
        found[label] = at[label] if at[label] >= _TINY else 0.0


@inner
def _sigmoid(x: float) -> float:
    """As coarse as fastText's: its table has 512 steps from -8 to 8."""
    if not -8 <= x <= 8:
        return 1.0 if x > 8 else 0.0
    return 1 / (1 + np.exp(8 - np.floor((x + 8) * 32) / 32))


@inner
def _dot(a: NDArray[np.float32], b: NDArray[np.float32]) -> np.float32:
    total = np.float32(0)
    for k in range(len(a)):
        total += a[k] * b[k]
    return total


@inner
def _lookup(word: NDArray[np.uint8], value: np.uint32, words: Words) -> np.int64:
    """The number of a word or label with this hash; -1 if the model does not know it."""
    slot = _find(word, value, words.data, words.start, words.end, words.slot_number, words.slot_hash)
    return np.int64(words.slot_number[slot])


@inner
def _find(
    word: NDArray[np.uint8],
    value: np.uint32,
    data: NDArray[np.uint8],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    numbers: NDArray[np.int32],
    hashes: NDArray[np.uint32],
) -> np.int64:
    """The slot that holds a word of this hash, or the free one where it belongs."""
    last = len(numbers) - 1
    slot = np.int64(value) & last
    while numbers[slot] >= 0:
        number = numbers[slot]
        if hashes[slot] == value and _equal(word, data[start[number] : end[number]]):
            break
        slot = (slot + 1) & last
    return slot


@inner
def _hash(word: NDArray[np.uint8]) -> np.uint32:
    value = _BASIS
    for byte in word:
        value = _hash_on(value, byte)
    return value


@inner
def _hash_on(value: np.uint32, byte: np.uint8) -> np.uint32:
    """FNV-1a with one byte more, taken as signed, as fastText does."""
    return np.uint32((value ^ np.uint32(np.int8(byte))) * _PRIME)


@inner
def _separates(byte: int) -> bool:
    return byte == 0x20 or 0x09 <= byte <= 0x0D or byte == 0


@inner
def _is_label(word: NDArray[np.uint8]) -> bool:
    return len(word) >= len(_PREFIX) and _equal(word[: len(_PREFIX)], _PREFIX)


@inner
def _repeats(data: NDArray[np.uint8], a: int, b: int, size: int) -> bool:
    """Whether the bytes from a on are those from b on."""
    for k in range(size):  # noqa: SIM110
        if data[a + k] != data[b + k]:
            return False
    return True


@inner
def _equal(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> bool:
    if len(a) != len(b):
        return False
    for k in range(len(a)):  # noqa: SIM110 - numba has no generators
        if a[k] != b[k]:
            return False
    return True
