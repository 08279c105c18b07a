# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""What a batch holds, and data of one's own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import skimage
import torch

from monai_kd.report import load_runs
from monai_kd.utils import DataError
from tests.bundles.workflows import cause, run


def test_batch_gives_what_recipes_read(make):
    batch = next(iter(make().parser.get_parsed_content("train::dataloader")))
    assert {k: tuple(v.shape) for k, v in batch.items() if k in ("image", "privileged")} == {
        "image": (20, 1, 32, 32),
        "privileged": (20, 3, 32, 32),
    }
    assert batch["label"].dtype == torch.int64 and batch["labeled"].dtype == torch.bool
    assert len(batch["case"]) == len(batch["group"]) == 20 and batch["index"].shape == (20,)
    assert all(type(batch[key]) is torch.Tensor for key in ("image", "privileged"))


def turns(a: torch.Tensor, b: torch.Tensor) -> list[tuple[int, ...]]:
    """By which flip each row of `b` comes closest to that of `a`."""
    flips: list[tuple[int, ...]] = [(), (1,), (2,), (1, 2)]
    errors = torch.stack([(a - b.flip([d + 1 for d in dims])).square().mean((1, 2, 3)) for dims in flips])
    return [flips[i] for i in errors.argmin(0)]


def test_aligned_views_share_geometry_and_differ_in_noise(make):
    loader = make(views=["image", "image_2", "image_3"]).parser.get_parsed_content("train::dataloader")
    batch = next(iter(loader))
    for one, other in (("image", "image_2"), ("image", "image_3"), ("image_2", "image_3")):
        assert set(turns(batch[one], batch[other])) == {()}
        assert not batch[one].equal(batch[other])


def test_other_views_are_flipped_on_their_own(make):
    workflow = make(views=["image", "image_2"], views_aligned=False)
    batch = next(iter(workflow.parser.get_parsed_content("train::dataloader")))
    assert len(set(turns(batch["image"], batch["image_2"]))) == 4


def test_second_modality_is_flipped_with_the_image(make, data):
    """The hematoxylin of a flipped colour patch is the flipped hematoxylin."""
    dataset = make(**{"train::noises": "$[]"}).train_dataset
    for item in [dataset[i] for i in range(6)]:
        colour = item["privileged"].permute(1, 2, 0).numpy()
        stain = np.clip(skimage.color.rgb2hed(colour)[..., 0] / 0.1, 0, 1)
        assert np.corrcoef(stain.ravel(), item["image"][0].numpy().ravel())[0, 1] > 0.99


def own_data(folder: Path, shape: tuple[int, ...], classes: int, **extra) -> Path:
    folder.mkdir()
    items = []
    for i in range(24):
        name = f"{i}.png"
        pixels = np.random.RandomState(i).randint(0, 255, shape).astype(np.uint8)
        skimage.io.imsave(folder / name, pixels, check_contrast=False)
        items.append({"image": name, "label": i % classes, "patient": f"p{i // 2}", "fold": i // 6, **extra})
    content = {"training": items[:18], "test": items[18:]}
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


def test_ones_own_colour_data_without_a_second_modality(make, tmp_path):
    own = {"dataset_dir": str(own_data(tmp_path / "own", (40, 48, 3), 2)), "in_channels": 3, "num_classes": 2}
    own |= {"batch_size": 6, "fold": 1}
    run(make("train_teacher.yaml", **own))
    workflow = run(make(**own))
    assert workflow.trainer.state.iteration == 2
    assert workflow.parser.get_parsed_content("privileged_key") == "image"
    assert len(workflow.train_dataset) == 12
    run(make("evaluate.yaml", **own))
    (one,) = load_runs(tmp_path / "output")
    assert one.probability.shape == (6, 2) and set(one.group) == {"p9", "p10", "p11"} and one.classes == ("0", "1")


@pytest.mark.parametrize(
    ("override", "message"),
    [({"num_classes": 3}, "3 channels.*takes 1"), ({"in_channels": 3, "num_classes": 1}, "label 1.*num_classes 1")],
)
def test_ones_own_data_that_does_not_fit_is_named(make, tmp_path, override, message):
    folder = own_data(tmp_path / "own", (40, 48, 3), 2)
    with pytest.raises(RuntimeError) as caught:
        make("train_alone.yaml", dataset_dir=str(folder), **override).run()
    assert re.search(f"dataset.json, training.*{message}", cause(caught.value, DataError))
