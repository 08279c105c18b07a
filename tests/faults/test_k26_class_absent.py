# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""K26: a class of which there is no case counts as it should, in losses and in scores, and nothing is nan."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from monai_kd.losses import IntraClassVariationLoss, PrototypeKDLoss
from monai_kd.metrics import balanced_accuracy, macro_auc

LABEL = torch.tensor([[0, 0, 1, 1], [0, 1, 1, 0]]).reshape(2, 1, 2, 2)  # of the third class there is nothing


@pytest.mark.parametrize("kind", [PrototypeKDLoss, IntraClassVariationLoss])
def test_losses_by_class(kind):
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 5, 2, 2, requires_grad=True), torch.randn(2, 5, 2, 2)
    value = kind(num_classes=3)(student, teacher, label=LABEL)
    value.backward()
    assert value.isfinite() and value > 0 and student.grad.isfinite().all() and student.grad.any()


def test_scores_leave_it_out():
    label = np.array([0, 0, 1, 1])
    answers = np.array([[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1]])
    assert balanced_accuracy(label, answers) == pytest.approx((1 + 1 / 2) / 2)  # 0.5 if it were a third of them
    assert math.isfinite(macro_auc(label, answers))
