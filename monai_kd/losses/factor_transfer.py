# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from torch import Tensor, nn

from monai_kd.losses.checks import check_features, check_positive
from monai_kd.losses.functional import full_precision
from monai_kd.losses.unit_scales import unit_apart_total

__all__ = ["FactorTransferLoss"]


class FactorTransferLoss(nn.Module):
    """Translate the student's features into the factors that the teacher's were paraphrased to.

    .. math:: L = \\frac{1}{N D} \\sum_n \\Bigl\\|
        \\frac{f^s_n}{\\|f^s_n\\|_2} - \\frac{f^t_n}{\\|f^t_n\\|_2} \\Bigr\\|_p^p

    with the D entries of a sample's factors in a row, those of the teacher from a `Paraphraser`, those of the student
    from a `Translator`. Time O(N D); of memory the gradient alone.

    Args:
        p: 1 (the authors' choice) or 2, or any power not below 1.

    Raises:
        ConfigError: p is below 1.

    Kim, Park & Kwak, Paraphrasing complex network: network compression via factor transfer, NeurIPS 2018
    (arXiv 1802.04977).

    Example::

        >>> import torch
        >>> from monai_kd.losses import FactorTransferLoss
        >>> FactorTransferLoss()(torch.tensor([[5.0, 0.0]]), torch.tensor([[0.0, 2.0]]))
        tensor(1.)
    """

    def __init__(self, p: float = 1.0) -> None:
        super().__init__()
        self.p = check_positive(p, "p", least=1.0)

    @full_precision
    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compare.

        Args:
            input: factors of the student, [N, C] or [N, C, *spatial].
            target: factors of the teacher, the same shape; no gradient flows into them.

        Returns:
            A scalar.

        Raises:
            ShapeMismatchError: the shapes differ.
        """
        check_features(input, target, where="FactorTransferLoss")
        return unit_apart_total(input.flatten(1), target.flatten(1), self.p) / max(input.numel(), 1)
