"""Where a trained model lies, and the tokenizer that belongs to it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from textmill import storage
from textmill.errors import InputError, UserError
from textmill.pipeline.finished import FinishedRun
from textmill.pipeline.stages.model import Train
from textmill.pipeline.workspace import is_run, open_run
from textmill.tokenize.shards.token_shards import TOKENIZER_FILE

CHECKPOINT_FILE, CONFIG_FILE = "checkpoint.pt", "config.json"


class TrainedModel(NamedTuple):
    """Files of a model on this machine."""

    path: Path  # a checkpoint, or a folder in Hugging Face's layout
    tokenizer: Path | None

    @property
    def is_checkpoint(self) -> bool:
        return not self.path.is_dir()


def find_model(address: str, tokenizer: str | None = None) -> TrainedModel:
    """The model of a run (as in `open_run`), of a folder that ``textmill train`` or an export wrote, or a checkpoint.

    Its tokenizer is the one at ``tokenizer``, else that of the run, else the one beside it, if there is one. Errors:
    `InputError` when there is no model; those of `open_run`.
    """
    if not is_run(address):
        found = _beside(Path(address))
    elif (of_run := model_of_run(address)) is None:
        _, run = open_run(address)
        raise InputError(f"{address}: run {run.name} has no model; `textmill run {run.dag} --to model` trains one")
    else:
        found = of_run
    return found if tokenizer is None else found._replace(tokenizer=Path(tokenizer))


def model_of_run(address: str) -> TrainedModel | None:
    """That of the run that ``address`` names; None if it names none, or one that has not trained a model.

    Errors: those of `open_run`; `InputError` for a run that is not on this machine.
    """
    if not is_run(address):
        return None
    workspace, run = open_run(address)
    finished = FinishedRun(workspace, run)
    model, tokenizer = finished.one(Train), finished.tokenizer
    if model is None or tokenizer is None:
        return None
    if not storage.is_local(workspace.root):
        raise InputError(f"{address}: models are read from local files; copy {finished.folder(model)} to this machine")
    folders = [storage.local_path(finished.folder(stage)) for stage in (model, tokenizer)]
    return TrainedModel(folders[0] / CHECKPOINT_FILE, folders[1] / TOKENIZER_FILE)


def require_tokenizer(model: TrainedModel) -> Path:
    """Errors: `UserError` when the model has none."""
    if model.tokenizer is None:
        raise UserError(f"{model.path}: no tokenizer beside it; name its tokenizer with --tokenizer FILE")
    return model.tokenizer


def _beside(path: Path) -> TrainedModel:
    if path.is_file():
        model, folder = path, path.parent
    elif (path / CHECKPOINT_FILE).is_file():
        model, folder = path / CHECKPOINT_FILE, path
    elif (path / CONFIG_FILE).is_file():
        model, folder = path, path
    else:
        raise InputError(f"{path}: no model; give a run, a folder of `textmill train` or of an export, or a checkpoint")
    tokenizer = folder / TOKENIZER_FILE
    return TrainedModel(model, tokenizer if tokenizer.is_file() else None)
