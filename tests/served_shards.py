"""A sharded index to serve, and requests that tell one service from another."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from splade_anserini.encode import encode
from splade_anserini.encoding import EncodeOptions, open_encoder
from splade_anserini.formats.corpora import open_corpus
from splade_anserini.lucene import start_jvm
from splade_anserini.serving.opened_index import OpenedIndex, index_sources
from splade_anserini.serving.options import LimitOptions, ServedOptions
from splade_anserini.serving.server import gated
from splade_anserini.serving.service import Service
from tests.cli_runner import run_stage
from tests.encoder_fixtures import EXPANSIONS, write_dictionary_encoder

SHARDS = 2
_TEXTS = ("cats sleep", "dogs bark", "dogs sleep", "cats dogs bark sleep", "cats", "bark bark dogs", "sleep")
TEXTS = {f"d{number}": _TEXTS[number % len(_TEXTS)] for number in range(20)}
"""Document → text; many scores are equal."""


def write_sharded_index(home: Path, texts: Mapping[str, str] = TEXTS) -> Path:
    """Write a sharded index and a text index of texts, with an encoder; return the sharded index."""
    write_dictionary_encoder(home / "encoder", EXPANSIONS)
    lines = [
        json.dumps({"id": id_, "title": f"Number {id_}", "text": text, "year": 1990 + number})
        for number, (id_, text) in enumerate(texts.items())
    ]
    (home / "corpus.jsonl").write_text("\n".join(lines))
    encode(
        open_corpus(home / "corpus.jsonl"),
        open_encoder(home / "encoder"),
        home / "impacts",
        EncodeOptions(docs_per_shard=5),
    )
    documents = ["--documents", home / "corpus.jsonl", "--store-text", "--filter-fields", "year:int"]
    parts = ["--input", home / "impacts", "--index", home / "pets", "--shards", SHARDS]
    made = run_stage("index", *parts, *documents)
    assert made.code == 0, made.err
    made = run_stage("index", "--bm25", "--input", home / "corpus.jsonl", "--index", home / "texts", "--store-text")
    assert made.code == 0, made.err
    start_jvm()
    return home / "pets"


@contextlib.contextmanager
def client_of(served: ServedOptions, limits: LimitOptions) -> Iterator[TestClient]:
    """Serve in this process during a block."""
    service = Service([OpenedIndex(source, served) for source in index_sources(served)], served, limits)
    with TestClient(gated(service), raise_server_exceptions=False) as client:
        yield client
    service.close()


def posted(**body: Any) -> tuple[str, str, Any]:
    """Return a search that is posted."""
    return ("POST", "/v1/search", body)


REQUESTS = [
    ("GET", "/v1/search?q=cats&k=5", None),
    ("GET", "/v1/search?q=cats+dogs+sleep&k=20", None),
    ("GET", "/v1/search?q=dogs&k=7&documents=false", None),
    ("GET", "/v1/search?q=dogs+bark&k=6&terms=true", None),
    ("GET", "/v1/search?q=dogs+bark&k=6&snippets=true", None),
    ("GET", "/v1/search?q=dogs+bark&k=6&snippets=true&documents=false&terms=true", None),
    ("GET", "/v1/search?q=sleep&k=9&filter=year>1999&filter=year<=2005", None),
    ("GET", "/v1/search?q=dogs+sleep&engine=bm25&k=9", None),
    ("GET", "/v1/search?q=dogs+sleep&engine=bm25&k=9&snippets=true", None),
    ("GET", "/v1/search?q=cats+sleep&engine=hybrid&k=9&snippets=true&terms=true", None),
    ("GET", "/v1/search?q=zebra", None),
    posted(query="cats dogs", query_idf=1.5, k=20, terms=True),
    posted(query="cats dogs", query_idf=0, k=20),
    posted(vector={"cat": 3, "dog": 5}, k=20),
    posted(query="cats dogs", weights={"cat": 0, "dog": 2.5}, k=8),
    posted(query="cats dogs", fields=["year"], k=6),
    posted(query="cats dogs", fields=["year"], k=6, snippets=True),
    posted(query="cats dogs", search_fields={"contents": 1.5}, k=9),
    ("GET", "/v1/encode?q=cats+bark", None),
    ("POST", "/v1/explain", {"query": "cats dogs", "id": "d3", "query_idf": 1}),
    ("POST", "/v1/explain", {"query": "cats dogs", "id": "d3", "highlights": True}),
    ("POST", "/v1/explain", {"query": "cats dogs", "id": "d3", "highlights": True, "engine": "bm25"}),
    ("POST", "/v1/compare", {"query": "cats dogs", "first": "d3", "second": "d17"}),
    ("GET", "/v1/documents/d11", None),
    ("GET", "/v1/indexes", None),
    ("GET", "/v1/page", None),
    ("GET", "/openapi.json", None),
    ("GET", "/", None),
    ("GET", "/readyz", None),
    # What is refused.
    posted(query="cats", search_fields={"titel": 1}),
    ("GET", "/v1/search?q=cats&index=birds", None),
    ("GET", "/v1/search?q=cats&k=101", None),
    ("GET", "/v1/search?q=cats&filter=colour=red", None),
    ("GET", "/v1/search?q=cats&filter=year=red", None),
    ("POST", "/v1/explain", {"query": "cats", "id": "d99"}),
    ("GET", "/v1/documents/d99", None),
    ("DELETE", "/v1/documents/d1", None),
    posted(query="cats", weights={"zebra": 1}),
    posted(vector={"cat": 3, "zebra": 7}),
    ("GET", "/v1/search?q=cats&filters=year>1999", None),
    ("GET", "/v1/encode?q=cats&indx=pets", None),
    ("GET", "/v1/documents/d11?name=pets", None),
    posted(vector={"cat": 1 << 20}, query_idf=5),
]
"""What every service of the index answers alike: method, URL, body."""
