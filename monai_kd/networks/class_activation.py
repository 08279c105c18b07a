# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_kd.networks.teacher import Teacher, in_mode
from monai_kd.utils import ConfigError, ShapeMismatchError, find_layer, plain, unwrap

__all__ = ["ClassActivation", "ClassActivationTeacher", "class_activation_map"]


def class_activation_map(
    features: Tensor, logits: Tensor, label: Tensor, create_graph: bool = False, constant_weight: bool = False
) -> Tensor:
    r"""Where a class is found, by the slope of its logit (Grad-CAM): [N, 1, *spatial].

    .. math:: a_x = \mathrm{relu}\Bigl(\sum_c w_c F_{cx}\Bigr), \qquad
        w_c = \frac{1}{S} \sum_x \frac{\partial z_y}{\partial F_{cx}}

    For a network that ends in an average over space and a linear layer this is the class activation map by that layer's
    weights, divided by S. Selvaraju et al., "Grad-CAM", ICCV 2017 (arXiv 1610.02391).

    Args:
        features: F, [N, C, *spatial], which the logits were computed from.
        logits: z, [N, K].
        label: y, the class of each sample, [N].
        create_graph: keep the map differentiable.
        constant_weight: differentiate it by F alone, with w constant.

    Raises:
        ConfigError: the logits do not depend on the features, or no gradient is recorded.
        ShapeMismatchError: logits are not [N, K], or there is not one label a sample.

    Example::

        >>> import torch
        >>> from monai_kd.networks import class_activation_map
        >>> features = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]], requires_grad=True)
        >>> logits = features.mean(2) @ torch.tensor([[2.0, 0.0], [0.0, 2.0]])
        >>> class_activation_map(features, logits, torch.tensor([1]))
        tensor([[[0., 1.]]])
    """
    if logits.ndim != 2 or label.numel() != len(logits) or len(features) != len(logits):
        raise ShapeMismatchError(
            f"logits are {tuple(logits.shape)}, features {tuple(features.shape)}, label {tuple(label.shape)}",
            where="class_activation_map",
            fix="give logits [N, K] and one class a sample",
        )
    if not (logits.requires_grad and features.requires_grad):
        raise ConfigError(
            "no gradient is recorded",
            where="class_activation_map",
            fix="use `ClassActivationTeacher` for a teacher, and torch.enable_grad() elsewhere",
        )
    with torch.enable_grad():
        chosen = logits.gather(1, label.reshape(-1, 1).long()).sum()
    twice = create_graph and not constant_weight
    (slope,) = torch.autograd.grad(chosen, features, retain_graph=True, create_graph=twice, allow_unused=True)
    if slope is None:
        raise ConfigError(
            "the logits were not computed from these features", where="class_activation_map", fix="tap the layer itself"
        )
    features = features if create_graph else features.detach()
    weight = slope.flatten(2).mean(2, keepdim=True, dtype=torch.promote_types(slope.dtype, torch.float32))
    places = (weight * features.flatten(2)).sum(1, keepdim=True).relu()
    return places.reshape(len(features), 1, *features.shape[2:])


class ClassActivation(nn.Module):
    """The student's class activation map, through which it learns: a pass of a tap, the answer and a class.

    `{keys: [student.hint, student, cam.label], network: {_target_: monai_kd.networks.ClassActivation}}`. The backward
    of a loss of the map is a second derivative: layers after the tap must have one.

    Args:
        constant_weight: take the weights w of the channels for constants: a loss of the map then teaches the layers up
            to the tap alone, not the head, and its backward is a first derivative.

    Example::

        >>> import torch
        >>> from monai_kd.networks import ClassActivation
        >>> features = torch.rand(2, 3, 4, 4, requires_grad=True)
        >>> ClassActivation()(features, features.mean((2, 3)), torch.tensor([0, 2])).shape
        torch.Size([2, 1, 4, 4])
    """

    def __init__(self, constant_weight: bool = False) -> None:
        super().__init__()
        self.constant_weight = constant_weight

    def forward(self, features: Tensor, logits: Tensor, label: Tensor) -> Tensor:
        """Find the class `label` [N] in `features` [N, C, *spatial], from `logits` [N, K]: [N, 1, *spatial]."""
        return class_activation_map(features, logits, label, create_graph=True, constant_weight=self.constant_weight)


class ClassActivationTeacher(nn.Module):
    """Ask a teacher where it finds the class that it answers, or that is asked for.

    The gradient that a map needs is recorded inside and thrown away; the teacher stays as it is.

    Args:
        teacher: a `Teacher`; it is held, not copied, and has no parameters here.
        layer: path of the layer in which the class is looked for, with spatial axes.

    Raises:
        ConfigError: `teacher` is no `Teacher`.
        UnknownLayerError: there is no such layer.

    Example::

        >>> import torch
        >>> from monai.networks.nets import resnet10
        >>> from monai_kd.networks import ClassActivationTeacher, Teacher
        >>> teacher = Teacher(resnet10(spatial_dims=2, n_input_channels=1, num_classes=3).eval())
        >>> answer = ClassActivationTeacher(teacher, "layer4")(torch.rand(2, 1, 64, 64))
        >>> {name: tuple(x.shape) for name, x in answer.items()}
        {'logits': (2, 3), 'label': (2,), 'map': (2, 1, 4, 4)}
    """

    def __init__(self, teacher: Teacher, layer: str) -> None:
        super().__init__()
        if not isinstance(teacher, Teacher):
            raise ConfigError(f"a Teacher is wanted, got {type(teacher).__name__}", where="ClassActivationTeacher")
        find_layer(unwrap(teacher.network), layer)
        self.teacher, self.layer = teacher, layer

    def forward(self, input: Tensor, label: Tensor | None = None) -> dict[str, Tensor]:
        """Answer an image.

        Args:
            input: what the teacher takes, [N, channels, *spatial].
            label: class to look for, [N]; None, or a negative one: the class that the teacher answers.

        Returns:
            `logits` [N, K], `label` [N] and `map` [N, 1, *spatial], none with a gradient.
        """
        noted: list[Tensor] = []

        def note(layer: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
            noted.append(output.detach().requires_grad_())  # the graph begins here
            return noted[-1]

        network = self.teacher.network
        handle = find_layer(unwrap(network), self.layer).register_forward_hook(note)
        try:
            with torch.enable_grad(), in_mode(network, self.teacher.train_mode):
                logits = plain(network(input))
        finally:
            handle.remove()
        answered = logits.argmax(1)
        label = answered if label is None else torch.where(label.reshape(-1) < 0, answered, label.reshape(-1))
        found = class_activation_map(noted[0], logits, label)
        return {"logits": logits.detach(), "label": label.detach(), "map": found}
