# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json

import numpy as np
import pytest

from monai_kd.data import draw_labeled, load_datalist
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


@pytest.mark.parametrize(("fraction", "counts"), [(0.01, [1, 1, 1]), (0.24, [2, 2, 1]), (0.9, [9, 6, 1])])
def test_of_patients_with_one_item_the_draw_is_exact_and_of_the_seed(fraction, counts):
    labels, patients = np.repeat([0, 1, 2], [10, 7, 1]), list("abcdefghijklmnopqr")
    draws = [draw_labeled(labels, patients, fraction, seed) for seed in range(5)]
    assert all(np.bincount(labels[drawn], minlength=3).tolist() == counts for drawn in draws)
    assert len({tuple(drawn) for drawn in draws}) > 1
    assert draw_labeled(labels, patients, fraction, 4).tolist() == draws[4].tolist()


def test_a_datalist_draws_whole_patients(tmp_path):
    items = [{"image": f"{i}.png", "label": i % 2, "patient": f"p{i // 4}"} for i in range(12)]
    for item in items:
        (tmp_path / item["image"]).touch()
    (tmp_path / "dataset.json").write_text(json.dumps({"training": items}))
    drawn = [item["labeled"] for item in load_datalist(tmp_path, labeled_fraction=0.2)]
    assert sorted(drawn[i : i + 4] for i in (0, 4, 8)) == [[False] * 4, [False] * 4, [True] * 4]
