# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest
import skimage
import torch
from monai.data import MetaTensor

from monai_kd.transforms import StainSeparation, StainSeparationd
from monai_kd.transforms.stains import STAIN_SETS, combine, separate, stain_matrix
from monai_kd.utils import ConfigError, DataError

UNIT = -np.log(1e-6)  # scikit-image counts in units of the densest that it can see


@pytest.fixture(scope="module")
def slide() -> np.ndarray:
    return skimage.util.img_as_float64(skimage.data.immunohistochemistry()[100:116, 200:224]).transpose(2, 0, 1)


def test_is_scikit_images_deconvolution(slide):
    theirs = skimage.color.rgb2hed(slide, channel_axis=0) * UNIT
    mine = StainSeparation(("hematoxylin", "eosin", "dab"), "hed")(slide)
    assert isinstance(mine, np.ndarray) and mine.dtype == np.float64
    np.testing.assert_allclose(mine, theirs, atol=1e-9)


@pytest.mark.parametrize("stain_set", STAIN_SETS)
def test_a_mixture_is_told_apart(stain_set):
    matrix, amounts = stain_matrix(stain_set), torch.tensor([0.7, 0.3, 0.0], dtype=torch.float64)
    colour = torch.stack([torch.exp(-sum(amounts[s] * matrix[s, c] for s in range(3))) for c in range(3)])
    found = StainSeparation(STAIN_SETS[stain_set], stain_set)(colour.reshape(3, 1, 1)).flatten()
    torch.testing.assert_close(found, amounts)


def test_what_two_stains_leave_over_is_at_right_angles_to_them_and_of_length_one():
    hematoxylin, eosin, residual = stain_matrix("he")
    assert [float(residual @ x) for x in (hematoxylin, eosin, residual)] == pytest.approx([0, 0, 1])


def test_separation_and_combination_are_inverse(slide):
    image = torch.from_numpy(slide)
    for stain_set in STAIN_SETS:
        matrix = stain_matrix(stain_set)
        torch.testing.assert_close(combine(separate(image, matrix), matrix), image)


def test_stains_come_in_the_order_asked_for(slide):
    both = StainSeparation(("eosin", "hematoxylin"))(slide)
    assert np.array_equal(both[1:], StainSeparation("hematoxylin")(slide)) and both.shape == (2, 16, 24)


def test_white_and_black_are_finite():
    found = StainSeparation()(torch.cat([torch.ones(3, 2, 2), torch.zeros(3, 2, 2)], 1))
    assert found.isfinite().all() and (found >= 0).all() and found[:, :2].eq(0).all()


def test_kind_and_metadata_are_kept(slide):
    image = MetaTensor(torch.from_numpy(slide).float(), meta={"name": "a"})
    found = StainSeparationd("image")({"image": image, "label": 1})
    assert isinstance(found["image"], MetaTensor) and found["image"].meta["name"] == "a" and found["label"] == 1
    assert found["image"].dtype == torch.float32 and found["image"].shape[0] == 2


def test_what_cannot_be_separated_is_named():
    with pytest.raises(ConfigError, match="'hed'"):
        StainSeparation(stain_set="hes")
    with pytest.raises(ConfigError, match="did you mean 'eosin'"):
        StainSeparation("eosine")
    with pytest.raises(DataError, match="red, green and blue"):
        StainSeparation()(torch.rand(1, 4, 4))
    with pytest.raises(DataError, match=r"to 255.*ScaleIntensityRanged"):
        StainSeparation()(torch.full((3, 2, 2), 255.0))
    with pytest.raises(DataError, match="uint8"):
        StainSeparation()(np.ones((3, 2, 2), dtype=np.uint8))
