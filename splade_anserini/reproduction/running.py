"""Runs the steps of a reproduction, those that are not done."""

import shutil
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from splade_anserini.console import progress_bar
from splade_anserini.errors import OutputError
from splade_anserini.files import directory_lock, output_errors
from splade_anserini.reproduction.contract import Contract, Evaluation
from splade_anserini.reproduction.expectations import Line, compared, wanted_measures
from splade_anserini.reproduction.ledger import Ledger, Settings
from splade_anserini.reproduction.means import Means
from splade_anserini.reproduction.plan import Places, Step, plan
from splade_anserini.reproduction.report import Report, StepTime, machine, versions
from splade_anserini.reproduction.settings import settings_of_documents, settings_of_index, settings_of_search

if TYPE_CHECKING:
    from splade_anserini.encoding import Encoder, EncoderOptions, ImpactQueryEncoder
    from splade_anserini.records import ImpactVector, Query

type Announce = Callable[[str, float | None], object]
"""Told what a step did and the seconds it took, or None when it had been done before."""


def reproduce(contract: Contract, places: Places, means: Means, announce: Announce) -> Report:
    """Do what is not done yet, measure, compare, and return the report.

    Raises `MismatchError` when a step was done with other settings than the card's, `OutputError` when something else
    is in its place, and whatever the stages raise.
    """
    with output_errors(places.work):
        places.work.mkdir(parents=True, exist_ok=True)
    with directory_lock(places.work):
        return _Reproduction(contract, places, means, announce).report()


class _Reproduction:
    def __init__(self, contract: Contract, places: Places, means: Means, announce: Announce) -> None:
        self.contract, self.places, self.means, self.announce = contract, places, means, announce
        self.ledger = Ledger(places.work, contract.card.name)
        self.times: list[StepTime] = []
        self.lines: list[Line] = []

    def report(self) -> Report:
        steps = plan(self.contract, self.places)
        documents = self._documents(steps[0], steps[1])
        for step in steps[2:]:
            one = self.contract.evaluations[step.evaluation]
            if step.kind == "search":
                self._search(step, one, documents)
            else:
                self._evaluate(step, one)
        card = self.contract.card
        return Report.of(card, tuple(self.lines), tuple(self.times), versions(self.places.index), machine())

    def _documents(self, step: Step, index_step: Step) -> Settings:
        """Encode and index; return what decided the impacts."""
        encoder = None if self.contract.impacts else self._encoder()
        scale = self._scale if encoder else None
        settings = settings_of_documents(self.contract, encoder, scale)
        force = self.means.force
        encoded = self.ledger.fits(step.name, settings, force=force)
        of_index = settings_of_index(self.contract, settings)
        indexed = self.ledger.fits(index_step.name, of_index, force=force) and self.places.index.is_dir()
        # Who has the index may have thrown the pseudo-documents away.
        if encoded and (indexed or self.places.impacts.is_dir()):
            self._skip(step)
        else:
            self._do(step, settings, lambda: self._encode(encoder, scale) if encoder else self._take())
        if indexed:
            self._skip(index_step)
        else:
            self._do(index_step, of_index, lambda: self._index(known=index_step.name in self.ledger.steps))
        return settings

    def _encode(self, encoder: "Encoder", scale: float | None) -> str:
        from splade_anserini.encode import encode
        from splade_anserini.encoding.shards import EncodeOptions
        from splade_anserini.formats.corpora import open_corpus
        from splade_anserini.manifests import DEFAULT_SCALE, ImpactManifest, read_manifest

        said = self.contract.card.encode
        corpus = open_corpus(self.contract.corpus)
        options = EncodeOptions(
            scale=scale or DEFAULT_SCALE,
            top_k=said.top_k,
            contents=said.contents,
            docs_per_shard=said.docs_per_shard,
        )
        if self.means.force:
            begun = read_manifest(self.places.impacts, ImpactManifest)
            if begun and begun.settings != options.settings(encoder, corpus.name):
                shutil.rmtree(self.places.impacts)
        with progress_bar("Encoding", None, "documents") as progress:
            manifest = encode(corpus, encoder, self.places.impacts, options, progress=progress)
        entries = manifest.counts.postings / max(manifest.counts.documents, 1)
        return f"{manifest.counts.documents:,} documents, {entries:.1f} entries each; {manifest.empty} empty"

    def _take(self) -> str:
        """Link what is encoded already into a directory of its own."""
        assert self.contract.impacts is not None  # noqa: S101  # or it would have been encoded
        given, place = self.contract.impacts, self.places.impacts
        shutil.rmtree(place, ignore_errors=True)
        with output_errors(place):
            if given.is_dir():
                place.symlink_to(given, target_is_directory=True)
            else:
                place.mkdir(parents=True)
                (place / given.name).symlink_to(given)
        return f"encoded already: {self.contract.card.impacts}"

    def _index(self, *, known: bool) -> str:
        from splade_anserini.index import index
        from splade_anserini.lucene import IndexOptions

        if self.places.index.is_dir() and not known and not self.means.force:
            raise OutputError(
                f"There is an index at {self.places.index}, and no record of how it was made.",
                do="Add --force to replace it, or name another --output.",
            )
        options = IndexOptions(threads=self._threads, **self.contract.card.index.model_dump())
        with progress_bar("Indexing", None, "documents") as progress:
            counts = index(self.places.impacts, self.places.index, options, overwrite=True, progress=progress).counts
        return f"{counts.documents:,} documents, {counts.postings:,} postings, {_size(self.places.index)}"

    def _search(self, step: Step, one: Evaluation, documents: Settings) -> None:
        queries = _queries(one)
        encoder = None if one.asked.encoded else self._query_encoder
        settings = settings_of_search(self.contract, one, documents, queries, encoder.encoder if encoder else None)
        if self.ledger.fits(step.name, settings, force=self.means.force) and step.output.is_file():
            self._skip(step)
        else:
            self._do(step, settings, lambda: self._ranked(step.output, queries, encoder))

    def _ranked(
        self,
        output: Path,
        queries: "list[Query] | dict[str, ImpactVector]",
        encoder: "ImpactQueryEncoder | None",
    ) -> str:
        from splade_anserini.formats.runs import write_run
        from splade_anserini.lucene import ImpactSearcher
        from splade_anserini.queries import encode_queries
        from splade_anserini.search import search

        said = self.contract.card.search
        with progress_bar("Searching", len(queries), "queries") as progress:
            vectors = queries if isinstance(queries, dict) else encode_queries(queries, encoder)  # type: ignore[arg-type]
            with closing(ImpactSearcher(self.places.index, self._threads)) as searcher:
                ranked = search(vectors, searcher, said.hits, remove_query=said.remove_query, progress=progress)
                write_run(output, ranked, tag=self.contract.card.name)
        return f"{len(vectors):,} queries, at most {said.hits:,} hits each"

    def _evaluate(self, step: Step, one: Evaluation) -> None:
        from splade_anserini.evaluate import evaluate
        from splade_anserini.formats.qrels import read_qrels
        from splade_anserini.formats.runs import read_run

        start = time.perf_counter()
        measures = list(wanted_measures(one.asked, self.contract.path).values())
        evaluation = evaluate(read_run(self.places.run(one.asked.name)), read_qrels(one.qrels), measures)
        self.lines += compared(one.asked, evaluation.aggregate, self.contract.path)
        took = time.perf_counter() - start
        self._note(StepTime(name=step.name, what=f"{len(evaluation.per_query):,} judged queries", seconds=took))

    def _do(self, step: Step, settings: Settings, work: Callable[[], str]) -> None:
        start = time.perf_counter()
        what = work()
        self.ledger.record(step.name, settings, what, time.perf_counter() - start)
        done = self.ledger.steps[step.name]
        self._note(StepTime(name=step.name, what=what, seconds=done.seconds))

    def _skip(self, step: Step) -> None:
        done = self.ledger.steps[step.name]
        self._note(StepTime(name=step.name, what=done.what, seconds=done.seconds, before=done.finished))

    def _note(self, time_of_step: StepTime) -> None:
        self.times.append(time_of_step)
        self.announce(
            f"{time_of_step.name}: {time_of_step.what}", None if time_of_step.before else time_of_step.seconds
        )

    def _encoder(self) -> "Encoder":
        from splade_anserini.encoding import open_encoder

        return open_encoder(self.contract.encoder, self._options(self.contract.card.encode.max_length))

    @cached_property
    def _query_encoder(self) -> "ImpactQueryEncoder":
        from splade_anserini.queries import open_for_index

        said = self.contract.card.encode
        options = self._options(said.query_max_length)
        scale = str(said.scale) if said.scale else None
        return open_for_index(self.places.index, self.contract.encoder, scale, options)

    @cached_property
    def _scale(self) -> float:
        from splade_anserini.encoding import default_scale

        return self.contract.card.encode.scale or default_scale(self.contract.encoder)

    def _options(self, max_length: int | None) -> "EncoderOptions":
        from splade_anserini.encoding import EncoderOptions

        means = self.means
        options = EncoderOptions(device=means.device, batch_size=means.batch_size, threads=means.threads)
        return replace(options, max_length=max_length)

    @property
    def _threads(self) -> int:
        from splade_anserini.machine import cores

        return self.means.threads or cores()


def _queries(one: Evaluation) -> "list[Query] | dict[str, ImpactVector]":
    from splade_anserini.formats.topics import read_encoded_topics, read_topics
    from splade_anserini.lucene import start_jvm

    # Topics that go by a name of Pyserini come from Java.
    start_jvm()
    return read_encoded_topics(one.topics) if one.asked.encoded else read_topics(one.topics)


def _size(directory: Path) -> str:
    size = sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())
    return f"{size / 1e6:,.1f} MB"
