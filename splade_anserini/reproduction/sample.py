"""How large a collection is, and a few of its documents, without downloading anything."""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from splade_anserini.formats.irds import Kind, irds_count, is_irds
from splade_anserini.records import Document
from splade_anserini.reproduction.contract import Contract, Evaluation

SIZE = 48
"""Documents that are encoded to find out how long it takes."""
WORDS = 100.0
"""Words of an average document where the card does not say."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Documents like those of a corpus."""

    documents: tuple[Document, ...]
    total: int | None
    """How many the corpus has."""
    told: str
    """Where they come from."""


def sample_of(contract: Contract) -> Sample:
    """Draw documents of a corpus in files, or make up some of the length of those of ir_datasets."""
    from splade_anserini.formats.corpora import open_corpus

    if is_irds(contract.corpus):
        words = contract.card.words or WORDS
        length = f"{words:g} words" + ("" if contract.card.words else ", an assumption")
        return Sample(
            tuple(_made_up(round(words))), irds_count(contract.corpus, "docs"), f"{SIZE} texts of {length} each"
        )
    drawn, total = _drawn(open_corpus(contract.corpus))
    return Sample(tuple(drawn), total, f"{len(drawn)} of its documents")


def impacts_in(path: Path) -> int:
    """Count the records of documents that are encoded already."""
    from splade_anserini.formats.impacts import impact_files, read_impacts

    files = [path] if path.is_file() else impact_files(path)
    return sum(1 for file in files for _ in read_impacts(file))


def topics_in(one: Evaluation) -> int | None:
    """Count the topics of an evaluation; None where that would need a download, or Java."""
    from splade_anserini.formats.topics import read_encoded_topics, read_topics

    if is_irds(one.topics):
        kind: Kind = "queries"
        return irds_count(one.topics, kind)
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
    from splade_anserini.formats.corpora import open_corpus
    from splade_anserini.resources import cranfield

    stream = (word for document in open_corpus(str(cranfield())) for word in document.text.split())
    for number in range(SIZE):
        yield Document(str(number), "", " ".join(islice(stream, words)))
