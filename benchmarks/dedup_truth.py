"""Recall and precision of near-duplicate removal against brute force, and against theory.

    python benchmarks/dedup_truth.py RUN [RUN ...]     finished runs, such as of the demo, or of manual pages
    python benchmarks/dedup_truth.py --pairs 20000     made pairs alone

*Brute force*: the true Jaccard index of all pairs of a run's documents that share a shingle. A pair is found if both
documents are in one cluster. *Theory* is what bands and rows can find of single pairs. Precision: of the edges, those
that reach the threshold by brute force.
"""

from __future__ import annotations

import argparse
import itertools
import random
from collections import Counter

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from textmill.dedup.lsh import probability
from textmill.dedup.minhash import MinHash, pair_similarities
from textmill.pipeline.finished import FinishedRun
from textmill.pipeline.stages.duplicates import Clusters, Edges
from textmill.pipeline.stages.signatures import Signatures
from textmill.pipeline.workspace import open_run

LEVELS = (0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
MOST_COMMON = 2000  # a shingle that more documents share would make too many pairs; none of these runs has one


def made_pairs(minhash: MinHash, n: int, seed: int = 1) -> list[tuple[str, int, float, float]]:
    """For each level: its name, pairs, the share found, and the share that theory expects."""
    rng = random.Random(seed)
    rows = []
    for level in (0.7, 0.8, 0.9):
        texts = []
        for _ in range(n):
            words = [f"w{rng.randrange(50_000)}" for _ in range(rng.randrange(80, 160))]
            edits = 1 - (2 * level / (1 + level)) ** (1 / minhash.ngram)  # share of words that gives this similarity
            texts += [words, [f"w{rng.randrange(50_000)}" if rng.random() < edits else word for word in words]]
        text = pa.array([" ".join(words) for words in texts], pa.large_string())
        hashes, _ = minhash.band_hashes(text)
        found = (hashes[::2] == hashes[1::2]).any(axis=1)
        left = np.arange(0, len(texts), 2)
        true = pair_similarities(*minhash.shingle_sets(text), left, left + 1)
        expected = np.mean([probability(float(s), minhash.bands, minhash.rows) for s in true])
        rows.append((f"about {level}", n, float(found.mean()), float(expected)))
    return rows


def true_pairs(hashes: NDArray[np.uint64], offsets: NDArray[np.int64], least: float) -> dict[tuple[int, int], float]:
    """All pairs of documents of this similarity, by counting shared shingles."""
    owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    order = np.argsort(hashes, kind="stable")
    shared: Counter[tuple[int, int]] = Counter()
    bounds = np.flatnonzero(np.diff(hashes[order], prepend=hashes[order][:1] - 1, append=hashes[order][-1:] + 1))
    for begin, end in itertools.pairwise([*bounds.tolist(), len(order)]):
        if 1 < end - begin <= MOST_COMMON:
            shared.update(itertools.combinations(owner[order[begin:end]].tolist(), 2))
    sizes = np.diff(offsets)
    similar = {pair: n / (sizes[pair[0]] + sizes[pair[1]] - n) for pair, n in shared.items()}
    return {pair: float(s) for pair, s in similar.items() if s >= least}


def of_run(address: str) -> tuple[list[tuple[str, int, float, float]], float]:
    """Rows as of `made_pairs`, and the precision of the edges."""
    run = FinishedRun(*open_run(address))
    signatures, clusters, edges = run.one(Signatures), run.one(Clusters), run.one(Edges)
    assert signatures and clusters and edges
    documents = pa.concat_tables(run.groups(signatures.documents, ["doc_id", "text"]))
    place = {id_: i for i, id_ in enumerate(documents["doc_id"].to_pylist())}
    minhash = signatures.minhash
    truth = true_pairs(*minhash.shingle_sets(documents["text"].combine_chunks()), edges.threshold)
    root: dict[int, int] = {}
    for group in run.groups(clusters, ["doc_id", "cluster"]):
        root |= {place[a]: b for a, b in zip(*(column.to_pylist() for column in group.columns), strict=True)}
    rows = []
    for low, high in itertools.pairwise(LEVELS):
        pairs = [p for p, s in truth.items() if low <= s < high or s == high == 1]
        found = sum(a in root and root[a] == root.get(b) for a, b in pairs)
        expected = [probability(truth[p], minhash.bands, minhash.rows) for p in pairs]
        if pairs:
            rows.append((f"{low} to {high}", len(pairs), found / len(pairs), float(np.mean(expected))))
    n_edges = n_true = 0
    for group in run.groups(edges, ["doc_id_a", "doc_id_b"]):
        for a, b in zip(*(column.to_pylist() for column in group.columns), strict=True):
            n_edges += 1
            n_true += tuple(sorted((place[a], place[b]))) in truth
    return rows, n_true / max(1, n_edges)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", metavar="RUN")
    parser.add_argument("--pairs", type=int, default=0, help="made pairs at each similarity")
    options = parser.parse_args()
    found = {address: of_run(address) for address in options.runs}
    if options.pairs:
        found["made pairs, each by itself"] = made_pairs(MinHash(), options.pairs), 1.0
    for name, (rows, precision) in found.items():
        table = Table("similarity", "pairs", "found", "theory", title=f"{name}: precision of edges {precision:.4f}")
        for level, n, share, expected in rows:
            table.add_row(level, f"{n:,}", f"{share:.2%}", f"{expected:.2%}")
        Console().print(table)


if __name__ == "__main__":
    main()
