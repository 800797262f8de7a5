"""Files of hosts, URLs or words, one entry a line; plain or gzip. "#" begins a comment.

A list is known by the digest of its content, so a copy of it elsewhere is the same list. It is read when it is named,
to find lines that are no entries and say so once, and again by each process that uses it.
"""

from __future__ import annotations

import gzip
import hashlib
import logging
import zlib
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from textmill.errors import EnvironmentFault, InputError

log = logging.getLogger("textmill")


@dataclass(frozen=True)
class ListFile:
    """A list, known by its content; the path is not part of its identity."""

    path: str = field(metadata={"identity": False})
    sha256: str


def files_at(path: Path, names: Collection[str]) -> list[Path]:
    """A file itself; of a folder the files in it and below that have one of these ``names``. Errors: `InputError`."""
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.rglob("*") if file.name in names)
    if not found:
        raise InputError(f"{path}: no list in this folder; it should hold files named {' or '.join(sorted(names))}")
    return found


def identify(path: Path, what: str = "list") -> ListFile:
    """The list at ``path``; messages call it ``what``. Errors: `InputError` if it cannot be read."""
    try:
        with path.open("rb") as file:
            return ListFile(str(path.resolve()), hashlib.file_digest(file, "sha256").hexdigest())
    except OSError as error:
        raise InputError(f"{path}: cannot read this {what} ({error.strerror}); give a text file") from error


def read(file: ListFile, what: str = "list") -> bytes:
    """The content, unpacked. Errors: `EnvironmentFault` if it is gone or has changed, `InputError` if it is damaged."""
    try:
        content = Path(file.path).read_bytes()
    except OSError as error:
        raise EnvironmentFault(f"{file.path}: no {what} here ({error.strerror}); put it on every machine") from error
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise EnvironmentFault(f"{file.path}: the {what} has sha256 {found}, not {file.sha256}; put it back")
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{file.path}: damaged gzip file ({error})") from error


def report_bad_lines(file: ListFile, n_bad: int, first: int, what: str) -> None:
    """One warning for all lines of a list that are no ``what``; ``first`` is the number of the first one, from 1."""
    if n_bad:
        log.warning("%s: %s skipped, no %s; the first is line %d", file.path, _lines(n_bad), what, first)


def _lines(n: int) -> str:
    return "1 line" if n == 1 else f"{n:,} lines"
