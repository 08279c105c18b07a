# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.blocks import Convolution
from torch import Tensor, nn

from monai_kd.networks.blocks import conv_norm_act
from monai_kd.networks.connector import PooledConnector
from monai_kd.networks.resizing import resize
from monai_kd.utils import ConfigError

__all__ = ["GatedFusion", "MeanLogits", "PooledFusion"]


class GatedFusion(nn.Module):
    r"""Classify by the maps of several networks, of which each counts as much as a gate says for the sample.

    .. math:: z = V \,\overline{h\bigl(\textstyle\sum_i g_i F'_i\bigr)} + b, \qquad
        g = \mathrm{softmax}\bigl(W [\overline{F'_1}, \dots, \overline{F'_P}] + c\bigr), \quad F'_i = W_i * F_i

    at the smallest of the sizes, with h a depthwise convolution of 3 places and one of 1, each with batch normalisation
    and ReLU, and the bar a mean over space.

    The fusion block is that of Kim et al., "Feature fusion for online mutual knowledge distillation", ICPR 2020
    (arXiv 1904.09058); gates are inferred from the abstract of Li et al., "Pathological image classification via
    embedded fusion mutual learning", Biomedical Signal Processing and Control 2023.

    Args:
        spatial_dims: 1, 2 or 3.
        in_channels: channels of each network's map, P of them.
        num_classes: K.

    Raises:
        ConfigError: there are fewer than two networks; in `forward`: another number of maps.

    Example::

        >>> import torch
        >>> from monai_kd.networks import GatedFusion
        >>> fusion = GatedFusion(spatial_dims=2, in_channels=[4, 6], num_classes=3)
        >>> fusion(torch.rand(2, 4, 8, 8), torch.rand(2, 6, 4, 4)).shape
        torch.Size([2, 3])
    """

    def __init__(self, spatial_dims: int, in_channels: Sequence[int], num_classes: int) -> None:
        super().__init__()
        _check_several(in_channels, "GatedFusion")
        width = min(in_channels)
        self.to_width = nn.ModuleList(
            Convolution(spatial_dims, c, width, kernel_size=1, conv_only=True) for c in in_channels
        )
        self.gate = nn.Linear(len(in_channels) * width, len(in_channels))
        depthwise = Convolution(
            spatial_dims, width, width, adn_ordering="NA", norm="batch", act="relu", groups=width, bias=False
        )
        self.fuse = nn.Sequential(depthwise, conv_norm_act(spatial_dims, width, width, kernel_size=1))
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, *maps: Tensor) -> Tensor:
        """Classify.

        Args:
            maps: one of each network, [N, C_i, *spatial].

        Returns:
            Logits [N, K].
        """
        _check_count(maps, len(self.to_width), "GatedFusion")
        size = [min(edges) for edges in zip(*(x.shape[2:] for x in maps), strict=True)]
        alike = [resize(conv(x), size) for conv, x in zip(self.to_width, maps, strict=True)]
        gate = self.gate(torch.cat([x.flatten(2).mean(2) for x in alike], dim=1)).softmax(1)
        weights = gate.T.reshape(len(alike), -1, *[1] * (alike[0].ndim - 1))
        fused = self.fuse(sum(w * x for w, x in zip(weights, alike, strict=True)))
        return self.classifier(fused.flatten(2).mean(2))


class PooledFusion(nn.Module):
    r"""Classify by the pooled features of several networks, with a learnt number for how much each counts.

    .. math:: z = V \sum_i \mathrm{softmax}(a)_i\, (W_i \bar F_i + b_i) + c

    with the bar a mean over space; a is 0 at first. Inferred from the description of MF-OMKT: "Model fusion by online
    mutual knowledge transfer", Artificial Intelligence in Medicine 2022.

    Args:
        in_channels: channels of each network's map, P of them.
        num_classes: K.
        features: width at which they are added up; by default the smallest of `in_channels`.

    Raises:
        ConfigError: there are fewer than two networks; in `forward`: another number of maps.

    Example::

        >>> import torch
        >>> from monai_kd.networks import PooledFusion
        >>> PooledFusion([4, 6], num_classes=3)(torch.rand(2, 4, 8, 8), torch.rand(2, 6, 4, 4)).shape
        torch.Size([2, 3])
    """

    def __init__(self, in_channels: Sequence[int], num_classes: int, features: int | None = None) -> None:
        super().__init__()
        _check_several(in_channels, "PooledFusion")
        width = min(in_channels) if features is None else features
        self.to_width = nn.ModuleList(PooledConnector(c, width) for c in in_channels)
        self.share = nn.Parameter(torch.zeros(len(in_channels)))
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, *maps: Tensor) -> Tensor:
        """Classify.

        Args:
            maps: one of each network, [N, C_i, *spatial] or [N, C_i].

        Returns:
            Logits [N, K].
        """
        _check_count(maps, len(self.to_width), "PooledFusion")
        features = [project(x) for project, x in zip(self.to_width, maps, strict=True)]
        return self.classifier(sum(s * f for s, f in zip(self.share.softmax(0), features, strict=True)))


class MeanLogits(nn.Module):
    """The mean of what several networks answer, [N, C, *spatial]: their ensemble.

    Example::

        >>> import torch
        >>> from monai_kd.networks import MeanLogits
        >>> MeanLogits()(torch.tensor([[0.0, 2.0]]), torch.tensor([[4.0, 2.0]]))
        tensor([[2., 2.]])
    """

    def forward(self, *logits: Tensor) -> Tensor:
        """Average."""
        return torch.stack(logits).mean(0)


def _check_several(in_channels: Sequence[int], where: str) -> None:
    if len(in_channels) < 2:
        raise ConfigError(f"there is nothing to fuse in {list(in_channels)}", where=where, fix="give two networks")


def _check_count(maps: Sequence[Tensor], count: int, where: str) -> None:
    if len(maps) != count:
        raise ConfigError(f"{count} maps are wanted, got {len(maps)}", where=where)
