"""Lines that occur more than once in a set of text files.

A line ends with ``\\n``, which does not count; nothing else is made equal. Files are read and written in pieces, so
memory does not grow with them (but a single line has to fit).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from textmill.bits import kernel
from textmill.dedup.repeats import Repeats
from textmill.errors import InputError, UserError

PIECE_BYTES = 1 << 24  # read at once
_NEWLINE = np.uint8(ord("\n"))

Path_ = str | os.PathLike[str]
Lines = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]  # bytes; where each line begins, and ends


def deduplicate_files(paths: Sequence[Path_], output_dir: Path_, *, keep: str = "none") -> dict[str, int]:
    """Rewrites each file under its name in ``output_dir``, without the lines that occur more than once in all files.

    ``keep="none"`` removes every copy of such a line, as Stanford's CS336 asks for; ``keep="first"`` all but the first,
    in the order of ``paths``. Files are complete or not there. Returns the numbers of lines read, and removed.

    Errors: `InputError` for a file that cannot be read; `UserError` for two files of one name, an output that is one of
    the inputs, or another ``keep``.
    """
    targets = targets_of(paths, output_dir)
    with tempfile.TemporaryDirectory(dir=output_dir, prefix=".textmill-") as scratch:
        repeats = Repeats(Path(scratch), keep)
        for path in targets:
            for data, start, end in _read_lines(path):
                repeats.add(data, start, end)
        n_removed = 0
        for path, target in targets.items():
            part = Path(scratch) / target.name
            with part.open("wb") as out:
                for data, start, _ in _read_lines(path):
                    removed = repeats.removed(len(start))
                    n_removed += int(removed.sum())
                    out.write(_without(data, start, removed))
            part.replace(target)
    return {"n_lines": repeats.n_pieces, "n_removed": n_removed}


def targets_of(paths: Sequence[Path_], output_dir: Path_) -> dict[Path, Path]:
    """For each input the file of the same name in ``output_dir``, which is made. Errors: `UserError`."""
    if isinstance(paths, str | os.PathLike):
        raise UserError(f"{paths}: give a list of paths, not one path")
    folder = Path(output_dir)
    targets: dict[Path, Path] = {}
    names: set[str] = set()
    for path in map(Path, paths):
        target = folder / path.name
        if path.name in names:
            raise UserError(f"{path}: another input has the same name, and both would be written to {target}")
        if target.exists() and path.exists() and target.samefile(path):
            raise UserError(f"{path}: would be overwritten; choose another folder to write to")
        targets[path] = target
        names.add(path.name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"{folder}: is a file, not a folder to write to") from error
    return targets


def _read_lines(path: Path) -> Iterator[Lines]:
    """The lines of a file, some at a time. Errors: `InputError`."""
    rest = b""
    try:
        with path.open("rb") as stream:
            while piece := stream.read(PIECE_BYTES):
                whole, newline, after = piece.rpartition(b"\n")
                if newline:
                    yield _cut(rest + whole + newline)
                    rest = after
                else:
                    rest += piece
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise InputError(f"{path}: cannot read this file ({error.strerror})") from error
    if rest:
        yield _cut(rest)


def _cut(text: bytes) -> Lines:
    data = np.frombuffer(text, np.uint8)
    newline = np.flatnonzero(data == _NEWLINE)
    unfinished = [len(data)] if len(data) and data[-1] != _NEWLINE else []
    end = np.concatenate([newline, np.array(unfinished, np.int64)])
    start = np.concatenate([np.zeros(1, np.int64), newline + 1])[: len(end)]
    return data, start, end


@kernel
def _without(data: NDArray[np.uint8], start: NDArray[np.int64], removed: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The bytes of the lines that stay, with their newlines."""
    kept = np.empty(len(data), np.uint8)
    n = 0
    for i in range(len(start)):
        if not removed[i]:
            end = start[i + 1] if i + 1 < len(start) else len(data)
            kept[n : n + end - start[i]] = data[start[i] : end]
            n += end - start[i]
    return kept[:n]
