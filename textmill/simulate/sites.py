"""Made-up sites: hosts with a fixed template, menu and footer, around texts that change.

Five templates stand for five ages of the web: a blog, a news site, a magazine of nested blocks, a page laid out with
tables and line breaks, and a bare page. What surrounds the main text is the same on every page of a host, as on real
sites, so main-content extraction and line-level deduplication have something to find.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from textmill.simulate.phrases import PhraseBook, phrases, write_headline, write_sentence

FIRST_WORDS = phrases("amber | blue | copper | drift | elm | fern | granite | hazel | ivory | juniper | maple")
LAST_WORDS = phrases("almanac | bench | compass | diary | garden | harbour | journal | kitchen | ledger | notes | post")

BLOG = """<!DOCTYPE html>
<html lang="{language}"><head>{meta}<title>{title} | {site}</title>
<link rel="stylesheet" href="/wp-content/style.css?ver=6.2"><script>window.dataLayer=window.dataLayer||[];</script>
</head>
<body class="single post-template"><div id="cookie-notice" role="dialog"><span>{cookies}</span>
<button class="btn-accept">{accept}</button></div>
<header class="site-header"><a class="logo" href="/">{site}</a>
<nav class="main-navigation"><ul>{menu}</ul></nav></header>
<div class="breadcrumb">{crumbs}</div>
<main><article class="post hentry"><h1 class="entry-title">{title}</h1><div class="entry-meta">{byline}</div>
<div class="entry-content">{body}</div><div class="share-buttons">{share}</div></article>
<section id="comments" class="comments-area">{comment_list}</section></main>
<aside class="widget-area sidebar"><h3>{popular}</h3><ul>{links}</ul></aside>
<footer class="site-footer"><p>{rights}</p></footer></body></html>
"""

NEWS = """<!doctype html>
<html lang="{language}" class="no-js">
<head>{meta}
<title>{title}</title>
<meta property="og:site_name" content="{site}"><script type="application/ld+json">{{"@type": "NewsArticle"}}</script>
<style>.l-page{{max-width:72rem}}.teaser{{float:left}}</style></head>
<body><div class="l-page"><div class="topbar"><form action="/search"><input type="search" placeholder="{search}"></form>
</div><header class="masthead"><p>{site}</p></header><nav class="nav-primary" aria-label="menu"><ul>{menu}</ul></nav>
<ol class="crumbs">{crumbs}</ol>
<div class="l-main"><article itemscope><header><h1 itemprop="headline">{title}</h1>
<p class="byline">{byline}</p></header>
<div class="story-body" itemprop="articleBody">{body}</div></article>
<div class="related-links"><h2>{related}</h2><ul>{links}</ul></div><div class="c-comments">{comment_list}</div></div>
<footer class="l-footer"><ul>{menu}</ul><small>{rights}</small></footer></div>
<div class="consent-banner">{cookies} <a href="#">{accept}</a></div></body></html>
"""

MAGAZINE = """<!DOCTYPE html><html lang="{language}"><head>{meta}<title>{site} - {title}</title></head><body>
<div class="td-header-wrap"><div class="td-menu"><div class="td-menu-inner">
<ul class="sf-menu">{menu}</ul></div></div></div>
<div class="td-main-content-wrap"><div class="td-container"><div class="td-crumb">{crumbs}</div><div class="td-row">
<div class="td-sidebar span4"><div class="block-title">{popular}</div><div class="module">{links}</div></div>
<div class="td-main span8"><div class="td-post"><div class="td-title"><h1>{title}</h1></div>
<div class="td-module-meta"><div class="td-author">{byline}</div></div><div class="td-post-content">{body}</div>
<div class="td-share">{share}</div></div><div class="td-comments">{comment_list}</div></div>
</div></div></div><div class="td-footer"><div class="td-sub-footer">{rights}</div></div>
<div class="gdpr">{cookies}<span>{accept}</span></div><noscript><img src="/pixel.gif" alt=""></noscript></body></html>
"""

TABLES = """<html><head>{meta}<title>{title}</title></head><body bgcolor="#ffffff">
<center><font size="5">{site}</font></center>
<table width="100%" cellpadding="4"><tr><td valign="top" width="160"><ul>{menu}
</ul><hr>{popular}<ul>{links}</ul></td><td valign="top"><small>{crumbs}</small><h1>{title}</h1><i>{byline}</i><br>{body}
<hr>{comment_list}</td></tr></table><center><small>{rights}</small></center></body></html>
"""

BARE = """<!DOCTYPE html>
<html lang="{language}"><head>{meta}<title>{title}</title></head>
<body><p><a href="/">{site}</a></p>
<h1>{title}</h1>
<p class="author">{byline}</p>
{body}
<hr><ul>{menu}</ul><p>{rights}</p></body></html>
"""

TEMPLATES = (BLOG, NEWS, MAGAZINE, TABLES, BARE)


@dataclass(frozen=True)
class Site:
    """A host, the language it is written in and the way its pages look."""

    host: str
    book: PhraseBook
    template: str
    menu: tuple[str, ...]

    @property
    def name(self) -> str:
        """The host name as a title."""
        return self.host.removesuffix(".example").replace("-", " ").title()


def make_sites(rng: random.Random, book: PhraseBook, n_sites: int, hosts: Sequence[str]) -> list[Site]:
    """The first ``n_sites`` of ``hosts`` as sites in the language of ``book``; templates take turns."""
    return [
        Site(host, book, TEMPLATES[i % len(TEMPLATES)], tuple(rng.sample(book.menu, 7)))
        for i, host in enumerate(hosts[:n_sites])
    ]


def all_hosts(rng: random.Random) -> list[str]:
    """Host names under the reserved top-level domain ``example``, shuffled."""
    hosts = [f"{first}-{last}.example" for first in FIRST_WORDS for last in LAST_WORDS]
    rng.shuffle(hosts)
    return hosts


def slug(headline: str) -> str:
    """The ASCII words of ``headline`` joined by hyphens, at most eight; ``page`` when there are none."""
    return "-".join(re.findall(r"[a-z0-9]+", headline.lower())[:8]) or "page"


def render(
    rng: random.Random,
    site: Site,
    title: str,
    paragraphs: Sequence[str],
    *,
    topic: str,
    n_links: int = 6,
    n_comments: int = 0,
    charset: str = "",
) -> str:
    """A whole page of ``site``. ``charset`` is declared in a meta element; "" declares none."""
    labels = site.book.labels
    return site.template.format(
        **{name: escape(label) for name, label in labels.items()},
        language=site.book.language,
        meta=f'<meta charset="{charset}">' if charset else "",
        title=escape(title),
        site=escape(site.name),
        menu="".join(f'<li><a href="/{slug(entry)}">{escape(entry)}</a></li>' for entry in site.menu),
        crumbs=f'<a href="/">{escape(site.menu[0])}</a> &raquo; <a href="/{slug(topic)}">{escape(site.menu[1])}</a>',
        byline=_byline(rng, site),
        body=_body(rng, site, paragraphs),
        links="".join(_link(write_headline(rng, site.book, topic)) for _ in range(n_links)),
        comment_list=_comments(rng, site, topic, n_comments),
    )


def _body(rng: random.Random, site: Site, paragraphs: Sequence[str]) -> str:
    marked = [_with_markup(rng, escape(paragraph)) for paragraph in paragraphs]
    if site.template is TABLES:
        return "<br><br>\n".join(marked)
    return "\n".join(f"<p>{paragraph}</p>" for paragraph in marked)


def _byline(rng: random.Random, site: Site) -> str:
    author = f"{site.book.labels['by']} {rng.choice(site.book.names)}"
    return f"{escape(author)}, {rng.randint(1, 28)}.{rng.randint(1, 12)}.2024"


def _with_markup(rng: random.Random, paragraph: str) -> str:
    """Now and then a word in a link or in italics, as written text has."""
    found = list(re.finditer(r"(?<![&\w#])\w{4,}(?![\w;])", paragraph))
    if not found or rng.random() < 0.5:
        return paragraph
    word = rng.choice(found)
    tag = rng.choice(('a href="/tag"', "em", "strong", 'span class="hl"'))
    return f"{paragraph[: word.start()]}<{tag}>{word[0]}</{tag.split()[0]}>{paragraph[word.end() :]}"


def _link(headline: str) -> str:
    return f'<li><a href="/{slug(headline)}">{escape(headline)}</a></li>'


def _comments(rng: random.Random, site: Site, topic: str, n_comments: int) -> str:
    labels = site.book.labels
    entries = (
        f'<div class="comment"><b>{escape(rng.choice(site.book.names))}</b> '
        f"<p>{escape(write_sentence(rng, site.book, topic))}</p><a>{escape(labels['reply'])}</a></div>"
        for _ in range(n_comments)
    )
    return f"<h3>{escape(labels['comments'])} ({n_comments})</h3>" + "".join(entries)
