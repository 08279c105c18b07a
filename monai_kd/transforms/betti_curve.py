# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.transforms import MapTransform, Rotate90, Transform
from monai.utils import convert_to_numpy, ensure_tuple, optional_import
from torch import Tensor

from monai_kd.utils import ConfigError, DataError

__all__ = ["BettiCurve", "BettiCurveD", "BettiCurveDict", "BettiCurved"]


class BettiCurve(Transform):
    r"""Count the components, tunnels and cavities of the dark part of an image, as more and more of it counts as dark.

    .. math:: \beta_k(\tau) = \#\{(b, d) \in D_k : b \le \tau < d\}

    with :math:`D_k` the births and deaths of the holes of dimension k in the sets of places whose value is at most tau,
    k from 0 to one less than the dimensions of space: 0 counts components, 1 loops (of a volume: tunnels), 2 cavities.
    Places are closed cells, which touch at their corners too. A flip or a turn of the image changes nothing. Noise, the
    slowest image, takes some 3 microseconds a place in two dimensions and 15 in three. Needs the extra `topology`.

    Args:
        bins: the number of thresholds tau.
        low: the first threshold.
        high: the last; the others lie evenly between.

    Raises:
        ConfigError: GUDHI is not installed, there is no threshold, or `low` is not below `high`.
        DataError: in the call: the image is not [C, *spatial] in one to three dimensions, or holds what is no number.

    Du et al., Distilling knowledge from topological representations for pathological complete response prediction,
    MICCAI 2022; computed by GUDHI's cubical complex.

    Example::

        >>> import torch
        >>> from monai_kd.transforms import BettiCurve
        >>> ring = torch.ones(1, 5, 5)
        >>> ring[:, 1:4, 1:4] = 0
        >>> ring[:, 2, 2] = 0.6
        >>> BettiCurve(bins=3)(ring)  # at 0, 0.5 and 1: one component; one loop, until it is filled
        tensor([1., 1., 1., 1., 1., 0.])
    """

    backend = Rotate90.backend

    def __init__(self, bins: int = 254, low: float = 0.0, high: float = 1.0) -> None:
        if bins < 1 or not low < high:
            raise ConfigError(
                f"bins must be at least 1 and low below high, got {bins}, {low} and {high}", where="BettiCurve"
            )
        _cubical_complex()
        self.thresholds = np.linspace(low, high, bins)

    def __call__(self, img: NdarrayOrTensor) -> Tensor:
        """Count.

        Args:
            img: [C, *spatial].

        Returns:
            The curves of each channel, dimension after dimension, [C * spatial_dims * bins], where the image is.
        """
        image = convert_to_numpy(img).astype(np.float64)
        finite = np.isfinite(image).all()
        if not 2 <= image.ndim <= 4 or image.size == 0 or not finite:
            raise DataError(
                f"the image is {list(image.shape)}{'' if finite else ' and not finite everywhere'}",
                where="BettiCurve",
                fix="give finite numbers [C, *spatial] in one to three dimensions",
            )
        curves = np.concatenate([self._curves(channel) for channel in image])
        return torch.as_tensor(curves, dtype=torch.float32, device=img.device if isinstance(img, Tensor) else None)

    def _curves(self, channel: np.ndarray) -> np.ndarray:
        complex = _cubical_complex()(top_dimensional_cells=channel)
        complex.compute_persistence(homology_coeff_field=2, min_persistence=0)
        curves = []
        for k in range(channel.ndim):
            born, dead = np.sort(np.asarray(complex.persistence_intervals_in_dimension(k)).reshape(-1, 2), axis=0).T
            curves.append(
                np.searchsorted(born, self.thresholds, "right") - np.searchsorted(dead, self.thresholds, "right")
            )
        return np.concatenate(curves)


class BettiCurved(MapTransform):
    """Note the Betti curves of an item's images, each under a key of its own: `image_betti`.

    Args:
        keys: of the images.
        bins: see `BettiCurve`.
        low: see `BettiCurve`.
        high: see `BettiCurve`.
        names: of the curves; by default the key and `_betti`.
        allow_missing_keys: pass over a key that is not there.

    Raises:
        ConfigError: another number of names than of keys, or see `BettiCurve`.

    Example::

        >>> import torch
        >>> from monai_kd.transforms import BettiCurved
        >>> BettiCurved("image", bins=10)({"image": torch.rand(1, 8, 8)})["image_betti"].shape
        torch.Size([20])
    """

    backend = BettiCurve.backend

    def __init__(
        self,
        keys: KeysCollection,
        bins: int = 254,
        low: float = 0.0,
        high: float = 1.0,
        names: str | Sequence[str] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.curve = BettiCurve(bins, low, high)
        self.names = tuple(f"{key}_betti" for key in self.keys) if names is None else ensure_tuple(names)
        if len(self.names) != len(self.keys):
            raise ConfigError(f"{len(self.names)} names for {len(self.keys)} keys", where="BettiCurved")

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Note the curves of an item's images."""
        item = dict(data)
        for key, name in self.key_iterator(item, self.names):
            item[name] = self.curve(item[key])
        return item


def _cubical_complex() -> Any:
    cubical_complex, found = optional_import("gudhi", name="CubicalComplex")
    if not found:
        raise ConfigError("GUDHI is not installed", where="BettiCurve", fix='pip install "monai-kd[topology]"')
    return cubical_complex


BettiCurveD = BettiCurveDict = BettiCurved
