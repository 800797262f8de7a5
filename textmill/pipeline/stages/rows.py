"""Documents of people's own files, Parquet or JSON lines: in, and out again without copies, or with edited texts."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from textmill import schema, storage
from textmill.errors import InputError
from textmill.pipeline.rows import Batch, TextFile, TextWriter, find_text_files
from textmill.pipeline.stage import NOT_IDENTITY, Result, Stage, Task, one_table
from textmill.pipeline.stages.keepers import COPIES, KNOWN, Keepers
from textmill.pipeline.stages.scores import DOCUMENTS

URL, DATE = "url", "date"  # columns that are taken over where a file has them


@dataclass(frozen=True)
class RowFile:
    """A file as it was when the run was planned."""

    name: str
    uri: str = field(metadata=NOT_IDENTITY)
    n_bytes: int = 0
    modified_ns: int = 0  # 0 where that is not known

    @classmethod
    def of(cls, file: TextFile) -> RowFile:
        modified = os.stat(storage.local_path(file.uri)).st_mtime_ns if storage.is_local(file.uri) else 0  # noqa: PTH116
        return cls(file.name, storage.absolute(file.uri), storage.size(file.uri), modified)


def freeze(addresses: Sequence[str], column: str) -> tuple[RowFile, ...]:
    """The files that are meant, as they are now. Errors: as of `find_text_files`."""
    return tuple(RowFile.of(file) for file in find_text_files(addresses, column))


@dataclass(frozen=True)
class Rows(Stage):
    """A document for each row; its id is the number of its file and of its row. A task for each file."""

    table = "documents"

    files: tuple[RowFile, ...]
    column: str = "text"

    def shards(self) -> list[str]:
        return [f"{i:05d}" for i in range(len(self.files))]

    def open(self, shard: str) -> TextFile:
        """The file of a shard. Errors: `InputError` if it is no longer the one that the run was planned with."""
        number = int(shard)
        file = self.files[number]
        opened = TextFile(file.uri, number, self.column)
        if not storage.exists(file.uri) or RowFile.of(opened) != file:
            raise InputError(f"{file.uri}: has changed since the run began; start another one")
        return opened

    def run_shard(self, task: Task) -> Result:
        with storage.TableWriter(task.table(), DOCUMENTS) as writer:
            for ids, batch in numbered(self.open(task.shard)):
                writer.write(self._documents(ids, batch))
        return one_table(writer, {"rows_in": writer.rows, "rows_out": writer.rows})

    def _documents(self, ids: pa.Array, batch: Batch) -> pa.Table:
        """The batch with the columns that documents have."""
        n = len(ids)
        rows = ids.to_numpy() & np.uint64(0xFFFFFFFF)
        name = self.files[int(ids[0].as_py()) >> 32].name
        urls = batch.values(URL)
        given = {
            "doc_id": ids,
            "url": urls,
            "host": pa.array([storage.host_of(url) for url in urls.to_pylist()], pa.string()),
            "date": batch.values(DATE),
            "warc_file": pa.array([name] * n, pa.string()),
            "warc_offset": pa.array(rows.astype(np.int64)),
            "text": batch.text,
        }
        return pa.table([given.get(f.name, _nothing(f.type, n)) for f in DOCUMENTS], schema=DOCUMENTS)


@dataclass(frozen=True)
class KeptRows(Stage):
    """The files again, each under its name, without the rows that are copies."""

    table = "kept_rows"

    documents: Rows
    keepers: Keepers

    def shards(self) -> list[str]:
        return self.documents.shards()

    def run_shard(self, task: Task) -> Result:
        low = int(task.shard) << 32
        uri = task.file(self.keepers, "all")
        copies = storage.read_id_range(uri, ["doc_id", "removed"], low, low | 0xFFFFFFFF)
        removed = dict(zip(copies["doc_id"].to_pylist(), copies["removed"].to_pylist(), strict=True))
        file = self.documents.open(task.shard)
        path = task.scratch / file.name
        kinds = [kind for kind in COPIES if kind != KNOWN or self.keepers.known]
        counts = Counter(rows_in=0, rows_out=0, **{f"removed_{kind}": 0 for kind in kinds})
        with TextWriter(file, path) as writer:
            for ids, batch in numbered(file):
                reasons = [removed.get(i) for i in ids.to_pylist()]
                kept = np.array([reason is None for reason in reasons], np.bool_)
                writer.write(batch, batch.text, kept)
                counts.update(rows_in=len(kept), rows_out=int(kept.sum()))
                counts.update(f"removed_{reason}" for reason in reasons if reason is not None)
        return Result({path.name: path}, {path.name: counts["rows_out"]}, counts)


@dataclass(frozen=True)
class EditedRows(Stage):
    """The files again, each under its name, with the texts of ``edited`` and without the rows that it dropped."""

    table = "edited_rows"

    documents: Rows
    edited: Stage

    def shards(self) -> list[str]:
        return self.documents.shards()

    def run_shard(self, task: Task) -> Result:
        file = self.documents.open(task.shard)
        path = task.scratch / file.name
        edited = _Texts(task.file(self.edited, task.shard))
        counts = Counter(rows_in=0, rows_out=0, removed_by_edits=0)
        with TextWriter(file, path) as writer:
            for ids, batch in numbered(file):
                text, kept = edited.of(ids)
                writer.write(batch, text, kept)
                counts.update(rows_in=len(kept), rows_out=int(kept.sum()), removed_by_edits=int((~kept).sum()))
        return Result({path.name: path}, {path.name: counts["rows_out"]}, counts)


class _Texts:
    """The texts of a table, asked for by ascending ids."""

    def __init__(self, uri: str) -> None:
        self._groups = storage.read_aligned({uri: ["text"]})
        self._ahead = DOCUMENTS.empty_table().select(["doc_id", "text"])

    def of(self, ids: pa.Array) -> tuple[pa.LargeStringArray, NDArray[np.bool_]]:
        """The text of each id, "" where there is none, and which have one."""
        parts = [self._ahead]
        while not len(parts[-1]) or parts[-1]["doc_id"][-1].as_py() < ids[-1].as_py():
            group = next(self._groups, None)
            if group is None:
                break
            parts.append(group[0].select(["doc_id", "text"]))
        self._ahead = pa.concat_tables(parts)
        place = pc.index_in(ids, self._ahead["doc_id"].combine_chunks())
        text = self._ahead["text"].combine_chunks().take(place)
        self._ahead = self._ahead.filter(pc.greater(self._ahead["doc_id"], ids[-1]))
        return text.fill_null(""), pc.is_valid(place).to_numpy(zero_copy_only=False)


def numbered(file: TextFile) -> Iterator[tuple[pa.Array, Batch]]:
    """Batches with ids by file and row, whatever ids the file has."""
    first = schema.doc_id(file.number, 0)
    for batch in file.batches():
        yield pa.array(np.arange(first, first + len(batch.text), dtype=np.uint64)), batch
        first += len(batch.text)


def _nothing(kind: pa.DataType, n: int) -> pa.Array:
    """The value that says nothing, n times."""
    value = "" if pa.types.is_string(kind) or pa.types.is_large_string(kind) else False if kind == pa.bool_() else 0
    return pa.array([value] * n, kind)


def published(workspace_path: str, stage: KeptRows | EditedRows) -> list[Path]:
    """The local paths of the files that a finished stage published."""
    folder = storage.join(workspace_path, stage.folder)
    return [Path(storage.join(folder, name)) for m in storage.manifests(folder).values() for name in m.outputs]
