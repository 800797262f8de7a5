"""Distinct strings, numbered: the table against a dictionary."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill import bits
from textmill.errors import InvariantError
from textmill.tokenize.pretokens import inventory
from textmill.tokenize.pretokens.inventory import Inventory

strings = st.lists(
    st.binary(min_size=1, max_size=20) | st.sampled_from([b"a", b"a" * 15, b"a" * 16, b"\0", b"\0" * 16])
)


def number(table: Inventory, pieces: list[bytes], before: bytes = b"") -> list[int]:
    data = np.frombuffer(before + b"".join(pieces), np.uint8)
    ends = len(before) + np.cumsum([len(piece) for piece in pieces], dtype=np.int64)
    return table.number(data, len(before), ends).tolist()


def content(table: Inventory) -> list[bytes]:
    whole, starts = table.arena.tobytes(), table.starts.tolist()
    return [whole[start:end] for start, end in pairwise(starts)]


@settings(deadline=None)  # the first call compiles
@given(strings, strings, st.binary(max_size=3))
def test_numbers_are_those_of_first_appearance(first: list[bytes], second: list[bytes], before: bytes) -> None:
    table = Inventory()
    known: dict[bytes, int] = {}
    for pieces in (first, second):
        expected = [known.setdefault(piece, len(known)) for piece in pieces]
        assert number(table, pieces, before) == expected
    assert content(table) == list(known)
    assert len(table) == len(known)


def test_a_table_grows() -> None:
    pieces = [b"%d" % i * (1 + i % 4) for i in range(30_000)]
    distinct = list(dict.fromkeys(pieces))
    numbers = {piece: i for i, piece in enumerate(distinct)}
    table = Inventory()
    assert number(table, pieces) == [numbers[piece] for piece in pieces]
    assert content(table) == distinct
    assert number(table, distinct) == list(range(len(distinct)))


def test_a_string_larger_than_the_whole_table_before() -> None:
    huge = b"ab" * 500_000
    table = Inventory()
    assert number(table, [b"x", huge, b"y", huge, huge[:-1]]) == [0, 1, 2, 1, 3]


def of_one_hash(salt: np.uint64) -> list[bytes]:
    """Strings of 16 bytes that a table with this salt finds in one place."""
    eights = np.arange(200, dtype=np.uint64)
    last = [bits.hash_step(bits.hash_begin(16) ^ salt, eight) for eight in eights]  # undoes what the first eight did
    return [eight.tobytes() + end.tobytes() for eight, end in zip(eights, np.array(last, np.uint64), strict=True)]


def test_strings_of_one_hash_are_told_apart() -> None:
    pieces = of_one_hash(np.uint64(0))
    assert len({bits.hash_bytes(piece) for piece in pieces}) == 1
    assert number(Inventory(), pieces + pieces) == [*range(200), *range(200)]
    table = Inventory()
    assert number(table, 2 * of_one_hash(table._salt)) == [*range(200), *range(200)]
    assert len(set(table._slots[::3][table._slots[1::3] != 0].tolist())) == 1


def test_who_does_not_know_the_salt_cannot_make_strings_of_one_hash() -> None:
    table = Inventory()
    number(table, of_one_hash(np.uint64(0)))
    assert len(set(table._slots[::3][table._slots[1::3] != 0].tolist())) == 200


def _no_memory(*arrays: object) -> None:
    raise MemoryError


def test_a_table_that_found_no_memory_goes_on_later(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = [b"%d" % i for i in range(10_000)]
    table = Inventory()
    with monkeypatch.context() as patch:
        patch.setattr(inventory, "_move", _no_memory)
        with pytest.raises(MemoryError):
            number(table, pieces)
    assert sorted(number(table, pieces)) == list(range(10_000))
    assert number(table, content(table)) == list(range(10_000))


def test_too_many_strings_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "MAX_STRINGS", 1 << 12)
    with pytest.raises(InvariantError, match="more than 4096"):
        number(Inventory(), [b"%d" % i for i in range((1 << 12) + 1)])
