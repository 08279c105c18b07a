# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy

import pytest
import torch
from monai.networks.nets import DenseNet
from monai.visualize import GradCAM
from torch import nn

from monai_kd.engines import DistillationTrainer, trainable
from monai_kd.inferers import DistillationInferer, Pass
from monai_kd.losses import CAMTransferLoss, Objective, Term
from monai_kd.networks import ClassActivation, ClassActivationTeacher, Teacher, class_activation_map
from monai_kd.utils import ConfigError, ShapeMismatchError, UnknownLayerError


def network(dims: int = 2, width: int = 4) -> DenseNet:
    return DenseNet(dims, 1, 3, init_features=width, growth_rate=width, block_config=(1, 1), bn_size=1, act="relu")


@pytest.mark.parametrize("dims", [2, 3])
def test_teachers_map_is_monais_grad_cam(dims):
    net, x = network(dims).eval(), torch.rand(1, 1, *[16] * dims)
    answer = ClassActivationTeacher(Teacher(net), "features.denseblock2")(x, torch.tensor([1]))
    plain = GradCAM(
        nn_module=net,
        target_layers="features.denseblock2",
        postprocessing=lambda m: m.clip(0),
        upsampler=lambda spatial_size: lambda m: m,
    )
    expected = torch.as_tensor(plain(x, class_idx=1))
    shape = answer["map"].shape
    torch.testing.assert_close(answer["map"], expected.reshape(shape), rtol=1e-4, atol=1e-7)


def test_map_of_a_linear_head_is_that_of_its_weights():
    weight, features = torch.randn(3, 5).double(), torch.randn(2, 5, 4, 4).double().requires_grad_()
    logits = features.mean((2, 3)) @ weight.T
    given = class_activation_map(features, logits, torch.tensor([2, 0]))
    for n, y in ((0, 2), (1, 0)):
        for i in range(4):
            for j in range(4):
                value = sum(weight[y, c].item() * features[n, c, i, j].item() for c in range(5)) / 16
                assert given[n, 0, i, j].item() == pytest.approx(max(value, 0.0), abs=1e-12)


def test_map_of_the_student_is_differentiated_twice():
    head = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    target = torch.rand(2, 1, 2, 2).double()

    def loss(features):
        cam = ClassActivation()(features, head(features), torch.tensor([0, 2]))
        return CAMTransferLoss()(cam, target)

    features = torch.rand(2, 3, 2, 2).double().requires_grad_()
    assert torch.autograd.gradcheck(loss, features)
    loss(features).backward()
    assert all(p.grad is not None for p in head.parameters() if p.ndim > 1)


def test_with_constant_weights_the_map_is_the_same_and_linear_in_the_features():
    head = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    features = torch.rand(2, 3, 2, 2).double().requires_grad_()
    logits, label = head(features), torch.tensor([0, 2])
    free, fixed = (ClassActivation(constant_weight=fix)(features, logits, label) for fix in (False, True))
    assert torch.equal(free, fixed) and fixed.any()
    (slope,) = torch.autograd.grad(logits[[0, 1], label].sum(), features, retain_graph=True)
    expected = slope.mean((2, 3), keepdim=True) * (fixed > 0)
    (given,) = torch.autograd.grad(fixed.sum(), features, retain_graph=True)
    torch.testing.assert_close(given, expected)
    fixed.sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in head.parameters())


def test_the_teacher_answers_as_ever_and_stays_as_it_is():
    net, x = network().train(), torch.rand(2, 1, 16, 16)
    teacher = Teacher(net)
    before, expected = copy.deepcopy(net.state_dict()), teacher(x)
    with torch.no_grad():
        answer = ClassActivationTeacher(teacher, "features.denseblock2")(x)
    torch.testing.assert_close(answer["logits"], expected)
    assert torch.equal(answer["label"], expected.argmax(1))
    assert not any(t.requires_grad for t in answer.values())
    assert all(before[k].equal(v) for k, v in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters()) and net.training
    assert not any(layer._forward_hooks for layer in net.modules())
    assert not list(ClassActivationTeacher(teacher, "features.denseblock2").parameters())


def test_unknown_classes_are_those_that_the_teacher_answers():
    net, x = network().eval(), torch.rand(2, 1, 16, 16)
    net.class_layers.out.bias.data[2] = 9
    teacher = ClassActivationTeacher(Teacher(net), "features.denseblock2")
    assert teacher(x)["label"].tolist() == [2, 2]
    for known in (0, 1, 2):
        assert teacher(x, torch.tensor([-1, known]))["label"].tolist() == [2, known]


@pytest.mark.parametrize("dims", [2, 3])
def test_a_student_learns_where_to_look(dims):
    """As passes and a term of the one trainer, with the second derivative in its backward."""
    student, teacher = network(dims), network(dims, 6)
    layer = "features.denseblock2"
    inferer = DistillationInferer(
        {
            "student": Pass(taps={"hint": layer}),
            "cam": Pass(network=ClassActivationTeacher(Teacher(teacher), layer)),
            "student_cam": Pass(["student.hint", "student", "cam.label"], network=ClassActivation()),
        }
    )
    objective = Objective({"cam": Term(CAMTransferLoss(), ["student_cam", "cam.map"])})
    batch = {"image": torch.rand(4, 1, *[16] * dims), "label": torch.tensor([0, 1, 2, 0])}
    losses = []
    trainer = DistillationTrainer(
        device="cpu",
        max_epochs=30,
        train_data_loader=[batch],
        network=student,
        optimizer=torch.optim.Adam(trainable(student, inferer), lr=0.05),
        loss_function=objective,
        inferer=inferer,
    )
    trainer.add_event_handler("ITERATION_COMPLETED", lambda: losses.append(float(objective.values["cam"])))
    trainer.run()
    assert min(losses) < 0.9 * losses[0]


def test_what_has_no_map_is_refused():
    features, logits, label = torch.rand(2, 3, 4, 4), torch.rand(2, 3), torch.tensor([0, 1])
    with pytest.raises(ConfigError, match=r"no gradient is recorded.*ClassActivationTeacher"):
        class_activation_map(features, logits, label)
    with pytest.raises(ConfigError, match="were not computed from these features"):
        class_activation_map(features.requires_grad_(), logits.requires_grad_(), label)
    with pytest.raises(ShapeMismatchError, match="one class a sample"):
        class_activation_map(features, logits, label[:1])
    with pytest.raises(ConfigError, match="a Teacher is wanted, got DenseNet"):
        ClassActivationTeacher(network(), "features")
    with pytest.raises(UnknownLayerError, match="features"):
        ClassActivationTeacher(Teacher(network()), "feature")
