"""The training loop: parts of batches, documents, sources, spikes, and what it says of itself."""

from __future__ import annotations

import gc
import json
import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

torch = pytest.importorskip("torch")

from test_data import Split, split_of  # noqa: E402

from textmill.errors import UserError  # noqa: E402
from textmill.train import checkpoint  # noqa: E402
from textmill.train.checkpoint import DataIdentity  # noqa: E402
from textmill.train.config import ModelConfig, TrainConfig  # noqa: E402
from textmill.train.data import IGNORED, StepBatch, TrainBatches  # noqa: E402
from textmill.train.loop import StepLog, train  # noqa: E402
from textmill.train.loss import LossModel, sum_of_losses, token_losses  # noqa: E402
from textmill.train.model import Transformer  # noqa: E402
from textmill.train.sources import Records, Sources, step_batch  # noqa: E402
from textmill.train.trainer import Trainer  # noqa: E402
from textmill.train.watch import WINDOW_STEPS, Watch  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
MODEL = ModelConfig(vocab_size=400, n_layers=2, n_heads=2, d_model=16, d_ff=24, context_length=8)
RECIPE = TrainConfig(
    steps=6,
    batch_size=4,
    learning_rate=1e-2,
    min_learning_rate=1e-3,
    warmup_steps=2,
    eval_every=3,
    checkpoint_every=3,
    device="cpu",
)


class Recorded(Split):
    """A split with tables of its documents."""

    documents: list[str]


def recorded(folder: Path, shards: list[list[int]], sources: str) -> Recorded:
    """Documents of these lengths; each comes from the source of its letter, and has twice as many bytes as tokens."""
    bare = split_of(shards)
    split = Recorded(bare.tokens, bare.offsets, vocab_size=400)
    split.n_docs, split.n_bytes = sum(map(len, shards)), 2 * split.n_tokens
    split.documents, first = [], 0
    for number, lengths in enumerate(shards):
        last = first + len(lengths)
        table = {
            "doc_id": pa.array(range(100 + first, 100 + last), pa.uint64()),
            "source": pa.array(list(sources[first:last]), pa.string()),
            "url": pa.array([f"https://example.org/{i}" for i in range(first, last)], pa.string()),
            "n_bytes": pa.array([2 * n for n in lengths], pa.int64()),
        }
        split.documents.append(str(folder / f"docs-{number}.parquet"))
        pq.write_table(pa.table(table), split.documents[-1])
        first = last
    return split


@pytest.fixture
def split(tmp_path: Path) -> Recorded:
    return recorded(tmp_path, [[3, 9, 1, 30], [12, 4, 4, 7, 20, 2], [], [30, 5, 5, 5, 40]], "aabbabababababa")


def stop_after(step: int) -> Callable[[StepLog], None]:
    def on_step(log: StepLog) -> None:
        if log.step == step:
            raise KeyboardInterrupt

    return on_step


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load(folder / "checkpoint.pt", CPU).model


def furthest(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    return max(float((a[name] - b[name]).abs().max()) for name in a)


def lines_of(folder: Path, name: str = "log.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


# --- batches in parts


@pytest.mark.parametrize("documents", ["across", "masked", "packed"])
def test_parts_of_a_batch_train_like_the_whole(tmp_path: Path, split: Recorded, documents: str) -> None:
    recipe = replace(RECIPE, documents=documents)
    train(MODEL, recipe, split, split, tmp_path / "whole")
    train(MODEL, replace(recipe, micro_batch_size=3), split, split, tmp_path / "parts")
    assert furthest(weights(tmp_path / "whole"), weights(tmp_path / "parts")) < 1e-6
    whole, parts = lines_of(tmp_path / "whole"), lines_of(tmp_path / "parts")
    for a, b in zip(whole, parts, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-6)
        assert a["val_loss"] == (None if b["val_loss"] is None else pytest.approx(b["val_loss"], abs=1e-6))


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_looking_less_often_changes_nothing_and_loses_no_line(tmp_path: Path, split: Recorded, optimizer: str) -> None:
    recipe = replace(RECIPE, steps=11, checkpoint_every=7, eval_every=5, optimizer=optimizer)
    clock = {"seconds": 0, "tokens_per_s": 0}
    for name, log_every in (("each", None), ("some", 4)):
        seen: list[int] = []
        train(
            MODEL,
            replace(recipe, log_every=log_every),
            split,
            split,
            tmp_path / name,
            on_step=lambda log, seen=seen: seen.append(log.step),  # type: ignore[misc]
        )
        assert seen == list(range(1, 12))
    each, some = ([{**line, **clock} for line in lines_of(tmp_path / name)] for name in ("each", "some"))
    assert each == some
    assert furthest(weights(tmp_path / "each"), weights(tmp_path / "some")) == 0


def test_a_run_with_muon_goes_on_with_the_same_bits(tmp_path: Path, split: Recorded) -> None:
    recipe = replace(RECIPE, optimizer="muon", documents="packed", schedule="wsd")
    train(MODEL, recipe, split, split, tmp_path / "whole")

    with pytest.raises(KeyboardInterrupt):
        train(MODEL, recipe, split, split, tmp_path / "cut", on_step=stop_after(5))
    train(MODEL, recipe, split, split, tmp_path / "cut")
    assert furthest(weights(tmp_path / "whole"), weights(tmp_path / "cut")) == 0


def test_a_run_with_growing_batches_counts_its_tokens(tmp_path: Path, split: Recorded) -> None:
    train(MODEL, replace(RECIPE, batch_warmup_steps=4), split, None, tmp_path / "run")
    assert [line["tokens"] for line in lines_of(tmp_path / "run")[1:]] == [8, 24, 48, 80, 112, 144]


# --- the loss


def test_losses_in_chunks_equal_the_plain_way() -> None:
    generator = torch.Generator().manual_seed(1)
    hidden, weight = torch.randn(11, 6, generator=generator), torch.randn(9, 6, generator=generator)
    targets = torch.tensor([0, 8, 3, IGNORED, 5, 1, 2, IGNORED, 7, 7, 0])
    results = []
    for chunk_tokens in (11, 4, 1):
        own_hidden, own_weight = hidden.clone().requires_grad_(), weight.clone().requires_grad_()

        def losses_of(x: torch.Tensor, wanted: torch.Tensor, matrix: torch.Tensor = own_weight) -> torch.Tensor:
            return token_losses(torch.tanh(x @ matrix.T) * 30, wanted)

        total, losses = sum_of_losses(own_hidden, own_weight, targets, losses_of, chunk_tokens)
        (total / 9).backward()
        results.append((total.detach(), losses, own_hidden.grad, own_weight.grad))
    expected = torch.nn.functional.cross_entropy(torch.tanh(hidden @ weight.T) * 30, targets, ignore_index=IGNORED)
    assert float(results[0][0]) / 9 == pytest.approx(float(expected), rel=1e-6)
    for result in results[1:]:
        for found, wanted in zip(result, results[0], strict=True):
            torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("tied", [True, False])
def test_a_model_learns_the_same_from_chunks(tied: bool, dtype: torch.dtype) -> None:
    ids = torch.randint(400, (3, 9), generator=torch.Generator().manual_seed(2))
    batch = StepBatch(ids[:, :-1], ids[:, 1:])
    gradients = []
    for chunk_bytes in (1 << 28, 400 * 4 * 5):
        model = Transformer(replace(MODEL, tie_embeddings=tied, logit_cap=5.0), seed=0)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            total, losses = LossModel(model, chunk_bytes=chunk_bytes)(batch)
        (total / 24).backward()
        assert losses.shape == (3, 8) and not losses.requires_grad
        with torch.no_grad():
            model.eval()
            again, _ = LossModel(model, chunk_bytes=chunk_bytes)(batch)
        assert float(again.detach()) == pytest.approx(
            float(total.detach()), rel=1e-2 if dtype == torch.bfloat16 else 1e-5
        )
        gradients.append({name: weight.grad for name, weight in model.named_parameters()})
    tolerance = 2e-3 if dtype == torch.bfloat16 else 1e-6
    assert furthest(*gradients) < tolerance


@pytest.mark.filterwarnings("default")  # of torch's own parts, which are imported on the way
@pytest.mark.parametrize(("asked", "n_compiled"), [(None, 0), (False, 0), (True, 2)])
def test_blocks_are_compiled_on_a_cpu_when_asked(
    monkeypatch: pytest.MonkeyPatch, asked: bool | None, n_compiled: int
) -> None:
    compiled: list[torch.nn.Module] = []
    monkeypatch.setattr("torch.nn.Module.compile", lambda block, mode: compiled.append(block))
    Trainer(MODEL, replace(RECIPE, compile=asked), DataIdentity("", 0, 0, 0))
    assert len(compiled) == n_compiled


def test_no_target_no_loss() -> None:
    losses = token_losses(torch.full((2, 3), 1000.0), torch.tensor([IGNORED, 1]))
    assert losses.tolist() == pytest.approx([0.0, math.log(3)])


# --- sources


@pytest.mark.parametrize("documents", ["across", "packed"])
def test_losses_by_source_are_those_of_their_tokens(tmp_path: Path, split: Recorded, documents: str) -> None:
    train(MODEL, replace(RECIPE, documents=documents, steps=1, warmup_steps=0), split, split, tmp_path / "run")
    (line,) = lines_of(tmp_path / "run")
    batches = TrainBatches(split, 8, 4, 0, documents=documents)
    inputs, targets = batches.at(0)
    ids = batches.documents_at(0).ids if documents == "packed" else None
    logits = Transformer(MODEL, seed=0)(inputs, document_ids=ids)
    losses = token_losses(logits.flatten(0, 1), targets.flatten()).tolist()
    source_of = {int(token): "aabbabababababa"[i] for i, text in enumerate(texts_of(split)) for token in text if token}
    found: dict[str, list[float]] = {"a": [], "b": []}
    for target, loss in zip(targets.flatten().tolist(), losses, strict=True):
        if target > 0:  # an end of text is that of any document
            found[source_of[target]].append(loss)
    numbers = Sources(split)
    assert numbers.names == ["a", "b"]
    by_source = step_batch(batches.samples, batches.chunk_numbers(0), numbers, masked=False).sources
    assert by_source is not None
    for target, number in zip(targets.flatten().tolist(), by_source.flatten().tolist(), strict=True):
        assert target <= 0 or "ab"[number] == source_of[target]
    counts = {name: int(((by_source == i) & (targets >= 0)).sum()) for i, name in enumerate("ab")}
    mean = sum(line["loss_by_source"][name] * n for name, n in counts.items()) / sum(counts.values())
    assert mean == pytest.approx(line["loss"], abs=1e-5)
    for name, own in found.items():  # close to those of all tokens but ends
        assert line["loss_by_source"][name] == pytest.approx(sum(own) / len(own), abs=0.05)


def texts_of(split: Split) -> list[list[int]]:
    return [
        tokens[int(a) : int(b)].tolist()
        for tokens, offsets in zip(split.tokens, split.offsets, strict=True)
        for a, b in pairwise(offsets)
    ]


def test_validation_by_source(tmp_path: Path, split: Recorded) -> None:
    result = train(MODEL, replace(RECIPE, eval_batches=100), split, split, tmp_path / "run")
    last = result.last
    assert set(last.val_loss_by_source) == {"a", "b"}
    for name, loss in last.val_loss_by_source.items():
        assert last.bits_per_byte_by_source[name] == pytest.approx(loss / math.log(2) / 2)
    assert min(last.val_loss_by_source.values()) < last.val_loss < max(last.val_loss_by_source.values())


def test_a_source_that_is_held_out_whole(tmp_path: Path, split: Recorded) -> None:
    (tmp_path / "val").mkdir()
    val = recorded(tmp_path / "val", [[30, 20], [25, 9]], "abcc")
    last = train(MODEL, RECIPE, split, val, tmp_path / "run").last
    assert set(last.loss_by_source) == {"a", "b"}
    assert set(last.val_loss_by_source) == set(last.bits_per_byte_by_source) == {"a", "b", "c"}


def test_a_single_source_is_not_listed(tmp_path: Path) -> None:
    single = recorded(tmp_path, [[30, 20]], "aa")
    result = train(MODEL, replace(RECIPE, steps=1, warmup_steps=0), single, single, tmp_path / "run")
    assert result.last.loss_by_source == {} and result.last.val_loss is not None


# --- spikes


def test_a_spike_stands_out_of_a_full_window() -> None:
    watch = Watch(6.0)
    values = np.random.default_rng(0).normal(3.0, 0.1, WINDOW_STEPS)
    assert [watch.see(i, value, 1.0) for i, value in enumerate(values)] == [None] * WINDOW_STEPS
    assert watch.see(1, 3.3, 1.0) is None
    spike = watch.see(2, 4.5, 1.0)
    assert spike is not None and spike.loss_z is not None and 12 < spike.loss_z < 18 and spike.grad_norm_z == 0
    assert (spike := watch.see(3, 3.0, 2.0)) is not None and spike.grad_norm_z is not None and spike.grad_norm_z > 100
    assert (spike := watch.see(4, math.nan, 1.0)) is not None and spike.loss_z is None
    early = Watch(6.0)
    assert early.see(1, 3.0, 1.0) is None and early.see(2, 300.0, 1.0) is None
    assert early.see(3, math.inf, 1.0) is not None


@pytest.mark.parametrize("skips", [False, True])
def test_a_spike_is_written_down_and_skipped_by_choice(
    tmp_path: Path, split: Recorded, monkeypatch: pytest.MonkeyPatch, skips: bool
) -> None:
    monkeypatch.setattr("textmill.train.watch.WINDOW_STEPS", 3)
    clip = torch.nn.utils.clip_grad_norm_
    calls: list[int] = []

    def jump(parameters: Any, largest: float) -> torch.Tensor:
        calls.append(1)
        return torch.tensor(1e6) if len(calls) == 5 else 0 * clip(parameters, largest) + 1.0

    monkeypatch.setattr("torch.nn.utils.clip_grad_norm_", jump)
    applied: list[int] = []
    monkeypatch.setattr(Trainer, "apply", lambda _, step: applied.append(step))
    train(MODEL, replace(RECIPE, skip_spikes=skips, spike_z=50.0), split, None, tmp_path / "run")
    (spike,) = lines_of(tmp_path / "run", "spikes.jsonl")
    assert spike["step"] == 5 and spike["grad_norm_z"] > 50
    batches = TrainBatches(split, 8, 4, 0)
    tokens = set(batches.at(4)[1].flatten().tolist()) - {0}
    texts = texts_of(split)
    holding = {100 + i for i, text in enumerate(texts) if tokens & set(text)}
    assert holding <= set(spike["doc_ids"])
    assert all(texts[i - 100][-1] == 0 for i in spike["doc_ids"])
    assert [line["skipped"] for line in lines_of(tmp_path / "run")[1:]] == [False] * 4 + [skips, False]
    assert applied == [1, 2, 3, 4, *([] if skips else [5]), 6]


def test_documents_are_found_by_their_tokens(split: Recorded) -> None:
    stream = np.concatenate(split.tokens)
    records = Records(split)
    order = np.random.default_rng(1).permutation(len(stream))
    ids = records.rows(records.at(order), ["doc_id"])["doc_id"].to_pylist()
    expected = [100 + i for i, text in enumerate(texts_of(split)) for _ in text]
    assert ids == [expected[i] for i in order]


def test_a_loss_that_is_not_finite_names_its_documents(tmp_path: Path, split: Recorded) -> None:
    wild = replace(RECIPE, learning_rate=1e38, min_learning_rate=1e38, warmup_steps=0)
    with pytest.raises(UserError, match=r"at step 2; .*spikes.jsonl names the step's documents"):
        train(MODEL, wild, split, None, tmp_path / "run")
    (spike,) = lines_of(tmp_path / "run", "spikes.jsonl")
    assert spike["step"] == 2 and len(spike["doc_ids"]) > 2


# --- blocks that are computed again


@pytest.mark.parametrize("documents", ["across", "packed"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_blocks_that_are_computed_again_give_the_same_bits(
    tmp_path: Path, split: Recorded, documents: str, dropout: float
) -> None:
    model, recipe = replace(MODEL, dropout=dropout), replace(RECIPE, documents=documents, micro_batch_size=3)
    train(model, recipe, split, split, tmp_path / "kept")
    with pytest.raises(KeyboardInterrupt):  # a choice that may change on the way
        train(model, recipe, split, split, tmp_path / "again", on_step=stop_after(4))
    train(model, replace(recipe, recompute="blocks"), split, split, tmp_path / "again")
    assert furthest(weights(tmp_path / "kept"), weights(tmp_path / "again")) == 0
    clock = {"seconds": 0, "tokens_per_s": 0}
    kept, again = ([{**line, **clock} for line in lines_of(tmp_path / name)] for name in ("kept", "again"))
    assert kept == again


def test_blocks_that_are_computed_again_keep_less() -> None:
    sizes, model = {}, replace(MODEL, vocab_size=10)
    batch = StepBatch(*torch.zeros(2, 4, 8, dtype=torch.int64))
    for recomputes in (False, True):
        kept: dict[int, int] = {}

        def pack(tensor: torch.Tensor, kept: dict[int, int] = kept) -> torch.Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            LossModel(Transformer(model, seed=0), recomputes=recomputes)(batch)
        sizes[recomputes] = sum(kept.values())
    assert sizes[True] < sizes[False] / 2


def test_memory_that_does_not_suffice_names_the_ways_out(
    tmp_path: Path, split: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("torch.autograd.backward", full)
    for recipe, message in (
        (RECIPE, "4 sequences at once .*set micro_batch_size to 2, or recompute to blocks"),
        (replace(RECIPE, recompute="blocks"), "set micro_batch_size to 2$"),
        (replace(RECIPE, recompute="blocks", micro_batch_size=1), "make the model or its context_length smaller"),
    ):
        with pytest.raises(UserError, match=message):
            train(MODEL, recipe, split, split, tmp_path / "run")


def test_a_model_that_is_too_large_says_what_to_make_smaller(
    tmp_path: Path, split: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = "parameters and its optimizer do not fit into the memory of cpu; make it smaller: d_model"
    with pytest.raises(UserError, match=message):
        train(replace(MODEL, vocab_size=1 << 44), RECIPE, split, split, tmp_path / "run")

    def full(*_: object) -> None:  # at the first update, which makes the optimizer's state
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("torch.optim.AdamW.step", full)
    with pytest.raises(UserError, match=message):
        train(MODEL, RECIPE, split, split, tmp_path / "run")


# --- compiled


@pytest.mark.filterwarnings("default")  # of torch's own parts, which are imported on the way
@pytest.mark.parametrize("documents", ["across", "masked", "packed"])
def test_all_blocks_and_steps_are_one_graph(
    tmp_path: Path, split: Recorded, documents: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the loss is another; without a break, for steps and for evaluations, and with the same losses."""
    graphs: list[int] = []

    def backend(graph: Any, _: Any) -> Any:
        graphs.append(len(list(graph.graph.nodes)))
        return graph.forward

    real = torch.compile
    monkeypatch.setattr("torch.compile", lambda f, mode=None: real(f, backend=backend, fullgraph=True))
    torch.compiler.reset()
    recipe = replace(RECIPE, steps=20, eval_every=20, documents=documents, batch_size=6, micro_batch_size=3)
    seen: list[int] = []
    train(
        MODEL,
        replace(recipe, compile=True),
        split,
        split,
        tmp_path / "compiled",
        on_step=lambda _: seen.append(len(graphs)),
    )
    torch.compiler.reset()
    assert seen[:19] == [2] * 19  # a block and the loss
    train(MODEL, recipe, split, split, tmp_path / "plain")
    for name in ("loss", "val_loss"):
        compiled, plain = ([line[name] for line in lines_of(tmp_path / run)] for run in ("compiled", "plain"))
        assert compiled == [value if value is None else pytest.approx(value, abs=1e-5) for value in plain]


def test_garbage_is_collected_between_steps_only(tmp_path: Path, split: Recorded) -> None:
    states: list[bool] = []
    train(MODEL, RECIPE, split, split, tmp_path / "run", on_step=lambda _: states.append(gc.isenabled()))
    assert not any(states) and gc.isenabled() and gc.get_freeze_count() == 0


@pytest.mark.filterwarnings("default")  # as above
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_compiled_loss_in_chunks_has_the_same_gradients(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype) -> None:
    real = torch.compile
    monkeypatch.setattr("torch.compile", lambda f, mode=None: real(f, backend="aot_eager", fullgraph=True))
    ids = torch.randint(400, (3, 9), generator=torch.Generator().manual_seed(2))
    found = []
    for compile_mode in (None, "default"):
        torch.compiler.reset()
        model = Transformer(replace(MODEL, logit_cap=5.0), seed=0)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            total, _ = LossModel(model, compile_mode, chunk_bytes=400 * 4 * 5)(StepBatch(ids[:, :-1], ids[:, 1:]))
        torch.autograd.backward(total)
        found.append({name: weight.grad for name, weight in model.named_parameters()})
    torch.compiler.reset()
    assert furthest(*found) < (0.1 if dtype == torch.bfloat16 else 1e-5)
    assert max(float(gradient.abs().max()) for gradient in found[0].values()) > 1


@pytest.mark.parametrize("form", [{}, {"n_kv_heads": 1, "qk_norm": True, "bias": True}, {"activation": "gelu"}])
def test_products_that_are_joined_give_the_same(form: dict[str, Any]) -> None:
    ids = torch.randint(400, (3, 9), generator=torch.Generator().manual_seed(2))
    found, losses, names = [], [], []
    for joined in (False, True):
        config = replace(RECIPE, joins_products=joined)
        trainer = Trainer(replace(MODEL, **form), config, DataIdentity("", 0, 0, 0))
        calls: list[int] = []
        hooks = [module.register_forward_hook(lambda *_: calls.append(1)) for module in linears(trainer.model)]  # noqa: B023
        losses.append(trainer.gradients(1, StepBatch(ids[:, :-1], ids[:, 1:]), 24).read()[0])
        found.append({name: weight.grad for name, weight in trainer.model.named_parameters()})
        names.append(list(trainer.model.state_dict()))
        gated = form.get("activation") is None
        assert len(calls) == len(hooks) - (2 * (5 if gated else 3) if joined else 0)
    assert furthest(*found) < 1e-6 and names[0] == names[1]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


def linears(model: Transformer) -> list[torch.nn.Module]:
    return [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
