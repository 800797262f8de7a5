"""The workspace: everything of a project in one folder.

work/
  <stage>-<fingerprint>/    stage.json, the files of each shard, a manifest for each (written last), _SUCCESS
  runs/<name>.json          a run: the DAG, its settings, versions, and its stages' folders
  runs/<name>/              its report
  .lock, .scratch/          who is at work, and unfinished files
"""

from __future__ import annotations

import contextlib
import fcntl
import platform
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from textmill import storage
from textmill.errors import InputError, UnknownNameError, WorkspaceError
from textmill.pipeline.stage import Stage, from_description, to_description

DEDUP_RUN = "run"  # the workspace within the folder that `textmill dedup` writes
MARKER = "textmill-workspace.json"


@dataclass(frozen=True)
class Run:
    """What ``runs/<name>.json`` holds. ``stages`` maps each stage's name to its folder, in the order of the data."""

    name: str
    dag: str
    settings: list[str]  # as given on the command line
    stages: dict[str, str]
    versions: dict[str, str]
    finished: str = ""  # UTC; "" while it has not
    seconds: dict[str, float] = field(default_factory=dict)  # wall time a stage, of the attempt that did the work


class Workspace:
    """A folder with stages and runs. Stages are loaded from their own descriptions. Errors: those of `check_uri`."""

    def __init__(self, root: str) -> None:
        storage.check_uri(root)
        self.root = root.rstrip("/") or "/"

    def path(self, *names: str) -> str:
        return storage.join(self.root, *names)

    def folder(self, stage: Stage) -> str:
        return self.path(stage.folder)

    # -- creating and locking

    def create(self) -> None:
        """Make it a workspace. Errors: `WorkspaceError` for a folder of something else, or without permission."""
        try:
            if not storage.exists(self.path(MARKER)):
                self._refuse_other_content()
                storage.write_json({"format": storage.FORMAT}, self.path(MARKER))
        except PermissionError as error:
            raise WorkspaceError(f"{self.root}: no permission to write there; choose another --out") from error
        except (NotADirectoryError, FileExistsError) as error:
            raise WorkspaceError(f"{self.root}: is a file, not a folder; choose another --out") from error

    def _refuse_other_content(self) -> None:
        fs, path = storage.filesystem(self.root)
        if not fs.exists(path):
            return
        if not fs.isdir(path):
            raise WorkspaceError(f"{self.root}: is a file, not a folder; choose another --out")
        if fs.ls(path, detail=False):
            raise WorkspaceError(f"{self.root}: a folder with other content, not a textmill workspace; choose another")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the workspace for one driver; remove what a killed one left. A lock dies with its process.

        Errors: `WorkspaceError` when another driver is at work. A workspace that is not local has no lock: its files
        stay right all the same (every publish is atomic), only work may be done twice.
        """
        if not storage.is_local(self.root):
            yield
            return
        local = Path(storage.filesystem(self.root)[1])
        try:
            lock = (local / ".lock").open("w")
        except PermissionError as error:
            raise WorkspaceError(f"{self.root}: no permission to write there; choose another --out") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise WorkspaceError(f"{self.root}: another textmill is at work there; wait for it") from error
            shutil.rmtree(local / ".scratch", ignore_errors=True)
            yield
            shutil.rmtree(local / ".scratch", ignore_errors=True)

    # -- stages

    def save_stage(self, stage: Stage) -> None:
        """Describe a stage in its folder, for the workers."""
        storage.write_json(to_description(stage), storage.join(self.folder(stage), "stage.json"))

    def load_stage(self, folder: str) -> Stage:
        """The stage whose description lies in ``folder``."""
        loaded: dict[str, Stage] = {}

        def load(name: str) -> Stage:
            if name not in loaded:
                loaded[name] = from_description(storage.read_json(self.path(name, "stage.json")), load)
            return loaded[name]

        return load(folder)

    def tables(self, folder: str) -> list[str]:
        """URIs of the Parquet tables of a stage, one a shard, in shard order."""
        manifests = storage.manifests(self.path(folder)).values()
        found = [name for manifest in manifests for name in manifest.outputs if name.endswith(".parquet")]
        return [self.path(folder, name) for name in found]

    # -- runs

    def save_run(self, run: Run) -> None:
        stages = list(run.stages.items())  # a list, because JSON objects are written with sorted keys
        storage.write_json(asdict(run) | {"stages": stages}, self.path("runs", f"{run.name}.json"))

    def load_run(self, name: str) -> Run:
        """A run by name. Errors: `UnknownNameError`."""
        if name not in self.run_names():
            raise UnknownNameError(f"run in {self.root}:", name, self.run_names())
        try:
            value = storage.read_json(self.path("runs", f"{name}.json"))
            return Run(**value | {"stages": dict(value["stages"])})
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{self.path('runs', name)}.json: not a run of this version of textmill") from error

    def report_page(self, run: Run) -> str:
        """Where the HTML report of a run lies."""
        return self.path("runs", run.name, "report.html")

    def run_names(self) -> list[str]:
        """Names of all runs, the newest first."""
        fs, path = storage.filesystem(self.path("runs"))
        found = [f for f in (fs.ls(path, detail=True) if fs.exists(path) else []) if f["name"].endswith(".json")]
        found.sort(key=lambda f: str(f.get("mtime", f.get("LastModified", ""))), reverse=True)
        return [f["name"].rpartition("/")[2].removesuffix(".json") for f in found]


def new_run(dag: str, settings: Sequence[str], target: Stage) -> Run:
    """The record of a run that is about to start. The same pipeline has the same name."""
    stages = {stage.name: stage.folder for stage in target.ancestry()}
    return Run(f"{dag}-{target.name}-{target.fingerprint[:6]}", dag, list(settings), stages, versions())


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that shape what textmill writes."""
    names = ("fastwarc", "resiliparse", "fasttext-numpy2-wheel", "numpy", "numba", "pyarrow", "regex", "distributed")
    return {"python": platform.python_version()} | {name: storage.package_version(name) for name in names}


def open_run(address: str) -> tuple[Workspace, Run]:
    """The run that ``WORKSPACE`` (its newest) or ``WORKSPACE:NAME`` names. Errors: `InputError`, `UnknownNameError`."""
    root, _, name = address.rpartition(":")
    if not root or "//" in name or not storage.exists(storage.join(root, MARKER)):
        root, name = address, ""
    workspace = Workspace(root)
    if not storage.exists(workspace.path(MARKER)):
        raise InputError(f"{root}: not a textmill workspace; give the folder that was --out of a run")
    names = workspace.run_names()
    if not names:
        raise InputError(f"{root}: a workspace without runs; `textmill run` makes one")
    return workspace, workspace.load_run(name or names[0])


def is_run(address: str) -> bool:
    """Whether ``address`` is meant for `open_run`: a workspace, or ``WORKSPACE:NAME``."""
    return any(storage.exists(storage.join(root, MARKER)) for root in (address, address.rpartition(":")[0]) if root)


def tokens_folder(address: str) -> str:
    """The folder of token shards of a run (as in `open_run`), or ``address`` itself. Errors: those of `open_run`."""
    if not is_run(address):
        return address
    workspace, run = open_run(address)
    if "tokens" not in run.stages:
        raise InputError(f"{address}: run {run.name} has no tokens; `textmill run {run.dag} --to tokens` makes them")
    return workspace.path(run.stages["tokens"])
