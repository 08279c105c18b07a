# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_kd.networks.resizing import resize


@pytest.mark.parametrize("size", [(3,), (4, 9), (2, 8, 6)], ids=str)
def test_brings_every_axis_to_its_size_and_keeps_constants(size):
    x = torch.full((2, 3, *[6] * len(size)), 2.0)
    torch.testing.assert_close(resize(x, size), torch.full((2, 3, *size), 2.0))


def test_the_same_size_is_the_same_map():
    x = torch.rand(1, 2, 4, 4)
    assert resize(x, (4, 4)) is x


def test_shrinking_averages():
    x = torch.arange(8.0).reshape(1, 1, 8)
    assert resize(x, (2,)).tolist() == [[[1.5, 5.5]]]
