"""Benchmark items against documents of any kind: `textmill decontaminate`, and what its report says.

Items are read from JSON lines, Parquet or CSV, each with a question and an answer; documents from Parquet, JSON lines
or a run. All matches are found first, and then judged: a document is contaminated if it holds at least ``threshold`` of
an item. In memory: the index of the items, every match (some 100 bytes), and one batch of documents.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from textmill import storage
from textmill.dedup.decontaminate import MATCHES, STATUSES, Item, ItemIndex, Judgement, Ngrams
from textmill.filters.pii import mask_text
from textmill.pipeline.benchmark_items import ItemFile
from textmill.pipeline.report.samples import mix
from textmill.pipeline.report.values import Section, percent, plain
from textmill.pipeline.rows import TextFile, TextWriter, check_targets
from textmill.schema import show_doc_id
from textmill.terminal import console, safe, table

DOCUMENTS = "documents"  # the folder of those that are written anew
CLASSES = 10  # of overlap, in the report
SAMPLES = 4  # of each class, and documents of each item
SHOWN_SPANS = 10  # of a document; all of them are in the table of matches
CONTEXT_CHARS, SPAN_CHARS = 160, 480  # shown of a match
READ_CHARS = 1000  # before masking, which must see an address whole


# Looking


class Finding(NamedTuple):
    """A match that is shown: where it is, and the text around its longest span. Ordered by hash, for drawing."""

    hash: int
    match: int
    doc_id: int
    file: str
    pieces: list[tuple[str, bool]]  # text, and whether it is the item's


class Scan:
    """Documents, looked up one batch after the other; keeps all matches, and samples of every class of overlap."""

    def __init__(self, index: ItemIndex) -> None:
        self._index = index
        self._tables = [MATCHES.empty_table()]
        self._drawn: list[list[Finding]] = [[] for _ in range(CLASSES)]
        self.n_documents = self.n_bytes = 0

    def add(self, doc_ids: NDArray[np.uint64], text: pa.LargeStringArray, file: str) -> None:
        """Look some documents up."""
        found = self._index.find(doc_ids, text)
        self.n_documents += len(text)
        self.n_bytes += int(pc.sum(pc.binary_length(text)).as_py() or 0)
        if len(found):
            self._tables.append(found)
            self._draw(found, doc_ids, text, file)

    @property
    def matches(self) -> pa.Table:
        """All of them so far."""
        return pa.concat_tables(self._tables)

    @property
    def findings(self) -> list[list[Finding]]:
        """Some of each class of overlap, those of the smallest hashes."""
        return self._drawn

    def _draw(self, found: pa.Table, doc_ids: NDArray[np.uint64], text: pa.LargeStringArray, file: str) -> None:
        n_before = sum(map(len, self._tables[:-1]))
        hashes = mix(found["doc_id"].to_numpy() ^ mix(found["item"].to_numpy().astype(np.uint64)))
        classes = overlap_classes(found)
        for number, drawn in enumerate(self._drawn):
            rows = np.flatnonzero(classes == number)
            for i in rows[np.argsort(hashes[rows])[:SAMPLES]].tolist():
                if len(drawn) == SAMPLES and hashes[i] >= drawn[-1].hash:
                    break
                match = found.slice(i, 1).to_pylist()[0]
                row = int(np.flatnonzero(doc_ids == match["doc_id"])[0])
                shown = _around(text[row].as_buffer().to_pybytes(), match["spans"])
                drawn.append(Finding(int(hashes[i]), n_before + i, match["doc_id"], file, shown))
                drawn[:] = heapq.nsmallest(SAMPLES, drawn)


def overlap_classes(matches: pa.Table) -> NDArray[np.int64]:
    """The class of each match: 0 below .1, and so on; 9 from .9 to 1."""
    return np.minimum((matches["overlap_frac"].to_numpy() * CLASSES).astype(np.int64), CLASSES - 1)


def _around(text: bytes, spans: Sequence[Mapping[str, int]]) -> list[tuple[str, bool]]:
    """The longest span and what stands around it, with personal data masked."""
    start, end = max(((span["start_bytes"], span["end_bytes"]) for span in spans), key=lambda span: span[1] - span[0])
    before, inside, after = (
        mask_text(part.decode(errors="ignore"))[0]
        for part in (text[max(start - READ_CHARS, 0) : start], text[start:end][:READ_CHARS], text[end:][:READ_CHARS])
    )
    return [(before[-CONTEXT_CHARS:], False), (inside[:SPAN_CHARS], True), (after[:CONTEXT_CHARS], False)]


# The command


def decontaminate(
    files: Sequence[TextFile], item_files: Sequence[ItemFile], out: str, ngrams: Ngrams, judgement: Judgement
) -> Section:
    """Look all documents up, write everything into the folder ``out``, and return the account.

    ``out`` gets ``matches.parquet``, ``report.json``, ``report.html``, and with another action than ``report`` all
    documents, under ``documents``. Errors: those of reading, and of `check_targets`.
    """
    from textmill.pipeline.report.contamination import to_html

    check_targets(files, storage.join(out, DOCUMENTS))
    items = [item for file in item_files for item in file.read()]
    index = ItemIndex(items, ngrams)
    scan = Scan(index)
    for file in files:
        for batch in file.batches():
            scan.add(batch.doc_ids, batch.text, file.name)
    account = account_of(scan, index, items, judgement)
    account["files"] = {"documents": [file.uri for file in files], "items": [file.path for file in item_files]}
    with storage.passing_scratch(out) as folder:
        if judgement.action != "report":
            account["after"] = _rewrite(files, judgement, judgement.contaminated(scan.matches), out, folder)
        matches = folder / "matches.parquet"
        pq.write_table(scan.matches, matches, compression="zstd")
        storage.publish(matches, storage.join(out, matches.name))
    storage.write_text(storage.to_json(account), storage.join(out, "report.json"))
    storage.write_text(to_html(account), storage.join(out, "report.html"))
    return account


def _rewrite(files: Sequence[TextFile], judgement: Judgement, found: pa.Table, out: str, folder: Path) -> Section:
    n_dropped = n_cut = n_bytes = 0
    for file in files:
        path = folder / file.name
        with TextWriter(file, path) as writer:
            for batch in file.batches():
                text, kept = judgement.apply(batch.doc_ids, batch.text, found)
                writer.write(batch, text, kept)
                n_dropped += int((~kept).sum())
                n_cut += int(pc.sum(pc.not_equal(text, batch.text)).as_py() or 0)
                n_bytes += int(pc.sum(pc.binary_length(text.filter(pa.array(kept)))).as_py() or 0)
        storage.publish(path, storage.join(out, DOCUMENTS, file.name))
    return {"n_dropped": n_dropped, "n_cut": n_cut, "bytes": n_bytes}


# The account


def account_of(scan: Scan, index: ItemIndex, items: Sequence[Item], judgement: Judgement) -> Section:
    """What was found, as plain JSON values; item by item, those in most documents first."""
    matches = scan.matches
    counted = judgement.contaminated(matches)
    classes = np.bincount(overlap_classes(matches), minlength=CLASSES).tolist()
    statuses = np.bincount(index.status, minlength=len(STATUSES)).tolist()
    return {
        "settings": asdict(index.ngrams) | asdict(judgement),
        "items": {"n": len(items), "found": len(pc.unique(counted["item"]))}
        | dict(zip(STATUSES, statuses, strict=True)),
        "skipped": [_skipped(items[i], int(index.status[i])) for i in np.flatnonzero(index.status).tolist()],
        "documents": {
            "n": scan.n_documents,
            "bytes": scan.n_bytes,
            "touched": len(pc.unique(matches["doc_id"])),
            "contaminated": len(pc.unique(counted["doc_id"])),
        },
        "overlap": [
            {"from": k / CLASSES, "n": classes[k], "samples": list(_samples(scan.findings[k], matches, items))}
            for k in range(CLASSES)
        ],
        "by_item": list(_by_item(matches, items, index, judgement)),
    }


def _skipped(item: Item, status: int) -> Section:
    return {"item": item.name, "status": STATUSES[status], "question": _beginning(item.question)}


def _beginning(text: str) -> str:
    return " ".join(text.split())[:SPAN_CHARS]


def _by_item(matches: pa.Table, items: Sequence[Item], index: ItemIndex, judgement: Judgement) -> Iterator[Section]:
    """Each item that some document touches, with the documents that hold most of it."""
    rows = matches.sort_by([("item", "ascending"), ("overlap_frac", "descending"), ("doc_id", "ascending")])
    numbers, overlaps = rows["item"].to_numpy(), rows["overlap_frac"].to_numpy()
    first = np.flatnonzero(np.diff(numbers, prepend=-1))
    counts = np.diff(np.append(first, len(numbers)))
    n_counted = (
        np.add.reduceat(overlaps >= np.float32(judgement.threshold), first, dtype=np.int64) if len(first) else first
    )
    n_ngrams = index.n_ngrams
    for k in np.lexsort((first, -overlaps[first], -n_counted)).tolist():
        begin, item = int(first[k]), int(numbers[first[k]])
        yield {
            "item": items[item].name,
            "question": _beginning(items[item].question),
            "n_ngrams": int(n_ngrams[item]),
            "n_documents": int(n_counted[k]),
            "n_touched": int(counts[k]),
            "overlap": plain(float(overlaps[begin])),
            "documents": [_document(row) for row in rows.slice(begin, min(int(counts[k]), SAMPLES)).to_pylist()],
        }


def _document(row: Mapping[str, Any]) -> Section:
    fracs = {name: plain(row[name]) for name in ("overlap_frac", "question_frac", "answer_frac")}
    spans = [[span["start_bytes"], span["end_bytes"]] for span in row["spans"][:SHOWN_SPANS]]
    return {"doc_id": show_doc_id(row["doc_id"]), "n_ngrams": row["n_ngrams"], "spans": spans} | fracs


def _samples(drawn: Sequence[Finding], matches: pa.Table, items: Sequence[Item]) -> Iterator[Section]:
    for finding in drawn:
        row = matches.slice(finding.match, 1).to_pylist()[0]
        item = items[row["item"]]
        shown = {"file": finding.file, "text": finding.pieces, "item": item.name}
        yield _document(row) | shown | {"question": _beginning(item.question), "answer": _beginning(item.answer)}


def print_account(account: Section, n_items: int = 20) -> None:
    """The account in short, as tables; all text is made safe to show."""
    to = console()
    documents, found, settings = account["documents"], account["items"], account["settings"]
    n, n_counted, n_touched = (documents[name] for name in ("n", "contaminated", "touched"))
    to.print(
        f"{n:,} documents: {n_counted:,} ({percent(n_counted, n) or 'none'}) hold {settings['threshold']:g} or "
        f"more of an item, {n_touched:,} share any {settings['n']}-gram with one",
        markup=False,
        soft_wrap=True,
    )
    skipped = ", ".join(f"{found[name]:,} {name.replace('_', ' ')}" for name in STATUSES[1:] if found[name])
    to.print(f"{found['n']:,} items: {found['found']:,} found{f'; not looked for: {skipped}' if skipped else ''}")
    if account["by_item"]:
        rows = (
            [row["item"], row["n_documents"], row["n_touched"], row["overlap"], safe(row["question"], 60)]
            for row in account["by_item"][:n_items]
        )
        header = ["item", "documents", "touched", "most overlap", "question"]
        to.print(table("items, the most frequent first", header, rows))
    if "after" in account:
        after = account["after"]
        to.print(f"dropped {after['n_dropped']:,} documents, cut {after['n_cut']:,}")
