"""The pages of a training step, from shards on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from test_shards import batch, publish  # noqa: E402

from textmill import cli  # noqa: E402
from textmill.errors import InputError, UserError  # noqa: E402
from textmill.tokenize.shards.token_shards import TokenShards  # noqa: E402
from textmill.train import checkpoint  # noqa: E402
from textmill.train.config import ModelConfig, TrainConfig  # noqa: E402
from textmill.train.data import TrainBatches  # noqa: E402
from textmill.train.loop import train  # noqa: E402
from textmill.train.loss import token_losses  # noqa: E402
from textmill.train.model import Transformer  # noqa: E402
from textmill.train.trace import StepTrace, trace_step  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

MODEL = ModelConfig(vocab_size=300, n_layers=1, n_heads=2, d_model=16, d_ff=24, context_length=8)
RECIPE = TrainConfig(
    steps=4, batch_size=3, learning_rate=1e-2, min_learning_rate=1e-3, warmup_steps=0, device="cpu", micro_batch_size=2
)
TEXTS = ["abc", "every page has a text", "", "and some are short", "x", "\x1b[2Jnot all are kind", "the end of them"]


@pytest.fixture
def shards(tmp_path: Path) -> TokenShards:
    folder = tmp_path / "shards"
    folder.mkdir()
    publish(folder, 0, [batch(1, TEXTS[:4], ["train"] * 4)])
    publish(folder, 1, [batch(5, TEXTS[4:], ["train"] * 3)])
    return TokenShards.open(str(folder), "train")


@pytest.mark.parametrize("documents", ["across", "masked", "packed"])
def test_a_step_is_traced_to_its_pages(tmp_path: Path, shards: TokenShards, documents: str) -> None:
    recipe = replace(RECIPE, documents=documents)
    train(MODEL, recipe, shards, None, tmp_path / "run")
    found = trace_step(tmp_path / "run", shards, 2)
    batches = TrainBatches(shards, 8, 3, 0, documents=documents)
    inputs, targets = batches.at(1)
    place = batches.documents_at(1)
    within = documents != "across"
    model = Transformer(MODEL, seed=0)
    model.load_state_dict(checkpoint.load(tmp_path / "run" / "checkpoint.pt", torch.device("cpu")).model)
    with torch.no_grad():
        logits = model(inputs, place.positions if within else None, place.ids if within else None)
    losses = token_losses(logits.flatten(0, 1), targets.flatten())
    n_targets = int((targets >= 0).sum())
    assert (found.step, found.weights_step) == (2, 4)
    assert found.loss == pytest.approx(float(losses.sum()) / n_targets, rel=1e-5)
    assert sum(page.n_tokens for page in found.pages) == n_targets
    assert sum(page.loss_frac for page in found.pages) == pytest.approx(1)
    assert [page.loss_frac for page in found.pages] == sorted((p.loss_frac for p in found.pages), reverse=True)
    assert len({page.doc_id for page in found.pages}) == len(found.pages)
    for page in found.pages:
        assert page.url == f"http://example.org/{page.doc_id}" and page.warc_offset == 100 * page.doc_id
    assert sum(page.n_tokens * page.loss for page in found.pages) == pytest.approx(float(losses.sum()), rel=1e-5)
    assert pages_of(shards, batches) == {page.doc_id: page.n_tokens for page in found.pages}


def pages_of(shards: TokenShards, batches: TrainBatches) -> dict[int, int]:
    """The document of each target of step 2, one token at a time."""
    found: dict[int, int] = {}
    for number in batches.chunk_numbers(1).tolist():
        if batches.masked and hasattr(batches.samples, "_rows"):
            rows = batches.samples._rows
            pieces = range(int(rows.bounds[number]), int(rows.bounds[number + 1]))
            positions = [int(rows.starts[i]) + k for i in pieces for k in range(int(rows.lengths[i]))]
        else:
            positions = [number * 8 + 1 + k for k in range(8)]
        for position in positions:
            doc_id = shards.locate(position).doc_id
            found[doc_id] = found.get(doc_id, 0) + 1
    return found


def test_a_step_that_cannot_be_traced(tmp_path: Path, shards: TokenShards) -> None:
    with pytest.raises(InputError, match="no such checkpoint"):
        trace_step(tmp_path / "run", shards, 1)
    train(MODEL, RECIPE, shards, None, tmp_path / "run")
    with pytest.raises(UserError, match=r"step 5: .* has steps 1 to 4"):
        trace_step(tmp_path / "run", shards, 5)
    (tmp_path / "other").mkdir()
    publish(tmp_path / "other", 0, [batch(1, TEXTS, ["train"] * 7)])
    with pytest.raises(UserError, match="was not trained on"):
        trace_step(tmp_path / "run", TokenShards.open(str(tmp_path / "other"), "val"), 1)


def test_the_command_prints_the_hardest_pages(
    tmp_path: Path, shards: TokenShards, capsys: pytest.CaptureFixture[str]
) -> None:
    train(MODEL, RECIPE, shards, None, tmp_path / "run")
    arguments = ["train", "trace", shards.folder, "--model", str(tmp_path / "run"), "--step", "3", "--top", "2"]
    assert cli.main(arguments) == 0
    shown = capsys.readouterr().out
    found: StepTrace = trace_step(tmp_path / "run", shards, 3)
    assert f"step 3: {len(found.pages)} pages" in shown and "weights of step 4" in shown
    assert shown.count("http://example.org/") == 2
    assert found.pages[0].url in shown
