# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor

from monai_kd.transforms import DenseLabeld
from monai_kd.utils import DataError

IMAGE = torch.zeros(2, 3, 4, 5)


def named(values: torch.Tensor) -> MetaTensor:
    return MetaTensor(values, meta={"filename_or_obj": "labels/a.nii.gz"})


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float32, torch.float64])
def test_whole_numbers_of_any_kind_become_classes(dtype):
    values = torch.randint(0, 3, (1, 3, 4, 5))
    label = DenseLabeld("label", 3)({"image": IMAGE, "label": values.to(dtype)})["label"]
    assert label.dtype == torch.long and torch.equal(label, values)


def test_a_missing_label_is_zeros_of_the_images_size():
    label = DenseLabeld("label", 3)({"image": IMAGE})["label"]
    assert label.dtype == torch.long and label.shape == (1, 3, 4, 5) and not label.any()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (torch.full((1, 3, 4, 5), 3.0), r"labels/a.nii.gz.*label values 3 to 3, classes 0 to 2"),
        (torch.full((1, 3, 4, 5), -1.0), r"label values -1 to -1"),
        (torch.full((1, 3, 4, 5), 0.5), r"a.nii.gz.*no whole numbers"),
        (torch.full((1, 3, 4, 5), torch.nan), r"no whole numbers"),
        (torch.zeros(1, 3, 4, 6), r"a.nii.gz.*\(1, 3, 4, 6\).*\(2, 3, 4, 5\).*one grid"),
        (torch.zeros(2, 3, 4, 5), r"the label is \(2, 3, 4, 5\)"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused_by_name(values, message):
    with pytest.raises(DataError, match=message):
        DenseLabeld("label", 3)({"image": IMAGE, "label": named(values)})
