# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from monai_kd.networks.stack_views import split_views
from monai_kd.utils import ConfigError

__all__ = ["ViewSimilarity"]


class ViewSimilarity(nn.Module):
    r"""How alike each further view is to every sample, and which sample it is a view of: a task that needs no labels.

    .. math:: S_{ab} = \cos(z_{N + a}, z_b), \qquad \text{parent}(a) = a \bmod N

    for the embeddings z of V views of N samples. Cross-entropy over the rows of S with the parent as the class trains a
    self-supervised head.

    Xu et al., "Knowledge Distillation Meets Self-Supervision", ECCV 2020 (arXiv 2006.07114).

    Args:
        views: V, at least 2.

    Raises:
        ConfigError: there are no further views.
        ShapeMismatchError: in `forward`: the rows are not those of V views.

    Example::

        >>> import torch
        >>> from monai_kd.networks import ViewSimilarity
        >>> answer = ViewSimilarity(views=2)(torch.tensor([[1.0, 0.0], [0.0, 1.0], [3.0, 0.0], [0.0, 2.0]]))
        >>> answer["similarity"].tolist(), answer["parent"].tolist()
        ([[1.0, 0.0], [0.0, 1.0]], [0, 1])
    """

    def __init__(self, views: int = 4) -> None:
        super().__init__()
        if views < 2:
            raise ConfigError(f"views must be at least 2, got {views!r}", where=type(self).__name__)
        self.views = int(views)

    def forward(self, embedding: Tensor) -> dict[str, Tensor]:
        """Compare.

        Args:
            embedding: of stacked views, [V N, D].

        Returns:
            `similarity` [(V - 1) N, N] and `parent` [(V - 1) N].
        """
        samples, others = split_views(F.normalize(embedding, dim=1), self.views)
        parent = torch.arange(len(samples), device=embedding.device).repeat(self.views - 1)
        return {"similarity": others @ samples.T, "parent": parent}
