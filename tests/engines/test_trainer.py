# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy

import pytest
import torch
from ignite.engine import Events
from ignite.metrics import Accuracy
from monai.data import DataLoader, MetaTensor
from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents
from monai.networks.nets import DynUNet
from monai.transforms import Activationsd
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from monai_kd.engines import DistillationTrainer
from monai_kd.inferers import DistillationInferer
from monai_kd.losses import Objective
from monai_kd.networks import Teacher
from monai_kd.utils import ConfigError
from tests.nets import (
    HINTED,
    LABEL,
    MIMIC,
    Answering,
    Classifier,
    batches,
    both,
    images,
    make_trainer,
    same,
    state_of,
)


def test_is_monais_trainer_with_monais_iteration():
    assert issubclass(DistillationTrainer, SupervisedTrainer)
    assert DistillationTrainer._iteration is SupervisedTrainer._iteration


def test_trains_as_monais_trainer_does_where_there_is_no_teacher():
    ours, theirs = Classifier(), Classifier()
    theirs.load_state_dict(ours.state_dict())
    data = batches(4)
    make_trainer(ours, {}, {"label": LABEL}, data, epochs=2, momentum=0.9).run()
    SupervisedTrainer(
        device="cpu",
        max_epochs=2,
        train_data_loader=data,
        network=theirs,
        optimizer=torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9),
        loss_function=nn.CrossEntropyLoss(),
        decollate=False,
    ).run()
    assert same(ours, theirs.state_dict())


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_trains_as_a_bare_loop_does(spatial_dims):
    student, teacher, connector = Classifier(spatial_dims), Classifier(spatial_dims), nn.Linear(3, 3)
    alone, alone_connector = copy.deepcopy(student), copy.deepcopy(connector)
    data = batches(3, spatial_dims=spatial_dims)
    passes = {"connector": {"keys": "student", "network": connector}, "teacher": {"network": Teacher(teacher)}}
    terms = {"label": LABEL, "mimic": {"loss": nn.MSELoss(), "inputs": ["connector", "teacher"], "weight": 0.5}}
    make_trainer(student, passes, terms, data, epochs=2).run()

    optimizer = torch.optim.SGD([*alone.parameters(), *alone_connector.parameters()], lr=0.1)
    teacher.eval()
    for batch in 2 * data:
        optimizer.zero_grad()
        logits = alone(batch["image"])
        target = teacher(batch["image"]).detach()
        loss = (
            nn.functional.cross_entropy(logits, batch["label"])
            + 0.5 * (alone_connector(logits) - target).square().mean()
        )
        loss.backward()
        optimizer.step()
    for one, other in ((student, alone), (connector, alone_connector)):
        for key, value in other.state_dict().items():
            torch.testing.assert_close(one.state_dict()[key], value)


def test_what_no_term_reaches_any_longer_stays_as_it_is():
    student, connector = Classifier(norm=False), nn.Linear(3, 3)
    passes = {"connector": {"keys": "student", "network": connector}, "teacher": {"network": Teacher(Classifier())}}
    terms = {"label": LABEL, "mimic": {**MIMIC, "inputs": ["connector", "teacher"]}}
    trainer = make_trainer(student, passes, terms, batches(2), momentum=0.9)
    trainer.run()
    moved, trainer.loss_function.term("mimic").weight, trainer.state.max_epochs = state_of(connector), 0.0, 2
    trainer.run()
    assert same(connector, moved) and connector.weight.grad is None


@pytest.mark.parametrize("steps", [2, 3])
def test_small_batches_accumulated_are_one_big_batch(steps):
    small, connector = Classifier(norm=False), nn.Conv2d(4, 4, 1)
    big, big_connector, teacher = copy.deepcopy(small), copy.deepcopy(connector), Teacher(Classifier())
    data = batches(2 * steps)
    joined = [{key: torch.cat([batch[key] for batch in data[i : i + steps]]) for key in data[0]} for i in (0, steps)]
    for student, head, loader, count in ((small, connector, data, steps), (big, big_connector, joined, 1)):
        passes = {**both(teacher), "connector": {"keys": "student.hint", "network": head}}
        terms = {"label": LABEL, "hint": {**HINTED, "inputs": ["connector", "teacher.hint"]}}
        make_trainer(student, passes, terms, loader, accumulation_steps=count).run()
    for one, other in ((small, big), (connector, big_connector)):
        for key, value in other.state_dict().items():
            torch.testing.assert_close(one.state_dict()[key], value, rtol=1e-4, atol=1e-6)


def test_an_epoch_that_ends_in_the_middle_of_an_accumulation_steps_there():
    trainer = make_trainer(Classifier(), {}, {"label": LABEL}, batches(5), epochs=2, accumulation_steps=2)
    steps = []
    trainer.optimizer.register_step_post_hook(lambda *_: steps.append(trainer.state.iteration))
    trainer.run()
    assert steps == [2, 4, 5, 7, 9, 10]


@pytest.mark.parametrize("dtype", ["bfloat16", torch.bfloat16])
def test_autocast_on_a_cpu_runs_the_networks_in_half_and_the_losses_in_full(dtype):
    seen = []

    def loss(student, teacher):
        seen.append((student.dtype, teacher.dtype, torch.is_autocast_enabled("cpu")))
        return (student - teacher).square().mean()

    student, raw = Classifier(), set()
    trainer = make_trainer(
        student,
        both(Teacher(Classifier())),
        {"label": LABEL, "mimic": {**MIMIC, "loss": loss}},
        batches(),
        autocast={"device_type": "cpu", "dtype": dtype},
    )
    trainer.add_event_handler(
        IterationEvents.FORWARD_COMPLETED, lambda e: raw.update(t.dtype for t in e.state.output["pred"].values())
    )
    before = state_of(student)
    trainer.run()
    assert raw == {torch.bfloat16} and set(seen) == {(torch.float32, torch.float32, False)}
    assert not same(student, before) and {p.grad.dtype for p in student.parameters()} == {torch.float32}


def test_the_output_is_monais_and_the_knowledge_is_gone_after_the_iteration():
    seen = []

    def look(engine):
        seen.append((set(engine.state.output), set(engine.state.knowledge)))
        assert torch.equal(engine.state.output["pred"], engine.state.knowledge["student"])

    data = batches(2)
    trainer = make_trainer(
        Classifier(), both(Teacher(Classifier())), {"label": LABEL, "mimic": MIMIC, "hint": HINTED}, data
    )
    trainer.add_event_handler(IterationEvents.LOSS_COMPLETED, look)
    trainer.run()
    knowledge = {"student", "student.hint", "teacher", "teacher.hint"}
    assert seen == [({"image", "label", "pred", "loss"}, knowledge)] * 2
    assert set(trainer.state.output) == {"image", "label", "pred", "loss"} and trainer.state.knowledge == {}
    assert torch.equal(trainer.state.output["image"], data[-1]["image"])
    assert torch.equal(trainer.state.output["label"], data[-1]["label"])


def test_handlers_given_to_the_trainer_see_knowledge_and_plain_output_at_every_event():
    seen = {}

    class Look:
        def attach(self, engine):
            for event in (
                IterationEvents.LOSS_COMPLETED,
                IterationEvents.BACKWARD_COMPLETED,
                IterationEvents.MODEL_COMPLETED,
                Events.ITERATION_COMPLETED,
            ):
                engine.add_event_handler(event, self.look, event)

        def look(self, engine, event):
            seen[event] = (type(engine.state.output["pred"]), "student" in engine.state.knowledge)

    make_trainer(Classifier(), {}, {"label": LABEL}, batches(1), train_handlers=[Look()]).run()
    assert len(seen) == 4 and set(seen.values()) == {(Tensor, True)}


def test_another_prediction_and_another_label_can_be_published():
    data = [{"image": images(), "grade": torch.randint(0, 3, (4,))} for _ in range(2)]
    terms = {"label": {"loss": nn.CrossEntropyLoss(), "inputs": ["peer", "grade"]}}
    trainer = make_trainer(
        Classifier(), {"peer": {"network": Classifier(width=2)}}, terms, data, pred="peer", label="grade"
    )
    pred = []
    trainer.add_event_handler(IterationEvents.LOSS_COMPLETED, lambda e: pred.append(e.state.knowledge["peer"]))
    trainer.run()
    assert trainer.state.output["pred"] is pred[-1]
    assert torch.equal(trainer.state.output["label"], data[-1]["grade"])


@pytest.mark.parametrize(("kind", "pred"), [("tuple", None), ("list", None), ("dict", "student.main"), ("stack", None)])
def test_a_student_may_answer_in_any_shape(kind, pred):
    student = Answering(kind)
    data = [{"image": images(), "label": torch.randint(0, 3, (4, 6, 6))} for _ in range(2)]
    deep = "student.aux" if kind == "dict" else "student.1"
    terms = {name: {"loss": nn.CrossEntropyLoss(), "inputs": [name, "label"]} for name in ("student", deep)}
    terms = {
        str(i): {**t, "inputs": [pred or "student" if i == 0 else deep, "label"]} for i, t in enumerate(terms.values())
    }
    trainer = make_trainer(student, {}, terms, data, pred=pred)
    trainer.run()
    assert trainer.state.output["pred"].shape == (4, 3, 6, 6)
    assert student.first.weight.grad.abs().sum() > 0 and student.second.weight.grad.abs().sum() > 0


def test_a_student_with_deep_supervision_learns_from_a_teacher_that_answers_with_a_tensor():
    options = {"kernel_size": [3, 3, 3], "strides": [1, 2, 2], "upsample_kernel_size": [2, 2], "filters": [2, 4, 4]}
    student, teacher = (
        DynUNet(spatial_dims=3, in_channels=1, out_channels=2, deep_supervision=True, deep_supr_num=1, **options)
        for _ in range(2)
    )
    terms = {"mimic": MIMIC, "deep": {**MIMIC, "inputs": ["student.1", "teacher"]}}
    trainer = make_trainer(student, {"teacher": {"network": Teacher(teacher)}}, terms, [{"image": images(1, 3, 8)}])
    trainer.run()
    assert trainer.state.output["pred"].shape == (1, 2, 8, 8, 8)
    assert student.deep_supervision_heads[0].conv.conv.weight.grad.abs().sum() > 0


def test_a_metric_a_postprocessing_and_decollation_work_as_in_monai():
    def stacked(output):
        return tuple(torch.stack([torch.as_tensor(item[key]) for item in output]) for key in ("pred", "label"))

    data, kept = batches(3), []
    trainer = make_trainer(
        Classifier(),
        both(Teacher(Classifier())),
        {"label": LABEL, "hint": HINTED},
        data,
        postprocessing=Activationsd(keys="pred", softmax=True),
        key_train_metric={"accuracy": Accuracy(output_transform=stacked)},
    )
    trainer.add_event_handler(IterationEvents.LOSS_COMPLETED, lambda e: kept.append(e.state.output["pred"].argmax(1)))
    trainer.run()
    hits = torch.cat(kept) == torch.cat([batch["label"] for batch in data])
    assert trainer.state.metrics["accuracy"] == pytest.approx(hits.double().mean().item())
    assert isinstance(trainer.state.output, list) and set(trainer.state.output[0]) == {"image", "label", "pred", "loss"}
    assert trainer.state.output[0]["pred"].sum().item() == pytest.approx(1)


def test_without_postprocessing_nothing_is_decollated():
    trainer = make_trainer(Classifier(), {}, {"label": LABEL}, batches(1))
    trainer.run()
    assert isinstance(trainer.state.output, dict) and trainer.state.output["pred"].shape == (4, 3)


def test_a_plain_torch_loader_of_pairs_will_do():
    dataset = TensorDataset(images(8), torch.randint(0, 3, (8,)))
    student = Classifier()
    before = state_of(student)
    trainer = make_trainer(
        student, both(Teacher(Classifier())), {"label": LABEL, "hint": HINTED}, torch.utils.data.DataLoader(dataset, 4)
    )
    trainer.run()
    assert not same(student, before) and trainer.state.output["label"].shape == (4,)


def test_a_pair_has_the_label_under_the_name_that_was_given():
    data = [(images(), torch.randint(0, 3, (4,)))]
    terms = {"label": {"loss": nn.CrossEntropyLoss(), "inputs": ["student", "grade"]}}
    trainer = make_trainer(Classifier(), {}, terms, data, label="grade")
    trainer.run()
    assert torch.equal(trainer.state.output["label"], data[0][1])


def test_images_alone_will_do():
    trainer = make_trainer(Classifier(), {"teacher": {"network": Teacher(Classifier())}}, {"mimic": MIMIC}, [images()])
    trainer.run()
    assert set(trainer.state.output) == {"image", "pred", "loss"}


@pytest.mark.parametrize("batch", [(1, 2, 3), "text"])
def test_a_batch_of_another_kind_is_an_error_that_says_what_to_do(batch):
    with pytest.raises(ConfigError, match=f"got {type(batch).__name__}.*prepare_batch"):
        make_trainer(Classifier(), {}, {"label": LABEL}, [batch]).run()


def test_a_prepare_batch_may_name_the_parts_of_any_batch():
    def prepare(batch, device, non_blocking=False, **kwargs):
        image, label, index = batch
        return {"image": MetaTensor(image), "label": label, "index": index}

    data = [(images(), torch.randint(0, 3, (4,)), torch.arange(4))]
    trainer = make_trainer(Classifier(), {}, {"label": LABEL}, data, prepare_batch=prepare)
    trainer.run()
    assert type(trainer.state.output["image"]) is Tensor and trainer.state.iteration == 1


def test_meta_tensors_are_stripped_before_anything_runs():
    seen = []

    class Looking(Classifier):
        def forward(self, x):
            seen.append(type(x))
            return super().forward(x)

    items = [{"image": MetaTensor(image), "label": torch.tensor(1)} for image in images(4)]
    trainer = make_trainer(
        Looking(),
        {"teacher": {"network": Teacher(Looking())}},
        {"label": LABEL, "mimic": MIMIC},
        DataLoader(items, batch_size=2),
    )
    trainer.run()
    assert set(seen) == {Tensor} and len(seen) == 4 and type(trainer.state.output["pred"]) is Tensor


def test_every_network_goes_to_the_device():
    student, teacher, connector = (nn.Linear(4, 4) for _ in range(3))
    passes = {"student": {}, "teacher": {"network": Teacher(teacher)}, "c": {"keys": "student", "network": connector}}
    DistillationTrainer(
        device=torch.device("meta"),  # which every machine has
        max_epochs=1,
        train_data_loader=[],
        network=student,
        optimizer=torch.optim.SGD(student.parameters(), lr=0.1),
        loss_function=Objective({"mimic": MIMIC}),
        inferer=DistillationInferer(passes),
    )
    assert all(p.is_meta for network in (student, teacher, connector) for p in network.parameters())


def test_a_trainer_whose_run_broke_off_does_not_pretend_to_go_on():
    trainer = make_trainer(Classifier(), {"teacher": {"network": Teacher(Classifier())}}, {"label": LABEL}, batches(3))

    def fail(engine):
        raise KeyError("a handler")

    trainer.add_event_handler(Events.ITERATION_COMPLETED(once=2), fail)
    with pytest.raises(KeyError):
        trainer.run()
    with pytest.raises(ConfigError, match="broke off in epoch 1: KeyError"):
        trainer.run()
