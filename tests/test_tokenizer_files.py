"""Files of tokenizers, read and written, against the libraries whose they are where these are installed."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from textmill.errors import InputError, UnknownNameError, UserError
from textmill.tokenize import Tokenizer, count_pretokens, train_from_counts
from textmill.tokenize.files.byte_alphabet import from_printable, to_printable
from textmill.tokenize.files.tiktoken import merges_of_ranks
from textmill.tokenize.pretokens.patterns import PATTERNS

EOT = "<|endoftext|>"
SPECIAL = [EOT, "<｜end｜>", "<|endoftext|>\n"]
BYTES = {byte: bytes([byte]) for byte in range(256)}
CORPUS = (
    "The lighthouse keeper's lamp, they'LL say, burnt 1,024 nights in 2024\n\n  the keeper we've met didn't\tsleep  \n"
    "Über den Wäldern fällt Schnee — 雪が降る 雪が積もる 🌲🌲🌲 aaaaaaa abababab camelCase HTTPServer/path\r\n" * 3
)
TEXTS = [
    CORPUS,
    "",
    " ",
    "  \n \r\n\n  x",
    "He'Ll don't I'D 12345 x's\u3000y",
    "ÀÉ é́ ǅ ⅷ ½ ไทย العربية",
    "!!!\n\n??/ //\r\n  ",
    "a" * 200,
]


def trained(pattern: str, n_ids: int = 400) -> Tokenizer:
    vocab, merges = train_from_counts(count_pretokens([CORPUS], pattern=pattern), n_ids, [])
    return Tokenizer(vocab, merges, SPECIAL, pattern=pattern)


@pytest.fixture(scope="module", params=PATTERNS)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return trained(request.param)


def check_alike(one: Tokenizer, other: Tokenizer) -> None:
    assert (one.vocab, one.merges, one.special_ids, one.pattern) == (
        other.vocab,
        other.merges,
        other.special_ids,
        other.pattern,
    )


# --- GPT-2's alphabet and files ---


@given(st.lists(st.binary(max_size=5)))
@example([bytes(range(256))])
def test_every_byte_prints_and_comes_back(tokens: list[bytes]) -> None:
    printed = to_printable(tokens)
    assert all(token.isprintable() and " " not in token for token in printed)
    assert from_printable(printed) == tokens


def test_the_alphabet_is_that_of_gpt2() -> None:
    assert to_printable([b" the\n", b"\x00\xad\x7f", "é".encode()]) == ["ĠtheĊ", "ĀŃġ", "Ã©"]
    assert from_printable(["Ġthe", "<｜é｜>", "", "é"]) == [b" the", "<｜é｜>".encode(), b"", b"\xe9"]


def test_the_files_of_gpt2_come_back(tmp_path: Path) -> None:
    tokenizer = trained("gpt2")
    written = tokenizer.save(tmp_path, "gpt2")
    assert written == [f"{tmp_path}/vocab.json", f"{tmp_path}/merges.txt"]
    check_alike(Tokenizer.from_files(*written, SPECIAL), tokenizer)
    assert Tokenizer.load(tmp_path).special_ids == {EOT: tokenizer.eot_id}
    assert Tokenizer.load(written[0]).merges == tokenizer.merges
    (tmp_path / "merges.txt").rename(tmp_path / "merges")
    with pytest.raises(InputError, match=r"without merges\.txt or vocab\.bpe beside it"):
        Tokenizer.load(tmp_path)
    with pytest.raises(InputError, match="mean its pattern, not o200k"):
        trained("o200k").save(tmp_path / "other", "gpt2")
    assert not (tmp_path / "other").exists()


# --- Hugging Face ---


def test_a_tokenizer_of_hugging_face_comes_back(tokenizer: Tokenizer, tmp_path: Path) -> None:
    assert [Path(file).name for file in tokenizer.save(tmp_path, "hf")] == ["tokenizer.json", "tokenizer_config.json"]
    check_alike(Tokenizer.load(tmp_path), tokenizer)
    check_alike(Tokenizer.load(tmp_path / "tokenizer.json", pattern=tokenizer.pattern), tokenizer)
    with pytest.raises(UserError, match=f"its pattern is {tokenizer.pattern}, not other"):
        Tokenizer.load(tmp_path, pattern="other")


def test_hugging_face_reads_what_we_write(tokenizer: Tokenizer, tmp_path: Path) -> None:
    library = pytest.importorskip("tokenizers")
    tokenizer.save(tmp_path, "hf")
    theirs = library.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in [*TEXTS, f"a{EOT} b<｜end｜>{EOT}\n\n{EOT}"]:
        ids = theirs.encode(text).ids
        assert ids == tokenizer.encode(text)
        assert theirs.decode(ids, skip_special_tokens=False) == text
    assert theirs.get_vocab_size() == len(tokenizer.vocab)


def test_a_merge_that_comes_twice_is_written_once(tmp_path: Path) -> None:
    library = pytest.importorskip("tokenizers")
    vocab = BYTES | {256: b"ab", 257: b"bc"}
    ours = Tokenizer(vocab, [(b"a", b"b"), (b"b", b"c"), (b"a", b"b")])
    ours.save(tmp_path, "hf")
    theirs = library.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert theirs.encode("abc").ids == ours.encode("abc") == [256, 99]


def test_transformers_loads_the_folder_as_it_is(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = trained("cl100k")
    tokenizer.save(tmp_path, "hf")
    theirs = transformers.AutoTokenizer.from_pretrained(str(tmp_path))
    assert theirs(CORPUS + EOT)["input_ids"] == tokenizer.encode(CORPUS + EOT)
    assert (theirs.eos_token_id, theirs.decode(theirs(CORPUS)["input_ids"])) == (tokenizer.eot_id, CORPUS)


@pytest.mark.parametrize("split", [None, "Isolated", "Removed"])
def test_we_read_what_hugging_face_trains(tmp_path: Path, split: str | None) -> None:
    library = pytest.importorskip("tokenizers")
    pre = library.pre_tokenizers
    theirs = library.Tokenizer(library.models.BPE())
    if split is None:
        theirs.pre_tokenizer = pre.ByteLevel(add_prefix_space=False)
    else:
        regex = library.Regex(PATTERNS["nanochat"])
        cut = pre.Split(regex, split.lower(), invert=split == "Removed")
        theirs.pre_tokenizer = pre.Sequence([cut, pre.ByteLevel(add_prefix_space=False, use_regex=False)])
    alphabet = pre.ByteLevel.alphabet()
    trainer = library.trainers.BpeTrainer(
        vocab_size=350, special_tokens=[EOT], initial_alphabet=alphabet, show_progress=False
    )
    theirs.train_from_iterator([CORPUS], trainer)
    theirs.add_tokens(["keeper"])
    theirs.save(str(tmp_path / "tokenizer.json"))
    ours = Tokenizer.load(tmp_path)
    assert ours.special_ids == {EOT: 0, "keeper": 350}
    for text in [*TEXTS, f"a{EOT}b"]:
        assert ours.encode(text) == theirs.encode(text).ids


def hf_content(**changes: Any) -> dict[str, Any]:
    """A small ``tokenizer.json``; a change of ``model__x`` is one of the model's x."""
    vocab = {token: 2 * number for number, token in enumerate(to_printable([*BYTES.values(), b"ab", b"abc"]))}
    content: dict[str, Any] = {
        "added_tokens": [{"id": 301, "content": EOT, "special": True}],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False},
        "model": {"type": "BPE", "vocab": vocab, "merges": [["a", "b"], ["ab", "c"]]},
    }
    for key, value in changes.items():
        part = content["model"] if key.startswith("model__") else content
        part[key.removeprefix("model__")] = value
    return content


def load_content(tmp_path: Path, content: Mapping[str, Any]) -> Tokenizer:
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), "utf-8")
    return Tokenizer.load(tmp_path)


def test_merges_may_be_pairs_or_strings(tmp_path: Path) -> None:
    for merges in ([["a", "b"], ["ab", "c"]], ["a b", "ab c"]):
        tokenizer = load_content(tmp_path, hf_content(model__merges=merges))
        assert tokenizer.encode(f"abc{EOT}ab") == [514, 301, 512]


SPLIT = {"type": "Split", "pattern": {"Regex": PATTERNS["cl100k"]}, "behavior": "Isolated", "invert": False}
LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model__type": "Unigram"}, "a model of type Unigram"),
        ({"model__byte_fallback": True}, "byte_fallback True"),
        ({"model__dropout": 0.1}, "dropout 0.1"),
        ({"model__end_of_word_suffix": "</w>"}, "end_of_word_suffix '</w>'"),
        ({"normalizer": {"type": "NFC"}}, "the normalizer NFC"),
        ({"pre_tokenizer": None}, "a pre-tokenizer that is not ByteLevel"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "a pre-tokenizer that is not ByteLevel"),
        ({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True}}, "add_prefix_space"),
        ({"pre_tokenizer": {"type": "ByteLevel"}}, "add_prefix_space"),
        ({"pre_tokenizer": LEVEL}, "a pattern that is none of gpt2"),
        ({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [SPLIT, SPLIT, LEVEL]}}, "a pattern that is none of"),
        ({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [SPLIT]}}, "a pre-tokenizer that is not ByteLevel"),
        (
            {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [SPLIT | {"behavior": "Contiguous"}, LEVEL]}},
            "a pattern that is none of",
        ),
        ({"added_tokens": [{"id": 300, "content": "x", "lstrip": True}]}, "the added token 'x' with lstrip"),
        (
            {"model__ignore_merges": True, "model__merges": ["a b"]},
            "no merges make 1 of its tokens, the first is b'abc'",
        ),
        ({"added_tokens": [{"id": 1, "content": "a"}]}, "a special token has the bytes of an ordinary token"),
        ({"model__merges": ["a b c"]}, "not a tokenizer, or a damaged one"),
        ({"model__merges": [["a"]]}, "not a tokenizer, or a damaged one"),
        ({"model__vocab": ["a"]}, "not a tokenizer, or a damaged one"),
        ({"pre_tokenizer": {"type": "Sequence"}}, "not a tokenizer, or a damaged one"),
    ],
)
def test_what_would_give_other_ids_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=rf"{tmp_path}.*: .*{message}"):
        load_content(tmp_path, hf_content(**changes))


def test_a_special_token_that_reads_like_another_is_not_written(tmp_path: Path) -> None:
    confused = Tokenizer(BYTES | {256: b"\xc4\xa0"}, [(b"\xc4", b"\xa0")], ["Ġ"])  # an ordinary space is written Ġ
    with pytest.raises(InputError, match="the special token 'Ġ' reads like the ordinary token 32"):
        confused.save(tmp_path / "x", "hf")
    assert not (tmp_path / "x").exists()


# --- tiktoken ---


def test_ranks_of_tiktoken_come_back(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "x.tiktoken"
    assert tokenizer.save(path, "tiktoken") == [str(path)]
    loaded = Tokenizer.load(path, pattern=tokenizer.pattern)
    assert loaded.merges == tokenizer.merges
    assert loaded.vocab == {n: token for n, token in tokenizer.vocab.items() if n not in tokenizer.special_ids.values()}
    with pytest.raises(UserError, match=r"x\.tiktoken: ranks of tiktoken do not say which pattern"):
        Tokenizer.load(path)


def test_tiktoken_reads_what_we_write(tokenizer: Tokenizer, tmp_path: Path) -> None:
    load = pytest.importorskip("tiktoken.load")
    tiktoken = pytest.importorskip("tiktoken")
    tokenizer.save(tmp_path / "x.tiktoken", "tiktoken")
    theirs = tiktoken.Encoding(
        "x",
        pat_str=PATTERNS[tokenizer.pattern],
        mergeable_ranks=load.load_tiktoken_bpe(str(tmp_path / "x.tiktoken")),
        special_tokens={EOT: tokenizer.eot_id},
    )
    for text in TEXTS:
        assert theirs.encode_ordinary(text) == tokenizer.encode_ordinary(text)


def by_ranks(word: bytes, ranks: Mapping[bytes, int]) -> list[bytes]:
    """tiktoken's rule: the neighbours whose bytes together have the lowest rank, the leftmost first."""
    parts = [bytes([byte]) for byte in word]
    while True:
        found = [(ranks[a + b], i) for i, (a, b) in enumerate(pairwise(parts)) if a + b in ranks]
        if not found:
            return parts
        _, i = min(found)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.text("abc", min_size=2, max_size=7).map(str.encode), unique=True, max_size=40).flatmap(st.permutations),
    st.lists(st.text("abc", min_size=1, max_size=30).map(str.encode), min_size=1, max_size=10),
)
@example([b"bc", b"abc", b"ab", b"ca", b"cab"], [b"abcabcab"])
@example([b"abcd"[:3], b"ab", b"bc"], [b"abc"])  # made only after a merge of a higher rank
def test_the_merges_of_any_ranks_encode_alike(tokens: list[bytes], words: list[bytes]) -> None:
    vocab = BYTES | dict(enumerate(tokens, 256))
    ranks = {token: number for number, token in vocab.items()}
    unmade = [token for token in tokens if by_ranks(token, ranks) != [token]]
    if unmade:
        with pytest.raises(InputError, match=f"no merges make {len(unmade)} of its tokens, the first is"):
            merges_of_ranks(vocab, "x")
        return
    tokenizer = Tokenizer(vocab, merges_of_ranks(vocab, "x"))
    for word in [*words, *tokens]:
        assert tokenizer.encode(word.decode()) == [ranks[part] for part in by_ranks(word, ranks)]


def test_a_long_token_is_made_too() -> None:
    spaces = [b" " * 2**k for k in range(1, 8)]
    vocab = BYTES | dict(enumerate([*spaces, b" " * 100], 256))
    with pytest.raises(InputError, match="no merges make 1 of its tokens"):
        merges_of_ranks(vocab, "x")  # 64 + 32 + 4
    del vocab[263]
    assert merges_of_ranks(vocab, "x") == [(b" " * 2**k, b" " * 2**k) for k in range(7)]


def test_ranks_that_merges_do_not_follow_are_not_written(tmp_path: Path) -> None:
    vocab = BYTES | {256: b"ab", 257: b"bc"}
    Tokenizer(vocab, [(b"a", b"b"), (b"b", b"c")]).save(tmp_path / "x", "tiktoken")
    for merges in ([(b"b", b"c"), (b"a", b"b")], [(b"a", b"b")]):
        with pytest.raises(InputError, match="ranks of tiktoken cannot express"):
            Tokenizer(vocab, merges).save(tmp_path / "y", "tiktoken")
    assert not (tmp_path / "y").exists()


def test_files_of_openai_are_known_by_their_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [b"%s %d\n" % (base64.b64encode(token), number) for number, token in BYTES.items()]
    (tmp_path / "known").write_bytes(b"".join(lines))
    sha256 = "7a5ffd1ff2d53ec1ec3b2e0b15d8f2d6a1a0c5d0"
    monkeypatch.setattr("textmill.tokenize.files.tiktoken.KNOWN", {sha256: ("o200k", {EOT: 300})})
    monkeypatch.setattr("hashlib.sha256", lambda data: type("Hash", (), {"hexdigest": lambda self: sha256})())
    tokenizer = Tokenizer.load(tmp_path / "known")
    assert (tokenizer.pattern, tokenizer.encode(f"a{EOT}")) == ("o200k", [97, 300])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"YQ== 0\nYg==", "not ranks of tiktoken"),
        (b"YQ== 0\nYg= 1\n", "not ranks of tiktoken"),
        (b"YQ== 0\nYg== x\n", "not ranks of tiktoken"),
        (b"YQ== 0\nYg== 0\n", "two tokens have one rank"),
        (b"YQ== 0\nYQ== 1\n", "two ranks one token"),
        (b"YQ== 0\n", "lacks 255 of the 256 bytes"),
        (b"", "not a tokenizer"),
        (b"\xff\xfe", "not a tokenizer"),
        (b"{}", "not a tokenizer of textmill, Hugging Face, tiktoken or GPT-2"),
        (b"[1]", "not a tokenizer"),
        (b"[" * 200_000, "not a tokenizer"),
        (b"YQ== 0\nYg== -5\n", "ranks from -5 to 0; they must be 0 to 4294967295"),
        (b"YQ== 0\nYg== 9999999999\n", "ranks from 0 to 9999999999"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.file").write_bytes(content)
    with pytest.raises(InputError, match=message):
        Tokenizer.load(tmp_path / "x.file", pattern="gpt2")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("pattern", "gpt9"),
        ("pattern", 5),
        ("pattern", ["gpt2"]),
        ("special_tokens", "abc"),
        ("special_tokens", [5]),
        ("special_tokens", [""]),
        ("vocab", {"4294967296": "a"}),
        ("merges", [["a"]]),
    ],
)
def test_a_file_changed_by_hand_is_named(tmp_path: Path, key: str, value: object) -> None:
    trained("gpt2").save(path := tmp_path / "tokenizer.json")
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {key: value}), "utf-8")
    with pytest.raises(InputError, match=rf"{path.name}: "):
        Tokenizer.load(path)


def test_a_kind_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="kind of tokenizer file"):
        trained("gpt2").save(tmp_path / "x", "huggingface")
    with pytest.raises(InputError, match=r"a folder without tokenizer\.json"):
        Tokenizer.load(tmp_path)
