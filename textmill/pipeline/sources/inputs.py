"""The frozen list of input files, and its cut into shards.

The driver lists the inputs once. File numbers, and with them document ids, come from that sorted list; a worker never
lists anything. A large archive is cut into byte ranges by size alone, so that one file feeds every core; the range
that a record belongs to is the one that its first byte lies in.
"""

from __future__ import annotations

import glob
import itertools
import os
from dataclasses import dataclass
from pathlib import Path

from textmill import schema, storage
from textmill.errors import InputError
from textmill.pipeline.reading import warc

MIN_SHARD_MB = 0.01  # smaller ranges hold no whole record, and make more tasks than work
ARCHIVE_ENDINGS = (".warc", ".warc.gz", ".warc.zst", ".warc.lz4", ".wet", ".wet.gz")


@dataclass(frozen=True)
class InputFile:
    """One archive, as it was when the run was planned."""

    uri: str
    n_bytes: int
    version: str  # ETag, or modification time: tells when the file is no longer the one that was planned with
    splittable: bool


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
            n_cuts = -(-file.n_bytes // self.shard_bytes) if file.splittable else 1
            edges = [file.n_bytes * i // n_cuts for i in range(n_cuts + 1)]
            found += [ByteRange(number, start, end) for start, end in itertools.pairwise(edges)]
        return found


def find_inputs(patterns: tuple[str, ...], shard_mb: float) -> Inputs:
    """Freeze the archives that ``patterns`` (files, globs, folders, URLs) name, in sorted order.

    Errors: `InputError` for a file that is missing, empty or no archive, for a folder without archives, and for a glob
    that matches nothing.
    """
    if not patterns:
        raise InputError("no input: give archives with --set warcs=FILE,GLOB,FOLDER,URL")
    if not MIN_SHARD_MB <= shard_mb < float("inf"):
        raise InputError(f"shard_mb is {shard_mb}; it must be at least {MIN_SHARD_MB}")
    uris = sorted({uri for pattern in patterns for uri in _expand(pattern)})
    return Inputs(tuple(_freeze(uri) for uri in uris), max(1, int(shard_mb * 1e6)))


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
        raise InputError(f"{uri}: the file is empty")
    if n_bytes > schema.MAX_FILE_BYTES:
        raise InputError(f"{uri}: {n_bytes} bytes; files above {schema.MAX_FILE_BYTES} bytes have no document ids")
    try:
        with storage.open_read(uri) as stream:
            next(warc.read_range(stream, 0, 0, n_bytes, ()), None)  # says what is wrong with a file that is no archive
            kind = warc.kind(stream)
    except PermissionError as error:
        raise InputError(f"{uri}: no permission to read it") from error
    except InputError as error:
        raise InputError(f"{uri}: {error}") from error
    return InputFile(uri, n_bytes, version, warc.splittable(kind))


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
