"""Files of a run with one JSON object a line, each with its step; what a stopped attempt wrote too much is cut off."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
from pathlib import Path
from typing import Any, TextIO

from textmill.errors import WorkspaceError


class LineFile:
    """Lines up to a step, and those that come after. ``kept``: the former."""

    def __init__(self, path: Path, step: int, *, writes: bool = True, when_needed: bool = False) -> None:
        """Nothing is kept of a run that begins (``step`` 0). Without ``writes`` the file is only read; ``when_needed``
        makes none for no line."""
        lines = path.read_bytes().splitlines(keepends=True) if step and path.exists() else []
        parsed = (_parsed(line) for line in lines)
        self.kept = list(itertools.takewhile(lambda line: line.get("step", step + 1) <= step, parsed))
        self._n_kept_bytes = sum(map(len, lines[: len(self.kept)]))
        self._path, self._writes, self._when_needed = path, writes, when_needed
        self._stream: TextIO | None = None

    def __enter__(self) -> LineFile:
        if self._writes and self._when_needed and not self.kept:
            self._path.unlink(missing_ok=True)
        elif self._writes:
            self._open()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._stream is not None:
            self._stream.close()

    def write(self, values: dict[str, Any]) -> None:
        """One more line, on disk at once."""
        if not self._writes:
            return
        stream = self._stream or self._open()
        stream.write(json.dumps(values, allow_nan=False) + "\n")
        stream.flush()

    def sync(self) -> None:
        """Until all lines would outlive the machine."""
        if self._stream is not None:
            os.fsync(self._stream.fileno())

    def _open(self) -> TextIO:
        """What is too much is cut off in one step, so that what is kept is there at any time. Errors: `WorkspaceError`
        when another process writes to the file."""
        self._stream = self._path.open("a", encoding="utf-8")
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)  # which ends with the process
        except BlockingIOError as error:
            self._stream.close()
            raise WorkspaceError(
                f"{self._path.parent}: another training is at work there; wait for it, or choose another folder"
            ) from error
        self._stream.truncate(self._n_kept_bytes)
        return self._stream


def _parsed(line: bytes) -> dict[str, Any]:
    """Nothing for a line that was being written when the attempt was stopped."""
    if not line.endswith(b"\n"):
        return {}
    try:
        values = json.loads(line)
    except ValueError:
        return {}
    return values if isinstance(values, dict) and isinstance(values.get("step"), int) else {}
