"""Topics from wherever a command may name them: files, ir_datasets, and the names that Pyserini knows.

Pyserini's names are resolved in Java, which is started only for them.
"""

from splade_anserini.formats.topic_fields import DEFAULT_FIELD
from splade_anserini.formats.topics import Topics
from splade_anserini.lucene.pyserini_topics import pyserini_topics
from splade_anserini.records import ImpactVector, Query


def open_topics(source: str, field: str = DEFAULT_FIELD) -> Topics:
    """Open topics, as `formats.topics.Topics` describes, or those that Pyserini knows by this name."""
    return Topics(source, pyserini_topics, field)


def read_topics(source: str, field: str = DEFAULT_FIELD) -> list[Query]:
    """Return topics as texts, as `Topics.texts` does. `field` is the query: title, description, title+narrative, …"""
    return open_topics(source, field).texts()


def read_encoded_topics(source: str, scale: float | None = None) -> dict[str, ImpactVector]:
    """Return impact vectors by query id, as `Topics.vectors` does."""
    return open_topics(source).vectors(scale)
