# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Resolution-based distillation against the method restated, and on the bundle's pictures."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigWorkflow
from torch import nn

from monai_kd.data import write_ihc_patches
from monai_kd.recipes import load_recipe
from tests.recipes import plain

BUNDLE = Path(__file__).parents[2] / "bundles" / "histology_patch_classification"


def test_a_step_is_the_method_restated():
    student, teacher = plain.Net(3), plain.Net(5).eval()
    method = load_recipe("resolution_kd")(student, teacher, layers=plain.LAYERS, example=plain.EXAMPLE, max_epochs=9)
    connector = method.inferer.networks["connector"].double()
    high = torch.randn(4, 2, 6, 6, dtype=torch.float64)
    low = nn.functional.avg_pool2d(high, 2)
    label = torch.tensor([0, 2, 1, 0])
    data = {"magnified": high, "image": low, "label": label}
    method.objective(method.inferer(data, student), data)
    map_s, map_t = student.map(student.norm(student.conv(low))), teacher.map(teacher.norm(teacher.conv(high)))
    grown = nn.functional.interpolate(connector.conv(map_s), (6, 6), mode="bilinear", align_corners=False)
    apart = connector.norm(grown) - map_t
    expected = {
        "label": plain.weighted_cross_entropy(student(low), label, torch.ones(3).double()),
        "kd": plain.kl(student(low), teacher(high), 4.0),
        "hint": sum(v**2 for v in apart.flatten()) / apart.numel(),
    }
    values = {k: v.item() for k, v in method.objective.values.items()}
    assert values == pytest.approx({k: v.item() for k, v in expected.items()}, rel=1e-9)


def test_labels_come_after_the_teacher():
    method = load_recipe("resolution_kd")(
        plain.Net(3), plain.Net(5), layers=plain.LAYERS, example=plain.EXAMPLE, max_epochs=9
    )
    (weights,) = method.handlers
    active = []
    for epoch in range(9):
        weights.set(epoch)
        active.append(set(method.objective.active()))
    assert active == [{"kd", "hint"}] * 6 + [{"label"}] * 3


@pytest.fixture
def workflow(tmp_path):
    def make(**override) -> ConfigWorkflow:
        given = {"bundle_root": str(tmp_path), "dataset_dir": write_ihc_patches(tmp_path / "data", stride=32)}
        given |= {"device": "$torch.device('cpu')", "progress": False, "max_epochs": 6, **override}
        files = [str(BUNDLE / "configs" / "train.yaml"), str(load_recipe("resolution_kd").path)]
        made = ConfigWorkflow(files, workflow_type="train", logging_file=False, **given)
        made.initialize()
        return made

    return made_teacher(tmp_path, workflow_of=make)


def made_teacher(folder: Path, workflow_of):
    """The workflow's maker, with an untrained teacher where it looks for one."""
    path = folder / "teacher" / "model.pt"
    path.parent.mkdir()
    torch.save(workflow_of().parser.get_parsed_content("teacher_def").state_dict(), path)
    return workflow_of


def test_student_and_teacher_see_one_field(workflow):
    made = workflow(**{"train::noises": "$[]", "privileged_key": "image", "privileged_channels": 1})
    data = next(iter(made.parser.get_parsed_content("train::dataloader")))
    assert data["magnified"].shape[1:] == (1, 32, 32) and data["image"].shape[1:] == (1, 16, 16)
    torch.testing.assert_close(nn.functional.avg_pool2d(data["magnified"], 2), data["image"])
    validated = next(iter(made.parser.get_parsed_content("validate::dataloader")))
    assert validated["image"].shape[1:] == (1, 16, 16)


@pytest.mark.parametrize("distilled", [None, 0, 6])
def test_each_part_has_the_whole_schedule(workflow, distilled):
    made = workflow(**({} if distilled is None else {"distilled_epochs": distilled}))
    schedule, optimizer = (made.parser.get_parsed_content(key) for key in ("lr_scheduler", "optimizer"))
    rates = []
    for _ in range(6):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    first = 4 if distilled is None else distilled
    parts = [(t, length) for length in (first, 6 - first) for t in range(length)]
    assert rates == pytest.approx([0.005 * (1 + math.cos(math.pi * t / length)) / 2 for t, length in parts])


@pytest.mark.slow
def test_trains_on_real_patches(workflow):
    made = workflow(labeled_fraction=0.5)
    objective, student = (made.parser.get_parsed_content(key) for key in ("train::loss", "network"))
    start = {k: v.clone() for k, v in student.state_dict().items()}
    seen: dict[str, list[float]] = {"hint": [], "label": []}
    made.trainer.add_event_handler(
        "ITERATION_COMPLETED", lambda e: [seen[k].append(float(v)) for k, v in objective.values.items() if k in seen]
    )
    made.run()
    made.finalize()
    assert seen["hint"][-1] < seen["hint"][0] and len(seen["label"]) == len(seen["hint"]) // 2
    assert all(not start[k].equal(p) for k, p in student.named_parameters())
