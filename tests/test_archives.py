"""Archives of every form, as crawlers write them and as attackers would, and the account of what was lost."""

from __future__ import annotations

import gzip
import io
import random
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from backports.zstd import CompressionParameter, ZstdCompressor, ZstdDict, train_dict
from fastwarc.warc import ArchiveIterator as FastWarc
from hypothesis import given, settings
from hypothesis import strategies as st
from lz4 import frame as lz4_frame
from test_warc import (
    FIVE,
    FIVE_BLOCKS,
    FIVE_MEMBERS,
    assert_accounted,
    blocks,
    damage,
    lz4,
    noise,
    read,
    warc_record,
    zstd,
)
from warcio.archiveiterator import ArchiveIterator as Warcio

from textmill import cli
from textmill.errors import InputError, InvariantError, UnknownNameError
from textmill.pipeline.reading import members, warc
from textmill.pipeline.reading.source import Source
from textmill.pipeline.reading.warc import Damage, Item, Record, Skipped, kind, read_range
from textmill.pipeline.sources.inputs import Inputs, find_inputs
from textmill.pipeline.stages.pages import Extract

SHARED = Path(__file__).parents[1] / ".." / "shared" / "data"
TABLE = Path(__file__).parent / "data" / "archives.tsv"


# Zstandard


DICTIONARY = train_dict([warc_record(n, b"a page %d of few words" % n) for n in range(300)], 2000)


def with_dictionary(packed: bool, dictionary: ZstdDict = DICTIONARY) -> bytes:
    content = dictionary.dict_content
    content = zstd(content) if packed else content
    frames = [zstd(record, dictionary=dictionary) for record in FIVE]
    return b"\x5d\x2a\x4d\x18" + len(content).to_bytes(4, "little") + content + b"".join(frames)


@pytest.mark.parametrize("packed", [False, True])
def test_a_zstandard_file_with_its_dictionary(packed: bool) -> None:
    archive = with_dictionary(packed)
    assert kind(io.BytesIO(archive)) == "zstd"
    items = read(archive)
    assert blocks(items) == FIVE_BLOCKS
    assert [item.type for item in items if isinstance(item, Skipped)] == ["empty"]
    assert_accounted(archive, items)
    for cut in range(1, len(archive), 7):
        assert read(archive, cut) == items


@pytest.mark.parametrize("packed", [False, True])
def test_a_damaged_dictionary_costs_the_file(packed: bool) -> None:
    archive = bytearray(with_dictionary(packed))
    archive[8] ^= 1
    with pytest.raises(InputError, match="not a web archive"):
        read(bytes(archive))


def test_skippable_frames_hold_nothing() -> None:
    archive = zstd(FIVE[0]) + b"\x50\x2a\x4d\x18\x05\0\0\0WARC/" + zstd(b"") + zstd(FIVE[1])
    items = read(archive)
    assert blocks(items) == FIVE_BLOCKS[:2]
    assert [item.type for item in items if isinstance(item, Skipped)] == ["empty", "empty"]
    assert_accounted(archive, items)


def test_a_window_that_is_too_large_costs_its_frame() -> None:
    packer = ZstdCompressor(options={int(CompressionParameter.window_log): 28})
    wide = packer.compress(FIVE[1]) + packer.flush()
    items = read(zstd(FIVE[0]) + wide + zstd(FIVE[2]))
    assert blocks(items) == [FIVE_BLOCKS[0], FIVE_BLOCKS[2]]
    assert [item.reason for item in damage(items)] == ["window too large"]


texts = st.builds(
    lambda seed, n_noise, n_zeros, n_words: noise(n_noise, seed) + bytes(n_zeros) + b"some words " * n_words,
    st.integers(0, 9),
    *[st.sampled_from([0, 1, 300, 70_000, 140_000])] * 2,
    st.sampled_from([0, 1, 9000]),
)


@settings(deadline=None, max_examples=150)
@given(texts, st.booleans(), st.booleans(), st.booleans(), st.sampled_from([10, 17, 20]), st.sampled_from([-5, 1, 19]))
def test_where_zstandard_frames_end(
    text: bytes, checksum: bool, size: bool, dictionary: bool, window: int, level: int
) -> None:
    options = {
        CompressionParameter.checksum_flag: checksum,
        CompressionParameter.content_size_flag: size,
        CompressionParameter.window_log: window,
        CompressionParameter.compression_level: level,
    }
    packer = ZstdCompressor(options=options, zstd_dict=DICTIONARY if dictionary else None)
    if size:
        packer.set_pledged_input_size(len(text))
    frame = packer.compress(text) + packer.flush()
    assert members._zstd_end(Source.of(b"???" + frame + b"more"), 3) == 3 + len(frame)


@settings(deadline=None, max_examples=150)
@given(texts, st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.sampled_from([4, 5, 6, 7]))
def test_where_lz4_frames_end(
    text: bytes, checksum: bool, checksums: bool, size: bool, linked: bool, block: int
) -> None:
    how = {"content_checksum": checksum, "block_checksum": checksums, "store_size": size, "block_linked": linked}
    frame = lz4_frame.compress(text, block_size=block, **how)
    assert members._lz4_end(Source.of(b"???" + frame + b"more"), 3) == 3 + len(frame)


def zlib_member(archive: bytes) -> tuple[bytes, int] | None:
    """Content and end of the member that ``archive`` begins with, as zlib reads it; None if it is not intact."""
    inflater = zlib.decompressobj(31)
    try:
        content = inflater.decompress(archive)
    except zlib.error:
        return None
    return (content, len(archive) - len(inflater.unused_data)) if inflater.eof else None


@settings(deadline=None, max_examples=500)
@given(texts, st.sampled_from([0, 1, 9]), st.binary(max_size=30), st.lists(st.integers(10, 1 << 20), max_size=2))
def test_isal_reads_what_zlib_reads(text: bytes, level: int, after: bytes, flips: list[int]) -> None:
    """Headers are left whole: of reserved flags they think differently."""
    archive = bytearray(gzip.compress(text, level, mtime=0) + after)
    for place in flips:
        archive[10 + place % (len(archive) - 10)] ^= 1 << place % 8
    source = Source.of(bytes(archive))
    gzip_container = next(members.containers(source))
    with members._unpack(gzip_container, source, 0, source.size, None) as member:
        found = None if member.fault else (member.content.read(0, member.content.size), member.end)
    assert found == zlib_member(bytes(archive))


def test_a_broken_code_before_zeros_is_no_empty_member() -> None:
    archive = bytearray(gzip.compress(noise(1, 9) + bytes(140_000), 9, mtime=0))
    archive[20] ^= 4
    assert zlib_member(bytes(archive)) is None
    source = Source.of(bytes(archive))
    container = next(members.containers(source))
    with members._unpack(container, source, 0, source.size, None) as member:
        assert member.fault == "damaged gzip"


def raw_zstd(content: bytes, pretended: int | None = None) -> bytes:
    """A frame of one stored block, without a checksum; its length may be said to be another."""
    n_bytes = len(content) if pretended is None else pretended
    return b"\x28\xb5\x2f\xfd\xa0" + n_bytes.to_bytes(4, "little") + (n_bytes << 3 | 1).to_bytes(3, "little") + content


def raw_lz4(content: bytes, pretended: int | None = None) -> bytes:
    """The same in LZ4, with its end mark."""
    n_bytes = len(content) if pretended is None else pretended
    header = lz4(b"", checksum=False)[:7]
    return header + (n_bytes | 1 << 31).to_bytes(4, "little") + content + (b"" if pretended else bytes(4))


@pytest.mark.parametrize(("pack", "raw"), [(zstd, raw_zstd), (lz4, raw_lz4)])
def test_an_inner_frame_that_ends_where_the_outer_one_does(
    pack: Callable[[bytes], bytes], raw: Callable[..., bytes]
) -> None:
    """A page that holds frames of an archive, the last of which takes in the separator after the page."""
    fake = warc_record(7, b"fake")
    page = raw(fake) * 3 + raw(fake, len(fake) + 4)
    archive = pack(FIVE[0]) + raw(warc_record(1, page)) + pack(FIVE[2])
    items = read(archive)
    assert blocks(items) == [FIVE_BLOCKS[0], page, FIVE_BLOCKS[2]]
    for cut in range(1, len(archive), 11):
        assert read(archive, cut) == items


# ARC


ARC_V1 = b"1 0 A\nURL IP-address Archive-date Content-type Archive-length\n"
ARC_V2 = (
    b"2 0 A\nURL IP-address Archive-date Content-type Result-code Checksum Location Offset Filename Archive-length\n"
)
PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>%d\nhttp://b.example/ %s"


def arc_record(number: int, block: bytes, version: int = 1, length: bytes | None = None) -> bytes:
    more = b"200 checksum - 0 a.arc " if version == 2 else b""
    length = b"%d" % len(block) if length is None else length
    head = b"http://a.example/%d 1.2.3.4 2008043020482%d text/html " % (number, number)
    return head + more + length + b"\n" + block + b"\n"


def arc_pieces(version: int) -> list[bytes]:
    block = (ARC_V1, ARC_V2)[version - 1]
    head = b"filedesc://a.arc 0.0.0.0 20080430204820 text/plain "
    head += b"200 - - 0 a.arc " if version == 2 else b""
    return [head + b"%d\n" % len(block) + block + b"\n"] + [arc_record(n, arc_page(n), version) for n in range(1, 5)]


def arc_page(number: int) -> bytes:
    return PAGE % (number, noise(20, number).hex().encode())


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd, lz4])
def test_arc_records_become_responses(version: int, pack: Callable[[bytes], bytes]) -> None:
    pieces = [pack(piece) for piece in arc_pieces(version)]
    archive = b"".join(pieces)
    items = read(archive)
    assert [item.type for item in items if not isinstance(item, Damage)] == ["warcinfo"] + ["response"] * 4
    assert blocks(items) == [arc_page(n) for n in range(1, 5)]
    first = items[1]
    assert isinstance(first, Record)
    assert (first.url, first.date, first.content_type) == ("http://a.example/1", "2008-04-30T20:48:21Z", "text/html")
    assert (first.offset, first.length) == (len(pieces[0]), len(pieces[1]))
    assert_accounted(archive, items)
    for cut in range(1, len(archive), 5):
        assert read(archive, cut) == items
    whole = pack(b"".join(arc_pieces(version)))
    assert blocks(read(whole)) == blocks(items)


def test_warcio_agrees_on_arc() -> None:
    """On version 1: it does not know the fields of version 2."""
    archive = b"".join(arc_pieces(1))
    records = Warcio(io.BytesIO(archive), arc2warc=True, no_record_parse=True)
    theirs = [(r.rec_headers["WARC-Target-URI"], r.raw_stream.read()) for r in records if r.rec_type == "response"]
    assert [(r.url, r.block) for r in read(archive) if isinstance(r, Record)] == theirs


def test_spaces_in_an_arc_header() -> None:
    line = b"http://a.example/x?q=three words 8.8.8.8 20140216050221 text/html 1\nx\n"
    (record,) = read(line)
    assert isinstance(record, Record)
    assert (record.url, record.date) == ("http://a.example/x?q=three words", "2014-02-16T05:02:21Z")


@pytest.mark.parametrize("length", [b"-1", b"abc", b"3", b"90", b"99999999999"])
def test_a_wrong_length_in_arc_costs_its_record(length: bytes) -> None:
    pieces = arc_pieces(1)
    pieces[2] = arc_record(2, arc_page(2), length=length)
    for pack in (bytes, gzip.compress):
        archive = b"".join(map(pack, pieces))
        items = read(archive)
        assert [block for block in blocks(items) if block != arc_page(2)] == [arc_page(n) for n in (1, 3, 4)]
        assert len(damage(items)) == 1
        assert_accounted(archive, items)


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 10_000), st.integers(0, 7), st.integers(0, 10_000), st.integers(0, 10_000))
def test_any_cut_of_a_damaged_arc(place: int, bit: int, cut: int, other: int) -> None:
    archive = bytearray(b"".join(arc_pieces(1)))
    archive[200 + place % (len(archive) - 200)] ^= 1 << bit
    items = read(bytes(archive))
    assert_accounted(bytes(archive), items)
    assert read(bytes(archive), cut % len(archive), other % len(archive)) == items


# Bounds


@pytest.fixture
def small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "SPILL_BYTES", 1 << 16)


@pytest.mark.parametrize("pack", [gzip.compress, zstd, lz4])
def test_a_large_member_goes_through_a_file(
    small_bounds: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]
) -> None:
    made = []
    temporary = members.tempfile.TemporaryFile
    monkeypatch.setattr(members.tempfile, "TemporaryFile", lambda **kw: made.append(temporary(**kw)) or made[-1])
    pages = [noise(30_000, n) for n in range(9)]
    archive = pack(b"".join(warc_record(n, page) for n, page in enumerate(pages)))
    items = list(read_range(io.BytesIO(archive), 0, len(archive), len(archive), {"response"}, tmp_path))
    assert blocks(items) == pages
    assert_accounted(archive, items)
    assert made
    assert all(file.closed for file in made)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("pack", [gzip.compress, zstd, lz4])
def test_a_bomb_costs_its_member(small_bounds: None, pack: Callable[[bytes], bytes]) -> None:
    """After it, small members follow: they lead to the end of the file, so that they are trusted."""
    bomb = pack(warc_record(0, bytes(40 << 20)))
    archive = pack(FIVE[0]) + bomb + b"".join(map(pack, FIVE[1:]))
    items = read(archive)
    assert blocks(items) == FIVE_BLOCKS
    assert damage(items) == [Damage(len(pack(FIVE[0])), 0, len(bomb), "decompression bomb")]
    assert_accounted(archive, items)
    for cut in range(1, len(archive), len(archive) // 9):
        assert read(archive, cut) == items


def test_an_archive_within_a_bomb_is_not_read(small_bounds: None) -> None:
    inner = b"".join(gzip.compress(warc_record(n, noise(900, n)), mtime=0) for n in range(20))
    content = warc_record(1, bytes(20 << 20) + inner)
    squeezed, stored = zlib.compressobj(9, wbits=-15), zlib.compressobj(0, wbits=-15)
    blocks_of_zeros = squeezed.compress(content[: 20 << 20]) + squeezed.flush(zlib.Z_FULL_FLUSH)
    stored_blocks = stored.compress(content[20 << 20 :]) + stored.flush()
    trailer = zlib.crc32(content).to_bytes(4, "little") + len(content).to_bytes(4, "little")
    bomb = gzip.compress(b"")[:10] + blocks_of_zeros + stored_blocks + trailer
    assert gzip.decompress(bomb) == content
    assert inner[:2000] in bomb
    archive = FIVE_MEMBERS[0] + bomb + b"".join(FIVE_MEMBERS[2:])
    assert blocks(read(archive)) == [FIVE_BLOCKS[0], *FIVE_BLOCKS[2:]]


def test_members_too_short_for_a_number() -> None:
    """Two records in less than 16 bytes each would share a document id. None is that short, whatever the dictionary."""
    member = members.Member(3, 12, Source.of(FIVE[0]))
    assert list(warc._read_member(warc.WARC, Source.of(bytes(20)), member, {"response"})) == [
        Skipped(3, 0, 9, "padding")
    ]


# The account


def test_holes_and_overlaps_are_bugs() -> None:
    def check(*extents: tuple[int, int], start: int = 0, end: int = 100) -> None:
        items: Iterator[Item] = (Skipped(offset, 0, length, "request") for offset, length in extents)
        list(warc._without_holes(items, start, end, 100))

    check((0, 40), (40, 60))
    check((50, 50), start=45)
    for extents in ([(0, 40), (41, 59)], [(0, 40), (39, 61)], [(0, 40), (40, 50)], [(1, 99)], [(0, 101)], [(0, 0)], []):
        with pytest.raises(InvariantError, match="not accounted for"):
            check(*extents)
    with pytest.raises(InvariantError):
        check((44, 56), start=45)


def run(*warcs: Path, out: str = "w", more: tuple[str, ...] = ()) -> int:
    names = ",".join(map(str, warcs))
    fixed = ("--serial", "--to", "pages", "--set", "language_model=builtin", "--set", "shard_mb=0.01")
    return cli.main(["run", "common_crawl", "--set", f"warcs={names}", "--out", out, *fixed, *more])


def pages_of(folder: str) -> list[dict]:
    return [row for path in sorted(Path(folder).glob("pages-*/*.parquet")) for row in pq.read_table(path).to_pylist()]


@pytest.fixture
def sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "sound.warc.gz"
    path.write_bytes(b"".join(FIVE_MEMBERS))
    return path


def test_a_lost_file_costs_that_file(sound: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lost = {
        "empty.warc": (b"", "the file is empty"),
        "error.warc.gz": (gzip.compress(b"<html>not found"), "not a web archive"),
        "part.warc": (FIVE[0][:-20], "not one whole record"),
    }
    for name, (content, _) in lost.items():
        Path(name).write_bytes(content)
    other, third = Path("other.warc.gz"), Path("third.warc")
    other.write_bytes(b"".join(FIVE_MEMBERS)[:-10])
    third.write_bytes(b"".join(FIVE))
    for _ in range(2):  # the second time, everything is there already
        assert run(sound, other, third, *map(Path, lost)) == 2
        told = capsys.readouterr().err
        for name, (_, fault) in lost.items():
            assert re.search(f"lost: .*/{name}: {fault}", told)
        assert "3 of 6 files are lost" in told
        assert "truncated 2" in told
    rows = pages_of("w")
    assert Counter(row["fault"] for row in rows if row["status"] == "bad_record") == {
        "the file is empty": 1,
        "not a web archive": 1,
        "truncated": 2,
    }
    assert len({row["doc_id"] for row in rows}) == len(rows) == 5 + 4 + 5 + 4
    assert cli.main(["show", "w", "pages", "--where", "fault == 'the file is empty'"]) == 0
    doc_id = re.search(r"\b\d+:[0-9a-f]+\b", capsys.readouterr().out)
    assert doc_id and cli.main(["explain", "w", doc_id.group()]) == 0
    assert "bad_record: the file is empty" in capsys.readouterr().out


def test_more_lost_files_than_good_ones_are_an_error_at_once(sound: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for n in range(2):
        Path(f"bad{n}.warc").write_bytes(b"<html>")
    assert run(sound, Path("bad0.warc"), Path("bad1.warc")) == 2
    told = capsys.readouterr().err
    assert "bad0.warc: not a web archive" in told and "2 of 3 files are lost" in told
    assert not pages_of("w")


def test_a_run_that_finds_no_record_is_an_error(sound: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("part.warc").write_bytes(FIVE[0][:-20])
    assert run(Path("part.warc")) == 2
    assert "part.warc: not one whole record; fetch it again" in capsys.readouterr().err
    assert not list(Path("w").glob("pages-*/_SUCCESS"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"".join(FIVE_MEMBERS)[:-9], r"bad\.warc: truncated at byte \d{3} \(\d+ bytes; --strict\)"),
        (FIVE[0][:-20], r"bad\.warc: truncated at byte 0"),
        (b"", r"bad\.warc: the file is empty at byte 0"),
        (b"<html>", r"bad\.warc: not a web archive at byte 0"),
        (b"WARC/1.0\r\n", r"bad\.warc: truncated at byte 0"),
        (FIVE_MEMBERS[0] + FIVE_MEMBERS[1][:3], r"bad\.warc: truncated at byte \d{3} \(3 bytes"),
        (FIVE[0] + b"garbage of some length" + FIVE[1], r"bad\.warc: not a record at byte 2\d\d"),
    ],
)
def test_strict(sound: Path, capsys: pytest.CaptureFixture[str], content: bytes, message: str) -> None:
    Path("bad.warc").write_bytes(content)
    strict = ("--strict",)
    assert run(sound, more=strict) == 0
    assert run(sound, Path("bad.warc"), more=strict) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("textmill: ") and re.search(message, line)
    assert run(sound, Path("bad.warc")) in (0, 2)
    assert run(sound, Path("bad.warc"), more=strict) == 2


def test_bytes_that_do_not_add_up_are_a_bug(sound: Path) -> None:
    stage = Extract(find_inputs((str(sound),), 1))
    n_bytes = sound.stat().st_size
    good = {"00000": {"read_bytes": n_bytes - 1, "damaged_bytes": 1, "n_records": 1}}
    stage.audit("nowhere", good, strict=False)
    bad = {"00000": {"read_bytes": n_bytes - 1, "damaged_bytes": 0, "n_records": 1}}
    with pytest.raises(InvariantError, match="accounted for"):
        stage.audit("nowhere", bad, strict=False)


@pytest.mark.parametrize("form", ["gzip", "plain", "zstd", "lz4"])
def test_tasks_survive_any_damage(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole runs, whose accounts are checked as in production."""
    monkeypatch.chdir(tmp_path)
    pieces = {"gzip": gzip.compress, "plain": bytes, "zstd": zstd, "lz4": lz4}[form]
    archive = b"".join(pieces(record) for record in FIVE)
    rng = random.Random(form)
    Path("in").mkdir()
    for n in range(20):
        broken = bytearray(archive)
        broken[rng.randrange(300, len(archive))] ^= 1 << rng.randrange(8)
        Path(f"in/{n:02d}.warc").write_bytes(broken[: rng.randrange(400, len(archive))] if n % 2 else broken)
    assert run(Path("in")) == 0
    assert len(pages_of("w")) >= 20 * 2


def test_resource_records_on_request(sound: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = b"<html><p>Some words of a page that was saved by itself.</html>"
    text = warc_record(9, page, "resource").replace(b"application/http; msgtype=response", b"text/html")
    Path("r.warc").write_bytes(text + warc_record(8, b"x", "revisit") + warc_record(7, b"x", "Evil; rm -rf"))
    source: Inputs = find_inputs(("r.warc",), 1)
    with pytest.raises(UnknownNameError, match="did you mean 'resource'"):
        Extract(source, records=("resources",))
    assert run(Path("r.warc"), more=("--set", "records=resource")) == 0
    assert [row["status"] for row in pages_of("w")] == ["ok"]
    assert cli.main(["report", "w", "--json"]) == 0
    out = capsys.readouterr().out
    assert '"unknown": 1' in out and '"revisit": 1' in out and "Evil" not in out
    assert run(Path("r.warc"), out="without") == 0
    assert pages_of("without") == []


# Archives of other people


def found_in_the_wild() -> list[list[str]]:
    return [line.split("\t") for line in TABLE.read_text().splitlines()[1:]]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the archives of other crawlers are not here")
@pytest.mark.parametrize(
    ("name", "form", "records", "lost", "note"), found_in_the_wild(), ids=[row[0] for row in found_in_the_wild()]
)
def test_archives_found_in_the_wild(name: str, form: str, records: str, lost: str, note: str) -> None:
    """Where nothing is damaged, FastWARC (for ARC: warcio) must find as many records, unless a note says why not."""
    archive = (SHARED / name).read_bytes()
    assert kind(io.BytesIO(archive)) == form
    if form == "unknown":
        with pytest.raises(InputError):
            read(archive)
        return
    items = list(read_range(io.BytesIO(archive), 0, len(archive), len(archive), {"response", "conversion"}))
    assert_accounted(archive, items)
    types = Counter(item.type for item in items if not isinstance(item, Damage))
    assert ", ".join(f"{n} {name}" for name, n in sorted(types.items())) == records
    assert "; ".join(f"{i.offset}+{i.length} {i.reason}" for i in damage(items)) == lost
    if not lost and not note:
        n_records = sum(n for name, n in types.items() if name not in warc.NO_RECORD_TYPES)
        if ".arc" in name and ".warc" not in name:
            n_theirs = sum(1 for _ in Warcio(io.BytesIO(archive), arc2warc=True))
        else:
            n_theirs = sum(1 for _ in FastWarc(io.BytesIO(archive), parse_http=False, quirks_mode=True))
        assert n_records == n_theirs
    rng = random.Random(name)
    cuts = sorted(rng.randrange(len(archive)) for _ in range(2))
    assert read(archive, *cuts) == read(archive)
