"""Near-duplicates of people's own documents, Parquet or JSON lines."""

from __future__ import annotations

from dataclasses import replace

from textmill.dedup import minhash as minhashes
from textmill.errors import UserError
from textmill.pipeline.earlier import known_copies
from textmill.pipeline.stage import Stage
from textmill.pipeline.stages.duplicates import Candidates, Clusters, Edges, Shingles
from textmill.pipeline.stages.keepers import Keepers
from textmill.pipeline.stages.rows import KeptRows, Rows, freeze
from textmill.pipeline.stages.scores import Decide, Score
from textmill.pipeline.stages.signatures import Signatures, sorted_bands


def dedup(
    files: tuple[str, ...],
    column: str = "text",
    preset: str = "textmill",
    similarity: float = 0.0,
    ngram: int = 0,
    bands: int = 0,
    rows: int = 0,
    seed: int = 1,
    verify: bool = True,
    keep: str = "longest",
    against: tuple[str, ...] = (),
) -> Stage:
    """The files again without near-duplicates, every other column as it was.

    files       Parquet or JSON lines, folders of them, or runs
    column      where the text is
    preset      shingles, normalisation, bands and rows of a published system (docs/dedup.md)
    similarity  Jaccard index from which two documents are copies; 0: the preset's
    ngram       words (or characters) a shingle; 0: the preset's
    bands       more find more pairs, and cost more; 0: the preset's
    rows        more ask for more similar pairs; 0: the preset's
    seed        of the permutations
    verify      compare the shingles of each pair that shares a band; false: believe the bands, as others do
    keep        which copy stays: longest, newest (by a column date), first
    against     folders that textmill dedup wrote before, or finished runs: what they kept is not kept again
    """
    if similarity < 0:
        raise UserError(f"similarity is {similarity}; it must be above 0 and at most 1")
    chosen = minhashes.preset(preset)
    shape = chosen.minhash
    shape = replace(shape, ngram=ngram or shape.ngram, bands=bands or shape.bands, rows=rows or shape.rows, seed=seed)
    documents = Rows(freeze(files, column), column)
    signatures = Signatures(documents, shape)
    sorted_signatures = sorted_bands(signatures)
    candidates = Candidates(sorted_signatures, chain=verify)
    shingles = Shingles(documents, candidates)
    threshold = similarity or chosen.threshold
    edges = Edges(candidates, shingles, threshold) if verify else candidates
    decisions = Decide(Score(documents, ()), ())
    known = known_copies(signatures, sorted_signatures, against, threshold)
    return KeptRows(documents, Keepers(signatures, decisions, Clusters(edges), keep, known=known))
