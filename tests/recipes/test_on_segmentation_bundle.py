# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Every recipe for segmentation, laid over the hippocampus bundle, trains two iterations on volumes made here."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow

from monai_kd.recipes import list_recipes, load_recipe
from tests.recipes.test_on_bundle import frozen
from tests.volumes import write_volumes

BUNDLE = Path(__file__).parents[2] / "bundles" / "hippocampus_segmentation"
TRAIN = str(BUNDLE / "configs" / "train.yaml")
RECIPES = [recipe.id for recipe in list_recipes() if "segmentation" in recipe.info["kinds"]]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_volumes(tmp_path_factory.mktemp("data"), (4, 1, 1))


@pytest.fixture(scope="module")
def teachers(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two files of weights: untrained, since only two steps are taken."""
    definition = ConfigParser.load_config_file(TRAIN)["teacher_def"]
    definition |= {"spatial_dims": 3, "in_channels": 1, "out_channels": 3}
    folder = tmp_path_factory.mktemp("teacher")
    for name in ("model", "second"):
        torch.save(
            ConfigParser({"teacher_def": definition}).get_parsed_content("teacher_def").state_dict(),
            folder / f"{name}.pt",
        )
    return [str(folder / f"{name}.pt") for name in ("model", "second")]


@pytest.mark.parametrize("name", RECIPES)
def test_two_iterations(name: str, data: str, teachers: list[str], tmp_path: Path) -> None:
    several = {"teacher_checkpoints": teachers} if name == "multi_teacher" else {}
    workflow = ConfigWorkflow(
        config_file=[TRAIN, str(load_recipe(name).path)],
        meta_file=str(BUNDLE / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type="train",
        **{
            "bundle_root": str(BUNDLE),
            "dataset_dir": data,
            "output_dir": str(tmp_path),
            "checkpoint": str(tmp_path / "model.pt"),
            "teacher_checkpoint": teachers[0],
            "device": "$torch.device('cpu')",
            "max_epochs": 2,
            "batch_size": 2,
            "labeled_fraction": 0.5,
            "patch_size": [16, 16, 16],
            "window_size": [24, 24, 24],
            "progress": False,
            "train::trainer::epoch_length": 1,
            **several,
        },
    )
    workflow.initialize()
    parser = workflow.parser
    student, inferer = parser.get_parsed_content("network"), parser.get_parsed_content("train::inferer")
    teaching = [n for network in inferer.networks.values() for n in frozen(network)]
    before = copy.deepcopy([student.state_dict(), *(n.state_dict() for n in teaching)])
    workflow.run()
    workflow.finalize()
    values = parser.get_parsed_content("train::loss").values
    assert values and all(torch.isfinite(value) for value in values.values())
    assert any(not before[0][k].equal(v) for k, v in student.state_dict().items())
    for state, teacher in zip(before[1:], teaching, strict=True):
        assert all(state[k].equal(v) for k, v in teacher.state_dict().items())
    published = torch.load(tmp_path / "model.pt", weights_only=True)
    assert published.keys() == student.state_dict().keys()
