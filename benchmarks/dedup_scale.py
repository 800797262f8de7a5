"""Bands to keepers at size: simulated signatures with known duplicates, through the stages that a run goes through.

    python benchmarks/dedup_scale.py --documents 1 5 20 --out /tmp/scale            # in millions
    python benchmarks/dedup_scale.py --documents 20 --one-cluster .1 --out /tmp/scale

Documents are not made, only their band hashes: a share of them is in clusters of 2 to 9, whose members agree in a band
with the probability that two documents of similarity .85 have. ``--one-cluster`` puts that share of all documents into
one cluster whose members are all equal. Prints, for each size, wall and CPU seconds and the largest resident memory of
all processes together, by stage; and whether the clusters found are those that were put in.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent))
os.environ["PYTHONPATH"] = os.pathsep.join([sys.path[0], os.environ.get("PYTHONPATH", "")])  # for the workers

from textmill import storage
from textmill.pipeline.executors import make_executor
from textmill.pipeline.runner import ShardReport, run_pipeline
from textmill.pipeline.stage import Result, Stage, Task, one_table
from textmill.pipeline.stages.duplicates import Candidates, Clusters
from textmill.pipeline.stages.keepers import Keepers
from textmill.pipeline.stages.scores import DOC_ID, Decide
from textmill.pipeline.stages.signatures import BANDS, Signatures, binary_column, sorted_bands, write_bands
from textmill.pipeline.workspace import Run, Workspace

SIMILARITY = 0.85
LARGEST_CLUSTER = 9


@dataclass(frozen=True)
class Simulated(Stage):
    """Which documents there are. Document i has id ``(i % n_shards) << 32 | i // n_shards``."""

    table = "documents"

    n_documents: int
    n_shards: int
    in_clusters: float
    one_cluster: float

    def shards(self) -> list[str]:
        return [f"{i:05d}" for i in range(self.n_shards)]

    def run_shard(self, task: Task) -> Result:
        with storage.TableWriter(task.table(), pa.schema([DOC_ID])) as writer:
            ids, _ = self.documents(int(task.shard))
            writer.write(pa.table([pa.array(ids)], schema=pa.schema([DOC_ID])))
        return one_table(writer, {"rows_in": writer.rows, "rows_out": writer.rows})

    def documents(self, shard: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Ids of the documents of a shard, and the smallest document of the cluster of each."""
        number = np.arange(shard, self.n_documents, self.n_shards, dtype=np.uint64)
        return self.ids(number), self.cluster(number)

    def ids(self, number: NDArray[np.uint64]) -> NDArray[np.uint64]:
        n = np.uint64(self.n_shards)
        return number % n << np.uint64(32) | number // n

    def cluster(self, number: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """The first document of the cluster: all of the huge one, then runs of 2 to 9, then singles."""
        huge = np.uint64(self.one_cluster * self.n_documents)
        size = mix(number // np.uint64(LARGEST_CLUSTER)) % np.uint64(LARGEST_CLUSTER - 1) + np.uint64(2)
        first = number - number % np.uint64(LARGEST_CLUSTER)
        in_run = (number - first < size) & (
            number < np.uint64((self.one_cluster + self.in_clusters) * self.n_documents)
        )
        return np.where(number < huge, np.uint64(0), np.where(in_run & (first >= huge), first, number))


def mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    value = (value ^ (value >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    value = (value ^ (value >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return value ^ (value >> np.uint64(33))


@dataclass(frozen=True)
class SimulatedSignatures(Signatures):
    """Band hashes of simulated documents: the cluster's own hash, or with some probability one of the document."""

    def run_shard(self, task: Task) -> Result:
        source = self.documents
        assert isinstance(source, Simulated)
        ids, cluster = source.documents(int(task.shard))
        equal = cluster == 0
        agrees = np.uint64(SIMILARITY ** (self.minhash.rows / 2) * 2**32)  # with the cluster's; both must
        hashes = np.empty((len(ids), len(self.sections)), np.uint64)
        for i in range(len(self.sections)):
            salt = np.uint64((i + 1) << 40)
            own = mix(mix(ids + np.uint64(1)) ^ salt)
            shared = (own >> np.uint64(32) < agrees) & (i < self.minhash.bands) | equal
            hashes[:, i] = np.where(shared, mix(mix(cluster + np.uint64(1)) + salt), mix(own))
        path = task.scratch / f"{task.shard}{BANDS}"
        n = write_bands(path, self, [(ids, hashes)])
        with storage.TableWriter(task.table(), self.schema) as writer:
            n_bytes = (mix(ids) % np.uint64(20_000)).astype(np.int32)
            date = pa.array(np.full(len(ids), "2026-01-01T00:00:00Z"))
            columns = [pa.array(ids), date, pa.array(n_bytes // 5), pa.array(n_bytes), pa.array(hashes[:, -1])]
            sketches = np.ascontiguousarray(hashes[:, : self.minhash.bands]).view(np.uint8)  # some bytes
            columns += [pa.array(hashes[:, -1]), binary_column(sketches[:, : self.minhash.permutations])]
            writer.write(pa.table(columns, schema=self.schema))
        rows = {path.name: n, writer.path.name: writer.rows}
        return Result({path.name: path, writer.path.name: writer.path}, rows, {})


@dataclass(frozen=True)
class SimulatedDecisions(Decide):
    """Every second document passes, and every tenth shard has none."""

    def __post_init__(self) -> None:
        Stage.__post_init__(self)

    def shards(self) -> list[str]:
        return self.scores.shards()

    def run_shard(self, task: Task) -> Result:
        ids = storage.read_table(task.file(self.scores, task.shard))["doc_id"].combine_chunks()
        keep = pa.array(mix(ids.to_numpy() ^ np.uint64(77)) % np.uint64(2) == 0)
        with storage.TableWriter(task.table(), self.schema) as writer:
            writer.write(pa.table([ids, keep], schema=self.schema))
        return one_table(writer, {})


class Watch:
    """Progress of a run: seconds and CPU seconds by stage, and the peak of resident memory meanwhile."""

    def __init__(self) -> None:
        self.stages: dict[str, dict[str, float]] = {}
        self._peak = 0

    def start(self, stage: Stage, n_shards: int, n_done: int) -> None:
        self._peak = 0

    def advance(self, stage: Stage, report: ShardReport) -> None:
        pass

    def inside(self, stage: Stage, done: int, total: int, note: str) -> None:
        pass

    def finish(self, stage: Stage, totals: Mapping[str, int], n_run: int, seconds: float) -> None:
        self.stages[stage.name] = {"wall_s": round(seconds, 1), "peak_gb": round(self._peak / 1e9, 2)}

    @contextmanager
    def memory(self) -> Iterator[None]:
        """Samples the memory of this process and all its children; shared pages count once (PSS)."""
        import psutil

        over = threading.Event()

        def sample() -> None:
            me = psutil.Process()
            while not over.wait(0.25):
                total = 0
                for process in [me, *me.children(recursive=True)]:
                    try:
                        total += process.memory_full_info().pss
                    except psutil.Error:
                        continue
                self._peak = max(self._peak, total)

        thread = threading.Thread(target=sample)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def pipeline(n_documents: int, options: argparse.Namespace) -> Keepers:
    n_shards = max(2, n_documents // options.per_shard)
    documents = Simulated(n_documents, n_shards, options.in_clusters, options.one_cluster)
    signatures = SimulatedSignatures(documents)
    clusters = Clusters(Candidates(sorted_bands(signatures), chain=False))
    return Keepers(signatures, SimulatedDecisions(documents, ()), clusters)  # type: ignore[arg-type]


def check(workspace: Workspace, keepers: Keepers) -> dict[str, float]:
    """How many documents with copies are in the cluster that they were put in."""
    documents = keepers.signatures.documents
    assert isinstance(documents, Simulated)
    (uri,) = workspace.tables(keepers.clusters.folder)
    table = pq.read_table(uri, columns=["doc_id", "cluster"])
    ids, roots = (column.to_numpy() for column in table.columns)
    number = (ids & np.uint64(0xFFFFFFFF)) * np.uint64(documents.n_shards) + (ids >> np.uint64(32))
    root_number = (roots & np.uint64(0xFFFFFFFF)) * np.uint64(documents.n_shards) + (roots >> np.uint64(32))
    wrong = documents.cluster(number) != documents.cluster(root_number)
    all_numbers = np.arange(documents.n_documents, dtype=np.uint64)
    cluster = documents.cluster(all_numbers)
    n_expected = int((np.bincount(cluster.astype(np.int64), minlength=1)[cluster.astype(np.int64)] > 1).sum())
    return {"members": len(ids), "in_a_wrong_cluster": int(wrong.sum()), "put_in_clusters": n_expected}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=float, nargs="+", default=[1.0], help="millions")
    parser.add_argument("--in-clusters", type=float, default=0.5, help="share of documents in runs with copies")
    parser.add_argument("--one-cluster", type=float, default=0.0, help="share of documents that are all equal")
    parser.add_argument("--per-shard", type=int, default=40_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    for millions in options.documents:
        n = int(millions * 1e6)
        root = options.out / f"{n}-{options.one_cluster}"
        shutil.rmtree(root, ignore_errors=True)
        workspace = Workspace(str(root))
        workspace.create()
        target = pipeline(n, options)
        watch = Watch()
        executor = make_executor(options.workers, None, serial=options.workers == 0)
        stages = {stage.name: stage.folder for stage in target.ancestry()}
        with watch.memory():
            run_pipeline(Run("scale", "scale", [], stages, {}), target, workspace, executor, watch)
            executor.close()
        for name, folder in stages.items():
            reports = Path(root, folder).glob("*.stats.json")
            watch.stages[name]["cpu_s"] = round(sum(json.loads(path.read_text())["cpu_s"] for path in reports), 1)
        ours = [name for name in watch.stages if name not in ("documents", "signatures", "decisions")]
        total = {key: round(sum(watch.stages[name][key] for name in ours), 1) for key in ("wall_s", "cpu_s")}
        per = 1e6 * total["cpu_s"] / n
        peak = max(watch.stages[name]["peak_gb"] for name in ours)
        print(json.dumps({"documents": n, **total, "cpu_us_per_document": round(per, 2), "peak_gb": peak}))
        print(json.dumps(watch.stages))
        print(json.dumps(check(workspace, target)), flush=True)
        shutil.rmtree(root)


if __name__ == "__main__":
    import dedup_scale  # by its name, so that workers find its stages

    dedup_scale.main()
