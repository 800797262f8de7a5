"""Column names, Arrow schemas and document ids: what flows between the stages.

A ``doc_id`` is a uint64. Its upper 32 bits are the number of the file in the frozen input manifest; its lower 32 bits
are the record's slot in that file: byte offset // 16, plus the record's index within its gzip member. A slot needs no
count of what came before, so a byte range of a file can be read by itself and the id is the same under every cut. No
archive record is shorter than 16 bytes, so slots do not collide; files up to 64 GiB fit.
"""

from __future__ import annotations

import pyarrow as pa

SLOT_BYTES = 16
MAX_FILE_BYTES = SLOT_BYTES << 32

# The closed set of what can become of a candidate record. Only "ok" rows carry text.
STATUSES = (
    "ok",
    "not_html",  # the content type, or the first bytes, say that it is something else
    "bad_status",  # an HTTP status other than 200
    "bad_http",  # no readable HTTP header, or a body that does not decode
    "bad_charset",  # too many bytes that no charset explains
    "bad_record",  # a damaged stretch of the archive; one row a stretch, with its offset
    "empty",  # nothing left after extraction
    "too_large",
    "too_deep",
    "too_many_tags",
    # Of records that ended the process which read them, or for which it had to be ended (`pipeline.guard`)
    "timeout",
    "crashed",
    "too_much_memory",
    "not_tried",  # after too many of these in one shard
)

PAGES = pa.schema(
    [
        pa.field("doc_id", pa.uint64(), nullable=False),
        pa.field("url", pa.string(), nullable=False),
        pa.field("host", pa.string(), nullable=False),
        pa.field("date", pa.string(), nullable=False),
        pa.field("warc_file", pa.string(), nullable=False),
        pa.field("warc_offset", pa.int64(), nullable=False),
        pa.field("warc_length", pa.int64(), nullable=False),
        pa.field("truncated", pa.string(), nullable=False),  # why the crawler cut the record short; "" if it did not
        pa.field("http_status", pa.int32(), nullable=False),
        pa.field("content_type", pa.string(), nullable=False),
        pa.field("charset", pa.string(), nullable=False),
        pa.field("html_bytes", pa.int64(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("fault", pa.string(), nullable=False),  # of a bad_record: what is wrong with that stretch; else ""
        # What an ok page says of itself ("" and false otherwise), as `reading.head` and `reading.optout` read it.
        pa.field("title", pa.string(), nullable=False),
        pa.field("html_lang", pa.string(), nullable=False),
        pa.field("canonical_url", pa.string(), nullable=False),
        pa.field("published", pa.string(), nullable=False),  # ISO 8601 date
        pa.field("optout_noai", pa.bool_(), nullable=False),
        pa.field("optout_noimageai", pa.bool_(), nullable=False),
        pa.field("optout_noindex", pa.bool_(), nullable=False),
        pa.field("optout_noarchive", pa.bool_(), nullable=False),
        pa.field("optout_tdm", pa.bool_(), nullable=False),
        pa.field("optout_train_ai", pa.bool_(), nullable=False),
        pa.field("text", pa.large_string()),
    ]
)

EDGES = pa.schema(
    [
        pa.field("doc_id_a", pa.uint64(), nullable=False),  # the smaller id
        pa.field("doc_id_b", pa.uint64(), nullable=False),
        pa.field("similarity", pa.float32(), nullable=False),  # true Jaccard of the shingle sets; 1 for equal texts
    ]
)


def doc_id(file_number: int, offset: int, index: int = 0) -> int:
    """The id of the record at byte ``offset`` of file ``file_number``; ``index`` is its place in its gzip member."""
    return (file_number << 32) | (offset // SLOT_BYTES + index)


def file_number(doc_id: int) -> int:
    """The number, in the input manifest, of the file that holds this document."""
    return doc_id >> 32


def read_doc_id(text: str) -> int | None:
    """A document id as people write it (``3:1a2b`` as shown by textmill, or a decimal number), or None."""
    try:
        if ":" in text:
            number, slot = text.split(":")
            value = (int(number) << 32) | int(slot, 16)
        else:
            value = int(text)
    except ValueError:
        return None
    return value if 0 <= value < 1 << 64 else None


def show_doc_id(doc_id: int) -> str:
    """``file:slot`` with the slot in hexadecimal; read back by `read_doc_id`."""
    return f"{doc_id >> 32}:{doc_id & 0xFFFFFFFF:x}"
