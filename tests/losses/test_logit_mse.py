# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from monai_kd.losses.logit_mse import LogitMSELoss
from tests.losses.dense_loss_checks import DenseLossChecks


class TestLogitMSELoss(DenseLossChecks):
    def build(self, **options):
        return LogitMSELoss(**options)

    def row(self, student, teacher):
        return sum((s - t) ** 2 for s, t in zip(student, teacher, strict=True)) / len(student)
