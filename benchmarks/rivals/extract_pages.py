"""Extract the text of pages with one engine, and say what it cost. Run by benchmarks/extraction.py.

    python extract_pages.py ENGINE PAGES.jsonl TEXTS.jsonl

Reads record_id and html; writes record_id and text; prints CPU seconds and pages as JSON. Every engine gets bytes in
UTF-8 and gives a string; imports, and one page to warm up, are not counted.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable


def trafilatura() -> Callable[[bytes], str]:
    logging.disable(logging.CRITICAL)
    from trafilatura import extract

    return lambda html: extract(html.decode(), include_comments=False) or ""


def resiliparse() -> Callable[[bytes], str]:
    from resiliparse.extract.html2text import extract_plain_text

    return lambda html: extract_plain_text(html.decode(), main_content=True, alt_texts=False)


def resiliparse_all() -> Callable[[bytes], str]:
    from resiliparse.extract.html2text import extract_plain_text

    return lambda html: extract_plain_text(html.decode(), main_content=False, alt_texts=False)


def textmill() -> Callable[[bytes], str]:
    from textmill.pipeline.extract import html_to_text

    return lambda html: html_to_text(html, charset="utf-8")


ENGINES = {
    "trafilatura": trafilatura,
    "resiliparse": resiliparse,
    "resiliparse-all": resiliparse_all,
    "textmill": textmill,
}


def main() -> None:
    engine, source, target = sys.argv[1:]
    extract = ENGINES[engine]()
    with open(source, encoding="utf-8") as lines:  # noqa: PTH123
        pages = [json.loads(line) for line in lines]
    pages = [(page["record_id"], page["html"].encode("utf-8", "replace")) for page in pages]
    extract(pages[0][1])
    texts = []
    began = time.process_time()
    for record_id, html in pages:
        texts.append((record_id, extract(html)))
    seconds = time.process_time() - began
    with open(target, "w", encoding="utf-8") as out:  # noqa: PTH123
        for record_id, text in texts:
            out.write(json.dumps({"record_id": record_id, "text": text}) + "\n")
    print(json.dumps({"pages": len(pages), "cpu_s": seconds}))


if __name__ == "__main__":
    main()
