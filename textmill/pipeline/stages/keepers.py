"""Who stays of each cluster of copies: chosen among the documents that pass the rules, never before.

Else a whole cluster would vanish with a representative that fails one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from textmill import storage
from textmill.errors import UnknownNameError, UserError
from textmill.pipeline.stage import Result, Stage, Task, one_table
from textmill.pipeline.stages.duplicates import Clusters
from textmill.pipeline.stages.known import KnownCopies
from textmill.pipeline.stages.scores import DOC_ID, Decide, Score
from textmill.pipeline.stages.signatures import Signatures

KEEPERS = pa.schema(
    [
        DOC_ID,
        pa.field("cluster", pa.uint64(), nullable=False),  # its own id if only an earlier run has a copy
        pa.field("keeper", pa.uint64()),  # null where no member stays
        pa.field("removed", pa.string()),  # the kind of copy, one of COPIES; null: not removed as one
    ]
)
KNOWN = "known_duplicate"  # of what an earlier run kept
COPIES = (KNOWN, "exact_duplicate", "near_duplicate")
POLICIES = ("longest", "newest", "first", "best")
NO_RANK = -np.inf


@dataclass(frozen=True)
class Keepers(Stage):
    """Chooses who stays of each cluster, among the members that pass the rules; the smallest id between equals.

    ``policy``: the longest text, the newest page, the first id, or the best by column ``best_by`` of ``scores``. Rows
    are sorted by id. Memory: 80 bytes a member.
    """

    version = 2
    table = "keepers"

    signatures: Signatures
    decisions: Decide
    clusters: Clusters
    policy: str = "longest"
    scores: Score | None = None
    best_by: str = ""
    known: KnownCopies | None = None  # copies of what an earlier run kept: none of them stays

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.policy not in POLICIES:
            raise UnknownNameError("policy", self.policy, POLICIES)
        if (self.policy == "best") != (self.scores is not None):
            raise UserError("policy best, and no other, takes scores and the column to go by")
        if self.scores and self.best_by not in self.scores.schema.names:
            raise UnknownNameError("column to keep the best by", self.best_by, self.scores.schema.names)

    def shards(self) -> list[str]:
        return ["all"]

    @property
    def ranked_by(self) -> tuple[Stage, str]:
        """The stage and the column that say which member is preferred; see `rank`."""
        if self.scores:
            return self.scores, self.best_by
        return self.signatures, {"longest": "n_bytes", "newest": "date", "first": "doc_id"}[self.policy]

    def run_shard(self, task: Task) -> Result:
        known = self._known_ids(task)
        ids, roots = self._copies(task, known)
        names, cluster = np.unique(roots, return_inverse=True)
        chosen = self._choose(task, ids, known, cluster, len(names))
        n_removed = 0
        with storage.TableWriter(task.table(), KEEPERS) as writer:
            for shard in self.signatures.shards():
                for place, group in self._members(task, shard, ids, known):
                    rows = _verdicts(ids[place], names[cluster[place]], group, chosen.of(cluster[place]))
                    n_removed += len(rows) - rows["removed"].null_count
                    writer.write(rows)
        return one_table(writer, {"n_removed": n_removed})

    def _known_ids(self, task: Task) -> NDArray[np.uint64]:
        """The documents that are copies of what an earlier run kept, ascending."""
        uris = task.all_files(self.known) if self.known else ()
        ids = [storage.read_table(uri, ["doc_id"])["doc_id"].to_numpy() for uri in uris]
        return np.concatenate([np.empty(0, np.uint64), *ids])

    def _copies(self, task: Task, known: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """All documents that have a copy, here or in an earlier run, ascending; and their clusters."""
        table = storage.read_table(task.file(self.clusters, "all"), ["doc_id", "cluster"])
        ids, roots = (column.to_numpy() for column in table.columns)
        alone = known[~storage.is_among(known, ids)]
        place = np.searchsorted(ids, alone)
        return np.insert(ids, place, alone), np.insert(roots, place, alone)

    def _choose(
        self,
        task: Task,
        ids: NDArray[np.uint64],
        known: NDArray[np.uint64],
        cluster: NDArray[np.int64],
        n_clusters: int,
    ) -> Chosen:
        """The preferred member of each cluster that passes the rules."""
        chosen = Chosen.none(n_clusters)
        for shard in self.signatures.shards():
            for place, group in self._members(task, shard, ids, known):
                may_stay = pc.and_not(group["passes"], group["known"])
                place, group = place[may_stay.to_numpy()], group.filter(may_stay)
                chosen.prefer(cluster[place], rank(group["rank"], self.policy), ids[place], group)
        return chosen

    def _members(
        self, task: Task, shard: str, ids: NDArray[np.uint64], known: NDArray[np.uint64]
    ) -> Iterator[tuple[NDArray[np.int64], pa.Table]]:
        """The documents of ``ids`` in a shard: their places, and hash_hi, hash_lo, passes, known and rank."""
        stage, column = self.ranked_by
        own = [column] if stage is self.signatures else []
        source = {
            task.file(self.signatures, shard): ["hash_hi", "hash_lo", *own],
            task.file(self.decisions, shard): ["keep"],
        }
        if not own:
            source[task.file(stage, shard)] = [column]
        for signatures, decisions, *scores in storage.read_aligned(source):
            found = signatures["doc_id"].to_numpy()
            member = storage.is_among(found, ids)
            ranked = (scores or [signatures])[0][column]
            columns = {
                "hash_hi": signatures["hash_hi"],
                "hash_lo": signatures["hash_lo"],
                "passes": decisions["keep"],
                "known": pa.array(storage.is_among(found, known)),
                "rank": ranked,
            }
            group = pa.table(columns)
            yield np.searchsorted(ids, found[member]), group.filter(pa.array(member)).combine_chunks()


@dataclass(frozen=True)
class Chosen:
    """The best member of each cluster so far, by the cluster's number."""

    rank: NDArray[np.float64]  # `NO_RANK` where no member passes
    doc_id: NDArray[np.uint64]
    hash_hi: NDArray[np.uint64]
    hash_lo: NDArray[np.uint64]

    @classmethod
    def none(cls, n: int) -> Chosen:
        return cls(np.full(n, NO_RANK), *np.zeros((3, n), np.uint64))

    def prefer(
        self, cluster: NDArray[np.int64], ranks: NDArray[np.float64], ids: NDArray[np.uint64], hashes: pa.Table
    ) -> None:
        """Looks at further members, whose ids are larger than those before."""
        order = np.lexsort((ids, -ranks, cluster))
        first = order[np.diff(cluster[order], prepend=-1) != 0]
        better = first[ranks[first] > self.rank[cluster[first]]]
        places = cluster[better]
        self.rank[places], self.doc_id[places] = ranks[better], ids[better]
        self.hash_hi[places] = hashes["hash_hi"].to_numpy()[better]
        self.hash_lo[places] = hashes["hash_lo"].to_numpy()[better]

    def of(self, cluster: NDArray[np.int64]) -> Chosen:
        """For members, given the numbers of their clusters."""
        return Chosen(self.rank[cluster], self.doc_id[cluster], self.hash_hi[cluster], self.hash_lo[cluster])


def rank(values: pa.ChunkedArray, policy: str) -> NDArray[np.float64]:
    """How much a member is preferred, by the values of the column that the policy looks at; more is better.

    A date counts by its digits; where it is unreadable, and where a score is not a number, the member comes last.
    """
    if policy == "first":
        return np.zeros(len(values))
    if policy == "newest":
        digits = pc.utf8_slice_codeunits(pc.replace_substring_regex(values, "[^0-9]", ""), 0, 14)
        padded = pc.utf8_rpad(digits, 14, "0")
        return np.asarray(pc.cast(padded, pa.float64()).to_numpy())
    return np.nan_to_num(values.cast(pa.float64()).to_numpy(), nan=np.finfo(np.float64).min)


def _verdicts(ids: NDArray[np.uint64], roots: NDArray[np.uint64], group: pa.Table, keeper: Chosen) -> pa.Table:
    """Rows of the table for some members."""
    passes, known = group["passes"].to_numpy(), group["known"].to_numpy()
    same = (group["hash_hi"].to_numpy() == keeper.hash_hi) & (group["hash_lo"].to_numpy() == keeper.hash_lo)
    kind = np.where(known, KNOWN, np.where(same, *COPIES[1:]))
    copy = passes & (known | (ids != keeper.doc_id))
    arrays = [
        pa.array(ids),
        pa.array(roots),
        pa.array(keeper.doc_id, mask=keeper.rank == NO_RANK),
        pa.array(kind, pa.string(), mask=~copy),
    ]
    return pa.table(arrays, schema=KEEPERS)


def best_first(members: pa.Table) -> pa.Table:
    """Members of clusters, cluster by cluster, those of the highest ``rank`` first: the first that passes stays."""
    return members.sort_by([("cluster", "ascending"), ("rank", "descending"), ("doc_id", "ascending")])
