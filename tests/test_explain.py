"""What explain says of a page: why it fails, where in its text, and what the guard said of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from test_report import Fixture, page

from textmill import schema, storage
from textmill.filters import preset
from textmill.filters.base import Rule, Scorer, stack
from textmill.filters.curator import CuratorRatios
from textmill.filters.fineweb import FineWebQuality
from textmill.pipeline.explain import explain
from textmill.pipeline.stages.scores import Decide, Score
from textmill.pipeline.watch import Verdict, save_verdicts

RULES = (
    Rule("far", "curator_longest_word_chars", low=1),
    Rule("near", "curator_digit_char_frac", high=0.05),
    Rule("short", "fineweb_short_line_frac", high=0.5, source="of this test"),
    Rule("ends", "fineweb_punctuated_line_frac", low=0.1, source="of another"),
    *(Rule(f"other_{i}", "curator_url_char_frac", high=10 + i) for i in range(8)),
)
TEXT = "Home\nA line that is long enough to be none of the short ones.\nAbout us\x1b[2J\nmail a.b@mail.example"


@pytest.fixture
def judged(tmp_path: Path) -> Fixture:
    fixture = Fixture(tmp_path)
    scores = Score(fixture.pages([page(0, TEXT), page(1, None)]), (FineWebQuality(), CuratorRatios()))
    fixture.make(scores)
    fixture.make(Decide(scores, RULES))
    return fixture


def told(fixture: Fixture, i: int = 0, *, everything: bool = False) -> list[str]:
    doc_id = schema.show_doc_id(schema.doc_id(0, 160 * i))
    return list(explain(fixture.workspace, fixture.run, doc_id, everything=everything))


def test_families_that_fail_come_first_with_what_makes_them_fail(judged: Fixture) -> None:
    lines = told(judged)
    first = lines.index("  decisions: 1 of 12 rules fail")
    assert [" ".join(line.split()) for line in lines[first + 1 : -1]] == [
        "FineWeb: 1 of 2 fail",
        "short FAILS 0.75 at most 0.5, margin -0.25 (of this test)",
        "> [Home]⏎A line that is long eno (at 0)",
        "> none of the short ones.⏎[About us\\x1b[2J]⏎mail |||EMAIL_ADDRESS|| (at 62)",
        "> hort ones.⏎About us\\x1b[2J⏎[mail |||EMAIL_ADDRESS|||] (at 75)",
        "ends ok 0.25 at least 0.1, margin +0.15 (of another)",
        "NeMo Curator: all 10 hold",
        "near ok 0.01042 at most 0.05, margin +0.03958",
        "and 9 more that hold: --all",
        "8 scores without a rule: --all",
    ]


def judged_by(fixture: Fixture, text: str, scorers: tuple[Scorer, ...], rules: tuple[Rule, ...]) -> list[str]:
    scores = Score(fixture.pages([page(0, text)]), scorers)
    fixture.make(scores)
    fixture.make(Decide(scores, rules))
    return told(fixture)


def test_what_fails_is_looked_for_in_the_text_that_the_rule_judged(tmp_path: Path) -> None:
    """Lines that C4's editor drops are no short lines to a rule behind it; and all of the text is searched."""
    long, kept = "These are lines of more than thirty characters.\n", "Three words end.\n"
    stacked = stack([preset("c4@fineweb"), preset("fineweb@code")])
    rule = Rule("short", "fineweb_short_line_frac", high=0)
    lines = judged_by(Fixture(tmp_path), 100 * long + "two words\n" + 5 * kept, stacked.scorers, (rule,))
    first = next(i for i, line in enumerate(lines) if "FAILS" in line)
    assert lines[first + 1].startswith("        > than thirty characters.⏎[Three words end.]⏎Three words")
    assert lines[first + 1].endswith("(at 4,800)")
    assert lines[first + 4] == "        > and 2 more in the first 4,884 characters as edited by c4"


def test_rules_say_which_preset_they_are_of(tmp_path: Path) -> None:
    rules = preset("gopher@cs336").rules
    lines = judged_by(Fixture(tmp_path / "a"), "too short", preset("gopher@cs336").scorers, rules)
    (family,) = (line for line in lines if line.startswith("    Gopher: "))
    assert "(gopher@cs336; Gopher, arXiv 2112.11446" in family
    changed = (replace(rules[0], low=1), *rules[1:])
    lines = judged_by(Fixture(tmp_path / "b"), "too short", preset("gopher@cs336").scorers, changed)
    assert any(line.startswith("    Gopher: ") for line in lines) and not any("@cs336" in line for line in lines)


def test_everything_is_every_rule_and_every_score(judged: Fixture) -> None:
    lines = told(judged, everything=True)
    unjudged = lines[lines.index("    scores without a rule") + 1 :]
    assert len([line for line in unjudged if line.startswith("      ")]) == 8
    assert any(line.split()[:2] == ["far", "ok"] for line in lines)
    assert not any("--all" in line for line in lines)


def test_the_reason_of_the_guard_is_shown(judged: Fixture) -> None:
    assert not any("guard" in line for line in told(judged, 1))
    folder = judged.workspace.path(judged.run.stages["pages"])
    reason = "more than 30 s\x1b in one record"
    save_verdicts(storage.join(folder, "00000.poison.json"), [Verdict(160, 0, "bad_record", reason)])
    assert "  guard    more than 30 s\\x1b in one record" in told(judged, 1)
    assert not any("guard" in line for line in told(judged, 0))
