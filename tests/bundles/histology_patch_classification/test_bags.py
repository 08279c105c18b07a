# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""bags.yaml: blocks of patches of which the block's label alone is known."""

from __future__ import annotations

import json

import torch
from monai.bundle import ConfigWorkflow

from monai_kd.recipes import load_recipe


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
