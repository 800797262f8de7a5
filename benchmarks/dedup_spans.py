"""Repeated stretches, and items of benchmarks in documents: what is found, how fast, and in how much memory.

- *substrings* makes a corpus of pages whose words are shuffled, so that nothing repeats by chance, and copies stretches
  of 20 to 200 words from earlier pages into one page of ten. What must be found is therefore known: every copy of 50
  words and more, and nothing else. Time is CPU time; memory is the peak of a process, above that of one which has
  compiled everything and searched a small corpus; disk is 16 bytes a sample and a candidate.
- *decontaminate* plants items into real pages: whole; the question alone; half of the question; with every eighth word
  another; and paraphrased by hand. The first three should be found and the others not, for no 13 words of them follow
  each other. A pair of a document and an item counts as right if the item was planted there, or if it holds half of the
  planted item's text itself: some items of gsm8k are copies of others with other numbers.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from harness import Figures, machine, write_figures
from rich.console import Console
from rich.table import Table

from textmill.dedup.decontaminate import Item, ItemIndex, Ngrams
from textmill.dedup.substring import Batch, SubstringSearch, TextBatch
from textmill.dedup.word_spans import cut_words

EXAMPLES = """\
examples:
  python benchmarks/dedup_spans.py substrings --pages pages.truth.jsonl.gz
  python benchmarks/dedup_spans.py decontaminate --pages pages.truth.jsonl.gz --items gsm8k_train.txt.gz
"""
N_WORDS = 50
BATCH_DOCUMENTS = 50
THRESHOLDS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.8)
KINDS = ("whole", "question", "half", "eighth", "paraphrase")
FOUND = ("whole", "question", "half")  # that should be
# Of the first items of gsm8k.
PARAPHRASES = (
    "In April Natalia found buyers for her clips in 48 friends; in May only half as many. What is her total?",
    "Babysitting brings Weng $12 per hour. For just 50 minutes of it yesterday, what was her pay?",
    "A wallet costs $100 and Betty is saving for it; she has half. Her parents chip in $15, and her grandparents "
    "double that. What does she still lack?",
    "Of a book of 120 pages Julie read 12 yesterday and twice that number today. Tomorrow half of what is left is her "
    "plan: how many pages is that?",
)


def read_pages(path: Path) -> list[str]:
    with gzip.open(path, "rt") as lines:
        return [text for line in lines if (text := json.loads(line)["text"])]


# Substrings


def corpus(pages: Sequence[str], n_bytes: int) -> tuple[list[str], list[tuple[int, int]]]:
    """Shuffled pages with copied stretches: the texts, and for each copy its document and its number of words."""
    draw = random.Random(1)
    pages = [
        page for page in pages if page.isascii() and len(page.split()) > 60
    ]  # shuffling leaves no long "word" whole
    texts: list[str] = []
    copies: list[tuple[int, int]] = []
    total = 0
    while total < n_bytes:
        words = draw.choice(pages).split()
        draw.shuffle(words)
        if len(texts) % 10 == 9:
            other = texts[draw.randrange(len(texts))].split()
            size = draw.randint(20, 200)
            begin = draw.randrange(max(len(other) - size, 0) + 1)
            stretch = other[begin : begin + size]
            at = draw.randrange(len(words) + 1)
            words[at:at] = stretch
            copies.append((len(texts), n_words_of(" ".join(stretch))))
        texts.append(" ".join(words))
        total += len(texts[-1].encode())
    return texts, copies


def n_words_of(text: str) -> int:
    return len(cut_words(pa.array([text], pa.large_string())).hashes)


def search(texts: pa.LargeStringArray, memory_bytes: int, folder: Path) -> tuple[SubstringSearch, set[int]]:
    """The search when it is done, and the documents in which something is copied."""

    def batches() -> Iterator[Batch]:
        for first in range(0, len(texts), BATCH_DOCUMENTS):
            some = texts.slice(first, BATCH_DOCUMENTS)
            yield TextBatch(np.arange(first, first + len(some), dtype=np.uint64), some)

    found = SubstringSearch([batches], folder, N_WORDS, memory_bytes=memory_bytes)
    copied: set[int] = set()
    for _, table in found.spans():
        copied.update(table["doc_id"].to_pylist())
    return found, copied


def measure_substrings(path: Path, megabytes: int, memory_mb: int) -> Figures:
    """One search, in this process."""
    pages = read_pages(path)
    with tempfile.TemporaryDirectory() as folder:
        search(pa.array(corpus(pages, 2_000_000)[0], pa.large_string()), 1 << 20, Path(folder))  # compiles
        strings, copies = corpus(pages, megabytes * 1_000_000)
        texts = pa.array(strings, pa.large_string())
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.process_time()
        done, copied = search(texts, memory_mb << 20, Path(folder))
        cpu_s = time.process_time() - began
    n_bytes = texts.nbytes
    counts = done.counts
    expected = {document for document, size in copies if size >= N_WORDS}
    return {
        "megabytes": round(n_bytes / 1e6, 1),
        "memory_mb": memory_mb,
        "mb_per_cpu_s": round(n_bytes / 1e6 / cpu_s, 1),
        "peak_mb_above": round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, 1),
        "words": counts.n_words,
        "disk_bytes_a_word": round(16 * (counts.n_samples + counts.n_candidates) / counts.n_words, 2),
        "spans": counts.n_spans,
        "recall": round(len(expected & copied) / len(expected), 4),
        "unexpected_documents": len(copied - expected),
    }


def substrings(options: argparse.Namespace) -> list[Figures]:
    rows = []
    for megabytes, memory_mb in options.sizes:
        command = [
            sys.executable,
            __file__,
            "one",
            "--pages",
            options.pages,
            "--mb",
            megabytes,
            "--memory-mb",
            memory_mb,
        ]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True)
        rows.append(json.loads(done.stdout))
    show("substrings of 50 words", rows)
    return rows


def show(title: str, rows: Sequence[Figures]) -> None:
    table = Table(title=title, title_justify="left")
    for name in rows[0]:
        table.add_column(name.replace("_", " "), justify="right")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console(width=160).print(table)


# Decontamination


def read_items(path: Path) -> list[Item]:
    """Items in plain text, a paragraph each: a line of question, then the solution."""
    with gzip.open(path, "rt") as file:
        parts = (paragraph.strip().partition("\n") for paragraph in file.read().split("\n\n"))
    return [Item(str(i), question, answer) for i, (question, _, answer) in enumerate(parts) if question]


def planted(item: Item, kind: str, number: int) -> str:
    words = item.question.split()
    if kind == "whole":
        return f"{item.question}\n{item.answer}"
    if kind == "half":
        return " ".join(words[: (len(words) + 1) // 2])
    if kind == "eighth":
        return " ".join("however" if i % 8 == 7 else word for i, word in enumerate(words))
    return item.question if kind == "question" else PARAPHRASES[number % len(PARAPHRASES)]


def plant(pages: Sequence[str], items: Sequence[Item], n_each: int) -> tuple[list[str], dict[int, tuple[str, int]]]:
    """Pages with an item at a line end of some of them; which document holds which item, and how."""
    draw = random.Random(2)
    texts, truth = list(pages), {}
    places = draw.sample(range(len(pages)), n_each * len(KINDS))
    for k, place in enumerate(places):
        kind = KINDS[k % len(KINDS)]
        number = k % len(PARAPHRASES) if kind == "paraphrase" else draw.randrange(len(items))
        lines = texts[place].split("\n")
        lines.insert(draw.randrange(len(lines) + 1), planted(items[number], kind, number))
        texts[place], truth[place] = "\n".join(lines), (kind, number)
    return texts, truth


def decontaminate(options: argparse.Namespace) -> list[Figures]:
    pages, items = read_pages(options.pages), read_items(options.items)
    texts, truth = plant(pages, items, options.planted)
    text, ids = pa.array(texts, pa.large_string()), np.arange(len(texts), dtype=np.uint64)
    rows: list[Figures] = []
    for n in options.ngrams:
        index = ItemIndex(items, Ngrams(n))
        found = index.find(ids, text)
        alike = related(index, items, {number for _, number in truth.values()})
        pairs = list(zip(*(found[c].to_pylist() for c in ("doc_id", "item", "overlap_frac")), strict=True))
        for threshold in THRESHOLDS:
            counted = [(d, i) for d, i, overlap in pairs if overlap >= threshold]
            hit = {d for d, i in counted if d in truth and truth[d][1] == i}
            right = sum(d in truth and truth[d][0] in FOUND and (truth[d][1], i) in alike for d, i in counted)
            row: Figures = {"n": n, "threshold": threshold, "pairs": len(counted)}
            row["precision"] = round(right / len(counted), 4) if counted else 1.0
            for kind in KINDS:
                of_kind = [d for d, (k, _) in truth.items() if k == kind]
                row[kind] = round(sum(d in hit for d in of_kind) / len(of_kind), 4)
            row["clean_pages"] = len({d for d, _ in counted if d not in truth})
            rows.append(row)
    show(f"{options.planted} items planted in each way into {len(pages)} pages: share that is found", rows)
    speed: Figures = {"mb_per_cpu_s": speed_of(ItemIndex(items), text, ids), "items": len(items)}
    show("scan", [speed])
    return [*rows, speed]


def related(index: ItemIndex, items: Sequence[Item], numbers: set[int]) -> set[tuple[int, int]]:
    """Pairs of a planted item and one that shares an n-gram with it: finding either where one is planted is right."""
    chosen = sorted(numbers)
    whole = pa.array([f"{items[i].question}\n{items[i].answer}" for i in chosen], pa.large_string())
    found = index.find(np.array(chosen, np.uint64), whole)
    return set(zip(found["doc_id"].to_pylist(), found["item"].to_pylist(), strict=True))


def speed_of(index: ItemIndex, text: pa.LargeStringArray, ids: np.ndarray) -> float:
    n_bytes = sum(len(string.encode()) for string in text.to_pylist())
    seconds = []
    for _ in range(9):
        began = time.process_time()
        index.find(ids, text)
        seconds.append(time.process_time() - began)
    return round(n_bytes / 1e6 / statistics.median(seconds), 1)


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLES, formatter_class=raw)
    commands = parser.add_subparsers(dest="part", required=True)
    for name in ("substrings", "decontaminate", "one"):
        part = commands.add_parser(name)
        part.add_argument("--pages", type=Path, required=True, metavar="FILE", help="JSON lines with texts, gzip")
        part.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    commands.choices["decontaminate"].add_argument("--items", type=Path, required=True, help="one a paragraph, gzip")
    commands.choices["decontaminate"].add_argument("--planted", type=int, default=300, help="in each way")
    commands.choices["one"].add_argument("--mb", type=int)
    commands.choices["one"].add_argument("--memory-mb", type=int)
    options = parser.parse_args()
    options.sizes, options.ngrams = [(25, 8), (100, 8), (100, 64)], [13, 8]
    if options.part == "one":
        print(json.dumps(measure_substrings(options.pages, options.mb, options.memory_mb)))
        return
    rows = substrings(options) if options.part == "substrings" else decontaminate(options)
    if options.json:
        write_figures({"machine": machine(), options.part: rows}, options.json)


if __name__ == "__main__":
    main()
