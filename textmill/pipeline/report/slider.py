"""A page on which the bounds of a run's rules can be moved: what is kept then, and which documents change sides.

The page needs nothing else and loads nothing. It holds the scores of all documents of a small run, or of a sample of a
large one, chosen by hash. They are as the rules read them, so its verdicts are those of `textmill.pipeline.whatif`.
With a sample, what the run kept is known exactly and only the change is estimated, with its sampling error.

Page text is hostile. All that is data travels as base64 of gzip, which no parser of HTML can mistake for markup, and is
shown by setting the text of elements. The layout lies in ``slider.html.j2`` and ``slider.css``, the work is done by
``slider.js``.

Size: 20,000 documents and 60 rules make 5.9 MB if all scores are random (benchmarks/whatif.py), and less in real life.
Reads every score that a rule reads, and the row groups that hold the texts that are shown.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from textmill import storage
from textmill.errors import UserError
from textmill.filters.base import Rule
from textmill.filters.pii import ALL, mask
from textmill.pipeline.finished import FinishedRun
from textmill.pipeline.report.samples import mix, near, texts_of
from textmill.pipeline.report.values import Section, lines, long_text, templates
from textmill.pipeline.stages.keepers import Keepers
from textmill.pipeline.stages.pages import Extract
from textmill.pipeline.verdicts import Chain, ScoredShard
from textmill.pipeline.whatif import Totals, bytes_per_token, cluster_members, compares, keepers_of
from textmill.schema import show_doc_id

N_DOCUMENTS = 20_000
N_TEXTS = 2_000
TEXT_CHARS = 240
HASH_TOP = 2**64 - 2**11  # the largest float64 below 2**64


class Sample(NamedTuple):
    """The documents that the page holds, in the order of their hashes."""

    doc_ids: NDArray[np.uint64]  # [n]
    shards: NDArray[np.int64]  # [n], the number of the shard that holds it
    text_bytes: NDArray[np.int32]  # [n]
    n_stages: NDArray[np.uint8]  # [n], how many stages of rules scored it
    n_failed: NDArray[np.int64]  # [n], rules that it fails
    values: list[NDArray[Any]]  # for each rule [n], what it reads; 0 where that was not scored


def write_slider(run: FinishedRun, histograms: Sequence[Section], uri: str) -> None:
    """Write the page to ``uri``, whole or not at all; ``histograms`` are those of the run's account.

    Errors: `UserError` for a run without decisions, or where the page cannot be written.
    """
    page = to_html(*collect(run, histograms))
    try:
        storage.write_text(page, uri)
    except OSError as error:
        raise UserError(f"{uri}: cannot be written ({error.strerror}); choose another place") from error


def to_html(facts: Section, columns: bytes) -> str:
    """The page, from what `collect` found."""
    environment = templates(trim_blocks=False, lstrip_blocks=False)
    packed = _packed(json.dumps(facts, allow_nan=False).encode())
    return environment.get_template("slider.html.j2").render(facts=packed, columns=_packed(columns))


def _packed(data: bytes) -> str:
    # Level 6 takes twice as long, for 3 % less.
    return base64.b64encode(gzip.compress(data, mtime=0, compresslevel=4)).decode()


def collect(run: FinishedRun, histograms: Sequence[Section]) -> tuple[Section, bytes]:
    """What the page knows, as JSON values, and the columns of its documents, one after the other."""
    chain = Chain.of(run, run.run.name)
    sample, totals, n_documents = _sample(run, chain)
    is_complete = len(sample.doc_ids) == n_documents
    blocks: list[NDArray[Any]] = [sample.text_bytes, sample.n_stages, *sample.values]
    comparison = compares(run, chain)
    shapes = {(made["stage"], made["column"]): made for made in histograms}
    facts: Section = {
        "run": run.run.name,
        "n_documents": n_documents,
        "n_sample": len(sample.doc_ids),
        "kept": totals.section(bytes_per_token(run)["value"]),
        "bytes_per_token": bytes_per_token(run),
        "stages": [stage.name for stage in chain.stages],
        "rules": [_rule(chain, i, comparison, sample.values[i], shapes) for i in range(len(chain.rules))],
        "doc_ids": [show_doc_id(int(doc_id)) for doc_id in sample.doc_ids],
        "texts": _texts(run, chain, sample),
    }
    keepers = keepers_of(run, chain)
    if is_complete and keepers:
        members, clusters = _copies(run, keepers, sample)
        blocks += [members, clusters]
        facts["n_members"] = len(members)
    return facts, b"".join(block.astype(block.dtype.newbyteorder("<")).tobytes() for block in blocks)


def _rule(
    chain: Chain, i: int, comparison: set[str], values: NDArray[Any], shapes: dict[tuple[str, str], Section]
) -> Section:
    rule, stage = chain.rules[i], chain.stages[chain.stage_of[i]]
    shape = shapes.get((stage.scores.name, rule.column), {})
    return {
        "reason": rule.reason,
        "column": rule.column,
        "source": rule.source,
        "stage": chain.stage_of[i],
        "low": rule.low,
        "high": rule.high,
        "exclusive": rule.exclusive,
        "label": _is_label(rule),
        "decides_comparison": stage.folder in comparison,
        "type": values.dtype.str[1:],
        "histogram": {key: shape[key] for key in ("edges", "counts", "integer", "log") if shape},
    }


def _is_label(rule: Rule) -> bool:
    return isinstance(rule.low, str) or isinstance(rule.high, str)


# -- the documents


def _sample(run: FinishedRun, chain: Chain) -> tuple[Sample, Totals, int]:
    """The documents of the page, what the run kept, and of how many documents."""
    last = np.uint64(min(1.0, N_DOCUMENTS / max(1, _n_expected(run, chain))) * HASH_TOP)
    totals, n_documents = Totals.of(len(chain.rules)), 0
    parts: list[Sample] = [_part(chain, 0, _no_documents(chain), np.uint64(0))]
    for number, shard in enumerate(chain.shards(run)):
        n_documents += len(shard.doc_ids)
        totals.add(shard, chain.verdicts(shard, chain.rules))
        parts.append(_part(chain, number, shard, last))
    return _by_hash(parts), totals, n_documents


def _by_hash(parts: Sequence[Sample]) -> Sample:
    """All parts as one, in the order of the hashes, and no more than fit the page."""
    doc_ids = np.concatenate([part.doc_ids for part in parts])
    order = np.argsort(mix(doc_ids))[:N_DOCUMENTS]
    return Sample(
        doc_ids[order],
        np.concatenate([part.shards for part in parts])[order],
        np.concatenate([part.text_bytes for part in parts])[order],
        np.concatenate([part.n_stages for part in parts])[order],
        np.concatenate([part.n_failed for part in parts])[order],
        [np.concatenate(columns)[order] for columns in zip(*(part.values for part in parts), strict=True)],
    )


def _n_expected(run: FinishedRun, chain: Chain) -> int:
    """How many documents have text."""
    first = chain.stages[0].scores
    if isinstance(first.documents, Extract):
        return run.counts(first.documents)["status_ok"]
    return run.counts(first)["rows_out"]


def _no_documents(chain: Chain) -> ScoredShard:
    none = np.array([], np.int64)
    scores = [stage.scores.schema.empty_table() for stage in chain.stages]
    fails = np.zeros((len(chain.rules), 0), bool)
    return ScoredShard(none.astype(np.uint64), none, none, [none for _ in scores], scores, fails)


def _part(chain: Chain, number: int, shard: ScoredShard, last: np.uint64) -> Sample:
    """The documents of a shard whose hash is at most ``last``."""
    chosen = mix(shard.doc_ids) <= last
    values = []
    for rule, stage in zip(chain.rules, chain.stage_of, strict=True):
        column = shard.scores[stage][rule.column].combine_chunks()
        own = rule.fails(column).astype(np.uint8) if _is_label(rule) else _as_javascript_has_it(column)
        whole = np.zeros(len(chosen), own.dtype)
        whole[shard.places[stage]] = own
        values.append(whole[chosen])
    text_bytes, n_stages = shard.text_bytes.astype(np.int32), shard.n_stages.astype(np.uint8)
    n_failed = shard.fails.sum(axis=0)
    doc_ids = shard.doc_ids[chosen]
    shards = np.full(len(doc_ids), number)
    return Sample(doc_ids, shards, text_bytes[chosen], n_stages[chosen], n_failed[chosen], values)


def _as_javascript_has_it(column: pa.Array) -> NDArray[Any]:
    """Numbers in a type that JavaScript has, which compares as the rules do; those of 64 bits as float64."""
    values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    if values.dtype == bool:
        return values.astype(np.uint8)
    return values.astype(np.float64) if values.dtype in (np.int64, np.uint64) else values


def _texts(run: FinishedRun, chain: Chain, sample: Sample) -> list[list[Any]]:
    """[place in the sample, URL, beginning of the text] of some documents, as many of each kind as there are.

    Kinds are kept, failing one rule, failing more, by the last stage that scored them: so that whatever changes sides,
    some of it can be read. They lie in shards that are `near`.
    """
    n_by_shard = np.bincount(sample.shards, minlength=len(run.tables(chain.stages[0])))
    places = np.flatnonzero(near(n_by_shard)[sample.shards])
    kind = (len(chain.stages) * np.minimum(sample.n_failed, 2) + sample.n_stages)[places]
    place_in_kind = np.zeros(len(kind), np.int64)
    for each in np.unique(kind):
        place_in_kind[kind == each] = np.arange(np.count_nonzero(kind == each))
    chosen = np.sort(places[np.argsort(place_in_kind, kind="stable")[:N_TEXTS]])
    found = texts_of(run, chain.stages[0].scores.documents, sample.doc_ids[chosen].tolist()) if len(chosen) else {}
    urls_and_texts = [found[i] for i in sample.doc_ids[chosen].tolist()]
    masked, _ = mask(pa.array([text for _, text in urls_and_texts], pa.large_string()), ALL)
    return [
        [place, long_text(url), lines(text[:TEXT_CHARS])]
        for place, (url, _), text in zip(chosen.tolist(), urls_and_texts, masked.to_pylist(), strict=True)
    ]


def _copies(run: FinishedRun, keepers: Keepers, sample: Sample) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Members of clusters, the preferred of each first: their places in the sample, and their clusters' numbers."""
    members = cluster_members(run, keepers)
    order = np.argsort(sample.doc_ids)
    places = order[np.searchsorted(sample.doc_ids, members["doc_id"].to_numpy(), sorter=order)]
    clusters = pc.dictionary_encode(members["cluster"].combine_chunks()).indices.to_numpy()
    return places.astype(np.int32), clusters.astype(np.int32)
