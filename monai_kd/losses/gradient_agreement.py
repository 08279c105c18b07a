# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monai_kd.utils import ConfigError, UnknownNameError, suggest

__all__ = ["GradientAgreement"]


class GradientAgreement(nn.Module):
    """Let a term count as often as other terms want the same: the `weighting` of an `Objective`.

    .. math:: w_i \\leftarrow m w_i + (1 - m) \\sum_j \\bigl[\\cos(g_i, g_j) > \\epsilon\\bigr], \\qquad
        g_i = \\frac{\\partial L_i}{\\partial F}

    with F a feature of the student and j over all active terms, i itself among them, so that w is between 1 and their
    number. Terms in `fixed` (the labels') are asked, too, but keep the factor 1. The first batch sets w. Each term
    costs a backward to F. The weights are in the checkpoint; under `torch.distributed` each process has its own.

    Args:
        feature: name in the knowledge of F, which every term's loss is computed from.
        fixed: terms whose factor stays 1.
        threshold: :math:`\\epsilon`.
        momentum: m, in [0, 1).

    Raises:
        ConfigError: the momentum is not in [0, 1); in the call: F has no graph.
        UnknownNameError: in the call: there is no such feature.

    Xing et al., Gradient modulated contrastive distillation of low-rank multi-modal knowledge for disease diagnosis,
    Medical Image Analysis 2023.

    Example::

        >>> import torch
        >>> from monai_kd.losses import GradientAgreement
        >>> f = torch.tensor([[1.0, 0.0]], requires_grad=True)
        >>> losses = {"label": f[:, 0].sum(), "kd": 2 * f[:, 0].sum(), "other": -f[:, 0].sum()}
        >>> {name: float(w) for name, w in GradientAgreement("feature")(losses, {"feature": f}).items()}
        {'kd': 2.0, 'other': 1.0}
    """

    def __init__(
        self, feature: str, fixed: Sequence[str] = ("label",), threshold: float = 0.1, momentum: float = 0.5
    ) -> None:
        super().__init__()
        if not 0 <= momentum < 1:
            raise ConfigError(f"momentum must be in [0, 1), got {momentum!r}", where="GradientAgreement")
        self.feature, self.fixed = feature, tuple(fixed)
        self.threshold, self.momentum = float(threshold), float(momentum)
        self.weights: dict[str, Tensor] = {}

    def forward(self, losses: Mapping[str, Tensor], knowledge: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weigh.

        Args:
            losses: value of each active term, with a graph.
            knowledge: tensors by name.

        Returns:
            The factor of each term that is not fixed, without a graph.
        """
        if self.feature not in knowledge:
            raise UnknownNameError(
                f"no {self.feature!r}", where="GradientAgreement", fix=suggest(self.feature, knowledge, "names")
            )
        feature = knowledge[self.feature]
        if not torch.is_grad_enabled():
            return {}  # nothing learns now
        if not feature.requires_grad:
            raise ConfigError(f"{self.feature!r} has no gradient", where="GradientAgreement", fix="tap the student")
        with torch.no_grad():
            rows = torch.stack([self._gradient(loss, feature) for loss in losses.values()])
            agree = F.cosine_similarity(rows.unsqueeze(0), rows.unsqueeze(1), dim=2) > self.threshold
            agree.fill_diagonal_(True)
            for name, count in zip(losses, agree.sum(1).to(rows.dtype), strict=True):
                if name not in self.fixed:
                    before = self.weights.get(name, count).to(count)
                    self.weights[name] = self.momentum * before + (1 - self.momentum) * count
        return {name: self.weights[name] for name in losses if name not in self.fixed}

    def get_extra_state(self) -> dict[str, Tensor]:
        """The weights, which later batches go on from."""
        return dict(self.weights)

    def set_extra_state(self, state: Mapping[str, Tensor]) -> None:
        """Take up the weights where they were."""
        self.weights = dict(state)

    def _gradient(self, loss: Tensor, feature: Tensor) -> Tensor:
        slope = None
        if loss.requires_grad:
            (slope,) = torch.autograd.grad(loss, feature, retain_graph=True, allow_unused=True)
        slope = torch.zeros_like(feature) if slope is None else slope
        return slope.flatten().to(torch.promote_types(slope.dtype, torch.float32))
