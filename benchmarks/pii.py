"""How well and how fast personal data is found.

    python benchmarks/pii.py                        # the labelled contexts, the planted data, attack strings, speed
    python benchmarks/pii.py --text page.txt ...    # speed on texts of yours

Precision and recall by kind on two sets. *Labelled*: ``tests/data/pii.jsonl``, short contexts around things that look
like personal data, drawn at random from real pages by wide patterns (no two numbers, and few addresses, from one page).
Their names and digits were changed; then a reader corrected what the finders had marked, so a miss that the reader
missed too is not in the figures. Contexts "written" are by hand, for kinds that those pages do not have. A span is
found if four fifths of it are masked; a mask is right if it overlaps a span of its kind. *Planted*: pages of the
simulator, whose truth is known; a plant is found if it is gone from its page's text.

Growth is time on 200 kB of a hostile string over time on 100 kB, the best of five of each; linear is 2. Speed is beside
three textbook expressions of Python's ``re`` (address, 3-3-4 phone, dotted quad) on the same texts.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from harness import ROOT, machine, write_figures

from textmill.filters.pii import ALL, PLACEHOLDERS, mask
from textmill.filters.pii.spans import KINDS, find
from textmill.simulate.crawl import write_crawl

LABELLED = ROOT / "tests" / "data" / "pii.jsonl"
COVERED = 0.8  # of a span, that counts as found
N_PAGES = 1500  # of the simulator
ATTACK_BYTES = 100_000
ATTACKS = (
    *(".", ",.", "a@", "a@b.", "a.b@", "a-", " ", " at x dot ", "(at)(dot)", " dot ", "1", "1 ", "0 ", "+1 ", "+("),
    *(
        "283-182-3829 ",
        "Tel ",
        "Tel: 5550123 ",
        "1.2.3.4",
        "1.",
        ":",
        "a:",
        "2001:",
        "4111 ",
        "DE89 ",
        "AKIA",
        "secret",
    ),
    *("-", "-----BEGIN PRIVATE KEY-----\n", "a@b.de ", "a" * 64 + "@" + "b." * 127 + "c ", "555 123 4567 1234@qq.com "),
)
TEXTBOOK = (
    re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}"),
    re.compile(r"\(?\b\d{3}\)?[-. ]?\d{3}[-. ]?\d{4}\b"),
    re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b"),
)
Table = dict[str, dict[str, float | int]]


def labelled() -> Table:
    """Precision and recall by kind on the labelled contexts."""
    rows = [json.loads(line) for line in LABELLED.read_text().splitlines()]
    spans = find(pa.array([row["text"] for row in rows], pa.large_string()))
    n_true, n_found, n_masks, n_right = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for i, row in enumerate(rows):
        encoded = row["text"].encode()
        mine = [
            (len(encoded[:a].decode()), len(encoded[:b].decode()), KINDS[kind])
            for a, b, kind in zip(*(c[spans.document == i] for c in (spans.start, spans.end, spans.kind)), strict=True)
        ]
        for a, b, kind in row["spans"]:
            n_true[kind] += 1
            n_found[kind] += any(k == kind and _overlap((a, b), (c, d)) >= COVERED * (b - a) for c, d, k in mine)
        for c, d, kind in mine:
            n_masks[kind] += 1
            n_right[kind] += any(k == kind and _overlap((a, b), (c, d)) > 0 for a, b, k in row["spans"])
    return {
        kind: {"recall": _share(n_found[kind], n_true[kind]), "n": n_true[kind]}
        | {"precision": _share(n_right[kind], n_masks[kind]), "n_masks": n_masks[kind]}
        for kind in KINDS
        if n_true[kind]
    }


def _overlap(a: tuple[int, int], b: tuple[int, int]) -> int:
    return max(0, min(a[1], b[1]) - max(a[0], b[0]))


def _share(n: int, of: int) -> float:
    return round(n / of, 4) if of else 0.0


def planted(truth: pa.Table) -> Table:
    """Precision and recall by kind on the texts of simulated pages."""
    truth = truth.filter(pa.compute.is_valid(truth["text"]))
    texts = truth["text"].combine_chunks().cast(pa.large_string())
    masked = mask(texts, ALL)[0].to_pylist()
    table: Table = {}
    for kind in ("emails", "phones", "ips"):
        plants = truth[kind].to_pylist()
        gone = [plant not in text for text, mine in zip(masked, plants, strict=True) for plant in mine]
        n_masks = [text.count(PLACEHOLDERS[kind]) for text in masked]
        n_right = sum(min(n, len(mine)) for n, mine in zip(n_masks, plants, strict=True))
        table[kind] = {"recall": _share(sum(gone), len(gone)), "n": len(gone)}
        table[kind] |= {"precision": _share(n_right, sum(n_masks)), "n_masks": sum(n_masks)}
    return table


def growth() -> dict[str, float]:
    """Time on twice the bytes over time, by attack."""
    return {unit[:30]: round(_best(unit, 2 * ATTACK_BYTES) / _best(unit, ATTACK_BYTES), 2) for unit in ATTACKS}


def _best(unit: str, n_bytes: int) -> float:
    texts = pa.array([(unit * (n_bytes // len(unit) + 1))[:n_bytes]], pa.large_string())
    return min(_cpu_s(lambda: mask(texts, ALL)) for _ in range(5))


def _cpu_s(call: Callable[[], object]) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began


def speed(texts: list[str]) -> dict[str, float]:
    """MB of UTF-8 a second of CPU time."""
    array = pa.array([text.encode("utf-8", "replace") for text in texts], pa.large_binary()).cast(pa.large_string())
    n_mb = sum(len(text.encode("utf-8", "replace")) for text in texts) / 1e6
    mask(array.slice(0, 1), ALL)
    ours = sorted(_cpu_s(lambda: mask(array, ALL)) for _ in range(3))[1]
    textbook = _cpu_s(lambda: [pattern.sub("", text) for text in texts for pattern in TEXTBOOK])
    return {
        "text_mb": round(n_mb, 1),
        "mb_per_s": round(n_mb / ours, 1),
        "textbook_mb_per_s": round(n_mb / textbook, 1),
        "times_textbook": round(textbook / ours, 1),
    }


def show(name: str, table: Table) -> None:
    """A table of precision and recall, printed."""
    print(f"\n{name:<14} {'recall':>8} {'of':>6} {'precision':>10} {'of':>6}")
    for kind, row in table.items():
        print(f"{kind:<14} {row['recall']:>8.1%} {row['n']:>6} {row['precision']:>10.1%} {row['n_masks']:>6}")


def main(arguments: Iterable[str] | None = None) -> None:
    """Measure, print, and write figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, nargs="+", default=[], help="files of plain text to measure speed on")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args(arguments if arguments is None else list(arguments))
    with tempfile.TemporaryDirectory() as folder:
        write_crawl(Path(folder), n_pages=N_PAGES)
        truth = pq.read_table(Path(folder, "truth.parquet"))
    texts = [path.read_text(errors="replace") for path in options.text]
    texts = texts or [text for text in truth["text"].to_pylist() if text] * 10
    tables = {"labelled": labelled(), "planted": planted(truth)}
    for name, table in tables.items():
        show(name, table)
    grown, fast = growth(), speed(texts)
    print("\ngrowth, worst:", sorted(((n, unit) for unit, n in grown.items()), reverse=True)[:5])
    print("speed:", fast)
    if options.json:
        write_figures({"machine": machine(), **tables, "growth": grown, "speed": fast}, options.json)


if __name__ == "__main__":
    main()
