"""Quality and cost of text extraction, beside resiliparse and trafilatura, on pages with known main content.

    python benchmarks/extraction.py --data crawl/ [--unseen texts.jsonl.gz] [--json figures.json] [--quick]

``--data`` is a folder with pages.warc.gz and pages.{truth,segments,meta}.jsonl.gz, as the training script reads it.
Every engine gets the same decoded pages; the time is CPU time inside the extraction call, by turns, on every 12th page.

Quality is F1 over word 4-grams (`textmill.pipeline.extraction.train.evaluate`). The model in the package was trained
on these very pages, so its own column says little; ``--unseen`` takes the texts that
``python -m textmill.pipeline.extraction.train --cross-validate`` wrote, each by a model that saw neither the page's
source nor its site.

From archive to text: whole processes on pages.warc.gz. textmill writes Parquet with every status and column; the loop
of fastwarc and resiliparse keeps nothing.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from harness import RIVALS, ROOT, by_turns, machine, measure, rival_python, say, write_figures

from textmill.pipeline.extraction.train.evaluate import (
    MODERN,
    Counts,
    page_counts,
    segment_counts,
    segment_f1,
    summarise,
)
from textmill.pipeline.extraction.train.pages import Example, read_examples

ENGINES = ("textmill", "resiliparse", "resiliparse-all", "trafilatura")
EVERY = 12  # of the pages, for the time


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--unseen", type=Path, help="texts by models that did not see the page's source")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--quick", action="store_true", help="every 12th page only, one round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    examples = [e for e in read_examples(options.data, None) if e.truth is not None or e.wanted]
    few = examples[::EVERY]
    judged = few if options.quick else examples
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        pages = _write_pages(judged, folder / "all.jsonl")
        texts = {engine: _extract(engine, pages, folder)[1] for engine in ENGINES}
        sample = _write_pages(few, folder / "few.jsonl")
        rounds = 1 if options.quick else options.rounds
        seconds = by_turns({engine: partial(_seconds, engine, sample, folder) for engine in ENGINES}, rounds)
        archive = _measure_archive(options.data / "pages.warc.gz", folder, rounds)
    if options.unseen:
        with gzip.open(options.unseen, "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        texts = {"textmill, unseen": {row["record_id"]: row["text"] for row in rows}} | texts
    ms = {engine: 1000 * statistics.median(values) / len(few) for engine, values in seconds.items()}
    scores = {engine: _score(judged, of_engine) for engine, of_engine in texts.items()}
    _print(scores, ms, archive)
    if options.json:
        write_figures({**machine(), "scores": scores, "ms_a_page": ms, "archive": archive}, options.json)
    return 0


def _write_pages(examples: Sequence[Example], target: Path) -> Path:
    with target.open("w", encoding="utf-8") as out:
        for example in examples:
            out.write(json.dumps({"record_id": example.record_id, "html": example.html.decode()}) + "\n")
    return target


def _extract(engine: str, pages: Path, folder: Path) -> tuple[float, dict[str, str]]:
    """CPU seconds, and texts by record."""
    python = (
        rival_python("trafilatura", RIVALS / "trafilatura.txt") if engine == "trafilatura" else Path(sys.executable)
    )
    target = folder / "texts.jsonl"
    done = measure([python, RIVALS / "extract_pages.py", engine, pages, target])
    with target.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return json.loads(done.stdout)["cpu_s"], {row["record_id"]: row["text"] for row in rows}


def _seconds(engine: str, pages: Path, folder: Path) -> float:
    return _extract(engine, pages, folder)[0]


def _score(examples: Sequence[Example], texts: Mapping[str, str]) -> dict[str, tuple[int, float, float, float]]:
    """Number of pages, F1, precision and recall, by source and together."""
    by_source: dict[str, list[Counts]] = {}
    segments: list[Counts] = []
    for example in examples:
        text = texts.get(example.record_id, "")
        if example.truth is not None:
            by_source.setdefault(example.source, []).append(page_counts(example.truth, text))
        else:
            segments.append(segment_counts(example.wanted, example.unwanted, text))
    found = {source: (len(counts), *summarise(counts)) for source, counts in sorted(by_source.items())}
    modern = [c for source in MODERN for c in by_source.get(source, [])]
    every = [c for counts in by_source.values() for c in counts]
    found |= {"modern four": (len(modern), *summarise(modern)), "all with truth": (len(every), *summarise(every))}
    return found | {"segments": (len(segments), *segment_f1(segments))}


def _measure_archive(archive: Path, folder: Path, n_rounds: int) -> dict[str, float]:
    """CPU and wall seconds from the archive to texts, medians; and the wall time of one worker over that of two."""
    run = [sys.executable, "-m", "textmill", "run", "common_crawl", "--set", f"warcs={archive}", "--to", "pages"]
    number = iter(range(1_000_000))

    def textmill(*how: str) -> tuple[float, float]:
        done = measure([*run, *how, "--out", folder / f"work{next(number)}"])
        return done.cpu_s, done.wall_s

    def bare() -> tuple[float, float]:
        done = measure([sys.executable, RIVALS / "fastwarc_resiliparse.py", archive])
        return done.cpu_s, done.wall_s

    jobs = {
        "fastwarc + resiliparse": bare,
        "textmill --serial": lambda: textmill("--serial"),
        "textmill --workers 1": lambda: textmill("--workers", "1"),
        "textmill --workers 2": lambda: textmill("--workers", "2"),
    }
    found: dict[str, float] = {}
    for name, values in by_turns(jobs, n_rounds).items():
        found[f"{name}, CPU s"] = statistics.median(cpu for cpu, _ in values)
        found[f"{name}, wall s"] = statistics.median(wall for _, wall in values)
    return found


def _print(
    scores: Mapping[str, Mapping[str, tuple[int, float, float, float]]],
    ms: Mapping[str, float],
    archive: Mapping[str, float],
) -> None:
    print("| F1 (precision / recall) | pages | " + " | ".join(scores) + " |")
    print("| --- | --- |" + " --- |" * len(scores))
    for source in next(iter(scores.values())):
        cells = [
            f"{f1:.3f} ({p:.3f} / {r:.3f})" for _, f1, p, r in (of_engine[source] for of_engine in scores.values())
        ]
        print(f"| {source} | {scores['textmill'][source][0]:,} | " + " | ".join(cells) + " |")
    print("\n| engine | ms a page | pages/s | times trafilatura |\n| --- | --- | --- | --- |")
    for engine, value in ms.items():
        print(f"| {engine} | {value:.2f} | {1000 / value:,.0f} | {ms['trafilatura'] / value:.1f} |")
    print("\n| from archive to text | seconds |\n| --- | --- |")
    for name, seconds in archive.items():
        print(f"| {name} | {seconds:.1f} |")


if __name__ == "__main__":
    say(f"results are printed at the end; repository {ROOT.name}")
    sys.exit(main())
