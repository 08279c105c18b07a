# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy

import pytest
import torch
from monai.losses import DiceLoss
from torch import nn

from monai_kd.losses import Objective, Term
from monai_kd.utils import ClassMismatchError, ConfigError, ShapeMismatchError, UnknownNameError

LABEL = {"loss": nn.CrossEntropyLoss(), "inputs": ["student", "label"]}
MIMIC = {"loss": nn.MSELoss(), "inputs": ["student", "teacher"], "weight": 0.5}


def known() -> tuple[dict, dict]:
    knowledge = {"student": torch.randn(4, 3, requires_grad=True), "teacher": torch.randn(4, 3)}
    return knowledge, {"label": torch.randint(0, 3, (4,)), "labeled": torch.ones(4).bool()}


def test_is_the_weighted_sum_and_keeps_each_value():
    knowledge, batch = known()
    objective = Objective({"label": LABEL, "mimic": MIMIC})
    total = objective(knowledge, batch)
    label = nn.CrossEntropyLoss()(knowledge["student"], batch["label"])
    mimic = nn.MSELoss()(knowledge["student"], knowledge["teacher"])
    torch.testing.assert_close(total, label + 0.5 * mimic)
    torch.testing.assert_close(objective.values, {"label": label.detach(), "mimic": mimic.detach()})
    torch.testing.assert_close(objective.weighted, {"label": label.detach(), "mimic": 0.5 * mimic.detach()})


def test_values_hold_no_graph():
    objective = Objective({"label": LABEL, "mimic": MIMIC})
    assert objective(*known()).requires_grad
    assert not any(v.requires_grad for v in (*objective.values.values(), *objective.weighted.values()))


def test_the_gradient_is_the_sum_of_the_terms_gradients():
    knowledge, batch = known()
    x = knowledge["student"]
    Objective({"label": LABEL, "mimic": MIMIC})(knowledge, batch).backward()
    own, x.grad = x.grad, None
    (nn.CrossEntropyLoss()(x, batch["label"]) + 0.5 * nn.MSELoss()(x, knowledge["teacher"])).backward()
    torch.testing.assert_close(own, x.grad)


def test_a_mapping_becomes_a_term_and_none_is_dropped():
    term = Term(**LABEL)
    objective = Objective({"label": term, "mimic": MIMIC, "hint": None})
    assert objective.term("label") is term and list(objective.terms) == ["label", "mimic"]
    assert objective.term("mimic").weight == 0.5


@pytest.mark.parametrize("nothing", [{}, {"label": None}])
def test_no_terms_is_an_error(nothing):
    with pytest.raises(ConfigError, match="no terms"):
        Objective(nothing)


def test_an_unknown_term_lists_those_there_are():
    with pytest.raises(UnknownNameError, match=r"no term 'mimik'.*did you mean 'mimic'.*'label'"):
        Objective({"label": LABEL, "mimic": MIMIC}).term("mimik")


def test_needs_are_those_of_terms_with_a_weight():
    objective = Objective({"label": {**LABEL, "where": "labeled"}, "mimic": MIMIC})
    assert objective.needs() == {"student", "label", "labeled", "teacher"}
    objective.term("mimic").weight = 0.0
    assert objective.needs() == {"student", "label", "labeled"}


def test_a_term_of_weight_zero_is_not_computed():
    knowledge, batch = known()
    del knowledge["teacher"]
    objective = Objective({"label": LABEL, "mimic": {**MIMIC, "weight": 0}})
    objective(knowledge, batch)
    assert list(objective.values) == ["label"]


def test_a_name_is_looked_up_in_the_knowledge_before_the_batch():
    objective = Objective({"a": {"loss": lambda x: x.sum(), "inputs": ["x"]}})
    assert objective({"x": torch.ones(1)}, {"x": torch.zeros(1)}) == 1
    assert objective({}, {"x": torch.zeros(1)}) == 0


def test_an_unknown_name_names_the_term_and_the_nearest():
    objective = Objective({"mimic": {**MIMIC, "inputs": ["student", "techer"]}})
    with pytest.raises(UnknownNameError, match=r"term 'mimic': no 'techer'.*did you mean 'teacher'.*'label'"):
        objective(*known())


def test_a_key_error_inside_a_loss_is_not_taken_for_an_unknown_name():
    def broken(student):
        return {"a": student.sum()}["b"]

    with pytest.raises(KeyError, match="'b'") as caught:
        Objective({"label": {"loss": broken, "inputs": ["student"]}})(*known())
    assert not isinstance(caught.value, UnknownNameError)


def test_different_numbers_of_classes_name_the_term_and_its_inputs():
    knowledge, batch = known()
    knowledge["teacher"] = torch.randn(4, 1)
    with pytest.raises(ClassMismatchError, match=r"term 'mimic' \(student, teacher\).*\(4, 3\) against \(4, 1\)"):
        Objective({"mimic": MIMIC})(knowledge, batch)


def test_a_wrong_mask_names_the_term_and_the_key():
    knowledge, batch = known()
    batch["labeled"] = torch.ones(3).bool()
    with pytest.raises(ShapeMismatchError, match=r"term 'label' \(student, label\), where: 'labeled'"):
        Objective({"label": {**LABEL, "where": "labeled"}})(knowledge, batch)


def test_no_active_term_is_a_counted_zero_that_stays_connected():
    knowledge, batch = known()
    objective = Objective({"label": {**LABEL, "weight": 0}})
    for _ in range(3):
        total = objective(knowledge, batch)
    total.backward()
    assert total.item() == 0.0 and objective.empty == 3 and objective.values == {}
    assert torch.equal(knowledge["student"].grad, torch.zeros(4, 3))


def test_a_batch_with_an_active_term_is_not_counted():
    objective = Objective({"label": LABEL})
    objective(*known())
    assert objective.empty == 0


class Product(nn.Module):
    """A foreign loss with an operation that autocast would take to half precision."""

    def forward(self, input, target):
        self.dtype, self.autocast = (input @ target.T).dtype, torch.is_autocast_enabled("cpu")
        return (input @ target.T).square().mean()


@pytest.mark.parametrize("loss", [Product(), nn.MSELoss(), DiceLoss(softmax=True)])
def test_foreign_losses_are_float32_under_autocast(loss):
    student, teacher = torch.randn(4, 3), torch.randn(4, 3).softmax(1)
    objective = Objective({"kd": {"loss": loss, "inputs": ["student", "teacher"]}})
    expected = loss(student.bfloat16().float(), teacher)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = objective({"student": student.bfloat16(), "teacher": teacher})
        assert torch.is_autocast_enabled("cpu")
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, expected)


def test_autocast_is_off_inside():
    loss = Product()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        Objective({"kd": {"loss": loss, "inputs": ["a", "a"]}})({"a": torch.randn(4, 3).half()})
    assert loss.dtype == torch.float32 and not loss.autocast


def test_float64_stays_float64():
    knowledge = {name: tensor.detach().double() for name, tensor in known()[0].items()}
    assert Objective({"mimic": MIMIC})(knowledge).dtype == torch.float64


def test_terms_of_different_precision_are_summed():
    knowledge = {"a": torch.ones(2), "b": torch.ones(2, dtype=torch.float64)}
    terms = {name: {"loss": torch.sum, "inputs": [name]} for name in knowledge}
    assert Objective(terms)(knowledge) == 4


def test_a_weighting_sets_factors_by_term():
    knowledge, batch = known()
    seen = {}

    def weighting(losses, names):
        seen.update(losses=dict(losses), label=names["label"], student=names["student"])
        return {"mimic": torch.tensor(4.0)}

    objective = Objective({"label": LABEL, "mimic": MIMIC}, weighting)
    total = objective(knowledge, batch)
    torch.testing.assert_close(total.detach(), objective.values["label"] + 4 * 0.5 * objective.values["mimic"])
    assert set(seen["losses"]) == {"label", "mimic"} and seen["student"] is knowledge["student"]


def test_its_state_is_the_terms_weights_and_the_losses_buffers():
    terms = {"label": {**LABEL, "loss": nn.CrossEntropyLoss(weight=torch.ones(3))}, "mimic": MIMIC}
    objective, other = Objective(terms), Objective(copy.deepcopy(terms))
    objective.term("mimic").weight = 0.125
    other.load_state_dict(objective.state_dict())
    assert other.term("mimic").weight == 0.125
    assert set(objective.state_dict()) == {
        "terms.label._extra_state",
        "terms.label.loss.weight",
        "terms.mimic._extra_state",
    }


def test_can_be_copied_after_a_step():
    objective = Objective({"label": LABEL, "mimic": MIMIC})
    knowledge, batch = known()
    assert torch.equal(objective(knowledge, batch), copy.deepcopy(objective)(knowledge, batch))


def test_a_key_that_no_term_has_is_named():
    with pytest.raises(UnknownNameError, match=r"term 'kd': Term has no argument 'wieght'. did you mean 'weight'"):
        Objective({"kd": {"loss": torch.nn.MSELoss(), "inputs": ["student", "teacher"], "wieght": 2}})
