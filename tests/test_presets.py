"""Rules, presets and editors: what filters are made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from textmill.errors import InvariantError, UnknownNameError, UserError
from textmill.filters import preset, preset_names
from textmill.filters.base import After, Editor, PerDocument, Preset, Rule, Scorer, failures, measure, stack
from textmill.text import Documents


@dataclass(frozen=True)
class Length(PerDocument):
    column: str = "n_chars"
    factor: float = 1.0

    @property
    def columns(self) -> pa.Schema:
        return pa.schema([pa.field(self.column, pa.float32())])

    def score_text(self, text: str) -> tuple[float]:
        return (len(text) * self.factor,)


@dataclass(frozen=True)
class Without(Editor):
    """Deletes a character; remembers how often it was asked."""

    name: ClassVar[str] = "without"
    kinds: ClassVar[tuple[str, ...]] = ("characters",)
    calls: ClassVar[list[str]] = []

    character: str

    def edit(self, documents: Documents) -> tuple[pa.LargeStringArray, Mapping[str, NDArray[np.int64]]]:
        self.calls.append(self.character)
        texts = documents.text.to_pylist()
        n = np.array([text.count(self.character) for text in texts])
        return pa.array([text.replace(self.character, "") for text in texts], pa.large_string()), {"characters": n}


class TestRules:
    values = pa.array([0.1, 0.2, 0.3], pa.float32())

    def test_bounds_pass_unless_they_are_exclusive(self) -> None:
        assert Rule("r", "c", 0.1, 0.2).fails(self.values).tolist() == [False, False, True]
        assert Rule("r", "c", 0.1, 0.2, exclusive=True).fails(self.values).tolist() == [True, True, True]
        assert Rule("r", "c", low=0.1, exclusive=True).fails(self.values).tolist() == [True, False, False]
        assert Rule("r", "c", high=0.3, exclusive=True).fails(self.values).tolist() == [False, False, True]

    def test_a_bound_of_an_integer_column_keeps_its_fraction(self) -> None:
        assert Rule("r", "c", low=2.5).fails(pa.array([2, 3])).tolist() == [True, False]

    def test_labels(self) -> None:
        rule = Rule("r", "c", "en", "en")
        assert rule.fails(pa.array(["en", "de", "e", "eng"])).tolist() == [False, True, True, True]
        with pytest.raises(InvariantError, match="does not fit"):
            rule.fails(self.values)

    def test_a_rule_needs_a_finite_bound(self) -> None:
        with pytest.raises(UserError, match="finite"):
            Rule("r", "c", float("inf"))
        with pytest.raises(ValueError, match="neither"):
            Rule("r", "c")

    def test_failures_of_no_documents_and_of_no_rules(self) -> None:
        scores = pa.table({"c": self.values})
        assert failures((), scores).shape == (3, 0)
        assert failures((Rule("r", "c", 1),), scores.slice(0, 0)).shape == (0, 1)


class TestMeasure:
    def test_a_scorer_that_breaks_its_word_is_named(self) -> None:
        documents = Documents.from_texts(["a", "bc"])
        assert measure((Length(), Length("twice", 2)), documents).to_pydict() == {"n_chars": [1, 2], "twice": [2, 4]}
        with pytest.raises(InvariantError, match="Length: column 'n_chars': null or NaN in row 0"):
            measure((Length(factor=float("nan")),), documents)

    @pytest.mark.parametrize("array", [pa.array([1.0], pa.float32()), pa.array([1.0, 2.0], pa.float64())])
    def test_so_is_a_wrong_length_or_type(self, array: pa.Array) -> None:
        class Wrong(Length):
            def score(self, documents: Documents) -> list[pa.Array]:
                return [array]

        with pytest.raises(InvariantError, match=r"column 'n_chars': \d x"):
            measure((Wrong(),), Documents.from_texts(["a", "bc"]))


class TestPresets:
    short = Preset("length@test", "here", (Length(),), (Rule("short", "n_chars", low=3),), (Without("b"),))
    twice = Preset("twice@test", "there", (Length("twice", 2),), (Rule("long", "twice", high=4),), (Without("ac"),))

    def test_one_text(self) -> None:
        assert self.short.passes("abc")
        assert not self.short.passes("ab")

    def test_what_comes_later_sees_the_edited_text(self) -> None:
        whole = stack([self.short, self.twice, Preset("last@test", "", (Length("last"),), ())])
        assert [rule.reason for rule in whole.rules] == ["short", "long"]
        assert whole.editors == (Without("b"), Without("ac"))
        assert (whole.name, whole.source) == ("length@test, twice@test, last@test", "here, there, ")
        found = measure(whole.scorers, Documents.from_texts(["abc", "bbb"]))
        assert found.to_pydict() == {"n_chars": [3, 3], "twice": [4, 0], "last": [0, 0]}

    def test_a_text_is_edited_once_however_many_scorers_follow(self) -> None:
        Without.calls.clear()
        scorers: tuple[Scorer, ...] = (After(Without("x"), Length("a")), After(Without("x"), Length("b")))
        measure(scorers, Documents.from_texts(["xyz"]))
        assert Without.calls == ["x"]

    def test_every_preset_is_found_by_its_name(self) -> None:
        assert "gopher@paper" in preset_names()
        for name in preset_names():
            found = preset(name)
            assert found.name == name and found.source
            columns = [column for scorer in found.scorers for column in scorer.columns.names]
            assert len(set(columns)) == len(columns)
            assert {rule.column for rule in found.rules} <= set(columns)
            assert len({rule.reason for rule in found.rules}) == len(found.rules)
            assert all(rule.source for rule in found.rules)

    @pytest.mark.parametrize(("name", "near"), [("gopher@papr", "gopher@paper"), ("goffer@paper", "gopher@paper")])
    def test_an_unknown_name_gets_the_nearest(self, name: str, near: str) -> None:
        with pytest.raises(UnknownNameError, match=near):
            preset(name)
