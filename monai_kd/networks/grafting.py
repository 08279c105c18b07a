# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, cast

import torch
from torch import Tensor, nn

from monai_kd.networks.connector import Connector
from monai_kd.networks.teacher import Teacher, in_mode
from monai_kd.utils import ConfigError, Schedule, find_layer, unwrap

__all__ = ["Grafting", "check_chain"]


class _Reached(BaseException):  # past a network that catches every Exception
    """Ends a forward at a stage, whose output it brings."""


class Grafting(nn.Module):
    """A host network in which blocks of the student stand for its own, more and more of them: progressive grafting.

    The outputs of L stages cut both networks into L + 1 blocks; the first has the stem, the last the head. Where the
    host takes over from the student, and the student from the host, a 1x1 convolution changes the channels:

    .. math:: h_{L+1} \\circ \\dots \\circ h_{j+1} \\circ a^{out}_j \\circ s_j \\circ \\dots \\circ s_i
              \\circ a^{in}_{i-1} \\circ h_{i-1} \\circ \\dots \\circ h_1

    `position` says which blocks i..j are the student's: 0 to L each block by itself, then blocks 1..2, 1..3, until at
    2 L the student is whole. Nothing but these blocks and the adapters beside them gets a gradient. The host is a copy,
    frozen and in eval mode. Adapters have no place in the student, which keeps its own keys.

    Each network must be a chain through its stages: whatever gets from its input to its answer passes through the
    output of each stage, one tensor [N, C, *spatial], as in ResNet, DenseNet or MobileNet, and not in a U-Net, whose
    skip connections pass by. The first forward looks whether it is so. To get at a block without knowing how a network
    calls its layers, the network runs from its input, and a hook puts another tensor in the place of a stage's output:
    the layers before it run for nothing, without a graph and in eval mode.

    Args:
        student: the network that learns, out of any wrapper; registered, so that this module is what a trainer trains.
        host: the network, or `Teacher`, that it grows in.
        student_stages: L paths of the student's layers, shallow to deep.
        host_stages: as many of the host.
        student_channels: channels of the student's stages.
        host_channels: channels of the host's.
        spatial_dims: 1, 2 or 3.

    Raises:
        ConfigError: numbers of stages and channels that differ, or no stage; in the call: a network that is no chain
            through its stages, of which it names one.
        UnknownLayerError: a path is no layer.

    Shen et al., Progressive network grafting for few-shot knowledge distillation, AAAI 2021.

    Example::

        >>> import torch
        >>> from monai.networks.nets import resnet10, resnet18
        >>> from monai_kd.networks import Grafting
        >>> student, host = (net(spatial_dims=2, n_input_channels=1, num_classes=3) for net in (resnet10, resnet18))
        >>> stages = ["layer1", "layer2", "layer3"]
        >>> graft = Grafting(student, host, stages, stages, [64, 128, 256], [64, 128, 256], spatial_dims=2)
        >>> graft.position = 1
        >>> graft.blocks, graft(torch.rand(2, 1, 32, 32)).shape
        ((2, 2), torch.Size([2, 3]))
    """

    def __init__(
        self,
        student: nn.Module,
        host: nn.Module,
        student_stages: Sequence[str],
        host_stages: Sequence[str],
        student_channels: Sequence[int],
        host_channels: Sequence[int],
        spatial_dims: int,
    ) -> None:
        super().__init__()
        counts = [len(x) for x in (student_stages, host_stages, student_channels, host_channels)]
        if len(set(counts)) > 1 or not counts[0]:
            raise ConfigError(f"stages and channels are {counts}, one number of each is wanted", where="Grafting")
        network = host.network if isinstance(host, Teacher) else host
        self.student = unwrap(student)
        self.host = Teacher(copy.deepcopy(unwrap(network)).requires_grad_(False).eval())
        self.student_stages, self.host_stages = list(student_stages), list(host_stages)
        for layers, paths in ((self.student, student_stages), (self.host.network, host_stages)):
            for path in paths:
                find_layer(layers, path)
        pairs = list(zip(student_channels, host_channels, strict=True))
        self.to_student = nn.ModuleList(Connector(spatial_dims, h, s, norm=None) for s, h in pairs)
        self.to_host = nn.ModuleList(Connector(spatial_dims, s, h, norm=None) for s, h in pairs)
        self.position = self.positions - 1
        self._checked = False

    @property
    def positions(self) -> int:
        """How many positions there are: 2 L + 1."""
        return 2 * len(self.student_stages) + 1

    @property
    def blocks(self) -> tuple[int, int]:
        """The first and the last block that is the student's, counted from 1."""
        if not 0 <= self.position < self.positions:
            raise ConfigError(f"position {self.position} is not one of {self.positions}", where="Grafting")
        single = self.positions // 2 + 1
        return (self.position + 1,) * 2 if self.position < single else (1, self.position - single + 2)

    def schedule(self, epochs: int, whole: float = 0.5) -> Schedule:
        """A position for each epoch: first all that graft, alike long, and then the whole student.

        Args:
            epochs: of the training.
            whole: the part of them in which the student is whole; at least one epoch.
        """
        last = self.positions - 1
        grafted = min(int(epochs * (1 - whole)), epochs - 1)
        return lambda t: last if t >= grafted else int(t * last / grafted)

    def forward(self, image: Tensor, host_image: Tensor | None = None) -> Tensor:
        """Answer as the grafted network does.

        Args:
            image: what the student takes.
            host_image: what the host takes, if that is another picture.
        """
        seen = image if host_image is None else host_image
        if not self._checked:
            check_chain(self.student, self.student_stages, image)
            check_chain(self.host.network, self.host_stages, seen)
            self._checked = True
        first, last = self.blocks
        whole = last > len(self.student_stages)
        grown = self._student(image, first, last) if first == 1 else None
        if grown is not None and whole:
            return grown

        def enter(layer: nn.Module, args: Any, output: Tensor) -> None:
            nonlocal grown
            grown = self._student(image, first, last, output)
            if whole:
                raise _Reached(grown)

        def leave(layer: nn.Module, args: Any, output: Tensor) -> Tensor:
            return self.to_host[last - 1](grown, like=output)

        hooks = [(self.host_stages[first - 2], enter)] if first > 1 else []
        hooks += [] if whole else [(self.host_stages[last - 1], cast(Any, leave))]
        with in_mode(self.host.network, False):
            return _run(self.host.network, seen, hooks)

    def _student(self, image: Tensor, first: int, last: int, entering: Tensor | None = None) -> Tensor:
        """What the student's blocks make of `image`, or of what the host hands over."""
        grad, mode = torch.is_grad_enabled(), self.training

        def enter(layer: nn.Module, args: Any, output: Tensor) -> Tensor:
            self.student.train(mode)
            torch.set_grad_enabled(grad)
            return self.to_student[first - 2](entering, like=output)

        def leave(layer: nn.Module, args: Any, output: Tensor) -> None:
            raise _Reached(output)

        hooks: list[tuple[str, Callable]] = []
        if last <= len(self.student_stages):
            hooks.append((self.student_stages[last - 1], leave))
        if entering is None:
            return _run(self.student, image, hooks)
        try:
            with torch.no_grad():  # until `enter`
                self.student.eval()
                return _run(self.student, image, [(self.student_stages[first - 2], enter), *hooks])
        finally:
            self.student.train(mode)


def _run(network: nn.Module, image: Tensor, hooks: Sequence[tuple[str, Callable]]) -> Tensor:
    """One forward with hooks on stages; the answer, or what `_Reached` brings."""
    with ExitStack() as stack:
        for path, hook in hooks:
            stack.callback(find_layer(network, path).register_forward_hook(hook).remove)
        try:
            return network(image)
        except _Reached as reached:
            return reached.args[0]


def check_chain(network: nn.Module, stages: Sequence[str], image: Tensor) -> None:
    """See that whatever gets from the input to the answer passes through each stage, once, in this order.

    Args:
        network: an unwrapped network.
        stages: paths of its layers, shallow to deep.
        image: what it takes, [N, C, *spatial].

    Raises:
        ConfigError: a stage is passed by, runs more than once or not in this order, or gives more than one tensor.

    Example::

        >>> import torch
        >>> from monai_kd.networks import check_chain
        >>> check_chain(torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU()), ["0"], torch.rand(1, 2))
    """
    frozen = {name: p.detach() for name, p in network.named_parameters()}
    fix = "name stages of a chain, as those of a ResNet or a DenseNet are; a U-Net is none"
    for path in stages:
        ran: list[str] = []

        def note(name: str, cut: bool, ran: list[str] = ran) -> Callable:
            def hook(layer: nn.Module, args: Any, output: Any) -> Any:
                ran.append(name)
                if not isinstance(output, Tensor):
                    raise ConfigError(
                        f"gives a {type(output).__name__}, not a tensor", where=f"stage {name!r}", fix=fix
                    )
                return output.detach() if cut else None

            return hook

        with ExitStack() as stack, torch.enable_grad(), in_mode(network, False):
            for name in stages:
                stack.callback(find_layer(network, name).register_forward_hook(note(name, name == path)).remove)
            answer = torch.func.functional_call(network, frozen, (image.detach().clone().requires_grad_(),))
        if ran != list(stages):
            raise ConfigError(f"the stages ran as {ran}", where=f"stages {list(stages)}", fix=fix)
        if answer.requires_grad:
            raise ConfigError("something passes it by on its way to the answer", where=f"stage {path!r}", fix=fix)
