"""What a run would keep under other bounds, from its stored scores; no page is read again, but for a few samples.

The numbers for the bounds of the run itself are checked against the decisions that it stored. Those for other bounds
are what a new run would find, with three exceptions, which the account names when they matter:

- A document that only wider bounds of an early stage let through has no scores of later stages. It is counted apart.
- A document without a value in a table from elsewhere (`textmill.pipeline.attached`), on which a rule is tried, counts
  neither as kept nor as dropped. It is counted apart, too.
- Who stays of a cluster of copies is chosen anew among the documents that pass; clusters do not depend on the rules
  that come after the comparison. Rules before it decide who is compared, and with those changed, a new run may find
  other clusters: then the choice is made in the clusters as this run found them.

Bytes are those of the text that the last stage scored, before editors change it and personal data is masked. Tokens
are an estimate.

Cost: every score that a rule reads and every verdict, once, and 16 bytes a document that passes.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from textmill.errors import InvariantError
from textmill.filters.base import Rule
from textmill.filters.pii import mask_text
from textmill.pipeline.attached import Attached
from textmill.pipeline.dag import change_bounds
from textmill.pipeline.finished import FinishedRun
from textmill.pipeline.report.samples import SHOWN_CHARS, mix, texts_of
from textmill.pipeline.report.values import Section, bounds, number, plain
from textmill.pipeline.stages.duplicates import CLUSTERS
from textmill.pipeline.stages.keepers import Keepers, best_first, rank
from textmill.pipeline.stages.tokens import Tokens
from textmill.pipeline.verdicts import Chain, ScoredShard, Verdicts
from textmill.pipeline.workspace import Run, Workspace
from textmill.schema import show_doc_id
from textmill.terminal import console, safe, size, table
from textmill.tokenize.shards.token_shards import SPLITS

# For runs without a tokenizer: what common_crawl's 32,768 entries have on the English pages of ../shared/data/crawl.
BYTES_PER_TOKEN = 4.4
WAYS = ("comes in", "goes out", "may come in", "may go out")  # the last ones have no value in a table
TABLE = "table"  # in the place of a stage
OFF = {"low": None, "high": None, "exclusive": False}


def what_if(
    workspace: Workspace,
    run: Run,
    wanted: Mapping[str, Mapping[str, str]],
    n_samples: int,
    tables: Sequence[str] = (),
) -> Section:
    """The account of a run under changed bounds (reason -> bound -> text), beside that under its own.

    What is no reason of the run is a column of the ``tables``: their scores are judged last.
    ``n_samples`` documents are shown of those that come in, that go out, and that nobody knows of. Errors: `UserError`
    for a run without decisions, an unknown reason or a bound that is none; `InvariantError` if the stored decisions are
    not those of the rules.
    """
    finished = FinishedRun(workspace, run)
    chain = Chain.of(finished, run.name)
    chain, sides = _with_tables(chain, wanted, tables)
    totals = [Totals.of(len(chain.rules)) for _ in sides]
    flips = Flips(n_samples)
    n_judged = 0
    for shard in chain.shards(finished):
        before, after = (chain.verdicts(shard, rules) for rules in sides)
        if not np.array_equal(before.fails, shard.fails):
            raise InvariantError(f"run {run.name}: the stored decisions are not those of its rules and scores")
        for total, verdicts in zip(totals, (before, after), strict=True):
            total.add(shard, verdicts)
        flips.add(chain, shard, before, after)
        n_judged += len(shard.doc_ids)
    changed = [i for i, (old, new) in enumerate(zip(*sides, strict=True)) if old != new]
    per_token = bytes_per_token(finished)
    return {
        "run": run.name,
        "changed": [chain.rules[i].reason for i in changed],
        "documents": n_judged,
        "before": totals[0].section(per_token["value"]),
        "after": totals[1].section(per_token["value"]),
        "copies": _copies(finished, chain, totals, changed, per_token["value"]),
        "bytes_per_token": per_token,
        "rules": [_rule(chain, i, [rules[i] for rules in sides], totals) for i in range(len(chain.rules))],
        "flips": flips.section(finished, chain),
    }


def _with_tables(
    chain: Chain, wanted: Mapping[str, Mapping[str, str]], tables: Sequence[str]
) -> tuple[Chain, tuple[list[Rule | None], list[Rule | None]]]:
    """The chain with the rules that are wanted on columns of tables, and all rules as they are in the run, and as they
    are wanted."""
    own: list[Rule | None] = list(chain.rules)
    if not tables:
        return chain, (own, change_bounds(chain.rules, wanted))
    reasons = [rule.reason for rule in chain.rules]
    attached = Attached.read(tables, wanted, reasons)
    changed = change_bounds(chain.rules, {reason: wanted[reason] for reason in wanted if reason in reasons})
    return replace(chain, attached=attached), ([*own, *[None] * len(attached.rules)], [*changed, *attached.rules])


@dataclass
class Totals:
    """What rules did to all documents. Counts by rule as in `textmill.pipeline.report.account`."""

    alone: NDArray[np.int64]
    only: NDArray[np.int64]
    in_order: NDArray[np.int64]
    docs: int = 0
    text_bytes: int = 0
    unknown_docs: int = 0
    unknown_bytes: int = 0
    kept_ids: list[NDArray[np.uint64]] = field(default_factory=list)
    kept_bytes: list[NDArray[np.int64]] = field(default_factory=list)

    @classmethod
    def of(cls, n_rules: int) -> Totals:
        return cls(np.zeros(n_rules, np.int64), np.zeros(n_rules, np.int64), np.zeros(n_rules, np.int64))

    def add(self, shard: ScoredShard, verdicts: Verdicts) -> None:
        n_failed = verdicts.fails.sum(axis=0)
        self.alone += verdicts.fails.sum(axis=1)
        self.only += verdicts.fails[:, n_failed == 1].sum(axis=1)
        self.in_order += np.bincount(verdicts.first[verdicts.first >= 0], minlength=len(self.alone))
        self.docs += int(verdicts.keep.sum())
        self.text_bytes += int(shard.text_bytes[verdicts.keep].sum())
        self.unknown_docs += int(verdicts.unknown.sum())
        self.unknown_bytes += int(shard.text_bytes[verdicts.unknown].sum())
        self.kept_ids.append(shard.doc_ids[verdicts.keep])
        self.kept_bytes.append(shard.text_bytes[verdicts.keep])

    def section(self, per_token: float) -> Section:
        kept = _amount(self.docs, self.text_bytes, per_token)
        return kept | {"unknown": _amount(self.unknown_docs, self.unknown_bytes, per_token)}


def _amount(docs: int, text_bytes: int, per_token: float) -> Section:
    return {"docs": docs, "text_bytes": text_bytes, "tokens": round(text_bytes / per_token)}


def bytes_per_token(run: FinishedRun) -> Section:
    """Bytes of text a token, and where that is from."""
    tokens = run.one(Tokens)
    counts = run.counts(tokens) if tokens else {}
    n_tokens = sum(counts.get(f"{split}_n_tokens", 0) for split in SPLITS)
    if not n_tokens:
        return {"value": BYTES_PER_TOKEN, "source": "assumed; the run has no tokens"}
    n_bytes = sum(counts[f"{split}_n_bytes"] for split in SPLITS)
    return {"value": plain(n_bytes / n_tokens), "source": "measured with the tokenizer of the run"}


def _rule(chain: Chain, i: int, sides: Sequence[Rule | None], totals: Sequence[Totals]) -> Section:
    rule = chain.rules[i]
    stage = chain.stage_of[i]
    name = chain.stages[stage].name if stage < len(chain.stages) else TABLE
    section: Section = {"stage": name, "reason": rule.reason, "column": rule.column}
    for when, own, total in zip(("before", "after"), sides, totals, strict=True):
        counts = {name: int(getattr(total, name)[i]) for name in ("in_order", "alone", "only")}
        limits = {name: getattr(own, name) for name in OFF} if own else OFF
        section[when] = limits | counts
    return section


# -- copies


def _copies(
    run: FinishedRun, chain: Chain, totals: Sequence[Totals], changed: Sequence[int], per_token: float
) -> Section | None:
    """What is kept when copies are removed, too; None for a run that did not get that far.

    Errors: `InvariantError` if the choice under the run's own bounds is not the one that it stored.
    """
    keepers = keepers_of(run, chain)
    if keepers is None:
        return None
    members = cluster_members(run, keepers)
    removed = [_removed(members, total) for total in totals]
    stored = [
        group.filter(pc.is_valid(group["removed"]))["doc_id"] for group in run.groups(keepers, ["doc_id", "removed"])
    ]
    if sorted(removed[0]["doc_id"].to_pylist()) != sorted(i for ids in stored for i in ids.to_pylist()):
        raise InvariantError(f"{keepers.name}: the stored choice of copies is not that of its policy")
    own = [chain.stage_of[i] for i in changed if chain.stage_of[i] < len(chain.stages)]
    stages = {chain.stages[stage].folder for stage in own}
    section: Section = {"exact": not stages & compares(run, chain)}
    for when, total, rows in zip(("before", "after"), totals, removed, strict=True):
        n_bytes = int(pc.sum(rows["text_bytes"]).as_py() or 0)
        section[when] = _amount(total.docs - len(rows), total.text_bytes - n_bytes, per_token)
    return section


def keepers_of(run: FinishedRun, chain: Chain) -> Keepers | None:
    """The stage that chooses among the documents that pass the chain, or None."""
    return next((stage for stage in run.all(Keepers) if stage.decisions.folder == chain.stages[-1].folder), None)


def compares(run: FinishedRun, chain: Chain) -> set[str]:
    """Folders of the stages that decide which documents are compared with each other."""
    keepers = keepers_of(run, chain)
    return {stage.folder for stage in keepers.clusters.ancestry()} if keepers else set()


def cluster_members(run: FinishedRun, keepers: Keepers) -> pa.Table:
    """All members of clusters, the preferred ones of each first."""
    names = ["doc_id", "cluster"]
    none = CLUSTERS.empty_table().select(names)  # a table without rows has no row groups
    clusters = pa.concat_tables([none, *run.groups(keepers.clusters, names)])
    stage, column = keepers.ranked_by
    found = [pa.table({"doc_id": pa.array([], pa.uint64()), "rank": pa.array([], pa.float64())})]
    for group in run.groups(stage, list(dict.fromkeys(["doc_id", column]))):
        members = group.filter(pc.is_in(group["doc_id"], clusters["doc_id"].combine_chunks()))
        found.append(pa.table({"doc_id": members["doc_id"], "rank": rank(members[column], keepers.policy)}))
    return best_first(clusters.join(pa.concat_tables(found), "doc_id"))


def _removed(members: pa.Table, total: Totals) -> pa.Table:
    """Members that pass the rules and are copies of a preferred one that passes, too; with their ``text_bytes``."""
    ids = np.concatenate([np.array([], np.uint64), *total.kept_ids])  # ascending, as shards are in order of ids
    sizes = np.concatenate([np.array([], np.int64), *total.kept_bytes])
    passing = members.filter(pc.is_in(members["doc_id"], pa.array(ids)))
    passing = passing.append_column("text_bytes", pa.array(sizes[np.searchsorted(ids, passing["doc_id"].to_numpy())]))
    cluster = passing["cluster"].to_numpy()
    return passing.slice(1).filter(pa.array(cluster[1:] == cluster[:-1]))


# -- documents that change sides


class Flip(NamedTuple):
    """A document that changes sides. Ordered by hash, which no two documents share."""

    hash: int
    doc_id: int
    rule: int  # comes in: the first that it failed before; goes out: that it fails now
    value: Any


class Flips:
    """How many documents change sides, and those with the smallest hashed ids of each way."""

    def __init__(self, n_samples: int) -> None:
        self._n_samples = n_samples
        self._n = dict.fromkeys(WAYS, 0)
        self._bytes = dict.fromkeys(WAYS, 0)
        self._drawn: dict[str, list[Flip]] = {way: [] for way in WAYS}

    def add(self, chain: Chain, shard: ScoredShard, before: Verdicts, after: Verdicts) -> None:
        goes = before.keep & ~after.keep
        masks = after.keep & ~before.keep, goes & ~after.unknown, after.unknown & ~goes, after.unknown & goes
        for way, mask in zip(WAYS, masks, strict=True):
            rows = np.flatnonzero(mask)
            self._n[way] += len(rows)
            self._bytes[way] += int(shard.text_bytes[rows].sum())
            failing = after if way == "goes out" else before
            new = _draw(chain, shard, rows, failing, self._n_samples)
            self._drawn[way] = heapq.nsmallest(self._n_samples, [*self._drawn[way], *new])

    def section(self, run: FinishedRun, chain: Chain) -> Section:
        doc_ids = [flip.doc_id for drawn in self._drawn.values() for flip in drawn]
        texts = texts_of(run, chain.stages[0].scores.documents, doc_ids) if doc_ids else {}
        return {
            way: {
                "docs": self._n[way],
                "text_bytes": self._bytes[way],
                "samples": [_sample(chain, flip, *texts[flip.doc_id]) for flip in self._drawn[way]],
            }
            for way in WAYS
        }


def _draw(chain: Chain, shard: ScoredShard, rows: NDArray[np.int64], failing: Verdicts, n: int) -> Iterator[Flip]:
    hashes = mix(shard.doc_ids[rows])
    for i in np.argsort(hashes)[:n].tolist():
        rule, value = int(failing.first[rows[i]]), None
        if rule >= 0:  # else it has no value in a table, about which the last rule is
            stage = chain.stage_of[rule]
            place = int(np.searchsorted(shard.places[stage], rows[i]))
            value = shard.scores[stage][chain.rules[rule].column][place].as_py()
        yield Flip(int(hashes[i]), int(shard.doc_ids[rows[i]]), rule, value)


def _sample(chain: Chain, flip: Flip, url: str, text: str) -> Section:
    rule = chain.rules[flip.rule]
    return {
        "doc_id": show_doc_id(flip.doc_id),
        "url": url,
        "reason": rule.reason,
        "column": rule.column,
        "value": plain(flip.value),
        "text": mask_text(text)[0][:SHOWN_CHARS],
    }


# -- on the terminal


def print_whatif(account: Section) -> None:
    """Print the account: what is kept, what each rule does, who changes sides, and how far the numbers go."""
    out = console()
    changed = ", ".join(account["changed"]) or "nothing; --set REASON.low=VALUE changes a bound"
    out.print(f"run {safe(account['run'])}, {account['documents']:,} documents with text", markup=False)
    out.print(f"changed: {safe(changed, 1000)}\n", markup=False)
    out.print(table("What is kept", ["", "in the run", "what if", "change", "%"], list(_kept_rows(account))))
    out.print()
    header = ["rule", "keeps", "in order", "alone", "only"]
    out.print(table("Documents that each rule removes", header, list(_rule_rows(account))))
    for way, flips in account["flips"].items():
        if flips["docs"]:
            out.print()
            title = f"{way}: {flips['docs']:,} documents, {size(flips['text_bytes'])}; some of them"
            rows = [[s["doc_id"], s["reason"], _value(s["value"]), s["url"]] for s in flips["samples"]]
            out.print(table(title, ["document", "rule", "value", "URL"], rows))
    out.print()
    for line in notes(account):
        out.print(f"- {line}", markup=False)


def _kept_rows(account: Section) -> Iterator[list[object]]:
    steps = [("pass the rules", account["before"], account["after"])]
    if account["copies"]:
        steps.append(("without copies", account["copies"]["before"], account["copies"]["after"]))
    for step, before, after in steps:
        for name, what, show in (
            ("docs", "documents", number),
            ("text_bytes", "text", size),
            ("tokens", "tokens", number),
        ):
            old, new = before[name], after[name]
            change = f"{'-' if new < old else '+'}{show(abs(new - old))}" if new != old else ""
            share = f"{100 * (new - old) / old:+.2f}" if old and new != old else ""
            yield [f"{step}: {what}", show(old), show(new), change, share]


def _rule_rows(account: Section) -> Iterator[list[object]]:
    """The rules that remove something on either side, and those that were changed."""
    for rule in account["rules"]:
        before, after = rule["before"], rule["after"]
        if before["alone"] or after["alone"] or rule["reason"] in account["changed"]:
            counts = [_both(number(before[name]), number(after[name])) for name in ("in_order", "alone", "only")]
            yield [rule["reason"], _both(_keeps(before), _keeps(after)), *counts]


def _value(value: object) -> str:
    return "none" if value is None else number(value)


def _both(old: str, new: str) -> str:
    return old if old == new else f"{old} → {new}"


def _keeps(side: Section) -> str:
    return "off" if side["low"] is None and side["high"] is None else bounds(side)


def notes(account: Section) -> list[str]:
    """How far the numbers go, in sentences."""
    found = ["In the run: as its stored decisions have it."]
    unvalued = account["flips"]["may go out"]
    unknown = account["after"]["unknown"]["docs"] - unvalued["docs"]
    if unvalued["docs"]:
        found.append(
            f"{unvalued['docs']:,} documents ({size(unvalued['text_bytes'])}) that the run keeps have no value in the "
            "table. They are not among those that are kept, nor among those that are dropped: nobody knows."
        )
    if unknown:
        has_table = any(rule["stage"] == TABLE for rule in account["rules"])
        found.append(
            f"{unknown:,} more documents ({size(account['flips']['may come in']['text_bytes'])}) pass the rules of the "
            "run that have a score of theirs. The run dropped them before their later scores were made"
            + (", or the table has no value: " if has_table else ": ")
            + "none, some or all of them may be kept."
        )
    if account["copies"] and account["copies"]["exact"]:
        found.append(
            "Copies: who stays of each cluster is chosen anew among the documents that pass. Clusters do not depend on "
            "the rules that changed" + (", but the documents without scores are in none." if unknown else ".")
        )
    elif account["copies"]:
        found.append(
            "Copies: who stays is chosen anew, but in the clusters as the run found them. The rules that changed "
            "decide which documents are compared, so a new run may find other clusters."
        )
    per_token = account["bytes_per_token"]
    found.append(
        "Text is counted as the rules saw it, before it is edited and masked. "
        f"Tokens: {per_token['value']:.3g} bytes each, "
        f"{per_token['source']}."
    )
    return found
