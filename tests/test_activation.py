"""The activation log1p_relu beside relu: recorded, chosen by options, cards and manifests, equal to others' tools."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from splade_anserini.artifacts.manifests import (
    CheckpointManifest,
    EncoderIdentity,
    EncoderManifest,
    ImpactManifest,
    read_manifest,
    write_manifest,
)
from splade_anserini.artifacts.outputs import read_output_manifest
from splade_anserini.cards.encoder_card import EncoderCard
from splade_anserini.encoding import EncoderOptions, open_encoder, open_query_encoder
from splade_anserini.errors import InputError, MismatchError
from splade_anserini.modeling.pooling import pool
from splade_anserini.records import ACTIVATIONS, Activation, Aggregation
from tests.cli_runner import run_stage
from tests.shared_models import SharedModels
from tests.tiny import SENTENCES, tiny_checkpoint

CARD = 'name = "mine"\ndescription = "."\nlicense = "MIT"\nsource = "{source}"\n'
IDENTITY = EncoderIdentity(name="n", weights="w", tokenizer="t", vocabulary="v", pooling="sum", precision="fp32")
CHECKPOINT = CheckpointManifest(
    pooling="max", query_side="splade", max_length=20, query_max_length=9, steps=7, recipe={"seed": 1}
)
ENCODER = EncoderManifest(identity=IDENTITY, source="s", max_length=512, opset=18)


def with_manifest(directory: Path, activation: Activation) -> Path:
    """Save a checkpoint whose manifest has this activation."""
    tiny_checkpoint(directory)
    write_manifest(directory, CHECKPOINT.model_copy(update={"activation": activation}))
    return directory


# Records.


@pytest.mark.parametrize("record", [IDENTITY, CHECKPOINT], ids=["identity", "checkpoint"])
def test_relu_is_not_written_so_that_what_was_written_before_is_the_same(
    record: EncoderIdentity | CheckpointManifest,
) -> None:
    content = json.loads(record.model_dump_json())
    assert "activation" not in content
    assert type(record).model_validate(content) == record
    assert record.activation == "relu"


@pytest.mark.parametrize("record", [IDENTITY, CHECKPOINT], ids=["identity", "checkpoint"])
def test_another_activation_is_written_and_read_again(record: EncoderIdentity | CheckpointManifest) -> None:
    changed = record.model_copy(update={"activation": "log1p_relu"})
    content = json.loads(changed.model_dump_json())
    assert content["activation"] == "log1p_relu"
    assert type(record).model_validate(content) == changed != record


def test_the_manifest_of_an_export_keeps_the_activation_in_its_identity(tmp_path: Path) -> None:
    manifest = ENCODER.model_copy(update={"identity": IDENTITY.model_copy(update={"activation": "log1p_relu"})})
    write_manifest(tmp_path, manifest)
    assert read_manifest(tmp_path, EncoderManifest) == manifest
    assert manifest.identity.aggregation == Aggregation("sum", "log1p_relu")


@pytest.mark.parametrize("line", ["", 'activation = "relu"\n', 'activation = "log1p_relu"\n'])
def test_a_card_is_written_as_it_is_read(line: str) -> None:
    values: dict[str, Any] = {"name": "mine", "description": ".", "license": "MIT", "source": "s"}
    values |= {"activation": line.split('"')[1]} if line else {}
    card = EncoderCard.model_validate(values)
    assert EncoderCard.model_validate(card.model_dump(mode="json")) == card
    assert ("activation" in card.model_dump()) == ("log1p_relu" in line)


# Options, cards and manifests.


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("opened", [open_encoder, open_query_encoder])
def test_the_activation_is_that_of_the_manifest_unless_an_option_changes_it(
    tmp_path: Path, opened: Any, activation: Activation
) -> None:
    path = with_manifest(tmp_path / "checkpoint", activation)
    assert opened(path).identity.activation == activation
    assert opened(path, EncoderOptions(activation="relu")).identity.activation == "relu"
    assert opened(path, EncoderOptions(activation="log1p_relu")).identity.activation == "log1p_relu"


def test_the_weights_are_those_of_relu_with_another_logarithm(shared_models: SharedModels) -> None:
    of_relu = open_encoder(shared_models.checkpoint()).encode(SENTENCES)
    once_more = open_encoder(shared_models.checkpoint(), EncoderOptions(activation="log1p_relu")).encode(SENTENCES)
    for vector, expected in zip(once_more, of_relu, strict=True):
        weights = torch.tensor([*expected.values()], dtype=torch.float64).log1p().tolist()
        assert dict(vector) == pytest.approx(dict(zip(expected, weights, strict=True)), rel=1e-6)


@pytest.mark.parametrize(("manifest", "card"), [("relu", "log1p_relu"), ("log1p_relu", "relu")])
def test_a_card_that_contradicts_the_manifest_is_refused(tmp_path: Path, manifest: Activation, card: str) -> None:
    source = with_manifest(tmp_path / "checkpoint", manifest)
    path = tmp_path / "mine.toml"
    path.write_text(CARD.format(source=source) + f'activation = "{card}"\n')
    message = rf'The card of .* has activation = "{card}", the manifest in .* "{manifest}"'
    with pytest.raises(MismatchError, match=message):
        open_encoder(path)


def test_a_card_says_the_activation_of_a_checkpoint_without_a_manifest(
    shared_models: SharedModels, tmp_path: Path
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(CARD.format(source=shared_models.checkpoint()) + 'activation = "log1p_relu"\n')
    assert open_encoder(path).identity.aggregation == ("max", "log1p_relu")
    assert open_query_encoder(path).identity.aggregation == ("max", "log1p_relu")


def test_encode_records_the_activation_and_refuses_to_resume_with_another(
    shared_models: SharedModels, tmp_path: Path
) -> None:
    (tmp_path / "corpus.jsonl").write_text('{"id": "1", "contents": "headache"}\n')
    arguments = ["--corpus", tmp_path / "corpus.jsonl", "--encoder", shared_models.checkpoint()]
    arguments += ["--output", tmp_path / "out"]
    assert run_stage("encode", *arguments, "--activation", "log1p_relu").code == 0
    manifest = read_manifest(tmp_path / "out", ImpactManifest)
    assert manifest is not None
    assert manifest.settings.encoder.activation == "log1p_relu"
    done = run_stage("encode", *arguments)
    assert done.code == 2
    assert "activation" in done.err


@pytest.mark.slow
@pytest.mark.parametrize("named", [True, False])
def test_queries_have_the_pooling_and_activation_of_the_documents_where_nothing_else_says_them(
    shared_models: SharedModels, tmp_path: Path, named: bool
) -> None:
    (tmp_path / "corpus.jsonl").write_text('{"id": "1", "contents": "headache"}\n{"id": "2", "contents": "cat"}\n')
    (tmp_path / "topics.tsv").write_text("1\theadache\n")
    encoder = shared_models.checkpoint()
    options = ["--pooling", "sum", "--activation", "log1p_relu"]
    arguments = ["--corpus", tmp_path / "corpus.jsonl", "--encoder", encoder, "--output", tmp_path / "out", *options]
    assert run_stage("encode", *arguments).code == 0
    assert run_stage("index", "--input", tmp_path / "out", "--index", tmp_path / "index").code == 0
    arguments = ["--index", tmp_path / "index", "--topics", tmp_path / "topics.tsv", "--output", tmp_path / "run.txt"]
    done = run_stage("search", *arguments, *(["--encoder", encoder] if named else []))
    assert done.code == 0, done.err
    (vector,) = open_encoder(encoder, EncoderOptions(pooling="sum", activation="log1p_relu")).encode(["headache"])
    impacts = [round(weight * 100) for weight in vector.values()]
    scores = {line.split()[2]: float(line.split()[4]) for line in (tmp_path / "run.txt").read_text().splitlines()}
    assert scores["1"] == pytest.approx(sum(impact * impact for impact in impacts), rel=1e-3)


@pytest.mark.slow
def test_an_index_that_was_encoded_otherwise_than_the_manifest_says_is_not_searched_unless_forced(
    tmp_path: Path,
) -> None:
    encoder = with_manifest(tmp_path / "checkpoint", "relu")
    (tmp_path / "corpus.jsonl").write_text('{"id": "1", "contents": "headache"}\n')
    (tmp_path / "topics.tsv").write_text("1\theadache\n")
    arguments = ["--corpus", tmp_path / "corpus.jsonl", "--encoder", encoder, "--output", tmp_path / "out"]
    assert run_stage("encode", *arguments, "--activation", "log1p_relu").code == 0
    assert run_stage("index", "--input", tmp_path / "out", "--index", tmp_path / "index").code == 0
    arguments = ["--index", tmp_path / "index", "--topics", tmp_path / "topics.tsv", "--output", tmp_path / "run.txt"]
    done = run_stage("search", *arguments)
    assert (done.code, "encoded with pooling max and activation log1p_relu" in done.err) == (2, True), done.err
    assert run_stage("search", *arguments, "--force").code == 0


# Exports.


@pytest.mark.slow
@pytest.mark.parametrize("requested", ["log1p_relu", None])
def test_an_export_has_the_activation_of_the_option_or_of_the_checkpoint(
    shared_models: SharedModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, requested: str | None
) -> None:
    shared_models.reuse_traces(monkeypatch)
    source = with_manifest(tmp_path / "checkpoint", "relu" if requested else "log1p_relu")
    arguments = ["--encoder", source, "--output", tmp_path / "onnx"]
    arguments += ["--activation", requested] if requested else []
    done = run_stage("export", *arguments)
    assert done.code == 0, done.err
    assert open_encoder(tmp_path / "onnx").identity.aggregation == ("max", "log1p_relu")
    record = read_output_manifest(tmp_path / "onnx")
    assert record is not None
    assert record.settings["activation"] == requested


@pytest.mark.slow
def test_an_activation_other_than_the_exports_is_refused(shared_models: SharedModels) -> None:
    directory = shared_models.export("bert", "max", "fp32", "log1p_relu")
    with pytest.raises(InputError, match="exported with activation log1p_relu, not relu"):
        open_encoder(directory, EncoderOptions(activation="relu"))


# sentence-transformers.


@pytest.mark.slow
@pytest.mark.skipif(
    find_spec("sentence_transformers") is None, reason="sentence-transformers, of the extra `bench`, is missing"
)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("pooling", ["max", "sum"])
def test_weights_and_gradients_are_those_of_the_pooling_of_sentence_transformers(
    pooling: Any, activation: Activation
) -> None:
    from sentence_transformers.sparse_encoder.modules import SpladePooling

    generator = torch.Generator().manual_seed(5)
    logits = torch.randn((3, 6, 40), generator=generator) * 3
    mask = (torch.arange(6) < torch.tensor([[6], [2], [4]])).long()
    factors = torch.randn((3, 40), generator=generator)
    mine, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    weights = pool(mine, mask, Aggregation(pooling, activation))
    module = SpladePooling(pooling, activation_function=activation).train()
    expected = module({"token_embeddings": theirs, "attention_mask": mask})["sentence_embedding"]
    torch.testing.assert_close(weights, expected, rtol=1e-5, atol=1e-6)
    (gradient,) = torch.autograd.grad((weights * factors).sum(), [mine])
    (reference,) = torch.autograd.grad((expected * factors).sum(), [theirs])
    assert bool(reference.any())
    torch.testing.assert_close(gradient, reference, rtol=1e-5, atol=1e-6)
