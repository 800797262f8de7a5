"""Documents per second per core, from WARC to decisions: textmill beside datatrove with FineWeb's blocks.

Both read the same archive, by turns, as whole processes. Per core means per second of CPU time, descendants included.

- *whole* counts everything from the start of the process: imports, models, URL lists, loading of compiled kernels.
- *sustained* leaves the start out: the archive minus its first tenth, by the difference of two runs. A job over a real
  crawl reads tens of thousands of documents a process, and is near this figure.

Warmed up before, and not counted: numba's cache on disk, datatrove's unpacked URL lists, both sides' bytecode.

What the sides do not have in common:

- datatrove stops at the first rule that a document fails, and here writes nothing. textmill writes text, scores and
  decisions of every document to disk, and knows every rule that a document fails (language goes first on both sides).
- datatrove runs rules that `common_crawl` does not have yet: URL lists, Gopher repetition, C4, FineWeb quality.
- datatrove extracts by trafilatura, in a child process that skips a page after one second (so a loaded machine changes
  what it keeps, and the waiting costs wall time, not CPU time). textmill extracts by resiliparse, which is faster and
  less precise.
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
START_FRAC = 0.1  # share of the records in the smaller archive, whose cost is taken off for the sustained rate


@dataclass(frozen=True)
class Outcome:
    """One run of one side on one archive."""

    measured: Measured
    n_kept: int
    counts: Mapping[str, object]  # in the side's own words


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
        whole, start = Path(scratch, "whole.warc.gz"), Path(scratch, "start.warc.gz")
        n_whole = first_records(data, n_records, whole)
        n_start = first_records(data, max(1, int(n_whole * START_FRAC)), start)
        about |= {
            "n_rounds": n_rounds,
            "data": data.name,
            "n_documents": n_whole,
            "archive_mb": round(whole.stat().st_size / 1e6, 3),
        }
        sides = _sides(model, Path(scratch))
        for name, side in sides.items():
            say(f"warm-up: {name}")
            side(start)
        jobs: dict[str, Callable[[], Outcome]] = {}
        for name, side in sides.items():
            jobs |= {f"{name}, start": partial(side, start), f"{name}, whole": partial(side, whole)}
        results = by_turns(jobs, n_rounds)
    figures = {
        name: rates(results[f"{name}, start"], results[f"{name}, whole"], n_start, n_whole, float(about["archive_mb"]))
        for name in sides
    }
    return {"machine": about, **figures, "ratios": ratios(figures)}


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


def rates(start: list[Outcome], whole: list[Outcome], n_start: int, n_whole: int, archive_mb: float) -> Figures:
    """One side's figures: medians over the rounds. ``docs`` are HTTP responses in the archive, the same for all."""
    n_kept = {outcome.n_kept for outcome in whole}
    if not min(n_kept):
        raise BenchmarkError(f"a side kept no document at all, so something is wrong: {whole[0].counts}")
    cpu_s = statistics.median(outcome.measured.cpu_s for outcome in whole)
    wall_s = statistics.median(outcome.measured.wall_s for outcome in whole)
    more_cpu_s = cpu_s - statistics.median(outcome.measured.cpu_s for outcome in start)
    more_wall_s = wall_s - statistics.median(outcome.measured.wall_s for outcome in start)
    return {
        "sustained_docs_per_core_s": (n_whole - n_start) / more_cpu_s,
        "whole_docs_per_core_s": n_whole / cpu_s,
        "sustained_docs_per_s": (n_whole - n_start) / more_wall_s,
        "whole_docs_per_s": n_whole / wall_s,
        "archive_mb_per_core_s": archive_mb / cpu_s,
        "cpu_s": cpu_s,
        "wall_s": wall_s,
        "cpu_spread_frac": spread_frac([outcome.measured.cpu_s for outcome in whole]),
        "n_kept": max(n_kept),
        "counts": json.dumps(whole[-1].counts),
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
