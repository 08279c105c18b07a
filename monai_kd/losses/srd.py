# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_kd.losses.checks import check_features, check_positive
from monai_kd.losses.functional import full_precision

__all__ = ["SRDLoss"]


class SRDLoss(nn.Module):
    """Pull normalised features together by the logarithm of a high power of their distance.

    .. math:: L = \\log\\Bigl(\\epsilon + \\sum_k |s_k - t_k|^{\\alpha}\\Bigr)

    over all entries of the batch. The logarithm keeps the gradient's size as the student comes near; the power looks at
    what is worst. The student's features come out of a linear projection and both out of a batch normalisation, in
    passes (`PooledConnector`, `BatchNorm1d`). The least value is :math:`\\log \\epsilon`, which is inferred. Time and
    memory O(N D).

    Args:
        alpha: the power, at least 1.
        eps: :math:`\\epsilon`.

    Raises:
        ConfigError: alpha is below 1, or eps not positive.

    Miles & Mikolajczyk, Understanding the role of the projector in knowledge distillation, AAAI 2024
    (arXiv 2303.11098).

    Example::

        >>> import torch
        >>> from monai_kd.losses import SRDLoss
        >>> SRDLoss()(torch.zeros(1, 3), torch.ones(1, 3))
        tensor(1.0986)
    """

    def __init__(self, alpha: float = 4.0, eps: float = 1e-5) -> None:
        super().__init__()
        self.alpha, self.eps = check_positive(alpha, "alpha", least=1.0), check_positive(eps, "eps")

    @full_precision
    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compare.

        Args:
            input: projected and normalised features of the student, [N, D] or [N, C, *spatial].
            target: normalised features of the teacher, the same shape; no gradient flows into them.

        Returns:
            A scalar.

        Raises:
            ShapeMismatchError: the shapes differ.
        """
        check_features(input, target, where="SRDLoss")
        apart = input - target.detach()
        scale = _largest(apart).clamp(min=1)  # so that no power overflows
        if self.alpha < 2:
            powers = (apart / scale).abs().pow(self.alpha)
        else:
            powers = (apart / scale).square().pow(self.alpha / 2)  # of 4 two products, several times as fast
        return (powers.sum() + self.eps / scale**self.alpha).log() + self.alpha * scale.log()


def _largest(x: Tensor) -> Tensor:
    """The largest size of an entry, a constant."""
    if not x.numel():
        return x.new_zeros(())
    least, most = x.detach().aminmax()
    return torch.maximum(-least, most)
