"""The options of commands that search and write runs. Importing this module loads nothing heavy."""

import dataclasses
from pathlib import Path
from typing import Literal

from splade_anserini.errors import InputError
from splade_anserini.formats.topic_fields import DEFAULT_FIELD, check_field
from splade_anserini.modeling.options import remote_code_option
from splade_anserini.options import changed_options, option, options
from splade_anserini.vectors.scale import scale_option

type RunFormat = Literal["trec", "msmarco"]

type ShownFormat = Literal["trec", "msmarco", "table", "json"]
"""Runs are written as the first two, the hits of one query as the others."""


@options
class QueryOptions:
    """How topics become impact vectors."""

    encoder: str | None = option(
        default=None,
        help="Card name, encoder directory, or Hugging Face id or directory.",
        unset="the one that the documents were encoded with",
        recorded=False,
    )
    pre_encoded: bool | None = option(
        default=None,
        help="Whether the topics are impact vectors already.",
        unset="detected: encoded topics repeat each token or have weights",
        flags=("--pre-encoded/--not-pre-encoded",),
        recorded=False,
    )
    topics_field: str = option(
        default=DEFAULT_FIELD,
        help="Field of the topics that is the query: title (or query, text), description, narrative, another name, "
        "or several such as title+description.",
        recorded=False,
    )
    max_length: int | None = option(
        default=None, least=3, help="Longest query, in tokens.", unset="the encoder's, or the model's", recorded=False
    )
    scale: float | None = scale_option(
        help="impact = round(weight × scale), for texts and for encoded topics with weights.",
        unset="for texts the one that the documents were encoded with, or the encoder's",
        recorded=False,
    )
    query_idf: float | None = option(
        default=None,
        least=0,
        greatest=10,
        metavar="ALPHA",
        help="Multiply each impact of a query by idf^ALPHA of the token in the index, such as 0.75. 0: do not.",
        unset="what the index records of its encoder",
        recorded=False,
    )
    device: str = option(default="auto", help="auto, cpu, cuda, cuda:n or mps.", recorded=False)
    batch_size: int = option(default=32, least=1, help="Texts that are encoded at once.", recorded=False)
    threads: int = option(default=0, least=0, help="Threads. 0: one per core.", recorded=False)
    trust_remote_code: bool = remote_code_option()
    verify: bool = option(
        default=False,
        help="Check all files of the index for damage first. Without it, an index of at most 1 GB is checked, once.",
        recorded=False,
    )
    force: bool = option(
        default=False, help="Accept an encoder or a scale that is not that of the documents.", recorded=False
    )

    def __post_init__(self) -> None:
        check_field(self.topics_field)


def check_separator(max_passage: str | None) -> None:
    """Raise `InputError` for a separator that cannot occur in an id."""
    if max_passage is not None and max_passage.split() != [max_passage]:
        raise InputError(
            f"--max-passage {max_passage!r} cannot occur in an id.", expected="characters other than white space"
        )


@options
class HitsOptions:
    """What a search returns, and which part of a query it uses."""

    hits: int | None = option(default=None, least=1, help="Documents for each query.", unset="1,000; for one query 10")
    query_top_k: int | None = option(
        default=None, least=1, help="Query pruning: keep the k strongest tokens.", unset="all"
    )
    query_min_impact: int = option(default=1, least=1, help="Query pruning: keep tokens with at least this impact.")
    remove_query: bool = option(default=False, help="Leave out the document whose id is the query's.")
    max_passage: str | None = option(
        default=None,
        metavar="SEPARATOR",
        help="Rank documents by their best passage (MaxP); ids are split here: '#' after encode --passages.",
        recorded="set",
    )

    def __post_init__(self) -> None:
        check_separator(self.max_passage)

    def with_default(self, hits: int) -> "SearchOptions":
        """Return the same with `hits` documents for each query where the option is not given."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return SearchOptions(**values | {"hits": self.hits or hits})


@options
class SearchOptions(HitsOptions):
    """What a search returns, and which part of a query it uses."""

    hits: int = option(default=1000, least=1, help="Documents for each query.")

    def __post_init__(self) -> None:
        check_separator(self.max_passage)


@options
class TwoStepOptions:
    """Two-step search (Lassance et al., Two-Step SPLADE, ECIR 2024): candidates by few tokens, rescored by all."""

    two_step: int | None = option(
        default=None,
        least=1,
        metavar="TERMS",
        help="Two-step search: find candidates by this many tokens, rescore them by all.",
    )
    candidates: int | None = option(
        default=None,
        least=1,
        help="With --two-step: candidates for each query.",
        unset="10 × hits up to 1,000, or 2 × hits",
    )
    check_exact: bool = option(
        default=False, help="Search exactly too, and print how much of that was found.", recorded=False
    )

    def __post_init__(self) -> None:
        if self.candidates is not None and self.two_step is None:
            raise InputError("--candidates needs --two-step.", do="Add --two-step, or leave --candidates out.")


@options
class QuerySource:
    """What is searched for."""

    topics: str | None = option(
        default=None,
        help="File (TSV, CSV, JSON, TREC, XML), BEIR directory (DIR or DIR@SPLIT), irds:<name>, Pyserini name, "
        "or cranfield.",
        recorded=False,
    )
    query: str | None = option(
        default=None,
        help="One query: its hits are shown, with the text of each and the tokens that bring its score.",
        recorded=False,
    )
    query_weights: str | None = option(
        default=None,
        metavar="JSON|@FILE",
        help='With --query: other weights of some tokens, such as \'{"pain": 1.2, "mission": 0}\'; 0 drops one, '
        "others are added.",
        recorded=False,
    )

    def __post_init__(self) -> None:
        if self.topics is not None and self.query is not None:
            raise InputError("--topics and --query exclude each other.", do="Leave one of them out.")
        if self.query_weights is not None and self.query is None:
            raise InputError("--query-weights needs --query.", do="Add --query, or leave --query-weights out.")
        if self.query is not None and not self.query.strip():
            raise InputError("--query is empty.", expected="at least one word")


@options
class SearchOutput:
    """Where and how the hits are written."""

    output: Path | None = option(
        default=None,
        help="Run to write; gzipped when its name ends in .gz. With --query, the file for what would be printed.",
        recorded=False,
    )
    format: ShownFormat | None = option(
        default=None,
        help="Format of the run, or how the hits of one query are shown.",
        unset="trec; for --query table, or json when --output ends in .json",
    )
    tag: str = option(default="splade-anserini", help="Name of the run, in its last column.")
    overwrite: bool = option(default=False, help="Replace an output that exists.", recorded=False)

    @property
    def is_json(self) -> bool:
        """Whether the hits of one query are written as JSON."""
        return self.format == "json" or (
            self.format is None and self.output is not None and self.output.suffix == ".json"
        )

    def run_options(self) -> "RunOptions":
        """Return how a run is written. Raises `InputError` for what suits one query only."""
        if self.output is None:
            raise InputError("--topics needs --output, the run to write.", do="Add --output.")
        match self.format:
            case "table" | "json":
                raise InputError(f"--format {self.format} shows one query.", do="Use --query, or trec or msmarco.")
            case run_format:
                format_ = run_format or "trec"
        return RunOptions(output=self.output, format=format_, tag=self.tag, overwrite=self.overwrite)

    def check_one_query(self) -> None:
        """Raise `InputError` for what suits runs only."""
        if self.format in ("trec", "msmarco"):
            raise InputError(f"--format {self.format} is that of a run.", do="Use --topics, or table or json.")
        if "--tag" in changed_options(self):
            raise InputError("--tag names a run, and --query writes none.", do="Leave --tag out, or use --topics.")


@options
class RunOptions:
    """Where and how a run is written."""

    output: Path = option(help="Run to write; gzipped when its name ends in .gz.", recorded=False)
    format: RunFormat = option(default="trec", help="Format of the run.")
    tag: str = option(default="splade-anserini", help="Name of the run, in its last column.")
    overwrite: bool = option(default=False, help="Replace a run that exists.", recorded=False)
