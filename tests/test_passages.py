"""Passages of documents, from encoding to a run of documents."""

from pathlib import Path

import pytest

from splade_anserini import Document, InMemoryCorpus
from splade_anserini.encode import encode
from splade_anserini.encoding import DictionaryEncoder
from splade_anserini.encoding.options import EncodeOptions
from splade_anserini.errors import InputError, MismatchError
from splade_anserini.formats.corpora import open_corpus
from splade_anserini.formats.corpus_fields import CorpusOptions
from splade_anserini.formats.impacts import impact_files, read_impacts
from splade_anserini.formats.passages import Windows, passages_of
from splade_anserini.lucene import BruteForceSearcher
from splade_anserini.records import ImpactDocument
from splade_anserini.retrieval.options import SearchOptions
from splade_anserini.search import search
from tests.cli_runner import run_stage
from tests.encoder_fixtures import write_dictionary_encoder

ENCODER = DictionaryEncoder({"cat": {"cat": 2.0}, "dog": {"dog": 1.5}})


def texts(text: str, windows: str) -> list[str]:
    return [passage.text for passage in passages_of(Document("d0", "T", text), Windows.parse(windows))]


@pytest.mark.parametrize(
    ("text", "windows", "expected"),
    [
        ("a b c d e", "2/2", ["a b", "c d", "e"]),
        ("a b c d e", "2", ["a b", "c d", "e"]),
        ("a b c d e", "3/2", ["a b c", "c d e"]),
        ("a b c d e", "2/1", ["a b", "b c", "c d", "d e"]),
        ("a b c d e", "5/2", ["a b c d e"]),
        ("a b c d e f", "5/2", ["a b c d e", "c d e f"]),
        ("  a\n b   c ", "2/2", ["a\n b", "c"]),
        ("a", "150/75", ["a"]),
        ("", "150/75", [""]),
        (" \n", "150/75", [" \n"]),
    ],
)
def test_passages_are_windows_of_words(text: str, windows: str, expected: list[str]) -> None:
    assert texts(text, windows) == expected


def test_each_passage_has_an_id_of_its_own_and_the_title_of_the_document() -> None:
    passages = list(passages_of(Document("d#0", "T", "a b c"), Windows(2, 1)))
    assert passages == [Document("d#0#0", "T", "a b"), Document("d#0#1", "T", "b c")]


@pytest.mark.parametrize("text", ["", "0/1", "150/", "75/150", "150/0", "a/b", "-1", "1/2/3", "1.5", "\uff11/1"])
def test_windows_that_leave_words_out_or_are_no_numbers_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="--passages must be WORDS/STRIDE"):
        EncodeOptions(passages=text)


def test_passages_are_encoded_and_are_in_the_manifest(tmp_path: Path) -> None:
    corpus = InMemoryCorpus("c", [Document("d0", "", "cat dog cat"), Document("d1", "", "dog")])
    manifest = encode(corpus, ENCODER, tmp_path, EncodeOptions(passages="2"))
    assert manifest.settings.passages == "2/2"
    vectors = {document.id: dict(document.vector) for path in impact_files(tmp_path) for document in read_impacts(path)}
    assert vectors == {"d0#0": {"cat": 200, "dog": 150}, "d0#1": {"cat": 200}, "d1#0": {"dog": 150}}
    assert encode(corpus, ENCODER, tmp_path, EncodeOptions(passages="2/2")) == manifest
    with pytest.raises(MismatchError, match="passages was 2/2, is 3/3"):
        encode(corpus, ENCODER, tmp_path, EncodeOptions(passages="3"))
    with pytest.raises(MismatchError, match="passages was 2/2, is None"):
        encode(corpus, ENCODER, tmp_path)


def test_named_fields_are_in_the_manifest_and_others_do_not_resume(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text('{"key": "d0", "title": "cat", "body": "dog"}\n')
    options = CorpusOptions(id_field="key", text_fields=("title,body",))
    manifest = encode(open_corpus(tmp_path / "c.jsonl", options), ENCODER, tmp_path / "out")
    assert manifest.settings.fields == {"id": "key", "text": ["title", "body"]}
    assert encode(open_corpus(tmp_path / "c.jsonl", options), ENCODER, tmp_path / "out") == manifest
    with pytest.raises(MismatchError, match=r"fields.text was .*title.*, is .*body"):
        other = CorpusOptions(id_field="key", text_fields=("body",))
        encode(open_corpus(tmp_path / "c.jsonl", other), ENCODER, tmp_path / "out")


def test_a_manifest_without_named_fields_and_passages_has_the_bytes_of_earlier_versions(tmp_path: Path) -> None:
    encode(InMemoryCorpus("c", [Document("d0", "", "cat")]), ENCODER, tmp_path)
    settings = (tmp_path / "splade.manifest").read_text()
    assert '"fields"' not in settings
    assert '"passages"' not in settings


# Search for documents in an index of passages.

CROWDED = [
    *(ImpactDocument(f"d0#{number}", {"cat": 900 - number}) for number in range(300)),
    *(ImpactDocument(f"d1#{number}", {"cat": 500 - number}) for number in range(300)),
    ImpactDocument("d2#0", {"cat": 7, "dog": 1}),
    ImpactDocument("a#b#0", {"cat": 5}),
]
"""Two documents have many passages that are better than those of the others."""


class CountingSearcher(BruteForceSearcher):
    def __init__(self, documents: list[ImpactDocument]) -> None:
        super().__init__(documents)
        self.depths: list[int] = []

    def search(self, queries, hits):
        self.depths.append(hits)
        return super().search(queries, hits)


def found(options: SearchOptions, searcher: BruteForceSearcher) -> dict[str, list[tuple[str, float]]]:
    queries = {"q0": {"cat": 1}, "q1": {"dog": 2}, "d1": {"cat": 1}, "q2": {"bird": 1}}
    rankings = search(queries, searcher, options)
    return {query_id: [(hit.doc_id, hit.score) for hit in ranking] for query_id, ranking in rankings}


def test_documents_are_ranked_by_their_best_passages_and_as_many_as_asked_for_are_found() -> None:
    searcher = CountingSearcher(CROWDED)
    ranking = [("d0", 900), ("d1", 500), ("d2", 7), ("a#b", 5)]
    assert found(SearchOptions(hits=4, max_passage="#"), searcher) == {
        "q0": ranking,
        "q1": [("d2", 2)],
        "d1": ranking,
        "q2": [],
    }
    # Only queries with too few documents are searched again, and only until there are enough.
    assert searcher.depths == [16, 64, 256, 1024, 64, 256, 1024]


@pytest.mark.parametrize("hits", [1, 2, 3, 4, 10])
def test_the_ranking_is_a_prefix_of_that_of_all_documents(hits: int) -> None:
    options = SearchOptions(hits=hits, max_passage="#")
    assert found(options, BruteForceSearcher(CROWDED))["q0"] == [("d0", 900), ("d1", 500), ("d2", 7), ("a#b", 5)][:hits]


def test_the_document_of_the_query_is_left_out() -> None:
    options = SearchOptions(hits=2, max_passage="#", remove_query=True)
    assert found(options, BruteForceSearcher(CROWDED))["d1"] == [("d0", 900), ("d2", 7)]


def test_an_id_that_is_not_a_passages_is_refused() -> None:
    searcher = BruteForceSearcher([ImpactDocument("d0", {"cat": 1})])
    with pytest.raises(InputError, match="'d0' of query 'q0' is not the id of a passage"):
        found(SearchOptions(max_passage="#"), searcher)


@pytest.mark.parametrize("separator", ["", " ", "a b"])
def test_a_separator_that_cannot_be_in_an_id_is_refused(separator: str) -> None:
    with pytest.raises(InputError, match=r"--max-passage .* cannot occur in an id"):
        SearchOptions(max_passage=separator)


@pytest.mark.slow
def test_passages_go_through_all_commands(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    encoder = write_dictionary_encoder(tmp_path / "encoder", {"cat": {"cat": 2.0}, "dog": {"dog": 1.5}})
    (tmp_path / "docs.csv").write_text("docno,headline,body\nD1,cat,x x dog\nD2,,cat x x x dog dog\nD3,x,x\n")
    (tmp_path / "topics.tsv").write_text("q0\tcat dog\n")
    fields = ("--corpus", tmp_path / "docs.csv", "--encoder", encoder, "--title-field", "headline", "--passages", "2")
    encoded = run_stage("encode", *fields, "--output", tmp_path / "impacts")
    assert "the id is 'docno', the title is 'headline', the text is 'body'" in caplog.text
    assert "4 passages in 1 shard" in encoded.out
    assert "2 with an empty vector" in encoded.out
    run_stage("index", "--input", tmp_path / "impacts", "--index", tmp_path / "index")
    run = ("search", "--index", tmp_path / "index", "--topics", tmp_path / "topics.tsv", "--not-pre-encoded")
    run_stage(*run, "--output", tmp_path / "run", "--max-passage", "#")
    lines = [line.split() for line in (tmp_path / "run").read_text().splitlines()]
    # The second passage of D1 has the title and dog; the first of D2 has cat, its third dog.
    assert [(line[2], float(line[4])) for line in lines] == [("D1", 200 * 200 + 150 * 150), ("D2", 200 * 200)]
