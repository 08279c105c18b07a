# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Evaluation and the demo write what the report reads."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from monai_kd.recipes import load_recipe
from monai_kd.report import load_runs
from monai_kd.utils import CheckpointError
from tests.bundles.histology_patch_classification.workflows import CONFIGS
from tests.bundles.workflows import cause, load_script, run


@pytest.fixture(scope="module")
def demo():
    """The module `scripts/demo.py`."""
    yield load_script(CONFIGS.parent / "scripts" / "demo.py")
    logging.disable(logging.NOTSET)


def test_evaluation_writes_what_a_report_reads(make, teacher, tmp_path):
    run(make("train_alone.yaml"))
    workflow = run(make("train_alone.yaml", "evaluate.yaml"))
    (one,) = load_runs(tmp_path / "output")
    assert (one.role, one.recipe, one.seed, one.setting) == ("alone", None, 0, "20 % of the training patches labelled")
    assert one.classes == ("negative", "partial", "positive") and one.parameters == 10105
    assert one.train_seconds > 0 and one.file_bytes > 4 * 10105 and one.flops > 0 and one.latency_ms > 0
    accuracy = (one.probability.argmax(1) == one.label).mean()
    assert workflow.evaluator.state.metrics["val_accuracy"] == pytest.approx(accuracy)
    assert all(case.startswith("test_") for case in one.case) and len(one.case) == 16
    assert list(one.history) == ["epoch", "label"]


def test_evaluation_is_of_the_checkpoint(make, tmp_path):
    run(make("train_alone.yaml"))
    first = np.load(_evaluated(make, tmp_path))["probability"]
    path = tmp_path / "output" / "alone" / "model.pt"
    state = torch.load(path)
    state["class_layers.out.bias"] += torch.tensor([0.0, 5.0, 0.0])
    torch.save(state, path)
    second = np.load(_evaluated(make, tmp_path))["probability"]
    odds = np.log(second[:, 1] / second[:, 0]) - np.log(first[:, 1] / first[:, 0])
    assert np.allclose(odds, 5, atol=1e-4)


def test_a_student_that_is_not_there_or_another_network_is_told_in_a_line(make, tmp_path):
    workflow = make("train_alone.yaml", "evaluate.yaml")
    with pytest.raises(RuntimeError) as told:
        workflow.run()
    assert cause(told.value, CheckpointError).endswith("alone/model.pt: no such file. train it first")
    run(make("train_alone.yaml"))
    workflow = make("train_alone.yaml", "evaluate.yaml", **{"network_def::init_features": 4})
    with pytest.raises(RuntimeError) as told:
        workflow.run()
    assert "model.pt: not the weights of this DenseNet: " in cause(told.value, CheckpointError)
    workflow = make("train_alone.yaml", "evaluate.yaml", seed=3)
    with pytest.raises(RuntimeError) as told:
        workflow.run()
    assert "is of another training: seed 0, now 3" in cause(told.value, CheckpointError)


def test_a_student_with_the_teachers_head_is_evaluated_as_it_is(make, teacher, tmp_path):
    recipe = load_recipe("simkd").path
    trained = run(make(recipe))
    assert "class_layers.projector.0.conv.weight" in trained.parser.get_parsed_content("network").state_dict()
    workflow = run(make(recipe, "evaluate.yaml"))
    (one,) = load_runs(tmp_path / "output")
    assert (one.role, one.recipe) == ("distilled", "simkd") and one.parameters > 10105
    network = workflow.parser.get_parsed_content("network")
    published = torch.load(workflow.parser.get_parsed_content("checkpoint"), weights_only=True)
    assert all(torch.equal(published[k], v) for k, v in network.state_dict().items())


def _evaluated(make, tmp_path) -> Path:
    run(make("train_alone.yaml", "evaluate.yaml"))
    return tmp_path / "output" / "alone" / "predictions.npz"


def test_demo_plans_every_comparison(demo):
    jobs = demo.plan(seeds=2, labeled_fraction=0.05, full_seeds=1)
    assert [job.name for job in jobs] == [
        "teacher",
        "alone_0.05_seed0",
        "distilled_0.05_seed0",
        "alone_0.05_seed1",
        "distilled_0.05_seed1",
        "alone_1_seed0",
        "distilled_1_seed0",
    ]
    told = demo.command(jobs[1], {"max_epochs": 3})
    files = "['configs/train.yaml', 'configs/train_alone.yaml']"
    assert told.endswith(f'run --config_file "{files}" --seed 0 --labeled_fraction 0.05 --max_epochs 3')


@pytest.mark.slow
def test_demo_writes_a_report_and_nothing_elsewhere(demo, tmp_path):
    before = sorted(p for p in CONFIGS.parent.rglob("*") if "__pycache__" not in p.parts)
    old = tmp_path / "alone_0.5_seed9"
    old.mkdir()
    (old / "run.json").touch()
    page = demo.main(["--output_dir", str(tmp_path), "--max_epochs", "1", "--seeds", "2", "--full_seeds", "1"])
    assert page == tmp_path / "report.html"
    assert {r.role for r in load_runs(tmp_path)} == {"teacher", "alone", "distilled"}
    examples = np.load(tmp_path / "distilled_0.05_seed0" / "examples.npz")
    assert {"images", "privileged", "label", "teacher", "alone", "distilled"} == set(examples.files)
    assert sorted(p for p in CONFIGS.parent.rglob("*") if "__pycache__" not in p.parts) == before
    assert not old.exists()
