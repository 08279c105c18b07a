# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy

import pytest
import torch
from monai.networks.nets import DenseNet
from torch import nn

from monai_kd.networks import ReusedHead, Teacher, reuse_head
from monai_kd.utils import ConfigError, UnknownLayerError

HEADS = {"student": "class_layers", "teacher": "class_layers"}


def network(dims: int, width: int) -> DenseNet:
    return DenseNet(dims, 1, 3, init_features=width, growth_rate=width, block_config=(1, 1), bn_size=1)


def channels(net: DenseNet) -> int:
    return net.features.norm5.num_features


@pytest.mark.parametrize("dims", [2, 3])
def test_the_student_answers_through_the_teachers_head(dims):
    student, teacher = network(dims, 4), network(dims, 8)
    path = reuse_head(student, Teacher(teacher), HEADS, dims, channels(student), channels(teacher))
    student.eval(), teacher.eval()
    x = torch.rand(2, 1, *[16] * dims)
    projected = student.get_submodule(path)(student.features(x))
    assert projected.shape[1] == channels(teacher)
    torch.testing.assert_close(student(x), teacher.class_layers(projected))


def test_the_head_is_a_copy_that_never_moves():
    student, teacher = network(2, 4), network(2, 8)
    reuse_head(student, teacher, HEADS, 2, channels(student), channels(teacher))
    reused = student.class_layers
    before, theirs = copy.deepcopy(reused.head.state_dict()), copy.deepcopy(teacher.state_dict())
    optimizer = torch.optim.SGD([p for p in student.parameters() if p.requires_grad], lr=0.1)
    student.train()
    assert reused.projector.training and not reused.head.training
    student(torch.rand(4, 1, 16, 16)).square().sum().backward()
    optimizer.step()
    assert all(before[k].equal(v) for k, v in reused.head.state_dict().items())
    assert all(theirs[k].equal(v) for k, v in teacher.state_dict().items())
    assert all(p.requires_grad for p in teacher.parameters())


def test_the_changed_student_is_scripted():
    student, teacher = network(2, 4), network(2, 8)
    reuse_head(student, teacher, HEADS, 2, channels(student), channels(teacher))
    student.eval()
    x = torch.rand(1, 1, 16, 16)
    torch.testing.assert_close(torch.jit.script(student)(x), student(x))


@pytest.mark.parametrize("dims", [0, 1, 2, 3])
def test_features_of_every_dimension(dims):
    head = ReusedHead(nn.Identity(), dims, in_channels=5, out_channels=6, factor=4, act="relu")
    answer = head(torch.randn(3, 5, *[4] * dims))
    assert answer.shape == (3, 6, *[4] * dims) and (answer >= 0).all()


def test_what_cannot_be_changed_is_refused():
    student, teacher = network(2, 4), network(2, 8)
    with pytest.raises(UnknownLayerError, match="class_layers"):
        reuse_head(student, teacher, {"student": "class_layer", "teacher": "class_layers"}, 2, 1, 1)
    with pytest.raises(ConfigError, match="wrapped already"):
        reuse_head(torch.compile(student), teacher, HEADS, 2, 1, 1)


@pytest.mark.parametrize("whose", ["student", "teacher"])
def test_channels_that_a_head_does_not_take_are_named(whose):
    student, teacher = (nn.Sequential(nn.Flatten(), nn.Linear(width, 3)) for width in (4, 8))
    said = {"student": 4, "teacher": 8} | {whose: 5}
    with pytest.raises(ConfigError, match=rf"5 channels said, but the {whose}'s head '1' takes \d.*{whose}_channels"):
        reuse_head(student, teacher, {"student": "1", "teacher": "1"}, 0, said["student"], said["teacher"])
