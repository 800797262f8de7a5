"""What every benchmark shares: rivals in environments of their own, rounds by turns, cut archives, JSON figures.

A command is measured from outside, as a whole process: wall time, and the CPU time of it and all its descendants. CPU
time is what "per core" means here: it does not grow when other programs use the machine, and no side gains by threads.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from warcio.archiveiterator import ArchiveIterator
from warcio.warcwriter import WARCWriter

ROOT = Path(__file__).resolve().parent.parent
RIVALS = Path(__file__).resolve().parent / "rivals"
Figures = dict[str, float | int | str]
T = TypeVar("T")


class BenchmarkError(Exception):
    """A benchmark cannot go on; the message says why."""


@dataclass(frozen=True)
class Measured:
    """One run of a command."""

    wall_s: float
    cpu_s: float  # user and system, of the process and of all descendants that were waited for
    stdout: str


def measure(command: Sequence[str | Path]) -> Measured:
    """Run a command to its end, with bytecode kept on disk. Errors: `BenchmarkError` with the end of its output if it
    fails."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before, began = os.times(), time.perf_counter()
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, errors="replace", env=environment)
    wall_s, after = time.perf_counter() - began, os.times()
    if done.returncode:
        shown = " ".join(str(part) for part in command)
        raise BenchmarkError(f"exit status {done.returncode} of: {shown}\n{(done.stderr or done.stdout)[-3000:]}")
    cpu_s = after.children_user - before.children_user + after.children_system - before.children_system
    return Measured(wall_s, cpu_s, done.stdout)


def by_turns(jobs: Mapping[str, Callable[[], T]], n_rounds: int) -> dict[str, list[T]]:
    """Run A B C, A B C, ..., so that a machine that slows down or warms up does so for every side."""
    results: dict[str, list[T]] = {name: [] for name in jobs}
    for number in range(1, n_rounds + 1):
        for name, job in jobs.items():
            say(f"round {number} of {n_rounds}: {name}")
            results[name].append(job())
    return results


def spread_frac(values: Sequence[float]) -> float:
    """Largest minus smallest, as a share of the median."""
    return (max(values) - min(values)) / statistics.median(values)


def rival_python(name: str, requirements: Path) -> Path:
    """The interpreter of the rival's own environment, made at first use, and again when the requirements change."""
    folder = ROOT / f".venv-bench-{name}"
    python, stamp = folder / "bin" / "python", folder / "requirements.sha256"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if not stamp.is_file() or stamp.read_text() != digest:
        say(f"making {folder.name} from {requirements.name} (once; minutes)")
        venv.create(folder, clear=True, with_pip=True)
        measure([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", requirements])
        stamp.write_text(digest)
    return python


def first_records(source: Path, n_records: int, target: Path) -> int:
    """Copy the first HTTP responses of an archive, one gzip member each; returns how many there were, at least 1.

    Adds WARC-Identified-Payload-Type where it is missing, from the HTTP header, as Common Crawl's archives have it:
    readers that rely on it (datatrove) otherwise guess from the first bytes, and guess many pages away.
    Errors: `BenchmarkError` for an archive without responses.
    """
    n_copied = 0
    with source.open("rb") as stream, target.open("wb") as out:
        writer = WARCWriter(out, gzip=True)
        for record in ArchiveIterator(stream):
            if record.rec_type != "response" or record.http_headers is None:
                continue
            content_type = record.http_headers.get_header("Content-Type", "")
            payload = io.BytesIO(record.raw_stream.read())
            headers = dict(record.rec_headers.headers)
            headers.setdefault("WARC-Identified-Payload-Type", content_type.partition(";")[0].strip().lower())
            copy = writer.create_warc_record(
                record.rec_headers.get_header("WARC-Target-URI"),
                "response",
                payload=payload,
                http_headers=record.http_headers,
                warc_headers_dict=headers,
            )
            writer.write_record(copy)
            n_copied += 1
            if n_copied == n_records:
                break
    if not n_copied:
        raise BenchmarkError(f"{source}: no HTTP response in it; give a WARC of pages")
    return n_copied


def machine() -> Figures:
    """What the figures were measured on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": commit.stdout.strip() or "unknown",
        "cpu": models[0] if models else platform.machine(),
        "n_cores": os.cpu_count() or 1,
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
    }


def write_figures(figures: Mapping[str, object], target: Path) -> None:
    """Figures by name, as JSON."""
    target.write_text(json.dumps(figures, indent=2) + "\n")


def say(line: str) -> None:
    """One line of progress, on standard error: standard output is for the result."""
    print(line, file=sys.stderr, flush=True)
