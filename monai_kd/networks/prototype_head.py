# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import NamedTuple

import torch
from monai.networks.layers import Conv
from torch import Tensor, nn

from monai_kd.utils import ConfigError, ShapeMismatchError, to_float

__all__ = ["NearestPatches", "PrototypeHead"]


class NearestPatches(NamedTuple):
    """What of each image is nearest to each prototype."""

    distance: Tensor
    """Squared, [N, M]."""
    patch: Tensor
    """The features there, [N, M, D]."""
    place: Tensor
    """Its middle, as a part of the map's size along each axis, [N, M, spatial_dims]."""


class PrototypeHead(nn.Module):
    r"""Classify by what in the image looks like which prototype: the head of ProtoPNet, on a map of features.

    .. math:: d_m = \min_x \lVert f_x - p_m \rVert^2, \qquad z = W s, \qquad s_m = \exp(-d_m / D)

    with f the map after two convolutions of one place (ReLU, then sigmoid), and M prototypes, the same number for each
    class, class by class. W is 1 for the own class at first, else -0.5.

    Chen et al., "This looks like that", NeurIPS 2019 (arXiv 1806.10574); the similarity of Wang et al., "Knowledge
    distillation to ensemble global and interpretable prototype-based mammogram classification models", MICCAI 2022
    (arXiv 2209.12420), as re-implemented publicly. The handler `PushPrototypes` makes patches of images of them.

    Args:
        spatial_dims: 1, 2 or 3.
        in_channels: channels of the map.
        num_classes: K.
        per_class: prototypes of each class, M / K.
        features: D, the length of a prototype.

    The attribute `detach` says whether what comes in gets no gradient; a `ScheduleParameter` may set it. The buffers
    `image` [M] and `place` [M, spatial_dims] say which image each prototype is from (-1: none yet), and where its
    middle is, as a part of the size along each axis.

    Raises:
        ConfigError: a number is not positive.
        ShapeMismatchError: in `forward`: the input is not such a map.

    Example::

        >>> import torch
        >>> from monai_kd.networks import PrototypeHead
        >>> head = PrototypeHead(spatial_dims=2, in_channels=8, num_classes=3, per_class=5, features=16)
        >>> {name: tuple(x.shape) for name, x in head(torch.rand(2, 8, 4, 4)).items()}
        {'logits': (2, 3), 'distances': (2, 15)}
    """

    image: Tensor
    place: Tensor

    def __init__(
        self, spatial_dims: int, in_channels: int, num_classes: int, per_class: int = 200, features: int = 128
    ) -> None:
        super().__init__()
        for name, value in (("num_classes", num_classes), ("per_class", per_class), ("features", features)):
            if value < 1:
                raise ConfigError(f"{name} must be at least 1, got {value!r}", where="PrototypeHead")
        self.spatial_dims, self.in_channels = spatial_dims, in_channels
        self.num_classes, self.per_class = num_classes, per_class
        self.detach = False
        conv = Conv[Conv.CONV, spatial_dims]
        self.add_on = nn.Sequential(
            conv(in_channels, features, 1), nn.ReLU(), conv(features, features, 1), nn.Sigmoid()
        )
        self.prototypes = nn.Parameter(torch.rand(num_classes * per_class, features))
        self.classifier = nn.Linear(num_classes * per_class, num_classes, bias=False)
        own = torch.eye(num_classes).repeat_interleave(per_class, dim=1)
        self.classifier.weight.data = 1.5 * own - 0.5
        self.register_buffer("image", torch.full((num_classes * per_class,), -1))
        self.register_buffer("place", torch.full((num_classes * per_class, spatial_dims), -1.0))

    def forward(self, input: Tensor) -> dict[str, Tensor]:
        """Classify a map [N, in_channels, *spatial].

        Returns:
            `logits` z [N, K] and `distances` d [N, M], squared.
        """
        nearest = self._distances(self._places(input)).amin(2)
        similarity = torch.exp(-nearest / self.prototypes.shape[1])
        return {"logits": self.classifier(similarity), "distances": nearest}

    @torch.no_grad()
    def nearest(self, input: Tensor) -> NearestPatches:
        """Find in each map [N, in_channels, *spatial] the place that is nearest to each prototype."""
        places = self._places(input)
        distance, index = self._distances(places).min(2)
        patch = places.mT.gather(1, index.unsqueeze(2).expand(-1, -1, places.shape[1]))
        size = input.shape[2:]
        axes = torch.stack(torch.unravel_index(index, size), dim=2)
        return NearestPatches(distance, patch, (axes + 0.5) / torch.tensor(size, device=index.device))

    def _places(self, input: Tensor) -> Tensor:
        """f, [N, D, places]."""
        if input.ndim != self.spatial_dims + 2 or input.shape[1] != self.in_channels:
            raise ShapeMismatchError(
                f"the input has shape {tuple(input.shape)}",
                where="PrototypeHead",
                fix=f"tap a map of {self.in_channels} channels with {self.spatial_dims} axes of space",
            )
        return to_float(self.add_on(input.detach() if self.detach else input)).flatten(2)

    def _distances(self, places: Tensor) -> Tensor:
        """[N, M, places]."""
        with torch.autocast(places.device.type, enabled=False):
            p = self.prototypes
            distance = places.square().sum(1, keepdim=True) - 2 * p @ places + p.square().sum(1, keepdim=True)
        return distance.clamp(min=0)
