# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_kd.networks import StackViews, split_views
from monai_kd.utils import ShapeMismatchError


def test_stacked_views_come_apart_again():
    views = [torch.randn(3, 1, 4, 4) for _ in range(4)]
    first, others = split_views(StackViews()(*views), 4)
    assert first.equal(views[0])
    assert all(others[3 * v + n].equal(views[v + 1][n]) for v in range(3) for n in range(3))


def test_views_that_do_not_fit_are_named():
    with pytest.raises(ShapeMismatchError, match=r"shapes \[\(2, 1\), \(3, 1\)\]"):
        StackViews()(torch.zeros(2, 1), torch.zeros(3, 1))
    with pytest.raises(ShapeMismatchError, match="7 rows are not 4 views"):
        split_views(torch.zeros(7, 2), 4)
