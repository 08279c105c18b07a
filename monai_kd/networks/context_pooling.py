# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from monai.networks.layers import Conv
from torch import Tensor, nn

from monai_kd.utils import ShapeMismatchError, to_float

__all__ = ["ContextPooling"]


class ContextPooling(nn.Module):
    r"""One vector for a whole map, the mean over the places that a learnt attention picks: ReCo-KD's context.

    .. math:: g = \sum_x a_x F_x, \qquad a = \mathrm{softmax}_x(w \cdot F_x)

    The same w for student and teacher, so that it learns with the student (inferred). `HintLoss` compares the two.

    Lan et al., "ReCo-KD: Region- and Context-Aware Knowledge Distillation for Efficient 3D Medical Image Segmentation",
    2026 (arXiv 2601.08301).

    Args:
        spatial_dims: 1, 2 or 3.
        in_channels: channels of both maps.

    Raises:
        ShapeMismatchError: in `forward`: the channels differ.

    Example::

        >>> import torch
        >>> from monai_kd.networks import ContextPooling
        >>> pooling = ContextPooling(spatial_dims=3, in_channels=4)
        >>> context = pooling(torch.rand(2, 4, 6, 6, 6), torch.rand(2, 4, 3, 3, 3))
        >>> {name: tuple(x.shape) for name, x in context.items()}
        {'input': (2, 4), 'target': (2, 4)}
    """

    def __init__(self, spatial_dims: int, in_channels: int) -> None:
        super().__init__()
        self.attend = Conv[Conv.CONV, spatial_dims](in_channels, 1, 1, bias=False)

    def forward(self, input: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Pool.

        Args:
            input: map of the student, through a connector, [N, C, *spatial].
            target: map of the teacher, [N, C, *spatial]; the size may be another.

        Returns:
            `input` and `target`, [N, C].
        """
        if input.shape[:2] != target.shape[:2]:
            raise ShapeMismatchError(
                f"student is {tuple(input.shape)}, teacher {tuple(target.shape)}",
                where="ContextPooling",
                fix="put a `Connector` before it",
            )
        return {"input": self._pool(input), "target": self._pool(target)}

    def _pool(self, x: Tensor) -> Tensor:
        weights = to_float(self.attend(x)).flatten(2).softmax(2)
        return (to_float(x).flatten(2) * weights).sum(2)
