# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from monai_kd.utils.errors import NonFiniteError

__all__ = ["check_finite"]


def check_finite(state: Mapping[str, Any], where: str = "") -> None:
    """Refuse weights of which some are nan or infinite: a network of them answers nothing.

    Args:
        state: a `state_dict`; what is no floating tensor is not looked at.
        where: what an error calls the place, as the file that would be written.

    Raises:
        NonFiniteError: names the tensors.

    Example::

        >>> import torch
        >>> from monai_kd.utils import check_finite
        >>> check_finite({"fc.weight": torch.tensor([1.0, float("nan")])}, "model.pt")
        Traceback (most recent call last):
        ...
        monai_kd.utils.errors.NonFiniteError: model.pt: 1 of 1 tensors are not finite: fc.weight...
    """
    tensors = {name: v for name, v in state.items() if isinstance(v, Tensor) and v.is_floating_point() and v.numel()}
    bad = [name for name, value in tensors.items() if not bool(torch.isfinite(value.detach()).all())]
    if bad:
        named = ", ".join(bad[:5]) + (", ..." if len(bad) > 5 else "")
        what = f"{len(bad)} of {len(tensors)} tensors are not finite: {named}"
        raise NonFiniteError(what, where=where, fix="what is there stays; go on from the last checkpoint")
