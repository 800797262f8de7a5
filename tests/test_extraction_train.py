"""How the extraction model is made: labels, learned words, scores, and a small model from start to end."""

from __future__ import annotations

import dataclasses
import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from textmill.errors import InputError
from textmill.pipeline.extraction.engine import Model
from textmill.pipeline.extraction.markup import hint_hash
from textmill.pipeline.extraction.train import fit as fitting
from textmill.pipeline.extraction.train import pages as reading
from textmill.pipeline.extraction.train.evaluate import (
    extract,
    page_counts,
    segment_counts,
    segment_f1,
    summarise,
    table,
)
from textmill.pipeline.extraction.train.fit import fit, prepare
from textmill.pipeline.extraction.train.labels import WORD, find, label_blocks, label_page
from textmill.pipeline.extraction.train.pages import Example, read_examples


def example(
    html: str = "", truth: str | None = None, *, record_id: str = "1", site: str = "a.example", **more: tuple
) -> Example:
    told = {"wanted": (), "unwanted": (), "taught": ()} | more
    return Example(record_id, "made", site, html.encode(), truth, **told)


def labels(blocks: list[str], truth: str) -> list[float]:
    return [round(float(label), 2) for label in label_blocks([b.split() for b in blocks], truth.split())]


# Labels


def test_words() -> None:
    assert WORD.findall("Don't, 3.5 été_日本x 한국!") == ["Don", "t", "3", "5", "été_", "日", "本", "x", "한", "국"]


@pytest.mark.parametrize(
    ("blocks", "truth", "expected"),
    [
        (["a b c d e", "x y z w"], "a b c d e", [1, 0]),
        (["a b c d x y z w"], "a b c d", [0.2]),  # one gram of five
        (["a b c d e f", "a b c d e f"], "a b c d e f", [1, 0]),  # one copy
        (["m a b c d", "x x x x", "a b c d", "e f g h"], "a b c d e f g h", [0.5, 0, 1, 1]),
        # of two copies, the one among good neighbours
        (["a b c d", "x x x x", "y y y y", "z z z z", "e f g h", "a b c d", "i j k l"], "e f g h a b c d i j k l",
         [0, 0, 0, 0, 1, 1, 1]),
        (["a b c d", "a b c d", "a b c d"], "a b c d e a b c d", [1, 1, 0]),  # as many as the truth has
        # short ones: only between their neighbours
        (["home", "a b c d", "home", "e f g h", "home"], "a b c d home e f g h", [0, 1, 1, 1, 0]),
        (["x y", "a b c d"], "x y a b c d", [1, 1]),
        (["a b c d", "x y"], "a b c d x y", [1, 1]),
        (["x", "y", ""], "x y", [1, 1, 0]),  # no neighbours: anywhere
        ([], "a b", []),
        (["a", "b c d e"], "", [0, 0]),
    ],
)  # fmt: skip
def test_labels_of_blocks(blocks: list[str], truth: str, expected: list[float]) -> None:
    assert labels(blocks, truth) == expected


def test_votes_of_teachers_and_segments() -> None:
    blocks = [text.split() for text in ("a b c d", "e f g h", "i j k l", "m n o p")]
    taught = ((2.0, "a b c d e f g h"), (1.0, "e f g h i j k l"), (1.0, ""))
    assert label_page(example(taught=taught), blocks).tolist() == [0.5, 0.75, 0.25, 0]
    told = example(taught=taught, wanted=("n o",), unwanted=("f g", "a b c d e"))
    assert label_page(told, blocks).tolist() == [0.5, 0, 0.25, 1]
    assert label_page(example(truth="a b c d", taught=taught), blocks).tolist() == [1, 0, 0, 0]
    assert label_page(example(wanted=("a b",)), blocks).tolist() == [1, 0, 0, 0]


def test_find() -> None:
    assert find("a b a b c".split(), "a b c".split()) == 2
    assert find(["a"], ["a", "b"]) == find(["a"], []) == find([], ["a"]) == -1


# Scores


def test_scores_by_hand() -> None:
    assert page_counts("a b c d e", "a b c d x") == (1, 1, 1)
    assert page_counts("a b c d a b c d", "a b c d") == (1, 0, 4)
    assert page_counts("a b", "a b") == (1, 0, 0)  # shorter than a gram
    assert page_counts("a b", "a b c") == (0, 1, 1)
    assert page_counts("", "") == (0, 0, 0)
    assert page_counts("日本語文", "日本語文字") == (1, 1, 0)
    assert summarise([]) == (0, 0, 0)
    assert summarise([(0, 0, 0)]) == pytest.approx((1, 1, 1))
    assert summarise([(0, 0, 5)]) == pytest.approx((0, 0, 0))  # nothing found
    assert summarise([(0, 5, 0)]) == pytest.approx((0, 0, 1))
    # precision (1/2 + 1) / 2, recall (1 + 1/4) / 2
    assert summarise([(1, 1, 0), (1, 0, 3)]) == pytest.approx((2 * 0.75 * 0.625 / 1.375, 0.75, 0.625))


def test_scores_of_segments_by_hand() -> None:
    assert segment_counts(["a b", "c"], ["d", "e"], "a b d") == (1, 1, 1)
    assert segment_f1([(1, 1, 1), (2, 0, 0)]) == pytest.approx((0.75, 0.75, 0.75))
    assert segment_f1([]) == (0, 0, 0)


# Learned words


def share_odds(content: float, n: float, prior: float, doubt: float) -> float:
    odds = (content + doubt * prior) / (n - content + doubt * (1 - prior))
    return float(np.log(odds / (prior / (1 - prior))))


def test_every_page_has_one_voice_about_a_word() -> None:
    """Eight pages: "good" in the text, "link" outside, "both" once in each, but on one page a hundred times inside."""
    examples = []
    for k in range(8):
        inside = "both " * (100 if k == 0 else 1)
        html = f"<div class=story><p>good {inside}one two three four</p></div>"
        html += f"<div class=side><p>link both {k} x y z</p></div>"
        examples.append(example(html, f"good {inside}one two three four", record_id=str(k), site=f"{k}.example"))
    voices = fitting._Voices(prepare(examples))
    lexicon = voices.lexicon(np.ones(8, np.bool_))
    hints = dict(zip(*map(np.ndarray.tolist, lexicon.hints.entries()), strict=True))
    assert set(hints) == {hint_hash("story"), hint_hash("side")}
    assert hints[hint_hash("story")] == pytest.approx(share_odds(8, 8, 0.5, 1.0), abs=2e-3)
    assert hints[hint_hash("side")] == pytest.approx(share_odds(0, 8, 0.5, 1.0), abs=2e-3)
    words = dict(zip(*map(np.ndarray.tolist, lexicon.words.entries()), strict=True))
    # good, both, one, two, three, four, link, x, y, z, each on eight pages; numbers are on one
    shares = {"good": 8, "one": 8, "two": 8, "three": 8, "four": 8, "link": 0, "x": 0, "y": 0, "z": 0}
    both = 7 * 0.5 + 100 / 101
    prior = (sum(shares.values()) + both) / 80
    assert words[hint_hash("good")] == pytest.approx(share_odds(8, 8, prior, 3.0), abs=2e-3)
    assert words[hint_hash("link")] == pytest.approx(share_odds(0, 8, prior, 3.0), abs=2e-3)
    assert words[hint_hash("both")] == pytest.approx(share_odds(both, 8, prior, 3.0), abs=2e-3)
    assert len(words) == 10
    half = voices.lexicon(np.arange(8) < 4)  # too few pages for words, enough for hints
    assert len(half.words.entries()[0]) == 0
    assert set(half.hints.entries()[0].tolist()) == set(hints)


def test_pages_weigh_about_the_same() -> None:
    def page(n: int) -> str:
        return "".join(f"<p>{' '.join(f'w{k}x{i}' for i in range(20))}</p>" for k in range(n)) + "<p>menu of words" * n

    weights = []
    for n in (5, 50):
        truth = " ".join(f"w{k}x{i}" for k in range(n) for i in range(20))
        (prepared,) = prepare([example(page(n), truth)])
        assert set(prepared.rows[prepared.label[prepared.rows] > 0.5]) == set(range(n))
        weights.append(float(prepared.weight.sum()))
    assert weights[0] == pytest.approx(weights[1], rel=0.3)
    assert prepare([example("<p>a")]) == []  # nothing is known of it


# From pages to a model


def made_up(n: int) -> list[Example]:
    """Pages of a few sites: paragraphs in a container whose class tells, menus, comments in sentences."""
    rng = np.random.default_rng(7)
    vocabulary = [f"{a}{b}{c}" for a in "bdfgk" for b in "aeiou" for c in ("n", "st", "lm")]

    def sentence() -> str:
        return " ".join(rng.choice(vocabulary, rng.integers(9, 22))).capitalize() + ", so it is."

    examples = []
    for k in range(n):
        paragraphs = [" ".join(sentence() for _ in range(rng.integers(1, 4))) for _ in range(rng.integers(3, 12))]
        others = "".join(f"<li class=reply><p>{sentence()}</p></li>" for _ in range(rng.integers(0, 8)))
        menu = "".join(f"<li><a href=/{i}>Menu {i}</a></li>" for i in range(rng.integers(5, 15)))
        html = f"<title>Page {k}</title><ul class=menu>{menu}</ul>"
        html += f"<div class=story><p>{'</p><p>'.join(paragraphs)}</p></div>"
        html += f"<ol class=replies>{others}</ol><div class=footer><p>All rights reserved</p></div>"
        examples.append(example(html, "\n".join(paragraphs), record_id=str(k), site=f"{k % 9}.example"))
    return examples


def test_a_model_from_start_to_end(tmp_path: Path) -> None:
    pytest.importorskip("lightgbm", reason="lightgbm is not installed: pip install 'textmill[extraction]'")
    pages = prepare(made_up(60))
    model = fit(pages[:45])
    texts = {page.example.record_id: extract(model, page) for page in pages[45:]}
    rows = {name: scores for name, *scores in table(pages, texts)}
    assert rows["made"][0] == 15
    assert rows["made"][1] > 0.95
    model.save(tmp_path / "first.npz")
    fit(prepare(made_up(60))[:45]).save(tmp_path / "again.npz")
    assert (tmp_path / "first.npz").read_bytes() == (tmp_path / "again.npz").read_bytes()
    loaded = Model.load(tmp_path / "first.npz")
    assert {page.example.record_id: extract(loaded, page) for page in pages[45:]} == texts


def test_a_folder_of_pages(tmp_path: Path) -> None:
    bodies = {"1": "<p>Gr\u00fc\u00dfe".encode("latin-1"), "2": b"<p>plain", "3": b"<p>unknown"}
    records = b""
    for record_id, body in bodies.items():
        url = "http://example.org/1" if record_id == "1" else f"http://www.site{record_id}.example/"
        block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + body
        header = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\nContent-Length: {len(block)}\r\n\r\n"
        records += gzip.compress(header.encode() + block + b"\r\n\r\n")
    (tmp_path / "pages.warc.gz").write_bytes(records)
    write = {
        "meta": [
            {"record_id": "1", "source": "a", "charset": "latin-1", "url": "http://example.org/1", "bytes": 8},
            {"record_id": "2", "source": "b", "charset": "utf-8", "url": "http://www.site2.example/", "bytes": 8},
        ],
        "truth": [{"record_id": "1", "text": "Gr\u00fc\u00dfe"}],
        "segments": [{"record_id": "2", "with": ["plain"], "without": ["x", "y"]}],
    }
    for name, rows in write.items():
        with gzip.open(tmp_path / f"pages.{name}.jsonl.gz", "wt") as lines:
            lines.writelines(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "taught.jsonl").write_text('{"record_id": "2", "trafilatura": "plain", "readability": ""}\n')
    with_truth, told = read_examples(tmp_path, tmp_path / "taught.jsonl")
    page = "<p>Gr\u00fc\u00dfe".encode()
    assert with_truth == Example("1", "a", "http://example.org/1", page, "Gr\u00fc\u00dfe", (), (), ())
    taught = ((2.0, "plain"), (1.0, ""))
    assert told == Example("2", "b", "site2.example", b"<p>plain", None, ("plain",), ("x", "y"), taught)
    assert read_examples(tmp_path, None)[1] == dataclasses.replace(told, taught=())
    with pytest.raises(InputError, match=r"no pages\.warc\.gz"):
        read_examples(tmp_path / "elsewhere", None)


def test_a_teacher_that_fails_says_nothing() -> None:
    def teacher(html: str) -> str:
        raise RecursionError

    assert reading._ask(teacher, "<p>") == ""
