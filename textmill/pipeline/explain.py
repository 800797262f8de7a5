"""Everything that a run knows about one page: status, scores, rules with their margins, copies, where it went."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from textmill import schema, storage
from textmill.errors import UserError
from textmill.filters.base import Rule
from textmill.pipeline.finished import FinishedRun
from textmill.pipeline.stage import Stage
from textmill.pipeline.stages import Corpus, Decide, Extract, Keepers, Materialize, Tokens
from textmill.pipeline.workspace import Run, Workspace
from textmill.terminal import safe
from textmill.tokenize.shards import SPLITS

SHOWN_CHARS = 300
SHOWN_COPIES = 10


def explain(workspace: Workspace, run: Run, page: str) -> Iterator[str]:
    """What the run knows about a page, as lines for people. Errors: `UserError` when the page is not in the run."""
    finished = FinishedRun(workspace, run)
    found = _find(finished, page)
    if not found:
        raise UserError(f"{safe(page)}: no page of run {run.name}; `textmill show {workspace.root} pages` lists some")
    for i, row in enumerate(found):
        if i:
            yield ""
        yield from _explain_page(finished, row)


def _explain_page(run: FinishedRun, row: dict[str, Any]) -> Iterator[str]:
    doc_id = row["doc_id"]
    yield f"page {schema.show_doc_id(doc_id)}  {safe(row['url'], 500) or '(no URL)'}"
    end = row["warc_offset"] + row["warc_length"]
    yield f"  record   {safe(row['warc_file'], 500)}, bytes {row['warc_offset']:,} to {end:,}"
    yield (
        f"  fetched  {safe(row['date'])}, HTTP {row['http_status']}, {safe(row['content_type']) or 'no content type'}, "
        f"charset {safe(row['charset']) or 'none'}, {row['html_bytes']:,} bytes"
        + (f", cut short: {safe(row['truncated'])}" if row["truncated"] else "")
    )
    yield from _explain_head(row)
    yield f"  status   {row['status']}" + (f": {safe(row['fault'])}" if row.get("fault") else "")
    if row["status"] != "ok":
        yield f"  verdict  dropped: {row['status']}"
        return
    dropped = None
    for decide in run.all(Decide):
        scores, verdicts = _row(run, decide.scores, doc_id), _row(run, decide, doc_id)
        if scores is None or verdicts is None:
            break
        yield f"  {decide.name}"
        yield from _explain_scores(decide, scores, verdicts)
        dropped = dropped or next((rule.reason for rule in decide.rules if verdicts[rule.reason]), None)
    yield from _explain_copies(run, doc_id)
    yield from _explain_end(run, doc_id, dropped)


def _explain_head(row: dict[str, Any]) -> Iterator[str]:
    """What the page says of itself, as far as it says anything."""
    if row["title"]:
        yield f"  title    {safe(row['title'], 200)}"
    stated = {"language": row["html_lang"], "published": row["published"], "canonical": row["canonical_url"]}
    wishes = [name.removeprefix("optout_") for name in row if name.startswith("optout_") and row[name]]
    said = [f"{name} {safe(value, 200)}" for name, value in stated.items() if value]
    said += [f"opts out: {', '.join(wishes)}"] if wishes else []
    if said:
        yield f"  says     {', '.join(said)}"


def _explain_scores(stage: Decide, scores: dict[str, Any], verdicts: dict[str, Any]) -> Iterator[str]:
    """Every rule with its value, bounds and margin, then the scores that no rule looks at."""
    width = max(len(name) for name in [*(rule.reason for rule in stage.rules), *scores])
    for rule in stage.rules:
        value = scores[rule.column]
        verdict = "FAILS" if verdicts[rule.reason] else "ok"
        yield f"    {rule.reason:<{width}}  {verdict:<5}  {safe(value):>10}  {_bounds(rule)}{_margin(rule, value)}"
    judged = {rule.column for rule in stage.rules} | {"doc_id"}
    for name in [name for name in scores if name not in judged]:
        yield f"    {name:<{width}}         {safe(scores[name]):>10}  (no rule)"


def _bounds(rule: Rule) -> str:
    if rule.low == rule.high:
        return f"must be {rule.low}"
    if rule.low is None:
        return f"{'less than' if rule.exclusive else 'at most'} {rule.high}"
    if rule.high is None:
        return f"{'more than' if rule.exclusive else 'at least'} {rule.low}"
    return f"{'between' if rule.exclusive else ''} {rule.low} to {rule.high}".strip()


def _margin(rule: Rule, value: Any) -> str:
    """How far the value is from the nearest bound; negative when it fails."""
    if isinstance(value, str):
        return ""
    gaps = [value - low for low in [rule.low] if isinstance(low, int | float)]
    gaps += [high - value for high in [rule.high] if isinstance(high, int | float)]
    return f", margin {min(gaps):+.4g}" if gaps else ""


def _explain_copies(run: FinishedRun, doc_id: int) -> Iterator[str]:
    for keepers in run.all(Keepers):
        row = _row(run, keepers, doc_id)
        if row is None:
            if _row(run, keepers.signatures, doc_id):
                yield "  copies   none"
            continue
        members = list(_rows(run, keepers, "cluster", row["cluster"]))
        cluster = _row(run, keepers.clusters, doc_id) or {}
        yield f"  copies   cluster of {len(members)}, similarity to the nearest {cluster.get('similarity', 0):.3f}"
        members.sort(key=lambda member: (member["doc_id"] != member["keeper"], member["doc_id"] != doc_id))
        for member in members[:SHOWN_COPIES]:
            page = _row(run, keepers.signatures.documents, member["doc_id"]) or {"url": ""}
            what = "keeper" if member["doc_id"] == member["keeper"] else member["removed"] or "fails a rule"
            here = " <- this page" if member["doc_id"] == doc_id else ""
            yield f"           {schema.show_doc_id(member['doc_id']):<14} {what:<16} {safe(page['url'], 100)}{here}"
        if len(members) > SHOWN_COPIES:
            yield f"           and {len(members) - SHOWN_COPIES:,} more"


def _explain_end(run: FinishedRun, doc_id: int, dropped: str | None) -> Iterator[str]:
    for corpus in run.all(Corpus):
        row = _row(run, corpus, doc_id)
        if row is not None:
            masked = {key.removeprefix("n_masked_"): n for key, n in row.items() if key.startswith("n_masked_") and n}
            what = ", ".join(f"{n} {kind}" for kind, n in masked.items())
            yield "  verdict  kept" + (f"; masked: {what}" if what else "")
            yield from _explain_tokens(run, doc_id)
            yield f"  text     {safe(row['text'], SHOWN_CHARS)}"
            return
    copy = next((row["removed"] for keepers in run.all(Keepers) if (row := _row(run, keepers, doc_id))), None)
    if dropped or copy:
        yield f"  verdict  dropped: {dropped or copy}"
    elif run.all(Materialize):
        yield "  verdict  not decided: the run ended before the corpus"


def _explain_tokens(run: FinishedRun, doc_id: int) -> Iterator[str]:
    for tokens in run.all(Tokens):
        for split in SPLITS:
            uris = [uri for uri in run.tables(tokens) if f"/{split}/" in uri]
            for row in (row for uri in uris for row in _read(uri, "doc_id", doc_id)):
                place = f"{split}/tokens-{row['shard']:05d}.bin"
                yield f"  tokens   {place}, {row['n_tokens']:,} tokens from {row['offset']:,}"


# -- looking up rows


def _find(run: FinishedRun, page: str) -> list[dict[str, Any]]:
    """The rows of the pages table that a URL or a document id names."""
    pages = run.one(Extract)
    if pages is None:
        return []
    doc_id = schema.read_doc_id(page)
    return list(_rows(run, pages, "url", page) if doc_id is None else _rows(run, pages, "doc_id", doc_id))


def _row(run: FinishedRun, stage: Stage, doc_id: int) -> dict[str, Any] | None:
    """The row of a document in the table of a stage, or None."""
    return next(_rows(run, stage, "doc_id", doc_id), None)


def _rows(run: FinishedRun, stage: Stage, column: str, value: int | str) -> Iterator[dict[str, Any]]:
    """The rows of the table of a stage in which ``column`` has ``value``."""
    for uri in run.tables(stage):
        yield from _read(uri, column, value)


def _read(uri: str, column: str, value: int | str) -> Iterator[dict[str, Any]]:
    """The rows of a Parquet file in which ``column`` has ``value``. Row groups that cannot hold it are not read."""
    with storage.open_parquet(uri) as file:
        place = file.schema_arrow.names.index(column)
        for group in range(file.num_row_groups):
            statistics = file.metadata.row_group(group).column(place).statistics
            if statistics is not None and statistics.has_min_max and not statistics.min <= value <= statistics.max:
                continue
            table = file.read_row_group(group)
            yield from table.filter(pc.equal(table[column], pa.scalar(value, table[column].type))).to_pylist()
