"""The extraction engine behind the tokenizer: features, forests, choice of blocks, text, whole pages."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from textmill.errors import EnvironmentFault
from textmill.pipeline.extract import html_to_text
from textmill.pipeline.extraction import engine, features
from textmill.pipeline.extraction.asides import BOXES, COMMENTS, within
from textmill.pipeline.extraction.compose import choose, compose
from textmill.pipeline.extraction.engine import SURE, Model, default_model, main_content, model_version, select
from textmill.pipeline.extraction.features import Blocks, Lexicon, Table, measure
from textmill.pipeline.extraction.markup import TAGS, Markup, hint_hash, read_markup
from textmill.pipeline.extraction.train.evaluate import page_counts, summarise
from textmill.pipeline.extraction.trees import DEPTH, Trees
from textmill.pipeline.reading.charset import decode_html
from textmill.pipeline.reading.http import read_response
from textmill.pipeline.reading.warc import Record, read_range

SHARED = Path(__file__).parents[1] / ".." / "shared" / "data"
FNV = 16777619


def cut(page: str) -> tuple[Markup, Blocks, list[str]]:
    """A page's blocks, their measures, their texts."""
    markup = read_markup(page.encode())
    ranges = zip(markup.block_start, markup.block_end, strict=True)
    return markup, measure(markup, page.encode()), [markup.text[a:b].tobytes().decode() for a, b in ranges]


# Blocks by themselves

NAMES = "words chars digits commas ends capitals first last known title".split()


def kind_of(c: str) -> str:
    point = ord(c)
    if point < 0x80:
        if c.isalpha() or c.isdigit():
            return "letter" if c.isalpha() else "digit"
        return "space" if point <= 32 else "comma" if c in ",;" else "end" if c in ".!?" else "other"
    if c in "\u060c\u061b\u3001\uff0c\uff1b":
        return "comma"
    if c in "\u061f\u3002\uff01\uff1f\u0964\u2026":
        return "end"
    if 0x3040 <= point <= 0x30FF or 0x3400 <= point <= 0x9FFF or 0xAC00 <= point <= 0xD7AF:
        return "cjk"
    signs = [(0x80, 0xBF), (0x2000, 0x2BFF), (0x3000, 0x303F), (0xFF00, 0xFF0F), (0xE000, 0x10FFFF)]
    return "other" if any(low <= point <= high for low, high in signs) else "letter"


def reference_words(text: str) -> list[str]:
    """Runs of letters and digits; a CJK character ends one."""
    words, word = [], ""
    for c in text + " ":
        kind = kind_of(c)
        if kind in ("letter", "digit", "cjk"):
            word += c
        if word and kind not in ("letter", "digit"):
            words.append(word)
            word = ""
    return words


def fnv(parts: bytes | list[int]) -> int:
    value = 2166136261
    for part in parts:
        value = (value ^ part) * FNV & 0xFFFFFFFF
    return value


def lower(text: str) -> bytes:
    return text.encode().lower()  # ASCII only


def word_hashes(text: str) -> list[int]:
    return [fnv(lower(word)) for word in reference_words(text)]


def ends_sentence(text: str, i: int) -> bool:
    after = text[i + 1 :][:1]
    return kind_of(text[i]) == "end" and (text[i] > "\x7f" or not after or after <= '"' or after > "\x7f")


def without_digits(word: str) -> bytes:
    return b"".join(lower(c) for c in word if kind_of(c) != "digit") + b" "


PIECES = [
    "a",
    "Word",
    "the ",
    "12",
    "3.5",
    ". ",
    "! ",
    "?",
    "\u2026",
    ", ",
    ";",
    ":",
    " ",
    " ",
    " \u00bb",
    "|",
    "\u00e9t\u00e9 ",
]
PIECES += [
    "\u00c9",
    "\u65e5\u672c\u8a9e",
    "\u3002",
    "\uff0c",
    "\u0639\u0631\u0628\u064a\u060c ",
    "\u061f ",
    "\u0e44\u0e17\u0e22",
]
PIECES += ["\u00e9" * 40, "x" + "\u0436" * 70, "\u0421\u043b\u043e\u0432\u043e ", "\u0378.", "\u00a0", "\u0600"]
PIECES += ["Longer", "x9" * 33, "Word, word. " * 6]  # 64 bytes are measured at a time
PIECES += ["\ud55c\uad6d ", "\U0001f600", "\u2019", "\u0915\u0964", "(", "-", "Title ", "\u3042a"]
TEXT = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)


@settings(deadline=None, max_examples=400, derandomize=True)  # the first example compiles
@given(texts=st.lists(TEXT, max_size=4), title=TEXT)
def test_measures_of_blocks(texts: list[str], title: str) -> None:
    page = f"<title>{title}</title>" + "".join(f"<p>{text}</p>" for text in texts)
    _, blocks, texts = cut(page)
    in_title = word_hashes(title)
    known = {h & 1023 for h in in_title}
    for b, text in enumerate(texts):
        words, hashes = reference_words(text), word_hashes(text)
        found = dict(zip(NAMES, blocks.own[b].tolist(), strict=True))
        kinds = [kind_of(c) for c in text]
        shared = sum(h & 1023 in known for h in hashes)
        assert found["words"] == len(words)
        assert found["chars"] == len(kinds) - kinds.count("space")
        assert (found["digits"], found["commas"]) == (kinds.count("digit"), kinds.count("comma"))
        assert found["ends"] == sum(ends_sentence(text, i) for i in range(len(text)))
        assert found["capitals"] == sum("A" <= word[0] <= "Z" for word in words)
        assert found["known"] == shared
        assert found["title"] == pytest.approx(shared / len(in_title) if in_title else 0)
        assert blocks.word[blocks.word_start[b] : blocks.word_start[b + 1]].tolist() == hashes
        whole = fnv(b"".join(map(without_digits, words)))
        assert blocks.text_hash[b] == (whole if len(words) <= features.SHORT_WORDS else 0)
        assert blocks.start_hash[b] == fnv(hashes[:2])
        assert blocks.size[b] == len(text.encode())


def test_words_of_scripts_without_spaces() -> None:
    texts = ["\u65e5\u672c\u8a9e", "\u4e2d a b1 \u56fd\u3002", "\u0e44\u0e17\u0e22\u0e44", "x1\u65e5"]
    _, blocks, _ = cut("".join(f"<p>{text}" for text in texts))
    assert blocks.own[:, 0].tolist() == [3, 4, 1, 1]


# The page around them


def column(x: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    return x[:, features.ALL.index(name)]


def all_features(page: bytes, lexicon: Lexicon, p: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    markup = read_markup(page)
    blocks = measure(markup, page)
    x = features.matrix(len(markup.block_start))
    features.fill_structure(markup, blocks, x)
    features.fill_lexicon(markup, blocks, lexicon, x)
    probabilities = np.linspace(0, 1, len(x), dtype=np.float32) if p is None else p
    features.fill_context(markup, blocks, probabilities, x)
    return x


def table_of(entries: dict[int, float]) -> Table:
    return Table.build(np.array(list(entries), np.uint32), np.array(list(entries.values()), np.float32))


NOTHING = Lexicon(table_of({}), table_of({}), table_of({}))
IS_BLOCK = set("body div p ul li table tr td h1 h2 article section nav main".split())
SENTENCE = "This is a sentence of a dozen words, or some more, as one sees. "


@st.composite
def pages(draw: st.DrawFn) -> str:
    """Nested elements with and without classes around links, short texts and long ones."""

    def inside(depth: int) -> str:
        parts = []
        for _ in range(draw(st.integers(1, 4))):
            kind = draw(st.integers(0, 5 if depth < 5 else 3))
            if kind < 2:
                parts.append(draw(st.sampled_from([SENTENCE, SENTENCE * 3, "few words ", "Title here ", "<br><br>"])))
            elif kind == 2:
                parts.append(f"<a href=x>{draw(st.sampled_from(['link ', SENTENCE, 'two links ']))}</a>")
            elif kind == 3:
                parts.append(f"<h1>{draw(st.sampled_from(['Title here', 'Heading']))}</h1>")
            else:
                tag = draw(st.sampled_from(["div", "p", "ul", "li", "section", "span", "article", "nav", "td", "b"]))
                name = draw(st.sampled_from(["", " class=main", " class='side bar'", " id=comments"]))
                parts.append(f"<{tag}{name}>{inside(depth + 1)}</{tag}>")
        return "".join(parts)

    return f"<title>Title here</title><body>{inside(0)}"


class Brute:
    """Features of one page by the words of their definitions."""

    def __init__(self, page: str) -> None:
        self.markup, self.blocks, self.texts = cut(page)
        self.n = len(self.texts)
        self.words = self.blocks.own[:, 0].tolist()
        self.size = [len(text.encode()) for text in self.texts]
        self.linked = self.markup.block_link.tolist()
        self.element = self.markup.block_element.tolist()
        own = self.blocks.own
        self.good = [
            self.words[b]
            if self.words[b] >= 12 and self.linked[b] / self.size[b] < 0.35 and (own[b, 4] >= 1 or own[b, 3] >= 2)
            else 0
            for b in range(self.n)
        ]

    def up(self, b: int) -> list[int]:
        """The elements around a block, innermost first."""
        around, e = [], self.element[b]
        while e >= 0:
            around.append(e)
            e = int(self.markup.parent[e])
        return around

    def up_blocks(self, b: int) -> list[int]:
        return [e for e in self.up(b) if TAGS[self.markup.tag[e]] in IS_BLOCK]

    def within(self, e: int) -> range:
        return range(self.markup.first_block[e], self.markup.end_block[e])

    def shape(self, b: int) -> list[int]:
        return self.markup.shape[self.up(b)[:3]].tolist()

    def same(self, b: int) -> list[int]:
        return [c for c in range(self.n) if self.shape(c) == self.shape(b)]

    def group(self, which: Any) -> dict[str, float]:
        which = list(which)
        words, good = sum(self.words[b] for b in which), sum(self.good[b] for b in which)
        size = sum(self.size[b] for b in which)
        return {
            "words": words, "good": good,
            "good_share": good / max(sum(self.good), 1), "good_frac": good / max(words, 1),
            "link_frac": sum(self.linked[b] for b in which) / max(size, 1), "share": words / max(sum(self.words), 1),
            "mean": words / max(len(which), 1),
        }  # fmt: skip


@settings(deadline=None, max_examples=150, derandomize=True)
@given(page=pages())
def test_structure(page: str) -> None:
    x, brute = all_features(page.encode(), NOTHING), Brute(page)
    n, everything = brute.n, brute.group(range(brute.n))
    for b in range(n):
        expected: dict[str, float] = {
            "words": brute.words[b], "link_frac": brute.linked[b] / brute.size[b], "place": b / n, "page_blocks": n,
            "depth": len(brute.up(b)), "page_words": everything["words"], "page_good": everything["good"],
            "page_link_frac": everything["link_frac"], "page_good_frac": everything["good_frac"],
            "good_before": sum(brute.good[:b]) / max(sum(brute.good), 1),
            "prev1_words": brute.words[b - 1] if b else -1, "next2_words": brute.words[b + 2] if b + 2 < n else -1,
            "prev2_words": brute.words[b - 2] if b > 1 else -1, "next1_words": brute.words[b + 1] if b + 1 < n else -1,
            "chars": brute.blocks.own[b, 1], "last": brute.blocks.own[b, 7],
        }  # fmt: skip
        levels = brute.up_blocks(b)
        for k in range(1, 6):
            group = brute.group(brute.within(levels[k - 1]) if k <= len(levels) else range(n))
            names = ("good_share", "good_frac", "link_frac", "words")
            expected |= {f"up{k}_{name}": group[name] for name in names}
            if k > len(levels):
                expected[f"up{k}_good_share"] = 1
        for width in (2, 5):
            near = brute.group(range(max(b - width, 0), min(b + width + 1, n)))
            expected[f"near{width}_good"] = near["good"] - brute.good[b]
            expected[f"near{width}_link_frac"] = near["link_frac"]
        same = brute.group(brute.same(b))
        expected |= {"same_words": same["mean"], "same_link_frac": same["link_frac"], "same_share": same["share"]}
        tags = [TAGS[brute.markup.tag[e]] for e in brute.up(b)]
        for name in ("article", "nav", "section", "li", "td"):
            expected[f"to_{name}"] = tags.index(name) if name in tags else 40
        expected["lists"] = tags.count("ul")
        good = [c for c in range(n) if brute.good[c]]
        if good:
            expected["to_first_good"], expected["to_last_good"] = b - good[0], good[-1] - b
        headings = [c for c in range(b) if column(x, "heading")[c]]
        expected["to_heading"] = min(b - headings[-1] - 1 if headings else 50 + b, 50)
        found = {name: float(column(x, name)[b]) for name in expected}
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_the_container_of_the_good_text() -> None:
    article = f"<div class=text><p>{SENTENCE * 3}<p>{SENTENCE * 2}<p>few words<p>{SENTENCE}</div>"
    page = f"<body><div><ul><li>{SENTENCE}</ul></div><div>{article}</div><p>end</body>"
    x = all_features(page.encode(), NOTHING)
    assert column(x, "in_top").tolist() == [0, 1, 1, 1, 1, 0]
    assert column(x, "levels_to_top").tolist() == [40, 1, 1, 1, 1, 40]
    assert column(x, "levels_to_core").tolist() == [40, 1, 1, 1, 1, 40]
    assert column(x, "top_share")[0] == pytest.approx(6 / 7)


@pytest.mark.parametrize("n", [10, 46, 47, 48, 60])
def test_ancestors_are_looked_at_up_to_a_bound(n: int) -> None:
    hints = Lexicon(table_of({hint_hash("main"): 1.5}), NOTHING.words, NOTHING.texts)
    page = "<article><ul>" + "<span class=main>" * n + f"{SENTENCE}<p class=main>{SENTENCE}"
    x = all_features(page.encode(), hints)
    assert column(x, "depth").tolist() == [min(n + 2, 48), min(n + 3, 48)]
    assert column(x, "lists").tolist() == [n < 48, n + 1 < 48]
    assert column(x, "to_article").tolist() == [n + 1 if n < 47 else 40, n + 2 if n < 46 else 40]
    assert column(x, "hint_sum").tolist() == [1.5 * min(n, 48), 1.5 * min(n + 1, 48)]
    assert column(x, "block_tag").tolist() == [0, features._GROUPS[TAGS.index("p")]]
    assert column(x, "parent_blocks").tolist() == [2, 2]


def test_headings_and_the_title() -> None:
    page = "<title>A dozen words - Site</title><p>x<h1><a><b><i>A dozen words</i></b></a></h1><p>y<h3>z</h3><p>end"
    x = all_features(page.encode(), NOTHING)
    assert column(x, "heading").tolist() == [0, 1, 0, 3, 0]
    assert column(x, "to_title_heading").tolist() == [-1, 0, 1, 2, 3]
    assert column(x, "to_heading").tolist() == [50, 50, 0, 1, 0]
    assert column(x, "title_frac")[1] == 1
    assert column(x, "title_cover")[1] == 0.75


@settings(deadline=None, max_examples=100, derandomize=True)
@given(page=pages())
def test_learned_words(page: str) -> None:
    brute = Brute(page)
    hints = {hint_hash("main"): 1.5, hint_hash("side"): -2.0, hint_hash("comments"): -0.5}
    words = {fnv(b"sentence"): 1.0, fnv(b"few"): -1.5, fnv(b"link"): -0.25}
    texts = {fnv(b"few words "): -2.5, fnv([fnv(b"this"), fnv(b"is")]) ^ 1: 0.5}
    x = all_features(page.encode(), Lexicon(table_of(hints), table_of(words), table_of(texts)))
    markup = brute.markup
    odds = [
        sum(hints.get(int(h), 0) for h in markup.hint[markup.first_hint[e] : markup.first_hint[e + 1]])
        for e in range(len(markup.parent))
    ]
    of_words = [[words.get(h, 0) for h in word_hashes(text)] for text in brute.texts]
    means = [sum(values) / max(len(values), 1) for values in of_words]
    of_text = [-2.5 if reference_words(text) == ["few", "words"] else 0 for text in brute.texts]
    for b in range(brute.n):
        around = [odds[e] for e in brute.up(b)]
        above = [odds[e] for e in brute.up(b)[1:] if e in brute.up_blocks(b)]
        expected: dict[str, float] = {
            "hint_own": around[0], "hint_sum": sum(around), "hint_min": min([0, *around]),
            "hint_max": max([0, *around]), "word_mean": means[b], "word_sum": sum(of_words[b]),
            "word_min": min([0, *of_words[b]]), "word_prev": means[b - 1] if b else 0,
            "word_next": means[b + 1] if b + 1 < brute.n else 0, "text_odds": of_text[b],
            "text_next": of_text[b + 1] if b + 1 < brute.n else 0,
            "start_odds": 0.5 if brute.texts[b].startswith("This is") else 0,
        }  # fmt: skip
        expected |= {f"hint_up{k}": above[k - 1] if k <= len(above) else 0 for k in range(1, 5)}
        found = {name: float(column(x, name)[b]) for name in expected}
        assert found == pytest.approx(expected, abs=1e-5)


@settings(deadline=None, max_examples=100, derandomize=True)
@given(page=pages(), data=st.data())
def test_context(page: str, data: st.DataObject) -> None:
    brute = Brute(page)
    n = brute.n
    p = data.draw(st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), min_size=n, max_size=n))
    x = all_features(page.encode(), NOTHING, np.array(p, np.float32))

    def mean(which: Any) -> float:
        weights = [(brute.words[b] + 1, p[b]) for b in which]
        return sum(w * q for w, q in weights) / sum(w for w, _ in weights) if weights else 0

    mass = [q * (w + 1) for q, w in zip(p, brute.words, strict=True)]
    likely = [b for b in range(n) if p[b] > 0.5]
    for b in range(n):
        expected: dict[str, float] = {
            "p": p[b], "p_prev1": p[b - 1] if b else -1, "p_prev2": p[b - 2] if b > 1 else -1,
            "p_next1": p[b + 1] if b + 1 < n else -1, "p_next2": p[b + 2] if b + 2 < n else -1,
            "p_near5": mean(range(max(b - 5, 0), min(b + 6, n))), "p_same": mean(brute.same(b)),
            "p_page": mean(range(n)), "p_words": sum(mass),
            "since_likely": min([b - 1 - c for c in likely if c < b] + [50]),
            "until_likely": min([c - b - 1 for c in likely if c > b] + [50]),
        }  # fmt: skip
        levels = brute.up_blocks(b)
        for k in range(1, 5):
            known = k <= len(levels)
            within = brute.within(levels[k - 1]) if known else range(n)
            expected[f"p_up{k}"] = mean(within)
            expected[f"p_share{k}"] = sum(mass[c] for c in within) / sum(mass) if any(mass) else 0
            expected[f"p_share{k}"] = expected[f"p_share{k}"] if known else 1
        if likely:
            expected["from_first_likely"], expected["to_last_likely"] = b - likely[0], likely[-1] - b
        found = {name: float(column(x, name)[b]) for name in expected}
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_blocks_of_the_same_shape_are_found_in_bounded_time() -> None:
    """Keys that all fall into one slot: beyond a number of steps, a block counts as the only one of its shape."""
    n = 1000
    inverse = pow(0x9E3779B1, -1, 2**32) * pow(FNV, -1, 2**32)
    shapes = np.array([(k << 25) * inverse % 2**32 for k in range(128)] * 2, np.uint32)
    alone = np.full(n, -1, np.int32)
    assert features._same_shape(np.arange(256, dtype=np.int32), alone, shapes).tolist() == [*range(128)] * 2
    shapes = np.array([(k << 21) * inverse % 2**32 for k in range(n)], np.uint32)  # 2048 slots: the lowest bits count
    found = features._same_shape(np.arange(n, dtype=np.int32), alone, np.repeat(shapes[: n // 2], 2))
    assert (found <= np.arange(n)).all()
    assert set(found[:256].tolist()) == set(range(0, 256, 2))
    assert found[-2:].tolist() == [n - 2, n - 1]


@settings(deadline=None, max_examples=200, derandomize=True)
@given(entries=st.dictionaries(st.integers(0, 2**32 - 1) | st.integers(0, 5), st.integers(-28000, 28000), max_size=50))
def test_table(entries: dict[int, int]) -> None:
    table = table_of({key: steps / 4096 for key, steps in entries.items()})
    entries.pop(0, None)  # stands for an empty slot
    keys, values = table.entries()
    assert dict(zip(keys.tolist(), (values * 4096).tolist(), strict=True)) == entries
    for key in [*entries, 0, 1, 2**32 - 1, 12345]:
        assert features._odds(table.slots, np.uint32(key)) * 4096 == entries.get(key, 0)


MIXED = [
    "<p>x", "<br><br>", "<pre> </pre>", "***", "<p><a href=x>y</a>", "<table><tr><td>1<td>2", "<ul><li>a, b; c.",
    "<article><h2>Q: R</h2>", "<form><p>a | b >", "<main><nav><header><aside><footer>z\u00bb", "<figure>\u65e5\u672c",
    "<section class='entry content'>",
    "</div>", "<div class=comments>", SENTENCE, "<p>" + SENTENCE, "<h1>Title here</h1>", "<b>c<br>d</b>", "12 Jan 2020",
]  # fmt: skip


@settings(deadline=None, max_examples=300, derandomize=True)
@given(page=st.lists(st.sampled_from(MIXED), max_size=30).map("".join) | st.binary(max_size=50).map(repr))
def test_features_and_probabilities_are_finite(page: str) -> None:
    x = all_features(f"<title>Title here</title>{page}".encode(), default_model().lexicon)
    assert np.isfinite(x).all()
    markup, blocks, _ = cut(page)
    p = default_model().judge(markup, blocks)
    assert ((p >= 0) & (p <= 1)).all()


def test_every_column_is_written() -> None:
    """Over pages of many kinds, no feature is always the same."""
    rng = np.random.default_rng(1)
    drawn = ["<title>Title here</title><body>" + "".join(rng.choice(MIXED, 25)) for _ in range(60)]
    drawn += [f"<p>{SENTENCE}" * k + "<div class=comments><p>few" * k for k in range(1, 8)]
    x = np.concatenate([all_features(page.encode(), default_model().lexicon) for page in drawn])
    constant = [name for name, values in zip(features.ALL, x.T, strict=True) if (values == values[0]).all()]
    assert constant == []
    assert len(set(features.ALL)) == len(features.ALL) == x.shape[1]


# Forests


def dump_of(trees: list[Any]) -> dict[str, Any]:
    return {"tree_info": [{"tree_structure": tree} for tree in trees]}


def walk(node: Any, row: NDArray[np.float32]) -> float:
    while "leaf_value" not in node:
        node = node["left_child" if float(row[node["split_feature"]]) <= node["threshold"] else "right_child"]
    return node["leaf_value"]


# Between two floats of 32 bits, on one, beyond all
THRESHOLDS = [0.1, 0.5, 1 / 3, -1e-50, 1e-50, 16777217.0, -0.1, 1e300, -1e300, 0.0]
LEAVES = st.sampled_from([-1.5, 0.25, 2.0, -0.125]).map(lambda value: {"leaf_value": value})
NODES = LEAVES
for _ in range(DEPTH):
    NODES = LEAVES | st.builds(
        lambda feature, threshold, left, right: {
            "split_feature": feature, "threshold": threshold, "decision_type": "<=", "left_child": left,
            "right_child": right,
        },
        st.integers(0, 18), st.sampled_from(THRESHOLDS), NODES, NODES,
    )  # fmt: skip
VALUES = [np.nextafter(np.float32(t), np.float32(up)) for t in THRESHOLDS if abs(t) < 1e30 for up in (-1e30, 1e30)]
VALUES += [np.float32(t) for t in THRESHOLDS if abs(t) < 1e30]


@settings(deadline=None, max_examples=200, derandomize=True)
@given(trees=st.lists(NODES, max_size=4), seed=st.integers(0, 1000))
def test_trees_against_a_walk(trees: list[Any], seed: int) -> None:
    x = np.random.default_rng(seed).choice(
        np.array(VALUES, np.float32), (seed % 50, 19)
    )  # sixteen rows, eight columns at a time
    found = Trees.from_lightgbm(dump_of(trees)).predict(x)
    sums = np.array([sum(walk(tree, row) for tree in trees) for row in x])
    assert found == pytest.approx(1 / (1 + np.exp(-sums)), rel=1e-6)


def test_many_rows_and_none() -> None:
    tree = {"split_feature": 0, "threshold": 0.5, "decision_type": "<="}
    trees = Trees.from_lightgbm(
        dump_of([tree | {"left_child": {"leaf_value": -200}, "right_child": {"leaf_value": 9}}])
    )
    x = np.random.default_rng(0).random((5000, 1), np.float32)
    assert ((trees.predict(x) > 0.5) == (x[:, 0] > 0.5)).all()
    assert trees.predict(x[:0]).shape == (0,)


def test_other_trees_are_refused() -> None:
    leaf = {"leaf_value": 1.0}
    node: Any = leaf
    for _ in range(DEPTH + 1):
        node = {"split_feature": 0, "threshold": 0.0, "decision_type": "<=", "left_child": node, "right_child": leaf}
    with pytest.raises(ValueError, match="deeper"):
        Trees.from_lightgbm(dump_of([node]))
    with pytest.raises(ValueError, match="'=='"):
        Trees.from_lightgbm(dump_of([node["left_child"] | {"decision_type": "=="}]))
    with pytest.raises(ValueError, match="another depth"):
        Trees(np.zeros((1, 3), np.int32), np.zeros((1, 3), np.float32), np.zeros((1, 4), np.float32))


# Which blocks, and their text

CHOICES = st.lists(
    st.tuples(st.sampled_from([0.0, 0.125, 0.25, 0.5, 0.5, 0.75, 1.0]), st.integers(1, 20)), max_size=9
)  # fmt: skip


def expected_f1(p: NDArray, words: NDArray, keep: NDArray) -> float:
    return 2 * float((p * words)[keep].sum()) / max(float(words[keep].sum() + (p * words).sum()), 1e-9)


@settings(deadline=None, max_examples=300, derandomize=True)
@given(blocks=CHOICES)
def test_no_other_choice_is_better(blocks: list[tuple[float, int]]) -> None:
    p = np.array([q for q, _ in blocks], np.float32)
    words = np.array([w for _, w in blocks], np.float32)
    keep = choose(p, words)
    every = ([bool(bits >> b & 1) for b in range(len(p))] for bits in range(2 ** len(p)))
    best = max(expected_f1(p, words, np.array(subset, np.bool_)) for subset in every)
    assert expected_f1(p, words, keep) == pytest.approx(best, abs=1e-6)
    assert all(keep[a] == keep[b] for a in range(len(p)) for b in range(len(p)) if p[a] == p[b])  # ties


def test_choices_among_many() -> None:
    """The likeliest prefix, by a sort of numpy's."""
    rng = np.random.default_rng(0)
    for n in (1, 100, 3000):
        p = (rng.random(n) ** rng.integers(1, 9)).astype(np.float32)
        p[rng.random(n) < 0.2] = 0.5
        words = rng.integers(0, 50, n).astype(np.float32)
        order, mass = np.argsort(-p, kind="stable"), (p * words).astype(np.float64)
        f1 = 2 * np.cumsum(mass[order]) / np.maximum(np.cumsum(words[order], dtype=np.float64) + mass.sum(), 1)
        assert choose(p, words).tolist() == (p >= f1.max() / 2).tolist()


def test_choices_at_the_edge() -> None:
    def chosen(p: list[float], words: list[int]) -> list[bool]:
        return choose(np.array(p, np.float32), np.array(words, np.float32)).tolist()

    assert chosen([], []) == []
    assert chosen([0, 0], [5, 5]) == [False, False]
    assert chosen([0.9, 0.2], [0, 0]) == [False, False]  # no words, no content
    assert chosen([1, 1, 0.9], [5, 0, 1]) == [True] * 3
    assert chosen([0.1], [5]) == [True]  # all there is


def whole(page: str) -> str:
    markup = read_markup(page.encode())
    return compose(markup, np.ones(len(markup.block_start), np.bool_)).decode()


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<h1>a</h1><p>b<br>c<p>d", "a\n\nb\nc\n\nd"),
        ("<p>a<ul><li>b<li>c</ul>d", "a\n\n- b\n- c\n\nd"),
        ("<ol><li>a<ul><li>b<ul><li>c</ul></ul><li>d</ol>", "- a\n  - b\n    - c\n- d"),
        ("<ul><li>a<p>b<li>c</ul>", "- a\nb\n- c"),
        ("<li>a<li>b", "- a\n- b"),
        ("<ul>" * 60 + "<li>a", " " * 30 + "- a"),
        ("<table><tr><th>a<th>b<tr><td>1<td>2</table>c", "a | b\n1 | 2\n\nc"),
        ("<table><tr><td>a<p>b<td>c<tr><td>d<td>e</table>", "a\n\nb\n\nc\nd | e"),
        ("<table><tr><td>a</table><table><tr><td>b</table>", "a\n\nb"),
        ("<ul><li><table><tr><td>a<td>b</table></ul>", "a | b"),
        ("<table><tr><td><ul><li>a<li>b</ul></table>", "- a\n- b"),
        ("<dl><dt>a<dd>b<dt>c<dd>d</dl>e", "a\nb\nc\nd\n\ne"),
        ("a<pre>  x\n\n    y\n</pre>b", "a\n\n  x\n\n    y\n\nb"),
        ("<blockquote>a</blockquote>\u65e5\u672c", "a\n\n\u65e5\u672c"),
        ("", ""),
    ],
)
def test_text_of_blocks(page: str, text: str) -> None:
    assert whole(page) == text


def test_only_what_is_kept() -> None:
    markup = read_markup(b"<ul><li>a<li>b<li>c</ul><table><tr><td>d<td>e<td>f</table>")
    assert compose(markup, np.array([1, 0, 1, 1, 0, 1], np.bool_)) == b"- a\n- c\n\nd | f"
    assert compose(markup, np.zeros(6, np.bool_)) == b""


def test_which_blocks_are_comments() -> None:
    page = "<body class=has-comments><div id=text>a<img class=comment-icon>b</div>"
    page += "<ol class='CommentList big'><li>c<li id=x>d</ol><div>e<div class=disqus>f"
    markup = read_markup(page.encode())
    kept = np.array([50, 0, 0, 0, 0], np.float32)
    assert within(markup, kept, COMMENTS).tolist() == [False, True, True, False, True]
    assert not within(markup, kept, BOXES).any()
    captioned = read_markup(b"<figure>a<figcaption>b</figcaption></figure><p class=newsletter>c<p>d")
    assert within(captioned, np.array([9, 3, 3, 9], np.float32), BOXES).tolist() == [False, True, True, False]
    kept = np.array([5, 30, 0, 0, 0], np.float32)  # a forum
    assert within(markup, kept, COMMENTS).tolist() == [False, False, False, False, True]


# Whole pages

NAV = "<nav class='main-menu'><ul>" + "".join(f"<li><a href=/{k}>{k}</a></li>" for k in range(12)) + "</ul></nav>"
CHROME = {
    "en": [
        "Home",
        "Related articles",
        "We use cookies to improve your experience. Accept all",
        "All rights reserved",
    ],
    "de": [
        "Startseite",
        "Mehr zum Thema",
        "Wir verwenden Cookies, um Ihr Erlebnis zu verbessern. Alle akzeptieren",
        "Alle Rechte vorbehalten",
    ],
    "ja": [
        "ホーム",
        "関連記事",
        "当サイトはクッキーを使用します",
        "無断転載禁止",
    ],
}
PROSE = {
    "en": [
        "The old mill on the river had been silent for forty years when the new owners opened its doors again, "
        "and half the village came to see the wheel turn. Nobody had expected that the wooden shafts would still "
        "carry the load.",
        "Restoring it took three winters, a great deal of oak, and the patience of a retired carpenter, who had "
        "learned the trade from his father. He says that the hardest part was to find millstones of the right "
        "size.",
        "Today the mill grinds two tons of rye a week, most of which goes to bakeries nearby. The owners hope "
        "that the numbers will grow, but they do not want to give up the slow pace of the water.",
    ],
    "de": [
        "Vierzig Jahre lang stand die alte Mühle am Fluss still, bis die neuen Besitzer ihre Türen wieder "
        "öffneten und das halbe Dorf kam, um das Rad laufen zu sehen. Niemand hatte erwartet, dass die hölzernen "
        "Wellen noch halten würden.",
        "Die Restaurierung dauerte drei Winter, brauchte viel Eichenholz und die Geduld eines pensionierten "
        "Zimmermanns, der das Handwerk von seinem Vater gelernt hatte. Am schwersten war es, passende Mühlsteine "
        "zu finden, sagt er.",
        "Heute mahlt die Mühle zwei Tonnen Roggen in der Woche, das meiste davon geht an Bäckereien in der Nähe. "
        "Die Besitzer hoffen auf mehr, wollen aber das langsame Tempo des Wassers nicht aufgeben.",
    ],
    "ja": [
        "川沿いの古い水車小屋は、四十年もの間静かに眠っていたが、新しい持ち主が扉を開くと、村の半分の人々が水"
        "車の回る様子を見に来た。木の軸がまだ耐えられるとは誰も思っていなかった。",
        "修復には三度の冬とたくさんの樫の木材、そして父から技を学んだ引退した大工の忍耐が必要だった。一番難し"
        "かったのは、ちょうどよい大きさの石臼を見つけることだったと彼は言う。",
        "今では週に二トンのライ麦を挽いており、そのほとんどが近くのパン屋へ届けられる。持ち主たちは量が増える"
        "ことを願っているが、水のゆっくりした流れを手放すつもりはない。",
    ],
}


def article(language: str) -> str:
    first, second, third = PROSE[language]
    home, related, cookies, rights = CHROME[language]
    related_links = "".join(f"<li><a href=/r{k}><h3>{related} {k}</h3></a></li>" for k in range(5))
    return f"""<!doctype html><html lang={language}><head><title>Mill 42 - The Site</title>
<script>var x = "<p>no";</script>
<style>p {{ margin: 0 }}</style></head><body class="single post">
<header class="site-header"><a href=/>{home}</a>{NAV}</header>
<div class="cookie-banner" role="dialog"><p>{cookies}</p><button>OK</button></div>
<main><article class="post"><h1 class="entry-title">Mill 42</h1><div class="entry-content">
<p>{first}</p><h2>Section 43</h2><p>{second}</p>
<pre><code>def wheel(speed):
    return 2 * speed  # turns</code></pre>
<p>{third}</p><ul><li>{first}</li><li>{second}</li></ul>
<table><tr><th>Year 44</th><th>Tons 45</th></tr><tr><td>1999</td><td>104.5</td></tr></table>
<p>{third}</p></div></article>
<section id="comments" class="comments-area"><h2>2 Comments</h2><ol class="comment-list">
<li class="comment"><p>Ann wrote: what a fine story about water and wood, thank you!</p></li>
<li class="comment"><p>Bob wrote: my grandfather worked there for many years.</p></li></ol></section></main>
<aside class="sidebar"><h3>{related}</h3><ul class="related-posts">{related_links}</ul></aside>
<footer class="site-footer"><p>&copy; 2024 The Site. {rights}.</p><a href=/imprint>Imprint</a></footer></body></html>"""


@pytest.mark.parametrize("language", PROSE)
def test_an_article_and_nothing_else(language: str) -> None:
    first, second, third = PROSE[language]
    text = main_content(article(language).encode())
    code = "def wheel(speed):\n    return 2 * speed  # turns"
    table = "Year 44 | Tons 45\n1999 | 104.5"
    parts = [first, "Section 43", second, code, third, f"- {first}\n- {second}", table, third]
    assert text.removeprefix("Mill 42\n\n") == "\n\n".join(parts)
    assert html_to_text(article(language).encode(), charset="utf-8") == text
    assert main_content(article(language).encode()) == text


def test_comments_add_comments_and_nothing_else() -> None:
    page = article("en").encode()
    without, with_comments = main_content(page), main_content(page, comments=True)
    added = [line for line in with_comments.split("\n") if line and line not in without.split("\n")]
    assert added == [
        "- Ann wrote: what a fine story about water and wood, thank you!",
        "- Bob wrote: my grandfather worked there for many years.",
    ]
    assert [line for line in with_comments.split("\n") if line in without.split("\n") and line] == [
        line for line in without.split("\n") if line
    ]


@pytest.mark.parametrize(
    "page",
    [
        b"",
        b" \n",
        b"<html></html>",
        b"<script>a()</script>",
        b"<!-- x -->",
        b"<pre> \n </pre>",
        b"***",
        b"\xff\xfe\xff",
    ],
)
def test_pages_without_content(page: bytes) -> None:
    assert main_content(page).strip("\ufffd* \n") == ""
    assert main_content(page, comments=True).strip("\ufffd* \n") == ""


def test_a_page_without_body_and_a_long_one() -> None:
    paragraphs = "".join(f"<p>{text}" for text in PROSE["en"])
    assert main_content(paragraphs.encode()) == "\n\n".join(PROSE["en"])
    n = 8_000_000 // len(paragraphs)
    assert len(main_content((paragraphs * n).encode())) > 7_000_000


def test_a_page_cut_at_any_byte_has_a_text() -> None:
    page = article("ja").encode()
    for end in range(0, len(page), 7):
        assert isinstance(main_content(page[:end]), str)


@pytest.mark.parametrize("comments", [False, True])
@pytest.mark.parametrize("language", PROSE)
def test_the_kernel_does_what_its_parts_do(language: str, comments: bool) -> None:
    page = article(language).replace("<footer", f"<div id=comments><p>{PROSE[language][0]}</div><footer").encode()
    markup = read_markup(page)
    keep = select(default_model(), markup, measure(markup, page), comments)
    assert main_content(page, comments) == compose(markup, keep).decode()
    assert keep.any()
    assert not keep.all()


def test_the_second_forest_judges_what_the_first_leaves_open() -> None:
    page, model = article("en"), default_model()
    markup, blocks, _ = cut(page)
    x = all_features(page.encode(), model.lexicon)
    first = model.first.predict(x)
    second = model.second.predict(all_features(page.encode(), model.lexicon, first))
    assert 0 < (first > SURE).sum() < len(first)
    assert model.judge(markup, blocks).tolist() == np.where(first > SURE, second, first).tolist()


# The model's file


def test_a_model_is_saved_and_loaded(tmp_path: Path) -> None:
    model = default_model()
    model.save(tmp_path / "a.npz")
    model.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    loaded = Model.load(tmp_path / "a.npz")
    markup, blocks, _ = cut(article("de"))
    assert loaded.judge(markup, blocks).tolist() == model.judge(markup, blocks).tolist()
    assert (loaded.lexicon.words.slots == model.lexicon.words.slots).all()
    assert len(model_version()) == 8


def test_a_broken_model_is_a_fault_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = engine.MODEL.read_bytes()
    other, of_other_features, without = (tmp_path / name for name in ("trees.npz", "features.npz", "without.npz"))
    with np.load(engine.MODEL) as archive:
        arrays = dict(archive)
    np.savez(other, **(arrays | {"first.leaf": arrays["first.leaf"][:, ::2]}))
    np.savez(of_other_features, **(arrays | {"features": arrays["features"][::-1]}))
    np.savez(without, **{name: value for name, value in arrays.items() if name != "words.keys"})
    single = tmp_path / "single.npy"
    np.save(single, np.zeros(3))
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    files = [tmp_path / "missing.npz", tmp_path, other, of_other_features, without, single, tmp_path / "empty.zip"]
    for number, content in enumerate(
        [b"", b"text\nof\nlines", b"PK\x03\x04", good[: len(good) // 2], good[:5000] + bytes(99) + good[5099:]]
    ):
        files.append(tmp_path / f"{number}.npz")
        files[-1].write_bytes(content)
    for file in files:
        with pytest.raises(EnvironmentFault) as raised:
            Model.load(file)
        assert str(file) in str(raised.value)
        assert "\n" not in str(raised.value)
    monkeypatch.setattr(engine, "MODEL", tmp_path / "missing.npz")
    with pytest.raises(EnvironmentFault, match="install textmill anew"):
        model_version.__wrapped__()


# Real pages

needs_crawl = pytest.mark.skipif(not (SHARED / "crawl").is_dir(), reason="no ../shared/data/crawl")


@needs_crawl
def test_real_pages_against_their_truth() -> None:
    """The first pages of the crawl; the model has seen them, so that this is no estimate of its quality."""
    with gzip.open(SHARED / "crawl" / "pages.truth.jsonl.gz", "rt", encoding="utf-8") as lines:
        truth = {row["url"]: row["text"] for row in map(json.loads, lines)}
    path = SHARED / "crawl" / "pages.warc.gz"
    counts = []
    with path.open("rb") as stream:
        for item in read_range(stream, 0, 12_000_000, path.stat().st_size, {"response"}):
            if isinstance(item, Record) and item.url in truth:
                response = read_response(item.block)
                _, page = decode_html(response.body, response.charset)
                counts.append(page_counts(truth[item.url], main_content(page.encode(errors="replace"))))
    f1, precision, recall = summarise(counts)  # .943, .935, .952
    assert len(counts) > 400
    assert f1 > 0.93
    assert precision > 0.92
    assert recall > 0.94


@pytest.mark.skipif(not (SHARED / "malformed" / "html").is_dir(), reason="no ../shared/data/malformed/html")
def test_pages_that_broke_parsers() -> None:
    files = sorted((SHARED / "malformed" / "html").iterdir())
    for file in files:
        html_to_text(file.read_bytes())
        main_content(file.read_bytes(), comments=True)
    assert len(files) > 50
