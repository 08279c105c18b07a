# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""MONAI's federated client drives a distillation bundle, and exchanges the student alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems
from monai.fl.utils.exchange_object import ExchangeObject
from monai.networks.nets import FullyConnectedNet
from monai.networks.utils import get_state_dict

NETWORK = {"_target_": "FullyConnectedNet", "in_channels": 4, "out_channels": 2, "hidden_channels": [3]}
CONFIG = {
    "imports": ["$import torch", "$import monai_kd"],
    "bundle_root": ".",
    "device": "cpu",
    "dataset_dir": "",
    "network_def": NETWORK,
    "network": "@network_def",
    "teacher": {"_target_": "monai_kd.networks.Teacher", "network": {**NETWORK, "hidden_channels": [8]}},
    "average": {"_target_": "monai_kd.networks.Teacher.copy_of", "student": "@network"},
    "passes": {
        "student": {"keys": "image"},
        "teacher": {"keys": "image", "network": "@teacher"},
        "average": {"keys": "image", "network": "@average"},
        "connector": {
            "keys": "student",
            "network": {"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 2},
        },
    },
    "terms": {
        "logits": {"loss": {"_target_": "torch.nn.MSELoss"}, "inputs": ["connector", "teacher"]},
        "consistency": {"loss": {"_target_": "torch.nn.MSELoss"}, "inputs": ["student", "average"]},
    },
    "optimizer": {
        "_target_": "torch.optim.SGD",
        "params": "$monai_kd.trainable(@network, @train::inferer)",
        "lr": 0.1,
    },
    "train": {
        "inferer": {"_target_": "monai_kd.inferers.DistillationInferer", "passes": "@passes"},
        "loss": {"_target_": "monai_kd.losses.Objective", "terms": "@terms"},
        "dataset": {"_target_": "Dataset", "data": "$[{'image': torch.full((4,), float(i))} for i in range(6)]"},
        "dataloader": {"_target_": "DataLoader", "dataset": "@train::dataset", "batch_size": 3},
        "trainer": {
            "_target_": "monai_kd.engines.DistillationTrainer",
            "device": "@device",
            "max_epochs": 1,
            "train_data_loader": "@train::dataloader",
            "network": "@network",
            "optimizer": "@optimizer",
            "loss_function": "@train::loss",
            "inferer": "@train::inferer",
            "train_handlers": [{"_target_": "monai_kd.handlers.EMA", "teacher": "@average", "student": "@network"}],
        },
    },
    "run": ["$@train::trainer.run()"],
}


@pytest.fixture
def client(tmp_path: Path) -> MonaiAlgo:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "train.json").write_text(json.dumps(CONFIG))
    client = MonaiAlgo(bundle_root=str(tmp_path), config_evaluate_filename=None, local_epochs=2, send_weight_diff=False)
    client.initialize(extra={ExtraItems.CLIENT_NAME: "clinic"})
    return client


def test_two_rounds_exchange_the_student_alone(client: MonaiAlgo) -> None:
    torch.manual_seed(0)
    plain = FullyConnectedNet(**{k: v for k, v in NETWORK.items() if k != "_target_"})
    weights = {k: v.numpy().copy() for k, v in get_state_dict(plain).items()}
    for epochs in (2, 4):
        client.train(ExchangeObject(weights=weights), extra={})
        sent = client.get_weights().weights
        assert sent.keys() == plain.state_dict().keys()
        assert any(not np.array_equal(sent[k], weights[k]) for k in sent)
        assert client.trainer.state.epoch == epochs
        weights = {k: v.numpy().copy() for k, v in sent.items()}
