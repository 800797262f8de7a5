"""The n-gram model against plain Python (and KenLM, where its tools are), its file, and perplexity as a score."""

from __future__ import annotations

import gzip
import itertools
import json
import logging
import math
import shutil
import subprocess
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from textmill.cli import main
from textmill.errors import EnvironmentFault, InputError, UserError
from textmill.filters import ngrams, ngrams_train
from textmill.filters.ngrams import END, HEADER_BYTES, Model, normal_forms, read_model
from textmill.filters.ngrams_train import calibrated, sample, train
from textmill.filters.perplexity import Perplexity, find_model, passes
from textmill.pipeline.stage import _identity
from textmill.text import Documents

TEXTS = Path(__file__).parents[2] / "shared" / "data" / "text"


# Words


def is_alone(character: str) -> bool:
    name = unicodedata.name(character, "")
    return name.startswith(("CJK UNIFIED", "HIRAGANA", "KATAKANA", "THAI CHARACTER"))


def without_accent(character: str) -> str:
    return character if "HANGUL" in unicodedata.name(character[0], "") else unicodedata.normalize("NFD", character)[0]


def words_of(line: str) -> list[str]:
    words, word = [], ""
    for character in unicodedata.normalize("NFC", line) + "\n":
        category = unicodedata.category(character)
        if category in ("Mn", "Cf"):
            continue
        letter = category[0] in "LMN" and category != "Nd"
        plain = "0" if category == "Nd" else without_accent(character.lower())
        if is_alone(character) and letter:
            words += [word, plain]
            word = ""
        elif letter or category == "Nd":
            word += plain
        else:
            words.append(word)
            word = ""
    return [word for word in words if word]


def hashes_of(line: str) -> list[int]:
    data = np.frombuffer(line.encode(), np.uint8)
    found, i = [], 0
    while True:
        word, i = ngrams.next_word(data, i, len(data), normal_forms())
        if not word:
            return found
        found.append(int(word))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("The cat, the CAT!", "the cat the cat"),
        ("Café ÀÉÎ cafe\u0301 co\u00adop zero\u200bwidth", "cafe aei cafe coop zerowidth"),
        ("In 1984: 3.14 and ٣", "in 0000 0 00 and 0"),
        ("日本語のテスト test中文", "日 本 語 の テ ス ト test 中 文"),
        ("ไทย", "ไ ท ย"),
        ("대한민국 만세", "대한민국 만세"),
        ("Straße İstanbul don't", "straße istanbul don t"),
        (" .,;!? — \x00 €", ""),
        ("", ""),
    ],
)
def test_words(line: str, words: str) -> None:
    assert hashes_of(line) == [h for word in words.split() for h in hashes_of(word)]
    assert len(hashes_of(line)) == len(words.split())
    assert words_of(line) == words.split()


def test_syllables_of_hangul_are_not_taken_apart() -> None:
    assert len({tuple(hashes_of(word)) for word in ("하", "한", "할", "핲")}) == 4


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from([*"aAÀé9٣ .,-日の中ก한\u0301\u00ad\u200b\x00€", "ab", "e\u0301"]), max_size=12))
def test_words_are_those_of_plain_python(pieces: list[str]) -> None:
    line = "".join(pieces)
    assert hashes_of(line) == [h for word in words_of(line) for h in hashes_of(word)]
    assert len(hashes_of(line)) == len(words_of(line))


def test_bytes_that_are_no_utf8_are_read_within_the_buffer() -> None:
    raw = pa.array([b"\xe3\x81", b"abc\xf0", b"\xff\xfe\xc3"], pa.large_binary())
    text = pa.LargeStringArray.from_buffers(len(raw), *raw.buffers()[1:])
    values, _ = train([Documents.from_texts(["abc"])]).perplexities(Documents(pa.table({"text": text})))
    assert np.isfinite(values).all()


# Probabilities


class PlainModel:
    """Modified Kneser-Ney, from Chen and Goodman's formulas, by dictionaries of tuples of words."""

    def __init__(self, sentences: Sequence[Sequence[str]], order: int, least: Sequence[int]) -> None:
        self.order = order
        padded = [["<s>", *sentence, "</s>"] for sentence in sentences]
        self.count = {
            n: Counter(tuple(s[i : i + n]) for s in padded for i in range(len(s) - n + 1)) for n in range(1, order + 1)
        }
        del self.count[1]["<s>",]
        self.kept = {n: {gram for gram, count in c.items() if count > least[n - 1]} for n, c in self.count.items()}
        self.adjusted = {n: self._adjusted(n) for n in self.count}
        self.discount = {n: self._discounts(Counter(a.values())) for n, a in self.adjusted.items()}
        self.after: dict[tuple[str, ...], list[tuple[str, ...]]] = defaultdict(list)
        for gram in itertools.chain.from_iterable(self.count.values()):
            self.after[gram[:-1]].append(gram)

    def _adjusted(self, n: int) -> dict[tuple[str, ...], int]:
        if n == self.order:
            return dict(self.count[n])
        before = Counter(gram[1:] for gram in self.count[n + 1])
        return {gram: count if gram[0] == "<s>" else before[gram] for gram, count in self.count[n].items()}

    def _discounts(self, n: Counter[int]) -> list[float]:
        """Of counts 0, 1, 2, 3 and more; KenLM's fixed ones where the formulas give none."""
        if not all(n[k] for k in (1, 2, 3, 4)):
            return [0, 0.5, 1, 1.5]
        y = n[1] / (n[1] + 2 * n[2])
        found = [0, 1 - 2 * y * n[2] / n[1], 2 - 3 * y * n[3] / n[2], 3 - 4 * y * n[4] / n[3]]
        return found if min(found) >= 0 else [0, 0.5, 1, 1.5]

    def _own(self, gram: tuple[str, ...]) -> float:
        n, count = len(gram), self.adjusted[len(gram)][gram]
        return count - self.discount[n][min(count, 3)] if gram in self.kept[n] else 0.0

    def p(self, word: str, context: tuple[str, ...]) -> float:
        """Of the word after these words, of which only the last ones count."""
        context = context[len(context) - (self.order - 1) :] if len(context) >= self.order else context
        n = len(context) + 1
        lower = self.p(word, context[1:]) if context else 1 / (len(self.count[1]) + 1)
        grams = self.after.get(context, [])
        total = sum(self.adjusted[n][gram] for gram in grams)
        if not total:
            return lower
        own = self._own((*context, word)) if (*context, word) in self.count[n] else 0.0
        return own / total + (1 - sum(map(self._own, grams)) / total) * lower

    def log_p(self, sentence: Sequence[str]) -> float:
        words = ["<s>", *sentence, "</s>"]
        p = [self.p(words[i], tuple(words[:i])) for i in range(1, len(words))]
        return sum(map(math.log, p)) if min(p) > 0 else -math.inf


def log_p_of(model: Model, texts: Sequence[str]) -> list[float]:
    pieces = Documents.from_texts(texts).segmentation
    lines = pieces.lines
    return model.log_probabilities(pieces.data, lines.offsets, lines.start, lines.end)[0].tolist()


LINES = st.lists(st.sampled_from("abcdeé日"), min_size=1, max_size=9).map(" ".join)


NO_DISCOUNT = "e,a a,b a c b,b e d d a e,c a e d c,d,e,e d a e c,e d e e c,e e e e c,a a b a e d".split(",")


@settings(deadline=None, max_examples=60)
@example(NO_DISCOUNT, ["e a"], 2, (0,))
@given(
    st.lists(LINES, min_size=1, max_size=12),
    st.lists(LINES, min_size=1, max_size=3),
    st.integers(1, 5),
    st.sampled_from([(0,), (0, 0, 1), (0, 1, 2)]),
)
def test_probabilities_are_those_of_the_formulas(
    lines: list[str], judged: list[str], order: int, pruned: tuple[int, ...]
) -> None:
    model = train([Documents.from_texts(lines)], order, pruned=pruned)
    least = [pruned[min(n, len(pruned) - 1)] for n in range(order)]
    plain = PlainModel([words_of(line) for line in lines], order, least)
    judged = [*judged, "unknown a", "a unknown unknown b a"]
    for found, expected in zip(log_p_of(model, judged), [plain.log_p(words_of(line)) for line in judged], strict=True):
        if expected == -math.inf:  # discounts of 0 leave nothing to unseen words; a score is finite all the same
            assert -math.inf < found < -80
        else:
            assert found == pytest.approx(expected, abs=1e-5)
    words = {word for line in lines for word in words_of(line)}
    for context in (("<s>",), *(tuple(words_of(line)) for line in judged)):
        assert sum(plain.p(word, context) for word in [*words, "</s>", "<unk>"]) == pytest.approx(1)


NUMBERS = ["one two three four", "two three", "three four five six", "one two", "six five four three two one"]


def test_discounts_follow_the_counts_of_counts() -> None:
    counts = np.repeat([1, 2, 3, 4, 5, 9], [40, 12, 6, 3, 2, 1])
    y = 40 / (40 + 2 * 12)
    expected = [0, 1 - 2 * y * 12 / 40, 2 - 3 * y * 6 / 12, 3 - 4 * y * 3 / 6]
    assert ngrams_train.discounts(counts) == pytest.approx(expected)
    assert ngrams_train.discounts(counts[:-6]).tolist() == [0, 0.5, 1, 1.5]  # none occurs 4 times
    assert ngrams_train.discounts(np.array([1, 2, 3, 3, 3, 3, 4])).tolist() == [0, 0.5, 1, 1.5]  # one would be negative


@pytest.mark.skipif(not shutil.which("lmplz"), reason="KenLM's lmplz is not installed")
def test_probabilities_are_those_of_kenlm(tmp_path: Path) -> None:
    kenlm = pytest.importorskip("kenlm")
    if not TEXTS.exists():
        pytest.skip("../shared/data/text is not there")
    lines = gzip.decompress((TEXTS / "gutenberg" / "carroll-alice.txt.gz").read_bytes()).decode().split("\n")
    split = [" ".join(words_of(line)) for line in lines if words_of(line)]
    (tmp_path / "text").write_text("\n".join(split[:-100]) + "\n")
    options = ["-o", "4", "--prune", "0", "0", "1", "-S", "20%", "-T", tmp_path]
    files = ["--text", tmp_path / "text", "--arpa", tmp_path / "arpa"]
    subprocess.run(["lmplz", *options, *files], check=True, capture_output=True)
    theirs = kenlm.Model(str(tmp_path / "arpa"))
    model = train([Documents.from_texts(split[:-100])], 4)
    judged = [*split[-100:], "off with her xyzzy head xyzzy xyzzy"]
    assert log_p_of(model, judged) == pytest.approx([theirs.score(line) * math.log(10) for line in judged], abs=1e-3)


# Training


def test_the_sample_is_bounded_and_depends_neither_on_order_nor_on_batches() -> None:
    lines = [f"line x{'x' * i} of many" for i in range(400)]
    drawn = sample([Documents.from_texts(lines)], 500)
    again = sample([Documents.from_texts([line]) for line in reversed(lines)], 500)
    assert 150 < len(drawn.words) <= 500
    assert sorted(drawn.hashes) == sorted(again.hashes)
    assert len(drawn.words) == drawn.lengths.sum() == 5 * len(drawn.hashes)
    assert (drawn.words == END).sum() == len(drawn.hashes)
    assert len(sample([Documents.from_texts(lines)], 2000).hashes) == 400


def test_orders_and_texts_that_make_no_model() -> None:
    with pytest.raises(UserError, match="order 7: it must be from 1 to 6"):
        train([Documents.from_texts(["a b"])], 7)
    for texts in ([], [""], [" ... \n\n!"]):
        with pytest.raises(InputError, match="no words in these texts"):
            train([Documents.from_texts(texts)])
        with pytest.raises(InputError, match="no words in the texts to calibrate"):
            calibrated(train([Documents.from_texts(["a"])]), [Documents.from_texts(texts)])


# The file


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A model, calibrated."""
    documents = Documents.from_texts(NUMBERS)
    calibrated(train([documents], 3), [documents]).save(str(tmp_path / "model"))
    return str(tmp_path / "model")


def test_a_model_is_the_same_from_its_file(path: str) -> None:
    documents = Documents.from_texts(NUMBERS)
    made = calibrated(train([documents], 3), [documents])
    found = read_model(path)
    assert found.header == made.header
    assert found.digest == made.digest
    assert (found.table == made.table).all()
    assert log_p_of(found, NUMBERS) == log_p_of(made, NUMBERS)
    assert isinstance(found.table.base, np.memmap)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-1], "its length is wrong"),
        (lambda data: data[:HEADER_BYTES], "its length is wrong"),
        (lambda data: data[:-16], "its checksum is wrong"),
        (lambda data: data[:-2] + b"zz", "its checksum is wrong"),
        (lambda data: data[:100], "not an n-gram model"),
        (lambda data: b"", "not an n-gram model"),
        (lambda data: b"\xff" * 10_000, "not an n-gram model"),
        (lambda data: b"[]" + b" " * 5000, "not an n-gram model"),
        (lambda data: data.replace(b"n-grams 1", b"n-grams 2"), "of another format"),
        (lambda data: data.replace(b'"order": 3', b'"order": 9'), "of another format"),
        (lambda data: data.replace(b'"order"', b'"odder"'), "not an n-gram model"),
    ],
)
def test_a_damaged_model_is_named_in_one_line(path: str, damage: object, message: str) -> None:
    content = Path(path).read_bytes()
    Path(path).write_bytes(damage(content))  # type: ignore[operator]
    with pytest.raises(InputError, match=message) as raised:
        find_model(path)
    assert str(raised.value).startswith(path)
    assert "\n" not in str(raised.value)


# The score


def measured(scorer: Perplexity, *texts: str) -> list[tuple[float, str]]:
    values, buckets = scorer.score(Documents.from_texts(texts))
    return list(zip(values.to_pylist(), buckets.to_pylist(), strict=True))


def test_perplexity_is_the_inverse_of_the_mean_probability(path: str) -> None:
    plain = PlainModel([line.split() for line in NUMBERS], 3, (0, 0, 1))
    text = "One, two: three!\n\n  ...\nfour five unknown"
    log_p = plain.log_p(["one", "two", "three"]) + plain.log_p(["four", "five", "unknown"])
    ((value, _),) = measured(find_model(path), text)
    assert value == pytest.approx(math.exp(-log_p / 8), rel=1e-5)


def test_a_text_without_words_is_as_one_unknown_word(path: str) -> None:
    model = read_model(path)
    for value, bucket in measured(find_model(path), "", " \n\n", "...", "\x00"):
        assert value == pytest.approx(math.exp(-model.header.unknown), rel=1e-6)
        assert bucket == "tail"


def test_buckets_are_cut_at_percentiles_of_the_sample(tmp_path: Path) -> None:
    model = train([Documents.from_texts(NUMBERS)], 3)
    sample_of = Documents.from_texts(
        [" ".join("one two three four".split()[i % 4 :] * (i // 4 + 1)) for i in range(50)]
    )
    calibrated(model, [sample_of, Documents.from_texts(["..."])]).save(str(tmp_path / "model"))
    found = Counter(bucket.as_py() for bucket in find_model(str(tmp_path / "model")).score(sample_of)[1])
    values = np.sort(model.perplexities(sample_of)[0])
    head, middle = np.percentile(values, [30, 60])
    assert found == {
        "head": (values < head).sum(),
        "middle": ((head <= values) & (values < middle)).sum(),
        "tail": (values >= middle).sum(),
    }
    assert found["head"] == 15


def test_a_model_that_was_not_calibrated_warns_and_drops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = str(tmp_path / "model")
    train([Documents.from_texts(NUMBERS)]).save(path)
    with caplog.at_level(logging.WARNING, "textmill"):
        assert [bucket for _, bucket in measured(find_model(path), "one", "qwertz")] == ["all", "all"]
    assert "not calibrated" in caplog.text
    assert passes("qwertz", model=path)


def test_passes_keeps_head_and_middle(path: str) -> None:
    assert [passes(text, model=path) for text in (NUMBERS[0], "qwertz zwerg", "", "\ud800")] == [
        True,
        False,
        False,
        False,
    ]


def test_odd_texts_have_finite_values(path: str) -> None:
    texts = ["x" * 10_000_000, "one " * 1_000_000, "\n" * 100_000, "\u0301" * 1000, "日" * 10_000, "😀 \u202e \x00"]
    for value, bucket in measured(find_model(path), *texts):
        assert math.isfinite(value)
        assert bucket in ("head", "middle", "tail")


def test_the_path_is_not_identity_the_digest_is(path: str, tmp_path: Path) -> None:
    shutil.copy(path, tmp_path / "copy")
    scorer = find_model(path)
    assert _identity(find_model(str(tmp_path / "copy"))) == _identity(scorer)
    with pytest.raises(EnvironmentFault, match="put back the right one"):
        measured(Perplexity(path, "0" * 64), "one")
    with pytest.raises(EnvironmentFault, match="no n-gram model here"):
        measured(Perplexity(str(tmp_path / "gone"), scorer.digest), "one")
    with pytest.raises(EnvironmentFault, match="perplexity train makes one"):
        measured(Perplexity(), "one")
    with pytest.raises(InputError, match="cannot read this n-gram model"):
        find_model(str(tmp_path / "gone"))


# The command


def test_the_command_trains_and_calibrates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, web, out = tmp_path / "a.txt", tmp_path / "web.jsonl", tmp_path / "model"
    text.write_text("\n".join(NUMBERS))
    web.write_text("".join(json.dumps({"text": line}) + "\n" for line in NUMBERS))
    command = ["perplexity", "train", "--text", str(text), "--out", str(out), "--order", "2"]
    assert main(command) == 0
    assert "not calibrated" in capsys.readouterr().out
    assert main([*command, "--calibrate", str(web)]) == 0
    assert f"{out}: 26 n-grams of 23 words; head below" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"a.txt", "web.jsonl", "model"}
    header = read_model(str(out)).header
    assert header.order == 2
    assert header.head_below is not None
    assert main([*command, "--calibrate", str(tmp_path / "none")]) == 2
    assert "cannot read this file" in capsys.readouterr().err


@pytest.mark.skipif(not TEXTS.exists(), reason="../shared/data/text is not there")
def test_likeness_to_the_reference_orders_texts() -> None:
    def text_of(name: str) -> str:
        return gzip.decompress((TEXTS / name).read_bytes()).decode()

    model = train([Documents.from_texts([text_of(f"gutenberg/austen-{name}.txt.gz") for name in ("emma", "sense")])])
    held_out = text_of("gutenberg/austen-persuasion.txt.gz")[:200_000]
    web = text_of("webtext.txt.gz")[:200_000]
    words, letters = web.split(), list(web)
    np.random.default_rng(0).shuffle(words)
    np.random.default_rng(0).shuffle(letters)
    texts = [held_out, web, " ".join(words), "".join(letters)]
    values = model.perplexities(Documents.from_texts(texts))[0].tolist()
    assert values == sorted(values)
    assert values[1] > 5 * values[0]
