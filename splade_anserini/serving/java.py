"""Java for a service, whose heap does not grow to half of the memory."""

import os

from splade_anserini.lucene import start_jvm
from splade_anserini.lucene.java.heap import HEAP, heap_size
from splade_anserini.lucene.java.jvm import changed_environment

LIMIT = 2**30
"""Bytes. Open indexes take megabytes of the heap and searches leave nothing in it; but Java, when it is busy, lets its
heap grow to the limit rather than collect garbage more often."""


def start_java() -> None:
    """Start Java, with a heap of at most 1 GiB unless SPLADE_ANSERINI_HEAP is set."""
    is_set = os.environ.get(HEAP, "").strip()
    with changed_environment({} if is_set else {HEAP: str(min(LIMIT, heap_size(os.environ)))}):
        start_jvm()
