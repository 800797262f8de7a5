"""Encoding by kernel against the rule in plain Python: the merge of the lowest rank first, of these the leftmost."""

from __future__ import annotations

import gzip
import heapq
import pickle
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from textmill.errors import InputError, InvariantError
from textmill.tokenize import Tokenizer, count_pretokens, train_from_counts
from textmill.tokenize.encoding import encode_blocks
from textmill.tokenize.encoding.encode_blocks import encode_strings
from textmill.tokenize.encoding.encode_kernels import SHORT, merge_tables
from textmill.tokenize.pretokens import blocks
from textmill.tokenize.pretokens.patterns import PATTERNS

EOT = "<|endoftext|>"
BYTES = {byte: bytes([byte]) for byte in range(256)}
PIECES = ["'", "'l", "ve", "a", "é", "雪", "🌲", "7", "!", " ", "  ", "\n", "\r\n", "\t", "\u3000", EOT, EOT[:5], "\0"]
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=30).map("".join)
CORPUS = (
    "the lighthouse keeper's lamp, they'll say, burnt 1,024 nights\n\n  the keeper we've met didn't\tsleep  \n"
    "Über den Wäldern fällt Schnee — 雪が降る 雪が積もる 🌲🌲🌲 aaaaaaaaaaa abababab\r\n" * 3
)
SHARED = Path(__file__).parents[2] / "shared" / "data" / "text"


def merge_by_rule(ids: list[int], ranks: Mapping[tuple[int, int], int], merged_ids: Sequence[int]) -> list[int]:
    """What `encode_pretokens` does to one pretoken; quadratic."""
    ids = list(ids)
    while True:
        found = [(ranks[pair], i) for i, pair in enumerate(pairwise(ids)) if pair in ranks]
        if not found:
            return ids
        rank, i = min(found)
        ids[i : i + 2] = [merged_ids[rank]]


def merge_by_heap(ids: list[int], ranks: Mapping[tuple[int, int], int], merged_ids: Sequence[int]) -> list[int]:
    """The same in O(n log n): a heap, and a linked list whose two ends meet in a sentinel (id -1)."""
    following = list(range(1, len(ids) + 2))
    previous = list(range(-1, len(ids)))
    heap = [(ranks[pair], i) for i, pair in enumerate(pairwise(ids)) if pair in ranks]
    heapq.heapify(heap)
    ids = [*ids, -1]
    following[-1] = 0
    while heap:
        rank, i = heapq.heappop(heap)
        j = following[i]
        if ranks.get((ids[i], ids[j])) != rank:
            continue
        ids[i], ids[j] = merged_ids[rank], -1
        following[i] = following[j]
        previous[following[i]] = i
        for left in (previous[i], i):
            pair = ids[left], ids[following[left]]
            if pair in ranks:
                heapq.heappush(heap, (ranks[pair], left))
    return [number for number in ids if number >= 0]


def by_kernel(pretokens: Sequence[bytes], merges: Sequence[tuple[int, int, int]]) -> list[list[int]]:
    """``merges`` are of ids: left, right and what they make."""
    columns = np.array(merges, np.uint32).reshape(-1, 3).T
    tables = merge_tables(np.arange(256, dtype=np.uint32), *map(np.ascontiguousarray, columns))
    arena = np.frombuffer(b"".join(pretokens), np.uint8)
    starts = np.cumsum([0, *map(len, pretokens)])
    tokens, ends = encode_strings(tables, arena, starts)
    return [tokens[start:end].tolist() for start, end in pairwise([0, *ends.tolist()])]


def by_rule(pretokens: Sequence[bytes], merges: Sequence[tuple[int, int, int]]) -> list[list[int]]:
    ranks: dict[tuple[int, int], int] = {}
    for rank, (left, right, _) in enumerate(merges):
        ranks.setdefault((left, right), rank)
    return [merge_by_rule(list(pretoken), ranks, [made for _, _, made in merges]) for pretoken in pretokens]


# Merges of any ids, also of such as nothing makes or a later merge makes, and of one pair twice.
A, B, C = b"abc"
IDS = st.sampled_from([A, B, C, *range(256, 268), 2**20 - 1, 2**20, 2**32 - 1])
TABLES = st.lists(st.tuples(IDS, IDS, IDS), max_size=40)
WORDS = st.binary(min_size=1, max_size=5) | st.text("abc", min_size=1, max_size=3 * SHORT).map(str.encode)


# --- merging ---


@settings(max_examples=300, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=8), TABLES)
@example([b"abab" * 30], [(A, B, 256), (256, 256, 257), (257, 257, 258)])
@example([b"a" * SHORT, b"a" * (SHORT + 1)], [(A, A, 256), (256, A, 257), (256, 256, 258)])
@example([b"ab", b"ba"], [(A, B, 256), (A, B, 257)])
@example([b"ab", b"abc", b"aba"], [(A, B, 2**20 - 1), (2**20 - 1, C, 2**20), (2**20 - 1, A, 2**32 - 1)])
@example([b"abc", b"a" + b"abc" * SHORT], [(256, C, 257), (A, B, 256), (A, 257, 258)])
def test_merging_goes_by_rank_and_from_the_left(pretokens: list[bytes], merges: list[tuple[int, int, int]]) -> None:
    assert by_kernel(pretokens, merges) == by_rule(pretokens, merges)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400), st.integers(0, 400)), min_size=50, max_size=2000))
def test_merging_in_a_large_table(merges: list[tuple[int, int, int]]) -> None:
    rng = np.random.default_rng(len(merges))
    pretokens = [rng.integers(0, 256, n, np.uint8).tobytes() for n in rng.integers(1, 2 * SHORT, 50)]
    assert by_kernel(pretokens, merges) == by_rule(pretokens, merges)


def test_the_ids_of_real_words() -> None:
    vocab, merges = train_from_counts(count_pretokens([CORPUS]), 400, [])
    ids = {token: number for number, token in vocab.items()}
    numbers = [(ids[left], ids[right], ids[left + right]) for left, right in merges]
    pretokens = [*count_pretokens([CORPUS, CORPUS.upper(), "the" * 100]), b"x" * 10_000, b"the keeper" * 1000]
    ranks = {(left, right): rank for rank, (left, right, _) in enumerate(numbers)}
    made = [number for _, _, number in numbers]
    assert by_kernel(pretokens, numbers) == [merge_by_heap(list(word), ranks, made) for word in pretokens]


def test_of_equal_tokens_the_smaller_id_is_made() -> None:
    vocab = BYTES | {300: b"ab", 299: b"ab", 301: b"a", 302: b""}
    tokenizer = Tokenizer(vocab, [(b"a", b"b"), (b"a", b"b")])
    assert tokenizer.encode_ordinary("ab a") == [299, 32, 97]


# --- blocks ---


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    vocab, merges = train_from_counts(count_pretokens([CORPUS]), 300, [EOT])
    return Tokenizer(vocab, merges, [EOT])


def one_by_one(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    return [tokenizer.encode_ordinary(text) for text in texts]


def as_lists(tokens: np.ndarray, offsets: np.ndarray) -> list[list[int]]:
    assert (offsets.dtype, offsets[0], offsets[-1]) == (np.int64, 0, len(tokens))
    return [tokens[start:end].tolist() for start, end in pairwise(offsets)]


@settings(deadline=None)
@given(TEXTS)
@example("")
@example(CORPUS)
def test_long_and_short_texts_are_encoded_alike(tokenizer: Tokenizer, text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("textmill.tokenize.encoding.tokenizer.SHORT_CHARS", 0)
        long = tokenizer.encode(text), tokenizer.encode_ordinary(text)
        patch.setattr("textmill.tokenize.encoding.tokenizer.SHORT_CHARS", 1 << 30)
        assert long == (tokenizer.encode(text), tokenizer.encode_ordinary(text))


@settings(deadline=None)
@given(st.lists(TEXTS | st.text("ab 1", max_size=200), max_size=8), st.integers(1, 40), st.integers(1, 3))
@example(["a b" * 50, "", "", "x" * 100, " y" * 30], 7, 2)
def test_no_cut_into_blocks_changes_a_token(
    tokenizer: Tokenizer, texts: list[str], block_bytes: int, threads: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_BYTES", block_bytes)
        batch = tokenizer.encode_batch(pa.array(texts, pa.large_string()), threads=threads)
    assert as_lists(*batch) == one_by_one(tokenizer, texts)


@settings(deadline=None)
@given(st.lists(TEXTS, max_size=5))
def test_a_batch_is_encoded_one_by_one_from_any_arrow_text(tokenizer: Tokenizer, texts: list[str]) -> None:
    expected = one_by_one(tokenizer, texts)
    padded = ["before", *texts, "after"]
    for kind in (pa.string(), pa.large_string()):
        whole = pa.array(padded, kind)
        assert as_lists(*tokenizer.encode_batch(whole[1:-1])) == expected
        assert as_lists(*tokenizer.encode_batch(pa.array(texts, kind))) == expected
        chunked = pa.chunked_array([whole[1 : len(texts)], whole[len(texts) : -1]] if texts else [], kind)
        assert as_lists(*tokenizer.encode_batch(chunked)) == expected


def test_a_full_memory_of_pretokens_changes_nothing(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = one_by_one(tokenizer, [CORPUS] * 2)
    monkeypatch.setattr(encode_blocks, "MAX_KEPT", 2)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 20)
    assert as_lists(*tokenizer.encode_batch(pa.array([CORPUS] * 2))) == expected


def test_columns_that_are_no_text_are_a_bug(tokenizer: Tokenizer) -> None:
    with pytest.raises(InvariantError, match="1 documents without text"):
        tokenizer.encode_batch(pa.array(["a", None]))
    with pytest.raises(InvariantError, match="documents are binary, expected string or large_string"):
        tokenizer.encode_batch(pa.array([b"a"]))


@pytest.mark.parametrize("merge", [(b"a", b""), (b"a",), (b"a", b"b", b"c")])
def test_a_merge_that_is_none_is_refused(merge: tuple[bytes, ...]) -> None:
    with pytest.raises(InputError, match=r"merge 1 .*: it must be of two tokens, none of them empty"):
        Tokenizer(BYTES | {256: b"ab"}, [(b"a", b"b"), merge])  # type: ignore[list-item]


def test_a_word_of_ten_million_bytes(tokenizer: Tokenizer) -> None:
    word = "aab" * 3_400_000
    tokens, offsets = tokenizer.encode_batch(pa.array(["a", word]))
    assert tokenizer.decode_batch(tokens, offsets).to_pylist() == ["a", word]


def test_a_block_too_large_is_refused(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode_blocks, "MAX_BLOCK_BYTES", 10)
    with pytest.raises(InputError, match="11 bytes of text without a space"):
        tokenizer.encode_batch(pa.array(["a" * 11]))


def test_what_failed_leaves_nothing_behind(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*arguments: object) -> None:
        raise MemoryError

    texts = pa.array([f"never seen {i} before" for i in range(99)])
    expected = [tokenizer.encode(text) for text in texts.to_pylist()]
    tokenizer.encode_batch(texts)
    for name in ("Inventory", "encode_pretokens", "gather"):
        with monkeypatch.context() as patch:
            patch.setattr(encode_blocks, name, no_memory)
            patch.setattr(encode_blocks, "MAX_KEPT_BYTES", 1)
            with pytest.raises(MemoryError):
                tokenizer.encode_batch(texts)
        tokens, offsets = tokenizer.encode_batch(texts)
        assert [tokens[start:end].tolist() for start, end in pairwise(offsets)] == expected


def test_a_pickled_tokenizer_encodes_alike(tokenizer: Tokenizer) -> None:
    again = pickle.loads(pickle.dumps(tokenizer))  # noqa: S301 - our own
    assert again.encode(CORPUS + EOT) == tokenizer.encode(CORPUS + EOT)
    assert (again.digest, again.special_ids) == (tokenizer.digest, tokenizer.special_ids)


# --- decoding ---


@settings(deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=6))
def test_a_batch_decodes_to_its_texts(tokenizer: Tokenizer, texts: list[str]) -> None:
    tokens, offsets = tokenizer.encode_batch(pa.array(texts, pa.large_string()))
    assert tokenizer.decode_batch(tokens, offsets).to_pylist() == texts
    assert tokenizer.decode_batch(tokens.astype(np.int64), offsets[1:]).to_pylist() == texts[1:]


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 299), max_size=8), max_size=6))
@example([[0xC3], [0xA9]])  # together they are é
def test_a_batch_decodes_as_its_documents_do(tokenizer: Tokenizer, documents: list[list[int]]) -> None:
    tokens = np.array([number for document in documents for number in document], np.uint16)
    offsets = np.cumsum([0, *map(len, documents)])
    expected = [tokenizer.decode(document) for document in documents]
    assert tokenizer.decode_batch(tokens, offsets).to_pylist() == expected
    assert tokenizer.decode_bytes(tokens.tolist()) == b"".join(map(tokenizer.decode_bytes, documents))


def test_decoding_a_batch_of_bad_ids(tokenizer: Tokenizer) -> None:
    sparse = Tokenizer(BYTES | {70_000: b"ab"}, [(b"a", b"b")])
    assert sparse.decode_batch(np.array([70_000, 98]), np.array([0, 2])).to_pylist() == ["abb"]
    for number in (-1, 256, 70_001):
        with pytest.raises(InputError, match=f"token id {number}: not in this vocabulary of 70001 ids"):
            sparse.decode_batch(np.array([97, number]), np.array([0, 2]))
    with pytest.raises(InputError, match="token id 300: not in this vocabulary of 300 ids"):
        tokenizer.decode_batch(np.array([300]), np.array([0, 1]))
    for offsets in ([], [0, 3], [-1, 1], [1, 0]):
        with pytest.raises(InputError, match="must ascend and be places in the 2 tokens"):
            tokenizer.decode_batch(np.array([97, 98]), np.array(offsets, np.int64))


# --- other tokenizers ---


@pytest.mark.skipif(not SHARED.exists(), reason="the shared texts are not here")
def test_ids_are_those_of_tiktoken_on_real_text() -> None:
    tiktoken = pytest.importorskip("tiktoken")
    texts = [gzip.decompress(path.read_bytes()).decode()[:100_000] for path in sorted(SHARED.glob("*.gz"))]
    vocab, merges = train_from_counts(count_pretokens(texts), 2_000, [])
    ranks = {token: number for number, token in vocab.items()}
    other = tiktoken.Encoding("check", pat_str=PATTERNS["gpt2"], mergeable_ranks=ranks, special_tokens={})
    batch = Tokenizer(vocab, merges).encode_batch(pa.array(texts))
    assert as_lists(*batch) == [other.encode_ordinary(text) for text in texts]
