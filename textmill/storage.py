"""Where things lie: paths, atomic publishing, manifests, and tables that are read side by side.

The protocol, for every task of every stage: write complete files into scratch, close them, hash them, move each to its
final name in one atomic step (``os.replace`` locally, a whole-object upload elsewhere), and publish the task's manifest
last. Readers open only what a manifest names, so a task may die at any instruction, or run twice, and nobody ever sees
half a file. Nothing is streamed into a final name: fsspec would publish a truncated object when an exception closes it.

A manifest holds only what is the same at every attempt (counts, sizes, hashes), so it is byte-identical too. What
differs (seconds) stands beside it in ``SHARD.stats.json``.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import tempfile
import uuid
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from textmill.errors import (
    EnvironmentFault,
    InputError,
    InvariantError,
    MissingExtraError,
    TextmillError,
    Unreached,
    WorkspaceError,
)

FORMAT = 1
PIECE_ROWS = 256  # of a row group that holds texts
MANIFEST_ENDING = ".manifest.json"
# Chained ("a::b") and exotic protocols can read other machines or run code; page content never becomes a path at all.
PROTOCOLS = ("file", "local", "s3", "gs", "abfs", "http", "https", "memory")


EXTRAS = {"s3": ("s3fs", "s3"), "gs": ("gcsfs", "gcs")}  # protocol -> the package that speaks it, our extra with it
_NO_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "DefaultCredentialsError")
_SILENT = ("EndpointConnectionError", "ConnectTimeoutError", "ClientConnectorError", "ConnectionRefusedError")
_READ_BYTES = 1 << 16  # from an object store, whose library reads ahead itself
_USERINFO = re.compile(r"(?<=://)[^/\s]*@")
_QUERY = re.compile(r"(\w://[^\s?#]*)\?[^\s#]*")
_PLAIN_HOST = re.compile(r"https?://([A-Za-z0-9.-]+)(?::[0-9]*)?(?:[/?#]|\Z)")  # of nearly all URLs
_SECRET = re.compile(r"secret|token|password|passwd|signature|credential|api-?_?key|^sig$|^key$", re.IGNORECASE)


def check_uri(uri: str) -> None:
    """Errors: `InputError` for no name, a protocol that is not allowed, or credentials: URIs are written into files."""
    if not uri:
        raise InputError("'': an empty name; give a file, a folder or a URL")
    protocol = uri.partition("://")[0] if "://" in uri else "file"
    if protocol not in PROTOCOLS or ("::" in uri and not is_web(uri)):  # there it can be an IPv6 address
        raise InputError(f"{redact(uri)}: protocol not allowed; use a local path or one of {', '.join(PROTOCOLS[2:7])}")
    if is_local(uri):
        return
    if is_web(uri) and not host_of(uri):
        raise InputError(f"{redact(uri)}: not a URL, it has no host")
    if _USERINFO.search(uri):
        raise InputError(f"{redact(uri)}: a name or password in it; what is read by name is written down by name")
    query = parse_qsl(urlsplit(uri).query) if is_web(uri) else []
    if secret := next((name for name, _ in query if _SECRET.search(name)), None):
        raise InputError(
            f"{redact(uri)}: {secret!r} in it is a secret, and the URL would be written down; fetch it first"
        )


def host_of(url: str) -> str:
    """The host of a URL, lower-case; "" if it has none."""
    if plain := _PLAIN_HOST.match(url):
        return plain[1].lower()
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def redact(text: str) -> str:
    """``text`` with the user names, passwords and queries of all URLs in it left out: fit to be shown."""
    return _QUERY.sub(r"\1?...", _USERINFO.sub("", text))


def filesystem(uri: str) -> tuple[Any, str]:
    """The fsspec file system of ``uri`` and the path in it. Errors: those of `check_uri`, `EnvironmentFault`.

    All that is done with that of an object store has the errors of `reached`; its files are for `open_read` to open.
    """
    fs, path = own_filesystem(uri)
    return fs if is_local(uri) else _Reached(fs, uri), path


def own_filesystem(uri: str) -> tuple[Any, str]:
    """As `filesystem`, but with the errors that its library has."""
    check_uri(uri)
    if is_web(uri):
        raise InputError(f"{redact(uri)}: on the web there are archives to read, but no folders to list or to write to")
    options = {} if is_local(uri) else {"use_listings_cache": False}  # other processes write there too
    try:
        fs, path = fsspec.core.url_to_fs(uri, **options)
    except ImportError as error:
        protocol = uri.partition("://")[0]
        if protocol in EXTRAS:
            raise MissingExtraError(*EXTRAS[protocol]) from error
        raise EnvironmentFault(f"{redact(uri)}: {error}") from error
    return fs, path


@contextlib.contextmanager
def reached(uri: str) -> Iterator[None]:
    """What is wrong with an object store is an `EnvironmentFault` that names ``uri``, a lack of permission an
    `InputError`; FileNotFoundError stays. Each library has errors of its own, so these are told apart by name."""
    shown = redact(uri)
    try:
        yield
    except (TextmillError, FileNotFoundError, MemoryError, GeneratorExit):
        raise
    except PermissionError as error:
        raise InputError(f"{shown}: no permission, or no such bucket") from error
    except Exception as error:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):  # here, where it is copied to
            raise
        names = [type(cause).__name__ for cause in causes(error)]
        if any(name in _NO_CREDENTIALS for name in names):
            hint = "set AWS_PROFILE or the like, or FSSPEC_S3_ANON=true for a public bucket"
            raise EnvironmentFault(f"{shown}: no credentials found; {hint}") from error
        told = getattr(error, "strerror", None) or str(error) or type(error).__name__
        reason = redact(" ".join(told.split()))[:300]
        raise Unreached(shown, reason, any(name in _SILENT for name in names)) from error


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception, and what it came from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


class _Reached:
    """A file system whose methods have the errors of `reached`."""

    def __init__(self, fs: Any, uri: str) -> None:
        self._fs, self._uri = fs, uri

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # what is asked of an object that is being unpickled
            raise AttributeError(name)
        method = getattr(self._fs, name)
        if not callable(method):
            return method

        def call(*arguments: Any, **options: Any) -> Any:
            with reached(self._uri):
                return method(*arguments, **options)

        return call


class _ReachedFile(io.RawIOBase):
    """A file that is read with the errors of `reached`."""

    def __init__(self, file: Any, uri: str) -> None:
        self._file, self._uri = file, uri

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with reached(self._uri):
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        self._file.close()
        super().close()


def is_web(uri: str) -> bool:
    """True for ``http://`` and ``https://``."""
    return uri.startswith(("http://", "https://"))


def is_local(uri: str) -> bool:
    """True for a path on this machine."""
    return "://" not in uri or uri.startswith("file://")


def absolute(uri: str) -> str:
    """A local path made absolute; any other URI as it is."""
    return str(local_path(uri).absolute()) if is_local(uri) else uri


def local_path(uri: str) -> Path:
    """The path of a local file; that of an unknown user (``~nobody/x``) stays as it is."""
    return Path(os.path.expanduser(uri.removeprefix("file://")))  # noqa: PTH111 - pathlib's raises then


def is_utf8(name: str) -> bool:
    """Whether a name from the system is text, and so can be written down; other bytes become lone surrogates."""
    return not any("\ud800" <= c <= "\udfff" for c in name)


def join(folder: str, *names: str) -> str:
    """``folder`` and ``names`` with single slashes between."""
    return "/".join([folder.rstrip("/"), *names])


def exists(uri: str) -> bool:
    fs, path = filesystem(uri)
    return bool(fs.exists(path))


def size(uri: str) -> int:
    """Bytes of the object at ``uri``."""
    fs, path = filesystem(uri)
    return int(fs.size(path))


def open_read(uri: str) -> Any:
    """A seekable binary file object."""
    fs, path = filesystem(uri)
    if is_local(uri):
        return open(path, "rb")  # noqa: PTH123
    return io.BufferedReader(_ReachedFile(fs.open(path, "rb"), uri), _READ_BYTES)


UNREADABLE = (OSError, EOFError, zlib.error)  # what reading from `open_unpacked` raises for a damaged file


@contextlib.contextmanager
def open_unpacked(uri: str) -> Iterator[Any]:
    """A binary file object of the content of ``uri``, unpacked if its name ends in .gz. Errors: `UNREADABLE`."""
    with open_read(uri) as raw, gzip.open(raw) if uri.endswith(".gz") else contextlib.nullcontext(raw) as stream:
        yield stream


def read_json(uri: str) -> Any:
    """The JSON value at ``uri``. Errors: FileNotFoundError, `InputError` when it is no JSON."""
    with open_read(uri) as stream:
        data = stream.read()
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{uri}: not valid JSON ({error}); delete it, and its step runs again") from error


def to_json(value: object) -> str:
    """Canonical JSON: sorted keys, one form for every value, a final newline."""
    return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def sha256(file: Path | str) -> str:
    """Hex digest of a local file, or of one at a URI. Errors: OSError; those of `reached`."""
    with file.open("rb") if isinstance(file, Path) else open_read(file) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def publish(source: Path, uri: str) -> None:
    """Move the complete local file ``source`` to ``uri`` in one atomic step, replacing the file that is there.

    Errors: `WorkspaceError` for a folder, and where there is no such bucket.
    """
    fs, path = filesystem(uri)
    if not is_local(uri):
        with _in_a_bucket(uri):
            fs.put_file(str(source), path)
        source.unlink()
        return
    target = Path(path)
    if target.is_dir():
        raise WorkspaceError(f"{target}: a folder; give the name of a file")
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as stream:
        os.fsync(stream.fileno())
    try:
        source.replace(target)
    except OSError:  # scratch lies on another device: copy beside the target first
        beside = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        shutil.copyfile(source, beside)
        beside.replace(target)
        source.unlink()


@contextlib.contextmanager
def _in_a_bucket(uri: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise WorkspaceError(f"{uri}: no such bucket; make it first") from error


def write_json(value: object, uri: str) -> None:
    """Publish ``value`` as canonical JSON at ``uri``, atomically."""
    write_text(to_json(value), uri)


def write_text(text: str, uri: str) -> None:
    """Publish ``text`` in UTF-8 at ``uri``, atomically."""
    fs, path = filesystem(uri)
    data = text.encode()
    if not is_local(uri):
        with _in_a_bucket(uri):
            fs.pipe_file(path, data)
        return
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        beside.write_bytes(data)
        beside.replace(target)
    except OSError as error:
        error.filename = uri  # what was asked for; a full disk names nothing
        raise
    finally:
        beside.unlink(missing_ok=True)


def check_writable(uri: str) -> None:
    """Whether a file can be written at ``uri``, to be asked before the work that makes it.

    Of an object store only a file can tell: an empty one beside it, removed again if that is allowed.
    Errors: `WorkspaceError`; those of `reached`.
    """
    if not is_local(uri):
        fs, path = filesystem(uri)
        with _in_a_bucket(uri):
            fs.pipe_file(f"{path}.textmill-check", b"")  # a name that no file of people's own has
        with contextlib.suppress(TextmillError, FileNotFoundError):
            fs.rm_file(f"{path}.textmill-check")
        return
    target = local_path(uri)
    if target.is_dir():
        raise WorkspaceError(f"{uri}: is a folder; name a file in it")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=target.parent).close()
    except OSError as error:
        raise WorkspaceError(f"{uri}: cannot be written ({error.strerror}); choose another place") from error


@contextlib.contextmanager
def scratch(folder: str) -> Iterator[Path]:
    """A private temporary folder, removed at the end: in a local ``folder`` (same device), else in the system's own."""
    parent = None
    if is_local(folder):
        parent = Path(filesystem(folder)[1]) / ".scratch"
        try:
            parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, FileNotFoundError, NotADirectoryError) as error:
            raise WorkspaceError(f"{folder}: no folder can be made there ({error.strerror}); choose another") from error
    path = Path(tempfile.mkdtemp(dir=parent))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def passing_scratch(folder: str) -> Iterator[Path]:
    """`scratch` for a folder that is no workspace: it leaves nothing there, unless somebody else works in it."""
    try:
        with scratch(folder) as path:
            yield path
    finally:
        if is_local(folder):
            with contextlib.suppress(OSError):  # somebody else's scratch may lie there
                (local_path(folder) / ".scratch").rmdir()


@contextlib.contextmanager
def whole_folder(out: str) -> Iterator[Path]:
    """A folder that appears at the local path ``out`` when everything in it is written, or not at all.

    Yields where to write: beside ``out``. Errors: `WorkspaceError` when ``out`` is no local path, or holds something.
    """
    if not is_local(out):
        raise WorkspaceError(f"{out}: not a local folder")
    target = local_path(out).absolute()
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise WorkspaceError(f"{out}: is there already; choose another --out")
    beside = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        beside.mkdir(parents=True)
    except OSError as error:
        raise WorkspaceError(f"{out}: cannot be written ({error.strerror}); choose another --out") from error
    try:
        yield beside
        try:
            beside.replace(target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            raise WorkspaceError(f"{out}: somebody else has written it meanwhile; choose another --out") from error
    except OSError as error:
        error.filename = error.filename or out
        raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


@dataclass(frozen=True)
class Output:
    """One published file: its size, its sha256, and its rows (tokens, for a token file)."""

    n_bytes: int
    sha256: str
    rows: int


@dataclass(frozen=True)
class Manifest:
    """What one task published. ``counts`` are integers that add up over shards; ``meta`` describes the format."""

    stage: str
    fingerprint: str
    shard: str
    outputs: Mapping[str, Output]
    counts: Mapping[str, int] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)
    format: int = FORMAT


def publish_task(folder: str, manifest: Manifest, files: Mapping[str, Path]) -> None:
    """Publish ``files`` (final name in ``folder`` -> local file) and then their manifest.

    A second attempt that made the same bytes changes nothing; one that made other bytes is a bug and raises.
    """
    earlier = read_manifest(folder, manifest.shard, manifest.fingerprint)
    if earlier is not None:
        if earlier != manifest:
            raise InvariantError(f"{join(folder, manifest.shard)}: a second attempt made other bytes than the first")
        return
    for name, path in files.items():
        publish(path, join(folder, name))
    write_manifest(folder, manifest)


def write_manifest(folder: str, manifest: Manifest) -> None:
    """Publish a manifest, with a sha256 of what it says, so that a change by hand does not go unseen."""
    write_json(asdict(manifest) | {"sha256": _digest(manifest)}, manifest_uri(folder, manifest.shard))


def _digest(manifest: Manifest) -> str:
    return hashlib.sha256(to_json(asdict(manifest)).encode()).hexdigest()


def describe(files: Mapping[str, Path], rows: Mapping[str, int]) -> dict[str, Output]:
    """The `Output` of each local file."""
    return {name: Output(path.stat().st_size, sha256(path), rows[name]) for name, path in sorted(files.items())}


def manifest_uri(folder: str, shard: str) -> str:
    """Where the manifest of a shard lies."""
    return join(folder, f"{shard}{MANIFEST_ENDING}")


def manifests(folder: str) -> dict[str, Manifest]:
    """The manifests of all finished shards of a stage folder, by shard, in order."""
    fs, path = filesystem(folder)
    names = [name.rpartition("/")[2] for name in (fs.ls(path, detail=False) if fs.exists(path) else [])]
    shards = sorted(name.removesuffix(MANIFEST_ENDING) for name in names if name.endswith(MANIFEST_ENDING))
    return {shard: load_manifest(manifest_uri(folder, shard)) for shard in shards}


def load_manifest(uri: str) -> Manifest:
    """The manifest at ``uri``. Errors: FileNotFoundError, `InputError`."""
    value = read_json(uri)
    try:
        outputs = {name: Output(**output) for name, output in value.pop("outputs").items()}
        digest = value.pop("sha256", None)  # earlier versions wrote none
        manifest = Manifest(outputs=outputs, **value)
        if not (isinstance(manifest.counts, dict) and isinstance(manifest.meta, dict)):
            raise TypeError("counts and meta must be objects")
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(f"{uri}: not a manifest of textmill; delete it, and its task runs again") from error
    if digest not in (None, _digest(manifest)):
        raise InputError(f"{uri}: changed since it was written, by hand perhaps; make its shard again")
    return manifest


def read_manifest(folder: str, shard: str, fingerprint: str) -> Manifest | None:
    """The manifest of a finished shard, or None when there is none, or what it names is not there in full."""
    try:
        manifest = load_manifest(manifest_uri(folder, shard))
    except (FileNotFoundError, InputError):
        return None
    if manifest.fingerprint != fingerprint or manifest.format != FORMAT:
        return None
    try:
        whole = all(size(join(folder, name)) == output.n_bytes for name, output in manifest.outputs.items())
    except FileNotFoundError:
        return None
    return manifest if whole else None


@contextlib.contextmanager
def open_parquet(uri: str, remedy: str = "; delete it, and its task runs again") -> Iterator[pq.ParquetFile]:
    """The Parquet file at ``uri``, to read row groups from. Errors: `InputError` when it is damaged.

    ``remedy`` ends that message. Somebody's own file has none: nothing makes it again.
    """
    with pa.OSFile(filesystem(uri)[1]) if is_local(uri) else open_read(uri) as stream:
        try:
            yield pq.ParquetFile(stream, page_checksum_verification=True)
        except (pa.ArrowInvalid, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # the machine's fault, not the file's
                raise
            reason = " ".join(str(error).split())
            raise InputError(f"{uri}: damaged ({reason}){remedy}") from error


def read_table(uri: str, columns: list[str] | None = None) -> pa.Table:
    """The whole table at ``uri``. Errors: `InputError` when it is damaged."""
    with open_parquet(uri) as file:
        return file.read(columns)


def id_range(uri: str) -> tuple[int, int]:
    """The smallest and the largest ``doc_id`` of the table at ``uri``; (1, 0) if it has no rows."""
    with open_parquet(uri) as file:
        column = file.schema_arrow.get_field_index("doc_id")
        groups = [file.metadata.row_group(i).column(column).statistics for i in range(file.num_row_groups)]
    return min((g.min for g in groups), default=1), max((g.max for g in groups), default=0)


def read_id_range(uri: str, columns: list[str], low: int, high: int) -> pa.Table:
    """The row groups of the table at ``uri`` that hold a ``doc_id`` from ``low`` to ``high``."""
    with open_parquet(uri) as file:
        column = file.schema_arrow.get_field_index("doc_id")
        ranges = [file.metadata.row_group(i).column(column).statistics for i in range(file.num_row_groups)]
        wanted = [i for i, ids in enumerate(ranges) if ids.min <= high and ids.max >= low]
        return file.read_row_groups(wanted, columns)


def read_ids(uri: str, columns: list[str], ids: NDArray[np.uint64]) -> Iterator[pa.Table]:
    """The rows of the table at ``uri`` whose ``doc_id`` is in the sorted array ``ids``, row group by row group.

    Of row groups that hold none of them, nothing but the ids is read. Others are read in pieces, so that their memory
    is used again and again, and only up to the last row that is wanted.
    """
    with open_parquet(uri) as file:
        for group in range(file.num_row_groups):
            chosen = is_among(file.read_row_group(group, ["doc_id"])["doc_id"].to_numpy(), ids)
            found: list[pa.RecordBatch] = []
            pieces = file.iter_batches(PIECE_ROWS, [group], columns, use_threads=False)
            for start in range(0, int(chosen.nonzero()[0].max(initial=-1)) + 1, PIECE_ROWS):
                found.append(next(pieces).filter(pa.array(chosen[start : start + PIECE_ROWS])))
            if found:
                yield pa.Table.from_batches(found)


def is_among(values: NDArray[np.uint64], members: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which values are in the sorted array ``members``."""
    if not len(members):
        return np.zeros(len(values), np.bool_)
    place = np.minimum(np.searchsorted(members, values), len(members) - 1)
    return np.asarray(members[place] == values)


class TableWriter:
    """Writes batches to a local Parquet file, one row group a batch. The schema is fixed, whatever the data."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.path, self.schema, self.rows = path, schema, 0
        # Text is written and read three times before it is corpus; level 3 takes 1.6 times as long, for 23 % less.
        self._writer = pq.ParquetWriter(path, schema, compression="zstd", compression_level=1, write_page_checksum=True)

    def write(self, table: pa.Table) -> None:
        if table.schema != self.schema:
            raise InvariantError(f"{self.path.name}: columns {table.schema.names}, expected {self.schema.names}")
        for column, field_ in zip(table.columns, self.schema, strict=True):
            if not field_.nullable and column.null_count:
                raise InvariantError(f"{self.path.name}: null in column {field_.name!r}")
        if table.num_rows:
            self._writer.write_table(table, row_group_size=table.num_rows)
        self.rows += table.num_rows

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self._writer.close()


def read_aligned(uris: Mapping[str, list[str] | None]) -> Iterator[list[pa.Table]]:
    """Read several tables of one shard side by side: for each row group, one table a file.

    ``uris`` maps each file to the columns wanted (None: all). Raises `InvariantError` unless row groups and ``doc_id``
    agree.
    """
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(open_parquet(uri)) for uri in uris]
        wanted = [None if columns is None else list(dict.fromkeys(["doc_id", *columns])) for columns in uris.values()]
        if len({file.num_row_groups for file in files}) > 1:
            raise InvariantError(f"row groups differ: {', '.join(uris)}")
        for group in range(files[0].num_row_groups):
            tables = [file.read_row_group(group, columns) for file, columns in zip(files, wanted, strict=True)]
            for table, uri in zip(tables[1:], list(uris)[1:], strict=True):
                if not table["doc_id"].equals(tables[0]["doc_id"]):
                    raise InvariantError(f"documents differ: {next(iter(uris))} and {uri}, row group {group}")
            yield tables


@functools.lru_cache(maxsize=64)
def package_version(name: str) -> str:
    """Version of an installed distribution. Errors: `EnvironmentFault`."""
    import importlib.metadata

    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError as error:
        raise EnvironmentFault(f"package {name!r} is not installed; pip install textmill brings it") from error
