# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_kd.networks import ViewSimilarity
from monai_kd.utils import ConfigError


def test_similarity_is_the_cosine_with_every_sample():
    z, n = torch.randn(20, 4, dtype=torch.float64), 5
    answer = ViewSimilarity(4)(z)
    for a in range(15):
        assert answer["parent"][a] == a % n
        for b in range(n):
            cosine = z[n + a] @ z[b] / (z[n + a].norm() * z[b].norm())
            assert answer["similarity"][a, b].allclose(cosine)


def test_one_view_has_no_parent():
    with pytest.raises(ConfigError, match="views must be at least 2"):
        ViewSimilarity(1)
