# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
import pickle
import warnings

import pytest
import torch
from ignite.engine import Events
from ignite.metrics import Accuracy
from monai.data import DataLoader, MetaTensor
from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents
from monai.inferers import SimpleInferer
from monai.networks.nets import DynUNet
from monai.transforms import Activationsd
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import monai_kd
from monai_kd.engines import DistillationTrainer
from monai_kd.handlers import Weights
from monai_kd.inferers import DistillationInferer
from monai_kd.losses import Objective
from monai_kd.networks import Teacher, TeacherEnsemble
from monai_kd.utils import ConfigError, TapError, UnknownLayerError, UnknownNameError, step
from tests.nets import (
    LABEL,
    MIMIC,
    Answering,
    Classifier,
    Counter,
    batches,
    hooks,
    images,
    make_trainer,
    same,
    state_of,
)

HINT = {"hint": "act"}
TERM = {"loss": nn.MSELoss(), "inputs": ["student.hint", "teacher.hint"]}


def both(teacher: nn.Module) -> dict:
    return {"student": {"taps": HINT}, "teacher": {"network": teacher, "taps": HINT}}


# what stays MONAI's


def test_is_monais_trainer_with_monais_iteration():
    assert issubclass(DistillationTrainer, SupervisedTrainer)
    assert DistillationTrainer._iteration is SupervisedTrainer._iteration
    assert DistillationTrainer.run is SupervisedTrainer.run


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
        loss = nn.functional.cross_entropy(logits, batch["label"]) + 0.5 * (alone_connector(logits) - target).square().mean()
        loss.backward()
        optimizer.step()
    for one, other in ((student, alone), (connector, alone_connector)):
        for key, value in other.state_dict().items():
            torch.testing.assert_close(one.state_dict()[key], value)


@pytest.mark.parametrize("steps", [2, 3])
def test_small_batches_accumulated_are_one_big_batch(steps):
    small, connector = Classifier(norm=False), nn.Conv2d(4, 4, 1)
    big, big_connector, teacher = copy.deepcopy(small), copy.deepcopy(connector), Teacher(Classifier())
    data = batches(2 * steps)
    joined = [
        {key: torch.cat([batch[key] for batch in data[i : i + steps]]) for key in data[0]} for i in (0, steps)
    ]
    for student, head, loader, count in ((small, connector, data, steps), (big, big_connector, joined, 1)):
        passes = {**both(teacher), "connector": {"keys": "student.hint", "network": head}}
        terms = {"label": LABEL, "hint": {**TERM, "inputs": ["connector", "teacher.hint"]}}
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


# the frozen teacher


@pytest.mark.parametrize("mode", [True, False])
@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_a_frozen_teacher_is_bit_identical_after_training_and_the_student_moved(mode, spatial_dims):
    student, teacher = Classifier(spatial_dims), Classifier(spatial_dims, dropout=0.5).train(mode)
    before, start = state_of(teacher), state_of(student)
    trainer = make_trainer(
        student, both(Teacher(teacher)), {"label": LABEL, "mimic": MIMIC, "hint": TERM}, batches(spatial_dims=spatial_dims), 2
    )
    trainer.run()
    assert same(teacher, before) and not same(student, start)
    assert teacher.training is mode and all(p.requires_grad and p.grad is None for p in teacher.parameters())


def test_a_frozen_teacher_is_in_eval_mode_in_every_forward():
    teacher, modes = Classifier(), []
    teacher.norm.register_forward_hook(lambda layer, *_: modes.append(layer.training))
    make_trainer(Classifier(), {"teacher": {"network": Teacher(teacher)}}, {"mimic": MIMIC}, batches(), 2).run()
    assert modes == [False] * 6


def test_a_teacher_is_in_no_list_of_what_learns():
    student, teacher = Classifier(), Classifier()
    inferer = DistillationInferer(both(Teacher(teacher)))
    held = {id(p) for p in monai_kd.trainable(student, inferer)}
    assert held == {id(p) for p in student.parameters()}


def test_trainable_holds_every_learning_parameter_once():
    student, peer = Classifier(), Classifier()
    peer.head.requires_grad_(False)
    parts = {"student": {}, "peer": {"network": peer}, "again": {"keys": "image_2", "network": peer}}
    found = monai_kd.trainable(student, DistillationInferer({**parts, "own": {"network": student}}))
    expected = [*student.parameters(), *(p for p in peer.parameters() if p.requires_grad)]
    assert [id(p) for p in found] == [id(p) for p in expected]


@pytest.mark.parametrize(
    "wrap",
    [Teacher, lambda net: TeacherEnsemble([Classifier(), net]), lambda net: Teacher(TeacherEnsemble([net]))],
    ids=["teacher", "ensemble", "teacher of an ensemble"],
)
def test_an_optimiser_that_holds_a_teachers_parameters_is_refused(wrap):
    student, teacher = Classifier(), Classifier()
    optimizer = torch.optim.SGD([*student.parameters(), teacher.head.weight], lr=0.1)
    with pytest.raises(ConfigError, match=r"pass 'teacher': the optimiser holds .*'.*head.weight'.*trainable"):
        make_trainer(student, {"teacher": {"network": wrap(teacher)}}, {"mimic": MIMIC}, batches(), optimizer=optimizer)


def test_an_optimiser_that_takes_up_a_teacher_before_the_run_is_refused():
    teacher = Classifier()
    trainer = make_trainer(Classifier(), {"teacher": {"network": Teacher(teacher)}}, {"mimic": MIMIC}, batches())
    trainer.optimizer.add_param_group({"params": list(teacher.parameters())})
    with pytest.raises(ConfigError, match="pass 'teacher'"):
        trainer.run()


def test_a_network_that_learns_but_is_not_in_the_optimiser_is_warned_of_when_the_run_starts():
    student = Classifier()
    passes = {"connector": {"keys": "student", "network": nn.Linear(3, 3)}}
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
    trainer = make_trainer(student, passes, {"label": LABEL}, batches(), optimizer=optimizer)
    with pytest.warns(UserWarning, match=r"pass 'connector': 2 parameters.*'weight'.*trainable"):
        trainer.run()


def test_nothing_is_warned_of_where_all_is_well():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_trainer(Classifier(), both(Teacher(Classifier())), {"mimic": MIMIC}, batches()).run()


# what runs


def test_a_pass_that_no_term_needs_does_not_run():
    idle = nn.Sequential(Counter(), nn.Flatten())
    make_trainer(Classifier(), {"teacher": {"network": Teacher(idle)}}, {"label": LABEL}, batches()).run()
    assert idle[0].calls == 0


def test_a_term_of_weight_zero_switches_its_passes_off_for_those_epochs():
    teacher, objective_terms = Classifier(), {"label": LABEL, "mimic": MIMIC}
    trainer = make_trainer(Classifier(), {"teacher": {"network": Teacher(teacher)}}, objective_terms, batches(3), epochs=4)
    Weights(trainer.loss_function, {"mimic": step(2)}).attach(trainer)
    calls = []
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda _: calls.append(teacher.late.calls))
    trainer.run()
    assert calls == [0, 0, 3, 6]


def test_a_teacher_read_only_by_its_tap_stops_early_in_training_and_the_student_does_not():
    student, teacher = Classifier(), Classifier()
    make_trainer(student, both(Teacher(teacher)), {"label": LABEL, "hint": TERM}, batches(5)).run()
    assert teacher.late.calls == 1 and student.late.calls == 5


def test_two_views_of_one_student_both_teach_it():
    student, alone = Classifier(norm=False), None
    alone = copy.deepcopy(student)
    (batch,) = data = batches(1)
    agree = {"loss": nn.MSELoss(), "inputs": ["student", "again"]}
    make_trainer(student, {"again": {"keys": "image_2"}}, {"label": LABEL, "agree": agree}, data).run()
    a, b = alone(batch["image"]), alone(batch["image_2"])
    (nn.functional.cross_entropy(a, batch["label"]) + (a - b).square().mean()).backward()
    for ours, theirs in zip(student.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs - 0.1 * theirs.grad)


def test_a_deep_exit_teaches_a_shallow_one_without_a_teacher():
    student = Classifier()
    passes = {
        "student": {"taps": HINT},
        "exit": {"keys": "student.hint", "network": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))},
    }
    trainer = make_trainer(student, passes, {"label": LABEL, "exit": {"loss": nn.MSELoss(), "inputs": ["exit", "student"]}}, batches())
    before = state_of(passes["exit"]["network"])
    trainer.run()
    assert not same(passes["exit"]["network"], before)


def test_peers_learn_from_each_other():
    student, peer = Classifier(), Classifier(width=2)
    before = state_of(peer)
    terms = {
        "label": LABEL,
        "peer_label": {**LABEL, "inputs": ["peer", "label"]},
        "mimic": {"loss": lambda a, b: nn.functional.mse_loss(a, b.detach()), "inputs": ["student", "peer"]},
        "mirror": {"loss": lambda a, b: nn.functional.mse_loss(a, b.detach()), "inputs": ["peer", "student"]},
    }
    make_trainer(student, {"peer": {"network": peer}}, terms, batches()).run()
    assert not same(peer, before)


def test_learning_networks_are_in_train_mode_and_on_the_device():
    connector = nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1)).eval()
    passes = {**both(Teacher(Classifier())), "connector": {"keys": "student.hint", "network": connector}}
    terms = {"hint": {**TERM, "inputs": ["connector", "teacher.hint"]}}
    trainer = make_trainer(Classifier(), passes, terms, batches(), epochs=2)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda _: connector.eval())  # as a validation may leave it
    trainer.run()
    assert connector[0].num_batches_tracked == 6


def test_the_networks_of_the_passes_and_the_losses_are_moved_to_the_device():
    student, teacher, connector = Classifier().to("meta"), Classifier(), nn.Linear(3, 3)
    passes = {"teacher": {"network": Teacher(teacher)}, "connector": {"keys": "student", "network": connector}}
    inferer = DistillationInferer({"student": {}, **passes})
    objective = Objective({"label": {**LABEL, "loss": nn.CrossEntropyLoss(weight=torch.ones(3))}})
    DistillationTrainer(
        device=torch.device("meta"),
        max_epochs=1,
        train_data_loader=batches(),
        network=student,
        optimizer=torch.optim.SGD(monai_kd.trainable(student, inferer), lr=0.1),
        loss_function=objective,
        inferer=inferer,
    )
    tensors = [*teacher.parameters(), *connector.parameters(), objective.term("label").loss.weight]
    assert {t.device.type for t in tensors} == {"meta"}


# masks and empty batches


def test_a_step_without_any_true_row_leaves_the_student_unmoved():
    student = Classifier(norm=False)
    before = state_of(student)
    data = [{**batch, "labeled": torch.zeros(4).bool()} for batch in batches()]
    trainer = make_trainer(student, {}, {"label": {**LABEL, "where": "labeled"}}, data)
    trainer.run()
    assert same(student, before) and trainer.state.output["loss"].item() == 0
    assert all((p.grad == 0).all() for p in student.parameters())


def test_an_objective_without_active_terms_is_counted_and_leaves_the_student_unmoved():
    student = Classifier(norm=False)
    before = state_of(student)
    trainer = make_trainer(student, {}, {"label": {**LABEL, "weight": 0}}, batches(3))
    trainer.run()
    assert same(student, before) and trainer.loss_function.empty == 3


# what is published


def test_the_output_is_monais_and_the_knowledge_is_gone_after_the_iteration():
    seen = []

    def look(engine):
        seen.append((set(engine.state.output), set(engine.state.knowledge)))
        assert torch.equal(engine.state.output["pred"], engine.state.knowledge["student"])

    data = batches(2)
    trainer = make_trainer(Classifier(), both(Teacher(Classifier())), {"label": LABEL, "mimic": MIMIC, "hint": TERM}, data)
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
    trainer = make_trainer(Classifier(), {"peer": {"network": Classifier(width=2)}}, terms, data, pred="peer", label="grade")
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
    terms = {str(i): {**t, "inputs": [pred or "student" if i == 0 else deep, "label"]} for i, t in enumerate(terms.values())}
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
        {"label": LABEL, "hint": TERM},
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


# batches


def test_a_plain_torch_loader_of_pairs_will_do():
    dataset = TensorDataset(images(8), torch.randint(0, 3, (8,)))
    student = Classifier()
    before = state_of(student)
    trainer = make_trainer(student, both(Teacher(Classifier())), {"label": LABEL, "hint": TERM}, torch.utils.data.DataLoader(dataset, 4))
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
    trainer = make_trainer(Looking(), {"teacher": {"network": Teacher(Looking())}}, {"label": LABEL, "mimic": MIMIC}, DataLoader(items, batch_size=2))
    trainer.run()
    assert set(seen) == {Tensor} and len(seen) == 4 and type(trainer.state.output["pred"]) is Tensor


# taps, copies and errors


def test_no_hook_is_left_and_everything_can_be_copied_and_pickled_after_training():
    student, teacher, x = Classifier(), Teacher(Classifier()), images()
    trainer = make_trainer(student, both(teacher), {"label": LABEL, "mimic": MIMIC, "hint": TERM}, batches())
    trainer.run()
    assert hooks(student) == hooks(teacher.network) == 0
    for part in (student, teacher):
        for other in (copy.deepcopy(part), pickle.loads(pickle.dumps(part))):
            assert torch.equal(other.eval()(x), part.eval()(x))
    for other in (copy.deepcopy(trainer.inferer), pickle.loads(pickle.dumps(trainer.inferer))):
        assert torch.equal(other({"image": x}, student)["teacher.hint"], trainer.inferer({"image": x}, student)["teacher.hint"])


def test_the_student_can_be_copied_and_pickled_in_the_middle_of_a_step():
    student, copies = Classifier(), []
    trainer = make_trainer(student, both(Teacher(Classifier())), {"label": LABEL, "hint": TERM}, batches(1))
    for event in (IterationEvents.FORWARD_COMPLETED, IterationEvents.LOSS_COMPLETED, IterationEvents.BACKWARD_COMPLETED):
        trainer.add_event_handler(event, lambda _: copies.extend([copy.deepcopy(student), pickle.loads(pickle.dumps(student))]))
    trainer.run()
    assert len(copies) == 6 and all(hooks(other) == 0 for other in copies)


@pytest.mark.parametrize("role", ["student", "teacher"])
def test_no_hook_is_left_after_an_exception_in_a_forward(role):
    networks = {"student": Classifier(), "teacher": Classifier()}
    networks[role].deep = nn.Conv2d(9, 4, 1)  # after the tap
    trainer = make_trainer(networks["student"], both(Teacher(networks["teacher"])), {"label": LABEL, "hint": TERM}, batches())
    with pytest.raises(RuntimeError, match="channels"):
        trainer.run()
    assert hooks(networks["student"]) == hooks(networks["teacher"]) == 0
    assert networks["teacher"].training


@pytest.mark.parametrize("role", ["student", "teacher"])
def test_a_tap_that_is_overwritten_in_place_names_pass_tap_and_layer(role):
    networks = {"student": Classifier(), "teacher": Classifier()}
    networks[role].act = nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(inplace=True))
    passes = {"student": {"taps": {"hint": "norm"}}, "teacher": {"network": Teacher(networks["teacher"]), "taps": {"hint": "norm"}}}
    passes[role]["taps"] = {"hint": "act.0"}
    with pytest.raises(TapError, match=f"pass '{role}', tap 'hint' on 'act.0'"):
        make_trainer(networks["student"], passes, {"hint": TERM}, batches()).run()


def test_an_unknown_layer_is_found_when_the_run_starts():
    passes = {"student": {"taps": {"hint": "layer"}}}
    trainer = make_trainer(Classifier(), passes, {"label": LABEL}, NeverRead())
    with pytest.raises(UnknownLayerError, match="pass 'student', tap 'hint'"):
        trainer.run()


class NeverRead:
    def __len__(self):
        return 1

    def __iter__(self):
        raise AssertionError("a batch was read")


@pytest.mark.parametrize("weight", [1.0, 0.0])
def test_an_unknown_pass_is_found_when_the_run_starts_even_if_its_term_is_off_yet(weight):
    terms = {"label": LABEL, "hint": {**TERM, "inputs": ["student.hint", "techer.hint"], "weight": weight}}
    trainer = make_trainer(Classifier(), both(Teacher(Classifier())), terms, NeverRead())
    with pytest.raises(UnknownNameError, match=r"'teacher.hint'"):
        trainer.run()


def test_an_unknown_batch_key_is_found_at_the_first_iteration():
    terms = {"label": {**LABEL, "inputs": ["student", "lable"]}}
    trainer = make_trainer(Classifier(), {}, terms, batches())
    with pytest.raises(UnknownNameError, match=r"no 'lable'.*did you mean.*'label'"):
        trainer.run()
    assert trainer.state.iteration == 1


def test_a_pass_with_the_name_of_a_batch_key_is_an_error():
    with pytest.raises(ConfigError, match="pass 'image_2'"):
        make_trainer(Classifier(), {"image_2": {}}, {"label": LABEL}, batches()).run()


def test_an_inferer_and_a_loss_of_another_kind_are_refused():
    student = Classifier()
    common = dict(device="cpu", max_epochs=1, train_data_loader=batches(), network=student)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
    with pytest.raises(ConfigError, match="SimpleInferer"):
        DistillationTrainer(**common, optimizer=optimizer, loss_function=Objective({"label": LABEL}), inferer=SimpleInferer())
    with pytest.raises(ConfigError, match="CrossEntropyLoss"):
        DistillationTrainer(
            **common, optimizer=optimizer, loss_function=nn.CrossEntropyLoss(), inferer=DistillationInferer({"student": {}})
        )


def test_two_trainers_may_share_an_inferer():
    teacher = Teacher(Classifier())
    inferer, data = DistillationInferer({"student": {}, "teacher": {"network": teacher}}), batches()
    shared, alone = [Classifier(), Classifier(width=2)], []
    alone = copy.deepcopy(shared)
    for student, own in zip(shared + alone, [inferer, inferer, None, None], strict=True):
        DistillationTrainer(
            device="cpu",
            max_epochs=2,
            train_data_loader=data,
            network=student,
            optimizer=torch.optim.SGD(student.parameters(), lr=0.1),
            loss_function=Objective({"label": LABEL, "mimic": MIMIC}),
            inferer=own or DistillationInferer({"student": {}, "teacher": {"network": teacher}}),
        ).run()
    assert all(same(a, b.state_dict()) for a, b in zip(shared, alone, strict=True))


def test_the_student_is_the_network_out_of_its_wrapper():
    student = Classifier()
    assert make_trainer(torch.compile(student, backend="eager"), {}, {"label": LABEL}, batches()).student is student
