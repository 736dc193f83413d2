"""serve on Ray: the answers of one process, whichever replica is killed or hangs."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="serve is an extra")
pytest.importorskip("ray", reason="Ray is not installed: pip install '.[ray]'")
pytest.importorskip("ray.serve", reason="Ray Serve is not installed: pip install '.[ray]'")

from starlette.testclient import TestClient

from splade_anserini.errors import InputError
from splade_anserini.serving.options import LimitOptions, ServedOptions
from splade_anserini.serving.ray_options import RayServeOptions
from splade_anserini.serving.ray_serve import application, build, prepare
from splade_anserini.workers.options import WorkerOptions
from splade_anserini.workers.ray_cluster import open_cluster
from tests.served_shards import REQUESTS, SHARDS, TEXTS, client_of, write_sharded_index
from tests.worker_fixtures import descendants, title_of, wait_until_ended

NAME = "pets"
LIMITS = LimitOptions(max_hits=100, max_query=50, cache=0)
FIRST = "pets-shard-0000"
KEY = "0123456789abcdef-key"


@pytest.fixture(scope="module")
def with_texts(tmp_path_factory: pytest.TempPathFactory) -> ServedOptions:
    index = write_sharded_index(tmp_path_factory.mktemp("shards"))
    return ServedOptions(index=(str(index),), bm25=(str(index.parent / "texts"),))


@pytest.fixture(scope="module")
def served(with_texts: ServedOptions) -> ServedOptions:
    return replace(with_texts, bm25=())


@pytest.fixture(scope="module")
def one_process(served: ServedOptions) -> Iterator[TestClient]:
    with client_of(served, LIMITS) as client:
        yield client


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Ray Serve on this machine; its address."""
    with socket.create_server(("127.0.0.1", 0)) as opened:
        port = opened.getsockname()[1]
    with open_cluster(WorkerOptions(ray=True)):
        from ray import serve

        serve.start(http_options={"host": "127.0.0.1", "port": port}, proxy_location="HeadOnly")
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def deployed(served: ServedOptions, **options: Any) -> Iterator[None]:
    """Serve in the cluster during a block."""
    from ray import serve

    settings = RayServeOptions(ray=True, **options)
    serve.run(build(prepare(served, LIMITS, settings, None)), name=NAME, route_prefix="/")
    try:
        yield
    finally:
        serve.delete(NAME)


def ask(url: str, method: str = "GET", body: Any = None, key: str = "") -> tuple[int, bytes]:
    """Return the status and the body of an answer."""
    headers = {"Content-Type": "application/json", "X-API-Key": key}
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url.replace(">", "%3E").replace("<", "%3C"), data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def message_of(body: bytes) -> str:
    message: str = json.loads(body)["error"]["message"]
    return message


def processes_of(deployment: str) -> list[int]:
    """Return the processes of the replicas of a deployment."""
    return [pid for pid in descendants(os.getpid()) if f":{deployment}".encode() in title_of(pid)]


def process_of(deployment: str) -> int:
    """Return the process of the only replica of a deployment."""
    (process,) = processes_of(deployment)
    return process


def deployments_of(app: Any) -> dict[str, Any]:
    """Return the deployments of an application by their names."""
    ingress = app._bound_deployment
    others = [child._bound_deployment for child in ingress.init_args]
    return {deployment.name: deployment for deployment in (ingress, *others)}


def wait_for(url: str, expected: tuple[int, bytes]) -> None:
    """Ask until the expected answer comes, at most three minutes."""
    deadline = time.monotonic() + 180
    while (answer := ask(url)) != expected:
        assert time.monotonic() < deadline, answer
        time.sleep(0.1)


def check_all(address: str, one_process: TestClient) -> None:
    """Check that every request is answered as one process does."""
    for method, url, body in REQUESTS:
        expected = one_process.request(method, url, json=body)
        assert ask(f"{address}{url}", method, body) == (expected.status_code, expected.content), url


@pytest.mark.full
def test_bm25_is_that_of_one_process(with_texts: ServedOptions, cluster: str) -> None:
    with client_of(with_texts, LIMITS) as one_process, deployed(with_texts):
        check_all(cluster, one_process)


@pytest.mark.slow
def test_answers_are_those_of_one_process_also_after_a_replica_was_killed(
    served: ServedOptions, one_process: TestClient, cluster: str
) -> None:
    with deployed(served, shard_timeout=5.0):
        check_all(cluster, one_process)
        url = "/v1/search?q=cats+dogs&k=20"
        os.kill(process_of(FIRST), signal.SIGKILL)
        status, content = ask(f"{cluster}{url}")
        assert status == 200 or FIRST in message_of(content)
        wait_for(f"{cluster}{url}", (200, one_process.get(url).content))


@pytest.mark.slow
def test_arguments_of_the_application_are_options_of_the_command(served: ServedOptions, cluster: str) -> None:
    options = {"index": served.index[0], "encoder-replicas": "1-4", "target-ongoing-requests": "3", "cache": 0}
    deployments = deployments_of(application(options))
    assert set(deployments) == {"http", "encoder", *(f"pets-shard-000{number}" for number in range(SHARDS))}
    scaling = deployments["encoder"]._deployment_config.autoscaling_config
    assert (scaling.min_replicas, scaling.max_replicas, scaling.target_ongoing_requests) == (1, 4, 3)
    assert deployments[FIRST].num_replicas == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        ({"indexes": "x"}, "no argument 'indexes'"),
        ({"cache": "many"}, "argument cache of the application is not valid: Input should be a valid integer"),
        ({"writable": True}, "--writable needs a service of one process"),
        ({"shard-timeout": 10}, "must be less than --timeout (10 s)"),
        ({"missing-shards": "ignore"}, "argument missing-shards of"),
    ],
)
def test_arguments_that_are_not_valid_are_refused(
    served: ServedOptions, cluster: str, options: dict[str, Any], fragment: str
) -> None:
    with pytest.raises(InputError) as caught:
        application({"index": served.index, **options})
    assert fragment in str(caught.value)


class Requests(threading.Thread):
    """Asks again and again, and keeps what is not the expected answer."""

    def __init__(self, url: str, expected: bytes) -> None:
        super().__init__(daemon=True)
        self._url, self._expected = url, expected
        self.count = 0
        self.others: list[tuple[int, bytes]] = []
        self.ended = threading.Event()
        self.start()

    def run(self) -> None:
        while not self.ended.is_set():
            status, body = ask(self._url)
            self.count += 1
            if (status, body) != (200, self._expected):
                self.others.append((status, body))


@contextlib.contextmanager
def many_requests(url: str, expected: bytes) -> Iterator[list[Requests]]:
    """Ask for the same from four threads during a block."""
    threads = [Requests(url, expected) for _ in range(4)]
    try:
        yield threads
    finally:
        for thread in threads:
            thread.ended.set()
        for thread in threads:
            thread.join(60)


@pytest.mark.full
class TestKilledAndHanging:
    URL = "/v1/search?q=cats+dogs&k=20"

    def test_a_replica_that_is_killed_during_requests_never_leads_to_fewer_hits(
        self, served: ServedOptions, one_process: TestClient, cluster: str
    ) -> None:
        expected = one_process.get(self.URL).content
        with deployed(served, shard_timeout=1.0):
            with many_requests(f"{cluster}{self.URL}", expected) as threads:
                time.sleep(1)
                for name in (FIRST, "pets-shard-0001", "encoder"):
                    os.kill(process_of(name), signal.SIGKILL)
                    time.sleep(1)
                    wait_for(f"{cluster}{self.URL}", (200, expected))
            assert sum(thread.count for thread in threads) > 50
            for status, body in (other for thread in threads for other in thread.others):
                assert status in {503, 504}
                message = message_of(body)
                assert any(name in message for name in (FIRST, "pets-shard-0001", "query encoder")), message

    def test_with_two_replicas_of_a_shard_the_death_of_one_is_not_noticed(
        self, served: ServedOptions, one_process: TestClient, cluster: str
    ) -> None:
        expected = one_process.get(self.URL).content
        with deployed(served, shard_replicas="2"):
            with many_requests(f"{cluster}{self.URL}", expected) as threads:
                time.sleep(1)
                os.kill(processes_of(FIRST)[0], signal.SIGKILL)
                time.sleep(5)
            assert sum(thread.count for thread in threads) > 50
            assert not [other for thread in threads for other in thread.others]

    def test_a_shard_that_hangs_is_named_and_replaced(
        self, served: ServedOptions, one_process: TestClient, cluster: str
    ) -> None:
        with deployed(served, shard_timeout=1.0):
            hanging = process_of(FIRST)
            os.kill(hanging, signal.SIGSTOP)
            try:
                start = time.monotonic()
                status, body = ask(f"{cluster}{self.URL}")
                assert time.monotonic() - start < 5
                assert status == 504
                assert f"shard {FIRST} did not answer within 1 s" in message_of(body)
                wait_for(f"{cluster}{self.URL}", (200, one_process.get(self.URL).content))
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(hanging, signal.SIGKILL)

    def test_a_report_has_the_other_hits_and_names_the_shard(
        self, served: ServedOptions, one_process: TestClient, cluster: str
    ) -> None:
        complete = one_process.get(self.URL).json()
        with deployed(served, shard_timeout=1.0, missing_shards="report"):
            hanging = process_of(FIRST)
            os.kill(hanging, signal.SIGSTOP)
            try:
                status, body = ask(f"{cluster}{self.URL}")
            finally:
                os.kill(hanging, signal.SIGCONT)
            assert status == 200
            answer = json.loads(body)
            assert answer["missing_shards"] == [FIRST]
            kept = [hit["id"] for hit in answer["hits"]]
            scores = {hit["id"]: hit["score"] for hit in complete["hits"]}
            assert 0 < len(kept) < len(scores)
            assert [hit["score"] for hit in answer["hits"]] == [scores[id_] for id_ in kept]
            assert kept == [id_ for id_ in scores if id_ in kept]
            wait_for(f"{cluster}{self.URL}", (200, one_process.get(self.URL).content))

    def test_the_only_replica_of_a_shard_that_cannot_start_again_is_named_until_it_can(
        self, served: ServedOptions, one_process: TestClient, cluster: str
    ) -> None:
        shard = Path(served.index[0]) / "shard-0000"
        away = shard.with_name("away")
        with deployed(served, shard_timeout=1.0):
            shard.rename(away)
            try:
                os.kill(process_of(FIRST), signal.SIGKILL)
                status, body = ask(f"{cluster}{self.URL}")
                assert status in {503, 504}
                assert FIRST in message_of(body)
                assert str(shard.parent) not in message_of(body)
            finally:
                away.rename(shard)
            wait_for(f"{cluster}{self.URL}", (200, one_process.get(self.URL).content))


@pytest.mark.full
def test_while_it_is_deployed_again_hits_of_two_states_are_never_mixed(
    served: ServedOptions, one_process: TestClient, cluster: str, tmp_path: Path
) -> None:
    url = "/v1/search?q=cats+dogs&k=20"
    later = write_sharded_index(tmp_path, {f"new-{id_}": text for id_, text in reversed(TEXTS.items())})
    later_served = replace(served, index=(str(later),))
    with client_of(later_served, LIMITS) as client:
        expected = client.get(url).content
    with deployed(served), many_requests(f"{cluster}{url}", one_process.get(url).content) as threads:
        time.sleep(1)
        with deployed(later_served):
            wait_for(f"{cluster}{url}", (200, expected))
            others = [other for thread in threads for other in thread.others]
    assert (200, expected) in others
    assert all(body == expected for status, body in others if status == 200)
    assert {status for status, _ in others} <= {200, 503, 504}


@pytest.mark.full
def test_the_command_serves_until_it_is_told_to_end(served: ServedOptions, tmp_path: Path) -> None:
    (tmp_path / "keys.txt").write_text(KEY)
    command = [sys.executable, "-m", "splade_anserini", "serve", "--ray", "--index", served.index[0], "--port", "0"]
    process = subprocess.Popen([*command, "--api-keys", tmp_path / "keys.txt"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Searches are answered at http://127.0.0.1:"), line
        url = line.split()[-1]
        assert ask(f"{url}/healthz")[0] == 200
        assert ask(f"{url}/v1/search?q=cats")[0] == 401
        assert json.loads(ask(f"{url}/v1/search?q=cats", key=KEY)[1])["hits"]
        children = descendants(process.pid)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert process.stdout.read() == "The service has ended.\n"
        wait_until_ended(children)
    finally:
        process.kill()
