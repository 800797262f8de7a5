"""Text to token ids and back: `tokenizer` has the interface, the others the kernels."""
