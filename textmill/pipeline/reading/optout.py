"""What the owner of a page asks of machines, from response headers and from the page's own ``<meta>`` tags.

- ``X-Robots-Tag`` and ``<meta name=robots>``: noai, noimageai (DeviantArt, 2022), noindex (as does
  "none"), noarchive.
- ``tdm-reservation: 1``, header or meta (TDMRep, W3C community group, 10 May 2024).
- ``Content-Usage: train-ai=n`` (IETF drafts aipref-attach and aipref-vocab), a dictionary of structured fields
  (RFC 9651). A member that can be read counts even if another one cannot: a wish is not void for a typing error.

A directive may name the agent that it is for: ``X-Robots-Tag: otherbot: noai``, ``<meta name=otherbot content=noai>``.
It counts when it is for all, or for an agent of `AGENTS`, those that gather training data; one for a search engine
alone does not. What robots.txt says is another document's matter and not read here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

# Agents whose operators train language models with what they fetch, as these operators and Common Crawl name them.
AGENTS = frozenset(
    (
        "ccbot",
        "gptbot",
        "google-extended",
        "claudebot",
        "anthropic-ai",
        "claude-web",
        "applebot-extended",
        "bytespider",
        "meta-externalagent",
        "facebookbot",
        "amazonbot",
        "cohere-ai",
        "cohere-training-data-crawler",
        "ai2bot",
        "diffbot",
        "omgili",
        "omgilibot",
        "img2dataset",
    )
)
EVERYONE = frozenset(("", "*", "robots"))

_WISHES = frozenset(("x-robots-tag", "tdm-reservation", "content-usage"))  # headers that state one

_SEPARATORS = re.compile(r"[,;\s]+")
_WITH_VALUE = frozenset(("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"))
_MAX_PARTS = 200


class OptOut(NamedTuple):
    """Which wishes a page states; the fields are columns of the pages table."""

    optout_noai: bool = False
    optout_noimageai: bool = False
    optout_noindex: bool = False
    optout_noarchive: bool = False
    optout_tdm: bool = False  # text and data mining is reserved
    optout_train_ai: bool = False  # "train-ai=n"


NO_OPTOUT = OptOut()


def read_optout(
    headers: Mapping[str, str], directives: Sequence[tuple[str, str]] = (), reservation: str = ""
) -> OptOut:
    """The wishes in response ``headers`` (values of equal names one a line) and in what `head.read_head` found.

    ``directives`` are agents and what follows for them; ``reservation`` is the page's own tdm-reservation.
    """
    if not directives and not reservation and _WISHES.isdisjoint(headers):
        return NO_OPTOUT  # as most pages
    words: set[str] = set()
    for agent, content in (*_scoped(headers.get("x-robots-tag", "")), *directives):
        if agent in EVERYONE or agent in AGENTS:
            words.update(_SEPARATORS.split(content.lower()))
    reserved = "1" in (*_SEPARATORS.split(headers.get("tdm-reservation", "")), reservation.strip())
    return OptOut(
        "noai" in words,
        "noimageai" in words,
        "noindex" in words or "none" in words,
        "noarchive" in words,
        reserved,
        _usage(headers.get("content-usage", "")).get("train-ai") == "n",
    )


def _scoped(tag: str) -> Iterator[tuple[str, str]]:
    """(agent, directive) of X-Robots-Tag; an agent's scope ends with the next agent or the header."""
    for line in tag.lower().split("\n"):
        agent = ""
        for part in line.split(",")[:_MAX_PARTS]:
            name, colon, rest = part.partition(":")
            if colon and name.strip() in _WITH_VALUE:
                continue
            if colon:
                agent = name.strip()
            yield agent, rest if colon else part


def _usage(field: str) -> dict[str, str]:
    """The members of a Content-Usage dictionary, without parameters; of equal keys the last one (RFC 9651, 4.2.2)."""
    members: dict[str, str] = {}
    for member in field.lower().replace("\n", ",").split(",")[:_MAX_PARTS]:
        key, _, value = member.partition(";")[0].partition("=")
        members[key.strip()] = value.strip()
    return members
