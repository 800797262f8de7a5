"""MinHash signatures, megabytes of text a second on one core: textmill, datasketch, rensa, and datatrove.

112 permutations of word 5-grams, of the same documents, given as Python strings. CPU time, by turns, medians; kernels
compiled and models loaded before. The rivals get what they need in the cheapest way: words by one regular expression on
the lower-cased text, which is less than textmill (accents, digits, scripts without spaces) and datatrove (spaCy) do.

- *textmill* makes an Arrow array of the strings, and band hashes of that; *from Arrow* is without the first. *shingle
  sets* are what pairs are verified with.
- *datasketch*: ``MinHash.update_batch``, a document at a time.
- *rensa*: ``digest_matrix_from_token_sets``, all documents in one call; *ready shingles* is that call alone, without
  the cutting and joining of words in Python. R-MinHash and C-MinHash, which is a weaker sketch.
- *datatrove*: its stage ``MinhashDedupSignature``, which writes and sorts its files, in a process of its own.

A rival that is not installed is left out, and why is said.
"""

from __future__ import annotations

import argparse
import gzip
import importlib
import json
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from filters import cpu_s, extracted_texts
from harness import (
    RIVALS,
    BenchmarkError,
    Figures,
    by_turns,
    machine,
    measure,
    rival_python,
    say,
    write_figures,
)
from manual_pages import manual_pages
from rich.console import Console
from rich.table import Table

from textmill.dedup.minhash import MinHash
from textmill.errors import TextmillError

EXAMPLES = """\
examples:
  python benchmarks/dedup_signatures.py                                 the manual pages; minutes
  python benchmarks/dedup_signatures.py --texts pages.jsonl.gz --documents 2000
  python benchmarks/dedup_signatures.py --rivals rensa                  no other rival; --rivals "" for none
"""
NGRAM, PERMUTATIONS = 5, 112
WORD = re.compile(r"\w+")
IN_PROCESS = ("datasketch", "rensa")


def main() -> int:
    options = _parse()
    try:
        texts = read_texts(options.texts, options.documents)
        figures = compare(texts, options.rivals.split(","), options.rounds)
    except (BenchmarkError, TextmillError, OSError) as error:
        print(f"dedup_signatures: {error}", file=sys.stderr)
        return 2
    show(figures)
    if options.json:
        write_figures(figures, options.json)
    return 0


def _parse() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("dedup_signatures.py", description=__doc__, epilog=EXAMPLES, formatter_class=raw)
    parser.add_argument(
        "--texts", type=Path, metavar="JSONL", help="documents with a field text (default: manual pages)"
    )
    parser.add_argument("--documents", type=int, default=1000, help="read the first N (default: 1000)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, of which the median counts (default: 3)")
    parser.add_argument("--rivals", default="datasketch,rensa,datatrove", help="which, by commas (default: all)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    options = parser.parse_args()
    if options.documents < 1 or options.rounds < 1:
        parser.error("--documents and --rounds must be at least 1")
    return options


def read_texts(path: Path | None, n_documents: int) -> list[str]:
    """The first documents that are not empty. Errors: `BenchmarkError` if there are none."""
    if path is None:
        return extracted_texts(manual_pages(), n_documents)
    texts: list[str] = []
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        for line in lines:
            text = json.loads(line)["text"]
            texts += [text] if text else []
            if len(texts) == n_documents:
                break
    if not texts:
        raise BenchmarkError(f"{path}: no document with a text")
    return texts


def compare(texts: Sequence[str], rivals: Sequence[str], n_rounds: int) -> dict[str, Figures]:
    """Measure everything: megabytes a second by side, and how many times the rivals' that is."""
    n_bytes = sum(len(text.encode()) for text in texts)
    about = machine() | {"n_documents": len(texts), "text_mb": round(n_bytes / 1e6, 2), "n_rounds": n_rounds}
    jobs: dict[str, Callable[[], dict[str, float]]] = {"textmill": partial(time_textmill, texts)}
    missing: Figures = {}
    for name in IN_PROCESS:
        try:
            importlib.import_module(name)
        except ImportError:
            missing[name] = "not installed; pip install 'textmill[bench]'"
    timers = {"datasketch": time_datasketch, "rensa": time_rensa}
    jobs |= {name: partial(timers[name], texts) for name in IN_PROCESS if name in rivals and name not in missing}
    with tempfile.TemporaryDirectory(prefix="textmill-bench-") as scratch:
        if "datatrove" in rivals:
            path = Path(scratch, "texts.jsonl")
            path.write_text("".join(json.dumps(text) + "\n" for text in texts))
            jobs["datatrove"] = partial(time_datatrove, path)
        say("warm-up: textmill")
        time_textmill(texts[:10])
        results = by_turns(jobs, n_rounds)
    rates: Figures = {}
    for name, rounds in results.items():
        for what in rounds[0]:
            side = f"{name}, {what}" if what else name
            rates[side] = n_bytes / 1e6 / statistics.median(one[what] for one in rounds)
    ours = float(rates["textmill"])
    ratios: Figures = {side: ours / float(rate) for side, rate in rates.items() if not side.startswith("textmill")}
    return {"machine": about, "mb_per_s": rates, "textmill / rival": ratios, "left out": missing}


def time_textmill(texts: Sequence[str]) -> dict[str, float]:
    minhash = MinHash(ngram=NGRAM, bands=14, rows=PERMUTATIONS // 14)
    began = time.process_time()
    text = pa.array(texts, pa.large_string())
    read_s = time.process_time() - began
    sign_s = cpu_s(minhash.band_hashes, text)
    return {"": read_s + sign_s, "from Arrow": sign_s, "shingle sets": cpu_s(minhash.shingle_sets, text)}


def shingles(text: str) -> list[str]:
    """Word n-grams, or all words of a text that has fewer."""
    words = WORD.findall(text.lower())
    return [" ".join(words[i : i + NGRAM]) for i in range(max(1, len(words) - NGRAM + 1))]


def time_datasketch(texts: Sequence[str]) -> dict[str, float]:
    from datasketch import MinHash as Sketch

    began = time.process_time()
    for text in texts:
        Sketch(num_perm=PERMUTATIONS).update_batch([shingle.encode() for shingle in shingles(text)])
    return {"": time.process_time() - began}


def time_rensa(texts: Sequence[str]) -> dict[str, float]:
    import rensa

    began = time.process_time()
    sets = [shingles(text) for text in texts]
    cut_s = time.process_time() - began
    sign_s = cpu_s(rensa.RMinHash.digest_matrix_from_token_sets, sets, PERMUTATIONS, 1)
    weak_s = cpu_s(_c_minhash, sets)
    return {
        "": cut_s + sign_s,
        "ready shingles": sign_s,
        "C-MinHash": cut_s + weak_s,
        "C-MinHash, ready shingles": weak_s,
    }


def _c_minhash(sets: Sequence[Sequence[str]]) -> None:
    import rensa

    for tokens in sets:
        sketch: Any = rensa.CMinHash(PERMUTATIONS, 1)
        sketch.update(tokens)
        sketch.digest()


def time_datatrove(texts: Path) -> dict[str, float]:
    python = rival_python("datatrove", RIVALS / "datatrove.txt")
    return {"": float(json.loads(measure([python, RIVALS / "datatrove_signatures.py", texts]).stdout)["cpu_s"])}


def show(figures: dict[str, Figures]) -> None:
    """Print everything as a table."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 100)
    console.print(", ".join(f"{name} {value}" for name, value in figures["machine"].items()), soft_wrap=True)
    table = Table("side", "MB of text/s", "textmill is ... times as fast")
    for side, rate in figures["mb_per_s"].items():
        ratio = figures["textmill / rival"].get(side)
        table.add_row(side, f"{rate:.4g}", f"{ratio:.3g}" if ratio else "")
    console.print(table)
    for name, why in figures["left out"].items():
        console.print(f"left out: {name}: {why}")


if __name__ == "__main__":
    sys.exit(main())
