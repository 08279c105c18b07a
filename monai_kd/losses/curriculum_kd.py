# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from torch import Tensor, nn

from monai_kd.losses.checks import check_logits, check_reduction, check_several_classes
from monai_kd.losses.chunked import exact
from monai_kd.losses.functional import full_precision
from monai_kd.losses.rows import compare_rows, log_softmax
from monai_kd.utils import ShapeMismatchError

__all__ = ["CurriculumKDLoss"]


class CurriculumKDLoss(nn.Module):
    """KD whose temperature is a tensor that gets a gradient, of both softmaxes.

    .. math:: L = \\frac{T^2}{M} \\sum_{i=1}^{M} \\mathrm{KL}\\bigl(\\mathrm{softmax}(z_{t,i} / T) \\,\\|\\,
        \\mathrm{softmax}(z_{s,i} / T)\\bigr)

    over the M rows: samples, pixels or voxels, with T from a `LearnedTemperature` pass. In float64. Time O(M C); of
    memory the gradient alone.

    Args:
        reduction: over rows: 'mean', 'sum' or 'none' (one value a row, [N, *spatial]).

    Raises:
        ConfigError: the reduction is unknown.

    Li et al., Curriculum temperature for knowledge distillation, AAAI 2023 (arXiv 2211.16231).

    Example::

        >>> import torch
        >>> from monai_kd.losses import CurriculumKDLoss
        >>> student, teacher = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[3.0, 0.0, 0.0]])
        >>> CurriculumKDLoss()(student, teacher, temperature=torch.tensor(4.0))
        tensor(0.4968)
    """

    selected_by = ("mask",)

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = check_reduction(reduction)

    @full_precision
    def forward(self, input: Tensor, target: Tensor, temperature: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """Compare.

        Args:
            input: logits of the student, [N, C] or [N, C, *spatial], C >= 2.
            target: logits of the teacher, the same shape; no gradient flows into them.
            temperature: T, a scalar above 0; gradient flows into it.
            mask: which rows count, [N, *spatial] or [N, 1, *spatial], boolean or weights; without any the loss is 0.

        Returns:
            A scalar, or [N, *spatial] without reduction.

        Raises:
            ClassMismatchError: student and teacher differ in the number of classes.
            ShapeMismatchError: they differ in anything else of their shape, the mask does not fit, or the
                temperature is no scalar.
            ConfigError: there is one class only.
        """
        check_logits(input, target, mask, where="CurriculumKDLoss")
        check_several_classes(input, where="CurriculumKDLoss", fix="use BinaryKDLoss")
        if temperature.numel() != 1:
            raise ShapeMismatchError(f"temperature is {tuple(temperature.shape)}, no scalar", where="CurriculumKDLoss")
        shared = exact(temperature.reshape(1, 1, 1)).expand(input.shape[0], 1, 1)
        return compare_rows(_rows, input, target, self.reduction, mask, shared=[shared])


def _rows(s: Tensor, t: Tensor, temperature: Tensor) -> Tensor:
    log_s, log_t = (log_softmax(x / temperature) for x in (s, t))
    return (log_t.exp() * (log_t - log_s)).sum(1) * temperature.square().squeeze(2)
