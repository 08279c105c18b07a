# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""What is true of the transforms for any image, searched for images of which it is not."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from monai_kd.transforms import (
    BettiCurve,
    DenseLabeld,
    Pyramid,
    RandStainJitter,
    RotationStack,
    StainSeparation,
    TissueMask,
)
from monai_kd.utils import DataError


@st.composite
def images(draw: st.DrawFn, channels: int | None = None, dims: int | None = None, square: bool = False) -> Tensor:
    """Values in 0 to 1, [C, *spatial]; some of them exactly 0 or 1, or all alike."""
    n = dims or draw(st.integers(2, 3))
    sides = [draw(st.integers(1, 6)) for _ in range(n)]
    if square:
        sides[1] = sides[0]
    shape = [channels or draw(st.integers(1, 3)), *sides]
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    values = torch.rand(shape, generator=generator)
    kind = draw(st.sampled_from(["spread", "ends", "alike"]))
    return {"spread": values, "ends": values.round(), "alike": torch.full(shape, float(values.flatten()[0]))}[kind]


@given(image=images(square=True))
def test_turning_on_is_the_next_view(image):
    views = RotationStack()(image)
    assert views[0].equal(image)
    for view, following in zip(views, [*views[1:], views[0]], strict=True):
        assert RotationStack()(view)[1].equal(following)


@given(image=images(), factor=st.integers(1, 4))
def test_whole_blocks_keep_the_mean(image, factor):
    sides = [side - side % factor for side in image.shape[1:]]
    assume(all(sides))
    (view,) = Pyramid((factor,))(image)
    part = image[(slice(None), *(slice(0, side) for side in sides))]
    assert view.shape[1:] == tuple(side // factor for side in sides)
    torch.testing.assert_close(view.mean(), part.mean(), atol=1e-5, rtol=1e-5)


@given(image=images(channels=3, dims=2), stain_set=st.sampled_from(["he", "hed", "hdx"]))
def test_amounts_of_stain_are_numbers_from_zero_on(image, stain_set):
    amount = StainSeparation("hematoxylin", stain_set)(image)
    assert amount.shape == (1, *image.shape[1:]) and torch.isfinite(amount).all() and (amount >= 0).all()


@given(image=images(channels=3, dims=2), seed=st.integers(0, 99))
def test_another_laboratory_makes_colours_too(image, seed):
    jitter = RandStainJitter(prob=1.0).set_random_state(seed=seed)
    found = jitter(image)
    assert found.shape == image.shape and torch.isfinite(found).all() and 0 <= found.min() <= found.max() <= 1


@given(image=images(channels=3, dims=2), measure=st.sampled_from(["density", "saturation"]))
def test_a_picture_of_one_value_has_no_tissue(image, measure):
    mask = TissueMask(measure)(image)
    assert mask.shape == (1, *image.shape[1:]) and mask.dtype == torch.bool
    if bool((image == image.flatten(1)[:, 0, None, None]).all()):
        assert not mask.any()


@given(image=images(), axis=st.integers(0, 1), bins=st.integers(1, 8))
def test_a_flip_or_a_turn_changes_no_topology(image, axis, bins):
    pytest.importorskip("gudhi")
    curve = BettiCurve(bins)(image)
    assert (curve >= 0).all() and curve.equal(curve.round())
    assert curve.equal(BettiCurve(bins)(image.flip(axis + 1)))
    assert curve.equal(BettiCurve(bins)(image.transpose(1, 2)))


@given(
    image=images(channels=1),
    values=st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0, 0.5, -1.0, float("nan")]), min_size=1),
)
def test_a_label_map_is_learnt_from_or_refused(image, values):
    label = torch.tensor(values).repeat(image.numel())[: image.numel()].reshape(image.shape)
    fit, good = DenseLabeld("label", num_classes=3), set(label.flatten().tolist()) <= {0.0, 1.0, 2.0}
    if good:
        assert fit({"image": image, "label": label})["label"].equal(label.long())
    else:
        with pytest.raises(DataError):
            fit({"image": image, "label": label})
