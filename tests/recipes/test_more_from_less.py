# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""More from less and TriDeNT, term by term, and the gradients of a step, against the method restated."""

from __future__ import annotations

import copy
from itertools import permutations
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigWorkflow
from monai.networks.nets import FullyConnectedNet
from torch import Tensor, nn

from monai_kd.data import write_ihc_patches
from monai_kd.recipes import Distillation, load_recipe
from tests.recipes import plain

RECIPES = ["more_from_less", "trident"]
BUNDLE = Path(__file__).parents[2] / "bundles" / "histology_patch_classification"


def vicreg(*views: Tensor) -> Tensor:
    """25 s + 25 v + c of the authors, in loops: sums over ordered pairs and over views."""
    zero = torch.zeros((), dtype=views[0].dtype)
    n, d = views[0].shape
    s, v, c = zero, zero, zero
    for a, b in permutations(range(len(views)), 2):
        s = s + sum(sum((views[a][i, k] - views[b][i, k]) ** 2 for k in range(d)) / d for i in range(n)) / n
    for z in views:
        centred = [[z[i, k] - sum(z[j, k] for j in range(n)) / n for k in range(d)] for i in range(n)]
        for k in range(d):
            variance = sum(centred[i][k] ** 2 for i in range(n)) / n
            v = v + torch.relu(1 - torch.sqrt(variance + 1e-5)) / d
            for m in range(d):
                if m != k:
                    c = c + (sum(centred[i][k] * centred[i][m] for i in range(n)) / n) ** 2 / d
    return 25 * s + 25 * v + c


def project(projector: nn.Module, x: Tensor) -> Tensor:
    """Linear, BatchNorm, ReLU, twice, and linear, of its weights."""
    for linear, norm in ((layer[0], layer[1]) for layer in projector.layers[:2]):
        x = x @ linear.weight.T
        x = (x - x.mean(0)) / (x.var(0, unbiased=False) + norm.eps).sqrt() * norm.weight + norm.bias
        x = x.clamp(min=0)
    return x @ projector.layers[2].weight.T + projector.layers[2].bias


def batch() -> dict[str, Tensor]:
    pictures = {k: torch.randn(5, 2, 6, 6, dtype=torch.float64) for k in ("image", "image_2", "privileged")}
    return {**pictures, "label": torch.tensor([0, 2, 1, 0, 2])}


def applied(name: str, student: nn.Module, **values: object) -> Distillation:
    given = {"teacher_def": plain.Net(4), "heads": {"student": "head", "teacher": "head"}, "head_input": "map"}
    given |= {"teacher_channels": 4, "projection": 6}
    method = load_recipe(name)(student, layers={"student": "map"}, example=plain.EXAMPLE, **given | values)
    for network in method.inferer.networks.values():
        network.double()
    return method


@pytest.mark.parametrize("name", RECIPES)
def test_a_step_is_the_method_restated(name):
    student, data = plain.Net(3), batch()
    method = applied(name, student)
    nets = method.inferer.networks
    loss = plain.loss_of(method, student, data)

    def encoded(net: nn.Module, x: Tensor) -> Tensor:
        return torch.tanh(net.norm(net.conv(x))).mean((2, 3))

    frozen = copy.deepcopy(student).eval()
    z = [project(nets["embedding"], encoded(student, data["image"]))]
    if name == "trident":
        z.append(project(nets["embedding"], encoded(student, data["image_2"])))
    z.append(project(nets["dense_embedding"], encoded(nets["dense"], data["privileged"])))
    said = student.head(encoded(frozen, data["image"]).detach())
    terms = {"vicreg": vicreg(*z), "probe": plain.weighted_cross_entropy(said, data["label"], torch.ones(3).double())}
    weights = {"vicreg": len(z), "probe": 1}
    mine = {k: weights[k] * v.item() for k, v in method.objective.values.items()}
    assert mine == pytest.approx({k: v.item() for k, v in terms.items()}, rel=1e-9)
    learning = [student, nets["dense"], nets["embedding"], nets["dense_embedding"]]
    first, second = (plain.gradients(total, *learning) for total in (loss, sum(terms.values())))
    assert plain.same(first, second)


def test_both_views_of_trident_share_encoder_and_projector():
    method = applied("trident", plain.Net(3))
    passes = method.inferer.passes
    assert passes["embedding"].network is passes["embedding_2"].network is not passes["dense_embedding"].network
    assert passes["student"].network is None is passes["student_2"].network
    assert passes["student_2"].keys == ("image_2",)


@pytest.mark.parametrize("name", RECIPES)
def test_the_labels_move_the_head_alone(name):
    student, data = plain.Net(3), batch()
    method = applied(name, student, **{"terms::vicreg::weight": 0})
    plain.loss_of(method, student, data).backward()
    assert {k for k, p in student.named_parameters() if p.grad is not None} == {"head.weight", "head.bias"}
    assert student.norm.num_batches_tracked == 0


@pytest.mark.parametrize("name", RECIPES)
def test_what_is_privileged_may_be_a_vector(name):
    genes = FullyConnectedNet(9, 7, [8], act="relu")
    student = plain.Net(3)
    method = applied(name, student, privileged_encoder=genes, privileged_features=7)
    data = {**batch(), "privileged": torch.randn(5, 9, dtype=torch.float64)}
    loss = plain.loss_of(method, student, data)
    assert all(g.abs().sum() > 0 for g in plain.gradients(loss, genes) if g.ndim > 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_trains_encoder_then_head_on_real_patches(name, tmp_path):
    workflow = ConfigWorkflow(
        config_file=[str(BUNDLE / "configs" / "train.yaml"), str(load_recipe(name).path)],
        logging_file=False,
        workflow_type="train",
        bundle_root=str(tmp_path),
        dataset_dir=write_ihc_patches(tmp_path / "data", stride=32),
        device="$torch.device('cpu')",
        progress=False,
        max_epochs=6,
        projection=32,
        labeled_fraction=0.5,
        val_interval=6,
    )
    workflow.initialize()
    parser = workflow.parser
    student, trainer = (parser.get_parsed_content(key) for key in ("network", "train::trainer"))
    losses: list[float] = []
    objective = parser.get_parsed_content("train::loss")
    trainer.add_event_handler("ITERATION_COMPLETED", lambda e: losses.append(float(objective.values["vicreg"])))
    start, pretrained = copy.deepcopy(student.state_dict()), {}
    trainer.add_event_handler("COMPLETED", lambda e: pretrained.update(copy.deepcopy(student.state_dict())))
    workflow.run()
    workflow.finalize()
    third = len(losses) // 3
    assert sum(losses[-third:]) < 0.9 * sum(losses[:third])
    end = student.state_dict()
    encoder = [k for k in end if not k.startswith("class_layers") and "num_batches" not in k]
    assert all(not start[k].equal(pretrained[k]) for k in encoder if k.endswith("weight"))
    assert all(pretrained[k].equal(end[k]) for k in encoder)  # running statistics included
    assert not pretrained["class_layers.out.weight"].equal(end["class_layers.out.weight"])
    published = torch.load(tmp_path / "models" / "model.pt", weights_only=True)
    assert all(published[k].equal(v) for k, v in end.items()) and published.keys() == end.keys()
