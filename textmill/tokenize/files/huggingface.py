"""Hugging Face's ``tokenizer.json``, as the library ``tokenizers`` reads and writes it.

Read are byte-level BPE models whose text is cut by one of our patterns: GPT-2's ``ByteLevel``, or ``Split`` with a
regular expression and then ``ByteLevel`` without its own (GPT-4, Llama 3, nanochat). Whatever would change an id and
that textmill does not do is refused: normalizers, prefix spaces, dropout, added tokens that take white space with them.
What a post-processor adds around a text (a begin-of-text token) is left out, as with ``add_special_tokens=False``.
Added tokens become special tokens, special there or not: `Tokenizer.encode` finds them as Hugging Face does.

Written is the same, with ``tokenizer_config.json`` beside it, so that ``transformers.AutoTokenizer`` loads the folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from textmill.errors import InputError
from textmill.tokenize.files.byte_alphabet import from_printable, to_printable
from textmill.tokenize.files.definition import END_OF_TEXT, Definition
from textmill.tokenize.pretokens.patterns import PATTERNS

# The patterns in the syntax of Oniguruma, to which `$` is the end of a line and `{1,3}+` no possessive.
REGEXES = {
    "gpt2": r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+""",
    "cl100k": (
        r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"""
        r"""|\s*[\r\n]+|\s+(?!\S)|\s+"""
    ),
    "nanochat": (
        r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,2}| ?[^\s\p{L}\p{N}]++[\r\n]*"""
        r"""|\s*[\r\n]|\s+(?!\S)|\s+"""
    ),
    "o200k": PATTERNS["o200k"],
}
_ORIGINAL_GPT2 = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
_NAMES = {_ORIGINAL_GPT2: "gpt2"} | {regex: name for form in (PATTERNS, REGEXES) for name, regex in form.items()}
_WAYS = (("Isolated", False), ("Removed", True))  # of splitting, both of which keep what matches
_NO_LIMIT = int(1e30)  # what transformers writes for a model without a longest input


def parse_hf(content: Mapping[str, Any], name: str) -> Definition:
    """The tokenizer in a file with this content.

    Errors: `InputError` for what textmill would encode in another way; KeyError, TypeError, ValueError or
    AttributeError for what is no such file.
    """
    model = content["model"]
    _refuse(name, _other_than_bpe(content, model))
    pattern = _pattern_of(content["pre_tokenizer"], name)
    special = {str(added["content"]): int(added["id"]) for added in content.get("added_tokens") or ()}
    vocab = dict(zip(map(int, model["vocab"].values()), from_printable(list(model["vocab"])), strict=True))
    vocab |= {number: token.encode() for token, number in special.items()}
    merges = _parse_merges(model["merges"])
    return Definition(vocab, merges, special, pattern, bool(model.get("ignore_merges")))


def _other_than_bpe(content: Mapping[str, Any], model: Mapping[str, Any]) -> Iterable[str]:
    """What the file asks for and textmill does not do."""
    if model.get("type", "BPE") != "BPE":
        yield f"a model of type {model['type']}"
    if content.get("normalizer") and content["normalizer"].get("normalizers") != []:
        yield f"the normalizer {content['normalizer'].get('type')}"
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"):
        if model.get(key):
            yield f"{key} {model[key]!r}"
    for added in content.get("added_tokens") or ():
        for key in ("lstrip", "rstrip", "single_word"):
            if added.get(key):
                yield f"the added token {added['content']!r} with {key}"


def _pattern_of(step: Any, name: str) -> str:
    """The name of the pattern by which a pre-tokenizer cuts."""
    *splits, last = step["pretokenizers"] if step and step["type"] == "Sequence" else [step or {}]
    if last.get("type") != "ByteLevel" or any(split["type"] != "Split" for split in splits):
        _refuse(name, ["a pre-tokenizer that is not ByteLevel, nor Split and then ByteLevel"])
    if last.get("add_prefix_space", True):
        _refuse(name, ["add_prefix_space"])
    regexes = [split["pattern"].get("Regex") for split in splits]
    if last.get("use_regex", True):
        regexes.append(REGEXES["gpt2"])
    plain = all((split["behavior"], split.get("invert", False)) in _WAYS for split in splits)
    if len(regexes) != 1 or regexes[0] not in _NAMES or not plain:
        _refuse(name, [f"a pattern that is none of {', '.join(PATTERNS)}: {' and then '.join(map(repr, regexes))}"])
    return _NAMES[regexes[0]]


def _refuse(name: str, reasons: Iterable[str]) -> None:
    for reason in reasons:
        raise InputError(f"{name}: has {reason}; textmill would give other ids than Hugging Face")


def _parse_merges(merges: Sequence[Any]) -> list[tuple[bytes, bytes]]:
    """From strings with a space between the two tokens, or from lists of two."""
    pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in merges]
    left, right = (from_printable(column) for column in ([pair[k] for pair in pairs] for k in (0, 1)))
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError("a merge is not of two tokens")
    return list(zip(left, right, strict=True))


def format_hf(definition: Definition, name: str) -> dict[str, Any]:
    """The content of ``tokenizer.json``. Errors: `InputError` for a special token that reads like another token."""
    vocab = definition.vocab
    special = {number: token for token, number in definition.special_tokens.items()}
    numbers = [number for number in vocab if number not in special]
    ids: dict[str, int] = {}
    for token, number in zip(to_printable([vocab[number] for number in numbers]), numbers, strict=True):
        ids.setdefault(token, number)  # of two equal tokens only the first is ever made
    for number, token in special.items():
        if token in ids:
            raise InputError(f"{name}: the special token {token!r} reads like the ordinary token {ids[token]}")
        ids[token] = number
    merges = dict.fromkeys(definition.merges)  # of equal merges the first counts, in theirs the last
    left, right = (to_printable([merge[k] for merge in merges]) for k in (0, 1))
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added_token(number, token) for number, token in sorted(special.items())],
        "normalizer": None,
        "pre_tokenizer": _format_pattern(definition.pattern),
        "post_processor": None,
        "decoder": _BYTE_LEVEL | {"use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": definition.whole_tokens,
            "vocab": dict(sorted(ids.items(), key=lambda item: item[1])),
            "merges": list(map(" ".join, zip(left, right, strict=True))),  # as text, which older versions read too
        },
    }


def hf_config(special_tokens: Iterable[str]) -> dict[str, Any]:
    """The content of ``tokenizer_config.json``."""
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": _NO_LIMIT,
        "clean_up_tokenization_spaces": False,
    }
    if END_OF_TEXT in special_tokens:
        config |= {"bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT}
    return config


_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}


def _format_pattern(pattern: str) -> dict[str, Any]:
    if pattern == "gpt2":
        return _BYTE_LEVEL | {"use_regex": True}
    split = {"type": "Split", "pattern": {"Regex": REGEXES[pattern]}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [split, _BYTE_LEVEL | {"use_regex": False}]}


def _added_token(number: int, token: str) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": number, "content": token, **flags, "special": True}
