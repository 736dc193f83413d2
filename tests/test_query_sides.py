"""Trained checkpoints of every kind, and their exports: what encodes their queries, and how it fits their documents."""

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
from tests.cli_runner import run_stage
from tests.tiny import SENTENCES, tiny_checkpoint, tiny_tokenizer, tiny_vocabulary

WEIGHTS = {"headache": 2.25, "cat": 0.5, "the": 0.0, "##ing": 1.0, "[CLS]": 3.0, "wave": 0.004}
SIDES: list[QuerySide] = ["splade", "doc", "idf", "separate"]
SCALE = 51.2
CARD = 'name = "mine"\ndescription = "."\nlicense = "MIT"\nsource = "{source}"\n'


def trained(directory: Path, side: QuerySide) -> Path:
    """A checkpoint as training leaves it."""
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
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of each kind, and its export."""
    path = tmp_path_factory.mktemp("sides")
    for side in SIDES:
        checkpoint = trained(checkpoint_of(path, side), side)
        done = run_stage("export", "--encoder", checkpoint, "--output", path / side)
        assert done.code == 0, done.err
    return path


@pytest.fixture(params=["checkpoint", "export"])
def place(home: Path, request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Both forms of an encoder by its query side."""
    return lambda side: str(checkpoint_of(home, side) if request.param == "checkpoint" else home / side)


def near(one: Encoder, other: Encoder) -> bool:
    pairs = zip(one.encode(SENTENCES), other.encode(SENTENCES), strict=True)
    return all(dict(a) == pytest.approx(dict(b), abs=1e-4) for a, b in pairs)


# What a query weighs.


def test_a_query_is_each_of_its_own_tokens_once(place: Callable[[str], str]) -> None:
    encoder = open_query_encoder(place("doc"))
    assert encoder.encode(["The cat and the bird", "headaches"]) == [
        {"the": 1.0, "cat": 1.0, "and": 1.0, "bird": 1.0},
        {"headache": 1.0, "##s": 1.0},
    ]


def test_a_known_weight_is_a_tokens_weight_and_none_is_zero(place: Callable[[str], str]) -> None:
    encoder = open_query_encoder(place("idf"))
    assert encoder.encode(["the headache of the cat and the cat", "dog"]) == [{"headache": 2.25, "cat": 0.5}, {}]


@pytest.mark.parametrize("side", ["doc", "idf"])
@pytest.mark.parametrize("text", ["", " ", "\u200b", "☃", "[CLS] [MASK] [UNK]"])
def test_special_and_unknown_tokens_weigh_nothing(place: Callable[[str], str], side: str, text: str) -> None:
    assert open_query_encoder(place(side)).encode([text, "cat", f"cat {text}"])[::2] == [
        {},
        open_query_encoder(place(side)).encode(["cat"])[0],
    ]


@given(text=st.text(max_size=60))
@settings(max_examples=60, deadline=None)
def test_a_bag_is_the_set_of_its_tokens(home: Path, text: str) -> None:
    encoder = open_query_encoder(str(home / "doc"), EncoderOptions(max_length=100))
    tokenizer = tiny_tokenizer()
    assert set(encoder.encode([text])[0]) == set(tokenizer.tokenize(text)) - set(tokenizer.all_special_tokens)


def test_a_score_is_the_sum_of_the_documents_weights_of_the_querys_tokens(home: Path) -> None:
    (document,) = open_encoder(str(home / "doc")).encode([SENTENCES[2]])
    (query,) = open_query_encoder(str(home / "doc")).encode(["heat wing cat"])
    assert sum(weight * document.get(token, 0.0) for token, weight in query.items()) == pytest.approx(
        sum(document.get(token, 0.0) for token in ["heat", "wing", "cat"])
    )


def test_queries_are_cut_where_the_manifest_says(place: Callable[[str], str]) -> None:
    for side in SIDES:
        assert open_query_encoder(place(side)).max_length == 9
        assert open_query_encoder(place(side), EncoderOptions(max_length=4)).max_length == 4
    long = open_query_encoder(place("doc")).encode([" ".join(tiny_vocabulary()[-20:])])[0]
    assert list(long) == tiny_vocabulary()[-20:][:7]


def test_a_model_of_their_own_encodes_queries(home: Path, place: Callable[[str], str]) -> None:
    queries = open_query_encoder(place("separate"), EncoderOptions(max_length=20))
    alone = open_encoder(str(checkpoint_of(home, "separate") / "query"), EncoderOptions(pooling="norm", max_length=20))
    assert near(queries, alone)
    assert not near(queries, open_encoder(place("separate")))


def test_a_model_of_their_own_may_have_a_pooling_of_its_own_but_no_length(home: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(checkpoint_of(home, "separate"), tmp_path / "separate")
    manifest = read_manifest(copy, CheckpointManifest)
    assert manifest is not None
    write_manifest(copy / "query", manifest.model_copy(update={"pooling": "sum", "query_max_length": 99}))
    assert run_stage("export", "--encoder", copy, "--output", tmp_path / "onnx").code == 0
    for place in [copy, tmp_path / "onnx"]:
        queries = open_query_encoder(str(place))
        assert (queries.identity.pooling, queries.max_length) == ("sum", 9)
        assert open_encoder(str(place)).identity.pooling == "norm"


# How a trained checkpoint is used.


def test_pooling_lengths_and_scale_are_the_manifests(place: Callable[[str], str], home: Path) -> None:
    options = EncoderOptions(pooling="norm", max_length=20)
    for side in SIDES:
        encoder = open_encoder(place(side))
        assert (encoder.identity.pooling, encoder.max_length, default_scale(place(side))) == ("norm", 20, SCALE)
        assert near(encoder, open_encoder(str(checkpoint_of(home, "splade")), options))


def test_options_go_before_the_manifest(home: Path) -> None:
    encoder = open_encoder(str(checkpoint_of(home, "doc")), EncoderOptions(pooling="max", max_length=5))
    assert (encoder.identity.pooling, encoder.max_length) == ("max", 5)


def test_a_card_goes_before_the_manifest_where_it_speaks(place: Callable[[str], str], tmp_path: Path) -> None:
    card = tmp_path / "mine.toml"
    card.write_text(CARD.format(source=place("doc")))
    assert open_encoder(str(card)).max_length == 20
    assert (open_query_encoder(str(card)).max_length, default_scale(str(card))) == (9, SCALE)
    card.write_text(CARD.format(source=place("doc")) + "max_length = 30\nscale = 10\nquery_max_length = 5\n")
    assert open_encoder(str(card)).max_length == 30
    assert (open_query_encoder(str(card)).max_length, default_scale(str(card))) == (5, 10)
    assert open_query_encoder(str(card)).encode(["cat"]) == [{"cat": 1.0}]


@pytest.mark.parametrize("line", ['pooling = "max"', 'query_side = "idf"', 'query_side = "splade"'])
def test_a_card_that_contradicts_the_model_is_refused(place: Callable[[str], str], tmp_path: Path, line: str) -> None:
    card = tmp_path / "mine.toml"
    card.write_text(CARD.format(source=place("doc")) + line)
    for opening in (open_encoder, open_query_encoder, default_scale):
        with pytest.raises(MismatchError, match=r"The card of .* has .* = .*, the manifest in .*"):
            opening(str(card))


@pytest.mark.parametrize("exported", [False, True])
def test_a_card_can_declare_the_query_side_of_a_checkpoint_that_says_nothing(tmp_path: Path, exported: bool) -> None:
    source = tiny_checkpoint(tmp_path / "plain")
    if exported:
        assert run_stage("export", "--encoder", source, "--output", tmp_path / "onnx").code == 0
        source = tmp_path / "onnx"
    card = tmp_path / "mine.toml"
    card.write_text(CARD.format(source=source) + 'query_side = "doc"\npooling = "max"')
    encoder = open_query_encoder(str(card))
    assert encoder.encode(["cat cat"]) == [{"cat": 1.0}]
    assert encoder.identity.vocabulary == open_encoder(str(card)).identity.vocabulary


def test_a_query_encoder_says_what_it_is_made_of(place: Callable[[str], str]) -> None:
    doc, idf = (open_query_encoder(place(side)).identity for side in ("doc", "idf"))
    weights = (Path(place("idf")) / "query_weights.json").read_bytes()
    assert idf.weights == hashlib.sha256(weights).hexdigest() != doc.weights
    assert doc.weights == ALL_ONE
    for side, identity in [("doc", doc), ("idf", idf), ("separate", open_query_encoder(place("separate")).identity)]:
        of_documents = open_encoder(place(side)).identity
        assert (identity.vocabulary, identity.tokenizer) == (of_documents.vocabulary, of_documents.tokenizer)
        assert identity.weights != of_documents.weights
        assert identity.name == of_documents.name


# Export.


def test_an_export_carries_the_query_side_along(home: Path) -> None:
    for side in SIDES:
        manifest = read_manifest(home / side, EncoderManifest)
        assert manifest is not None
        assert (manifest.query_side, manifest.identity.pooling, manifest.scale) == (side, "norm", SCALE)
        assert (manifest.max_length, manifest.default_max_length, manifest.default_query_max_length) == (512, 20, 9)
        assert (home / side / "query_weights.json").is_file() == (side == "idf") == (manifest.query_weights is not None)
        assert (home / side / "query" / "model.onnx").is_file() == (side == "separate")
    queries = read_manifest(home / "separate" / "query", EncoderManifest)
    assert queries is not None
    assert (queries.identity.name, queries.identity.pooling, queries.query_side) == ("separate/query", "norm", "splade")
    assert queries.parity is not None
    assert queries.parity.max_difference < 1e-4


def test_export_takes_another_pooling_and_scale_when_told(home: Path, tmp_path: Path) -> None:
    options = ["--pooling", "max", "--scale", "10", "--max-length", "16"]
    done = run_stage("export", "--encoder", checkpoint_of(home, "doc"), "--output", tmp_path / "out", *options)
    assert done.code == 0, done.err
    encoder = open_encoder(str(tmp_path / "out"))
    assert (encoder.identity.pooling, encoder.max_length, default_scale(str(tmp_path / "out"))) == ("max", 16, 10)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("side", "heavy"), [("doc", "torch onnxruntime"), ("idf", "torch onnxruntime"), ("separate", "torch")]
)
def test_exported_queries_need_no_torch_and_bags_no_model_at_all(home: Path, side: str, heavy: str) -> None:
    code = (
        "import sys; from splade_anserini.encoding import open_query_encoder\n"
        f"print(len(open_query_encoder({str(home / side)!r}).encode(['headache'])[0]))\n"
        f"print(*({{*{heavy.split()!r}, 'transformers'}} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found, loaded = done.stdout.split("\n")[:2]
    assert int(found) > 0
    assert loaded == ""


# The whole path.


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    return [Document(f"d{number}", "", text) for number, text in enumerate(SENTENCES)]


@pytest.mark.slow
@pytest.mark.parametrize("side", SIDES)
def test_encode_index_and_search_find_what_brute_force_finds(
    place: Callable[[str], str], home: Path, documents: list[Document], tmp_path: Path, side: str
) -> None:
    corpus, topics, run = tmp_path / "corpus.jsonl", tmp_path / "topics.tsv", tmp_path / "run.txt"
    corpus.write_bytes(b"".join(orjson.dumps({"id": d.id, "text": d.text}) + b"\n" for d in documents))
    queries = {"q1": "the headache of a cat", "q2": "searching for heat", "q3": "the"}
    topics.write_text("".join(f"{id_}\t{text}\n" for id_, text in queries.items()))
    for command in [
        ["encode", "--corpus", corpus, "--encoder", place(side), "--output", tmp_path / "impacts"],
        ["index", "--input", tmp_path / "impacts", "--index", tmp_path / "index"],
    ]:
        done = run_stage(*command)  # type: ignore[arg-type]
        assert done.code == 0, done.err
    impacts = list(SpladeDocumentEncoder(open_encoder(place(side)), scale=SCALE).encode(documents))
    vectors = {
        id_: quantize(vector, SCALE)
        for id_, vector in zip(queries, open_query_encoder(place(side)).encode(list(queries.values())), strict=True)
    }
    expected = [hit for _, ranking in BruteForceSearcher(impacts).search(vectors, 5) for hit in ranking]
    assert len(expected) > 5
    other_form = home / side if "checkpoint" in place(side) else checkpoint_of(home, side)
    for encoder in ([], ["--encoder", place(side)], ["--encoder", other_form]):
        done = run_stage(
            "search", "--index", tmp_path / "index", "--topics", topics, "--output", run, "--hits", 5, *encoder
        )
        assert done.code == 0, done.err
        assert rounded(read_run(run)) == rounded(expected)


def rounded(hits: Iterable[ScoredDoc]) -> list[tuple[str, str, int]]:
    """True scores are whole numbers; written ones lie just below where they would tie."""
    return [(hit.query_id, hit.doc_id, round(hit.score)) for hit in hits]


@pytest.mark.slow
def test_pyserinis_searcher_takes_bags_as_query_encoders(home: Path, documents: list[Document], tmp_path: Path) -> None:
    from splade_anserini import InMemoryCorpus
    from splade_anserini.encode import encode
    from splade_anserini.index import index
    from splade_anserini.lucene import LuceneImpactSearcher

    encode(InMemoryCorpus("sentences", documents), open_encoder(str(home / "idf")), tmp_path / "impacts")
    index(tmp_path / "impacts", tmp_path / "index")
    impacts = list(SpladeDocumentEncoder(str(home / "idf")).encode(documents))
    for encoder in [
        OnnxQueryEncoder(str(home / "idf"), scale=100),
        TorchQueryEncoder(str(checkpoint_of(home, "idf")), scale=100),
        OnnxQueryEncoder(str(home / "doc")),
        TorchQueryEncoder(str(checkpoint_of(home, "doc"))),
    ]:
        query = encoder.encode("a headache and a cat")
        assert set(query) == ({"headache", "cat"} if encoder.scale == 100 else {"a", "headache", "and", "cat"})
        hits = LuceneImpactSearcher(str(tmp_path / "index"), encoder, min_idf=-1).search("a headache and a cat", k=5)
        ((_, expected),) = BruteForceSearcher(impacts).search({"q": query}, 5)
        assert [(hit.docid, round(hit.score)) for hit in hits] == [(hit.doc_id, hit.score) for hit in expected]


@pytest.mark.slow
def test_a_bag_over_another_vocabulary_or_scale_is_refused(
    home: Path, documents: list[Document], tmp_path: Path
) -> None:
    from splade_anserini import InMemoryCorpus
    from splade_anserini.encode import encode
    from splade_anserini.encoding.options import EncodeOptions
    from splade_anserini.index import index

    encoder = open_encoder(str(home / "doc"))
    encode(InMemoryCorpus("sentences", documents), encoder, tmp_path / "impacts", EncodeOptions(scale=SCALE))
    index(tmp_path / "impacts", tmp_path / "index")
    (tmp_path / "topics.tsv").write_text("q\tcat\n")
    other = renamed(trained(tmp_path / "other", "doc"))
    for option, said in [
        (["--encoder", other], "another vocabulary"),
        (["--scale", "100"], "The scale of the queries"),
    ]:
        arguments = ["--index", tmp_path / "index", "--topics", tmp_path / "topics.tsv", "--output", tmp_path / "run"]
        done = run_stage("search", *arguments, *option)
        assert (done.code, said in done.err) == (2, True), done.err


def renamed(checkpoint: Path) -> Path:
    """Give a token of a checkpoint's vocabulary another name."""
    path = checkpoint / "tokenizer.json"
    path.write_text(path.read_text().replace('"migraine"', '"migräne"').replace('"agony"', '"agonie"'))
    return checkpoint


# What is refused.


def test_a_checkpoint_without_what_its_queries_need_is_refused(home: Path, tmp_path: Path) -> None:
    idf = shutil.copytree(checkpoint_of(home, "idf"), tmp_path / "idf")
    (idf / "query_weights.json").unlink()
    separate = shutil.copytree(checkpoint_of(home, "separate"), tmp_path / "separate")
    shutil.rmtree(separate / "query")
    for checkpoint, said in [(idf, r"has no query_weights\.json"), (separate, "holds no model|does not exist")]:
        with pytest.raises(InputError, match=said):
            open_query_encoder(str(checkpoint))
        done = run_stage("export", "--encoder", checkpoint, "--output", tmp_path / "out")
        assert (done.code, (tmp_path / "out").exists()) == (2, False)


def test_query_weights_that_changed_after_the_export_are_refused(home: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(home / "idf", tmp_path / "idf")
    write_query_weights(copy, {"cat": 1.0})
    with pytest.raises(InputError, match=r"query_weights\.json is missing or differs from the manifest"):
        open_query_encoder(str(copy))


def test_two_models_over_two_vocabularies_are_not_exported(home: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(checkpoint_of(home, "separate"), tmp_path / "separate")
    renamed(copy / "query")
    done = run_stage("export", "--encoder", copy, "--output", tmp_path / "out")
    assert (done.code, "has another vocabulary than" in done.err) == (2, True), done.err


def test_an_encoder_from_before_there_were_query_sides_is_opened_as_ever(tmp_path: Path) -> None:
    from splade_anserini.cards.shipped import encoders_home

    old = shutil.copytree(encoders_home() / "splade-mini", tmp_path / "old")
    said = json.loads((old / "splade.manifest").read_text())
    for name in ["query_side", "query_weights", "default_max_length", "default_query_max_length"]:
        del said[name]
    (old / "splade.manifest").write_text(json.dumps(said))
    manifest = read_manifest(old, EncoderManifest)
    assert manifest is not None
    assert manifest.query_side == "splade"
    assert open_query_encoder(str(old)).identity.weights == manifest.identity.weights
