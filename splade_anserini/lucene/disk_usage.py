"""How many bytes an index takes on disk, by part: postings, term dictionary, stored fields, …"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from splade_anserini.artifacts.sharded_index import shard_directories
from splade_anserini.lucene.index_reader import check_index_directory
from splade_anserini.lucene.java.java_errors import java_errors
from splade_anserini.lucene.java.jvm import start_jvm
from splade_anserini.lucene.java.threads import JAVA_LOCK
from splade_anserini.records import StrPath

PARTS = {
    "postings": ("doc", "pos", "pay", "psm"),
    "term dictionary": ("tim", "tip", "tmd"),
    "stored fields": ("fdt", "fdx", "fdm"),
    "doc values": ("dvd", "dvm"),
    "term vectors": ("tvd", "tvx", "tvm"),
    "norms": ("nvd", "nvm"),
    "points": ("kdd", "kdi", "kdm"),
}
"""Each part of an index with the extensions of its files."""

OTHER = "other"
_PART_OF = {extension: part for part, extensions in PARTS.items() for extension in extensions}


def index_parts(index: StrPath) -> dict[str, int]:
    """Return the bytes of each part, in the order of `PARTS`, then `OTHER`; they add up to the size of the directory.

    The files inside compound files are counted by part; the headers of compound files count as `OTHER`. Of a sharded
    index the parts of all shards are added up. Raises `InputError` when `index` is not a Lucene index.
    """
    check_index_directory(index)
    each = [_parts_of_directory(directory) for directory in shard_directories(Path(index))]
    return {part: sum(parts[part] for parts in each) for part in [*PARTS, OTHER]}


def _parts_of_directory(index: Path) -> dict[str, int]:
    sizes = {path.name: path.stat().st_size for path in index.iterdir() if path.is_file()}
    total = sum(sizes.values())
    if any(name.endswith(".cfs") for name in sizes):
        sizes = {name: size for name, size in sizes.items() if not name.endswith(".cfs")}
        sizes.update(_files_in_compound_files(index))
    parts = dict.fromkeys([*PARTS, OTHER], 0)
    for name, size in sizes.items():
        parts[_PART_OF.get(name.rpartition(".")[2], OTHER)] += size
    parts[OTHER] = total - sum(size for part, size in parts.items() if part != OTHER)
    return parts


def _files_in_compound_files(index: Path) -> Iterator[tuple[str, int]]:
    """Yield name and size of each file inside a compound file."""
    start_jvm()
    from jnius import autoclass

    with JAVA_LOCK, java_errors(f"reading the compound files of {index}"):
        path = autoclass("java.nio.file.Paths").get(str(index.absolute()))
        directory = autoclass("org.apache.lucene.store.FSDirectory").open(path)
        for segment in _segments(autoclass("org.apache.lucene.index.SegmentInfos").readLatestCommit(directory)):
            if segment.getUseCompoundFile():
                compound = segment.getCodec().compoundFormat().getCompoundReader(directory, segment)
                yield from ((f"{segment.name}{name}", compound.fileLength(name)) for name in compound.listAll())
                compound.close()


def _segments(infos: Any) -> list[Any]:
    return [infos.info(position).info for position in range(infos.size())]
