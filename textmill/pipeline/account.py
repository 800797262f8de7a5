"""The account of a run: what came in, what every stage and rule did, and what came out, as plain JSON values.

Everything is read from what the finished stages of a run published; a section whose stages have not finished is absent.
A rule is counted three ways, because one number misleads: how many documents fail it (``alone``), how many fail nothing
else (``only``: what switching the rule off would bring back), and how many it removes when the rules are applied one
after the other (``in_order``). Samples are the documents with the smallest hashed ids, so they are the same at every
look. Shown text is masked: the page of a report travels further than the data.

Cost: reads every score once or twice, row group by row group, and text only for the samples; 8 bytes for a kept
document and a counter of the hosts stay in memory. 0.5 s for 4,800 pages on one core.
"""

from __future__ import annotations

import heapq
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from textmill import storage
from textmill.filters.base import Rule
from textmill.filters.pii import EmailMask
from textmill.pipeline.stage import Stage
from textmill.pipeline.stages import (
    Clusters,
    Corpus,
    Decide,
    Edges,
    Extract,
    Keepers,
    Materialize,
    Score,
    Tokens,
    Train,
    TrainTokenizer,
)
from textmill.pipeline.stages.scores import first_reasons
from textmill.pipeline.workspace import Run, Workspace
from textmill.schema import show_doc_id
from textmill.tokenize.shards import SPLITS

LANGUAGE = "language"  # the column of labels that a language scorer writes
COPIES = ("exact_duplicate", "near_duplicate")
N_BINS = 40
RANGE_PERCENTILES = (0.5, 99.5)  # what a histogram shows; the rest is counted at its sides
RANGE_DOCUMENTS = 100_000  # documents that the range is taken from
N_TOP = 20
N_LOCATED = 50
N_KEPT_SAMPLES, N_DROPPED_SAMPLES = 6, 3  # the second for each reason
SHOWN_CHARS = 400
READ_CHARS = 5 * SHOWN_CHARS  # masking may shorten, and must see an address whole
CURVE_POINTS = 1000

AnyStage = TypeVar("AnyStage", bound=Stage)
Section = dict[str, Any]


def account_of(workspace: Workspace, run: Run) -> Section:
    """The account of a run; sections that have nothing to say are absent. Errors: `InputError` for damaged files."""
    stages = FinishedStages(workspace, run)
    sections = {
        "run": _run(run),
        "funnel": _funnel(stages),
        "statuses": _statuses(stages),
        "other_records": _other_records(stages),
        "damage": _damage(stages),
        "decisions": [_decision(stages, stage) for stage in stages.all(Decide)],
        "histograms": [made for stage in stages.all(Score) for made in _histograms(stages, stage)],
        "languages": _languages(stages),
        "hosts": _hosts(stages),
        "duplicates": _duplicates(stages),
        "masked": _masked(stages),
        "tokens": _tokens(stages),
        "model": _model(stages),
        "stages": [_stage(stages, stage, run) for stage in stages.in_order],
        "samples": _samples(stages),
    }
    return {name: section for name, section in sections.items() if section}


class FinishedStages:
    """The finished stages of a run, and their tables."""

    def __init__(self, workspace: Workspace, run: Run) -> None:
        self._workspace = workspace
        folders = [f for f in run.stages.values() if storage.exists(workspace.path(f, "_SUCCESS"))]
        loaded = [workspace.load_stage(folder) for folder in folders]
        loaded.sort(key=lambda stage: (-len(stage.ancestry()), stage.name))
        order = {ancestor.folder: ancestor for stage in loaded for ancestor in stage.ancestry()}
        self.in_order: list[Stage] = [stage for folder, stage in order.items() if folder in folders]

    def all(self, kind: type[AnyStage]) -> list[AnyStage]:
        """The stages of a class, in the order of the data."""
        return [stage for stage in self.in_order if isinstance(stage, kind)]

    def one(self, kind: type[AnyStage]) -> AnyStage | None:
        """The last stage of a class, or None."""
        found = self.all(kind)
        return found[-1] if found else None

    def folder(self, stage: Stage) -> str:
        return self._workspace.folder(stage)

    def counts(self, stage: Stage) -> Counter[str]:
        """The counts of a stage, added up over its shards."""
        return Counter(storage.read_json(storage.join(self.folder(stage), "_SUCCESS")))

    def groups(self, stage: Stage, columns: list[str]) -> Iterator[pa.Table]:
        """The row groups of a stage's tables, in order."""
        for uri in self._workspace.tables(stage.folder):
            with storage.open_parquet(uri) as file:
                for group in range(file.num_row_groups):
                    yield file.read_row_group(group, columns)

    def with_text(self, scores: Score, *wanted: tuple[Stage, list[str]]) -> Iterator[list[pa.Table]]:
        """Row groups of stages that stand beside ``scores``, side by side, without the pages that have no text."""
        of_pages = isinstance(scores.documents, Extract)
        stages = [(scores.documents, ["status"] if of_pages else []), *wanted]
        for uris in zip(*(self._workspace.tables(stage.folder) for stage, _ in stages), strict=True):
            columns = [names for _, names in stages]
            for subject, *tables in storage.read_aligned(dict(zip(uris, columns, strict=True))):
                if of_pages:
                    has_text = pc.equal(subject["status"], "ok")
                    yield [table.filter(has_text) for table in tables]
                else:
                    yield tables

    def texts(self, stage: Stage, doc_ids: Sequence[int]) -> dict[int, tuple[str, str]]:
        """URL and beginning of the text of some documents. Row groups that hold none of them are not read."""
        wanted = pa.array(doc_ids, pa.uint64())
        found: dict[int, tuple[str, str]] = {}
        for uri in self._workspace.tables(stage.folder):
            with storage.open_parquet(uri) as file:
                for group in range(file.num_row_groups):
                    chosen = pc.is_in(file.read_row_group(group, ["doc_id"])["doc_id"], wanted)
                    if pc.any(chosen).as_py():
                        rows = file.read_row_group(group, ["doc_id", "url", "text"]).filter(chosen)
                        texts = pc.utf8_slice_codeunits(rows["text"], 0, READ_CHARS).to_pylist()
                        ids, urls = rows["doc_id"].to_pylist(), rows["url"].to_pylist()
                        found |= dict(zip(ids, zip(urls, texts, strict=True), strict=True))
        return found


# -- what came in and what was left


def _run(run: Run) -> Section:
    return {
        "name": run.name,
        "dag": run.dag,
        "settings": list(run.settings),
        "versions": dict(sorted(run.versions.items())),
        "finished": run.finished,
    }


def _funnel(stages: FinishedStages) -> list[Section]:
    """The steps from records to tokens; ``bytes`` of HTML in the first, of text in the others."""
    steps = [step for stage in stages.in_order for step in _steps(stage, stages.counts(stage))]
    for before, step in zip([None, *steps], steps, strict=False):
        step["removed_from_previous"] = before["rows"] - step["rows"] if before else 0
    return steps


def _steps(stage: Stage, counts: Counter[str]) -> list[Section]:
    """What a stage adds to the funnel."""
    if isinstance(stage, Extract):
        return [
            _step("candidate records", counts["rows_out"], counts["html_bytes"]),
            _step("pages with text", counts["status_ok"], counts["text_bytes"]),
        ]
    if isinstance(stage, Materialize):
        return [_step(stage.name, counts["rows_out"], counts["text_bytes"])]
    if isinstance(stage, Decide) and not isinstance(stage.scores.documents, Extract):
        return [_step("pass the rules", counts["n_keep"], None)]
    if isinstance(stage, Corpus):
        return [_step(stage.name, counts["rows_out"], counts["text_bytes"])]
    if isinstance(stage, Tokens):
        n_docs, n_bytes, n_tokens = (sum(counts[f"{s}_{n}"] for s in SPLITS) for n in ("n_docs", "n_bytes", "n_tokens"))
        return [_step(stage.name, n_docs, n_bytes) | {"tokens": n_tokens}]
    return []


def _step(name: str, rows: int, n_bytes: int | None) -> Section:
    return {"step": name, "rows": rows, "bytes": n_bytes}


def _statuses(stages: FinishedStages) -> dict[str, int]:
    return _prefixed(stages, Extract, "status_")


def _other_records(stages: FinishedStages) -> dict[str, int]:
    return _prefixed(stages, Extract, "other_")


def _masked(stages: FinishedStages) -> dict[str, int]:
    return _prefixed(stages, Corpus, "masked_")


def _prefixed(stages: FinishedStages, kind: type[Stage], prefix: str) -> dict[str, int]:
    """The counts of a stage whose names begin with ``prefix``, the largest first."""
    stage = stages.one(kind)
    counts = stages.counts(stage) if stage else Counter()
    found = {name.removeprefix(prefix): n for name, n in counts.items() if name.startswith(prefix)}
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _damage(stages: FinishedStages) -> Section | None:
    """The stretches of the archives that could not be read, the first of them with their place."""
    pages = stages.one(Extract)
    if pages is None:
        return None
    counts = stages.counts(pages)
    located: list[Section] = []
    columns = ["status", "warc_file", "warc_offset", "warc_length"]
    for group in stages.groups(pages, columns) if counts["status_bad_record"] else ():
        damaged = group.filter(pc.equal(group["status"], "bad_record")).drop_columns("status")
        rows = damaged.rename_columns(["file", "offset", "length"]).slice(0, N_LOCATED - len(located))
        located += rows.to_pylist()
        if len(located) == N_LOCATED:
            break
    return {"n_stretches": counts["status_bad_record"], "bytes": counts["damaged_bytes"], "located": located}


def _languages(stages: FinishedStages) -> Section | None:
    scores = next((stage for stage in stages.all(Score) if LANGUAGE in stage.schema.names), None)
    if scores is None:
        return None
    corpus = stages.one(Corpus)
    kept_ids = _doc_ids(stages, corpus) if corpus else np.array([], np.uint64)
    pages: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    for (labels,) in stages.with_text(scores, (scores, [LANGUAGE])):
        pages += _value_counts(labels[LANGUAGE])
        kept += _value_counts(labels[LANGUAGE].filter(pa.array(_is_among(labels["doc_id"].to_numpy(), kept_ids))))
    return _top("language", {"pages": pages} | ({"corpus": kept} if corpus else {}))


def _hosts(stages: FinishedStages) -> Section | None:
    pages, documents, corpus = stages.one(Extract), stages.one(Materialize), stages.one(Corpus)
    if pages is None:
        return None
    with_text: Counter[str] = Counter()
    for group in stages.groups(pages, ["status", "host"]):
        with_text += _value_counts(group["host"].filter(pc.equal(group["status"], "ok")))
    columns = {"pages": with_text}
    for stage in filter(None, (documents, corpus)):
        columns[stage.name] = sum((_value_counts(group["host"]) for group in stages.groups(stage, ["host"])), Counter())
    return _top("host", columns)


def _top(label: str, columns: dict[str, Counter[str]]) -> Section:
    """The values that are most frequent in the first column, with their counts in each."""
    first = next(iter(columns.values()))
    names = heapq.nsmallest(N_TOP, first, key=lambda name: (-first[name], name))
    return {
        "n": len(first),
        "columns": list(columns),
        "top": [{label: name, "n": [counts[name] for counts in columns.values()]} for name in names],
    }


def _value_counts(column: pa.ChunkedArray) -> Counter[str]:
    return Counter({item["values"]: item["counts"] for item in pc.value_counts(column).to_pylist()})


def _doc_ids(stages: FinishedStages, stage: Stage) -> npt.NDArray[np.uint64]:
    """All document ids of a stage, sorted."""
    groups = [group["doc_id"].to_numpy() for group in stages.groups(stage, ["doc_id"])]
    return np.sort(np.concatenate([np.array([], np.uint64), *groups]))


def _is_among(values: npt.NDArray[Any], members: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Which values are in the sorted array ``members``."""
    if not len(members):
        return np.zeros(len(values), bool)
    place = np.minimum(np.searchsorted(members, values), len(members) - 1)
    return np.asarray(members[place] == values)


# -- rules and scores


class Tally(NamedTuple):
    """How many documents fail each of k rules; see the module's docstring. ``overlap`` is [k, k]: fail both."""

    alone: npt.NDArray[np.int64]
    only: npt.NDArray[np.int64]
    in_order: npt.NDArray[np.int64]
    overlap: npt.NDArray[np.int64]


def tally(fails: npt.NDArray[np.bool_]) -> Tally:
    """The `Tally` of a matrix [documents, rules] that says which document fails which rule."""
    as_numbers = fails.astype(np.int64)
    n_failed = as_numbers.sum(axis=1)
    is_first = fails & (as_numbers.cumsum(axis=1) == 1)
    only = fails & (n_failed == 1)[:, None]
    return Tally(as_numbers.sum(axis=0), only.sum(axis=0), is_first.sum(axis=0), as_numbers.T @ as_numbers)


def _decision(stages: FinishedStages, decide: Decide) -> Section:
    """What the rules of one stage did to the documents that have text."""
    reasons = [rule.reason for rule in decide.rules]
    k = len(reasons)
    total = tally(np.zeros((0, k), bool))
    n_judged = 0
    for (verdicts,) in stages.with_text(decide.scores, (decide, reasons)):
        columns = [verdicts[reason].to_numpy() for reason in reasons]
        fails = np.stack(columns, axis=1) if columns else np.zeros((len(verdicts), 0), bool)
        total = Tally(*(a + b for a, b in zip(total, tally(fails), strict=True)))
        n_judged += len(verdicts)
    return {
        "stage": decide.name,
        "n_judged": n_judged,
        "n_keep": n_judged - int(total.in_order.sum()),
        "rules": [_rule(rule, total, i) for i, rule in enumerate(decide.rules)],
        "overlap": total.overlap.tolist(),
    }


def _rule(rule: Rule, total: Tally, i: int) -> Section:
    return {
        "reason": rule.reason,
        "column": rule.column,
        "low": rule.low,
        "high": rule.high,
        "source": rule.source,
        "alone": int(total.alone[i]),
        "only": int(total.only[i]),
        "in_order": int(total.in_order[i]),
    }


class Bins(NamedTuple):
    """Edges of a histogram."""

    edges: npt.NDArray[np.float64]
    integer: bool  # then the edges lie between integers
    log: bool  # spaced evenly in the logarithm


def _histograms(stages: FinishedStages, scores: Score) -> list[Section]:
    """A histogram of every numeric column, over the documents that have text."""
    is_integer = {f.name: pa.types.is_integer(f.type) for f in scores.schema if f.name != "doc_id" and _is_number(f)}
    rules = [rule for decide in stages.all(Decide) if decide.scores.folder == scores.folder for rule in decide.rules]
    columns = list(is_integer)
    sample = _sample_values(stages, scores, columns)
    bins = {
        name: choose_bins(sample[name], is_integer[name], _bounds(rules, name)) for name in columns if len(sample[name])
    }
    counts = {name: np.zeros(len(made.edges) + 1, np.int64) for name, made in bins.items()}
    for (table,) in stages.with_text(scores, (scores, columns)):
        for name, made in bins.items():
            counts[name] += _count(table[name].to_numpy(), made.edges)
    return [_histogram(scores, name, bins[name], counts[name], rules) for name in bins]


def _is_number(field: pa.Field) -> bool:
    return bool(pa.types.is_integer(field.type) or pa.types.is_floating(field.type))


def _bounds(rules: Iterable[Rule], column: str) -> list[float]:
    bounds = [bound for rule in rules if rule.column == column for bound in (rule.low, rule.high)]
    return [bound for bound in bounds if isinstance(bound, int | float)]


def _sample_values(stages: FinishedStages, scores: Score, columns: list[str]) -> dict[str, npt.NDArray[np.float64]]:
    """The finite values of a bounded number of documents, chosen by their hashed ids."""
    share = min(1.0, RANGE_DOCUMENTS / max(1, stages.counts(scores)["rows_out"]))
    last = np.uint64(share * (2**64 - 2**11))  # the largest float64 below 2**64
    values: dict[str, list[npt.NDArray[np.float64]]] = {name: [np.array([])] for name in columns}
    for (table,) in stages.with_text(scores, (scores, columns)):
        chosen = _mix(table["doc_id"].to_numpy()) <= last
        for name in columns:
            column = table[name].to_numpy()[chosen].astype(np.float64)
            values[name].append(column[np.isfinite(column)])
    return {name: np.concatenate(parts) for name, parts in values.items()}


def choose_bins(values: npt.NDArray[np.float64], is_integer: bool, bounds: Sequence[float]) -> Bins:
    """At most `N_BINS` bins or so over the usual range of ``values``, which hold at least one.

    Bounds of rules that lie near the range are inside of it. Bins of integers have edges between the integers, and
    all hold equally many, so that no comb appears; only counts that span two decades are spaced in the logarithm.
    """
    low, high = (float(value) for value in np.percentile(values, RANGE_PERCENTILES))
    if is_integer and high >= 100 * max(low, 1):
        first, last = _stretched(math.log(max(low, 1)), math.log(high), [math.log(b) for b in bounds if b >= 1])
        low, high = round(math.exp(first)), round(math.exp(last))
        return Bins(np.unique(np.round(np.geomspace(low - 0.5, high + 0.5, N_BINS + 1) - 0.5) + 0.5), True, True)
    first, last = _stretched(low, high, bounds)
    if is_integer:
        first, last = math.floor(first), math.ceil(last)
        width = math.ceil((last - first + 1) / N_BINS)
        return Bins(np.arange(first, last + width + 1, width, dtype=np.float64) - 0.5, True, False)
    if first == last:
        first, last = first - 0.5, last + 0.5
    return Bins(np.linspace(first, last, N_BINS + 1), False, False)


def _stretched(first: float, last: float, marks: Iterable[float]) -> tuple[float, float]:
    """The range, made to hold the marks that are no further from it than it is wide."""
    width = last - first
    near = [mark for mark in marks if first - width <= mark <= last + width]
    return min([first, *near]), max([last, *near])


def _count(values: npt.NDArray[Any], edges: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """How many values lie below the edges, in each bin (the last one closed), and above."""
    inside, _ = np.histogram(values, edges)
    n_below, n_above = np.count_nonzero(values < edges[0]), np.count_nonzero(values > edges[-1])
    return np.array([n_below, *inside, n_above], np.int64)


def _histogram(scores: Score, column: str, bins: Bins, counts: npt.NDArray[np.int64], rules: Iterable[Rule]) -> Section:
    judging = [rule for rule in rules if rule.column == column]
    lows = [rule.low for rule in judging if isinstance(rule.low, int | float)]
    highs = [rule.high for rule in judging if isinstance(rule.high, int | float)]
    return {
        "stage": scores.name,
        "column": column,
        "edges": [_plain(float(edge)) for edge in bins.edges],
        "integer": bins.integer,
        "log": bins.log,
        "counts": counts[1:-1].tolist(),
        "n_below": int(counts[0]),
        "n_above": int(counts[-1]),
        "low": max(lows, default=None),
        "high": min(highs, default=None),
    }


# -- copies


def _duplicates(stages: FinishedStages) -> Section | None:
    edges, clusters, keepers = stages.one(Edges), stages.one(Clusters), stages.one(Keepers)
    if edges is None:
        return None
    counts = stages.counts(edges)
    section: Section = {
        "candidates": counts["n_candidates"],
        "edges": counts["n_edges"],
        "rejected": counts["n_rejected"],
        "threshold": edges.threshold,
        "similarity": _similarities(stages, edges),
    }
    if clusters is not None:
        section |= {"clusters": stages.counts(clusters)["n_clusters"], "members": stages.counts(clusters)["n_members"]}
        section["cluster_sizes"] = _cluster_sizes(stages, clusters)
    if keepers is not None:
        groups = stages.groups(keepers, ["removed"])
        removed = sum((_value_counts(group["removed"].drop_null()) for group in groups), Counter())
        section |= {f"removed_{kind}": removed[kind] for kind in COPIES}
    return section


def _similarities(stages: FinishedStages, edges: Edges) -> Section:
    """Histogram of the true similarity of the pairs that were found to be copies."""
    bounds = np.linspace(min(edges.threshold, 1 - 1e-6), 1, N_BINS // 2 + 1)
    bounds[0] = np.float32(edges.threshold)  # as the pairs were compared with it
    counts = np.zeros(len(bounds) - 1, np.int64)
    for group in stages.groups(edges, ["similarity"]):
        counts += np.histogram(group["similarity"].to_numpy(), bounds)[0]
    return {"edges": [_plain(float(bound)) for bound in bounds], "counts": counts.tolist()}


def _cluster_sizes(stages: FinishedStages, clusters: Clusters) -> list[Section]:
    """How many clusters there are of each size."""
    columns = [group["cluster"].to_numpy() for group in stages.groups(clusters, ["cluster"])]
    _, members = np.unique(np.concatenate([np.array([], np.uint64), *columns]), return_counts=True)
    sizes, counts = np.unique(members, return_counts=True)
    return [{"size": int(size), "n": int(n)} for size, n in zip(sizes, counts, strict=True)]


# -- tokens and model


def _tokens(stages: FinishedStages) -> Section | None:
    tokens, tokenizer = stages.one(Tokens), stages.one(TrainTokenizer)
    if tokens is None or tokenizer is None:
        return None
    counts = stages.counts(tokens)
    section: Section = {"vocab_size": stages.counts(tokenizer)["vocab_size"]}
    for split in SPLITS:
        n_tokens, n_bytes = counts[f"{split}_n_tokens"], counts[f"{split}_n_bytes"]
        per_token = _plain(n_bytes / n_tokens) if n_tokens else None
        section[split] = {
            "tokens": n_tokens,
            "docs": counts[f"{split}_n_docs"],
            "bytes": n_bytes,
            "bytes_per_token": per_token,
        }
    return section


def _model(stages: FinishedStages) -> Section | None:
    model = stages.one(Train)
    if model is None:
        return None
    summary = storage.read_json(storage.join(stages.folder(model), "summary.json"))
    every = math.ceil(stages.counts(model)["n_steps"] / CURVE_POINTS)
    with storage.open_read(storage.join(stages.folder(model), "log.jsonl")) as stream:
        curve = list(_curve(stream, every))
    return {"n_parameters": summary["n_parameters"], "sample": summary["sample"], "curve": curve}


def _curve(lines: Iterable[bytes], every: int) -> Iterator[Section]:
    """One step in ``every``, and all that were evaluated."""
    for line in lines:
        log = json.loads(line)
        evaluated = log.get("val_loss") is not None
        if "loss" in log and (evaluated or log["step"] % every == 0):
            yield {"step": log["step"], "loss": _plain(log["loss"]), "val_loss": _plain(log["val_loss"])}


def _stage(stages: FinishedStages, stage: Stage, run: Run) -> Section:
    """What a stage cost: seconds added up over its tasks, and ``run_wall_s``, the time that a person waited."""
    folder = stages.folder(stage)
    manifests = storage.manifests(folder)
    outputs = [(name, output) for manifest in manifests.values() for name, output in manifest.outputs.items()]
    stats = [storage.join(folder, f"{shard}.stats.json") for shard in manifests]
    seconds = [storage.read_json(uri) for uri in stats if storage.exists(uri)]
    counts = stages.counts(stage)
    rows = [output.rows for name, output in outputs if name.endswith(".parquet")]
    return {
        "name": stage.name,
        "tasks": len(manifests),
        "rows": counts.get("rows_out", sum(rows) if rows else None),
        "wall_s": round(sum(report["wall_s"] for report in seconds), 3),
        "cpu_s": round(sum(report["cpu_s"] for report in seconds), 3),
        "bytes_out": sum(output.n_bytes for _, output in outputs),
        "run_wall_s": run.seconds.get(stage.name),
    }


# -- samples


class Draw(NamedTuple):
    """A sampled document. Ordered by hash, which no two documents share."""

    hash: int
    doc_id: int
    value: Any  # what decided about it


def _mix(doc_ids: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """A hash of ids that looks random and that no two ids share: the finalizer of SplitMix64 (Steele et al. 2014)."""
    x = doc_ids + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))


def _draw(drawn: list[Draw], doc_ids: pa.ChunkedArray, values: pa.ChunkedArray, n: int) -> list[Draw]:
    """The ``n`` of smallest hash among those drawn before and new ones."""
    ids = doc_ids.to_numpy()
    hashes = _mix(ids)
    first = np.argsort(hashes)[:n].tolist()
    return heapq.nsmallest(n, [*drawn, *(Draw(int(hashes[i]), int(ids[i]), values[i].as_py()) for i in first)])


def _samples(stages: FinishedStages) -> Section:
    """Some kept documents, and some that were dropped for each reason, with the value that decided."""
    corpus, keepers = stages.one(Corpus), stages.one(Keepers)
    section: Section = {}
    if corpus is not None:
        section["kept"] = _kept_samples(stages, corpus)
    dropped = [sample for decide in stages.all(Decide) for sample in _dropped_samples(stages, decide)]
    if keepers is not None:
        dropped += _copy_samples(stages, keepers)
    return section | ({"dropped": dropped} if dropped else {})


def _kept_samples(stages: FinishedStages, corpus: Corpus) -> list[Section]:
    drawn: list[Draw] = []
    for group in stages.groups(corpus, ["doc_id"]):
        drawn = _draw(drawn, group["doc_id"], group["doc_id"], N_KEPT_SAMPLES)
    found = stages.texts(corpus, [draw.doc_id for draw in drawn])
    return [_shown(draw.doc_id, *found[draw.doc_id]) for draw in drawn]


def _dropped_samples(stages: FinishedStages, decide: Decide) -> list[Section]:
    """Documents under the first rule that each fails."""
    drawn: dict[str, list[Draw]] = {rule.reason: [] for rule in decide.rules}
    wanted = (decide, list(drawn)), (decide.scores, [rule.column for rule in decide.rules])
    for verdicts, scores in stages.with_text(decide.scores, *wanted):
        reasons = first_reasons(verdicts, decide.rules)
        for rule in decide.rules:
            rows = scores.filter(pc.equal(reasons, rule.reason))
            drawn[rule.reason] = _draw(drawn[rule.reason], rows["doc_id"], rows[rule.column], N_DROPPED_SAMPLES)
    columns = {rule.reason: rule.column for rule in decide.rules}
    return _masked_samples(stages, decide.scores.documents, drawn, columns)


def _copy_samples(stages: FinishedStages, keepers: Keepers) -> list[Section]:
    """Documents that were dropped as copies, with the document that stayed."""
    drawn: dict[str, list[Draw]] = {kind: [] for kind in COPIES}
    for group in stages.groups(keepers, ["doc_id", "keeper", "removed"]):
        for kind in COPIES:
            rows = group.filter(pc.equal(group["removed"], kind))
            drawn[kind] = _draw(drawn[kind], rows["doc_id"], rows["keeper"], N_DROPPED_SAMPLES)
    named = {kind: [draw._replace(value=show_doc_id(draw.value)) for draw in draws] for kind, draws in drawn.items()}
    return _masked_samples(stages, keepers.signatures.documents, named, dict.fromkeys(COPIES, "keeper"))


def _masked_samples(
    stages: FinishedStages, documents: Stage, drawn: dict[str, list[Draw]], columns: dict[str, str]
) -> list[Section]:
    """The drawn documents of each reason; their text lies in ``documents``, where it is not masked yet."""
    mask = EmailMask()
    found = stages.texts(documents, [draw.doc_id for draws in drawn.values() for draw in draws])
    samples = []
    for reason, draws in drawn.items():
        for draw in draws:
            url, text = found[draw.doc_id]
            why = {"reason": reason, "column": columns[reason], "value": _plain(draw.value)}
            samples.append(_shown(draw.doc_id, url, mask.mask(text)[0]) | why)
    return samples


def _shown(doc_id: int, url: str, text: str) -> Section:
    return {"doc_id": show_doc_id(doc_id), "url": url, "text": text[:SHOWN_CHARS]}


def _plain(value: Any) -> Any:
    """A value as JSON has it: 7 digits of a float are all that a float32 knows, and infinity is a word."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.7g}") if math.isfinite(value) else str(value)
