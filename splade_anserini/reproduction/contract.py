"""An index card with its names turned into paths and sources, and checked as far as can be without long work."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from splade_anserini.cards.finding import find_encoder, index_homes, read_card
from splade_anserini.cards.index_card import Expectation, IndexCard
from splade_anserini.cards.shipped import cranfield
from splade_anserini.errors import InputError
from splade_anserini.formats.irds import is_irds, require_irds
from splade_anserini.reproduction.expectations import wanted_measures

_FILES = (".gz", ".json", ".jsonl", ".tsv", ".txt")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """An evaluation of a card, with its sources."""

    asked: Expectation
    topics: str
    qrels: str


@dataclass(frozen=True, slots=True)
class Contract:
    """A card, and where what it names lies."""

    card: IndexCard
    path: Path
    corpus: str
    """"" where the documents are encoded already."""
    impacts: Path | None
    encoder: str
    evaluations: tuple[Evaluation, ...]

    @property
    def files(self) -> list[Path]:
        """The files and directories that are read, each once."""
        documents = [str(self.impacts) if self.impacts else self.corpus]
        sources = [*documents, *(source for one in self.evaluations for source in (one.topics, one.qrels))]
        return list(dict.fromkeys(Path(source) for source in sources if Path(source).is_absolute()))

    @property
    def scale(self) -> float:
        """The card's, or the encoder's."""
        from splade_anserini.encoding import default_scale

        return self.card.encode.scale or default_scale(self.encoder)

    def home(self, output: Path | None) -> Path:
        """Return the directory in which the index lies: the user's, or where `--index NAME` finds it."""
        return output or index_homes(self.path)[-1]


def open_contract(path: Path, data: Path | None = None) -> Contract:
    """Read a card and find what it names; `data` stands for `{data}` in it. Nothing is downloaded.

    Raises `InputError` for a card that is none, a measure or encoder that is none, and for data that are missing: all
    of them in one message.
    """
    card = read_card(path, IndexCard)
    for evaluation in card.evaluation:
        wanted_measures(evaluation, path)

    def found(source: str, *, known: bool = False) -> str:
        return _found(source, card, path, data, known=known)

    contract = Contract(
        card=card,
        path=path,
        corpus="" if card.impacts else found(card.corpus),
        impacts=Path(found(card.impacts)) if card.impacts else None,
        encoder=_encoder(card.encoder, found),
        evaluations=tuple(Evaluation(one, found(one.topics, known=True), found(one.qrels)) for one in card.evaluation),
    )
    _check(contract)
    return contract


def _found(source: str, card: IndexCard, path: Path, data: Path | None, *, known: bool) -> str:
    """Return an absolute path, or the source as it is: of ir_datasets, or, with `known`, one that Pyserini may know."""
    if is_irds(source):
        return source
    if "{data}" in source and data is None:
        raise InputError(
            f"The card {card.name} needs data that do not ship: {source}.",
            expected="--data DIR, the directory that {data} stands for",
            do=card.data,
        )
    named = source.replace("{data}", str(data)).replace("{package}", str(cranfield().parent))
    # --data is relative to the working directory, all else to the card.
    absolute = (Path.cwd() if source.startswith("{") else path.parent.absolute()) / named
    may_be_known = known and "/" not in named and not named.endswith(_FILES)
    return named if may_be_known and not absolute.exists() else str(absolute)


def _encoder(name: str, found: Callable[[str], str]) -> str:
    """Return the encoder as `open_encoder` takes it: a path that begins with a dot is relative to the card."""
    return found(name) if name.startswith((".", "{")) else name


def _check(contract: Contract) -> None:
    from splade_anserini.formats.impacts import SUFFIXES

    card = contract.card
    if is_irds(card.impacts):
        raise InputError(
            f"{contract.path}: ir_datasets has no impacts, but the card names {card.impacts}.",
            expected="a file or directory of impact pseudo-documents",
        )
    if is_irds(contract.corpus):
        require_irds(contract.corpus, "docs")
    for one in contract.evaluations:
        if is_irds(one.topics):
            require_irds(one.topics, "queries")
        if is_irds(one.qrels):
            require_irds(one.qrels, "qrels")
    if missing := [str(file) for file in contract.files if not file.exists()]:
        raise InputError(
            f"Of what the card {card.name} names, this is missing: {', '.join(missing)}.",
            do=card.data or "Put it there, or correct the card.",
        )
    if contract.impacts and contract.impacts.is_file() and not contract.impacts.name.endswith(SUFFIXES):
        raise InputError(
            f"{contract.path}: {contract.impacts} is no file of impact pseudo-documents.",
            expected=f"a name that ends in {', '.join(SUFFIXES)}",
        )
    if contract.encoder:
        find_encoder(contract.encoder)


def check_judgements(contract: Contract) -> None:
    """Read topics and judgements that are files: who finds a mistake after a day of encoding has lost a day.

    Raises whatever reading them raises, and `InputError` when none of an evaluation's topics is judged.
    """
    for one in contract.evaluations:
        _check_judged(contract, one)


def _check_judged(contract: Contract, one: Evaluation) -> None:
    from splade_anserini.formats.qrels import read_qrels
    from splade_anserini.retrieval.topics import read_encoded_topics, read_topics

    judged = {qrel.query_id for qrel in read_qrels(one.qrels)} if Path(one.qrels).is_absolute() else None
    if not Path(one.topics).is_absolute():
        return
    read = read_encoded_topics(one.topics) if one.asked.encoded else [query.id for query in read_topics(one.topics)]
    if judged is not None and judged.isdisjoint(read):
        raise InputError(
            f"{contract.path}, evaluation {one.asked.name}: no topic of {one.topics} is judged in {one.qrels}.",
            expected="topics and qrels that belong together",
        )
