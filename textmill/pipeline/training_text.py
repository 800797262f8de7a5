"""Counting the pretokens of what people have: plain text, Parquet, JSON lines, folders of these, and runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from itertools import groupby

from textmill import storage
from textmill.errors import InputError
from textmill.pipeline.rows import TextFile, find_text_files
from textmill.tokenize.pretokens.count import TALLY_BYTES, PretokenCounts, add_counts, count_files, count_texts

PLAIN = (".txt", ".text", ".md")


class Sources:
    """Files to count, in the order given.

    Of plain text (UTF-8, a name in `PLAIN`) each file is one text; of the others each row is, in ``column``. Errors:
    `InputError` for what is not there.
    """

    def __init__(self, addresses: Sequence[str], column: str = "text") -> None:
        self._groups: list[list[str] | list[TextFile]] = []
        for plain, together in groupby(addresses, key=_is_plain):
            names = list(together)
            self._groups.append(names if plain else find_text_files(names, column))
        self._uris = [file if isinstance(file, str) else file.uri for group in self._groups for file in group]
        self.n_bytes = sum(map(_size, self._uris))  # of the files as they lie there

    def holds(self, uri: str) -> bool:
        """Whether ``uri`` is one of the files."""
        return storage.absolute(uri) in map(storage.absolute, self._uris)

    def count(
        self, special_tokens: Sequence[str], pattern: str, on_bytes: Callable[[int], None] = lambda _: None
    ) -> PretokenCounts:
        """The pretokens of all. ``on_bytes`` hears how many more of `n_bytes` are done."""
        parts = self._parts(special_tokens, pattern, on_bytes)
        if len(self._uris) == 1:
            return next(parts)
        return add_counts(_one_after_the_other(parts))

    def _parts(
        self, special_tokens: Sequence[str], pattern: str, on_bytes: Callable[[int], None]
    ) -> Iterator[PretokenCounts]:
        n_threads = len(os.sched_getaffinity(0))

        def count_one(file: TextFile) -> PretokenCounts:
            texts = (batch.text for batch in file.batches())
            counts = count_texts(texts, special_tokens, pattern=pattern, max_bytes=TALLY_BYTES // n_threads)
            on_bytes(_size(file.uri))
            return counts

        for group in self._groups:
            if isinstance(group[0], str):
                yield count_files([str(name) for name in group], special_tokens, pattern=pattern, on_bytes=on_bytes)
                continue
            with ExitStack() as stack:
                pool = stack.enter_context(ThreadPoolExecutor(n_threads))
                stack.callback(pool.shutdown, cancel_futures=True)  # after Ctrl-C, only what is at work is waited for
                yield from pool.map(count_one, group)


def _one_after_the_other(parts: Iterator[PretokenCounts]) -> Iterator[PretokenCounts]:
    """The parts with places that are larger than those of the parts before."""
    first_place = 0
    for part in parts:
        yield replace(part, places=part.places + first_place)
        first_place += int(part.places.max(initial=-1)) + 1


def _is_plain(address: str) -> bool:
    """Errors: `InputError` for plain text that is packed."""
    if address.endswith(tuple(f"{ending}.gz" for ending in PLAIN)):
        raise InputError(f"{address}: plain text must be unpacked first: gunzip --keep {address}")
    return address.endswith(PLAIN)


def _size(uri: str) -> int:
    if not storage.exists(uri):
        raise InputError(f"{uri}: no such file, folder or run")
    return storage.size(uri)
