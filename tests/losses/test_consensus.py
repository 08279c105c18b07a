# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch

from monai_kd.losses.consensus import ConsensusLoss, consensus_weights
from monai_kd.utils import ConfigError, ShapeMismatchError
from tests.losses.dense_loss_checks import DenseLossChecks
from tests.losses.loss_checks import LossChecks

SIGMA = (1.0, 2.0, 0.5)


def probabilities(z: list[float]) -> list[float]:
    return [math.exp(x) / sum(math.exp(y) for y in z) for x in z]


class TestConsensusLoss(LossChecks):
    scale = 3.0
    mismatches = DenseLossChecks.mismatches
    answer = staticmethod(probabilities)

    def build(self):
        return ConsensusLoss(SIGMA)

    def extras(self, shape):
        return {"labeled": torch.arange(shape[0]) % 2 == 0}

    def oracle(self, input, target, labeled):
        a, b, g = (1 / s**2 for s in SIGMA)
        weight = {True: a * b / (a + b + g), False: a * b / (a + b)}
        total = 0.0
        for known in (True, False):
            apart = []
            for x, y, own in zip(input, target, labeled.tolist(), strict=True):
                rows = zip(*(z.flatten(1).T.tolist() for z in (x.unsqueeze(-1), y.unsqueeze(-1))), strict=True)
                distances = [
                    sum((p - q) ** 2 for p, q in zip(self.answer(s), self.answer(t), strict=True)) for s, t in rows
                ]
                apart += distances if own == known else []
            total += weight[known] * sum(apart) / len(apart) if apart else 0.0
        return total

    def test_mirrored_terms_have_the_gradient_of_one_that_flows_into_both(self):
        a, b = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)[:].unbind()
        labeled, loss = self.extras((5,))["labeled"], self.build()
        mirrored = torch.autograd.grad(loss(a, b, labeled) + loss(b, a, labeled), (a, b))
        square = (a.softmax(1) - b.softmax(1)).square().sum(1)
        *_, known, unknown = consensus_weights(SIGMA)
        whole = torch.autograd.grad(known * square[labeled].mean() + unknown * square[~labeled].mean(), (a, b))
        torch.testing.assert_close(mirrored, whole)

    def test_without_being_told_all_are_labelled(self):
        input, target = self.pair((4, 5))
        assert self.build()(input, target) == self.build()(input, target, torch.ones(4, dtype=torch.bool))

    def test_one_boolean_a_sample(self):
        with pytest.raises(ShapeMismatchError, match=r"labeled is \(3,\).*one boolean a sample"):
            self.build()(torch.zeros(2, 3), torch.zeros(2, 3), torch.ones(3))

    @pytest.mark.parametrize("sigma", [(1, 1), (1, 0, 1), (1, -1, 1)])
    def test_sigma_is_three_positive_numbers(self, sigma):
        with pytest.raises(ConfigError, match="sigma must be"):
            ConsensusLoss(sigma)


class TestConsensusLossOfSigmoid(TestConsensusLoss):
    def build(self):
        return ConsensusLoss(SIGMA, sigmoid=True)

    @staticmethod
    def answer(z):
        return [1 / (1 + math.exp(-x)) for x in z]

    test_mirrored_terms_have_the_gradient_of_one_that_flows_into_both = None  # written for the softmax


def test_weights_are_those_of_the_consensus_that_is_best():
    """Without the consensus: the smallest energy over c is the sum of the weighted squares of all pairs."""
    f_1, f_2, y, (a, b, g) = 0.3, -1.1, 2.0, (1 / s**2 for s in SIGMA)
    c = (a * f_1 + b * f_2 + g * y) / (a + b + g)
    energy = a * (f_1 - c) ** 2 + b * (f_2 - c) ** 2 + g * (c - y) ** 2
    l_1, l_2, l_12, alone = consensus_weights(SIGMA)
    assert l_1 * (y - f_1) ** 2 + l_2 * (y - f_2) ** 2 + l_12 * (f_1 - f_2) ** 2 == pytest.approx(energy)
    c = (a * f_1 + b * f_2) / (a + b)
    assert alone * (f_1 - f_2) ** 2 == pytest.approx(a * (f_1 - c) ** 2 + b * (f_2 - c) ** 2)
