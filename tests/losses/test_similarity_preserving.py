# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_kd.losses.similarity_preserving import SimilarityPreservingLoss
from tests.losses.relation_checks import RelationChecks


class TestSimilarityPreservingLoss(RelationChecks):
    def build(self):
        return SimilarityPreservingLoss()

    def relation(self, features):
        samples = features.flatten(1).tolist()
        gram = [[sum(x * y for x, y in zip(a, b, strict=True)) for b in samples] for a in samples]
        return [g / sum(x * x for x in row) ** 0.5 for row in gram for g in row]

    def oracle(self, input, target):
        pairs = zip(self.relation(input), self.relation(target), strict=True)
        return sum((s - t) ** 2 for s, t in pairs) / len(input) ** 2

    def test_rows_have_l2_length_one(self):
        """Defect 17: with the L1 norm this would be 1/8."""
        value = self.build()(torch.eye(2, dtype=torch.float64), torch.ones(2, 3, dtype=torch.float64))
        assert value.item() == pytest.approx(1 - 2**-0.5)
