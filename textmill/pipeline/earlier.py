"""Finished runs that a new one is compared with, so that it keeps nothing that they have."""

from __future__ import annotations

from collections.abc import Sequence

from textmill import storage
from textmill.errors import InputError, UserError
from textmill.pipeline.finished import FinishedRun
from textmill.pipeline.stages import Corpus, Signatures
from textmill.pipeline.stages.known import EarlierRun
from textmill.pipeline.workspace import open_run


def find_runs(addresses: Sequence[str]) -> tuple[EarlierRun, ...]:
    """The runs that ``WORKSPACE`` or ``WORKSPACE:NAME`` name, in their order.

    Errors: `InputError` for a run that did not get to its corpus, `UserError` for one that is named twice.
    """
    runs = tuple(_find(address) for address in addresses)
    names = [run.name for run in runs]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"against: {twice} is named twice")
    return runs


def _find(address: str) -> EarlierRun:
    workspace, run = open_run(address)
    finished = FinishedRun(workspace, run)
    signatures, corpus = finished.one(Signatures), finished.one(Corpus)
    if signatures is None or corpus is None:
        raise InputError(
            f"{address}: run {run.name} has no corpus; only finished runs that made one can be compared with"
        )
    root = storage.absolute(workspace.root)  # a worker may have another working directory
    tables = ([storage.absolute(uri) for uri in finished.tables(stage)] for stage in (signatures, corpus))
    return EarlierRun.of(f"{root}:{run.name}", *tables)
