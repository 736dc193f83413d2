"""How long a reproduction will take on this machine, and how much disk, with where each number comes from."""

from dataclasses import dataclass

from splade_anserini.reproduction import synthetic
from splade_anserini.reproduction.contract import Contract
from splade_anserini.reproduction.execution import ExecutionOptions
from splade_anserini.reproduction.ledger import Ledger
from splade_anserini.reproduction.plan import Places, Step, plan
from splade_anserini.reproduction.rates import DocumentRate, QueryRate, document_rate, query_rate
from splade_anserini.reproduction.sample import ImpactSample, impact_sample, sample_of, topics_in
from splade_anserini.reproduction.trial_run import DOCUMENTS, POSTINGS, QUERIES, Setting, Trial, try_out


@dataclass(frozen=True, slots=True)
class Estimate:
    """Of one step; what is not known is None."""

    step: Step
    size: str
    seconds: float | None
    bytes: float | None
    basis: str


@dataclass(frozen=True, slots=True)
class _Known:
    """What all estimates of a card rest on."""

    total: int | None
    """Documents."""
    counted: str
    """Where their number comes from."""
    documents: DocumentRate
    queries: QueryRate
    trial: Trial | None
    """None where no document has an entry."""
    tried: str
    """What was indexed and searched for it."""


def estimated(contract: Contract, places: Places, means: ExecutionOptions) -> list[Estimate]:
    """Estimate each step. Reads what is at hand, downloads nothing, writes nothing that stays."""
    steps = plan(contract, places)
    done = Ledger(places.work, contract.card.name).steps
    known = _known(contract, means)
    return [
        Estimate(step, "", 0.0, 0.0, "done before")
        # Who has the index may have thrown the pseudo-documents away.
        if step.name in done and (step.output.exists() or (step.output == places.impacts and places.index.exists()))
        else _estimate(step, contract, known)
        for step in steps
    ]


def _known(contract: Contract, means: ExecutionOptions) -> _Known:
    queries = query_rate(contract, means)
    if contract.impacts:
        given = impact_sample(contract.impacts, POSTINGS)
        entries = sum(len(one.vector) for one in given.documents) / max(len(given.documents), 1)
        rate = DocumentRate(0.0, entries, 0.0, f"{given.counted}; nothing is encoded")
        return _tried(contract, means, given, rate, queries)
    sample = sample_of(contract)
    rate = document_rate(contract, sample, means)
    pool = synthetic.Pool.of(rate.vectors) if any(rate.vectors) else synthetic.Pool.assumed()
    number = min(DOCUMENTS, max(1, round(POSTINGS / max(rate.entries, 1.0))), sample.total or DOCUMENTS)
    shards = -(-(sample.total or 10**9) // contract.card.encode.docs_per_shard)
    made = ImpactSample(tuple(synthetic.documents(pool, number, rate.entries)), sample.total, sample.counted, shards)
    return _tried(contract, means, made, rate, queries)


def _tried(
    contract: Contract, means: ExecutionOptions, documents: ImpactSample, rate: DocumentRate, queries: QueryRate
) -> _Known:
    """Index and search what was read or made up."""
    setting = Setting(
        options=contract.card.index,
        hits=contract.card.search.hits + contract.card.search.remove_query,
        threads=means.workers,
        files=documents.files,
        checked=contract.impacts is not None,
    )
    real = bool(contract.impacts or rate.vectors)
    pool = synthetic.Pool.of(one.vector for one in documents.documents) if rate.entries else synthetic.Pool.assumed()
    asked = queries.vectors if real and queries.vectors else synthetic.queries(pool, QUERIES, queries.entries)
    trial = try_out(documents.documents, asked, setting) if rate.entries else None
    what = "of its documents" if contract.impacts else "made-up documents"
    entries = f"{rate.entries:.0f} entries each"
    tried = f"measured on {len(documents.documents):,} {what}, {entries}, in a temporary directory"
    return _Known(documents.total, documents.counted, rate, queries, trial, tried)


def _estimate(step: Step, contract: Contract, known: _Known) -> Estimate:
    if step.kind in {"encode", "take"}:
        return _documents(step, known)
    if step.kind == "index":
        return _index(step, contract, known)
    topics = topics_in(contract.evaluations[step.evaluation])
    hits = min(contract.card.search.hits, known.total or 0)
    return _search(step, known, topics, hits) if step.kind == "search" else _evaluation(step, known, topics, hits)


def _documents(step: Step, known: _Known) -> Estimate:
    total, rate = known.total, known.documents
    size = _counted(total, "documents")
    basis = rate.basis if step.kind == "take" else f"documents {known.counted}; {rate.basis}"
    if total is None:
        return Estimate(step, size, None, None, basis)
    return Estimate(step, size, total * rate.seconds, total * rate.bytes, basis)


def _index(step: Step, contract: Contract, known: _Known) -> Estimate:
    size, trial = _counted(known.total, "documents"), known.trial
    if known.total is None or trial is None:
        return Estimate(step, size, None, None, "not known")
    postings = known.total * known.documents.entries
    rate = f"{1 / trial.index_seconds:,.0f} postings a second, {trial.index_bytes:.1f} bytes each"
    merged = "; up to as much again while it is merged" if contract.card.index.optimize else ""
    basis = f"{known.tried}: {rate}{merged}"
    return Estimate(step, size, postings * trial.index_seconds, postings * trial.index_bytes, basis)


def _search(step: Step, known: _Known, topics: int | None, hits: int) -> Estimate:
    size, trial = _counted(topics, "queries"), known.trial
    if topics is None or known.total is None or trial is None:
        return Estimate(step, size, None, None, "not known")
    each = trial.searched(known.total)
    grown = ", taken to grow with the documents" if known.total > trial.documents else ""
    basis = f"{known.queries.basis}; measured in the same small index: {1000 * each:,.1f} ms to search for one{grown}"
    seconds = topics * (known.queries.seconds + each)
    return Estimate(step, size, seconds, topics * hits * trial.hit_bytes, basis)


def _evaluation(step: Step, known: _Known, topics: int | None, hits: int) -> Estimate:
    if topics is None or known.total is None or known.trial is None:
        return Estimate(step, _counted(topics, "queries"), None, None, "not known")
    lines = topics * hits
    return Estimate(step, f"{lines:,} lines", lines * known.trial.evaluation_seconds, 0.0, "measured on a small run")


def _counted(number: int | None, what: str) -> str:
    return f"? {what}" if number is None else f"{number:,} {what}"
