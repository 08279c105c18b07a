# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_kd.losses.binary_kd import BinaryKDLoss
from monai_kd.losses.kd import KDLoss
from monai_kd.losses.subset_kd import SubsetKDLoss
from monai_kd.utils import ClassMismatchError, ConfigError
from tests.losses import test_kd
from tests.losses.dense_loss_checks import DenseLossChecks


class TestSubsetKDLoss(DenseLossChecks):
    mismatches = (
        ((2, 3, 4, 4), (2, 5, 4, 4), ClassMismatchError, "student has 3 classes, teacher 5"),
        ((2, 2), (2, 2), ClassMismatchError, r"student has 2 classes, the subset is \[2, 0\]"),
    )

    def build(self, **options):
        return SubsetKDLoss([2, 0], temperature=3.0, **options)

    def row(self, student, teacher):
        return test_kd.TestKDLoss.row(self, [student[2], student[0]], [teacher[2], teacher[0]])

    def test_wrong_mask_is_refused(self):
        super().test_wrong_mask_is_refused()

    def test_teacher_may_answer_the_subset_alone(self, shape):
        input, target = self.pair(shape)
        expected = self.build()(input, target)
        assert torch.equal(self.build()(input, target[:, [2, 0]]), expected)

    def test_other_classes_do_not_matter(self, shape):
        input, target = self.pair(shape)
        other = input.detach().clone()
        other[:, 1] += 100
        assert torch.equal(self.build()(other, target), self.build()(input, target))

    def test_sigmoid_compares_each_label_by_itself(self, shape):
        input, target = self.pair(shape)
        value = SubsetKDLoss([1], temperature=2.0, sigmoid=True)(input, target)
        torch.testing.assert_close(value, BinaryKDLoss(2.0)(input[:, [1]], target[:, [1]]))

    def test_labels_of_the_subset_may_be_averaged(self, shape):
        input, target = self.pair(shape)
        summed, averaged = (SubsetKDLoss([2, 0], sigmoid=True, label_reduction=how) for how in ("sum", "mean"))
        torch.testing.assert_close(averaged(input, target), summed(input, target) / 2)
        one_answer = SubsetKDLoss([2, 0], temperature=3.0, label_reduction="mean")
        torch.testing.assert_close(one_answer(input, target), self.build()(input, target))

    @pytest.mark.parametrize("classes", [[0, 0], [1], [], [-1, 0]])
    def test_impossible_subsets_are_refused(self, classes):
        with pytest.raises(ConfigError, match="classes"):
            SubsetKDLoss(classes)

    def test_all_classes_are_kd(self, shape):
        input, target = self.pair(shape)
        value = SubsetKDLoss(range(shape[1]))(input, target)
        torch.testing.assert_close(value, KDLoss()(input, target))
