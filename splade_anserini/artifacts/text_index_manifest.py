"""The manifest of a text index."""

from typing import Literal

import pydantic

from splade_anserini._version import __version__
from splade_anserini.artifacts.model import Count, Model
from splade_anserini.records import Language


class TextCounts(Model):
    """Numbers of documents and words in a text index."""

    documents: int = 0
    """Documents that are indexed: those whose text is not blank."""
    blank: int = 0
    """Documents without text, which are left out, as Anserini leaves them out."""
    postings: int = 0
    words: int = 0
    """The sum of all term frequencies: words after analysis, without stop words."""
    ids_with_spaces: Count = 0
    """Number of documents whose ids contain spaces, which a run of TREC cannot hold."""


class TextIndexManifest(Model):
    """The manifest of a text index, for BM25: of which documents it was made, and how they were analyzed."""

    kind: Literal["text-index"] = "text-index"
    version: str = __version__
    language: Language = "en"
    analyzer: str
    """The Java class that turns text into words; queries need the same."""
    corpus: str
    """The name of the corpus. `digest` identifies its content."""
    digest: str
    """SHA-256 of the documents, see `formats.corpora.CorpusDigest`."""
    writer: str
    """The program that wrote the index, with its version."""
    options: dict[str, str | int | bool | None] = pydantic.Field(default_factory=dict)
    counts: TextCounts
