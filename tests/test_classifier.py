"""The quality classifier: scores, training, judging."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from textmill import cli, storage
from textmill.errors import EnvironmentFault, InputError, UnknownNameError, UserError
from textmill.filters import classifier, fasttext_model
from textmill.filters.classifier import Classifier, QualityClassifier, find_classifier, preset_of
from textmill.filters.fasttext_model import load_same
from textmill.pipeline.classify import Recipe, evaluate, judge, train
from textmill.pipeline.examples import Example, read_examples
from textmill.text import Documents

ARTICLE = (
    "The Treaty of Westphalia was signed in 1648 and ended the Thirty Years' War in the Holy Roman Empire. Its "
    "negotiations took place in the towns of Osnabrück and Münster, and brought together delegates of many European "
    "powers. Historians have argued that it established the principle of state sovereignty."
)
MENU = (
    "Home\nAbout Us\nProducts\nServices\nContact\nSitemap\nShop by category\nMen\nWomen\nKids\nSale\n"
    "Shopping cart (0)\nCheckout\nFollow us on Twitter\nCopyright 2012 All rights reserved"
)
# A gzip file whose codes are broken in the middle.
_PACKED = gzip.compress("".join(f"{i}\n" for i in range(5000)).encode())
DAMAGED = _PACKED[:200] + b"\xff" * 60 + _PACKED[260:]
GOOD, BAD = "history river mountain science letter garden".split(), "login cart cookies menu share click".split()


def rows_of(words: Sequence[str], n: int, seed: int) -> list[dict[str, str]]:
    rng = random.Random(seed)
    return [
        {"text": " ".join(rng.choices([*words, "the", "and"], k=30)), "url": f"http://h{i % 97}.example/{i}"}
        for i in range(n)
    ]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("texts")
    good, bad = folder / "good.jsonl.gz", folder / "bad.parquet"
    with gzip.open(good, "wt") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows_of(GOOD, 300, 1))
    pq.write_table(pa.Table.from_pylist(rows_of(BAD, 700, 2)), bad)
    return str(good), str(bad)


class TestScorer:
    def test_prose_is_above_menus(self) -> None:
        scores, labels = QualityClassifier().score(Documents.from_texts([ARTICLE, MENU, ""]))
        assert labels.to_pylist() == ["high", "low", ""]
        assert scores[0].as_py() > 0.5 > scores[1].as_py() > scores[2].as_py() == 0

    def test_newlines_are_spaces(self) -> None:
        scores, _ = QualityClassifier().score(Documents.from_texts([MENU, MENU.replace("\n", " ")]))
        assert scores[0] == scores[1]

    def test_single_texts(self) -> None:
        label, score = Classifier().predict(ARTICLE)
        assert (label, 0.5 < score <= 1) == ("high", True)
        assert Classifier().predict(MENU)[0] == "low"
        assert Classifier().predict("") == ("low", 0.0)

    def test_the_default_model_is_the_one_that_is_named_and_small(self) -> None:
        assert storage.sha256(classifier.DEFAULT_MODEL) == classifier.DEFAULT_DIGEST
        card = json.loads(classifier.DEFAULT_MODEL.with_suffix(".json").read_text())
        assert card["sha256"] == classifier.DEFAULT_DIGEST
        assert classifier.DEFAULT_MODEL.stat().st_size < 2_000_000

    def test_presets(self) -> None:
        assert classifier.passes(ARTICLE)
        assert not classifier.passes(MENU)
        with pytest.raises(UnknownNameError, match="classifier@dclm"):
            preset_of("classifier@dcml", "model.bin")

    def test_dclms_convention(self, files: tuple[str, str], tmp_path: Path) -> None:
        path = tmp_path / "model.bin"
        train([files[0]], [files[1]], str(path), Recipe(buckets=1000))
        with pytest.raises(InputError, match=r"no label 'hq'; its labels: high, low|its labels: low, high"):
            preset_of("classifier@dclm", path)
        path.write_bytes(path.read_bytes().replace(b"__label__high\0", b"__label__hq\0"))
        label, probability = Classifier(path).predict("history river mountain")
        assert label in ("hq", "low") and 0.4 < probability <= 1
        assert Classifier(path).predict("") == ("low", 0.0)
        preset = preset_of("classifier@dclm", path)
        assert not preset.passes("login cart cookies")
        (rule,) = preset.rules
        assert rule.fails(pa.array([0.018112, 0.0182], pa.float32())).tolist() == [True, False]

    def test_a_model_is_looked_into_when_it_is_found_and_read_once(self, tmp_path: Path) -> None:
        path = tmp_path / "model.ftz"
        content = classifier.DEFAULT_MODEL.read_bytes()
        for wrong in (content[:-1], b"", b"nonsense" * 99):
            path.write_bytes(wrong)
            with pytest.raises(InputError, match=r"model\.ftz: not a fastText model"):
                find_classifier(path)
        path.write_bytes(content)
        scorer = find_classifier(path)
        before = fasttext_model._sha256.cache_info().misses, load_same.cache_info().misses
        assert find_classifier(path) == scorer
        assert scorer.score(Documents.from_texts([ARTICLE]))[1].to_pylist() == ["high"]
        assert (fasttext_model._sha256.cache_info().misses, load_same.cache_info().misses) == before

    def test_a_model_that_is_not_there(self) -> None:
        with pytest.raises(InputError, match=r"gone\.bin: cannot read this model"):
            find_classifier("gone.bin")
        with pytest.raises(EnvironmentFault, match="no model here"):
            QualityClassifier("gone.bin", "0" * 64).score(Documents.from_texts(["a"]))


class TestTraining:
    def test_the_same_texts_give_the_same_model(self, files: tuple[str, str], tmp_path: Path) -> None:
        cards = [
            train([files[0]], [files[1]], str(tmp_path / name), Recipe(buckets=2000, kept_rows=500))
            for name in ("a.ftz", "b.ftz")
        ]
        assert cards[0]["sha256"] == cards[1]["sha256"] == storage.sha256(tmp_path / "a.ftz")
        assert json.loads((tmp_path / "a.json").read_text()) == cards[0]

    def test_it_tells_new_hosts_apart(self, files: tuple[str, str], tmp_path: Path) -> None:
        card = train([files[0]], [files[1]], str(tmp_path / "model.bin"), Recipe(buckets=2000, epochs=20))
        assert card["held_out"]["auc"] > 0.99
        assert 200 < card["n_train_each"] < 300
        predict = Classifier(tmp_path / "model.bin").predict
        assert predict("the history and the river")[0] == "high"
        assert predict("click the menu and login")[0] == "low"

    def test_labels_in_texts_are_words(self, files: tuple[str, str], tmp_path: Path) -> None:
        path = tmp_path / "hostile.jsonl"
        rows = [{"text": f"__label__evil </s> \0 {row['text']}", "url": row["url"]} for row in rows_of(GOOD, 300, 3)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        train([str(path)], [files[1]], str(tmp_path / "model.bin"), Recipe(buckets=1000, epochs=20))
        assert Classifier(tmp_path / "model.bin").predict("the river")[0] == "high"

    def test_too_few_texts_are_refused(self, files: tuple[str, str], tmp_path: Path) -> None:
        few = tmp_path / "few.txt"
        few.write_text("one short text")
        with pytest.raises(InputError, match="too few texts"):
            train([str(few)], [files[1]], str(tmp_path / "model.bin"))
        with pytest.raises(UserError, match="no folder"):
            train([files[0]], [files[1]], str(tmp_path / "no" / "model.bin"))


class TestExamples:
    def test_copies_count_once(self, tmp_path: Path) -> None:
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in ["A b", "a  B\n", "c", "", None]))
        assert [example.text for example in read_examples([str(path), str(path)])] == ["A b", "c"]

    def test_plain_text_is_cut_between_paragraphs(self, tmp_path: Path) -> None:
        path = tmp_path / "book.txt"
        paragraphs = [f"paragraph {i} " * 60 for i in range(12)]
        path.write_text("\n\n".join(paragraphs))
        pieces = [example.text for example in read_examples([str(path)])]
        assert len(pieces) == 5  # three paragraphs of 720 characters each, later two of 780
        assert "".join("".join(pieces).split()) == "".join("".join(paragraphs).split())

    def test_a_host_is_never_on_both_sides(self) -> None:
        sides = {Example(str(i), f"h{i % 50}").is_test: 0 for i in range(200)}
        assert set(sides) == {True, False}
        assert Example("a", "h").is_test == Example("b", "h").is_test

    @pytest.mark.parametrize(
        ("name", "content", "match"),
        [
            ("a.jsonl", b"{", "line 1 is no JSON"),
            ("a.jsonl", b'{"text": "a"}\n[1]\n', "row 2 has no text"),
            ("a.jsonl", b'{"text": 3}\n', "row 1 has no text"),
            ("a.jsonl", b'{"txt": "a"}\n', "row 1 has no text"),
            ("a.txt.gz", b"no gzip", "cannot read"),
            ("a.txt.gz", DAMAGED, "cannot read"),
            ("a.txt", b"", "no text"),
            ("a.warc.gz", b"no archive" * 100, "a.warc.gz: not a web archive"),
        ],
    )
    def test_a_bad_file_is_named(self, tmp_path: Path, name: str, content: bytes, match: str) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=match):
            read_examples([str(tmp_path / name)])


class TestFigures:
    def test_of_a_model_that_is_always_right(self, files: tuple[str, str], tmp_path: Path) -> None:
        path = str(tmp_path / "model.bin")
        train([files[0]], [files[1]], path, Recipe(buckets=2000, epochs=30))
        figures = evaluate(path, [files[0]], [files[1]])
        assert figures["auc"] > 0.999
        best_tenth = next(point for point in figures["keep"] if point["negatives_kept"] == 0.1)
        assert best_tenth["recall"] == 1
        assert best_tenth["precision"] == pytest.approx(1 / 1.1, abs=0.01)
        swapped = evaluate(path, [files[1]], [files[0]])
        assert swapped["auc"] == pytest.approx(1 - figures["auc"], abs=1e-4)

    def test_nothing_to_judge(self) -> None:
        with pytest.raises(InputError, match="nothing to judge"):
            judge("model.bin", [], [])


def test_the_commands(files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, svg = str(tmp_path / "m.ftz"), tmp_path / "curve.svg"
    sides = ["--positive", files[0], "--negative", files[1]]
    assert cli.main(["classifier", "train", *sides, "--out", model, "--quantize", "300", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["held_out"]["auc"] > 0.9
    assert cli.main(["classifier", "eval", model, *sides, "--svg", str(svg)]) == 0
    assert "300 positive, 700 negative, AUC" in capsys.readouterr().out
    assert svg.read_text().startswith("<svg")
    assert cli.main(["classifier", "eval", "gone.bin", *sides]) == 2
    assert "gone.bin: cannot read this model" in capsys.readouterr().err
