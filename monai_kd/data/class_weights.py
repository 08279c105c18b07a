# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from monai_kd.utils.errors import DataError

__all__ = ["class_weights"]


def class_weights(items: Iterable[Mapping[str, Any]], num_classes: int) -> Tensor:
    r"""Weights that let every class count the same in a cross-entropy, however rare it is.

    .. math:: w_c = N / n_c

    with n_c the training items of class c whose label may be looked at, and N their sum; 0 for a class without any.
    torch's cross-entropy divides by the weights of the batch, so that their size does not matter.

    Args:
        items: of the training section, as `load_datalist` gives them.
        num_classes: C.

    Returns:
        w, [C], in float32.

    Raises:
        DataError: no item has a label, or items have several.

    Example::

        >>> from monai_kd.data import class_weights
        >>> class_weights([{"label": 0}, {"label": 1}, {"label": 1}, {"label": 2, "labeled": False}], 3)
        tensor([3.0000, 1.5000, 0.0000])
    """
    labels = [item["label"] for item in items if item.get("labeled", True)]
    if not labels:
        raise DataError("no item has a label", where="class_weights", fix="raise --labeled_fraction")
    if any(np.ndim(label) for label in labels):
        raise DataError("an item has several labels, of which none excludes another", where="class_weights")
    counts = torch.bincount(torch.tensor(labels), minlength=num_classes)
    return torch.where(counts > 0, len(labels) / counts.clamp(min=1), 0.0)
