"""Many bytes at a time, for kernels: eight as a number, a mask of sixty-four, and the hash of a piece of text.

`load_eight` and `byte_mask` are operations that LLVM has and numba does not offer; they become a few vector
instructions. They read where they are told to: their callers see to it that the bytes exist. Numbers are taken to be
little-endian, as they are on x86-64 and ARM, so hashes are the same on both.

**The hash** of a piece starts from its length. Each step takes eight bytes more (zeros behind the last), by an
exclusive or, a multiplication and a shift, all of which can be undone: pieces of one length that differ in eight
aligned bytes only never collide. The factors are those of MurmurHash3's finalizer. An adversary can find collisions.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.imputils import impl_ret_borrowed
from numba.extending import intrinsic
from numba.np import linalg
from numpy.typing import NDArray

from textmill.kernel_cache import compiled

_Item = TypeVar("_Item", bound=np.generic)

FNV_BASIS = np.uint64(0xCBF29CE484222325)
FNV_PRIME = np.uint64(0x100000001B3)

# For what Python calls.
kernel = compiled(nogil=True)

# For what kernels call for a word or a line, and what makes no array. Without this, numba counts references to each
# array that such a function gets, with an atomic operation each time, unless it can prove that it need not.
leaf = compiled(nogil=True, _nrt=False, no_cfunc_wrapper=True)

# The same for what Python never calls (that would end the process): without the wrappers for it, a quarter of the time
# to compile is saved.
inner = compiled(nogil=True, _nrt=False, no_cfunc_wrapper=True, no_cpython_wrapper=True)

# For what makes arrays, and kernels alone call.
part = compiled(nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True)

# For what does little but to call others: numba writes it into its callers. As a function of its own it would have LLVM
# go through all that it calls once more.
glue = numba.njit(inline="always")

# As `inner`, but put into its callers: what is a few instructions long, and called for many bytes or every block, as a
# call hands on seven numbers for each array.
inlined = compiled(nogil=True, _nrt=False, no_cfunc_wrapper=True, no_cpython_wrapper=True, forceinline=True)


def _without_scipy() -> None:
    """Keep numba from importing scipy.linalg (.3 s) with the first kernel, to see whether it could multiply matrices.

    What a kernel of somebody else's loses by it is `numpy.cov`; `numpy.dot` asks again when it is needed.
    """
    ask = linalg.ensure_blas

    def refuse() -> None:
        raise ImportError

    linalg.ensure_blas = refuse
    try:
        from numba.np import arraymath
    finally:
        linalg.ensure_blas = ask
    arraymath.ensure_blas = ask


_without_scipy()

_SEED = np.uint64(0x9E3779B97F4A7C15)  # the fraction of the golden ratio
_FACTOR, _LAST_FACTOR = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
ALL_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)


def read_only(array: NDArray) -> NDArray:
    """A view that cannot be written through. To a kernel that is another type, so give it one kind always, and it is
    compiled once."""
    view = array.view()
    view.flags.writeable = False
    return view


def enlarged(array: NDArray[_Item], n_used: int, n: int) -> NDArray[_Item]:
    """Room for ``n`` rows, the first ``n_used`` of them those of ``array``."""
    larger = np.empty((n, *array.shape[1:]), array.dtype)
    larger[:n_used] = array[:n_used]
    return larger


def distinct(values: NDArray[_Item]) -> NDArray[_Item]:
    """The different ones of ``values``, ascending. `numpy.unique` does not sort 64-bit numbers but hashes them, at
    25 times the cost for a million of them."""
    ordered = np.sort(values)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]]


def hash_bytes(data: bytes) -> int:
    """The hash that `Spans.hash` holds for a piece of these bytes."""
    value = int(_SEED) ^ len(data)
    for i in range(0, len(data), 8):
        value = (value ^ int.from_bytes(data[i : i + 8], "little")) * int(_FACTOR) % 2**64
        value ^= value >> 32
    value = value * int(_LAST_FACTOR) % 2**64
    return value ^ value >> 33


@leaf
def hash_of(text: NDArray[np.uint8], start: int, end: int) -> np.uint64:
    """The hash of ``text[start:end]``."""
    return salted_hash(text, start, end, np.uint64(0))


@leaf
def salted_hash(text: NDArray[np.uint8], start: int, end: int, salt: np.uint64) -> np.uint64:
    """The same with a salt from the beginning on: pieces that were made to collide under one do not under another."""
    value = hash_begin(end - start) ^ salt
    for i in range(start, end, 8):
        value = hash_step(value, load(text, i, end))
    return hash_end(value)


@kernel
def hash_pieces(data: NDArray[np.uint8], bounds: NDArray[np.int64]) -> NDArray[np.uint64]:
    """The hash of each of the pieces ``data[bounds[i]:bounds[i + 1]]``."""
    hashes = np.empty(len(bounds) - 1, np.uint64)
    for i in range(len(hashes)):
        hashes[i] = hash_of(data, bounds[i], bounds[i + 1])
    return hashes


@leaf
def hash_begin(size: int) -> np.uint64:
    """The hash of a piece of so many bytes, none of which it has seen."""
    return _SEED ^ np.uint64(size)


@leaf
def hash_step(value: np.uint64, eight: np.uint64) -> np.uint64:
    """The hash with eight bytes more."""
    value = (value ^ eight) * _FACTOR
    return value ^ (value >> np.uint64(32))


@leaf
def hash_end(value: np.uint64) -> np.uint64:
    """The hash when all bytes are in it."""
    value *= _LAST_FACTOR
    return value ^ (value >> np.uint64(33))


@leaf
def load(text: NDArray[np.uint8], i: int, end: int) -> np.uint64:
    """The bytes from i to ``end``, at most eight, as a number; ``0 <= i < end <= len(text)``."""
    if i + 8 <= len(text):
        return load_eight(text, i) & (ALL_ONES >> np.uint64(64 - 8 * min(end - i, 8)))
    value = np.uint64(0)
    for k in range(end - i):
        value |= np.uint64(text[i + k]) << np.uint64(8 * k)
    return value


@intrinsic
def load_eight(typing_context: Any, text: Any, i: Any) -> Any:
    """``text[i:i + 8]`` as a number."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _load_as(context, builder, signature, arguments, ir.IntType(64))

    return types.uint64(text, types.intp), generate


@intrinsic
def byte_mask(typing_context: Any, text: Any, i: Any, low: Any, size: Any) -> Any:
    """Which of the 64 bytes from i on are at least ``low`` and less than ``low + size``: bit k for byte i + k."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sixty_four = ir.VectorType(ir.IntType(8), 64)
        found = _load_as(context, builder, signature, arguments, sixty_four)
        above = builder.sub(found, splat(builder, arguments[2], sixty_four))
        within = builder.icmp_unsigned("<", above, splat(builder, arguments[3], sixty_four))
        return builder.bitcast(within, ir.IntType(64))

    return types.uint64(text, types.intp, types.uint8, types.uint8), generate


@intrinsic
def equal_mask(typing_context: Any, text: Any, i: Any, bits: Any, byte: Any) -> Any:
    """Which of the 64 bytes from i on, with ``bits`` set in them, are ``byte``: 0x20 for letters in either case."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sixty_four = ir.VectorType(ir.IntType(8), 64)
        found = _load_as(context, builder, signature, arguments, sixty_four)
        found = builder.or_(found, splat(builder, arguments[2], sixty_four))
        equal = builder.icmp_unsigned("==", found, splat(builder, arguments[3], sixty_four))
        return builder.bitcast(equal, ir.IntType(64))

    return types.uint64(text, types.intp, types.uint8, types.uint8), generate


@intrinsic
def twin_mask(typing_context: Any, text: Any, i: Any, bits: Any) -> Any:
    """Which of the 64 bytes from i on equal the byte behind them, with ``bits`` set in both. 65 are read."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, at, _ = arguments
        sixty_four = ir.VectorType(ir.IntType(8), 64)
        behind = builder.add(at, ir.Constant(at.type, 1))
        both = [_load_as(context, builder, signature, (array, place), sixty_four) for place in (at, behind)]
        both = [builder.or_(found, splat(builder, arguments[2], sixty_four)) for found in both]
        return builder.bitcast(builder.icmp_unsigned("==", *both), ir.IntType(64))

    return types.uint64(text, types.intp, types.uint8), generate


@intrinsic
def as_number(typing_context: Any, mask: Any) -> Any:
    """A mask that LLVM no longer takes for 64 truths: where another branch gives another number, it would go through
    them one by one, at ten times the cost."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = ir.IntType(64)
        keep = ir.InlineAsm(ir.FunctionType(number, [number]), "", "=r,0")  # no instruction
        return builder.call(keep, arguments)

    return types.uint64(types.uint64), generate


@intrinsic
def as_read_only(typing_context: Any, array: Any) -> Any:
    """The array, for functions that only read it: to numba, one that can be written is another type, for which it would
    compile them once more."""
    kind = array.copy(readonly=True)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return impl_ret_borrowed(context, builder, kind, arguments[0])

    return kind(array), generate


@intrinsic
def copy_bytes(typing_context: Any, out: Any, n: Any, data: Any, start: Any, size: Any) -> Any:
    """Writes ``data[start:start + size]`` to ``out[n:]``; both may lie in one array, and overlap."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        to, into, source, begin, count = arguments
        target = builder.gep(context.make_array(signature.args[0])(context, builder, to).data, [into])
        origin = builder.gep(context.make_array(signature.args[2])(context, builder, source).data, [begin])
        cgutils.raw_memmove(builder, target, origin, count, 1)
        return context.get_dummy_value()

    return types.none(out, types.intp, data, types.intp, types.intp), generate


@intrinsic
def add_eight(typing_context: Any, total: Any, k: Any, values: Any, i: Any) -> Any:
    """Adds eight floats of a contiguous array, ``values.ravel()[i:i + 8]``, to ``total[k:k + 8]``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        eight = ir.VectorType(ir.FloatType(), 8)
        places = []
        for array, at in ((0, 1), (2, 3)):
            data = context.make_array(signature.args[array])(context, builder, arguments[array]).data
            places.append(builder.bitcast(builder.gep(data, [arguments[at]]), eight.as_pointer()))
        before, more = (builder.load(place, align=1) for place in places)
        builder.store(builder.fadd(before, more), places[0], align=1)
        return context.get_dummy_value()

    return types.none(total, types.intp, values, types.intp), generate


@intrinsic
def prefetch(typing_context: Any, array: Any, i: Any) -> Any:
    """Fetches what lies at ``array[i]`` (of a flat array) into the cache while other things are done."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        anything, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        address = builder.bitcast(builder.gep(data, [arguments[1]]), anything)
        signature_of = ir.FunctionType(ir.VoidType(), [anything, number, number, number])
        fetch = builder.module.declare_intrinsic("llvm.prefetch", [anything], signature_of)
        builder.call(fetch, [address, *(ir.Constant(number, n) for n in (0, 3, 1))])  # to read, to be kept, data
        return context.get_dummy_value()

    return types.none(array, types.intp), generate


@intrinsic
def count_ones(typing_context: Any, value: Any) -> Any:
    """The number of bits that are set."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


@intrinsic
def lowest_one(typing_context: Any, value: Any) -> Any:
    """The number of the lowest bit that is set, in a value that is not 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


@intrinsic
def highest_one(typing_context: Any, value: Any) -> Any:
    """The number of the highest bit that is set, in a value that is not 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        zeros = builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 1))
        return builder.sub(ir.Constant(ir.IntType(64), 63), zeros)

    return types.uint64(types.uint64), generate


def _load_as(context: Any, builder: Any, signature: Any, arguments: Any, kind: Any) -> Any:
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    address = builder.gep(array.data, [arguments[1]])
    loaded = builder.load(builder.bitcast(address, kind.as_pointer()))
    loaded.align = 1
    return loaded


def splat(builder: Any, value: Any, kind: Any) -> Any:
    """For intrinsics: a vector of this kind with the same value everywhere."""
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), [0] * kind.count)
    return builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), zeros)
