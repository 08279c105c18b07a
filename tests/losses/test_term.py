# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from monai.losses import DiceCELoss, DiceLoss
from torch import nn

from monai_kd.losses import GazeTransferLoss, Term
from monai_kd.utils import ClassMismatchError, ConfigError, ShapeMismatchError

MSE = nn.MSELoss()


def knowledge(rows: int = 4, classes: int = 3) -> dict[str, torch.Tensor]:
    return {
        "student": torch.randn(rows, classes, requires_grad=True),
        "teacher": torch.randn(rows, classes),
        "label": torch.randint(0, classes, (rows,)),
        "labeled": torch.arange(rows) % 2 == 0,
    }


def test_compares_without_the_weight():
    known = knowledge()
    expected = (
        sum((a - b) ** 2 for a, b in zip(known["student"].flatten(), known["teacher"].flatten(), strict=True)) / 12
    )
    torch.testing.assert_close(Term(MSE, ["student", "teacher"], weight=7)(known), expected)


def test_names_go_to_the_loss_in_order_or_by_argument():
    def loss(first, second, *, third):
        return first.sum() + 2 * second.sum() + 3 * third.sum()

    known = {"a": torch.ones(1), "b": torch.full((1,), 10.0), "c": torch.full((1,), 100.0)}
    assert Term(loss, {"third": "a", "first": "b", "second": "c"})(known) == 10 + 200 + 3
    assert Term(lambda x, y: x.sum() - y.sum(), ["c", "a"])(known) == 99


def test_a_tensor_of_losses_is_averaged():
    known = knowledge()
    term = Term(nn.CrossEntropyLoss(reduction="none"), ["student", "label"])
    torch.testing.assert_close(term(known), nn.CrossEntropyLoss()(known["student"], known["label"]))


def test_losses_of_monai_and_torch_and_plain_functions_are_welcome():
    known = {"student": torch.randn(2, 1, 5, 5, 5), "label": torch.randint(0, 2, (2, 1, 5, 5, 5)).float()}
    for loss in (DiceLoss(sigmoid=True), nn.BCEWithLogitsLoss(), F.binary_cross_entropy_with_logits):
        torch.testing.assert_close(Term(loss, ["student", "label"])(known), loss(known["student"], known["label"]))


@pytest.mark.parametrize("inputs", ["student", [], {}, None])
def test_inputs_must_be_names(inputs):
    with pytest.raises(ConfigError, match="list or mapping of names"):
        Term(MSE, inputs)


def test_a_loss_must_be_callable():
    with pytest.raises(ConfigError, match="callable, got str"):
        Term("MSELoss", ["student", "teacher"])


def test_needs_are_the_inputs_and_the_mask():
    assert Term(MSE, ["student.hint", "teacher.hint"]).needs() == {"student.hint", "teacher.hint"}
    assert Term(MSE, {"input": "student", "target": "label"}, where="labeled").needs() == {
        "student",
        "label",
        "labeled",
    }


@pytest.mark.parametrize("mask", [[1, 0, 1, 0], [0, 0, 0, 1], [1, 1, 1, 1]])
def test_only_rows_where_the_mask_is_true_are_compared(mask):
    known = {**knowledge(), "labeled": torch.tensor(mask).bool()}
    rows = [i for i, on in enumerate(mask) if on]
    expected = sum(-known["student"][i].log_softmax(0)[known["label"][i]] for i in rows) / len(rows)
    value = Term(nn.CrossEntropyLoss(), ["student", "label"], where="labeled")(known)
    torch.testing.assert_close(value, expected)


def test_rows_that_are_masked_out_get_no_gradient_even_where_they_are_nan():
    known = knowledge()
    with torch.no_grad():
        known["student"][1] = torch.nan
    Term(MSE, ["student", "teacher"], where="labeled")(known).backward()
    gradient = known["student"].grad
    assert (gradient[[1, 3]] == 0).all() and (gradient[[0, 2]] != 0).all()


@pytest.mark.parametrize("where", [torch.ones(4, 1).bool(), torch.ones(4).int(), torch.ones(4)])
def test_a_mask_may_be_a_column_or_numbers(where):
    known = knowledge()
    term = Term(MSE, ["student", "teacher"], where="w")
    torch.testing.assert_close(term({**known, "w": where}), MSE(known["student"], known["teacher"]))


def test_an_empty_mask_gives_a_zero_that_stays_connected():
    known = {**knowledge(), "labeled": torch.zeros(4, dtype=torch.bool)}
    value = Term(nn.CrossEntropyLoss(), ["student", "label"], where="labeled")(known)
    value.backward()
    assert value.item() == 0.0 and torch.equal(known["student"].grad, torch.zeros(4, 3))


@pytest.mark.parametrize("shape", [(3,), (4, 2), (2, 2), (1,), ()])
def test_a_mask_that_is_not_one_boolean_per_sample_is_an_error_that_names_both(shape):
    term = Term(MSE, ["student", "teacher"], where="labeled")
    with pytest.raises(ShapeMismatchError, match=r"where: 'labeled'.*'student' \(4, 3\).*one boolean per sample"):
        term({**knowledge(), "labeled": torch.ones(shape).bool()})


def test_every_input_must_have_the_rows_of_the_mask():
    known = {**knowledge(), "teacher": torch.randn(2, 3)}
    with pytest.raises(ShapeMismatchError, match=r"'teacher' \(2, 3\)"):
        Term(MSE, ["student", "teacher"], where="labeled")(known)


@pytest.mark.parametrize("loss", [nn.MSELoss(), nn.L1Loss(), nn.SmoothL1Loss(), nn.HuberLoss(), nn.KLDivLoss()])
@pytest.mark.parametrize("classes", [1, 2])
def test_different_numbers_of_classes_are_never_broadcast(loss, classes):
    with pytest.raises(ClassMismatchError, match=r"\(4, 3\) against \(4, [12]\)"):
        Term(loss, ["student", "teacher"])({"student": torch.randn(4, 3), "teacher": torch.randn(4, classes)})


@pytest.mark.parametrize("loss", [F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss])
def test_the_functions_behind_those_losses_do_not_broadcast_either(loss):
    with pytest.raises(ClassMismatchError, match=r"\(4, 3\) against \(4, 1\)"):
        Term(loss, ["student", "teacher"])({"student": torch.randn(4, 3), "teacher": torch.randn(4, 1)})


@pytest.mark.parametrize(
    "loss",
    [
        partial(F.mse_loss, reduction="sum"),
        partial(partial(F.l1_loss)),
        partial(nn.MSELoss()),
        F.cosine_similarity,
        F.poisson_nll_loss,
        nn.CosineSimilarity(),
        nn.PoissonNLLLoss(),
        nn.BCEWithLogitsLoss(),
        torch.compile(nn.PoissonNLLLoss(), backend="eager"),
    ],
)
def test_no_loss_of_torch_broadcasts(loss):
    with pytest.raises(ClassMismatchError, match=r"\(2, 3\) against \(2, 1\)"):
        Term(loss, ["student", "teacher"])({"student": torch.randn(2, 3), "teacher": torch.rand(2, 1)})


@pytest.mark.parametrize("shape", [(3,), (1, 3)])
def test_nor_over_samples(shape):
    with pytest.raises(ShapeMismatchError, match=r"cosine_similarity would broadcast \(2, 3\)"):
        Term(F.cosine_similarity, ["a", "b"])({"a": torch.randn(2, 3), "b": torch.randn(shape)})


def test_a_loss_of_ones_own_does_not_broadcast_over_samples_or_places():
    known = {"a": torch.randn(2, 4, 5, 5), "b": torch.randn(2, 4, 1, 5)}
    with pytest.raises(ShapeMismatchError, match="Connector"):
        Term(lambda a, b: (a - b).square(), ["a", "b"])(known)


@pytest.mark.parametrize(
    ("loss", "a", "b"),
    [
        (DiceCELoss(softmax=True, to_onehot_y=True), torch.randn(2, 3, 4, 4), torch.ones(2, 1, 4, 4)),
        (partial(DiceLoss(to_onehot_y=True)), torch.rand(2, 3, 4, 4), torch.ones(2, 1, 4, 4)),
        (GazeTransferLoss(), torch.rand(2, 3, 4, 4), torch.rand(2, 1, 4, 4)),
        (nn.CrossEntropyLoss(), torch.randn(2, 3, 4), torch.ones(2, 4).long()),
    ],
)
def test_a_map_of_classes_is_not_broadcast(loss, a, b):
    torch.testing.assert_close(Term(loss, ["a", "b"])({"a": a, "b": b}), loss(a, b))


def test_a_target_of_another_kind_is_not_broadcast():
    a, b, alike = torch.randn(4, 3), torch.randn(4, 3), torch.tensor([1.0, -1, 1, -1])
    term = Term(nn.CosineEmbeddingLoss(), ["a", "b", "alike"])
    torch.testing.assert_close(term({"a": a, "b": b, "alike": alike}), nn.CosineEmbeddingLoss()(a, b, alike))


@pytest.mark.parametrize("labeled", [[False, False], [True, False]])
def test_a_mask_over_nothing_that_is_floating_is_an_error_that_names_the_inputs(labeled):
    known = {"student": torch.tensor([0, 1]), "label": torch.tensor([0, 1]), "labeled": torch.tensor(labeled)}
    with pytest.raises(ConfigError, match=r"where: 'labeled': none of 'student', 'label' is floating"):
        Term(lambda a, b: (a == b).float().mean(), ["student", "label"], where="labeled")(known)


@pytest.mark.parametrize("inputs", [["a", "b"], {"target": "b", "input": "a"}])
@pytest.mark.parametrize("other", [(2, 4, 3, 3), (1, 4, 5, 5)])
def test_features_of_other_places_or_samples_are_a_shape_error_that_suggests_a_connector(inputs, other):
    known = {"a": torch.randn(2, 4, 5, 5), "b": torch.randn(other)}
    with pytest.raises(ShapeMismatchError, match="Connector"):
        Term(MSE, inputs)(known)


def test_features_of_other_channels_are_an_error_that_suggests_a_connector():
    with pytest.raises(
        (ShapeMismatchError, ClassMismatchError), match=r"\(2, 4, 5, 5\) against \(2, 8, 5, 5\).*Connector"
    ):
        Term(MSE, ["a", "b"])({"a": torch.randn(2, 4, 5, 5), "b": torch.randn(2, 8, 5, 5)})


@pytest.mark.parametrize(
    ("dtype", "seen"),
    [(torch.float16, torch.float32), (torch.bfloat16, torch.float32), (torch.float64, torch.float64)],
)
def test_halves_are_brought_to_float32_and_doubles_stay(dtype, seen):
    dtypes = []

    def loss(a, b, label):
        dtypes.extend([a.dtype, b.dtype, label.dtype])
        return (a - b).sum()

    x = torch.randn(4, 3).to(dtype)
    Term(loss, ["a", "b", "c"])({"a": x, "b": x, "c": torch.ones(4).long()})
    assert dtypes == [seen, seen, torch.int64]


def test_the_weight_is_in_the_state_and_comes_back():
    term, other = Term(MSE, ["student", "teacher"], weight=3), Term(MSE, ["student", "teacher"])
    term.weight = 0.25
    other.load_state_dict(term.state_dict())
    assert other.weight == 0.25 and list(term.parameters()) == []


def test_the_loss_moves_with_the_term():
    term = Term(nn.CrossEntropyLoss(weight=torch.ones(3)), ["student", "label"]).to("meta")
    assert term.loss.weight.device.type == "meta"


def test_can_be_copied_and_says_what_it_is():
    term = Term(MSE, ["student", "teacher"], weight=2, where="labeled")
    known = knowledge()
    assert torch.equal(copy.deepcopy(term)(known), term(known))
    assert "inputs=['student', 'teacher'], weight=2, where='labeled'" in repr(term)
