"""Topics, which are queries with ids, from files and ir_datasets: as texts, or as impact vectors.

Encoded topics are texts that repeat each token as often as its impact says, texts of tokens with weights, or records
with a `vector`. `topic_files` reads the files.
"""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from itertools import islice
from pathlib import Path

from splade_anserini.errors import NOTE, InputError, counted
from splade_anserini.formats.beir import SHIPPED, SPLIT_SEPARATOR, BeirDirectory
from splade_anserini.formats.irds import irds_items, is_irds
from splade_anserini.formats.parsing.archives import is_file
from splade_anserini.formats.parsing.compression import open_output, without_compression_suffix
from splade_anserini.formats.parsing.duplicates import duplicate_error
from splade_anserini.formats.parsing.fields import checked_id
from splade_anserini.formats.parsing.lines import Location
from splade_anserini.formats.qrels import read_qrels
from splade_anserini.formats.tokens import VectorCheck, repeat_tokens
from splade_anserini.formats.topic_encoding import SAMPLE_SIZE, Kind, Reading, reading_of
from splade_anserini.formats.topic_fields import (
    DEFAULT_FIELD,
    QUERY_NAMES,
    TopicRecord,
    by_key,
    check_field,
    query_names,
    topic_text,
)
from splade_anserini.formats.topic_files import file_topics, misreading
from splade_anserini.formats.topic_weights import WeightReader
from splade_anserini.records import ImpactVector, Query, StrPath

_DEFAULT_SPLIT = "test"
SUFFIXES = (".tsv", ".txt", ".csv", ".json", ".jsonl", ".trec", ".xml", ".topics", ".sgml", ".parquet")
"""The suffixes of topics, before those of compressed files."""

_EXPECTED = (
    "a file of topics (TSV, CSV, JSON, TREC, XML; also compressed), a BEIR directory (DIR or DIR@SPLIT), "
    f"irds:<name>, or {SHIPPED}"
)

_logger = logging.getLogger(__name__)

type TopicResolver = Callable[[str], Iterable[TopicRecord]]
"""Returns the topics of a name that is neither a path nor `irds:<name>`, or raises `InputError`."""


def no_resolver(name: str) -> Iterable[TopicRecord]:
    """Raise `InputError`: the name is neither a path nor `irds:<name>`."""
    raise InputError(f"The topics {name} do not exist.", expected=_EXPECTED, do="Check the spelling of the path.")


class Topics:
    """The topics of a file, of a BEIR directory, of `irds:<name>`, or of a name that `resolver` knows.

    `DIR@dev` and `DIR@dev+test` mean the queries that are judged in these splits, and `DIR` alone those of its test
    split, or all queries if it has no such split. `field` is the field that is the query's text: `title`, which is
    also called query, text and so on, `description`, `narrative`, another name, or several that are joined by `+`.
    """

    def __init__(self, source: StrPath, resolver: TopicResolver = no_resolver, field: str = DEFAULT_FIELD) -> None:
        self.source = os.fspath(source)
        check_field(field)
        self._field = field
        self._resolver = resolver
        self._notes: set[str] = set()
        self._records: list[TopicRecord] | None = None
        """Topics that cannot be read twice."""

    @cached_property
    def reading(self) -> Reading:
        """Whether the topics look like texts or like impact vectors, and why."""
        return reading_of(list(islice(self._with_locations(), SAMPLE_SIZE)), self.source, self._field)

    def are_encoded(self) -> bool:
        """Return whether the topics are impact vectors. Raises `InputError` when they may be either."""
        kind, reason = self.reading.kind, self.reading.reason
        if kind is Kind.AMBIGUOUS:
            raise InputError(
                f"The topics {self.source} may be texts or impact vectors: {reason}.",
                expected="texts, or tokens that are repeated as often as their impacts say",
                do="Add --pre-encoded if they are impact vectors, or --not-pre-encoded if they are texts.",
            )
        return kind is Kind.VECTORS

    def texts(self) -> list[Query]:
        """Return the queries; a warning gives the number of blank ones, which find nothing.

        Raises `RecordError` for a malformed or duplicate topic, `InputError` when there are no topics.
        """
        topics = _select_judged(self.source, {query.id: query for _, query in self.texts_with_locations()})
        self._warn_of_empty([id_ for id_, query in topics.items() if not query.text.strip()], "are blank")
        return list(topics.values())

    def texts_with_locations(self) -> Iterator[tuple[Location, Query]]:
        """Yield the queries with their locations, of a BEIR directory all; texts may be blank."""
        fields: set[str] = set()
        for topic in self._with_locations():
            if topic.vector is not None and not topic.has_text and self._field == DEFAULT_FIELD:
                raise topic.location.error(
                    "an encoded query without a text", expected="a text", do="Pass the file as encoded topics."
                )
            text = topic_text(topic, self._field)
            if len(topic.fields) > 1:
                fields.update(query_names(topic, fields))
            yield topic.location, Query(topic.id, text)
        if self._field == DEFAULT_FIELD:
            self._note_fields(fields)

    def vectors(self, scale: float | None = None) -> dict[str, ImpactVector]:
        """Return impact vectors by query id; a warning gives the number of empty ones, which find nothing.

        With `scale`, impact = round(weight × scale). Raises `RecordError` for a malformed or duplicate query, or a
        weight that is not an integer without `scale`, `InputError` when there are no topics.
        """
        _, _, vector_of, with_vectors = self.reading
        if scale is not None and not self.reading.has_weights:
            self._note("--scale is for weights, and tokens are repeated here as their impacts say")
        weights = WeightReader(scale if self.reading.has_weights else None)
        vectors: dict[str, ImpactVector] = {}
        for topic in self._with_locations():
            if with_vectors and topic.vector is None:
                raise topic.location.error(
                    "no vector", expected='an encoded query {"id": …, "vector": {"token": impact, …}}'
                )
            vector = topic.vector if with_vectors else vector_of(topic_text(topic, self._field), topic.location)
            vectors[topic.id] = weights(vector, topic.location)
        weights.warn()
        selected = _select_judged(self.source, vectors)
        self._warn_of_empty([id_ for id_, vector in selected.items() if not vector], "have an empty vector")
        return selected

    def _with_locations(self) -> Iterator[TopicRecord]:
        """Yield all topics. Raises `RecordError` for a duplicate id, `InputError` when there are no topics."""
        first: dict[str, Location] = {}
        for topic in self._open():
            checked_id(topic.id, topic.location)
            if topic.id in first:
                raise duplicate_error(topic.location, topic.id, first[topic.id], "query id")
            first[topic.id] = topic.location
            yield topic
        if not first:
            raise _no_topics(self.source)

    def _open(self) -> Iterable[TopicRecord]:
        if self._records is not None:
            return self._records
        if is_irds(self.source):
            return _read_irds(self.source)
        path = topics_file(self.source)
        if path is None:
            name = without_compression_suffix(self.source)
            is_path = name != self.source or name.endswith(SUFFIXES) or os.sep in name or SPLIT_SEPARATOR in name
            resolver = no_resolver if is_path else self._resolver
            self._records = list(resolver(self.source))
        elif is_file(path):
            return file_topics(path, self._note)
        else:
            self._records = list(file_topics(path, self._note))
        return self._records

    def _note(self, message: str) -> None:
        if message not in self._notes:
            self._notes.add(message)
            _logger.log(NOTE, "%s: %s.", self.source, message)

    def _note_fields(self, fields: set[str]) -> None:
        """Say which field is the query where a topic has several that could be."""
        names = [name for name in QUERY_NAMES if name in fields]
        if len(names) > 1:
            self._note(f"the queries are the field {names[0]}; --topics-field may name {', '.join(names[1:])}")

    def _warn_of_empty(self, ids: list[str], what: str) -> None:
        if ids:
            verb, object_ = what.split(" ", maxsplit=1)
            verb = {"are": "is", "have": "has"}[verb] if len(ids) == 1 else verb
            _logger.warning(
                "%s: %s %s %s and %s nothing: %s",
                self.source,
                counted(len(ids), "query", "queries"),
                verb,
                object_,
                "finds" if len(ids) == 1 else "find",
                ", ".join(ids[:5]) + (", …" if len(ids) > 5 else ""),
            )


def read_topics(source: StrPath, resolver: TopicResolver = no_resolver, field: str = DEFAULT_FIELD) -> list[Query]:
    """Return the topics that `Topics` describes, as texts. Raises what `Topics.texts` raises."""
    return Topics(source, resolver, field).texts()


def topics_with_locations(source: StrPath, resolver: TopicResolver = no_resolver) -> Iterator[tuple[Location, Query]]:
    """Yield the topics that `source` names with their locations, of a BEIR directory all; texts may be blank.

    Raises `RecordError` for an invalid or duplicate id, `InputError` when there are no topics.
    """
    return Topics(source, resolver).texts_with_locations()


def read_encoded_topics(
    source: StrPath, resolver: TopicResolver = no_resolver, scale: float | None = None
) -> dict[str, ImpactVector]:
    """Return impact vectors by query id. Raises what `Topics.vectors` raises."""
    return Topics(source, resolver).vectors(scale)


def are_encoded(source: StrPath, resolver: TopicResolver = no_resolver) -> bool:
    """Return whether topics look encoded. Raises `InputError` when they may be either."""
    return Topics(source, resolver).are_encoded()


def write_encoded_topics(path: StrPath, topics: Mapping[str, ImpactVector]) -> None:
    """Write `qid<TAB>token token …`, the strongest tokens first; gzipped if the name ends in .gz.

    Raises `RecordError` for a query that would not be read back as it is.
    """
    path = Path(path)
    check = VectorCheck()
    sample: list[TopicRecord] = []
    with open_output(path) as file:
        for line_number, (id_, vector) in enumerate(topics.items(), 1):
            location = Location(path, line_number)
            text = repeat_tokens(check(dict(vector), location))
            line = f"{checked_id(id_, location)}\t{text}"
            if line_number <= SAMPLE_SIZE:
                sample.append(TopicRecord(location, id_, {"text": text}))
            if line_number == 1 and (other := misreading(line, location)):
                raise location.error(
                    f"the id {id_!r} in the first line would be read as {other}",
                    expected="another id",
                    do="Rename the query, or put another one before it.",
                )
            file.write(f"{line}\n".encode())
        if (reading := reading_of(sample, str(path), DEFAULT_FIELD)).has_weights:
            raise sample[0].location.error(
                f"the tokens would not be read as tokens: {reading.reason}",
                expected="tokens unlike token:1",
                do="Write JSON instead: convert to a file that ends in .jsonl.",
            )


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


def _read_irds(source: str) -> Iterator[TopicRecord]:
    for index, item in enumerate(irds_items(source, "queries"), 1):
        text = item.default_text() if hasattr(item, "default_text") else item.text
        fields = dict(zip(getattr(item, "_fields", ()), item, strict=False))
        others = {name: value for name, value in by_key(fields).items() if value not in (text, item.query_id)}
        yield TopicRecord(Location(source, index), item.query_id, others | {"text": text})


def _no_topics(source: str) -> InputError:
    return InputError(f"The topics {source} are empty.", expected="at least one query")
