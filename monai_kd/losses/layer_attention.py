# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from torch import Tensor, nn

from monai_kd.losses.functional import full_precision
from monai_kd.utils import ShapeMismatchError

__all__ = ["LayerAttentionLoss"]


class LayerAttentionLoss(nn.Module):
    """Let every layer of the student follow those layers of the teacher that it attends to.

    .. math:: L = \\frac{1}{N I} \\sum_n \\sum_{i=1}^{I} \\sum_{j=1}^{J} a_{nij} d_{nij}

    with d the distance of the student's layer i from the teacher's layer j for sample n and a the attention, both from
    a `LayerAttention` pass. Gradient flows into both. Time O(N I J).

    Chen et al., Cross-layer distillation with semantic calibration, AAAI 2021 (arXiv 2012.03236); Javed et al.,
    Knowledge distillation in histology landscape by multi-layer features supervision, JBHI 2023.

    Example::

        >>> import torch
        >>> from monai_kd.losses import LayerAttentionLoss
        >>> LayerAttentionLoss()(torch.tensor([[[4.0, 0.0]]]), torch.tensor([[[0.25, 0.75]]]))
        tensor(1.)
    """

    @full_precision
    def forward(self, distance: Tensor, attention: Tensor) -> Tensor:
        """Weigh.

        Args:
            distance: d, [N, I, J].
            attention: a, [N, I, J]; over j it sums to 1.

        Returns:
            A scalar.

        Raises:
            ShapeMismatchError: they are not of one shape [N, I, J].
        """
        if distance.ndim != 3 or distance.shape != attention.shape:
            raise ShapeMismatchError(
                f"distance is {tuple(distance.shape)}, attention {tuple(attention.shape)}",
                where="LayerAttentionLoss",
                fix="both must be [N, I, J], as a `LayerAttention` gives them",
            )
        n, layers = distance.shape[:2]
        return (attention * distance).sum() / max(n * layers, 1)
