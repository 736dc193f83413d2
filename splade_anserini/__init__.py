"""SPLADE v2 (arXiv 2109.10086) for Anserini and Pyserini: export, encode, index, search, evaluate.

The names in `__all__` are public and follow semantic versioning: encoders, searchers, records and errors. So are the
functions of the commands, in the modules of their names: `from splade_anserini.encode import encode`. Nothing heavy is
imported before it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from splade_anserini._version import __version__
from splade_anserini.lucene.explainers import register_explainer
from splade_anserini.lucene.query_encoders import register_encoder_opener

if TYPE_CHECKING:
    from splade_anserini.encoding import (
        DictionaryEncoder,
        EncodeOptions,
        Encoder,
        EncoderOptions,
        ImpactQueryEncoder,
        OnnxQueryEncoder,
        SpladeDocumentEncoder,
        TorchQueryEncoder,
        open_encoder,
        open_query_encoder,
    )
    from splade_anserini.errors import (
        DependencyError,
        InputError,
        IntegrityError,
        JavaError,
        MismatchError,
        OutputError,
        RecordError,
        SpladeAnseriniError,
        TrainingError,
        WorkerError,
    )
    from splade_anserini.formats.corpora import Corpus, InMemoryCorpus, open_corpus
    from splade_anserini.formats.qrels import read_qrels
    from splade_anserini.formats.runs import read_run, write_run
    from splade_anserini.impact_index import ImpactIndex
    from splade_anserini.lucene import (
        BruteForceSearcher,
        FastLuceneImpactSearcher,
        Feedback,
        ImpactSearcher,
        IndexOptions,
        PyseriniImpactSearcher,
        Scorer,
        Searcher,
        TwoStepSearcher,
    )
    from splade_anserini.records import Document, Example, ImpactDocument, ImpactVector, Query, SparseVector
    from splade_anserini.retrieval.options import SearchOptions
    from splade_anserini.retrieval.topics import read_topics

__all__ = [
    "BruteForceSearcher",
    "Corpus",
    "DependencyError",
    "DictionaryEncoder",
    "Document",
    "EncodeOptions",
    "Encoder",
    "EncoderOptions",
    "Example",
    "FastLuceneImpactSearcher",
    "Feedback",
    "ImpactDocument",
    "ImpactIndex",
    "ImpactQueryEncoder",
    "ImpactSearcher",
    "ImpactVector",
    "InMemoryCorpus",
    "IndexOptions",
    "InputError",
    "IntegrityError",
    "JavaError",
    "MismatchError",
    "OnnxQueryEncoder",
    "OutputError",
    "PyseriniImpactSearcher",
    "Query",
    "RecordError",
    "Scorer",
    "SearchOptions",
    "Searcher",
    "SparseVector",
    "SpladeAnseriniError",
    "SpladeDocumentEncoder",
    "TorchQueryEncoder",
    "TrainingError",
    "TwoStepSearcher",
    "WorkerError",
    "__version__",
    "open_corpus",
    "open_encoder",
    "open_query_encoder",
    "read_qrels",
    "read_run",
    "read_topics",
    "write_run",
]

_MODULE_OF = {
    "BruteForceSearcher": "lucene",
    "Corpus": "formats.corpora",
    "DependencyError": "errors",
    "DictionaryEncoder": "encoding",
    "Document": "records",
    "EncodeOptions": "encoding",
    "Encoder": "encoding",
    "EncoderOptions": "encoding",
    "Example": "records",
    "FastLuceneImpactSearcher": "lucene",
    "Feedback": "lucene",
    "ImpactDocument": "records",
    "ImpactIndex": "impact_index",
    "ImpactQueryEncoder": "encoding",
    "ImpactSearcher": "lucene",
    "ImpactVector": "records",
    "InMemoryCorpus": "formats.corpora",
    "IndexOptions": "lucene",
    "InputError": "errors",
    "IntegrityError": "errors",
    "JavaError": "errors",
    "MismatchError": "errors",
    "OnnxQueryEncoder": "encoding",
    "OutputError": "errors",
    "PyseriniImpactSearcher": "lucene",
    "Query": "records",
    "RecordError": "errors",
    "Scorer": "lucene",
    "SearchOptions": "retrieval.options",
    "Searcher": "lucene",
    "SparseVector": "records",
    "SpladeAnseriniError": "errors",
    "SpladeDocumentEncoder": "encoding",
    "TorchQueryEncoder": "encoding",
    "TrainingError": "errors",
    "TwoStepSearcher": "lucene",
    "WorkerError": "errors",
    "open_corpus": "formats.corpora",
    "open_encoder": "encoding",
    "open_query_encoder": "encoding",
    "read_qrels": "formats.qrels",
    "read_run": "formats.runs",
    "read_topics": "retrieval.topics",
    "write_run": "formats.runs",
}


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(import_module(f"splade_anserini.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module 'splade_anserini' has no attribute {name!r}")


# lucene/ opens encoders by name, too, and must not know encoding/.
register_encoder_opener(lambda name: import_module("splade_anserini.encoding").open_for_pyserini(name))
# Nor explaining/.
register_explainer(lambda *arguments: import_module("splade_anserini.explaining").explain_match(*arguments))
