# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monai_kd.losses.checks import check_logits, check_positive, check_reduction, check_weights
from monai_kd.losses.functional import full_precision
from monai_kd.losses.rows import class_index, compare_rows
from monai_kd.utils import ConfigError

__all__ = ["DKDLoss"]

_ABSENT = -1e9  # a logit whose probability is 0, finite so that differences are numbers


class DKDLoss(nn.Module):
    """Decoupled distillation: the true class against the rest, and the rest among themselves, each with its weight.

    .. math:: L = \\frac{T^2}{M} \\sum_{i=1}^{M} \\bigl( \\alpha \\, \\mathrm{KL}(b_t \\| b_s)
        + \\beta \\, \\mathrm{KL}(\\hat p_t \\| \\hat p_s) \\bigr), \\qquad b = (p_y, 1 - p_y)

    with p = softmax(z / T), y the true class, and :math:`\\hat p` the softmax of z / T without class y, over the M
    rows: samples, pixels or voxels. All in log space. KD is the case :math:`\\alpha = 1, \\beta = 1 - p_{t,y}`. Time
    O(M C); of memory the gradient alone.

    Args:
        alpha: weight of the true class; 0 leaves it out.
        beta: weight of the others, 0 leaves them out; the authors take 2 to 8 on CIFAR-100, 0.5 with T = 1 on ImageNet.
        temperature: T.
        reduction: over rows: 'mean', 'sum' or 'none' (one value a row, [N, *spatial]).

    Raises:
        ConfigError: a weight is negative or both are 0, the temperature is not positive, the reduction unknown; with
            two classes, in `forward`: the rest is then one class, whose softmax is always 1.

    Zhao et al., Decoupled knowledge distillation, CVPR 2022 (arXiv 2203.08679).

    Example::

        >>> import torch
        >>> from monai_kd.losses import DKDLoss
        >>> student, teacher = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[3.0, 0.0, 1.0]])
        >>> DKDLoss(temperature=1)(student, teacher, label=torch.tensor([0]))
        tensor(1.0536)
    """

    selected_by = ("label", "mask")

    def __init__(
        self, alpha: float = 1.0, beta: float = 8.0, temperature: float = 4.0, reduction: str = "mean"
    ) -> None:
        super().__init__()
        self.alpha, self.beta = check_weights(alpha=alpha, beta=beta)
        self.temperature = check_positive(temperature, "temperature")
        self.reduction = check_reduction(reduction)

    @full_precision
    def forward(self, input: Tensor, target: Tensor, label: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """Compare.

        Args:
            input: logits of the student, [N, C] or [N, C, *spatial].
            target: logits of the teacher, the same shape; no gradient flows into them.
            label: true class of each row, [N, *spatial] or [N, 1, *spatial] (negative: the row does not count), or
                one-hot [N, C, *spatial] (all zero: likewise).
            mask: which rows count, [N, *spatial] or [N, 1, *spatial], boolean or weights; without any the loss is 0.

        Returns:
            A scalar, or [N, *spatial] without reduction.

        Raises:
            ClassMismatchError: student and teacher differ in the number of classes, or a label is beyond them.
            ShapeMismatchError: they differ in anything else of their shape, or an extra does not fit.
            ConfigError: there are fewer than three classes.
        """
        check_logits(input, target, mask, where="DKDLoss")
        if input.shape[1] < 3:
            raise ConfigError(
                f"student is {tuple(input.shape)}: of two classes only one is left besides the true one, and nothing "
                "to compare",
                where="DKDLoss",
                fix="use KDLoss",
            )
        return compare_rows(self._rows, input, target, self.reduction, mask, class_index(label, input, where="DKDLoss"))

    def _rows(self, s: Tensor, t: Tensor, y: Tensor) -> Tensor:
        s, t, y = s / self.temperature, t / self.temperature, y.unsqueeze(1)
        z_s, z_t = s.gather(1, y), t.gather(1, y)
        log_s, log_t = s.scatter(1, y, _ABSENT), t.scatter(1, y, _ABSENT)  # the classes but the true one
        sum_s, sum_t = log_s.logsumexp(1, True), log_t.logsumexp(1, True)
        log_s, log_t = log_s - sum_s, log_t - sum_t
        a_s, a_t = z_s - sum_s, z_t - sum_t
        true = F.logsigmoid(a_t) - F.logsigmoid(a_s) + torch.sigmoid(-a_t) * (a_s - a_t)
        others = (log_t.exp() * (log_t - log_s)).sum(1)
        return self.temperature**2 * (self.alpha * true.squeeze(1) + self.beta * others)
