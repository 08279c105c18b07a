# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from monai_kd.transforms import Pyramid, Pyramidd
from monai_kd.utils import ConfigError, ShapeMismatchError


@pytest.mark.parametrize("size", [(9,), (8, 6), (4, 5, 6)])
@pytest.mark.parametrize("factor", [2, 3])
def test_matches_plain_loop(size, factor):
    image = torch.rand(2, *size, dtype=torch.float64)
    (small,) = Pyramid(factor)(image)
    assert small.shape == (2, *(n // factor for n in size))
    for place in itertools.product(*(range(n) for n in small.shape[1:])):
        block = [
            image[(slice(None), *q)] for q in itertools.product(*(range(factor * p, factor * (p + 1)) for p in place))
        ]
        torch.testing.assert_close(small[(slice(None), *place)], sum(block) / len(block))


def test_the_mean_of_a_field_stays_and_one_is_the_image_itself():
    image = torch.rand(3, 16, 16)
    views = Pyramid((1, 2, 4, 16))(image)
    assert views[0] is image
    assert all(torch.allclose(view.mean((1, 2)), image.mean((1, 2))) for view in views)


def test_finer_detail_than_the_lower_magnification_shows_is_averaged_away():
    stripes = (torch.arange(16) % 2).float().expand(1, 16, 16)
    assert Pyramid(2)(stripes)[0].eq(0.5).all()


def test_kind_is_kept_and_whole_numbers_become_means():
    picture = np.array([[[0, 255], [255, 255]]], dtype=np.uint8)
    (small,) = Pyramid(2)(picture)
    assert isinstance(small, np.ndarray) and small.item() == 191.25 and small.dtype == np.float32
    assert Pyramid(2)(torch.ones(1, 2, 2, dtype=torch.float64))[0].dtype == torch.float64


def test_metadata_says_where_the_blocks_lie():
    image = MetaTensor(torch.arange(8.0).expand(1, 8, 8), affine=torch.diag(torch.tensor([0.5, 0.5, 1.0, 1.0])))
    (small,) = Pyramid(4)(image)
    assert isinstance(small, MetaTensor)
    middle = small.affine @ torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=small.affine.dtype)
    assert middle.tolist() == [0.75, 0.75, 0, 1] and small.affine[0, 0] == 2  # places 0 to 3, half a unit apart
    assert image.affine[0, 0] == 0.5


def test_views_of_an_item_have_keys_of_their_own():
    item = {"image": torch.rand(1, 8, 8), "ihc": torch.rand(3, 8, 8), "label": 1}
    seen = Pyramidd(["image", "ihc"], (2, 4))(item)
    assert set(seen) == {"image", "ihc", "label", "image_x2", "image_x4", "ihc_x2", "ihc_x4"}
    assert seen["ihc_x4"].shape == (3, 2, 2) and seen["image"] is item["image"]
    assert Pyramidd("image", 2, names="image")(item)["image"].shape == (1, 4, 4)
    assert set(Pyramidd("other", allow_missing_keys=True)(item)) == set(item)


def test_what_cannot_be_averaged_is_named():
    with pytest.raises(ConfigError, match="factors"):
        Pyramid((2, 0))
    with pytest.raises(ConfigError, match="factors"):
        Pyramid(1.5)
    with pytest.raises(ConfigError, match="2 names for 1 keys of 1 factors"):
        Pyramidd("image", 2, names=("a", "b"))
    with pytest.raises(ShapeMismatchError, match=r"\(1, 2, 8\)"):
        Pyramid(4)(torch.rand(1, 2, 8))
    with pytest.raises(KeyError):
        Pyramidd("other")({"image": torch.rand(1, 8, 8)})
