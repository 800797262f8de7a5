"""Sorted records on disk: sorting, files, merging, shingle sets; against plain Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from textmill.dedup import records
from textmill.dedup.records import Block, RecordFile, RecordWriter, Sorter
from textmill.dedup.shingles import ShingleStore, ShingleWriter
from textmill.errors import InputError, InvariantError

repeatable = settings(deadline=None, derandomize=True)
number = st.sampled_from([0, 1, 2, 3, (1 << 63) + 1, (1 << 64) - 1])
record = st.tuples(number, number)


def block(rows: list[tuple[int, int]]) -> Block:
    key, value = np.array(rows, np.uint64).reshape(-1, 2).T
    return np.ascontiguousarray(key), np.ascontiguousarray(value)


def rows(blocks: list[Block]) -> list[tuple[int, int]]:
    return [(int(k), int(v)) for key, value in blocks for k, v in zip(key, value, strict=True)]


def in_blocks(of: list[tuple[int, int]], size: int) -> list[Block]:
    return [block(of[i : i + size]) for i in range(0, len(of), size)]


@repeatable
@given(st.lists(st.lists(record, max_size=12), max_size=7), st.integers(1, 4))
def test_merge_is_sorted(runs: list[list[tuple[int, int]]], size: int) -> None:
    merged = list(records.merge([in_blocks(sorted(run), size) for run in runs]))
    expected = sorted(row for run in runs for row in run)
    assert rows(merged) == expected
    assert rows(list(records.unique(merged))) == sorted(set(expected))


@repeatable
@given(st.lists(record, max_size=30), st.integers(1, 40))
def test_records_are_sorted_whatever_the_pieces(of: list[tuple[int, int]], at_once: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "SORTED_AT_ONCE", at_once)
        assert rows([records.sort(*block(of))]) == sorted(of)


@repeatable
@given(st.lists(record, max_size=30), st.integers(1, 7), st.integers(1, 5))
def test_sorter_sorts_whatever_it_may_hold(
    tmp_path_factory: pytest.TempPathFactory, of: list[tuple[int, int]], limit: int, size: int
) -> None:
    folder = tmp_path_factory.mktemp("sort")
    sorter = Sorter(folder, limit)
    for part in in_blocks(of, size):
        sorter.add(*part)
    assert rows(list(sorter.blocks())) == sorted(set(of))
    assert not list(folder.iterdir())


def test_many_runs_go_by_way_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "FAN_IN", 3)
    runs = [[(i * 37 % 101, i), (200 + i, i)] for i in range(20)]
    merged = records.merge_many([in_blocks(run, 1) for run in runs], tmp_path)
    assert rows(list(merged)) == sorted(row for run in runs for row in run)
    assert list(tmp_path.iterdir())
    sorter = Sorter(tmp_path / "sorter", 2)
    for run in runs:
        sorter.add(*block(run))
        assert len(list((tmp_path / "sorter").iterdir())) <= 3
    assert rows(list(sorter.blocks())) == sorted(row for run in runs for row in run)


def random_block(n: int, seed: int = 1) -> Block:
    return records.sort(*np.random.default_rng(seed).integers(0, 1 << 64, (2, n), np.uint64))


def test_a_file_gives_back_its_sections_and_ranges_of_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "BLOCK_RECORDS", 100)
    a, b = random_block(1050), random_block(70, seed=2)
    path = tmp_path / "x.bands"
    with RecordWriter(path, ("hash", "doc_id"), ("a", "none", "b"), {"k": [1]}) as writer:
        writer.write("a", [(a[0][:7], a[1][:7]), (a[0][7:], a[1][7:])])
        writer.write("b", [b])
    file = RecordFile(str(path))
    assert (file.meta, file.sections, writer.rows) == ({"k": [1]}, ["a", "none", "b"], 1120)
    assert rows(list(file.read("a"))) == rows([a])
    assert rows(list(file.read("none"))) == []
    assert rows(list(file.read("b"))) == rows([b])
    assert max(len(key) for key, _ in file.read("a")) == 100
    low, high = int(a[0][333]), int(a[0][777])
    assert rows(list(file.read("a", low, high))) == rows([a])[333:778]
    assert rows(list(file.read("a", low + 1, high - 1))) == rows([a])[334:777]
    read = pq.read_table(path)
    assert read.schema.names == ["hash", "doc_id"]
    assert path.stat().st_size < 16 * 1120 + 16_000  # 16 bytes a record, and what a row group costs


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with RecordWriter(path, ("a", "b")) as writer:
        writer.write("all", [block([])])
    assert list(RecordFile(str(path)).read()) == []


def test_records_out_of_order_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "BLOCK_RECORDS", 2)
    for of in ([(2, 0), (1, 0)], [(1, 5), (1, 4)], [(5, 0), (6, 0), (4, 0)]):
        path = tmp_path / "x"
        with RecordWriter(path, ("a", "b")) as writer:
            writer.write("all", [block(of)])
        with pytest.raises(InputError, match="out of order"):
            list(RecordFile(str(path)).read())


def test_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with RecordWriter(path, ("a", "b")) as writer:
        writer.write("all", [random_block(5000)])
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(InputError, match="damaged"):
        RecordFile(str(path))
    flipped = bytearray(whole)
    flipped[20_000] ^= 1
    path.write_bytes(flipped)
    with pytest.raises(InputError, match="damaged"):
        list(RecordFile(str(path)).read())
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(InputError, match="no file of sorted records"):
        RecordFile(str(path))


# ---- shingle sets


def written(folder: Path, sets: dict[int, list[int]], n_files: int, n_batches: int) -> list[str]:
    uris = []
    for file in np.array_split(np.array(sorted(sets), np.uint64), n_files):
        path = folder / f"{len(uris)}.arrow"
        with ShingleWriter(path) as writer:
            for ids in np.array_split(file, n_batches):
                lists = [sets[int(id_)] for id_ in ids]
                offsets = np.cumsum([0, *map(len, lists)], dtype=np.int64)
                writer.write(ids, np.array([h for hashes in lists for h in hashes], np.uint64), offsets)
        uris.append(str(path))
    return uris


@pytest.mark.parametrize("limit", [1, 5, 1 << 22])
def test_sets_are_found_by_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr("textmill.dedup.shingles.BATCH_SHINGLES", limit)
    sets = {id_ << 40: list(range(id_, id_ + id_ % 4)) for id_ in range(1, 40)}
    store = ShingleStore(written(tmp_path, sets, n_files=3, n_batches=4))
    rng = np.random.default_rng(1)
    left, right = rng.choice(np.array(list(sets), np.uint64), (2, 60))
    seen = 0
    for part, (hashes, offsets), a, b in store.batches(left, right):
        assert part.start == seen
        seen = part.stop
        n = len(a)
        assert sum(len(sets[int(i)]) for side in (left, right) for i in side[part]) <= limit or n == 1
        for ids, places in ((left[part], a), (right[part], b)):
            got = [hashes[offsets[p] : offsets[p + 1]].tolist() for p in places]
            assert got == [sets[int(id_)] for id_ in ids]
    assert seen == len(left)


def test_an_id_without_a_set_is_an_error(tmp_path: Path) -> None:
    store = ShingleStore(written(tmp_path, {5: [1], 9: [2]}, n_files=1, n_batches=1))
    for missing in (4, 7, 10):
        ids: NDArray[np.uint64] = np.array([missing], np.uint64)
        with pytest.raises(InvariantError, match="not on file"):
            list(store.batches(np.array([5], np.uint64), ids))


def test_a_damaged_file_of_sets_is_named(tmp_path: Path) -> None:
    (uri,) = written(tmp_path, {5: [1] * 100, 9: [2]}, n_files=1, n_batches=1)
    Path(uri).write_bytes(Path(uri).read_bytes()[:-50])
    with pytest.raises(InputError, match="damaged"):
        ShingleStore([uri])


def test_no_flipped_bit_in_a_file_of_sets_is_taken_for_a_set(tmp_path: Path) -> None:
    sets = {5: [3, 1 << 40, 1 << 63], 9: [2, 7], 11: []}
    (uri,) = written(tmp_path, sets, n_files=1, n_batches=1)
    whole, left, right = Path(uri).read_bytes(), np.array([5, 9], np.uint64), np.array([9, 11], np.uint64)
    n_damaged = 0
    for place in range(len(whole)):
        for bit in (0, 7):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            Path(uri).write_bytes(damaged)
            try:
                for part, (hashes, offsets), a, b in ShingleStore([uri]).batches(left, right):
                    for ids, places in ((left[part], a), (right[part], b)):
                        assert [hashes[offsets[p] : offsets[p + 1]].tolist() for p in places] == [
                            sets[int(id_)] for id_ in ids
                        ]
            except (InputError, InvariantError):
                n_damaged += 1
    assert n_damaged > 50
