# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest
import skimage
import torch
from monai.data import MetaTensor

from monai_kd.transforms import TissueMask, TissueMaskd
from monai_kd.utils import ConfigError


def slide() -> tuple[torch.Tensor, torch.Tensor]:
    """A pink square on a white slide, with a grey shadow in a corner; and where the square is."""
    image = torch.full((3, 20, 20), 0.95)
    where = torch.zeros(1, 20, 20, dtype=torch.bool)
    where[:, 5:12, 4:15] = True
    image = torch.where(where, torch.tensor([0.8, 0.4, 0.6])[:, None, None], image)
    image[:, 17:, 17:] = 0.5
    return image, where


def test_saturation_passes_over_a_shadow_and_density_does_not():
    image, where = slide()
    assert TissueMask("saturation")(image).equal(where)
    density = TissueMask("density")(image)
    assert density[where].all() and density[:, 17:, 17:].all() and density.sum() == where.sum() + 9


@pytest.mark.parametrize("measure", ["density", "saturation"])
def test_threshold_is_otsus(measure):
    image = torch.rand(3, 12, 12, dtype=torch.float64)
    hsv = skimage.color.rgb2hsv(image.numpy(), channel_axis=0)[1]
    value = hsv if measure == "saturation" else -np.log(image.numpy()).mean(0)
    assert np.array_equal(TissueMask(measure)(image)[0].numpy(), value > skimage.filters.threshold_otsu(value))


def test_an_empty_slide_has_none():
    assert not TissueMask()(torch.ones(3, 8, 8)).any() and not TissueMask("saturation")(torch.zeros(3, 8, 8)).any()


def test_mask_has_a_key_of_its_own_and_the_kind_of_the_image():
    image, _ = slide()
    item = TissueMaskd("image")({"image": MetaTensor(image, meta={"name": "a"})})
    assert isinstance(item["image_tissue"], MetaTensor) and item["image_tissue"].dtype == torch.bool
    mask = TissueMaskd("image", names="mask")({"image": image.numpy()})["mask"]
    assert isinstance(mask, np.ndarray) and mask.dtype == bool and mask.shape == (1, 20, 20)


def test_options_are_checked():
    with pytest.raises(ConfigError, match="'hue'"):
        TissueMask("hue")
    with pytest.raises(ConfigError, match="2 names for 1 keys"):
        TissueMaskd("image", names=("a", "b"))
