# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from monai_kd.utils import ConfigError

__all__ = ["ClassSubset", "SubsetLabels"]


class ClassSubset(nn.Module):
    """A network that answers for some classes only: the columns of its logits that are theirs.

    Args:
        network: answers [N, C, *spatial].
        classes: the columns.

    Raises:
        ConfigError: there is no class.

    Example::

        >>> import torch
        >>> from monai_kd.networks import ClassSubset
        >>> ClassSubset(torch.nn.Identity(), [2, 0])(torch.tensor([[1.0, 2.0, 3.0]]))
        tensor([[3., 1.]])
    """

    classes: Tensor

    def __init__(self, network: nn.Module, classes: Sequence[int]) -> None:
        super().__init__()
        if not classes:
            raise ConfigError("a subset has no class", where="ClassSubset")
        self.network = network
        self.register_buffer("classes", torch.tensor(list(classes)))

    def forward(self, *inputs: Any) -> Tensor:
        """Answer [N, len(classes), *spatial]."""
        return self.network(*inputs).index_select(1, self.classes)


class SubsetLabels(nn.Module):
    """Say which samples belong to which subset of the classes, and what of its classes each is or has.

    Args:
        subsets: classes of each subset, by its name; a class may be in several.

    Raises:
        ConfigError: a subset has fewer than two classes, or one of them twice.

    Example::

        >>> import torch
        >>> from monai_kd.networks import SubsetLabels
        >>> SubsetLabels({"few": [3, 1]})(torch.tensor([0, 1, 3]))
        {'few': tensor([False,  True,  True]), 'few_label': tensor([-1,  1,  0])}
        >>> SubsetLabels({"few": [3, 1]})(torch.tensor([[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]]))
        {'few': tensor([False,  True]), 'few_label': tensor([[0., 0.],
                [0., 1.]])}
    """

    def __init__(self, subsets: Mapping[str, Sequence[int]]) -> None:
        super().__init__()
        self.subsets = {name: [int(c) for c in classes] for name, classes in subsets.items()}
        for name, classes in self.subsets.items():
            if len(classes) < 2 or len(set(classes)) < len(classes):
                raise ConfigError(f"must be two classes or more, each once, got {classes}", where=f"subset {name!r}")

    def forward(self, label: Tensor, labeled: Tensor | None = None) -> dict[str, Tensor]:
        """Sort.

        Args:
            label: class of each sample, [N] or [N, 1]; or its findings, which may occur together, [N, C] of 0 and 1.
            labeled: which labels may be looked at, boolean, [N]; None: all.

        Returns:
            For each subset its members, boolean, [N], and under `NAME_label` the position of their class in the subset,
            [N], -1 for the others. With findings: those that have one of the subset, and its columns, [N, len(subset)].
        """
        several = label.ndim == 2 and label.shape[1] > 1
        label = label if several else label.reshape(-1).long()
        known = torch.ones_like(label[:, 0] if several else label, dtype=torch.bool)
        if labeled is not None:
            known = labeled.reshape(-1).bool()
        told: dict[str, Tensor] = {}
        for name, classes in self.subsets.items():
            columns = torch.tensor(classes, device=label.device)
            same = label[:, columns] == 1 if several else label.unsqueeze(1) == columns
            told[name] = same.any(1) & known
            told[f"{name}_label"] = label[:, columns] if several else same.int().argmax(1).where(told[name], -1)
        return told
