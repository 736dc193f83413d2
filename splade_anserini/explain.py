"""The command `explain`: what a text becomes, and why a document has its score."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from splade_anserini.cards.default_encoder import DEFAULT_ENCODER
from splade_anserini.cli.console import main_of
from splade_anserini.cli.results import print_or_write
from splade_anserini.errors import InputError
from splade_anserini.modeling.options import remote_code_option
from splade_anserini.options import changed_options, option, options
from splade_anserini.retrieval.options import QueryOptions
from splade_anserini.vectors.scale import scale_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from splade_anserini.artifacts.manifests import IndexManifest
    from splade_anserini.explaining import Bm25Comparison, EncoderComparison, Expansion, Match
    from splade_anserini.explaining.explanation import ExplainedQuery, ExplainedVector, Explanation


@options
class TextOptions:
    """How the text is encoded."""

    encoder: str | None = option(
        default=None,
        help="Card name, encoder directory, or Hugging Face id or directory.",
        unset=f"the one that the index records, else {DEFAULT_ENCODER}",
    )
    side: Literal["query", "document"] = option(default="query", help="What the text is.")
    query_weights: str | None = option(
        default=None,
        metavar="JSON|@FILE",
        help='Other weights of some tokens, such as \'{"pain": 1.2, "mission": 0}\': 0 drops one, others are added.',
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
    bm25: str | None = option(
        default=None,
        metavar="DIR",
        help="With --docid: a text index of the same documents: BM25's score of the document, word by word.",
    )
    compare_encoder: str | None = option(
        default=None, metavar="<str>", help="Another encoder for the text: what both, or one alone, make of it."
    )

    def __post_init__(self) -> None:
        if self.docid is not None and self.doc is not None:
            raise InputError("--doc and --docid exclude each other.", do="Leave one of them out.")
        if self.docid is not None and self.index is None:
            raise InputError("--docid needs --index.", do="Add --index.")
        if self.compare is not None and self.docid is None:
            raise InputError("--compare needs --docid.", do="Add --docid, the other document.")
        if self.bm25 is not None and self.docid is None:
            raise InputError("--bm25 needs --docid.", do="Add --index and --docid.")


@options
class Shown:
    """How the explanation is shown, and where it goes."""

    top: int = option(default=20, least=1, help="Rows that are shown of each table.")
    format: Literal["table", "json", "html"] | None = option(
        default=None, help="How to show it.", unset="what the name of --output ends in, else table"
    )
    output: Path | None = option(default=None, help="File to write to.", unset="standard output")
    plot: Path | None = option(default=None, help="Picture of the bars: .png, .svg or .pdf.")
    overwrite: bool = option(default=False, help="Replace output files that exist.")

    @property
    def chosen_format(self) -> Literal["table", "json", "html"]:
        """`format`, or what the suffix of `output` says."""
        if self.format is not None:
            return self.format
        match self.output.suffix if self.output else "":
            case ".json":
                return "json"
            case ".html" | ".htm":
                return "html"
            case _:
                return "table"

    def check_files(self) -> None:
        """Raise `InputError` or `OutputError` when a file cannot be written, before anything is encoded."""
        from splade_anserini.artifacts.figures import require_figure_format
        from splade_anserini.artifacts.files import require_disjoint
        from splade_anserini.artifacts.outputs import require_new_file

        require_disjoint([self.output, self.plot], [])
        if self.plot is not None:
            require_figure_format(self.plot)
        for path in (self.output, self.plot):
            if path is not None:
                require_new_file(path, overwrite=self.overwrite)


def command(
    encoding: TextOptions,
    against: AgainstOptions,
    shown: Shown,
    text: Annotated[
        str | None, typer.Argument(help="The text to explain. [default: none, with --docid: the document's vector]")
    ] = None,
) -> None:
    """Show what a text becomes, from which of its tokens each entry comes, and why a document has its score.

    \b
    Examples:
      splade-anserini explain "pain in the head"
      splade-anserini explain "pain in the head" --doc "Ibuprofen relieves a headache."
      splade-anserini explain "pain in the head" --index indexes/mine --docid d1 --compare d2 --output why.html
      splade-anserini explain "pain in the head" --index indexes/mine --docid d1 --bm25 indexes/mine-bm25
      splade-anserini explain --index indexes/mine --docid d1
    """
    from splade_anserini.explaining.explanation import Explanation

    shown.check_files()
    if text is None:
        _write(_document(encoding, against), shown)
        return
    query = expanded(text, encoding, against.index)
    matches = _matches(query, encoding, against)
    other = _other_encoder(text, query, encoding, against)
    bm25 = _beside_bm25(text, matches, query, against)
    _write(Explanation(query, matches, other, bm25), shown)


def expanded(text: str, options: TextOptions, index: str | None = None) -> "ExplainedQuery":
    """Encode a text as `options` say, by default as the index records, and edit its weights.

    Raises `InputError` when there is no such encoder or index, or the text is empty.
    """
    from splade_anserini.encoding import EncoderOptions, default_scale, open_encoder
    from splade_anserini.explaining import expand
    from splade_anserini.explaining.explanation import ExplainedQuery
    from splade_anserini.retrieval.query_idf import weighted_by_idf
    from splade_anserini.retrieval.query_settings import query_idf_for
    from splade_anserini.retrieval.query_vectors import open_query_encoder_for

    if not text.strip():
        raise InputError("The text is empty.", expected="at least one word")
    path, manifest = _opened(index, force=options.force)
    name = options.encoder or (None if path else DEFAULT_ENCODER)
    if options.side == "document":
        name = name or (manifest.encoder.name if manifest and manifest.encoder else DEFAULT_ENCODER)
        settings = EncoderOptions(
            max_length=options.max_length, device=options.device, trust_remote_code=options.trust_remote_code
        )
        scale = options.scale or (manifest.scale if manifest else None) or default_scale(name)
        expansion = _edited(expand(text, open_encoder(name, settings), scale), options.query_weights)
        return ExplainedQuery(name, expansion, expansion.impacts, 0.0)
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
        return ExplainedQuery(name or "", expansion, expansion.impacts, 0.0)
    power = query_idf_for(manifest, query, f"Index {path}")
    name = name or (manifest.encoder.name if manifest and manifest.encoder else "")
    return ExplainedQuery(name, expansion, weighted_by_idf({"text": expansion.impacts}, path, power)["text"], power)


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


def _matches(query: "ExplainedQuery", encoding: TextOptions, against: AgainstOptions) -> "list[Match]":
    """Return the matches with a text, with a document, or with two documents of an index."""
    from splade_anserini.cards.finding import resolve_index
    from splade_anserini.encoding import EncoderOptions, open_encoder
    from splade_anserini.explaining import expand, explain_match

    unweighted = query.expansion.impacts if query.query_idf else None
    if against.doc is not None:
        name = encoding.encoder or query.encoder or DEFAULT_ENCODER
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


def _other_encoder(
    text: str, query: "ExplainedQuery", encoding: TextOptions, against: AgainstOptions
) -> "EncoderComparison | None":
    """Return what another encoder makes of the text, beside the first; None if no other is named."""
    if against.compare_encoder is None:
        return None
    from splade_anserini.explaining import compare_encoders

    options = dataclasses.replace(
        encoding, encoder=against.compare_encoder, scale=None, query_idf=None, query_weights=None
    )
    other = expanded(text, options)
    return compare_encoders((query.encoder, other.encoder), query.expansion, other.expansion)


def _beside_bm25(
    text: str, matches: "Sequence[Match]", query: "ExplainedQuery", against: AgainstOptions
) -> "list[Bm25Comparison]":
    """Return the scores of the documents beside BM25's; nothing without a text index."""
    if against.bm25 is None or against.index is None:
        return []
    from splade_anserini.cards.finding import resolve_index
    from splade_anserini.explaining import compare_bm25
    from splade_anserini.explaining.bm25 import DEEPEST
    from splade_anserini.lucene import ImpactSearcher, open_bm25_searcher

    with ImpactSearcher(resolve_index(against.index)) as impacts, open_bm25_searcher(against.bm25) as texts:
        ids = impacts.rank(query.impacts, DEEPEST).ids
        ((_, bm25_ranking),) = texts.rankings([("", text)], DEEPEST)
        return [
            compare_bm25(
                match,
                texts.term_scores(text, match.document),
                lambda token: next(iter(texts.words(token)), None),
                tokens=query.expansion.tokens,
                rank=_position(match.document, ids),
                bm25_rank=_position(match.document, bm25_ranking.ids),
            )
            for match in matches
        ]


def _position(doc_id: str, ids: "Sequence[str]") -> int | None:
    return ids.index(doc_id) + 1 if doc_id in ids else None


def _document(encoding: TextOptions, against: AgainstOptions) -> "ExplainedVector":
    """Return the vector of a document. Raises `InputError` without one, and for options that need a text."""
    from splade_anserini.cards.finding import resolve_index
    from splade_anserini.explaining import Vector
    from splade_anserini.explaining.explanation import ExplainedVector
    from splade_anserini.lucene.doc_vectors import document_vector

    if against.docid is None or against.index is None:
        raise InputError("There is no text to explain.", expected="a text, or --index and --docid")
    without_text = {"--index", "--docid", "--force"}
    unused = [name for name in (*changed_options(encoding), *changed_options(against)) if name not in without_text]
    if unused:
        raise InputError(f"{unused[0]} needs a text.", do=f"Add one, or leave {unused[0]} out.")
    _opened(against.index, force=encoding.force)
    return ExplainedVector(Vector(against.docid, document_vector(resolve_index(against.index), against.docid)))


def _write(explanation: "Explanation | ExplainedVector", shown: Shown) -> None:
    from splade_anserini.explaining.plots import plot_sections

    print_or_write(explanation.rendered(shown.chosen_format, shown.top), shown.output)
    if shown.plot is not None:
        plot_sections(explanation.sections(shown.top), shown.plot)


if __name__ == "__main__":
    main_of(command)
