"""The second part: documents/s and tokens/s of encoding, beside sentence-transformers and the card's matmul rate."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any

from models import SIZES, flops

from gpu_parts.context import Context, Measurement
from gpu_parts.devices import matmul_rate, rate, reset_peak, timed
from gpu_parts.peers import attention_kernels, sparse_encoder
from gpu_parts.profiling import profile
from gpu_parts.workload import checkpoint, documents, encoder, lengths_of, saved_checkpoint

DOCUMENTS, TOKENS, SHARE = "documents/s", "tokens/s", "share of the matmul rate"
OURS, TEXTS_ONLY, FILES, THEIRS = "from texts to impacts", "from tokens alone", "from texts to files", "SparseEncoder"
PRECISIONS = ("fp16", "bf16")


def measurements(context: Context) -> Iterator[Measurement]:
    """Yield the rates of the matmul, then those of each size, length and type, the most important first."""
    for precision in PRECISIONS:
        yield Measurement(matmul_name(precision), partial(matmul, context, precision), seconds=3)
    sizes, lengths = context.sizes.models, context.sizes.lengths
    first = (sizes[0], lengths[0], "fp16")
    others = [(size, length, "fp16") for length in lengths for size in sizes if (size, length) != first[:2]]
    for case in (first, *others, *((size, lengths[0], "bf16") for size in sizes)):
        yield from _case(context, *case, whole=case == first)
    yield Measurement(f"profile, {' '.join(map(str, first))}", partial(profile, context, *first), seconds=15)


def _case(context: Context, size: str, length: int, precision: str, *, whole: bool) -> Iterator[Measurement]:
    name = f"{size}, {length} tokens, {precision}"
    case = (context, size, length, precision)
    yield Measurement(f"{name}: {OURS}", partial(ours, *case, texts_to_impacts), seconds=15)
    yield Measurement(f"{name}: {TEXTS_ONLY}", partial(ours, *case, run_alone), seconds=10)
    yield Measurement(f"{name}: {THEIRS}", partial(theirs, *case), needs=("sentence_transformers",), seconds=20)
    if whole:
        yield Measurement(f"{name}: {FILES}", partial(ours, *case, texts_to_files), seconds=15)
        yield Measurement(f"{name}: head alone", partial(head, *case), seconds=5)


def matmul_name(precision: str) -> str:
    """Return the name of the row with the rate of a matrix product."""
    return f"matrix product, {precision}"


def matmul(context: Context, precision: str) -> dict[str, Any]:
    """Measure the rate of a large matrix product: the limit of what the model can reach."""
    from splade_anserini.modeling.precision import DTYPES

    return {"TFLOP/s": matmul_rate(context.sizes.matmul, DTYPES[precision], context.device) / 1e12}


type Encode = Callable[[Context, Any, Sequence[str]], object]


def texts_to_impacts(_: Context, text_encoder: Any, texts: Sequence[str]) -> None:
    """Tokenize, run the model, name the entries and quantize, as `encode` does, without writing."""
    from splade_anserini import Document, SpladeDocumentEncoder

    stream = (Document(str(index), "", text) for index, text in enumerate(texts))
    for _document in SpladeDocumentEncoder(text_encoder).encode(stream):
        pass


def texts_to_files(context: Context, text_encoder: Any, texts: Sequence[str]) -> None:
    """Do the same as the command `encode`: two passes over the corpus, and files."""
    from splade_anserini import Document, InMemoryCorpus
    from splade_anserini.encoding.shards import encode_shards

    output = context.work / "encoded"
    shutil.rmtree(output, ignore_errors=True)
    corpus = InMemoryCorpus("texts", [Document(str(index), "", text) for index, text in enumerate(texts)])
    encode_shards(corpus, text_encoder, output)


def run_alone(_: Context, text_encoder: Any, batches: Sequence[Any]) -> None:
    """Run the model on batches of token ids; entries are fetched, but not named."""
    for _entries in text_encoder.run(batches):
        pass


def ours(context: Context, size: str, length: int, precision: str, encode: Encode) -> dict[str, Any]:
    """Measure our encoder."""
    model, texts = checkpoint(context, size), documents(context, length)
    text_encoder = context.cached(
        f"encoder {size} {length} {precision}",
        lambda: encoder(context, model, precision=precision, max_length=length),
    )
    sample = texts[: context.sizes.trial]
    lengths, padding = lengths_of(text_encoder, texts[: text_encoder.window])
    vectors = text_encoder.encode(sample)
    reset_peak(context.device)
    if encode is run_alone:
        documents_per_second = _rate_of_batches(context, text_encoder, texts)
    else:
        documents_per_second = _rate(context, partial(encode, context, text_encoder), texts)
    values = _rates(context, size, precision, documents_per_second, lengths)
    return values | {"padding": padding, "entries": sum(map(len, vectors)) / len(vectors)}


def _rate_of_batches(context: Context, text_encoder: Any, texts: Sequence[str]) -> float:
    sizes = context.sizes
    batches = list(
        chain.from_iterable(
            text_encoder.prepare(texts[start : start + text_encoder.window])
            for start in range(0, len(texts), text_encoder.window)
        )
    )
    work = partial(run_alone, context, text_encoder)
    # All batches, the long and the short ones, in each round.
    work(batches[:2])
    seconds = min(timed(lambda: work(batches), context.device) for _ in range(sizes.rounds))
    return len(texts) / seconds


def theirs(context: Context, size: str, length: int, precision: str) -> dict[str, Any]:
    """Measure sentence-transformers' SparseEncoder with the best of the batch sizes and attention kernels."""
    import torch

    texts = documents(context, length)
    directory = saved_checkpoint(context, size)
    best: tuple[float, int, str] | None = None
    for kernel in attention_kernels(context):
        model = sparse_encoder(directory, context.device, precision, kernel, length)
        for batch_size in context.sizes.batch_sizes:
            if best is not None and context.left() < 15:
                break
            trial = texts[: max(2 * batch_size, context.sizes.trial)]
            try:
                _encode_theirs(model, batch_size, trial[:batch_size])
                found = len(trial) / timed(partial(_encode_theirs, model, batch_size, trial), context.device)
            except torch.OutOfMemoryError:
                break
            if best is None or found > best[0]:
                best = (found, batch_size, kernel)
    if best is None:
        raise MemoryError("no batch size fits into memory")
    _, batch_size, kernel = best
    model = sparse_encoder(directory, context.device, precision, kernel, length)
    documents_per_second = _rate(context, partial(_encode_theirs, model, batch_size), texts)
    lengths, _ = lengths_of(
        encoder(context, checkpoint(context, size), max_length=length), texts[: context.sizes.trial]
    )
    values = _rates(context, size, precision, documents_per_second, lengths)
    name = f"{size}, {length} tokens, {precision}: {OURS}"
    ours_per_second = context.value(name, DOCUMENTS)
    values["ours, times faster"] = ours_per_second and ours_per_second / documents_per_second
    return values | {"detail": f"batches of {batch_size}, {kernel}"}


def _encode_theirs(model: Any, batch_size: int, texts: Sequence[str]) -> object:
    # The vectors are fetched once, at the end.
    return model.encode(list(texts), batch_size=batch_size, show_progress_bar=False).cpu()


def head(context: Context, size: str, length: int, precision: str) -> dict[str, Any]:
    """Measure output layer and maximum alone: a fused kernel could save what is missing to the rate of the matmul."""
    import torch

    from splade_anserini.modeling.buffered_projection import BufferedProjection
    from splade_anserini.modeling.precision import DTYPES
    from splade_anserini.records import SPLADE_MAX

    width, texts = SIZES[size]["hidden_size"], max(1, context.sizes.matmul * 8 // length)
    dtype, device = DTYPES[precision], context.device
    hidden = torch.randn((texts, length, width), device=device, dtype=dtype)
    project = BufferedProjection(torch.randn((30_522, width), device=device), None, SPLADE_MAX, dtype=dtype)
    project(hidden)
    seconds = min(timed(lambda: project(hidden), device) for _ in range(5))
    operations = 2 * texts * length * width * 30_522 / seconds
    return {TOKENS: texts * length / seconds, SHARE: _share(context, precision, operations)}


def _rate(context: Context, work: Callable[[Sequence[Any]], object], items: Sequence[Any]) -> float:
    sizes = context.sizes
    return rate(work, items, context.device, trial=sizes.trial, seconds=sizes.seconds, rounds=sizes.rounds)


def _rates(
    context: Context, size: str, precision: str, documents_per_second: float, lengths: Sequence[int]
) -> dict[str, Any]:
    operations = documents_per_second * flops(size, lengths) / len(lengths)
    return {
        DOCUMENTS: documents_per_second,
        TOKENS: documents_per_second * sum(lengths) / len(lengths),
        SHARE: _share(context, precision, operations),
    }


def _share(context: Context, precision: str, operations: float) -> float | None:
    limit = context.value(matmul_name(precision), "TFLOP/s")
    return limit and operations / (limit * 1e12)
