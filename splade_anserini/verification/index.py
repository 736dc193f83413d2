"""Verifying a Lucene index: Lucene's own check, the counts of its manifest, and its pseudo-documents."""

import random
from math import sumprod
from pathlib import Path

from splade_anserini.artifacts.commits import fingerprint_of_commit
from splade_anserini.artifacts.manifests import IndexManifest, kind_of_manifest, read_manifest
from splade_anserini.artifacts.model import Model
from splade_anserini.artifacts.sharded_index import is_sharded, shard_directories
from splade_anserini.artifacts.text_index_manifest import TextIndexManifest
from splade_anserini.errors import counted
from splade_anserini.lucene.check_index import check_index
from splade_anserini.lucene.document_idf import document_idf_of, multiplied_by_idf
from splade_anserini.lucene.impact_searcher import ImpactSearcher
from splade_anserini.lucene.index_reader import count_index
from splade_anserini.lucene.sources import ImpactSource, find_impacts
from splade_anserini.progress import Progress, silent
from splade_anserini.records import ImpactVector
from splade_anserini.verification.report import Check, Report

_EXACT = 2**24 - 1
"""The greatest integer up to which all are exact in float32, in which Lucene returns scores."""
_LARGEST_WEIGHTS = (1000, 50)
"""The smaller ones are for collections with great impacts."""
_VECTORS = 2


def verify_index(path: Path, level: int = 1, impacts: Path | None = None, progress: Progress = silent) -> Report:
    """Check an index with CheckIndex at `level`; its counts; with `impacts`, that it holds these pseudo-documents.

    An index that another process changes meanwhile is checked again.
    """
    while True:
        before = _commits(path)
        report = _verify_index(path, level, impacts, progress)
        if report.passed or _commits(path) == before:
            return report


def _commits(path: Path) -> tuple[str, list[str]]:
    """Identify the commits of an index; for a moment there may be two, and CheckIndex reads both."""
    return fingerprint_of_commit(path), sorted(file.name for file in path.glob("segments_*"))


def _verify_index(path: Path, level: int, impacts: Path | None, progress: Progress) -> Report:
    of_texts = kind_of_manifest(path) == "text-index"
    words = "a text index (BM25)" if of_texts else "a sharded index" if is_sharded(path) else "a Lucene impact index"
    report = Report(str(path), words)
    kind: type[Model] = TextIndexManifest if of_texts else IndexManifest
    manifest = None
    with report.check("manifest") as check:
        manifest = read_manifest(path, kind)
        check.detail = "" if manifest else "none: Anserini or another program wrote the index"
        check.left_out = manifest is None
    with report.check("CheckIndex") as check:
        check.detail = f"level {level}"
        for shard in shard_directories(path):
            name = f"shard {shard}: " if is_sharded(path) else ""
            check.problems += [f"{name}{problem}" for problem in check_index(shard, level)]
    if not check.passed:
        return report
    with report.check("counts") as check:
        _check_counts(path, manifest, check)
    if impacts is None or of_texts:
        report.leave_out(
            "pseudo-documents", "no --against DIRECTORY" if not of_texts else "none: its input is a corpus"
        )
        return report
    with report.check("pseudo-documents") as check:
        source = find_impacts(impacts)
        recorded = manifest.source if isinstance(manifest, IndexManifest) and _has_one_source(manifest) else None
        if recorded and not source.is_source_of(recorded):
            check.fail(f"{impacts} has another fingerprint than the source that the manifest records")
        if isinstance(manifest, IndexManifest):
            source = _as_indexed(source, manifest, check)
        _compare_documents(path, source, check, progress)
    return report


def _has_one_source(manifest: IndexManifest) -> bool:
    """Whether the source that it records is that of pseudo-documents.

    That of an index that `merge` made is its parts', and one that was changed has no other.
    """
    is_joined = bool(manifest.parts) and "shards" not in manifest.options
    return not is_joined and not manifest.revision


def _as_indexed(source: ImpactSource, manifest: IndexManifest, check: Check) -> ImpactSource:
    """Return a source with the idf by which its impacts were multiplied for the index."""
    recorded = manifest.document_idf
    if recorded is None or document_idf_of(source):
        return source
    source = multiplied_by_idf(source, recorded.alpha)
    if document_idf_of(source) != recorded:
        check.fail(f"{source.path} has other numbers of documents with each token than those the manifest records")
    return source


def _check_counts(path: Path, manifest: Model | None, check: Check) -> None:
    counts = count_index(path)
    check.detail = f"{counted(counts.documents, 'document')}, {counted(counts.postings, 'posting')}"
    if isinstance(manifest, IndexManifest):
        check.problems += counts.differences(manifest.counts)
    if isinstance(manifest, TextIndexManifest):
        pairs = {
            "documents": (counts.documents, manifest.counts.documents),
            "postings": (counts.postings, manifest.counts.postings),
            "words": (counts.impacts, manifest.counts.words),
        }
        check.problems += [f"{name}: {one:,} instead of {two:,}" for name, (one, two) in pairs.items() if one != two]


def _compare_documents(path: Path, source: ImpactSource, check: Check, progress: Progress) -> None:
    """Compare each document's dot products with vectors of random weights for all tokens.

    A document with other entries has the same dot products with a probability of at most one to the product of the
    greatest weights (Freivalds' check). All documents are searched for at once, which reads each posting once.
    """
    expected, vectors = _dot_products(source, progress)
    if not vectors:
        check.detail, check.left_out = "impacts are so great that float32 does not hold all scores", True
        return
    different: dict[str, str] = {}
    with ImpactSearcher(path) as searcher:
        for position, vector in enumerate(vectors):
            ranking = searcher.rank(vector, searcher.documents)
            scores = dict(zip(ranking.ids, ranking.scores, strict=True))
            if len(scores) != len(ranking.ids):
                check.fail("an id is there twice in the index")
            different |= dict.fromkeys(expected.keys() - scores.keys(), "is not in the index")
            different |= dict.fromkeys(scores.keys() - expected.keys(), "is not in the pseudo-documents")
            different |= {
                id_: "has other entries in the index"
                for id_, score in scores.items()
                if id_ in expected and score != expected[id_][position]
            }
    check.problems += [f"document {id_} {what}" for id_, what in sorted(different.items())]
    check.detail = f"{counted(len(expected), 'document')}, each by {_VECTORS} dot products"


def _dot_products(source: ImpactSource, progress: Progress) -> tuple[dict[str, tuple[int, ...]], list[ImpactVector]]:
    """Return the dot products of each document with random vectors, and these; none where float32 is too coarse."""
    for largest in _LARGEST_WEIGHTS:
        chance = random.Random(0)  # noqa: S311  # not for cryptography
        weights: list[dict[str, int]] = [{} for _ in range(_VECTORS)]
        expected: dict[str, tuple[int, ...]] = {}
        for document in source.documents():
            vector = source.idf.weighted(document.vector) if source.idf else document.vector
            if not vector:
                continue
            for token in vector:
                if token not in weights[0]:
                    for one in weights:
                        one[token] = chance.randint(1, largest)
            tokens, impacts = list(vector), list(vector.values())
            expected[document.id] = tuple(int(sumprod(map(one.__getitem__, tokens), impacts)) for one in weights)
            progress(1)
        if max(map(max, expected.values()), default=0) <= _EXACT:
            return expected, list(weights)
    return {}, []
