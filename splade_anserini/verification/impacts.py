"""Verifying impact pseudo-documents: files, checksums, every record, ids, and a sample that is encoded again."""

import hashlib
import heapq
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from splade_anserini.artifacts.checksums import Checksum
from splade_anserini.artifacts.manifests import MANIFEST, Counts, ImpactManifest, Shard, read_manifest
from splade_anserini.errors import SpladeAnseriniError, counted
from splade_anserini.formats.impacts import DocumentCounter
from splade_anserini.formats.parsing.duplicates import DuplicateFinder, refuse_duplicates
from splade_anserini.formats.parsing.lines import Location
from splade_anserini.formats.vector_files import read_vectors
from splade_anserini.formats.vectors import VectorReader
from splade_anserini.lucene.sources import find_impacts
from splade_anserini.progress import Progress, silent
from splade_anserini.records import ImpactDocument, ImpactVector
from splade_anserini.verification.report import Check, Report

type EncodeAgain = Callable[[ImpactManifest, Collection[str]], Mapping[str, ImpactDocument]]
"""Encodes the documents of the corpus with these ids as the manifest says; raises errors of this package."""

KIND = "impact pseudo-documents"
_ROUNDING = 1
"""Greatest difference between two impacts that the arithmetic of another processor may cause."""


def verify_impacts(
    path: Path, encode_again: EncodeAgain | None = None, sample: int = 100, progress: Progress = silent
) -> Report:
    """Check a directory that `encode` or `convert` wrote, or one that holds the directories of several machines.

    With `encode_again`, a sample of the documents is encoded and compared token by token.
    """
    report = Report(str(path), KIND)
    manifests: dict[Path, ImpactManifest] = {}
    with report.check("manifest") as check:
        manifests = _manifests(path)
        shards = sum(len(manifest.shards) for manifest in manifests.values())
        check.detail = f"{counted(len(manifests), 'part')}, {counted(shards, 'shard')}"
        for directory, manifest in manifests.items():
            _check_sums(directory, manifest, check)
    with report.check("files") as check:
        source = find_impacts(path)
        check.detail = counted(len(source.files.files), "file")
    with report.check("checksums") as check:
        _check_checksums(manifests, check)
    reading = _Reading(sample if encode_again else 0)
    with DuplicateFinder() as ids:
        with report.check("records") as check:
            for file, shard in _present_shards(manifests):
                reading.read(file, shard, ids, check, progress)
            check.detail = counted(reading.documents, "document")
        with report.check("ids") as check:
            check.detail = "each once"
            refuse_duplicates(ids, lambda: _located_ids(manifests), "document id")
    if encode_again:
        with report.check("encoded again") as check:
            _compare_again(manifests, encode_again, reading.sample, check)
    else:
        report.leave_out("encoded again", "no --corpus")
    return report


def _manifests(path: Path) -> dict[Path, ImpactManifest]:
    directories = [path, *sorted(child for child in path.iterdir() if child.is_dir())]
    return {each: manifest for each in directories if (manifest := read_manifest(each, ImpactManifest))}


def _check_sums(directory: Path, manifest: ImpactManifest, check: Check) -> None:
    """Compare the totals of a manifest with its shards."""
    name = directory / MANIFEST
    if not manifest.complete:
        check.fail(f"{name}: encoding is not complete: run the same encode command again")
    counts = sum((shard.counts for shard in manifest.shards), Counts())
    for difference in manifest.counts.differences(counts):
        check.fail(f"{name}: {difference} in all shards")
    empty = sum(len(shard.empty) for shard in manifest.shards)
    if manifest.empty != empty:
        check.fail(f"{name}: empty vectors: {manifest.empty:,} instead of {empty:,} in all shards")


def _present_shards(manifests: Mapping[Path, ImpactManifest]) -> Iterator[tuple[Path, Shard]]:
    for directory, manifest in manifests.items():
        for shard in manifest.shards:
            if (directory / shard.file).is_file():
                yield directory / shard.file, shard


def _located_ids(manifests: Mapping[Path, ImpactManifest]) -> Iterator[tuple[Location, str]]:
    for file, _ in _present_shards(manifests):
        with suppress(SpladeAnseriniError):
            for location, document in read_vectors(file, VectorReader()):
                yield location, document.id


def _check_checksums(manifests: Mapping[Path, ImpactManifest], check: Check) -> None:
    compared = without = 0
    for file, shard in _present_shards(manifests):
        if shard.sha256 is None:
            without += 1
            continue
        compared += 1
        try:
            Checksum(shard.sha256, file.with_name(MANIFEST)).check(file)
        except SpladeAnseriniError as error:
            check.fail(" ".join(str(error).split()))
    check.detail = counted(compared, "file")
    if without:
        check.detail += f"; {without:,} of an earlier version, without a checksum"
        check.left_out = not compared


class _Reading:
    """One reading of all records."""

    def __init__(self, sample: int) -> None:
        self.documents = 0
        self._size = sample
        self._sample: list[tuple[int, str, ImpactDocument]] = []

    @property
    def sample(self) -> dict[str, ImpactDocument]:
        """Documents by id: those whose ids have the smallest hashes, which is a random choice that repeats."""
        return {id_: document for _, id_, document in self._sample}

    def read(self, file: Path, shard: Shard, ids: DuplicateFinder, check: Check, progress: Progress) -> None:
        """Read a shard and compare it with what the manifest says."""
        counter, empty = DocumentCounter(), list[str]()
        try:
            for _, document in read_vectors(file, VectorReader()):
                counter.add(document)
                ids.add(document.id)
                self._offer(document)
                if not document.vector:
                    empty.append(document.id)
                self.documents += 1
                progress(1)
        except SpladeAnseriniError as error:
            check.fail(" ".join(str(error).split()))
            return
        for difference in counter.counts.differences(shard.counts):
            check.fail(f"{file}: {difference} in {MANIFEST}")
        if tuple(empty) != shard.empty:
            check.fail(f"{file}: other documents have an empty vector than {MANIFEST} says")

    def _offer(self, document: ImpactDocument) -> None:
        if not self._size:
            return
        rank = -int.from_bytes(hashlib.blake2b(document.id.encode(), digest_size=8).digest())
        item = (rank, document.id, document)
        if len(self._sample) < self._size:
            heapq.heappush(self._sample, item)
        elif item[:2] > self._sample[0][:2]:
            heapq.heapreplace(self._sample, item)


def _compare_again(
    manifests: Mapping[Path, ImpactManifest],
    encode_again: EncodeAgain,
    sample: Mapping[str, ImpactDocument],
    check: Check,
) -> None:
    manifest = next(iter(manifests.values()), None)
    if manifest is None or not sample:
        check.detail, check.left_out = "no document could be read", True
        return
    again = encode_again(manifest, sample)
    entries = rounded = 0
    for id_, document in sample.items():
        if id_ not in again:
            check.fail(f"document {id_} is not in the corpus")
            continue
        entries += len(document.vector)
        rounded += _compare(id_, document, again[id_], check)
    check.detail = f"{counted(len(sample), 'document')}, {counted(entries, 'entry', 'entries')}"
    if rounded:
        check.detail += f"; {rounded:,} differ by 1, as on another processor"


def _compare(id_: str, document: ImpactDocument, again: ImpactDocument, check: Check) -> int:
    """Compare the entries of a document; return how many differ by rounding only."""
    if document.contents != again.contents:
        check.fail(f"document {id_} has other contents in the corpus")
    differences = _differences(document.vector, again.vector)
    token = max(differences, key=lambda token: abs(differences[token]), default=None)
    if token is not None and abs(differences[token]) > _ROUNDING:
        impact, expected = document.vector.get(token, 0), again.vector.get(token, 0)
        check.fail(
            f"document {id_}, token {token!r}: impact {impact} instead of {expected}; "
            f"{counted(len(differences), 'entry differs', 'entries differ')}"
        )
        return 0
    return len(differences)


def _differences(vector: ImpactVector, other: ImpactVector) -> dict[str, int]:
    tokens = {*vector, *other}
    values = {token: vector.get(token, 0) - other.get(token, 0) for token in tokens}
    return {token: value for token, value in values.items() if value}
