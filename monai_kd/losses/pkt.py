# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_kd.losses.checks import check_batch
from monai_kd.losses.functional import full_precision
from monai_kd.losses.grams import cosines, inverse_lengths, of_grams

__all__ = ["PKTLoss"]

_LEAST = 1e-12  # of a probability


class PKTLoss(nn.Module):
    """Keep the probability that one sample is the other's neighbour as the teacher has it.

    .. math:: L = \\frac{1}{N^2} \\sum_{ij} P^t_{ij} \\log \\frac{P^t_{ij}}{P^s_{ij}}, \\qquad
        P_{ij} = \\frac{1 + \\cos(f_i, f_j)}{\\sum_k (1 + \\cos(f_i, f_k))}

    with f the features of a sample, flattened. Widths and sizes may differ. From Gram matrices in float64: it has a
    gradient in half precision, and near the teacher it does not go below 0 by rounding. Under `torch.distributed` a
    `Term` gathers the rows of every process. Time O(N^2 D); of memory the gradient alone.

    Passalis & Tefas, Learning deep representations with probabilistic knowledge transfer, ECCV 2018 (arXiv 1803.10837).

    Example::

        >>> import torch
        >>> from monai_kd.losses import PKTLoss
        >>> PKTLoss()(torch.eye(2), torch.ones(2, 3))
        tensor(0.0294)
    """

    relational = True

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
        check_batch(input, target, where="PKTLoss")
        return of_grams(_divergence, _divergence_and_gradient, input.flatten(1), target.flatten(1))


def _neighbours(gram: Tensor) -> Tensor:
    alike = (cosines(gram) + 1).clamp(min=0)
    return alike / alike.sum(1, keepdim=True)


def _divergence(student: Tensor, teacher: Tensor) -> Tensor:
    p_s, p_t = _neighbours(student), _neighbours(teacher)
    return (torch.xlogy(p_t, p_t) - torch.xlogy(p_t, p_s.clamp(min=_LEAST))).sum() / max(p_t.numel(), 1)


def _divergence_and_gradient(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    both = torch.stack((student, teacher))
    inverse = inverse_lengths(both)
    cosine = both.mul_(inverse.unsqueeze(2)).mul_(inverse.unsqueeze(1))
    alike = (cosine + 1).clamp_(min=0)
    size = alike.sum(2, keepdim=True)
    p_s, p_t = alike / size
    ratio = p_t / p_s.clamp(min=_LEAST)
    total = torch.xlogy(p_t, ratio).sum().clamp(min=0) / max(p_t.numel(), 1)  # below 0 by rounding alone
    if p_s.device.type == "cpu" and p_s.numel() and p_s.amin() > _LEAST:  # there asking is cheap
        gradient = 1 - ratio
    else:  # where p_s is held, nothing moves it
        ratio.masked_fill_(p_s <= _LEAST, 0)
        gradient = ((ratio * p_s).sum(1, keepdim=True) - ratio).masked_fill_(alike[0] == 0, 0)
    gradient.div_(size[0] * max(p_t.numel(), 1))
    turned = gradient * cosine[0]  # by the lengths
    gradient.mul_(inverse[0]).mul_(inverse[0].unsqueeze(1))
    gradient.diagonal().sub_(turned.sum(0).add_(turned.sum(1)).mul_(inverse[0].square()), alpha=0.5)
    return total, gradient
