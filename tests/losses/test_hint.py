# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from monai_kd.losses.hint import HintLoss
from monai_kd.utils import ShapeMismatchError
from tests.losses.dense_loss_checks import DenseLossChecks


class TestHintLoss(DenseLossChecks):
    scale = 1.0
    mismatches = (
        ((2, 3, 4), (2, 5, 4), ShapeMismatchError, r"student is \(2, 3, 4\), teacher \(2, 5, 4\).*put a `Connector`"),
        ((2, 3, 4, 4), (2, 1, 4, 4), ShapeMismatchError, r"out_channels 1 \(a bundle's teacher_channels\)"),
        ((2, 3, 4, 4), (2, 3, 4, 1), ShapeMismatchError, "Connector"),
        ((1, 3), (2, 3), ShapeMismatchError, "HintLoss"),
    )

    def build(self, **options):
        return HintLoss(**options)

    def row(self, student, teacher):
        return sum((s - t) ** 2 for s, t in zip(student, teacher, strict=True)) / len(student)
