"""Ids of documents with spaces: indexed and counted, and refused before a run that cannot hold them is begun."""

import json
from pathlib import Path

import pytest

from splade_anserini.artifacts.manifests import ImpactManifest, IndexManifest, read_manifest
from splade_anserini.artifacts.text_index_manifest import TextIndexManifest
from splade_anserini.encode import encode
from splade_anserini.encoding import open_encoder
from splade_anserini.errors import RecordError
from splade_anserini.formats.corpora import InMemoryCorpus, check_corpus
from splade_anserini.formats.impacts import ImpactWriter, count_impacts
from splade_anserini.formats.qrels import read_qrels
from splade_anserini.formats.runs import read_run, write_run
from splade_anserini.records import Document, ImpactDocument
from tests.cli_runner import run_stage
from tests.shared_models import SharedModels

DOCUMENTS = [Document("doc 1", "", "cats sit"), Document("d2", "", "dogs bark"), Document("a b c", "", "birds fly")]


def corpus() -> InMemoryCorpus:
    return InMemoryCorpus("pets", DOCUMENTS)


class TestIds:
    def test_spaces_within_an_id_are_read(self) -> None:
        assert check_corpus(corpus()) == 3

    @pytest.mark.parametrize("id_", [" d", "d ", " ", "a\tb", "a \n", "a \0b", ""])
    def test_other_white_space_is_not(self, id_: str) -> None:
        with pytest.raises(RecordError, match="the id"):
            check_corpus(InMemoryCorpus("pets", [Document(id_, "", "x")]))


class TestRuns:
    def test_a_run_of_ms_marco_holds_them(self, tmp_path: Path) -> None:
        from ir_measures import ScoredDoc

        ranking = [ScoredDoc("q", "d2", 3.0), ScoredDoc("q", "doc 1", 2.0)]
        write_run(tmp_path / "run", [("q", ranking), ("r", ranking[::-1])], "msmarco")
        read = [(line.query_id, line.doc_id) for line in read_run(tmp_path / "run")]
        assert read == [("q", "d2"), ("q", "doc 1"), ("r", "doc 1"), ("r", "d2")]
        with pytest.raises(RecordError, match="'doc 1' contains white space"):
            write_run(tmp_path / "trec", [("q", ranking)])
        assert not (tmp_path / "trec").exists()

    def test_the_first_line_may_have_one(self, tmp_path: Path) -> None:
        (tmp_path / "run").write_text("q\tdoc 1\t1\nq\td2\t2\n")
        assert [line.doc_id for line in read_run(tmp_path / "run")] == ["doc 1", "d2"]

    def test_judgements_separated_by_tabs_hold_them(self, tmp_path: Path) -> None:
        (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq\tdoc 1\t1\n")
        assert [(qrel.doc_id, qrel.relevance) for qrel in read_qrels(tmp_path / "qrels.tsv")] == [("doc 1", 1)]

    @pytest.mark.parametrize("line", ["q\t0 d1\t1", "q 0\td1 1", "q\t0\td1 1"])
    def test_mixed_white_space_in_judgements_is_read_as_before(self, tmp_path: Path, line: str) -> None:
        (tmp_path / "qrels").write_text(line + "\n")
        assert [(qrel.doc_id, qrel.relevance) for qrel in read_qrels(tmp_path / "qrels")] == [("d1", 1)]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("spaces")
    with ImpactWriter(directory / "impacts" / "x.jsonl") as writer:
        for document in DOCUMENTS:
            vector = dict.fromkeys(document.text.split(), 10)
            writer.write(ImpactDocument(document.id, vector))
    assert count_impacts(directory / "impacts")[0].documents == 3
    (directory / "topics.tsv").write_text("q\tcats cats\nr\tfly\n")
    result = run_stage("index", "--input", directory / "impacts", "--index", directory / "index")
    assert result.code == 0, result.err
    return directory


@pytest.mark.slow
class TestSearch:
    def test_the_manifest_counts_them(self, index: Path) -> None:
        manifest = read_manifest(index / "index", IndexManifest)
        assert manifest is not None
        assert manifest.ids_with_spaces == 2

    def test_search_refuses_a_trec_run_before_it_starts(self, index: Path) -> None:
        arguments = ["--index", index / "index", "--topics", index / "topics.tsv", "--pre-encoded"]
        result = run_stage("search", *arguments, "--output", index / "run.txt")
        assert result.code != 0
        assert "2 documents with a space in the id" in result.err
        assert "--format msmarco" in result.err
        assert not (index / "run.txt").exists()

    def test_search_writes_a_run_of_ms_marco(self, index: Path) -> None:
        arguments = ["--index", index / "index", "--topics", index / "topics.tsv", "--pre-encoded"]
        result = run_stage("search", *arguments, "--output", index / "run.tsv", "--format", "msmarco")
        assert result.code == 0, result.err
        assert (index / "run.tsv").read_text() == "q\tdoc 1\t1\nr\ta b c\t1\n"

    def test_a_text_index_counts_them_too(self, index: Path) -> None:
        lines = (json.dumps({"id": document.id, "text": document.text}) for document in DOCUMENTS)
        (index / "corpus.jsonl").write_text("\n".join(lines))
        result = run_stage("index", "--bm25", "--input", index / "corpus.jsonl", "--index", index / "text")
        assert result.code == 0, result.err
        manifest = read_manifest(index / "text", TextIndexManifest)
        assert manifest is not None
        assert manifest.counts.ids_with_spaces == 2
        (index / "texts.tsv").write_text("q\tcats\n")
        arguments = ["--bm25", "--index", index / "text", "--topics", index / "texts.tsv"]
        result = run_stage("search", *arguments, "--output", index / "bm25.txt")
        assert "2 documents with a space in the id" in result.err

    def test_encode_counts_them_and_index_takes_the_count_over(self, index: Path, shared_models: SharedModels) -> None:
        encoder = open_encoder(shared_models.export())
        manifest = encode(corpus(), encoder, index / "encoded")
        assert manifest.ids_with_spaces == 2
        assert sum(shard.ids_with_spaces for shard in manifest.shards) == 2
        recorded = read_manifest(index / "encoded", ImpactManifest)
        assert recorded == manifest
        result = run_stage("index", "--input", index / "encoded", "--index", index / "index2")
        assert result.code == 0, result.err
        read = read_manifest(index / "index2", IndexManifest)
        assert read is not None
        assert read.ids_with_spaces == 2
