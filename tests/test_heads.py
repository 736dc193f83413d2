"""Masked-language models of ten architectures go through every stage with the same vectors."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from splade_anserini import Document, ImpactQueryEncoder, InMemoryCorpus
from splade_anserini.encode import encode
from splade_anserini.encoding import EncoderOptions, open_encoder, open_query_encoder
from splade_anserini.formats.impacts import impact_files, read_impacts
from splade_anserini.formats.tokens import is_indexable
from splade_anserini.records import SPLADE_MAX, SparseVector
from tests.shared_models import SharedModels
from tests.tiny import SENTENCES
from tests.tiny_heads import HEADS, head_checkpoint

pytestmark = pytest.mark.slow

TEXTS = [
    *SENTENCES,
    "two  spaces   and    more",
    "emoji \N{GRINNING FACE}, 中文分词 and naïve straße",
    "",
    "search " * 300,
]


@dataclass(frozen=True)
class Stages:
    """A checkpoint and its exports."""

    name: str
    checkpoint: Path
    fp32: Path
    int8: Path


@pytest.fixture(scope="module", params=HEADS)
def stages(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Stages:
    from splade_anserini.export import export
    from splade_anserini.exporting.options import ExportOptions
    from splade_anserini.modeling.checkpoint import load_checkpoint

    home = tmp_path_factory.mktemp(request.param)
    checkpoint = head_checkpoint(request.param, home / "checkpoint")
    with pytest.MonkeyPatch.context() as monkeypatch:
        SharedModels(home).reuse_traces(monkeypatch)
        export(load_checkpoint(checkpoint), home / "fp32", ExportOptions(), TEXTS[:8])
        export(load_checkpoint(checkpoint), home / "int8", ExportOptions(precision="int8"), TEXTS[:8])
    return Stages(request.param, checkpoint, home / "fp32", home / "int8")


@pytest.fixture(scope="module")
def vectors(stages: Stages) -> list[SparseVector]:
    """The vectors that torch gives."""
    return open_encoder(stages.checkpoint).encode(TEXTS)


def differences(vectors: list[SparseVector], expected: list[SparseVector]) -> Iterator[float]:
    """Yield the difference of each weight, relative to weights above 1."""
    for vector, reference in zip(vectors, expected, strict=True):
        for token in {*vector, *reference}:
            weight = reference.get(token, 0.0)
            yield abs(vector.get(token, 0.0) - weight) / max(1.0, weight)


def test_every_text_with_tokens_has_a_sparse_vector_of_indexable_tokens(
    stages: Stages, vectors: list[SparseVector]
) -> None:
    encoder = open_encoder(stages.checkpoint)
    size = len(encoder.tokens)  # type: ignore[attr-defined]
    assert [bool(vector) for vector in vectors] == [bool(text) for text in TEXTS]
    assert max(map(len, vectors)) < size / 2
    assert all(is_indexable(token) for vector in vectors for token in vector)
    assert encoder.identity.unindexable_entries == (3 if HEADS[stages.name].algorithm == "bytes" else 0)
    assert encoder.max_length == 128


def test_the_vectors_are_those_of_the_plain_model_with_maximum_pooling(
    stages: Stages, vectors: list[SparseVector]
) -> None:
    import torch
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    model = AutoModelForMaskedLM.from_pretrained(stages.checkpoint).eval()
    tokenizer = AutoTokenizer.from_pretrained(stages.checkpoint)
    tokens = {token_id: token for token, token_id in tokenizer.get_vocab().items()}
    for text, vector in zip(TEXTS, vectors, strict=True):
        if not text:
            continue  # docs/decisions/0008
        inputs = tokenizer(text, truncation=True, return_tensors="pt")
        with torch.no_grad():
            weights = torch.log1p(torch.relu(model(**inputs).logits[0])).amax(dim=0)
        expected = {
            tokens[token_id]: float(weights[token_id])
            for token_id in weights.nonzero()[:, 0].tolist()
            if token_id not in tokenizer.all_special_ids and is_indexable(tokens[token_id])
        }
        assert max(differences([vector], [expected])) < 1e-5


def test_the_export_gives_the_vectors_of_torch(stages: Stages, vectors: list[SparseVector]) -> None:
    assert max(differences(open_encoder(stages.fp32).encode(TEXTS), vectors)) < 1e-4


def test_int8_is_close_to_torch_and_does_not_depend_on_the_batch(stages: Stages, vectors: list[SparseVector]) -> None:
    quantized = open_encoder(stages.int8).encode(TEXTS)
    assert sum(differences(quantized, vectors)) < 0.25 * sum(sum(vector.values()) for vector in vectors)
    assert open_encoder(stages.int8, EncoderOptions(batch_size=1, threads=1)).encode(TEXTS[::-1]) == quantized[::-1]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_queries_have_the_vectors_of_documents(stages: Stages, precision: str) -> None:
    directory = getattr(stages, precision)
    queries = open_query_encoder(directory, EncoderOptions(low_latency=True)).encode(TEXTS)
    assert max(differences(queries, open_encoder(directory).encode(TEXTS))) < 1e-5


def test_a_training_step_lowers_the_loss(stages: Stages) -> None:
    import torch

    from splade_anserini.modeling.checkpoint import load_checkpoint
    from splade_anserini.modeling.trainable import Group, TrainableSplade

    checkpoint = load_checkpoint(stages.checkpoint)
    inputs = checkpoint.tokenizer(list(SENTENCES[:4]), padding=True, return_tensors="pt")
    group = Group(torch.arange(4), inputs["input_ids"], inputs["attention_mask"])
    model = TrainableSplade(checkpoint, SPLADE_MAX).eval()  # without dropout, whose noise may exceed a step's gain
    optimizer = torch.optim.AdamW(checkpoint.model.parameters(), lr=1e-5)
    losses = []
    for _ in range(2):
        weights = model([group])
        loss = torch.nn.functional.cross_entropy(weights @ weights.T, torch.arange(4)) + weights.mean()
        losses.append(float(loss.detach()))
        loss.backward()
        assert all(bool(p.grad.isfinite().all()) for p in checkpoint.model.parameters() if p.grad is not None)
        optimizer.step()
        optimizer.zero_grad()
    assert losses[1] < losses[0]


def test_a_corpus_is_encoded_indexed_and_searched(stages: Stages, tmp_path: Path) -> None:
    from splade_anserini.index import index
    from splade_anserini.lucene import FastLuceneImpactSearcher

    encoder = open_encoder(stages.fp32)
    documents = [Document(f"d{position}", "", text) for position, text in enumerate(TEXTS) if text]
    encode(InMemoryCorpus("texts", documents), encoder, tmp_path / "impacts")
    index(tmp_path / "impacts", tmp_path / "index")
    queries = ImpactQueryEncoder(open_query_encoder(stages.fp32))
    searcher = FastLuceneImpactSearcher(str(tmp_path / "index"), queries, min_idf=-1)
    encoded = [document for file in impact_files(tmp_path / "impacts") for document in read_impacts(file)]
    vector = queries.encode("heat transfer")
    scores = {
        document.id: sum(value * document.vector.get(token, 0) for token, value in vector.items())
        for document in encoded
    }
    hits = {hit.docid: round(hit.score) for hit in searcher.search("heat transfer", k=20)}
    assert hits == {id_: score for id_, score in scores.items() if score}
