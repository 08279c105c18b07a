# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from monai_kd.utils import ConfigError

__all__ = ["PseudoLabelBank"]


class PseudoLabelBank(nn.Module):
    """Remember the pseudo-labels of training samples, and give those of a batch; at first no sample has one.

    True labels are the batch's own and are not kept here, so that neither can take the other's place. Nothing here
    learns; the labels are in the checkpoint.

    Args:
        num_samples: number of training samples; `index` is below it.

    Raises:
        ConfigError: `num_samples` is below 1, or a label is for a sample that there is not.

    Example::

        >>> import torch
        >>> from monai_kd.networks import PseudoLabelBank
        >>> bank = PseudoLabelBank(num_samples=10)
        >>> bank.replace({7: 2})
        >>> bank(torch.tensor([3, 7]))
        {'label': tensor([-1,  2]), 'chosen': tensor([False,  True])}
    """

    labels: Tensor

    def __init__(self, num_samples: int) -> None:
        super().__init__()
        if num_samples < 1:
            raise ConfigError(f"num_samples must be at least 1, got {num_samples}", where="PseudoLabelBank")
        self.register_buffer("labels", torch.full((num_samples,), -1))

    @torch.no_grad()
    def replace(self, labels: Mapping[int, int]) -> None:
        """Forget all labels and take these.

        Args:
            labels: class by index of the sample, as :func:`monai_kd.data.pseudo_labels` gives them.
        """
        wrong = [i for i in labels if not 0 <= i < len(self.labels)]
        if wrong:
            raise ConfigError(
                f"sample {wrong[0]} of {len(self.labels)}", where="PseudoLabelBank", fix="see num_samples"
            )
        index, classes = (torch.tensor(list(x), dtype=torch.long) for x in (labels.keys(), labels.values()))
        self.labels.fill_(-1)[index.to(self.labels.device)] = classes.to(self.labels.device)

    def forward(self, index: Tensor) -> dict[str, Tensor]:
        """Look up.

        Args:
            index: which training sample each row is, [N].

        Returns:
            `label`, the class or -1, and `chosen`, whether there is one, [N] each.
        """
        label = self.labels[index.reshape(-1).long()]
        return {"label": label, "chosen": label >= 0}
