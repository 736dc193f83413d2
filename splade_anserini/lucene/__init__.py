"""Lucene, Anserini and Pyserini: index writers, searchers, and the Java virtual machine that they share.

A name loads its module when it is first used.
"""

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from splade_anserini.lucene.anserini_writer import anserini_version, build_bm25_index
    from splade_anserini.lucene.bm25 import Bm25Searcher, open_bm25_searcher, search_bm25
    from splade_anserini.lucene.fast_searcher import FastLuceneImpactSearcher
    from splade_anserini.lucene.feedback import Feedback
    from splade_anserini.lucene.impact_searcher import ImpactSearcher
    from splade_anserini.lucene.index_options import IndexOptions
    from splade_anserini.lucene.index_reader import check_index_files, count_index
    from splade_anserini.lucene.index_writer import write_impact_index, writer_version
    from splade_anserini.lucene.java.jvm import start_jvm
    from splade_anserini.lucene.java.runtime import JavaRuntime, find_java
    from splade_anserini.lucene.pyserini_searcher import PyseriniImpactSearcher
    from splade_anserini.lucene.searcher import BruteForceSearcher, Scorer, Searcher
    from splade_anserini.lucene.text_index_writer import write_text_index
    from splade_anserini.lucene.text_options import Bm25Options, TextIndexOptions
    from splade_anserini.lucene.two_step import TwoStepSearcher

__all__ = [
    "Bm25Options",
    "Bm25Searcher",
    "BruteForceSearcher",
    "FastLuceneImpactSearcher",
    "Feedback",
    "ImpactSearcher",
    "IndexOptions",
    "JavaRuntime",
    "LuceneImpactSearcher",
    "PyseriniImpactSearcher",
    "Scorer",
    "Searcher",
    "TextIndexOptions",
    "TwoStepSearcher",
    "anserini_version",
    "build_bm25_index",
    "check_index_files",
    "count_index",
    "find_java",
    "open_bm25_searcher",
    "search_bm25",
    "start_jvm",
    "write_impact_index",
    "write_text_index",
    "writer_version",
]

_MODULE_OF = {
    "Bm25Options": "text_options",
    "Bm25Searcher": "bm25",
    "BruteForceSearcher": "searcher",
    "FastLuceneImpactSearcher": "fast_searcher",
    "Feedback": "feedback",
    "ImpactSearcher": "impact_searcher",
    "IndexOptions": "index_options",
    "JavaRuntime": "java.runtime",
    "PyseriniImpactSearcher": "pyserini_searcher",
    "Scorer": "searcher",
    "Searcher": "searcher",
    "TextIndexOptions": "text_options",
    "TwoStepSearcher": "two_step",
    "anserini_version": "anserini_writer",
    "build_bm25_index": "anserini_writer",
    "check_index_files": "index_reader",
    "count_index": "index_reader",
    "find_java": "java.runtime",
    "open_bm25_searcher": "bm25",
    "search_bm25": "bm25",
    "start_jvm": "java.jvm",
    "write_impact_index": "index_writer",
    "write_text_index": "text_index_writer",
    "writer_version": "index_writer",
}


def __getattr__(name: str) -> Any:
    """Import what is used; Pyserini's LuceneImpactSearcher takes seconds."""
    if name in _MODULE_OF:
        return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    if name == "LuceneImpactSearcher":
        from splade_anserini.lucene.pyserini_searcher import impact_searcher_class

        return impact_searcher_class()
    if name == "TwoPhaseSearcher":
        from splade_anserini.lucene.two_step import TwoStepSearcher

        warnings.warn("TwoPhaseSearcher is now TwoStepSearcher.", DeprecationWarning, stacklevel=2)
        return TwoStepSearcher
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
