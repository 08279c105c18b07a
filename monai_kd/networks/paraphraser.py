# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from monai.networks.blocks import Convolution
from torch import Tensor, nn

from monai_kd.networks.blocks import conv_norm_act
from monai_kd.networks.resizing import resize
from monai_kd.utils import ConfigError

__all__ = ["Paraphraser", "Translator"]


class Paraphraser(nn.Module):
    r"""Say a teacher's features with fewer channels, its factors, and say them back: a convolutional autoencoder.

    .. math:: f = E(F), \qquad \hat F = D(f)

    of three convolutions each, 3 places along each axis. It learns from :math:`\|F - \hat F\|^2` alone, without labels.

    Kim, Park & Kwak, "Paraphrasing Complex Network: Network Compression via Factor Transfer", NeurIPS 2018
    (arXiv 1802.04977).

    Args:
        spatial_dims: 1, 2 or 3.
        in_channels: channels of the teacher's map, C.
        rate: part of them that the factors have, in (0, 1].

    Raises:
        ConfigError: the rate is not in (0, 1].

    Example::

        >>> import torch
        >>> from monai_kd.networks import Paraphraser
        >>> answer = Paraphraser(spatial_dims=2, in_channels=8, rate=0.5)(torch.rand(2, 8, 6, 6))
        >>> {name: tuple(x.shape) for name, x in answer.items()}
        {'factor': (2, 4, 6, 6), 'reconstruction': (2, 8, 6, 6)}
    """

    def __init__(self, spatial_dims: int, in_channels: int, rate: float = 0.5) -> None:
        super().__init__()
        c, k = in_channels, _factors(in_channels, rate)
        self.encode = nn.Sequential(_layer(spatial_dims, c, c), _layer(spatial_dims, c, k), _layer(spatial_dims, k, k))
        self.decode = nn.Sequential(
            _layer(spatial_dims, k, k, is_transposed=True),
            _layer(spatial_dims, k, c, is_transposed=True),
            Convolution(spatial_dims, c, c, is_transposed=True, conv_only=True),
        )

    def forward(self, input: Tensor) -> dict[str, Tensor]:
        """Paraphrase the teacher's map [N, C, *spatial]: `factor` [N, k, *spatial] and `reconstruction`, like it."""
        factor = self.encode(input)
        return {"factor": factor, "reconstruction": self.decode(factor)}


class Translator(nn.Module):
    """Say a student's features in the factors of a teacher: three convolutions, 3 places along each axis.

    Kim, Park & Kwak, NeurIPS 2018 (arXiv 1802.04977).

    Args:
        spatial_dims: 1, 2 or 3.
        in_channels: channels of the student's map.
        teacher_channels: channels of the teacher's map.
        rate: as that of the `Paraphraser`.

    Raises:
        ConfigError: the rate is not in (0, 1].

    Example::

        >>> import torch
        >>> from monai_kd.networks import Translator
        >>> Translator(3, in_channels=4, teacher_channels=8)(torch.rand(2, 4, 6, 6, 6)).shape
        torch.Size([2, 4, 6, 6, 6])
    """

    def __init__(self, spatial_dims: int, in_channels: int, teacher_channels: int, rate: float = 0.5) -> None:
        super().__init__()
        c, k = in_channels, _factors(teacher_channels, rate)
        self.encode = nn.Sequential(_layer(spatial_dims, c, c), _layer(spatial_dims, c, k), _layer(spatial_dims, k, k))

    def forward(self, input: Tensor, like: Tensor | None = None) -> Tensor:
        """Translate.

        Args:
            input: the student's map, [N, in_channels, *spatial].
            like: a map whose spatial size the output gets, the teacher's.

        Returns:
            [N, k, *size].
        """
        return self.encode(input if like is None else resize(input, like.shape[2:]))


def _factors(channels: int, rate: float) -> int:
    if not 0 < rate <= 1:
        raise ConfigError(f"rate must be in (0, 1], got {rate!r}", where="Paraphraser, Translator")
    return max(1, round(rate * channels))


def _layer(spatial_dims: int, in_channels: int, out_channels: int, is_transposed: bool = False) -> nn.Module:
    leaky = ("leakyrelu", {"negative_slope": 0.1})
    return conv_norm_act(spatial_dims, in_channels, out_channels, act=leaky, is_transposed=is_transposed)
