"""A conversion: documents go from a source to a file or directory, which appears when it has been read again."""

from dataclasses import dataclass
from pathlib import Path

from splade_anserini.artifacts.files import whole_directory, whole_file
from splade_anserini.artifacts.manifests import Counts
from splade_anserini.conversion.directory import read_directory, write_directory
from splade_anserini.conversion.format import Format
from splade_anserini.conversion.source import Source
from splade_anserini.conversion.tally import Tally
from splade_anserini.progress import Progress, silent

DOCS_PER_SHARD = 10_000


@dataclass(frozen=True, slots=True)
class Converted:
    """What was written, and what the format could not hold."""

    counts: Counts
    empty: int
    """Documents with an empty vector; they are written too."""
    contents_left_out: int = 0
    """Documents whose contents the format does not hold."""
    settings_left_out: bool = False
    """Whether it was known how they were encoded, and the format does not hold that."""


def write_converted(
    source: Source,
    output: Path,
    target: Format | None,
    *,
    docs_per_shard: int = DOCS_PER_SHARD,
    progress: Progress = silent,
) -> Converted:
    """Write the documents of `source` in the format `target`, or as a directory of pseudo-documents when it is None.

    Raises `InputError` for what the format cannot hold or the source does not, `OutputError` when the place is taken,
    `IntegrityError` when something was lost. In either case nothing is put in place.
    """
    with Tally(source, progress) as tally:
        if target is None:
            with whole_directory(output) as directory:
                write_directory(directory, tally.documents(), source.settings, docs_per_shard)
                tally.compare(read_directory(directory), output)
            return Converted(tally.counts, tally.empty)
        settings = source.settings
        if settings and not target.keeps_contents:
            settings = settings.model_copy(update={"contents": False})
        with whole_file(output) as file:
            target.write(file, tally.documents(), settings)
            file.flush()
            tally.compare(target.read(Path(file.name)), output)
        return Converted(
            tally.counts,
            tally.empty,
            contents_left_out=0 if target.keeps_contents else tally.contents,
            settings_left_out=settings is not None and not target.keeps_settings,
        )
