"""Files of tokenizers: reading those of textmill, Hugging Face, tiktoken and GPT-2, and writing all four.

What a file is shows in its content. It is read without Python's garbage collector, which would go through everything
that is in memory again and again while a file of 50,000 merges is taken apart: loading takes half the time without.
"""

from __future__ import annotations

import contextlib
import gc
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from textmill import storage
from textmill.errors import InputError, UnknownNameError, UserError
from textmill.tokenize.files.byte_alphabet import from_printable
from textmill.tokenize.files.definition import END_OF_TEXT, Definition, special_ids
from textmill.tokenize.files.huggingface import format_hf, hf_config, parse_hf
from textmill.tokenize.files.tiktoken import format_ranks, parse_ranks

FORMAT = "textmill-tokenizer-1"
KINDS = ("textmill", "hf", "tiktoken", "gpt2")
VOCAB_NAMES, MERGES_NAMES = ("vocab.json", "encoder.json"), ("merges.txt", "vocab.bpe")  # today's, GPT-2's own
_RANK = re.compile(rb"[A-Za-z0-9+/]+={0,2} \d+\r?\n")


def read_tokenizer(uri: str, pattern: str | None = None) -> Definition:
    """The tokenizer at ``uri``: a file of one of the `KINDS`, or a folder with one.

    Ranks of tiktoken do not say their ``pattern``. Errors: `InputError`; `UserError` for a pattern that is missing, or
    given where the file has its own.
    """
    uri = _file_in(uri)
    data = _read(uri)
    with no_collection():
        if _RANK.match(data):
            return parse_ranks(data, uri, pattern)
        definition = _parse_json(data, uri)
    if pattern not in (None, definition.pattern):
        raise UserError(f"{uri}: its pattern is {definition.pattern}, not {pattern}")
    return definition


def write_tokenizer(definition: Definition, uri: str, kind: str) -> list[str]:
    """Write one of the `KINDS`: textmill and tiktoken to a file, hf and gpt2 to a folder. Returns what was written.

    Errors, before anything is written: `UnknownNameError`; `InputError` for a tokenizer that the kind cannot express;
    `WorkspaceError` where no file can be written.
    """
    if kind not in KINDS:
        raise UnknownNameError("kind of tokenizer file", kind, KINDS)
    if kind == "textmill":
        files = {uri: storage.to_json(textmill_content(definition))}
    elif kind == "tiktoken":
        files = {uri: format_ranks(definition, uri)}
    elif kind == "hf":
        files = {
            storage.join(uri, "tokenizer.json"): _to_json(format_hf(definition, uri)),
            storage.join(uri, "tokenizer_config.json"): _to_json(hf_config(definition.special_tokens)),
        }
    else:
        texts = format_gpt2(definition, uri)
        files = {storage.join(uri, name): text for name, text in zip(("vocab.json", "merges.txt"), texts, strict=True)}
    for file in files:
        storage.check_writable(file)
    for file, text in files.items():
        storage.write_text(text, file)
    return list(files)


def _file_in(uri: str) -> str:
    """The file to read: ``uri``, or what a local folder holds."""
    storage.check_uri(uri)
    path = storage.local_path(uri)
    if storage.is_local(uri) and path.is_dir():
        for name in ("tokenizer.json", *VOCAB_NAMES):
            if (path / name).exists():
                return str(path / name)
        raise InputError(f"{uri}: a folder without tokenizer.json or vocab.json")
    return uri


def _read(uri: str) -> bytes:
    try:
        with storage.open_read(uri) as stream:
            return bytes(stream.read())
    except OSError as error:
        raise InputError(f"{uri}: cannot be read ({error.strerror or error})") from error


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """Without garbage collection, for as long as many objects are made that all stay."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _to_json(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def _parse_json(data: bytes, uri: str) -> Definition:
    try:
        content = json.loads(data)
        if isinstance(content.get("format"), str):  # GPT-2 has tokens "format" and "model", which are numbers
            return _parse_textmill(content, uri)
        if isinstance(content.get("model"), dict):
            return parse_hf(content, uri)
        if content and all(isinstance(number, int) for number in content.values()):
            return _with_merges(content, uri)
    except (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise InputError(f"{uri}: not a tokenizer, or a damaged one ({type(error).__name__}: {error})") from error
    raise InputError(f"{uri}: not a tokenizer of textmill, Hugging Face, tiktoken or GPT-2")


# --- textmill's own ---


def textmill_content(definition: Definition) -> dict[str, Any]:
    """``format``, name of the ``pattern``, ``vocab`` (id to token), ``merges`` (pairs), ``special_tokens`` (texts).

    Each character of a token stands for the byte of the same number (Latin-1).
    """
    return {
        "format": FORMAT,
        "pattern": definition.pattern,
        "vocab": {str(number): token.decode("latin-1") for number, token in definition.vocab.items()},
        "merges": [[left.decode("latin-1"), right.decode("latin-1")] for left, right in definition.merges],
        "special_tokens": list(definition.special_tokens),
    }


def _parse_textmill(content: dict[str, Any], uri: str) -> Definition:
    if content["format"] != FORMAT:
        raise InputError(f"{uri}: format {content['format']!r}, expected {FORMAT!r}")
    for name, kind in {"pattern": str, "special_tokens": list}.items():
        if not isinstance(content[name], kind):
            raise TypeError(f"{name} is {content[name]!r}")
    vocab = {int(number): token.encode("latin-1") for number, token in content["vocab"].items()}
    merges = [(left.encode("latin-1"), right.encode("latin-1")) for left, right in content["merges"]]
    return Definition(vocab, merges, special_ids(vocab, content["special_tokens"]), content["pattern"])


# --- the two files of GPT-2 ---


def read_gpt2(vocab_uri: str, merges_uri: str, special_tokens: Sequence[str]) -> Definition:
    """A tokenizer in two files: JSON, token to id, and text, one merge a line, with a space between its tokens."""
    vocab, merges = _read(vocab_uri), _read(merges_uri)
    with no_collection():
        try:
            return _parse_gpt2(json.loads(vocab), merges.decode(), special_tokens)
        except (AttributeError, RecursionError, TypeError, ValueError) as error:
            raise InputError(f"{vocab_uri}, {merges_uri}: not a vocabulary of GPT-2 ({error})") from error


def _with_merges(ids: dict[str, int], uri: str) -> Definition:
    """The same, with the second file beside the first, and ``<|endoftext|>`` special when it is there."""
    folder = uri.rpartition("/")[0] or "."
    found = [file for name in MERGES_NAMES if storage.exists(file := storage.join(folder, name))]
    if not found:
        raise InputError(f"{uri}: a vocabulary of GPT-2, without {' or '.join(MERGES_NAMES)} beside it")
    return _parse_gpt2(ids, _read(found[0]).decode(), [END_OF_TEXT] if END_OF_TEXT in ids else [])


def _parse_gpt2(ids: dict[str, int], text: str, special_tokens: Sequence[str]) -> Definition:
    vocab = dict(zip(map(int, ids.values()), from_printable(list(ids)), strict=True))
    vocab |= {int(ids[token]): token.encode() for token in special_tokens if token in ids}
    lines = [line for line in text.split("\n") if line and not line.startswith("#version")]
    wrong = [line for line in lines if line.count(" ") != 1]
    if wrong:
        raise ValueError(f"{wrong[0]!r} is no merge of two tokens")
    tokens = from_printable(" ".join(lines).split(" ")) if lines else []
    merges = list(zip(tokens[::2], tokens[1::2], strict=True))
    return Definition(vocab, merges, special_ids(vocab, special_tokens), "gpt2")


def format_gpt2(definition: Definition, name: str) -> tuple[str, str]:
    """The content of both files. Errors: `InputError` for another pattern, which they could not tell."""
    if definition.pattern != "gpt2":
        raise InputError(f"{name}: the files of GPT-2 mean its pattern, not {definition.pattern}; take hf")
    model = format_hf(definition, name)["model"]
    return _to_json(model["vocab"]), "\n".join(["#version: 0.2", *model["merges"], ""])
