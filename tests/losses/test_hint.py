# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from monai_kd.losses.hint import HintLoss
from monai_kd.utils import ShapeMismatchError
from tests.losses.loss_checks import LossChecks


class TestHintLoss(LossChecks):
    mismatches = (
        ((2, 3, 4), (2, 5, 4), ShapeMismatchError, r"student is \(2, 3, 4\), teacher \(2, 5, 4\).*put a `Connector`"),
        ((2, 3, 4, 4), (2, 1, 4, 4), ShapeMismatchError, "Connector"),
        ((2, 3, 4, 4), (2, 3, 4, 1), ShapeMismatchError, "Connector"),
        ((1, 3), (2, 3), ShapeMismatchError, "HintLoss"),
    )

    def build(self):
        return HintLoss()

    def oracle(self, input, target):
        pairs = list(zip(input.flatten().tolist(), target.flatten().tolist(), strict=True))
        return sum((s - t) ** 2 for s, t in pairs) / len(pairs)
