# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""bags.yaml: blocks of patches of which the block's label alone is known."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow

from monai_kd.recipes import load_recipe
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
    make(*files, "evaluate.yaml", **given).run()
    with np.load(tmp_path / "output" / "distilled" / "predictions.npz") as archive:
        assert set(archive["group"]) == {"d", "e"} and {name[0] for name in archive["case"]} == {"d", "e"}
