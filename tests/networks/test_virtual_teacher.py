# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_kd.networks import VirtualTeacher
from monai_kd.utils import ClassMismatchError, ConfigError


@pytest.mark.parametrize("shape", [(4,), (2, 5), (2, 3, 4, 5)])
def test_gives_the_label_its_probability_and_the_others_the_rest(shape):
    label = torch.randint(0, 4, shape)
    probability = VirtualTeacher(4, correct=0.7)(label).softmax(1)
    assert probability.shape == (shape[0], 4, *shape[1:])
    given = probability.gather(1, label.unsqueeze(1)).squeeze(1)
    torch.testing.assert_close(given, torch.full(shape, 0.7))
    torch.testing.assert_close(probability.sort(1).values[:, :3], torch.full((shape[0], 3, *shape[1:]), 0.1))


def test_without_a_label_all_classes_are_equal():
    logits = VirtualTeacher(3)(torch.tensor([-1]))
    assert torch.equal(logits, logits[:, :1].expand_as(logits))


def test_has_no_parameters_and_no_state():
    teacher = VirtualTeacher(3)
    assert not list(teacher.parameters()) and not teacher.state_dict()


def test_impossible_numbers_are_refused():
    with pytest.raises(ConfigError, match="num_classes must be at least 2"):
        VirtualTeacher(1)
    with pytest.raises(ConfigError, match=r"correct must be in \(1 / 4, 1\)"):
        VirtualTeacher(4, correct=0.2)
    with pytest.raises(ClassMismatchError, match="a label is 3, num_classes is 3"):
        VirtualTeacher(3)(torch.tensor([3]))
