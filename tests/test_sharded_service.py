"""A service whose shards are searched elsewhere answers as one process does, and says which shard is missing."""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="serve is an extra")

from starlette.testclient import TestClient

from splade_anserini.artifacts.sharded_index import shard_directories
from splade_anserini.errors import InputError, MismatchError, WorkerError
from splade_anserini.serving.opened_index import index_sources
from splade_anserini.serving.options import LimitOptions, ServedOptions
from splade_anserini.serving.ray_options import MissingShards, RayServeOptions, replica_range
from splade_anserini.serving.replicas import EncoderReplica, OtherDeployment, Replica, ShardReplica
from splade_anserini.serving.server import gated
from splade_anserini.serving.sharded_service import ServedReplicas, ShardedService, Unanswered, checked
from splade_anserini.serving.shards import sharded_indexes
from tests.served_shards import REQUESTS, SHARDS, TEXTS, client_of, write_sharded_index

LIMITS = LimitOptions(max_hits=100, max_query=50, cache=10)


class Direct:
    """Replicas in this process; `failure` is raised instead of an answer."""

    def __init__(self, name: str, replica: Replica) -> None:
        self.name, self.replica = name, replica
        self.failure: Exception | None = None

    async def call(self, method: str, *arguments: Any) -> Any:
        if self.failure:
            raise self.failure
        return checked(self.name, await getattr(self.replica, method)(*arguments))


class Sharded:
    """A sharded service and what it consists of."""

    def __init__(self, served: ServedOptions) -> None:
        self.indexes = sharded_indexes(index_sources(served), served)
        settings = (served, "this", 1.0, 100, 5.0)
        self.encoder = Direct("encoder", EncoderReplica(self.indexes, *settings))
        self.shards = {
            shard.name: Direct(shard.name, ShardReplica(index, shard, *settings))
            for index in self.indexes
            for shard in index.all_shards
        }

    def client(self, missing: MissingShards = "error") -> TestClient:
        replicas = ServedReplicas(self.encoder, self.shards)
        return TestClient(gated(ShardedService(self.indexes, replicas, LIMITS, missing)), raise_server_exceptions=False)

    def fail(self, *names: str, status: int = 503, reason: str = "is not available") -> contextlib.ExitStack:
        """Let shards not answer, until the end of a block."""
        stack = contextlib.ExitStack()
        for name in names:
            self.shards[name].failure = Unanswered(name, status, reason)
            stack.callback(setattr, self.shards[name], "failure", None)
        return stack


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> ServedOptions:
    index = write_sharded_index(tmp_path_factory.mktemp("shards"))
    return ServedOptions(index=(str(index),), bm25=(str(index.parent / "texts"),))


@pytest.fixture(scope="module")
def one_process(served: ServedOptions) -> Iterator[TestClient]:
    with client_of(served, LIMITS) as client:
        yield client


@pytest.fixture(scope="module")
def sharded(served: ServedOptions) -> Sharded:
    return Sharded(served)


def problem(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.text
    message: str = answer.json()["error"]["message"]
    return message


def ids_of(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [hit["id"] for hit in answer.json()["hits"]]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "url", "body"), REQUESTS)
def test_answers_are_those_of_one_process(
    method: str, url: str, body: Any, one_process: TestClient, sharded: Sharded
) -> None:
    expected = one_process.request(method, url, json=body)
    answer = sharded.client().request(method, url, json=body)
    assert answer.status_code == expected.status_code
    assert answer.content == expected.content


@pytest.mark.slow
class TestMissingShards:
    def test_a_search_without_a_shard_is_an_error_that_names_it(self, sharded: Sharded) -> None:
        with sharded.fail("pets-shard-0001"):
            answer = sharded.client().get("/v1/search?q=cats")
        message = "Index pets cannot be searched completely: shard pets-shard-0001 is not available."
        assert problem(answer, 503) == message
        assert answer.json()["error"]["type"] == "missing_shards"
        assert answer.headers["retry-after"] == "1"
        assert len(ids_of(sharded.client().get("/v1/search?q=cats&k=20"))) > 1

    def test_a_shard_that_takes_too_long_is_another_error(self, sharded: Sharded) -> None:
        with sharded.fail("pets-shard-0001", status=504, reason="did not answer within 5 s"):
            answer = sharded.client().get("/v1/search?q=cats")
        assert "shard pets-shard-0001 did not answer within 5 s." in problem(answer, 504)

    def test_a_report_names_the_shard_and_has_the_other_hits_as_they_are(
        self, sharded: Sharded, one_process: TestClient
    ) -> None:
        url = "/v1/search?q=cats+dogs&k=20&terms=true"
        complete = one_process.get(url).json()
        client = sharded.client("report")
        with sharded.fail("pets-shard-0000"):
            answer = client.get(url).json()
        assert answer.pop("missing_shards") == ["pets-shard-0000"]
        kept = {hit["id"]: hit for hit in answer["hits"]}
        assert 0 < len(kept) < len(complete["hits"])
        expected = [hit for hit in complete["hits"] if hit["id"] in kept]
        assert [{**hit, "rank": 0} for hit in answer["hits"]] == [{**hit, "rank": 0} for hit in expected]
        assert client.get(url).json() == complete, "what was incomplete is not kept in the cache"

    def test_scores_with_idf_are_those_of_the_whole_index(self, sharded: Sharded, one_process: TestClient) -> None:
        body = {"query": "cats dogs", "query_idf": 2, "k": 20}
        scores = {hit["id"]: hit["score"] for hit in one_process.post("/v1/search", json=body).json()["hits"]}
        with sharded.fail("pets-shard-0000"):
            hits = sharded.client("report").post("/v1/search", json=body).json()["hits"]
        assert hits
        assert all(hit["score"] == scores[hit["id"]] for hit in hits)

    def test_without_any_shard_a_report_is_an_error_too(self, sharded: Sharded) -> None:
        with sharded.fail(*(f"pets-shard-000{number}" for number in range(SHARDS))):
            problem(sharded.client("report").get("/v1/search?q=cats"), 503)

    @pytest.mark.parametrize("missing", ["error", "report"])
    def test_a_document_of_a_missing_shard_is_not_said_to_be_absent(
        self, sharded: Sharded, missing: MissingShards
    ) -> None:
        client = sharded.client(missing)
        by_shard = {
            id_: shard.name
            for shard in sharded.shards.values()
            if shard.name != "pets-texts"
            for id_ in TEXTS
            if asyncio.run(shard.call("document", id_))[0]
        }
        assert sorted(by_shard) == sorted(TEXTS)
        with sharded.fail(by_shard["d3"]):
            body = {"query": "cats", "id": "d3"}
            assert by_shard["d3"] in problem(client.post("/v1/explain", json=body), 503)
            other = next(id_ for id_ in TEXTS if by_shard[id_] != by_shard["d3"])
            assert client.post("/v1/explain", json={**body, "id": other}).status_code == 200

    @pytest.mark.parametrize("engine", ["bm25", "hybrid"])
    def test_without_the_text_index_there_is_no_answer(self, sharded: Sharded, engine: str) -> None:
        with sharded.fail("pets-texts"):
            answer = sharded.client("report").get(f"/v1/search?q=cats&engine={engine}")
        assert "shard pets-texts is not available" in problem(answer, 503)

    def test_without_the_encoder_there_is_no_answer(self, sharded: Sharded) -> None:
        sharded.encoder.failure = Unanswered("encoder", 504, "did not answer within 5 s")
        try:
            answer = sharded.client("report").get("/v1/search?q=cats")
        finally:
            sharded.encoder.failure = None
        assert problem(answer, 504) == "The query encoder did not answer within 5 s."

    def test_a_shard_that_fails_is_missing(self, sharded: Sharded, monkeypatch: pytest.MonkeyPatch) -> None:
        replica: Any = sharded.shards["pets-shard-0001"].replica
        monkeypatch.setattr(replica._opened, "weighted", lambda *_: 1 / 0)
        assert "shard pets-shard-0001 failed" in problem(sharded.client().get("/v1/search?q=cats"), 500)
        answer = sharded.client("report").get("/v1/search?q=cats").json()
        assert answer["missing_shards"] == ["pets-shard-0001"]

    def test_missing_shards_are_counted(self, sharded: Sharded) -> None:
        client = sharded.client("report")
        with sharded.fail("pets-shard-0001"):
            client.get("/v1/search?q=cats")
        assert 'splade_anserini_missing_shards_total{shard="pets-shard-0001"} 1.0' in client.get("/metrics").text


@pytest.mark.slow
def test_a_replica_whose_thread_hangs_is_not_healthy(sharded: Sharded, monkeypatch: pytest.MonkeyPatch) -> None:
    replica = sharded.shards["pets-shard-0000"].replica
    replica.check_health()
    monkeypatch.setattr(type(replica._batcher), "running_for", 15.1)
    with pytest.raises(WorkerError, match="running for 15 s"):
        replica.check_health()


@pytest.mark.slow
def test_a_replica_of_another_deployment_does_not_answer(sharded: Sharded) -> None:
    replica = sharded.shards["pets-shard-0000"].replica
    assert asyncio.run(replica.answer("other", "document", "d1")) == OtherDeployment()
    assert asyncio.run(replica.answer("this", "document", "d1"))[0] in {True, False}


@pytest.mark.slow
def test_a_shard_that_was_changed_after_the_deployment_is_refused(served: ServedOptions, sharded: Sharded) -> None:
    (index,) = sharded.indexes
    with pytest.raises(MismatchError, match="was changed after the service was deployed"):
        ShardReplica(index, replace(index.shards[0], fingerprint="another"), served, "this", 1.0, 100, 5.0)


@pytest.mark.slow
def test_shards_have_names_of_their_own(served: ServedOptions) -> None:
    shard = shard_directories(Path(served.index[0]))[0]
    options = ServedOptions(index=(*served.index, f"pets-shard-0000={shard}"))
    with pytest.raises(InputError, match="Two shards have the name pets-shard-0000"):
        sharded_indexes(index_sources(options), options)


@pytest.mark.parametrize(("text", "expected"), [("3", (3, 3)), ("1-8", (1, 8)), ("2-2", (2, 2))])
def test_a_number_of_replicas_is_read(text: str, expected: tuple[int, int]) -> None:
    assert replica_range(text) == expected


@pytest.mark.parametrize("text", ["", "0", "0-2", "3-2", "many", "-1", "1-", "1:2"])
def test_a_number_of_replicas_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--shard-replicas is"):
        RayServeOptions(ray=True, shard_replicas=text)


@pytest.mark.parametrize("options", [{"missing_shards": "report"}, {"shard_replicas": "2"}, {"shard_timeout": 1.0}])
def test_options_of_ray_need_ray(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="needs --ray or --ray-address"):
        RayServeOptions(**options)
    assert RayServeOptions(ray_address="auto", **options).on_ray
