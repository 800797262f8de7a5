"""What a server that keeps archives has to do, in one try: tell what it knows of a file, and send some of its bytes.

`textmill.pipeline.sources.web` does it over HTTP, `textmill.pipeline.sources.store` for object stores. Neither tries
twice: patience is the business of `textmill.pipeline.sources.download` alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from textmill import storage
from textmill.errors import InputError


@dataclass(frozen=True)
class Facts:
    """What a server says of a file."""

    n_bytes: int
    version: str  # its ETag, else when it was modified, else ""
    ranges: bool  # whether any part of it can be had by itself


class Server(Protocol):
    """One try at a time. Errors of all methods: `TryAgain`, and a `TextmillError` where trying again cannot help."""

    def look(self, uri: str, n_bytes: int) -> tuple[Facts, bytes]:
        """The facts of a file, and its first bytes, ``n_bytes`` at most. Errors also: FileNotFoundError."""

    def chunks(self, uri: str, start: int, end: int, facts: Facts) -> Iterator[bytes]:
        """Bytes ``start`` to ``end`` of the file that ``facts`` tell of, or the first of these, in pieces."""


class TryAgain(Exception):  # noqa: N818 - it is caught and acted upon, never shown
    """A try failed as tries do. ``wait_s``: the server asked for at least this rest; ``unreachable``: none answered."""

    def __init__(self, reason: str, wait_s: float = 0.0, unreachable: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.wait_s, self.unreachable = reason, wait_s, unreachable


def changed(uri: str) -> InputError:
    """The error for a file that is no longer the one that the run was planned with."""
    return InputError(f"{storage.redact(uri)}: changed since the run was planned; run again with another --out")
