"""Byte-pair encodings: train one, encode with it, and write token shards that remember where each token came from."""

from textmill.tokenize.bpe import train_bpe, train_from_counts
from textmill.tokenize.encode import Tokenizer
from textmill.tokenize.pretokenize import count_pretokens

__all__ = ["Tokenizer", "count_pretokens", "train_bpe", "train_from_counts"]
