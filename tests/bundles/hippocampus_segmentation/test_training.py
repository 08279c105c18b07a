# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Teacher, student alone and distilled student train; the published student runs where monai_kd is not installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow

from monai_kd.inferers import Pass
from monai_kd.metrics import count_flops, count_parameters
from monai_kd.networks import LiteUNet
from monai_kd.recipes import load_recipe
from tests.bundles.federated import one_round
from tests.bundles.hippocampus_segmentation.conftest import CONFIGS
from tests.bundles.workflows import as_one_process_of_a_group, copied, moved, run, streams_of_two_iterations


def test_distillation_moves_the_student_and_leaves_the_teacher(make, teacher, tmp_path):
    workflow = make()
    before = copied(workflow.parser.get_parsed_content("network"))
    frozen = copied(workflow.parser.get_parsed_content("teacher_weights"))
    run(workflow)
    assert workflow.trainer.state.iteration == 2
    assert moved(before, workflow.trainer.network)
    assert not moved(frozen, workflow.parser.get_parsed_content("teacher_def"))
    assert sorted(p.name for p in (tmp_path / "models").iterdir()) == ["model.origin.json", "model.pt", "model.ts"]


def test_published_files_are_the_plain_network(make, teacher, tmp_path):
    run(make())
    plain = LiteUNet(3, 1, 3, channels=(16, 32, 64), stem_stride=2)
    plain.load_state_dict(torch.load(tmp_path / "models" / "model.pt", weights_only=True), strict=True)
    script, image = torch.jit.load(tmp_path / "models" / "model.ts"), torch.randn(2, 1, 17, 24, 20)
    with torch.no_grad():
        torch.testing.assert_close(script(image), plain.eval()(image))


def test_student_is_a_tenth_of_the_teacher(make):
    parser = make().parser
    student, teacher = (parser.get_parsed_content(name) for name in ("network_def", "teacher_def"))
    image = torch.zeros(1, 1, 32, 48, 32)
    assert 10 * count_parameters(student) <= count_parameters(teacher)
    assert 10 * count_flops(student, image) <= count_flops(teacher, image)


@pytest.mark.parametrize("role", ["student", "teacher"])
def test_layers_and_channels_are_as_declared(make, role):
    parser = make().parser
    network = parser.get_parsed_content({"student": "network_def", "teacher": "teacher_def"}[role]).eval()
    stages, last = parser.get_parsed_content(f"{role}_stages"), parser.get_parsed_content("layers")[role]
    noted = Pass(taps=dict(zip("012l", [*stages, last], strict=True))).run(
        "p", network, [torch.zeros(1, 1, 16, 24, 16)]
    )
    assert [noted[f"p.{i}"].shape[1] for i in range(3)] == parser.get_parsed_content(f"{role}_stage_channels")
    assert noted["p.l"].shape[1] == parser.get_parsed_content(f"{role}_channels")


def test_teacher_and_student_alone_train(make, tmp_path):
    run(make("train_teacher.yaml"))
    assert sorted(p.name for p in (tmp_path / "teacher").iterdir()) == [
        "model.cases.json",
        "model.origin.json",
        "model.pt",
    ]
    workflow = make("train_alone.yaml", labeled_fraction=0.5)
    drawn = []
    workflow.trainer.add_event_handler("ITERATION_COMPLETED", lambda e: drawn.append(e.state.batch))
    run(workflow)
    assert len(drawn) == 2 and all(batch["labeled"].all() for batch in drawn)
    assert len(workflow.train_dataset) == 2
    assert (tmp_path / "output" / "alone" / "model.pt").is_file() and not (tmp_path / "models").exists()


def test_label_moves_with_the_image_and_every_view(make):
    """Where the image is bright the label is not background, whatever was cropped, flipped and turned."""
    torch.manual_seed(0)
    workflow = make("train_alone.yaml", views=["image", "image_2"])
    for batch in workflow.parser.get_parsed_content("train::dataloader"):
        label = batch["label"][:, 0]
        assert label.shape[1:] == (16, 24, 16) and set(label.unique().tolist()) <= {0, 1, 2}
        for key in ("image", "image_2"):
            image = torch.as_tensor(batch[key])[:, 0]
            assert image[label == 2].mean() > image[label == 1].mean() + 0.3 > image[label == 0].mean() + 0.6
        assert not torch.equal(batch["image"], batch["image_2"])


def test_an_unlabelled_volume_needs_no_label_file(make, teacher, tmp_path, data):
    content = json.loads(Path(data, "dataset.json").read_text())
    content["training"][1].pop("label")
    content["training"][1]["labeled"] = False
    folder = tmp_path / "unlabelled"
    folder.mkdir()
    for name in ("images", "labels"):
        (folder / name).symlink_to(Path(data, name))
    (folder / "dataset.json").write_text(json.dumps(content))
    workflow = run(make(dataset_dir=str(folder)))
    assert workflow.trainer.state.iteration == 2
    values = workflow.parser.get_parsed_content("train::loss").values
    assert all(torch.isfinite(v) for v in values.values())


@pytest.mark.parametrize("recipe", [None, "multi_teacher"])
def test_a_fold_ensemble_must_not_have_seen_what_judges_its_student(make, tmp_path, data, recipe):
    content = json.loads(Path(data, "dataset.json").read_text())
    for i, item in enumerate(content["training"]):
        item["fold"] = i % 2
        item |= {key: str(Path(data, item[key])) for key in ("image", "label")}
    del content["validation"]
    (tmp_path / "folds").mkdir()
    (tmp_path / "folds" / "dataset.json").write_text(json.dumps(content))
    run(make("train_teacher.yaml", dataset_dir=str(tmp_path / "folds"), fold=0))
    more = [load_recipe(recipe).path] if recipe else []
    run(make(*more, dataset_dir=str(tmp_path / "folds"), fold=0))
    with pytest.raises(RuntimeError) as caught:
        make(*more, dataset_dir=str(tmp_path / "folds"), fold=1).run()
    error = caught.value
    while error.__cause__ is not None:
        error = error.__cause__
    assert "was trained on 2 of the cases that judge its student: " in str(error) and "training_1" in str(error)


@pytest.mark.parametrize("name", ["mean_teacher", "uamt", "cps"])
def test_half_of_every_batch_is_labelled(make, name):
    workflow = make(load_recipe(name).path, "two_stream.yaml", labeled_fraction=0.5)
    drawn = []
    workflow.trainer.add_event_handler("ITERATION_COMPLETED", lambda e: drawn.append(e.state.batch["labeled"]))
    run(workflow)
    assert [flags.tolist() for flags in drawn] == [[True, False]] * 2


def test_slices_are_not_taken_for_volumes(tmp_path):
    for name in ("1.dcm", "2.dcm"):
        (tmp_path / name).touch()
    given = {"bundle_root": str(tmp_path), "dataset_dir": str(tmp_path), "pattern": "*"}
    workflow = ConfigWorkflow(str(CONFIGS / "inference.yaml"), workflow_type="infer", logging_file=False, **given)
    workflow.initialize()
    with pytest.raises(SystemExit, match="DICOM files of one folder are slices"):
        workflow.run()


@pytest.mark.slow
def test_student_infers_where_monai_kd_cannot_be_imported(make, teacher, tmp_path, data):
    run(make())
    folder = tmp_path / "clinic"
    folder.mkdir()
    source = nib.load(Path(data) / "images" / "test_0.nii.gz")
    turned = nib.Nifti1Image(source.get_fdata()[::-1], np.diag([-2.0, 1, 1, 1]))  # another orientation and spacing
    nib.save(turned, folder / "case.nii.gz")
    script = (
        "import sys; sys.modules['monai_kd'] = None\n"
        "from monai.bundle import run\n"
        "run(config_file=sys.argv[1], bundle_root=sys.argv[2], dataset_dir=sys.argv[3])"
    )
    command = [sys.executable, "-c", script, str(CONFIGS / "inference.yaml"), str(tmp_path), str(folder)]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    (folder / "broken.nii.gz").write_text("no volume")  # comes first, and keeps no other waiting
    nib.save(nib.Nifti1Image(np.zeros((20, 20, 20, 2), np.float32), np.eye(4)), folder / "channels.nii.gz")
    nib.save(nib.Nifti1Image(np.full((20, 20, 20), np.nan, np.float32), np.eye(4)), folder / "nan.nii.gz")
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 1
    told = done.stderr[done.stderr.index("FAILED") :].splitlines()
    broken = f"{folder}/broken.nii.gz: LoadImage cannot find a suitable reader for file: {folder}/broken.nii.gz."
    assert told[:2] == ["FAILED 3 of 4:", broken] and "expected input" in told[2] and "but got 2 channels" in told[2]
    assert told[3] == f"{folder}/nan.nii.gz: has voxels that are nan or infinite"
    assert [path.name for path in (tmp_path / "output" / "inference").iterdir()] == ["case_seg.nii.gz"]
    for name in ("broken", "channels", "nan"):
        (folder / f"{name}.nii.gz").unlink()
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    found = nib.load(tmp_path / "output" / "inference" / "case_seg.nii.gz")
    assert found.shape == turned.shape and np.allclose(found.affine, turned.affine)
    assert set(np.unique(found.get_fdata())) <= {0, 1, 2}
    empty = subprocess.run(
        [*command[:-1], str(tmp_path)], capture_output=True, text=True, cwd=tmp_path, env=environment
    )
    assert empty.returncode == 1 and "no *.nii.gz in" in empty.stderr


def test_a_federated_client_exchanges_the_student(data, teacher, tmp_path):
    plain = LiteUNet(3, 1, 3, channels=(16, 32, 64), stem_stride=2)
    here = {"dataset_dir": data, "max_epochs": 1, "batch_size": 2, "patch_size": [16, 24, 16], "progress": False}
    here |= {"window_size": [24, 24, 24], "device": "$torch.device('cpu')"}
    sent, measured = one_round(CONFIGS, tmp_path, plain, here)
    assert sent.keys() == plain.state_dict().keys()
    assert any(not np.allclose(sent[k], v.detach()) for k, v in plain.named_parameters())
    assert 0 <= measured["val_mean_dice"] <= 1


@pytest.mark.parametrize("first", ["two_stream", "multi_gpu_train"])
def test_two_streams_and_several_processes_go_together(make, monkeypatch, first):
    as_one_process_of_a_group(monkeypatch)
    files = sorted(["multi_gpu_train.yaml", "two_stream.yaml"], reverse=first == "two_stream")
    workflow = make(load_recipe("mean_teacher").path, *files, labeled_fraction=0.5)
    assert streams_of_two_iterations(workflow) == [[True, False]] * 2
