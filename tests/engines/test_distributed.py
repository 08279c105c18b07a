# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Two gloo processes on half the batch each do what one process does on the joined batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import monai_kd
from monai_kd.engines import DistillationTrainer
from monai_kd.handlers import EMA
from monai_kd.inferers import DistillationInferer
from monai_kd.losses import CRDLoss, Objective, SampleRelationLoss
from monai_kd.networks import MemoryBank, PooledConnector, Teacher
from tests.ranks import result, run_on_two_ranks

CASES = ("connector", "peer", "relation", "views", "unwrapped", "crd")


class Bank(MemoryBank):
    """Its negatives follow from the sample, not from a generator, of which each process has its own."""

    def choose(self, index: Tensor) -> Tensor:
        return (index.unsqueeze(1) + torch.arange(self.negatives + 1)) % self.num_samples


def network(width: int) -> nn.Module:
    """No BatchNorm: its statistics are per process, as everywhere."""
    return nn.Sequential(
        nn.Conv2d(1, width, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * width, 3)
    )


def batches() -> list[dict[str, Tensor]]:
    """Four batches of 8; the halves have unequal numbers of labels, one half none at all."""
    generator = torch.Generator().manual_seed(5)
    labeled = [[1, 1, 1, 0, 1, 0, 0, 0], [0, 0, 0, 0, 1, 1, 0, 1], [1] * 8, [1, 0, 1, 0, 0, 0, 0, 0]]
    return [
        {
            "image": torch.randn(8, 1, 6, 6, generator=generator),
            "image_2": torch.randn(8, 1, 6, 6, generator=generator),
            "label": torch.randint(0, 3, (8,), generator=generator),
            "labeled": torch.tensor(rows).bool(),
            "index": torch.arange(8) + 4 * (i % 2),
        }
        for i, rows in enumerate(labeled)
    ]


def train(case: str, rank: int | None) -> dict[str, Tensor]:
    """Train on everything, or on this rank's half of each batch, from weights that differ between ranks."""
    torch.manual_seed(3)
    student, teacher, peer, connector = network(2), network(4), network(2), nn.Conv2d(2, 4, 1)
    torch.manual_seed(rank or 0)
    embedding, teacher_embedding = (PooledConnector(c, 3, normalize=True) for c in (2, 4))
    bank = Bank(12, features=3, negatives=5)
    if rank:  # rank 0's weights must win
        for wrong in (peer, connector, *([student] if case == "unwrapped" else [])):
            nn.init.constant_(next(wrong.parameters()), 7.0)
    parts = {
        "student": {"keys": "image", "taps": {"feature": "1"}},
        "teacher": {"keys": "image", "network": Teacher(teacher), "taps": {"feature": "1"}},
        "connector": {"keys": "student.feature", "network": connector},
        "peer": {"keys": "image_2", "network": peer},
        "again": {"keys": "image_2"},
        "embedding": {"keys": "student.feature", "network": embedding},
        "teacher_embedding": {"keys": "teacher.feature", "network": teacher_embedding},
        "bank": {"keys": ["embedding", "teacher_embedding", "index"], "network": bank},
    }
    label = {"loss": nn.CrossEntropyLoss(), "inputs": ["student", "label"], "where": "labeled"}
    terms = {"label": label, "hint": {"loss": nn.MSELoss(), "inputs": ["connector", "teacher.feature"]}}
    if case == "peer":
        terms["peer"] = {**label, "inputs": ["peer", "label"]}
    if case == "relation":
        relation = {"loss": SampleRelationLoss(), "inputs": ["student.feature", "teacher.feature"], "weight": 10}
        terms |= {"relation": relation, "labeled_relation": {**relation, "where": "labeled"}}
    if case == "views":
        terms["again"] = {"loss": nn.MSELoss(), "inputs": ["again", "teacher"]}
    if case == "crd":
        terms["crd"] = {"loss": CRDLoss(), "inputs": ["bank.input", "bank.target"]}
        terms["alike"] = {"loss": nn.MSELoss(), "inputs": ["embedding", "teacher_embedding"]}
    used = {name.split(".")[0] for term in terms.values() for name in term["inputs"]}
    inferer = DistillationInferer({name: part for name, part in parts.items() if name in used})
    average = Teacher.copy_of(student)
    wrapped = student if rank is None or case == "unwrapped" else DistributedDataParallel(student)
    half = slice(None) if rank is None else slice(4 * rank, 4 * rank + 4)
    trainer = DistillationTrainer(
        device="cpu",
        max_epochs=2,
        train_data_loader=[{k: v[half] for k, v in batch.items()} for batch in batches()],
        network=wrapped,
        optimizer=torch.optim.SGD(monai_kd.trainable(wrapped, inferer), lr=0.3, momentum=0.9),
        loss_function=Objective(terms),
        inferer=inferer,
        train_handlers=[EMA(average, wrapped, momentum=0.8)],
        accumulation_steps=2 if case == "views" else 1,
    )
    trainer.run()
    networks = {"student": student, "average": average.network, "peer": peer, "connector": connector}
    networks |= {"embedding": embedding, "bank": bank} if case == "crd" else {}
    return {f"{name}.{k}": v for name, net in networks.items() for k, v in net.state_dict().items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ranks")
    run_on_two_ranks(train, CASES, folder)
    return folder


@pytest.mark.parametrize("case", CASES)
def test_two_processes_equal_one(case: str, folder: Path) -> None:
    alone = train(case, None)
    ranks = result(folder, case)
    for key, value in alone.items():
        if key.startswith("peer") and case != "peer":
            continue  # not part of this run
        for state in ranks:
            torch.testing.assert_close(state[key], value, rtol=1e-5, atol=2e-6, msg=lambda m, k=key: f"{k}: {m}")
