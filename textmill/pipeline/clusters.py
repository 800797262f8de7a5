"""The largest clusters of a run: what they have in common, and how two texts of one differ."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from textmill import storage
from textmill.errors import UserError
from textmill.filters.pii import mask_text
from textmill.pipeline.finished import FinishedRun
from textmill.pipeline.stage import Stage
from textmill.pipeline.stages.duplicates import CLUSTERS, Clusters
from textmill.pipeline.stages.keepers import Keepers
from textmill.schema import show_doc_id
from textmill.terminal import console, safe, table

TEXT_CHARS = 200
READ_CHARS = 1000  # masked before they are cut, so that no half of an address is shown
DIFF_WORDS = 2000  # of each text that are compared
SHOWN_HOSTS = 3
_VARYING = re.compile(r"\d+|(?<=[/=])[0-9a-f]{8,}", re.IGNORECASE)


@dataclass(frozen=True)
class Cluster:
    """A group of copies."""

    cluster: str  # its smallest document id
    n_members: int
    n_removed: int
    keeper: str  # "" where no member passes the rules
    similarity_min: float | None  # to the most similar other member; None if pairs were not verified
    similarity_mean: float | None
    n_hosts: int
    hosts: tuple[tuple[str, int], ...]  # the most frequent
    template: str  # the most frequent form of URL, with # for what varies
    n_template: int
    text: str  # of the keeper, or of the first member; personal data masked


def largest(run: FinishedRun, n: int) -> list[Cluster]:
    """The ``n`` largest clusters of a run. Errors: `UserError` for a run that has not come so far."""
    clusters, keepers = run.one(Clusters), run.one(Keepers)
    if clusters is None or keepers is None:
        raise UserError("this run has no clusters yet; run it up to its keepers first")
    roots = [group["cluster"].to_numpy() for group in run.groups(clusters, ["cluster"])]
    names, sizes = np.unique(np.concatenate([np.empty(0, np.uint64), *roots]), return_counts=True)
    chosen = pa.array(names[np.lexsort((names, -sizes))[:n]])
    if not len(chosen):
        return []
    members = _of_clusters(run, clusters, chosen)
    ids = np.sort(members["doc_id"].to_numpy())
    verdicts = _of_documents(run, keepers, ["doc_id", "keeper", "removed"], ids)
    pages = _of_documents(run, keepers.signatures.documents, ["doc_id", "url", "host", "text"], ids)
    rows = members.join(verdicts, "doc_id").join(pages, "doc_id").sort_by("doc_id").to_pylist()
    return [_describe(root, [row for row in rows if row["cluster"] == root]) for root in chosen.to_pylist()]


def _of_clusters(run: FinishedRun, clusters: Clusters, roots: pa.Array) -> pa.Table:
    """The members of some clusters."""
    groups = run.groups(clusters, ["doc_id", "cluster", "similarity"])
    none = CLUSTERS.empty_table()  # a table without rows has no row groups
    return pa.concat_tables([none, *(group.filter(pc.is_in(group["cluster"], roots)) for group in groups)])


def _of_documents(run: FinishedRun, stage: Stage, columns: list[str], ids: NDArray[np.uint64]) -> pa.Table:
    """The rows of some documents; of texts, their beginning."""
    found = []
    for uri in run.tables(stage):
        for rows in storage.read_ids(uri, columns, ids):
            if "text" in columns:
                text = pc.utf8_slice_codeunits(rows["text"], 0, READ_CHARS).cast(pa.string())
                rows = rows.set_column(columns.index("text"), "text", text)
            found.append(rows)
    return pa.concat_tables(found)


def _describe(root: int, members: list[dict[str, Any]]) -> Cluster:
    hosts = Counter(row["host"] for row in members)
    ((template, n_template),) = Counter(_VARYING.sub("#", row["url"]) for row in members).most_common(1)
    similar = [row["similarity"] for row in members if row["similarity"] is not None]
    keeper = next((row["keeper"] for row in members if row["keeper"] is not None), None)
    shown = next((row for row in members if row["doc_id"] == keeper), members[0])
    return Cluster(
        cluster=show_doc_id(root),
        n_members=len(members),
        n_removed=sum(row["removed"] is not None for row in members),
        keeper="" if keeper is None else show_doc_id(keeper),
        similarity_min=min(similar, default=None),
        similarity_mean=sum(similar) / len(similar) if similar else None,
        n_hosts=len(hosts),
        hosts=tuple(hosts.most_common(SHOWN_HOSTS)),
        template=template,
        n_template=n_template,
        text=" ".join(mask_text(shown["text"] or "")[0][:TEXT_CHARS].split()),
    )


def as_json(found: list[Cluster]) -> list[dict[str, Any]]:
    """Clusters as plain JSON values."""
    return [asdict(cluster) for cluster in found]


def print_clusters(found: list[Cluster]) -> None:
    """Print clusters; page text is made safe to show."""
    to = console()
    if not found:
        to.print("no document has a copy", markup=False)
        return
    header = ["cluster", "documents", "removed", "similarity", "hosts", "most of them", "keeper"]
    to.print(table("largest clusters", header, [_row(cluster) for cluster in found]))
    for cluster in found:
        to.print(f"\n{cluster.cluster}  {cluster.n_template:,} of {cluster.n_members:,} like:", markup=False)
        to.print(f"  {safe(cluster.template, 300)}", markup=False, soft_wrap=True)
        to.print(f"  {safe(cluster.text, TEXT_CHARS)}", markup=False, soft_wrap=True)


def _row(cluster: Cluster) -> list[object]:
    lowest, mean = cluster.similarity_min, cluster.similarity_mean
    similarity = "" if mean is None else f"{mean:.2f} (from {lowest:.2f})"
    hosts = ", ".join(f"{host} {n:,}" for host, n in cluster.hosts)
    keeper = cluster.keeper or "none passes"
    return [cluster.cluster, cluster.n_members, cluster.n_removed, similarity, cluster.n_hosts, hosts, keeper]


def differences(text: str, other: str) -> Iterator[tuple[str, str]]:
    """Where two texts differ: words of the one, and what the other has instead, either of which may be empty.

    Only the first `DIFF_WORDS` words are compared: time grows with their square.
    """
    a, b = (words.split()[:DIFF_WORDS] for words in (text, other))
    for kind, a_begin, a_end, b_begin, b_end in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if kind != "equal":
            yield " ".join(a[a_begin:a_end]), " ".join(b[b_begin:b_end])
