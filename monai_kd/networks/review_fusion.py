# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from monai.networks.layers import Conv
from torch import Tensor, nn

from monai_kd.networks.connector import Connector
from monai_kd.networks.resizing import LINEAR
from monai_kd.utils import ConfigError

__all__ = ["ReviewFusion"]


class ReviewFusion(nn.Module):
    r"""Fuse the student's stages from deep to shallow by attention, and bring each to the teacher's: ReviewKD's ABF.

    .. math:: x_i = a_1 \odot W_i F_i + a_2 \odot \mathrm{up}(x_{i+1}), \qquad
        (a_1, a_2) = \sigma(A_i [W_i F_i, \mathrm{up}(x_{i+1})]), \qquad y_i = V_i x_i

    Chen et al., "Distilling Knowledge via Knowledge Review", CVPR 2021 (arXiv 2104.09044). Sizes follow the teacher's.

    Args:
        spatial_dims: 1, 2 or 3.
        in_channels: channels of the student's stages, shallow to deep.
        out_channels: channels of the teacher's.
        channels: width of what is fused.

    Raises:
        ConfigError: the two lists differ in length, or are empty.

    Example::

        >>> import torch
        >>> from monai_kd.networks import ReviewFusion
        >>> fusion = ReviewFusion(2, in_channels=[4, 8], out_channels=[8, 16], channels=8)
        >>> student = [torch.rand(2, 4, 8, 8), torch.rand(2, 8, 4, 4)]
        >>> teacher = [torch.rand(2, 8, 9, 8), torch.rand(2, 16, 5, 4)]
        >>> [tuple(y.shape) for y in fusion(*student, *teacher)]
        [(2, 8, 9, 8), (2, 16, 5, 4)]
    """

    def __init__(
        self, spatial_dims: int, in_channels: Sequence[int], out_channels: Sequence[int], channels: int = 64
    ) -> None:
        super().__init__()
        if len(in_channels) != len(out_channels) or not in_channels:
            raise ConfigError(
                f"student has {len(in_channels)} stages, teacher {len(out_channels)}",
                where="ReviewFusion",
                fix="give the channels of as many stages of both",
            )
        conv = Conv[Conv.CONV, spatial_dims]
        self.mode = LINEAR[spatial_dims].value
        self.narrow = nn.ModuleList([Connector(spatial_dims, c, channels) for c in in_channels])
        self.attend = nn.ModuleList([conv(2 * channels, 2, 1) for _ in in_channels[:-1]])
        self.widen = nn.ModuleList(
            [
                nn.Sequential(conv(channels, c, 3, padding=1, bias=False), Connector(spatial_dims, c, c))
                for c in out_channels
            ]
        )

    def forward(self, *maps: Tensor) -> list[Tensor]:
        """Fuse.

        Args:
            maps: the student's stages, shallow to deep, then the teacher's, which only lend their sizes.

        Returns:
            For each stage a map of the teacher's shape.
        """
        stages = len(self.narrow)
        student, teacher = maps[:stages], maps[stages:]
        if len(maps) != 2 * stages:
            raise ConfigError(f"{2 * stages} maps are wanted, got {len(maps)}", where="ReviewFusion")
        fused: list[Tensor] = []
        for i in reversed(range(stages)):
            x = self.narrow[i](student[i], teacher[i])
            if fused:
                deeper = F.interpolate(fused[0], x.shape[2:], mode=self.mode, align_corners=False)
                attention = self.attend[i](torch.cat([x, deeper], dim=1)).sigmoid()
                x = x * attention[:, :1] + deeper * attention[:, 1:]
            fused.insert(0, x)
        return [widen(x) for widen, x in zip(self.widen, fused, strict=True)]
