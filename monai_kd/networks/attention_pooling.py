# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from monai_kd.utils import ConfigError, DataError, ShapeMismatchError, to_float

__all__ = ["AttentionPooling"]


class AttentionPooling(nn.Module):
    r"""Classify bags by the mean of their instances under a learnt attention: multiple-instance learning.

    .. math:: z_b = W \sum_{i \in b} a_i h_i, \qquad a_i = \frac{e^{s_i}}{\sum_{j \in b} e^{s_j}}, \qquad
        s_i = w \cdot \tanh(V h_i)

    over the instances i of bag b, with h a feature averaged over space, or a perceptron of it. Bags of any sizes stand
    one after another, as `collate_bags` gives them: nothing is padded. `attention` and `myfc` have the names and forms
    of MONAI's `MILModel(mil_mode="att")`: without `embedding`, and with `hidden=2048`, one takes the other's weights.

    Ilse, Tomczak, Welling, "Attention-based Deep Multiple Instance Learning", ICML 2018 (arXiv 1802.04712).

    Args:
        in_channels: channels of the features.
        num_classes: classes of a bag.
        hidden: units of the attention.
        embedding: units of layers (dropout, linear, ReLU) before everything; none by default.
        dropout: of those layers.

    Raises:
        ConfigError: dropout without an embedding.
        ShapeMismatchError: in `forward`: features, bags and selection do not fit.

    Example::

        >>> import torch
        >>> from monai_kd.networks import AttentionPooling
        >>> pooling = AttentionPooling(in_channels=8, num_classes=2)
        >>> out = pooling(torch.rand(5, 8, 3, 3), bag=torch.tensor([0, 0, 0, 1, 1]))
        >>> {name: tuple(x.shape) for name, x in out.items()}
        {'logits': (2, 2), 'scores': (5,)}
    """

    def __init__(
        self, in_channels: int, num_classes: int, hidden: int = 512, embedding: Sequence[int] = (), dropout: float = 0.0
    ) -> None:
        super().__init__()
        if dropout and not embedding:
            raise ConfigError(f"dropout {dropout:g} has no layer", where="AttentionPooling", fix="give an embedding")
        layers: list[nn.Module] = []
        for units in embedding:
            layers += [nn.Dropout(dropout), nn.Linear(in_channels, units), nn.ReLU()]
            in_channels = units
        self.embedding = nn.Sequential(*layers)
        self.attention = nn.Sequential(nn.Linear(in_channels, hidden), nn.Tanh(), nn.Linear(hidden, 1))
        self.myfc = nn.Linear(in_channels, num_classes)

    def forward(self, features: Tensor, bag: Tensor, keep: Tensor | None = None) -> dict[str, Tensor]:
        """Pool and classify.

        Args:
            features: of the instances, [M, C] or [M, C, *spatial].
            bag: which bag each instance is of, [M], from 0 on, none left out.
            keep: instances that the bag is classified by, [M] boolean; a bag without any keeps all. None: all.

        Returns:
            `logits` of the bags, [B, K], and `scores` s of all instances, [M], kept or not.

        Raises:
            DataError: a bag has no instances.
            ShapeMismatchError: not one bag per instance.
        """
        bag = bag.reshape(-1)
        if len(bag) != len(features) or (keep is not None and keep.shape != bag.shape):
            found = "" if keep is None else f", keep {tuple(keep.shape)}"
            raise ShapeMismatchError(
                f"features {tuple(features.shape)}, bag {tuple(bag.shape)}{found}",
                where="AttentionPooling",
                fix="give one bag per instance",
            )
        sizes = torch.bincount(bag)
        if not len(bag) or not sizes.all():
            empty = sizes.tolist().index(0) if len(bag) else 0
            fix = "leave the bag out: a sum over nothing would be an answer like any other"
            raise DataError("a bag has no instances", where=f"AttentionPooling, bag {empty} of the batch", fix=fix)
        h = self.embed(features)
        scores = self.attention(h).squeeze(1)
        count = len(sizes)
        weights = _softmax_in_bags(to_float(scores), bag, count, keep).to(h.dtype)
        pooled = h.new_zeros(count, h.shape[1]).index_add(0, bag, weights.unsqueeze(1) * h)
        return {"logits": self.myfc(pooled), "scores": scores}

    def embed(self, features: Tensor) -> Tensor:
        """h of each instance, [M, F]."""
        return self.embedding(features.flatten(2).mean(2) if features.ndim > 2 else features)

    def score(self, features: Tensor) -> Tensor:
        """s of each instance, [M], from `features` as in `forward`."""
        return self.attention(self.embed(features)).squeeze(1)


def _softmax_in_bags(scores: Tensor, bag: Tensor, count: int, keep: Tensor | None = None) -> Tensor:
    """The softmax of scores over the instances of each bag; an instance that is not kept has 0.

    Args:
        scores: s, [M].
        bag: which bag each instance is of, [M].
        count: number of bags.
        keep: which instances take part, [M] boolean; a bag without any keeps all.
    """
    if keep is not None:
        kept = torch.zeros(count, dtype=torch.long, device=bag.device).index_add(0, bag, keep.long())
        scores = scores.masked_fill(~(keep | (kept[bag] == 0)), -torch.inf)
    largest = scores.new_full((count,), -torch.inf).scatter_reduce(0, bag, scores.detach(), "amax")
    powers = (scores - largest[bag]).exp()
    return powers / scores.new_zeros(count).index_add(0, bag, powers)[bag]
