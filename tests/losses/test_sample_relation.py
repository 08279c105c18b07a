# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch

from monai_kd.losses.sample_relation import SampleRelationLoss
from monai_kd.utils import ShapeMismatchError
from tests.losses.loss_checks import LossChecks


class TestSampleRelationLoss(LossChecks):
    shapes = ((4, 5), (3, 3, 4, 5), (3, 3, 2, 3, 4))
    mismatches = (
        ((2, 3), (1, 3), ShapeMismatchError, r"student is \(2, 3\), teacher \(1, 3\)"),
        ((2, 3, 4, 4), (4, 3, 4, 4), ShapeMismatchError, "same N samples"),
        ((2,), (2,), ShapeMismatchError, "features"),
    )

    def build(self):
        return SampleRelationLoss()

    def relation(self, features: torch.Tensor) -> list[float]:
        samples = features.flatten(1).tolist()
        gram = [[sum(x * y for x, y in zip(a, b, strict=True)) for b in samples] for a in samples]
        norms = [math.sqrt(sum(g * g for g in row)) for row in gram]
        return [g / norm for row, norm in zip(gram, norms, strict=True) for g in row]

    def oracle(self, input, target):
        pairs = zip(self.relation(input), self.relation(target), strict=True)
        return sum((s - t) ** 2 for s, t in pairs) / len(input)

    def test_widths_may_differ(self):
        input, target = torch.randn(4, 5).double(), torch.randn(4, 7, 3, 3).double()
        assert self.build()(input, target).item() == pytest.approx(self.oracle(input, target), rel=1e-10)

    def test_rows_have_length_one(self):
        """Orthogonal against identical samples: (1, 0) - (1, 1) / sqrt(2); with L1 rows it would be 1/2."""
        value = self.build()(torch.eye(2, dtype=torch.float64), torch.ones(2, 3, dtype=torch.float64))
        assert value.item() == pytest.approx(2 - math.sqrt(2))

    def test_a_single_sample_relates_to_nobody(self):
        value, gradient = self.run(self.build(), *self.pair((1, 5)))
        assert abs(value) < 1e-12 and gradient.abs().max() < 1e-12

    def test_scale_of_the_features_does_not_matter(self, shape):
        input, target = self.pair(shape, torch.float32)
        for factor in (1e-6, 1e6):
            torch.testing.assert_close(self.build()(factor * input, target), self.build()(input, target))

    def test_rotated_features_relate_alike(self):
        _, target = self.pair((4, 5))
        rotation, _ = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64))
        assert self.build()(7 * target @ rotation, target) < 1e-20

    def test_term_knows_that_rows_belong_together(self):
        assert SampleRelationLoss.relational is True
