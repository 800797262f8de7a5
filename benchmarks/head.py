"""What pages say of themselves: how many, what reading it costs, and how far the dates can be trusted.

    python benchmarks/head.py CRAWL.warc.gz [--records N]

Dates: on pages with article:published_time, what would have been read without it, and without datePublished too.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from textmill.pipeline.reading.charset import decode_html
from textmill.pipeline.reading.head import Head, read_head
from textmill.pipeline.reading.http import read_response
from textmill.pipeline.reading.optout import NO_OPTOUT, read_optout
from textmill.pipeline.reading.warc import Record, read_range

FIELDS = ("title", "html_lang", "canonical_url", "published")
SOURCES = (b"article:published_time", b"datePublished")


def pages(warc: Path) -> Iterator[tuple[str, dict[str, str], bytes]]:
    """URL, headers and markup of the pages of an archive."""
    size = warc.stat().st_size
    with warc.open("rb") as stream:
        for item in read_range(stream, 0, size, size, {"response"}):
            if isinstance(item, Record):
                response = read_response(item.block)
                _, text = decode_html(response.body, response.charset)
                yield item.url, response.headers, text.encode()


def agreement(markups: list[bytes], n_masked: int) -> str:
    """How often the date is the same, and the same within a day, without the best ``n_masked`` sources."""
    same = near = n = 0
    for markup in markups:
        masked = markup
        for source in SOURCES[:n_masked]:
            masked = masked.replace(source, b"-" * len(source))
        there, here = read_head(markup, "").published, read_head(masked, "").published
        if there and here:
            n += 1
            same += there == here
            near += there[:7] == here[:7]
    return f"{n} state another date; {same / max(n, 1):.0%} the same day, {near / max(n, 1):.0%} the same month"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("warc", type=Path)
    parser.add_argument("--records", type=int, default=10**9, help="read no more than so many")
    options = parser.parse_args()
    read_head(b"<p>", "")  # compiles

    found: list[tuple[Head, int, float]] = []
    dated: list[bytes] = []
    wishes = dict.fromkeys(NO_OPTOUT._fields, 0)
    for _, (url, headers, markup) in zip(range(options.records), pages(options.warc), strict=False):
        before = time.thread_time()
        head = read_head(markup, url)
        found.append((head, len(markup), 1e6 * (time.thread_time() - before)))
        for wish, stated in read_optout(headers, head.directives, head.reservation)._asdict().items():
            wishes[wish] += stated
        if head.published and SOURCES[0] in markup:
            dated.append(markup)
    n = len(found)
    shares = {field: sum(bool(getattr(head, field)) for head, *_ in found) / n for field in FIELDS}
    print(f"{n} pages; stated by: " + ", ".join(f"{field} {share:.0%}" for field, share in shares.items()))
    print("wishes: " + ", ".join(f"{wish} {count}" for wish, count in wishes.items()))
    for name, low, high in (("all", 0, 1 << 60), ("100 to 250 KB", 100_000, 250_000)):
        costs = [cost for _, size, cost in found if low <= size < high] or [0.0]
        print(f"{name}: {len(costs)} pages, mean {statistics.mean(costs):.0f} us, ", end="")
        print(f"median {statistics.median(costs):.0f} us, most {max(costs):.0f} us")
    print(f"of {len(dated)} pages with article:published_time, {agreement(dated, 1)}")
    print(f"  without datePublished too: {agreement(dated, 2)}")


if __name__ == "__main__":
    main()
