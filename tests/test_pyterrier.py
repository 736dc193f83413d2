"""The PyTerrier transformers, in pipelines and in pt.Experiment, without Terrier's Java."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from splade_anserini import ImpactIndex
from splade_anserini.encode import encode
from splade_anserini.errors import DependencyError, InputError, OutputError
from splade_anserini.evaluation.evaluation import evaluate
from splade_anserini.evaluation.measures import parse_measures
from splade_anserini.formats.corpora import InMemoryCorpus
from splade_anserini.formats.runs import read_run, write_run
from splade_anserini.index import index as build
from splade_anserini.lucene import IndexOptions, count_index
from splade_anserini.lucene.searcher import float32
from splade_anserini.records import Document
from splade_anserini.retrieval.options import SearchOptions
from splade_anserini.search import search
from tests.encoder_fixtures import ENCODER

pt: Any = pytest.importorskip("pyterrier", reason="needs the extra `pyterrier`")

import pandas as pd  # noqa: E402

from splade_anserini.pyterrier import (  # noqa: E402
    DocumentEncoder,
    ImpactIndexer,
    ImpactReranker,
    ImpactRetriever,
    ImpactScorer,
    QueryEncoder,
)

DOCUMENTS = [
    {"docno": "d1", "title": "cats", "text": "sleep"},
    {"docno": "d2", "title": "dogs", "text": "bark"},
    {"docno": "d3", "title": "", "text": "dogs sleep"},
    {"docno": "d4", "title": "", "text": "sleep dogs"},
]
FIELDS = ("title", "text")
TOPICS = pd.DataFrame({"qid": ["q1", "q2", "q3"], "query": ["cats sleep", "bark", "unknown"], "extra": [1, 2, 3]})
QRELS = [("q1", "d1", 1), ("q1", "d4", 1), ("q2", "d4", 1), ("q3", "d1", 1)]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImpactIndex]:
    directory = tmp_path_factory.mktemp("pyterrier") / "index"
    indexer = ImpactIndexer(directory, ENCODER, fields=FIELDS, store_text=True)
    with indexer.index(iter(DOCUMENTS)) as made:
        yield made


@pytest.fixture(scope="module")
def candidates() -> Any:
    """Every document for every query, in an order without meaning."""
    return TOPICS.merge(pd.DataFrame(DOCUMENTS[::-1]), how="cross")


def rows(frame: Any) -> list[tuple[str, str, int, int]]:
    columns = zip(frame["qid"], frame["docno"], frame["score"], frame["rank"], strict=True)
    return [(qid, docno, round(score), rank) for qid, docno, score, rank in columns]


def test_documents_get_impact_vectors_of_their_fields() -> None:
    frame = DocumentEncoder(ENCODER, fields=FIELDS, scale=10)(pd.DataFrame(DOCUMENTS))
    assert list(frame["toks"][:2]) == [{"cat": 20, "pet": 5, "sleep": 15}, {"dog": 20, "pet": 8, "noise": 13}]
    assert list(frame.columns) == ["docno", "title", "text", "toks"]
    pruned = DocumentEncoder(ENCODER, fields=FIELDS, top_k=1)(DOCUMENTS)
    assert [document["toks"] for document in pruned] == [{"cat": 200}, {"dog": 200}, {"dog": 200}, {"dog": 200}]


def test_queries_get_impact_vectors_and_keep_their_columns() -> None:
    frame = QueryEncoder(ENCODER, top_k=2)(TOPICS)
    assert list(frame["query_toks"]) == [{"cat": 200, "sleep": 150}, {"noise": 125, "dog": 100}, {}]
    assert list(frame.columns) == ["qid", "query", "extra", "query_toks"]


EXPECTED = [
    ("q1", "d1", 200 * 200 + 50 * 50 + 150 * 150, 0),
    ("q1", "d3", 75 * 50 + 150 * 150, 1),
    ("q1", "d4", 75 * 50 + 150 * 150, 2),
    ("q1", "d2", 75 * 50, 3),
    ("q2", "d2", 200 * 100 + 125 * 125, 0),
    ("q2", "d3", 200 * 100, 1),
    ("q2", "d4", 200 * 100, 2),
]


@pytest.mark.parametrize("encoded", [False, True], ids=["query", "query_toks"])
def test_a_retriever_finds_the_best_documents_with_ranks_from_0(index: ImpactIndex, encoded: bool) -> None:
    retriever = ImpactRetriever(index)
    pipeline = QueryEncoder(ENCODER) >> retriever if encoded else retriever
    frame = pipeline(TOPICS)
    assert rows(frame) == EXPECTED
    toks = ["query_toks"] * encoded
    assert list(frame.columns) == ["qid", "query", "extra", *toks, "docno", "score", "rank"]
    assert list(frame["extra"]) == [1, 1, 1, 1, 2, 2, 2]
    assert all(frame.groupby("qid")["score"].is_monotonic_decreasing)
    assert not frame.duplicated(["qid", "score"]).any()


def test_a_retriever_returns_a_number_of_results_and_the_texts_that_the_index_stores(index: ImpactIndex) -> None:
    frame = ImpactRetriever(index.directory, query_encoder=ENCODER, num_results=2, include_text=True)(TOPICS)
    assert rows(frame) == [EXPECTED[row] for row in (0, 1, 4, 5)]
    assert list(frame["text"]) == ["cats sleep", "dogs sleep", "dogs bark", "dogs sleep"]
    assert rows((ImpactRetriever(index) % 2)(TOPICS)) == rows(frame)
    assert (ImpactRetriever(index) % 2).compile().num_results == 2
    assert (ImpactRetriever(index, num_results=2) % 5).compile().num_results == 2


def test_a_ranking_is_the_run_that_search_writes(index: ImpactIndex, tmp_path: Path) -> None:
    vectors = dict(zip(TOPICS["qid"], QueryEncoder(ENCODER)(TOPICS)["query_toks"], strict=True))
    write_run(tmp_path / "run.txt", search(vectors, index.searcher, SearchOptions(hits=3)))
    frame = ImpactRetriever(index, num_results=3)(TOPICS)
    columns = zip(frame["qid"], frame["docno"], frame["score"], strict=True)
    assert [(qid, docno, float32(score)) for qid, docno, score in read_run(tmp_path / "run.txt")] == list(columns)


@pytest.mark.parametrize("scorer", ["index", "texts", "vectors"])
def test_rerankers_score_given_documents_as_a_search_does(index: ImpactIndex, candidates: Any, scorer: str) -> None:
    transformer = {
        "index": ImpactReranker(index),
        "texts": ImpactScorer(ENCODER, fields=FIELDS),
        "vectors": QueryEncoder(ENCODER) >> DocumentEncoder(ENCODER, fields=FIELDS) >> ImpactScorer(ENCODER),
    }[scorer]
    frame = transformer(candidates)
    assert [row for row in rows(frame) if row[2]] == EXPECTED
    assert len(frame) == len(candidates)
    assert list(frame[frame["qid"] == "q3"]["rank"]) == [0, 1, 2, 3]
    assert set(candidates.columns) < set(frame.columns)


def test_a_reranker_refuses_a_document_that_is_not_in_the_index(index: ImpactIndex) -> None:
    frame = TOPICS[:1].assign(docno="d9")
    with pytest.raises(InputError, match="1 of 1 document is not in the index"):
        ImpactReranker(index)(frame)


def test_an_indexer_takes_texts_or_vectors_and_writes_the_same_index(index: ImpactIndex, tmp_path: Path) -> None:
    pipeline = DocumentEncoder(ENCODER, fields=FIELDS) >> ImpactIndexer(
        tmp_path / "index", fields=FIELDS, store_text=True
    )
    of_vectors = pipeline.index(iter(DOCUMENTS))
    assert count_index(tmp_path / "index") == count_index(index.directory)
    frame = (QueryEncoder(ENCODER) >> ImpactRetriever(of_vectors, include_text=True))(TOPICS)
    assert rows(frame) == EXPECTED
    assert frame["text"][0] == "cats sleep"
    with pytest.raises(InputError, match="does not record which encoder"):
        ImpactRetriever(of_vectors)(TOPICS)


def test_an_indexer_replaces_an_index_only_with_overwrite(tmp_path: Path) -> None:
    ImpactIndexer(tmp_path / "index", ENCODER).index(DOCUMENTS).close()
    with pytest.raises(OutputError, match="already exists"):
        ImpactIndexer(tmp_path / "index", ENCODER).index(DOCUMENTS[:2])
    with ImpactIndexer(tmp_path / "index", ENCODER, overwrite=True).index(DOCUMENTS[:2]) as made:
        assert len(made) == 2


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ([], "There are no documents to index"),
        ([{"docno": "d1"}], r"Document 1 has no 'text'\.\nExpected the columns docno, text"),
        ([{"docno": "d1", "text": "cats"}, {"text": "cats"}], "Document 2 has no 'docno'"),
        ([{"docno": "d1", "text": "cats"}] * 2, r"document 2: duplicate document id 'd1' \(first seen at document 1\)"),
        ([{"docno": "d1", "text": None}], r"A value in the column 'text' is None"),
        ([{"docno": "d1", "toks": {"cat": 1.5}}], r"The impact of the token 'cat' in the column 'toks' is 1\.5"),
        ([{"docno": "d1", "toks": {"cat": -1}}], r"The impact of the token 'cat' in the column 'toks' is -1"),
        ([{"docno": "d1", "toks": None}], r"A value in the column 'toks' is None\.\nExpected a dictionary"),
    ],
)
def test_what_cannot_be_indexed_is_refused(documents: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        ImpactIndexer(tmp_path / "index", ENCODER).index(documents)
    assert not (tmp_path / "index").exists()


@pytest.mark.parametrize(
    ("make", "inputs", "outputs"),
    [
        (lambda _: DocumentEncoder(ENCODER), [["text"]], ["text", "toks"]),
        (lambda _: QueryEncoder(ENCODER), [["qid", "query"]], ["qid", "query", "query_toks"]),
        (
            ImpactRetriever,
            [["qid", "query_toks"], ["qid", "query"]],
            ["qid", "query_toks", "docno", "score", "rank"],
        ),
        (
            ImpactReranker,
            [["qid", "docno", "query_toks"], ["qid", "docno", "query"]],
            ["qid", "docno", "query_toks", "score", "rank"],
        ),
        (
            lambda _: ImpactScorer(ENCODER),
            [["qid", "docno", query, document] for query in ("query_toks", "query") for document in ("toks", "text")],
            ["qid", "docno", "query_toks", "toks", "score", "rank"],
        ),
    ],
    ids=["DocumentEncoder", "QueryEncoder", "ImpactRetriever", "ImpactReranker", "ImpactScorer"],
)
def test_columns_are_validated_and_inspected_as_pyterrier_does(
    make: Any, inputs: list[list[str]], outputs: list[str], index: ImpactIndex
) -> None:
    transformer = make(index)
    with pytest.raises(pt.validate.InputValidationError):
        transformer(pd.DataFrame({"nothing": [1]}))
    assert pt.inspect.transformer_inputs(transformer) == inputs
    assert pt.inspect.transformer_outputs(transformer, inputs[0]) == outputs


def test_an_indexer_says_which_columns_it_reads(tmp_path: Path) -> None:
    assert pt.inspect.indexer_inputs(ImpactIndexer(tmp_path)) == [["docno", "toks"], ["docno", "text"]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda index: ImpactRetriever(index, num_results=0), "num_results must be at least 1, got 0"),
        (lambda index: ImpactRetriever(index, query_encoder=ENCODER), "An ImpactIndex has its query encoder"),
        (lambda _: ImpactRetriever("nowhere"), "There is no index 'nowhere'"),
        (lambda _: QueryEncoder("nowhere"), "nowhere"),
        (lambda _: DocumentEncoder(ENCODER)(pd.DataFrame({"text": [float("nan")]})), "in the column 'text' is nan"),
        (lambda _: QueryEncoder(ENCODER)(pd.DataFrame({"qid": ["1"], "query": [7]})), "in the column 'query' is 7"),
        (
            lambda index: ImpactRetriever(index)(pd.DataFrame({"qid": ["1"], "query_toks": [{"cat": 0.5}]})),
            r"in the column 'query_toks' is 0\.5",
        ),
    ],
)
def test_what_cannot_be_used_is_refused(call: Any, message: str, index: ImpactIndex) -> None:
    with pytest.raises(InputError, match=message):
        call(index)


def test_texts_that_the_index_does_not_store_are_refused() -> None:
    with (
        ImpactIndex.from_texts(["cats"], encoder=ENCODER, store_text=False) as index,
        pytest.raises(InputError, match="The index does not store texts"),
    ):
        ImpactRetriever(index, include_text=True)(TOPICS)


def test_a_transformer_is_shown_as_the_call_that_makes_it() -> None:
    assert (
        repr(DocumentEncoder("splade-mini-v2", fields=["title", "text"])) == "DocumentEncoder(fields=('title', 'text'))"
    )
    assert repr(QueryEncoder(top_k=5)) == "QueryEncoder(top_k=5)"
    assert repr(ImpactIndexer("here", scale=10)) == "ImpactIndexer('here', scale=10)"


def test_an_experiment_measures_what_evaluate_measures(index: ImpactIndex, tmp_path: Path) -> None:
    from ir_measures import Qrel

    retriever, encoder = ImpactRetriever(index), QueryEncoder(ENCODER)
    measures = parse_measures(["nDCG@10", "RR@10", "R@2"])
    systems = [retriever, encoder >> retriever, retriever % 2, retriever >> ImpactReranker(index)]
    table = pt.Experiment(
        systems, TOPICS, pd.DataFrame(QRELS, columns=["qid", "docno", "label"]), measures, perquery=False
    )
    qrels = [Qrel(query, document, relevance) for query, document, relevance in QRELS]
    for row, system in enumerate(systems):
        frame = system(TOPICS)
        hits = {qid: list(group.itertuples()) for qid, group in frame.groupby("qid")}
        run = [(qid, [_Hit(hit.docno, hit.score) for hit in ranking]) for qid, ranking in hits.items()]
        write_run(tmp_path / f"{row}.txt", run)
        expected = evaluate(read_run(tmp_path / f"{row}.txt"), qrels, measures).aggregate
        assert {name: table[name][row] for name in expected} == pytest.approx(dict(expected))
    assert not pt.java.started()


class _Hit:
    def __init__(self, doc_id: str, score: float) -> None:
        self.doc_id, self.score = doc_id, score


PAGE = (Path(__file__).parent.parent / "docs" / "coming-from-pyterrier.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_lines_and_the_table_of_the_page_on_pyterrier_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    assert re.search(r"0 .*ImpactRetriever.* 1\.0 +1\.0", capsys.readouterr().out)
    exec("from splade_anserini.pyterrier import *", names)
    table = PAGE.partition("## Their commands and ours")[2].partition("The columns are")[0]
    ours = re.findall(r"`([^`]+)` \|$", table, flags=re.MULTILINE)
    assert len(ours) == len(table.strip().splitlines()) - 2
    for expression in ours:
        transformer = eval(expression, names)
        if "Indexer" in expression:
            assert len(transformer.index(names["documents"])) == 3
        elif expression == "DocumentEncoder()":
            assert all(document["toks"] for document in transformer(names["documents"]))
        elif expression == "QueryEncoder()":
            assert all(transformer(names["topics"])["query_toks"])
        else:
            frame = transformer(names["topics"])
            best = frame[frame["rank"] == 0]
            assert dict(zip(best["qid"], best["docno"], strict=True)) == {"1": "d1", "2": "d2"}, expression


def test_without_pyterrier_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("splade_anserini.pyterrier")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyterrier", None)
    with pytest.raises(DependencyError, match=r"PyTerrier is not installed.\nRun: pip install 'splade-anserini\[pyt"):
        import splade_anserini.pyterrier  # noqa: F401


def test_a_retriever_returns_fields_of_documents_and_filters_by_them(tmp_path: Path) -> None:
    texts = {"a": "cats sleep", "b": "dogs bark", "c": "dogs sleep"}
    corpus = InMemoryCorpus(
        "c", [Document(id_, "", text, {"year": 2000 + n}) for n, (id_, text) in enumerate(texts.items())]
    )
    encode(corpus, ENCODER, tmp_path / "impacts")
    options = IndexOptions(store_text=True, filter_fields="year:int")
    build(tmp_path / "impacts", tmp_path / "index", options, documents=corpus)
    retriever = ImpactRetriever(
        tmp_path / "index", query_encoder=ENCODER, include_fields=["year", "url"], filters="year>2000"
    )
    frame = retriever(pd.DataFrame([{"qid": "1", "query": "sleep pet cats dogs"}]))
    assert dict(zip(frame["docno"], frame["year"], strict=True)) == {"b": 2001, "c": 2002}
    assert list(frame["url"]) == [None, None]
    assert "text" not in frame.columns
