# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pickle
import sys
from itertools import product

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from skimage.measure import label

from monai_kd.transforms import BettiCurve, BettiCurved
from monai_kd.utils import ConfigError, DataError


def parts(mask: np.ndarray, corners: bool) -> int:
    """How many pieces it falls into; whether places that share a corner alone belong together."""
    return int(label(mask, connectivity=mask.ndim if corners else 1).max())


def euler(mask: np.ndarray) -> int:
    """Corners minus edges plus faces (minus places of a volume) of the closed places of `mask`."""
    cells = set()
    for place in np.argwhere(mask):
        cells.update(product(*((2 * i, 2 * i + 1, 2 * i + 2) for i in place.tolist())))
    return sum((-1) ** sum(i % 2 for i in cell) for cell in cells)


def restated(image: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Components, and cavities as pieces of what is around less one; tunnels from Euler's number. [dims, bins]"""
    curves = np.zeros((image.ndim, len(thresholds)))
    for j, t in enumerate(thresholds):
        mask = image <= t
        curves[0, j] = parts(mask, corners=True)
        if image.ndim > 1:
            curves[-1, j] = parts(np.pad(~mask, 1, constant_values=True), corners=False) - 1
        if image.ndim == 3:
            curves[1, j] = curves[0, j] + curves[2, j] - euler(mask)
    return curves


@pytest.mark.parametrize("size", [(40,), (12, 9), (6, 5, 7)], ids=str)
@pytest.mark.parametrize("levels", [4, 1000], ids=["plateaus", "distinct"])
def test_matches_counting_in_every_sublevel_set(size, levels):
    image = np.random.RandomState(0).randint(0, levels + 1, (2, *size)) / levels
    curves = BettiCurve(bins=9)(image).reshape(2, len(size), 9).numpy()
    for channel, curve in zip(image, curves, strict=True):
        expected = restated(channel, np.linspace(0, 1, 9))
        assert np.array_equal(curve, expected)
        assert all(row.any() for row in expected)


def ring(size: int = 7) -> np.ndarray:
    image = np.ones((size, size))
    image[1:-1, 1:-1] = 0
    image[2:-2, 2:-2] = 1
    return image


def at_half(image: np.ndarray) -> list[float]:
    return BettiCurve(bins=1, low=0.5, high=1)(image[None]).tolist()


def test_pictures_of_known_topology():
    torus = np.stack([np.ones((7, 7)), ring(), np.ones((7, 7))])
    shell = np.stack([np.ones((5, 5)), np.pad(np.zeros((3, 3)), 1, constant_values=1), ring(5), *np.ones((2, 5, 5))])
    shell[3] = shell[1]
    diagonal = 1 - np.eye(2)
    assert at_half(ring()) == [1, 1]
    assert at_half(1 - ring()) == [2, 1]  # what is inside, and the frame
    assert at_half(np.hstack([ring(), ring()])) == [2, 2]
    assert at_half(torus) == [1, 1, 0]
    assert at_half(shell) == [1, 0, 1]
    assert at_half(diagonal) == [1, 0]  # corners touch
    assert at_half(np.ones((4, 4))) == [0, 0]


def test_flips_and_turns_change_nothing():
    image = torch.rand(1, 9, 8)
    curve = BettiCurve(bins=20)(image)
    for other in (image.flip(1), image.flip(2), torch.rot90(image, 1, (1, 2))):
        assert BettiCurve(bins=20)(other).equal(curve)


def test_kinds_of_images_and_a_copy_for_a_worker():
    image = torch.rand(2, 6, 6)
    curve = pickle.loads(pickle.dumps(BettiCurve(bins=5)))
    expected = curve(image)
    assert expected.shape == (20,) and expected.dtype == torch.float32
    assert expected[:10].equal(curve(image[:1])) and expected[10:].equal(curve(image[1:]))
    for other in (image.numpy(), MetaTensor(image)):
        assert type(curve(other)) is torch.Tensor and curve(other).equal(expected)


def test_keys_of_an_item():
    curves = BettiCurved(["image", "other"], bins=3, names=["betti", "b"], allow_missing_keys=True)
    item = curves({"image": torch.zeros(1, 4, 4), "label": 2})
    assert item["betti"].tolist() == [1, 1, 1, 0, 0, 0] and item["label"] == 2 and "b" not in item
    assert "image_betti" in BettiCurved("image", bins=3)({"image": torch.zeros(1, 4, 4)})


def test_what_cannot_be_counted_is_named(monkeypatch):
    curve = BettiCurve(bins=3)
    for image in (torch.zeros(4), torch.zeros(1, 2, 2, 2, 2), torch.zeros(1, 0, 2), torch.full((1, 2, 2), torch.nan)):
        with pytest.raises(DataError, match="finite numbers"):
            curve(image)
    with pytest.raises(ConfigError, match="low below high"):
        BettiCurve(bins=3, low=1.0, high=0.0)
    with pytest.raises(ConfigError, match="2 names for 1 keys"):
        BettiCurved("image", names=["a", "b"])
    monkeypatch.setitem(sys.modules, "gudhi", None)
    with pytest.raises(ConfigError, match=r"monai-kd\[topology\]"):
        BettiCurved("image")
