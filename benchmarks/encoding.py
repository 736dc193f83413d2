"""Texts → sparse vectors, with torch on the CPU: ours, Pyserini, sentence-transformers, a plain formula, and matmul."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from alternate import MEMORY, Contestant, Measure, Race
from models import LENGTH, checkpoint, exported, flops, texts, warm_started
from settings import Settings, required

RATE = Measure("documents/s", digits=2)
BATCH = Measure("batch", digits=0, compared=False)
ENTRIES = Measure("entries a document", digits=0, compared=False)
FLOPS = Measure("GFLOP/s", digits=0, compared=False)

BATCH_SIZES = (1, 8, 32)
"""Batch sizes that are tried for each peer; it is measured with the fastest."""
TRIAL = 4
"""The fastest batch size is found with one text in this many."""


def ours(encoder: str, corpora: list[str], count: int, precision: str = "auto") -> dict[str, Any]:
    """Encode with our encoder and its defaults."""
    from splade_anserini.encoding import EncoderOptions, open_encoder

    inputs = texts([Path(corpus) for corpus in corpora], count)
    text_encoder = open_encoder(encoder, EncoderOptions(max_length=LENGTH, precision=precision, device="cpu"))
    text_encoder.encode(inputs[: count // TRIAL])
    vectors, seconds = _timed(lambda: text_encoder.encode(inputs))
    return {RATE.name: count / seconds, ENTRIES.name: sum(map(len, vectors)) / count}


def pyserini(model: str, corpora: list[str], count: int, batch: int | None = None) -> dict[str, Any]:
    """Encode with Pyserini's SpladeDocumentEncoder; without `batch`, find the fastest batch size."""
    from splade_anserini.lucene import start_jvm

    start_jvm()
    from pyserini.encode import SpladeDocumentEncoder

    encoder = SpladeDocumentEncoder(model, device="cpu")

    def encode(inputs: Sequence[str], size: int) -> list[dict[str, float]]:
        batches = (inputs[start : start + size] for start in range(0, len(inputs), size))
        return [vector for part in batches for vector in encoder.encode(part, max_length=LENGTH)]

    return _measured(
        encode, texts([Path(corpus) for corpus in corpora], count), lambda vectors: sum(map(len, vectors)), batch
    )


def sentence_transformers(
    model: str, corpora: list[str], count: int, precision: str, batch: int | None = None
) -> dict[str, Any]:
    """Encode with SparseEncoder, whose result is a sparse tensor, without the names of the entries."""
    import torch
    from sentence_transformers import SparseEncoder
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sparse_encoder.modules import SpladePooling

    body = Transformer(
        model,
        transformer_task="fill-mask",
        max_seq_length=LENGTH,
        model_kwargs={"dtype": torch.bfloat16 if precision == "bf16" else torch.float32},
    )
    encoder = SparseEncoder(modules=[body, SpladePooling("max")], device="cpu")

    def encode(inputs: Sequence[str], size: int) -> Any:
        return encoder.encode(list(inputs), batch_size=size, show_progress_bar=False)

    return _measured(
        encode,
        texts([Path(corpus) for corpus in corpora], count),
        lambda tensor: tensor.coalesce().values().count_nonzero().item(),
        batch,
    )


def plain(model: str, corpora: list[str], count: int, batch: int | None = None) -> dict[str, Any]:
    """Encode with the formula of the paper: max over tokens of log(1 + ReLU(logits)); texts are sorted by length."""
    import torch
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    loaded, tokenizer = AutoModelForMaskedLM.from_pretrained(model).eval(), AutoTokenizer.from_pretrained(model)

    @torch.inference_mode()
    def encode(inputs: Sequence[str], size: int) -> list[Any]:
        ordered, vectors = sorted(inputs, key=len), []
        for start in range(0, len(ordered), size):
            part = ordered[start : start + size]
            tokens = tokenizer(part, truncation=True, max_length=LENGTH, padding=True, return_tensors="pt")
            mask = tokens["attention_mask"]
            logits = loaded(input_ids=tokens["input_ids"], attention_mask=mask).logits
            vectors.append((torch.log1p(torch.relu(logits)) * mask.unsqueeze(-1)).amax(dim=1).to_sparse())
        return vectors

    return _measured(
        encode,
        texts([Path(corpus) for corpus in corpora], count),
        lambda vectors: sum(vector.values().numel() for vector in vectors),
        batch,
    )


def matmul(size: str, corpora: list[str], count: int, precision: str) -> dict[str, Any]:
    """Multiply matrices, and convert their operations to documents by the number of operations of the model."""
    import torch
    from tokenizers import Tokenizer

    from splade_anserini.cards.shipped import encoders_home

    tokenizer = Tokenizer.from_file(str(encoders_home() / "splade-mini" / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(LENGTH)
    lengths = [len(item.ids) for item in tokenizer.encode_batch(texts([Path(corpus) for corpus in corpora], count))]
    rows = 2048
    a, b = torch.rand(2, rows, rows).to(torch.bfloat16 if precision == "bf16" else torch.float32)
    best = min(_timed(lambda: a @ b)[1] for _ in range(20))
    rate = 2 * rows**3 / best
    return {RATE.name: count * rate / flops(size, lengths), FLOPS.name: rate / 1e9}


def _timed[T](work: Callable[[], T]) -> tuple[T, float]:
    begin = time.perf_counter()
    result = work()
    return result, time.perf_counter() - begin


def _measured(
    encode: Callable[[Sequence[str], int], Any], inputs: list[str], entries: Callable[[Any], int], batch: int | None
) -> dict[str, Any]:
    """Encode all texts; without `batch`, encode a few in batches of each size, and return the fastest size."""
    trial = inputs[: len(inputs) // TRIAL]
    if batch is None:
        encode(trial[:2], 2)
        return {BATCH.name: min(BATCH_SIZES, key=lambda size: _timed(lambda: encode(trial, size))[1])}
    encode(trial, batch)
    vectors, seconds = _timed(lambda: encode(inputs, batch))
    return {RATE.name: len(inputs) / seconds, BATCH.name: batch, ENTRIES.name: entries(vectors) / len(inputs)}


def _at_best(peer: Contestant) -> Contestant:
    """Return the peer with its fastest batch size, found in another process: large batches take more memory."""
    batch = peer.turn()[BATCH.name]
    return replace(peer, arguments={**peer.arguments, "batch": batch})


def races(settings: Settings) -> Iterator[Race]:
    """Yield a race for each size of model, and one for int8."""
    required(*settings.corpora)
    corpora = [str(corpus) for corpus in settings.corpora]
    counts = {"bert-base": 96, "MiniLM": 512} if settings.full else {"MiniLM": 64}
    for size, count in counts.items():
        model = str(checkpoint(size, settings.corpora, settings.work))
        yield Race(
            title=f"Encode documents, {size}, torch on the CPU",
            contestants=_contestants(size, model, {"corpora": corpora, "count": count}),
            measures=[RATE, MEMORY, ENTRIES, BATCH, FLOPS],
            rounds=settings.times(1, 3),
            note=f"{count} texts of Cranfield and NFCorpus, at most {LENGTH} tokens; random weights. Each peer runs "
            f"with the fastest of the batch sizes {', '.join(map(str, BATCH_SIZES))}.",
        )
    yield _int8(settings, {"corpora": corpora, "count": 512 if settings.full else 64})


def _contestants(size: str, model: str, same: dict[str, Any]) -> list[Contestant]:
    ours_, with_model = "splade-anserini", {**same, "model": model}

    def by_precision(name: str, function: str, arguments: dict[str, Any]) -> list[Contestant]:
        return [
            Contestant(
                f"{name}, {precision}",
                __name__,
                function,
                {**arguments, "precision": precision},
                against=f"{ours_}, {precision}",
            )
            for precision in ("fp32", "bf16")
        ]

    return [
        *by_precision(ours_, "ours", {**same, "encoder": model}),
        *map(
            _at_best,
            [
                Contestant("Pyserini's SpladeDocumentEncoder", __name__, "pyserini", with_model),
                *by_precision("sentence-transformers' SparseEncoder", "sentence_transformers", with_model),
                Contestant("plain formula in torch, fp32", __name__, "plain", with_model),
            ],
        ),
        *by_precision("limit: matrix product", "matmul", {**same, "size": size}),
    ]


def _int8(settings: Settings, same: dict[str, Any]) -> Race:
    warm = warm_started(settings.work)
    encoders = {
        "splade-mini, ONNX int8": "splade-mini",
        "the same, ONNX fp32": str(exported(warm, "fp32")),
        "the same, torch fp32": str(warm),
    }
    return Race(
        title="Encode documents with splade-mini",
        contestants=[Contestant(name, __name__, "ours", {**same, "encoder": path}) for name, path in encoders.items()],
        measures=[RATE, MEMORY, ENTRIES],
        rounds=settings.times(2, 5),
        note=f"{same['count']} texts of Cranfield and NFCorpus, at most {LENGTH} tokens.",
    )
