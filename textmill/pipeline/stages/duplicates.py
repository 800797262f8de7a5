"""Who is whose copy, and who stays: signatures, candidates, verified edges, clusters, keepers.

Everything up to Clusters looks at all documents and knows nothing of the rules, so that changing a threshold leaves it
alone. The survivor of a cluster is then chosen among the documents that pass the rules, never before: else a whole
cluster would vanish with a representative that fails one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from textmill import schema, storage
from textmill.dedup import clusters, exact, lsh
from textmill.dedup.minhash import MinHash, pair_similarities
from textmill.errors import UnknownNameError, UserError
from textmill.pipeline.stage import Result, Stage, Task, one_table
from textmill.pipeline.stages.scores import DOC_ID, Decide

PAIRS = pa.schema([schema.EDGES.field("doc_id_a"), schema.EDGES.field("doc_id_b")])
CLUSTERS = pa.schema(
    [
        DOC_ID,
        pa.field("cluster", pa.uint64(), nullable=False),  # smallest doc_id of the cluster
        pa.field("similarity", pa.float32(), nullable=False),  # to the most similar other member
    ]
)
KEEPERS = pa.schema(
    [
        DOC_ID,
        pa.field("cluster", pa.uint64(), nullable=False),
        pa.field("keeper", pa.uint64()),  # null where no member passes the rules
        pa.field("removed", pa.string()),  # exact_duplicate, near_duplicate, or null: not removed as a duplicate
    ]
)


@dataclass(frozen=True)
class Signatures(Stage):
    """For each document its 128-bit content hash and one 64-bit hash a band."""

    table = "signatures"
    packages = ("numba",)

    documents: Stage
    minhash: MinHash = MinHash()  # noqa: RUF009 - frozen

    @property
    def schema(self) -> pa.Schema:
        """Schema of its table."""
        bands = [pa.field(name, pa.uint64(), nullable=False) for name in ("hash_hi", "hash_lo", *self.bands)]
        sizes = [pa.field(name, pa.int32(), nullable=False) for name in ("n_shingles", "n_bytes")]
        return pa.schema([DOC_ID, pa.field("date", pa.string(), nullable=False), *sizes, *bands])

    @property
    def bands(self) -> list[str]:
        return [f"band_{i:02d}" for i in range(self.minhash.bands)]

    def shards(self) -> list[str]:
        return self.documents.shards()

    def run_shard(self, task: Task) -> Result:
        source = {task.file(self.documents, task.shard): ["date", "text"]}
        with storage.TableWriter(task.table(), self.schema) as writer:
            for (table,) in storage.read_aligned(source):
                text = table["text"].combine_chunks()
                high, low = exact.content_hashes(text)
                bands, n_shingles = self.minhash.band_hashes(text)
                columns = [n_shingles, pc.binary_length(text).cast(pa.int32()), high, low, *bands.T]
                arrays = [pa.array(column) for column in columns]
                ids, dates = table["doc_id"].combine_chunks(), table["date"].combine_chunks()
                writer.write(pa.table([ids, dates, *arrays], schema=self.schema))
        return one_table(writer, {"rows_in": writer.rows, "rows_out": writer.rows})


@dataclass(frozen=True)
class Candidates(Stage):
    """Pairs of documents that may be copies: one task for equal content, and one a band."""

    table = "candidates"

    signatures: Signatures

    def shards(self) -> list[str]:
        return ["exact", *self.signatures.bands]

    def run_shard(self, task: Task) -> Result:
        if task.shard == "exact":
            ids, n_shingles, high, low = self._columns(task, "n_shingles", "hash_hi", "hash_lo")
            worded = n_shingles > 0  # documents without words are all equal, and say nothing about each other
            pairs = exact.equal_pairs(high[worded], low[worded], ids[worded])
        else:
            ids, hashes = self._columns(task, task.shard)
            pairs = lsh.candidate_pairs(hashes, ids)
        with storage.TableWriter(task.table(), PAIRS) as writer:
            writer.write(pa.table([pa.array(pairs[:, 0]), pa.array(pairs[:, 1])], schema=PAIRS))
        return one_table(writer, {"n_pairs": len(pairs)})

    def _columns(self, task: Task, *names: str) -> list[np.ndarray]:
        """The ids of all documents, and these columns of their signatures."""
        tables = [storage.read_table(uri, ["doc_id", *names]) for uri in task.all_files(self.signatures)]
        return [column.to_numpy() for column in pa.concat_tables(tables).columns]


@dataclass(frozen=True)
class Edges(Stage):
    """The candidates whose true similarity, the Jaccard index of their shingle sets, reaches ``threshold``.

    Memory: the shingles of all documents in a candidate pair, 8 bytes a word.
    """

    table = "edges"
    packages = ("numba",)

    documents: Stage
    candidates: Candidates
    threshold: float = 0.7

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.threshold <= 1:
            raise UserError(f"similarity is {self.threshold}; it must be above 0 and at most 1")

    def shards(self) -> list[str]:
        return ["all"]

    def run_shard(self, task: Task) -> Result:
        tables = [storage.read_table(uri) for uri in task.all_files(self.candidates)]
        every = pa.concat_tables(tables)
        pairs = lsh.unique_pairs(np.stack([every["doc_id_a"].to_numpy(), every["doc_id_b"].to_numpy()], axis=1))
        similarity = self._similarities(task, pairs)
        true = similarity >= np.float32(self.threshold)
        arrays = [pa.array(column) for column in (pairs[true, 0], pairs[true, 1], similarity[true])]
        with storage.TableWriter(task.table(), schema.EDGES) as writer:
            writer.write(pa.table(arrays, schema=schema.EDGES))
        counts = {"n_candidates": len(pairs), "n_edges": int(true.sum()), "n_rejected": int((~true).sum())}
        return one_table(writer, counts)

    def _similarities(self, task: Task, pairs: np.ndarray) -> np.ndarray:
        wanted = np.unique(pairs)
        texts = [_texts_of(uri, wanted) for uri in task.all_files(self.documents)]
        table = pa.concat_tables(texts)  # shards are in order of ids, so the rows are too
        hashes, offsets = self.candidates.signatures.minhash.shingle_sets(table["text"].combine_chunks())
        left, right = (np.searchsorted(wanted, pairs[:, side]) for side in (0, 1))
        return pair_similarities(hashes, offsets, left, right)


def _texts_of(uri: str, wanted: np.ndarray) -> pa.Table:
    """The rows of one documents file whose id is in the sorted array ``wanted``."""
    with storage.open_parquet(uri) as file:
        groups = [file.schema_arrow.empty_table().select(["doc_id", "text"])]
        for group in range(file.num_row_groups):
            ids = file.read_row_group(group, ["doc_id"])["doc_id"].to_numpy()
            chosen = np.isin(ids, wanted)
            if chosen.any():
                groups.append(file.read_row_group(group, ["doc_id", "text"]).filter(pa.array(chosen)))
        return pa.concat_tables(groups)


@dataclass(frozen=True)
class Clusters(Stage):
    """Connected components over verified edges; a row for every document that has a copy."""

    table = "clusters"
    packages = ("numba",)

    edges: Edges

    def shards(self) -> list[str]:
        return ["all"]

    def run_shard(self, task: Task) -> Result:
        edges = storage.read_table(task.file(self.edges, "all"))
        pairs = np.stack([edges["doc_id_a"].to_numpy(), edges["doc_id_b"].to_numpy()], axis=1)
        ids, roots = clusters.connected_components(pairs)
        best = np.zeros(len(ids), np.float32)
        for side in (0, 1):
            np.maximum.at(best, np.searchsorted(ids, pairs[:, side]), edges["similarity"].to_numpy())
        with storage.TableWriter(task.table(), CLUSTERS) as writer:
            writer.write(pa.table([pa.array(ids), pa.array(roots), pa.array(best)], schema=CLUSTERS))
        return one_table(writer, {"n_members": len(ids), "n_clusters": len(np.unique(roots))})


# Sort keys, best first; the smallest id decides between equals.
POLICIES = {
    "longest": [("n_bytes", "descending")],
    "newest": [("date", "descending")],
    "first": [],
}


@dataclass(frozen=True)
class Keepers(Stage):
    """Chooses who stays of each cluster, among the members that pass the rules. Rows are sorted by id."""

    table = "keepers"

    signatures: Signatures
    decisions: Decide
    clusters: Clusters
    policy: str = "longest"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.policy not in POLICIES:
            raise UnknownNameError("policy", self.policy, POLICIES)

    def shards(self) -> list[str]:
        return ["all"]

    def run_shard(self, task: Task) -> Result:
        members = self._members(task)
        keepers = self._choose(members)
        members = members.join(keepers, "cluster").sort_by("doc_id")
        same = pc.and_(
            pc.equal(members["hash_hi"], members["keeper_hash_hi"]),
            pc.equal(members["hash_lo"], members["keeper_hash_lo"]),
        )
        copy = pc.and_(members["keep"], pc.not_equal(members["doc_id"], members["keeper"]))
        kind = pc.if_else(same, "exact_duplicate", "near_duplicate")
        removed = pc.if_else(copy, kind, pa.scalar(None, pa.string()))
        table = members.select(["doc_id", "cluster", "keeper"]).append_column("removed", removed)
        with storage.TableWriter(task.table(), KEEPERS) as writer:
            writer.write(table.cast(KEEPERS).combine_chunks())
        return one_table(writer, {"n_removed": len(removed) - removed.null_count})

    def _members(self, task: Task) -> pa.Table:
        """All members of clusters, with what the choice needs."""
        rows = storage.read_table(task.file(self.clusters, "all"), ["doc_id", "cluster"])
        wanted = rows["doc_id"].combine_chunks()
        columns = ["date", "n_bytes", "hash_hi", "hash_lo"]
        empty = self.signatures.schema.empty_table().select(["doc_id", *columns])
        found = [empty.append_column("keep", pa.array([], pa.bool_()))]
        for shard in self.signatures.shards():
            source = {
                task.file(self.signatures, shard): columns,
                task.file(self.decisions, shard): ["keep"],
            }
            for signatures, decisions in storage.read_aligned(source):
                both = signatures.append_column("keep", decisions["keep"])
                found.append(both.filter(pc.is_in(both["doc_id"], wanted)))
        return rows.join(pa.concat_tables(found, promote_options="permissive"), "doc_id")

    def _choose(self, members: pa.Table) -> pa.Table:
        """For each cluster with a member that passes: its keeper, and the keeper's content hash."""
        passing = best_first(members.filter(members["keep"]), self.policy)
        cluster = passing["cluster"].to_numpy()
        first = np.ones(len(cluster), bool)
        first[1:] = cluster[1:] != cluster[:-1]
        chosen = passing.filter(pa.array(first)).select(["cluster", "doc_id", "hash_hi", "hash_lo"])
        return chosen.rename_columns(["cluster", "keeper", "keeper_hash_hi", "keeper_hash_lo"])


def best_first(members: pa.Table, policy: str) -> pa.Table:
    """Members of clusters, cluster by cluster, the preferred first: of those that pass the rules, the first stays."""
    return members.sort_by([("cluster", "ascending"), *POLICIES[policy], ("doc_id", "ascending")])
