# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_kd.recipes import list_recipes, load_recipe
from monai_kd.utils import ConfigError
from tests.recipes.test_recipes import dense, network, stages

ITEMS = [{"label": label, "labeled": True} for label in [0] * 200 + [1] * 50 + [2] * 5]


def apply(name, teacher=True, layers=True, **values):
    shape = [1, 1, *[8 if dense(name) else 16] * 2]
    told = {"layers": stages(dense(name)), "example": torch.zeros(shape)} if layers else {}
    return load_recipe(name)(
        network(2, 2, dense(name)), network(2, 4, dense(name)) if teacher else None, **told, **values
    )


@pytest.mark.parametrize(
    "name, told, given",
    [
        ("kd", "give the network that teaches as the second argument", {"teacher": False}),
        ("fitnets", "give layers=", {"layers": False}),
        ("crd", "give train_items=", {}),
        ("crckd", "give train_items=", {}),
        ("weno", "give train_items=", {}),
        ("simkd", "give heads=|give head_input=", {}),
        ("mf_omkt", "give teacher_def=", {}),
        ("trident", "give (teacher_def|heads|head_input)=", {}),
        ("multi_teacher", "teachers=", {}),
        ("topo_kd_pcr", "give in_channels=", {}),
    ],
)
def test_what_a_recipe_lacks_is_told(name, told, given):
    with pytest.raises(ConfigError, match=f"recipe '{name}'.*{told}"):
        apply(name, **given)


@pytest.mark.parametrize("name", ["crd", "crckd", "weno", "gmcd"])
def test_training_items_are_enough(name):
    more = {"heads": {"student": "class_layers", "teacher": "class_layers"}, "teacher_def": network(2, 4, False)}
    apply(name, train_items=ITEMS, **(more if name == "gmcd" else {}))


def test_a_wrong_term_is_told_with_the_nearest():
    with pytest.raises(ConfigError, match=r"values: cannot set 'terms::hnit::weight'.*no hnit; did you mean 'hint'"):
        apply("fitnets", **{"terms::hnit::weight": 3})


def test_every_recipe_is_documented(project):
    text = (project / "docs" / "recipes.md").read_text(encoding="utf-8").partition("## In Python")[2]
    for recipe in list_recipes():
        needs = {"views": "image_2", "num_samples": "train_items", "sample_labels": "train_items"}
        for key, row in needs.items():
            if key in recipe.config:
                line = next(line for line in text.splitlines() if f"`{row}`" in line and line.startswith("|"))
                assert f"`{recipe.id}`" in line, (recipe.id, row)
