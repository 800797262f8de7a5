"""Samples of documents: some that were kept, and some that were dropped for each reason.

They are the documents with the smallest hashed ids, so they are the same at every look. Shown text is masked: a report
travels further than the data.

Text is read only for the samples, and to read one is to read the thousands of its row group. So the documents come from
a few shards of the run, chosen by hash, and from others only where those have too few.

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
from textmill.pipeline.stages.corpus import Corpus
from textmill.pipeline.stages.edit import Edit
from textmill.pipeline.stages.keepers import COPIES, Keepers
from textmill.pipeline.stages.scores import Decide, Materialize, Score, first_failures
from textmill.schema import show_doc_id
from textmill.text import Documents

N_KEPT_SAMPLES, N_DROPPED_SAMPLES = 6, 3  # the second for each reason
NEAR_DOCUMENTS = 4_000  # that samples come from, if these have enough; fewer shards, less to read
SHOWN_CHARS = 400
READ_CHARS = 5 * SHOWN_CHARS  # masking may shorten, and must see an address whole
SEARCHED_CHARS = 100_000  # of a text, in which it is looked for what makes a rule fail
LONGEST_SECRET_CHARS = 8_000  # a private key of 4,096 bits has 3,300: what a cut may leave unmasked


class Draw(NamedTuple):
    """A sampled document. Those in shards that are `near` come first, then it is by hash, which no two share."""

    is_far: bool
    hash: int
    doc_id: int
    value: Any  # what decided about it


class Drawn(NamedTuple):
    """The sampled documents of some reasons."""

    documents: Stage  # which was judged; its texts are not masked yet
    draws: dict[str, list[Draw]]  # by reason
    judged: dict[str, tuple[str, tuple[Editor, ...]]]  # for each reason a column, and editors before it was measured


def mix(doc_ids: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """A hash of ids that looks random and that no two ids share: the finalizer of SplitMix64 (Steele et al. 2014)."""
    x = doc_ids + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))


def near(n_documents: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which shards texts to be shown are read from in the first place, by how many documents each shard holds.

    In an order that is any, but always the same, so many shards that they hold `NEAR_DOCUMENTS`.
    """
    order = np.argsort(mix(np.arange(len(n_documents), dtype=np.uint64)))
    n_before = np.cumsum(n_documents[order]) - n_documents[order]
    is_near = np.zeros(len(n_documents), bool)
    is_near[order[n_before < NEAR_DOCUMENTS]] = True
    return is_near


def samples_of(run: FinishedRun) -> Section:
    """Some kept documents, and some that were dropped for each reason, with the value that decided."""
    corpus, keepers = run.one(Corpus), run.one(Keepers)
    section: Section = {}
    if corpus is not None:
        section["kept"] = _kept_samples(run, corpus)
    drawn = [_draw_dropped(run, decide) for decide in run.all(Decide)]
    if keepers is not None:
        drawn.append(_draw_copies(run, keepers))
    dropped = _masked_samples(run, drawn)
    return section | ({"dropped": dropped} if dropped else {})


def _kept_samples(run: FinishedRun, corpus: Corpus) -> list[Section]:
    drawn: dict[str, list[Draw]] = {"": []}
    for uri, is_near in zip(run.tables(corpus), near(run.rows(corpus)), strict=True):
        doc_ids = run.read(uri, ["doc_id"])["doc_id"]
        _draw(drawn, doc_ids, np.zeros(len(doc_ids), np.int64), [doc_ids], N_KEPT_SAMPLES, is_near)
    found = texts_of(run, corpus, [draw.doc_id for draw in drawn[""]])
    return [_shown(draw.doc_id, *found[draw.doc_id]) for draw in drawn[""]]


def _draw_dropped(run: FinishedRun, decide: Decide) -> Drawn:
    """Documents under the first rule that each fails."""
    drawn: dict[str, list[Draw]] = {rule.reason: [] for rule in decide.rules}
    documents, columns = decide.scores.documents, [rule.column for rule in decide.rules]
    shards = run.with_text(documents, (decide, list(drawn)), (decide.scores, columns))
    for (verdicts, scores), is_near in zip(shards, near(run.rows(_source(run, documents))), strict=True):
        values = [scores[column] for column in columns]
        first = first_failures(verdicts, decide.rules)
        _draw(drawn, scores["doc_id"], first, values, N_DROPPED_SAMPLES, is_near)
    judged = {rule.reason: (rule.column, editors_before(decide.scores, rule.column)) for rule in decide.rules}
    return Drawn(documents, drawn, judged)


def _draw_copies(run: FinishedRun, keepers: Keepers) -> Drawn:
    """Documents that were dropped as copies, with the document that stayed."""
    drawn: dict[str, list[Draw]] = {kind: [] for kind in COPIES}
    for group in run.groups(keepers, ["doc_id", "keeper", "removed"]):
        kinds = pc.index_in(group["removed"].combine_chunks(), pa.array(COPIES)).fill_null(-1).to_numpy()
        _draw(drawn, group["doc_id"], kinds, [group["keeper"]] * len(COPIES), N_DROPPED_SAMPLES)
    named = {kind: [draw._replace(value=_keeper(draw.value)) for draw in draws] for kind, draws in drawn.items()}
    return Drawn(keepers.signatures.documents, named, dict.fromkeys(COPIES, ("keeper", ())))


def _draw(
    drawn: dict[str, list[Draw]],
    doc_ids: pa.ChunkedArray,
    kinds: npt.NDArray[np.integer],
    values: Sequence[pa.ChunkedArray],
    n: int,
    is_near: bool = True,
) -> None:
    """Draws for each kind ``n`` documents of those drawn before and new ones.

    ``kinds`` are places in ``drawn``, -1 for what is not drawn; ``values`` hold a column for each kind.
    """
    chosen = np.flatnonzero(kinds >= 0)
    ids = doc_ids.to_numpy()[chosen]
    hashes = mix(ids)
    order = np.argsort(hashes)
    kinds_in_order = kinds[chosen[order]]
    for i, (kind, column) in enumerate(zip(drawn, values, strict=True)):
        rows = order[kinds_in_order == i][:n].tolist()
        new = (Draw(not is_near, int(hashes[j]), int(ids[j]), column[int(chosen[j])].as_py()) for j in rows)
        drawn[kind] = heapq.nsmallest(n, [*drawn[kind], *new])


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
        if not storage.is_among(run.read(uri, ["doc_id"])["doc_id"].to_numpy(), wanted).any():
            continue
        for rows in storage.read_ids(uri, ["doc_id", "url", "text"], wanted):
            texts = pc.utf8_slice_codeunits(rows["text"], 0, n_chars).to_pylist()
            ids, urls = rows["doc_id"].to_pylist(), rows["url"].to_pylist()
            found |= dict(zip(ids, zip(urls, texts, strict=True), strict=True))
    return found


def _keeper(doc_id: int | None) -> str:
    return "in an earlier run" if doc_id is None else show_doc_id(doc_id)


def _source(run: FinishedRun, documents: Stage) -> Stage:
    """The first stage that has the texts of ``documents``, so that all are read from one table if possible."""
    while isinstance(documents, Materialize) and run.tables(documents.pages):
        documents = documents.pages
    return documents


def _masked_samples(run: FinishedRun, drawn: Sequence[Drawn]) -> list[Section]:
    """The drawn documents, from where it begins what decided about them."""
    sources = [_source(run, each.documents) for each in drawn]
    doc_ids: dict[str, list[int]] = {source.folder: [] for source in sources}
    for source, each in zip(sources, drawn, strict=True):
        doc_ids[source.folder] += [draw.doc_id for draws in each.draws.values() for draw in draws]
    stages = {source.folder: source for source in sources}
    found = {folder: texts_of(run, stages[folder], ids, SEARCHED_CHARS + 1) for folder, ids in doc_ids.items()}
    return [
        _masked_sample(each, reason, draw, *found[source.folder][draw.doc_id])
        for source, each in zip(sources, drawn, strict=True)
        for reason, draws in each.draws.items()
        for draw in draws
    ]


def _masked_sample(drawn: Drawn, reason: str, draw: Draw, url: str, text: str) -> Section:
    column, editors = drawn.judged[reason]
    text = judged_text(text, editors)
    start, marks = excerpt(column, text, SHOWN_CHARS)
    before = drawn.documents.editors if isinstance(drawn.documents, Edit) else ()
    why = {"reason": reason, "column": column, "value": plain(draw.value)}
    what = {"edited_by": list(dict.fromkeys(editor.name for editor in (*before, *editors))), "start_chars": start}
    return _shown(draw.doc_id, url, text[start:]) | why | what | {"marks": marks}


def _shown(doc_id: int, url: str, text: str) -> Section:
    return {"doc_id": show_doc_id(doc_id), "url": url, "text": text[:SHOWN_CHARS]}
