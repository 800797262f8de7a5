"""``textmill tokenizer convert``, ``encode`` and ``decode``: formats of other tools, and a quick look at tokens."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from textmill.cli.first_use import ENCODING, say_if_compiling

if TYPE_CHECKING:
    from textmill.tokenize import Tokenizer

CONVERT_EXAMPLES = """\
examples:
  textmill tokenizer convert tokenizer.json for-hf --to hf       a folder that transformers.AutoTokenizer loads
  textmill tokenizer convert tokenizer.json ranks.tiktoken --to tiktoken
  textmill tokenizer convert gpt2/ tokenizer.json --to textmill  from vocab.json and merges.txt, or tokenizer.json
  textmill tokenizer convert my.tiktoken t.json --to textmill --pattern cl100k

What IN is shows in its content. A tokenizer that would give other ids is refused.
"""
ENCODE_EXAMPLES = """\
examples:
  textmill tokenizer encode tokenizer.json 'The lighthouse keeper'
  textmill tokenizer encode tokenizer.json - < page.txt
  textmill tokenizer encode tokenizer.json --ids 'some words' | textmill tokenizer decode tokenizer.json -
"""
LONGEST_ESCAPE = len(r"\U0010ffff")
_COLOURS = ("on dark_green", "on dark_blue", "on dark_magenta", "on grey35", "on dark_red")


def add_convert(actions: Any) -> None:
    """Add the three to what ``textmill tokenizer`` can do."""
    raw = argparse.RawDescriptionHelpFormatter
    convert = actions.add_parser(
        "convert", help="read and write formats of others", epilog=CONVERT_EXAMPLES, formatter_class=raw
    )
    convert.add_argument("source", metavar="IN", help="a file, or a folder with tokenizer.json or vocab.json")
    convert.add_argument("out", metavar="OUT", help="a folder for hf and gpt2, a file for the others")
    convert.add_argument("--to", required=True, metavar="KIND", help="hf, tiktoken, gpt2 or textmill")
    _add_pattern(convert)
    convert.set_defaults(command=_convert)

    encode = actions.add_parser("encode", help="show the tokens of a text", epilog=ENCODE_EXAMPLES, formatter_class=raw)
    encode.add_argument("tokenizer", metavar="TOKENIZER", help="a file or folder of any kind")
    encode.add_argument("text", metavar="TEXT", help="to encode; - for standard input")
    encode.add_argument("--ids", action="store_true", help="print nothing but the ids")
    encode.add_argument("--ordinary", action="store_true", help="special tokens in the text are ordinary text")
    _add_pattern(encode)
    encode.set_defaults(command=_encode)

    decode = actions.add_parser(
        "decode", help="print the text of token ids", epilog=ENCODE_EXAMPLES, formatter_class=raw
    )
    decode.add_argument("tokenizer", metavar="TOKENIZER", help="a file or folder of any kind")
    decode.add_argument("ids", nargs="+", metavar="ID", help="between blanks or commas; - for standard input")
    _add_pattern(decode)
    decode.set_defaults(command=_decode)


def _add_pattern(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pattern", metavar="NAME", help="how text is cut, where the file does not say (tiktoken)")


def _convert(options: argparse.Namespace) -> None:
    from textmill.tokenize import Tokenizer

    tokenizer = Tokenizer.load(options.source, pattern=options.pattern)
    for path in tokenizer.save(options.out, options.to):
        print(path)
    if options.to == "tiktoken":
        special = ", ".join(f"{token!r}: {number}" for token, number in tokenizer.special_ids.items())
        print(f"not in the file: pattern {tokenizer.pattern}, special tokens {{{special}}}")


def _encode(options: argparse.Namespace) -> None:
    from textmill.tokenize import Tokenizer

    say_if_compiling(ENCODING)
    tokenizer = Tokenizer.load(options.tokenizer, pattern=options.pattern)
    text = sys.stdin.buffer.read().decode(errors="replace") if options.text == "-" else options.text
    ids = tokenizer.encode_ordinary(text) if options.ordinary else tokenizer.encode(text)
    if options.ids:
        print(*ids)
    elif sys.stdout.isatty():
        _show_colours(tokenizer, ids)
    else:
        for number in ids:
            print(number, _shown(tokenizer.vocab[number]), sep="\t")


def _show_colours(tokenizer: Tokenizer, ids: list[int]) -> None:
    """Each token on a ground of its own, then all ids, then what they amount to."""
    from rich.text import Text

    from textmill.terminal import console

    pieces = Text()
    n_bytes = 0
    for i, number in enumerate(ids):
        token = tokenizer.vocab[number]
        n_bytes += len(token)
        pieces.append(_shown(token), style=_COLOURS[i % len(_COLOURS)])
        if token.endswith(b"\n"):
            pieces.append("\n")
    console().print(pieces)
    print(*ids)
    print(f"{len(ids):,} tokens, {n_bytes:,} bytes, {n_bytes / max(1, len(ids)):.2f} bytes per token")


def _shown(token: bytes) -> str:
    from textmill.terminal import safe

    return safe(token.decode(errors="backslashreplace"))


def _decode(options: argparse.Namespace) -> None:
    from textmill.errors import UserError
    from textmill.terminal import safe
    from textmill.tokenize import Tokenizer

    tokenizer = Tokenizer.load(options.tokenizer, pattern=options.pattern)
    words = " ".join([sys.stdin.read()] if options.ids == ["-"] else options.ids).replace(",", " ").split()
    wrong = [word for word in words if not word.isdecimal()]
    if wrong:
        raise UserError(f"{wrong[0]!r} is no token id; give numbers")
    text = tokenizer.decode(map(int, words))
    if sys.stdout.isatty():
        for line in text.split("\n"):  # anybody's text: what would steer the terminal is shown
            print(safe(line, max_chars=len(line) * LONGEST_ESCAPE))
    else:
        sys.stdout.buffer.write(text.encode())  # the same whatever the locale
