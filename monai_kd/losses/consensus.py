# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from monai_kd.losses.checks import check_logits, check_positive
from monai_kd.losses.functional import full_precision
from monai_kd.losses.probability_mse import ProbabilityMSELoss
from monai_kd.utils import ConfigError, ShapeMismatchError

__all__ = ["ConsensusLoss", "consensus_weights"]


def consensus_weights(sigma: Sequence[float] = (1.0, 1.0, 1.0)) -> tuple[float, float, float, float]:
    """How much two networks and the label count, if all three are noisy readings of a consensus that nobody sees.

    .. math:: \\lambda_1 = \\frac{a g}{a + b + g}, \\quad \\lambda_2 = \\frac{b g}{a + b + g}, \\quad
        \\lambda_{12}^L = \\frac{a b}{a + b + g}, \\quad \\lambda_{12}^U = \\frac{a b}{a + b}, \\qquad
        (a, b, g) = (\\sigma_1^{-2}, \\sigma_2^{-2}, \\sigma_L^{-2})

    Args:
        sigma: standard deviations of the first network, of the second and of the label about the consensus.

    Returns:
        The weights of first network and label, of second network and label, of both networks where there is a label,
        and where there is none.

    Raises:
        ConfigError: they are not three positive numbers.

    Example::

        >>> from monai_kd.losses import consensus_weights
        >>> [round(w, 3) for w in consensus_weights((1, 1, 1))]
        [0.333, 0.333, 0.333, 0.5]
    """
    if len(sigma) != 3:
        raise ConfigError(f"sigma must be three numbers, got {list(sigma)}")
    a, b, g = (check_positive(s, "sigma") ** -2 for s in sigma)
    return a * g / (a + b + g), b * g / (a + b + g), a * b / (a + b + g), a * b / (a + b)


class ConsensusLoss(nn.Module):
    """Bring the answers of two networks together, less where a label already does.

    .. math:: L = \\frac{\\lambda_{12}^L}{n_L} \\sum_{i \\in L} \\|p_i - q_i\\|^2 +
        \\frac{\\lambda_{12}^U}{n_U} \\sum_{i \\in U} \\|p_i - q_i\\|^2, \\qquad p = \\mathrm{softmax}(z)
        \\text{ or } \\sigma(z)

    over the labelled and the unlabelled samples, each with a mean of its own (over places, too), with the weights of
    `consensus_weights`. The other network's p is a constant here: a second term with the two in each other's place
    gives both the gradients of the paper. Time O(N C S); of memory, on a CPU, the gradient alone.

    Args:
        sigma: see `consensus_weights`.
        sigmoid: take the sigmoid of each logit instead of the softmax over classes.

    Raises:
        ConfigError: sigma is not three positive numbers.

    Unnikrishnan et al., Semi-supervised classification of radiology images with NoTeacher: a teacher that is not mean,
    Medical Image Analysis 2021 (arXiv 2108.04423).

    Example::

        >>> import torch
        >>> from monai_kd.losses import ConsensusLoss
        >>> one, other = torch.tensor([[0.0, 0.0], [0.0, 0.0]]), torch.tensor([[99.0, -99.0], [99.0, -99.0]])
        >>> ConsensusLoss()(one, other, labeled=torch.tensor([True, False]))  # (1 / 3 + 1 / 2) of a half
        tensor(0.4167)
    """

    def __init__(self, sigma: Sequence[float] = (1.0, 1.0, 1.0), sigmoid: bool = False) -> None:
        super().__init__()
        self.difference = ProbabilityMSELoss(sigmoid, reduction="sum")
        *_, self.labeled_weight, self.unlabeled_weight = consensus_weights(sigma)

    @full_precision
    def forward(self, input: Tensor, target: Tensor, labeled: Tensor | None = None) -> Tensor:
        """Compare.

        Args:
            input: logits of one network, [N, C] or [N, C, *spatial]; C >= 2 unless `sigmoid`.
            target: logits of the other, the same shape; no gradient flows into them.
            labeled: which samples have a label, boolean, [N]; None: all.

        Returns:
            A scalar.

        Raises:
            ClassMismatchError: the networks differ in the number of classes.
            ShapeMismatchError: they differ in anything else of their shape, or `labeled` is not one boolean a sample.
            ConfigError: there is one class only, without `sigmoid`.
        """
        check_logits(input, target, where="ConsensusLoss")
        n = input.shape[0]
        if labeled is None:
            labeled = torch.ones(n, dtype=torch.bool, device=input.device)
        if labeled.numel() != n:
            raise ShapeMismatchError(
                f"labeled is {tuple(labeled.shape)}, the networks answer {tuple(input.shape)}",
                where="ConsensusLoss",
                fix="give one boolean a sample",
            )
        known = labeled.reshape(-1).bool()
        places = max(math.prod(input.shape[2:]), 1)
        with_label, without = (
            w * input.shape[1] / (kind.sum().to(input.dtype).clamp(min=1) * places)
            for w, kind in ((self.labeled_weight, known), (self.unlabeled_weight, ~known))
        )
        share = torch.where(known, with_label, without).reshape(n, *[1] * (input.ndim - 2))
        return self.difference(input, target, mask=share.expand(n, *input.shape[2:]))
