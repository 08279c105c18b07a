# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch

from monai_kd.losses.attention_overlap import AttentionOverlapLoss
from monai_kd.utils import ConfigError, ShapeMismatchError
from tests.losses.loss_checks import LossChecks


class TestAttentionOverlapLoss(LossChecks):
    shapes = ((3, 1, 5), (2, 3, 4, 5), (2, 1, 2, 3, 4))
    mismatches = (
        ((2, 1, 4, 4), (2, 1, 4, 5), ShapeMismatchError, r"\(2, 1, 4, 5\)"),
        ((2, 1, 4, 4), (1, 1, 4, 4), ShapeMismatchError, r"\(1, 1, 4, 4\)"),
        ((2, 3), (2, 3), ShapeMismatchError, "spatial"),
    )

    def build(self):
        return AttentionOverlapLoss(sharpness=8.0, threshold=0.4)

    def oracle(self, input, target):
        cut = []
        for maps in (input, target):
            values = []
            for a in maps.flatten(2).flatten(0, 1).tolist():
                size = max(a) - min(a)
                values += [1 / (1 + math.exp(-8 * ((x - min(a)) / size - 0.4 if size else -0.4))) for x in a]
            cut.append(values)
        apart = sum((s - t) ** 2 for s, t in zip(*cut, strict=True))
        return apart / max(sum(cut[0]) + sum(cut[1]), 1e-5)

    def test_scale_and_offset_of_a_map_do_not_matter(self, shape):
        input, target = self.pair(shape)
        expected = self.build()(input, target)
        torch.testing.assert_close(self.build()(3 * input + 7, target / 5 - 2), expected, rtol=1e-9, atol=0)

    def test_sharpness_is_positive(self):
        with pytest.raises(ConfigError, match="sharpness must be a positive number"):
            AttentionOverlapLoss(sharpness=0)
