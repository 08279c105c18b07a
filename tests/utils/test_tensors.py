# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from monai.data import MetaTensor
from monai.utils.enums import CommonKeys

from monai_kd.utils import connected_zero, plain, to_device


class Pair(NamedTuple):
    image: torch.Tensor
    case: str


def test_plain_strips_a_meta_tensor_and_shares_its_memory():
    meta = MetaTensor(torch.ones(2, 3), meta={"spacing": 1})
    assert type(plain(meta)) is torch.Tensor
    assert plain(meta).data_ptr() == meta.data_ptr()


@pytest.mark.parametrize("value", ["case_1", 3, None, [1, 2]])
def test_plain_passes_on_what_is_no_tensor(value):
    assert plain(value) is value


def test_a_batch_is_moved_wherever_its_tensors_are():
    batch = {"image": MetaTensor(torch.ones(2)), "views": [torch.ones(1), (torch.ones(3), "name")], "case": ["a", "b"]}
    moved = to_device(batch, "meta")
    assert type(moved["image"]) is torch.Tensor and moved["case"] == ["a", "b"]
    assert {t.device.type for t in (moved["image"], moved["views"][0], moved["views"][1][0])} == {"meta"}
    assert isinstance(moved["views"], list) and isinstance(moved["views"][1], tuple) and moved["views"][1][1] == "name"


def test_a_named_tuple_of_tensors_is_moved():
    moved = to_device({"pair": Pair(torch.ones(2), "name")}, "meta")["pair"]
    assert isinstance(moved, Pair) and moved.image.device.type == "meta" and moved.case == "name"


def test_without_a_device_tensors_stay_and_other_arguments_count():
    x = torch.ones(2)
    assert to_device(x, None).data_ptr() == x.data_ptr()
    assert to_device({"image": x}, "cpu", dtype=torch.float64)["image"].dtype == torch.float64


def test_keys_become_plain_strings():
    (key,) = to_device({CommonKeys.IMAGE: torch.ones(1)}, "cpu")
    assert type(key) is str and key == "image"


@pytest.mark.parametrize("value", [1.0, float("inf"), float("nan")])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4), (0, 3)])
def test_connected_zero_is_zero_with_a_gradient_of_zero(value, shape):
    x = torch.full(shape, value, requires_grad=True)
    zero = connected_zero(x)
    zero.backward()
    assert zero.item() == 0.0 and zero.ndim == 0
    assert torch.equal(x.grad, torch.zeros(shape))


def test_connected_zero_reaches_every_tensor():
    xs = [torch.ones(2, requires_grad=True), torch.ones(3, 1), torch.ones((), requires_grad=True)]
    connected_zero(*xs).backward()
    assert [None if x.grad is None else x.grad.abs().sum().item() for x in xs] == [0.0, None, 0.0]


def test_connected_zero_keeps_the_dtype():
    assert connected_zero(torch.ones(2, dtype=torch.float64)).dtype == torch.float64
