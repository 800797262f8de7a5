"""The frozen list of input files, and its cut into shards.

The driver lists the inputs once. File numbers, and with them document ids, come from that sorted list; a worker never
lists anything. A large archive is cut into byte ranges by size alone, so that one file feeds every core; the range
that a record belongs to is the one that its first byte lies in.

Of a remote archive, planning reads the first KB, which brings its size and version too, several archives at a time. It
can be cut into ranges when the server sends parts of files and it is gzip, in more than one member: the ranges of other
files are found by reading the rest of the file, which is too dear over a network. A worker fetches its range to local
scratch and reads it there.

A file among others that is empty, or no archive, is lost, and the run goes on without it: it stays in the list, with
its fault, so that it is named and counted. A list of which more than half is lost is a mistake.
"""

from __future__ import annotations

import contextlib
import glob
import io
import itertools
import os
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from textmill import schema, storage, terminal
from textmill.errors import InputError
from textmill.pipeline.reading import warc
from textmill.pipeline.sources import store
from textmill.pipeline.sources.download import MARGIN_BYTES, PLANNING, Downloader, RemoteFile
from textmill.pipeline.sources.server import Facts, changed

MIN_SHARD_MB = 0.01  # smaller ranges hold no whole record, and make more tasks than work
N_LOOKING = 8  # requests at a time while planning; Common Crawl throttles whoever sends many
FIRST_BYTES, MORE_BYTES = 1 << 10, 1 << 20
MAX_LOST_FRAC = 0.5  # share of the input files that may hold no record
ARCHIVE_ENDINGS = tuple(f".{form}{packed}" for form in ("warc", "wet", "arc") for packed in ("", ".gz", ".zst", ".lz4"))


@dataclass(frozen=True)
class InputFile:
    """One archive, as it was when the run was planned."""

    uri: str
    n_bytes: int
    version: str  # ETag, or modification time: tells when the file is no longer the one that was planned with
    splittable: bool
    fault: str = ""  # why it holds no record: "" unless it is lost


@dataclass(frozen=True)
class ByteRange:
    """The task of one shard: the records of file ``file_number`` that begin in [start, end)."""

    file_number: int
    start: int
    end: int


@dataclass(frozen=True)
class Inputs:
    """The frozen input manifest."""

    files: tuple[InputFile, ...]
    shard_bytes: int

    def ranges(self) -> list[ByteRange]:
        """The shards, file by file. Ranges of one file differ in size by at most a byte."""
        found = []
        for number, file in enumerate(self.files):
            n_cuts = max(1, -(-file.n_bytes // self.shard_bytes)) if file.splittable else 1
            edges = [file.n_bytes * i // n_cuts for i in range(n_cuts + 1)]
            found += [ByteRange(number, start, end) for start, end in itertools.pairwise(edges)]
        return found


def find_inputs(patterns: tuple[str, ...], shard_mb: float) -> Inputs:
    """Freeze the archives that ``patterns`` (files, globs, folders, URLs) name, in sorted order.

    Errors: `InputError` for a file that is missing or cannot be read, for a folder without archives, for a glob that
    matches nothing, and if too many of the files are empty or no archives.
    """
    if not patterns:
        raise InputError("no input: give archives with --set warcs=FILE,GLOB,FOLDER,URL")
    if not MIN_SHARD_MB <= shard_mb < float("inf"):
        raise InputError(f"shard_mb is {shard_mb}; it must be at least {MIN_SHARD_MB}")
    uris = sorted({uri for pattern in patterns for uri in _expand(pattern)})
    files = tuple(_freeze(uris))
    refuse_if_lost([(file.uri, file.fault) for file in files if file.fault], len(files))
    return Inputs(files, max(1, int(shard_mb * 1e6)))


def refuse_if_lost(lost: Sequence[tuple[str, str]], n_files: int) -> None:
    """Errors: `InputError` if too many of ``n_files`` files are in ``lost`` (URIs and faults)."""
    if len(lost) > MAX_LOST_FRAC * n_files:
        uri, fault = lost[0]
        more = f" ({len(lost)} of {n_files} files are lost, this is the first)" if n_files > 1 else ""
        raise InputError(f"{storage.redact(uri)}: {fault}; fetch it again or leave it out{more}")


@contextlib.contextmanager
def open_archive(file: InputFile, byte_range: ByteRange, scratch: Path) -> Iterator[BinaryIO]:
    """The archive as a seekable stream to read ``byte_range`` from; that of a remote one is fetched to ``scratch``.

    Errors: `InputError` if the file is no longer the one that the run was planned with; `EnvironmentFault` if it cannot
    be fetched.
    """
    if storage.is_local(file.uri):
        if _look_local(file.uri)[0] != Facts(file.n_bytes, file.version, True):
            raise changed(file.uri)
        with storage.open_read(file.uri) as stream:
            yield stream
        return
    facts = Facts(file.n_bytes, file.version, True)
    copy = RemoteFile(Downloader(), file.uri, facts, scratch / f"archive-{byte_range.file_number}-{byte_range.start}")
    with copy:
        if not file.fault:
            copy.fetch(byte_range.start, min(byte_range.end + MARGIN_BYTES, file.n_bytes))
        yield cast(BinaryIO, copy)


def _expand(pattern: str) -> list[str]:
    """The URIs of the archives that ``pattern`` names."""
    storage.check_uri(pattern)
    if storage.is_web(pattern):
        if "*" in pattern:
            raise InputError(f"{storage.redact(pattern)}: the web has no lists of files, so no globs; name the files")
        return [pattern]
    return _expand_local(pattern) if storage.is_local(pattern) else _expand_store(pattern)


def _expand_store(pattern: str) -> list[str]:
    found = store.listed(pattern)
    if not found:
        what = "matches no file" if glob.has_magic(pattern) else "no such file, and no folder with archives"
        raise InputError(f"{pattern}: {what}")
    if found == [pattern] or glob.has_magic(pattern):
        return found
    archives = [uri for uri in found if uri.endswith(ARCHIVE_ENDINGS)]
    if not archives:
        raise InputError(f"{pattern}: a folder without archives ({', '.join(ARCHIVE_ENDINGS)})")
    return archives


def _expand_local(pattern: str) -> list[str]:
    path = storage.local_path(pattern)
    if path.is_dir():
        found = sorted(str(p) for p in path.iterdir() if p.is_file() and p.name.endswith(ARCHIVE_ENDINGS))
        if not found:
            raise InputError(f"{pattern}: a folder without archives ({', '.join(ARCHIVE_ENDINGS)})")
    elif path.exists():
        found = [str(path)]
    else:
        found = sorted(name for name in glob.glob(str(path), recursive=True) if Path(name).is_file())  # noqa: PTH207
        if not found:
            what = "matches no file" if glob.has_magic(str(path)) else "no such file"
            raise InputError(f"{pattern}: {what}")
    if odd := next((name for name in found if not storage.is_utf8(name)), None):
        raise InputError(f"{odd}: its name is not UTF-8, and could not be written down; rename it")
    return [os.path.abspath(name) for name in found]  # noqa: PTH100 - keeps a symbolic link's own name


def _freeze(uris: list[str]) -> Iterator[InputFile]:
    """Look at all files; the first of them (in order) that has a fault is the one that is told of."""
    remote = [uri for uri in uris if not storage.is_local(uri)]
    downloader = Downloader(PLANNING, N_LOOKING)
    with ThreadPoolExecutor(N_LOOKING) as pool, terminal.counter("looking at archives", len(remote)) as advance:
        try:
            looks = {uri: pool.submit(_freeze_one, uri, downloader) for uri in remote}
            for uri in uris:
                yield looks[uri].result() if uri in looks else _freeze_one(uri, downloader)
                advance(uri in looks)
        finally:
            downloader.close()
            pool.shutdown(cancel_futures=True)


def _freeze_one(uri: str, downloader: Downloader) -> InputFile:
    shown = storage.redact(uri)
    try:
        facts, head = _look(uri, downloader, FIRST_BYTES)
        if facts.n_bytes == 0:
            return InputFile(uri, 0, facts.version, False, "the file is empty")
        if facts.n_bytes > schema.MAX_FILE_BYTES:
            raise InputError(f"{facts.n_bytes} bytes; files above {schema.MAX_FILE_BYTES} bytes have no document ids")
        if warc.kind(io.BytesIO(head)) == "unknown" or not _ends_a_member(head):
            facts, head = _look(uri, downloader, MORE_BYTES)  # a damaged beginning, or a long first record
        kind = warc.kind(io.BytesIO(head))
    except FileNotFoundError as error:
        raise InputError(f"{shown}: no such file") from error
    except PermissionError as error:
        raise InputError(f"{shown}: no permission to read it") from error
    except InputError as error:
        raise InputError(str(error) if str(error).startswith(shown) else f"{shown}: {error}") from error
    splittable = warc.splittable(kind) and (storage.is_local(uri) or (facts.ranges and _ends_a_member(head)))
    return InputFile(uri, facts.n_bytes, facts.version, splittable, "not a web archive" if kind == "unknown" else "")


def _ends_a_member(head: bytes) -> bool:
    """Whether a whole gzip member stands at the beginning of a file."""
    inflater = zlib.decompressobj(31)
    try:
        while head and not inflater.eof:
            inflater.decompress(head, MORE_BYTES)  # by pieces: it may inflate to a thousand times its size
            head = inflater.unconsumed_tail
    except zlib.error:
        return False
    return inflater.eof


def _look(uri: str, downloader: Downloader, n_bytes: int) -> tuple[Facts, bytes]:
    return _look_local(uri, n_bytes) if storage.is_local(uri) else downloader.look(uri, n_bytes)


def _look_local(uri: str, n_bytes: int = 0) -> tuple[Facts, bytes]:
    path = Path(storage.filesystem(uri)[1])
    stat = path.stat()
    with path.open("rb") as stream:
        return Facts(stat.st_size, str(stat.st_mtime_ns), True), stream.read(n_bytes)
