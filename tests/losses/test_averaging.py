# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""What processes add up of each loss that counts for itself, in one process: two parts of a batch."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from monai_kd.losses import (
    AttentionKDLoss,
    BoundaryKDLoss,
    ChannelWiseKDLoss,
    GazeTransferLoss,
    HintLoss,
    IntraClassVariationLoss,
    PrototypeKDLoss,
    RegionAffinityLoss,
    RegionContextLoss,
    Term,
    UncertaintyMaskedConsistencyLoss,
)
from monai_kd.losses.averaging import mean_parts
from monai_kd.utils import ClassMismatchError

SHAPE = (5, 3, 4, 4)
EMPTY = (slice(0, 2), slice(0, 0))  # samples in which nothing counts; no samples


def places() -> Tensor:
    """Where something is: nowhere in the first two samples, in few places of the others."""
    return (torch.rand(5, 4, 4) < 0.4) & (torch.arange(5) > 1).reshape(5, 1, 1)


def label() -> Tensor:
    return torch.randint(0, 3, (5, 4, 4)).where(places(), -1)


def maps(**others: Tensor) -> dict[str, Tensor]:
    return {"input": torch.randn(SHAPE).double(), "target": torch.randn(SHAPE).double(), **others}


def bags() -> dict[str, Tensor]:
    return {"input": torch.randn(5, 16), "target": torch.randn(5, 16), "mask": places().flatten(1)}


def certain() -> dict[str, Tensor]:
    p = (9 * torch.randn(SHAPE) * places().unsqueeze(1)).softmax(1)
    return maps(probability=p, mask=torch.rand(5, 4, 4))


# how to call each, and what must be counted of it
LOSSES: dict[str, tuple[nn.Module, Any, Any]] = {
    "channels": (ChannelWiseKDLoss(), lambda: maps(mask=places()), lambda x: 3 * x["mask"].flatten(1).any(1).sum()),
    "weighted channels": (ChannelWiseKDLoss(), lambda: maps(mask=places() * torch.rand(5, 4, 4)), lambda x: 9),
    "certain": (UncertaintyMaskedConsistencyLoss(), certain, None),
    "bags": (AttentionKDLoss(), bags, lambda x: x["mask"].any(1).sum()),
    "borders": (BoundaryKDLoss(1), lambda: maps(label=label()), None),
    "variation": (IntraClassVariationLoss(3), lambda: maps(label=label()), lambda x: (x["label"] >= 0).sum()),
    "affinity": (RegionAffinityLoss(3), lambda: maps(label=label()), lambda x: 3),
    "prototypes": (PrototypeKDLoss(3), lambda: maps(label=label()), lambda x: 3),
    "regions": (RegionContextLoss(3), lambda: maps(label=label()), lambda x: 3),
    "gaze": (
        GazeTransferLoss(),
        lambda: maps(target=(torch.rand(5, 8, 8) * places().repeat(1, 2, 2)).unsqueeze(1)),
        lambda x: x["target"].flatten(1).any(1).sum(),
    ),
}
every = pytest.mark.parametrize("name", LOSSES)


def parts(name: str, x: dict[str, Tensor], rows: slice) -> tuple[Tensor, Tensor]:
    found = mean_parts(LOSSES[name][0], [t[rows] for t in x.values()], list(x))
    assert found is not None
    return found


@every
def test_parts_add_up_to_the_loss_of_the_batch(name):
    loss, build, counted = LOSSES[name]
    x = build()
    (one, count), (other, count_other) = (parts(name, x, rows) for rows in (slice(0, 3), slice(3, 5)))
    assert 0 < count != count_other > 0
    torch.testing.assert_close((one + other) / (count + count_other), loss(**x), check_dtype=False)
    if counted is not None:
        assert count + count_other == counted(x)


@every
def test_count_is_a_number_without_gradient(name):
    x = LOSSES[name][1]()
    x = {k: v.requires_grad_() if v.is_floating_point() else v for k, v in x.items()}
    count = LOSSES[name][0].count(**x)
    assert count.shape == () and count.dtype == torch.float64 and not count.requires_grad


@every
@pytest.mark.parametrize("rows", EMPTY, ids=["nothing counts", "no samples"])
def test_where_nothing_counts_both_parts_are_zero_and_connected(name, rows):
    x = LOSSES[name][1]()
    x["input"].requires_grad_()
    total, count = parts(name, x, rows)
    total.backward()
    assert total == 0 and count == 0 and torch.equal(x["input"].grad, torch.zeros_like(x["input"]))


@every
def test_what_counts_in_half_precision_is_what_the_loss_divides_by(name):
    loss, build, _ = LOSSES[name]
    x = {k: v.half() if v.is_floating_point() else v for k, v in build().items()}
    full = {k: v.float() if v.is_floating_point() else v for k, v in x.items()}
    assert loss.count(**x).item() == pytest.approx(loss.count(**full).item())


@pytest.mark.parametrize("name", ["channels", "bags"])
def test_without_a_mask_all_count(name):
    loss, build, _ = LOSSES[name]
    x = build()
    assert loss.count(x["input"], x["target"]) == loss.count(**{**x, "mask": torch.ones_like(x["mask"])})


@pytest.mark.parametrize("loss", [ChannelWiseKDLoss, AttentionKDLoss, GazeTransferLoss, partial(BoundaryKDLoss, 1)])
@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_only_a_mean_is_divided(loss, reduction):
    x = torch.randn(2, 3)
    assert mean_parts(loss(reduction=reduction), [x, x]) is None


def test_a_count_gets_the_arguments_of_a_part():
    x = bags()
    found = mean_parts(partial(AttentionKDLoss(), mask=x["mask"]), [x["input"], x["target"]])
    assert found is not None and found[1] == 3


def test_an_attribute_that_is_no_method_is_no_count():
    loss = HintLoss()
    loss.count = 3
    assert mean_parts(loss, [torch.zeros(2, 3), torch.ones(2, 3)]) is None


def test_what_does_not_fit_is_refused_by_the_loss():
    with pytest.raises(ClassMismatchError, match="student has 3 classes, teacher 2"):
        mean_parts(BoundaryKDLoss(1), [torch.zeros(2, 3, 4), torch.zeros(2, 2, 4), torch.zeros(2, 4)])


def test_in_one_process_nothing_is_counted():
    class Loss(BoundaryKDLoss):
        def count(self, *args: Any) -> Tensor:
            raise AssertionError

    x = maps(label=label())
    assert torch.equal(Term(Loss(1), list(x))(x), BoundaryKDLoss(1)(**x))
