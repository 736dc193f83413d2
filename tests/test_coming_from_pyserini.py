"""What docs/coming-from-pyserini.md tells people to type works as it stands, on a machine without Java."""

import asyncio
import importlib.util
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest

from splade_anserini.formats.runs import read_run
from tests.cli_runner import run_stage
from tests.doc_blocks import parse

PAGE = (Path(__file__).parent.parent / "docs" / "coming-from-pyserini.md").read_text(encoding="utf-8")
TEXTS = {"d1": "Ibuprofen relieves a headache.", "d2": "Planes fly faster than sound.", "d3": "Cats sleep all day."}

pytestmark = pytest.mark.slow
needs_faiss = pytest.mark.skipif(
    importlib.util.find_spec("faiss") is None, reason="Pyserini's servers import faiss: pip install faiss-cpu"
)


def blocks(language: str) -> list[str]:
    """Return the blocks of a language that are not marked as those of another tool."""
    return [block.text for block in parse(PAGE) if block.language == language and not block.reason]


def commands(program: str) -> list[list[str]]:
    """Return the commands of a program in the page's blocks that are marked sh, without the program."""
    lines = [shlex.split(line) for block in parse(PAGE) if not block.reason for line in block.commands]
    start = program.split()
    return [line[len(start) :] for line in lines if line[: len(start)] == start]


def without_java() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "JAVA_HOME"} | {"PATH": "/nowhere"}


def python(directory: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=directory, env=without_java(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working directory in which the page's commands of this package have run."""
    directory, before = tmp_path_factory.mktemp("coming"), Path.cwd()
    os.chdir(directory)
    Path("corpus.jsonl").write_text("".join(json.dumps({"id": k, "text": v}) + "\n" for k, v in TEXTS.items()))
    Path("topics.tsv").write_text("1\tpain in the head\n2\tsupersonic aircraft\n")
    Path("qrels.txt").write_text("1 0 d1 1\n2 0 d2 1\n")
    try:
        for command in commands("splade-anserini"):
            done = run_stage(*command)
            assert done.code == 0, done.err
            Path(f"printed.{command[0]}.txt").write_text(done.out)
        yield directory
    finally:
        os.chdir(before)


def test_every_command_of_the_page_that_is_not_marked_is_run_here() -> None:
    programs = {line.split()[0] for block in blocks("sh") for line in block.replace("\\\n", " ").splitlines() if line}
    assert programs == {"splade-anserini", "python", "curl"}
    modules = [words[0] for words in commands("python -m splade_anserini.pyserini")]
    assert modules == ["search.lucene", "eval.trec_eval", "server.rest", "server.mcp"]
    assert len(commands("curl")) == 1


def test_each_command_of_this_package_stands_below_that_of_pyserini(directory: Path) -> None:
    names = [command[0] for command in commands("splade-anserini")]
    assert names == ["encode", "index", "search", "search", "fuse", "evaluate"]
    theirs = re.findall(r"^    python -m pyserini\.([\w.]+)", PAGE, flags=re.MULTILINE)
    assert theirs == ["encode", "index.lucene", "search.lucene", "search.lucene", "fusion", "eval.trec_eval"]
    assert "1.0000" in (directory / "printed.evaluate.txt").read_text()


def test_the_modules_of_pyserini_give_the_same_run_and_measure_it(directory: Path) -> None:
    search, evaluate, *_ = commands("python -m splade_anserini.pyserini")
    python(directory, "-m", "splade_anserini.pyserini", *search)
    runs = [
        [(row.query_id, row.doc_id) for row in read_run(directory / name)] for name in ("run.txt", "run.pyserini.txt")
    ]
    assert runs[0] == runs[1] != []
    assert "1.0000" in python(directory, "-m", "splade_anserini.pyserini", *evaluate)


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_the_python_blocks_find_the_document_about_headaches(number: int, directory: Path) -> None:
    assert python(directory, "-c", blocks("python")[number]).split()[0] == "d1"


# Servers.


@pytest.fixture(scope="module")
def configuration(directory: Path) -> Path:
    (block,) = blocks("yaml")
    (directory / "server.yaml").write_text(block)
    return directory


@pytest.fixture(scope="module")
def rest(configuration: Path) -> Iterator[str]:
    """The REST server, started as the page does, on a free port: the address of its interface."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    options = ["--host", "127.0.0.1", "--port", port, "--config", "server.yaml", "--no-prebuilt-indexes"]
    assert "server.rest --host 127.0.0.1 --port 8081 \\\n      --config server.yaml --no-prebuilt-indexes" in PAGE
    log = configuration / "server.log"
    with log.open("w") as file:
        command = [sys.executable, "-m", "splade_anserini.pyserini", "server.rest", *options]
        server = subprocess.Popen(command, cwd=configuration, env=without_java(), stdout=file, stderr=file)
        try:
            while not is_up(f"http://127.0.0.1:{port}/"):
                assert server.poll() is None, log.read_text()
                time.sleep(0.5)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()
            server.wait()


def is_up(url: str) -> bool:
    try:
        with urllib.request.urlopen(url):
            return True
    except URLError:
        return False


def get(url: str) -> Any:
    with urllib.request.urlopen(url) as response:
        return json.load(response)


@needs_faiss
def test_the_rest_server_answers_with_the_hits_of_our_encoder_and_index(rest: str, configuration: Path) -> None:
    from splade_anserini import FastLuceneImpactSearcher

    with FastLuceneImpactSearcher(configuration / "index", "splade-mini-v2") as searcher:
        expected = [(hit.docid, hit.score) for hit in searcher.search("pain in the head", 2)]
    hits = get(f"{rest}/mine/search?query=pain+in+the+head&hits=2")["candidates"]
    assert [(hit["docid"], hit["score"]) for hit in hits] == expected != []
    # A document with no other field than its text is the text.
    assert hits[0]["doc"] == TEXTS["d1"]
    assert get(f"{rest}/mine/doc/d2")["doc"] == TEXTS["d2"]


@needs_faiss
def test_the_rest_server_answers_eight_connections_without_an_error(rest: str) -> None:
    urls = [f"{rest}/mine/search?query=pain+in+the+head+{number}&hits=3" for number in range(1000)]
    with ThreadPoolExecutor(8) as threads:
        # An answer of HTTP 500 raises HTTPError.
        assert all(answer["candidates"] for answer in threads.map(get, urls))


@needs_faiss
def test_the_mcp_server_answers_with_the_hits_of_our_encoder_and_index(configuration: Path) -> None:
    fastmcp = pytest.importorskip("fastmcp")
    from fastmcp.client.transports import StdioTransport

    assert "python -m splade_anserini.pyserini server.mcp --config server.yaml" in PAGE
    arguments = ["-m", "splade_anserini.pyserini", "server.mcp", "--config", "server.yaml"]

    async def answers() -> tuple[str, str]:
        transport = StdioTransport(sys.executable, arguments, env=without_java(), cwd=str(configuration))
        async with fastmcp.Client(transport) as client:
            indexes = await client.call_tool("list_indexes", {"index_type": "impact"})
            hits = await client.call_tool("search", {"query": "pain in the head", "index": "mine", "hits": 1})
            return str(indexes.content), str(hits.content)

    indexes, hits = asyncio.run(answers())
    assert "mine" in indexes
    assert "DocID: d1" in hits
    assert TEXTS["d1"] in hits
