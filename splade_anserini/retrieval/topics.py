"""Topics from wherever a command may name them: files, ir_datasets, and the names that Pyserini knows.

Pyserini's names are resolved in Java, which is started only for them.
"""

from splade_anserini.formats import topics as files
from splade_anserini.lucene.pyserini_topics import pyserini_topics
from splade_anserini.records import ImpactVector, Query


def read_topics(source: str) -> list[Query]:
    """Return topics as texts, as `formats.topics.read_topics` does, or those that Pyserini knows by this name."""
    return files.read_topics(source, pyserini_topics)


def read_encoded_topics(source: str) -> dict[str, ImpactVector]:
    """Return impact vectors by query id, as `formats.topics.read_encoded_topics` does, or those Pyserini knows."""
    return files.read_encoded_topics(source, pyserini_topics)


def are_encoded(source: str) -> bool:
    """Say whether topics look encoded already, as `formats.topics.are_encoded` does."""
    return files.are_encoded(source, pyserini_topics)
