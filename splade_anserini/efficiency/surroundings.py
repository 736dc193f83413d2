"""On what, and with what, something was measured."""

import os
import platform

from splade_anserini._version import __version__
from splade_anserini.lucene.jvm import java_version
from splade_anserini.lucene.lucene_writer import lucene_version
from splade_anserini.machine import cores


def surroundings() -> dict[str, str | int]:
    """Return cores, memory, system and versions. Starts Java."""
    lucene = lucene_version().removeprefix("Lucene ")
    return {
        "cores": cores(),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "machine": platform.machine(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "java": java_version(),
        "lucene": lucene,
        "splade-anserini": __version__,
    }
