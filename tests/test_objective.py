"""Facts of what is minimized: each part once, with its weights and scales, over the documents it is about."""

import math
from typing import Any

import pytest
import torch

from splade_anserini.errors import InputError
from splade_anserini.training.batch import BatchLabels
from splade_anserini.training.objective import Objective, Vectors, needs_scores
from splade_anserini.training.regularizers import df_flops, flops, l1
from tests.training_fixtures import batch_loader, collator, examples, recipe

type Rows = list[list[float]]

OWNERS = [0, 0, 0, 1, 1, 2]
POSITIVES = [True, False, False, True, False, True]
COLUMNS = [0, 3, 5]
SCORES = [9.0, 2.0, 3.0, 8.0, 4.0, 7.0]
PLAIN: dict[str, Any] = {"regularizer": {"lambda_q": 0.0, "lambda_d": 0.0}}
TEACHER = {"model": "tiny"}


def vectors(seed: int = 0) -> Vectors:
    """Sparse vectors with few active entries, and some that no text has."""
    generator = torch.Generator().manual_seed(seed)
    queries, documents = (torch.randn((n, 7), generator=generator, dtype=torch.float64).relu() for n in (3, 6))
    documents[:, 6] = 0.0
    return Vectors(queries.requires_grad_(), documents.requires_grad_())


def labels(**changes: list[Any]) -> BatchLabels:
    values: dict[str, list[Any]] = {
        "query_index": OWNERS,
        "positives": POSITIVES,
        "document_hashes": [10, 11, 12, 13, 14, 15],
        "query_hashes": [20, 21, 22],
        "teacher_scores": SCORES,
    }
    return BatchLabels(**{name: torch.tensor(value) for name, value in (values | changes).items()})


def parts(
    chosen: Any, some: BatchLabels | None = None, step: int = 0, teacher: torch.Tensor | None = None
) -> dict[str, Any]:
    return Objective(chosen)(vectors(), some or labels(), step, teacher)


def scores(scale: float = 1.0) -> Rows:
    some = vectors()
    return [[scale * float((q * d).sum()) for d in some.documents.detach()] for q in some.queries.detach()]


def rank_loss(rows: Rows, allowed: list[set[int]]) -> float:
    """The mean of −log of the positive's share among the documents allowed to each query."""
    losses = []
    for query, row in enumerate(rows):
        total = math.fsum(math.exp(row[document]) for document in allowed[query])
        losses.append(-math.log(math.exp(row[COLUMNS[query]]) / total))
    return math.fsum(losses) / len(losses)


PAPER = [{0, 1, 2, 3, 5}, {0, 3, 4, 5}, {0, 3, 5}]


def given(loss: dict[str, Any], **more: Any) -> Any:
    return recipe(losses=[loss], **PLAIN, **more)


class TestRankLoss:
    def test_it_is_the_papers(self) -> None:
        found = parts(given({"kind": "rank-ibn"}))
        assert list(found) == ["rank-ibn"]
        assert found["rank-ibn"].item() == pytest.approx(rank_loss(scores(), PAPER), rel=1e-12)

    def test_negatives_of_others_are_shared_if_asked(self) -> None:
        found = parts(given({"kind": "rank-ibn"}, share_negatives=True))
        assert found["rank-ibn"].item() == pytest.approx(rank_loss(scores(), [set(range(6))] * 3), rel=1e-12)

    def test_weight_and_scale_apply(self) -> None:
        found = parts(given({"kind": "rank-ibn", "weight": 0.3, "score_scale": 0.5}))
        assert found["rank-ibn"].item() == pytest.approx(0.3 * rank_loss(scores(0.5), PAPER), rel=1e-12)

    @pytest.mark.parametrize("share_negatives", [False, True])
    def test_another_querys_document_with_the_text_of_ones_own_positive_is_no_negative(
        self, share_negatives: bool
    ) -> None:
        """Document 3, the second query's positive, is the first's positive too; so, when shared, is its negative 4."""
        found = parts(
            given({"kind": "rank-ibn"}, share_negatives=share_negatives),
            labels(document_hashes=[10, 11, 12, 10, 10, 15]),
        )
        paper = [{0, 1, 2, 5}, {3, 4, 5}, {0, 3, 5}]
        allowed = [{0, 1, 2, 5}, {1, 2, 3, 4, 5}, set(range(6))] if share_negatives else paper
        assert found["rank-ibn"].item() == pytest.approx(rank_loss(scores(), allowed), rel=1e-12)

    def test_a_text_that_is_anothers_negative_stays_ones_own_negative(self) -> None:
        found = parts(given({"kind": "rank-ibn"}), labels(document_hashes=[10, 11, 12, 13, 11, 15]))
        assert found["rank-ibn"].item() == pytest.approx(rank_loss(scores(), PAPER), rel=1e-12)

    def test_another_positive_of_the_same_query_is_no_negative(self) -> None:
        found = parts(given({"kind": "rank-ibn"}), labels(query_hashes=[20, 21, 20]))
        assert found["rank-ibn"].item() == pytest.approx(
            rank_loss(scores(), [{0, 1, 2, 3}, {0, 3, 4, 5}, {3, 5}]), rel=1e-12
        )

    @pytest.mark.parametrize("kind", ["flops", "l1", "df-flops"])
    @pytest.mark.parametrize("both", [True, False])
    def test_it_is_counted_once_whatever_the_regularizers(self, kind: str, both: bool) -> None:
        regularizer = {"kind": kind, "lambda_q": 0.5 * both, "lambda_d": 0.25}
        found = parts(recipe(regularizer=regularizer))
        assert list(found) == ["rank-ibn", *[f"{kind} q"] * both, f"{kind} d"]
        some = vectors()
        rules = {
            "flops": flops,
            "l1": l1,
            "df-flops": lambda weights: df_flops(weights, (weights > 0).double().mean(dim=0)),
        }
        expected = rank_loss(scores(), PAPER) + 0.25 * rules[kind](some.documents).item()
        expected += 0.5 * both * rules[kind](some.queries).item()
        assert sum(found.values()).item() == pytest.approx(expected, rel=1e-12)


class TestListLosses:
    def test_pairwise_is_over_ones_own_negatives(self) -> None:
        rows = scores(2.0)
        pairs = [(0, 1), (0, 2), (1, 4)]
        slow = [
            math.log(1 + math.exp(rows[query][document] - rows[query][COLUMNS[query]])) for query, document in pairs
        ]
        found = parts(given({"kind": "pairwise", "score_scale": 2.0, "weight": 3.0}))
        assert found["pairwise"].item() == pytest.approx(3.0 * math.fsum(slow) / 3, rel=1e-12)

    def test_margin_mse_is_against_the_datas_scores(self) -> None:
        rows = scores(2.0)
        slow = [
            (0.5 * (SCORES[COLUMNS[query]] - SCORES[document]) - (rows[query][COLUMNS[query]] - rows[query][document]))
            ** 2
            for query, document in [(0, 1), (0, 2), (1, 4)]
        ]
        found = parts(given({"kind": "margin-mse", "score_scale": 2.0, "teacher_scale": 0.5}))
        assert found["margin-mse"].item() == pytest.approx(math.fsum(slow) / 3, rel=1e-6)

    def test_kl_is_over_ones_own_documents_and_the_datas_scores(self) -> None:
        slow = slow_kl(scores(2.0), [[0.5 * score for score in SCORES]] * 3, [{0, 1, 2}, {3, 4}, {5}])
        found = parts(given({"kind": "kl", "score_scale": 2.0, "teacher_scale": 0.5}))
        assert found["kl"].item() == pytest.approx(slow, rel=1e-6)

    def test_without_negatives_there_is_nothing_to_compare(self) -> None:
        alone = labels(
            query_index=[0, 1, 2], positives=[True] * 3, document_hashes=[10, 11, 12], teacher_scores=[1.0, 2.0, 3.0]
        )
        some = vectors()
        some = Vectors(some.queries, some.documents[:3])
        for kind in ("pairwise", "margin-mse", "kl"):
            found = Objective(given({"kind": kind}))(some, alone, 0, None)[kind]
            assert found.item() == 0.0
            assert found.requires_grad

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
    def test_which_losses_need_the_datas_scores(self, losses: list[dict[str, Any]], needed: bool) -> None:
        chosen = recipe(losses=losses, teacher=TEACHER)
        assert needs_scores(chosen) is needed
        bare = collator(chosen)(0, examples(4))
        some = torch.rand(4, 9, dtype=torch.float64), torch.rand(12, 9, dtype=torch.float64)
        found = Objective(chosen)(Vectors(*some), bare.labels, 0, torch.rand(4, 12, dtype=torch.float64))
        assert any(bool(part.isnan()) for part in found.values()) is needed


def slow_kl(student: Rows, teacher: Rows, allowed: list[set[int]]) -> float:
    total = 0.0
    for ours, theirs, places in zip(student, teacher, allowed, strict=True):
        p_sum = math.fsum(math.exp(theirs[place]) for place in places)
        q_sum = math.fsum(math.exp(ours[place]) for place in places)
        for place in places:
            p, q = math.exp(theirs[place]) / p_sum, math.exp(ours[place]) / q_sum
            total += p * math.log(p / q)
    return total / len(student)


class TestBatchLosses:
    teacher = 3 * torch.randn(3, 6, generator=torch.Generator().manual_seed(5), dtype=torch.float64)

    @pytest.mark.parametrize("share_negatives", [False, True])
    def test_kl_is_over_the_denominators_documents_and_the_teachers_scores(self, share_negatives: bool) -> None:
        chosen = given(
            {"kind": "kl", "over": "batch", "score_scale": 2.0, "teacher_scale": 0.5},
            teacher=TEACHER,
            share_negatives=share_negatives,
        )
        allowed = [set(range(6))] * 3 if share_negatives else PAPER
        slow = slow_kl(scores(2.0), (0.5 * self.teacher).tolist(), allowed)
        assert parts(chosen, teacher=self.teacher)["kl"].item() == pytest.approx(slow, rel=1e-12)

    def test_margin_mse_is_of_the_positive_with_each_other(self) -> None:
        chosen = given({"kind": "margin-mse", "over": "batch"}, teacher=TEACHER)
        rows, theirs = scores(), self.teacher.tolist()
        slow = [
            ((theirs[q][COLUMNS[q]] - theirs[q][d]) - (rows[q][COLUMNS[q]] - rows[q][d])) ** 2
            for q in range(3)
            for d in PAPER[q] - {COLUMNS[q]}
        ]
        found = parts(chosen, teacher=self.teacher)["margin-mse"]
        assert found.item() == pytest.approx(math.fsum(slow) / len(slow), rel=1e-12)

    def test_they_cannot_do_without_a_teacher(self) -> None:
        with pytest.raises(ValueError, match="teacher"):
            parts(given({"kind": "kl", "over": "batch"}, teacher=TEACHER))


class TestSum:
    teacher = TestBatchLosses.teacher

    def test_every_part_is_counted_however_many_there_are_of_a_kind(self) -> None:
        losses = [
            {"kind": "rank-ibn", "weight": 0.3},
            {"kind": "kl"},
            {"kind": "kl", "over": "batch", "weight": 0.7},
            {"kind": "kl", "over": "batch", "score_scale": 0.5, "weight": 0.2},
            {"kind": "kl", "teacher_scale": 0.1},
        ]
        together = parts(recipe(losses=losses, teacher=TEACHER, **PLAIN), teacher=self.teacher)
        assert list(together) == ["rank-ibn", "kl", "kl (batch)", "kl (3)", "kl (list)"]
        alone = [
            next(iter(parts(given(loss, teacher=TEACHER), teacher=self.teacher).values())).item() for loss in losses
        ]
        assert len(set(alone)) == 5
        assert sum(together.values()).item() == pytest.approx(math.fsum(alone), rel=1e-12)

    def test_the_gradient_is_that_of_finite_differences(self) -> None:
        losses = [{"kind": "rank-ibn"}, {"kind": "kl", "over": "batch"}, {"kind": "margin-mse"}, {"kind": "pairwise"}]
        objective = Objective(recipe(losses=losses, teacher=TEACHER))

        def total(queries: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
            return sum(objective(Vectors(queries, documents), labels(), 2, self.teacher).values(), torch.zeros(()))

        some = vectors()
        assert torch.autograd.gradcheck(total, (some.queries, some.documents))


class TestRegularizers:
    @staticmethod
    def part(name: str, step: int, **changes: Any) -> float:
        values = {"kind": "flops", "lambda_q": 0.5, "lambda_d": 0.25, "until": 10} | changes
        found: float = parts(recipe(regularizer=values), step=step)[name].item()
        return found

    def test_flops_of_documents_is_over_positives_and_negatives_together(self) -> None:
        rows = vectors().documents.detach().tolist()
        slow = math.fsum((math.fsum(row[j] for row in rows) / 6) ** 2 for j in range(7))
        assert self.part("flops d", 10) == pytest.approx(0.25 * slow, rel=1e-12)

    def test_that_of_queries_is_over_queries(self) -> None:
        rows = vectors().queries.detach().tolist()
        slow = math.fsum((math.fsum(row[j] for row in rows) / 3) ** 2 for j in range(7))
        assert self.part("flops q", 10) == pytest.approx(0.5 * slow, rel=1e-12)

    def test_it_rises_as_the_schedule_says(self) -> None:
        full = self.part("flops d", 99)
        assert self.part("flops d", 0) == 0.0
        assert self.part("flops d", 5) == pytest.approx(full / 4)
        assert self.part("flops d", 5, schedule="linear") == pytest.approx(full / 2)
        assert self.part("flops d", 0, schedule="constant") == pytest.approx(full)

    def test_a_lambda_of_0_is_no_part(self) -> None:
        assert list(parts(recipe(regularizer={"lambda_q": 0.0, "lambda_d": 0.1}))) == ["rank-ibn", "flops d"]


class TestRunningShares:
    chosen = recipe(regularizer={"kind": "df-flops", "lambda_q": 0.5, "lambda_d": 0.25})

    @staticmethod
    def shares(some: torch.Tensor) -> torch.Tensor:
        return (some.detach() > 0).double().mean(dim=0)

    def test_shares_are_means_over_batches_of_either_side(self) -> None:
        objective = Objective(self.chosen)
        first, second = vectors(1), vectors(2)
        objective(first, labels(), 0, None)
        found = objective(second, labels(), 1, None)
        for side, weight in (("queries", 0.5), ("documents", 0.25)):
            one, other = getattr(first, side), getattr(second, side)
            mean = 0.999 * self.shares(one) + 0.001 * self.shares(other)
            expected = weight * df_flops(other, mean).item()
            assert found[f"df-flops {side[0]}"].item() == pytest.approx(expected, rel=1e-9)
            assert expected != pytest.approx(weight * df_flops(other, self.shares(other)).item(), rel=1e-6)

    def test_a_checkpoint_holds_them(self) -> None:
        objective, resumed = Objective(self.chosen), Objective(self.chosen)
        objective(vectors(1), labels(), 0, None)
        state = {name: value.clone() for name, value in objective.state_dict().items()}
        assert state
        expected = objective(vectors(2), labels(), 1, None)
        resumed.load_state_dict(state)
        found = resumed(vectors(2), labels(), 1, None)
        assert {name: part.item() for name, part in found.items()} == {
            name: part.item() for name, part in expected.items()
        }
        fresh = Objective(self.chosen)(vectors(2), labels(), 1, None)
        assert fresh["df-flops d"].item() != expected["df-flops d"].item()


def test_a_message_for_lists_without_scores_says_what_to_do() -> None:
    chosen = recipe(losses=[{"kind": "margin-mse"}])
    with pytest.raises(InputError, match="splade-anserini score"):
        next(batch_loader(chosen, [examples(8)]).batches(0, scored=needs_scores(chosen)))
