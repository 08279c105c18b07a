# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import monai.transforms
import pytest
from monai.bundle import ConfigParser

import monai_kd.transforms
from monai_kd.utils import ConfigError
from monai_kd.utils.preprocessing import KIND, differences, read_preprocessing

CHAIN = [
    {"_target_": "LoadImaged", "keys": ["image", "label"]},
    {"_target_": "Orientationd", "keys": ["image", "label"], "axcodes": "RAS"},
    {"_target_": "Spacingd", "keys": ["image", "label"], "pixdim": [1.5, 1.5, 2.0], "mode": ["bilinear", "nearest"]},
    {"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": -57, "a_max": 164, "b_min": 0, "b_max": 1},
    {"_target_": "Resized", "keys": "image", "spatial_size": "@size"},
    {"_target_": "Resized", "keys": "label", "spatial_size": [1, 1, 1]},
]


def read(chain, **config):
    parser = ConfigParser({"size": [8, 8, 8], "preprocessing": {"_target_": "Compose", "transforms": chain}, **config})
    return read_preprocessing(parser)


def changed(number: int, **arguments) -> list[dict]:
    return [{**step, **arguments} if i == number else step for i, step in enumerate(CHAIN)]


def test_every_name_is_a_transform_of_monai():
    assert [name for name in KIND if not hasattr(monai.transforms, f"{name}d")] == ["Pyramid"]
    assert hasattr(monai_kd.transforms, "Pyramidd")


def test_the_same_told_in_other_words_is_no_difference():
    others = changed(2, keys="image", mode="bilinear", pixdim="$(1.5, 1.5, 2.0)", padding_mode="border")
    others[3] = {**others[3], "_target_": "monai.transforms.ScaleIntensityRangeD", "clip": False, "dtype": "$object()"}
    others[0] = {"_target_": "Compose", "transforms": [CHAIN[0]]}
    others.insert(1, {"_target_": "Zoomd", "keys": "image", "zoom": 2, "_disabled_": True})
    assert differences(read(CHAIN), read(others, size="$[8] * 3")) == []


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        (changed(1, axcodes="LPS"), "orientation: axcodes of Orientation is 'RAS' for the student, 'LPS' for the"),
        (changed(2, pixdim=[1, 1, 1]), "spacing: pixdim of Spacing is [1.5, 1.5, 2.0] for the student, [1, 1, 1] for"),
        (changed(2, mode="nearest"), "spacing: mode of Spacing is 'bilinear' for the student, 'nearest' for the"),
        (changed(3, a_min=-1000), "intensity: a_min of ScaleIntensityRange is -57 for the student, -1000 for the"),
        (changed(3, clip=True), "intensity: clip of ScaleIntensityRange is False for the student, True for the"),
        (changed(4, spatial_size=[4, 4, 4]), "size: spatial_size of Resize is [8, 8, 8] for the student, [4, 4, 4]"),
        (CHAIN[:4], "size: Resize(spatial_size=[8, 8, 8]) for the student, nothing for the teacher"),
        (
            [*CHAIN[:3], {"_target_": "NormalizeIntensityd", "keys": "image", "nonzero": True}, CHAIN[4]],
            "intensity: ScaleIntensityRange(a_min=-57, a_max=164, b_min=0, b_max=1) for the student, "
            "NormalizeIntensity(nonzero=True) for the teacher",
        ),
    ],
)
def test_each_difference_is_named(teacher, message):
    (line,) = differences(read(CHAIN), read(teacher))
    assert line.startswith(message)


def test_validation_of_a_training_and_lists_by_reference():
    config = {"loading": CHAIN, "size": [8, 8, 8], "validate": {"preprocessing": {"transforms": "@loading"}}}
    assert differences(read_preprocessing(ConfigParser(config)), read(CHAIN)) == []


def test_a_sum_of_lists_is_read():
    last = {"_target_": "Lambdad", "keys": "label", "func": "$len"}
    config = {
        "size": [8, 8, 8],
        "first": CHAIN[:2],
        "rest": CHAIN[2:],
        "last": last,
        "preprocessing": "$@first + @rest + [@last]",
    }
    assert differences(read_preprocessing(ConfigParser(config)), read(CHAIN)) == []


def test_what_needs_the_data_is_compared_as_written():
    needy = changed(4, spatial_size="$@dataset.size()")
    assert differences(read(needy), read(needy)) == []
    (line,) = differences(read(needy), read(CHAIN))
    assert "'$@dataset.size()' for the student" in line
    assert differences(read(needy), read(CHAIN), as_written=False) == []


def test_a_lower_magnification_is_a_size():
    lower = {"_target_": "monai_kd.transforms.Pyramidd", "keys": "image", "factors": 2, "names": "image"}
    (line,) = differences(read([*CHAIN, lower]), read(CHAIN), names=("one", "the other"))
    assert line.startswith("size: Resize(") and "Pyramid(factors=2, names='image') for one, Resize(" in line
    beside = {**lower, "factors": [2, 4], "names": ["half", "quarter"]}
    assert differences(read([*CHAIN, beside]), read(CHAIN)) == []


def test_what_cannot_be_read_is_named():
    with pytest.raises(ConfigError, match="no validate::preprocessing and no preprocessing"):
        read_preprocessing(ConfigParser({"network": 1}))
    with pytest.raises(ConfigError, match="preprocessing::transforms: is no list of transforms"):
        read("$reversed(@a)")
