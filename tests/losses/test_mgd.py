# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch

from monai_kd.losses.mgd import MGDLoss
from monai_kd.utils import ShapeMismatchError
from tests.losses.loss_checks import LossChecks


class TestMGDLoss(LossChecks):
    largest, scaler = 1e4, 1.0  # a sum over entries: its gradient is as large as the numbers
    mismatches = (
        ((2, 3), (2, 5), ShapeMismatchError, "put a `Connector`"),
        ((2, 3, 4, 4), (2, 3, 4, 1), ShapeMismatchError, r"teacher \(2, 3, 4, 1\)"),
        ((2, 3, 4, 4), (1, 3, 4, 4), ShapeMismatchError, r"teacher \(1, 3, 4, 4\)"),
    )

    def build(self):
        return MGDLoss()

    def oracle(self, input, target):
        pairs = zip(input.flatten().tolist(), target.flatten().tolist(), strict=True)
        return sum((s - t) ** 2 for s, t in pairs) / len(input)

    def test_volumes_work(self):
        """Defect 7: five axes were refused."""
        assert self.build()(torch.ones(1, 2, 3, 4, 5), torch.zeros(1, 2, 3, 4, 5)) == 120
