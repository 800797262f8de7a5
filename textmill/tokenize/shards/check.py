"""What a folder of token shards holds, and whether every byte of it is what its manifests say.

`verify` reads everything, in blocks. It looks for the place first (an id, a document, a row) and compares digests last,
so that its message says more than that some file has changed. `describe` reads offsets and two columns of the tables.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from textmill import storage
from textmill.errors import InputError
from textmill.tokenize.encoding.tokenizer import Tokenizer
from textmill.tokenize.shards.token_shards import (
    DOCUMENTS,
    SPLITS,
    TOKENIZER_FILE,
    TokenFormat,
    TokenShards,
    common_format,
    manifests_of,
    names,
)
from textmill.tokenize.shards.writer import hash_strings

BLOCK = 1 << 22  # tokens or offsets looked at together
PERCENTILES = (1, 25, 50, 75, 99)


def n_files(folder: str) -> int:
    """How many files `verify` reads."""
    return 3 * len(SPLITS) * len(manifests_of(folder))


def verify(folder: str, on_file: Callable[[int], object] = lambda n: None) -> dict[str, int]:
    """Read all files of the shards in ``folder``; the counts of all of them. ``on_file`` is told of each file read.

    Errors: `InputError` for the first thing that is not as it should be, with its place.
    """
    manifests = manifests_of(folder)
    form = common_format(folder, manifests)
    if storage.exists(uri := storage.join(folder, TOKENIZER_FILE)):
        form.check_tokenizer(Tokenizer.load(uri), uri)
    for split in SPLITS:
        shards = TokenShards.open(folder, split)
        for i, manifest in enumerate(manifests.values()):
            _check_tokens(shards, i)
            _check_documents(shards, i, manifest)
            for name in names(split, manifest.shard):
                _check_digest(folder, manifest, name)
                on_file(1)
    return totals(folder)


def totals(folder: str) -> dict[str, int]:
    """The counts that manifests have, added up."""
    added: Counter[str] = Counter()
    for manifest in manifests_of(folder).values():
        added.update(manifest.counts)
    return dict(added)


def _check_tokens(shards: TokenShards, i: int) -> None:
    """Ids are in the vocabulary; documents follow each other without a gap, and each ends with its token."""
    name, offsets_name, _ = (storage.join(shards.folder, n) for n in names(shards.split, shards.names[i]))
    tokens, offsets = shards.tokens[i], shards.offsets[i]
    for start in range(0, len(tokens), BLOCK):
        if (at := _first(tokens[start : start + BLOCK] >= shards.vocab_size)) is not None:
            found = tokens[start + at]
            raise InputError(f"{name}: token {start + at} is {found}, but there are {shards.vocab_size} ids")
    if not len(offsets) or offsets[0] != 0 or offsets[-1] != len(tokens):
        raise InputError(f"{offsets_name}: does not go from 0 to the {len(tokens)} tokens of {name}")
    for start in range(0, len(offsets) - 1, BLOCK):
        bounds = offsets[start : start + BLOCK + 1].astype(np.int64)
        if (at := _first((bounds[1:] <= bounds[:-1]) | (bounds[1:] > len(tokens)))) is not None:
            raise InputError(f"{offsets_name}: document {start + at} goes from {bounds[at]} to {bounds[at + 1]}")
        if (at := _first(tokens[bounds[1:] - 1] != shards.eot_id)) is not None:
            raise InputError(f"{name}: document {start + at} does not end with the end-of-text token {shards.eot_id}")


def _check_documents(shards: TokenShards, i: int, manifest: storage.Manifest) -> None:
    """The table of documents says of each what the other two files say, and adds up to the manifest's counts."""
    uri, offsets = shards.documents[i], shards.offsets[i]
    n_docs = n_bytes = 0
    with storage.open_parquet(uri) as file:
        if file.schema_arrow != DOCUMENTS:
            raise InputError(f"{uri}: other columns than textmill writes; tokenize again")
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            _check_rows(uri, table, n_docs, offsets[n_docs : n_docs + table.num_rows + 1], int(manifest.shard))
            n_docs += table.num_rows
            n_bytes += pc.sum(table["n_bytes"], min_count=0).as_py()
    if n_docs != len(offsets) - 1:
        raise InputError(f"{uri}: {n_docs} documents, but there are offsets of {len(offsets) - 1}")
    for name, n in {"n_tokens": len(shards.tokens[i]), "n_docs": n_docs, "n_bytes": n_bytes}.items():
        if (said := manifest.counts[f"{shards.split}_{name}"]) != n:
            raise InputError(f"{uri}: {name} is {n}, but the manifest says {said}")


def _check_rows(uri: str, table: pa.Table, first: int, offsets: NDArray[np.uint64], shard: int) -> None:
    bounds = offsets.astype(np.int64)
    if len(bounds) != table.num_rows + 1:
        raise InputError(f"{uri}: more documents than offsets")
    expected = {
        "shard": np.full(table.num_rows, shard),
        "offset": bounds[:-1],
        "n_tokens": np.diff(bounds),
        "url_hash": hash_strings(table["url"].combine_chunks()),
    }
    for name, values in expected.items():
        if (at := _first(table[name].to_numpy() != values)) is not None:
            found = table[name][at].as_py()
            raise InputError(f"{uri}: {name} of document {first + at} is {found}, not {values[at]}")


def _check_digest(folder: str, manifest: storage.Manifest, name: str) -> None:
    path = storage.local_path(storage.join(folder, name))
    if storage.sha256(path) != manifest.outputs[name].sha256:
        raise InputError(f"{path}: not the bytes that were written: its sha256 is not the one in the manifest")


def _first(wrong: NDArray[np.bool_]) -> int | None:
    """The first place that is wrong."""
    return int(wrong.argmax()) if wrong.any() else None


def describe(folder: str) -> dict[str, Any]:
    """Format, counts a split, a shard and a source, and how long documents are; as JSON has it. Errors: `InputError`"""
    manifests = manifests_of(folder)
    opened = {split: TokenShards.open(folder, split) for split in SPLITS}
    return {
        "folder": folder,
        "format": common_format(folder, manifests).as_meta(),
        "splits": {split: _describe_split(shards) for split, shards in opened.items()},
        "shards": {shard: dict(manifest.counts) for shard, manifest in manifests.items()},
    }


def _describe_split(shards: TokenShards) -> dict[str, Any]:
    n_tokens = [np.diff(offsets.astype(np.int64)) for offsets in shards.offsets]
    found = np.percentile(np.concatenate(n_tokens), PERCENTILES) if shards.n_docs else np.zeros(0)
    longest = max((int(n.max(initial=0)) for n in n_tokens), default=0)
    percentiles = {f"p{p}": round(float(n)) for p, n in zip(PERCENTILES, found, strict=False)}
    return {
        "n_docs": shards.n_docs,
        "n_tokens": shards.n_tokens,
        "n_bytes": shards.n_bytes,
        "bytes_per_token": bytes_per_token(shards.n_tokens, shards.n_docs, shards.n_bytes),
        "tokens_per_document": {**percentiles, "longest": longest} if shards.n_docs else {},
        "sources": _sources(shards),
    }


def bytes_per_token(n_tokens: int, n_docs: int, n_bytes: int) -> float | None:
    """Of text: end-of-text tokens do not count. None where bytes are not known, or there is no text."""
    return n_bytes / (n_tokens - n_docs) if n_bytes and n_tokens > n_docs else None


def _sources(shards: TokenShards) -> dict[str, dict[str, int]]:
    found: dict[str, Counter[str]] = {}
    for uri in shards.documents:
        with storage.open_parquet(uri) as file:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, ["source", "n_tokens"])
                for row in table.group_by("source").aggregate([("n_tokens", "sum"), ("n_tokens", "count")]).to_pylist():
                    counts = found.setdefault(row["source"], Counter())
                    counts.update(n_docs=row["n_tokens_count"], n_tokens=row["n_tokens_sum"])
    return {source: dict(counts) for source, counts in sorted(found.items())}


def tokenizer_of(folder: str, form: TokenFormat, path: str | None = None) -> Tokenizer | None:
    """The tokenizer of the shards in ``folder``: that at ``path`` if given, else the one beside them, if there is one.

    Errors: `InputError` when it is another one.
    """
    uri = path or storage.join(folder, TOKENIZER_FILE)
    if path is None and not storage.exists(uri):
        return None
    tokenizer = Tokenizer.load(uri)
    form.check_tokenizer(tokenizer, folder)
    return tokenizer


def sum_counts(counts: Mapping[str, int], name: str) -> int:
    """One count, over all splits."""
    return sum(counts[f"{split}_{name}"] for split in SPLITS)
