"""What documents are compared by: content hashes and band hashes, in sorted files that can be merged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from textmill import storage
from textmill.dedup import exact, lsh, records
from textmill.dedup.minhash import MinHash, sketches_of
from textmill.errors import InvariantError
from textmill.pipeline.stage import Result, Stage, Task
from textmill.pipeline.stages.scores import DOC_ID

SKETCH = "sketch"  # the column
EXACT = "exact"  # the section of equal texts, beside those of the bands
BANDS = ".bands"  # ending of files of sorted (hash, doc_id) records
BAND_COLUMNS = ("hash", "doc_id")


@dataclass(frozen=True)
class Signatures(Stage):
    """For each document its content hash; and a file of band hashes, each with its document.

    A section a band, and one that holds half of the content hash, sorted: 16 bytes a document each. Documents without
    words are in none of them. Memory: all of that for one shard, twice.
    """

    version = 2
    table = "signatures"
    packages = ("numba",)

    documents: Stage
    minhash: MinHash = MinHash()  # noqa: RUF009 - frozen

    @property
    def schema(self) -> pa.Schema:
        """Schema of its table."""
        hashes = [pa.field(name, pa.uint64(), nullable=False) for name in ("hash_hi", "hash_lo")]
        sizes = [pa.field(name, pa.int32(), nullable=False) for name in ("n_shingles", "n_bytes")]
        return pa.schema([DOC_ID, pa.field("date", pa.string(), nullable=False), *sizes, *hashes, self.sketch])

    @property
    def sketch(self) -> pa.Field:
        """One byte a permutation: what a later run compares its documents with, see `known`."""
        return pa.field(SKETCH, pa.binary(self.minhash.permutations), nullable=False)

    @property
    def sections(self) -> list[str]:
        return [*(f"band_{i:02d}" for i in range(self.minhash.bands)), EXACT]

    @property
    def meta(self) -> Mapping[str, Any]:
        """What makes hashes comparable: those of other parameters mean nothing to each other."""
        return {"minhash": asdict(self.minhash)}

    def shards(self) -> list[str]:
        return self.documents.shards()

    def run_shard(self, task: Task) -> Result:
        source = {task.file(self.documents, task.shard): ["date", "text"]}
        found: list[tuple[NDArray[np.uint64], NDArray[np.uint64]]] = []  # ids, and hashes [n, sections]
        with storage.TableWriter(task.table(), self.schema) as writer:
            for (table,) in storage.read_aligned(source):
                text = table["text"].combine_chunks()
                high, low = exact.content_hashes(text)
                signed = self.minhash.sign(text)
                columns = [signed.n_shingles, pc.binary_length(text).cast(pa.int32()), high, low]
                arrays = [pa.array(column) for column in columns]
                ids, dates = table["doc_id"].combine_chunks(), table["date"].combine_chunks()
                sketches = binary_column(sketches_of(signed.signatures))
                writer.write(pa.table([ids, dates, *arrays, sketches], schema=self.schema))
                worded = signed.n_shingles > 0
                bands = self.minhash.bands_of(signed.signatures)
                found.append((ids.to_numpy()[worded], np.column_stack([bands, high])[worded]))
        sorted_ = task.scratch / f"{task.shard}{BANDS}"
        n_records = write_bands(sorted_, self, found)
        files = {writer.path.name: writer.path, sorted_.name: sorted_}
        n_words = sum(len(ids) for ids, _ in found)
        counts = {"rows_in": writer.rows, "rows_out": writer.rows, "n_without_words": writer.rows - n_words}
        return Result(files, {writer.path.name: writer.rows, sorted_.name: n_records}, counts)


@dataclass(frozen=True)
class SortedBands(Stage):
    """Merges the band files of many shards into few, so that whoever reads them all opens few. Says the same."""

    table = "sorted_bands"

    parts: Signatures | SortedBands

    @property
    def sections(self) -> list[str]:
        return self.parts.sections

    @property
    def meta(self) -> Mapping[str, Any]:
        return self.parts.meta

    @property
    def sketch(self) -> pa.Field:
        return self.parts.sketch

    def shards(self) -> list[str]:
        n = -(-len(self.parts.shards()) // records.FAN_IN)
        return [f"run-{i:04d}" for i in range(n)]

    def run_shard(self, task: Task) -> Result:
        first = records.FAN_IN * self.shards().index(task.shard)
        shards = self.parts.shards()[first : first + records.FAN_IN]
        files = [open_bands(self.parts, task.file(self.parts, shard, BANDS)) for shard in shards]
        path = task.scratch / f"{task.shard}{BANDS}"
        with records.RecordWriter(path, BAND_COLUMNS, self.sections, self.meta) as writer:
            for section in self.sections:
                writer.write(section, records.merge(file.read(section) for file in files))
        return Result({path.name: path}, {path.name: writer.rows}, {"n_records": writer.rows})


def sorted_bands(signatures: Signatures) -> Signatures | SortedBands:
    """The bands in at most `records.FAN_IN` files."""
    bands: Signatures | SortedBands = signatures
    while len(bands.shards()) > records.FAN_IN:
        bands = SortedBands(bands, name=f"{bands.name}_sorted")
    return bands


def open_bands(bands: Signatures | SortedBands, uri: str) -> records.RecordFile:
    """A band file of this stage. Errors: `InputError` when damaged, `InvariantError` when of other parameters."""
    file = records.RecordFile(uri)
    if file.meta != bands.meta:
        raise InvariantError(f"{uri}: made with {file.meta}, not {bands.meta}")
    return file


def binary_column(rows: NDArray[np.uint8]) -> pa.Array:
    """Bytes [n, size] as a column of fixed-size binary."""
    kind = pa.binary(rows.shape[1])
    return pa.FixedSizeBinaryArray.from_buffers(kind, len(rows), [None, pa.py_buffer(np.ascontiguousarray(rows))])


def write_bands(path: Any, stage: Signatures, found: list[tuple[NDArray[np.uint64], NDArray[np.uint64]]]) -> int:
    """Writes all sections, sorted; gives the number of records."""
    ids = np.concatenate([np.empty(0, np.uint64), *(ids for ids, _ in found)])

    def sections() -> Iterator[tuple[str, records.Block]]:
        for i, name in enumerate(stage.sections):
            hashes = np.concatenate([np.empty(0, np.uint64), *(hashes[:, i] for _, hashes in found)])
            yield name, records.sort(np.maximum(hashes, np.uint64(lsh.NO_BAND + 1)), ids)

    with records.RecordWriter(path, BAND_COLUMNS, stage.sections, stage.meta) as writer:
        for name, block in sections():
            writer.write(name, [block])
    return writer.rows
