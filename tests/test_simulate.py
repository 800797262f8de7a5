"""The simulated crawl: its bytes repeat, its truth table is true, and the measures measure."""

import gzip
import hashlib
import html as html_entities
import itertools
import random
import re
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textmill.errors import InputError, UserError
from textmill.simulate import truth
from textmill.simulate.crawl import SHARES, TRUTH, Crawl, write_crawl
from textmill.simulate.edits import near_duplicate
from textmill.simulate.hostile import HOSTILE_MARKUPS, HOSTILE_TEXTS
from textmill.simulate.pages import BOOKS, OLD_CHARSETS
from textmill.simulate.phrases import SLOT, PhraseBook, expand, phrases, write_article
from textmill.simulate.similarity import jaccard, shingles, words
from textmill.simulate.sites import TEMPLATES, Site, render

N_PAGES = 400
GZIP_MAGIC = b"\x1f\x8b\x08"
MASK = "|||EMAIL_ADDRESS|||"
MASKS = {"emails": MASK, "phones": "|||PHONE_NUMBER|||", "ips": "|||IP_ADDRESS|||"}


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Crawl:
    return write_crawl(tmp_path_factory.mktemp("crawl"), n_pages=N_PAGES, seed=7, n_files=2)


@pytest.fixture(scope="module")
def rows(crawl: Crawl) -> list[dict]:
    return pq.read_table(crawl.truth).to_pylist()


def read_members(path: Path) -> tuple[list[bytes], int]:
    """The sound gzip members of a file, and how many damaged stretches lie between or after them."""
    data = path.read_bytes()
    members, n_damaged, start = [], 0, 0
    while start < len(data):
        inflater = zlib.decompressobj(31)
        try:
            content = inflater.decompress(data[start:])
        except zlib.error:
            n_damaged += 1
            start = data.find(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03", start + 1)
            continue
        if not inflater.eof:
            return members, n_damaged + 1
        members.append(content)
        start = len(data) - len(inflater.unused_data)
    return members, n_damaged


def responses(crawl: Crawl) -> dict[str, tuple[dict[str, str], bytes]]:
    """HTTP headers and decoded body of every sound response, by url."""
    found = {}
    for path in crawl.warcs:
        for member in read_members(path)[0]:
            record, _, rest = member.partition(b"\r\n\r\n")
            fields = dict(line.split(": ", 1) for line in record.decode().split("\r\n")[1:])
            if fields["WARC-Type"] == "response":
                head, _, body = rest[: int(fields["Content-Length"])].partition(b"\r\n\r\n")
                headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
                found[fields["WARC-Target-URI"]] = headers, decoded(headers, body)
    return found


def decoded(headers: dict[str, str], body: bytes) -> bytes:
    if "Transfer-Encoding" in headers:
        whole = b""
        while not body.startswith(b"0\r\n"):
            size, _, body = body.partition(b"\r\n")
            whole, body = whole + body[: int(size, 16)], body[int(size, 16) + 2 :]
        body = whole
    else:
        assert int(headers["Content-Length"]) == len(body)
    return gzip.decompress(body) if "Content-Encoding" in headers else body


# The phrase books


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.language)
def test_every_slot_of_every_topic_has_phrases(book: PhraseBook) -> None:
    for topic in book.topics.values():
        slots = {**book.slots, **topic}
        templates = itertools.chain(book.sentences, book.headlines, *slots.values())
        missing = {slot for template in templates for slot in SLOT.findall(template)} - set(slots)
        assert missing == set()


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.language)
def test_articles_hold_no_leftover_slot_and_are_alike_in_little(book: PhraseBook) -> None:
    rng = random.Random(3)
    texts = [write_article(rng, book, 6).text for _ in range(12)]
    assert not any("{" in text or "}" in text or "  " in text for text in texts)
    similarities = [jaccard(a, b) for a, b in itertools.combinations(map(shingles, texts), 2)]
    assert max(similarities) < 0.3


def test_headlines_and_sentences_begin_with_a_capital() -> None:
    article = write_article(random.Random(0), BOOKS[0], 3)
    assert article.headline[0].isupper()
    assert article.paragraphs[0].strip('"')[0].isupper()


def test_slots_expand_within_slots_and_an_unknown_slot_is_an_error() -> None:
    slots = {"a": phrases("<{b}>"), "b": phrases("x\n")}
    assert expand(random.Random(0), "{a} {b}", slots) == "<x> x"
    with pytest.raises(KeyError):
        expand(random.Random(0), "{c}", slots)


def test_english_articles_pass_the_gopher_quality_rules(rows: list[dict]) -> None:
    stop_words = {"the", "be", "to", "of", "and", "that", "have", "with"}
    for row in rows:
        if row["kind"] != "article" or row["language"] != "en":
            continue
        tokens = row["text"].split()
        assert 50 <= len(tokens) <= 100_000
        assert 3 <= sum(map(len, tokens)) / len(tokens) <= 10
        assert sum(any(char.isalpha() for char in token) for token in tokens) >= 0.8 * len(tokens)
        assert len(stop_words & set(row["text"].lower().split())) >= 2


# Near duplicates


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.language)
@pytest.mark.parametrize("aim", [0.72, 0.85, 0.97])
def test_near_duplicates_state_their_true_similarity(book: PhraseBook, aim: float) -> None:
    rng = random.Random(5)
    article = write_article(rng, book, 5)
    edited, similarity = near_duplicate(rng, book, article, aim)
    assert similarity == jaccard(shingles(article.text), shingles(edited.text))
    assert 0.7 <= similarity < 1
    assert similarity <= aim + 0.12


FEW_WORDS = st.lists(st.sampled_from("aÄ山"), max_size=9).map(" ".join)


@given(FEW_WORDS, FEW_WORDS)
def test_jaccard_is_symmetric_and_one_only_for_equal_sets(a: str, b: str) -> None:
    x, y = shingles(a), shingles(b)
    assert jaccard(x, y) == jaccard(y, x)
    assert 0 <= jaccard(x, y) <= 1
    assert (jaccard(x, y) == 1) == (x == y and len(x) > 0)


def test_words_are_runs_of_letters_and_single_characters_of_japanese() -> None:
    assert words("Don't stop_ÄRGER 3x, 山の木x!") == ["don", "t", "stop", "ärger", "3x", "山", "の", "木", "x"]


# The crawl


def digests(crawl: Crawl) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in (*crawl.warcs, crawl.truth)]


def test_same_arguments_give_the_same_bytes_and_another_seed_does_not(crawl: Crawl, tmp_path: Path) -> None:
    again = write_crawl(tmp_path / "again", n_pages=N_PAGES, seed=7, n_files=2)
    other = write_crawl(tmp_path / "other", n_pages=N_PAGES, seed=8, n_files=2)
    assert digests(again) == digests(crawl)
    assert not set(digests(other)) & set(digests(crawl))


def test_no_half_written_file_stays_behind(crawl: Crawl) -> None:
    left = {path.name for path in crawl.truth.parent.rglob("*") if path.is_file()}
    assert left == {"crawl-00000.warc.gz", "crawl-00001.warc.gz", "truth.parquet"}


def test_impossible_sizes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least 50"):
        write_crawl(tmp_path, n_pages=49)
    with pytest.raises(UserError, match="ask for 1 to 60"):
        write_crawl(tmp_path, n_pages=60, n_files=0)


def test_the_smallest_crawl_has_every_kind(tmp_path: Path) -> None:
    table = pq.read_table(write_crawl(tmp_path, n_pages=50, n_files=1).truth)
    assert set(table["kind"].to_pylist()) == {"article", *SHARES}


def test_one_row_a_response_and_a_unique_url_each(crawl: Crawl, rows: list[dict]) -> None:
    assert pq.read_schema(crawl.truth) == TRUTH
    assert len(rows) == len({row["url"] for row in rows}) == N_PAGES
    assert len({row["url"].split("/")[2] for row in rows}) > 50
    assert {row["url"] for row in rows if not row["broken"]} == set(responses(crawl))


def test_english_is_about_six_tenths_of_the_texts(rows: list[dict]) -> None:
    languages = Counter(row["language"] for row in rows if row["text"] is not None)
    assert 0.5 < languages["en"] / languages.total() < 0.7
    assert set(languages) == {book.language for book in BOOKS}


def test_archives_start_with_warcinfo_and_hold_some_requests(crawl: Crawl) -> None:
    for path in crawl.warcs:
        members, _ = read_members(path)
        kinds = Counter(member.split(b"WARC-Type: ", 1)[1].split(b"\r\n")[0] for member in members)
        assert members[0].startswith(b"WARC/1.0\r\nWARC-Record-ID") and b"WARC-Type: warcinfo" in members[0]
        assert kinds[b"warcinfo"] == 1
        assert 0.15 < kinds[b"request"] / kinds[b"response"] < 0.45


def test_record_ids_are_unique_and_dates_come_from_the_seed(crawl: Crawl) -> None:
    members = [member for path in crawl.warcs for member in read_members(path)[0]]
    ids = [member.split(b"WARC-Record-ID: ", 1)[1].split(b"\r\n")[0] for member in members]
    assert len(set(ids)) == len(ids)
    assert all(b"WARC-Date: 2025-01-" in member for member in members)


def test_broken_records_are_damaged_in_place_and_at_the_end(crawl: Crawl, rows: list[dict]) -> None:
    assert sum(read_members(path)[1] for path in crawl.warcs) == sum(row["broken"] for row in rows) == 2
    assert rows[-1]["broken"]
    last = crawl.warcs[-1].read_bytes()
    tail = zlib.decompressobj(31)
    tail.decompress(last[last.rindex(GZIP_MAGIC + b"\0\0\0\0\0\2\3") :])
    assert not tail.eof


def test_copies_repeat_their_original_and_share_its_cluster(rows: list[dict]) -> None:
    by_url = {row["url"]: row for row in rows}
    copies = [row for row in rows if row["original_url"]]
    assert {row["kind"] for row in copies} == {"exact_copy", "near_duplicate"}
    for row in copies:
        original = by_url[row["original_url"]]
        assert row["cluster"] == original["cluster"] != ""
        assert row["jaccard"] == (jaccard(shingles(row["text"]), shingles(original["text"])) or None)
        assert (row["jaccard"] == 1) == (row["kind"] == "exact_copy") == (row["text"] == original["text"])
        assert 0.7 <= row["jaccard"] <= 1
    assert all(n > 1 for n in Counter(row["cluster"] for row in rows if row["cluster"]).values())


def test_personal_data_stands_in_the_text(rows: list[dict]) -> None:
    found = [row for row in rows if row["kind"] == "personal_data"]
    for row in found:
        assert len(row["emails"]) == len(row["phones"]) == len(row["ips"]) >= 1
        assert all(secret in row["text"] for secret in row["emails"] + row["phones"] + row["ips"])
    emails = [email for row in found for email in row["emails"]]
    assert 0 < sum("(at)" in email for email in emails) < len(emails)
    assert not any(row["emails"] for row in rows if row["kind"] != "personal_data")


def test_bodies_decode_with_the_true_charset_and_hold_the_text(crawl: Crawl, rows: list[dict]) -> None:
    bodies = responses(crawl)
    for row in rows:
        if row["text"] is None:
            continue
        headers, body = bodies[row["url"]]
        html = body.decode(row["true_charset"], "replace")
        visible = html_entities.unescape(re.sub(r"<[^>]*>", "", html.replace("\0", "")))
        assert all(block in visible for block in row["text"].split("\n\n"))
        declared = "charset=" in headers["Content-Type"] or '<meta charset="utf-8">' in html
        assert declared == (row["declared_charset"] != "")


def test_wrong_charsets_are_not_utf8(crawl: Crawl, rows: list[dict]) -> None:
    bodies = responses(crawl)
    found = [row for row in rows if row["kind"] == "wrong_charset"]
    assert {row["declared_charset"] for row in found} == {"", "utf-8"}
    for row in found:
        assert row["true_charset"] in OLD_CHARSETS[row["language"]]
        if row["language"] in ("ru", "ja", "el"):
            with pytest.raises(UnicodeDecodeError):
                bodies[row["url"]][1].decode("utf-8")


@pytest.mark.parametrize("attack", HOSTILE_TEXTS)
@pytest.mark.parametrize("template", TEMPLATES, ids=range(len(TEMPLATES)))
def test_hostile_text_is_text_in_every_template(template: str, attack: str) -> None:
    rng = random.Random(0)
    site = Site("elm-post.example", BOOKS[0], template, BOOKS[0].menu)
    html = render(rng, site, attack, [attack, attack], topic="cooking")
    visible = html_entities.unescape(re.sub(r"<[^>]*>", "", html))
    assert visible.count(attack) == 4  # title, headline and two paragraphs
    assert "<script>alert" not in html


@pytest.mark.parametrize("attack", HOSTILE_MARKUPS, ids=lambda attack: attack.__name__)
@pytest.mark.parametrize("template", TEMPLATES, ids=range(len(TEMPLATES)))
def test_hostile_markup_leaves_the_text_alone(template: str, attack: Callable[[bytes], bytes]) -> None:
    site = Site("elm-post.example", BOOKS[0], template, BOOKS[0].menu)
    html = render(random.Random(0), site, "A title", ["One paragraph."], topic="cooking").encode()
    attacked = attack(html)
    assert attacked != html
    assert len(attacked) - len(html) < 100_000
    assert b"One paragraph." in attacked


def test_urls_are_hostile_too(rows: list[dict]) -> None:
    assert any("<script>" in row["url"] for row in rows if row["kind"] == "hostile")


# The measures


def table(**columns: list) -> pa.Table:
    return pa.table(columns)


def perfect(rows: list[dict]) -> dict[str, pa.Table]:
    """The tables of a run without a mistake."""
    texts = [row for row in rows if row["text"] is not None]
    masked = {row["url"]: row["text"] for row in texts}
    for row in texts:
        for kind, placeholder in MASKS.items():
            for secret in row[kind]:
                masked[row["url"]] = masked[row["url"]].replace(secret, placeholder)
    return {
        "documents": table(url=[row["url"] for row in texts]),
        "pages": table(
            url=["" if row["broken"] else row["url"] for row in rows],
            status=["bad_record" if row["broken"] else "empty" if row["text"] is None else "ok" for row in rows],
            text=[row["text"] for row in rows],
        ),
        "scores": table(url=[row["url"] for row in texts], language=[row["language"] for row in texts]),
        "clusters": table(
            url=[row["url"] for row in texts if row["cluster"]],
            cluster=[row["cluster"] for row in texts if row["cluster"]],
        ),
        "corpus": table(url=list(masked), text=list(masked.values())),
    }


def test_a_perfect_run_scores_one_everywhere(crawl: Crawl, rows: list[dict]) -> None:
    measures = truth.evaluate(pq.read_table(crawl.truth), **perfect(rows), masks=MASKS)
    assert {measure.name: measure.value for measure in measures if measure.value != 1} == {}
    assert all(measure.n > 0 and measure.note for measure in measures)
    assert len({measure.name for measure in measures}) == len(measures)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(InputError, match="no column 'status' in a table of url"):
        truth.read_measures(table(url=["a"], broken=[False]), table(url=["a"]))


def values(measures: list[truth.Measure]) -> dict[str, tuple[float | None, int]]:
    return {measure.name: (measure.value, measure.n) for measure in measures}


def test_nothing_to_measure_has_no_value() -> None:
    empty = table(url=pa.array([], pa.string()), language=pa.array([], pa.string()))
    (measure,) = truth.language_measures(empty, empty)
    assert (measure.value, measure.n) == (None, 0)


def test_reading_counts_damage_and_missing_records() -> None:
    found = truth.read_measures(
        table(url=["a", "b", "c", "d"], broken=[False, False, True, True]),
        table(url=["a", "x", ""], status=["ok", "ok", "bad_record"]),
    )
    assert values(found) == {"broken_records_found": (0.5, 2), "sound_records_read": (0.5, 2)}


def test_extraction_compares_bags_of_words() -> None:
    found = truth.extraction_measures(
        table(url=["a", "b", "c", "d"], text=["one two two three", "x", None, "lost"]),
        table(url=["a", "b", "c", "d"], status=["ok", "ok", "ok", "empty"], text=["ONE two menu", "", "menu", None]),
    )
    f1 = 2 * (2 / 3) * (1 / 2) / (2 / 3 + 1 / 2)
    assert values(found) == {
        "extraction_word_f1": (pytest.approx(f1 / 2), 2),
        "extraction_word_precision": (pytest.approx(1 / 3), 2),
        "extraction_word_recall": (0.25, 2),
        "pages_extracted": (pytest.approx(2 / 3), 3),
    }


def test_language_recall_and_precision() -> None:
    found = truth.language_measures(
        table(url=["a", "b", "c", "d"], language=["en", "en", "de", ""]),
        table(url=["d", "c", "b", "a", "x"], language=["en", "en", "fr", "en", "en"]),
    )
    assert values(found) == {
        "language_accuracy": (pytest.approx(1 / 3), 3),
        "language_recall_de": (0, 1),
        "language_precision_de": (None, 0),
        "language_recall_en": (0.5, 2),
        "language_precision_en": (0.5, 2),
    }


def test_duplicates_are_counted_in_pairs() -> None:
    text = " ".join(f"w{i}" for i in range(100))
    near, far = text.replace("w50 ", "other "), " ".join(f"w{i}" for i in range(50))
    names = ["a", "b", "near", "far", "alone", "unread", "menu"]
    found = truth.duplicate_measures(
        table(url=names, text=[text, text, near, far, "else", text, None], cluster=["1"] * 4 + ["", "1", ""]),
        table(url=[name for name in names if name != "unread"]),
        table(url=["a", "b", "alone", "near", "far", "menu"], cluster=["p", "p", "p", "q", "r", "p"]),
    )
    assert values(found) == {
        "exact_copy_recall": (1, 1),
        "near_duplicate_recall": (0, 2),
        "far_duplicate_recall": (0, 3),
        "duplicate_precision": (pytest.approx(1 / 3), 3),
    }


def test_masking_counts_what_stayed_and_what_was_no_address() -> None:
    found = truth.masking_measures(
        table(
            url=["a", "b", "dropped"],
            emails=[["x@y.example", "z@y.example", "x (at) y dot example"], [], ["q@y.example"]],
            phones=[["1"], [], []],
            ips=[["9.9.9.9"], [], []],
        ),
        table(
            url=["a", "b"],
            text=[f"{MASK} z@y.example x (at) y dot example 9.9.9.9 {MASKS['phones']}", f"{MASK}{MASKS['phones']}"],
        ),
        MASKS,
    )
    assert values(found) == {
        "email_masking_recall": (0.5, 2),
        "spelt_out_email_masking_recall": (0, 1),
        "email_masking_precision": (0.5, 2),
        "phone_masking_recall": (1, 1),
        "phone_masking_precision": (0.5, 2),
        "ip_masking_recall": (0, 1),
        "ip_masking_precision": (None, 0),
    }
