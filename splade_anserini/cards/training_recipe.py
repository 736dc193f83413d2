"""The table `[training]` of an encoder card: all settings of a training run except its data."""

from typing import Any, Literal, Self

import pydantic

from splade_anserini.artifacts.model import GrowingModel, Model
from splade_anserini.records import QuerySide

type LossKind = Literal["rank-ibn", "pairwise", "margin-mse", "kl"]
type RegularizerKind = Literal["flops", "l1", "df-flops"]
type Schedule = Literal["quadratic", "linear", "constant"]

_FORMER_NAMES = {"topics": "cluster_size"}
"""Fields of earlier versions, which cards and checkpoints may still have, and how they are called now."""


class Loss(Model):
    """One ranking loss, a term of the objective."""

    kind: LossKind
    weight: float = pydantic.Field(default=1.0, gt=0)
    over: Literal["list", "batch"] = "list"
    """For `kl` and `margin-mse`: over the example's own documents with the scores in the data, or over all documents of
    the batch with the scores of the teacher."""
    score_scale: float = pydantic.Field(default=1.0, gt=0)
    """Factor of the student's scores in this loss."""
    teacher_scale: float = pydantic.Field(default=1.0, gt=0)
    """Factor of the teacher's scores in this loss."""


class Regularizer(Model):
    """The table `[training.regularizer]`: the sparsity regularizer of queries and documents."""

    kind: RegularizerKind = "flops"
    lambda_q: float = pydantic.Field(default=0.0, ge=0)
    lambda_d: float = pydantic.Field(default=0.0, ge=0)
    schedule: Schedule = "quadratic"
    until: int = pydantic.Field(default=0, ge=0)
    """The step from which on λ has its full value."""


class TeacherSettings(GrowingModel):
    """The table `[training.teacher]`: a sentence encoder, optionally with BM25, that scores all pairs of a batch.

    The score is cosine · cos(q, d) + bm25 · BM25(q, d).
    """

    model: str
    """Hugging Face id, directory, or package:<module> of a sentence encoder."""
    max_length: int = pydantic.Field(default=256, gt=2)
    cosine: float = pydantic.Field(default=20.0, gt=0)
    bm25: float = pydantic.Field(default=0.0, ge=0)
    bm25_terms: Literal["tokens", "words"] = "tokens"
    """What BM25 counts: the student's tokens, with the document frequencies of a sample of all sources; or the stemmed
    words of Lucene's English analyzer, on Lucene's scale, with the document frequencies of the batch's own source."""

    later_fields = frozenset({"bm25_terms"})


class Head(Model):
    """The table `[training.head]`: the head that a warm start computes for a backbone without one."""

    threshold: float
    logit_scale: float
    shift: float = 6.0


class TrainingRecipe(GrowingModel):
    """All settings of a training run except its data."""

    backbone: str
    """Hugging Face id, directory, or, with `head`, package:<module>."""
    head: Head | None = None
    query_side: QuerySide = "splade"
    query_backbone: str | None = None
    """For the query side `separate`; None: the backbone."""
    losses: tuple[Loss, ...] = pydantic.Field(min_length=1)
    regularizer: Regularizer = Regularizer()
    teacher: TeacherSettings | None = None
    query_idf: float = pydantic.Field(default=0.0, ge=0)
    """The power of the idf by which weights of queries are multiplied in the losses, as in a search with
    `--query-idf`; the idf is that of an entry in the documents of the batch's source. 0: none."""
    negatives: int = pydantic.Field(default=1, ge=0)
    """How many of an example's negatives are drawn each time it is used."""
    share_negatives: bool = False
    """Whether the hard negatives of other queries are in-batch negatives too; in the paper only their positives are."""
    max_length: int = pydantic.Field(default=256, gt=2)
    query_max_length: int = pydantic.Field(default=256, gt=2)
    batch_size: int = pydantic.Field(gt=0)
    """Queries in a batch on one device."""
    accumulation: int = pydantic.Field(default=1, gt=0)
    """Batches whose gradients are accumulated in one step."""
    cached: bool = False
    """Whether vectors are computed twice (gradient caching), so that a large batch needs the memory of a small one."""
    group_tokens: int | None = pydantic.Field(default=None, gt=0)
    """Tokens that go through the model together, padding included; with `cached`, these determine the memory.

    None: 4,096 on a CPU, 65,536 on a GPU.
    """
    learning_rate: float = pydantic.Field(gt=0)
    bias_learning_rate: float | None = pydantic.Field(default=None, gt=0)
    """Learning rate of the output layer's bias, which changes the sparsity of all texts; None: `learning_rate`."""
    weight_decay: float = pydantic.Field(default=0.0, ge=0)
    warmup_steps: int = pydantic.Field(default=0, ge=0)
    decay: Literal["linear", "cosine", "constant"] = "linear"
    max_gradient: float = pydantic.Field(default=1.0, gt=0)
    """The norm to which the gradient is clipped."""
    average: float = pydantic.Field(default=0.0, ge=0, lt=1)
    """Decay of an exponential moving average of the weights, which is saved in place of them; 0: no average."""
    dropout: float | None = pydantic.Field(default=None, ge=0, lt=1)
    """None: the backbone's."""
    mixing: float = pydantic.Field(default=1.0, ge=0, le=1)
    """Sources are drawn in proportion to size^mixing; each batch comes from one of them."""
    cluster_size: int = pydantic.Field(default=0, ge=0)
    """Above 0: batches of similar queries, from clusters of about this many examples (Hofstätter et al. 2021)."""
    steps: int = pydantic.Field(gt=0)
    seed: int = pydantic.Field(default=42, ge=0)
    precision: Literal["fp32", "bf16"] = "fp32"

    later_fields = frozenset({"query_idf"})

    @pydantic.model_validator(mode="before")
    @classmethod
    def _rename_former_fields(cls, fields: Any) -> Any:
        if not isinstance(fields, dict):
            return fields
        for former, current in _FORMER_NAMES.items():
            if former in fields and current in fields:
                raise ValueError(f"{former} is the former name of {current}; give only {current}")
        return {_FORMER_NAMES.get(name, name): value for name, value in fields.items()}

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Self:
        if any(loss.over == "batch" and loss.kind in {"kl", "margin-mse"} for loss in self.losses) and not self.teacher:
            raise ValueError('a loss over "batch" needs a table [training.teacher]; or use over = "list"')
        if self.cluster_size and not self.teacher:
            raise ValueError("cluster_size needs a table [training.teacher], whose embeddings are clustered")
        if self.query_backbone and self.query_side != "separate":
            raise ValueError(f'query_backbone needs query_side = "separate", got "{self.query_side}"')
        if self.regularizer.lambda_q and self.query_side in {"doc", "idf"}:
            raise ValueError(
                f'lambda_q must be 0 with query_side = "{self.query_side}": its queries are always their own tokens'
            )
        return self
