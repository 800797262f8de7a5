"""The tokenizer of the extraction engine: worked examples, a plain-Python reference, hostile bytes."""

from __future__ import annotations

import html
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.pipeline.extraction import markup
from textmill.pipeline.extraction.markup import MAX_DEPTH, TAGS, Markup, hint_hash, read_markup


def texts(page: str | bytes) -> list[str]:
    """The text of the blocks."""
    found = read_markup(page if isinstance(page, bytes) else page.encode())
    return [
        found.text[a:b].tobytes().decode() for a, b in zip(found.block_start, found.block_end, strict=True)
    ]  # fmt: skip


def path(found: Markup, element: int) -> str:
    """The tags from the root to an element."""
    names = []
    while element >= 0:
        names.append(TAGS[found.tag[element]])
        element = int(found.parent[element])
    return " ".join(reversed(names))


def paths(page: str) -> list[str]:
    """Where the blocks stand: the tags from the root to each, and its text."""
    found = read_markup(page.encode())
    return [f"{path(found, e)}: {text}" for e, text in zip(found.block_element, texts(page), strict=True)]


# Worked examples


@pytest.mark.parametrize(
    ("page", "blocks"),
    [
        # white space, breaks, blocks
        ("", []),
        ("just text", ["just text"]),
        (" \n a \t\r\n  b\f ", ["a b"]),
        ("a<b>b</b> c<i> d</i>", ["ab c d"]),
        ("<p>a<p>b</p>c", ["a", "b", "c"]),
        ("a<br>b", ["a\nb"]),
        ("a <br/> b", ["a\nb"]),
        ("a<br><br>b<br> &nbsp; <BR />c<br><br><br><br>d<br>", ["a", "b", "c", "d"]),
        ("<br>a", ["a"]),
        ("a</br>b", ["a\nb"]),  # as browsers take it
        ("a<hr>b<wbr>c<img src=x>d", ["a", "bcd"]),
        ("a<div></div>b", ["a", "b"]),
        ("<pre>\n  a\tb\r\n\r\n  c&nbsp;d<br>e </pre>f  g", ["\n  a\tb\n\n  c d\ne ", "f g"]),
        ("<pre>a<b> b</b>\n<span>c </span></pre>", ["a b\nc "]),
        # characters
        ("caf\u00e9 \u65e5\u672c \U0001f600", ["caf\u00e9 \u65e5\u672c \U0001f600"]),
        ("a\u00a0b\u3000c", ["a b c"]),
        ("so\u00adft&shy;ly\u200b,\ufeff.", ["softly,."]),
        ("\u00bfno\u00e2\u3042\uff21", ["\u00bfno\u00e2\u3042\uff21"]),  # begin with the same bytes as those above
        ("a\0b", ["a b"]),
        ("&amp;&lt;&gt;&quot;&AMP;&amp&lt", ['&<>"&&<']),
        ("&eacute;&Eacute;&eacutex &notit; &notin; &NOTIT;", ["\u00e9\u00c9\u00e9x \u00acit; \u2209 &NOTIT;"]),
        ("&; & &x; &unknown; &hellip &hellip;", ["&; & &x; &unknown; &hellip \u2026"]),
        ("&NotEqualTilde;&CounterClockwiseContourIntegral;", ["\u2242\u0338\u2233"]),
        ("a&nbsp;&emsp;b&nbsp c&Tab;d&NewLine;e&#32;f", ["a b c d e f"]),
        ("&#65;&#x42;&#X43&#68 &#;&#x;&#xg; &#", ["ABCD &#;&#x;&#xg; &#"]),
        ("&#150;&#x80;&#x81;", ["\u2013\u20ac"]),
        ("a&#1;b&#x7f;c&#x202e;d&zwnj;&#xfdd0;e&#xe0041;f\x01\x85g\u2028h\u1680i\uffff", ["abcd\u200cef g h i"]),
        ("\u2060a\u2066b\U000e0020c\U000f0000\u2010\x7f", ["abc\U000f0000\u2010"]),
        ("&#0;&#xD800;&#xDFFF;&#x110000;&#99999999999999999999;&#xFFFFFFFFF1;", ["\ufffd" * 6]),
        ("&#x10FFFF;&#128512;&#160;.", ["\U0010ffff\U0001f600 ."]),
        # what begins with "<"
        ("a < b <3 <= << <", ["a < b <3 <= << <"]),
        ("a<>b", ["a<>b"]),
        ("a</>b</ p>c</3>d", ["abcd"]),
        ("a</", ["a</"]),
        ("a<!-- b -- > c -->d", ["ad"]),
        ("a<!-->b<!--->c<!---->d<!----->e<!--x--->f", ["abcdef"]),
        ("a<!-- b --!>c<!----!>d", ["acd"]),
        ("a<!--!>b-->c<!---!>d-->e", ["ace"]),
        ("a<!-- b <p> c", ["a"]),
        ("a<!>b<!DOCTYPE html>c<!x>d<?php echo 1 ?>e<?>f", ["abcdef"]),
        ("a<!-", ["a"]),
        ("a<![CDATA[b <i>c</i> d]]>e ]]> f", ["ab c de ]]> f"]),
        ("a<![cdata[b]] >]]]>c", ["ab]] >]c"]),
        ("a<![CDATA", ["a"]),
        # tags
        ("<P CLASS=X>a</P\n>b<Div\t>c</dIV/>d", ["a", "b", "c", "d"]),
        ("<a title='>' href=\"x>y\" alt=a>b>c</a>d", ["b>cd"]),
        ("a<p title='b>c", ["a"]),
        ('a</p title=">">b', ["a", "b"]),
        ("a<x-foo>b</x-foo>c", ["abc"]),
        ("a<p", ["a"]),
        ("a</p", ["a"]),
        # what has no text
        ("<script>a<p>b</script>c<style>d</STYLE >e", ["ce"]),
        ("<script>a</scrip></scriptx></script>b", ["b"]),
        ("<script>a", []),
        ("a<noscript>b<p>c</noscript>d<iframe>e</iframe>f", ["adf"]),
        ("<title>a &amp; b</title>c<textarea><p>d</textarea>e", ["ce"]),
        ("a<select><option>b</select>c<button>d<p>e</button>f", ["acf"]),
        ("a<svg><title>b</title><text>c</svg>d", ["ad"]),
        ("a<svg viewBox=x />b", ["ab"]),
        ("a<template><p>b</template>c<object>d</object>e", ["ace"]),
        ("a<span hidden>b</span>c<p hidden>d<p>e", ["ac", "e"]),
        ("<p hidden=until-found>a<p hidden='hidden'>b<div hidden=''>c</div>d", ["a", "d"]),
        ("<p style='color: red; DISPLAY : None'>a<p style=display:none>b<p style='display:block'>c", ["c"]),
        ("<p aria-hidden=TRUE>a<p aria-hidden=false>b<p data-hidden=hidden>c", ["b", "c"]),
        ("<body style='display:none' hidden>a", ["a"]),  # scripts show it again
        # formulas
        ('a <math alttext="x &lt; y"><mi>x</mi></math> b', ["a $x < y$ b"]),
        ("<math><mi>x</mi><annotation encoding='application/x-tex'>\\frac&#123;</annotation></math>b", ["$\\frac{$b"]),
        ("<math><annotation-xml> <mi>z</mi></annotation-xml><annotation encoding=TeX>y</math>", ["$y$"]),
        ("<math><annotation encoding='MathType'>y</annotation></math>a", ["a"]),
        ("a<math> </math>b<math><mi>x</mi></math>c<math/>d", ["abcd"]),
        ("<math alttext=' '></math>a", ["a"]),
        ("a<math alttext=x />b", ["a$x$b"]),
        ("a <math alttext=b> c", ["a c"]),  # without an end it is read as text
        ("<math><annotation encoding=tex>b</annotation> c", ["b c"]),
        ('a <script type="math/tex; mode=display">b &lt; c</script> d', ["a $b < c$ d"]),
        ("a<br><script type='math/tex'>b</script><span hidden><script type='math/tex'>c</script></span>", ["a\n$b$"]),
    ],
)
def test_text(page: str, blocks: list[str]) -> None:
    assert texts(page) == blocks


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("<div><p>a<p>b<div>c</div>d", ["div p: a", "div p: b", "div div: c", "div: d"]),
        ("<p><b>a<p>b", ["p b: a", "p: b"]),  # formatting is not opened again
        ("<p>a<table><tr><td>b<p>c</table>d", ["p: a", "table tr td: b", "table tr td p: c", ": d"]),
        ("<p><span>a<h2>b</h2>c", ["p span: a", "h2: b", ": c"]),
        ("<ul><li>a<li>b<ul><li>c</ul>d<li>e</ul>", [
            "ul li: a", "ul li: b", "ul li ul li: c", "ul li: d", "ul li: e",
        ]),
        ("<ul><li><p><b>a<li>b", ["ul li p b: a", "ul li: b"]),
        ("<dl><dt>a<dd>b<dt>c<dl><dd>d</dl>e", ["dl dt: a", "dl dd: b", "dl dt: c", "dl dt dl dd: d", "dl dt: e"]),
        ("<table><tr><td>a<td>b<th>c<tr><td>d<tbody><tr><td>e", [
            "table tr td: a", "table tr td: b", "table tr th: c", "table tr td: d", "table tr td: e",
        ]),
        ("<table><thead><tr><th>a<tbody><tr><td>b<tfoot><tr><td>c<tbody><tr><td>d", [
            "table thead tr th: a", "table tbody tr td: b", "table tfoot tr td: c", "table tbody tr td: d",
        ]),
        ("<table><tr><td><table><tr><td>a<tr><td>b</table>c<td>d", [
            "table tr td table tr td: a", "table tr td table tr td: b", "table tr td: c", "table tr td: d",
        ]),
        ("<div><table><tr><td>a</div>b</p></li>c", ["div table tr td: a", "div table tr td: b", "div table tr td: c"]),
        ("<table><tr><td>a</tr>b</table>c", ["table tr td: a", "table: b", ": c"]),
        ("<div><b>a</div>b</b>c", ["div b: a", ": bc"]),
        ("<b><div>a</b>b</div>c", ["b div: ab", "b: c"]),
        ("<b><i>a</b>b</i>c", ["b i: abc"]),
        ("<h2>a<h3>b</h3>c", ["h2: a", "h3: b", ": c"]),
        ("<h2>a</h3>b<h1>c</h2>d", ["h2: a", ": b", "h1: c", ": d"]),
        ("<h2>a<div>b</h3>c", ["h2: a", "h2 div: b", ": c"]),
        ("<a href=x>a<a href=y>b</a>c", ["a: abc"]),
        ("<a href=x><div>a<a href=y>b</a></div>c", ["a div: ab", "a: c"]),
        ("</p></div></x>a", [": a"]),
        ("<html><head><title>x</title></head><body>a</body>b</html>c", ["html body: a", "html: b", ": c"]),
        ("<p>a<x-y>b</x-y><br><br>c", ["p: ab", "p: c"]),
        ("<p><i>a<br><br>b</i></p>", ["p i: a", "p i: b"]),
    ],
)  # fmt: skip
def test_nesting(page: str, expected: list[str]) -> None:
    assert paths(page) == expected


def test_the_title_is_that_of_the_page() -> None:
    for page, title in {
        "<title>a &amp; b</title>": "a &amp; b",
        "<svg><title>a</title></svg><TITLE lang=en>b</title x><title>c</title>": "b",
        "<title>a": "a",
        "<p>a": "",
        "<title></title>": "",
    }.items():
        start, end = read_markup(page.encode()).title
        assert page[start:end] == title


def test_links_and_breaks_are_counted() -> None:
    page = "<p>one <a href=x>two </a> three<br>four<p><a name=x>five</a><p><a href=x>\u00e9<p>out"
    found = read_markup(page.encode())
    assert found.block_link.tolist() == [len("two") + 1, 0, 2, 0]  # the space before the word
    assert found.block_breaks.tolist() == [1, 0, 0, 0]


def test_hints() -> None:
    page = "<div id=mainContent class='post-body x Foo_bar2baz ' role=main itemprop=articleBody title=no>"
    page += "<img class=photo><script id=comments></script><p class=caf\u00e9>"
    found = read_markup(page.encode())
    words = "main content post body foo bar baz main article body".split()
    assert found.first_hint.tolist() == [0, 10, 11]
    assert found.hint.tolist() == [hint_hash(word) for word in [*words, "caf\u00e9"]]
    div = "<div class='{}'>".format
    one, same, other = (read_markup(div(name).encode()).shape[0] for name in ("aa bb", "aa bb1", "aa cc"))
    assert one == same != other
    assert read_markup(b"<p class='aa bb'>").shape[0] != one


def test_an_element_knows_its_blocks() -> None:
    page = "<div>a<p>b</p><ul><li>c<li>d</ul><i></i>e <b>f</b><table></table></div>g"
    found = read_markup(page.encode())
    ranges = {TAGS[t]: (int(a), int(b)) for t, a, b in zip(found.tag, found.first_block, found.end_block, strict=True)}
    assert ranges == {
        "div": (0, 5), "p": (1, 2), "ul": (2, 4), "li": (3, 4), "i": (4, 4), "b": (4, 5), "table": (5, 5)
    }  # fmt: skip


# The reference

BLOCK = frozenset(
    "html head body div p ul ol li dl dt dd table thead tbody tfoot tr td th caption h1 h2 h3 section pre form".split()
)
CLOSES_P = BLOCK - frozenset("html head body thead tbody tfoot tr td th caption".split())
HEADINGS = frozenset(["h1", "h2", "h3"])
CELLS = frozenset(["td", "th", "caption", "table"])
PARTS = frozenset("tr td th thead tbody tfoot".split())
IMPLIED = {  # an opening tag: what it closes, and what that must not reach out of
    "li": ({"li"}, CELLS | {"ul", "ol"}), "dt": ({"dt", "dd"}, CELLS | {"dl"}), "dd": ({"dt", "dd"}, CELLS | {"dl"}),
    "td": ({"td", "th"}, {"tr", "table"}), "th": ({"td", "th"}, {"tr", "table"}), "tr": ({"tr"}, {"table"}),
    "tbody": ({"thead", "tbody", "tfoot"}, {"table"}), "thead": ({"thead", "tbody", "tfoot"}, {"table"}),
    "a": ({"a"}, BLOCK), "p": (set(), set()),
}  # fmt: skip
SKIPPED = frozenset(["button", "svg"])
SPACE = set("\t\n\v\f\r \u00a0\u2003\u3000")
INVISIBLE = set("\x01\u00ad\u200b\u202e\ufeff")


@dataclass
class Node:
    name: str
    path: str
    link: bool
    first: int
    end: int = -1


@dataclass
class Reference:
    """Reads a list of tokens: ("open", name, attributes), ("close", name, ""), ("text", text, "")."""

    stack: list[Node] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    blocks: list[tuple[str, str, int]] = field(default_factory=list)  # path, text, bytes in links
    block: list[tuple[str, bool]] = field(default_factory=list)
    path: str = ""
    gap: str = ""
    link: Node | None = None
    skipped: Node | None = None

    def read(self, tokens: list[tuple[str, str, str]]) -> Reference:
        for kind, name, attributes in tokens:
            {"open": self.open, "close": self.close, "text": self.text}[kind](name, attributes)
        self.flush()
        self.pop(0)
        return self

    def text(self, source: str, _: str) -> None:
        if self.skipped:
            return
        in_pre = any(node.name == "pre" for node in self.stack)
        for character in html.unescape(source):
            if character in INVISIBLE or (in_pre and character == "\r"):
                continue
            if character in SPACE and not in_pre:
                self.gap += " "
                continue
            if not self.block:
                self.path = " ".join(node.name for node in self.stack)
            elif self.gap:
                self.block.append(("\n" if "\n" in self.gap else " ", self.link is not None))
            self.gap = ""
            self.block.append((" " if character in SPACE - {"\t", "\n"} else character, self.link is not None))

    def flush(self) -> None:
        if self.block:
            text = "".join(character for character, _ in self.block)
            linked = "".join(character for character, link in self.block if link)
            self.blocks.append((self.path, text, len(linked.encode())))
        self.block, self.gap = [], ""

    def pop(self, depth: int) -> None:
        for node in self.stack[depth:]:
            node.end = len(self.blocks) + bool(self.block)
            self.link = None if self.link is node else self.link
            self.skipped = None if self.skipped is node else self.skipped
        del self.stack[depth:]

    def up_to(self, names: set[str] | frozenset[str], walls: set[str] | frozenset[str]) -> None:
        for depth in range(len(self.stack) - 1, -1, -1):
            if self.stack[depth].name in names:
                self.pop(depth)
                return
            if self.stack[depth].name in walls:
                return

    def open(self, name: str, attributes: str) -> None:
        if name == "br":
            if self.skipped or not self.block:
                return
            if any(node.name == "pre" for node in self.stack):
                self.block.append(("\n", False))
            elif "\n" in self.gap:
                self.flush()
            else:
                self.gap += "\n"
            return
        if name in BLOCK and not self.skipped:
            self.flush()
        if name in CLOSES_P:
            self.up_to({"p"}, CELLS)
        if name in HEADINGS and self.stack and self.stack[-1].name in HEADINGS:
            self.pop(len(self.stack) - 1)
        elif name in IMPLIED:
            self.up_to(*IMPLIED[name])
        above = f"{self.stack[-1].path} {name}" if self.stack else name
        node = Node(name, above, name == "a" and "href" in attributes, len(self.blocks))
        self.stack.append(node)
        self.nodes.append(node)
        if node.link:
            self.link = node
        if not self.skipped and (name in SKIPPED or "hidden" in attributes):
            self.skipped = node

    def close(self, name: str, _: str) -> None:
        visible = name in BLOCK and not self.skipped
        if visible:
            self.flush()
        walls = CELLS if name in BLOCK | SKIPPED else BLOCK
        walls = {"table"} if name in PARTS else frozenset() if name == "table" else walls
        self.up_to(HEADINGS if name in HEADINGS else {name}, walls)
        if name == "a":
            self.link = None


NAMES = "p div ul li dl dt dd table tbody tr td th h1 h2 a b i section pre button form".split()
PIECES = ["a", "b c", " ", "\n", "d ", "\u00e9", "\u65e5\u672c", "\u00a0", "\u3000", "\u00ad", "\U0001f600", "< ", "&"]
PIECES += ["amp;", "&lt;", "&#8212;", "&nbsp", "&shy;", "&#x20AC", "&notin", "&eacute;", ";", "<3"]
PIECES += ["\x0c", "&#1;", "\u2003", "\u202e", "\u0130", "e\u0301"]
TOKENS = st.lists(
    st.sampled_from(NAMES).flatmap(
        lambda name: st.sampled_from(["", "", "", " hidden", ' href="x"']).map(lambda more: ("open", name, more))
    )
    | st.sampled_from(NAMES).map(lambda name: ("close", name, ""))
    | st.just(("open", "br", ""))
    | st.sampled_from(PIECES).map(lambda text: ("text", text, "")),
    max_size=40,
)


def joined(tokens: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """With texts in a row as one, since an entity may be in two of them."""
    out: list[tuple[str, str, str]] = []
    for kind, name, more in tokens:
        if kind == "text" and out and out[-1][0] == "text":
            out[-1] = ("text", out[-1][1] + name, "")
        else:
            out.append((kind, name, more))
    return out


@settings(deadline=None, max_examples=1500, derandomize=True)  # the first example compiles
@given(tokens=TOKENS)
def test_against_the_reference(tokens: list[tuple[str, str, str]]) -> None:
    write = {"open": "<{}{}>", "close": "</{}{}>", "text": "{}{}"}
    page = "".join(write[kind].format(name, more) for kind, name, more in tokens)
    expected = Reference().read(joined(tokens))
    found = read_markup(page.encode())
    blocks = [
        (path(found, e), text, link)
        for e, text, link in zip(found.block_element, texts(page), found.block_link.tolist(), strict=True)
    ]
    assert blocks == expected.blocks
    ranges = zip(found.first_block.tolist(), found.end_block.tolist(), strict=True)
    elements = [(path(found, e), *of) for e, of in enumerate(ranges)]
    assert elements == [(node.path, node.first, node.end) for node in expected.nodes]


# Bounds, and what is no markup


def assert_sound(page: bytes) -> None:
    """What holds for any bytes."""
    found = read_markup(page)
    n, n_blocks = len(found.parent), len(found.block_start)
    edges = np.stack([found.block_start, found.block_end], 1).ravel()
    assert (np.diff(edges) >= 0).all()
    assert (found.block_start < found.block_end).all()
    assert not n_blocks or (edges[0] >= 0 and edges[-1] <= len(found.text) <= len(page) * 5 // 4 + 64)
    assert ((found.block_element >= -1) & (found.block_element < n)).all()
    assert ((found.block_link >= 0) & (found.block_link <= found.block_end - found.block_start)).all()
    assert ((found.parent >= -1) & (found.parent < np.arange(n))).all()
    assert ((found.first_block >= 0) & (found.first_block <= found.end_block) & (found.end_block <= n_blocks)).all()
    assert (found.tag < len(TAGS)).all()
    assert len(found.first_hint) == n + 1
    assert (np.diff(found.first_hint) >= 0).all()
    assert found.first_hint[0] >= 0
    assert found.first_hint[-1] == len(found.hint)
    assert 0 <= found.title[0] <= found.title[1] <= len(page)
    assert found.complete
    for e, parent in enumerate(found.parent):  # an element's blocks are its parent's, too
        if parent >= 0:
            assert found.first_block[parent] <= found.first_block[e]
            assert found.end_block[e] <= found.end_block[parent]
    for b, e in enumerate(found.block_element):
        if e >= 0:
            assert found.first_block[e] <= b < found.end_block[e]


SOUP = [b"<", b">", b"/", b"!", b"--", b"'", b'"', b"=", b" ", b"\n", b"&", b"#", b"x", b";", b"&#", b"&amp", b"1"]
SOUP += [
    b"<p",
    b"<p>",
    b"</p>",
    b"<a href=x>",
    b"</a>",
    b"<br>",
    b"<pre>",
    b"</pre>",
    b"<script>",
    b"</script>",
    b"<td>",
]
SOUP += [
    b"<table>",
    b"</table>",
    b"<li>",
    b"<title>",
    b"</title>",
    b"<!--",
    b"-->",
    b"<![CDATA[",
    b"]]>",
    b"<?",
    b"<svg",
]
SOUP += [b"<math>", b"</math>", b"<annotation encoding=tex>", b"<math alttext='", b"<script type=math/tex>", b"</svg>"]
SOUP += [
    b"class=",
    b" id='a-bC",
    b" style='display:none'",
    b" hidden",
    b"\xc2",
    b"\xa0",
    b"\xe2\x80",
    b"\x8b",
    b"\xef\xbb",
]
SOUP += [
    "\u65e5".encode(),
    "\u00ad".encode(),
    b"\xff",
    b"\0",
    b"&nGt;",
    b"&NotSucceedsEqual;",
    b"<h1>",
    b"</h2>",
    b"</",
]


@settings(deadline=None, max_examples=1500, derandomize=True)
@given(page=st.binary(max_size=60) | st.lists(st.sampled_from(SOUP), max_size=60).map(b"".join))
def test_any_bytes(page: bytes) -> None:
    assert_sound(page)
    clean = page.decode(errors="ignore").encode()
    for text in texts(clean):  # valid UTF-8 in, valid UTF-8 out
        assert text


PAGE = """<!DOCTYPE html><html lang=de><head><title>Caf&eacute; &amp; Co</title><meta charset="utf-8">
<style>p { color: red }</style><script>if (a < b) document.write("<p>")</script></head><body class="home">
<!-- a comment -- with --> <nav id='menu'><ul><li><a href="/a?b=1&c=2">Start</a><li><a href=/b>Über uns</a></ul></nav>
<div class="post-body"><h1>Straßen &#8211; 日本語</h1><p>Ein Satz,  mit&nbsp;<b>Worten</b>.<br><br>Noch
<table><tr><td>1<td>2<tr><td>3</table><pre>  x &lt; y
</pre><math alttext="a^2"><mi>a</mi></math><svg><path d="M0"/></svg><select><option>x</select>
<![CDATA[ y ]]></div><footer hidden>Impressum</footer></body></html>""".encode()


def test_a_page_cut_at_any_byte() -> None:
    for end in range(len(PAGE)):
        assert_sound(PAGE[:end])
        assert_sound(PAGE[end:])


def test_where_a_page_lies_makes_no_difference() -> None:
    """Bytes are looked at 64 at a time, from the first to the last."""
    expected = read_markup(PAGE)
    for shift in range(130):
        found = read_markup(b" " * shift + PAGE + b"<!--" + bytes(range(1, shift + 1)) + b"-->")
        assert found.title == (expected.title[0] + shift, expected.title[1] + shift)
        for name in set(Markup._fields) - {"title", "complete"}:
            assert getattr(found, name).tolist() == getattr(expected, name).tolist(), name


NO_ELEMENTS = (
    "- script style textarea title xmp iframe noembed noframes noscript math br hr img input meta link base area col"
)
NO_ELEMENTS += " embed param source track wbr"


@pytest.mark.parametrize("name", sorted(set(TAGS) - set(NO_ELEMENTS.split())))
def test_names_of_tags(name: str) -> None:
    for written in (name, name.upper(), name.title()):
        assert read_markup(f"<{written}>".encode()).tag.tolist() == [TAGS.index(name)]
    for other in (f"{name}x", f"{name}-or-so", f"{name}\u00e9", name * 5):
        assert read_markup(f"<{other}>".encode()).tag.tolist() == [TAGS.index(other) if other in TAGS else 0]


def hint_words(value: str) -> list[int]:
    """The hashes of runs of letters, cut where a capital follows a small one, without single letters."""
    words, word = [], b""
    for byte in [*value.encode(), ord(" ")]:
        is_letter, is_capital = byte > 127 or chr(byte).isalpha(), chr(byte) in "ABZ"
        if not is_letter or (is_capital and word and chr(word[-1]) not in "ABZ"):
            words, word = [*words, word], b""
        word += bytes([byte]) * is_letter
    return [hint_hash(word.lower().decode("utf-8", "surrogateescape")) for word in words if len(word) > 1]


@settings(deadline=None, max_examples=400, derandomize=True)
@given(value=st.text("abzABZ09- ", max_size=90), accent=st.sampled_from(["", "\u00e9"]), after=st.sampled_from([0, 99]))
def test_hints_by_masks_and_by_bytes(value: str, accent: str, after: int) -> None:
    found = read_markup(f"<p class='{value}{accent}'>".encode() + b" " * after)
    assert found.hint.tolist() == hint_words(value + accent)


def test_text_never_outgrows_its_buffer() -> None:
    """Every byte of a page is read as text at most once, and grows by a fifth at most."""
    for unit in (b"&nGt;", b"&nLt;", b"&nGt", b"&#0", b"\xc2\xa0", b"\xff"):  # the last one is cut
        for before in (b"", b"<pre>"):
            assert_sound(before + unit * 5000 + b"<br>" * 1000)
    twice = b"<math><annotation encoding=tex>" * 200 + b"y" * 50_000 + b"<pre>x" + b"<br>" * 20_000
    assert_sound(twice)
    assert sum(map(len, texts(twice))) < len(twice)


def test_deeper_elements_are_flattened() -> None:
    found = read_markup(b"<div>a" * 1000 + b"</div>b" * 1000)
    assert len(found.parent) == MAX_DEPTH
    assert len(found.block_start) == 2000
    assert found.block_element[999] == MAX_DEPTH - 1
    assert found.block_element[-1] == -1
    assert found.complete


def test_elements_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markup, "MAX_ELEMENTS", 100)
    monkeypatch.setattr(markup, "MAX_HINTS", 50)
    found = read_markup(b"<p class=ab>text" * 99)
    assert found.complete
    assert len(found.parent) == len(found.block_start) == 99
    assert found.first_hint.tolist() == [*range(51), *[50] * 49]
    found = read_markup(b"<p>text" * 1000)
    assert not found.complete
    assert len(found.parent) == 100
    assert len(found.block_start) == 99
    found = read_markup(b"text<br><br>" * 1000)  # blocks without elements
    assert not found.complete
    assert len(found.block_start) == 201


HOSTILE: dict[str, Callable[[int], bytes]] = {
    "end tags in vain": lambda n: b"<b><div>" + b"<span>" * 254 + b"</b>" * (n // 4),
    "links in blocks": lambda n: b"<a><div>" + b"<span>" * 254 + b"<a>" * (n // 3),
    "items below blocks": lambda n: b"<ul><li>" + b"<div>" * 253 + b"<li>" * (n // 4),
    "cells behind walls": lambda n: b"<td><table>" + b"<b>" * 255 + b"<td>" * (n // 4),
    "formulas without end": lambda n: b"<math>" * (n // 6),
    "formulas with one end": lambda n: b"<math>" * (n // 6) + b"</math>",
    "annotations": lambda n: b"<math><annotation encoding=tex>x" * (n // 33),
    "annotations in quotes": lambda n: b"<math><annotation x='</math><math><annotation x=\"</math>" * (n // 56),
    "alternative texts": lambda n: b"<math alttext='a'>" * (n // 18),
    "scripts": lambda n: b"<script></scrip" * (n // 15),
    "end tags in a script": lambda n: b"<script>" + b"</" * (n // 2),
    "entities": lambda n: b"&CounterClockwiseContourIntegra" * (n // 31),
    "ampersands": lambda n: b"&" * n,
    "less-than": lambda n: b"<" * n,
    "quotes": lambda n: b"<a b=\"<a b='" * (n // 12),
    "attributes": lambda n: b"<a " + b"class=ab " * (n // 9),
    "styles": lambda n: b'<p style="' + b"display " * (n // 8),
    "comments": lambda n: b"<!--" + b"->" * (n // 2),
    "character data": lambda n: b"<![CDATA[" * (n // 9) + b"]]" * 100,
    "breaks": lambda n: b"a<br>" * (n // 5),
    "nesting": lambda n: b"<div>a" * (n // 6),
}


def cpu(work: Callable[[], object]) -> float:
    times = []
    for _ in range(3):
        start = time.thread_time()
        work()
        times.append(time.thread_time() - start)
    return min(times)


@pytest.mark.parametrize("name", HOSTILE)
def test_no_byte_costs_much_more_than_another(name: str) -> None:
    """Against short paragraphs of the same size. A search to the end of the page costs thousands of times as much."""
    n = 200_000
    page, plain = HOSTILE[name](n), b"<p>a" * (n // 4)
    assert cpu(lambda: read_markup(page)) < 40 * cpu(lambda: read_markup(plain))
