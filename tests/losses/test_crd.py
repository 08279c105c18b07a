# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import torch

from monai_kd.losses.crd import CRDLoss
from tests.losses.view_checks import ViewChecks


class TestCRDLoss(ViewChecks):
    refusal = r"student is \(5, 4\), teacher \(5, 1\)"

    def build(self):
        return CRDLoss()

    def oracle(self, *views):
        total = 0.0
        for rows in views:
            for row in rows:
                h = [1 / (1 + math.exp(-a)) for a in row]
                total -= math.log(h[0]) + sum(math.log(1 - x) for x in h[1:])
        return total / len(views[0])

    def test_right_answers_cost_nothing(self):
        logits = torch.tensor([[60.0, -60.0, -60.0]])
        assert CRDLoss()(logits, logits) < 1e-20
