# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_kd.losses.checks import check_logits, check_positive, check_reduction, check_several_classes
from monai_kd.losses.functional import full_precision
from monai_kd.losses.rows import compare_rows, log_softmax

__all__ = ["SoftTargetKDLoss", "soft_target_kl"]


def soft_target_kl(input: Tensor, target: Tensor, temperature: float) -> Tensor:
    """The divergence of softmax(input / T) from probabilities, along axis 1; each row of these is divided by its sum.

    Args:
        input: logits, [N, C, ...].
        target: probabilities, the same shape, not negative; a row of zeros gives 0.
        temperature: T.
    """
    total = target.sum(1, keepdim=True)
    p = target / torch.where(total == 0, torch.ones_like(total), total)
    return (torch.xlogy(p, p) - p * log_softmax(input / temperature)).sum(1)


class SoftTargetKDLoss(nn.Module):
    """KD from probabilities instead of logits: of an ensemble, of several readers, or stored ones.

    .. math:: L = \\frac{T^2}{M} \\sum_{i=1}^{M} \\mathrm{KL}\\bigl(p_i \\,\\|\\, \\mathrm{softmax}(z_{s,i} / T)\\bigr)

    over the M rows: samples, pixels or voxels. The probabilities p are taken as softened already; each row is divided
    by its sum. Time O(M C); of memory the gradient alone.

    Args:
        temperature: T of the student.
        reduction: over rows: 'mean', 'sum' or 'none' (one value a row, [N, *spatial]).

    Raises:
        ConfigError: the temperature is not positive, the reduction unknown.

    Hinton, Vinyals & Dean, Distilling the knowledge in a neural network, 2015 (arXiv 1503.02531).

    Example::

        >>> import torch
        >>> from monai_kd.losses import SoftTargetKDLoss
        >>> SoftTargetKDLoss()(torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0]]))
        tensor(0.6931)
    """

    selected_by = ("mask",)

    def __init__(self, temperature: float = 1.0, reduction: str = "mean") -> None:
        super().__init__()
        self.temperature = check_positive(temperature, "temperature")
        self.reduction = check_reduction(reduction)

    @full_precision
    def forward(self, input: Tensor, target: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """Compare.

        Args:
            input: logits of the student, [N, C] or [N, C, *spatial].
            target: probabilities of the classes, the same shape; no gradient flows into them.
            mask: which rows count, [N, *spatial] or [N, 1, *spatial], boolean or weights; without any the loss is 0.

        Returns:
            A scalar, or [N, *spatial] without reduction.

        Raises:
            ClassMismatchError: student and teacher differ in the number of classes.
            ShapeMismatchError: they differ in anything else of their shape, or an extra does not fit.
            ConfigError: there is one class only.
        """
        check_logits(input, target, mask, where="SoftTargetKDLoss")
        check_several_classes(input, where="SoftTargetKDLoss", fix="give two logits")
        return compare_rows(self._rows, input, target, self.reduction, mask)

    def _rows(self, s: Tensor, p: Tensor) -> Tensor:
        return self.temperature**2 * soft_target_kl(s, p, self.temperature)
