"""Documents per second per core, from WARC to decisions: textmill beside datatrove with FineWeb's blocks.

Both read the same archive, by turns, as whole processes. Per core means per second of CPU time, descendants included.

- *whole* counts everything from the start of the process: imports, models, URL lists, loading of compiled kernels.
- *sustained* leaves the start out, by the difference of two runs: the archive minus its first tenth. textmill is
  through too soon for that; it gets copies of the archive in one file (up to the decisions nothing looks for
  duplicates). A job over a real crawl reads tens of thousands of documents a process, and is near this figure.

Warmed up before, and not counted: numba's cache on disk, datatrove's unpacked URL lists, both sides' bytecode.

What the sides do not have in common:

- datatrove stops at the first rule that a document fails, and here writes nothing. textmill writes to disk the text and
  language of every page, and every score and every failed rule of those that pass the language gate.
- datatrove has the lists of URLs that come with it; textmill has deny-lists by path, here none, and words in URLs.
- datatrove's words and sentences come from spaCy. Both sides have Gopher's, C4's and FineWeb's rules.
- datatrove extracts by trafilatura, in a child process that skips a page after one second (so a loaded machine changes
  what it keeps, and the waiting costs wall time, not CPU time). textmill extracts by its own engine, in a child process
  that may take ten.
- The language model is the same file on both sides; textmill reads 1,000 characters, datatrove the whole text.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness import (
    RIVALS,
    BenchmarkError,
    Figures,
    Measured,
    by_turns,
    first_records,
    machine,
    measure,
    rival_python,
    say,
    spread_frac,
    write_figures,
)
from manual_pages import manual_pages
from rich.console import Console
from rich.table import Table

from textmill.errors import TextmillError
from textmill.filters.language import BUILTIN, find_model

EXAMPLES = """\
examples:
  python benchmarks/end_to_end.py --quick                        under two minutes, once the environment is made
  python benchmarks/end_to_end.py --json end_to_end.json         on the manual pages, three rounds
  python benchmarks/end_to_end.py --data crawl.warc.gz --records 2000
"""
RIVAL = "datatrove"
START_FRAC = 0.1  # share of the records in the smallest archive, whose cost is taken off for the sustained rate
LONG_RECORDS = 24_000  # at least so many in textmill's longest archive: tasks enough to hide what a report costs


@dataclass(frozen=True)
class Outcome:
    """One run of one side on one archive."""

    measured: Measured
    n_kept: int
    counts: Mapping[str, object]  # in the side's own words


@dataclass(frozen=True)
class Archive:
    """One input."""

    path: Path
    n_documents: int  # HTTP responses, the same for every side


@dataclass(frozen=True)
class Runs:
    """All rounds of one side on one archive."""

    archive: Archive
    outcomes: list[Outcome]

    @property
    def cpu_s(self) -> float:
        return statistics.median(outcome.measured.cpu_s for outcome in self.outcomes)

    @property
    def wall_s(self) -> float:
        return statistics.median(outcome.measured.wall_s for outcome in self.outcomes)


Side = Callable[[Path], Outcome]


def main() -> int:
    options = _parse()
    try:
        figures = compare(options.data or manual_pages(), options.language_model, options.records, options.rounds)
    except (BenchmarkError, TextmillError, OSError) as error:
        print(f"end_to_end: {error}", file=sys.stderr)
        return 2
    show(figures)
    if options.json:
        write_figures(figures, options.json)
    return 0


def _parse() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("end_to_end.py", description=__doc__, epilog=EXAMPLES, formatter_class=raw)
    parser.add_argument("--quick", action="store_true", help="150 records, one round")
    parser.add_argument("--data", type=Path, metavar="WARC", help="another archive (default: Debian's manual pages)")
    parser.add_argument("--records", type=int, help="read the first N responses (default: 1000)")
    parser.add_argument("--rounds", type=int, help="rounds, of which the median counts (default: 3)")
    parser.add_argument("--language-model", metavar="FILE", help="lid.176.ftz (default: the one in textmill's cache)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    options = parser.parse_args()
    options.records = options.records or (150 if options.quick else 1000)
    options.rounds = options.rounds or (1 if options.quick else 3)
    if options.records < 20 or options.rounds < 1:
        parser.error("--records must be at least 20 and --rounds at least 1")
    return options


def compare(data: Path, language_model: str | None, n_records: int, n_rounds: int) -> dict[str, Figures]:
    """Measure all sides. Errors: `BenchmarkError` when a side fails or keeps nothing, which would be no comparison."""
    model = _language_model(language_model)
    about = machine()
    with tempfile.TemporaryDirectory(prefix="textmill-bench-") as scratch:
        archives = _archives(data, n_records, Path(scratch))
        sides = _sides(model, Path(scratch))
        for name, side in sides.items():
            say(f"warm-up: {name}")
            side(archives["start"].path)
        longest = {name: "whole" if name == RIVAL else "long" for name in sides}
        jobs: dict[str, Callable[[], Outcome]] = {}
        for name, side in sides.items():
            for label in dict.fromkeys(("start", "whole", longest[name])):
                jobs[f"{name}, {label}"] = partial(side, archives[label].path)
        results = by_turns(jobs, n_rounds)
        runs = {
            name: [Runs(archives[label], results[f"{name}, {label}"]) for label in ("start", "whole", longest[name])]
            for name in sides
        }
        figures = {name: rates(*of_side) for name, of_side in runs.items()}
    about |= {"data": data.name, "n_documents": archives["whole"].n_documents, "n_rounds": n_rounds}
    return {"machine": about, **figures, "ratios": ratios(figures)}


def _archives(data: Path, n_records: int, scratch: Path) -> dict[str, Archive]:
    """The start of ``data``, as much of it as is asked for, and copies of that in one file."""
    paths = {label: scratch / f"{label}.warc.gz" for label in ("start", "whole", "long")}
    n_whole = first_records(data, n_records, paths["whole"])
    n_start = first_records(data, max(1, int(n_whole * START_FRAC)), paths["start"])
    n_copies = -(-LONG_RECORDS // n_whole)
    paths["long"].write_bytes(paths["whole"].read_bytes() * n_copies)
    n_documents = {"start": n_start, "whole": n_whole, "long": n_whole * n_copies}
    return {label: Archive(path, n_documents[label]) for label, path in paths.items()}


def _language_model(given: str | None) -> Path:
    found = find_model(given)
    if found.digest == BUILTIN:
        raise BenchmarkError("no language model for both sides; give lid.176.ftz with --language-model")
    return Path(found.model)


def _sides(model: Path, scratch: Path) -> dict[str, Side]:
    return {
        RIVAL: partial(run_datatrove, rival_python(RIVAL, RIVALS / "datatrove.txt"), model),
        "textmill --serial": partial(run_textmill, ("--serial",), model, scratch),
        "textmill --workers 1": partial(run_textmill, ("--workers", "1"), model, scratch),
    }


def run_datatrove(python: Path, model: Path, warc: Path) -> Outcome:
    """FineWeb's blocks on ``warc``."""
    script = RIVALS / "datatrove_fineweb.py"
    assets = python.parent.parent / "assets"
    measured = measure([python, script, warc, "--language-model", model, "--assets", assets])
    counts = json.loads(measured.stdout)
    return Outcome(measured, counts["kept"], counts)


def run_textmill(how: tuple[str, ...], model: Path, scratch: Path, warc: Path) -> Outcome:
    """`textmill run common_crawl` on ``warc``, up to the decisions, in a workspace of its own."""
    with tempfile.TemporaryDirectory(dir=scratch) as work:
        settings = ["--set", f"warcs={warc}", "--set", f"language_model={model}"]
        command = [sys.executable, "-m", "textmill", "run", "common_crawl", *settings, "--to", "decisions"]
        measured = measure([*command, *how, "--out", work])
        counts = {table: _totals(Path(work), table) for table in ("pages", "documents", "decisions")}
    return Outcome(measured, counts["decisions"]["n_keep"], counts)


def _totals(work: Path, table: str) -> dict[str, int]:
    (path,) = work.glob(f"{table}-*/_SUCCESS")
    totals: dict[str, int] = json.loads(path.read_text())
    return totals


def rates(start: Runs, whole: Runs, long: Runs) -> Figures:
    """One side's figures, from medians over the rounds. Sustained rates come from ``long`` minus ``start``."""
    n_kept = [outcome.n_kept for outcome in whole.outcomes]
    if not min(n_kept):
        raise BenchmarkError(f"a side kept no document at all, so something is wrong: {whole.outcomes[0].counts}")
    n_whole, n_more = whole.archive.n_documents, long.archive.n_documents - start.archive.n_documents
    more_cpu_s, more_wall_s = long.cpu_s - start.cpu_s, long.wall_s - start.wall_s
    if min(more_cpu_s, more_wall_s) <= 0:
        raise BenchmarkError("the start alone took longer than all; the machine is too busy, or --records too few")
    return {
        "sustained_docs_per_core_s": n_more / more_cpu_s,
        "whole_docs_per_core_s": n_whole / whole.cpu_s,
        "sustained_docs_per_s": n_more / more_wall_s,
        "whole_docs_per_s": n_whole / whole.wall_s,
        "whole_archive_mb_per_core_s": whole.archive.path.stat().st_size / 1e6 / whole.cpu_s,
        "cpu_s": whole.cpu_s,
        "wall_s": whole.wall_s,
        "cpu_spread_frac": spread_frac([outcome.measured.cpu_s for outcome in whole.outcomes]),
        "n_kept": max(n_kept),
        "counts": json.dumps(whole.outcomes[-1].counts),
    }


def ratios(figures: Mapping[str, Figures]) -> Figures:
    """Each textmill side over the rival, for every rate."""
    names = [name for name in figures[RIVAL] if name.endswith("_s") and "_per_" in name]
    return {
        f"{side}/{RIVAL}: {name}": float(figures[side][name]) / float(figures[RIVAL][name])
        for side in figures
        if side != RIVAL
        for name in names
    }


def show(figures: Mapping[str, Figures]) -> None:
    """Print everything as tables, and what each side did, in its own counts."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 100)
    about = figures["machine"]
    console.print(", ".join(f"{name} {value}" for name, value in about.items()), soft_wrap=True)
    sides = {name: values for name, values in figures.items() if name not in ("machine", "ratios")}
    table = Table("WARC to decisions, medians", *sides)
    table.columns[0].no_wrap = True
    for name in sides[RIVAL]:
        if name != "counts":
            table.add_row(name, *(f"{values[name]:.4g}" for values in sides.values()))
    console.print(table)
    for name, ratio in figures["ratios"].items():
        console.print(f"{name}: {ratio:.1f}x")
    for name, values in sides.items():
        console.print(f"{name}: {values['counts']}", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
