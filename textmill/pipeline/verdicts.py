"""What the rules of a run say of its documents, under the run's own bounds or under others, from the stored scores.

The stages of rules of a run form a chain: each judges what all before it let through. So a document has no scores in a
stage that it never reached, and of one that passes the gate only under wider bounds nobody knows what later rules say.

Rules on scores from elsewhere (`textmill.pipeline.attached`) come after all stages.

A shard is read at a time; columns of numbers only, no text (`FinishedRun.read` may keep them).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textmill.errors import InvariantError, UserError
from textmill.filters.base import Rule
from textmill.pipeline.attached import Attached
from textmill.pipeline.finished import FinishedRun
from textmill.pipeline.stages.scores import TEXT_BYTES, Decide, fails_of


class ScoredShard(NamedTuple):
    """The documents of one shard, that is, its pages with text, and their scores in every stage of the chain."""

    doc_ids: NDArray[np.uint64]  # [n], ascending
    text_bytes: NDArray[np.int64]  # [n], of the text that the last stage scored
    n_stages: NDArray[np.int64]  # [n], how many stages of the chain scored it; one more if all did and it has a value
    places: list[NDArray[np.int64]]  # for each stage, which of the documents it scored
    scores: list[pa.Table]  # for each stage, their columns
    fails: NDArray[np.bool_]  # [rules, n], as the run decided; false where it was not scored


class Verdicts(NamedTuple):
    """What some rules say of n documents. A rule fails only documents that passed all stages before its own."""

    fails: NDArray[np.bool_]  # [rules, n]
    first: NDArray[np.int64]  # [n], the first rule that fails; -1 for none
    keep: NDArray[np.bool_]  # [n]
    unknown: NDArray[np.bool_]  # [n], passes every rule that has a score to judge, and some have none


@dataclass(frozen=True)
class Chain:
    """The stages of rules of a run, in the order of the data, and rules on what else is known."""

    stages: tuple[Decide, ...]
    attached: Attached | None = None

    @classmethod
    def of(cls, run: FinishedRun, name: str) -> Chain:
        """The chain of a run. Errors: `UserError` if it has none yet."""
        last = run.one(Decide)
        if last is None:
            raise UserError(f"run {name} has no decisions yet; run its DAG with `--to decisions`, or without --to")
        return cls(tuple(stage for stage in last.ancestry() if isinstance(stage, Decide)))

    @property
    def rules(self) -> list[Rule]:
        """All rules, in order."""
        return [rule for group in self._groups for rule in group]

    @property
    def stage_of(self) -> list[int]:
        """The stage of each rule; their number for those on attached scores."""
        return [i for i, group in enumerate(self._groups) for _ in group]

    @property
    def _groups(self) -> list[tuple[Rule, ...]]:
        groups = [stage.rules for stage in self.stages]
        return groups if self.attached is None else [*groups, self.attached.rules]

    def shards(self, run: FinishedRun) -> Iterator[ScoredShard]:
        """The documents of a run. Errors: `InputError` for scores of an earlier version."""
        for tables in zip(*(_tables(run, stage) for stage in self.stages), strict=True):
            joined = _joined(self.stages, tables)
            yield joined if self.attached is None else self._with_attached(joined, self.attached)

    def _with_attached(self, shard: ScoredShard, attached: Attached) -> ScoredShard:
        place, scores = attached.of(shard.doc_ids)
        n_stages = shard.n_stages.copy()
        n_stages[place] += n_stages[place] == len(self.stages)
        none = np.zeros((len(attached.rules), len(shard.doc_ids)), bool)
        return shard._replace(
            n_stages=n_stages,
            places=[*shard.places, place],
            scores=[*shard.scores, scores],
            fails=np.vstack([shard.fails, none]),
        )

    def verdicts(self, shard: ScoredShard, rules: Sequence[Rule | None]) -> Verdicts:
        """What ``rules``, one in the place of each of the chain's (None: switched off), say of a shard."""
        fails = np.zeros((len(rules), len(shard.doc_ids)), bool)
        first = np.full(len(shard.doc_ids), -1)
        i = 0
        for group, place, scores in zip(self._groups, shard.places, shard.scores, strict=True):
            arrives = first < 0
            for rule in rules[i : i + len(group)]:
                if rule is not None:
                    fails[i, place] = rule.fails(scores[rule.column].combine_chunks())
                    fails[i] &= arrives
                    first[fails[i] & (first < 0)] = i
                i += 1
        needs_more = self.attached is not None and any(rules[i - len(self.attached.rules) : i])
        is_scored = shard.n_stages >= len(self.stages) + needs_more
        return Verdicts(fails, first, (first < 0) & is_scored, (first < 0) & ~is_scored)


def _tables(run: FinishedRun, stage: Decide) -> Iterator[list[pa.Table]]:
    """For each shard scores and decisions of its documents that have text."""
    scores = stage.scores, [TEXT_BYTES.name, *(rule.column for rule in stage.rules)]
    return run.with_text(stage.scores.documents, scores, (stage, [rule.reason for rule in stage.rules]))


def _joined(stages: Sequence[Decide], tables: Sequence[Sequence[pa.Table]]) -> ScoredShard:
    ids = [scores["doc_id"].to_numpy() for scores, _ in tables]
    doc_ids = ids[0]
    text_bytes, n_stages = np.zeros(len(doc_ids), np.int64), np.zeros(len(doc_ids), np.int64)
    fails, places = [np.zeros((0, len(doc_ids)), bool)], []
    for stage, own, (scores, decisions) in zip(stages, ids, tables, strict=True):
        place = np.searchsorted(doc_ids, own)
        if len(place) and (place.max() >= len(doc_ids) or not np.array_equal(doc_ids[place], own)):
            raise InvariantError(f"{stage.name}: judged documents that no stage before it let through")
        places.append(place)
        text_bytes[place] = scores[TEXT_BYTES.name].to_numpy()
        n_stages[place] += 1
        decided = np.zeros((len(stage.rules), len(doc_ids)), bool)
        decided[:, place] = fails_of(decisions, stage.rules)
        fails.append(decided)
    return ScoredShard(doc_ids, text_bytes, n_stages, places, [scores for scores, _ in tables], np.vstack(fails))
