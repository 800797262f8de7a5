"""The reader of fastText's files and its kernel, beside fastText itself."""

from __future__ import annotations

import contextlib
import ctypes
import gzip
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import fasttext
import numba
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from textmill import storage
from textmill.errors import EnvironmentFault, InputError
from textmill.filters import fasttext_model
from textmill.filters.fasttext_model import FastTextModel, load, load_same
from textmill.text import Documents

SHARED = Path(__file__).parents[2] / "shared"
MODEL = SHARED / "models" / "lid.176.ftz"
LANGUAGES = SHARED / "data" / "languages" / "tatoeba.jsonl.gz"

M_PERTURB = -6  # of malloc.h

KINDS = {
    "softmax": {"loss": "softmax"},
    "hierarchical": {"loss": "hs", "minn": 1, "maxn": 3, "bucket": 1000},
    "one_vs_all": {"loss": "ova", "wordNgrams": 2, "bucket": 500},
    "negative": {"loss": "ns"},
    "ngrams": {"loss": "softmax", "wordNgrams": 3, "minn": 2, "maxn": 4, "bucket": 300},
    "odd_dim": {"loss": "hs", "dim": 7, "minn": 2, "maxn": 3, "bucket": 700},
}
QUANTISED = {
    "quantised": ("ngrams", {}),
    "pruned": ("hierarchical", {"cutoff": 400, "retrain": False}),
    "all_quantised": ("odd_dim", {"qnorm": True, "dsub": 2}),
    "normed": ("one_vs_all", {"qnorm": True, "dsub": 4}),
}
WORDS = [*"the of cat Cat dog größe naïve русский слово 日本語の テキスト ภาษา שלום 😀 a b é".split(), "e\u0301"]


def corpus(path: Path, n_labels: int = 5) -> Path:
    """Lines of words, some labels seen more than others."""
    rng = random.Random(0)
    lines = []
    for i in range(400):
        label = min(rng.randrange(n_labels), rng.randrange(n_labels))
        words = [rng.choice(WORDS[label * 3 :]) for _ in range(8)] + [f"w{label}x{i % 70}"]
        lines.append(f"__label__{'abcdefgh'[label]} {' '.join(words)}\n")
    path.write_text("".join(lines))
    return path


@contextlib.contextmanager
def zeroed_memory() -> Iterator[None]:
    """With one thread fastText fills a tenth of its matrix and takes the rest as it comes; let it come as zeros.

    Only for so long: every other allocation of the process would be filled, too, and a gigabyte takes two seconds.
    """
    fill = getattr(ctypes.CDLL(None), "mallopt", lambda *_: None)
    fill(M_PERTURB, 255)
    try:
        yield
    finally:
        fill(M_PERTURB, 0)


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes a small model of a kind, at most once."""
    folder = tmp_path_factory.mktemp("models")
    text = corpus(folder / "corpus.txt")

    def make(kind: str) -> Path:
        path = folder / f"{kind}.bin"
        if path.exists():
            return path
        base, how = QUANTISED.get(kind, (kind, None))
        options = {"dim": 8, "epoch": 5, "minCount": 1, "verbose": 0, "thread": 1, "seed": 1} | KINDS[base]
        with zeroed_memory():
            trained = fasttext.train_supervised(str(text), **options)
        if how is not None:
            trained.quantize(verbose=0, thread=1, **how)
        trained.save_model(str(path))
        return path

    return make


@pytest.fixture(scope="module", params=[*KINDS, *QUANTISED])
def pair(request: pytest.FixtureRequest, model_file: Callable[[str], Path]) -> tuple[FastTextModel, fasttext.FastText]:
    """The same model, read by us and by fastText."""
    path = model_file(request.param)
    return load(path), fasttext.load_model(str(path))


def ours(model: FastTextModel, texts: list[str]) -> list[dict[str, float]]:
    """All labels that have a probability, for each text."""
    pieces = Documents.from_texts(texts).segmentation
    found = model.probabilities(
        pieces.data, np.arange(len(texts) + 1), pieces.offsets[:-1].copy(), pieces.offsets[1:].copy()
    )
    return [{label: float(p) for label, p in zip(model.labels, row, strict=True) if p > 0} for row in found]


def theirs(model: fasttext.FastText, text: str) -> dict[str, float]:
    """What fastText says of one text; what it rounds above 1 is 1."""
    labels, scores = model.predict(text.replace("\n", " "), k=-1)
    return {
        label.removeprefix("__label__"): min(float(score), 1.0) for label, score in zip(labels, scores, strict=True)
    }


def assert_same(found: dict[str, float], expected: dict[str, float]) -> None:
    """All labels; but one at the very bound that hierarchical softmax has may be on either side of it."""
    for label in found.keys() | expected.keys():
        assert found.get(label, 1e-5) == pytest.approx(expected.get(label, 1e-5), rel=1e-4, abs=2e-6), label


PIECES = [*WORDS, "w0x1", "w3x7 ", "__label__a", "__label__zz", "</s>", " ", " ", "\t", "\v", "\0", "\xa0", "\u3000"]
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=30).map(
    lambda pieces: " ".join(pieces).encode(errors="replace").decode()
)


class TestPrediction:
    @settings(deadline=None, derandomize=True, max_examples=60)
    @given(texts=st.lists(TEXTS, min_size=1, max_size=4))
    def test_agrees_with_fasttext(self, pair: tuple[FastTextModel, fasttext.FastText], texts: list[str]) -> None:
        for found, text in zip(ours(pair[0], texts), texts, strict=True):
            assert_same(found, theirs(pair[1], text))

    def test_texts_of_thousands_of_words_agree(self, pair: tuple[FastTextModel, fasttext.FastText]) -> None:
        rng = random.Random(1)
        texts = [" ".join(rng.choices(PIECES[:-8], k=5000)), "größe" * 10_000, "\u0e20" * 3000 + " " + "dog " * 3000]
        for found, text in zip(ours(pair[0], texts), texts, strict=True):
            assert found == pytest.approx(theirs(pair[1], text), rel=1e-2, abs=1e-3)  # float32 sums drift

    def test_a_text_may_come_in_pieces(self, pair: tuple[FastTextModel, fasttext.FastText]) -> None:
        data = np.frombuffer("the cat|größe w1x5|skipped|слово the </s> dog|dog".encode(), dtype=np.uint8)
        edges = [i for i, byte in enumerate(data) if byte == ord("|")]
        start, end = np.array([0, *(e + 1 for e in edges)]), np.array([*edges, len(data)])
        keep = np.array([0, 1, 3, 4])
        (found,) = pair[0].probabilities(data, np.array([0, 4]), start[keep], end[keep])
        (whole,) = ours(pair[0], ["the cat größe w1x5 слово the"])
        assert {label: p for label, p in zip(pair[0].labels, found.tolist(), strict=True) if p > 0} == whole

    def test_values_do_not_depend_on_the_batch(self, pair: tuple[FastTextModel, fasttext.FastText]) -> None:
        texts = ["the cat", "", "cat the", "größe " * 40, "\0", "w1x1 w2x2 the cat"] * 3
        assert ours(pair[0], texts) == [ours(pair[0], [text])[0] for text in texts]

    def test_the_best_two_are_the_best_two(self, pair: tuple[FastTextModel, fasttext.FastText]) -> None:
        texts = ["the cat sat", "русский слово", "w4x1", ""]
        pieces = Documents.from_texts(texts).segmentation
        numbers, scores = pair[0].best(pieces.data, np.arange(5), pieces.offsets[:-1], pieces.offsets[1:])
        for row, score, found in zip(numbers.tolist(), scores.tolist(), ours(pair[0], texts), strict=True):
            expected = sorted(found.items(), key=lambda item: -item[1])[:2]
            assert [(pair[0].labels[i], s) for i, s in zip(row, score, strict=True) if i >= 0] == expected

    def test_bytes_that_are_no_utf8_stay_within_the_buffer(self, pair: tuple[FastTextModel, fasttext.FastText]) -> None:
        data = np.frombuffer(b"the \xf0\x80\xff\x80\x80 \xe2", dtype=np.uint8)
        found = pair[0].probabilities(data, np.arange(2), np.array([0]), np.array([len(data)]))
        assert np.isfinite(found).all()


@pytest.mark.skipif(not MODEL.exists() or not LANGUAGES.exists(), reason="../shared is not there")
def test_the_language_model_agrees_on_113_languages() -> None:
    texts: dict[str, list[str]] = {}
    with gzip.open(LANGUAGES, "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            texts.setdefault(row["lang"], []).append(row["text"])
    chosen = [text for some in texts.values() for text in some[:15]]
    reference = fasttext.load_model(str(MODEL))
    assert len(texts) >= 100
    for found, text in zip(ours(load(MODEL), chosen), chosen, strict=True):
        assert_same(found, theirs(reference, text))


@numba.njit
def remainder(value, n, inverse, shift):  # type: ignore[no-untyped-def]
    return fasttext_model._remainder(np.uint32(value), np.uint64(n), inverse, shift)


@settings(deadline=None)  # the first example compiles
@given(st.integers(0, 2**32 - 1), st.integers(1, 2**31 - 1))
@example(2**32 - 1, 1)
@example(2**32 - 1, 2**31 - 1)
@example(4_000_000, 2_000_000)
@example(3_999_999, 2_000_000)
@example(2**32 - 1, 2**20)
def test_a_remainder_without_a_division(value: int, n: int) -> None:
    assert remainder(value, n, *fasttext_model._inverse(n)) == value % n


def test_of_pruned_ngrams_the_last_of_equal_ones_counts() -> None:
    pruned = np.array([[70, 0], [3, 1], [70, 2], [64, 3], [-1, 4], [130, 5]], np.int32)
    kept, rows = fasttext_model._index(pruned, 130)
    assert rows.tolist() == [1, 3, 2]
    assert kept.tolist() == [[1 << 3, 0], [1 << 0 | 1 << 6, 1], [0, 3]]


class TestFiles:
    @pytest.mark.parametrize("kind", ["ngrams", "pruned", "all_quantised"])
    def test_a_truncated_file_is_named(self, kind: str, model_file: Callable[[str], Path], tmp_path: Path) -> None:
        whole, path = model_file(kind).read_bytes(), tmp_path / "cut.bin"
        for size in {0, 1, 4, 7, 8, 60, 100, *range(0, len(whole), len(whole) // 60), len(whole) - 1}:
            path.write_bytes(whole[:size])
            with pytest.raises(InputError, match=r"cut\.bin: not a fastText model"):
                load(path)

    @pytest.mark.parametrize("kind", ["softmax", "pruned", "all_quantised"])
    def test_a_damaged_file_is_refused_or_predicts(
        self, kind: str, model_file: Callable[[str], Path], tmp_path: Path
    ) -> None:
        whole, path, rng = model_file(kind).read_bytes(), tmp_path / "damaged.bin", random.Random(2)
        n_refused = 0
        for i in range(300):
            data = bytearray(whole)
            where = rng.randrange(92) if i % 2 else rng.randrange(len(data) - 4)
            data[where : where + 4] = rng.choice(
                [b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"\0\0\0\0", rng.randbytes(4)]
            )
            path.write_bytes(data)
            try:
                model = load(path)
            except InputError:
                n_refused += 1
                continue
            assert all(0 <= p <= 1 for row in ours(model, ["the cat größe 日本語の", ""]) for p in row.values())
        assert 30 < n_refused < 270

    def test_word_vectors_are_no_classifier(self, tmp_path: Path) -> None:
        text, path = corpus(tmp_path / "corpus.txt"), tmp_path / "vectors.bin"
        with zeroed_memory():
            fasttext.train_unsupervised(str(text), dim=4, epoch=1, minCount=1, bucket=50, verbose=0).save_model(
                str(path)
            )
        with pytest.raises(InputError, match="holds word vectors, not a classifier"):
            load(path)

    def test_a_file_that_is_no_model_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "notes.txt"
        path.write_text("not a model " * 100)
        with pytest.raises(InputError, match=r"notes\.txt: not a fastText model that can be used \(it does not begin"):
            load(path)

    def test_a_file_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"gone\.bin: cannot read this model"):
            load(tmp_path / "gone.bin")
        with pytest.raises(EnvironmentFault, match=r"gone\.bin: no model here"):
            load_same(str(tmp_path / "gone.bin"), "0" * 64)

    def test_another_file_than_agreed_stops_the_run(self, model_file: Callable[[str], Path]) -> None:
        path = model_file("softmax")
        assert load_same(str(path), storage.sha256(path)).labels == load(path).labels
        with pytest.raises(EnvironmentFault, match="sha256"):
            load_same(str(path), "0" * 64)
