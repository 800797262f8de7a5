"""The pages of the simulated web, one maker for each kind, each with what is true of it.

Kinds, and what they are for:

- article, long, short: ordinary texts. exact_copy, near_duplicate: the text of an article on another page, unchanged or
  edited. spam: keywords in a loop. boilerplate_only, link_list: pages without a main text.
- personal_data: articles with e-mail addresses (some spelt out), phone numbers (555-01xx, set aside for fiction) and
  IPv4 addresses (of public name servers, because filters leave reserved addresses alone).
- wrong_charset: bytes in an old charset, declared as nothing or as UTF-8. hostile: markup, control tokens, direction
  marks, nesting and bytes that break naive readers.
- redirect, not_found, binary: what a crawl also brings home. broken: articles whose record the writer damages.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import NamedTuple

from textmill.simulate.edits import near_duplicate
from textmill.simulate.hostile import HOSTILE_MARKUPS, HOSTILE_TEXTS
from textmill.simulate.phrases import (
    Article,
    PhraseBook,
    phrases,
    write_article,
    write_headline,
    write_sentence,
)
from textmill.simulate.phrases_de import BOOK as GERMAN
from textmill.simulate.phrases_el import BOOK as GREEK
from textmill.simulate.phrases_en import BOOK as ENGLISH
from textmill.simulate.phrases_es import BOOK as SPANISH
from textmill.simulate.phrases_fr import BOOK as FRENCH
from textmill.simulate.phrases_it import BOOK as ITALIAN
from textmill.simulate.phrases_ja import BOOK as JAPANESE
from textmill.simulate.phrases_ru import BOOK as RUSSIAN
from textmill.simulate.sites import Site, all_hosts, make_sites, render, slug

BOOKS = (ENGLISH, GERMAN, FRENCH, SPANISH, ITALIAN, RUSSIAN, JAPANESE, GREEK)
LANGUAGE_WEIGHTS = (61, 8, 7, 7, 5, 5, 4, 3)  # per cent of the pages, in the order of BOOKS
N_SITES = (32, 4, 4, 4, 4, 4, 4, 4)

OLD_CHARSETS = {
    "de": ("iso-8859-1", "windows-1252"),
    "fr": ("iso-8859-1", "windows-1252"),
    "es": ("iso-8859-1", "windows-1252"),
    "it": ("iso-8859-1", "windows-1252"),
    "ru": ("windows-1251", "koi8-r"),
    "ja": ("shift_jis", "euc-jp"),
    "el": ("windows-1253", "iso-8859-7"),
}

JACCARD_RANGE = (0.72, 0.97)  # what near duplicates aim at; the last edit ends at or above it

PEOPLE = phrases(
    "anna.meyer | jt.wells | sofia_b | info | press | m-rossi | kontakt | peter+news | desk2 | maria.lopez"
)
NAME_SERVERS = phrases(
    "8.8.8.8 | 8.8.4.4 | 9.9.9.9 | 149.112.112.112 | 208.67.222.222 | 208.67.220.220 | 64.6.64.6 | 64.6.65.6"
)

PHONE_FORMS = ("({0}) 555-0{1}", "{0}-555-0{1}", "{0}.555.0{1}", "+1 {0} 555 0{1}")
SPELT_OUT_FRAC = 0.25  # of the e-mail addresses
SAME_PAGE_FRAC = 0.5  # of the exact copies: the rest has its own header, menu and footer

SPAM_VERBS = phrases("buy | order | get | win | compare | download | try")
SPAM_ADJECTIVES = phrases("cheap | best | free | original | discount | top | exclusive | certified")
SPAM_PRODUCTS = phrases("watches | pills | loans | sneakers | followers | vouchers | replicas | chargers | casino")
SYLLABLES = phrases("zor | vex | mi | ta | lo | pra | kun | del | rix | fa | su | ne")

PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"


@dataclass(frozen=True)
class Page:
    """One answer of a server, and what is true of it. ``text`` is the main text as a reader sees it, or None."""

    url: str
    kind: str
    body: bytes
    language: str = ""
    text: str | None = None
    status: int = 200
    content_type: str = "text/html; charset=utf-8"
    location: str = ""
    true_charset: str = ""
    declared_charset: str = ""
    cluster: str = ""
    original_url: str = ""
    jaccard: float | None = None
    emails: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()


class Contact(NamedTuple):
    """How to reach somebody, as spelt in a text."""

    email: str
    phone: str
    ip: str


class PageMaker:
    """Makes pages of every kind on a fixed set of sites, from one source of chance. Every url is used once."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.n_made = 0
        hosts = all_hosts(rng)
        self.sites: dict[str, list[Site]] = {}
        for book, n_sites in zip(BOOKS, N_SITES, strict=True):
            self.sites[book.language] = make_sites(rng, book, n_sites, hosts)
            hosts = hosts[n_sites:]

    def book(self) -> PhraseBook:
        """A phrase book, English in about six of ten draws."""
        return self.rng.choices(BOOKS, LANGUAGE_WEIGHTS)[0]

    def site(self, language: str) -> Site:
        """A site in ``language``."""
        return self.rng.choice(self.sites[language])

    def url(self, site: Site, headline: str) -> str:
        """A new address on ``site``."""
        self.n_made += 1
        section = slug(site.menu[1])
        return f"https://{site.host}/{section}/{slug(headline)}-{self.n_made}.html"

    def write(self, n_paragraphs: int) -> Article:
        """An article in a language drawn by chance."""
        return write_article(self.rng, self.book(), n_paragraphs)

    def publish(self, kind: str, article: Article) -> Page:
        """``article`` on one of the sites of its language, in UTF-8, declared in the header, the markup, or both."""
        site = self.site(article.language)
        in_header, in_markup = self.rng.choice(((True, True), (True, False), (False, True)))
        html = self.render(site, article, "utf-8" if in_markup else "")
        return Page(
            url=self.url(site, article.headline),
            kind=kind,
            body=html.encode(),
            language=article.language,
            text=article.text,
            content_type="text/html; charset=utf-8" if in_header else "text/html",
            true_charset="utf-8",
            declared_charset="utf-8",
        )

    def render(self, site: Site, article: Article, charset: str) -> str:
        """The markup of ``article`` on ``site``."""
        n_comments = self.rng.choice((0, 0, 1, 2, 4))
        return render(
            self.rng,
            site,
            article.headline,
            article.paragraphs,
            topic=article.topic,
            n_comments=n_comments,
            charset=charset,
        )

    def article(self) -> tuple[Article, Page]:
        """An ordinary article of two to seven paragraphs."""
        article = self.write(self.rng.randint(2, 7))
        return article, self.publish("article", article)

    def copy(self, article: Article, original: Page) -> Page:
        """The same text again: the very page under another address, or the text on another site."""
        if self.rng.random() < SAME_PAGE_FRAC:
            self.n_made += 1
            page = replace(original, kind="exact_copy", url=f"{original.url}?session={self.n_made}")
        else:
            page = self.publish("exact_copy", article)
        return replace(page, cluster=original.cluster, original_url=original.url, jaccard=1.0)

    def near_duplicate(self, article: Article, original: Page) -> Page:
        """An edited text on another page, with its true similarity to the original."""
        book = next(book for book in BOOKS if book.language == article.language)
        edited, similarity = near_duplicate(self.rng, book, article, self.rng.uniform(*JACCARD_RANGE))
        page = self.publish("near_duplicate", edited)
        return replace(page, cluster=original.cluster, original_url=original.url, jaccard=similarity)

    def short(self) -> Page:
        """A page of one sentence."""
        book = self.book()
        topic = self.rng.choice(tuple(book.topics))
        sentence = write_sentence(self.rng, book, topic)
        return self.publish("short", Article(book.language, topic, write_headline(self.rng, book, topic), (sentence,)))

    def long(self) -> Page:
        """A page as long as a booklet, 20,000 words or so."""
        return self.publish("long", self.write(self.rng.randint(200, 350)))

    def broken(self) -> Page:
        """A page whose record will be damaged, so that no text can be expected."""
        return replace(self.article()[1], kind="broken", text=None, language="")

    def spam(self) -> Page:
        """Lines of keywords around one invented brand, most of them repeated."""
        brand = "".join(self.rng.choices(SYLLABLES, k=3))
        products = self.rng.sample(SPAM_PRODUCTS, 3)
        lines = [self.spam_line(brand, self.rng.choice(products)) for _ in range(6)]
        paragraphs = tuple(self.rng.choice(lines) for _ in range(self.rng.randint(15, 40)))
        return self.publish("spam", Article("en", "pottery", self.spam_line(brand, products[0]), paragraphs))

    def spam_line(self, brand: str, product: str) -> str:
        """Some fifteen keywords in no sentence."""
        stuffing = " ".join(f"{self.rng.choice(SPAM_ADJECTIVES)} {brand} {product}" for _ in range(4))
        return f"{self.rng.choice(SPAM_VERBS)} {stuffing} online"

    def boilerplate_only(self) -> Page:
        """A page of a site with nothing on it but what is on every page."""
        return self.textless("boilerplate_only", n_links=6)

    def link_list(self) -> Page:
        """A page of headlines that lead elsewhere."""
        return self.textless("link_list", n_links=60)

    def textless(self, kind: str, n_links: int) -> Page:
        """A page without paragraphs."""
        site = self.site(self.book().language)
        topic = self.rng.choice(tuple(site.book.topics))
        html = render(self.rng, site, site.name, (), topic=topic, n_links=n_links, charset="utf-8")
        url = self.url(site, kind)
        return Page(url, kind, html.encode(), true_charset="utf-8", declared_charset="utf-8")

    def personal_data(self) -> Page:
        """An article with one to three paragraphs of contact details."""
        article = self.write(self.rng.randint(3, 6))
        book = next(book for book in BOOKS if book.language == article.language)
        contacts = [self.contact() for _ in range(self.rng.randint(1, 3))]
        lines = tuple(book.labels["contact"].format(**contact._asdict()) for contact in contacts)
        page = self.publish("personal_data", replace(article, paragraphs=article.paragraphs + lines))
        emails, phones, ips = zip(*contacts, strict=True)
        return replace(page, emails=emails, phones=phones, ips=ips)

    def contact(self) -> Contact:
        """An e-mail address (one of four spelt out), a phone number and an IPv4 address."""
        name, host = self.rng.choice(PEOPLE), self.site("en").host
        spelt_out = f"{name} (at) {host.replace('.', ' dot ')}"
        email = spelt_out if self.rng.random() < SPELT_OUT_FRAC else f"{name}@{host}"
        phone = self.rng.choice(PHONE_FORMS).format(self.rng.randint(201, 989), self.rng.randint(100, 199))
        return Contact(email, phone, self.rng.choice(NAME_SERVERS))

    def wrong_charset(self) -> Page:
        """An article in a charset older than UTF-8, declared as nothing or as UTF-8."""
        language = self.rng.choice(tuple(OLD_CHARSETS))
        book = next(book for book in BOOKS if book.language == language)
        article = write_article(self.rng, book, self.rng.randint(2, 6))
        charset = self.rng.choice(OLD_CHARSETS[language])
        declared = self.rng.choice(("", "utf-8"))
        site = self.site(language)
        return Page(
            url=self.url(site, article.headline),
            kind="wrong_charset",
            body=self.render(site, article, declared).encode(charset, "xmlcharrefreplace"),
            language=language,
            text=article.text,
            content_type="text/html",
            true_charset=charset,
            declared_charset=declared,
        )

    def redirect(self) -> Page:
        """A 301 answer."""
        site = self.site(self.book().language)
        target = f"https://{site.host}/"
        body = f'<html><body><h1>301 Moved Permanently</h1><a href="{target}">here</a></body></html>'
        return Page(self.url(site, "old"), "redirect", body.encode(), status=301, location=target)

    def not_found(self) -> Page:
        """A 404 answer in the look of its site."""
        site = self.site(self.book().language)
        topic = self.rng.choice(tuple(site.book.topics))
        html = render(self.rng, site, "404", (), topic=topic, charset="utf-8")
        return Page(self.url(site, "gone"), "not_found", html.encode(), status=404)

    def binary(self) -> Page:
        """A PDF or an image; one in three claims to be HTML."""
        site = self.site(self.book().language)
        magic, content_type = self.rng.choice(((PDF, "application/pdf"), (PNG, "image/png")))
        if self.rng.random() < 1 / 3:
            content_type = "text/html"
        body = magic + self.rng.randbytes(self.rng.randint(500, 5000))
        return Page(self.url(site, "file"), "binary", body, content_type=content_type)

    def hostile(self) -> Page:
        """An article with one attack on whatever reads it."""
        return self.rng.choice((self.hostile_text, self.hostile_text, self.hostile_markup))()

    def hostile_text(self) -> Page:
        """The attack is part of the text, and a reader sees it."""
        article = self.write(3)
        attack = self.rng.choice(HOSTILE_TEXTS)
        paragraphs = (article.paragraphs[0], f"{attack} {article.paragraphs[1]}", article.paragraphs[2])
        page = self.publish("hostile", replace(article, headline=attack, paragraphs=paragraphs))
        return replace(page, url=f'{page.url}?q="><script>alert(1)</script>')

    def hostile_markup(self) -> Page:
        """The attack is in the markup; the text is as good as any."""
        page = self.publish("hostile", self.write(3))
        return replace(page, body=self.rng.choice(HOSTILE_MARKUPS)(page.body))
