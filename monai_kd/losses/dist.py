# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from torch import Tensor, nn

from monai_kd.losses.checks import check_logits, check_positive, check_several_classes, check_weights
from monai_kd.losses.chunked import exact
from monai_kd.losses.functional import divisor, full_precision, keep_selected

__all__ = ["DISTLoss"]


class DISTLoss(nn.Module):
    """Correlate instead of match: how classes rank within a row, and how rows rank within a class.

    .. math:: L = T^2 \\Bigl( \\frac{\\beta}{M} \\sum_{i=1}^{M} \\bigl(1 - \\rho(p_{s,i:}, p_{t,i:})\\bigr)
        + \\frac{\\gamma}{C} \\sum_{c=1}^{C} \\bigl(1 - \\rho(p_{s,:c}, p_{t,:c})\\bigr) \\Bigr), \\qquad
        \\rho(a, b) = \\frac{\\tilde a \\cdot \\tilde b}{|\\tilde a| |\\tilde b| + \\epsilon}

    with p = softmax(z / T), a tilde for the mean taken off, over the M rows: samples, pixels or voxels. Computed in
    float64. Under `torch.distributed` a `Term` gathers the rows of every process. Time and memory O(M C).

    Args:
        beta: weight within rows; 0 leaves them out.
        gamma: weight within classes; 0 leaves them out.
        temperature: T.

    Raises:
        ConfigError: a weight is negative or both are 0, or the temperature is not positive.

    Huang et al., Knowledge distillation from a stronger teacher, NeurIPS 2022 (arXiv 2205.10536).

    Example::

        >>> import torch
        >>> from monai_kd.losses import DISTLoss
        >>> teacher = torch.tensor([[3.0, 0.0, 1.0], [0.0, 2.0, 1.0]])
        >>> round(float(DISTLoss()(teacher, teacher)), 6), round(float(DISTLoss()(-teacher, teacher)), 4)
        (0.0, 3.8374)
    """

    relational = True
    eps = 1e-8

    def __init__(self, beta: float = 1.0, gamma: float = 1.0, temperature: float = 1.0) -> None:
        super().__init__()
        self.beta, self.gamma = check_weights(beta=beta, gamma=gamma)
        self.temperature = check_positive(temperature, "temperature")

    @full_precision
    def forward(self, input: Tensor, target: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """Compare.

        Args:
            input: logits of the student, [N, C] or [N, C, *spatial], C >= 2.
            target: logits of the teacher, the same shape; no gradient flows into them.
            mask: which rows count, [N, *spatial] or [N, 1, *spatial], boolean or weights (of the correlation within
                classes, too); without any the loss is 0.

        Returns:
            A scalar.

        Raises:
            ClassMismatchError: student and teacher differ in the number of classes.
            ShapeMismatchError: they differ in anything else of their shape, or the mask does not fit.
            ConfigError: there is one class only.
        """
        check_logits(input, target, mask, where="DISTLoss")
        check_several_classes(input, where="DISTLoss", fix="give two logits")
        p_s, p_t = (
            (exact(x).movedim(1, -1).flatten(0, -2) / self.temperature).softmax(1)
            for x in keep_selected(mask, input, target.detach())
        )
        weight = None if mask is None else mask.detach().reshape(-1, 1).to(p_s.dtype)
        rows, classes = self._apart(p_s, p_t, 1), self._apart(p_s, p_t, 0, weight)
        count = p_s.new_full((), len(p_s)) if weight is None else weight.sum()
        rows = rows if weight is None else rows * weight.squeeze(1)
        total = self.beta * rows.sum() / divisor(count) + self.gamma * classes.sum() * (count != 0) / p_s.shape[1]
        return (self.temperature**2 * total).to(input.dtype)

    def _apart(self, a: Tensor, b: Tensor, dim: int, weight: Tensor | None = None) -> Tensor:
        """1 - correlation along an axis; where either is constant it is 1, without a gradient."""
        a, b = (x - _mean(x, dim, weight) for x in (a, b))
        weighted = [x if weight is None else x * weight for x in (a, b)]
        squares = [(x * w).sum(dim) for x, w in zip((a, b), weighted, strict=True)]
        flat = (squares[0] < 1e-30) | (squares[1] < 1e-30)
        size_a, size_b = (x.masked_fill(flat, 1).sqrt() for x in squares)
        return 1 - ((weighted[0] * b).sum(dim) / (size_a * size_b + self.eps)).masked_fill(flat, 0)


def _mean(x: Tensor, dim: int, weight: Tensor | None) -> Tensor:
    if weight is None:
        return x.sum(dim, keepdim=True) / max(x.shape[dim], 1)
    return (x * weight).sum(dim, keepdim=True) / divisor(weight.sum())
