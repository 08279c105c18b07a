# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch

from monai_kd.losses.dkd import DKDLoss
from monai_kd.losses.kd import KDLoss
from monai_kd.utils import ConfigError
from tests.losses.dense_loss_checks import LabeledLossChecks


def softmax(logits: list[float], temperature: float = 1.0) -> list[float]:
    powers = [math.exp((z - max(logits)) / temperature) for z in logits]
    return [x / sum(powers) for x in powers]


def kl(p: list[float], q: list[float]) -> float:
    return sum(a * (math.log(a) - math.log(b)) for a, b in zip(p, q, strict=True) if a)


class TestDKDLoss(LabeledLossChecks):
    def build(self, **options):
        return DKDLoss(alpha=1.5, beta=6.0, temperature=3.0, **options)

    def row(self, student, teacher, label):
        p_s, p_t = softmax(student, 3.0), softmax(teacher, 3.0)
        true = kl([p_t[label], sum(p_t) - p_t[label]], [p_s[label], sum(p_s) - p_s[label]])
        rest_s, rest_t = (softmax([z for c, z in enumerate(x) if c != label], 3.0) for x in (student, teacher))
        return 9.0 * (1.5 * true + 6.0 * kl(rest_t, rest_s))

    def test_is_kd_where_the_weights_are_those_of_kd(self):
        """The paper's identity: KD = KL(b) + (1 - p_t,y) KL(rest)."""
        (input, target), label = self.pair((1, 5)), torch.tensor([2])
        beta = 1 - float((target / 3).softmax(1)[0, 2])
        value = DKDLoss(1.0, beta, 3.0)(input, target, label=label)
        assert value.item() == pytest.approx(KDLoss(3.0)(input, target).item(), rel=1e-10)

    @pytest.mark.parametrize(("dtype", "std"), [(torch.float16, 10.0), (torch.float32, 50.0), (torch.float32, 3e3)])
    def test_sharp_logits_are_finite(self, dtype, std):
        """Defect 8: log of a sum of softmax entries was not a number at these sizes."""
        input, target = ((std * torch.randn(64, 100)).to(dtype) for _ in range(2))
        label = torch.randint(100, (64,))
        value, gradient = self.run(DKDLoss(temperature=1.0), input, target, label=label)
        assert value.isfinite() and gradient.isfinite().all() and gradient.abs().max() > 0

    def test_two_classes_are_refused_with_the_reason(self):
        """Defect 8, too: the second part would be 0 for whatever networks."""
        with pytest.raises(ConfigError, match=r"DKDLoss: .*of two classes only one is left.*use KDLoss"):
            DKDLoss()(torch.zeros(2, 2), torch.zeros(2, 2), label=torch.zeros(2))

    def test_either_part_may_be_left_out(self, shape):
        (input, target), extras = self.pair(shape), self.extras(shape)
        parts = [DKDLoss(a, b, 3.0)(input, target, **extras) for a, b in ((1.5, 0.0), (0.0, 6.0))]
        torch.testing.assert_close(sum(parts), self.build()(input, target, **extras))
        assert all(part > 0 for part in parts)

    @pytest.mark.parametrize("weights", [(0.0, 0.0), (-1.0, 2.0), (math.nan, 1.0), (math.inf, 1.0)])
    def test_impossible_weights_are_refused(self, weights):
        with pytest.raises(ConfigError, match="alpha and beta must be finite, none below 0, not all 0"):
            DKDLoss(*weights)

    def test_defaults_are_the_papers(self):
        loss = DKDLoss()
        assert (loss.alpha, loss.beta, loss.temperature) == (1, 8, 4)
