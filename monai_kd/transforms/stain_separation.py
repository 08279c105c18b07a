# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from monai.config import KeysCollection, NdarrayOrTensor
from monai.transforms import MapTransform, Rotate90, Transform
from monai.utils import convert_to_dst_type, ensure_tuple

from monai_kd.transforms.stains import colour, indices, separate, stain_matrix

__all__ = ["StainSeparation", "StainSeparationD", "StainSeparationDict", "StainSeparationd"]


class StainSeparation(Transform):
    r"""Tell the stains of a slide apart by colour: a channel for each, of how much of it there is.

    .. math:: c = \max(0, -\log(x) M^{-1})

    with the rows of M the optical densities of one unit of each stain: fixed ones, of scikit-image. MONAI's
    `ExtractHEStains` estimates them from each picture instead, and `NormalizeHEStains` gives the colours of another.

    Args:
        stains: which, in this order: of `hematoxylin`, `eosin`, `dab`, `residual`.
        stain_set: what the slide was stained with: `he`, `hed` (hematoxylin, eosin, DAB) or `hdx` (hematoxylin, DAB).

    Raises:
        ConfigError: no such set, or no such stain in it.
        DataError: in the call: not three channels, or values that are not in 0 to 1.

    Ruifrok & Johnston, Quantification of histochemical staining by color deconvolution, 2001.

    Example::

        >>> import torch
        >>> from monai_kd.transforms import StainSeparation
        >>> white = torch.ones(3, 4, 4)
        >>> StainSeparation("hematoxylin")(white).shape, float(StainSeparation("hematoxylin")(white).max())
        (torch.Size([1, 4, 4]), 0.0)
    """

    backend = Rotate90.backend

    def __init__(self, stains: str | Sequence[str] = ("hematoxylin", "eosin"), stain_set: str = "he") -> None:
        self.matrix = stain_matrix(stain_set)
        self.rows = indices(ensure_tuple(stains), stain_set)

    def __call__(self, img: NdarrayOrTensor) -> NdarrayOrTensor:
        """Separate.

        Args:
            img: colours in 0 to 1, [3, *spatial].

        Returns:
            Amounts from 0 on, [stains, *spatial], in units of natural optical density.
        """
        amounts = separate(colour(img, "StainSeparation"), self.matrix)[self.rows].clamp(min=0)
        return convert_to_dst_type(amounts, img, dtype=amounts.dtype)[0]


class StainSeparationd(MapTransform):
    """Put the amounts of stain in the place of the colours: `StainSeparation` of an item's images.

    Args:
        keys: of the images.
        stains: see `StainSeparation`.
        stain_set: see `StainSeparation`.
        allow_missing_keys: pass over a key that is not there.

    Example::

        >>> import torch
        >>> from monai_kd.transforms import StainSeparationd
        >>> StainSeparationd("image")({"image": torch.rand(3, 4, 4)})["image"].shape
        torch.Size([2, 4, 4])
    """

    backend = StainSeparation.backend

    def __init__(
        self,
        keys: KeysCollection,
        stains: str | Sequence[str] = ("hematoxylin", "eosin"),
        stain_set: str = "he",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.separation = StainSeparation(stains, stain_set)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Separate the stains of an item's images."""
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = self.separation(item[key])
        return item


StainSeparationD = StainSeparationDict = StainSeparationd
