"""Topics, which are queries with ids, from files and ir_datasets: as texts, or as impact vectors.

A file of topics holds `qid<TAB>text` or JSON records. Encoded topics are `qid<TAB>token token …`, with each token
repeated as often as its impact says, or JSON records with a `vector`.
"""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby, islice
from pathlib import Path

from splade_anserini.errors import InputError, counted
from splade_anserini.formats.beir import SPLIT_SEPARATOR, BeirDirectory
from splade_anserini.formats.irds import irds_items, is_irds
from splade_anserini.formats.parsing.archives import is_file
from splade_anserini.formats.parsing.compression import open_output, without_compression_suffix
from splade_anserini.formats.parsing.duplicates import duplicate_error
from splade_anserini.formats.parsing.fields import checked_id, record_id, record_text
from splade_anserini.formats.parsing.json_records import json_records
from splade_anserini.formats.parsing.lines import Location, text_lines
from splade_anserini.formats.qrels import read_qrels
from splade_anserini.formats.tokens import VectorCheck, count_tokens, repeat_tokens
from splade_anserini.records import ImpactVector, Query, StrPath

_TEXT_KEYS = ("text", "contents", "query", "title")
_JSON_SUFFIXES = (".jsonl", ".json")
_DEFAULT_SPLIT = "test"
_SAMPLE_SIZE = 100
_REPETITIONS_OF_TEXT = 3
"""Texts of people repeat each token fewer times in a row than this, on average over the sample."""

_logger = logging.getLogger(__name__)

type TopicResolver = Callable[[str], Iterable[tuple[Location, Query]]]
"""Returns the topics of a name that is neither a path nor `irds:<name>`, or raises `InputError`."""


def no_resolver(name: str) -> Iterable[tuple[Location, Query]]:
    """Raise `InputError`: the name is neither a path nor `irds:<name>`."""
    raise InputError(
        f"The topics {name} do not exist.",
        expected="a .tsv or .jsonl file (or .gz), a BEIR directory (DIR or DIR@SPLIT), or irds:<name>",
        do="Check the spelling of the path.",
    )


def read_topics(source: StrPath, resolver: TopicResolver = no_resolver) -> list[Query]:
    """Return the topics of a file, of a BEIR directory, of `irds:<name>`, or of a name that `resolver` knows.

    `DIR@dev` and `DIR@dev+test` mean the queries that are judged in these splits, and `DIR` alone those of its test
    split, or all queries if it has no such split. Raises `RecordError` for a malformed, empty or duplicate topic,
    `InputError` when there are no topics.
    """
    source = os.fspath(source)
    topics = {}
    for location, query in topics_with_locations(source, resolver):
        if not query.text.strip():
            raise location.error(
                f"the query {query.id!r} is empty", expected="at least one word", do="Remove it, or add a text."
            )
        topics[query.id] = query
    return list(_select_judged(source, topics).values())


def topics_with_locations(source: StrPath, resolver: TopicResolver = no_resolver) -> Iterator[tuple[Location, Query]]:
    """Yield the topics that `source` names with their locations, of a BEIR directory all; texts may be empty.

    Raises `RecordError` for an invalid or duplicate id, `InputError` when there are no topics.
    """
    source = os.fspath(source)
    first: dict[str, Location] = {}
    for location, query in _open(source, resolver):
        checked_id(query.id, location)
        if query.id in first:
            raise duplicate_error(location, query.id, first[query.id], "query id")
        first[query.id] = location
        yield location, query
    if not first:
        raise _no_topics(source)


def read_encoded_topics(source: StrPath, resolver: TopicResolver = no_resolver) -> dict[str, ImpactVector]:
    """Return impact vectors by query id, from JSON records with a `vector`, or from topics whose texts are tokens.

    `source` is what `read_topics` takes. Raises `RecordError` for a malformed, empty or duplicate query, `InputError`
    when there are no topics.
    """
    source = os.fspath(source)
    path = topics_file(source)
    check = VectorCheck()
    topics: dict[str, ImpactVector] = {}
    first: dict[str, Location] = {}
    for location, id_, vector in _json_vectors(path) if path and _is_json(path) else _token_counts(source, resolver):
        if id_ in first:
            raise duplicate_error(location, id_, first[id_], "query id")
        first[id_] = location
        topics[id_] = _require_tokens(id_, check(vector, location), location)
    if not topics:
        raise _no_topics(source)
    return _select_judged(source, topics)


def are_encoded(source: StrPath, resolver: TopicResolver = no_resolver) -> bool:
    """Return whether topics look encoded: JSON with `vector`, or texts that repeat tokens many times in a row.

    The impacts of encoded topics, and so their repetitions, are usually in the tens and hundreds.
    """
    source = os.fspath(source)
    path = topics_file(source)
    if path and _is_json(path):
        return any("vector" in record and "text" not in record for _, record in islice(json_records(path), 1))
    tokens = groups = 0
    for _, query in islice(topics_with_locations(source, resolver), _SAMPLE_SIZE):
        words = query.text.split()
        tokens += len(words)
        groups += sum(1 for _ in groupby(words))
    return tokens > _REPETITIONS_OF_TEXT * groups


def write_encoded_topics(path: StrPath, topics: Mapping[str, ImpactVector]) -> None:
    """Write `qid<TAB>token token …`, the strongest tokens first; gzipped if the name ends in .gz.

    Raises `RecordError` for a query that would not be read back as it is.
    """
    path = Path(path)
    check = VectorCheck()
    with open_output(path) as file:
        for line_number, (id_, vector) in enumerate(topics.items(), 1):
            location = Location(path, line_number)
            checked = _require_tokens(checked_id(id_, location), check(dict(vector), location), location)
            file.write(f"{id_}\t{repeat_tokens(checked)}\n".encode())


def topics_file(source: StrPath) -> Path | None:
    """Return the file that `source` names, for a BEIR directory its file of queries, or None if it is not a path.

    Raises `InputError` for a directory without such a file.
    """
    if is_irds(os.fspath(source)):
        return None
    directory = BeirDirectory.parse(source)
    if directory is None:
        path = Path(source)
        return path if path.exists() or is_file(path) else None
    if directory.queries_file is None:
        raise InputError(
            f"The directory {directory.path} has no queries.jsonl.", expected="a BEIR directory, or a file of topics"
        )
    return directory.queries_file


def _select_judged[Topic](source: str, topics: dict[str, Topic]) -> dict[str, Topic]:
    """Return the topics that are judged in the splits of a BEIR directory that `source` names, else all topics."""
    directory = None if is_irds(source) else BeirDirectory.parse(source)
    if directory is None or not (directory.splits or _DEFAULT_SPLIT in directory.available_splits):
        return topics
    judged_ids = {qrel.query_id for qrel in read_qrels(source, _DEFAULT_SPLIT)}
    judged = {id_: topic for id_, topic in topics.items() if id_ in judged_ids}
    splits = "+".join(directory.splits or (_DEFAULT_SPLIT,))
    if not judged:
        raise InputError(
            f"No query of {directory.queries_file} is judged in the split {splits}.",
            expected="judgements of these queries",
            do="Name the file of queries to read all of them.",
        )
    _logger.info(
        "%s: %s of %d, those judged in %s", source, counted(len(judged), "query", "queries"), len(topics), splits
    )
    return judged


def _open(source: str, resolver: TopicResolver) -> Iterable[tuple[Location, Query]]:
    if is_irds(source):
        return _read_irds(source)
    if path := topics_file(source):
        return _read_json(path) if _is_json(path) else _read_tsv(path)
    looks_like_path = without_compression_suffix(source).endswith((*_JSON_SUFFIXES, ".tsv", ".txt"))
    if looks_like_path or os.sep in source or SPLIT_SEPARATOR in source:
        raise InputError(f"The topics {source} do not exist.", do="Check the spelling of the path.")
    return resolver(source)


def _read_irds(source: str) -> Iterator[tuple[Location, Query]]:
    for index, item in enumerate(irds_items(source, "queries"), 1):
        text = item.default_text() if hasattr(item, "default_text") else item.text
        yield Location(source, index), Query(item.query_id, text)


def _read_json(path: Path) -> Iterator[tuple[Location, Query]]:
    for location, record in json_records(path):
        if "vector" in record and not any(key in record for key in _TEXT_KEYS):
            raise location.error(
                "an encoded query without a text", expected="a text", do="Pass the file as encoded topics."
            )
        yield location, Query(record_id(record, location), record_text(record, location, _TEXT_KEYS))


def _read_tsv(path: Path) -> Iterator[tuple[Location, Query]]:
    for location, line in text_lines(path):
        match line.split("\t"):
            case [id_, text]:
                yield location, Query(id_, text)
            case columns:
                raise location.error(
                    counted(len(columns), "column"),
                    expected="qid<TAB>text",
                    do="Separate the id from the text by one tab.",
                )


def _json_vectors(path: Path) -> Iterator[tuple[Location, str, object]]:
    for location, record in json_records(path):
        if "vector" not in record:
            raise location.error("no vector", expected='an encoded query {"id": …, "vector": {"token": impact, …}}')
        yield location, record_id(record, location), record["vector"]


def _token_counts(source: str, resolver: TopicResolver) -> Iterator[tuple[Location, str, object]]:
    for location, query in topics_with_locations(source, resolver):
        yield location, query.id, count_tokens(query.text)


def _require_tokens(id_: str, vector: ImpactVector, location: Location) -> ImpactVector:
    if not vector:
        raise location.error(f"the query {id_!r} is empty", expected="at least one token", do="Remove it.")
    return vector


def _is_json(path: Path) -> bool:
    return without_compression_suffix(path.name).endswith(_JSON_SUFFIXES)


def _no_topics(source: str) -> InputError:
    return InputError(f"The topics {source} are empty.", expected="at least one query")
