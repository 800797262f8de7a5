"""Merges of byte-pair encodings by kernels, against a reference that counts every pair anew for every merge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from textmill.errors import UnknownNameError, UserError
from textmill.tokenize.bpe import merges as module
from textmill.tokenize.bpe.merge_text import BOUNDARY, FIRST_SYMBOL, lay_out, weight_of
from textmill.tokenize.bpe.merges import TIE_BREAKS, Merged, train_merges

Pair = tuple[int, int]

PRINTING = [*range(33, 127), *range(161, 173), *range(174, 256)]
ALPHABET = [*PRINTING, *(byte for byte in range(256) if byte not in PRINTING)]  # as GPT-2 and Hugging Face order bytes
WORDS = (
    st.text("a", max_size=30).map(str.encode)
    | st.text("ab", max_size=14).map(str.encode)
    | st.text("a \xad\x80\n", max_size=6).map(lambda text: text.encode("latin-1"))
    | st.binary(max_size=5)
)
NUMBERS = st.integers(0, 5) | st.integers(4000, 5000)
COUNTS = st.dictionaries(WORDS, st.integers(0, 4) | st.sampled_from([2**31 - 1, 2**31, 2**40]), max_size=10)


def recount(counts: Mapping[bytes, int], n_merges: int, tie_break: str) -> tuple[list[Pair], list[int]]:
    """The merges by their definition, and the number of tokens after each."""
    words = [(list(word), n) for word, n in counts.items()]
    tokens = [bytes([byte]) for byte in range(256)]
    merges: list[Pair] = []
    n_tokens: list[int] = []
    while len(merges) < n_merges:
        pairs: Counter[Pair] = Counter()
        for word, n in words:
            for pair in pairwise(word):
                pairs[pair] += n
        pairs = +pairs
        if not pairs:
            break
        merges.append(best_of(pairs, tokens, tie_break))
        left, right = merges[-1]
        tokens.append(tokens[left] + tokens[right])
        words = [(joined(word, merges[-1], len(tokens) - 1), n) for word, n in words]
        n_tokens.append(sum(len(word) * n for word, n in words))
    return merges, n_tokens


def best_of(pairs: Counter[Pair], tokens: list[bytes], tie_break: str) -> Pair:
    if tie_break == "first":
        return max(pairs, key=lambda pair: pairs[pair])  # as in tiktoken: of equals, that which was counted first
    if tie_break == "ids":
        ids = {byte: number for number, byte in enumerate(ALPHABET)}
        return min(pairs, key=lambda pair: (-pairs[pair], [ids.get(token, token) for token in pair]))
    return max(pairs, key=lambda pair: (pairs[pair], tokens[pair[0]], tokens[pair[1]]))


def joined(word: list[int], pair: Pair, token: int) -> list[int]:
    new: list[int] = []
    for symbol in word:
        if new and (new[-1], symbol) == pair:
            new[-1] = token
        else:
            new.append(symbol)
    return new


def train(counts: Mapping[bytes, int], n_merges: int, tie_break: str = "bytes") -> Merged:
    return train_merges(*arrays(counts.items()), n_merges, tie_break)


def arrays(counts: Iterable[tuple[bytes, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    words, numbers = zip(*counts, strict=True) if (counts := list(counts)) else ((), ())
    starts = np.cumsum([0, *map(len, words)])
    return np.frombuffer(b"".join(words), np.uint8), starts, np.array(numbers, np.int64)


def pairs_of(merged: Merged) -> list[Pair]:
    return list(zip(merged[0].tolist(), merged[1].tolist(), strict=True))


@pytest.mark.parametrize("tie_break", TIE_BREAKS)
@settings(max_examples=150, deadline=None)
@given(counts=COUNTS, n_merges=st.integers(0, 40), floor_frac=st.sampled_from([1e-9, 1 / 64, 1.0, 100.0]))
@example(counts={b"aaaaa": 1, b"baaab": 2}, n_merges=9, floor_frac=1.0)
@example(counts={b"abababab": 1, b"bab": 3}, n_merges=9, floor_frac=1 / 64)
@example(counts={b"ab": 1}, n_merges=1, floor_frac=100.0)
def test_merges_are_those_of_recounting(
    tie_break: str, counts: dict[bytes, int], n_merges: int, floor_frac: float
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FLOOR_FRAC", floor_frac)
        patch.setattr(module, "FEW_MERGES", 1)
        patch.setattr(module, "N_PAIRS_AT_FIRST", 2)
        patch.setattr(module, "N_BOUNDS", 16)
        patch.setattr(module, "SLICE_PLACES", 3)
        merged = train(counts, n_merges, tie_break)
    assert (pairs_of(merged), merged[2].tolist()) == recount(counts, n_merges, tie_break)


def test_a_pair_that_overlaps_itself_counts_twice_and_is_joined_from_the_left() -> None:
    assert pairs_of(train({b"aaa": 2, b"bc": 3}, 2)) == [(97, 97), (98, 99)]
    assert pairs_of(train({b"aaaaa": 1}, 9)) == [(97, 97), (256, 256), (257, 97)]


def test_rules_for_ties_differ() -> None:
    counts = {b"ab": 1, b" b": 1, b"\xadb": 1, b"zb": 1}
    assert {rule: pairs_of(train(counts, 1, rule))[0][0] for rule in TIE_BREAKS} == {
        "bytes": 0xAD,
        "ids": ord("a"),  # before the space and the soft hyphen, which GPT-2 writes as characters of their own
        "first": ord("a"),
    }
    assert pairs_of(train(dict(reversed(counts.items())), 1, "first")) == [(ord("z"), ord("b"))]


@given(st.permutations([b"low", b"lower", b"newest", b"widest", b"west"]), st.sampled_from(["bytes", "ids"]))
def test_the_order_of_pretokens_does_not_matter_where_it_breaks_no_ties(words: list[bytes], tie_break: str) -> None:
    counts = {word: 1 + len(word) // 5 for word in words}
    assert pairs_of(train(counts, 20, tie_break)) == pairs_of(train(dict(sorted(counts.items())), 20, tie_break))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text("ab c", max_size=6).map(str.encode), max_size=30))
def test_first_is_the_pair_that_a_pass_over_the_text_counts_first(text: list[bytes]) -> None:
    each = recount_text(text, 12)
    assert pairs_of(train(Counter(text), 12, "first")) == each


def recount_text(pretokens: list[bytes], n_merges: int) -> list[Pair]:
    """tiktoken's educational trainer: pretokens as often as they occur, in the order of the text."""
    words = [list(pretoken) for pretoken in pretokens]
    merges: list[Pair] = []
    while len(merges) < n_merges:
        pairs: Counter[Pair] = Counter()
        for word in words:
            pairs.update(pairwise(word))
        if not pairs:
            break
        merges.append(max(pairs, key=lambda pair: pairs[pair]))
        words = [joined(word, merges[-1], 255 + len(merges)) for word in words]
    return merges


@settings(deadline=None, max_examples=20)
@given(st.lists(st.text("abcé \xad雪\n", min_size=1, max_size=8), max_size=40))
def test_ids_gives_the_merges_of_hugging_face(words: list[str]) -> None:
    pytest.importorskip("tokenizers")
    encoded = Counter(word.encode() for word in words)
    tokens = [bytes([byte]) for byte in range(256)]
    ours = []
    for left, right in pairs_of(train(encoded, 30, "ids")):
        ours.append((tokens[left], tokens[right]))
        tokens.append(tokens[left] + tokens[right])
    assert ours == merges_of_hugging_face(words, 30)


def merges_of_hugging_face(words: list[str], n_merges: int) -> list[tuple[bytes, bytes]]:
    import json

    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = byte_level
    alphabet = {chr(byte): byte for byte in PRINTING}
    alphabet |= {chr(256 + i): byte for i, byte in enumerate(ALPHABET[len(PRINTING) :])}
    tokenizer.train_from_iterator(
        words,
        trainers.BpeTrainer(vocab_size=256 + n_merges, show_progress=False, initial_alphabet=list(alphabet)),
    )
    found = json.loads(tokenizer.to_str())["model"]["merges"]
    return [tuple(bytes(alphabet[char] for char in token) for token in pair) for pair in found]


# --- Sizes ---


@pytest.mark.parametrize("tie_break", TIE_BREAKS)
@pytest.mark.parametrize("word", [b"a" * 300_000, b"ab" * 150_000], ids=["a", "ab"])
def test_one_endless_pretoken(word: bytes, tie_break: str) -> None:
    left, right, n_tokens = train({word: 1}, 1000, tie_break)
    sizes = [1] * 256
    for one, other in zip(left, right, strict=True):
        sizes.append(sizes[one] + sizes[other])
    assert n_tokens[-1] == 1
    assert sizes[-1] == 300_000
    assert len(left) < 40  # what is joined doubles


def test_ids_of_more_than_16_bits() -> None:
    data = np.random.default_rng(1).integers(0, 256, 150_000).astype(np.uint8)
    starts = np.arange(0, len(data) + 1, 3)
    left, right, n_tokens = train_merges(data, starts, np.ones(len(starts) - 1, np.int64), 70_000)
    made = {pair: 256 + k for k, pair in enumerate(zip(left.tolist(), right.tolist(), strict=True))}
    assert len(made) == 70_000
    assert sum(len(encoded(word, made)) for word in data.reshape(-1, 3).tolist()) == n_tokens[-1]


def encoded(word: list[int], made: Mapping[Pair, int]) -> list[int]:
    while pairs := [pair for pair in pairwise(word) if pair in made]:
        first = min(pairs, key=lambda pair: made[pair])
        word = joined(word, first, made[first])
    return word


def test_merges_end_when_no_pair_is_left() -> None:
    for counts in ({}, {b"": 3}, {b"a": 5, b"b": 1}, {b"ab": 0}):
        assert [len(part) for part in train(counts, 10)] == [0, 0, 0]
    assert [part.tolist() for part in train({b"abc": 2, b"d": 1}, 1 << 40)] == [[98, 97], [99, 256], [5, 3]]


@given(counts=st.lists(st.tuples(st.binary(max_size=40), NUMBERS), max_size=80), keep_order=st.booleans())
def test_every_cell_knows_its_weight(counts: list[tuple[bytes, int]], keep_order: bool) -> None:
    text, spelling = lay_out(*arrays(counts), 256, keep_order)
    found, at = [], 1
    while at < len(text.cells):
        end = at + (text.cells[at:] == BOUNDARY).argmax()
        word = (text.cells[at:end] - FIRST_SYMBOL).astype(np.uint8).tobytes()
        assert spelling.text[at:end].tobytes() == word
        found.append((word, {weight_of(text, cell) for cell in range(at, end)}))
        at = end + 1
    expected = [(word, {n} if word else set()) for word, n in counts]
    assert found == expected if keep_order else sorted(found, key=repr) == sorted(expected, key=repr)


# --- The caller ---


def test_progress_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLICE_PLACES", 1)
    seen: list[int] = []
    train_merges(*arrays({b"abcd": 2, b"bcde": 1}.items()), 9, on_merge=seen.append)
    assert seen == sorted(seen)
    assert {1, 2, 3, 4} <= set(seen)


def test_mistakes_are_named() -> None:
    data, starts, counts = arrays({b"ab": 1, b"c": 2}.items())
    with pytest.raises(UnknownNameError, match="tie-break"):
        train_merges(data, starts, counts, 1, "byte")
    with pytest.raises(UserError, match="not rising bounds in 2 bytes"):
        train_merges(data[:2], starts, counts, 1)
    with pytest.raises(UserError, match="not rising"):
        train_merges(data, starts[::-1].copy(), counts, 1)
    with pytest.raises(UserError, match="-1 is below 0"):
        train_merges(data, starts, counts - 2, 1)
    with pytest.raises(UserError, match="64-bit"):
        train_merges(data, starts, counts << 61, 1)
