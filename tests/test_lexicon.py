"""Word lists and the kernel that finds their entries."""

import gzip
import time
from pathlib import Path

import numpy as np
import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.errors import EnvironmentFault, InputError
from textmill.filters import lexicon
from textmill.filters.lexicon import compile_entries, count_entries, count_hits, find_lists
from textmill.text import Documents

TOKEN = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]|(?:(?![\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}"
    r"\p{Lao}\p{Khmer}\p{Myanmar}])[\p{L}\p{M}\p{N}_])+|\S"
)


def tokens(text: str) -> list[tuple[str, bool]]:
    """The tokens in lower case, and whether whitespace stands before each."""
    found = list(TOKEN.finditer(text))
    ends = [0, *(match.end() for match in found)]
    return [(match[0].lower(), match.start() > end) for match, end in zip(found, ends, strict=False)]


def hits_reference(text: str, entries: list[str]) -> tuple[int, int]:
    wanted = {tuple(tokens(entry.strip())) for entry in entries}
    there, found, i = tokens(text), [], 0
    while i < len(there):
        head = [(there[i][0], False), *there[i + 1 :]]
        fitting = [entry for entry in wanted if tuple(head[: len(entry)]) == entry]
        if fitting:
            found.append(max(fitting, key=len))
        i += len(found[-1]) if fitting else 1
    return len(set(found)), len(found)


def hits(text: str, *entries: str) -> tuple[int, int]:
    distinct, total = count_entries(Documents.from_texts([text]), compile_entries(entries))
    return int(distinct[0]), int(total[0])


@pytest.mark.parametrize(
    ("text", "entries", "expected"),
    [
        ("Damn! DAMN, damned", ["damn"], (1, 2)),
        ("class brass ass", ["ass"], (1, 1)),
        ("two girls, Two\n\tGirls", ["two girls"], (1, 2)),
        ("a g-spot, a g spot, a g - spot", ["g-spot"], (1, 1)),
        ("bad bad-bad", ["bad", "worse"], (1, 3)),
        ("bad things, bad", ["bad", "bad thing", "bad things"], (2, 2)),
        ("bad bad things", ["bad", "bad things"], (2, 2)),
        ("这是色情网站", ["色情"], (1, 1)),
        ("SEXする", ["sex"], (1, 1)),
        ("sexy", ["sex"], (0, 0)),
        ("ÉTÉ été", ["été"], (1, 2)),
        ("the \u212aelvin sign", ["kelvin"], (1, 1)),  # in lower case an ASCII k
        ("🖕🖕!", ["🖕"], (1, 2)),
        ("x", ["x y"], (0, 0)),
        ("x y", ["x y z"], (0, 0)),
        ("", ["x"], (0, 0)),
        ("anything", [], (0, 0)),
    ],
)
def test_what_is_found(text: str, entries: list[str], expected: tuple[int, int]) -> None:
    assert hits(text, *entries) == expected
    assert hits_reference(text, entries) == expected


ALPHABET = "aabAB \n_-.éÉ色ßกK\u0301"


@settings(deadline=None, derandomize=True)
@given(st.text(ALPHABET, max_size=40), st.lists(st.text(ALPHABET, min_size=1, max_size=5), max_size=6))
def test_kernel_agrees_with_the_reference(text: str, entries: list[str]) -> None:
    entries = [entry for entry in entries if entry.strip()]
    stripped = [entry.strip() for entry in entries]
    assert hits(text, *stripped) == hits_reference(text, stripped)


@settings(deadline=None, derandomize=True)
@given(st.lists(st.text(max_size=20), max_size=5), st.text(min_size=1, max_size=3).filter(str.strip))
def test_documents_of_a_batch_are_apart(texts: list[str], entry: str) -> None:
    entry = entry.strip().encode("utf-8", "replace").decode()
    together = count_entries(Documents.from_texts(texts), compile_entries([entry]))
    assert list(zip(*map(np.ndarray.tolist, together), strict=True)) == [hits(text, entry) for text in texts]


def write(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


def test_lists_from_files(tmp_path: Path) -> None:
    plain = write(tmp_path / "a.txt", b"\xef\xbb\xbf# a comment\r\nDamn  # mild\r\n\r\nsnake oil\n")
    packed = write(tmp_path / "b.gz", gzip.compress("色情\ndamn".encode()))
    lists = find_lists([plain, packed])
    documents = Documents.from_texts(["damn snake\noil", "色情", "# a comment mild"])
    assert [n.tolist() for n in count_hits(documents, lists)] == [[2, 1, 0], [2, 1, 0]]
    assert count_hits(documents, lists) is count_hits(documents, lists)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"good\nb\xffd\n", "line 2: not UTF-8"),
        (b"good\n" + b"x " * 65, "line 2: more than 64 words"),
        (b"\n# nothing\n", "without words"),
        (b"\x1f\x8b broken", "damaged gzip"),
    ],
)
def test_a_bad_list_is_one_clear_line(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        find_lists([write(tmp_path / "list", content)])
    assert "\n" not in str(caught.value)


def test_a_list_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read this word list"):
        find_lists([str(tmp_path / "none")])


def test_a_list_that_changes_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "list"
    lists = find_lists([write(path, b"damn")])
    path.write_bytes(b"darn")
    with pytest.raises(EnvironmentFault, match="put it back"):
        lexicon.load(lists)
    path.unlink()
    with pytest.raises(EnvironmentFault, match="no word list here"):
        lexicon.load(lists)


@pytest.mark.parametrize("unit", ["a ", "a", "色", " ", "a a b ", "\u0301", "\x00"])
def test_hostile_text_takes_linear_time(unit: str) -> None:
    entries = compile_entries(["a " * 63 + "b", "a" * 5000, "色" * 60 + "情"])
    short, long = (Documents.from_texts([unit * n]) for n in (20_000, 80_000))
    count_entries(short, entries)

    def seconds(documents: Documents) -> float:
        begin = time.process_time()
        count_entries(documents, entries)
        return time.process_time() - begin

    assert min(seconds(long) for _ in range(5)) < 8 * min(seconds(short) for _ in range(5)) + 0.001


@settings(deadline=None, derandomize=True)
@given(st.binary(max_size=20), st.sampled_from([b"\x00", b"a", b" b", b"\xa9", b"\xf0"]))
def test_bytes_that_are_no_utf8_are_read_within_bounds(data: bytes, beyond: bytes) -> None:
    """What lies beyond the document makes no difference."""
    parts = compile_entries(["a b", "é", "a\u0301"])
    arguments = (lexicon._kinds(), lexicon.lowercase_table(), 3, parts.keys, parts.entry, parts.goes_on, parts.starts)

    def count(buffer: bytes) -> list[list[int]]:
        found = lexicon._count(np.frombuffer(buffer, np.uint8), np.array([0, len(data)]), *arguments)
        return [n.tolist() for n in found]

    assert count(data + beyond) == count(data + b"\x00")
