# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""bags.yaml: blocks of patches of which the block's label alone is known."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow

from monai_kd.commands.trial import Trial
from monai_kd.inferers import Pass
from monai_kd.metrics import macro_auc
from monai_kd.recipes import load_recipe
from tests.bundles.histology_patch_classification.workflows import CONFIGS
from tests.bundles.workflows import run
from tests.slides import write_slide


def test_batches_are_whole_bags(make):
    parser = make(load_recipe("weno").path, "bags.yaml", batch_size=3).parser
    items, names = (parser.get_parsed_content(key) for key in ("train_items", "bag_names"))
    seen = set()
    for batch in parser.get_parsed_content("train::dataloader"):
        for b, bag_label in enumerate(batch["bag_label"].tolist()):
            index = batch["index"][batch["bag"] == b].tolist()
            (name,) = {names[i] for i in index}
            assert sorted(index) == [i for i, other in enumerate(names) if other == name]
            assert bag_label == max(items[i]["label"] for i in index) and bag_label in (0, 1)
            seen.add(name)
    assert seen == set(names)


def test_no_patch_label_is_looked_at(make):
    parser = make(load_recipe("weno").path, "bags.yaml").parser
    assert "label" not in parser.get_parsed_content("train::loss").needs()


def test_evaluation_names_the_two_classes(make, tmp_path):
    files = (load_recipe("weno").path, "bags.yaml", "evaluate.yaml")
    workflow: ConfigWorkflow = make(*files, checkpoint=str(tmp_path / "m.pt"), output_dir=str(tmp_path / "o"))
    torch.save(workflow.parser.get_parsed_content("network_def").state_dict(), tmp_path / "m.pt")
    workflow.run()
    record = json.loads((tmp_path / "o" / "run.json").read_text())
    assert record["classes"] == ["rest", "positive"] and "bags" in record["setting"]


def test_the_bag_classifier_is_published_and_tested_beside_the_student(make, tmp_path):
    files, out = (load_recipe("weno").path, "bags.yaml"), tmp_path / "output" / "distilled"
    trained = run(make(*files, batch_size=3, **{"train::trainer::epoch_length": 2}))
    teacher = trained.parser.get_parsed_content("bag_teacher")
    tested = run(make(*files, "evaluate.yaml", "evaluate_bags.yaml", batch_size=3))
    parser, state = tested.parser, tested.evaluator.state
    again, student = (parser.get_parsed_content(key) for key in ("bag_teacher", "network"))
    assert again is not teacher and all(v.equal(teacher.state_dict()[k]) for k, v in again.state_dict().items())
    assert (tmp_path / "models" / "model.bag_teacher.pt").is_file()

    noted = Pass(taps={"feature": parser.get_parsed_content("layers")["student"]})
    items: dict = {}
    for item in parser.get_parsed_content("validate::dataset"):
        items.setdefault(item["group"], []).append(item)
    with np.load(out / "bags.npz") as archive, np.load(out / "predictions.npz") as patches, torch.no_grad():
        assert sorted(archive["case"]) == sorted(items) == sorted(set(patches["group"]))
        for name, label, probability in zip(archive["case"], archive["label"], archive["probability"], strict=True):
            images = torch.stack([item["image"] for item in items[name]])
            features = noted.run("student", student.eval(), [images])["student.feature"]
            logits = teacher.eval()(features, torch.zeros(len(images), dtype=torch.long))["logits"][0]
            assert probability == pytest.approx(logits.double().softmax(0).numpy(), abs=1e-5)
            assert (
                label == max(item["label"] for item in items[name]) == patches["label"][patches["group"] == name].max()
            )
        label, score = archive["label"], archive["probability"]
        highest = np.array([patches["probability"][patches["group"] == name, 1].max() for name in archive["case"]])
    lines = dict(line.split(",") for line in (out / "metrics.csv").read_text().splitlines())
    assert float(lines["val_bag_teacher_auc"]) == state.metrics["val_bag_teacher_auc"]
    assert state.metrics["val_bag_teacher_auc"] == pytest.approx(macro_auc(label, score))
    assert state.metrics["val_bag_max_auc"] == pytest.approx(macro_auc(label, np.stack([1 - highest, highest], 1)))


def test_a_trial_tests_bags_too(tmp_path):
    trial = Trial("weno", CONFIGS.parent, tmp_path, tmp_path / "m.pt", config_file=["bags.yaml", "slides.yaml"])
    assert trial.tests == ["evaluate", "evaluate_bags"]
    words = trial.words(*trial.tests)
    assert words[words.index("--config_file") + 1] == "bags.yaml,slides.yaml,evaluate,evaluate_bags"


@pytest.fixture
def slides(tmp_path) -> str:
    """Two slides to train, one to validate and one to test."""
    pytest.importorskip("openslide", reason="the extra wsi is not installed")
    folder = tmp_path / "slides"
    folder.mkdir()
    content: dict = {"labels": {"0": "rest", "1": "rest", "2": "positive"}}
    for seed, (section, name) in enumerate(
        (("training", "a"), ("training", "b"), ("validation", "c"), ("test", "d"), ("test", "e"))
    ):
        write_slide(folder / f"{name}.tif", np.s_[128 : 256 + 64 * (seed % 2), 64:256], seed=seed)
        content.setdefault(section, []).append({"image": f"{name}.tif", "label": 2 * (seed % 2), "case": name})
    (folder / "dataset.json").write_text(json.dumps(content))
    return str(folder)


def test_bags_of_whole_slides(make, slides, tmp_path):
    given = {"dataset_dir": slides, "in_channels": 3, "tile_size": [64, 64], "batch_size": 2, "max_epochs": 1}
    files = (load_recipe("weno").path, "bags.yaml", "slides.yaml")
    workflow = make(*files, **given)
    (batch,) = workflow.parser.get_parsed_content("train::dataloader")
    sizes = batch["bag"].unique(return_counts=True)[1].tolist()
    assert batch["image"].shape[1] == 3 and len(set(sizes)) == 2  # ragged
    assert sorted(batch["bag_label"].tolist()) == [0, 1]
    before = {k: v.clone() for k, v in workflow.trainer.network.named_parameters()}
    workflow.run()
    workflow.finalize()
    assert any(not v.equal(before[k]) for k, v in workflow.trainer.network.named_parameters())
    make(*files, "evaluate.yaml", "evaluate_bags.yaml", **given).run()
    with np.load(tmp_path / "output" / "distilled" / "bags.npz") as archive:
        assert dict(zip(archive["case"], archive["label"], strict=True)) == {"d": 1, "e": 0}
    with np.load(tmp_path / "output" / "distilled" / "predictions.npz") as archive:
        assert set(archive["group"]) == {"d", "e"} and {name[0] for name in archive["case"]} == {"d", "e"}
