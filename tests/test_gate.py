"""The first gate of common_crawl: wishes of owners and deny-lists, counted by reason, and shown by explain."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_stage import Silent

from textmill import storage
from textmill.errors import UserError
from textmill.pipeline import dag as dags
from textmill.pipeline.executors import Serial
from textmill.pipeline.explain import explain
from textmill.pipeline.runner import run_pipeline
from textmill.pipeline.workspace import Workspace, new_run

TEXT = "<p>" + "The quick brown fox jumps over the lazy dog, and that is what dogs have to live with. " * 5 + "</p>"
PAGES = {  # by host: header fields, and what stands in <head>
    "kept": ((), "<title>A fox</title><html lang=en><meta property='article:published_time' content=2020-01-02>"),
    "noai": ((), "<meta name=robots content='noai, noarchive'>"),
    "header": (("X-Robots-Tag: otherbot: noai", "X-Robots-Tag: noai"), ""),
    "other": (("X-Robots-Tag: otherbot: noai",), ""),
    "tdm": (("tdm-reservation: 1",), ""),
    "usage": (("Content-Usage: train-ai=n",), ""),
    "noindex": ((), "<meta name=robots content=noindex>"),
    "denied": ((), ""),
}
REMOVED = {"removed_noai": 2, "removed_tdm_reservation": 1, "removed_train_ai": 1, "removed_url_denied": 1}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("crawl") / "pages.warc"
    with path.open("wb") as file:
        for host, (fields, head) in PAGES.items():
            lines = ["HTTP/1.1 200 OK", "Content-Type: text/html", *fields, "", head + "<body>" + TEXT]
            block = "\r\n".join(lines).encode()
            named = f"WARC-Target-URI: http://www.{host}.example/\r\nWARC-Date: 2024-01-01T00:00:00Z\r\n"
            kind = "WARC-Type: response\r\nContent-Type: application/http; msgtype=response\r\n"
            if host == "other":
                kind += "WARC-Truncated: length\r\n"
            file.write(f"WARC/1.0\r\n{kind}{named}Content-Length: {len(block)}\r\n\r\n".encode() + block + b"\r\n\r\n")
    return path


def run(archive: Path, root: Path, *settings: str) -> tuple[Workspace, dict[str, int], pa.Table]:
    """The counts of the gate, and the documents that pass it."""
    dag = dags.load_dag("common_crawl")
    deny_list = archive.parent / "domains"
    deny_list.write_text("denied.example\n")
    given = [f"warcs={archive}", "language_model=builtin", "language_score=0", f"deny_list={deny_list}", *settings]
    target = dags.cut(dags.build(dag, *dags.parse_settings(dag, given)), "documents")
    workspace = Workspace(str(root))
    workspace.create()
    with workspace.locked():
        run_pipeline(new_run("gate", [], target), target, workspace, Serial(), Silent())
    folder = root / target.folder
    return workspace, storage.read_json(f"{folder}/_SUCCESS"), pq.read_table(next(folder.glob("*.parquet")))


def test_pages_are_dropped_by_their_owners_wish_and_counted(archive: Path, tmp_path: Path) -> None:
    workspace, counts, documents = run(archive, tmp_path / "w")
    assert {name: n for name, n in counts.items() if name.startswith("removed_")} == REMOVED
    assert documents["host"].to_pylist() == ["www.kept.example", "www.other.example", "www.noindex.example"]
    assert documents["optout_noindex"].to_pylist() == [False, False, True]
    assert documents["truncated"].to_pylist() == ["", "length", ""]
    kept = documents.to_pylist()[0]
    assert (kept["title"], kept["html_lang"], kept["published"]) == ("A fox", "en", "2020-01-02")

    found = workspace.load_run(workspace.run_names()[0])
    told = "\n".join(explain(workspace, found, "http://www.kept.example/"))
    assert "title    A fox" in told
    assert "says     language en, published 2020-01-02" in told
    told = "\n".join(explain(workspace, found, "http://www.noai.example/"))
    assert "says     opts out: noai, noarchive" in told
    assert "verdict  dropped: noai" in told
    told = "\n".join(explain(workspace, found, "http://www.other.example/"))
    assert "cut short: length" in told


def test_rules_can_be_tightened_and_loosened(archive: Path, tmp_path: Path) -> None:
    _, counts, _ = run(archive, tmp_path / "w", "noindex.high=0", "noai.high=1", "url_denied.high=1")
    found = {name: n for name, n in counts.items() if name.startswith("removed_")}
    assert found == {"removed_noindex": 1, "removed_tdm_reservation": 1, "removed_train_ai": 1}


@pytest.mark.parametrize("score", ["65", "-.1", "nan", "inf"])
def test_a_language_score_that_is_no_share_is_refused_before_the_run(archive: Path, tmp_path: Path, score: str) -> None:
    with pytest.raises(UserError, match=f"language_score is {float(score):g}"):
        run(archive, tmp_path / "w", f"language_score={score}")
