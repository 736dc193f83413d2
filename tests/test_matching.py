"""Encoders of queries and indexes that do not belong together: what passes, what is a warning, what is refused."""

import json
import logging
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from splade_anserini import FastLuceneImpactSearcher, ImpactIndex
from splade_anserini.artifacts.manifests import (
    CheckpointManifest,
    Counts,
    EncoderIdentity,
    EncoderManifest,
    IndexManifest,
    read_manifest,
    write_manifest,
)
from splade_anserini.cards.default_encoder import DEFAULT_ENCODER
from splade_anserini.cards.shipped import cranfield
from splade_anserini.encoding import DictionaryEncoder, EncoderOptions, ImpactQueryEncoder, open_encoder
from splade_anserini.encoding.matching import check_match
from splade_anserini.errors import InputError, MismatchError
from splade_anserini.formats.corpora import open_corpus
from splade_anserini.formats.query_weights import write_query_weights
from splade_anserini.lucene import build_bm25_index
from splade_anserini.records import QuerySide
from splade_anserini.retrieval.options import QueryOptions
from splade_anserini.retrieval.query_vectors import open_query_encoder_for
from tests.cli_runner import run_stage
from tests.encoder_fixtures import EXPANSIONS, write_dictionary_encoder
from tests.shared_models import SharedModels
from tests.text_index_fixtures import write_json_collection
from tests.tiny import tiny_checkpoint

OTHER_EXPANSIONS = {**EXPANSIONS, "cats": {"cat": 1.0, "pet": 2.0}}
"""Other weights of the same vocabulary."""

CARD = 'name = "{name}"\ndescription = ""\nlicense = ""\nsource = "{source}"\n'


class Named:
    """An encoder with an identity and nothing else."""

    def __init__(self, identity: EncoderIdentity) -> None:
        self.identity = identity


def manifest_of(encoder: Any, scale: float = 100.0) -> IndexManifest:
    identity = encoder if isinstance(encoder, EncoderIdentity) else open_encoder(encoder).identity
    return IndexManifest(encoder=identity, scale=scale, writer="test", counts=Counts())


def opened(documents: IndexManifest, encoder: object, *, force: bool = False) -> ImpactQueryEncoder:
    options = QueryOptions(encoder=str(encoder), force=force, device="cpu")
    return open_query_encoder_for(documents, "Index test", options)


def exported(directory: Path, expansions: Any = EXPANSIONS, **changes: object) -> str:
    """Write an encoder as `export` does, with changes to its manifest; those of the identity are in `identity`."""
    name = write_dictionary_encoder(directory, expansions)
    manifest = read_manifest(name, EncoderManifest)
    assert manifest is not None
    identity = manifest.identity.model_copy(update=changes.pop("identity", {}))
    write_manifest(name, manifest.model_copy(update={"identity": identity, **changes}))
    return name


IDENTITY = DictionaryEncoder(EXPANSIONS).identity


def test_the_same_encoder_passes_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="splade_anserini"):
        check_match(manifest_of(IDENTITY), Named(IDENTITY), 100.0)
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("changes", "scale", "message"),
    [
        ({"vocabulary": "other"}, 100.0, "another vocabulary"),
        ({}, 51.2, r"scale of the queries is 51\.2, that of the documents 100"),
    ],
)
def test_another_vocabulary_or_scale_is_refused_unless_forced(
    caplog: pytest.LogCaptureFixture, changes: dict[str, str], scale: float, message: str
) -> None:
    encoder = Named(IDENTITY.model_copy(update=changes))
    with pytest.raises(MismatchError, match=message):
        check_match(manifest_of(IDENTITY), encoder, scale)
    check_match(manifest_of(IDENTITY), encoder, scale, force=True)
    assert "searching all the same" in caplog.text


def test_other_weights_of_the_same_vocabulary_are_a_warning_where_nothing_else_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    check_match(manifest_of(IDENTITY), Named(IDENTITY.model_copy(update={"weights": "trained", "name": "mine"})), 100.0)
    assert (
        "Encoder mine has other weights than dictionary, which encoded the documents, and nothing says" in caplog.text
    )


@pytest.mark.parametrize(
    ("documents", "queries"),
    [
        ({"weights": "graph", "checkpoint": "c"}, {"weights": "int8 graph", "checkpoint": "c"}),
        ({"weights": "c"}, {"weights": "graph", "checkpoint": "c"}),
        ({"weights": "graph", "checkpoint": "c"}, {"weights": "c"}),
    ],
    ids=["two exports", "export for queries", "export for documents"],
)
def test_a_checkpoint_and_its_exports_belong_together(
    caplog: pytest.LogCaptureFixture, documents: dict[str, str], queries: dict[str, str]
) -> None:
    check_match(manifest_of(IDENTITY.model_copy(update=documents)), Named(IDENTITY.model_copy(update=queries)), 100.0)
    assert caplog.messages == []


# Exported encoders, opened by name.


def test_an_index_is_searched_with_its_own_encoder_under_another_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = exported(tmp_path / "first")
    card = tmp_path / "mine.toml"
    card.write_text(CARD.format(name="mine", source="first"))
    opened(manifest_of(first), card)
    Path(first).rename(tmp_path / "moved")
    opened(manifest_of(str(tmp_path / "moved")), tmp_path / "moved")
    assert caplog.messages == []


def test_an_export_of_another_checkpoint_is_refused_unless_forced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    documents = manifest_of(exported(tmp_path / "a", identity={"checkpoint": "a"}))
    other = exported(tmp_path / "b", OTHER_EXPANSIONS, identity={"checkpoint": "b"})
    with pytest.raises(MismatchError, match="has other weights than") as raised:
        opened(documents, other)
    assert "--force" in str(raised.value)
    opened(documents, other, force=True)
    assert "searching all the same" in caplog.text


@pytest.mark.parametrize(
    ("sources", "outcome"),
    [
        (("org/one", "org/two"), "refused"),
        (("org/one", "org/one"), "passes"),
        (("/runs/1/model", "/runs/2/model"), "warned"),
        (("/runs/1/model", "/runs/1/model"), "warned"),
    ],
    ids=["other ids", "same id", "other directories of one name", "same directory"],
)
def test_exports_of_earlier_versions_are_compared_by_their_sources(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, sources: tuple[str, str], outcome: str
) -> None:
    documents = manifest_of(exported(tmp_path / "a", source=sources[0]))
    other = exported(tmp_path / "b", OTHER_EXPANSIONS, source=sources[1])
    refused: AbstractContextManager[object] = pytest.raises(MismatchError, match="other weights")
    with refused if outcome == "refused" else nullcontext():
        opened(documents, other)
    assert ("other weights" in caplog.text) == (outcome == "warned")


def test_an_encoder_that_is_not_there_any_more_is_only_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    documents = manifest_of(exported(tmp_path / "a", source="org/one"))
    Path(tmp_path / "a").rename(tmp_path / "elsewhere")
    opened(documents, exported(tmp_path / "b", OTHER_EXPANSIONS, source="org/two"))
    assert "other weights" in caplog.text


def test_weights_that_changed_since_the_index_was_made_are_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    documents = manifest_of(exported(tmp_path / "a", identity={"checkpoint": "before"}))
    (tmp_path / "a").rename(tmp_path / "before")
    exported(tmp_path / "a", OTHER_EXPANSIONS, identity={"checkpoint": "now"})
    open_query_encoder_for(documents, "Index test", QueryOptions())
    assert "has other weights now than when the documents were encoded" in caplog.text


@pytest.mark.parametrize("changes", [{"pooling": "sum"}, {"activation": "log1p_relu"}], ids=["pooling", "activation"])
def test_another_pooling_or_activation_is_refused(tmp_path: Path, changes: dict[str, str]) -> None:
    documents = manifest_of(exported(tmp_path / "a"))
    with pytest.raises(MismatchError, match="and activation"):
        opened(documents, exported(tmp_path / "b", identity=changes))


def test_another_prompt_of_the_documents_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    documents = manifest_of(exported(tmp_path / "a"))
    opened(documents, exported(tmp_path / "b", identity={"prompt": "passage: "}))
    assert "encoded with prompt '', and " in caplog.text


@pytest.mark.parametrize("side", ["doc", "idf"])
def test_queries_without_a_model_belong_to_the_documents_of_their_directory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, side: QuerySide
) -> None:
    encoders = []
    for name, expansions in [("a", EXPANSIONS), ("b", OTHER_EXPANSIONS)]:
        encoders.append(exported(tmp_path / name, expansions, identity={"checkpoint": name}))
        write_query_weights(tmp_path / name, {"cats": 1.5})
        (tmp_path / f"{name}.toml").write_text(CARD.format(name=name, source=name) + f'query_side = "{side}"\n')
    documents = manifest_of(encoders[0])
    opened(documents, tmp_path / "a.toml")
    assert caplog.messages == []
    with pytest.raises(MismatchError, match="other weights"):
        opened(documents, tmp_path / "b.toml")


# Checkpoints.


def trained(directory: Path, seed: int, side: QuerySide = "splade") -> Path:
    tiny_checkpoint(directory, seed=seed)
    manifest = CheckpointManifest(pooling="max", query_side=side, max_length=20, query_max_length=9, steps=7, recipe={})
    write_manifest(directory, manifest)
    if side == "idf":
        write_query_weights(directory, {"cat": 1.0})
    return directory


@pytest.mark.slow
def test_an_export_records_the_weights_of_its_checkpoint(
    shared_models: SharedModels, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = open_encoder(shared_models.checkpoint(), EncoderOptions(device="cpu")).identity
    export, int8 = (open_encoder(shared_models.export(precision=each)).identity for each in ("fp32", "int8"))
    assert export.checkpoint == int8.checkpoint == checkpoint.weights
    assert checkpoint.checkpoint is None
    names = [shared_models.checkpoint(), shared_models.export(), shared_models.export(precision="int8")]
    for documents in (checkpoint, export, int8):
        for name in names:
            opened(manifest_of(documents), name)
    assert caplog.messages == []


@pytest.mark.slow
@pytest.mark.parametrize("side", ["splade", "idf"])
def test_another_trained_checkpoint_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, side: QuerySide
) -> None:
    first, second = (trained(tmp_path / str(seed), seed, side) for seed in (1, 2))
    documents = manifest_of(first)
    opened(documents, first)
    assert caplog.messages == []
    with pytest.raises(MismatchError, match="other weights"):
        opened(documents, second)
    first.rename(tmp_path / "moved")
    opened(documents, tmp_path / "moved")
    assert caplog.messages == []


@pytest.mark.slow
def test_another_checkpoint_that_nothing_describes_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Models for queries alone are published so."""
    first, second = (tiny_checkpoint(tmp_path / str(seed), seed=seed) for seed in (1, 2))
    opened(manifest_of(first), second)
    assert "other weights" in caplog.text


# Where an index and an encoder meet.


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with encoders `a` and `b` of one vocabulary, and an index that was made with `a`."""
    home = tmp_path_factory.mktemp("matching")
    for name, expansions in [("a", EXPANSIONS), ("b", OTHER_EXPANSIONS)]:
        exported(home / name, expansions, identity={"checkpoint": name})
    (home / "topics.tsv").write_text("q\tcats\n")
    with ImpactIndex.from_texts(["cats sleep", "dogs bark"], encoder=home / "a") as index:
        index.save(home / "index")
    return home


def hits_of(index: Path, encoder: Any, *, force: bool = False) -> int:
    with ImpactIndex.open(index, query_encoder=encoder, force=force) as opened_index:
        return len(opened_index.search("cats"))


@pytest.mark.slow
def test_an_impact_index_refuses_another_encoder_unless_forced(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert hits_of(place / "index", place / "a") == 2
    assert caplog.messages == []
    with pytest.raises(MismatchError, match="other weights"):
        hits_of(place / "index", place / "b")
    assert hits_of(place / "index", place / "b", force=True) == 2
    assert "searching all the same" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fast", "Pyserini's"])
def test_a_searcher_with_the_interface_of_pyserini_warns_of_another_encoder(
    place: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    from splade_anserini.lucene import LuceneImpactSearcher

    searcher_class: Any = LuceneImpactSearcher if kind == "Pyserini's" else FastLuceneImpactSearcher
    for name in ("a", "b"):
        searcher = searcher_class(str(place / "index"), str(place / name), -1)
        assert len(searcher.search("cats")) == 2
        searcher.close()
        assert ("other weights" in caplog.text) == (name == "b")


@pytest.mark.slow
def test_an_encoder_that_is_given_as_an_object_is_compared_too(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    hits_of(place / "index", open_encoder(place / "a"))
    assert caplog.messages == []
    hits_of(place / "index", open_encoder(place / "b"))
    assert "other weights" in caplog.text


@pytest.mark.slow
def test_an_index_of_the_former_default_is_searched_with_it_and_takes_no_vectors_of_the_default(
    tmp_path: Path,
) -> None:
    assert DEFAULT_ENCODER == "splade-mini-v2"
    for name, text in (("first", "Migraine begins on one side of the head."), ("second", "Cats sleep all day.")):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"id": name, "text": text}))
    (tmp_path / "topics.tsv").write_text("q1\tpain in the head\n")
    former = ("--encoder", "splade-mini")
    for name, encoder in (("first", former), ("second", ())):
        command = ("encode", "--corpus", tmp_path / f"{name}.jsonl", "--output", tmp_path / name, *encoder)
        assert run_stage(*command).code == 0
    index = ("--index", tmp_path / "index")
    assert run_stage("index", "--input", tmp_path / "first", *index).code == 0
    runs = []
    for encoder in ((), former):
        run = tmp_path / f"run{len(encoder)}.txt"
        assert run_stage("search", *index, "--topics", tmp_path / "topics.tsv", "--output", run, *encoder).code == 0
        runs.append(run.read_text())
    assert runs[0] == runs[1] != ""
    outcome = run_stage("index", "--append", "--input", tmp_path / "second", *index)
    assert (outcome.code, "made in different ways (encoder weights" in outcome.err) == (2, True)
    outcome = run_stage("encode", "--corpus", tmp_path / "first.jsonl", "--output", tmp_path / "first")
    assert (outcome.code, "encoder name was splade-mini, is splade-mini-v2" in outcome.err) == (2, True)


@pytest.mark.slow
def test_search_refuses_another_encoder_unless_forced(
    place: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    arguments = ["--index", place / "index", "--topics", place / "topics.tsv", "--output", tmp_path / "run.txt"]
    outcome = run_stage("search", *arguments, "--encoder", place / "b")
    assert (outcome.code, "other weights" in outcome.err, "--force" in outcome.err) == (2, True, True)
    outcome = run_stage("search", *arguments, "--encoder", place / "b", "--force")
    assert (outcome.code, "searching all the same" in caplog.text) == (0, True)
    outcome = run_stage("search", *arguments, "--encoder", place / "a", "--overwrite")
    assert (outcome.code, outcome.err) == (0, "")


@pytest.mark.slow
def test_an_unknown_encoder_is_no_mismatch(place: Path) -> None:
    with pytest.raises(InputError), ImpactIndex.open(place / "index", query_encoder="./nothing") as index:
        index.search("cats")


# An index of texts.


@pytest.fixture(scope="module")
def text_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents of Cranfield, indexed by Anserini for BM25, without a manifest."""
    home = tmp_path_factory.mktemp("texts")
    documents = list(open_corpus(str(cranfield())))[:300]
    build_bm25_index(write_json_collection(home / "json", documents), home / "index")
    (home / "topics.tsv").write_text("q\tcats\n")
    return home


@pytest.mark.slow
@pytest.mark.parametrize("command", ["search", "profile", "rescore"])
def test_commands_refuse_an_index_of_texts(text_index: Path, tmp_path: Path, command: str) -> None:
    arguments = ["--index", text_index / "index", "--topics", text_index / "topics.tsv", "--encoder", "splade-mini"]
    if command == "rescore":
        (tmp_path / "run.txt").write_text("q Q0 1 1 2.0 x\n")
        arguments += ["--run", tmp_path / "run.txt"]
    outcome = run_stage(command, *arguments, "--output", tmp_path / "output")
    assert (outcome.code, "is a text index" in outcome.err) == (2, True)
    assert "Add --bm25" in outcome.err


@pytest.mark.slow
def test_an_impact_index_of_texts_is_refused_unless_forced(text_index: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(MismatchError, match="is a text index"):
        ImpactIndex.open(text_index / "index", query_encoder="splade-mini")
    ImpactIndex.open(text_index / "index", query_encoder="splade-mini", force=True).close()
    assert "searching all the same" in caplog.text


@pytest.mark.slow
def test_a_searcher_with_the_interface_of_pyserini_warns_of_an_index_of_texts(
    text_index: Path, caplog: pytest.LogCaptureFixture
) -> None:
    FastLuceneImpactSearcher(text_index / "index", "splade-mini").close()
    assert "is a text index, whose term frequencies count words; searching all the same" in caplog.text
