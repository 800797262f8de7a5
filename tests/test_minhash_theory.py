"""MinHash against theory and datasketch: bias, variance, standard error of sketches, and pairs found by bands.

The permutations are bijections ``a * x + b`` modulo 2**32, not random ones, and a signature's minima could be less
independent than theory has it. So pairs of sets with a known similarity are made, of words that are random and of words
that are alike, and the mean and the variance of many estimates are compared with those of a binomial share. All bounds
are four standard deviations, at fixed seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import datasketch
import numpy as np
import pyarrow as pa
import pytest

from textmill.dedup.lsh import probability
from textmill.dedup.minhash import MinHash, preset, sketch_error, sketch_similarities, sketches_of

N_PAIRS = 1500
WORDS: dict[str, Callable[[int], str]] = {
    "random": lambda i: f"{(i * 0x9E3779B97F4A7C15 + 0x5851F42D4C957F2D) % 2**64:x}",
    "counted": str,  # 0 1 2 3 ...
    "one letter": lambda i: chr(0x4E00 + i % 20000) + "abcdefghijklmnopqrstuvwxyz"[i // 20000],
    "far bits": lambda i: f"{1 << i % 256:064x}{i // 256}",
}


class Pairs(NamedTuple):
    text: pa.LargeStringArray  # both of the first pair, both of the second, ...
    similarity: float


def pairs(words: str, size: int, similarity: float, n_pairs: int = N_PAIRS) -> Pairs:
    """Pairs of sets of words, each pair with words of its own: ``size`` in a union, of which the same share in both."""
    n_shared = round(size * similarity)
    half = (size - n_shared) // 2
    assert n_shared + 2 * half == size
    strings = []
    for start in range(0, n_pairs * size, size):
        union = [WORDS[words](i) for i in range(start, start + size)]
        strings += [" ".join(union[: n_shared + half]), " ".join(union[:n_shared] + union[n_shared + half :])]
    return Pairs(pa.array(strings, pa.large_string()), n_shared / size)


def check_estimates(estimates: np.ndarray, mean: float, variance: float) -> None:
    """Of n estimates: their mean, and their variance around the true value, both within four standard deviations."""
    n = len(estimates)
    deviations = estimates.astype(np.float64) - mean
    assert abs(deviations.mean()) <= 4 * np.sqrt(variance / n)
    assert abs((deviations**2).mean() / variance - 1) <= 4 * np.sqrt(2 / n)


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("size", [20, 200])
@pytest.mark.parametrize("similarity", [0.5, 0.7, 0.9])
def test_estimates_have_the_mean_and_the_variance_of_theory(words: str, size: int, similarity: float) -> None:
    text, s = pairs(words, size, similarity)
    minhash = MinHash(ngram=1)
    signatures = minhash.signatures(text)
    equal = signatures[::2] == signatures[1::2]
    check_estimates(equal.mean(axis=1), s, s * (1 - s) / minhash.permutations)

    sketches = sketches_of(signatures)
    estimates = sketch_similarities(sketches[::2], sketches[1::2])
    check_estimates(estimates, s, sketch_error(s, minhash.permutations) ** 2)


def test_minima_that_share_half_their_bits_are_no_chance_agreement() -> None:
    """One-word documents: all permutations of a half see the same two hashes, of which lower bits may agree."""
    text = pa.array([WORDS["counted"](i) for i in range(4000)], pa.large_string())
    sketches = MinHash().sketches(text)
    agree = (sketches[::2] == sketches[1::2]).sum(axis=1)
    expected = 112 / 256
    assert abs(agree.mean() - expected) <= 4 * np.sqrt(expected / len(agree))
    assert agree.max() <= 8  # Poisson: 1 in 10**9


@pytest.mark.parametrize("similarity", [0.0, 0.5, 0.8, 1.0])
def test_sketch_error_is_that_of_simulated_bytes(similarity: float) -> None:
    draw = np.random.default_rng(2)
    a = draw.integers(0, 256, (20_000, 112), dtype=np.uint8)
    b = np.where(draw.random(a.shape) < similarity, a, draw.integers(0, 256, a.shape, dtype=np.uint8))
    unclipped = (256 * (a == b).mean(axis=1) - 1) / 255
    assert np.std(unclipped) == pytest.approx(sketch_error(similarity, 112), rel=0.03)
    assert np.maximum(unclipped, 0) == pytest.approx(sketch_similarities(a, b), abs=1e-6)


@pytest.mark.parametrize("similarity", [0.5, 0.7, 0.9])
def test_datasketch_estimates_the_same(similarity: float) -> None:
    text, s = pairs("random", 200, similarity, n_pairs=150)
    minhash = MinHash(ngram=1)
    signatures = minhash.signatures(text)
    ours = (signatures[::2] == signatures[1::2]).mean(axis=1)
    theirs = np.array([sketched(text[i], minhash.permutations, text[i + 1]) for i in range(0, len(text), 2)])
    variance = s * (1 - s) / minhash.permutations
    check_estimates(theirs, s, variance)
    assert (np.abs(ours - theirs) <= 5 * np.sqrt(2 * variance)).all()
    assert abs((ours - theirs).mean()) <= 4 * np.sqrt(2 * variance / len(ours))


def sketched(a: pa.Scalar, permutations: int, b: pa.Scalar) -> float:
    sketches = [datasketch.MinHash(num_perm=permutations, seed=7) for _ in range(2)]
    for sketch, text in zip(sketches, (a, b), strict=True):
        sketch.update_batch([word.encode() for word in text.as_py().split()])
    return sketches[0].jaccard(sketches[1])


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("similarity", [0.5, 0.6, 0.7, 0.8, 0.9])
def test_pairs_found_follow_the_s_curve(words: str, similarity: float) -> None:
    text, s = pairs(words, 200, similarity)
    for shape in (MinHash(ngram=1), MinHash(1, 20, 13, seed=42), MinHash(1, 50, 10), MinHash(1, 9, 13)):
        hashes, _ = shape.band_hashes(text)
        found = (hashes[::2] == hashes[1::2]).any(axis=1).mean()
        expected = probability(s, shape.bands, shape.rows)
        assert abs(found - expected) <= 4 * np.sqrt(expected * (1 - expected) / N_PAIRS) + 1 / N_PAIRS


@pytest.mark.parametrize("name", ["fineweb", "redpajama", "curator"])
def test_pairs_of_edited_text_follow_the_s_curve(name: str) -> None:
    """Not sets that were made, but texts in which some words were replaced; of each pair its own true similarity."""
    minhash = preset(name).minhash
    draw = np.random.default_rng(4)
    words = np.array([f"{i:b}".translate({48: "o", 49: "x"}) for i in range(5000)])
    strings, n_words = [], 150
    for _ in range(600):
        original = draw.choice(words, n_words)
        edits = draw.random(n_words) < draw.choice([0.01, 0.03, 0.06])
        strings += [" ".join(original), " ".join(np.where(edits, draw.choice(words, n_words), original))]
    text = pa.array(strings, pa.large_string())
    hashes, _ = minhash.band_hashes(text)
    found = (hashes[::2] == hashes[1::2]).any(axis=1).sum()
    sets, offsets = minhash.shingle_sets(text)
    true = [
        len(np.intersect1d(a, b)) / len(np.union1d(a, b))
        for a, b in zip(*(np.split(sets, offsets[1:-1])[side::2] for side in (0, 1)), strict=True)
    ]
    chances = np.array([probability(s, minhash.bands, minhash.rows) for s in true])
    assert 0.1 < chances.mean() < 0.9
    assert abs(found - chances.sum()) <= 4 * np.sqrt((chances * (1 - chances)).sum())


def test_the_published_curve() -> None:
    percent = [round(100 * probability(s, bands=14, rows=8), 1) for s in (0.70, 0.75, 0.80, 0.85, 0.90)]
    assert percent == [56.5, 77.2, 92.4, 98.8, 100.0]
