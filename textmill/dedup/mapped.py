"""Tables on disk whose rows are read by document id, in any order.

A file is Arrow's IPC format, uncompressed: batches of rows, ids ascending. It is mapped into memory and read in place,
so the system decides what stays there, and reading one row costs one row. Files that are not local are read whole.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textmill import storage
from textmill.errors import InputError, InvariantError

ROW_BITS = 32  # of a place: batch << 32 | row


class MappedRows:
    """The rows of several files of one schema, whose ids ascend from file to file; the first column is ``doc_id``.

    Errors: `InputError` for a file that is damaged, as far as it can be seen without reading it all.
    """

    def __init__(self, uris: Sequence[str], schema: pa.Schema) -> None:
        files = [(uri, batch) for uri in uris for batch in _read(uri, schema)]
        self._uris, self.batches = [uri for uri, _ in files], [batch for _, batch in files]
        self._ids = [batch.column(0).to_numpy() for batch in self.batches]
        self._first = np.array([ids[0] for ids in self._ids], np.uint64)

    def find(self, doc_ids: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The place of each document: batch << 32 | row. Errors: `InvariantError` for one that is not there."""
        batch = np.searchsorted(self._first, doc_ids, "right") - 1
        places = np.empty(len(doc_ids), np.int64)
        for number in np.unique(batch).tolist():
            of_batch = np.flatnonzero(batch == number)
            ids = self._ids[number] if number >= 0 else np.empty(0, np.uint64)
            row = np.searchsorted(ids, doc_ids[of_batch])
            if (row == len(ids)).any() or (ids[row] != doc_ids[of_batch]).any():
                raise InvariantError("a document of a pair is not on file")
            places[of_batch] = number << ROW_BITS | row
        return places

    def damaged(self, number: int) -> InputError:
        """What to raise when a batch is found to be damaged."""
        return InputError(f"{self._uris[number]}: damaged; delete it, and its task runs again")


def by_batch(places: NDArray[np.int64]) -> list[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
    """For each batch that places are in: its number, which places these are, and their rows in it."""
    batch, row = places >> ROW_BITS, places & ((1 << ROW_BITS) - 1)
    parts = ((number, np.flatnonzero(batch == number)) for number in np.unique(batch).tolist())
    return [(number, of_batch, row[of_batch]) for number, of_batch in parts]


def _read(uri: str, schema: pa.Schema) -> list[pa.RecordBatch]:
    """The batches of a file that are not empty. Errors: `InputError` when it is damaged."""
    try:
        if storage.is_local(uri):
            file = pa.ipc.open_file(pa.memory_map(os.fspath(storage.local_path(uri))))
        else:
            with storage.open_read(uri) as stream:
                file = pa.ipc.open_file(pa.py_buffer(stream.read()))
        batches = [file.get_batch(i) for i in range(file.num_record_batches)]
        for batch in batches:
            batch.validate()
            if batch.schema != schema or any(column.null_count for column in batch.columns):
                raise pa.ArrowInvalid("other columns than were written")
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the machine's fault, not the file's
            raise
        raise InputError(f"{uri}: damaged ({error}); delete it, and its task runs again") from error
    return [batch for batch in batches if batch.num_rows]
