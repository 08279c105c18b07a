# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Teacher, student alone and distilled student train, and the published student is a plain network."""

from __future__ import annotations

import csv
import os
import subprocess
import sys

import pytest
import torch
from monai.networks.nets import DenseNet

from monai_kd.inferers import Pass
from monai_kd.metrics import count_parameters
from monai_kd.recipes import load_recipe
from monai_kd.utils import CheckpointError
from tests.bundles.federated import one_round
from tests.bundles.histology_patch_classification.workflows import CONFIGS, FLAT
from tests.bundles.workflows import cause, copied, moved, run, streams_of_two_iterations


def test_distillation_moves_the_student_and_leaves_the_teacher(make, teacher, tmp_path):
    workflow, bytes_before = make(), teacher.read_bytes()
    before = copied(workflow.parser.get_parsed_content("network"))
    frozen = copied(workflow.parser.get_parsed_content("teacher_weights"))
    run(workflow)
    assert workflow.trainer.state.iteration == 2
    assert moved(before, workflow.trainer.network)
    assert not moved(frozen, workflow.parser.get_parsed_content("teacher_def"))
    assert teacher.read_bytes() == bytes_before
    assert sorted(p.name for p in (tmp_path / "models").iterdir()) == ["model.origin.json", "model.pt"]


def test_published_student_is_the_plain_network(make, teacher, tmp_path):
    run(make())
    state = torch.load(tmp_path / "models" / "model.pt", weights_only=True)
    DenseNet(spatial_dims=2, act="relu", **FLAT).load_state_dict(state, strict=True)


def test_networks_are_postage_stamps(make):
    parser = make().parser
    assert count_parameters(parser.get_parsed_content("network_def")) == 10105
    assert count_parameters(parser.get_parsed_content("teacher_def")) == 39903


@pytest.mark.parametrize("role", ["student", "teacher"])
def test_layers_and_channels_are_as_declared(make, role):
    parser = make().parser
    network = parser.get_parsed_content({"student": "network_def", "teacher": "teacher_def"}[role]).eval()
    stages = parser.get_parsed_content(f"{role}_stages")
    noted = Pass(taps=dict(zip("012", stages, strict=True))).run(
        "p", network, [torch.zeros(1, 1 if role == "student" else 3, 32, 32)]
    )
    assert [noted[f"p.{i}"].shape[1] for i in range(3)] == parser.get_parsed_content(f"{role}_stage_channels")
    assert stages[-1] == parser.get_parsed_content("layers")[role]
    assert noted["p.2"].shape[1] == parser.get_parsed_content(f"{role}_channels")


def test_teacher_is_trained_on_the_second_modality_with_all_labels(make, tmp_path):
    workflow = run(make("train_teacher.yaml", labeled_fraction=1.0))
    batch = next(iter(workflow.parser.get_parsed_content("train::dataloader")))
    assert batch["image"].shape[1] == 3 and batch["labeled"].all()
    assert len(workflow.train_dataset) == 40
    assert workflow.trainer.state.iteration == 2
    state = torch.load(tmp_path / "teacher" / "model.pt", weights_only=True)
    assert state["features.conv0.weight"].shape[1] == 3
    assert not (tmp_path / "models").exists()


def test_alone_draws_labeled_items_only_for_the_same_number_of_steps(make, tmp_path):
    workflow = make("train_alone.yaml", max_epochs=2)
    drawn = []
    workflow.trainer.add_event_handler("ITERATION_COMPLETED", lambda e: drawn.append(e.state.batch))
    run(workflow)
    assert all(batch["labeled"].all() for batch in drawn)
    assert sum(len(batch["label"]) for batch in drawn) == 2 * 40 and len(drawn) == 4
    assert (
        len(workflow.train_dataset) == sum(i["labeled"] for i in workflow.parser.get_parsed_content("train_items")) < 12
    )
    assert (tmp_path / "output" / "alone" / "model.pt").is_file() and not (tmp_path / "models").exists()


def test_alone_and_distilled_start_alike_with_the_same_labels(make, teacher):
    students = [make(*files, seed=3) for files in ((), ("train_alone.yaml",))]
    first, second = (s.parser.get_parsed_content("train_items") for s in students)
    assert [i["labeled"] for i in first] == [i["labeled"] for i in second]
    weights = [make(*files, seed=3).network_def.features.conv0.weight for files in ((), ("train_alone.yaml",))]
    assert weights[0].equal(weights[1])


def test_missing_teacher_says_what_to_run(make):
    with pytest.raises(RuntimeError) as caught:
        make().run()
    error = cause(caught.value, CheckpointError)
    assert "monai-kd run train_teacher --bundle" in error and "model.pt" in error


def test_curves_and_resuming(make, teacher, tmp_path):
    run(make(max_epochs=2, val_interval=2, save_interval=1))
    workflow = run(make(max_epochs=3, val_interval=2, save_interval=1, resume=True))
    with (tmp_path / "output" / "distilled" / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"] and workflow.trainer.state.iteration == 6
    assert rows[1]["val_accuracy"] and not rows[0]["val_accuracy"] and float(rows[2]["kd"]) > 0


@pytest.mark.slow
def test_two_processes_train_one_student(data, teacher, tmp_path):
    files = [str(CONFIGS / name) for name in ("train.yaml", "multi_gpu_train.yaml")]
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node=2",
        "-m",
        "tests.bundle_process",
    ]
    command += ["run", "--config_file", str(files), "--bundle_root", str(tmp_path), "--dataset_dir", data]
    command += ["--max_epochs", "2", "--batch_size", "10", "--val_interval", "1"]
    environment = {
        **os.environ,
        "PYTHONPATH": str(CONFIGS.parents[2]),
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    state = torch.load(tmp_path / "models" / "model.pt", weights_only=True)
    DenseNet(spatial_dims=2, act="relu", **FLAT).load_state_dict(state, strict=True)
    with (tmp_path / "output" / "distilled" / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"] and all(row["val_accuracy"] for row in rows)


def test_a_federated_client_exchanges_the_student(data, teacher, tmp_path):
    plain = DenseNet(spatial_dims=2, act="relu", **FLAT)
    here = {"dataset_dir": data, "max_epochs": 1, "batch_size": 20, "progress": False, "device": "$torch.device('cpu')"}
    sent, measured = one_round(CONFIGS, tmp_path, plain, here)
    assert sent.keys() == plain.state_dict().keys()
    assert 0 <= measured["val_accuracy"] <= 1


def test_a_quarter_of_every_batch_is_labelled(make):
    given = {"labeled_fraction": 0.5, "batch_size": 4, "train::trainer::epoch_length": 2}
    workflow = make(load_recipe("src_mt").path, "two_stream.yaml", **given)
    assert streams_of_two_iterations(workflow) == [[True, False, False, False]] * 2
