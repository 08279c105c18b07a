# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_kd.losses.checks import check_positive
from monai_kd.losses.chunked import exact
from monai_kd.losses.divergence import softmax_kl
from monai_kd.losses.functional import full_precision, reduce_rows
from monai_kd.utils import ShapeMismatchError

__all__ = ["ClassRelationLoss"]


class ClassRelationLoss(nn.Module):
    """Keep how near a sample is to the centre of each class as the teacher has it: CRCKD's relation of categories.

    .. math:: L = \\frac{1}{N} \\sum_i \\mathrm{KL}(R^t_i \\| R^s_i), \\qquad
        R_i = \\mathrm{softmax}_c(g_i \\cdot \\mu_c / \\tau)

    with g the embedding of a sample and :math:`\\mu_c` the centre of class c in the same network's space, both of
    length 1; centres are constants. A class whose centre is zero in either space, since no sample of it was seen, is
    left out. Time O(N C D).

    Args:
        temperature: :math:`\\tau`.

    Raises:
        ConfigError: the temperature is not positive.

    Xing et al., Categorical relation-preserving contrastive knowledge distillation for medical image classification,
    MICCAI 2021 (arXiv 2107.03225).

    Example::

        >>> import torch
        >>> from monai_kd.losses import ClassRelationLoss
        >>> loss, embedding, centers = ClassRelationLoss(), torch.eye(2), torch.eye(2)
        >>> loss(embedding, embedding, centers, centers)
        tensor(0.)
    """

    def __init__(self, temperature: float = 0.07) -> None:
        super().__init__()
        self.temperature = check_positive(temperature, "temperature")

    @full_precision
    def forward(self, input: Tensor, target: Tensor, input_centers: Tensor, target_centers: Tensor) -> Tensor:
        """Compare.

        Args:
            input: embeddings of the student, [N, D], of length 1.
            target: embeddings of the teacher, [N, D'], of length 1; no gradient flows into them.
            input_centers: centres of the classes in the student's space, [C, D].
            target_centers: centres of the classes in the teacher's space, [C, D'].

        Returns:
            A scalar.

        Raises:
            ShapeMismatchError: the numbers of samples, of classes or of dimensions differ.
        """
        for role, x, centers in (("student", input, input_centers), ("teacher", target, target_centers)):
            if x.ndim != 2 or centers.ndim != 2 or x.shape[1] != centers.shape[1]:
                raise ShapeMismatchError(
                    f"{role} is {tuple(x.shape)}, its centres {tuple(centers.shape)}",
                    where="ClassRelationLoss",
                    fix="give embeddings [N, D] and centres [C, D]",
                )
        if len(input) != len(target) or len(input_centers) != len(target_centers):
            raise ShapeMismatchError(
                f"student is {tuple(input.shape)} with {len(input_centers)} centres,"
                f" teacher {tuple(target.shape)} with {len(target_centers)}",
                where="ClassRelationLoss",
                fix="both must be embeddings of the same samples and classes",
            )
        input_centers, target_centers = exact(input_centers.detach()), exact(target_centers.detach())
        seen = (input_centers != 0).any(1) & (target_centers != 0).any(1)
        s, t = exact(input) @ input_centers.T, exact(target.detach()) @ target_centers.T
        absent = torch.full((), -1e4, dtype=s.dtype, device=s.device)  # a probability of 0 on both sides
        s, t = (torch.where(seen, x / self.temperature, absent) for x in (s, t))
        return reduce_rows(softmax_kl(s, t)).to(input.dtype)
