"""What there is: encoders, index cards, measures and formats, read from the cards and registries themselves."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, get_args

from splade_anserini.cards.encoder_card import EncoderCard
from splade_anserini.cards.finding import (
    available_encoders,
    available_indexes,
    find_encoder,
    find_encoder_card,
    find_index_cards,
    index_homes,
    read_card,
)
from splade_anserini.cards.index_card import IndexCard
from splade_anserini.cards.shipped import encoders_home
from splade_anserini.errors import InputError
from splade_anserini.formats.parsing.compression import SUFFIXES
from splade_anserini.inspection.machine import hub_cache

type Kind = Literal["encoders", "indexes", "measures", "formats"]
KINDS: tuple[Kind, ...] = get_args(Kind.__value__)

type Row = Mapping[str, object]
"""JSON values by their names."""

_COLUMNS: dict[Kind, dict[str, str]] = {
    "encoders": {
        "name": "name",
        "from": "from",
        "size": "size",
        "query_side": "query side",
        "query_idf": "idf",
        "max_length": "tokens",
        "query_max_length": "of a query",
        "license": "licence",
        "verified": "verified",
    },
    "indexes": {"name": "name", "encoder": "encoder", "evaluations": "evaluations", "built": "built"},
    "measures": {
        "name": "name",
        "aliases": "also",
        "cutoff": "cutoff",
        "parameters": "parameters",
        "presets": "presets",
    },
    "formats": {"format": "format", "of": "of", "suffixes": "suffixes", "read": "read by", "written": "written by"},
}
"""Kind → fields that its table shows, with their titles."""


def rows_of(kind: Kind) -> list[Row]:
    """Return all encoders, index cards, measures or formats."""
    rows: dict[Kind, Callable[[], Iterator[Row]]] = {
        "encoders": _encoders,
        "indexes": _indexes,
        "measures": _measures,
        "formats": _formats,
    }
    return list(rows[kind]())


def table_of(kind: Kind, rows: Sequence[Row]) -> str:
    """Return rows as lines; the words below say what a column means."""
    columns = _COLUMNS[kind]
    cells = [[_cell(field, row[field]) for field in columns] for row in rows]
    lines = _lines([[*columns.values()], *cells])
    return f"{lines}\n{_WORDS[kind]}\n"


_WORDS: dict[Kind, str] = {
    "encoders": "idf: the power of the collection's idf in the weights of queries. tokens: of a document, where the "
    "card says it,\nelse the encoder's own. verified: compared here with what its authors published.",
    "indexes": "splade-anserini reproduce NAME builds one and compares its scores with those that are expected.",
    "measures": "Names are those of https://ir-measur.es; evaluate also understands those of trec_eval.",
    "formats": f"What is read may be compressed: {' '.join(SUFFIXES)}. See docs/formats.md.",
}


def _lines(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as lines, all columns aligned to the left, separated by two spaces."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "".join(f"{line}\n" for line in lines)


def _cell(field: str, value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int() if field == "size":
            return f"{value / 1e6:.0f} MB"
        case float():
            return f"{value:g}"
        case list() | tuple():
            return " ".join(map(str, value))
        case _:
            return str(value)


def _encoders() -> Iterator[Row]:
    for name in available_encoders():
        card = find_encoder_card(name)
        directory = _directory(name)
        said = card.model_fields_set
        yield {
            "name": name,
            "from": _origin(card, directory),
            "source": card.source,
            "downloaded": _downloaded(card) is not None,
            "size": _size(directory or _downloaded(card)),
            "pooling": card.pooling,
            "activation": card.activation,
            "query_side": card.query_side or (card.training.query_side if card.training else "splade"),
            "query_idf": card.query_idf,
            "max_length": card.max_length if "max_length" in said else None,
            "query_max_length": card.query_max_length if "query_max_length" in said else None,
            "scale": card.scale,
            "license": card.license,
            "verified": card.verified,
            "trainable": card.training is not None,
            "description": card.description,
        }


def _directory(name: str) -> Path | None:
    """Return the directory of the encoder that a card describes; None when it is elsewhere or not trained yet."""
    try:
        location = Path(find_encoder(name).location)
    except InputError:
        return None
    return location if location.is_dir() else None


def _origin(card: EncoderCard, directory: Path | None) -> str:
    if directory is None:
        if card.training:
            return "to be trained"
        return "Hugging Face, downloaded" if _downloaded(card) else "Hugging Face"
    return "the package" if directory.is_relative_to(encoders_home()) else "here"


def _downloaded(card: EncoderCard) -> Path | None:
    """Return the files of an encoder in the cache of Hugging Face; None when they are not there."""
    directory = hub_cache(os.environ) / f"models--{card.source.replace('/', '--')}" / "snapshots"
    snapshots = sorted(directory.iterdir(), key=lambda path: path.stat().st_mtime) if directory.is_dir() else []
    return snapshots[-1] if snapshots else None


def _size(directory: Path | None) -> int | None:
    """Return the bytes of all files; links, as in a cache, count as what they lead to."""
    if directory is None:
        return None
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def _indexes() -> Iterator[Row]:
    for name in available_indexes():
        (path,) = find_index_cards(name)
        card = read_card(path, IndexCard)
        directories = (home / card.name for home in index_homes(path))
        directory = next((directory for directory in directories if directory.is_dir()), None)
        yield {
            "name": name,
            "encoder": card.encoder or None,
            "documents": card.impacts or card.corpus,
            "evaluations": [table.name for table in card.evaluation],
            "expected": {table.name: table.expected for table in card.evaluation},
            "built": directory is not None,
            "directory": str(directory) if directory else None,
            "description": card.description,
        }


def _measures() -> Iterator[Row]:
    from ir_measures import measures

    from splade_anserini.evaluation.measures import MEASURES, PRESETS

    aliases: dict[str, list[str]] = {}
    for alias, measure in measures.registry.items():
        aliases.setdefault(str(measure), []).append(alias)
    for name, names in aliases.items():
        measure = measures.registry[names[0]]
        if not _can_be_computed(name):
            continue
        words = " ".join((measure.__doc__ or "").split())
        yield {
            "name": name,
            "aliases": [alias for alias in names if alias != name],
            "cutoff": "cutoff" in measure.SUPPORTED_PARAMS,
            "parameters": [parameter for parameter in measure.SUPPORTED_PARAMS if parameter != "cutoff"],
            "default": [measure for measure in MEASURES if _is(name, measure)],
            "presets": [preset.value for preset, names in PRESETS.items() if any(_is(name, one) for one in names)],
            "description": words.partition(". ")[0].rstrip("."),
        }


def _can_be_computed(name: str) -> bool:
    """Return whether evaluate takes a measure, alone or with a cutoff, with the packages that are installed."""
    from splade_anserini.evaluation.measures import parse_measures

    for spelling in (name, f"{name}@10"):
        with suppress(InputError):
            parse_measures([spelling])
            return True
    return False


def _is(name: str, measure: str) -> bool:
    return measure.partition("@")[0].partition("(")[0] == name


def _formats() -> Iterator[Row]:
    from splade_anserini.conversion import FORMATS
    from splade_anserini.formats import corpus_files, examples, topics
    from splade_anserini.formats.runs import RunFormat

    vectors = ["index", "convert"]
    for name, format_ in FORMATS.items():
        yield _format(
            name,
            "impact vectors of documents",
            [*format_.suffixes, *format_.input_suffixes] or ["a directory"],
            vectors,
            ["encode", "convert"] if not format_.suffixes else ["convert"],
        )
        if format_.topic_suffixes:
            reads = ["search", "rescore", "convert"] if not format_.suffixes else ["convert"]
            yield _format(name, "impact vectors of topics", format_.topic_suffixes, reads, ["convert"])
    yield _format("texts", "corpora", corpus_files.SUFFIXES, ["encode", "index --bm25", "train", "mine"], [])
    yield _format("texts", "topics", topics.SUFFIXES, ["search", "rescore", "profile", "sweep"], [])
    yield _format("qrels", "judgements", [], ["evaluate", "sweep", "mine"], [])
    for name in get_args(RunFormat.__value__):
        yield _format(name, "runs", [], ["evaluate", "fuse", "rescore", "mine"], ["search", "fuse", "rescore"])
    yield _format("examples", "training examples", examples.FILE_SUFFIXES, ["train", "score"], ["mine", "score"])


def _format(name: str, of: str, suffixes: Sequence[str], read: Sequence[str], written: Sequence[str]) -> Row:
    return {"format": name, "of": of, "suffixes": list(suffixes), "read": list(read), "written": list(written)}
