# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

"""The commands on the bundle of the main job: train its teacher, distil, pack, use what was packed with MONAI alone."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser

from monai_kd.__main__ import main
from monai_kd.commands.composition import compose
from monai_kd.recipes import list_recipes

WITHOUT_US = """
import runpy, sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "monai_kd":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Block())
runpy.run_module("monai.bundle", run_name="__main__")
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    """A copy of the bundle without what its runs wrote."""
    source = Path(__file__).resolve().parents[2] / "bundles" / "histology_patch_classification"
    written = shutil.ignore_patterns("data", "output", "models", "teacher", "__pycache__")
    return Path(shutil.copytree(source, tmp_path_factory.mktemp("bundles") / source.name, ignore=written))


def python(*words: str, cwd: Path) -> str:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    done = subprocess.run([sys.executable, *words], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def trained(bundle) -> Path:
    """The bundle after one epoch of its teacher and one of its student."""
    for recipe in ("train_teacher", "fitnets"):
        words = ["--bundle", bundle.name, "--max_epochs", "1", "--progress", "False"]
        python("-m", "monai_kd", "run", recipe, *words, cwd=bundle.parent)
    return bundle


@pytest.mark.slow
def test_run_leaves_a_teacher_and_a_student(trained):
    weights = [torch.load(trained / name / "model.pt", weights_only=True) for name in ("teacher", "models")]
    assert sum(w.numel() for w in weights[0].values()) > sum(w.numel() for w in weights[1].values())


@pytest.mark.slow
def test_packed_bundle_trains_and_infers_with_monai(trained, tmp_path):
    out = tmp_path / "packed_classification"
    assert (
        main(["pack", "fitnets", "--bundle", str(trained), str(out), "--max_epochs", "1", "--progress", "False"]) == 0
    )
    student = (out / "models" / "model.pt").read_bytes()
    assert student == (trained / "models" / "model.pt").read_bytes()

    data = ["--dataset_dir", str(trained / "data" / "ihc_patches")]
    teacher = ["--teacher_checkpoint", str(trained / "teacher" / "model.pt")]
    command = ["-m", "monai.bundle", "run", "--config_file", "configs/train.json", *data, *teacher]
    assert "hint" in python(*command, cwd=out)
    assert (out / "models" / "model.pt").read_bytes() != student

    infer = ["-c", WITHOUT_US, "run", "--config_file", "configs/inference.json", *data]
    python(*infer, cwd=out)
    (predictions,) = (out / "output").rglob("predictions.csv")
    with predictions.open() as file:
        rows = [[float(value) for value in row[1:]] for row in csv.reader(file)]
    assert len(rows) > 10
    assert all(abs(sum(row) - 1) < 1e-4 for row in rows)


@pytest.mark.slow
def test_missing_teacher_is_one_line(bundle, tmp_path):
    copy = Path(shutil.copytree(bundle / "configs", tmp_path / "b" / "configs")).parent
    command = [sys.executable, "-m", "monai_kd", "run", "kd", "--bundle", str(copy)]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"error: {copy}/teacher/model.pt")


def test_every_recipe_of_its_kind_can_be_laid_over_it(bundle):
    kind = ConfigParser.load_config_file(bundle / "configs" / "metadata.json")["kind"]
    for recipe in list_recipes():
        if kind in recipe.info["kinds"]:
            assert compose(recipe.id, bundle, None, []).merged()["recipe"]["id"] == recipe.id


def test_a_student_of_a_lower_magnification_is_not_packed_as_one_of_full(project, tmp_path, capsys):
    bundle = str(project / "bundles" / "histology_patch_classification")
    over = ["--bundle", bundle, "--patch_size", "[64, 64]"]
    assert main(["pack", "resolution_kd", str(tmp_path / "out"), *over]) == 1
    told = capsys.readouterr().err
    assert "Pyramid(factors=2, names='image') for training" in told and "--inference::preprocessing" in told
    assert main(["pack", "kd", str(tmp_path / "out"), *over]) == 0
    assert json.loads((tmp_path / "out" / "configs" / "inference.json").read_text())["patch_size"] == [64, 64]
