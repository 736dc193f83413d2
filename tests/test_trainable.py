"""Facts of SPLADE for training: it is the SPLADE that encodes, and its checkpoint is what learns."""

from typing import Any

import numpy as np
import pytest
import torch

from splade_anserini.artifacts.manifests import EncoderIdentity
from splade_anserini.encoding.bag import BagEncoder
from splade_anserini.encoding.options import EncoderOptions
from splade_anserini.modeling import trainable as module
from splade_anserini.modeling.checkpoint import Checkpoint
from splade_anserini.modeling.query_sides import BagOfTokens, Pair
from splade_anserini.modeling.splade import Splade
from splade_anserini.modeling.trainable import Group, TrainableSplade
from splade_anserini.modeling.vocabulary import masked_entries, plain_tokenizer
from splade_anserini.records import POOLINGS, Pooling, QuerySide
from splade_anserini.training.batch import GroupTokenizer
from splade_anserini.training.student import build_student
from tests.tiny import SENTENCES, tiny_checkpoint, tiny_tokenizer, tiny_vocabulary
from tests.training_fixtures import QUERY_SIDES, checkpoint, recipe

BUDGETS = [1, 90, 4096]
"""Tokens in a group: a text alone, a few together, all at once."""


def groups(texts: tuple[str, ...] = SENTENCES, budget: int = 90, max_length: int = 40) -> tuple[Group, ...]:
    return GroupTokenizer(tiny_tokenizer(), max_length, budget)(texts)


def together(some: tuple[Group, ...]) -> torch.Tensor:
    return torch.cat([group.positions for group in some])


def splade(model: Splade, texts: tuple[str, ...] = SENTENCES) -> torch.Tensor:
    """The weights as an encoder computes them, a text at a time."""
    return torch.cat([model(group.ids, group.mask) for text in texts for group in groups((text,))])


def gradients(weights: torch.Tensor, of: Any) -> list[torch.Tensor]:
    factors = torch.randn(weights.shape, generator=torch.Generator().manual_seed(1))
    return list(torch.autograd.grad((weights * factors).sum(), list(of)))


class TestSplade:
    @pytest.mark.parametrize("pooling", POOLINGS)
    @pytest.mark.parametrize("distilbert", [False, True], ids=["bert", "distilbert"])
    def test_weights_and_the_gradient_of_every_parameter_are_those_of_splade(
        self, distilbert: bool, pooling: Pooling
    ) -> None:
        some = checkpoint(distilbert=distilbert)
        trained = TrainableSplade(some, pooling)
        expected = splade(Splade.of(some, pooling))
        slopes = gradients(expected, some.model.parameters())
        assert all(bool(slope.any()) for slope in slopes)
        for budget in BUDGETS:
            found = trained(groups(budget=budget))
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
            for mine, theirs in zip(gradients(found, some.model.parameters()), slopes, strict=True):
                torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5 * max(1.0, float(theirs.abs().max())))

    def test_groups_are_of_different_lengths_and_hold_every_text_once(self) -> None:
        assert len(groups(budget=1)) == len(SENTENCES)
        assert 1 < len(groups(budget=90)) < len(SENTENCES)
        assert sorted(together(groups(budget=90)).tolist()) == list(range(len(SENTENCES)))
        assert together(groups(budget=90)).tolist() != list(range(len(SENTENCES)))

    def test_the_parameters_that_learn_are_the_checkpoints_own(self) -> None:
        some = checkpoint()
        trained = TrainableSplade(some, "max")
        assert {id(each) for each in trained.parameters()} == {id(each) for each in some.model.parameters()}
        trained(groups()).sum().backward()
        assert all(each.grad is not None for each in some.model.parameters())
        before = trained(groups()).detach()
        with torch.no_grad():
            some.model.get_output_embeddings().bias.add_(0.5)
        assert bool((trained(groups()) > before).any())

    def test_making_it_leaves_the_model_whole(self) -> None:
        some = checkpoint()
        before = splade(Splade.of(some))
        TrainableSplade(some, "max").train()
        assert not some.model.training
        torch.testing.assert_close(splade(Splade.of(some)), before, rtol=0, atol=0)

    @pytest.mark.parametrize("pooling", POOLINGS)
    def test_special_tokens_are_off_for_good(self, pooling: Pooling) -> None:
        some = checkpoint()
        silenced = masked_entries(some.tokenizer, some.vocabulary_size)
        with torch.no_grad():
            some.model.get_output_embeddings().bias.fill_(15.0)  # every entry is active, were it not for that
        weights = TrainableSplade(some, pooling)(groups())
        assert not weights[:, silenced].any()
        assert int((weights > 0).sum(dim=1).min()) == some.vocabulary_size - len(silenced)
        (slope,) = gradients(weights, [some.model.get_output_embeddings().bias])
        assert not slope[silenced].any()

    @pytest.mark.parametrize("pooling", POOLINGS)
    def test_special_tokens_are_off_without_a_bias_too(self, pooling: Pooling) -> None:
        some = checkpoint()
        layer = some.model.get_output_embeddings()
        shared = some.model.get_input_embeddings().weight
        layer.bias = None
        with torch.no_grad():
            shared.mul_(4.0)
        silenced = masked_entries(some.tokenizer, some.vocabulary_size)
        weights = TrainableSplade(some, pooling)(groups())
        assert bool(weights.any())
        assert not weights[:, silenced].any()
        torch.testing.assert_close(weights, splade(Splade.of(some, pooling)), rtol=1e-5, atol=1e-5)

    def test_dropout_is_there_in_training_alone(self) -> None:
        trained = TrainableSplade(checkpoint(dropout=0.3), "max")
        assert torch.equal(trained(groups()), trained(groups()))
        trained.train()
        assert not torch.equal(trained(groups()), trained(groups()))
        trained.eval()
        assert torch.equal(trained(groups()), trained(groups()))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_a_model_whose_output_layer_cannot_be_cut_gives_the_same(
        self, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        some = checkpoint()
        expected = TrainableSplade(some, "max", dtype)(groups())
        monkeypatch.setattr(module, "cut_output_layer", lambda _model: None)
        whole = TrainableSplade(some, "max", dtype)
        assert whole.output_bias is None
        found = whole(groups())
        near = 1e-5 if dtype == torch.float32 else 0.05
        torch.testing.assert_close(found, expected, rtol=near, atol=near)
        assert {id(each) for each in whole.parameters()} == {id(each) for each in some.model.parameters()}
        whole.train()
        assert not some.model.training

    def test_bfloat16_gives_float32_weights_near_the_exact_ones_and_gradients(self) -> None:
        some = checkpoint()
        exact = TrainableSplade(some, "max")(groups())
        found = TrainableSplade(some, "max", torch.bfloat16)(groups())
        assert found.dtype == torch.float32
        assert 0 < (found - exact).abs().max().item() < 0.1
        for slope in gradients(found, some.model.parameters()):
            assert slope.dtype == torch.float32
            assert bool(slope.isfinite().all())

    def test_the_output_bias_is_told(self) -> None:
        some = checkpoint()
        assert TrainableSplade(some, "max").output_bias is some.model.get_output_embeddings().bias
        assert TrainableSplade(some, "max").vocabulary_size == len(tiny_vocabulary())


class TestBag:
    weights = torch.rand(len(tiny_vocabulary()), generator=torch.Generator().manual_seed(3)) - 0.2
    """A fifth of them below 0."""

    def bag(self, *, learned: bool = True) -> BagOfTokens:
        some = checkpoint()
        return BagOfTokens(self.weights.clone(), masked_entries(some.tokenizer, some.vocabulary_size), learned=learned)

    def slowly(self, text: str) -> list[float]:
        ids = {int(number) for number in groups((text,))[0].ids[0]} - {0, 100, 101, 102, 103}
        return [max(0.0, float(self.weights[j])) if j in ids else 0.0 for j in range(len(self.weights))]

    @pytest.mark.parametrize("budget", BUDGETS)
    def test_a_text_is_its_own_tokens_each_once(self, budget: int) -> None:
        found = self.bag()(groups(budget=budget))
        assert found.tolist() == [pytest.approx(self.slowly(text)) for text in SENTENCES]

    def test_it_is_the_bag_that_encodes_queries(self) -> None:
        tokens = tiny_vocabulary()
        identity = EncoderIdentity(
            name="bag", weights="w", tokenizer="t", vocabulary="v", pooling="max", precision="fp32"
        )
        known = dict(zip(tokens, self.weights.relu().tolist(), strict=True))
        encoder = BagEncoder(identity, plain_tokenizer(tiny_tokenizer()), tokens, known, EncoderOptions(max_length=40))
        for vector, row in zip(encoder.encode(SENTENCES), self.bag()(groups()), strict=True):
            active = np.flatnonzero(row.detach().numpy())
            assert vector == {tokens[j]: pytest.approx(float(row[j].detach())) for j in active}

    def test_the_gradient_of_a_weight_is_how_many_texts_hold_its_token(self) -> None:
        bag = self.bag()
        bag(groups()).sum().backward()
        slow = torch.tensor([self.slowly(text) for text in SENTENCES])
        assert bag.weights.grad is not None
        assert torch.equal(bag.weights.grad, (slow > 0).sum(dim=0).float())

    def test_what_is_not_learned_has_no_gradient(self) -> None:
        assert not self.bag(learned=False)(groups()).requires_grad
        assert self.bag()(groups()).requires_grad


class TestPair:
    def test_one_module_serves_both_sides_or_each_has_its_own(self) -> None:
        one, other = (TrainableSplade(checkpoint(seed=seed), "max") for seed in (0, 1))
        texts, questions = groups(), groups(SENTENCES[:3])
        queries, documents = Pair(one)(questions, texts)
        assert torch.equal(queries, one(questions))
        assert torch.equal(documents, one(texts))
        assert len(list(Pair(one).parameters())) == len(list(one.parameters()))
        queries, documents = Pair(one, other)(questions, texts)
        assert torch.equal(queries, other(questions))
        assert torch.equal(documents, one(texts))
        assert len(list(Pair(one, other).parameters())) == 2 * len(list(one.parameters()))

    def test_of_no_groups_there_are_no_rows(self) -> None:
        one = TrainableSplade(checkpoint(), "max")
        queries, documents = Pair(one)((), groups())
        assert queries.shape == (0, one.vocabulary_size)
        assert len(documents) == len(SENTENCES)
        queries, documents = Pair(one)(groups(), ())
        assert (len(queries), len(documents)) == (len(SENTENCES), 0)


class TestStudent:
    @pytest.mark.parametrize("side", QUERY_SIDES)
    def test_a_recipe_names_the_query_side(self, side: QuerySide, tmp_path: Any) -> None:
        chosen = recipe(query_side=side, backbone=str(tiny_checkpoint(tmp_path, seed=1)), dropout=0.25)
        documents = checkpoint()
        idf = torch.rand(documents.vocabulary_size)
        made = build_student(chosen, "max", documents, idf)
        questions = groups(SENTENCES[:3])
        queries, _ = made.pair(questions, groups())
        expected = {
            "splade": TrainableSplade(documents, "max")(questions),
            "separate": TrainableSplade(checkpoint(seed=1), "max")(questions),
            "doc": (TestBag().bag(learned=False)(questions) > 0) | self.off(questions),
            "idf": idf * ((TestBag().bag()(questions) > 0) | self.off(questions)),
        }[side]
        torch.testing.assert_close(queries, expected.float())
        learned = sum(each.requires_grad for each in made.pair.parameters())
        of_model = len(list(documents.model.parameters()))
        assert learned == {"splade": of_model, "separate": 2 * of_model, "doc": of_model, "idf": of_model + 1}[side]
        assert (made.queries is not None) == (side == "separate")
        if isinstance(made.queries, Checkpoint):
            rates = {each.p for each in made.queries.model.modules() if isinstance(each, torch.nn.Dropout)}
            assert rates == {0.25}

    @staticmethod
    def off(questions: tuple[Group, ...]) -> torch.Tensor:
        """Tokens whose weight in `TestBag` is below 0."""
        some = checkpoint()
        flipped = BagOfTokens(-TestBag.weights, masked_entries(some.tokenizer, some.vocabulary_size), learned=False)
        return flipped(questions) > 0
