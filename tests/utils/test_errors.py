# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pickle

import pytest

from monai_kd.utils import errors
from monai_kd.utils.errors import DistillationError, TapError, UnknownLayerError, suggest

FAMILY = [getattr(errors, name) for name in errors.__all__ if name != "suggest"]


@pytest.mark.parametrize("kind", FAMILY)
def test_every_error_is_a_value_error_of_the_family(kind):
    assert issubclass(kind, DistillationError) and issubclass(kind, ValueError)
    with pytest.raises(DistillationError, match="the place: what happened"):
        raise kind("what happened", where="the place")


def test_says_where_what_why_and_what_to_do():
    error = DistillationError("two answers", where="pass 'student'", why="it is shared", fix="tap another")
    assert str(error) == "pass 'student': two answers. it is shared. tap another"


def test_says_only_what_is_known():
    assert str(DistillationError("no terms")) == "no terms"
    assert str(DistillationError("no terms.", fix="give one.")) == "no terms. give one"


@pytest.mark.parametrize("kind", FAMILY)
def test_survives_pickling_as_between_worker_and_main_process(kind):
    error = pickle.loads(pickle.dumps(kind("what", where="here", why="because", fix="do")))
    assert type(error) is kind and str(error) == "here: what. because. do"


def test_a_place_is_put_before_the_place():
    error = TapError("ran twice", where="tap 'hint'", fix="tap another").at("pass 'student'")
    assert type(error) is TapError
    assert str(error) == "pass 'student', tap 'hint': ran twice. tap another"
    assert str(TapError("ran twice").at("pass 'student'")) == "pass 'student': ran twice"


def test_suggests_the_nearest_name_first():
    text = suggest("layr4", ["conv1", "layer4", "fc"], "layers")
    assert text.startswith("did you mean 'layer4'? layers: 'layer4'")
    assert "'conv1'" in text and "'fc'" in text


def test_suggests_nothing_where_nothing_is_near():
    assert suggest("zzz", ["conv1"], "layers") == "layers: 'conv1'"
    assert suggest("x", [], "layers") == "layers: none"


def test_a_long_list_is_cut_and_says_so():
    text = suggest("x", [f"block{i}" for i in range(25)], "layers", limit=5)
    assert text.count("block") == 5 and text.endswith(" and 20 more")


def test_a_near_name_at_the_end_of_a_long_list_is_shown():
    assert "'target'" in suggest("targt", [*map(str, range(99)), "target"], "layers", limit=3)
    assert "''" not in suggest("x", ["", "a"], "layers")


def test_catching_the_family_catches_the_kind():
    with pytest.raises(UnknownLayerError) as caught:
        raise UnknownLayerError("no layer 'x'", where="Net", fix="layers: 'y'")
    assert (caught.value.what, caught.value.where, caught.value.fix) == ("no layer 'x'", "Net", "layers: 'y'")
