# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch

from monai_kd.losses.cross_pseudo_supervision import CrossPseudoSupervisionLoss
from monai_kd.utils import ConfigError
from tests.losses.dense_loss_checks import DenseLossChecks


class TestCrossPseudoSupervisionLoss(DenseLossChecks):
    test_identical_networks_give_zero = None  # a decision is not a probability
    test_different_networks_give_more = None

    def build(self, **options):
        return CrossPseudoSupervisionLoss(**options)

    def row(self, student, teacher):
        decided = teacher.index(max(teacher))
        return max(student) + math.log(sum(math.exp(z - max(student)) for z in student)) - student[decided]

    def test_one_class_is_refused(self):
        with pytest.raises(ConfigError, match="softmax over one class"):
            self.build()(torch.zeros(2, 1), torch.zeros(2, 1))
