# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from torch import Tensor, nn

from monai_kd.losses.sample_relation import SampleRelationLoss

__all__ = ["SimilarityPreservingLoss"]


class SimilarityPreservingLoss(nn.Module):
    """Let inputs that the teacher finds alike be alike for the student.

    .. math:: L = \\frac{1}{N^2} \\| R_s - R_t \\|_F^2, \\qquad R_i = G_i / \\|G_i\\|_2, \\quad G = F F^T

    with F the features of the N samples, one flattened sample a row: `SampleRelationLoss` over N. Rows are divided by
    their L2 norm. Widths and sizes may differ. Under `torch.distributed` a `Term` gathers the rows of every process.
    Time O(N^2 D), memory O(N D).

    Tung & Mori, Similarity-preserving knowledge distillation, ICCV 2019 (arXiv 1907.09682).

    Example::

        >>> import torch
        >>> from monai_kd.losses import SimilarityPreservingLoss
        >>> SimilarityPreservingLoss()(torch.eye(2), torch.ones(2, 3))
        tensor(0.2929)
    """

    relational = True

    def __init__(self) -> None:
        super().__init__()
        self.relation = SampleRelationLoss()

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
        return self.relation(input, target) / max(input.shape[0], 1)
