# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import SlidingWindowInferer
from torch import nn

from monai_kd.inferers.taps import Taps, entries
from monai_kd.utils import TapError, UnknownLayerError
from tests.nets import Classifier, Counter, hooks, images

A, B, C = torch.ones(2, 3), torch.zeros(2, 3), torch.full((2, 3), 2.0)


class Shared(nn.Module):
    """Runs one layer twice."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(1, 1, 1)

    def forward(self, x):
        return self.layer(self.layer(x))


class Breaking(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 1)

    def forward(self, x):
        self.conv(x)
        raise ArithmeticError("inside the network")


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        (A, {"p": A}),
        ((A, B), {"p": A, "p.0": A, "p.1": B}),
        ([A, B, C], {"p": A, "p.0": A, "p.1": B, "p.2": C}),
        ({"main": A, "aux": B}, {"p.main": A, "p.aux": B}),
        ((A, [B, C]), {"p": A, "p.0": A, "p.1": B, "p.1.0": B, "p.1.1": C}),
        ({"main": A, "aux": [B, C]}, {"p.main": A, "p.aux": B, "p.aux.0": B, "p.aux.1": C}),
        ((None, A), {"p.1": A}),
        (None, {}),
        ((A, "text", 3), {"p": A, "p.0": A}),
    ],
)
def test_every_tensor_of_an_answer_has_a_name(answer, names):
    found = entries("p", answer)
    assert found.keys() == names.keys()
    assert all(found[name] is names[name] for name in names)


def test_metadata_is_stripped_wherever_it_is():
    meta = MetaTensor(A, meta={"spacing": 1})
    for found in (entries("p", meta), entries("p", [meta, (meta, meta)]), entries("p", {"a": meta})):
        assert {type(tensor) for tensor in found.values()} == {torch.Tensor}


@pytest.mark.parametrize("spatial", [(5, 5), (3, 4, 5)])
def test_a_stack_of_heads_is_taken_apart(spatial):
    stack = torch.randn(2, 3, 4, *spatial)
    found = entries("p", stack, image_dims=2 + len(spatial))
    assert list(found) == ["p.0", "p.1", "p.2", "p"]
    assert torch.equal(found["p"], stack[:, 0]) and torch.equal(found["p.2"], stack[:, 2])


@pytest.mark.parametrize(("shape", "image_dims"), [((2, 3), 5), ((2, 4, 5, 5), 4), ((2, 3), 2), ((2, 3, 4), 2)])
def test_what_is_no_stack_stays_whole(shape, image_dims):
    assert list(entries("p", torch.randn(shape), image_dims)) == ["p"]


def test_notes_what_the_layers_gave():
    network, x = Classifier(), images()
    with Taps(network, {"low": "conv", "high": "act"}) as note:
        network(x)
    assert torch.equal(note.noted["low"], network.conv(x))
    assert torch.equal(note.noted["high"], network.norm(note.noted["low"]).tanh())


def test_notes_in_inference_mode():
    network, x = Classifier(), images()
    with torch.inference_mode(), Taps(network, {"low": "conv"}) as note:
        network(x)
    assert torch.equal(note.noted["low"], network.conv(x))


def test_two_names_for_one_layer():
    network = Classifier()
    with Taps(network, {"a": "act", "b": "act"}) as note:
        network(images())
    assert note.noted["a"] is note.noted["b"]


def test_gradients_flow_through_a_tap():
    network = Classifier()
    with Taps(network, {"high": "act"}) as note:
        network(images())
    note.noted["high"].sum().backward()
    assert network.conv.weight.grad is not None and network.head.weight.grad is None


def test_no_hook_is_left():
    network = Classifier()
    with Taps(network, {"low": "conv", "high": "act"}):
        assert hooks(network) == 2
        network(images())
    assert hooks(network) == 0


def test_no_hook_is_left_after_an_exception_which_comes_through():
    network = Breaking()
    with pytest.raises(ArithmeticError, match="inside the network"), Taps(network, {"low": "conv"}):
        network(images())
    assert hooks(network) == 0


def test_no_hook_is_left_where_one_layer_is_unknown():
    network = Classifier()
    with pytest.raises(UnknownLayerError, match="'act'"), Taps(network, {"low": "conv", "high": "atc"}):
        pass
    assert hooks(network) == 0


def test_hooks_of_others_stay():
    network = Classifier()
    network.act.register_forward_hook(lambda *_: None)
    with Taps(network, {"high": "act"}):
        network(images())
    assert hooks(network) == 1


def test_a_layer_that_runs_twice_is_an_error_that_names_it():
    network = Shared()
    with pytest.raises(TapError, match=r"tap 'hint' on 'layer'.*twice"), Taps(network, {"hint": "layer"}):
        network(images())
    assert hooks(network) == 0


def test_a_network_that_runs_window_by_window_is_an_error():
    network = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1))
    windows = SlidingWindowInferer(roi_size=4, sw_batch_size=1)
    with pytest.raises(TapError, match=r"on '0'.*window by window"), Taps(network, {"hint": "0"}):
        windows(images(size=8), network)


@pytest.mark.parametrize("inplace", [nn.ReLU(inplace=True), nn.LeakyReLU(inplace=True), nn.Dropout(inplace=True)])
@pytest.mark.parametrize("grad", [True, False])
def test_an_output_overwritten_in_place_is_an_error_that_names_it(inplace, grad):
    network = nn.Sequential(nn.BatchNorm2d(1), inplace, nn.Conv2d(1, 1, 1))
    with torch.set_grad_enabled(grad), pytest.raises(TapError, match=r"tap 'hint' on '0'.*in place"):
        with Taps(network, {"hint": "0"}):
            network(images())


def test_an_entry_of_an_output_overwritten_in_place_is_an_error():
    class Pair(nn.Module):
        def forward(self, x):
            return x + 1, x + 2

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.pair = Pair()

        def forward(self, x):
            first, second = self.pair(x)
            return first + second.mul_(2)

    network = Network()
    with pytest.raises(TapError, match="'pair'"), Taps(network, {"hint": "pair"}):
        network(images())


def test_the_in_place_layer_itself_may_be_tapped():
    network = nn.Sequential(nn.BatchNorm2d(1), nn.ReLU(inplace=True), nn.Conv2d(1, 1, 1))
    with Taps(network, {"hint": "1"}) as note:
        network(images())
    assert (note.noted["hint"] >= 0).all()


def test_a_meta_tensor_overwritten_in_place_is_an_error():
    network = nn.Sequential(nn.AvgPool2d(1), nn.ReLU(inplace=True))
    with pytest.raises(TapError, match="in place"), Taps(network, {"hint": "0"}):
        network(MetaTensor(images()))


def test_a_meta_tensor_that_is_left_alone_is_no_error():
    network = nn.Sequential(nn.AvgPool2d(1), nn.ReLU())
    with Taps(network, {"hint": "0"}) as note:
        network(MetaTensor(images()))
    assert isinstance(note.noted["hint"], MetaTensor)


def test_a_layer_that_did_not_run_is_an_error_that_names_it():
    network = nn.ModuleDict({"used": nn.Conv2d(1, 1, 1), "idle": nn.Conv2d(1, 1, 1)})
    with pytest.raises(TapError, match=r"tap 'hint' on 'idle'.*did not run"), Taps(network, {"hint": "idle"}):
        network["used"](images())


def test_stops_once_every_tap_is_noted():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), Counter(), nn.Conv2d(2, 2, 1), Counter())
    with Taps(network, {"low": "0", "high": "2"}, stop=True) as note:
        network(images())
        raise AssertionError("the forward did not stop")
    assert [layer.calls for layer in network if isinstance(layer, Counter)] == [1, 0]
    assert note.noted.keys() == {"low", "high"} and hooks(network) == 0


def test_an_exception_before_the_deepest_tap_comes_through():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), Breaking(), nn.Conv2d(2, 2, 1))
    with pytest.raises(RuntimeError), Taps(network, {"high": "2"}, stop=True):
        network(images())
    assert hooks(network) == 0
