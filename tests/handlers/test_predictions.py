# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch
from monai.data import DataLoader
from monai.engines import SupervisedEvaluator

from monai_kd.handlers import Predictions
from monai_kd.report.files import read_predictions
from monai_kd.utils.errors import DataError


def test_predictions_are_the_softmax_of_every_case(tmp_path):
    torch.manual_seed(0)
    network = torch.nn.Linear(4, 3)
    items = [{"image": torch.randn(4), "label": i % 3, "case": f"c{i}", "group": f"g{i // 2}"} for i in range(5)]
    loader, handlers = DataLoader(items, batch_size=2), [Predictions(tmp_path)]
    evaluator = SupervisedEvaluator("cpu", loader, network, val_handlers=handlers, decollate=False)
    evaluator.run()
    evaluator.run()  # a second run starts anew
    found = np.load(tmp_path / "predictions.npz")
    assert found["case"].tolist() == [f"c{i}" for i in range(5)] and found["group"][4] == "g2"
    assert found["label"].tolist() == [0, 1, 2, 0, 1]
    for i, item in enumerate(items):
        e = np.exp(network(item["image"]).double().detach().numpy())
        assert np.allclose(found["probability"][i], e / e.sum())
    with (tmp_path / "predictions.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert lines[3]["case"] == "c3" and float(lines[3]["probability_1"]) == pytest.approx(
        found["probability"][3, 1], abs=1e-6
    )


def test_findings_are_the_sigmoid_of_every_case(tmp_path):
    torch.manual_seed(0)
    network = torch.nn.Linear(4, 3)
    labels = torch.tensor([[1, 0, 1], [0, 0, 0], [0, 1, 1], [1, 1, 1], [0, 0, 1]], dtype=torch.float32)
    items = [{"image": torch.randn(4), "label": y, "case": f"c{i}"} for i, y in enumerate(labels)]
    loader, handlers = DataLoader(items, batch_size=2), [Predictions(tmp_path, activation="sigmoid")]
    SupervisedEvaluator("cpu", loader, network, val_handlers=handlers, decollate=False).run()
    found = read_predictions(tmp_path / "predictions.npz")  # as a report does
    assert found["label"].tolist() == labels.tolist() and np.issubdtype(found["label"].dtype, np.integer)
    for i, item in enumerate(items):
        answer = network(item["image"]).double().detach().numpy()
        assert np.allclose(found["probability"][i], 1 / (1 + np.exp(-answer)))
    with (tmp_path / "predictions.csv").open() as file:
        lines = list(csv.DictReader(file))
    keys = ["case", "group", *(f"{kind}_{i}" for kind in ("label", "probability") for i in range(3))]
    assert list(lines[0]) == keys and [lines[3][f"label_{i}"] for i in range(3)] == ["1", "1", "1"]
    assert float(lines[2]["probability_1"]) == pytest.approx(found["probability"][2, 1], abs=1e-6)


@pytest.mark.parametrize(
    ("label", "message"), [(1, r"\[N, C\], got \[1\]"), (torch.tensor([0.0, 0.5, 1.0]), "0.5 of case 0, finding 1")]
)
def test_findings_that_are_not_0_or_1_are_refused(tmp_path, label, message):
    loader = DataLoader([{"image": torch.zeros(4), "label": label, "case": "a"}])
    handlers = [Predictions(tmp_path, activation="sigmoid")]
    evaluator = SupervisedEvaluator("cpu", loader, torch.nn.Linear(4, 3), val_handlers=handlers, decollate=False)
    with pytest.raises(DataError, match=message):
        evaluator.run()


def test_an_unknown_activation_is_refused(tmp_path):
    with pytest.raises(ValueError, match="softmax"):
        Predictions(tmp_path, activation="tanh")


@pytest.mark.parametrize(("decollate", "message"), [(False, "no key 'case'.*image, label"), (True, "decollate: false")])
def test_a_batch_without_cases_is_refused(tmp_path, decollate, message):
    loader, handlers = DataLoader([{"image": torch.zeros(4), "label": 0}]), [Predictions(tmp_path)]
    network = torch.nn.Linear(4, 3)
    evaluator = SupervisedEvaluator("cpu", loader, network, val_handlers=handlers, decollate=decollate)
    with pytest.raises(DataError, match=message):
        evaluator.run()
