# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy

import pytest
from monai.bundle import ConfigParser

from monai_kd.recipes import lay_over
from monai_kd.utils import ConfigError

BASE = {"kd_loss": {"temperature": 4}, "terms": {"kd": {"loss": "@kd_loss", "name": "$str(1)"}}, "stages": [1, 2]}


@pytest.fixture
def parser():
    return ConfigParser(copy.deepcopy(BASE))


def test_layers_lie_over_each_other(parser):
    lay_over(parser, {"terms::kd::weight": 2, "+stages": [3], "+kd_loss": {"reduction": "mean"}}, "x.yaml")
    assert parser["terms"]["kd"]["weight"] == 2
    assert parser["stages"] == [1, 2, 3] and parser["kd_loss"] == {"temperature": 4, "reduction": "mean"}


@pytest.mark.parametrize(
    "key, told",
    [
        ("terms::kd::loss::temperature", "'terms::kd::loss' is '@kd_loss'. set kd_loss::temperature"),
        ("terms#kd#loss#temperature", "'terms::kd::loss' is '@kd_loss'. set kd_loss::temperature"),
        ("terms::kd::loss::0", "'terms::kd::loss' is '@kd_loss'. set kd_loss::0"),
        ("terms::kd::name::x", "'terms::kd::name' is '$str(1)'"),
        ("terms::kdd::weight", "what is below has no kdd; did you mean 'kd'"),
        ("kd_loss::temperature::x", "'kd_loss::temperature' is 4"),
        ("stages::5", "'stages' is a list of 2"),
        ("stages::x", "'stages' is a list of 2"),
        ("+stages", "must be dict or list"),
    ],
)
def test_what_cannot_be_set_says_what_is_there(parser, key, told):
    with pytest.raises(ConfigError) as error:
        lay_over(parser, {key: 1}, "x.yaml")
    assert f"x.yaml: cannot set {key!r}" in str(error.value) and told in str(error.value)


def test_what_is_typed_is_told_as_it_is_typed(parser):
    with pytest.raises(ConfigError, match=r"set --kd_loss::temperature$"):
        lay_over(parser, {"terms::kd::loss::temperature": 2}, "command line")
