"""Texts → sparse vectors → impacts. Importing this package loads neither torch nor onnxruntime."""

from splade_anserini.encoding.document import SpladeDocumentEncoder
from splade_anserini.encoding.opening import default_scale, open_encoder, open_query_encoder
from splade_anserini.encoding.options import EncoderOptions
from splade_anserini.encoding.protocol import DictionaryEncoder, Encoder
from splade_anserini.encoding.query import ImpactQueryEncoder, OnnxQueryEncoder, TorchQueryEncoder
from splade_anserini.vectors.pruning import prune_top_k
from splade_anserini.vectors.quantization import impact, parse_scale, quantize

__all__ = [
    "DictionaryEncoder",
    "Encoder",
    "EncoderOptions",
    "ImpactQueryEncoder",
    "OnnxQueryEncoder",
    "SpladeDocumentEncoder",
    "TorchQueryEncoder",
    "default_scale",
    "impact",
    "open_encoder",
    "open_query_encoder",
    "parse_scale",
    "prune_top_k",
    "quantize",
]
