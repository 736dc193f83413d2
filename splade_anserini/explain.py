"""The command `explain`: what a text becomes, and why a document has its score."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from splade_anserini.cli.console import main_of
from splade_anserini.errors import InputError
from splade_anserini.modeling.options import remote_code_option
from splade_anserini.options import option, options
from splade_anserini.retrieval.options import QueryOptions
from splade_anserini.vectors.scale import scale_option

if TYPE_CHECKING:
    from splade_anserini.artifacts.manifests import IndexManifest
    from splade_anserini.explaining import Expansion, Match
    from splade_anserini.records import ImpactVector


@options
class TextOptions:
    """How the text is encoded."""

    encoder: str | None = option(
        default=None,
        help="Card name, encoder directory, or Hugging Face id or directory.",
        unset="the one that the index records, else splade-mini",
    )
    side: Literal["query", "document"] = option(default="query", help="What the text is.")
    query_weights: str | None = option(
        default=None,
        metavar="JSON|@FILE",
        help='Other weights of some tokens, such as \'{"pain": 1.2, "wicket": 0}\': 0 drops one, others are added.',
    )
    query_idf: float | None = option(
        default=None,
        least=0,
        greatest=10,
        metavar="ALPHA",
        help="With --index: multiply each impact of the query by idf^ALPHA, as search does.",
        unset="what the index records of its encoder",
    )
    max_length: int | None = option(default=None, least=3, help="Tokens that are read.", unset="the encoder's")
    scale: float | None = scale_option(help="impact = round(weight × scale).", unset="that of the index or encoder")
    device: str = option(default="auto", help="auto, cpu, cuda, cuda:n or mps.")
    trust_remote_code: bool = remote_code_option()
    force: bool = option(default=False, help="Accept an encoder or a scale that is not that of the documents.")


@options
class AgainstOptions:
    """What the text is compared with."""

    doc: str | None = option(default=None, help="The text of a document: its score, term by term.")
    index: str | None = option(default=None, help="An impact index, or the name of an index card, for --docid.")
    docid: str | None = option(default=None, help="With --index: the id of a document: its score, term by term.")
    compare: str | None = option(
        default=None, metavar="DOCID", help="With --docid: another document: what makes the difference."
    )

    def __post_init__(self) -> None:
        if self.docid is not None and self.doc is not None:
            raise InputError("--doc and --docid exclude each other.", do="Leave one of them out.")
        if self.docid is not None and self.index is None:
            raise InputError("--docid needs --index.", do="Add --index.")
        if self.compare is not None and self.docid is None:
            raise InputError("--compare needs --docid.", do="Add --docid, the other document.")


@options
class Shown:
    """How the explanation is printed."""

    top: int = option(default=20, least=1, help="Rows that are shown of each table.")
    format: Literal["table", "json"] = option(default="table", help="How to print.")


@dataclass(frozen=True, slots=True)
class Query:
    """A query as it is searched in an index."""

    expansion: "Expansion"
    impacts: "ImpactVector"
    """Times idf, if the index or an option says so."""
    query_idf: float


def command(
    text: Annotated[str, typer.Argument(help="The text to explain.")],
    encoding: TextOptions,
    against: AgainstOptions,
    shown: Shown,
) -> None:
    """Show what a text becomes, from which of its tokens each entry comes, and why a document has its score.

    \b
    Examples:
      splade-anserini explain "pain in the head"
      splade-anserini explain "pain in the head" --doc "Ibuprofen relieves a headache."
      splade-anserini explain "pain in the head" --index indexes/mine --docid d1 --compare d2
    """
    query = expanded(text, encoding, against.index)
    matches = _matches(query, encoding, against)
    if shown.format == "json":
        typer.echo(_as_json(query, matches).decode(), nl=False)
    else:
        typer.echo(_as_text(query, matches, shown.top), nl=False)


def expanded(text: str, options: TextOptions, index: str | None = None) -> Query:
    """Encode a text as `options` say, by default as the index records, and edit its weights.

    Raises `InputError` when there is no such encoder or index, or the text is empty.
    """
    from splade_anserini.encoding import EncoderOptions, default_scale, open_encoder
    from splade_anserini.explaining import expand
    from splade_anserini.retrieval.query_idf import weighted_by_idf
    from splade_anserini.retrieval.query_settings import query_idf_for
    from splade_anserini.retrieval.query_vectors import open_query_encoder_for

    if not text.strip():
        raise InputError("The text is empty.", expected="at least one word")
    path, manifest = _opened(index, force=options.force)
    name = options.encoder or (None if path else "splade-mini")
    if options.side == "document":
        name = name or (manifest.encoder.name if manifest and manifest.encoder else "splade-mini")
        settings = EncoderOptions(
            max_length=options.max_length, device=options.device, trust_remote_code=options.trust_remote_code
        )
        scale = options.scale or (manifest.scale if manifest else None) or default_scale(name)
        expansion = _edited(expand(text, open_encoder(name, settings), scale), options.query_weights)
        return Query(expansion, expansion.impacts, 0.0)
    query = QueryOptions(
        encoder=name,
        max_length=options.max_length,
        scale=options.scale,
        query_idf=options.query_idf,
        device=options.device,
        trust_remote_code=options.trust_remote_code,
        force=options.force,
    )
    encoder = open_query_encoder_for(manifest, f"Index {path}" if path else "The text", query, low_latency=True)
    expansion = _edited(expand(text, encoder.encoder, encoder.scale), options.query_weights)
    if path is None:
        if options.query_idf:
            raise InputError("--query-idf needs --index, whose documents are counted.", do="Add --index.")
        return Query(expansion, expansion.impacts, 0.0)
    power = query_idf_for(manifest, query, f"Index {path}")
    return Query(expansion, weighted_by_idf({"text": expansion.impacts}, path, power)["text"], power)


def _opened(index: str | None, *, force: bool) -> "tuple[Path | None, IndexManifest | None]":
    from splade_anserini.artifacts.manifests import IndexManifest, read_manifest
    from splade_anserini.cards.finding import resolve_index
    from splade_anserini.lucene import start_jvm
    from splade_anserini.lucene.index_reader import check_index_files, require_impact_index

    if index is None:
        return None, None
    path = resolve_index(index)
    start_jvm()
    check_index_files(path)
    require_impact_index(path, force=force)
    return path, read_manifest(path, IndexManifest)


def _edited(expansion: "Expansion", weights: str | None) -> "Expansion":
    from splade_anserini.explaining.weights import read_weights

    return expansion if weights is None else expansion.edited(read_weights(weights))


def _matches(query: Query, encoding: TextOptions, against: AgainstOptions) -> "list[Match]":
    """Return the matches with a text, with a document, or with two documents of an index."""
    from splade_anserini.cards.finding import resolve_index
    from splade_anserini.encoding import EncoderOptions, open_encoder
    from splade_anserini.explaining import expand, explain_match

    unweighted = query.expansion.impacts if query.query_idf else None
    if against.doc is not None:
        name = encoding.encoder or "splade-mini"
        settings = EncoderOptions(device=encoding.device, trust_remote_code=encoding.trust_remote_code)
        document = expand(against.doc, open_encoder(name, settings), query.expansion.scale)
        return [explain_match(query.impacts, document.impacts, against.doc, unweighted)]
    if against.docid is None or against.index is None:
        return []
    from splade_anserini.lucene.doc_vectors import document_vector

    path = resolve_index(against.index)
    return [
        explain_match(query.impacts, document_vector(path, doc_id), doc_id, unweighted)
        for doc_id in (against.docid, against.compare)
        if doc_id is not None
    ]


def _as_text(query: Query, matches: "list[Match]", top: int) -> str:
    from splade_anserini.explaining import compare
    from splade_anserini.explaining.rendering import comparison_text, expansion_text, match_text

    parts = [expansion_text(query.expansion, top)]
    if query.query_idf:
        parts.append(f"In the index, impacts are multiplied by idf^{query.query_idf:g}.\n")
    parts += [match_text(match, top) for match in matches]
    if len(matches) > 1:
        parts.append(comparison_text(compare(*matches), top))
    return "\n".join(parts)


def _as_json(query: Query, matches: "list[Match]") -> bytes:
    """Return one object: the query, and score and terms of the match, or both matches and their difference."""
    import orjson

    from splade_anserini.explaining import compare

    values: dict[str, object] = {"query": query.expansion.values() | {"query_idf": query.query_idf}}
    if len(matches) == 1:
        values |= matches[0].values()
    elif matches:
        values["comparison"] = compare(*matches).values()
    return orjson.dumps(values, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


if __name__ == "__main__":
    main_of(command)
