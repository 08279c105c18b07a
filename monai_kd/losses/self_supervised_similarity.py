# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from torch import Tensor, nn

from monai_kd.losses.checks import check_positive, check_reduction
from monai_kd.losses.chunked import exact
from monai_kd.losses.divergence import softmax_kl
from monai_kd.losses.functional import full_precision, reduce_rows
from monai_kd.losses.relations import unit
from monai_kd.utils import ShapeMismatchError, connected_zero

__all__ = ["SelfSupervisedSimilarityLoss"]


class SelfSupervisedSimilarityLoss(nn.Module):
    """Keep how alike a sample's transformed view is to every sample as the teacher's self-supervised head has it.

    .. math:: L = \\frac{T^2}{M} \\sum_{i=1}^{M} \\mathrm{KL}\\bigl(\\mathrm{softmax}_j(A^t_{ij} / T) \\,\\|\\,
        \\mathrm{softmax}_j(A^s_{ij} / T)\\bigr), \\qquad A_{ij} = \\cos(\\tilde z_i, z_j)

    with z the embeddings of the N samples and :math:`\\tilde z` those of M transformed views, of one network. Under
    `torch.distributed` a `Term` gathers the rows of every process. In float64. Time O(M N D), memory O(M N).

    Args:
        temperature: T.
        reduction: over the views: 'mean', 'sum' or 'none' ([M]).

    Raises:
        ConfigError: the temperature is not positive, the reduction unknown.

    Xu et al., Knowledge distillation meets self-supervision, ECCV 2020 (arXiv 2006.07114).

    Example::

        >>> import torch
        >>> from monai_kd.losses import SelfSupervisedSimilarityLoss
        >>> x = torch.eye(3)
        >>> SelfSupervisedSimilarityLoss()(x, x, 2 * x, 5 * x)  # lengths do not matter
        tensor(0.)
    """

    relational = True

    def __init__(self, temperature: float = 0.5, reduction: str = "mean") -> None:
        super().__init__()
        self.temperature = check_positive(temperature, "temperature")
        self.reduction = check_reduction(reduction)

    @full_precision
    def forward(self, input: Tensor, input_views: Tensor, target: Tensor, target_views: Tensor) -> Tensor:
        """Compare.

        Args:
            input: embeddings of the samples by the student, [N, D].
            input_views: of the transformed views, [M, D].
            target: embeddings of the samples by the teacher, [N, D'].
            target_views: of the transformed views, [M, D']; no gradient flows into either.

        Returns:
            A scalar, or [M] without reduction.

        Raises:
            ShapeMismatchError: they are not embeddings of the same samples and views.
        """
        shapes = [tuple(x.shape) for x in (input, input_views, target, target_views)]
        if (
            any(len(shape) != 2 for shape in shapes)
            or any(shapes[i][1] != shapes[i + 1][1] for i in (0, 2))
            or any(shapes[i][0] != shapes[i + 2][0] for i in (0, 1))
        ):
            raise ShapeMismatchError(
                f"student is {shapes[0]} and {shapes[1]}, teacher {shapes[2]} and {shapes[3]}",
                where="SelfSupervisedSimilarityLoss",
                fix="give [N, D], [M, D] of the student and [N, D'], [M, D'] of the teacher",
            )
        if input.numel() == 0 or input_views.numel() == 0:
            return connected_zero(input, input_views)
        s = unit(exact(input_views)) @ unit(exact(input)).T
        t = unit(exact(target_views.detach())) @ unit(exact(target.detach())).T
        rows = self.temperature**2 * softmax_kl(s, t, self.temperature)
        return reduce_rows(rows, self.reduction).to(input.dtype)
