"""The table of formats, and the choice of one by its name or by a file name."""

from codecs import BOM_UTF8
from pathlib import Path

from splade_anserini.conversion.bmp import Bmp
from splade_anserini.conversion.ciff import Ciff
from splade_anserini.conversion.csr import Csr
from splade_anserini.conversion.directory import ImpactDirectory
from splade_anserini.conversion.format import Format
from splade_anserini.conversion.parquet import Parquet
from splade_anserini.conversion.seismic import Seismic
from splade_anserini.errors import InputError
from splade_anserini.formats.parsing.archives import as_directory
from splade_anserini.formats.parsing.compression import beginning, without_compression_suffix
from splade_anserini.formats.vector_files import is_parquet
from splade_anserini.records import StrPath

FORMATS: dict[str, Format] = {
    format_.name: format_ for format_ in (ImpactDirectory(), Csr(), Parquet(), Ciff(), Seismic(), Bmp())
}

_IMPACTS = FORMATS[ImpactDirectory.name]
_TOPICS = "topics"
"""Another name of `impacts`, for topics."""


def document_format(
    path: StrPath,
    name: str | None = None,
    *,
    for_output: bool = False,
    advice: str = "Rename it, or pass --from or --to.",
) -> Format:
    """Return the format called `name`, or else the format that the name of `path` implies.

    A directory, or a path without a suffix, is a directory of pseudo-documents. The format of another file is told by
    its first bytes. Raises `InputError` for an unknown format; `advice` says what to do.
    """
    if name is not None:
        if name not in FORMATS:
            raise InputError(f"There is no format {name!r}.", expected=f"one of {', '.join(FORMATS)}")
        return FORMATS[name]
    path = Path(path)
    # A .npz file is a zip archive too.
    is_archive = path.suffix == ".zip" and as_directory(path)
    if path.is_dir() or is_archive or (not path.suffix and not path.is_file()):
        return _IMPACTS
    suffixes = {suffix: format_ for format_ in FORMATS.values() for suffix in format_.suffixes}
    if not for_output:
        suffixes |= {suffix: format_ for format_ in FORMATS.values() for suffix in format_.input_suffixes}
    file_name = path.name if for_output else without_compression_suffix(path.name)
    matching = [suffix for suffix in suffixes if file_name.endswith(suffix)]
    if not matching and not for_output and path.is_file() and (format_ := _by_content(path)):
        return format_
    if not matching:
        preferred = [f"{format_.suffixes[0]} ({format_.name})" for format_ in FORMATS.values() if format_.suffixes]
        raise InputError(
            f"Cannot infer the format of {path}.",
            expected=f"a directory, or a name that ends in {', '.join(preferred)}",
            do=advice,
        )
    # The name of a BMP file, .bmp.ciff, ends in the suffix of CIFF as well.
    return suffixes[max(matching, key=len)]


def _by_content(path: Path) -> Format | None:
    """Return the format that the first bytes of a file tell."""
    if is_parquet(path):
        return FORMATS[Parquet.name]
    start = beginning(path, 1 << 12).removeprefix(BOM_UTF8).lstrip()
    return FORMATS[Seismic.name] if start[:1] in (b"{", b"[") else None


def topic_format(path: StrPath, name: str | None = None, *, for_output: bool = False) -> Format:
    """Return the format called `name`, or else the format that the name of a topics file implies.

    An input whose name implies none is read as `impacts`: tab-separated text, JSON, a BEIR directory or `irds:<name>`.
    Raises `InputError` for an unknown format, or one that does not define topics.
    """
    formats = {format_.name: format_ for format_ in FORMATS.values() if format_.topic_suffixes}
    if name is not None:
        if name not in formats and name != _TOPICS:
            raise InputError(f"The format {name!r} is not defined for topics.", expected=f"one of {', '.join(formats)}")
        return formats.get(name, _IMPACTS)
    path = str(path)
    for format_ in formats.values():
        if path.endswith(format_.topic_suffixes):
            return format_
    suffixes = ", ".join(format_.topic_suffixes[0] for format_ in formats.values())
    if path.endswith(".ciff"):
        raise InputError(f"{path}: CIFF does not define topics.", expected=f"a name that ends in {suffixes}")
    if for_output:
        raise InputError(
            f"Cannot infer the format of {path}.",
            expected=f"a name that ends in {suffixes}",
            do="Rename it, or pass --to.",
        )
    return _IMPACTS
