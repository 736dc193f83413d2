"""The options of training, mining and scoring. Importing this module loads nothing heavy."""

from pathlib import Path
from typing import Any, Literal

from splade_anserini.errors import InputError
from splade_anserini.formats.corpus_fields import CorpusOptions
from splade_anserini.modeling.options import remote_code_option
from splade_anserini.options import option, options


@options
class TextLookupOptions(CorpusOptions):
    """Where the texts of examples that consist of ids are looked up."""

    corpus: str | None = option(
        default=None, help="Corpus with the ids of documents, as encode takes it.", recorded=False
    )
    topics: str | None = option(
        default=None, help="Topics with the ids of queries, as search takes them.", recorded=False
    )

    @property
    def sources(self) -> dict[str, Any]:
        """What is given, by the names of the options."""
        return {"corpus": self.corpus, "topics": self.topics}

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.corpus is None) != (self.topics is None):
            given, missing = ("--topics", "--corpus") if self.corpus is None else ("--corpus", "--topics")
            raise InputError(f"{given} needs {missing}.", do=f"Add {missing}, or leave {given} out.")


@options
class RecipeOptions:
    """The settings of a card that are changed most often. They are recorded with the card, so changed as by --set."""

    backbone: str | None = option(
        default=None, help="Model to train: Hugging Face id or directory.", unset="the card's", recorded=False
    )
    steps: int | None = option(
        default=None,
        least=1,
        help="Steps to train for. Warm-up and the growth of λ are shortened or lengthened in proportion.",
        unset="the card's",
        recorded=False,
    )
    batch_size: int | None = option(
        default=None, least=1, help="Queries in a batch on one device.", unset="the card's", recorded=False
    )
    learning_rate: float | None = option(
        default=None, above=0, help="Greatest learning rate.", unset="the card's", recorded=False
    )


@options
class TrainingOptions:
    """When a run logs, validates and writes checkpoints, and when it stops."""

    validate_every: int = option(default=1000, least=1, help="With --validation: steps between validations.")
    patience: int = option(
        default=0,
        least=0,
        help="With --validation: stop after this many validations without a new best. 0: do not stop early.",
    )
    checkpoint_every: int = option(
        default=500, least=1, help="Steps between checkpoints from which a run resumes.", recorded=False
    )
    log_every: int = option(default=10, least=1, help="Steps whose means are one line of the log.", recorded=False)
    teacher_embeddings: Path | None = option(
        default=None,
        help="File that keeps the embeddings of the recipe's teacher, for a resumed run and for others.",
        unset="none",
        recorded=False,
    )
    trust_remote_code: bool = remote_code_option("a model")


@options
class MiningOptions:
    """Which ranks negatives are drawn from, and how many. Ranks start at 1."""

    depth: int = option(default=200, least=1, help="The last rank to draw from.")
    skip: int = option(default=0, least=0, help="How many of the first ranks not to draw from.")
    negatives: int = option(default=8, least=1, help="Negatives for each positive.")
    seed: int = option(default=42, least=0, help="The same seed draws the same negatives.")
    margin: float = option(
        default=0.0, help="With scores: drop documents that score above the positive's score minus this."
    )

    def __post_init__(self) -> None:
        if self.skip >= self.depth:
            raise InputError(
                f"--skip ({self.skip:,}) is not less than --depth ({self.depth:,}).",
                expected="at least one rank to draw from, skip + 1 to depth",
            )


@options
class TeacherOptions:
    """How a teacher computes its scores."""

    max_length: int = option(
        default=256, least=3, help="Tokens that a teacher reads of a text, or of a pair in a cross-encoder."
    )
    batch_size: int = option(
        default=64, least=1, help="The most texts, or pairs, that a teacher reads at once.", recorded=False
    )
    device: str = option(default="auto", help="auto, cpu, cuda, cuda:n or mps.", recorded=False)
    precision: Literal["fp32", "bf16"] = option(default="fp32", help="Precision in which teachers compute.")
    dense_scale: float | None = option(
        default=None,
        above=0,
        help="Factor of a sentence encoder's dot products.",
        unset="20 if its embeddings are normalized, else 1",
    )
    trust_remote_code: bool = remote_code_option("a teacher")
