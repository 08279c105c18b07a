# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
import itertools
import math
import pickle

import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import Inferer
from torch import Tensor, nn

from monai_kd.inferers import DistillationInferer, Pass
from monai_kd.networks import Teacher
from monai_kd.utils import ConfigError, ShapeMismatchError, TapError, UnknownLayerError, UnknownNameError
from tests.nets import Answering, Classifier, Counter, batches, images

HINT = {"hint": "act"}


class Multiplying(nn.Module):
    def forward(self, *x: Tensor) -> Tensor:
        return math.prod(x)


def batch() -> dict[str, Tensor]:
    return batches(1)[0]


def passes(**more) -> dict:
    return {"student": {"taps": HINT}, "teacher": {"network": Teacher(Classifier()), "taps": HINT}, **more}


def test_is_an_inferer_of_monai():
    assert isinstance(DistillationInferer(passes()), Inferer)


def test_knowledge_is_what_the_passes_gave_without_the_batch():
    knowledge = DistillationInferer(passes())(batch(), Classifier())
    assert set(knowledge) == {"student", "student.hint", "teacher", "teacher.hint"}


def test_a_mapping_becomes_a_pass_and_none_is_dropped():
    given = Pass(taps=HINT)
    inferer = DistillationInferer({"student": given, "teacher": None, "peer": {"keys": "image_2"}})
    assert inferer.passes["student"] is given and list(inferer.passes) == ["student", "peer"]
    assert inferer.passes["peer"].keys == ("image_2",)


@pytest.mark.parametrize("nothing", [{}, {"student": None}])
def test_no_pass_is_an_error(nothing):
    with pytest.raises(ConfigError, match="no passes"):
        DistillationInferer(nothing)


def test_a_pass_name_with_a_dot_is_an_error_that_names_it():
    with pytest.raises(ConfigError, match=r"pass 'student.hint'"):
        DistillationInferer({"student.hint": {}})


def test_a_tap_name_with_a_dot_is_an_error_that_names_it():
    with pytest.raises(ConfigError, match=r"tap 'low.hint'"):
        DistillationInferer({"student": {"taps": {"low.hint": "act"}}})


def test_a_plain_image_is_taken_as_the_image():
    x, network = images(), Classifier().eval()
    assert torch.equal(DistillationInferer({"student": {}})(x, network)["student"], network(x))
    assert type(DistillationInferer({"student": {}})(MetaTensor(x), network)["student"]) is Tensor


@pytest.mark.parametrize("order", list(itertools.permutations(["student", "double", "connector", "teacher"])))
def test_the_order_in_the_file_does_not_matter(order):
    parts = {
        "student": {"taps": HINT},
        "connector": {"keys": "student.hint", "network": nn.Conv2d(4, 2, 1)},
        "double": {"keys": ["connector", "teacher"], "network": Multiplying()},
        "teacher": {"network": Teacher(nn.Conv2d(1, 2, 1))},
    }
    inferer = DistillationInferer({name: parts[name] for name in order})
    assert inferer.order.index("student") < inferer.order.index("connector") < inferer.order.index("double")
    knowledge = inferer(batch(), Classifier())
    assert torch.equal(knowledge["double"], knowledge["connector"] * knowledge["teacher"])


def test_passes_that_do_not_read_one_another_run_in_the_files_order():
    # else dropout and collectives differ from process to process, with the hash of the names
    names = [f"expert_{i}" for i in range(12)]
    experts = {name: {"network": nn.Identity()} for name in names}
    inferer = DistillationInferer({"fusion": {"keys": names, "network": Multiplying()}, **experts})
    assert inferer.order == (*names, "fusion")


@pytest.mark.parametrize(
    "cycle", [{"a": {"keys": "b"}, "b": {"keys": "a.hint"}}, {"a": {"keys": "a.hint"}}, {"x": {}, "a": {"keys": "a"}}]
)
def test_passes_that_read_one_another_are_an_error_that_names_them(cycle):
    with pytest.raises(ConfigError, match=r"a.* -> .*a.*read one another|a -> a"):
        DistillationInferer(cycle)


def test_two_views_of_one_student():
    network = Classifier().eval()
    data = batch()
    knowledge = DistillationInferer({"student": {}, "again": {"keys": "image_2"}})(data, network)
    assert torch.equal(knowledge["student"], network(data["image"]))
    assert torch.equal(knowledge["again"], network(data["image_2"]))


def test_a_pass_reads_a_tap_an_entry_and_a_batch_key():
    parts = {
        "student": {"network": Answering("dict")},
        "reader": {"keys": ["student.aux", "image"], "network": Multiplying()},
    }
    data = batch()
    knowledge = DistillationInferer(parts)(data, nn.Identity())
    assert torch.equal(knowledge["reader"], knowledge["student.aux"] * data["image"])


@pytest.mark.parametrize(
    ("needs", "ran"),
    [
        ({"student"}, (1, 0, 0)),
        ({"student", "label"}, (1, 0, 0)),
        ({"student", "teacher"}, (1, 1, 0)),
        ({"connector"}, (1, 0, 1)),
        ({"teacher.hint"}, (0, 1, 0)),
        (None, (1, 1, 1)),
    ],
)
def test_only_what_is_needed_runs(needs, ran):
    student, teacher, connector = Classifier(), Classifier(), nn.Sequential(Counter(), nn.Conv2d(4, 2, 1))
    inferer = DistillationInferer(
        {
            "student": {"taps": HINT},
            "teacher": {"network": Teacher(teacher), "taps": HINT},
            "connector": {"keys": "student.hint", "network": connector},
        }
    )
    inferer(batch(), student, needs)
    assert (student.late.calls, teacher.late.calls, connector[0].calls) == ran


def test_what_is_needed_by_what_is_needed_runs_too():
    passes = {"third": "second", "second": "first", "first": "student", "idle": "student"}
    heads = {name: {"keys": key, "network": nn.Linear(3, 3)} for name, key in passes.items()}
    inferer = DistillationInferer({**heads, "student": {}})
    assert list(inferer.wanted({"third"})) == ["student", "first", "second", "third"]
    assert inferer(batch(), Classifier(), {"third"}).keys() == {"student", "first", "second", "third"}


def test_a_teacher_read_only_by_its_tap_stops_early():
    teacher = Classifier()
    inferer = DistillationInferer({"student": {}, "teacher": {"network": Teacher(teacher), "taps": HINT}})
    for _ in range(4):
        knowledge = inferer(batch(), Classifier(), {"student", "teacher.hint"})
    assert teacher.late.calls == 1 and "teacher" not in knowledge


def test_a_teacher_stops_early_where_only_a_pass_reads_its_tap():
    teacher = Classifier()
    inferer = DistillationInferer(
        {
            "teacher": {"network": Teacher(teacher), "taps": HINT},
            "connector": {"keys": "teacher.hint", "network": nn.Conv2d(4, 2, 1)},
        }
    )
    for _ in range(4):
        inferer(batch(), nn.Identity(), {"connector"})
    assert teacher.late.calls == 1


def test_a_batch_key_with_the_name_of_a_pass_is_an_error_that_names_it():
    with pytest.raises(ConfigError, match=r"pass 'label'.*rename"):
        DistillationInferer({"student": {}, "label": {}})(batch(), Classifier())


@pytest.mark.parametrize(
    ("needed", "nearest"),
    [
        ("techer", "'teacher'"),
        ("student.hnt", "'student.hint'"),
        ("labl", "'label'"),
        ("teacher.0", "'teacher'"),
        ("image_3", "'image'"),
    ],
)
def test_an_unknown_name_lists_what_there_is_and_the_nearest(needed, nearest):
    with pytest.raises(UnknownNameError, match=f"no '{needed}'.*did you mean.*{nearest}.*names:.*'image_2'"):
        DistillationInferer(passes())(batch(), Classifier(), {"student", needed})


def test_an_unknown_key_of_a_pass_names_the_pass():
    inferer = DistillationInferer({"student": {}, "teacher": {"keys": "ihc", "network": Teacher(Classifier())}})
    with pytest.raises(UnknownNameError, match=r"pass 'teacher': no 'ihc'"):
        inferer(batch(), Classifier())


def test_a_dict_has_no_first_entry_and_the_error_lists_its_keys():
    with pytest.raises(UnknownNameError, match=r"no 'student'.*'student.main'"):
        DistillationInferer({"student": {}})(batch(), Answering("dict"), {"student"})


@pytest.mark.parametrize("role", ["student", "teacher"])
def test_an_unknown_layer_is_found_before_there_is_a_batch(role):
    inferer = DistillationInferer({"student": {}, "teacher": {"network": Teacher(Classifier())}})
    inferer.passes[role].taps["hint"] = "actt"
    with pytest.raises(UnknownLayerError, match=f"pass '{role}', tap 'hint'.*no layer 'actt'.*did you mean 'act'"):
        inferer.check(Classifier())


def test_a_tap_of_an_unknown_pass_is_found_before_there_is_a_batch():
    with pytest.raises(UnknownNameError, match=r"no pass 'techer'.*'teacher.hint'"):
        DistillationInferer(passes()).check(Classifier(), {"techer.hint"})
    with pytest.raises(UnknownNameError, match=r"no pass 'studen'"):
        DistillationInferer(passes(connector={"keys": "studen.hint"})).check(Classifier())


def test_what_can_only_be_known_with_a_batch_passes_the_check():
    inferer = DistillationInferer(passes(bag={"keys": "ihc"}))
    inferer.check(Classifier(), {"student", "teacher.hint", "bag.attention", "label"})


def test_the_check_looks_into_a_compiled_network():
    DistillationInferer(passes()).check(torch.compile(Classifier(), backend="eager"))


def test_an_error_inside_a_pass_names_the_pass():
    parts = {
        "student": {},
        "teacher": {"network": Teacher(nn.Sequential(nn.ReLU(), nn.ReLU(inplace=True))), "taps": {"a": "0"}},
    }
    with pytest.raises(TapError, match=r"pass 'teacher', tap 'a' on '0'"):
        DistillationInferer(parts)(batch(), Classifier())


@pytest.mark.parametrize("wrap", [lambda network: network, Teacher])
def test_what_a_pass_cannot_take_is_named_with_its_shapes(wrap):
    inferer = DistillationInferer({"student": {}, "next": {"keys": "student", "network": wrap(nn.Linear(7, 2))}})
    told = r"pass 'next': Linear cannot take student \(4, 3\)\. mat1 and mat2 .*channels must be those of what it reads"
    with pytest.raises(ShapeMismatchError, match=told):
        inferer(images(4), Classifier())


def test_an_error_of_the_trainers_own_network_or_of_the_device_stays_as_it_is():
    class Full(nn.Module):
        def forward(self, x):
            raise torch.OutOfMemoryError("full")

    with pytest.raises(torch.OutOfMemoryError):
        DistillationInferer({"student": {}, "next": {"keys": "student", "network": Full()}})(images(4), Classifier())
    with pytest.raises(RuntimeError, match="mat1"):
        DistillationInferer({"student": {}})(images(4), nn.Linear(7, 2))


def test_the_prediction_is_the_first_pass_without_a_network():
    assert (
        DistillationInferer({"teacher": {"network": Teacher(Classifier())}, "weak": {}, "strong": {}}).prediction
        == "weak"
    )
    with pytest.raises(ConfigError, match="its own network"):
        DistillationInferer({"peer": {"network": Classifier()}}).prediction  # noqa: B018


def test_networks_are_those_of_the_passes():
    teacher, connector = Teacher(Classifier()), nn.Conv2d(4, 2, 1)
    inferer = DistillationInferer({"student": {}, "t": {"network": teacher}, "c": {"keys": "t", "network": connector}})
    assert inferer.networks == {"t": teacher, "c": connector}


@pytest.mark.parametrize("dtype", [torch.bfloat16, "bfloat16", "torch.bfloat16"])
def test_autocast_on_a_cpu(dtype):
    inferer = DistillationInferer(passes(), autocast={"device_type": "cpu", "dtype": dtype})
    knowledge = inferer(batch(), Classifier())
    assert knowledge["student"].dtype == knowledge["teacher"].dtype == torch.bfloat16
    assert not torch.is_autocast_enabled("cpu")


def test_keeps_nothing_between_calls():
    inferer, network = DistillationInferer(passes()), Classifier()
    inferer(batch(), network)
    parts = [vars(inferer), *(vars(p) for p in inferer.passes.values())]
    assert not [v for part in parts for v in part.values() if isinstance(v, Tensor) or v is network]


def test_one_inferer_serves_several_networks():
    inferer, data = DistillationInferer(passes()), batch()
    one, other = Classifier().eval(), Classifier(width=2).eval()
    for network in (one, other, one):
        assert torch.equal(inferer(data, network)["student"], network(data["image"]))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda inferer: pickle.loads(pickle.dumps(inferer))])
def test_can_be_copied_and_pickled_after_it_ran(duplicate):
    inferer, data, network = DistillationInferer(passes()), batch(), Classifier().eval()
    before = inferer(data, network)
    after = duplicate(inferer)(data, network)
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_a_key_that_no_pass_has_is_named():
    with pytest.raises(UnknownNameError, match=r"pass 'student': Pass has no argument 'tap'. did you mean 'taps'"):
        DistillationInferer({"student": {"tap": {"hint": "fc"}}})
