"""The only place that knows Java: index writers, searchers and the virtual machine that they share."""

from typing import Any

from splade_anserini.lucene.anserini_writer import anserini_version, build_bm25_index
from splade_anserini.lucene.bm25 import search_bm25
from splade_anserini.lucene.counting import count_index
from splade_anserini.lucene.fast_searcher import FastLuceneImpactSearcher
from splade_anserini.lucene.feedback import Feedback
from splade_anserini.lucene.impact_searcher import ImpactSearcher
from splade_anserini.lucene.index_options import IndexOptions
from splade_anserini.lucene.java.jvm import start_jvm
from splade_anserini.lucene.java.runtime import JavaRuntime, find_java
from splade_anserini.lucene.pyserini_searcher import PyseriniImpactSearcher
from splade_anserini.lucene.searcher import BruteForceSearcher, Scorer, Searcher
from splade_anserini.lucene.two_phase import TwoPhaseSearcher
from splade_anserini.lucene.writer import write_impact_index, writer_version

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
    "TwoPhaseSearcher",
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
    """Hand out Pyserini's class; importing it takes seconds, so it waits until it is wanted."""
    if name == "LuceneImpactSearcher":
        from splade_anserini.lucene.pyserini_searcher import impact_searcher_class

        return impact_searcher_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
