# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.data import list_data_collate
from torch import Tensor
from torch.utils.data import Dataset

from monai_kd.utils.errors import DataError, ShapeMismatchError

__all__ = ["BagDataset", "collate_bags", "pad_bags"]


class BagDataset(Dataset):
    """Bags of instances: item b is the list of the instances of bag b, such as the patches of one slide or patient.

    Any data set of instances can be given, so that caching and random transforms stay what they are; the loader's batch
    size then counts bags, and `collate_bags` puts them together.

    Args:
        dataset: the instances, each a mapping.
        names: the bag of each instance; bags come in the order of their first instance.
        max_instances: of a larger bag, so many instances are drawn anew each time; None takes all.

    Raises:
        DataError: not one name per instance.

    Example::

        >>> from monai.data import DataLoader, Dataset
        >>> from monai_kd.data import BagDataset, collate_bags
        >>> instances = Dataset([{"image": torch.ones(1, 4, 4) * i, "label": i % 2} for i in range(5)])
        >>> bags = BagDataset(instances, ["a", "b", "a", "a", "b"])
        >>> batch = next(iter(DataLoader(bags, batch_size=2, collate_fn=collate_bags)))
        >>> tuple(batch["image"].shape), batch["bag"].tolist(), batch["bag_label"].tolist()
        ((5, 1, 4, 4), [0, 0, 0, 1, 1], [1, 1])
    """

    def __init__(self, dataset: Sequence | Dataset, names: Sequence[Hashable], max_instances: int | None = None):
        if len(names) != len(dataset):  # type: ignore[arg-type]
            raise DataError(f"{len(names)} names for {len(dataset)} instances", where="BagDataset")  # type: ignore[arg-type]
        self.dataset, self.max_instances = dataset, max_instances
        self.bags: dict[Hashable, list[int]] = {}
        for i, name in enumerate(names):
            self.bags.setdefault(name, []).append(i)
        self._rows = list(self.bags.values())

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, bag: int) -> list[Any]:
        rows = self._rows[bag]
        if self.max_instances is not None and len(rows) > self.max_instances:
            rows = [rows[i] for i in sorted(torch.randperm(len(rows))[: self.max_instances].tolist())]
        return [self.dataset[i] for i in rows]


def collate_bags(batch: Sequence[Sequence[Mapping[str, Any]]], pad: bool = False, label: str = "label") -> dict:
    """Put bags of different sizes into one batch, by default one after another: no instance is padding.

    - `image` and every other key: [M, ...] for the M instances of all bags; networks, batch normalisation and losses
      see instances, as always;
    - `bag`: which bag each instance is of, [M], counted from 0 in this batch;
    - `bag_label`: the largest label among a bag's instances, [B]: positive if any of them is, and the bag's own label
      if all its instances carry that.

    Args:
        batch: bags, each a list of instances, as a `BagDataset` gives them.
        pad: give tensors as [B, N, ...] instead, N the size of the largest bag, filled up with zeros (-1 where the key
            is the label), and the boolean `instances`, [B, N]; what is no tensor stays a list. MONAI's `MILModel` takes
            [B, N, C, H, W] but knows no mask: where bags differ in size, give it one bag a batch.
        label: the key of the label.

    Raises:
        DataError: a bag without instances.

    Example::

        >>> from monai_kd.data import collate_bags
        >>> bags = [[{"image": torch.ones(1, 2, 2)}] * 3, [{"image": torch.ones(1, 2, 2)}]]
        >>> batch = collate_bags(bags, pad=True)
        >>> tuple(batch["image"].shape), batch["instances"].tolist()
        ((2, 3, 1, 2, 2), [[True, True, True], [True, False, False]])
    """
    sizes = [len(bag) for bag in batch]
    if not sizes or min(sizes) == 0:
        raise DataError("a bag has no instances", where=f"bag {sizes.index(0) if sizes else 0} of the batch")
    out = dict(list_data_collate([instance for bag in batch for instance in bag]))
    bag = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    if isinstance(out.get(label), Tensor):
        out["bag_label"] = torch.stack([part.amax() for part in out[label].split(sizes)])
    if not pad:
        return {**out, "bag": bag}
    for key, value in list(out.items()):
        if isinstance(value, Tensor) and key != "bag_label":
            out[key], out["instances"] = pad_bags(value, bag, -1 if key == label else 0)
    return out


def pad_bags(x: Tensor, bag: Tensor, value: float = 0) -> tuple[Tensor, Tensor]:
    """Set instances that stand one after another, [M, ...], into rows of bags, [B, N, ...].

    Args:
        x: the instances.
        bag: which bag each is of, [M], 0 to B - 1, in rising order.
        value: where there is no instance.

    Returns:
        The rows, and which of them are instances, [B, N]. `rows[instances]` is `x` again.

    Raises:
        ShapeMismatchError: not one bag per instance.

    Example::

        >>> import torch
        >>> from monai_kd.data import pad_bags
        >>> rows, instances = pad_bags(torch.tensor([1, 2, 3]), torch.tensor([0, 0, 1]))
        >>> rows.tolist(), rows[instances].tolist()
        ([[1, 2], [3, 0]], [1, 2, 3])
    """
    if bag.shape != x.shape[:1]:
        raise ShapeMismatchError(f"instances {tuple(x.shape)}, bag {tuple(bag.shape)}", where="pad_bags")
    sizes = torch.bincount(bag)
    instances = torch.arange(int(sizes.max()), device=bag.device) < sizes.unsqueeze(1)
    rows = x.new_full((*instances.shape, *x.shape[1:]), value)
    rows[instances] = x
    return rows, instances
