# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""K2: a recipe of several stages that breaks in its last one goes on there, and ends where it would have ended."""

from __future__ import annotations

import pytest
from ignite.engine import Events

from monai_kd.recipes import load_recipe
from tests.bundles.workflows import run

VALUES = {
    "rskd": {"subsets": {"many": [0, 1], "medium": [0, 2], "few": [1, 2]}},
    "marini_ssl": {"annotation::threshold": 0.0},
}


class Broken(Exception):
    pass


def fail(engine) -> None:
    raise Broken


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ssd_kd", "rskd", "more_from_less", "marini_ssl"])
def test_a_broken_stage_goes_on_where_it_was(make, teacher, tmp_path, name):
    def made(folder, **more):
        where = {"output_dir": str(tmp_path / folder), "checkpoint": str(tmp_path / folder / "model.pt")}
        settings = {"max_epochs": 2, "save_interval": 1, "labeled_fraction": 0.5, **VALUES.get(name, {}), **where}
        workflow = make(load_recipe(name).path, **settings, **more)
        return workflow, workflow.parser.get_parsed_content("train::trainer")  # the order of parsing is that of drawing

    def network(workflow):
        return run(workflow).parser.get_parsed_content("network").state_dict()

    whole = network(made("whole")[0])
    cut, trainer = made("cut")
    trainer.add_event_handler(Events.EPOCH_STARTED(once=trainer.state.max_epochs), fail)
    with pytest.raises(RuntimeError) as error:
        cut.run()
    assert isinstance(error.value.__cause__, Broken)
    going_on, trainer = made("cut", resume=True)
    rest = network(going_on)
    assert trainer.state.epoch == trainer.state.max_epochs
    assert all(value.equal(rest[key]) for key, value in whole.items())
