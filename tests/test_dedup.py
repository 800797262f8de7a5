"""Exact hashes, MinHash, candidate pairs and clusters, against plain Python, theory, and datasketch."""

from __future__ import annotations

import hashlib
import itertools
import random
import unicodedata

import datasketch
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.dedup import records
from textmill.dedup.clusters import connected_components
from textmill.dedup.exact import content_hashes
from textmill.dedup.lsh import NO_BAND, candidate_pairs, probability
from textmill.dedup.minhash import UNSPACED_SCRIPTS, MinHash, jaccard, pair_similarities
from textmill.errors import UserError

MASK = (1 << 64) - 1
BASIS = 0xCBF29CE484222325
FACTOR = 0x9E3779B97F4A7C15

repeatable = settings(deadline=None, derandomize=True)  # no deadline: the first example compiles
SHAPES = [MinHash(), MinHash(ngram=2, bands=3, rows=3, seed=9), MinHash(ngram=1, bands=1, rows=2)]

any_text = st.text(max_size=60)
pieces = ["a", "é", "É", "e\u0301", "日本", "กำ", "한글", "12", "İ", "-", "\u200b", "\n", "😀"]
wordy_text = st.lists(st.sampled_from(pieces))
texts = st.lists(any_text | wordy_text.map(" ".join), max_size=8)

LICENCE = (
    "Anyone who receives a copy of this work may use, copy, change and pass it on, free of charge and for any purpose, "
    "provided that this notice stays with every copy. The work is given as it is, without a promise of any kind that "
    "it is fit for a purpose or free of faults. Whoever wrote it does not answer for harm that comes from using it, be "
    "it loss of data, loss of time or loss of earnings, even when told beforehand that such harm was possible. Changed "
    "copies must say plainly that they were changed and by whom, and may not be passed off as the first edition. "
)
LICENCES = [
    LICENCE + "Written by the Harbour Street Typing Society.",
    LICENCE.replace("free of charge", "free of any charge") + "Written by the Mill Lane Ringers.",
    LICENCE + "Copyright: the keepers of the Old Lighthouse, all three of them.",
]


def array(*strings: str) -> pa.LargeStringArray:
    return pa.array(strings, pa.large_string())


# ---- the reference, in plain Python


def reference_words(text: str) -> list[str]:
    words, word = [], ""
    for character in text:
        category = unicodedata.category(character)
        is_letter = category[0] in "LN"
        if not is_letter and not character.isspace() and category[0] in "MC":
            continue
        if not is_letter or (category[0] == "L" and UNSPACED_SCRIPTS.match(character)):
            words.append(word)
            word = ""
        if is_letter:
            lower = character.lower()[0]
            parts = unicodedata.normalize("NFD", lower)
            is_accented = all(unicodedata.category(part)[0] == "M" for part in parts[1:])
            word += parts[0] if is_accented else lower
    return [word for word in [*words, word] if word]


def mix(value: int) -> int:
    value = (value ^ value >> 33) * 0xFF51AFD7ED558CCD & MASK
    value = (value ^ value >> 33) * 0xC4CEB9FE1A85EC53 & MASK
    return value ^ value >> 33


def reference_word_hash(word: str) -> int:
    value = BASIS
    for character in word:
        flag = unicodedata.category(character)[0] == "L" and UNSPACED_SCRIPTS.match(character)
        value = (value ^ (ord(character) | (1 << 31 if flag else 0))) * FACTOR & MASK
    return mix(value)


def reference_shingles(text: str, ngram: int) -> list[int]:
    words = [reference_word_hash(word) for word in reference_words(text)]
    shingles = []
    for first in range(max(1, len(words) - ngram + 1) if words else 0):
        value = BASIS
        for word in words[first : first + ngram]:
            value = (value ^ word) * FACTOR & MASK
        shingles.append(mix(value))
    return shingles


def reference_bands(shingles: list[int], minhash: MinHash) -> list[int]:
    if not shingles:
        return [NO_BAND] * minhash.bands
    raw = [int(value) for value in np.random.PCG64(minhash.seed).random_raw(minhash.bands * minhash.rows)]
    minima = []
    for k, value in enumerate(raw):
        a, b = value & 0xFFFFFFFF | 1, value >> 32
        shift = 0 if k < len(raw) // 2 else 32
        minima.append(min(((shingle >> shift) * a + b) & 0xFFFFFFFF for shingle in shingles))
    bands = []
    for band in range(minhash.bands):
        value = BASIS
        for minimum in minima[band :: minhash.bands]:
            value = mix(value ^ minimum)
        bands.append(max(value, NO_BAND + 1))
    return bands


# ---- exact


@repeatable
@given(any_text, any_text)
def test_equal_content_has_equal_hashes_and_other_content_has_not(a: str, b: str) -> None:
    high, low = content_hashes(array(a, f"\n {a}\t", b))
    assert (high[0], low[0]) == (high[1], low[1])
    assert ((high[0], low[0]) == (high[2], low[2])) == (a.split() == b.split())


def test_content_hash_is_blake2b_of_the_normalised_text() -> None:
    high, low = content_hashes(array("zu  viel\u2003Raum\n"))
    digest = hashlib.blake2b(b"zu viel Raum", digest_size=16).hexdigest()
    assert f"{high[0]:016x}{low[0]:016x}" == digest


def test_content_hashes_of_no_document() -> None:
    high, low = content_hashes(array())
    assert high.shape == low.shape == (0,)
    assert high.dtype == low.dtype == np.uint64


# ---- MinHash


@repeatable
@given(texts, st.sampled_from(SHAPES))
def test_kernels_agree_with_plain_python(strings: list[str], minhash: MinHash) -> None:
    text = array("not part of it", *strings).slice(1)
    hashes, n_shingles = minhash.band_hashes(text)
    sets, offsets = minhash.shingle_sets(text)
    assert hashes.shape == (len(strings), minhash.bands)
    for i, string in enumerate(strings):
        shingles = reference_shingles(string, minhash.ngram)
        assert n_shingles[i] == len(shingles)
        assert sets[offsets[i] : offsets[i + 1]].tolist() == sorted(set(shingles))
        assert hashes[i].tolist() == reference_bands(shingles, minhash)


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
    assert reference_words(text) == words
    sets, _ = MinHash(ngram=1).shingle_sets(array(text))
    assert sets.tolist() == sorted({shingle for word in words for shingle in reference_shingles(word, 1)})


def test_normalised_equals_are_equal_and_word_order_counts() -> None:
    hashes, _ = MinHash().band_hashes(
        array("One, two: THREE four five six", "one two three four five (six)", "six five four")
    )
    assert (hashes[0] == hashes[1]).all()
    assert not (hashes[0] == hashes[2]).any()


def test_documents_without_words_are_no_candidates() -> None:
    text = array("", " \n", "!!!", "\u0301", "")
    hashes, n_shingles = MinHash().band_hashes(text)
    assert not n_shingles.any()
    assert (hashes == NO_BAND).all()
    assert pairs_of(hashes[:, 0], np.arange(5, dtype=np.uint64)) == []
    sets, offsets = MinHash().shingle_sets(text)
    assert len(sets) == 0
    assert not offsets.any()
    assert pair_similarities(sets, offsets, np.array([0]), np.array([1])).tolist() == [0]


def test_no_documents() -> None:
    hashes, n_shingles = MinHash().band_hashes(array())
    assert hashes.shape == (0, 14)
    assert n_shingles.shape == (0,)
    sets, offsets = MinHash().shingle_sets(array())
    assert sets.shape == (0,)
    assert offsets.tolist() == [0]


def test_short_documents_have_one_shingle_of_all_their_words() -> None:
    hashes, n_shingles = MinHash().band_hashes(array("hello", "hello there", "HELLO!"))
    assert n_shingles.tolist() == [1, 1, 1]
    assert (hashes[0] == hashes[2]).all()
    assert len(np.unique(hashes[:2])) == 28


def test_a_document_does_not_depend_on_its_batch() -> None:
    strings = [*LICENCES, "", "日本語のテキスト", "x " * 5000]
    together = MinHash().band_hashes(array(*strings))
    alone = [MinHash().band_hashes(array(string)) for string in strings]
    assert (together[0] == np.concatenate([hashes for hashes, _ in alone])).all()
    assert (together[1] == np.concatenate([n for _, n in alone])).all()


def test_hostile_documents() -> None:
    hostile = array("spam " * 200_000, "a" * 1_000_000, "\0" * 1000, "字" * 100_000, "e" + "\u0301" * 100_000)
    _, n_shingles = MinHash().band_hashes(hostile)
    assert n_shingles.tolist() == [199_996, 1, 0, 99_996, 1]
    _, offsets = MinHash().shingle_sets(hostile)
    assert offsets.tolist() == [0, 1, 2, 2, 3, 4]


def test_bytes_that_are_no_utf8_read_nothing_outside_of_their_document() -> None:
    data = b"caf\xc3" + b"\xff\xff\xff\xff ok\xe2\x82" + b"abc"
    offsets = np.array([0, 4, 13, 16], dtype=np.int64)
    text = pa.LargeStringArray.from_buffers(3, pa.py_buffer(offsets), pa.py_buffer(data))
    _, n_shingles = MinHash().band_hashes(text)
    assert n_shingles.tolist() == [1, 1, 1]
    sets, set_offsets = MinHash().shingle_sets(text)
    assert sets[set_offsets[0] : set_offsets[1]].tolist() == reference_shingles("caf", 5)


@pytest.mark.parametrize("wrong", [{"ngram": 0}, {"bands": 0}, {"rows": 1}, {"seed": -1}])
def test_wrong_parameters_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UserError, match=f"{next(iter(wrong))}.*must be at least"):
        MinHash(**wrong)


# ---- similarity


@repeatable
@given(st.sets(st.integers(0, 40)), st.sets(st.integers(0, 40)))
def test_jaccard(a: set[int], b: set[int]) -> None:
    as_arrays = (np.array(sorted(values), dtype=np.uint64) for values in (a, b))
    assert jaccard(*as_arrays) == (len(a & b) / len(a | b) if a | b else 0)


def edited_pairs(n_pairs: int, n_words: int, edit_frac: float, seed: int) -> pa.LargeStringArray:
    """Random documents, each followed by a copy in which some words were replaced."""
    draw = random.Random(seed)
    strings = []
    for _ in range(n_pairs):
        words = [f"w{draw.randrange(10**6)}" for _ in range(n_words)]
        edited = [f"w{draw.randrange(10**6)}" if draw.random() < edit_frac else word for word in words]
        strings += [" ".join(words), " ".join(edited)]
    return array(*strings)


def true_similarities(minhash: MinHash, text: pa.LargeStringArray) -> np.ndarray:
    places = np.arange(len(text))
    return pair_similarities(*minhash.shingle_sets(text), places[::2], places[1::2])


def test_pair_similarities_are_those_of_the_sets_of_shingles() -> None:
    text = edited_pairs(20, 80, 0.04, seed=3)
    sets = [set(reference_shingles(string, 5)) for string in text.to_pylist()]
    expected = [len(a & b) / len(a | b) for a, b in zip(sets[::2], sets[1::2], strict=True)]
    assert true_similarities(MinHash(), text) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("edit_frac", [0.003, 0.03, 0.08])
def test_the_estimate_is_unbiased_and_agrees_with_datasketch(edit_frac: float) -> None:
    minhash = MinHash(bands=600, rows=2)  # two rows agree with probability s**2
    text = edited_pairs(8, 300, edit_frac, seed=5)
    hashes, _ = minhash.band_hashes(text)
    s = true_similarities(minhash, text).astype(np.float64)
    estimate = np.sqrt((hashes[::2] == hashes[1::2]).mean(axis=1))
    deviation = np.sqrt((1 - s**2) / (4 * minhash.bands))  # of the square root, to first order
    assert (np.abs(estimate - s) <= 4 * deviation).all()
    assert abs((estimate - s).mean()) <= 4 * deviation.mean() / np.sqrt(len(s))

    n_permutations = 600
    oracle = np.array([sketch_similarity(a, b, n_permutations) for a, b in zip(text[::2], text[1::2], strict=True)])
    assert (np.abs(estimate - oracle) <= 4 * np.hypot(deviation, np.sqrt(s * (1 - s) / n_permutations))).all()


def sketch_similarity(a: pa.Scalar, b: pa.Scalar, n_permutations: int) -> float:
    sketches = [datasketch.MinHash(num_perm=n_permutations, seed=7) for _ in range(2)]
    for sketch, text in zip(sketches, (a.as_py(), b.as_py()), strict=True):
        words = text.split()
        sketch.update_batch([" ".join(words[i : i + 5]).encode() for i in range(len(words) - 4)])
    return sketches[0].jaccard(sketches[1])


@pytest.mark.parametrize(("edit_frac", "low", "high"), [(0.01, 0.88, 0.92), (0.04, 0.65, 0.72), (0.075, 0.45, 0.55)])
def test_pairs_found_follow_the_s_curve(edit_frac: float, low: float, high: float) -> None:
    minhash = MinHash()
    text = edited_pairs(1500, 100, edit_frac, seed=11)
    hashes, _ = minhash.band_hashes(text)
    found = (hashes[::2] == hashes[1::2]).any(axis=1)
    expected = np.array([probability(float(s), minhash.bands, minhash.rows) for s in true_similarities(minhash, text)])
    assert low < true_similarities(minhash, text).mean() < high
    assert abs(found.sum() - expected.sum()) <= 4 * np.sqrt((expected * (1 - expected)).sum()) + 1


def test_probability_is_the_published_curve() -> None:
    percent = [round(100 * probability(s, bands=14, rows=8), 1) for s in (0.70, 0.75, 0.80, 0.85, 0.90)]
    assert percent == [56.5, 77.2, 92.4, 98.8, 100.0]


# ---- candidate pairs


def reference_pairs(band: list[int], ids: list[int]) -> list[list[int]]:
    pairs = set()
    for value in set(band) - {NO_BAND}:
        group = sorted({id_ for id_, other in zip(ids, band, strict=True) if other == value})
        pairs |= {(group[0], other) for other in group[1:]} | set(itertools.pairwise(group))
    return [list(pair) for pair in sorted(pairs)]


def pairs_of(band: np.ndarray, ids: np.ndarray, size: int = 1000, chain: bool = True) -> list[list[int]]:
    """The pairs, smaller id first, in order; the records come in blocks of ``size``."""
    hashes, ids = records.sort(band, ids)
    blocks = [(hashes[i : i + size], ids[i : i + size]) for i in range(0, len(ids), size)]
    found = [pair for larger, smaller in candidate_pairs(blocks, chain) for pair in zip(smaller, larger, strict=True)]
    return [[int(a), int(b)] for a, b in sorted(set(found))]


@repeatable
@given(
    st.lists(st.tuples(st.sampled_from([0, 1, 2, MASK]), st.integers(0, 12) | st.just(MASK)), max_size=30),
    st.integers(1, 9),
)
def test_candidate_pairs_are_star_and_chain_in_any_order(rows: list[tuple[int, int]], size: int) -> None:
    band, ids = (np.array([row[side] for row in rows], np.uint64) for side in (0, 1))
    expected = reference_pairs(band.tolist(), ids.tolist())
    assert pairs_of(band, ids, size) == expected
    star = pairs_of(band, ids, size, chain=False)
    assert all(pair in expected for pair in star)
    assert len(star) <= len({*ids.tolist()}) * len({*band.tolist()})
    for a, b in zip(components(star), components(expected), strict=True):
        assert (a == b).all()


def components(pairs: list[list[int]]) -> records.Block:
    a, b = np.array(pairs, np.uint64).reshape(-1, 2).T
    return connected_components([(a, b)])


def test_a_group_of_equals_gives_a_linear_number_of_pairs() -> None:
    n = 100_000
    band = [(np.full(n, 7, np.uint64), np.arange(n, dtype=np.uint64))]
    parts = list(candidate_pairs(band))
    assert sum(len(larger) for larger, _ in parts) == 2 * (n - 1) - 1  # the chain begins as the star does
    assert len(connected_components(parts)[0]) == n


# ---- clusters


def reference_components(edges: list[tuple[int, int]]) -> dict[int, int]:
    roots = {node: node for edge in edges for node in edge}
    for _ in roots:  # as many rounds as the longest path may need
        for a, b in edges:
            roots[a] = roots[b] = min(roots[a], roots[b])
    return dict(sorted(roots.items()))


@repeatable
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=30), st.randoms())
def test_components_in_any_order_of_edges(edges: list[tuple[int, int]], shuffler: random.Random) -> None:
    far = [(a << 58, b << 58) for a, b in edges]  # ids need all 64 bits
    shuffled = shuffler.sample([(b, a) for a, b in far], len(far))
    for order, size in ((far, 100), (shuffled, 100), (shuffled, 3), (far, 1)):
        parts = [np.array(order[i : i + size], np.uint64).T for i in range(0, len(order), size)]
        ids, roots = connected_components((a, b) for a, b in parts)
        assert ids.dtype == roots.dtype == np.uint64
        assert dict(zip(ids.tolist(), roots.tolist(), strict=True)) == reference_components(far)
        assert (np.diff(ids.astype(object)) > 0).all()


def test_a_long_chain_is_one_component() -> None:
    nodes = np.arange(200_000, dtype=np.uint64)
    _, roots = connected_components([(nodes[:0:-1], nodes[-2::-1])])
    assert not roots.any()


# ---- all of it


def clusters(texts: list[str], ids: list[int], threshold: float) -> dict[int, int]:
    minhash, text, doc_ids = MinHash(), array(*texts), np.array(ids, dtype=np.uint64)
    hashes, _ = minhash.band_hashes(text)
    every = [pair for band in hashes.T for pair in pairs_of(band, doc_ids)]
    pairs = np.array(every, np.uint64).reshape(-1, 2)
    row_of = {id_: row for row, id_ in enumerate(ids)}
    rows = np.array([[row_of[int(id_)] for id_ in pair] for pair in pairs], dtype=np.int64).reshape(-1, 2)
    similar = pair_similarities(*minhash.shingle_sets(text), rows[:, 0], rows[:, 1]) >= threshold
    members, roots = connected_components([(pairs[similar, 0], pairs[similar, 1])])
    return dict(zip(members.tolist(), roots.tolist(), strict=True))


def test_three_near_identical_licences_are_one_cluster() -> None:
    strings = ["A page about the tides and the harbour, which has nothing to do with it.", *LICENCES, "", ""]
    assert clusters(strings, [5, 40, 30, 20, 7, 8], threshold=0.75) == {20: 20, 30: 20, 40: 20}


def test_all_equal_and_all_empty() -> None:
    assert clusters([LICENCE] * 4, [4, 3, 2, 9], threshold=1.0) == {2: 2, 3: 2, 4: 2, 9: 2}
    assert clusters([""] * 4, [4, 3, 2, 9], threshold=0.0) == {}
    assert clusters([LICENCE], [4], threshold=0.0) == {}


def test_clusters_do_not_depend_on_the_order_of_documents() -> None:
    strings = [string for string in edited_pairs(30, 60, 0.02, seed=2).to_pylist() for _ in range(2)]
    ids = list(range(100, 100 + len(strings)))
    order = random.Random(1).sample(range(len(strings)), len(strings))
    expected = clusters(strings, ids, threshold=0.7)
    assert len(expected) == len(strings)
    assert clusters([strings[i] for i in order], [ids[i] for i in order], threshold=0.7) == expected
