# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.transforms import MapTransform, RandomizableTransform, Rotate90
from monai.utils import convert_to_dst_type

from monai_kd.transforms.stains import colour, combine, separate, stain_matrix
from monai_kd.utils import ConfigError

__all__ = ["RandStainJitter", "RandStainJitterD", "RandStainJitterDict", "RandStainJitterd"]


class RandStainJitter(RandomizableTransform):
    r"""Stain the slide a little differently, as another laboratory would: each stain by a factor and an offset.

    .. math:: x' = \exp\bigl(-(\alpha \odot c + \beta) M\bigr), \quad c = -\log(x) M^{-1}, \quad
        \alpha_s \sim U(1 - a, 1 + a), \ \beta_s \sim U(-b, b)

    cut to 0 to 1; M as in `StainSeparation`.

    Args:
        prob: how often.
        scale: a, below 1.
        shift: b, in units of natural optical density.
        stain_set: see `StainSeparation`.

    Raises:
        ConfigError: no such set; scale or shift out of range.
        DataError: in the call: not three channels, or values that are not in 0 to 1.

    Tellez et al., Whole-slide mitosis detection in H&E breast histology using PHH3 as a reference to train distilled
    stain-invariant convolutional networks, IEEE TMI 2018.

    Example::

        >>> import torch
        >>> from monai_kd.transforms import RandStainJitter
        >>> jitter = RandStainJitter(prob=1.0).set_random_state(seed=0)
        >>> image = torch.full((3, 2, 2), 0.5)
        >>> bool((jitter(image) != image).any())
        True
    """

    backend = Rotate90.backend

    def __init__(self, prob: float = 0.1, scale: float = 0.05, shift: float = 0.05, stain_set: str = "hed") -> None:
        RandomizableTransform.__init__(self, prob)
        if not 0 <= scale < 1 or shift < 0:
            what = f"scale must be in [0, 1), shift at least 0, got {scale} and {shift}"
            raise ConfigError(what, where="RandStainJitter")
        self.scale, self.shift, self.matrix = scale, shift, stain_matrix(stain_set)
        self.factor, self.offset = np.ones(3), np.zeros(3)

    def randomize(self, data: Any = None) -> None:
        """Draw whether, and the factor and offset of each stain."""
        super().randomize(None)
        if self._do_transform:
            self.factor = self.R.uniform(1 - self.scale, 1 + self.scale, 3)
            self.offset = self.R.uniform(-self.shift, self.shift, 3)

    def __call__(self, img: NdarrayOrTensor, randomize: bool = True) -> NdarrayOrTensor:
        """Stain differently.

        Args:
            img: colours in 0 to 1, [3, *spatial].
            randomize: draw anew, else as the last time.
        """
        if randomize:
            self.randomize()
        if not self._do_transform:
            return img
        amounts = separate(colour(img, "RandStainJitter"), self.matrix)
        factor, offset = (
            torch.as_tensor(v).to(amounts).reshape(3, *[1] * (amounts.ndim - 1)) for v in (self.factor, self.offset)
        )
        changed = combine(factor * amounts + offset, self.matrix)
        return convert_to_dst_type(changed, img, dtype=changed.dtype)[0]


class RandStainJitterd(RandomizableTransform, MapTransform):
    """Stain an item's images a little differently: `RandStainJitter`, all keys alike.

    Args:
        keys: of the images.
        prob: how often.
        scale: see `RandStainJitter`.
        shift: see `RandStainJitter`.
        stain_set: see `StainSeparation`.
        allow_missing_keys: pass over a key that is not there.

    Example::

        >>> import torch
        >>> from monai_kd.transforms import RandStainJitterd
        >>> RandStainJitterd("image", prob=1.0)({"image": torch.rand(3, 4, 4)})["image"].shape
        torch.Size([3, 4, 4])
    """

    backend = RandStainJitter.backend

    def __init__(
        self,
        keys: KeysCollection,
        prob: float = 0.1,
        scale: float = 0.05,
        shift: float = 0.05,
        stain_set: str = "hed",
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob)
        self.jitter = RandStainJitter(1.0, scale, shift, stain_set)

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> RandStainJitterd:
        """Seed both draws."""
        super().set_random_state(seed, state)
        self.jitter.set_random_state(seed, state)
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Stain the images of an item."""
        item = dict(data)
        self.randomize(None)
        if self._do_transform:
            self.jitter.randomize()
            for key in self.key_iterator(item):
                item[key] = self.jitter(item[key], randomize=False)
        return item


RandStainJitterD = RandStainJitterDict = RandStainJitterd
