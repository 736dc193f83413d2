"""The command `mine`: a run and relevance judgements → training examples with hard negatives."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import batched
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from splade_anserini.cli.console import main_of, progress_bar
from splade_anserini.cli.results import make_once
from splade_anserini.errors import InputError, counted
from splade_anserini.options import option, options, recorded_options
from splade_anserini.progress import Progress, silent
from splade_anserini.records import StrPath
from splade_anserini.training.options import MiningOptions, TeacherOptions, TextLookupOptions

if TYPE_CHECKING:
    from ir_measures import ScoredDoc

    from splade_anserini.formats.example_records import ExampleRecord
    from splade_anserini.formats.texts import Texts
    from splade_anserini.training.mining import Draw, PairScores

WINDOW = 256
"""Queries whose candidates are scored together."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class MiningCounts:
    """Counts of what was written and of what was left out."""

    queries: int = 0
    """Queries of the run with a relevant document."""
    examples: int = 0
    negatives: int = 0
    short: int = 0
    """Examples with fewer negatives than requested."""
    left_out: int = 0
    """Pairs of query and positive without any negative."""
    false_negatives: int = 0
    """Candidates that were dropped because of their scores."""
    unscored: int = 0
    """Examples without a score for their positive or for one of their negatives."""


def mine(
    rankings: Iterable[tuple[str, Sequence["ScoredDoc"]]],
    relevant: Mapping[str, Sequence[str]],
    options: MiningOptions,
    scores: "PairScores | None" = None,
    progress: Progress = silent,
) -> Iterator[list["Draw"]]:
    """Yield, for each query of the run with relevant documents, its draws of negatives: one for each positive.

    A window of queries is in memory at a time. With `scores`, false negatives are dropped: candidates that score about
    as high as the positive.
    """
    from splade_anserini.training.mining import candidates, draw, fill, no_scores

    judged = ((query_id, ranking) for query_id, ranking in rankings if query_id in relevant)
    for window in batched(judged, WINDOW):
        draws_by_query = []
        for query_id, ranking in window:
            positives = relevant[query_id]
            documents = candidates([doc.doc_id for doc in ranking], set(positives), options)
            draws_by_query.append([draw(query_id, positive, documents, options.seed) for positive in positives])
        fill([each for draws in draws_by_query for each in draws], options, scores or no_scores)
        yield from draws_by_query
        progress(len(window))


def write_mined(
    mined: Iterable[list["Draw"]], output: StrPath, negatives: int, texts: "Texts | None" = None
) -> MiningCounts:
    """Write an example for each draw that has negatives, as JSON lines of ids, and with `texts` of texts too.

    `negatives` is the number requested for each positive. Raises `InputError` when there is no example, or when an id
    has no text.
    """
    from splade_anserini.formats.example_records import write_examples

    counts = MiningCounts()
    write_examples(Path(output), _records(mined, counts, negatives, texts))
    return counts


def _records(
    mined: Iterable[list["Draw"]], counts: MiningCounts, negatives: int, texts: "Texts | None"
) -> Iterator["ExampleRecord"]:
    for draws in mined:
        counts.queries += 1
        for each in draws:
            counts.false_negatives += each.dropped
            counts.short += 0 < len(each.negatives) < negatives
            if not each.negatives:
                counts.left_out += 1
                continue
            record = _record(each, texts)
            counts.unscored += record.scores is None
            counts.examples += 1
            counts.negatives += len(each.negatives)
            yield record
    if not counts.examples:
        reason = (
            f"no document is left for {counted(counts.left_out, 'pair')} of query and positive"
            if counts.queries
            else "no query of the run has a relevant document"
        )
        raise InputError(
            f"No example was mined: {reason}.",
            expected="a run and qrels of the same topics, with documents in the run that are not judged relevant",
        )


def _record(draw: "Draw", texts: "Texts | None") -> "ExampleRecord":
    from splade_anserini.formats.example_records import ExampleRecord, Passage

    def document(id_: str) -> Passage:
        return Passage(id_, texts.document(id_) if texts else None)

    query = Passage(draw.query_id, texts.query(draw.query_id) if texts else None)
    available = [score for score in (draw.positive_score, *draw.scores) if score is not None]
    scores = tuple(available) if len(available) == 1 + len(draw.negatives) else None
    return ExampleRecord(query, document(draw.positive_id), tuple(map(document, draw.negatives)), scores)


@options
class FalseNegativeOptions:
    """Where the scores come from that identify false negatives."""

    teacher: str | None = option(
        default=None, help="Teacher whose scores identify false negatives, as score takes it.", recorded=False
    )
    scores: Path | None = option(
        default=None, help="Instead of --teacher: run with scores of positives and candidates.", recorded=False
    )

    def __post_init__(self) -> None:
        if self.teacher is not None and self.scores is not None:
            raise InputError("--teacher and --scores exclude each other.", do="Leave one of them out.")


@options
class MiningOutput:
    """Where and how examples are written, and what is printed."""

    output: Path = option(help="Examples to write, .jsonl or .jsonl.gz.", recorded=False)
    texts: bool = option(
        default=False,
        flags=("--texts/--ids",),
        help="Write texts too, so that the examples need no --corpus and --topics.",
    )
    format: Literal["table", "json"] = option(default="table", help="How to print the result.", recorded=False)
    overwrite: bool = option(default=False, help="Replace an output that exists.", recorded=False)


def command(
    run: Annotated[
        Path, typer.Option(help="Run to draw from, TREC, MS MARCO or another form, with each query's lines together.")
    ],
    qrels: Annotated[
        str,
        typer.Option(help="TREC or BEIR file (.gz too), BEIR directory (its train split; DIR@dev), or irds:<name>."),
    ],
    output: MiningOutput,
    options: MiningOptions,
    filtered: FalseNegativeOptions,
    lookup: TextLookupOptions,
    teacher: TeacherOptions,
) -> None:
    """Mine hard negatives from a run: one example for each query and relevant document.

    Documents that are judged relevant are never drawn; with a teacher, neither are those that it scores about as high
    as the positive.

    \b
    Example:
      splade-anserini mine --run bm25.txt --qrels qrels/train.tsv --output triples.jsonl --depth 100 --negatives 4
    """
    from splade_anserini.artifacts.files import require_disjoint
    from splade_anserini.artifacts.outputs import OutputRecord, fingerprints_of_inputs

    inputs = {"run": run, "qrels": qrels, **lookup.sources, **vars(filtered)}
    require_disjoint([output.output], inputs.values())
    if lookup.corpus is None and (output.texts or filtered.teacher):
        raise InputError(
            f"{'--texts' if output.texts else '--teacher'} needs the texts of documents and queries.",
            do="Add --corpus and --topics.",
        )
    record = OutputRecord("mine", recorded_options(options, output, teacher, lookup), fingerprints_of_inputs(inputs))
    result = make_once(
        output.output,
        record,
        lambda: _mine(run, qrels, output, options, filtered, lookup, teacher),
        overwrite=output.overwrite,
    )
    scored = filtered.teacher is not None or filtered.scores is not None
    typer.echo(result.text(output.format, partial(_summary, scored=scored)))


def _mine(
    run: Path,
    qrels: str,
    output: MiningOutput,
    options: MiningOptions,
    filtered: FalseNegativeOptions,
    lookup: TextLookupOptions,
    teacher: TeacherOptions,
) -> dict[str, int]:
    """Write the examples, and warn of what is missing; return the counts, also of texts that the teacher has cut."""
    from splade_anserini.cli.lookup import open_texts_from_options
    from splade_anserini.formats.qrels import read_qrels
    from splade_anserini.formats.runs import read_rankings

    texts = open_texts_from_options(lookup.corpus, lookup.topics, lookup)
    _log.info("Reading judgements %s", qrels)
    relevant: dict[str, list[str]] = {}
    for qrel in read_qrels(qrels, "train"):
        if qrel.relevance > 0:
            relevant.setdefault(qrel.query_id, []).append(qrel.doc_id)
    scores = _open_scores(filtered, teacher, texts)
    _log.info("Mining negatives of %s from %s", counted(len(relevant), "query", "queries"), run)
    with progress_bar("Mining", len(relevant), "queries") as progress:
        mined = mine(read_rankings(run), relevant, options, scores, progress)
        counts = write_mined(mined, output.output, options.negatives, texts if output.texts else None)
    _warn(counts, len(relevant), options.negatives, scored=scores is not None)
    if filtered.teacher is None:
        return asdict(counts)
    from splade_anserini.training.teachers.scoring import TeacherScores, log_truncated_texts

    teachers = [scores.teacher] if isinstance(scores, TeacherScores) else []
    return asdict(counts) | log_truncated_texts(teachers, teacher.max_length)


def _open_scores(filtered: FalseNegativeOptions, options: TeacherOptions, texts: "Texts | None") -> "PairScores | None":
    if filtered.scores is not None:
        from splade_anserini.formats.rankings import RunScores

        return RunScores(filtered.scores)
    if filtered.teacher is not None and texts is not None:
        from splade_anserini.training.teachers.opening import open_teacher
        from splade_anserini.training.teachers.scoring import TeacherScores

        return TeacherScores(open_teacher(filtered.teacher, options), texts)
    return None


def _warn(counts: MiningCounts, relevant: int, negatives: int, *, scored: bool) -> None:
    """Log a warning for each kind of gap."""
    if relevant > counts.queries:
        missing = relevant - counts.queries
        _log.warning("Queries with relevant documents that are not in the run: %d of %d", missing, relevant)
    if counts.short:
        _log.warning("Examples with fewer than %d negatives: %d of %d", negatives, counts.short, counts.examples)
    if counts.left_out:
        _log.warning("Positives left out because there is no negative for them: %d", counts.left_out)
    if scored and counts.unscored:
        _log.warning("Examples written without scores because a document has none: %d", counts.unscored)


def _summary(counts: Mapping[str, int], *, scored: bool) -> str:
    queries, examples = counted(counts["queries"], "query", "queries"), counted(counts["examples"], "example")
    line = f"{examples} of {queries}, {counted(counts['negatives'], 'negative')}"
    return f"{line}, {counted(counts['false_negatives'], 'false negative')} dropped" if scored else line


if __name__ == "__main__":
    main_of(command)
