"""Exact hashes, candidate pairs and clusters against plain Python, and with MinHash all of it together."""

from __future__ import annotations

import hashlib
import itertools
import random

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.dedup import records
from textmill.dedup.clusters import connected_components
from textmill.dedup.exact import content_hashes
from textmill.dedup.lsh import NO_BAND, candidate_pairs, probability
from textmill.dedup.minhash import MinHash, pair_similarities

MASK = (1 << 64) - 1

repeatable = settings(deadline=None, derandomize=True)  # no deadline: the first example compiles

any_text = st.text(max_size=60)

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


def edited_pairs(n_pairs: int, n_words: int, edit_frac: float, seed: int) -> pa.LargeStringArray:
    """Random documents, each followed by a copy in which some words were replaced."""
    draw = random.Random(seed)
    strings = []
    for _ in range(n_pairs):
        words = [f"w{draw.randrange(10**6)}" for _ in range(n_words)]
        edited = [f"w{draw.randrange(10**6)}" if draw.random() < edit_frac else word for word in words]
        strings += [" ".join(words), " ".join(edited)]
    return array(*strings)


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
