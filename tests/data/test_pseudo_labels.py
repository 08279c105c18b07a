# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
from collections import Counter

import pytest
import torch

from monai_kd.data import (
    load_datalist,
    pseudo_labeled_items,
    pseudo_labels,
    select_confident,
    unlabeled_items,
)
from monai_kd.utils import DataError, ShapeMismatchError


def restated(p: list[list[float]], number: int, threshold: float) -> list[tuple[int, int]]:
    """Class by class: the rows that are taken for it, the surest first, then the first of the list."""
    chosen = []
    for c in range(len(p[0])):
        mine = [n for n, row in enumerate(p) if row.index(max(row)) == c and row[c] > threshold]
        chosen += [(n, c) for n in sorted(mine, key=lambda n: (-p[n][c], n))[:number]]
    return sorted(chosen)


@pytest.mark.parametrize("quota", [1, 3, 1000, 0.01, 0.25, 1.0])
@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("rounded", [False, True], ids=["", "ties"])
def test_selection_is_a_plain_loop(quota, threshold, rounded):
    p = (3 * torch.randn(60, 4, dtype=torch.float64) + torch.tensor([1.0, 0, 0, -2])).softmax(1)
    p = (p * 4).round() / 4 if rounded else p
    number = quota if isinstance(quota, int) else max(1, round(quota * 60 / 4))
    rows, labels = select_confident(p, quota, threshold)
    assert list(zip(rows.tolist(), labels.tolist(), strict=True)) == restated(p.tolist(), number, threshold)


def test_a_common_class_does_not_crowd_out_a_rare_one():
    p = torch.tensor([[0.9, 0.1]] * 50 + [[0.4, 0.6]] * 5)
    assert Counter(select_confident(p, 4)[1].tolist()) == {0: 4, 1: 4}
    assert Counter(select_confident(p, 0.2)[1].tolist()) == {0: 6, 1: 5}  # round(0.2 * 55 / 2), and all there are
    assert select_confident(p, 4, threshold=0.9)[0].tolist() == []  # above, not at


@pytest.mark.parametrize(
    ("p", "quota", "message"),
    [
        (torch.randn(4, 2) * 9, 1, "softmax"),
        (torch.tensor([[float("nan"), 1.0]]), 1, "NaN"),
        (torch.ones(2, 2) / 2, 0, "quota.*got 0"),
        (torch.ones(2, 2) / 2, 1000.0, "a number with a point is a share"),
        (torch.ones(2), 1, r"\[N, C\], got \(2,\)"),
    ],
)
def test_what_cannot_be_chosen_from_is_refused(p, quota, message):
    with pytest.raises((DataError, ShapeMismatchError), match=message):
        select_confident(p, quota)


def test_network_labels_by_index_without_a_graph():
    net = torch.nn.Linear(3, 4)
    batches = [{"image": 3 * torch.randn(5, 3), "index": torch.arange(5) * 10 + i} for i in range(4)]
    labels = pseudo_labels(batches, lambda batch: net(batch["image"]), quota=3, threshold=0.4)
    p = torch.cat([net(b["image"]).softmax(1) for b in batches]).tolist()
    index = torch.cat([b["index"] for b in batches]).tolist()
    assert labels == {index[n]: c for n, c in restated(p, 3, 0.4)} != {}
    seen = []
    pseudo_labels(batches, lambda batch: seen.append(net(batch["image"])) or seen[-1], quota=1)
    assert not any(answer.requires_grad for answer in seen)


ITEMS = [{"index": i, "case": f"c{i}", "label": i % 3, "labeled": i % 2 == 0} for i in range(6)]


def test_hidden_labels_do_not_reach_the_teacher():
    found = unlabeled_items(ITEMS)
    assert [item["case"] for item in found] == ["c1", "c3", "c5"]
    assert all("label" not in item for item in found)
    with pytest.raises(DataError, match="labeled_fraction"):
        unlabeled_items(ITEMS[::2])


def test_hidden_labels_are_replaced_and_true_ones_never():
    before = [dict(item) for item in ITEMS]
    assert pseudo_labeled_items(ITEMS, {5: 0, 1: 2}) == [
        {"index": 1, "case": "c1", "label": 2, "labeled": True},
        {"index": 5, "case": "c5", "label": 0, "labeled": True},
    ]
    assert before == ITEMS
    for labels, message in (
        ({2: 1}, "item 2 has a true label"),
        ({9: 1}, "no item 9"),
        ({}, "confident about no item"),
    ):
        with pytest.raises(DataError, match=message):
            pseudo_labeled_items(ITEMS, labels)


def test_items_of_another_section_or_fold_get_none(tmp_path):
    names = [f"{fold}{i}.png" for fold in range(2) for i in range(6)]
    for name in [*names, "t.png"]:
        (tmp_path / name).touch()
    training = [{"image": n, "label": int(n[1]) % 2, "fold": int(n[0])} for n in names]
    content = {"training": training, "test": [{"image": "t.png", "label": 1}]}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    items = load_datalist(tmp_path, "training", fold=1, labeled_fraction=0.4, seed=1)
    pool = unlabeled_items(items)
    given = pseudo_labeled_items(items, {item["index"]: 0 for item in pool})
    assert len(pool) == len(given) == 4
    assert {item["case"][0] for item in (*pool, *given)} == {"0"}
