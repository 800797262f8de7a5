"""Files of tokenizers: textmill's own, and those of Hugging Face, tiktoken and GPT-2."""
