"""Texts that are longer than an encoder reads: they are counted, in a line and in manifests, and vectors stay."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from ir_measures import ScoredDoc

from splade_anserini.artifacts.manifests import (
    EncoderManifest,
    ImpactManifest,
    read_manifest,
    write_manifest,
)
from splade_anserini.artifacts.outputs import OutputRecord, read_output_manifest
from splade_anserini.artifacts.truncation import TextTruncation, Truncation
from splade_anserini.encode import encode
from splade_anserini.encoding import (
    DictionaryEncoder,
    EncodeOptions,
    Encoder,
    EncoderOptions,
    ImpactQueryEncoder,
    open_encoder,
    open_query_encoder,
)
from splade_anserini.encoding.tokenized import TokenizedEncoder
from splade_anserini.encoding.truncation import TruncationCounts, truncation_line
from splade_anserini.errors import NOTE
from splade_anserini.formats.corpora import InMemoryCorpus
from splade_anserini.formats.impacts import read_impacts
from splade_anserini.records import Document, Example, Query
from splade_anserini.retrieval.options import RunOptions
from splade_anserini.retrieval.query_vectors import QuerySet, encode_queries
from splade_anserini.retrieval.recorded_run import RecordedRun, query_inputs
from splade_anserini.training.batch import Collator, GroupTokenizer
from splade_anserini.training.options import TeacherOptions
from splade_anserini.training.teachers.cross_encoder import CrossEncoderTeacher
from splade_anserini.training.teachers.dense import DenseTeacher
from splade_anserini.training.teachers.opening import open_teacher
from splade_anserini.training.teachers.scoring import log_truncated_texts
from splade_anserini.training.training_state import BestCheckpoint, TrainingState
from tests.encoder_fixtures import EXPANSIONS, write_dictionary_encoder
from tests.shared_models import SharedModels
from tests.tiny import tiny_bert, tiny_tokenizer
from tests.training_fixtures import save_teacher, tiny_cross_encoder

CARD = 'name = "mine"\ndescription = ""\nlicense = ""\nsource = "{source}"\n'

TEXTS = ["cats", "cats " * 5, "dogs " * 6, "", "sleep " * 20]
"""With 5 tokens: two are cut, of 1 and 15 tokens."""


@pytest.fixture
def words(tmp_path: Path) -> str:
    """An encoder without special tokens."""
    return write_dictionary_encoder(tmp_path / "words", EXPANSIONS)


def opened(name: str, max_length: int) -> TokenizedEncoder:
    encoder = open_encoder(name, EncoderOptions(max_length=max_length, device="cpu"))
    assert isinstance(encoder, TokenizedEncoder)
    return encoder


def encoded(encoder: Encoder, output: Path, texts: Sequence[str] = TEXTS, docs_per_shard: int = 2) -> ImpactManifest:
    documents = [Document(str(position), "", text) for position, text in enumerate(texts)]
    return encode(InMemoryCorpus("texts", documents), encoder, output, EncodeOptions(docs_per_shard=docs_per_shard))


def test_texts_that_are_cut_and_their_lost_tokens_are_counted(words: str) -> None:
    counts = TruncationCounts()
    encoder = opened(words, 5)
    assert encoder.encode(TEXTS, counts) == encoder.encode(TEXTS)
    assert (counts.texts, counts.truncated, counts.tokens_lost) == (5, 2, 16)


@pytest.mark.slow
@pytest.mark.parametrize(("text_tokens", "lost"), [(7, 0), (8, 0), (9, 1), (50, 42)])
def test_special_tokens_count_as_read_and_not_as_lost(shared_models: SharedModels, text_tokens: int, lost: int) -> None:
    counts = TruncationCounts()
    opened(str(shared_models.export()), 10).encode(["cat " * text_tokens], counts)
    assert (counts.truncated, counts.tokens_lost) == (int(lost > 0), lost)


@pytest.mark.slow
def test_a_checkpoint_and_its_export_count_alike(shared_models: SharedModels) -> None:
    texts, records = ["cat dog " * n for n in (1, 4, 9, 30)], []
    for name in (shared_models.checkpoint(), shared_models.export()):
        counts = TruncationCounts()
        opened(str(name), 12).encode(texts, counts)
        records.append(counts.record())
    assert records[0] == records[1] == Truncation(texts=4, truncated=2, tokens_lost=(18 - 10) + (60 - 10))


def test_encode_says_in_one_line_what_was_cut_and_keeps_it_in_the_manifest(
    words: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(NOTE, logger="splade_anserini"):
        manifest = encoded(opened(words, 5), tmp_path / "impacts")
    assert manifest.truncation == Truncation(texts=5, truncated=2, tokens_lost=16)
    assert [shard.truncation for shard in manifest.shards] == [
        Truncation(texts=2),
        Truncation(texts=2, truncated=1, tokens_lost=1),
        Truncation(texts=1, truncated=1, tokens_lost=15),
    ]
    assert caplog.messages == ["2 of 5 documents (40.0%) are longer than 5 tokens: 16 tokens were cut off."]
    assert read_manifest(tmp_path / "impacts", ImpactManifest) == manifest


def test_a_resumed_encode_counts_what_was_encoded_before(words: str, tmp_path: Path) -> None:
    encoder = opened(words, 5)
    first = encoded(encoder, tmp_path / "impacts")
    (tmp_path / "impacts" / first.shards[1].file).unlink()
    assert encoded(encoder, tmp_path / "impacts") == first


def test_without_long_texts_there_is_no_line_but_a_count(
    words: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(NOTE, logger="splade_anserini"):
        manifest = encoded(opened(words, 20), tmp_path / "impacts")
    assert (manifest.truncation, caplog.messages) == (Truncation(texts=5), [])


def test_an_encoder_without_a_tokenizer_counts_nothing(tmp_path: Path) -> None:
    manifest = encoded(DictionaryEncoder(EXPANSIONS), tmp_path / "impacts")
    assert manifest.truncation is None
    assert b"truncation" not in (tmp_path / "impacts" / "splade.manifest").read_bytes()


def test_a_manifest_of_an_earlier_version_is_read_and_resumed(words: str, tmp_path: Path) -> None:
    """Shards that were not counted leave the sum unknown."""
    encoder, path = opened(words, 5), tmp_path / "impacts" / "splade.manifest"
    encoded(encoder, tmp_path / "impacts")
    content = json.loads(path.read_bytes())
    del content["truncation"], content["checksum"]
    for shard in content["shards"]:
        del shard["truncation"]
    (tmp_path / "impacts" / content["shards"].pop()["file"]).unlink()
    path.write_text(json.dumps(content | {"complete": False}))
    manifest = encoded(encoder, tmp_path / "impacts")
    assert (manifest.complete, manifest.truncation) == (True, None)
    assert manifest.shards[-1].truncation == Truncation(texts=1, truncated=1, tokens_lost=15)


def test_the_lengths_change_no_vector(words: str, tmp_path: Path) -> None:
    encoded(opened(words, 5), tmp_path / "impacts", docs_per_shard=10)
    (file,) = (tmp_path / "impacts").glob("*.jsonl.gz")
    vectors = [dict(document.vector) for document in read_impacts(file)]
    assert vectors == [{"cat": 200, "pet": 50}] * 2 + [{"dog": 200, "pet": 75}, {}, {"sleep": 150}]


def test_queries_that_are_cut_are_counted(words: str, caplog: pytest.LogCaptureFixture) -> None:
    encoder = ImpactQueryEncoder(open_query_encoder(words, EncoderOptions(max_length=5)))
    queries = QuerySet("topics", [Query(str(position), text) for position, text in enumerate(TEXTS)], encoder)
    assert queries.truncation is None
    with caplog.at_level(NOTE, logger="splade_anserini"):
        queries.vectors(2)
    assert queries.truncation == Truncation(texts=5, truncated=2, tokens_lost=16)
    assert "2 of 5 queries (40.0%) are longer than 5 tokens: 16 tokens were cut off." in caplog.messages


def test_the_manifest_of_a_run_keeps_the_counts_of_its_queries(words: str, tmp_path: Path) -> None:
    encoder = ImpactQueryEncoder(open_query_encoder(words, EncoderOptions(max_length=5)))
    queries = QuerySet("topics", [Query("q", "cats " * 7)], encoder)
    queries.vectors()
    run = RecordedRun(RunOptions(output=tmp_path / "run.txt"), OutputRecord("search"))
    run.write([("q", [ScoredDoc("q", "d", 1.0)])], queries)
    manifest = read_output_manifest(tmp_path / "run.txt")
    assert manifest is not None
    assert manifest.counts == {"queries": 1, "hits": 1, "truncated": 1, "tokens_lost": 2}


def test_the_fingerprint_of_a_query_encoder_is_that_of_earlier_versions(words: str) -> None:
    """A run of an export without the checkpoint's fingerprint is up to date with one that has it."""
    inputs = []
    for checkpoint in (None, "c"):
        manifest = read_manifest(words, EncoderManifest)
        assert manifest is not None
        identity = manifest.identity.model_copy(update={"checkpoint": checkpoint})
        write_manifest(words, manifest.model_copy(update={"identity": identity}))
        inputs.append(query_inputs(QuerySet("topics", [], ImpactQueryEncoder(open_query_encoder(words)))))
    assert inputs[0] == inputs[1]


def test_queries_of_an_encoder_without_a_tokenizer_are_not_counted(caplog: pytest.LogCaptureFixture) -> None:
    queries = QuerySet("topics", [Query("a", "cats")], ImpactQueryEncoder(DictionaryEncoder(EXPANSIONS)))
    queries.vectors()
    assert queries.truncation is None


def test_one_set_of_counts_may_be_used_for_several_calls(words: str, caplog: pytest.LogCaptureFixture) -> None:
    encoder, counts = ImpactQueryEncoder(opened(words, 5)), TruncationCounts()
    with caplog.at_level(NOTE, logger="splade_anserini"):
        for text in ("cats " * 6, "dogs"):
            encode_queries([Query("q", text)], encoder, truncation=counts)
    assert counts.record() == Truncation(texts=2, truncated=1, tokens_lost=1)
    assert caplog.messages == ["1 of 1 query (100.0%) is longer than 5 tokens: 1 token was cut off."]


@pytest.mark.parametrize(
    ("truncated", "texts", "share"), [(1, 3, "33.3%"), (1, 1_000, "0.1%"), (1, 10_000, "less than 0.1%")]
)
def test_the_line_gives_the_share(truncated: int, texts: int, share: str) -> None:
    line = truncation_line(Truncation(texts=texts, truncated=truncated, tokens_lost=3), 256, "document")
    assert line == f"1 of {texts:,} documents ({share}) is longer than 256 tokens: 3 tokens were cut off."


def test_queries_are_read_as_far_as_the_model_can_unless_something_else_is_said(words: str, tmp_path: Path) -> None:
    assert (open_encoder(words).max_length, open_query_encoder(words).max_length) == (256, 512)
    assert open_query_encoder(words, EncoderOptions(max_length=9)).max_length == 9
    card = tmp_path / "mine.toml"
    card.write_text(CARD.format(source=words))
    assert open_query_encoder(card).max_length == 512
    card.write_text(CARD.format(source=words) + "query_max_length = 7\n")
    assert open_query_encoder(card).max_length == 7


def test_what_a_manifest_records_of_queries_stays(words: str) -> None:
    manifest = read_manifest(words, EncoderManifest)
    assert manifest is not None
    write_manifest(words, manifest.model_copy(update={"default_query_max_length": 12}))
    assert open_query_encoder(words).max_length == 12


def test_splade_mini_reads_whole_queries() -> None:
    encoder = open_query_encoder("splade-mini")
    assert (encoder.max_length, open_encoder("splade-mini").max_length) == (512, 256)
    long, rest = "wing " * 100, "shock wave"
    assert encoder.encode([long + rest]) != encoder.encode([long])


@pytest.mark.slow
def test_queries_of_a_plain_checkpoint_are_read_as_far_as_the_model_can(shared_models: SharedModels) -> None:
    name = str(shared_models.checkpoint())
    assert (open_encoder(name).max_length, open_query_encoder(name).max_length) == (256, 512)


def test_queries_that_no_model_encodes_are_read_to_their_end(words: str, tmp_path: Path) -> None:
    card = tmp_path / "mine.toml"
    card.write_text(CARD.format(source=words) + 'query_side = "doc"\n')
    counts = TruncationCounts()
    encoder = open_query_encoder(card)
    assert isinstance(encoder, TokenizedEncoder)
    assert encoder.encode(["cats " * 600 + "dogs"], counts) == [{"cats": 1.0, "dogs": 1.0}]
    assert counts.truncated == 0


# Training and teachers.


def test_a_batch_of_training_says_what_was_cut() -> None:
    queries, documents = (GroupTokenizer(tiny_tokenizer(), length, 100) for length in (5, 8))
    example = Example("cat " * 4, "dog " * 6, ("dog " * 9, "cat"))
    batch = Collator(queries, documents, negatives=2, seed=0)(0, [example, example])
    assert batch.truncation.queries == Truncation(texts=2, truncated=2, tokens_lost=2)
    assert batch.truncation.documents == Truncation(texts=6, truncated=2, tokens_lost=6)
    batch = Collator(queries, documents, negatives=2, seed=0, each_text_once=True)(0, [example, example])
    assert batch.truncation.documents == Truncation(texts=3, truncated=1, tokens_lost=3)


def test_a_run_counts_over_its_resumptions_unless_an_earlier_version_began_it(tmp_path: Path) -> None:
    def state() -> TrainingState:
        return TrainingState(BestCheckpoint(tmp_path / "best.pt", torch.nn.Linear(1, 1)))

    first, batch = state(), TextTruncation(queries=Truncation(texts=2, truncated=1, tokens_lost=3))
    first.count(batch)
    resumed = state()
    resumed.load_state_dict(first.state_dict())
    resumed.count(batch)
    assert resumed.truncation == batch + batch
    earlier = first.state_dict()
    del earlier["truncation"]
    resumed.load_state_dict(earlier)
    resumed.count(batch)
    assert resumed.truncation is None


def test_a_teacher_says_what_it_cut(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    options = TeacherOptions(max_length=10, device="cpu")
    dense = DenseTeacher.load(save_teacher(tmp_path / "dense", tiny_bert().bert), options)
    cross = CrossEncoderTeacher.load(save_teacher(tmp_path / "cross", tiny_cross_encoder(1)), options)
    splade = open_teacher(f"splade:{write_dictionary_encoder(tmp_path / 'words', EXPANSIONS)}", options)
    pairs = [("cat", "dog " * 30), ("cat", "dog")]
    for teacher in (dense, cross):
        teacher.score(pairs)
    splade.score([("cats", "dogs " * 11)])
    assert dense.truncation == Truncation(texts=3, truncated=1, tokens_lost=22)
    assert cross.truncation == Truncation(texts=2, truncated=1, tokens_lost=24)
    with caplog.at_level(NOTE, logger="splade_anserini"):
        counts = log_truncated_texts([dense, cross, splade], 10)
    assert counts == {"truncated": 3, "tokens_lost": 47}
    assert caplog.messages[0].startswith("1 of 3 texts of the teacher (33.3%) is longer than 10 tokens")
