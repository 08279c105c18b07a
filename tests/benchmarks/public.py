# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""The losses of torchdistill, where it is installed, called as ours are.

Their scale is torchdistill's own: only their time is compared. Sizes that it cannot take are left out; KDLoss, whose
default `alpha` raises, gets 0.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

from torch import Tensor

__all__ = ["torchdistill_loss"]

_ONE = {
    "student_module_path": "x",
    "student_module_io": "output",
    "teacher_module_path": "x",
    "teacher_module_io": "output",
}
_AT = {"p": {"student": {"path": "x", "io": "output"}, "teacher": {"path": "x", "io": "output"}, "weight": 1}}
_ENDS = {"student_output_path": "x", "teacher_output_path": "x"}
_LINEAR = {"student_linear_path": "x", "teacher_linear_path": "x"}
_KERNEL = {"type": "gaussian", "gamma": 0.4, "max_p": 2}

# our class: theirs, its arguments, the sizes that it takes
_LOSSES: dict[str, tuple[str, dict[str, Any], str]] = {
    "KDLoss": ("KDLoss", {**_ONE, "temperature": 4.0, "alpha": 0}, "L"),
    "LogitStandardizedKDLoss": ("LogitStdKDLoss", {**_ONE, "temperature": 2.0, "alpha": 0}, "L"),
    "DISTLoss": ("DISTLoss", _ONE, "L"),
    "PKTLoss": ("PKTLoss", _ONE, "E64 E256"),
    "SimilarityPreservingLoss": ("SPKDLoss", {**_ENDS, "reduction": "batchmean"}, "E64 E256 M V"),
    "CorrelationCongruenceLoss": ("CCKDLoss", {**_LINEAR, "kernel_config": _KERNEL, "reduction": "mean"}, "E64 E256"),
    "AttentionTransferLoss": ("ATLoss", {"at_pairs": _AT}, "M V"),
    "FactorTransferLoss": ("FTLoss", {"paraphraser_path": "x", "translator_path": "x"}, "M V"),
}


def torchdistill_loss(name: str, size: str) -> Callable[..., Tensor] | None:
    """torchdistill's form of a loss, or None where there is none, or no torchdistill.

    Args:
        name: our class.
        size: key of `SIZES`.
    """
    kind, arguments, sizes = _LOSSES.get(name, ("", {}, ""))
    if size not in sizes.split() or importlib.util.find_spec("torchdistill") is None:
        return None
    loss = getattr(importlib.import_module("torchdistill.losses.mid_level"), kind)(**arguments)
    return lambda input, target: loss({"x": {"output": input}}, {"x": {"output": target}})
