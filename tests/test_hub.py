"""Pushing to the Hugging Face Hub: to a local HTTP server that answers as the Hub does, and without one."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub
import huggingface_hub.constants
import pytest

from splade_anserini.errors import InputError, OutputError
from splade_anserini.training.hub import push_to_hub, require_hub
from tests.training_fixtures import run_train

TOKEN = "hf_" + "x" * 34


class Hub(ThreadingHTTPServer):
    """The requests of an upload, answered as by the Hub, with every file inside the commit itself."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Requests)
        self.created: list[dict[str, Any]] = []
        self.commits: list[dict[str, bytes]] = []
        self.read_only = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Requests(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        if self.path == "/api/whoami-v2":
            known = self.headers["authorization"] == f"Bearer {TOKEN}"
            self._answer(
                {"name": "me", "type": "user"} if known else {"error": "Invalid credentials"}, 401 - 201 * known
            )
        else:
            self._answer({"error": "Not found"}, 404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.server.read_only:
            self._answer({"error": "You do not have the rights to create a model"}, 403)
        elif self.path == "/api/repos/create":
            self.server.created.append(json.loads(body))
            self._answer({"url": f"{self.server.url}/me/tiny"})
        elif self.path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": []})
        elif self.path == "/api/models/me/tiny/preupload/main":
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in json.loads(body)["files"]
            ]
            self._answer({"files": files})
        elif self.path == "/api/models/me/tiny/commit/main":
            lines = [json.loads(line) for line in body.splitlines()]
            files_of_commit = [line["value"] for line in lines if line["key"] == "file"]
            self.server.commits.append({file["path"]: base64.b64decode(file["content"]) for file in files_of_commit})
            self._answer({"success": True, "commitOid": "0" * 40, "commitUrl": f"{self.server.url}/me/tiny/commit/0"})
        else:
            self._answer({"error": "Not found"}, 404)

    def _answer(self, content: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name in the base class
        """Print nothing."""


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    server = Hub()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", server.url)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    directory = tmp_path / "tiny"
    (directory / "query").mkdir(parents=True)
    (directory / "README.md").write_text('---\nlicense: "mit"\n---\n\n# tiny\n')
    (directory / "output.manifest").write_text("{}")
    (directory / "splade.manifest").write_text("{}")
    (directory / "query" / "model.safetensors").write_bytes(bytes(range(256)))
    return directory


def test_a_checkpoint_is_uploaded_to_a_private_repository_without_the_names_of_its_inputs(
    hub: Hub, checkpoint: Path
) -> None:
    require_hub("me/tiny")
    assert push_to_hub(checkpoint, "me/tiny") == f"{hub.url}/me/tiny"
    (created,) = hub.created
    assert created["name"] == "tiny"
    assert created.get("visibility") == "private" or created.get("private") is True
    (files,) = hub.commits
    assert files == {
        name: (checkpoint / name).read_bytes() for name in ("README.md", "splade.manifest", "query/model.safetensors")
    }


@pytest.mark.parametrize("repository", ["a b/c", "me/you/tiny", "me/", "--"])
def test_an_invalid_id_is_refused_without_asking_the_hub(hub: Hub, repository: str) -> None:
    with pytest.raises(InputError, match="is not a valid repository id") as caught:
        require_hub(repository)
    assert "NAME or USER/NAME" in str(caught.value)


def test_without_a_token_nothing_is_asked(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(InputError, match=r"needs a token of Hugging Face(.|\n)*Run hf auth login, or set HF_TOKEN."):
        require_hub("me/tiny")


def test_a_token_that_the_hub_refuses_is_refused(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_" + "y" * 34)
    with pytest.raises(InputError, match=r"refuses the token \(401\)"):
        require_hub("me/tiny")


def test_a_token_that_may_not_write_is_refused_and_the_checkpoint_stays(hub: Hub, checkpoint: Path) -> None:
    hub.read_only = True
    with pytest.raises(InputError, match=r"could not be pushed to me/tiny(.|\n)*refuses the token \(403\)"):
        push_to_hub(checkpoint, "me/tiny")
    assert not hub.commits
    assert (checkpoint / "README.md").is_file()


@pytest.mark.parametrize("pushed", [False, True])
def test_without_a_network_the_message_says_how_to_push_later(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, pushed: bool
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(OutputError, match=r"http://127.0.0.1:1 cannot be used") as caught:
        push_to_hub(checkpoint, "me/tiny") if pushed else require_hub("me/tiny")
    assert "Train without --push-to-hub; the same command with it then pushes" in str(caught.value)


def test_offline_mode_is_a_missing_network(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(OutputError, match="cannot be used"):
        require_hub("me/tiny")


# The command.


@pytest.mark.slow
def test_train_pushes_what_it_wrote_and_again_when_it_is_up_to_date(
    hub: Hub, training_home: Path, tmp_path: Path
) -> None:
    output = tmp_path / "pushed"
    done = run_train(training_home, output)
    assert (done.code, hub.commits) == (0, []), done.err
    done = run_train(training_home, output, "--push-to-hub", "me/tiny")
    assert done.code == 0, done.err
    assert "is up to date" in done.out
    assert f"Pushed to {hub.url}/me/tiny" in done.err
    assert hub.commits[0]["model.safetensors"] == (output / "model.safetensors").read_bytes()
    assert "output.manifest" not in hub.commits[0]
    done = run_train(training_home, tmp_path / "other", "--push-to-hub", "me/tiny", "--format", "json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["steps"] == 6
    assert hub.commits[1]["README.md"] == (tmp_path / "other" / "README.md").read_bytes()


@pytest.mark.slow
def test_train_does_not_begin_when_it_could_not_push(
    training_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:1")
    done = run_train(training_home, tmp_path / "out", "--push-to-hub", "me/tiny")
    assert (done.code, "cannot be used" in done.err) == (2, True), done.err
    assert not list(tmp_path.iterdir())
