"""A checkpoint that `train` writes has the same vectors in sentence-transformers, or is refused there."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from splade_anserini.artifacts.manifests import EncoderManifest, read_manifest
from splade_anserini.encoding import Encoder, open_encoder, open_query_encoder
from splade_anserini.errors import MismatchError
from tests.cli_runner import run_stage
from tests.tiny import SENTENCES
from tests.training_fixtures import DOCUMENTS, QUERIES, changes, run_train

sentence_transformers = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")

pytestmark = pytest.mark.slow

TEXTS = [*SENTENCES, *(text for _, text in DOCUMENTS.values()), *QUERIES.values(), "😀 中文", "a b c d e f g h " * 9]

type Trained = Callable[..., Path]


@pytest.fixture(scope="module")
def trained(training_home: Path) -> Trained:
    """Return a checkpoint; each is trained once."""

    def checkpoint(
        query_side: str = "splade", pooling: str = "max", activation: str = "relu", lines: tuple[str, ...] = ()
    ) -> Path:
        output = training_home / "-".join([query_side, pooling, activation, *lines])
        if not output.exists():
            card = {"query_side": query_side, "pooling": pooling, "activation": activation}
            done = run_train(training_home, output, *changes(*lines), **card)
            assert done.code == 0, done.err
        return output

    return checkpoint


def opened(directory: Path) -> Any:
    return sentence_transformers.SparseEncoder(str(directory), device="cpu")


def greatest_difference(encoder: Encoder, theirs: Any) -> float:
    """Return the greatest difference of a weight, relative above 1. `theirs` are the vectors of `TEXTS`, dense."""
    vectors = encoder.encode(TEXTS)
    assert sum(map(len, vectors)) > 100
    tokens = encoder.tokens.tolist()  # type: ignore[attr-defined]  # of the encoders that have a model or a tokenizer
    differences = [0.0]
    for vector, row in zip(vectors, theirs, strict=True):
        expected = {tokens[entry]: float(row[entry]) for entry in row.nonzero().flatten().tolist()}
        differences += [
            abs(vector.get(token, 0.0) - expected.get(token, 0.0)) / max(1.0, expected.get(token, 0.0))
            for token in {*vector, *expected}
        ]
    return max(differences)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
@pytest.mark.parametrize(
    ("query_side", "pooling", "activation", "bound"),
    [
        ("splade", "max", "relu", 1e-5),
        ("splade", "sum", "log1p_relu", 1e-4),
        ("doc", "max", "log1p_relu", 1e-5),
        ("idf", "max", "relu", 1e-5),
        ("idf", "sum", "relu", 1e-4),
        ("separate", "max", "log1p_relu", 1e-5),
    ],
)
def test_documents_and_queries_have_the_same_vectors(
    trained: Trained, query_side: str, pooling: str, activation: str, bound: float
) -> None:
    directory = trained(query_side, pooling, activation)
    model = opened(directory)
    documents = model.encode_document(TEXTS, convert_to_tensor=True)
    queries = model.encode_query(TEXTS, convert_to_tensor=True)
    assert greatest_difference(open_encoder(directory), documents.to_dense()) < bound
    assert greatest_difference(open_query_encoder(directory), queries.to_dense()) < bound
    assert tuple(model.similarity(queries, documents).shape) == (len(TEXTS), len(TEXTS))


PROMPTS = ('prompt="a paper: "', 'query_prompt="search the "')


@pytest.mark.parametrize("query_side", ["splade", "idf", "separate"])
def test_prompts_of_the_card_are_kept(trained: Trained, query_side: str) -> None:
    directory = trained(query_side, lines=PROMPTS)
    model = opened(directory)
    assert (model.prompts["document"], model.prompts["query"]) == ("a paper: ", "search the ")
    documents = model.encode_document(TEXTS).to_dense()
    assert greatest_difference(open_encoder(directory), documents) < 1e-5
    assert greatest_difference(open_query_encoder(directory), model.encode_query(TEXTS).to_dense()) < 1e-5
    assert (model.encode_document(TEXTS, prompt="").to_dense() - documents).abs().max() > 1e-3


@pytest.mark.parametrize("query_side", ["splade", "doc", "idf", "separate"])
def test_queries_are_cut_to_their_own_length(trained: Trained, query_side: str) -> None:
    """The card reads 12 tokens of a query and 24 of a document, two of them special."""
    model = opened(trained(query_side))
    words = ["cat", "dog", "bird", "fish", "horse", "tree", "river", "city", "house", "road", "train", "ship", "plane"]
    cut, shorter, longer = (" ".join(words[:count]) for count in (10, 9, 13))
    vectors = model.encode_query([cut, longer, shorter], convert_to_tensor=True).to_dense()
    assert (vectors[0] - vectors[1]).abs().max() < 1e-6
    assert (vectors[0] - vectors[2]).abs().max() > 1e-3
    documents = model.encode_document([cut, longer], convert_to_tensor=True).to_dense()
    assert (documents[0] - documents[1]).abs().max() > 1e-3


@pytest.mark.parametrize("query_side", ["splade", "doc", "idf", "separate"])
def test_what_sentence_transformers_saves_again_has_the_same_vectors(
    trained: Trained, query_side: str, tmp_path: Path
) -> None:
    model = opened(trained(query_side))
    model.save_pretrained(str(tmp_path / "again"))
    again = opened(tmp_path / "again")
    for encode in ("encode_document", "encode_query"):
        before, after = (getattr(each, encode)(TEXTS, convert_to_tensor=True).to_dense() for each in (model, again))
        assert (before - after).abs().max() < 1e-6


@pytest.mark.parametrize("query_side", ["splade", "doc", "idf", "separate"])
def test_transformers_loads_the_model_of_the_documents_from_the_directory_itself(
    trained: Trained, query_side: str
) -> None:
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    directory = trained(query_side)
    _, report = AutoModelForMaskedLM.from_pretrained(directory, output_loading_info=True)
    assert not report["missing_keys"]
    assert AutoTokenizer.from_pretrained(directory).model_max_length == 512


@pytest.mark.parametrize("query_side", ["splade", "doc"])
def test_the_pooling_norm_is_refused(trained: Trained, query_side: str) -> None:
    directory = trained(query_side, "norm", lines=("query_max_length=24",))
    with pytest.raises(ValueError, match="pooling_strategy must be either 'max' or 'sum'"):
        opened(directory)
    assert open_encoder(directory).identity.pooling == "norm"
    assert open_query_encoder(directory).encode(["cat"])


def test_equal_lengths_need_no_setting_that_earlier_versions_lack(trained: Trained) -> None:
    directory = trained(lines=("query_max_length=24",))
    settings = json.loads((directory / "sentence_bert_config.json").read_text())
    assert settings == {"max_seq_length": 24, "do_lower_case": False}


def test_of_a_model_with_more_rows_than_tokens_static_queries_are_as_long_as_the_tokenizer(
    training_home: Path, tmp_path: Path
) -> None:
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    backbone, output = tmp_path / "backbone", tmp_path / "out"
    body = AutoModelForMaskedLM.from_pretrained(training_home / "backbone")
    tokens = body.config.vocab_size
    body.resize_token_embeddings(tokens + 10)
    body.save_pretrained(backbone)
    AutoTokenizer.from_pretrained(training_home / "backbone").save_pretrained(backbone)
    done = run_train(training_home, output, *changes(f'training.backbone="{backbone}"'), query_side="idf")
    assert done.code == 0, done.err
    model = opened(output)
    queries, documents = model.encode_query(TEXTS), model.encode_document(TEXTS)
    assert (queries.shape[1], documents.shape[1]) == (tokens, tokens + 10)
    assert greatest_difference(open_query_encoder(output), queries.to_dense()) < 1e-5
    assert greatest_difference(open_encoder(output), documents.to_dense()) < 1e-5
    with pytest.raises(RuntimeError):
        model.similarity(queries, documents)


# Exports, which are compared with sentence-transformers.


@pytest.mark.parametrize("query_side", ["splade", "doc", pytest.param("separate", marks=pytest.mark.full)])
@pytest.mark.parametrize(
    "options",
    [pytest.param([], id="default"), pytest.param(["--max-length", "9"], id="shorter", marks=pytest.mark.full)],
)
def test_an_export_is_compared_to_the_lengths_it_has(
    trained: Trained, tmp_path: Path, query_side: str, options: list[str]
) -> None:
    done = run_stage("export", "--encoder", trained(query_side), "--output", tmp_path / "onnx", *options)
    assert done.code == 0, done.err
    manifest = read_manifest(tmp_path / "onnx", EncoderManifest)
    assert manifest is not None
    assert manifest.parity is not None
    assert "sentence-transformers" in manifest.parity.against


@pytest.mark.parametrize("query_side", ["splade", "doc", "separate"])
@pytest.mark.parametrize("options", [[], ["--max-length", "20", "--query-max-length", "9"]], ids=["default", "shorter"])
def test_a_checkpoint_is_verified_to_the_lengths_it_has(trained: Trained, query_side: str, options: list[str]) -> None:
    done = run_stage("verify", trained(query_side), "--against", "sentence-transformers", *options)
    assert done.code == 0, done.err
    assert "tokens are read here" not in done.out + done.err


@pytest.mark.parametrize(
    ("pooling", "options"), [("norm", []), ("max", ["--pooling", "sum"]), ("max", ["--activation", "log1p_relu"])]
)
def test_an_export_that_sentence_transformers_cannot_be_compared_with_is_compared_with_torch(
    trained: Trained, tmp_path: Path, pooling: str, options: list[str]
) -> None:
    done = run_stage("export", "--encoder", trained(pooling=pooling), "--output", tmp_path / "onnx", *options)
    assert done.code == 0, done.err
    manifest = read_manifest(tmp_path / "onnx", EncoderManifest)
    assert manifest is not None
    assert manifest.parity is not None
    assert "sentence-transformers" not in manifest.parity.against


# Without the manifest of this package, as on the Hub.


@pytest.mark.parametrize(
    ("query_side", "pooling", "activation"),
    [
        ("splade", "max", "log1p_relu"),
        ("doc", "max", "relu"),
        ("idf", "sum", "relu"),
        ("separate", "max", "log1p_relu"),
    ],
)
def test_the_description_says_what_the_manifest_says(
    trained: Trained, tmp_path: Path, query_side: str, pooling: str, activation: str
) -> None:
    directory = trained(query_side, pooling, activation)
    copy = shutil.copytree(directory, tmp_path / "copy")
    for file in ("splade.manifest", "output.manifest", "query_weights.json"):
        (copy / file).unlink(missing_ok=True)
    for opened_as in (open_encoder, open_query_encoder):
        expected, encoder = opened_as(directory), opened_as(copy)
        assert encoder.encode(TEXTS) == expected.encode(TEXTS)
        assert encoder.max_length == expected.max_length
        assert encoder.identity.aggregation == expected.identity.aggregation


@pytest.mark.parametrize("query_side", ["doc", "idf", "separate"])
def test_a_router_that_sentence_transformers_saved_over_a_checkpoint_is_not_mistaken_for_it(
    trained: Trained, tmp_path: Path, query_side: str
) -> None:
    copy = shutil.copytree(trained(query_side), tmp_path / "copy")
    opened(copy).save_pretrained(str(copy))
    for opened_as in (open_encoder, open_query_encoder):
        with pytest.raises(MismatchError, match=r"has the directory of the model ''(.|\n)*remove splade\.manifest"):
            opened_as(copy)
    (copy / "splade.manifest").unlink()
    assert open_encoder(copy).encode(TEXTS) == open_encoder(trained(query_side)).encode(TEXTS)
    assert open_query_encoder(copy).encode(TEXTS) == open_query_encoder(trained(query_side)).encode(TEXTS)


@pytest.mark.parametrize(
    ("query_side", "file", "before", "now"),
    [
        ("splade", "1_SpladePooling/config.json", '"max"', '"sum"'),
        ("splade", "1_SpladePooling/config.json", '"relu"', '"log1p_relu"'),
        ("doc", "router_config.json", '"query_0_SparseStaticEmbedding"\n', '"", "document_1_SpladePooling"\n'),
        ("splade", "config_sentence_transformers.json", '"dot"', '"dot", "prompts": {"query": "find "}'),
        ("separate", "router_config.json", '"query",\n      "query_1_SpladePooling"', '"", "document_1_SpladePooling"'),
    ],
)
def test_files_of_sentence_transformers_that_contradict_the_manifest_are_refused(
    trained: Trained, tmp_path: Path, query_side: str, file: str, before: str, now: str
) -> None:
    copy = shutil.copytree(trained(query_side), tmp_path / "copy")
    text = (copy / file).read_text()
    assert before in text
    (copy / file).write_text(text.replace(before, now))
    for opened_as in (open_encoder, open_query_encoder):
        with pytest.raises(MismatchError, match=r"in splade\.manifest"):
            opened_as(copy)
