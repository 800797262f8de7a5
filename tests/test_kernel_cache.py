"""The cache of compiled kernels: what a kernel calls, and the constants it reads, may lie in other files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from textmill import bits
from textmill.kernel_cache import digest_of

CALLEE = """
from enum import Enum
from typing import NamedTuple
import numpy as np
from numba.core import types
from numba.extending import intrinsic
from textmill.bits import glue, inlined, kernel, leaf

class Pair(NamedTuple):
    first: int
    second: int

class Choice(Enum):
    ONE = 1

NUMBER, TABLE, TEXT, PAIR = 1, np.arange(3), "a", Pair(1, 1)

@leaf
def leaf_of(x):
    return 1 + x

@kernel
def deep(x):
    return leaf_of(x)

@glue
def written_in(x):
    return 1 + x

def constant(context, builder):
    return context.get_constant(types.int64, 1)

@intrinsic
def by_intrinsic(typing_context):
    return types.int64(), lambda context, builder, *rest: constant(context, builder)

def made(y):
    @inlined
    def add(x):
        return x + y
    return add

added = made(1)
"""
CALLER = """
from lib import callee
from lib.callee import NUMBER, PAIR, TABLE, TEXT, Choice, added, by_intrinsic, deep, written_in
from textmill.bits import kernel

{functions}
"""
BODIES = {
    "called": "deep(0)",
    "in_module": "callee.leaf_of(0)",
    "written": "written_in(0)",
    "intrinsic": "by_intrinsic()",
    "closure": "added(0)",
    "number": "NUMBER",
    "table": "TABLE[1]",
    "text": "ord(TEXT) - 96",
    "named": "PAIR.first",
    "fields": "callee.Pair(1, 2).first",
    "enum": "Choice.ONE.value",
}
CHANGES = {
    "return 1 + x": "return 2 + x",
    "types.int64, 1": "types.int64, 2",
    "made(1)": "made(2)",
    "first: int\n    second: int": "second: int\n    first: int",
    "ONE = 1": "ONE = 2",
    '1, np.arange(3), "a", Pair(1, 1)': '2, np.arange(1, 4), "b", Pair(1, 2)',
}
SHOW = f"""
from lib import caller
kernels = [getattr(caller, name) for name in {list(BODIES)}]
print(*(kernel() for kernel in kernels), sum(sum(kernel.stats.cache_hits.values()) for kernel in kernels))
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "lib"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "callee.py").write_text(CALLEE)
    functions = "\n\n".join(f"@kernel\ndef {name}():\n    return {body}" for name, body in BODIES.items())
    (folder / "caller.py").write_text(CALLER.format(functions=functions))
    return folder


def shown(package: Path) -> list[int]:
    """The values of `BODIES` in a new process, and how many of them needed no compiling."""
    done = subprocess.run([sys.executable, "-c", SHOW], cwd=package.parent, capture_output=True, text=True, check=True)
    return [int(word) for word in done.stdout.split()]


def test_a_change_in_another_file_is_seen_by_the_next_process(package: Path) -> None:
    n = len(BODIES)
    assert shown(package) == [1] * n + [0]
    assert shown(package) == [1] * n + [n]
    text = CALLEE
    for old, new in CHANGES.items():
        assert old in text
        text = text.replace(old, new)
    (package / "callee.py").write_text(text)
    assert shown(package) == [2] * n + [0]
    assert shown(package) == [2] * n + [n]
    (package / "callee.py").write_text(text + "\n# a comment\n\n@kernel\ndef another():\n    return 1\n")
    assert shown(package) == [2] * n + [n]


def test_code_of_an_earlier_version_does_not_run_under_a_newer_index(package: Path) -> None:
    """Another process, or a kill, may come between the writing of the two."""
    n = len(BODIES)
    shown(package)
    earlier = {path: path.read_bytes() for path in package.glob("__pycache__/caller*.nbc")}
    text = CALLEE
    for old, new in CHANGES.items():
        text = text.replace(old, new)
    (package / "callee.py").write_text(text)
    shown(package)
    for path, data in earlier.items():
        path.write_bytes(data)
    assert len(earlier) == n
    assert shown(package) == [2] * n + [0]
    assert shown(package) == [2] * n + [n]


@pytest.mark.parametrize("damage", [b"", b"garbage"])
@pytest.mark.parametrize("ending", ["nbi", "nbc"])
def test_what_is_damaged_is_compiled_anew(package: Path, ending: str, damage: bytes) -> None:
    n = len(BODIES)
    shown(package)
    for path in package.glob(f"__pycache__/caller*.{ending}"):
        path.write_bytes(damage)
    assert shown(package) == [1] * n + [0]
    assert shown(package) == [1] * n + [n]


def test_how_a_kernel_is_compiled_is_a_part_of_its_stamp(package: Path) -> None:
    how = "from textmill.kernel_cache import compiled\nkernel = compiled({})\n"
    (package / "made.py").write_text(how.format("nogil=True"))
    caller = package / "caller.py"
    caller.write_text(caller.read_text().replace("textmill.bits", "lib.made"))
    n = len(BODIES)
    shown(package)
    assert shown(package) == [1] * n + [n]
    (package / "made.py").write_text(how.format("boundscheck=True"))
    assert shown(package) == [1] * n + [0]


def test_where_the_cache_cannot_be_written_kernels_run(package: Path) -> None:
    full = "import errno, os\ndef replace(*names):\n    raise OSError(errno.ENOSPC, 'full')\nos.replace = replace\n"
    command = [sys.executable, "-c", full + SHOW]
    done = subprocess.run(command, cwd=package.parent, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1"] * len(BODIES) + ["0"]


def function(source: str, **names: Any) -> Any:
    space = {"__name__": "lib.module", **vars(bits), **names}
    exec(source, space)
    return space["f"]


def test_a_digest_is_that_of_what_is_read() -> None:
    called = function("@leaf\ndef f(x):\n    return x")
    source = "def f(x):\n    return g(x) + C"
    first = digest_of(function(source, g=called, C=1))
    assert first == digest_of(function(source, g=function("@leaf\ndef f(x):\n    return x"), C=1, D=2))
    others = [
        function(source, g=called, C=True),
        function(source, g=called, C=1.0),
        function(source, g=called, C=np.uint64(1)),
        function(source, g=called, C=np.int64(1)),
        function(source, g=called, C=np.ones(1, np.int8)),
        function(source, g=called, C=np.ones(1, np.uint8)),
        function(source, g=called, C=np.ones((1, 1), np.uint8)),
        function(source, g=called, C=(1,)),
        function(source, g=function("@leaf\ndef f(x):\n    return -x"), C=1),
        function(source, g=function("@inner\ndef f(x):\n    return x"), C=1),
        function(source, g=function("@leaf\ndef f(x, y=2):\n    return x"), C=1),
        function(source.replace("C", "D"), g=called, D=1),
        function(source.replace("+", "-"), g=called, C=1),
    ]
    digests = [first, *map(digest_of, others)]
    assert len(set(digests)) == len(digests)


def test_functions_that_call_each_other_have_digests() -> None:
    source = "@leaf\ndef f(x):\n    return g(x)\n@leaf\ndef g(x):\n    return f(x - 1) if x > {} else x"
    assert digest_of(function(source.format(0)).py_func) != digest_of(function(source.format(1)).py_func)


ALL = """
import hashlib, importlib, pkgutil, sys
import textmill.dedup, textmill.filters, textmill.pipeline.extraction, textmill.tokenize
from numba.core.dispatcher import Dispatcher
from textmill.kernel_cache import digest_of
for package in (textmill.dedup, textmill.filters, textmill.pipeline.extraction, textmill.tokenize):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if ".train" not in module.name:
            importlib.import_module(module.name)
modules = [module for name, module in sys.modules.items() if name.startswith("textmill")]
kernels = {v.py_func for module in modules for v in vars(module).values() if isinstance(v, Dispatcher)}
print(len(kernels), hashlib.sha256("".join(sorted(map(digest_of, kernels))).encode()).hexdigest())
"""


def test_digests_of_all_kernels_are_the_same_in_every_process() -> None:
    """Else nothing would ever be found in the cache."""
    shown = []
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", ALL], env=environment, capture_output=True, text=True, check=True)
        shown.append(done.stdout.split())
    assert shown[0] == shown[1]
    assert int(shown[0][0]) > 500
