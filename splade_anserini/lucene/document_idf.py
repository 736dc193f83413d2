"""The idf of a collection, multiplied into the impacts of its documents before they are indexed.

The vectors are read twice: first the documents with each token are counted, then the products are indexed. Memory is
that of the table of tokens.
"""

import logging
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import batched
from pathlib import Path
from queue import SimpleQueue

from splade_anserini.artifacts.document_idf import DocumentIdf
from splade_anserini.artifacts.manifests import Counts, IndexManifest, read_manifest
from splade_anserini.errors import InputError, IntegrityError, MismatchError, counted
from splade_anserini.formats.impacts import DocumentCounter, no_records
from splade_anserini.formats.parsing.lines import Location
from splade_anserini.formats.tokens import GREATEST_IMPACT
from splade_anserini.formats.vectors import VectorReader
from splade_anserini.lucene.index_options import IndexOptions
from splade_anserini.lucene.sources import ImpactSource, nothing_to_index
from splade_anserini.parallel import drawn_in_threads, taken_from
from splade_anserini.progress import Progress, silent
from splade_anserini.records import ImpactDocument, ImpactVector, StrPath
from splade_anserini.vectors.idf import CollectionIdf

_log = logging.getLogger(__name__)

_STEP = 256
"""Documents that are counted between two reports of progress."""


def multiplied_by_idf(
    source: ImpactSource, alpha: float, threads: int = 1, progress: Progress = silent
) -> ImpactSource:
    """Return a source whose documents are indexed with each impact times idf^alpha of its token in the source.

    Reads all documents, and reports them to `progress`. Raises `InputError` for impacts that are such products already,
    `MismatchError` for a part of a collection, `IntegrityError` for counts that are not those of the manifest.
    """
    _require_whole_collection(source)
    counters = _count(source, threads, progress)
    counts = sum((counter.counts for counter in counters), Counts())
    if source.counts and (differences := counts.differences(source.counts)):
        raise IntegrityError(
            f"{source.path} does not match its manifest: {'; '.join(differences)}.",
            do="A file was changed after it was written: encode again into an empty directory. No index was written.",
        )
    if not counts.documents:
        empty = sum(counter.empty for counter in counters)
        raise nothing_to_index(source) if empty else no_records(source.path)
    return replace(
        source,
        idf=CollectionIdf(
            alpha, counts.documents, sum_of_frequencies([counter.frequencies for counter in counters]) or {}
        ),
    )


def with_document_idf(source: ImpactSource, options: IndexOptions, progress: Progress = silent) -> ImpactSource:
    """Return `multiplied_by_idf` of a source as `options` say, which may be the source itself."""
    if not options.document_idf:
        return source
    return multiplied_by_idf(source, options.document_idf, max(1, options.workers // 2), progress)


class FrequencyCounter(DocumentCounter):
    """Counts documents, and those with each token."""

    def __init__(self) -> None:
        super().__init__()
        self.frequencies = Counter[str]()
        """Token → number of documents with it."""

    def add(self, document: ImpactDocument) -> None:
        """Count one document."""
        super().add(document)
        self.frequencies.update(document.vector.keys())


class WeightedDocuments:
    """Multiplies documents by idf as they are indexed, and counts the products. Each thread needs its own."""

    def __init__(self, source: ImpactSource, idf: CollectionIdf) -> None:
        self._source = source
        self._idf = idf
        # What a checksum proves to be as it was counted is not counted again.
        self.before = DocumentCounter() if source.is_sealed else FrequencyCounter()
        """Of the documents as they are; who reads them counts them."""
        self.after = DocumentCounter()

    def weighted(self, document: ImpactDocument, location: Location) -> ImpactDocument:
        """Return a document with its products. Raises `RecordError` for one that is too great."""
        try:
            vector = self._idf.weighted(document.vector)
        except KeyError as error:
            raise changed_while_read(self._source.path) from error
        check_products(document.vector, vector, location)
        product = ImpactDocument(document.id, vector, document.contents)
        self.after.add(product)
        return product


def weighted_documents(
    source: ImpactSource, reader: VectorReader
) -> Generator[ImpactDocument, None, tuple[Counts, Counts]]:
    """Yield the documents of `multiplied_by_idf` with their products, also those without an entry.

    Returns the counts before and after. Raises `IntegrityError` when other documents were counted.
    """
    if source.idf is None:
        raise ValueError("the documents were not counted")
    weights = WeightedDocuments(source, source.idf)
    for path in source.files.files:
        for location, document in source.located_documents(path, reader):
            weights.before.add(document)
            yield weights.weighted(document, location)
    before = weights.before
    frequencies = before.frequencies if isinstance(before, FrequencyCounter) else None
    require_unchanged(source, before.counts.documents, frequencies)
    return weights.before.counts, weights.after.counts


def check_products(vector: ImpactVector, products: ImpactVector, location: Location) -> None:
    """Raise `RecordError` for a product that is greater than impacts may be."""
    if products and max(products.values()) > GREATEST_IMPACT:
        token = max(products, key=products.__getitem__)
        raise location.error(
            f"the impact of {token!r} is {vector[token]:,}, and {products[token]:,} with its idf",
            expected=f"products of at most {GREATEST_IMPACT:,}",
            do="Use a smaller --document-idf, or a smaller scale.",
        )


def require_unchanged(source: ImpactSource, documents: int, frequencies: Mapping[str, int] | None) -> None:
    """Raise `IntegrityError` when the documents that were multiplied are not those that had been counted.

    `documents` is their number; `frequencies`, with each token, is None where checksums make that needless.
    """
    idf = source.idf
    if idf and (documents != idf.documents or (frequencies is not None and frequencies != idf.frequencies)):
        raise changed_while_read(source.path)


def changed_while_read(path: Path) -> IntegrityError:
    """Return the error for vectors that differ between two readings."""
    return IntegrityError(
        f"{path} was changed while it was read: the second reading has other documents than the first.",
        do="Run the command again when nothing writes there any more.",
    )


def all_became_zero(path: Path, alpha: float) -> InputError:
    """Return the error for a collection of which no entry is left."""
    return InputError(
        f"{path} has nothing to index: with --document-idf {alpha:g} all impacts become 0.",
        do="Use a smaller --document-idf, or a greater scale.",
    )


def document_idf_of(source: ImpactSource) -> DocumentIdf | None:
    """Return what the manifest of an index says of the idf in the impacts of its documents."""
    if source.idf is None:
        return source.settings.document_idf if source.settings else None
    return record_of_idf(source.idf)


def record_of_idf(idf: CollectionIdf) -> DocumentIdf:
    """Return what manifests say of the idf in impacts."""
    return DocumentIdf(alpha=idf.alpha, documents=idf.documents, frequencies=idf.fingerprint)


def document_idf_in(index: StrPath) -> DocumentIdf | None:
    """Return the idf by which the impacts of an index were multiplied, as its manifest says."""
    manifest = read_manifest(index, IndexManifest)
    return manifest.document_idf if manifest else None


def refuse_idf_twice(documents: DocumentIdf | None, power: float, source: str, *, force: bool = False) -> None:
    """Raise `MismatchError` when impacts of queries are to be multiplied by idf as well as those of the documents.

    With `force` only a warning is logged. `source` names the documents.
    """
    if documents is None or not power:
        return
    if not force:
        raise MismatchError(
            f"--query-idf {power:g} would count idf twice: the impacts of {source[:1].lower()}{source[1:]} were "
            f"multiplied by idf^{documents.alpha:g} of their tokens already (--document-idf).",
            expected="--query-idf 0",
            do="Leave --query-idf out, or add --force to multiply both.",
        )
    _log.warning(
        "Impacts of queries are multiplied by idf^%g, and those of %s were by idf^%g", power, source, documents.alpha
    )


def require_no_document_idf(index: StrPath, doing: str) -> None:
    """Raise `MismatchError` when the impacts of an index were multiplied by idf.

    `doing` completes "which … would make untrue", such as "merging it": with more documents, or fewer, each factor
    would be another.
    """
    if idf := document_idf_in(index):
        raise MismatchError(
            f"The impacts of index {index} were multiplied by idf^{idf.alpha:g} of their tokens in its "
            f"{counted(idf.documents, 'document')} (--document-idf), which {doing} would make untrue.",
            expected="an index without --document-idf",
            do="Index the vectors of all documents together with --document-idf, or without it and search with "
            "--query-idf.",
        )


def require_shared_document_idf(indexes: Sequence[StrPath]) -> None:
    """Raise `MismatchError` unless the impacts of all indexes have the idf of one collection, or of none.

    Shards that one `index --shards` wrote have that of all its documents.
    """
    records = [document_idf_in(index) for index in indexes]
    if any(record != records[0] for record in records):
        for index in indexes:
            require_no_document_idf(index, "joining it with others")


def _require_whole_collection(source: ImpactSource) -> None:
    if source.settings and source.settings.document_idf:
        raise InputError(
            f"The impacts of {source.path} were multiplied by idf^{source.settings.document_idf.alpha:g} already.",
            do="Leave --document-idf out.",
        )
    if source.which_part:
        raise MismatchError(
            f"{source.path} is {source.which_part}, and --document-idf counts the documents of the whole collection.",
            expected="all files and parts",
            do="Pass the directory that has all of them, or use --query-idf when you search.",
        )


def sum_of_frequencies(counters: Sequence[Mapping[str, int]]) -> Counter[str] | None:
    """Return the sums of several counts of tokens, None of none."""
    if not counters:
        return None
    total = Counter(counters[0])
    for counter in counters[1:]:
        total.update(counter)
    return total


def _count(source: ImpactSource, threads: int, progress: Progress) -> list[FrequencyCounter]:
    """Count the documents of all files; each thread reads some of the files."""
    files: SimpleQueue[Path] = SimpleQueue()
    for path in source.files.files:
        files.put(path)
    counters = [FrequencyCounter() for _ in range(threads)]
    with closing(drawn_in_threads([_count_files(source, files, counter) for counter in counters], 1)) as steps:
        for documents in steps:
            progress(documents)
    return counters


def _count_files(source: ImpactSource, files: "SimpleQueue[Path]", counter: FrequencyCounter) -> Generator[int]:
    """Count the documents of the files in a queue; yield how many after some of them."""
    reader = VectorReader(source.reading)
    for path in taken_from(files):
        for documents in batched(source.located_documents(path, reader), _STEP):
            for _, document in documents:
                counter.add(document)
            yield len(documents)
