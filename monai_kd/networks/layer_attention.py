# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import torch
from monai.networks.blocks import Convolution
from torch import Tensor, nn

from monai_kd.networks.blocks import conv_norm_act
from monai_kd.networks.connector import PooledConnector
from monai_kd.networks.resizing import resize
from monai_kd.utils import ConfigError, to_float

__all__ = ["LayerAttention"]


class LayerAttention(nn.Module):
    r"""Compare every layer of the student with every layer of the teacher, and say which of them matter.

    .. math:: d_{nij} = \frac{1}{C S} \| \phi_{ij}(F^s_i) - F^t_j \|^2, \qquad
        a_{nij} = \mathrm{softmax}_j(q_{ni} \cdot k_{nj}) \quad \text{or} \quad \mathrm{softmax}_j(\theta_{ij})

    at the smaller of the two sizes, with :math:`\phi` three convolutions to the teacher's channels (1, 3 and 1 places
    wide). Queries and keys are projections of length 1 of what a layer says on average over space (SemCKD takes rows of
    the batch's similarity matrix, which fixes the batch size); theta is one learnable number for a pair of layers,
    0 at first (inferred from KDTP's abstract).

    Chen et al., "Cross-Layer Distillation with Semantic Calibration", AAAI 2021 (arXiv 2012.03236); Javed et al.,
    "Knowledge Distillation in Histology Landscape by Multi-Layer Features Supervision", JBHI 2023.

    Args:
        spatial_dims: 1, 2 or 3.
        in_channels: channels of the student's layers, I of them.
        out_channels: channels of the teacher's layers, J of them.
        features: length of queries and keys; None for theta.

    Raises:
        ConfigError: a list is empty; in `forward`, there are not I + J maps.

    Example::

        >>> import torch
        >>> from monai_kd.networks import LayerAttention
        >>> attention = LayerAttention(2, in_channels=[4, 8], out_channels=[6, 8, 10])
        >>> student = [torch.rand(2, 4, 8, 8), torch.rand(2, 8, 4, 4)]
        >>> teacher = [torch.rand(2, 6, 8, 8), torch.rand(2, 8, 4, 4), torch.rand(2, 10, 2, 2)]
        >>> {name: tuple(x.shape) for name, x in attention(*student, *teacher).items()}
        {'distance': (2, 2, 3), 'attention': (2, 2, 3)}
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: Sequence[int],
        out_channels: Sequence[int],
        features: int | None = 64,
    ) -> None:
        super().__init__()
        if not in_channels or not out_channels:
            raise ConfigError(
                f"student has {len(in_channels)} layers, teacher {len(out_channels)}",
                where="LayerAttention",
                fix="give the channels of at least one layer of both",
            )
        self.counts = len(in_channels), len(out_channels)
        self.phi = nn.ModuleList(_translation(spatial_dims, c_s, c_t) for c_s in in_channels for c_t in out_channels)
        if features is None:
            self.theta = nn.Parameter(torch.zeros(self.counts))
        else:
            self.query, self.key = (
                nn.ModuleList(PooledConnector(c, features, normalize=True) for c in channels)
                for channels in (in_channels, out_channels)
            )

    def forward(self, *maps: Tensor) -> dict[str, Tensor]:
        """Compare.

        Args:
            maps: the student's layers, then the teacher's, [N, C, *spatial]; no gradient flows into the teacher's.

        Returns:
            `distance` and `attention`, [N, I, J].
        """
        i, j = self.counts
        if len(maps) != i + j:
            raise ConfigError(f"{i + j} maps are wanted, got {len(maps)}", where="LayerAttention")
        student, teacher = maps[:i], [t.detach() for t in maps[i:]]
        pairs = zip(self.phi, product(student, teacher), strict=True)
        distance = torch.stack([_distance(phi, s, t) for phi, (s, t) in pairs], dim=1).unflatten(1, self.counts)
        return {"distance": distance, "attention": self._attention(student, teacher)}

    def _attention(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        if hasattr(self, "theta"):
            return self.theta.softmax(1).expand(student[0].shape[0], -1, -1)
        q, k = (
            torch.stack([project(x) for project, x in zip(projections, maps, strict=True)], dim=1)
            for projections, maps in ((self.query, student), (self.key, teacher))
        )
        return (q @ k.mT).softmax(2)


def _translation(spatial_dims: int, in_channels: int, out_channels: int) -> nn.Module:
    wide = 2 * out_channels
    return nn.Sequential(
        conv_norm_act(spatial_dims, in_channels, wide, kernel_size=1),
        conv_norm_act(spatial_dims, wide, wide),
        Convolution(spatial_dims, wide, out_channels, kernel_size=1, conv_only=True),
    )


def _distance(phi: nn.Module, s: Tensor, t: Tensor) -> Tensor:
    """One number a sample, [N]."""
    size = [min(a, b) for a, b in zip(s.shape[2:], t.shape[2:], strict=True)]
    return to_float(phi(resize(s, size)) - resize(t, size)).square().flatten(1).mean(1)
