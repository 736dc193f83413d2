"""SPLADE for training: it gives the weights of the encoder, and the checkpoint's own parameters are trained."""

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
from splade_anserini.records import SPLADE_MAX, Aggregation, QuerySide
from splade_anserini.training.batch import GroupTokenizer
from splade_anserini.training.student import build_student
from tests.aggregations import AGGREGATIONS
from tests.tiny import SENTENCES, tiny_checkpoint, tiny_tokenizer, tiny_vocabulary
from tests.training_fixtures import QUERY_SIDES, checkpoint, recipe

BUDGETS = [1, 90, 4096]
"""Tokens in a group: one text, a few texts, all texts."""


def groups(texts: tuple[str, ...] = SENTENCES, budget: int = 90, max_length: int = 40) -> tuple[Group, ...]:
    return GroupTokenizer(tiny_tokenizer(), max_length, budget)(texts)


def positions(groups: tuple[Group, ...]) -> torch.Tensor:
    return torch.cat([group.positions for group in groups])


def splade(model: Splade, texts: tuple[str, ...] = SENTENCES) -> torch.Tensor:
    """The weights as an encoder computes them, one text at a time."""
    return torch.cat([model(group.ids, group.mask) for text in texts for group in groups((text,))])


def gradients(weights: torch.Tensor, parameters: Any) -> list[torch.Tensor]:
    factors = torch.randn(weights.shape, generator=torch.Generator().manual_seed(1))
    return list(torch.autograd.grad((weights * factors).sum(), list(parameters)))


class TestSplade:
    @pytest.mark.parametrize("aggregation", AGGREGATIONS)
    @pytest.mark.parametrize("distilbert", [False, True], ids=["bert", "distilbert"])
    def test_weights_and_the_gradient_of_every_parameter_are_those_of_splade(
        self, distilbert: bool, aggregation: Aggregation
    ) -> None:
        model = checkpoint(distilbert=distilbert)
        trained = TrainableSplade(model, aggregation)
        expected = splade(Splade.of(model, aggregation))
        expected_gradients = gradients(expected, model.model.parameters())
        assert all(bool(gradient.any()) for gradient in expected_gradients)
        for budget in BUDGETS:
            weights = trained(groups(budget=budget))
            torch.testing.assert_close(weights, expected, rtol=1e-5, atol=1e-5)
            pairs = zip(gradients(weights, model.model.parameters()), expected_gradients, strict=True)
            for gradient, reference in pairs:
                near = 1e-5 * max(1.0, float(reference.abs().max()))
                torch.testing.assert_close(gradient, reference, rtol=1e-5, atol=near)

    def test_groups_are_of_different_lengths_and_hold_every_text_once(self) -> None:
        assert len(groups(budget=1)) == len(SENTENCES)
        assert 1 < len(groups(budget=90)) < len(SENTENCES)
        assert sorted(positions(groups(budget=90)).tolist()) == list(range(len(SENTENCES)))
        assert positions(groups(budget=90)).tolist() != list(range(len(SENTENCES)))

    def test_the_parameters_are_the_checkpoints_own(self) -> None:
        model = checkpoint()
        trained = TrainableSplade(model, SPLADE_MAX)
        assert {id(each) for each in trained.parameters()} == {id(each) for each in model.model.parameters()}
        trained(groups()).sum().backward()
        assert all(each.grad is not None for each in model.model.parameters())
        before = trained(groups()).detach()
        with torch.no_grad():
            model.model.get_output_embeddings().bias.add_(0.5)
        assert bool((trained(groups()) > before).any())

    def test_the_checkpoints_model_keeps_its_output_layer_and_mode(self) -> None:
        model = checkpoint()
        before = splade(Splade.of(model))
        TrainableSplade(model, SPLADE_MAX).train()
        assert not model.model.training
        torch.testing.assert_close(splade(Splade.of(model)), before, rtol=0, atol=0)

    @pytest.mark.parametrize("aggregation", AGGREGATIONS)
    def test_special_tokens_have_no_weight_and_no_gradient(self, aggregation: Aggregation) -> None:
        model = checkpoint()
        masked = masked_entries(model.tokenizer, model.vocabulary_size)
        with torch.no_grad():
            model.model.get_output_embeddings().bias.fill_(15.0)  # all other entries are active
        weights = TrainableSplade(model, aggregation)(groups())
        assert not weights[:, masked].any()
        assert int((weights > 0).sum(dim=1).min()) == model.vocabulary_size - len(masked)
        (gradient,) = gradients(weights, [model.model.get_output_embeddings().bias])
        assert not gradient[masked].any()

    @pytest.mark.parametrize("aggregation", AGGREGATIONS)
    def test_special_tokens_have_no_weight_without_a_bias_either(self, aggregation: Aggregation) -> None:
        model = checkpoint()
        layer = model.model.get_output_embeddings()
        shared = model.model.get_input_embeddings().weight
        layer.bias = None
        with torch.no_grad():
            shared.mul_(4.0)
        masked = masked_entries(model.tokenizer, model.vocabulary_size)
        weights = TrainableSplade(model, aggregation)(groups())
        assert bool(weights.any())
        assert not weights[:, masked].any()
        torch.testing.assert_close(weights, splade(Splade.of(model, aggregation)), rtol=1e-5, atol=1e-5)

    def test_dropout_is_applied_in_training_mode_only(self) -> None:
        trained = TrainableSplade(checkpoint(dropout=0.3), SPLADE_MAX)
        assert torch.equal(trained(groups()), trained(groups()))
        trained.train()
        assert not torch.equal(trained(groups()), trained(groups()))
        trained.eval()
        assert torch.equal(trained(groups()), trained(groups()))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_a_model_whose_output_layer_cannot_be_cut_gives_the_same_weights(
        self, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = checkpoint()
        expected = TrainableSplade(model, SPLADE_MAX, dtype)(groups())
        monkeypatch.setattr(module, "cut_output_layer", lambda _model: None)
        whole = TrainableSplade(model, SPLADE_MAX, dtype)
        assert whole.output_bias is None
        weights = whole(groups())
        near = 1e-5 if dtype == torch.float32 else 0.05
        torch.testing.assert_close(weights, expected, rtol=near, atol=near)
        assert {id(each) for each in whole.parameters()} == {id(each) for each in model.model.parameters()}
        whole.train()
        assert not model.model.training

    def test_bfloat16_gives_float32_weights_close_to_the_exact_ones_and_gradients(self) -> None:
        model = checkpoint()
        exact = TrainableSplade(model, SPLADE_MAX)(groups())
        weights = TrainableSplade(model, SPLADE_MAX, torch.bfloat16)(groups())
        assert weights.dtype == torch.float32
        assert 0 < (weights - exact).abs().max().item() < 0.1
        for gradient in gradients(weights, model.model.parameters()):
            assert gradient.dtype == torch.float32
            assert bool(gradient.isfinite().all())

    def test_the_output_bias_is_that_of_the_checkpoint(self) -> None:
        model = checkpoint()
        assert TrainableSplade(model, SPLADE_MAX).output_bias is model.model.get_output_embeddings().bias
        assert TrainableSplade(model, SPLADE_MAX).vocabulary_size == len(tiny_vocabulary())


class TestBag:
    weights = torch.rand(len(tiny_vocabulary()), generator=torch.Generator().manual_seed(3)) - 0.2
    """A fifth of them below 0."""

    def bag(self, *, learned: bool = True) -> BagOfTokens:
        model = checkpoint()
        return BagOfTokens(
            self.weights.clone(), masked_entries(model.tokenizer, model.vocabulary_size), learned=learned
        )

    def reference(self, text: str) -> list[float]:
        ids = {int(token_id) for token_id in groups((text,))[0].ids[0]} - {0, 100, 101, 102, 103}
        return [max(0.0, float(self.weights[j])) if j in ids else 0.0 for j in range(len(self.weights))]

    @pytest.mark.parametrize("budget", BUDGETS)
    def test_a_text_has_each_of_its_own_tokens_once(self, budget: int) -> None:
        weights = self.bag()(groups(budget=budget))
        assert weights.tolist() == [pytest.approx(self.reference(text)) for text in SENTENCES]

    def test_it_gives_the_weights_of_the_query_encoder(self) -> None:
        tokens = tiny_vocabulary()
        identity = EncoderIdentity(
            name="bag", weights="w", tokenizer="t", vocabulary="v", pooling="max", precision="fp32"
        )
        weights = dict(zip(tokens, self.weights.relu().tolist(), strict=True))
        encoder = BagEncoder(
            identity, plain_tokenizer(tiny_tokenizer()), tokens, weights, EncoderOptions(max_length=40)
        )
        for vector, row in zip(encoder.encode(SENTENCES), self.bag()(groups()), strict=True):
            active = np.flatnonzero(row.detach().numpy())
            assert vector == {tokens[j]: pytest.approx(float(row[j].detach())) for j in active}

    def test_the_gradient_of_a_weight_is_the_number_of_texts_with_its_token(self) -> None:
        bag = self.bag()
        bag(groups()).sum().backward()
        expected = torch.tensor([self.reference(text) for text in SENTENCES])
        assert bag.weights.grad is not None
        assert torch.equal(bag.weights.grad, (expected > 0).sum(dim=0).float())

    def test_weights_that_are_not_learned_have_no_gradient(self) -> None:
        assert not self.bag(learned=False)(groups()).requires_grad
        assert self.bag()(groups()).requires_grad


class TestPair:
    def test_queries_and_documents_have_one_module_or_one_each(self) -> None:
        first, second = (TrainableSplade(checkpoint(seed=seed), SPLADE_MAX) for seed in (0, 1))
        document_groups, query_groups = groups(), groups(SENTENCES[:3])
        queries, documents = Pair(first)(query_groups, document_groups)
        assert torch.equal(queries, first(query_groups))
        assert torch.equal(documents, first(document_groups))
        assert len(list(Pair(first).parameters())) == len(list(first.parameters()))
        queries, documents = Pair(first, second)(query_groups, document_groups)
        assert torch.equal(queries, second(query_groups))
        assert torch.equal(documents, first(document_groups))
        assert len(list(Pair(first, second).parameters())) == 2 * len(list(first.parameters()))

    def test_no_groups_give_no_rows(self) -> None:
        module = TrainableSplade(checkpoint(), SPLADE_MAX)
        queries, documents = Pair(module)((), groups())
        assert queries.shape == (0, module.vocabulary_size)
        assert len(documents) == len(SENTENCES)
        queries, documents = Pair(module)(groups(), ())
        assert (len(queries), len(documents)) == (len(SENTENCES), 0)


class TestStudent:
    @pytest.mark.parametrize("side", QUERY_SIDES)
    def test_a_recipe_names_the_query_side(self, side: QuerySide, tmp_path: Any) -> None:
        chosen = recipe(query_side=side, backbone=str(tiny_checkpoint(tmp_path, seed=1)), dropout=0.25)
        documents = checkpoint()
        idf = torch.rand(documents.vocabulary_size)
        made = build_student(chosen, SPLADE_MAX, documents, idf)
        query_groups = groups(SENTENCES[:3])
        queries, _ = made.pair(query_groups, groups())
        expected = {
            "splade": TrainableSplade(documents, SPLADE_MAX)(query_groups),
            "separate": TrainableSplade(checkpoint(seed=1), SPLADE_MAX)(query_groups),
            "doc": (TestBag().bag(learned=False)(query_groups) > 0) | self.off(query_groups),
            "idf": idf * ((TestBag().bag()(query_groups) > 0) | self.off(query_groups)),
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
    def off(query_groups: tuple[Group, ...]) -> torch.Tensor:
        """Tokens whose weight in `TestBag` is below 0."""
        model = checkpoint()
        flipped = BagOfTokens(-TestBag.weights, masked_entries(model.tokenizer, model.vocabulary_size), learned=False)
        return flipped(query_groups) > 0
