# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch

from monai_kd.losses.correlation_congruence import CorrelationCongruenceLoss
from monai_kd.utils import ConfigError
from tests.losses.relation_checks import RelationChecks, cosine


class TestCorrelationCongruenceLoss(RelationChecks):
    def build(self):
        return CorrelationCongruenceLoss(gamma=0.6)

    def kernel(self, features):
        samples = features.flatten(1).tolist()
        series = [
            [sum((1.2 * cosine(a, b)) ** p / math.factorial(p) for p in range(3)) for b in samples] for a in samples
        ]
        return [math.exp(-1.2) * k for row in series for k in row]

    def oracle(self, input, target):
        pairs = list(zip(self.kernel(input), self.kernel(target), strict=True))
        return sum((s - t) ** 2 for s, t in pairs) / len(pairs)  # defect 18: the norm is squared

    def test_is_nearly_the_gaussian_of_distances(self):
        """For embeddings that are near each other, within the third power that the series leaves out."""
        x = torch.nn.functional.normalize(torch.randn(5, 8, dtype=torch.float64))
        series = CorrelationCongruenceLoss(gamma=0.1)._kernel(x @ x.T)
        torch.testing.assert_close(series, torch.exp(-0.1 * torch.cdist(x, x) ** 2), atol=2e-3, rtol=0)

    def test_gamma_must_be_positive(self):
        with pytest.raises(ConfigError, match="gamma must be a positive number"):
            CorrelationCongruenceLoss(0.0)
