# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from monai.data import MetaTensor
from monai.networks.nets import DynUNet, SegResNetDS
from torch import Tensor, nn

from monai_kd.inferers import Pass
from monai_kd.networks import Teacher
from monai_kd.utils import TapError, UnknownLayerError
from tests.nets import Answering, Classifier, Counter, hooks, images


def dynunet(**kwargs) -> DynUNet:
    sizes = {"kernel_size": [3, 3, 3], "strides": [1, 2, 2], "upsample_kernel_size": [2, 2], "filters": [2, 4, 4]}
    return DynUNet(
        spatial_dims=3, in_channels=1, out_channels=2, deep_supervision=True, deep_supr_num=1, **sizes, **kwargs
    )


class Viewing(nn.Module):
    def forward(self, image):
        return image.unsqueeze(1).repeat(1, 4, 1, 1, 1)


class Adding(nn.Module):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a - 2 * b


class Picking(nn.Module):
    def forward(self, scales: list[Tensor]) -> Tensor:
        return scales[1]


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_the_output_has_the_name_of_the_pass(spatial_dims):
    network, x = Classifier(spatial_dims).eval(), images(spatial_dims=spatial_dims)
    answer = Pass().run("student", network, (x,))
    assert list(answer) == ["student"] and torch.equal(answer["student"], network(x))


def test_a_network_of_two_inputs_reads_its_keys_in_order():
    a, b = images(), images()
    part = Pass(["image", "image_2"], Adding())
    assert part.keys == ("image", "image_2")
    assert torch.equal(part.run("p", part.network, (a, b))["p"], a - 2 * b)


def test_a_tap_without_a_layer_is_dropped():
    assert Pass(taps={"hint": "act", "off": None}).taps == {"hint": "act"}
    assert Pass(taps=None).taps == {}


@pytest.mark.parametrize("kind", ["tuple", "list"])
@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_tuples_and_lists_are_numbered(kind, spatial_dims):
    network, x = Answering(kind, spatial_dims), images(spatial_dims=spatial_dims)
    answer = Pass().run("student", network, (x,))
    assert set(answer) == {"student", "student.0", "student.1"}
    assert torch.equal(answer["student"], network.first(x)) and torch.equal(answer["student.1"], network.second(x))


def test_the_entries_of_a_dict_have_their_keys():
    answer = Pass().run("student", Answering("dict"), (images(),))
    assert set(answer) == {"student.main", "student.aux"}


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_stacked_heads_are_numbered(spatial_dims):
    network, x = Answering("stack", spatial_dims), images(spatial_dims=spatial_dims)
    answer = Pass().run("student", network, (x,))
    assert set(answer) == {"student", "student.0", "student.1"}
    assert torch.equal(answer["student"], network.first(x)) and torch.equal(answer["student.1"], network.second(x))


def test_dynunet_answers_alike_in_training_and_evaluation():
    network, x = dynunet(), images(1, 3, 8)
    training, evaluation = (Pass().run("p", network.train(mode), (x,)) for mode in (True, False))
    assert set(training) == {"p", "p.0", "p.1"} and set(evaluation) == {"p"}
    assert training["p"].shape == evaluation["p"].shape == (1, 2, 8, 8, 8)


@pytest.mark.parametrize("teacher", [False, True])
def test_an_answer_with_one_axis_more_stays_whole_if_it_is_no_stack_of_heads(teacher):
    network = Teacher(Viewing()) if teacher else Viewing()
    answer = Pass(deep_supervision=False).run("views", network, (torch.ones(2, 3, 8, 8),))
    assert {name: tuple(x.shape) for name, x in answer.items()} == {"views": (2, 4, 3, 8, 8)}
    assert "views.3" in Pass().run("views", network, (torch.ones(2, 3, 8, 8),))


def test_segresnet_with_deep_supervision_answers_with_a_list():
    network = SegResNetDS(
        spatial_dims=2, init_filters=4, in_channels=1, out_channels=2, blocks_down=(1, 1, 1), dsdepth=2
    )
    training = Pass().run("p", network.train(), (images(1, 2, 16),))
    assert training["p"].shape == (1, 2, 16, 16) and training["p.1"].shape == (1, 2, 8, 8)
    assert Pass().run("p", network.eval(), (images(1, 2, 16),))["p"].shape == (1, 2, 16, 16)


@pytest.mark.parametrize("network", [Classifier(), Teacher(Classifier())])
def test_a_meta_tensor_goes_in_and_plain_tensors_come_out(network):
    answer = Pass(taps={"hint": "act"}).run("p", network, (MetaTensor(images()),))
    assert {name: type(tensor) for name, tensor in answer.items()} == {"p": Tensor, "p.hint": Tensor}


def test_a_tapped_layer_that_answers_with_a_list_is_numbered():
    network = nn.Sequential(Answering("list"), Picking())
    answer = Pass(taps={"scales": "0"}).run("p", network, (images(),))
    assert set(answer) == {"p", "p.scales", "p.scales.0", "p.scales.1"}


def test_only_wanted_taps_are_placed():
    network = nn.Sequential(Answering("list"), Picking(), nn.Identity())
    part = Pass(taps={"scales": "0", "last": "2"})
    assert set(part.run("p", network, (images(),), {"p"})) == {"p"}
    assert set(part.run("p", network, (images(),), {"p.last"})) == {"p", "p.last"}
    assert {"p.scales.1"} < set(part.run("p", network, (images(),), {"p.scales.1"}))


def test_a_list_of_case_names_can_be_read():
    class Cache(nn.Module):
        def forward(self, cases: list[str]) -> Tensor:
            return torch.tensor([[float(case)] for case in cases])

    answer = Pass("case", Cache()).run("teacher", Cache(), (["3", "5"],))
    assert answer["teacher"].tolist() == [[3.0], [5.0]]


def test_the_student_learns_through_its_taps_and_the_teacher_does_not():
    student, teacher, x = Classifier(), Classifier(), images()
    part = Pass(taps={"hint": "act"})
    learnt, taught = part.run("s", student, (x,)), part.run("t", Teacher(teacher), (x,))
    assert learnt["s.hint"].requires_grad and not taught["t.hint"].requires_grad and not taught["t"].requires_grad
    (learnt["s.hint"] - taught["t.hint"]).square().mean().backward()
    assert student.conv.weight.grad is not None and teacher.conv.weight.grad is None


def test_a_mean_square_on_a_teachers_tap_can_be_differentiated():
    x = images()
    feature = Pass(taps={"hint": "act"}).run("t", Teacher(Classifier()), (x,))["t.hint"]
    head = nn.Conv2d(4, 2, 1)
    head(feature).square().mean().backward()  # raises under inference mode
    assert head.weight.grad is not None


def test_a_teachers_taps_are_what_its_layers_give():
    network, x = Classifier(), images()
    answer = Pass(taps={"low": "conv", "high": "act"}).run("t", Teacher(network), (x,))
    network.eval()
    assert torch.equal(answer["t.low"], network.conv(x)) and torch.equal(answer["t"], network(x))


def test_a_teacher_whose_output_is_not_needed_stops_after_its_deepest_tap():
    network, x = Classifier(), images()
    part, teacher = Pass(taps={"low": "conv", "high": "act"}), Teacher(network)
    first = part.run("t", teacher, (x,), {"t.low", "t.high"})
    assert network.late.calls == 1  # whole, to find taps that fire twice or are overwritten
    for _ in range(3):
        again = part.run("t", teacher, (x,), {"t.low", "t.high"})
    assert network.late.calls == 1
    assert set(again) == {"t.low", "t.high"} and torch.equal(again["t.high"], first["t.high"])
    assert hooks(network) == 0 and network.training


def test_a_teacher_whose_output_is_needed_runs_to_its_end():
    network = Classifier()
    part, teacher = Pass(taps={"high": "act"}), Teacher(network)
    for wanted in ({"t", "t.high"}, {"t.high", "t"}, None, {"t"}, {"t.0", "t.high"}):
        assert "t" in part.run("t", teacher, (images(),), wanted)
    assert network.late.calls == 5


def test_after_a_stop_the_output_is_there_again_when_it_is_needed():
    network, x = Classifier(), images()
    part, teacher = Pass(taps={"high": "act"}), Teacher(network)
    for wanted in ({"t.high"}, {"t.high"}):
        part.run("t", teacher, (x,), wanted)
    assert torch.equal(part.run("t", teacher, (x,), {"t", "t.high"})["t"], network.eval()(x))


def test_other_taps_are_first_shown_to_be_sound():
    network = Classifier()
    part, teacher = Pass(taps={"low": "conv", "high": "act"}), Teacher(network)
    for wanted in ({"t.low"}, {"t.low"}, {"t.high"}, {"t.high"}, {"t.low"}):
        part.run("t", teacher, (images(),), wanted)
    assert network.late.calls == 2


def test_a_student_never_stops():
    network = Classifier()
    part = Pass(taps={"high": "act"})
    for _ in range(3):
        part.run("s", network, (images(),), {"s.high"})
    assert network.late.calls == 3


@pytest.mark.parametrize("wrap", [nn.Module.train, Teacher])
def test_a_tap_that_is_overwritten_is_found_in_student_and_teacher(wrap):
    network = wrap(nn.Sequential(nn.BatchNorm2d(1), nn.ReLU(inplace=True), Counter()))
    with pytest.raises(TapError, match=r"tap 'hint' on '0'"):
        Pass(taps={"hint": "0"}).run("p", network, (images(),), {"p.hint"})


@pytest.mark.parametrize("wrap", [nn.Module.train, Teacher])
def test_a_tap_that_fires_twice_is_found_in_student_and_teacher(wrap):
    layer = nn.Conv2d(1, 1, 1)
    network = wrap(nn.Sequential(layer, layer))
    with pytest.raises(TapError, match=r"tap 'hint' on '0'"):
        Pass(taps={"hint": "0"}).run("p", network, (images(),), {"p.hint"})


def test_an_unknown_layer_of_a_teacher_names_its_networks_layers():
    with pytest.raises(UnknownLayerError, match=r"Classifier: no layer 'layer4'"):
        Pass(taps={"hint": "layer4"}).run("p", Teacher(Classifier()), (images(),))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda part: pickle.loads(pickle.dumps(part))])
def test_can_be_copied_and_pickled_after_it_ran(duplicate):
    part, x = Pass(network=Classifier().eval(), taps={"hint": "act"}), images()
    before = part.run("p", part.network, (x,), {"p.hint"})
    other = duplicate(part)
    assert torch.equal(other.run("p", other.network, (x,))["p.hint"], before["p.hint"])
    assert other.network is not part.network


def test_a_tap_is_not_asked_for_by_a_name_that_begins_alike():
    found = Pass(taps={"hint": "act", "hint_2": "deep"}).run("student", Classifier(), [images()], {"student.hint_2"})
    assert "student.hint_2" in found and "student.hint" not in found
