"""Query sides of trained checkpoints and of their exports: what encodes queries, and how it fits the documents."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import ScoredDoc

from splade_anserini import Document, OnnxQueryEncoder, TorchQueryEncoder
from splade_anserini.artifacts.manifests import CheckpointManifest, EncoderManifest, read_manifest, write_manifest
from splade_anserini.encoding import (
    Encoder,
    EncoderOptions,
    SpladeDocumentEncoder,
    default_scale,
    open_encoder,
    open_query_encoder,
    quantize,
)
from splade_anserini.encoding.bag import ALL_ONE
from splade_anserini.errors import InputError, MismatchError
from splade_anserini.formats.query_weights import write_query_weights
from splade_anserini.formats.runs import read_run
from splade_anserini.lucene import BruteForceSearcher
from splade_anserini.records import QuerySide
from tests.cli_runner import Outcome, run_stage
from tests.shared_models import SharedModels
from tests.tiny import SENTENCES, tiny_checkpoint, tiny_tokenizer, tiny_vocabulary

pytestmark = pytest.mark.slow

WEIGHTS = {"headache": 2.25, "cat": 0.5, "the": 0.0, "##ing": 1.0, "[CLS]": 3.0, "wave": 0.004}
SIDES: list[QuerySide] = ["splade", "doc", "idf", "separate"]
SCALE = 51.2
CARD = 'name = "mine"\ndescription = "."\nlicense = "MIT"\nsource = "{source}"\n'


@pytest.fixture(autouse=True)
def _reuse_traces(shared_models: SharedModels, monkeypatch: pytest.MonkeyPatch) -> None:
    shared_models.reuse_traces(monkeypatch)


def trained(directory: Path, side: QuerySide) -> Path:
    """Save a checkpoint of the form that training saves."""
    tiny_checkpoint(directory)
    manifest = CheckpointManifest(
        pooling="norm",
        query_side=side,
        max_length=20,
        query_max_length=9,
        scale=SCALE,
        steps=7,
        recipe={"losses": [{"kind": "kl", "weight": 1.0}], "batch_size": 4},
    )
    write_manifest(directory, manifest)
    if side == "idf":
        write_query_weights(directory, WEIGHTS)
    if side == "separate":
        tiny_checkpoint(directory / "query", seed=1)
    return directory


def checkpoint_of(home: Path, side: str) -> Path:
    return home / f"{side}-checkpoint"


@pytest.fixture(scope="module")
def home(shared_models: SharedModels, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of each query side, and its export."""
    path = tmp_path_factory.mktemp("sides")
    with pytest.MonkeyPatch.context() as monkeypatch:
        shared_models.reuse_traces(monkeypatch)
        for side in SIDES:
            done = export(trained(checkpoint_of(path, side), side), path / side)
            assert done.code == 0, done.err
    return path


def export(checkpoint: Path, output: Path, *options: object) -> Outcome:
    """Run the command on a small corpus, which takes less time than on Cranfield."""
    corpus = output.with_name("sentences.tsv")
    corpus.write_text("".join(f"{text_index}\t{text}\n" for text_index, text in enumerate(SENTENCES)))
    return run_stage("export", "--encoder", checkpoint, "--output", output, "--texts", corpus, *options)


@pytest.fixture(params=["checkpoint", "export"])
def encoder_path(home: Path, request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """A function from a query side to an encoder, in both forms of it."""
    return lambda side: checkpoint_of(home, side) if request.param == "checkpoint" else home / side


def same_vectors(encoder: Encoder, reference: Encoder) -> bool:
    pairs = zip(encoder.encode(SENTENCES), reference.encode(SENTENCES), strict=True)
    return all(dict(vector) == pytest.approx(dict(expected), abs=1e-4) for vector, expected in pairs)


# The weights of a query.


def test_a_query_has_each_of_its_own_tokens_once(encoder_path: Callable[[str], Path]) -> None:
    encoder = open_query_encoder(encoder_path("doc"))
    assert encoder.encode(["The cat and the bird", "headaches"]) == [
        {"the": 1.0, "cat": 1.0, "and": 1.0, "bird": 1.0},
        {"headache": 1.0, "##s": 1.0},
    ]


def test_a_token_has_its_query_weight_and_without_one_none(encoder_path: Callable[[str], Path]) -> None:
    encoder = open_query_encoder(encoder_path("idf"))
    assert encoder.encode(["the headache of the cat and the cat", "dog"]) == [{"headache": 2.25, "cat": 0.5}, {}]


@pytest.mark.parametrize("side", ["doc", "idf"])
@pytest.mark.parametrize("text", ["", " ", "\u200b", "☃", "[CLS] [MASK] [UNK]"])
def test_special_and_unknown_tokens_have_no_weight(encoder_path: Callable[[str], Path], side: str, text: str) -> None:
    assert open_query_encoder(encoder_path(side)).encode([text, "cat", f"cat {text}"])[::2] == [
        {},
        open_query_encoder(encoder_path(side)).encode(["cat"])[0],
    ]


@given(text=st.text(max_size=60))
@settings(max_examples=60, deadline=None)
def test_a_bag_holds_the_tokens_of_the_text_except_special_ones(home: Path, text: str) -> None:
    encoder = open_query_encoder(home / "doc", EncoderOptions(max_length=100))
    tokenizer = tiny_tokenizer()
    assert set(encoder.encode([text])[0]) == set(tokenizer.tokenize(text)) - set(tokenizer.all_special_tokens)


def test_a_score_is_the_sum_of_the_documents_weights_of_the_querys_tokens(home: Path) -> None:
    (document,) = open_encoder(home / "doc").encode([SENTENCES[2]])
    (query,) = open_query_encoder(home / "doc").encode(["heat wing cat"])
    assert sum(weight * document.get(token, 0.0) for token, weight in query.items()) == pytest.approx(
        sum(document.get(token, 0.0) for token in ["heat", "wing", "cat"])
    )


@pytest.mark.parametrize("side", SIDES)
def test_queries_have_the_maximum_length_of_the_manifest_or_of_the_options(
    encoder_path: Callable[[str], Path], side: str
) -> None:
    assert open_query_encoder(encoder_path(side)).max_length == 9
    assert open_query_encoder(encoder_path(side), EncoderOptions(max_length=4)).max_length == 4


def test_queries_are_truncated_to_the_maximum_length(encoder_path: Callable[[str], Path]) -> None:
    long = open_query_encoder(encoder_path("doc")).encode([" ".join(tiny_vocabulary()[-20:])])[0]
    assert list(long) == tiny_vocabulary()[-20:][:7]


def test_a_second_model_encodes_queries_where_the_query_side_is_separate(
    home: Path, encoder_path: Callable[[str], Path]
) -> None:
    queries = open_query_encoder(encoder_path("separate"), EncoderOptions(max_length=20))
    options = EncoderOptions(pooling="norm", max_length=20)
    assert same_vectors(queries, open_encoder(checkpoint_of(home, "separate") / "query", options))
    assert not same_vectors(queries, open_encoder(encoder_path("separate")))


def test_a_query_model_may_have_another_pooling_and_activation_but_no_other_maximum_length(
    home: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(checkpoint_of(home, "separate"), tmp_path / "separate")
    manifest = read_manifest(copy, CheckpointManifest)
    assert manifest is not None
    changed = {"pooling": "sum", "activation": "log1p_relu"}
    write_manifest(copy / "query", manifest.model_copy(update=changed | {"query_max_length": 99}))
    assert export(copy, tmp_path / "onnx").code == 0
    for path in [copy, tmp_path / "onnx"]:
        queries = open_query_encoder(path)
        assert (queries.identity.aggregation, queries.max_length) == (("sum", "log1p_relu"), 9)
        assert open_encoder(path).identity.aggregation == ("norm", "relu")


# How a trained checkpoint is used.


@pytest.mark.parametrize("side", SIDES)
def test_pooling_maximum_length_and_scale_are_those_of_the_manifest(
    encoder_path: Callable[[str], Path], home: Path, side: str
) -> None:
    encoder = open_encoder(encoder_path(side))
    assert (encoder.identity.pooling, encoder.max_length, default_scale(encoder_path(side))) == ("norm", 20, SCALE)
    options = EncoderOptions(pooling="norm", max_length=20)
    assert same_vectors(encoder, open_encoder(checkpoint_of(home, "splade"), options))


def test_options_override_the_manifest(home: Path) -> None:
    encoder = open_encoder(checkpoint_of(home, "doc"), EncoderOptions(pooling="max", max_length=5))
    assert (encoder.identity.pooling, encoder.max_length) == ("max", 5)


def test_the_fields_of_a_card_override_the_manifest(encoder_path: Callable[[str], Path], tmp_path: Path) -> None:
    card = tmp_path / "mine.toml"
    card.write_text(CARD.format(source=encoder_path("doc")))
    assert open_encoder(card).max_length == 20
    assert (open_query_encoder(card).max_length, default_scale(card)) == (9, SCALE)
    card.write_text(CARD.format(source=encoder_path("doc")) + "max_length = 30\nscale = 10\nquery_max_length = 5\n")
    assert open_encoder(card).max_length == 30
    assert (open_query_encoder(card).max_length, default_scale(card)) == (5, 10)
    assert open_query_encoder(card).encode(["cat"]) == [{"cat": 1.0}]


@pytest.mark.parametrize(
    "line", ['pooling = "max"', 'activation = "log1p_relu"', 'query_side = "idf"', 'query_side = "splade"']
)
@pytest.mark.parametrize("function", [open_encoder, open_query_encoder, default_scale])
def test_a_card_that_contradicts_the_manifest_is_refused(
    encoder_path: Callable[[str], Path], tmp_path: Path, line: str, function: Callable[[Path], object]
) -> None:
    card = tmp_path / "mine.toml"
    card.write_text(CARD.format(source=encoder_path("doc")) + line)
    with pytest.raises(MismatchError, match=r"The card of .* has .* = .*, the manifest in .*"):
        function(card)


@pytest.mark.parametrize("exported", [False, True])
def test_a_card_can_declare_the_query_side_of_a_checkpoint_without_a_manifest(
    shared_models: SharedModels, tmp_path: Path, exported: bool
) -> None:
    source = shared_models.export() if exported else shared_models.checkpoint()
    card = tmp_path / "mine.toml"
    card.write_text(CARD.format(source=source) + 'query_side = "doc"\npooling = "max"')
    encoder = open_query_encoder(card)
    assert encoder.encode(["cat cat"]) == [{"cat": 1.0}]
    assert encoder.identity.vocabulary == open_encoder(card).identity.vocabulary


def test_the_fingerprint_of_a_bags_weights_is_that_of_its_query_weights(encoder_path: Callable[[str], Path]) -> None:
    doc, idf = (open_query_encoder(encoder_path(side)).identity for side in ("doc", "idf"))
    weights = (encoder_path("idf") / "query_weights.json").read_bytes()
    assert idf.weights == hashlib.sha256(weights).hexdigest() != doc.weights
    assert doc.weights == ALL_ONE


@pytest.mark.parametrize("side", ["doc", "idf", "separate"])
def test_queries_have_the_vocabulary_of_the_documents_and_other_weights(
    encoder_path: Callable[[str], Path], side: str
) -> None:
    queries = open_query_encoder(encoder_path(side)).identity
    documents = open_encoder(encoder_path(side)).identity
    assert (queries.vocabulary, queries.tokenizer) == (documents.vocabulary, documents.tokenizer)
    assert queries.weights != documents.weights
    assert queries.name == documents.name


# Export.


@pytest.mark.parametrize("side", SIDES)
def test_an_export_has_the_query_side_of_its_checkpoint(home: Path, side: str) -> None:
    manifest = read_manifest(home / side, EncoderManifest)
    assert manifest is not None
    assert (manifest.query_side, manifest.identity.pooling, manifest.scale) == (side, "norm", SCALE)
    assert (manifest.max_length, manifest.default_max_length, manifest.default_query_max_length) == (512, 20, 9)
    assert (home / side / "query_weights.json").is_file() == (side == "idf") == (manifest.query_weights is not None)
    assert (home / side / "query" / "model.onnx").is_file() == (side == "separate")


def test_the_query_model_is_exported_and_compared_too(home: Path) -> None:
    queries = read_manifest(home / "separate" / "query", EncoderManifest)
    assert queries is not None
    assert (queries.identity.name, queries.identity.pooling, queries.query_side) == ("separate/query", "norm", "splade")
    assert queries.parity is not None
    assert queries.parity.max_difference < 1e-4


def test_the_options_of_export_override_the_checkpoints_manifest(home: Path, tmp_path: Path) -> None:
    options = ["--pooling", "max", "--scale", "10", "--max-length", "16"]
    done = export(checkpoint_of(home, "doc"), tmp_path / "out", *options)
    assert done.code == 0, done.err
    encoder = open_encoder(tmp_path / "out")
    assert (encoder.identity.pooling, encoder.max_length, default_scale(tmp_path / "out")) == ("max", 16, 10)


@pytest.mark.parametrize(
    ("side", "heavy"), [("doc", "torch onnxruntime"), ("idf", "torch onnxruntime"), ("separate", "torch")]
)
def test_exported_queries_need_no_torch_and_bags_no_onnxruntime_either(home: Path, side: str, heavy: str) -> None:
    code = (
        "import sys; from splade_anserini.encoding import open_query_encoder\n"
        f"print(len(open_query_encoder({str(home / side)!r}).encode(['headache'])[0]))\n"
        f"print(*({{*{heavy.split()!r}, 'transformers'}} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    active, loaded = done.stdout.split("\n")[:2]
    assert int(active) > 0
    assert loaded == ""


# The whole path.


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    return [Document(f"d{position}", "", text) for position, text in enumerate(SENTENCES)]


@pytest.mark.parametrize("side", SIDES)
def test_encode_index_and_search_give_the_hits_of_brute_force(
    encoder_path: Callable[[str], Path], home: Path, documents: list[Document], tmp_path: Path, side: str
) -> None:
    corpus, topics = tmp_path / "corpus.jsonl", tmp_path / "topics.tsv"
    corpus.write_bytes(b"".join(orjson.dumps({"id": d.id, "text": d.text}) + b"\n" for d in documents))
    queries = {"q1": "the headache of a cat", "q2": "searching for heat", "q3": "the"}
    topics.write_text("".join(f"{id_}\t{text}\n" for id_, text in queries.items()))
    for command in [
        ["encode", "--corpus", corpus, "--encoder", encoder_path(side), "--output", tmp_path / "impacts"],
        ["index", "--input", tmp_path / "impacts", "--index", tmp_path / "index"],
    ]:
        done = run_stage(*command)  # type: ignore[arg-type]
        assert done.code == 0, done.err
    impacts = list(SpladeDocumentEncoder(open_encoder(encoder_path(side)), scale=SCALE).encode(documents))
    query_vectors = open_query_encoder(encoder_path(side)).encode(list(queries.values()))
    vectors = {id_: quantize(vector, SCALE) for id_, vector in zip(queries, query_vectors, strict=True)}
    expected = [hit for _, ranking in BruteForceSearcher(impacts).search(vectors, 5) for hit in ranking]
    assert len(expected) > 5
    other_form = home / side if encoder_path(side) == checkpoint_of(home, side) else checkpoint_of(home, side)
    for number, encoder in enumerate([[], ["--encoder", encoder_path(side)], ["--encoder", other_form]]):
        run = tmp_path / f"run-{number}.txt"
        done = run_stage(
            "search", "--index", tmp_path / "index", "--topics", topics, "--output", run, "--hits", 5, *encoder
        )
        assert done.code == 0, done.err
        assert rounded(read_run(run)) == rounded(expected)


def rounded(hits: Iterable[ScoredDoc]) -> list[tuple[str, str, int]]:
    """Scores are whole numbers; where documents tie, the ones that are written are slightly smaller."""
    return [(hit.query_id, hit.doc_id, round(hit.score)) for hit in hits]


def test_pyserinis_searcher_accepts_bags_as_query_encoders(
    home: Path, documents: list[Document], tmp_path: Path
) -> None:
    from splade_anserini import InMemoryCorpus
    from splade_anserini.encode import encode
    from splade_anserini.index import index
    from splade_anserini.lucene import LuceneImpactSearcher

    encode(InMemoryCorpus("sentences", documents), open_encoder(home / "idf"), tmp_path / "impacts")
    index(tmp_path / "impacts", tmp_path / "index")
    impacts = list(SpladeDocumentEncoder(home / "idf").encode(documents))
    for encoder in [
        OnnxQueryEncoder(home / "idf", scale=100),
        TorchQueryEncoder(checkpoint_of(home, "idf"), scale=100),
        OnnxQueryEncoder(home / "doc"),
        TorchQueryEncoder(checkpoint_of(home, "doc")),
    ]:
        query = encoder.encode("a headache and a cat")
        assert set(query) == ({"headache", "cat"} if encoder.scale == 100 else {"a", "headache", "and", "cat"})
        hits = LuceneImpactSearcher(str(tmp_path / "index"), encoder, min_idf=-1).search("a headache and a cat", k=5)
        ((_, expected),) = BruteForceSearcher(impacts).search({"q": query}, 5)
        assert [(hit.docid, round(hit.score)) for hit in hits] == [(hit.doc_id, hit.score) for hit in expected]


@pytest.fixture(scope="module")
def index_of_doc(home: Path, documents: list[Document], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of the documents, encoded with the query side `doc`."""
    from splade_anserini import InMemoryCorpus
    from splade_anserini.encode import encode
    from splade_anserini.encoding import EncodeOptions
    from splade_anserini.index import index

    path = tmp_path_factory.mktemp("index-of-doc")
    encoder = open_encoder(home / "doc")
    encode(InMemoryCorpus("sentences", documents), encoder, path / "impacts", EncodeOptions(scale=SCALE))
    index(path / "impacts", path / "index")
    return path / "index"


@pytest.mark.parametrize(
    ("option", "message"), [("--encoder", "another vocabulary"), ("--scale", "The scale of the queries")]
)
def test_a_bag_with_another_vocabulary_or_scale_than_the_index_is_refused(
    index_of_doc: Path, tmp_path: Path, option: str, message: str
) -> None:
    (tmp_path / "topics.tsv").write_text("q\tcat\n")
    value = renamed(trained(tmp_path / "other", "doc")) if option == "--encoder" else "100"
    arguments = ["--index", index_of_doc, "--topics", tmp_path / "topics.tsv", "--output", tmp_path / "run"]
    done = run_stage("search", *arguments, option, value)
    assert (done.code, message in done.err) == (2, True), done.err


def renamed(checkpoint: Path) -> Path:
    """Rename two tokens in the vocabulary of a checkpoint."""
    path = checkpoint / "tokenizer.json"
    path.write_text(path.read_text().replace('"migraine"', '"migräne"').replace('"agony"', '"agonie"'))
    return checkpoint


# What is refused.


@pytest.mark.parametrize(
    ("side", "missing", "message"),
    [
        ("idf", "query_weights.json", r"needs query_weights\.json, which is missing"),
        ("separate", "query", r"has the query side `separate`, but .*query holds no model"),
    ],
)
def test_a_checkpoint_without_what_its_queries_need_is_refused(
    home: Path, tmp_path: Path, side: str, missing: str, message: str
) -> None:
    checkpoint = shutil.copytree(checkpoint_of(home, side), tmp_path / side, ignore=shutil.ignore_patterns(missing))
    with pytest.raises(InputError, match=message):
        open_query_encoder(checkpoint)
    done = export(checkpoint, tmp_path / "out")
    assert (done.code, (tmp_path / "out").exists()) == (2, False)
    assert missing in done.err


def test_query_weights_that_changed_after_the_export_are_refused(home: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(home / "idf", tmp_path / "idf")
    write_query_weights(copy, {"cat": 1.0})
    with pytest.raises(InputError, match=r"query_weights\.json is missing or differs from the manifest"):
        open_query_encoder(copy)


def test_models_with_different_vocabularies_are_not_exported_together(home: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(checkpoint_of(home, "separate"), tmp_path / "separate")
    renamed(copy / "query")
    done = export(copy, tmp_path / "out")
    assert (done.code, "has another vocabulary than" in done.err) == (2, True), done.err


def test_an_encoder_whose_manifest_names_no_query_side_has_the_side_splade(tmp_path: Path) -> None:
    from splade_anserini.cards.shipped import encoders_home

    old = shutil.copytree(encoders_home() / "splade-mini", tmp_path / "old")
    fields = json.loads((old / "splade.manifest").read_text())
    for name in ["query_side", "query_weights", "default_max_length", "default_query_max_length"]:
        del fields[name]
    (old / "splade.manifest").write_text(json.dumps(fields))
    manifest = read_manifest(old, EncoderManifest)
    assert manifest is not None
    assert manifest.query_side == "splade"
    assert open_query_encoder(old).identity.weights == manifest.identity.weights
