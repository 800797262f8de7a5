"""Lines that occur more than once, against plain Python."""

from __future__ import annotations

from collections import Counter
from pathlib import Path, PurePath

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.dedup import lines, minhash
from textmill.dedup.lines import deduplicate_files
from textmill.dedup.repeats import Repeats
from textmill.errors import InputError, UnknownNameError, UserError

repeatable = settings(deadline=None, derandomize=True)
text = st.lists(st.sampled_from([b"", b"a", b"ab", b"a ", b"\xff\r", b"a longer line than eight bytes"])).map(
    b"\n".join
)


def split(data: bytes) -> list[bytes]:
    """The lines with their newlines."""
    *whole, rest = data.split(b"\n")
    return [line + b"\n" for line in whole] + ([rest] if rest else [])


def reference(files: list[bytes], keep: str) -> list[bytes]:
    count = Counter(line.removesuffix(b"\n") for data in files for line in split(data))
    seen: set[bytes] = set()
    result = []
    for data in files:
        kept = []
        for line in split(data):
            bare = line.removesuffix(b"\n")
            if count[bare] == 1 or (keep == "first" and bare not in seen):
                kept.append(line)
            seen.add(bare)
        result.append(b"".join(kept))
    return result


@repeatable
@given(st.lists(text, max_size=4), st.sampled_from(["none", "first"]), st.integers(1, 40))
def test_agrees_with_plain_python(
    tmp_path_factory: pytest.TempPathFactory, files: list[bytes], keep: str, piece: int
) -> None:
    folder = tmp_path_factory.mktemp("lines")
    paths = [folder / f"{i}.txt" for i in range(len(files))]
    for path, data in zip(paths, files, strict=True):
        path.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "PIECE_BYTES", piece)
        counts = deduplicate_files(paths, folder / "out", keep=keep)
    expected = reference(files, keep)
    assert [(folder / "out" / path.name).read_bytes() for path in paths] == expected
    assert counts["n_lines"] == sum(len(split(data)) for data in files)
    assert counts["n_removed"] == counts["n_lines"] - sum(len(split(data)) for data in expected)
    assert {path.name for path in (folder / "out").iterdir()} == {path.name for path in paths}


@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_repeats_in_little_memory(tmp_path: Path, limit: int) -> None:
    rng = np.random.default_rng(1)
    values = rng.integers(0, 300, 500)
    pieces = [str(value).encode() for value in values]
    repeats = Repeats(tmp_path, "none", limit)
    for i in range(0, 500, 33):
        part = pieces[i : i + 33]
        end = np.cumsum([len(piece) for piece in part])
        repeats.add(np.frombuffer(b"".join(part), np.uint8), np.concatenate([[0], end[:-1]]), end)
    flags = np.concatenate([repeats.removed(n) for n in (0, 1, 99, 400)])
    assert flags.tolist() == (np.bincount(values, minlength=300)[values] > 1).tolist()
    assert 0 < flags.sum() < 500


def test_equal_lines_of_any_number(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x\n" * 1_000_000)
    (tmp_path / "b").write_bytes(b"x\ny")
    counts = deduplicate_files([tmp_path / "a", tmp_path / "b"], tmp_path / "o")
    assert counts == {"n_lines": 1_000_002, "n_removed": 1_000_001}
    assert ((tmp_path / "o" / "a").read_bytes(), (tmp_path / "o" / "b").read_bytes()) == (b"", b"y")


def test_mistakes_are_one_line_and_lose_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x\nx\n")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a").write_bytes(b"y\n")
    with pytest.raises(UserError, match="same name"):
        deduplicate_files([tmp_path / "a", tmp_path / "d" / "a"], tmp_path / "o")
    with pytest.raises(UserError, match="would be overwritten"):
        deduplicate_files([tmp_path / "a"], tmp_path)
    with pytest.raises(InputError, match="cannot read"):
        deduplicate_files([tmp_path / "a", tmp_path / "none"], tmp_path / "o")
    with pytest.raises(InputError, match="cannot read"):
        deduplicate_files([tmp_path / "d"], tmp_path / "o")
    with pytest.raises(UserError, match="is a file"):
        deduplicate_files([tmp_path / "a"], tmp_path / "d" / "a")
    with pytest.raises(UnknownNameError, match="first"):
        deduplicate_files([tmp_path / "a"], tmp_path / "o", keep="frist")
    assert (tmp_path / "a").read_bytes() == b"x\nx\n"
    assert not list((tmp_path / "o").iterdir())
    assert deduplicate_files([], tmp_path / "o") == {"n_lines": 0, "n_removed": 0}


def test_names_are_not_compared_one_with_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / f"{i}.txt" for i in range(300)]
    n_compared = 0

    def equal(self: Path, other: object) -> bool:
        nonlocal n_compared
        n_compared += 1
        return str(self) == str(other)

    monkeypatch.setattr(PurePath, "__eq__", equal)
    assert len(lines.targets_of(paths, tmp_path / "o")) == 300
    assert n_compared <= 300


def test_one_path_is_no_list_of_paths(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a list"):
        deduplicate_files("a.txt", tmp_path)
    with pytest.raises(UserError, match="a list"):
        minhash.deduplicate_files("a.txt", tmp_path, 100, 10, 5, 0.8)
    with pytest.raises(UserError, match="permutations"):
        minhash.MinHash(bands=100_000)
