"""The architecture, read from the imports; and that a package called tokenize hides nobody's."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GROUND = {"textmill", "textmill.errors", "textmill.schema", "textmill.storage"}
GROUND |= {
    "textmill.text",
    "textmill.bits",
    "textmill.kernel_cache",
    "textmill.settings",
    "textmill.characters",
    "textmill.whitespace",
    "textmill.words",
    "textmill.pieces",
    "textmill.process",
    "textmill.treebank",
    "textmill.sentences",
}
READING = ("textmill.pipeline.reading", "textmill.pipeline.extraction", "textmill.pipeline.extract")
HEAVY_OWNERS = {
    "dask": {"textmill.pipeline.executors"},
    "datasketch": {"textmill.dedup.minhash"},
    "distributed": {"textmill.pipeline.executors"},
    "fasttext": {"textmill.pipeline.classify"},
    "fastwarc": {"textmill.pipeline.reading.http"},
    "backports": {"textmill.pipeline.reading.members"},
    "isal": {"textmill.pipeline.reading.members"},
    "lz4": {"textmill.pipeline.reading.members"},
    "numba": {"textmill.bits", "textmill.kernel_cache", "textmill.pipeline.extraction.trees"},  # `bits` has decorators
    "tldextract": set(),  # only its list is read
    "bokeh": set(),  # charts are SVG
    "warcio": {"textmill.simulate"},
    "urllib3": {"textmill.pipeline.sources.web"},
}


@functools.cache
def modules() -> dict[str, Path]:
    files = {
        f"textmill.{'.'.join(p.relative_to(ROOT / 'textmill').with_suffix('').parts)}": p
        for p in (ROOT / "textmill").rglob("*.py")
    }
    files |= {f"textmill.dags.{p.stem}": p for p in (ROOT / "dags").glob("*.py")}
    return {name.removesuffix(".__init__"): path for name, path in files.items()}


@functools.cache
def imports(path: Path) -> set[str]:
    """All imports of a file, those inside functions too, except what only a type checker reads."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def uses(name: str) -> set[str]:
    """The textmill modules that a module imports (names inside a module count as the module)."""
    known = modules()
    return {m for m in imports(known[name]) if m in known}


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


@pytest.mark.parametrize("name", sorted(modules()))
def test_layers(name: str) -> None:
    used = uses(name)
    if name in GROUND:
        allowed = GROUND
    elif within(name, *READING):
        allowed = GROUND | {m for m in used if within(m, *READING)}
    elif within(name, "textmill.filters", "textmill.dedup", "textmill.tokenize", "textmill.simulate"):
        own = ".".join(name.split(".")[:2])
        allowed = GROUND | {m for m in used if within(m, own)}
    elif within(name, "textmill.train"):
        allowed = GROUND | {m for m in used if within(m, "textmill.train", "textmill.tokenize")}
    elif within(name, "textmill.pipeline"):
        lower = ("textmill.pipeline", "textmill.filters", "textmill.dedup", "textmill.tokenize", "textmill.terminal")
        allowed = GROUND | {m for m in used if within(m, *lower)}
        if name == "textmill.pipeline.stages.model":
            allowed |= {m for m in used if within(m, "textmill.train")}
        if name == "textmill.pipeline.dag":
            allowed |= {"textmill.dags"}
    elif within(name, "textmill.dags"):
        allowed = {m for m in used if not within(m, "textmill.cli")} - {"textmill.pipeline.executors"}
    else:  # the command line and what it shows
        allowed = used
    assert used <= allowed, f"{name} may not import {sorted(used - allowed)}"


@pytest.mark.parametrize("package", sorted(HEAVY_OWNERS))
def test_a_heavy_package_has_one_owner(package: str) -> None:
    users = {name for name, path in modules().items() if any(within(m, package) for m in imports(path))}
    assert all(within(user, *HEAVY_OWNERS[package]) for user in users), users


def test_only_train_imports_torch() -> None:
    users = {name for name, path in modules().items() if any(within(m, "torch") for m in imports(path))}
    assert users and all(within(user, "textmill.train") for user in users), users


def test_tokenize_is_still_the_standard_librarys() -> None:
    import tokenize

    assert not Path(tokenize.__file__).is_relative_to(ROOT)
    assert tokenize.open


def test_importing_textmill_imports_nothing_heavy() -> None:
    heavy = ["numpy", "pyarrow", "numba", "torch", "dask", "distributed", "bokeh", "rich", "fasttext", "resiliparse"]
    code = f"import sys, textmill.cli; print([m for m in {heavy} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert shown.stdout.strip() == "[]"


def test_kernels_start_without_scipy_and_can_still_multiply_matrices() -> None:
    """numba imports scipy.linalg with the first kernel, which costs .3 s a process."""
    script = (
        "import sys, numba, numpy as np; from textmill.filters import gopher; gopher.passes('a text');"
        "print('scipy.linalg' in sys.modules); print(numba.njit(lambda a: np.dot(a, a))(2 * np.eye(2))[1, 1])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "4.0"]
