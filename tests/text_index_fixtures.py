"""Collections of texts, as Anserini reads them."""

from collections.abc import Iterable
from pathlib import Path

import orjson

from splade_anserini.records import Document


def write_json_collection(directory: Path, documents: Iterable[Document]) -> Path:
    """Write documents for Anserini's JsonCollection; return the directory."""
    directory.mkdir(parents=True)
    rows = [orjson.dumps({"id": document.id, "contents": document.contents}) + b"\n" for document in documents]
    (directory / "documents.jsonl").write_bytes(b"".join(rows))
    return directory
