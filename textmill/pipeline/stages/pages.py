"""Archives to pages: a row for every candidate record, with its text or the reason why it has none."""

from __future__ import annotations

import glob
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from textmill import schema, storage
from textmill.errors import EnvironmentFault, InputError, InvariantError, UnknownNameError, UserError, WorkspaceError
from textmill.pipeline import extract
from textmill.pipeline.guard import run_guarded, run_unguarded
from textmill.pipeline.reading import warc
from textmill.pipeline.sources.inputs import ByteRange, InputFile, Inputs, open_archive, refuse_if_lost
from textmill.pipeline.stage import NOT_IDENTITY, Result, Stage, Task, one_table
from textmill.pipeline.stages.scores import n_text_bytes
from textmill.pipeline.watch import Limits, Watch

CANDIDATES = ("response", "conversion", "resource")  # record types that can hold a page or its text
WARM_UP = warc.Record(
    *(0, 0, 0, "response", "", "", "application/http", ""),
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>textmill</p>",
)
GROUP_ROWS = 2048  # rows of a row group: the unit in which everything downstream works
GROUP_TEXT_BYTES = 16 << 20
AHEAD_BYTES, AHEAD_ITEMS = 256 << 10, 1000  # of records read before the first of them is worked on


@dataclass(frozen=True)
class Extract(Stage):
    """Reads the records of every input file and extracts their text.

    A damaged stretch of an archive is a row, too, and so is a file that is no archive.

    Counts, beside the rows: ``status_<status>``, ``other_<record type>`` for records that are no candidates,
    ``html_bytes`` and ``text_bytes``, ``n_records`` of all types; ``faults_<reason>``, how many stretches were damaged,
    and for the bytes of the archives ``read_bytes``, ``damaged_bytes`` and, of these, ``fault_bytes_<reason>``. A
    member from which some record could be read counts as read.
    """

    version = 2  # titles, opt-out signals, faults; charsets, ARC, members of any size

    table = "pages"
    packages = ("backports.zstd", "fastwarc", "isal", "lz4", "resiliparse")

    source: Inputs
    engine: str = "textmill"
    comments: bool = False  # whether readers' comments are part of the text
    engine_version: str = ""  # of the model or package that the engine rests on; filled in
    records: tuple[str, ...] = ("response", "conversion")  # what to take from the archives: some of CANDIDATES
    limits: Limits = field(default=Limits(), kw_only=True, metadata=NOT_IDENTITY)
    guarded: bool = field(default=True, kw_only=True, metadata=NOT_IDENTITY)  # False: parse in the worker itself

    def __post_init__(self) -> None:
        super().__post_init__()
        engine = extract.find_engine(self.engine)
        if not self.engine_version:
            object.__setattr__(self, "engine_version", engine.version())
        if not self.records:
            raise UserError(f"no record types to read; choose among {', '.join(CANDIDATES)}")
        for name in self.records:
            if name not in CANDIDATES:
                raise UnknownNameError("record type", name, CANDIDATES)

    def preflight(self, workspace: str) -> None:
        """Errors: `WorkspaceError` if an input is not what it was when earlier pages of this workspace were made.

        One name for two contents would make the trail from a token to its record point to the wrong bytes.
        """
        now = {file.uri: file for file in self.source.files}
        for folder, earlier in _earlier_inputs(workspace, self.name):
            file = now.get(earlier.uri)
            if file is not None and (file.n_bytes, file.version) != (earlier.n_bytes, earlier.version):
                raise WorkspaceError(
                    f"{file.uri}: changed since {folder} was made from it ({earlier.n_bytes} bytes then, "
                    f"{file.n_bytes} now, or modified later); choose another --out"
                )

    def shards(self) -> list[str]:
        return [f"{i:05d}" for i in range(len(self.source.ranges()))]

    def page(self, record: warc.Record) -> extract.Page:
        """The page of a record: all that runs on hostile bytes beyond the reading of the archive."""
        return extract.extract_record(record, self.engine, comments=self.comments)

    def run_shard(self, task: Task) -> Result:
        version = extract.find_engine(self.engine).version()
        if version != self.engine_version:  # what an older model made can still be looked at
            raise EnvironmentFault(f"engine {self.engine!r}: version {version} here, {self.engine_version} in the plan")
        return run_guarded(self, task) if self.guarded else run_unguarded(self, task)

    def subject(self, shard: str) -> str:
        """What a shard reads, for people."""
        byte_range = self.source.ranges()[int(shard)]
        return f"{self.source.files[byte_range.file_number].uri}, bytes {byte_range.start} to {byte_range.end}"

    def warm_up(self) -> None:
        """Compile and load what the first page needs, which the limits of a page do not allow for."""
        extract.extract_record(WARM_UP, self.engine, comments=self.comments)

    def run_watched(self, task: Task, watch: Watch) -> Result:
        """The shard's loop, in the guarded process."""
        byte_range = self.source.ranges()[int(task.shard)]
        file = self.source.files[byte_range.file_number]
        counts: Counter[str] = Counter(rows_in=0, rows_out=0)
        with (
            open_archive(file, byte_range, task.scratch) as stream,
            storage.TableWriter(task.table(), schema.PAGES) as writer,
        ):
            if file.fault:
                events: Iterator[warc.Item] = iter([warc.Damage(0, 0, file.n_bytes, file.fault)])
            else:
                start, end = byte_range.start, byte_range.end
                events = _ahead(warc.read_range(stream, start, end, file.n_bytes, self.records, task.scratch))
            kept = KeptGroups(task.scratch)
            for group in _groups(self._rows(events, byte_range, counts, watch, kept.rows())):
                table = pa.Table.from_pylist(group, schema.PAGES)
                counts["text_bytes"] += n_text_bytes(table)
                kept.add(table)
                writer.write(table)
        counts["rows_out"] = writer.rows
        return one_table(writer, counts)

    def audit(self, folder: str, counts: Mapping[str, Mapping[str, int]], strict: bool) -> None:
        """Errors: `InvariantError` unless every byte of every file was read or is damaged; `InputError` if too many
        files are lost, or, if ``strict``, anything is."""
        for number, of_file in enumerate(self._by_file(counts)):
            file = self.source.files[number]
            n_bytes = of_file["read_bytes"] + of_file["damaged_bytes"]
            if n_bytes != file.n_bytes:
                raise InvariantError(f"{file.uri}: {file.n_bytes} bytes, of which {n_bytes} are accounted for")
        refuse_if_lost(self.lost_files(counts), len(self.source.files))
        if strict:
            for shard in self.shards():
                _refuse_damage(storage.join(folder, f"{shard}.parquet"), counts[shard])

    def lost_files(self, counts: Mapping[str, Mapping[str, int]]) -> list[tuple[str, str]]:
        """The files in which no record was found, and why, given the counts of all shards."""
        return [
            (file.uri, file.fault or "not one whole record")
            for file, of_file in zip(self.source.files, self._by_file(counts), strict=True)
            if not of_file["n_records"]
        ]

    def _by_file(self, counts: Mapping[str, Mapping[str, int]]) -> list[Counter[str]]:
        totals: list[Counter[str]] = [Counter() for _ in self.source.files]
        for shard, byte_range in zip(self.shards(), self.source.ranges(), strict=True):
            totals[byte_range.file_number].update(counts[shard])
        return totals

    def _rows(
        self,
        events: Iterator[warc.Item],
        byte_range: ByteRange,
        counts: Counter[str],
        watch: Watch,
        kept: Iterator[dict[str, Any]],
    ) -> Iterator[dict[str, Any]]:
        """One row a candidate record or damaged stretch, the first ones from ``kept``; all else is only counted."""
        for _, of_member in itertools.groupby(events, key=lambda event: event.offset):
            fault, is_read, length = "", False, 0
            for event in of_member:
                length = event.length
                if isinstance(event, warc.Damage):
                    fault = fault or event.reason
                    counts[f"faults_{_counter(event.reason)}"] += 1
                else:
                    is_read = True
                    counts["n_records"] += event.type not in warc.NO_RECORD_TYPES
                if isinstance(event, warc.Skipped):
                    counts[f"other_{event.type}"] += 1
                else:
                    with watch.record(event.offset, event.index) as condemned:
                        row = next(kept, None) or self._row(event, byte_range, condemned)
                    self._count(row, _doc_id(event, byte_range), counts)
                    yield row
            counts["read_bytes" if is_read else "damaged_bytes"] += length
            if not is_read:
                counts[f"fault_bytes_{_counter(fault)}"] += length

    def _row(self, event: warc.Record | warc.Damage, byte_range: ByteRange, condemned: str) -> dict[str, Any]:
        """The columns of `schema.PAGES`."""
        if isinstance(event, warc.Damage):
            page = extract.Page.untried("bad_record")
            url, date, truncated, fault = "", "", "", event.reason
        else:
            page = extract.Page.untried(condemned) if condemned else self.page(event)
            url, date, truncated, fault = event.url, event.date, event.truncated, ""
        return {
            "doc_id": _doc_id(event, byte_range),
            "url": url,
            "host": storage.host_of(url),
            "date": date,
            "warc_file": self.source.files[byte_range.file_number].uri,
            "warc_offset": event.offset,
            "warc_length": event.length,
            "truncated": truncated,
            "http_status": page.http_status,
            "content_type": page.content_type,
            "charset": page.charset,
            "html_bytes": page.html_bytes,
            "status": page.status,
            "fault": fault,
            "title": page.head.title,
            "html_lang": page.head.html_lang,
            "canonical_url": page.head.canonical_url,
            "published": page.head.published,
            **page.optout._asdict(),
            "text": page.text,
        }

    def _count(self, row: dict[str, Any], doc_id: int, counts: Counter[str]) -> None:
        if row["doc_id"] != doc_id:
            raise InvariantError(f"{self.folder}: the rows kept of a shard do not go on as its archive does")
        counts["rows_in"] += 1
        counts[f"status_{row['status']}"] += 1
        counts["html_bytes"] += row["html_bytes"]


def _ahead(events: Iterator[warc.Item]) -> Iterator[warc.Item]:
    """The same, read some at a time: reading and extraction push each other's code and tables out of the caches, which
    by turns at every record costs 3 to 5% of a page."""
    read: list[warc.Item] = []
    n_bytes = 0
    for event in events:
        read.append(event)
        n_bytes += len(event.block) if isinstance(event, warc.Record) else 0
        if n_bytes >= AHEAD_BYTES or len(read) == AHEAD_ITEMS:
            yield from read
            read, n_bytes = [], 0
    yield from read


def _doc_id(event: warc.Record | warc.Damage, byte_range: ByteRange) -> int:
    return schema.doc_id(byte_range.file_number, event.offset, event.index)


def _counter(reason: str) -> str:
    return reason.replace(" ", "_")


def _refuse_damage(table: str, counts: Mapping[str, int]) -> None:
    """Errors: `InputError` for the first damaged stretch of a shard."""
    if not counts.get("status_bad_record"):
        return
    columns = ["status", "fault", "warc_file", "warc_offset", "warc_length"]
    row = next(row for row in storage.read_table(table, columns).to_pylist() if row["status"] == "bad_record")
    raise InputError(
        f"{row['warc_file']}: {row['fault']} at byte {row['warc_offset']} ({row['warc_length']} bytes; --strict)"
    )


class KeptGroups:
    """The row groups of an unfinished shard, in its scratch folder: after the death of the process, the next one need
    not make them again."""

    def __init__(self, scratch: Path) -> None:
        self._folder = scratch / "groups"
        self._folder.mkdir(exist_ok=True)
        self._n_groups = 0

    def rows(self) -> Iterator[dict[str, Any]]:
        """What the processes before this one had kept."""
        for path in sorted(self._folder.glob("*.arrow")):
            with pa.ipc.open_file(path) as file:
                yield from file.read_all().to_pylist()

    def add(self, group: pa.Table) -> None:
        """Keep the next group."""
        path = self._folder / f"{self._n_groups:06d}.arrow"
        self._n_groups += 1
        if not path.exists():
            unfinished = path.with_suffix(".part")
            with pa.ipc.new_file(unfinished, group.schema) as file:
                file.write_table(group)
            unfinished.replace(path)


def _earlier_inputs(workspace: str, name: str) -> Iterator[tuple[str, InputFile]]:
    """The input files of all earlier stages of this name, with the folder of the stage."""
    fs, path = storage.filesystem(workspace)
    for found in sorted(fs.glob(f"{glob.escape(path)}/{name}-*/stage.json")):
        folder = storage.join(workspace, found.split("/")[-2])
        description = storage.read_json(storage.join(folder, "stage.json"))
        for file in description["fields"]["source"]["fields"]["files"]:
            yield folder, InputFile(**file["fields"])


def _groups(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Cut rows into row groups of bounded rows and bytes."""
    group: list[dict[str, Any]] = []
    text_chars = 0
    for row in rows:
        group.append(row)
        text_chars += len(row["text"] or "")
        if len(group) == GROUP_ROWS or text_chars >= GROUP_TEXT_BYTES:
            yield group
            group, text_chars = [], 0
    if group:
        yield group
