"""Training: the sampler against its promises, and runs that stop and go on."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.errors import (
    EnvironmentFault,
    InputError,
    MissingExtraError,
    UnknownNameError,
    UserError,
    WorkspaceError,
)
from textmill.tokenize.shards.permutation import permute
from textmill.train import checkpoint
from textmill.train.config import PRESETS, ModelConfig, TrainConfig, preset, require_torch
from textmill.train.data import Chunks, TrainBatches, eval_numbers
from textmill.train.loop import StepLog, TrainResult, train
from textmill.train.model import Transformer
from textmill.train.optim import adamw, cosine_learning_rate, parameter_groups

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = ModelConfig(vocab_size=17, n_layers=2, n_heads=2, d_model=16, d_ff=24, context_length=8)
SHORT = TrainConfig(
    steps=20,
    batch_size=4,
    learning_rate=1e-2,
    min_learning_rate=1e-3,
    warmup_steps=3,
    eval_every=7,
    checkpoint_every=10,
    device="cpu",
)
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Shards:
    """Token shards in memory."""

    tokens: list[np.ndarray]
    n_docs: int = 1
    vocab_size: int = 17
    tokenizer_sha256: str = "5" * 64

    @property
    def n_tokens(self) -> int:
        return sum(len(shard) for shard in self.tokens)

    @property
    def n_bytes(self) -> int:
        return 2 * self.n_tokens


def shards(n_tokens: int, n_shards: int = 2, seed: int = 0) -> Shards:
    tokens = np.random.default_rng(seed).integers(0, 17, n_tokens).astype(np.uint16)
    return Shards(np.array_split(tokens, n_shards))


# --- the optimizer


def test_cosine_learning_rate() -> None:
    def rate(step: int) -> float:
        return cosine_learning_rate(step, highest=1.0, lowest=0.1, warmup_steps=4, total_steps=12)

    values = [rate(step) for step in (0, 1, 4, 6, 8, 12, 99)]
    assert values == pytest.approx([0.0, 0.25, 1.0, 0.1 + 0.45 * (1 + math.sqrt(0.5)), 0.55, 0.1, 0.1])
    assert cosine_learning_rate(0, highest=1.0, lowest=0.1, warmup_steps=0, total_steps=5) == 1.0


def test_only_matrices_decay() -> None:
    model = Transformer(SMALL, seed=0)
    model.layers[0].requires_grad_(False)
    decayed, kept = parameter_groups(model, 0.1)
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.1, 0.0)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert {names[id(parameter)] for parameter in kept["params"]} == {
        "layers.1.ln1.weight",
        "layers.1.ln2.weight",
        "ln_final.weight",
    }
    assert len(decayed["params"]) == 1 + 7  # the table, and the matrices of the layer that is not frozen
    assert [group["weight_decay"] for group in adamw(model, SHORT).param_groups] == [0.1, 0.0]


# --- the data


@settings(deadline=None)  # the first call compiles
@given(n=st.integers(1, 700), seed=st.integers(0, 2**40), epoch=st.integers(0, 5))
def test_shuffle_is_a_permutation(n: int, seed: int, epoch: int) -> None:
    places = permute(np.arange(n), n, [seed, epoch])
    assert sorted(places.tolist()) == list(range(n))
    assert permute(np.array([n - 1]), n, [seed, epoch])[0] == places[-1]


def test_shuffle_differs_by_seed_and_epoch_and_spreads() -> None:
    n = 1000
    a, b, c = (permute(np.arange(n), n, [s, e]) for s, e in ((0, 0), (1, 0), (0, 1)))
    for other in (b, c, np.arange(n)):
        assert (a == other).sum() < 10  # one is expected of a random permutation
    assert abs(np.corrcoef(a, np.arange(n))[0, 1]) < 0.1


@given(lengths=st.lists(st.integers(0, 9), max_size=6), context_length=st.integers(1, 7))
def test_chunks_equal_slices_of_the_whole_stream(lengths: list[int], context_length: int) -> None:
    stream = np.arange(sum(lengths), dtype=np.uint16)
    source = Shards(np.split(stream, np.cumsum(lengths)[:-1]) if lengths else [], vocab_size=100)
    chunks = Chunks(source, context_length)
    assert len(chunks) == sum(1 for i in range(0, len(stream), context_length) if i + context_length < len(stream))
    for number in range(len(chunks)):
        inputs, targets = chunks.read(np.array([number]))
        start = number * context_length
        assert inputs.dtype == targets.dtype == torch.int64
        assert inputs[0].tolist() == stream[start : start + context_length].tolist()
        assert targets[0].tolist() == stream[start + 1 : start + context_length + 1].tolist()


def test_each_epoch_holds_every_chunk_once() -> None:
    batches = TrainBatches(shards(8 * 10 + 1), context_length=8, batch_size=4, seed=3)
    numbers = np.concatenate([batches.chunk_numbers(step) for step in range(5)])  # 20 samples: two epochs of 10
    assert sorted(numbers[:10]) == sorted(numbers[10:]) == list(range(10))
    assert numbers[:10].tolist() != numbers[10:].tolist()


def test_evaluation_reads_the_whole_split_once_when_it_may() -> None:
    split = Shards([np.arange(31, dtype=np.uint16)], vocab_size=31)
    chunks = Chunks(split, context_length=5)
    batches = [chunks.read(numbers) for numbers in eval_numbers(len(chunks), batch_size=4, n_batches=9)]
    assert [len(inputs) for inputs, _ in batches] == [4, 2]
    assert torch.cat([targets.flatten() for _, targets in batches]).tolist() == list(range(1, 31))
    (few,) = [chunks.read(numbers) for numbers in eval_numbers(len(chunks), batch_size=2, n_batches=1)]
    assert few[0][:, 0].tolist() == [0, 15]


def test_too_few_tokens_says_how_many_there_are(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has 32 tokens, but one batch takes 33 .*lower batch_size or context_length"):
        train(SMALL, SHORT, shards(32), None, tmp_path)
    with pytest.raises(UserError, match="has 0 tokens"):
        train(SMALL, SHORT, Shards([]), None, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_damaged_shard_is_named() -> None:
    tokens = np.zeros(40, np.uint16)
    tokens[5] = 999
    with pytest.raises(InputError, match="holds the id 999, but its vocabulary has 17"):
        Chunks(Shards([tokens]), 8).read(np.array([0]))


# --- runs


def stop_after(step: int) -> Callable[[StepLog], None]:
    def on_step(log: StepLog) -> None:
        if log.step == step:
            raise KeyboardInterrupt

    return on_step


def test_an_interrupted_run_drops_out_the_same(tmp_path: Path) -> None:
    model = replace(SMALL, dropout=0.3)
    results = []
    for name in ("whole", "cut"):
        if name == "cut":
            with pytest.raises(KeyboardInterrupt):
                train(model, SHORT, shards(107), None, tmp_path / name, on_step=stop_after(13))
        torch.manual_seed(len(name))
        results.append(train(model, SHORT, shards(107), None, tmp_path / name))
    a, b = (checkpoint.load(result.checkpoint, CPU).model for result in results)
    assert all(torch.equal(a[name], b[name]) for name in a)


def log_lines(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def run(out: Path, on_step: Callable[[StepLog], None] | None = None) -> TrainResult:
    """20 steps of 4 chunks over 13 chunks: six epochs, and no epoch ends with a batch."""
    return train(SMALL, SHORT, shards(8 * 13 + 3), shards(100, seed=1), out, on_step=on_step)


@pytest.mark.parametrize("stop", [10, 13])
def test_an_interrupted_run_ends_with_the_same_bits(tmp_path: Path, stop: int) -> None:
    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", stop_after(stop))
    assert checkpoint.load(tmp_path / "cut" / "checkpoint.pt", CPU).step == 10
    with (tmp_path / "cut" / "log.jsonl").open("a") as log:
        log.write('{"step": 1')  # a line that the stop cut short
    resumed = run(tmp_path / "cut")
    a, b = (checkpoint.load(result.checkpoint, CPU) for result in (whole, resumed))
    assert a.step == b.step == 20
    assert all(torch.equal(a.model[name], b.model[name]) for name in a.model)
    for state_a, state_b in zip(a.optimizer["state"].values(), b.optimizer["state"].values(), strict=True):
        assert all(torch.equal(state_a[name], state_b[name]) for name in state_a)
    clock = {"seconds": 0, "tokens_per_s": 0}
    lines_a, lines_b = ([{**line, **clock} for line in log_lines(tmp_path / name)] for name in ("whole", "cut"))
    assert lines_a == lines_b


def test_the_log_has_a_line_a_step(tmp_path: Path) -> None:
    result = run(tmp_path)
    lines = log_lines(tmp_path)
    assert [line["step"] for line in lines] == list(range(1, 21))
    assert [line["step"] for line in lines if line["val_loss"] is not None] == [7, 14, 20]
    assert lines[-1]["bits_per_byte"] == pytest.approx(result.last.val_loss / math.log(2) / 2)  # two bytes a token
    assert lines[-1]["tokens"] == 20 * 4 * 8
    assert lines[-1]["lr"] == pytest.approx(1e-3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.pt", "log.jsonl"]


def test_a_finished_run_is_not_run_again(tmp_path: Path) -> None:
    first = run(tmp_path)
    assert run(tmp_path, stop_after(1)) == first


def test_another_configuration_is_refused(tmp_path: Path) -> None:
    run(tmp_path)
    data = shards(8 * 13 + 3)
    with pytest.raises(WorkspaceError, match=r"d_ff was 24, now 32; learning_rate was 0.01, now 0.02;"):
        train(replace(SMALL, d_ff=32), replace(SHORT, learning_rate=0.02), data, None, tmp_path)
    with pytest.raises(WorkspaceError, match=r"n_tokens was 107, now 108"):
        train(SMALL, SHORT, shards(108), None, tmp_path)
    train(SMALL, replace(SHORT, checkpoint_every=3), data, None, tmp_path)


def test_without_validation_the_log_says_so(tmp_path: Path) -> None:
    for number, validation in enumerate((None, Shards([]), shards(8))):
        out = tmp_path / str(number)
        result = train(SMALL, replace(SHORT, steps=3), shards(50), validation, out)
        assert result.last.val_loss is None and result.last.bits_per_byte is None
        note, *steps = log_lines(out)
        assert "nothing to evaluate" in str(note["note"]) and len(steps) == 3


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    wild = replace(SHORT, learning_rate=1e38, min_learning_rate=1e38, warmup_steps=0, checkpoint_every=1)
    with pytest.raises(UserError, match=r"(loss|gradient norm) is (nan|inf) at step 2; .* lower learning_rate"):
        train(SMALL, wild, shards(50), None, tmp_path)
    assert checkpoint.load(tmp_path / "checkpoint.pt", CPU).step == 1
    assert [line["step"] for line in log_lines(tmp_path)] == [0, 1]


def test_a_gradient_that_is_not_finite_is_not_applied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.nn.utils.clip_grad_norm_", lambda *_: torch.tensor(math.inf))
    with pytest.raises(UserError, match="the gradient norm is inf at step 1"):
        train(SMALL, SHORT, shards(50), None, tmp_path)


def test_a_run_stopped_before_its_first_checkpoint_starts_again(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train(SMALL, SHORT, shards(50), None, tmp_path, on_step=stop_after(2))
        assert [line["step"] for line in log_lines(tmp_path)] == [0, 1, 2]


def test_bfloat16_keeps_weights_in_float32(tmp_path: Path) -> None:
    result = train(SMALL, replace(SHORT, steps=3, dtype="bfloat16"), shards(50), shards(50), tmp_path)
    kept = checkpoint.load(result.checkpoint, CPU)
    assert {weight.dtype for weight in kept.model.values()} == {torch.float32}


def test_data_that_does_not_fit_the_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="vocabulary of 10 ids, but the token shards use 17"):
        train(replace(SMALL, vocab_size=10), SHORT, shards(50), None, tmp_path)
    with pytest.raises(UserError, match="two tokenizers"):
        train(SMALL, SHORT, shards(50), replace(shards(50), tokenizer_sha256="6" * 64), tmp_path)


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match="file: cannot be used"):
        train(SMALL, SHORT, shards(50), None, tmp_path / "file")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_missing_gpu_is_the_fault_of_the_machine(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="finds no GPU"):
        train(SMALL, replace(SHORT, device="cuda"), shards(50), None, tmp_path)


# --- checkpoints


@pytest.fixture(scope="module")
def alphabet(tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """A model that has learned a…p and the end of text, over and over."""
    pattern = Shards([np.tile(np.arange(17, dtype=np.uint16), 60)])
    recipe = replace(SHORT, steps=150, batch_size=16, checkpoint_every=150)
    return train(SMALL, recipe, pattern, None, tmp_path_factory.mktemp("alphabet"))


def test_a_pattern_is_learned(alphabet: TrainResult) -> None:
    assert alphabet.last.loss < 0.05


def test_another_tokenizer_is_refused(alphabet: TrainResult) -> None:
    with pytest.raises(UserError, match="trained with the tokenizer 555555555555, not with 666666666666"):
        checkpoint.load_model(alphabet.checkpoint, tokenizer_sha256="6" * 64, device=CPU)


def test_files_that_are_no_checkpoint(tmp_path: Path, alphabet: TrainResult) -> None:
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(InputError, match="no such checkpoint"):
        checkpoint.load(path, CPU)
    whole = alphabet.checkpoint.read_bytes()
    for content in (b"", b"\0" * 100, b"not a checkpoint", whole[: len(whole) // 2], whole[:-10]):
        path.write_bytes(content)
        with pytest.raises(InputError, match="not a readable checkpoint"):
            checkpoint.load(path, CPU)
    for parts, message in (([1], "not a checkpoint of this version"), ({"format": checkpoint.FORMAT}, "missing parts")):
        torch.save(parts, path)
        with pytest.raises(InputError, match=message):
            checkpoint.load(path, CPU)
    torch.save({"format": checkpoint.FORMAT, "step": Path("code that must not run")}, path)
    with pytest.raises(InputError, match="not a readable checkpoint"):
        checkpoint.load(path, CPU)


def test_a_checkpoint_from_before_there_were_choices_and_digests_is_read(tmp_path: Path, alphabet: TrainResult) -> None:
    path, kept = tmp_path / "checkpoint.pt", checkpoint.load(alphabet.checkpoint, CPU)
    parts = torch.load(alphabet.checkpoint, weights_only=True)
    known = "vocab_size n_layers n_heads d_model d_ff context_length rope_theta norm_eps tie_embeddings".split()
    parts["model_config"] = {name: parts["model_config"][name] for name in known}
    del parts["sha256"]
    torch.save(parts, path)
    assert checkpoint.load(path, CPU).model_config == kept.model_config == SMALL


def test_a_failed_save_keeps_the_old_checkpoint(
    tmp_path: Path, alphabet: TrainResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "checkpoint.pt"
    kept = checkpoint.load(alphabet.checkpoint, CPU)
    checkpoint.save(kept, path)

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("torch.save", full_disk)
    with pytest.raises(EnvironmentFault, match="No space left"):
        checkpoint.save(replace(kept, step=1), path)
    assert checkpoint.load(path, CPU).step == 150
    assert list(tmp_path.iterdir()) == [path]


# --- configurations


def test_tiny_is_tiny() -> None:
    assert 1e6 < Transformer(PRESETS["tiny"].model, seed=0).n_parameters < 2e6


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'tiny'"):
        preset("tinny")
    with pytest.raises(UnknownNameError, match="unknown device 'gpu'"):
        replace(SHORT, device="gpu")
    with pytest.raises(UnknownNameError, match="unknown dtype 'float16'"):
        replace(SHORT, dtype="float16")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("n_layers", 0, "n_layers is 0"),
        ("n_heads", 3, "make d_model a multiple of 6"),
        ("n_heads", 16, "heads of an even width"),
        ("n_kv_heads", 3, "make n_kv_heads a divisor"),
        ("n_kv_heads", 0, "make n_kv_heads a divisor"),
        ("window", 0, "window is 0"),
        ("dropout", 1.0, "dropout is 1.0"),
        ("logit_cap", -1.0, "logit_cap is -1.0"),
        ("norm", "rms", "unknown norm 'rms'; did you mean 'rmsnorm'"),
        ("norm_position", "mid", "unknown norm_position"),
        ("position", "alibi", "unknown position"),
        ("activation", "relu3", "unknown activation"),
        ("rope_theta", math.nan, "rope_theta is nan"),
        ("norm_eps", 0.0, "norm_eps is 0.0"),
    ],
)
def test_a_model_that_cannot_be_built(field: str, value: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        replace(SMALL, **{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", 0),
        ("warmup_steps", 21),
        ("learning_rate", math.nan),
        ("learning_rate", math.inf),
        ("min_learning_rate", 1.0),
        ("weight_decay", -0.1),
        ("beta2", 1.0),
        ("grad_clip", 0.0),
        ("seed", -1),
        ("n_threads", 0),
    ],
)
def test_a_recipe_out_of_range(field: str, value: float) -> None:
    with pytest.raises(UserError, match=field):
        replace(SHORT, **{field: value})


def test_presets_are_listed_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import sys, textmill.train.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    require_torch()
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"textmill\[train\]"):
        require_torch()
