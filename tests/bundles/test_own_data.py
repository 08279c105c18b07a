# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Data of one's own that do not fit a bundle's defaults are refused before anything is trained on them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from monai.bundle import ConfigParser
from PIL import Image

from monai_kd.utils import DataError
from tests.bundles.test_model_zoo import DATA, ROOT
from tests.bundles.workflows import cause, making
from tests.faults.make import write_dicom

PICTURES = sorted(set(DATA) - {"hippocampus_segmentation"})


@pytest.fixture
def parser(tmp_path) -> Iterator[Callable[..., ConfigParser]]:
    """The training of a bundle on its small data, of which `change` changes the list."""

    def make(bundle: str, change: Callable[[dict, Path], None], **given: Any) -> ConfigParser:
        folder = Path(DATA[bundle](tmp_path / "data"))
        content = json.loads((folder / "dataset.json").read_text())
        change(content, folder)
        (folder / "dataset.json").write_text(json.dumps(content))
        configs = ROOT / "bundles" / bundle / "configs"
        made.append(making(configs, str(folder), tmp_path, cache_rate=0.0, **given))
        return next(made[-1])("train_alone.yaml").parser

    made: list[Iterator] = []
    yield make
    for one in made:
        next(one, None)


def refused(parser: ConfigParser, key: str = "train_items") -> str:
    with pytest.raises(RuntimeError) as caught:
        parser.get_parsed_content(key)
    return cause(caught.value, DataError)


@pytest.mark.parametrize("key", ["train_items", "val_items"])
@pytest.mark.parametrize("bundle", sorted(DATA))
def test_fewer_classes_than_the_bundle_has_are_told(parser, bundle, key):
    def fewer(content: dict, folder: Path) -> None:
        content["labels"].popitem()

    told = refused(made := parser(bundle, fewer), key)
    number = made.get_parsed_content("num_classes")
    assert f"labels: names {number - 1} classes, num_classes is {number}. give --num_classes {number - 1} " in told


@pytest.mark.parametrize("bundle", PICTURES)
def test_pictures_of_16_bits_are_told(parser, bundle):
    def deeper(content: dict, folder: Path) -> None:
        Image.fromarray(np.full((64, 64), 4095, np.uint16)).save(folder / "deep.png")
        content["training"] = [{**content["training"][0], "image": "deep.png"}]

    told = refused(parser(bundle, deeper, in_channels=1))
    assert "training[0], deep.png: 'image' has 16 bits a channel, expected 8. save all pictures with 8 bits" in told


def of_12_bits(content: dict, folder: Path) -> None:
    tags = {"BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0, "RescaleIntercept": 0}
    write_dicom(folder / "a.dcm", np.full((30, 30), 4095, np.int16), **tags)
    content["training"] = [{"image": "a.dcm", "label": 1}]


def test_x_rays_of_12_bits_are_told(parser):
    told = refused(parser("chest_xray_classification", of_12_bits))
    assert "training[0], a.dcm: 'image' has values 0 to 4095, expected 0 to 255. save all pictures with 8 bits" in told


def test_a_scale_of_ones_own_takes_x_rays_of_12_bits(parser):
    scale = {"channels": None, "loading::1::a_max": 4095}
    made = parser("chest_xray_classification", of_12_bits, **scale)
    (item,) = made.get_parsed_content("train_items")
    assert made.get_parsed_content("validate::preprocessing")(item)["image"].max() == 1
