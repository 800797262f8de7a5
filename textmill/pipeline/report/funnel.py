"""From records to tokens: what is left after every stage and every family of rules, in documents, bytes and tokens.

A step is a total, which a stage published, or a cause that removes something on the way to the next total. Causes are
counted in their order, each document under its first, so that they add up. Rules that follow each other and have one
family are one cause.

Bytes are of text: as extracted until editors and masks change it at the end. Tokens are bytes divided by the bytes a
token of this run, except in the last step, where they are counted.

Cost: of documents that pass the rules, reads their size once, row group by row group.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from textmill import storage
from textmill.pipeline.finished import FinishedRun
from textmill.pipeline.report.families import prefix_of, title_of
from textmill.pipeline.report.values import Section
from textmill.pipeline.stage import Stage
from textmill.pipeline.stages.corpus import Corpus
from textmill.pipeline.stages.edit import Edit
from textmill.pipeline.stages.keepers import COPIES, KEEPERS, KNOWN
from textmill.pipeline.stages.pages import Extract
from textmill.pipeline.stages.repeats import CutRepeats
from textmill.pipeline.stages.scores import Decide, Materialize
from textmill.pipeline.stages.tokens import Tokens
from textmill.tokenize.shards.token_shards import SPLITS


@dataclass(frozen=True)
class Total:
    """What a stage published. ``kinds`` names what it removed that no cause before it explains."""

    name: str
    rows: int
    n_bytes: int | None
    kinds: tuple[str, ...] = ()
    tokens: int | None = None
    of_html: bool = False


@dataclass(frozen=True)
class Cause:
    """What is removed on the way to the next total; fewer bytes than none are bytes that were added."""

    name: str
    kinds: tuple[str, ...]  # its phase, then what it is, as `textmill.pipeline.report.published` names them
    rows: int
    n_bytes: int | None


def funnel_of(run: FinishedRun, decisions: Mapping[str, Section], per_token: float) -> list[Section]:
    """The steps. ``decisions`` are those of the account, by the names of their stages."""
    steps: list[Section] = []
    for stage in run.stages:
        for found in _found(run, stage, decisions):
            steps.append(_step(found, steps[-1] if steps else None, per_token))
    return steps


def _step(found: Total | Cause, before: Section | None, per_token: float) -> Section:
    of_html = isinstance(found, Total) and found.of_html
    had = before["bytes"] if before and not before["of_html"] else None
    if isinstance(found, Total):
        rows, n_bytes, tokens = found.rows, found.n_bytes, found.tokens
        removed = before["rows"] - rows if before else 0
        removed_bytes = had - n_bytes if had is not None and n_bytes is not None else None
    else:
        removed, removed_bytes, tokens = found.rows, found.n_bytes, None
        rows = (before["rows"] if before else 0) - removed
        n_bytes = had - removed_bytes if had is not None and removed_bytes is not None else None
    estimate = None if n_bytes is None or of_html else round(n_bytes / per_token)
    return {
        "step": found.name,
        "kinds": list(found.kinds),
        "is_total": isinstance(found, Total),
        "rows": rows,
        "removed_from_previous": removed,
        "bytes": n_bytes,
        "removed_bytes": removed_bytes,
        "of_html": of_html,
        "tokens": estimate if tokens is None else tokens,
        "tokens_are_counted": tokens is not None,
    }


def _found(run: FinishedRun, stage: Stage, decisions: Mapping[str, Section]) -> Iterator[Total | Cause]:
    """What a stage adds to the funnel."""
    counts = run.counts(stage)
    if isinstance(stage, Extract):
        yield Total("candidate records", counts["rows_out"], counts["html_bytes"], of_html=True)
        yield Total("pages with text", counts["status_ok"], counts["text_bytes"], ("pages",))
    elif isinstance(stage, Decide):
        is_gate = isinstance(stage.scores.documents, Extract)
        decision = decisions[stage.name]
        yield from _rules(decision, "gate" if is_gate else "rules")
        if not is_gate:
            yield Total("pass the rules", counts["n_keep"], decision.get("bytes_keep"))
    elif isinstance(stage, Materialize):
        yield Total(stage.name, counts["rows_out"], counts["text_bytes"])
    elif isinstance(stage, CutRepeats):
        yield Total(stage.name, counts["rows_out"], counts["text_bytes"], ("repeats",))
    elif isinstance(stage, Corpus):
        yield from _copies_and_edits(run, stage, decisions.get(stage.decisions.name, {}).get("bytes_keep"))
        yield Total(stage.name, counts["rows_out"], counts["text_bytes"])
    elif isinstance(stage, Tokens):
        n_docs, n_bytes, n_tokens = (sum(counts[f"{s}_{n}"] for s in SPLITS) for n in ("n_docs", "n_bytes", "n_tokens"))
        yield Total(stage.name, n_docs, n_bytes, tokens=n_tokens)


def _rules(decision: Section, phase: str) -> Iterator[Cause]:
    """The rules of a stage, those of a family that follow each other as one."""
    for title, rules in itertools.groupby(decision["rules"], key=lambda rule: title_of(rule["column"])):
        family = list(rules)
        n_bytes = sum(rule["in_order_bytes"] for rule in family) if "bytes_keep" in decision else None
        kinds = (phase, prefix_of(family[0]["column"]))
        yield Cause(title, kinds, sum(rule["in_order"] for rule in family), n_bytes)


def _copies_and_edits(run: FinishedRun, corpus: Corpus, passing: int | None) -> Iterator[Cause]:
    """What editors, the choice among copies and masks remove from the ``passing`` bytes of text."""
    counts = run.counts(corpus)
    edited, of_copies = _compared(run, corpus)
    if isinstance(corpus.documents, Edit):
        yield Cause("lines and marks cut", ("edits",), 0, _difference(passing, edited))
    for kind in COPIES if corpus.keepers.known else [kind for kind in COPIES if kind != KNOWN]:
        n_bytes = None if edited is None else of_copies[kind]
        yield Cause(f"{kind.replace('_', ' ')}s", ("copies", kind), counts[f"removed_{kind}"], n_bytes)
    if corpus.masks:
        left = _difference(edited, sum(of_copies.values()))
        yield Cause("personal data masked", ("masks",), 0, _difference(left, counts["text_bytes"]))


def _difference(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else a - b


def _compared(run: FinishedRun, corpus: Corpus) -> tuple[int | None, dict[str, int]]:
    """Bytes of text, as it was compared, of the documents that pass, and of these of the copies of each kind.

    None if what was compared is not what the corpus holds, or is not there any more.
    """
    signatures, of_copies = corpus.keepers.signatures, dict.fromkeys(COPIES, 0)
    uris = run.tables(signatures), run.tables(corpus.decisions)
    if signatures.documents.folder != corpus.documents.folder or len(uris[0]) != len(uris[1]):
        return None, of_copies
    columns = ["doc_id", "removed"]
    none = KEEPERS.empty_table().select(columns)  # a table without rows has no row groups
    removed = pa.concat_tables([none, *run.groups(corpus.keepers, columns)])
    total = 0
    for pair in zip(*uris, strict=True):
        for sizes, verdicts in storage.read_aligned(dict(zip(pair, (["n_bytes"], ["keep"]), strict=True))):
            passing = sizes.filter(verdicts["keep"])
            total += pc.sum(passing["n_bytes"]).as_py() or 0
            for kind in COPIES:
                ids = removed.filter(pc.equal(removed["removed"], kind))["doc_id"].combine_chunks()
                of_copies[kind] += pc.sum(passing.filter(pc.is_in(passing["doc_id"], ids))["n_bytes"]).as_py() or 0
    return total, of_copies
