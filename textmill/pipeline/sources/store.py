"""Archives in object stores (``s3://``, ``gs://``, ``abfs://``), through fsspec.

s3fs sends ``If-Match`` with every read of an opened file. The other stores have no such thing, so the version is looked
up before and after the bytes are read: what lies between two looks at the same version is that version.

Credentials and end points come from where the libraries look for them (``AWS_PROFILE``, ``AWS_ENDPOINT_URL``, the
machine's role, ``GOOGLE_APPLICATION_CREDENTIALS``); ``FSSPEC_S3_ANON=true`` reads public buckets without any.
"""

from __future__ import annotations

import contextlib
import errno
import logging
from collections.abc import Iterator
from typing import Any

from textmill import storage
from textmill.errors import Unreached
from textmill.pipeline.sources.server import Facts, TryAgain, changed

PIECE_BYTES = 8 << 20  # of one request

logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # it prints a traceback of each try


class Store:
    """Object stores. Implements `textmill.pipeline.sources.server.Server`; may be used by several threads."""

    def look(self, uri: str, n_bytes: int) -> tuple[Facts, bytes]:
        fs, path = storage.own_filesystem(uri)
        with _tried(uri):
            facts = _facts(uri)
            return facts, fs.cat_file(path, start=0, end=min(n_bytes, facts.n_bytes)) if facts.n_bytes else b""

    def chunks(self, uri: str, start: int, end: int, facts: Facts) -> Iterator[bytes]:
        fs, path = storage.own_filesystem(uri)
        with _tried(uri):
            if _facts(uri) != facts:
                raise changed(uri)
            with fs.open(path, "rb", cache_type="none") as stream:
                stream.seek(start)
                while start < end and (piece := stream.read(min(PIECE_BYTES, end - start))):
                    yield piece
                    start += len(piece)
            if _facts(uri) != facts:
                raise changed(uri)


def listed(pattern: str) -> list[str]:
    """The files that ``pattern`` (a file, a glob, a folder) names in an object store, as URIs; perhaps none."""
    fs, path = storage.filesystem(pattern)
    kind = _kind(fs, path)
    if kind == "file":
        return [pattern]
    entries = fs.ls(path, detail=True) if kind else fs.glob(path, detail=True).values()
    return sorted(fs.unstrip_protocol(entry["name"]) for entry in entries if entry["type"] == "file")


def folders(folder: str) -> list[str]:
    """The names of the folders in ``folder``; none if it is not there. Errors: `InputError`, `EnvironmentFault`."""
    fs, path = storage.filesystem(folder)
    entries = fs.ls(path, detail=True) if _kind(fs, path) == "directory" else []
    return [entry["name"].rstrip("/").rpartition("/")[2] for entry in entries if entry["type"] == "directory"]


def _kind(fs: Any, path: str) -> str:
    """ "file", "directory", or "" when nothing is there (``isdir`` and ``exists`` say so too when nobody answers)."""
    try:
        return str(fs.info(path)["type"])
    except FileNotFoundError:
        return ""


def _facts(uri: str) -> Facts:
    fs, path = storage.own_filesystem(uri)
    info = fs.info(path)
    if info["type"] != "file":
        raise FileNotFoundError(uri)
    version = next((info[name] for name in ("ETag", "etag", "LastModified", "created") if info.get(name)), "")
    return Facts(int(info["size"]), str(version), True)


@contextlib.contextmanager
def _tried(uri: str) -> Iterator[None]:
    """What is wrong with the store, and not known to stay so, is worth another try."""
    try:
        with storage.reached(uri):
            yield
    except Unreached as error:
        names = [type(cause).__name__ for cause in storage.causes(error)]
        if "FileExpired" in names or getattr(error.__cause__, "errno", None) == errno.EINVAL:
            raise changed(uri) from error
        raise TryAgain(error.reason, unreachable=error.is_silent) from error
