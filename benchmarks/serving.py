"""Requests per second and latency of `serve`, beside Pyserini's REST server on the same index.

    python benchmarks/serving.py --data DIR
    python benchmarks/serving.py --data DIR --servers ours --seconds 3 --connections 8
    python benchmarks/serving.py --data DIR --soak 600

Each server runs in a process of its own, one after the other, with its caches off; hits are returned with their texts.
With the mode "encoded", queries are looked up and not encoded: Pyserini's server reads their vectors from a file, ours
gets them in the request. With "texts", both encode them with the checkpoint in one directory. The load comes from one
process, which asks again on a connection as soon as it has an answer.

The column "CPU ms" is the processor time of the server for each request: the other columns depend on what else the
machine does.

`--soak SECONDS` asks our server at twice the rate that it can answer, from many connections, and reports every status
and the memory at each tenth of the time.
"""

import argparse
import json
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from itertools import count as numbers_from
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

HITS = 10
QUERIES = 300
PORT = 18_080
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


# The load.


@dataclass
class Load:
    """What a load has seen."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    refused: list[float] = field(default_factory=list)
    """Latencies of answers with status 503."""

    @property
    def rate(self) -> float:
        """Good answers per second."""
        return self.statuses[200] / self.seconds

    def milliseconds(self, percentile: float) -> float:
        """Return a percentile of the latencies of good answers."""
        return float(np.percentile(self.latencies, percentile)) * 1000 if self.latencies else float("nan")


class Connection:
    """A connection that has at most one request under way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent = 0.0
        self._read = b""

    def send(self, request: bytes) -> None:
        """Send a request."""
        self.sent, self._read = time.perf_counter(), b""
        self.socket.sendall(request)

    def receive(self) -> int:
        """Read what there is; return the status of a whole answer, else 0."""
        part = self.socket.recv(1 << 18)
        if not part:
            raise ConnectionError("the server closed the connection")
        self._read += part
        head, end, body = self._read.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if not end or length is None or len(body) < int(length[1]):
            return 0
        return int(head.split(b" ", 2)[1])


def load(port: int, requests: Sequence[bytes], connections: int, seconds: float, rate: float = 0.0) -> Load:
    """Send requests for some seconds: on each connection one after the other, or `rate` per second in all."""
    result, numbers = Load(), numbers_from()
    opened = [Connection(port) for _ in range(connections)]
    idle = list(opened)
    with selectors.DefaultSelector() as selector:
        for connection in opened:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        start = time.perf_counter()
        sent = 0
        while (now := time.perf_counter()) < start + seconds or len(idle) < len(opened):
            due = len(idle) if not rate else min(len(idle), int((now - start) * rate) - sent)
            for _ in range(due if now < start + seconds else 0):
                idle.pop().send(requests[next(numbers) % len(requests)])
                sent += 1
            for key, _ in selector.select(0.001 if rate else 0.1):
                connection = key.data
                if status := connection.receive():
                    latency = time.perf_counter() - connection.sent
                    result.statuses[status] += 1
                    (result.latencies if status == 200 else result.refused).append(latency)
                    idle.append(connection)
        result.seconds = time.perf_counter() - start
    for connection in opened:
        connection.socket.close()
    return result


def get(path: str) -> bytes:
    """Return a GET request."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def post(path: str, body: object) -> bytes:
    """Return a POST request of JSON."""
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


# The servers.


@dataclass(frozen=True)
class Collection:
    """An index with its texts, and queries as texts and as vectors."""

    name: str
    index: Path
    text_index: Path
    queries: dict[str, dict[str, int]]


@contextmanager
def running(command: Sequence[object], port: int, ready: str, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a server until the block ends, from the moment when it answers."""
    with log.open("ab") as file, subprocess.Popen(list(map(str, command)), stdout=file, stderr=file) as process:
        try:
            wait_for(port, ready, process, log)
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def wait_for(port: int, path: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until a server gives a good answer."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            if load(port, [get(path)], 1, 0.01).statuses[200]:
                return
        except OSError:
            pass
        time.sleep(0.2)
    sys.exit(f"The server did not start: see {log}")


def ours(collection: Collection, encoder: str | None, _: Path) -> "tuple[list[object], str]":
    """Return the command of our server, and a path that it answers."""
    command = [sys.executable, "-m", "splade_anserini", "serve", "--index", f"nf={collection.index}", "--port", PORT]
    options = [*(["--encoder", encoder, "--force"] if encoder else []), "--cache", 0, "--query-idf", 0]
    return [*command, *options, "--queue", 256], "/readyz"


def pyserinis(collection: Collection, encoder: str | None, work: Path) -> "tuple[list[object], str]":
    """Return the command of Pyserini's server, and a path that it answers."""
    vectors = work / f"{collection.name}-queries.jsonl"
    lines = (json.dumps({"contents": text, "vector": vector}) for text, vector in collection.queries.items())
    vectors.write_text("\n".join(lines) + "\n")
    config = work / f"{collection.name}-pyserini.yaml"
    named = encoder or str(vectors.resolve())
    impact = {"path": str(collection.index.resolve()), "index_type": "impact", "encoder": named, "base_index": "text"}
    text = {"path": str(collection.text_index.resolve()), "index_type": "tf"}
    config.write_text(json.dumps({"indexes": {"nf": impact, "text": text}}))
    # Java with the modules that it needs is the one that splade-anserini starts.
    script = (
        "import sys, runpy; from splade_anserini.lucene import start_jvm; start_jvm(); "
        "runpy.run_module('pyserini.server.rest', run_name='__main__')"
    )
    options = ["--host", "127.0.0.1", "--port", PORT, "--config", config, "--no-prebuilt-indexes"]
    caches = ["--search-cache-size", 1, "--document-cache-size", 1]
    first = next(iter(collection.queries))
    return [sys.executable, "-c", script, *options, *caches], f"/v1/nf/search?query={quote(first)}&hits={HITS}"


def requests_of(server: str, collection: Collection, *, encoded: bool) -> list[bytes]:
    """Return a request for each query."""
    if server == "pyserini":
        return [get(f"/v1/nf/search?query={quote(text)}&hits={HITS}") for text in collection.queries]
    if encoded:
        return [post("/v1/search", {"vector": vector, "k": HITS}) for vector in collection.queries.values()]
    return [get(f"/v1/search?q={quote(text)}&k={HITS}") for text in collection.queries]


SERVERS: dict[str, Callable[[Collection, str | None, Path], "tuple[list[object], str]"]] = {
    "ours": ours,
    "pyserini": pyserinis,
}


def warm_up(port: int, requests: Sequence[bytes], count: int) -> None:
    """Send so many requests, until Java has compiled what they need, but for at most two minutes."""
    end, done = time.monotonic() + 120, 0
    while done < count and time.monotonic() < end:
        done += sum(load(port, requests, 8, 1).statuses.values())


def cpu_seconds(process: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(process: int) -> float:
    """Return the resident memory of a process in MB."""
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", status)
    return int(found[1]) / 1024 if found else 0.0


# The collections.


def nfcorpus(data: Path, work: Path) -> Collection:
    """Return NFCorpus, encoded by splade-mini."""
    from splade_anserini.encoding import open_encoder, quantize
    from splade_anserini.formats.topics import read_topics

    corpus, home = data / "nfcorpus", work / "nfcorpus"
    if not (home / "index").exists():
        run("encode", "--corpus", corpus, "--encoder", "splade-mini", "--output", home / "impacts")
        run("index", "--input", home / "impacts", "--index", home / "index", "--store-text")
    if not (home / "text").exists():
        run("index", "--bm25", "--input", corpus, "--index", home / "text", "--store-text")
    texts = [query.text for query in read_topics(str(corpus))][:QUERIES]
    vectors = [dict(quantize(vector, 100)) for vector in open_encoder("splade-mini").encode(texts)]
    return Collection("nfcorpus", home / "index", home / "text", dict(zip(texts, vectors, strict=True)))


def synthetic(data: Path, work: Path, documents: int) -> Collection:
    """Return synthetic documents like NFCorpus' by SPLADE-v3, each with a text of NFCorpus, and queries of MS MARCO."""
    from synthetic import synthetic as write_vectors

    from splade_anserini.formats.topics import read_encoded_topics

    home = work / f"served-{documents}"
    if not (home / "text").exists():
        write_texts(data, write_vectors(data, documents, work), home)
        run("index", "--input", home / "impacts", "--index", home / "index", "--store-text")
        run("index", "--bm25", "--input", home / "texts.jsonl", "--index", home / "text", "--store-text")
    topics = data / "encoded-queries" / "msmarco-passage.dev-subset.tsv.gz"
    vectors = list(islice((dict(vector) for vector in read_encoded_topics(str(topics)).values()), QUERIES))
    queries = {" ".join(vector): vector for vector in vectors}
    return Collection(f"{documents:,} synthetic", home / "index", home / "text", queries)


def write_texts(data: Path, vectors: Path, home: Path) -> None:
    """Write each vector with a text of NFCorpus, and the texts alone."""
    import orjson

    from splade_anserini.formats.corpora import open_corpus
    from splade_anserini.formats.impacts import read_impacts

    texts = [document.contents for document in open_corpus(str(data / "nfcorpus"))]
    (home / "impacts").mkdir(parents=True, exist_ok=True)
    with (home / "impacts" / "all.jsonl").open("wb") as impacts, (home / "texts.jsonl").open("wb") as corpus:
        shards = sorted(vectors.glob("*.jsonl.gz"))
        for number, document in enumerate(chain.from_iterable(map(read_impacts, shards))):
            record = {"id": document.id, "contents": texts[number % len(texts)]}
            corpus.write(orjson.dumps(record) + b"\n")
            impacts.write(orjson.dumps({**record, "vector": document.vector}) + b"\n")


def checkpoint(settings: Any) -> str:
    """Return a checkpoint that both servers open: Pyserini's takes it for a SPLADE model by its path."""
    from models import checkpoint as made

    (settings.work / "splade").mkdir(exist_ok=True)
    corpora = (settings.data / "cranfield", settings.data / "nfcorpus")
    return str(made("MiniLM", corpora, settings.work / "splade").resolve())


def run(*arguments: object) -> None:
    """Run a command of ours."""
    subprocess.run([sys.executable, "-m", "splade_anserini", *map(str, arguments)], check=True)


# The measurements.


def measure(server: str, collection: Collection, encoder: str | None, settings: Any) -> list[dict[str, Any]]:
    """Return a row for each number of connections."""
    command, ready = SERVERS[server](collection, encoder, settings.work)
    encoded = encoder is None
    requests = requests_of(server, collection, encoded=encoded)
    rows = []
    with running(command, PORT, ready, settings.work / f"{server}.log") as process:
        warm_up(PORT, requests, settings.warm_up)
        for connections in settings.connections:
            before = cpu_seconds(process.pid)
            seen = load(PORT, requests, connections, settings.seconds)
            used = cpu_seconds(process.pid) - before
            others = {status: number for status, number in seen.statuses.items() if status != 200}
            rows.append(
                {
                    "collection": collection.name,
                    "queries": "encoded" if encoded else "texts",
                    "server": server,
                    "connections": connections,
                    "requests/s": round(seen.rate, 1),
                    **{f"p{p} ms": round(seen.milliseconds(p), 2) for p in (50, 95, 99)},
                    "CPU ms": round(1000 * used / sum(seen.statuses.values()), 2),
                    "errors": others,
                    "RSS MB": round(memory(process.pid)),
                }
            )
            print(json.dumps(rows[-1]), flush=True)
    return rows


def soak(collection: Collection, settings: Any) -> None:
    """Ask at twice the rate that the server can answer, and print what it answered and how much memory it had."""
    command, ready = ours(collection, None, settings.work)
    requests = requests_of("ours", collection, encoded=True)
    command[command.index("--queue") + 1] = 32
    with running(command, PORT, ready, settings.work / "soak.log") as process:
        warm_up(PORT, requests, settings.warm_up)
        capacity = load(PORT, requests, 16, 5).rate
        print(f"capacity {capacity:.0f} requests/s")
        for part in range(10):
            seen = load(PORT, requests, 256, settings.soak / 10, rate=2 * capacity)
            refused = np.percentile(seen.refused, 99) * 1000 if seen.refused else 0.0
            print(
                f"{(part + 1) * settings.soak / 10:6.0f} s  {dict(seen.statuses)}  p99 {seen.milliseconds(99):.1f} ms, "
                f"refused p99 {refused:.1f} ms, RSS {memory(process.pid):.0f} MB",
                flush=True,
            )
            if unexpected := set(seen.statuses) - {200, 503}:
                sys.exit(f"Answers with {unexpected}")


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as a table of Markdown."""
    names = list(rows[0])
    lines = [names, ["---"] * len(names), *([str(row[name]) for name in names] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("build/bench/serving"))
    parser.add_argument("--collections", nargs="+", default=["nfcorpus", "synthetic"])
    parser.add_argument("--documents", type=int, default=100_000, help="Synthetic documents.")
    parser.add_argument("--servers", nargs="+", default=list(SERVERS), choices=list(SERVERS))
    parser.add_argument("--queries", nargs="+", default=["encoded", "texts"])
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--warm-up", type=int, default=3000, help="Requests before the measurement.")
    parser.add_argument("--soak", type=float, default=0, metavar="SECONDS")
    settings = parser.parse_args()
    settings.work.mkdir(parents=True, exist_ok=True)
    os.environ["PYTHONUNBUFFERED"] = "1"
    makers = {
        "nfcorpus": lambda: nfcorpus(settings.data, settings.work),
        "synthetic": lambda: synthetic(settings.data, settings.work, settings.documents),
    }
    rows = []
    for name in settings.collections:
        collection = makers[name]()
        if settings.soak:
            soak(collection, settings)
            continue
        for queries in settings.queries:
            encoder = checkpoint(settings) if queries == "texts" else None
            for server in settings.servers:
                rows += measure(server, collection, encoder, settings)
    if rows:
        print(f"\n{table(rows)}")


if __name__ == "__main__":
    main()
