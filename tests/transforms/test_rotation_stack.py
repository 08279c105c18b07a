# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Rotate90

from monai_kd.transforms import RotationStack, RotationStackd
from monai_kd.utils import ConfigError, ShapeMismatchError


@pytest.mark.parametrize("shape", [(3, 6, 6), (1, 5, 5, 4)])
def test_views_are_the_image_turned_by_quarters(shape):
    image = torch.randn(shape)
    views = RotationStack()(image)
    assert views[0].equal(image)
    for k, view in enumerate(views):
        n, expected = shape[1] - 1, torch.empty(shape)
        for i in range(n + 1):
            for j in range(n + 1):
                row, column = [(i, j), (j, n - i), (n - i, n - j), (n - j, i)][k]
                expected[:, i, j] = image[:, row, column]
        assert view.equal(expected)


def test_any_plane_of_a_volume():
    image = torch.randn(2, 3, 5, 5)
    for axes in ((1, 2), (-2, -1)):
        assert RotationStack(axes)(image)[1].equal(torch.rot90(image, 1, (2, 3)))


def test_arrays_and_meta_tensors():
    image = np.random.RandomState(0).rand(1, 4, 4).astype(np.float32)
    assert type(RotationStack()(image)[1]) is torch.Tensor
    meta = MetaTensor(torch.from_numpy(image), affine=torch.diag(torch.tensor([2.0, 2.0, 1.0, 1.0])))
    plain = RotationStack()(torch.from_numpy(image))
    for k, view in enumerate(RotationStack()(meta)):
        assert isinstance(view, MetaTensor) and view.as_tensor().equal(plain[k])
        assert k == 0 or view.affine.equal(Rotate90(k)(meta).affine)


def test_two_modalities_are_turned_alike():
    image = torch.randn(1, 4, 4)
    turn = RotationStackd(["image", "privileged"], allow_missing_keys=True)
    item = turn({"image": image, "privileged": 2 * image, "image_2": torch.zeros(1), "label": 3})
    assert item["label"] == 3 and item["image"] is image
    for i in (2, 3, 4):
        assert item[f"privileged_{i}"].equal(2 * item[f"image_{i}"])
    assert "privileged_2" not in turn({"image": image})


def test_what_cannot_be_turned_is_named():
    with pytest.raises(ShapeMismatchError, match=r"4 by 6.*Resized"):
        RotationStack()(torch.zeros(1, 4, 6))
    with pytest.raises(ConfigError, match="two axes"):
        RotationStack((0, 0))
    with pytest.raises(KeyError):
        RotationStackd("other")({"image": torch.zeros(1, 4, 4)})
