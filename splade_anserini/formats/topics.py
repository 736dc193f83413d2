"""Topics, from files, from ir_datasets or from Pyserini by name; as text or encoded already."""

import logging
from pathlib import Path

from splade_anserini.errors import InputError
from splade_anserini.formats._encoded_topics import are_encoded, read_encoded_topics, write_encoded_topics
from splade_anserini.formats._topic_sources import placed_topics, topic_file
from splade_anserini.formats.qrels import read_qrels, test_split
from splade_anserini.records import Query

__all__ = ["are_encoded", "read_encoded_topics", "read_topics", "topic_file", "write_encoded_topics"]

_log = logging.getLogger(__name__)


def read_topics(source: str) -> list[Query]:
    """Return the topics that `source` names: a file, a BEIR directory, `irds:<name>`, or a name Pyserini knows.

    Of a BEIR directory with `qrels/test.tsv` these are the judged ones of its test split; its file of queries, named
    itself, has them all.

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
    return _judged(topics, Path(source)) if Path(source).is_dir() else topics


def _judged(topics: list[Query], directory: Path) -> list[Query]:
    split = test_split(directory)
    if split is None:
        return topics
    ids = {qrel.query_id for qrel in read_qrels(str(split))}
    judged = [query for query in topics if query.id in ids]
    if not judged:
        raise InputError(f"None of the queries in {directory} is judged in {split}.", do="Name the file of queries.")
    _log.info("%s: %d of %d queries, those of the test split", directory, len(judged), len(topics))
    return judged
