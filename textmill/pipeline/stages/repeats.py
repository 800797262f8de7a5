"""Stretches of words, and lines, that stand elsewhere, too: found over all documents, then cut out shard by shard."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from textmill import storage
from textmill.dedup.repeats import Repeats, check_keep
from textmill.dedup.substring import SPANS, Batch, Cut, SubstringSearch, TextBatch, check, stretches_of
from textmill.pipeline.rows import pieces
from textmill.pipeline.stage import NOT_IDENTITY, Result, Stage, Task, one_table
from textmill.pipeline.stages.contamination import with_text
from textmill.pipeline.stages.scores import DOCUMENTS, n_text_bytes
from textmill.text import Documents

BATCH_BYTES = 1 << 20  # of text whose words are held at a time
LINES = pa.schema([SPANS.field(name) for name in ("doc_id", "start_bytes", "end_bytes")])


@dataclass(frozen=True)
class Substrings(Stage):
    """Spans of at least ``n_words`` words that stand elsewhere; a table for each shard of the documents.

    With ``keep="first"`` the first of all copies is none; with ``keep="none"`` it is one as well. One task, within
    ``memory_mb`` and the largest row group; it puts some 2 bytes a word on the disk of its machine.
    """

    table = "substrings"
    packages = ("numba",)
    in_driver = True

    documents: Stage
    n_words: int = 50
    keep: str = "first"
    memory_mb: int = field(default=256, metadata=NOT_IDENTITY)

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.n_words, self.keep)

    def shards(self) -> list[str]:
        return ["all"]

    def run_shard(self, task: Task) -> Result:
        shards = [functools.partial(_batches, uri) for uri in task.all_files(self.documents)]
        folder = task.scratch / "runs"
        folder.mkdir()
        search = SubstringSearch(shards, folder, self.n_words, self.keep, self.memory_mb << 20)
        with ExitStack() as stack:
            paths = [task.scratch / f"{shard}.parquet" for shard in self.documents.shards()]
            writers = [stack.enter_context(storage.TableWriter(path, SPANS)) for path in paths]
            for number, table in search.spans():
                writers[number].write(table)
        files = {writer.path.name: writer.path for writer in writers}
        return Result(files, {writer.path.name: writer.rows for writer in writers}, asdict(search.counts))


def _batches(uri: str) -> Iterator[Batch]:
    for (table,) in storage.read_aligned({uri: ["text"]}):
        text, doc_ids = Documents(table).text, table["doc_id"].to_numpy()
        for first, n in pieces(text, BATCH_BYTES):
            yield TextBatch(doc_ids[first : first + n], text.slice(first, n))


@dataclass(frozen=True)
class RepeatedLines(Stage):
    """Lines that stand elsewhere, too, in whatever document; a table for each shard of the documents.

    With ``keep="none"`` every copy of such a line is one, with ``keep="first"`` all but the first. Blank lines and
    those of fewer than ``min_chars`` characters never are. One task; memory is that of `Repeats`, and of a row group.
    """

    table = "repeated_lines"
    packages = ("numba",)
    in_driver = True

    documents: Stage
    keep: str = "none"
    min_chars: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_keep(self.keep)

    def shards(self) -> list[str]:
        return ["all"]

    def run_shard(self, task: Task) -> Result:
        folder = task.scratch / "runs"
        folder.mkdir()
        repeats = Repeats(folder, self.keep)
        uris = dict(zip(self.documents.shards(), task.all_files(self.documents), strict=True))
        for n_read, uri in enumerate(uris.values()):
            task.inside(n_read, 2 * len(uris), "reading lines")
            for lines in self._lines(uri):
                repeats.add(lines.data, lines.start, lines.end)
        rows, n_removed = {}, 0
        for n_read, (shard, uri) in enumerate(uris.items(), len(uris)):
            task.inside(n_read, 2 * len(uris), "finding repeated ones")
            with storage.TableWriter(task.scratch / f"{shard}.parquet", LINES) as writer:
                for lines in self._lines(uri):
                    writer.write(lines.table(repeats.removed(len(lines.start))))
            rows[writer.path.name] = writer.rows
            n_removed += writer.rows
        counts = {"n_lines": repeats.n_pieces, "n_repeated": n_removed}
        return Result({name: task.scratch / name for name in rows}, rows, counts)

    def _lines(self, uri: str) -> Iterator[_Lines]:
        """The lines of a shard that are compared."""
        for (table,) in storage.read_aligned({uri: ["text"]}):
            cut = Documents(table).segmentation
            found = cut.lines
            compared = (found.n_chars >= self.min_chars) & ~found.blank
            row = np.repeat(np.arange(len(table)), np.diff(found.offsets))[compared]
            doc_ids, begin = table["doc_id"].to_numpy()[row], cut.offsets[:-1][row]
            yield _Lines(cut.data, found.start[compared], found.end[compared], doc_ids, begin)


class _Lines(NamedTuple):
    """Lines of some documents, ``data[start[i]:end[i]]``, with the documents' ids and where in ``data`` those begin."""

    data: NDArray[np.uint8]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    doc_id: NDArray[np.uint64]
    begin: NDArray[np.int64]

    def table(self, chosen: NDArray[np.bool_]) -> pa.Table:
        """The chosen ones as `LINES`."""
        columns = [self.doc_id, self.start - self.begin, self.end - self.begin]
        return pa.table([pa.array(column[chosen]) for column in columns], schema=LINES)


@dataclass(frozen=True)
class CutRepeats(Stage):
    """The documents without the stretches or lines that stand elsewhere, or with them masked.

    Counts: ``removed_repeated``, documents with too little left; ``n_cut`` others that lost something; ``cut_bytes``.
    """

    table = "without_repeats"
    packages = ("numba",)

    documents: Stage
    repeats: Substrings | RepeatedLines
    cut: Cut = Cut()  # noqa: RUF009 - frozen

    def shards(self) -> list[str]:
        return self.documents.shards()

    def run_shard(self, task: Task) -> Result:
        name = f"/{task.shard}.parquet"
        (uri,) = (uri for uri in task.files(self.repeats, "all") if uri.endswith(name))
        spans = storage.read_table(uri)
        counts: Counter[str] = Counter(rows_in=0, removed_repeated=0, n_cut=0, cut_bytes=0, text_bytes=0)
        with storage.TableWriter(task.table(), DOCUMENTS) as writer:
            for (table,) in storage.read_aligned({task.file(self.documents, task.shard): None}):
                text = Documents(table).text
                cuts = stretches_of(spans, table["doc_id"].to_numpy())
                edited, too_short = self.cut.apply(text, cuts)
                edited = pc.if_else(pc.equal(text, edited), text, pc.utf8_trim(edited, "\n"))
                counts["rows_in"] += len(table)
                counts["removed_repeated"] += int(np.count_nonzero(too_short))
                kept = pa.array(~too_short)
                counts["n_cut"] += int(pc.sum(pc.and_(kept, pc.not_equal(text, edited))).as_py() or 0)
                counts["cut_bytes"] += int((cuts.end - cuts.start).sum())
                rest = with_text(table, edited).filter(kept)
                counts["text_bytes"] += n_text_bytes(rest)
                writer.write(rest)
        return one_table(writer, dict(counts) | {"rows_out": writer.rows})
