"""How many pages are decoded right: the text is what decoding by the true charset gives.

The true charset is read as browsers read it (WHATWG: iso-8859-1 is windows-1252, gb2312 is gb18030, ...), since
equivalent labels differ in name. Two inputs, each optional:

    python benchmarks/charsets.py --crawl pages.warc.gz pages.meta.jsonl.gz   # a true charset a record
    python benchmarks/charsets.py --texts encodings.tar.xz                    # a manifest with a charset a file

The pages come with their HTTP header and their <meta>; the texts come with nothing, so they measure the detector. Texts
in charsets that no browser knows (EBCDIC, DOS, UTF-32, ...) are counted, not judged.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import re
import tarfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from harness import Figures, machine, write_figures

from textmill.pipeline.reading.charset import codec_of, decode_html
from textmill.pipeline.reading.http import read_response
from textmill.pipeline.reading.warc import Record, read_range

# Codecs of charsets that browsers know from a header alone, and WHATWG's labels for other names of the manifest.
UNMARKED = {"utf-16": "utf-16", "utf-16le": "utf-16-le", "utf-16be": "utf-16-be"}
LABELS = {
    "cp874": "windows-874",
    "cp932": "windows-31j",
    "cp949": "windows-949",
    "euc_jp": "euc-jp",
    "hz-gb-2312": "",  # textmill reads it, browsers do not
    "maccyrillic": "x-mac-cyrillic",
    "macroman": "macintosh",
    "utf-8-sig": "utf-8",
}


@dataclass
class Tally:
    """Judged texts by true charset, and what went wrong with them."""

    n: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    n_replaced: int = 0  # characters U+FFFD
    unknown: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    decode_s: float = 0.0

    def add(self, name: str, body: bytes, declared: str, truth: str) -> None:
        codec = UNMARKED.get(truth) or codec_of(LABELS.get(truth, truth))
        if not codec:
            self.unknown[truth] += 1
            return
        before = time.thread_time()
        found, text = decode_html(body, declared)
        self.decode_s += time.thread_time() - before
        self.n[truth] += 1
        self.n_replaced += text.count("\ufffd")
        if _without_controls(text) == _without_controls(body.decode(codec, "replace").removeprefix("\ufeff")):
            self.right[truth] += 1
        else:
            self.wrong.append(f"{name}: {truth} decoded as {found}")

    def figures(self) -> Figures:
        n = self.n.total()
        right = self.right.total()
        return {
            "n": n,
            "right": right,
            "right_frac": round(right / max(n, 1), 5),
            "decode_us": round(1e6 * self.decode_s / max(n, 1), 1),
            "n_replaced": self.n_replaced,
            "unknown": self.unknown.total(),
        }


def _without_controls(text: str) -> str:
    """With U+FFFD for C1 controls: Python's windows-1252 has none, WHATWG's has five."""
    return re.sub("[\x80-\x9f]", "\ufffd", text)


def crawl(warc: Path, meta: Path, undeclared: bool) -> Tally:
    """All responses of an archive; ``meta`` gives ``charset`` by ``payload_sha1``, in any order."""
    with gzip.open(meta, "rt") as lines:
        truths = {row["payload_sha1"]: row["charset"] for row in map(json.loads, lines)}
    tally = Tally()
    size = warc.stat().st_size
    with warc.open("rb") as stream:
        for item in read_range(stream, 0, size, size, {"response"}):
            if isinstance(item, Record):
                response = read_response(item.block)
                truth = truths[hashlib.sha1(response.body).hexdigest()]
                if undeclared:
                    body = re.sub(rb"(?i)(charset|encoding)(?==)", b"x", response.body)
                    tally.add(item.url, body, "", truth)
                else:
                    tally.add(item.url, response.body, response.charset, truth)
    return tally


def texts(archive: Path) -> Tally:
    """All files of a tar archive whose ``manifest.jsonl`` gives ``encoding`` by ``file``."""
    tally = Tally()
    with tarfile.open(archive) as tar:
        bodies = {member.name.removeprefix("./"): _content(tar, member) for member in tar if member.isfile()}
    for row in map(json.loads, bodies["manifest.jsonl"].decode().splitlines()):
        name = row["file"].removeprefix("encodings/")
        tally.add(name, bodies[name], "", row["encoding"])
    return tally


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    return file.read() if file else b""


def show(title: str, tally: Tally, n_wrong: int) -> None:
    found = tally.figures()
    print(f"{title}: {found['right']} of {found['n']} decoded right ({found['right_frac']:.2%}), ", end="")
    print(f"{found['decode_us']} us each, {found['n_replaced']} U+FFFD; not judged: {dict(tally.unknown)}")
    for truth, n in sorted(tally.n.items()):
        if tally.right[truth] < n:
            print(f"  {truth:<16} {tally.right[truth]:>5} of {n}")
    for line in tally.wrong[:n_wrong]:
        print(f"    {line}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--crawl", type=Path, nargs=2, metavar=("WARC", "META"), help="an archive and its true charsets"
    )
    parser.add_argument("--texts", type=Path, metavar="TAR", help="texts and a manifest")
    parser.add_argument("--undeclared", action="store_true", help="as if no page of the crawl declared anything")
    parser.add_argument("--wrong", type=int, default=0, metavar="N", help="show N that were decoded wrong")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    options = parser.parse_args()
    tallies = {}
    if options.crawl:
        warc, meta = options.crawl
        tallies["crawl"] = crawl(warc, meta, options.undeclared)
    if options.texts:
        tallies["texts"] = texts(options.texts)
    if not tallies:
        parser.error("give --crawl, --texts or both")
    for title, tally in tallies.items():
        show(title, tally, options.wrong)
    if options.json:
        write_figures({"machine": machine()} | {name: tally.figures() for name, tally in tallies.items()}, options.json)


if __name__ == "__main__":
    main()
