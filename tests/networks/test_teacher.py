# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

from monai_kd.networks import Teacher
from monai_kd.networks.fast import FastChoice
from monai_kd.utils import ConfigError
from tests.nets import Answering, Classifier, images, same, state_of


class Moody(nn.Module):
    """Answers the mode it runs in."""

    def forward(self, x):
        return x + self.training


@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize("training", [True, False])
def test_answers_as_the_network_in_eval_mode(spatial_dims, training):
    network, x = Classifier(spatial_dims, dropout=0.5), images(spatial_dims=spatial_dims)
    network.train(training)
    answer = Teacher(network)(x)
    assert torch.equal(answer, network.eval()(x)) and not answer.requires_grad


def test_is_always_in_eval_mode_whatever_is_asked():
    teacher, x = Teacher(Moody()), torch.zeros(1)
    for ask in (teacher.train, teacher.eval, nn.Sequential(teacher).train, teacher.network.train):
        ask()
        assert teacher(x).item() == 0 and not teacher.training


def test_train_mode_is_kept_whatever_is_asked():
    teacher, x = Teacher(Moody().eval(), train_mode=True), torch.zeros(1)
    for ask in (teacher.train, teacher.eval, nn.Sequential(teacher).eval, teacher.network.eval):
        ask()
        assert teacher(x).item() == 1 and teacher.training


def test_what_is_given_is_not_altered():
    network = Classifier()
    network.head.requires_grad_(False)
    network.norm.eval()
    modes = [layer.training for layer in network.modules()]
    flags = [p.requires_grad for p in network.parameters()]
    before = state_of(network)
    Teacher(network)(images())
    assert [layer.training for layer in network.modules()] == modes
    assert [p.requires_grad for p in network.parameters()] == flags
    assert same(network, before)


@pytest.mark.parametrize("train_mode", [False, True])
def test_the_mode_is_put_back_after_an_exception(train_mode):
    network = Classifier()
    network.norm.eval()
    modes = [layer.training for layer in network.modules()]
    with pytest.raises(RuntimeError):
        Teacher(network, train_mode=train_mode)(torch.ones(1, 7, 2, 2))
    assert [layer.training for layer in network.modules()] == modes


def test_train_mode_gathers_statistics_and_eval_mode_does_not():
    for train_mode in (False, True):
        network = Classifier().eval()
        before = network.norm.running_mean.clone()
        Teacher(network, train_mode=train_mode)(images())
        assert torch.equal(network.norm.running_mean, before) is not train_mode
        assert not network.training


def test_is_invisible_to_parameters_and_state():
    teacher = Teacher(Classifier())
    holder = nn.ModuleDict({"teacher": teacher, "head": nn.Linear(2, 2)})
    assert list(teacher.parameters()) == list(teacher.buffers()) == list(teacher.children()) == []
    assert set(holder.state_dict()) == {"head.weight", "head.bias"}
    holder.load_state_dict(nn.ModuleDict({"head": nn.Linear(2, 2)}).state_dict())  # strict


@pytest.mark.parametrize("holder", [lambda t: t, lambda t: nn.Sequential(nn.Identity(), t)])
def test_to_reaches_it(holder):
    network = Classifier()
    holder(Teacher(network)).to("meta", torch.float64)
    assert {(p.device.type, p.dtype) for p in network.parameters()} == {("meta", torch.float64)}
    assert network.norm.running_mean.device.type == "meta"


def test_to_keeps_the_parameters_themselves():
    network = Classifier()
    before = list(network.parameters())
    Teacher(network).to(torch.float64)
    assert all(a is b for a, b in zip(network.parameters(), before, strict=True))


def test_no_gradient_reaches_its_network_or_its_input():
    network, x = Classifier(), images().requires_grad_()
    assert not Teacher(network)(x).requires_grad
    assert all(p.grad is None for p in network.parameters()) and x.grad is None


@pytest.mark.parametrize("kind", ["tuple", "list", "dict"])
def test_answers_are_passed_on_as_they_are(kind):
    answer = Teacher(Answering(kind))(images())
    assert type(answer).__name__ == kind and len(answer) == 2


def test_a_copy_is_equal_and_apart():
    student = Classifier()
    teacher = Teacher.copy_of(student)
    assert same(teacher.network, student.state_dict()) and teacher.copied
    before = state_of(teacher.network)
    with torch.no_grad():
        for tensor in (*student.parameters(), *student.buffers()):
            tensor.add_(1)
    assert same(teacher.network, before)
    assert not any(p.requires_grad for p in teacher.network.parameters())
    assert all(p.requires_grad for p in student.parameters())


def test_a_copy_is_taken_out_of_its_wrapper():
    student = Classifier()
    teacher = Teacher.copy_of(torch.compile(student, backend="eager"), train_mode=True)
    assert type(teacher.network) is Classifier and teacher.network is not student and teacher.train_mode


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_can_be_copied_and_pickled(duplicate):
    teacher, x = Teacher(Classifier()), images()
    other = duplicate(teacher)
    assert torch.equal(other(x), teacher(x))
    assert other.network is not teacher.network and list(other.parameters()) == []


def test_a_teacher_of_a_teacher_is_refused():
    with pytest.raises(ConfigError, match="Teacher already"):
        Teacher(Teacher(Classifier()))


def test_a_fast_teacher_that_changes_is_refused():
    with pytest.raises(ConfigError, match="frozen"):
        Teacher(Classifier(), train_mode=True, fast=True)
    teacher = Teacher.copy_of(Classifier())
    teacher.fast = True
    with pytest.raises(ConfigError, match=r"copy_of.*frozen"):
        teacher(images())


def test_says_what_it_is():
    assert repr(Teacher(Classifier())) == "Teacher(Classifier, frozen)"
    assert (
        repr(Teacher.copy_of(Classifier(), train_mode=True)) == "Teacher(Classifier, copy of the student, train mode)"
    )


@pytest.mark.parametrize("keep_original", [True, False])
def test_a_fast_teacher_given_in_train_mode_keeps_its_statistics(monkeypatch, keep_original):
    if keep_original:  # what the probe does where no copy is faster
        monkeypatch.setattr("monai_kd.networks.teacher.choose_fast", lambda net, inputs, tapped: FastChoice(net))
    network = Classifier().train()
    before, teacher = copy.deepcopy(network.state_dict()), Teacher(network, fast=True)
    for _ in range(2):
        teacher(images())
    assert all(before[k].equal(v) for k, v in network.state_dict().items()) and network.training


def test_a_compiled_teacher_is_not_made_fast_behind_ones_back():
    with pytest.raises(ConfigError, match="compile"):
        Teacher(torch.compile(Classifier(), backend="eager"), fast=True)(images())


def test_what_was_made_fast_is_made_anew_when_the_network_moves(monkeypatch):
    dtypes = []

    def choose(net, inputs, tapped):
        dtypes.append(net.head.weight.dtype)
        return FastChoice(net)

    monkeypatch.setattr("monai_kd.networks.teacher.choose_fast", choose)
    teacher, x = Teacher(Classifier(), fast=True), images()
    for _ in range(2):
        teacher(x)
    assert teacher.double()(x.double()).dtype == torch.float64 and dtypes == [torch.float32, torch.float64]
