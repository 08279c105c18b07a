# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""One round of MONAI's federated client on a bundle."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems
from monai.fl.utils.exchange_object import ExchangeObject


def one_round(
    configs: Path, root: Path, network: torch.nn.Module, overrides: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Train and evaluate for one round, from the weights of `network`; return the weights and the metrics sent.

    Args:
        configs: folder of the bundle's configurations.
        root: a folder of the test's own, which becomes the bundle's root.
        network: a student.
        overrides: written into train.yaml.
    """
    shutil.copytree(configs, root / "configs")
    config = ConfigParser.load_config_file(configs / "train.yaml")
    ConfigParser.export_config_file(config | overrides, root / "configs" / "train.yaml")
    client = MonaiAlgo(
        bundle_root=str(root),
        local_epochs=1,
        send_weight_diff=False,
        config_train_filename="configs/train.yaml",
        config_evaluate_filename=["configs/train.yaml", "configs/evaluate.yaml"],
    )
    client.initialize(extra={ExtraItems.CLIENT_NAME: "clinic"})
    weights = {k: v.numpy() for k, v in network.state_dict().items()}
    client.train(ExchangeObject(weights=weights), extra={})
    sent = client.get_weights(extra={}).weights
    return sent, client.evaluate(ExchangeObject(weights=weights), extra={}).metrics
