# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_kd.networks import ClassSubset, SubsetLabels
from monai_kd.utils import ConfigError


def test_a_subset_of_a_dense_answer_keeps_its_places():
    answer = torch.randn(2, 5, 3, 4)
    assert ClassSubset(torch.nn.Identity(), [4, 1])(answer).equal(answer[:, [4, 1]])


def test_members_are_those_of_its_classes_whose_label_is_known():
    label, labeled = torch.tensor([[0], [1], [3], [3]]), torch.tensor([True, True, True, False])
    told = SubsetLabels({"one": [3, 1], "other": [0, 1]})(label, labeled)
    assert told["one"].tolist() == [False, True, True, False] and told["one_label"].tolist() == [-1, 1, 0, -1]
    assert told["other"].tolist() == [True, True, False, False] and told["other_label"].tolist() == [0, 1, -1, -1]


@pytest.mark.parametrize("classes", [[1], [1, 1], []])
def test_a_subset_tells_classes_apart(classes):
    with pytest.raises(ConfigError, match=r"subset 'few'.*two classes or more, each once"):
        SubsetLabels({"few": classes})


def test_a_subset_has_a_class():
    with pytest.raises(ConfigError, match="no class"):
        ClassSubset(torch.nn.Identity(), [])
