# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Every recipe for classification, laid over this bundle, trains two iterations."""

from __future__ import annotations

import copy

import pytest
import torch

from monai_kd.recipes import list_recipes, load_recipe
from tests.bundles.workflows import run

KIND = "classification"
BAGS = {"weno"}  # for bags, which this bundle has none of
# these need items without a label; the teacher is untrained, and sure of nothing
VALUES = {"marini_ssl": {"labeled_fraction": 0.5, "annotation::threshold": 0.0}, "fial_wbc": {"labeled_fraction": 0.5}}
RECIPES = [recipe.id for recipe in list_recipes() if KIND in recipe.info["kinds"] and recipe.id not in BAGS]


@pytest.mark.parametrize("name", RECIPES)
def test_two_iterations(name, make, teacher, tmp_path):
    given = {"max_epochs": 2, "train::trainer::epoch_length": 1, **VALUES.get(name, {})}
    workflow = make(load_recipe(name).path, **given)
    assert workflow.parser.get_parsed_content("train::inferer").networks  # and what teaches is loaded
    teaching = workflow.parser.get_parsed_content("teacher_def")
    before, taught = (copy.deepcopy(n.state_dict()) for n in (workflow.parser.get_parsed_content("network"), teaching))
    run(workflow)
    assert workflow.trainer.state.iteration == 2
    values = workflow.parser.get_parsed_content("train::loss").values
    assert values and all(torch.isfinite(value) for value in values.values())
    student = workflow.parser.get_parsed_content("network")
    assert any(not v.equal(before[k]) for k, v in student.named_parameters() if k in before)
    assert all(v.equal(taught[k]) for k, v in teaching.state_dict().items())
    published = torch.load(tmp_path / "models" / "model.pt", weights_only=True)
    assert published.keys() == student.state_dict().keys()
