"""Text indexes for BM25: kinds of indexes, building, and searching as Anserini does."""

import subprocess
import sys
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from splade_anserini.artifacts.manifests import MANIFEST, Counts, IndexManifest, read_manifest, write_manifest
from splade_anserini.artifacts.text_index_manifest import TextCounts, TextIndexManifest
from splade_anserini.cards.shipped import cranfield
from splade_anserini.errors import InputError, JavaError, OutputError
from splade_anserini.formats.corpora import InMemoryCorpus, open_corpus
from splade_anserini.formats.topics import read_topics
from splade_anserini.lucene import (
    Bm25Options,
    Feedback,
    IndexOptions,
    build_bm25_index,
    count_index,
    search_bm25,
    start_jvm,
)
from splade_anserini.lucene.analyzers import analyzer_of
from splade_anserini.lucene.bm25 import anserini_scores
from splade_anserini.lucene.index_reader import kind_of_index
from splade_anserini.lucene.java.output_capture import captured_output
from splade_anserini.lucene.text_options import SPLIT_AT_WHITE_SPACE
from splade_anserini.records import LANGUAGES, Document, Language, Query
from splade_anserini.text_index import index_texts
from tests.cli_runner import Outcome, run_stage
from tests.text_index_fixtures import write_json_collection

if TYPE_CHECKING:
    from ir_measures import ScoredDoc

DOCUMENTS = list(open_corpus(str(cranfield())))[:300]

WITH_TIES = [
    *DOCUMENTS[:200],
    *(Document(f"copy-{n}", "", DOCUMENTS[n].contents) for n in (0, 1, 5)),
    *(Document(id_, "", DOCUMENTS[7].contents) for id_ in ("Zürich", "文書", "😀", "b", "B", "10", "9")[:5]),
    Document("blank", "", " \t\n"),
    Document("stop-words", "", "of the and"),
]
"""Some have the same text, with ids in all orders; some have no words."""

QUERIES = [
    *read_topics(str(cranfield()))[:40],
    Query("same", DOCUMENTS[7].contents),
    Query("long", " ".join(document.contents for document in DOCUMENTS[:20])),
    Query("repeated", "boundary boundary layer layer layer"),
    Query("stop", "of the"),
    Query("unknown", "zzzz"),
]

type Rankings = dict[str, list[tuple[str, float]]]
"""Query → ids and scores of its hits."""


def java(name: str) -> Any:
    start_jvm()
    from jnius import autoclass

    return autoclass(name)


@pytest.fixture(scope="module")
def anserini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of `WITH_TIES` that Anserini has built."""
    directory = tmp_path_factory.mktemp("anserini")
    arguments = java("io.anserini.index.IndexCollection$Args")()
    arguments.collectionClass, arguments.generatorClass = "JsonCollection", "DefaultLuceneDocumentGenerator"
    arguments.input = str(write_json_collection(directory / "json", WITH_TIES))
    arguments.index, arguments.storeDocvectors, arguments.threads = str(directory / "index"), True, 1
    with captured_output():
        java("io.anserini.index.IndexCollection")(arguments).run()
    return directory / "index"


@pytest.fixture(scope="module")
def topics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("topics") / "topics.tsv"
    path.write_text("".join(f"{query.id}\t{query.text}\n" for query in QUERIES))
    return path


def search_with_anserini(index: Path, hits: int, options: Bm25Options, feedback: tuple[str, Sequence[Any]]) -> Rankings:
    """Search with Anserini's own searcher, which also is what Pyserini calls; its SearchCollection needs a network."""
    searcher = java("io.anserini.search.SimpleSearcher")(str(index), signature="(Ljava/lang/String;)V")
    searcher.set_bm25(options.k1, options.b)
    method, arguments = feedback
    if method:
        getattr(searcher, f"set_{method}")(*arguments)
    search = {query.id: searcher.search(query.text, hits) for query in QUERIES}
    rankings = {query_id: [(hit.docid, float(hit.score)) for hit in ranking] for query_id, ranking in search.items()}
    searcher.close()
    return rankings


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same documents, indexed by this package."""
    output = tmp_path_factory.mktemp("ours") / "index"
    index_texts(InMemoryCorpus("c", WITH_TIES), output, options=IndexOptions(store_docvectors=True, threads=3))
    return output


def rankings_of(results: "Iterable[tuple[str, list[ScoredDoc]]]") -> Rankings:
    return {query_id: [(hit.doc_id, hit.score) for hit in ranking] for query_id, ranking in results}


@pytest.mark.slow
def test_the_index_has_the_documents_and_words_of_anserinis(anserini: Path, index: Path) -> None:
    assert count_index(index) == count_index(anserini)
    manifest = read_manifest(index, TextIndexManifest)
    assert manifest is not None
    assert (manifest.counts.documents, manifest.counts.blank) == (len(WITH_TIES) - 1, 1)
    assert manifest.analyzer == "io.anserini.analysis.DefaultEnglishAnalyzer"


SETTINGS: dict[str, tuple[Bm25Options, Feedback | None, tuple[str, Sequence[Any]]]] = {
    "defaults": (Bm25Options(), None, ("", ())),
    "other parameters": (Bm25Options(k1=1.2, b=0.75), None, ("", ())),
    "rm3": (Bm25Options(), Feedback(method="rm3"), ("rm3", ())),
    "rm3 with options": (
        Bm25Options(k1=1.2),
        Feedback(method="rm3", docs=5, terms=20, original_query_weight=0.3, words_only=False),
        ("rm3", (None, 20, 5, 0.3, False, False)),
    ),
    "rocchio": (Bm25Options(), Feedback(method="rocchio"), ("rocchio", ())),
    "rocchio with negatives": (
        Bm25Options(),
        Feedback(method="rocchio", docs=4, terms=7, rocchio_beta=0.5, rocchio_gamma=0.1),
        ("rocchio", (None, 7, 4, 7, 4, 1.0, 0.5, 0.1, False, True)),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("hits", [10, 1000])
@pytest.mark.parametrize("name", SETTINGS)
def test_ids_and_scores_are_those_of_anserini(anserini: Path, index: Path, name: str, hits: int) -> None:
    options, feedback, arguments = SETTINGS[name]
    expected = search_with_anserini(anserini, hits, options, arguments)
    assert rankings_of(search_bm25(index, QUERIES, hits, 2, options, feedback)) == expected
    assert rankings_of(search_bm25(anserini, QUERIES, hits, 1, options, feedback)) == expected
    ties = [one for ranking in expected.values() for one, two in pairwise(ranking) if abs(one[1] - two[1]) < 1e-4]
    assert len(ties) > 40 or hits == 10


@pytest.mark.slow
def test_fewer_hits_are_the_first_ones(index: Path) -> None:
    many, few = (rankings_of(search_bm25(index, QUERIES, hits)) for hits in (1000, 3))
    assert few == {query_id: ranking[:3] for query_id, ranking in many.items()}


@pytest.mark.slow
@pytest.mark.parametrize("feedback", [False, True])
def test_hits_and_scores_are_those_of_pyserini(index: Path, feedback: bool) -> None:
    start_jvm()
    from pyserini.search.lucene import LuceneSearcher

    searcher = LuceneSearcher(str(index))
    searcher.set_bm25(0.9, 0.4)
    if feedback:
        searcher.set_rm3()
    texts, ids = [query.text for query in QUERIES], [query.id for query in QUERIES]
    results = searcher.batch_search(texts, ids, k=50)
    expected = {id_: [(hit.docid, hit.score) for hit in results.get(id_, [])] for id_ in ids}
    method = Feedback(method="rm3") if feedback else None
    assert rankings_of(search_bm25(index, QUERIES, 50, feedback=method)) == expected
    searcher.close()


@pytest.mark.slow
def test_documents_of_equal_score_are_in_the_order_of_their_ids(index: Path) -> None:
    ranking = rankings_of(search_bm25(index, QUERIES, 6))["same"]
    assert [doc_id for doc_id, _ in ranking] == sorted(["8", "B", "Zürich", "b", "文書", "😀"])


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_number_of_threads_has_no_effect(index: Path, tmp_path: Path, threads: int) -> None:
    other = tmp_path / "index"
    index_texts(InMemoryCorpus("c", WITH_TIES), other, options=IndexOptions(store_docvectors=True, threads=threads))
    for feedback in (None, Feedback(method="rm3")):
        expected = rankings_of(search_bm25(index, QUERIES, 20, 1, feedback=feedback))
        assert rankings_of(search_bm25(other, QUERIES, 20, threads, feedback=feedback)) == expected


@pytest.mark.slow
def test_many_documents_are_passed_in_several_batches(tmp_path: Path) -> None:
    documents = [Document(f"d{n}", "", f"common word{n}") for n in range(1000)]
    documents += [Document(f"long{n}", "", "long " * 300_000) for n in range(3)]
    counts = index_texts(InMemoryCorpus("c", documents), tmp_path / "index").counts
    assert counts == TextCounts(documents=1003, postings=2003, words=902_000)
    ((_, ranking),) = search_bm25(tmp_path / "index", [Query("q", "word777 long")], 10)
    assert {hit.doc_id for hit in ranking} == {"d777", "long0", "long1", "long2"}


@pytest.mark.parametrize("seed", range(60))
def test_scores_are_adjusted_one_after_the_other(seed: int) -> None:
    """As Anserini's ScoreTiesAdjusterReranker does: here without leaving out what cannot be a tie."""
    generator = np.random.default_rng(seed)
    size, greatest = int(generator.integers(1, 1000)), 10.0 ** generator.integers(-3, 4)
    # Steps of 2.5e-5 make many ties after rounding, and many differences near the limit.
    scores = greatest + generator.integers(0, [10, 100, 1000, 9000][seed % 4], size) * 2.5e-5
    column = np.sort(scores.astype(np.float32))[::-1]
    expected = (np.floor(column.astype(np.float64) * 1e4 + 0.5) / 1e4).astype(np.float32)
    ties = 0
    for position in range(1, size):
        ties = 0 if expected[position - 1] - expected[position] > np.float32(1e-4) else ties + 1
        expected[position] -= np.float32(1e-6) * np.float32(ties)
    assert anserini_scores(column.tolist()) == expected.tolist()


def test_no_scores_are_adjusted_to_none() -> None:
    assert anserini_scores([]) == []


@pytest.mark.slow
def test_the_languages_are_those_that_anserini_analyzes() -> None:
    analyzers = java("io.anserini.analysis.AnalyzerMap").analyzerMap
    assert set(analyzers.keySet().toArray()) | SPLIT_AT_WHITE_SPACE | {"en"} == set(LANGUAGES)


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_an_analyzer(language: Language) -> None:
    analyze = java("io.anserini.analysis.AnalyzerUtils").analyze
    if language == "th" and not java("org.apache.lucene.analysis.th.ThaiTokenizer").DBBI_AVAILABLE:
        with pytest.raises(JavaError, match="cannot segment Thai"):
            analyzer_of(language)
        return
    assert list(analyze(analyzer_of(language), "Zürich 東京 москва").toArray())


GERMAN = [Document("1", "", "Die Häuser der Städte"), Document("2", "", "Ein Auto")]


@pytest.mark.slow
def test_topics_are_analyzed_in_the_language_of_the_index(tmp_path: Path) -> None:
    index_texts(InMemoryCorpus("c", GERMAN), tmp_path / "index", "de")
    found = dict(search_bm25(tmp_path / "index", [Query("q", "haus")], 10))
    assert [hit.doc_id for hit in found["q"]] == ["1"]
    english = dict(search_bm25(tmp_path / "index", [Query("q", "häuser")], 10, options=Bm25Options(language="en")))
    assert english["q"] == []


@pytest.mark.slow
def test_pyserini_is_not_imported(index: Path, topics: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from splade_anserini.search import command; from splade_anserini.cli.console import main_of\n"
        "try: main_of(command, sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print('pyserini' in sys.modules)"
    )
    arguments = ("--bm25", "--feedback", "rm3", "--index", index, "--topics", topics)
    command = [sys.executable, "-c", code, *map(str, arguments), "--output", str(tmp_path / "run.txt")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "False", done.stdout + done.stderr
    assert (tmp_path / "run.txt").is_file()


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A corpus in the format of BEIR, with titles."""
    lines = [
        '{"_id": "1", "title": "Cats", "text": "They sleep."}',
        '{"_id": "2", "title": "", "text": "A dog barks."}',
        '{"_id": "3", "title": "", "text": ""}',
    ]
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path / "corpus.jsonl"


def build(corpus: Path, output: Path, *options: object) -> Outcome:
    return run_stage("index", "--bm25", "--input", corpus, "--index", output, *options)


@pytest.mark.slow
def test_a_text_index_is_left_as_it_is_or_replaced_only_on_request(corpus: Path, tmp_path: Path) -> None:
    output = tmp_path / "index"
    made = build(corpus, output)
    assert (made.code, made.out) == (
        0,
        f"{output}: 2 documents, 4 words; 1 document without text left out\n",
    ), made.err
    before = {path: path.stat().st_mtime_ns for path in output.iterdir()}
    assert build(corpus, output).code == 0
    assert {path: path.stat().st_mtime_ns for path in output.iterdir()} == before
    for options, reason in [
        (("--store-docvectors",), "store_docvectors was False"),
        (("--language", "de"), "language"),
    ]:
        refused = build(corpus, output, *options)
        assert (refused.code, reason in refused.err, "--overwrite" in refused.err) == (2, True, True), refused.err
    corpus.write_text('{"_id": "4", "text": "A bird."}\n')
    refused = build(corpus, output)
    assert (refused.code, "documents was" in refused.err) == (2, True), refused.err
    assert build(corpus, output, "--overwrite").code == 0
    ((_, ranking),) = search_bm25(output, [Query("q", "bird cat")], 10)
    assert [hit.doc_id for hit in ranking] == ["4"]


@pytest.mark.slow
def test_fields_are_named_and_passages_are_cut_as_by_encode(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("key,heading,body\n1,Cats,one two three four\n2,Dogs,five\n")
    options = ("--id-field", "key", "--title-field", "heading", "--text-fields", "body", "--passages", "3/2")
    made = build(tmp_path / "c.csv", tmp_path / "index", *options)
    assert (made.code, "3 documents" in made.out) == (0, True), made.err
    ((_, ranking),) = search_bm25(tmp_path / "index", [Query("q", "cat")], 10)
    assert {hit.doc_id for hit in ranking} == {"1#0", "1#1"}
    (tmp_path / "topics.tsv").write_text("q\tcats three dogs\n")
    search = ("--bm25", "--index", tmp_path / "index", "--topics", tmp_path / "topics.tsv", "--max-passage", "#")
    assert run_stage("search", *search, "--output", tmp_path / "run.txt").code == 0
    assert [line.split()[2] for line in (tmp_path / "run.txt").read_text().splitlines()] == ["2", "1"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (['{"id": "1", "text": "a cat"}', '{"id": "1", "text": "a dog"}'], "'1'"),
        (['{"id": "1", "text": " "}'], "all documents are blank"),
        (['{"id": "1", "vector": {"a": 1}}'], "line 1"),
        ([""], "empty"),
    ],
)
def test_a_corpus_that_cannot_be_indexed_leaves_nothing_behind(tmp_path: Path, lines: list[str], message: str) -> None:
    (tmp_path / "c.jsonl").write_text("\n".join(lines))
    refused = build(tmp_path / "c.jsonl", tmp_path / "out" / "index")
    assert (refused.code, message in refused.err) == (2, True), refused.err
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "c.jsonl"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--bm25", "--language", "xx"), "--language must be"),
        (("--language", "de"), "--language needs --bm25"),
        (("--passages", "4/2"), "--passages needs --bm25"),
        (("--bm25", "--passages", "0"), "--passages must be WORDS/STRIDE"),
        (("--title-field", "x"), "--title-field needs --bm25"),
        (("--bm25", "--scale", "10"), "--scale has no effect with --bm25"),
        (("--bm25", "--writer", "anserini"), "--writer anserini and --bm25 exclude each other"),
    ],
)
def test_options_of_text_indexes_that_do_not_fit_are_errors(
    corpus: Path, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    refused = run_stage("index", "--input", corpus, "--index", tmp_path / "index", *options)
    assert (refused.code, message in refused.err) == (2, True), refused.err
    assert not (tmp_path / "index").exists()


def test_a_text_index_does_not_replace_an_impact_index(corpus: Path, tmp_path: Path) -> None:
    output = tmp_path / "index"
    output.mkdir()
    write_manifest(output, IndexManifest(writer="w", counts=Counts()))
    with pytest.raises(OutputError, match="already exists"):
        index_texts(open_corpus(corpus), output)
    assert read_manifest(output, IndexManifest)


@pytest.mark.slow
def test_search_writes_the_run_and_its_manifest(index: Path, topics: Path, tmp_path: Path) -> None:
    run = tmp_path / "run.txt"
    arguments = ("--bm25", "--index", index, "--topics", topics, "--output", run, "--hits", 7)
    first = run_stage("search", *arguments)
    assert (first.code, first.out.startswith(f"{run}: 45 queries, ")) == (0, True), first.err
    written = [line.split() for line in run.read_text().splitlines()]
    expected = rankings_of(search_bm25(index, QUERIES, 7))
    assert [(query_id, doc_id) for query_id, _, doc_id, *_ in written] == [
        (query_id, doc_id) for query_id, ranking in expected.items() for doc_id, _ in ranking
    ]
    assert "up to date" in run_stage("search", *arguments).out
    refused = run_stage("search", *arguments, "--k1", "1.2")
    assert (refused.code, "k1 was None, is 1.2" in refused.err) == (2, True), refused.err


@pytest.mark.slow
def test_remove_query_leaves_out_the_document_with_the_querys_id(index: Path, tmp_path: Path) -> None:
    (tmp_path / "topics.tsv").write_text(f"8\t{DOCUMENTS[7].contents}\n")
    arguments = ("--bm25", "--index", index, "--topics", tmp_path / "topics.tsv", "--hits", 3, "--remove-query")
    assert run_stage("search", *arguments, "--output", tmp_path / "run.txt").code == 0
    lines = [line.split() for line in (tmp_path / "run.txt").read_text().splitlines()]
    assert [doc_id for _, _, doc_id, *_ in lines] == ["B", "Zürich", "b"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "is a text index.\nExpected an impact index.\nAdd --bm25"),
        (("--k1", "2"), "--k1 needs --bm25 or --hybrid"),
        (("--bm25", "--two-step", "4"), "--two-step has no effect with --bm25"),
        (("--bm25", "--encoder", "splade-mini"), "--encoder has no effect with --bm25"),
        (("--bm25", "--query-top-k", "4"), "--query-top-k has no effect with --bm25"),
        (("--bm25", "--hybrid", "bm25:x"), "--hybrid has no effect with --bm25"),
        (("--bm25", "--pre-encoded"), "are impact vectors, but --bm25 needs their texts"),
        (("--bm25", "--b", "1.5"), "--b must be at most 1"),
        (("--bm25", "--feedback", "rm3", "--feedback-docs", "51"), "--feedback-docs must be at most 50"),
        (("--bm25", "--feedback-terms", "5"), "--feedback-terms needs --feedback"),
    ],
)
def test_options_that_do_not_fit_a_text_index_are_errors(
    index: Path, topics: Path, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    arguments = ("--index", index, "--topics", topics, "--output", tmp_path / "run.txt")
    refused = run_stage("search", *arguments, *options)
    assert (refused.code, message in refused.err) == (2, True), refused.err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_feedback_needs_document_vectors(corpus: Path, tmp_path: Path) -> None:
    assert build(corpus, tmp_path / "index", "--store-text").code == 0
    with pytest.raises(InputError, match=r"no document vectors[^$]*Expected an index with document vectors\.\n"):
        list(search_bm25(tmp_path / "index", QUERIES, 5, feedback=Feedback(method="rm3")))


@pytest.fixture(scope="module")
def anserini_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents of Cranfield, indexed by Anserini's IndexCollection."""
    directory = tmp_path_factory.mktemp("anserini")
    build_bm25_index(write_json_collection(directory / "json", DOCUMENTS), directory / "index")
    return directory / "index"


@pytest.mark.slow
def test_an_index_of_stemmed_words_is_a_text_index(anserini_index: Path) -> None:
    assert kind_of_index(anserini_index) == "text"


@pytest.mark.slow
def test_the_kind_of_an_index_of_few_words_is_unclear(tmp_path: Path) -> None:
    documents = [Document("1", "", "the cat"), Document("2", "", "a dog")]
    build_bm25_index(write_json_collection(tmp_path / "json", documents), tmp_path / "index")
    assert kind_of_index(tmp_path / "index") is None


def text_manifest() -> TextIndexManifest:
    return TextIndexManifest(analyzer="DefaultEnglishAnalyzer", corpus="c", digest="0", writer="w", counts=TextCounts())


@pytest.mark.parametrize(
    ("manifest", "kind"),
    [(IndexManifest(writer="w", counts=Counts()), "impact"), (text_manifest(), "text")],
)
def test_the_manifest_says_which_kind_an_index_is(
    tmp_path: Path, manifest: IndexManifest | TextIndexManifest, kind: str
) -> None:
    (tmp_path / "segments_1").touch()
    write_manifest(tmp_path, manifest)
    assert kind_of_index(tmp_path) == kind


def test_a_manifest_of_the_first_version_is_read(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(
        '{"kind": "text-index", "version": "0.1.0", "language": "de", "analyzer": "a", "corpus": "c", "digest": "d",'
        ' "writer": "w", "options": {}, "counts": {"documents": 2, "blank": 1, "postings": 3, "words": 4}}'
    )
    manifest = read_manifest(tmp_path, TextIndexManifest)
    assert manifest is not None
    assert (manifest.language, manifest.counts) == ("de", TextCounts(documents=2, blank=1, postings=3, words=4))


def test_the_manifest_of_another_kind_is_an_error_that_says_so(tmp_path: Path) -> None:
    write_manifest(tmp_path, text_manifest())
    with pytest.raises(InputError) as error:
        read_manifest(tmp_path, IndexManifest)
    assert "is the manifest of a text index (BM25).\nExpected that of an impact index." in str(error.value)


@pytest.mark.parametrize("content", ["[]", '{"kind": "x"}', "no JSON", '{"kind": null}'])
def test_a_manifest_of_no_known_kind_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(InputError, match="is not a valid index manifest"):
        read_manifest(tmp_path, IndexManifest)
