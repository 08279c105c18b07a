# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch

from monai_kd.losses.probability_mse import ProbabilityMSELoss
from monai_kd.losses.uncertainty_masked_consistency import UncertaintyMaskedConsistencyLoss
from monai_kd.utils import ClassMismatchError, ConfigError, ShapeMismatchError
from tests.losses.mask_checks import MaskChecks


def softmax(logits: list[float]) -> list[float]:
    powers = [math.exp(z - max(logits)) for z in logits]
    return [x / sum(powers) for x in powers]


class TestUncertaintyMaskedConsistencyLoss(MaskChecks):
    shapes = ((8, 5), (2, 3, 4, 5), (2, 3, 2, 3, 4))
    scale = 3.0
    mismatches = (
        ((2, 3), (2, 5), ClassMismatchError, "student has 3 classes, teacher 5"),
        ((2, 3, 4, 4), (2, 3, 4, 1), ShapeMismatchError, r"teacher \(2, 3, 4, 1\)"),
    )

    def build(self):
        return UncertaintyMaskedConsistencyLoss(threshold=0.8)

    def extras(self, shape):
        g = torch.Generator().manual_seed(2)
        return {"probability": (2 * torch.randn(shape, generator=g, dtype=torch.float64)).softmax(1)}

    def oracle(self, input, target, probability, mask=None):
        w = [1.0] * (input.numel() // input.shape[1]) if mask is None else mask.flatten().tolist()
        total, count = 0.0, 0.0
        rows = (x.movedim(1, -1).flatten(0, -2).tolist() for x in (input, target, probability))
        for s, t, mean, weight in zip(*rows, w, strict=True):
            if -sum(p * math.log(p) for p in mean) < 0.8 * math.log(len(mean)):
                total += weight * sum((a - b) ** 2 for a, b in zip(softmax(s), softmax(t), strict=True)) / len(s)
                count += weight
        return total / count

    def test_batch_of_one(self, shape):
        self.assert_finite(*self.pair((1, *shape[1:])), **self.extras((1, *shape[1:])))

    def test_an_unsure_teacher_is_not_followed(self, shape):
        (input, target), mean = self.pair(shape), torch.full(shape, 1 / shape[1])
        value, gradient = self.run(self.build(), input, target, probability=mean)
        assert value == 0 and torch.equal(gradient, torch.zeros_like(gradient))

    def test_a_sure_teacher_is_followed_everywhere(self, shape):
        (input, target), mean = self.pair(shape), torch.zeros(shape)
        mean[:, 0] = 1
        value = self.build()(input, target, probability=mean)
        torch.testing.assert_close(value, ProbabilityMSELoss()(input, target))

    def test_threshold_may_be_scheduled(self, shape):
        (input, target), extras, loss = self.pair(shape), self.extras(shape), self.build()
        loss.threshold = 1.01
        torch.testing.assert_close(loss(input, target, **extras), ProbabilityMSELoss()(input, target))

    def test_threshold_must_be_positive(self):
        with pytest.raises(ConfigError, match="threshold must be a positive number"):
            UncertaintyMaskedConsistencyLoss(0)
