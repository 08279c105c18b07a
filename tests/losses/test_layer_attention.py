# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from monai_kd.losses.layer_attention import LayerAttentionLoss
from tests.losses.view_checks import ViewChecks


class TestLayerAttentionLoss(ViewChecks):
    shape = (5, 2, 3)
    refusal = r"distance is \(5, 2, 3\), attention \(5, 1, 3\)"

    def build(self):
        return LayerAttentionLoss()

    def oracle(self, distance, attention):
        total = 0.0
        for d, a in zip(distance, attention, strict=True):
            for i in range(2):
                for j in range(3):
                    total += a[i][j] * d[i][j]
        return total / (len(distance) * 2)
