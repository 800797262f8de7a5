"""The members of a compressed archive: gzip members, Zstandard frames, LZ4 frames; each is unpacked by itself.

Damage costs the members that it touches and nothing else: reading goes on at the next member whose content begins with
a record. Within a *damaged* member, an archive that a page served would pass for real members.

Ranges. Every member belongs to exactly one of the ranges that a file is cut into, and to the same one under every cut:

- Zstandard and LZ4 frames say how long their blocks are (RFC 8878, 3.1.1; LZ4 frame format 1.6): a range walks there
  from the start of the file, from block header to block header, and unpacks only what is its own. A frame counts if
  the file, or another frame, follows where it ends; or else if it unpacks without a fault.
- Gzip members do not. A gzip range reaches from the first trusted member at or after its start to the first trusted
  member at or after its end. A member is trusted when an intact run of members leads from it for more than 65,535
  bytes, or to the end of the file. The bytes of a compressed file can hold a whole other archive verbatim, if a page
  served one, but only in stored blocks of deflate, and none is longer (RFC 1951, 3.2.4): an archive within the archive
  is never mistaken for it. That rule would not do for the frames: they need not end in a checksum, so a page could be
  made whose last inner frame ends where the frame around it does, and the run would lead on into true frames.

A Zstandard file may begin with its dictionary, plain or compressed, in a skippable frame (WARC-Zstandard 1.0, iipc).

Bounds. What a member unpacks to stays in memory up to `SPILL_BYTES`, and beyond that goes to a temporary file, so that
one member can be the whole file. It may then not unpack to more than `MAX_RATIO` times its size: a bomb is abandoned
there. Zstandard windows reach up to 128 MiB, as in the command-line tool.

Gzip is inflated by ISA-L, in .53 s for 95 MB that become 454 (zlib: 1.37 s, zlib-ng: .76 s, one core). It differs from
zlib in that reserved header flags do not matter to it; checksum and length are checked alike.
"""

from __future__ import annotations

import functools
import re
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol

from backports import zstd
from isal import igzip_lib
from lz4.frame import LZ4FrameDecompressor

from textmill.pipeline.reading.source import Source

Kind = Literal["gzip", "zstd", "lz4"]
Begins = Callable[[bytes], bool]  # whether some bytes are the start of a record

FEED_BYTES = 16 << 10  # what an inflater is given at a time; it copies what follows the member
HEAD_FEED_BYTES = 64 << 10  # the same where only the beginning is wanted
STEP_BYTES = 256 << 10  # what it gives at a time
HEAD_BYTES = 4096  # of a member, to see whether it begins with a record
SPILL_BYTES = 32 << 20
MAX_RATIO = 100  # of 4,847 real pages in one member: 4 to 5
MAX_CONTENT_BYTES = 64 << 30
MAX_BLOCK_BYTES = (4 << 20) + (64 << 10)  # what LZ4 must have before it gives a byte
MAX_STORED_BYTES = 65_535  # longest stored block of deflate
MAX_WINDOW_BITS = 27
MAX_DICTIONARY_BYTES = 16 << 20

_GZIP_MAGIC = re.compile(rb"\x1f\x8b\x08")
_ZSTD_MAGIC = re.compile(rb"\x28\xb5\x2f\xfd")
_LZ4_MAGIC = re.compile(rb"\x04\x22\x4d\x18")
_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")
_DICTIONARY_MAGIC = b"\x5d\x2a\x4d\x18"
_INFLATE_ERRORS: Any = (igzip_lib.IsalError, zstd.ZstdError, RuntimeError)  # the last one is LZ4's


class Inflater(Protocol):
    """What `bz2.BZ2Decompressor` is, for any compression."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes | None: ...
    def decompress(self, data: bytes | memoryview, max_length: int) -> bytes: ...


@dataclass(frozen=True)
class Container:
    """A form of compression: how a member begins, how one is unpacked, and where its headers say it ends."""

    kind: Kind
    magic: re.Pattern[bytes]
    inflater: Callable[[], Inflater]
    frame_end: Callable[[Source, int], int | None] | None = None


@dataclass
class Member:
    """One member, or a stretch of the file that is none.

    ``content`` is all that it unpacks to; empty with a ``fault``, except that a "truncated" last member of the file
    holds what it could. To be used as a context: the content may lie in a temporary file.
    """

    start: int
    end: int
    content: Source = field(default_factory=lambda: Source.of(b""))
    fault: str = ""

    def __enter__(self) -> Member:
        return self

    def __exit__(self, *exception: object) -> None:
        self.content.close()


def containers(source: Source) -> Iterator[Container]:
    """The forms of compression that ``source`` may be in."""
    yield Container("gzip", _GZIP_MAGIC, lambda: igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP))
    yield Container("zstd", _ZSTD_MAGIC, _zstd_inflater(source), _zstd_end)
    yield Container("lz4", _LZ4_MAGIC, LZ4FrameDecompressor, _lz4_end)


def read_members(
    container: Container, source: Source, start: int, end: int, begins: Begins, scratch: Path | None
) -> Iterator[Member]:
    """The members, and the stretches that are none, that belong to the range from ``start`` to ``end``."""
    if container.frame_end is None:
        return _read_gzip(container, source, start, end, begins, scratch)
    return _read_frames(container, source, start, end, begins, scratch)


def is_packed(head: bytes) -> bool:
    """Whether a file that begins with ``head`` says that it is compressed."""
    return any(magic.match(head) for magic in (_GZIP_MAGIC, _ZSTD_MAGIC, _LZ4_MAGIC, _SKIPPABLE))


def unpacked_start(container: Container, source: Source, position: int) -> bytes:
    """The first bytes of the member at ``position``; none when it is no member."""
    inflater = container.inflater()
    content = b""
    end = position + MAX_BLOCK_BYTES
    try:
        while len(content) < HEAD_BYTES and not inflater.eof and position < end:
            chunk = source.at(position)[:HEAD_FEED_BYTES] if inflater.needs_input else b""
            piece = inflater.decompress(chunk, HEAD_BYTES)
            if not chunk and not piece:
                break
            content += piece
            position += len(chunk)
    except _INFLATE_ERRORS:
        pass
    return content


def next_member(container: Container, source: Source, position: int, begins: Begins, stop: int | None = None) -> int:
    """Where the first member from ``position`` up to ``stop`` stands that begins with a record; else the end."""
    for candidate in source.find(container.magic, position, stop):
        if begins(unpacked_start(container, source, candidate)):
            return candidate
    return source.size


# Gzip: only inflating a member tells where it ends


def _read_gzip(
    container: Container, source: Source, start: int, end: int, begins: Begins, scratch: Path | None
) -> Iterator[Member]:
    position = _trusted(container, source, start, begins)
    last = _trusted(container, source, end, begins)
    while position < last:
        member = _unpack(container, source, position, source.size, scratch)
        if member.fault:
            # What a bomb holds may be an archive: only what cannot stand in a stored block of it ends it.
            find = _trusted if member.fault == "decompression bomb" else next_member
            _fail(member, find(container, source, position + 1, begins), source.size)
        yield member
        position = member.end


def _trusted(container: Container, source: Source, position: int, begins: Begins) -> int:
    """Where a range with an edge at ``position`` really begins, or ends: at a trusted member, or an end of the file."""
    if position <= 0:
        return 0
    candidate = next_member(container, source, position, begins)
    while candidate < source.size:
        run_end, intact = _run(container, source, candidate)
        if intact:
            break
        candidate = next_member(container, source, max(candidate + 1, run_end), begins)  # its members fare no better
    return candidate


def _run(container: Container, source: Source, start: int) -> tuple[int, bool]:
    """Where the run of members from ``start`` ends, and whether it is intact as far as need be."""
    position = start
    while position < source.size and position - start <= MAX_STORED_BYTES:
        with _unpack(container, source, position, source.size, None, keep=False) as member:
            if member.fault:
                return position, False
            position = member.end
    return position, True


# Zstandard and LZ4: headers tell where a frame ends


def _read_frames(
    container: Container, source: Source, start: int, end: int, begins: Begins, scratch: Path | None
) -> Iterator[Member]:
    position = 0
    while position < min(end, source.size):
        stop, whole = _frame(container, source, position, begins)
        if position >= start:
            member = _unpack(container, source, position, stop if whole else source.size, scratch)
            if member.fault or not whole:
                _fail(member, stop, source.size)
            member.end = stop
            yield member
        position = stop


def _frame(container: Container, source: Source, start: int, begins: Begins) -> tuple[int, bool]:
    """Where the frame at ``start`` ends, and True; or where reading can go on after what is no whole frame there."""
    assert container.frame_end is not None
    end = container.frame_end(source, start)
    if end is not None and end <= source.size:
        next_magic = source.read(end, 4)
        if end == source.size or container.magic.match(next_magic) or _SKIPPABLE.match(next_magic):
            return end, True
        with _unpack(container, source, start, end, None, keep=False) as member:  # is garbage next, or a length wrong?
            if not member.fault:
                return end, True
    return next_member(container, source, start + 1, begins), False


def _zstd_end(source: Source, start: int) -> int | None:
    """RFC 8878, 3.1.1."""
    head = source.read(start, 14)
    if _SKIPPABLE.match(head):
        return _skippable_end(head, start)
    if not _ZSTD_MAGIC.match(head) or len(head) < 6:
        return None
    flags = head[4]  # and after it window, dictionary id, content size, each if the flags say so
    single_segment = flags >> 5 & 1
    n_dictionary_id = (0, 1, 2, 4)[flags & 3]
    n_content_size = (single_segment, 2, 4, 8)[flags >> 6]
    position = start + 5 + (1 - single_segment) + n_dictionary_id + n_content_size
    while True:
        header = source.read(position, 3)
        block = int.from_bytes(header, "little")
        kind = block >> 1 & 3
        if len(header) < 3 or kind == 3:
            return None
        position += 3 + (1 if kind == 1 else block >> 3)
        if block & 1:
            return position + 4 * (flags >> 2 & 1)


def _lz4_end(source: Source, start: int) -> int | None:
    """LZ4 frame format 1.6, general structure."""
    head = source.read(start, 8)
    if _SKIPPABLE.match(head):
        return _skippable_end(head, start)
    if not _LZ4_MAGIC.match(head) or len(head) < 7:
        return None
    flags = head[4]
    has_checksums, has_size, has_checksum, has_dictionary = (flags >> bit & 1 for bit in (4, 3, 2, 0))
    position = start + 7 + 8 * has_size + 4 * has_dictionary
    while header := source.read(position, 4):
        if len(header) < 4:
            return None
        block = int.from_bytes(header, "little")
        position += 4
        if block == 0:
            return position + 4 * has_checksum
        position += (block & 0x7FFFFFFF) + 4 * has_checksums
    return None


def _skippable_end(head: bytes, start: int) -> int | None:
    return start + 8 + int.from_bytes(head[4:8], "little") if len(head) >= 8 else None


def _zstd_inflater(source: Source) -> Callable[[], Inflater]:
    options = {int(zstd.DecompressionParameter.window_log_max): MAX_WINDOW_BITS}
    return functools.partial(zstd.ZstdDecompressor, zstd_dict=_dictionary(source), options=options)


def _dictionary(source: Source) -> zstd.ZstdDict | None:
    """What the first frame brings; None also if it is damaged, and then so are all frames that need it."""
    head = source.read(0, 8)
    n_bytes = int.from_bytes(head[4:], "little")
    if not head.startswith(_DICTIONARY_MAGIC) or n_bytes > MAX_DICTIONARY_BYTES:
        return None
    content = source.read(8, n_bytes)
    try:
        if _ZSTD_MAGIC.match(content):
            content = zstd.ZstdDecompressor().decompress(content, MAX_DICTIONARY_BYTES)
        return zstd.ZstdDict(content)
    except (zstd.ZstdError, ValueError):
        return None


# Unpacking


def _unpack(
    container: Container, source: Source, start: int, end: int, scratch: Path | None, keep: bool = True
) -> Member:
    """The member at ``start``, which ends at ``end`` at the latest. It is intact when its checksums are right."""
    inflater = container.inflater()
    content = _Content(scratch, keep)
    position = start
    fault = ""
    try:
        while not inflater.eof:
            hungry = inflater.needs_input
            chunk = source.at(position)[: min(FEED_BYTES, end - position)] if hungry else b""
            if hungry and not chunk:
                fault = "truncated"
                break
            position += len(chunk)
            piece = inflater.decompress(chunk, STEP_BYTES)
            if not piece and not hungry and not inflater.needs_input and not inflater.eof:
                fault = f"damaged {container.kind}"
                break
            content.write(piece)
            if content.n_bytes > max(SPILL_BYTES, min(MAX_RATIO * (position - start), MAX_CONTENT_BYTES)):
                fault = "decompression bomb"
                break
    except _INFLATE_ERRORS as error:
        fault = "window too large" if "too much memory" in str(error) else f"damaged {container.kind}"
    member_end = position - len(inflater.unused_data or b"")
    if not fault and not content.n_bytes and container.kind == "gzip" and not _is_empty(source, start, member_end):
        fault = f"damaged {container.kind}"
    if fault and fault != "truncated":
        content.clear()
    return Member(start, member_end, content.source(), fault)


def _is_empty(source: Source, start: int, end: int) -> bool:
    """Whether zlib, too, finds a gzip member of nothing there.

    ISA-L takes some broken codes for the end of a member; the checksum of nothing is 0, which a run of zeros has.
    """
    inflater = zlib.decompressobj(31)
    try:
        return not inflater.decompress(bytes(source.at(start)[: end - start])) and inflater.eof
    except zlib.error:
        return False


def _fail(member: Member, end: int, size: int) -> None:
    """Make ``member`` the stretch from its start to ``end``, which is none; the last one may be only cut short."""
    if member.fault != "truncated" or end < size:
        member.content.close()
        member.content = Source.of(b"")
        member.fault = "damaged" if member.fault in ("", "truncated") else member.fault
    member.end = end


class _Content:
    """Collects what a member unpacks to: in memory, and beyond `SPILL_BYTES` in a temporary file."""

    def __init__(self, folder: Path | None, keep: bool) -> None:
        self.n_bytes = 0
        self._folder, self._keep = folder, keep
        self._pieces: list[bytes] = []
        self._file: BinaryIO | None = None

    def write(self, piece: bytes) -> None:
        self.n_bytes += len(piece)
        if not self._keep:
            return
        if self._file is None and self.n_bytes > SPILL_BYTES:
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - closed with the member
            self._file.writelines(self._pieces)
            self._pieces.clear()
        if self._file is None:
            self._pieces.append(piece)
        else:
            self._file.write(piece)

    def clear(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._pieces = None, []

    def source(self) -> Source:
        if self._file is None:
            return Source.of(b"".join(self._pieces))
        return Source(self._file, self.n_bytes)
