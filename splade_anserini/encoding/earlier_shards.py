"""The shards that were made of an earlier state of a corpus, from which those of its present state take what they can.

When a corpus was changed, the shards from the first changed one on are set aside in the same directory, with their
manifest, and the manifest in force lists only those before them. A killed command leaves that, and the same command
goes on from there. What was set aside is removed when all shards are there.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path

import orjson

from splade_anserini.artifacts.checksums import Checksum
from splade_anserini.artifacts.files import whole_file
from splade_anserini.artifacts.manifests import (
    MANIFEST,
    ImpactManifest,
    Shard,
    manifest_bytes,
    parse_manifest,
)
from splade_anserini.errors import IntegrityError
from splade_anserini.formats.corpora import CorpusDigest
from splade_anserini.formats.parsing.lines import byte_lines
from splade_anserini.records import Document, ImpactVector

_PREVIOUS = ".previous"
"""The end of the names of what was set aside."""

_COMPARED_SHARDS = 2
"""Shards whose documents are compared with those of a corpus whose first shard is another."""


def shares_documents(directory: Path, manifest: ImpactManifest, documents: Sequence[Document]) -> bool:
    """Say whether one of these documents is in the first shards of a directory, as far as these tell.

    Without texts, it is whether a shard or its first documents are those of an earlier shard.
    """
    if _earlier_beginning(manifest.shards, documents):
        return True
    if not manifest.settings.contents:
        return False
    texts = {document.id: document.contents for document in documents}
    for shard in manifest.shards[:_COMPARED_SHARDS]:
        if (path := directory / shard.file).is_file():
            for _, line in byte_lines(path):
                record = orjson.loads(line)
                if texts.get(record["id"]) == record["contents"]:
                    return True
    return False


def _earlier_beginning(shards: Iterable[Shard], documents: Sequence[Document]) -> Shard | None:
    """Return the shard that was made of the first of these documents, or of all."""
    sizes: dict[int, list[Shard]] = {}
    for shard in shards:
        sizes.setdefault(shard.counts.documents + len(shard.empty), []).append(shard)
    digest = CorpusDigest()
    for count, document in enumerate(documents, 1):
        digest.update(document)
        for shard in sizes.get(count, ()):
            if shard.digest == digest.hexdigest():
                return shard
    return None


class KnownVectors(Mapping[str, ImpactVector]):
    """Vectors by id, in lines of pseudo-documents that are parsed when a vector is asked for."""

    def __init__(self, lines: Mapping[str, bytes]) -> None:
        self._lines = lines

    def __getitem__(self, id_: str) -> ImpactVector:
        vector: ImpactVector = orjson.loads(self._lines[id_])["vector"]
        return vector

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)


NONE_KNOWN = KnownVectors({})


class EarlierShards:
    """What was set aside in a directory; `begin` sets something aside, unless a killed command did so before."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._manifest = parse_manifest(directory / f"{MANIFEST}{_PREVIOUS}", ImpactManifest)
        self._shards: dict[str, Shard] = {}
        self._open()

    def __bool__(self) -> bool:
        return self._manifest is not None

    def begin(self, manifest: ImpactManifest, kept: int) -> None:
        """Set all shards of a manifest aside but the first `kept`.

        After this the caller writes a manifest of these, and calls `move`.
        """
        if self._manifest is None:
            self._manifest = manifest.model_copy(update={"shards": manifest.shards[kept:], "complete": False})
            with whole_file(self._directory / f"{MANIFEST}{_PREVIOUS}") as file:
                file.write(manifest_bytes(self._manifest))
        else:
            # What was set aside before is more than what was made since.
            for shard in manifest.shards[kept:]:
                (self._directory / shard.file).unlink(missing_ok=True)

    def move(self, listed: Sequence[Shard]) -> None:
        """Rename the files that were set aside, except `listed` ones, which are made of the present corpus."""
        files = {shard.file for shard in listed}
        for shard in self._manifest.shards if self._manifest else ():
            path = self._directory / shard.file
            if shard.file not in files and path.is_file() and not self._aside(shard).exists():
                path.replace(self._aside(shard))
        self._open()

    def _open(self) -> None:
        shards = self._manifest.shards if self._manifest else ()
        self._shards = {shard.digest: shard for shard in shards if self._aside(shard).is_file()}
        self._unread = deque(self._shards.values())
        self._lines: dict[str, bytes] = {}
        self._reading: Iterator[bytes] = iter(())

    def take(self, digest: str, file: str) -> Shard | None:
        """Let the shard of these documents be the one in `file`, if there is one; return what the manifest says."""
        shard = self._shards.pop(digest, None)
        if shard is None or not self._is_whole(shard):
            return None
        if shard in self._unread:
            self._unread.remove(shard)
        self._aside(shard).replace(self._directory / file)
        return shard.model_copy(update={"file": file})

    def known(self, documents: Sequence[Document], size: int) -> KnownVectors:
        """Return the vectors of those documents that were encoded before, of the next earlier ones.

        `size` is the documents of a shard: about twice as many lines are kept. Documents are the same if id and text
        are, or, where texts are not stored, if the first ones of the shard are those of an earlier shard.
        """
        if self._manifest is None:
            return NONE_KNOWN
        if not self._manifest.settings.contents:
            return self._beginning(documents)
        self._read_ahead(2 * size)
        found = {document.id: line for document in documents if (line := self._line_of(document))}
        if found:
            # Those before the first one that was found were removed from the corpus, or moved.
            for id_ in list(takewhile(lambda id_: id_ not in found, self._lines)):
                del self._lines[id_]
            for id_ in found:
                self._lines.pop(id_, None)
        return KnownVectors(found)

    def _line_of(self, document: Document) -> bytes | None:
        line = self._lines.get(document.id)
        return line if line and orjson.loads(line)["contents"] == document.contents else None

    def _read_ahead(self, count: int) -> None:
        while len(self._lines) < count:
            line = next(self._reading, None)
            if line is not None:
                self._lines[orjson.loads(line)["id"]] = line
            elif self._unread:
                self._reading = self._lines_of(self._unread.popleft())
            else:
                return

    def _beginning(self, documents: Sequence[Document]) -> KnownVectors:
        shard = _earlier_beginning(self._shards.values(), documents)
        return KnownVectors({orjson.loads(line)["id"]: line for line in self._lines_of(shard)} if shard else {})

    def _lines_of(self, shard: Shard) -> Iterator[bytes]:
        if shard.batching is None and self._is_whole(shard):
            yield from (line for _, line in byte_lines(self._aside(shard)))

    def _is_whole(self, shard: Shard) -> bool:
        path = self._aside(shard)
        try:
            if shard.sha256 and path.is_file():
                Checksum(shard.sha256, path.with_name(f"{MANIFEST}{_PREVIOUS}")).check(path)
        except IntegrityError:
            return False
        return path.is_file()

    def _aside(self, shard: Shard) -> Path:
        return self._directory / f"{shard.file}{_PREVIOUS}"

    def remove(self) -> None:
        """Remove what was set aside, its manifest last."""
        for shard in self._manifest.shards if self._manifest else ():
            self._aside(shard).unlink(missing_ok=True)
        (self._directory / f"{MANIFEST}{_PREVIOUS}").unlink(missing_ok=True)
        self._manifest = None
        self._open()
