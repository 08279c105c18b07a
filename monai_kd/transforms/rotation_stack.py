# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data import MetaTensor
from monai.transforms import MapTransform, Rotate90, Transform
from monai.utils import convert_to_tensor
from torch import Tensor

from monai_kd.utils import ConfigError, ShapeMismatchError

__all__ = ["RotationStack", "RotationStackD", "RotationStackDict", "RotationStackd"]

TURNS = 4


class RotationStack(Transform):
    """Turn an image by 0, 90, 180 and 270 degrees in one plane: four views of which each pixel was read once.

    The first view is the image itself. A `MetaTensor` keeps track of where it lies.

    Args:
        spatial_axes: the plane, two axes of space; of a volume that in which the voxels are square.

    Raises:
        ConfigError: not two axes.
        ShapeMismatchError: in the call: the plane is not square, so that the views could not be stacked.

    Wang et al., SSD-KD: a self-supervised diverse knowledge distillation method for lightweight skin lesion
    classification, MedIA 2023 (arXiv 2203.11490).

    Example::

        >>> import torch
        >>> from monai_kd.transforms import RotationStack
        >>> [view.flatten().tolist() for view in RotationStack()(torch.tensor([[[0, 1], [2, 3]]]))]
        [[0, 1, 2, 3], [1, 3, 0, 2], [3, 2, 1, 0], [2, 0, 3, 1]]
    """

    backend = Rotate90.backend

    def __init__(self, spatial_axes: tuple[int, int] = (0, 1)) -> None:
        axes = tuple(spatial_axes)
        if len(axes) != 2 or axes[0] == axes[1]:
            raise ConfigError(f"spatial_axes must be two axes, got {spatial_axes!r}", where="RotationStack")
        self.spatial_axes: tuple[int, int] = axes
        self.turns = [Rotate90(k, axes) for k in range(1, TURNS)]

    def __call__(self, img: NdarrayOrTensor) -> list[Tensor]:
        """Turn an image.

        Args:
            img: [C, *spatial].

        Returns:
            Four images of its shape.
        """
        image = convert_to_tensor(img, track_meta=isinstance(img, MetaTensor))
        dims = tuple(axis + 1 if axis >= 0 else axis for axis in self.spatial_axes)
        height, width = (image.shape[d] for d in dims)
        if height != width:
            raise ShapeMismatchError(
                f"the image is {tuple(image.shape)}, in the plane {height} by {width}",
                where="RotationStack",
                fix="bring it to a square before, with Resized or a crop",
            )
        if isinstance(image, MetaTensor):
            return [image, *(turn(image) for turn in self.turns)]
        return [image, *(torch.rot90(image, k, dims) for k in range(1, TURNS))]


class RotationStackd(MapTransform):
    """Turn images by 0, 90, 180 and 270 degrees, each view under a key of its own: `image`, `image_2` to `image_4`.

    Keys are turned alike, so that a second modality stays aligned. A view that is there already is replaced.

    Args:
        keys: what to turn.
        spatial_axes: see `RotationStack`.
        allow_missing_keys: pass over a key that is not there.

    Raises:
        ConfigError, ShapeMismatchError: see `RotationStack`.

    Example::

        >>> import torch
        >>> from monai_kd.transforms import RotationStackd
        >>> sorted(RotationStackd("image")({"image": torch.zeros(1, 8, 8)}))
        ['image', 'image_2', 'image_3', 'image_4']
    """

    backend = RotationStack.backend

    def __init__(
        self, keys: KeysCollection, spatial_axes: tuple[int, int] = (0, 1), allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.stack = RotationStack(spatial_axes)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Turn the images of an item.

        Args:
            data: the item, with images [C, *spatial].
        """
        item = dict(data)
        for key in self.key_iterator(item):
            first, *others = self.stack(item[key])
            item[key] = first
            item.update({f"{key}_{i}": view for i, view in enumerate(others, start=2)})
        return item


RotationStackD = RotationStackDict = RotationStackd
