# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Marini et al.: who is labelled, and what each stage learns from, against the method restated."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.data import set_track_meta
from torch.utils.data import WeightedRandomSampler

from monai_kd.data import write_ihc_patches
from monai_kd.engines import DistillationTrainer
from monai_kd.recipes import load_recipe
from tests.recipes import plain
from tests.recipes.histology import CONFIGS, workflow

FRACTION, PER_CLASS, THRESHOLD = 0.3, 5, 0.5
STAGES = ("pretrain", "train::trainer")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    """40 training patches."""
    return write_ihc_patches(tmp_path_factory.mktemp("data"), stride=64)


@pytest.fixture(scope="module")
def teacher(data, tmp_path_factory) -> str:
    """One that has learnt a little, from the few labels that a student may see."""
    folder = tmp_path_factory.mktemp("teacher")
    given = {"max_epochs": 30, "val_interval": 30, "labeled_fraction": FRACTION, "batch_size": 8}
    made = workflow(folder, data, CONFIGS / "train_teacher.yaml", **given)
    made.run()
    made.finalize()
    return str(folder / "teacher" / "model.pt")


@pytest.fixture
def make(data, teacher, tmp_path) -> Callable[..., ConfigWorkflow]:
    def make(**values) -> ConfigWorkflow:
        given = {"teacher_checkpoint": teacher, "max_epochs": 1, "val_interval": 9, "labeled_fraction": FRACTION}
        given |= {"batch_size": 8}
        given |= {"annotation::per_class": PER_CLASS, "annotation::threshold": THRESHOLD, **values}
        return workflow(tmp_path, data, load_recipe("marini_ssl").path, **given)

    yield make
    set_track_meta(True)


def stages(parser: ConfigParser, keys: Sequence[str] = STAGES) -> dict[str, DistillationTrainer]:
    return {key.split("::")[0]: parser.get_parsed_content(key) for key in keys}


def student_of(made: ConfigWorkflow) -> dict[str, torch.Tensor]:
    made.run()
    return made.parser.get_parsed_content("network").state_dict()


def test_a_step_is_cross_entropy_with_the_label_there_is():
    student = plain.Net(3)
    batch = {"image": torch.randn(4, 2, 6, 6).double(), "label": torch.tensor([0, 2, 1, 0])}
    method = load_recipe("marini_ssl")(student, plain.Net(5))
    loss = plain.loss_of(method, student, batch)
    total = plain.cross_entropy(student(batch["image"]), batch["label"])
    assert loss.item() == pytest.approx(total.item(), rel=1e-9)
    assert plain.same(plain.gradients(loss, student), plain.gradients(total, student))


def test_teacher_labels_the_surest_of_each_class(make):
    parser = make().parser
    items, teacher = parser.get_parsed_content("train_items"), parser.get_parsed_content("teacher_weights").eval()
    load = parser.get_parsed_content("validate::preprocessing")
    said: dict[int, list[tuple[float, int]]] = {c: [] for c in range(3)}
    for item in items:
        if not item["labeled"]:
            p = teacher(load(item)["privileged"].unsqueeze(0)).softmax(1)[0].tolist()
            for c in range(3):
                if p[c] > THRESHOLD:
                    said[c].append((p[c], item["index"]))
    expected = {i: c for c in said for _, i in sorted(said[c], reverse=True)[:PER_CLASS]}
    assert len(set(expected.values())) > 1 and sum(map(len, said.values())) > len(expected)  # some are left out
    assert parser.get_parsed_content("annotation::labels") == expected
    given = parser.get_parsed_content("pseudo_labeled_items")
    assert {item["index"]: item["label"] for item in given} == expected
    judged = {item["case"] for item in parser.get_parsed_content("val_items")}
    assert not judged & {item["case"] for item in given}


def test_each_stage_has_labels_of_its_own_and_draws_classes_alike(make):
    made = make(max_epochs=2)
    parser, seen = made.parser, {}
    for name, trainer in stages(parser).items():
        seen[name] = {}

        def note(engine, seen=seen[name]):
            seen.update(zip(engine.state.batch["index"].tolist(), engine.state.batch["label"].tolist(), strict=True))

        trainer.add_event_handler("ITERATION_STARTED", note)
        sampler = trainer.data_loader.sampler
        assert isinstance(sampler, WeightedRandomSampler) and sampler.replacement
        labels = torch.tensor([item["label"] for item in trainer.data_loader.dataset.data])
        mass = torch.zeros(3).double().index_add(0, labels, sampler.weights)
        present = mass[mass > 0]
        assert len(present) > 1 and torch.allclose(present, present[0].expand_as(present))
        asked = len(labels) if name == "pretrain" else len(parser.get_parsed_content("train_items"))
        assert sampler.num_samples == asked
    made.run()
    true = {i["index"]: i["label"] for i in parser.get_parsed_content("train_items") if i["labeled"]}
    pseudo = parser.get_parsed_content("annotation::labels")
    assert not true.keys() & pseudo.keys()
    assert seen["pretrain"] and seen["pretrain"].items() <= pseudo.items()
    assert seen["train"] and seen["train"].items() <= true.items()


def test_true_labels_teach_for_as_many_steps_as_the_student_alone_has(make, data, tmp_path):
    alone = workflow(tmp_path / "alone", data, CONFIGS / "train_alone.yaml", labeled_fraction=FRACTION, batch_size=8)
    steps = [len(stages(made.parser, ["train::trainer"])["train"].data_loader) for made in (make(), alone)]
    assert steps[0] == steps[1] > FRACTION * 40 / 8


def test_as_in_the_authors_code_common_classes_count_more(make):
    text = load_recipe("marini_ssl").path.read_text()
    (released,) = [line.split('"')[1] for line in text.splitlines() if line.startswith("# the authors' code")]
    parser = make(label_weights=released).parser
    labels = [item["label"] for item in parser.get_parsed_content("labeled_items")]
    weight = parser.get_parsed_content("train::loss").term("label").loss.weight
    assert weight[labels].tolist() == pytest.approx([labels.count(y) / len(labels) for y in labels])
    assert make().parser.get_parsed_content("train::loss").term("label").loss.weight is None


def test_hidden_labels_teach_nothing_and_the_others_do(make):
    items = make().parser.get_parsed_content("train_items")
    changed = {
        hidden: [{**i, "label": (i["label"] + 1) % 3} if i["labeled"] != hidden else i for i in items]
        for hidden in (True, False)
    }
    first, second, third = (student_of(make(train_items=given)) for given in (items, changed[True], changed[False]))
    assert all(v.equal(second[k]) for k, v in first.items())
    assert not all(v.equal(third[k]) for k, v in first.items())


def test_the_student_goes_on_from_what_it_learnt_from_pseudo_labels(make):
    made = make()
    student, states = made.parser.get_parsed_content("network"), {}
    for (name, trainer), event in zip(stages(made.parser).items(), ("COMPLETED", "STARTED"), strict=True):
        trainer.add_event_handler(event, lambda e, n=name: states.update({n: plain_copy(student)}))
    start = plain_copy(student)
    made.run()
    assert all(v.equal(states["train"][k]) for k, v in states["pretrain"].items())
    for before, after in ((start, states["pretrain"]), (states["train"], plain_copy(student))):
        assert any(not v.equal(after[k]) for k, v in before.items())


def plain_copy(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in network.state_dict().items()}
