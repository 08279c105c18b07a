# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from monai_kd.losses.kd import KDLoss
from monai_kd.utils import ConfigError
from tests.losses.dense_loss_checks import DenseLossChecks


def softmax(logits: list[float], temperature: float = 1.0) -> list[float]:
    powers = [math.exp((z - max(logits)) / temperature) for z in logits]
    return [x / sum(powers) for x in powers]


class TestKDLoss(DenseLossChecks):
    def build(self, **options):
        return KDLoss(temperature=3.0, **options)

    def row(self, student, teacher):
        pairs = zip(softmax(student, 3.0), softmax(teacher, 3.0), strict=True)
        return 3.0**2 * sum(p_t * (math.log(p_t) - math.log(p_s)) for p_s, p_t in pairs)

    def test_default_temperature_is_4(self):
        input, target = self.pair((4, 5))
        torch.testing.assert_close(KDLoss()(input, target), 16 * KDLoss(1)(input / 4, target / 4))

    def test_temperature_keeps_the_size_of_the_gradient(self):
        input, target = self.pair((4, 5), apart=0.1)
        _, warm = self.run(KDLoss(50.0), input, target)
        _, hot = self.run(KDLoss(100.0), input, target)
        torch.testing.assert_close(warm, hot, rtol=0.1, atol=1e-4)

    def test_classes_are_summed_not_averaged(self):
        """Two classes repeated fifty times, at a fiftieth of the probability each, say the same."""
        input, target = self.pair((4, 2))
        torch.testing.assert_close(
            self.build()(input.repeat(1, 50), target.repeat(1, 50)), self.build()(input, target), rtol=1e-10, atol=0
        )

    @pytest.mark.parametrize(("dtype", "std"), [(torch.float16, 10.0), (torch.float32, 50.0), (torch.float32, 3e3)])
    def test_sharp_logits_are_exact(self, dtype, std):
        input, target = (std * torch.randn(64, 100) for _ in range(2))
        input, target = input.to(dtype), target.to(dtype)
        value, gradient = self.run(KDLoss(1.0), input, target)
        log_s, log_t = (x.double().log_softmax(1) for x in (input, target))
        exact = (log_t.exp() * (log_t - log_s)).sum(1).mean()
        assert value.item() == pytest.approx(exact.item(), rel=1e-5)
        assert (gradient - (log_s.exp() - log_t.exp()) / 64).abs().max() < 1e-5

    @pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
    def test_opposite_and_certain_networks_are_finite(self, temperature):
        target = torch.tensor([[6e4, -6e4, 0.0]], dtype=torch.float16)
        value, gradient = self.run(KDLoss(temperature), -target, target)
        assert value.item() == pytest.approx(temperature * 12e4, rel=1e-3)
        assert gradient.isfinite().all() and gradient.abs().max() > 0

    def test_is_never_negative(self):
        for apart in (1e-6, 1e-4, 1e-2, 1.0):
            input, target = self.pair((1000, 5), torch.float32, apart=apart)
            assert (KDLoss(reduction="none")(input, target) >= 0).all()

    def test_one_class_is_refused(self):
        with pytest.raises(ConfigError, match=r"KDLoss: .*softmax over one class.*use BinaryKDLoss"):
            KDLoss()(torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 4))

    @pytest.mark.parametrize("temperature", [0, -1.0, math.nan, math.inf])
    def test_temperature_must_be_positive(self, temperature):
        with pytest.raises(ConfigError, match="temperature must be a positive number"):
            KDLoss(temperature)

    def test_temperature_may_be_scheduled(self):
        loss, (input, target) = KDLoss(), self.pair((4, 5))
        loss.temperature = 2.0
        assert torch.equal(loss(input, target), KDLoss(2.0)(input, target))

    def test_arguments_have_names(self):
        input, target = self.pair((4, 5))
        value = KDLoss()(target=target, input=input)
        assert isinstance(value, Tensor) and torch.equal(value, KDLoss()(input, target))
