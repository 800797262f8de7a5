"""Whole pipelines on a small simulated crawl: the same bytes whoever does the work, nothing done twice, no row lost."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_stage import Silent, tree

from textmill import cli, storage
from textmill.pipeline import dag as dags
from textmill.pipeline.executors import Dask, Serial
from textmill.pipeline.runner import Executor, run_pipeline
from textmill.pipeline.stage import Stage
from textmill.pipeline.stages.tokens import TrainTokenizer
from textmill.pipeline.workspace import Workspace, new_run
from textmill.schema import show_doc_id
from textmill.simulate.crawl import write_crawl
from textmill.tokenize import Tokenizer, train_from_counts
from textmill.tokenize.encoding.tokenizer import END_OF_TEXT
from textmill.tokenize.pretokens.pretokenizer import Pretokenizer
from textmill.tokenize.shards.token_shards import SPLITS, TokenShards

SETTINGS = ("language_model=builtin", "vocab_size=500", "steps=4", "shard_mb=0.1")
TEXTMILL = [sys.executable, "-m", "textmill"]


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crawl")
    write_crawl(folder, n_pages=150)
    return folder


def pipeline(crawl: Path, *settings: str, to: str = "tokens") -> Stage:
    dag = dags.load_dag("demo")
    values, bounds = dags.parse_settings(dag, [f"warcs={crawl}", *SETTINGS, *settings])
    return dags.cut(dags.build(dag, values, bounds), to)


def run(root: Path, target: Stage, executor: Executor) -> dict[str, int]:
    workspace, progress = Workspace(str(root)), Silent()
    workspace.create()
    try:
        with workspace.locked():
            run_pipeline(new_run("demo", [], target), target, workspace, executor, progress)
    finally:
        executor.close()
    return progress.ran


@pytest.fixture(scope="module")
def finished(crawl: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, done serially."""
    root = tmp_path_factory.mktemp("serial") / "w"
    run(root, pipeline(crawl), Serial())
    return root


@pytest.mark.parametrize("n_workers", [1, 2])
def test_dask_makes_the_same_bytes_as_one_process(crawl: Path, finished: Path, tmp_path: Path, n_workers: int) -> None:
    run(tmp_path / "w", pipeline(crawl), Dask(n_workers))
    assert tree(tmp_path / "w") == tree(finished)


def test_nothing_vanishes_from_records_to_tokens(crawl: Path, finished: Path) -> None:
    target = pipeline(crawl)
    totals = {s.name: storage.read_json(f"{finished}/{s.folder}/_SUCCESS") for s in target.ancestry()}
    truth = pq.read_table(crawl / "truth.parquet")
    assert totals["pages"]["rows_in"] == len(truth)
    assert totals["documents"]["rows_in"] == totals["pages"]["rows_out"]
    assert totals["corpus"]["rows_in"] == totals["documents"]["rows_out"]
    assert totals["tokens"]["rows_in"] == totals["corpus"]["rows_out"] > 0
    for name in ("documents", "corpus"):
        removed = sum(n for key, n in totals[name].items() if key.startswith("removed_"))
        assert totals[name]["rows_in"] - removed == totals[name]["rows_out"]
    statuses = sum(n for key, n in totals["pages"].items() if key.startswith("status_"))
    assert statuses == len(truth)


def test_tokens_are_the_corpus_and_lead_back_to_it(finished: Path) -> None:
    corpus = pa.concat_tables([pq.read_table(path) for path in sorted(finished.glob("corpus-*/*.parquet"))])
    texts = dict(zip(corpus["doc_id"].to_pylist(), corpus["text"].to_pylist(), strict=True))
    (path,) = finished.glob("tokenizer-*/tokenizer.json")
    tokenizer, found = Tokenizer.load(path), {}
    (folder,) = map(str, finished.glob("tokens-*"))
    for shards in (TokenShards.open(folder, split) for split in SPLITS):
        for i, offsets in enumerate(shards.offsets):
            for start, end in pairwise(offsets.tolist()):
                at = shards.locate_in(i, start)
                assert (at.token, at.n_tokens) == (0, end - start)
                found[at.doc_id] = tokenizer.decode(shards.tokens[i][start : end - 1])
    assert found == texts


def test_a_token_of_a_mix_is_traced_to_its_page(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mixed = tmp_path / "mixed"
    assert cli.main(["shards", "mix", "--source", f"crawl={finished}:2x", "--out", str(mixed)]) == 0
    capsys.readouterr()
    at = TokenShards.open(str(mixed), "train").locate(300)
    for address, offset in ((str(mixed), 300), (str(mixed / "train/tokens-00000.bin"), 300)):
        assert cli.main(["shards", "trace", address, str(offset)]) == 0
        shown = capsys.readouterr().out
        assert f"token {at.token + 1:,} of {at.n_tokens:,}, source crawl" in shown
        assert f"page {show_doc_id(at.doc_id)}  {at.url}" in shown
        assert f"{at.warc_file}, bytes {at.warc_offset:,} to" in shown
        assert "rules fail" in shown and "verdict  kept" in shown
    assert cli.main(["shards", "trace", str(finished), "300"]) == 0
    assert "source web" in capsys.readouterr().out


def test_a_threshold_reruns_only_the_decision_and_what_follows(crawl: Path, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "w")
    ran = run(tmp_path / "w", pipeline(crawl, "gopher_words.low=120"), Serial())
    rerun = {"decisions", "keepers", "corpus", "pretokens", "tokenizer", "tokens"}
    assert {name for name, n in ran.items() if n} == rerun


@pytest.mark.parametrize("tie_break", ["bytes", "first"])
def test_the_tokenizer_is_trained_on_the_whole_corpus(
    crawl: Path, finished: Path, tmp_path: Path, tie_break: str
) -> None:
    shutil.copytree(finished, tmp_path / "w")
    trainer = pipeline(crawl, to="tokenizer")
    assert isinstance(trainer, TrainTokenizer)
    target = replace(trainer, tie_break=tie_break)
    run(tmp_path / "w", target, Serial())
    corpus, pretokens = (sorted((tmp_path / "w").glob(f"{name}-*/*.parquet")) for name in ("corpus", "pretokens"))
    assert len(pretokens) == len(corpus) > 1
    counts: Counter[bytes] = Counter()
    for texts, found in zip(corpus, pretokens, strict=True):
        one = count_in_order(pq.read_table(texts)["text"].to_pylist())
        table = pq.read_table(found)
        assert table["pretoken"].to_pylist() == sorted(one)
        assert dict(zip(table["pretoken"].to_pylist(), table["count"].to_pylist(), strict=True)) == one
        counts.update(one)
    vocab, merges = train_from_counts(counts, 500, [END_OF_TEXT], tie_break=tie_break)
    trained = Tokenizer.load(tmp_path / "w" / target.folder / "tokenizer.json")
    assert (trained.vocab, trained.merges) == (vocab, merges)


def count_in_order(texts: list[str]) -> Counter[bytes]:
    """Pages that say the special token are cut there."""
    pretokenizer = Pretokenizer([END_OF_TEXT])
    found = (pretoken for text in texts for pretoken in pretokenizer.split(text) if pretoken != END_OF_TEXT)
    return Counter(map(str.encode, found))


def test_the_same_pipeline_from_a_new_process_is_the_same_pipeline(crawl: Path) -> None:
    code = (
        "from textmill.pipeline import dag as d; dag = d.load_dag('demo');"
        f"v, b = d.parse_settings(dag, {[f'warcs={crawl}', *SETTINGS]!r});"
        "print(d.cut(d.build(dag, v, b), 'pages').folder)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == pipeline(crawl, to="pages").folder


def start(crawl: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    command = [*TEXTMILL, "run", "demo", "--out", str(out), "--to", "corpus", *options]
    for setting in (f"warcs={crawl}", *SETTINGS):
        command += ["--set", setting]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def finish(process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate()
    assert process.returncode == 0, errors


def wait_for(out: Path, pattern: str, process: subprocess.Popen[str]) -> None:
    while not list(out.glob(pattern)):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


@pytest.mark.parametrize("options", [("--serial",), ("--workers", "2")])
def test_a_killed_run_resumes_to_the_same_bytes(
    crawl: Path, finished: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    process = start(crawl, tmp_path / "w", *options)
    wait_for(tmp_path / "w", "pages-*/00001.manifest.json", process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    finish(start(crawl, tmp_path / "w", "--serial"))
    folders = {stage.folder for stage in pipeline(crawl, to="corpus").ancestry()}
    resumed = tree(tmp_path / "w")
    assert folders <= {Path(name).parts[0] for name in resumed}
    assert resumed == {
        name: data for name, data in tree(finished).items() if Path(name).parts[0] in folders or "/" not in name
    }


@pytest.mark.parametrize(
    ("options", "moment"),
    [
        (("--serial",), "pages-*/00000.manifest.json"),
        (("--workers", "2"), "pages-*/stage.json"),  # while the cluster starts
        (("--workers", "2"), "pages-*/00000.manifest.json"),
    ],
)
def test_an_interrupted_run_says_how_to_go_on(
    crawl: Path, tmp_path: Path, options: tuple[str, ...], moment: str
) -> None:
    process = start(crawl, tmp_path / "w", *options)
    wait_for(tmp_path / "w", moment, process)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "interrupted; the same command goes on from here" in errors
    assert "Traceback" not in errors


def test_sockets_of_the_local_cluster_are_on_loopback(crawl: Path, tmp_path: Path) -> None:
    import psutil

    class Looking(Dask):
        hosts: ClassVar[set[str]] = set()

        def close(self) -> None:
            here = psutil.Process()
            for process in [here, *here.children(recursive=True)]:
                listening = (c for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN)
                self.hosts |= {connection.laddr.ip for connection in listening}
            super().close()

    run(tmp_path / "w", pipeline(crawl, to="pages"), Looking(1))
    assert Looking.hosts == {"127.0.0.1"}


class RangeHandler(SimpleHTTPRequestHandler):
    """Serves the files of a folder, and byte ranges of them, as archives' servers do."""

    def do_GET(self) -> None:
        data = Path(self.translate_path(self.path)).read_bytes()
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        first, last = (int(wanted[1]), min(int(wanted[2]), len(data) - 1)) if wanted else (0, len(data) - 1)
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(last + 1 - first))
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        self.end_headers()
        self.wfile.write(data[first : last + 1])

    def end_headers(self) -> None:
        self.send_header("Accept-Ranges", "bytes")
        super().end_headers()

    def log_message(self, format: str, *arguments: object) -> None: ...


def test_an_archive_behind_a_url_is_the_same_archive(crawl: Path, finished: Path, tmp_path: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(RangeHandler, directory=crawl))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        names = [path.name for path in sorted(crawl.glob("*.warc.gz"))]
        urls = ",".join(f"http://127.0.0.1:{server.server_port}/{name}" for name in names)
        dag = dags.load_dag("demo")
        values, bounds = dags.parse_settings(dag, [f"warcs={urls}", *SETTINGS])
        target = dags.cut(dags.build(dag, values, bounds), "pages")
        run(tmp_path / "w", target, Serial())
    finally:
        server.shutdown()
        server.server_close()

    def pages(root: Path) -> pa.Table:
        files = sorted(root.glob("pages-*/*.parquet"))
        return pa.concat_tables([pq.read_table(file) for file in files]).drop_columns("warc_file")

    assert pages(tmp_path / "w").equals(pages(finished))
