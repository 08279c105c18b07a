# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""A named vector of each item, such as attributes of the lesion, reaches the batches of every classification bundle."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from monai_kd.data import read_dataset
from tests.bundles.test_model_zoo import DATA, ROOT
from tests.bundles.workflows import making

BUNDLES = sorted(name for name in DATA if name.endswith("classification"))


@pytest.fixture(params=BUNDLES)
def parser(request, tmp_path) -> Iterator[ConfigParser]:
    """A bundle's training, on its data with four attributes of each training item."""
    folder = DATA[request.param](tmp_path / "data")
    path = Path(folder, "dataset.json")
    content = json.loads(path.read_text())
    for number, item in enumerate(content["training"]):
        item["attributes"] = np.random.RandomState(number).rand(4).tolist()
    path.write_text(json.dumps(content))
    over = {"vectors::attributes": 4, "cache_rate": 0.0, "batch_size": 6}
    for make in making(ROOT / "bundles" / request.param / "configs", folder, tmp_path, **over):
        yield make().parser


def test_attributes_reach_the_batch_as_they_are_told(parser):
    batch = next(iter(parser.get_parsed_content("train::dataloader")))
    listed = read_dataset(parser.get_parsed_content("dataset_dir"))["training"]
    told = torch.tensor([listed[i]["attributes"] for i in batch["index"].tolist()])
    assert batch["attributes"].equal(told) and batch["attributes"].shape == (6, 4)
    assert batch["attributes"].dtype == torch.float32 and type(batch["attributes"]) is torch.Tensor
    judged = next(iter(parser.get_parsed_content("validate::dataloader")))
    assert "attributes" not in judged and "attributes" not in parser.get_parsed_content("modalities")
