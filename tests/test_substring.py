"""Repeated stretches: words with places, the external sort, and the search, each against plain Python."""

from __future__ import annotations

import itertools
import random
import tempfile
import tracemalloc
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_stage import run, tree

from textmill import storage
from textmill.dedup import external_sort, substring
from textmill.dedup.external_sort import ExternalSort
from textmill.dedup.normalize import UNSPACED_SCRIPTS
from textmill.dedup.repeats import KEEP
from textmill.dedup.substring import SPANS, Batch, Counts, Cut, SubstringSearch, TextBatch, TokenBatch, stretches_of
from textmill.dedup.word_spans import (
    NO_WINDOW,
    Stretches,
    cut_words,
    folded,
    merged,
    replace_stretches,
    window_hashes,
)
from textmill.errors import EnvironmentFault, UserError
from textmill.pipeline.stage import Result, Stage, Task, one_table
from textmill.pipeline.stages.repeats import CutRepeats, RepeatedLines, Substrings
from textmill.pipeline.stages.scores import DOCUMENTS

repeatable = settings(deadline=None, derandomize=True)  # no deadline: the first example compiles

any_text = st.text(max_size=60)
pieces = ["a", "é", "É", "e\u0301", "日本", "กำ", "한글", "12", "İ", "-", "\u200b", "\n", "😀", " ", "b c"]
texts = st.lists(any_text | st.lists(st.sampled_from(pieces)).map("".join), max_size=8)


def array(strings: Iterable[str]) -> pa.LargeStringArray:
    return pa.array(list(strings), pa.large_string())


# ---- words, in plain Python


class Word(NamedTuple):
    letters: tuple[str, ...]
    start: int
    end: int


def fold(letter: str) -> str:
    lower = letter.lower()[0]
    parts = unicodedata.normalize("NFD", lower)
    return parts[0] if all(unicodedata.category(part)[0] == "M" for part in parts[1:]) else lower


def reference_words(text: str) -> list[Word]:
    words: list[Word] = []
    letters: tuple[str, ...] = ()
    at = start = 0
    for character in [*text, " "]:
        category = unicodedata.category(character)
        is_word = category[0] in "LN"
        if is_word or character.isspace() or category[0] not in "MC":
            if letters and (not is_word or (category[0] == "L" and UNSPACED_SCRIPTS.match(character))):
                words.append(Word(letters, start, at))
                letters = ()
            if is_word:
                start = at if not letters else start
                letters = (*letters, fold(character))
        at += len(character.encode())
    return words


@repeatable
@given(texts)
def test_words_have_the_places_that_plain_python_finds(strings: list[str]) -> None:
    words = cut_words(array(["not part of it", *strings]).slice(1))
    hash_of: dict[tuple[str, ...], int] = {}
    for i, string in enumerate(strings):
        first, last = words.offsets[i : i + 2]
        expected = reference_words(string)
        found = list(zip(words.start[first:last].tolist(), words.end[first:last].tolist(), strict=True))
        assert found == [(word.start, word.end) for word in expected]
        for word, value in zip(expected, words.hashes[first:last].tolist(), strict=True):
            assert hash_of.setdefault(word.letters, value) == value
    assert len(set(hash_of.values())) == len(hash_of)


@repeatable
@given(any_text, any_text)
def test_folded_bytes_are_equal_if_and_only_if_the_words_are(a: str, b: str) -> None:
    def letters(text: str) -> list[tuple[str, ...]]:
        return [word.letters for word in reference_words(text)]

    assert folded(a.encode()) == folded(f"--{a.upper()} ".encode()) or letters(a) != letters(a.upper())
    assert (folded(a.encode()) == folded(b.encode())) == (letters(a) == letters(b))


def test_folded_keeps_words_apart() -> None:
    assert folded(b"ab c") != folded(b"a bc") != folded(b"abc")
    assert folded("日本".encode()) == folded("日 本".encode())


@pytest.mark.parametrize("data", [b"\xff", b"a\xf0", b"a\xe6\x97", b"\xc3", b"a \x80\x80 b\xf4\xbf\xbf\xbf"])
def test_bytes_that_are_no_utf8_give_words_within_the_buffer(data: bytes) -> None:
    offsets = np.array([0, len(data)], np.int64)
    text = pa.LargeStringArray.from_buffers(1, pa.py_buffer(offsets), pa.py_buffer(data))
    words = cut_words(text)
    assert (words.start < words.end).all() and (words.end <= len(data)).all()
    folded(data)


@repeatable
@given(st.lists(st.lists(st.integers(0, 3), max_size=12), max_size=5), st.integers(1, 5))
def test_windows_are_equal_if_and_only_if_their_words_are(documents: list[list[int]], n: int) -> None:
    offsets = np.cumsum([0, *map(len, documents)]).astype(np.int64)
    values = np.array([word for document in documents for word in document], np.uint64)
    windows = window_hashes((values + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15), offsets, n)
    seen: dict[tuple[int, ...], int] = {}
    for document, first in zip(documents, offsets.tolist(), strict=False):
        for i in range(len(document)):
            words = tuple(document[i : i + n])
            if len(words) < n:
                assert windows[first + i] == NO_WINDOW
            else:
                assert seen.setdefault(words, int(windows[first + i])) == windows[first + i] != NO_WINDOW
    assert len(set(seen.values())) == len(seen)


@repeatable
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9), st.integers(1, 4)), max_size=12))
def test_merged_stretches_hold_the_same_bytes_and_touch_no_other(stretches: list[tuple[int, int, int]]) -> None:
    columns = np.array(stretches, np.int64).reshape(-1, 3).T
    made = merged(columns[0], columns[1], columns[1] + columns[2])
    expected = {(row, at) for row, start, size in stretches for at in range(start, start + size)}
    found = [(row, at) for row, start, end in zip(*made, strict=True) for at in range(start, end)]
    assert sorted(found) == sorted(expected)
    for k in range(1, len(made.row)):
        assert made.row[k] > made.row[k - 1] or made.start[k] > made.end[k - 1]


def stretches(*of: tuple[int, int, int]) -> Stretches:
    return Stretches(*np.array(of, np.int64).reshape(-1, 3).T)


def test_stretches_are_replaced_or_cut_out_with_the_blanks_behind_them() -> None:
    text = array(["x", "Ein übler Satz. Mehr.", "", "weg"]).slice(1)
    cuts = stretches((0, 4, 15), (2, 0, 3))
    assert replace_stretches(text, cuts).to_pylist() == ["Ein . Mehr.", "", ""]
    assert replace_stretches(text, stretches((0, 4, 16))).to_pylist() == ["Ein Mehr.", "", "weg"]
    assert replace_stretches(text, cuts, "[…]").to_pylist() == ["Ein […]. Mehr.", "", "[…]"]
    assert replace_stretches(text, stretches()).to_pylist() == text.to_pylist()
    lines = array(["one\ntwo \nthree\n\nfour"])
    assert replace_stretches(lines, stretches((0, 4, 7))).to_pylist() == ["one\nthree\n\nfour"]
    assert replace_stretches(lines, stretches((0, 0, 14))).to_pylist() == ["\nfour"]
    assert replace_stretches(lines, stretches((0, 2, 3), (0, 5, 7))).to_pylist() == ["on\nt \nthree\n\nfour"]


# ---- the external sort


@repeatable
@given(st.lists(st.lists(st.integers(0, 5), max_size=40), max_size=12), st.integers(1, 40))
def test_the_sort_is_stable_and_loses_nothing(pieces: list[list[int]], capacity: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(external_sort, "LEAST_BLOCK_ROWS", 1)
        sort = ExternalSort(Path(folder), 2, 0)
        sort.capacity = max(capacity, 2)
        rows = [(key, number) for number, key in enumerate(key for piece in pieces for key in piece)]
        begin = 0
        for piece in pieces:
            sort.add(np.array(rows[begin : begin + len(piece)], np.uint64).reshape(-1, 2))
            begin += len(piece)
        blocks = list(sort.blocks())
        assert all(0 < len(block) <= sort.capacity for block in blocks)
        assert [tuple(row) for block in blocks for row in block.tolist()] == sorted(rows)
        assert not list(Path(folder).iterdir())


def test_a_run_that_was_cut_short_is_named(tmp_path: Path) -> None:
    sort = ExternalSort(tmp_path, 1, 0)
    sort.add(np.arange(5000, dtype=np.uint64)[:, None])
    run = next(tmp_path.iterdir())
    run.write_bytes(run.read_bytes()[:-8])
    with pytest.raises(EnvironmentFault, match=run.name):
        list(sort.blocks())


# ---- the search, against a dictionary


def shard_of(texts: Sequence[str], first_id: int, batch_size: int) -> substring.Shard:
    def read() -> Iterator[Batch]:
        for i in range(0, len(texts), batch_size):
            some = texts[i : i + batch_size]
            yield TextBatch(np.arange(first_id + i, first_id + i + len(some), dtype=np.uint64), array(some))

    return read


def search(
    texts: Sequence[str], n_words: int, keep: str = "first", n_shards: int = 1, batch_size: int = 3, memory: int = 0
) -> tuple[list[dict[str, int]], Counts]:
    """The spans of documents with ids 0, 1, ..., in ``n_shards`` shards; memory 0 sorts in files wherever it can."""
    bounds = [len(texts) * i // n_shards for i in range(n_shards + 1)]
    shards = [shard_of(texts[a:b], a, batch_size) for a, b in itertools.pairwise(bounds)]
    with tempfile.TemporaryDirectory() as folder:
        found = SubstringSearch(shards, Path(folder), n_words, keep, memory)
        tables = [table for _, table in found.spans()]
        return pa.concat_tables([SPANS.empty_table(), *tables]).to_pylist(), found.counts


def brute_force(texts: Sequence[str], n_words: int, keep: str = "first") -> list[dict[str, int]]:
    """The definition in the module's docstring, word for word."""
    documents = [reference_words(text) for text in texts]
    places: dict[tuple, list[tuple[int, int]]] = defaultdict(list)
    for d, words in enumerate(documents):
        for i in range(len(words) - n_words + 1):
            places[tuple(word.letters for word in words[i : i + n_words])].append((d, i))
    matches = {}
    for equal in places.values():
        matches |= dict(zip(equal[1:], equal, strict=False))
        if keep == "none" and len(equal) > 1:
            matches[equal[0]] = equal[1]
    spans: list[list[tuple[int, int]]] = []  # [place, match] of the first window, and [windows, 0]
    for place, match in sorted(matches.items()):
        if spans:
            (d, i), (e, j), (n, _) = spans[-1]
            if (d, i + n) == place and (e, j + n) == match:
                spans[-1][2] = n + 1, 0
                continue
        spans.append([place, match, (1, 0)])
    rows = []
    for (d, i), (e, j), (n, _) in spans:
        own, other = documents[d][i : i + n + n_words - 1], documents[e][j : j + n + n_words - 1]
        assert [word.letters for word in own] == [word.letters for word in other]
        values = [d, own[0].start, own[-1].end, len(own), e, other[0].start, other[-1].end]
        rows.append(dict(zip(SPANS.names, values, strict=True)))
    return rows


wordy = st.lists(st.sampled_from(["a", "b", "É", "c.", "\n"]), max_size=14).map(" ".join)
corpora = st.lists(wordy | any_text, max_size=7)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(corpora, st.integers(2, 6), st.sampled_from(KEEP), st.integers(1, 4), st.integers(1, 4))
def test_the_search_finds_what_brute_force_finds(
    texts: list[str], n_words: int, keep: str, n_shards: int, batch_size: int
) -> None:
    spans, counts = search(texts, n_words, keep, n_shards, batch_size)
    assert spans == brute_force(texts, n_words, keep)
    assert counts.n_documents == len(texts) and counts.n_words == sum(len(reference_words(text)) for text in texts)
    assert counts.n_spans == len(spans) and counts.n_refused == 0


def shuffled_pages(n: int, seed: int) -> list[str]:
    """Pages of random words, some of which quote each other."""
    draw = random.Random(seed)
    pages: list[str] = []
    for _ in range(n):
        words = [f"w{draw.randrange(5000)}" for _ in range(draw.randrange(400))]
        if pages and draw.random() < 0.5:
            quoted = draw.choice(pages).split()
            begin, size = draw.randrange(len(quoted) + 1), draw.randrange(120)
            words[draw.randrange(len(words) + 1) :] = quoted[begin : begin + size]
        pages.append(" ".join(words))
    return pages


def test_quotes_in_larger_pages_through_files() -> None:
    pages = shuffled_pages(400, seed=1)
    spans, counts = search(pages, 50, n_shards=5, batch_size=17)
    assert spans == brute_force(pages, 50)
    assert len(spans) > 30
    assert counts.n_words > 2 * external_sort.LEAST_BLOCK_ROWS * 10  # so runs were written and merged
    assert counts.n_samples < 0.1 * counts.n_words
    assert counts.n_candidates < 0.1 * counts.n_words


def test_every_span_stands_word_for_word_at_its_match() -> None:
    pages = shuffled_pages(100, seed=2)
    for keep in KEEP:
        spans, _ = search(pages, 20, keep)
        for span in spans:
            own = pages[span["doc_id"]].encode()[span["start_bytes"] : span["end_bytes"]]
            match = pages[span["match_doc_id"]].encode()[span["match_start_bytes"] : span["match_end_bytes"]]
            assert own.split() == match.split() and len(own.split()) == span["n_words"] >= 20
            place = span["match_doc_id"], span["match_start_bytes"]
            assert place < (span["doc_id"], span["start_bytes"]) or keep == "none"


@pytest.mark.parametrize("texts", [[], [""], ["one document, and nothing twice"], ["too short"] * 3, ["", " ", "\n"]])
def test_nothing_to_find(texts: list[str]) -> None:
    for keep in KEEP:
        assert search(texts, 5, keep)[0] == []


def test_equal_documents_are_copies_of_the_one_before() -> None:
    text = "six words are enough for this"
    spans, _ = search([text] * 4, 5, n_shards=2)
    assert [(span["doc_id"], span["match_doc_id"], span["n_words"]) for span in spans] == [
        (1, 0, 6),
        (2, 1, 6),
        (3, 2, 6),
    ]
    spans, _ = search([text] * 4, 5, "none")
    assert [(span["doc_id"], span["match_doc_id"]) for span in spans] == [(0, 1), (1, 0), (2, 1), (3, 2)]


def test_a_million_equal_words_are_one_copy_of_themselves() -> None:
    spans, counts = search(["word " * 1_000_000, "two words " * 100_000], 50, memory=16 << 20)
    assert [(span["n_words"], span["start_bytes"]) for span in spans] == [(999_999, 5), (199_998, 10)]
    assert counts.n_candidates < 1_200_000


def test_memory_stays_within_what_was_asked_for() -> None:
    memory, pages = 8 << 20, ["word " * 20_000] * 60  # 1.2 million words, all samples and candidates: 19 MB of rows
    search(pages[:2], 50)  # compiles
    tracemalloc.start()
    search(pages, 50, batch_size=1, memory=memory)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < memory + 30 * len(pages[0])


def test_words_that_only_collide_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["a b c d e", "v w x y z"]
    before = TextBatch.__init__

    def blind(self: TextBatch, doc_ids: np.ndarray, text: pa.LargeStringArray) -> None:
        before(self, doc_ids, text)
        self.hashes = np.tile(np.arange(5, dtype=np.uint64), len(text))  # all documents look equal

    monkeypatch.setattr(TextBatch, "__init__", blind)
    spans, counts = search(texts, 5)
    assert spans == [] and counts.n_refused == 1


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
def test_tokens_have_places_in_tokens(dtype: type) -> None:
    tokens = np.array([9, 1, 2, 3, 4, 7, 1, 2, 3, 4, 8, 65_535, 2, 3, 4, 7], dtype)
    batch = TokenBatch(np.array([10, 11, 12], np.uint64), np.array([0, 5, 11, 16]), tokens)
    with tempfile.TemporaryDirectory() as folder:
        ((shard, table),) = SubstringSearch([lambda: [batch]], Path(folder), 3).spans()
    assert shard == 0
    assert [tuple(row.values()) for row in table.to_pylist()] == [(11, 1, 5, 4, 10, 1, 5), (12, 1, 4, 3, 11, 2, 5)]


def test_wrong_parameters_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least 2"):
        SubstringSearch([], tmp_path, 1)
    with pytest.raises(UserError, match="valid names: first, none"):
        SubstringSearch([], tmp_path, 5, "best")
    with pytest.raises(UserError, match="unknown policy"):
        Cut("erase")
    with pytest.raises(UserError, match="replacement"):
        Cut("mask")


# ---- what is done about them


def test_policies() -> None:
    texts = [
        "one two three four five",
        "Then: one, two, three, four, five! Six seven.",
        "one two three four five seven",
    ]
    spans, _ = search(texts, 5)
    table = pa.Table.from_pylist(spans, SPANS)
    ids = np.arange(3, dtype=np.uint64)
    cuts = stretches_of(table, ids)
    assert cuts.row.tolist() == [1, 2]

    rest, too_short = Cut(least_words=2).apply(array(texts), cuts)
    assert rest.to_pylist() == [texts[0], "Then: ! Six seven.", "seven"]
    assert too_short.tolist() == [False, False, True]
    assert Cut(least_words=9).apply(array(texts), cuts)[1].tolist() == [False, True, True]  # the first lost nothing
    assert Cut("mask", "<copy>").apply(array(texts), cuts)[0].to_pylist()[1] == "Then: <copy>! Six seven."
    assert Cut("report").apply(array(texts), cuts)[0].to_pylist() == texts
    assert len(stretches_of(table, np.array([7], np.uint64)).row) == 0
    assert len(stretches_of(table, np.array([], np.uint64)).row) == 0


# ---- the stages


@dataclass(frozen=True)
class Given(Stage):
    """Documents of these texts, a tuple a shard; row groups of two."""

    table = "documents"
    texts: tuple[tuple[str, ...], ...]

    def shards(self) -> list[str]:
        return [f"{i:05d}" for i in range(len(self.texts))]

    def run_shard(self, task: Task) -> Result:
        shard = int(task.shard)
        texts = self.texts[shard]
        with storage.TableWriter(task.table(), DOCUMENTS) as writer:
            for i in range(0, len(texts), 2):
                rows = [self._row(shard, i + k, text) for k, text in enumerate(texts[i : i + 2])]
                writer.write(pa.Table.from_pylist(rows, DOCUMENTS))
        return one_table(writer, {"rows_out": writer.rows})

    def _row(self, shard: int, number: int, text: str) -> dict[str, object]:
        blank = {pa.string(): "", pa.bool_(): False}
        row: dict[str, object] = {field.name: blank.get(field.type, 0) for field in DOCUMENTS}
        return row | {"doc_id": shard << 32 | number, "text": text}


def test_stages_find_and_cut(tmp_path: Path) -> None:
    pages = shuffled_pages(60, seed=3)
    documents = Given((tuple(pages[:25]), (), tuple(pages[25:])))
    found = Substrings(documents, n_words=20)
    target = CutRepeats(documents, found, Cut(least_words=100))
    run(tmp_path / "a", target)
    folder = f"{tmp_path}/a/{found.folder}"
    tables = [storage.read_table(f"{folder}/{shard}.parquet") for shard in documents.shards()]
    spans = [row for table in tables for row in table.to_pylist()]
    ids = [*range(25), *(2 << 32 | i for i in range(35))]
    expected = brute_force(pages, 20)
    assert spans == [row | {name: ids[row[name]] for name in ("doc_id", "match_doc_id")} for row in expected]

    uris = [f"{tmp_path}/a/{target.folder}/{shard}.parquet" for shard in target.shards()]
    after = {row["doc_id"]: row["text"] for uri in uris for row in storage.read_table(uri).to_pylist()}
    counts = storage.read_json(f"{tmp_path}/a/{target.folder}/_SUCCESS")
    copied = {ids[row["doc_id"]] for row in expected}
    gone = set(ids) - set(after)
    assert gone and gone < copied and counts["removed_repeated"] == len(gone)
    assert counts["n_cut"] == len(copied - gone) and counts["rows_out"] == len(after)
    kept = [after[i] for i in ids if i in after]
    for i, text in zip(ids, pages, strict=True):
        assert i not in after or (after[i] == text) == (i not in copied)
    assert brute_force(kept, 20) == []

    run(tmp_path / "b", CutRepeats(documents, replace(found, memory_mb=0), Cut(least_words=100)))
    both = [{name: data for name, data in tree(tmp_path / run).items() if name.endswith(".parquet")} for run in "ab"]
    assert both[0] == both[1]


def test_a_stage_with_wrong_parameters_is_refused_before_it_runs() -> None:
    with pytest.raises(UserError, match="at least 2"):
        Substrings(Given(()), n_words=0)
    with pytest.raises(UserError, match="did you mean 'first'"):
        Substrings(Given(()), keep="frist")


@pytest.mark.parametrize("keep", ["first", "none"])
def test_more_copies_than_fit_in_memory_are_the_same_spans(tmp_path: Path, keep: str) -> None:
    same = "one two three four five six seven eight nine ten eleven twelve"
    texts = pa.array([f"a{i} b{i} {same} c{i}" for i in range(3000)], pa.large_string())

    def shard() -> Iterator[TextBatch]:
        for first in range(0, len(texts), 500):
            yield TextBatch(np.arange(first, first + 500, dtype=np.uint64), texts.slice(first, 500))

    found = []
    for memory_bytes in (1 << 26, 1 << 10):
        search = SubstringSearch([shard], tmp_path, 8, keep, memory_bytes)
        found.append(pa.concat_tables([table for _, table in search.spans()]))
    assert found[1].equals(found[0])
    assert len(found[0]) == 3000 - (keep == "first")


# ---- repeated lines


def without_repeated_lines(texts: Sequence[str], keep: str, min_chars: int) -> list[str | None]:
    """In plain Python; None for a text of which nothing is left."""
    counted = Counter(line for text in texts for line in text.split("\n"))
    seen: set[str] = set()
    edited: list[str | None] = []
    for text in texts:
        left = []
        for line in text.split("\n"):
            repeated = counted[line] > 1 and len(line) >= min_chars and bool(line.strip())
            if not repeated or (keep == "first" and line not in seen):
                left.append(line)
            seen.add(line)
        rest = "\n".join(left)
        edited.append(text if rest == text else rest.strip("\n") if rest.split() else None)
    return edited


LINES = (
    ("home\nA story of its own.\nhome\nbye", "home\n\nAnother one\nbye\n"),
    (),
    ("home\nbye", "é日\nlast\nhome", "", " \n \n", "line", "é日\nonly here é日", "ab\nx", "ab\ny"),
)


@pytest.mark.parametrize("keep", ["none", "first"])
@pytest.mark.parametrize("min_chars", [1, 3])
def test_repeated_lines_are_cut_as_plain_python_does(tmp_path: Path, keep: str, min_chars: int) -> None:
    documents = Given(LINES)
    found = RepeatedLines(documents, keep, min_chars)
    target = CutRepeats(documents, found, Cut(least_words=1))
    run(tmp_path, target)
    expected = without_repeated_lines([text for shard in LINES for text in shard], keep, min_chars)
    ids = [i << 32 | k for i, shard in enumerate(LINES) for k in range(len(shard))]
    tables = [storage.read_table(f"{tmp_path}/{target.folder}/{shard}.parquet") for shard in target.shards()]
    left = {row["doc_id"]: row["text"] for table in tables for row in table.to_pylist()}
    assert left == {i: text for i, text in zip(ids, expected, strict=True) if text is not None}
    assert expected.count(None) == storage.read_json(f"{tmp_path}/{target.folder}/_SUCCESS")["removed_repeated"] > 0
    counts = storage.read_json(f"{tmp_path}/{found.folder}/_SUCCESS")
    assert counts["n_lines"] > counts["n_repeated"] > 0


def test_repeated_lines_know_two_ways_to_keep() -> None:
    with pytest.raises(UserError, match="did you mean 'none'"):
        RepeatedLines(Given(()), keep="nnoe")
