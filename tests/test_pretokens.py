"""Pretokens by kernel against the regular expressions themselves, on odd texts, odd bytes and whole corpora."""

from __future__ import annotations

import gzip
import random
import unicodedata
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import regex
from hypothesis import example, given, settings
from hypothesis import strategies as st

from textmill.errors import InvariantError, UnknownNameError
from textmill.tokenize.pretokens.cut import cut_pretokens, next_cut
from textmill.tokenize.pretokens.patterns import (
    LETTER,
    LOWER,
    NEWLINE,
    NUMBER,
    OTHER,
    PATTERNS,
    SPACE,
    UPPER,
    character_kinds,
)
from textmill.tokenize.pretokens.pretokenizer import Pretokenizer

SHARED = Path(__file__).parents[2] / "shared" / "data"
needs_corpora = pytest.mark.skipif(not (SHARED / "text").is_dir(), reason="../shared/data/text is not there")
every_pattern = pytest.mark.parametrize("pattern", PATTERNS)

# Characters that meet every alternative of the patterns, and the limits between them: contractions in either case and
# with the long s, title case, letters without case, marks, numbers of other scripts, white space that is not ASCII.
ASCII = ["'", "'s", "'ll", "'VE", "s", "l", "t", "re", "a", "A", "Bc", "7", "42", "!", "/", "_", "-", " ", "  "]
ASCII += ["\n", "\r\n", "\r", "\t", "\x0b", "\x1c", "\0", " word", " 1234"]
WIDE = ["é", "É", "ſ", "'ſ", "ж", "Ж", "雪", "ǅ", "ʰ", "\u0301", "ह", "ि", "🌲", "٣", "Ⅷ", "½", "—", "\u200b", "\u0378"]
WIDE += ["\u0085", "\xa0", "\u3000", "\u2028", "\u202f", "\U0001d400", "\U000e0100", "\U0010ffff"]


def encode(text: str) -> bytes:
    """UTF-8, in which a lone surrogate U+DC80 to U+DCFF stands for a byte that is no part of it."""
    return text.encode(errors="surrogateescape")


def cut(pattern: str, texts: Sequence[str]) -> list[bytes]:
    """The pretokens of the texts by kernel, all one after the other."""
    data = b"".join(map(encode, texts))
    bounds = np.cumsum([0, *(len(encode(text)) for text in texts)], dtype=np.int64)
    ends = np.empty(len(data), np.int64)
    n = cut_pretokens(pattern, np.frombuffer(data, np.uint8), bounds, ends)
    return [data[start:end] for start, end in pairwise([0, *ends[:n].tolist()])]


def reference(pattern: str, texts: Sequence[str]) -> list[bytes]:
    find = regex.compile(PATTERNS[pattern]).findall
    return [encode(pretoken) for text in texts for pretoken in find(text)]


def odd_texts(rng: random.Random) -> list[str]:
    """A few texts of pieces from one pool, long enough to meet the limits between blocks of 64 bytes."""
    pool = rng.choice([ASCII, WIDE, ASCII * 5 + WIDE, rng.sample(ASCII + WIDE, 4)])
    return ["".join(rng.choices(pool, k=rng.choice([0, 1, 5, 30, 90]))) for _ in range(rng.choice([1, 4]))]


# --- the kernels ---


@every_pattern
@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(st.sampled_from(ASCII + WIDE) | st.text(max_size=3), max_size=40).map("".join), max_size=3))
@example(["don't's I'LL 'sure ''s x'ſure \t's"])
@example(["!\n/\n/x", "a\n/\nb \n \n  x"])
@example(["雪ABC雪 雪ABc 雪AB'll ABC雪D AB\u0301CD \u0301A"])
def test_the_kernels_cut_as_the_expressions_do(pattern: str, texts: list[str]) -> None:
    texts = [regex.sub(r"\p{Cs}", "\ufffd", text) for text in texts]
    assert cut(pattern, texts) == reference(pattern, texts)


@every_pattern
def test_the_kernels_cut_as_the_expressions_do_at_all_places_of_a_block(pattern: str) -> None:
    rng = random.Random(6)
    for _ in range(1500):
        texts = odd_texts(rng)
        assert cut(pattern, texts) == reference(pattern, texts), texts


@every_pattern
def test_every_character_is_what_the_expressions_take_it_for(pattern: str) -> None:
    """Those that are assigned, and some of each plane."""
    codes = [*range(0xD800), *range(0xE000, 0x33500), *range(0x33500, 0x110000, 31)]
    text = "".join(f"|\n{chr(code)} a{chr(code)}b" for code in codes)
    assert cut(pattern, [text]) == reference(pattern, [text])


@every_pattern
@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | st.lists(st.sampled_from([0xC3, 0xA9, 0xE3, 0x80, 0x41, 0x20, 0xF0, 0x9F, 0xED])))
@example(b"\xc0\x80\xe0\x80\xaf\xed\xa0\x80\xf0\x80\x80\x80\xf4\x90\x80\x80\xf5\xff\x80" + b"x" * 64)
@example(b"7\xed\xa0\x80a7\xe0\x80\xafa7\xc1\x81a7\xf0\x80\x81\x81a" + b"x" * 64)  # each byte is one
@example(b"7\xed\xa0\x80a7\xe0\x80\xafa7\xc1\x81a7\xf0\x80\x81\x81a")
@example(b"a" * 62 + b"\xe3\x81")
def test_bytes_that_are_no_utf8_are_no_letters(pattern: str, data: bytes | list[int]) -> None:
    text = bytes(data).decode(errors="surrogateescape")
    assert cut(pattern, [text, "x" * 64]) == reference(pattern, [text, "x" * 64])


@every_pattern
def test_a_text_sees_nothing_of_its_neighbours(pattern: str) -> None:
    texts = ["don'", "t", "", "a ", "", " \n", "\n", "é\u3000", "1", "2345", "!", "\n/", "x" * 70, "'", "ll"]
    assert cut(pattern, texts) == [pretoken for text in texts for pretoken in cut(pattern, [text])]


@every_pattern
@pytest.mark.parametrize(
    "character", ["a", "A", " ", "\n", "'", "7", "!", "é", "雪", "\u0301", "٣", "\u3000", "'s", "雪A"]
)
def test_long_runs_are_cut_like_short_ones(pattern: str, character: str) -> None:
    text = character * 3000 + "b"
    assert cut(pattern, [text]) == reference(pattern, [text])


def test_kinds_are_the_properties_of_the_expressions() -> None:
    kinds = character_kinds()
    classes = {
        r"\p{L}": LETTER,
        r"\p{N}": NUMBER,
        r"\s": SPACE,
        r"[^\s\p{L}\p{N}]": OTHER,
        r"[\r\n]": NEWLINE,
        r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]": UPPER,
        r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]": LOWER,
    }
    everything = "".join(map(chr, range(0x110000)))
    for expression, bit in classes.items():
        found = np.zeros(0x110000, bool)
        for run in regex.finditer(f"(?:{expression})+", everything):
            found[run.start() : run.end()] = True
        assert np.array_equal(found, kinds & bit != 0), expression


def test_wrong_arguments_are_named() -> None:
    data, room = np.zeros(4, np.uint8), np.empty(4, np.int64)
    with pytest.raises(UnknownNameError, match="cl100k"):
        cut_pretokens("cl100", data, np.array([0, 4]), room)
    with pytest.raises(InvariantError, match="texts from 0 to 5 of 4 bytes"):
        cut_pretokens("gpt2", data, np.array([0, 5]), room)
    with pytest.raises(InvariantError, match="room for 3"):
        cut_pretokens("gpt2", data, np.array([0, 4]), room[:3])
    with pytest.raises(InvariantError, match="a text ends before it begins"):
        cut_pretokens("gpt2", data, np.array([0, 4, 2, 4]), room)
    assert cut_pretokens("gpt2", data, np.array([4]), room) == 0
    assert next_cut(np.frombuffer(b"words", np.uint8), 2, 1 << 20) == 5


# --- cutting for parallel work ---


def cut_places(data: bytes, n: int) -> list[int]:
    """Where to cut a text into at most ``n`` parts of about one size."""
    array, places = np.frombuffer(data, np.uint8), [0]
    for part in range(1, n):
        place = next_cut(array, max(part * len(data) // n, places[-1] + 1), len(data))
        places += [place] if place < len(data) else []
    return [*places, len(data)]


@every_pattern
def test_parts_have_the_pretokens_of_the_whole(pattern: str) -> None:
    rng = random.Random(7)
    n_cut = 0
    for _ in range(1500):
        text = "".join([*odd_texts(rng), " ", *odd_texts(rng)])
        data = encode(text)
        places = cut_places(data, rng.randint(1, 9))
        parts = [data[start:end].decode() for start, end in pairwise(places)]
        assert places[0] == 0
        assert places[-1] == len(data)
        assert cut(pattern, parts) == cut(pattern, [text]), text
        n_cut += len(parts) - 1
    assert n_cut > 1500


def test_parts_are_of_about_one_size_and_as_many_as_there_are_places() -> None:
    def places(text: str, n: int) -> list[int]:
        return cut_places(text.encode(), n)

    assert places("aaa " * 100, 4) == [0, 103, 203, 303, 400]
    assert places("aaa aaa", 5) == [0, 3, 7]
    assert places("a" * 100, 4) == [0, 100]
    assert places("слово слово, слово", 3) == [0, 22, 33]
    assert places("a \u3000b\u3000 c\xa0 d e", 2)[1] == len(
        "a \u3000b\u3000 c\xa0 d".encode()
    )  # others are white space
    assert places("雪が降る。\n雪が積もる。\n" * 2, 3) == [0, 35, 51, 70]
    assert places("x \ny\n\nz\n/\n。", 5) == [0, 13]
    assert places("", 3) == [0, 0]


# --- strings ---


@every_pattern
@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from([*ASCII, *WIDE, "<|", "|>"]), max_size=8).map("".join), max_size=8),
    st.integers(1, 20),
    st.booleans(),
)
@example(["雪AB", "雪 ", "\n", "'", "l", "l"], 1, False)
def test_a_stream_has_the_pretokens_of_the_whole(
    pattern: str, texts: list[str], buffer_chars: int, special: bool
) -> None:
    pretokenizer = Pretokenizer(["<||>", "<||>a", "\n "] if special else [], pattern)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("textmill.tokenize.pretokens.pretokenizer.BUFFER_CHARS", buffer_chars)
        streamed = list(pretokenizer.stream(texts))
    assert streamed == pretokenizer.split("".join(texts))


# --- whole corpora, and the engine of tiktoken ---


def corpora() -> list[Path]:
    return [*sorted((SHARED / "text").rglob("*.txt.gz")), *sorted((SHARED / "languages").glob("*.jsonl.gz"))]


@needs_corpora
@every_pattern
def test_the_kernels_cut_all_corpora_as_the_expressions_do(pattern: str) -> None:
    """Of each the first 400,000 characters."""
    for path in corpora():
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            text = file.read(400_000)
        assert cut(pattern, [text]) == reference(pattern, [text]), path.name


@needs_corpora
def test_counts_of_parts_are_the_counts_of_the_whole() -> None:
    with gzip.open(SHARED / "text" / "webtext.txt.gz") as file:
        data = file.read()
    places = cut_places(data, 7)
    parts = [Counter(cut("cl100k", [data[start:end].decode()])) for start, end in pairwise(places)]
    assert sum(parts, Counter()) == Counter(cut("cl100k", [data.decode()]))


def tiktoken_pieces(pattern: str, text: str, pieces: Sequence[bytes]) -> list[bytes]:
    """What tiktoken takes for pieces of ``text``, when they are thought to be ``pieces``.

    It shows tokens, not pieces; but a piece that is in the vocabulary is one token. So the vocabulary holds the pieces
    and, in case that two or three should be one, their joins.
    """
    tiktoken = pytest.importorskip("tiktoken", reason="tiktoken is not installed")
    known = dict.fromkeys(bytes([byte]) for byte in range(256))
    for n in (1, 2, 3):
        known |= dict.fromkeys(b"".join(pieces[i : i + n]) for i in range(len(pieces) - n + 1))
    ranks = {token: rank for rank, token in enumerate(known)}
    encoding = tiktoken.Encoding("test", pat_str=PATTERNS[pattern], mergeable_ranks=ranks, special_tokens={})
    return encoding.decode_tokens_bytes(encoding.encode_ordinary(text))


@every_pattern
def test_tiktoken_cuts_odd_texts_into_the_same_pieces(pattern: str) -> None:
    rng = random.Random(8)
    for _ in range(80):
        for text in odd_texts(rng):
            pieces = cut(pattern, [text])
            assert tiktoken_pieces(pattern, text, pieces) == pieces, text


@needs_corpora
@every_pattern
def test_tiktoken_cuts_sentences_in_many_languages_into_the_same_pieces(pattern: str) -> None:
    with gzip.open(SHARED / "text" / "multilingual_udhr2.txt.gz", "rt", encoding="utf-8") as file:
        lines = [line for line in file if not any(unicodedata.category(character) == "Cn" for character in line)]
    text = "".join(random.Random(9).sample(lines, 1000))  # characters that older versions of Unicode know as well
    pieces = cut(pattern, [text])
    assert tiktoken_pieces(pattern, text, pieces) == pieces
