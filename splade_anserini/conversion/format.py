"""The interface of a format of impact vectors: one object reads and writes documents and topics."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, ClassVar

import pydantic

from splade_anserini.artifacts.files import whole_file
from splade_anserini.artifacts.manifests import EncodeSettings
from splade_anserini.errors import InputError, IntegrityError
from splade_anserini.formats.parsing.duplicates import duplicate_error
from splade_anserini.formats.parsing.lines import Location
from splade_anserini.formats.vector_files import LocatedDocument
from splade_anserini.formats.vectors import VectorOptions, VectorReader
from splade_anserini.records import ImpactDocument, ImpactVector, StrPath


class Format(ABC):
    """A format of impact vectors."""

    name: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]] = ()
    """File name suffixes of documents, the preferred one first; empty for a directory."""
    input_suffixes: ClassVar[tuple[str, ...]] = ()
    """Suffixes of documents that are read but not written."""
    topic_suffixes: ClassVar[tuple[str, ...]] = ()
    """File name suffixes of topics, the preferred one first; empty when the format does not define topics."""
    keeps_contents: ClassVar[bool] = False
    """Whether the contents of documents are stored."""
    keeps_settings: ClassVar[bool] = True
    """Whether the settings that the documents were encoded with are stored."""

    @abstractmethod
    def located(self, path: Path, reader: VectorReader) -> Iterator[LocatedDocument]:
        """Yield the documents at `path` in order, with their locations; `reader` reads their vectors.

        Raises `InputError` for damaged data or another format.
        """

    def read(self, path: StrPath, reader: VectorReader | None = None) -> Iterator[ImpactDocument]:
        """Yield the documents at `path` in order. Raises `InputError` for damaged data or another format."""
        return (document for _, document in self.located(Path(path), reader or VectorReader()))

    def read_settings(self, path: StrPath) -> EncodeSettings | None:  # noqa: ARG002  # for formats that keep settings
        """Return the settings that the documents at `path` were encoded with, or None when they are not stored."""
        return None

    @abstractmethod
    def writing(
        self, output: StrPath, documents: Iterable[ImpactDocument], settings: EncodeSettings | None
    ) -> AbstractContextManager[Path]:
        """Write documents and yield the path to read them from; they appear at `output` when the block succeeds.

        Raises `InputError` for a document that the format cannot store unchanged.
        """

    @abstractmethod
    def read_topics(self, source: str, options: VectorOptions | None = None) -> dict[str, ImpactVector]:
        """Return impact vectors by query id. Raises `InputError` for an empty or duplicate query, or no queries."""

    @abstractmethod
    def write_topics(self, output: StrPath, topics: Mapping[str, ImpactVector]) -> None:
        """Write impact vectors by query id. Raises `InputError` for a query that cannot be stored unchanged."""


class FileFormat(Format):
    """A format whose documents are in one file, and whose topics are rows like documents."""

    @abstractmethod
    def write(self, file: IO[bytes], documents: Iterable[ImpactDocument], settings: EncodeSettings | None) -> None:
        """Write documents to an open file. Raises `InputError` for one that cannot be stored unchanged."""

    @contextmanager
    def writing(
        self, output: StrPath, documents: Iterable[ImpactDocument], settings: EncodeSettings | None
    ) -> Iterator[Path]:
        """Write documents and yield the path to read them from; they appear at `output` when the block succeeds."""
        with whole_file(Path(output)) as file:
            self.write(file, documents, settings)
            file.flush()
            yield Path(file.name)

    def read_topics(self, source: str, options: VectorOptions | None = None) -> dict[str, ImpactVector]:
        """Return impact vectors by query id. Raises `InputError` for an empty or duplicate query, or no queries."""
        topics: dict[str, ImpactVector] = {}
        first_locations: dict[str, Location] = {}
        for location, query_id, vector in self.topic_rows(Path(source), VectorReader(options)):
            if query_id in topics:
                raise duplicate_error(location, query_id, first_locations[query_id], "query id")
            if not vector:
                raise location.error(f"the query {query_id!r} is empty", expected="at least one token", do="Remove it.")
            topics[query_id], first_locations[query_id] = vector, location
        if not topics:
            raise InputError(f"The topics {source} are empty.", expected="at least one query")
        return topics

    def write_topics(self, output: StrPath, topics: Mapping[str, ImpactVector]) -> None:
        """Write impact vectors by query id. Raises `IntegrityError` when reading them again gives others."""
        with whole_file(Path(output)) as file:
            self.write_topic_rows(file, topics)
            file.flush()
            written = {query_id: vector for _, query_id, vector in self.topic_rows(Path(file.name), VectorReader())}
            if written != dict(topics):
                raise IntegrityError(f"{output} does not match what was written to it.")

    def topic_rows(self, path: Path, reader: VectorReader) -> Iterator[tuple[Location, str, ImpactVector]]:
        """Yield the position, id and vector of each query."""
        for location, document in self.located(path, reader):
            yield location, document.id, document.vector

    def write_topic_rows(self, file: IO[bytes], topics: Mapping[str, ImpactVector]) -> None:
        """Write queries to an open file. Raises `InputError` for one that cannot be stored unchanged."""
        self.write(file, (ImpactDocument(query_id, vector) for query_id, vector in topics.items()), None)


def settings_from_json(text: str | bytes) -> EncodeSettings | None:
    """Return the settings in JSON that this package wrote, or None when another version of it wrote other fields."""
    try:
        return EncodeSettings.model_validate_json(text)
    except pydantic.ValidationError:
        return None
