# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch

from monai_kd.losses.margin_kd import MarginKDLoss
from monai_kd.utils import ConfigError
from tests.losses.dense_loss_checks import LabeledLossChecks


def softmax(logits: list[float], temperature: float = 1.0) -> list[float]:
    powers = [math.exp((z - max(logits)) / temperature) for z in logits]
    return [x / sum(powers) for x in powers]


class TestMarginKDLoss(LabeledLossChecks):
    test_identical_networks_give_zero = None  # the student must lead by the margin
    test_different_networks_give_more = None  # it may give less: a surer student is what is wanted

    def build(self, **options):
        return MarginKDLoss(margin=0.3, **options)

    def row(self, student, teacher, label):
        return max(0.0, softmax(teacher)[label] - softmax(student)[label] + 0.3)

    def test_identical_networks_give_the_margin(self, shape):
        (_, target), extras = self.pair(shape), self.extras(shape)
        assert self.build()(target, target, **extras).item() == pytest.approx(0.3)

    def test_a_student_that_leads_is_left_alone(self):
        value, gradient = self.run(self.build(), torch.tensor([[9.0, 0.0]]), torch.zeros(1, 2), label=torch.tensor([0]))
        assert value == 0 and torch.equal(gradient, torch.zeros_like(gradient))

    @pytest.mark.parametrize("margin", [-0.1, 1.1, math.nan])
    def test_margin_is_a_difference_of_probabilities(self, margin):
        with pytest.raises(ConfigError, match=r"margin must be in \[0, 1\]"):
            MarginKDLoss(margin)
