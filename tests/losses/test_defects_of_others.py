# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""What other toolboxes compute wrongly, by the number it has in our list; what the tests of a loss cover is named there
("Defect 2", "Defect 7", ...)."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import kl_div

from monai_kd.losses import (
    AttentionTransferLoss,
    ChannelWiseKDLoss,
    CorrelationCongruenceLoss,
    KDLoss,
    LogitStandardizedKDLoss,
    NSTLoss,
    RKDLoss,
    SimilarityPreservingLoss,
)


def textbook(input, target, temperature):
    log_s, log_t = (x.div(temperature).log_softmax(1) for x in (input, target))
    return temperature**2 * kl_div(log_s, log_t, log_target=True, reduction="none").sum(1)


def test_3_defaults_work_and_the_squared_temperature_is_kept():
    input, target = torch.randn(4, 5), torch.randn(4, 5)
    torch.testing.assert_close(KDLoss()(input, target), textbook(input, target, 4.0).mean())


def test_4_a_volume_costs_as_much_as_its_voxels_do_on_average():
    input, target = torch.randn(2, 3, 16, 16, 16), torch.randn(2, 3, 16, 16, 16)
    value, rows = KDLoss(1.0)(input, target), textbook(input, target, 1.0)
    torch.testing.assert_close(value, rows.mean())
    assert rows.sum() / 2 > 1000 * value  # what `batchmean` would give


def test_6_classes_are_on_axis_1_in_volumes():
    input, target = torch.randn(1, 4, 2, 2, 3), torch.randn(1, 4, 2, 2, 3)
    rows = [
        textbook(input[:, :, i, j, k], target[:, :, i, j, k], 2.0) for i in range(2) for j in range(2) for k in range(3)
    ]
    torch.testing.assert_close(KDLoss(2.0)(input, target), torch.cat(rows).mean())


@pytest.mark.parametrize("loss", [SimilarityPreservingLoss(), RKDLoss(), AttentionTransferLoss()])
def test_9_halves_of_large_maps_are_numbers_with_a_gradient(loss):
    input, target = (10 * torch.randn(4, 32, 16, 16, 16).half() for _ in range(2))
    input.requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(input, target)
    (value * 2.0**16).backward()
    assert value.isfinite() and value > 0
    assert input.grad.isfinite().all() and input.grad.abs().max() > 0


def test_11_nothing_of_the_size_of_channels_times_channels_times_places_is_made():
    """[N, C, C, S] would be 16 GiB here."""
    input, target = torch.randn(1, 256, 256, 256).requires_grad_(), torch.randn(1, 256, 256, 256)
    NSTLoss()(input, target).backward()
    assert input.grad.abs().max() > 0


def test_13_channels_are_normalised_and_no_logarithm_of_zero_is_taken():
    input, target = torch.zeros(1, 2, 4).half(), torch.zeros(1, 2, 4).half()
    input[0, :, 0], target[0, :, 1] = 1e4, 1e4
    loss = ChannelWiseKDLoss(1.0)
    assert loss(input, target).isfinite()
    s, t = torch.randn(1, 2, 4), torch.randn(1, 2, 4)
    torch.testing.assert_close(loss(s + 5, t - 7), loss(s, t))  # a shift of a whole channel says nothing


def test_14_the_number_of_classes_does_not_divide_the_loss():
    input, target = torch.randn(4, 2), torch.randn(4, 2)
    torch.testing.assert_close(KDLoss(1.0)(input.repeat(1, 50), target.repeat(1, 50)), KDLoss(1.0)(input, target))


def test_18_the_norm_is_squared():
    student, teacher = torch.eye(2).double(), torch.ones(2, 2).double()
    x = 0.8
    off = torch.tensor(-x).exp() * (x + x * x / 2)  # what the kernels of orthogonal and of equal rows differ by
    value = CorrelationCongruenceLoss(gamma=0.4)(student, teacher)
    assert value.item() == pytest.approx(2 * off.item() ** 2 / 4, rel=1e-6)


def test_23_a_mask_chooses_rows_instead_of_scaling_the_mean():
    input, target = torch.randn(4, 5), torch.randn(4, 5)
    mask = torch.tensor([True, False, False, True])
    loss = LogitStandardizedKDLoss()
    torch.testing.assert_close(loss(input, target, mask=mask), loss(input[mask], target[mask]))
