"""The command `serve`: what it answers, what it refuses, and how it ends."""

import asyncio
import contextlib
import json
import logging
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="serve is an extra")

from fastapi import FastAPI
from starlette.testclient import TestClient

from splade_anserini.encode import encode
from splade_anserini.encoding import open_encoder
from splade_anserini.errors import InputError
from splade_anserini.formats.corpora import InMemoryCorpus
from splade_anserini.impact_index import ImpactIndex
from splade_anserini.index import index
from splade_anserini.lucene import IndexOptions, start_jvm
from splade_anserini.records import Document
from splade_anserini.serving.api_keys import ApiKeys, read_api_keys
from splade_anserini.serving.application import create_application
from splade_anserini.serving.batcher import Batcher
from splade_anserini.serving.errors import RequestError, without_paths
from splade_anserini.serving.gate import Gate
from splade_anserini.serving.opened_index import OpenedIndex, index_sources
from splade_anserini.serving.options import LimitOptions, ServedOptions
from splade_anserini.serving.server import gated
from splade_anserini.serving.service import Service
from tests.cli_runner import run_stage
from tests.encoder_fixtures import EXPANSIONS, write_dictionary_encoder

TEXTS = {"d0": "cats sleep", "d1": "dogs bark", "d2": "dogs sleep", "d/3": "cats dogs bark sleep"}
KEY = "0123456789abcdef-key"


def build(home: Path, texts: dict[str, str], name: str) -> Path:
    """Write an index of texts, with their texts stored."""
    corpus = InMemoryCorpus("texts", [Document(id_, "", text) for id_, text in texts.items()])
    encode(corpus, open_encoder(home / "encoder"), home / f"{name}-impacts")
    index(home / f"{name}-impacts", home / name, IndexOptions(store_text=True))
    return home / name


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder, an impact index and a text index of the same documents."""
    home = tmp_path_factory.mktemp("serve")
    write_dictionary_encoder(home / "encoder", EXPANSIONS)
    build(home, TEXTS, "pets")
    lines = [json.dumps({"id": id_, "contents": text}) for id_, text in TEXTS.items()]
    (home / "corpus.jsonl").write_text("\n".join(lines))
    made = run_stage("index", "--bm25", "--input", home / "corpus.jsonl", "--index", home / "texts", "--store-text")
    assert made.code == 0, made.err
    start_jvm()
    return home


@contextlib.contextmanager
def client_of(
    served: ServedOptions, limits: LimitOptions | None = None, keys: ApiKeys | None = None
) -> Iterator[TestClient]:
    service = Service([OpenedIndex(source, served) for source in index_sources(served)], served, limits)
    try:
        with TestClient(gated(service, keys), raise_server_exceptions=False) as client:
            client.service = service  # type: ignore[attr-defined]
            yield client
    finally:
        service.close()


@pytest.fixture(scope="module")
def client(home: Path) -> Iterator[TestClient]:
    served = ServedOptions(index=(f"pets={home / 'pets'}",), bm25=(str(home / "texts"),))
    limits = LimitOptions(max_hits=100, max_query=50, max_body=1000, cache=0)
    with client_of(served, limits) as client:
        yield client


@pytest.fixture(scope="module")
def through_fastapi(client: TestClient) -> TestClient:
    """A client of the same service whose searches do not bypass FastAPI."""
    service: Service = client.service  # type: ignore[attr-defined]
    gate = Gate(create_application(service), service.limits, service.metrics)
    return TestClient(gate, raise_server_exceptions=False)


def search(client: TestClient, **parameters: Any) -> dict[str, Any]:
    answer = client.get("/v1/search", params=parameters)
    assert answer.status_code == 200, answer.text
    values: dict[str, Any] = answer.json()
    return values


def problem(answer: Any, status: int) -> str:
    """Return the message of an error, after a look at its form."""
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}
    assert set(answer.json()["error"]) == {"type", "message"}
    message: str = answer.json()["error"]["message"]
    return message


@pytest.mark.slow
class TestSearch:
    def test_hits_and_scores_are_those_of_the_index(self, client: TestClient, home: Path) -> None:
        with ImpactIndex.open(home / "pets") as opened:
            for query in ("cats", "dogs bark", "cats dogs sleep"):
                expected = [(hit.id, hit.score, hit.text) for hit in opened.search(query, 3)]
                answer = search(client, q=query, k=3)
                hits = [(hit["id"], hit["score"], hit["document"]["contents"]) for hit in answer["hits"]]
                assert hits == expected
                assert [hit["rank"] for hit in answer["hits"]] == [1, 2, 3][: len(hits)]
                assert answer["query"] == query
                assert answer["weights"] == dict(
                    sorted(opened.query_encoder.encode(query).items(), key=lambda item: (-item[1], item[0]))
                )

    def test_many_requests_at_once_get_their_own_answers(self, client: TestClient) -> None:
        queries = [word for word in EXPANSIONS for _ in range(10)]
        expected = {word: search(client, q=word) for word in EXPANSIONS}
        answers: list[Any] = [None] * len(queries)

        def ask(number: int) -> None:
            answers[number] = search(client, q=queries[number])

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(queries))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [expected[query] for query in queries]

    def test_a_vector_finds_what_its_text_finds(self, client: TestClient) -> None:
        by_text = search(client, q="dogs bark")
        by_vector = client.post("/v1/search", json={"vector": by_text["weights"]}).json()
        assert by_vector == {**by_text, "query": None}

    def test_weights_of_an_expansion_are_changed(self, client: TestClient) -> None:
        answer = client.post("/v1/search", json={"query": "cats", "weights": {"cat": 0, "noise": 1.5}}).json()
        assert answer["weights"] == {"noise": 150, "pet": 50}
        by_vector = client.post("/v1/search", json={"vector": answer["weights"]}).json()
        assert answer["hits"] == by_vector["hits"]

    def test_query_idf_multiplies_impacts(self, client: TestClient, home: Path) -> None:
        with ImpactIndex.open(home / "pets", query_idf=1) as opened:
            expected = [(hit.id, hit.score) for hit in opened.search("cats bark")]
        answer = client.post("/v1/search", json={"query": "cats bark", "query_idf": 1}).json()
        assert [(hit["id"], hit["score"]) for hit in answer["hits"]] == expected
        assert answer["weights"] != search(client, q="cats bark")["weights"]

    def test_an_answer_says_what_idf_changed_as_search_does(self, client: TestClient, home: Path) -> None:
        with ImpactIndex.open(home / "pets", query_idf=1) as opened:
            expected = opened.result("cats bark").values()
        body = {"query": "cats bark", "query_idf": 1, "terms": True}
        assert client.post("/v1/search", json=body).json() == expected
        assert expected["query_idf"] == 1
        assert expected["unweighted"] == search(client, q="cats bark")["weights"]

    def test_documents_have_the_fields_that_are_asked_for(self, home: Path, tmp_path: Path) -> None:
        records = [{"id": id_, "text": text, "year": 1990, "tags": ["a"]} for id_, text in TEXTS.items()]
        (tmp_path / "corpus.jsonl").write_text("\n".join(map(json.dumps, records)))
        options = IndexOptions(store_text=True)
        index(home / "pets-impacts", tmp_path / "index", options, documents=tmp_path / "corpus.jsonl")
        with client_of(ServedOptions(index=(str(tmp_path / "index"),))) as client:
            body = {"query": "cats", "fields": ["tags", "year", "colour"]}
            by_post = client.post("/v1/search", json=body).json()["hits"]
            assert [hit["document"] for hit in by_post] == [
                {"id": hit["id"], "tags": ["a"], "year": 1990} for hit in by_post
            ]
            assert client.get("/v1/search?q=cats&field=tags&field=year&field=colour").json()["hits"] == by_post
            assert client.post("/v1/search", json={"query": "cats", "fields": []}).json()["hits"] == [
                {**hit, "document": {"id": hit["id"]}} for hit in by_post
            ]

    def test_fields_of_the_index_are_searched_with_their_boosts(self, client: TestClient) -> None:
        plain = search(client, q="cats dogs")["hits"]
        boosted = client.post("/v1/search", json={"query": "cats dogs", "search_fields": {"contents": 2.5}}).json()
        assert boosted["hits"] == [{**hit, "score": 2.5 * hit["score"]} for hit in plain]
        unknown = problem(client.post("/v1/search", json={"query": "cats", "search_fields": {"titel": 1}}), 400)
        assert unknown == "Index pets has no field 'titel' to search in. Expected one of contents."
        body = {"query": "cats", "search_fields": {"contents": 1}, "terms": True}
        assert "search_fields has no terms" in problem(client.post("/v1/search", json=body), 400)

    @pytest.mark.parametrize("engine", ["bm25", "hybrid"])
    def test_hits_of_a_text_index_cannot_be_filtered(self, client: TestClient, engine: str) -> None:
        body = {"query": "cats", "engine": engine, "filters": ["year>1990"]}
        by_post = problem(client.post("/v1/search", json=body), 400)
        by_get = problem(client.get(f"/v1/search?q=cats&engine={engine}&filter=year>1990"), 400)
        assert by_post == by_get
        assert "text indexes have no fields" in by_get

    def test_documents_may_be_left_out(self, client: TestClient) -> None:
        hits = search(client, q="cats", documents=False)["hits"]
        assert hits
        assert all(hit["document"] is None for hit in hits)

    def test_bm25_and_hybrid_rank_as_search_does(self, client: TestClient, home: Path, tmp_path: Path) -> None:
        (tmp_path / "topics.tsv").write_text("q\tdogs bark\n")
        runs = {
            "bm25": ["--bm25", "--index", home / "texts"],
            "hybrid": ["--index", home / "pets", "--hybrid", f"bm25:{home / 'texts'}"],
        }
        for engine, options in runs.items():
            done = run_stage("search", *options, "--topics", tmp_path / "topics.tsv", "--output", tmp_path / engine)
            assert done.code == 0, done.err
            ranked = [line.split()[2] for line in (tmp_path / engine).read_text().splitlines()]
            hits = search(client, q="dogs bark", engine=engine)["hits"]
            assert [hit["id"] for hit in hits] == ranked
            assert all(hit["document"]["contents"] == TEXTS[hit["id"]] for hit in hits)

    def test_hits_are_filtered_and_have_all_fields(self, home: Path, tmp_path: Path) -> None:
        years = {id_: 1990 + number for number, id_ in enumerate(TEXTS)}
        records = [{"id": id_, "text": text, "year": years[id_]} for id_, text in TEXTS.items()]
        (tmp_path / "corpus.jsonl").write_text("\n".join(map(json.dumps, records)))
        options = IndexOptions(store_text=True, filter_fields="year:int")
        index(home / "pets-impacts", tmp_path / "index", options, documents=tmp_path / "corpus.jsonl")
        with client_of(ServedOptions(index=(str(tmp_path / "index"),))) as client:
            hits = client.get("/v1/search?q=dogs+sleep&filter=year>=1991&filter=year<1993").json()["hits"]
            assert sorted(hit["id"] for hit in hits) == ["d1", "d2"]
            assert all(hit["document"]["year"] == years[hit["id"]] for hit in hits)
            body = {"query": "dogs sleep", "filters": ["year=1993"]}
            assert [hit["id"] for hit in client.post("/v1/search", json=body).json()["hits"]] == ["d/3"]
            assert "colour" in problem(client.get("/v1/search?q=dogs&filter=colour=red"), 400)
            assert client.get("/v1/indexes").json()[0]["filters"] == {"year": "int"}

    def test_a_query_without_known_words_has_no_hits(self, client: TestClient) -> None:
        assert search(client, q="xyzzy")["hits"] == []

    def test_stages_are_timed(self, client: TestClient) -> None:
        timing = client.get("/v1/search", params={"q": "cats"}).headers["Server-Timing"]
        assert re.fullmatch(r"encode;dur=[\d.]+, search;dur=[\d.]+, documents;dur=[\d.]+", timing)


VALID = [
    "/v1/search?q=dogs+bark&k=2",
    "/v1/search?q=caf%C3%A9%20cats&terms=1&snippets=yes&documents=off",
    "/v1/search?q=sleep&engine=hybrid&index=pets",
    {"query": "dogs bark", "k": 2},
    {"vector": {"cat": 2, "dog": 1}, "terms": True},
    {"query": "cats", "weights": {"cat": 0, "noise": 1.5}, "index": "pets", "query_idf": 1},
    {"query": "sleep", "engine": "bm25"},
]
INVALID = [
    "/v1/search",
    "/v1/search?q=%20",
    "/v1/search?q=cats&k=0",
    "/v1/search?q=cats&k=",
    "/v1/search?q=cats&k=1.5&documents=maybe",
    "/v1/search?q=cats&k=1000",
    "/v1/search?q=cats&index=none",
    "/v1/search?q=cats&engine=google",
    "/v1/search?q=cats&filters=year%3E1999",
    "/v1/search?q=cats&q=dogs&k=1&k=2",
    {},
    {"query": "cats", "weigths": {}},
    {"query": "cats", "k": "many"},
    {"query": "cats", "weights": {"elephant": 1}},
    {"vector": {"cat": 1}, "engine": "bm25"},
    {"vector": {"cat": 1.5}},
    {"vector": {"elephant": 1}},
    [1],
]


@pytest.mark.slow
class TestDirectSearch:
    """Searches that bypass FastAPI are answered as it would answer them."""

    @pytest.mark.parametrize("request_", VALID + INVALID, ids=str)
    def test_answers_are_the_same(self, client: TestClient, through_fastapi: TestClient, request_: Any) -> None:
        def answer(client: TestClient) -> Any:
            return client.get(request_) if isinstance(request_, str) else client.post("/v1/search", json=request_)

        direct, expected = answer(client), answer(through_fastapi)
        assert (direct.status_code, direct.content) == (expected.status_code, expected.content)
        assert (direct.status_code == 200) == (request_ in VALID)
        assert set(direct.headers) == set(expected.headers)
        assert direct.headers["Content-Type"] == expected.headers["Content-Type"]

    @pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"query": "\\ud800"}', b'{"query": NaN}'])
    def test_bodies_that_are_no_json_are_refused_alike(
        self, client: TestClient, through_fastapi: TestClient, content: bytes
    ) -> None:
        headers = {"Content-Type": "application/json; charset=utf-8"}
        direct, expected = (
            each.post("/v1/search", content=content, headers=headers) for each in (client, through_fastapi)
        )
        assert (direct.status_code, direct.content) == (expected.status_code, expected.content)

    def test_fastapi_is_not_asked(self, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(FastAPI, "__call__", lambda *_: 1 / 0)
        assert search(client, q="cats")["hits"]
        assert client.post("/v1/search", json={"vector": {"cat": 1}}).json()["hits"]
        problem(client.get("/v1/indexes"), 500)

    def test_requests_are_counted_as_others_are(self, client: TestClient) -> None:
        search(client, q="cats")
        problem(client.get("/v1/search?q=cats&k=0"), 400)
        metrics = client.get("/metrics").text
        for status in (200, 400):
            assert f'requests_total{{endpoint="/v1/search",status="{status}"}}' in metrics


@pytest.mark.slow
class TestExplanations:
    def test_terms_of_hits_add_up_to_their_scores(self, client: TestClient, home: Path) -> None:
        with ImpactIndex.open(home / "pets") as opened:
            expected = opened.result("dogs bark sleep", 3).values()
        answer = search(client, q="dogs bark sleep", k=3, terms=True)
        assert answer == expected
        assert all(hit["score"] == sum(term["product"] for term in hit["terms"]) for hit in answer["hits"])

    def test_snippets_mark_the_words_that_match(self, client: TestClient, home: Path) -> None:
        answer = search(client, q="sleep", snippets=True, documents=False)
        with ImpactIndex.open(home / "pets") as opened:
            expected = [str(hit.snippet()) for hit in opened.result("sleep").hits]
        assert len(expected) == len(answer["hits"]) > 1
        assert all("*sleep*" in text for text in expected)
        for hit, marked in zip(answer["hits"], expected, strict=True):
            text, position, pieces = hit["snippet"]["text"], 0, ""
            for mark in hit["snippet"]["marks"]:
                pieces += f"{text[position : mark['start']]}*{text[mark['start'] : mark['stop']]}*"
                position = mark["stop"]
            assert pieces + text[position:] == marked
            assert hit["document"] is None
        assert search(client, q="sleep", snippets=True, engine="hybrid")["hits"][0]["snippet"]["marks"]

    def test_an_index_without_a_known_encoder_is_searched_for_vectors(self, tmp_path: Path) -> None:
        (tmp_path / "vectors.jsonl").write_text('{"id": "v1", "vector": {"cat": 3}}\n')
        index(tmp_path / "vectors.jsonl", tmp_path / "unknown")
        with client_of(ServedOptions(index=(str(tmp_path / "unknown"),))) as client:
            hits = client.post("/v1/search", json={"vector": {"cat": 2}}).json()["hits"]
            assert [(hit["id"], hit["score"]) for hit in hits] == [("v1", 6)]
            assert "no encoder" in problem(client.get("/v1/search?q=cats"), 400)
            assert client.get("/v1/indexes").json()[0]["texts"] is False

    def test_a_text_is_encoded_as_expand_does(self, client: TestClient, home: Path) -> None:
        with ImpactIndex.open(home / "pets") as opened:
            expected = opened.expand("cats bark").values()
        assert client.get("/v1/encode", params={"q": "cats bark"}).json() == expected
        assert client.post("/v1/encode", json={"text": "cats bark"}).json() == expected

    def test_a_score_is_explained(self, client: TestClient, home: Path) -> None:
        with ImpactIndex.open(home / "pets") as opened:
            expected = opened.explain("cats bark", "d/3").values()
        explained = client.post("/v1/explain", json={"query": "cats bark", "id": "d/3"}).json()
        assert explained == {**expected, "document_only": None}
        problem(client.post("/v1/explain", json={"query": "cats bark", "id": "d9"}), 404)

    def test_stored_vectors_are_read_whole(self, home: Path) -> None:
        index(home / "pets-impacts", home / "vectors", IndexOptions(store_docvectors=True))
        with client_of(ServedOptions(index=(str(home / "vectors"),))) as client:
            with ImpactIndex.open(home / "vectors") as opened:
                expected = opened.explain("cats", "d/3").values()
            assert client.post("/v1/explain", json={"query": "cats", "id": "d/3"}).json() == expected
            assert search(client, q="cats")["hits"][0]["document"] is None, "no documents are stored"

    def test_documents_are_compared(self, client: TestClient) -> None:
        body = {"query": "dogs sleep", "first": "d2", "second": "d1"}
        compared = client.post("/v1/compare", json=body).json()
        assert compared["difference"] == compared["first"]["score"] - compared["second"]["score"]
        assert compared["difference"] == sum(term["difference"] for term in compared["terms"]) != 0
        assert compared["first"] == client.post("/v1/explain", json={"query": "dogs sleep", "id": "d2"}).json()

    def test_a_token_that_the_encoder_lacks_is_refused(self, client: TestClient) -> None:
        for body in ({"query": "cats", "weights": {"elephant": 1}}, {"vector": {"cat": 1, "elephant": 1}}):
            assert "'elephant' is not a token" in problem(client.post("/v1/search", json=body), 400)


@pytest.mark.slow
class TestRefusals:
    @pytest.mark.parametrize(
        ("path", "status", "says"),
        [
            ("/v1/search", 400, "q"),
            ("/v1/search?q=%20", 400, "empty"),
            ("/v1/search?q=cats&k=0", 400, "k"),
            ("/v1/search?q=cats&k=101", 400, "at most 100"),
            ("/v1/search?q=cats&engine=google", 400, "engine"),
            ("/v1/search?q=cats&filters=year>3", 400, "Unknown parameter: filters."),
            ("/v1/search?q=cats&k=1&q=dogs", 400, "Parameter q occurs 2 times; expected once."),
            ("/v1/encode?q=cats&q=cats", 400, "Parameter q occurs 2 times; expected once."),
            ("/v1/documents/d1?index=pets&index=pets", 400, "Parameter index occurs 2 times; expected once."),
            ("/v1/search?q=a&filters=x>1&filters=y>2", 400, "Unknown parameter: filters."),
            ("/v1/encode?q=cats&indx=pets", 400, "Unknown parameter: indx."),
            ("/v1/documents/d1?name=pets", 400, "Unknown parameter: name."),
            (f"/v1/search?q={51 * 'a'}", 400, "51 characters"),
            ("/v1/search?q=cats&index=dogs", 404, "pets"),
            ("/v1/documents/d9", 404, "d9"),
            ("/v2/search?q=cats", 404, "Not Found"),
        ],
    )
    def test_a_request_that_is_not_valid_is_explained(
        self, client: TestClient, path: str, status: int, says: str
    ) -> None:
        assert says in problem(client.get(path), status)

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"query": "cats", "vector": {"cat": 1}},
            {"query": "cats", "weights": {"cat": -1}},
            {"vector": {"cat": 0}},
            {"vector": {"cat": 1.5}},
            {"vector": {"cat": 1}, "engine": "bm25"},
            {"vector": {"cat": 1}, "weights": {"cat": 1}},
            {"query": "cats", "query_idf": 11},
        ],
        ids=str,
    )
    def test_a_body_that_is_not_valid_is_refused(self, client: TestClient, body: dict[str, Any]) -> None:
        problem(client.post("/v1/search", json=body), 400)

    def test_an_unknown_key_is_refused(self, client: TestClient) -> None:
        answer = client.post("/v1/search", json={"query": "cats", "weigths": {}})
        assert "Unknown key: weigths." in problem(answer, 400)

    @pytest.mark.parametrize("path", ["search?index=pets&k=3", "encode?index=pets", "documents?index=pets"])
    def test_parameters_beside_a_body_are_refused(self, client: TestClient, path: str) -> None:
        answer = client.post(f"/v1/{path}", json={"query": "cats"})
        assert "Parameters in the URL: index" in problem(answer, 400)

    def test_parameters_that_nothing_reads_are_no_error(self, client: TestClient) -> None:
        assert client.get("/metrics?collect[]=a&collect[]=b").status_code == 200

    def test_a_body_that_is_no_json_is_refused(self, client: TestClient) -> None:
        problem(client.post("/v1/search", content=b"{", headers={"Content-Type": "application/json"}), 400)

    def test_a_body_that_is_not_called_json_is_refused(self, client: TestClient) -> None:
        """Pages of other sites can send it."""
        for headers in ({}, {"Content-Type": "text/plain"}):
            answer = client.post("/v1/search", content=b'{"query": "cats"}', headers=headers)
            assert "application/json" in problem(answer, 415)

    def test_a_body_that_is_too_large_is_refused(self, client: TestClient) -> None:
        as_json = {"Content-Type": "application/json"}
        too_large = json.dumps({"query": "cats", "weights": {str(n): 1 for n in range(200)}})
        assert "1,000 bytes" in problem(client.post("/v1/search", content=too_large, headers=as_json), 413)

        def parts() -> Iterator[bytes]:
            for start in range(0, len(too_large), 100):
                yield too_large[start : start + 100].encode()

        assert "1,000 bytes" in problem(client.post("/v1/search", content=parts(), headers=as_json), 413)

    def test_an_error_inside_is_logged_and_not_shown(
        self, client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(OpenedIndex, "weighted", lambda *_: 1 / 0)
        message = problem(client.get("/v1/search?q=cats"), 500)
        assert "division" not in message
        assert "ZeroDivisionError" in caplog.text

    def test_no_answer_has_a_path(self, client: TestClient, home: Path) -> None:
        texts = [
            client.get(path).text
            for path in ("/v1/indexes", "/v1/search?q=cats", "/v1/documents/d9", "/v1/search?q=a&index=b", "/metrics")
        ]
        assert not [text for text in texts if str(home) in text]

    def test_keys_are_needed_where_there_are_some(self, home: Path) -> None:
        with client_of(ServedOptions(index=(str(home / "pets"),)), keys=ApiKeys([KEY])) as client:
            for headers in ({}, {"X-API-Key": KEY + "x"}, {"Authorization": f"Basic {KEY}"}):
                problem(client.get("/v1/search?q=cats", headers=headers), 401)
            for headers in ({"X-API-Key": KEY}, {"Authorization": f"Bearer {KEY}"}):
                assert client.get("/v1/search?q=cats", headers=headers).status_code == 200
            assert client.get("/healthz").status_code == 200
            assert client.get("/metrics").status_code == 401

    def test_a_request_that_takes_too_long_ends(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        done = threading.Event()
        with client_of(ServedOptions(index=(str(home / "pets"),)), LimitOptions(timeout=0.5)) as client:
            monkeypatch.setattr(OpenedIndex, "weighted", lambda *_: {"cat": int(done.wait(10))})
            try:
                problem(client.get("/v1/search?q=cats"), 504)
            finally:
                done.set()
            monkeypatch.undo()
            metrics = client.get("/metrics").text
            assert 'splade_anserini_rejected_total{reason="timeout"} 1.0' in metrics

    def test_a_full_queue_refuses_at_once(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        done, begun = threading.Event(), threading.Event()

        def wait(*_: object) -> dict[str, int]:
            begun.set()
            done.wait(10)
            return {}

        with client_of(ServedOptions(index=(str(home / "pets"),)), LimitOptions(queue=1)) as client:
            monkeypatch.setattr(OpenedIndex, "weighted", wait)
            slow = threading.Thread(target=client.get, args=("/v1/search?q=cats",))
            slow.start()
            try:
                assert begun.wait(10)
                refused = client.get("/v1/search?q=dogs")
                assert "waiting" in problem(refused, 503)
                assert int(refused.headers["Retry-After"]) >= 1
                assert client.get("/healthz").status_code == 200
            finally:
                done.set()
                slow.join()


@pytest.mark.slow
class TestDocuments:
    @pytest.mark.parametrize("id_", ["d1", "d/3"])
    def test_a_document_has_its_text(self, client: TestClient, id_: str) -> None:
        answer = client.get(f"/v1/documents/{id_}").json()
        assert answer["id"] == id_
        assert answer["document"]["contents"] == TEXTS[id_]


@pytest.mark.slow
class TestChanges:
    def test_documents_are_added_replaced_and_deleted(self, home: Path) -> None:
        directory = build(home, {"a": "cats", "b": "dogs"}, "living")
        with client_of(ServedOptions(index=(str(directory),), writable=True)) as client:
            added = client.post("/v1/documents", json={"documents": [{"id": "c/1", "text": "cats sleep"}]}).json()
            assert (added["added"], added["documents"]) == (1, 3)
            assert [hit["id"] for hit in search(client, q="sleep")["hits"]] == ["c/1"]
            replaced = client.put("/v1/documents/a", json={"text": "dogs bark"}).json()
            assert (replaced["replaced"], replaced["documents"]) == (1, 3)
            assert [hit["id"] for hit in search(client, q="bark")["hits"]][:1] == ["a"]
            assert client.get("/v1/documents/a").json()["document"]["contents"] == "dogs bark"
            assert client.delete("/v1/documents/c/1").json()["documents"] == 2
            problem(client.get("/v1/documents/c/1"), 404)
            problem(client.delete("/v1/documents/c/1"), 404)
            twice = problem(client.post("/v1/documents", json={"documents": [{"id": "a", "text": "cats"}]}), 400)
            assert str(home) not in twice

    def test_other_fields_are_stored_without_a_note_that_they_are_not_read(
        self, home: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        directory = build(home, {"a": "cats"}, "with-fields")
        with client_of(ServedOptions(index=(str(directory),), writable=True)) as client:
            with caplog.at_level(logging.INFO, "splade_anserini"):
                client.put("/v1/documents/b", json={"text": "dogs", "fields": {"brand": "Acme"}}).raise_for_status()
            assert "brand" not in caplog.text
            assert client.get("/v1/documents/b").json()["document"]["brand"] == "Acme"

    def test_a_change_is_seen_without_opening_the_index_anew(self, home: Path) -> None:
        directory = build(home, {"a": "cats"}, "reopened")
        with client_of(ServedOptions(index=(str(directory),), writable=True)) as client:
            service: Service = client.service  # type: ignore[attr-defined]
            before = service.indexes()[0]
            assert client.put("/v1/documents/b", json={"text": "cats"}).json()["added"] == 1
            assert [hit["id"] for hit in search(client, q="cats")["hits"]] == ["a", "b"]
            (described,) = client.get("/v1/indexes").json()
            assert (described["documents"], described["generation"]) == (2, 2)
            asyncio.run(service.reload_changed())
            assert service.indexes()[0] is before
            problem(client.delete("/v1/documents/c"), 404)
            assert client.get("/v1/indexes").json()[0]["generation"] == 2, "nothing was changed"

    def test_an_index_that_was_replaced_meanwhile_is_opened_anew(
        self, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        directory = build(home, {"a": "cats"}, "replaced")
        with client_of(ServedOptions(index=(str(directory),), writable=True)) as client:
            service: Service = client.service  # type: ignore[attr-defined]
            before = service.indexes()[0]
            monkeypatch.setattr(OpenedIndex, "reopen", lambda _: False)
            client.put("/v1/documents/b", json={"text": "cats"})
            assert service.indexes()[0] is not before
            assert [hit["id"] for hit in search(client, q="cats")["hits"]] == ["a", "b"]

    def test_an_index_with_a_text_index_cannot_be_changed(self, home: Path) -> None:
        served = ServedOptions(index=(f"pets={home / 'pets'}",), bm25=(str(home / "texts"),), writable=True)
        with pytest.raises(InputError, match="BM25 would not find what is added"), client_of(served):
            pass

    def test_added_documents_have_fields(self, home: Path, tmp_path: Path) -> None:
        records = [{"id": id_, "text": text, "year": 1990} for id_, text in TEXTS.items()]
        (tmp_path / "corpus.jsonl").write_text("\n".join(map(json.dumps, records)))
        options = IndexOptions(store_text=True, filter_fields="year:int")
        index(home / "pets-impacts", tmp_path / "index", options, documents=tmp_path / "corpus.jsonl")
        with client_of(ServedOptions(index=(str(tmp_path / "index"),), writable=True)) as client:
            added = {"title": "cats", "text": "sleep", "fields": {"year": 2001, "colour": "red"}}
            assert client.put("/v1/documents/new", json=added).json()["added"] == 1
            (hit,) = client.get("/v1/search?q=cats&filter=year>2000").json()["hits"]
            assert (hit["id"], hit["document"]["colour"]) == ("new", "red")
            wrong = {"documents": [{"id": "x", "text": "cats", "fields": {"year": "last"}}]}
            message = problem(client.post("/v1/documents", json=wrong), 400)
            assert "year" in message
            assert "documents, line 1" in message
            problem(client.put("/v1/documents/x", json={"text": "cats", "fields": {"id": "y"}}), 400)

    def test_nothing_is_changed_without_permission(self, client: TestClient, home: Path) -> None:
        problem(client.post("/v1/documents", json={"documents": [{"id": "x", "text": "cats"}]}), 403)
        problem(client.put("/v1/documents/d1", json={"text": "cats"}), 403)
        problem(client.delete("/v1/documents/d1"), 403)
        assert client.get("/v1/documents/d1").status_code == 200
        done = run_stage("serve", "--index", home / "pets", "--writable", "--host", "0.0.0.0")
        assert done.code == 2
        assert "--api-keys" in done.err


@pytest.mark.slow
class TestOperations:
    def test_metrics_count_requests_and_time_stages(self, client: TestClient) -> None:
        search(client, q="cats")
        text = client.get("/metrics").text
        for stage in ("queue", "encode", "search", "documents"):
            counted = re.search(rf'stage_seconds_count\{{stage="{stage}"\}} ([\d.]+)', text)
            assert counted
            assert float(counted[1]) > 0
        assert 'splade_anserini_index_documents{index="pets"} 4.0' in text
        assert 'requests_total{endpoint="/v1/search",status="200"}' in text

    def test_indexes_are_described(self, client: TestClient) -> None:
        (described,) = client.get("/v1/indexes").json()
        assert described["name"] == "pets"
        assert described["documents"] == 4
        assert described["engines"] == ["impacts", "bm25", "hybrid"]
        assert described["encoder"] == "encoder"

    def test_openapi_describes_all_routes(self, client: TestClient) -> None:
        paths = client.get("/openapi.json").json()["paths"]
        assert {"/v1/search", "/v1/documents/{id}", "/v1/indexes", "/healthz", "/readyz", "/metrics"} <= set(paths)

    def test_a_repeated_request_is_answered_from_the_cache(self, home: Path) -> None:
        with client_of(ServedOptions(index=(str(home / "pets"),))) as client:
            first, second = (client.get("/v1/search?q=cats") for _ in range(2))
            assert first.content == second.content
            assert "cache" in second.headers["Server-Timing"]
            assert "splade_anserini_cached_total 1.0" in client.get("/metrics").text

    def test_a_changed_index_is_served_anew(self, home: Path) -> None:
        directory = build(home, {"old": "cats"}, "changing")
        with client_of(ServedOptions(index=(str(directory),))) as client:
            service: Service = client.service  # type: ignore[attr-defined]
            assert [hit["id"] for hit in search(client, q="cats")["hits"]] == ["old"]
            before = service.indexes()[0]
            build(home, {"new": "cats", "newer": "cats"}, "changed")
            directory.rename(home / "away")
            asyncio.run(service.reload_changed())
            assert [hit["id"] for hit in search(client, q="cats")["hits"]] == ["old"], "it is missing"
            (home / "changed").rename(directory)
            (directory / "splade.manifest").rename(home / "manifest")
            asyncio.run(service.reload_changed())
            assert [hit["id"] for hit in search(client, q="cats")["hits"]] == ["old"], "its encoder is not known"
            (home / "manifest").rename(directory / "splade.manifest")
            asyncio.run(service.reload_changed())
            assert [hit["id"] for hit in search(client, q="cats")["hits"]] == ["new", "newer"]
            assert service.indexes()[0] is not before
            assert client.get("/v1/indexes").json()[0]["generation"] == 2


class TestOptions:
    def test_a_name_may_be_given_once(self, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        with pytest.raises(InputError, match="Two indexes have the name a"):
            index_sources(ServedOptions(index=(str(tmp_path / "a"), str(tmp_path / "a"))))
        with pytest.raises(InputError, match="belongs to no --index"):
            index_sources(ServedOptions(index=(str(tmp_path / "a"),), bm25=(f"b={tmp_path}",)))

    def test_names_are_those_of_directories_or_given(self, tmp_path: Path) -> None:
        for name in ("a", "b=c"):
            (tmp_path / name).mkdir()
        served = ServedOptions(index=(f"x={tmp_path / 'a'}", str(tmp_path / "b=c")), bm25=(f"b=c={tmp_path}",))
        with pytest.raises(InputError, match="b=c"):
            index_sources(served)
        sources = index_sources(ServedOptions(index=served.index, bm25=(f"x={tmp_path}",)))
        assert [(source.name, source.directory.name) for source in sources] == [("x", "a"), ("b=c", "b=c")]

    @pytest.mark.parametrize("text", ["", "# nothing\n", "short\n", f"{KEY} with spaces\n"])
    def test_a_file_without_good_keys_is_refused(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "keys").write_text(text)
        with pytest.raises(InputError) as refused:
            read_api_keys(tmp_path / "keys")
        assert KEY not in str(refused.value), "keys are not shown"

    def test_keys_have_comments(self, tmp_path: Path) -> None:
        (tmp_path / "keys").write_text(f"# ours\n{KEY}  # of the shop\n")
        assert read_api_keys(tmp_path / "keys").allow([(b"x-api-key", KEY.encode())])


class TestErrors:
    @pytest.mark.parametrize(
        "message", ["/srv/a is gone", "see ../b.", "~/x", "file '/a'", "C:\\x", "is ./indexes/mine whole?"]
    )
    def test_a_message_with_an_unknown_path_is_not_shown(self, message: str) -> None:
        assert without_paths(message, {}, "no") == "no"

    def test_known_paths_are_named(self) -> None:
        message = "Index /srv/pets has no document 'a/b'.\nExpected an id."
        assert without_paths(message, {"/srv/pets": "pets", "/srv": "x"}, "no") == (
            "Index pets has no document 'a/b'. Expected an id."
        )


class TestBatcher:
    def test_an_error_reaches_the_request_that_caused_it(self) -> None:
        begin = threading.Event()

        def run(items: Sequence[int]) -> list[float]:
            begin.wait(10)
            return [1 / item for item in items]

        async def ask() -> list[Any]:
            tasks = [asyncio.create_task(batcher.submit(item)) for item in (1, 0, 2, 4)]
            await asyncio.sleep(0)
            begin.set()
            return await asyncio.gather(*tasks, return_exceptions=True)

        batcher = Batcher("test", run, size=8, limit=8, waited=lambda _: None)
        results = asyncio.run(ask())
        batcher.close()
        assert results[0::2] == [1.0, 0.5]
        assert results[3] == 0.25
        assert isinstance(results[1], ZeroDivisionError)

    def test_the_queue_does_not_grow(self) -> None:
        begin = threading.Event()

        def run(items: Sequence[int]) -> Sequence[int]:
            begin.wait(10)
            return items

        async def ask() -> list[Any]:
            tasks = [asyncio.create_task(batcher.submit(item)) for item in range(20)]
            await asyncio.sleep(0)
            begin.set()
            return await asyncio.gather(*tasks, return_exceptions=True)

        batcher = Batcher("test", run, size=2, limit=4, waited=lambda _: None)
        results = asyncio.run(ask())
        batcher.close()
        refused = [result for result in results if isinstance(result, RequestError)]
        assert {error.status_code for error in refused} == {503}
        assert 14 <= len(refused) <= 16, "the thread may have taken a batch"


@contextlib.contextmanager
def serving(directory: Path, *options: object) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Run the command; yield its process and address."""
    command = [sys.executable, "-m", "splade_anserini", "serve", "--index", directory, "--port", 0, *options]
    with subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            assert process.stdout
            lines = iter(process.stdout.readline, "")
            address = next(match[0] for line in lines if (match := re.search(r"http://\S+", line)))
            yield process, address
        finally:
            process.kill()


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def is_listening(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port)).close()
    except ConnectionError:
        return False
    return True


@pytest.mark.slow
class TestProcess:
    def test_it_ends_on_sigterm_after_the_requests_that_run(self, home: Path) -> None:
        with serving(home / "pets") as (process, address):
            host, port = address.removeprefix("http://").split(":")
            with socket.create_connection((host, int(port))) as connection:
                body = b'{"query": "cats"}'
                lines = ["POST /v1/search HTTP/1.1", "Host: x", "Content-Type: application/json"]
                head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode()
                connection.sendall(head + body[:5])
                # Two: it and the one that asks.
                wait_until(lambda: b"requests_pending 2.0" in urllib.request.urlopen(f"{address}/metrics").read())
                process.send_signal(signal.SIGTERM)
                wait_until(lambda: not is_listening(host, int(port)))
                connection.sendall(body[5:])
                answer = connection.makefile("rb").read()
            assert b"200 OK" in answer
            assert b'"id":"d0"' in answer
            assert process.wait(20) == 0

    def test_a_port_in_use_is_a_sentence(self, home: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            done = run_stage("serve", "--index", home / "pets", "--port", taken.getsockname()[1])
        assert done.code == 2
        assert "cannot listen at 127.0.0.1" in done.err
