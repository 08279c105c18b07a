# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch.nn.functional import normalize

from monai_kd.losses import CRDLoss
from monai_kd.networks import MemoryBank
from monai_kd.utils import ConfigError, ShapeMismatchError


def embeddings(n: int = 3, d: int = 4) -> list[torch.Tensor]:
    return [normalize(torch.randn(n, d), dim=1).requires_grad_() for _ in range(2)]


def bank(**options) -> MemoryBank:
    return MemoryBank(**{"num_samples": 10, "features": 4, "negatives": 6, "temperature": 0.5, **options})


def test_logits_are_those_of_the_formula(monkeypatch):
    """e^{g/tau} / Z against K / M, with Z from the first batch, in plain loops."""
    memory, (x, y), index = bank(), embeddings(), torch.tensor([2, 0, 9])
    drawn = torch.randint(9, (3, 6))
    drawn[:, 0] = index.clamp(max=8)  # where the sample itself would be, were it not left out
    monkeypatch.setattr(torch, "randint", lambda *args, **kwargs: drawn)
    banks = {"input": memory.target_bank.clone(), "target": memory.input_bank.clone()}
    given = memory(x, y, index)
    for name, rows in (("input", x), ("target", y)):
        powers = []
        for n in range(3):
            others = [k if k < index[n] else k + 1 for k in drawn[n].tolist()]
            chosen = [int(index[n]), *others]
            assert int(index[n]) not in others
            powers.append([math.exp(float(rows[n] @ banks[name][k]) / 0.5) for k in chosen])
        z = 10 * sum(map(sum, powers)) / 21
        expected = torch.tensor([[math.log(p / z / (6 / 10)) for p in row] for row in powers])
        torch.testing.assert_close(given[name], expected, rtol=1e-4, atol=1e-5)


def test_z_stays_that_of_the_first_batch():
    memory = bank()
    memory(*embeddings(), torch.tensor([0, 1, 2]))
    first = memory.log_z.clone()
    memory(*embeddings(), torch.tensor([3, 4, 5]))
    assert first.isfinite().all() and torch.equal(memory.log_z, first)


def test_z_is_of_the_first_batch_in_train_mode_and_comes_with_the_state():
    memory, other = bank(), bank()
    memory.eval()(*embeddings(), torch.tensor([0, 1, 2]))
    assert memory.log_z.isnan().all()
    other.load_state_dict(memory.state_dict())  # which is not known yet
    memory.train()(*embeddings(), torch.tensor([3, 4, 5]))
    first = memory.log_z.clone()
    other(*embeddings(), torch.tensor([0, 1, 2]))
    assert first.isfinite().all() and not torch.equal(other.log_z, first)
    other.load_state_dict(memory.state_dict())
    other(*embeddings(), torch.tensor([6, 7, 8]))
    assert torch.equal(other.log_z, first)


def test_remembers_after_the_backward_and_only_what_it_saw():
    memory, (x, y), index = bank(momentum=0.8), embeddings(), torch.tensor([2, 0, 9])
    before = memory.input_bank.clone(), memory.target_bank.clone()
    given = memory(x, y, index)
    CRDLoss()(given["input"], given["target"]).backward()
    assert x.grad.abs().max() > 0 and y.grad.abs().max() > 0
    assert torch.equal(memory.input_bank, before[0])
    memory.remember()
    for now, then, rows in zip((memory.input_bank, memory.target_bank), before, (x, y), strict=True):
        torch.testing.assert_close(now[index], normalize(0.8 * then[index] + 0.2 * rows.detach(), dim=1))
        others = [i for i in range(10) if i not in index]
        assert torch.equal(now[others], then[others])


def test_the_next_batch_meets_the_last_one():
    memory, (x, y), index = bank(), embeddings(), torch.tensor([2, 0, 9])
    expected = copy.deepcopy(memory)
    expected(x, y, index)
    expected.remember()
    memory(x, y, index)
    memory(*embeddings(), torch.tensor([3, 4, 5]))
    assert torch.equal(memory.input_bank, expected.input_bank)
    assert torch.equal(memory.target_bank, expected.target_bank)


def test_rows_start_with_a_length_of_about_one():
    memory = MemoryBank(200)
    for rows in (memory.input_bank, memory.target_bank):
        assert rows.square().sum(1).mean().item() == pytest.approx(1, rel=0.05)


def test_eval_mode_remembers_nothing():
    memory = bank().eval()
    before = copy.deepcopy(memory.state_dict())
    memory(*embeddings(), torch.tensor([0, 1, 2]))
    after = memory.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in ("input_bank", "target_bank"))


def test_a_resumed_run_goes_on_where_it_was():
    memory = bank()
    memory(*embeddings(), torch.tensor([0, 1, 2]))
    state = copy.deepcopy(memory.state_dict())  # takes in what is not yet remembered
    resumed = bank()
    resumed.load_state_dict(state)
    x, y = embeddings()
    answers = []
    for one in (memory, resumed):
        torch.manual_seed(5)
        answers.append(one(x, y, torch.tensor([1, 2, 3])))
    assert all(torch.equal(answers[0][k], answers[1][k]) for k in ("input", "target"))


def test_temperature_is_a_number_of_full_precision():
    """Defect 24: in a float32 buffer 0.07 was 0.0700000003."""
    memory = MemoryBank(10, temperature=0.07).double()
    assert memory.temperature == 0.07 and "temperature" not in memory.state_dict()


def test_never_more_negatives_than_others():
    assert MemoryBank(5, features=4).negatives == 4


def test_impossible_settings_and_rows_are_refused():
    for options, text in (
        ({"num_samples": 1}, "num_samples must be at least 2"),
        ({"features": 0}, "features must be positive"),
        ({"temperature": 0.0}, "temperature must be positive"),
        ({"momentum": 1.0}, "momentum must be in"),
    ):
        with pytest.raises(ConfigError, match=text):
            bank(**options)
    with pytest.raises(ShapeMismatchError, match=r"student is \(3, 5\), index \(3,\), the bank \(10, 4\)"):
        bank()(*embeddings(d=5), torch.arange(3))
