# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""The losses of torchdistill, where it is installed, called as ours are.

Their scale is torchdistill's own: only their time is compared. Left out are sizes that it cannot take, and those at
which it computes something else or would stand for two cases of ours: its RKD takes the entries of maps where ours
averages over space, and `RKDLoss/E256` is distances once and angles once. Two are helped to run: KDLoss, whose default
`alpha` raises, gets 0, and CRDLoss, whose own draw of negatives raises, is handed them. Of its other losses (similarity
of channels, affinity, SSKD as a whole, directions of features) none is one of ours.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tests.benchmarks.textbook.contrastive import NEGATIVES, SAMPLES, WIDTH

__all__ = ["torchdistill_loss"]

Seen = dict[str, dict[str, Any]]  # what it notes of a network: by layer, its input and output


def note(**layers: Any) -> Seen:
    return {layer: {"output": output} for layer, output in layers.items()}


def plain(input: Tensor, target: Tensor) -> tuple[Seen, Seen]:
    return note(x=input), note(x=target)


def with_variance(input: Tensor, target: Tensor, variance: Tensor) -> tuple[Seen, Seen]:
    return note(x=(input, variance.reshape(1, -1, 1, 1))), note(x=target)


def fused(input: Tensor, target: Tensor) -> tuple[Seen, Seen]:
    return note(x=(input, None)), note(x=target)  # a fusion gives what goes on to the next, too


def two_layers(input: Tensor, input_later: Tensor, target: Tensor, target_later: Tensor) -> tuple[Seen, Seen]:
    return note(first=input, second=input_later), note(first=target, second=target_later)


def with_answers(input: Tensor, target: Tensor) -> tuple[Seen, Seen]:
    answer = torch.zeros(1, 2)  # its SRD holds KD as well: of one sample, for nothing
    return note(x=input, answer=answer), note(x=target, answer=answer)


def with_index(input: Tensor, target: Tensor, index: Tensor) -> tuple[Seen, Seen]:
    others = torch.randint(SAMPLES - 1, (len(index), NEGATIVES))
    chosen = torch.cat([index.unsqueeze(1), others + (others >= index.unsqueeze(1))], 1)
    return note(x=input) | {"empty": {"input": {"pos_idx": index, "contrast_idx": chosen}}}, note(x=target)


_X = {"path": "x", "io": "output"}
_PAIRS = {"p": {"student": _X, "teacher": _X, "weight": 1}}
_ONE = {
    "student_module_path": "x",
    "student_module_io": "output",
    "teacher_module_path": "x",
    "teacher_module_io": "output",
}
_ENDS = {"student_output_path": "x", "teacher_output_path": "x"}
_LINEAR = {"student_linear_path": "x", "teacher_linear_path": "x"}
_KERNEL = {"type": "gaussian", "gamma": 0.4, "max_p": 2}
_ROLES = ("student", "teacher")
_FLOW = {f"{role}_{layer}": {"path": layer, "io": "output"} for role in _ROLES for layer in ("first", "second")}
_SRD = {
    f"{role}_{what}_module_{key}": value
    for role in _ROLES
    for what, layer in (("feature", "x"), ("linear", "answer"))
    for key, value in (("path", layer), ("io", "output"))
}
_CRD = {
    "student_norm_module_path": "x",
    "teacher_norm_module_path": "x",
    "student_empty_module_path": "empty",
    "input_size": WIDTH,
    "output_size": SAMPLES,
    "num_samples": SAMPLES,
    "num_negative_samples": NEGATIVES,
}

# our class: theirs, its arguments, the sizes that it takes, what is noted of the tensors if not `plain`
_LOSSES: dict[str, tuple[str, dict[str, Any], str, Callable[..., tuple[Seen, Seen]]]] = {
    "KDLoss": ("KDLoss", {**_ONE, "temperature": 4.0, "alpha": 0}, "L", plain),
    "LogitStandardizedKDLoss": ("LogitStdKDLoss", {**_ONE, "temperature": 2.0, "alpha": 0}, "L", plain),
    "DISTLoss": ("DISTLoss", _ONE, "L", plain),
    "PKTLoss": ("PKTLoss", _ONE, "E64 E256", plain),
    "SimilarityPreservingLoss": ("SPKDLoss", {**_ENDS, "reduction": "batchmean"}, "E64 E256 M V", plain),
    "CorrelationCongruenceLoss": (
        "CCKDLoss",
        {**_LINEAR, "kernel_config": _KERNEL, "reduction": "mean"},
        "E64 E256",
        plain,
    ),
    "RKDLoss": ("RKDLoss", {**_ENDS, "dist_factor": 0, "angle_factor": 50, "reduction": "mean"}, "E64", plain),
    "AttentionTransferLoss": ("ATLoss", {"at_pairs": _PAIRS}, "M V", plain),
    "FactorTransferLoss": ("FTLoss", {"paraphraser_path": "x", "translator_path": "x"}, "M V", plain),
    "VIDLoss": ("VIDLoss", {"feature_pairs": _PAIRS}, "M", with_variance),
    "ABLoss": ("AltActTransferLoss", {"feature_pairs": _PAIRS, "margin": 1.0, "reduction": "mean"}, "M", plain),
    "HCLLoss": ("HierarchicalContextLoss", _ONE, "M", fused),
    # the same matrices, but the norm of each column instead of squares
    "FSPLoss": ("FSPLoss", {"fsp_pairs": {"p": {**_FLOW, "weight": 1}}}, "M V", two_layers),
    # twice the logarithm, without an epsilon in it
    "SRDLoss": ("SRDLoss", {**_SRD, "exponent": 4.0}, "E256 M", with_answers),
    # bank and loss in one; its bank is updated, ours not: one row where 16 385 are read
    "CRDLoss": ("CRDLoss", _CRD, "E64", with_index),
}


def torchdistill_loss(name: str, size: str) -> Callable[..., Tensor] | None:
    """torchdistill's form of a loss, called as ours is, or None where there is none, or no torchdistill.

    Args:
        name: our class.
        size: key of `SIZES`.
    """
    kind, arguments, sizes, seen = _LOSSES.get(name, ("", {}, "", plain))
    if size not in sizes.split() or importlib.util.find_spec("torchdistill") is None:
        return None
    loss = getattr(importlib.import_module("torchdistill.losses.mid_level"), kind)(**arguments)
    return lambda *inputs, **extras: loss(*seen(*inputs, **extras))
