"""Everything that a run knows about one page: status, scores, rules with their margins, copies, where it went."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from textmill import schema, storage
from textmill.errors import UserError
from textmill.filters import preset, preset_names
from textmill.filters.base import Editor, Rule
from textmill.filters.pii import mask_text
from textmill.pipeline.clusters import DIFF_WORDS, differences
from textmill.pipeline.finished import FinishedRun
from textmill.pipeline.report.families import title_of
from textmill.pipeline.report.marks import marks_of
from textmill.pipeline.report.samples import SEARCHED_CHARS, editors_before, judged_text, texts_of
from textmill.pipeline.stage import Stage
from textmill.pipeline.stages.corpus import Corpus
from textmill.pipeline.stages.keepers import Keepers
from textmill.pipeline.stages.pages import Extract
from textmill.pipeline.stages.repeats import CutRepeats
from textmill.pipeline.stages.rows import KeptRows, Rows
from textmill.pipeline.stages.scores import Decide, Materialize
from textmill.pipeline.stages.tokens import Tokens
from textmill.pipeline.watch import load_verdicts
from textmill.pipeline.workspace import Run, Workspace
from textmill.terminal import safe
from textmill.tokenize.shards.token_shards import SPLITS

SHOWN_CHARS = 300
SHOWN_CHANGES = 4  # places in which a copy differs from what stays
SHOWN_COPIES = 10
SHOWN_PASSING = 3  # rules that hold beside some of their family that fail, without --all
SHOWN_SPANS = 3  # that make a rule fail
AROUND_CHARS = 24


def explain(workspace: Workspace, run: Run, page: str, *, everything: bool = False) -> Iterator[str]:
    """What the run knows about a page, as lines for people; ``everything``: with all scores.

    Errors: `UserError` when the page is not in the run.
    """
    finished = FinishedRun(workspace, run)
    found = _find(finished, page)
    if not found:
        what, table = ("page", "pages") if finished.one(Extract) else ("document", "documents")
        raise UserError(
            f"{safe(page)}: no {what} of run {run.name}; `textmill show {workspace.root} {table}` lists some"
        )
    for i, row in enumerate(found):
        if i:
            yield ""
        if finished.one(Extract):
            yield from _explain_page(finished, row, everything)
        else:
            yield from _explain_document(finished, row)


def _explain_document(run: FinishedRun, row: dict[str, Any]) -> Iterator[str]:
    """A row of somebody's own file."""
    yield f"document {schema.show_doc_id(row['doc_id'])}  {safe(row['url'], 500) or '(no URL)'}"
    yield f"  file     {safe(row['warc_file'], 500)}, row {row['warc_offset'] + 1:,}"
    yield from _explain_copies(run, row["doc_id"])
    if run.one(KeptRows):
        kept = not any(
            (found := _row(run, keepers, row["doc_id"])) and found["removed"] for keepers in run.all(Keepers)
        )
        yield "  verdict  kept" if kept else "  verdict  dropped as a copy"
    yield f"  text     {safe(mask_text(row['text'][:SEARCHED_CHARS])[0], SHOWN_CHARS)}"


def _explain_page(run: FinishedRun, row: dict[str, Any], everything: bool) -> Iterator[str]:
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
    for reason in _guard_reasons(run, row):
        yield f"  guard    {safe(reason, 500)}"
    if row["status"] != "ok":
        yield f"  verdict  dropped: {row['status']}"
        return
    dropped = None
    for decide in run.all(Decide):
        scores, verdicts = _row(run, decide.scores, doc_id), _row(run, decide, doc_id)
        if scores is None or verdicts is None:
            break
        yield from _explain_scores(run, decide, scores, verdicts, everything)
        dropped = dropped or next((rule.reason for rule in decide.rules if verdicts[rule.reason]), None)
    repeated = _repeated(run, doc_id)
    if repeated:
        yield f"  repeats  {repeated[1]:,} bytes in {repeated[0]:,} places stand elsewhere, too"
    if repeated and not any(_row(run, cut, doc_id) for cut in run.all(CutRepeats)):
        dropped = dropped or "too little is left without what stands elsewhere, too"
    yield from _explain_copies(run, doc_id)
    yield from _explain_end(run, doc_id, dropped)


def _repeated(run: FinishedRun, doc_id: int) -> tuple[int, int] | None:
    """How many stretches of a document stand elsewhere, and their bytes; None if it has none, or nothing was cut."""
    finished = [cut for cut in run.all(CutRepeats) if run.tables(cut)]
    spans = [span for cut in finished for span in _rows(run, cut.repeats, "doc_id", doc_id)]
    return (len(spans), sum(span["end_bytes"] - span["start_bytes"] for span in spans)) if spans else None


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


def _guard_reasons(run: FinishedRun, row: dict[str, Any]) -> list[str]:
    """Why the record ended the process that read it, if it did, by the verdicts that the guard left."""
    pages = run.one(Extract)
    books = [uri.removesuffix(".parquet") + ".poison.json" for uri in run.tables(pages)] if pages else []
    verdicts = [verdict for book in books for verdict in load_verdicts(book)]
    return [v.reason for v in verdicts if (v.offset, v.status) == (row["warc_offset"], row["status"])]


def _explain_scores(
    run: FinishedRun, stage: Decide, scores: dict[str, Any], verdicts: dict[str, Any], everything: bool
) -> Iterator[str]:
    """Rules by family, the families with failing rules first: value, bounds, margin, and what makes them fail.

    ``everything``: all rules, and the scores that no rule looks at.
    """
    n_failing = sum(verdicts[rule.reason] for rule in stage.rules)
    yield f"  {stage.name}: {n_failing} of {len(stage.rules)} rules fail"
    families: dict[str, list[Rule]] = {}
    for rule in stage.rules:
        families.setdefault(title_of(rule.column), []).append(rule)
    text = _text(run, stage, scores["doc_id"]) if n_failing else ""
    presets = _presets_of(stage.rules)
    for title in sorted(families, key=lambda title: not any(verdicts[rule.reason] for rule in families[title])):
        yield f"    {title}: {_summary(families[title], verdicts, presets)}"
        yield from _explain_family(stage, families[title], scores, verdicts, text, everything)
    yield from _explain_unjudged(stage, scores, everything)


def _text(run: FinishedRun, stage: Decide, doc_id: int) -> str:
    """The text from which the scores were made, or its beginning, as it was before any editor."""
    return texts_of(run, stage.scores.documents, [doc_id], SEARCHED_CHARS + 1)[doc_id][1]


def _summary(rules: Sequence[Rule], verdicts: dict[str, Any], presets: Mapping[Rule, str]) -> str:
    """How many rules fail, which preset they are of, and where they were published, if that is one place."""
    n_failing, n = sum(verdicts[rule.reason] for rule in rules), len(rules)
    counted = f"{n_failing} of {n} fail" if n_failing else "holds" if n == 1 else f"all {n} hold"
    names = [*dict.fromkeys(presets[rule] for rule in rules if rule in presets)]
    sources = {rule.source for rule in rules if rule.source}
    said = "; ".join(safe(each, 300) for each in [*names, *(sources if len(sources) == 1 else ())])
    return f"{counted}  ({said})" if said else counted


def _explain_family(
    stage: Decide,
    rules: Sequence[Rule],
    scores: dict[str, Any],
    verdicts: dict[str, Any],
    text: str,
    everything: bool,
) -> Iterator[str]:
    failing = [rule for rule in rules if verdicts[rule.reason]]
    passing = sorted(set(rules) - set(failing), key=lambda rule: (_nearness(rule, scores), rule.reason))
    shown = failing + (passing if everything else passing[: SHOWN_PASSING if failing else 1])
    width = max(len(rule.reason) for rule in shown)
    one_source = len({rule.source for rule in rules if rule.source}) == 1
    for rule in shown:
        value, verdict = scores[rule.column], "FAILS" if verdicts[rule.reason] else "ok"
        source = "" if one_source or not rule.source else f"  ({safe(rule.source, 300)})"
        keeps = f"{_bounds(rule)}{_margin(rule, value)}{source}"
        yield f"      {rule.reason:<{width}}  {verdict:<5}  {safe(value):>10}  {keeps}"
        if verdicts[rule.reason]:
            yield from _offending(rule.column, text, editors_before(stage.scores, rule.column))
    if len(shown) < len(rules):
        yield f"      and {len(rules) - len(shown)} more that hold: --all"


def _presets_of(rules: Sequence[Rule]) -> dict[Rule, str]:
    """The preset that each rule is of: those that are here as a whole, but none that is a part of another one."""
    whole = {name: set(preset(name).rules) for name in preset_names()}
    here = {name: own for name, own in whole.items() if own and own <= set(rules)}
    names: dict[Rule, list[str]] = {}
    for name, own in here.items():
        if not any(own < other for other in here.values()):
            for rule in own:
                names.setdefault(rule, []).append(name)
    return {rule: " or ".join(found) for rule, found in names.items()}


def _explain_unjudged(stage: Decide, scores: dict[str, Any], everything: bool) -> Iterator[str]:
    judged = {rule.column for rule in stage.rules} | {"doc_id"}
    others = [name for name in scores if name not in judged]
    if others and not everything:
        yield f"    {len(others)} scores without a rule: --all"
    elif others:
        yield "    scores without a rule"
        width = max(map(len, others))
        yield from (f"      {name:<{width}}  {safe(scores[name]):>10}" for name in others)


def _nearness(rule: Rule, scores: dict[str, Any]) -> float:
    """How far a value that passes is from the nearest bound, in units of the bound; infinite for labels and flags."""
    value = scores[rule.column]
    if value == 0 == rule.high:
        return math.inf
    gaps = [abs(value - b) / (abs(b) or 1) for b in (rule.low, rule.high) if isinstance(b, int | float)]
    return min(gaps, default=math.inf)


def _offending(column: str, text: str, editors: tuple[Editor, ...]) -> Iterator[str]:
    """The first marked spans of the judged text with what stands around them, one a line, the spans in brackets."""
    text = judged_text(text, editors)
    spans = marks_of(column, text)
    for start, end in spans[:SHOWN_SPANS]:
        before, after = text[max(0, start - AROUND_CHARS) : start], text[end : end + AROUND_CHARS]
        yield f"        > {_flat(before)}[{_flat(text[start:end])}]{_flat(after)}  (at {start:,})"
    if len(spans) > SHOWN_SPANS:
        edited = f" as edited by {', '.join(editor.name for editor in editors)}" if editors else ""
        yield f"        > and {len(spans) - SHOWN_SPANS:,} more in the first {len(text):,} characters{edited}"


def _flat(text: str) -> str:
    """A part of a text on one line: newlines as a sign, any other white space as one space."""
    return safe(re.sub(r"\s+", lambda space: "⏎" if "\n" in space.group() else " ", text), 100)


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
        cluster = _row(run, keepers.clusters, doc_id)
        if cluster is not None:
            nearest = "unknown: not verified" if cluster["similarity"] is None else f"{cluster['similarity']:.3f}"
            yield f"  copies   cluster of {len(members)}, similarity to the nearest {nearest}"
        members.sort(key=lambda member: (member["doc_id"] != member["keeper"], member["doc_id"] != doc_id))
        for member in members[:SHOWN_COPIES]:
            page = _row(run, keepers.signatures.documents, member["doc_id"]) or {"url": ""}
            what = "keeper" if member["doc_id"] == member["keeper"] else member["removed"] or "fails a rule"
            here = " <- this page" if member["doc_id"] == doc_id else ""
            yield f"           {schema.show_doc_id(member['doc_id']):<14} {what:<16} {safe(page['url'], 100)}{here}"
        if len(members) > SHOWN_COPIES:
            yield f"           and {len(members) - SHOWN_COPIES:,} more"
        yield from _explain_known(run, keepers, doc_id)
        if row["removed"] and row["keeper"] is not None:
            yield from _explain_difference(run, keepers, doc_id, row["keeper"])


def _explain_known(run: FinishedRun, keepers: Keepers, doc_id: int) -> Iterator[str]:
    """The document of an earlier run that this one is a copy of."""
    match = _row(run, keepers.known, doc_id) if keepers.known else None
    if match:
        known = schema.show_doc_id(match["known_doc_id"])
        yield f"  known    {known} of {safe(match['run'], 300)}, similarity about {match['similarity']:.2f}"


def _explain_difference(run: FinishedRun, keepers: Keepers, doc_id: int, keeper: int) -> Iterator[str]:
    """How this text differs from that of the document that stays in its stead."""
    documents = keepers.signatures.documents
    own, other = (_row(run, documents, id_) for id_ in (doc_id, keeper))
    if own is None or other is None:
        return
    changes = list(differences(mask_text(own["text"])[0], mask_text(other["text"])[0]))
    where = f"{len(changes)} places" if changes else "nothing but white space"
    yield f"  differs  from {schema.show_doc_id(keeper)} in {where}, of the first {DIFF_WORDS:,} words"
    for here, there in changes[:SHOWN_CHANGES]:
        yield f"           here: {safe(here, 100) or '(nothing)'}"
        yield f"           there: {safe(there, 100) or '(nothing)'}"
    if len(changes) > SHOWN_CHANGES:
        yield f"           and {len(changes) - SHOWN_CHANGES:,} more"


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
    """The rows of the pages table, or of people's own documents, that a URL or a document id names."""
    pages = run.one(Extract) or run.one(Rows)
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
