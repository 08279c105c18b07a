# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from monai_kd.__main__ import main
from monai_kd.commands.compare import plan
from monai_kd.data import write_ihc_patches
from monai_kd.networks import write_origin
from monai_kd.report import write_report
from tests import processes

SETTINGS = """
recipe: {id: kd}
role: distilled
seed: 0
resume: false
output_dir: "$@bundle_root + '/output/' + @role"
checkpoint: "$@bundle_root + '/models/model.pt'"
labeled_fraction: 0.5
"""
WORDS = """
import json
from pathlib import Path
import numpy as np
from monai_kd.report import write_run

def train(folder, checkpoint, resume, epochs, labels):
    folder, checkpoint = Path(folder), Path(checkpoint)
    with (folder / "trainings.txt").open("a") as file:
        file.write(f"{epochs} epochs, {labels} of the labels, resume {resume}\\n")
    broken = Path(__file__).with_name("broken.txt")
    if broken.is_file() and folder.name in broken.read_text():
        raise RuntimeError(f"no luck with {folder.name}")
    checkpoint.parent.mkdir(exist_ok=True)
    checkpoint.write_text("weights")

def test(folder, role, recipe, seed):
    label = np.arange(40) % 2
    right = np.random.RandomState(seed + len(role)).rand(40) < (0.6 if role == "alone" else 0.9)
    answers = np.eye(2)[np.where(right, label, 1 - label)]
    case = np.arange(40).astype(str)
    np.savez(Path(folder) / "predictions.npz", case=case, group=case, label=label, probability=answers)
    costs = dict.fromkeys(("parameters", "flops", "latency_ms", "file_bytes", "train_seconds"))
    words = {"title": role, "setting": "" if role == "teacher" else "half", "command": "", "data": "", "split": ""}
    write_run(folder, {"role": role, "recipe": recipe, "seed": seed, **words, **costs})
"""
CONFIGS = {
    "train_alone.yaml": "role: alone\nrecipe: {id: null}\nterms::kd: null\n",
    "train_teacher.yaml": "role: teacher\nrecipe: {id: null}\nlabeled_fraction: 1.0\n"
    "checkpoint: '@teacher_checkpoint'\n",
    "evaluate.yaml": "run: ['$test(@output_dir, @role, @recipe::id, @seed)']\n",
}
RUN = "run: ['$train(@output_dir, @checkpoint, @resume, @max_epochs, @labeled_fraction)']\n"


def scripts() -> list[str]:
    """Modules of a bundle's scripts that were imported."""
    return [name for name in sys.modules if name.split(".")[0] == "scripts"]


@pytest.fixture
def toy(bundle, monkeypatch) -> Iterator[Path]:
    """A bundle that trains and tests in no time; what would be processes of their own runs in this one."""
    train = (bundle / "configs" / "train.yaml").read_text().split("words:")[0] + SETTINGS + RUN
    (bundle / "configs" / "train.yaml").write_text(
        train.replace('import tell"', 'import test", "$from scripts.words import train"')
    )
    for name, text in CONFIGS.items():
        (bundle / "configs" / name).write_text(text)
    (bundle / "scripts" / "words.py").write_text(WORDS)
    monkeypatch.setattr(sys, "path", [str(bundle), *sys.path])  # before bundles of other tests
    for name in scripts():
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("monai_kd.commands.trial.subprocess.run", processes.run)
    monkeypatch.setattr("monai_kd.commands.compare.write_report", partial(write_report, resamples=50))
    yield bundle
    for name in scripts():
        del sys.modules[name]


def trainings(out: Path) -> dict[str, list[str]]:
    return {path.parent.name: path.read_text().splitlines() for path in sorted(out.glob("*/trainings.txt"))}


@pytest.mark.filterwarnings("ignore:parsing config_file")
def test_every_run_is_done_once(toy, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["compare", "--bundle", str(toy), "--recipes", "kd, fitnets", "--seeds", "2", "--output_dir", str(out)]
    words += ["--max_epochs", "5", "--labeled_fraction", "0.1"]
    assert main(words) == 0
    told = capsys.readouterr().out
    student, teacher = (f"5 epochs, {part} of the labels, resume True" for part in (0.1, 1.0))
    names = [f"{name}_seed{seed}" for name in ("alone", "fitnets", "kd") for seed in (0, 1)]
    once = {**{name: [student] for name in names}, "teacher": [teacher]}
    assert trainings(out) == once
    assert (toy / "teacher" / "model.pt").is_file() and not (toy / "models").exists()
    assert told.splitlines()[-1] == str(out / "report.html") and "kd: helps. Mean balanced accuracy" in told
    rows = json.loads((out / "report.json").read_text())["rows"]
    recipes = (None, None, "fitnets", "kd")  # the teacher's and the baseline's have no recipe
    assert [(row["recipe"], row["seeds"]) for row in rows][1:] == [(recipe, [0, 1]) for recipe in recipes[1:]]

    assert main(words) == 0
    assert capsys.readouterr().out.count("finished before") == 7
    assert trainings(out) == once

    assert main([*words, "--batch_size", "3"]) == 1  # a key that nothing reads
    words[words.index("5")] = "6"
    assert main(words) == 1
    assert "max_epochs 5, now 6" in capsys.readouterr().err
    assert trainings(out)["kd_seed0"] == [student]


@pytest.mark.filterwarnings("ignore:parsing config_file")
def test_a_run_that_fails_is_named_and_goes_on_later(toy, tmp_path, capsys):
    out, broken = tmp_path / "out", toy / "scripts" / "broken.txt"
    broken.write_text("kd_seed1")
    words = ["compare", "--bundle", str(toy), "--recipes", "kd", "--seeds", "2", "--output_dir", str(out)]
    assert main(words) == 1
    told, err = capsys.readouterr()
    assert "error: 1 of 5 runs failed: kd_seed1" in err
    log = out / "kd_seed1" / "log.txt"
    assert str(log) in err and "no luck with kd_seed1" in log.read_text()
    assert "kd: unclear" in told and (out / "report.html").is_file()  # about what there is
    broken.unlink()
    assert main(words) == 0
    assert [len(lines) for lines in trainings(out).values()] == [1, 1, 1, 2, 1]

    (out / "alone_seed0" / "run.json").unlink()  # broke off in its test
    assert main(words) == 0
    assert [len(lines) for lines in trainings(out).values()] == [1, 1, 1, 2, 1]
    (out / "kd_seed0" / "trial.json").write_text(
        (out / "kd_seed0" / "trial.json").read_text().replace("true", "false")
    )  # broke off between two stages of its training, the first of which published weights
    assert main(words) == 0
    assert [len(lines) for lines in trainings(out).values()] == [1, 1, 2, 2, 1]
    (out / "kd_seed0" / "model.pt").unlink()
    broken.write_text("kd_seed0")
    assert main(words) == 1
    assert not (out / "kd_seed0" / "run.json").exists()  # of weights that are gone


@pytest.mark.filterwarnings("ignore:parsing config_file")
def test_a_recipe_may_want_a_teacher_of_the_labels_that_the_student_has(toy, tmp_path):
    mine, out = tmp_path / "mine.yaml", tmp_path / "out"
    mine.write_text("recipe: {id: mine, kinds: [classification], teacher_labels: labeled}\n")
    words = ["compare", "--bundle", str(toy), "--recipes", f"kd,{mine}", "--seeds", "2", "--output_dir", str(out)]
    words += ["--max_epochs", "5", "--labeled_fraction", "0.1"]
    assert main(words) == 0
    done = trainings(out)
    assert [line.split()[2] for line in done["teacher"]] == ["1.0"]
    assert [line.split()[2] for seed in (0, 1) for line in done[f"teacher_labeled_seed{seed}"]] == ["0.1", "0.1"]
    assert len(json.loads((out / "report.json").read_text())["rows"]) == 4  # it stands in no row
    teaching, trials = plan(toy, f"kd,{mine}", 2, out, tokens=words[-4:])
    assert [trial.overrides.get("seed") for trial in teaching] == [None, 0, 1]  # which draws who is labelled
    taught = {trial.folder.name: trial.overrides.get("teacher_checkpoint", "") for trial in trials}
    assert taught["mine_seed1"] == str(out / "teacher_labeled_seed1" / "model.pt") and taught["kd_seed1"] == ""
    assert main(words) == 0
    assert trainings(out) == done


@pytest.mark.filterwarnings("ignore:parsing config_file")
def test_a_teacher_trained_otherwise_is_not_taken(toy, tmp_path, capsys):
    words = ["compare", "--bundle", str(toy), "--recipes", "kd", "--seeds", "1"]
    assert main([*words, "--output_dir", str(tmp_path / "smoke"), "--max_epochs", "2"]) == 0
    assert main([*words, "--output_dir", str(tmp_path / "out")]) == 1
    assert "model.pt: was trained with max_epochs 2, now None" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    of_the_student = ["--max_epochs", "2", "--kd_loss::temperature", "2"]
    assert main([*words, "--output_dir", str(tmp_path / "other"), *of_the_student]) == 0
    assert "teacher" not in trainings(tmp_path / "other")


@pytest.mark.filterwarnings("ignore:parsing config_file")
def test_a_teacher_of_which_nothing_is_known_is_taken_with_a_warning(toy, tmp_path):
    words = ["compare", "--bundle", str(toy), "--recipes", "kd", "--seeds", "1", "--output_dir"]
    (toy / "teacher").mkdir()
    (toy / "teacher" / "model.pt").write_text("weights")
    with pytest.warns(UserWarning, match="model.pt: is used as it is: nothing tells what it was trained with"):
        assert main([*words, str(tmp_path / "one")]) == 0
    (toy / "teacher" / "model.pt").unlink()
    assert main([*words, str(tmp_path / "two")]) == 0
    (toy / "teacher" / "model.pt").write_text("weights of another training")
    with pytest.warns(UserWarning, match="nothing tells"):
        assert main([*words, str(tmp_path / "three"), "--max_epochs", "2"]) == 0


@pytest.mark.filterwarnings("ignore:parsing config_file")
def test_a_teacher_of_another_seed_is_tested_as_it_is(toy, tmp_path):
    (toy / "teacher").mkdir()
    (toy / "teacher" / "model.pt").write_text("weights")
    write_origin(toy / "teacher" / "model.pt", {"role": "teacher", "seed": 7})
    words = ["compare", "--bundle", str(toy), "--recipes", "kd", "--seeds", "1", "--output_dir", str(tmp_path / "out")]
    with pytest.warns(UserWarning, match="model.pt: is used as it is: seed 7; remove it"):
        assert main(words) == 0
    runs = {name: json.loads((tmp_path / "out" / name / "run.json").read_text()) for name in ("teacher", "kd_seed0")}
    assert (runs["teacher"]["seed"], runs["kd_seed0"]["seed"]) == (7, 0)


def test_a_plan_begins_with_the_baseline_of_each_seed(toy, tmp_path):
    teaching, trials = plan(toy, "kd", 2, tmp_path, tokens=["--teacher_checkpoint", "elsewhere.pt"])
    assert [trial.folder.name for trial in trials] == ["alone_seed0", "kd_seed0", "alone_seed1", "kd_seed1"]
    assert [trial.weights.name for trial in teaching] == ["elsewhere.pt"]
    words = trials[3].words(*trials[3].tests)
    assert words[:6] == ["run", "kd", "--bundle", str(toy), "--config_file", "evaluate"]
    assert words[words.index("--seed") + 1] == "1"
    (toy / "configs" / "evaluate_multi_gpu_train.yaml").touch()
    (one, *_), _ = plan(toy, "kd", 1, tmp_path, config_file="multi_gpu_train.yaml,evaluate.yaml")
    assert one.tests == ["evaluate", "evaluate_multi_gpu_train"]
    (toy / "configs" / "train_teacher.yaml").unlink()
    assert plan(toy, "kd", 1, tmp_path, config_file="evaluate.yaml,multi_gpu_train.yaml")[0] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--recipes", "kd,kd"], "has the id of 'kd'"),
        (["--recipes", "train_alone"], "has no id"),
        (["--recipes", "kdd"], "no recipe 'kdd'"),
        (["--recipes", "kd", "--seeds", "0"], "--seeds: must be 1 or more"),
        (["--recipes", "kd", "--jobs", "0"], "--jobs: must be 1 or more"),
        (["--recipes", "kd", "--seed", "3"], "--seed: each run gets its own"),
        (["--recipes", "kd", "--max_epoch", "3"], "'max_epochs'"),
        (["--recipes", "kd", "--teacher", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(toy, words, message, capsys):
    assert main(["compare", "--bundle", str(toy), *words]) == 1
    assert message in capsys.readouterr().err
    assert not (toy / "output").exists()


@pytest.mark.slow
def test_compares_on_the_bundle_of_the_main_job(project, tmp_path, capfd):
    data = write_ihc_patches(tmp_path / "data", stride=64)
    bundle, out = project / "bundles" / "histology_patch_classification", tmp_path / "out"
    words = ["compare", "--bundle", str(bundle), "--recipes", "kd", "--seeds", "1", "--jobs", "2"]
    words += ["--dataset_dir", data, "--teacher_checkpoint", str(tmp_path / "teacher.pt"), "--output_dir", str(out)]
    words += ["--max_epochs", "1", "--batch_size", "20", "--labeled_fraction", "0.2", "--progress", "False"]
    assert main(words) == 0
    assert "run at least three" in capfd.readouterr().out
    found = json.loads((out / "report.json").read_text())
    assert [row["recipe"] for row in found["rows"]] == [None, None, "kd"]
    assert all(command.startswith("python -m monai_kd run") for command in found["commands"])
