# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""What other toolboxes compute wrongly, by the number it has in our list; what the tests of a loss cover is named there
("Defect 2", "Defect 7", ...)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn.functional import kl_div

from monai_kd.losses import (
    AttentionTransferLoss,
    ChannelWiseKDLoss,
    CorrelationCongruenceLoss,
    CRDLoss,
    FSPLoss,
    KDLoss,
    LogitStandardizedKDLoss,
    NSTLoss,
    OFDLoss,
    RKDLoss,
    SimilarityPreservingLoss,
    VIDLoss,
)
from monai_kd.networks import AttentionLabels, AttentionPooling, HardInstances, MemoryBank
from tests.benchmarks.memory import CLEAR, resident_peak


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


def vid(input, target):
    return VIDLoss()(input, target, torch.ones(input.shape[1]))


def ofd(input, target):
    return OFDLoss()(input, target.abs())  # below 0 nothing would be asked of many places


def fsp(input, target):
    return FSPLoss()(input, input[:, :2], target, target[:, :2])


@pytest.mark.parametrize("loss", [AttentionTransferLoss(), NSTLoss(), vid, ofd, fsp])
@pytest.mark.parametrize("size", [(5,), (4, 5), (4, 5, 3)])
def test_10_maps_of_any_dimension_that_are_no_squares_are_compared_whole(loss, size):
    """Resizing looked at the height alone, and at two axes: here every place of the student has a say."""
    input = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    loss(input, torch.randn(2, 3, *size, dtype=torch.float64)).backward()
    assert input.grad.isfinite().all() and (input.grad != 0).any(1).all()


@pytest.mark.parametrize("loss", [AttentionTransferLoss(), fsp])
@pytest.mark.parametrize("size", [(3,), (8, 3), (3, 8, 2)])
def test_10_a_teacher_may_be_larger_along_one_axis_and_smaller_along_another(loss, size):
    input = torch.randn(2, 3, *(4, 5, 3)[: len(size)], dtype=torch.float64, requires_grad=True)
    loss(input, torch.randn(2, 3, *size, dtype=torch.float64)).backward()
    assert input.grad.isfinite().all() and (input.grad != 0).any(1).all()


def test_10_a_flat_volume_is_the_picture_that_it_is():
    pair = [torch.randn(2, 3, 4, 5, dtype=torch.float64) for _ in range(2)]
    for loss in (AttentionTransferLoss(), NSTLoss(), vid, ofd, fsp):
        torch.testing.assert_close(loss(*(x.unsqueeze(3) for x in pair)), loss(*pair))


def test_11_nothing_of_the_size_of_channels_times_channels_times_places_is_made():
    """[N, C, C, S] would be 16 GiB here."""
    input, target = torch.randn(1, 256, 256, 256).requires_grad_(), torch.randn(1, 256, 256, 256)
    NSTLoss()(input, target).backward()
    assert input.grad.abs().max() > 0


def nst_of_volumes() -> Callable[[], None]:
    """[N, C, C, S] would be 2 GiB for each kernel."""
    input, target = torch.randn(1, 256, 16, 16, 32).requires_grad_(), torch.randn(1, 256, 16, 16, 32)
    return lambda: NSTLoss()(input, target).backward()


def rkd_of_angles() -> Callable[[], None]:
    """The vectors [N, N, D] would be 1 GiB for each network."""
    input, target = torch.randn(512, 1024).requires_grad_(), torch.randn(512, 1024)
    return lambda: RKDLoss(distance_weight=0.0)(input, target).backward()


def crd_of_many_negatives() -> Callable[[], None]:
    """The negatives, gathered from both banks, would be 1 GiB for each network."""
    bank, index = MemoryBank(num_samples=20_000, features=128, negatives=16_384).eval(), torch.arange(128)
    input, target = (torch.nn.functional.normalize(torch.randn(128, 128)).requires_grad_() for _ in range(2))
    return lambda: CRDLoss()(**bank(input, target, index)).backward()


@pytest.mark.slow
@pytest.mark.skipif(not CLEAR.exists(), reason="the peak of the resident set is read from Linux")
@pytest.mark.parametrize(("build", "most"), [(nst_of_volumes, 100), (rkd_of_angles, 100), (crd_of_many_negatives, 200)])
def test_11_what_the_textbook_needs_a_gibibyte_for_takes_megabytes(build, most):
    assert resident_peak(build, over_built=True) < most


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


def test_25_the_instance_that_is_looked_at_is_positive_and_the_others_are_not():
    """Nine of ten instances of a positive bag were called positive."""
    teacher = AttentionPooling(4, 2)
    features = torch.randn(10, 4)
    score = teacher.eval().score(features)
    y = AttentionLabels(teacher, num_samples=10)(features, torch.zeros(10).long(), torch.tensor([1]), torch.arange(10))
    soft = (score - score.min()) / (score.max() - score.min())
    torch.testing.assert_close(y[:, 1], soft.clamp(1e-5, 1 - 1e-5))
    assert y[score.argmax(), 1] > 0.99 and y[score.argmin(), 1] < 0.01


def test_25_leaving_out_takes_effect():
    """The choice of instances was written into a copy."""
    logits = torch.tensor([[0.0, 2.0], [1.0, 0.0], [0.0, 3.0]])
    kept = HardInstances(0.5)(logits, bag=torch.zeros(3).long(), bag_label=torch.tensor([1]))
    assert kept.tolist() == [False, True, False]
