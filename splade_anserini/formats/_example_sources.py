"""Where training examples come from besides files of triples: judgements, and documents themselves."""

import re
from collections.abc import Iterator

from splade_anserini.formats.corpora import Corpus
from splade_anserini.formats.example_records import ExampleRecord, Passage
from splade_anserini.formats.irds import irds_has, irds_items
from splade_anserini.formats.parsing.duplicates import digest_of
from splade_anserini.formats.qrels import placed_qrels, training_qrels
from splade_anserini.formats.texts import Texts
from splade_anserini.records import Document

QUERY_WORDS = range(4, 41)
"""How long a sentence may be that stands for a query."""

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


def judged_pairs(source: str, texts: Texts) -> Iterator[bytes]:
    """Yield query<TAB>document, as ids, of each judgement above 0 in a BEIR directory's splits.

    Raises `RecordError` for an id without a text.
    """
    for place, qrel in training_qrels(source):
        if qrel.relevance > 0:
            ExampleRecord(Passage(qrel.query_id), Passage(qrel.doc_id)).check(texts, place)
            yield f"{qrel.query_id}\t{qrel.doc_id}".encode()


def irds_ids(source: str) -> Iterator[bytes]:
    """Yield the docpairs of `irds:<name>` as query<TAB>document<TAB>document, else its judgements above 0 as pairs."""
    if irds_has(source, "docpairs"):
        for pair in irds_items(source, "docpairs"):
            yield f"{pair.query_id}\t{pair.doc_id_a}\t{pair.doc_id_b}".encode()
        return
    for _, qrel in placed_qrels(source):
        if qrel.relevance > 0:
            yield f"{qrel.query_id}\t{qrel.doc_id}".encode()


def titles(corpus: Corpus) -> Iterator[bytes]:
    """Yield title → text of each document that has both, as JSON."""
    for document in corpus:
        if document.title.strip() and document.text.strip():
            yield _line(document, document.title, document.text)


def sentences(corpus: Corpus) -> Iterator[bytes]:
    """Yield one sentence → the rest of each document that has three, as JSON (Lee et al. 2019, inverse cloze task)."""
    for document in corpus:
        if cloze := split_cloze(document):
            yield _line(document, *cloze)


def split_cloze(document: Document) -> tuple[str, str] | None:
    """Return one sentence of 4 to 40 words, and title and text without it; None for fewer than three sentences.

    Its id alone decides which of the document's sentences it is.
    """
    parts = [part for part in _SENTENCE_END.split(document.text) if part.strip()]
    candidates = [number for number, part in enumerate(parts) if len(part.split()) in QUERY_WORDS]
    if len(parts) < 3 or not candidates:
        return None
    chosen = candidates[int.from_bytes(digest_of(document.id)[8:], "little") % len(candidates)]
    rest = " ".join(part.strip() for number, part in enumerate(parts) if number != chosen)
    return parts[chosen].strip(), Document(document.id, document.title, rest).contents


def _line(document: Document, query: str, positive: str) -> bytes:
    return ExampleRecord(Passage(None, query), Passage(document.id, positive)).json_line()
