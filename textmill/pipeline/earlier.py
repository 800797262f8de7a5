"""Finished runs that a new one is compared with, so that it keeps nothing that they have."""

from __future__ import annotations

from collections.abc import Sequence

from textmill import storage
from textmill.dedup.minhash import MinHash
from textmill.errors import InputError, UserError
from textmill.pipeline.finished import FinishedRun
from textmill.pipeline.stage import Stage
from textmill.pipeline.stages.corpus import Corpus
from textmill.pipeline.stages.keepers import Keepers
from textmill.pipeline.stages.known import EarlierRun, Known, KnownCopies, KnownPairs
from textmill.pipeline.stages.rows import KeptRows
from textmill.pipeline.stages.signatures import Signatures, SortedBands
from textmill.pipeline.workspace import DEDUP_RUN, is_run, open_run
from textmill.settings import differences


def known_copies(
    signatures: Signatures, bands: Signatures | SortedBands, addresses: Sequence[str], similarity: float
) -> KnownCopies | None:
    """The stage that finds which documents of ``signatures`` are copies of what earlier runs kept; None without any.

    ``addresses``: ``WORKSPACE``, ``WORKSPACE:NAME``, or a folder of ``textmill dedup``. Errors: `InputError` for a run
    that did not get to its corpus, `UserError` for one that is named twice or has other signatures.
    """
    runs = tuple(_find(address, signatures.minhash) for address in addresses)
    names = [run.name for run in runs]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"against: {twice} is named twice")
    return KnownCopies(signatures, KnownPairs(Known(bands, runs)), similarity) if runs else None


def _find(address: str, minhash: MinHash) -> EarlierRun:
    of_dedup = storage.join(address, DEDUP_RUN)
    workspace, run = open_run(of_dedup if is_run(of_dedup) else address)
    finished = FinishedRun(workspace, run)
    signatures, corpus, keepers = finished.one(Signatures), finished.one(Corpus), finished.one(Keepers)
    if signatures is None or not (corpus or (keepers and finished.one(KeptRows))):
        raise InputError(
            f"{address}: run {run.name} has no corpus; only finished runs that made one can be compared with"
        )
    if signatures.minhash != minhash:
        other = "; ".join(differences(vars(signatures.minhash), vars(minhash)))
        raise UserError(f"against {address}: its signatures differ: {other}")
    root = storage.absolute(workspace.root)  # a worker may have another working directory

    def tables(stage: Stage | None) -> list[str]:
        return [storage.absolute(uri) for uri in finished.tables(stage)] if stage else []

    kept, removed = (corpus, None) if corpus else (signatures, keepers)
    return EarlierRun.of(f"{root}:{run.name}", tables(signatures), tables(kept), tables(removed))
