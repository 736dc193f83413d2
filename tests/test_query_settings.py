"""How queries are encoded and weighted without options: as the index records it."""

import json
from pathlib import Path

import pytest

from splade_anserini.artifacts.manifests import IndexManifest, read_manifest, write_manifest
from splade_anserini.retrieval.options import QueryOptions
from splade_anserini.retrieval.query_settings import query_idf_for, query_max_length_for
from tests.cli_runner import Outcome, run_stage
from tests.encoder_fixtures import write_dictionary_encoder

WORDS = [f"w{n}" for n in range(8)]
CARD = """
name = "words"
description = "One entry for each word."
license = "Apache-2.0"
source = "encoder"
query_max_length = 6
earlier_query_max_length = 4
query_idf = 0.5
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder with a card, a corpus encoded by it, an index, and topics."""
    directory = tmp_path_factory.mktemp("queries")
    expansions = {word: {word: 1.5 + n / 10, WORDS[n // 2]: 0.4} for n, word in enumerate(WORDS)}
    write_dictionary_encoder(directory / "encoder", expansions)
    (directory / "words.toml").write_text(CARD)
    documents = [{"id": f"d{n}", "contents": " ".join(WORDS[: n % len(WORDS) + 1])} for n in range(30)]
    (directory / "corpus.jsonl").write_text("\n".join(map(json.dumps, documents)))
    (directory / "topics.tsv").write_text("a\tw1 w7 w0 w3 w5\nb\tw6 w5\nc\tw2 w4 w6\n")
    for stage in (
        ("encode", "--corpus", directory / "corpus.jsonl", "--encoder", directory / "words.toml"),
        ("index", "--input", directory / "impacts", "--index", directory / "index"),
    ):
        output = ["--output", directory / "impacts"] if stage[0] == "encode" else []
        outcome = run_stage(*stage, *output)
        assert outcome.code == 0, outcome.err
    return directory


def search(
    home: Path, output: Path, *options: object, index: Path | None = None, topics: str = "topics.tsv"
) -> Outcome:
    paths = ["--index", index or home / "index", "--topics", home / topics, "--output", output]
    outcome = run_stage("search", *paths, *options)
    assert outcome.code == 0, outcome.err
    return outcome


def manifest_of(index: Path) -> IndexManifest:
    manifest = read_manifest(index, IndexManifest)
    assert manifest is not None
    return manifest


@pytest.fixture(scope="module")
def earlier_index(home: Path) -> Path:
    """The index as version 0.1 built it: its manifest does not say how queries are encoded and weighted."""
    import shutil

    copy = home / "earlier-index"
    shutil.copytree(home / "index", copy)
    earlier = {"query_idf": None, "query_max_length": None}
    write_manifest(copy, manifest_of(copy).model_copy(update=earlier))
    return copy


@pytest.mark.slow
class TestIndex:
    def test_an_index_records_what_the_card_of_its_encoder_says(self, home: Path) -> None:
        manifest = manifest_of(home / "index")
        assert (manifest.query_idf, manifest.query_max_length) == (0.5, 6)

    def test_a_card_that_says_nothing_leaves_0(self, home: Path, tmp_path: Path) -> None:
        encoded = ["--corpus", home / "corpus.jsonl", "--encoder", home / "encoder", "--output", tmp_path / "impacts"]
        assert run_stage("encode", *encoded).code == 0
        assert run_stage("index", "--input", tmp_path / "impacts", "--index", tmp_path / "index").code == 0
        assert manifest_of(tmp_path / "index").query_idf == 0

    def test_an_encoder_that_is_elsewhere_is_named_in_a_note(
        self, home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        card = home / "words.toml"
        card.rename(home / "moved.toml")
        try:
            outcome = run_stage("index", "--input", home / "impacts", "--index", tmp_path / "index")
        finally:
            (home / "moved.toml").rename(card)
        assert outcome.code == 0
        assert "words.toml, with which the documents were encoded, is not here" in caplog.text
        assert manifest_of(tmp_path / "index").query_idf == 0

    def test_info_says_how_queries_are_weighted(self, home: Path, earlier_index: Path) -> None:
        assert "multiplied by idf^0.5" in run_stage("info", home / "index").out
        assert "Queries are cut at 6 tokens" in run_stage("info", home / "index").out
        assert "does not record how queries are weighted (version 0.1)" in run_stage("info", earlier_index).out


@pytest.mark.slow
class TestSearch:
    def test_the_index_decides(self, home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        search(home, tmp_path / "default")
        assert "Impacts of queries are multiplied by idf^0.5" in caplog.text
        search(home, tmp_path / "named", "--query-idf", 0.5, "--max-length", 6)
        search(home, tmp_path / "without", "--query-idf", 0)
        search(home, tmp_path / "short", "--max-length", 4)
        assert (tmp_path / "default").read_bytes() == (tmp_path / "named").read_bytes()
        assert (tmp_path / "default").read_bytes() != (tmp_path / "without").read_bytes()
        assert (tmp_path / "default").read_bytes() != (tmp_path / "short").read_bytes()

    def test_the_record_outlives_a_change_of_the_card(self, home: Path, tmp_path: Path) -> None:
        search(home, tmp_path / "before")
        try:
            (home / "words.toml").write_text(CARD.replace("0.5", "2.0"))
            search(home, tmp_path / "after")
        finally:
            (home / "words.toml").write_text(CARD)
        assert (tmp_path / "before").read_bytes() == (tmp_path / "after").read_bytes()

    def test_an_index_of_version_0_1_is_searched_as_then(
        self, home: Path, earlier_index: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        search(home, tmp_path / "earlier", index=earlier_index)
        assert "multiplied" not in caplog.text
        search(home, tmp_path / "named", "--query-idf", 0, "--max-length", 4)
        assert (tmp_path / "earlier").read_bytes() == (tmp_path / "named").read_bytes()

    def test_an_index_without_manifest_follows_the_card_of_the_query_encoder(
        self, home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        import shutil

        shutil.copytree(home / "index", tmp_path / "index", ignore=shutil.ignore_patterns("splade.manifest"))
        search(home, tmp_path / "run", "--encoder", home / "words.toml", index=tmp_path / "index")
        assert "multiplied by idf^0.5, as encoder" in caplog.text
        search(home, tmp_path / "default")
        assert (tmp_path / "run").read_bytes() == (tmp_path / "default").read_bytes()

    def test_topics_encoded_before_give_the_run_of_the_texts(self, home: Path, tmp_path: Path) -> None:
        from splade_anserini.encoding import ImpactQueryEncoder, open_query_encoder
        from splade_anserini.retrieval.query_vectors import encode_queries
        from splade_anserini.retrieval.topics import read_topics

        encoder = ImpactQueryEncoder(open_query_encoder(home / "words.toml"))
        vectors = encode_queries(read_topics(str(home / "topics.tsv")), encoder)
        lines = [json.dumps({"id": id_, "vector": dict(vector)}) for id_, vector in vectors.items()]
        (tmp_path / "topics.jsonl").write_text("\n".join(lines))
        search(home, tmp_path / "texts")
        search(tmp_path, tmp_path / "vectors", index=home / "index", topics="topics.jsonl")
        assert (tmp_path / "texts").read_bytes() == (tmp_path / "vectors").read_bytes()

    def test_rescoring_gives_the_scores_of_the_search(
        self, home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        search(home, tmp_path / "run")
        paths = ["--topics", home / "topics.tsv", "--run", tmp_path / "run", "--output", tmp_path / "rescored"]
        assert run_stage("rescore", "--index", home / "index", *paths).code == 0
        assert "multiplied by idf^0.5" in caplog.text
        assert (tmp_path / "run").read_bytes() == (tmp_path / "rescored").read_bytes()

    def test_rescoring_a_corpus_says_that_it_has_no_counts(
        self, home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        search(home, tmp_path / "run")
        paths = ["--topics", home / "topics.tsv", "--run", tmp_path / "run", "--output", tmp_path / "rescored"]
        corpus = ["--corpus", home / "corpus.jsonl", "--encoder", home / "words.toml"]
        rescored = run_stage("rescore", *corpus, *paths)
        assert rescored.code == 0
        assert "not multiplied by idf^0.5" in caplog.text

    def test_profile_uses_the_queries_of_the_search(self, home: Path, caplog: pytest.LogCaptureFixture) -> None:
        arguments = ["--index", home / "index", "--topics", home / "topics.tsv", "--format", "json", "--samples", 3]
        profiled = run_stage("profile", *arguments)
        assert profiled.code == 0, profiled.err
        assert "multiplied by idf^0.5" in caplog.text


class TestRules:
    OTHER = QueryOptions(encoder="another")

    def test_the_option_goes_before_all(self) -> None:
        assert query_idf_for(None, QueryOptions(query_idf=0.25)) == 0.25

    def test_without_encoder_and_manifest_there_is_none(self) -> None:
        assert query_idf_for(None, QueryOptions()) == 0
        assert query_max_length_for(None, QueryOptions()) is None

    def test_an_unknown_encoder_has_none(self) -> None:
        assert query_idf_for(None, QueryOptions(encoder="./nowhere")) == 0

    def test_splade_mini_multiplies(self) -> None:
        assert query_idf_for(None, QueryOptions(encoder="splade-mini")) == 0.75
