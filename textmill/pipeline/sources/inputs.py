"""The frozen list of input files, and its cut into shards.

The driver lists the inputs once. File numbers, and with them document ids, come from that sorted list; a worker never
lists anything. A large archive is cut into byte ranges by size alone, so that one file feeds every core; the range
that a record belongs to is the one that its first byte lies in.

A file among others that is empty, or no archive, is lost, and the run goes on without it: it stays in the list, with
its fault, so that it is named and counted. A list of which more than half is lost is a mistake.
"""

from __future__ import annotations

import glob
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from textmill import schema, storage
from textmill.errors import InputError
from textmill.pipeline.reading import warc

MIN_SHARD_MB = 0.01  # smaller ranges hold no whole record, and make more tasks than work
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
    files = tuple(_freeze(uri) for uri in uris)
    refuse_if_lost([(file.uri, file.fault) for file in files if file.fault], len(files))
    return Inputs(files, max(1, int(shard_mb * 1e6)))


def refuse_if_lost(lost: Sequence[tuple[str, str]], n_files: int) -> None:
    """Errors: `InputError` if too many of ``n_files`` files are in ``lost`` (URIs and faults)."""
    if len(lost) > MAX_LOST_FRAC * n_files:
        uri, fault = lost[0]
        more = f" ({len(lost)} of {n_files} files are lost, this is the first)" if n_files > 1 else ""
        raise InputError(f"{uri}: {fault}; fetch it again or leave it out{more}")


def check_unchanged(file: InputFile) -> None:
    """Errors: `InputError` if the file is no longer the one that the run was planned with."""
    now = _stat(file.uri)
    if now != (file.n_bytes, file.version):
        raise InputError(f"{file.uri}: changed since the run was planned; run again with another --out")


def _expand(pattern: str) -> list[str]:
    if not storage.is_local(pattern):
        return [pattern]
    path = Path(pattern.removeprefix("file://")).expanduser()
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
    return [os.path.abspath(name) for name in found]  # noqa: PTH100 - keeps a symbolic link's own name


def _freeze(uri: str) -> InputFile:
    n_bytes, version = _stat(uri)
    if n_bytes == 0:
        return InputFile(uri, 0, version, False, "the file is empty")
    if n_bytes > schema.MAX_FILE_BYTES:
        raise InputError(f"{uri}: {n_bytes} bytes; files above {schema.MAX_FILE_BYTES} bytes have no document ids")
    try:
        with storage.open_read(uri) as stream:
            kind = warc.kind(stream)
    except PermissionError as error:
        raise InputError(f"{uri}: no permission to read it") from error
    return InputFile(uri, n_bytes, version, warc.splittable(kind), "not a web archive" if kind == "unknown" else "")


def _stat(uri: str) -> tuple[int, str]:
    fs, path = storage.filesystem(uri)
    try:
        info = fs.info(path)
    except FileNotFoundError as error:
        what = "no such file" if storage.is_local(uri) else "cannot be reached, or is not there"
        raise InputError(f"{uri}: {what}") from error
    except OSError as error:
        raise InputError(f"{uri}: cannot be reached ({error})") from error
    if storage.is_local(uri):
        return int(info["size"]), str(Path(path).stat().st_mtime_ns)
    return int(info.get("size") or 0), str(info.get("ETag") or info.get("etag") or info.get("LastModified") or "")
