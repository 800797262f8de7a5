"""``textmill train`` from the command line: what can be set, and what it says."""

from __future__ import annotations

import errno
import json
import sys
import types
from collections.abc import Callable
from dataclasses import fields
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from test_export import write_shards  # noqa: E402

from textmill import cli  # noqa: E402
from textmill.cli import plan  # noqa: E402
from textmill.errors import UnknownNameError, UserError  # noqa: E402
from textmill.settings import parameters, parse_values  # noqa: E402
from textmill.tokenize import Tokenizer  # noqa: E402
from textmill.train import checkpoint  # noqa: E402
from textmill.train.checkpoint import content_sha256  # noqa: E402
from textmill.train.config import PRESETS, ModelConfig, TrainConfig, recipe_fields  # noqa: E402
from textmill.train.curves import scalars  # noqa: E402
from textmill.train.loop import StepLog  # noqa: E402
from textmill.train.trainer import Trainer  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
SMALL = ("n_layers=2", "n_heads=2", "d_model=16", "d_ff=24", "context_length=16", "batch_size=4", "device=cpu")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train") / "shards"
    write_shards(folder)
    return folder


def training(shards: Path, out: Path, *settings: str) -> list[str]:
    return ["train", str(shards), "--out", str(out), *(f"--set={setting}" for setting in (*SMALL, *settings))]


# --- settings


def test_values_are_of_the_type_of_what_they_set() -> None:
    known = recipe_fields()
    texts = ["n_layers=6", "learning_rate=1e-3", "optimizer=muon", "tie_embeddings=no", "n_kv_heads=2", "window=none"]
    assert parse_values(known, texts) == {
        "n_layers": 6,
        "learning_rate": 1e-3,
        "optimizer": "muon",
        "tie_embeddings": False,
        "n_kv_heads": 2,
        "window": None,
    }
    assert parse_values(known, ["compile=true", "compile=none"]) == {"compile": None}
    for text, message in (
        ("n_layers=1e3", "'1e3' is not a value of type int"),
        ("n_layers=none", "'none' is not a value of type int"),
        ("window=wide", r"'wide' is not a value of type int \(or none\)"),
        ("tie_embeddings=maybe", "not a value of type bool"),
        ("n_layers", "write it as NAME=VALUE"),
    ):
        with pytest.raises(UserError, match=message):
            parse_values(known, [text])
    with pytest.raises(UnknownNameError, match="unknown parameter 'n_layer'; did you mean 'n_layers'"):
        parse_values(known, ["n_layer=2"])


def test_several_values_add_up() -> None:
    def dag(rates: tuple[float, ...] = ()) -> None: ...

    assert parse_values(parameters(dag), ["rates=1,2", "rates=3"]) == {"rates": (1.0, 2.0, 3.0)}


def test_no_name_is_of_the_shape_and_of_the_recipe() -> None:
    assert len(recipe_fields()) == len(fields(ModelConfig)) + len(fields(TrainConfig))


def test_a_learning_rate_keeps_its_share_at_the_end() -> None:
    tiny = PRESETS["tiny"]
    changed = tiny.changed({"learning_rate": 1e-4}).train
    assert changed.min_learning_rate == pytest.approx(1e-5)
    both = tiny.changed({"learning_rate": 1e-4, "min_learning_rate": 0.0, "n_layers": 3})
    assert (both.train.min_learning_rate, both.model.n_layers) == (0.0, 3)


def test_all_fields_are_listed_with_their_values(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "--list", "--model", "tiny", "--set", "n_layers=7", "--steps", "9"]) == 0
    shown = capsys.readouterr().out
    for name in recipe_fields():
        assert f"│ {name} " in shown
    for part in ("│ n_layers       │ 7 ", "sequences of", "adamw, muon", "│ 9 "):
        assert part in shown


def test_a_plan_follows_what_is_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "--plan", "--set", "n_layers=9", "--set", "steps=77", "--set", "batch_size=3"]) == 0
    shown = capsys.readouterr().out
    assert "│ layers               │ 9 " in shown and "77 steps of 3 × 128" in shown


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        ((), "does not fit: lower micro_batch_size, or recompute=blocks weights"),
        (("recompute=blocks", "batch_size=9999"), "does not fit: lower micro_batch_size weights"),
        (("d_model=8192",), "does not fit: parallel=fsdp on more GPUs weights"),
        (("d_model=65536", "parallel=fsdp"), "does not fit: a smaller model weights"),
    ],
)
def test_a_plan_says_what_to_do_for_memory(
    capsys: pytest.CaptureFixture[str], settings: tuple[str, ...], remedy: str
) -> None:
    asked = [f"--set={setting}" for setting in settings]
    assert cli.main(["train", "--plan", "--model", "llama-1b", "--gpus", "4", "--gpu", "A100", *asked]) == 0
    assert f"(estimate) of 80.0 GB: {remedy}" in " ".join(capsys.readouterr().out.replace("│", "").split())


def test_numbers_have_three_digits_or_all_before_the_point() -> None:
    numbers = {7: "7", 123_567_000: "124 M", 999_700: "1 M", 2.1e25: "21 Y", 1.5e27: "1,500 Y", 999.7: "1 k"}
    assert {n: plan.short(n) for n in numbers} == numbers
    assert [plan._duration(s) for s in (30, 5400, 86_400 * 12_345)] == ["30 s", "1.5 hours", "12,345 days"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "optimiser=muon"], "unknown parameter 'optimiser'; did you mean 'optimizer'?"),
        (["--set", "optimizer=moun"], "unknown optimizer 'moun'; did you mean 'muon'?"),
        (["--set", "n_heads=3"], "make d_model a multiple of 6"),
        (["--set", "steps=3", "--steps", "4"], "--steps 4 and --set steps=3: give one of them"),
        (["--set", "learning_rate=nan"], "learning_rate nan"),
        (["--set", "weight_decay=inf"], "weight_decay is inf; it must be at least 0, and finite"),
        (["--set", "logit_cap=inf"], "logit_cap is inf; it must be above 0, and finite"),
        (["--set", f"seed={1 << 64}"], "must be below 2 to the 64"),
        (["--set", "n_threads=5000"], "use at most 4096"),
        (["--steps", "9", "--set", "batch_warmup_steps=10"], "lower batch_warmup_steps"),
    ],
)
def test_a_setting_that_cannot_be(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    for action in ("--plan", "--list"):
        assert cli.main(["train", action, *arguments]) == 2
        shown = capsys.readouterr()
        assert message in shown.err and len(shown.err.splitlines()) == 1 and not shown.out


# --- runs


def test_a_run_is_trained_as_set_and_says_when_it_was_finished(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = training(shards, tmp_path / "run", "steps=3", "optimizer=muon", "qk_norm=true")
    assert cli.main(command) == 0
    assert "step 3: loss" in (shown := capsys.readouterr().out) and "finished before" not in shown
    kept = checkpoint.load(tmp_path / "run" / "checkpoint.pt", CPU)
    assert kept.train_config.optimizer == "muon" and kept.train_config.steps == 3
    assert kept.model_config.d_model == 16 and kept.model_config.qk_norm and kept.model_config.vocab_size == 258
    assert cli.main(command) == 0
    assert "this run was finished before; nothing was done" in capsys.readouterr().out
    assert cli.main([*command, "--set", "d_ff=32"]) == 2
    assert "d_ff was 24, now 32" in capsys.readouterr().err


def test_a_log_that_cannot_grow_is_one_line(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def limited(*_: object) -> None:
        raise OSError(errno.EFBIG, "File too large")

    monkeypatch.setattr("textmill.train.runlog.LineFile.write", limited)
    assert cli.main(training(shards, tmp_path / "run", "steps=3")) == 2
    assert capsys.readouterr().err.endswith("textmill: output: File too large\n")


def test_only_the_first_process_prints(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    assert cli.main(training(shards, tmp_path / "run", "steps=1")) == 0
    shown = capsys.readouterr()
    assert not shown.out and not shown.err
    assert not (tmp_path / "run" / "tokenizer.json").exists()


# --- curves elsewhere


def test_a_line_as_numbers() -> None:
    log = StepLog(
        step=3, loss=2.5, val_loss=None, bits_per_byte=1.25, lr=1e-3, tokens=96, seconds=1.5, loss_by_source={"a": 2.0}
    )
    assert scalars(log) == {
        "loss": 2.5,
        "bits_per_byte": 1.25,
        "lr": 1e-3,
        "tokens": 96.0,
        "seconds": 1.5,
        "skipped": 0.0,
        "loss_by_source/a": 2.0,
    }


def test_curves_in_tensorboard(shards: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    command = training(shards, tmp_path / "run", "steps=4", "checkpoint_every=2")
    assert cli.main([*command, "--log", "tensorboard"]) == 0
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("loss")] == [1, 2, 3, 4]
    assert [event.step for event in events.Scalars("val_loss")] == [4]


class Wandb(types.ModuleType):
    """What is asked of wandb, without a server that answers."""

    Error = ConnectionError

    def __init__(self, api_key: str | None) -> None:
        super().__init__("wandb")
        self.__spec__ = ModuleSpec("wandb", None)
        self.api, self.calls = types.SimpleNamespace(api_key=api_key), []
        self.run = types.SimpleNamespace(log=self.log, finish=lambda: self.calls.append("finish"))

    def Settings(self, **values: object) -> object:  # noqa: N802
        return values

    def init(self, *, mode: str, id: str, config: dict[str, object], **_: object) -> object:
        self.calls.append(mode)
        if mode == "online":
            raise self.Error
        assert len(id) == 16 and config["n_layers"] == 2 and config["steps"] == 2
        return self.run

    def log(self, values: dict[str, float], step: int) -> None:
        self.calls.append((step, "loss" in values))


@pytest.mark.parametrize("api_key", [None, "key"])
def test_without_an_answer_wandb_stays_on_this_machine(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, api_key: str | None
) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setitem(sys.modules, "wandb", wandb := Wandb(api_key))
    assert cli.main([*training(shards, tmp_path / "run", "steps=2"), "--log", "wandb"]) == 0
    assert wandb.calls == [*(["online"] if api_key else []), "offline", (1, True), (2, True), "finish"]


def test_curves_that_cannot_be_drawn(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("textmill.train.config.require_torch", lambda: None)
    for name, message in (
        ("wandb", r"install it with: pip install 'textmill[wandb]'"),
        ("wand", "did you mean 'wandb'"),
    ):
        assert cli.main([*training(shards, tmp_path / "run", "steps=2"), "--log", name]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


# --- from weights


def test_a_training_begins_with_given_weights_and_goes_on_the_same(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, hf, plain = tmp_path / "base", tmp_path / "hf", [*SMALL[5:], "checkpoint_every=2"]
    assert cli.main(training(shards, base, "steps=2", "n_kv_heads=1")) == 0
    assert cli.main(["export", str(base), "--to", "hf", "--out", str(hf)]) == 0
    settings = [f"--set={setting}" for setting in plain]
    ends = {}
    for name, source, n_steps in (("a", base, 4), ("b", hf, 4), ("cut", base, 2)):
        command = ["train", str(shards), "--out", str(tmp_path / name), *settings, "--steps", "4"]
        with pytest.MonkeyPatch.context() as patch:
            if n_steps == 2:
                patch.setattr("textmill.train.trainer.Trainer.apply", stopped_at(3))
                assert cli.main([*command, "--init", str(source)]) == 130
                patch.undo()
            assert cli.main([*command, "--init", str(source)]) == 0
        ends[name] = checkpoint.load(tmp_path / name / "checkpoint.pt", CPU)
    assert ends["a"].model_config.n_kv_heads == 1 and ends["a"].model_config.d_model == 16
    assert len({content_sha256(end.model) for end in ends.values()}) == 1
    started = checkpoint.load(base / "checkpoint.pt", CPU).model
    assert {end.init_sha256 for end in ends.values()} == {content_sha256(started)}
    first = json.loads((tmp_path / "a" / "log.jsonl").read_text().splitlines()[0])
    drawn = json.loads((base / "log.jsonl").read_text().splitlines()[0])
    assert first["loss"] < drawn["loss"]
    capsys.readouterr()
    shape = [f"--set={setting}" for setting in (*SMALL[:5], "n_kv_heads=1")]
    again = ["train", str(shards), "--out", str(tmp_path / "a"), *settings, *shape, "--steps=4"]
    for others in ([], ["--init", str(tmp_path / "a")]):
        assert cli.main([*again, *others]) == 2
        assert "the initial weights were" in capsys.readouterr().err


def stopped_at(stop: int) -> Callable[[Trainer, int], None]:
    """As by Ctrl-C, before the update of that step."""
    apply = Trainer.apply

    def stopping(trainer: Trainer, step: int) -> None:
        if step == stop:
            raise KeyboardInterrupt
        apply(trainer, step)

    return stopping


def test_weights_that_do_not_fit(shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, hf = tmp_path / "base", tmp_path / "hf"
    assert cli.main(training(shards, base, "steps=1")) == 0
    assert cli.main(["export", str(base), "--to", "hf", "--out", str(hf)]) == 0
    command = ["train", str(shards), "--out", str(tmp_path / "run"), "--steps", "1", "--set", "batch_size=4"]

    def refused(*arguments: str) -> str:
        capsys.readouterr()
        assert cli.main([*command, *arguments]) == 2
        return capsys.readouterr().err

    assert "its layers.0.ffn.w1.weight is (24, 16), but the model's is (32, 16)" in refused(
        "--init", str(base), "--set", "d_ff=32"
    )
    assert "no model; give a run" in refused("--init", str(tmp_path / "none"))
    assert "--init is for a training" in refused("--init", str(base), "--plan")
    Tokenizer({i: bytes([i]) for i in range(256)}, [], ["<|endoftext|>"]).save(hf / "tokenizer.json")
    assert "its tokenizer is" in refused("--init", str(hf))
    (hf / "tokenizer.json").unlink()
    assert "no tokenizer beside it" in refused("--init", str(hf))
    parts = torch.load(base / "checkpoint.pt", weights_only=True)
    del parts["sha256"]
    parts["data"]["tokenizer_sha256"] = "6" * 64
    torch.save(parts, base / "checkpoint.pt")
    assert "trained with the tokenizer 666666666666" in refused("--init", str(base))
    assert not (tmp_path / "run").exists()
