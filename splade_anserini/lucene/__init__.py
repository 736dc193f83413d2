"""Lucene, Anserini and Pyserini: index writers, searchers, and the Java virtual machine that they share."""

import warnings
from typing import Any

from splade_anserini.lucene.anserini_writer import anserini_version, build_bm25_index
from splade_anserini.lucene.bm25 import search_bm25
from splade_anserini.lucene.fast_searcher import FastLuceneImpactSearcher
from splade_anserini.lucene.feedback import Feedback
from splade_anserini.lucene.impact_searcher import ImpactSearcher
from splade_anserini.lucene.index_options import IndexOptions
from splade_anserini.lucene.index_reader import count_index
from splade_anserini.lucene.index_writer import write_impact_index, writer_version
from splade_anserini.lucene.java.jvm import start_jvm
from splade_anserini.lucene.java.runtime import JavaRuntime, find_java
from splade_anserini.lucene.pyserini_searcher import PyseriniImpactSearcher
from splade_anserini.lucene.searcher import BruteForceSearcher, Scorer, Searcher
from splade_anserini.lucene.two_step import TwoStepSearcher

__all__ = [
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
    "TwoStepSearcher",
    "anserini_version",
    "build_bm25_index",
    "count_index",
    "find_java",
    "search_bm25",
    "start_jvm",
    "write_impact_index",
    "writer_version",
]


def __getattr__(name: str) -> Any:
    """Import Pyserini's LuceneImpactSearcher, which takes seconds, only when it is used."""
    if name == "LuceneImpactSearcher":
        from splade_anserini.lucene.pyserini_searcher import impact_searcher_class

        return impact_searcher_class()
    if name == "TwoPhaseSearcher":
        warnings.warn("TwoPhaseSearcher is now TwoStepSearcher.", DeprecationWarning, stacklevel=2)
        return TwoStepSearcher
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
