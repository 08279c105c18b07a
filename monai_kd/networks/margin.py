# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from monai_kd.utils import ConfigError

__all__ = ["batch_norm_margin"]


def batch_norm_margin(layer: nn.Module) -> Tensor:
    r"""The mean of the negative values that a BatchNorm layer gives, channel by channel: the margin of `OFDLoss`.

    .. math:: m_c = \mathrm{E}[x \mid x < 0] = \beta_c - |\gamma_c| \frac{\varphi(\beta_c / \gamma_c)}
        {\Phi(-\beta_c / |\gamma_c|)}, \qquad x \sim \mathcal N(\beta_c, \gamma_c^2)

    Heo et al., "A Comprehensive Overhaul of Feature Distillation", ICCV 2019 (arXiv 1904.01866).

    Args:
        layer: a BatchNorm with weight and bias.

    Returns:
        [C], at most 0.

    Raises:
        ConfigError: it is no BatchNorm, or has no weight.

    Example::

        >>> import torch
        >>> from monai_kd.networks import batch_norm_margin
        >>> batch_norm_margin(torch.nn.BatchNorm2d(2))
        tensor([-0.7979, -0.7979])
    """
    if not isinstance(layer, _BatchNorm) or layer.weight is None:
        raise ConfigError(f"a BatchNorm with weight and bias is wanted, got {layer!r}", where="batch_norm_margin")
    beta, gamma = layer.bias.detach().double(), layer.weight.detach().double().abs().clamp(min=1e-12)
    z = beta / gamma
    log_density = -0.5 * (z.square() + torch.log(torch.tensor(2 * torch.pi, dtype=torch.float64)))
    mean = beta - gamma * (log_density - torch.special.log_ndtr(-z)).exp()
    return mean.clamp(max=0).to(layer.weight.dtype)
