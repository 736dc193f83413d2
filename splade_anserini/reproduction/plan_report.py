"""The plan of a reproduction as text: steps, counts, disk space and inputs. Nothing is downloaded or encoded."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from splade_anserini.artifacts.manifests import ImpactManifest, read_manifest
from splade_anserini.errors import counted
from splade_anserini.formats.text_table import text_table
from splade_anserini.reproduction.counts import document_count, topic_count
from splade_anserini.reproduction.ledger import Ledger
from splade_anserini.reproduction.plan import OutputPaths, Step, plan_steps
from splade_anserini.reproduction.resolved_card import ResolvedCard

POSTINGS_PER_DOCUMENT = 200
"""SPLADE-v3 has 275 on NFCorpus, DistilSPLADE-max 150 on MS MARCO, splade-mini 111 on a mixture of collections."""
IMPACT_BYTES, INDEX_BYTES, VECTOR_BYTES, TEXT_BYTES, HIT_BYTES = 6.0, 2.5, 5.0, 12.0, 10.0
"""Bytes per posting of pseudo-documents, an index, its document vectors and stored texts; bytes per hit of a run."""
DISK_NOTE = (
    f"Disk space is estimated at {POSTINGS_PER_DOCUMENT} postings per document unless a manifest counts them,\n"
    f"{IMPACT_BYTES:g} bytes per posting of pseudo-documents and {INDEX_BYTES:g} of the index, and {HIT_BYTES:g} per "
    "hit of a run.\nWhile an index is merged, it takes up to twice its size.\n"
)


@dataclass(frozen=True, slots=True)
class StepEstimate:
    """What a step processes, and the disk space of its output in bytes, None where it is unknown."""

    step: Step
    count: str
    bytes: float | None


def estimate_steps(resolved: ResolvedCard, paths: OutputPaths) -> list[StepEstimate]:
    """Return an estimate for each step; one that is done needs no more disk space."""
    documents, postings = _documents(resolved, paths)
    completed = Ledger(paths.reproduction, resolved.card.name).steps
    index = resolved.card.index
    index_bytes = INDEX_BYTES + VECTOR_BYTES * index.store_docvectors + TEXT_BYTES * index.store_text
    ratios = {"encode": IMPACT_BYTES, "link": 0.0, "index": index_bytes}

    def estimate(step: Step) -> StepEstimate:
        # Once the index is built, the user may have deleted the pseudo-documents.
        exists = step.output.exists() or (step.output == paths.impacts and paths.index.exists())
        if step.key in completed and exists:
            return StepEstimate(step, "done", 0.0)
        if step.kind in ratios:
            size = None if postings is None else postings * ratios[step.kind]
            return StepEstimate(step, _count(documents, "document", "documents"), size)
        topics = topic_count(resolved.evaluations[step.evaluation_index])
        count = _count(topics, "query", "queries")
        if step.kind == "evaluate":
            return StepEstimate(step, count, 0.0)
        if topics is None or documents is None:
            return StepEstimate(step, count, None)
        return StepEstimate(step, count, topics * min(resolved.card.search.hits, documents) * HIT_BYTES)

    return [estimate(step) for step in plan_steps(resolved, paths)]


def _documents(resolved: ResolvedCard, paths: OutputPaths) -> tuple[int | None, float | None]:
    """Return the numbers of documents and postings, None where they are unknown."""
    manifest = read_manifest(resolved.impacts or paths.impacts, ImpactManifest)
    if manifest and manifest.complete:
        return manifest.counts.documents + manifest.empty, manifest.counts.postings
    documents = document_count(resolved)
    return documents, None if documents is None else documents * POSTINGS_PER_DOCUMENT


def _count(number: int | None, singular: str, plural: str) -> str:
    return f"? {plural}" if number is None else counted(number, singular, plural)


def plan_text(resolved: ResolvedCard, estimates: Sequence[StepEstimate], paths: OutputPaths) -> str:
    """Return the steps with counts and disk space, the inputs that exist or are missing, and where to get these."""
    rows = [("step", "count", "disk")]
    rows += [(estimate.step.name, estimate.count, _size(estimate.bytes)) for estimate in estimates]
    rows.append(("total", "", _total(estimates)))
    states = resolved.input_states()
    encodes = any(estimate.step.kind == "encode" and estimate.count != "done" for estimate in estimates)
    shard = counted(resolved.card.encode.docs_per_shard, "document")
    return "".join(
        [
            f"{resolved.card.name}: {resolved.card.description}\n\n",
            f"{text_table(rows)}\nOutput: {paths.directory} ({_free_space(paths.directory, estimates)})\nInputs:\n",
            *(f"  {state:<17}  {source}\n" for source, state in states.items()),
            f"Where to get missing inputs: {resolved.card.data}\n" if "missing" in states.values() else "",
            f"Time is measured and printed once the first shard ({shard}) is encoded.\n" if encodes else "",
            "\n",
        ]
    )


def total_text(plans: Sequence[Sequence[StepEstimate]]) -> str:
    """Return the disk space that several plans need together."""
    return f"{len(plans)} cards in total: {_total([estimate for plan in plans for estimate in plan])}\n"


def _total(estimates: Sequence[StepEstimate]) -> str:
    """Return the sum of the disk space as text, with "+ ?" where some of it is unknown."""
    sizes = [estimate.bytes for estimate in estimates if estimate.bytes is not None]
    return _size(sum(sizes)) + " + ?" * (len(sizes) < len(estimates))


def _free_space(directory: Path, estimates: Sequence[StepEstimate]) -> str:
    """Return the free space of the disk that `directory` is on or will be on, and whether it is too little."""
    existing = next(path for path in [directory.absolute(), *directory.absolute().parents] if path.exists())
    free = shutil.disk_usage(existing).free
    needed = sum(estimate.bytes or 0 for estimate in estimates)
    return f"{_size(free)} free{', which is too little' if free < needed else ''}"


def _size(size: float | None) -> str:
    if size is None:
        return "?"
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"
