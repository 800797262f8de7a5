"""Text a second on one core: every family of heuristic filters, all of them together, and datatrove's four.

The texts are what textmill extracts from an archive (kept in `build/`; only the first run extracts). textmill is timed
in this process, kernels compiled before; datatrove in a process of its own, without imports and one text to warm up.
CPU time, by turns, medians.

- *cut* is what all families share: words, lines and paragraphs. A family's own figure comes on top of it, and includes
  whatever else it cuts (Treebank words, sentences).
- *all* is one scorer of each family, in one pass, everything cut anew.
- *datatrove* runs Gopher repetition, Gopher quality, C4 and FineWeb on every text; *in order* stops at the first that
  drops it, as its pipelines do. `ratio` compares all families of textmill with datatrove's four filters.
- *agreement* is the share of texts with the same verdict; datatrove has words and sentences from spaCy.
- *cold start* is a new process that scores one text with all families, with an empty cache of compiled kernels; then
  again with what the first left there.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from harness import (
    RIVALS,
    ROOT,
    BenchmarkError,
    Figures,
    by_turns,
    first_records,
    machine,
    measure,
    rival_python,
    say,
    write_figures,
)
from manual_pages import manual_pages
from rich.console import Console
from rich.table import Table

from textmill.errors import TextmillError
from textmill.filters import SCORERS, preset_names, scorer_class
from textmill.filters import preset as preset_of
from textmill.filters.base import Scorer, failures
from textmill.filters.base import measure as score
from textmill.pipeline.workspace import open_run
from textmill.storage import open_parquet
from textmill.text import Documents

EXAMPLES = """\
examples:
  python benchmarks/filters.py --quick                            a few minutes, once the environment is made
  python benchmarks/filters.py --json filters.json                on the manual pages
  python benchmarks/filters.py --data crawl.warc.gz --records 2000
  python benchmarks/filters.py --no-rival                         textmill alone, for work on a kernel
"""
RIVAL = "datatrove"
HEURISTICS = (
    "GopherQuality",
    "Repetition",
    "C4",
    "FineWebQuality",
    "RefinedWeb",
    "RedPajamaSignals",
    "CuratorRatios",
)
# What stands beside datatrove's filters, and which of them.
COUNTERPARTS = {
    "gopher@datatrove": ("gopher_repetition", "gopher_quality"),
    "c4@fineweb": ("c4",),
    "fineweb@code": ("fineweb",),
}
MASKS = ("mask_emails", "mask_phone_numbers", "mask_ip_addresses")
BATCH = 2048  # texts of a batch, if there are so many: those of a row group, as stages read them
COLD_START = """
from textmill.process import lean
lean()  # as all commands do
from textmill.filters import scorer_class
from textmill.text import Documents
for name in {names}:
    scorer_class(name)().score(Documents.from_texts(["The cat sat on the mat, and it was content.\\n"] * 2))
"""


def main() -> int:
    options = _parse()
    try:
        figures = compare(options.data or manual_pages(), options.records, options.rounds, options.rival)
    except (BenchmarkError, TextmillError, OSError) as error:
        print(f"filters: {error}", file=sys.stderr)
        return 2
    show(figures)
    if options.json:
        write_figures(figures, options.json)
    return 0


def _parse() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("filters.py", description=__doc__, epilog=EXAMPLES, formatter_class=raw)
    parser.add_argument("--quick", action="store_true", help="100 records, one round")
    parser.add_argument("--data", type=Path, metavar="WARC", help="another archive (default: Debian's manual pages)")
    parser.add_argument("--records", type=int, help="read the first N responses (default: 500)")
    parser.add_argument("--rounds", type=int, help="rounds, of which the median counts (default: 3)")
    parser.add_argument("--no-rival", action="store_false", dest="rival", help="leave datatrove out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    options = parser.parse_args()
    options.records = options.records or (100 if options.quick else 500)
    options.rounds = options.rounds or (1 if options.quick else 3)
    if options.records < 1 or options.rounds < 1:
        parser.error("--records and --rounds must be at least 1")
    return options


def compare(data: Path, n_records: int, n_rounds: int, with_rival: bool) -> dict[str, Figures]:
    """Measure everything. Errors: `BenchmarkError` when a side fails, or there is no text."""
    about = machine()
    texts = extracted_texts(data, n_records)
    n_bytes = sum(len(text.encode()) for text in texts)
    jobs: dict[str, Callable[[], dict[str, float]]] = {"textmill": partial(time_textmill, texts)}
    said: list[Mapping[str, Sequence[str]]] = []
    with tempfile.TemporaryDirectory(prefix="textmill-bench-") as scratch:
        if with_rival:
            path = Path(scratch, "texts.jsonl")
            path.write_text("".join(json.dumps(text) + "\n" for text in texts))
            jobs[RIVAL] = partial(time_datatrove, path, said)
        say("warm-up: textmill")
        time_textmill(texts[:BATCH])
        results = by_turns(jobs, n_rounds)
        figures = {name: rates(runs, n_bytes) for name, runs in results.items()}
        figures["cold start"] = cold_start(Path(scratch))
    if with_rival:
        figures["ratio"] = {
            f"textmill all / {RIVAL} {how}": float(figures["textmill"]["all"]) / float(figures[RIVAL][how])
            for how in ("all", "in order")
        }
        figures["agreement"] = agreement(texts, said[-1])
    about |= {"data": data.name, "n_documents": len(texts), "text_mb": round(n_bytes / 1e6, 2), "n_rounds": n_rounds}
    return {"machine": about, **figures}


def extracted_texts(data: Path, n_records: int) -> list[str]:
    """The texts of the first pages of an archive, by textmill; extracted once and kept."""
    stem = re.sub(r"\W+", "-", data.name)
    archive, work = (
        ROOT / "build" / f"filters-{stem}-{n_records}.warc.gz",
        ROOT / "build" / f"filters-{stem}-{n_records}",
    )
    if not archive.is_file():
        archive.parent.mkdir(exist_ok=True)
        first_records(data, n_records, archive)
    settings = ["--set", f"warcs={archive}", "--set", "language_model=builtin"]
    measure(
        [sys.executable, "-m", "textmill", "run", "common_crawl", *settings, "--to", "pages", "--out", work, "--serial"]
    )
    texts: list[str] = []
    workspace, run = open_run(str(work))  # beside it may lie what another version made
    for table in workspace.tables(run.stages["pages"]):
        with open_parquet(table) as file:
            texts += [text for text in file.read(["text"])["text"].to_pylist() if text]
    if not texts:
        raise BenchmarkError(f"{data}: no text in its first {n_records} pages")
    return texts


def batches(texts: Sequence[str], prepare: Callable[[Documents], None] = lambda _: None) -> Iterator[Documents]:
    """The texts, in batches of which nothing has been cut yet but by ``prepare``."""
    for start in range(0, len(texts), BATCH):
        documents = Documents.from_texts(texts[start : start + BATCH])
        prepare(documents)
        yield documents


def heuristics() -> dict[str, Scorer]:
    """One scorer of each family that there is."""
    return {name: scorer_class(name)() for name in HEURISTICS if name in SCORERS}


def time_textmill(texts: Sequence[str]) -> dict[str, float]:
    """CPU seconds of everything, by name."""
    scorers = heuristics()
    seconds = {"cut": sum(cpu_s(cut, documents) for documents in batches(texts))}
    for name, scorer in scorers.items():
        seconds[name] = sum(cpu_s(scorer.score, documents) for documents in batches(texts, cut))
    seconds["all"] = sum(cpu_s(score, tuple(scorers.values()), documents) for documents in batches(texts))
    return seconds | time_others(texts)


def time_others(texts: Sequence[str]) -> dict[str, float]:
    """CPU seconds of what is no heuristic: language by the built-in detector, and masks of personal data."""
    from textmill.filters import pii

    language = scorer_class("Language")()
    seconds = {"language, built in": sum(cpu_s(language.score, documents) for documents in batches(texts))}
    masks = {name: getattr(pii, name) for name in MASKS if hasattr(pii, name)}
    return seconds | {name: sum(cpu_s(mask, text) for text in texts) for name, mask in masks.items()}


def cut(documents: Documents) -> None:
    """What all families share."""
    pieces = documents.segmentation
    _ = pieces.words, pieces.lines, pieces.paragraphs


def cpu_s(job: Callable[..., object], *arguments: object) -> float:
    """CPU seconds of one call."""
    began = time.process_time()
    job(*arguments)
    return time.process_time() - began


def time_datatrove(texts: Path, said: list[Mapping[str, Sequence[str]]]) -> dict[str, float]:
    """CPU seconds of datatrove's filters, by name; their reasons are appended to ``said``."""
    python = rival_python(RIVAL, RIVALS / "datatrove.txt")
    found = json.loads(measure([python, RIVALS / "datatrove_filters.py", texts]).stdout)
    said.append(found["reasons"])
    return {**found["cpu_s"], "all": sum(found["cpu_s"].values()), "in order": found["in_order_cpu_s"]}


def rates(runs: Sequence[Mapping[str, float]], n_bytes: int) -> Figures:
    """Megabytes of text a second, from medians over the rounds."""
    return {name: n_bytes / 1e6 / max(statistics.median(run[name] for run in runs), 1e-9) for name in runs[0]}


def agreement(texts: Sequence[str], theirs: Mapping[str, Sequence[str]]) -> Figures:
    """Share of texts on which a preset and its counterparts in datatrove both keep, or both drop."""
    shares: Figures = {}
    for name, filters in COUNTERPARTS.items():
        if name not in preset_names():
            continue
        preset = preset_of(name)
        dropped = failures(preset.rules, score(preset.scorers, Documents.from_texts(texts))).any(axis=1)
        their_dropped = [any(reasons) for reasons in zip(*(theirs[block] for block in filters), strict=True)]
        shares[name] = float((dropped == their_dropped).mean())
    return shares


def cold_start(scratch: Path) -> Figures:
    """Wall and CPU seconds of a process that uses all families: kernels to compile, and kernels compiled."""
    os.environ["NUMBA_CACHE_DIR"] = str(scratch / "kernels")
    command = [sys.executable, "-c", COLD_START.format(names=list(heuristics()))]
    try:
        first, second = measure(command), measure(command)
    finally:
        del os.environ["NUMBA_CACHE_DIR"]
    return {
        "first_cpu_s": first.cpu_s,
        "first_wall_s": first.wall_s,
        "second_cpu_s": second.cpu_s,
        "second_wall_s": second.wall_s,
    }


def show(figures: Mapping[str, Figures]) -> None:
    """Print everything as tables."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 100)
    console.print(", ".join(f"{name} {value}" for name, value in figures["machine"].items()), soft_wrap=True)
    for side in ("textmill", RIVAL):
        if side in figures:
            table = Table(side, "MB of text/s", "ns/byte")
            for name, rate in figures[side].items():
                table.add_row(name, f"{rate:.4g}", f"{1000 / float(rate):.4g}")
            console.print(table)
    for name in ("ratio", "agreement", "cold start"):
        for what, value in figures.get(name, {}).items():
            console.print(f"{name}: {what} {value:.4g}")


if __name__ == "__main__":
    sys.exit(main())
