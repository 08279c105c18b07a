# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_kd.losses.region_context import RegionContextLoss
from tests.losses.region_checks import RegionChecks, regions


class TestRegionContextLoss(RegionChecks):
    def build(self):
        return RegionContextLoss(num_classes=4)

    def oracle(self, input, target, label):
        values = []
        for (s, classes), (t, _) in zip(regions(input, label), regions(target, label), strict=True):
            present = sorted({c for c in classes if c >= 0})
            weights = [classes.count(c) ** -0.5 for c in present]
            value = 0.0
            for c, w in zip(present, weights, strict=True):
                places = [i for i, y in enumerate(classes) if y == c]
                squares = [sum((a - b) ** 2 for a, b in zip(s[i], t[i], strict=True)) / len(s[i]) for i in places]
                value += w / (sum(weights) / len(weights)) * sum(squares) / len(squares)
            values.append(value)
        return sum(values) / len(values)

    def test_a_small_class_counts_more_than_its_size(self):
        """Three places of one class, one of the other, each wrong by 1: weights 1 / sqrt(3) and 1, of mean 1."""
        label, target = torch.tensor([[0, 0, 0, 1]]), torch.zeros(1, 1, 4)
        large, small = torch.tensor([[[1.0, 1.0, 1.0, 0.0]]]), torch.tensor([[[0.0, 0.0, 0.0, 1.0]]])
        values = [self.build()(x, target, label=label).item() for x in (large, small)]
        assert values[1] / values[0] == pytest.approx(3**0.5) and sum(values) == pytest.approx(2)
