# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""K42: the commands that run a bundle look through it first, and the one that teaches it; `--trust` says not to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monai_kd.__main__ import main

CLEAN = {
    "configs/train.yaml": "run: [\"$print('it ran')\"]\n",
    "configs/metadata.json": json.dumps({"version": "0.1.0"}),
}


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def marker(tmp_path) -> Path:
    return tmp_path / "executed"


@pytest.fixture
def evil(tmp_path, marker) -> Path:
    config = f"run: [\"$__import__('os').system('touch {marker}')\", \"$print('it ran')\"]\n"
    return write(tmp_path / "evil", {**CLEAN, "configs/train.yaml": config, "configs/laid_over.yaml": "{}\n"})


@pytest.mark.parametrize("words", [["run", "laid_over"], ["pack", "laid_over"], ["compare", "--recipes", "kd"]])
def test_a_bundle_that_could_do_anything_does_nothing(words, evil, marker, tmp_path, capsys):
    out = [str(tmp_path / "out")] if words[0] == "pack" else []
    assert main([*words, "--bundle", str(evil), *out]) == 1
    told = capsys.readouterr()
    assert "may run code that is not MONAI's: configs/train.yaml run::0" in told.err and "--trust" in told.err
    assert not marker.exists() and "it ran" not in told.out


def test_nor_one_that_would_teach(evil, marker, tmp_path, capsys):
    bundle = write(tmp_path / "clean", {**CLEAN, "configs/laid_over.yaml": "{}\n"})
    assert main(["run", "laid_over", "--bundle", str(bundle), "--teacher", str(evil)]) == 1
    assert "evil: may run code" in capsys.readouterr().err and not marker.exists()


def test_who_trusts_it_may_run_it_and_a_clean_one_runs(evil, marker, tmp_path, capsys):
    assert main(["run", "laid_over", "--bundle", str(evil), "--trust"]) == 0
    assert marker.exists() and "it ran" in capsys.readouterr().out
    bundle = write(tmp_path / "clean", {**CLEAN, "configs/laid_over.yaml": "{}\n"})
    assert main(["run", "laid_over", "--bundle", str(bundle)]) == 0 and "it ran" in capsys.readouterr().out


def test_the_check_alone_has_an_exit_status(evil, marker, tmp_path, capsys):
    assert main(["check-bundle", str(evil)]) == 1 and "configs/train.yaml" in capsys.readouterr().out
    assert main(["check-bundle", str(write(tmp_path / "clean", CLEAN))]) == 0
    assert not marker.exists()


HUB = {
    "configs/train.yaml": """run: ["$@loss", "$print('it ran')"]
loss:
  _target_: PerceptualLoss
  spatial_dims: 2
  network_type: radimagenet_resnet50
  cache_dir: "$@bundle_root + '/models'"
""",
    "configs/laid_over.yaml": "{}\n",
    "configs/metadata.json": "{}",
}


def test_what_torch_hub_would_run_is_not_run(marker, tmp_path, capsys):
    hub = {"models/Project-MONAI_perceptual-models_main/hubconf.py": f"open({str(marker)!r}, 'w')\n"}
    bundle = write(tmp_path / "hub", {**HUB, **hub})
    assert main(["check-bundle", str(bundle)]) == 1 and "hubconf.py" in capsys.readouterr().out
    assert main(["run", "laid_over", "--bundle", str(bundle)]) == 1 and not marker.exists()


@pytest.mark.parametrize("command", ["run", "pack", "compare"])
@pytest.mark.parametrize("by", ["recipe", "config_file", "args_file"])
def test_nor_does_a_file_from_elsewhere(command, by, marker, tmp_path, capsys):
    keys = "recipe: {id: kd}\nseed: 0\nresume: false\ncheckpoint: x\noutput_dir: x\n"
    train = {"configs/train.yaml": CLEAN["configs/train.yaml"] + keys}
    bundle = write(tmp_path / "clean", {**CLEAN, **train, "configs/laid_over.yaml": "{}\n"})
    what = f"run: [\"$__import__('os').system('touch {marker}')\", \"$print('it ran')\"]\nrecipe: {{id: evil}}\n"
    other = write(tmp_path / "elsewhere", {"evil.yaml": what}) / "evil.yaml"
    name, more = (str(other), []) if by == "recipe" else ("laid_over", [f"--{by}", str(other)])
    first = {"run": [name], "pack": [name, str(tmp_path / "out")], "compare": ["--recipes", name]}[command]
    words = [command, *first, "--bundle", str(bundle), *more]
    assert main(words) == 1
    told = capsys.readouterr()
    assert "evil.yaml: may run code that is not MONAI's" in told.err and "it ran" not in told.out
    assert not marker.exists()
    if command == "run":
        assert main([*words, "--trust"]) == 0 and marker.exists()


def test_a_file_from_elsewhere_writes_where_it_is_asked_to(tmp_path, capsys):
    bundle = write(tmp_path / "clean", {**CLEAN, "configs/laid_over.yaml": "{}\n"})
    more = write(tmp_path, {"more.yaml": f"output_dir: {tmp_path / 'out'}\nrun: [\"$print('to ' + @output_dir)\"]\n"})
    assert main(["run", "laid_over", "--bundle", str(bundle), "--config_file", str(more / "more.yaml")]) == 0
    assert f"to {tmp_path / 'out'}" in capsys.readouterr().out
