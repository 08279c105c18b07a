# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_kd.losses import KDLoss, Term
from monai_kd.utils import UnknownNameError
from monai_kd.utils.arguments import check_arguments


def test_the_nearest_argument_is_named():
    with pytest.raises(UnknownNameError, match=r"^here: Term has no argument 'wieght'. did you mean 'weight'"):
        check_arguments(Term, ["loss", "wieght"], where="here")


def test_what_it_takes_passes():
    check_arguments(KDLoss, ["temperature"], where="here")
    check_arguments(lambda a, *, b=1: a, ["a", "b"], where="here")


@pytest.mark.parametrize("target", [lambda **kwargs: kwargs, torch.relu, None, 3])
def test_what_takes_anything_or_does_not_tell_passes(target):
    check_arguments(target, ["anything"], where="here")


def test_an_argument_without_a_name_is_none():
    with pytest.raises(UnknownNameError, match="no argument 'a'"):
        check_arguments(eval("lambda a, /: a"), ["a"], where="here")
