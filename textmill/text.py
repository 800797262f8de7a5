"""A batch of documents, and its text cut into words, lines and paragraphs.

Text is cut once a batch, on first use, and every rule family works on the same pieces. Kernels read Arrow's own buffers
(UTF-8 bytes and offsets) and release the GIL; no Python object is made for a document or a word.

**Words** are what ``str.split()`` gives: maximal runs without whitespace, so punctuation stays on its word, and scripts
that are written without spaces have few and long ones. **Lines** are what ``str.split("\\n")`` gives, blank ones
included; an empty text has one. **Paragraphs** are maximal runs of lines that are not blank. A line that holds nothing
but whitespace is blank.

Every piece carries a 64-bit hash of its bytes (`hash_bytes`). It is the same on every machine. An adversary can make
pieces collide, so it may count repeats but never prove equality.

Arrow promises valid UTF-8. Other bytes give arbitrary pieces, but nothing outside of the buffer is read.

**Sentences**, **Unicode words** and **Treebank words** are described where they are cut: in `textmill.sentences`,
`textmill.words` and `textmill.treebank`. Words between whitespace are cut in `textmill.whitespace`.

Costs on one core that others kept busy (AMD EPYC), manual pages in twenty languages, in nanoseconds a byte: words 3 to
4 with their hashes, lengths and classes, lines .2, sentences 1.4, Treebank words 2.6 beside the sentences, 2.2 if they
are only counted; Unicode words 1.4 on English. Hashes and lengths of lines cost .4, where they are asked for. Memory:
16 bytes a piece, measured 29. The tables of characters take .1 s each, once a process.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textmill import pieces, sentences, treebank, whitespace, words
from textmill.bits import FNV_BASIS, FNV_PRIME, byte_mask, count_ones, hash_bytes, kernel, lowest_one
from textmill.characters import (
    BEGINS_ALNUM,
    LETTER,
    MARK,
    NUMBER,
    OTHER,
    PUNCTUATION,
    SPACE,
    SYMBOL,
    character_classes,
    decode,
    lowercase_table,
)
from textmill.errors import UnknownNameError
from textmill.pieces import Measures

__all__ = [
    "BEGINS_ALNUM",
    "FNV_BASIS",
    "FNV_PRIME",
    "LETTER",
    "MARK",
    "NUMBER",
    "OTHER",
    "PUNCTUATION",
    "SPACE",
    "SYMBOL",
    "Documents",
    "Segmentation",
    "Spans",
    "character_classes",
    "decode",
    "hash_bytes",
    "lowercase_table",
]

NEWLINE = np.uint8(0x0A)

Made = TypeVar("Made")


class _Source:
    """What several users derive the same things from."""

    def __init__(self) -> None:
        self._made: dict[Hashable, Any] = {}

    def once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """What ``make`` gives, made at the first call with this key."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]


class Documents(_Source):
    """A batch of rows with a column ``text``, any other columns, and what is derived from the text."""

    def __init__(self, table: pa.Table) -> None:
        super().__init__()
        self.table = table

    @classmethod
    def from_texts(cls, texts: Iterable[str]) -> Documents:
        """A batch of nothing but texts. Lone surrogates, which have no UTF-8, become question marks."""
        encoded = [text.encode("utf-8", "replace") for text in texts]
        return cls(pa.table({"text": pa.array(encoded, pa.large_binary()).cast(pa.large_string())}))

    def __len__(self) -> int:
        return len(self.table)

    @functools.cached_property
    def text(self) -> pa.LargeStringArray:
        """The texts in one chunk, not copied if they were; "" where the table has a null."""
        text = self.column("text")
        return text.fill_null("") if text.null_count else text.cast(pa.large_string())

    def column(self, name: str) -> pa.Array:
        """A column in one chunk; strings as large strings, which have no limit of 2 GiB a chunk."""
        column = self.table[name]
        if pa.types.is_string(column.type):
            column = column.cast(pa.large_string())
        return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()

    @functools.cached_property
    def segmentation(self) -> Segmentation:
        """The pieces of `text`."""
        return Segmentation(self.text)


@dataclass(frozen=True)
class Spans:
    """Pieces of one kind, in the order of the text.

    Piece k is ``data[start[k]:end[k]]``; document i has those from ``offsets[i]`` to ``offsets[i + 1]``. What is in the
    pieces is measured on first use, unless it is known already: who only counts them does not pay for it.
    """

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]  # [documents + 1]
    start: NDArray[np.int64]  # byte positions, [pieces]
    end: NDArray[np.int64]
    measures: Measures | None = None  # what is known

    @property
    def hash(self) -> NDArray[np.uint64]:
        """Of the bytes of each piece; `hash_bytes` gives the same."""
        return self._hashes_and_lengths[0]

    @property
    def n_chars(self) -> NDArray[np.int32]:
        """Code points of each piece."""
        return self._hashes_and_lengths[1]

    @functools.cached_property
    def _hashes_and_lengths(self) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
        if self.measures:
            return self.measures.hash, self.measures.n_chars
        return pieces.hashes_and_lengths(self.data, self.start, self.end)

    @functools.cached_property
    def classes(self) -> NDArray[np.uint8]:
        """The classes of the characters of each piece, or-ed: `classes & LETTER` says that it has a letter; and
        `BEGINS_ALNUM`."""
        return self.measures.classes if self.measures else pieces.classes_within(self.data, self.start, self.end)

    def __len__(self) -> int:
        return len(self.start)

    @property
    def bounds(self) -> words.Bounds:
        """Offsets, start and end."""
        return self.offsets, self.start, self.end

    @functools.cached_property
    def counts(self) -> NDArray[np.int64]:
        """Pieces of each document, int64 [documents]."""
        return self.offsets[1:] - self.offsets[:-1]

    @functools.cached_property
    def blank(self) -> NDArray[np.bool_]:
        """Which pieces are empty or nothing but whitespace, [pieces]."""
        return pieces.blank(self.data, self.start, self.end)

    def sums(self, values: NDArray) -> NDArray[np.int64]:
        """The sum of integers or booleans, given one a piece, over each document: int64 [documents]."""
        return pieces.sums(values.view(np.uint8) if values.dtype == bool else values, self.offsets)


KINDS = {"whitespace": "words", "unicode": "unicode_words", "treebank": "treebank_words"}


class Segmentation(_Source):
    """Words, lines and paragraphs of texts; each kind is cut on first use.

    ``data`` (uint8) is Arrow's buffer of UTF-8 bytes, not a copy; text i is ``data[offsets[i]:offsets[i + 1]]``
    (int64 [documents + 1]). The first offset is not 0 if the array is a slice.
    """

    def __init__(self, text: pa.LargeStringArray) -> None:
        super().__init__()
        self.data, self.offsets = _buffers(text)

    @functools.cached_property
    def words(self) -> Spans:
        """What ``str.split()`` gives."""
        return Spans(self.data, *whitespace.whitespace_words(self.data, self.offsets))

    @functools.cached_property
    def lines(self) -> Spans:
        """What ``str.split("\\n")`` gives; `Spans.blank` marks the blank ones."""
        offsets = np.zeros(len(self.offsets), np.int64)
        _count_lines(self.data, self.offsets, offsets)
        start, end = np.empty((2, offsets[-1]), dtype=np.int64)
        _cut_lines(self.data, self.offsets, offsets, start, end)
        return Spans(self.data, offsets, start, end)

    @functools.cached_property
    def paragraphs(self) -> Spans:
        """Maximal runs of lines that are not blank, without the last newline. None is blank."""
        lines = self.lines
        has_text = ~lines.blank
        # A document has at least one line, so each has a first and a last, and no two documents share one.
        after_gap, before_gap = ~np.roll(has_text, 1), ~np.roll(has_text, -1)
        after_gap[lines.offsets[:-1]] = True
        before_gap[lines.offsets[1:] - 1] = True
        begins, ends = has_text & after_gap, has_text & before_gap
        offsets = np.concatenate([[0], np.cumsum(lines.sums(begins))])
        return Spans(self.data, offsets, lines.start[begins], lines.end[ends])

    @functools.cached_property
    def unicode_words(self) -> Spans:
        """The pieces between Unicode word boundaries (UAX #29) that hold a letter or a number.

        ``can't``, ``3.14`` and ``snake_case`` are one word; other punctuation belongs to none. A Chinese character, a
        kana, and a letter of Thai, Lao, Khmer or Burmese with its marks is a word.
        """
        return Spans(self.data, *words.unicode_words(self.data, self.offsets))

    @functools.cached_property
    def treebank_words(self) -> Spans:
        """Tokens in the manner of the Penn Treebank, as NLTK's ``word_tokenize`` has them, of `sentences`.

        Punctuation is a token, and so are clitics (``do n't``, ``it 's``, ``can not``), runs of stops, ``--`` and the
        full stop at the end of a sentence. Quotes stay as they are written.
        """
        return Spans(self.data, *treebank.treebank_words(self.data, self.sentences.bounds))

    @functools.cached_property
    def sentences(self) -> Spans:
        """Sentences by the rules of `textmill.sentences`, without whitespace around them."""
        return Spans(self.data, *sentences.sentences(self.data, self.offsets))

    def cut(self, kind: str) -> Spans:
        """The words of a kind of `KINDS`: for scorers whose splitter is a parameter. Errors: `UnknownNameError`."""
        if kind not in KINDS:
            raise UnknownNameError("kind of words", kind, KINDS)
        return getattr(self, KINDS[kind])

    @functools.cached_property
    def n_chars(self) -> NDArray[np.int64]:
        """Code points of each text, int64 [documents]."""
        return self.lines.sums(self.lines.n_chars) + self.lines.counts - 1

    def count(self, kind: str) -> NDArray[np.int64]:
        """How many words of a kind each document has, int64 [documents]: for scorers that need no more of them, at a
        lower cost than `cut`. Errors: `UnknownNameError`."""
        if kind == "treebank" and "treebank_words" not in self.__dict__:
            return np.diff(treebank.count_treebank_words(self.data, self.sentences.bounds))
        return self.cut(kind).counts


@kernel
def _count_lines(data: NDArray[np.uint8], offsets: NDArray[np.int64], line_offsets: NDArray[np.int64]) -> None:
    """Writes the offsets of the lines."""
    for document in range(len(offsets) - 1):
        i, stop = offsets[document], offsets[document + 1]
        n_newlines = np.uint64(0)
        while i + 64 <= stop:
            n_newlines += count_ones(byte_mask(data, i, NEWLINE, 1))
            i += 64
        for k in range(i, stop):
            n_newlines += np.uint64(data[k] == NEWLINE)
        line_offsets[document + 1] = line_offsets[document] + np.int64(n_newlines) + 1


@kernel
def _cut_lines(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    line_offsets: NDArray[np.int64],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
) -> None:
    """Writes the bounds of the lines."""
    for document in range(len(offsets) - 1):
        line, stop = line_offsets[document], offsets[document + 1]
        start[line] = i = offsets[document]
        while i < stop:
            if i + 64 <= stop:
                newlines = byte_mask(data, i, NEWLINE, 1)
                step = 64
            else:
                newlines = np.uint64(data[i] == NEWLINE)
                step = 1
            while newlines:
                end[line] = i + np.int64(lowest_one(newlines))
                newlines &= newlines - np.uint64(1)
                line += 1
                start[line] = end[line - 1] + 1
            i += step
        end[line] = stop


def _buffers(text: pa.LargeStringArray) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """UTF-8 bytes, and offsets [documents + 1] into them, of Arrow's own memory."""
    if len(text) == 0:  # Arrow may leave out the first offset
        return _read_only(b"", np.uint8), _read_only(bytes(8), np.int64)
    _, offsets, data = text.buffers()
    in_bytes = _read_only(offsets, np.int64)[text.offset : text.offset + len(text) + 1]
    return _read_only(data or b"", np.uint8), in_bytes


def _read_only(buffer: Any, dtype: Any) -> NDArray[Any]:
    """A view that cannot be written through, as some of Arrow's buffers and Python's bytes are anyhow.

    To numba these are other types than arrays that can, for which it would compile every kernel once more.
    """
    view = np.frombuffer(buffer, dtype)
    view.flags.writeable = False
    return view
