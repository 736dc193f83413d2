"""The options of commands that search and write runs. Importing this module loads nothing heavy."""

from pathlib import Path
from typing import Literal

from splade_anserini.errors import InputError
from splade_anserini.formats.topic_fields import DEFAULT_FIELD, check_field
from splade_anserini.modeling.options import remote_code_option
from splade_anserini.options import option, options
from splade_anserini.vectors.scale import scale_option

type RunFormat = Literal["trec", "msmarco"]


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
class SearchOptions:
    """What a search returns, and which part of a query it uses."""

    hits: int = option(default=1000, least=1, help="Documents for each query.")
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
class RunOptions:
    """Where and how a run is written."""

    output: Path = option(help="Run to write; gzipped when its name ends in .gz.", recorded=False)
    format: RunFormat = option(default="trec", help="Format of the run.")
    tag: str = option(default="splade-anserini", help="Name of the run, in its last column.")
    overwrite: bool = option(default=False, help="Replace a run that exists.", recorded=False)
