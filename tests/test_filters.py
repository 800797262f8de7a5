"""The contract of scorers, then each filter."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from textmill.errors import UnknownNameError
from textmill.filters import SCORERS, model_losses, perplexity, scorer_class
from textmill.filters.base import Scorer
from textmill.filters.lexicon import find_lists
from textmill.filters.list_files import ListFile
from textmill.filters.ngrams_train import train
from textmill.filters.toxicity import Nsfw, Toxic
from textmill.pipeline.reading.optout import NO_OPTOUT
from textmill.text import Documents

ODD_TEXTS = [
    "",
    " ",
    "a",
    "#",
    "\n",
    "\n" * 1000,
    " \t\r\n\x0b\x0c\x1c\x85\u2028\u3000",
    "x" * 1_000_000,
    "word " * 100_000,
    "...\n" * 1000,
    "\x00",
    "NUL \x00 in \x00text",
    "\x00" * 1000,
    "😀😀 👩‍👩‍👧‍👦 🏳️‍🌈",
    "הטקסט הזה נכתב מימין לשמאל. وهذا النص أيضا",
    "\u202eright to left override",
    "ภาษาไทยไม่มีช่องว่างระหว่างคำ",
    "中文的句子里没有空格。第二句也没有。",
    "e" + "\u0301" * 10_000,
    "\ufeff\ufffd\ufffe\uffff\U0010ffff",
    "@" * 1000,
    "1" * 100_000,
    "1.2" * 10_000,
    "The quick brown fox jumps over the lazy dog, and that is what dogs have to live with.\n" * 20,
]


def perplexity_of_a_sentence(path: Path) -> Scorer:
    train([Documents.from_texts(["the quick brown fox jumps over the lazy dog"])], order=3).save(str(path))
    return perplexity.find_model(str(path))


def list_of_words(path: Path) -> tuple[ListFile, ...]:
    path.write_text("dog\nquick brown\n")
    return find_lists([str(path)])


def losses_of_two_documents(path: Path) -> Scorer:
    rows = {
        "doc_id": pa.array([3, 1], pa.uint64()),
        "n_tokens": [7, 5],
        "loss": [2.5, None],
        "bits_per_byte": [1.5, None],
    }
    pq.write_table(pa.table(rows), path)
    return model_losses.find_losses(str(path))


NEED_A_FILE = {
    "ModelLoss": losses_of_two_documents,
    "Nsfw": lambda path: Nsfw(list_of_words(path)),
    "Perplexity": perplexity_of_a_sentence,
    "Toxic": lambda path: Toxic(list_of_words(path)),
}


@pytest.fixture(params=sorted(SCORERS))
def scorer(request: pytest.FixtureRequest, tmp_path: Path) -> Scorer:
    if request.param in NEED_A_FILE:
        return NEED_A_FILE[request.param](tmp_path / "model")
    return scorer_class(request.param)()


def table_of(texts: Sequence[str | None]) -> pa.Table:
    """A table with every column that a scorer may read."""
    urls = [f"http://{i}.example/{text or ''}" for i, text in enumerate(texts)]
    wishes = {name: pa.array([i % 2 == 0 for i in range(len(texts))], pa.bool_()) for name in NO_OPTOUT._fields}
    encoded = [None if text is None else text.encode() for text in texts]
    text = pa.array(encoded, pa.large_binary()).cast(pa.large_string())
    ids = pa.array(range(len(texts)), pa.uint64())
    return pa.table({"doc_id": ids, "url": pa.array(urls, pa.string()), "text": text, **wishes})


def scores(scorer: Scorer, documents: Documents) -> pa.Table:
    arrays = scorer.score(documents)
    for array, field in zip(arrays, scorer.columns, strict=True):
        assert array.type == field.type, field.name
        assert len(array) == len(documents), field.name
        assert not pc.any(pc.is_null(array, nan_is_null=True)).as_py(), field.name
    return pa.table(arrays, schema=scorer.columns)


class TestEveryScorer:
    def test_columns_are_named_and_typed(self, scorer: Scorer) -> None:
        assert len(set(scorer.columns.names)) == len(scorer.columns) > 0
        assert not any(field.nullable for field in scorer.columns)

    def test_an_empty_batch_gives_empty_columns(self, scorer: Scorer) -> None:
        assert len(scores(scorer, Documents(table_of([])))) == 0

    def test_values_do_not_depend_on_the_batch(self, scorer: Scorer) -> None:
        table = table_of(ODD_TEXTS)
        together = scores(scorer, Documents(table))
        for size in (1, 7):
            cut = [scores(scorer, Documents(table.slice(i, size))) for i in range(0, len(table), size)]
            assert pa.concat_tables(cut).to_pylist() == together.to_pylist()

    def test_a_missing_text_scores_as_an_empty_one(self, scorer: Scorer) -> None:
        missing, empty = table_of([None, "a"]), table_of(["", "a"])
        assert scores(scorer, Documents(missing)).equals(scores(scorer, Documents(empty)))

    def test_fields_are_plain_values(self, scorer: Scorer) -> None:
        json.dumps(asdict(scorer))


def test_an_unknown_scorer_is_named() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'GopherQuality'"):
        scorer_class("GopherQualty")
