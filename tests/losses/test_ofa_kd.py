# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch

from monai_kd.losses.ofa_kd import OFAKDLoss
from monai_kd.utils import ConfigError
from tests.losses.dense_loss_checks import LabeledLossChecks


def softmax(logits: list[float], temperature: float = 1.0) -> list[float]:
    powers = [math.exp((z - max(logits)) / temperature) for z in logits]
    return [x / sum(powers) for x in powers]


class TestOFAKDLoss(LabeledLossChecks):
    test_identical_networks_give_zero = None  # a cross-entropy with an enhanced teacher
    test_different_networks_give_more = None  # its minimum is not at the teacher

    def build(self, **options):
        return OFAKDLoss(gamma=1.4, **options)

    def row(self, student, teacher, label):
        p_s, p_t = softmax(student), softmax(teacher)
        weights = [(p + (c == label)) ** 1.4 - (c == label) for c, p in enumerate(p_t)]
        return -sum(w * math.log(p) for w, p in zip(weights, p_s, strict=True))

    def test_without_enhancement_the_minimum_is_the_teacher(self, shape):
        (_, target), extras = self.pair(shape), self.extras(shape)
        value, gradient = self.run(OFAKDLoss(gamma=1.0), target.clone(), target, **extras)
        entropy = -(target.softmax(1) * target.log_softmax(1)).sum(1).mean()
        torch.testing.assert_close(value, entropy)
        assert gradient.abs().max() < 1e-12

    def test_gamma_below_one_is_refused(self):
        with pytest.raises(ConfigError, match="gamma must be at least 1"):
            OFAKDLoss(0.5)
