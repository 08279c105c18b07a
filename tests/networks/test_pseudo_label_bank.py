# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_kd.networks import PseudoLabelBank
from monai_kd.utils import ConfigError


def test_gives_what_it_was_given_last():
    bank = PseudoLabelBank(5)
    assert not bank(torch.arange(5))["chosen"].any()
    bank.replace({4: 0, 1: 2})
    bank.replace({3: 1, 4: 2})
    assert bank(torch.tensor([4, 0, 1, 3, 4]))["label"].tolist() == [2, -1, -1, 1, 2]
    assert bank(torch.tensor([[4], [0]]))["chosen"].tolist() == [True, False]
    bank.replace({})
    assert not bank(torch.arange(5))["chosen"].any()


def test_labels_are_in_the_checkpoint_and_whole_numbers():
    bank, other = PseudoLabelBank(5), PseudoLabelBank(5).half()
    bank.replace({2: 300})
    other.load_state_dict(bank.state_dict())
    assert other(torch.tensor([2, 3]))["label"].tolist() == [300, -1]
    assert list(bank.parameters()) == []


@pytest.mark.parametrize("index", [-1, 5])
def test_a_sample_that_there_is_not(index):
    with pytest.raises(ConfigError, match=f"sample {index} of 5"):
        PseudoLabelBank(5).replace({1: 0, index: 0})
    with pytest.raises(ConfigError, match="num_samples"):
        PseudoLabelBank(0)
