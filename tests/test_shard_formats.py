"""Token files of other trainers: written byte for byte as their layouts say, and read back as the same documents.

The layouts are written a second time here, in plain Python, from the other projects' descriptions.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import struct
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill import schema
from textmill.cli import main
from textmill.errors import InputError, UnknownNameError, UserError, WorkspaceError
from textmill.tokenize import Tokenizer
from textmill.tokenize.shards import exports as shard_exports
from textmill.tokenize.shards import imports as shard_imports
from textmill.tokenize.shards.check import verify
from textmill.tokenize.shards.exports import export, pieces
from textmill.tokenize.shards.formats import FORMATS
from textmill.tokenize.shards.imports import Import, TokenFile, end_with, import_files, open_files, prepends
from textmill.tokenize.shards.token_shards import N_BYTES, RECORD, TokenFormat, TokenShards
from textmill.tokenize.shards.writer import TokenBatch, write_folder

E = 9  # the end-of-text token
VOCAB = 10
FORM = TokenFormat("uint16", VOCAB, "", E)
WIDE = TokenFormat("uint32", 70_000, "", E)
Documents = Sequence[Sequence[int]]  # without end-of-text tokens

documents = st.lists(st.lists(st.integers(0, VOCAB - 2), max_size=6), min_size=1, max_size=12)


def batch_of(texts: Documents, first_id: int = 0, form: TokenFormat = FORM) -> TokenBatch:
    n = len(texts)
    tokens = np.array([token for text in texts for token in [*text, E]], form.dtype)
    offsets = np.cumsum([0, *(len(text) + 1 for text in texts)])
    columns = [
        pa.array(range(first_id, first_id + n), pa.uint64()),
        pa.array(["web"] * n, pa.string()),
        pa.array([f"http://a.example/{i}" for i in range(n)], pa.string()),
        pa.array(["a, b.warc"] * n, pa.string()),
        pa.array(range(n), pa.int64()),
        pa.array([1] * n, pa.int64()),
        pa.array([len(text) for text in texts], pa.int64()),
    ]
    return TokenBatch(tokens, offsets, pa.Table.from_arrays(columns, schema=pa.schema([*RECORD, N_BYTES])))


def write(folder: Path, train: Documents, val: Documents = (), form: TokenFormat = FORM, shard_tokens: int = 10) -> str:
    splits = {
        "train": iter([batch_of([text], i, form) for i, text in enumerate(train)]),
        "val": iter([batch_of([text], i, form) for i, text in enumerate(val)]),
    }
    write_folder(str(folder), form, splits, shard_tokens=shard_tokens)
    return str(folder)


def read(folder: str | Path, split: str = "train") -> list[list[int]]:
    """The documents of a folder of shards; each ends with its token."""
    shards = TokenShards.open(str(folder), split)
    found = []
    for tokens, offsets in zip(shards.tokens, shards.offsets, strict=True):
        for start, end in itertools.pairwise(offsets):
            assert tokens[end - np.uint64(1)] == E
            found.append(tokens[start : end - np.uint64(1)].tolist())
    return found


# -- the layouts, again


def appended(texts: Documents) -> list[int]:
    return [token for text in texts for token in [*text, E]]


def prepended(texts: Documents) -> list[int]:
    return [token for text in texts for token in [E, *text]]


def llmc(texts: Documents, magic: int, version: int, code: str) -> bytes:
    tokens = prepended(texts)
    header = [magic, version, len(tokens), *[0] * 253]
    return struct.pack("<256i", *header) + struct.pack(f"<{len(tokens)}{code}", *tokens)


def megatron_index(texts: Documents, code: int, size: int) -> bytes:
    lengths = [len(text) + 1 for text in texts]
    pointers = [sum(lengths[:i]) * size for i in range(len(lengths))]
    n = len(texts)
    head = b"MMIDIDX\x00\x00" + struct.pack("<Q", 1) + struct.pack("<B", code) + struct.pack("<QQ", n, n + 1)
    return head + struct.pack(f"<{n}i{n}q{n + 1}q", *lengths, *pointers, *range(n + 1))


def files_of(name: str, texts: Documents) -> dict[str, bytes]:
    """The files of the training split, as if all of it went to one file."""
    tokens = appended(texts)
    u16 = struct.pack(f"<{len(tokens)}H", *tokens)
    ends = np.cumsum([len(text) + 1 for text in texts]).tolist()
    if name == "nanogpt":
        return {"train.bin": u16}
    if name == "llm.c":
        return {"textmill_train_000000.bin": llmc(texts, 20240520, 1, "H")}
    if name == "llama3":
        return {"textmill_train_000000.bin": llmc(texts, 20240801, 7, "I")}
    if name == "megatron":
        return {"train.bin": u16, "train.idx": megatron_index(texts, 8, 2)}
    if name == "datatrove":
        about = f"Unknown Tokenizer|2\n{len(tokens)}\n"
        return {
            "train/00000_tokens.ds": u16,
            "train/00000_tokens.ds.index": struct.pack(f"<{len(ends)}Q", *ends),
            "train/00000_tokens.ds.metadata": about.encode(),
        }
    assert name == "olmo"
    rows = [
        [a, b, schema.show_doc_id(i), "a, b.warc", 0] for i, (a, b) in enumerate(zip([0, *ends], ends, strict=False))
    ]
    return {"train/part-00000.npy": u16, "train/part-00000.csv.gz": repr(rows).encode()}


def contents(folder: Path) -> dict[str, bytes]:
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for name, data in found.items():
        if name.endswith(".metadata"):
            *lines, _ = data.decode().split("\n")
            found[name] = ("\n".join(lines) + "\n").encode()  # the last line is for people
        if name.endswith(".csv.gz"):
            rows = csv.reader(gzip.decompress(data).decode().splitlines())
            found[name] = repr([[int(a), int(b), i, src, int(loc)] for a, b, i, src, loc in rows]).encode()
    return found


def imported(name: str, paths: Sequence[Path], out: Path, form: TokenFormat = FORM, dtype: str = "") -> list[list[int]]:
    """What the files hold, by way of shards."""
    importing = Import.of("theirs", None, form.vocab_size, E)
    files = open_files(FORMATS[name], [str(path) for path in paths], dtype, form.vocab_size)
    import_files({"train": files}, importing, str(out), prepends=prepends(FORMATS[name], files, E))
    verify(str(out))
    return read(out)


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=40, deadline=None)
@given(texts=documents)
def test_exports_are_the_layout_and_come_back(name: str, texts: Documents) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as place:
        patch.setattr(shard_exports, "BLOCK", 3)
        patch.setattr(shard_imports, "BLOCK", 3)
        folder = Path(place)
        written = export(write(folder / "shards", texts), name, str(folder / "out"))
        assert list(written.values()) == [len(appended(texts))]
        assert contents(folder / "out") == files_of(name, texts)
        paths = [folder / "out" / path for path in written]
        assert imported(name, paths, folder / "back") == list(texts)


@pytest.mark.parametrize("name", FORMATS)
def test_files_hold_whole_documents_and_both_splits_are_written(name: str, tmp_path: Path) -> None:
    train, val = [[1, 2, 3], [4], [], [5, 6, 7, 8], [1]], [[2, 2]]
    written = export(write(tmp_path / "shards", train, val), name, str(tmp_path / "out"), file_tokens=6)
    one_file = FORMATS[name].one_file
    assert list(written.values()) == ([14, 3] if one_file else [6, 6, 2, 3])
    paths = [tmp_path / "out" / path for path in written]
    assert imported(name, paths[:-1], tmp_path / "train") == train
    assert imported(name, paths[-1:], tmp_path / "val") == val


def test_pieces_are_as_full_as_documents_allow(tmp_path: Path) -> None:
    texts = [[1] * n for n in (0, 4, 1, 9, 2, 0, 0, 3)]
    shards = TokenShards.open(write(tmp_path / "shards", texts, shard_tokens=4), "train")
    found = [(piece.n_docs, piece.n_tokens) for piece in pieces(shards, 6)]
    assert found == [(2, 6), (1, 2), (1, 10), (3, 5), (1, 4)]


@pytest.mark.parametrize("name", ["llama3", "megatron", "datatrove", "olmo"])
def test_wide_ids_go_there_and_back(name: str, tmp_path: Path) -> None:
    texts = [[1, 69_999], [], [65_536]]
    written = export(write(tmp_path / "shards", texts, form=WIDE), name, str(tmp_path / "out"))
    (path,) = (tmp_path / "out" / path for path in written)
    assert path.stat().st_size == 6 * 4 + (1024 if name == "llama3" else 0)
    assert imported(name, [path], tmp_path / "back", WIDE) == texts


@pytest.mark.parametrize("name", ["nanogpt", "llm.c"])
def test_wide_ids_are_refused_by_narrow_formats(name: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "shards", [[1]], form=WIDE)
    with pytest.raises(UserError, match=f"{name} has 16 bits for an id, but the vocabulary has 70,000; use"):
        export(folder, name, str(tmp_path / "out"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shards"]


def test_what_cannot_be_exported_leaves_nothing(tmp_path: Path) -> None:
    folder = write(tmp_path / "shards", [])
    with pytest.raises(UserError, match="no documents to export"):
        export(folder, "nanogpt", str(tmp_path / "out"))
    with pytest.raises(UnknownNameError, match="unknown format 'megatrom'; did you mean 'megatron'"):
        export(folder, "megatrom", str(tmp_path / "out"))
    other = write(tmp_path / "other", [[1]])
    with pytest.raises(WorkspaceError, match="is there already"):
        export(other, "nanogpt", folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "shards"]


def test_damaged_offsets_are_not_exported(tmp_path: Path) -> None:
    folder = write(tmp_path / "shards", [[1], [2, 3]])
    for offsets in ([0, 4, 4], [0, 2, 4], [0, 6, 5]):
        np.array(offsets, "<u8").tofile(tmp_path / "shards/train/docs-00000.u64")
        with pytest.raises(InputError, match="damaged offsets"):
            export(folder, "nanogpt", str(tmp_path / "out"))


def test_a_document_beyond_the_format_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    form = shard_exports.TokenFileFormat("llm.c", ".bin", True, (20240520, 1), "<u2", file_limit=3)
    monkeypatch.setattr(shard_exports, "format_named", lambda name: form)
    with pytest.raises(UserError, match="holds 3 tokens a file, but a document has 4"):
        export(write(tmp_path / "shards", [[1, 2, 3]]), "llm.c", str(tmp_path / "out"))


def test_datatroves_own_reader_finds_the_same_documents(tmp_path: Path) -> None:
    dataset = pytest.importorskip("datatrove.utils.dataset", reason="datatrove is not installed")
    texts = [[1, 2, 3], [], [4, 5], [6]]
    export(write(tmp_path / "shards", texts), "datatrove", str(tmp_path / "out"))
    file = dataset.DatatroveFileDataset(
        str(tmp_path / "out/train/00000_tokens.ds"), 4, token_size=2, return_positions=True
    )
    assert [file[i]["input_ids"].tolist() for i in range(len(file))] == [[1, 2, 3, E, E], [4, 5, E, 6, E]]
    assert [file[i]["positions"].tolist() for i in range(len(file))] == [[0, 1, 2, 3, 0], [0, 1, 2, 0, 1]]


@pytest.mark.parametrize(
    ("n", "shown"), [(0, "0.00 T"), (7, "7.00 T"), (123, "123 T"), (1500, "1.50 kT"), (999_999, "1.00 MT")]
)
def test_numbers_for_people(n: int, shown: str) -> None:
    assert shard_exports._for_people(n) == shown


# -- imports


def raw(path: Path, tokens: Sequence[int], dtype: str = "<u2") -> Path:
    np.array(tokens, dtype).tofile(path)
    return path


@settings(max_examples=80, deadline=None)
@given(texts=documents, cuts=st.lists(st.integers(0, 60), max_size=3), before=st.booleans(), block=st.integers(1, 7))
def test_documents_go_on_from_file_to_file(texts: Documents, cuts: list[int], before: bool, block: int) -> None:
    tokens = prepended(texts) if before else appended(texts)
    bounds = sorted([0, *(min(cut, len(tokens)) for cut in cuts), len(tokens)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard_imports, "BLOCK", block)
        files = [
            TokenFile(f"{i}.bin", np.array(tokens[a:b], "<u2"), first_byte=10)
            for i, (a, b) in enumerate(itertools.pairwise(bounds))
        ]
        found, places = [], []
        for batch in Import.of("x", None, VOCAB, E).batches(files, before, first_file=3):
            pieces_ = np.split(batch.tokens, batch.offsets[1:-1])
            assert all(piece[-1] == E for piece in pieces_)
            found += [piece[:-1].tolist() for piece in pieces_]
            places += batch.rows.to_pylist()
    assert found == list(texts)
    assert len({row["doc_id"] for row in places}) == len(texts)
    at = 0
    for row, text in zip(places, texts, strict=True):
        number = int(row["warc_file"].removesuffix(".bin"))
        assert bounds[number] + (row["warc_offset"] - 10) // 2 == at
        assert bounds[number] <= at < bounds[number + 1]
        assert row["warc_length"] == 2 * (len(text) + 1)
        assert row["doc_id"] >> 32 == 3 + number
        at += len(text) + 1


def test_a_document_without_delimiter_gets_one(tmp_path: Path) -> None:
    path = raw(tmp_path / "a.bin", [1, 2, E, 3])
    assert imported("nanogpt", [path], tmp_path / "a") == [[1, 2], [3]]
    path = raw(tmp_path / "b.bin", [1, 2, E, 3, 4, E, E])
    assert imported("nanogpt", [path], tmp_path / "b") == [[1, 2], [3, 4], []]
    path = raw(tmp_path / "c.bin", [E, 3, 4, E, 5])
    assert imported("nanogpt", [path], tmp_path / "c") == [[3, 4], [5]]
    assert imported("nanogpt", [raw(tmp_path / "d.bin", [])], tmp_path / "d") == []
    header = struct.pack("<256i", 20240520, 1, 4, *[0] * 253)
    (tmp_path / "e.bin").write_bytes(header + struct.pack("<4H", 1, E, 2, 3))  # begins within a document
    assert imported("llm.c", [tmp_path / "e.bin"], tmp_path / "e") == [[1], [2, 3]]


@given(st.lists(st.lists(st.integers(7, 9), max_size=4), max_size=8))
def test_the_end_moves_to_the_end(texts: list[list[int]]) -> None:
    tokens = np.array([token for text in texts for token in text], np.uint16)
    offsets = np.cumsum([0, *map(len, texts)])
    made, bounds = end_with(E, tokens, offsets)
    expected = []
    for text in texts:
        if text[-1:] == [E]:
            expected.append(text)
        elif text[:1] == [E]:
            expected.append([*text[1:], E])
        else:
            expected.append([*text, E])
    assert made.tolist() == [token for text in expected for token in text]
    assert bounds.tolist() == np.cumsum([0, *map(len, expected)]).tolist()


def test_other_types_of_megatron_and_documents_of_several_sequences(tmp_path: Path) -> None:
    raw(tmp_path / "m.bin", [1, 2, 3, 4, E, 5], "<i8")
    head = b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, 5, 3, 3)
    body = struct.pack("<3i3q3q", 2, 3, 1, 0, 16, 40, 0, 2, 3)
    (tmp_path / "m.idx").write_bytes(head + body)
    assert imported("megatron", [tmp_path / "m.idx"], tmp_path / "out") == [[1, 2, 3, 4], [5]]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("nanogpt", b"123", "3 bytes are no whole number of uint16"),
        ("llm.c", b"123", r"does not begin like a file of llm\.c"),
        ("llama3", llmc([[1]], 20240520, 1, "H"), "does not begin like a file of llama3"),
        ("llm.c", llmc([[1]], 20240520, 1, "H")[:-1], "its header says 2 tokens, its size does not"),
        ("nanogpt", struct.pack("<3H", 1, 10, 9), "token 1 is 10, but there are 10 ids"),
    ],
)
def test_files_that_are_not_what_they_should_be(name: str, data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(data)
    with pytest.raises(InputError, match=message):
        imported(name, [path], tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.bin"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: b"X" + data[1:], "does not begin like an index"),
        (lambda data: data[:-1], "cut short"),
        (lambda data: data[:17] + b"\x06" + data[18:], "type 6"),
        (lambda data: data[:-8] + struct.pack("<q", 1), "not all of its 2 sequences"),
        (lambda data: data[:34] + struct.pack("<i", 9) + data[38:], "its documents are not the 5 tokens"),
    ],
)
def test_a_broken_index_of_megatron(change, message: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    for name, data in files_of("megatron", [[1, 2], [3]]).items():
        (tmp_path / name).write_bytes(change(data) if name.endswith(".idx") else data)
    with pytest.raises(InputError, match=message):
        imported("megatron", [tmp_path / "train.bin"], tmp_path / "out")


def test_broken_companions_of_datatrove_and_olmo(tmp_path: Path) -> None:
    path = raw(tmp_path / "a.ds", [1, E, 2, E])
    assert imported("datatrove", [path], tmp_path / "without") == [[1], [2]]
    raw(tmp_path / "a.ds.index", [2, 5], "<u8")
    with pytest.raises(InputError, match=r"a\.ds\.index: its documents are not the 4 tokens"):
        imported("datatrove", [path], tmp_path / "out")
    (tmp_path / "a.ds.metadata").write_text("gpt2")
    with pytest.raises(InputError, match="does not say how many bytes"):
        imported("datatrove", [path], tmp_path / "out")
    path = raw(tmp_path / "a.npy", [1, E, 2, E])
    assert imported("olmo", [path], tmp_path / "plain") == [[1], [2]]
    beside = tmp_path / "a.csv.gz"
    beside.write_bytes(gzip.compress(b"0,2,a,s,1\n3,4,b,s,2\n"))
    with pytest.raises(InputError, match="does not begin where the one before it ends"):
        imported("olmo", [path], tmp_path / "out")
    beside.write_bytes(gzip.compress(b"0,2\n"))
    with pytest.raises(InputError, match="not five columns of documents"):
        imported("olmo", [path], tmp_path / "out")
    beside.write_bytes(gzip.compress(b"0,2,http://a.example,s,1\n2,4,,s,2\n"))
    assert imported("olmo", [path], tmp_path / "out") == [[1], [2]]
    other = raw(tmp_path / "b.npy", [1, E])
    with pytest.raises(InputError, match=r"b\.npy: nothing beside it says where documents end"):
        imported("olmo", [path, other], tmp_path / "both")


def test_bytes_of_documents_come_from_the_tokenizer(tmp_path: Path) -> None:
    tokenizer = Tokenizer({i: bytes([i]) for i in range(256)} | {256: b"abc"}, [], ["<|endoftext|>"])
    importing = Import.of("theirs", tokenizer, None, None)
    path = raw(tmp_path / "a.bin", [97, 256, 257, 257])
    files = open_files(FORMATS["nanogpt"], [str(path)], "", importing.form.vocab_size)
    (batch,) = importing.batches(files, prepends=False)
    assert batch.rows["n_bytes"].to_pylist() == [4, 0]
    assert importing.form.tokenizer_sha256 == tokenizer.digest
    with pytest.raises(UserError, match="give the tokenizer"):
        Import.of("theirs", None, 300, None)
    with pytest.raises(UserError, match="a vocabulary of 4,294,967,297 ids: shards hold at most 4,294,967,296"):
        Import.of("x", None, (1 << 32) + 1, 0)
    with pytest.raises(UserError, match="end-of-text id 300: not in a vocabulary of 300 ids"):
        Import.of("theirs", None, 300, 300)


def test_the_command_line_exports_and_imports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts, val = [[1, 2], [], [3]], [[4]]
    folder = write(tmp_path / "shards", texts, val)
    out, back = tmp_path / "out", tmp_path / "back"
    assert main(["shards", "export", folder, "--to", "llm.c", "--out", str(out)]) == 0
    assert "textmill_train_000000.bin: 6 tokens" in capsys.readouterr().out
    files = [str(out / f"textmill_{split}_000000.bin") for split in ("train", "val")]
    known = ["--vocab-size", str(VOCAB), "--eot-id", str(E)]
    command = ["shards", "import", files[0], "--val", files[1], "--from", "llm.c", "--out", str(back)]
    assert main([*command, *known]) == 0
    assert "4 documents, 8 tokens" in capsys.readouterr().out
    assert (read(back), read(back, "val")) == (texts, val)
    assert main([*command, *known]) == 2
    assert "is there already" in capsys.readouterr().err
    assert (
        main(["shards", "import", str(tmp_path / "none"), "--from", "nanogpt", "--out", str(tmp_path / "x"), *known])
        == 2
    )
    assert "none: cannot be read" in capsys.readouterr().err
