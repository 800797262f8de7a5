"""Publishing, manifests, aligned reading."""

from __future__ import annotations

import copy
import errno
import json
from pathlib import Path
from urllib.parse import urlsplit

import fsspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill import schema, storage
from textmill.errors import InputError, InvariantError, WorkspaceError

SCHEMA = pa.schema([pa.field("doc_id", pa.uint64(), nullable=False), pa.field("n", pa.int64(), nullable=False)])


def rows(*ids: int) -> pa.Table:
    return pa.table({"doc_id": pa.array(ids, pa.uint64()), "n": pa.array(ids, pa.int64())}, schema=SCHEMA)


def write(path: Path, *groups: tuple[int, ...]) -> str:
    with storage.TableWriter(path, SCHEMA) as writer:
        for group in groups:
            writer.write(rows(*group))
    return str(path)


def publish(folder: Path, scratch: Path, content: bytes, fingerprint: str = "f" * 16) -> storage.Manifest:
    file = scratch / "00000.bin"
    file.write_bytes(content)
    outputs = storage.describe({"00000.bin": file}, {"00000.bin": 1})
    manifest = storage.Manifest("stage", fingerprint, "00000", outputs, {"rows_in": 1})
    storage.publish_task(str(folder), manifest, {"00000.bin": file})
    return manifest


def test_a_published_task_is_read_back(tmp_path: Path) -> None:
    manifest = publish(tmp_path / "out", tmp_path, b"abc")
    assert storage.read_manifest(str(tmp_path / "out"), "00000", "f" * 16) == manifest
    assert storage.manifests(str(tmp_path / "out")) == {"00000": manifest}


def test_no_file_is_published_in_the_place_of_a_folder(tmp_path: Path) -> None:
    source, folder = tmp_path / "made", tmp_path / "folder"
    source.write_bytes(b"abc")
    folder.mkdir()
    with pytest.raises(WorkspaceError, match="folder: a folder; give the name of a file"):
        storage.publish(source, str(folder))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "made"]


def test_without_its_data_a_manifest_does_not_count(tmp_path: Path) -> None:
    publish(tmp_path / "out", tmp_path, b"abc")
    (tmp_path / "out" / "00000.bin").write_bytes(b"ab")
    assert storage.read_manifest(str(tmp_path / "out"), "00000", "f" * 16) is None
    (tmp_path / "out" / "00000.bin").unlink()
    assert storage.read_manifest(str(tmp_path / "out"), "00000", "f" * 16) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"outputs": 3}', b"\xff\xfe"])
def test_a_damaged_manifest_does_not_count(tmp_path: Path, content: bytes) -> None:
    publish(tmp_path / "out", tmp_path, b"abc")
    Path(storage.manifest_uri(str(tmp_path / "out"), "00000")).write_bytes(content)
    assert storage.read_manifest(str(tmp_path / "out"), "00000", "f" * 16) is None


def test_a_manifest_of_another_fingerprint_does_not_count(tmp_path: Path) -> None:
    publish(tmp_path / "out", tmp_path, b"abc")
    assert storage.read_manifest(str(tmp_path / "out"), "00000", "0" * 16) is None


def test_a_second_attempt_with_the_same_bytes_changes_nothing(tmp_path: Path) -> None:
    publish(tmp_path / "out", tmp_path, b"abc")
    publish(tmp_path / "out", tmp_path, b"abc")


def test_a_second_attempt_with_other_bytes_is_a_bug(tmp_path: Path) -> None:
    publish(tmp_path / "out", tmp_path, b"abc")
    with pytest.raises(InvariantError, match="other bytes"):
        publish(tmp_path / "out", tmp_path, b"abd")
    assert (tmp_path / "out" / "00000.bin").read_bytes() == b"abc"


def test_tables_are_read_side_by_side(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a", (1, 2), (3,)), write(tmp_path / "b", (1, 2), (3,))
    groups = list(storage.read_aligned({a: ["n"], b: []}))
    assert [[t.to_pydict() for t in g] for g in groups] == [
        [{"doc_id": [1, 2], "n": [1, 2]}, {"doc_id": [1, 2]}],
        [{"doc_id": [3], "n": [3]}, {"doc_id": [3]}],
    ]


@pytest.mark.parametrize("other", [((1, 3), (3,)), ((1, 2, 3),), ((1, 2),)])
def test_tables_that_do_not_agree_are_a_bug(tmp_path: Path, other: tuple[tuple[int, ...], ...]) -> None:
    a, b = write(tmp_path / "a", (1, 2), (3,)), write(tmp_path / "b", *other)
    with pytest.raises(InvariantError):
        list(storage.read_aligned({a: None, b: None}))


@pytest.mark.parametrize("ids", [[], [0], [3, 4, 7], [6, 11, 20], [20, 29], [30], list(range(40))])
def test_rows_are_read_by_id(tmp_path: Path, ids: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "PIECE_ROWS", 4)
    groups = tuple(range(10)), tuple(range(10, 11)), tuple(range(20, 30))
    uri = write(tmp_path / "a", *groups)
    found = [table["n"].to_pylist() for table in storage.read_ids(uri, ["n"], np.array(ids, np.uint64))]
    assert found == [same for group in groups if (same := [i for i in group if i in ids])]


def test_a_table_with_a_stray_null_or_column_is_a_bug(tmp_path: Path) -> None:
    with storage.TableWriter(tmp_path / "a", SCHEMA) as writer:
        with pytest.raises(InvariantError, match="null in column 'n'"):
            writer.write(
                pa.table({"doc_id": pa.array([1], pa.uint64()), "n": pa.array([None], pa.int64())}, schema=SCHEMA)
            )
        with pytest.raises(InvariantError, match="columns"):
            writer.write(pa.table({"doc_id": pa.array([1], pa.uint64())}))


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a", (1, 2), (3,)), write(tmp_path / "b", (1, 2), (3,))
    assert Path(a).read_bytes() == Path(b).read_bytes()


@pytest.mark.parametrize("uri", ["simplecache::s3://a/b", "reference://x", "ssh://host/file", "github://a:b@c"])
def test_chained_and_exotic_protocols_are_refused(uri: str) -> None:
    with pytest.raises(InputError, match="protocol not allowed"):
        storage.filesystem(uri)


def test_document_ids_are_written_and_read() -> None:
    number = schema.doc_id(3, 4096, 2)
    assert (schema.file_number(number), number & 0xFFFFFFFF) == (3, 258)
    assert schema.read_doc_id(schema.show_doc_id(number)) == number
    assert schema.read_doc_id(str(number)) == number
    assert [schema.read_doc_id(text) for text in ("http://a/", "x", "-1", "1:2:3", "", str(1 << 64))] == [None] * 6


def test_flipped_bytes_of_equal_size_are_found(tmp_path: Path) -> None:
    uri = write(tmp_path / "a", tuple(range(1000)))
    whole = Path(uri).read_bytes()
    expected = storage.read_table(uri)
    for position in range(4, len(whole), 97):
        Path(uri).write_bytes(whole[:position] + bytes([whole[position] ^ 4]) + whole[position + 1 :])
        try:
            assert storage.read_table(uri).equals(expected), f"byte {position}: other rows, and nobody noticed"
        except InputError as error:
            assert "damaged" in str(error)


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    with pytest.raises(KeyboardInterrupt), storage.whole_folder(str(out)) as folder:
        (folder / "a").write_text("a")
        raise KeyboardInterrupt
    assert list(out.parent.iterdir()) == []
    out.mkdir()  # an empty one is taken for none
    with storage.whole_folder(str(out)) as folder:
        (folder / "a").write_text("a")
        assert not (out / "a").exists()
    assert (out / "a").read_text() == "a"
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    there = "is there already"
    below = r"a/b: cannot be written \(Not a directory\); choose another --out"
    for taken, why in (
        (str(out), there),
        (str(out / "a"), there),
        (str(out / "a" / "b"), below),
        ("/proc/out", r"/proc/out: cannot be written \(No such file"),
        ("s3://bucket/x", "not a local folder"),
    ):
        with pytest.raises(WorkspaceError, match=why), storage.whole_folder(taken):
            pass
    for taken in (str(out / "a"), "/proc"):
        with pytest.raises(WorkspaceError, match="no folder can be made there"), storage.passing_scratch(taken):
            pass


def test_a_full_disk_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    file, folder = str(tmp_path / "a.json"), str(tmp_path / "out")
    with pytest.raises(OSError, match="No space left") as caught:
        storage.write_text("{}", file)
    assert caught.value.filename == file
    with pytest.raises(OSError, match="No space left") as caught, storage.whole_folder(folder) as beside:
        (beside / "x").write_bytes(b"x")
    assert caught.value.filename == folder
    assert not list(tmp_path.iterdir())


def test_of_two_at_one_folder_the_first_stays(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(WorkspaceError, match="somebody else has written it meanwhile"), storage.whole_folder(str(out)):
        out.mkdir()
        (out / "theirs").touch()
    assert list(tmp_path.rglob("*")) == [out, out / "theirs"]


def test_a_manifest_of_wrong_types_is_refused(tmp_path: Path) -> None:
    publish(tmp_path, tmp_path, b"abc")
    path = tmp_path / "00000.manifest.json"
    sound = {name: value for name, value in json.loads(path.read_text()).items() if name != "sha256"}
    for wrong in ({"counts": [1]}, {"meta": "x"}, {"outputs": ["x"]}, {"counts": None}):
        path.write_text(json.dumps(sound | wrong))
        with pytest.raises(InputError, match="not a manifest of textmill"):
            storage.manifests(str(tmp_path))


def test_a_manifest_changed_by_hand_is_refused_and_its_task_runs_again(tmp_path: Path) -> None:
    manifest = storage.Manifest("stage", "f", "00000", {}, {"rows_in": 1})
    storage.publish_task(str(tmp_path), manifest, {})
    assert storage.manifests(str(tmp_path)) == {"00000": manifest}
    path = tmp_path / "00000.manifest.json"
    path.write_text(path.read_text().replace('"rows_in": 1', '"rows_in": 2'))
    with pytest.raises(InputError, match=r"00000\.manifest\.json: changed since it was written"):
        storage.manifests(str(tmp_path))
    assert storage.read_manifest(str(tmp_path), "00000", "f") is None
    storage.publish_task(str(tmp_path), manifest, {})
    assert storage.manifests(str(tmp_path)) == {"00000": manifest}


URL_PIECES = [
    "http",
    "https://",
    "http://",
    "HTTP://",
    "//",
    "a.example",
    "A",
    "-",
    "..",
    ":",
    ":80",
    "@",
    "[",
    "]",
    "%",
    "_",
]
URL_PIECES += ["/", "?", "#", " ", "\n", "\t", "\0", "ä", "℀", "u:p@", "[::1]", "."]


@settings(max_examples=500)
@given(st.sampled_from(["http://", "https://", "HTTP://", ""]), st.lists(st.sampled_from(URL_PIECES), max_size=8))
def test_hosts_are_what_the_parser_of_urls_finds(start: str, pieces: list[str]) -> None:
    url = "".join([start, *pieces])
    try:
        expected = urlsplit(url).hostname or ""
    except ValueError:
        expected = ""
    assert storage.host_of(url) == expected


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.ENOSPC, "full"), FileNotFoundError()])
def test_what_is_wrong_here_is_not_put_down_to_the_store(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, storage.reached("s3://bucket/a"):
        raise error
    assert caught.value is error


def test_the_file_system_of_a_store_can_be_copied() -> None:
    fs = storage._Reached(fsspec.filesystem("memory"), "memory://a")
    assert copy.deepcopy(fs).protocol == fs.protocol == "memory"
