"""Losses of held-out documents: against plain loops in float64, in any batches; means, errors, groups."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from test_data import E, Split, documents_of, split_of  # noqa: E402
from test_loop import Recorded, recorded  # noqa: E402
from test_model import NumpyModel, numpy_softmax  # noqa: E402

from textmill.errors import InputError, UserError  # noqa: E402
from textmill.train.config import ModelConfig  # noqa: E402
from textmill.train.evaluate import (  # noqa: E402
    DocumentLosses,
    difference,
    draw_documents,
    evaluate,
    figures,
    figures_by_group,
    n_tokens_of,
)
from textmill.train.model import Transformer  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

MODEL = ModelConfig(vocab_size=200, n_layers=2, n_heads=2, d_model=16, d_ff=24, context_length=8)
LENGTHS = [[3, 9, 1, 30], [12, 4, 8, 7, 20, 2], [], [16, 17]]


def restless(**others: object) -> Transformer:
    """Its weights are large enough for losses to differ."""
    model = Transformer(replace(MODEL, **others), seed=1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(5)
    return model


def split_with(folder: Path, lengths: list[list[int]] = LENGTHS) -> Recorded:
    split = recorded(folder, lengths, "aabbabababab"[: sum(map(len, lengths))])
    split.vocab_size = 200
    return split


def plain_nats(model: Transformer, text: list[int], stride: int) -> float:
    """Token by token: the window that counts it, and its context there."""
    numpy_model, context = NumpyModel(model), model.config.context_length
    inputs, total = [E, *text[:-1]], 0.0
    for at, target in enumerate(text):
        begin = 0 if at < context else ((at - context) // stride + 1) * stride
        logits = numpy_model.logits(np.array(inputs[begin : at + 1]))
        total -= math.log(numpy_softmax(logits[-1])[target])
    return total


@pytest.mark.parametrize(
    ("stride", "others"), [(None, {}), (8, {"tie_embeddings": False}), (1, {}), (3, {"window": 5})]
)
def test_losses_are_those_of_each_document_by_itself(
    tmp_path: Path, stride: int | None, others: dict[str, object]
) -> None:
    split, model = split_with(tmp_path), restless(**others)
    texts = documents_of(split)
    expected = [plain_nats(model, text, stride or 4) for text in texts]
    numbers = np.arange(len(texts))
    for batch_tokens in (1, 7, 40, 4096):
        told: list[int] = []
        found = evaluate(model, split, numbers, stride=stride, batch_tokens=batch_tokens, on_tokens=told.append)
        assert found.nats == pytest.approx(expected, rel=1e-4, abs=1e-4)
        assert found.n_tokens.tolist() == [len(text) for text in texts]
        assert sum(told) == n_tokens_of(split, numbers) == split.n_tokens
    some = evaluate(model, split, np.array([1, 4, 10]), stride=stride)
    assert some.nats == pytest.approx([expected[i] for i in (1, 4, 10)], rel=1e-4)
    assert some.records is not None and some.records["doc_id"].to_pylist() == [101, 104, 110]


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.lists(st.integers(1, 30), max_size=4), min_size=1, max_size=3).filter(any),
    stride=st.integers(1, 8),
    batch_tokens=st.integers(1, 50),
)
def test_every_token_counts_once(lengths: list[list[int]], stride: int, batch_tokens: int) -> None:
    """A model that finds all ids equally likely: the nats are the number of tokens."""
    model = Transformer(replace(MODEL, vocab_size=400), seed=0)
    with torch.no_grad():
        model.token_embeddings.weight.zero_()
    split = split_of(lengths)
    split.vocab_size = 400  # every token is another one
    n_docs = sum(map(len, lengths))
    found = evaluate(model, split, np.arange(n_docs), stride=stride, batch_tokens=batch_tokens)
    assert found.nats / math.log(400) == pytest.approx([n for shard in lengths for n in shard])
    assert found.records is None


def test_documents_without_tokens_or_bytes() -> None:
    split = Split([np.array([5, E, 7], np.uint16)], [np.array([0, 2, 2, 3], "<u8")], vocab_size=200)
    found = evaluate(restless(), split, np.arange(3))
    assert found.n_tokens.tolist() == [2, 0, 1] and found.nats[1] == 0
    with pytest.raises(UserError, match="no tables of documents"):
        found.table()
    records = pa.table({"doc_id": pa.array([4, 5, 6], pa.uint64()), "source": ["a"] * 3, "n_bytes": [3, 0, 0]})
    rows = replace(found, records=records).table().to_pylist()
    assert [row["loss"] is None for row in rows] == [False, True, False]
    assert [row["bits_per_byte"] is None for row in rows] == [False, True, True]
    assert rows[0]["bits_per_byte"] == pytest.approx(found.nats[0] / math.log(2) / 3)
    assert figures(replace(found, records=records)).bits_per_byte == pytest.approx(found.nats.sum() / math.log(2) / 3)
    unknown = records.set_column(2, "n_bytes", pa.array([3, None, 0], pa.int64()))
    without = replace(found, records=unknown)
    assert figures(without).bits_per_byte is figures(without).n_bytes is None
    assert [row["bits_per_byte"] is None for row in without.table().to_pylist()] == [False, True, True]
    nothing = evaluate(restless(), split, np.array([1]))
    assert (figures(nothing).loss, figures(nothing).perplexity) == (None, None)


def test_bits_per_byte_and_its_error(tmp_path: Path) -> None:
    split = split_with(tmp_path)
    found = evaluate(restless(), split, np.arange(12))
    got = figures(found)
    x, y = (found.nats / math.log(2)).tolist(), [2 * n for n in found.n_tokens.tolist()]
    ratio = sum(x) / sum(y)
    residuals = [a - ratio * b for a, b in zip(x, y, strict=True)]
    error = math.sqrt(12 / 11 * sum(r * r for r in residuals)) / sum(y)
    assert (got.bits_per_byte, got.bits_per_byte_error) == pytest.approx((ratio, error))
    assert got.loss == pytest.approx(2 * ratio * math.log(2)) and got.perplexity == pytest.approx(math.exp(got.loss))
    assert (got.n_docs, got.n_tokens, got.n_bytes) == (12, split.n_tokens, split.n_bytes)
    assert figures(found, np.arange(12)) == got
    assert figures(found, np.zeros(12, np.int64)).loss_error is None  # a single draw says nothing of others
    pairs = figures(found, np.arange(12) // 2)
    assert pairs.loss == got.loss and pairs.loss_error != got.loss_error


@pytest.mark.parametrize("n_copies", [1, 3])
def test_the_error_is_that_of_draws(n_copies: int) -> None:
    """Against the spread of means over many drawn sets; copies in a cluster add nothing."""
    generator = np.random.default_rng(3)
    spread, errors = [], []
    for _ in range(300):
        n_tokens = np.repeat(generator.integers(1, 50, 80), n_copies)
        nats = n_tokens * np.repeat(generator.gamma(3.0, 1.0, 80), n_copies)
        got = figures(
            DocumentLosses(np.arange(80 * n_copies), n_tokens, nats, None), np.arange(80 * n_copies) // n_copies
        )
        spread.append(got.loss)
        errors.append(got.loss_error)
    assert np.mean(errors) == pytest.approx(np.std(spread), rel=0.15)


def test_two_models_are_compared_document_by_document(tmp_path: Path) -> None:
    split, numbers = split_with(tmp_path), np.arange(12)
    found, other = evaluate(restless(), split, numbers), evaluate(restless(qk_norm=True), split, numbers)
    value, error = difference(found, other.table().take(pa.array([*range(5, 12), *range(5)])))
    assert value == pytest.approx(figures(found).bits_per_byte - figures(other).bits_per_byte)
    size = 2 * found.n_tokens
    residuals = (found.nats - other.nats) / math.log(2) - value * size
    assert error == pytest.approx(math.sqrt(12 / 11 * (residuals**2).sum()) / size.sum())
    assert difference(found, found.table()) == pytest.approx((0.0, 0.0), abs=1e-12)
    assert difference(found, other.table(), numbers // 2)[0] == value
    for table in (other.table().slice(1), pa.concat_tables([other.table(), other.table().slice(3, 1)])):
        with pytest.raises(UserError, match=r"1[12] of these 12 documents are in the table to compare with"):
            difference(found, table)
    assert found.records is not None
    unknown = replace(found, records=found.records.set_column(3, "n_bytes", pa.nulls(12, pa.int64())))
    with pytest.raises(UserError, match="do not say how many bytes"):
        difference(unknown, other.table())


def test_groups_and_the_rest(tmp_path: Path) -> None:
    split = split_with(tmp_path)
    found = evaluate(restless(), split, np.arange(12))
    groups = np.array([0, 0, 1, 2, 1, 3, 3, 2, 4, 4, 0, 2])
    rows = dict(figures_by_group(found, ["a", "b", "c", "none", "d", "nobody"], groups, 3))
    sizes = np.bincount(groups, found.n_tokens)
    order = sorted(range(5), key=lambda i: -sizes[i])
    assert list(rows) == [["a", "b", "c", "none", "d"][i] for i in order[:3]] + ["(the other 2)"]
    assert sum(row.n_docs for row in rows.values()) == 12
    assert sum(row.n_tokens for row in rows.values()) == split.n_tokens
    total = sum(row.loss * row.n_tokens for row in rows.values() if row.loss)
    assert total == pytest.approx(found.nats.sum())
    assert len(list(figures_by_group(found, ["a", "b", "c", "none", "d"], groups, 5))) == 5


def test_a_draw_is_the_beginning_of_one_shuffle() -> None:
    five, seven = draw_documents(100, 5, 1).tolist(), draw_documents(100, 7, 1).tolist()
    assert set(five) < set(seven) and five == sorted(five) and len(set(seven)) == 7
    assert draw_documents(100, 5, 2).tolist() != five
    assert draw_documents(3, 5, 0).tolist() == [0, 1, 2] and draw_documents(0, 5, 0).tolist() == []


def test_what_cannot_be_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    split, numbers = split_of([[3, 4]]), np.arange(2)
    with pytest.raises(UserError, match="the shards have 60,000 ids, the model 200"):
        evaluate(restless(), split, numbers)
    split.vocab_size = 200
    for stride in (0, 9):
        with pytest.raises(UserError, match=f"stride {stride}: must be from 1 to the model's context of 8"):
            evaluate(restless(), split, numbers, stride=stride)
    broken = restless()
    with torch.no_grad():
        broken.layers[0].ffn.w1.weight[0, 0] = math.nan
    with pytest.raises(UserError, match="gives a loss of nan; its weights are damaged"):
        evaluate(broken, split, numbers)
    split.tokens[0] = np.array([1, 2, 250, E, 4, 5, E], np.uint16)
    with pytest.raises(InputError, match="holds the id 250"):
        evaluate(restless(), split, numbers)

    def too_much(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr("textmill.train.evaluate.sums_of_losses", too_much)
    with pytest.raises(UserError, match="64 tokens at once do not fit into the memory of cpu; read 32"):
        evaluate(restless(), split, numbers, batch_tokens=64)
