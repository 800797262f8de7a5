"""Pages with text by their language, registered domain and top-level domain: how many, what is kept, what removes most.

A page's fate is the first rule that it fails, in the order of the run, or the kind of copy that it is, or that it is
kept. Domains follow from the URL, whatever the run has scored.

Cost: reads URLs and verdicts once, shard by shard; 50 bytes for each pair of a domain and a fate stay in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from textmill import storage
from textmill.pipeline.finished import FinishedRun
from textmill.pipeline.report.values import Section
from textmill.pipeline.stage import Stage
from textmill.pipeline.stages.corpus import Corpus
from textmill.pipeline.stages.keepers import COPIES, Keepers
from textmill.pipeline.stages.pages import Extract
from textmill.pipeline.stages.scores import TEXT_BYTES, Decide, Score, first_failures
from textmill.text import Documents

LANGUAGE = "language"  # the column of labels that a language scorer writes
KEYS = (LANGUAGE, "domain", "tld")
N_TOP = 20
MIN_LANGUAGE_PAGES = 3  # what has fewer is more often a mistake of the classifier than a language
KEPT = -1
COMPACT_ROWS = 100_000


@dataclass
class Sums:
    """Documents and bytes for each pair of a name and a fate. Adding takes linear time altogether."""

    parts: list[pa.Table] = field(default_factory=list)
    n_summed: int = 0
    n_added: int = 0

    def add(self, names: pa.Array, fates: pa.Array, n_bytes: pa.Array) -> None:
        """Documents by name, fate and size."""
        documents = pa.table({"name": names, "fate": fates, "n": np.ones(len(names), np.int64), "bytes": n_bytes})
        self.parts.append(_summed(documents))
        self.n_added += len(self.parts[-1])
        if self.n_added > max(self.n_summed, COMPACT_ROWS):
            self.table()

    def table(self) -> pa.Table:
        """Everything that was added: name, fate, n, bytes."""
        self.parts = [_summed(pa.concat_tables(self.parts))]
        self.n_summed, self.n_added = len(self.parts[0]), 0
        return self.parts[0]


def _summed(table: pa.Table) -> pa.Table:
    summed = table.group_by(["name", "fate"]).aggregate([("n", "sum"), ("bytes", "sum")])
    return summed.select(["name", "fate", "n_sum", "bytes_sum"]).rename_columns(["name", "fate", "n", "bytes"])


def groups_of(run: FinishedRun) -> Section | None:
    """For each of `KEYS` that the run knows its most frequent names and the rest of them; None before any page."""
    pages = run.one(Extract)
    if pages is None:
        return None
    fates = Fates(run, pages)
    keys = KEYS if fates.languages else KEYS[1:]
    sums = {key: Sums() for key in keys}
    for shard in range(fates.n_shards):
        for names, fate, n_bytes in fates.of_shard(shard):
            for key in keys:
                sums[key].add(names[key], fate, n_bytes)
    found = {key: _section(each.table(), fates.names, key) for key, each in sums.items() if each.parts}
    return found and {"is_corpus": run.one(Corpus) is not None} | found


class Fates:
    """What became of the pages with text, shard by shard."""

    def __init__(self, run: FinishedRun, pages: Extract) -> None:
        self._run, self._pages, self._decides = run, pages, run.all(Decide)
        self.names = [*(rule.reason for decide in self._decides for rule in decide.rules), *COPIES]
        self.languages = next((scores for scores in run.all(Score) if LANGUAGE in run.columns(scores)), None)
        sized = (decide.scores for decide in self._decides if TEXT_BYTES.name in run.columns(decide.scores))
        self._sizes = next(sized, None)
        stages = filter(None, [pages, self.languages, self._sizes, *self._decides])
        self._tables = {stage.folder: run.tables(stage) for stage in stages}
        keepers = run.one(Keepers)
        removed = [*run.groups(keepers, ["doc_id", "removed"])] if keepers else []
        self._copies = [
            np.concatenate([np.array([], np.uint64), *(_ids(t.filter(pc.equal(t["removed"], kind))) for t in removed)])
            for kind in COPIES
        ]

    @property
    def n_shards(self) -> int:
        """How many shards of pages there are."""
        return len(self._tables[self._pages.folder])

    def of_shard(self, shard: int) -> Iterator[tuple[dict[str, pa.Array], pa.Array, pa.Array]]:
        """Names by key, fates (places in ``names``, or `KEPT`) and bytes of text of the pages with text of a shard."""
        pages = self._read(self._pages, shard, ["doc_id", "status", "url"])
        pages = pages.filter(pc.equal(pages["status"], "ok"))
        if len(pages):
            doc_ids = pages["doc_id"].combine_chunks()
            names = _domains(pages) | ({LANGUAGE: self._language(doc_ids, shard)} if self.languages else {})
            yield names, pa.array(self._fates(doc_ids.to_numpy(), shard)), self._text_bytes(doc_ids, shard)

    def _fates(self, doc_ids: NDArray[np.uint64], shard: int) -> NDArray[np.int32]:
        fates, first = np.full(len(doc_ids), KEPT, np.int32), 0
        for decide in self._decides:
            verdicts = self._read(decide, shard, ["doc_id", *(rule.reason for rule in decide.rules)])
            own, failed = _ids(verdicts), first_failures(verdicts, decide.rules)
            fails = storage.is_among(own, doc_ids) & (failed >= 0)  # pages without text are not in doc_ids
            place = np.searchsorted(doc_ids, own[fails])
            fates[place] = np.where(fates[place] == KEPT, failed[fails] + first, fates[place])
            first += len(decide.rules)
        for kind, ids in enumerate(self._copies):
            fates[storage.is_among(doc_ids, ids) & (fates == KEPT)] = first + kind
        return fates

    def _language(self, doc_ids: pa.Array, shard: int) -> pa.Array:
        assert self.languages is not None
        scores = self._read(self.languages, shard, ["doc_id", LANGUAGE])
        return _beside(doc_ids, scores["doc_id"], scores[LANGUAGE]).fill_null("")

    def _text_bytes(self, doc_ids: pa.Array, shard: int) -> pa.Array:
        """Bytes of text, as the first stage that scored it has them; where there is none, the text is read."""
        if self._sizes:
            sizes = self._read(self._sizes, shard, ["doc_id", TEXT_BYTES.name])
            n_bytes = sizes[TEXT_BYTES.name]
        else:
            sizes = storage.read_table(self._tables[self._pages.folder][shard], ["doc_id", "text"])
            n_bytes = pc.binary_length(sizes["text"])
        return _beside(doc_ids, sizes["doc_id"], n_bytes).cast(pa.int64()).fill_null(0)

    def _read(self, stage: Stage, shard: int, columns: list[str]) -> pa.Table:
        return self._run.read(self._tables[stage.folder][shard], columns)


def _beside(doc_ids: pa.Array, own_ids: pa.ChunkedArray, values: pa.ChunkedArray) -> pa.Array:
    """The values of these documents, null for one that has none."""
    return values.combine_chunks().take(pc.index_in(doc_ids, own_ids.combine_chunks()))


def _ids(table: pa.Table) -> NDArray[np.uint64]:
    return np.asarray(table["doc_id"].to_numpy())


def _domains(pages: pa.Table) -> dict[str, pa.Array]:
    """The registered domain and the top-level domain of each URL."""
    from textmill.filters.url_parts import UrlParts

    domains, tlds = UrlParts().score(Documents(pages))
    return {"domain": domains, "tld": tlds}


def _section(sums: pa.Table, fates: Sequence[str], key: str) -> Section:
    """The most frequent names with what became of their documents, and the rest."""
    totals = sums.group_by("name").aggregate([("n", "sum")])
    shown = totals.filter(pc.greater_equal(totals["n_sum"], MIN_LANGUAGE_PAGES if key == LANGUAGE else 1))
    shown = shown.sort_by([("n_sum", "descending"), ("name", "ascending")]).slice(0, N_TOP)
    is_top = pc.is_in(sums["name"], shown["name"].combine_chunks())
    top, rest = sums.filter(is_top), sums.filter(pc.invert(is_top))
    rows = [{"name": name} | _row(top.filter(pc.equal(top["name"], name)), fates) for name in shown["name"].to_pylist()]
    section: Section = {"n": len(totals), "top": rows}
    return section | ({"rest": {"n_names": len(totals) - len(rows)} | _row(rest, fates)} if len(rest) else {})


def _row(sums: pa.Table, fates: Sequence[str]) -> Section:
    by_fate = sums.group_by("fate").aggregate([("n", "sum"), ("bytes", "sum")]).to_pylist()
    kept = next((row for row in by_fate if row["fate"] == KEPT), {"n_sum": 0, "bytes_sum": 0})
    section: Section = {"documents": sum(row["n_sum"] for row in by_fate)}
    section |= {"bytes": sum(row["bytes_sum"] for row in by_fate)}
    section |= {"kept": kept["n_sum"], "kept_bytes": kept["bytes_sum"]}
    removing = [row for row in by_fate if row["fate"] != KEPT]
    if removing:
        most = min(removing, key=lambda row: (-row["n_sum"], row["fate"]))
        section |= {"reason": fates[most["fate"]], "n_reason": most["n_sum"]}
    return section
