# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from monai.networks.layers import Conv, get_act_layer, get_norm_layer
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.instancenorm import _InstanceNorm

from monai_kd.networks.resizing import AVERAGE_POOL, grow, shrink
from monai_kd.utils import ConfigError, ShapeMismatchError

__all__ = ["Connector", "PooledConnector"]


class Connector(nn.Module):
    r"""Give a feature map another network's channels, and its spatial size: the regressor between hint layers.

    .. math:: y = \mathrm{act}(\mathrm{norm}(W * \mathrm{resize}(x)))

    with a 1x1 convolution :math:`W`. Axis by axis, resizing averages over bins where the size shrinks (adaptive average
    pooling) and interpolates linearly where it grows. Romero et al., "FitNets: Hints for Thin Deep Nets", ICLR 2015,
    with the 1x1 kernel and the batch normalisation of Heo et al., "A Comprehensive Overhaul of Feature Distillation",
    ICCV 2019.

    As the network of a pass it takes the size from the map it is to be compared with, its second key:
    `{keys: [student.hint, teacher.hint], network: {_target_: monai_kd.networks.Connector, ...}}`.

    Args:
        spatial_dims: 1, 2 or 3.
        in_channels: channels of the input, the student's.
        out_channels: channels of the output, the teacher's.
        size: spatial size of the output, one number or one for each axis; None leaves the size, unless the call says
            `like=`.
        norm: normalisation, as in MONAI's `get_norm_layer`: a name, or a name and its arguments; None for none (the
            convolution then has a bias).
        act: activation, as in MONAI's `get_act_layer`; None for none. The teacher's map may have been tapped before its
            activation: then leave it out here.

    Raises:
        ConfigError: `spatial_dims` or `size` cannot be used, or both `size` and `like` were given.
        ShapeMismatchError: the input's channels are not `in_channels`, or a tensor has another number of axes.

    Example::

        >>> import torch
        >>> from monai_kd.networks import Connector
        >>> connector = Connector(spatial_dims=2, in_channels=16, out_channels=64)
        >>> student, teacher = torch.rand(2, 16, 8, 12), torch.rand(2, 64, 4, 24)
        >>> connector(student).shape
        torch.Size([2, 64, 8, 12])
        >>> connector(student, teacher).shape
        torch.Size([2, 64, 4, 24])
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        size: int | Sequence[int] | None = None,
        norm: tuple | str | None = "batch",
        act: tuple | str | None = None,
    ) -> None:
        super().__init__()
        if spatial_dims not in AVERAGE_POOL:
            raise ConfigError(f"spatial_dims must be 1, 2 or 3, got {spatial_dims}", where="Connector")
        sizes = (size,) * spatial_dims if isinstance(size, int) else tuple(size or ())
        if size is not None and (len(sizes) != spatial_dims or min(sizes) < 1):
            raise ConfigError(
                f"size must be a positive number or {spatial_dims} of them, got {size}", where="Connector"
            )
        self.spatial_dims, self.in_channels, self.out_channels = spatial_dims, in_channels, out_channels
        self.size = sizes or None
        self.conv = Conv[Conv.CONV, spatial_dims](in_channels, out_channels, 1, bias=not norm)
        self.norm = get_norm_layer(norm or "", spatial_dims, out_channels)
        self.act = get_act_layer(act or "")

    def forward(self, input: torch.Tensor, like: torch.Tensor | None = None) -> torch.Tensor:
        """Connect a feature map.

        Args:
            input: the map to change, [N, in_channels, *spatial].
            like: a map whose spatial size the output gets, [N, C, *size]; its values are not read and it receives no
                gradient.

        Returns:
            [N, out_channels, *size].
        """
        self._check("input", input)
        if input.shape[1] != self.in_channels:
            raise ShapeMismatchError(
                f"the input has {input.shape[1]} channels, in_channels is {self.in_channels}",
                where="Connector",
                fix=f"set in_channels to {input.shape[1]} (a bundle's student_channels), or tap another layer",
            )
        size = self.size
        if like is not None:
            if size is not None:
                raise ConfigError(
                    f"the size is fixed to {size}, and a tensor to be like was given",
                    where="Connector",
                    fix="leave one out",
                )
            self._check("like", like)
            size = tuple(like.shape[2:])
        if size is None:
            return self.act(self.norm(self.conv(input)))
        # resizing and a 1x1 convolution commute: shrink before it, grow after it
        return self.act(self.norm(grow(self.conv(shrink(input, size)), size)))

    def _check(self, name: str, tensor: torch.Tensor) -> None:
        if tensor.ndim != self.spatial_dims + 2:
            raise ShapeMismatchError(
                f"{name} has shape {list(tensor.shape)}, {self.spatial_dims} axes of space are wanted after [N, C]",
                where="Connector",
                fix="tap a layer that returns a map; PooledConnector takes [N, C]",
            )


class PooledConnector(nn.Module):
    r"""Project what a layer says on average over space: the head that puts two networks' embeddings side by side.

    .. math:: y = W_2\, \mathrm{act}(\mathrm{norm}(W_1 \bar x)) + b, \qquad \text{or } y = W \bar x + b
              \text{ without hidden channels}

    and, if asked, :math:`y / \max(\lVert y \rVert_2, 10^{-12})` by rows. Tian et al., "Contrastive Representation
    Distillation", ICLR 2020 (linear, normalised); Chen et al., "A Simple Framework for Contrastive Learning of Visual
    Representations", ICML 2020 (with hidden channels).

    Args:
        in_channels: channels of the input.
        out_channels: length of the projection.
        hidden_channels: width of a hidden layer; None for a linear projection.
        normalize: divide each row by its length. Half-precision rows are divided, and returned, in float32.
        norm: normalisation of the hidden layer, as in MONAI's `get_norm_layer`; None for none.
        act: activation of the hidden layer, as in MONAI's `get_act_layer`.

    Raises:
        ConfigError: `norm` is an instance normalisation, which a vector has no use for.
        ShapeMismatchError: the input's channels are not `in_channels`.

    Example::

        >>> import torch
        >>> from monai_kd.networks import PooledConnector
        >>> head = PooledConnector(16, 128, hidden_channels=64, normalize=True)
        >>> head(torch.rand(2, 16, 8, 8, 4)).shape, head(torch.rand(2, 16)).shape
        (torch.Size([2, 128]), torch.Size([2, 128]))
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden_channels: int | None = None,
        normalize: bool = False,
        norm: tuple | str | None = "batch",
        act: tuple | str = "relu",
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.normalize = in_channels, out_channels, normalize
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        width = in_channels if hidden_channels is None else hidden_channels
        if hidden_channels is not None:
            layers["hidden"] = nn.Linear(in_channels, hidden_channels, bias=not norm)
            layers["norm"] = get_norm_layer(norm or "", 1, hidden_channels)
            layers["act"] = get_act_layer(act)
            if isinstance(layers["norm"], _InstanceNorm):
                raise ConfigError("norm='instance' needs space, and the hidden layer has none", where="PooledConnector")
        layers["output"] = nn.Linear(width, out_channels)
        self.layers = nn.Sequential(layers)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Project `input` [N, in_channels] or [N, in_channels, *spatial] to [N, out_channels]."""
        if input.ndim < 2 or input.shape[1] != self.in_channels:
            raise ShapeMismatchError(
                f"the input has shape {list(input.shape)}, its axis 1 should be the {self.in_channels} of in_channels",
                where="PooledConnector",
                fix="correct in_channels (a bundle's student_channels or teacher_channels), or tap another layer",
            )
        output = self.layers(input.flatten(2).mean(2) if input.ndim > 2 else input)
        if not self.normalize:
            return output
        return F.normalize(output.float() if output.dtype in (torch.float16, torch.bfloat16) else output, dim=1)
