# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""An epoch whose last batch is of one sample, under recipes that normalise vectors over the batch."""

from __future__ import annotations

import pytest

from monai_kd.data import write_ihc_patches
from monai_kd.recipes import load_recipe
from tests.recipes.histology import workflow

SMALL = {"max_epochs": 1, "val_interval": 1, "labeled_fraction": 1.0}
VALUES = {"topo_kd_pcr": {"bins": 8}, "more_from_less": {"projection": 16}, "trident": {"projection": 16}}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    return write_ihc_patches(tmp_path_factory.mktemp("data") / "ihc", stride=64)


@pytest.mark.parametrize("name", ["topo_kd_pcr", "more_from_less", "trident", "gmcd"])
def test_a_last_batch_of_one_is_learnt_from(data, tmp_path, name):
    seventeen = {"train_items": "$@listed_items[:17]", "batch_size": 8}
    made = workflow(tmp_path, data, load_recipe(name).path, **SMALL, **seventeen, **VALUES.get(name, {}))
    sizes = []
    trainer = made.parser.get_parsed_content("train::trainer")
    trainer.add_event_handler("ITERATION_COMPLETED", lambda engine: sizes.append(len(engine.state.batch["label"])))
    made.run()
    made.finalize()
    assert sizes == [8, 8, 1]
    assert (tmp_path / "models" / "model.pt").is_file()
