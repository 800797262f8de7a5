"""Counts of pretokens: by kernels, blocks, threads and files of parts, against a plain count."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.errors import InputError, InvariantError, UserError
from textmill.tokenize.pretokens import blocks, count
from textmill.tokenize.pretokens.count import PretokenCounts, add_counts, count_files, count_texts
from textmill.tokenize.pretokens.patterns import PATTERNS
from textmill.tokenize.pretokens.special import SpecialTokens

END = "<|endoftext|>"
words = st.text(st.sampled_from("abé '.\n\t 1日\u00a0"), max_size=40)
texts = st.lists(words | st.sampled_from([END, f"a {END}{END} b", "<|end", "\0"]), max_size=8)


def plain(texts: Sequence[str], special: Sequence[str] = (), pattern: str = "gpt2") -> Counter[str]:
    parts = texts
    if special:
        longest_first = sorted(special, key=lambda token: len(token.encode()), reverse=True)
        parts = [part for text in texts for part in regex.split("|".join(map(regex.escape, longest_first)), text)]
    return Counter(pretoken for part in parts for pretoken in regex.findall(PATTERNS[pattern], part))


def pretokens(counts: PretokenCounts) -> list[str]:
    whole = counts.arena.tobytes()
    return [whole[start:end].decode() for start, end in zip(counts.starts[:-1], counts.starts[1:], strict=True)]


def as_counter(counts: PretokenCounts) -> Counter[str]:
    return Counter(dict(zip(pretokens(counts), counts.counts.tolist(), strict=True)))


def column(texts: Sequence[str]) -> pa.LargeStringArray:
    return pa.array(texts, pa.large_string())


@settings(deadline=None)  # the first call compiles
@given(texts, st.sampled_from([(), (END,), (END, END * 2), ("a", "aé", "é ")]), st.sampled_from(sorted(PATTERNS)))
def test_counts_of_texts_are_the_plain_ones(texts: list[str], special: tuple[str, ...], pattern: str) -> None:
    counts = count_texts([column(texts)], special, pattern=pattern)
    assert as_counter(counts) == plain(texts, special, pattern)
    assert pretokens(counts.in_order()) == list(plain(texts, special, pattern))


@settings(deadline=None)
@given(texts, texts)
def test_counts_of_parts_add_up(first: list[str], second: list[str]) -> None:
    total = add_counts([count_texts([column(first)]), count_texts([column(second)])])
    assert as_counter(total) == plain(first + second)


def test_a_part_of_a_column_is_counted_alone() -> None:
    documents = column(["one", "two two", "three", "four"])
    assert as_counter(count_texts([documents.slice(1, 2), documents.slice(4)])) == plain(["two two", "three"])


@pytest.mark.parametrize("special", [(), (END,), ("a b",)])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_file_in_blocks_is_the_file(
    special: tuple[str, ...], threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 64)
    text = "".join(f"It's  {i % 97} a b\n\n\tcafé {i % 89}.\u00a0 日本語{END} 'll " for i in range(400))
    (tmp_path / "a.txt").write_text(text, newline="")
    (tmp_path / "b.txt").write_text("a  b")
    seen: list[int] = []
    files = [tmp_path / "a.txt", tmp_path / "b.txt"]
    counts = count_files(files, special, threads=threads, on_bytes=seen.append)
    assert as_counter(counts) == plain([text, "a  b"], special)
    assert pretokens(counts.in_order()) == list(plain([text, "a  b"], special))
    assert sum(seen) == sum(file.stat().st_size for file in files)
    assert len(seen) > 10 or special == ("a b",)


def test_what_outgrows_memory_goes_through_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(count, "TALLY_BYTES", 1)
    documents = [column([f"{i} {i + 1} often"]) for i in range(20)]
    counts = count_texts(documents, folder=tmp_path)
    expected = plain([f"{i} {i + 1} often" for i in range(20)])
    assert as_counter(counts) == expected
    assert pretokens(counts.in_order()) == list(expected)
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    monkeypatch.setattr(Path, "glob", lambda folder, pattern: [])  # what is in files is not found
    assert as_counter(count_texts(documents, folder=tmp_path)) == expected
    assert len(count_texts(documents, folder=tmp_path, max_bytes=1)) == 0


def test_counts_beyond_32_bits() -> None:
    few = count_texts([column(["a"])])
    many = PretokenCounts(few.arena, few.starts, few.counts << 40, few.places)
    assert add_counts([many, few]).counts.tolist() == [(1 << 40) + 1]
    assert add_counts([many, few]).n_bytes == (1 << 40) + 1


def test_nothing_to_count(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for counts in (count_texts([]), count_texts([column([""])]), count_files([tmp_path / "empty"])):
        assert (len(counts), counts.n_bytes) == (0, 0)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "odd").write_bytes(b"caf\xc3\xa9 caf\xe9")
    with pytest.raises(InputError, match="odd: not UTF-8 at byte 9; convert it first"):
        count_files([tmp_path / "odd"])
    with pytest.raises(InputError, match=r"none: cannot be read \(No such file"):
        count_files([tmp_path / "odd", tmp_path / "none"])
    with pytest.raises(InputError, match="cannot be read"):
        count_files([tmp_path])
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="pipe: a pipe cannot be mapped into memory; save it to a file first"):
        count_files([tmp_path / "pipe"])
    assert threading.active_count() < 50


def test_mistakes() -> None:
    with pytest.raises(UserError, match="give each of them once"):
        count_texts([], ["a", "a"])
    with pytest.raises(UserError, match="give a list of texts"):
        count_texts([], "abc")
    with pytest.raises(InvariantError, match="1 documents without text"):
        count_texts([pa.array(["a", None], pa.large_string())])


@settings(deadline=None)
@given(
    st.text("ab<|", max_size=90),
    st.lists(st.text("ab<|", min_size=1, max_size=3), min_size=1, max_size=3, unique=True),
    st.integers(0, 5),
)
def test_special_tokens_are_found_as_an_expression_finds_them(text: str, tokens: list[str], start: int) -> None:
    longest_first = sorted(tokens, key=len, reverse=True)
    found = regex.finditer("|".join(map(regex.escape, longest_first)), text, pos=min(start, len(text)))
    data = np.frombuffer(text.encode() or b"", np.uint8)
    places = SpecialTokens(tokens).find(data, min(start, len(text)), len(text))
    assert places.tolist() == [[match.start(), match.end()] for match in found]
