"""numba's cache on disk, for kernels that call kernels of other files.

numba keeps the machine code of a function together with that of all it calls, but then asks only whether the file of
the function itself is still the same. After a `git pull` or an upgrade that changes what a kernel calls, or a constant
that it reads, the old code would run on. Here a kernel's entry also says what it was made of: the bytecode of all
functions that it reaches, how these are compiled, and the values of the constants that they read.

That is taken from what lies in memory, which is what numba compiles, and not from files, which may have changed since
they were imported. Where the cache lies is numba's business. What cannot be read from it, or written to it, is compiled
anew.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Iterator
from enum import Enum
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numba
import numpy as np
from numba.core.caching import IndexDataCacheFile, NullCache
from numba.core.dispatcher import Dispatcher
from numba.core.extending import _Intrinsic

_PLAIN = (type(None), bool, int, float, complex, str, bytes, Enum)
_NUMPY = (np.ndarray, np.generic)


def compiled(**options: Any) -> Any:
    """``numba.njit(cache=True, **options)``, with a cache that sees changes in all that a function reaches."""
    jit: Any = numba.njit(**options)

    def decorate(function: FunctionType) -> Any:
        made = jit(function)
        if not numba.config.DISABLE_JIT:  # else it is the function itself
            made._cache = _Unopened(made)
        return made

    return decorate


class _Unopened(NullCache):
    """Opens numba's cache of a function when its machine code is first asked for. Before, modules that are still being
    imported may not have what it reaches; and what only kernels call needs none (80 us each, for 500 functions)."""

    def __init__(self, dispatcher: Any) -> None:
        self._dispatcher = dispatcher

    def load_overload(self, signature: Any, context: Any) -> Any:
        self._dispatcher.enable_caching()
        cache = self._dispatcher._cache
        stamp = cache._cache_file._source_stamp, _options(self._dispatcher), digest_of(self._dispatcher.py_func)
        cache._cache_file = _File(cache.cache_path, cache._impl.filename_base, stamp)
        return cache.load_overload(signature, context)


class _File(IndexDataCacheFile):
    """The files of a function: an index of its types, and the machine code for each.

    The index is written before the code that it names, which until then, or after a full disk, may be an earlier one.
    So the code has the stamp of its sources, too.
    """

    def load(self, key: Any) -> Any:
        try:
            stamp, data = super().load(key) or (None, None)
        except Exception:  # damaged: unpickling has any errors
            with contextlib.suppress(OSError):
                self.flush()
            return None
        return data if stamp == self._source_stamp else None

    def save(self, key: Any, data: Any) -> None:
        with contextlib.suppress(OSError):  # no room
            super().save(key, (self._source_stamp, data))


def digest_of(function: FunctionType) -> str:
    """Of all that the machine code of a function is made from; the same in every process."""
    contents: dict[FunctionType, str] = {}
    waiting = [function]
    while waiting:
        reached = waiting.pop()
        if reached not in contents:
            contents[reached], named = _content(reached)
            waiting += named
    return _hash("".join(sorted(contents.values())).encode())


@functools.cache
def _content(function: FunctionType) -> tuple[str, list[FunctionType]]:
    """What a function itself is made from, and which functions it names."""
    codes = [*_nested(function.__code__)]
    names = sorted({name for code in codes for name in code.co_names})
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    texts = [_name(function), *map(_instructions, codes)]
    named: list[FunctionType] = []
    package = _package_of(function)
    for value in (function.__defaults__, *cells, *_read(names, function)):
        for part in _parts(value, package):
            if isinstance(part, FunctionType):
                named.append(part)
            texts.append(_name(part) if isinstance(part, FunctionType) else part)
    return _hash("\n".join(texts).encode(errors="surrogatepass")), named


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _instructions(code: CodeType) -> str:
    constants = (constant for constant in code.co_consts if not isinstance(constant, CodeType))
    ordered = [sorted(map(repr, c)) if isinstance(c, frozenset) else c for c in constants]
    return f"{code.co_code.hex()} {code.co_names} {code.co_varnames} {code.co_freevars} {code.co_cellvars} {ordered}"


def _read(names: list[str], function: FunctionType) -> Iterator[Any]:
    """What the names in a function's code stand for, each behind its name; in modules and classes of its own, too."""
    known = function.__globals__
    for name in names:
        if name in known:
            value = known[name]
            yield from (name, value)
            if isinstance(value, ModuleType | type) and _package_of(value) == _package_of(function):
                yield from (getattr(value, other) for other in names if hasattr(value, other))


def _parts(value: Any, package: str) -> Iterator[str | FunctionType]:
    """Texts that are equal for equal values, and functions. Nothing for what belongs to numba, numpy and the like."""
    if isinstance(value, _NUMPY):
        yield f"{value.dtype.str} {value.shape} {_hash(b'' if value.dtype.hasobject else value.tobytes())}"
    elif isinstance(value, _PLAIN):
        yield f"{type(value).__name__} {value!r}"
    elif isinstance(value, tuple):
        yield f"{type(value).__name__} {getattr(value, '_fields', len(value))}"
        for item in value:
            yield from _parts(item, package)
    elif isinstance(value, FunctionType):  # what an intrinsic calls
        if _package_of(value) == package:
            yield value
    elif isinstance(value, Dispatcher):
        yield _options(value)
        yield value.py_func
    elif isinstance(value, _Intrinsic):
        yield value._defn
    elif isinstance(value, type) and issubclass(value, tuple):
        yield repr(getattr(value, "_fields", ()))


def _options(dispatcher: Any) -> str:
    return repr(sorted(dispatcher.targetoptions.items()))


def _package_of(thing: FunctionType | ModuleType | type) -> str:
    module = thing.__name__ if isinstance(thing, ModuleType) else thing.__module__
    return module.partition(".")[0]


def _name(function: FunctionType) -> str:
    return f"{function.__module__}.{function.__qualname__}"


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
