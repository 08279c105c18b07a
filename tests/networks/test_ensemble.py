# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from monai_kd.networks import Teacher, TeacherEnsemble, accuracy_weights, teacher_accuracy
from monai_kd.utils import ClassMismatchError, ConfigError
from tests.nets import Answering, Classifier, images, same, state_of


class Constant(nn.Module):
    def __init__(self, logits):
        super().__init__()
        self.register_buffer("logits", torch.as_tensor(logits))

    def forward(self, x):
        return self.logits


def ensemble_of(logits, **kwargs) -> torch.Tensor:
    return TeacherEnsemble([Constant(z) for z in logits], **kwargs)(torch.ones(1))


def softmax(z: list[float], t: float) -> list[float]:
    powers = [math.exp(v / t) for v in z]
    return [p / sum(powers) for p in powers]


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("weights", [None, [3, 1, 2], [1, 0, 1]])
@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 2, 2), (1, 3, 2, 1, 2)])
def test_softmax_is_the_plain_average_of_probabilities(temperature, weights, shape):
    logits = 3 * torch.randn(3, *shape, dtype=torch.float64)
    shares = [w / sum(weights) for w in weights] if weights else [1 / 3] * 3
    got = ensemble_of(logits.float(), weights=weights, temperature=temperature).double().div(temperature).softmax(1)
    rows = logits.movedim(2, -1).reshape(3, -1, 3)
    for index, row in enumerate(got.movedim(1, -1).reshape(-1, 3)):
        members = [softmax(rows[k, index].tolist(), temperature) for k in range(3)]
        for c in range(3):
            assert row[c].item() == pytest.approx(sum(w * p[c] for w, p in zip(shares, members, strict=True)), abs=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_sigmoid_averages_each_class_on_its_own(temperature):
    logits = 3 * torch.randn(2, 4, 3)
    got = ensemble_of(logits, weights=[1, 3], activation="sigmoid", temperature=temperature)
    for n in range(4):
        for c in range(3):
            mean = sum(w / (1 + math.exp(-logits[k, n, c].item() / temperature)) for k, w in enumerate([0.25, 0.75]))
            assert got[n, c].item() == pytest.approx(temperature * math.log(mean / (1 - mean)), abs=1e-4)


def test_logits_are_the_weighted_mean():
    logits = torch.randn(2, 4, 3)
    torch.testing.assert_close(
        ensemble_of(logits, weights=[3, 1], average="logits"), 0.75 * logits[0] + 0.25 * logits[1]
    )


def test_one_teacher_answers_as_itself():
    z = torch.randn(1, 4, 3)
    torch.testing.assert_close(ensemble_of(z, average="logits"), z[0])
    torch.testing.assert_close(ensemble_of(z, activation="sigmoid"), z[0])
    torch.testing.assert_close(ensemble_of(z), z[0].log_softmax(1))


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_teachers_that_are_certain_give_finite_numbers(activation):
    assert ensemble_of([[[200.0, -200.0]], [[180.0, -200.0]]], activation=activation).isfinite().all()


@pytest.mark.parametrize("average", ["probabilities", "logits"])
def test_double_precision_stays(average):
    assert ensemble_of(torch.randn(2, 4, 3, dtype=torch.float64), average=average).dtype == torch.float64


def test_no_teachers_is_an_error():
    with pytest.raises(ConfigError, match="no teachers"):
        TeacherEnsemble([])


@pytest.mark.parametrize("weights", [[1], [1, 2, 3], [0, 0], [-1, 2]])
def test_weights_that_do_not_fit_are_an_error(weights):
    with pytest.raises(ConfigError, match="do not fit 2 teachers"):
        TeacherEnsemble([Classifier(), Classifier()], weights=weights)


def test_a_temperature_of_nothing_is_an_error():
    with pytest.raises(ConfigError, match="temperature must be a positive number, got 0"):
        TeacherEnsemble([Classifier()], temperature=0)


@pytest.mark.parametrize("wrong", [{"average": "mean"}, {"activation": "relu"}])
def test_an_unknown_option_lists_the_choices(wrong):
    with pytest.raises(ValueError, match=r"probabilities|sigmoid"):
        TeacherEnsemble([Classifier()], **wrong)


def test_different_numbers_of_classes_are_never_broadcast():
    with pytest.raises(ClassMismatchError, match=r"\(4, 3\), \(4, 1\)"):
        TeacherEnsemble([Classifier(), Classifier(classes=1)])(images())


def test_a_teacher_that_answers_with_a_tuple_is_an_error_that_says_so():
    with pytest.raises(ConfigError, match=r"TeacherEnsemble.*tuple"):
        TeacherEnsemble([Answering("tuple"), Answering("tuple")])(images())


def test_its_teachers_are_frozen_hidden_and_unchanged():
    networks, x = [Classifier(), Classifier(width=2)], images()
    before = [state_of(network) for network in networks]
    ensemble = TeacherEnsemble([networks[0], Teacher(networks[1])])
    answer = ensemble.train()(x)
    assert not answer.requires_grad and list(ensemble.parameters()) == [] and ensemble.state_dict() == {}
    assert all(same(*pair) for pair in zip(networks, before, strict=True)) and networks[0].training
    torch.testing.assert_close(answer.softmax(1), sum(network.eval()(x).softmax(1) for network in networks) / 2)


def test_to_reaches_every_teacher():
    networks = [Classifier(), Classifier()]
    TeacherEnsemble(networks).to(torch.float64)
    assert {p.dtype for network in networks for p in network.parameters()} == {torch.float64}


def test_better_teachers_weigh_more():
    powers = [math.exp(a / 0.2) for a in (0.5, 0.9, 0.7)]
    assert accuracy_weights([0.5, 0.9, 0.7], tau=0.2) == pytest.approx([p / sum(powers) for p in powers])
    for accuracies, tau in (([], 0.1), ([1.5], 0.1), ([0.5], 0.0)):
        with pytest.raises(ConfigError):
            accuracy_weights(accuracies, tau)


def test_accuracy_of_a_teacher_counts_items_not_batches():
    logits = torch.eye(3)[[0, 1, 2, 2, 0]]
    batches = [{"x": logits[:4], "y": torch.tensor([[0], [1], [2], [0]])}, {"x": logits[4:], "y": torch.tensor([[0]])}]
    network = nn.Sequential(nn.Dropout(0.99)).train()
    assert teacher_accuracy(network, batches, "x", "y") == 4 / 5
    assert network.training
    for wrong in ([], [{"x": logits}]):
        with pytest.raises(ConfigError):
            teacher_accuracy(network, wrong, "x", "y")
