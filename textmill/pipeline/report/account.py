"""The account of a run: what came in, what every stage and rule did, and what came out, as plain JSON values.

Everything is read from what the finished stages of a run published; a section whose stages have not finished is absent.
A rule is counted three ways, because one number misleads: how many documents fail it (``alone``), how many fail nothing
else (``only``: what switching the rule off would bring back), and how many it removes when the rules are applied one
after the other (``in_order``).

Cost: reads every score and every verdict once, a shard at a time (those of a run that is larger than
`textmill.pipeline.finished` holds, once for each part), and the texts of some thousand pages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from textmill import storage
from textmill.dedup.lsh import probability
from textmill.filters.base import Rule
from textmill.pipeline.finished import FinishedRun
from textmill.pipeline.losses import losses_of
from textmill.pipeline.report.funnel import funnel_of
from textmill.pipeline.report.groups import groups_of
from textmill.pipeline.report.histograms import histograms_of
from textmill.pipeline.report.published import beside
from textmill.pipeline.report.samples import samples_of
from textmill.pipeline.report.training import training_of
from textmill.pipeline.report.values import Section, plain
from textmill.pipeline.stage import Stage
from textmill.pipeline.stages.corpus import Corpus
from textmill.pipeline.stages.duplicates import N_SIMILARITIES, Clusters, Edges
from textmill.pipeline.stages.edit import Edit
from textmill.pipeline.stages.keepers import COPIES, Keepers
from textmill.pipeline.stages.model import Train
from textmill.pipeline.stages.pages import Extract
from textmill.pipeline.stages.scores import TEXT_BYTES, Decide, Materialize, Score, fails_of
from textmill.pipeline.stages.signatures import Signatures
from textmill.pipeline.stages.tokens import Tokens
from textmill.pipeline.workspace import Run
from textmill.tokenize.shards.token_shards import SPLITS

REMOVED_WORDS = "refinedweb_removed_word_frac"  # which edits may not be too large
N_SIMILARITY_BINS = 20
N_LOCATED = 50
CURVE_AT = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9)  # similarities
UNITS = ("", "_bytes")  # of what a rule removes: documents, and bytes of their text


def account_of(finished: FinishedRun) -> Section:
    """The account of a run; sections that have nothing to say are absent. Errors: `InputError` for damaged files."""
    from textmill.pipeline.whatif import bytes_per_token  # which needs this package

    decisions = [_decision(finished, decide) for decide in finished.all(Decide)]
    per_token = bytes_per_token(finished)
    funnel = funnel_of(finished, {decision["stage"]: decision for decision in decisions}, per_token["value"])
    sections = {
        "run": _run(finished.run),
        "funnel": funnel,
        "bytes_per_token": per_token if funnel else None,
        "published": beside(funnel) if decisions else None,
        "edits": _edits(finished, decisions),
        "statuses": _prefixed(finished, Extract, "status_"),
        "other_records": _prefixed(finished, Extract, "other_"),
        "damage": _damage(finished),
        "decisions": decisions,
        "histograms": [made for scores in finished.all(Score) for made in histograms_of(finished, scores)],
        "groups": groups_of(finished),
        "duplicates": _duplicates(finished),
        "masked": _prefixed(finished, Corpus, "masked_"),
        "tokens": _tokens(finished),
        "model": _model(finished),
        "stages": [_stage(finished, stage, finished.run.seconds.get(stage.name)) for stage in finished.stages],
        "samples": samples_of(finished),
    }
    return {name: section for name, section in sections.items() if section}


# -- what came in and what was left


def _run(run: Run) -> Section:
    return {
        "name": run.name,
        "dag": run.dag,
        "settings": list(run.settings),
        "versions": dict(sorted(run.versions.items())),
        "finished": run.finished,
    }


def _prefixed(run: FinishedRun, kind: type[Stage], prefix: str) -> dict[str, int]:
    """The counts of a stage whose names begin with ``prefix``, the largest first."""
    stage = run.one(kind)
    counts = run.counts(stage) if stage else Counter()
    found = {name.removeprefix(prefix): n for name, n in counts.items() if name.startswith(prefix)}
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _damage(run: FinishedRun) -> Section | None:
    """The account of losses, and the first stretches with their place."""
    pages, losses = run.one(Extract), losses_of(run)
    if pages is None or losses is None:
        return None
    located: list[Section] = []
    columns = ["status", "warc_file", "warc_offset", "warc_length", "fault"]
    for group in run.groups(pages, columns) if losses["n_stretches"] else ():
        damaged = group.filter(pc.equal(group["status"], "bad_record")).drop_columns("status")
        rows = damaged.rename_columns(["file", "offset", "length", "fault"]).slice(0, N_LOCATED - len(located))
        located += rows.to_pylist()
        if len(located) == N_LOCATED:
            break
    return losses | {"located": located}


def _edits(run: FinishedRun, decisions: Sequence[Section]) -> Section | None:
    """What editors did to the documents, whether these pass the rules or not, and whom the limit on it drops."""
    edit = run.one(Edit)
    if edit is None:
        return None
    counts = run.counts(edit)
    names = [(editor.name, kind) for editor in edit.editors for kind in editor.kinds]
    changes = [
        {"editor": name, "kind": kind, "n": counts[f"edited_{name}_{kind}"]} for name, kind in dict.fromkeys(names)
    ]
    section: Section = {
        "documents": counts["rows_in"],
        "n_edited": counts.get("n_edited"),  # older runs did not count it
        "bytes": counts["text_bytes"],
        "changes": sorted((change for change in changes if change["n"]), key=lambda change: -change["n"]),
    }
    if isinstance(edit.documents, Materialize):
        section["removed_bytes"] = run.counts(edit.documents)["text_bytes"] - counts["text_bytes"]
    limits = [rule for decision in decisions for rule in decision["rules"] if rule["column"] == REMOVED_WORDS]
    return section | ({"limit": limits[0]} if limits else {})


# -- rules and scores


class Tally(NamedTuple):
    """How many documents fail each of k rules, and how many bytes of text those hold; see the module's docstring.

    ``overlap`` is [k, k]: documents that fail both.
    """

    alone: npt.NDArray[np.int64]
    only: npt.NDArray[np.int64]
    in_order: npt.NDArray[np.int64]
    alone_bytes: npt.NDArray[np.int64]
    only_bytes: npt.NDArray[np.int64]
    in_order_bytes: npt.NDArray[np.int64]
    overlap: npt.NDArray[np.int64]


def tally(fails: npt.NDArray[np.bool_], n_bytes: npt.NDArray[np.int64]) -> Tally:
    """The `Tally` of a matrix [documents, rules] that says which document of ``n_bytes`` fails which rule."""
    rows, rules = np.nonzero(fails)  # documents in order, and the rules of each in order
    n_failed = fails.sum(axis=1)
    ways = np.ones(len(rows), bool), n_failed[rows] == 1, np.diff(rows, prepend=-1) > 0
    counts = [np.bincount(rules[way], minlength=fails.shape[1]) for way in ways]
    sizes = [np.bincount(rules[way], n_bytes[rows[way]], fails.shape[1]).astype(np.int64) for way in ways]
    several = fails[n_failed > 1].astype(np.int64)
    overlap = several.T @ several
    np.fill_diagonal(overlap, counts[0])
    return Tally(*[*counts, *sizes, overlap])


def _decision(run: FinishedRun, decide: Decide) -> Section:
    """What the rules of one stage did to the documents that have text."""
    sized = [TEXT_BYTES.name] if TEXT_BYTES.name in run.columns(decide.scores) else []  # older runs have none
    total = tally(np.zeros((0, len(decide.rules)), bool), np.zeros(0, np.int64))
    n_judged = judged_bytes = 0
    wanted = (decide, [rule.reason for rule in decide.rules]), (decide.scores, sized)
    for verdicts, scores in run.with_text(decide.scores.documents, *wanted):
        fails = fails_of(verdicts, decide.rules).T
        n_bytes = scores[sized[0]].to_numpy().astype(np.int64) if sized else np.zeros(len(fails), np.int64)
        total = Tally(*(a + b for a, b in zip(total, tally(fails, n_bytes), strict=True)))
        n_judged += len(fails)
        judged_bytes += int(n_bytes.sum())
    section: Section = {
        "stage": decide.name,
        "scores": decide.scores.name,
        "n_judged": n_judged,
        "n_keep": n_judged - int(total.in_order.sum()),
        "rules": [_rule(rule, total, i, bool(sized)) for i, rule in enumerate(decide.rules)],
        "overlap": total.overlap.tolist(),
    }
    if sized:
        section |= {"bytes_judged": judged_bytes, "bytes_keep": judged_bytes - int(total.in_order_bytes.sum())}
    return section


def _rule(rule: Rule, total: Tally, i: int, has_bytes: bool) -> Section:
    ways = [f"{way}{unit}" for way in ("alone", "only", "in_order") for unit in UNITS[: 1 + has_bytes]]
    return {
        "reason": rule.reason,
        "column": rule.column,
        "low": rule.low,
        "high": rule.high,
        "exclusive": rule.exclusive,
        "source": rule.source,
        **{way: int(getattr(total, way)[i]) for way in ways},
    }


# -- copies


def _duplicates(run: FinishedRun) -> Section | None:
    edges, clusters, keepers = run.one(Edges), run.one(Clusters), run.one(Keepers)
    if edges is None:
        return None
    counts = run.counts(edges)
    section: Section = {
        "candidates": counts["n_candidates"],
        "edges": counts["n_edges"],
        "rejected": counts["n_rejected"],
        "threshold": edges.threshold,
        "similarity": _similarities(run, edges),
        "all_similarities": _all_similarities(counts),
        "curve": _s_curve(edges),
    }
    if clusters is not None:
        section |= {"clusters": run.counts(clusters)["n_clusters"], "members": run.counts(clusters)["n_members"]}
        section["cluster_sizes"] = _cluster_sizes(run, clusters)
    if keepers is not None:
        removed: Counter[str] = Counter()
        for group in run.groups(keepers, ["removed"]):
            removed.update(group["removed"].drop_null().to_pylist())
        section |= {f"removed_{kind}": removed[kind] for kind in COPIES}
    return section


def _similarities(run: FinishedRun, edges: Edges) -> Section:
    """Histogram of the true similarity of the pairs that were found to be copies."""
    bounds = np.linspace(min(edges.threshold, 1 - 1e-6), 1, N_SIMILARITY_BINS + 1)
    bounds[0] = min(bounds[0], np.float32(edges.threshold))  # as the pairs were compared with it
    counts = np.zeros(len(bounds) - 1, np.int64)
    for group in run.groups(edges, ["similarity"]):
        counts += np.histogram(group["similarity"].to_numpy(), bounds)[0]
    return {"edges": [plain(float(bound)) for bound in bounds], "counts": counts.tolist()}


def _all_similarities(counts: Mapping[str, int]) -> Section:
    """Histogram of the true similarity of all candidates, those that are no copies, too."""
    bounds = np.linspace(0, 1, N_SIMILARITIES + 1)
    found = [counts.get(f"similarity_{i:02d}", 0) for i in range(N_SIMILARITIES)]
    return {"edges": [plain(float(bound)) for bound in bounds], "counts": found}


def _s_curve(edges: Edges) -> list[Section]:
    """The chance that two documents are compared, by their similarity."""
    minhash = next(stage for stage in edges.ancestry() if isinstance(stage, Signatures)).minhash
    chance = {s: probability(s, minhash.bands, minhash.rows) for s in CURVE_AT}
    return [{"similarity": s, "found": plain(p)} for s, p in chance.items()]


def _cluster_sizes(run: FinishedRun, clusters: Clusters) -> list[Section]:
    """How many clusters there are of each size."""
    columns = [group["cluster"].to_numpy() for group in run.groups(clusters, ["cluster"])]
    _, members = np.unique(np.concatenate([np.array([], np.uint64), *columns]), return_counts=True)
    sizes, counts = np.unique(members, return_counts=True)
    return [{"size": int(size), "n": int(n)} for size, n in zip(sizes, counts, strict=True)]


# -- tokens and model


def _tokens(run: FinishedRun) -> Section | None:
    tokens, tokenizer = run.one(Tokens), run.tokenizer
    if tokens is None or tokenizer is None:
        return None
    counts = run.counts(tokens)
    section: Section = {"vocab_size": run.counts(tokenizer)["vocab_size"]}
    for split in SPLITS:
        n_tokens, n_bytes = counts[f"{split}_n_tokens"], counts[f"{split}_n_bytes"]
        per_token = plain(n_bytes / n_tokens) if n_tokens else None
        section[split] = {
            "tokens": n_tokens,
            "docs": counts[f"{split}_n_docs"],
            "bytes": n_bytes,
            "bytes_per_token": per_token,
        }
    return section


def _model(run: FinishedRun) -> Section | None:
    model = run.one(Train)
    if model is None:
        return None
    folder = run.folder(model)
    summary = storage.read_json(storage.join(folder, "summary.json"))
    return {"n_parameters": summary["n_parameters"], "sample": summary["sample"], **training_of(folder)}


def _stage(run: FinishedRun, stage: Stage, run_wall_s: float | None) -> Section:
    """What a stage cost: seconds added up over its tasks, and ``run_wall_s``, the time that a person waited."""
    folder = run.folder(stage)
    manifests = run.manifests(stage)
    outputs = [(name, output) for manifest in manifests.values() for name, output in manifest.outputs.items()]
    stats = [storage.join(folder, f"{shard}.stats.json") for shard in manifests]
    seconds = [storage.read_json(uri) for uri in stats if storage.exists(uri)]
    counts = run.counts(stage)
    rows = [output.rows for name, output in outputs if name.endswith(".parquet")]
    return {
        "name": stage.name,
        "tasks": len(manifests),
        "rows": counts.get("rows_out", sum(rows) if rows else None),
        "wall_s": round(sum(report["wall_s"] for report in seconds), 3),
        "cpu_s": round(sum(report["cpu_s"] for report in seconds), 3),
        "bytes_out": sum(output.n_bytes for _, output in outputs),
        "run_wall_s": run_wall_s,
    }
