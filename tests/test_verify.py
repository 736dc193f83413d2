"""The command verify: encoders beside references, reference vectors on cards and in files."""

import json
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from splade_anserini.artifacts.manifests import EncoderManifest, read_manifest
from splade_anserini.cards.encoder_card import EncoderCard
from splade_anserini.cards.finding import read_card
from splade_anserini.cards.shipped import encoders_home
from splade_anserini.encoding import EncoderOptions, open_encoder, open_query_encoder
from splade_anserini.errors import InputError, IntegrityError, RecordError
from splade_anserini.records import Side, SparseVector
from splade_anserini.verification import card_references
from splade_anserini.verification.comparison import Comparison
from splade_anserini.verification.reference_vectors import (
    ReferenceVector,
    read_reference_vectors,
    write_reference_vectors,
)
from splade_anserini.verification.sentence_transformers_encoder import SentenceTransformersEncoder
from splade_anserini.verification.texts import SHORT_TEXTS, TEXTS
from splade_anserini.verify import VerifyOptions, verify
from tests.cli_runner import run_stage
from tests.encoder_fixtures import write_dictionary_encoder
from tests.shared_models import SharedModels

WORDS: dict[str, SparseVector] = {
    "pain": {"pain": 2.0, "ache": 0.5},
    "cats": {"cats": 1.5, "pain": 0.25},
    "sleep": {"sleep": 1.0},
}
CHANGED: dict[str, SparseVector] = {**WORDS, "cats": {"cats": 1.52, "pain": 0.25}}
CORPUS = '{"id": "a", "text": "pain"}\n{"id": "b", "text": "cats sleep"}\n{"id": "c", "text": "  "}\n'

needs_sentence_transformers = pytest.mark.skipif(
    find_spec("sentence_transformers") is None, reason="sentence-transformers, of the extra `test`, is missing"
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with an encoder, one of whose weights differs in another, and texts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(card_references, "_checked", set())
    write_dictionary_encoder(tmp_path / "mine", WORDS)
    write_dictionary_encoder(tmp_path / "changed", CHANGED)
    (tmp_path / "corpus.jsonl").write_text(CORPUS)
    return tmp_path


def compared(
    vector: SparseVector, expected: SparseVector, *, masked: frozenset[str] = frozenset(), complete: bool = True
) -> Comparison:
    comparison = Comparison("document", 100, masked)
    comparison.add(ReferenceVector("d1", "a text", "document", expected, complete), vector)
    return comparison


# Comparing two vectors.


@pytest.mark.parametrize(
    ("vector", "expected", "greatest", "equal"),
    [
        ({"a": 1.0}, {"a": 1.0}, 0.0, 1.0),
        ({"a": 0.5}, {"a": 0.75}, 0.25, 0.0),
        ({"a": 3.0}, {"a": 4.0}, 0.25, 0.0),  # relative above 1
        ({"a": 1.0, "b": 0.5}, {"a": 1.0}, 0.5, 0.5),
        ({"a": 1.0}, {"a": 1.0, "b": 0.5}, 0.5, 0.5),
        ({"a": 1.001}, {"a": 1.0}, 0.001, 1.0),  # 100 at scale 100, both
        ({}, {"a": 0.25}, 0.25, 0.0),
        ({}, {}, 0.0, 1.0),
    ],
)
def test_the_greatest_difference_is_relative_above_1_and_impacts_are_counted(
    vector: SparseVector, expected: SparseVector, greatest: float, equal: float
) -> None:
    comparison = compared(vector, expected)
    assert comparison.max_difference == pytest.approx(greatest)
    assert comparison.equal_impacts == equal


def test_entries_that_are_masked_by_design_are_left_out_and_counted() -> None:
    comparison = compared({"a": 1.0}, {"a": 1.0, "[CLS]": 2.0, "[row 9]": 1.0}, masked=frozenset({"[CLS]"}))
    assert (comparison.max_difference, comparison.masked_entries, comparison.entries) == (0, 2, 1)


def test_a_weight_that_is_not_a_number_is_the_greatest_difference() -> None:
    comparison = compared({"a": float("nan"), "b": 2.0}, {"a": 1.0, "b": 1.0})
    assert comparison.max_difference == float("inf")
    assert comparison.greatest is not None
    assert comparison.greatest.token == "a"


@pytest.mark.parametrize(
    ("vector", "greatest"),
    [
        ({"a": 2.0, "b": 1.0, "c": 0.9, "d": 0.1}, 0.0),  # what weighs less than the entries of the card is free
        ({"a": 2.0, "b": 1.0, "c": 1.5}, 0.5),  # what weighs more is not
        ({"a": 2.0, "c": 0.5}, 1.0),
    ],
)
def test_a_vector_of_the_greatest_weights_says_nothing_of_smaller_ones(vector: SparseVector, greatest: float) -> None:
    assert compared(vector, {"a": 2.0, "b": 1.0}, complete=False).max_difference == pytest.approx(greatest)


# Texts.


def test_the_builtin_texts_are_diverse() -> None:
    assert 50 <= len(TEXTS) <= 60
    assert len(set(TEXTS)) == len(TEXTS)
    everything = "".join(TEXTS)
    for part in ("", "天气", "😀", "https://", "def add", "[CLS]", "\u200b", "\n"):
        assert part in everything
    assert sum(not text.strip() for text in TEXTS) == 2
    assert max(len(text.split()) for text in TEXTS) > 512
    assert all(len(text.split()) < 20 for text in SHORT_TEXTS)


# Files of reference vectors.


def test_reference_vectors_are_read_as_they_were_written(tmp_path: Path) -> None:
    vectors = [
        ReferenceVector("1", "pain", "document", {"pain": 2.0, "ache": 0.1}),
        ReferenceVector("2", "", "query", {}),
    ]
    assert write_reference_vectors(tmp_path / "reference.jsonl", vectors) == 2
    assert list(read_reference_vectors(tmp_path / "reference.jsonl")) == vectors


GOOD: Mapping[str, object] = {"id": "1", "text": "pain", "side": "document", "vector": {"pain": 1.0}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"side": "passage"}, "line 1: \"side\" is 'passage'"),
        ({"text": None}, '"text" is null'),
        ({"id": 3}, '"id" is 3'),
        ({"vector": [1, 2]}, '"vector" is an array'),
        ({"vector": {"pain": "much"}}, "the weight of 'pain' is a string"),
        ({"vector": {"pain": True}}, "the weight of 'pain' is true"),
    ],
)
def test_a_line_that_is_not_a_reference_vector_is_an_error(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    (tmp_path / "reference.jsonl").write_text(json.dumps({**GOOD, **change}))
    with pytest.raises(RecordError, match=message):
        list(read_reference_vectors(tmp_path / "reference.jsonl"))


@pytest.mark.parametrize("key", ["id", "text", "side", "vector"])
def test_a_line_that_lacks_a_key_is_an_error(tmp_path: Path, key: str) -> None:
    (tmp_path / "reference.jsonl").write_text(json.dumps({name: value for name, value in GOOD.items() if name != key}))
    with pytest.raises(RecordError, match=f'line 1: no "{key}"'):
        list(read_reference_vectors(tmp_path / "reference.jsonl"))


def test_a_file_without_reference_vectors_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "reference.jsonl").touch()
    with pytest.raises(InputError, match=r"reference\.jsonl is empty"):
        list(read_reference_vectors(tmp_path / "reference.jsonl"))


# The command.


def test_an_encoder_beside_an_equal_one_passes_and_the_report_counts(home: Path) -> None:
    done = run_stage("verify", "mine", "--against", "mine", "--texts", "corpus.jsonl")
    assert done.code == 0, done.err
    assert done.out.splitlines() == [
        "mine beside mine",
        "           texts  greatest difference  mean difference  equal impacts",
        "documents      2                    0                0        100.00%",
        "queries        2                    0                0        100.00%",
        "left out: 1 text without tokens",
        "pass: the greatest difference is at most 0.0001",
    ]


def test_an_encoder_with_another_weight_fails_and_the_report_names_the_entry(home: Path) -> None:
    done = run_stage("verify", "changed", "--against", "mine", "--texts", "corpus.jsonl")
    assert done.code == 1
    lines = done.out.splitlines()
    assert lines[-3:] == [
        "fail: the greatest difference is above 0.0001",
        "  document b ('cats sleep'), entry 'cats': 1.52 instead of 1.5",
        "  query b ('cats sleep'), entry 'cats': 1.52 instead of 1.5",
    ]
    assert "80.00%" in done.out  # 4 of 5 entries


def test_the_bound_is_an_option(home: Path) -> None:
    arguments = ("verify", "changed", "--against", "mine", "--texts", "corpus.jsonl")
    assert run_stage(*arguments, "--bound", "0.02").code == 0
    assert run_stage(*arguments, "--bound", "0.01").code == 1


def test_the_report_can_be_json(home: Path) -> None:
    done = run_stage("verify", "changed", "--against", "mine", "--texts", "corpus.jsonl", "--format", "json")
    assert done.code == 1
    report = json.loads(done.out)
    assert (report["kind"], report["name"], report["against"], report["passed"]) == (
        "encoder",
        "changed",
        "mine",
        False,
    )
    documents = report["sides"]["documents"]
    assert (documents["texts"], documents["empty"], documents["entries"]) == (2, 1, 5)
    assert documents["greatest"] == {"id": "b", "token": "cats", "weight": pytest.approx(1.52), "expected": 1.5}


def test_without_texts_the_builtin_ones_are_compared(home: Path) -> None:
    result = verify("mine", "mine")
    assert result.passed
    assert [(comparison.texts, comparison.empty) for comparison in result.comparisons] == [(len(TEXTS) - 2, 2)] * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["mine"],
            "There is nothing to compare mine with: the checkpoint that it was exported from is not here, it has",
        ),
        (["nowhere.toml"], "nowhere.toml does not exist"),
        (["corpus.jsonl"], "corpus.jsonl is a file without a manifest beside it"),
        (["directory"], "directory is not an encoder"),
        (["unreadable"], "The manifest of unreadable cannot be read"),
        (["mine", "--against", "sentence-transformers"], "sentence-transformers cannot open the export"),
        (["mine", "--against", "mine", "--texts", "none.jsonl"], "The corpus none.jsonl does not exist"),
        (["mine", "--against", "mine", "--texts", "empty.jsonl"], "The corpus empty.jsonl is empty"),
        (["mine", "--against", "mine", "--texts", "blank.jsonl"], "No text could be compared"),
        (["mine", "--against", "good.jsonl", "--texts", "corpus.jsonl"], "--texts cannot be used with good.jsonl"),
        (["mine", "--against", "mine", "--bound", "-1"], "--bound must be at least 0, got -1"),
        (["mine", "--write-reference", "corpus.jsonl"], "corpus.jsonl already exists"),
    ],
)
def test_what_cannot_be_verified_is_bad_input(home: Path, arguments: list[str], message: str) -> None:
    (home / "directory").mkdir()
    (home / "unreadable").mkdir()
    (home / "unreadable" / "splade.manifest").write_text("{")
    (home / "empty.jsonl").touch()
    (home / "blank.jsonl").write_text('{"id": "c", "text": "  "}\n')
    (home / "good.jsonl").write_text(json.dumps(GOOD))
    done = run_stage("verify", *arguments)
    assert done.code == 2
    assert message in done.err


def test_reference_vectors_that_an_encoder_wrote_are_those_that_it_gives(home: Path) -> None:
    done = run_stage("verify", "mine", "--texts", "corpus.jsonl", "--write-reference", "reference.jsonl")
    assert done.code == 0, done.err
    assert done.out == "reference.jsonl: 6 vectors by mine\n"
    assert run_stage("verify", "mine", "--against", "reference.jsonl").code == 0
    assert run_stage("verify", "changed", "--against", "reference.jsonl").code == 1


def test_vectors_of_special_tokens_in_a_reference_are_left_out(home: Path) -> None:
    record = {**GOOD, "vector": {"pain": 2.0, "ache": 0.5, "[UNK]": 3.0}}
    (home / "reference.jsonl").write_text(json.dumps(record))
    done = run_stage("verify", "mine", "--against", "reference.jsonl")
    assert done.code == 0, done.out
    assert "left out: 1 masked entry" in done.out


def test_lengths_of_documents_and_of_queries_are_options(home: Path) -> None:
    text = "pain " * 9 + "cats"
    short = verify("mine", "mine", {"a": text}, VerifyOptions(query_max_length=9), EncoderOptions(max_length=10))
    assert short.lengths == {"document": 10, "query": 9}
    assert [comparison.entries for comparison in short.comparisons] == [3, 2]


# Reference vectors on cards.


def write_card(home: Path, weight: float = 1.5, *, tolerance: float = 0.01) -> Path:
    path = home / "card.toml"
    path.write_text(
        'name = "card"\ndescription = "."\nlicense = "MIT"\nsource = "mine"\n'
        f'[[reference]]\ntext = "cats sleep"\nside = "document"\nentries = {{ cats = {weight}, sleep = 1.0 }}\n'
        f'tolerance = {tolerance}\n[[reference]]\ntext = "pain"\nside = "query"\nentries = {{ pain = 2.0 }}\n'
    )
    return path


def test_an_encoder_that_gives_the_vectors_of_its_card_opens(home: Path) -> None:
    card = write_card(home)
    assert open_encoder(card).encode(["pain"]) == [{"pain": 2.0, "ache": 0.5}]
    assert open_query_encoder(card).encode(["pain"]) == [{"pain": 2.0, "ache": 0.5}]
    assert run_stage("verify", "card.toml").code == 0


def test_an_encoder_with_a_changed_weight_is_refused_by_its_card(home: Path) -> None:
    card = write_card(home)
    replace_encoder(home / "mine", CHANGED)
    with pytest.raises(
        IntegrityError, match="The encoder card does not give the reference vectors of its card"
    ) as caught:
        open_encoder(card)
    assert "entry 'cats': 1.52 instead of 1.5" in str(caught.value)
    assert "--write-reference FILE.toml" in str(caught.value)
    # The vectors of queries on the card are still right.
    open_query_encoder(card)
    done = run_stage("encode", "--corpus", "corpus.jsonl", "--encoder", "card.toml", "--output", "impacts")
    assert done.code == 1
    assert "does not give the reference vectors" in done.err
    assert not (home / "impacts").exists()


def test_a_difference_within_the_tolerance_of_the_card_is_accepted(home: Path) -> None:
    card = write_card(home, tolerance=0.02)
    replace_encoder(home / "mine", CHANGED)
    open_encoder(card)


def test_reference_vectors_are_compared_once_per_process(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comparisons = []
    add = Comparison.add
    monkeypatch.setattr(Comparison, "add", lambda *arguments: comparisons.append(1) or add(*arguments))
    card = write_card(home)
    for _ in range(3):
        open_encoder(card)
    assert len(comparisons) == 1
    replace_encoder(home / "mine", {**WORDS, "pain": {"pain": 1.0}})
    open_encoder(card)
    assert len(comparisons) == 2


def test_an_encoder_that_runs_otherwise_than_its_card_says_is_not_compared(home: Path) -> None:
    card = write_card(home, weight=9)
    with pytest.raises(IntegrityError):
        open_encoder(card)
    open_encoder(card, EncoderOptions(max_length=3))


def test_tables_for_a_card_are_written_and_read(home: Path) -> None:
    done = run_stage("verify", "mine", "--texts", "corpus.jsonl", "--write-reference", "tables.toml")
    assert done.code == 0, done.err
    card = home / "card.toml"
    # The text without tokens has no entries, which a card cannot express.
    assert (home / "tables.toml").read_text().count("[[reference]]") == 4
    card.write_text(
        'name = "card"\ndescription = "."\nlicense = "MIT"\nsource = "mine"\n' + (home / "tables.toml").read_text()
    )
    tables = read_card(card, EncoderCard).reference
    assert [(table.text, table.side) for table in tables] == [
        ("pain", "document"),
        ("cats sleep", "document"),
        ("pain", "query"),
        ("cats sleep", "query"),
    ]
    assert run_stage("verify", "card.toml").code == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("entries = {}", "reference.0.entries: Dictionary should have at least 1 item"),
        ("entries = { a = nan }", "reference.0.entries.a: Input should be a finite number"),
        ("entries = { a = 1 }\ntolerance = 0", "reference.0.tolerance: Input should be greater than 0"),
    ],
)
def test_an_invalid_reference_on_a_card_is_an_error(home: Path, line: str, message: str) -> None:
    card = home / "card.toml"
    card.write_text(
        f'name = "card"\ndescription = "."\nlicense = "MIT"\nsource = "x"\n'
        f'[[reference]]\ntext = "a"\nside = "query"\n{line}\n'
    )
    with pytest.raises(InputError, match=message):
        read_card(card, EncoderCard)


def replace_encoder(directory: Path, words: dict[str, SparseVector]) -> None:
    """Replace the encoder in a directory by one with other weights, whose manifest describes them."""
    other = directory.with_name("other")
    write_dictionary_encoder(other, words)
    for path in other.iterdir():
        path.replace(directory / path.name)
    other.rmdir()


def test_the_encoder_that_ships_gives_the_vectors_of_its_card() -> None:
    result = verify("splade-mini")
    assert result.passed
    assert result.against == "the reference vectors on the card splade-mini"
    assert [comparison.texts for comparison in result.comparisons] == [2, 1]


# Checkpoints and sentence-transformers.


@pytest.mark.slow
def test_an_export_is_compared_with_its_checkpoint(shared_models: SharedModels) -> None:
    result = verify(shared_models.export())
    assert result.against == str(shared_models.checkpoint())
    assert result.passed
    assert (result.bound, result.bounded) == (1e-4, "greatest")
    assert min(comparison.equal_impacts for comparison in result.comparisons) > 0.99


@pytest.mark.slow
def test_the_mean_difference_of_an_int8_export_is_bounded(shared_models: SharedModels) -> None:
    result = verify(shared_models.export(precision="int8"))
    assert (result.bound, result.bounded) == (0.25, "mean")
    assert all(comparison.max_difference > 1e-4 for comparison in result.comparisons)


@pytest.mark.slow
@needs_sentence_transformers
@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_a_checkpoint_gives_the_vectors_of_sentence_transformers(shared_models: SharedModels, kind: str) -> None:
    checkpoint = shared_models.checkpoint(kind)
    lengths = ("--max-length", "512", "--query-max-length", "512")
    done = run_stage("verify", checkpoint, "--against", "sentence-transformers", *lengths, "--format", "json")
    assert done.code == 0, done.out + done.err
    report = json.loads(done.out)
    assert report["against"].startswith("sentence-transformers ")
    for side in report["sides"].values():
        assert side["max_difference"] < 1e-5
        assert (side["texts"], side["empty"]) == (len(TEXTS) - 2, 2)


@pytest.mark.slow
@needs_sentence_transformers
def test_another_pooling_than_that_of_sentence_transformers_fails(shared_models: SharedModels) -> None:
    arguments = ("verify", shared_models.checkpoint(), "--against", "sentence-transformers", "--max-length", "512")
    done = run_stage(*arguments, "--pooling", "sum")
    assert done.code == 1
    assert "fail: the greatest difference is above 0.0001" in done.out


@pytest.mark.slow
@needs_sentence_transformers
def test_another_length_than_that_of_sentence_transformers_is_said(shared_models: SharedModels) -> None:
    arguments = ("verify", shared_models.checkpoint(), "--against", "sentence-transformers")
    done = run_stage(*arguments, "--query-max-length", "512")
    assert done.code == 1
    note = "documents: 256 tokens are read here, 512 by the reference; --max-length sets both"
    assert [line for line in done.out.splitlines() if "tokens are read" in line] == [note]


@pytest.mark.slow
@needs_sentence_transformers
def test_vectors_of_sentence_transformers_can_be_written_and_compared_without_it(
    shared_models: SharedModels, tmp_path: Path
) -> None:
    checkpoint, file = shared_models.checkpoint(), tmp_path / "reference.jsonl"
    lengths = ("--max-length", "512", "--query-max-length", "512")
    arguments = ("verify", checkpoint, "--against", "sentence-transformers", "--write-reference", file)
    done = run_stage(*arguments, *lengths)
    assert done.code == 0, done.err
    assert run_stage("verify", checkpoint, "--against", file, *lengths).code == 0


@pytest.fixture(scope="module")
def published(shared_models: SharedModels, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model in the layout of sentence-transformers."""
    from sentence_transformers import SparseEncoder

    model = tmp_path_factory.mktemp("published") / "model"
    SparseEncoder(str(shared_models.checkpoint()), device="cpu").save_pretrained(str(model))
    return model


def routed_model(checkpoint: Path) -> Any:
    """Return a model whose queries are their own tokens with random weights, and whose activation is log1p_relu."""
    import torch
    from sentence_transformers import SparseEncoder
    from sentence_transformers.base.modules import Router, Transformer
    from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding, SpladePooling

    model = Transformer(str(checkpoint), transformer_task="fill-mask")
    weights = torch.rand(len(model.tokenizer.get_vocab()), generator=torch.Generator().manual_seed(1))
    queries = [SparseStaticEmbedding(model.tokenizer, weight=weights)]
    router = Router.for_query_document(queries, [model, SpladePooling("max", "log1p_relu")])
    return SparseEncoder(modules=[router], device="cpu")


@pytest.mark.slow
@needs_sentence_transformers
def test_a_model_in_their_layout_and_its_export_are_compared_with_sentence_transformers_by_default(
    shared_models: SharedModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared_models.reuse_traces(monkeypatch)
    routed_model(shared_models.checkpoint()).save_pretrained(str(tmp_path / "model"))
    result = verify(tmp_path / "model")
    assert result.against.startswith("sentence-transformers ")
    assert result.passed, result.text()
    documents, queries = result.comparisons
    assert queries.entries < documents.entries / 3
    done = run_stage("export", "--encoder", tmp_path / "model", "--output", tmp_path / "export")
    assert done.code == 0, done.err
    assert f"greatest difference from {result.against}" in done.out
    exported = verify(tmp_path / "export")
    assert exported.against == result.against
    assert exported.passed, exported.text()


@pytest.mark.slow
@needs_sentence_transformers
def test_an_export_of_a_model_in_their_layout_is_compared_with_sentence_transformers(
    published: Path, shared_models: SharedModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared_models.reuse_traces(monkeypatch)
    done = run_stage("export", "--encoder", published, "--output", tmp_path / "export", "--max-length", "200")
    assert done.code == 0, done.err
    assert "greatest difference from sentence-transformers" in done.out
    manifest = read_manifest(tmp_path / "export", EncoderManifest)
    assert manifest is not None
    assert manifest.parity is not None
    assert manifest.parity.against.startswith("sentence-transformers ")
    assert manifest.parity.max_difference < 1e-4
    result = verify(
        tmp_path / "export", None, None, VerifyOptions(query_max_length=200), EncoderOptions(max_length=200)
    )
    assert result.against == manifest.parity.against
    assert result.passed


@pytest.mark.slow
@needs_sentence_transformers
def test_an_export_that_differs_from_sentence_transformers_is_refused(
    published: Path, shared_models: SharedModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared_models.reuse_traces(monkeypatch)
    encode = SentenceTransformersEncoder.encode

    def with_other_weights(self: SentenceTransformersEncoder, texts: Sequence[str], side: Side) -> list[SparseVector]:
        return [
            {token: weight * 1.01 for token, weight in vector.items()} if side == "query" else vector
            for vector in encode(self, texts, side)
        ]

    monkeypatch.setattr(SentenceTransformersEncoder, "encode", with_other_weights)
    done = run_stage("export", "--encoder", published, "--output", tmp_path / "export", "--max-length", "200")
    assert done.code == 1
    assert "The export differs from sentence-transformers" in done.err
    assert "query text " in done.err
    assert not (tmp_path / "export").exists()


def test_an_export_of_an_earlier_version_was_compared_with_torch() -> None:
    manifest = read_manifest(encoders_home() / "splade-mini", EncoderManifest)
    assert manifest is not None
    assert manifest.parity is not None
    assert manifest.parity.against == "torch"
