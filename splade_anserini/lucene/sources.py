"""Inputs of an index: their manifests and files are checked before they are read."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from splade_anserini.artifacts.checksums import Checksum, checksum_of_output
from splade_anserini.artifacts.fingerprints import fingerprint_of_bytes, fingerprint_of_directory, fingerprint_of_file
from splade_anserini.artifacts.manifests import MANIFEST, Counts, EncodeSettings, ImpactManifest, Shard, read_manifest
from splade_anserini.errors import InputError, MismatchError, counted
from splade_anserini.formats.impacts import count_impacts, read_trusted, require_files
from splade_anserini.formats.vector_files import LocatedDocument, VectorFiles, find_vector_files, read_vectors
from splade_anserini.formats.vectors import VectorOptions, VectorReader
from splade_anserini.lucene.document_store import DocumentStore
from splade_anserini.progress import Progress, silent
from splade_anserini.records import ImpactDocument, StrPath
from splade_anserini.vectors.idf import CollectionIdf

_logger = logging.getLogger(__name__)

type FileReader = Callable[[Path, VectorReader], Iterator[LocatedDocument]]
"""Yields the documents of a file with their locations."""


@dataclass(frozen=True, slots=True)
class ImpactSource:
    """Files of vectors to index."""

    files: VectorFiles
    counts: Counts | None = None
    """The counts of the manifest, or of a first reading; None: they are counted while they are indexed."""
    settings: EncodeSettings | None = None
    """How they were encoded; None when they have no manifest."""
    ids_with_spaces: int = 0
    """How many ids the manifests say contain spaces."""
    reading: VectorOptions = field(default_factory=VectorOptions)
    read_file: FileReader = read_vectors
    checksums: Mapping[Path, Checksum] = field(default_factory=dict)
    """The SHA-256 of files, as far as manifests record it."""
    shards: Mapping[Path, Shard] = field(default_factory=dict)
    """What manifests say of each file."""
    which_part: str = ""
    """What part of a collection the files are, such as "part 0 of 3"; "" when they are not known to be one."""
    idf: CollectionIdf | None = None
    """The idf by which impacts are multiplied when they are indexed; `documents` yields them as they are."""
    stored: DocumentStore | None = None
    """What is stored of each document beside its postings; None: what the vectors' records hold."""

    @property
    def is_checked(self) -> bool:
        """Whether `encode` wrote the files, and a manifest says what they hold: they are not checked again."""
        return self.settings is not None and self.counts is not None

    @property
    def is_sealed(self) -> bool:
        """Whether all files are, see `is_sealed_file`."""
        return all(map(self.is_sealed_file, self.files.files))

    def is_sealed_file(self, path: Path) -> bool:
        """Whether `encode` or `convert` wrote a file, and it has a checksum: its records need no check but that."""
        return self.is_checked and path in self.checksums

    @property
    def path(self) -> Path:
        """The input as it was named."""
        return self.files.path

    @property
    def directory(self) -> Path:
        """The directory of the files."""
        return self.files.directory

    @property
    def scale(self) -> float | None:
        """The scale of the impacts, None if it is not known."""
        return self.settings.scale if self.settings else self.reading.scale

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of what decides the content.

        With a manifest these are settings and counts, and names and sizes of the files; without one, the files and
        how they are read.
        """
        if self.is_checked and self.counts is not None:
            return self._fingerprint_by_counts(self.counts)
        path = self.path
        content = fingerprint_of_file(path) if path.is_file() else fingerprint_of_directory(path, self.files.files)
        return fingerprint_of_bytes(content.encode(), repr(sorted(self.reading_settings.items())).encode())

    @property
    def reading_settings(self) -> Mapping[str, str | float]:
        """The options of reading that are set; of the vocabulary, its fingerprint."""
        reading = self.reading
        values = {
            "scale": reading.scale,
            "vocabulary": fingerprint_of_bytes(*(token.encode() for token in reading.vocabulary))
            if reading.vocabulary is not None
            else None,
            "id_field": reading.id_field,
            "vector_field": reading.vector_field,
        }
        return {name: value for name, value in values.items() if value is not None}

    def is_source_of(self, fingerprint: str) -> bool:
        """Say whether an index with this fingerprint was made from these files; earlier versions used the counts."""
        if fingerprint == self.fingerprint:
            return True
        if self.settings is not None or not self.reading.are_defaults:
            return False
        try:
            counts, _ = count_impacts(self.path)
        except InputError:
            return False
        return fingerprint == self._fingerprint_by_counts(counts)

    def part(self, files: Sequence[Path]) -> "ImpactSource":
        """Return a source of some of the files."""
        checksums = {path: self.checksums[path] for path in files if path in self.checksums}
        shards = {path: self.shards[path] for path in files if path in self.shards}
        part = replace(self, files=VectorFiles(self.files.path, tuple(files)), checksums=checksums, shards=shards)
        if not shards:
            return part
        counts = sum((shard.counts for shard in shards.values()), Counts())
        return replace(part, counts=counts, ids_with_spaces=sum(shard.ids_with_spaces for shard in shards.values()))

    def check_file(self, path: Path) -> None:
        """Raise `IntegrityError` when a file has another SHA-256 than its manifest records.

        Called just before the file is read, whose second reading then needs no disk.
        """
        if checksum := self.checksums.get(path):
            checksum.check(path)

    def located_documents(self, path: Path, reader: VectorReader) -> Iterator[LocatedDocument]:
        """Yield the documents of one of the files, which is checked first as `check_file` does."""
        self.check_file(path)
        return read_trusted(path) if self.is_sealed_file(path) else self.read_file(path, reader)

    def documents(self, reader: VectorReader | None = None) -> Iterator[ImpactDocument]:
        """Yield the documents of all files, each of which is checked first as `check_file` does."""
        reader = reader or VectorReader(self.reading)
        for path in self.files.files:
            self.check_file(path)
            for _, document in self.read_file(path, reader):
                yield document

    def _fingerprint_by_counts(self, counts: Counts) -> str:
        files = [f"{path.relative_to(self.directory)} {path.stat().st_size}" for path in self.files.files]
        settings = self.settings.model_dump_json() if self.settings else ""
        return fingerprint_of_bytes(*(part.encode() for part in (settings, counts.model_dump_json(), *files)))


def open_impacts(path: StrPath, progress: Progress = silent) -> ImpactSource:
    """Check impact pseudo-documents by their manifests; without one, read and check all records.

    Raises as `find_impacts`, and `RecordError` for a record that cannot be indexed.
    """
    source = find_impacts(path)
    if source.counts is None:
        counts, _ = count_impacts(path, progress)
        source = replace(source, counts=counts)
        _require_documents(source)
    return source


def find_impacts(path: StrPath, reading: VectorOptions | None = None) -> ImpactSource:
    """Find the files of vectors in a directory, or take a file, and check them by their manifests.

    A directory may also hold sub-directories, each with a manifest: the parts of a corpus that several processes
    encoded. Without a manifest, nothing is read yet. Raises `InputError` when a file is missing or not listed in a
    manifest, or `reading` is given for vectors with a manifest; `MismatchError` when the parts do not belong together.
    """
    path, reading = Path(path), reading or VectorOptions()
    if path.is_file() and reading.are_defaults and (shard := _listed_shard(path)):
        return shard
    manifests = _read_manifests(path) if path.is_dir() else {}
    files = find_vector_files(path, reading)
    if not manifests:
        require_files(files)
        files.warn_of_unread()
        return ImpactSource(files, reading=reading, checksums=_checksum_of_output(path))
    if not reading.are_defaults:
        raise InputError(
            f"{path} has a {MANIFEST}, which says how its vectors were made.",
            expected="no option that says how to read them",
            do="Leave out --scale, --vocabulary, --id-field and --vector-field.",
        )
    files = _check_files(files, manifests)
    files.warn_of_unread()
    settings = _common_settings(manifests)
    counts = sum((manifest.counts for manifest in manifests.values()), Counts())
    ids_with_spaces = sum(manifest.ids_with_spaces for manifest in manifests.values())
    listed = [(directory, shard) for directory, each in manifests.items() for shard in each.shards]
    shards = {directory / shard.file: shard for directory, shard in listed}
    part = _part(settings) if len(manifests) == 1 else ""
    source = ImpactSource(
        files, counts, settings, ids_with_spaces, checksums=_checksums(listed), shards=shards, which_part=part
    )
    _require_documents(source)
    return source


def file_source(
    path: Path, reading: VectorOptions, settings: EncodeSettings | None, read_file: FileReader
) -> ImpactSource:
    """Return a file of another format than pseudo-documents, with the settings that it stores.

    Raises `InputError` when it stores a scale, and `reading` has one too.
    """
    if settings is not None and reading.scale is not None:
        raise InputError(f"{path} holds impacts, of the scale {settings.scale:g}.", do="Leave --scale out.")
    files, checksums = VectorFiles(path, (path,)), _checksum_of_output(path)
    return ImpactSource(files, None, settings, reading=reading, read_file=read_file, checksums=checksums)


def _checksum_of_output(path: Path) -> dict[Path, Checksum]:
    """Return the checksum in the manifest that `convert` writes beside a file; none without one."""
    checksum = checksum_of_output(path) if path.is_file() else None
    return {path: checksum} if checksum else {}


def _checksums(shards: Iterable[tuple[Path, Shard]]) -> dict[Path, Checksum]:
    """Return the checksums that manifests record, by file; the number of files without one is logged."""
    checksums, without = dict[Path, Checksum](), 0
    for directory, shard in shards:
        if shard.sha256 is None:
            without += 1
        else:
            checksums[directory / shard.file] = Checksum(shard.sha256, directory / MANIFEST)
    if without:
        _logger.info(
            "%s recorded without a checksum, by an earlier version: only counts and ids are checked",
            counted(without, "file is", "files are"),
        )
    return checksums


def _listed_shard(path: Path) -> ImpactSource | None:
    """Return a single file with what the manifest beside it says of it, None when no manifest lists it."""
    try:
        manifest = read_manifest(path.parent, ImpactManifest)
    except InputError:
        return None
    shards = [shard for shard in manifest.shards if shard.file == path.name] if manifest else []
    if not manifest or not shards:
        return None
    if len(manifest.shards) > 1:
        _logger.warning("%s is one of %d files; the index contains no other", path, len(manifest.shards))
    shard, part = shards[0], f"one of {counted(len(manifest.shards), 'file')}" if len(manifest.shards) > 1 else ""
    source = ImpactSource(
        VectorFiles(path, (path,)),
        shard.counts,
        manifest.settings,
        shard.ids_with_spaces,
        checksums=_checksums([(path.parent, shard)]),
        which_part=part or _part(manifest.settings),
    )
    _require_documents(source)
    return source


def _part(settings: EncodeSettings) -> str:
    return f"part {settings.shard_id} of {settings.shard_num}" if settings.shard_num > 1 else ""


def _require_documents(source: ImpactSource) -> None:
    if source.counts and not source.counts.documents:
        raise nothing_to_index(source)


def nothing_to_index(source: ImpactSource) -> InputError:
    """Return the error for vectors that are all empty."""
    return InputError(f"{source.path} has nothing to index: all document vectors are empty.", do="Encode it again.")


def _read_manifests(directory: Path) -> dict[Path, ImpactManifest]:
    """Return the manifests of a directory and of its sub-directories, by directory."""
    directories = [directory, *sorted(path for path in directory.iterdir() if path.is_dir())]
    manifests = {path: manifest for path in directories if (manifest := read_manifest(path, ImpactManifest))}
    for path, manifest in manifests.items():
        if not manifest.complete:
            raise InputError(
                f"{path} is incomplete: encoding was interrupted.", do="Run the same encode command again."
            )
    return manifests


def _check_files(files: VectorFiles, manifests: dict[Path, ImpactManifest]) -> VectorFiles:
    """Return the files that the manifests list.

    Raises `InputError` when one is missing, or when there is another that is not obviously something else.
    """
    listed = {path / shard.file: path for path, manifest in manifests.items() for shard in manifest.shards}
    present = {*files.files, *files.unread}
    for file, path in listed.items():
        if file not in present:
            raise InputError(
                f"{file} is missing, but {path / MANIFEST} lists it.", do="Run the same encode command again."
            )
    for file in files.files:
        if file not in listed:
            raise InputError(
                f"{file} is not listed in any {MANIFEST}.", do="Move it elsewhere; Anserini would index it as well."
            )
    return VectorFiles(files.path, tuple(sorted(listed)), tuple(path for path in files.unread if path not in listed))


def _common_settings(manifests: dict[Path, ImpactManifest]) -> EncodeSettings:
    """Return the settings of the first part.

    Raises `MismatchError` unless the manifests are of all parts of one corpus, encoded with the same settings.
    """
    (first_path, first), *others = manifests.items()
    for path, manifest in others:
        _check_same_settings(first_path, first.settings, path, manifest.settings)
    _check_parts(manifests, first.settings.shard_num)
    return first.settings


def _check_same_settings(first_path: Path, first: EncodeSettings, path: Path, other: EncodeSettings) -> None:
    expected = _shared_settings(first)
    for name, value in _shared_settings(other).items():
        if value != expected[name]:
            raise MismatchError(
                f"{path} and {first_path} were encoded with different settings ({name}: {value} and {expected[name]}).",
                do="Encode both with the same settings, or build two indexes.",
            )


def _check_parts(manifests: dict[Path, ImpactManifest], shard_num: int) -> None:
    """Raise `MismatchError` unless each part is there once; a single part of several only causes a warning."""
    parts: dict[int, Path] = {}
    for path, manifest in manifests.items():
        shard_id = manifest.settings.shard_id
        if shard_id in parts:
            raise MismatchError(f"{path} and {parts[shard_id]} are both part {shard_id} of {shard_num}.")
        parts[shard_id] = path
    missing = sorted(set(range(shard_num)) - set(parts))
    if not missing:
        return
    first_path = next(iter(manifests))
    if len(manifests) == 1:
        _logger.warning("%s is part %d of %d; the index contains no other part", first_path, *parts, shard_num)
        return
    raise MismatchError(
        f"Part{'s' * (len(missing) > 1)} {', '.join(map(str, missing))} of {shard_num} "
        f"{'is' if len(missing) == 1 else 'are'} missing in {first_path.parent}.",
        do=f"Encode with --shard-id {missing[0]} --shard-num {shard_num} into a sub-directory of it.",
    )


def _shared_settings(settings: EncodeSettings) -> dict[str, object]:
    """Return the settings that all parts of an index share; names and paths may differ between machines."""
    encoder = settings.encoder.model_dump(exclude={"name"}) if settings.encoder else {}
    return {
        **{f"encoder ({name})": value for name, value in encoder.items()},
        "scale": settings.scale,
        "maximum length": settings.max_length,
        "top-k": settings.top_k,
        "fields": settings.fields,
        "passages": settings.passages,
        "document idf": settings.document_idf,
        "number of parts": settings.shard_num,
    }
