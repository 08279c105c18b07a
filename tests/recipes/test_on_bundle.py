# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Every recipe for classification, laid over the histology bundle, trains two iterations on its real patches."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from torch import nn

from monai_kd.data import write_ihc_patches
from monai_kd.networks import ClassActivationTeacher, Teacher, TeacherEnsemble
from monai_kd.recipes import list_recipes, load_recipe

BUNDLE = Path(__file__).parents[2] / "bundles" / "histology_patch_classification"
TRAIN = str(BUNDLE / "configs" / "train.yaml")
BEFORE = {"teacher_embedding", "many", "medium", "few", "both"}  # passes whose network an earlier stage trains
SEVERAL = {"multi_teacher", "multi_teacher_fewshot"}  # recipes of more than one teacher
OVERLAYS = {"weno": ["bags.yaml"]}  # files of the bundle that a recipe needs
VALUES = {
    "marini_ssl": {"annotation::threshold": 0.0},  # the teacher is untrained, and sure of nothing
    "rskd": {"subsets": {"many": [0, 1], "medium": [1, 2], "few": [0, 2]}},  # three classes do not make three subsets
}
RECIPES = [recipe.id for recipe in list_recipes() if "classification" in recipe.info["kinds"]]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_ihc_patches(tmp_path_factory.mktemp("data"), stride=32)


@pytest.fixture(scope="module")
def teachers(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two files of weights: untrained, since only two steps are taken."""
    definition = ConfigParser.load_config_file(TRAIN)["teacher_def"] | {
        "spatial_dims": 2,
        "in_channels": 3,
        "out_channels": 3,
    }
    folder = tmp_path_factory.mktemp("teacher")
    for name in ("model", "second"):
        parser = ConfigParser({"teacher_def": definition})
        torch.save(parser.get_parsed_content("teacher_def").state_dict(), folder / f"{name}.pt")
    return [str(folder / f"{name}.pt") for name in ("model", "second")]


def frozen(network: nn.Module | None) -> list[nn.Module]:
    """The networks of the teachers that must not move."""
    if isinstance(network, TeacherEnsemble):
        return [teacher.network for teacher in network.teachers]
    if isinstance(network, ClassActivationTeacher):
        network = network.teacher
    return [network.network] if isinstance(network, Teacher) and not network.copied else []


@pytest.mark.parametrize("name", RECIPES)
def test_two_iterations(name: str, data: str, teachers: list[str], tmp_path: Path) -> None:
    several = {"teacher_checkpoints": teachers} if name in SEVERAL else {}
    workflow = ConfigWorkflow(
        config_file=[
            TRAIN,
            str(load_recipe(name).path),
            *(str(BUNDLE / "configs" / f) for f in OVERLAYS.get(name, ())),
        ],
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
            "progress": False,
            "train::trainer::epoch_length": 1,
            **several,
            **VALUES.get(name, {}),
        },
    )
    workflow.initialize()
    parser = workflow.parser
    student, inferer = parser.get_parsed_content("network"), parser.get_parsed_content("train::inferer")
    teaching = [n for key, network in inferer.networks.items() if key not in BEFORE for n in frozen(network)]
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
