"""The formats by name, and which one a path is of."""

from pathlib import Path

from splade_anserini.conversion.bmp import BMP
from splade_anserini.conversion.ciff import CIFF
from splade_anserini.conversion.csr import CSR
from splade_anserini.conversion.format import Format
from splade_anserini.conversion.parquet import PARQUET
from splade_anserini.conversion.seismic import SEISMIC
from splade_anserini.errors import InputError

IMPACTS = "impacts"
"""A directory of impact pseudo-documents."""

FORMATS = {format_.name: format_ for format_ in (CSR, PARQUET, CIFF, SEISMIC, BMP)}
"""Those of one file."""


def file_format(path: Path, name: str | None) -> Format | None:
    """Return the format that `name` says, or else what `path` is called; None for a directory of pseudo-documents.

    Raises `InputError` when neither says.
    """
    if name == IMPACTS or (name is None and (path.is_dir() or not path.suffix)):
        return None
    if name is not None:
        return _named(name)
    if path.name.endswith((".json", ".json.gz", ".jsonl.gz")):
        return SEISMIC
    # Longer suffixes first: .bmp.ciff before .ciff.
    pairs = [(suffix, format_) for format_ in FORMATS.values() for suffix in format_.suffixes]
    for suffix, format_ in sorted(pairs, key=lambda pair: -len(pair[0])):
        if path.name.endswith(suffix):
            return format_
    known = ", ".join(f"{suffix} ({format_.name})" for suffix, format_ in pairs)
    raise InputError(
        f"Nothing says what format {path} is of.",
        expected=f"a directory, or a name that ends in {known}",
        do="Rename it, or say --from or --to.",
    )


def _named(name: str) -> Format:
    if name not in FORMATS:
        raise InputError(f"There is no format {name!r}.", expected=f"one of {', '.join([IMPACTS, *FORMATS])}")
    return FORMATS[name]
