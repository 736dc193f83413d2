"""Filters by fields of documents: the hits are those of the search without them that fulfil them."""

import json
import operator
import random
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from splade_anserini.artifacts.manifests import IndexManifest, read_manifest
from splade_anserini.encoding import open_encoder
from splade_anserini.errors import InputError, RecordError
from splade_anserini.formats.parsing.lines import Location
from splade_anserini.impact_index import ImpactIndex
from splade_anserini.index import index
from splade_anserini.lucene import FastLuceneImpactSearcher, ImpactSearcher, IndexOptions, TwoStepSearcher
from splade_anserini.lucene.filter_fields import filter_values, period_of
from splade_anserini.lucene.filters import Filter, parse_filters
from splade_anserini.lucene.worker_options import IndexWorkerOptions
from splade_anserini.merge import MergeOptions, merge
from splade_anserini.records import FilterType
from tests.cli_runner import run_stage
from tests.encoder_fixtures import write_dictionary_encoder
from tests.impact_fixtures import random_vectors, write_encoded

VECTORS = random_vectors(3, 300)
FIELDS = "year:int,tag:str,weight:float,when:date,meta.lang:str"


def make_documents() -> dict[str, dict[str, Any]]:
    chance = random.Random(2)
    return {
        id_: {
            "id": id_,
            "text": f"text {id_}",
            "year": chance.choice([None, -5, 1990, 1991, "2000", 2**60]),
            "tag": chance.choice(["a", "b", ["a", "c"], [], "Zoë, x"]),
            "weight": chance.choice([0.5, -0.0, 0.0, 1e300, -2, None]),
            "when": chance.choice(["2020", "2020-05-03", "2020-05-03T10:00:00Z", "1969-12-31"]),
            "meta": chance.choice([{"lang": "en"}, {"lang": "de"}, {}]),
        }
        for id_ in VECTORS
    }


DOCUMENTS = make_documents()
QUERY = {"t1": 3, "t2": 1, "t5": 2}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with `index` and `sharded`, of the same `impacts` and `corpus.jsonl`."""
    home = tmp_path_factory.mktemp("filters")
    encoder = open_encoder(write_dictionary_encoder(home / "encoder", {"one": {"t1": 1.0, "t2": 0.5}}))
    write_encoded(home / "impacts", VECTORS, shard_size=60, encoder=encoder.identity)
    (home / "corpus.jsonl").write_text("".join(f"{json.dumps(document)}\n" for document in DOCUMENTS.values()))
    for name, workers in (("index", IndexWorkerOptions()), ("sharded", IndexWorkerOptions(shards=2))):
        options = IndexOptions(threads=2, filter_fields=FIELDS, store_text=True, optimize=name != "sharded")
        index(home / "impacts", home / name, options, documents=home / "corpus.jsonl", workers=workers)
    return home


@pytest.fixture(scope="module")
def searcher(home: Path) -> Any:
    with ImpactSearcher(home / "index") as searcher:
        yield searcher


def values(document: dict[str, Any], field: str) -> list[Any]:
    value: Any = document
    for name in [field] if field in document else field.split("."):
        value = value.get(name)
    return [item for item in (value if isinstance(value, list) else [value]) if item is not None]


def fulfils(document: dict[str, Any], field: str, compare: Callable[[Any, Any], bool], value: Any) -> bool:
    """Return what a filter has to find of a document, after the documentation."""
    present = [type(value)(item) for item in values(document, field)]
    if compare is operator.ne:
        return bool(present) and value not in present
    return any(compare(item, value) for item in present)


OPERATORS = {
    "=": operator.eq, "!=": operator.ne, ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt
}  # fmt: skip


@pytest.mark.parametrize("sign", OPERATORS)
@pytest.mark.parametrize(
    ("field", "value"),
    [("year", 1990), ("year", -5), ("year", 2**60), ("tag", "a"), ("tag", "Zoë, x"), ("tag", "aa"), ("weight", 0.0),
     ("weight", 0.5), ("weight", 1e300), ("meta.lang", "en")],
)  # fmt: skip
@pytest.mark.parametrize("name", ["index", "sharded"])
def test_hits_are_those_without_the_filter_that_fulfil_it(
    home: Path, name: str, field: str, sign: str, value: Any
) -> None:
    with ImpactSearcher(home / name) as searcher:
        full, filtered = searcher.rank(QUERY, 300), searcher.filtered(f"{field} {sign} {value}").rank(QUERY, 300)
    expected = [
        (id_, score)
        for id_, score in zip(full.ids, full.scores, strict=True)
        if fulfils(DOCUMENTS[id_], field, OPERATORS[sign], value)
    ]
    assert list(zip(filtered.ids, filtered.scores, strict=True)) == expected


@pytest.mark.parametrize("hits", [1, 2, 7, 40])
def test_the_best_hits_are_found_with_ties_in_the_order_of_a_run(searcher: ImpactSearcher, hits: int) -> None:
    view = searcher.filtered(["year>=1990", "tag!=b"])
    full = view.rank(QUERY, 300)
    assert view.rank(QUERY, hits).ids == full.ids[:hits]
    assert [hit.doc_id for _, ranking in view.search({"q": QUERY}, hits) for hit in ranking] == full.ids[:hits]


def test_a_batch_of_queries_is_filtered(searcher: ImpactSearcher) -> None:
    view = searcher.filtered("year>=1990")
    unfiltered = searcher.rank(QUERY, 7)
    assert view.rank_all([QUERY, {}, QUERY], 7) == [view.rank(QUERY, 7), view.rank({}, 7), view.rank(QUERY, 7)]
    assert searcher.rank_all([QUERY], 7) == [unfiltered]


@pytest.mark.parametrize(
    ("text", "dates"),
    [
        ("when=2020", {"2020", "2020-05-03", "2020-05-03T10:00:00Z"}),
        ("when=2020-01", {"2020"}),
        ("when=2020-05-03", {"2020-05-03", "2020-05-03T10:00:00Z"}),
        ("when=2020-05-03T11:00:00+01:00", {"2020-05-03T10:00:00Z"}),
        ("when>2020-05-03", set()),
        ("when>=2020-05-03", {"2020-05-03", "2020-05-03T10:00:00Z"}),
        ("when<=2020-05", {"2020", "2020-05-03", "2020-05-03T10:00:00Z", "1969-12-31"}),
        ("when<2020", {"1969-12-31"}),
        ("when!=2020-05", {"2020", "1969-12-31"}),
    ],
)
def test_a_date_is_a_period_of_time(searcher: ImpactSearcher, text: str, dates: set[str]) -> None:
    full, filtered = searcher.rank(QUERY, 300), searcher.filtered(text).rank(QUERY, 300)
    assert filtered.ids == [id_ for id_ in full.ids if DOCUMENTS[id_]["when"] in dates]


def test_filters_may_be_records(searcher: ImpactSearcher) -> None:
    expected = searcher.filtered(["year>=1990", "when>=2020-05-03"]).rank(QUERY, 300)
    filters = [Filter("year", ">=", 1990), Filter("when", ">=", date(2020, 5, 3))]
    assert searcher.filtered(filters).rank(QUERY, 300) == expected


def test_a_view_leaves_the_searcher_as_it_is_and_no_filters_are_all_documents(searcher: ImpactSearcher) -> None:
    full = searcher.rank(QUERY, 300)
    assert len(searcher.filtered("year=1990").rank(QUERY, 300).ids) < len(full.ids)
    assert searcher.filtered([]).rank(QUERY, 300) == searcher.rank(QUERY, 300) == full


def test_several_threads_search_with_a_filter(searcher: ImpactSearcher) -> None:
    view = searcher.filtered("tag=a")
    queries = [(f"q{number}", {f"t{number}": 1, f"t{number + 1}": 2}) for number in range(30)]
    assert list(view.rankings(queries, 5, threads=3)) == [(name, view.rank(query, 5)) for name, query in queries]


def test_two_step_search_takes_candidates_that_fulfil_the_filter(searcher: ImpactSearcher) -> None:
    view = searcher.filtered("tag=a")
    assert TwoStepSearcher(view, 3, 100).rank(QUERY, 10) == view.rank(QUERY, 10)
    expected = [id_ for id_ in TwoStepSearcher(searcher, 1, 300).rank(QUERY, 300).ids if "a" in DOCUMENTS[id_]["tag"]]
    assert TwoStepSearcher(view, 1, 300).rank(QUERY, 300).ids == expected


class Words:
    def encode(self, text: str) -> dict[str, int]:
        return {word: text.split().count(word) for word in text.split()}


def test_the_fast_searcher_takes_filters(home: Path) -> None:
    with FastLuceneImpactSearcher(home / "index", Words(), min_idf=-1, query_idf=0.5) as searcher:
        full = searcher.search("t1 t1 t2", 300)
        expected = [hit for hit in full if DOCUMENTS[hit.docid]["year"] == 1990]
        assert searcher.search("t1 t1 t2", 300, filters="year=1990") == expected
        assert searcher.batch_search(["t1 t1 t2"], ["q"], 300, 2, filters=["year=1990"]) == {"q": expected}
        by_fields = searcher.search("t1 t1 t2", 300, fields={"contents": 1.0}, filters="year=1990")
        assert [hit.docid for hit in by_fields] == [hit.docid for hit in expected]
        assert expected[0].document == {
            key: DOCUMENTS[expected[0].docid].get(key) for key in expected[0].document or {}
        } | {"contents": f"text {expected[0].docid}"}


def test_impact_index_takes_filters(home: Path) -> None:
    with ImpactIndex.open(home / "index", query_encoder=home / "encoder") as opened:
        full = opened.search("one", 300)
        expected = [hit for hit in full if values(DOCUMENTS[hit.id], "meta.lang") == ["de"]]
        assert opened.search("one", 300, filters="meta.lang=de") == expected
        assert opened.search(["one"], 300, filters=["meta.lang=de"]) == [expected]
        assert [hit.id for hit in opened.result("one", 300, filters="meta.lang=de").hits] == [
            hit.id for hit in expected
        ]


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ("yeer=1990", r"has no field 'yeer' for filters.\nExpected one of its fields: year \(int\), tag \(str\)"),
        ("year=199x", "The filter 'year=199x' has a value that is not of the type of year, int.\nExpected an integer"),
        ("year>=1990.5", "not of the type of year, int"),
        ("weight=nan", "not of the type of weight, float"),
        ("when=2020-13", "not of the type of when, date"),
        ("when=yesterday", "not of the type of when, date"),
        ("year", "The filter 'year' is not a field, an operator and a value.\nExpected FIELD=VALUE"),
        ("year=", "is not a field, an operator and a value"),
        ("=1990", "is not a field, an operator and a value"),
    ],
)
def test_filters_that_do_not_fit_are_refused(searcher: ImpactSearcher, filters: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        searcher.filtered(filters)


def test_an_index_without_such_fields_says_how_to_get_them(shared_index: Any) -> None:
    with (
        ImpactSearcher(shared_index(random_vectors(1, 5))) as searcher,
        pytest.raises(InputError, match=r"has no fields for filters\.\nBuild it with splade-anserini index --filter"),
    ):
        searcher.filtered("year=1990")


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("a=b", ("a", "=", "b")),
        ("a == b", ("a", "=", "b")),
        (" two words >= 3 ", ("two words", ">=", "3")),
        ("a=b=c", ("a", "=", "b=c")),
        ("a!=>b", ("a", "!=", ">b")),
    ],
)
def test_filters_are_parsed(text: str, parsed: tuple[str, str, str]) -> None:
    assert parse_filters(text) == (parsed,)


@pytest.mark.parametrize(
    ("value", "type_", "expected"),
    [
        (7, "int", ["7"]),
        ("+7", "int", ["7"]),
        (7.0, "int", ["7"]),
        ([1, None, 2], "int", ["1", "2"]),
        (None, "int", []),
        ("", "str", []),
        (True, "str", ["true"]),
        (5, "str", ["5"]),
        ("1e3", "float", ["1000.0"]),
        (-0.0, "float", ["0.0"]),
        ("1970-01-01T00:00:01Z", "date", ["1000"]),
        (1970, "date", ["0"]),
        ("9999-12-31", "date", ["253402214400000"]),
    ],
)
def test_values_are_what_java_parses(value: object, type_: FilterType, expected: list[str]) -> None:
    assert filter_values({"f": value}, "f", type_, Location("c", 1)) == expected


@pytest.mark.parametrize(
    ("value", "type_"),
    [("n/a", "int"), (True, "int"), (1.5, "int"), (2**63, "int"), ({"a": 1}, "int"), ("1_0", "int"), ("x", "float"),
     (float("inf"), "float"), ({}, "str"), ("é" * 20_000, "str"), ("May", "date"), (1.5, "date"),
     (["2020", "x"], "date")],
)  # fmt: skip
def test_values_of_another_type_are_refused(value: object, type_: FilterType) -> None:
    with pytest.raises(RecordError, match=rf"the field 'f' is .*\nExpected .* as it was declared to be {type_}"):
        filter_values({"f": value}, "f", type_, Location("c", 1))


@pytest.mark.parametrize(
    ("value", "type_", "fitting"),
    [("9.50", "int", "float"), ("cheap", "int", "str"), (["9.50", "x"], "int", "str"), ("cheap", "float", "str")],
)
def test_a_value_of_another_type_leads_to_one_that_fits(value: object, type_: FilterType, fitting: str) -> None:
    with pytest.raises(RecordError, match=f"or declare f:{fitting}"):
        filter_values({"f": value}, "f", type_, Location("c", 1))


@pytest.mark.parametrize(
    ("value", "days"),
    [("2024", 366), ("2023", 365), ("2024-02", 29), ("2024-12", 31), ("9999", 365), ("9999-12-31", 1)],
)
def test_a_date_has_the_length_that_it_names(value: str, days: int) -> None:
    start, end = period_of(value)
    assert end - start == days * 24 * 60 * 60 * 1000


def test_a_value_of_another_type_in_the_corpus_is_refused_with_its_line(home: Path, tmp_path: Path) -> None:
    records = [*DOCUMENTS.values()][:3]
    records[2] = {**records[2], "year": "MCMXC"}
    (tmp_path / "corpus.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in records))
    with pytest.raises(RecordError, match=r"corpus.jsonl, line 3: the field 'year' is 'MCMXC'"):
        index(
            *(home / "impacts", tmp_path / "index", IndexOptions(filter_fields="year:int")),
            documents=tmp_path / "corpus.jsonl",
        )
    assert not (tmp_path / "index").exists()


def test_values_come_from_the_records_of_other_vectors(tmp_path: Path) -> None:
    records = [
        {"id": f"d{number}", "contents": "x", "year": 2000 + number, "vector": {"t": number + 1}} for number in range(4)
    ]
    (tmp_path / "theirs.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in records))
    index(tmp_path / "theirs.jsonl", tmp_path / "index", IndexOptions(filter_fields="year:int", store_text=True))
    with ImpactSearcher(tmp_path / "index") as searcher:
        assert searcher.filtered("year>2001").rank({"t": 1}, 9).ids == ["d3", "d2"]
        assert searcher.document("d1") == {"id": "d1", "contents": "x", "year": 2001}


@pytest.mark.slow
@pytest.mark.parametrize("sharded", [False, True])
def test_merged_indexes_have_the_fields_that_all_have(home: Path, tmp_path: Path, *, sharded: bool) -> None:
    parts = []
    for number in range(2):
        ids = list(VECTORS)[number::2]
        write_encoded(tmp_path / f"impacts{number}", {id_: VECTORS[id_] for id_ in ids})
        corpus = tmp_path / f"corpus{number}.jsonl"
        corpus.write_text("".join(f"{json.dumps(DOCUMENTS[id_])}\n" for id_ in ids))
        parts.append(tmp_path / f"index{number}")
        index(tmp_path / f"impacts{number}", parts[-1], IndexOptions(filter_fields=FIELDS), documents=corpus)
    merge(parts, tmp_path / "merged", MergeOptions(sharded=sharded))
    manifest = read_manifest(tmp_path / "merged", IndexManifest)
    assert manifest is not None
    assert manifest.filter_fields == {
        "year": "int", "tag": "str", "weight": "float", "when": "date", "meta.lang": "str"
    }  # fmt: skip
    with ImpactSearcher(tmp_path / "merged") as merged, ImpactSearcher(home / "index") as single:
        ours, expected = (each.filtered("year>=1990").rank(QUERY, 300) for each in (merged, single))
        assert ours[:2] == expected[:2]


def run_lines(home: Path, tmp_path: Path, name: str, *arguments: object) -> list[str]:
    (tmp_path / "topics.jsonl").write_text(json.dumps({"id": "q", "vector": QUERY}) + "\n")
    run = tmp_path / "run.txt"
    outcome = run_stage(
        *("search", "--index", home / name, "--topics", tmp_path / "topics.jsonl", "--output", run, "--overwrite"),
        *("--force", "--query-idf", "0", *arguments),
    )
    assert outcome.code == 0, outcome.err
    return run.read_text().splitlines()


@pytest.mark.parametrize("name", ["index", "sharded"])
def test_the_command_writes_the_run_without_the_other_documents(home: Path, tmp_path: Path, name: str) -> None:
    full = [line.split() for line in run_lines(home, tmp_path, name)]
    filtered = [
        line.split() for line in run_lines(home, tmp_path, name, "--filter", "year>=1990", "--filter", "tag!=b")
    ]
    expected = [
        columns[2]
        for columns in full
        if fulfils(DOCUMENTS[columns[2]], "year", operator.ge, 1990)
        and fulfils(DOCUMENTS[columns[2]], "tag", operator.ne, "b")
    ]
    assert [columns[2] for columns in filtered] == expected
    assert [columns[3] for columns in filtered] == [str(rank) for rank in range(1, len(expected) + 1)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--filter", "yeer=1"], "has no field 'yeer' for filters"),
        (["--filter", "year"], "is not a field, an operator and a value"),
        (["--filter", "year=1", "--hybrid", "bm25:x"], "--filter and --hybrid exclude each other"),
        (["--filter", "year=1", "--searcher", "pyserini"], "--filter needs --searcher lucene, got pyserini"),
        (["--filter", "year=1", "--feedback", "rm3"], "--feedback and --filter exclude each other"),
        (["--filter", "year=1", "--bm25"], "--filter has no effect with --bm25"),
    ],
)
def test_the_command_refuses_what_cannot_be_filtered(
    home: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "topics.jsonl").write_text(json.dumps({"id": "q", "vector": QUERY}) + "\n")
    outcome = run_stage(
        *("search", "--index", home / "index", "--topics", tmp_path / "topics.jsonl"),
        *("--output", tmp_path / "run.txt", *arguments),
    )
    assert (outcome.code, message in outcome.err) == (2, True), outcome.err


def test_one_query_may_have_filters(home: Path) -> None:
    outcome = run_stage(
        *("search", "--index", home / "index", "--query", "one", "--hits", 300, "--format", "json", "--query-idf", "0"),
        *("--encoder", home / "encoder", "--filter", "meta.lang=en"),
    )
    assert outcome.code == 0, outcome.err
    hits = json.loads(outcome.out)["hits"]
    with ImpactSearcher(home / "index") as searcher:
        full = searcher.rank({"t1": 100, "t2": 50}, 300).ids
    assert [hit["id"] for hit in hits] == [id_ for id_ in full if values(DOCUMENTS[id_], "meta.lang") == ["en"]]
    assert {hit["document"]["meta"]["lang"] for hit in hits} == {"en"}
