# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import ImageMetaKey

from monai_kd.utils import DataError

__all__ = ["DenseLabeld"]


class DenseLabeld(MapTransform):
    """Make a label map fit to be learnt from: whole numbers below `num_classes`, one for each place of the image.

    An item without a label gets zeros, so that it can be batched with those that have one; a term's `where` keeps them
    out of the loss.

    Args:
        keys: of the label maps, [1, *spatial].
        num_classes: background included.
        like: key of the image, [C, *spatial].

    Raises:
        DataError: when called: the sizes differ, a value is not a whole number, or not in 0 to num_classes - 1; names
            the file.

    Example::

        >>> import torch
        >>> from monai_kd.transforms import DenseLabeld
        >>> fit = DenseLabeld("label", num_classes=3)
        >>> fit({"image": torch.zeros(1, 2, 2), "label": torch.tensor([[[0.0, 2.0], [1.0, 0.0]]])})["label"]
        tensor([[[0, 2],
                 [1, 0]]])
        >>> fit({"image": torch.zeros(1, 1, 3)})["label"]
        tensor([[[0, 0, 0]]])
    """

    def __init__(self, keys: KeysCollection, num_classes: int, like: str = "image") -> None:
        super().__init__(keys, allow_missing_keys=True)
        self.num_classes, self.like = num_classes, like

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Check and convert."""
        d = dict(data)
        image = torch.as_tensor(d[self.like])
        for key in self.keys:
            d[key] = self._fit(torch.as_tensor(d[key]), image, key) if key in d else self._nothing(image)
        return d

    def _nothing(self, image: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(image[:1], dtype=torch.long)

    def _fit(self, label: torch.Tensor, image: torch.Tensor, key: Hashable) -> torch.Tensor:
        where = f"{key} {_file(label)}"
        if label.shape != (1, *image.shape[1:]):
            why = f"the image is {tuple(image.shape)}"
            fix = "both must have one grid: resample the label to the image, give one number a place"
            raise DataError(f"the label is {tuple(label.shape)}", where=where, why=why, fix=fix)
        whole = label.long()
        if not torch.equal(whole.to(label.dtype), label):
            raise DataError("the label has values that are no whole numbers", where=where, fix="save class numbers")
        low, high = int(whole.min()), int(whole.max())
        if low < 0 or high >= self.num_classes:
            raise DataError(f"label values {low} to {high}, classes 0 to {self.num_classes - 1}", where=where)
        return whole


def _file(label: torch.Tensor) -> str:
    name = label.meta.get(ImageMetaKey.FILENAME_OR_OBJ) if isinstance(label, MetaTensor) else None
    return f"({name})" if name else ""
