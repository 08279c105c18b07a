# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from monai_kd.transforms import RandStainJitter, RandStainJitterd
from monai_kd.transforms.stains import stain_matrix
from monai_kd.utils import ConfigError


def image() -> torch.Tensor:
    return 0.2 + 0.6 * torch.rand(3, 3, 4, dtype=torch.float64)


def test_matches_plain_loop():
    jitter, x = RandStainJitter(prob=1.0, scale=0.3, shift=0.2).set_random_state(seed=4), image()
    changed = jitter(x)
    matrix = stain_matrix("hed").numpy()
    assert (abs(jitter.factor - 1) < 0.3).all() and (abs(jitter.offset) < 0.2).all()
    for row in range(3):
        for column in range(4):
            amounts = np.linalg.solve(matrix.T, -np.log(x[:, row, column].numpy()))
            amounts = [jitter.factor[s] * amounts[s] + jitter.offset[s] for s in range(3)]
            density = [sum(amounts[s] * matrix[s, c] for s in range(3)) for c in range(3)]
            expected = np.clip(np.exp(-np.array(density)), 0, 1)
            np.testing.assert_allclose(changed[:, row, column].numpy(), expected, rtol=1e-9)


def test_without_scale_and_shift_nothing_changes():
    x = image()
    torch.testing.assert_close(RandStainJitter(prob=1.0, scale=0, shift=0)(x), x)


def test_a_seed_gives_the_same_stains_and_another_others():
    x = image()
    first, again, other = (RandStainJitter(prob=1.0).set_random_state(seed=s)(x) for s in (1, 1, 2))
    assert first.equal(again) and not first.equal(other)


def test_drawn_as_often_as_asked():
    x, jitter = image(), RandStainJitter(prob=0.3).set_random_state(seed=0)
    changed = sum(not jitter(x).equal(x) for _ in range(400))
    assert 90 < changed < 150
    assert RandStainJitter(prob=0.0)(x) is x


def test_values_stay_colours_and_the_kind_is_kept():
    jitter = RandStainJitter(prob=1.0, scale=0.9, shift=1.0).set_random_state(seed=0)
    for given in (MetaTensor(torch.rand(3, 8, 8), meta={"name": "a"}), torch.rand(3, 8, 8).numpy()):
        changed = jitter(given)
        assert type(changed) is type(given) and changed.dtype == given.dtype
        assert changed.min() >= 0 and changed.max() <= 1


def test_keys_of_an_item_are_stained_alike():
    x = image()
    jitter = RandStainJitterd(["image", "image_2"], prob=1.0).set_random_state(seed=0)
    seen = [jitter({"image": x, "image_2": x}) for _ in range(2)]
    assert all(item["image"].equal(item["image_2"]) for item in seen)
    assert not seen[0]["image"].equal(seen[1]["image"]) and not seen[0]["image"].equal(x)
    again = RandStainJitterd(["image", "image_2"], prob=1.0).set_random_state(seed=0)
    assert again({"image": x, "image_2": x})["image"].equal(seen[0]["image"])
    assert RandStainJitterd("image", prob=0.0)({"image": x})["image"] is x


def test_ranges_are_checked():
    with pytest.raises(ConfigError, match="scale"):
        RandStainJitter(scale=1)
    with pytest.raises(ConfigError, match="shift"):
        RandStainJitter(shift=-0.1)
