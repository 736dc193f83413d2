"""Stage: a run and judgements → training examples with hard negatives."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import batched
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from splade_anserini.cli import options
from splade_anserini.cli.console import main_of, progress_bar
from splade_anserini.errors import InputError
from splade_anserini.progress import Progress, silent

if TYPE_CHECKING:
    from ir_measures import ScoredDoc

    from splade_anserini.formats.example_records import ExampleRecord
    from splade_anserini.formats.texts import Texts
    from splade_anserini.training.mining import Draw, MiningOptions, PairScores

WINDOW = 256
"""Queries whose candidates are scored together."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Mined:
    """What was written, and what could not be."""

    queries: int = 0
    """Of the run that have a relevant document."""
    examples: int = 0
    negatives: int = 0
    short: int = 0
    """Examples with fewer negatives than wanted."""
    left_out: int = 0
    """Pairs of query and positive for which there is no negative at all."""
    false_negatives: int = 0
    """Candidates that were dropped for their scores."""
    unscored: int = 0
    """Examples that lack a score of their positive or of a negative."""


def mine(
    rankings: Iterable[tuple[str, Sequence["ScoredDoc"]]],
    relevant: Mapping[str, Sequence[str]],
    options: "MiningOptions",
    scores: "PairScores | None" = None,
    progress: Progress = silent,
) -> Iterator[list["Draw"]]:
    """Yield, for each query of the run with relevant documents, a draw of negatives for each of these.

    A few queries are in memory at a time. With `scores`, candidates about as good as the positive are dropped.
    """
    from splade_anserini.training.mining import candidates, draw, fill, no_scores

    judged = ((query_id, ranking) for query_id, ranking in rankings if query_id in relevant)
    for window in batched(judged, WINDOW):
        found = []
        for query_id, ranking in window:
            positives = relevant[query_id]
            documents = candidates([doc.doc_id for doc in ranking], set(positives), options)
            found.append([draw(query_id, positive, documents, options.seed) for positive in positives])
        fill([each for draws in found for each in draws], options, scores or no_scores)
        yield from found
        progress(len(window))


def write_mined(mined: Iterable[list["Draw"]], output: Path, wanted: int, texts: "Texts | None" = None) -> Mined:
    """Write an example for each draw that has negatives, as JSON lines: ids, and with `texts` the texts too.

    The file appears whole. Raises `InputError` when there is no example, or an id has no text.
    """
    from splade_anserini.formats.example_records import write_examples

    counts = Mined()
    write_examples(output, _records(mined, counts, wanted, texts))
    return counts


def _records(
    mined: Iterable[list["Draw"]], counts: Mined, wanted: int, texts: "Texts | None"
) -> Iterator["ExampleRecord"]:
    for draws in mined:
        counts.queries += 1
        for each in draws:
            counts.false_negatives += each.dropped
            counts.short += 0 < len(each.negatives) < wanted
            if not each.negatives:
                counts.left_out += 1
                continue
            record = _record(each, texts)
            counts.unscored += record.scores is None
            counts.examples += 1
            counts.negatives += len(each.negatives)
            yield record
    if not counts.examples:
        raise InputError(
            "No example came out: "
            + (f"{counts.left_out} have no negatives." if counts.queries else "no query of the run is judged."),
            expected="a run and qrels of the same topics, with more in the run than what is judged relevant",
        )


def _record(found: "Draw", texts: "Texts | None") -> "ExampleRecord":
    from splade_anserini.formats.example_records import ExampleRecord, Passage

    def document(id_: str) -> Passage:
        return Passage(id_, texts.document(id_) if texts else None)

    query = Passage(found.query_id, texts.query(found.query_id) if texts else None)
    known = [score for score in (found.positive_score, *found.scores) if score is not None]
    scores = tuple(known) if len(known) == 1 + len(found.negatives) else None
    return ExampleRecord(query, document(found.positive_id), tuple(map(document, found.negatives)), scores)


def _report(counts: Mined, relevant: int, wanted: int, *, scored: bool) -> str:
    """Warn of what is missing, and return what there is in a line."""
    if relevant > counts.queries:
        _log.warning(
            "Queries with relevant documents that are not in the run: %d of %d", relevant - counts.queries, relevant
        )
    if counts.short:
        _log.warning("Examples with fewer than %d negatives: %d of %d", wanted, counts.short, counts.examples)
    if counts.left_out:
        _log.warning("Positives left out, for there are no negatives for them: %d", counts.left_out)
    if scored and counts.unscored:
        _log.warning("Examples without a score for each document, written without scores: %d", counts.unscored)
    line = f"{counts.examples:,} examples of {counts.queries:,} queries, {counts.negatives:,} negatives"
    return f"{line}, {counts.false_negatives:,} false negatives dropped" if scored else line


def command(
    run: Annotated[Path, typer.Option(help="Run to draw from, TREC or MS MARCO (.gz too), a query's lines together.")],
    qrels: Annotated[
        str,
        typer.Option(help="TREC or BEIR file (.gz too), BEIR directory (its train split; DIR@dev), or irds:<name>."),
    ],
    output: Annotated[Path, typer.Option(help="The examples to write, .jsonl or .jsonl.gz.")],
    corpus: Annotated[
        str | None, typer.Option(help="Corpus of the run, as encode takes it; for --texts and --teacher.")
    ] = None,
    topics: Annotated[
        str | None, typer.Option(help="Topics of the run, as search takes them; for --texts and --teacher.")
    ] = None,
    depth: Annotated[int, typer.Option(help="The last rank to draw from.")] = 200,
    skip: Annotated[int, typer.Option(help="How many of the first ranks not to draw from.")] = 0,
    negatives: Annotated[int, typer.Option(help="Negatives for each positive.")] = 8,
    seed: Annotated[int, typer.Option(help="The same seed draws the same negatives.")] = 42,
    margin: Annotated[
        float, typer.Option(help="Drop what a teacher scores above the positive's score less this.")
    ] = 0.0,
    teacher: Annotated[
        str | None, typer.Option(help="Teacher whose scores tell false negatives, as score takes it.")
    ] = None,
    scores: Annotated[
        Path | None, typer.Option(help="Run with a teacher's scores of positives and candidates, instead.")
    ] = None,
    texts: Annotated[
        bool, typer.Option("--texts/--ids", help="Write texts too: such a file needs no corpus beside it.")
    ] = False,
    batch_size: Annotated[int, typer.Option(help="Pairs that the teacher reads at once.")] = 64,
    max_length: Annotated[int, typer.Option(help="Tokens that the teacher reads.")] = 256,
    device: options.Device = "auto",
) -> None:
    """Draw hard negatives from a run: one example for each query and relevant document.

    What is judged relevant is never drawn. With a teacher, what it scores about as high as the positive is not either.

    \b
    Example:
      splade-anserini mine --run bm25.txt --qrels qrels/train.tsv --output triples.jsonl --depth 100 --negatives 4
    """
    from splade_anserini.cli.lookup import open_texts_from_options
    from splade_anserini.formats.qrels import read_qrels
    from splade_anserini.formats.rankings import RunScores
    from splade_anserini.formats.runs import read_rankings
    from splade_anserini.training.mining import MiningOptions, PairScores

    options = MiningOptions(depth, skip, negatives, seed, margin)
    if teacher and scores:
        raise InputError("Both --teacher and --scores are given.", expected="one of them, or neither")
    known = open_texts_from_options(corpus, topics)
    if known is None and (texts or teacher):
        raise InputError(f"{'--texts' if texts else '--teacher'} needs texts.", expected="--corpus and --topics")
    relevant: dict[str, list[str]] = {}
    for qrel in read_qrels(qrels, "train"):
        if qrel.relevance > 0:
            relevant.setdefault(qrel.query_id, []).append(qrel.doc_id)
    source: PairScores | None = RunScores(scores) if scores else None
    if teacher and known:
        from splade_anserini.training.teachers.inputs import TeacherOptions
        from splade_anserini.training.teachers.opening import open_teacher
        from splade_anserini.training.teachers.scoring import TeacherScores

        opened = open_teacher(teacher, TeacherOptions(max_length=max_length, batch_size=batch_size, device=device))
        source = TeacherScores(opened, known)
    with progress_bar("Mining", len(relevant), "queries") as progress:
        mined = mine(read_rankings(run), relevant, options, source, progress)
        counts = write_mined(mined, output, negatives, known if texts else None)
    typer.echo(f"{output}: {_report(counts, len(relevant), negatives, scored=source is not None)}")


if __name__ == "__main__":
    main_of(command)
