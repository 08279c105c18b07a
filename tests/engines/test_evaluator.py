# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch
from ignite.metrics import Accuracy
from monai.data import MetaTensor
from monai.engines import SupervisedEvaluator
from monai.inferers import SimpleInferer
from monai.transforms import Activationsd
from torch import nn

from monai_kd.engines import DistillationEvaluator
from monai_kd.inferers import DistillationInferer
from monai_kd.utils import ConfigError, UnknownLayerError, UnknownNameError
from tests.nets import Classifier, batches


@pytest.fixture
def data() -> list[dict]:
    return batches(2)


def make(network: nn.Module, data: list[dict], passes: dict, **given) -> DistillationEvaluator:
    return DistillationEvaluator("cpu", data, network, inferer=DistillationInferer(passes), **given)


def test_scores_as_monais_evaluator_does(data):
    network, metric = Classifier(), Accuracy(lambda output: (output["pred"], output["label"]))
    theirs = SupervisedEvaluator("cpu", data, network, key_val_metric={"a": metric}, decollate=False)
    ours = make(network, data, {"student": {}}, key_val_metric={"a": metric})
    for engine in (theirs, ours):
        engine.run()
    assert ours.state.metrics == theirs.state.metrics
    assert ours.state.output.keys() == theirs.state.output.keys()
    assert all(value.equal(theirs.state.output[key]) for key, value in ours.state.output.items())
    assert ours.state.knowledge == {}


def test_other_networks_are_tested_in_eval_mode_and_left_as_they_were(data):
    network, peer = Classifier().train(), nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5), nn.BatchNorm1d(3)).train()
    metric = Accuracy(lambda output: (output["peer_pred"], output["label"]))
    passes = {"student": {}, "peer": {"keys": "student", "network": peer}}
    engine = make(network, data, passes, publish={"peer_pred": "peer"}, key_val_metric={"peer": metric})
    engine.run()
    assert network.training and all(layer.training for layer in peer.modules())
    assert peer[2].num_batches_tracked == 0
    right = []
    with torch.no_grad():
        for batch in data:
            right += (peer.eval()(network.eval()(batch["image"])).argmax(1) == batch["label"]).tolist()
    assert engine.state.metrics["peer"] == pytest.approx(sum(right) / len(right))


def test_only_what_is_asked_for_runs_and_it_may_be_a_key_of_the_batch(data):
    def never(x: torch.Tensor) -> None:
        raise AssertionError

    unused = nn.Identity()
    unused.forward = never
    data = [{**batch, "image": MetaTensor(batch["image"]), "weight": torch.ones(4)} for batch in data]
    engine = make(Classifier(), data, {"student": {}, "x": {"network": unused}}, publish={"w": "weight"})
    engine.run()
    assert engine.state.output["w"].equal(torch.ones(4)) and type(engine.state.output["image"]) is torch.Tensor
    assert "x" not in engine.state.output


def test_postprocessing_sees_what_is_published(data):
    post = Activationsd(keys=["pred", "peer"], softmax=True)
    passes = {"student": {}, "peer": {"keys": "student", "network": nn.Identity()}}
    engine = make(Classifier(), data, passes, publish={"peer": "peer"}, postprocessing=post)
    engine.run()
    for output in engine.state.output:  # decollated
        assert output["pred"].equal(output["peer"]) and output["peer"].sum() == pytest.approx(1)


def test_what_is_wrong_is_named(data):
    with pytest.raises(ConfigError, match="must be a DistillationInferer, got SimpleInferer"):
        DistillationEvaluator("cpu", data, Classifier(), inferer=SimpleInferer())
    with pytest.raises(UnknownNameError, match="no pass 'teacher'"):
        make(Classifier(), data, {"student": {}}, publish={"x": "teacher.logits"}).run()
    with pytest.raises(UnknownNameError, match="no 'weight'"):
        make(Classifier(), data, {"student": {}}, publish={"x": "weight"}).run()
    with pytest.raises(UnknownLayerError):
        make(Classifier(), data, {"student": {"taps": {"f": "nowhere"}}}).run()
