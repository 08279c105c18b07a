# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""vector.yaml: what is privileged is a vector, and the published student works where there is none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from monai.networks.nets import DenseNet, FullyConnectedNet

from monai_kd.data import check_dataset
from monai_kd.recipes import load_recipe
from monai_kd.report import load_runs
from monai_kd.utils import DataError
from tests.bundles.histology_patch_classification.workflows import CONFIGS, FLAT
from tests.bundles.workflows import cause, copied, moved, run

LENGTH = 5


@pytest.fixture(scope="module")
def genes(data, tmp_path_factory) -> str:
    """The demo data with a vector in place of the second picture, in training and validation; none in the test."""
    folder = Path(shutil.copytree(data, tmp_path_factory.mktemp("genes") / "ihc"))
    content = json.loads((folder / "dataset.json").read_text())
    for section in ("training", "validation"):
        for number, item in enumerate(content[section]):
            item["privileged"] = np.random.RandomState(number).randn(LENGTH).tolist()
    for item in content["test"]:
        del item["privileged"]
    (folder / "dataset.json").write_text(json.dumps(content))
    return str(folder)


@pytest.fixture
def given(genes) -> dict:
    return {"dataset_dir": genes, "privileged_channels": LENGTH}


def test_a_batch_holds_the_vectors_as_they_are(make, given, genes):
    content = json.loads((Path(genes) / "dataset.json").read_text())["training"]
    batch = next(iter(make("vector.yaml", **given).parser.get_parsed_content("train::dataloader")))
    assert batch["privileged"].shape == (20, LENGTH) and batch["privileged"].dtype == torch.float32
    told = torch.tensor([content[i]["privileged"] for i in batch["index"].tolist()])
    assert type(batch["privileged"]) is torch.Tensor and batch["privileged"].equal(told)
    assert batch["image"].shape == (20, 1, 32, 32)


@pytest.mark.parametrize("name", ["trident", "more_from_less"])
def test_encoder_of_the_vector_and_student_learn(make, given, tmp_path, name):
    workflow = make(load_recipe(name).path, "vector.yaml", **given, projection=8)
    parser = workflow.parser
    encoder = parser.get_parsed_content("train::inferer").networks["dense"]
    student = workflow.trainer.network
    before = copied(encoder), copied(student)
    iterations = []
    parser.get_parsed_content("train::trainer").add_event_handler(
        "ITERATION_COMPLETED", lambda engine: iterations.append(engine.state.iteration)
    )
    run(workflow)
    assert iterations == [1, 2] and isinstance(encoder, FullyConnectedNet)
    assert moved(before[0], encoder) and not before[1]["features.conv0.weight"].equal(student.features.conv0.weight)
    state = torch.load(tmp_path / "models" / "model.pt", weights_only=True)
    DenseNet(spatial_dims=2, act="relu", **FLAT).load_state_dict(state, strict=True)


def test_a_teacher_of_vectors_teaches(make, given):
    teaching = run(make("train_teacher.yaml", "vector.yaml", **given, labeled_fraction=1.0))
    batch = next(iter(teaching.parser.get_parsed_content("train::dataloader")))
    assert batch["image"].shape == (20, LENGTH) and batch["image"].equal(batch["privileged"])
    workflow = make(load_recipe("cross_modal").path, "vector.yaml", **given)
    frozen, before = copied(workflow.parser.get_parsed_content("teacher_weights")), copied(workflow.trainer.network)
    run(workflow)
    assert moved(before, workflow.trainer.network)
    assert not moved(frozen, workflow.parser.get_parsed_content("teacher_def"))


@pytest.fixture
def published(tmp_path) -> str:
    """A student, untrained."""
    torch.save(DenseNet(spatial_dims=2, act="relu", **FLAT).state_dict(), tmp_path / "model.pt")
    return str(tmp_path / "model.pt")


def test_items_that_are_tested_need_no_vector(make, given, published, tmp_path):
    run(make(load_recipe("trident").path, "vector.yaml", "evaluate.yaml", **given, checkpoint=published))
    (one,) = load_runs(tmp_path / "output")
    assert (one.recipe, len(one.case), one.parameters) == ("trident", 16, 10105)


def test_inference_needs_no_vector(given, published, tmp_path):
    over = {"bundle_root": str(tmp_path), "checkpoint": published, "device": "cpu", "dataset_dir": given["dataset_dir"]}
    run(ConfigWorkflow(str(CONFIGS / "inference.yaml"), workflow_type="infer", logging_file=False, **over))
    assert len((tmp_path / "output" / "inference" / "predictions.csv").read_text().splitlines()) == 16


def test_a_vector_of_another_length_is_named(make, given):
    with pytest.raises(RuntimeError) as caught:
        make(load_recipe("trident").path, "vector.yaml", **{**given, "privileged_channels": 6}).run()
    told = cause(caught.value, DataError)
    assert "training[0], case 'training_" in told and f"'privileged' has {LENGTH} numbers, expected 6" in told


def test_a_vector_without_its_file_is_told(make, given):
    with pytest.raises(RuntimeError) as caught:
        make(load_recipe("trident").path, dataset_dir=given["dataset_dir"]).run()
    assert "'privileged' is a list of numbers, not a path" in cause(caught.value, DataError)


def test_such_a_list_is_sound(genes):
    report = check_dataset(genes, num_classes=3)
    assert report.ok and report.shapes["privileged"] == [[LENGTH], [LENGTH]]
