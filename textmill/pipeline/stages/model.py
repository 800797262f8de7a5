"""The last stage: a model trained on the token shards."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from textmill import storage
from textmill.pipeline.stage import Result, Stage, Task
from textmill.pipeline.stages.tokens import GivenTokenizer, MakeTokenizer, Tokens, TrainTokenizer
from textmill.tokenize import Tokenizer
from textmill.tokenize.shards.token_shards import TokenShards
from textmill.train.config import ModelConfig, TrainConfig, preset, require_torch

SAMPLE_TOKENS = 120
FILES = ("checkpoint.pt", "log.jsonl", "summary.json")
SPIKES = "spikes.jsonl"  # only of a training that had some


@dataclass(frozen=True)
class Train(Stage):
    """Pretrains a model, on the whole machine. Files: ``checkpoint.pt``, ``log.jsonl``, ``summary.json``.

    An interrupted training goes on from its last checkpoint. The same stage trains the same model on one machine;
    another device, number of threads, or torch rounds differently.
    """

    table = "model"
    in_driver = True

    tokens: Tokens
    tokenizer: MakeTokenizer
    model: ModelConfig
    training: TrainConfig
    prompt: str = "The"  # what the sample of generated text begins with

    @classmethod
    def by_preset(cls, tokens: Tokens, tokenizer: GivenTokenizer | TrainTokenizer, model: str, steps: int) -> Train:
        """A model of a preset's shape (`textmill.train.config`). Errors: `UnknownNameError`."""
        recipe = preset(model).sized(vocab_size=tokenizer.vocab_size, steps=steps)
        return cls(tokens, tokenizer, recipe.model, recipe.train)

    def preflight(self, workspace: str) -> None:
        require_torch()

    def shards(self) -> list[str]:
        return ["all"]

    def run_shard(self, task: Task) -> Result:
        from textmill.train.generate import sample_text
        from textmill.train.loop import train

        shards = _on_this_machine(storage.join(task.workspace, self.tokens.folder), task.scratch)
        out = task.unfinished(self)
        result = train(
            self.model,
            self.training,
            TokenShards.open(shards, "train"),
            TokenShards.open(shards, "val"),
            out,
            on_step=lambda log: task.inside(log.step, self.training.steps, f"loss {log.loss:.3f}"),
        )
        tokenizer = Tokenizer.load(task.file(self.tokenizer, "all"))
        sample = sample_text(result.checkpoint, tokenizer, self.prompt, max_tokens=SAMPLE_TOKENS)
        summary = {"last": asdict(result.last), "n_parameters": result.n_parameters, "sample": sample}
        (out / "summary.json").write_text(storage.to_json(summary), encoding="utf-8")
        counts = {"n_steps": result.last.step, "n_tokens": result.last.tokens, "n_parameters": result.n_parameters}
        names = [*FILES, SPIKES] if (out / SPIKES).exists() else FILES
        return Result({name: out / name for name in names}, dict.fromkeys(names, 1), counts)


def _on_this_machine(folder: str, scratch: Path) -> str:
    """``folder``, or a copy of it: token shards are mapped into memory."""
    if storage.is_local(folder):
        return folder
    fs, path = storage.filesystem(folder)
    fs.get(path, str(scratch / "tokens"), recursive=True)
    return str(scratch / "tokens")
