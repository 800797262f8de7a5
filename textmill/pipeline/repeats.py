"""Documents, URLs, lines and paragraphs that occur more than once in people's own files, which are written anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textmill import storage
from textmill.dedup.exact import canonical_url
from textmill.dedup.repeats import Repeats
from textmill.pipeline.rows import Batch, TextFile, TextWriter, check_targets
from textmill.text import Segmentation, Spans

JOINED_BY = {"lines": "\n", "paragraphs": "\n\n"}
METHODS = ("exact", "url", *JOINED_BY)


@dataclass(frozen=True)
class Counts:
    """What was done. Pieces are documents, lines or paragraphs; those that were left out of the comparison, too."""

    n_documents: int
    n_documents_removed: int
    n_pieces: int
    n_pieces_removed: int


def deduplicate(
    files: Sequence[TextFile],
    out: Path,
    method: str,
    keep: str = "first",
    min_chars: int = 1,
    on_rows: Callable[[float], None] = lambda _: None,
) -> Counts:
    """Write each file under its name to the folder ``out``, without repeats over all files.

    ``exact`` compares texts (white space counts as one space), ``url`` the column url in its canonical form; of those
    that are equal the first stays, or none. ``lines`` and ``paragraphs`` take repeated ones out of texts; a document
    of which nothing is left is removed. Pieces of fewer than ``min_chars`` characters, blank lines, and documents
    without a URL stay. Files are complete or not there. Reads everything twice; memory is that of `Repeats`.
    """
    check_targets(files, str(out))
    out.mkdir(parents=True, exist_ok=True)
    total = np.zeros(4, np.int64)
    with storage.passing_scratch(str(out)) as scratch:
        repeats = Repeats(scratch, keep)
        for file in files:
            for batch in file.batches():
                pieces = _cut(batch, method, min_chars)
                repeats.add(pieces.data, pieces.start[pieces.compared], pieces.end[pieces.compared])
                on_rows(len(batch.text))
        for file in files:
            part = scratch / file.name
            with TextWriter(file, part) as writer:
                for batch in file.batches():
                    total += _write(writer, batch, _cut(batch, method, min_chars), repeats, method)
                    on_rows(len(batch.text))
            part.replace(out / file.name)
    return Counts(*total.tolist())


@dataclass(frozen=True)
class _Pieces:
    """Pieces of a batch: where they are, and which are compared. Document i has pieces ``offsets[i:i + 2]``."""

    data: NDArray[np.uint8]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    offsets: NDArray[np.int64]
    compared: NDArray[np.bool_]


def _cut(batch: Batch, method: str, min_chars: int) -> _Pieces:
    if method == "exact":
        return _wholes([" ".join(text.split()) for text in batch.text.to_pylist()], min_chars)
    if method == "url":
        return _wholes([canonical_url(url) for url in batch.values("url").to_pylist()], 1)
    cut = Segmentation(batch.text)
    spans: Spans = getattr(cut, method)
    return _Pieces(cut.data, spans.start, spans.end, spans.offsets, (spans.n_chars >= min_chars) & ~spans.blank)


def _wholes(texts: list[str], min_chars: int) -> _Pieces:
    """One piece a document."""
    encoded = [text.encode(errors="replace") for text in texts]
    end = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    compared = np.array([len(text) >= max(min_chars, 1) for text in texts], np.bool_)
    data = np.frombuffer(b"".join(encoded) or b"\0", np.uint8)
    return _Pieces(data, end[:-1], end[1:], np.arange(len(texts) + 1), compared)


def _write(writer: TextWriter, batch: Batch, pieces: _Pieces, repeats: Repeats, method: str) -> NDArray[np.int64]:
    """Writes a batch; gives the numbers of `Counts`."""
    removed = np.zeros(len(pieces.start), np.bool_)
    removed[pieces.compared] = repeats.removed(int(pieces.compared.sum()))
    n_removed = np.add.reduceat(np.append(removed, False).astype(np.int64), pieces.offsets[:-1])
    n_removed[pieces.offsets[1:] == pieces.offsets[:-1]] = 0
    text, kept = batch.text, n_removed == 0
    if method in JOINED_BY:
        text, kept = _without(batch.text, pieces, removed, n_removed, JOINED_BY[method])
    writer.write(batch, text, kept)
    return np.array([len(kept), (~kept).sum(), len(removed), removed.sum()])


def _without(
    text: pa.LargeStringArray, pieces: _Pieces, removed: NDArray[np.bool_], n_removed: NDArray[np.int64], joined_by: str
) -> tuple[pa.LargeStringArray, NDArray[np.bool_]]:
    """The texts without the removed pieces, and which have anything left, or had nothing to lose."""
    texts = text.to_pylist()
    kept = np.ones(len(texts), np.bool_)
    for row in np.flatnonzero(n_removed).tolist():
        places = range(pieces.offsets[row], pieces.offsets[row + 1])
        left = [pieces.data[pieces.start[i] : pieces.end[i]].tobytes().decode() for i in places if not removed[i]]
        texts[row] = joined_by.join(left).strip("\n")
        kept[row] = bool(texts[row].strip())
    return pa.array(texts, pa.large_string()), kept
