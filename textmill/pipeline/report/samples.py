"""Samples of documents: some that were kept, and some that were dropped for each reason.

They are the documents with the smallest hashed ids, so they are the same at every look. Shown text is masked: a report
travels further than the data. Text is read only for the samples.

What made a document fail is looked for in the text that its rule judged, as the editors of the rule sets before it left
it, and the excerpt is from where it begins.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from textmill import storage
from textmill.filters.base import After, Editor
from textmill.filters.pii import mask_text
from textmill.pipeline.finished import FinishedRun
from textmill.pipeline.report.marks import excerpt
from textmill.pipeline.report.values import Section, plain
from textmill.pipeline.stage import Stage
from textmill.pipeline.stages import Corpus, Decide, Edit, Keepers, Score
from textmill.pipeline.stages.keepers import COPIES
from textmill.pipeline.stages.scores import first_reasons
from textmill.schema import show_doc_id
from textmill.text import Documents

N_KEPT_SAMPLES, N_DROPPED_SAMPLES = 6, 3  # the second for each reason
SHOWN_CHARS = 400
READ_CHARS = 5 * SHOWN_CHARS  # masking may shorten, and must see an address whole
SEARCHED_CHARS = 100_000  # of a text, in which it is looked for what makes a rule fail
LONGEST_SECRET_CHARS = 8_000  # a private key of 4,096 bits has 3,300: what a cut may leave unmasked


class Draw(NamedTuple):
    """A sampled document. Ordered by hash, which no two documents share."""

    hash: int
    doc_id: int
    value: Any  # what decided about it


def mix(doc_ids: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """A hash of ids that looks random and that no two ids share: the finalizer of SplitMix64 (Steele et al. 2014)."""
    x = doc_ids + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))


def _draw(drawn: list[Draw], doc_ids: pa.ChunkedArray, values: pa.ChunkedArray, n: int) -> list[Draw]:
    """The ``n`` of smallest hash among those drawn before and new ones."""
    ids = doc_ids.to_numpy()
    hashes = mix(ids)
    first = np.argsort(hashes)[:n].tolist()
    return heapq.nsmallest(n, [*drawn, *(Draw(int(hashes[i]), int(ids[i]), values[i].as_py()) for i in first)])


def samples_of(run: FinishedRun) -> Section:
    """Some kept documents, and some that were dropped for each reason, with the value that decided."""
    corpus, keepers = run.one(Corpus), run.one(Keepers)
    section: Section = {}
    if corpus is not None:
        section["kept"] = _kept_samples(run, corpus)
    dropped = [sample for decide in run.all(Decide) for sample in _dropped_samples(run, decide)]
    if keepers is not None:
        dropped += _copy_samples(run, keepers)
    return section | ({"dropped": dropped} if dropped else {})


def _kept_samples(run: FinishedRun, corpus: Corpus) -> list[Section]:
    drawn: list[Draw] = []
    for group in run.groups(corpus, ["doc_id"]):
        drawn = _draw(drawn, group["doc_id"], group["doc_id"], N_KEPT_SAMPLES)
    found = texts_of(run, corpus, [draw.doc_id for draw in drawn])
    return [_shown(draw.doc_id, *found[draw.doc_id]) for draw in drawn]


def _dropped_samples(run: FinishedRun, decide: Decide) -> list[Section]:
    """Documents under the first rule that each fails."""
    drawn: dict[str, list[Draw]] = {rule.reason: [] for rule in decide.rules}
    wanted = (decide, list(drawn)), (decide.scores, [rule.column for rule in decide.rules])
    for verdicts, scores in run.with_text(decide.scores, *wanted):
        reasons = first_reasons(verdicts, decide.rules)
        for rule in decide.rules:
            rows = scores.filter(pc.equal(reasons, rule.reason))
            drawn[rule.reason] = _draw(drawn[rule.reason], rows["doc_id"], rows[rule.column], N_DROPPED_SAMPLES)
    judged = {rule.reason: (rule.column, editors_before(decide.scores, rule.column)) for rule in decide.rules}
    return _masked_samples(run, decide.scores.documents, drawn, judged)


def _copy_samples(run: FinishedRun, keepers: Keepers) -> list[Section]:
    """Documents that were dropped as copies, with the document that stayed."""
    drawn: dict[str, list[Draw]] = {kind: [] for kind in COPIES}
    for group in run.groups(keepers, ["doc_id", "keeper", "removed"]):
        for kind in COPIES:
            rows = group.filter(pc.equal(group["removed"], kind))
            drawn[kind] = _draw(drawn[kind], rows["doc_id"], rows["keeper"], N_DROPPED_SAMPLES)
    named = {kind: [draw._replace(value=_keeper(draw.value)) for draw in draws] for kind, draws in drawn.items()}
    return _masked_samples(run, keepers.signatures.documents, named, dict.fromkeys(COPIES, ("keeper", ())))


def editors_before(scores: Score, column: str) -> tuple[Editor, ...]:
    """The editors whose work a column measures: a rule judges the text as they leave it."""
    scorer = next((scorer for scorer in scores.scorers if column in scorer.columns.names), None)
    editors: list[Editor] = []
    while isinstance(scorer, After):
        editors.append(scorer.editor)
        scorer = scorer.scorer
    return tuple(editors)


def judged_text(text: str, editors: Sequence[Editor]) -> str:
    """The text as editors leave it, masked; of a long one its beginning, up to where no secret can be cut in two."""
    is_whole = len(text) <= SEARCHED_CHARS
    text = text[:SEARCHED_CHARS]
    for editor in editors:
        text = editor.edit(Documents.from_texts([text]))[0][0].as_py()
    masked = mask_text(text)[0]
    return masked if is_whole else masked[:-LONGEST_SECRET_CHARS]


def texts_of(
    run: FinishedRun, stage: Stage, doc_ids: Sequence[int], n_chars: int = READ_CHARS
) -> dict[int, tuple[str, str]]:
    """URL and first ``n_chars`` of the text of some documents. Row groups that hold none of them are not read."""
    wanted = np.unique(np.array(doc_ids, np.uint64))
    found: dict[int, tuple[str, str]] = {}
    for uri in run.tables(stage):
        for rows in storage.read_ids(uri, ["doc_id", "url", "text"], wanted):
            texts = pc.utf8_slice_codeunits(rows["text"], 0, n_chars).to_pylist()
            ids, urls = rows["doc_id"].to_pylist(), rows["url"].to_pylist()
            found |= dict(zip(ids, zip(urls, texts, strict=True), strict=True))
    return found


def _keeper(doc_id: int | None) -> str:
    return "in an earlier run" if doc_id is None else show_doc_id(doc_id)


def _masked_samples(
    run: FinishedRun,
    documents: Stage,
    drawn: dict[str, list[Draw]],
    judged: dict[str, tuple[str, tuple[Editor, ...]]],
) -> list[Section]:
    """The drawn documents of each reason, for which a column decided, measured after some editors.

    Their text lies in ``documents``, where it is not masked yet.
    """
    found = texts_of(run, documents, [draw.doc_id for draws in drawn.values() for draw in draws], SEARCHED_CHARS + 1)
    before = documents.editors if isinstance(documents, Edit) else ()
    samples = []
    for reason, draws in drawn.items():
        column, editors = judged[reason]
        for draw in draws:
            url, text = found[draw.doc_id]
            text = judged_text(text, editors)
            start, marks = excerpt(column, text, SHOWN_CHARS)
            why = {"reason": reason, "column": column, "value": plain(draw.value)}
            what = {
                "edited_by": list(dict.fromkeys(editor.name for editor in (*before, *editors))),
                "start_chars": start,
            }
            samples.append(_shown(draw.doc_id, url, text[start:]) | why | what | {"marks": marks})
    return samples


def _shown(doc_id: int, url: str, text: str) -> Section:
    return {"doc_id": show_doc_id(doc_id), "url": url, "text": text[:SHOWN_CHARS]}
