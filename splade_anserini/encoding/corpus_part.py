"""Encoding a part of a corpus into numbered shards: what is there already is kept, and what is new is encoded."""

import logging
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from splade_anserini.artifacts.checksums import Checksum
from splade_anserini.artifacts.manifests import MANIFEST, Counts, EncodeSettings, ImpactManifest, Shard, write_manifest
from splade_anserini.artifacts.truncation import Truncation
from splade_anserini.encoding.earlier_shards import NONE_KNOWN, EarlierShards, shares_documents
from splade_anserini.encoding.options import EncodeOptions
from splade_anserini.encoding.shard_files import PendingShard, ShardWriter
from splade_anserini.errors import NOTE, MismatchError, counted
from splade_anserini.formats.corpora import Corpus, digest_of
from splade_anserini.progress import Progress
from splade_anserini.records import Document

_log = logging.getLogger(__name__)


def shard_file(options: EncodeOptions | EncodeSettings, shard_index: int) -> str:
    """Return the name of the file of a shard."""
    part = f"part-{options.shard_id:03d}-of-{options.shard_num:03d}." if options.shard_num > 1 else ""
    return f"{part}shard-{shard_index:05d}.jsonl.gz"


class PartOfCorpus:
    """The documents at some positions of a corpus, which `encode` writes into a directory, once."""

    def __init__(
        self, corpus: Corpus, part: range, output: Path, options: EncodeOptions, *, may_change: bool = True
    ) -> None:
        self._corpus, self._part, self._output, self._options = corpus, part, output, options
        self._may_change = may_change
        self._earlier = EarlierShards(output)
        self._is_changed = bool(self._earlier)
        self._starts = range(part.start, part.stop, options.docs_per_shard)
        self._drawn: list[int] = []
        """The numbers of the shards that are encoded, in order."""
        self._finished: dict[int, Shard] = {}
        """Shards that are finished, but not those before them, by number."""
        self._kept_shards = self._kept_documents = self._known_documents = 0

    def encode(self, writer: ShardWriter, manifest: ImpactManifest, progress: Progress) -> ImpactManifest:
        """Encode all documents that `manifest` does not list yet; write and return the manifest of all.

        Raises `MismatchError` for another corpus than that of the shards that are there, see `encode_shards`.
        """
        self._manifest, self._recorded = manifest, manifest.shards
        if not self._may_change and manifest.complete and len(manifest.shards) != len(self._starts):
            raise MismatchError(
                f"The corpus {self._corpus.name} has {counted(len(self._part), 'document')} of this part, "
                f"which are {counted(len(self._starts), 'shard')}; {len(manifest.shards):,} were encoded.",
                expected="the documents that were encoded",
                do="Restore the corpus, add --overwrite to start over, or choose another directory.",
            )
        self._earlier.move(manifest.shards)
        for shard in manifest.shards:
            if shard.sha256 and (self._output / shard.file).is_file():
                Checksum(shard.sha256, self._output / MANIFEST).check(self._output / shard.file)
        pending = self._pending(progress, reuses_documents=writer.reuses_documents)
        for count, shard in enumerate(writer.write(pending, self._options, progress)):
            self._place(self._drawn[count], shard)
        self._list_finished()
        self._finish()
        return self._manifest

    def _pending(self, progress: Progress, *, reuses_documents: bool) -> Iterator[PendingShard]:
        """Yield the shards to encode; list or take those that are there."""
        size = self._options.docs_per_shard
        documents = islice(self._corpus, self._part.start, self._part.stop)
        for shard_index, start in enumerate(self._starts):
            of_shard: Iterator[Document] = islice(documents, min(size, self._part.stop - start))
            path, known = self._output / shard_file(self._options, shard_index), NONE_KNOWN
            if shard_index < len(self._recorded) or self._earlier:
                shard_documents = list(of_shard)
                if self._is_there(shard_index, shard_documents):
                    self._kept_shards += 1
                    self._kept_documents += len(shard_documents)
                    progress(len(shard_documents))
                    continue
                if reuses_documents and shard_index >= len(self._recorded):
                    known = self._earlier.known(shard_documents, size)
                    self._known_documents += len(known)
                of_shard = iter(shard_documents)
            if shard_index >= len(self._recorded) and self._manifest.complete:
                self._is_changed = True
                self._write(self._manifest.model_copy(update={"complete": False}))
            self._drawn.append(shard_index)
            yield PendingShard(path, of_shard, known)

    def _is_there(self, shard_index: int, documents: Sequence[Document]) -> bool:
        """Say whether the file of a shard is there, or was made for an earlier state of the corpus and is there now."""
        digest = digest_of(documents)
        if shard_index < len(self._recorded):
            recorded = self._recorded[shard_index]
            if recorded.digest == digest:
                return (self._output / recorded.file).is_file()
            self._change(shard_index, documents)
        shard = self._earlier.take(digest, shard_file(self._options, shard_index))
        if shard is not None:
            self._finished[shard_index] = shard
        return shard is not None

    def _change(self, shard_index: int, documents: Sequence[Document]) -> None:
        """Set the shards from one on aside, as the corpus was changed there."""
        if not self._may_change or not (shard_index or shares_documents(self._output, self._manifest, documents)):
            raise _changed(self._corpus.name, self._recorded[shard_index], len(documents))
        self._is_changed = True
        self._earlier.begin(self._manifest, shard_index)
        self._recorded = self._recorded[:shard_index]
        self._write(_of_shards(self._manifest, self._recorded, complete=False))
        self._earlier.move(self._recorded)

    def _place(self, shard_index: int, shard: Shard) -> None:
        """List a shard that was encoded: in place of one whose file was lost, or after the others."""
        shards = self._manifest.shards
        if shard_index < len(shards):
            shards = (*shards[:shard_index], shard, *shards[shard_index + 1 :])
            self._write(_of_shards(self._manifest, shards, complete=self._manifest.complete))
        else:
            self._finished[shard_index] = shard
            self._list_finished()

    def _list_finished(self) -> None:
        while (shard := self._finished.pop(len(self._manifest.shards), None)) is not None:
            last = len(self._manifest.shards) + 1 == len(self._starts)
            self._write(_extended(self._manifest, shard, complete=last))

    def _write(self, manifest: ImpactManifest) -> None:
        write_manifest(self._output, manifest)
        self._manifest = manifest

    def _finish(self) -> None:
        """Remove what belongs to an earlier state of the corpus, and say what was reused of it."""
        if surplus := self._manifest.shards[len(self._starts) :]:
            self._is_changed = True
            for shard in surplus:
                (self._output / shard.file).unlink(missing_ok=True)
            self._write(_of_shards(self._manifest, self._manifest.shards[: len(self._starts)], complete=True))
        self._earlier.remove()
        if self._is_changed:
            _log.log(NOTE, "%s has changed since it was encoded. %s", self._corpus.name, self._reused())

    def _reused(self) -> str:
        """Say how much was reused, such as "Reused 9 of 10 shards (9,000 documents); 10 documents were encoded."."""
        new = len(self._part) - self._kept_documents - self._known_documents
        known = counted(self._known_documents, "document")
        shards = counted(len(self._starts), "shard")
        kept = f"{self._kept_shards:,} of {shards} ({counted(self._kept_documents, 'document')})"
        if not self._kept_shards:
            kept = f"{known} of {shards}"
        elif self._known_documents:
            kept = f"{kept} and {known} of the others"
        return f"Reused {kept}; {counted(new, 'document was', 'documents were')} encoded."


def _changed(corpus: str, shard: Shard, documents: int) -> MismatchError:
    return MismatchError(
        f"The corpus {corpus} has changed since {shard.file} was encoded.",
        expected=f"the same documents, or some of them among the first {documents:,}",
        do="Restore the corpus, add --overwrite to start over, or choose another directory.",
    )


def _extended(manifest: ImpactManifest, shard: Shard, *, complete: bool) -> ImpactManifest:
    """Return the manifest with `shard` appended."""
    shards = (*manifest.shards, shard)
    return manifest.model_copy(
        update={
            "shards": shards,
            "counts": manifest.counts + shard.counts,
            "empty": manifest.empty + len(shard.empty),
            "truncation": _truncation(shards),
            "ids_with_spaces": manifest.ids_with_spaces + shard.ids_with_spaces,
            "complete": complete,
        }
    )


def _of_shards(manifest: ImpactManifest, shards: Sequence[Shard], *, complete: bool) -> ImpactManifest:
    """Return the manifest with these shards, and the settings that it has."""
    return ImpactManifest(
        settings=manifest.settings,
        complete=complete,
        counts=sum((each.counts for each in shards), Counts()),
        empty=sum(len(each.empty) for each in shards),
        truncation=_truncation(shards),
        shards=tuple(shards),
        ids_with_spaces=sum(each.ids_with_spaces for each in shards),
    )


def _truncation(shards: Sequence[Shard]) -> Truncation | None:
    """Return the documents of all shards that were cut; None when one shard does not say."""
    recorded = [shard.truncation for shard in shards if shard.truncation is not None]
    return sum(recorded, Truncation()) if len(recorded) == len(shards) else None
