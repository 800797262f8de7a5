"""MinHash against plain Python: words, characters, shingles, minima, bands, sketches; presets; files of text."""

from __future__ import annotations

import itertools
import random
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import datasketch
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from textmill.bits import hash_bytes
from textmill.dedup.lsh import NO_BAND, candidate_pairs
from textmill.dedup.minhash import (
    PRESETS,
    MinHash,
    bands_for,
    deduplicate_files,
    jaccard,
    pair_similarities,
    preset,
    sketch_similarities,
    sketches_of,
)
from textmill.dedup.normalize import (
    AS_IT_IS,
    LETTERS_AND_DIGITS,
    NO_NUMBERS,
    NO_PUNCTUATION,
    UNSPACED_SCRIPTS,
    Normalization,
)
from textmill.errors import MissingExtraError, TextmillError, UnknownNameError, UserError

MASK = (1 << 64) - 1
SEED, BASE = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93

repeatable = settings(deadline=None, derandomize=True)  # no deadline: the first example compiles
more = settings(repeatable, max_examples=400)
FOLDINGS = [
    LETTERS_AND_DIGITS,
    AS_IT_IS,
    NO_NUMBERS,
    NO_PUNCTUATION,
    Normalization(lowercase=False, punctuation="kept", zero_digits=True),
    Normalization(strip_accents=False, collapse_whitespace=False),
    Normalization(punctuation="removed", strip_accents=False),
]
SHAPES = [
    MinHash(),
    MinHash(ngram=2, bands=3, rows=3, seed=9, short="none"),
    MinHash(ngram=1, bands=1, rows=1),
    MinHash(ngram=3, bands=2, rows=2, shingles="characters"),
    MinHash(ngram=24, bands=2, rows=2, shingles="characters", short="none"),
]

any_text = st.text(max_size=60)
PIECES = ["a", "é", "É", "e\u0301", "日本", "กำ", "한글", "12", "İ", "-", "don't", "\u200b", "\n", "😀", "\xa0", "\x07"]
PIECES += ["sevenly", "EIGHTLY8", "nineteens", "fifteen-letters", "Sixteen16letters", "naïvetés", "x" * 70, "\0", "½٣"]
wordy_text = st.lists(st.sampled_from(PIECES), max_size=40)
texts = st.lists(any_text | wordy_text.map(" ".join) | wordy_text.map("".join), max_size=8)


def array(*strings: str) -> pa.LargeStringArray:
    return pa.array(strings, pa.large_string())


# ---- the reference, in plain Python


def reference_fold(character: str, how: Normalization) -> str:
    category = unicodedata.category(character)[0]
    if character.isspace():
        return character
    if category in "PS" and how.punctuation != "kept":
        return " " if how.punctuation == "space" else ""
    if category in "MC" and how.strip_accents:
        return ""
    if how.zero_digits and unicodedata.category(character) == "Nd":
        return "0"
    folded = character.lower()[0] if how.lowercase else character
    base, *rest = list(unicodedata.normalize("NFD", folded))
    accented = how.strip_accents and all(unicodedata.category(part)[0] == "M" for part in rest)
    return base if accented else folded


def reference_words(text: str, how: Normalization = LETTERS_AND_DIGITS) -> list[str]:
    words, word = [], ""
    for character in text:
        folded = reference_fold(character, how)
        starts = unicodedata.category(character)[0] == "L" and UNSPACED_SCRIPTS.match(character)
        if folded.isspace() or starts:
            words.append(word)
            word = ""
        word += folded.strip()
    return [word for word in [*words, word] if word]


def in_bytes(word: str) -> bytes:
    return b"".join(
        bytes([ord(letter)]) if letter < "\x80" else (ord(letter) | 1 << 23).to_bytes(3, "little") for letter in word
    )


def close(value: int) -> int:
    value = value * 0xC4CEB9FE1A85EC53 & MASK
    return value ^ value >> 33


def step(value: int, data: bytes) -> int:
    value = (value ^ int.from_bytes(data, "little")) * 0xFF51AFD7ED558CCD & MASK
    return value ^ value >> 32


def reference_hash(word: str) -> int:
    data, value = in_bytes(word), SEED
    for i in range(0, len(data), 8):
        value = step(value, data[i : i + 8])
    return close(value ^ len(data))


def reference_units(text: str, minhash: MinHash) -> list[int]:
    how = minhash.normalization
    if minhash.shingles == "words":
        return [reference_hash(word) for word in reference_words(text, how)]
    folded = "".join(reference_fold(character, how) for character in text)
    if how.collapse_whitespace:
        folded = " ".join(folded.split())
    return [close(step(SEED, in_bytes(character))) for character in folded]


def reference_shingles(text: str, minhash: MinHash) -> list[int]:
    units, n = reference_units(text, minhash), minhash.ngram
    if not units or (len(units) < n and minhash.short == "none"):
        return []
    shingles = []
    for first in range(max(1, len(units) - n + 1)):
        value = 0
        for unit in units[first : first + n]:
            value = (value * BASE + unit) & MASK
        shingles.append(close(value))
    return shingles


def reference_minima(shingles: list[int], minhash: MinHash) -> list[int]:
    raw = [int(value) for value in np.random.PCG64(minhash.seed).random_raw(minhash.bands * minhash.rows)]
    minima = []
    for k, value in enumerate(raw):
        a, b = value & 0xFFFFFFFF | 1, value >> 32
        shift = 0 if k < len(raw) // 2 else 32
        minima.append(min((((shingle >> shift) * a + b) & 0xFFFFFFFF for shingle in shingles), default=0xFFFFFFFF))
    return minima


def reference_bands(minima: list[int], minhash: MinHash) -> list[int]:
    if set(minima) == {0xFFFFFFFF}:
        return [NO_BAND] * minhash.bands
    bands = []
    for band in range(minhash.bands):
        value = SEED
        for minimum in minima[band :: minhash.bands]:
            value = close(step(value, minimum.to_bytes(4, "little")))
        bands.append(max(value, NO_BAND + 1))
    return bands


# ---- the kernels


@more
@given(texts, st.sampled_from(SHAPES), st.sampled_from(FOLDINGS))
@example(["x" * 64, "a b " * 16 + "c", " " * 63 + "end", "é" * 32, "tail " * 13], SHAPES[0], LETTERS_AND_DIGITS)
@example(["don't " * 11, "a" * 62 + "-b c", "\0" * 64, "日本" * 40], SHAPES[1], NO_PUNCTUATION)
def test_kernels_agree_with_plain_python(strings: list[str], shape: MinHash, how: Normalization) -> None:
    minhash = MinHash(shape.ngram, shape.bands, shape.rows, shape.seed, shape.shingles, how, shape.short)
    text = array("not part of it", *strings).slice(1)
    signed, (hashes, n_shingles) = minhash.sign(text), minhash.band_hashes(text)
    sets, offsets = minhash.shingle_sets(text)
    assert hashes.shape == (len(strings), minhash.bands)
    assert signed.signatures.dtype == np.uint32
    assert (n_shingles == signed.n_shingles).all()
    for i, string in enumerate(strings):
        shingles = reference_shingles(string, minhash)
        assert sets[offsets[i] : offsets[i + 1]].tolist() == sorted(set(shingles))
        assert n_shingles[i] == len(shingles)
        assert signed.n_units[i] == len(reference_units(string, minhash))
        minima = reference_minima(shingles, minhash)
        assert signed.signatures[i].tolist() == minima
        assert hashes[i].tolist() == reference_bands(minima, minhash)


@pytest.mark.parametrize("n", [31, 32, 33, 1023, 1024, 1025, 3000])
def test_blocks_of_shingles_lose_none(n: int) -> None:
    minhash = MinHash(ngram=1, bands=2, rows=3)
    string = " ".join(f"w{i}" for i in range(n))
    expected = reference_minima(reference_shingles(string, minhash), minhash)
    assert minhash.signatures(array(string)).tolist() == [expected]


@more
@given(any_text | wordy_text.map("".join), st.sampled_from(FOLDINGS))
def test_normalize_is_what_the_kernels_compare(text: str, how: Normalization) -> None:
    folded = "".join(reference_fold(character, how) for character in text)
    assert how.normalize(text) == (" ".join(folded.split()) if how.collapse_whitespace else folded)


@pytest.mark.parametrize("how", FOLDINGS)
def test_the_table_of_characters_is_the_folding_of_each(how: Normalization) -> None:
    table = how.characters()
    for code_point in itertools.chain(range(0x3400), range(0xAC00, 0x20000, 7), [sys.maxunicode]):
        if 0xD800 <= code_point < 0xE000:
            continue
        folded = reference_fold(chr(code_point), how)
        assert bool(table[code_point] >> 29 & 1) == (folded == "")
        if folded:
            assert bool(table[code_point] >> 30 & 1) == folded.isspace()
            assert int(table[code_point]) & 0x7FFFFF == ord(folded)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't  STOP—now!", ["don", "t", "stop", "now"]),
        ("Ein Straßenfest, 1998²", ["ein", "straßenfest", "1998²"]),
        ("naïve nai\u0308ve", ["naive", "naive"]),
        ("東京タワー333m", ["東", "京", "タ", "ワー333m"]),
        ("ไก่ กา", ["ไ", "ก", "ก", "า"]),
        ("한글 문서", ["한글", "문서"]),
        ("zero\u200bwidth\0 ❤\ufe0f", ["zerowidth"]),
        (" …!? ", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    minhash = MinHash(ngram=1)
    assert reference_words(text) == words
    sets, _ = minhash.shingle_sets(array(text))
    assert sets.tolist() == sorted({shingle for word in words for shingle in reference_shingles(word, minhash)})


@pytest.mark.parametrize(
    ("how", "folded"),
    [
        (LETTERS_AND_DIGITS, "it s 10 00 cafe"),
        (NO_NUMBERS, "it s 00 00 cafe"),
        (NO_PUNCTUATION, "its 1000 cafe"),
        (AS_IT_IS, " It's  $10.00,\nCAFÉ "),
    ],
)
def test_normalize(how: Normalization, folded: str) -> None:
    assert how.normalize(" It's  $10.00,\nCAFÉ ") == folded


def test_white_space_that_is_not_collapsed_stays_as_it_is() -> None:
    assert Normalization(collapse_whitespace=False).normalize(" a\u2000\t\u3000b\n") == " a\u2000\t\u3000b\n"


def test_normalised_equals_are_equal_and_word_order_counts() -> None:
    hashes, _ = MinHash().band_hashes(
        array("One, two: THREE four five six", "one two three four five (six)", "six five four")
    )
    assert (hashes[0] == hashes[1]).all()
    assert not (hashes[0] == hashes[2]).any()


def test_swapped_and_shifted_words_are_other_shingles() -> None:
    words = ["a", "b", "c", "d", "e"]
    orders = [" ".join(order) for order in itertools.permutations(words)] + ["a a b b c", "a b b c c", "a b c"]
    sets, _ = MinHash().shingle_sets(array(*orders))
    assert len(np.unique(sets)) == len(orders)


def test_documents_without_words_are_no_candidates() -> None:
    text = array("", " \n", "!!!", "\u0301", "")
    hashes, n_shingles = MinHash().band_hashes(text)
    assert not n_shingles.any()
    assert (hashes == NO_BAND).all()
    (pairs,) = candidate_pairs([(hashes[:, 0], np.arange(5, dtype=np.uint64))])
    assert len(pairs[0]) == 0
    sets, offsets = MinHash().shingle_sets(text)
    assert len(sets) == 0
    assert not offsets.any()
    assert pair_similarities(sets, offsets, np.array([0]), np.array([1])).tolist() == [0]


def test_no_documents() -> None:
    hashes, n_shingles = MinHash().band_hashes(array())
    assert hashes.shape == (0, 14)
    assert n_shingles.shape == (0,)
    assert MinHash().signatures(array()).shape == MinHash().sketches(array()).shape == (0, 112)
    sets, offsets = MinHash().shingle_sets(array())
    assert sets.shape == (0,)
    assert offsets.tolist() == [0]


def test_short_documents_have_one_shingle_of_all_their_words_or_none() -> None:
    text = array("hello", "hello there", "HELLO!", "one two three four five", "")
    hashes, n_shingles = MinHash().band_hashes(text)
    assert n_shingles.tolist() == [1, 1, 1, 1, 0]
    assert (hashes[0] == hashes[2]).all()
    assert len(np.unique(hashes[:2])) == 28
    skipped = MinHash(short="none")
    signed = skipped.sign(text)
    assert signed.n_shingles.tolist() == [0, 0, 0, 1, 0]
    assert ((signed.n_units > 0) & (signed.n_units < skipped.ngram)).tolist() == [True, True, True, False, False]
    assert (skipped.band_hashes(text)[0] == NO_BAND).all(axis=1).tolist() == [True, True, True, False, True]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_document_does_not_depend_on_its_batch(shape: MinHash, monkeypatch: pytest.MonkeyPatch) -> None:
    strings = [*LICENCES, "", "日本語のテキスト", "x " * 5000, "e\u0301" * 99, "tail"]
    alone = [shape.band_hashes(array(string)) for string in strings]
    for piece_bytes in (1, 12_000, 1 << 24):
        monkeypatch.setattr("textmill.dedup.minhash.PIECE_BYTES", piece_bytes)
        together = shape.band_hashes(array(*strings))
        assert (together[0] == np.concatenate([hashes for hashes, _ in alone])).all()
        assert (together[1] == np.concatenate([n for _, n in alone])).all()


HOSTILE = [
    "spam " * 200_000,
    "a" * 1_000_000,
    "\0" * 1000,
    "字" * 100_000,
    "e" + "\u0301" * 100_000,
    "\n" * 100_000,
    "😀 " * 1000,
    "שלום \u202eעולם",
    "x" * 10_000_000,
]


def test_hostile_documents() -> None:
    _, n_shingles = MinHash().band_hashes(array(*HOSTILE))
    assert n_shingles.tolist() == [199_996, 1, 0, 99_996, 1, 0, 0, 1, 1]
    _, offsets = MinHash().shingle_sets(array(*HOSTILE))
    assert np.diff(offsets).tolist() == [1, 1, 0, 1, 1, 0, 0, 1, 1]
    characters = MinHash(24, 2, 2, shingles="characters")
    signed = characters.sign(array(*HOSTILE))
    assert signed.n_units.tolist() == [999_999, 1_000_000, 0, 100_000, 1, 0, 0, 9, 10_000_000]


def test_bytes_that_are_no_utf8_use_nothing_outside_of_their_document() -> None:
    parts = [b"caf\xc3", b"\xff\xff\xff\xff ok\xe2\x82", b"abc", b"\xf4", b"x" * 63 + b"\xe0", b"\xbf" * 70]
    for shape in SHAPES:
        alone, together = (
            [shape.sign(binary(part)) for part in parts],
            shape.sign(binary(*parts)),
        )
        for i, one in enumerate(alone):
            assert (together.signatures[i] == one.signatures[0]).all()
    sets, _ = MinHash().shingle_sets(binary(*parts).slice(0, 1))
    assert sets.tolist() == reference_shingles("caf", MinHash())


def binary(*parts: bytes) -> pa.LargeStringArray:
    """A text array of any bytes, as a broken file may hold it."""
    offsets = np.cumsum([0, *map(len, parts)], dtype=np.int64)
    return pa.LargeStringArray.from_buffers(len(parts), pa.py_buffer(offsets), pa.py_buffer(b"".join(parts)))


@pytest.mark.parametrize("wrong", [{"ngram": 0}, {"bands": 0}, {"rows": 0}, {"seed": -1}])
def test_wrong_numbers_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UserError, match=f"{next(iter(wrong))} is .*must be at least"):
        MinHash(**wrong)


@pytest.mark.parametrize(
    "make",
    [
        lambda: MinHash(shingles="word"),
        lambda: MinHash(short="on"),
        lambda: Normalization(punctuation="remove"),
        lambda: preset("finweb"),
    ],
)
def test_wrong_names_are_refused_with_the_right_one(make: Callable[[], object]) -> None:
    with pytest.raises(UnknownNameError, match=r"did you mean '(words|one|removed|fineweb)'"):
        make()


def test_hashes_are_the_same_everywhere() -> None:
    """Numbers that may not change while `MinHash.version` does not."""
    text = array("The quick brown fox jumps over the lazy dog, naïvely.")
    hashes = np.concatenate([preset(name).minhash.band_hashes(text)[0].ravel() for name in WITH_FINGERPRINT])
    assert hash_bytes(hashes.astype("<u8").tobytes()) == FINGERPRINT


WITH_FINGERPRINT = ("textmill", "redpajama-1.0", "curator")
FINGERPRINT = 2183157336027479695


# ---- similarity


@repeatable
@given(st.sets(st.integers(0, 40)), st.sets(st.integers(0, 40)))
def test_jaccard(a: set[int], b: set[int]) -> None:
    as_arrays = (np.array(sorted(values), dtype=np.uint64) for values in (a, b))
    assert jaccard(*as_arrays) == (len(a & b) / len(a | b) if a | b else 0)


def test_pair_similarities_are_those_of_the_sets_of_shingles() -> None:
    draw = random.Random(3)
    strings = [" ".join(str(draw.randrange(9)) for _ in range(80)) for _ in range(40)]
    minhash = MinHash(ngram=2)
    sets = [set(reference_shingles(string, minhash)) for string in strings]
    expected = [len(a & b) / len(a | b) for a, b in zip(sets[::2], sets[1::2], strict=True)]
    places = np.arange(40)
    similarities = pair_similarities(*minhash.shingle_sets(array(*strings)), places[::2], places[1::2])
    assert similarities.tolist() == pytest.approx(expected, rel=1e-6)
    assert min(expected) < max(expected)


@repeatable
@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=20))
def test_sketches_are_murmur_finalized(minima: list[int]) -> None:
    def byte(value: int) -> int:
        value = (value ^ value >> 16) * 0x85EBCA6B & 0xFFFFFFFF
        value = (value ^ value >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
        return (value ^ value >> 16) >> 24

    assert sketches_of(np.array([minima], dtype=np.uint32)).tolist() == [[byte(value) for value in minima]]


def test_sketch_similarities_take_chance_away() -> None:
    a = np.zeros((3, 256), dtype=np.uint8)
    b = np.ones((3, 256), dtype=np.uint8)
    b[0, :] = 0
    b[1, 0] = 0  # what chance gives
    assert sketch_similarities(a, b).tolist() == [1, 0, 0]
    assert sketch_similarities(a[:0], b[:0]).shape == (0,)


# ---- datasketch


def test_lean_minhashes_are_found_by_datasketchs_indexes() -> None:
    minhash = preset("cs336").minhash
    leans = list(minhash.lean_minhashes(minhash.signatures(array(*LICENCES, "Of tides and harbours."))))
    index = datasketch.MinHashLSH(threshold=0.8, num_perm=minhash.permutations)
    forest = datasketch.MinHashLSHForest(num_perm=minhash.permutations)
    for key, lean in enumerate(leans):
        index.insert(str(key), lean)
        forest.add(key, lean)
    forest.index()
    assert sorted(index.query(leans[0])) == ["0", "1", "2"]
    assert index.query(leans[3]) == ["3"]
    assert sorted(forest.query(leans[1], 3)) == [0, 1, 2]
    assert leans[0].jaccard(leans[3]) == 0
    again = datasketch.LeanMinHash.deserialize(serialized(leans[0]))
    assert again.jaccard(leans[0]) == 1


def serialized(lean: datasketch.LeanMinHash) -> bytearray:
    buffer = bytearray(lean.bytesize())
    lean.serialize(buffer)
    return buffer


def test_datasketch_refuses_to_compare_signatures_of_other_parameters() -> None:
    text = array("one two three four five six")
    leans = [
        next(minhash.lean_minhashes(minhash.signatures(text)))
        for minhash in (MinHash(), MinHash(seed=2), MinHash(normalization=NO_NUMBERS))
    ]
    for other in (*leans[1:], datasketch.MinHash(num_perm=112)):
        with pytest.raises(ValueError, match="seed"):
            leans[0].jaccard(other)


def test_documents_without_words_are_empty_for_datasketch() -> None:
    minhash = MinHash()
    (lean,) = minhash.lean_minhashes(minhash.signatures(array("!")))
    assert lean.is_empty()


def test_without_datasketch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasketch", None)
    with pytest.raises(MissingExtraError, match=r"textmill\[datasketch\]"):
        MinHash().lean_minhashes(np.zeros((1, 112), dtype=np.uint32))


@pytest.mark.parametrize("permutations", [1, 2, 16, 112, 128])
@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.1, 0.9), (0.9, 0.1)])
def test_bands_for_a_threshold_are_those_of_datasketch(permutations: int, weights: tuple[float, float]) -> None:
    for threshold in (0.1, 0.5, 0.7, 0.8, 0.9, 0.95):
        expected = datasketch.lsh._optimal_param(threshold, permutations, *weights)
        assert bands_for(threshold, permutations, *weights) == expected


@pytest.mark.parametrize(
    "wrong", [(0, 128), (1, 128), (float("nan"), 128), (0.5, 0), (0.5, 128, -1), (0.5, 128, 1, -1)]
)
def test_bands_for_nonsense_are_refused(wrong: tuple[float, ...]) -> None:
    with pytest.raises(UserError, match=r"must"):
        bands_for(*wrong)


# ---- presets


def test_presets_have_the_published_shapes() -> None:
    shapes = {
        name: (p.minhash.ngram, p.minhash.shingles[0], p.minhash.bands, p.minhash.rows) for name, p in PRESETS.items()
    }
    assert shapes == {
        "textmill": (5, "w", 14, 8),
        "fineweb": (5, "w", 14, 8),
        "datatrove": (5, "w", 14, 8),
        "refinedweb": (5, "w", 450, 20),
        "dclm": (5, "w", 93, 15),
        "redpajama": (13, "w", 9, 13),
        "redpajama-0.7": (13, "w", 14, 9),
        "redpajama-0.9": (13, "w", 5, 25),
        "redpajama-1.0": (13, "w", 1, 128),
        "cs336": (5, "w", 50, 10),
        "curator": (24, "c", 20, 13),
    }


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_find_copies_and_what_their_normalisation_makes_equal(name: str) -> None:
    chosen = preset(name)
    variants = {"textmill": "It’s 5 Öl", "curator": "it's 5 ol"}.get(
        name, "IT'S 7 öl" if "web" in name else "ITS 5 Ol!"
    )
    if name == "datatrove":
        variants = "IT'S 7 öl"
    if name == "refinedweb":
        variants = "ITS 5 Ol!"
    filler = " and so the rest of the page goes on for quite a while, with thirteen words and more"
    text = array("it's 5 ol" + filler, variants + filler, "something else entirely," + filler.upper()[:40])
    hashes, n_shingles = chosen.minhash.band_hashes(text)
    assert (n_shingles > 0).all()
    assert (hashes[0] == hashes[1]).all()
    assert not (hashes[0] == hashes[2]).all()
    assert chosen.source and 0 < chosen.threshold <= 1


# ---- files of text

PERMISSION = (
    "Whoever comes by a copy of this program, and of the papers that go with it, may do with it as they like: run it, "
    "read it, copy it, change it, merge it with other programs, print it, hand it on, sell it, and let others do the "
    "same. It costs nothing. There is one condition:\n\nThe line above that names the holders of the copyright, and "
    'this page ("the terms"), go with every copy of the program, and with every part of it that is of any size.\n\n'
    "THE PROGRAM IS HANDED OVER AS IT STANDS, AND NOBODY VOUCHES FOR IT IN ANY WAY: NOT THAT IT CAN BE SOLD, NOT THAT "
    "IT DOES WHAT YOU NEED, NOT THAT IT BREAKS NO RIGHT OF OTHERS. THOSE WHO WROTE IT, AND WHO HOLD THE COPYRIGHT, "
    "PAY FOR NO LOSS AND NO HARM, NEITHER BY CONTRACT NOR BY LAW, THAT COMES FROM THE PROGRAM, FROM ITS USE, OR FROM "
    "ANYTHING ELSE THAT IS DONE WITH IT.\n"
)
LICENCES = [
    "MIT style licence\n\nCopyright (c) 2013-present, The Harbour Street Typing Society\n\n" + PERMISSION,
    "Licence (MIT style)\n\nCopyright (c) 2005 Ada Müller and the Ringers\n\n" + PERMISSION.replace("\n", "\r\n"),
    "Copyright 1998 Keepers of the Old Lighthouse. All three of them.\n\n" + PERMISSION.replace(" and", ", and"),
]
SETTINGS = {"num_hashes": 500, "num_bands": 50, "ngrams": 5, "jaccard_threshold": 0.8}


def write(folder: Path, **texts: str | bytes) -> list[Path]:
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return [folder / name for name in texts]


def kept(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_three_near_identical_licences_become_one(tmp_path: Path) -> None:
    paths = write(
        tmp_path / "in", a=LICENCES[0], b=LICENCES[1], c=LICENCES[2], other="Of tides and of the harbour at night. " * 9
    )
    written = deduplicate_files(paths, tmp_path / "out", **SETTINGS)
    out = kept(tmp_path / "out")
    assert "other" in out and len(out) == 2
    assert all(out[path.name] == path.read_bytes() for path in paths if path.name in out)
    assert written == [tmp_path / "out" / path.name for path in paths if path.name in out]


def test_one_of_equal_files_stays_and_the_seed_says_which(tmp_path: Path) -> None:
    paths = write(
        tmp_path / "in", **{f"f{i}": LICENCES[0] for i in range(6)}, unlike="Nothing like it at all, not a bit."
    )
    survivors = set()
    for seed in range(12):
        deduplicate_files(paths, tmp_path / f"out{seed}", 100, 10, 5, 0.8, seed=seed)
        survivor, other = kept(tmp_path / f"out{seed}")
        assert other == "unlike"
        survivors.add(survivor)
        deduplicate_files(paths[::-1], tmp_path / f"again{seed}", 100, 10, 5, 0.8, seed=seed)
        assert kept(tmp_path / f"again{seed}") == kept(tmp_path / f"out{seed}")
    assert len(survivors) > 2


def test_below_the_threshold_both_stay(tmp_path: Path) -> None:
    words = [f"w{i}" for i in range(100)]
    changed = [*words[:50], "other", *words[51:]]  # 91 of 101 5-grams in common: 0.901
    paths = write(tmp_path / "in", a=" ".join(words), b=" ".join(changed))
    for threshold, n in ((0.9, 1), (0.91, 2)):
        assert len(deduplicate_files(paths, tmp_path / f"out{n}", 128, 64, 5, threshold)) == n


def test_files_are_compared_normalised(tmp_path: Path) -> None:
    paths = write(tmp_path / "in", a="The Café, (at) the\n\nharbour's END.", b="the cafe\u0301 at the harbours end")
    assert len(deduplicate_files(paths, tmp_path / "out", 10, 10, 3, 1.0)) == 1


def test_odd_files(tmp_path: Path) -> None:
    odd = {
        "empty": "",
        "blank": " \n",
        "none": "!!!",
        "short": "two words",
        "same": "Two WORDS!",
        "bytes": b"\xff\xfe\0",
    }
    paths = write(tmp_path / "in", **odd)
    written = deduplicate_files(map(str, paths), str(tmp_path / "out"), **SETTINGS)
    assert sorted(path.name for path in written) in (
        ["blank", "bytes", "empty", "none", name] for name in ("same", "short")
    )
    assert kept(tmp_path / "out")["bytes"] == b"\xff\xfe\0"
    assert deduplicate_files(paths[:1], tmp_path / "one", **SETTINGS) == [tmp_path / "one" / "empty"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_bands": 7}, "num_hashes is 500 and num_bands 7; bands must divide"),
        ({"num_bands": 0}, "num_bands 0"),
        ({"num_hashes": -50}, "num_hashes is -50"),
        ({"ngrams": 0}, "ngram is 0"),
        ({"jaccard_threshold": 0}, "jaccard_threshold is 0"),
        ({"jaccard_threshold": 80}, "jaccard_threshold is 80"),
        ({"seed": -1}, "seed is -1"),
        ({"paths": []}, "no files"),
        ({"paths": ["in/a", "in/nowhere"]}, "in/nowhere: no such file"),
        ({"paths": ["in"]}, "in: not a file"),
        ({"paths": ["in/a", "two/a"]}, "2 files are named 'a'"),
        ({"output_dir": "in"}, "in/a exists already"),
        ({"output_dir": "in/a"}, "in/a is no folder"),
    ],
)
def test_wrong_arguments_give_one_clear_line(
    change: dict[str, object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "in", a="text")
    write(tmp_path / "two", a="text")
    with pytest.raises(TextmillError) as caught:
        deduplicate_files(**{"paths": ["in/a"], "output_dir": "out", **SETTINGS, **change})
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
