# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_kd.losses.checks import check_batch, check_positive
from monai_kd.losses.chunked import exact
from monai_kd.losses.functional import full_precision, gram, unit_rows
from monai_kd.utils import ConfigError, ShapeMismatchError, connected_zero

__all__ = ["LowRankLoss", "shrink_tubal_rank"]


def shrink_tubal_rank(x: Tensor, threshold: float) -> Tensor:
    """Take `threshold` off the singular values of a stack of relations (t-SVD): its low-rank part.

    .. math:: E = \\mathcal{F}^{-1}\\bigl[ U_f \\max(\\Sigma_f - \\theta, 0) V_f^H \\bigr], \\qquad
        U_f \\Sigma_f V_f^H = \\mathcal{F}[A]_f

    with the Fourier transform over the second axis and the singular values of each slice [N, V].

    Args:
        x: A, [N, N, V]; what is not a number counts as 0.
        threshold: :math:`\\theta`.

    Example::

        >>> import torch
        >>> from monai_kd.losses.low_rank import shrink_tubal_rank
        >>> shrink_tubal_rank(torch.eye(2).unsqueeze(2).double(), threshold=0.5).squeeze(2)
        tensor([[0.6464, 0.0000],
                [0.0000, 0.6464]], dtype=torch.float64)
    """
    slices = torch.fft.rfft(x.nan_to_num().permute(1, 0, 2), dim=0)  # the decomposition refuses what is not finite
    u, s, v = torch.linalg.svd(slices, full_matrices=False)
    low = (u * (s - threshold).clamp(min=0).unsqueeze(1)) @ v
    return torch.fft.irfft(low, n=x.shape[1], dim=0).permute(1, 0, 2)


class LowRankLoss(nn.Module):
    """Let several views of a batch, of other modalities or averaged over time, relate its samples alike: low rank.

    .. math:: L = \\frac{\\mu}{2} \\sum_v \\| A_v - E_v \\|_F^2, \\qquad
        E = \\arg\\min_X \\frac{\\lambda}{\\mu} \\|X\\|_* + \\frac{1}{2} \\|X - A\\|_F^2

    with :math:`A_v` the Gram matrix of a view's features, each row divided by its length, and the nuclear norm of the
    t-SVD; E is a constant, made by `shrink_tubal_rank`. The least value is not 0, also for equal views. The authors'
    code lacks the step to E: which axis is transformed is inferred (by it the order of the samples counts). They start
    at :math:`\\mu` = 1e-5, times 1.1 an iteration up to 1 (`ScheduleParameter`); until :math:`\\lambda / \\mu` is
    below the largest singular value E is 0 and there is next to no gradient. Under `torch.distributed` a `Term` gathers
    the rows of every process. In float64. Time O(V N^2 D + V^2 N^2), memory O(V N^2).

    Args:
        rank_weight: :math:`\\lambda` of the nuclear norm, not negative.
        penalty_weight: :math:`\\mu` of the distance from the low-rank part.

    Raises:
        ConfigError: the first is negative or the second not positive.

    Xing et al., Gradient modulated contrastive distillation of low-rank multi-modal knowledge for disease diagnosis,
    MedIA 2023.

    Example::

        >>> import torch
        >>> from monai_kd.losses import LowRankLoss
        >>> own, other = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 1.0], [0.0, 1.0]])
        >>> LowRankLoss(rank_weight=0.1)(own, other)
        tensor(0.0077)
    """

    relational = True

    def __init__(self, rank_weight: float = 0.1, penalty_weight: float = 1.0) -> None:
        super().__init__()
        if not rank_weight >= 0:
            raise ConfigError(f"rank_weight must not be negative, got {rank_weight!r}")
        self.rank_weight, self.penalty_weight = float(rank_weight), check_positive(penalty_weight, "penalty_weight")

    @full_precision
    def forward(self, input: Tensor, *targets: Tensor) -> Tensor:
        """Compare.

        Args:
            input: features of the student, [N, C] or [N, C, *spatial].
            targets: one or more other views of the same samples, [N, ...] each; no gradient flows into them.

        Returns:
            A scalar.

        Raises:
            ShapeMismatchError: the numbers of samples differ, or there is no other view.
        """
        if not targets:
            raise ShapeMismatchError("there is one view", where="LowRankLoss", fix="give two views or more")
        for target in targets:
            check_batch(input, target, where="LowRankLoss")
        if input.shape[0] == 0:
            return connected_zero(input)
        views = [input, *(t.detach() for t in targets)]
        a = torch.stack([unit_rows(gram(exact(x))) for x in views], dim=2)
        with torch.no_grad():
            e = shrink_tubal_rank(a, self.rank_weight / self.penalty_weight)
        return (self.penalty_weight / 2 * (a - e).square().sum()).to(input.dtype)
