# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Teacher, student alone and distilled student train, and the published student is a plain network."""

from __future__ import annotations

import json
import re
from collections import Counter

import numpy as np
import pytest
import torch
from monai.networks.nets import ResNet
from PIL import Image

from monai_kd.metrics import count_parameters
from monai_kd.recipes import load_recipe
from monai_kd.report import load_runs
from monai_kd.utils import CheckpointError, DataError
from tests.bundles.chest_xray_classification.workflows import FLAT
from tests.bundles.workflows import assert_layers_are_as_declared, cause, copied, moved, run, streams_of_two_iterations


def test_batch_gives_what_recipes_read(make):
    batch = next(iter(make().parser.get_parsed_content("train::dataloader")))
    assert batch["image"].shape == (20, 1, 28, 28) and 0 <= batch["image"].min() < batch["image"].max() <= 1.2
    assert batch["label"].dtype == torch.int64 and batch["labeled"].all() and batch["index"].shape == (20,)
    assert len(batch["case"]) == 20 and batch["group"] == batch["case"]
    assert type(batch["image"]) is torch.Tensor and "privileged" not in batch


def test_pictures_are_mirrored_left_to_right_and_change_their_brightness(make):
    parser, seen, factors = make().parser, set(), []
    items, dataset = (parser.get_parsed_content(name) for name in ("train_items", "train::dataset"))
    for item, found in zip(items, dataset, strict=True):
        picture = torch.from_numpy(np.array(Image.open(item["image"]))).T / 255  # MONAI's first axis is left to right
        factors.append(found["image"].mean() / picture.mean())
        ways = {"as it is": picture, "mirrored": picture.flip(0)}
        (way,) = [w for w, p in ways.items() if (factors[-1] * p).allclose(found["image"][0], atol=1e-4)]
        seen.add(way)
    assert len(seen) == 2 and 0.8 <= min(factors) < 0.9 and 1.1 < max(factors) <= 1.2


def test_distillation_moves_the_student_and_leaves_the_teacher(make, teacher, tmp_path):
    workflow, bytes_before = make(), teacher.read_bytes()
    before = copied(workflow.parser.get_parsed_content("network"))
    run(workflow)
    assert moved(before, workflow.trainer.network)
    frozen, saved = workflow.parser.get_parsed_content("teacher_def").state_dict(), torch.load(teacher)
    assert teacher.read_bytes() == bytes_before and all(v.equal(saved[k]) for k, v in frozen.items())
    assert sorted(p.name for p in (tmp_path / "models").iterdir()) == ["model.origin.json", "model.pt"]
    state = torch.load(tmp_path / "models" / "model.pt", weights_only=True)
    ResNet(**FLAT).load_state_dict(state, strict=True)


def test_student_is_less_than_a_tenth_of_its_teacher(make):
    parser = make().parser
    student, teacher = (count_parameters(parser.get_parsed_content(f"{name}_def")) for name in ("network", "teacher"))
    assert 10 * student < teacher and (student, teacher) == (19566, 307506)


@pytest.mark.parametrize("role", ["student", "teacher"])
def test_layers_and_channels_are_as_declared(make, role):
    parser = make().parser
    assert_layers_are_as_declared(parser, role, torch.zeros(1, 1, 28, 28))


def test_the_rare_class_counts_as_much_as_the_common_one(make):
    parser = make("train_alone.yaml", labeled_fraction=0.5).parser
    items = [item for item in parser.get_parsed_content("train_items") if item["labeled"]]
    counts = Counter(item["label"] for item in items)
    weight = parser.get_parsed_content("train::loss").term("label").loss.weight
    assert counts[0] < counts[1] and weight.tolist() == pytest.approx([len(items) / counts[c] for c in range(2)])
    assert len(parser.get_parsed_content("train::dataset")) == len(items) < len(parser["train_items"])


def test_teacher_trains_and_is_evaluated(make, tmp_path):
    run(make("train_teacher.yaml"))
    assert (tmp_path / "teacher" / "model.pt").is_file() and not (tmp_path / "models").exists()
    run(make("train_teacher.yaml", "evaluate.yaml"))
    (one,) = load_runs(tmp_path / "output")
    assert (one.role, one.parameters, one.setting) == ("teacher", 307506, "")


def test_a_teacher_that_guesses_is_told(make, tmp_path, caplog):
    run(make("train_teacher.yaml", val_interval=1, learning_rate=0.0))
    score = json.loads((tmp_path / "teacher" / "model.score.json").read_text())
    assert score["metric"] == "val_balanced_accuracy"
    for best, told in ((0.5, 1), (0.9, 0)):
        (tmp_path / "teacher" / "model.score.json").write_text(json.dumps({**score, "best": best}))
        caplog.clear()
        run(make())
        assert caplog.text.count("the teacher's best val_balanced_accuracy was 0.500, no more than 0.500") == told


def test_alone_trains_and_is_evaluated(make, tmp_path):
    run(make("train_alone.yaml"))
    workflow = run(make("train_alone.yaml", "evaluate.yaml"))
    (one,) = load_runs(tmp_path / "output")
    assert (one.role, one.recipe, one.setting) == ("alone", None, "100 % of the training images labelled")
    assert one.classes == ("normal", "pneumonia")
    assert one.label.tolist() == [0, 1, 1, 1] * 4 and set(one.group) == {f"test_{i:05d}" for i in range(16)}
    found = workflow.evaluator.state.metrics["val_balanced_accuracy"]
    answer = one.probability.argmax(1)
    assert found == pytest.approx(sum((answer[one.label == c] == c).mean() for c in range(2)) / 2)


def test_missing_data_and_teacher_say_what_to_run(make, tmp_path):
    with pytest.raises(RuntimeError) as caught:
        make(dataset_dir=str(tmp_path / "data"))
    error = cause(caught.value, DataError)
    assert re.search(r"dataset.json: there is no such file. python .*/scripts/prepare_data.py FILE.npz", error)
    with pytest.raises(RuntimeError) as caught:
        make().run()
    assert "monai-kd run train_teacher --bundle" in cause(caught.value, CheckpointError)


def test_a_quarter_of_every_batch_is_labelled(make):
    given = {"labeled_fraction": 0.5, "batch_size": 4, "train::trainer::epoch_length": 2}
    workflow = make(load_recipe("dc_mt").path, "two_stream.yaml", **given)
    assert streams_of_two_iterations(workflow) == [[True, False, False, False]] * 2
