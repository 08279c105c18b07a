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

from tests.bundles.chest_xray_classification.workflows import CONFIGS
from tests.bundles.workflows import run


def infer(root: Path, data: str | Path, **extra) -> list[list[str]]:
    """Run the inference; return the rows of its table."""
    given = {"bundle_root": str(root), "dataset_dir": str(data), "device": "$torch.device('cpu')", **extra}
    workflow = ConfigWorkflow(str(CONFIGS / "inference.yaml"), workflow_type="infer", logging_file=False, **given)
    workflow.initialize()
    run(workflow)
    return answers(root)


def answers(root: Path) -> list[list[str]]:
    with (root / "output" / "inference" / "predictions.csv").open() as file:
        return list(csv.reader(file))


def test_inference_answers_as_evaluation_did(make, data, teacher, tmp_path):
    run(make())
    run(make("evaluate.yaml"))
    rows = {Path(name).stem: np.array(values, float) for name, *values in infer(tmp_path, data)}
    with np.load(tmp_path / "output" / "distilled" / "predictions.npz") as archive:
        expected = dict(zip(archive["case"].tolist(), archive["probability"], strict=True))
    assert rows.keys() == expected.keys() and len(rows) == 16
    assert all(np.allclose(rows[case], expected[case], atol=1e-5) for case in rows)


def test_pictures_of_a_folder_are_answered_beside_those_that_fail(make, teacher, tmp_path):
    run(make())
    folder = tmp_path / "clinic"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for name, shape in (("b.png", (50, 40)), ("c.JPG", (96, 96)), ("colour.png", (28, 28, 3))):
        Image.fromarray(generator.integers(0, 256, shape, np.uint8)).save(folder / name)
    Image.fromarray(generator.integers(0, 65536, (64, 64), np.uint16)).save(folder / "wide.png")
    Image.fromarray(generator.integers(0, 256, (64, 64), np.uint8)).convert("P").save(folder / "palette.png")
    (folder / "a.jpeg").write_text("no picture")  # comes first
    with pytest.raises(SystemExit) as told:
        infer(tmp_path, folder)
    first, *failed = str(told.value).splitlines()
    assert first.startswith("FAILED 4 of 6, a picture must be a png or jpg of")
    assert [line.split(": ")[0] for line in failed if line.startswith(str(folder))] == [
        str(folder / "a.jpeg"),
        str(folder / "colour.png"),
        str(folder / "palette.png"),
        str(folder / "wide.png"),
    ]
    modes = {"palette.png": "P", "wide.png": "I;16"}
    assert failed[-2:] == [f"{folder / name}: is a picture of mode {mode}" for name, mode in modes.items()]
    assert [Path(name).name for name, *_ in answers(tmp_path)] == ["b.png", "c.JPG"]
    with pytest.raises(SystemExit, match=r"no dataset.json and no \*.dcm in"):
        infer(tmp_path, folder, pattern="*.dcm")
