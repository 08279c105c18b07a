# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor, nn

from monai_kd.losses.checks import check_positive, check_weights
from monai_kd.losses.chunked import exact
from monai_kd.losses.functional import full_precision
from monai_kd.utils import ConfigError, ShapeMismatchError

__all__ = ["VICRegLoss"]


class VICRegLoss(nn.Module):
    """Bring the views of a sample together without collapse: variance, invariance, covariance, of two or more views.

    .. math:: L = \\frac{\\lambda}{|P|} \\sum_{(a, b) \\in P} \\frac{1}{N D} \\|z_a - z_b\\|^2
        + \\frac{1}{V} \\sum_a \\Bigl( \\frac{\\mu}{D} \\sum_d \\max(0, 1 - \\sqrt{\\mathrm{var}_d(z_a) + \\epsilon})
        + \\frac{\\nu}{D} \\sum_{d \\ne e} \\mathrm{cov}_{de}(z_a)^2 \\Bigr)

    over the ordered pairs P of the V views (the mean over them is that over unordered ones), with population variance
    and covariance. A view may come from another stain or modality. Under `torch.distributed` a `Term` gathers the rows
    of every process. Gradient flows into all views; it grows with the third power of the embeddings, which may be
    float16 up to about 30. In float64, with the smaller of D x D and N x N. Time O(V N D min(N, D)).

    Args:
        invariance_weight: :math:`\\lambda`.
        variance_weight: :math:`\\mu`.
        covariance_weight: :math:`\\nu`.
        eps: :math:`\\epsilon`.

    Raises:
        ConfigError: a weight is negative or all are 0, `eps` is not positive; in `forward`: fewer than two views.

    Bardes et al., VICReg: variance-invariance-covariance regularization for self-supervised learning, ICLR 2022
    (arXiv 2105.04906); several views: Farndale et al., TriDeNT, 2023 (arXiv 2312.02111).

    Example::

        >>> import torch
        >>> from monai_kd.losses import VICRegLoss
        >>> collapsed = torch.ones(4, 3)
        >>> round(float(VICRegLoss()(collapsed, collapsed)), 2)  # the views agree, and nothing varies
        24.75
    """

    relational = True

    def __init__(
        self,
        invariance_weight: float = 25.0,
        variance_weight: float = 25.0,
        covariance_weight: float = 1.0,
        eps: float = 1e-4,
    ) -> None:
        super().__init__()
        self.invariance_weight, self.variance_weight, self.covariance_weight = check_weights(
            invariance_weight=invariance_weight, variance_weight=variance_weight, covariance_weight=covariance_weight
        )
        self.eps = check_positive(eps, "eps")

    @full_precision
    def forward(self, *views: Tensor) -> Tensor:
        """Compare.

        Args:
            views: embeddings of each view, [N, D].

        Returns:
            A scalar.

        Raises:
            ShapeMismatchError: they are not of one shape [N, D].
            ConfigError: there are fewer than two.
        """
        if len(views) < 2:
            raise ConfigError(f"two views or more are compared, got {len(views)}", where="VICRegLoss")
        shapes = [tuple(view.shape) for view in views]
        if views[0].ndim != 2 or len(set(shapes)) > 1:
            raise ShapeMismatchError(
                f"the views are {', '.join(map(str, shapes))}",
                where="VICRegLoss",
                fix="project all to [N, D] with a `PooledConnector`",
            )
        z = [exact(view) for view in views]
        count = max(z[0].numel(), 1)
        pairs = list(combinations(z, 2))
        apart = torch.stack([(a - b).square().sum() for a, b in pairs]).mean() / count
        total = self.invariance_weight * apart
        for view in z:
            variance, covariance = self._spread(view)
            total = total + (self.variance_weight * variance + self.covariance_weight * covariance) / len(z)
        return total.to(views[0].dtype)

    def _spread(self, z: Tensor) -> tuple[Tensor, Tensor]:
        n, d = z.shape
        if n == 0:
            return z.sum(), z.sum()
        z = z - z.mean(0)
        variances = z.square().mean(0)
        gram = z.T @ z if d <= n else z @ z.T  # of one sum of squares
        apart = (gram.square().sum() / n**2 - variances.square().sum()) / d
        return (1 - (variances + self.eps).sqrt()).clamp(min=0).mean(), apart
