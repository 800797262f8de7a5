"""Deny-lists of hosts and URLs, words in URLs, registered domains."""

from __future__ import annotations

import gzip
import itertools
import logging
import re
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

import numpy as np
import pyarrow as pa
import pytest
import tldextract
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.errors import EnvironmentFault, InputError
from textmill.filters import preset, url, url_words
from textmill.filters.base import Scorer, measure
from textmill.filters.url import UrlDenied, find_lists, passes
from textmill.filters.url_parts import UrlParts, icann_rules
from textmill.filters.url_words import UrlWords, find_words
from textmill.pipeline.stage import _identity
from textmill.text import Documents, Segmentation

LIST = """\
# a comment
Example.org
0.0.0.0\tads.example  # as in a hosts file
http://WWW.b.example:80/About/
c.example/x?id=1#top
xxx

https://d.example./
"""


def denied(scorer: UrlDenied, *urls: str) -> list[int]:
    return columns(scorer, *urls)["url_denied"].to_pylist()


def columns(scorer: Scorer, *urls: str) -> pa.Table:
    return measure([scorer], Documents(pa.table({"url": pa.array(urls, pa.string())})))


@pytest.fixture
def scorer(tmp_path: Path) -> UrlDenied:
    path = tmp_path / "list.txt"
    path.write_bytes(b"\xef\xbb\xbf" + LIST.replace("\n", "\r\n").encode())
    return find_lists([str(path)])


@pytest.mark.parametrize(
    ("address", "covered"),
    [
        ("http://example.org/", 1),
        ("https://www.EXAMPLE.org./x", 1),
        ("http://sub.example.org:8080", 1),
        ("http://user:password@example.org", 1),
        ("http://notexample.org/", 0),
        ("http://example.org.net/", 0),
        ("http://example.net/example.org", 0),
        ("http://example.net/?u=http://example.org/", 0),
        ("http://example.net#example.org/", 0),
        ("ads.example", 1),
        ("http://0.0.0.0/", 0),
        ("http://b.example/about", 1),
        ("https://www.b.example/about/us?x=y", 1),
        ("https://b.example:443/ABOUT?y#z", 1),
        ("http://b.example/abouts", 0),
        ("http://b.example/", 0),
        ("http://sub.b.example/about", 0),
        ("http://c.example/x?id=1", 1),
        ("http://c.example/x?id=12", 0),
        ("http://c.example/x", 0),
        ("http://anything.xxx/", 1),
        ("http://d.example/x", 1),
        ("http://[::1]:80/", 0),
        ("http://" + "a." * 4000 + "example.org/", 1),
        ("http://", 0),
        ("", 0),
    ],
)
def test_what_a_list_covers(scorer: UrlDenied, address: str, covered: int) -> None:
    assert denied(scorer, address) == [covered]


def reference(address: str, hosts: set[str], urls: set[str]) -> bool:
    parts = urlsplit(address.lower())
    host = (parts.hostname or "").rstrip(".").removeprefix("www.")
    labels = host.split(".")
    if any(".".join(labels[i:]) in hosts for i in range(len(labels))):
        return True
    path = (parts.path + (f"?{parts.query}" if parts.query else "")).rstrip("/")
    ends = [i for i, c in enumerate(path) if c in "/?" and i] + [len(path)]
    return any(host + path[:end] in urls for end in ends)


LABELS = st.sampled_from(["a", "b", "www", "Org", "net"])
HOSTS = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
PATHS = st.lists(st.sampled_from(["x", "Y", "z"]), max_size=3).map(lambda parts: "".join(f"/{p}" for p in parts))
ENDINGS = st.sampled_from(["", "/", "?q=1", "#f"])


@settings(deadline=None)
@given(st.lists(st.tuples(HOSTS, PATHS), max_size=5), st.tuples(HOSTS, PATHS, ENDINGS))
def test_the_kernel_agrees_with_plain_python(
    tmp_path_factory: pytest.TempPathFactory, entries: list[tuple[str, str]], page: tuple[str, str, str]
) -> None:
    path = tmp_path_factory.mktemp("lists") / "list"
    path.write_text("\n".join(host + rest for host, rest in entries))
    hosts = {host.lower().removeprefix("www.") for host, rest in entries if not rest}
    urls = {(host.lower().removeprefix("www.") + rest.lower()) for host, rest in entries if rest}
    address = f"https://{''.join(page)}"
    assert denied(find_lists([str(path)]), address) == [reference(address, hosts, urls)]


def test_folders_and_packed_lists(tmp_path: Path) -> None:
    (tmp_path / "adult").mkdir()
    (tmp_path / "adult" / "domains").write_text("a.example\n")
    (tmp_path / "adult" / "urls.gz").write_bytes(gzip.compress(b"b.example/x\n"))
    (tmp_path / "adult" / "expressions").write_text("c.example\n")
    scorer = find_lists([str(tmp_path)])
    assert denied(scorer, "http://a.example/", "http://b.example/x/y", "http://c.example/") == [1, 1, 0]
    with pytest.raises(InputError, match="no list in this folder"):
        (tmp_path / "empty").mkdir()
        find_lists([str(tmp_path / "empty")])
    with pytest.raises(InputError, match="cannot read this list"):
        find_lists([str(tmp_path / "none")])


def test_a_list_is_its_content(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("a.example")
    other.write_text("a.example")
    assert _identity(find_lists([str(one)])) == _identity(find_lists([str(other)]))
    scorer = find_lists([str(one)])
    url._load.cache_clear()
    one.write_text("b.example")
    assert _identity(find_lists([str(one)])) != _identity(scorer)
    with pytest.raises(EnvironmentFault, match="has sha256"):
        denied(scorer, "http://a.example/")
    one.unlink()
    with pytest.raises(EnvironmentFault, match="no list here"):
        denied(scorer, "http://a.example/")


def test_damaged_and_odd_lists(tmp_path: Path) -> None:
    path = tmp_path / "domains"
    path.write_bytes(gzip.compress(b"a.example" * 1000)[:-9])
    with pytest.raises(InputError, match="damaged gzip"):
        denied(find_lists([str(path)]), "http://a.example/")
    path.write_bytes(bytes(range(256)) * 20 + b"\n://\n/x\n?\n#\n.\n:80\na.example")
    assert denied(find_lists([str(path)]), "http://a.example/", "http:///", "http://?", "") == [1, 0, 0, 0]
    assert denied(UrlDenied(), "http://a.example/") == [0]


def test_lists_are_read_from_slices(scorer: UrlDenied) -> None:
    urls = pa.array(["http://z.example/", "http://example.org/", "http://y.example/"], pa.string())
    covered = scorer.score(Documents(pa.table({"url": urls}).slice(1)))[0]
    assert covered.to_pylist() == [1, 0]


@pytest.mark.parametrize(
    ("address", "by"),
    [
        ("http://x.example.co.uk/", "domain"),
        ("http://example.co.uk/", "domain"),
        ("http://deep.sub.example.de/", "host"),
        ("http://example.de/", ""),
        ("http://10.0.0.1/x", "host"),
        ("http://any.zip/", "domain"),
        ("http://example.fr/a/b", "url"),
        ("http://sub.example.fr/a/b", ""),
    ],
)
def test_columns_say_what_an_entry_covers(tmp_path: Path, address: str, by: str) -> None:
    path = tmp_path / "list"
    path.write_text("example.co.uk\nsub.example.de\n10.0.0.1\nzip\nexample.fr/a\n")
    (row,) = columns(find_lists([str(path)]), address).to_pylist()
    assert row == {f"url_denied{kind}": int(kind == f"_{by}" or (not kind and bool(by))) for kind in KINDS_OF_ENTRY}


KINDS_OF_ENTRY = ("", "_domain", "_host", "_url")


def test_lines_that_are_no_entries_are_reported_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "domains"
    path.write_text("# comment\n\na.example\n/path\n  # another\nhttp://\nb.example\n?q\n")
    with caplog.at_level(logging.WARNING, "textmill"):
        scorer = find_lists([str(path)])
        assert denied(scorer, "http://a.example/", "http://b.example/") == [1, 1]
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: 3 lines skipped, no host or URL; the first is line 4"
    ]


def test_what_looks_like_an_entry_and_is_none_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "list"
    none = (
        "||a.example^",
        "<html>",
        "see b.example",
        "address=/c.example/",
        "d.example/#!/x",
        "e.example/x y",
        "*",
        ".",
    )
    path.write_text("\n".join(none))
    with caplog.at_level(logging.WARNING, "textmill"):
        scorer = find_lists([str(path)])
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: 8 lines skipped, no host or URL; the first is line 1"
    ]
    assert denied(scorer, *(f"http://{name}.example/x" for name in "abcde"), "http://html/", "http://any/") == [0] * 7


def test_dots_and_stars_before_names_and_lines_of_a_hosts_file(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text(
        ".a.example\n*.b.example # both\n127.0.0.1\tc.example d.example\n::1 e.example\n10.0.0.1\n# f.example"
    )
    hosts = ("a.example", "x.a.example", "b.example", "x.b.example", "c.example", "d.example", "e.example", "10.0.0.1")
    scorer = find_lists([str(path)])
    assert denied(scorer, *(f"http://{host}/" for host in hosts)) == [1] * len(hosts)
    assert denied(scorer, "http://127.0.0.1/", "http://[::1]/", "http://f.example/", "http://both/") == [0] * 4


# Registered domains

OURS = tldextract.TLDExtract(cache_dir=None, suffix_list_urls=())


@pytest.mark.parametrize(
    ("address", "domain", "tld"),
    [
        ("https://user:pw@www.BBC.co.uk:8080/news?x=http://other.example/", "bbc.co.uk", "uk"),
        ("http://a.b.example.com./", "example.com", "com"),
        ("http://www.gov.uk/", "www.gov.uk", "uk"),
        ("http://co.uk/", "", "uk"),
        ("http://www.ck/", "www.ck", "ck"),
        ("http://a.b.c.ck/", "b.c.ck", "ck"),
        ("http://city.kawasaki.jp/", "city.kawasaki.jp", "jp"),
        ("http://x.city.kawasaki.jp/", "city.kawasaki.jp", "jp"),
        ("http://x.other.kawasaki.jp/", "x.other.kawasaki.jp", "jp"),
        ("http://a.blogspot.com/", "blogspot.com", "com"),
        ("http://пример.испытание.рф/", "испытание.рф", "рф"),
        ("http://xn--e1afmkfd.xn--80akhbyknj4f.xn--p1ai/", "xn--80akhbyknj4f.xn--p1ai", "xn--p1ai"),
        ("http://x.個人.香港/", "x.個人.香港", "香港"),
        ("http://x.xn--gmqw5a.xn--j6w193g/", "x.xn--gmqw5a.xn--j6w193g", "xn--j6w193g"),
        ("http://foo.bar.nosuchtld/", "bar.nosuchtld", "nosuchtld"),
        ("http://localhost:80/", "", "localhost"),
        ("http://192.168.0.1/a.b", "", ""),
        ("http://192.168.0.1:80/a.b", "", ""),
        ("http://[2001:db8::1]:80/a.b", "", ""),
        ("http://[::1", "", ""),
        ("http://" + "a." * 200 + "com/", "", ""),
        ("http://a..com/", ".com", "com"),
        ("http://", "", ""),
        ("", "", ""),
    ],
)
def test_registered_domains(address: str, domain: str, tld: str) -> None:
    assert columns(UrlParts(), address).to_pylist() == [{"url_registered_domain": domain, "url_tld": tld}]


def test_the_suffixes_are_those_of_tldextract() -> None:
    assert sorted(icann_rules()) == sorted(OURS.tlds)


SUFFIXES = st.sampled_from([rule.strip("*!.") for rule in OURS.tlds])
LETTERS = st.text("ab1-ü", min_size=1, max_size=3)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.lists(LETTERS, max_size=3), SUFFIXES), min_size=1, max_size=5))
def test_domains_are_those_of_tldextract(hosts: list[tuple[list[str], str]]) -> None:
    names = [".".join([*labels, suffix]) for labels, suffix in hosts]
    found = columns(UrlParts(), *(f"http://{name}/" for name in names))["url_registered_domain"].to_pylist()
    assert found == [OURS(name).top_domain_under_public_suffix for name in names]


# Words


@pytest.mark.parametrize(
    ("address", "strict", "hard", "soft"),
    [
        ("http://a.example/casino-poker/", 0, 0, 2),
        ("http://a.example/CASINO/casino?q=casino", 0, 0, 1),
        ("http://a.example/casinos_pokerface", 0, 0, 0),
        ("http://Porn.example/%70orn_PORN", 0, 3, 0),
        ("http://siriporn.example/", 0, 0, 0),
        ("http://essexshop.example/sussexcampus", 0, 0, 0),
        ("http://my.porn-hub.example/", 1, 1, 0),
        ("http://mypornhubs.example/x%70%6Fr%6e%48ub", 2, 0, 0),
        ("http://porn/hub.example/", 0, 1, 0),
        ("http://a.example/x.v-ide.os", 1, 0, 0),
        ("%", 0, 0, 0),
        ("porn%", 0, 1, 0),
        ("%70%6f%72%6", 0, 0, 0),
        ("http://a.example/%E3porn%AApornhub%C3", 1, 1, 0),
        ("", 0, 0, 0),
    ],
)
def test_the_words_of_the_package(address: str, strict: int, hard: int, soft: int) -> None:
    assert columns(UrlWords(), address).to_pylist() == [
        {"url_n_strict": strict, "url_n_hard": hard, "url_n_soft": soft}
    ]


def test_the_words_of_the_package_are_words_and_stand_in_one_list_each() -> None:
    lists = (url_words.STRICT, url_words.HARD, url_words.SOFT)
    assert all(word.isascii() and word.isalnum() and word.islower() for words in lists for word in words)
    assert len({word for words in lists for word in words}) == sum(map(len, lists))


def words_reference(address: str, strict: list[str], hard: list[str], soft: list[str]) -> dict[str, int]:
    plain = unquote_to_bytes(address).decode("utf-8", "replace").lower()
    squeezed = re.sub("[-.]", "", plain)
    words = re.findall(r"(?:[^\W_]|\u0301)+", plain)
    return {
        "url_n_strict": sum(squeezed.startswith(word, i) for word in set(strict) for i in range(len(squeezed))),
        "url_n_hard": sum(word in hard for word in words),
        "url_n_soft": len(set(words) & set(soft)),
    }


URL_PIECES = st.sampled_from([*"aaaAééÉ-./_b日\u0301", "%C3%A9", "%61", "%", "aaé"])
WORDS = st.lists(st.text("aaébé日", min_size=1, max_size=3), max_size=4)
STRICT_WORDS = st.lists(st.text("aé", min_size=3, max_size=5) | st.text("aé/_", min_size=3, max_size=3), max_size=5)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.lists(URL_PIECES, max_size=20).map("".join), max_size=4), STRICT_WORDS, WORDS, WORDS)
def test_words_are_counted_as_in_plain_python(
    tmp_path_factory: pytest.TempPathFactory, urls: list[str], strict: list[str], hard: list[str], soft: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("words")
    for name, words in (("strict.txt", strict), ("hard", hard), ("soft", soft)):
        (folder / name).write_text("\n".join([*words, "#", "one-more", "none"]).upper(), "utf-8")
    extra = ["none", "onemore"], ["none"], ["none"]
    lists = [words + more for words, more in zip((strict, hard, soft), extra, strict=True)]
    found = columns(find_words([str(folder)]), *urls).to_pylist()
    assert found == [words_reference(address, *lists) for address in urls]


@settings(deadline=None)
@given(st.lists(st.text("%aF0gZ/é", max_size=12), max_size=4))
def test_escapes_are_decoded_as_in_the_standard_library(urls: list[str]) -> None:
    given_ = Segmentation(pa.array(["not this", *urls], pa.large_string())[1:])
    data, offsets = np.empty_like(given_.data), np.empty_like(given_.offsets)
    url_words._unescape(given_.data, given_.offsets, data, offsets)
    plain = [data[start:end].tobytes() for start, end in itertools.pairwise(offsets)]
    assert plain == [unquote_to_bytes(address) for address in urls]


def test_bytes_that_are_no_utf8_are_scored() -> None:
    raw = pa.array([b"\xff\xe3%e3", b"http://\xc3.\xf0/porn\xe3"], pa.large_binary())
    text = pa.LargeStringArray.from_buffers(len(raw), *raw.buffers()[1:])
    for scorer in (UrlWords(), UrlParts()):
        assert [len(column) for column in scorer.score(Documents(pa.table({"url": text})))] == [2] * len(scorer.columns)


def test_word_lists_are_known_by_name_and_bad_lines_are_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "banned_subwords.txt.gz").write_bytes(gzip.compress(b"foobar\nab\nx y z\n"))
    (tmp_path / "banned_words.txt").write_text("one\ntwo words\n")
    (tmp_path / "other.txt").write_text("casino")
    with caplog.at_level(logging.WARNING, "textmill"):
        scorer = find_words([str(tmp_path)])
    assert [record.getMessage().removeprefix(f"{tmp_path}/") for record in caplog.records] == [
        "banned_subwords.txt.gz: 2 lines skipped, no strict word; the first is line 2",
        "banned_words.txt: 1 line skipped, no hard word; the first is line 2",
    ]
    (row,) = columns(scorer, "http://foo-bar.example/one/casino/porn/ab").to_pylist()
    assert row == {"url_n_strict": 1, "url_n_hard": 1, "url_n_soft": 0}
    with pytest.raises(InputError, match="named strict, hard or soft"):
        find_words([str(tmp_path / "other.txt")])
    for missing in ("strict.txt", "elsewhere"):
        with pytest.raises(InputError, match="cannot read this list"):
            find_words([str(tmp_path / missing)])


def test_too_many_strict_words_are_an_input_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(url_words, "MAX_STRICT_CHARS", 10)
    (tmp_path / "strict").write_text("abcdef\nabcdeg\n")
    with pytest.raises(InputError, match="12 characters of strict words"):
        find_words([str(tmp_path)])


# Presets


def test_presets_keep_the_published_order() -> None:
    assert [rule.reason for rule in preset("url@fineweb").rules] == [
        "url_domain", "url_host", "url_full", "url_hard", "url_soft", "url_strict",
    ]  # fmt: skip
    assert [rule.reason for rule in preset("url@refinedweb").rules] == [
        "url_denied", "url_strict", "url_hard", "url_soft",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["url@fineweb", "url@refinedweb"])
def test_passes(tmp_path: Path, name: str) -> None:
    lists, words = tmp_path / "domains", tmp_path / "soft"
    lists.write_text("denied.example\nother.example/x\n")
    words.write_text("red\ngreen\nblue\n")
    assert passes("http://a.example/casino", name)
    assert not passes("http://a.example/casino-poker", name)
    assert not passes("http://a.example/porn", name)
    assert passes("http://a.denied.example/", name)
    assert not passes("http://a.denied.example/", name, [str(lists)])
    assert not passes("https://other.example/x/y", name, lists=[str(lists)])
    assert passes("http://a.example/casino-poker-red", name, words=[str(words)])
    assert not passes("http://a.example/GREEN-red", name, words=[str(words)])
    assert passes("\ud800", name)
