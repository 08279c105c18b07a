# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data import MetaTensor
from monai.transforms import MapTransform, Rotate90, Transform
from monai.utils import convert_to_dst_type, convert_to_tensor, ensure_tuple
from torch import Tensor

from monai_kd.utils import ConfigError, ShapeMismatchError

__all__ = ["Pyramid", "PyramidD", "PyramidDict", "Pyramidd"]

_POOL = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


class Pyramid(Transform):
    r"""See the same field at lower magnifications, as a weaker objective would: each place is the mean of a block.

    .. math:: y_r(p) = \frac{1}{r^d} \sum_{q \in [0, r)^d} x(r p + q)

    Averaging over whole blocks is the filter against aliasing; where a side is no multiple of r, the rest at its end is
    left out. A `MetaTensor` keeps track of where it lies.

    Args:
        factors: r of each view, whole numbers; 1 is the image itself.

    Raises:
        ConfigError: no factor, or one below 1.
        ShapeMismatchError: in the call: a side is shorter than a factor.

    DiPalma et al., Resolution-based distillation for efficient histology image classification, 2021 (arXiv 2101.04170).

    Example::

        >>> import torch
        >>> from monai_kd.transforms import Pyramid
        >>> half, quarter = Pyramid((2, 4))(torch.arange(16.0).reshape(1, 4, 4))
        >>> half.tolist(), quarter.tolist()
        ([[[2.5, 4.5], [10.5, 12.5]]], [[[7.5]]])
    """

    backend = Rotate90.backend

    def __init__(self, factors: int | Sequence[int] = (2, 4)) -> None:
        self.factors: tuple[int, ...] = ensure_tuple(factors)
        if not self.factors or any(int(r) != r or r < 1 for r in self.factors):
            raise ConfigError(f"factors must be whole numbers from 1 on, got {factors}", where="Pyramid")

    def __call__(self, img: NdarrayOrTensor) -> list[NdarrayOrTensor]:
        """Average an image.

        Args:
            img: [C, *spatial], one to three axes of space.

        Returns:
            An image for each factor, [C, *(spatial // r)], of the kind and, if floating, the dtype that was given.
        """
        image = convert_to_tensor(img, track_meta=isinstance(img, MetaTensor))
        size = image.shape[1:]
        if len(size) not in _POOL or min(size) < max(self.factors):
            what = f"the image is {tuple(image.shape)}, the factors are {self.factors}"
            raise ShapeMismatchError(what, where="Pyramid", fix="each side must be at least the factor")
        return [self._at(image, r, img) for r in self.factors]

    def _at(self, image: Tensor, factor: int, given: NdarrayOrTensor) -> NdarrayOrTensor:
        if factor == 1:
            return given
        plain = image.as_tensor() if isinstance(image, MetaTensor) else image
        exact = plain if plain.is_floating_point() else plain.to(torch.get_default_dtype())
        small = _POOL[plain.ndim - 1](exact[None], factor)[0]
        if isinstance(image, MetaTensor):
            affine = image.affine @ _block(factor, plain.ndim - 1, len(image.affine)).to(image.affine)
            meta = {name: value for name, value in image.meta.items() if name != "affine"}
            return MetaTensor(small, affine=affine, meta=meta)
        return convert_to_dst_type(small, given, dtype=small.dtype)[0]


def _block(factor: int, dims: int, size: int) -> Tensor:
    """Where the middle of a block lies: r p + (r - 1) / 2 along each axis, as a matrix [size, size]."""
    affine = torch.eye(size, dtype=torch.float64)
    for axis in range(min(dims, size - 1)):
        affine[axis, axis], affine[axis, -1] = factor, (factor - 1) / 2
    return affine


class Pyramidd(MapTransform):
    """See the images of an item at lower magnifications, each view under a key of its own: `image_x2`, `image_x4`.

    A random flip or turn after it must be shared by all of them. To go on with the low magnification alone, name the
    key itself: `Pyramidd("image", 2, names="image")`.

    Args:
        keys: what to average.
        factors: see `Pyramid`.
        names: of the views, for each key in turn one for each factor; by default the key, `_x` and the factor.
        allow_missing_keys: pass over a key that is not there.

    Raises:
        ConfigError: another number of names than of views; see also `Pyramid`.

    Example::

        >>> import torch
        >>> from monai_kd.transforms import Pyramidd
        >>> {k: tuple(v.shape) for k, v in Pyramidd("image", (2, 4))({"image": torch.zeros(3, 8, 8)}).items()}
        {'image': (3, 8, 8), 'image_x2': (3, 4, 4), 'image_x4': (3, 2, 2)}
    """

    backend = Pyramid.backend

    def __init__(
        self,
        keys: KeysCollection,
        factors: int | Sequence[int] = (2, 4),
        names: str | Sequence[str] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.pyramid = Pyramid(factors)
        count = len(self.pyramid.factors)
        views = [f"{k}_x{r}" for k in self.keys for r in self.pyramid.factors] if names is None else ensure_tuple(names)
        if len(views) != count * len(self.keys):
            raise ConfigError(
                f"{len(views)} names for {len(self.keys)} keys of {count} factors", where="Pyramidd", fix="one a view"
            )
        self.views = {key: tuple(views[i * count : (i + 1) * count]) for i, key in enumerate(self.keys)}

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Average the images of an item.

        Args:
            data: the item, with images [C, *spatial].
        """
        item = dict(data)
        for key in self.key_iterator(item):
            item.update(zip(self.views[key], self.pyramid(data[key]), strict=True))
        return item


PyramidD = PyramidDict = Pyramidd
