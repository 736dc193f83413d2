"""What each step of a reproduction does; `running` decides whether it is needed."""

import shutil
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from splade_anserini.artifacts.files import PARTIAL, output_errors
from splade_anserini.artifacts.manifests import MANIFEST, ImpactManifest, IndexManifest, read_manifest
from splade_anserini.errors import OutputError, counted
from splade_anserini.formats.impacts import impact_files
from splade_anserini.reproduction.execution import ExecutionOptions, Observer
from splade_anserini.reproduction.plan import OutputPaths
from splade_anserini.reproduction.resolved_card import ResolvedCard, ResolvedEvaluation
from splade_anserini.reproduction.time_left import with_time_left

if TYPE_CHECKING:
    from splade_anserini.encoding import Encoder, ImpactQueryEncoder
    from splade_anserini.evaluation.evaluation import Evaluation
    from splade_anserini.retrieval.query_vectors import QuerySet


class StepRunner:
    """The steps of one card; each returns its result as text, and raises what the command of that name raises."""

    def __init__(
        self, resolved: ResolvedCard, paths: OutputPaths, options: ExecutionOptions, observer: Observer
    ) -> None:
        self._resolved, self._card, self._paths = resolved, resolved.card, paths
        self._options, self._observer = options, observer

    @cached_property
    def encoder(self) -> "Encoder":
        """The document encoder."""
        from splade_anserini.encoding import open_encoder

        return open_encoder(self._resolved.encoder, self._options.encoder_options(self._card.encode.max_length))

    @cached_property
    def query_encoder(self) -> "ImpactQueryEncoder":
        """The query encoder for the index, which must exist."""
        from splade_anserini.encoding.options import DEFAULT_BATCH_SIZE
        from splade_anserini.retrieval.options import QueryOptions
        from splade_anserini.retrieval.query_vectors import open_query_encoder_for

        encode, index = self._card.encode, self._paths.index
        options = QueryOptions(
            encoder=self._resolved.encoder,
            # That of the cards, also where an earlier version built the index.
            max_length=self._resolved.query_max_length,
            scale=encode.scale,
            device=self._options.device,
            batch_size=self._options.batch_size or DEFAULT_BATCH_SIZE,
            threads=self._options.threads,
        )
        return open_query_encoder_for(read_manifest(index, IndexManifest), f"Index {index}", options)

    def documents_are_complete(self) -> bool:
        """Return whether all pseudo-documents exist, with no other files among them."""
        files = [file for file in impact_files(self._paths.impacts) if file.exists()]  # links may be broken
        if impacts := self._resolved.impacts:
            return len(files) == (1 if impacts.is_file() else len(impact_files(impacts)))
        manifest = read_manifest(self._paths.impacts, ImpactManifest)
        if manifest is None or not manifest.complete:
            return False
        return {file.name for file in files} == {shard.file for shard in manifest.shards}

    def documents_have_another_corpus(self) -> bool:
        """Return whether encoding was started with a corpus of another name, which `encode` refuses to resume."""
        manifest = read_manifest(self._paths.impacts, ImpactManifest)
        return manifest is not None and manifest.settings.corpus != self._resolved.corpus

    def remove_documents(self) -> None:
        """Remove the pseudo-documents, so that all are encoded again."""
        _remove(self._paths.impacts)

    def encode(self) -> str:
        """Encode the corpus; resume where an earlier command stopped."""
        from splade_anserini.encoding.options import EncodeOptions
        from splade_anserini.encoding.shards import encode_shards
        from splade_anserini.formats.corpora import open_corpus

        encode, impacts = self._card.encode, self._paths.impacts
        options = EncodeOptions(
            scale=self._resolved.scale,
            top_k=encode.top_k,
            contents=encode.contents,
            docs_per_shard=encode.docs_per_shard,
        )
        reused, observer = _encoded_before(impacts), self._observer
        bars = with_time_left(observer.progress_bars, encode.docs_per_shard, observer.on_time_left, reused)
        manifest = encode_shards(open_corpus(self._resolved.corpus), self.encoder, impacts, options, bars=bars)
        if not self.documents_are_complete():
            raise OutputError(
                f"{impacts} contains files that {impacts / MANIFEST} does not list.",
                do=f"Remove {impacts}, and run the same command again.",
            )
        counts = manifest.counts
        entries = counts.postings / max(counts.documents, 1)
        return f"{counted(counts.documents, 'document')}, {entries:.1f} entries each; {manifest.empty} empty"

    def link(self) -> str:
        """Link documents that are encoded already into the directory of the reproduction."""
        source, impacts = self._resolved.impacts, self._paths.impacts
        assert source is not None  # noqa: S101  # the plan has this step only for such documents
        if impacts.parent.resolve().is_relative_to(source.resolve()):
            raise OutputError(
                f"The output {impacts.parent} is inside its own input {source}.", do="Choose another --output."
            )
        if source.resolve().is_relative_to(impacts.parent.resolve()):
            raise OutputError(
                f"The input {source} is inside the output {impacts.parent}.", do="Choose another --output."
            )
        if not _is_linked(impacts):
            raise OutputError(
                f"{impacts} exists, and holds more than a link to documents that are encoded already.",
                do="Remove it, or choose another --output.",
            )
        with output_errors(impacts):
            _remove(impacts)
            if source.is_dir():
                impacts.symlink_to(source, target_is_directory=True)
            else:
                impacts.mkdir(parents=True)
                (impacts / source.name).symlink_to(source)
        return f"linked to {self._card.impacts}"

    def require_no_index(self) -> None:
        """Raise `OutputError` when there is an index already."""
        index = self._paths.index
        if index.is_dir() and any(index.iterdir()):
            raise OutputError(
                f"{index} exists, and there is no record of how it was built.",
                do="Add --overwrite to replace it, or choose another --output.",
            )

    def index(self) -> str:
        """Build the index; replace one that exists."""
        from splade_anserini.index import index
        from splade_anserini.lucene import IndexOptions

        options = IndexOptions(threads=self._options.java_threads, **self._card.index.model_dump())
        bars = self._observer.progress_bars
        counts = index(self._paths.impacts, self._paths.index, options, overwrite=True, bars=bars).counts
        size = sum(file.stat().st_size for file in self._paths.index.rglob("*") if file.is_file())
        postings = counted(counts.postings, "posting")
        return f"{counted(counts.documents, 'document')}, {postings}, {size / 1e6:,.1f} MB"

    def load_queries(self, evaluation: ResolvedEvaluation) -> "QuerySet":
        """Read the topics of an evaluation, and open the query encoder if they are texts."""
        from splade_anserini.retrieval.options import QueryOptions
        from splade_anserini.retrieval.query_vectors import load_queries

        options = QueryOptions(pre_encoded=evaluation.expectation.encoded)
        queries = load_queries(evaluation.topics, lambda: self.query_encoder, options)
        queries.multiply_by_idf(self._paths.index, self._resolved.query_idf)
        return queries

    def search(self, evaluation: ResolvedEvaluation, queries: "QuerySet") -> str:
        """Write the run of an evaluation."""
        from splade_anserini.formats.runs import write_run
        from splade_anserini.lucene import ImpactSearcher
        from splade_anserini.lucene.index_reader import check_index_files
        from splade_anserini.retrieval.options import SearchOptions
        from splade_anserini.retrieval.query_idf import with_exact_scores
        from splade_anserini.search import search

        check_index_files(self._paths.index, any_size=True)
        hits, bars = self._card.search.hits, self._observer.progress_bars
        vectors = queries.vectors(bars=bars)
        options = SearchOptions(hits=hits, remove_query=self._card.search.remove_query)
        with (
            bars("Searching", len(vectors), "queries") as progress,
            ImpactSearcher(self._paths.index, self._options.java_threads) as searcher,
        ):
            rankings = search(vectors, searcher, options, progress=progress)
            if queries.query_idf:
                rankings = with_exact_scores(rankings)
            write_run(self._paths.run(evaluation.expectation.name), rankings, tag=self._card.name)
        return f"{counted(len(vectors), 'query', 'queries')}, at most {counted(hits, 'hit')} each"

    def evaluate(self, evaluation: ResolvedEvaluation) -> "Evaluation":
        """Compute the measures of an evaluation from its run."""
        from splade_anserini.evaluate import evaluate
        from splade_anserini.formats.qrels import read_qrels
        from splade_anserini.formats.runs import read_run
        from splade_anserini.reproduction.expectations import card_measures

        measures = list(card_measures(evaluation.expectation, self._resolved.path).values())
        run = read_run(self._paths.run(evaluation.expectation.name))
        return evaluate(run, read_qrels(evaluation.qrels), measures)


def _encoded_before(impacts: Path) -> int:
    """Return the number of documents in the shards that exist."""
    manifest = read_manifest(impacts, ImpactManifest)
    shards = manifest.shards if manifest else ()
    return sum(shard.counts.documents + len(shard.empty) for shard in shards if (impacts / shard.file).is_file())


def _is_linked(impacts: Path) -> bool:
    """Return whether nothing is lost if `impacts` is linked again: it is a link, or has links, or is not there."""
    return impacts.is_symlink() or not impacts.exists() or all(path.is_symlink() for path in impacts.iterdir())


def _remove(directory: Path) -> None:
    """Remove a directory, or the link to one, if it exists; if the command is killed meanwhile, the name is free."""
    partial = directory.with_name(directory.name + PARTIAL)
    with output_errors(directory):
        if directory.is_symlink():
            directory.unlink()
        elif directory.exists():
            shutil.rmtree(partial, ignore_errors=True)
            directory.replace(partial)
        if partial.exists():
            shutil.rmtree(partial)
