"""Reading archives: every byte accounted for, under every cut and every kind of damage."""

from __future__ import annotations

import contextlib
import gzip
import io
import itertools
import random
import zlib
from collections.abc import Callable

import pytest
from backports.zstd import CompressionParameter, ZstdDict, compress
from fastwarc.warc import ArchiveIterator
from hypothesis import given, settings
from hypothesis import strategies as st
from lz4 import frame as lz4_frame

from textmill.errors import InputError
from textmill.pipeline.reading import members, warc
from textmill.pipeline.reading.source import BLOCK_BYTES
from textmill.pipeline.reading.warc import Damage, Item, Record, Skipped, kind, read_range, splittable

FEED = members.FEED_BYTES
KINDS = {"response", "resource", "conversion"}


def warc_record(number: int, block: bytes, kind: str = "response", length: int | None = None) -> bytes:
    return (
        b"WARC/1.0\r\nWARC-Type: %s\r\nWARC-Target-URI: <http://a.example/%d>\r\n"
        b"WARC-Date: 2024-01-01T00:00:00Z\r\nContent-Type: application/http; msgtype=response\r\n"
        b"Content-Length: %d\r\n\r\n%s\r\n\r\n" % (kind.encode(), number, length or len(block), block)
    )


def noise(n_bytes: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(n_bytes)


def read(archive: bytes, *cuts: int) -> list[Item]:
    edges = sorted([0, len(archive), *cuts])
    ranges = itertools.pairwise(edges)
    return [i for a, b in ranges for i in read_range(io.BytesIO(archive), a, b, len(archive), KINDS)]


def blocks(items: list[Item]) -> list[bytes]:
    return [item.block for item in items if isinstance(item, Record)]


def damage(items: list[Item]) -> list[Damage]:
    return [item for item in items if isinstance(item, Damage)]


def assert_accounted(archive: bytes, items: list[Item]) -> None:
    """No byte without an item, no number twice."""
    extents = {item.offset: item.length for item in items}
    position = 0
    for offset, length in sorted(extents.items()):
        assert offset == position
        position += length
    assert position == len(archive)
    numbers = [item.offset // 16 + item.index for item in items if not isinstance(item, Skipped)]
    assert len(set(numbers)) == len(numbers)


FIVE_BLOCKS = [b"block %d " % n + noise(30, n).hex().encode() for n in range(5)]
FIVE = [warc_record(n, block) for n, block in enumerate(FIVE_BLOCKS)]
FIVE_MEMBERS = [gzip.compress(record, mtime=0) for record in FIVE]


def test_a_record_carries_its_fields_and_its_place() -> None:
    first, second = FIVE_MEMBERS[:2]
    record = read(first + second)[1]
    assert isinstance(record, Record)
    assert (record.offset, record.index, record.length) == (len(first), 0, len(second))
    assert (record.type, record.url, record.date) == ("response", "http://a.example/1", "2024-01-01T00:00:00Z")
    assert record.content_type == "application/http; msgtype=response"
    assert record.truncated == ""
    assert record.block == FIVE_BLOCKS[1]


def test_other_types_are_counted_not_read() -> None:
    archive = gzip.compress(warc_record(0, b"x", "request")) + FIVE_MEMBERS[0]
    assert [item.type for item in read(archive) if not isinstance(item, Damage)] == ["request", "response"]


@pytest.mark.parametrize("cut", ["", "cut"])
def test_long_addresses_and_truncation_marks(cut: str) -> None:
    mark = f"WARC-Truncated: {cut}\r\n" if cut else ""
    text = (
        f"WARC/1.1\r\nWARC-Type: RESPONSE\r\n{mark}WARC-Target-URI: {'a' * 9000}\r\nContent-Length: 0\r\n\r\n\r\n\r\n"
    )
    (record,) = read(gzip.compress(text.encode()))
    assert isinstance(record, Record)
    assert (record.truncated, len(record.url)) == (cut, 8192)


def zstd(data: bytes, checksum: bool = True, dictionary: ZstdDict | None = None) -> bytes:
    return compress(data, options={CompressionParameter.checksum_flag: checksum}, zstd_dict=dictionary)


def lz4(data: bytes, checksum: bool = True) -> bytes:
    return lz4_frame.compress(data, content_checksum=checksum, block_size=lz4_frame.BLOCKSIZE_MAX64KB)


PIECES = {
    "gzip": FIVE_MEMBERS,
    "plain": FIVE,
    "zstd": [zstd(record) for record in FIVE],
    "lz4": [lz4(record) for record in FIVE],
}
FORMS = {form: b"".join(pieces) for form, pieces in PIECES.items()}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_records(form: str) -> None:
    archive = FORMS[form]
    assert kind(io.BytesIO(archive)) == form
    assert splittable(kind(io.BytesIO(archive)))
    for cuts in ([], [100, 300]):
        items = read(archive, *cuts)
        assert blocks(items) == FIVE_BLOCKS
        assert_accounted(archive, items)


def test_zstd_frames_of_several_records_and_corrupt_ones() -> None:
    archive = zstd(b"".join(FIVE)) + zstd(FIVE[0])
    assert blocks(read(archive)) == [*FIVE_BLOCKS, FIVE_BLOCKS[0]]
    assert_accounted(archive, read(archive))
    broken = FORMS["zstd"][:-20] + bytes(20)
    items = read(broken)
    assert blocks(items)[:4] == FIVE_BLOCKS[:4]
    assert damage(items)
    assert_accounted(broken, items)


@pytest.mark.parametrize("form", FORMS)
def test_fastwarc_agrees_on_sound_archives(form: str) -> None:
    archive = FORMS[form]
    theirs = [(r.stream_pos, r.reader.read()) for r in ArchiveIterator(io.BytesIO(archive), parse_http=False)]
    assert [(r.offset, r.block) for r in read(archive) if isinstance(r, Record)] == theirs


@pytest.mark.parametrize(
    ("archive", "message"),
    [
        (b"", "empty file"),
        (b"<html>Access denied</html>", "not a web archive"),
        (gzip.compress(b"<html>Access denied</html>"), "not a web archive"),
        (gzip.compress(gzip.compress(FIVE[0])), "not a web archive"),
        (bytes(5000), "not a web archive"),
        (zstd(b"<html>Access denied</html>"), "not a web archive"),
        (lz4(b"<html>Access denied</html>"), "not a web archive"),
        (gzip.compress(b""), "not a web archive"),
        (noise(20_000), "not a web archive"),
    ],
)
def test_what_is_no_archive_is_refused(archive: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(archive)


records = st.lists(st.binary(max_size=300).map(lambda b: b.replace(b"WARC/", b"")), min_size=1, max_size=8)


@st.composite
def archives(draw: st.DrawFn) -> bytes:
    """In any form, with several records in some members, and with some damage."""
    texts = [warc_record(n, block) for n, block in enumerate(draw(records))]
    grouped = itertools.groupby(texts, key=lambda text: len(text) // draw(st.sampled_from([1, 50])))
    groups = [b"".join(group) for _, group in grouped]
    checksum, level = draw(st.booleans()), draw(st.sampled_from([0, 9]))
    pack = {
        "plain": bytes,
        "gzip": lambda text: gzip.compress(text, level, mtime=0),
        "zstd": lambda text: zstd(text, checksum),
        "lz4": lambda text: lz4(text, checksum),
    }[draw(st.sampled_from(sorted(FORMS)))]
    pieces = [pack(text) for text in groups]
    archive = bytearray(b"".join([pieces[0], *pieces]))
    for _ in range(draw(st.integers(0, 3))):  # not in the first piece: the file is still to pass for an archive
        archive[draw(st.integers(len(pieces[0]), len(archive) - 1))] ^= 1 << draw(st.integers(0, 7))
    return bytes(archive)


@settings(deadline=None, max_examples=300)
@given(archives(), st.data())
def test_any_cut_gives_the_same_items(archive: bytes, data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(archive)), max_size=5))
    items = read(archive)
    assert_accounted(archive, items)
    assert read(archive, *cuts) == items


@pytest.mark.parametrize("form", FORMS)
def test_any_cut_of_a_large_archive_with_damage(form: str) -> None:
    """Members of up to 90 KB, so that gzip ranges do begin at trusted members in mid-file."""
    pack = {"gzip": gzip.compress, "plain": bytes, "zstd": zstd, "lz4": lz4}[form]
    archive = bytearray(b"".join(pack(warc_record(n, noise(n * 3000, n))) for n in range(30)))
    middle = len(archive) // 2
    archive[middle : middle + 40_000] = bytes(40_000)  # in a plain file, zeros are as good as any other block
    archive = bytes(archive)
    items = read(archive)
    assert len(blocks(items)) in ((28, 29) if form != "plain" else (29, 30))
    assert_accounted(archive, items)
    rng = random.Random(0)
    spread = set()
    for _ in range(40):
        cut = rng.randrange(len(archive))
        halves = [list(read_range(io.BytesIO(archive), a, b, len(archive), KINDS)) for a, b in
                  ((0, cut), (cut, len(archive)))]  # fmt: skip
        assert halves[0] + halves[1] == items
        spread.add(len(halves[0]))
    assert len(spread) > 10


@pytest.mark.parametrize("n_nested", [3, 200])
def test_an_archive_served_as_a_page_is_not_read_as_records(n_nested: int) -> None:
    """Deflate stores what it cannot pack tighter: the inner archive stands verbatim in the outer one."""
    inner = b"".join(gzip.compress(warc_record(n, noise(900, n)), mtime=0) for n in range(n_nested))
    outer = [gzip.compress(warc_record(n, page), 0) for n, page in enumerate([b"x", inner, noise(70_000), b"y"])]
    archive = b"".join(outer)
    assert inner[:2000] in archive
    expected = read(archive)
    assert len(expected) == 4
    for cut in range(0, len(archive), len(archive) // 60):
        assert read(archive, cut) == expected
    plain = b"".join(warc_record(n, block) for n, block in enumerate([b"x", b"".join(FIVE), b"y"]))
    for cut in range(0, len(plain), 50):
        assert blocks(read(plain, cut)) == [b"x", b"".join(FIVE), b"y"]


@pytest.mark.parametrize("form", FORMS)
def test_a_tail_cut_at_any_byte(form: str) -> None:
    archive = FORMS[form]
    dispensable = len(b"\r\n\r\n") if form == "plain" else 0
    ends = [end - dispensable for end in itertools.accumulate(map(len, PIECES[form]))]
    for length in range(ends[0], len(archive)):
        items = read(archive[:length])
        n_whole = sum(end <= length for end in ends)
        assert blocks(items) == FIVE_BLOCKS[:n_whole]
        assert_accounted(archive[:length], items)
        is_cut = not any(end <= length <= end + dispensable for end in ends)
        assert [item.reason for item in damage(items)] == ["truncated"] * is_cut
    for length in range(ends[0]):
        with contextlib.suppress(InputError):  # too little is left to tell what it was
            items = read(archive[:length])
            assert blocks(items) == []
            assert_accounted(archive[:length], items)


@pytest.mark.parametrize("form", FORMS)
def test_a_flipped_bit_costs_one_record(form: str) -> None:
    archive = FORMS[form]
    rng = random.Random(1)
    starts = [0, *itertools.accumulate(map(len, PIECES[form]))]
    for _ in range(2000):
        position = rng.randrange(len(archive))
        broken = bytearray(archive)
        broken[position] ^= 1 << rng.randrange(8)
        items = read(bytes(broken))
        assert_accounted(bytes(broken), items)
        hit = sum(start <= position for start in starts) - 1
        intact = [block for n, block in enumerate(FIVE_BLOCKS) if n != hit]
        assert [block for block in blocks(items) if block in intact] == intact
        if form != "plain":  # which has no checksums
            assert set(blocks(items)) <= set(FIVE_BLOCKS)
            assert damage(items) or len(blocks(items)) == 5


@pytest.mark.parametrize(
    ("middle", "types"),
    [
        (b"\0" * 512, ["padding"]),
        (b"\r\n", ["padding"]),
        (b"some garbage between the members", ["Damage"]),
        (gzip.compress(b""), ["empty"]),
        (gzip.compress(b"a file that is no record at all"), ["Damage"]),
    ],
)
def test_what_stands_between_members(middle: bytes, types: list[str]) -> None:
    archive = FIVE_MEMBERS[0] + middle + FIVE_MEMBERS[1]
    items = read(archive)
    assert blocks(items) == FIVE_BLOCKS[:2]
    assert [i.type if isinstance(i, Skipped) else "Damage" for i in items if not isinstance(i, Record)] == types
    assert_accounted(archive, items)


@pytest.mark.parametrize("n_bytes", range(FEED - 70, FEED + 2))
def test_reading_goes_on_wherever_damage_ends(n_bytes: int) -> None:
    assert blocks(read(FIVE_MEMBERS[0] + b"x" * n_bytes + FIVE_MEMBERS[1])) == FIVE_BLOCKS[:2]
    assert blocks(read(FIVE[0] + b"x" * n_bytes + b"\n" + FIVE[1])) == FIVE_BLOCKS[:2]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("length", ["-1", "abc", "", "3", "100", "99999999999999999999", "9" * 5000, "٣"])
def test_a_wrong_content_length_costs_its_record(packed: bool, length: str) -> None:
    good = FIVE[:2] + FIVE[3:]
    bad = b"WARC/1.0\r\nContent-Length: " + length.encode() + b"\r\n\r\ntwenty bytes, or so.\r\n\r\n"
    pieces = [*good[:2], bad, *good[2:]]
    archive = b"".join(gzip.compress(piece) for piece in pieces) if packed else b"".join(pieces)
    items = read(archive)
    assert blocks(items) == FIVE_BLOCKS[:2] + FIVE_BLOCKS[3:]
    assert len(damage(items)) == 1
    assert_accounted(archive, items)


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("separator", [0, 1, 2, 7])
def test_line_ends_and_separators_of_careless_writers(line_end: bytes, separator: int) -> None:
    records = [r[:-4].replace(b"\r\n", line_end) + line_end * separator for r in FIVE]
    assert blocks(read(b"".join(records))) == FIVE_BLOCKS
    assert blocks(read(b"".join(map(gzip.compress, records)))) == FIVE_BLOCKS


def test_a_damaged_start_does_not_cost_the_file() -> None:
    for form in FORMS:
        assert blocks(read(b"????" + FORMS[form][4:])) == FIVE_BLOCKS[1:]


@pytest.mark.parametrize("pack", [gzip.compress, zstd, lz4])
def test_one_member_for_the_whole_file(pack: Callable[[bytes], bytes]) -> None:
    archive = pack(b"".join(FIVE))
    items = read(archive, 50, 100)
    assert blocks(items) == FIVE_BLOCKS
    assert [item.index for item in items] == [0, 1, 2, 3, 4]
    assert_accounted(archive, items)
    large = [noise(100_000, n) for n in range(5)]
    cut = pack(b"".join(warc_record(n, block) for n, block in enumerate(large)))[:-20]
    items = read(cut)
    assert 3 <= len(blocks(items)) < 5
    assert blocks(items) == large[: len(blocks(items))]
    assert [item.reason for item in damage(items)] == ["truncated"]
    assert_accounted(cut, items)


def test_records_beyond_the_numbers_of_a_member_are_damage() -> None:
    archive = gzip.compress(FIVE[0] * 1000) + FIVE_MEMBERS[1]
    items = read(archive)
    assert_accounted(archive, items)
    assert len(damage(items)) == 1
    assert blocks(items)[-1] == FIVE_BLOCKS[1]


def test_a_record_that_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its beginning is delivered; it is no damage."""
    monkeypatch.setattr(warc, "MAX_RECORD_BYTES", 1 << 20)
    long = noise((1 << 20) + 1)
    record = warc_record(0, long)
    for archive in (FIVE_MEMBERS[0] + gzip.compress(record) + FIVE_MEMBERS[1], FIVE[0] + record + FIVE[1]):
        items = read(archive)
        assert blocks(items) == [FIVE_BLOCKS[0], long[: warc.CUT_BYTES], FIVE_BLOCKS[1]]
        assert [item.is_cut for item in items if isinstance(item, Record)] == [False, True, False]
        assert_accounted(archive, items)
    assert not read(warc_record(0, long[:-1]))[0].is_cut


@pytest.mark.parametrize("block_bytes", [(1 << 16) + d for d in (-2, -1, 0, 1, 2)])
def test_blocks_that_end_near_a_buffer_edge(block_bytes: int) -> None:
    records = [warc_record(n, noise(block_bytes, n)) for n in range(3)]
    assert blocks(read(b"".join(records))) == [noise(block_bytes, n) for n in range(3)]
    assert blocks(read(b"".join(map(gzip.compress, records)))) == [noise(block_bytes, n) for n in range(3)]


def test_memory_is_a_block_not_the_file() -> None:
    class Stingy(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            assert size is not None
            assert 0 <= size <= BLOCK_BYTES
            return super().read(size)

    archive = b"".join(gzip.compress(warc_record(n, noise(1 << 19, n)), 1) for n in range(6))
    assert len(list(read_range(Stingy(archive), 0, len(archive), len(archive), KINDS))) == 6


def test_a_false_gzip_header_within_a_page_is_not_a_member() -> None:
    block = b"\x1f\x8b\x08" * 50 + noise(100_000) + zlib.compress(b"WARC/1.0\r\n")
    archive = gzip.compress(warc_record(0, block)) + FIVE_MEMBERS[0]
    for cut in range(0, len(archive), 9973):
        assert blocks(read(archive, cut)) == [block, FIVE_BLOCKS[0]]
