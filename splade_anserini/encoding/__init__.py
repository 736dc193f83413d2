"""Texts to sparse vectors to impacts. A name loads its module when it is first used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from splade_anserini.encoding.document import SpladeDocumentEncoder
    from splade_anserini.encoding.opening import default_scale, open_encoder, open_query_encoder
    from splade_anserini.encoding.options import EncodeOptions, EncoderOptions
    from splade_anserini.encoding.protocol import DictionaryEncoder, Encoder
    from splade_anserini.encoding.query import (
        ImpactQueryEncoder,
        OnnxQueryEncoder,
        TorchQueryEncoder,
        open_for_pyserini,
    )
    from splade_anserini.vectors.pruning import prune_top_k
    from splade_anserini.vectors.quantization import impact, quantize
    from splade_anserini.vectors.scale import parse_scale

__all__ = [
    "DictionaryEncoder",
    "EncodeOptions",
    "Encoder",
    "EncoderOptions",
    "ImpactQueryEncoder",
    "OnnxQueryEncoder",
    "SpladeDocumentEncoder",
    "TorchQueryEncoder",
    "default_scale",
    "impact",
    "open_encoder",
    "open_for_pyserini",
    "open_query_encoder",
    "parse_scale",
    "prune_top_k",
    "quantize",
]

_MODULES = {
    "DictionaryEncoder": "encoding.protocol",
    "EncodeOptions": "encoding.options",
    "Encoder": "encoding.protocol",
    "EncoderOptions": "encoding.options",
    "ImpactQueryEncoder": "encoding.query",
    "OnnxQueryEncoder": "encoding.query",
    "SpladeDocumentEncoder": "encoding.document",
    "TorchQueryEncoder": "encoding.query",
    "default_scale": "encoding.opening",
    "impact": "vectors.quantization",
    "open_encoder": "encoding.opening",
    "open_for_pyserini": "encoding.query",
    "open_query_encoder": "encoding.opening",
    "parse_scale": "vectors.scale",
    "prune_top_k": "vectors.pruning",
    "quantize": "vectors.quantization",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"splade_anserini.{_MODULES[name]}"), name)
