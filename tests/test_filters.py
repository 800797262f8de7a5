"""The contract of scorers, then each filter."""

import itertools
import json
from collections.abc import Sequence
from dataclasses import fields

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.errors import UnknownNameError, UserError
from textmill.filters import SCORERS, gopher, pii, scorer_class
from textmill.filters.base import Scorer
from textmill.filters.gopher import GopherQuality
from textmill.filters.pii import EMAIL_PLACEHOLDER, EmailMask, find_emails, mask_emails
from textmill.pipeline.reading.optout import NO_OPTOUT
from textmill.text import Documents

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


class TestEmails:
    @pytest.mark.parametrize(
        ("text", "masked"),
        [
            ("Write to John.Doe+list@mail.example.co.uk.", "Write to <>."),
            ("<a@b.de>,c_d@e.fr;mailto:F@G.ORG", "<<>>,<>;mailto:<>"),
            ("leaders....me@x.com", "leaders....<>"),
            ("leaders" + "." * 70 + "me@x.com", "leaders" + "." * 70 + "<>"),
            ("--me@x.com--", "--<>--"),
            ("x@sub-domain.co-op.example", "<>"),
            ("m@xn--mnchen-3ya.xn--p1ai", "<>"),
            ("a@b.com@c.de", "<>@c.de"),
            ("a@b.com.", "<>."),
            ("a@b.com.1", "<>.1"),
            ("邮箱a@b.cn。", "邮箱<>。"),
            ("a" * 70 + "@b.com", "a" * 6 + "<>"),
            ("no@dot @b.com a@ a@b.c a@.com a@b..com a@-b.com a@1.2.3.4 a@b.c0m a@b.com1 @ 3@4", None),
            ("x@" + "a" * 64 + ".com", None),
            ("", None),
        ],
    )
    def test_what_is_masked(self, text: str, masked: str | None) -> None:
        expected = text if masked is None else masked
        found, n_masked = mask_emails(text, "<>")
        assert found == expected
        assert n_masked == (0 if masked is None else masked.count("<>"))

    def test_the_usual_placeholder(self) -> None:
        assert EmailMask().mask("to a@b.de, now") == ("to |||EMAIL_ADDRESS|||, now", 1)
        assert EmailMask().name == "emails"

    @pytest.mark.parametrize("placeholder", ["", "email@example.com", "EMAIL", "<email", "email>", ".|", "<a@b>"])
    def test_a_placeholder_cannot_be_part_of_an_address(self, placeholder: str) -> None:
        with pytest.raises(UserError, match="placeholder"):
            EmailMask(placeholder)

    @settings(deadline=None, derandomize=True)
    @given(st.text("ab.@-|%c0 é\n_", max_size=60), st.sampled_from([EMAIL_PLACEHOLDER, "<>", "[...]"]))
    def test_masking_twice_changes_nothing_more(self, text: str, placeholder: str) -> None:
        once, _ = mask_emails(text, placeholder)
        assert mask_emails(once, placeholder) == (once, 0)

    @settings(deadline=None, derandomize=True)
    @given(st.text("ab.@-|%c0 é\n_", max_size=60))
    def test_spans_are_in_order_and_hold_addresses(self, text: str) -> None:
        spans = list(find_emails(text))
        assert spans == sorted(spans)
        assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))
        for start, end in spans:
            local, _, domain = text[start:end].partition("@")
            assert local
            assert "." in domain.strip(".")
            assert domain[-1].isalnum()

    @pytest.mark.parametrize(
        "attack",
        [
            "." * 2000,
            ",." * 1000 + "@",
            "a@" * 50_000,
            "a@b." * 25_000,
            "a.b@" * 25_000,
            "@" * 100_000,
            "a" * 100_000 + "@b.com",
            "x@" + "a." * 50_000,
            "x@" + "a-" * 50_000,
            "x@xn--" + "-" * 100_000,
            ("a" * 64 + "@" + "b." * 127 + "c ") * 300,
        ],
    )
    def test_hostile_text_costs_a_bounded_number_of_looks(self, attack: str, monkeypatch: pytest.MonkeyPatch) -> None:
        looks = CountingCharacters(pii._LOCAL)
        monkeypatch.setattr(pii, "_LOCAL", looks)
        mask_emails(attack, "<>")
        assert looks.n <= 2 * len(attack) + 2

    def test_a_long_domain_is_looked_at_in_part(self) -> None:
        assert mask_emails("x@" + "a." * 200 + "com")[1] == 0


class CountingCharacters(frozenset[str]):
    """A set that counts how often it is asked."""

    n = 0

    def __contains__(self, character: object) -> bool:
        self.n += 1
        return super().__contains__(character)
