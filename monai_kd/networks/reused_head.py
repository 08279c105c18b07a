# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
from collections.abc import Mapping

from monai.networks.layers import get_act_layer
from torch import Tensor, nn

from monai_kd.networks.blocks import conv_norm_act
from monai_kd.networks.row_norm import RowNorm
from monai_kd.networks.teacher import Teacher
from monai_kd.utils import ConfigError, find_layer, unwrap

__all__ = ["ReusedHead", "reuse_head"]


class ReusedHead(nn.Module):
    r"""A head that projects the student's features and hands them to the teacher's own head, which never moves: SimKD.

    .. math:: z = h_t(P(F_s))

    with P convolutions of 1, 3 and 1 places along each axis through :math:`C_t / r` channels, each with batch
    normalisation (three linear layers for features without space). It is part of the network that is published: count
    its parameters.

    Chen et al., "Knowledge Distillation with the Reused Teacher Classifier", CVPR 2022 (arXiv 2203.14001).

    Args:
        head: the teacher's head; it is copied.
        spatial_dims: of the features, 0 to 3.
        in_channels: channels of what the student's head takes.
        out_channels: channels of what the teacher's head takes.
        factor: r.
        act: activation at the end of P, as in MONAI's `get_act_layer`; "relu" (the authors') where the teacher's head
            takes features after a ReLU.

    Example::

        >>> import torch
        >>> from monai_kd.networks import ReusedHead
        >>> head = ReusedHead(torch.nn.Linear(8, 3), spatial_dims=0, in_channels=4, out_channels=8)
        >>> head(torch.rand(2, 4)).shape, sum(p.requires_grad for p in head.head.parameters())
        (torch.Size([2, 3]), 0)
    """

    def __init__(
        self,
        head: nn.Module,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        factor: int = 2,
        act: str | None = None,
    ) -> None:
        super().__init__()
        narrow = max(1, out_channels // factor)
        self.projector = nn.Sequential(
            _layer(spatial_dims, in_channels, narrow, 1, "relu"),
            _layer(spatial_dims, narrow, narrow, 3, "relu"),
            _layer(spatial_dims, narrow, out_channels, 1, act),
        )
        self.head = copy.deepcopy(head).requires_grad_(False).eval()

    def train(self, mode: bool = True) -> ReusedHead:
        """Set the mode of the projector; the head stays in eval mode."""
        super().train(mode)
        self.head.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Answer from the student's features [N, in_channels, *spatial] as the teacher's head does."""
        return self.head(self.projector(x))


def reuse_head(
    student: nn.Module,
    teacher: nn.Module,
    heads: Mapping[str, str],
    spatial_dims: int,
    in_channels: int,
    out_channels: int,
    factor: int = 2,
    act: str | None = None,
) -> str:
    """Put a `ReusedHead` in the place of the student's head.

    Args:
        student: the network to change.
        teacher: the network, or `Teacher`, whose head is copied.
        heads: {"student": path, "teacher": path} of the two heads, modules of one input and the answer as output.
        spatial_dims, in_channels, out_channels, factor, act: see `ReusedHead`; before a teacher's head that is a
            `Linear` there is no space left, whatever `spatial_dims` says.

    Returns:
        The path of the projector in the student, whose output is to be like what enters the teacher's head.

    Raises:
        ConfigError: the student is wrapped already (compiled, distributed), or a head takes another number of channels.
        UnknownLayerError: there is no such head.

    Example::

        >>> import torch
        >>> from monai.networks.nets import resnet10, resnet18
        >>> from monai_kd.networks import reuse_head
        >>> student, teacher = (net(spatial_dims=2, n_input_channels=1, num_classes=3) for net in (resnet10, resnet18))
        >>> reuse_head(student, teacher, {"student": "fc", "teacher": "fc"}, 0, in_channels=512, out_channels=512)
        'fc.projector'
        >>> student(torch.rand(2, 1, 32, 32)).shape
        torch.Size([2, 3])
    """
    if unwrap(student) is not student:
        raise ConfigError("the student is wrapped already", where="reuse_head", fix="change its head before")
    network = teacher.network if isinstance(teacher, Teacher) else teacher
    head = find_layer(unwrap(network), heads["teacher"])
    _check_channels("student", heads["student"], find_layer(student, heads["student"]), in_channels)
    _check_channels("teacher", heads["teacher"], head, out_channels)
    if isinstance(head, nn.Linear):
        spatial_dims = 0
    device = next(student.parameters()).device
    reused = ReusedHead(head, spatial_dims, in_channels, out_channels, factor, act).to(device)
    student.set_submodule(heads["student"], reused)
    return heads["student"] + ".projector"


def _layer(spatial_dims: int, in_channels: int, out_channels: int, kernel_size: int, act: str | None) -> nn.Module:
    if spatial_dims == 0:
        linear = nn.Linear(in_channels, out_channels, bias=False)
        return nn.Sequential(linear, RowNorm(out_channels), get_act_layer(act or ""))
    return conv_norm_act(spatial_dims, in_channels, out_channels, kernel_size, act)


def _check_channels(whose: str, path: str, head: nn.Module, said: int) -> None:
    takes = getattr(head, "in_features", getattr(head, "in_channels", said))  # a module of several layers has neither
    if takes != said:
        raise ConfigError(
            f"{said} channels said, but the {whose}'s head {path!r} takes {takes}",
            where="reuse_head",
            fix=f"set `{whose}_channels` to {takes}",
        )
