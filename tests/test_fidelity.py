"""`textmill fidelity`: two presets on a run of a few documents, against counts by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_report import Fixture, Shape, page

from textmill import schema
from textmill.cli import main
from textmill.errors import UserError
from textmill.filters.base import Preset, Rule
from textmill.pipeline.fidelity import compare, print_fidelity
from textmill.pipeline.finished import FinishedRun
from textmill.pipeline.stages.scores import Materialize

LONG = Preset(
    "shape@long", "this test", (Shape(),), (Rule("short", "n_chars", low=4), Rule("many_a", "a_frac", high=0.5))
)
LATER = Preset(
    "shape@later", "this test", (Shape(),), (Rule("early", "language", low="b"), Rule("brief", "n_chars", low=2))
)
# text -> first reasons of LONG and LATER: of 7 documents, 2 are kept by both, 2 by LATER, 1 by LONG, 2 by none
TEXTS = {
    "bbbb": ("", ""),
    "cbba": ("", ""),
    "bb": ("short", ""),
    "zaa": ("short", ""),
    "abbb": ("", "early"),
    "aaaa": ("many_a", "early"),
    "a": ("short", "early"),
}


@pytest.fixture
def fixture(tmp_path: Path) -> Fixture:
    made = Fixture(tmp_path)
    made.pages([page(i, text, f"http://h.example/{i}") for i, text in enumerate(TEXTS)] + [page(90, None)])
    return made


def finished(fixture: Fixture) -> FinishedRun:
    return FinishedRun(fixture.workspace, fixture.run)


def test_verdicts_and_reasons_are_counted(fixture: Fixture) -> None:
    found = compare(finished(fixture), LONG, LATER, 3)
    assert (found.n_documents, found.n_kept_by_both, found.n_kept_by_none) == (7, 2, 2)
    assert (found.n_kept_by_first, found.n_kept_by_second) == (1, 2)
    assert found.agreement_frac == 4 / 7
    counted = [(row.preset, row.reason, row.n_first, row.n_only) for row in found.deciding]
    assert counted == [("shape@long", "short", 2, 1), ("shape@later", "early", 1, 1)]  # "zaa" fails many_a, too


def test_a_sample_has_the_values_of_both_sides(fixture: Fixture) -> None:
    samples = {sample.text: sample for sample in compare(finished(fixture), LONG, LATER, 3).samples}
    assert set(samples) == {"bb", "zaa", "abbb"}
    zaa = samples["zaa"]
    assert (zaa.dropped_by, zaa.reason, zaa.column, zaa.bounds) == ("shape@long", "short", "n_chars", "≥ 4")
    assert (zaa.value, zaa.other_value, zaa.url) == (3, 3, "http://h.example/3")
    assert zaa.doc_id == schema.show_doc_id(schema.doc_id(0, 160 * 3))


def test_a_side_without_the_column_has_no_value(fixture: Fixture) -> None:
    none = Preset("none@none", "this test", (), ())
    samples = compare(finished(fixture), none, LONG, 1).samples
    assert [sample.other_value for sample in samples] == [None]


def test_samples_are_few_and_the_same_for_any_row_groups(fixture: Fixture, tmp_path: Path) -> None:
    other = Fixture(tmp_path / "other")
    rows = [page(i, text) for i, text in enumerate(["a"] * 40)]
    other.pages(rows)
    few, more = (compare(finished(other), LONG, Preset("all@all", "", (), ()), n).samples for n in (2, 5))
    assert len(few) == 2 and more[:2] == few


def test_documents_behind_a_gate_are_those_that_passed(fixture: Fixture) -> None:
    pages = fixture.workspace.load_stage(fixture.run.stages["pages"])
    gate = fixture.judged(pages, (Rule("gate", "language", high="y"),), "gate")
    fixture.make(Materialize(pages, gate))
    assert compare(finished(fixture), LONG, LATER, 0).n_documents == 6  # without "zaa"


def test_equal_presets_agree(fixture: Fixture) -> None:
    found = compare(finished(fixture), LONG, LONG, 3)
    assert (found.agreement_frac, found.deciding, found.samples) == (1.0, (), ())


def test_progress_counts_every_row_that_was_read(fixture: Fixture) -> None:
    seen: list[float] = []
    compare(finished(fixture), LONG, LATER, 0, seen.append)
    assert sum(seen) == len(TEXTS) + 1 and len(seen) == 2  # a page has no text; row groups of 4


def test_hostile_text_is_shown_safely(fixture: Fixture, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = Fixture(tmp_path / "hostile")
    other.pages([page(0, "\x1b]0;t\x07 [bold]x@mail.example \u202e", "http://a/\x1b[2J")])
    always = Preset("no@no", "", (Shape(),), (Rule("no", "n_chars", high=0),))
    print_fidelity(compare(finished(other), always, Preset("all@all", "", (), ()), 3))
    out = capsys.readouterr().out
    assert not {"\x1b", "\x07", "\u202e"} & set(out)
    assert "[bold]" in out and "x@mail.example" not in out and "|||EMAIL_ADDRESS|||" in out


def run(*arguments: str) -> int:
    return main(["fidelity", *arguments])


def test_command(fixture: Fixture, capsys: pytest.CaptureFixture[str]) -> None:
    fixture.workspace.save_run(fixture.run)
    assert run("gopher@paper", "signals@rpv2", str(fixture.root / "work"), "--json") == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert found["presets"] == ["gopher@paper", "signals@rpv2"]
    assert (found["n_documents"], found["n_kept_by_second"], len(found["samples"])) == (7, 7, 3)
    assert run("gopher@paper", "signals@rpv2", str(fixture.root / "work")) == 0
    out = capsys.readouterr().out
    assert "7 documents, the same verdict on 0.00%" in out and "gopher_words" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("gopher@papr", "signals@rpv2"), "did you mean 'gopher@paper'"),
        (("gopher@paper", "nonsense"), "unknown preset 'nonsense'"),
        (("gopher@paper", "signals@rpv2", "-n", "-1"), "must not be negative"),
    ],
)
def test_mistakes_are_one_line(
    fixture: Fixture, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    fixture.workspace.save_run(fixture.run)
    assert run(*arguments[:2], str(fixture.root / "work"), *arguments[2:]) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1


def test_a_run_without_documents_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no documents yet"):
        compare(finished(Fixture(tmp_path)), LONG, LATER, 1)
