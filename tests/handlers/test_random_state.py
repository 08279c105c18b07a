# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import io
import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from monai.data import CacheDataset, DataLoader, Dataset, ThreadDataLoader
from monai.transforms import Compose, EnsureTyped, OneOf, RandFlipd, RandGaussianNoised, RandomOrder
from torch.utils.data import ConcatDataset, Subset

from monai_kd.handlers.random_state import random_state, set_random_state
from tests.nets import images

ITEMS = [{"image": image} for image in images(6)]


def noisy(*more: Callable) -> Compose:
    return Compose([RandFlipd("image", prob=0.5), *more, RandGaussianNoised("image", prob=0.7), EnsureTyped("image")])


def draw() -> tuple:
    """A few numbers from every generator; the odd one leaves a second number behind for the next call."""
    old = np.random.mtrand._rand  # the generator behind numpy's functions, which many transforms still use
    return torch.rand(3).tolist(), old.randn(3).tolist(), [random.random() for _ in range(3)], random.gauss(0, 1)


def epoch(loader: DataLoader) -> list[float]:
    return [float(value) for batch in loader for value in batch["image"].flatten()]


def test_every_generator_goes_on_where_it_was():
    random.gauss(0, 1)
    np.random.mtrand._rand.randn()
    state = random_state(None)
    expected = draw()
    assert draw() != expected
    set_random_state(state, None)
    assert draw() == expected


@pytest.mark.parametrize(
    "make",
    [
        lambda: Dataset(ITEMS, noisy()),
        lambda: CacheDataset(ITEMS, noisy(), progress=False),
        lambda: Subset(Dataset(ITEMS, noisy()), range(4)),
        lambda: ConcatDataset([Dataset(ITEMS, noisy()), Dataset(ITEMS, noisy())]),
        lambda: Dataset(ITEMS, noisy(OneOf([RandFlipd("image", 0.5), RandGaussianNoised("image", 0.5)]))),
        lambda: Dataset(ITEMS, RandomOrder([RandFlipd("image", 0.5), RandGaussianNoised("image", 0.5)])),
    ],
    ids=["dataset", "cache", "subset", "concat", "one of", "random order"],
)
@pytest.mark.parametrize("kind", [DataLoader, ThreadDataLoader])
def test_random_transforms_go_on_where_they_were_in_another_process(make, kind):
    loader = kind(make(), batch_size=2, shuffle=True)
    epoch(loader)
    state = random_state(loader)
    expected = epoch(loader)
    assert epoch(loader) != expected
    torch.manual_seed(99)
    another = kind(make(), batch_size=2, shuffle=True)
    set_random_state(state, another)
    assert epoch(another) == expected


@pytest.mark.parametrize("loader", [None, [{"image": 1}], iter([]), DataLoader([1, 2])])
def test_a_loader_without_random_transforms_has_none(loader):
    assert random_state(loader)["transforms"] == []


def test_holds_only_tensors_and_plain_values():
    loader, file = DataLoader(Dataset(ITEMS, noisy()), batch_size=2), io.BytesIO()
    torch.save(random_state(loader), file)
    file.seek(0)
    set_random_state(torch.load(file, weights_only=True), loader)
