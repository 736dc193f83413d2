"""The optimizer of a recipe, its learning rates, and the moving average of the weights."""

import math
from typing import Any

import pytest
import torch

from splade_anserini.training.optimizer import RunningMean, build_optimizer, build_schedule
from tests.training_fixtures import recipe, student

WARMUP = [0.0, 0.25, 0.5, 0.75]


class TestOptimizer:
    def learning_rates(self, **changes: Any) -> list[float]:
        chosen = recipe(**({"steps": 10, "warmup_steps": 4, "learning_rate": 1.0} | changes))
        optimizer = build_optimizer(student().pair, chosen)
        schedule = build_schedule(optimizer, chosen)
        rates = []
        for _ in range(12):
            rates.append(schedule.get_last_lr()[0])
            optimizer.step()
            schedule.step()
        return rates

    @pytest.mark.parametrize(
        ("decay", "rates"),
        [
            ("linear", [*WARMUP, *(1 - step / 6 for step in range(7)), 0.0]),
            ("cosine", [*WARMUP, *(0.5 * (1 + math.cos(math.pi * step / 6)) for step in range(7)), 0.0]),
            ("constant", [*WARMUP, *[1.0] * 8]),
        ],
    )
    def test_the_learning_rate_rises_linearly_and_then_follows_the_decay(self, decay: str, rates: list[float]) -> None:
        assert self.learning_rates(decay=decay) == pytest.approx(rates, abs=1e-12)

    def test_without_warmup_the_first_step_has_the_full_learning_rate(self) -> None:
        assert self.learning_rates(warmup_steps=0)[0] == 1.0

    def test_weights_decay_but_biases_and_norms_do_not_and_output_biases_have_their_own_rate(self) -> None:
        pair = student("separate").pair
        names = {id(each): name for name, each in pair.named_parameters()}
        groups = build_optimizer(pair, recipe(bias_learning_rate=0.5, weight_decay=0.1)).param_groups
        settings = {
            names[id(each)]: (group["lr"], group["weight_decay"]) for group in groups for each in group["params"]
        }
        assert settings.keys() == set(names.values())
        for name, setting in settings.items():
            if name in {"documents._layer.bias", "queries._layer.bias"}:
                assert setting == (0.5, 0.0)
            elif name.endswith("bias") or "LayerNorm" in name:
                assert setting == (1e-3, 0.0)
            else:
                assert setting == (1e-3, 0.1)

    def test_output_biases_have_the_common_rate_by_default(self) -> None:
        groups = build_optimizer(student("separate").pair, recipe()).param_groups
        assert {group["lr"] for group in groups} == {1e-3}

    def test_parameters_that_are_not_learned_are_left_out(self) -> None:
        pair = student("doc").pair
        optimized = {id(each) for group in build_optimizer(pair, recipe()).param_groups for each in group["params"]}
        assert optimized == {id(each) for each in pair.documents.parameters()}


class TestRunningMean:
    @pytest.fixture
    def moving(self) -> torch.nn.Parameter:
        return torch.nn.Parameter(torch.ones(3))

    @pytest.fixture
    def fixed(self) -> torch.nn.Parameter:
        return torch.nn.Parameter(torch.zeros(2), requires_grad=False)

    @staticmethod
    def set_values(parameter: torch.nn.Parameter, *values: float) -> None:
        with torch.no_grad():
            parameter.copy_(torch.tensor(values))

    def test_its_decay_is_smaller_in_the_first_updates(
        self, moving: torch.nn.Parameter, fixed: torch.nn.Parameter
    ) -> None:
        mean = RunningMean([moving, fixed], 0.3)
        expected = 1.0
        for step in range(1, 9):
            self.set_values(moving, *[step * step] * 3)
            mean.update()
            decay = min(0.3, step / (step + 10))
            expected = decay * expected + (1 - decay) * step * step
        mean.swap()
        assert moving.tolist() == pytest.approx([expected] * 3)
        assert fixed.tolist() == [0.0, 0.0]

    def test_a_second_swap_restores_the_parameters(self, moving: torch.nn.Parameter, fixed: torch.nn.Parameter) -> None:
        mean = RunningMean([moving, fixed], 0.9)
        self.set_values(moving, 0.1, 0.7, -3.3)
        mean.update()
        values, means = moving.detach().clone(), [each.clone() for each in mean.state_dict()["means"]]
        mean.swap()
        assert not torch.equal(moving, values)
        assert torch.equal(moving, means[0])
        mean.swap()
        assert torch.equal(moving, values)
        assert torch.equal(mean.state_dict()["means"][0], means[0])

    def test_with_a_decay_of_0_the_parameters_stay(self, moving: torch.nn.Parameter, fixed: torch.nn.Parameter) -> None:
        mean = RunningMean([moving, fixed], 0.0)
        mean.update()
        mean.swap()
        assert moving.tolist() == [1.0] * 3

    def test_its_state_is_restored_from_a_checkpoint(
        self, moving: torch.nn.Parameter, fixed: torch.nn.Parameter
    ) -> None:
        mean = RunningMean([moving, fixed], 0.9)
        self.set_values(moving, 5.0, 5.0, 5.0)
        mean.update()
        state = {"means": [each.clone() for each in mean.state_dict()["means"]], "updates": 1}
        assert mean.state_dict()["updates"] == 1
        restored = RunningMean([moving, fixed], 0.9)
        restored.load_state_dict(state)
        mean.update()
        restored.update()
        assert torch.equal(mean.state_dict()["means"][0], restored.state_dict()["means"][0])
        assert restored.state_dict()["updates"] == 2
