# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_kd.utils import ShapeMismatchError

__all__ = ["StackViews", "split_views"]


class StackViews(nn.Module):
    """Make one batch of several views, so that a network sees them at once, in its BatchNorm as well.

    Row v N + n is view v of sample n: first all samples as they are, then all in the second view, and so on.

    Raises:
        ShapeMismatchError: in `forward`: the views differ in shape.

    Example::

        >>> import torch
        >>> from monai_kd.networks import StackViews
        >>> StackViews()(torch.zeros(2, 1, 8, 8), torch.ones(2, 1, 8, 8)).shape
        torch.Size([4, 1, 8, 8])
    """

    def forward(self, *views: Tensor) -> Tensor:
        """Stack `views` [N, ...], of one shape, to [V N, ...]."""
        shapes = sorted({tuple(view.shape) for view in views})
        if len(shapes) > 1:
            raise ShapeMismatchError(
                f"the views have shapes {shapes}", where="StackViews", fix="give views of the same samples and size"
            )
        return torch.cat(views)


def split_views(x: Tensor, views: int) -> tuple[Tensor, Tensor]:
    """Take stacked views apart: the samples as they are, and all other views.

    Args:
        x: what came of stacked views, [V N, ...].
        views: V.

    Returns:
        [N, ...] and [(V - 1) N, ...].

    Raises:
        ShapeMismatchError: the rows are not V times as many as anything.
    """
    if x.shape[0] % views:
        raise ShapeMismatchError(
            f"{x.shape[0]} rows are not {views} views of so many samples", where="views", fix="stack them first"
        )
    n = x.shape[0] // views
    return x[:n], x[n:]
