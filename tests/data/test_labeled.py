# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest

from monai_kd.data import draw_labeled
from monai_kd.utils.errors import DataError


def test_draw_takes_whole_patients_and_every_class():
    rng = np.random.default_rng(0)
    patients = [f"p{i}" for i in rng.integers(0, 30, 200)]
    labels = rng.choice([-1, 0, 1, 2], 200, p=[0.1, 0.6, 0.25, 0.05])
    for seed in range(5):
        drawn = draw_labeled(labels, patients, 0.1, seed)
        chosen = {p for p, keep in zip(patients, drawn, strict=True) if keep}
        assert all(drawn[i] == (labels[i] >= 0) for i, p in enumerate(patients) if p in chosen)
        assert {0, 1, 2} <= set(labels[drawn]) and -1 not in labels[drawn]
        assert 0.1 <= drawn.mean() < 0.5


@pytest.mark.parametrize("fraction", [0, -0.1, 1.5, float("nan")])
def test_impossible_fractions_are_refused(fraction):
    with pytest.raises(DataError, match="labeled_fraction: must be in"):
        draw_labeled([0], ["a"], fraction)


def test_whole_fraction_labels_everything():
    assert draw_labeled([0, 1, 2, 2], list("abcd"), 1.0).all()
