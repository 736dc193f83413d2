"""How long a reproduction will take on this machine, and how much disk, with where each number comes from."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from splade_anserini.cards import find_encoder
from splade_anserini.formats.tables import aligned
from splade_anserini.reproduction.contract import Contract
from splade_anserini.reproduction.ledger import Ledger
from splade_anserini.reproduction.plan import Places, Step, plan
from splade_anserini.reproduction.running import Means
from splade_anserini.reproduction.sample import Sample, impacts_in, sample_of, topics_in

ENTRIES = 150
"""Entries of a document's vector, where no encoder is at hand to count them."""
TOKEN_OPERATIONS = 2 * (86e6 + 24e6)
"""Of BERT-base and its masked-language-model head: two for each weight, on each token."""
TOKENS_PER_WORD = 1.35
IMPACT_BYTES = 6.0
"""Of an entry, as gzipped JSON."""
INDEX_BYTES = 3.0
"""Of a posting in Lucene."""
INDEX_RATE = 500_000.0
"""Postings a second and thread."""
SEARCH_SECONDS = 5e-8
"""For each query and document of the index."""
HIT_BYTES = 15.0
"""Of a line of a run, gzipped."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What encoding a document takes."""

    seconds: float
    entries: float
    bytes: float
    basis: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """Of one step; what is not known is None."""

    step: Step
    size: str
    seconds: float | None
    bytes: float | None
    basis: str


def estimated(contract: Contract, places: Places, means: Means) -> list[Estimate]:
    """Estimate each step. Reads what is at hand, downloads nothing, writes nothing that stays."""
    steps = plan(contract, places)
    if contract.impacts:
        total: int | None = impacts_in(contract.impacts)
        rate = Rate(0.0, ENTRIES, 0.0, "counted; nothing is encoded")
    else:
        sample = sample_of(contract)
        total, rate = sample.total, encoding_rate(contract, sample, means)
    done = Ledger(places.work, contract.card.name).steps
    found = [_documents(steps[0], total, rate), _index(steps[1], total, rate)]
    for step in steps[2:]:
        topics = topics_in(contract.evaluations[step.evaluation])
        if step.kind == "search":
            found.append(_search(step, total, topics, rate, contract.card.search.hits))
    return [
        Estimate(one.step, one.size, 0.0, 0.0, "done before")
        if one.step.name in done and one.step.output.exists()
        else one
        for one in found
    ]


def encoding_rate(contract: Contract, sample: Sample, means: Means) -> Rate:
    """Measure what a document takes where the encoder is at hand; reckon it from the size of BERT-base elsewhere."""
    if Path(find_encoder(contract.encoder).location).exists():
        return _measured(contract, sample, means)
    words = sum(len(document.contents.split()) for document in sample.documents) / max(len(sample.documents), 1)
    tokens = min(words * TOKENS_PER_WORD, contract.card.encode.max_length or 256)
    speed = _operations_a_second()
    return Rate(
        tokens * TOKEN_OPERATIONS / speed,
        ENTRIES,
        ENTRIES * IMPACT_BYTES,
        f"assumed: the encoder is not at hand; BERT-base, {tokens:.0f} tokens a document, on this machine's processor "
        f"at {speed / 1e9:,.0f} billion operations a second (measured), {ENTRIES} entries a document. A GPU takes less",
    )


def _measured(contract: Contract, sample: Sample, means: Means) -> Rate:
    from splade_anserini.encoding import EncoderOptions, SpladeDocumentEncoder, open_encoder
    from splade_anserini.formats.impacts import ImpactWriter

    said = contract.card.encode
    options = EncoderOptions(
        max_length=said.max_length, device=means.device, batch_size=means.batch_size, threads=means.threads
    )
    encoder = open_encoder(contract.encoder, options)
    encoder.encode(["to warm up"])
    with TemporaryDirectory() as name, _clock() as clock:
        path = Path(name) / "sample.jsonl.gz"
        entries = 0
        with ImpactWriter(path) as writer:
            documents = SpladeDocumentEncoder(encoder, top_k=said.top_k, contents=said.contents)
            for document in documents.encode(sample.documents):
                entries += len(document.vector)
                writer.write(document)
        size = path.stat().st_size
    number = len(sample.documents)
    return Rate(clock.seconds / number, entries / number, size / number, f"measured on {sample.told}")


def _documents(step: Step, total: int | None, rate: Rate) -> Estimate:
    seconds = None if total is None else total * rate.seconds
    size = None if total is None else total * rate.bytes
    return Estimate(step, _counted(total, "documents"), seconds, size, rate.basis)


def _index(step: Step, total: int | None, rate: Rate) -> Estimate:
    postings = None if total is None else total * rate.entries
    seconds = None if postings is None else postings / INDEX_RATE
    size = None if postings is None else postings * INDEX_BYTES
    basis = f"assumed: {INDEX_RATE:,.0f} postings a second, {INDEX_BYTES:g} bytes each, {rate.entries:.0f} a document"
    return Estimate(step, _counted(total, "documents"), seconds, size, basis)


def _search(step: Step, total: int | None, topics: int | None, rate: Rate, hits: int) -> Estimate:
    size = _counted(topics, "queries")
    if topics is None or total is None:
        return Estimate(step, size, None, None, "not known before it is downloaded")
    seconds = topics * (rate.seconds + total * SEARCH_SECONDS)
    basis = f"assumed: {total * SEARCH_SECONDS * 1000:,.1f} ms a query, and no longer to encode it than a document"
    return Estimate(step, size, seconds, topics * min(hits, total) * HIT_BYTES, basis)


def told(contract: Contract, estimates: list[Estimate]) -> str:
    """Return the plan as text."""
    rows = [("step", "size", "time", "disk")]
    rows += [(one.step.name, one.size, _duration(one.seconds), _bytes(one.bytes)) for one in estimates]
    whole = (
        "altogether",
        "",
        _duration(sum(one.seconds or 0 for one in estimates)),
        _bytes(sum(one.bytes or 0 for one in estimates)),
    )
    bases = [f"  {one.step.name}: {one.basis}.\n" for one in estimates]
    places = [f"  {one.step.name}: {' + '.join(one.step.inputs)} → {one.step.output}\n" for one in estimates]
    title = f"{contract.card.name}: {contract.card.description}\n\n"
    parts = [title, aligned([*rows, whole]), "\nWhere the numbers come from\n", *bases, "\nFiles\n", *places, "\n"]
    return "".join(parts)


def _counted(number: int | None, what: str) -> str:
    return f"? {what}" if number is None else f"{number:,} {what}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    for unit, length in [("days", 86400), ("hours", 3600), ("minutes", 60)]:
        if seconds >= 2 * length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:.0f} s"


def _bytes(size: float | None) -> str:
    if size is None:
        return "?"
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"


@dataclass(slots=True)
class _Clock:
    seconds: float = 0.0


@contextmanager
def _clock() -> Iterator[_Clock]:
    clock, start = _Clock(), time.perf_counter()
    yield clock
    clock.seconds = time.perf_counter() - start


def _operations_a_second() -> float:
    """Multiply matrices of the shapes of BERT-base for a moment, on all cores."""
    import numpy as np

    one, other = np.ones((512, 768), np.float32), np.ones((768, 3072), np.float32)
    _ = one @ other
    with _clock() as clock:
        for _ in range(10):
            _ = one @ other
    return 10 * 2 * 512 * 768 * 3072 / clock.seconds
