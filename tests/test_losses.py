"""Facts of the losses, against slow sums in double precision, and canonical numbers."""

import math

import pytest
import torch

from splade_anserini.training.losses import dot_scores, in_batch_mask, kl_divergence, margin_mse, pairwise, rank_ibn

type Rows = list[list[float]]

OWNERS = [0, 0, 0, 1, 1, 2]
POSITIVES = [True, False, False, True, False, True]
COLUMNS = [0, 3, 5]
"""Three queries: the first with two hard negatives, the second with one, the third with none."""


def random(*shape: int, seed: int = 0, requires_grad: bool = True) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (3 * torch.randn(shape, generator=generator, dtype=torch.float64)).requires_grad_(requires_grad)


def paper_mask(*, share_negatives: bool = False) -> torch.Tensor:
    return in_batch_mask(
        torch.tensor(OWNERS), torch.tensor(POSITIVES), torch.arange(3), share_negatives=share_negatives
    )


def slow_rank_ibn(scores: Rows, *, share_negatives: bool = False) -> float:
    """Equation 3: the own positive, the own hard negatives, the positives of the others, and what is shared."""
    total = 0.0
    for query, column in enumerate(COLUMNS):
        own = math.exp(scores[query][column])
        hard = sum(math.exp(scores[query][d]) for d in range(6) if OWNERS[d] == query and not POSITIVES[d])
        others = sum(math.exp(scores[query][d]) for d in COLUMNS if OWNERS[d] != query)
        shared = sum(math.exp(scores[query][d]) for d in range(6) if OWNERS[d] != query and not POSITIVES[d])
        total -= math.log(own / (own + hard + others + share_negatives * shared))
    return total / len(COLUMNS)


def slow_kl(student: Rows, teacher: Rows, mask: list[list[bool]]) -> float:
    total = 0.0
    for ours, theirs, kept in zip(student, teacher, mask, strict=True):
        places = [place for place, keep in enumerate(kept) if keep]
        q_sum = math.fsum(math.exp(ours[place]) for place in places)
        p_sum = math.fsum(math.exp(theirs[place]) for place in places)
        for place in places:
            p, q = math.exp(theirs[place]) / p_sum, math.exp(ours[place]) / q_sum
            total += p * math.log(p / q)
    return total / len(student)


class TestScores:
    def test_a_score_is_the_sum_over_entries_of_both_weights(self) -> None:
        queries, documents = random(2, 5, seed=1), random(3, 5, seed=2)
        expected = [
            [math.fsum(float(q[j]) * float(d[j]) for j in range(5)) for d in documents.detach()]
            for q in queries.detach()
        ]
        scores = dot_scores(queries, documents)
        torch.testing.assert_close(scores, torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-12)
        assert torch.autograd.gradcheck(dot_scores, (queries, documents))


class TestMask:
    def test_in_the_denominator_stand_ones_own_documents_and_all_positives(self) -> None:
        assert paper_mask().long().tolist() == [[1, 1, 1, 1, 0, 1], [1, 0, 0, 1, 1, 1], [1, 0, 0, 1, 0, 1]]

    def test_hard_negatives_of_others_only_when_shared(self) -> None:
        assert bool(paper_mask(share_negatives=True).all())

    def test_queries_are_known_by_their_numbers(self) -> None:
        mask = in_batch_mask(torch.tensor(OWNERS), torch.tensor(POSITIVES), torch.tensor([2, 0]))
        assert torch.equal(mask, paper_mask()[[2, 0]])


class TestRankIBN:
    @pytest.mark.parametrize("share_negatives", [False, True])
    def test_it_is_the_papers(self, share_negatives: bool) -> None:
        scores = random(3, 6)
        loss = rank_ibn(scores, torch.tensor(COLUMNS), paper_mask(share_negatives=share_negatives))
        slow = slow_rank_ibn(scores.tolist(), share_negatives=share_negatives)
        assert loss.item() == pytest.approx(slow, rel=1e-12)

    def test_its_gradient(self) -> None:
        columns, mask = torch.tensor(COLUMNS), paper_mask()
        scores = random(3, 6)
        assert torch.autograd.gradcheck(lambda x: rank_ibn(x, columns, mask), (scores,))
        rank_ibn(scores, columns, mask).backward()  # type: ignore[no-untyped-call]
        assert scores.grad is not None
        assert torch.equal(scores.grad == 0, ~mask)

    def test_canonical_numbers(self) -> None:
        """Equal scores: the logarithm of how many there are. Alone: nothing to lose."""
        loss = rank_ibn(torch.zeros(3, 6), torch.tensor(COLUMNS), paper_mask())
        assert loss.item() == pytest.approx((math.log(5) + math.log(4) + math.log(3)) / 3)
        alone = torch.tensor([[True]])
        assert rank_ibn(torch.tensor([[7.0]]), torch.tensor([0]), alone).item() == 0.0
        two = rank_ibn(torch.tensor([[0.0, math.log(3)]]), torch.tensor([0]), torch.tensor([[True, True]]))
        assert two.item() == pytest.approx(math.log(4))

    def test_great_scores_overflow_nothing(self) -> None:
        scores = torch.tensor([[2000.0, 1990.0]])
        loss = rank_ibn(scores, torch.tensor([0]), torch.tensor([[True, True]]))
        assert loss.item() == pytest.approx(math.log1p(math.exp(-10)), rel=1e-3)


class TestPairwise:
    def test_it_is_the_logistic_loss_of_the_margin(self) -> None:
        positive, negative = random(2, seed=1), random(2, 3, seed=2)
        pairs = zip(positive.tolist(), negative.tolist(), strict=True)
        slow = [math.log(1 + math.exp(n - p)) for p, row in pairs for n in row]
        assert pairwise(positive, negative).item() == pytest.approx(math.fsum(slow) / 6, rel=1e-12)
        assert torch.autograd.gradcheck(pairwise, (positive, negative))

    def test_canonical_numbers(self) -> None:
        assert pairwise(torch.zeros(1), torch.zeros(1, 1)).item() == pytest.approx(math.log(2))
        assert pairwise(torch.tensor([0.0]), torch.tensor([[1000.0]])).item() == 1000.0


class TestMarginMSE:
    def test_it_is_the_papers(self) -> None:
        p, n, tp, tn = random(2, seed=1), random(2, 3, seed=2), random(2, seed=3), random(2, 3, seed=4)
        slow = [
            ((float(tp[i]) - float(tn[i, j])) - (float(p[i]) - float(n[i, j]))) ** 2 for i in range(2) for j in range(3)
        ]
        assert margin_mse(p, n, tp, tn).item() == pytest.approx(math.fsum(slow) / 6, rel=1e-12)
        teacher = tp.detach(), tn.detach()
        assert torch.autograd.gradcheck(lambda x, y: margin_mse(x, y, *teacher), (p, n))

    def test_only_margins_count(self) -> None:
        """Margins 3 and 5 against the teacher's 1 and 5: (2² + 0²) / 2; a constant on either side changes nothing."""
        p, n = torch.tensor([10.0]), torch.tensor([[7.0, 5.0]])
        tp, tn = torch.tensor([2.0]), torch.tensor([[1.0, -3.0]])
        assert margin_mse(p, n, tp, tn).item() == 2.0
        assert margin_mse(p + 8, n + 8, tp - 4, tn - 4).item() == 2.0


class TestKL:
    mask = torch.tensor([[True, True, False, True], [False, True, True, False]])

    def test_it_is_the_divergence_over_each_querys_documents(self) -> None:
        student, teacher = random(2, 4, seed=1), random(2, 4, seed=2, requires_grad=False)
        slow = slow_kl(student.tolist(), teacher.tolist(), self.mask.tolist())
        assert slow > 0.1
        assert kl_divergence(student, teacher, self.mask).item() == pytest.approx(slow, rel=1e-12)
        assert torch.autograd.gradcheck(lambda x: kl_divergence(x, teacher, self.mask), (student,))

    def test_what_is_masked_has_no_part_in_it_even_if_it_is_no_number(self) -> None:
        student, teacher = random(2, 4, seed=1), random(2, 4, seed=2, requires_grad=False)
        expected = kl_divergence(student, teacher, self.mask)
        expected.backward()  # type: ignore[no-untyped-call]
        dirty = teacher.masked_fill(~self.mask, torch.nan)
        other = student.detach().masked_fill(~self.mask, 1e6).requires_grad_()
        found = kl_divergence(other, dirty, self.mask)
        found.backward()  # type: ignore[no-untyped-call]
        assert found.item() == expected.item()
        assert other.grad is not None
        assert student.grad is not None
        torch.testing.assert_close(other.grad, student.grad)
        assert not other.grad[~self.mask].any()

    def test_it_is_0_when_both_say_the_same_up_to_a_constant(self) -> None:
        student = random(2, 4, seed=1)
        constants = torch.tensor([[5.0], [-300.0]], dtype=torch.float64)
        found = kl_divergence(student, student.detach() + constants, self.mask)
        found.backward()  # type: ignore[no-untyped-call]
        assert found.item() == pytest.approx(0.0, abs=1e-12)
        assert student.grad is not None
        assert student.grad.abs().max() < 1e-12

    def test_a_constant_added_to_all_scores_changes_nothing(self) -> None:
        student, teacher = random(2, 4, seed=1), random(2, 4, seed=2)
        expected = kl_divergence(student, teacher, self.mask).item()
        assert kl_divergence(student + 40, teacher - 17, self.mask).item() == pytest.approx(expected, rel=1e-12)

    def test_canonical_numbers(self) -> None:
        """A teacher that is sure, a student that does not know: log 2. One document alone: nothing to say."""
        two = torch.tensor([[True, True]])
        found = kl_divergence(torch.zeros(1, 2), torch.tensor([[0.0, -200.0]]), two)
        assert found.item() == pytest.approx(math.log(2))
        alone = kl_divergence(torch.tensor([[3.0]]), torch.tensor([[-9.0]]), torch.tensor([[True]]))
        assert alone.item() == 0.0

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_great_scores_are_finite_in_any_precision(self, dtype: torch.dtype) -> None:
        student = torch.tensor([[3000.0, -3000.0, 0.0]], dtype=dtype, requires_grad=True)
        mask = torch.tensor([[True, True, False]])
        found = kl_divergence(student, torch.tensor([[0.0, 10.0, 0.0]]), mask)
        found.backward()  # type: ignore[no-untyped-call]
        assert student.grad is not None
        assert bool(found.isfinite())
        assert bool(student.grad.isfinite().all())
