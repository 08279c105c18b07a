# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from monai_kd.data import class_weights
from monai_kd.utils.errors import DataError


def test_every_class_has_the_same_part_of_the_loss():
    labels = [0] * 12 + [1] * 3 + [3]
    weights = class_weights([{"label": y, "labeled": True} for y in labels], 4)
    assert weights.tolist() == pytest.approx([16 / 12, 16 / 3, 0, 16])
    logits, y = torch.randn(16, 4), torch.tensor(labels)
    each = F.cross_entropy(logits, y, reduction="none")
    expected = torch.stack([each[y == c].mean() for c in (0, 1, 3)]).mean()
    assert F.cross_entropy(logits, y, weight=weights).allclose(expected)


def test_hidden_labels_are_not_counted():
    items = [{"label": i % 2, "labeled": i < 3} for i in range(8)]
    assert class_weights(items, 2).tolist() == [1.5, 3.0]
    with pytest.raises(DataError, match="no item has a label"):
        class_weights(items[3:], 2)
