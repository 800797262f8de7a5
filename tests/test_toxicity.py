"""Harmful content: models and lists by path, and never a silent pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import platformdirs
import pytest

from textmill.errors import EnvironmentFault, InputError, UnknownNameError
from textmill.filters import toxicity
from textmill.filters.base import failures, measure
from textmill.filters.toxicity import Nsfw, Toxic, classify_nsfw, classify_toxic, find_nsfw, find_toxic, preset_of
from textmill.pipeline.classify import Recipe, _fit
from textmill.pipeline.examples import Example
from textmill.text import Documents

CLASSIFY = {"nsfw": classify_nsfw, "toxic": classify_toxic}


@pytest.fixture(autouse=True)
def nothing_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No model in the environment, and a cache of the test's own."""
    cache = tmp_path / "cache"
    cache.mkdir()
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda name: str(cache))
    for family in CLASSIFY:
        monkeypatch.delenv(f"TEXTMILL_{family.upper()}_MODEL", raising=False)
    return cache


@pytest.fixture
def model_of(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a small model with Dolma's labels."""

    def make(family: str) -> Path:
        path = tmp_path / f"{family}.bin"
        kinds = {family: "filthy words here", f"non-{family}": "kind words there"}
        examples = {label: [Example(text, label)] * 200 for label, text in kinds.items()}
        _fit(examples, path, Recipe(buckets=100, epochs=20, lr=0.5))
        return path

    return make


@pytest.mark.parametrize("family", CLASSIFY)
class TestClassify:
    def test_without_model_and_list_it_is_an_error(self, family: str) -> None:
        with pytest.raises(EnvironmentFault, match=f"no model and no word list.*TEXTMILL_{family.upper()}_MODEL"):
            CLASSIFY[family]("some text")
        with pytest.raises(EnvironmentFault, match="no model and no word list"):
            {"nsfw": Nsfw(), "toxic": Toxic()}[family].score(Documents.from_texts(["some text"]))

    def test_dolmas_convention(self, family: str, model_of: Callable[[str], Path]) -> None:
        harmless = preset_of(f"{family}@dolma", model_of(family))
        assert [rule.reason for rule in harmless.rules] == [family]
        assert harmless.passes("kind words") and not harmless.passes("filthy words")
        with pytest.raises(UnknownNameError, match=f"{family}@dolma"):
            preset_of(f"{family}@dclm", "model.bin")

    def test_a_model_by_path(self, family: str, model_of: Callable[[str], Path]) -> None:
        path = model_of(family)
        label, score = CLASSIFY[family]("filthy words", path)
        assert (label, score > 0.9) == (family, True)
        label, score = CLASSIFY[family]("kind words", path)
        assert (label, score > 0.9) == (f"non-{family}", True)
        assert CLASSIFY[family]("", path) == (f"non-{family}", 1.0)

    def test_a_model_by_environment_or_cache(
        self, family: str, model_of: Callable[[str], Path], nothing_at_hand: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = model_of(family)
        (nothing_at_hand / toxicity.FILES[family]).write_bytes(path.read_bytes())
        assert CLASSIFY[family]("filthy words")[0] == family
        monkeypatch.setenv(f"TEXTMILL_{family.upper()}_MODEL", str(path.with_name("gone.bin")))
        with pytest.raises(InputError, match=r"gone\.bin: cannot read this model"):
            CLASSIFY[family]("filthy words")

    def test_a_list_by_path(self, family: str, tmp_path: Path) -> None:
        words = tmp_path / "words.txt"
        words.write_text("filthy\nvery bad\n")
        assert CLASSIFY[family]("a Very  bad day", lists=[str(words)]) == (family, 1.0)
        assert CLASSIFY[family]("a filthyish day", lists=[str(words)]) == (f"non-{family}", 1.0)
        with pytest.raises(InputError, match="cannot read this word list"):
            CLASSIFY[family]("text", lists=[str(tmp_path / "gone.txt")])

    def test_a_model_with_other_labels_is_refused(self, family: str, model_of: Callable[[str], Path]) -> None:
        with pytest.raises(InputError, match=f"no label '{family}'"):
            CLASSIFY[family]("text", model_of("spam"))


def test_columns_and_rules(tmp_path: Path, model_of: Callable[[str], Path]) -> None:
    words = tmp_path / "words.txt"
    words.write_text("filthy\nwords\n")
    scorers = (find_nsfw(model_of("nsfw"), [str(words)]), find_toxic(model_of("toxic")))
    scores = measure(scorers, Documents.from_texts(["filthy words words", "kind there"]))
    assert scores["nsfw_n_words"].to_pylist() == [2, 0]
    assert scores["nsfw_n_hits"].to_pylist() == [3, 0]
    assert scores["toxic_n_words"].to_pylist() == [0, 0]
    assert failures(toxicity.RULES, scores).tolist() == [[True, True], [False, False]]
