"""What a model makes of held-out text, document by document: a protocol that no training changes.

Each document stands by itself. It begins with the end-of-text token as context and has all of its tokens as targets,
its own end-of-text token included, each once. A document longer than the context is read in windows of that length,
which begin ``stride`` tokens after one another: a window counts the tokens that the one before it did not reach, and
has the others as context. With the default stride of half a context, no token is judged by less than half a context
unless its document begins there, and a long document costs twice its length. A stride of a context makes disjoint
windows: the cheapest, and the losses of a short context come out too high. Nothing is truncated, which would leave out
the part of the text that a long context is for.

So the numbers depend on model, documents, context and stride, and not on how a training packed its rows: they are those
to compare models by. The validation loss of a training is that of its own rows, in which text may go before.

Bits per byte are exact: the nats of these documents / ln 2 / their UTF-8 bytes. Probabilities are shared out over all
ids of the model, those beyond the tokenizer's included. Standard errors are those of a ratio estimator over documents
as independent draws (Cochran 1977, chapter 6): of R = sum(x) / sum(y), sqrt(n / (n-1) sum((x - R y)²)) / sum(y). Pages
of one site are alike, so that `figures` also takes clusters of documents as the draws. Two models on the same documents
are compared by `difference`, whose error is that of the differences: most of what makes documents hard is common.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textmill.errors import UserError
from textmill.tokenize.shards.permutation import permute
from textmill.train.data import DocumentSource, TokenStream
from textmill.train.likelihood import Sequences, sums_of_losses
from textmill.train.loss import LossModel
from textmill.train.model import Transformer
from textmill.train.sources import Found, Records
from textmill.train.trainer import enough_memory, precision

CPU_TOKENS, GPU_TOKENS = 1 << 11, 1 << 16  # at once; on a CPU, what its cache holds
RECORD = ["doc_id", "source", "url", "n_bytes"]
LOSSES = pa.schema(
    [
        pa.field("doc_id", pa.uint64(), nullable=False),
        pa.field("source", pa.string(), nullable=False),  # ids are unique within it
        pa.field("n_tokens", pa.int64(), nullable=False),
        pa.field("n_bytes", pa.int64()),
        pa.field("loss", pa.float64()),  # nats a token; null for a document without tokens
        pa.field("bits_per_byte", pa.float64()),  # null for one without bytes, or where they are not known
    ]
)


@dataclass(frozen=True)
class DocumentLosses:
    """What a model makes of some documents of a split."""

    numbers: NDArray[np.int64]  # [n], of the documents in their split, ascending
    n_tokens: NDArray[np.int64]  # [n]
    nats: NDArray[np.float64]  # [n], of all tokens of a document
    records: pa.Table | None  # their rows of `RECORD`; None for a split without tables

    @property
    def n_bytes(self) -> NDArray[np.int64] | None:
        """[n], None where those of a document are not known."""
        column = None if self.records is None else self.records["n_bytes"]
        return None if column is None or column.null_count else np.asarray(column.to_numpy())

    def table(self) -> pa.Table:
        """A row of `LOSSES` for each document. Errors: `UserError` for a split without tables."""
        if self.records is None:
            raise UserError("these shards have no tables of documents, so that losses cannot be told by document")
        n_bytes = self.records["n_bytes"].combine_chunks()
        sizes = n_bytes.fill_null(0).to_numpy()
        columns = [
            *(self.records[name].combine_chunks() for name in ("doc_id", "source")),
            pa.array(self.n_tokens),
            n_bytes,
            _quotients(self.nats, self.n_tokens),
            _quotients(self.nats / math.log(2), sizes),
        ]
        return pa.table(columns, schema=LOSSES)


@dataclass(frozen=True)
class Figures:
    """Means over a set of documents, each with its standard error; None where that cannot be told."""

    n_docs: int
    n_tokens: int
    n_bytes: int | None
    loss: float | None  # nats a token
    loss_error: float | None
    bits_per_byte: float | None
    bits_per_byte_error: float | None

    @property
    def perplexity(self) -> float | None:
        """Of a token."""
        return None if self.loss is None else math.exp(min(self.loss, 700.0))


def draw_documents(n_docs: int, n_wanted: int, seed: int) -> NDArray[np.int64]:
    """The numbers of the first ``n_wanted`` of ``n_docs`` documents in the shuffle of ``seed``, ascending."""
    return np.sort(permute(np.arange(min(n_wanted, n_docs), dtype=np.int64), max(1, n_docs), [seed]))


def evaluate(
    model: Transformer,
    shards: DocumentSource,
    numbers: NDArray[np.int64],
    *,
    stride: int | None = None,
    dtype: str = "auto",
    batch_tokens: int | None = None,
    on_tokens: Callable[[int], object] = lambda n: None,
) -> DocumentLosses:
    """The losses of the documents with these ``numbers`` (ascending) of a split, under the protocol of this module.

    ``stride`` is from 1 to the context (None: half of it); ``dtype`` as in `TrainConfig`; ``batch_tokens`` are read at
    once. ``on_tokens`` is told how many more are done. Errors: `UserError` for the stride, a vocabulary that the model
    does not have, weights that give no finite loss, or too little memory; `InputError` for a token that is no id.
    """
    context = model.config.context_length
    stride = default_stride(context) if stride is None else stride
    if not 1 <= stride <= context:
        raise UserError(f"stride {stride}: must be from 1 to the model's context of {context} tokens")
    if shards.vocab_size > model.config.vocab_size:
        raise UserError(
            f"the shards have {shards.vocab_size:,} ids, the model {model.config.vocab_size:,}; "
            "use shards of the model's own tokenizer"
        )
    found, starts, lengths = _places(shards, numbers)
    stream = TokenStream(shards.tokens, shards.vocab_size)
    windows = _windows(lengths, context, stride)
    sequences = _sequences(stream, windows, starts, shards.eot_id)
    sums = nats(model, sequences, dtype=dtype, batch_tokens=batch_tokens, on_tokens=on_tokens)
    total = _added(sums, windows.document, len(numbers))
    if not np.isfinite(total).all():
        raise UserError(f"the model gives a loss of {total[~np.isfinite(total)][0]}; its weights are damaged")
    records = Records.of(shards)
    return DocumentLosses(numbers, lengths, total, None if records is None else records.rows(found, RECORD))


def n_tokens_of(shards: DocumentSource, numbers: NDArray[np.int64]) -> int:
    """Tokens of the documents with these ``numbers``."""
    return int(_places(shards, numbers)[2].sum())


def default_stride(context_length: int) -> int:
    """Half a context."""
    return max(1, context_length // 2)


def nats(
    model: Transformer,
    sequences: Sequences,
    *,
    dtype: str = "auto",
    batch_tokens: int | None = None,
    on_tokens: Callable[[int], object] = lambda n: None,
) -> NDArray[np.float64]:
    """`sums_of_losses` by a model that is not in training, wherever it is. Errors: `UserError`: too little memory."""
    device = model.token_embeddings.weight.device
    at_once = batch_tokens or (CPU_TOKENS if device.type == "cpu" else GPU_TOKENS)
    remedy = f"{at_once:,} tokens at once do not fit into the memory of {device}; read {max(1, at_once // 2):,}"
    with enough_memory(remedy), precision(device, dtype):
        return sums_of_losses(sequences, LossModel(model), device, at_once, on_tokens=on_tokens)


def figures(losses: DocumentLosses, clusters: NDArray[np.int64] | None = None) -> Figures:
    """Means over all documents. ``clusters``: the number of each document's own, if these are the draws."""
    n_tokens, n_bytes = losses.n_tokens, losses.n_bytes
    loss, loss_error = _ratio(losses.nats, n_tokens, clusters)
    bits: tuple[float | None, float | None] = (None, None)
    if n_bytes is not None:
        bits = _ratio(losses.nats / math.log(2), n_bytes, clusters)
    size = None if n_bytes is None else int(n_bytes.sum())
    return Figures(len(n_tokens), int(n_tokens.sum()), size, loss, loss_error, *bits)


def difference(
    losses: DocumentLosses, other: pa.Table, clusters: NDArray[np.int64] | None = None
) -> tuple[float | None, float | None]:
    """Bits per byte less those of another model on the same documents, whose losses are ``other`` (`LOSSES`), and the
    standard error. The models may have different tokenizers. Errors: `UserError` when it lacks a document, or bytes
    are not known."""
    if losses.n_bytes is None:
        raise UserError("models are compared by bits per byte, and these shards do not say how many bytes they have")
    keys = ["doc_id", "source"]
    own = losses.table().select(keys).append_column("place", pa.array(np.arange(len(losses.numbers))))
    found = own.join(other.select([*keys, "n_tokens", "loss"]), keys, join_type="inner").sort_by("place")
    places = found["place"].to_pylist()
    if places != list(range(len(own))):
        raise UserError(
            f"{len(set(places)):,} of these {len(own):,} documents are in the table to compare with; "
            "compare models on the same documents: the same shards, split, --docs and --seed"
        )
    theirs = found["n_tokens"].to_numpy() * found["loss"].fill_null(0.0).to_numpy()
    return _ratio((losses.nats - theirs) / math.log(2), losses.n_bytes, clusters)


def figures_by_group(
    losses: DocumentLosses, names: Sequence[str], groups: NDArray[np.int64], n_top: int
) -> Iterator[tuple[str, Figures]]:
    """Those of each group, given as the place of each document's own in ``names``: the ``n_top`` with the most tokens,
    the largest first, then the others together as "(the other N)"."""
    n_tokens = np.bincount(groups, losses.n_tokens, minlength=len(names))
    n_docs = np.bincount(groups, minlength=len(names))
    order = np.lexsort((np.arange(len(names)), -n_tokens))
    order = order[n_docs[order] > 0]
    for group in order[:n_top].tolist():
        yield names[group], figures(_some(losses, groups == group))
    if rest := len(order[n_top:]):
        yield f"(the other {rest:,})", figures(_some(losses, np.isin(groups, order[n_top:])))


def _some(losses: DocumentLosses, chosen: NDArray[np.bool_]) -> DocumentLosses:
    records = None if losses.records is None else losses.records.filter(pa.array(chosen))
    return DocumentLosses(losses.numbers[chosen], losses.n_tokens[chosen], losses.nats[chosen], records)


def _ratio(
    above: NDArray[np.float64], below: NDArray[np.float64] | NDArray[np.int64], clusters: NDArray[np.int64] | None
) -> tuple[float | None, float | None]:
    """sum(above) / sum(below) and its standard error; see the module."""
    if clusters is not None:
        present, own = np.unique(clusters, return_inverse=True)
        above, below = (_added(values, own, len(present)) for values in (above, below))
    total, n = float(below.sum()), len(below)
    if total == 0:
        return None, None
    ratio = float(above.sum()) / total
    if n < 2:
        return ratio, None
    return ratio, math.sqrt(n / (n - 1) * float(((above - ratio * below) ** 2).sum())) / total


def _added(values: NDArray[np.float64] | NDArray[np.int64], places: NDArray[np.int64], n: int) -> NDArray[np.float64]:
    """Values added up at their places, of n."""
    sums = np.zeros(n)
    np.add.at(sums, places, values)
    return sums


def _quotients(above: NDArray[np.float64], below: NDArray[np.int64]) -> pa.Array:
    """Null where ``below`` is 0."""
    return pa.array(above / np.maximum(below, 1), mask=below == 0)


def _places(shards: DocumentSource, numbers: NDArray[np.int64]) -> tuple[Found, NDArray[np.int64], NDArray[np.int64]]:
    """Documents, counted over all shards: which they are, where they begin in the stream, and their tokens."""
    n_docs = np.array([len(offsets) - 1 for offsets in shards.offsets], np.int64)
    n_tokens = np.array([len(tokens) for tokens in shards.tokens], np.int64)
    ends = np.cumsum(n_docs)
    shard = np.searchsorted(ends, numbers, side="right")
    document = numbers - (ends - n_docs)[shard]
    starts, lengths = np.empty((2, len(numbers)), np.int64)
    for i in np.unique(shard).tolist():
        here, offsets = shard == i, shards.offsets[i]
        first, last = (offsets[document[here] + k].astype(np.int64) for k in (0, 1))
        starts[here] = first + n_tokens[:i].sum()
        lengths[here] = last - first
    return Found(shard, document), starts, lengths


@dataclass(frozen=True)
class _Windows:
    """Of several documents; one without tokens has none."""

    document: NDArray[np.int64]  # [n], which of the documents
    begin: NDArray[np.int64]  # [n], in its document
    length: NDArray[np.int64]  # [n]
    n_counted: NDArray[np.int64]  # [n], at its end


def _windows(lengths: NDArray[np.int64], context: int, stride: int) -> _Windows:
    """The windows of documents of these ``lengths``, in order."""
    n_windows = np.where(lengths > 0, 1 + -(-np.maximum(0, lengths - context) // stride), 0)
    document = np.repeat(np.arange(len(lengths)), n_windows)
    number = np.arange(len(document)) - np.repeat(np.cumsum(n_windows) - n_windows, n_windows)
    begin = number * stride
    length = np.minimum(context, lengths[document] - begin)
    return _Windows(document, begin, length, np.where(number == 0, length, length - (context - stride)))


def _sequences(stream: TokenStream, windows: _Windows, starts: NDArray[np.int64], eot_id: int) -> Sequences:
    """Windows, with the token before each: the end of text for those that begin a document."""
    begins = starts[windows.document] + windows.begin
    before = np.full(len(begins), eot_id, np.int64)
    later = np.flatnonzero(windows.begin > 0)
    own = np.empty(len(later), np.int64)
    stream.copy(begins[later] - 1, np.ones(len(later), np.int64), own, np.arange(len(later)))
    before[later] = own
    return Sequences(stream, before, begins, windows.length, windows.n_counted)
