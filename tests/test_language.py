"""Languages: labels, samples, paragraphs, and where the model comes from."""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import fields
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import fasttext
import platformdirs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resiliparse.parse.lang import supported_langs

from textmill.errors import EnvironmentFault, InputError, UserError
from textmill.filters import language
from textmill.filters.language import Language, ParagraphLanguages, find_model, identify, iso_code
from textmill.text import Documents

SHARED = Path(__file__).parents[2] / "shared"
MODEL = SHARED / "models" / "lid.176.ftz"
needs_model = pytest.mark.skipif(not MODEL.exists(), reason="../shared/models/lid.176.ftz is not there")

ENGLISH = "All human beings are born free and equal in dignity and rights, and should act in a spirit of brotherhood."
GERMAN = "Alle Menschen sind frei und gleich an Würde und Rechten geboren und sollen einander brüderlich begegnen."


def row(scorer: Language | ParagraphLanguages, text: str) -> list[object]:
    return [column[0].as_py() for column in scorer.score(Documents.from_texts([text]))]


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
            found, score = identify(text, Language())
            assert found == label
            assert 0.65 <= score <= 1

    @pytest.mark.parametrize("text", ["", " \n\t\u2028", "123 456", "\x00\x00", "😀 !? --", "\ud800"])
    def test_text_without_letters_has_no_language(self, text: str) -> None:
        assert identify(text, Language()) == ("und", 0.0)

    def test_nothing_near_has_no_language(self) -> None:
        assert identify("ꆈꌠꉙ" * 100, Language()) == ("und", 0.0)  # Yi, which the built-in detector does not know

    @pytest.mark.parametrize(
        ("text", "label"),
        [
            ("欢迎来到我们的网站", "zh"), ("これは本です", "ja"), ("東京の大学院研究室", "ja"),
            ("이것은 시험입니다", "ko"), ("สวัสดีครับ", "th"), ("Γεια σου κόσμε", "el"), ("שלום עולם", "he"),
            ("გამარჯობა", "ka"), ("Java 是一种编程语言", "zh"), ("Python 3 と Java 言語 Kotlin", "und"),
            ("Это тест", "und"), ("नमस्ते", "und"),
        ],
    )  # fmt: skip
    def test_a_script_of_one_language_tells_it_where_nothing_else_does(self, text: str, label: str) -> None:
        assert identify(text, Language()) == (label, pytest.approx(0.0 if label == "und" else language.SURE_SCORE))

    def test_the_sample_starts_after_leading_whitespace(self) -> None:
        english = "The cat sat on the mat, and the dog lay down by the fire in the evening. " * 20
        found = identify(english, Language())
        assert identify("\n" * 5000 + english, Language()) == found
        assert identify(english + "und das ist nicht mehr dabei " * 100, Language()) == found

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
        with pytest.raises(EnvironmentFault, match="no model here"):
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
        assert identity == {"model": False, "digest": True, "sample_chars": True}


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
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the model belongs, in a cache of the test's own; ``ModelServer.content`` counts as the official file."""
    folder = tmp_path / "cache" / "textmill"
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda name: str(folder))
    monkeypatch.setattr(language, "OFFICIAL_DIGEST", hashlib.sha256(ModelServer.content).hexdigest())
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    language.model_at_hand.cache_clear()
    yield folder / "lid.176.ftz"
    language.model_at_hand.cache_clear()


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

    @pytest.mark.parametrize("content", [None, b"another file"])
    def test_single_texts_need_no_model_and_download_none(self, cached: Path, content: bytes | None) -> None:
        if content:
            cached.parent.mkdir(parents=True)
            cached.write_bytes(content)
        assert language.model_at_hand() == Language()
        assert identify("欢迎来到我们的网站") == ("zh", pytest.approx(language.SURE_SCORE))

    @needs_model
    def test_single_texts_are_judged_by_the_cached_model(self, cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        cached.parent.mkdir(parents=True)
        cached.write_bytes(MODEL.read_bytes())
        monkeypatch.setattr(language, "OFFICIAL_DIGEST", hashlib.sha256(MODEL.read_bytes()).hexdigest())
        assert identify("Das ist ein Test auf Deutsch.") == ("de", pytest.approx(1, abs=0.01))

    def assert_one_warning(self, caplog: pytest.LogCaptureFixture) -> None:
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        assert "built-in detector" in caplog.text
        assert "\n" not in caplog.records[0].getMessage()


class TestSamples:
    @settings(deadline=None, derandomize=True)
    @given(st.lists(st.text("a é\u3000日1\n\x00😀", max_size=12), max_size=4), st.integers(0, 6))
    def test_agrees_with_plain_python(self, texts: list[str], n_chars: int) -> None:
        pieces = Documents.from_texts(texts).segmentation
        start, end = language._cut_samples(
            pieces.data, pieces.offsets[:-1], pieces.offsets[1:], language.character_classes(), n_chars
        )
        for text, a, b in zip(texts, start, end, strict=True):
            sample = text.lstrip()[: n_chars or None]
            expected = sample if any(map(str.isalpha, sample)) else ""
            assert bytes(pieces.data[a:b]).decode() == expected

    @needs_model
    def test_the_whole_text_is_read_if_asked_for(self) -> None:
        text = ENGLISH * 10 + " " + GERMAN * 50
        official = find_model(str(MODEL))
        assert identify(text, official)[0] == "en"
        assert identify(text, Language(official.model, official.digest, sample_chars=0))[0] == "de"

    def test_a_negative_size_is_refused(self) -> None:
        with pytest.raises(UserError, match="sample_chars is -1"):
            Language(sample_chars=-1)


class TestSecondLanguage:
    @needs_model
    def test_it_is_fasttexts_second(self) -> None:
        text = "Dette er en norsk eller dansk sætning om vejret."
        labels, scores = fasttext.load_model(str(MODEL)).predict(text, k=2)
        found = row(find_model(str(MODEL)), text)
        assert [f"__label__{label}" for label in found[::2]] == list(labels)
        assert found[1::2] == pytest.approx(scores.tolist(), abs=1e-5)

    def test_the_builtin_detector_has_one_too(self) -> None:
        first, score, second, second_score = row(Language(), GERMAN * 5)
        assert (first, second) == ("de", second) and second not in ("de", "und")
        assert 0 < second_score < score <= 1

    @pytest.mark.parametrize("text", ["", "12 \x00 34", "😀"])
    def test_without_letters_there_is_none(self, text: str) -> None:
        assert row(Language(), text) == ["und", 0, "und", 0]


class TestParagraphs:
    @needs_model
    def test_the_main_language_is_that_of_most_characters(self) -> None:
        official = find_model(str(MODEL))
        scorer = ParagraphLanguages(official.model, official.digest)
        text = f"{ENGLISH}\n\n{GERMAN} {GERMAN}\n\nkurz\n\n{ENGLISH}\n{ENGLISH}\n\n{'1234 ' * 20}"
        english, german = 3 * len(ENGLISH) + 1, 2 * len(GERMAN) + 1
        assert row(scorer, text) == ["en", pytest.approx(english / (english + german)), 3, 2]

    def test_the_builtin_detector_judges_paragraphs_too(self) -> None:
        assert row(ParagraphLanguages(), "\n\n".join([GERMAN * 4, GERMAN * 5])) == ["de", 1, 2, 1]

    @pytest.mark.parametrize("text", ["", "\n\n", "short", "1234 " * 100])
    def test_without_a_long_paragraph_nothing_is_judged(self, text: str) -> None:
        assert row(ParagraphLanguages(), text) == ["und", 0, 0, 0]

    def test_a_batch_is_judged_document_by_document(self) -> None:
        texts = [GERMAN * 4, "", ENGLISH * 4 + "\n\n" + GERMAN * 5, "\n\nshort\n\n" + ENGLISH * 3]
        columns = ParagraphLanguages().score(Documents.from_texts(texts))
        assert [[column[i].as_py() for column in columns] for i in range(4)] == [
            row(ParagraphLanguages(), text) for text in texts
        ]


@pytest.mark.parametrize(
    ("label", "code"),
    [
        ("en", "en"), ("eng", "en"), ("eng_Latn", "en"), ("zho_Hans", "zh"), ("cmn", "zh"), ("arz", "arz"),
        ("arb_Arab", "ar"), ("als", "als"), ("als_Latn", "sq"), ("swh_Latn", "sw"), ("ger", "de"), ("und", "und"),
    ],
)  # fmt: skip
def test_codes(label: str, code: str) -> None:
    assert iso_code(label) == code


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
