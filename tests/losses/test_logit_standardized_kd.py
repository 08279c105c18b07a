# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
import statistics

import pytest
import torch

from monai_kd.losses.logit_standardized_kd import LogitStandardizedKDLoss
from monai_kd.utils import ConfigError
from tests.losses.dense_loss_checks import DenseLossChecks


def softmax(logits: list[float], temperature: float = 1.0) -> list[float]:
    powers = [math.exp((z - max(logits)) / temperature) for z in logits]
    return [x / sum(powers) for x in powers]


def kl(p: list[float], q: list[float]) -> float:
    return sum(a * (math.log(a) - math.log(b)) for a, b in zip(p, q, strict=True) if a)


def standardised(logits: list[float]) -> list[float]:
    mean, deviation = statistics.fmean(logits), statistics.stdev(logits)
    return [(z - mean) / (deviation + 1e-7) for z in logits]


class TestLogitStandardizedKDLoss(DenseLossChecks):
    def build(self, **options):
        return LogitStandardizedKDLoss(temperature=3.0, **options)

    def row(self, student, teacher):
        return 9.0 * kl(softmax(standardised(teacher), 3.0), softmax(standardised(student), 3.0))

    def test_shift_and_scale_do_not_matter(self, shape):
        input, target = self.pair(shape)
        value = self.build()(1e3 * input - 7, target)
        torch.testing.assert_close(value, self.build()(input, target), rtol=1e-5, atol=0)

    def test_equal_logits_are_uniform(self):
        value, gradient = self.run(self.build(), torch.ones(2, 3), torch.tensor([[3.0, 0.0, 1.0]] * 2))
        assert value > 0 and gradient.isfinite().all()

    def test_one_class_is_refused(self):
        with pytest.raises(ConfigError, match="softmax over one class"):
            self.build()(torch.zeros(2, 1), torch.zeros(2, 1))
