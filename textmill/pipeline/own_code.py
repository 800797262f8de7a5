"""People's own code: the files that DAGs come from, and the scorers, editors and stages that are defined in them.

Each process that meets a class of such a file imports the file, by its absolute path: a Dask worker or a report as well
as the command that was given the file. Modules beside the file can be imported as from a script.

The source of a class belongs to its identity, with all that it uses of its file: a scorer that is changed measures
anew, and changing the DAG beside it measures nothing anew. What it uses of other files is not looked at; `version` is
for that.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from textmill.errors import EnvironmentFault, InputError, InvariantError, UserError

_FOLDERS: set[Path] = set()  # of the files that were imported
_SOURCES: dict[Path, bytes] = {}  # of the files that were imported
_NAMED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def load_file(path: Path) -> ModuleType:
    """The module in a file, imported once a process. Errors: `InputError`."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    return _import(path.resolve())


@functools.cache
def _import(path: Path) -> ModuleType:
    _FOLDERS.add(path.parent)
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    name = _module_name(path)
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None:
        raise InputError(f"{path}: not a Python file")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # where dataclasses look for it
    _SOURCES[path] = path.read_bytes()
    try:
        with _mistakes_told(path):
            exec(compile(_SOURCES[path], path, "exec"), vars(module))
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _module_name(path: Path) -> str:
    """What ``import`` would call the file, so that no class of it is there twice; else what no other module is called.

    The second is for a file called as a module of another place, or as no module can be.
    """
    importlib.invalidate_caches()  # the file may be new
    with contextlib.suppress(ValueError):  # __main__
        spec = importlib.util.find_spec(path.stem) if path.stem.isidentifier() else None
        if spec and spec.origin and Path(spec.origin).resolve() == path:
            return path.stem
    return f"{path.stem}_{hashlib.blake2b(bytes(path), digest_size=8).hexdigest()}"


@contextlib.contextmanager
def _mistakes_told(path: Path) -> Iterator[None]:
    try:
        yield
    except SyntaxError as error:
        raise InputError(f"{error.filename or path}: line {error.lineno}: {error.msg}") from error
    except ImportError as error:
        raise InputError(f"{path}: {error}") from error
    except SystemExit as error:
        raise InputError(f"{path}: ends the process when it is imported; guard that by __name__") from error


def class_name(kind: type) -> str:
    """What `find_class` finds a class by: ``module:Class``, or ``/path/file.py:Class``. Errors: `UserError`."""
    if "<locals>" in kind.__qualname__:
        raise UserError(f"class {kind.__name__} is defined within a function; move it to the top of its file")
    return f"{file_of(kind) or kind.__module__}:{kind.__qualname__}"


def find_class(name: str) -> Any:
    """The dataclass of this name. Errors: `EnvironmentFault` if it is not here, `InvariantError` if it is none."""
    place, _, qualname = name.rpartition(":")
    try:
        module = load_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
        found = getattr(module, qualname)
    except InputError as error:
        raise EnvironmentFault(f"{error}; {qualname} is defined in it, and every machine needs it there") from error
    except (ImportError, AttributeError) as error:
        raise EnvironmentFault(f"class {name!r} cannot be imported here: {error}") from error
    if not is_dataclass(found):
        raise InvariantError(f"{name} is not a dataclass")
    return found


def file_of(defined: type | Callable[..., object]) -> Path | None:
    """The file that a class or a function is defined in, if that is a DAG's or lies beside one."""
    file = getattr(sys.modules.get(defined.__module__), "__file__", None)
    path = Path(file).resolve() if file else None
    return path if path and path.parent in _FOLDERS else None


def source_of(file: Path) -> bytes:
    """What a file held when it was imported; it may have been edited since."""
    return _SOURCES.get(file) or file.read_bytes()


@functools.cache
def source_digest(kind: type) -> str:
    """16 hex digits of the source of a class and of what it uses of its file; "" for a class of an installed package.

    Comments, docstrings and layout do not count.
    """
    file = file_of(kind)
    if file is None:
        return ""
    definitions = _definitions(ast.parse(source_of(file)))
    reached: dict[str, str] = {}
    waiting = [kind.__qualname__.partition(".")[0], "*"]  # what ``import *`` brings has no names
    while waiting:
        name = waiting.pop()
        if name in definitions and name not in reached:
            reached[name] = "\n".join(map(ast.unparse, definitions[name]))
            waiting += (n.id for node in definitions[name] for n in ast.walk(node) if isinstance(n, ast.Name))
    return hashlib.blake2b("\n".join(reached[name] for name in sorted(reached)).encode(), digest_size=8).hexdigest()


def _definitions(module: ast.Module) -> dict[str, list[ast.stmt]]:
    """The statements that give each name of a module its value."""
    found: dict[str, list[ast.stmt]] = {}
    for statement in module.body:
        _drop_docstrings(statement)
        for name in _names(statement):
            found.setdefault(name, []).append(statement)
    return found


def _names(node: ast.AST) -> Iterator[str]:
    """What a statement of a module binds or changes: ``a`` by ``a = 1``, ``a["b"] = 1``, ``a.append(1)``, ``f(a)``."""
    if isinstance(node, _NAMED):
        yield node.name
        return  # what is bound within is local
    match node:
        case ast.alias(name=name, asname=other):
            yield (other or name).partition(".")[0]
        case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
            yield name
        case ast.Name(ctx=ast.Store()) | ast.Attribute(ctx=ast.Store()) | ast.Subscript(ctx=ast.Store()):
            yield from _root(node)
        case ast.Expr(value=ast.Call(func=function, args=arguments)):
            for changed in (function, *arguments):
                yield from _root(changed)
    for child in ast.iter_child_nodes(node):
        yield from _names(child)


def _root(node: ast.AST) -> Iterator[str]:
    """``a`` of ``a``, ``a.b`` and ``a[0].b``; nothing of what is no such thing."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    if isinstance(node, ast.Name):
        yield node.id


def _drop_docstrings(statement: ast.stmt) -> None:
    for node in ast.walk(statement):
        if isinstance(node, _NAMED) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
