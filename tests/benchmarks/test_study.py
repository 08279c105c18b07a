# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from scipy.stats import wilcoxon

from monai_kd.commands.trial import Trial
from tests import processes
from tests.benchmarks import study
from tests.benchmarks.study_table import compared, table
from tests.volumes import write_volumes

COSTS = {"parameters": 1200, "flops": 3e6, "latency_ms": 1.0}


def record(method: str, seed: int, dice: list[float], fraction: float = 1.0) -> dict:
    scores = {"dice": float(np.mean(dice)), "hd95": 2.0}
    return {
        "method": method,
        "seed": seed,
        "labeled_fraction": fraction,
        "scores": scores,
        "cases": {"dice": dice},
        **COSTS,
    }


def test_seeds_are_averaged_before_cases_are_compared():
    random = np.random.RandomState(0)
    alone, kd = random.rand(2, 3, 8)  # three seeds of eight cases
    difference, p = compared(
        [record("kd", i, list(x)) for i, x in enumerate(kd)],
        [record("alone", i, list(x)) for i, x in enumerate(alone[:2])],
    )
    apart = kd[:2].mean(0) - alone[:2].mean(0)  # the seeds that both have
    assert difference == pytest.approx(apart.mean()) and p == pytest.approx(wilcoxon(apart).pvalue)
    assert np.isnan(compared([record("kd", 5, [0.1])], [record("alone", 0, [0.1])])[0])


def test_table_compares_with_the_same_labels_only():
    runs = [record("alone", 0, [0.5, 0.7]), record("alone", 1, [0.6, 0.8]), record("teacher", 0, [0.9, 0.9])]
    runs += [record("kd", 0, [0.6, 0.9]), record("kd", 0, [0.6, 0.9], 0.1)]
    lines = table(runs).splitlines()
    names = [line.split(" | ")[0:2] for line in lines[2:]]
    assert names == [["| teacher", "100 %"], ["| alone", "100 %"], ["| kd", "100 %"], ["| kd", "10 %"]]
    assert "0.650 ± 0.071" in lines[3] and "+0.1500" in lines[4] and "+" not in lines[5] and "2.00" in lines[5]


def test_time_of_training_is_the_median_of_the_runs_that_know_it():
    runs = [record("alone", i, [0.5]) | {"train_seconds": t} for i, t in enumerate([70.4, None, 50.2, 61.0])]
    lines = table([*runs, record("kd", 0, [0.6])]).splitlines()
    assert [lines[i].split(" | ")[-1] for i in (0, 2, 3)] == ["training (s) |", "61 |", " |"]


def test_a_score_that_only_some_methods_have_leaves_the_others_cells_empty():
    runs = [record("alone", 0, [0.5]), record("kd", 0, [0.6]), record("kd", 1, [0.6])]
    runs[1]["scores"]["bag"] = 0.9
    lines = [line.split(" | ") for line in table(runs).splitlines()]
    assert lines[0][5] == "bag" and lines[2][5] == lines[3][5] == ""  # of one seed alone there is no mean either
    runs[2]["scores"]["bag"] = 0.7
    assert table(runs).splitlines()[3].split(" | ")[5] == "0.800 ± 0.141"


def test_bags_are_scored_where_groups_are_bags(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    score, group = np.array([0.1, 0.8, 0.3, 0.7]), ["a", "a", "b", "b"]
    both = {"label": [0, 0, 1, 1], "probability": np.stack([1 - score, score], 1)}
    np.savez(tmp_path / "predictions.npz", case=list("1234"), group=group, **both)
    assert "bag_max_auc" not in study.figures(tmp_path)["scores"]
    found = study.figures(tmp_path, bags=True)["scores"]
    assert (found["auc"], found["bag_max_auc"], found["bag_top3_auc"]) == (0.5, 0.0, 1.0)


@pytest.mark.slow
def test_a_study_trains_tests_resumes_and_keeps_its_figures(tmp_path, monkeypatch, capsys):
    data = write_volumes(tmp_path / "data")
    bundle = tmp_path / "bundles" / "hippocampus_segmentation"
    bundle.mkdir(parents=True)
    for name in ("configs", "scripts"):
        shutil.copytree(study.BUNDLES / bundle.name / name, bundle / name)
    (bundle / "docs").mkdir()
    monkeypatch.setattr(study, "BUNDLES", tmp_path / "bundles")
    monkeypatch.setattr("monai_kd.commands.trial.subprocess.run", processes.run)
    shared = ["--output_dir", str(tmp_path / "out"), "--dataset_dir", data, "--max_epochs", "1", "--progress", "False"]
    shared += ["--patch_size", "[16,16,16]", "--window_size", "[24,24,24]"]
    for method in ("teacher", "alone", "kd"):
        study.main([bundle.name, method, *shared])
    weights = (tmp_path / "out" / "kd_1_seed0" / "model.pt").stat().st_mtime_ns
    study.main([bundle.name, "kd", *shared])  # what is trained is not trained again
    assert (tmp_path / "out" / "kd_1_seed0" / "model.pt").stat().st_mtime_ns == weights
    kept = json.loads((bundle / "docs" / "results" / "kd_1_seed0.json").read_text())
    assert kept["recipe"] == "kd" and kept["command"].startswith("python -m tests.benchmarks.study hippocampus")
    assert set(kept["scores"]) == {"dice", "dice_front", "dice_back", "hd95", "hd95_front", "hd95_back"}
    assert np.mean(kept["cases"]["dice"]) == pytest.approx(kept["scores"]["dice"], abs=1e-4)
    capsys.readouterr()
    study.main([bundle.name, "--table"])
    assert [line.split(" | ")[0] for line in capsys.readouterr().out.splitlines()[2:]] == [
        "| teacher",
        "| alone",
        "| kd",
    ]
    study.main([bundle.name, "alone", "--set", "other", *shared])
    assert (bundle / "docs" / "results" / "other" / "alone_1_seed0.json").is_file()


def test_folders_of_this_machine_are_left_out_wherever_they_are():
    words = ["bundle", "kd", "--output_dir", "/a/runs", "--dataset_dir", "/a/runs_data", "--files", "['/a/runs/x.pt']"]
    said = "python -m tests.benchmarks.study bundle kd --output_dir OUT --dataset_dir DATA --files "
    assert study.typed_command(words).startswith(said) and "/a" not in study.typed_command(words)


def test_a_recipe_may_want_a_teacher_of_the_labels_that_the_student_has(tmp_path, monkeypatch):
    asked: list[Trial] = []
    monkeypatch.setattr(Trial, "finish", lambda trial: asked.append(trial))
    bundle = study.BUNDLES / "histology_patch_classification"
    extra = {"max_epochs": 3, "annotation::per_class": 9, "network_def::act": "elu"}
    for method in ("kd", "marini_ssl"):
        study.run(bundle, method, 2, 0.1, tmp_path, extra)
    kd, teacher, student = asked
    assert kd.overrides["teacher_checkpoint"] == str(tmp_path / "teacher" / "model.pt")
    assert teacher.folder == tmp_path / "teacher_0.1_seed2" and not teacher.test
    weights = str(teacher.folder / "model.pt")
    own = {"teacher_checkpoint": weights, "seed": 2, "labeled_fraction": 0.1}
    assert teacher.overrides == {"max_epochs": 3, **own}
    assert student.overrides.items() >= {**extra, **own}.items()
