# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Topology-to-image distillation term by term, and the gradients of a step, against the method restated."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from monai_kd.data import write_ihc_patches
from monai_kd.recipes import Distillation, load_recipe
from monai_kd.transforms import BettiCurve
from tests.recipes import plain
from tests.recipes.histology import workflow

LABEL = torch.tensor([0, 2, 1, 0])
WEIGHT = torch.tensor([1.0, 3.0, 7.0], dtype=torch.float64)
BINS = 3


def batch() -> dict[str, Tensor]:
    image = torch.rand(4, 2, 6, 6, dtype=torch.float64)
    return {"image": image, "betti": torch.stack([BettiCurve(BINS)(x) for x in image]).double(), "label": LABEL}


def apply(student: nn.Module, **values) -> Distillation:
    method = load_recipe("topo_kd_pcr")(
        student,
        layers={"student": "map"},
        example=plain.EXAMPLE,
        label_loss=nn.CrossEntropyLoss(WEIGHT),
        in_channels=2,
        bins=BINS,
        **values,
    )
    for network in method.inferer.networks.values():
        network.double()
    return method


def answers(method: Distillation, student: nn.Module, data: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Logits of the student, of its second head, and of the topology."""
    pooled = student.map(student.norm(student.conv(data["image"]))).mean((2, 3))
    hidden, shared = method.inferer.networks["auxiliary"].layers[0], method.inferer.networks["teacher"]
    z_a = (pooled @ hidden.weight.T + hidden.bias).relu() @ shared.weight.T + shared.bias
    columns = []
    for x in data["betti"].T.tolist():
        mean = sum(x) / 4
        scale = (sum((v - mean) ** 2 for v in x) / 4 + 1e-5) ** 0.5
        columns.append(torch.tensor([(v - mean) / scale for v in x], dtype=torch.float64))
    z_b = torch.stack(columns, 1) @ shared.weight.T + shared.bias
    return student.head(pooled), z_a, z_b


@pytest.mark.parametrize("reverse", [False, True])
def test_a_step_is_the_method_restated(reverse):
    student, data = plain.Net(3), batch()
    given = {"terms::kd::inputs": ["teacher", "auxiliary"]} if reverse else {}
    method = apply(student, **given)
    assert data["betti"].shape == (4, 2 * 2 * BINS) and data["betti"].std(0).max() > 0
    loss = plain.loss_of(method, student, data)
    z, z_a, z_b = answers(method, student, data)
    terms = {
        "label": plain.weighted_cross_entropy(z, LABEL, WEIGHT),
        "topology": plain.weighted_cross_entropy(z_b, LABEL, WEIGHT),
        "kd": plain.kl(z_b, z_a) if reverse else plain.kl(z_a, z_b),
    }
    assert {k: v.item() for k, v in method.objective.values.items()} == pytest.approx(
        {k: v.item() for k, v in terms.items()}, rel=1e-8
    )
    total = terms["label"] + terms["topology"] + 0.2 * terms["kd"]
    assert loss.item() == pytest.approx(total.item(), rel=1e-8)
    learning = [student, method.inferer.networks["teacher"]]
    if not reverse:
        learning.append(method.inferer.networks["auxiliary"].layers[0])
    assert plain.same(plain.gradients(loss, *learning), plain.gradients(total, *learning))


def test_both_heads_end_in_one_layer():
    method = apply(plain.Net(3))
    auxiliary, teacher = (method.inferer.networks[name] for name in ("auxiliary", "teacher"))
    assert auxiliary.layers.output is teacher
    assert len(method.parameters) == len(list(plain.Net(3).parameters())) + 4


def test_hidden_labels_teach_nothing():
    student, data = plain.Net(3), {**batch(), "labeled": torch.tensor([True, True, False, False])}
    method = apply(student, labeled_key="labeled")
    other = {**data, "label": torch.tensor([0, 2, 0, 1])}
    losses = [plain.loss_of(method, student, b) for b in (data, other)]
    assert losses[0].item() == losses[1].item()


def test_in_a_bundle_the_curves_are_those_of_the_image_without_noise(tmp_path):
    data = write_ihc_patches(tmp_path / "data", stride=64)
    made = workflow(tmp_path, data, load_recipe("topo_kd_pcr").path, bins=16)
    item, clean = made.train_dataset[3], made.parser.get_parsed_content("validate::preprocessing")
    plain_item = clean(made.parser.get_parsed_content("train_items")[3])
    made.finalize()
    assert "betti" not in plain_item
    assert item["betti"].equal(BettiCurve(16)(plain_item["image"])) and item["betti"].shape == (32,)
    assert not item["betti"].equal(BettiCurve(16)(item["image"]))


def test_a_step_as_released():
    student, data = plain.Net(3), batch()
    method = apply(student, as_released=True)
    loss = plain.loss_of(method, student, data)
    z, z_a, z_b = answers(method, student, data)
    apart = torch.zeros((), dtype=torch.float64)  # of rectified logits, with a gradient both ways
    for a, b in zip(z_a.relu().softmax(1), z_b.relu().softmax(1), strict=True):
        apart = apart + sum(a[c] * (a[c].log() - b[c].log()) for c in range(3)) / 4
    total = plain.weighted_cross_entropy(z, LABEL, WEIGHT) + 0.2 * apart
    assert loss.item() == pytest.approx(total.item(), rel=1e-8)
    networks = method.inferer.networks
    learning = [student, networks["teacher"], networks["auxiliary"].layers[0]]
    assert plain.same(plain.gradients(loss, *learning), plain.gradients(total, *learning))
