"""The default input of the benchmarks: the HTML manuals that Debian ships, as one WARC archive.

Some 6,600 pages, 140 MB of HTML, twenty languages, many near-duplicates between versions and translations; freely
licensed, and real. Made with apt-get (a download, no installation) at first use, and kept.

    python benchmarks/manual_pages.py OUT.warc.gz
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from pathlib import Path

from harness import ROOT, BenchmarkError, measure, say
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

PACKAGES = ("python3.11-doc", "installation-guide-amd64", "debian-handbook", "postgresql-doc-15")
DEFAULT = ROOT / "build" / "manual-pages.warc.gz"


def manual_pages(target: Path = DEFAULT) -> Path:
    """The archive at ``target``, made if it is not there. Errors: `BenchmarkError` without apt-get or its packages."""
    if target.is_file():
        return target
    say(f"making {target} from Debian's documentation packages (once)")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        docs = _unpacked(Path(scratch))
        unfinished = Path(scratch, "unfinished.warc.gz")
        n_pages = _write_archive(docs, unfinished)
        unfinished.replace(target)
    say(f"{n_pages} pages in {target}")
    return target


def _unpacked(scratch: Path) -> Path:
    try:
        measure(["sh", "-c", f"cd '{scratch}' && apt-get download -q {' '.join(PACKAGES)}"])
        for package in sorted(scratch.glob("*.deb")):
            measure(["dpkg-deb", "-x", package, scratch / "root"])
    except (BenchmarkError, OSError) as error:
        raise BenchmarkError(f"no manual pages; try apt-get update, or give an archive with --data\n{error}") from error
    return scratch / "root" / "usr" / "share" / "doc"


def _write_archive(docs: Path, target: Path) -> int:
    pages = _mixed(docs)
    with target.open("wb") as stream:
        writer = WARCWriter(stream, gzip=True)
        for url, page in pages:
            head = [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(page.stat().st_size))]
            with page.open("rb") as body:
                record = writer.create_warc_record(
                    url,
                    "response",
                    payload=body,
                    http_headers=StatusAndHeaders("200 OK", head, protocol="HTTP/1.1"),
                    warc_headers_dict={"WARC-Date": "2026-01-01T00:00:00Z"},
                )
                writer.write_record(record)
    return len(pages)


def _mixed(docs: Path) -> list[tuple[str, Path]]:
    """URL and file of every page in an order by hash, so that the first ones are a sample of all packages."""
    pages = [path for path in docs.rglob("*") if path.suffix in (".html", ".htm") and path.is_file()]
    urls = {f"https://manuals.example/{path.relative_to(docs).as_posix()}": path for path in pages}
    return sorted(urls.items(), key=lambda item: hashlib.sha256(item[0].encode()).digest())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    manual_pages(parser.parse_args().out)
