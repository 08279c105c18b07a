# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch
from monai.utils import LossReduction

from monai_kd.losses.checks import check_batch, check_logits, check_mask, check_positive, check_reduction
from monai_kd.losses.regions import region_masks
from monai_kd.losses.rows import class_index
from monai_kd.utils import ClassMismatchError, ConfigError, DistillationError, ShapeMismatchError


def test_reduction_of_monai_is_known():
    assert [check_reduction(reduction) for reduction in LossReduction] == ["none", "mean", "sum"]


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_positive_names_argument_and_value(value):
    with pytest.raises(ConfigError, match=f"width must be a positive number, got {value}"):
        check_positive(value, "width")


def test_classes_are_named_before_the_rest():
    with pytest.raises(ClassMismatchError, match=r"KDLoss: student has 3 classes, teacher 5.*\(2, 3, 8\).*\(2, 5, 4\)"):
        check_logits(torch.zeros(2, 3, 8), torch.zeros(2, 5, 4), where="KDLoss")


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_mask_of_plain_rows(shape):
    check_mask(torch.ones(shape), torch.zeros(2, 3), where="KDLoss")


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 1, 1), (1, 2)])
def test_mask_of_other_rows_is_refused(shape):
    with pytest.raises(ShapeMismatchError, match=r"must be \(2,\) or \(2, 1\)"):
        check_mask(torch.ones(shape), torch.zeros(2, 3), where="KDLoss")


def test_features_of_the_same_samples_may_differ_in_all_else():
    check_batch(torch.zeros(2, 3), torch.zeros(2, 5, 4, 4), where="loss")
    with pytest.raises(DistillationError, match="1, 2 or 3 spatial axes"):
        check_batch(torch.zeros(2, 3), torch.zeros(2, 5, 4, 4), where="loss", spatial=True)


@pytest.mark.parametrize("wrong", [0.5, float("nan")])
def test_a_label_that_is_no_whole_number_is_refused(wrong):
    logits, label = torch.zeros(2, 3, 4), torch.ones(2, 1, 4)
    assert class_index(label, logits, where="KDLoss").tolist() == [[1] * 4] * 2
    label[1, 0, 2] = wrong
    with pytest.raises(ClassMismatchError, match="KDLoss: a label is no whole number"):
        class_index(label, logits, where="KDLoss")


def test_nan_in_a_label_is_no_class():
    one_hot = torch.tensor([[[0.0, 1.0], [torch.nan, 0.0]]])
    with pytest.raises(ClassMismatchError):
        class_index(one_hot, torch.zeros(1, 2, 2), where="KDLoss")
    with pytest.raises(ClassMismatchError, match="no whole number"):
        region_masks(torch.tensor([[0.0, torch.nan]]), torch.zeros(1, 3, 2), 2, where="PrototypeKDLoss")
