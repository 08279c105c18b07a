# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch

from monai_kd.losses import CRDLoss
from monai_kd.losses.class_guided_contrastive import ClassGuidedContrastiveLoss
from monai_kd.utils import ConfigError
from tests.losses.view_checks import ViewChecks


class TestClassGuidedContrastiveLoss(ViewChecks):
    shape = (5, 6)
    refusal = r"student is \(5, 6\), teacher \(5, 1\), positives 2"

    def build(self):
        return ClassGuidedContrastiveLoss(positives=2)

    def oracle(self, *views):
        total = 0.0
        for rows in views:
            for row in rows:
                h = [1 / (1 + math.exp(-a)) for a in row]
                total -= (math.log(h[0]) + math.log(h[1])) / 2 + sum(math.log(1 - x) for x in h[2:])
        return total / len(views[0])

    def test_one_positive_is_crd(self):
        views = self.views()
        torch.testing.assert_close(ClassGuidedContrastiveLoss(positives=1)(*views), CRDLoss()(*views))

    def test_what_is_impossible_is_refused(self):
        with pytest.raises(ConfigError, match="positives must be at least 1"):
            ClassGuidedContrastiveLoss(positives=0)
