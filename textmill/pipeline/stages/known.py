"""Documents that an earlier run kept already: found by the hashes that the run left, without its text.

    Known         what each earlier run kept: band hashes and sketches of those documents
    KnownPairs    pairs of a document here and one there that share a band
    KnownCopies   the documents whose best match is alike enough, with the run and the document matched

Similarities are estimated by sketches, one byte a permutation: the standard error is .04 for 112 of them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from textmill import storage
from textmill.dedup import records
from textmill.dedup.mapped import MappedRows, by_batch
from textmill.dedup.minhash import sketch_similarities
from textmill.errors import InputError
from textmill.pipeline.stage import NOT_IDENTITY, Result, Stage, Task, one_table
from textmill.pipeline.stages.duplicates import band_ranges, groups, hash_range, id_range
from textmill.pipeline.stages.scores import DOC_ID
from textmill.pipeline.stages.signatures import BAND_COLUMNS, BANDS, SKETCH, Signatures, SortedBands, open_bands

SKETCHES = ".sketches"  # ending of files of (doc_id, sketch)
MOST_MATCHES = 8  # documents of an earlier run that a document is compared with, a band
KNOWN_COPIES = pa.schema(
    [
        DOC_ID,
        pa.field("run", pa.string(), nullable=False),
        pa.field("known_doc_id", pa.uint64(), nullable=False),  # in that run
        pa.field("similarity", pa.float32(), nullable=False),  # estimated by sketches
    ]
)


@dataclass(frozen=True)
class EarlierRun:
    """A finished run to compare with, and the URIs of its tables that are read. ``digest`` tells their content."""

    name: str
    digest: str
    signatures: tuple[str, ...] = field(metadata=NOT_IDENTITY)  # band files lie beside them
    kept: tuple[str, ...] = field(metadata=NOT_IDENTITY)  # the documents that it kept
    removed: tuple[str, ...] = field(default=(), metadata=NOT_IDENTITY)  # or those that it did not, of the former

    @classmethod
    def of(cls, name: str, signatures: list[str], kept: list[str], removed: Sequence[str] = ()) -> EarlierRun:
        """``removed``: tables of `Keepers`, where ``kept`` holds more than what was kept. Errors: `InputError` if one
        of them is not there."""
        digest = hashlib.blake2b(digest_size=8)
        for uri in (*signatures, *kept, *removed):
            manifest = storage.load_manifest(uri.removesuffix(".parquet") + storage.MANIFEST_ENDING)
            digest.update(repr(sorted((n, o.sha256) for n, o in manifest.outputs.items())).encode())
        return cls(name, digest.hexdigest(), tuple(signatures), tuple(kept), tuple(removed))


@dataclass(frozen=True)
class Known(Stage):
    """What earlier runs kept: their band hashes, in order, and their sketches by id. A task for each run.

    Memory: 8 bytes for each document kept, and a block of each file of bands.
    """

    table = "known"

    bands: Signatures | SortedBands  # of the new run: those of the earlier ones must have the same parameters
    runs: tuple[EarlierRun, ...]

    @property
    def schema(self) -> pa.Schema:
        """Schema of its files of sketches."""
        return pa.schema([DOC_ID, self.bands.sketch])

    def shards(self) -> list[str]:
        return [f"run-{i:03d}" for i in range(len(self.runs))]

    def run_shard(self, task: Task) -> Result:
        run = self.runs[self.shards().index(task.shard)]
        kept = _kept_ids(run)
        bands = task.scratch / f"{task.shard}{BANDS}"
        files = [open_bands(self.bands, uri.removesuffix(".parquet") + BANDS) for uri in run.signatures]
        with records.RecordWriter(bands, BAND_COLUMNS, self.bands.sections, self.bands.meta) as out:
            for section in self.bands.sections:
                merged = records.merge_many([file.read(section) for file in files], task.scratch)
                out.write(section, _only(merged, kept))
        sketches = task.scratch / f"{task.shard}{SKETCHES}"
        n = 0
        with pa.ipc.new_file(os.fspath(sketches), self.schema) as writer:
            for uri in run.signatures:
                for (table,) in storage.read_aligned({uri: [SKETCH]}):
                    rows = table.filter(pa.array(storage.is_among(table["doc_id"].to_numpy(), kept)))
                    writer.write_table(rows.combine_chunks())
                    n += len(rows)
        made = {bands.name: bands, sketches.name: sketches}
        return Result(made, {bands.name: out.rows, sketches.name: n}, {"n_documents": n})


@dataclass(frozen=True)
class KnownPairs(Stage):
    """Pairs (document here, document of an earlier run) that share a band. A task for each band and range of hashes.

    A file holds a section for each run. Of documents of one run that share a hash, the first `MOST_MATCHES` count: a
    run that removed its own copies has few. Memory: see `records.Sorter`.
    """

    table = "known_pairs"

    known: Known

    def shards(self) -> list[str]:
        return band_ranges(self.known.bands)

    def run_shard(self, task: Task) -> Result:
        section, low, high = hash_range(self.known.bands, task.shard)
        bands = self.known.bands
        own = [open_bands(bands, task.file(bands, shard, BANDS)) for shard in bands.shards()]
        with records.RecordWriter(task.table(), ("doc_id", "known_doc_id"), self.known.shards()) as writer:
            for run in self.known.shards():
                there = records.RecordFile(task.file(self.known, run, BANDS))
                sorter = records.Sorter(task.scratch / run)
                here = records.merge(file.read(section, low, high) for file in own)
                for ids, known_ids in _matches(here, there.read(section, low, high)):
                    sorter.add(ids, known_ids)
                writer.write(run, sorter.blocks())
        return one_table(writer, {"n_pairs": writer.rows})


@dataclass(frozen=True)
class KnownCopies(Stage):
    """For each document that is as similar as ``threshold`` to one that an earlier run kept: the best match.

    A task for each group of shards. Memory: the sketches of a block of pairs, and the matches of the group.
    """

    table = "known_copies"
    packages = ("numba",)

    signatures: Signatures
    pairs: KnownPairs
    threshold: float = 0.7

    def shards(self) -> list[str]:
        return list(groups(self.signatures))

    def run_shard(self, task: Task) -> Result:
        uris = [task.file(self.signatures, shard) for shard in groups(self.signatures)[task.shard]]
        low, high = id_range(uris)
        best = _Best(threshold=self.threshold)
        n_pairs = 0
        for number, run in enumerate(self.pairs.known.shards()):
            there = _Sketches(task.file(self.pairs.known, run, SKETCHES), self.pairs.known.schema)
            files = [records.RecordFile(uri) for uri in task.all_files(self.pairs)]
            runs = [file.read(run, low, high) for file in files]
            for ids, known in records.unique(records.merge_many(runs, task.scratch)):
                n_pairs += len(ids)
                best.add(number, ids, known, sketch_similarities(_own_sketches(uris, ids), there.of(known)))
        names = np.array([run.name for run in self.pairs.known.runs])
        with storage.TableWriter(task.table(), KNOWN_COPIES) as writer:
            writer.write(best.table(names))
        return one_table(writer, {"n_pairs": n_pairs, "n_known": writer.rows})


class _Best:
    """The best match of each document so far; the earlier run, and the smaller id there, between equals."""

    def __init__(self, threshold: float) -> None:
        self._threshold = np.float32(threshold)
        self._found: list[tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.uint64], NDArray[np.float32]]] = []

    def add(
        self, run: int, ids: NDArray[np.uint64], known: NDArray[np.uint64], similarity: NDArray[np.float32]
    ) -> None:
        true = similarity >= self._threshold
        self._found.append((ids[true], np.full(int(true.sum()), run), known[true], similarity[true]))

    def table(self, names: NDArray[np.str_]) -> pa.Table:
        if not self._found:
            return KNOWN_COPIES.empty_table()
        ids, run, known, similarity = (np.concatenate(column) for column in zip(*self._found, strict=True))
        order = np.lexsort((known, run, -similarity, ids))
        is_first = np.ones(len(order), np.bool_)
        is_first[1:] = ids[order[1:]] != ids[order[:-1]]
        first = order[is_first]
        arrays = [pa.array(ids[first]), pa.array(names[run[first]], pa.string()), pa.array(known[first])]
        return pa.table([*arrays, pa.array(similarity[first])], schema=KNOWN_COPIES)


class _Sketches:
    """Sketches of a file, by id."""

    def __init__(self, uri: str, schema: pa.Schema) -> None:
        self._rows = MappedRows([uri], schema)
        self._sketches = [_bytes_of(batch.column(1)) for batch in self._rows.batches]

    def of(self, ids: NDArray[np.uint64]) -> NDArray[np.uint8]:
        """uint8 [ids, permutations]. Errors: `InvariantError` for an id that is not there."""
        size = self._sketches[0].shape[1] if self._sketches else 0
        found = np.empty((len(ids), size), np.uint8)
        for number, of_batch, row in by_batch(self._rows.find(ids)):
            found[of_batch] = self._sketches[number][row]
        return found


def _own_sketches(uris: list[str], ids: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """The sketches of documents in some tables of signatures, whose ids ascend; so do ``ids``, with repeats."""
    tables = [storage.read_id_range(uri, ["doc_id", SKETCH], int(ids[0]), int(ids[-1])) for uri in uris]
    table = pa.concat_tables(tables)
    return _bytes_of(table[SKETCH].combine_chunks())[np.searchsorted(table["doc_id"].to_numpy(), ids)]


def _bytes_of(column: pa.Array) -> NDArray[np.uint8]:
    """Fixed-size binary as uint8 [rows, size]."""
    size = column.type.byte_width
    data = np.frombuffer(column.buffers()[1], np.uint8)
    return data[column.offset * size : (column.offset + len(column)) * size].reshape(-1, size)


def _kept_ids(run: EarlierRun) -> NDArray[np.uint64]:
    """Ascending ids of the documents that a run kept."""
    kept = _ids(storage.read_table(uri, ["doc_id"]) for uri in run.kept)
    if (kept[1:] <= kept[:-1]).any():
        raise InputError(f"{run.name}: documents are not in order; run that again")
    copies = (storage.read_table(uri, ["doc_id", "removed"]) for uri in run.removed)
    removed = _ids(table.filter(pc.is_valid(table["removed"])) for table in copies)
    return kept[~storage.is_among(kept, removed)]


def _ids(tables: Iterable[pa.Table]) -> NDArray[np.uint64]:
    return np.concatenate([np.empty(0, np.uint64), *(table["doc_id"].to_numpy() for table in tables)])


def _only(blocks: Iterator[records.Block], kept: NDArray[np.uint64]) -> Iterator[records.Block]:
    for hashes, ids in blocks:
        stays = storage.is_among(ids, kept)
        yield hashes[stays], ids[stays]


def _matches(here: Iterator[records.Block], there: Iterator[records.Block]) -> Iterator[records.Block]:
    """Pairs of documents, of sorted (hash, id) records here and of an earlier run, that have the same hash."""
    known_hashes = known_ids = np.empty(0, np.uint64)
    for hashes, ids in here:
        begin = np.searchsorted(known_hashes, hashes[0])  # what lies before is behind this block, and all that follow
        parts = [(known_hashes[begin:], known_ids[begin:])]
        while len(parts[-1][0]) == 0 or parts[-1][0][-1] <= hashes[-1]:
            block = next(there, None)
            if block is None:
                break
            parts.append(block)
        known_hashes, known_ids = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        first, last = np.searchsorted(known_hashes, hashes), np.searchsorted(known_hashes, hashes, "right")
        n = np.minimum(last - first, MOST_MATCHES)
        within = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
        yield np.repeat(ids, n), known_ids[np.repeat(first, n) + within]
