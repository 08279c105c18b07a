# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""The published student runs with MONAI alone, and answers as it did when it was evaluated."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from monai.bundle import ConfigWorkflow

from tests.bundles.fundus_multilabel_classification.workflows import CONFIGS
from tests.bundles.workflows import run


def test_inference_answers_as_evaluation_did(make, data, teacher, tmp_path):
    run(make())
    run(make("evaluate.yaml"))
    given = {"bundle_root": str(tmp_path), "dataset_dir": data, "device": "$torch.device('cpu')"}
    workflow = ConfigWorkflow(str(CONFIGS / "inference.yaml"), workflow_type="infer", logging_file=False, **given)
    workflow.initialize()
    run(workflow)
    with np.load(tmp_path / "output" / "distilled" / "predictions.npz") as archive:
        expected = dict(zip(archive["case"].tolist(), archive["probability"], strict=True))
    with (tmp_path / "output" / "inference" / "predictions.csv").open() as file:
        rows = {f"images/{Path(name).stem}": np.array(values, float) for name, *values in csv.reader(file)}
    assert rows.keys() == expected.keys() and len(rows) > 7
    assert all(np.allclose(rows[case], expected[case], atol=1e-5) for case in rows)
