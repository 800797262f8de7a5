"""``textmill demo``: a synthetic crawl, the whole pipeline on it, and how much it found of what was planted."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from textmill.filters.pii import PLACEHOLDERS
from textmill.pipeline import dag as dags
from textmill.pipeline.finished import FinishedRun
from textmill.pipeline.query import row_groups
from textmill.pipeline.report import account_of, print_report
from textmill.pipeline.stage import Stage
from textmill.pipeline.workspace import Run, Workspace
from textmill.simulate.crawl import write_crawl
from textmill.simulate.truth import Measure, evaluate
from textmill.terminal import console, table

Execute = Callable[[argparse.Namespace, Stage, str], tuple[Workspace, Run]]


def run_demo(options: argparse.Namespace, execute: Execute) -> None:
    """Write the crawl unless it is there, run the DAG ``demo`` on it with ``execute``, and show what came of it."""
    Workspace(options.out).create()
    crawl = Path(options.out, f"crawl-{options.pages}")
    truth = crawl / "truth.parquet"
    if not truth.exists():  # written last, so it stands for the whole crawl
        print(f"writing a synthetic crawl of {options.pages:,} pages to {crawl}")
        write_crawl(crawl, n_pages=options.pages)
    dag = dags.load_dag("demo")
    values, bounds = dags.parse_settings(dag, [f"warcs={crawl}", *options.settings])
    workspace, run = execute(options, dags.build(dag, values, bounds), "demo")
    print_report(account_of(FinishedRun(workspace, run)))
    if {"gate_scores", "clusters", "corpus"} <= run.stages.keys():
        _print_measures(_measures(workspace, run, pq.read_table(truth)))
    _say_what_next(workspace, workspace.report_page(run))


def _measures(workspace: Workspace, run: Run, truth: pa.Table) -> list[Measure]:
    def rows(name: str, *columns: str) -> pa.Table:
        groups = [group.select(["doc_id", *columns]) for group in row_groups(workspace, run, name)]
        return pa.concat_tables(groups)

    pages = rows("pages", "url", "status", "text")
    urls = pages.select(["doc_id", "url"])
    scores = rows("gate_scores", "language").join(urls, "doc_id")
    clusters = rows("clusters", "cluster").join(urls, "doc_id")
    documents, corpus = rows("documents", "url"), rows("corpus", "url", "text")
    return evaluate(truth, pages, scores, documents, clusters, corpus, masks=PLACEHOLDERS)


def _print_measures(measures: list[Measure]) -> None:
    rows = [
        [m.name, "none to measure" if m.value is None else f"{m.value:.1%}", m.n, m.note]
        for m in measures
        if not m.name.startswith(("language_recall", "language_precision"))
    ]
    console().print(table("what the run found of what was planted", ["measure", "share", "of", "which"], rows))


def _say_what_next(workspace: Workspace, page: str) -> None:
    work = workspace.root
    textmill = "textmill" if shutil.which("textmill") else sys.argv[0]
    print(
        f"\nreport: {page}\n\nnext:\n"
        f"  {textmill} show {work} decisions --where 'not keep' -n 5      # who was dropped\n"
        f"  {textmill} explain {work} URL_OR_ID                           # why\n"
        f"  {textmill} demo --out {work} --set gopher_words.low=80        # another bound: only decisions run again\n"
        f"  {textmill} run common_crawl --set warcs=YOUR.warc.gz          # the same on an archive of yours"
    )
