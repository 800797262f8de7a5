"""People's own files: what is odd in them is named in one line or goes through unchanged, and none is lost."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from textmill.cli import main
from textmill.errors import InputError
from textmill.pipeline.rows import TextFile, TextWriter, find_text_files, read_rows

TEXTS = [f"the quick brown fox number {i % 2} jumps over the lazy dogs" for i in range(6)]


def write_lines(path: Path, texts: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


@pytest.mark.parametrize("method", ["minhash", "exact"])
def test_files_are_not_written_over_themselves_or_into_files(
    tmp_path: Path, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_lines(tmp_path / "in" / "a.jsonl", TEXTS)
    before = source.read_bytes()
    (tmp_path / "file").touch()
    for out, expected in [
        (source.parent, "would be overwritten"),
        (tmp_path / "file", "is a file"),
        (tmp_path / "file" / "x", "is a file"),
        ("s3://bucket/x", "local folder"),
    ]:
        assert main(["dedup", str(source.parent), "--out", str(out), "--method", method, "--serial"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert expected in line
    assert source.read_bytes() == before
    assert [path.name for path in source.parent.iterdir()] == ["a.jsonl"]


def test_decontaminate_does_not_write_over_what_it_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_lines(tmp_path / "documents" / "a.jsonl", ["nothing of it"])
    items = tmp_path / "items.jsonl"
    items.write_text(json.dumps({"question": " ".join(map(str, range(30)))}))
    for out, expected in [(tmp_path, "would be overwritten"), (items, "is a file")]:
        assert main(["decontaminate", str(source), "--items", str(items), "--out", str(out), "--action", "drop"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert expected in line
    (tmp_path / "o" / ".scratch" / "of somebody else").mkdir(parents=True)
    assert main(["decontaminate", str(source), "--items", str(items), "--out", str(tmp_path / "o")]) == 0


def test_damage_is_named_without_the_advice_to_delete(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"no Parquet")
    for read in (lambda uri: list(TextFile(uri, 0).batches()), lambda uri: list(read_rows(uri))):
        with pytest.raises(InputError, match="damaged") as raised:
            read(str(tmp_path / "a.parquet"))
        assert "delete" not in str(raised.value)


def test_deep_and_broken_lines_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    for broken in ('{"text": "a', '{"text": "a", "x": ' + "[" * 200_000):
        path.write_text('{"text": "a"}\n' * 9 + broken)
        for read in (lambda uri: list(TextFile(uri, 0).batches()), lambda uri: list(read_rows(uri))):
            with pytest.raises(InputError, match="line 10 is no JSON"):
                read(str(path))


def test_text_that_is_no_utf8_is_named(tmp_path: Path) -> None:
    raw = pa.array([b"sound", b"caf\xe9 au lait"], pa.binary())
    text = pa.Array.from_buffers(pa.string(), 2, raw.buffers())
    pq.write_table(pa.table({"text": text}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"a\.parquet: column 'text' holds no text \(Invalid UTF8"):
        list(TextFile(str(tmp_path / "a.parquet"), 0).batches())


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table([pa.array(["a"]), pa.array(["b"])], names=["text", "text"]), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="2 columns are called 'text'"):
        list(TextFile(str(tmp_path / "a.parquet"), 0).batches())


def test_values_of_any_column(tmp_path: Path) -> None:
    table = pa.table({"text": ["a", "b"], "url": ["http://a", None], "line": pa.array([b"x", b"y"], pa.large_binary())})
    pq.write_table(table, tmp_path / "a.parquet")
    (batch,) = TextFile(str(tmp_path / "a.parquet"), 0).batches()
    assert batch.values("url").to_pylist() == ["http://a", ""]
    (tmp_path / "a.jsonl").write_text('{"text": "a", "url": "\\ud800"}\n{"text": "b", "url": 3}\n')
    (batch,) = TextFile(str(tmp_path / "a.jsonl"), 0).batches()
    assert batch.values("url").to_pylist() == ["?", ""]


@pytest.mark.parametrize("kind", [pa.string(), pa.dictionary(pa.int32(), pa.string()), pa.binary()])
def test_rows_that_do_not_change_stay_as_they_were(tmp_path: Path, kind: pa.DataType) -> None:
    texts = pa.array(["a", None, "", "b"]).cast(kind)
    pq.write_table(pa.table({"text": texts}), tmp_path / "a.parquet")
    file = TextFile(str(tmp_path / "a.parquet"), 0)
    (batch,) = file.batches()
    for edited in ("b", "c"):
        with TextWriter(file, tmp_path / "b.parquet") as writer:
            writer.write(batch, pa.array(["a", "", "", edited], pa.large_string()), np.array([True] * 4))
        written = pq.read_table(tmp_path / "b.parquet")
        assert written["text"].cast(pa.string()).to_pylist() == ["a", None, "", edited]
        assert written.schema == pq.read_schema(tmp_path / "a.parquet")


@pytest.mark.parametrize("method", ["exact", "lines", "minhash"])
def test_views_of_strings_are_read_and_written_as_strings(tmp_path: Path, method: str) -> None:
    rows = [
        {"text": "one text of a few words", "tags": ["a"], "of": {"name": "x", "raw": b"1"}},
        {"text": "one text of a few words", "tags": [], "of": {"name": "y", "raw": b"2"}},
        {"text": None, "tags": None, "of": None},
    ]
    kinds = {"name": pa.string_view(), "raw": pa.binary_view()}
    schema = pa.schema(
        {"text": pa.string_view(), "tags": pa.list_(pa.string_view()), "of": pa.struct(list(kinds.items()))}
    )
    pq.write_table(pa.Table.from_pylist(rows, schema), tmp_path / "a.parquet")
    command = ["dedup", str(tmp_path / "a.parquet"), "--out", str(tmp_path / "out"), "--method", method]
    assert main([*command, "--keep", "first", "--serial"]) == 0
    assert pq.read_table(tmp_path / "out" / "a.parquet").to_pylist() == [rows[0], rows[2]]


def test_documents_of_two_files_never_share_an_id(tmp_path: Path) -> None:
    table = pa.table({"text": ["a", "b"], "doc_id": pa.array([7, 7], pa.uint64())})
    for name in ("a.parquet", "b.parquet"):
        pq.write_table(table, tmp_path / name)
    files = find_text_files([str(tmp_path)])
    ids = [batch.doc_ids.tolist() for file in files for batch in file.batches()]
    assert ids == [[0, 1], [1 << 32, (1 << 32) + 1]]


def test_pairs_that_must_be_equal_make_a_report(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "a.jsonl", TEXTS)
    settings = ["--set", "similarity=1", "--serial"]
    assert main(["dedup", str(source), "--out", str(tmp_path / "o"), *settings]) == 0
    assert len((tmp_path / "o" / "a.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("content", "expected"),
    [("question,answer\na,b\na,b,c\n", "line 3 has more values"), ('question\n"a\nb\nc\n', "unexpected end of data")],
)
def test_csv_that_is_no_table_is_named(tmp_path: Path, content: str, expected: str) -> None:
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(InputError, match=expected):
        list(read_rows(str(tmp_path / "a.csv")))


def test_a_document_of_a_file_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"text": f"{text} and\x1b[31m more of them", "url": f"http://a/{i}"} for i, text in enumerate(TEXTS[::2])]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["dedup", str(tmp_path / "a.jsonl"), "--out", str(tmp_path / "o"), "--serial"]) == 0
    capsys.readouterr()
    for page, verdict in [("http://a/0", "kept"), ("0:1", "dropped as a copy")]:
        assert main(["explain", str(tmp_path / "o" / "run"), page]) == 0
        shown = capsys.readouterr().out
        assert f"verdict  {verdict}" in shown
        assert "cluster of 3" in shown
        assert "\x1b" not in shown
    assert main(["explain", str(tmp_path / "o" / "run"), "http://b"]) == 2
    assert "run documents` lists some" in capsys.readouterr().err
