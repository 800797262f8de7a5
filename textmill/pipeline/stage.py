"""What a stage is: a value whose fingerprint names the folder that its output lives in.

A stage is a frozen dataclass. Its inputs are the fields that hold other stages. The fingerprint hashes class, version,
fields, the versions of the packages that shape its bytes, and the fingerprints of its inputs; so the same stage is
never run twice, a changed field reruns just what depends on it, and variants lie side by side.

A stage travels to a worker as plain JSON (class names and fields; its inputs by folder name), never as a pickle.
"""

from __future__ import annotations

import functools
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

from textmill import storage
from textmill.errors import InvariantError
from textmill.pipeline.own_code import class_name, find_class, source_digest

NOT_IDENTITY = {"identity": False}  # metadata of a field that says where something lies, not what it is


@dataclass(frozen=True)
class Result:
    """What a task made: complete local files by final name, their rows, and integers that add up over shards."""

    files: Mapping[str, Path]
    rows: Mapping[str, int]
    counts: Mapping[str, int]
    meta: Mapping[str, Any] = field(default_factory=dict)
    cpu_s: float = 0.0  # spent on it in other processes


@dataclass(frozen=True)
class Stage(ABC):
    """One step of a pipeline; see the module's docstring. Subclasses add fields, `shards` and `run_shard`.

    Counts of a stage over documents hold ``rows_in``, ``rows_out`` and ``removed_<reason>``, and must add up.
    """

    version: ClassVar[int] = 1  # raised whenever the same fields and inputs give other bytes
    table: ClassVar[str]  # the usual name of its output
    packages: ClassVar[tuple[str, ...]] = ()  # distributions whose version can change the bytes
    in_driver: ClassVar[bool] = False  # True for a single long task that wants the whole machine

    name: str = field(default="", kw_only=True, metadata=NOT_IDENTITY)

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", self.table)

    @abstractmethod
    def shards(self) -> list[str]:
        """Names of the tasks of this stage. A stage that goes document by document keeps its input's shards."""

    @abstractmethod
    def run_shard(self, task: Task) -> Result:
        """Do one task. Everything read comes through ``task``; everything made goes to ``task.scratch``."""

    def preflight(self, workspace: str) -> None:  # noqa: B027 - most have nothing to check
        """Called before anything runs, if the stage has work to do. Errors: a `TextmillError` saying why it cannot."""

    def audit(self, folder: str, counts: Mapping[str, Mapping[str, int]], strict: bool) -> None:  # noqa: B027
        """Called when all shards lie in ``folder``, with the counts of each. Errors: a `TextmillError` if that is not
        what it should be, or, if ``strict``, if anything at all was lost."""

    @property
    def inputs(self) -> dict[str, Stage]:
        """The fields that hold stages."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Stage)}

    @functools.cached_property
    def fingerprint(self) -> str:
        """16 hex digits."""
        versions = {name: storage.package_version(name) for name in self.packages}
        text = json.dumps([_identity(self, top=True), versions], sort_keys=True, allow_nan=False)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    @property
    def folder(self) -> str:
        """Name of its folder in the workspace."""
        return f"{self.name}-{self.fingerprint}"

    def ancestry(self) -> list[Stage]:
        """All stages that this one needs, in an order in which they can run, itself last."""
        order: dict[str, Stage] = {}

        def visit(stage: Stage) -> None:
            if stage.folder not in order:
                for parent in stage.inputs.values():
                    visit(parent)
                order[stage.folder] = stage

        visit(self)
        return list(order.values())

    def rebuild(self, change: Callable[[Stage], Stage]) -> Stage:
        """The same pipeline with ``change`` applied to every stage, inputs first."""
        done: dict[str, Stage] = {}
        for stage in self.ancestry():
            parents: dict[str, Any] = {name: done[parent.folder] for name, parent in stage.inputs.items()}
            done[stage.folder] = change(replace(stage, **parents) if parents else stage)
        return done[self.folder]


class Written(Protocol):
    """A file that a task wrote."""

    path: Path
    rows: int


@dataclass(frozen=True)
class Task:
    """What ``run_shard`` gets: which shard, where inputs lie, and a private folder for new files.

    ``inside(done, total, note)`` reports progress inside a task; it reaches a person only from stages ``in_driver``.
    """

    workspace: str
    shard: str
    scratch: Path
    inside: Callable[[int, int, str], None]

    def manifest(self, stage: Stage, shard: str) -> storage.Manifest:
        """The manifest of a finished shard. Errors: `InvariantError` when it is not there."""
        manifest = storage.read_manifest(storage.join(self.workspace, stage.folder), shard, stage.fingerprint)
        if manifest is None:
            raise InvariantError(f"{stage.folder}/{shard}: its output is not there; run again")
        return manifest

    def files(self, stage: Stage, shard: str) -> list[str]:
        """URIs of everything that a shard of ``stage`` published."""
        folder = storage.join(self.workspace, stage.folder)
        return [storage.join(folder, name) for name in self.manifest(stage, shard).outputs]

    def file(self, stage: Stage, shard: str, ending: str = "") -> str:
        """URI of the file that a shard of ``stage`` published: the only one, or its table, or that with ``ending``."""
        uris = self.files(stage, shard)
        if len(uris) > 1 or ending:
            uris = [uri for uri in uris if uri.endswith(ending or ".parquet")]
        (uri,) = uris
        return uri

    def all_files(self, stage: Stage, ending: str = "") -> Iterator[str]:
        """The file of every shard of ``stage``, in shard order; see `file`."""
        return (self.file(stage, shard, ending) for shard in stage.shards())

    def unfinished(self, stage: Stage) -> Path:
        """A folder that outlives an interrupted attempt (only in a workspace on this machine)."""
        if not storage.is_local(self.workspace):
            return self.scratch
        folder = Path(storage.filesystem(self.workspace)[1], stage.folder, "unfinished")
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def table(self) -> Path:
        """Where this task writes its one Parquet file."""
        return self.scratch / f"{self.shard}.parquet"


def one_table(writer: Written, counts: Mapping[str, int]) -> Result:
    """The `Result` of a task that wrote one Parquet file."""
    return Result({writer.path.name: writer.path}, {writer.path.name: writer.rows}, counts)


def to_description(stage: Stage) -> dict[str, Any]:
    """A stage as plain JSON; its inputs by the names of their folders."""
    return {
        "class": class_name(type(stage)),
        "fields": {f.name: _describe(getattr(stage, f.name)) for f in fields(stage)},
    }


def from_description(description: Mapping[str, Any], load_input: Callable[[str], Stage]) -> Stage:
    """The stage that `to_description` described. Errors: `EnvironmentFault` for a class that is not there."""
    values = {name: _revive(value, load_input) for name, value in description["fields"].items()}
    stage = find_class(description["class"])(**values)
    if not isinstance(stage, Stage):
        raise InvariantError(f"{description['class']} is not a stage")
    return stage


def _identity(value: Any, top: bool = False) -> Any:
    """What of a value goes into a fingerprint."""
    if isinstance(value, Stage) and not top:
        return value.fingerprint
    if is_dataclass(value) and not isinstance(value, type):
        chosen = {f.name: _identity(getattr(value, f.name)) for f in fields(value) if f.metadata.get("identity", True)}
        kind = {"class": type(value).__qualname__, "version": getattr(type(value), "version", 1), "fields": chosen}
        digest = source_digest(type(value))
        return kind | {"source": digest} if digest else kind
    if isinstance(value, tuple):
        return [_identity(item) for item in value]
    return _plain(value)


def _describe(value: Any) -> Any:
    if isinstance(value, Stage):
        return {"$stage": value.folder}
    if is_dataclass(value) and not isinstance(value, type):
        chosen = {f.name: _describe(getattr(value, f.name)) for f in fields(value)}
        return {"$class": class_name(type(value)), "fields": chosen}
    if isinstance(value, tuple):
        return [_describe(item) for item in value]
    return _plain(value)


def _revive(value: Any, load_input: Callable[[str], Stage]) -> Any:
    if isinstance(value, list):
        return tuple(_revive(item, load_input) for item in value)
    if isinstance(value, dict) and "$stage" in value:
        return load_input(value["$stage"])
    if isinstance(value, dict):
        made = {name: _revive(item, load_input) for name, item in value["fields"].items()}
        return find_class(value["$class"])(**made)
    return value


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise InvariantError(f"a field of a stage holds {type(value).__name__}; use numbers, strings, tuples, dataclasses")
