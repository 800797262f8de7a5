"""What processes set for themselves, and what a guarded child leaves alone."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from textmill.pipeline.executors import Dask
from textmill.process import COLLECT_AFTER, lean


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    os.environ.pop("OPENBLAS_NUM_THREADS", None)  # which `lean` has set; monkeypatch restores what was there


def test_lean_keeps_what_the_user_has_set(monkeypatch: pytest.MonkeyPatch) -> None:
    lean()
    assert gc.get_threshold()[0] == COLLECT_AFTER and os.environ["OPENBLAS_NUM_THREADS"] == "1"
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    lean()
    assert os.environ["OPENBLAS_NUM_THREADS"] == "7"


def test_numpy_starts_no_threads() -> None:
    script = "from textmill.process import lean; lean(); import numpy, os; print(len(os.listdir('/proc/self/task')))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1"]


def test_a_worker_is_lean() -> None:
    executor = Dask(1)
    try:
        assert {threshold[0] for threshold in executor._connect().run(gc.get_threshold).values()} == {COLLECT_AFTER}
    finally:
        executor.close()


def test_a_guarded_child_imports_what_it_needs_and_no_more() -> None:
    script = (
        "import sys, textmill.pipeline.serve, textmill.pipeline.stages.pages;"
        "print([name for name in sys.modules if name.startswith(('textmill.dedup', 'textmill.tok', 'textmill.train'))])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
