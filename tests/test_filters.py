"""The contract of scorers, then each filter."""

import gzip
import hashlib
import json
import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import fields
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import platformdirs
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resiliparse.parse.lang import supported_langs

from textmill.errors import EnvironmentFault, InputError, UnknownNameError, UserError
from textmill.filters import SCORERS, gopher, language, scorer_class
from textmill.filters.base import Scorer
from textmill.filters.gopher import GopherQuality
from textmill.filters.language import Language, find_model, identify
from textmill.pipeline.reading.optout import NO_OPTOUT
from textmill.text import Documents

SHARED = Path(__file__).parents[2] / "shared"
MODEL = SHARED / "models" / "lid.176.ftz"
needs_model = pytest.mark.skipif(not MODEL.exists(), reason="../shared/models/lid.176.ftz is not there")

ODD_TEXTS = [
    "",
    " ",
    "a",
    "#",
    "\n",
    "\n" * 1000,
    " \t\r\n\x0b\x0c\x1c\x85\u2028\u3000",
    "x" * 1_000_000,
    "word " * 100_000,
    "...\n" * 1000,
    "\x00",
    "NUL \x00 in \x00text",
    "\x00" * 1000,
    "😀😀 👩‍👩‍👧‍👦 🏳️‍🌈",
    "הטקסט הזה נכתב מימין לשמאל. وهذا النص أيضا",
    "\u202eright to left override",
    "ภาษาไทยไม่มีช่องว่างระหว่างคำ",
    "中文的句子里没有空格。第二句也没有。",
    "e" + "\u0301" * 10_000,
    "\ufeff\ufffd\ufffe\uffff\U0010ffff",
    "@" * 1000,
    "1" * 100_000,
    "1.2" * 10_000,
    "The quick brown fox jumps over the lazy dog, and that is what dogs have to live with.\n" * 20,
]


@pytest.fixture(params=sorted(SCORERS))
def scorer(request: pytest.FixtureRequest) -> Scorer:
    return scorer_class(request.param)()


def table_of(texts: Sequence[str | None]) -> pa.Table:
    """A table with every column that a scorer may read."""
    urls = [f"http://{i}.example/{text or ''}" for i, text in enumerate(texts)]
    wishes = {name: pa.array([i % 2 == 0 for i in range(len(texts))], pa.bool_()) for name in NO_OPTOUT._fields}
    encoded = [None if text is None else text.encode() for text in texts]
    text = pa.array(encoded, pa.large_binary()).cast(pa.large_string())
    return pa.table({"url": pa.array(urls, pa.string()), "text": text, **wishes})


def scores(scorer: Scorer, documents: Documents) -> pa.Table:
    arrays = scorer.score(documents)
    for array, field in zip(arrays, scorer.columns, strict=True):
        assert array.type == field.type, field.name
        assert len(array) == len(documents), field.name
        assert not pc.any(pc.is_null(array, nan_is_null=True)).as_py(), field.name
    return pa.table(arrays, schema=scorer.columns)


class TestEveryScorer:
    def test_columns_are_named_and_typed(self, scorer: Scorer) -> None:
        assert len(set(scorer.columns.names)) == len(scorer.columns) > 0
        assert not any(field.nullable for field in scorer.columns)

    def test_an_empty_batch_gives_empty_columns(self, scorer: Scorer) -> None:
        assert len(scores(scorer, Documents(table_of([])))) == 0

    def test_values_do_not_depend_on_the_batch(self, scorer: Scorer) -> None:
        table = table_of(ODD_TEXTS)
        together = scores(scorer, Documents(table))
        for size in (1, 7):
            cut = [scores(scorer, Documents(table.slice(i, size))) for i in range(0, len(table), size)]
            assert pa.concat_tables(cut).to_pylist() == together.to_pylist()

    def test_a_missing_text_scores_as_an_empty_one(self, scorer: Scorer) -> None:
        missing, empty = table_of([None, "a"]), table_of(["", "a"])
        assert scores(scorer, Documents(missing)).equals(scores(scorer, Documents(empty)))

    def test_fields_are_plain_values(self, scorer: Scorer) -> None:
        json.dumps([getattr(scorer, field.name) for field in fields(scorer)])


def test_an_unknown_scorer_is_named() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'GopherQuality'"):
        scorer_class("GopherQualty")


def gopher_reference(document: str) -> dict[str, float]:
    words = document.split()
    lines = [line.strip() for line in document.split("\n") if line.strip()]
    n_words, n_lines = max(len(words), 1), max(len(lines), 1)
    in_three_cases = {w for stop in gopher.STOP_WORDS for w in (stop, stop.capitalize(), stop.upper())}
    return {
        "gopher_n_words": len(words),
        "gopher_mean_word_chars": sum(map(len, words)) / n_words,
        "gopher_hash_word_frac": document.count("#") / n_words,
        "gopher_ellipsis_word_frac": (document.count("...") + document.count("…")) / n_words,
        "gopher_bullet_line_frac": sum(line.startswith(("•", "●", "*", "-")) for line in lines) / n_lines,
        "gopher_ellipsis_line_frac": sum(line.endswith(("...", "…")) for line in lines) / n_lines,
        "gopher_alpha_word_frac": sum(any(map(str.isalpha, word)) for word in words) / n_words,
        "gopher_n_stop_words": len({word.lower() for word in words if word in in_three_cases}),
    }


GOPHER_PIECES = ["#", ".", "..", "...", "…", "•", "●", "*", "-", "–", "\n", "\n", " ", " ", "\t", "\u3000", "\x85"]
GOPHER_PIECES += ["the ", "The\n", " AND ", "tHe ", "to,", "with\u2003", "Größe", "日本", "12", "😀", "\u0301", "\xe2"]
GOPHER_PIECES += ["™", "\r\n", "\n\n \n", "\n\u3000• ", "\n - ", "…\u3000\n", "... \n"]
GOPHER_TEXTS = st.lists(st.sampled_from(GOPHER_PIECES) | st.text(max_size=2), max_size=40).map("".join)


class TestGopher:
    @settings(deadline=None, derandomize=True)
    @given(st.lists(GOPHER_TEXTS, max_size=4))
    def test_agrees_with_plain_python(self, texts: list[str]) -> None:
        rows = scores(GopherQuality(), Documents.from_texts(texts)).to_pylist()
        assert rows == [pytest.approx(gopher_reference(document)) for document in texts]

    @pytest.mark.parametrize(
        ("document", "bullets", "ellipses"),
        [
            ("• a\n● b\n* c\n- d\n– e", 4 / 5, 0),
            (" \t\u3000- a\n\n\n \u3000\nb - c", 1 / 2, 0),
            ("a...\nb…\u3000\r\n... c\n\n..", 0, 2 / 4),
            ("-\n…\n-...", 2 / 3, 2 / 3),
        ],
    )
    def test_lines_are_stripped_and_blank_ones_do_not_count(
        self, document: str, bullets: float, ellipses: float
    ) -> None:
        (row,) = scores(GopherQuality(), Documents.from_texts([document])).to_pylist()
        assert row["gopher_bullet_line_frac"] == pytest.approx(bullets)
        assert row["gopher_ellipsis_line_frac"] == pytest.approx(ellipses)

    def test_a_text_without_words_is_all_zeros(self) -> None:
        for row in scores(GopherQuality(), Documents.from_texts(["", " \n\t "])).to_pylist():
            assert set(row.values()) == {0}

    def test_stop_words_are_a_field(self) -> None:
        documents = Documents.from_texts(
            ["Der Hund und die Katze UND der Fisch", "the dog and the cat", "ÜBER uns, über"]
        )
        german = scores(GopherQuality(("der", "die", "und", "über")), documents)
        assert german["gopher_n_stop_words"].to_pylist() == [3, 0, 1]
        assert scores(GopherQuality(()), documents)["gopher_n_stop_words"].to_pylist() == [0, 0, 0]

    @pytest.mark.parametrize("word", ["", " the", "of the", "a\u3000b"])
    def test_a_stop_word_is_one_word(self, word: str) -> None:
        with pytest.raises(UserError, match="one word"):
            GopherQuality((word,))

    def test_many_stop_words_are_told_apart(self) -> None:
        many = tuple(f"w{i}" for i in range(500))
        documents = Documents.from_texts([" ".join(many), " ".join(many[::2]) + " w500 other", "w7 W7 w7"])
        assert scores(GopherQuality(many), documents)["gopher_n_stop_words"].to_pylist() == [500, 250, 1]

    def test_rules_bound_the_columns_once_each(self) -> None:
        assert sorted(rule.column for rule in gopher.RULES) == sorted(gopher.COLUMNS.names)
        assert len({rule.reason for rule in gopher.RULES}) == len(gopher.RULES)
        assert all(rule.source for rule in gopher.RULES)

    @pytest.mark.parametrize(
        ("inside", "outside"),
        [
            ("the and " * 25, "the and " * 24 + "the"),
            ("the and " * 50_000, "the and " * 50_000 + "the"),
            ("the and" + " abc" * 98, "the and" + " abc" * 97 + " ab"),
            ("the and" + " abcdefghij" * 97 + " a" * 1 + "b" * 23, "the and" + " abcdefghij" * 97 + " a" + "b" * 24),
            ("the and ##########" + " word" * 97, "the and ###########" + " word" * 97),
            ("the and ......" + " ...word" * 8 + " word" * 89, "the and ......" + " ...word" * 9 + " word" * 88),
            ("the and ……" + " …word" * 8 + " word" * 89, "the and ……" + " …word" * 9 + " word" * 88),
            ("- the and\n" * 9 + "words " * 50, "- the and\n" * 10 + "words " * 50),
            ("the and words\n" * 14 + "the and words…\n" * 6, "the and words\n" * 13 + "the and words…\n" * 6),
            ("the and" + " word" * 78 + " 2024" * 20, "the and" + " word" * 77 + " 2024" * 21),
            ("the of" + " word" * 98, "the the" + " word" * 98),
        ],
    )
    def test_passes_on_both_sides_of_a_bound(self, inside: str, outside: str) -> None:
        assert gopher.passes(inside)
        assert not gopher.passes(outside)

    def test_passes_takes_any_text(self) -> None:
        assert not any(gopher.passes(text) for text in ["", "\ud800", "\x00"])


class TestLanguage:
    def test_builtin_tells_languages_apart(self) -> None:
        articles = {
            "en": "All human beings are born free and equal in dignity and rights. They are endowed with reason and "
            "conscience and should act towards one another in a spirit of brotherhood. Everyone has the right to life, "
            "liberty and security of person. No one shall be held in slavery or servitude; slavery and the slave trade "
            "shall be prohibited in all their forms.",
            "de": "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft und Gewissen "
            "begabt und sollen einander im Geist der Brüderlichkeit begegnen. Jeder hat das Recht auf Leben, Freiheit "
            "und Sicherheit der Person. Niemand darf in Sklaverei oder Leibeigenschaft gehalten werden; Sklaverei und "
            "Sklavenhandel sind in allen ihren Formen verboten.",
        }
        for label, text in articles.items():
            found, score = identify(text)
            assert found == label
            assert 0.65 <= score <= 1

    @pytest.mark.parametrize("text", ["", " \n\t\u2028", "123 456", "\x00\x00", "😀 !? --", "\ud800"])
    def test_text_without_letters_has_no_language(self, text: str) -> None:
        assert identify(text) == ("und", 0.0)

    def test_nothing_near_has_no_language(self) -> None:
        assert identify("ꆈꌠꉙ" * 100) == ("und", 0.0)  # Yi, which the built-in detector does not know

    def test_the_sample_starts_after_leading_whitespace(self) -> None:
        english = "The cat sat on the mat, and the dog lay down by the fire in the evening. " * 20
        assert identify("\n" * 5000 + english) == identify(english)
        assert identify(english + "und das ist nicht mehr dabei " * 100) == identify(english)

    @needs_model
    def test_fasttext_gives_labels_and_scores(self) -> None:
        scorer = find_model(str(MODEL))
        assert scorer.digest == language.OFFICIAL_DIGEST
        label, score = identify("Dies ist ein deutscher Satz\nmit zwei Zeilen.", scorer)
        assert label == "de"
        assert 0.9 < score <= 1
        assert identify("123\x00", scorer) == ("und", 0.0)

    @needs_model
    def test_the_path_of_a_model_is_checked_by_digest(self, tmp_path: Path) -> None:
        copy = tmp_path / "lid.176.ftz"
        copy.write_bytes(MODEL.read_bytes()[:-1])
        with pytest.raises(EnvironmentFault, match="sha256"):
            identify("some text", Language(str(copy), language.OFFICIAL_DIGEST))

    def test_a_model_that_went_missing_stops_the_run(self, tmp_path: Path) -> None:
        with pytest.raises(EnvironmentFault, match="no language model here"):
            identify("some text", Language(str(tmp_path / "gone.ftz"), "0" * 64))

    def test_a_file_that_is_no_model_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "notes.txt"
        path.write_text("not a model " * 100)
        with pytest.raises(InputError, match=r"notes\.txt: not a fastText model"):
            identify("some text", find_model(str(path)))

    def test_the_builtin_detector_can_be_asked_for_by_name(self) -> None:
        assert find_model("builtin", url="nonsense") == Language()

    @pytest.mark.parametrize("name", ["gone.ftz", "."])
    def test_a_path_without_a_model_is_an_input_error(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(InputError, match="cannot read this language model"):
            find_model(str(tmp_path / name))

    def test_the_path_is_not_identity_the_digest_is(self) -> None:
        identity = {field.name: field.metadata.get("identity", True) for field in fields(Language)}
        assert identity == {"model": False, "digest": True}


class ModelServer(HTTPServer):
    """Serves ``content`` once a request, on loopback, and counts the requests."""

    content = b"a model"
    status = 200
    announced_bytes = 0  # more than is sent: a connection that breaks
    n_requests = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/lid.176.ftz"


class Handler(BaseHTTPRequestHandler):
    server: ModelServer

    def do_GET(self) -> None:
        self.server.n_requests += 1
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(max(self.server.announced_bytes, len(self.server.content))))
        self.end_headers()
        self.wfile.write(self.server.content)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the model belongs, in a cache of the test's own; ``ModelServer.content`` counts as the official file."""
    folder = tmp_path / "cache" / "textmill"
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda name: str(folder))
    monkeypatch.setattr(language, "OFFICIAL_DIGEST", hashlib.sha256(ModelServer.content).hexdigest())
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return folder / "lid.176.ftz"


class TestFindModel:
    def test_downloads_once_into_the_cache(self, server: ModelServer, cached: Path) -> None:
        for _ in range(2):
            assert find_model(url=server.url) == Language(str(cached), language.OFFICIAL_DIGEST)
        assert server.n_requests == 1
        assert [path.name for path in cached.parent.iterdir()] == [cached.name]
        assert cached.read_bytes() == server.content

    def test_a_damaged_cache_is_replaced(self, server: ModelServer, cached: Path) -> None:
        cached.parent.mkdir(parents=True)
        cached.write_bytes(b"half a mod")
        assert find_model(url=server.url).model == str(cached)
        assert cached.read_bytes() == server.content

    @pytest.mark.parametrize(
        "fault",
        [{"content": b"another file"}, {"content": b""}, {"status": 404}, {"content": b"a mod", "announced_bytes": 7}],
    )
    def test_a_bad_download_is_not_used(
        self, server: ModelServer, cached: Path, caplog: pytest.LogCaptureFixture, fault: dict[str, object]
    ) -> None:
        for name, value in fault.items():
            setattr(server, name, value)
        assert find_model(url=server.url) == Language()
        self.assert_one_warning(caplog)
        assert not cached.exists()

    @pytest.mark.parametrize("url", ["http://127.0.0.1:9/lid.176.ftz", "nonsense", "http://127.0.0.1:x/"])
    def test_without_a_network_the_builtin_detector_is_used(
        self, cached: Path, caplog: pytest.LogCaptureFixture, url: str
    ) -> None:
        assert find_model(url=url) == Language()
        self.assert_one_warning(caplog)

    def test_a_cache_that_cannot_be_written_is_no_obstacle(
        self, server: ModelServer, cached: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        cached.parent.parent.write_text("a file where a folder should be")
        assert find_model(url=server.url) == Language()
        self.assert_one_warning(caplog)

    def assert_one_warning(self, caplog: pytest.LogCaptureFixture) -> None:
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        assert "built-in detector" in caplog.text
        assert "\n" not in caplog.records[0].getMessage()


@pytest.mark.skipif(not (SHARED / "data" / "languages").exists(), reason="../shared/data/languages is not there")
def test_builtin_keeps_the_documented_share_at_the_usual_bound() -> None:
    texts: dict[str, list[str]] = {}
    with gzip.open(SHARED / "data" / "languages" / "tatoeba.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            texts.setdefault(row["lang"], []).append(row["text"])
    known = sorted(texts.keys() & supported_langs())
    found = [(name, *identify(" ".join(texts[name][:300]))) for name in known]
    kept = [(name, label) for name, label, score in found if score >= 0.65]
    assert len(known) > 60
    assert len(kept) > 0.9 * len(known)
    assert sum(name == label for name, label in kept) > 0.9 * len(kept)
