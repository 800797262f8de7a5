"""The rules of a DAG against a sample of its input, before a long run: what fires never or always, and what is kept.

Some shards, spread evenly over the input, go through the stages up to the last decision, in this process and in a
workspace that is removed again. What is found:

wrong   a rule that fails every document that reaches it; a stage that no document reaches; a bound outside of 0 to 1 on
        a share (30 where .3 was meant)
note    a rule that fails nothing; a bound outside of the range that was seen; a fraction as the bound of a count; two
        rules that fail the same documents

A sample cannot show that a rule never fires: of n documents, one that fails 3 in n is missed one time in twenty (Hanley
and Lippman-Hand 1983, the rule of three).

How much is kept is estimated as a ratio over shards, with its 95% interval by Student's t (Cochran 1977, section 6.4):
documents of one shard are more alike than those of two, so counting documents as if drawn one by one would promise too
much.
"""

from __future__ import annotations

import hashlib
import math
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from textmill import storage
from textmill.errors import UserError
from textmill.filters.base import Rule
from textmill.pipeline.finished import FinishedRun
from textmill.pipeline.report.values import number
from textmill.pipeline.runner import TaskAddress, run_task
from textmill.pipeline.stage import Stage
from textmill.pipeline.stages.pages import Extract
from textmill.pipeline.stages.scores import Decide
from textmill.pipeline.verdicts import Chain, ScoredShard, Verdicts
from textmill.pipeline.workspace import Workspace, new_run
from textmill.terminal import console, counter, size, table

WRONG, NOTE = "wrong", "note"
RULE_OF_THREE = 3
# Student's t, 97.5%, by degrees of freedom from 1; further on 1.96 + 2.6 / degrees, which is within .5%.
STUDENT_T = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23)


@dataclass(frozen=True)
class Finding:
    """What is wrong, or worth a look, with a rule or a stage of rules."""

    kind: str  # WRONG or NOTE
    about: str  # a reason, or the name of a stage
    text: str


class Estimate(NamedTuple):
    """A ratio or a total, and its 95% interval; NaN bounds where one shard says nothing of how others differ."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> Estimate:
        return Estimate(*(factor * x for x in self))


@dataclass(frozen=True)
class Checked:
    """What a sample of the input shows."""

    findings: list[Finding]
    n_sampled: int  # shards
    n_shards: int
    docs: int  # in the sample, with text
    kept: int  # of these
    kept_frac: Estimate  # of the documents with text
    kept_docs: Estimate  # in the whole input
    kept_bytes: Estimate
    cost: dict[str, tuple[float, float]]  # stage -> CPU seconds and bytes written, for the whole input

    @property
    def is_wrong(self) -> bool:
        """Whether a long run would be wasted."""
        return any(finding.kind == WRONG for finding in self.findings)


def check(target: Stage, n_shards: int) -> Checked:
    """Run ``n_shards`` shards of a pipeline up to its last decision, and look at its rules.

    Errors: `UserError` for a pipeline without rules; whatever its stages raise.
    """
    last, left_out = _last_decide(target)
    source = next(stage for stage in last.ancestry() if isinstance(stage, Extract))
    every = source.shards()
    chosen = _spread(every, n_shards)
    with tempfile.TemporaryDirectory(prefix="textmill-plan-") as folder:
        workspace = Workspace(folder)
        workspace.create()
        _run_shards(workspace, last, chosen)
        run = FinishedRun(workspace, new_run("plan", [], last))
        chain = Chain.of(run, "plan")
        seen = Seen.of(chain.rules)
        for shard in chain.shards(run):
            seen.add(chain, shard, chain.verdicts(shard, chain.rules))
        archive_bytes = [r.end - r.start for r in source.source.ranges()]
        n_bytes = np.array([archive_bytes[every.index(shard)] for shard in chosen])
        cost = {s.name: _cost(workspace.folder(s), chosen, n_bytes, sum(archive_bytes)) for s in last.ancestry()}
    kept, docs = np.array(seen.kept), np.array(seen.docs)
    bytes_a_doc = seen.text_bytes / max(1, int(docs.sum()))
    return Checked(
        [*_look_at_bounds(chain), *_look_at_verdicts(chain, seen), *left_out],
        len(chosen),
        len(every),
        int(docs.sum()),
        int(kept.sum()),
        ratio(kept, docs, len(every), most=1.0),
        ratio(kept, n_bytes, len(every)).times(sum(archive_bytes)),
        ratio(np.array(seen.kept_bytes), n_bytes, len(every), unit=bytes_a_doc).times(sum(archive_bytes)),
        cost,
    )


# -- the sample


def _last_decide(target: Stage) -> tuple[Decide, list[Finding]]:
    """The last stage of rules that a few shards are enough for, and a note for each that needs all."""
    decides = [stage for stage in target.ancestry() if isinstance(stage, Decide)]
    if not decides:
        raise UserError(f"nothing to check: no rules on the way to {target.name!r}")
    possible = [stage for stage in decides if _is_by_shard(stage)]
    if not possible:
        raise UserError(f"a sample cannot be checked: the rules of {decides[0].name!r} need all documents")
    note = "not checked: a stage before it needs all documents"
    return possible[-1], [Finding(NOTE, stage.name, note) for stage in decides if stage not in possible]


def _is_by_shard(stage: Stage) -> bool:
    """Whether every stage before it goes document by document, and so keeps the shards of the archives."""
    sources = [parent.shards() for parent in stage.ancestry() if isinstance(parent, Extract)]
    return len(sources) == 1 and all(parent.shards() == sources[0] for parent in stage.ancestry())


def _spread(shards: Sequence[str], n: int) -> list[str]:
    """``n`` of the shards, evenly over all."""
    n = min(n, len(shards))
    return [shards[(2 * i + 1) * len(shards) // (2 * n)] for i in range(n)]


def _run_shards(workspace: Workspace, last: Stage, shards: Sequence[str]) -> None:
    stages = last.ancestry()
    for stage in stages:
        stage.preflight(workspace.root)
        workspace.save_stage(stage)
    with counter("running a sample", len(stages) * len(shards)) as advance:
        for stage in stages:
            for shard in shards:
                run_task(TaskAddress(workspace.root, stage.folder, shard))
                advance(1)
            totals: Counter[str] = Counter()
            for manifest in storage.manifests(workspace.folder(stage)).values():
                totals.update(manifest.counts)
            storage.write_json(dict(totals), storage.join(workspace.folder(stage), "_SUCCESS"))


def _cost(folder: str, shards: Sequence[str], n_bytes: NDArray[Any], n_bytes_all: int) -> tuple[float, float]:
    """CPU seconds and bytes written of a stage for the whole input.

    The first shard loads models and kernels for all, so it counts only where there is no other.
    """
    reports = [storage.read_json(storage.join(folder, f"{shard}.stats.json")) for shard in shards]
    usual = slice(1, None) if len(shards) > 1 else slice(None)
    scale = n_bytes_all / max(1, int(n_bytes[usual].sum()))
    return sum(r["cpu_s"] for r in reports[usual]) * scale, sum(r["n_bytes_out"] for r in reports[usual]) * scale


def ratio(
    parts: NDArray[Any], wholes: NDArray[Any], n_all: int, *, most: float = math.inf, unit: float = 1.0
) -> Estimate:
    """Sum of ``parts`` over sum of ``wholes``, one of each a sampled shard, as an estimate for all ``n_all`` shards.

    ``unit`` is what one document adds to ``parts``; no interval is narrower than three of them on either side.
    """
    n = len(parts)
    if not wholes.sum():
        return Estimate(math.nan, math.nan, math.nan)
    value = float(parts.sum() / wholes.sum())
    if n == n_all:
        return Estimate(value, value, value)
    if n == 1:
        return Estimate(value, math.nan, math.nan)
    residuals = parts - value * wholes
    variance = (1 - n / n_all) * float((residuals**2).sum()) / (n - 1) / n / float(wholes.mean()) ** 2
    student = STUDENT_T[n - 2] if n - 2 < len(STUDENT_T) else 1.96 + 2.6 / (n - 1)
    half = max(student * math.sqrt(variance), RULE_OF_THREE * unit / float(wholes.sum()))
    return Estimate(value, max(0.0, value - half), min(most, value + half))


@dataclass
class Seen:
    """What the rules of a chain did to the documents of some shards."""

    judged: NDArray[np.int64]  # [rules], documents that reach it
    fails: NDArray[np.int64]  # [rules]
    low: list[float]  # [rules], the smallest value
    high: list[float]
    verdicts: list[Any]  # [rules], a hash of which documents fail
    docs: list[int] = field(default_factory=list)  # a shard, with text
    kept: list[int] = field(default_factory=list)
    kept_bytes: list[int] = field(default_factory=list)
    text_bytes: int = 0

    @classmethod
    def of(cls, rules: Sequence[Rule]) -> Seen:
        k = len(rules)
        return cls(
            np.zeros(k, np.int64),
            np.zeros(k, np.int64),
            [math.inf] * k,
            [-math.inf] * k,
            [hashlib.sha256() for _ in rules],
        )

    def add(self, chain: Chain, shard: ScoredShard, verdicts: Verdicts) -> None:
        self.fails += verdicts.fails.sum(axis=1)
        for i, (rule, stage) in enumerate(zip(chain.rules, chain.stage_of, strict=True)):
            values = shard.scores[stage][rule.column]
            self.judged[i] += len(values)
            self.verdicts[i].update(np.packbits(verdicts.fails[i]).tobytes())
            if len(values) and not pa.types.is_string(values.type):
                seen = pc.min_max(values).as_py()
                self.low[i], self.high[i] = min(self.low[i], seen["min"]), max(self.high[i], seen["max"])
        self.docs.append(len(shard.doc_ids))
        self.kept.append(int(verdicts.keep.sum()))
        self.text_bytes += int(shard.text_bytes.sum())
        self.kept_bytes.append(int(shard.text_bytes[verdicts.keep].sum()))


# -- what is found


def _look_at_bounds(chain: Chain) -> Iterator[Finding]:
    """Mistakes of units, from the names and types of the columns alone."""
    for rule, stage in zip(chain.rules, chain.stage_of, strict=True):
        kind = chain.stages[stage].scores.schema.field(rule.column).type
        for bound in (rule.low, rule.high):
            if not isinstance(bound, int | float):
                continue
            if rule.column.endswith("_frac") and not 0 <= bound <= 1:
                meant = f"; for {number(bound)} % write {bound / 100:g}" if 1 < bound <= 100 else ""
                yield Finding(WRONG, rule.reason, f"bound {number(bound)} on {rule.column}, a share from 0 to 1{meant}")
            elif pa.types.is_integer(kind) and bound != int(bound):
                yield Finding(
                    NOTE, rule.reason, f"bound {number(bound)} on {rule.column}, which counts in whole numbers"
                )


def _look_at_verdicts(chain: Chain, seen: Seen) -> Iterator[Finding]:
    yield from _unreached(chain, seen)
    same: dict[bytes, str] = {}
    for i, rule in enumerate(chain.rules):
        n, judged = int(seen.fails[i]), int(seen.judged[i])
        if not judged:
            continue
        if n == judged:
            yield Finding(WRONG, rule.reason, f"fails all {judged:,} documents that reach it{_range(seen, i)}")
        elif not n:
            often = f"fails none of {judged:,} documents: fewer than {RULE_OF_THREE / judged:.2%} of all, most likely"
            yield Finding(NOTE, rule.reason, f"{often}{_range(seen, i)}")
        else:
            yield from _out_of_range(rule, seen.low[i], seen.high[i])
            first = same.setdefault(seen.verdicts[i].digest(), rule.reason)
            if first != rule.reason:
                yield Finding(NOTE, rule.reason, f"fails the same {n:,} documents as {first}")


def _unreached(chain: Chain, seen: Seen) -> Iterator[Finding]:
    reached = {stage for stage, judged in zip(chain.stage_of, seen.judged, strict=True) if judged}
    for i, stage in enumerate(chain.stages):
        if stage.rules and i not in reached:
            yield Finding(WRONG, stage.name, "no document reaches these rules")


def _range(seen: Seen, i: int) -> str:
    return f"; values are {number(seen.low[i])} to {number(seen.high[i])}" if seen.low[i] <= seen.high[i] else ""


def _out_of_range(rule: Rule, low: float, high: float) -> Iterator[Finding]:
    """A bound that nothing reaches, of a rule whose other bound fires."""
    if isinstance(rule.low, int | float) and rule.low < low:
        yield Finding(NOTE, rule.reason, f"nothing is below {number(rule.low)}: the smallest value is {number(low)}")
    if isinstance(rule.high, int | float) and rule.high > high:
        yield Finding(NOTE, rule.reason, f"nothing is above {number(rule.high)}: the largest value is {number(high)}")


# -- on the terminal


def print_checked(checked: Checked) -> None:
    """One line a finding, the worst first, and a forecast for the whole input."""
    out = console()
    rows = [[f.kind, f.about, f.text] for f in sorted(checked.findings, key=lambda f: f.kind != WRONG)]
    title = f"{checked.n_sampled:,} of {checked.n_shards:,} shards, {checked.docs:,} documents with text"
    out.print(f"\nchecked on {title}", markup=False)
    if rows:
        out.print(table("Findings", ["", "rule", "what"], rows, max_chars=200))
    else:
        out.print("no findings", markup=False)
    out.print()
    what = [
        ["kept, of documents with text", _share(checked.kept_frac.value), _interval(checked.kept_frac, _share)],
        ["documents kept", _whole(checked.kept_docs.value), _interval(checked.kept_docs, _whole)],
        ["text kept", _size(checked.kept_bytes.value), _interval(checked.kept_bytes, _size)],
    ]
    out.print(table("Whole input, before copies are removed", ["", "estimate", "95% interval"], what))
    costs = [[name, f"{seconds:,.0f}", size(n_bytes)] for name, (seconds, n_bytes) in checked.cost.items()]
    total = [sum(values) for values in zip(*checked.cost.values(), strict=True)]
    costs.append(["all of these", f"{total[0]:,.0f}", size(total[1])])
    out.print()
    out.print(table("Cost of the whole input, about", ["stage", "CPU seconds", "written"], costs))


def _interval(estimate: Estimate, show: Any) -> str:
    if math.isnan(estimate.low):
        return "not from one shard"
    return "exact" if estimate.low == estimate.high else f"{show(estimate.low)} to {show(estimate.high)}"


def _share(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.1%}"


def _whole(value: float) -> str:
    return "" if math.isnan(value) else f"{value:,.0f}"


def _size(value: float) -> str:
    return "" if math.isnan(value) else size(value)
