# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""SSD-KD and SSKD, both stages, term by term and by the gradients of a step, against the methods restated."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from skimage.color import rgb2hed
from torch import Tensor, nn

from monai_kd.data import write_ihc_patches
from monai_kd.inferers import DistillationInferer
from monai_kd.losses import Objective
from monai_kd.networks import PooledConnector, Teacher
from monai_kd.recipes import load_recipe
from monai_kd.transforms import RotationStackd
from tests.recipes import plain
from tests.recipes.histology import workflow

N = 4
WEIGHT = torch.tensor([1.0, 3.0, 7.0], dtype=torch.float64)
LABEL = torch.tensor([0, 2, 1, 0])
STACK = {"network": {"_target_": "monai_kd.networks.StackViews"}}


def views() -> dict[str, Tensor]:
    """A batch of pictures and their rotations, by the transform of the recipe."""
    items = [RotationStackd("image")({"image": torch.randn(2, 6, 6, dtype=torch.float64)}) for _ in range(N)]
    return {key: torch.stack([item[key] for item in items]) for key in items[0]}


def head(channels: int) -> nn.Module:
    return PooledConnector(channels, channels, hidden_channels=channels, norm=None).double()


def cosines(z: Tensor) -> Tensor:
    """Of every further view (rows) with every picture (columns)."""
    rows = [[z[a] @ z[b] / (z[a].norm() * z[b].norm()) for b in range(N)] for a in range(N, 4 * N)]
    return torch.stack([torch.stack(row) for row in rows])


def kept(teacher: Tensor, part: float) -> list[int]:
    """Rows where the own picture is the most alike, and of the others those with the best ranks."""
    ranks = [sum(float(x) > float(row[a % N]) for x in row) for a, row in enumerate(teacher)]
    wrong = sorted((a for a in range(len(ranks)) if ranks[a]), key=lambda a: (ranks[a], a))
    return sorted([a for a in range(len(ranks)) if not ranks[a]] + wrong[: math.floor(part * len(wrong))])


@pytest.mark.parametrize("name", ["ssd_kd", "sskd"])
def test_a_step_is_the_method_restated(name):
    student, teacher, teacher_head = plain.Net(3, stride=2), plain.Net(5).eval(), head(5)
    given = {"label_loss": nn.CrossEntropyLoss(WEIGHT), "teacher_head": teacher_head}
    method = load_recipe(name)(student, teacher, layers=plain.LAYERS, example=plain.EXAMPLE, **given)
    for network in method.inferer.networks.values():
        network.double()
    own_head = method.inferer.networks["embedding"]
    batch = {**views(), "label": LABEL}
    loss = plain.loss_of(method, student, batch)

    x = torch.cat([torch.rot90(batch["image"], k, (2, 3)) for k in range(4)])
    map_s, map_t = student.map(student.norm(student.conv(x))), teacher.map(teacher.norm(teacher.conv(x)))
    f_s, f_t = map_s.mean((2, 3)), map_t.mean((2, 3)).detach()
    z_s, z_t = student.head(f_s), teacher.head(f_t).detach()
    one, two = own_head.layers.hidden, own_head.layers.output
    s_s, s_t = cosines(two(one(f_s).relu())), cosines(teacher_head(f_t)).detach()
    rows = kept(s_t, 0.75)
    assert N < len(rows) < 3 * N
    terms = {
        "label": (0.1, plain.weighted_cross_entropy(z_s[:N], LABEL, WEIGHT)),
        "kd": (0.9, plain.kl(z_s[:N], z_t[:N], 4.0)),
        "kd_views": (2.7, plain.kl(z_s[N:], z_t[N:], 4.0)),
        "similarity": (10.0, plain.kl(s_s[rows], s_t[rows], 0.5)),
    }
    learning = [student, own_head]
    if name == "ssd_kd":
        connector = method.inferer.networks["connector"]
        grown = nn.functional.interpolate(connector.conv(map_s), (6, 6), mode="bilinear", align_corners=False)
        terms["rkd"] = 1.0, plain.rkd(f_s, f_t)
        terms["gram"] = 1000.0, plain.channel_gram(connector.norm(grown).relu(), map_t)
        learning.append(connector)
    assert {k: v.item() for k, v in method.objective.values.items()} == pytest.approx(
        {k: v.item() for k, (_, v) in terms.items()}, rel=1e-8
    )
    total = sum(weight * value for weight, value in terms.values())
    assert loss.item() == pytest.approx(total.item(), rel=1e-8)
    assert plain.same(plain.gradients(loss, *learning), plain.gradients(total, *learning))
    expected = {id(p) for network in learning for p in network.parameters()}
    assert {id(p) for p in method.parameters} == expected  # neither the teacher nor its head learn here


@pytest.mark.parametrize("name", ["ssd_kd", "sskd"])
def test_first_stage_teaches_the_head_to_find_the_parent(name):
    teacher, teacher_head = plain.Net(5).eval(), head(5)
    recipe = load_recipe(name).config
    passes = {**recipe["pretext"]["passes"], "stack": {"keys": sorted(views()), **STACK}}
    passes["teacher"] = {**passes["teacher"], "taps": {"hint": "map"}, "network": Teacher(teacher)}
    parser = ConfigParser({"passes": passes, "terms": recipe["pretext"]["terms"]})
    inferer = DistillationInferer(parser.get_parsed_content("passes"))
    objective = Objective(parser.get_parsed_content("terms"))
    batch = views()
    loss = objective(inferer(batch, teacher_head, objective.needs()), batch)

    x = torch.cat([batch[key] for key in sorted(batch)])
    similarity = cosines(teacher_head(teacher.map(teacher.norm(teacher.conv(x)))))
    rows = [-torch.log_softmax(row, 0)[a % N] for a, row in enumerate(similarity)]
    total = sum(rows) / len(rows)
    assert loss.item() == pytest.approx(total.item(), rel=1e-9)
    assert plain.same(plain.gradients(loss, teacher_head), plain.gradients(total, teacher_head))
    loss.backward()
    assert all(p.grad is None for p in teacher.parameters())


def test_hidden_labels_teach_nothing():
    student, teacher = plain.Net(3), plain.Net(5).eval()
    given = {"teacher_head": head(5), "labeled_key": "labeled"}
    method = load_recipe("ssd_kd")(student, teacher, layers=plain.LAYERS, example=plain.EXAMPLE, **given)
    for network in method.inferer.networks.values():
        network.double()
    batch = {**views(), "label": LABEL, "labeled": torch.tensor([True, True, False, False])}
    other = {**batch, "label": torch.tensor([0, 2, 2, 1])}
    losses = [plain.loss_of(method, student, b) for b in (batch, other)]
    assert losses[0].item() == losses[1].item()


def test_views_of_the_second_modality_are_turned_with_the_students(tmp_path):
    data = write_ihc_patches(tmp_path / "data", stride=64)
    made = workflow(tmp_path, data, load_recipe("ssd_kd").path, **{"train::noises": "$[]"})
    item = made.train_dataset[3]
    made.finalize()
    for i, end in enumerate(("", "_2", "_3", "_4")):
        assert item[f"image{end}"].equal(torch.rot90(item["image"], i, (1, 2)))
        stain = rgb2hed(item[f"privileged{end}"].permute(1, 2, 0).numpy())[..., 0].clip(0, 0.1)
        assert np.corrcoef(stain.ravel(), item[f"image{end}"].flatten().numpy())[0, 1] > 0.99
