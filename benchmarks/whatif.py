"""How long `textmill whatif` and its page with sliders take on a large run: synthetic scores, many rules, one process.

python benchmarks/whatif.py --documents 1000000 --rules 60
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from harness import machine

from textmill import storage
from textmill.filters.base import Rule, Scorer
from textmill.pipeline.finished import FinishedRun
from textmill.pipeline.report.histograms import histograms_of
from textmill.pipeline.report.slider import write_slider
from textmill.pipeline.sources.inputs import Inputs
from textmill.pipeline.stage import Stage
from textmill.pipeline.stages.pages import Extract
from textmill.pipeline.stages.scores import TEXT_BYTES, Decide, Score
from textmill.pipeline.whatif import what_if
from textmill.pipeline.workspace import Run, Workspace
from textmill.text import Documents

SHARD_DOCUMENTS, GROUP_DOCUMENTS = 8192, 2048
FAILS_FRAC = 0.02  # of each rule


@dataclass(frozen=True)
class Uniform(Scorer):
    """As many columns as asked for; their values are drawn here, not measured."""

    n: int

    @property
    def columns(self) -> pa.Schema:
        return pa.schema([pa.field(f"uniform_{i}", pa.float32()) for i in range(self.n)])

    def score(self, documents: Documents) -> list[pa.Array]:
        raise NotImplementedError


def make_run(root: str, n_documents: int, n_rules: int) -> tuple[Workspace, Run]:
    """A workspace with a run of pages, scores and decisions."""
    workspace = Workspace(root)
    workspace.create()
    pages = Extract(Inputs((), 1))
    scores = Score(pages, (Uniform(n_rules),))
    decide = Decide(scores, tuple(Rule(f"rule_{i}", f"uniform_{i}", low=FAILS_FRAC) for i in range(n_rules)))
    random = np.random.default_rng(1)
    for shard, start in enumerate(range(0, n_documents, SHARD_DOCUMENTS)):
        n = min(SHARD_DOCUMENTS, n_documents - start)
        ids = pa.array(np.arange(start, start + n, dtype=np.uint64))
        values = random.random((n_rules, n), dtype=np.float32)
        sizes = pa.array(random.integers(200, 20_000, n, dtype=np.int32))
        fails = values < np.float32(FAILS_FRAC)
        text = pa.array(["some words of a page"] * n, pa.large_string())
        page = pa.table(
            {"doc_id": ids, "url": [f"https://a.example/{i}" for i in range(n)], "status": ["ok"] * n, "text": text}
        )
        columns = {f"uniform_{i}": values[i] for i in range(n_rules)}
        verdicts = {f"rule_{i}": fails[i] for i in range(n_rules)} | {"keep": ~fails.any(axis=0)}
        _publish(workspace, pages, shard, page)
        _publish(workspace, scores, shard, pa.table({"doc_id": ids, TEXT_BYTES.name: sizes} | columns))
        _publish(workspace, decide, shard, pa.table({"doc_id": ids} | verdicts))
    for stage in (pages, scores, decide):
        workspace.save_stage(stage)
        counts = {"rows_out": n_documents, "status_ok": n_documents}
        storage.write_json(counts, storage.join(workspace.folder(stage), "_SUCCESS"))
    return workspace, Run("benchmark", "none", [], {s.name: s.folder for s in (pages, scores, decide)}, {})


def _publish(workspace: Workspace, stage: Stage, shard: int, table: pa.Table) -> None:
    name = f"{shard:05d}"
    path = Path(workspace.folder(stage), f"{name}.parquet")
    path.parent.mkdir(exist_ok=True)
    pq.write_table(table, path, compression="zstd", row_group_size=GROUP_DOCUMENTS)
    outputs = storage.describe({path.name: path}, {path.name: len(table)})
    manifest = storage.Manifest(stage.name, stage.fingerprint, name, outputs)
    storage.publish_task(workspace.folder(stage), manifest, {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--rules", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--page", metavar="FILE", help="keep the page there")
    options = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        workspace, run = make_run(folder, options.documents, options.rules)
        page = Path(options.page or f"{folder}/whatif.html")
        finished = FinishedRun(workspace, run)
        histograms = [made for scores in finished.all(Score) for made in histograms_of(finished, scores)]
        jobs = {
            "whatif": lambda: what_if(workspace, run, {"rule_0": {"low": "0.01"}}, 5),
            "page": lambda: write_slider(FinishedRun(workspace, run), histograms, str(page)),
        }
        for name, job in jobs.items():
            seconds = [_cpu_s(job) for _ in range(options.repeats)]
            print(f"{name}: {statistics.median(seconds):.2f} s of CPU, median of {options.repeats}")
        print(
            f"{options.documents:,} documents, {options.rules} rules; the page has {page.stat().st_size / 1e6:.1f} MB"
        )


def _cpu_s(job: Callable[[], object]) -> float:
    began = time.process_time()
    job()
    return time.process_time() - began


if __name__ == "__main__":
    main()
