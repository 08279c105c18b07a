# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Overlapping regions with a sigmoid each; supervision of the student's smaller maps."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow

from monai_kd.recipes import load_recipe
from tests.bundles.hippocampus_segmentation.conftest import CONFIGS
from tests.bundles.workflows import run


@pytest.fixture
def region_teacher(make):
    run(make("train_teacher.yaml", "regions.yaml"))


def test_regions_hold_the_classes_they_say(make, region_teacher):
    seen = make("regions.yaml", seed=3)
    parser = seen.parser
    label = parser.get_parsed_content("validate::dataset")[0]["label"]
    item = parser.get_parsed_content("val_items")[0]
    classes = torch.as_tensor(nib.load(item["label"]).get_fdata())
    assert label.shape == (2, *classes.shape)
    # the volumes of the test are RAS already, at 1 mm
    assert label[0].bool().equal(classes > 0) and label[1].bool().equal(classes == 1)
    assert 0 < label[1].sum() < label[0].sum()


@pytest.mark.parametrize("recipe", [None, "cwd", "mean_teacher"])
def test_regions_train_and_are_scored_by_name(make, region_teacher, tmp_path, recipe):
    files = [load_recipe(recipe).path] if recipe else []
    run(make(*files, "regions.yaml"))
    run(make(*files, "regions.yaml", "evaluate.yaml"))
    with np.load(tmp_path / "output" / "distilled" / "scores.npz") as archive:
        assert archive["structures"].tolist() == ["hippocampus", "anterior"]
        assert archive["dice"].shape[1] == 2 and np.isfinite(archive["dice"]).all()


def test_label_loss_of_regions_is_dice_and_cross_entropy(make, region_teacher):
    loss = make("regions.yaml").parser.get_parsed_content("label_loss")
    logit, label = torch.randn(2, 2, 4, 4, 4), torch.randint(0, 2, (2, 2, 4, 4, 4)).float()
    p = logit.sigmoid()
    overlap, size = (p * label).sum((2, 3, 4)), p.sum((2, 3, 4)) + label.sum((2, 3, 4))
    dice = (1 - (2 * overlap + 1e-5) / (size + 1e-5)).mean()
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(logit, label)
    torch.testing.assert_close(loss(logit, label), dice + entropy)


def test_inference_saves_a_channel_for_each_region(make, region_teacher, tmp_path, data):
    run(make("regions.yaml"))
    folder = f"{data}/images"
    given = {"bundle_root": str(tmp_path), "dataset_dir": folder, "device": "$torch.device('cpu')"}
    files = [str(CONFIGS / name) for name in ("inference.yaml", "inference_regions.yaml")]
    workflow = ConfigWorkflow(
        files, workflow_type="infer", logging_file=False, pattern="test_*.nii.gz", window_size=[24, 24, 24], **given
    )
    workflow.initialize()
    run(workflow)
    (path, *_) = sorted((tmp_path / "output" / "inference").iterdir())
    saved = nib.load(path)
    assert saved.shape == (*nib.load(f"{folder}/{path.name.replace('_seg', '')}").shape, 2)
    assert set(np.unique(saved.get_fdata())) <= {0, 1}


@pytest.mark.parametrize("recipe", ["kd", "cwd", "mean_teacher"])
def test_deep_supervision_is_one_more_term_and_leaves_inference_alone(make, teacher, tmp_path, recipe):
    workflow = make(load_recipe(recipe).path, "deep_supervision.yaml")
    head = workflow.trainer.network.heads["stage2"]
    before = head.weight.detach().clone()
    run(workflow)
    terms = workflow.parser.get_parsed_content("train::loss").terms
    assert set(terms) == set(make(load_recipe(recipe).path).parser.get_parsed_content("train::loss").terms) | {
        "label_1"
    }
    assert not head.weight.equal(before)
    script = torch.jit.load(tmp_path / "models" / "model.ts")
    assert script(torch.randn(1, 1, 24, 24, 24)).shape == (1, 3, 24, 24, 24)


@pytest.mark.parametrize("name", ["DynUNet", "SegResNetDS"])
def test_a_teacher_of_several_heads_teaches_with_its_first(make, tmp_path, name):
    sizes = {"spatial_dims": 3, "in_channels": 1, "out_channels": 3}
    three = [[3, 3, 3]] * 3
    strides = {"kernel_size": three, "strides": [1, 2, 2], "upsample_kernel_size": [2, 2], "filters": [8, 16, 32]}
    own = {
        "DynUNet": {**sizes, **strides, "deep_supervision": True, "deep_supr_num": 1},
        "SegResNetDS": {**sizes, "init_filters": 8, "blocks_down": [1, 1, 1], "dsdepth": 2},
    }[name]
    override = {"teacher_def": {"_target_": name, **own}}
    run(make("train_teacher.yaml", **override))
    assert (tmp_path / "teacher" / "model.pt").is_file()
    workflow = run(make(**override))
    assert workflow.trainer.state.iteration == 2
