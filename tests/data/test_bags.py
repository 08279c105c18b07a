# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from functools import partial

import pytest
import torch
from monai.data import CacheDataset, DataLoader, ThreadDataLoader
from monai.networks.nets import MILModel
from torch import nn

from monai_kd.data import BagDataset, collate_bags, pad_bags
from monai_kd.utils.errors import DataError, ShapeMismatchError

NAMES = ["a", "b", "a", "c", "a", "c"]
LABELS = [0, 0, 1, 0, 0, 2]


def bags(**options) -> BagDataset:
    items = [
        {"image": torch.full((1, 4, 4), float(i)), "label": LABELS[i], "index": i, "case": f"{i}"} for i in range(6)
    ]
    return BagDataset(CacheDataset(items, None, progress=False), NAMES, **options)


@pytest.mark.parametrize("loader", [DataLoader, ThreadDataLoader])
def test_one_after_another(loader):
    (batch,) = loader(bags(), batch_size=3, collate_fn=collate_bags)
    assert batch["image"][:, 0, 0, 0].tolist() == [0, 2, 4, 1, 3, 5] == batch["index"].tolist()
    assert batch["bag"].tolist() == [0, 0, 0, 1, 2, 2]
    assert batch["bag_label"].tolist() == [1, 0, 2]
    assert batch["case"] == ["0", "2", "4", "1", "3", "5"]


def test_padded():
    (batch,) = DataLoader(bags(), batch_size=3, collate_fn=partial(collate_bags, pad=True))
    assert batch["image"].shape == (3, 3, 1, 4, 4)
    assert batch["instances"].tolist() == [[True] * 3, [True, False, False], [True, True, False]]
    assert batch["label"].tolist() == [[0, 1, 0], [0, -1, -1], [0, 2, -1]]
    assert batch["image"][~batch["instances"]].abs().sum() == 0
    assert batch["image"][batch["instances"]][:, 0, 0, 0].tolist() == [0, 2, 4, 1, 3, 5]


def test_a_model_of_monai_takes_what_is_padded():
    backbone = nn.Sequential(nn.Conv2d(1, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = MILModel(2, backbone=backbone, backbone_num_features=3)
    for batch in DataLoader(bags(), batch_size=1, collate_fn=partial(collate_bags, pad=True)):
        assert model(batch["image"]).shape == (1, 2)


def test_large_bags_are_drawn_from():
    data = bags(max_instances=2)
    drawn = {tuple(item["index"] for item in data[0]) for _ in range(30)}
    assert drawn == {(0, 2), (0, 4), (2, 4)}
    assert len(data[1]) == 1


def test_rows_and_back():
    x, bag = torch.randn(6, 2, 3), torch.tensor([0, 1, 1, 1, 3, 3])
    rows, instances = pad_bags(x, bag)
    assert rows.shape == (4, 3, 2, 3) and instances.sum(1).tolist() == [1, 3, 0, 2]
    assert rows[instances].equal(x)


def test_what_does_not_fit_is_named():
    with pytest.raises(DataError, match="2 names for 3 instances"):
        BagDataset([1, 2, 3], ["a", "b"])
    with pytest.raises(DataError, match="bag 1 of the batch: a bag has no instances"):
        collate_bags([[{"x": 1}], []])
    with pytest.raises(ShapeMismatchError, match="pad_bags"):
        pad_bags(torch.zeros(3), torch.zeros(2, dtype=torch.long))
