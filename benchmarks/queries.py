"""Texts of queries → impacts, one query at a time: our ONNX query encoder and Pyserini's SpladeQueryEncoder."""

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from alternate import MEMORY, Contestant, Measure, Race
from models import checkpoint, exported, queries
from settings import Settings, required

MEDIAN = Measure("median", "ms a query", more_is_better=False, digits=2)
P99 = Measure("99th percentile", "ms a query", more_is_better=False, digits=2)


def onnx(encoder: str, corpora: list[str], count: int) -> dict[str, float]:
    """Encode with onnxruntime."""
    from splade_anserini.encoding import OnnxQueryEncoder

    return _times(OnnxQueryEncoder(encoder).encode, queries([Path(corpus) for corpus in corpora], count))


def pyserini(model: str, corpora: list[str], count: int) -> dict[str, float]:
    """Encode with Pyserini."""
    from splade_anserini.lucene import start_jvm

    start_jvm()
    from pyserini.encode import SpladeQueryEncoder

    return _times(SpladeQueryEncoder(model).encode, queries([Path(corpus) for corpus in corpora], count))


def _times(encode: Callable[[str], Any], texts: list[str]) -> dict[str, float]:
    for text in texts[:20]:
        encode(text)
    milliseconds = []
    for text in texts:
        begin = time.perf_counter()
        encode(text)
        milliseconds.append(1000 * (time.perf_counter() - begin))
    return {MEDIAN.name: statistics.median(milliseconds), P99.name: statistics.quantiles(milliseconds, n=100)[-1]}


def races(settings: Settings) -> Iterator[Race]:
    """Yield a race for each size of model."""
    required(*settings.corpora)
    for size in ("bert-base", "MiniLM") if settings.full else ("MiniLM",):
        model = checkpoint(size, settings.corpora, settings.work)
        same = {"corpora": [str(corpus) for corpus in settings.corpora], "count": 400 if settings.full else 100}
        onnx_fp32 = {**same, "encoder": str(exported(model, "fp32"))}
        yield Race(
            title=f"Encode one query, {size}",
            contestants=[
                Contestant("splade-anserini, ONNX fp32", __name__, "onnx", onnx_fp32),
                *(
                    [Contestant("splade-mini, ONNX int8", __name__, "onnx", {**same, "encoder": "splade-mini"})]
                    if size == "MiniLM"
                    else []
                ),
                Contestant("Pyserini's SpladeQueryEncoder", __name__, "pyserini", {**same, "model": str(model)}),
            ],
            measures=[MEDIAN, P99, MEMORY],
            rounds=settings.times(1, 5),
            note=f"{same['count']} queries of Cranfield and NFCorpus.",
        )
