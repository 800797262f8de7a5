"""What explain says of a page: why it fails, where in its text, and what the guard said of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_report import Fixture, page

from textmill import schema, storage
from textmill.filters.base import Rule
from textmill.filters.curator import CuratorRatios
from textmill.filters.fineweb import FineWebQuality
from textmill.pipeline.explain import explain
from textmill.pipeline.stages import Decide, Score
from textmill.pipeline.watch import Verdict, save_verdicts

RULES = (
    Rule("far", "curator_longest_word_chars", low=1),
    Rule("near", "curator_digit_char_frac", high=0.05),
    Rule("short", "fineweb_short_line_frac", high=0.5),
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


def test_what_fails_comes_first_with_its_lines_then_what_nearly_fails(judged: Fixture) -> None:
    lines = told(judged)
    first = next(i for i, line in enumerate(lines) if "FAILS" in line)
    assert lines[first].split()[:3] == ["short", "FAILS", "0.75"]
    assert lines[first + 1] == "      > [Home]⏎A line that is long eno"
    assert "⏎[About us\\x1b[2J]⏎mail" in lines[first + 2]
    assert "[mail |||EMAIL_ADDRESS|||]" in lines[first + 3]
    assert lines[first + 4].split()[:2] == ["near", "ok"]
    assert "and 2 more rules that hold, 9 scores without a rule: --all" in lines[first + 12]
    assert not any("far" in line for line in lines)


def test_everything_is_every_rule_and_every_score(judged: Fixture) -> None:
    lines = told(judged, everything=True)
    assert sum("(no rule)" in line for line in lines) == 9  # 4 of FineWeb, 8 of Curator, the bytes; 4 are judged
    assert any(line.split()[:2] == ["far", "ok"] for line in lines)
    assert not any("--all" in line for line in lines)


def test_the_reason_of_the_guard_is_shown(judged: Fixture) -> None:
    assert not any("guard" in line for line in told(judged, 1))
    folder = judged.workspace.path(judged.run.stages["pages"])
    reason = "more than 30 s\x1b in one record"
    save_verdicts(storage.join(folder, "00000.poison.json"), [Verdict(160, 0, "bad_record", reason)])
    assert "  guard    more than 30 s\\x1b in one record" in told(judged, 1)
    assert not any("guard" in line for line in told(judged, 0))
