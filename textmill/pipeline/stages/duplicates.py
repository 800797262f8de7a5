"""Who is whose copy: candidates, shingles to compare them by, verified edges, clusters.

All of it looks at all documents and knows nothing of the rules, so that changing a threshold leaves it alone. Who stays
of a cluster is decided afterwards, in `keepers`.

Nothing here grows with the crawl but the list of clusters: candidates are merged from sorted files, a band and a range
of hashes a task; shingles and edges go by groups of shards.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textmill import schema, storage
from textmill.dedup import clusters, lsh, records
from textmill.dedup.minhash import pair_similarities
from textmill.dedup.shingles import ShingleStore, ShingleWriter
from textmill.errors import UserError
from textmill.pipeline.stage import Result, Stage, Task, one_table
from textmill.pipeline.stages.scores import DOC_ID
from textmill.pipeline.stages.signatures import BANDS, EXACT, Signatures, SortedBands, open_bands

# Of signatures: some 20 million documents of a crawl, or 330 MB a band. As many as are merged without compaction:
# from files that are not compacted, a range reads nearly all row groups, whatever it needs of them.
SHARDS_A_RANGE = 512
MOST_GROUPS = 256
N_SIMILARITIES = 20  # classes in which candidates are counted by their similarity
MEMBERS = ".members"  # ending of files of the documents that are in some pair
CLUSTERS = pa.schema(
    [
        DOC_ID,
        pa.field("cluster", pa.uint64(), nullable=False),  # smallest doc_id of the cluster
        pa.field("similarity", pa.float32()),  # to the most similar other member; null if pairs were not verified
    ]
)


@dataclass(frozen=True)
class Candidates(Stage):
    """Pairs of documents that may be copies: a task for each band, and range of hashes, and for equal content.

    Pairs are (larger id, smaller id), in order. Without ``chain``, only pairs with the smallest id of each group.
    Memory: see `records.Sorter`, and a block of each file of bands.
    """

    version = 2
    table = "candidates"

    bands: Signatures | SortedBands
    chain: bool = True

    def shards(self) -> list[str]:
        return band_ranges(self.bands)

    def run_shard(self, task: Task) -> Result:
        section, low, high = hash_range(self.bands, task.shard)
        uris = [task.file(self.bands, shard, BANDS) for shard in self.bands.shards()]
        runs = [open_bands(self.bands, uri).read(section, low, high) for uri in uris]
        sorter = records.Sorter(task.scratch)
        members = records.Sorter(task.scratch / "members")
        for larger, smaller in lsh.candidate_pairs(records.merge(runs), self.chain and section != EXACT):
            sorter.add(larger, smaller)
            both = np.concatenate([larger, smaller])
            members.add(both, np.zeros_like(both))
        pairs, ids = task.table(), task.scratch / f"{task.shard}{MEMBERS}"
        with records.RecordWriter(pairs, ("doc_id_b", "doc_id_a")) as writer:
            writer.write("all", sorter.blocks())
        with records.RecordWriter(ids, ("doc_id", "zero")) as id_writer:
            id_writer.write("all", members.blocks())
        rows = {pairs.name: writer.rows, ids.name: id_writer.rows}
        return Result({pairs.name: pairs, ids.name: ids}, rows, {"n_pairs": writer.rows})


@dataclass(frozen=True)
class Shingles(Stage):
    """The shingle sets of the documents that are in some pair: what pairs are compared by.

    A task for each group of shards. Size: 8 bytes a word. Memory: the shingles of a row group of documents.
    """

    version = 2
    table = "shingles"
    packages = ("numba",)

    documents: Stage
    candidates: Candidates

    def shards(self) -> list[str]:
        return list(groups(self.documents))

    def run_shard(self, task: Task) -> Result:
        minhash = next(stage for stage in self.candidates.ancestry() if isinstance(stage, Signatures)).minhash
        path = task.scratch / f"{task.shard}.arrow"
        with ShingleWriter(path) as writer:
            for shard in groups(self.documents)[task.shard]:
                uri = task.file(self.documents, shard)
                wanted = self._members(task, *storage.id_range(uri))
                for table in storage.read_ids(uri, ["doc_id", "text"], wanted):
                    writer.write(table["doc_id"].to_numpy(), *minhash.shingle_sets(table["text"].combine_chunks()))
        return Result({path.name: path}, {path.name: writer.rows}, {"n_documents": writer.rows})

    def _members(self, task: Task, low: int, high: int) -> NDArray[np.uint64]:
        uris = [task.file(self.candidates, shard, MEMBERS) for shard in self.candidates.shards()]
        runs = [records.RecordFile(uri).read(low=low, high=high) for uri in uris]
        found = records.unique(records.merge_many(runs, task.scratch))
        return np.concatenate([np.empty(0, np.uint64), *(ids for ids, _ in found)])


@dataclass(frozen=True)
class Edges(Stage):
    """The candidates whose true similarity, the Jaccard index of their shingle sets, reaches ``threshold``.

    A task for each group of shards, that of the larger id. Counts: ``similarity_NN``, the candidates whose similarity
    is in that twentieth. Memory: see `ShingleStore.batches`.
    """

    version = 2
    table = "edges"
    packages = ("numba",)

    candidates: Candidates
    shingles: Shingles
    threshold: float = 0.7

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.threshold <= 1:
            raise UserError(f"similarity is {self.threshold}; it must be above 0 and at most 1")

    def shards(self) -> list[str]:
        return self.shingles.shards()

    def run_shard(self, task: Task) -> Result:
        by_similarity = np.zeros(N_SIMILARITIES, np.int64)
        store = ShingleStore([task.file(self.shingles, shard, ".arrow") for shard in self.shingles.shards()])
        with storage.TableWriter(task.table(), schema.EDGES) as writer:
            for larger, smaller in self._pairs(task):
                similarity = np.empty(len(larger), np.float32)
                for batch, sets, left, right in store.batches(larger, smaller):
                    similarity[batch] = pair_similarities(*sets, left, right)
                by_similarity += np.histogram(similarity, N_SIMILARITIES, (0, 1))[0]
                true = similarity >= np.float32(self.threshold)
                arrays = [pa.array(column[true]) for column in (smaller, larger, similarity)]
                writer.write(pa.table(arrays, schema=schema.EDGES))
        n_candidates = int(by_similarity.sum())
        counts = {"n_candidates": n_candidates, "n_edges": writer.rows, "n_rejected": n_candidates - writer.rows}
        return one_table(writer, counts | {f"similarity_{i:02d}": int(n) for i, n in enumerate(by_similarity)})

    def _pairs(self, task: Task) -> Iterator[records.Block]:
        """The pairs of all bands, each once, whose larger id is in this group."""
        documents = self.shingles.documents
        low, high = id_range([task.file(documents, shard) for shard in groups(documents)[task.shard]])
        uris = [task.file(self.candidates, shard) for shard in self.candidates.shards()]
        runs = [records.RecordFile(uri).read(low=low, high=high) for uri in uris]
        return records.unique(records.merge_many(runs, task.scratch))


@dataclass(frozen=True)
class Clusters(Stage):
    """Connected components over edges; a row for every document that has a copy, in order of ids.

    Of `Candidates` straight away, too: then pairs are not verified. Memory: see `clusters`.
    """

    version = 2
    table = "clusters"
    packages = ("numba",)

    edges: Edges | Candidates

    def shards(self) -> list[str]:
        return ["all"]

    def run_shard(self, task: Task) -> Result:
        ids, roots = clusters.connected_components((larger, smaller) for larger, smaller, _ in self._edges(task))
        best = self._similarities(task, ids)
        with storage.TableWriter(task.table(), CLUSTERS) as writer:
            for begin in range(0, len(ids), records.BLOCK_RECORDS):
                part = slice(begin, begin + records.BLOCK_RECORDS)
                arrays = [pa.array(ids[part]), pa.array(roots[part]), pa.array(best[part], from_pandas=True)]
                writer.write(pa.table(arrays, schema=CLUSTERS))
        return one_table(writer, {"n_members": len(ids), "n_clusters": int((ids == roots).sum())})

    def _edges(self, task: Task) -> Iterator[tuple[NDArray[np.uint64], NDArray[np.uint64], pa.Table]]:
        """The ends of the edges, and the table that they are from, part by part."""
        for uri in task.all_files(self.edges):
            with storage.open_parquet(uri) as file:
                for table in file.iter_batches(records.SORT_RECORDS // 8):
                    yield table["doc_id_b"].to_numpy(), table["doc_id_a"].to_numpy(), table

    def _similarities(self, task: Task, ids: NDArray[np.uint64]) -> NDArray[np.float32]:
        """To the most similar other member; NaN if that is not known."""
        if isinstance(self.edges, Candidates):
            return np.full(len(ids), np.nan, np.float32)
        best = np.zeros(len(ids), np.float32)
        for larger, smaller, table in self._edges(task):
            for side in (larger, smaller):
                np.maximum.at(best, np.searchsorted(ids, side), table["similarity"].to_numpy())
        return best


def band_ranges(bands: Signatures | SortedBands) -> list[str]:
    """Names of tasks, one for each section and range of hashes."""
    return [f"{section}-{i:04d}" for section in bands.sections for i in range(_n_ranges(bands))]


def hash_range(bands: Signatures | SortedBands, name: str) -> tuple[str, int, int]:
    """The section, and the smallest and the largest hash, that one of `band_ranges` stands for."""
    section, _, number = name.rpartition("-")
    low, after = ((int(number) + i << 64) // _n_ranges(bands) for i in (0, 1))
    return section, low, after - 1


def _n_ranges(bands: Signatures | SortedBands) -> int:
    signatures = next(stage for stage in bands.ancestry() if isinstance(stage, Signatures))
    return -(-len(signatures.shards()) // SHARDS_A_RANGE) or 1


def groups(documents: Stage) -> dict[str, list[str]]:
    """The shards of documents, by group; at most `MOST_GROUPS`."""
    shards = documents.shards()
    size = max(4, -(-len(shards) // MOST_GROUPS))
    return {f"group-{i // size:04d}": shards[i : i + size] for i in range(0, len(shards), size)}


def id_range(uris: list[str]) -> tuple[int, int]:
    """The smallest and the largest id in some tables; (1, 0) if they are empty."""
    ranges = [(low, high) for low, high in map(storage.id_range, uris) if low <= high]
    return min((low for low, _ in ranges), default=1), max((high for _, high in ranges), default=0)
