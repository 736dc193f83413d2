"""Documents → impact pseudo-documents."""

from collections.abc import Iterable, Iterator
from itertools import batched

from splade_anserini.encoding.opening import DEFAULT_SCALE, open_encoder
from splade_anserini.encoding.protocol import Encoder
from splade_anserini.encoding.quantization import keep_strongest, quantize
from splade_anserini.records import Document, ImpactDocument

_WINDOW = 128
"""Documents that are read ahead and sorted by length; the memory that a window takes does not grow with the corpus."""


class SpladeDocumentEncoder:
    """Yields the impact vector of each document of any iterable, in order, streaming.

    `top_k` keeps the greatest weights of a document only; `contents` keeps the text beside the vector.
    """

    def __init__(
        self, encoder: Encoder | str, *, scale: float = DEFAULT_SCALE, top_k: int | None = None, contents: bool = True
    ) -> None:
        self.encoder = open_encoder(encoder) if isinstance(encoder, str) else encoder
        self.scale = scale
        self.top_k = top_k
        self.contents = contents

    def encode(self, documents: Iterable[Document]) -> Iterator[ImpactDocument]:
        """Yield one pseudo-document per document; its vector may be empty."""
        for window in batched(documents, _WINDOW):
            vectors = self.encoder.encode([document.contents for document in window])
            for document, vector in zip(window, vectors, strict=True):
                impacts = quantize(keep_strongest(vector, self.top_k), self.scale)
                yield ImpactDocument(document.id, impacts, document.contents if self.contents else "")
