"""An indexer that writes an ordinary impact index."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import pyterrier as pt

from splade_anserini.cards.default_encoder import DEFAULT_ENCODER
from splade_anserini.encode import encode
from splade_anserini.encoding import EncodeOptions, Encoder, default_scale, open_encoder
from splade_anserini.errors import InputError
from splade_anserini.formats.corpora import InMemoryCorpus
from splade_anserini.formats.impacts import ImpactWriter
from splade_anserini.impact_index import ImpactIndex
from splade_anserini.index import index
from splade_anserini.lucene import IndexOptions
from splade_anserini.pyterrier.frames import TOKS, Described, impact_vector, joined
from splade_anserini.records import Document, ImpactDocument, StrPath


class ImpactIndexer(Described, pt.Indexer):
    """Writes the impact index `directory`, of documents with `docno` and either `toks` or text.

    Texts, the `fields` of a document, are encoded with `encoder` at `scale`, and the index records both, so that it
    encodes its queries itself. Documents with `toks` (of `DocumentEncoder`, or others) are indexed as they are. With
    `store_text` the index stores the texts. An index that exists is replaced only with `overwrite`.
    """

    def __init__(
        self,
        directory: StrPath,
        encoder: Encoder | StrPath = DEFAULT_ENCODER,
        *,
        fields: Sequence[str] = ("text",),
        scale: float | None = None,
        store_text: bool = False,
        overwrite: bool = False,
    ) -> None:
        self.directory, self.encoder, self.fields, self.scale = directory, encoder, tuple(fields), scale
        self.store_text, self.overwrite = store_text, overwrite

    def index_inputs(self) -> list[list[str]]:
        """Return the columns that `index` reads."""
        return [["docno", TOKS], ["docno", *self.fields]]

    def index(self, iter: Iterable[Mapping[str, Any]], **_: Any) -> ImpactIndex:  # noqa: A002  # PyTerrier's name
        """Index documents, given as dictionaries; return the index. Raises `InputError` for what cannot be indexed."""
        documents = enumerate(iter, 1)
        first = next(documents, None)
        if first is None:
            raise InputError("There are no documents to index.")
        encoded = TOKS in first[1]
        with TemporaryDirectory(prefix="splade-anserini-") as name:
            impacts = Path(name) / "impacts"
            if encoded:
                self._write_vectors(impacts, chain([first], documents))
            else:
                self._encode(Path(name) / "corpus.jsonl", impacts, chain([first], documents))
            options = IndexOptions(store_text=self.store_text)
            index(impacts, self.directory, options, overwrite=self.overwrite)
        return ImpactIndex.open(self.directory, query_encoder=None if encoded else self.encoder)

    def _write_vectors(self, impacts: Path, documents: Iterable[tuple[int, Mapping[str, Any]]]) -> None:
        with ImpactWriter(impacts / "documents.jsonl") as writer:
            for number, document in documents:
                docno, toks = _values(number, document, ("docno", TOKS))
                text = " ".join(filter(None, (document.get(field) for field in self.fields)))
                writer.write(ImpactDocument(docno, impact_vector(toks, TOKS), text if self.store_text else ""))

    def _encode(self, corpus: Path, impacts: Path, documents: Iterable[tuple[int, Mapping[str, Any]]]) -> None:
        # A corpus is read twice, and PyTerrier's iterators only once.
        with corpus.open("wb") as file:
            file.writelines(self._records(documents))
        encoder = self.encoder if isinstance(self.encoder, Encoder) else open_encoder(self.encoder)
        options = EncodeOptions(scale=self.scale or default_scale(self.encoder), contents=self.store_text)
        encode(InMemoryCorpus("documents", _Spool(corpus)), encoder, impacts, options)

    def _records(self, documents: Iterable[tuple[int, Mapping[str, Any]]]) -> Iterator[bytes]:
        for number, document in documents:
            docno, *values = _values(number, document, ("docno", *self.fields))
            yield orjson.dumps({"id": docno, "text": joined(values, self.fields)}, option=orjson.OPT_APPEND_NEWLINE)


class _Spool:
    """The documents in a file of JSON lines, which can be read more than once."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[Document]:
        with self._path.open("rb") as file:
            for line in file:
                record = orjson.loads(line)
                yield Document(record["id"], "", record["text"])


def _values(number: int, document: Mapping[str, Any], columns: Sequence[str]) -> list[Any]:
    missing = [column for column in columns if column not in document]
    if missing:
        raise InputError(f"Document {number:,} has no {missing[0]!r}.", expected=f"the columns {', '.join(columns)}")
    return [document[column] for column in columns]
