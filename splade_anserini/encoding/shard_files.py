"""Writing the file of one shard: documents in, a file and what the manifest says of it out."""

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from itertools import batched
from pathlib import Path
from types import MappingProxyType
from typing import IO, NamedTuple, Protocol

from splade_anserini.artifacts.manifests import Counts, EncoderIdentity, Shard
from splade_anserini.encoding.document import SpladeDocumentEncoder
from splade_anserini.encoding.options import WINDOW, EncodeOptions
from splade_anserini.encoding.protocol import Encoder
from splade_anserini.encoding.tokenized import TokenizedEncoder
from splade_anserini.formats.corpora import CorpusDigest
from splade_anserini.formats.impacts import ImpactWriter
from splade_anserini.progress import Progress
from splade_anserini.records import Document, ImpactDocument, ImpactVector

_NONE_KNOWN: Mapping[str, ImpactVector] = MappingProxyType({})


class PendingShard(NamedTuple):
    """A shard that is to be encoded. Its documents must be read before the next one is drawn."""

    path: Path
    documents: Iterator[Document]
    known: Mapping[str, ImpactVector] = _NONE_KNOWN
    """Vectors of documents that were encoded before, by id; only a writer that `reuses_documents` takes them."""


class ShardWriter(Protocol):
    """Encodes shards and writes their files: in this process (`InProcess`) or in others (`EncoderWorkers`)."""

    @property
    def identity(self) -> EncoderIdentity:
        """The encoder's identity."""
        ...

    @property
    def max_length(self) -> int:
        """Tokens of a text that are read."""
        ...

    @property
    def workers(self) -> int:
        """How many shards are encoded at the same time, at most."""
        ...

    @property
    def reuses_documents(self) -> bool:
        """Whether documents of a shard need not be encoded again whose vectors are known, with the same bytes."""
        ...

    def write(self, shards: Iterable[PendingShard], options: EncodeOptions, progress: Progress) -> Iterator[Shard]:
        """Write the file of each shard, and yield what the manifest says of it, in order.

        A file appears as a whole, just before its shard is yielded.
        """
        ...


class InProcess:
    """Encodes shards in this process, and streams them into their files."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    @property
    def identity(self) -> EncoderIdentity:
        """The encoder's identity."""
        return self._encoder.identity

    @property
    def max_length(self) -> int:
        """Tokens of a text that are read."""
        return self._encoder.max_length

    @property
    def workers(self) -> int:
        """One."""
        return 1

    @property
    def reuses_documents(self) -> bool:
        """Whether weights do not depend on which texts are in a batch."""
        return not isinstance(self._encoder, TokenizedEncoder) or self._encoder.batching is None

    def write(self, shards: Iterable[PendingShard], options: EncodeOptions, progress: Progress) -> Iterator[Shard]:
        """Write one shard after the other."""
        encoder = document_encoder(self._encoder, options)
        for shard in shards:
            yield write_shard(shard.path, encoder, shard.documents, progress, known=shard.known)


def document_encoder(encoder: Encoder, options: EncodeOptions) -> SpladeDocumentEncoder:
    """Return the encoder of documents with the options that decide what is kept of each."""
    return SpladeDocumentEncoder(encoder, scale=options.scale, top_k=options.top_k, contents=options.contents)


def write_shard(
    path: Path,
    encoder: SpladeDocumentEncoder,
    documents: Iterable[Document],
    progress: Progress,
    *,
    into: IO[bytes] | None = None,
    known: Mapping[str, ImpactVector] = _NONE_KNOWN,
) -> Shard:
    """Encode documents into the file at `path`, or as its bytes `into` another; return what the manifest says of it.

    Those whose vectors are `known` are not encoded.
    """
    digest = CorpusDigest()

    def digested() -> Iterator[Document]:
        for document in documents:
            digest.update(document)
            yield document

    indexed = postings = impacts = ids_with_spaces = 0
    empty: list[str] = []
    before = encoder.truncation.record() if encoder.truncation else None
    pseudo_documents = _with_known(encoder, digested(), known) if known else encoder.encode(digested())
    with ImpactWriter(path, into=into) as writer, closing(pseudo_documents) as encoded:
        for document in encoded:
            writer.write(document)
            ids_with_spaces += " " in document.id
            if document.vector:
                indexed += 1
                postings += len(document.vector)
                impacts += sum(document.vector.values())
            else:
                empty.append(document.id)
            progress(1)
    counts = Counts(documents=indexed, postings=postings, impacts=impacts)
    batching = encoder.encoder.batching if isinstance(encoder.encoder, TokenizedEncoder) else None
    return Shard(
        file=path.name,
        counts=counts,
        empty=tuple(empty),
        digest=digest.hexdigest(),
        batching=batching,
        truncation=encoder.truncation.record() - before if encoder.truncation and before else None,
        ids_with_spaces=ids_with_spaces,
        sha256=writer.sha256,
    )


def _with_known(
    encoder: SpladeDocumentEncoder, documents: Iterable[Document], known: Mapping[str, ImpactVector]
) -> Generator[ImpactDocument]:
    """Encode documents, all of which are kept in memory, except those whose vectors are known; these are tokenized."""
    shard = list(documents)
    tokenized = encoder.encoder if isinstance(encoder.encoder, TokenizedEncoder) else None
    for window in batched((document.contents for document in shard if document.id in known), WINDOW):
        if tokenized:
            tokenized.prepare(window, encoder.truncation)
    with closing(encoder.encode(document for document in shard if document.id not in known)) as encoded:
        for document in shard:
            if document.id in known:
                yield ImpactDocument(document.id, known[document.id], document.contents if encoder.contents else "")
            else:
                yield next(encoded)
