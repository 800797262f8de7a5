"""Deny-lists of hosts and URLs."""

from __future__ import annotations

import gzip
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.errors import EnvironmentFault, InputError
from textmill.filters import url
from textmill.filters.url import UrlDenied, find_lists
from textmill.pipeline.stage import _identity
from textmill.text import Documents

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
    (covered,) = scorer.score(Documents(pa.table({"url": pa.array(urls, pa.string())})))
    return covered.to_pylist()


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
    with pytest.raises(InputError, match="no deny-list in this folder"):
        (tmp_path / "empty").mkdir()
        find_lists([str(tmp_path / "empty")])
    with pytest.raises(InputError, match="cannot read this deny-list"):
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
    with pytest.raises(EnvironmentFault, match="no deny-list here"):
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
    (covered,) = scorer.score(Documents(pa.table({"url": urls}).slice(1)))
    assert covered.to_pylist() == [1, 0]
