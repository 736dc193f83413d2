"""SPLADE v2 (arXiv 2109.10086) for Anserini and Pyserini: export, encode, index, search, evaluate.

Nothing heavy is imported before it is used. The stages are modules of the same names:
`from splade_anserini.encode import encode`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from splade_anserini._version import __version__

if TYPE_CHECKING:
    from splade_anserini.encoding import (
        OnnxQueryEncoder,
        SpladeDocumentEncoder,
        TorchQueryEncoder,
        open_encoder,
    )
    from splade_anserini.errors import SpladeAnseriniError
    from splade_anserini.formats.corpora import InMemoryCorpus, open_corpus
    from splade_anserini.records import Document, ImpactDocument, Query

__all__ = [
    "Document",
    "ImpactDocument",
    "InMemoryCorpus",
    "OnnxQueryEncoder",
    "Query",
    "SpladeAnseriniError",
    "SpladeDocumentEncoder",
    "TorchQueryEncoder",
    "__version__",
    "open_corpus",
    "open_encoder",
]

_HOMES = {
    "Document": "records",
    "ImpactDocument": "records",
    "InMemoryCorpus": "formats.corpora",
    "OnnxQueryEncoder": "encoding",
    "Query": "records",
    "SpladeAnseriniError": "errors",
    "SpladeDocumentEncoder": "encoding",
    "TorchQueryEncoder": "encoding",
    "open_corpus": "formats.corpora",
    "open_encoder": "encoding",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"splade_anserini.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'splade_anserini' has no attribute {name!r}")
