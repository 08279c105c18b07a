# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""FIAL's rounds of self-training: a step of each, and what each learns from, against the method restated."""

from __future__ import annotations

import math

import pytest
import torch
from monai.bundle import ConfigWorkflow
from monai.data import set_track_meta
from torch import Tensor, nn

from monai_kd.data import write_ihc_patches
from monai_kd.handlers import Weights
from monai_kd.recipes import Distillation, load_recipe
from tests.recipes import plain
from tests.recipes.histology import workflow

WEIGHT = torch.tensor([1.0, 3.0, 7.0], dtype=torch.float64)


def batch() -> dict[str, Tensor]:
    label, labeled = torch.tensor([0, 2, 1, 0, 2]), torch.tensor([True, True, False, False, False])
    image = torch.randn(5, 2, 6, 6, dtype=torch.float64)
    return {"image": image, "label": label, "labeled": labeled, "index": torch.tensor([8, 0, 3, 5, 1])}


def apply(student: nn.Module, epochs: int = 12) -> Distillation:
    values = {"num_samples": 9, "unlabeled": [], "labeled_key": "labeled", "max_epochs": epochs}
    return load_recipe("fial_wbc")(student, label_loss=nn.CrossEntropyLoss(WEIGHT), **values)


def weight_at(method: Distillation, epoch: int) -> float:
    (weights,) = [h for h in method.handlers if isinstance(h, Weights)]
    weights.set(epoch)
    return method.objective.term("pseudo").weight


def test_a_step_is_the_method_restated():
    student, data = plain.Net(3), batch()
    method = apply(student)
    method.inferer.networks["pseudo"].replace({3: 2, 1: 0, 7: 1})
    ramp = weight_at(method, 5)  # the second epoch of the second round, of four
    assert ramp == pytest.approx(math.exp(-5 * (1 - 1 / 2) ** 2))
    loss = plain.loss_of(method, student, data)
    z = student(data["image"])
    true = plain.weighted_cross_entropy(z[:2], data["label"][:2], WEIGHT)
    pseudo = -(torch.log_softmax(z[2], 0)[2] + torch.log_softmax(z[4], 0)[0]) / 2
    assert loss.item() == pytest.approx((true + ramp * pseudo).item(), rel=1e-9)
    assert plain.same(plain.gradients(loss, student), plain.gradients(true + ramp * pseudo, student))


def test_pseudo_labels_count_from_the_second_round_on_and_more_within_a_round():
    method = apply(plain.Net(3))
    weights = [weight_at(method, epoch) for epoch in range(12)]
    assert weights[:4] == [0] * 4 and weights[4:8] == weights[8:]
    assert weights[4] == pytest.approx(math.exp(-5)) and weights[4] < weights[5] < weights[6] == weights[7] == 1


@pytest.fixture
def make(tmp_path):
    data = write_ihc_patches(tmp_path / "data", stride=64)  # 40 training patches

    def make(**values) -> ConfigWorkflow:
        given = {"max_epochs": 7, "val_interval": 9, "labeled_fraction": 0.3, "batch_size": 8, **values}
        return workflow(tmp_path, data, load_recipe("fial_wbc").path, **given)

    yield make
    set_track_meta(True)


def test_rounds_are_equal_and_each_starts_anew_with_more_labels(make):
    made = make()
    parser, chosen, rates, drawn = made.parser, [], [], []
    bank, optimizer = (parser.get_parsed_content(key) for key in ("pseudo_labels", "optimizer"))
    student, trainer = (parser.get_parsed_content(key) for key in ("network", "train::trainer"))

    def begin(engine):
        chosen.append({i: c for i, c in enumerate(bank.labels.tolist()) if c >= 0})
        rates.append(optimizer.param_groups[0]["lr"])
        drawn.append(student.features.norm5.running_mean.abs().sum().item() == 0)

    trainer.add_event_handler("EPOCH_STARTED", begin)
    made.run()
    assert len(chosen) == 6  # of 7: three rounds of two
    assert drawn == [True, False] * 3
    assert rates[0] == rates[2] == rates[4] > rates[1] == rates[3] == rates[5]
    hidden = {item["index"] for item in parser.get_parsed_content("train_items") if not item["labeled"]}
    for epoch, share in ((0, 0), (2, 0.2), (4, 0.5)):
        assert chosen[epoch] == chosen[epoch + 1] and chosen[epoch].keys() <= hidden
        most = round(share * len(hidden) / 3)
        found = [list(chosen[epoch].values()).count(c) for c in range(3)]
        assert max(found) == most  # the class that most are taken for has its full quota
    judged = parser.get_parsed_content("val_items")
    assert not {item["case"] for item in judged} & {
        item["case"] for item in parser.get_parsed_content("unlabeled::dataset").data
    }


def test_hidden_labels_teach_nothing_and_the_others_do(make):
    items = make().parser.get_parsed_content("train_items")

    def learnt(changed: bool | None) -> dict[str, Tensor]:
        given = [{**i, "label": (i["label"] + 1) % 3} if i["labeled"] is changed else i for i in items]
        made = make(train_items=given, max_epochs=3)
        made.run()
        return made.parser.get_parsed_content("network").state_dict()

    as_it_is, hidden, true = (learnt(changed) for changed in (None, False, True))
    assert all(v.equal(hidden[k]) for k, v in as_it_is.items())
    assert not all(v.equal(true[k]) for k, v in as_it_is.items())
