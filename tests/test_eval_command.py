"""``textmill eval``: a small model on shards, the table of documents, what cannot be done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

torch = pytest.importorskip("torch")

from test_shards import EOT, TOKENIZER, WIDE, batch, publish  # noqa: E402

from textmill import cli  # noqa: E402
from textmill.tokenize import Tokenizer  # noqa: E402
from textmill.tokenize.shards.token_shards import TokenShards  # noqa: E402
from textmill.train.checkpoint import load_model  # noqa: E402
from textmill.train.config import ModelConfig, TrainConfig  # noqa: E402
from textmill.train.evaluate import evaluate, figures  # noqa: E402
from textmill.train.huggingface import export_llama  # noqa: E402
from textmill.train.loop import train  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

MODEL = ModelConfig(vocab_size=300, n_layers=1, n_heads=2, d_model=16, d_ff=24, context_length=8)
RECIPE = TrainConfig(
    steps=2, batch_size=3, learning_rate=1e-2, min_learning_rate=1e-3, warmup_steps=0, device="cpu", n_threads=1
)
TEXTS = ["abc", "every page has a text", "", "and some are short", "\x1b[2Jnot all are kind", "the end of them"] * 2
SPLITS = ["train", "val", "val"] * 4
CHOICES = {"context": "a", "choices": ["bc", "x\x1b[2J"], "label": 0}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards, the model that was trained on them, its export, and items."""
    root = tmp_path_factory.mktemp("root")
    (root / "shards").mkdir()
    publish(root / "shards", 0, [batch(1, TEXTS[:7], SPLITS[:7])])
    publish(root / "shards", 1, [batch(8, TEXTS[7:], SPLITS[7:])])
    train(MODEL, RECIPE, TokenShards.open(str(root / "shards"), "train"), None, root / "model")
    TOKENIZER.save(root / "model" / "tokenizer.json")
    export_llama(model_in(root), TOKENIZER, str(root / "hf"))
    (root / "alone").mkdir()
    (root / "alone" / "checkpoint.pt").write_bytes((root / "model" / "checkpoint.pt").read_bytes())
    (root / "items.jsonl").write_text(json.dumps(CHOICES))
    return root


def model_in(root: Path) -> Any:
    path = root / "model" / "checkpoint.pt"
    return load_model(path, tokenizer_sha256=TOKENIZER.digest, device=torch.device("cpu"))


def evaluated(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    capsys.readouterr()
    assert cli.main(["eval", *map(str, arguments), "--json"]) == 0
    return dict(json.loads(capsys.readouterr().out))


def test_the_figures_are_those_of_the_documents(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shards = TokenShards.open(str(root / "shards"), "val")
    found = evaluated(capsys, root / "model", "--on", root / "shards", "--by", "source", "--by", "domain")
    expected = figures(evaluate(model_in(root), shards, np.arange(8)))
    text = found["text"]
    assert text["all"]["bits_per_byte"] == pytest.approx(expected.bits_per_byte)
    assert text["all"]["loss_error"] == pytest.approx(expected.loss_error)
    assert (text["n_docs"], text["of_docs"], text["all"]["n_bytes"]) == (8, 8, shards.n_bytes)
    assert [row["name"] for row in text["groups"]["domain"]] == ["example.org"]
    assert text["groups"]["source"][0]["n_tokens"] == shards.n_tokens
    assert evaluated(capsys, root / "model" / "checkpoint.pt", "--on", root / "shards")["text"]["all"] == text["all"]
    exported = evaluated(capsys, root / "hf", "--on", root / "shards")["text"]
    assert exported["all"]["loss"] == pytest.approx(expected.loss, abs=1e-5) and exported["notes"] == []
    assert exported["groups"] == {}  # one source and one site tell nothing apart


def test_a_draw_is_the_same_for_every_model(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = [root / "model", "--on", root / "shards", "--docs", "3", "--seed", "4", "--split", "train"]
    found = evaluated(capsys, *asked, "--out", root / "some.parquet")["text"]
    assert (found["n_docs"], found["of_docs"], found["seed"]) == (3, 4, 4)
    assert "learnt by heart" in found["notes"][0]
    rows = pq.read_table(root / "some.parquet").to_pylist()
    assert len(rows) == 3 and set(rows[0]) == {"doc_id", "source", "n_tokens", "n_bytes", "loss", "bits_per_byte"}
    nats = sum(row["loss"] * row["n_tokens"] for row in rows)
    assert nats / found["all"]["n_tokens"] == pytest.approx(found["all"]["loss"])
    assert {row["doc_id"] for row in rows} < {1, 4, 7, 10}
    assert evaluated(capsys, *asked, "--batch-tokens", "9")["text"]["all"]["loss"] == pytest.approx(
        found["all"]["loss"]
    )


def test_a_model_is_compared_with_another(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = [str(root / "model"), "--on", str(root / "shards")]
    assert cli.main(["eval", *asked, "--out", str(root / "all.parquet")]) == 0
    found = evaluated(capsys, *asked, "--against", root / "all.parquet")["text"]["against"]
    assert found["bits_per_byte"] == pytest.approx(0, abs=1e-9) and found["error"] < 1e-9
    assert cli.main(["eval", *asked, "--against", str(root / "all.parquet")]) == 0
    assert "0.0000, ±0.0000 over documents, ±unknown over sites" in " ".join(capsys.readouterr().out.split())


def test_a_checkpoint_knows_its_tokenizer_without_having_it(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluated(capsys, root / "alone", "--on", root / "shards")["text"]["notes"] == []


def test_what_is_printed(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--on", str(root / "shards"), "--docs", "5", "--choices", str(root / "items.jsonl"), "--by", "tld"]
    assert cli.main(["eval", str(root / "model"), *asked]) == 0
    shown = capsys.readouterr().out
    assert (
        "5 of 8 documents" in shown
        and "bits/byte" in shown
        and "nats/token" in shown
        and "by tld" in shown
        and "org" in shown
    )
    assert "--docs all takes all" in shown and "multiple choice by likelihood" in shown and "50.00%" in shown
    assert "\x1b" not in shown


def test_choices_alone(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = evaluated(capsys, root / "hf", "--choices", root / "items.jsonl")
    assert "text" not in found
    (task,) = found["choices"]
    assert (task["name"], task["n_items"], task["chance"]) == ("items", 1, 0.5)


def test_a_training_by_command_tells_accuracies(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    TOKENIZER.save(root / "shards" / "tokenizer.json")
    (tmp_path / "mine.jsonl").write_text("\n".join(json.dumps(CHOICES) for _ in range(3)))
    source = tmp_path / "shards"
    source.mkdir()
    publish(source, 0, [batch(1, ["abc " * 400], ["train"])])
    TOKENIZER.save(source / "tokenizer.json")
    asked = ["--steps", "1", "--choices", str(tmp_path / "mine.jsonl"), "--out", str(tmp_path / "out")]
    assert cli.main(["train", str(source), *asked]) == 0
    assert "mine: " in capsys.readouterr().out
    (line,) = [line for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines() if "lr" in line]
    assert set(json.loads(line)["accuracy"]) == {"mine"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["MODEL"], "nothing to evaluate on; give token shards with --on, or --choices FILE, or both"),
        (["nowhere", "--on", "SHARDS"], "nowhere: no model"),
        (["MODEL", "--on", "nowhere"], "nowhere: no token shards"),
        (["MODEL", "--on", "SHARDS", "--split", "vla"], "unknown split 'vla'; did you mean 'val'?"),
        (["MODEL", "--on", "SHARDS", "--by", "sauce"], "unknown key 'sauce'; did you mean 'source'?"),
        (["MODEL", "--on", "SHARDS", "--stride", "9"], "stride 9: must be from 1 to the model's context of 8"),
        (["MODEL", "--on", "SHARDS", "--seed", "-1"], "--seed -1"),
        (["MODEL", "--on", "SHARDS", "--dtype", "float64"], "unknown dtype 'float64'"),
        (["MODEL", "--on", "SHARDS", "--device", "gpu"], "unknown device 'gpu'"),
        (["MODEL", "--on", "SHARDS", "--out", "SHARDS"], "is a folder; name a file in it"),
        (["MODEL", "--on", "SHARDS", "--against", "ITEMS"], "items.jsonl: damaged"),
        (["MODEL", "--on", "SHARDS", "--against", "DOCS"], "no table of losses; give what `textmill eval --out` wrote"),
        (["MODEL", "--on", "OTHER"], "but the model"),
        (["ALONE", "--on", "OTHER"], "trained with the tokenizer"),
        (["HF", "--on", "OTHER"], "but the model"),
        (["MODEL", "--on", "BARE"], "its split 'val' has no documents; name another with --split"),
        (["MODEL", "--choices", "SHARDS"], "cannot read this file"),
        (["MODEL", "--choices", "ITEMS", "--shots", "2"], "--shots N and --examples FILE go together, with --choices"),
        (["MODEL", "--choices", "ITEMS", "--examples", "ITEMS"], "--shots N and --examples FILE go together"),
        (["MODEL", "--on", "SHARDS", "--shots", "2", "--examples", "ITEMS"], "go together, with --choices"),
        (["MODEL", "--choices", "ITEMS", "--out", "losses.parquet"], "--out is for held-out text; give token shards"),
        (["MODEL", "--choices", "ITEMS", "--by", "tld"], "--by is for held-out text; give token shards with --on"),
        (["ALONE", "--choices", "ITEMS"], "multiple choice needs a tokenizer"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    other = Tokenizer(TOKENIZER.vocab, [], [EOT])
    for name, tokenizer in (("other", other), ("bare", TOKENIZER)):
        (tmp_path / name).mkdir()
        publish(tmp_path / name, 0, [batch(1, ["abc"], ["val" if name == "other" else "train"])], tokenizer)
    known = {"MODEL": root / "model", "ALONE": root / "alone", "HF": root / "hf", "SHARDS": root / "shards"}
    known |= {"OTHER": tmp_path / "other", "BARE": tmp_path / "bare", "ITEMS": root / "items.jsonl"}
    known["DOCS"] = root / "shards" / "val" / "docs-00000.parquet"
    assert cli.main(["eval", *(str(known.get(argument, argument)) for argument in arguments)]) == 2
    shown = capsys.readouterr()
    assert message in shown.err and len(shown.err.splitlines()) == 1 and not shown.out


def test_shards_that_say_less(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Imported without their tokenizer: no bytes, no pages."""
    ids = np.array([5, 6, 257, 7, 8, 9, 257], "<u2")
    ids.tofile(tmp_path / "ids.bin")
    asked = ["--val", str(tmp_path / "ids.bin"), "--from", "nanogpt", "--vocab-size", "258", "--eot-id", "257"]
    assert cli.main(["shards", "import", str(tmp_path / "ids.bin"), *asked, "--out", str(tmp_path / "bare")]) == 0
    found = evaluated(capsys, root / "model", "--on", tmp_path / "bare", "--out", tmp_path / "losses.parquet")["text"]
    assert found["all"]["bits_per_byte"] is None and found["all"]["loss"] > 0 and "by_site" not in found
    assert [note.partition(";")[0][:20] for note in found["notes"]] == ["no bits per byte: th", "whether model and sh"]
    assert pq.read_table(tmp_path / "losses.parquet")["bits_per_byte"].null_count == 2
    (tmp_path / "wide").mkdir()
    publish(tmp_path / "wide", 0, [batch(1, ["abc"], ["val"])], WIDE)
    assert cli.main(["eval", str(root / "alone"), "--on", str(tmp_path / "wide")]) == 2
    assert "tokenizer" in capsys.readouterr().err
