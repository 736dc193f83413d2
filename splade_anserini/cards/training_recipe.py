"""What a card says of training: the table `[training]`, which describes a run completely but for the data's place."""

from typing import Literal, Self

import pydantic

from splade_anserini.artifacts.manifests import Model
from splade_anserini.records import QuerySide

type LossKind = Literal["rank-ibn", "pairwise", "margin-mse", "kl"]
type RegularizerKind = Literal["flops", "l1", "df-flops"]
type Schedule = Literal["quadratic", "linear", "constant"]


class Loss(Model):
    """One part of what is minimized."""

    kind: LossKind
    weight: float = pydantic.Field(default=1.0, gt=0)
    over: Literal["list", "batch"] = "list"
    """For `kl` and `margin-mse`: the example's own documents with the data's scores, or all of the batch with the
    teacher's."""
    score_scale: float = pydantic.Field(default=1.0, gt=0)
    """The student's scores are multiplied by it before this loss."""
    teacher_scale: float = pydantic.Field(default=1.0, gt=0)
    """The teacher's likewise."""


class Regularizer(Model):
    """What keeps the vectors sparse."""

    kind: RegularizerKind = "flops"
    lambda_q: float = pydantic.Field(default=0.0, ge=0)
    lambda_d: float = pydantic.Field(default=0.0, ge=0)
    schedule: Schedule = "quadratic"
    until: int = pydantic.Field(default=0, ge=0)
    """The step from which on λ has its full value."""


class Teacher(Model):
    """What scores every query of a batch with every document of it: a sentence encoder, and BM25 beside it if asked.

    The score is cosine · cos(q, d) + bm25 · BM25(q, d), BM25 over the student's tokens, with the document frequencies
    of a sample of the data.
    """

    model: str
    """Hugging Face id, directory, or package:<module> of a sentence encoder."""
    max_length: int = pydantic.Field(default=256, gt=2)
    cosine: float = pydantic.Field(default=20.0, gt=0)
    bm25: float = pydantic.Field(default=0.0, ge=0)


class Head(Model):
    """The head that a warm start computes for a backbone that has none."""

    threshold: float
    logit_scale: float
    shift: float = 6.0


class TrainingRecipe(Model):
    """All that decides what training makes of its data."""

    backbone: str
    """Hugging Face id, directory, or, with `head`, package:<module>."""
    head: Head | None = None
    query_side: QuerySide = "splade"
    query_backbone: str | None = None
    """For the query side `separate`; the backbone itself unless it is named."""
    losses: tuple[Loss, ...] = pydantic.Field(min_length=1)
    regularizer: Regularizer = Regularizer()
    teacher: Teacher | None = None
    negatives: int = pydantic.Field(default=1, ge=0)
    """How many of an example's negatives are drawn each time it is seen."""
    share_negatives: bool = False
    """Whether the hard negatives of other queries are in-batch negatives too; the paper has only their positives."""
    max_length: int = pydantic.Field(default=256, gt=2)
    query_max_length: int = pydantic.Field(default=256, gt=2)
    batch_size: int = pydantic.Field(gt=0)
    """Queries on one device, in one step of the gradient's accumulation."""
    accumulation: int = pydantic.Field(default=1, gt=0)
    cached: bool = False
    """Whether vectors are computed twice, first without gradient: large batches then need the memory of small ones."""
    group_tokens: int | None = pydantic.Field(default=None, gt=0)
    """Tokens that go through the model together, padding included: with `cached`, what memory depends on.

    None: 4,096 on a CPU, 65,536 on a GPU.
    """
    learning_rate: float = pydantic.Field(gt=0)
    bias_learning_rate: float | None = pydantic.Field(default=None, gt=0)
    """Of the output layer's bias, which moves the sparsity of all texts at once."""
    weight_decay: float = pydantic.Field(default=0.0, ge=0)
    warmup_steps: int = pydantic.Field(default=0, ge=0)
    decay: Literal["linear", "cosine", "constant"] = "linear"
    max_gradient: float = pydantic.Field(default=1.0, gt=0)
    """The norm to which the gradient is clipped."""
    average: float = pydantic.Field(default=0.0, ge=0, lt=1)
    """The decay of a running mean of the weights, which is then what is written; 0: the weights themselves."""
    dropout: float | None = pydantic.Field(default=None, ge=0, lt=1)
    """None: as the backbone has it."""
    mixing: float = pydantic.Field(default=1.0, ge=0, le=1)
    """Sources are drawn in proportion to size^mixing; each batch comes from one of them."""
    topics: int = pydantic.Field(default=0, ge=0)
    """Above 0: batches of similar queries, from about so many examples each cluster (Hofstätter et al. 2021)."""
    steps: int = pydantic.Field(gt=0)
    seed: int = pydantic.Field(default=42, ge=0)
    precision: Literal["fp32", "bf16"] = "fp32"

    @pydantic.model_validator(mode="after")
    def _possible(self) -> Self:
        if any(loss.over == "batch" and loss.kind in {"kl", "margin-mse"} for loss in self.losses) and not self.teacher:
            raise ValueError('a loss over the batch needs a [training.teacher]; or say over = "list"')
        if self.topics and not self.teacher:
            raise ValueError("topics needs a [training.teacher], whose embeddings are clustered")
        if self.query_backbone and self.query_side != "separate":
            raise ValueError('query_backbone is for query_side = "separate"')
        if self.regularizer.lambda_q and self.query_side in {"doc", "idf"}:
            raise ValueError(f'with query_side = "{self.query_side}" queries need no lambda_q: they are what they are')
        return self
