# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Teacher, student alone and distilled student train, and the published student is a plain network."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
import torch
from monai.networks.nets import ResNet

from monai_kd.handlers import ValidationScore
from monai_kd.metrics import balanced_accuracy, count_parameters
from monai_kd.recipes import load_recipe
from monai_kd.report import load_runs, train_seconds
from monai_kd.utils import CheckpointError, DataError
from tests.bundles.federated import one_round
from tests.bundles.skin_lesion_classification.workflows import CONFIGS, FLAT
from tests.bundles.workflows import assert_layers_are_as_declared, cause, run, streams_of_two_iterations


def test_batch_gives_what_recipes_read(make):
    batch = next(iter(make().parser.get_parsed_content("train::dataloader")))
    assert batch["image"].shape == (20, 3, 64, 64) and 0 <= batch["image"].min() < batch["image"].max() <= 1.1
    assert batch["label"].dtype == torch.int64 and batch["labeled"].all() and batch["index"].shape == (20,)
    assert len(batch["case"]) == 20 and all(group.startswith("HAM_") for group in batch["group"])
    assert type(batch["image"]) is torch.Tensor and "privileged" not in batch


def test_views_have_a_brightness_of_their_own(make):
    batch = next(iter(make(views=["image", "image_2"]).parser.get_parsed_content("train::dataloader")))
    factor = batch["image_2"].mean((2, 3)) / batch["image"].mean((2, 3))
    assert factor.std() > 0.02 and (batch["image_2"] / batch["image"]).isfinite().any()
    flat = batch["image"] * factor[:, :, None, None]  # the same geometry: only the factors differ
    assert flat.allclose(batch["image_2"], atol=1e-4)


def test_distillation_moves_the_student_and_leaves_the_teacher(make, teacher, tmp_path):
    workflow, bytes_before = make(), teacher.read_bytes()
    before = {k: v.clone() for k, v in workflow.parser.get_parsed_content("network").state_dict().items()}
    run(workflow)
    assert any(not v.equal(before[k]) for k, v in workflow.trainer.network.named_parameters())
    frozen, saved = workflow.parser.get_parsed_content("teacher_def").state_dict(), torch.load(teacher)
    assert teacher.read_bytes() == bytes_before and all(v.equal(saved[k]) for k, v in frozen.items())
    assert sorted(p.name for p in (tmp_path / "models").iterdir()) == ["model.origin.json", "model.pt"]
    state = torch.load(tmp_path / "models" / "model.pt", weights_only=True)
    ResNet(**FLAT).load_state_dict(state, strict=True)


def test_student_is_less_than_a_tenth_of_its_teacher(make):
    parser = make().parser
    student, teacher = (count_parameters(parser.get_parsed_content(f"{name}_def")) for name in ("network", "teacher"))
    assert (student, teacher) == (78191, 1175359)


@pytest.mark.parametrize("role", ["student", "teacher"])
def test_layers_and_channels_are_as_declared(make, role):
    parser = make().parser
    assert_layers_are_as_declared(parser, role, torch.zeros(1, 3, 64, 64))


def test_rare_classes_count_as_much_as_common_ones(make):
    parser = make("train_alone.yaml", labeled_fraction=0.5).parser
    items = [item for item in parser.get_parsed_content("train_items") if item["labeled"]]
    counts = Counter(item["label"] for item in items)
    weight = parser.get_parsed_content("train::loss").term("label").loss.weight
    assert weight.tolist() == pytest.approx([len(items) / counts[c] for c in range(7)])
    assert len(parser.get_parsed_content("train::dataset")) == len(items) < len(parser["train_items"])


def test_teacher_trains_and_is_evaluated(make, tmp_path):
    run(make("train_teacher.yaml"))
    assert (tmp_path / "teacher" / "model.pt").is_file() and not (tmp_path / "models").exists()
    run(make("train_teacher.yaml", "evaluate.yaml"))
    (one,) = load_runs(tmp_path / "output")
    assert (one.role, one.parameters, one.setting) == ("teacher", 1175359, "")


def test_alone_trains_and_is_evaluated(make, tmp_path):
    run(make("train_alone.yaml"))
    workflow = run(make("train_alone.yaml", "evaluate.yaml"))
    (one,) = load_runs(tmp_path / "output")
    assert (one.role, one.recipe, one.setting) == ("alone", None, "100 % of the training images labelled")
    assert one.classes == ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
    assert set(one.group) <= {f"HAM_{c}{i:04d}" for c in range(7) for i in range(8)}
    found = workflow.evaluator.state.metrics["val_balanced_accuracy"]
    answer = one.probability.argmax(1)
    recall = [(answer[one.label == c] == c).mean() for c in range(7)]
    assert found == pytest.approx(sum(recall) / 7)


def test_validation_measures_what_a_page_publishes_where_a_class_is_absent(make, data, tmp_path):
    content = json.loads((Path(data) / "dataset.json").read_text())
    for item in (item for section in ("training", "validation", "test") for item in content[section]):
        item["image"] = str(Path(data) / item["image"])
    content["validation"] = [item for item in content["validation"] if item["label"] != 6]
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    parser = make("train_alone.yaml", dataset_dir=str(tmp_path)).parser
    evaluator, network = (parser.get_parsed_content(key) for key in ("validate::evaluator", "network"))
    evaluator.run()
    batch = next(iter(parser.get_parsed_content("validate::dataloader")))
    with torch.no_grad():
        probability = network.eval()(batch["image"]).softmax(1)
    found = evaluator.state.metrics["val_balanced_accuracy"]
    assert found == balanced_accuracy(batch["label"], probability) > 0 and len(set(batch["label"].tolist())) == 6
    (score,) = (h for h in parser.get_parsed_content("train::handlers") if isinstance(h, ValidationScore))
    assert score.floor == pytest.approx(1 / 6)  # of a network that always gives one answer


def test_missing_data_and_teacher_say_what_to_run(make, tmp_path):
    with pytest.raises(RuntimeError) as caught:
        make(dataset_dir=str(tmp_path / "data"))
    error = cause(caught.value, DataError)
    assert re.search(r"dataset.json: there is no such file. python .*/scripts/prepare_data.py SOURCE_DIR", error)
    with pytest.raises(RuntimeError) as caught:
        make().run()
    assert "monai-kd run train_teacher --bundle" in cause(caught.value, CheckpointError)


def test_head_of_the_first_stage_is_kept_when_a_run_is_resumed(make, teacher, tmp_path):
    recipe = load_recipe("ssd_kd").path
    first = run(make(recipe)).parser
    head = {k: v.clone() for k, v in first.get_parsed_content("teacher_head").state_dict().items()}
    again = run(make(recipe, max_epochs=2, resume=True))
    assert again.trainer.state.iteration == 2 * again.trainer.state.epoch_length
    assert all(v.equal(head[k]) for k, v in again.parser.get_parsed_content("teacher_head").state_dict().items())
    start = make(recipe).parser.get_parsed_content("teacher_head").state_dict()
    assert not any(v.equal(head[k]) for k, v in start.items())  # it had learnt
    folder = tmp_path / "output" / "distilled"
    seconds = [json.loads((f / "training.json").read_text())["seconds"] for f in (folder, folder / "pretext")]
    assert train_seconds(folder) == pytest.approx(sum(seconds)) and all(s > 0 for s in seconds)
    run(make(recipe, "evaluate.yaml"))
    (one,) = load_runs(tmp_path / "output")
    assert (one.role, one.recipe, one.parameters) == ("distilled", "ssd_kd", 78191)


def test_a_federated_client_exchanges_the_student(make, data, teacher, tmp_path):
    plain = make().network_def
    here = {"dataset_dir": data, "max_epochs": 1, "batch_size": 20, "progress": False, "device": "$torch.device('cpu')"}
    sent, measured = one_round(CONFIGS, tmp_path, plain, here)
    assert sent.keys() == plain.state_dict().keys()
    assert 0 <= measured["val_balanced_accuracy"] <= 1


def test_a_quarter_of_every_batch_is_labelled(make):
    given = {"labeled_fraction": 0.5, "batch_size": 4, "train::trainer::epoch_length": 2}
    workflow = make(load_recipe("noteacher").path, "two_stream.yaml", **given)
    assert streams_of_two_iterations(workflow) == [[True, False, False, False]] * 2
