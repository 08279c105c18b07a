# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""GMCD, both stages: every term and the gradients of a step, against the method restated; and a run of the two."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from torch import Tensor, nn

from monai_kd.data import write_ihc_patches
from monai_kd.networks import MultiModalNetwork, Teacher, teachers_in
from monai_kd.recipes import load_recipe
from tests.losses.test_low_rank import relations, shrunk
from tests.recipes import plain
from tests.recipes.histology import workflow

LABELS = [0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 1, 0]
INDEX = torch.tensor([3, 7, 0, 10])
P, K, TAU = 2, 5, 0.07


def both_modalities() -> MultiModalNetwork:
    encoders = {"image": plain.Net(3).conv, "privileged": plain.Net(5).conv}
    return MultiModalNetwork(encoders, {"image": 3, "privileged": 5}, num_classes=3, features=6).double()


def test_a_step_of_the_student_is_the_method_restated():
    student, both = plain.Net(3), both_modalities()
    sizes = {"positives": P, "candidates": 3, "negatives": K}
    method = load_recipe("gmcd")(
        student,
        layers=plain.LAYERS,
        example=plain.EXAMPLE,
        multi_modal=both,
        sample_labels=LABELS,
        **{f"passes::bank::network::{k}": v for k, v in sizes.items()},
        **{"contrast::positives": P, "passes::teacher_embedding::network::in_channels": 6},
    )
    nets = method.inferer.networks
    for network in nets.values():
        network.double()
    average = nets["average"].network
    with torch.no_grad():
        average.head.weight.add_(0.3)  # the average is not the student
    x, label = torch.randn(4, 2, 6, 6, dtype=torch.float64), torch.tensor(LABELS)[INDEX]
    other = torch.randn(4, 2, 6, 6, dtype=torch.float64)
    batch = {"image": x, "privileged": other, "index": INDEX, "label": label}
    kept: dict[str, Tensor] = {}
    for name in ("bank", "average_bank"):

        def note(chosen, s, t, name=name, mine=nets[name].mine):
            kept[name] = mine(chosen, s, t)
            return kept[name]

        nets[name].mine = note
    loss = plain.loss_of(method, student, batch)

    with torch.no_grad():
        told = both.eval()(x, other)
        map_a = average.map(average.eval().norm(average.conv(x)))
        z_t, z_a = told["fused"], average.head(map_a.mean((2, 3)))
    map_s = student.map(student.norm(student.conv(x)))
    hint = map_s.detach().requires_grad_()
    heads = [nets[name].layers.output for name in ("embedding", "teacher_embedding", "average_embedding")]

    def terms(own: Tensor) -> dict[str, Tensor]:
        """From the student's map."""
        z = student.head(own.mean((2, 3)))
        g, g_t, g_a = (
            nn.functional.normalize(m @ h.weight.T + h.bias, dim=1)
            for m, h in zip((own.mean((2, 3)), told["fused_feature"], map_a.mean((2, 3))), heads, strict=True)
        )
        both = {}
        for name, other in (("bank", g_t), ("average_bank", g_a)):
            bank = nets[name]
            both[name] = plain.contrast(g, bank.target_bank, kept[name], P) + plain.contrast(
                other, bank.input_bank, kept[name], P
            )
        return {
            "label": plain.cross_entropy(z, label),
            "kd": plain.kl(z, z_t),
            "kd_average": plain.kl(z, z_a),
            "contrast": both["bank"],
            "contrast_average": both["average_bank"],
        }

    expected = terms(map_s)
    assert {k: v.item() for k, v in method.objective.values.items()} == pytest.approx(
        {k: v.item() for k, v in expected.items()}, rel=1e-8
    )
    slopes = {k: torch.autograd.grad(v, hint, retain_graph=True)[0].flatten() for k, v in terms(hint).items()}
    count = {k: sum(float(a @ b / (a.norm() * b.norm()) > 0.1) for b in slopes.values()) for k, a in slopes.items()}
    part = {"label": 1, "kd": count["kd"], "kd_average": count["kd_average"]}
    part |= {name: 0.02 * count[name] for name in ("contrast", "contrast_average")}
    total = sum(part[k] * v for k, v in expected.items())
    assert loss.item() == pytest.approx(total.item(), rel=1e-8)
    learning = (student, nets["embedding"], nets["teacher_embedding"], nets["average_embedding"])
    assert plain.same(plain.gradients(loss, *learning), plain.gradients(total, *learning))
    loss.backward()
    assert all(p.grad is None for net in (both, average) for p in net.parameters())


def first_stage(both: nn.Module, **given: Any) -> ConfigParser:
    config = load_recipe("gmcd").config
    kept = {key: config[key] for key in ("both_keys", "answers", "low_rank", "growth", "fusing")}
    base = {"imports": ["$import torch", "$import monai_kd"], "privileged_key": "privileged", "max_epochs": 9}
    base |= {"device": "cpu", "amp": False, "output_dir": "output", "save_interval": 1, "resume": False, "origin": None}
    base |= {"train": {"dataloader": [{}]}}
    parser = ConfigParser({**base, "label_loss": nn.CrossEntropyLoss(), "labeled_key": "labeled", **kept, **given})
    parser["multi_modal"] = both
    return parser


def test_a_step_of_the_first_stage_is_the_method_restated():
    both = both_modalities().eval()  # without dropout; batch statistics are tried in tests of the network
    parser = first_stage(both, **{"low_rank": {**load_recipe("gmcd").config["low_rank"], "penalty_weight": 0.4}})
    fusing = parser.get_parsed_content("fusing")
    inferer, objective = fusing.inferer, fusing.loss_function
    average = inferer.networks["average"].network.double()
    with torch.no_grad():
        for p in average.parameters():
            p.add_(0.1 * torch.randn_like(p))
    label, rows = torch.tensor(LABELS)[INDEX], [0, 2, 3]
    batch = {key: torch.randn(4, 2, 6, 6, dtype=torch.float64) for key in ("image", "privileged")}
    batch |= {"label": label, "labeled": torch.tensor([True, False, True, True])}
    loss = objective(inferer(batch, both, objective.needs()), batch)

    own, mean = (net(batch["image"], batch["privileged"]) for net in (both, average))
    total, expected = torch.zeros((), dtype=torch.float64), {}
    for name, end in (("fused", ""), ("image", "_image"), ("privileged", "_privileged")):
        expected[f"label{end}"] = plain.cross_entropy(own[name][rows], label[rows])
        expected[f"kd{end}"] = plain.kl(own[name], mean[name])
        if name == "fused":
            continue
        feature = f"{name}_feature"
        views = [x.detach() for x in (own["fused_feature"], mean["fused_feature"], own[feature], mean[feature])]
        low = shrunk([relations(view) for view in views], 0.1 / 0.4)
        gram = own[feature] @ own[feature].T
        moving = (gram / gram.norm(dim=1, keepdim=True) - torch.tensor(low[2])).square().sum()
        still = sum((torch.tensor(relations(views[v])) - torch.tensor(low[v])).square().sum() for v in (0, 1, 3))
        expected[f"low_rank{end}"] = 0.4 / 2 * (moving + still)
    assert {k: v.item() for k, v in objective.values.items()} == pytest.approx(
        {k: v.item() for k, v in expected.items()}, rel=1e-6
    )
    total = sum(expected.values())
    assert plain.same(plain.gradients(loss, both), plain.gradients(total, both))
    held = {id(p) for group in fusing.optimizer.param_groups for p in group["params"]}
    assert held == {id(p) for p in both.parameters()}


def test_hidden_labels_do_not_teach_the_teacher():
    both = both_modalities().eval()
    parser = first_stage(both)
    fusing = parser.get_parsed_content("fusing")
    inferer, objective = fusing.inferer, fusing.loss_function
    batch = {key: torch.randn(4, 2, 6, 6, dtype=torch.float64) for key in ("image", "privileged")}
    batch["labeled"] = torch.tensor([True, True, False, False])
    inferer.networks["average"].network.double()
    losses = []
    for label in ([0, 2, 1, 0], [0, 2, 2, 1]):
        batch["label"] = torch.tensor(label)
        losses.append(objective(inferer(batch, both, objective.needs()), batch).item())
    assert losses[0] == losses[1]


def test_the_constraint_sets_in_by_a_tenth_an_iteration():
    schedule = first_stage(both_modalities()).get_parsed_content("growth")
    assert [schedule(t) for t in range(100)] == pytest.approx([1e-5 * 1.1**t for t in range(100)], rel=1e-3)
    assert schedule(119) < 1 and schedule(121) == schedule(math.inf) == 1


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_ihc_patches(tmp_path_factory.mktemp("data"), stride=32)


def make(folder: Path, data: str, **values: Any) -> ConfigWorkflow:
    """Two iterations of the first stage and two of the second; there is no teacher's file."""
    given = {
        "max_epochs": 2,
        "fusing::max_epochs": 2,
        "fusing::epoch_length": 1,
        "train::trainer::epoch_length": 1,
    }
    return workflow(folder, data, load_recipe("gmcd").path, **{**given, **values})


def state(network: nn.Module) -> dict[str, Tensor]:
    return copy.deepcopy(network.state_dict())


@pytest.mark.parametrize("privileged", ["privileged", "image"])
def test_the_first_stage_moves_what_the_second_leaves_as_it_is(privileged, data, tmp_path):
    made = make(tmp_path, data, privileged_key=privileged)
    find = made.parser.get_parsed_content
    both, student, parts = find("multi_modal"), find("network"), find("train::inferer").networks
    assert not (tmp_path / "teacher").exists() and isinstance(parts["both"], Teacher)
    before, start = state(both), state(student)
    fusing = find("fusing")
    fusing.run()
    learnt = state(both)
    assert fusing.state.iteration == 2 and find("low_rank").penalty_weight == pytest.approx(1.1e-5, rel=1e-3)
    assert all(not before[k].equal(p) for k, p in both.named_parameters() if p.ndim > 1)
    assert all(start[k].equal(v) for k, v in student.state_dict().items())
    (average,) = teachers_in(fusing.inferer.networks["average"])
    assert all(not average.network.state_dict()[k].equal(v) for k, v in both.named_parameters() if v.ndim > 1)
    find("train::trainer").run()
    made.finalize()
    assert all(learnt[k].equal(v) for k, v in both.state_dict().items())
    assert all(not start[k].equal(p) for k, p in student.named_parameters() if p.ndim > 1)
    published = torch.load(tmp_path / "models" / "model.pt", weights_only=True)
    assert published.keys() == student.state_dict().keys()


def test_a_resumed_run_finds_the_first_stage_done(data, tmp_path):
    learnt = []
    for given in ({"max_epochs": 1}, {"resume": True}):
        made = make(tmp_path, data, **given)
        made.run()
        made.finalize()
        learnt.append(state(made.parser.get_parsed_content("multi_modal")))
        stages = [made.parser.get_parsed_content(name).state for name in ("fusing", "train::trainer")]
        assert [stage.iteration for stage in stages] == [2, given.get("max_epochs", 2)]
    assert all(learnt[0][k].equal(v) for k, v in learnt[1].items())
