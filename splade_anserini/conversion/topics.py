"""Topics that are encoded already, in the formats that can hold queries."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from splade_anserini.artifacts.files import whole_file
from splade_anserini.conversion.bmp import read_bmp_queries, write_bmp_queries
from splade_anserini.conversion.registry import FORMATS
from splade_anserini.errors import InputError, IntegrityError
from splade_anserini.formats.parsing.duplicates import duplicate
from splade_anserini.formats.parsing.lines import Place
from splade_anserini.formats.topics import read_encoded_topics, write_encoded_topics
from splade_anserini.records import ImpactDocument, ImpactVector

TOPICS = "topics"
"""What search takes: `qid<TAB>token token …`."""

TOPIC_FORMATS = (TOPICS, "csr", "parquet", "seismic", "bmp")

_SUFFIXES = {".npz": "csr", ".parquet": "parquet", ".bmp.txt": "bmp", ".tsv": TOPICS, ".tsv.gz": TOPICS}


def topic_format(name: str, said: str | None, *, written: bool) -> str:
    """Return the format of topics: what was said, or else by its name. What has no suffix of ours is read as `topics`.

    Raises `InputError` for a format that holds no queries.
    """
    if said is not None:
        if said not in TOPIC_FORMATS:
            raise InputError(
                f"The format {said!r} is not defined for queries.", expected=f"one of {', '.join(TOPIC_FORMATS)}"
            )
        return said
    by_name = next((format_ for suffix, format_ in _SUFFIXES.items() if name.endswith(suffix)), None)
    if by_name is None and name.endswith(".ciff"):
        raise InputError("CIFF defines no queries.", do="Choose .bmp.txt for BMP, .tsv, .jsonl, .npz or .parquet.")
    if by_name is None and written:
        by_name = "seismic" if name.endswith(".jsonl") else None
        if by_name is None:
            raise InputError(
                f"Nothing says in what format to write {name}.",
                expected=f"a name that ends in {', '.join([*_SUFFIXES, '.jsonl'])}",
                do="Rename it, or say --to.",
            )
    return by_name or TOPICS


def read_topic_vectors(source: str, format_: str) -> dict[str, ImpactVector]:
    """Return the vectors by query id. Raises `InputError` for a query that is empty or occurs twice, or for none."""
    if format_ in {TOPICS, "seismic"}:
        return read_encoded_topics(source)
    topics: dict[str, ImpactVector] = {}
    first: dict[str, Place] = {}
    for place, id_, vector in _placed(Path(source), format_):
        if id_ in topics:
            raise duplicate(place, id_, first[id_], "query id")
        if not vector:
            raise place.error(f"the query {id_!r} is empty", expected="at least one token", do="Remove it.")
        topics[id_], first[id_] = vector, place
    if not topics:
        raise InputError(f"The topics {source} are empty.", expected="at least one query")
    return topics


def _placed(path: Path, format_: str) -> Iterator[tuple[Place, str, ImpactVector]]:
    if format_ == "bmp":
        yield from read_bmp_queries(path)
        return
    for number, document in enumerate(FORMATS[format_].read(path), 1):
        yield Place(path, number, "row"), document.id, document.vector


def write_topic_vectors(output: Path, topics: Mapping[str, ImpactVector], format_: str) -> None:
    """Write topics; the file appears when it has been read again, and holds them as they are."""
    if format_ == TOPICS:
        write_encoded_topics(output, topics)
        return
    with whole_file(output) as file:
        if format_ == "bmp":
            write_bmp_queries(file, topics)
        else:
            FORMATS[format_].write(file, (ImpactDocument(id_, vector) for id_, vector in topics.items()), None)
        file.flush()
        written = {id_: vector for _, id_, vector in _placed(Path(file.name), format_)}
        if written != dict(topics):
            raise IntegrityError(f"{output} does not hold what was written to it.")
