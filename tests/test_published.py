"""What the files of sentence-transformers say decides how an encoder encodes, is exported, trained and teaches."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from splade_anserini.artifacts.manifests import CheckpointManifest, EncoderManifest, read_manifest, write_manifest
from splade_anserini.cards.encoder_card import EncoderCard
from splade_anserini.cards.training_recipe import TrainingRecipe
from splade_anserini.encode import encode
from splade_anserini.encoding import EncoderOptions, default_scale, open_encoder, open_query_encoder
from splade_anserini.errors import InputError, MismatchError
from splade_anserini.export import export
from splade_anserini.exporting.options import ExportOptions
from splade_anserini.formats.corpora import InMemoryCorpus
from splade_anserini.modeling.checkpoint import load_checkpoint
from splade_anserini.modeling.identity import weights_fingerprint
from splade_anserini.modeling.published import load_document_checkpoint
from splade_anserini.records import Document, SparseVector
from splade_anserini.training.student import build_student, load_initial_checkpoint, require_stated
from splade_anserini.training.teachers.opening import SpladeTeacher, open_teacher
from tests.cli_runner import run_stage
from tests.shared_models import SharedModels
from tests.tiny import SENTENCES, tiny_checkpoint, tiny_tokenizer, tiny_vocabulary

TYPES = {
    "Router": "sentence_transformers.base.modules.router.Router",
    "SpladePooling": "sentence_transformers.sparse_encoder.modules.splade_pooling.SpladePooling",
    "SparseStaticEmbedding": "sentence_transformers.sparse_encoder.modules.SparseStaticEmbedding",
    "Transformer": "sentence_transformers.base.modules.transformer.Transformer",
}
FILL_MASK = {"transformer_task": "fill-mask"}
WEIGHTS = np.linspace(0.01, 2.0, len(tiny_vocabulary()), dtype=np.float32)


def write(directory: Path, files: dict[str, Any]) -> Path:
    for name, content in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(json.dumps(content), encoding="utf-8")
    return directory


def described(
    directory: Path, pooling: str = "max", activation: str = "relu", transformer: Any = None, **settings: Any
) -> Path:
    """Save a tiny BERT with the files of sentence-transformers beside it."""
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": TYPES["Transformer"]},
        {"idx": 1, "name": "1", "path": "1_SpladePooling", "type": TYPES["SpladePooling"]},
    ]
    files = {
        "modules.json": modules,
        "1_SpladePooling/config.json": {"pooling_strategy": pooling, "activation_function": activation},
        "sentence_bert_config.json": FILL_MASK | (transformer or {}),
        "config_sentence_transformers.json": {"model_type": "SparseEncoder"} | settings,
    }
    return write(tiny_checkpoint(directory), files)


def routed(directory: Path, *, prompts: dict[str, str] | None = None) -> Path:
    """Save a Router as on the Hub: static query weights, and the documents' model in the main directory."""
    static = "query_0_SparseStaticEmbedding"
    structure = {"query": [static], "document": ["", "document_1_SpladePooling"]}
    types = {name: TYPES[name.rpartition("_")[2] or "Transformer"] for route in structure.values() for name in route}
    files = {
        "modules.json": [{"idx": 0, "name": "0", "path": "", "type": TYPES["Router"]}],
        "router_config.json": {"types": types, "structure": structure, "parameters": {}},
        f"{static}/config.json": {"frozen": True},
        "document_1_SpladePooling/config.json": {"pooling_strategy": "max", "activation_function": "log1p_relu"},
        "sentence_bert_config.json": FILL_MASK,
        "config_sentence_transformers.json": {"model_type": "SparseEncoder", "prompts": prompts or {}},
    }
    write(tiny_checkpoint(directory), files)
    tiny_tokenizer().save_pretrained(directory / static)
    save_file({"weight": WEIGHTS}, directory / static / "model.safetensors")
    return directory


def two_models(directory: Path) -> Path:
    """Save a Router of two models, the queries' with sum pooling."""
    structure = {side: [f"{side}_0_Transformer", f"{side}_1_SpladePooling"] for side in ("query", "document")}
    types = {name: TYPES[name.rpartition("_")[2]] for route in structure.values() for name in route}
    for seed, side in enumerate(structure):
        tiny_checkpoint(directory / f"{side}_0_Transformer", seed=seed)
    files = {
        "modules.json": [{"idx": 0, "name": "0", "path": "", "type": TYPES["Router"]}],
        "router_config.json": {"types": types, "structure": structure, "parameters": {}},
        "query_0_Transformer/sentence_bert_config.json": FILL_MASK,
        "query_1_SpladePooling/config.json": {"pooling_strategy": "sum"},
        "document_0_Transformer/sentence_bert_config.json": FILL_MASK,
        "document_1_SpladePooling/config.json": {"pooling_strategy": "max"},
    }
    return write(directory, files)


@pytest.fixture(scope="module")
def plain(shared_models: SharedModels) -> Path:
    return shared_models.checkpoint("bert")


def vectors(encoder: Any, texts: Any = SENTENCES) -> list[SparseVector]:
    return [{token: round(weight, 5) for token, weight in vector.items()} for vector in encoder.encode(texts)]


@pytest.mark.parametrize(("pooling", "activation"), [("sum", "relu"), ("max", "log1p_relu"), ("sum", "log1p_relu")])
def test_pooling_and_activation_are_those_of_the_description(
    tmp_path: Path, plain: Path, pooling: Any, activation: Any
) -> None:
    encoder = open_encoder(described(tmp_path / "model", pooling, activation))
    expected = open_encoder(plain, EncoderOptions(max_length=512, pooling=pooling, activation=activation))
    assert vectors(encoder) == vectors(expected)
    assert (encoder.identity.pooling, encoder.identity.activation) == (pooling, activation)


def test_texts_and_queries_have_the_lengths_of_the_description(tmp_path: Path) -> None:
    model = described(tmp_path, transformer={"max_seq_length": 40, "query_length": 9})
    assert (open_encoder(model).max_length, open_query_encoder(model).max_length) == (40, 9)
    assert open_encoder(model, EncoderOptions(max_length=20)).max_length == 20


def test_a_description_may_read_more_tokens_than_the_tokenizer_says(tmp_path: Path) -> None:
    model = described(tmp_path, transformer={"max_seq_length": 400})
    settings = json.loads((model / "tokenizer_config.json").read_text()) | {"model_max_length": 100}
    (model / "tokenizer_config.json").write_text(json.dumps(settings))
    assert open_encoder(model).max_length == 400


def test_prompts_are_put_before_texts_and_recorded(tmp_path: Path, plain: Path) -> None:
    model = described(tmp_path, prompts={"query": "search the ", "document": "text of "})
    sides = [(open_encoder(model), "text of "), (open_query_encoder(model), "search the ")]
    for encoder, prompt in sides:
        assert vectors(encoder) == vectors(open_encoder(plain), [prompt + text for text in SENTENCES])
        assert encoder.identity.prompt == prompt
        assert encoder.encode(["", " "]) == [{}, {}]


def test_a_directory_that_was_encoded_with_another_prompt_is_not_resumed(tmp_path: Path) -> None:
    model = described(tmp_path / "model", prompts={"document": "text of "})
    corpus = InMemoryCorpus("corpus", [Document("1", "", "the cause of a headache")])
    encode(corpus, open_encoder(model), tmp_path / "impacts")
    write(model, {"config_sentence_transformers.json": {"model_type": "SparseEncoder", "prompts": {"document": "a "}}})
    with pytest.raises(MismatchError, match="encoder prompt was text of , is a "):
        encode(corpus, open_encoder(model), tmp_path / "impacts")


def test_only_the_greatest_weights_stay(tmp_path: Path, plain: Path) -> None:
    encoder = open_encoder(described(tmp_path, max_active_dims=3))
    for limited, vector in zip(vectors(encoder), vectors(open_encoder(plain)), strict=True):
        assert limited.items() <= vector.items()
        assert sorted(limited.values()) == sorted(vector.values())[-3:]


@pytest.mark.parametrize("options", [{"pooling": "max"}, {"activation": "relu"}])
def test_an_option_that_contradicts_the_description_is_refused(tmp_path: Path, options: Any) -> None:
    model = described(tmp_path, "sum", "log1p_relu")
    (name,) = options
    with pytest.raises(MismatchError, match=rf"--{name} is {options[name]}, but .* says 1_SpladePooling/config\.json"):
        open_encoder(model, EncoderOptions(**options))
    with pytest.raises(MismatchError, match=f"--{name} is {options[name]}, but"):
        export(load_document_checkpoint(model), tmp_path / "onnx", ExportOptions(**options), SENTENCES)
    assert open_encoder(model, EncoderOptions(pooling="sum", activation="log1p_relu")).identity.pooling == "sum"


CARD = 'name = "mine"\ndescription = "d"\nlicense = "l"\nsource = "model"\n'


@pytest.mark.parametrize(
    "line", ['pooling = "max"', 'activation = "relu"', 'query_side = "doc"', 'query_prompt = "query: "']
)
def test_a_card_that_contradicts_the_description_is_refused(tmp_path: Path, line: str) -> None:
    described(tmp_path / "model", "sum", "log1p_relu", prompts={"query": "search: "})
    (tmp_path / "mine.toml").write_text(CARD + line)
    with pytest.raises(MismatchError, match=r"The card of .* the description of sentence-transformers \(1_SpladePool"):
        open_encoder(tmp_path / "mine.toml")


def test_a_card_chooses_scale_and_lengths(tmp_path: Path) -> None:
    described(tmp_path / "model", "sum", transformer={"max_seq_length": 40})
    (tmp_path / "mine.toml").write_text(CARD + "scale = 50\nmax_length = 30")
    assert default_scale(tmp_path / "mine.toml") == 50
    assert open_encoder(tmp_path / "mine.toml").max_length == 30
    assert open_query_encoder(tmp_path / "mine.toml").max_length == 40


def test_a_manifest_that_the_description_contradicts_is_refused(tmp_path: Path) -> None:
    model = described(tmp_path, "sum")
    manifest = {"pooling": "max", "query_side": "splade", "max_length": 20, "query_max_length": 20}
    write_manifest(model, CheckpointManifest(steps=1, recipe={}, **manifest))
    with pytest.raises(MismatchError, match=r"has the pooling 'max' in splade\.manifest, and 'sum' in"):
        open_encoder(model)
    write_manifest(model, CheckpointManifest(steps=1, recipe={}, **manifest | {"pooling": "sum"}))
    assert open_encoder(model).max_length == 20


class TestStaticQueries:
    def test_a_query_has_the_weights_of_its_tokens_each_once(self, tmp_path: Path) -> None:
        weights = dict(zip(tiny_vocabulary(), WEIGHTS.tolist(), strict=True))
        encoder = open_query_encoder(routed(tmp_path))
        expected = {token: weights[token] for token in ("the", "cause", "of", "headache")}
        assert encoder.encode(["the cause of the headache [CLS] µ"]) == [expected]

    def test_its_maximum_length_counts_special_tokens_too(self, tmp_path: Path) -> None:
        assert open_query_encoder(routed(tmp_path)).max_length == 514

    def test_weights_below_0_are_refused(self, tmp_path: Path) -> None:
        model = routed(tmp_path)
        changed = WEIGHTS.copy()
        changed[tiny_vocabulary().index("headache")] = -0.5
        save_file({"weight": changed}, model / "query_0_SparseStaticEmbedding" / "model.safetensors")
        with pytest.raises(InputError, match=r"1 weight cannot be an impact, such as -0\.5 of 'headache'"):
            open_query_encoder(model)

    def test_weights_in_the_format_of_torch(self, tmp_path: Path) -> None:
        model = routed(tmp_path)
        expected = vectors(open_query_encoder(model))
        (model / "query_0_SparseStaticEmbedding" / "model.safetensors").unlink()
        torch.save({"weight": torch.from_numpy(WEIGHTS)}, model / "query_0_SparseStaticEmbedding/pytorch_model.bin")
        assert vectors(open_query_encoder(model)) == expected

    @pytest.mark.parametrize("content", [b"abc", b""])
    def test_damaged_weights_are_refused(self, tmp_path: Path, content: bytes) -> None:
        model = routed(tmp_path)
        (model / "query_0_SparseStaticEmbedding" / "model.safetensors").write_bytes(content)
        with pytest.raises(InputError, match=r"The weights of SparseStaticEmbedding in .* cannot be read"):
            open_query_encoder(model)

    def test_a_card_may_say_that_queries_have_no_model(self, tmp_path: Path) -> None:
        routed(tmp_path / "model")
        (tmp_path / "mine.toml").write_text(CARD + 'query_side = "doc"\nquery_max_length = 8')
        expected = open_query_encoder(tmp_path / "model", EncoderOptions(max_length=8))
        assert vectors(open_query_encoder(tmp_path / "mine.toml")) == vectors(expected)

    @pytest.mark.slow
    def test_an_export_has_the_same_queries_documents_and_prompts(self, tmp_path: Path) -> None:
        model = routed(tmp_path / "model", prompts={"query": "search ", "document": "text "})
        export(load_document_checkpoint(model), tmp_path / "onnx", ExportOptions(), SENTENCES)
        assert vectors(open_query_encoder(tmp_path / "onnx")) == vectors(open_query_encoder(model))
        manifest = read_manifest(tmp_path / "onnx", EncoderManifest)
        assert manifest
        assert (manifest.identity.prompt, manifest.query_prompt, manifest.query_side) == ("text ", "search ", "idf")
        assert (manifest.default_max_length, manifest.default_query_max_length) == (512, 514)

    def test_a_tokenizer_of_their_own_is_refused_by_export(self, tmp_path: Path) -> None:
        model = routed(tmp_path / "model")
        tokenizer = tiny_tokenizer()
        tokenizer.backend_tokenizer.normalizer = None
        tokenizer.save_pretrained(model / "query_0_SparseStaticEmbedding")
        with pytest.raises(MismatchError, match="has another tokenizer for queries"):
            export(load_document_checkpoint(model), tmp_path / "onnx", ExportOptions(), SENTENCES)


def test_each_of_two_models_has_its_own_pooling(tmp_path: Path) -> None:
    model = two_models(tmp_path / "model")
    for encoder, side, pooling in [
        (open_encoder(model), "document", "max"),
        (open_query_encoder(model), "query", "sum"),
    ]:
        own = tiny_checkpoint(tmp_path / side, seed=0 if side == "query" else 1)
        expected = open_encoder(own, EncoderOptions(max_length=512, pooling=pooling))  # type: ignore[arg-type]
        assert vectors(encoder) == vectors(expected)


class TestBackbone:
    def recipe(self, model: Path, **values: Any) -> TrainingRecipe:
        steps = {"batch_size": 2, "steps": 1, "learning_rate": 1e-3, "losses": [{"kind": "rank-ibn"}]}
        return TrainingRecipe.model_validate(steps | {"backbone": str(model), "max_length": 20} | values)

    def card(self, **values: Any) -> EncoderCard:
        return EncoderCard(name="x", description="x", license="x", source="x", **values)

    def test_a_card_states_the_pooling_and_activation_of_a_published_backbone(self, tmp_path: Path) -> None:
        model = described(tmp_path, "sum", "log1p_relu")
        with pytest.raises(MismatchError, match=r"has the pooling sum, says 1_Splade(.|\n)*Add pooling = \"sum\""):
            require_stated(self.card(), str(model))
        with pytest.raises(MismatchError, match="has the activation log1p_relu, says"):
            require_stated(self.card(pooling="max"), str(model))
        require_stated(self.card(pooling="max", activation="relu"), str(model))
        require_stated(self.card(pooling="sum", activation="log1p_relu"), str(model))

    @pytest.mark.parametrize(("prompt", "warned"), [("", True), ("passage: ", False)])
    def test_prompts_of_a_backbone_that_the_card_lacks_are_mentioned(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, prompt: str, warned: bool
    ) -> None:
        model = described(tmp_path, "max", prompts={"document": "passage: "})
        require_stated(self.card(prompt=prompt), str(model))
        assert ("those of the card are used" in caplog.text) == warned

    def test_the_documents_model_of_a_router_is_trained(self, tmp_path: Path) -> None:
        model = two_models(tmp_path)
        documents = load_initial_checkpoint(self.recipe(model), str(model))
        expected = load_checkpoint(model / "document_0_Transformer")
        assert weights_fingerprint(documents.model) == weights_fingerprint(expected.model)

    def test_separate_queries_start_from_the_queries_model_of_a_router(self, tmp_path: Path) -> None:
        model = two_models(tmp_path)
        recipe = self.recipe(model, query_side="separate")
        student = build_student(recipe, self.card().aggregation, load_initial_checkpoint(recipe, str(model)))
        assert student.queries is not None
        expected = load_checkpoint(model / "query_0_Transformer").model.get_input_embeddings().weight
        assert student.queries.model.get_input_embeddings().weight.equal(expected)

    def test_a_description_that_cannot_be_encoded_with_does_not_matter(self, tmp_path: Path) -> None:
        model = described(tmp_path, "mean")
        require_stated(self.card(), str(model))
        assert load_initial_checkpoint(self.recipe(model), str(model)).name == str(model)


def test_a_sparse_encoder_is_a_teacher_as_it_is_described(tmp_path: Path) -> None:
    model = routed(tmp_path)
    teacher = open_teacher(str(model))
    assert isinstance(teacher, SpladeTeacher)
    pair = ("headache", "the cause of a headache")
    (query,), (document,) = open_query_encoder(model).encode(pair[:1]), open_encoder(model).encode(pair[1:])
    expected = sum(weight * document.get(token, 0.0) for token, weight in query.items())
    assert teacher.score([pair]) == [pytest.approx(expected, rel=1e-5)]


@pytest.mark.slow
def test_an_inference_free_model_as_on_the_hub_is_encoded_indexed_and_searched(tmp_path: Path) -> None:
    model = routed(tmp_path / "model", prompts={"query": "the "})
    (tmp_path / "corpus.tsv").write_text("d1\tthe cause of a headache\nd2\tthe flow over a wing\n", encoding="utf-8")
    (tmp_path / "queries.tsv").write_text("q1\theadache cause\n", encoding="utf-8")
    commands: list[list[Any]] = [
        ["encode", "--corpus", tmp_path / "corpus.tsv", "--encoder", model, "--output", tmp_path / "impacts"],
        ["index", "--input", tmp_path / "impacts", "--index", tmp_path / "index"],
        [
            *("search", "--index", tmp_path / "index", "--topics", tmp_path / "queries.tsv"),
            *("--output", tmp_path / "run.txt"),
        ],
    ]
    for command in commands:
        done = run_stage(*command)
        assert done.code == 0, done.err
    assert (tmp_path / "run.txt").read_text().split()[2] == "d1"
    assert set(open_query_encoder(model).encode(["headache cause"])[0]) == {"the", "headache", "cause"}
