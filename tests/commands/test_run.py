# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
import shlex
import subprocess
import sys

import pytest

from monai_kd.__main__ import main
from monai_kd.commands.composition import compose
from monai_kd.commands.run import command_line

pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file")  # MONAI says so whenever it runs a bundle


@pytest.fixture(autouse=True)
def fresh_scripts(monkeypatch):
    """Forget the `scripts` of other bundles, and leave sys.path as it was: MONAI adds the bundle to it."""
    monkeypatch.setattr(sys, "path", sys.path[:])
    for name in [name for name in sys.modules if name.split(".")[0] == "scripts"]:
        monkeypatch.delitem(sys.modules, name)


def test_runs_a_recipe_on_a_bundle(bundle, capsys):
    assert main(["run", "kd", "--bundle", str(bundle)]) == 0
    assert f"3 epochs of {{'label': 0.1, 'kd': 0.9}} in {bundle}" in capsys.readouterr().out


def test_overrides_reach_the_run(bundle, capsys):
    words = ["--terms::kd", "None", "--max_epochs=1", "--bundle_root", "elsewhere"]
    assert main(["run", "kd", "--bundle", str(bundle), *words]) == 0
    assert "1 epochs of {'label': 0.1} in elsewhere" in capsys.readouterr().out


def test_runs_an_override_of_the_bundle(bundle, capsys):
    assert main(["run", "train_alone", "--bundle", str(bundle), "--config_file", "multi_gpu_train.yaml"]) == 0
    assert "7 epochs of {'label': 1}" in capsys.readouterr().out


def test_arguments_of_monai_reach_it(bundle, capsys):
    (bundle / "configs" / "evaluate.yaml").write_text("check: ['$print(\"checked\")']\n")
    assert main(["run", "evaluate", "--bundle", str(bundle), "--run_id", "check"]) == 0
    assert "checked" in capsys.readouterr().out


def test_what_ours_says_deep_inside_is_one_line(bundle, capsys):
    assert main(["run", "kd", "--bundle", str(bundle), "--run", "$@teacher"]) == 1
    err = capsys.readouterr().err
    assert err.splitlines()[-1].startswith("error: ")
    assert str(bundle / "teacher" / "model.pt") in err.splitlines()[-1]


def test_a_refused_run_does_not_start(bundle, capsys):
    assert main(["run", "kd", "--bundle", str(bundle), "--max_epoch", "1"]) == 1
    out, err = capsys.readouterr()
    assert "epochs" not in out
    assert "'max_epochs'" in err


def test_only_the_first_rank_tells_the_command(bundle, capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert main(["run", "kd", "--bundle", str(bundle)]) == 0
    assert "monai.bundle" not in capsys.readouterr().out


def test_command_names_everything(bundle):
    line = command_line(compose("kd", bundle, None, ["--terms::kd", "None", "--run_id", "run"]))
    assert line.startswith(f"PYTHONPATH={bundle} python -m monai.bundle run --config_file \"['{bundle}")
    assert line.endswith(f"--run_id run --bundle_root {bundle} --terms::kd '$None'")


@pytest.mark.slow
def test_command_of_monai_does_the_same(bundle, project, capsys):
    words = ["--terms::label::weight", "0.3", "--terms::kd", "None"]
    assert main(["run", "kd", "--bundle", str(bundle), *words]) == 0
    told, *ours = capsys.readouterr().out.splitlines()
    path, _, *command = shlex.split(told.partition(": ")[2])
    env = {**os.environ, "PYTHONPATH": f"{project}{os.pathsep}{path.removeprefix('PYTHONPATH=')}"}
    theirs = subprocess.run([sys.executable, *command], env=env, capture_output=True, text=True, check=True)
    assert [line for line in ours if "epochs" in line] == [f"3 epochs of {{'label': 0.3}} in {bundle}"]
    assert [line for line in theirs.stdout.splitlines() if "epochs" in line] == [
        line for line in ours if "epochs" in line
    ]


def test_who_interrupts_is_told_how_to_go_on(bundle, capsys, monkeypatch):
    def stop(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr("monai.bundle.run", stop)
    assert main(["run", "kd", "--bundle", str(bundle)]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "interrupted"
    path = bundle / "configs" / "train.yaml"
    path.write_text(path.read_text() + "resume: false\n")
    assert main(["run", "kd", "--bundle", str(bundle)]) == 130
    told = capsys.readouterr().err.splitlines()[-1]
    assert told == "interrupted; go on from the last checkpoint with --resume True"
