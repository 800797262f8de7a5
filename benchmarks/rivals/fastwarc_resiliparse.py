"""The barest loop from an archive to text: fastwarc and resiliparse, nothing kept. Run by benchmarks/extraction.py.

    python fastwarc_resiliparse.py ARCHIVE

No status, no budget, no byte accounted for; a page that raises is passed over. Prints how many pages gave text.
"""

from __future__ import annotations

import sys

from fastwarc.warc import ArchiveIterator, WarcRecordType
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import bytes_to_str, detect_encoding


def main() -> None:
    n_texts = n_chars = 0
    with open(sys.argv[1], "rb") as stream:  # noqa: PTH123
        for record in ArchiveIterator(stream, record_types=WarcRecordType.response, parse_http=True):
            html = record.reader.read()
            try:
                text = extract_plain_text(bytes_to_str(html, detect_encoding(html) or "utf-8"), main_content=True)
            except Exception:
                continue
            n_texts += bool(text)
            n_chars += len(text)
    print(n_texts, n_chars)


if __name__ == "__main__":
    main()
