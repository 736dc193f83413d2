"""Documents to impact pseudo-documents."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import islice
from os import PathLike
from typing import Any, NamedTuple

from splade_anserini.encoding.opening import open_encoder
from splade_anserini.encoding.options import WINDOW, EncodeOptions
from splade_anserini.encoding.protocol import Encoder, Entries, StagedEncoder
from splade_anserini.encoding.tokenized import TokenizedEncoder
from splade_anserini.encoding.truncation import TruncationCounts
from splade_anserini.parallel import prefetch
from splade_anserini.records import DEFAULT_SCALE, Document, ImpactDocument, ImpactVector, SparseVector, StrPath
from splade_anserini.vectors.pruning import prune_top_k
from splade_anserini.vectors.quantization import impacts, quantize

_OUTPUT_BATCHES = 4
"""Encoded batches that may wait for the caller, at least: a window's, where its batches are as large as on a GPU."""


class SpladeDocumentEncoder:
    """Encodes a stream of documents into impact pseudo-documents (SPLADE v2, section 3).

    The impact of a token is round(weight × `scale`); entries whose impact is 0 are left out.
    `encoder` is an `Encoder`, or what `open_encoder` takes: the name of a card, an encoder directory, or a Hugging Face
    id. `top_k` keeps only the entries of greatest weight of each document (static pruning). `contents` keeps the text
    of a document beside its vector. Raises `InputError` for an encoder that cannot be opened, a `scale` that is not
    above 0, or a `top_k` below 1.
    """

    def __init__(
        self,
        encoder: Encoder | StrPath,
        *,
        scale: float = DEFAULT_SCALE,
        top_k: int | None = None,
        contents: bool = True,
    ) -> None:
        EncodeOptions(scale=scale, top_k=top_k, contents=contents)  # raises what is wrong with them
        self.encoder = open_encoder(encoder) if isinstance(encoder, str | PathLike) else encoder
        self.scale = scale
        self.top_k = top_k
        self.contents = contents
        self.truncation = TruncationCounts() if isinstance(self.encoder, TokenizedEncoder) else None
        """The documents so far that were longer than the encoder reads; None for an encoder without a tokenizer."""

    def encode(self, documents: Iterable[Document]) -> Generator[ImpactDocument]:
        """Yield one pseudo-document per document, in order; its vector may be empty.

        Reading and tokenizing run in one thread, the model in another, and the caller in its own. Memory does not grow
        with the number of documents. An error of `documents` or of the encoder is raised here, after the
        pseudo-documents of the windows before it.
        """
        stages = self._stages()
        prepared = prefetch(_prepared(documents, stages))
        # The caller may take as long for a window as the model: the model must not wait in the meantime.
        waiting = max(_OUTPUT_BATCHES, stages.window // WINDOW)
        with closing(prefetch(_encoded(prepared, stages.run), waiting)) as outputs:
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
                window=WINDOW,
            )
        tokens = encoder.tokens

        def impacts_of_entries(entries: Entries) -> ImpactVector:
            if self.top_k is not None:
                names = tokens[entries.ids].tolist()
                return self._impacts_of_vector(dict(zip(names, entries.weights.tolist(), strict=True)))
            values = impacts(entries.weights, self.scale)
            kept = values > 0
            # On a GPU, this is what takes longest.
            return dict(zip(tokens[entries.ids[kept]].tolist(), values[kept].tolist(), strict=True))

        prepare = encoder.prepare
        if isinstance(encoder, TokenizedEncoder):
            prepare = partial(encoder.prepare, truncation=self.truncation)
        return _Stages(prepare, encoder.run, impacts_of_entries, encoder.window)

    def _impacts_of_vector(self, vector: SparseVector) -> ImpactVector:
        return quantize(prune_top_k(vector, self.top_k), self.scale)


class _Stages(NamedTuple):
    """The work of an encoder, a function for each thread."""

    prepare: Callable[[list[str]], Sequence[Any]]
    """Texts to batches. The first item of a batch is the positions of its texts; the others are the encoder's own."""
    run: Callable[[Iterable[Any]], Iterator[Sequence[Any]]]
    """Batches to one row per text of each batch."""
    impacts: Callable[[Any], ImpactVector]
    """A row to impacts."""
    window: int
    """Documents that are read ahead and prepared together; memory does not grow with the corpus."""


type _Window = tuple[Document, ...]


def _prepared(documents: Iterable[Document], stages: _Stages) -> Generator[tuple[_Window, Sequence[Any]]]:
    source = iter(documents)
    # The first windows are small, so that the model soon has something to do.
    size = min(WINDOW, stages.window)
    while window := tuple(islice(source, size)):
        yield window, stages.prepare([document.contents for document in window])
        size = min(2 * size, stages.window)


def _encoded(
    prepared: Generator[tuple[_Window, Sequence[Any]]], run: Callable[[Iterable[Any]], Iterator[Sequence[Any]]]
) -> Generator[tuple[_Window, Sequence[int], Sequence[Any]]]:
    """Yield window, positions and rows of each batch; the work can be stopped between any two batches."""
    with closing(prepared):
        for window, batches in prepared:
            for batch, rows in zip(batches, run(batches), strict=True):
                yield window, batch[0], rows
