"""Relevance judgements, in the formats of TREC and of BEIR."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from splade_anserini.errors import InputError
from splade_anserini.formats.irds import PREFIX, irds_items
from splade_anserini.formats.parsing.lines import Place, byte_lines, columns_of, decoded

if TYPE_CHECKING:
    from ir_measures import Qrel

_HEADER = b"query-id"
MOST_RELEVANT = 1_000_000
"""trec_eval has a counter for each relevance up to the greatest, and crashes when they take all memory."""
_EXPECTED = "qid 0 docid relevance (TREC), or query-id<TAB>corpus-id<TAB>score under such a header (BEIR)"


def read_qrels(source: str) -> list["Qrel"]:
    """Return the judgements of a file, of the test split of a BEIR directory, or of `irds:<name>`.

    Raises `RecordError` for a line that is none, or a document judged twice for a query; `InputError` when there are
    no judgements.
    """
    return [qrel for _, qrel in placed_qrels(source)]


def placed_qrels(source: str) -> Iterator[tuple[Place, "Qrel"]]:
    """Yield what `read_qrels` returns, each judgement with its place."""
    judged: set[tuple[str, str]] = set()
    for place, qrel in _open(source):
        pair = (qrel.query_id, qrel.doc_id)
        if pair in judged:
            raise place.error(
                f"the document {qrel.doc_id!r} is judged again for the query {qrel.query_id!r}",
                expected="one judgement for each",
                do="Remove one of them.",
            )
        judged.add(pair)
        yield place, qrel
    if not judged:
        raise InputError(f"The qrels {source} are empty.", expected="at least one judgement")


def _open(source: str) -> Iterable[tuple[Place, "Qrel"]]:
    if source.startswith(PREFIX):
        return _irds(source)
    path = Path(source)
    if not path.is_dir():
        return _file(path)
    if split := test_split(path):
        return _file(split)
    raise InputError(f"The directory {path} holds no qrels/test.tsv.", expected="a BEIR directory, or a file")


def training_qrels(source: str) -> Iterator[tuple[Place, "Qrel"]]:
    """Yield the judgements of a file or of `irds:<name>`, and of a BEIR directory the train split, with their places.

    `DIR@dev` and `DIR@dev+test` name other splits. Raises what `read_qrels` does.
    """
    if named := named_splits(source):
        return (line for path in named[1] for line in placed_qrels(str(path)))
    return placed_qrels(source)


def named_splits(source: str) -> tuple[Path, list[Path]] | None:
    """Return the BEIR directory that `DIR` or `DIR@SPLIT+SPLIT` names, and the judgements of its splits.

    A directory alone stands for its train split. Returns None for what is no directory; raises `InputError` for a
    split that is not there.
    """
    name, _, splits = (source, "", "train") if Path(source).is_dir() else source.rpartition("@")
    directory = Path(name)
    if not name or not directory.is_dir():
        return None
    files = split_files(directory)
    for split in splits.split("+"):
        if split not in files:
            raise InputError(
                f"{directory} has no qrels/{split}.tsv.",
                expected=f"one of its splits: {', '.join(files)}" if files else "a BEIR directory with judgements",
                do=f"Name one or more, for example {directory}@{'+'.join(files)}." if files else "",
            )
    return directory, [files[split] for split in splits.split("+")]


def test_split(directory: Path) -> Path | None:
    """Return the judgements of the test split of a BEIR directory, if it has them."""
    return split_files(directory).get("test")


def split_files(directory: Path) -> dict[str, Path]:
    """Return the judgements of a BEIR directory by the names of their splits, in order."""
    files = sorted((directory / "qrels").glob("*.tsv.gz")) + sorted((directory / "qrels").glob("*.tsv"))
    splits = {path.name.removesuffix(".gz").removesuffix(".tsv"): path for path in files if path.is_file()}
    return dict(sorted(splits.items()))


def _irds(source: str) -> Iterator[tuple[Place, "Qrel"]]:
    from ir_measures import Qrel

    for number, item in enumerate(irds_items(source, "qrels"), 1):
        yield Place(source, number), Qrel(item.query_id, item.doc_id, item.relevance)


def _file(path: Path) -> Iterator[tuple[Place, "Qrel"]]:
    from ir_measures import Qrel

    for place, line in byte_lines(path):
        columns = columns_of(line, place)
        if place.line == 1 and columns[:1] == [_HEADER]:
            continue
        match columns:
            case [query_id, _, doc_id, relevance]:
                pass
            case [query_id, doc_id, relevance]:
                pass
            case _:
                raise place.error(f"{len(columns)} columns", expected=_EXPECTED)
        yield place, Qrel(decoded(query_id, place), decoded(doc_id, place), _relevance(relevance, place))


def _relevance(column: bytes, place: Place) -> int:
    try:
        relevance = int(column)
    except ValueError:
        relevance = MOST_RELEVANT + 1
    if abs(relevance) > MOST_RELEVANT:
        raise place.error(
            f"the relevance is {decoded(column, place)}",
            expected=f"an integer up to {MOST_RELEVANT:,} as the last column",
        )
    return relevance
