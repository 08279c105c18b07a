# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest

from monai_kd.__main__ import main
from monai_kd.commands.composition import compose
from monai_kd.commands.privileged import warn_without_privileged
from monai_kd.data import write_ihc_patches
from monai_kd.recipes import list_recipes

BUNDLE = Path(__file__).resolve().parents[2] / "bundles" / "histology_patch_classification"
MULTI_MODAL = [recipe.id for recipe in list_recipes() if recipe.info["role"] == "multi_modal"]
OURS = [name for name in MULTI_MODAL if name != "prototype_kd"]  # it is for segmentation


@pytest.fixture(scope="module")
def paired(tmp_path_factory) -> str:
    return write_ihc_patches(tmp_path_factory.mktemp("paired") / "ihc", stride=64)


@pytest.fixture(scope="module")
def single(paired, tmp_path_factory) -> str:
    """The same pictures without the second modality."""
    folder = tmp_path_factory.mktemp("single")
    content = json.loads((Path(paired) / "dataset.json").read_text())
    for section in ("training", "validation", "test"):
        for item in content[section]:
            item["other"] = item.pop("privileged")
    (folder / "dataset.json").write_text(json.dumps(content))
    return str(folder)


def told(name: str, *typed: str, config_file: str | None = None) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_without_privileged(compose(name, BUNDLE, config_file, typed))
    return [str(one.message) for one in caught]


@pytest.mark.parametrize("name", OURS)
def test_a_second_modality_that_is_not_there_is_told(single, name):
    (warning,) = told(name, "--dataset_dir", single)
    assert name in warning and "privileged_key is 'image'" in warning and "dataset.json" in warning


@pytest.mark.parametrize("name", OURS)
def test_nothing_is_told_where_it_is_there(paired, single, name):
    assert not told(name, "--dataset_dir", paired)
    assert not told(name, "--dataset_dir", single, "--privileged_key", "other")


@pytest.mark.parametrize("name", ["kd", "fitnets", "resolution_kd", "train_teacher", "train_alone"])
def test_nothing_is_told_of_what_may_do_with_one_picture(single, name):
    assert not told(name, "--dataset_dir", single)


def test_nothing_is_told_of_a_test_or_of_data_that_are_not_there(single, tmp_path):
    assert not told("cross_modal", "--dataset_dir", single, config_file="evaluate")
    assert not told("cross_modal", "--dataset_dir", str(tmp_path))


@pytest.fixture
def training(bundle) -> Path:
    """The smallest bundle, which trains and whose data have no second modality."""
    with (bundle / "configs" / "train.yaml").open("a") as file:
        file.write('privileged_key: "$\'image\'"\nrun: ["$print(@words, @train)"]\n')
    return bundle


@pytest.mark.filterwarnings("ignore:parsing config_file")
def test_a_run_tells_it_once_and_only_the_first_rank_does(training, monkeypatch):
    words = ["run", "cross_modal", "--bundle", str(training)]
    for rank, count in (("0", 1), ("1", 0)):
        monkeypatch.setenv("RANK", rank)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert main(words) == 0
        assert sum("privileged_key" in str(one.message) for one in caught) == count
