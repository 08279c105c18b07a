# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

from torch import Tensor, nn

from monai_kd.losses.checks import check_batch, check_positive
from monai_kd.losses.functional import full_precision
from monai_kd.losses.grams import cosines, grams

__all__ = ["CorrelationCongruenceLoss"]


class CorrelationCongruenceLoss(nn.Module):
    """Keep the correlation between the samples of a batch, by a Gaussian kernel, as the teacher has it.

    .. math:: L = \\frac{1}{N^2} \\| K_s - K_t \\|_F^2, \\qquad
        K_{ij} = e^{-2 \\gamma} \\sum_{p=0}^{2} \\frac{(2 \\gamma)^p}{p!} (f_i \\cdot f_j)^p
        \\approx e^{-\\gamma \\|f_i - f_j\\|^2}

    with f the features of a sample, flattened and of length 1: the kernel's Taylor series to the second power. Widths
    and sizes may differ. Under `torch.distributed` a `Term` gathers the rows of every process. Time O(N^2 D); of
    memory the gradient alone.

    Args:
        gamma: the kernel's sharpness.

    Raises:
        ConfigError: gamma is not positive.

    Peng et al., Correlation congruence for knowledge distillation, ICCV 2019 (arXiv 1904.01802).

    Example::

        >>> import torch
        >>> from monai_kd.losses import CorrelationCongruenceLoss
        >>> CorrelationCongruenceLoss()(torch.eye(2), torch.ones(2, 3))
        tensor(0.1266)
    """

    relational = True

    def __init__(self, gamma: float = 0.4) -> None:
        super().__init__()
        self.gamma = check_positive(gamma, "gamma")

    @full_precision
    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compare.

        Args:
            input: features of the student, [N, C] or [N, C, *spatial].
            target: features of the teacher for the same samples, [N, ...]; no gradient flows into them.

        Returns:
            A scalar.

        Raises:
            ShapeMismatchError: the numbers of samples differ.
        """
        check_batch(input, target, where="CorrelationCongruenceLoss")
        k_s, k_t = (self._kernel(g) for g in grams(input.flatten(1), target.flatten(1)))
        return ((k_s - k_t).square().sum() / max(k_t.numel(), 1)).to(input.dtype)

    def _kernel(self, gram: Tensor) -> Tensor:
        scaled = 2 * self.gamma * cosines(gram)
        return (1 + scaled + scaled.square() / 2) * math.exp(-2 * self.gamma)
