# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Evaluation writes what the report reads."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from tests.bundles.workflows import run


def test_evaluation_writes_the_scores_of_every_test_case(make, tmp_path):
    run(make("train_alone.yaml"))
    workflow = run(make("train_alone.yaml", "evaluate.yaml"))
    folder = tmp_path / "output" / "alone"
    found = np.load(folder / "scores.npz")
    assert found["case"].tolist() == ["test_0", "test_1"] and found["structures"].tolist() == ["front", "back"]
    assert found["dice"].shape == found["hd95"].shape == (2, 2)
    assert workflow.evaluator.state.metrics["val_mean_dice"] == pytest.approx(found["dice"].mean(), abs=1e-6)
    with (folder / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[1]["hd95_back"]) == pytest.approx(found["hd95"][1, 1], abs=1e-6)
    told = json.loads((folder / "run.json").read_text())
    assert (told["role"], told["seed"], told["classes"]) == ("alone", 0, ["background", "front", "back"])
    assert told["parameters"] == 20451 and told["flops"] > 0 and told["latency_ms"] > 0 and told["train_seconds"] > 0
