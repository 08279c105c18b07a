# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ignite.engine import Engine, Events

from monai_kd.handlers import ScheduleParameter, Weights
from monai_kd.losses import Objective
from monai_kd.utils import ConfigError, UnknownNameError, geometric, linear, ramp_up, step
from tests.nets import LABEL, MIMIC


def run(handler, look, epochs: int = 4) -> list:
    """What `look` sees at every iteration of epochs of two."""
    engine, seen = Engine(lambda *_: None), []
    handler.attach(engine)
    engine.add_event_handler(Events.ITERATION_STARTED, lambda _: seen.append(look()))
    engine.run([0, 0], max_epochs=epochs)
    return seen


def objective() -> Objective:
    return Objective({"label": LABEL, "mimic": {**MIMIC, "weight": 7}})


def test_an_attribute_is_set_at_the_start_of_every_epoch_counted_from_zero():
    loss = SimpleNamespace(temperature=1.0)
    handler = ScheduleParameter(loss, "temperature", linear(2, 8.0, 2.0))
    assert loss.temperature == 1.0
    assert run(handler, lambda: loss.temperature) == [8.0, 8.0, 5.0, 5.0, 2.0, 2.0, 2.0, 2.0]


def test_every_iteration_is_counted_over_all_epochs():
    loss = SimpleNamespace(penalty_weight=1.0)
    handler = ScheduleParameter(loss, "penalty_weight", geometric(4, 1 / 16), every="iteration")
    assert run(handler, lambda: loss.penalty_weight) == [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0, 1.0, 1.0, 1.0]
    with pytest.raises(ValueError, match="iteration"):
        ScheduleParameter(loss, "penalty_weight", geometric(4, 1 / 16), every="iterations")


def test_a_dotted_path_goes_deeper():
    target = objective()
    run(ScheduleParameter(target, "terms.mimic.weight", linear(2, 1.0, 0.0)), lambda: None, epochs=2)
    assert target.term("mimic").weight == 0.5


@pytest.mark.parametrize("attribute", ["temperatur", "loss.temperatur", "los.temperature"])
def test_an_unknown_attribute_is_an_error_that_names_it(attribute):
    target = SimpleNamespace(temperature=1.0, loss=SimpleNamespace(temperature=1.0))
    with pytest.raises(ConfigError, match=f"no attribute '{attribute}'"):
        ScheduleParameter(target, attribute, linear(2))


def test_weights_are_what_the_schedules_say_whatever_they_were():
    target = objective()
    seen = run(Weights(target, {"mimic": ramp_up(3, 2.0)}), lambda: target.term("mimic").weight)
    assert seen[::2] == seen[1::2] == [ramp_up(3, 2.0)(t) for t in range(4)]
    assert target.term("label").weight == 1.0


def test_several_terms_have_their_own_schedules():
    target = objective()
    handler = Weights(target, {"mimic": step(1), "label": linear(4, 4.0, 0.0)})
    seen = run(handler, lambda: (target.term("mimic").weight, target.term("label").weight))
    assert seen[::2] == [(0.0, 4.0), (1.0, 3.0), (1.0, 2.0), (1.0, 1.0)]


def test_a_weight_of_zero_switches_the_term_off():
    target = objective()
    seen = run(Weights(target, {"mimic": step(2)}), lambda: "teacher" in target.needs())
    assert seen == [False] * 4 + [True] * 4


def test_an_unknown_term_is_an_error_that_lists_those_there_are():
    with pytest.raises(UnknownNameError, match=r"no term 'mimik'.*'mimic'.*'label'"):
        Weights(objective(), {"mimik": step(2)})
