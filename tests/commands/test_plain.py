# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest

from monai_kd.commands.plain import foreign, strings


@pytest.mark.parametrize(
    "config",
    [
        {"net": {"_target_": "UNet", "channels": [1, 2]}},
        {"net": [{"_target_": "monai.networks.nets.UNet"}, {"_target_": "torch.nn.Linear"}]},
        {"imports": ["$import glob", "$from pathlib import Path", "$import numpy as np"], "x": "$glob.glob('*')"},
        {"text": "monai kd and timm in words", "x": "$@net.to(@device)"},
    ],
)
def test_monai_and_torch_are_plain(config):
    assert foreign(config) == []


@pytest.mark.parametrize(
    "config",
    [
        {"net": {"_target_": "monai_kd.networks.MobileNetV2"}},
        {"net": {"_target_": "MobileNetV2"}},  # MONAI finds it by this name, but only where monai_kd is imported
        {"net": {"_target_": "scripts.nets.Mine"}},
        {"net": {"_target_": "NoSuchClass"}},
        {"imports": ["$import scripts"]},
        {"imports": ["$from timm import create_model"]},
        {"imports": ["$import monai_kd as m"]},
        {"net": "$__import__('monai_kd').networks"},
    ],
)
def test_others_are_found(config):
    assert len(foreign(config)) == 1


def test_every_string_has_its_key():
    assert list(strings({"a": ["x", {"b": "y"}], "c": 1})) == [("a::0", "x"), ("a::1::b", "y")]
