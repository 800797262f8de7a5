"""Near-duplicates removed from one set of documents: textmill, text-dedup, datatrove.

Documents are sequences of words drawn from a vocabulary by Zipf's law; a share of them is in clusters of 2 to 5, made
by replacing some words of one of them. So every pair that is alike is known, with its Jaccard index of word 5-grams.
All systems get 14 bands of 8 rows over word 5-grams and a threshold of .7 (datatrove has none: it believes the bands).

- *time*: CPU seconds of the whole process and all its children, from a JSON lines file to the documents that stay.
- *memory*: the largest resident set of one process.
- *recall*: of the pairs of similarity .7 and more, those of which not both stay. *theory* is what the bands can find.
- *precision*: of the documents removed, those that have a copy of similarity .7 or more.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from harness import RIVALS, BenchmarkError, machine, rival_python, say, write_figures
from rich.console import Console
from rich.table import Table

from textmill.dedup.lsh import probability

THRESHOLD, BANDS, ROWS, NGRAM = 0.7, 14, 8, 5
EXAMPLES = """\
examples:
  python benchmarks/dedup.py                                  100,000 documents; half an hour, most of it datatrove's
  python benchmarks/dedup.py --documents 5000 --rivals text-dedup
"""


class Pair(NamedTuple):
    """Two documents of a cluster, and how similar they are."""

    a: int
    b: int
    similarity: float


class Result(NamedTuple):
    """What a system cost, and the documents that it let stay."""

    cpu_s: float
    wall_s: float
    peak_mb: float
    kept: set[int]


def write_documents(path: Path, n: int, in_clusters: float, seed: int) -> list[Pair]:
    """Writes documents and gives all pairs that are alike."""
    rng = random.Random(seed)
    words = [f"{a}{b}{c}" for a, b, c in itertools.product("bdfgklmnprst", ("a", "e", "i", "o", "u", "ai"), WORD_ENDS)]
    rng.shuffle(words)
    weights = list(itertools.accumulate(1 / (rank + 2.7) for rank in range(len(words))))
    pairs: list[Pair] = []
    texts: list[list[str]] = []
    while len(texts) < n:
        first = rng.choices(words, cum_weights=weights, k=rng.randrange(60, 240))
        cluster = [first]
        if rng.random() < in_clusters / 2.5:
            for _ in range(rng.randrange(1, 5)):
                edited = rng.choice([0.0, 0.01, 0.02, 0.04, 0.06])
                cluster.append([rng.choice(words) if rng.random() < edited else word for word in first])
        sets = [shingles(words_) for words_ in cluster]
        for (i, a), (j, b) in itertools.combinations(enumerate(sets, len(texts)), 2):
            pairs.append(Pair(i, j, len(a & b) / len(a | b)))
        texts += cluster
    order = list(range(len(texts)))
    rng.shuffle(order)
    with path.open("w") as out:
        for number in order:
            out.write(json.dumps({"id": number, "text": " ".join(texts[number])}) + "\n")
    return pairs


WORD_ENDS = [f"{c}{v}{e}" for c in "bdgklmnrstvz" for v in "aeiou" for e in ("", "n", "r", "s")]


def shingles(words: Sequence[str]) -> set[tuple[str, ...]]:
    return {tuple(words[i : i + NGRAM]) for i in range(len(words) - NGRAM + 1)}


def run(commands: Sequence[Sequence[str | Path]], kept: Callable[[], set[int]], folder: Path) -> Result:
    """Runs commands one after the other, in ``folder``."""
    cpu, peak, began = 0.0, 0.0, time.perf_counter()
    for command in commands:
        # A process of its own that waits for it, so that the peak is of this command alone.
        probe = [sys.executable, str(Path(__file__)), "--measure", *map(str, command)]
        done = subprocess.run(probe, capture_output=True, text=True, errors="replace", cwd=folder)
        if done.returncode:
            raise BenchmarkError(f"{' '.join(map(str, command))}\n{done.stderr[-3000:]}")
        figures = json.loads(done.stdout.splitlines()[-1])
        cpu, peak = cpu + figures["cpu_s"], max(peak, figures["peak_mb"])
    return Result(cpu, time.perf_counter() - began, peak, kept())


def measure_here(command: Sequence[str]) -> int:
    """Runs a command; prints CPU seconds and the peak of the largest process."""
    done = subprocess.run(command, stdout=sys.stderr)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps({"cpu_s": used.ru_utime + used.ru_stime, "peak_mb": used.ru_maxrss / 1024}))
    return done.returncode


def textmill(texts: Path, folder: Path) -> Result:
    out = folder / "out"
    command: list[str | Path] = [sys.executable, "-m", "textmill", "dedup", texts, "--out", out, "--workers", "2"]
    settings = [f"similarity={THRESHOLD}", f"bands={BANDS}", f"rows={ROWS}", f"ngram={NGRAM}"]
    for setting in settings:
        command += ["--set", setting]
    return run([command], lambda: {json.loads(line)["id"] for line in (out / texts.name).open()}, folder)


def text_dedup(texts: Path, folder: Path) -> Result:
    python = rival_python("text-dedup", RIVALS / "text-dedup.txt")
    out = folder / "out"
    command: list[str | Path] = [python, "-m", "text_dedup.minhash", "--path", "json", "--data_files", texts]
    command += ["--split", "train", "--cache_dir", folder / "cache", "--output", out, "--column", "text"]
    command += ["--ngram", str(NGRAM), "--num_perm", str(BANDS * ROWS), "--b", str(BANDS), "--r", str(ROWS)]
    command += ["--threshold", str(THRESHOLD), "--hash_func", "xxh3", "--hash_bits", "64", "--num_proc", "2"]
    kept = folder / "kept.txt"
    result = run([command], set, folder)
    subprocess.run([python, RIVALS / "text_dedup_kept.py", out, kept], check=True, capture_output=True)
    return result._replace(kept=set(map(int, kept.read_text().split())))


def datatrove(texts: Path, folder: Path) -> Result:
    python = rival_python("datatrove", RIVALS / "datatrove.txt")
    command = [python, RIVALS / "datatrove_dedup.py", texts, folder]
    return run([command], lambda: set(map(int, (folder / "kept.txt").read_text().split())), folder)


SYSTEMS = {"textmill": textmill, "text-dedup": text_dedup, "datatrove": datatrove}


def judge(result: Result, pairs: Sequence[Pair], n: int) -> dict[str, float]:
    alike = [pair for pair in pairs if pair.similarity >= THRESHOLD]
    have_copy = {document for pair in alike for document in pair[:2]}
    removed = set(range(n)) - result.kept
    missed = sum(pair.a in result.kept and pair.b in result.kept for pair in alike)
    return {
        "cpu_s": round(result.cpu_s, 1),
        "wall_s": round(result.wall_s, 1),
        "peak_mb": round(result.peak_mb),
        "kept": len(result.kept),
        "recall": round(1 - missed / len(alike), 4),
        "precision": round(len(removed & have_copy) / max(1, len(removed)), 4),
    }


def main() -> int:
    if sys.argv[1:2] == ["--measure"]:
        return measure_here(sys.argv[2:])
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLES, formatter_class=formatter)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--in-clusters", type=float, default=0.4, help="share of documents that have a copy, about")
    parser.add_argument("--rivals", nargs="*", default=["text-dedup", "datatrove"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory() as scratch:
        texts = Path(scratch, "texts.jsonl")
        pairs = write_documents(texts, options.documents, options.in_clusters, options.seed)
        n = sum(1 for _ in texts.open())
        found: dict[str, dict[str, float]] = {}
        for name in ("textmill", *options.rivals):
            say(f"{n:,} documents, {texts.stat().st_size / 1e6:.0f} MB: {name}")
            folder = Path(scratch, name)
            folder.mkdir()
            try:
                found[name] = judge(SYSTEMS[name](texts, folder), pairs, n)
            except BenchmarkError as error:
                say(f"{name} is left out: {error}")
            shutil.rmtree(folder, ignore_errors=True)
    alike = [pair.similarity for pair in pairs if pair.similarity >= THRESHOLD]
    theory = sum(probability(s, BANDS, ROWS) for s in alike) / len(alike)
    table = Table("", *next(iter(found.values())), title=f"{n:,} documents, {len(alike):,} pairs alike")
    for name, figures in found.items():
        table.add_row(name, *(f"{value:,}" for value in figures.values()))
    Console().print(table)
    print(f"of single pairs the bands can find {theory:.4f}; in a cluster, one pair may be removed by way of another")
    if options.json:
        write_figures({"machine": machine(), "theory": theory, "documents": n, **found}, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
