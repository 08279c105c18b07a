# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""K13: features that do not fit each other are told with both shapes, and what would make them fit."""

from __future__ import annotations

import pytest

from monai_kd.losses import HintLoss
from monai_kd.networks import Connector, Teacher
from monai_kd.utils import ShapeMismatchError
from tests.nets import HINT, Classifier, batches, make_trainer

HINTED = {"loss": HintLoss(), "inputs": ["student.hint", "teacher.hint"]}


def run(spatial_dims, **more):
    wide = Teacher(Classifier(spatial_dims, width=7))
    passes = {"student": {"taps": HINT}, "teacher": {"network": wide, "taps": HINT}, **more}
    terms = {"hint": {**HINTED, "inputs": ["connector" if more else "student.hint", "teacher.hint"]}}
    trainer = make_trainer(Classifier(spatial_dims), passes, terms, batches(1, spatial_dims=spatial_dims))
    trainer.run()
    return trainer.state.output["loss"]


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_both_shapes_and_the_connector_are_told(spatial_dims):
    rest = ", ".join(["6"] * spatial_dims)
    match = rf"student is \(4, 4, {rest}\), teacher \(4, 7, {rest}\).*Connector.*out_channels 7"
    with pytest.raises(ShapeMismatchError, match=match):
        run(spatial_dims)


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_what_is_suggested_works(spatial_dims):
    connector = {"keys": "student.hint", "network": Connector(spatial_dims, 4, 7)}
    assert run(spatial_dims, connector=connector).isfinite()
