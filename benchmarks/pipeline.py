"""From a file of texts to files of impacts: the whole command `encode`, its encoder alone, and the model alone."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from alternate import MEMORY, Contestant, Measure, Race
from models import LENGTH, checkpoint, texts
from settings import Settings, required

RATE = Measure("documents/s", digits=2)


def whole(encoder: str, corpus: str, output: str) -> dict[str, Any]:
    """Run `encode`, from reading the corpus to the last shard, with an encoder that is loaded before."""
    from splade_anserini.encode import encode
    from splade_anserini.formats.corpora import open_corpus

    text_encoder = _open(encoder)
    shutil.rmtree(output, ignore_errors=True)
    begin = time.perf_counter()
    manifest = encode(open_corpus(corpus), text_encoder, Path(output))
    return {RATE.name: manifest.counts.documents / (time.perf_counter() - begin)}


def encoder_alone(encoder: str, corpus: str) -> dict[str, Any]:
    """Encode all texts with one call of the encoder."""
    from splade_anserini.formats.corpora import open_corpus

    text_encoder = _open(encoder)
    texts = [document.contents for document in open_corpus(corpus)]
    begin = time.perf_counter()
    text_encoder.encode(texts)
    return {RATE.name: len(texts) / (time.perf_counter() - begin)}


def run_alone(encoder: str, corpus: str) -> dict[str, Any]:
    """Run the encoder's model on tokenized batches; active entries are selected, but not mapped to tokens."""
    from splade_anserini.formats.corpora import open_corpus

    text_encoder = _open(encoder)
    texts = [document.contents for document in open_corpus(corpus)]
    batches = text_encoder.prepare(texts)
    begin = time.perf_counter()
    for _ in text_encoder.run(batches):
        pass
    return {RATE.name: len(texts) / (time.perf_counter() - begin)}


def model_alone(model: str, corpus: str, batch: int = 32) -> dict[str, Any]:
    """Run the plain model and the pooling on tokenized batches; texts are sorted by length."""
    import torch
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    from splade_anserini.formats.corpora import open_corpus

    loaded, tokenizer = AutoModelForMaskedLM.from_pretrained(model).eval(), AutoTokenizer.from_pretrained(model)
    texts = sorted((document.contents for document in open_corpus(corpus)), key=len)
    parts = [texts[start : start + batch] for start in range(0, len(texts), batch)]
    options = {"truncation": True, "max_length": LENGTH, "padding": True, "return_tensors": "pt"}
    batches = [tokenizer(part, **options) for part in parts]
    begin = time.perf_counter()
    with torch.inference_mode():
        for inputs in batches:
            mask = inputs["attention_mask"]
            logits = loaded(input_ids=inputs["input_ids"], attention_mask=mask).logits
            torch.log1p(torch.relu(logits.masked_fill(mask.unsqueeze(-1) == 0, 0).amax(dim=1)))
    return {RATE.name: len(texts) / (time.perf_counter() - begin)}


def _open(encoder: str) -> Any:
    from splade_anserini.encoding import EncoderOptions, open_encoder

    text_encoder = open_encoder(encoder, EncoderOptions(max_length=LENGTH, device="cpu"))
    text_encoder.encode(["warm"])
    return text_encoder


def races(settings: Settings) -> Iterator[Race]:
    """Yield a race for torch, and one for the ONNX encoder that ships."""
    required(*settings.corpora)
    count = 1000 if settings.full else 256
    corpus = settings.work / f"texts-{count}.jsonl"
    records = ({"id": f"d{i}", "text": text} for i, text in enumerate(texts(settings.corpora, count)))
    corpus.write_bytes(b"".join(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE) for record in records))
    model = str(checkpoint("MiniLM", settings.corpora, settings.work))
    for name, encoder in (("MiniLM, torch fp32", model), ("splade-mini, ONNX int8", "splade-mini")):
        same = {"corpus": str(corpus), "encoder": encoder}
        contestants = [
            Contestant("encode, file to files", __name__, "whole", {**same, "output": str(settings.work / "encoded")}),
            Contestant("its model alone, tokenized batches", __name__, "run_alone", same),
            Contestant("its encoder alone, text to vectors", __name__, "encoder_alone", same),
        ]
        if encoder == model:
            limit = {"corpus": str(corpus), "model": model}
            contestants.append(Contestant("limit: model alone, plain torch", __name__, "model_alone", limit))
        yield Race(
            title=f"encode from file to files, {name}",
            contestants=contestants,
            measures=[RATE, MEMORY],
            rounds=settings.times(1, 5),
            note=f"{count} texts of Cranfield and NFCorpus, at most {LENGTH} tokens.",
        )
