# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_kd.networks.teacher import Teacher
from monai_kd.utils import ConfigError

__all__ = ["MonteCarloTeacher"]


class MonteCarloTeacher(nn.Module):
    r"""Ask a teacher several times with noise on the image, and average the probabilities: how sure it is.

    .. math:: \bar p = \frac{1}{K} \sum_{k=1}^{K} \mathrm{softmax}(f(x + \epsilon_k)), \qquad
        \epsilon_k \sim \mathcal N(0, \sigma^2), \; |\epsilon_k| \le 2 \sigma

    Yu et al., "Uncertainty-aware Self-ensembling Model for Semi-supervised 3D Left Atrium Segmentation", MICCAI 2019
    (arXiv 1907.07034). Dropout takes part where the `Teacher` is in train mode.

    Args:
        teacher: a `Teacher`; it is held, not copied, and has no parameters here.
        samples: K.
        std: sigma.

    Raises:
        ConfigError: `teacher` is no `Teacher`, or a number is not positive.

    Example::

        >>> import torch
        >>> from monai_kd.networks import MonteCarloTeacher, Teacher
        >>> teacher = MonteCarloTeacher(Teacher(torch.nn.Conv2d(1, 3, 1)), samples=4)
        >>> teacher(torch.rand(2, 1, 5, 5)).sum(1).allclose(torch.ones(2, 5, 5))
        True
    """

    def __init__(self, teacher: Teacher, samples: int = 8, std: float = 0.1) -> None:
        super().__init__()
        if not isinstance(teacher, Teacher):
            raise ConfigError(f"a Teacher is wanted, got {type(teacher).__name__}", where="MonteCarloTeacher")
        if samples < 1 or not std > 0:
            raise ConfigError(f"samples and std must be positive, got {samples}, {std}", where="MonteCarloTeacher")
        self.teacher, self.samples, self.std = teacher, int(samples), float(std)

    @torch.no_grad()
    def forward(self, input: Tensor) -> Tensor:
        """Return the mean probabilities, [N, C, *spatial], for `input` [N, channels, *spatial]."""
        total: Tensor | None = None
        for _ in range(self.samples):
            noise = (torch.randn_like(input) * self.std).clamp(-2 * self.std, 2 * self.std)
            probability = self.teacher(input + noise).float().softmax(1)
            total = probability if total is None else total + probability
        assert total is not None
        return total / self.samples
