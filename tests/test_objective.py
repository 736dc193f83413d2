"""The training objective: its losses over their documents, its regularizers, their weights and scales."""

import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from splade_anserini.cards.encoder_card import EncoderCard
from splade_anserini.cards.training_recipe import TrainingRecipe
from splade_anserini.errors import InputError
from splade_anserini.training.batch import BatchLabels
from splade_anserini.training.objective import Objective, Vectors, needs_scores
from splade_anserini.training.query_idf import DECAY, QueryIdf
from splade_anserini.training.regularizers import df_flops, flops, l1
from splade_anserini.vectors.idf import idf
from tests.training_fixtures import batch_loader, collator, examples, recipe

type Rows = list[list[float]]

QUERY_INDEX = [0, 0, 0, 1, 1, 2]
POSITIVES = [True, False, False, True, False, True]
POSITIVE_COLUMNS = [0, 3, 5]
DATA_SCORES = [9.0, 2.0, 3.0, 8.0, 4.0, 7.0]
NO_REGULARIZER: dict[str, Any] = {"regularizer": {"lambda_q": 0.0, "lambda_d": 0.0}}
TEACHER = {"model": "tiny"}
TEACHER_SCORES = 3 * torch.randn(3, 6, generator=torch.Generator().manual_seed(5), dtype=torch.float64)

DENOMINATORS = [{0, 1, 2, 3, 5}, {0, 3, 4, 5}, {0, 3, 5}]
"""The documents in the denominator of each query, as in the paper: its own, and the positives of the others."""
ALL_DOCUMENTS = [set(range(6))] * 3

BOTH = pytest.mark.parametrize("share_negatives", [False, True], ids=["own negatives", "shared negatives"])


def vectors(seed: int = 0) -> Vectors:
    """Return three queries and six documents with few active entries; the last entry is active in no document."""
    generator = torch.Generator().manual_seed(seed)
    queries, documents = (torch.randn((n, 7), generator=generator, dtype=torch.float64).relu() for n in (3, 6))
    documents[:, 6] = 0.0
    return Vectors(queries.requires_grad_(), documents.requires_grad_())


def labels(**changes: list[Any]) -> BatchLabels:
    values: dict[str, list[Any]] = {
        "query_index": QUERY_INDEX,
        "positives": POSITIVES,
        "document_hashes": [10, 11, 12, 13, 14, 15],
        "query_hashes": [20, 21, 22],
        "teacher_scores": DATA_SCORES,
    }
    return BatchLabels(**{name: torch.tensor(value) for name, value in (values | changes).items()})


def compute(
    chosen: TrainingRecipe, batch_labels: BatchLabels | None = None, step: int = 0, teacher: torch.Tensor | None = None
) -> dict[str, float]:
    terms = Objective(chosen)(vectors(), batch_labels or labels(), step, teacher)
    return {name: term.item() for name, term in terms.items()}


def single_loss(loss: Mapping[str, Any], **changes: Any) -> TrainingRecipe:
    return recipe(losses=[loss], **NO_REGULARIZER, **changes)


def student_scores(scale: float = 1.0) -> Rows:
    return [[scale * float((q * d).sum()) for d in vectors().documents.detach()] for q in vectors().queries.detach()]


def reference_rank_ibn(scores: Rows, denominators: list[set[int]]) -> float:
    losses = []
    for query, row in enumerate(scores):
        total = math.fsum(math.exp(row[document]) for document in denominators[query])
        losses.append(-math.log(math.exp(row[POSITIVE_COLUMNS[query]]) / total))
    return math.fsum(losses) / len(losses)


def reference_kl(student: Rows, teacher: Rows, documents: list[set[int]]) -> float:
    total = 0.0
    for student_row, teacher_row, columns in zip(student, teacher, documents, strict=True):
        student_sum = math.fsum(math.exp(student_row[column]) for column in columns)
        teacher_sum = math.fsum(math.exp(teacher_row[column]) for column in columns)
        for column in columns:
            p, q = math.exp(teacher_row[column]) / teacher_sum, math.exp(student_row[column]) / student_sum
            total += p * math.log(p / q)
    return total / len(student)


class TestRankIBN:
    def test_it_is_the_loss_of_the_paper(self) -> None:
        expected = reference_rank_ibn(student_scores(), DENOMINATORS)
        assert compute(single_loss({"kind": "rank-ibn"})) == {"rank-ibn": pytest.approx(expected, rel=1e-12)}

    def test_negatives_of_other_queries_can_be_shared(self) -> None:
        terms = compute(single_loss({"kind": "rank-ibn"}, share_negatives=True))
        assert terms["rank-ibn"] == pytest.approx(reference_rank_ibn(student_scores(), ALL_DOCUMENTS), rel=1e-12)

    def test_weight_and_scale_are_factors(self) -> None:
        terms = compute(single_loss({"kind": "rank-ibn", "weight": 0.3, "score_scale": 0.5}))
        assert terms["rank-ibn"] == pytest.approx(
            0.3 * reference_rank_ibn(student_scores(0.5), DENOMINATORS), rel=1e-12
        )

    @BOTH
    def test_documents_of_other_queries_with_the_text_of_the_positive_are_left_out(self, share_negatives: bool) -> None:
        """The second query's positive 3 and negative 4 have the text of the first query's positive."""
        terms = compute(
            single_loss({"kind": "rank-ibn"}, share_negatives=share_negatives),
            labels(document_hashes=[10, 11, 12, 10, 10, 15]),
        )
        own_only = [{0, 1, 2, 5}, {3, 4, 5}, {0, 3, 5}]
        shared = [{0, 1, 2, 5}, {1, 2, 3, 4, 5}, set(range(6))]
        expected = reference_rank_ibn(student_scores(), shared if share_negatives else own_only)
        assert terms["rank-ibn"] == pytest.approx(expected, rel=1e-12)

    def test_own_negatives_with_the_text_of_another_querys_negative_are_kept(self) -> None:
        terms = compute(single_loss({"kind": "rank-ibn"}), labels(document_hashes=[10, 11, 12, 13, 11, 15]))
        assert terms["rank-ibn"] == pytest.approx(reference_rank_ibn(student_scores(), DENOMINATORS), rel=1e-12)

    def test_other_positives_of_the_same_query_are_left_out(self) -> None:
        terms = compute(single_loss({"kind": "rank-ibn"}), labels(query_hashes=[20, 21, 20]))
        expected = reference_rank_ibn(student_scores(), [{0, 1, 2, 3}, {0, 3, 4, 5}, {3, 5}])
        assert terms["rank-ibn"] == pytest.approx(expected, rel=1e-12)


class TestListLosses:
    """Losses over the documents of an example, with the scores in the data."""

    pairs = ((0, 1), (0, 2), (1, 4))
    """Each query with its negatives."""

    def test_pairwise_is_over_the_own_negatives(self) -> None:
        rows = student_scores(2.0)
        losses = [math.log(1 + math.exp(rows[q][d] - rows[q][POSITIVE_COLUMNS[q]])) for q, d in self.pairs]
        terms = compute(single_loss({"kind": "pairwise", "score_scale": 2.0, "weight": 3.0}))
        assert terms["pairwise"] == pytest.approx(3.0 * math.fsum(losses) / 3, rel=1e-12)

    def test_margin_mse_compares_margins_with_those_in_the_data(self) -> None:
        rows = student_scores(2.0)
        losses = []
        for q, d in self.pairs:
            column = POSITIVE_COLUMNS[q]
            losses.append((0.5 * (DATA_SCORES[column] - DATA_SCORES[d]) - (rows[q][column] - rows[q][d])) ** 2)
        terms = compute(single_loss({"kind": "margin-mse", "score_scale": 2.0, "teacher_scale": 0.5}))
        assert terms["margin-mse"] == pytest.approx(math.fsum(losses) / 3, rel=1e-6)

    def test_kl_compares_scores_of_the_own_documents_with_those_in_the_data(self) -> None:
        teacher = [[0.5 * score for score in DATA_SCORES]] * 3
        expected = reference_kl(student_scores(2.0), teacher, [{0, 1, 2}, {3, 4}, {5}])
        terms = compute(single_loss({"kind": "kl", "score_scale": 2.0, "teacher_scale": 0.5}))
        assert terms["kl"] == pytest.approx(expected, rel=1e-6)

    @pytest.mark.parametrize("kind", ["pairwise", "margin-mse", "kl"])
    def test_without_negatives_the_loss_is_0(self, kind: str) -> None:
        batch_labels = labels(
            query_index=[0, 1, 2],
            positives=[True] * 3,
            document_hashes=[10, 11, 12],
            teacher_scores=[1.0, 2.0, 3.0],
        )
        positives = Vectors(vectors().queries, vectors().documents[:3])
        loss = Objective(single_loss({"kind": kind}))(positives, batch_labels, 0, None)[kind]
        assert loss.item() == 0.0
        assert loss.requires_grad

    @pytest.mark.parametrize(
        ("losses", "needed"),
        [
            ([{"kind": "kl"}], True),
            ([{"kind": "margin-mse"}], True),
            ([{"kind": "rank-ibn"}, {"kind": "margin-mse"}], True),
            ([{"kind": "kl", "over": "batch"}], False),
            ([{"kind": "rank-ibn"}, {"kind": "pairwise"}], False),
        ],
    )
    def test_a_recipe_needs_scores_if_its_losses_are_nan_without_them(
        self, losses: list[dict[str, Any]], needed: bool
    ) -> None:
        chosen = recipe(losses=losses, teacher=TEACHER)
        assert needs_scores(chosen) is needed
        without_scores = collator(chosen)(0, examples(4)).labels
        queries, documents = (torch.rand(count, 9, dtype=torch.float64) for count in (4, 12))
        teacher = torch.rand(4, 12, dtype=torch.float64)
        terms = Objective(chosen)(Vectors(queries, documents), without_scores, 0, teacher)
        assert any(bool(term.isnan()) for term in terms.values()) is needed

    def test_examples_without_scores_are_refused_with_advice(self) -> None:
        chosen = recipe(losses=[{"kind": "margin-mse"}])
        with pytest.raises(InputError, match="splade-anserini score"):
            next(batch_loader(chosen, [examples(8)]).batches(0, scored=needs_scores(chosen)))


class TestBatchLosses:
    """Losses over the documents of the batch, with the scores of a teacher."""

    @BOTH
    def test_kl_is_over_the_documents_of_the_denominators(self, share_negatives: bool) -> None:
        loss = {"kind": "kl", "over": "batch", "score_scale": 2.0, "teacher_scale": 0.5}
        chosen = single_loss(loss, teacher=TEACHER, share_negatives=share_negatives)
        documents = ALL_DOCUMENTS if share_negatives else DENOMINATORS
        expected = reference_kl(student_scores(2.0), (0.5 * TEACHER_SCORES).tolist(), documents)
        assert compute(chosen, teacher=TEACHER_SCORES)["kl"] == pytest.approx(expected, rel=1e-12)

    def test_margin_mse_is_over_the_pairs_of_the_positive_with_each_other_document(self) -> None:
        rows, teacher = student_scores(), TEACHER_SCORES.tolist()
        losses = [
            ((teacher[q][column] - teacher[q][d]) - (rows[q][column] - rows[q][d])) ** 2
            for q, column in enumerate(POSITIVE_COLUMNS)
            for d in DENOMINATORS[q] - {column}
        ]
        chosen = single_loss({"kind": "margin-mse", "over": "batch"}, teacher=TEACHER)
        terms = compute(chosen, teacher=TEACHER_SCORES)
        assert terms["margin-mse"] == pytest.approx(math.fsum(losses) / len(losses), rel=1e-12)

    def test_without_teacher_scores_they_are_an_error(self) -> None:
        with pytest.raises(ValueError, match='the loss kl over "batch" needs the scores of a teacher'):
            compute(single_loss({"kind": "kl", "over": "batch"}, teacher=TEACHER))


class TestSum:
    def test_each_loss_counts_once_also_of_the_same_kind(self) -> None:
        losses = [
            {"kind": "rank-ibn", "weight": 0.3},
            {"kind": "kl"},
            {"kind": "kl", "over": "batch", "weight": 0.7},
            {"kind": "kl", "over": "batch", "score_scale": 0.5, "weight": 0.2},
            {"kind": "kl", "teacher_scale": 0.1},
        ]
        terms = compute(recipe(losses=losses, teacher=TEACHER, **NO_REGULARIZER), teacher=TEACHER_SCORES)
        assert list(terms) == ["rank-ibn", "kl", "kl (batch)", "kl (3)", "kl (list)"]
        alone = []
        for loss in losses:
            (value,) = compute(single_loss(loss, teacher=TEACHER), teacher=TEACHER_SCORES).values()
            alone.append(value)
        assert len(set(alone)) == 5
        assert list(terms.values()) == pytest.approx(alone, rel=1e-12)

    @pytest.mark.parametrize("kind", ["flops", "l1", "df-flops"])
    @pytest.mark.parametrize("lambda_q", [0.0, 0.5])
    def test_the_objective_is_the_loss_and_the_regularizers_of_both_sides(self, kind: str, lambda_q: float) -> None:
        terms = compute(recipe(regularizer={"kind": kind, "lambda_q": lambda_q, "lambda_d": 0.25}))
        functions = {
            "flops": flops,
            "l1": l1,
            "df-flops": lambda weights: df_flops(weights, (weights > 0).double().mean(dim=0)),
        }
        expected = {"rank-ibn": reference_rank_ibn(student_scores(), DENOMINATORS)}
        if lambda_q:
            expected[f"{kind} q"] = lambda_q * functions[kind](vectors().queries).item()
        expected[f"{kind} d"] = 0.25 * functions[kind](vectors().documents).item()
        assert terms == pytest.approx(expected, rel=1e-12)

    def test_its_gradient_is_correct(self) -> None:
        losses = [{"kind": "rank-ibn"}, {"kind": "kl", "over": "batch"}, {"kind": "margin-mse"}, {"kind": "pairwise"}]
        objective = Objective(recipe(losses=losses, teacher=TEACHER))

        def total(queries: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
            terms = objective(Vectors(queries, documents), labels(), 2, TEACHER_SCORES)
            return sum(terms.values(), torch.zeros(()))

        batch = vectors()
        assert torch.autograd.gradcheck(total, (batch.queries, batch.documents))


class TestRegularizers:
    @staticmethod
    def term(name: str, step: int, **changes: Any) -> float:
        regularizer = {"kind": "flops", "lambda_q": 0.5, "lambda_d": 0.25, "until": 10} | changes
        return compute(recipe(regularizer=regularizer), step=step)[name]

    @pytest.mark.parametrize(("side", "factor"), [("queries", 0.5), ("documents", 0.25)])
    def test_flops_is_over_all_texts_of_a_side(self, side: str, factor: float) -> None:
        rows = getattr(vectors(), side).detach().tolist()
        expected = math.fsum((math.fsum(row[j] for row in rows) / len(rows)) ** 2 for j in range(7))
        assert self.term(f"flops {side[0]}", 10) == pytest.approx(factor * expected, rel=1e-12)

    @pytest.mark.parametrize(
        ("schedule", "step", "strength"),
        [("quadratic", 0, 0.0), ("quadratic", 5, 0.25), ("linear", 5, 0.5), ("constant", 0, 1.0)],
    )
    def test_it_rises_as_scheduled(self, schedule: str, step: int, strength: float) -> None:
        full = self.term("flops d", 99)
        assert self.term("flops d", step, schedule=schedule) == pytest.approx(strength * full)

    def test_with_a_lambda_of_0_there_is_no_term(self) -> None:
        assert list(compute(recipe(regularizer={"lambda_q": 0.0, "lambda_d": 0.1}))) == ["rank-ibn", "flops d"]


class TestRunningActivity:
    chosen = recipe(regularizer={"kind": "df-flops", "lambda_q": 0.5, "lambda_d": 0.25})

    @staticmethod
    def activity(weights: torch.Tensor) -> torch.Tensor:
        return (weights.detach() > 0).double().mean(dim=0)

    @pytest.mark.parametrize(("side", "factor"), [("queries", 0.5), ("documents", 0.25)])
    def test_df_flops_uses_the_activity_over_all_batches_of_a_side(self, side: str, factor: float) -> None:
        objective = Objective(self.chosen)
        objective(vectors(1), labels(), 0, None)
        terms = objective(vectors(2), labels(), 1, None)
        first, second = (getattr(vectors(seed), side) for seed in (1, 2))
        mean = 0.999 * self.activity(first) + 0.001 * self.activity(second)
        expected = factor * df_flops(second, mean).item()
        assert terms[f"df-flops {side[0]}"].item() == pytest.approx(expected, rel=1e-9)
        assert expected != pytest.approx(factor * df_flops(second, self.activity(second)).item(), rel=1e-6)

    def test_it_is_restored_from_a_checkpoint(self) -> None:
        objective, restored, new = (Objective(self.chosen) for _ in range(3))
        objective(vectors(1), labels(), 0, None)
        state = {name: value.clone() for name, value in objective.state_dict().items()}
        assert state
        restored.load_state_dict(state)
        terms, restored_terms, new_terms = (
            {name: term.item() for name, term in each(vectors(2), labels(), 1, None).items()}
            for each in (objective, restored, new)
        )
        assert restored_terms == terms
        assert new_terms["df-flops d"] != terms["df-flops d"]


# Queries are weighted in training as in a search with --query-idf.

ALPHA = 0.75
IBN: dict[str, Any] = {"losses": [{"kind": "rank-ibn"}], **NO_REGULARIZER}


def expected_factors(documents: torch.Tensor) -> torch.Tensor:
    counts = (documents > 0).sum(dim=0).tolist()
    return torch.tensor([idf(len(documents), count) ** ALPHA for count in counts])


def test_factors_are_those_of_a_search_among_the_documents() -> None:
    documents = vectors().documents
    factors = QueryIdf(ALPHA)(0, documents)
    torch.testing.assert_close(factors, expected_factors(documents).to(factors.dtype))
    assert not factors.requires_grad


def test_the_documents_of_a_source_add_up_and_older_ones_count_less() -> None:
    query_idf = QueryIdf(ALPHA)
    first, second, other = (vectors(seed).documents for seed in range(3))
    query_idf(0, first)
    torch.testing.assert_close(query_idf(1, other).float(), expected_factors(other))
    factors = query_idf(0, second)
    counts = DECAY * (first > 0).sum(dim=0) + (second > 0).sum(dim=0)
    total = DECAY * len(first) + len(second)
    torch.testing.assert_close(factors.float(), torch.log1p((total - counts + 0.5) / (counts + 0.5)) ** ALPHA)


def test_losses_see_weighted_queries_and_regularizers_do_not() -> None:
    batch = vectors()
    factors = expected_factors(batch.documents).double()
    weighted = Vectors(batch.queries * factors, batch.documents)
    chosen = recipe(query_idf=ALPHA, **IBN | {"regularizer": {"lambda_q": 0.5, "lambda_d": 0.5}})
    plain = chosen.model_copy(update={"query_idf": 0.0})
    terms, expected = Objective(chosen)(batch, labels(), 0, None), Objective(plain)(weighted, labels(), 0, None)
    assert terms["rank-ibn"].item() == pytest.approx(expected["rank-ibn"].item(), rel=1e-6)
    assert terms["flops q"].item() == Objective(plain)(batch, labels(), 0, None)["flops q"].item()


def test_each_source_has_its_own_idf_which_a_checkpoint_restores() -> None:
    chosen = recipe(query_idf=ALPHA, **IBN)
    objective, restored = Objective(chosen), Objective(chosen)
    objective(vectors(1), labels(), 0, None, source=0)
    objective(vectors(2), labels(), 0, None, source=3)
    restored.load_state_dict({name: value.clone() for name, value in objective.state_dict().items()})
    values = [
        each(vectors(4), labels(), 1, None, source=source)["rank-ibn"].item()
        for source in (3, 0)
        for each in (objective, restored)
    ]
    assert values[0] == values[1]
    assert values[2] == values[3]
    assert values[0] != values[2]


def test_a_card_must_search_as_it_trains() -> None:
    fields = {"name": "mine", "description": "", "license": "", "source": "mine"}
    training = recipe(query_idf=ALPHA).model_dump()
    with pytest.raises(ValidationError, match=r"query_idf is 0 for the encoder and 0\.75 in \[training\]"):
        EncoderCard.model_validate(fields | {"training": training})
    assert EncoderCard.model_validate(fields | {"training": training, "query_idf": ALPHA}).query_idf == ALPHA
