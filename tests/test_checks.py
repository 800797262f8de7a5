"""Rules checked on a sample: every kind of finding, the interval, and that nothing is left behind."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_report import Shape
from test_whatif import reported, run_demo

from textmill import cli
from textmill.errors import UserError
from textmill.filters.base import Rule
from textmill.pipeline import dag as dags
from textmill.pipeline.checks import NOTE, WRONG, Checked, check, print_checked, ratio
from textmill.pipeline.sources.inputs import find_inputs
from textmill.pipeline.stage import Result, Stage, Task
from textmill.pipeline.stages.pages import Extract
from textmill.pipeline.stages.scores import Decide, Materialize, Score
from textmill.simulate.crawl import write_crawl


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crawl")
    write_crawl(folder, n_pages=150)
    return folder


@pytest.fixture(autouse=True)
def in_an_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def pages_of(crawl: Path) -> Extract:
    return Extract(find_inputs((str(crawl),), 0.05), "resiliparse-all", guarded=False)


def judged(crawl: Path, *rules: Rule) -> Decide:
    return Decide(Score(pages_of(crawl), (Shape(),)), rules)


def found(checked: Checked, reason: str) -> list[tuple[str, str]]:
    return [(finding.kind, finding.text) for finding in checked.findings if finding.about == reason]


# -- findings


def test_every_kind_of_finding(crawl: Path) -> None:
    rules = (
        Rule("fine", "n_chars", low=1500, high=4000),
        Rule("same", "text_bytes", low=1, high=10**9),
        Rule("always", "n_chars", low=10**9),
        Rule("never", "n_chars", high=10**9),
        Rule("percent", "a_frac", high=6),
        Rule("beyond", "n_chars", low=1500, high=10**9),
        Rule("again", "n_chars", low=1499.5),
        Rule("label", "language", low="A", high="M"),
    )
    checked = check(judged(crawl, *rules), 4)
    assert checked.is_wrong and checked.n_sampled == 4 < checked.n_shards
    assert found(checked, "fine") == found(checked, "label") == []
    (always,) = found(checked, "always")
    assert always[0] == WRONG and f"fails all {checked.docs:,} documents" in always[1] and "values are" in always[1]
    (never,) = found(checked, "never")
    assert never[0] == NOTE and f"none of {checked.docs:,} documents: fewer than {3 / checked.docs:.2%}" in never[1]
    units, nothing = found(checked, "percent")
    assert units[0] == WRONG and "a share from 0 to 1; for 6 % write 0.06" in units[1] and "fails none" in nothing[1]
    ((kind, text),) = found(checked, "beyond")
    assert kind == NOTE and text.startswith("nothing is above 1,000,000,000: the largest value is")
    whole_numbers, same = found(checked, "again")
    assert "counts in whole numbers" in whole_numbers[1] and same[1].endswith("documents as beyond")
    assert checked.kept == 0 and checked.kept_frac.low == 0 and checked.kept_frac.high == 3 / checked.docs


def test_rules_that_nothing_reaches(crawl: Path) -> None:
    gate = replace(judged(crawl, Rule("gate", "n_chars", low=10**9)), name="gate")
    target = Decide(
        Score(Materialize(gate.scores.documents, gate), (Shape(),), name="later"), (Rule("b", "n_chars", low=1),)
    )
    checked = check(target, 2)
    assert found(checked, "decisions") == [(WRONG, "no document reaches these rules")]
    assert found(checked, "b") == [] and found(checked, "gate")[0][0] == WRONG


@dataclass(frozen=True)
class Everything(Stage):
    """A stage that needs all shards of its input."""

    table = "everything"
    documents: Stage

    def shards(self) -> list[str]:
        return ["all"]

    def run_shard(self, task: Task) -> Result:
        raise NotImplementedError


def test_rules_after_a_stage_that_needs_all_are_left_out(crawl: Path) -> None:
    first = judged(crawl, Rule("short", "n_chars", low=1500))
    last = Decide(Score(Everything(first), (Shape(),), name="later"), (Rule("b", "n_chars", low=1),), name="last")
    checked = check(last, 2)
    assert found(checked, "last") == [(NOTE, "not checked: a stage before it needs all documents")]
    assert 0 < checked.kept < checked.docs and not checked.is_wrong
    alone = Decide(Score(Everything(pages_of(crawl)), (Shape(),)), (Rule("b", "n_chars", low=1),))
    with pytest.raises(UserError, match="need all documents"):
        check(alone, 2)
    with pytest.raises(UserError, match="no rules"):
        check(pages_of(crawl), 2)


# -- estimates


def test_all_shards_are_the_run_itself(crawl: Path, tmp_path: Path) -> None:
    dag = dags.load_dag("demo")
    settings = ("language_model=builtin", "vocab_size=500", "shard_mb=0.1", "gopher_words.low=150")
    values, bounds = dags.parse_settings(dag, [f"warcs={crawl}", *settings])
    checked = check(dags.build(dag, values, bounds), 1000)
    _, n_pass, _ = reported(run_demo(crawl, tmp_path / "w"))
    assert checked.n_sampled == checked.n_shards > 2 and checked.kept == n_pass
    assert checked.kept_frac == (n_pass / checked.docs,) * 3
    assert checked.kept_docs == pytest.approx((n_pass,) * 3)
    assert set(checked.cost) == {"pages", "gate_scores", "gate", "documents", "scores", "decisions"}
    assert all(seconds >= 0 and n_bytes > 0 for seconds, n_bytes in checked.cost.values())


def test_a_ratio_by_hand() -> None:
    # 4 of 10 shards: 20 of 40 documents; residuals 1, -1, 1, -1; variance .6 * 4 / 3 / 4 / 10^2 = .002
    estimate = ratio(np.array([6, 4, 6, 4]), np.full(4, 10), 10)
    assert estimate == pytest.approx((0.5, 0.5 - 3.18 * math.sqrt(0.002), 0.5 + 3.18 * math.sqrt(0.002)))
    assert ratio(np.array([2, 3]), np.array([4, 6]), 2) == (0.5, 0.5, 0.5)
    one = ratio(np.array([2]), np.array([4]), 7)
    assert one.value == 0.5 and math.isnan(one.low) and math.isnan(one.high)
    assert math.isnan(ratio(np.array([0, 0]), np.array([0, 0]), 5).value)
    assert ratio(np.array([10, 10]), np.array([10, 10]), 5, most=1.0) == (1.0, 1 - 3 / 20, 1.0)
    assert ratio(np.array([0, 0]), np.array([10, 10]), 5, unit=7.0).high == 3 * 7 / 20


@pytest.mark.parametrize("n", [3, 6, 20])
def test_the_interval_holds_the_truth(n: int) -> None:
    random = np.random.default_rng(7)
    held = 0
    for _ in range(400):
        docs = random.integers(50, 150, 200)
        kept = random.binomial(docs, random.beta(8, 4, 200))  # shards differ more than documents drawn one by one
        some = random.choice(200, n, replace=False)
        estimate = ratio(kept[some], docs[some], 200)
        held += estimate.low <= kept.sum() / docs.sum() <= estimate.high
    assert 0.91 <= held / 400 <= 0.99


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=14), st.integers(0, 3))
def test_an_interval_is_around_its_value(shards: list[tuple[int, int]], more: int) -> None:
    kept = np.array([min(pair) for pair in shards])
    docs = np.array([max(pair) for pair in shards])
    estimate = ratio(kept, docs, len(shards) + more, most=1.0)
    if not math.isnan(estimate.low):
        assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1


# -- the command


def plan(crawl: Path, *options: str) -> Sequence[str]:
    settings = [part for s in (f"warcs={crawl}", "language_model=builtin", "shard_mb=0.05") for part in ("--set", s)]
    return ["plan", "demo", *settings, *options]


def test_the_command_says_what_is_wrong_and_leaves_nothing(
    crawl: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    assert cli.main(plan(crawl, "--sample", "3")) == 0
    shown = capsys.readouterr().out
    assert "plan for work" in shown and "checked on 3 of" in shown and "note" in shown and "wrong" not in shown
    assert "95% interval" in shown and "CPU seconds" in shown and "gate_scores" in shown
    assert cli.main(plan(crawl, "--sample", "2", "--set", "gopher_alpha.low=80")) == 2
    assert "for 80 % write 0.8" in " ".join(capsys.readouterr().out.replace("│", "").split())
    assert [path.name for path in tmp_path.iterdir()] == ["scratch"] and not list((tmp_path / "scratch").iterdir())


def test_mistakes_are_one_line(crawl: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(plan(crawl, "--sample", "2", "--to", "pages")) == 2
    assert "no rules on the way to 'pages'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(plan(crawl, "--sample", "0"))


def test_one_shard_has_no_interval(crawl: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_checked(check(judged(crawl, Rule("short", "n_chars", low=1500)), 1))
    shown = capsys.readouterr().out
    assert "not from one shard" in shown and "no findings" in shown
