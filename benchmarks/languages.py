"""How often the language is right, for each language, and what finding it costs beside extraction.

    python benchmarks/languages.py lid.176.ftz tatoeba.jsonl.gz [...] [--crawl pages.warc.gz] [--out FILE]

Texts are lines with ``lang`` and ``text``. Of each language up to 20,000 characters are strung together to texts of
3,000, which are labelled four ways: by the sample (the first 1,000 characters), by the whole text, by fastText itself,
and by the built-in detector. Prints a table in Markdown; languages that the model does not know are left out of it.
With ``--crawl`` it also measures, on one core, the default mode against the extraction of the same pages.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import fasttext
from harness import Figures, machine, write_figures

from textmill.filters.fasttext_model import load
from textmill.filters.language import Language, find_model, iso_code
from textmill.pipeline.extract import extract_record
from textmill.pipeline.reading.warc import Record, read_range
from textmill.text import Documents

TEXT_CHARS, LANGUAGE_CHARS = 3000, 20_000
N_PAGES = 400
REPEATS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("texts", nargs="+", type=Path)
    parser.add_argument("--crawl", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    official = find_model(options.model)
    whole = Language(official.model, official.digest, sample_chars=0)
    reference = fasttext.load_model(options.model)
    ways: dict[str, Callable[[list[str]], list[str]]] = {
        "sample": lambda texts: labels(official, texts),
        "whole": lambda texts: labels(whole, texts),
        "fasttext": lambda texts: [
            iso_code(reference.predict(text.replace("\n", " "))[0][0].removeprefix("__label__")) for text in texts
        ],
        "builtin": lambda texts: labels(Language(), texts),
    }
    known = {iso_code(label) for label in load(options.model).labels}
    table = {name: texts for name, texts in sorted(read_texts(options.texts).items()) if name in known}
    right = {way: {name: share(label(texts), name) for name, texts in table.items()} for way, label in ways.items()}
    print(f"| language | texts | {' | '.join(ways)} |\n| --- | ---: |{' ---: |' * len(ways)}")
    for name, texts in table.items():
        print(f"| {name} | {len(texts)} | {' | '.join(f'{right[way][name]:.2f}' for way in ways)} |")
    means = {way: round(statistics.mean(values.values()), 4) for way, values in right.items()}
    print(f"| mean of {len(table)} | | {' | '.join(f'{means[way]:.3f}' for way in ways)} |")
    figures: Figures = {"n_languages": len(table), **{f"right_{way}": mean for way, mean in means.items()}}
    if options.crawl:
        figures |= costs(options.crawl, official, reference)
    if options.out:
        write_figures({"languages": figures, "machine": machine()}, options.out)
    print(json.dumps(figures))


def read_texts(files: list[Path]) -> dict[str, list[str]]:
    """Texts of about `TEXT_CHARS` by language, as ISO 639-1 has it."""
    joined: dict[str, str] = {}
    for file in files:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                name = iso_code(row["lang"])
                if len(joined.get(name, "")) < LANGUAGE_CHARS:
                    joined[name] = joined.get(name, "") + row["text"] + "\n"
    return {
        name: [text[i : i + TEXT_CHARS] for i in range(0, max(len(text) - TEXT_CHARS // 2, 1), TEXT_CHARS)]
        for name, text in joined.items()
    }


def labels(scorer: Language, texts: list[str]) -> list[str]:
    found: list[str] = scorer.score(Documents.from_texts(texts))[0].to_pylist()
    return found


def share(found: list[str], name: str) -> float:
    return sum(label == name for label in found) / len(found)


def costs(crawl: Path, scorer: Language, reference: fasttext.FastText) -> Figures:
    """Microseconds a page: extraction, our default mode, the whole text, and fastText's predict of the same sample."""
    records = []
    size = crawl.stat().st_size
    with crawl.open("rb") as stream:
        for item in read_range(stream, 0, size, size, {"response"}):
            if isinstance(item, Record):
                records.append(item)
            if len(records) == N_PAGES:
                break
    texts = [page.text for page in map(extract_record, records) if page.text]
    documents = Documents.from_texts(texts)
    whole = Language(scorer.model, scorer.digest, sample_chars=0)
    samples = [" ".join(text[: scorer.sample_chars].split()) for text in texts]
    builtin = Language()
    work: dict[str, Callable[[], object]] = {
        "extraction": lambda: [extract_record(record) for record in records],
        "sample": lambda: scorer.score(documents),
        "whole": lambda: whole.score(documents),
        "fasttext": lambda: [reference.predict(sample, k=2) for sample in samples],
        "builtin": lambda: builtin.score(documents),
    }
    took: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(REPEATS):  # in turn, so that a busy machine slows all of them
        for name, do in work.items():
            before = time.process_time()
            do()
            took[name].append(time.process_time() - before)
    us = {name: 1e6 * statistics.median(seconds) / len(texts) for name, seconds in took.items()}
    figures: Figures = {f"{name}_us": round(value, 1) for name, value in us.items()}
    return figures | {"sample_of_extraction_frac": round(us["sample"] / us["extraction"], 4)}


if __name__ == "__main__":
    main()
