"""The choice between the two writers of impact indexes."""

from pathlib import Path

from splade_anserini._version import __version__
from splade_anserini.lucene.anserini_writer import anserini_version, write_with_anserini
from splade_anserini.lucene.index_options import IndexOptions
from splade_anserini.lucene.lucene_writer import lucene_version, write_with_lucene
from splade_anserini.lucene.sources import ImpactSource
from splade_anserini.progress import Progress, silent


def write_impact_index(source: ImpactSource, index: Path, options: IndexOptions, progress: Progress = silent) -> None:
    """Index the impact pseudo-documents of a directory that has been checked, reporting documents to `progress`."""
    if options.writer == "anserini":
        write_with_anserini(source.directory, index, options, progress)
    else:
        write_with_lucene(source.directory, index, options, progress, ours=source.settings is not None)


def writer_version(options: IndexOptions) -> str:
    """Return the name and version of what writes: "splade-anserini 0.1.0 on Lucene 10.4.0", "Anserini 2.2.0"."""
    if options.writer == "anserini":
        return anserini_version()
    return f"splade-anserini {__version__} on {lucene_version()}"
