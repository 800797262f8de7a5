"""What a run would keep under other bounds, against new runs with these bounds, and against plain loops."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_report import HOSTILE, RULES, TEXTS, Fixture, Shape, page
from test_stage import Silent

from textmill import cli, storage
from textmill.errors import InputError, InvariantError, UnknownNameError, UserError
from textmill.filters.base import Rule
from textmill.pipeline import dag as dags
from textmill.pipeline.executors import Serial
from textmill.pipeline.finished import FinishedRun
from textmill.pipeline.report import account_of
from textmill.pipeline.runner import run_pipeline
from textmill.pipeline.sources.inputs import Inputs
from textmill.pipeline.stages.pages import Extract
from textmill.pipeline.stages.scores import Decide, Materialize, Score
from textmill.pipeline.verdicts import Chain, ScoredShard
from textmill.pipeline.whatif import BYTES_PER_TOKEN, Totals, notes, print_whatif, what_if
from textmill.pipeline.workspace import Run, Workspace, new_run
from textmill.simulate.crawl import write_crawl

SETTINGS = ("language_model=builtin", "vocab_size=500", "shard_mb=0.1", "gopher_words.low=150")


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crawl")
    write_crawl(folder, n_pages=150)
    return folder


def run_demo(crawl: Path, root: Path, *settings: str) -> tuple[Workspace, Run]:
    """A run of the demo up to the corpus. Runs in one workspace share what they have in common."""
    dag = dags.load_dag("demo")
    values, bounds = dags.parse_settings(dag, [f"warcs={crawl}", *SETTINGS, *settings])
    target = dags.cut(dags.build(dag, values, bounds), "corpus")
    workspace = Workspace(str(root))
    workspace.create()
    return workspace, run_pipeline(new_run("demo", settings, target), target, workspace, Serial(), Silent())


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work") / "w"


@pytest.fixture(scope="module")
def work(crawl: Path, root: Path) -> tuple[Workspace, Run]:
    return run_demo(crawl, root)


def rule_counts(account: dict[str, Any], when: str) -> dict[str, tuple[int, ...]]:
    names = ("in_order", "alone", "only")
    return {rule["reason"]: tuple(rule[when][name] for name in names) for rule in account["rules"]}


def reported(work: tuple[Workspace, Run]) -> tuple[dict[str, tuple[int, ...]], int, int]:
    """Rules, documents that pass them, and documents of the corpus, as the report of a run counts them."""
    account = account_of(FinishedRun(*work))
    rules = [rule for decision in account["decisions"] for rule in decision["rules"]]
    counts = {rule["reason"]: (rule["in_order"], rule["alone"], rule["only"]) for rule in rules}
    funnel = {step["step"]: step["rows"] for step in account["funnel"]}
    return counts, funnel["pass the rules"], funnel["corpus"]


# -- against runs


def test_without_settings_it_is_what_the_run_reports(work: tuple[Workspace, Run]) -> None:
    account = what_if(*work, {}, 3)
    counts, n_pass, n_corpus = reported(work)
    assert rule_counts(account, "before") == rule_counts(account, "after") == counts
    assert account["before"] == account["after"] and account["before"]["docs"] == n_pass
    assert account["copies"]["before"]["docs"] == n_corpus < n_pass
    assert all(flips["docs"] == 0 and not flips["samples"] for flips in account["flips"].values())
    assert account["changed"] == []


@pytest.mark.parametrize(
    "settings",
    [
        ("gopher_words.low=50",),
        ("gopher_words.low=260", "gopher_stop_words.low=none"),
        ("gopher_words.low=none", "gopher_words.high=none"),
        ("gopher_words.low=none", "gopher_words.high=200"),
        ("repetition_top_3gram_char.high=.03",),
        ("language_score.low=.9",),
        ("language_score.low=.9", "gopher_words.low=100"),
    ],
)
def test_it_is_what_a_new_run_finds(
    crawl: Path, root: Path, work: tuple[Workspace, Run], settings: tuple[str, ...]
) -> None:
    account = what_if(*work, dags.parse_bounds(settings), 3)
    counts, n_pass, n_corpus = reported(run_demo(crawl, root, *settings))
    after = {r: n for r, n in rule_counts(account, "after").items() if r in counts}
    assert after == counts and account["after"]["docs"] == n_pass
    assert account["after"]["unknown"]["docs"] == 0
    if account["copies"]["exact"]:
        assert account["copies"]["after"]["docs"] == n_corpus
    assert account["copies"]["exact"] == (not settings[0].startswith("language"))
    flips = account["flips"]
    assert account["after"]["docs"] - account["before"]["docs"] == flips["comes in"]["docs"] - flips["goes out"]["docs"]
    assert flips["comes in"]["docs"] + flips["goes out"]["docs"] > 0


def test_what_no_later_rule_has_judged_is_counted_apart(crawl: Path, root: Path, work: tuple[Workspace, Run]) -> None:
    settings = ("language.low=none", "language.high=none", "language_score.low=none")
    account = what_if(*work, dags.parse_bounds(settings), 4)
    assert account["after"]["docs"] == account["before"]["docs"]
    unknown = account["after"]["unknown"]
    assert unknown["docs"] > 10 and unknown["text_bytes"] > 1000
    _, n_pass, _ = reported(run_demo(crawl, root, "language_score.low=none"))
    only_score = what_if(*work, dags.parse_bounds(settings[2:]), 4)["after"]
    assert only_score["docs"] <= n_pass <= only_score["docs"] + only_score["unknown"]["docs"]
    samples = account["flips"]["may come in"]["samples"]
    assert len(samples) == 4 and {s["reason"] for s in samples} <= {"language", "language_score"}
    assert any("none, some or all of them" in note for note in notes(account))
    assert any("may find other clusters" in note for note in notes(account))


def test_samples_are_documents_that_change_sides(work: tuple[Workspace, Run]) -> None:
    account = what_if(*work, {"gopher_words": {"low": "50", "high": "200"}}, 1000)
    for way in ("comes in", "goes out"):
        flips = account["flips"][way]
        assert len(flips["samples"]) == flips["docs"] > 0
        for sample in flips["samples"]:
            assert sample["reason"] == "gopher_words" and sample["url"].startswith("http") and sample["text"]
            assert 50 <= sample["value"] < 150 if way == "comes in" else sample["value"] > 200
    few = what_if(*work, {"gopher_words": {"low": "50", "high": "200"}}, 2)
    assert few["flips"]["goes out"]["samples"] == account["flips"]["goes out"]["samples"][:2]


def test_tampered_decisions_are_found(crawl: Path, tmp_path: Path) -> None:
    workspace, run = run_demo(crawl, tmp_path / "w")
    uri = workspace.tables(run.stages["decisions"])[0]
    table = storage.read_table(uri)
    flipped = pa.array([not keep for keep in table["gopher_words"].to_pylist()])
    place = table.schema.get_field_index("gopher_words")
    with storage.TableWriter(Path(uri), table.schema) as writer:
        writer.write(table.set_column(place, table.schema.field(place), flipped))
    with pytest.raises(InvariantError, match="not those of its rules"):
        what_if(workspace, run, {}, 0)


# -- against plain loops


class Slow:
    """Two stages of rules, document by document."""

    def __init__(self, rows: list[dict[str, Any]], sides: list[list[Rule | None]]) -> None:
        self.alone, self.only, self.in_order = ([0] * sum(map(len, sides)) for _ in range(3))
        self.docs = self.unknown = self.text_bytes = 0
        for row in rows:
            self._judge(row, sides)

    def _judge(self, row: dict[str, Any], sides: list[list[Rule | None]]) -> None:
        begin = 0
        for stage, rules in enumerate(sides):
            scores = row["scores"][stage]
            if scores is None:
                self.unknown += 1
                return
            failed = [begin + i for i, rule in enumerate(rules) if rule and not self._holds(rule, scores[rule.column])]
            begin += len(rules)
            for i in failed:
                self.alone[i] += 1
            if failed:
                self.in_order[failed[0]] += 1
                self.only[failed[0]] += len(failed) == 1
                return
        self.docs += 1
        self.text_bytes += row["bytes"]

    @staticmethod
    def _holds(rule: Rule, value: float) -> bool:
        is_float = rule.column == "a_frac"
        low, high = (b if b is None or not is_float else np.float32(b) for b in (rule.low, rule.high))
        return not ((low is not None and value < low) or (high is not None and value > high))


EXTRACT = Extract(Inputs((), 1), "resiliparse")
GATE = Decide(Score(EXTRACT, (Shape(),), name="gate_scores"), (Rule("gate", "n_chars", low=2), RULES[1]), name="gate")
LAST = Decide(
    Score(Materialize(EXTRACT, GATE), (Shape(),)),
    (Rule("long", "n_chars", low=3, high=7), Rule("few", "a_frac", high=0.1), Rule("more", "a_frac", low=0.1)),
)
SCORES = st.tuples(st.integers(0, 9), st.sampled_from([0, 1, 3, 5, 10]).map(lambda n: n / 10))
BOUND = st.none() | st.sampled_from([0.0, 0.1, 0.5, 2.0, 2.5, 4.0])


@given(
    st.lists(st.tuples(SCORES, st.none() | SCORES, st.integers(0, 1000)), max_size=12),
    st.lists(st.tuples(BOUND, BOUND), min_size=5, max_size=5),
)
def test_verdicts_are_those_of_plain_loops(rows: list[Any], limits: list[tuple[float | None, float | None]]) -> None:
    chain = Chain((GATE, LAST))
    rules = [
        replace(r, low=a, high=b) if (a, b) != (None, None) else None
        for r, (a, b) in zip(chain.rules, limits, strict=True)
    ]
    places = [np.arange(len(rows)), np.flatnonzero([second is not None for _, second, _ in rows])]
    stages = [[first for first, _, _ in rows], [second for _, second, _ in rows if second is not None]]
    tables = [
        pa.table(
            {
                "n_chars": pa.array([n for n, _ in own], pa.int64()),
                "a_frac": pa.array([a for _, a in own], pa.float32()),
            }
        )
        for own in stages
    ]
    sizes = np.array([n for _, _, n in rows], np.int64)
    n_stages = np.array([1 + (second is not None) for _, second, _ in rows], np.int64)
    ids = np.arange(len(rows), dtype=np.uint64)
    shard = ScoredShard(ids, sizes, n_stages, places, tables, np.zeros((5, len(rows)), bool))
    totals = Totals.of(5)
    totals.add(shard, chain.verdicts(shard, rules))

    def named(scores: tuple[int, float] | None) -> dict[str, Any] | None:
        return scores and {"n_chars": scores[0], "a_frac": np.float32(scores[1])}

    plain = [{"scores": (named(first), named(second)), "bytes": n} for first, second, n in rows]
    slow = Slow(plain, [rules[:2], rules[2:]])
    assert (totals.docs, totals.unknown_docs, totals.text_bytes) == (slow.docs, slow.unknown, slow.text_bytes)
    assert [totals.alone.tolist(), totals.only.tolist(), totals.in_order.tolist()] == [
        slow.alone,
        slow.only,
        slow.in_order,
    ]


# -- small runs by hand


@pytest.fixture
def fixture(tmp_path: Path) -> Fixture:
    return Fixture(tmp_path)


def test_counted_by_hand(fixture: Fixture) -> None:
    fixture.judged(fixture.pages([page(i, text) for i, text in enumerate([*TEXTS, None])]), RULES)
    account = what_if(fixture.workspace, fixture.run, {"long": {"low": "3"}, "few_a": {"high": "none"}}, 5)
    assert account["documents"] == 7 and account["copies"] is None
    assert (account["before"]["docs"], account["before"]["text_bytes"]) == (2, 8)  # bbbb, bbba
    assert (account["after"]["docs"], account["after"]["text_bytes"]) == (3, 13)  # and aaaaa; zaa begins with z
    assert (
        account["after"]["tokens"] == round(13 / BYTES_PER_TOKEN) and "assumed" in account["bytes_per_token"]["source"]
    )
    assert [s["text"] for s in account["flips"]["comes in"]["samples"]] == ["aaaaa"]
    assert rule_counts(account, "after") == {"long": (2, 2, 2), "few_a": (0, 0, 0), "not_z": (2, 2, 2)}
    assert account["rules"][1]["after"]["high"] is None and account["rules"][1]["before"]["high"] == 0.5


def attach(path: Path, values: dict[int, float | None], name: str = "bits_per_byte") -> str:
    columns = {"doc_id": pa.array(values, pa.uint64()), name: pa.array(values.values(), pa.float64())}
    pq.write_table(pa.table(columns), path)
    return str(path)


def test_a_rule_on_scores_from_elsewhere(fixture: Fixture, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """TEXTS by their rules: bbbb and bbba stay; aaaaa would without few_a. What has no value is neither."""
    pages = fixture.pages([page(i, text) for i, text in enumerate([*TEXTS, None])])
    fixture.judged(pages, RULES)
    ids = dict(
        zip(TEXTS, storage.read_table(fixture.workspace.tables(pages.folder)[0])["doc_id"].to_pylist(), strict=False)
    )
    one, other = ids["bbbb"], ids["bbba"]

    def tried(values: dict[int, float | None], **bounds: dict[str, str]) -> dict[str, Any]:
        table = attach(tmp_path / "scores.parquet", values)
        return what_if(fixture.workspace, fixture.run, bounds, 5, [table])

    both = tried({one: 2.0, other: 1.0, ids["aaaaa"]: 0.5, 12345: 1.0}, bits_per_byte={"high": "1.5"})
    assert (both["before"]["docs"], both["after"]["docs"], both["after"]["unknown"]["docs"]) == (2, 1, 0)
    (gone,) = both["flips"]["goes out"]["samples"]
    assert (gone["text"], gone["reason"], gone["value"]) == ("bbbb", "bits_per_byte", 2.0)
    assert rule_counts(both, "after")["bits_per_byte"] == (1, 1, 1) and both["rules"][-1]["stage"] == "table"
    assert rule_counts(both, "before")["bits_per_byte"] == (0, 0, 0) and both["changed"] == ["bits_per_byte"]

    for missing in ({one: 2.0}, {one: 2.0, other: None}, {one: 2.0, other: math.nan}):
        half = tried(missing, bits_per_byte={"high": "1.5"}, few_a={"high": "none"})
        assert (half["after"]["docs"], half["flips"]["goes out"]["docs"]) == (0, 1)
        assert [s["text"] for s in half["flips"]["may go out"]["samples"]] == ["bbba"]
        assert [s["text"] for s in half["flips"]["may come in"]["samples"]] == ["aaaaa"]
        assert half["after"]["unknown"]["docs"] == 2
        assert any("1 documents (4 B) that the run keeps have no value in the table" in note for note in notes(half))
    print_whatif(half)
    assert "off → ≤ 1.5" in capsys.readouterr().out
    none = tried({}, bits_per_byte={"high": "none"})
    assert none["after"] == none["before"] and none["changed"] == []
    arguments = ["whatif", fixture.workspace.root, "--table", str(tmp_path / "scores.parquet")]
    fixture.workspace.save_run(fixture.run)
    assert cli.main([*arguments, "--set", "bits_per_byte.low=1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["flips"]["may go out"]["docs"] == 2
    assert cli.main([*arguments, "--html", str(tmp_path / "page.html")]) == 2


def test_tables_of_something_else_are_told(fixture: Fixture, tmp_path: Path) -> None:
    fixture.judged(fixture.pages([page(0, "one")]), RULES)
    table = attach(tmp_path / "a.parquet", {1: 1.0})
    pq.write_table(pa.table({"doc_id": pa.array([1], pa.uint64()), "name": ["x"]}), tmp_path / "text.parquet")
    pq.write_table(pa.table({"doc_id": [1], "bits_per_byte": [1.0]}), tmp_path / "signed.parquet")
    for tables, bounds, error, message in (
        ([table], {"bits_per_bite": {"low": "1"}}, UnknownNameError, "did you mean 'bits_per_byte'"),
        ([table], {"bits_per_byte": {"low": "x"}}, UserError, "not a number"),
        ([table, table], {"bits_per_byte": {"low": "1"}}, InputError, "document 0:1 is there twice"),
        ([str(tmp_path / "text.parquet")], {"name": {"low": "1"}}, InputError, "holds string, no numbers"),
        ([str(tmp_path / "signed.parquet")], {"bits_per_byte": {"low": "1"}}, InputError, "no column doc_id of type"),
    ):
        with pytest.raises(error, match=message):
            what_if(fixture.workspace, fixture.run, bounds, 5, tables)


def test_hostile_pages_are_safe_and_masked(fixture: Fixture, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [page(i, f"{a} to someone@mail.example", f"http://h.example/{a}") for i, a in enumerate(HOSTILE)]
    fixture.judged(fixture.pages(rows), (Rule("long", "n_chars", low=10**6),))
    account = what_if(fixture.workspace, fixture.run, {"long": {"low": "none"}}, 20)
    samples = account["flips"]["comes in"]["samples"]
    assert len(samples) == len(HOSTILE)
    assert all("|||EMAIL_ADDRESS|||" in s["text"] and "someone" not in s["text"] for s in samples)
    assert json.loads(json.dumps(account, allow_nan=False)) == account
    print_whatif(account)
    shown = capsys.readouterr().out
    assert "\\x1b]0;title\\x07" in shown
    assert all(character.isprintable() or character == "\n" for character in shown)


def test_a_run_of_nothing(fixture: Fixture) -> None:
    fixture.judged(fixture.pages([page(0, None)]), RULES)
    account = what_if(fixture.workspace, fixture.run, {"long": {"low": "1"}}, 5)
    assert account["documents"] == account["after"]["docs"] == account["after"]["tokens"] == 0


def test_mistakes_are_told(fixture: Fixture) -> None:
    pages = fixture.pages([page(0, "one")])
    with pytest.raises(UserError, match="no decisions yet"):
        what_if(fixture.workspace, fixture.run, {}, 5)
    fixture.judged(pages, RULES)
    for bounds, error, message in (
        ({"lung": {"low": "1"}}, UnknownNameError, "did you mean 'long'"),
        ({"long": {"low": "many"}}, UserError, "not a number"),
        ({"long": {"low": "inf"}}, UserError, "finite"),
        ({"not_z": {"high": "5"}}, UserError, "about labels"),
    ):
        with pytest.raises(error, match=message):
            what_if(fixture.workspace, fixture.run, bounds, 5)


def test_scores_of_an_earlier_version_are_told(fixture: Fixture) -> None:
    decide = fixture.judged(fixture.pages([page(0, "one")]), RULES)
    uri = fixture.workspace.tables(decide.scores.folder)[0]
    table = storage.read_table(uri).drop_columns("text_bytes")
    with storage.TableWriter(Path(uri), table.schema) as writer:
        writer.write(table)
    with pytest.raises(InputError, match="an earlier version"):
        what_if(fixture.workspace, fixture.run, {}, 5)
    assert [made["column"] for made in fixture.account()["histograms"]] == ["n_chars", "a_frac"]  # still reported


# -- the command


def test_the_command(work: tuple[Workspace, Run], capsys: pytest.CaptureFixture[str]) -> None:
    root = work[0].root
    assert cli.main(["whatif", f"{root}:{work[1].name}", "--set", "gopher_words.low=50", "-n", "2"]) == 0
    shown = capsys.readouterr().out
    assert "changed: gopher_words" in shown and "150 to 100,000 → 50 to 100,000" in shown and "comes in:" in shown
    assert cli.main(["whatif", f"{root}:{work[1].name}", "--set", "gopher_words.low=50", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["changed"] == ["gopher_words"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--set", "gopher_word.low=5"), "did you mean 'gopher_words'"),
        (("--set", "gopher_words.lo=5"), "did you mean 'low'"),
        (("--set", "gopher_words=5"), "not a bound of a rule"),
        (("--set", "gopher_words.low"), "write it as NAME=VALUE"),
        (("-n", "-1"), "must not be negative"),
    ],
)
def test_a_mistake_is_one_line(
    work: tuple[Workspace, Run], capsys: pytest.CaptureFixture[str], options: tuple[str, ...], expected: str
) -> None:
    assert cli.main(["whatif", work[0].root, *options]) == 2
    shown = capsys.readouterr()
    assert expected in shown.err and shown.err.count("\n") == 1 and not shown.out
