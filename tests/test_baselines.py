"""Tokenizers of bytes, characters and words, against dictionaries."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.errors import InputError, InvariantError, UnknownNameError, UserError
from textmill.tokenize import baselines
from textmill.tokenize.baselines import UNKNOWN, ByteTokenizer, CharacterTokenizer, WordTokenizer
from textmill.tokenize.pretokens.count import count_texts
from textmill.tokenize.pretokens.patterns import PATTERNS

CORPUS = ["the cat sat on the mat", "die Katze saß — 猫が座った 猫", "the end\n\n  of it 🌲", ""]
PIECES = ["the", " the", " cat", "e", "ß", "猫", "🌲", "é", " ", "\n", "—", "x", "\x00"]
TEXTS = st.lists(st.lists(st.sampled_from(PIECES), max_size=12).map("".join), max_size=5)


def documents(texts: list[str]) -> pa.LargeStringArray:
    return pa.array(texts, pa.large_string())


COUNTS = count_texts([documents(CORPUS)])


def by_frequency(units: list[str]) -> list[str]:
    """The most frequent first, ties by the first appearance."""
    return [unit for unit, _ in Counter(units).most_common()]


@settings(deadline=None)
@given(TEXTS, st.integers(2, 40))
def test_characters_are_looked_up_one_by_one(texts: list[str], vocab_size: int) -> None:
    known = by_frequency(list("".join(CORPUS)))[: vocab_size - 1]
    tokenizer = CharacterTokenizer.from_counts(COUNTS, vocab_size)
    assert tokenizer.characters == "".join(known)
    assert tokenizer.vocab_size == len(known) + 1 <= vocab_size
    for text in texts:
        ids = tokenizer.encode(text)
        assert ids == [known.index(char) + 1 if char in known else tokenizer.unknown_id for char in text]
        assert tokenizer.decode(ids) == "".join(char if char in known else UNKNOWN for char in text)


@settings(deadline=None)
@given(TEXTS, st.integers(2, 20), st.sampled_from(sorted(PATTERNS)))
def test_words_are_the_pretokens_of_a_pattern(texts: list[str], vocab_size: int, pattern: str) -> None:
    find = regex.compile(PATTERNS[pattern]).findall
    known = by_frequency([word for text in CORPUS for word in find(text)])[: vocab_size - 1]
    counts = count_texts([documents(CORPUS)], pattern=pattern)
    tokenizer = WordTokenizer.from_counts(counts, vocab_size, pattern)
    assert [word.decode() for word in tokenizer.words] == known
    for text in texts:
        ids = tokenizer.encode(text)
        assert ids == [known.index(word) + 1 if word in known else tokenizer.unknown_id for word in find(text)]
        assert tokenizer.decode(ids) == "".join(word if word in known else UNKNOWN for word in find(text))


@given(st.text())
def test_bytes_are_bytes(text: str) -> None:
    ids = ByteTokenizer().encode(text)
    assert ids == list(regex.sub(r"\p{Cs}", UNKNOWN, text).encode())
    assert ByteTokenizer().decode(ids) == regex.sub(r"\p{Cs}", UNKNOWN, text)


@settings(deadline=None)
@given(TEXTS, st.integers(0, 3))
def test_a_batch_has_the_ids_of_its_documents(texts: list[str], first: int) -> None:
    """Also where the batch is a slice of a longer column."""
    batch = documents(["before"] * first + texts + ["after"])[first : first + len(texts)]
    tokenizers = [ByteTokenizer(), CharacterTokenizer.from_counts(COUNTS, 20), WordTokenizer.from_counts(COUNTS, 9)]
    for tokenizer in tokenizers:
        tokens, offsets = tokenizer.encode_batch(batch)
        found = [tokens[offsets[i] : offsets[i + 1]].tolist() for i in range(len(texts))]
        assert found == [tokenizer.encode(text) for text in texts]
        assert tokens.dtype == "uint16"


def test_a_text_of_many_blocks_has_the_words_of_the_whole() -> None:
    words = [" " + chr(97 + i // 100) + chr(97 + i // 10 % 10) + chr(97 + i % 10) for i in range(1000)]
    text = "".join(words * 200)
    tokenizer = WordTokenizer([word.encode() for word in words[::2]])
    tokens, offsets = tokenizer.encode_batch(documents([text, text]))
    expected = [0 if i % 2 else i // 2 + 1 for i in range(1000)] * 200
    assert tokens.tolist() == expected * 2
    assert offsets.tolist() == [0, 200_000, 400_000]


def test_words_that_are_unknown_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "MAX_UNKNOWN", 10)
    tokenizer = WordTokenizer([b"a", b" b"])
    for i in range(50):
        assert tokenizer.encode(f"a x{i} y{i} b") == [1, 0, 0, 0, 0, 2]
        assert len(tokenizer._inventory) <= 2 + 10 + 4


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UserError, match="at least 2"):
        CharacterTokenizer.from_counts(COUNTS, 1)
    with pytest.raises(UserError, match="at least 2"):
        WordTokenizer.from_counts(COUNTS, 1)
    with pytest.raises(UnknownNameError):
        WordTokenizer([b"a"], "gpt3")
    with pytest.raises(InputError, match="token id 2: not in this vocabulary of 2 ids"):
        CharacterTokenizer("a").decode([1, 2])
    with pytest.raises(InputError, match="token id -1"):
        WordTokenizer([b"a"]).decode([-1])
    with pytest.raises(InputError, match="no byte"):
        ByteTokenizer().decode([256])
    with pytest.raises(InvariantError):
        ByteTokenizer().encode_batch(pa.array(["a", None], pa.large_string()))


def test_a_vocabulary_beyond_65536_has_wider_ids() -> None:
    tokenizer = WordTokenizer([str(i).encode() for i in range(70_000)])
    tokens, _ = tokenizer.encode_batch(documents(["69999", "0"]))
    assert tokens.dtype == "uint32"
    assert tokens.tolist() == [70_000, 1]
