"""Byte-pair encodings: train one, encode with it, and write token shards that remember where each token came from."""

from textmill.tokenize.bpe.train import train_bpe, train_from_counts
from textmill.tokenize.encoding.tokenizer import Tokenizer
from textmill.tokenize.pretokens.count import count_pretokens

__all__ = ["Tokenizer", "count_pretokens", "train_bpe", "train_from_counts"]
