"""Mixes of sources: how much of each, in an order that depends on the documents alone."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_shard_formats import WIDE, E, read, write
from test_shards import BATCHES, TOKENIZER, publish

from textmill import storage
from textmill.cli import main
from textmill.errors import InputError, UserError, WorkspaceError
from textmill.tokenize.shards import mix as mixing
from textmill.tokenize.shards import reader as shard_reader
from textmill.tokenize.shards.check import verify
from textmill.tokenize.shards.mix import Source, amounts, mix, plan
from textmill.tokenize.shards.permutation import N_ROUNDS, permute
from textmill.tokenize.shards.token_shards import TokenShards

lengths = st.lists(st.integers(0, 5), min_size=1, max_size=9)


# -- the permutation


def reference(index: int, n: int, key: Sequence[int]) -> int:
    """A Feistel network in plain Python."""
    half = max(1, ((n - 1).bit_length() + 1) // 2)
    keys = [int(k) for k in np.random.SeedSequence(list(key)).generate_state(N_ROUNDS, np.uint64)]
    mask, word = (1 << half) - 1, (1 << 64) - 1

    def spread(value: int) -> int:
        value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) & word
        value = ((value ^ value >> 27) * 0x94D049BB133111EB) & word
        return value ^ value >> 31

    while True:
        left, right = index >> half, index & mask
        for k in keys:
            left, right = right, left ^ (spread(right ^ k) & mask)
        index = left << half | right
        if index < n:
            return index


@settings(deadline=None)
@given(n=st.integers(1, 300), key=st.lists(st.integers(0, 2**64), min_size=1, max_size=3))
def test_the_shuffle_is_the_permutation_of_the_reference(n: int, key: list[int]) -> None:
    places = permute(np.arange(n), n, key)
    assert places.tolist() == [reference(i, n, key) for i in range(n)]
    assert sorted(places.tolist()) == list(range(n))
    assert permute(np.array([n - 1]), n, key)[0] == places[-1]


def test_large_numbers_are_shuffled_too() -> None:
    n = 2**40 + 3
    indices = np.array([0, 1, n - 1])
    places = permute(indices, n, [5])
    assert places.tolist() == [reference(int(i), n, [5]) for i in indices]
    with pytest.raises(IndexError):
        permute(np.array([n]), n, [5])


# -- how much


@given(
    weights=st.lists(st.floats(0.01, 100), min_size=1, max_size=5),
    budget=st.integers(1, 1000),
    n_tokens=st.integers(2000, 10**12),
)
def test_plans_add_up_and_follow_the_weights(weights: list[float], budget: int, n_tokens: int) -> None:
    sources = [Source(f"w{i}", "", weight=weight) for i, weight in enumerate(weights)]
    sources += [Source("budget", "", n_tokens=budget), Source("epochs", "", epochs=1.5)]
    taken = amounts(sources, [100] * len(sources), n_tokens)
    assert sum(taken) == n_tokens
    assert taken[-2:] == [budget, 150]
    rest = n_tokens - budget - 150
    for n, weight in zip(taken, weights, strict=False):
        assert abs(n - rest * weight / sum(weights)) <= 1 + 1e-9 * rest


def test_without_a_total_no_weighted_source_repeats() -> None:
    sources = [Source("a", "", weight=0.75), Source("b", "", weight=0.25), Source("c", "", epochs=2)]
    assert amounts(sources, [300, 1000, 7], None) == [300, 100, 14]


def test_plans_that_make_no_sense() -> None:
    with pytest.raises(UserError, match="add up to 5 tokens, not 9; give one of them a weight"):
        amounts([Source("a", "", n_tokens=5)], [10], 9)
    with pytest.raises(UserError, match="5 tokens leave nothing for weights: the other sources take 5"):
        amounts([Source("a", "", n_tokens=5), Source("b", "", weight=1)], [10, 10], 5)
    for source, n_tokens in [
        (Source("a", "", epochs=1e308), None),
        (Source("a", "", n_tokens=10**19), None),
        (Source("a", "", weight=1e-320), None),
        (Source("a", "", weight=1), 10**19),
    ]:
        with pytest.raises(UserError, match="more than 281,474,976,710,656 tokens; ask for less"):
            amounts([source], [10], n_tokens)
    with pytest.raises(UserError, match="comes to no token"):
        amounts([Source("a", "", epochs=1e-9)], [10], None)
    for bad in ({}, {"weight": 0.0}, {"weight": 1.0, "epochs": 1.0}, {"epochs": float("inf")}, {"n_tokens": -1}):
        with pytest.raises(UserError, match="give one of weight, tokens or epochs, above 0"):
            Source("a", "", **bad)  # type: ignore[arg-type]


def test_sources_that_cannot_be_mixed(tmp_path: Path) -> None:
    one, wide = write(tmp_path / "a", [[1]]), write(tmp_path / "b", [[1]], form=WIDE)
    with pytest.raises(InputError, match=r"a and .*b differ in dtype"):
        plan([Source("a", one, weight=1), Source("b", wide, weight=1)])
    with pytest.raises(UserError, match="source 'a' is named twice"):
        plan([Source("a", one, weight=1), Source("a", one, weight=1)])
    with pytest.raises(InputError, match="no training documents to mix"):
        plan([Source("a", write(tmp_path / "c", [], [[1]]), weight=1)])


# -- in which order


def documents(which: int, sizes: Sequence[int]) -> list[list[int]]:
    """Documents that can be told apart: their source, then their number in binary."""
    return [[which, *(2 + (i >> bit & 1) for bit in range(4)), *[4] * size] for i, size in enumerate(sizes)]


@settings(max_examples=30, deadline=None)
@given(a=lengths, b=lengths, n_tokens=st.integers(1, 300), shard_tokens=st.integers(1, 60), seed=st.integers(0, 9))
def test_mixes_are_what_was_asked_for_whatever_the_shards(
    a: list[int], b: list[int], n_tokens: int, shard_tokens: int, seed: int
) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as place:
        patch.setattr(mixing, "BATCH_TOKENS", 20)
        patch.setattr(mixing, "AHEAD_DOCS", 4)
        patch.setattr(shard_reader, "UNPACKED_DOCS", 3)
        folder, found = Path(place), []
        sides = [documents(0, a), documents(1, b)]
        for size in (10, shard_tokens):
            folders = [
                write(folder / f"{len(found)}-{i}", texts, texts[:2], shard_tokens=size)
                for i, texts in enumerate(sides)
            ]
            shares = plan([Source("a", folders[0], weight=3), Source("b", folders[1], weight=1)], n_tokens)
            out = folder / f"out-{len(found)}"
            mix(shares, str(out), seed, shard_tokens=50)
            verify(str(out))
            found.append(read(out))
            assert read(out, "val") == sides[0][:2] + sides[1][:2]
        assert found[0] == found[1]
        check_shares(found[0], [share.n_tokens for share in shares], sides)
        assert_sources(out, found[0])
        assert sorted(path.name for path in folder.iterdir() if path.name.startswith(".")) == []


def check_shares(mixed: list[list[int]], targets: list[int], sides: list[list[list[int]]]) -> None:
    longest = 1 + max(len(text) for side in sides for text in side)
    taken = [0, 0]
    for text in mixed:
        taken[text[0]] += len(text) + 1
        for own, target in zip(taken, targets, strict=True):
            assert abs(own - sum(taken) * target / sum(targets)) <= 2 * longest  # at every point of the mix
    for own, target in zip(taken, targets, strict=True):
        assert target <= own < target + longest
    for which, side in enumerate(sides):
        mine = [tuple(text) for text in mixed if text[0] == which]
        for start in range(0, len(mine), len(side)):  # each pass holds each document once
            one_pass = Counter(mine[start : start + len(side)])
            assert max(one_pass.values()) == 1
            assert len(one_pass) == len(side) or start + len(side) > len(mine)


def assert_sources(out: Path, mixed: list[list[int]]) -> None:
    table = pa.concat_tables([pq.read_table(path) for path in sorted((out / "train").glob("*.parquet"))])
    assert table["source"].to_pylist() == ["ab"[text[0]] for text in mixed]
    numbers = [sum((bit - 2) << i for i, bit in enumerate(text[1:5])) for text in mixed]
    assert table["doc_id"].to_pylist() == numbers
    assert table["url"].to_pylist() == ["http://a.example/0"] * len(mixed)


def test_the_seed_decides_and_is_written_down(tmp_path: Path) -> None:
    texts = documents(0, [1] * 16)
    shares = plan([Source("a", write(tmp_path / "a", texts), epochs=2)])
    found = []
    for name, seed in (("x", 1), ("y", 1), ("z", 2)):
        mix(shares, str(tmp_path / name), seed)
        found.append(read(tmp_path / name))
    assert found[0] == found[1] != found[2]
    assert found[0][:16] != found[0][16:]
    form = TokenShards.open(str(tmp_path / "z"), "train").format
    assert form.seed == 2
    assert form.mix == {
        "sources": {"a": {"folder": str(tmp_path / "a"), "n_available": 112, "n_tokens": 224, "epochs": 2.0}}
    }
    with pytest.raises(WorkspaceError, match="is there already"):
        mix(shares, str(tmp_path / "z"), 2)
    with pytest.raises(UserError, match="seed -1: must not be negative"):
        mix(shares, str(tmp_path / "w"), -1)


def test_another_source_does_not_change_the_order_of_the_others(tmp_path: Path) -> None:
    texts = documents(0, [1] * 16)
    source = Source("a", write(tmp_path / "a", texts), epochs=1)
    other = Source("b", write(tmp_path / "b", documents(1, [1] * 5)), epochs=1)
    mix(plan([source]), str(tmp_path / "alone"), 1)
    mix(plan([other, source]), str(tmp_path / "both"), 1)
    assert [text for text in read(tmp_path / "both") if text[0] == 0] == read(tmp_path / "alone")


def test_damaged_offsets_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", [[1], [2, 3]])
    shares = plan([Source("a", folder, epochs=1)])
    np.array([0, 9, 5], "<u8").tofile(tmp_path / "a/train/docs-00000.u64")
    with pytest.raises(InputError, match="shard 00000: damaged offsets"):
        mix(shares, str(tmp_path / "out"), 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]


def of_source(folder: Path, split: str, source: str) -> tuple[list[list[int]], int]:
    """The tokens of each of the documents of a source, and the bytes of all."""
    shards = TokenShards.open(str(folder), split)
    rows = storage.read_table(shards.documents[0], ["source", "offset", "n_tokens", "n_bytes"]).to_pylist()
    own = [row for row in rows if row["source"] == source]
    tokens = shards.tokens[0]
    documents = [tokens[row["offset"] : row["offset"] + row["n_tokens"]].tolist() for row in own]
    return documents, sum(row["n_bytes"] for row in own)


def test_a_split_by_source(tmp_path: Path) -> None:
    folders = [write(tmp_path / name, [[which, 5]], [[which], [which, which]]) for which, name in enumerate("ab")]
    mix(
        plan([Source(name, folder, epochs=3) for name, folder in zip("ab", folders, strict=True)]),
        str(tmp_path / "m"),
        0,
    )
    documents, n_bytes = of_source(tmp_path / "m", "val", "b")
    assert (documents, n_bytes) == ([[1, E], [1, 1, E]], 3)
    documents, n_bytes = of_source(tmp_path / "m", "train", "a")
    assert documents == [[0, 5, E]] * 3
    table = storage.read_table(TokenShards.open(str(tmp_path / "m"), "val").documents[0], ["source"])
    assert table["source"].to_pylist() == ["a", "a", "b", "b"]


def test_the_command_line_mixes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a").mkdir()
    publish(tmp_path / "a", 0, BATCHES)
    TOKENIZER.save(tmp_path / "a/tokenizer.json")
    out = tmp_path / "out"
    command = ["shards", "mix", "--source", f"a={tmp_path}/a:5x"]
    assert main(command) == 0
    assert not out.exists()
    shown = capsys.readouterr()
    assert "a mix of 35 tokens" in shown.out
    assert "a repeats 5.0 times" in shown.err
    assert main([*command, "--out", str(out), "--seed", "3"]) == 0
    assert main(["shards", "verify", str(out)]) == 0
    assert main(["shards", "trace", str(out), "0"]) == 0
    assert "source a" in capsys.readouterr().out
    assert main([*command, "--source", f"b={tmp_path}/a:1K", "--tokens", "2K"]) == 2
    assert "add up to 1,035 tokens, not 2,000" in capsys.readouterr().err
    for bad in ("a", "a=b", "=b:1", f"a={tmp_path}/a:many", f"a={tmp_path}/a:xM", f"a={tmp_path}/a:-1"):
        assert main(["shards", "mix", "--source", bad]) == 2
