"""Training and using byte-pair encodings, against references in plain Python that recount everything."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import regex
from hypothesis import example, given, settings
from hypothesis import strategies as st

from textmill.errors import InputError, InvariantError, UnknownNameError, UserError
from textmill.tokenize import Tokenizer, count_pretokens, train_bpe, train_from_counts
from textmill.tokenize.bpe.train import train
from textmill.tokenize.encoding.tokenizer import token_dtype
from textmill.tokenize.pretokens.count import count_texts
from textmill.tokenize.pretokens.pretokenizer import Pretokenizer, utf8

EOT = "<|endoftext|>"
GPT2 = regex.compile(r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+""")
CORPUS = (
    "the lighthouse keeper's lamp, they'll say, burnt 1,024 nights\n\n  the keeper we've met didn't\tsleep  \n"
    "Über den Wäldern fällt Schnee — 雪が降る 雪が積もる 🌲🌲🌲 aaaaaaaaaaa abababab\r\n" * 3
)
BYTES = {byte: bytes([byte]) for byte in range(256)}

# Pieces that meet every alternative of the pattern and every way in which pretokens and special tokens can touch.
PIECES = [
    "'",
    "'l",
    "l",
    "ve",
    "re",
    "a",
    "é",
    "雪",
    "🌲",
    "7",
    "!",
    " ",
    "  ",
    "\n",
    "\t",
    "<|",
    EOT,
    EOT[:5],
    "|>",
    "\0",
]
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=30).map("".join)


def naive_train(counts: dict[bytes, int], n_merges: int) -> list[tuple[bytes, bytes]]:
    """Count all pairs anew for every merge; words are tuples of byte strings."""
    words = {tuple(bytes([byte]) for byte in pretoken): n for pretoken, n in counts.items()}
    merges: list[tuple[bytes, bytes]] = []
    while len(merges) < n_merges:
        pairs: Counter[tuple[bytes, bytes]] = Counter()
        for word, n in words.items():
            for pair in pairwise(word):
                pairs[pair] += n
        if not pairs:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        words = {join_pair(word, best): n for word, n in words.items()}
    return merges


def join_pair(word: tuple[bytes, ...], pair: tuple[bytes, bytes]) -> tuple[bytes, ...]:
    joined: list[bytes] = []
    i = 0
    while i < len(word):
        width = 2 if word[i : i + 2] == pair else 1
        joined.append(b"".join(word[i : i + width]))
        i += width
    return tuple(joined)


def naive_encode(text: str, merges: list[tuple[bytes, bytes]]) -> list[bytes]:
    """Every merge in turn over every pretoken, as training did it."""
    tokens: list[bytes] = []
    for pretoken in GPT2.findall(text):
        word = tuple(bytes([byte]) for byte in utf8(pretoken))
        for pair in merges:
            word = join_pair(word, pair)
        tokens += word
    return tokens


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    vocab, merges = train_from_counts(count_pretokens([CORPUS]), 300, [EOT])  # few enough that words stay in parts
    return Tokenizer(vocab, merges, [EOT])


# --- training ---


def test_the_worked_example_of_the_paper() -> None:
    # Sennrich et al. (2016), with ties to the greatest pair: "es" and "st" both occur 9 times, "s" > "e"
    counts = {b"low": 5, b"lower": 2, b"newest": 6, b"widest": 3}
    vocab, merges = train_from_counts(counts, 256 + 6 + 1, [EOT])
    assert merges == [(b"s", b"t"), (b"e", b"st"), (b"o", b"w"), (b"l", b"ow"), (b"w", b"est"), (b"n", b"e")]
    assert [vocab[number] for number in range(256, 263)] == [b"st", b"est", b"ow", b"low", b"west", b"ne", EOT.encode()]
    assert vocab.items() >= BYTES.items()


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({b"ab": 1, b"ba": 1, b"zz": 1}, (b"z", b"z")),
        ({b"xa": 2, b"x\xff": 2, b"x\x00": 2}, (b"x", b"\xff")),  # raw bytes, not their printable stand-ins
        ({b"ab": 3, b"zz": 2}, (b"a", b"b")),  # the count goes first
    ],
)
def test_ties_go_to_the_greatest_pair_of_bytes(counts: dict[bytes, int], expected: tuple[bytes, bytes]) -> None:
    assert train_from_counts(counts, 257, [])[1] == [expected]


def test_a_longer_token_beats_its_own_beginning_in_a_tie() -> None:
    # after (a, b), the pairs (x, a) and (x, ab) tie: "ab" > "a"
    assert train_from_counts({b"ab": 9, b"xab": 2, b"xac": 2}, 258, [])[1] == [(b"a", b"b"), (b"x", b"ab")]


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.text("ab", min_size=1, max_size=12).map(str.encode), st.integers(1, 5), max_size=8)
    | st.dictionaries(st.binary(min_size=1, max_size=6), st.integers(1, 3), max_size=12),
    st.integers(0, 30),
)
def test_training_equals_recounting(counts: dict[bytes, int], n_merges: int) -> None:
    vocab, merges = train_from_counts(counts, 256 + n_merges, [])
    assert merges == naive_train(counts, n_merges)
    assert list(vocab.values()) == [*BYTES.values(), *(left + right for left, right in merges)]


def test_training_on_text_equals_recounting() -> None:
    counts = count_pretokens([CORPUS])
    assert train_from_counts(counts, 400, [])[1] == naive_train(counts, 144)


def test_one_training_tells_of_every_smaller_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = count_texts([pa.array([CORPUS], pa.large_string())])
    training = train(counts, 350, [EOT])
    for size in (257, 258, 300, 350):
        vocab, merges = train_from_counts(count_pretokens([CORPUS]), size, [EOT])
        n_tokens = len(Tokenizer(vocab, merges).encode_ordinary(CORPUS))
        assert training.bytes_per_token(size) == len(CORPUS.encode()) / n_tokens
    assert list(training.curve()) == [350]
    assert train(count_texts([]), 400, []).curve() == {256: 1.0}
    monkeypatch.setattr("textmill.tokenize.bpe.train.FIRST_CURVE_SIZE", 100)
    assert list(training.curve()) == [100, 200, 350]
    assert training.curve()[100] == 1


def test_training_stops_when_no_pair_is_left() -> None:
    seen: list[int] = []
    vocab, merges = train_from_counts({b"abc": 1, b"d": 4}, 1000, [EOT], on_merge=seen.append)
    assert merges == [(b"b", b"c"), (b"a", b"bc")]
    assert seen[-1] == 2
    assert len(vocab) == 256 + 2 + 1
    assert train_from_counts({}, 300, []) == (BYTES, [])


def test_special_tokens_are_never_counted(tmp_path: Path) -> None:
    path = tmp_path / "corpus.txt"
    path.write_text(f"end<|>{EOT}\nthe end{EOT}{EOT}start " * 40, "utf-8")
    vocab, merges = train_bpe(path, 300, [EOT])
    assert [token for token in vocab.values() if b"<|" in token and b"<|>" not in token] == [EOT.encode()]
    assert merges == naive_train(dict(count_pretokens([path.read_text("utf-8")], [EOT])), 300 - 257)


def test_a_file_and_its_text_train_alike(tmp_path: Path) -> None:
    path = tmp_path / "corpus.txt"
    text = CORPUS * 200 + "\r\n" * 10_000  # longer than one read; no line end may be translated
    path.write_text(text, "utf-8", newline="")
    assert train_bpe(str(path), 300, [EOT]) == train_from_counts(count_pretokens([text], [EOT]), 300, [EOT])


def test_counts_of_shards_add_up() -> None:
    texts = [CORPUS, f"one{EOT}two", "", "\ud800 lone\ud801"]
    counts = count_pretokens(texts, [EOT])
    assert counts == count_pretokens(texts[:1], [EOT]) + count_pretokens(texts[1:], [EOT])
    assert counts[b"one"] == 1
    assert counts["\ufffd".encode()] == 2
    assert not any(EOT.encode() in pretoken for pretoken in counts)


def test_mistakes_in_training_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="vocab_size 256: give at least 257"):
        train_from_counts({}, 256, [EOT])
    with pytest.raises(UserError, match="at most"):
        train_from_counts({}, 1 << 30, [])
    with pytest.raises(UnknownNameError, match="tie-break"):
        train_from_counts({}, 300, [], tie_break="byte")
    with pytest.raises(UnknownNameError, match="gpt2"):
        count_pretokens([], pattern="gpt-2")
    for special_tokens in ([""], [EOT, EOT], ["\ud800"]):
        with pytest.raises(UserError, match="special token"):
            train_from_counts({}, 300, special_tokens)
    with pytest.raises(InputError, match=r"nowhere\.txt: cannot be read"):
        train_bpe(tmp_path / "nowhere.txt", 300, [])
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9 cr\xe8me")
    with pytest.raises(InputError, match="not UTF-8"):
        train_bpe(tmp_path / "latin.txt", 300, [])


# --- pretokens ---


@given(st.lists(TEXTS, max_size=8), st.integers(1, 8), st.booleans())
@example(["x'", "l", "l"], 1, False)
@example(["a \n", "\nb"], 1, False)
@example(["a  ", EOT[:4], EOT[4:]], 1, True)
@example(["x", EOT, "\n"], 1, True)
def test_a_stream_gives_the_pretokens_of_the_whole(texts: list[str], buffer_chars: int, special: bool) -> None:
    pretokenizer = Pretokenizer([EOT, EOT + "\n", "\n \n"] if special else [])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("textmill.tokenize.pretokens.pretokenizer.BUFFER_CHARS", buffer_chars)
        streamed = list(pretokenizer.stream(texts))
    whole = "".join(texts)
    assert streamed == pretokenizer.split(whole)
    assert "".join(streamed) == whole


def test_a_stream_may_begin_with_half_a_special_token() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("textmill.tokenize.pretokens.pretokenizer.BUFFER_CHARS", 1)
        assert list(Pretokenizer(["a b c d e f g h"]).stream(["a b c d e f", " g h"])) == ["a b c d e f g h"]


@given(TEXTS)
@example("he's don't I'd I'm we'll we've they're it'sn't 'S")
def test_ordinary_pretokens_are_those_of_gpt2(text: str) -> None:
    assert Pretokenizer([EOT]).ordinary(text) == GPT2.findall(text)


# --- encoding ---


@settings(deadline=None)
@given(TEXTS)
@example("abababab aaaaaaaaaaaa")
@example(CORPUS)
def test_encoding_equals_applying_every_merge_in_turn(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode_ordinary(text)
    assert [tokenizer.vocab[number] for number in ids] == naive_encode(text, tokenizer.merges)
    assert tokenizer.eot_id not in ids


def test_the_earliest_merge_goes_first() -> None:
    tokenizer = Tokenizer(BYTES | {256: b"bc", 257: b"ab"}, [(b"b", b"c"), (b"a", b"b")])
    assert tokenizer.encode("abc") == [97, 256]
    assert tokenizer.encode("ababc") == [257, 97, 256]


@given(TEXTS)
def test_decoding_gives_the_text_back(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.decode(tokenizer.encode_ordinary(text)) == text
    assert tokenizer.encode(text).count(tokenizer.eot_id) == text.count(EOT)


def test_lone_surrogates_become_the_replacement_character(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode("a\ud800\udfff b")) == "a\ufffd\ufffd b"


def test_a_page_cannot_forge_a_special_token(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode(f"a{EOT}b") == [97, tokenizer.eot_id, 98]
    assert tokenizer.eot_id not in tokenizer.encode_ordinary(f"a{EOT}b")
    tempting = Tokenizer(BYTES | {256: b"|e"}, [(b"|", b"e")], [EOT])  # joins bytes that no pretoken has together
    tokens, _ = tempting.encode_batch(pa.array([EOT], pa.large_string()))
    assert tokens.tolist() == tempting.encode_ordinary(EOT) == list(EOT.encode())


def test_the_longest_of_overlapping_special_tokens_wins() -> None:
    tokenizer = Tokenizer(BYTES, [], [EOT, EOT + EOT, "ab", "abc"])
    assert tokenizer.special_ids == {EOT: 256, EOT + EOT: 257, "ab": 258, "abc": 259}
    assert tokenizer.encode(f"{EOT}{EOT}{EOT}") == [257, 256]
    assert tokenizer.encode(f"{EOT} {EOT}\n\n") == [256, 32, 256, 10, 10]
    assert tokenizer.encode("abcab") == [259, 258]
    assert tokenizer.decode([257, 256]) == EOT * 3


def test_special_tokens_found_in_the_vocabulary_keep_their_id() -> None:
    vocab = {0: EOT.encode()} | {byte + 1: token for byte, token in BYTES.items()}
    tokenizer = Tokenizer(vocab, [], [EOT, "<pad>"])
    assert tokenizer.encode(f"a{EOT}<pad>") == [98, 0, 257]
    assert (tokenizer.vocab_size, tokenizer.eot_id) == (258, 0)


@given(st.lists(TEXTS, max_size=6))
def test_encoding_piece_by_piece_equals_encoding_the_whole(tokenizer: Tokenizer, texts: list[str]) -> None:
    assert list(tokenizer.encode_iterable(texts)) == tokenizer.encode("".join(texts))


def test_encoding_piece_by_piece_needs_little_memory(tokenizer: Tokenizer) -> None:
    rng = np.random.default_rng(1)

    def lines() -> Iterator[str]:
        for _ in range(400):
            yield " ".join(map(str, rng.integers(0, 100_000, 20))) + "\n"

    for _ in tokenizer.encode_iterable(CORPUS):
        pass
    tracemalloc.start()
    n_tokens = sum(1 for _ in tokenizer.encode_iterable(lines()))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n_tokens > 20_000
    assert peak_bytes < 1_000_000


def test_an_endless_word_takes_no_endless_time(tokenizer: Tokenizer) -> None:
    text = "ab" * 20_000 + "a" * 20_000
    assert tokenizer.decode(tokenizer.encode_ordinary(text)) == text
    assert tokenizer.decode(tokenizer.encode_iterable(text)) == text


@given(st.lists(TEXTS, max_size=5))
def test_documents_are_encoded_one_by_one(tokenizer: Tokenizer, texts: list[str]) -> None:
    tokens, offsets = tokenizer.encode_batch(pa.array(["before", *texts], pa.large_string()).slice(1))
    assert (tokens.dtype, offsets.dtype, len(offsets)) == (np.uint16, np.int64, len(texts) + 1)
    assert [tokens[a:b].tolist() for a, b in pairwise(offsets)] == [tokenizer.encode_ordinary(text) for text in texts]


def test_ids_are_as_wide_as_the_vocabulary_needs() -> None:
    assert [token_dtype(n).name for n in (257, 65_536, 65_537)] == ["uint16", "uint16", "uint32"]
    tokenizer = Tokenizer(BYTES | {70_000: b"ab"}, [(b"a", b"b")])
    tokens, offsets = tokenizer.encode_batch(pa.array(["ab", "", "b"], pa.large_string()))
    assert (tokens.tolist(), tokens.dtype, offsets.tolist()) == ([70_000, 98], np.uint32, [0, 1, 1, 2])


def test_a_document_without_text_is_a_bug(tokenizer: Tokenizer) -> None:
    with pytest.raises(InvariantError, match="without text"):
        tokenizer.encode_batch(pa.array(["a", None], pa.large_string()))


def test_full_cache_changes_nothing(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textmill.tokenize.encoding.tokenizer.N_CACHED", 2)
    small = Tokenizer(tokenizer.vocab, tokenizer.merges, [EOT])
    assert small.encode(CORPUS) == tokenizer.encode(CORPUS)


def test_decoding_bad_ids(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode([0xE9, 97, 0xF0, 0x9F]) == "\ufffda\ufffd"
    assert tokenizer.decode(np.array([97, 98], np.uint16)) == "ab"
    with pytest.raises(InputError, match="token id 5000: not in this vocabulary of 300 ids"):
        tokenizer.decode([97, 5000])


# --- files ---


def test_saving_and_loading(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    loaded = Tokenizer.load(path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == tokenizer.digest
    assert (loaded.vocab, loaded.merges) == (tokenizer.vocab, tokenizer.merges)
    assert loaded.encode(CORPUS + EOT) == tokenizer.encode(CORPUS + EOT)
    assert loaded.digest == tokenizer.digest
    assert Tokenizer(tokenizer.vocab, tokenizer.merges[:-1], [EOT]).digest != tokenizer.digest


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": "textmill-tokenizer-1"}'])
def test_loading_something_else(tmp_path: Path, content: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"tokenizer\.json: "):
        Tokenizer.load(path)


def test_loading_another_format_or_nothing(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text('{"format": "other"}')
    with pytest.raises(InputError, match="format 'other', expected 'textmill-tokenizer-1'"):
        Tokenizer.load(tmp_path / "other.json")
    with pytest.raises(InputError, match=r"nowhere\.json: cannot be read"):
        Tokenizer.load(tmp_path / "nowhere.json")


def test_the_files_of_gpt2(tmp_path: Path) -> None:
    printing = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printing]
    alphabet = {byte: chr(byte) for byte in printing} | {byte: chr(256 + i) for i, byte in enumerate(others)}
    vocab = {char: number for number, char in enumerate(alphabet.values())} | {"Ġt": 256, "Ġthe": 257, "he": 258}
    vocab |= {EOT: 259, "<｜é｜>": 260}
    (tmp_path / "vocab.json").write_text(json.dumps(vocab))
    (tmp_path / "merges.txt").write_text("#version: 0.2\nĠ t\nh e\nĠt he\n", "utf-8")
    files = tmp_path / "vocab.json", tmp_path / "merges.txt"
    tokenizer = Tokenizer.from_files(*files, [EOT, "<｜é｜>"])
    assert tokenizer.merges == [(b" ", b"t"), (b"h", b"e"), (b" t", b"he")]
    assert tokenizer.encode(f" the#{EOT}<｜é｜>") == [257, vocab["#"], 259, 260]
    assert tokenizer.decode(tokenizer.encode(CORPUS)) == CORPUS
    (tmp_path / "merges.txt").write_text("Ġ t h\n", "utf-8")
    with pytest.raises(InputError, match="not a vocabulary of GPT-2"):
        Tokenizer.from_files(*files)
    with pytest.raises(InputError, match=r"nowhere\.txt: cannot be read"):
        Tokenizer.from_files(files[0], tmp_path / "nowhere.txt")


def test_a_vocabulary_that_cannot_work_is_refused() -> None:
    with pytest.raises(InputError, match="lacks 2 of the 256 bytes, the first is 0x00"):
        Tokenizer({byte: token for byte, token in BYTES.items() if byte not in (0, 9)}, [])
    with pytest.raises(InputError, match=r"merge 0 .*lacks b'ab'"):
        Tokenizer(BYTES, [(b"a", b"b")])
    with pytest.raises(InputError, match="ids from -1"):
        Tokenizer(BYTES | {-1: b"ab"}, [])
    with pytest.raises(UserError, match="no special token"):
        _ = Tokenizer(BYTES, []).eot_id
