"""How queries are encoded and weighted where no option says it: as the index records it, else as their encoder says.

An index records what its encoder said when it was built, so a later version of the encoder's card does not change what
is found in it. Indexes of version 0.1 record nothing, and are searched as that version searched them.
"""

import logging

from splade_anserini.artifacts.document_idf import DocumentIdf
from splade_anserini.artifacts.manifests import EncodeSettings, IndexManifest
from splade_anserini.cards.finding import EncoderSource, find_encoder
from splade_anserini.encoding.usage import query_idf_of
from splade_anserini.errors import NOTE, InputError
from splade_anserini.lucene.document_idf import refuse_idf_twice
from splade_anserini.retrieval.options import QueryOptions

_log = logging.getLogger(__name__)


def query_idf_for(
    documents: IndexManifest | EncodeSettings | None, options: QueryOptions, source: str = "The index"
) -> float:
    """Return the power of idf for queries of `documents`; a note says so where no option says it and it is not 0.

    It is that of `options`, else that which the index records, else, when the encoder of the documents is not known,
    that of the encoder which `options` names. Where the impacts of the documents were multiplied by idf, it is 0 unless
    `options` says otherwise with `force`; else that is a `MismatchError`. `source` names the documents in messages.
    """
    if documents and documents.document_idf:
        return _beside_document_idf(documents.document_idf, options, source)
    if options.query_idf is not None:
        return options.query_idf
    if isinstance(documents, IndexManifest) and documents.encoder:
        power, says = documents.query_idf or 0.0, f"the manifest of {source[:1].lower()}{source[1:]}"
    else:
        encoder = options.encoder or (documents.encoder.name if documents and documents.encoder else None)
        power, says = query_idf_of_encoder(encoder), f"encoder {encoder}"
    if power:
        _log.log(NOTE, "Impacts of queries are multiplied by idf^%g, as %s says (--query-idf).", power, says)
    return power


def _beside_document_idf(idf: DocumentIdf, options: QueryOptions, source: str) -> float:
    refuse_idf_twice(idf, options.query_idf or 0.0, source, force=options.force)
    if options.query_idf is None:
        _log.log(
            NOTE,
            "Impacts of queries are not multiplied by idf: those of %s were, by idf^%g (--document-idf).",
            f"{source[:1].lower()}{source[1:]}",
            idf.alpha,
        )
    return options.query_idf or 0.0


def query_idf_of_encoder(name: str | None) -> float:
    """Return the power of idf with which the encoder of this name is used, 0 when there is none."""
    encoder = _encoder(name)
    return query_idf_of(encoder) if encoder else 0.0


def query_max_length_for(documents: IndexManifest | EncodeSettings | None, options: QueryOptions) -> int | None:
    """Return the tokens of a query that are encoded: of `options`, else what the index records, else None.

    None is the value of the encoder, also where `options` names another encoder than that of the documents. Indexes of
    version 0.1 record nothing; for them a card may have `earlier_query_max_length`.
    """
    if options.max_length is not None or not isinstance(documents, IndexManifest) or documents.encoder is None:
        return options.max_length
    if options.encoder not in (None, documents.encoder.name):
        return None
    if documents.query_idf is not None:
        return documents.query_max_length
    found = _encoder(documents.encoder.name)
    return found.card.earlier_query_max_length if found and found.card else None


def _encoder(name: str | None) -> EncoderSource | None:
    try:
        return find_encoder(name) if name else None
    except InputError:
        return None
