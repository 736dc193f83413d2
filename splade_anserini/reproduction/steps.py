"""What each step of a reproduction does; whether it is to be done is decided elsewhere."""

import shutil
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from splade_anserini.artifacts.files import PARTIAL, output_errors
from splade_anserini.artifacts.manifests import MANIFEST
from splade_anserini.cli.console import progress_bar
from splade_anserini.errors import OutputError
from splade_anserini.reproduction.contract import Contract, Evaluation
from splade_anserini.reproduction.execution import ExecutionOptions
from splade_anserini.reproduction.plan import Places

if TYPE_CHECKING:
    from splade_anserini.encoding import Encoder, ImpactQueryEncoder
    from splade_anserini.evaluation.evaluation import Evaluation as Measured


class Work:
    """The steps of one card; each returns in words what came out, and raises whatever its stage raises."""

    def __init__(self, contract: Contract, places: Places, means: ExecutionOptions) -> None:
        self.contract, self.places, self.means = contract, places, means

    @cached_property
    def encoder(self) -> "Encoder":
        """What encodes documents."""
        from splade_anserini.encoding import open_encoder

        return open_encoder(self.contract.encoder, self.means.encoder_options(self.contract.card.encode.max_length))

    @cached_property
    def query_encoder(self) -> "ImpactQueryEncoder":
        """What encodes queries for the index, which must be there."""
        from splade_anserini.artifacts.manifests import IndexManifest, read_manifest
        from splade_anserini.retrieval.options import QueryOptions
        from splade_anserini.retrieval.query_vectors import open_query_encoder_for

        settings, index = self.contract.card.encode, self.places.index
        options = QueryOptions(
            encoder=self.contract.encoder,
            max_length=settings.query_max_length,
            scale=str(settings.scale) if settings.scale else None,
            device=self.means.device,
            batch_size=self.means.batch_size,
            threads=self.means.threads,
        )
        return open_query_encoder_for(read_manifest(index, IndexManifest), f"Index {index}", options)

    def documents_are_whole(self) -> bool:
        """Say whether all pseudo-documents are there: links may point to what has gone."""
        from splade_anserini.artifacts.manifests import ImpactManifest, read_manifest
        from splade_anserini.formats.impacts import impact_files

        files = [file for file in impact_files(self.places.impacts) if file.exists()]
        if given := self.contract.impacts:
            return len(files) == (1 if given.is_file() else len(impact_files(given)))
        manifest = read_manifest(self.places.impacts, ImpactManifest)
        if manifest is None or not manifest.complete:
            return False
        return {file.name for file in files} == {shard.file for shard in manifest.shards}

    def documents_of_elsewhere(self) -> bool:
        """Say whether encoding began with a corpus of another name: `encode` does not go on with that."""
        from splade_anserini.artifacts.manifests import ImpactManifest, read_manifest

        manifest = read_manifest(self.places.impacts, ImpactManifest)
        return manifest is not None and manifest.settings.corpus != self.contract.corpus

    def forget_documents(self) -> None:
        """Remove the pseudo-documents, so that they are encoded anew."""
        _remove(self.places.impacts)

    def encode(self) -> str:
        """Encode the corpus, going on where it stopped."""
        from splade_anserini.encode import encode
        from splade_anserini.encoding.options import EncodeOptions
        from splade_anserini.formats.corpora import open_corpus

        said, place = self.contract.card.encode, self.places.impacts
        corpus = open_corpus(self.contract.corpus)
        options = EncodeOptions(
            scale=self.contract.scale, top_k=said.top_k, contents=said.contents, docs_per_shard=said.docs_per_shard
        )
        with progress_bar("Encoding", None, "documents") as progress:
            manifest = encode(corpus, self.encoder, place, options, progress=progress)
        if not self.documents_are_whole():
            raise OutputError(
                f"There are other files of documents than those that {place / MANIFEST} lists.",
                do=f"Remove {place}, and run the same command again.",
            )
        counts = manifest.counts
        entries = counts.postings / max(counts.documents, 1)
        return f"{counts.documents:,} documents, {entries:.1f} entries each; {manifest.empty} empty"

    def take(self) -> str:
        """Link what is encoded already into a directory of its own."""
        assert self.contract.impacts is not None  # noqa: S101  # or it would have been encoded
        given, place = self.contract.impacts, self.places.impacts
        if place.parent.resolve().is_relative_to(given.resolve()):
            raise OutputError(f"{place.parent} lies inside {given}, which it is made of.", do="Name another --output.")
        with output_errors(place):
            _remove(place)
            if given.is_dir():
                place.symlink_to(given, target_is_directory=True)
            else:
                place.mkdir(parents=True)
                (place / given.name).symlink_to(given)
        return f"encoded already: {self.contract.card.impacts}"

    def require_no_index(self) -> None:
        """Raise `OutputError` when there is an index already."""
        place = self.places.index
        if place.is_dir() and any(place.iterdir()):
            raise OutputError(
                f"There is an index at {place}, and no record of how it was made.",
                do="Add --force to replace it, or name another --output.",
            )

    def index(self) -> str:
        """Build the index, in place of one that may stand there."""
        from splade_anserini.index import index
        from splade_anserini.lucene import IndexOptions

        place = self.places.index
        options = IndexOptions(threads=self.means.workers, **self.contract.card.index.model_dump())
        counts = index(self.places.impacts, place, options, overwrite=True, bars=progress_bar).counts
        return f"{counts.documents:,} documents, {counts.postings:,} postings, {_size(place)}"

    def search(self, one: Evaluation) -> str:
        """Write the run of an evaluation."""
        from splade_anserini.formats.runs import write_run
        from splade_anserini.lucene import ImpactSearcher
        from splade_anserini.retrieval.options import SearchOptions
        from splade_anserini.retrieval.query_vectors import load_queries
        from splade_anserini.search import search

        said = self.contract.card.search
        queries = load_queries(one.topics, lambda: self.query_encoder, pre_encoded=one.asked.encoded)
        vectors = queries.vectors(bars=progress_bar)
        options = SearchOptions(hits=said.hits, remove_query=said.remove_query)
        with (
            progress_bar("Searching", len(vectors), "queries") as progress,
            ImpactSearcher(self.places.index, self.means.workers) as searcher,
        ):
            ranked = search(vectors, searcher, options, progress=progress)
            write_run(self.places.run(one.asked.name), ranked, tag=self.contract.card.name)
        return f"{len(vectors):,} queries, at most {said.hits:,} hits each"

    def evaluate(self, one: Evaluation) -> "Measured":
        """Measure the run of an evaluation."""
        from splade_anserini.evaluate import evaluate
        from splade_anserini.formats.qrels import read_qrels
        from splade_anserini.formats.runs import read_run
        from splade_anserini.reproduction.expectations import wanted_measures

        measures = list(wanted_measures(one.asked, self.contract.path).values())
        return evaluate(read_run(self.places.run(one.asked.name)), read_qrels(one.qrels), measures)


def _remove(directory: Path) -> None:
    """Remove a directory, or the link to one, if it is there; killed in between, it has gone all the same."""
    partial = directory.with_name(directory.name + PARTIAL)
    with output_errors(directory):
        if directory.is_symlink():
            directory.unlink()
        elif directory.exists():
            shutil.rmtree(partial, ignore_errors=True)
            directory.replace(partial)
        if partial.exists():
            shutil.rmtree(partial)


def _size(directory: Path) -> str:
    size = sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())
    return f"{size / 1e6:,.1f} MB"
