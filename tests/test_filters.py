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
from textmill.filters import SCORERS, perplexity, pii, scorer_class
from textmill.filters.base import Scorer
from textmill.filters.ngrams_train import train
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


def perplexity_of_a_sentence(path: Path) -> Scorer:
    train([Documents.from_texts(["the quick brown fox jumps over the lazy dog"])], order=3).save(str(path))
    return perplexity.find_model(str(path))


NEED_A_FILE = {"Perplexity": perplexity_of_a_sentence}


@pytest.fixture(params=sorted(SCORERS))
def scorer(request: pytest.FixtureRequest, tmp_path: Path) -> Scorer:
    if request.param in NEED_A_FILE:
        return NEED_A_FILE[request.param](tmp_path / "model")
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
