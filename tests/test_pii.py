"""Personal data: what is found, what is not, and that masking is idempotent, linear, and confined to its buffer."""

import ipaddress
import itertools
import json
import os
import re
import string
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import phonenumbers
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from textmill.errors import UnknownNameError, UserError
from textmill.filters.pii import (
    ALL,
    MASKS,
    PLACEHOLDERS,
    Mask,
    PersonalData,
    mask,
    mask_emails,
    mask_ip_addresses,
    mask_phone_numbers,
    mask_text,
    masks_named,
    passes,
)
from textmill.filters.pii.accounts import IBAN_CHARS
from textmill.filters.pii.phones import MAX_NATIONAL
from textmill.filters.pii.spans import KINDS, find
from textmill.text import Documents

LABELLED = Path(__file__).parent / "data" / "pii.jsonl"


def array(*texts: str) -> pa.LargeStringArray:
    return pa.array(texts, pa.large_string())


def found(text: str, kind: str) -> list[str]:
    """The spans of a kind in a text."""
    spans, encoded = find(array(text), [kind]), text.encode()
    return [encoded[a:b].decode() for a, b in zip(spans.start.tolist(), spans.end.tolist(), strict=True)]


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
            ("anna@münchen.de", "<>"),
            ("a" * 70 + "@b.com", "a" * 6 + "<>"),
            ("no@dot @b.com a@ a@b.c a@.com a@b..com a@-b.com a@1.2.3.4 a@b.c0m a@b.com1 @ 3@4", None),
            ("icon@2x.png react@19 Kiran @ kirantarun.com", None),
            ("x@" + "a" * 64 + ".com", None),
            ("x@" + "a." * 200 + "com", None),
            ("", None),
        ],
    )
    def test_plain(self, text: str, masked: str | None) -> None:
        expected = (text, 0) if masked is None else (masked, masked.count("<>") - text.count("<>"))
        assert mask_emails(text, "<>") == expected

    @pytest.mark.parametrize(
        "address",
        [
            "tips [ at ] zero-edge.com",
            "clyde(at)flux(dot)com",
            "beni (dot) berger (at) ggs (dot) ch",
            "andrew at seomoz dot org",
            "mw01 at yahoo dot co dot uk",
            "matthias.weber[[at]]erp-hero.de",
            "me-at-g-mail-dot-com",
            "scott_b - at - yahoo.co.uk",
            "PETER AT HOST DOT ORG",
            "user@host dot com",
            "user@host[.]com",
            "jt.wells (at) blue dot example",
            "listings {at} stage.com",
            "john(@)example.com",
            "john [@] example (dot) com",
            "john -at- example -dot- com",
        ],
    )
    def test_spelt_out(self, address: str) -> None:
        assert found(f"Write to {address}, please", "emails") == [address]

    @pytest.mark.parametrize(
        "text",
        [
            "look at the dot matrix",
            "working at a dot com in Berlin",
            "a stay-at-home mom",
            "Arena (AT) 02 Munich",
            "see you at noon. Dot will come",
            "at dot com",
            "(at)b.com",
            "meet me (at) the office. Then",
            "one_at_a_time",
            "stay -at- home -dot- example",
            "anna @ example dot com",
            "user@host.com dot the i",
        ],
    )
    def test_what_only_looks_spelt_out(self, text: str) -> None:
        assert found(text, "emails") == (["user@host.com"] if "user@" in text else [])

    @settings(deadline=None, derandomize=True, max_examples=300)
    @given(st.text("ab.@-|%c0 é\n_", max_size=60))
    def test_agrees_with_plain_python(self, text: str) -> None:
        assert found(text, "emails") == plain_emails(text)


LOCAL = frozenset(string.ascii_letters + string.digits + "._%+-")


def plain_emails(text: str) -> list[str]:
    """What `plain_email` finds, for short texts without punycode and file names."""
    spans, done = [], 0
    for at in (m.start() for m in re.finditer("@", text)):
        start = at
        while start > max(done, at - 64) and text[start - 1] in LOCAL and text[start - 1 : start + 1] != "..":
            start -= 1
        while start < at and text[start] in ".-%":
            start += 1
        domain = re.compile(r"[A-Za-z0-9.\u00c0-\u053f-]*").match(text, at + 1)
        end, position = 0, at + 1
        for i, label in enumerate(domain[0].split(".")):
            if label[:1] in ("", "-"):
                break
            top = re.match(r"[A-Za-z]{2,}(?![A-Za-z0-9])", label)
            end = position + top.end() if i and top else end
            position += len(label) + 1
        if start < at and end:
            spans.append(text[start:end])
            done = end
    return spans


class TestIps:
    @settings(deadline=None, derandomize=True, max_examples=300)
    @given(st.lists(st.sampled_from(["0", "1", "9", "25", "255", "256", "01", "192", "1000", ""]), max_size=6))
    def test_quads_are_those_of_the_standard_library(self, parts: list[str]) -> None:
        token = ".".join(parts)
        token = token.rstrip(".")  # which may end a sentence
        assert found(f"ip {token}. ok", "ips") == ([token] if is_address(token, 4) else [])

    @settings(deadline=None, derandomize=True, max_examples=500)
    @given(
        st.lists(st.sampled_from(["2001", "db8", "fe80", "0", "ffff", "1", "12345", "", "", "1.2.3.4"]), max_size=10)
    )
    @example(["2001", "db8", "", "1"])
    @example(["", "", "1"])
    @example(["", "", "ffff", "1.2.3.4"])
    @example(["fe80", "", ""])
    @example(["2001", *"1234567"])
    def test_groups_are_those_of_the_standard_library(self, parts: list[str]) -> None:
        token = ":".join(parts)
        expected = is_address(token, 6) and (is_in_use(token) or "." in token or token == "::1")
        spans = [span for span in found(f"ip {token} ok", "ips") if ":" in span]
        assert (token in spans) == expected
        assert all(is_address(span, 6) for span in spans)

    @pytest.mark.parametrize(
        "text",
        [
            "version 1.2.3.4, v1.2.3.4, 1.2.3.4.5 and lib-1.2.3.4.jar",
            "Chrome/10.0.0.1 Safari",
            "Firefox 2.0.0.16 - SeaMonkey 1.1.11",
            "Official OS 4.7.0.75 for a phone",
            "\n  • 5.2.2.1 Example",
            "EC no. 1.2.5.1",
            "has a new update (1.1.243.0).",
            "G. 1.121.319.953",
            "std::atomic a::b dead::beef ::x 12:30:45 00:1a:2b:3c:4d:5e 20:30:40:50:60:10:20:30 ::",
        ],
    )
    def test_versions_sections_and_code_are_left(self, text: str) -> None:
        assert mask_ip_addresses(text) == (text, 0)

    def test_addresses_in_sentences(self) -> None:
        text = "The server answers at 8.8.8.8. DNS 1.1.1.1:53, 10.0.0.0/8 http://192.168.0.1/ サーバーは9.9.9.9です"
        assert found(text, "ips") == ["8.8.8.8", "1.1.1.1", "10.0.0.0", "192.168.0.1", "9.9.9.9"]


def is_address(token: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(token).version == version
    except ValueError:
        return False


def is_in_use(token: str) -> bool:
    ranges = ("2000::/3", "fc00::/7", "fe80::/10", "ff00::/8")
    return any(ipaddress.ip_address(token) in ipaddress.ip_network(network) for network in ranges)


class TestPhones:
    @pytest.mark.parametrize(
        "number",
        [
            "2831823829",
            "(283)-182-3829",
            "(283) 182 3829",
            "283-182-3829",
            "283.182.3829",
            "(800) 5551234",
            "1-800-555-0123",
            "+1 (703) 555-0131",
            "+12035550131",
            "+44 (0)20 7946 0018",
            "+49 221 / 50 80 00",
            "+49 - (40) - 300 30 - 1141",
            "+54 9 11 4556-9147",
            "0043(0) 316/82 16 36",
            "+ 38 048 738 08 08",
            "01 43 31 80 49",
            "0221/1773-1000",
            "(0372) 55-15-89",
            "0800 433 88 77",
        ],
    )
    def test_numbers_that_show_what_they_are(self, number: str) -> None:
        assert found(f"or {number}.", "phones") == [number]
        assert found(number, "phones") == [number]

    @pytest.mark.parametrize(
        ("text", "number"),
        [
            ("Tel. 555-0123", "555-0123"),
            ("Telefon: 62 81 79 36", "62 81 79 36"),
            ("联系电话：63070957", "63070957"),
            ("Тел: 207-33-05", "207-33-05"),
            ("call us at 5550 1234", "5550 1234"),
            ("Tel. suscripciones : 971 717 308", "971 717 308"),
            ("মোবাইল: 01720622263", "01720622263"),
        ],
    )
    def test_numbers_after_a_word(self, text: str, number: str) -> None:
        assert found(text, "phones") == [number]
        assert found(number, "phones") == []

    def test_texts_with_several(self) -> None:
        assert mask_phone_numbers("283-182-3829 or (283) 182 3830, 2831823831") == (
            "|||PHONE_NUMBER||| or |||PHONE_NUMBER|||, |||PHONE_NUMBER|||",
            3,
        )
        assert found("Tel: 01720622263, 01919287354", "phones") == ["01720622263", "01919287354"]
        for numbers in ("283-182-3829,283-182-3830", "283.182.3829,283.182.3830", "2831823829,2831823830"):
            assert found(numbers, "phones") == numbers.split(",")
        assert found("Ann,2831823829,94107\nBob,(283) 182-3830,Ely", "phones") == ["2831823829", "(283) 182-3830"]
        assert found("电话：010--63070957 010--63070958", "phones") == ["010--63070957", "010--63070958"]

    @pytest.mark.parametrize(
        "text",
        [
            "12831823829123 id2831823829 2831823829x 0x2831823829",
            "call in 2011-2012 or on 01.02.2003 10:30",
            "2012-10-11 05/06/2012 10:20 08/03/2020 - 08:19",
            "Boston, MA 02110-1301 and FL 32399-0800",
            "ISBN 3540123456, 978-3-16-148410-0, 0-306-40615-2",
            "order 2831823829 item no. 2831823829",
            "http://x.example/2831823829?id=2831823829",
            "4008178000.cn",
            "53.3683998, 7.1965988 and 3.14159265358979",
            "$1,234,567,890 and 1.234.567.890",
            "2831823829,50 and 0,2831823829 and 12,2831823829 and 2831823829,123",
            "Wholesale prices in '07 1/15/2008, 10:23",
            "283-182-3829-1 1-283-182-38290 12-283-182-3829",
            "0 0 0 0 0 0 0 0 0 0",
            "2831823829@qq.example",
        ],
    )
    def test_other_numbers_are_left(self, text: str) -> None:
        assert mask_phone_numbers(text) == (text, 0)

    def test_national_numbers_are_as_long_as_the_library_says(self) -> None:
        for code, regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items():
            kinds = [
                kind
                for region in regions
                if (data := phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(code, region))
                for kind in (data.fixed_line, data.mobile)
                if kind
            ]
            longest = max((n for kind in kinds for n in kind.possible_length), default=0)
            assert code == 1 or MAX_NATIONAL[code] >= max(1, min(longest, 15 - len(str(code)))), code

    @pytest.mark.parametrize("style", ["INTERNATIONAL", "E164"])
    def test_the_librarys_examples_of_all_countries(self, style: str) -> None:
        examples = [
            phonenumbers.format_number(number, getattr(phonenumbers.PhoneNumberFormat, style))
            for region in sorted(phonenumbers.SUPPORTED_REGIONS)
            for kind in (phonenumbers.PhoneNumberType.FIXED_LINE, phonenumbers.PhoneNumberType.MOBILE)
            if (number := phonenumbers.example_number_for_type(region, kind))
        ]
        missed = [number for number in examples if found(f"Write to {number}.", "phones") != [number]]
        assert len(examples) > 400
        assert [number for number in missed if len(re.sub(r"\D", "", number)) >= 8] == []


class TestAccounts:
    @pytest.mark.parametrize(
        "number",
        ["4111 1111 1111 1111", "4111-1111-1111-1111", "5555555555554444", "3782 822463 10005", "6011111111111117"],
    )
    def test_cards(self, number: str) -> None:
        assert found(f"card {number}.", "cards") == [number]

    @settings(deadline=None, derandomize=True, max_examples=300)
    @given(st.text("0123456789", min_size=12, max_size=20), st.sampled_from(["", "4", "51", "37", "6011", "36"]))
    def test_cards_pass_luhns_test(self, digits: str, prefix: str) -> None:
        number = prefix + digits
        if found(f"card {number}.", "cards"):
            doubled = [sum(divmod(2 * int(d), 10)) if i % 2 else int(d) for i, d in enumerate(reversed(number))]
            assert sum(doubled) % 10 == 0
            assert 13 <= len(number) <= 19

    def test_one_other_digit_is_no_card(self) -> None:
        assert found("4111111111111111 4111111111111112", "cards") == []  # part of a longer number
        assert found("4111111111111112, 1111111111111117, 4111111111111111a", "cards") == []

    @pytest.mark.parametrize("number", ["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432", "NO93 8601 1117 947"])
    def test_ibans(self, number: str) -> None:
        assert found(f"IBAN: {number}.", "ibans") == [number]
        wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
        assert found(f"IBAN: {wrong}.", "ibans") == []

    @settings(deadline=None, derandomize=True, max_examples=300)
    @given(st.sampled_from(["DE", "FR", "NL", "QQ", "GB"]), st.text("0123456789ABC", min_size=14, max_size=25))
    def test_ibans_leave_one_modulo_97(self, country: str, account: str) -> None:
        value = int("".join(str(int(c, 36)) for c in account + country + "00"))
        number = f"{country}{98 - value % 97:02}{account}"
        long_enough = len(number) == IBAN_CHARS[ord(country[0]) - 65, ord(country[1]) - 65]
        assert found(f"to {number}.", "ibans") == ([number] if long_enough else [])


class TestKeys:
    def test_keys(self) -> None:
        secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
        text = f"AKIAIOSFODNN7EXAMPLE and aws_secret_access_key = '{secret}', {secret}"
        assert found(text, "aws_keys") == ["AKIAIOSFODNN7EXAMPLE", secret]
        assert found("AKIAIOSFODNN7EXAMPLES AKIAIOSFODNN1EXAMPLE secret: " + "a1" * 20, "aws_keys") == []

    def test_private_keys(self) -> None:
        begin, end = "-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----"
        key = f"{begin}\nProc-Type: 4,ENCRYPTED\n\nMIIE+/abc=\n{end}"
        assert found(f"a\n{key}\nb", "private_keys") == [key]
        assert found(f"{begin}\nMIIE\n{begin}\n(none)\n{end} -----BEGIN CERTIFICATE-----\nMII\n", "private_keys") == []


PIECES = [
    *(
        "a@b.de",
        "@",
        " @ ",
        ".com",
        "(at)",
        " at ",
        " dot ",
        "[dot]",
        "x",
        "me",
        "co",
        "uk",
        "-",
        "_",
        "icon.png",
        "münchen",
    ),
    *(
        "283",
        "182",
        "3829",
        "2831823829",
        "+1",
        "+49",
        "00",
        "0",
        "(0)",
        "(",
        ")",
        "/",
        ".",
        " ",
        "Tel: ",
        "call us at ",
    ),
    *("8.8.8.8", "192.0.2.1", "1.2.3", ":", "::", "fe80", "2001:db8::1", "version ", "4111111111111111", "4111 1111 "),
    *(
        "DE89 3704 0044 0532 0130 00",
        "NO9386011117947",
        "AKIAIOSFODNN7EXAMPLE",
        "secret=",
        "\n",
        ", ",
        "é",
        "电话",
        "|",
        "<",
        ">",
    ),
    *(
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "-----BEGIN PRIVATE KEY-----",
        "-----END PRIVATE KEY-----",
        "2012",
        "10",
    ),
    *("email@example.com", "|||EMAIL_ADDRESS|||", "a" * 64, "5555"),
]
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=2), max_size=25).map("".join)
STYLES = [
    *(masks_named(name) for name in MASKS),
    tuple(Mask(kind, "<>") for kind in KINDS),
    (Mask("phones", " [...] "),),
]


class TestMasking:
    def test_the_usual_placeholders(self) -> None:
        text = "a@b.de 283-182-3829 8.8.8.8 4111111111111111 NO9386011117947 AKIAIOSFODNN7EXAMPLE"
        masked = " ".join(PLACEHOLDERS[kind] for kind in KINDS[:6])
        assert mask_text(text) == (masked, 6)
        assert mask_emails("to a@b.de, now") == ("to |||EMAIL_ADDRESS|||, now", 1)
        assert mask_ip_addresses("to 8.8.8.8, now") == ("to |||IP_ADDRESS|||, now", 1)

    def test_fineweb_puts_made_up_addresses_for_public_ones(self) -> None:
        text = "a@b.de 8.8.8.8 10.0.0.1 me@example.org 283-182-3829"
        masked = "email@example.com 192.0.2.1 10.0.0.1 me@example.org 283-182-3829"
        assert mask_text(text, masks_named("fineweb")) == (masked, 2)

    @pytest.mark.parametrize(
        "placeholder", ["email@example.com", "EMAIL", "<email", "email>", ".|", "<a@b>", "<283-182-3829>", "(x)", "><"]
    )
    def test_a_placeholder_cannot_be_found_again(self, placeholder: str) -> None:
        with pytest.raises(UserError, match="placeholder"):
            Mask("emails", placeholder)

    @pytest.mark.parametrize(("kind", "placeholder"), [("emails", "a@b.de"), ("ips", "8.8.8.8"), ("ips", "192.0.2.1 ")])
    def test_a_made_up_placeholder_is_of_no_one(self, kind: str, placeholder: str) -> None:
        with pytest.raises(UserError, match="documentation"):
            Mask(kind, placeholder, made_up=True)

    def test_unknown_names(self) -> None:
        with pytest.raises(UnknownNameError, match="'emails'"):
            Mask("email")
        with pytest.raises(UnknownNameError, match="'fineweb'"):
            masks_named("finewebb")

    @settings(deadline=None, derandomize=True, max_examples=1000)
    @given(TEXTS, st.sampled_from(STYLES))
    @example("555 123 4567 1234@qq.com", ALL)
    @example("5551234567 " + "a" * 64 + "@b.com", ALL)
    @example("secret a@b.de|" + "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", STYLES[-2])
    def test_masking_twice_changes_nothing_more(self, text: str, masks: tuple[Mask, ...]) -> None:
        once, _ = mask_text(text, masks)
        assert mask_text(once, masks) == (once, 0)

    @settings(deadline=None, derandomize=True, max_examples=300)
    @given(st.lists(TEXTS, max_size=4))
    def test_spans_say_what_was_replaced_and_where(self, texts: list[str]) -> None:
        masked, spans = mask(array(*texts), ALL)
        after = spans.start_after({kind: len(text) for kind, text in PLACEHOLDERS.items()}).tolist()
        for i, text in enumerate(texts):
            mine = np.flatnonzero(spans.document == i).tolist()
            assert mine == list(range(*spans.offsets(len(texts))[i : i + 2]))
            assert all(spans.end[a] <= spans.start[b] for a, b in itertools.pairwise(mine))
            expected, done = b"", 0
            for k in mine:
                placeholder = PLACEHOLDERS[KINDS[spans.kind[k]]].encode()
                expected += text.encode()[done : spans.start[k]]
                assert after[k] == len(expected)
                expected += placeholder
                done = spans.end[k]
            assert masked[i].as_py().encode() == expected + text.encode()[done:]

    def test_texts_without_personal_data_are_not_copied(self) -> None:
        texts = array("nothing", "here")
        assert mask(texts, ALL)[0] is texts

    def test_slices_and_bytes_that_are_no_text(self) -> None:
        texts = array("x" * 50, "a@b.de 283-182-38", "29 c@d.fr")
        assert mask(texts.slice(1, 1), ALL)[0].to_pylist() == ["|||EMAIL_ADDRESS||| 283-182-38"]
        for tail in b"a@\xc3 @b.d\xe2\x80 283-182-382\xc2 Tel\xef\xbc \xff@\xff.\xff :: AKIA DE89 a@b".split():
            data = pa.py_buffer(tail)
            broken = pa.LargeStringArray.from_buffers(1, pa.py_buffer(np.array([0, len(tail)])), data)
            assert mask(broken, ALL)[0][0].as_buffer().to_pybytes() == tail

    def test_lone_surrogates_stay(self) -> None:
        assert mask_text("\ud800 a@b.de \udfff") == ("\ud800 |||EMAIL_ADDRESS||| \udfff", 1)


def test_the_scorer_counts_and_the_rule_is_dolmas() -> None:
    text = "a@b.de 8.8.8.8 4111111111111111 " + "283-182-3829, " * 3
    (row,) = pa.table(PersonalData().score(Documents.from_texts([text])), schema=PersonalData().columns).to_pylist()
    assert {name: n for name, n in row.items() if n} == {
        "pii_n_emails": 1,
        "pii_n_phones": 3,
        "pii_n_ips": 1,
        "pii_n_cards": 1,
        "pii_n_contacts": 5,
    }
    assert passes(text)
    assert not passes(text + "c@d.fr")


def test_the_labelled_contexts() -> None:
    rows = [json.loads(line) for line in LABELLED.read_text().splitlines()]
    n_hits, n_true, n_marked = Counter[str](), Counter[str](), Counter[str]()
    for row in rows:
        true = {
            kind: [row["text"][a:b] for a, b, k in row["spans"] if k == kind] for kind in ("emails", "phones", "ips")
        }
        for kind, wanted in true.items():
            marked = found(row["text"], kind)
            n_hits[kind] += (Counter(marked) & Counter(wanted)).total()
            n_true[kind] += len(wanted)
            n_marked[kind] += len(marked)
    assert min(n_true.values()) > 30
    for kind, bound in (("emails", 0.95), ("ips", 0.95), ("phones", 0.9)):
        assert n_hits[kind] >= bound * max(n_true[kind], n_marked[kind]), kind


ATTACKS = {
    "dots": ".",
    "commas and dots": ",.",
    "a@": "a@",
    "a@b.": "a@b.",
    "a.b@": "a.b@",
    "@": "@",
    "a-a-": "a-",
    "spaces": " ",
    " at x dot ": " at x dot ",
    "(at)(dot)": "(at)(dot)",
    " dot ": " dot ",
    "digits": "1",
    "1 ": "1 ",
    "0 ": "0 ",
    "+1 ": "+1 ",
    "+(": "+(",
    "283-182-3829": "283-182-3829",
    "283-182-3829 ": "283-182-3829 ",
    "Tel ": "Tel ",
    "Tel: 5550123 ": "Tel: 5550123 ",
    "1.2.3.4": "1.2.3.4",
    "1.": "1.",
    ":": ":",
    "a:": "a:",
    "2001:": "2001:",
    "4111 ": "4111 ",
    "DE89 ": "DE89 ",
    "AKIA": "AKIA",
    "secret": "secret",
    "dashes": "-",
    "begin": "-----BEGIN PRIVATE KEY-----\n",
    "begin and end": "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
    "addresses": "a@b.de ",
    "long addresses": "a" * 64 + "@" + "b." * 127 + "c ",
    "a phone number uncovered by an address": "555 123 4567 1234@qq.com ",
}

# Run without a compiler, on bytes that count how often they are looked at.
COUNT = """
import json, sys
import numpy as np
from textmill.filters.pii import spans

class Bytes:
    def __init__(self, text): self.text, self.n = text, 0
    def __len__(self): return len(self.text)
    def __getitem__(self, i):
        self.n += 1
        return np.uint8(self.text[i])

looks = {}
for name, unit in json.load(sys.stdin).items():
    looks[name] = []
    for n in (600, 1200):
        data = Bytes((unit * n)[:n].encode())
        spans._find(data, np.array([0, n]), 127, spans.ANCHORS)
        looks[name].append(data.n)
print(json.dumps(looks))
"""


def test_hostile_text_costs_a_linear_number_of_looks() -> None:
    shown = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COUNT],
        input=json.dumps(ATTACKS),
        capture_output=True,
        text=True,
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
    )
    assert shown.returncode == 0, shown.stderr[-2000:]
    looks = json.loads(shown.stdout)
    assert looks.keys() == ATTACKS.keys()
    assert {name: n for name, n in looks.items() if n[1] > 2.5 * n[0]} == {}
