"""Topics, from files, from ir_datasets or from Pyserini by name; as text or encoded already."""

from splade_anserini.formats._encoded_topics import read_encoded_topics, write_encoded_topics
from splade_anserini.formats._topic_sources import placed_topics
from splade_anserini.records import Query

__all__ = ["read_encoded_topics", "read_topics", "write_encoded_topics"]


def read_topics(source: str) -> list[Query]:
    """Return the topics that `source` names: a file, a BEIR directory, `irds:<name>`, or a name Pyserini knows.

    For a name of Pyserini the JVM must be running. Raises `RecordError` for a topic that is none, is empty or
    occurs twice, `InputError` when there are no topics.
    """
    topics = []
    for place, query in placed_topics(source):
        if not query.text.strip():
            raise place.error(
                f"the query {query.id!r} is empty", expected="at least one word", do="Remove it, or give it a text."
            )
        topics.append(query)
    return topics
