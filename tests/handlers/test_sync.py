# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""What happens outside the forward keeps two processes equal too: clipping, first copies, new generations."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from monai.engines.utils import IterationEvents
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import monai_kd
from monai_kd.handlers import EMA, Snapshot, SyncGradients
from monai_kd.inferers import DistillationInferer
from monai_kd.networks import Teacher
from tests.nets import LABEL, MIMIC, Classifier, batches, make_trainer
from tests.ranks import result, run_on_two_ranks

CASES = ("clip", "first copy", "generations", "built apart")


class Clip:
    """Clip the norm of all gradients together, as a bundle's own handler does."""

    def __init__(self, parameters):
        self.parameters = list(parameters)

    def attach(self, engine):
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine):
        nn.utils.clip_grad_norm_(self.parameters, 0.05)


class Keeping(nn.Module):
    """Holds random numbers, and nothing that learns."""

    def __init__(self):
        super().__init__()
        self.register_buffer("kept", torch.randn(5))

    def forward(self, x):
        return x


def train(case: str, rank: int) -> dict[str, Tensor]:
    torch.manual_seed(3)
    student, connector, teacher = Classifier(norm=False), nn.Linear(3, 3), Classifier(norm=False)
    data = [{key: value[4 * rank : 4 * rank + 4] for key, value in batch.items()} for batch in batches(4, 8)]
    passes = {"teacher": {"network": Teacher(teacher)}, "connector": {"keys": "student", "network": connector}}
    terms = {"label": LABEL, "hint": {**MIMIC, "inputs": ["connector", "teacher"]}}
    average = Teacher.copy_of(student)
    parameters = monai_kd.trainable(student, DistillationInferer({"student": {}, **passes}))
    if case == "first copy" and rank:
        nn.init.constant_(student.head.bias, 7.0)  # rank 0's weights must win before the teacher copies them
    torch.manual_seed(rank)
    if case == "built apart":  # what has no gradient and yet no two processes build alike
        average = Teacher.copy_of(Classifier(norm=False))
        passes |= {"projection": {"keys": "student", "network": nn.Linear(3, 3).requires_grad_(False)}}
        passes |= {"bank": {"keys": "student", "network": Keeping()}, "past": {"network": average}}
    handlers = {
        "clip": [Clip(parameters)],
        "first copy": [EMA(average, student, momentum=0.9, warmup=False)],
        "generations": [Snapshot(average, student, every=1, restart=True)],
        "built apart": [],
    }
    wrapped = student if case == "first copy" else DistributedDataParallel(student)
    optimizer = torch.optim.SGD(parameters, lr=0.5)
    make_trainer(wrapped, passes, terms, data, 2, optimizer=optimizer, train_handlers=handlers[case]).run()
    networks = {"student": student, "average": average.network, "connector": connector}
    networks |= {name: passes[name]["network"] for name in ("projection", "bank") if name in passes}
    return {f"{name}.{key}": value for name, net in networks.items() for key, value in net.state_dict().items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ranks")
    run_on_two_ranks(train, CASES, folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_processes_stay_equal(case: str, folder: Path) -> None:
    one, other = result(folder, case)
    for key, value in one.items():
        torch.testing.assert_close(other[key], value, rtol=0, atol=1e-6, msg=lambda m, k=key: f"{k}: {m}")


@pytest.fixture
def alone():
    """A process group of this one process."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_a_student_in_ddp_is_averaged_once_also_when_compiled(alone):
    student, connector = DistributedDataParallel(Classifier()), nn.Linear(3, 3)
    passes = {"connector": {"keys": "student", "network": connector}}
    for network in (student, torch.compile(student, backend="eager")):
        trainer = make_trainer(network, passes, {"label": LABEL}, batches(1))
        assert list(map(id, trainer._outside_ddp())) == list(map(id, connector.parameters()))
        assert trainer._started_by_rank_0() == [connector]


@pytest.mark.parametrize("processes", [1, 2])
def test_the_average_of_processes_that_are_alike_is_the_gradient_of_each(alone, monkeypatch, processes):
    monkeypatch.setattr(dist, "get_world_size", lambda: processes)
    monkeypatch.setattr(dist, "all_reduce", lambda tensor: tensor.mul_(processes))
    network = nn.ModuleList([nn.Linear(3, 2), nn.Linear(3, 2).double(), nn.Linear(3, 2)])
    (network[0](torch.ones(1, 3)).sum() + network[1](torch.ones(1, 3).double()).sum()).backward()
    before = [p.grad.clone() for p in network[:2].parameters()]
    SyncGradients(network.parameters()).average()
    assert all(torch.equal(p.grad, g) for p, g in zip(network[:2].parameters(), before, strict=True))
    assert all(p.grad is None for p in network[2].parameters())  # had none in any process


def test_the_broadcast_covers_parameters_and_buffers_once(alone, monkeypatch):
    sent = []
    monkeypatch.setattr(dist, "broadcast", lambda tensor, src: sent.append((tensor.data_ptr(), src)))
    network = Classifier()
    network.conv.requires_grad_(False)
    SyncGradients(network.head.parameters(), [network]).broadcast()
    assert len(sent) == len(set(sent))
    assert set(sent) == {(t.data_ptr(), 0) for t in (*network.parameters(), *network.buffers())}
