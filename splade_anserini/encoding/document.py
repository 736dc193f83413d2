"""Documents → impact pseudo-documents."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import batched
from typing import Any, NamedTuple

from splade_anserini.encoding.opening import open_encoder
from splade_anserini.encoding.protocol import Encoder, Entries, StagedEncoder
from splade_anserini.parallel import prefetch
from splade_anserini.records import DEFAULT_SCALE, Document, ImpactDocument, ImpactVector, SparseVector
from splade_anserini.vectors.pruning import prune_top_k
from splade_anserini.vectors.quantization import impacts, quantize

_WINDOW = 256
"""Documents that are read ahead and sorted by length; the memory that a window takes does not grow with the corpus."""

_OUTPUTS = 4
"""Batches that may wait to be written."""


class SpladeDocumentEncoder:
    """Yields the impact vector of each document of any iterable, in order, streaming.

    Reading and tokenizing, the model, and what the caller does with the vectors are in three threads.
    `top_k` keeps the greatest weights of a document only; `contents` keeps the text beside the vector.
    """

    def __init__(
        self, encoder: Encoder | str, *, scale: float = DEFAULT_SCALE, top_k: int | None = None, contents: bool = True
    ) -> None:
        self.encoder = open_encoder(encoder) if isinstance(encoder, str) else encoder
        self.scale = scale
        self.top_k = top_k
        self.contents = contents

    def encode(self, documents: Iterable[Document]) -> Generator[ImpactDocument]:
        """Yield one pseudo-document per document; its vector may be empty.

        What reading or encoding raises is raised here, after the documents of the windows before it.
        """
        stages = self._stages()
        prepared = prefetch(_prepared(documents, stages.prepare))
        with closing(prefetch(_encoded(prepared, stages.run), _OUTPUTS)) as outputs:
            vectors: dict[int, ImpactVector] = {}
            for window, positions, rows in outputs:
                vectors.update(zip(positions, map(stages.impacts, rows), strict=True))
                if len(vectors) < len(window):
                    continue
                for position, document in enumerate(window):
                    yield ImpactDocument(document.id, vectors[position], document.contents if self.contents else "")
                vectors = {}

    def _stages(self) -> "_Stages":
        encoder = self.encoder
        if not isinstance(encoder, StagedEncoder):
            return _Stages(
                prepare=lambda texts: [(range(len(texts)), texts)],
                run=lambda batches: (encoder.encode(texts) for _, texts in batches),
                impacts=self._impacts_of_vector,
            )
        tokens = encoder.tokens

        def impacts_of_entries(entries: Entries) -> ImpactVector:
            names = tokens[entries.ids].tolist()
            if self.top_k is not None:
                return self._impacts_of_vector(dict(zip(names, entries.weights.tolist(), strict=True)))
            values = impacts(entries.weights, self.scale).tolist()
            return {name: value for name, value in zip(names, values, strict=True) if value > 0}

        return _Stages(encoder.prepare, encoder.run, impacts_of_entries)

    def _impacts_of_vector(self, vector: SparseVector) -> ImpactVector:
        return quantize(prune_top_k(vector, self.top_k), self.scale)


class _Stages(NamedTuple):
    """The work of an encoder, a function for each thread."""

    prepare: Callable[[list[str]], Sequence[Any]]
    """Texts → batches; each holds the positions of its texts, then what is none of our business."""
    run: Callable[[Iterable[Any]], Iterator[Sequence[Any]]]
    """Batches → a row for each text of each batch."""
    impacts: Callable[[Any], ImpactVector]
    """A row → impacts."""


type _Window = tuple[Document, ...]


def _prepared(
    documents: Iterable[Document], prepare: Callable[[list[str]], Sequence[Any]]
) -> Generator[tuple[_Window, Sequence[Any]]]:
    for window in batched(documents, _WINDOW):
        yield window, prepare([document.contents for document in window])


def _encoded(
    prepared: Generator[tuple[_Window, Sequence[Any]]], run: Callable[[Iterable[Any]], Iterator[Sequence[Any]]]
) -> Generator[tuple[_Window, Sequence[int], Sequence[Any]]]:
    """Yield window, positions and rows of each batch: between any two, this work can be stopped."""
    with closing(prepared):
        for window, batches in prepared:
            for batch, rows in zip(batches, run(batches), strict=True):
                yield window, batch[0], rows
