# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["change_of_odds"]

_LARGE = 1e26  # about e^60: what a float32 probability that vanished may be multiplied with, and still be nothing
_NEAR = 1e-2  # below such a divergence the terms of its sum cancel by more than a digit
_SERIES = 0.05  # up to it four powers are exact to 1e-8; beyond it e^u - 1 - u loses two digits at most


def change_of_odds(p: Tensor, change: Tensor, temperature: float) -> tuple[Tensor, Tensor, Tensor, Tensor] | None:
    """By how much each probability grows when its logits change, along axis 1, in float32 without losing digits.

    .. math:: E = e^u - 1, \\qquad A = \\sum_c p_c E_c, \\qquad u = \\frac{d - \\sum_c p_c d_c}{T}

    so that :math:`p' = p (1 + E) / (1 + A)` and :math:`\\mathrm{KL}(p \\| p') = \\log(1 + A)`. Where the rows are near,
    A in the divergence is summed as :math:`p (E - u)`, whose terms do not cancel.

    Args:
        p: softmax of the logits before.
        change: d, how much is added to T times those logits; overwritten.
        temperature: T.

    Returns:
        E, and by row, the axis kept: A, the divergence, and the mean of d under p. None where a class grows so much
        that float32 does not do.
    """
    spare = p * change
    mean = spare.sum(1, keepdim=True)
    u = change.sub_(mean).mul_(1 / temperature)
    grown = torch.expm1(u)
    if not float(grown.amax()) <= _LARGE:
        return None
    total = torch.mul(p, grown, out=spare).sum(1, keepdim=True)
    if float(total.mean()) >= _NEAR:
        return grown, total, torch.log1p(total), mean
    torch.mul(u, u / 20 + 0.25, out=spare).add_(1).mul_(u).div_(3).add_(1).mul_(u).mul_(u).div_(2)
    remainder = torch.where(u.abs() <= _SERIES, spare, grown - u)
    return grown, total, torch.log1p(remainder.mul_(p).sum(1, keepdim=True)), mean
