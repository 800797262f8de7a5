"""The account of losses of a run: files without a record, and stretches of archives that could not be read."""

from __future__ import annotations

from typing import Any

from textmill.pipeline.finished import FinishedRun
from textmill.pipeline.stages.pages import Extract

FAULTS = "faults_"


def losses_of(run: FinishedRun) -> dict[str, Any] | None:
    """Lost files by name, and the damage by what is wrong, the most frequent first; None before anything was read."""
    pages = run.one(Extract)
    if pages is None:
        return None
    counts = run.counts(pages)
    lost = pages.lost_files({shard: manifest.counts for shard, manifest in run.manifests(pages).items()})
    faults = {name.removeprefix(FAULTS): n for name, n in counts.items() if name.startswith(FAULTS)}
    return {
        "n_files": len(pages.source.files),
        "lost_files": [{"file": uri, "fault": fault} for uri, fault in lost],
        "n_stretches": counts["status_bad_record"],
        "bytes": counts["damaged_bytes"],
        "of_bytes": counts["damaged_bytes"] + counts["read_bytes"],
        "faults": [
            {"fault": name.replace("_", " "), "n": n, "bytes": counts[f"fault_bytes_{name}"]}
            for name, n in sorted(faults.items(), key=lambda item: (-item[1], item[0]))
        ],
    }
