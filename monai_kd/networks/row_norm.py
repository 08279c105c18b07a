# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["RowNorm"]


class RowNorm(nn.BatchNorm1d):
    """Batch normalisation that takes a lone row, such as the last batch of an epoch may be, where torch refuses it.

    While training, statistics of one row say nothing: it is normalised by the running ones, which it does not move.
    Otherwise this is `torch.nn.BatchNorm1d`, with its arguments and its state.

    Ioffe & Szegedy, Batch normalization, ICML 2015 (arXiv 1502.03167).

    Example::

        >>> import torch
        >>> from monai_kd.networks import RowNorm
        >>> RowNorm(3, affine=False).train()(torch.ones(1, 3))
        tensor([[1.0000, 1.0000, 1.0000]])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise.

        Args:
            input: [N, C] or [N, C, L]; it is a lone row where N and L are 1.
        """
        if self.training and self.running_mean is not None and input.numel() == self.num_features:
            self._check_input_dim(input)
            return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(input)
