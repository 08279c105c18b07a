# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""The published student runs with MONAI alone, and answers as it did when it was evaluated."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from monai.bundle import ConfigWorkflow
from PIL import Image

from tests.bundles.skin_lesion_classification.workflows import CONFIGS
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
        rows = {Path(name).stem: np.array(values, float) for name, *values in csv.reader(file)}
    assert rows.keys() == expected.keys() and len(rows) > 7
    assert all(np.allclose(rows[case], expected[case], atol=1e-5) for case in rows)


def test_pictures_of_a_folder_are_answered_beside_those_that_fail(make, teacher, data, tmp_path):
    run(make())
    folder = tmp_path / "clinic"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for name, shape in (("b.png", (50, 40, 3)), ("c.JPG", (96, 96, 3)), ("grey.png", (64, 64))):
        Image.fromarray(generator.integers(0, 256, shape, np.uint8)).save(folder / name)
    Image.fromarray(generator.integers(0, 65536, (64, 64), np.uint16)).save(folder / "wide.png")
    Image.fromarray(generator.integers(0, 256, (64, 64), np.uint8)).convert("P").save(folder / "palette.png")
    (folder / "a.jpeg").write_text("no picture")  # comes first
    given = {"bundle_root": str(tmp_path), "dataset_dir": str(folder), "device": "$torch.device('cpu')"}

    def infer(**extra):
        workflow = ConfigWorkflow(
            str(CONFIGS / "inference.yaml"), workflow_type="infer", logging_file=False, **given, **extra
        )
        workflow.initialize()
        run(workflow)

    with pytest.raises(SystemExit) as told:
        infer()
    first, *failed = str(told.value).splitlines()
    assert first.startswith("FAILED 4 of 6, a picture must be a png or jpg of")
    assert [line.split(": ")[0] for line in failed if line.startswith(str(folder))] == [
        str(folder / "a.jpeg"),
        str(folder / "grey.png"),
        str(folder / "palette.png"),
        str(folder / "wide.png"),
    ]
    with (tmp_path / "output" / "inference" / "predictions.csv").open() as file:
        assert [Path(name).name for name, *_ in csv.reader(file)] == ["b.png", "c.JPG"]
    with pytest.raises(SystemExit, match=r"no dataset.json and no \*.dcm in"):
        infer(pattern="*.dcm")
