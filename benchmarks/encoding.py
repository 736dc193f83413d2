"""Texts → sparse vectors, torch on the CPU: ours, Pyserini, sentence-transformers, the plain formula, and matmul."""

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

TRIED = (1, 8, 32)
"""Batch sizes, of which each peer has its best."""
TRIAL = 4
"""The share of the texts that is tried: one in so many."""


def ours(encoder: str, corpora: list[str], count: int, precision: str = "auto") -> dict[str, Any]:
    """Encode with our encoder as it comes."""
    from splade_anserini.encoding import EncoderOptions, open_encoder

    some = texts([Path(corpus) for corpus in corpora], count)
    opened = open_encoder(encoder, EncoderOptions(max_length=LENGTH, precision=precision, device="cpu"))
    opened.encode(some[: count // TRIAL])
    vectors, seconds = _timed(lambda: opened.encode(some))
    return {RATE.name: count / seconds, ENTRIES.name: sum(map(len, vectors)) / count}


def pyserini(model: str, corpora: list[str], count: int, batch: int | None = None) -> dict[str, Any]:
    """Encode with Pyserini's SpladeDocumentEncoder; without `batch`, find the size that suits it best."""
    from splade_anserini.lucene import start_jvm

    start_jvm()
    from pyserini.encode import SpladeDocumentEncoder

    encoder = SpladeDocumentEncoder(model, device="cpu")

    def encode(some: Sequence[str], size: int) -> list[dict[str, float]]:
        parts = (some[start : start + size] for start in range(0, len(some), size))
        return [vector for part in parts for vector in encoder.encode(part, max_length=LENGTH)]

    some = texts([Path(corpus) for corpus in corpora], count)
    return _measured(encode, some, lambda vectors: sum(map(len, vectors)), batch)


def sentence_transformers(
    model: str, corpora: list[str], count: int, precision: str, batch: int | None = None
) -> dict[str, Any]:
    """Encode with SparseEncoder; it leaves a sparse tensor, no names of entries."""
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

    def encode(some: Sequence[str], size: int) -> Any:
        return encoder.encode(list(some), batch_size=size, show_progress_bar=False)

    some = texts([Path(corpus) for corpus in corpora], count)
    return _measured(encode, some, lambda tensor: tensor.coalesce().values().count_nonzero().item(), batch)


def plain(model: str, corpora: list[str], count: int, batch: int | None = None) -> dict[str, Any]:
    """Encode with the formula as the paper has it: max over tokens of log(1 + ReLU(logits)), texts sorted by length."""
    import torch
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    loaded, tokenizer = AutoModelForMaskedLM.from_pretrained(model).eval(), AutoTokenizer.from_pretrained(model)

    @torch.inference_mode()
    def encode(some: Sequence[str], size: int) -> list[Any]:
        ordered, found = sorted(some, key=len), []
        for start in range(0, len(ordered), size):
            part = ordered[start : start + size]
            inputs = tokenizer(part, truncation=True, max_length=LENGTH, padding=True, return_tensors="pt")
            mask = inputs["attention_mask"]
            logits = loaded(input_ids=inputs["input_ids"], attention_mask=mask).logits
            found.append((torch.log1p(torch.relu(logits)) * mask.unsqueeze(-1)).amax(dim=1).to_sparse())
        return found

    some = texts([Path(corpus) for corpus in corpora], count)
    return _measured(encode, some, lambda found: sum(weights.values().numel() for weights in found), batch)


def matmul(size: str, corpora: list[str], count: int, precision: str) -> dict[str, Any]:
    """Multiply matrices, and reckon how many documents' worth of the model's operations that is."""
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
    encode: Callable[[Sequence[str], int], Any], some: list[str], entries: Callable[[Any], int], batch: int | None
) -> dict[str, Any]:
    """Encode everything; without `batch`, encode a few texts in each size, and say which was fastest."""
    trial = some[: len(some) // TRIAL]
    if batch is None:
        encode(trial[:2], 2)
        return {BATCH.name: min(TRIED, key=lambda size: _timed(lambda: encode(trial, size))[1])}
    encode(trial, batch)
    found, seconds = _timed(lambda: encode(some, batch))
    return {RATE.name: len(some) / seconds, BATCH.name: batch, ENTRIES.name: entries(found) / len(some)}


def _at_best(peer: Contestant) -> Contestant:
    """Give a peer the batch size that is best for it, found in a process of its own: large ones take more memory."""
    batch = peer.turn()[BATCH.name]
    return replace(peer, arguments={**peer.arguments, "batch": batch})


def races(settings: Settings) -> Iterator[Race]:
    """Yield a race for each size, and one for int8."""
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
            note=f"{count} texts of Cranfield and NFCorpus, at most {LENGTH} tokens; random weights. Each peer has "
            f"the best of the batch sizes {', '.join(map(str, TRIED))}.",
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
