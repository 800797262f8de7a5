"""One task of one rival, on documents in a text file. Runs in the rivals' own environment.

    python tokenizer_tasks.py train {huggingface,rustbpe,gigatoken} TEXT VOCAB_SIZE OUT.json
    python tokenizer_tasks.py encode {huggingface,tiktoken,gigatoken} TEXT TOKENIZER.json RANKS.tiktoken

Documents stand between lines of ``<|endoftext|>``. They are in memory before the clock starts, but for gigatoken's
training, which reads files. Training: all of it, on as many threads as the library takes. Encoding: one thread, twice
over the text, so that the second time finds the library's caches filled; tiktoken and Hugging Face get a document at a
time, or batches if that is faster. Prints one JSON object: wall and CPU seconds, and merges or tokens.
"""
# mypy: disable-error-code="import-not-found,import-untyped"

from __future__ import annotations

import base64
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

END = "<|endoftext|>"
GPT2 = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""


def timed(job: Callable[[], object]) -> tuple[dict[str, float], object]:
    wall, cpu = time.perf_counter(), os.times()
    result = job()
    after = os.times()
    cpu_s = after.user + after.system - cpu.user - cpu.system
    return {"wall_s": time.perf_counter() - wall, "cpu_s": cpu_s}, result


def train(system: str, text: Path, vocab_size: int, out: Path) -> dict[str, object]:
    documents = text.read_text().split(f"\n{END}\n")
    if system == "gigatoken":
        import gigatoken

        source = gigatoken.TextFileSource([str(text)], separator=END)
        figures, trained = timed(lambda: gigatoken.train_bpe(source, vocab_size, [END]))
        merges = trained[1] if isinstance(trained, tuple) else trained.merges  # type: ignore[attr-defined]
    elif system == "rustbpe":
        import rustbpe

        trainer = rustbpe.Tokenizer()
        figures, _ = timed(lambda: trainer.train_from_iterator(iter(documents), vocab_size - 1, pattern=GPT2))
        merges = trainer.get_mergeable_ranks()[256:]
    else:
        from tokenizers import Tokenizer, models, pre_tokenizers, trainers

        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size, special_tokens=[END], initial_alphabet=alphabet, show_progress=False
        )
        figures, _ = timed(lambda: tokenizer.train_from_iterator(documents, trainer))
        tokenizer.save(str(out))
        merges = json.loads(out.read_text())["model"]["merges"]
    return {**figures, "n_merges": len(merges)}


def encode(system: str, text: Path, hf_file: Path, ranks_file: Path) -> list[dict[str, object]]:
    documents = text.read_text().split(f"\n{END}\n")
    job = {"huggingface": huggingface, "tiktoken": tiktoken, "gigatoken": gigatoken}[system](hf_file, ranks_file)
    job(["warm up"])
    rounds = []
    for _ in range(2):
        figures, n_tokens = timed(lambda: job(documents))
        rounds.append({**figures, "n_tokens": n_tokens})
    return rounds


def huggingface(hf_file: Path, _: Path) -> Callable[[Sequence[str]], int]:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(hf_file))
    return lambda documents: sum(
        len(encoding.ids) for encoding in tokenizer.encode_batch_fast(documents, add_special_tokens=False)
    )


def tiktoken(_: Path, ranks_file: Path) -> Callable[[Sequence[str]], int]:
    import tiktoken

    lines = (line.split() for line in ranks_file.read_text().splitlines())
    ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
    encoding = tiktoken.Encoding("compared", pat_str=GPT2, mergeable_ranks=ranks, special_tokens={})
    return lambda documents: sum(len(encoding.encode_ordinary(document)) for document in documents)


def gigatoken(hf_file: Path, _: Path) -> Callable[[Sequence[str]], int]:
    import gigatoken

    tokenizer = gigatoken.Tokenizer(str(hf_file))

    def job(documents: Sequence[str]) -> int:
        encoded = tokenizer.encode_batch(list(documents), parallel=False)
        return sum(map(len, encoded)) if len(encoded) < 10 else int(encoded.layout.content.length)

    return job


def main() -> None:
    task, system, text, *rest = sys.argv[1:]
    if task == "train":
        print(json.dumps(train(system, Path(text), int(rest[0]), Path(rest[1]))))
    else:
        print(json.dumps(encode(system, Path(text), Path(rest[0]), Path(rest[1]))))


if __name__ == "__main__":
    main()
