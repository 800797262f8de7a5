"""Texts of files of all kinds."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from textmill.errors import InputError
from textmill.pipeline import texts
from textmill.pipeline.texts import read_batches, read_texts

PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>A page that says a few words about nothing much.</p>"


def warc(*hosts: str) -> bytes:
    records = []
    for host in hosts:
        named = f"WARC-Type: response\r\nWARC-Target-URI: http://{host}/\r\nWARC-Date: 2024-01-01T00:00:00Z\r\n"
        head = f"WARC/1.0\r\n{named}Content-Type: application/http\r\nContent-Length: {len(PAGE)}\r\n\r\n"
        records.append(gzip.compress(head.encode() + PAGE + b"\r\n\r\n"))
    return b"".join(records)


def test_texts_are_read_by_the_ending_of_the_name(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\n \nthree")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b'{"text": "four"}\n\n{"text": "five\\nsix"}\n'))
    pq.write_table(pa.table({"text": ["seven", None]}), tmp_path / "c.parquet")
    (tmp_path / "d.csv").write_text("text,host\neight,h\n")
    (tmp_path / "e.warc.gz").write_bytes(warc("a.example"))
    names = ("a.txt", "b.jsonl.gz", "c.parquet", "d.csv", "e.warc.gz")
    (batch,) = read_batches([str(tmp_path / name) for name in names])
    expected = ["one\ntwo\n", "three", "four", "five\nsix", "seven", "eight"]
    assert batch.text.to_pylist() == [*expected, "A page that says a few words about nothing much."]


def test_hosts_say_what_belongs_together(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"text": "a", "group": "g", "host": "h"},
        {"text": "b", "host": "h", "url": "http://u.example/"},
    ]
    rows += [{"text": "c", "url": "http://u.example/x"}, {"text": "d"}]
    rows += [{"text": "e", "url": 5}, {"text": "f", "group": 7}]  # whatever JSON has
    (tmp_path / "a.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (tmp_path / "b.warc.gz").write_bytes(warc("a.example", "b.example"))
    groups = [[group for _, group in read_texts(str(tmp_path / name))] for name in ("a.jsonl", "b.warc.gz")]
    assert groups == [["g", "h", "u.example", "d", "e", "7"], ["a.example", "b.example"]]


def test_long_texts_come_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "BATCH_CHARS", 6)
    (tmp_path / "a.txt").write_text("one\ntwo\nthree\n\nfour\n")
    batches = [batch.text.to_pylist() for batch in read_batches([str(tmp_path / "a.txt")])]
    assert batches == [["one\ntwo\n"], ["three\n"], ["four\n"]]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", None, "a.txt: cannot read this file"),
        ("a.txt.gz", b"text", "cannot read this file"),
        ("a.txt.gz", gzip.compress(b"text" * 1000)[:-9], "cannot read this file"),
        ("a.jsonl", b'{"text": "a"}\nnot json\n', "line 2 is no JSON"),
        ("a.jsonl", b'{"text": "a"}\n[]\n', "row 2 has no text"),
        ("a.jsonl", b'{"text": 1}\n', "row 1 has no text"),
        ("a.csv", b"txt\na\n", "row 1 has no text"),
        ("a.parquet", b"PAR1", "damaged"),
        ("b.parquet", "other", "row 1 has no text"),
        ("a.warc.gz", b"no archive" * 100, "a.warc.gz: not a web archive"),
        ("a.warc.gz", None, "a.warc.gz: cannot read this file"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(
    tmp_path: Path, name: str, content: bytes | str | None, message: str
) -> None:
    path = tmp_path / name
    if isinstance(content, str):
        pq.write_table(pa.table({content: ["a"]}), path)
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        list(read_batches([str(path)]))
