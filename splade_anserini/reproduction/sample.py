"""How large a collection is, and a few of its documents, without downloading anything."""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from splade_anserini.errors import InputError
from splade_anserini.formats.irds import irds_count, is_irds
from splade_anserini.records import Document, ImpactDocument
from splade_anserini.reproduction.contract import Contract, Evaluation

SIZE = 48
"""Documents that are encoded to find out how long it takes."""
WORDS = 100.0
"""Words of an average document where the card does not say."""
COUNTED = 32_000_000
"""Bytes of impact pseudo-documents up to which their records are counted."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Documents like those of a corpus."""

    documents: tuple[Document, ...]
    total: int | None
    """How many the corpus has."""
    told: str
    """Where they come from."""
    counted: str
    """Where their number comes from."""


@dataclass(frozen=True, slots=True)
class ImpactSample:
    """The first documents of a corpus that is encoded already, or some that are made up."""

    documents: tuple[ImpactDocument, ...]
    total: int | None
    counted: str
    """Where their number comes from."""
    files: int


def sample_of(contract: Contract) -> Sample:
    """Draw documents of a corpus in files, or make up some of the length of those of ir_datasets."""
    from splade_anserini.formats.corpora import open_corpus

    if is_irds(contract.corpus):
        words = contract.card.words or WORDS
        length = f"{words:g} words" + ("" if contract.card.words else ", an assumption")
        return Sample(
            documents=tuple(_made_up(round(words))),
            total=irds_count(contract.corpus, "docs"),
            told=f"{SIZE} texts of {length} each",
            counted="read from ir_datasets' registry",
        )
    drawn, total = _drawn(open_corpus(contract.corpus))
    if not drawn:
        raise InputError(f"The corpus {contract.corpus} is empty.", expected="at least one document")
    return Sample(tuple(drawn), total, f"{len(drawn)} of its documents", "counted")


def impact_sample(path: Path, entries: int) -> ImpactSample:
    """Read the first documents of a file or directory, until they have so many entries together.

    How many there are is counted in a small collection; of a large one its manifest says it, or it is reckoned from
    the bytes that the first ones take when they are written again.
    """
    from splade_anserini.artifacts.manifests import ImpactManifest, read_manifest
    from splade_anserini.formats.impacts import impact_files, read_impacts

    files = [path] if path.is_file() else impact_files(path)
    stream = chain.from_iterable(map(read_impacts, files))
    first: list[ImpactDocument] = []
    missing = entries
    while missing > 0 and (document := next(stream, None)):
        first.append(document)
        missing -= len(document.vector)
    if not first:
        raise InputError(f"{path} holds no impact pseudo-documents.", expected="at least one record")
    if manifest := read_manifest(path, ImpactManifest):
        total, counted = manifest.counts.documents + manifest.empty, "read from the manifest"
    elif sum(file.stat().st_size for file in files) <= COUNTED:
        total, counted = len(first) + sum(1 for _ in stream), "counted"
    else:
        total = _reckoned(files, first)
        counted = f"reckoned from the first {len(first):,} and the size of the files"
    return ImpactSample(tuple(first), total, counted, len(files))


def _reckoned(files: list[Path], first: list[ImpactDocument]) -> int:
    """Return about how many documents the files hold."""
    from tempfile import TemporaryDirectory

    from splade_anserini.formats.impacts import ImpactWriter

    with TemporaryDirectory() as name:
        again = Path(name) / ("again.jsonl.gz" if files[0].suffix == ".gz" else "again.jsonl")
        with ImpactWriter(again) as writer:
            for document in first:
                writer.write(document)
        each = again.stat().st_size / len(first)
    return round(sum(file.stat().st_size for file in files) / each)


def topics_in(one: Evaluation) -> int | None:
    """Count the topics of an evaluation; None where that would need a download, or Java."""
    from splade_anserini.retrieval.topics import read_encoded_topics, read_topics

    if is_irds(one.topics):
        return irds_count(one.topics, "queries")
    if not Path(one.topics).exists():
        return None
    return len(read_encoded_topics(one.topics) if one.asked.encoded else read_topics(one.topics))


def _drawn(documents: Iterable[Document]) -> tuple[list[Document], int]:
    """Return `SIZE` documents, all equally likely, and the number of all; one pass, and few in memory."""
    chance = random.Random(42)  # noqa: S311  # a sample, no secret
    kept: list[Document] = []
    total = 0
    for total, document in enumerate(documents, 1):
        if len(kept) < SIZE:
            kept.append(document)
        elif (place := chance.randrange(total)) < SIZE:
            kept[place] = document
    return kept, total


def _made_up(words: int) -> Iterator[Document]:
    """Yield English texts of so many words: pieces of Cranfield, which is at hand."""
    from splade_anserini.cards.shipped import cranfield
    from splade_anserini.formats.corpora import open_corpus

    stream = (word for document in open_corpus(str(cranfield())) for word in document.text.split())
    for number in range(SIZE):
        yield Document(str(number), "", " ".join(islice(stream, words)))
