"""What the guarded child process costs: the pages of one archive, extracted in it and in the process itself, by turns.

Both sides do the same shard in a process that is warm: a worker starts its child once (.6 s), not once a shard. The
guarded side's CPU time is that of the child and of the parent that looks at it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
from harness import BenchmarkError, by_turns, machine, spread_frac, write_figures

from textmill.errors import TextmillError
from textmill.pipeline.sources.inputs import find_inputs
from textmill.pipeline.stage import Task
from textmill.pipeline.stages.pages import Extract
from textmill.pipeline.workspace import Workspace


@dataclass(frozen=True)
class Cost:
    wall_s: float
    cpu_s: float
    rows: int


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="FILE", help="an archive of pages")
    parser.add_argument("--mb", type=float, default=20, help="how much of it, from its start (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds by turns (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write the figures to FILE")
    options = parser.parse_args(arguments)
    try:
        figures = {"machine": machine()} | compare(options.data, options.mb, options.rounds)
    except (BenchmarkError, TextmillError) as error:
        print(f"guard: {error}", file=sys.stderr)
        return 2
    print(json.dumps(figures, indent=2))
    if options.json:
        write_figures(figures, Path(options.json))
    return 0


def compare(archive: str, shard_mb: float, n_rounds: int) -> dict[str, object]:
    """CPU and wall seconds of both sides, medians, and the memory of parent and child at the end."""
    inputs = find_inputs((archive,), shard_mb)
    with tempfile.TemporaryDirectory() as folder:
        sides = {
            "guarded": Extract(inputs, name="guarded"),
            "unguarded": Extract(inputs, name="unguarded", guarded=False),
        }
        workspace = Workspace(folder)
        for stage in sides.values():
            workspace.save_stage(stage)
            extract_once(stage, folder)  # warm
        resident = {"parent": psutil.Process().memory_info().rss}
        resident |= {"child": max(p.memory_info().rss for p in psutil.Process().children())}
        costs = by_turns({name: partial(extract_once, stage, folder) for name, stage in sides.items()}, n_rounds)
    if len({cost.rows for side in costs.values() for cost in side}) != 1:
        raise BenchmarkError("the sides made different numbers of rows")
    cpu_s = {name: [cost.cpu_s for cost in side] for name, side in costs.items()}
    return {
        "rows": costs["guarded"][0].rows,
        "cpu_s": {name: statistics.median(values) for name, values in cpu_s.items()},
        "cpu_spread_frac": {name: spread_frac(values) for name, values in cpu_s.items()},
        "wall_s": {name: statistics.median(cost.wall_s for cost in side) for name, side in costs.items()},
        "cpu_ratio": statistics.median(g / u for g, u in zip(cpu_s["guarded"], cpu_s["unguarded"], strict=True)),
        "resident_mb": {name: n_bytes / 1e6 for name, n_bytes in resident.items()},
    }


def extract_once(stage: Extract, folder: str) -> Cost:
    """Do the first shard, without publishing it."""
    with tempfile.TemporaryDirectory() as scratch:
        wall_began, cpu_began = time.perf_counter(), time.process_time()
        result = stage.run_shard(Task(folder, stage.shards()[0], Path(scratch), lambda *_: None))
        cpu_s = time.process_time() - cpu_began + result.cpu_s
        return Cost(time.perf_counter() - wall_began, cpu_s, sum(result.rows.values()))


if __name__ == "__main__":
    sys.exit(main())
