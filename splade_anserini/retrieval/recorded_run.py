"""Runs with their manifest beside them: a run that this command has made before is not made again."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from splade_anserini.artifacts.fingerprints import fingerprint_of_bytes
from splade_anserini.artifacts.outputs import OutputRecord, is_up_to_date, record_output, recorded
from splade_anserini.errors import InputError, counted
from splade_anserini.records import StrPath
from splade_anserini.retrieval.options import RunOptions

if TYPE_CHECKING:
    from ir_measures import ScoredDoc

    from splade_anserini.retrieval.query_vectors import QuerySet


class RecordedRun:
    """A run to write, with what decides its content: `record`."""

    def __init__(self, options: RunOptions, record: OutputRecord) -> None:
        self._options, self._record = options, record
        self._queries = self._hits = 0

    @property
    def is_up_to_date(self) -> bool:
        """Whether the run is there, made by this command. Raises `OutputError` when another run would be replaced."""
        return is_up_to_date(self._options.output, self._record, overwrite=self._options.overwrite)

    def write(self, rankings: "Iterable[tuple[str, Sequence[ScoredDoc]]]", queries: "QuerySet | None" = None) -> None:
        """Write the rankings as `formats.runs.write_run` does, then the manifest.

        The manifest says how many of the `queries` were longer than their encoder reads.
        """
        from splade_anserini.formats.runs import write_run

        with recorded(self._options.output, self._record):
            write_run(self._options.output, self._counted(rankings), self._options.format, self._options.tag)
        counts = {"queries": self._queries, "hits": self._hits}
        if queries and queries.truncation:
            counts |= queries.truncation.model_dump(exclude={"texts"})
        record_output(self._options.output, self._record, counts)

    def __str__(self) -> str:
        """Return the path and the counts: "run.txt: 225 queries, 225,000 hits"."""
        queries, hits = counted(self._queries, "query", "queries"), counted(self._hits, "hit")
        return f"{self._options.output}: {queries}, {hits}"

    def _counted(
        self, rankings: "Iterable[tuple[str, Sequence[ScoredDoc]]]"
    ) -> "Iterator[tuple[str, Sequence[ScoredDoc]]]":
        for query_id, ranking in rankings:
            self._queries += 1
            self._hits += len(ranking)
            yield query_id, ranking


def check_ids_for_run(index: StrPath, ids_with_spaces: int, options: RunOptions) -> None:
    """Raise `InputError` when the ids of an index contain spaces, and the format of the run separates columns by them.

    `ids_with_spaces` is their number, as the manifest of the index says.
    """
    if ids_with_spaces and options.format == "trec":
        raise InputError(
            f"Index {index} has {counted(ids_with_spaces, 'document')} with a space in the id, and spaces separate the "
            "columns of a TREC run.",
            expected="ids without spaces",
            do="Add --format msmarco, whose columns are separated by tabs, or change the ids and encode again.",
        )


def query_inputs(queries: "QuerySet") -> dict[str, str]:
    """Return the fingerprints of the topics and of what encodes them, for an `OutputRecord`."""
    inputs = {"topics": queries.fingerprint()}
    if queries.query_idf:
        inputs["query idf"] = f"{queries.query_idf:g}"
    if queries.document_idf:
        inputs["document idf"] = f"{queries.document_idf:g}"
    if queries.encoder:
        encoder, scale = queries.encoder.encoder, queries.encoder.scale
        # The same encoder under another name or path gives the same run.
        identity = encoder.identity.model_dump_json(exclude={"name", "checkpoint"})
        parts = (identity, str(encoder.max_length), f"{scale:g}")
        inputs["query encoder"] = fingerprint_of_bytes(*(part.encode() for part in parts))
    return inputs
