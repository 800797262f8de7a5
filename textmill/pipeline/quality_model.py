"""Makes the default quality model: ``python -m textmill.pipeline.quality_model ../shared/data``.

Positive: the hand-made main text of English web pages, and edited prose (books, news, speeches). Negative: what is left
of the same pages without that text (menus, teasers, lists, forms, notices), and web text as a crawler found it. Both
kinds of a page are on the same side of the split, by host; where the host is made up, by page.

Writes ``quality.ftz`` and its card ``quality.json`` into the package. The same data give the same bytes.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from textmill import storage
from textmill.filters.classifier import DEFAULT_MODEL
from textmill.pipeline.classify import Recipe, train
from textmill.pipeline.extract import extract_record
from textmill.pipeline.reading.warc import Record, read_range

PROSE = ("abc.txt.gz", "brown.txt.gz", "inaugural.txt.gz", "state_union.txt.gz")
RAW_WEB = ("cc_wet_2016-50.txt.gz",)
MIN_CHARS = 200  # shorter leftovers are no text to judge
HEAD_CHARS = 500
RECIPE = Recipe(kept_rows=40_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder with crawl/ and text/")
    parser.add_argument("--out", default=str(DEFAULT_MODEL), help="where to write the model (default: %(default)s)")
    options = parser.parse_args()
    text = options.data / "text"
    with tempfile.TemporaryDirectory() as folder:
        good, bad = Path(folder) / "main_texts.jsonl", Path(folder) / "leftovers.jsonl"
        with good.open("w") as main_texts, bad.open("w") as leftovers:
            for main_text, rest, group in _pages(options.data / "crawl"):
                _write(main_texts, main_text, group)
                if len(rest) >= MIN_CHARS:
                    _write(leftovers, rest, group)
        books = sorted(map(str, (text / "gutenberg").glob("*.txt.gz")))
        positive = [str(good), *(str(text / name) for name in PROSE), *books]
        card = train(positive, [str(bad), *(str(text / name) for name in RAW_WEB)], options.out, RECIPE)
    print(storage.to_json({name: card[name] for name in ("sha256", "n_train_each")}))


def _pages(crawl: Path) -> Iterator[tuple[str, str, str]]:
    """Main text, the lines of the page that are not part of it, and group, of each English page with truth by hand."""
    with gzip.open(crawl / "pages.truth.jsonl.gz", "rt", encoding="utf-8") as lines:
        truth = {row["url"]: row["text"] for row in map(json.loads, lines) if _fits(row)}
    archive = crawl / "pages.warc.gz"
    size = archive.stat().st_size
    with archive.open("rb") as stream:
        for item in read_range(stream, 0, size, size, {"response"}):
            if isinstance(item, Record) and item.url in truth:
                main_text = truth[item.url]
                known = {" ".join(line.split()) for line in main_text.split("\n")}
                whole = extract_record(item, "resiliparse-all").text or ""
                rest = [line for line in whole.split("\n") if " ".join(line.split()) not in known]
                host = storage.host_of(item.url)
                yield main_text, "\n".join(rest), item.url if host == "example.org" else host


def _write(file: TextIO, text: str, group: str) -> None:
    """The text, and its first lines by themselves: pages are short, too."""
    head = ""
    for line in text.split("\n"):
        head += line + "\n"
        if len(head) >= HEAD_CHARS:
            break
    for part in (text, head) if len(head) >= HEAD_CHARS else (text,):
        file.write(json.dumps({"text": part, "group": group}) + "\n")


def _fits(row: dict[str, Any]) -> bool:
    return row["lang"] == "en" and row["truth_kind"] == "human" and len(row["text"]) >= MIN_CHARS


if __name__ == "__main__":
    main()
