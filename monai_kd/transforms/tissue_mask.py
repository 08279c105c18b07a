# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.transforms import MapTransform, Rotate90, Transform
from monai.utils import convert_to_dst_type, ensure_tuple
from skimage.filters import threshold_otsu
from torch import Tensor

from monai_kd.transforms.stains import DARK, colour
from monai_kd.utils import ConfigError

__all__ = ["TissueMask", "TissueMaskD", "TissueMaskDict", "TissueMaskd"]


def _density(image: Tensor) -> Tensor:
    return -image.clamp(min=DARK).log().mean(0, keepdim=True)


def _saturation(image: Tensor) -> Tensor:
    high, low = image.amax(0, keepdim=True), image.amin(0, keepdim=True)
    return torch.where(high > 0, (high - low) / high.clamp(min=DARK), 0.0)


MEASURES = {"density": _density, "saturation": _saturation}


class TissueMask(Transform):
    """Find the tissue on a slide: where more than Otsu's threshold of light is kept back, or of colour is there.

    A picture of one value has none. `density` is the mean optical density of the three colours; `saturation`, of HSV,
    passes over grey: pen, dust, shadow. (MONAI's `ForegroundMask` thresholds the colours themselves, or HSV.)

    Args:
        measure: `density` or `saturation`.

    Raises:
        ConfigError: another measure.
        DataError: in the call: not three channels, or values that are not in 0 to 1.

    Otsu, A threshold selection method from gray-level histograms, 1979.

    Example::

        >>> import torch
        >>> from monai_kd.transforms import TissueMask
        >>> slide = torch.ones(3, 2, 3)
        >>> slide[1, :, 0] = 0.2
        >>> TissueMask()(slide).int().tolist()
        [[[1, 0, 0], [1, 0, 0]]]
    """

    backend = Rotate90.backend

    def __init__(self, measure: str = "density") -> None:
        if measure not in MEASURES:
            raise ConfigError(f"measure must be 'density' or 'saturation', got {measure!r}", where="TissueMask")
        self.measure = measure

    def __call__(self, img: NdarrayOrTensor) -> NdarrayOrTensor:
        """Find tissue.

        Args:
            img: colours in 0 to 1, [3, *spatial].

        Returns:
            Booleans, [1, *spatial].
        """
        value = MEASURES[self.measure](colour(img, "TissueMask"))
        mask = value > float(threshold_otsu(value.detach().cpu().numpy().ravel()))
        return convert_to_dst_type(mask, img, dtype=torch.bool)[0]


class TissueMaskd(MapTransform):
    """Find the tissue of an item's images, each mask under a key of its own: `image_tissue`.

    Args:
        keys: of the images.
        measure: see `TissueMask`.
        names: of the masks; by default the key and `_tissue`.
        allow_missing_keys: pass over a key that is not there.

    Raises:
        ConfigError: another number of names than of keys.

    Example::

        >>> import torch
        >>> from monai_kd.transforms import TissueMaskd
        >>> sorted(TissueMaskd("image")({"image": torch.rand(3, 4, 4)}))
        ['image', 'image_tissue']
    """

    backend = TissueMask.backend

    def __init__(
        self,
        keys: KeysCollection,
        measure: str = "density",
        names: str | Sequence[str] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.mask = TissueMask(measure)
        self.names = tuple(f"{key}_tissue" for key in self.keys) if names is None else ensure_tuple(names)
        if len(self.names) != len(self.keys):
            raise ConfigError(f"{len(self.names)} names for {len(self.keys)} keys", where="TissueMaskd")

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Find the tissue of an item's images."""
        item = dict(data)
        for key, name in self.key_iterator(item, self.names):
            item[name] = self.mask(item[key])
        return item


TissueMaskD = TissueMaskDict = TissueMaskd
