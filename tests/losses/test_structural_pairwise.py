# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from monai_kd.losses.structural_pairwise import StructuralPairwiseLoss
from monai_kd.utils import ConfigError, ShapeMismatchError
from tests.losses.loss_checks import LossChecks
from tests.losses.relation_checks import cosine


class TestStructuralPairwiseLoss(LossChecks):
    shapes = ((4, 5, 6), (2, 3, 4, 5), (2, 3, 2, 3, 4), (2, 9, 2, 2))
    mismatches = (
        ((2, 3, 4, 4), (1, 3, 4, 4), ShapeMismatchError, "same N samples"),
        ((2, 3, 4, 4), (2, 3, 4, 2), ShapeMismatchError, "`Connector`"),
        ((2, 3), (2, 3), ShapeMismatchError, "1, 2 or 3 spatial axes"),
    )

    def build(self):
        return StructuralPairwiseLoss(pool=1)

    def affinities(self, features):
        for sample in features.flatten(2).mT.tolist():
            yield from (cosine(a, b) for a in sample for b in sample)

    def oracle(self, input, target):
        pairs = list(zip(self.affinities(input), self.affinities(target), strict=True))
        return sum((s - t) ** 2 for s, t in pairs) / len(pairs)

    @pytest.mark.parametrize("teacher", [2, 40])
    def test_channels_may_differ(self, teacher):
        input, target = torch.randn(2, 3, 4, 3).double(), torch.randn(2, teacher, 4, 3).double()
        assert self.build()(input, target).item() == pytest.approx(self.oracle(input, target), rel=1e-10)

    def test_blocks_are_averaged(self):
        input, target = torch.randn(2, 3, 4, 6).double(), torch.randn(2, 3, 4, 6).double()
        expected = self.oracle(F.avg_pool2d(input, 2), F.avg_pool2d(target, 2))
        assert StructuralPairwiseLoss()(input, target).item() == pytest.approx(expected, rel=1e-10)

    def test_blocks_larger_than_the_map_leave_one_place(self):
        input, target = torch.randn(2, 3, 2, 2), torch.randn(2, 3, 2, 2)
        assert StructuralPairwiseLoss(pool=8)(input, target) < 1e-12

    def test_pool_below_one_is_refused(self):
        with pytest.raises(ConfigError, match="pool must be at least 1"):
            StructuralPairwiseLoss(0)
