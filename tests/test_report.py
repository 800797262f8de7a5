"""The account of a run against numbers counted by hand, and its page against hostile text."""

from __future__ import annotations

import html.parser
import itertools
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from textmill import schema, storage
from textmill.errors import InputError, InvariantError, UserError
from textmill.filters import preset as preset_named
from textmill.filters.base import PerDocument, Rule, stack
from textmill.filters.c4 import COLUMNS as C4_COLUMNS
from textmill.filters.curator import COLUMNS as CURATOR
from textmill.filters.fineweb import COLUMNS as FINEWEB
from textmill.filters.pii import Mask
from textmill.filters.refinedweb import COLUMNS as REFINEDWEB
from textmill.filters.refinedweb import RULES as REFINEDWEB_RULES
from textmill.filters.repetition import COLUMNS as REPETITION
from textmill.pipeline.finished import FinishedRun
from textmill.pipeline.query import row_groups
from textmill.pipeline.reading.optout import NO_OPTOUT
from textmill.pipeline.report import account_of, charts, print_report, published, samples, training, values, write_html
from textmill.pipeline.report.account import tally
from textmill.pipeline.report.histograms import choose_bins
from textmill.pipeline.report.marks import excerpt, marks_of, pieces_of
from textmill.pipeline.report.page import to_html
from textmill.pipeline.report.samples import judged_text
from textmill.pipeline.report.values import compact
from textmill.pipeline.runner import TaskAddress, run_task
from textmill.pipeline.sources.inputs import InputFile, Inputs
from textmill.pipeline.stage import Stage
from textmill.pipeline.stages.corpus import Corpus
from textmill.pipeline.stages.duplicates import CLUSTERS, Candidates, Clusters, Edges, Shingles
from textmill.pipeline.stages.edit import Edit
from textmill.pipeline.stages.keepers import KEEPERS, Keepers
from textmill.pipeline.stages.model import Train
from textmill.pipeline.stages.pages import Extract
from textmill.pipeline.stages.scores import Decide, Materialize, Score
from textmill.pipeline.stages.signatures import Signatures
from textmill.pipeline.stages.tokens import CountPretokens, Tokens, TrainTokenizer
from textmill.pipeline.workspace import Run, Workspace
from textmill.train.config import preset

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img onerror=alert(2) src=x>',
    "</script></pre></textarea>",
    "{{7*7}}{% raw %}",
    "\x1b]0;title\x07\x00\u202e",
    "$$\\href{javascript:alert(3)}{x}$$",
)


@dataclass(frozen=True)
class Shape(PerDocument):
    """Characters, share of the letter a, and the first character as if it were a language."""

    columns = pa.schema([("n_chars", pa.int64()), ("a_frac", pa.float32()), ("language", pa.string())])

    def score_text(self, text: str) -> tuple[float | int | str | bool, ...]:
        return len(text), text.count("a") / max(1, len(text)), text[:1]


RULES = (
    Rule("long", "n_chars", low=4, source="of this test"),
    Rule("few_a", "a_frac", high=0.5),
    Rule("not_z", "language", high="y"),
)
# text -> rules that it fails: of 6 documents 3 fail "long", 3 "few_a", 2 "not_z".
TEXTS = {
    "bbbb": (),
    "bbba": (),
    "aa": ("long", "few_a"),
    "aaaaa": ("few_a",),
    "bb": ("long",),
    "zaa": ("long", "few_a", "not_z"),
    "zbbbb": ("not_z",),
}


def page(i: int, text: str | None, url: str = "http://a.example/", host: str = "a.example") -> dict[str, Any]:
    status = "bad_record" if text is None else "ok"
    return {
        "doc_id": schema.doc_id(0, 160 * i),
        "url": url,
        "host": host,
        "date": "2024-01-01T00:00:00Z",
        "warc_file": "crawl.warc",
        "warc_offset": 160 * i,
        "warc_length": 100,
        "truncated": "",
        "http_status": 200,
        "content_type": "text/html",
        "charset": "utf-8",
        "html_bytes": 1000,
        "status": status,
        "title": "",
        "html_lang": "",
        "canonical_url": "",
        "published": "",
        **NO_OPTOUT._asdict(),
        "fault": "truncated" if text is None else "",
        "text": text,
    }


class Fixture:
    """A workspace of stages: the first ones published by hand, the others made by themselves."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.workspace = Workspace(str(root / "work"))
        self.workspace.create()
        self.run = Run("test-run", "test", ["warcs=crawl.warc"], {}, {"python": "3"}, "2026-01-01T00:00:00Z")

    def publish(self, stage: Stage, files: Mapping[str, Path], counts: Mapping[str, int], shard: str = "00000") -> None:
        """Publish the one shard of a stage as if its task had run."""
        rows = dict.fromkeys(files, counts.get("rows_out", 1))
        folder = self.workspace.folder(stage)
        manifest = storage.Manifest(stage.name, stage.fingerprint, shard, storage.describe(files, rows), counts)
        self.workspace.save_stage(stage)
        storage.publish_task(folder, manifest, files)
        self.finish(stage)

    def publish_table(self, stage: Stage, table: pa.Table, counts: Mapping[str, int], shard: str = "00000") -> None:
        path = self.root / f"{shard}.parquet"
        with storage.TableWriter(path, table.schema) as writer:
            for start in range(0, len(table), 4):
                writer.write(table.slice(start, 4))
        self.publish(stage, {path.name: path}, counts, shard)

    def make(self, stage: Stage) -> None:
        """Run the tasks of a stage."""
        self.workspace.save_stage(stage)
        for shard in stage.shards():
            run_task(TaskAddress(self.workspace.root, stage.folder, shard))
        self.finish(stage)

    def finish(self, stage: Stage) -> None:
        totals: dict[str, int] = {}
        for manifest in storage.manifests(self.workspace.folder(stage)).values():
            for name, n in manifest.counts.items():
                totals[name] = totals.get(name, 0) + n
        storage.write_json(totals, storage.join(self.workspace.folder(stage), "_SUCCESS"))
        self.run = replace(self.run, stages=self.run.stages | {stage.name: stage.folder})

    def pages(self, rows: list[dict[str, Any]]) -> Extract:
        stage = Extract(Inputs((InputFile("crawl.warc", 10_000, "1", True),), 1 << 20))
        n_bad = sum(row["text"] is None for row in rows)
        n_text = sum(len((row["text"] or "").encode()) for row in rows)
        counts = {"rows_in": len(rows), "rows_out": len(rows), "status_ok": len(rows) - n_bad, "other_request": 2}
        counts |= {"status_bad_record": n_bad, "damaged_bytes": 100 * n_bad, "n_records": len(rows) - n_bad}
        counts |= {"faults_truncated": n_bad, "fault_bytes_truncated": 100 * n_bad, "read_bytes": 900} if n_bad else {}
        counts |= {"html_bytes": 1000 * len(rows), "text_bytes": n_text}
        self.publish_table(stage, pa.Table.from_pylist(rows, schema.PAGES), counts)
        return stage

    def judged(self, documents: Stage, rules: tuple[Rule, ...], name: str = "") -> Decide:
        """Scores and decisions over pages or documents."""
        scores = Score(documents, (Shape(),), name=f"{name}_scores" if name else "")
        decide = Decide(scores, rules, name=name)
        self.make(scores)
        self.make(decide)
        return decide

    def corpus(self, documents: Stage, decide: Decide, copies: list[tuple[int, int, str]]) -> Corpus:
        """A corpus without the given copies: (removed page, the page that stays, kind)."""
        signatures = Signatures(documents)
        candidates = Candidates(signatures)
        edges = Edges(candidates, Shingles(documents, candidates))
        clusters = Clusters(edges)
        self.make(signatures)
        for stage in (candidates, edges.shingles):
            self.workspace.save_stage(stage)
        keepers = Keepers(signatures, decide, clusters)
        ids = [(schema.doc_id(0, 160 * a), schema.doc_id(0, 160 * b), kind) for a, b, kind in copies]
        pairs = [(min(a, b), max(a, b), 0.75) for a, b, _ in ids]
        members = [(a, min(a, b), 0.75) for a, b, _ in ids] + [(b, min(a, b), 0.75) for a, b, _ in ids]
        removed = [(a, min(a, b), b, kind) for a, b, kind in ids] + [(b, min(a, b), b, None) for a, b, _ in ids]
        counts = {"n_candidates": len(ids) + 3, "n_edges": len(ids), "n_rejected": 3}
        self.publish_table(edges, rows_of(schema.EDGES, pairs), counts, "all")
        counts = {"n_members": 2 * len(ids), "n_clusters": len(ids)}
        self.publish_table(clusters, rows_of(CLUSTERS, members), counts, "all")
        self.publish_table(keepers, rows_of(KEEPERS, removed), {"n_removed": len(ids)}, "all")
        corpus = Corpus(documents, decide, keepers, (Mask("emails"),))
        self.make(corpus)
        return corpus

    def model(self, tokens: Tokens) -> None:
        recipe = preset("tiny")
        log, summary = self.root / "log.jsonl", self.root / "summary.json"
        lines = [{"step": 0, "note": "nothing to evaluate"}, {"step": 1, "loss": 5.25, "val_loss": None}]
        lines.append({"step": 2, "loss": 4.5, "val_loss": 4.75})
        log.write_text("".join(json.dumps(line) + "\n" for line in lines))
        summary.write_text(json.dumps({"n_parameters": 1234, "sample": f"The {HOSTILE[0]}"}))
        stage = Train(tokens, tokens.tokenizer, recipe.model, recipe.train)
        self.publish(stage, {"log.jsonl": log, "summary.json": summary}, {"n_steps": 2}, "all")

    def account(self) -> dict[str, Any]:
        return account_of(FinishedRun(self.workspace, self.run))


def rows_of(kind: pa.Schema, rows: list[tuple[Any, ...]]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(kind.names, row, strict=True)) for row in rows], kind)


@pytest.fixture
def fixture(tmp_path: Path) -> Fixture:
    return Fixture(tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Fixture:
    """A run to its end, in which urls, hosts, texts and settings attack."""
    made = Fixture(tmp_path_factory.mktemp("whole"))
    rows = [
        page(i, f"{attack} and mail to someone@mail.example, page {i} of them", f"http://h.example/{attack}", attack)
        for i, attack in enumerate(HOSTILE * 2)
    ]
    rows += [page(20 + i, text) for i, text in enumerate(("short", "q" * 3, "a" * 80))] + [page(30, None)]
    pages = made.pages(rows)
    gate = made.judged(pages, (Rule("gate_z", "language", high="y"),), "gate")
    documents = Materialize(pages, gate)
    made.make(documents)
    decide = made.judged(documents, RULES)
    corpus = made.corpus(documents, decide, [(6, 0, "exact_duplicate"), (7, 1, "near_duplicate")])
    pretokens = CountPretokens(corpus)
    made.make(pretokens)
    tokenizer = TrainTokenizer(pretokens, 300)
    made.make(tokenizer)
    tokens = Tokens(corpus, tokenizer, 0.5)
    made.make(tokens)
    made.model(tokens)
    made.run = replace(made.run, settings=[f"note={attack}" for attack in HOSTILE])
    return made


class Elements(html.parser.HTMLParser):
    """Start tags with their attributes, and the text outside of styles."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        inside = self.tags[-1][0] if self.tags else ""
        self.text.append(data if inside != "style" else "")


def parse(page: str) -> Elements:
    elements = Elements()
    elements.feed(page)
    elements.close()
    return elements


# -- rules


def test_rules_are_counted_alone_only_and_in_order() -> None:
    fails = np.array([[1, 1, 0], [0, 1, 0], [1, 0, 0], [1, 1, 1], [0, 0, 1], [0, 0, 0]], bool)
    counted = tally(fails, np.array([1, 10, 100, 1000, 10_000, 100_000]))
    assert counted.alone.tolist() == [3, 3, 2]
    assert counted.only.tolist() == [1, 1, 1]
    assert counted.in_order.tolist() == [3, 1, 1]
    assert counted.alone_bytes.tolist() == [1101, 1011, 11_000]
    assert counted.only_bytes.tolist() == [100, 10, 10_000]
    assert counted.in_order_bytes.tolist() == [1101, 10, 10_000]
    assert counted.overlap.tolist() == [[3, 2, 1], [2, 3, 1], [1, 1, 2]]


def test_the_account_counts_only_documents_that_have_text(fixture: Fixture) -> None:
    rows = [page(i, text) for i, text in enumerate(TEXTS)] + [page(90 + i, None) for i in range(3)]
    fixture.judged(fixture.pages(rows), RULES)
    (decision,) = fixture.account()["decisions"]
    assert (decision["n_judged"], decision["n_keep"]) == (7, 2)
    counted = {rule["reason"]: (rule["alone"], rule["only"], rule["in_order"]) for rule in decision["rules"]}
    assert counted == {"long": (3, 1, 3), "few_a": (3, 1, 1), "not_z": (2, 1, 1)}
    assert decision["overlap"] == [[3, 2, 1], [2, 3, 1], [1, 1, 2]]
    assert decision["rules"][0] | {"low": 4, "high": None, "source": "of this test"} == decision["rules"][0]


def test_a_dropped_sample_says_what_decided(fixture: Fixture) -> None:
    fixture.judged(fixture.pages([page(i, text) for i, text in enumerate(TEXTS)]), RULES)
    dropped = fixture.account()["samples"]["dropped"]
    shown = sorted((s["reason"], s["text"], s["column"], s["value"]) for s in dropped)
    assert shown == [
        ("few_a", "aaaaa", "a_frac", 1.0),
        ("long", "aa", "n_chars", 2),
        ("long", "bb", "n_chars", 2),
        ("long", "zaa", "n_chars", 3),
        ("not_z", "zbbbb", "language", "z"),
    ]


# -- histograms


def test_a_histogram_counts_every_document_with_text(fixture: Fixture) -> None:
    texts = ["b" * (1 + i * i) + "a" * (i % 3) for i in range(60)]
    rows = [page(i, text) for i, text in enumerate(texts)] + [page(90, None)]
    fixture.judged(fixture.pages(rows), RULES)
    histograms = {made["column"]: made for made in fixture.account()["histograms"]}
    assert list(histograms) == ["text_bytes", "n_chars", "a_frac"]
    for made in histograms.values():
        assert sum(made["counts"]) + made["n_below"] + made["n_above"] == 60
        assert len(made["edges"]) == len(made["counts"]) + 1
    assert histograms["n_chars"]["log"] and histograms["n_chars"]["low"] == 4
    by_hand, _ = np.histogram([len(text) for text in texts], histograms["n_chars"]["edges"])
    assert by_hand.tolist() == histograms["n_chars"]["counts"]


@pytest.mark.parametrize("is_integer", [True, False])
@pytest.mark.parametrize("values", [[0], [7, 7], [0, 1], [-3, 5], list(range(100)), [1, 10**6], [0, 0, 10**9]])
def test_bins_cover_the_usual_range(values: list[int], is_integer: bool) -> None:
    bins = choose_bins(np.array(values, float), is_integer, [])
    low, high = np.percentile(values, [0.5, 99.5])
    assert (np.diff(bins.edges) > 0).all() and 1 <= len(bins.edges) - 1 <= 41
    assert bins.edges[0] <= (max(low, 1) if bins.log else low) and high <= bins.edges[-1] + 1
    if is_integer:
        assert (bins.edges % 1 == 0.5).all()


def test_a_chart_shows_counts_and_the_bounds_that_lie_inside() -> None:
    made = {"edges": [0.0, 1.0, 2.0, 4.0], "counts": [4, 0, 1], "integer": False, "low": 2.0, "high": 9.0}
    chart = charts.histogram(made)
    assert "M0 100v-100h248v100z" in chart and "M500 100v-50h498v50z" in chart and chart.count("v-") == 2
    assert '<rect class="kept" x="500" width="500"' in chart and chart.count('class="bound" d="M500 0') == 1
    assert chart.count("bound") == 1
    logarithmic = charts.histogram({"edges": [1, 10, 100], "counts": [1, 1], "integer": False, "log": True})
    assert "M500 100" in logarithmic and "kept" not in logarithmic


def test_a_step_shows_what_is_left_and_what_is_gone() -> None:
    chart = charts.step(0.5, 0.25, 0.0001, 0)
    assert '<rect class="left docs" x="0" y="0" width="500"' in chart
    assert '<rect class="gone" x="500" y="0" width="250"' in chart
    assert '<rect class="left bytes" x="0" y="66" width="2"' in chart and chart.count("<rect") == 3
    assert "<rect" not in charts.step(0, 0, 0, -0.1)


@pytest.mark.parametrize(
    ("n", "shown"), [(0, "0"), (999, "999"), (1000, "1.0k"), (9_960, "10k"), (999_600, "1.0M"), (15_200_000, "15M")]
)
def test_a_count_has_four_characters_at_most(n: int, shown: str) -> None:
    assert compact(n) == shown


def test_bins_show_a_bound_that_is_near_and_not_one_that_is_far() -> None:
    values = np.linspace(0.0, 1.0, 500)
    assert choose_bins(values, False, [1.5]).edges[-1] == 1.5
    assert choose_bins(values, False, [100.0]).edges[-1] < 1.1


def test_a_column_of_one_value_reaches_to_the_nearest_bound() -> None:
    edges = choose_bins(np.zeros(9), False, [0.1, 100.0]).edges
    assert (edges[0], edges[-1]) == (0.0, 0.1)


# -- the account


def test_a_run_that_ended_at_pages(fixture: Fixture, capsys: pytest.CaptureFixture[str]) -> None:
    fixture.pages([page(0, "one"), page(1, None), page(2, "three!")])
    account = fixture.account()
    assert set(account) == {
        *("run", "funnel", "bytes_per_token", "statuses", "other_records", "damage", "groups", "stages")
    }
    assert account["statuses"] == {"ok": 2, "bad_record": 1}
    assert account["damage"] == {
        "n_files": 1,
        "lost_files": [],
        "n_stretches": 1,
        "bytes": 100,
        "of_bytes": 1000,
        "faults": [{"fault": "truncated", "n": 1, "bytes": 100}],
        "located": [{"file": "crawl.warc", "offset": 160, "length": 100, "fault": "truncated"}],
    }
    row = {"documents": 2, "bytes": 9, "kept": 2, "kept_bytes": 9}
    assert account["groups"] == {
        "is_corpus": False,
        "domain": {"n": 1, "top": [{"name": "a.example"} | row]},
        "tld": {"n": 1, "top": [{"name": "example"} | row]},
    }
    assert [(s["rows"], s["bytes"], s["removed_from_previous"]) for s in account["funnel"]] == [(3, 3000, 0), (2, 9, 1)]
    elements = parse(to_html(account))
    sections = [attributes["id"] for tag, attributes in elements.tags if tag == "section"]
    assert sections == ["funnel", "statuses", "groups", "stages"]
    links = [attributes["href"] for tag, attributes in elements.tags if tag == "a"]
    assert links == [f"#{section}" for section in [*sections, "run"]]
    print_report(account)
    assert "candidate records" in capsys.readouterr().out


def test_a_run_of_nothing(fixture: Fixture, capsys: pytest.CaptureFixture[str]) -> None:
    account = fixture.account()
    assert set(account) == {"run"}
    assert "section" not in {tag for tag, _ in parse(to_html(account)).tags}
    print_report(account)
    assert "test-run" in capsys.readouterr().out


def test_the_funnel_adds_up(whole: Fixture) -> None:
    account = whole.account()
    funnel = account["funnel"]
    # Of 15 pages with text two begin with "{", which is above "y"; "qqq" is short; 80 times "a" is too much of it; and
    # two are copies.
    assert [(step["step"], step["rows"], step["removed_from_previous"]) for step in funnel] == [
        ("candidate records", 16, 0),
        ("pages with text", 15, 1),
        ("language", 13, 2),
        ("documents", 13, 0),
        ("n", 12, 1),
        ("a", 11, 1),
        ("language", 11, 0),
        ("pass the rules", 11, 0),
        ("exact duplicates", 10, 1),
        ("near duplicates", 9, 1),
        ("personal data masked", 9, 0),
        ("corpus", 9, 0),
        ("tokens", 9, 0),
    ]
    removed = {step["step"]: step["removed_bytes"] for step in funnel if step["removed_from_previous"] == 1}
    assert (removed["n"], removed["a"]) == (3, 80)
    for before, step in itertools.pairwise(funnel[1:]):  # the first is of HTML
        assert step["bytes"] == before["bytes"] - step["removed_bytes"]
        assert step["removed_bytes"] == 0 or not step["is_total"]
    per_token = account["bytes_per_token"]["value"]
    assert [s["tokens"] for s in funnel[1:-1]] == [round(s["bytes"] / per_token) for s in funnel[1:-1]]
    assert funnel[0]["tokens"] is None and funnel[-1]["tokens_are_counted"]
    assert sum(account["tokens"][split]["docs"] for split in ("train", "val")) == 9
    assert account["masked"] == {"emails": 8}


@pytest.mark.parametrize(
    "texts", [["bbbb", "bbba"], ["aa"], ["zbbbb"], []], ids=["all", "none", "no document", "no page"]
)
def test_a_run_without_copies_or_without_documents(fixture: Fixture, texts: list[str]) -> None:
    pages = fixture.pages([page(i, text) for i, text in enumerate(texts)])
    documents = Materialize(pages, fixture.judged(pages, RULES[2:], "gate"))
    fixture.make(documents)
    fixture.corpus(documents, fixture.judged(documents, RULES[:2]), [])
    account = fixture.account()
    kept = sum(not TEXTS[text] for text in texts)
    assert account["funnel"][-1]["step"] == "corpus" and account["funnel"][-1]["rows"] == kept
    assert account["funnel"][-1]["bytes"] == 4 * kept
    assert sum(row["kept"] for row in account.get("groups", {}).get("tld", {"top": []})["top"]) == kept
    assert "From records to tokens" in to_html(account)


def test_published_shares_stand_beside_those_of_the_run(whole: Fixture) -> None:
    account = whole.account()
    here = {(figure["source"].partition(",")[0], figure["step"]): figure["here"] for figure in account["published"]}
    assert here["RefinedWeb", "extraction, URLs, language, rules"] == round(11 / 16, 4)
    assert here["RefinedWeb", "and near duplicates"] == round(9 / 16, 4)
    assert here["RefinedWeb", "and exact substrings"] is None
    assert here["a user's run of DCLM's 400M-1x", "rules (RefinedWeb's)"] == round(11 / 13, 4)
    assert here["Dolma", "copies of a document"] == round(10 / 11, 4)
    assert here["FineWeb", "FineWeb's own rules"] is None  # the run has none of them


def test_a_share_of_tokens_is_one_of_bytes() -> None:
    cause = {"kinds": ["rules", "fineweb"], "rows": 1, "removed_from_previous": 1}
    for n_bytes, removed, here in ((60, 20, 0.75), (0, 0, 1.0), (None, None, None)):
        figures = published.beside([cause | {"bytes": n_bytes, "removed_bytes": removed}])
        assert next(f["here"] for f in figures if f["step"] == "FineWeb's own rules") == here


EDITED = "A line with more than enough words to stay.\n"
GAP = "\n\n\n"  # four newlines in a row, of which an editor leaves two


@pytest.fixture
def edited(tmp_path: Path) -> Fixture:
    """Five pages of which editors change four; of these one loses too many words."""
    made = Fixture(tmp_path)
    texts = [40 * EDITED + "short\n", 40 * EDITED, EDITED + GAP + "SHOUTED LINE OF WORDS\n", 39 * EDITED + "9 likes\n"]
    texts.append(EDITED.strip())  # the others lose the newline at their end
    pages = made.pages([page(i, text) for i, text in enumerate(texts)])
    documents = Materialize(pages, made.judged(pages, RULES[:1], "gate"))
    made.make(documents)
    lines = stack([preset_named("refinedweb@dclm")])
    edit = Edit(documents, lines.editors)
    scores = Score(documents, lines.scorers)
    decide = Decide(scores, REFINEDWEB_RULES)
    for stage in (edit, scores, decide):
        made.make(stage)
    made.corpus(edit, decide, [(4, 1, "near_duplicate")])
    return made


def test_edits_are_counted_and_their_bytes_leave_the_funnel(edited: Fixture) -> None:
    account = edited.account()
    edits = account["edits"]
    assert (edits["documents"], edits["n_edited"]) == (5, 4)
    assert {(change["kind"], change["n"]) for change in edits["changes"]} == {
        ("newlines", 2),
        ("short_lines", 1),
        ("uppercase_lines", 1),
        ("counter_lines", 1),
    }
    cut = ("\nshort", GAP, "\nSHOUTED LINE OF WORDS", "\n9 likes")
    assert edits["removed_bytes"] == 4 + sum(map(len, cut))
    assert (edits["limit"]["reason"], edits["limit"]["in_order"]) == ("refinedweb_removed_words", 1)
    steps = {step["step"]: step for step in account["funnel"]}
    assert steps["RefinedWeb"]["removed_bytes"] == len(EDITED) + len(GAP) + len("SHOUTED LINE OF WORDS\n")
    assert steps["lines and marks cut"]["removed_bytes"] == 3 + len("\nshort") + len("\n9 likes")
    assert steps["near duplicates"]["removed_bytes"] == len(EDITED) - 1
    assert steps["corpus"]["bytes"] == 119 * len(EDITED) - 3
    text = " ".join("".join(parse(to_html(account)).text).split())
    assert (
        "Editors went over 5 documents, changed 4 of them, cut 43 B of text:" in text
        and "1 uppercase lines (refinedweb)" in text
    )
    assert "drops 1 documents; 1 are above it" in text


def test_a_sample_says_which_text_it_shows(edited: Fixture) -> None:
    dropped = edited.account()["samples"]["dropped"]
    by_rule = next(sample for sample in dropped if sample["reason"] == "refinedweb_removed_words")
    assert by_rule["edited_by"] == ["refinedweb"]  # its URLs are cut before its lines are judged
    assert by_rule["text"].startswith(f"{EDITED}\nSHOUTED LINE OF WORDS")
    assert by_rule["marks"] == [[len(EDITED) + 1, len(EDITED) + 22]]
    copy = next(sample for sample in dropped if sample["reason"] == "near_duplicate")
    assert copy["edited_by"] == ["refinedweb"]
    assert "text as edited by refinedweb" in "".join(parse(to_html(edited.account())).text)


def test_the_corpus_says_where_it_was_masked(whole: Fixture) -> None:
    rows = [row for group in row_groups(whole.workspace, whole.run, "corpus") for row in group.to_pylist()]
    spans = [(row, span) for row in rows for span in row["masked_spans"]]
    assert len(spans) == sum(row["n_masked_emails"] for row in rows) == 8
    for row, span in spans:
        start = span["masked_start_bytes"]
        assert row["text"].encode()[start:].startswith(b"|||EMAIL_ADDRESS|||")
        assert span["kind"] == "emails"
        assert span["start_bytes"] >= 0
        assert span["length_bytes"] >= 6


def origin(documents: int, n_bytes: int, kept: int, kept_bytes: int, reason: str, n_reason: int) -> dict[str, Any]:
    counted = {"documents": documents, "bytes": n_bytes, "kept": kept, "kept_bytes": kept_bytes}
    return counted | {"reason": reason, "n_reason": n_reason}


def test_pages_are_counted_by_language_and_domain(fixture: Fixture) -> None:
    urls = [
        "http://www.a.co.uk/",
        "http://b.a.co.uk/x",
        "https://c.example:80/",
        "http://10.0.0.1/",
        "http://C.EXAMPLE",
    ]
    rows = [page(i, text, urls[i % 5]) for i, text in enumerate(TEXTS)] + [page(90, None, urls[0])]
    fixture.judged(fixture.pages(rows), RULES)
    groups = fixture.account()["groups"]
    # bbbb a, bbba a, aa c, aaaaa none, bb c, zaa a, zbbbb a
    assert groups["is_corpus"] is False
    assert groups["domain"] == {
        "n": 3,
        "top": [
            {"name": "a.co.uk"} | origin(4, 16, 2, 8, "long", 1),
            {"name": "c.example"} | origin(2, 4, 0, 0, "long", 2),
            {"name": ""} | origin(1, 5, 0, 0, "few_a", 1),
        ],
    }
    assert [row["name"] for row in groups["tld"]["top"]] == ["uk", "example", ""]
    # A language of less than three pages is more often a mistake: it is one of the others.
    assert groups["language"] == {
        "n": 3,
        "top": [{"name": "b"} | origin(3, 10, 2, 8, "long", 1)],
        "rest": {"n_names": 2} | origin(4, 15, 0, 0, "long", 2),
    }
    text = " ".join("".join(parse(to_html(fixture.account())).text).split())
    assert "Registered domains 3" in text and "(none)" in text and "2 others" in text


def test_what_is_kept_of_a_domain_is_what_the_corpus_holds(whole: Fixture) -> None:
    groups = whole.account()["groups"]
    assert groups["is_corpus"] is True
    (domain, other) = groups["domain"]["top"]
    assert (domain["name"], domain["documents"], domain["kept"]) == ("h.example", 12, 8)
    assert (domain["reason"], domain["n_reason"]) == ("gate_z", 2)
    assert (other["name"], other["documents"], other["kept"]) == ("a.example", 3, 1)
    assert (other["reason"], other["n_reason"]) == ("long", 1)
    assert sum(row["kept"] for row in groups["tld"]["top"]) == 9


def test_hostile_hosts_are_only_shown(fixture: Fixture, capsys: pytest.CaptureFixture[str]) -> None:
    attacks = [f"http://{attack}.example/" for attack in HOSTILE]
    fixture.judged(fixture.pages([page(i, "bbbb", url) for i, url in enumerate(attacks)]), RULES)
    account = fixture.account()
    assert sum(row["documents"] for row in account["groups"]["domain"]["top"]) == len(HOSTILE)
    written = to_html(account)
    elements = parse(written)
    shown = "".join(elements.text)
    assert "<script>alert(1)<" in shown and "{{7*7}}{% raw %}.example" in shown
    assert not {"script", "img", "textarea"} & {tag for tag, _ in elements.tags}
    assert not any(character in written for character in "\x1b\x07\x00\u202e")
    print_report(account)
    printed = capsys.readouterr().out
    assert "Registered domains: " in printed
    assert all(character.isprintable() or character == "\n" for character in printed)


def test_all_but_the_most_frequent_domains_are_one_row(fixture: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums are made small again and again: no page is counted twice, and none is lost."""
    monkeypatch.setattr("textmill.pipeline.report.groups.COMPACT_ROWS", 2)
    urls = [f"http://d{i % 25}.example/" for i in range(90)]
    fixture.judged(fixture.pages([page(i, "bbbb", url) for i, url in enumerate(urls)]), RULES)
    domains = fixture.account()["groups"]["domain"]
    assert [row["documents"] for row in domains["top"]] == [4] * 15 + [3] * 5
    assert domains["top"][0]["name"] == "d0.example" and domains["n"] == 25
    assert domains["rest"] == {"n_names": 5, "documents": 15, "bytes": 60, "kept": 15, "kept_bytes": 60}


def test_copies_and_model(whole: Fixture) -> None:
    account = whole.account()
    copies = account["duplicates"]
    assert (copies["candidates"], copies["edges"], copies["rejected"]) == (5, 2, 3)
    assert (copies["removed_exact_duplicate"], copies["removed_near_duplicate"]) == (1, 1)
    assert copies["cluster_sizes"] == [{"size": 2, "n": 2}]
    assert sum(copies["similarity"]["counts"]) == 2
    assert account["model"]["curve"] == [
        {"step": 1, "loss": 5.25},
        {"step": 2, "loss": 4.5},
    ]
    assert account["model"]["evaluations"] == [{"step": 2, "val_loss": 4.75}]
    near = next(s for s in account["samples"]["dropped"] if s["reason"] == "near_duplicate")
    assert (near["doc_id"], near["value"]) == ("0:46", "0:a")


def test_stages_stand_in_the_order_of_the_data(whole: Fixture) -> None:
    names = [stage["name"] for stage in whole.account()["stages"]]
    assert names == list(whole.run.stages)
    for earlier, later in (("pages", "gate"), ("gate", "documents"), ("decisions", "edges"), ("tokens", "model")):
        assert names.index(earlier) < names.index(later)


def test_an_account_is_plain_json_and_always_the_same(whole: Fixture) -> None:
    texts = [json.dumps(whole.account(), allow_nan=False) for _ in range(2)]
    assert texts[0] == texts[1]


def test_an_account_is_the_same_without_room_for_columns(whole: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    account = whole.account()
    monkeypatch.setattr("textmill.pipeline.finished.HELD_BYTES", 0)
    assert whole.account() == account


def test_scores_of_other_documents_are_a_bug(fixture: Fixture) -> None:
    decide = fixture.judged(fixture.pages([page(i, text) for i, text in enumerate(TEXTS)]), RULES)
    run = FinishedRun(fixture.workspace, fixture.run)
    uri = run.tables(decide)[0]
    decisions = pq.read_table(uri)
    pq.write_table(
        decisions.set_column(0, decisions.schema.field(0), pa.array(range(len(decisions)), pa.uint64())), uri
    )
    with pytest.raises(InvariantError, match="documents differ"):
        account_of(run)


def test_a_column_that_is_not_there_is_named(whole: Fixture) -> None:
    run = FinishedRun(whole.workspace, whole.run)
    with pytest.raises(InputError, match="no column 'colour'"):
        run.read(run.tables(run.stages[0])[0], ["doc_id", "colour"])


def test_no_mail_address_is_shown(whole: Fixture) -> None:
    groups = whole.account()["samples"].values()
    shown = [sample["text"] for group in groups for sample in group]
    assert len(shown) > 8 and not any("someone@mail" in text for text in shown)


def test_an_address_is_never_shown_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textmill.pipeline.report.samples.SEARCHED_CHARS", 100)
    monkeypatch.setattr("textmill.pipeline.report.samples.LONGEST_SECRET_CHARS", 40)
    for before in range(60, 101):  # where the text is cut, from behind the address to before it
        shown = judged_text(f"{'a ' * before}"[:before] + "someone@mail.example, and more", ())
        assert "some" not in shown and "mail" not in shown and shown.startswith(25 * "a ")
    assert judged_text("to someone@mail.example", ()) == "to |||EMAIL_ADDRESS|||"


# -- marks


@pytest.mark.parametrize(
    ("column", "text", "marked"),
    [
        ("repetition_duplicate_line_frac", "one\n two\none", ["one", "one"]),
        ("repetition_duplicate_paragraph_frac", "a\nb\n\nc\n\na\nb", ["a\nb", "a\nb"]),
        ("repetition_top_2gram_char_frac", "a b a b c c", ["a b", "a b"]),
        ("repetition_duplicate_5gram_char_frac", "1 2 3 4 5 x 1 2 3 4 5", ["1 2 3 4 5", "1 2 3 4 5"]),
        ("gopher_bullet_line_frac", "* one\ntwo\n - three", ["* one", "- three"]),
        ("gopher_ellipsis_line_frac", "more...\nno.\nmore…", ["more...", "more…"]),
        ("gopher_alpha_word_frac", "é 12 x3 --", ["12", "--"]),
        ("c4_lorem_ipsum", "A Lorem Ipsum b", ["Lorem Ipsum"]),
        ("c4_curly_bracket", "f() { }", ["{", "}"]),
        ("fineweb_punctuated_line_frac", "Home\nA sentence.\nAbout", ["Home", "About"]),
        ("fineweb_short_line_frac", "short\n" + "long " * 9, ["short"]),
        ("rps_doc_frac_all_caps_words", "BUY it NOW", ["BUY", "NOW"]),
        ("refinedweb_removed_word_frac", "Two words\nALL CAPS\n2 likes\none\n12", ["ALL CAPS", "2 likes", "one", "12"]),
        ("curator_longest_word_chars", "a bbb cc ddd", ["bbb"]),
        ("pii_n_contacts", "to |||EMAIL_ADDRESS||| or", ["|||EMAIL_ADDRESS|||"]),
        ("language", "anything", []),
        ("gopher_alpha_word_frac", "", []),
    ],
)
def test_marks_are_on_what_the_column_counts(column: str, text: str, marked: list[str]) -> None:
    pieces = pieces_of(text, marks_of(column, text))
    assert [piece for piece, is_marked in pieces if is_marked] == marked
    assert "".join(piece for piece, _ in pieces) == text


@pytest.mark.parametrize(
    "text", ["\ud800\n\x00", "\n" * 9, "a" * 2000, "w " * 1000, "{<script>}" * 200, "\u202e\u0e01"]
)
def test_every_marker_takes_every_text(text: str) -> None:
    columns = [*REPETITION.names, *C4_COLUMNS.names, *CURATOR.names, *FINEWEB.names, *REFINEDWEB.names]
    for column in columns:
        spans = marks_of(column, text)
        assert all(a < b for a, b in spans) and all(b <= c for (_, b), (c, _) in itertools.pairwise(spans)), column


def test_an_excerpt_shows_the_first_mark() -> None:
    text = "x" * 150 + "{" + "y" * 500
    assert excerpt("c4_curly_bracket", text, 100) == (125, [[25, 26]])
    assert excerpt("c4_curly_bracket", "{" + text, 100) == (0, [[0, 1]])
    assert excerpt("c4_curly_bracket", text[70:], 100) == (55, [[25, 26]])  # not at the very end of what is shown
    assert excerpt("language", text, 100) == (0, [])


# -- the page


def test_a_hostile_text_stays_text_within_marks(fixture: Fixture) -> None:
    fixture.judged(fixture.pages([page(i, text) for i, text in enumerate(TEXTS)]), RULES)
    account = fixture.account()
    account["samples"]["dropped"][0] |= {"text": f"before {HOSTILE[1]}\n\nafter", "marks": [[7, 12]]}
    elements = parse(to_html(account))
    assert HOSTILE[1] in "".join(elements.text) and ("mark", {}) in elements.tags
    assert "img" not in {tag for tag, _ in elements.tags}


def test_hostile_text_does_nothing_in_the_page(whole: Fixture) -> None:
    page = to_html(whole.account())
    elements = parse(page)
    tags = {tag for tag, _ in elements.tags}
    assert not tags & {"img", "iframe", "object", "link", "textarea", "form"}
    names = {name for _, attributes in elements.tags for name in attributes}
    assert not any(name.startswith("on") for name in names)
    assert all("src" not in attributes for _, attributes in elements.tags)
    assert "script" not in tags
    text = "".join(elements.text)
    for attack in HOSTILE[:4]:
        assert attack in text
    assert not any(character in page for character in "\x1b\x07\x00\u202e")


def test_the_overlap_leaves_out_rules_that_nothing_fails(fixture: Fixture) -> None:
    never = Rule("never", "n_chars", low=0)
    fixture.judged(fixture.pages([page(i, text) for i, text in enumerate(TEXTS)]), (RULES[0], never, *RULES[1:]))
    text = " ".join("".join(parse(to_html(fixture.account())).text).split())
    heat = text[text.index("overlap") : text.index("Scores", text.index("overlap"))]
    assert "never" not in heat and "134 long1 3 2 1 few_a3 2 3 1 not_z4 1 1 2" in heat
    assert "1 of 4 rules that no document fails" in text


def test_the_page_may_load_nothing(whole: Fixture) -> None:
    page = to_html(whole.account())
    policy = next(a["content"] for tag, a in parse(page).tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none';") and "http" not in policy


def test_hostile_text_does_nothing_on_the_terminal(fixture: Fixture, capsys: pytest.CaptureFixture[str]) -> None:
    fixture.pages([page(i, None) | {"warc_file": attack} for i, attack in enumerate(HOSTILE)])
    print_report(fixture.account())
    shown = capsys.readouterr().out
    assert "[bold]" not in shown and "\\x1b]0;title\\x07" in shown
    assert all(character.isprintable() or character == "\n" for character in shown)


def test_a_page_is_written_whole_or_not_at_all(whole: Fixture, tmp_path: Path) -> None:
    account = whole.account()
    target = tmp_path / "report.html"
    write_html(account, str(target))
    assert target.read_text(encoding="utf-8").endswith("</html>\n")
    (tmp_path / "folder").mkdir()
    for bad in (target / "below" / "a" / "file.html", tmp_path / "folder"):
        with pytest.raises(UserError, match="cannot be written"):
            write_html(account, str(bad))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "report.html"]


def test_samples_come_from_few_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "NEAR_DOCUMENTS", 25)
    assert samples.near(np.full(9, 10)).sum() == 3
    assert samples.near(np.array([3, 0, 4])).all()
    assert not len(samples.near(np.array([], np.int64)))


def test_what_few_shards_lack_is_drawn_elsewhere() -> None:
    drawn: dict[str, list[samples.Draw]] = {"usual": [], "rare": []}
    for is_near, kinds in ((False, [0, 0, 0, 1, -1]), (True, [0, 0, -1, 0, -1])):
        doc_ids = pa.chunked_array([np.arange(5, dtype=np.uint64) + np.uint64(10 * is_near)])
        samples._draw(drawn, doc_ids, np.array(kinds), [doc_ids, doc_ids], 3, is_near)
    assert sorted(draw.doc_id for draw in drawn["usual"]) == [10, 11, 13]
    assert [(draw.doc_id, draw.value, draw.is_far) for draw in drawn["rare"]] == [(3, 3, True)]


def test_a_damaged_compiled_template_is_compiled_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(values, "__file__", str(tmp_path / "values.py"))
    (tmp_path / "__pycache__").mkdir()

    def load() -> Any:
        environment = values.templates()
        environment.filters |= training.filters()
        return environment.get_template("training.html.j2")

    load()
    (compiled,) = (tmp_path / "__pycache__").glob("*.j2c")
    whole = compiled.read_bytes()
    for n_bytes in [*range(100), len(whole) // 2, len(whole) - 1]:
        compiled.write_bytes(whole[:n_bytes])
        load()
        assert compiled.read_bytes() == whole
