"""Everything that a run knows about one page: status, scores, rules with their margins, copies, where it went."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from textmill import schema, storage
from textmill.errors import UserError
from textmill.filters.base import Rule
from textmill.pipeline.stage import Stage
from textmill.pipeline.stages import Corpus, Decide, Keepers, Materialize
from textmill.pipeline.workspace import Run, Workspace
from textmill.terminal import safe

SHOWN_CHARS = 300


class PageHistory:
    """Looks up the rows of one document in the tables of a run."""

    def __init__(self, workspace: Workspace, run: Run) -> None:
        self.workspace, self.run = workspace, run
        made = {name: folder for name, folder in run.stages.items() if self._made(folder)}
        self.stages: dict[str, Stage] = {name: workspace.load_stage(folder) for name, folder in made.items()}

    def _made(self, folder: str) -> bool:
        return storage.exists(self.workspace.path(folder, "_SUCCESS"))

    def find(self, page: str) -> list[dict[str, Any]]:
        """The rows of the pages table that a URL or a document id names."""
        by_id = schema.read_doc_id(page)
        if by_id is not None:
            row = self.row("pages", by_id)
            return [row] if row else []
        return [row for uri in self._tables("pages") for row in _read(uri, "url", page)]

    def row(self, table: str, doc_id: int) -> dict[str, Any] | None:
        """The row of a document in a table, or None. Row groups that cannot hold it are not read."""
        if table not in self.stages:
            return None
        found = (row for uri in self._tables(table) for row in _read(uri, "doc_id", doc_id))
        return next(found, None)

    def rows(self, table: str, column: str, value: int) -> list[dict[str, Any]]:
        """All rows of a table in which ``column`` has ``value``."""
        return [row for uri in self._tables(table) for row in _read(uri, column, value)]

    def named(self, kind: type[Stage]) -> list[str]:
        """Names of the finished stages of a class, in the order of the data."""
        return [name for name, stage in self.stages.items() if isinstance(stage, kind)]

    def _tables(self, table: str) -> list[str]:
        return self.workspace.tables(self.run.stages[table])


def _read(uri: str, column: str, value: Any) -> list[dict[str, Any]]:
    """The rows of a Parquet file in which ``column`` has ``value``, reading only the row groups that may have any."""
    found = []
    with storage.open_parquet(uri) as file:
        place = file.schema_arrow.names.index(column)
        for group in range(file.num_row_groups):
            statistics = file.metadata.row_group(group).column(place).statistics
            if statistics is not None and statistics.has_min_max and not statistics.min <= value <= statistics.max:
                continue
            table = file.read_row_group(group)
            found += table.filter(pc.equal(table[column], pa.scalar(value, table[column].type))).to_pylist()
    return found


def explain(workspace: Workspace, run: Run, page: str) -> Iterator[str]:
    """What the run knows about a page, as lines for people. Errors: `UserError` when the page is not in the run."""
    history = PageHistory(workspace, run)
    found = history.find(page)
    if not found:
        raise UserError(f"{safe(page)}: no page of run {run.name}; `textmill show {workspace.root} pages` lists some")
    for i, row in enumerate(found):
        if i:
            yield ""
        yield from _explain_page(history, row)


def _explain_page(history: PageHistory, row: dict[str, Any]) -> Iterator[str]:
    doc_id = row["doc_id"]
    yield f"page {schema.show_doc_id(doc_id)}  {safe(row['url'], 500) or '(no URL)'}"
    end = row["warc_offset"] + row["warc_length"]
    yield f"  record   {safe(row['warc_file'], 500)}, bytes {row['warc_offset']:,} to {end:,}"
    yield (
        f"  fetched  {safe(row['date'])}, HTTP {row['http_status']}, {safe(row['content_type']) or 'no content type'}, "
        f"charset {safe(row['charset']) or 'none'}, {row['html_bytes']:,} bytes"
    )
    yield f"  status   {row['status']}"
    if row["status"] != "ok":
        yield f"  verdict  dropped: {row['status']}"
        return
    dropped = None
    for name in history.named(Decide):
        stage = history.stages[name]
        assert isinstance(stage, Decide)
        scores, verdicts = history.row(stage.scores.name, doc_id), history.row(name, doc_id)
        if scores is None or verdicts is None:
            break
        yield f"  {name}"
        yield from _explain_scores(stage, scores, verdicts)
        dropped = dropped or next((rule.reason for rule in stage.rules if verdicts[rule.reason]), None)
    yield from _explain_copies(history, doc_id)
    yield from _explain_end(history, doc_id, dropped)


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
        return f"at most {rule.high}"
    return f"at least {rule.low}" if rule.high is None else f"{rule.low} to {rule.high}"


def _margin(rule: Rule, value: Any) -> str:
    """How far the value is from the nearest bound; negative when it fails."""
    if isinstance(value, str):
        return ""
    gaps = [value - low for low in [rule.low] if isinstance(low, int | float)]
    gaps += [high - value for high in [rule.high] if isinstance(high, int | float)]
    return f", margin {min(gaps):+.4g}" if gaps else ""


def _explain_copies(history: PageHistory, doc_id: int) -> Iterator[str]:
    for name in history.named(Keepers):
        stage = history.stages[name]
        assert isinstance(stage, Keepers)
        row = history.row(name, doc_id)
        if row is None:
            if history.row(stage.signatures.name, doc_id):
                yield "  copies   none"
            continue
        members = history.rows(name, "cluster", row["cluster"])
        cluster = history.row(stage.clusters.name, doc_id) or {}
        yield f"  copies   cluster of {len(members)}, similarity to the nearest {cluster.get('similarity', 0):.3f}"
        for member in members[:10]:
            page = history.row("pages", member["doc_id"]) or {"url": ""}
            what = "keeper" if member["doc_id"] == member["keeper"] else member["removed"] or "fails a rule"
            here = " <- this page" if member["doc_id"] == doc_id else ""
            yield f"           {schema.show_doc_id(member['doc_id']):<14} {what:<16} {safe(page['url'], 100)}{here}"


def _explain_end(history: PageHistory, doc_id: int, dropped: str | None) -> Iterator[str]:
    for name in history.named(Corpus):
        row = history.row(name, doc_id)
        if row is not None:
            masked = {key.removeprefix("n_masked_"): n for key, n in row.items() if key.startswith("n_masked_") and n}
            what = ", ".join(f"{n} {kind}" for kind, n in masked.items())
            yield "  verdict  kept" + (f"; masked: {what}" if what else "")
            yield from _explain_tokens(history, doc_id)
            yield f"  text     {safe(row['text'], SHOWN_CHARS)}"
            return
    copy = next((row["removed"] for n in history.named(Keepers) if (row := history.row(n, doc_id))), None)
    if dropped or copy:
        yield f"  verdict  dropped: {dropped or copy}"
    elif history.named(Materialize):
        yield "  verdict  not decided: the run ended before the corpus"


def _explain_tokens(history: PageHistory, doc_id: int) -> Iterator[str]:
    if "tokens" not in history.stages:
        return
    for split in ("train", "val"):
        for uri in history.workspace.tables(history.run.stages["tokens"]):
            if f"/{split}/" in uri:
                for row in _read(uri, "doc_id", doc_id):
                    yield (
                        f"  tokens   {split}/tokens-{row['shard']:05d}.bin, {row['n_tokens']:,} tokens "
                        f"from {row['offset']:,}"
                    )
