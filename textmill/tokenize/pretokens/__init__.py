"""Pretokens, the units that no merge crosses: how text is cut into them, and how they are told apart and counted.

patterns        the regular expressions by name, and what each character is to them
cut             all pretokens of texts, by kernel: `masks` for 64 bytes at once, `next_pretoken` for the rest
pretokenizer    the same for a string: special tokens, streams
special         special tokens in bytes
blocks          text by the block
inventory       distinct pretokens in a hash table
count           how often each occurs, in texts and files
"""
