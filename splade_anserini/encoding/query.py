"""Query encoders as Pyserini's impact searcher takes them: one text in, token → impact out."""

from splade_anserini.cards.finding import find_encoder
from splade_anserini.encoding.opening import default_scale, open_query_encoder
from splade_anserini.encoding.options import EncoderOptions
from splade_anserini.encoding.protocol import Encoder
from splade_anserini.errors import InputError
from splade_anserini.records import DEFAULT_SCALE
from splade_anserini.vectors.quantization import quantize


class ImpactQueryEncoder:
    """Any encoder as a Pyserini QueryEncoder. Safe to share between threads."""

    def __init__(self, encoder: Encoder, *, scale: float = DEFAULT_SCALE) -> None:
        self.encoder = encoder
        self.scale = scale

    def encode(self, query: str) -> dict[str, int]:
        """Return token → impact; empty when nothing in the query is active."""
        (vector,) = self.encoder.encode([query])
        return dict(quantize(vector, self.scale))


class OnnxQueryEncoder(ImpactQueryEncoder):
    """An exported encoder, by card name or directory, as a Pyserini QueryEncoder: no torch to encode.

    `scale` must be that of the index; by default the card's. Raises `InputError` when the name leads to a checkpoint
    that has not been exported.
    """

    def __init__(self, name: str = "splade-mini", *, scale: float | None = None, max_length: int | None = None) -> None:
        if not find_encoder(name).is_onnx:
            raise InputError(
                f"{name} is no exported encoder.",
                do="Export it first (splade-anserini export), or use TorchQueryEncoder.",
            )
        encoder = open_query_encoder(name, EncoderOptions(max_length=max_length, low_latency=True))
        super().__init__(encoder, scale=scale or default_scale(name))


class TorchQueryEncoder(ImpactQueryEncoder):
    """A checkpoint, by card name, Hugging Face id or directory, as a Pyserini QueryEncoder."""

    def __init__(
        self, name: str, *, scale: float | None = None, max_length: int | None = None, device: str = "auto"
    ) -> None:
        encoder = open_query_encoder(name, EncoderOptions(max_length=max_length, device=device))
        super().__init__(encoder, scale=scale or default_scale(name))
