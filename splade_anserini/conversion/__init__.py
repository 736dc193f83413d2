"""Impact vectors on their way out and in: as a matrix, as a table, and as other engines read them."""

from splade_anserini.conversion.format import Format
from splade_anserini.conversion.registry import FORMATS, IMPACTS, file_format
from splade_anserini.conversion.source import ClampedImpacts, Source, scaled_down
from splade_anserini.conversion.topics import TOPIC_FORMATS, read_topic_vectors, topic_format, write_topic_vectors
from splade_anserini.conversion.transfer import Converted, write_converted

__all__ = [
    "FORMATS",
    "IMPACTS",
    "TOPIC_FORMATS",
    "ClampedImpacts",
    "Converted",
    "Format",
    "Source",
    "file_format",
    "read_topic_vectors",
    "scaled_down",
    "topic_format",
    "write_converted",
    "write_topic_vectors",
]
