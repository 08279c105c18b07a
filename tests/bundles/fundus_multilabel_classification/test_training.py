# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Teacher, student alone and distilled student train on findings that may occur together."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from monai.metrics import compute_roc_auc
from monai.networks.nets import ResNet
from torch.nn import functional as F

from monai_kd.losses import BinaryKDLoss
from monai_kd.metrics import count_parameters
from monai_kd.recipes import list_recipes, load_recipe
from monai_kd.report import load_runs, write_report
from monai_kd.utils import CheckpointError, DataError
from tests.bundles.fundus_multilabel_classification.workflows import FLAT
from tests.bundles.workflows import assert_layers_are_as_declared, cause, copied, moved, run, streams_of_two_iterations

SEVERAL = {"multi_teacher", "xkd_cxr"}  # recipes of more than one teacher
SUBSETS = {"many": [0, 7], "medium": [1, 2, 3], "few": [4, 5, 6]}
RECIPES = [recipe.id for recipe in list_recipes() if "multilabel_classification" in recipe.info["kinds"]]


def test_batch_gives_what_recipes_read(make):
    batch = next(iter(make(labeled_fraction=0.5).parser.get_parsed_content("train::dataloader")))
    assert batch["image"].shape == (20, 3, 128, 64) and 0 <= batch["image"].min() < batch["image"].max() <= 1.1
    assert batch["label"].shape == (20, 8) and batch["label"].dtype == torch.float32
    assert set(batch["label"].unique().tolist()) == {0, 1} and 0 < batch["labeled"].sum() < 20
    assert type(batch["image"]) is torch.Tensor and "privileged" not in batch


def test_every_finding_is_among_the_labels_of_a_fraction(make):
    items = make(labeled_fraction=0.3).parser.get_parsed_content("train_items")
    every, drawn = (sum(item["label"] for item in items if item["labeled"] or all_) for all_ in (True, False))
    assert (drawn[every > 0] > 0).all() and drawn.sum() < every.sum()


def test_distillation_moves_the_student_and_leaves_the_teacher(make, teacher, tmp_path):
    workflow, bytes_before = make(), teacher.read_bytes()
    before = copied(workflow.parser.get_parsed_content("network"))
    run(workflow)
    assert moved(before, workflow.trainer.network)
    frozen, saved = workflow.parser.get_parsed_content("teacher_def").state_dict(), torch.load(teacher)
    assert teacher.read_bytes() == bytes_before and all(v.equal(saved[k]) for k, v in frozen.items())
    state = torch.load(tmp_path / "models" / "model.pt", weights_only=True)
    ResNet(**FLAT).load_state_dict(state, strict=True)


def test_terms_are_of_findings_each_by_itself(make, teacher):
    parser = make().parser
    batch = next(iter(parser.get_parsed_content("train::dataloader")))
    inferer, objective = (parser.get_parsed_content(f"train::{name}") for name in ("inferer", "loss"))
    network = parser.get_parsed_content("network").eval()
    loss = objective(inferer(batch, network, objective.needs()), batch)
    z, t = network(batch["image"]), parser.get_parsed_content("teacher_def")(batch["image"]).detach()
    hard = F.binary_cross_entropy_with_logits(z, batch["label"])
    q = torch.sigmoid(t / 2)
    entropy = F.binary_cross_entropy(q, q)
    soft = 4 * (F.binary_cross_entropy_with_logits(z / 2, q) - entropy)
    assert loss.item() == pytest.approx((hard + soft).item(), rel=1e-5)


@pytest.mark.parametrize("role", ["student", "teacher"])
def test_layers_and_channels_are_as_declared(make, role):
    parser = make().parser
    network = parser.get_parsed_content({"student": "network_def", "teacher": "teacher_def"}[role])
    assert count_parameters(network) == {"student": 78256, "teacher": 1175616}[role]
    assert_layers_are_as_declared(parser, role, torch.zeros(1, 3, 128, 64))


def test_all_three_train_are_evaluated_and_reported(make, tmp_path):
    run(make("train_teacher.yaml"))
    run(make("train_teacher.yaml", "evaluate.yaml"))
    for files in (["train_alone.yaml"], []):
        run(make(*files))
        workflow = run(make(*files, "evaluate.yaml"))
    runs = {one.role: one for one in load_runs(tmp_path / "output")}
    assert sorted(runs) == ["alone", "distilled", "teacher"]
    alone, distilled = runs["alone"], runs["distilled"]
    assert (alone.setting, distilled.recipe) == ("100 % of the training patients labelled", "kd")
    assert alone.classes[:2] == ("normal", "diabetes") and alone.label.shape == alone.probability.shape
    assert not np.allclose(alone.probability.sum(1), 1)
    both = [c for c in range(8) if len(set(distilled.label[:, c])) == 2]
    answer, truth = (torch.from_numpy(array) for array in (distilled.probability, distilled.label))
    areas = [compute_roc_auc(answer[:, c], truth[:, c]) for c in both]
    assert workflow.evaluator.state.metrics["val_auc"] == pytest.approx(np.mean(areas), abs=1e-6)
    assert write_report(tmp_path / "output", resamples=50).is_file()


def test_missing_data_and_teacher_say_what_to_run(make, tmp_path):
    with pytest.raises(RuntimeError) as caught:
        make(dataset_dir=str(tmp_path / "data"))
    error = cause(caught.value, DataError)
    assert re.search(r"dataset.json: there is no such file. python .*/scripts/prepare_data.py SOURCE_DIR", error)
    with pytest.raises(RuntimeError) as caught:
        make().run()
    assert "monai-kd run train_teacher --bundle" in cause(caught.value, CheckpointError)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_trains_two_iterations(name, make, teacher, tmp_path):
    given = {"max_epochs": 2, "train::trainer::epoch_length": 1, "labeled_fraction": 0.5}
    given |= {"teacher_checkpoints": [str(teacher)] * 2} if name in SEVERAL else {}
    given |= {"subsets": SUBSETS} if name == "rskd" else {}
    workflow = make(load_recipe(name).path, **given)
    assert workflow.parser.get_parsed_content("train::inferer").networks  # and what teaches is loaded
    before, taught = (copied(workflow.parser.get_parsed_content(n)) for n in ("network", "teacher_def"))
    run(workflow)
    objective = workflow.parser.get_parsed_content("train::loss")
    of_labels = [part for part in objective.modules() if isinstance(part, BinaryKDLoss)]
    assert all(loss.label_reduction == "mean" for loss in of_labels)  # of one size with the cross-entropy
    values = objective.values
    assert values and all(torch.isfinite(value) for value in values.values())
    student = workflow.parser.get_parsed_content("network")
    assert any(not v.equal(before[k]) for k, v in student.named_parameters() if k in before)
    assert all(v.equal(taught[k]) for k, v in workflow.parser.get_parsed_content("teacher_def").state_dict().items())
    published = torch.load(tmp_path / "models" / "model.pt", weights_only=True)
    assert published.keys() == student.state_dict().keys()


def test_a_quarter_of_every_batch_is_labelled(make):
    given = {"labeled_fraction": 0.5, "batch_size": 4, "train::trainer::epoch_length": 2}
    workflow = make(load_recipe("src_mt").path, "two_stream.yaml", **given)
    assert streams_of_two_iterations(workflow) == [[True, False, False, False]] * 2
