# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import DataLoader
from monai.engines import SupervisedEvaluator
from monai.transforms import AsDiscreted

from monai_kd.handlers import SegmentationScores
from monai_kd.handlers.segmentation_scores import scores_of
from monai_kd.utils import DataError


def box(size, low, high):
    mask = torch.zeros(size, dtype=torch.bool)
    mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return mask


def stack(*masks):
    return torch.stack([~torch.stack(masks).any(0), *masks])


@pytest.mark.parametrize("dims", [2, 3])
def test_shifted_boxes(dims):
    size, rest = [12] * dims, [6] * (dims - 1)
    label = stack(box(size, [2, *[2] * (dims - 1)], [6, *rest]))
    pred = stack(box(size, [4, *[2] * (dims - 1)], [8, *rest]))  # moved by two places of 3 mm
    dice, distance = scores_of(pred, label, [3.0, *[1.0] * (dims - 1)])
    assert dice == pytest.approx(0.5) and distance == pytest.approx(6.0)


def test_missing_structures_cost_the_most_and_absent_ones_nothing():
    size, none = (3, 4), torch.zeros(3, 4, dtype=torch.bool)
    some = box(size, (0, 0), (2, 2))
    dice, distance = scores_of(stack(none, none, some), stack(some, none, none), (1.0, 2.0))
    diagonal = np.hypot(3 * 1.0, 4 * 2.0)
    assert dice.tolist() == [0, 1, 0] and distance == pytest.approx([diagonal, 0, diagonal])


def evaluator(items, handler, decollate=True, channels=3):
    torch.manual_seed(0)
    post = AsDiscreted(["pred", "label"], to_onehot=[channels] * 2, argmax=[True, False]) if decollate else None
    return SupervisedEvaluator(
        "cpu",
        DataLoader(items, batch_size=2),
        torch.nn.Conv2d(1, channels, 1),
        postprocessing=post,
        val_handlers=[handler],
        decollate=decollate,
    )


def items(count=3, **extra):
    torch.manual_seed(1)
    return [
        {"image": torch.randn(1, 6, 6), "label": torch.randint(0, 3, (1, 6, 6)), "case": f"c{i}", "group": "g", **extra}
        for i in range(count)
    ]


def test_scores_of_every_case_are_written(tmp_path):
    engine = evaluator(items(), SegmentationScores(tmp_path / "out", ["a", "b"], (1, 1)))
    engine.run()
    engine.run()  # a second run starts anew
    found = np.load(tmp_path / "out" / "scores.npz")
    assert found["case"].tolist() == ["c0", "c1", "c2"] and found["group"].tolist() == ["g"] * 3
    with torch.no_grad():
        answer = engine.network(items()[2]["image"][None]).argmax(1)[0]
    for k in (1, 2):
        p, y = answer == k, items()[2]["label"][0] == k
        assert found["dice"][2, k - 1] == pytest.approx(float(2 * (p & y).sum() / (p.sum() + y.sum())))
    assert (tmp_path / "out" / "scores.csv").read_text().splitlines()[0] == "case,group,dice_a,dice_b,hd95_a,hd95_b"


def test_what_cannot_be_scored_is_refused(tmp_path):
    unnamed = [{k: v for k, v in item.items() if k != "case"} for item in items()]
    for data, structures, decollate, message in (
        (unnamed, ["a", "b"], True, "no key 'case'"),
        (items(), ["a"], True, "case 'c0'.*one-hot"),
        (items(), ["a", "b"], False, "decollate: true"),
    ):
        with pytest.raises(DataError, match=message):
            evaluator(data, SegmentationScores(tmp_path, structures, (1, 1)), decollate).run()
