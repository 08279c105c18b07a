# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

import torch.distributed as dist
from monai.data import Dataset, DistributedWeightedRandomSampler
from torch.utils.data import Sampler, WeightedRandomSampler

from monai_kd.data.class_weights import class_weights
from monai_kd.utils import is_distributed

__all__ = ["balanced_sampler"]


def balanced_sampler(
    items: Sequence[Mapping[str, Any]], num_classes: int, num_samples: int | None = None
) -> Sampler[int]:
    """Draw every class as often as any other, with replacement: a data loader's `sampler`.

    An item whose label may not be looked at is never drawn. Where several processes train together (their group is
    there when the sampler is made), each draws from a part of the items, anew each epoch, and an equal share of the
    number, rounded up.

    Args:
        items: of the loader's data set, in its order.
        num_classes: C.
        num_samples: items drawn in an epoch, by all processes together; None for as many as there are.

    Returns:
        torch's `WeightedRandomSampler`, or MONAI's `DistributedWeightedRandomSampler`.

    Raises:
        DataError: no item has a label, or items have several.

    Example::

        >>> from monai_kd.data import balanced_sampler
        >>> sampler = balanced_sampler([{"label": 0}, {"label": 1}, {"label": 1}], num_classes=2)
        >>> sampler.weights.tolist()
        [3.0, 1.5, 1.5]
    """
    of_class = class_weights(items, num_classes).tolist()
    weights = [of_class[item["label"]] if item.get("labeled", True) else 0.0 for item in items]
    count = len(weights) if num_samples is None else num_samples
    if is_distributed():
        share = ceil(count / dist.get_world_size())
        return DistributedWeightedRandomSampler(Dataset(list(items)), weights, num_samples_per_rank=share)
    return WeightedRandomSampler(weights, count)
