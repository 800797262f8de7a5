"""Multiple choice: what is asked, against one option at a time in float64; files that are not as they should be."""

from __future__ import annotations

import gzip
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from test_data import split_of  # noqa: E402
from test_export import EOT, TOKENIZER  # noqa: E402
from test_loop import RECIPE, lines_of  # noqa: E402
from test_model import NumpyModel, numpy_softmax  # noqa: E402

from textmill.errors import InputError, UserError  # noqa: E402
from textmill.tokenize import Tokenizer  # noqa: E402
from textmill.train.checkpoint import load_model  # noqa: E402
from textmill.train.choices import Task, encode, encoded_tasks, read_tasks  # noqa: E402
from textmill.train.config import ModelConfig  # noqa: E402
from textmill.train.evaluate import nats  # noqa: E402
from textmill.train.loop import train  # noqa: E402
from textmill.train.model import Transformer  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

MODEL = ModelConfig(vocab_size=260, n_layers=2, n_heads=2, d_model=16, d_ff=24, context_length=40)
HELLASWAG = {
    "activity_label": "Roof  work",
    "ctx_a": "A man sits.",
    "ctx_b": "the Man",
    "ctx": "not taken",
    "endings": ["[substeps] falls.", "stays [title] here", "é雪", "x\x00y"],
    "label": "3",
}
MMLU = {"question": " What? ", "subject": "high_school", "choices": ["one", "two", "the third"], "answer": 1}
PLAIN = {"context": "it was t", "choices": ["he end", "h"], "label": 0}


def write(path: Path, *rows: Any) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def restless() -> Transformer:
    model = Transformer(MODEL, seed=1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(5)
    return model


# --- what is asked


def test_hellaswag_is_asked_as_in_the_harness(tmp_path: Path) -> None:
    (task,) = read_tasks(write(tmp_path / "hs_val.jsonl", HELLASWAG, {"ctx": "A", "endings": ["b", "c"], "label": 0}))
    first, second = task.items
    assert task.name == "hs_val" and task.has_lengths
    assert first.context == "Roof work: A man sits. The man" and first.answer == 3
    assert first.options == ("  falls.", " stays. here", " é雪", " x\x00y")
    assert first.sizes == (7, 11, 5, 3)
    assert (second.context, second.options, second.answer) == ("A", (" b", " c"), 0)


def test_mmlu_is_asked_by_letters_and_as_a_cloze(tmp_path: Path) -> None:
    path = write(tmp_path / "mmlu.jsonl", MMLU, {**MMLU, "answer": "C"}, {**MMLU, "choices": ["", "b"], "answer": "1"})
    letters, cloze = read_tasks(path)
    assert (letters.name, cloze.name) == ("mmlu", "mmlu-cloze")
    item = letters.items[0]
    assert item.head == "The following are multiple choice questions (with answers) about high school.\n\n"
    assert item.context == "What?\nA. one\nB. two\nC. the third\nAnswer:" and item.options == (" A", " B", " C")
    assert [item.answer for item in letters.items] == [1, 2, 1]
    assert len(cloze.items) == 2  # nothing cannot be an answer, but it can have a letter
    assert (cloze.items[0].context, cloze.items[0].options) == (
        "Question: What?\nAnswer:",
        (" one", " two", " the third"),
    )


def test_examples_of_the_same_subject_come_first(tmp_path: Path) -> None:
    rows = [{**MMLU, "question": f"q{i}", "subject": "law" if i % 2 else "art", "answer": i % 3} for i in range(6)]
    shots = write(tmp_path / "dev.jsonl", *rows)
    path = write(tmp_path / "test.jsonl", {**MMLU, "subject": "law"})
    letters, cloze = read_tasks(path, shots, 2)
    listed = "\nA. one\nB. two\nC. the third\nAnswer:"
    assert letters.items[0].context == f"q1{listed} B\n\nq3{listed} A\n\nWhat?{listed}"
    assert cloze.items[0].context.startswith(
        "Question: q1\nAnswer: two\n\nQuestion: q3\nAnswer: one\n\nQuestion: What?"
    )
    with pytest.raises(UserError, match=r"dev.jsonl: has 3 examples of 'law', not 4"):
        read_tasks(path, shots, 4)
    with pytest.raises(UserError, match="no file to take them from"):
        read_tasks(path, None, 1)
    with pytest.raises(UserError, match="items of another form"):
        read_tasks(path, write(tmp_path / "plain.jsonl", PLAIN), 1)


def test_files_may_be_packed_and_have_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b"\n" + json.dumps(PLAIN).encode() + b"\n\n"))
    (task,) = read_tasks(str(path))
    assert task.name == "a" and task.items[0].options == ("he end", "h")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("", "holds no items; each line is a JSON object with ctx, endings"),
        ("{", "line 2 is no JSON"),
        ("[" * 100_000, "line 2 is no JSON"),
        ("\xff", "line 2 is no JSON"),
        ("[]", "line 2 is no object"),
        ({}, "line 2: its fields are none; they must be ctx"),
        ({"text": "a", "id": 1}, "line 2: its fields are text, id; they must be ctx"),
        ({**HELLASWAG, "label": ""}, "line 2: label is ''; it must be a place from 0 to 3, or a letter"),
        ({**HELLASWAG, "label": 4}, "line 2: label is 4"),
        ({**HELLASWAG, "label": -1}, "line 2: label is -1"),
        ({**HELLASWAG, "label": True}, "line 2: label is True"),
        ({**HELLASWAG, "label": "E"}, "line 2: label is 'E'"),
        ({**HELLASWAG, "label": "²"}, "line 2: label is '²'"),
        ({**HELLASWAG, "label": 1.0}, "line 2: label is 1.0"),
        ({"ctx": "a", "endings": ["a", "b"]}, "line 2: label is missing"),
        ({**HELLASWAG, "endings": ["a"]}, "line 2: endings must be a list of texts, two at least"),
        ({**HELLASWAG, "endings": ["a", 3]}, "line 2: endings must be a list of texts"),
        ({**HELLASWAG, "endings": "ab"}, "line 2: endings must be a list of texts"),
        ({**HELLASWAG, "endings": ["a", "[x]"], "label": 0}, "line 2: option 1 is empty"),
        ({"endings": ["a", "b"], "label": 0}, "line 2: ctx is missing"),
        ({**HELLASWAG, "ctx_a": 3}, "line 2: ctx_a is no text"),
        ({**MMLU, "question": None}, "line 2: question is missing"),
        ({**MMLU, "choices": ["a"] * 27}, "line 2: 27 choices; there are letters for 26"),
        ({**MMLU, "subject": 3}, "line 2: subject is no text"),
        ({**PLAIN, "choices": ["a", ""]}, "line 2: option 1 is empty"),
    ],
)
def test_a_file_of_something_else_is_one_line(tmp_path: Path, row: Any, message: str) -> None:
    path = tmp_path / "items.jsonl"
    path.write_bytes(b"\n" + (row.encode("latin-1") if isinstance(row, str) else json.dumps(row).encode()))
    with pytest.raises(InputError) as error:
        read_tasks(str(path))
    assert message in str(error.value) and str(path) in str(error.value)


def test_a_file_that_is_not_there_or_cut_short(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read this file"):
        read_tasks(str(tmp_path / "none.jsonl"))
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b"{}" * 1000)[:-9])
    with pytest.raises(InputError, match="cannot read this file"):
        read_tasks(str(tmp_path / "cut.jsonl.gz"))
    damaged = bytearray(gzip.compress("".join(f"{i}\n" for i in range(5000)).encode()))
    damaged[200:260] = b"\xff" * 60
    (tmp_path / "damaged.jsonl.gz").write_bytes(damaged)
    with pytest.raises(InputError, match="cannot read this file"):
        read_tasks(str(tmp_path / "damaged.jsonl.gz"))


def test_a_later_line_of_another_form_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"items.jsonl: line 2: ctx is missing"):
        read_tasks(write(tmp_path / "items.jsonl", HELLASWAG, PLAIN))


# --- what is found


def plain_nats(model: Transformer, context: str, option: str) -> float:
    """One option by itself, token by token."""
    numpy_model, longest = NumpyModel(model), MODEL.context_length
    before, whole = TOKENIZER.encode_ordinary(context), TOKENIZER.encode_ordinary(context + option)
    n_common = next((i for i, (a, b) in enumerate(zip(before, whole, strict=False)) if a != b), len(before))
    ids = [TOKENIZER.eot_id, *whole][-(longest + 1) :]
    shares = numpy_softmax(numpy_model.logits(np.array(ids[:-1])))
    n_counted = len(whole) - n_common
    return -sum(math.log(shares[len(ids) - 2 - i, ids[-1 - i]]) for i in range(n_counted))


def some_task(tmp_path: Path) -> Task:
    """Short and long contexts, options with and without a token across the bound, ones that are cut or left out."""
    rows = [
        PLAIN,
        {"context": "", "choices": ["the", "a", "é"], "label": 2},
        {"context": "x" * 39, "choices": ["y", "yz" * 4], "label": 1},  # one fits, the other is cut
        {"context": "other", "choices": ["x" * 41, "no"], "label": 1},  # left out
        {"context": "nul\0 \ud83d", "choices": ["\ude00a", "th\0"], "label": "A"},
        {"context": EOT, "choices": [EOT, "t", "h", "b"], "label": 3},
        {"context": "a" * 60, "choices": ["b" * 40, "c"], "label": 0},
    ]
    (task,) = read_tasks(write(tmp_path / "some.jsonl", *rows))
    return task


@pytest.mark.parametrize("batch_tokens", [1, 50, 4096])
def test_accuracy_is_that_of_one_option_at_a_time(tmp_path: Path, batch_tokens: int) -> None:
    task, model = some_task(tmp_path), restless()
    encoded = encode(task, TOKENIZER, MODEL.context_length)
    found = nats(model, encoded.sequences, batch_tokens=batch_tokens)
    kept = [item for i, item in enumerate(task.items) if i != 3]
    expected = [[plain_nats(model, item.context, option) for option in item.options] for item in kept]
    assert found == pytest.approx([value for values in expected for value in values], rel=1e-4)
    best = [values.index(min(values)) for values in expected]
    by_byte = [
        min(range(len(values)), key=lambda i: values[i] / item.sizes[i])
        for values, item in zip(expected, kept, strict=True)
    ]
    answers = [item.answer for item in kept]
    got = encoded.accuracy(found)
    assert got.accuracy == pytest.approx(np.mean(np.array(best) == answers))
    assert got.normalized == pytest.approx(np.mean(np.array(by_byte) == answers))
    assert got.chance == pytest.approx(np.mean([1 / len(item.options) for item in kept]))
    assert (got.n_items, got.n_cut, got.n_left_out) == (6, 2, 1)
    assert got.error == pytest.approx(math.sqrt(got.accuracy * (1 - got.accuracy) / 5))


def test_a_token_across_the_bound_counts_as_the_options(tmp_path: Path) -> None:
    (task,) = read_tasks(write(tmp_path / "a.jsonl", PLAIN))
    sequences = encode(task, TOKENIZER, 40).sequences
    assert sequences.n_counted.tolist() == [len(TOKENIZER.encode("the end")), len(TOKENIZER.encode("th"))] == [6, 1]


def test_of_equal_scores_the_first_is_chosen(tmp_path: Path) -> None:
    model = Transformer(MODEL, seed=0)
    with torch.no_grad():
        model.token_embeddings.weight.zero_()
    rows = [{"context": "a", "choices": ["bb", "cc", "dd"], "label": i} for i in (0, 1, 2)]
    (task,) = read_tasks(write(tmp_path / "a.jsonl", *rows, {"context": "a", "choices": ["bb", "c"], "label": 1}))
    encoded = encode(task, TOKENIZER, 40)
    got = encoded.accuracy(nats(model, encoded.sequences))
    assert got.accuracy == 0.5 and got.normalized == 0.25  # shorter is likelier, but for each byte the same


def test_letters_are_not_normalised(tmp_path: Path) -> None:
    letters, cloze = (encode(task, TOKENIZER, 200) for task in read_tasks(write(tmp_path / "m.jsonl", MMLU)))
    values = np.arange(3.0)
    assert letters.accuracy(values).normalized is None and cloze.accuracy(values).normalized is not None
    assert letters.accuracy(values).error is None


def test_tasks_must_fit_the_model(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", PLAIN)
    with pytest.raises(UserError, match="no item has options within the model's context of 5 tokens"):
        encoded_tasks([path], TOKENIZER, replace(MODEL, context_length=5))
    with pytest.raises(UserError, match="the tokenizer has 258 ids, the model 257"):
        encoded_tasks([path], TOKENIZER, replace(MODEL, vocab_size=257))
    with pytest.raises(UserError, match="needs a tokenizer"):
        encoded_tasks([path], None, MODEL)
    with pytest.raises(UserError, match="two tasks are called a"):
        encoded_tasks([path, path], TOKENIZER, MODEL)
    with pytest.raises(UserError, match="no special token"):
        encoded_tasks([path], Tokenizer(TOKENIZER.vocab, TOKENIZER.merges), MODEL)
    assert encoded_tasks([], None, MODEL) == []


# --- during training


@pytest.mark.parametrize("with_validation", [True, False])
def test_a_training_tells_the_accuracy_of_tasks(tmp_path: Path, with_validation: bool) -> None:
    split = split_of([[30, 40], [25, 9, 100]])
    split.vocab_size = MODEL.vocab_size
    tasks = [encode(some_task(tmp_path), TOKENIZER, MODEL.context_length)]
    tasks += [encode(task, TOKENIZER, MODEL.context_length) for task in read_tasks(write(tmp_path / "m.jsonl", MMLU))]
    recipe = replace(RECIPE, steps=5, batch_size=2, eval_every=3)
    out = tmp_path / "run"
    train(MODEL, recipe, split, split if with_validation else None, out, tasks=tasks)
    lines = [line for line in lines_of(out) if "loss" in line]
    assert [bool(line["accuracy"]) for line in lines] == [False, False, True, False, True]
    assert [line["val_loss"] is not None for line in lines] == [with_validation and i in (2, 4) for i in range(5)]
    model = load_model(out / "checkpoint.pt", tokenizer_sha256=None, device=torch.device("cpu"))
    expected = [task.accuracy(nats(model, task.sequences)) for task in tasks]
    assert lines[-1]["accuracy"] == {task.name: task.accuracy for task in expected}
    assert lines[-1]["normalized_accuracy"] == {t.name: t.normalized for t in expected if t.normalized is not None}
    assert set(lines[-1]["accuracy"]) == {"some", "m", "m-cloze"}
