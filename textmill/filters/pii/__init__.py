"""Personal data: found, counted, and masked.

Kinds: e-mail addresses, phone and IP numbers, payment cards and bank accounts (by their check digits), keys of AWS, and
private keys. Each has a file of its own that says what counts as one; `spans` finds them all in one pass.

Masking is stateless and idempotent: masked text, masked again, is the same, and nothing is counted.

What others do: FineWeb replaces e-mail addresses and public IPv4 addresses by made-up ones; Dolma puts
|||EMAIL_ADDRESS|||, |||PHONE_NUMBER||| and |||IP_ADDRESS||| for up to five spans in a document and drops documents with
more.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from textmill.errors import UnknownNameError, UserError
from textmill.filters.base import Preset, Rule, Scorer, named
from textmill.filters.pii.spans import IP, KINDS, Found, find, replace
from textmill.text import Documents

PLACEHOLDERS = {
    "emails": "|||EMAIL_ADDRESS|||",  # these three as in Dolma (arXiv 2402.00159)
    "phones": "|||PHONE_NUMBER|||",
    "ips": "|||IP_ADDRESS|||",
    "cards": "|||CARD_NUMBER|||",
    "ibans": "|||BANK_ACCOUNT|||",
    "aws_keys": "|||AWS_KEY|||",
    "private_keys": "|||PRIVATE_KEY|||",
}

# A placeholder begins and ends with one of these: no finder takes them for a part of anything, or looks past them.
_FIRST, _LAST = frozenset("|<[{*"), frozenset("|>]}*")
_DOCUMENTATION = ("example.com", "example.net", "example.org")  # RFC 2606


@dataclass(frozen=True)
class Mask:
    """What to replace by what. ``placeholder``: "" for that of `PLACEHOLDERS`.

    With ``made_up``, the placeholder is itself an address set aside for documentation, and such addresses, in the text
    before or put there by masking, stay; of IP addresses only public ones are masked.

    Errors: `UnknownNameError`; `UserError` for a placeholder that might be found again.
    """

    version: ClassVar[int] = 2

    kind: str
    placeholder: str = ""
    made_up: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UnknownNameError("kind of personal data", self.kind, KINDS)
        object.__setattr__(self, "placeholder", self.placeholder or PLACEHOLDERS[self.kind])
        if self.made_up:
            self._check_made_up()
        elif self.placeholder != PLACEHOLDERS[self.kind]:
            self._check_marked()

    def _check_marked(self) -> None:
        edges = self.placeholder.strip()
        first, last = edges[:1], edges[-1:]
        if first not in _FIRST or last not in _LAST or "@" in edges or len(find(_array([edges]))):
            raise UserError(
                f"placeholder {self.placeholder!r} could be read as personal data; use one such as"
                f" {PLACEHOLDERS[self.kind]!r}, between bars, brackets or stars"
            )

    def _check_made_up(self) -> None:
        text = _array([self.placeholder])
        found = find(text, [self.kind])
        whole = len(found) == 1 and found.start[0] == 0 and found.end[0] == len(self.placeholder)
        if not whole or len(_to_mask(found, text, [self])):
            raise UserError(
                f"placeholder {self.placeholder!r} is no address set aside for documentation, such as email@example.com"
                " or 192.0.2.1"
            )


ALL = tuple(Mask(kind) for kind in KINDS)
MASKS = ("all", "dolma", "fineweb", "none")


def masks_named(name: str) -> tuple[Mask, ...]:
    """What ``all``, ``dolma``, ``fineweb`` (its kinds; one made-up address each) and ``none`` mask.

    Errors: `UnknownNameError`.
    """
    if name == "fineweb":
        return Mask("emails", "email@example.com", made_up=True), Mask("ips", "192.0.2.1", made_up=True)
    if name not in MASKS:
        raise UnknownNameError("set of masks", name, MASKS)
    return {"all": ALL, "dolma": ALL[:3], "none": ()}[name]


def mask(text: pa.LargeStringArray, masks: Sequence[Mask]) -> tuple[pa.LargeStringArray, Found]:
    """Texts with personal data replaced, and the spans that were, in the order of `Found`.

    Where nothing is found it is the same array. Not more than one mask a kind.
    """
    found = _to_mask(find(text, [each.kind for each in masks]), text, masks)
    return replace(text, found, {each.kind: each.placeholder for each in masks}), found


def _to_mask(found: Found, text: pa.LargeStringArray, masks: Sequence[Mask]) -> Found:
    """The spans without those that their mask lets stay."""
    sparing = [KINDS.index(each.kind) for each in masks if each.made_up]
    if not sparing:
        return found
    stays = np.zeros(len(found), bool)
    for k in np.flatnonzero(np.isin(found.kind, sparing)).tolist():
        span = text[int(found.document[k])].as_buffer()[int(found.start[k]) : int(found.end[k])]
        stays[k] = _is_for_documentation(int(found.kind[k]), span.to_pybytes().decode())
    return found.only(~stays)


def _is_for_documentation(kind: int, span: str) -> bool:
    """Whether an e-mail address is of a domain for examples, or an IP address not public."""
    if kind == IP:
        return not ipaddress.ip_address(span).is_global
    return span.lower().rpartition("@")[2] in _DOCUMENTATION


def mask_text(text: str, masks: Sequence[Mask] = ALL) -> tuple[str, int]:
    """One text, masked, and how many spans were. Lone surrogates stay what they are."""
    encoded = pa.array([text.encode("utf-8", "surrogatepass")], pa.large_binary())
    plain = pa.LargeStringArray.from_buffers(1, encoded.buffers()[1], encoded.buffers()[2])
    masked, found = mask(plain, masks)
    return masked[0].as_buffer().to_pybytes().decode("utf-8", "surrogatepass"), len(found)


def mask_emails(text: str, placeholder: str = "") -> tuple[str, int]:
    """The text with e-mail addresses replaced, by default with |||EMAIL_ADDRESS|||, and how many there were.

    Errors: `UserError` for a placeholder that could be part of an address.
    """
    return mask_text(text, [Mask("emails", placeholder)])


def mask_phone_numbers(text: str, placeholder: str = "") -> tuple[str, int]:
    """As `mask_emails`, of phone numbers; by default with |||PHONE_NUMBER|||."""
    return mask_text(text, [Mask("phones", placeholder)])


def mask_ip_addresses(text: str, placeholder: str = "") -> tuple[str, int]:
    """As `mask_emails`, of IP addresses of both versions; by default with |||IP_ADDRESS|||."""
    return mask_text(text, [Mask("ips", placeholder)])


@dataclass(frozen=True)
class PersonalData(Scorer):
    """Counts spans of personal data by kind. ``pii_n_contacts`` is those of e-mail, phone and IP together."""

    version: ClassVar[int] = 2

    @property
    def columns(self) -> pa.Schema:
        """One a kind, and their sum over contacts."""
        names = [f"pii_n_{kind}" for kind in KINDS] + ["pii_n_contacts"]
        return pa.schema([pa.field(name, pa.int32(), nullable=False) for name in names])

    def score(self, documents: Documents) -> list[pa.Array]:
        """The columns; see `Scorer.score`."""
        found = find(documents.text)
        counts = {kind: found.counts(kind, len(documents)) for kind in KINDS}
        contacts = counts["emails"] + counts["phones"] + counts["ips"]
        return [pa.array(column, pa.int32()) for column in (*counts.values(), contacts)]


RULES = (
    Rule(
        "pii_contacts",
        "pii_n_contacts",
        high=5,
        source="Dolma v1.5, mix of Common Crawl: more than 5 spans of e-mail, phone, IP",
    ),
)
PRESETS = {
    # Dolma's bound on our count: what is found is what this package finds, not what Dolma's expressions do.
    "pii@dolma": Preset("pii@dolma", "Dolma, arXiv 2402.00159", (PersonalData(),), RULES),
}


def passes(text: str, preset: str = "pii@dolma") -> bool:
    """Whether one text passes all rules of a preset of this family. Errors: `UnknownNameError`."""
    return named(PRESETS, preset).passes(text)


def _array(texts: Sequence[str]) -> pa.LargeStringArray:
    return pa.array(texts, pa.large_string())
