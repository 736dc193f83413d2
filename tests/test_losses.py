"""The ranking losses, compared with sums in double precision and with known values."""

import math

import pytest
import torch

from splade_anserini.training.losses import dot_scores, in_batch_mask, kl_divergence, margin_mse, pairwise, rank_ibn

type Rows = list[list[float]]

QUERY_INDEX = [0, 0, 0, 1, 1, 2]
POSITIVES = [True, False, False, True, False, True]
POSITIVE_COLUMNS = [0, 3, 5]
"""Three queries: the first has two hard negatives, the second one, the third none."""

BOTH = pytest.mark.parametrize("share_negatives", [False, True], ids=["own negatives", "shared negatives"])


def random(*shape: int, seed: int = 0, requires_grad: bool = True) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (3 * torch.randn(shape, generator=generator, dtype=torch.float64)).requires_grad_(requires_grad)


def batch_mask(*, share_negatives: bool = False) -> torch.Tensor:
    return in_batch_mask(
        torch.tensor(QUERY_INDEX), torch.tensor(POSITIVES), torch.arange(3), share_negatives=share_negatives
    )


def reference_rank_ibn(scores: Rows, *, share_negatives: bool) -> float:
    """Equation 3 of SPLADE v2."""
    total = 0.0
    for query, column in enumerate(POSITIVE_COLUMNS):
        own = math.exp(scores[query][column])
        hard = sum(math.exp(scores[query][d]) for d in range(6) if QUERY_INDEX[d] == query and not POSITIVES[d])
        others = sum(math.exp(scores[query][d]) for d in POSITIVE_COLUMNS if QUERY_INDEX[d] != query)
        shared = sum(math.exp(scores[query][d]) for d in range(6) if QUERY_INDEX[d] != query and not POSITIVES[d])
        total -= math.log(own / (own + hard + others + share_negatives * shared))
    return total / len(POSITIVE_COLUMNS)


def reference_kl(student: Rows, teacher: Rows, mask: list[list[bool]]) -> float:
    total = 0.0
    for student_row, teacher_row, mask_row in zip(student, teacher, mask, strict=True):
        columns = [column for column, is_in in enumerate(mask_row) if is_in]
        student_sum = math.fsum(math.exp(student_row[column]) for column in columns)
        teacher_sum = math.fsum(math.exp(teacher_row[column]) for column in columns)
        for column in columns:
            p, q = math.exp(teacher_row[column]) / teacher_sum, math.exp(student_row[column]) / student_sum
            total += p * math.log(p / q)
    return total / len(student)


class TestDotScores:
    def test_a_score_is_the_sum_of_products_over_entries(self) -> None:
        queries, documents = random(2, 5, seed=1), random(3, 5, seed=2)
        expected = [
            [math.fsum(float(q[j]) * float(d[j]) for j in range(5)) for d in documents.detach()]
            for q in queries.detach()
        ]
        scores = dot_scores(queries, documents)
        torch.testing.assert_close(scores, torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-12)

    def test_its_gradient_is_correct(self) -> None:
        assert torch.autograd.gradcheck(dot_scores, (random(2, 5, seed=1), random(3, 5, seed=2)))


class TestInBatchMask:
    def test_the_denominator_holds_the_own_documents_and_all_positives(self) -> None:
        assert batch_mask().long().tolist() == [[1, 1, 1, 1, 0, 1], [1, 0, 0, 1, 1, 1], [1, 0, 0, 1, 0, 1]]

    def test_it_holds_the_hard_negatives_of_other_queries_if_they_are_shared(self) -> None:
        assert bool(batch_mask(share_negatives=True).all())

    def test_its_rows_are_those_of_the_given_queries(self) -> None:
        mask = in_batch_mask(torch.tensor(QUERY_INDEX), torch.tensor(POSITIVES), torch.tensor([2, 0]))
        assert torch.equal(mask, batch_mask()[[2, 0]])


class TestRankIBN:
    columns = torch.tensor(POSITIVE_COLUMNS)

    @BOTH
    def test_it_is_the_loss_of_the_paper(self, share_negatives: bool) -> None:
        scores = random(3, 6)
        loss = rank_ibn(scores, self.columns, batch_mask(share_negatives=share_negatives))
        expected = reference_rank_ibn(scores.tolist(), share_negatives=share_negatives)
        assert loss.item() == pytest.approx(expected, rel=1e-12)

    def test_its_gradient_is_correct_and_0_outside_the_mask(self) -> None:
        scores, mask = random(3, 6), batch_mask()
        assert torch.autograd.gradcheck(lambda x: rank_ibn(x, self.columns, mask), (scores,))
        rank_ibn(scores, self.columns, mask).backward()  # type: ignore[no-untyped-call]
        assert scores.grad is not None
        assert torch.equal(scores.grad == 0, ~mask)

    def test_equal_scores_give_the_logarithm_of_the_number_of_documents(self) -> None:
        loss = rank_ibn(torch.zeros(3, 6), self.columns, batch_mask())
        assert loss.item() == pytest.approx((math.log(5) + math.log(4) + math.log(3)) / 3)

    @pytest.mark.parametrize(
        ("scores", "expected", "tolerance"),
        [
            ([7.0], 0.0, 0.0),
            ([0.0, math.log(3)], math.log(4), 1e-6),
            ([2000.0, 1990.0], math.log1p(math.exp(-10)), 1e-3),
        ],
        ids=["positive only", "one negative", "large scores"],
    )
    def test_known_values(self, scores: list[float], expected: float, tolerance: float) -> None:
        mask = torch.ones(1, len(scores), dtype=torch.bool)
        loss = rank_ibn(torch.tensor([scores]), torch.tensor([0]), mask)
        assert loss.item() == pytest.approx(expected, rel=tolerance, abs=0.0)


class TestPairwise:
    def test_it_is_the_logistic_loss_of_the_margin(self) -> None:
        positive, negative = random(2, seed=1), random(2, 3, seed=2)
        rows = zip(positive.tolist(), negative.tolist(), strict=True)
        losses = [math.log(1 + math.exp(n - p)) for p, row in rows for n in row]
        assert pairwise(positive, negative).item() == pytest.approx(math.fsum(losses) / 6, rel=1e-12)

    def test_its_gradient_is_correct(self) -> None:
        assert torch.autograd.gradcheck(pairwise, (random(2, seed=1), random(2, 3, seed=2)))

    @pytest.mark.parametrize(("negative", "expected"), [(0.0, math.log(2)), (1000.0, 1000.0)])
    def test_known_values(self, negative: float, expected: float) -> None:
        assert pairwise(torch.zeros(1), torch.tensor([[negative]])).item() == pytest.approx(expected, rel=1e-7)


class TestMarginMSE:
    def test_it_is_the_loss_of_the_paper(self) -> None:
        scores = random(2, seed=1), random(2, 3, seed=2), random(2, seed=3), random(2, 3, seed=4)
        p, n, tp, tn = (each.tolist() for each in scores)
        losses = [((tp[i] - tn[i][j]) - (p[i] - n[i][j])) ** 2 for i in range(2) for j in range(3)]
        assert margin_mse(*scores).item() == pytest.approx(math.fsum(losses) / 6, rel=1e-12)

    def test_its_gradient_is_correct(self) -> None:
        teacher = random(2, seed=3, requires_grad=False), random(2, 3, seed=4, requires_grad=False)
        student = random(2, seed=1), random(2, 3, seed=2)
        assert torch.autograd.gradcheck(lambda x, y: margin_mse(x, y, *teacher), student)

    @pytest.mark.parametrize(("student_shift", "teacher_shift"), [(0, 0), (8, 0), (0, -4)])
    def test_only_margins_count(self, student_shift: float, teacher_shift: float) -> None:
        """The margins are 3 and 5, the teacher's are 1 and 5: (2² + 0²) / 2."""
        p, n = torch.tensor([10.0]), torch.tensor([[7.0, 5.0]])
        tp, tn = torch.tensor([2.0]), torch.tensor([[1.0, -3.0]])
        loss = margin_mse(p + student_shift, n + student_shift, tp + teacher_shift, tn + teacher_shift)
        assert loss.item() == 2.0


class TestKLDivergence:
    mask = torch.tensor([[True, True, False, True], [False, True, True, False]])

    def test_it_is_the_divergence_over_the_documents_of_each_query(self) -> None:
        student, teacher = random(2, 4, seed=1), random(2, 4, seed=2, requires_grad=False)
        expected = reference_kl(student.tolist(), teacher.tolist(), self.mask.tolist())
        assert expected > 0.1
        assert kl_divergence(student, teacher, self.mask).item() == pytest.approx(expected, rel=1e-12)

    def test_its_gradient_is_correct(self) -> None:
        teacher = random(2, 4, seed=2, requires_grad=False)
        assert torch.autograd.gradcheck(lambda x: kl_divergence(x, teacher, self.mask), (random(2, 4, seed=1),))

    def test_scores_outside_the_mask_do_not_count_even_if_they_are_nan(self) -> None:
        student, teacher = random(2, 4, seed=1), random(2, 4, seed=2, requires_grad=False)
        expected = kl_divergence(student, teacher, self.mask)
        expected.backward()  # type: ignore[no-untyped-call]
        teacher_with_nan = teacher.masked_fill(~self.mask, torch.nan)
        other = student.detach().masked_fill(~self.mask, 1e6).requires_grad_()
        loss = kl_divergence(other, teacher_with_nan, self.mask)
        loss.backward()  # type: ignore[no-untyped-call]
        assert loss.item() == expected.item()
        assert other.grad is not None
        assert student.grad is not None
        torch.testing.assert_close(other.grad, student.grad)
        assert not other.grad[~self.mask].any()

    def test_it_is_0_for_scores_that_differ_by_a_constant(self) -> None:
        student = random(2, 4, seed=1)
        constants = torch.tensor([[5.0], [-300.0]], dtype=torch.float64)
        loss = kl_divergence(student, student.detach() + constants, self.mask)
        loss.backward()  # type: ignore[no-untyped-call]
        assert loss.item() == pytest.approx(0.0, abs=1e-12)
        assert student.grad is not None
        assert student.grad.abs().max() < 1e-12

    def test_a_constant_added_to_all_scores_changes_nothing(self) -> None:
        student, teacher = random(2, 4, seed=1), random(2, 4, seed=2)
        expected = kl_divergence(student, teacher, self.mask).item()
        assert kl_divergence(student + 40, teacher - 17, self.mask).item() == pytest.approx(expected, rel=1e-12)

    @pytest.mark.parametrize(
        ("student", "teacher", "expected"),
        [([0.0, 0.0], [0.0, -200.0], math.log(2)), ([3.0], [-9.0], 0.0)],
        ids=["certain teacher, indifferent student", "one document"],
    )
    def test_known_values(self, student: list[float], teacher: list[float], expected: float) -> None:
        mask = torch.ones(1, len(student), dtype=torch.bool)
        loss = kl_divergence(torch.tensor([student]), torch.tensor([teacher]), mask)
        assert loss.item() == pytest.approx(expected, rel=1e-6, abs=0.0)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_large_scores_give_finite_values_and_gradients(self, dtype: torch.dtype) -> None:
        student = torch.tensor([[3000.0, -3000.0, 0.0]], dtype=dtype, requires_grad=True)
        mask = torch.tensor([[True, True, False]])
        loss = kl_divergence(student, torch.tensor([[0.0, 10.0, 0.0]]), mask)
        loss.backward()  # type: ignore[no-untyped-call]
        assert student.grad is not None
        assert bool(loss.isfinite())
        assert bool(student.grad.isfinite().all())
