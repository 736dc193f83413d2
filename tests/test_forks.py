"""Processes that are forked: they do not wait for threads that stayed behind. Each test kills what hangs."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.encoder_fixtures import write_dictionary_encoder
from tests.forks import ROOT, run_program
from tests.impact_fixtures import ANIMALS
from tests.tiny import tiny_checkpoint

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
]

EXPANSIONS = {"cat": {"cat": 0.02}, "dog": {"dog": 0.01, "cat": 0.01}, "fish": {"fish": 0.03}}
TEXTS = ["cat dog", "dog", "fish cat", "", "cat"] * 4


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_dictionary_encoder(tmp_path_factory.mktemp("encoders") / "words", EXPANSIONS)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def animals(shared_index: Callable[..., Path]) -> Path:
    return shared_index(ANIMALS)


CHILDREN = """
import os, random, sys, time

def in_child(work):
    \"\"\"Run work in a forked process that ends as Python programs do; print what it returns or raises.\"\"\"
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, repr(work()).encode())
        except Exception as error:
            os.write(write, f"{type(error).__name__}: {error}".encode())
        sys.exit(0)
    os.close(write)
    with os.fdopen(read) as file:
        print(file.read())
    _, status = os.waitpid(child, 0)
    assert status == 0, status
"""

ENTRIES = ["rank", "rankings", "scores", "records", "search", "doc", "idf", "start", "open", "thread", "autoclass"]
"""Ways into Java."""

REFUSED = "JavaError: Java was started in process"

JAVA = f"""
{CHILDREN}
import gc, threading
from splade_anserini.lucene import ImpactSearcher, start_jvm
from splade_anserini.lucene import FastLuceneImpactSearcher

index, seed = sys.argv[1], int(sys.argv[2])
generator = random.Random(seed)
searcher = ImpactSearcher(index)
vector = {{"cat": 1, "dog": 2}}
expected = searcher.rank(vector, 3)
class Encoder:
    encode = staticmethod(lambda text: vector)
fast = FastLuceneImpactSearcher(index, Encoder())

def suspended():
    yield from searcher.rankings([(str(n), vector) for n in range(50)], 3, threads=2)

def in_thread():
    errors = []
    def call():
        try:
            searcher.rank(vector, 3)
        except Exception as error:
            errors.append(error)
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    raise errors[0]

def raw():
    import jnius
    return jnius.autoclass("java.util.ArrayList")

def opened_again():
    with ImpactSearcher(index) as other:
        return other.rank(vector, 3)

ENTRIES = {{
    "rank": lambda: searcher.rank(vector, 3),
    "rankings": lambda: list(searcher.rankings([("q", vector)], 3, threads=2)),
    "scores": lambda: searcher.scores(vector, ["d1"]),
    "records": lambda: searcher.records([0]),
    "search": lambda: fast.search("cat"),
    "doc": lambda: fast.doc("d1"),
    "idf": lambda: fast.idf["cat"],
    "start": start_jvm,
    "open": opened_again,
    "thread": in_thread,
    "autoclass": raw,
}}

def freed():
    global searcher, fast, vectors
    searcher.close()
    fast.close()
    searcher = fast = vectors = None
    return gc.collect() >= 0

vectors = suspended()
next(vectors)
# Another thread may be in Java at the moment of the fork.
stopped = threading.Event()
def search_on():
    while not stopped.is_set():
        searcher.rank(vector, 3)
thread = threading.Thread(target=search_on)
thread.start()
names = list(ENTRIES)
generator.shuffle(names)
for name in names:
    print(name, end=" ", flush=True)
    in_child(ENTRIES[name])
    time.sleep(generator.random() / 20)
print("freed", end=" ", flush=True)
in_child(freed)
print("nothing", end=" ", flush=True)
in_child(lambda: None)
stopped.set()
thread.join()
assert searcher.rank(vector, 3) == expected
vectors.close()
"""


@pytest.mark.parametrize("seed", range(3))
def test_a_forked_process_refuses_every_call_to_java_and_exits(animals: Path, seed: int) -> None:
    lines = run_program(JAVA, animals, seed).splitlines()
    assert ("freed True" in lines, "nothing None" in lines) == (True, True)
    refused = [line.partition(" ")[0] for line in lines if REFUSED in line]
    assert sorted(refused) == sorted(ENTRIES)
    assert sum("Open indexes after the fork" in line for line in lines) == len(ENTRIES)


def test_java_that_is_started_after_the_fork_works(animals: Path) -> None:
    code = f"""
{CHILDREN}
import splade_anserini.lucene, jnius_config
from splade_anserini.lucene import ImpactSearcher
for _ in range(2):
    in_child(lambda: ImpactSearcher(sys.argv[1]).rank({{"fish": 1}}, 3).ids)
"""
    assert run_program(code, animals).splitlines() == ["['d4']", "['d4']"]


def test_java_of_others_that_was_started_before_the_fork_is_recognized(animals: Path) -> None:
    code = f"""
{CHILDREN}
import jnius
jnius.autoclass("java.lang.System").gc()
def opened():
    from splade_anserini.lucene import ImpactSearcher
    ImpactSearcher(sys.argv[1])
in_child(opened)
"""
    assert REFUSED in run_program(code, animals)


def test_an_index_of_texts_is_refused_before_the_query_is_encoded(words: str) -> None:
    code = f"""
{CHILDREN}
from splade_anserini import ImpactIndex
index = ImpactIndex.from_texts(["cat", "dog"], encoder=sys.argv[1])
print([hit.id for hit in index.search("cat")])
in_child(lambda: index.search("cat"))
in_child(lambda: index.close())
print([hit.id for hit in index.search("cat")])
"""
    first, refused, _, closed, last = run_program(code, words).splitlines()
    assert refused.startswith(REFUSED)
    assert (first, closed) == (last, "None")


ENCODER = """
from splade_anserini.encoding import open_encoder
from splade_anserini.encoding.options import EncoderOptions

directory, low_latency, texts = sys.argv[1], sys.argv[2] == "low", eval(sys.argv[3])
encoder = open_encoder(directory, EncoderOptions(threads=2, low_latency=low_latency, device="cpu"))
"""


@pytest.mark.parametrize("kind", ["onnx", "onnx low", "torch"])
def test_an_encoder_gives_the_same_vectors_in_forked_processes(words: str, checkpoint: Path, kind: str) -> None:
    code = f"""
{CHILDREN}
{ENCODER}
import threading
expected = list(encoder.encode(texts))
in_child(lambda: list(encoder.encode(texts)) == expected)
in_child(lambda: [in_child(lambda: list(encoder.encode(texts)) == expected)])
stopped = threading.Event()
def encode_on():
    while not stopped.is_set():
        list(encoder.encode(texts))
thread = threading.Thread(target=encode_on)
thread.start()
for _ in range(4):
    in_child(lambda: list(encoder.encode(texts)) == expected)
stopped.set()
thread.join()
assert list(encoder.encode(texts)) == expected
"""
    if kind == "torch":
        code = code.replace("thread.start()", "").replace("thread.join()", "")  # OpenMP cannot fork in the middle
    name = checkpoint if kind == "torch" else words
    output = run_program(code, name, kind.partition(" ")[2], repr(TEXTS)).splitlines()
    assert output == ["True", "True", "[None]", "True", "True", "True", "True"]


@pytest.mark.parametrize("kind", ["onnx", pytest.param("torch", marks=pytest.mark.full)])
def test_multiprocessing_encodes_in_forked_processes(words: str, checkpoint: Path, kind: str) -> None:
    code = f"""
import sys
{ENCODER}
import multiprocessing
expected = list(encoder.encode(texts))
def encoded(text):
    return next(iter(encoder.encode([text])))
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map(encoded, texts) == [next(iter(encoder.encode([text]))) for text in texts])
"""
    assert run_program(code, words if kind == "onnx" else checkpoint, "", repr(TEXTS)) == "True\n"


@pytest.mark.parametrize("kind", ["onnx", pytest.param("torch", marks=pytest.mark.full)])
def test_a_data_loader_encodes_in_its_workers(words: str, checkpoint: Path, kind: str) -> None:
    code = f"""
import sys
{ENCODER}
from torch.utils.data import DataLoader, Dataset

class Vectors(Dataset):
    def __len__(self):
        return len(texts)
    def __getitem__(self, index):
        return next(iter(encoder.encode([texts[index]])))

expected = [vectors[0] for vectors in DataLoader(Vectors(), batch_size=1, collate_fn=list)]
loader = DataLoader(Vectors(), batch_size=1, num_workers=2, collate_fn=list, multiprocessing_context="fork")
print([vectors[0] for vectors in loader] == expected)
"""
    assert run_program(code, words if kind == "onnx" else checkpoint, "", repr(TEXTS)) == "True\n"


def test_a_data_loader_whose_workers_search_says_why_they_cannot(animals: Path) -> None:
    code = """
import sys
from splade_anserini.lucene import ImpactSearcher
from torch.utils.data import DataLoader, Dataset
searcher = ImpactSearcher(sys.argv[1])
searcher.rank({"cat": 1}, 3)

class Rankings(Dataset):
    def __len__(self):
        return 4
    def __getitem__(self, index):
        return searcher.rank({"cat": 1}, 3).ids

try:
    list(DataLoader(Rankings(), num_workers=2, multiprocessing_context="fork"))
except Exception as error:
    print(type(error).__name__, error)
"""
    output = run_program(code, animals)
    assert "JavaError" in output
    assert "before process" in output


APP = """
import os
from pathlib import Path

INDEX, ENCODER = {index!r}, {encoder!r}
from splade_anserini.encoding import ImpactQueryEncoder, open_encoder
encoder = ImpactQueryEncoder(open_encoder(ENCODER))
encoder.encode("cat")
if {java}:
    from splade_anserini.lucene import ImpactSearcher
    searcher = ImpactSearcher(INDEX)
    searcher.rank({{"cat": 1}}, 3)

def search():
    global searcher
    try:
        if not {java}:
            from splade_anserini.lucene import ImpactSearcher
            searcher = globals().get("searcher") or ImpactSearcher(INDEX)
        return ",".join(searcher.rank(encoder.encode("cat dog"), 3).ids)
    except Exception as error:
        return f"{{type(error).__name__}}: {{error}}"

def wsgi(environment, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [search().encode()]

async def asgi(scope, receive, send):
    if scope["type"] == "http":
        await send({{"type": "http.response.start", "status": 200, "headers": []}})
        await send({{"type": "http.response.body", "body": search().encode()}})
"""


@contextmanager
def server(*command: object, cwd: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server in a process group of its own, and end it: in an orderly way, or by force when it hangs."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{cwd}"}
    with (cwd / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *map(str, command)],
            cwd=cwd, env=environment, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def answer(port: int, process: "subprocess.Popen[bytes]", cwd: Path) -> str:
    """Return what the server answers, once it is up."""
    for _ in range(600):
        assert process.poll() is None, (cwd / "log").read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as response:
                return str(response.read().decode())
        except ConnectionError:
            pass
        except OSError as error:
            if "refused" not in str(error):
                raise AssertionError((cwd / "log").read_text()) from error
        time.sleep(0.1)
    raise AssertionError((cwd / "log").read_text())


def write_app(directory: Path, index: Path, encoder: str, *, java: bool) -> None:
    (directory / "app.py").write_text(APP.format(index=str(index), encoder=encoder, java=java))


@pytest.mark.skipif(find_spec("gunicorn") is None, reason="gunicorn is not installed")
@pytest.mark.parametrize("java", [False, True])
def test_gunicorn_with_preload(animals: Path, words: str, tmp_path: Path, *, java: bool) -> None:
    """The encoder is opened before the workers are forked, the index in each worker; if not, the answer says why."""
    write_app(tmp_path, animals, words, java=java)
    port = free_port()
    options = ("--preload", "--workers", 2, "--bind", f"127.0.0.1:{port}", "--timeout", 120, "--graceful-timeout", 60)
    with server("gunicorn", *options, "app:wsgi", cwd=tmp_path) as process:
        for _ in range(4):
            if java:
                assert answer(port, process, tmp_path).startswith(REFUSED)
            else:
                assert answer(port, process, tmp_path) == "d1,d2,d3"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    log = (tmp_path / "log").read_text()
    assert "SIGKILL" not in log, "workers end by themselves"


@pytest.mark.skipif(find_spec("uvicorn") is None, reason="uvicorn is not installed")
def test_workers_of_uvicorn(animals: Path, words: str, tmp_path: Path) -> None:
    """They are spawned, so that everything may be opened when the module is imported."""
    write_app(tmp_path, animals, words, java=True)
    port = free_port()
    with server("uvicorn", "--workers", 2, "--port", port, "app:asgi", cwd=tmp_path) as process:
        for _ in range(4):
            assert answer(port, process, tmp_path) == "d1,d2,d3"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) in {0, -signal.SIGTERM}
