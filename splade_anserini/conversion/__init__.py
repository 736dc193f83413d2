"""Conversion of impact vectors to and from matrices, tables and the input files of other engines."""

from splade_anserini.conversion.directory import ImpactDirectory
from splade_anserini.conversion.format import Format
from splade_anserini.conversion.registry import FORMATS, document_format, topic_format
from splade_anserini.conversion.source import LeftOut, Source
from splade_anserini.conversion.transfer import ClampedImpacts, Converted, scaled_down, write_converted

__all__ = [
    "FORMATS",
    "ClampedImpacts",
    "Converted",
    "Format",
    "ImpactDirectory",
    "LeftOut",
    "Source",
    "document_format",
    "scaled_down",
    "topic_format",
    "write_converted",
]
