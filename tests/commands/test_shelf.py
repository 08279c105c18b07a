# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import yaml

from monai_kd.commands.shelf import path, show, table
from monai_kd.recipes import list_recipes
from monai_kd.utils.errors import UnknownNameError


def test_table_has_a_line_for_each_recipe():
    head, *lines = table().splitlines()
    assert head.split() == ["id", "role", "knowledge", "scheme", "kinds", "paper"]
    assert len(lines) == len(list_recipes())
    assert len({line.index(r.info["role"]) for line, r in zip(lines, list_recipes(), strict=True)}) == 1
    assert all(line.endswith(r.info["paper"]) for line, r in zip(lines, list_recipes(), strict=True))


def test_table_of_one_kind():
    listed = [line.split()[0] for line in table("multilabel_classification").splitlines()[1:]]
    assert listed == [r.id for r in list_recipes() if "multilabel_classification" in r.info["kinds"]]
    assert 0 < len(listed) < len(list_recipes())


def test_unknown_kind_names_the_nearest():
    with pytest.raises(UnknownNameError, match=r"'segmentaton'.*did you mean 'segmentation'"):
        table("segmentaton")


@pytest.mark.parametrize("recipe", list_recipes(), ids=lambda recipe: recipe.id)
def test_what_is_shown_is_still_the_recipe(recipe):
    assert yaml.safe_load(show(recipe.id)) == recipe.config
    assert f"https://doi.org/{recipe.info['doi']}" in show(recipe.id)
    assert path(recipe.id) in show(recipe.id)
    assert path(recipe.id) == str(recipe.path)


def test_a_recipe_of_ones_own_is_shown(tmp_path):
    (tmp_path / "mine.yaml").write_text("# mine\nterms::kd::weight: 3\n")
    assert show(str(tmp_path / "mine.yaml")).splitlines() == [
        f"# {tmp_path / 'mine.yaml'}",
        "# mine",
        "terms::kd::weight: 3",
    ]


@pytest.mark.parametrize("name", ["fitnet", "../recipes/kd", "nowhere.yaml"])
def test_an_unknown_name_is_told(name):
    with pytest.raises(UnknownNameError, match="no recipe"):
        path(name)
