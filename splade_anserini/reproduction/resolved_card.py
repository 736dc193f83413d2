"""An index card with its names resolved to paths and sources, and the checks that precede the long work."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from splade_anserini.cards.finding import find_encoder, index_homes, read_card
from splade_anserini.cards.index_card import Expectation, IndexCard
from splade_anserini.cards.shipped import cranfield
from splade_anserini.errors import InputError
from splade_anserini.formats.beir import BeirDirectory
from splade_anserini.formats.irds import is_irds, require_irds
from splade_anserini.records import StrPath
from splade_anserini.reproduction.expectations import card_measures

_FILE_SUFFIXES = (".gz", ".json", ".jsonl", ".tsv", ".txt")

type InputState = Literal["found", "missing", "from ir_datasets", "from Pyserini", "from Hugging Face"]


@dataclass(frozen=True, slots=True)
class ResolvedEvaluation:
    """An evaluation of a card, with the sources of its topics and judgements."""

    expectation: Expectation
    topics: str
    qrels: str


@dataclass(frozen=True, slots=True)
class ResolvedCard:
    """An index card, and where what it names is."""

    card: IndexCard
    path: Path
    corpus: str
    """Empty where the documents are encoded already."""
    impacts: Path | None
    encoder: str
    evaluations: tuple[ResolvedEvaluation, ...]

    @property
    def sources(self) -> list[str]:
        """Documents, topics and judgements, each once: absolute paths, `irds:<name>`, or topic names of Pyserini."""
        documents = str(self.impacts) if self.impacts else self.corpus
        judged = [source for evaluation in self.evaluations for source in (evaluation.topics, evaluation.qrels)]
        return list(dict.fromkeys([documents, *judged]))

    @property
    def scale(self) -> float:
        """The scale of the card, or else of the encoder."""
        from splade_anserini.encoding import default_scale

        return self.card.encode.scale or default_scale(self.encoder)

    @property
    def query_idf(self) -> float:
        """The power of idf for queries: that of the card, or else of the encoder."""
        from splade_anserini.retrieval.query_settings import query_idf_of_encoder

        own = self.card.search.query_idf
        return query_idf_of_encoder(self.encoder) if own is None else own

    @property
    def query_max_length(self) -> int | None:
        """The tokens of a query: those of the card, or else of the encoder's card or manifest."""
        from splade_anserini.encoding.usage import query_max_length_of

        return self.card.encode.query_max_length or query_max_length_of(find_encoder(self.encoder))

    def output_directory(self, output: Path | None) -> Path:
        """Return the directory to build the index in: `output`, or the one that `--index NAME` searches."""
        return output or index_homes(self.path)[-1]

    def input_states(self) -> dict[str, InputState]:
        """Return whether each source and the encoder exist, or who downloads them on first use."""
        states = {source: input_state(source) for source in self.sources}
        if self.encoder:
            states[self.encoder] = _encoder_state(self.encoder)
        return states


def resolve_card(path: StrPath, data: StrPath | None = None) -> ResolvedCard:
    """Read a card and resolve what it names; `data` replaces `{data}` in it. Nothing is downloaded.

    What is missing is not an error here (see `require_inputs`). Raises `InputError` for an invalid card, or one that
    names an unknown measure or dataset.
    """
    path = Path(path)
    card = read_card(path, IndexCard)
    for expectation in card.evaluation:
        card_measures(expectation, path)

    def resolved(source: str) -> str:
        return _resolved(source, path, data)

    evaluations = [
        ResolvedEvaluation(expectation, _resolved_topics(expectation.topics, path, data), resolved(expectation.qrels))
        for expectation in card.evaluation
    ]
    resolved_card = ResolvedCard(
        card=card,
        path=path,
        corpus="" if card.impacts else resolved(card.corpus),
        impacts=Path(resolved(card.impacts)) if card.impacts else None,
        # As `open_encoder` takes it: only what begins with a dot is relative to the card.
        encoder=resolved(card.encoder) if card.encoder.startswith((".", "{")) else card.encoder,
        evaluations=tuple(evaluations),
    )
    _check_sources(resolved_card)
    return resolved_card


def _resolved(source: str, path: Path, data: StrPath | None) -> str:
    """Return an absolute path; or, unchanged, `irds:<name>` and what needs a data directory that is not given."""
    if is_irds(source) or ("{data}" in source and data is None):
        return source
    name = source.replace("{data}", str(data)).replace("{package}", str(cranfield().parent))
    # --data is relative to the working directory, all else to the card.
    return str((Path.cwd() if source.startswith("{") else path.parent.absolute()) / name)


def _resolved_topics(source: str, path: Path, data: StrPath | None) -> str:
    """Return what `_resolved` does, or the source unchanged where it may be a topic name of Pyserini."""
    resolved = _resolved(source, path, data)
    is_name = "/" not in source and not source.startswith("{") and not source.endswith(_FILE_SUFFIXES)
    return source if is_name and not _exists(resolved) else resolved


def _check_sources(resolved: ResolvedCard) -> None:
    from splade_anserini.formats.impacts import SUFFIXES

    if is_irds(resolved.card.impacts):
        raise InputError(
            f"{resolved.path}: impacts is {resolved.card.impacts}, but ir_datasets has no impact vectors.",
            expected="a file or directory of impact pseudo-documents",
        )
    if resolved.impacts and resolved.impacts.is_file() and not resolved.impacts.name.endswith(SUFFIXES):
        raise InputError(
            f"{resolved.path}: {resolved.impacts} is not a file of impact pseudo-documents.",
            expected=f"a name that ends in {', '.join(SUFFIXES)}",
        )
    if is_irds(resolved.corpus):
        require_irds(resolved.corpus, "docs")
    for evaluation in resolved.evaluations:
        if is_irds(evaluation.topics):
            require_irds(evaluation.topics, "queries")
        if is_irds(evaluation.qrels):
            require_irds(evaluation.qrels, "qrels")


def input_state(source: str) -> InputState:
    """Return whether documents, topics or judgements exist, or who downloads them on first use."""
    if is_irds(source):
        return "from ir_datasets"
    if Path(source).is_absolute():
        return "found" if _exists(source) else "missing"
    return "missing" if "{data}" in source else "from Pyserini"


def _exists(path: str) -> bool:
    """Return whether a path exists, or is a BEIR directory with the names of its splits, DIR@SPLIT."""
    return Path(path).exists() or BeirDirectory.parse(path) is not None


def _encoder_state(encoder: str) -> InputState:
    if "{data}" in encoder:
        return "missing"
    try:
        return "found" if Path(find_encoder(encoder).location).exists() else "from Hugging Face"
    except InputError:
        return "missing"


def require_inputs(resolved: ResolvedCard) -> None:
    """Raise `InputError` that names all missing files, or the missing encoder."""
    card = resolved.card
    missing = [source for source in resolved.sources if input_state(source) == "missing"]
    missing += [resolved.encoder] if "{data}" in resolved.encoder else []
    if any("{data}" in source for source in missing):
        raise InputError(
            f"The card {card.name} needs data that are not in the package: {', '.join(missing)}.",
            expected="--data DIR, the directory that {data} stands for",
            do=card.data,
        )
    if missing:
        raise InputError(
            f"Inputs of the card {card.name} are missing: {', '.join(missing)}.",
            do=card.data or "Create them, or correct the card.",
        )
    if resolved.encoder:
        find_encoder(resolved.encoder)


def check_judged_topics(resolved: ResolvedCard) -> None:
    """Read topics and judgements that are files, so that mistakes in them are found before documents are encoded.

    Raises `InputError` when no topic of an evaluation is judged, and what the readers raise.
    """
    for evaluation in resolved.evaluations:
        if input_state(evaluation.topics) == "found":
            _check_evaluation(resolved.path, evaluation)


def _check_evaluation(path: Path, evaluation: ResolvedEvaluation) -> None:
    from splade_anserini.formats.qrels import read_qrels
    from splade_anserini.retrieval.topics import read_encoded_topics, read_topics

    topics, qrels = evaluation.topics, evaluation.qrels
    encoded = evaluation.expectation.encoded
    query_ids = [*read_encoded_topics(topics)] if encoded else [query.id for query in read_topics(topics)]
    if input_state(qrels) == "found" and {qrel.query_id for qrel in read_qrels(qrels)}.isdisjoint(query_ids):
        raise InputError(
            f"{path}, evaluation {evaluation.expectation.name}: no topic of {topics} is judged in {qrels}.",
            expected="topics and qrels of the same collection",
        )
