"""Fetches remote files patiently: whatever can pass is waited for, whatever cannot is one clear line.

A fetch goes on at the byte that it reached, after a rest that doubles from try to try and is drawn at random (so that a
thousand workers do not come back at once), or as long as the server asks for, within a limit. After ten tries without
progress the run stops with an `EnvironmentFault`: a busy server never costs documents. A file that is no longer the one
that the run was planned with is an `InputError`.

`RemoteFile` is a remote archive as a reader wants it: a seekable file. What was fetched lies in a sparse local file:
the range of a shard at once, and what a reader needs beyond its edges as it needs it. Cost, for each shard: one request
more than its own, for the beginning of the file, and 1.25 MB. Memory: one piece, 256 KB (8 MB from object stores).
"""

from __future__ import annotations

import io
import logging
import os
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from textmill import storage
from textmill.errors import EnvironmentFault, InputError
from textmill.pipeline.sources.server import Facts, Server, TryAgain
from textmill.pipeline.sources.store import Store
from textmill.pipeline.sources.web import Web

PROGRESS_BYTES = 1 << 20  # a try that brought this much was no failure
AHEAD_BYTES = 1 << 20  # of what is fetched when it is asked for
MARGIN_BYTES = 256 << 10  # past the end of a shard: its last record, and the records that show where the next begins
WORTH_TELLING_S = 10.0

log = logging.getLogger("textmill.sources")
T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How often to try, without progress in between, and how long to rest. Ten tries take some four minutes."""

    tries: int = 10
    tries_to_connect: int = 10
    first_rest_s: float = 1.0  # Common Crawl asks for one try a second at most
    longest_rest_s: float = 60.0
    longest_asked_rest_s: float = 300.0  # what a server may ask for


PLANNING = Patience(tries_to_connect=2)  # somebody sits before the screen, and may be offline


class Downloader:
    """Fetches from any server, patiently. May be used by several threads; `close` wakes all that are resting."""

    def __init__(
        self,
        patience: Patience = Patience(),
        n_connections: int = 1,
        rest: Callable[[float], object] | None = None,
        web: Web | None = None,
    ) -> None:
        self._patience = patience
        self._closed = threading.Event()
        self._rest = rest or self._closed.wait
        self._web, self._store = web or Web(n_connections), Store()

    def close(self) -> None:
        self._closed.set()

    def look(self, uri: str, n_bytes: int) -> tuple[Facts, bytes]:
        """The facts of a file, and its first bytes. Errors: FileNotFoundError, `InputError`, `EnvironmentFault`."""
        server = self._server(uri)
        return self._insist(uri, lambda: server.look(uri, n_bytes), lambda: 0)

    def read(self, uri: str, max_bytes: int) -> bytes:
        """A small file as a whole. Errors: those of `look`."""
        facts, head = self.look(uri, max_bytes + 1)
        if facts.n_bytes > max_bytes:
            raise InputError(f"{storage.redact(uri)}: {facts.n_bytes} bytes; at most {max_bytes} make sense")
        return head

    def fetch(self, uri: str, start: int, end: int, facts: Facts, write: Callable[[int, bytes], object]) -> None:
        """Hand bytes ``start`` to ``end`` to ``write(position, piece)``, in order, each once.

        Errors: `InputError` when the file is not the one that ``facts`` tell of; `EnvironmentFault`.
        """
        server, position = self._server(uri), start

        def attempt() -> None:
            nonlocal position
            try:
                for piece in server.chunks(uri, position, end, facts):
                    write(position, piece)
                    position += len(piece)
            except FileNotFoundError as error:
                raise InputError(f"{storage.redact(uri)}: no longer there since the run was planned") from error
            if position < end:
                raise TryAgain("the answer ended early")

        self._insist(uri, attempt, lambda: position)

    def _server(self, uri: str) -> Server:
        return self._web if storage.is_web(uri) else self._store

    def _insist(self, uri: str, attempt: Callable[[], T], progress: Callable[[], int]) -> T:
        """The result of ``attempt``, which is tried again as long as patience lasts."""
        failures, reached = 0, progress()
        while True:
            try:
                return attempt()
            except TryAgain as error:
                if progress() - reached >= PROGRESS_BYTES:
                    failures, reached = 0, progress()
                failures += 1
                self._pause(uri, error, failures)

    def _pause(self, uri: str, error: TryAgain, failures: int) -> None:
        """Rest before the next try. Errors: `EnvironmentFault` when there is none."""
        patience, host = self._patience, urlsplit(uri).hostname or uri
        if error.unreachable and failures >= patience.tries_to_connect:
            raise EnvironmentFault(f"{host}: cannot be reached ({error.reason}); is this machine online?") from error
        if failures >= patience.tries:
            raise EnvironmentFault(
                f"{storage.redact(uri)}: {error.reason}, {failures} times in a row; "
                "run the same command again later, it goes on from here"
            ) from error
        full = min(patience.longest_rest_s, patience.first_rest_s * 2 ** (failures - 1))
        asked = min(error.wait_s, patience.longest_asked_rest_s)
        seconds = asked + random.uniform(full / 2, full)
        if seconds >= WORTH_TELLING_S:
            log.warning("%s: %s; trying again in %.0f s", host, error.reason, seconds)
        self._rest(seconds)
        if self._closed.is_set():
            raise EnvironmentFault(f"{host}: given up, because something else failed") from error


class RemoteFile(io.RawIOBase):
    """A remote file that can be read and sought in; what was read lies in the local file ``path``, in its place."""

    def __init__(self, downloader: Downloader, uri: str, facts: Facts, path: Path) -> None:
        super().__init__()
        self._downloader, self._uri, self._facts = downloader, uri, facts
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        self._here: list[tuple[int, int]] = []  # the stretches that are here, sorted, with gaps between
        self._position = 0

    def fetch(self, start: int, end: int) -> None:
        """Make bytes ``start`` to ``end`` be here."""
        self._downloader.fetch(self._uri, start, end, self._facts, self._write)
        self._here = _merged([*self._here, (start, end)])

    def _write(self, position: int, piece: bytes) -> None:
        view = memoryview(piece)
        while view:
            n_bytes = os.pwrite(self._file, view, position)
            view, position = view[n_bytes:], position + n_bytes

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill ``buffer`` from what is here; fetch only when the first byte is not."""
        if not len(buffer) or self._position >= self._facts.n_bytes:
            return 0
        end = self._end_of_stretch()
        if end is None:
            later = [start for start, _ in self._here if start > self._position]
            end = min(self._position + AHEAD_BYTES, self._facts.n_bytes, *later)
            self.fetch(self._position, end)
        data = os.pread(self._file, min(len(buffer), end - self._position), self._position)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def _end_of_stretch(self) -> int | None:
        return next((end for start, end in self._here if start <= self._position < end), None)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._facts.n_bytes}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            os.close(self._file)
        super().close()


def _merged(stretches: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Stretches that overlap or touch made one; sorted."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(stretches):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
